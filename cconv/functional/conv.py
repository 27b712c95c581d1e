"""Convolution (cross-correlation) over one, two or three spatial axes, forward and backward.

    y[n, o, p] = bias[o] + sum over i, r of weight[o, i, r] * x[n, g*(C/groups) + i, p*stride + r*dilation - before]

Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016 (arXiv:1603.07285).
"""

import functools

import numpy as np

from cconv import _conv, _runtime
from cconv._conv import memory_order  # noqa: F401  for the layers
from cconv.functional import _fft
from cconv.functional._arguments import (
    activation,
    floats,
    like,
    output_sizes,
    paddings,
    parameter,
    returned,
    spatial,
    whole,
)
from cconv.functional._conv_order import LAST_ONLY, ordered
from cconv.functional._out import with_out

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv1d_backward_data",
    "conv2d_backward_data",
    "conv3d_backward_data",
    "conv1d_backward_weight",
    "conv2d_backward_weight",
    "conv3d_backward_weight",
    "conv_algorithms",
]

ALGORITHM_NAMES = (
    "auto", "reference", "im2col", "direct", "pointwise", "depthwise", "grouped", "blocks", "stencil", "winograd",
    "winograd_strided", "winograd_dilated", "fft",
)  # fmt: skip


def prepare(
    x_shape,
    weight_shape,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    algo="auto",
    dtype=np.float32,
    channels_last=False,
    y_channels_last=None,
):
    """Check one convolution once and for all, for callers that repeat it.

    Parameters
    ----------
    x_shape : tuple, (N, C, spatial...)
    weight_shape : tuple, (OC, C/groups, kernel...)
    channels_last, y_channels_last : bool
        Memory order of x (and dx), and of y (and dy); the latter defaults to the former.
    others : as in `conv2d`

    Returns
    -------
    _conv.Convolution
        With forward(x, weight, bias=None), backward_data(dy, weight), backward_weight(x, dy, dw) and
        backward_bias(dy, db). The last two add to dw and db. Arrays must have the memory order said here.

    Raises
    ------
    ValueError, TypeError
        Naming the argument and the shapes.
    """
    rank = len(x_shape) - 2
    if not 1 <= rank <= 3 or len(weight_shape) != len(x_shape):
        raise ValueError(
            f"x must have shape (N, C, spatial...) with 1 to 3 spatial axes and weight as many axes, "
            f"got {tuple(x_shape)} and {tuple(weight_shape)}"
        )
    groups = whole(groups, "groups", 1)
    stride = spatial(stride, rank, "stride")
    dilation = spatial(dilation, rank, "dilation")
    n, channels, *input_size = (whole(v, "x shape", 0) for v in x_shape)
    out_channels, group_channels, *kernel_size = (whole(v, "weight shape", 0) for v in weight_shape)
    if min(kernel_size) < 1:
        raise ValueError(f"weight must have a kernel of at least 1 element an axis, got shape {tuple(weight_shape)}")
    if group_channels * groups != channels:
        raise ValueError(
            f"weight of shape {tuple(weight_shape)} with groups={groups} takes {group_channels * groups} "
            f"input channels, but x has shape {tuple(x_shape)}"
        )
    if out_channels % groups != 0:
        raise ValueError(f"groups={groups} does not divide the {out_channels} output channels of weight")
    pads = paddings(padding, rank, input_size, kernel_size, stride, dilation)
    output_sizes(input_size, kernel_size, stride, pads, dilation, "conv")
    if not isinstance(algo, str) or algo not in ALGORITHM_NAMES:
        raise ValueError(f"algo must be one of {', '.join(ALGORITHM_NAMES)}, got {algo!r}")
    kind, name = (_fft.Convolution, ()) if algo == "fft" else (_conv.Convolution, (algo,))
    return kind(
        n,
        channels,
        out_channels,
        groups,
        tuple(input_size),
        tuple(kernel_size),
        stride,
        pads,
        dilation,
        dtype,
        channels_last,
        channels_last if y_channels_last is None else y_channels_last,
        *name,
    )


_remembered = functools.lru_cache(maxsize=128)(prepare)


def _geometry(x_shape, weight_shape, stride, padding, dilation, groups, algo, dtype, last):
    """`prepare`, once for calls that are repeated; not where equal arguments may differ in type, as 1 and 1.0 do."""
    plain = type(stride) is type(dilation) is type(groups) is int and type(padding) in (int, str)
    recall = plain and type(algo) is str and algo != "fft"
    return (_remembered if recall else prepare)(
        x_shape, weight_shape, stride, padding, dilation, groups, algo, dtype, last
    )


