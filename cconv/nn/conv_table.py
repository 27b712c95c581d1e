"""Convolution along a connection table, the C3 layer of LeNet-5 (LeCun et al. 1998, table I)."""

import numpy as np

from cconv import functional as F
from cconv.functional._arguments import spatial, whole
from cconv.nn import init
from cconv.nn.base import Layer, Parameter, gradients


class ConvTable2d(Layer):
    """2-D convolution in which each output channel sees only some input channels.

    Parameters
    ----------
    in_channels : int
    connections : sequence of sequences of int
        For each output channel the input channels it is connected to.
    kernel_size : int or pair of ints
    bias : bool
    rng : None, int or numpy Generator; fills the weights as torch would

    Attributes
    ----------
    weight : (links, KH, KW), one kernel a link, in the order of `connections`
    bias : (out_channels,) or None

    Raises
    ------
    ValueError
        Where an output channel has no or repeated inputs, or an input channel does not exist.
    """

    stride = (1, 1)

    def __init__(self, in_channels, connections, kernel_size, bias=True, rng=None):
        self.in_channels = whole(in_channels, "in_channels", 1)
        self.kernel_size = spatial(kernel_size, 2, "kernel_size")
        self.connections = tuple(tuple(whole(i, "connections", 0) for i in inputs) for inputs in connections)
        for inputs in self.connections or ((),):
            if not inputs or len(set(inputs)) != len(inputs) or max(inputs) >= self.in_channels:
                raise ValueError(
                    f"connections must name different channels below {self.in_channels} for each output, got {inputs}"
                )
        self.out_channels = len(self.connections)
        self._outputs = np.repeat(np.arange(self.out_channels), [len(inputs) for inputs in self.connections])
        self._inputs = np.concatenate(self.connections)
        self.weight = Parameter(np.empty((len(self._inputs), *self.kernel_size), np.float32))
        self.bias = Parameter(np.empty(self.out_channels, np.float32)) if bias else None
        self.initialise(lambda fan_in: 1 / np.sqrt(fan_in), rng)

    def initialise(self, bound, rng=None):
        """Weight and bias become uniform on +-bound(fan_in), where fan_in is that of each output channel."""
        rng = np.random.default_rng(rng)
        fan_in = np.array([len(inputs) for inputs in self.connections]) * np.prod(self.kernel_size)
        bounds = bound(fan_in).astype(self.weight.dtype)
        init.uniform(self.weight, -1, 1, rng).data *= bounds[self._outputs, None, None]
        if self.bias is not None:
            init.uniform(self.bias, -1, 1, rng).data *= bounds

    def extra_repr(self):
        links = len(self._inputs)
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, links={links}"

    def forward(self, x, train):
        weight, bias = self.weight, self.bias
        dense = np.zeros((self.out_channels, self.in_channels, *self.kernel_size), weight.dtype)
        dense[self._outputs, self._inputs] = weight.data
        y = F.conv2d(x, dense, None if bias is None else bias.data)

        def backward(dy, need_dx=True):
            dense_grad = F.conv2d_backward_weight(x, dy, self.kernel_size)
            with gradients(weight, bias) as (dweight, dbias):
                dweight += dense_grad[self._outputs, self._inputs]
                if bias is not None:
                    dbias += np.sum(dy, axis=(0, 2, 3), dtype=np.float64).astype(bias.dtype)
            return F.conv2d_backward_data(dy, dense, x.shape[2:]) if need_dx else None

        return y, backward

    def output_shape(self, input_shape):
        sizes = [n - k + 1 for n, k in zip(input_shape[2:], self.kernel_size, strict=False)]
        if len(input_shape) != 4 or input_shape[1] != self.in_channels or min(sizes) < 1:
            raise ValueError(
                f"ConvTable2d: x must have shape (N, {self.in_channels}, H, W) no smaller than the kernel "
                f"{self.kernel_size}, got {tuple(input_shape)}"
            )
        return (input_shape[0], self.out_channels, *sizes)

    def macs(self, input_shape):
        n, _, h, w = self.output_shape(input_shape)
        return n * self.weight.size * h * w
