"""Losses of one value against one target, element by element; sums are taken in double.

    loss, dx : <name>_loss(x, target, ...) and <name>_loss_backward(x, target, ..., grad_output=1.0)

`x` and `target` are float32 or float64 arrays of one shape, of any strides. `reduction` is "mean", "sum" or "none":
with "none" the loss is an array like `x`, and `grad_output` a number or an array like `x`. ValueError or TypeError
names the argument that does not fit.
"""

import math

import numpy as np

from cconv import _loss
from cconv.functional import _arguments
from cconv.functional._arguments import one_of, real
from cconv.functional._out import with_out

_NAMES = (
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "sigmoid_focal_loss", "hinge_embedding_loss", "kl_div",
)  # fmt: skip
__all__ = [name + suffix for name in _NAMES for suffix in ("", "_backward")]

REDUCTIONS = ("none", "mean", "sum")


def _pair(x, target):
    """x, target and whether they lie channels-last, in one memory order."""
    x = _arguments.floats(x, "x")
    channels_last = _arguments.is_channels_last(x)
    x = x if channels_last else np.ascontiguousarray(x).reshape(x.shape)
    return x, _arguments.like(target, "target", x.shape, channels_last, x.dtype), channels_last


def _reduced(losses, reduction):
    if one_of(reduction, REDUCTIONS, "reduction") == "none":
        return losses
    total = float(losses.sum(dtype=np.float64))
    if reduction == "sum":
        return total
    return total / losses.size if losses.size else math.nan


def _scaled(slopes, reduction, grad_output):
    """Gradient of the reduced loss from that of each element's."""
    one_of(reduction, REDUCTIONS, "reduction")
    scale = _arguments.floats(grad_output, "grad_output") if isinstance(grad_output, np.ndarray) else grad_output
    if isinstance(scale, np.ndarray) and scale.ndim > 0:
        if reduction != "none" or scale.shape != slopes.shape:
            raise ValueError(
                f"grad_output must be a number, or of shape {slopes.shape} with reduction 'none', got {scale.shape}"
            )
        return slopes * scale.astype(slopes.dtype)
    scale = real(scale, "grad_output")
    return slopes * slopes.dtype.type(scale / max(slopes.size, 1) if reduction == "mean" else scale)


def _at_least(value, minimum, name, above=False):
    value = real(value, name)
    if value < minimum or (above and value == minimum):
        raise ValueError(f"{name} must be {'above' if above else 'at least'} {minimum}, got {value}")
    return value


def mse_loss(x, target, reduction="mean"):
    """Squared error (x - target)^2.

    Parameters
    ----------
    x, target : ndarray of one shape, float32 or float64
    reduction : "mean", "sum" or "none"

    Returns
    -------
    loss : float, or with reduction "none" an ndarray like `x`

    Raises
    ------
    ValueError, TypeError
        For shapes, dtypes or reductions that do not fit.
    """
    x, target, channels_last = _pair(x, target)
    if one_of(reduction, REDUCTIONS, "reduction") == "none":
        return np.square(x - target)
    total, _ = _loss.squared_error(x, target, 0.0, channels_last, False)
    return total if reduction == "sum" else total / x.size if x.size else math.nan


@with_out
def mse_loss_backward(x, target, reduction="mean", grad_output=1.0):
    """Gradient of `mse_loss` times `grad_output`: 2 (x - target), over the size with "mean"."""
    x, target, channels_last = _pair(x, target)
    if isinstance(grad_output, np.ndarray):
        return _scaled(2 * (x - target), reduction, grad_output)
    scale = 2 * real(grad_output, "grad_output")
    if one_of(reduction, REDUCTIONS, "reduction") == "mean":
        scale /= max(x.size, 1)
    return _loss.squared_error(x, target, scale, channels_last, True)[1]


def l1_loss(x, target, reduction="mean"):
    """Absolute error |x - target|; arguments, result and errors as `mse_loss`."""
    x, target, _ = _pair(x, target)
    return _reduced(np.abs(x - target), reduction)


@with_out
def l1_loss_backward(x, target, reduction="mean", grad_output=1.0):
    """Gradient of `l1_loss` times `grad_output`: the sign of x - target, 0 where they are equal."""
    x, target, _ = _pair(x, target)
    return _scaled(np.sign(x - target), reduction, grad_output)


