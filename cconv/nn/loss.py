"""Losses: `forward(outputs, target) -> (loss, backward)` with `backward() -> d_outputs`.

`loss(outputs, target)` is the number alone. With reduction "none" the loss is an array and the gradient that of
its sum.
"""

import inspect

import numpy as np

from cconv import functional as F
from cconv.functional._arguments import real


class Loss:
    """Base of all losses.

    Attributes
    ----------
    takes_classes : bool, whether targets are class numbers rather than arrays like the outputs
    """

    takes_classes = False

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

    takes_classes = True

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


class _Described(Loss):
    """A loss whose options are the arguments of two functions: the loss and its gradient."""

    def options(self, outputs):
        """The arguments, weights in the dtype of the outputs."""
        weights = {name: _weight(value, outputs) for name, value in vars(self).items() if name.endswith("weight")}
        return vars(self) | weights

    def forward(self, outputs, target):
        options = self.options(outputs)
        return self._function(outputs, target, **options), lambda: self._derivative(outputs, target, **options)

    def __call__(self, outputs, target):
        return self._function(outputs, target, **self.options(outputs))


def _described(name, function, takes_classes=False):
    """The class called `name`: its constructor takes what `functional.<function>` takes after x and target."""
    parameters = list(inspect.signature(getattr(F, function)).parameters.values())[2:]
    signature = inspect.Signature(parameters)

    def __init__(self, *args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            if isinstance(signature.parameters[name].default, float) and value is not None:
                real(value, name)
        vars(self).update(bound.arguments)

    __init__.__signature__ = signature.replace(
        parameters=[inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY), *parameters]
    )
    attributes = {
        "__init__": __init__,
        "__doc__": f"The loss `functional.{function}`, with its arguments besides x and target.",
        "__module__": __name__,
        "_function": staticmethod(getattr(F, function)),
        "_derivative": staticmethod(getattr(F, f"{function}_backward")),
        "takes_classes": takes_classes,
    }
    return type(name, (_Described,), attributes)


NLLLoss = _described("NLLLoss", "nll_loss", takes_classes=True)
MSELoss = _described("MSELoss", "mse_loss")
L1Loss = _described("L1Loss", "l1_loss")
HuberLoss = _described("HuberLoss", "huber_loss")
SmoothL1Loss = _described("SmoothL1Loss", "smooth_l1_loss")
BCELoss = _described("BCELoss", "binary_cross_entropy")
BCEWithLogitsLoss = _described("BCEWithLogitsLoss", "binary_cross_entropy_with_logits")
SigmoidFocalLoss = _described("SigmoidFocalLoss", "sigmoid_focal_loss")
KLDivLoss = _described("KLDivLoss", "kl_div")
HingeEmbeddingLoss = _described("HingeEmbeddingLoss", "hinge_embedding_loss")
HingeLoss = _described("HingeLoss", "hinge_loss", takes_classes=True)
MultiMarginLoss = _described("MultiMarginLoss", "multi_margin_loss", takes_classes=True)
FocalLoss = _described("FocalLoss", "focal_loss", takes_classes=True)

# What `cconv.Model` knows by name.
NAMED = {
    "cross_entropy": CrossEntropyLoss, "nll": NLLLoss, "mse": MSELoss, "l1": L1Loss, "huber": HuberLoss,
    "smooth_l1": SmoothL1Loss, "bce": BCELoss, "bce_with_logits": BCEWithLogitsLoss, "kl_div": KLDivLoss,
    "hinge": HingeLoss, "multi_margin": MultiMarginLoss, "focal": FocalLoss,
}  # fmt: skip

# Class name -> class of every loss, for checkpoints.
LOSSES = {cls.__name__: cls for cls in (*NAMED.values(), HingeEmbeddingLoss, SigmoidFocalLoss)}


def loss_of(loss):
    """The loss that a name stands for, or `loss` itself where it has a forward method.

    Raises
    ------
    ValueError, TypeError
        For other names and objects.
    """
    if not isinstance(loss, str):
        if not callable(getattr(loss, "forward", None)):
            raise TypeError(f"loss must be a name or have a forward method, got {type(loss).__name__}")
        return loss
    if loss not in NAMED:
        raise ValueError(f"loss must be one of {', '.join(NAMED)} or an object, got {loss!r}")
    return NAMED[loss]()
