"""Adam and AdamW."""

import math

from cconv import _optim
from cconv.optim.base import Optimizer, nonnegative


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015) with L2 weight decay.

    g = grad + weight_decay * w;  m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2;
    w -= lr * m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    Parameters
    ----------
    lr, eps, weight_decay : float
    betas : (beta1, beta2), each in [0, 1)
    **shared : clip_norm, clip_value, accumulate, no_decay, ema; see `Optimizer`

    Raises
    ------
    ValueError
        For options out of range.
    """

    slots = ("exp_avg", "exp_avg_sq")
    options = ("lr", "betas", "eps", "weight_decay")
    decoupled = False

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, **shared):
        super().__init__(lr, **shared)
        self.betas = tuple(float(beta) for beta in betas)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas must be two numbers in [0, 1), got {betas}")
        self.eps = nonnegative(eps, "eps")
        self.weight_decay = nonnegative(weight_decay, "weight_decay")

    def _update(self, zero_grad):
        beta1, beta2 = self.betas
        rate = self.lr / (1 - beta1**self.steps)
        correction = 1 / math.sqrt(1 - beta2**self.steps)
        decay, shrink = (0.0, 1 - self.lr * self.weight_decay) if self.decoupled else (self.weight_decay, 1.0)
        return _optim.adam(
            self.data, self.state["exp_avg"], self.state["exp_avg_sq"],
            rate, correction, beta1, beta2, self.eps, decay, shrink, zero_grad,
        )  # fmt: skip


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019): w *= 1 - lr * weight_decay instead of L2."""

    decoupled = True

    def __init__(self, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, **shared):
        super().__init__(lr, betas, eps, weight_decay, **shared)
