"""Layer-wise adaptive rate scaling."""

import numpy as np

from cconv import _optim
from cconv.optim.base import Optimizer, nonnegative


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You, Gitman and Ginsburg 2017, algorithm 1): SGD for large batches.

    For each parameter array w with gradient g:
    r = trust_coefficient * |w| / (|g| + weight_decay * |w| + eps), 1 where |w| or |g| is 0;
    v = momentum * v + lr * r * (g + weight_decay * w);  w -= v

    Parameters
    ----------
    lr, momentum, weight_decay, trust_coefficient, eps : float
    **shared : clip_norm, clip_value, accumulate, no_decay, ema; see `Optimizer`
        What `no_decay` names is not scaled either: r = 1 there. Usual is no_decay=("bias", "norm").

    Raises
    ------
    ValueError
        For options out of range.
    """

    slots = ("momentum_buffer",)
    options = ("lr", "momentum", "weight_decay", "trust_coefficient", "eps")

    def __init__(self, lr=0.1, momentum=0.9, weight_decay=0.0, trust_coefficient=1e-3, eps=0.0, **shared):
        super().__init__(lr, **shared)
        self.momentum = nonnegative(momentum, "momentum")
        self.weight_decay = nonnegative(weight_decay, "weight_decay")
        self.trust_coefficient = nonnegative(trust_coefficient, "trust_coefficient")
        self.eps = nonnegative(eps, "eps")

    def _step(self, zero_grad):
        ends = np.cumsum([parameter.size for parameter in self._parameters], dtype=np.int64)
        _optim.lars(
            self.data, self.grad, self.state["momentum_buffer"], ends, ~np.array(self._segments, bool),
            self.lr, self.momentum, self.weight_decay, self.trust_coefficient, self.eps, zero_grad,
        )  # fmt: skip
