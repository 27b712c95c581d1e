"""The shortcut of residual networks that has no parameters."""

import numpy as np

from cconv.functional._arguments import activation, like, whole
from cconv.functional.shortcut import shortcut, shortcut_backward
from cconv.nn.base import Layer


class PadShortcut(Layer):
    """Every `stride`-th position of x, and channels of zeros behind it: option A of He et al. 2015, section 3.3.

    Parameters
    ----------
    in_channels, out_channels : int, out_channels not below in_channels
    stride : int
    """

    def __init__(self, in_channels, out_channels, stride=1):
        self.in_channels = whole(in_channels, "in_channels", 1)
        self.out_channels = whole(out_channels, "out_channels", in_channels)
        self.stride = whole(stride, "stride", 1)

    def forward(self, x, train):
        shape = self.output_shape(np.shape(x))
        x, channels_last = activation(x, "x", 4)
        size, dtype = x.shape, x.dtype
        y = shortcut(x, shape, self.stride, channels_last)

        def backward(dy, need_dx=True):
            if not need_dx:
                return None
            dy = like(dy, "dy", shape, channels_last, dtype)
            return shortcut_backward(dy, size, self.stride, channels_last)

        return y, backward

    def output_shape(self, input_shape):
        if len(input_shape) != 4 or input_shape[1] != self.in_channels:
            raise ValueError(f"{self!r} takes x of shape (N, {self.in_channels}, H, W), got {tuple(input_shape)}")
        n, _, *size = input_shape
        return (n, self.out_channels, *(-(-extent // self.stride) for extent in size))

    def extra_repr(self):
        return f"{self.in_channels}, {self.out_channels}, stride={self.stride}"
