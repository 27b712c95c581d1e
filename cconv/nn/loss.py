"""Losses: `forward(outputs, target) -> (loss, backward)` with `backward() -> d_outputs`.

`loss(outputs, target)` is the number alone. With reduction "none" the loss is an array and the gradient that of
its sum.
"""

import numpy as np

from cconv import functional as F


class Loss:
    """Base of all losses."""

    def forward(self, outputs, target):
        """(loss, backward); `backward()` is the gradient with respect to `outputs`."""
        raise TypeError(f"{type(self).__name__} does not define forward")

    def __call__(self, outputs, target):
        return self.forward(outputs, target)[0]

    def __repr__(self):
        shown = {name: value for name, value in vars(self).items() if value is not None}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


def _weight(weight, outputs):
    return None if weight is None else np.asarray(weight, np.asarray(outputs).dtype)


class CrossEntropyLoss(Loss):
    """Cross-entropy of softmax(outputs) against classes or probabilities; see `functional.cross_entropy`."""

    def __init__(self, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        self.weight, self.ignore_index = weight, ignore_index
        self.reduction, self.label_smoothing = reduction, label_smoothing

    def _options(self, outputs):
        return _weight(self.weight, outputs), self.ignore_index, self.reduction, self.label_smoothing

    def forward(self, outputs, target):
        loss, gradient = F.cross_entropy_forward(outputs, target, *self._options(outputs))
        return loss, lambda: gradient

    def __call__(self, outputs, target):
        return F.cross_entropy(outputs, target, *self._options(outputs))


class NLLLoss(Loss):
    """Negative log-likelihood of classes under log-probabilities; see `functional.nll_loss`."""

    def __init__(self, weight=None, ignore_index=-100, reduction="mean"):
        self.weight, self.ignore_index, self.reduction = weight, ignore_index, reduction

    def forward(self, outputs, target):
        options = _weight(self.weight, outputs), self.ignore_index, self.reduction
        return F.nll_loss(outputs, target, *options), lambda: F.nll_loss_backward(outputs, target, *options)


class MSELoss(Loss):
    """Squared error; see `functional.mse_loss`."""

    def __init__(self, reduction="mean"):
        self.reduction = reduction

    def forward(self, outputs, target):
        return (
            F.mse_loss(outputs, target, self.reduction),
            lambda: F.mse_loss_backward(outputs, target, self.reduction),
        )
