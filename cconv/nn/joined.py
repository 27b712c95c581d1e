"""Neighbouring layers as one, with fewer passes over memory. `cconv.fuse` puts them together.

Each shares the Parameters and Buffers of the layers it stands for.
"""

from cconv import _runtime
from cconv import functional as F
from cconv.functional._arguments import copy_into, is_channels_last
from cconv.nn.base import Layer
from cconv.nn.combine import Concat, Sequential, run_backward


class ConvReLU(Layer):
    """Convolution whose outputs pass ReLU while they are in cache."""

    def __init__(self, conv):
        self.conv = conv

    def forward(self, x, train):
        return self.conv.forward(x, train, relu=True)

    def __call__(self, x):
        return self.conv.infer(x, relu=True)

    def output_shape(self, input_shape):
        return self.conv.output_shape(input_shape)


class NormReLU(Layer):
    """Batch norm and ReLU in one pass forward, and in two backward."""

    def __init__(self, norm):
        self.norm = norm

    def forward(self, x, train):
        y, both = self.norm.forward_residual(x, train, relu=True)
        return y, lambda dy, need_dx=True: both(dy)[0]

    def output_shape(self, input_shape):
        return self.norm.output_shape(input_shape)


class ConvNorm(Layer):
    """Convolution, batch norm, and with `relu` max(y, 0); in inference the norm is a scale and a shift of
    the outputs on their way to memory."""

    def __init__(self, conv, norm, relu=False):
        self.conv, self.norm, self.relu = conv, norm, relu

    takes_out = True

    def forward(self, x, train, out=None):
        y, both = self.forward_residual(x, train, relu=self.relu, out=out)
        return y, lambda dy, need_dx=True, onto=None: both(dy, need_dx, onto)[0]

    def forward_residual(self, x, train, residual=None, relu=False, out=None):
        """As `forward`, with `residual` added before ReLU; backward(dy, need_dx, onto) -> (dx, dresidual)."""
        h, conv_backward = self.conv.forward(x, train)
        y, norm_backward = self.norm.forward_residual(h, train, residual, relu, out)

        def backward(dy, need_dx=True, onto=None):
            dh, dresidual = norm_backward(dy)
            return run_backward(conv_backward, dh, need_dx, onto), dresidual

        return y, backward

    def __call__(self, x):
        return self.infer(x, relu=self.relu)

    def infer(self, x, residual=None, relu=False):
        """The output alone, with the running statistics folded into scale and bias."""
        if not self.norm.track_running_stats:
            return self.forward_residual(x, False, residual, relu)[0]
        scale, shift = self.norm.fold()
        return self.conv.infer(x, scale, shift, residual, relu)

    def output_shape(self, input_shape):
        return self.conv.output_shape(input_shape)


class Residual(Layer):
    """The block of He et al. 2015: norm(conv(body(x))) + shortcut(x), then ReLU where `relu`.

    Parameters
    ----------
    body : Layer, in front of the last convolution
    last : ConvNorm
    shortcut : Layer; an empty Sequential is the identity
    relu : bool
    """

    def __init__(self, body, last, shortcut, relu):
        self.body, self.last, self.shortcut, self.relu = body, last, shortcut, relu

    def forward(self, x, train):
        h, body_backward = self.body.forward(x, train)
        residual, shortcut_backward = self.shortcut.forward(x, train)
        y, last_backward = self.last.forward_residual(h, train, residual, self.relu)
        del h, residual

        def backward(dy, need_dx=True):
            dh, dresidual = last_backward(dy)
            other = run_backward(shortcut_backward, dresidual, need_dx)
            del dresidual
            return run_backward(body_backward, dh, need_dx, other)

        return y, backward

    def __call__(self, x):
        return self.last.infer(self.body(x), self.shortcut(x), self.relu)

    def output_shape(self, input_shape):
        return Sequential(self.body, self.last).output_shape(input_shape)


class ConcatNorm(Concat):
    """`Concat` of channels, some branches of which end with a norm: it writes y's channels where they belong, and reads
    those of dy there."""

    def __init__(self, *branches):
        super().__init__(*branches)
        self._known = None, None  # shape of x, and of what each branch gives for it

    def forward(self, x, train):
        if not is_channels_last(x):
            return super().forward(x, train)
        if self._known[0] != x.shape:
            self._known = x.shape, self._shapes(x.shape)
        shapes = self._known[1]
        y = _runtime.empty(self._joined(shapes), x.dtype, True)
        passes = []
        for branch, place in zip(self, self._split(y, shapes), strict=True):
            output, one = branch.forward(x, train, place) if branch.takes_out else branch.forward(x, train)
            if output is not place:
                copy_into(place, output)
            passes.append(one)
        return y, self._backward(shapes, passes)


class LinearReLU(Layer):
    """Fully connected layer with ReLU in the same pass."""

    def __init__(self, linear):
        self.linear = linear

    def forward(self, x, train):
        y, linear_backward = self.linear.forward(x, train, relu=True)

        def backward(dy, need_dx=True):
            return linear_backward(F.relu_backward(dy, y), need_dx)

        return y, backward

    def output_shape(self, input_shape):
        return self.linear.output_shape(input_shape)
