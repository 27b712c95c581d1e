"""Softmax and cross-entropy, stable for logits of any size; losses are summed in double."""

import numpy as np

from cconv import _loss
from cconv.functional import _arguments
from cconv.functional._out import with_out

__all__ = [
    "softmax", "log_softmax", "softmax_backward", "log_softmax_backward", "cross_entropy", "cross_entropy_backward",
    "cross_entropy_forward", "nll_loss", "nll_loss_backward",
]  # fmt: skip


def _axis(x, dim):
    dim = _arguments.whole(dim, "dim")
    if not -x.ndim <= dim < x.ndim:
        raise ValueError(f"dim {dim} is out of range for shape {x.shape}")
    return dim % x.ndim


def _softmax(x, dim, log, out):
    x = _arguments.floats(x, "x")
    axis = _axis(x, dim)
    if _arguments.is_channels_last(x):
        there = _loss.softmax(np.moveaxis(x, 1, -1), x.ndim - 1 if axis == 1 else axis - (axis > 1), log)
        return _arguments.returned(np.moveaxis(there, -1, 1), True, out)
    return _loss.softmax(np.ascontiguousarray(x), axis, log, out)


def _softmax_backward(dy, y, dim, log, out):
    y = _arguments.floats(y, "y")
    axis = _axis(y, dim)
    channels_last = _arguments.is_channels_last(y)
    dy = _arguments.like(dy, "dy", y.shape, channels_last, y.dtype)
    if channels_last:
        there = [np.moveaxis(a, 1, -1) for a in (dy, y)]
        dx = _loss.softmax_backward(*there, y.ndim - 1 if axis == 1 else axis - (axis > 1), log)
        return _arguments.returned(np.moveaxis(dx, -1, 1), True, out)
    return _loss.softmax_backward(dy, np.ascontiguousarray(y), axis, log, out)


@with_out
def softmax(x, dim=1, *, out=None):
    """exp(x) / sum(exp(x)) over axis `dim`.

    Parameters
    ----------
    x : ndarray, float32 or float64
    dim : int, negative ones count from the end

    Returns
    -------
    y : ndarray like `x`

    Raises
    ------
    ValueError
        For an axis that `x` does not have.
    TypeError
        For other dtypes.
    """
    return _softmax(x, dim, False, out)


@with_out
def log_softmax(x, dim=1, *, out=None):
    """x - log(sum(exp(x))) over axis `dim`; arguments and errors as `softmax`."""
    return _softmax(x, dim, True, out)


@with_out
def softmax_backward(dy, y, dim=1, *, out=None):
    """Gradient of `softmax` from its output `y`: y * (dy - sum(y * dy))."""
    return _softmax_backward(dy, y, dim, False, out)


@with_out
def log_softmax_backward(dy, y, dim=1, *, out=None):
    """Gradient of `log_softmax` from its output `y`: dy - exp(y) * sum(dy)."""
    return _softmax_backward(dy, y, dim, True, out)


def classes(target, shape):
    """int64 class numbers for scores of `shape`; their range is still to be checked."""
    target = _arguments.numbers_of(target, "target", "iu")
    if target.shape != shape[:1] + shape[2:]:
        raise ValueError(
            f"target must have shape {shape[:1] + shape[2:]} for scores of shape {shape}, got {target.shape}"
        )
    if target.dtype.kind == "u" and target.size and int(target.max()) >= 2**63:
        raise IndexError(f"target: class {target.max()} is not in 0 .. {shape[1] - 1}")
    return np.ascontiguousarray(target, dtype=np.int64)