def _forward(rank, x, weight, bias, stride, padding, dilation, groups, algo, out):
    x, last = activation(x, "x", rank + 2)
    weight = floats(weight, "weight", rank + 2, x.dtype)
    groups = whole(groups, "groups", 1)

    def geometry(algo, last):
        return _geometry(x.shape, weight.shape, stride, padding, dilation, groups, algo, x.dtype, last)

    x, last, asked = ordered(x, last, algo, "forward", weight.shape, groups, stride, lambda: geometry("auto", False))
    bias = parameter(bias, "bias", (weight.shape[0],), x.dtype)
    y = geometry(algo, last).forward(x, np.ascontiguousarray(weight), bias, out=out)
    return returned(y, asked, out)


def _backward_data(rank, dy, weight, input_size, stride, padding, dilation, groups, algo, out):
    dy, last = activation(dy, "dy", rank + 2)
    weight = floats(weight, "weight", rank + 2, dy.dtype)
    groups = whole(groups, "groups", 1)
    shape = (dy.shape[0], weight.shape[1] * groups, *spatial(input_size, rank, "input_size", minimum=0))

    def geometry(algo, last):
        return _geometry(shape, weight.shape, stride, padding, dilation, groups, algo, dy.dtype, last)

    first = functools.partial(geometry, "auto", False)
    dy, last, asked = ordered(dy, last, algo, "backward_data", weight.shape, groups, stride, first)
    made = geometry(algo, last)
    _check_dy(dy, made)
    return returned(made.backward_data(dy, np.ascontiguousarray(weight), out=out), asked, out)


def _backward_weight(rank, x, dy, kernel_size, stride, padding, dilation, groups, algo, out):
    x, last = activation(x, "x", rank + 2)
    dy = floats(dy, "dy", rank + 2, x.dtype)
    groups = whole(groups, "groups", 1)
    if x.shape[1] % groups != 0:
        raise ValueError(f"groups={groups} does not divide the channels of x, of shape {x.shape}")
    shape = (dy.shape[1], x.shape[1] // groups, *spatial(kernel_size, rank, "kernel_size"))

    def geometry(algo, last):
        return _geometry(x.shape, shape, stride, padding, dilation, groups, algo, x.dtype, last)

    x, last, _ = ordered(x, last, algo, "backward_weight", shape, groups, stride, lambda: geometry("auto", False))
    made = geometry(algo, last)
    _check_dy(dy, made)
    dy = like(dy, "dy", made.y_shape, last, x.dtype)
    made.algorithm("backward_weight")  # or else a ValueError, before anything is written
    dw = _runtime.empty(shape, x.dtype, out=out)
    dw[...] = 0
    made.backward_weight(x, dy, dw)
    return dw


def _check_dy(dy, geometry):
    if dy.shape != geometry.y_shape:
        raise ValueError(f"dy must have shape {geometry.y_shape} for {geometry.describe()}, got {dy.shape}")


@with_out
def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, algo="auto", *, out=None):
    """Convolution over one spatial axis: x (N, C, L), weight (OC, C/groups, K). See `conv2d`."""
    return _forward(1, x, weight, bias, stride, padding, dilation, groups, algo, out)


@with_out
def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, algo="auto", *, out=None):
    """Convolution (cross-correlation) over two spatial axes.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W), float32 or float64
    weight : ndarray, shape (OC, C/groups, KH, KW), dtype of x
    bias : ndarray, shape (OC,), optional
    stride, dilation : int or one int an axis
    padding : int, one int an axis, one (before, after) pair an axis, or
        "valid" (none), "same" (ceil(n/stride) outputs, odd element at the end), "same_lower" (at the
        start), "full" (every overlap).
    groups : int, divides C and OC; group g of the outputs sees group g of the input channels
    algo : "auto" or a name that `conv_algorithms` lists
        "reference" (loops), "im2col" and "direct" do every geometry, "pointwise" 1x1 kernels, "depthwise" groups of one
        input channel, "blocks" groups in channels-first order (some at a time by what suits them in channels-last order),
        "stencil" few channels in channels-first order (backward_data without stride), "winograd" 3x3 and 5x5 kernels without
        stride and dilation (not depthwise, and in double without groups), "winograd_strided" 3x3 kernels with stride 2 in
        channels-last float32 and groups of 16, 32, ... channels, "winograd_dilated" 3x3 and 5x5 ones with dilation in
        channels-last float32, all exactly as a sum of products rounds (Winograd's tiles round a little more). "fft" does
        everything by Fourier transforms and pays for kernels of some 15 elements an axis and more; its errors are relative
        to the largest outputs, and an Inf or NaN spreads over the whole image.

    Returns
    -------
    y : ndarray, shape (N, OC, OH, OW), in the memory order of x (channels-first or channels-last)

    Raises
    ------
    ValueError
        For shapes and values that do not fit together, and an algo that cannot do the geometry.
    TypeError
        For other dtypes.
    """
    return _forward(2, x, weight, bias, stride, padding, dilation, groups, algo, out)


