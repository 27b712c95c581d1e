"""Pooling by the L_p norm of every window, in one, two and three dimensions."""

import math

import numpy as np

from cconv.functional import pool
from cconv.functional._arguments import flag, floats, is_channels_last, like, real, spatial
from cconv.functional._out import with_out
from cconv.functional._ranks import each_rank

__all__ = [f"lp_pool{rank}d{suffix}" for suffix in ("", "_backward") for rank in (1, 2, 3)]


def _checked(rank, x, norm_type, kernel_size):
    """|x| in double, which no power of a float32 overflows; p; the places of a window."""
    p = real(norm_type, "norm_type")
    if p <= 0:
        raise ValueError(f"norm_type must be above 0, got {norm_type}")
    x = floats(x, "x", rank + 2)
    return np.absolute(x, dtype=np.float64), p, math.prod(spatial(kernel_size, rank, "kernel_size"))


@with_out
def _lp_pool(rank, x, norm_type, kernel_size, stride=None, ceil_mode=False, padding=0, dilation=1):
    """(SUM |x|^p)^(1/p) over every window with p = norm_type, #-D.

    Parameters
    ----------
    x : array (N, C, spatial...), float32 or float64
    norm_type : float above 0; 1 is kernel_size times the average of |x|, large ones come near the maximum
    kernel_size, stride, dilation : int or # ints; stride None means kernel_size
    ceil_mode : bool, as in max_pool#d; the sum of a window cut short at the end is scaled up to a whole one, as torch does
    padding : as in avg_pool#d, zeros

    Returns
    -------
    y : array (N, C, out...), in the memory order of x

    Raises
    ------
    ValueError
        For sizes that do not fit; TypeError for other element types.
    """
    size, p, places = _checked(rank, x, norm_type, kernel_size)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": flag(ceil_mode, "ceil_mode")}
    average = getattr(pool, f"avg_pool{rank}d")(size**p, kernel_size, **options)
    average *= places
    np.power(average, 1 / p, out=average)
    return average.astype(floats(x, "x").dtype)


@with_out
def _lp_pool_backward(rank, dy, x, norm_type, kernel_size, stride=None, ceil_mode=False, padding=0, dilation=1):
    """Gradient of lp_pool#d: dx = x |x|^(p-2) times the dy y^(1-p) of the windows that saw it; 0 where x or y is 0.

    Parameters
    ----------
    dy : array (N, C, out...)
    x : array (N, C, spatial...), float32 or float64
    others : as in lp_pool#d

    Returns
    -------
    dx : array like x, in the memory order of x
    """
    size, p, places = _checked(rank, x, norm_type, kernel_size)
    x = floats(x, "x")
    channels_last = is_channels_last(x)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": flag(ceil_mode, "ceil_mode")}
    norm = (getattr(pool, f"avg_pool{rank}d")(size**p, kernel_size, **options) * places) ** (1 / p)
    dy = like(dy, "dy", norm.shape, channels_last, x.dtype)
    share = np.power(norm, 1 - p, out=np.zeros_like(norm), where=norm > 0)
    share *= dy
    spread = getattr(pool, f"avg_pool{rank}d_backward")(share, x.shape[2:], kernel_size, **options)
    slope = np.power(size, p - 1, out=np.zeros_like(size), where=size > 0)
    slope *= np.sign(x)
    slope *= spread
    slope *= places
    return slope.astype(x.dtype)


lp_pool1d, lp_pool2d, lp_pool3d = each_rank(_lp_pool, "lp_pool#d")
lp_pool1d_backward, lp_pool2d_backward, lp_pool3d_backward = each_rank(_lp_pool_backward, "lp_pool#d_backward")
