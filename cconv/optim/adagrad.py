"""Adagrad."""

from cconv import _optim
from cconv.optim.base import Optimizer, nonnegative


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer 2011), in torch's form.

    g = grad + weight_decay * w;  s += g^2;  w -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)

    Parameters
    ----------
    lr, lr_decay, weight_decay, initial_accumulator_value, eps : float
        `initial_accumulator_value` is s before the first step.
    **shared : clip_norm, clip_value, accumulate, no_decay, ema; see `Optimizer`

    Raises
    ------
    ValueError
        For options out of range.
    """

    slots = ("sum",)
    options = ("lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def __init__(self, lr=0.01, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10, **shared):
        super().__init__(lr, **shared)
        self.lr_decay = nonnegative(lr_decay, "lr_decay")
        self.weight_decay = nonnegative(weight_decay, "weight_decay")
        self.initial_accumulator_value = nonnegative(initial_accumulator_value, "initial_accumulator_value")
        self.eps = nonnegative(eps, "eps")

    def bind(self, layer):
        super().bind(layer)
        self.state["sum"][...] = self.initial_accumulator_value
        return self

    def _update(self, zero_grad):
        rate = self.lr / (1 + (self.steps - 1) * self.lr_decay)
        return _optim.adagrad(self.data, self.state["sum"], rate, self.eps, self.weight_decay, zero_grad)
