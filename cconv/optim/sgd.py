"""Stochastic gradient descent."""

from cconv import _optim
from cconv.optim.base import Optimizer, nonnegative


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, in torch's form.

    g = grad + weight_decay * w;  v = momentum * v + (1 - dampening) * g (v = g in the first step);
    w -= lr * v, with `nesterov` w -= lr * (g + momentum * v).

    Parameters
    ----------
    lr, momentum, weight_decay, dampening : float
    nesterov : bool (Sutskever et al. 2013); needs momentum and no dampening
    **shared : clip_norm, clip_value, accumulate, no_decay, ema; see `Optimizer`

    Raises
    ------
    ValueError
        For options out of range.
    """

    options = ("lr", "momentum", "weight_decay", "nesterov", "dampening")

    def __init__(self, lr=0.01, momentum=0.0, weight_decay=0.0, nesterov=False, dampening=0.0, **shared):
        super().__init__(lr, **shared)
        self.momentum = nonnegative(momentum, "momentum")
        self.weight_decay = nonnegative(weight_decay, "weight_decay")
        self.dampening = float(dampening)
        self.nesterov = bool(nesterov)
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs momentum > 0 and dampening 0")

    @property
    def slots(self):
        return ("momentum_buffer",) * (self.momentum > 0)

    def _update(self, zero_grad):
        velocity = self.state.get("momentum_buffer")
        if self.momentum and velocity is None:
            raise ValueError("SGD was bound without momentum: build it with one")
        keep = 1.0 if self.steps == 1 else 1.0 - self.dampening
        return _optim.sgd(
            self.data, velocity, self.lr, self.momentum, keep, self.weight_decay, self.nesterov, zero_grad
        )