def _entropy(logits, target, weight, ignore_index, reduction, label_smoothing, log_probabilities, gradient):
    name = "log_probabilities" if log_probabilities else "logits"
    logits = _arguments.floats(logits, name)
    if logits.ndim < 2:
        raise ValueError(f"{name} must have shape (N, C) or (N, C, spatial...), got {logits.shape}")
    logits, channels_last = _arguments.activation(logits, name, logits.ndim)
    _arguments.one_of(reduction, ("none", "mean", "sum"), "reduction")
    smoothing = _arguments.real(label_smoothing, "label_smoothing")
    if not 0 <= smoothing <= 1:
        raise ValueError(f"label_smoothing must be in 0 .. 1, got {label_smoothing}")
    ignore_index = _arguments.whole(ignore_index, "ignore_index")
    if np.asarray(target).dtype.kind == "f" and not log_probabilities:
        if ignore_index >= 0:
            raise ValueError(f"ignore_index is for class targets, got {ignore_index} with a target of probabilities")
        target = _arguments.like(target, "target", logits.shape, channels_last, logits.dtype)
    else:
        target = classes(target, logits.shape)
    weight = _arguments.parameter(weight, "weight", (logits.shape[1],), logits.dtype)
    if weight is not None:
        weight = weight.astype(np.float64)
    return _loss.cross_entropy(
        logits, channels_last, target, weight, ignore_index, reduction, smoothing, log_probabilities, gradient
    )


def _reduced(loss, logits):
    """One loss a position in the dtype of the logits."""
    return loss if isinstance(loss, float) else loss.astype(np.asarray(logits).dtype.newbyteorder("="))


def _scaled(gradient, grad_output, reduction):
    """`gradient` times the gradient of the loss: a number, or with reduction "none" one a position."""
    shape = gradient.shape[:1] + gradient.shape[2:]
    if np.ndim(grad_output) == 0:
        scale = _arguments.real(grad_output, "grad_output")
        return gradient if scale == 1 else gradient * gradient.dtype.type(scale)
    if reduction != "none" or np.shape(grad_output) != shape:
        raise ValueError(
            f"grad_output must be a number, or of shape {shape} with reduction 'none', got {np.shape(grad_output)}"
        )
    grad_output = _arguments.numbers_of(grad_output, "grad_output", "fiu")
    return gradient * np.expand_dims(grad_output.astype(gradient.dtype), 1)


def cross_entropy(logits, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """Cross-entropy of softmax(logits) against classes or class probabilities.

    Parameters
    ----------
    logits : ndarray (N, C) or (N, C, spatial...), float32 or float64
    target : class numbers, any integer dtype, (N,) or (N, spatial...); or probabilities like `logits`
    weight : ndarray (C,) or None, weight of each class
    ignore_index : int, class number of positions that do not count
    reduction : "mean" (divided by the weights of the targets, or by N * spatial for probabilities), "sum" or "none"
    label_smoothing : float in 0 .. 1 (Szegedy et al. 2016)

    Returns
    -------
    loss : float, or with reduction "none" an ndarray (N, spatial...)

    Raises
    ------
    IndexError
        For a class number outside 0 .. C-1.
    ValueError, TypeError
        For shapes, dtypes or options that do not fit.
    """
    loss, _ = _entropy(logits, target, weight, ignore_index, reduction, label_smoothing, False, False)
    return _reduced(loss, logits)


def cross_entropy_forward(logits, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """(loss, dlogits) in one pass; arguments and errors as `cross_entropy`.

    With reduction "none" dlogits is the gradient of the sum.
    """
    loss, gradient = _entropy(logits, target, weight, ignore_index, reduction, label_smoothing, False, True)
    return _reduced(loss, gradient), gradient


@with_out
def cross_entropy_backward(
    logits, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0, grad_output=1.0
):
    """Gradient of `cross_entropy` times `grad_output` (a number; one a position with reduction "none")."""
    _, gradient = _entropy(logits, target, weight, ignore_index, reduction, label_smoothing, False, True)
    return _scaled(gradient, grad_output, reduction)


def nll_loss(log_probabilities, target, weight=None, ignore_index=-100, reduction="mean"):
    """Negative log-likelihood of classes; arguments and errors as `cross_entropy`, with the softmax taken already."""
    loss, _ = _entropy(log_probabilities, target, weight, ignore_index, reduction, 0.0, True, False)
    return _reduced(loss, log_probabilities)


@with_out
def nll_loss_backward(log_probabilities, target, weight=None, ignore_index=-100, reduction="mean", grad_output=1.0):
    """Gradient of `nll_loss` times `grad_output`."""
    _, gradient = _entropy(log_probabilities, target, weight, ignore_index, reduction, 0.0, True, True)
    return _scaled(gradient, grad_output, reduction)
