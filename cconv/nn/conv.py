"""Convolution layers."""

import math

import numpy as np

from cconv.functional._arguments import (
    activation,
    floats,
    like,
    output_sizes,
    paddings,
    spatial,
    to_channels_last,
    whole,
)
from cconv.functional._conv_order import LAST_ONLY
from cconv.functional.activation import added, relu_backward
from cconv.functional.conv import ALGORITHM_NAMES, memory_order, prepare
from cconv.functional.conv_transpose import Transposed, transpose_output_size
from cconv.functional.padding import padded, padded_backward
from cconv.nn import init
from cconv.nn.base import Layer, Parameter, gradients

# Geometries a layer remembers; a network sees one or two input shapes at a time.
REMEMBERED = 8

# A float32 network runs channels-last. Its first convolution reads so few channels as they come; an image
# with more is brought to that order first.
FEW_CHANNELS = 4


class _Conv(Layer):
    """What the layers share: arguments, parameters, remembered geometries."""

    rank = 2

    padding_modes = ("zeros",)

    def _setup(self, in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode, algo):
        if padding_mode not in self.padding_modes:
            raise ValueError(f"padding_mode must be one of {self.padding_modes}, got {padding_mode!r}")
        if not isinstance(algo, str) or algo not in ALGORITHM_NAMES:
            raise ValueError(f"algo must be one of {', '.join(ALGORITHM_NAMES)}, got {algo!r}")
        self.in_channels = whole(in_channels, "in_channels", 0)
        self.out_channels = whole(out_channels, "out_channels", 0)
        self.kernel_size = spatial(kernel_size, self.rank, "kernel_size")
        self.stride = spatial(stride, self.rank, "stride")
        self.dilation = spatial(dilation, self.rank, "dilation")
        self.groups = whole(groups, "groups", 1)
        self.padding, self.padding_mode = padding, padding_mode
        self.algo = algo
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups != 0:
                raise ValueError(f"groups={self.groups} does not divide {name}={getattr(self, name)}")
        # For its errors alone: the sizes that named paddings depend on come with the input.
        paddings(padding, self.rank, (0,) * self.rank, self.kernel_size, self.stride, self.dilation)
        self._geometries = {}

    def _parameters(self, weight_shape, bias, rng, dtype):
        dtype = np.dtype(dtype)
        if dtype not in (np.float32, np.float64):
            raise TypeError(f"dtype must be float32 or float64, got {dtype}")
        self.weight = Parameter(np.empty(weight_shape, dtype))
        self.bias = Parameter(np.empty(self.out_channels, dtype)) if bias else None
        init.torch_default(self.weight, self.bias, rng)

    def _prepared(self, x):
        """x in one of the kernels' memory orders, and the geometry for it."""
        order = memory_order(x)
        if order < 0:
            x, order = activation(x, "x", self.rank + 2)
        if not order and x.ndim == self.rank + 2 and self._wants_channels_last(x):
            x, order = to_channels_last(x), True
        return x, self._geometry(x.shape, x, bool(order))

    def _wants_channels_last(self, x):
        return self.algo in LAST_ONLY or (x.dtype == np.float32 and self.in_channels > FEW_CHANNELS)

    def _geometry(self, shape, x, last):
        key = (shape, last, self.weight.dtype)
        geometry = self._geometries.get(key)
        if geometry is None or x.dtype != self.weight.dtype:
            self._check(shape)
            floats(x, "x", self.rank + 2, self.weight.dtype)
            geometry = self._make_geometry(shape, last)
            if len(self._geometries) >= REMEMBERED:
                self._geometries.clear()
            self._geometries[key] = geometry
        return geometry

    def _check(self, shape):
        if len(shape) != self.rank + 2 or shape[1] != self.in_channels:
            axes = ", ".join("DHW"[3 - self.rank :]) if self.rank > 1 else "L"
            raise ValueError(f"{self!r} takes x of shape (N, {self.in_channels}, {axes}), got {tuple(shape)}")

    def output_shape(self, input_shape):
        self._check(input_shape)
        return (input_shape[0], self.out_channels, *self._output_size(tuple(input_shape[2:])))

    def __getstate__(self):
        return {**vars(self), "_geometries": {}}

    def extra_repr(self):
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name, default in (("padding", 0), ("output_padding", 0), ("dilation", 1), ("groups", 1)):
            value = getattr(self, name, default)
            if value not in (default, (default,) * self.rank):
                text += f", {name}={value!r}"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode!r}"
        return text + ("" if self.bias is not None else ", bias=False")


