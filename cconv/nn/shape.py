"""Layers that give their input another shape."""

import math

import numpy as np

from cconv.functional._arguments import is_channels_last, to_channels_first, to_channels_last, whole
from cconv.nn.base import Layer


class Flatten(Layer):
    """Join the axes `start_dim` ... `end_dim` into one, features in the order C, H, W as in torch.

    Parameters
    ----------
    start_dim, end_dim : int, negative ones count from the end
    """

    def __init__(self, start_dim=1, end_dim=-1):
        self.start_dim = whole(start_dim, "start_dim")
        self.end_dim = whole(end_dim, "end_dim")

    def extra_repr(self):
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"

    def output_shape(self, input_shape):
        shape = tuple(input_shape)
        rank = len(shape)
        start, end = (d + rank if d < 0 else d for d in (self.start_dim, self.end_dim))
        if not 0 <= start <= end < rank:
            raise ValueError(
                f"Flatten: start_dim {self.start_dim} and end_dim {self.end_dim} do not fit the shape {shape}"
            )
        return shape[:start] + (math.prod(shape[start : end + 1]),) + shape[end + 1 :]

    def forward(self, x, train):
        x = np.asarray(x)
        return _reshape(x, self.output_shape(x.shape))


class Unflatten(Layer):
    """Split axis `dim` into axes of the sizes `unflattened_size`, as torch does.

    Parameters
    ----------
    dim : int, a negative one counts from the end
    unflattened_size : ints; one of them may be -1
    """

    def __init__(self, dim, unflattened_size):
        self.dim = whole(dim, "dim")
        self.unflattened_size = tuple(whole(n, "unflattened_size", -1) for n in unflattened_size)
        if not self.unflattened_size or self.unflattened_size.count(-1) > 1:
            raise ValueError(f"unflattened_size must hold sizes, one of them maybe -1, got {self.unflattened_size}")

    def extra_repr(self):
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"

    def output_shape(self, input_shape):
        shape = tuple(input_shape)
        if not -len(shape) <= self.dim < len(shape):
            raise ValueError(f"Unflatten: dim {self.dim} is not an axis of the shape {shape}")
        dim = self.dim % len(shape)
        known = math.prod(n for n in self.unflattened_size if n != -1)
        missing = shape[dim] // known if known else 0
        sizes = tuple(missing if n == -1 else n for n in self.unflattened_size)
        if math.prod(sizes) != shape[dim]:
            raise ValueError(f"Unflatten: axis {dim} of the shape {shape} does not split into {self.unflattened_size}")
        return shape[:dim] + sizes + shape[dim + 1 :]

    def forward(self, x, train):
        x = np.asarray(x)
        return _reshape(x, self.output_shape(x.shape))


class Reshape(Layer):
    """Give each sample another shape, the batch axis aside.

    Parameters
    ----------
    *shape : ints; one of them may be -1
    """

    def __init__(self, *shape):
        if len(shape) == 1 and isinstance(shape[0], (tuple, list)):
            (shape,) = shape
        self.shape = tuple(whole(n, "shape", -1) for n in shape)
        if self.shape.count(-1) > 1:
            raise ValueError(f"shape may contain one -1, got {self.shape}")

    def extra_repr(self):
        return ", ".join(map(str, self.shape))

    def output_shape(self, input_shape):
        total, known = math.prod(input_shape[1:]), math.prod(n for n in self.shape if n != -1)
        missing = total // known if known else 0
        shape = tuple(missing if n == -1 else n for n in self.shape)
        if math.prod(shape) != total:
            raise ValueError(f"Reshape: {tuple(input_shape[1:])} does not fit {self.shape}")
        return (input_shape[0], *shape)

    def forward(self, x, train):
        x = np.asarray(x)
        return _reshape(x, self.output_shape(x.shape))


def _reshape(x, shape):
    channels_last, input_shape = is_channels_last(x), x.shape
    y = _ordered(to_channels_first(x).reshape(shape), channels_last)

    def backward(dy, need_dx=True):
        return _ordered(to_channels_first(dy).reshape(input_shape), channels_last) if need_dx else None

    return y, backward


def _ordered(array, channels_last):
    """`array` in the memory order asked for; fewer than 3 axes have only one."""
    if not channels_last or array.ndim < 3:
        return array
    return to_channels_last(array)
