"""The embedded handwritten digits, so that training works offline right after the install."""

from importlib import resources

import numpy as np

from cconv.functional._arguments import whole

_TRAIN = 1437
_SIDE = 8
_WHITE = 16


def digits(size=28, raw=False):
    """1,797 handwritten digits of 8x8 pixels, enlarged to `size` x `size`.

    The strokes are interpolated linearly by a whole factor and framed with black, as 8x8 -> 24x24 with a
    border of 2 for the default 28. Order and split are fixed: 1,437 for training, 360 for testing.

    Parameters
    ----------
    size : int, 8 to 1024
        Height and width of the images.
    raw : bool
        Return images as uint8 of 0 to 255 instead of float32 of 0 to 1.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x (N, 1, size, size), y (N,) int64 of 0 to 9.

    Raises
    ------
    TypeError, ValueError
        For a `size` that is not a whole number from 8 to 1024.

    References
    ----------
    E. Alpaydin, C. Kaynak. Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998,
    https://doi.org/10.24432/C50P49 (CC BY 4.0).
    """
    size = whole(size, "size", _SIDE)
    if size > 1024:
        raise ValueError(f"size must be at most 1024, got {size}")
    source = resources.files("cconv.data").joinpath("digits.npz")
    with source.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        images, labels = stored["images"], stored["labels"].astype(np.int64)
    x = _enlarge(images, size)[:, None]
    if not raw:
        x = x.astype(np.float32) / np.float32(255)
    return (x[:_TRAIN], labels[:_TRAIN]), (x[_TRAIN:], labels[_TRAIN:])


def _enlarge(images, size):
    """(N, 8, 8) of 0..16 -> (N, size, size) of 0..255, in whole numbers: the same bytes on every machine.

    The products are whole numbers below 2**53, hence exact in float64, where they are fast."""
    factor = max(1, (size - size // _SIDE) // _SIDE)
    weights = _interpolation(factor)
    enlarged = (weights @ images.astype(np.float64) @ weights.T).astype(np.int32)
    white = _WHITE * (2 * factor) ** 2
    side = _SIDE * factor
    start = (size - side) // 2
    out = np.zeros((len(images), size, size), np.uint8)
    out[:, start : start + side, start : start + side] = (2 * 255 * enlarged + white) // (2 * white)
    return out


def _interpolation(factor):
    """Matrix (8 * factor, 8) of linear interpolation between pixel centres, times 2 * factor."""
    matrix = np.zeros((_SIDE * factor, _SIDE))
    for row in range(_SIDE * factor):
        place = min(max(2 * row + 1 - factor, 0), 2 * factor * (_SIDE - 1))
        before, share = divmod(place, 2 * factor)
        matrix[row, before] += 2 * factor - share
        matrix[row, min(before + 1, _SIDE - 1)] += share
    return matrix
