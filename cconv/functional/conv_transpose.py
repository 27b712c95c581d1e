"""Transposed convolution: the adjoint of convolution, run by the same three passes.

Dumoulin & Visin, "A guide to convolution arithmetic for deep learning", 2016 (arXiv:1603.07285), chapter 4.
"""

import numpy as np

from cconv import _runtime
from cconv.functional._arguments import activation, floats, like, paddings, parameter, returned, spatial, whole
from cconv.functional._conv_order import ordered
from cconv.functional._out import with_out
from cconv.functional._ranks import each_rank
from cconv.functional.conv import prepare

__all__ = [
    f"conv_transpose{rank}d{suffix}" for rank in (1, 2, 3) for suffix in ("", "_backward_data", "_backward_weight")
]


def transpose_output_size(input_size, kernel_size, stride, pads, output_padding, dilation):
    """Spatial output size of a transposed convolution; ValueError where it would be below 1."""
    sizes = []
    for n, k, s, (before, after), extra, d in zip(
        input_size, kernel_size, stride, pads, output_padding, dilation, strict=True
    ):
        if extra >= max(s, d):
            raise ValueError(
                f"output_padding must be below stride or dilation, got output_padding {tuple(output_padding)}, "
                f"stride {tuple(stride)}, dilation {tuple(dilation)}"
            )
        sizes.append((n - 1) * s - before - after + d * (k - 1) + extra + 1)
    if min(input_size) < 1 or min(sizes) < 1:
        raise ValueError(
            f"conv_transpose: x of size {tuple(input_size)} with kernel_size {tuple(kernel_size)}, stride "
            f"{tuple(stride)}, padding {tuple(pads)} would give the output size {tuple(sizes)}"
        )
    return tuple(sizes)


class Transposed:
    """One transposed convolution, checked once: the convolution whose data gradient it is.

    Where `output_padding` asks for more than a stride beyond the last window, the convolution covers
    `reach` and the rest of the output is 0.
    """

    def __init__(
        self, x_shape, weight_shape, stride, padding, output_padding, groups, dilation, dtype, last=False, algo="auto"
    ):
        rank = len(x_shape) - 2
        self.rank = rank
        groups = whole(groups, "groups", 1)
        stride, dilation = spatial(stride, rank, "stride"), spatial(dilation, rank, "dilation")
        output_padding = spatial(output_padding, rank, "output_padding", minimum=0)
        if isinstance(padding, str):
            raise ValueError(f"padding of a transposed convolution must be numbers, got {padding!r}")
        pads = paddings(padding, rank, None, None, None, None)
        if weight_shape[0] != x_shape[1]:
            raise ValueError(
                f"weight of shape {tuple(weight_shape)} takes {weight_shape[0]} input channels, "
                f"but x has shape {tuple(x_shape)}"
            )
        kernel_size = tuple(weight_shape[2:])
        if min(kernel_size) < 1:
            raise ValueError(f"weight must have a kernel of at least 1 element an axis, got {tuple(weight_shape)}")
        size = transpose_output_size(x_shape[2:], kernel_size, stride, pads, output_padding, dilation)
        reach, fitted = [], []
        for out, (before, after), extra, s in zip(size, pads, output_padding, stride, strict=True):
            unpadded = max(extra - after, 0)
            fitted.append((before, max(after - extra, 0)))
            reach.append(out - max(unpadded - (s - 1), 0))
        self.y_shape = (x_shape[0], weight_shape[1] * groups, *size)
        self.dtype = dtype
        self.whole = tuple(reach) == size
        self.inside = (slice(None), slice(None), *(slice(0, r) for r in reach))
        shape = (*self.y_shape[:2], *reach)
        self.conv = prepare(shape, weight_shape, stride, tuple(fitted), dilation, groups, algo, dtype, last)

    def forward(self, x, weight, bias=None, out=None):
        y = self.conv.backward_data(x, weight, None, bias, out if self.whole else None)
        if self.whole:
            return y
        full = _runtime.empty(self.y_shape, y.dtype, self.conv.x_channels_last)
        full[...] = 0 if bias is None else bias.reshape(-1, *(1,) * self.rank)
        full[self.inside] = y
        return full

    def _dy(self, dy):
        dy = floats(dy, "dy", len(self.y_shape), self.conv.dtype)
        if dy.shape != self.y_shape:
            raise ValueError(f"dy must have shape {self.y_shape}, got {dy.shape}")
        return like(dy[self.inside], "dy", self.conv.x_shape, self.conv.x_channels_last, self.conv.dtype)

    def backward_data(self, dy, weight, out=None):
        return self.conv.forward(self._dy(dy), weight, out=out)

    def backward_weight(self, x, dy, dw):
        """Add the weight gradient to dw."""
        self.conv.backward_weight(self._dy(dy), x, dw)


