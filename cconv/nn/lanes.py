"""Small convolutions with ReLU and 2x2 max pooling as one layer, an image in each vector lane."""

import numpy as np

from cconv import runtime
from cconv.functional.lanes import MAX_STAGES, Chain
from cconv.nn.base import Layer, gradients
from cconv.nn.combine import Sequential

# With more channels a vector over channels is full, and other algorithms reuse more.
_MOST_INPUT_CHANNELS = 8
_MOST_OUTPUT_CHANNELS = 32


class ConvChain(Layer):
    """[Conv2d, ReLU, MaxPool2d(2)] several times over, run together on blocks of images.

    Shares the Parameters of the layers it is made from. Takes float32 (N, C, H, W); other inputs go
    through the layers one by one.

    Parameters
    ----------
    layers : sequence of Layer, three a stage, of which `fits` is true
    """

    MOST_STAGES = MAX_STAGES

    def __init__(self, layers):
        self.layers = Sequential(*layers)
        self.convs = list(layers)[::3]
        self._chains = {}

    @staticmethod
    def fits(conv, activation, pool):
        """Whether these three layers can be a stage."""
        names = type(conv).__name__, type(activation).__name__, type(pool).__name__
        return (
            names == ("Conv2d", "ReLU", "MaxPool2d")
            and conv.algo == "auto"
            and conv.weight.dtype == np.float32
            and conv.bias is not None
            and conv.groups == 1
            and conv.stride == (1, 1)
            and conv.dilation == (1, 1)
            and conv.in_channels <= _MOST_INPUT_CHANNELS
            and conv.out_channels <= _MOST_OUTPUT_CHANNELS
            and not isinstance(conv.padding, str)
            and conv.padding_mode == "zeros"
            and all(max(pair) < k for pair, k in zip(_pairs(conv.padding), conv.kernel_size, strict=True))
            and _is_2x2(pool)
        )

    def _chain(self, shape):
        chain = self._chains.get(shape)
        if chain is None:
            stages = [
                (conv.out_channels, conv.kernel_size, tuple(p for pair in _pairs(conv.padding) for p in pair))
                for conv in self.convs
            ]
            chain = self._chains[shape] = Chain(shape, stages)
            if runtime.verbose:
                runtime.say(
                    f"conv chain of x {shape}, {len(stages)} stages: convolution, ReLU and pooling, 16 images abreast"
                )
        return chain

    def _ready(self, x):
        """The array the chain takes, or None where the layers must run one by one."""
        x = np.asarray(x)
        if x.dtype != np.float32 or self.convs[0].weight.dtype != np.float32:
            return None
        if x.shape not in self._chains:
            if x.ndim != 4 or x.shape[0] == 0:
                return None
            self.layers.output_shape(x.shape)  # for its errors
        return np.ascontiguousarray(x)

    def _arrays(self):
        return [c.weight.data for c in self.convs], [c.bias.data for c in self.convs]

    def __call__(self, x):
        ready = self._ready(x)
        if ready is None:
            return self.layers(x)
        return self._chain(ready.shape).forward(ready, *self._arrays(), False)[0]

    def forward(self, x, train):
        ready = self._ready(x)
        if ready is None:
            return self.layers.forward(x, train)
        x = ready
        chain = self._chain(x.shape)
        weights, biases = self._arrays()
        y, saved = chain.forward(x, weights, biases, True)

        def backward(dy, need_dx=True):
            with gradients(*[p for c in self.convs for p in (c.weight, c.bias)]) as targets:
                return chain.backward(saved, weights, np.ascontiguousarray(dy), targets[::2], targets[1::2], need_dx)

        return y, backward

    def output_shape(self, input_shape):
        return self.layers.output_shape(input_shape)

    def macs(self, input_shape):
        return self.layers.macs(input_shape)


def _pairs(padding):
    if isinstance(padding, int):
        padding = (padding, padding)
    return [p if isinstance(p, (tuple, list)) else (p, p) for p in padding]


def _two(value):
    return value in (2, (2, 2), [2, 2])


def _is_2x2(pool):
    return (
        _two(pool.kernel_size)
        and (pool.stride is None or _two(pool.stride))
        and pool.padding in (0, (0, 0))
        and pool.dilation in (1, (1, 1))
        and not pool.ceil_mode
        and not pool.return_indices
    )
