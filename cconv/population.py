"""Statistics of a whole data set for batch norm, in place of moving averages over training batches."""

import contextlib
import math

import numpy as np

from cconv import nn
from cconv.functional._arguments import whole

__all__ = ["recalibrate"]

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class _Sums:
    """Mean and variance of all values of a channel, from those of the batches."""

    def __init__(self):
        self.count, self.mean, self.squares, self.batches = 0, 0.0, 0.0, 0

    def add(self, mean, var, count):
        """Chan, Golub and LeVeque (1979): exact, and stable where the mean is far above the deviation."""
        step, total = mean - self.mean, self.count + count
        self.squares = self.squares + var * count + step * step * (self.count * count / total)
        self.mean = self.mean + step * (count / total)
        self.count, self.batches = total, self.batches + 1

    def write(self, layer):
        layer.running_mean.data[...] = self.mean
        layer.running_var.data[...] = self.squares / (self.count - 1 if layer.unbiased else self.count)
        layer.num_batches_tracked.data[...] = self.batches


@contextlib.contextmanager
def _instead(layers, name, values):
    """The attribute `name` of each layer replaced for a while."""
    kept = [vars(layer).get(name, layers) for layer in layers]
    try:
        for layer, value in zip(layers, values, strict=True):
            setattr(layer, name, value)
        yield
    finally:
        for layer, old in zip(layers, kept, strict=True):
            if old is layers:
                delattr(layer, name)
            else:
                setattr(layer, name, old)


def recalibrate(net, x, batch_size=256):
    """Set the running statistics of every batch norm in `net` to the mean and variance over the data set `x`.

    Batches pass through the network as in training (every batch norm uses the batch's own statistics, and dropout drops
    nothing), and their means and variances are combined exactly: algorithm 2 of Ioffe and Szegedy (2015), steps 8 to 12.
    Weights do not change. Of use where the moving averages lag behind: after averaging weights, after a few large steps,
    or for another data set.

    Parameters
    ----------
    net : nn.Layer or cconv.Model; of a Model, what evaluates and predicts: its network, or the averages of the weights
    x : array (N, ...) of floats, or uint8 that is divided by 255
    batch_size : int; batches have at most this many samples and are as even as can be

    Returns
    -------
    layers : int, how many were set

    Raises
    ------
    ValueError
        For an empty `x`, or a batch that leaves a batch norm one value a channel; running statistics are as before then.
    """
    net = getattr(net, "inference_net", net)
    if not isinstance(net, nn.Layer):
        raise TypeError(f"net must be an nn.Layer or a Model, got {type(net).__name__}")
    x = np.asarray(x)
    if x.dtype.kind != "f" and x.dtype != np.uint8:
        raise TypeError(f"x must be floats, or uint8 that is divided by 255; got {x.dtype}")
    if x.ndim < 2 or len(x) == 0:
        raise ValueError(f"x must have samples and features, got shape {x.shape}")
    batches = math.ceil(len(x) / whole(batch_size, "batch_size", 1))
    found = [layer for _, layer in net.named_layers()]
    norms = [layer for layer in found if isinstance(layer, _NORMS) and layer.track_running_stats]
    drops = [layer for layer in found if isinstance(layer, nn.Dropout)]
    dtype = next((parameter.dtype for parameter in net.parameters()), np.dtype(np.float32))
    sums = [_Sums() for _ in norms]
    with _instead(norms, "_track", [each.add for each in sums]), _instead(drops, "p", [0.0] * len(drops)):
        for batch in np.array_split(x, batches):
            net.forward(np.divide(batch, 255, dtype=dtype) if x.dtype == np.uint8 else batch.astype(dtype), True)
    for layer, each in zip(norms, sums, strict=True):
        if each.count > 1:
            each.write(layer)
    return len(norms)