@with_out
def _conv_transpose(
    rank, x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1, algo="auto", *, out=None
):
    """Transposed convolution over # spatial axes: the gradient of `conv#d` for its input.

    Parameters
    ----------
    x : ndarray, shape (N, C, spatial...), float32 or float64
    weight : ndarray, shape (C, OC/groups, kernel...), dtype of x
    bias : ndarray, shape (OC,), optional
    stride, dilation : int or one int an axis
    padding : int, one int an axis, or one (before, after) pair an axis
        Taken away from both ends of the output.
    output_padding : int or one int an axis, below stride or dilation
        Added to the end of the output.
    groups : int
    algo : as in `conv#d`, which it names the backward_data pass of

    Returns
    -------
    y : ndarray, shape (N, OC, out...), in the memory order of x
        out = (in - 1)*stride - before - after + dilation*(kernel - 1) + output_padding + 1

    Raises
    ------
    ValueError, TypeError
        Naming the argument and the shapes.
    """
    x, last = activation(x, "x", rank + 2)
    weight, groups = floats(weight, "weight", rank + 2, x.dtype), whole(groups, "groups", 1)
    how = (x.shape, weight.shape, stride, padding, output_padding, groups, dilation, x.dtype)
    x, last, asked = ordered(
        x, last, algo, "backward_data", weight.shape, groups, stride, lambda: Transposed(*how).conv
    )
    t = Transposed(*how, last, algo)
    bias = parameter(bias, "bias", (t.y_shape[1],), x.dtype)
    return returned(t.forward(x, np.ascontiguousarray(weight), bias, out), asked, out)


@with_out
def _conv_transpose_backward_data(
    rank, dy, weight, input_size, stride=1, padding=0, output_padding=0, groups=1, dilation=1, algo="auto", *, out=None
):
    """Gradient of `conv_transpose#d` for x, shape (N, C, spatial...).

    dy has shape (N, OC, out...); `input_size` is the spatial size of x. Others and errors as in `conv_transpose#d`.
    """
    dy, last = activation(dy, "dy", rank + 2)
    weight, groups = floats(weight, "weight", rank + 2, dy.dtype), whole(groups, "groups", 1)
    shape = (dy.shape[0], weight.shape[0], *spatial(input_size, rank, "input_size"))
    how = (shape, weight.shape, stride, padding, output_padding, groups, dilation, dy.dtype)
    dy, last, asked = ordered(dy, last, algo, "forward", weight.shape, groups, stride, lambda: Transposed(*how).conv)
    t = Transposed(*how, last, algo)
    return returned(t.backward_data(dy, np.ascontiguousarray(weight), out), asked, out)


@with_out
def _conv_transpose_backward_weight(
    rank, x, dy, kernel_size, stride=1, padding=0, output_padding=0, groups=1, dilation=1, algo="auto", *, out=None
):
    """Gradient of `conv_transpose#d` for weight, shape (C, OC/groups, kernel...).

    x has shape (N, C, spatial...), dy (N, OC, out...). Others and errors as in `conv_transpose#d`.
    """
    x, last = activation(x, "x", rank + 2)
    dy = floats(dy, "dy", rank + 2, x.dtype)
    groups = whole(groups, "groups", 1)
    if dy.shape[1] % groups != 0:
        raise ValueError(f"groups={groups} does not divide the channels of dy, of shape {dy.shape}")
    shape = (x.shape[1], dy.shape[1] // groups, *spatial(kernel_size, rank, "kernel_size"))
    how = (x.shape, shape, stride, padding, output_padding, groups, dilation, x.dtype)
    x, last, _ = ordered(x, last, algo, "backward_weight", shape, groups, stride, lambda: Transposed(*how).conv)
    t = Transposed(*how, last, algo)
    if dy.shape != t.y_shape:
        raise ValueError(f"dy must have shape {t.y_shape}, got {dy.shape}")
    t.conv.algorithm("backward_weight")
    dw = _runtime.empty(shape, x.dtype, out=out)
    dw[...] = 0
    t.backward_weight(x, dy, dw)
    return dw


conv_transpose1d, conv_transpose2d, conv_transpose3d = each_rank(_conv_transpose, "conv_transpose#d")
conv_transpose1d_backward_data, conv_transpose2d_backward_data, conv_transpose3d_backward_data = each_rank(
    _conv_transpose_backward_data, "conv_transpose#d_backward_data"
)
conv_transpose1d_backward_weight, conv_transpose2d_backward_weight, conv_transpose3d_backward_weight = each_rank(
    _conv_transpose_backward_weight, "conv_transpose#d_backward_weight"
)
