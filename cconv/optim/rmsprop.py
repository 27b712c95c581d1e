"""RMSprop."""

from cconv import _optim
from cconv.optim.base import Optimizer, nonnegative


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, lecture 6e of "Neural networks for machine learning"), in torch's form.

    g = grad + weight_decay * w;  v = alpha * v + (1 - alpha) * g^2;  d = g / (sqrt(v) + eps);  w -= lr * d.
    With `centered` the square of a running mean of g is taken off v (Graves 2013, eq. 38 to 45); with momentum
    b = momentum * b + d;  w -= lr * b.

    Parameters
    ----------
    lr, eps, weight_decay, momentum : float
    alpha : float in [0, 1]
    centered : bool
    **shared : clip_norm, clip_value, accumulate, no_decay, ema; see `Optimizer`

    Raises
    ------
    ValueError
        For options out of range.
    """

    options = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered")

    def __init__(self, lr=0.01, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False, **shared):
        super().__init__(lr, **shared)
        self.alpha = nonnegative(alpha, "alpha")
        if self.alpha > 1:
            raise ValueError(f"alpha must be in [0, 1], got {alpha}")
        self.eps = nonnegative(eps, "eps")
        self.weight_decay = nonnegative(weight_decay, "weight_decay")
        self.momentum = nonnegative(momentum, "momentum")
        self.centered = bool(centered)

    @property
    def slots(self):
        return ("square_avg", *["grad_avg"] * self.centered, *["momentum_buffer"] * (self.momentum > 0))

    def _update(self, zero_grad):
        mean, buffer = self.state.get("grad_avg"), self.state.get("momentum_buffer")
        if self.momentum and buffer is None:
            raise ValueError("RMSprop was bound without momentum: build it with one")
        return _optim.rmsprop(
            self.data, self.state["square_avg"], mean, buffer,
            self.lr, self.alpha, self.eps, self.weight_decay, self.momentum, zero_grad,
        )  # fmt: skip
