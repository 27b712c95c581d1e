"""Trainable subsampling, the S layers of LeNet-5 (LeCun et al. 1998, section II.B)."""

import numpy as np

from cconv import functional as F
from cconv.functional._arguments import whole
from cconv.nn.base import Layer, Parameter, gradients


class Subsampling(Layer):
    """y = weight[c] * (sum of the window) + bias[c], windows side by side.

    Starts as average pooling: weight 1 / kernel_size**2, bias 0.

    Parameters
    ----------
    num_features : int, channels
    kernel_size : int, side of the square window
    """

    def __init__(self, num_features, kernel_size=2):
        self.num_features = whole(num_features, "num_features", 1)
        self.kernel_size = whole(kernel_size, "kernel_size", 1)
        self.weight = Parameter(np.full(num_features, 1 / self.kernel_size**2, np.float32))
        self.bias = Parameter(np.zeros(num_features, np.float32))

    def extra_repr(self):
        return f"{self.num_features}, kernel_size={self.kernel_size}"

    def forward(self, x, train):
        self.output_shape(np.shape(x))
        weight, bias, k = self.weight, self.bias, self.kernel_size
        sums = F.avg_pool2d(x, k, divisor_override=1)
        input_size = x.shape[2:]
        y = sums * _per_channel(weight)
        y += _per_channel(bias)

        def backward(dy, need_dx=True):
            with gradients(weight, bias) as (dweight, dbias):
                dweight += np.sum(dy * sums, axis=(0, 2, 3), dtype=np.float64).astype(weight.dtype)
                dbias += np.sum(dy, axis=(0, 2, 3), dtype=np.float64).astype(bias.dtype)
                if not need_dx:
                    return None
                return F.avg_pool2d_backward(dy * _per_channel(weight), input_size, k, divisor_override=1)

        return y, backward

    def output_shape(self, input_shape):
        if len(input_shape) != 4 or input_shape[1] != self.num_features or min(input_shape[2:]) < self.kernel_size:
            raise ValueError(
                f"Subsampling: x must have shape (N, {self.num_features}, H, W) with H and W at least "
                f"{self.kernel_size}, got {tuple(input_shape)}"
            )
        n, c, h, w = input_shape
        return (n, c, h // self.kernel_size, w // self.kernel_size)

    def macs(self, input_shape):
        n, c, h, w = self.output_shape(input_shape)
        return n * c * h * w * self.kernel_size**2


def _per_channel(parameter):
    return parameter.data[:, None, None]
