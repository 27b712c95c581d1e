"""Adadelta."""

from cconv import _optim
from cconv.optim.base import Optimizer, nonnegative


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012, algorithm 1), in torch's form.

    g = grad + weight_decay * w;  v = rho * v + (1 - rho) * g^2;  d = sqrt(u + eps) / sqrt(v + eps) * g;
    u = rho * u + (1 - rho) * d^2;  w -= lr * d

    Parameters
    ----------
    lr, eps, weight_decay : float
    rho : float in [0, 1]
    **shared : clip_norm, clip_value, accumulate, no_decay, ema; see `Optimizer`

    Raises
    ------
    ValueError
        For options out of range.
    """

    slots = ("square_avg", "acc_delta")
    options = ("lr", "rho", "eps", "weight_decay")

    def __init__(self, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0, **shared):
        super().__init__(lr, **shared)
        self.rho = nonnegative(rho, "rho")
        if self.rho > 1:
            raise ValueError(f"rho must be in [0, 1], got {rho}")
        self.eps = nonnegative(eps, "eps")
        self.weight_decay = nonnegative(weight_decay, "weight_decay")

    def _update(self, zero_grad):
        return _optim.adadelta(
            self.data, self.state["square_avg"], self.state["acc_delta"],
            self.lr, self.rho, self.eps, self.weight_decay, zero_grad,
        )  # fmt: skip
