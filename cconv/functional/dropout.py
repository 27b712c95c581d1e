"""Dropout (Srivastava et al. 2014), with a mask that is a function of a seed and a call number."""

import numpy as np

from cconv import _eltwise
from cconv.functional import _arguments

__all__ = ["dropout"]

_WORD = 2**64


def dropout(x, p=0.5, seed=0, call=0, per_channel=False):
    """Zero each element with probability `p` and scale the others by 1 / (1 - p).

    The mask depends on `seed`, `call`, the sample (index of axis 0, where there are more axes) and the element's
    index within the sample in C order alone, not on memory order, threads or processor: a 32-bit hash of them is
    below p * 2**32 where the element is dropped. The gradient of the result is the same function of dy.

    Parameters
    ----------
    x : ndarray of at most 5 axes, float32 or float64
    p : float in 0 .. 1
    seed, call : int; another pair gives another mask
    per_channel : bool, whether whole (sample, channel) planes are dropped

    Returns
    -------
    y : ndarray like `x`

    Raises
    ------
    ValueError
        For `p` outside 0 .. 1.
    TypeError
        For other dtypes.
    """
    x = _arguments.floats(x, "x")
    if not 0 <= p <= 1:
        raise ValueError(f"p must be in 0 .. 1, got {p}")
    if not _arguments.is_channels_last(x):
        x = np.ascontiguousarray(x)
    return _eltwise.dropout(x, p, seed % _WORD, call % _WORD, per_channel)
