"""Losses of class scores by margins, and the focal loss: (N, C) or (N, C, spatial...) scores, class targets."""

import numpy as np

from cconv.functional import _arguments
from cconv.functional._arguments import one_of, real
from cconv.functional._out import with_out
from cconv.functional.loss import classes, log_softmax

__all__ = [
    "hinge_loss", "hinge_loss_backward", "multi_margin_loss", "multi_margin_loss_backward", "focal_loss",
    "focal_loss_backward",
]  # fmt: skip


class _Scores:
    """Scores (positions, C) in double with their targets, and the way back to the shape of x."""

    def __init__(self, x, target, weight, reduction, ignore_index=None):
        x = _arguments.floats(x, "x")
        if x.ndim < 2:
            raise ValueError(f"x must have shape (N, C) or (N, C, spatial...), got {x.shape}")
        self.x = x
        self.reduction = one_of(reduction, ("none", "mean", "sum"), "reduction")
        target = classes(target, x.shape)
        self.shape = target.shape
        self.counted = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
        outside = self.counted & ((target < 0) | (target >= x.shape[1]))
        if outside.any():
            raise IndexError(f"target: class {target[outside].flat[0]} is not in 0 .. {x.shape[1] - 1}")
        self.counted = self.counted.reshape(-1)
        self.target = np.where(self.counted, target.reshape(-1), 0)
        self.at = np.arange(self.target.size), self.target
        self.scores = np.moveaxis(x, 1, -1).reshape(self.target.size, x.shape[1]).astype(np.float64)
        weight = _arguments.parameter(weight, "weight", (x.shape[1],), x.dtype)
        self.weight = self.counted * (1.0 if weight is None else weight.astype(np.float64)[self.target])

    def reduced(self, losses, divisor):
        if self.reduction == "none":
            return losses.astype(self.x.dtype).reshape(self.shape)
        total = float(losses.sum())
        return total if self.reduction == "sum" else total / divisor if divisor else float("nan")

    def gradient(self, slopes, divisor, grad_output):
        """dx of the reduced loss from (positions, C) slopes."""
        if isinstance(grad_output, np.ndarray) and grad_output.ndim > 0:
            if self.reduction != "none" or grad_output.shape != self.shape:
                raise ValueError(
                    f"grad_output must be a number, or of shape {self.shape} with reduction 'none', "
                    f"got {grad_output.shape}"
                )
            slopes = slopes * _arguments.floats(grad_output, "grad_output").reshape(-1, 1)
        else:
            scale = real(grad_output, "grad_output")
            slopes = slopes * (scale / divisor if self.reduction == "mean" and divisor else scale)
        dx = np.empty_like(self.x)
        np.moveaxis(dx, 1, -1)[...] = slopes.reshape(*self.shape, self.x.shape[1])
        return dx


def _margins(x, target, p, margin, weight, reduction):
    """(scores, max(0, margin - x_t + x_c) for the classes but the target's own)."""
    if _arguments.whole(p, "p") not in (1, 2):
        raise ValueError(f"p must be 1 or 2, got {p}")
    s = _Scores(x, target, weight, reduction)
    excess = np.maximum(s.scores - s.scores[s.at][:, None] + real(margin, "margin"), 0)
    excess[s.at] = 0
    return s, excess


def _margin_slopes(s, excess, p):
    slopes = (excess > 0).astype(np.float64) if p == 1 else 2 * excess
    slopes[s.at] = -slopes.sum(1)
    return slopes * s.weight[:, None]


def multi_margin_loss(x, target, p=1, margin=1.0, weight=None, reduction="mean"):
    """SUM over c != t of weight_t max(0, margin - x_t + x_c)^p, divided by the number of classes C.

    Parameters
    ----------
    x : ndarray (N, C) or (N, C, spatial...), float32 or float64
    target : class numbers t, any integer dtype, (N,) or (N, spatial...)
    p : 1 or 2
    margin : float
    weight : ndarray (C,) or None, weight of each class
    reduction : "mean" (over the positions), "sum" or "none"

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
    s, excess = _margins(x, target, p, margin, weight, reduction)
    return s.reduced((excess**p).sum(1) * s.weight / s.x.shape[1], s.target.size)


@with_out
def multi_margin_loss_backward(x, target, p=1, margin=1.0, weight=None, reduction="mean", grad_output=1.0):
    """Gradient of `multi_margin_loss` times `grad_output`."""
    s, excess = _margins(x, target, p, margin, weight, reduction)
    return s.gradient(_margin_slopes(s, excess, p) / s.x.shape[1], s.target.size, grad_output)


def hinge_loss(x, target, margin=1.0, reduction="mean"):
    """SUM over c != t of max(0, margin - x_t + x_c): the multi-class SVM loss of Weston and Watkins (1999) and CS231n.

    It is C times `multi_margin_loss`; arguments, result and errors are the same.
    """
    s, excess = _margins(x, target, 1, margin, None, reduction)
    return s.reduced(excess.sum(1), s.target.size)


@with_out
def hinge_loss_backward(x, target, margin=1.0, reduction="mean", grad_output=1.0):
    """Gradient of `hinge_loss` times `grad_output`."""
    s, excess = _margins(x, target, 1, margin, None, reduction)
    return s.gradient(_margin_slopes(s, excess, 1), s.target.size, grad_output)


def _focal(x, target, gamma, weight, ignore_index, reduction):
    s = _Scores(x, target, weight, reduction, _arguments.whole(ignore_index, "ignore_index"))
    gamma = real(gamma, "gamma")
    if gamma < 0:
        raise ValueError(f"gamma must be at least 0, got {gamma}")
    logs = log_softmax(s.scores)
    p = np.exp(logs)
    p_target = p[s.at]
    missed = p.sum(1, where=np.arange(p.shape[1]) != s.target[:, None])
    return s, gamma, logs[s.at], p, p_target, missed


def focal_loss(x, target, gamma=2.0, weight=None, ignore_index=-100, reduction="mean"):
    """-weight_t (1 - p_t)^gamma log p_t with p = softmax(x) (Lin et al. 2017); `cross_entropy` with gamma 0.

    Parameters
    ----------
    x : ndarray (N, C) or (N, C, spatial...), float32 or float64
    target : class numbers t, any integer dtype, (N,) or (N, spatial...)
    gamma : float, at least 0
    weight : ndarray (C,) or None
    ignore_index : int, class number of positions that do not count
    reduction : "mean" (divided by the weights of the targets), "sum" or "none"

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
    s, gamma, logs, _, _, missed = _focal(x, target, gamma, weight, ignore_index, reduction)
    losses = np.where(s.weight == 0, 0, -s.weight * missed**gamma * logs)
    return s.reduced(losses, s.weight.sum())


@with_out
def focal_loss_backward(x, target, gamma=2.0, weight=None, ignore_index=-100, reduction="mean", grad_output=1.0):
    """Gradient of `focal_loss` times `grad_output`."""
    s, gamma, logs, p, p_target, missed = _focal(x, target, gamma, weight, ignore_index, reduction)
    growth = np.power(missed, gamma - 1, out=np.zeros_like(missed), where=missed > 0)
    inner = -(missed**gamma)
    if gamma > 0:
        inner += np.where(p_target == 0, 0, gamma * growth * p_target * logs)
    slopes = -p
    slopes[s.at] = missed
    return s.gradient(slopes * (s.weight * inner)[:, None], s.weight.sum(), grad_output)
