"""Random changes of a training batch."""

import numpy as np

from cconv.functional._arguments import whole


class RandomShift:
    """Moves every image by whole pixels, each way by at most `pixels`, with black coming in.

    Use as `Model.fit(..., augment=RandomShift(2))`. A batch is changed as `shift(x, bits)`, with `bits` a
    numpy.random.PCG64 that decides the moves.

    Parameters
    ----------
    pixels : int, 0 or more

    Raises
    ------
    TypeError, ValueError
        For other `pixels`, and on use for `x` that is not (N, C, H, W).
    """

    def __init__(self, pixels):
        self.pixels = whole(pixels, "pixels", 0)

    def __call__(self, x, bits):
        if x.ndim != 4:
            raise ValueError(f"RandomShift moves images (N, C, H, W), got shape {x.shape}")
        count, _, height, width = x.shape
        edge = self.pixels
        padded = np.zeros((*x.shape[:2], height + 2 * edge, width + 2 * edge), x.dtype)
        padded[:, :, edge : edge + height, edge : edge + width] = x
        windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
        # Raw numbers are the same in every NumPy version; the bias of the remainder is below 2**-50.
        rows, columns = (bits.random_raw((2, count)) % np.uint64(2 * edge + 1)).astype(np.intp)
        return windows[np.arange(count), :, rows, columns]

    def __repr__(self):
        return f"RandomShift({self.pixels})"