class _Forward(_Conv):
    padding_modes = ("zeros", "reflect", "replicate", "circular")

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
        bias=True,
        padding_mode="zeros",
        *,
        rng=None,
        dtype=np.float32,
        algo="auto",
    ):
        self._setup(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode, algo)
        shape = (self.out_channels, self.in_channels // self.groups, *self.kernel_size)
        self._parameters(shape, bias, rng, dtype)

    def _make_geometry(self, shape, last):
        w = self.weight
        return prepare(
            shape, w.shape, self.stride, self.padding if self.padding_mode == "zeros" else 0, self.dilation,
            self.groups, self.algo, w.dtype, last, last or w.dtype == np.float32,
        )  # fmt: skip

    def _bordered(self, x):
        """(x within its border, the border or None where the convolution adds zeros itself)."""
        if self.padding_mode == "zeros":
            return x, None
        x = floats(x, "x", self.rank + 2, self.weight.dtype)
        self._check(x.shape)
        pads = paddings(self.padding, self.rank, x.shape[2:], self.kernel_size, self.stride, self.dilation)
        border = ((0, 0), (0, 0), *pads)
        return padded(x, border, self.padding_mode), border

    def forward(self, x, train, relu=False):
        """As every layer's; with `relu` y is max(y, 0)."""
        x, border = self._bordered(x)
        x, geometry = self._prepared(x)
        weight, bias = self.weight, self.bias
        y = geometry.forward(x, weight.data, None if bias is None else bias.data, None, relu, mosaic=train)

        def backward(dy, need_dx=True, onto=None):
            if not geometry.takes_dy(dy):
                dy = like(dy, "dy", geometry.y_shape, geometry.y_channels_last, geometry.dtype)
            if relu and bias is not None:
                with gradients(bias) as (dbias,):
                    dy = geometry.backward_relu(dy, y, dbias)
            elif relu:
                dy = relu_backward(dy, y)
            dx = None
            if need_dx:
                # dx may lie as it likes: like dy, for which there are the faster algorithms.
                back = self._geometry(geometry.x_shape, x, geometry.y_channels_last)
                fused = onto is not None and border is None and back.takes_dx(onto)
                dx = back.backward_data(dy, weight.data, onto if fused else None, mosaic=train)
                if border is not None:
                    dx = padded_backward(dx, border, self.padding_mode)
                if onto is not None and not fused:
                    dx = added(dx, onto)
            # A sink takes the weight's gradient piece by piece, now that dx is done.
            geometry.backward_weight(x, dy, weight.grad if weight.sink is None else weight.sink)
            if bias is not None and not relu:
                with gradients(bias) as (dbias,):
                    geometry.backward_bias(dy, dbias)
            return dx

        return y, backward

    def passes(self):
        """The geometries of the last shape seen, by pass; empty before the first call."""
        if not self._geometries:
            return {}
        last = next(reversed(self._geometries.values()))
        first = next(one for one in self._geometries.values() if one.x_shape == last.x_shape)
        return {"forward": first, "backward_data": last, "backward_weight": first}

    def infer(self, x, scale=None, shift=None, residual=None, relu=False):
        """(conv(x) * scale + shift) + residual, then max(y, 0) with `relu`, in one pass; scale and shift have shape
        (out_channels,)."""
        x, geometry = self._prepared(self._bordered(x)[0])
        weight, bias = self.weight.data, None if self.bias is None else self.bias.data
        if scale is not None:
            bias = shift if bias is None else bias * scale + shift
        if residual is not None:
            residual = like(residual, "residual", geometry.y_shape, geometry.y_channels_last, geometry.dtype)
        return geometry.forward(x, weight, bias, residual, relu, scale)

    def __call__(self, x):
        return self.infer(x)

    def _output_size(self, size):
        pads = paddings(self.padding, self.rank, size, self.kernel_size, self.stride, self.dilation)
        return output_sizes(size, self.kernel_size, self.stride, pads, self.dilation, repr(self))

    def macs(self, input_shape):
        n, _, *size = self.output_shape(input_shape)
        return n * math.prod(size) * self.weight.size


class _Transpose(_Conv):
    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups=1,
        bias=True,
        dilation=1,
        padding_mode="zeros",
        *,
        rng=None,
        dtype=np.float32,
        algo="auto",
    ):
        self._setup(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode, algo)
        if isinstance(padding, str):
            raise ValueError(f"padding of a transposed convolution must be numbers, got {padding!r}")
        self.output_padding = spatial(output_padding, self.rank, "output_padding", minimum=0)
        shape = (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        self._parameters(shape, bias, rng, dtype)

    def _make_geometry(self, shape, last):
        return Transposed(
            shape, self.weight.shape, self.stride, self.padding, self.output_padding, self.groups, self.dilation,
            self.weight.dtype, last, self.algo,
        )  # fmt: skip

    def forward(self, x, train):
        x, geometry = self._prepared(x)
        weight, bias = self.weight, self.bias
        y = geometry.forward(x, weight.data, None if bias is None else bias.data)

        def backward(dy, need_dx=True):
            dy = floats(dy, "dy", self.rank + 2, geometry.dtype)
            dx = geometry.backward_data(dy, weight.data) if need_dx else None
            with gradients(weight, bias) as (dweight, dbias):
                geometry.backward_weight(x, dy, dweight)
                if dbias is not None:
                    dbias += np.moveaxis(dy, 1, -1).reshape(-1, dy.shape[1]).sum(0, np.float64)
            return dx

        return y, backward

    def _output_size(self, size):
        pads = paddings(self.padding, self.rank, None, None, None, None)
        return transpose_output_size(size, self.kernel_size, self.stride, pads, self.output_padding, self.dilation)

    def macs(self, input_shape):
        self._check(input_shape)
        n, _, *size = input_shape
        return n * math.prod(size) * self.weight.size


class Conv1d(_Forward):
    """Convolution over one spatial axis, x (N, C, L). See `Conv2d`."""

    rank = 1


class Conv2d(_Forward):
    """Convolution (cross-correlation) over two spatial axes, with torch's arguments.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or one int an axis
    padding : int, tuple, (before, after) pairs, or a name; as in `functional.conv2d`
    groups : int
    bias : bool
    padding_mode : "zeros", "reflect", "replicate" or "circular"
        What stands around the image, as in `functional.pad`.
    rng : None, seed or Generator
        Of the initial weights: uniform on +-1/sqrt(fan_in), as in torch.
    dtype : float32 or float64
    algo : as in `functional.conv2d`

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels/groups, KH, KW)
    bias : Parameter, shape (out_channels,), or None

    In float32 y and dx lie channels-last in memory, whatever x does.
    `backward(dy, need_dx=False)` leaves dx out and returns None, for the first layer of a network.
    """

    rank = 2


class Conv3d(_Forward):
    """Convolution over three spatial axes, x (N, C, D, H, W). See `Conv2d`."""

    rank = 3


class ConvTranspose1d(_Transpose):
    """Transposed convolution over one spatial axis, x (N, C, L). See `ConvTranspose2d`."""

    rank = 1


class ConvTranspose2d(_Transpose):
    """Transposed convolution over two spatial axes: the gradient of `Conv2d` for its input.

    Parameters
    ----------
    output_padding : int or one int an axis
        Added to the end of the output; below stride or dilation.
    others : as in `Conv2d`, in torch's order; `padding` in numbers

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels/groups, KH, KW)
    bias : Parameter, shape (out_channels,), or None
    """

    rank = 2


class ConvTranspose3d(_Transpose):
    """Transposed convolution over three spatial axes, x (N, C, D, H, W). See `ConvTranspose2d`."""

    rank = 3