@with_out
def conv3d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1, algo="auto", *, out=None):
    """Convolution over three spatial axes: x (N, C, D, H, W), weight (OC, C/groups, KD, KH, KW). See `conv2d`."""
    return _forward(3, x, weight, bias, stride, padding, dilation, groups, algo, out)


@with_out
def conv1d_backward_data(dy, weight, input_size, stride=1, padding=0, dilation=1, groups=1, algo="auto", *, out=None):
    """Gradient of `conv1d` for x. See `conv2d_backward_data`."""
    return _backward_data(1, dy, weight, input_size, stride, padding, dilation, groups, algo, out)


@with_out
def conv2d_backward_data(dy, weight, input_size, stride=1, padding=0, dilation=1, groups=1, algo="auto", *, out=None):
    """Gradient of `conv2d` for x: the transpose of the linear map x -> y.

    Parameters
    ----------
    dy : ndarray, shape (N, OC, OH, OW)
    weight : ndarray, shape (OC, C/groups, KH, KW)
    input_size : int or (H, W)
        Spatial size of x, which a stride above 1 leaves open.
    others : as in `conv2d`

    Returns
    -------
    dx : ndarray, shape (N, C, H, W), in the memory order of dy

    Raises
    ------
    ValueError
        Also if dy has not the shape that the forward pass gives.
    """
    return _backward_data(2, dy, weight, input_size, stride, padding, dilation, groups, algo, out)


@with_out
def conv3d_backward_data(dy, weight, input_size, stride=1, padding=0, dilation=1, groups=1, algo="auto", *, out=None):
    """Gradient of `conv3d` for x. See `conv2d_backward_data`."""
    return _backward_data(3, dy, weight, input_size, stride, padding, dilation, groups, algo, out)


@with_out
def conv1d_backward_weight(x, dy, kernel_size, stride=1, padding=0, dilation=1, groups=1, algo="auto", *, out=None):
    """Gradient of `conv1d` for weight. See `conv2d_backward_weight`."""
    return _backward_weight(1, x, dy, kernel_size, stride, padding, dilation, groups, algo, out)


@with_out
def conv2d_backward_weight(x, dy, kernel_size, stride=1, padding=0, dilation=1, groups=1, algo="auto", *, out=None):
    """Gradient of `conv2d` for weight.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    dy : ndarray, shape (N, OC, OH, OW)
    kernel_size : int or (KH, KW)
        Which a stride above 1 leaves open.
    others : as in `conv2d`

    Returns
    -------
    dw : ndarray, shape (OC, C/groups, KH, KW)

    Raises
    ------
    ValueError
        Also if dy has not the shape that the forward pass gives.
    """
    return _backward_weight(2, x, dy, kernel_size, stride, padding, dilation, groups, algo, out)


@with_out
def conv3d_backward_weight(x, dy, kernel_size, stride=1, padding=0, dilation=1, groups=1, algo="auto", *, out=None):
    """Gradient of `conv3d` for weight. See `conv2d_backward_weight`."""
    return _backward_weight(3, x, dy, kernel_size, stride, padding, dilation, groups, algo, out)


def conv_algorithms(
    x_shape,
    weight_shape,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    dtype=np.float32,
    channels_last=False,
    direction="forward",
):
    """Names of the algorithms that can do a convolution: the one that "auto" takes for an x of this memory order, and
    the others in the order it prefers them.

    For a channels-first x, those that want channels-last stand before the reference and work on a copy. "fft" does
    everything, but "auto" never takes it.

    Parameters
    ----------
    x_shape, weight_shape : tuple, as of the arrays of `conv1d`, `conv2d` or `conv3d`
    channels_last : bool, memory order of x
    direction : "forward", "backward_data" or "backward_weight"
    others : as in `conv2d`

    Returns
    -------
    list of str
    """
    if direction not in _conv.PASSES:
        raise ValueError(f"direction must be one of {', '.join(_conv.PASSES)}, got {direction!r}")

    def fitting(last):
        shapes = tuple(x_shape), tuple(weight_shape)
        geometry = prepare(*shapes, stride, padding, dilation, groups, "auto", dtype, last)
        chosen = geometry.algorithm(direction)
        return sorted(geometry.algorithms(direction), key=lambda name: name != chosen)

    names = fitting(channels_last)
    if not channels_last:
        names[-1:-1] = [name for name in fitting(True) if name in LAST_ONLY and name not in names]
    names.insert(-1, "fft")
    return names
