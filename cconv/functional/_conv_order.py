"""In which memory order the kernels see the arrays of a convolution that lie channels-first, as NumPy makes them.

What is better in channels-last order although it has to be copied there, and its result back, was measured.
"""

import math

import numpy as np

from cconv.functional._arguments import to_channels_first, to_channels_last

# What each of the kernels does without a copy is known to them; these want channels-last, or channels-first.
LAST_ONLY = ("direct", "pointwise", "depthwise", "grouped", "winograd", "winograd_strided", "winograd_dilated")
FIRST_ONLY = ("stencil", "blocks")

# Groups of an array are left as they are if they have so few channels, and their rows so many elements; rows of depthwise
# 3x3 convolution, where it is asked for, need fewer.
SMALL_GROUP = 4
LONG_ROWS = 24
SHORT_ROWS = 5

# From so many channels on, in and out; in the weight gradients of 1x1 kernels; and in sums of so many terms.
MANY_CHANNELS = 16
MANY_POINTS = 8
SOME_CHANNELS, MANY_TERMS = 4, 96


def ordered(x, last, algo, direction, weight_shape, groups, stride, first):
    """(x or a copy, whether that lies channels-last, whether x did).

    Parameters
    ----------
    x : ndarray, what the pass reads (dy, in backward_data)
    last : bool, its memory order
    direction : the pass of the convolution; stride : its stride, as one int or a tuple
    first : callable, gives the channels-first geometry with algo="auto"
    """
    wanted = last
    if algo in FIRST_ONLY:
        wanted = False
    elif not last and algo in LAST_ONLY:
        wanted = not _can_stay(algo, direction, x.shape[-1], first)
    elif not last and algo == "auto":
        wanted = _gains(direction, weight_shape, groups, stride, x, first())
    if wanted == last:
        return x, last, last
    return to_channels_last(x) if wanted else to_channels_first(x), wanted, last


def _can_stay(algo, direction, width, first):
    """Whether an algorithm that was asked for does channels-first arrays without a copy."""
    if algo == "depthwise" and width < SHORT_ROWS:
        return False
    return algo in ("depthwise", "pointwise") and algo in first().algorithms(direction)


def _gains(direction, weight_shape, groups, stride, x, geometry):
    """Whether "auto" is faster with a copy of channels-first arrays."""
    if geometry.algorithm(direction) in ("depthwise", "blocks", "pointwise"):
        return False
    out_channels, channels, *kernel_size = weight_shape
    taps = math.prod(kernel_size)
    if groups > 1:
        few = (out_channels // groups if direction == "backward_data" else channels) <= SMALL_GROUP
        dense = stride == 1 or tuple(np.atleast_1d(stride)) == (1,) * np.size(stride)
        return not (few and dense and x.shape[-1] >= LONG_ROWS)
    if x.dtype != np.float32:
        return False
    if taps == 1:
        return min(channels, out_channels) >= (MANY_POINTS if direction == "backward_weight" else MANY_CHANNELS)
    if direction == "backward_weight":
        return out_channels >= MANY_CHANNELS
    if direction == "forward" and channels >= SOME_CHANNELS and channels * taps >= MANY_TERMS:
        return out_channels >= MANY_CHANNELS
    return min(channels, out_channels) >= MANY_CHANNELS
