"""Samples that are made when they are asked for, where arrays stand otherwise."""

import numpy as np


class Source:
    """Base: has `shape` and `dtype` like the array it stands for, and `take`; numbers, slices, lists and masks index it.

    Attributes
    ----------
    shape : tuple, the number of samples first
    dtype : numpy.dtype
    prefetch : whether `take` is slow enough to run in the background while the batch before trains
    """

    shape, dtype, prefetch = (), None, False

    def take(self, indices, axis=0, out=None, mode="raise"):
        """The samples `indices` as an array."""
        raise TypeError(f"{type(self).__name__} does not define take")

    @property
    def ndim(self):
        return len(self.shape)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        if isinstance(key, slice):
            return self.take(np.arange(*key.indices(len(self))))
        if isinstance(key, (list, np.ndarray)):
            return self.take(np.arange(len(self))[key])
        return self.take([range(len(self))[key]])[0]


class Resized(Source):
    """The images of an array, scaled and given the number of channels asked for when a batch needs them.

    Parameters
    ----------
    x : array (N, C, H, W)
    size : (height, width)
    channels : int
        Grey is repeated; colours are averaged to grey.
    """

    def __init__(self, x, size, channels):
        from cconv.data.transforms import Resize

        if x.shape[1] != channels and 1 not in (x.shape[1], channels):
            raise ValueError(f"images of {x.shape[1]} channels cannot become {channels}")
        self._x = x
        self._resize = Resize(size)
        self.shape = (len(x), channels, *self._resize.size)
        self.dtype = x.dtype if tuple(size) == x.shape[2:] else np.dtype(np.float32)

    def take(self, indices, axis=0, out=None, mode="raise"):
        x = self._x.take(indices, axis=0)
        if x.shape[2:] != self.shape[2:]:
            x = self._resize(x)
        if x.shape[1] > self.shape[1]:
            x = x.mean(axis=1, keepdims=True).astype(self.dtype)
        result = np.broadcast_to(x, (len(x), *self.shape[1:]))
        if out is None:
            return np.ascontiguousarray(result)
        out[...] = result
        return out