def huber_loss(x, target, reduction="mean", delta=1.0):
    """d^2/2 where d = |x - target| is at most delta, else delta (d - delta/2) (Huber 1964)."""
    x, target, _ = _pair(x, target)
    delta = _at_least(delta, 0, "delta", above=True)
    distance = np.abs(x - target)
    return _reduced(np.where(distance <= delta, distance * distance / 2, delta * (distance - delta / 2)), reduction)


@with_out
def huber_loss_backward(x, target, reduction="mean", delta=1.0, grad_output=1.0):
    """Gradient of `huber_loss` times `grad_output`: x - target kept within -delta .. delta."""
    x, target, _ = _pair(x, target)
    delta = _at_least(delta, 0, "delta", above=True)
    return _scaled(np.clip(x - target, -delta, delta), reduction, grad_output)


def smooth_l1_loss(x, target, reduction="mean", beta=1.0):
    """`huber_loss` with delta = beta, divided by beta (Girshick 2015); `l1_loss` with beta 0."""
    if _at_least(beta, 0, "beta") == 0:
        return l1_loss(x, target, reduction)
    loss = huber_loss(x, target, reduction, beta)
    return loss / beta if isinstance(loss, float) else loss / loss.dtype.type(beta)


@with_out
def smooth_l1_loss_backward(x, target, reduction="mean", beta=1.0, grad_output=1.0):
    """Gradient of `smooth_l1_loss` times `grad_output`."""
    if _at_least(beta, 0, "beta") == 0:
        return l1_loss_backward(x, target, reduction, grad_output)
    gradient = huber_loss_backward(x, target, reduction, beta, grad_output)
    return gradient / gradient.dtype.type(beta)


def _weight(weight, name, x):
    """`weight` spread over an array like x; 1 for None."""
    if weight is None:
        return x.dtype.type(1)
    weight = _arguments.floats(weight, name, dtype=x.dtype)
    spread = np.empty_like(x)
    try:
        spread[...] = weight
    except ValueError:
        raise ValueError(f"{name} of shape {weight.shape} does not combine with x of shape {x.shape}") from None
    return spread


def _share(values, name):
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"{name} must lie in 0 .. 1")
    return values


def binary_cross_entropy(x, target, weight=None, reduction="mean"):
    """-(target log x + (1 - target) log(1 - x)) of probabilities, each logarithm at least -100.

    Parameters
    ----------
    x, target : ndarray of one shape, in 0 .. 1
    weight : ndarray that combines with `x`, or None
    reduction : "mean", "sum" or "none"

    Raises
    ------
    ValueError
        For values outside 0 .. 1 (NaN too), and as `mse_loss`.
    """
    x, target, _ = _pair(x, target)
    _share(x, "x"), _share(target, "target")
    with np.errstate(divide="ignore"):
        hit, miss = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
    return _reduced(-(target * hit + (1 - target) * miss) * _weight(weight, "weight", x), reduction)


@with_out
def binary_cross_entropy_backward(x, target, weight=None, reduction="mean", grad_output=1.0):
    """Gradient of `binary_cross_entropy` times `grad_output`: (x - target) / (x (1 - x)), the divisor at least 1e-12."""
    x, target, _ = _pair(x, target)
    _share(x, "x"), _share(target, "target")
    slopes = (x - target) / np.maximum(x * (1 - x), x.dtype.type(1e-12))
    return _scaled(slopes * _weight(weight, "weight", x), reduction, grad_output)


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e) / (1 + e)


def binary_cross_entropy_with_logits(x, target, weight=None, reduction="mean", pos_weight=None):
    """`binary_cross_entropy` of sigmoid(x), stable for any x; `pos_weight` multiplies the term of the positives.

    Parameters
    ----------
    x, target : ndarray of one shape
    weight, pos_weight : ndarray that combines with `x`, or None
    reduction : "mean", "sum" or "none"

    Raises
    ------
    ValueError, TypeError
        As `mse_loss`.
    """
    x, target, _ = _pair(x, target)
    losses = (1 - target) * _softplus(x) + target * _softplus(-x) * _weight(pos_weight, "pos_weight", x)
    return _reduced(losses * _weight(weight, "weight", x), reduction)


@with_out
def binary_cross_entropy_with_logits_backward(
    x, target, weight=None, reduction="mean", pos_weight=None, grad_output=1.0
):
    """Gradient of `binary_cross_entropy_with_logits` times `grad_output`."""
    x, target, _ = _pair(x, target)
    slopes = (1 - target) * _sigmoid(x) - target * _sigmoid(-x) * _weight(pos_weight, "pos_weight", x)
    return _scaled(slopes * _weight(weight, "weight", x), reduction, grad_output)


