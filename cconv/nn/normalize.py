"""Fixed shift and scale of the input, so that a network carries its own preprocessing."""

import numpy as np

from cconv.functional._arguments import floats
from cconv.nn.base import Buffer, Layer


class Normalize(Layer):
    """y = (x - mean) / std, each channel by its own constants, which are saved with the network but not trained.

    As the first layer of a network it makes training, evaluation and prediction see the same pixels.

    Parameters
    ----------
    mean, std : float or array of C, in the units of x (0 to 1 where `Model` was given uint8)

    Raises
    ------
    ValueError
        For constants that are not finite, or std that is not positive.

    Examples
    --------
    >>> net = nn.Sequential(nn.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)), models.resnet20())
    """

    def __init__(self, mean, std=1.0):
        mean, std = np.broadcast_arrays(np.atleast_1d(np.asarray(mean, np.float32)), np.asarray(std, np.float32))
        if mean.ndim != 1:
            raise ValueError(f"mean and std must be numbers or one number a channel, got shape {mean.shape}")
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std > 0).all()):
            raise ValueError("mean must be finite, std finite and positive")
        self.mean, self.std = Buffer(mean), Buffer(std)

    def forward(self, x, train):
        x = floats(x, "x", np.ndim(x))
        channels = len(self.mean.data)
        if x.ndim < 2 or channels not in (1, x.shape[1]):
            raise ValueError(f"{self!r} takes x of shape (N, {channels}, ...), got {x.shape}")
        shape = (-1,) + (1,) * (x.ndim - 2)
        scale = (1 / self.std.data).astype(x.dtype)
        y = x * scale.reshape(shape)
        y -= (self.mean.data * scale).astype(x.dtype).reshape(shape)

        def backward(dy, need_dx=True):
            return dy * scale.reshape(shape) if need_dx else None

        return y, backward

    def extra_repr(self):
        return f"mean={self.mean.data.tolist()}, std={self.std.data.tolist()}"
