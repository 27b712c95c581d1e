"""Batches of arrays in memory: one gather a batch, no Python per sample."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from cconv.data.source import Source
from cconv.functional._arguments import whole


class DataLoader:
    """Batches of `x` and `y`, in an order that the seed and the number of the epoch alone decide.

    Iterating yields the rest of the current epoch as `(x_batch, y_batch)` and then moves on to the next
    epoch, so an iteration that was interrupted continues where it stopped; `state_dict` carries the
    place elsewhere.

    Parameters
    ----------
    x : array, N samples along the first axis, or a Source such as `ImageFolder`
    y : array of N, optional
        Without it batches are `(x_batch, None)`.
    batch_size : int
        The last batch of an epoch may be smaller.
    shuffle : bool
    rng : int, numpy.random.Generator or None
        Seed of the order; a Generator gives one number to it, None takes one from the system.
    augment : callable, optional
        `augment(x_batch, bits) -> x_batch` changes each batch, such as `RandomCrop`; `bits` is a
        numpy.random.PCG64 that the seed, the epoch and the position decide. With an attribute `mixes_labels`
        that is true it is called `augment(x_batch, y_batch, bits) -> (x_batch, y_batch)`, such as `Mixup`.
    reuse : bool
        Every batch overwrites the previous one's memory: fastest, for those who use one batch at a time.

    Raises
    ------
    ValueError
        When `x` and `y` differ in length, or `batch_size` is below 1.

    Attributes
    ----------
    epoch, position : int, number of the current epoch (from 0) and of samples already given in it
    """

    def __init__(self, x, y=None, batch_size=32, shuffle=True, rng=None, augment=None, reuse=False):
        self.x = x if isinstance(x, Source) else np.asarray(x)
        self.y = None if y is None else np.asarray(y)
        if self.x.ndim < 1:
            raise ValueError("x must have samples along its first axis, got a scalar")
        if self.y is not None and (self.y.ndim < 1 or len(self.x) != len(self.y)):
            raise ValueError(f"x and y must have the same length, got shapes {self.x.shape} and {self.y.shape}")
        self.batch_size = whole(batch_size, "batch_size", 1)
        self.shuffle = bool(shuffle)
        self.seed = seed_of(rng)
        if augment is not None and not callable(augment):
            raise TypeError(f"augment must be callable, such as RandomShift(2), got {augment!r}")
        self.augment = augment
        self.reuse = reuse
        self.epoch = 0
        self.position = 0

    def __len__(self):
        """Number of batches in an epoch."""
        return -(-len(self.x) // self.batch_size)

    def order(self, epoch):
        """Indices of the samples in the order of `epoch`, or None when they are not shuffled."""
        if not self.shuffle:
            return None
        # Raw PCG64 numbers: unlike Generator.permutation, NumPy keeps them the same in every version.
        keys = _bits(self.seed, epoch).random_raw(len(self.x))
        return np.argsort(keys, kind="stable")

    def __iter__(self):
        order = self.order(self.epoch)
        stores = self._store(self.x), self._store(self.y)
        parts = [
            slice(start, min(start + self.batch_size, len(self.x)))
            for start in range(self.position, len(self.x), self.batch_size)
        ]
        batches = self._gathered(parts, order, stores)
        for part, (x_batch, y_batch) in zip(parts, batches, strict=True):
            if self.augment is not None:
                bits = _bits(self.seed, self.epoch, 1 + part.start)
                if getattr(self.augment, "mixes_labels", False):
                    x_batch, y_batch = self.augment(x_batch, y_batch, bits)
                else:
                    x_batch = self.augment(x_batch, bits)
            self.position = part.stop
            yield x_batch, y_batch
        self.epoch += 1
        self.position = 0

    def _gathered(self, parts, order, stores):
        """The batches of `parts`; of a slow source the next one is being made while the last one is used."""

        def gather(part):
            indices = None if order is None else order[part]
            return tuple(
                self._batch(array, part, indices, store) for array, store in zip((self.x, self.y), stores, strict=True)
            )

        if not getattr(self.x, "prefetch", False):
            yield from map(gather, parts)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="cconv-prefetch") as worker:
            waiting = None
            try:
                for index, part in enumerate(parts):
                    batch = (waiting or worker.submit(gather, part)).result()
                    waiting = worker.submit(gather, parts[index + 1]) if index + 1 < len(parts) else None
                    yield batch
            finally:
                if waiting is not None:
                    waiting.cancel()

    def _store(self, array):
        # A batch that is made ahead must not overwrite the one in use.
        if array is None or not self.reuse or not self.shuffle or getattr(self.x, "prefetch", False):
            return None
        return np.empty((min(self.batch_size, len(array)), *array.shape[1:]), array.dtype)

    def _batch(self, array, part, indices, store):
        if array is None:
            return None
        if indices is None:
            return array[part]
        out = None if store is None else store[: part.stop - part.start]
        # The indices are our own; "clip" lets take write straight into `out`.
        return array.take(indices, axis=0, out=out, mode="clip")

    def state_dict(self):
        """Seed and place, as a dict of ints."""
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state):
        """Continue at the place that `state_dict` gave.

        Raises
        ------
        ValueError
            When the place is not inside this data set; nothing is changed then.
        """
        seed, epoch, position = (whole(state[key], key, 0) for key in ("seed", "epoch", "position"))
        if position > len(self.x):
            raise ValueError(f"position {position} is beyond the {len(self.x)} samples")
        self.seed, self.epoch, self.position = seed, epoch, position


def _bits(*numbers):
    return np.random.PCG64(np.random.SeedSequence(numbers))


def seed_of(rng):
    """The whole number that an `rng` argument stands for: an int, a Generator, or None for a new one.

    Raises
    ------
    TypeError, ValueError
        For anything else, and for negative numbers.
    """
    if rng is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(2))
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**62))
    return whole(rng, "rng", 0)