def _focal(x, target, alpha, gamma):
    x, target, _ = _pair(x, target)
    gamma, alpha = _at_least(gamma, 0, "gamma"), real(alpha, "alpha")
    balance = alpha * target + (1 - alpha) * (1 - target) if alpha >= 0 else x.dtype.type(1)
    p, entropy = _sigmoid(x), (1 - target) * _softplus(x) + target * _softplus(-x)
    missed = p * (1 - target) + _sigmoid(-x) * target
    return x, target, gamma, balance, p, entropy, missed


def sigmoid_focal_loss(x, target, alpha=0.25, gamma=2.0, reduction="none"):
    """alpha_t (1 - p_t)^gamma times the binary cross-entropy of sigmoid(x) (Lin et al. 2017, "Focal Loss").

    p_t is the probability given to the target; alpha_t is alpha for positives and 1 - alpha for negatives, or 1 where
    alpha is negative. Arguments and defaults are torchvision's.
    """
    _, _, gamma, balance, _, entropy, missed = _focal(x, target, alpha, gamma)
    return _reduced(entropy * missed**gamma * balance, reduction)


@with_out
def sigmoid_focal_loss_backward(x, target, alpha=0.25, gamma=2.0, reduction="none", grad_output=1.0):
    """Gradient of `sigmoid_focal_loss` times `grad_output`."""
    x, target, gamma, balance, p, entropy, missed = _focal(x, target, alpha, gamma)
    slopes = (p * (1 - target) - _sigmoid(-x) * target) * missed**gamma
    if gamma > 0:
        growth = np.zeros_like(missed)
        np.power(missed, gamma - 1, out=growth, where=missed > 0)
        slopes += entropy * gamma * growth * (1 - 2 * target) * p * _sigmoid(-x)
    return _scaled(slopes * balance, reduction, grad_output)


def _signs(target):
    if not np.isin(target, (-1, 1)).all():
        raise ValueError("target must hold 1 and -1")
    return target > 0


def hinge_embedding_loss(x, target, margin=1.0, reduction="mean"):
    """x where target is 1, max(0, margin - x) where it is -1."""
    x, target, _ = _pair(x, target)
    margin = real(margin, "margin")
    return _reduced(np.where(_signs(target), x, np.maximum(margin - x, 0)), reduction)


@with_out
def hinge_embedding_loss_backward(x, target, margin=1.0, reduction="mean", grad_output=1.0):
    """Gradient of `hinge_embedding_loss` times `grad_output`."""
    x, target, _ = _pair(x, target)
    slopes = np.where(_signs(target), 1, -(x < real(margin, "margin")).astype(x.dtype)).astype(x.dtype)
    return _scaled(slopes, reduction, grad_output)


def _batch_mean(reduction, x):
    """(the reduction to take, what to divide by): "batchmean" divides the sum by the number of samples."""
    one_of(reduction, (*REDUCTIONS, "batchmean"), "reduction")
    samples = x.shape[0] if x.ndim else 1
    return ("sum", max(samples, 1)) if reduction == "batchmean" else (reduction, 1)


def kl_div(x, target, reduction="mean", log_target=False):
    """target (log target - x): Kullback-Leibler divergence of log-probabilities `x` from probabilities.

    With `log_target` the target holds logarithms, too. `reduction` may also be "batchmean", the sum over the number of
    samples, which is the divergence of the formula.
    """
    x, target, _ = _pair(x, target)
    if _arguments.flag(log_target, "log_target"):
        losses = np.exp(target) * (target - x)
    else:
        with np.errstate(invalid="ignore"):  # NaN for what is no probability
            logs = np.log(target, out=np.zeros_like(target), where=target != 0)
        losses = target * logs - np.where(target == 0, 0, target * x)
    reduction, share = _batch_mean(reduction, x)
    loss = _reduced(losses, reduction)
    return loss / share if share > 1 else loss


@with_out
def kl_div_backward(x, target, reduction="mean", log_target=False, grad_output=1.0):
    """Gradient of `kl_div` times `grad_output`: -target."""
    x, target, _ = _pair(x, target)
    slopes = -(np.exp(target) if _arguments.flag(log_target, "log_target") else target)
    reduction, share = _batch_mean(reduction, x)
    return _scaled(slopes / x.dtype.type(share), reduction, grad_output)
