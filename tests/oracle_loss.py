"""Softmax and cross-entropy in float64."""

import numpy as np


def log_softmax(x, axis=1):
    x = x.astype(np.float64)
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def cross_entropy(logits, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """(loss, gradient of the loss or of its sum)."""
    classes = logits.shape[1]
    log_p = np.moveaxis(log_softmax(logits), 1, -1)
    weight = np.ones(classes) if weight is None else weight.astype(np.float64)
    if target.dtype.kind == "f":
        counted, mass = np.ones(target[:, 0].shape, bool), target[:, 0].size
        share = weight * np.moveaxis(target.astype(np.float64), 1, -1)
    else:
        counted = target != ignore_index
        safe = np.where(counted, target, 0)
        mass = weight[safe][counted].sum()
        share = weight * np.eye(classes)[safe]
    share = ((1 - label_smoothing) * share + label_smoothing / classes * weight) * counted[..., None]
    losses = -(share * log_p).sum(-1)
    gradient = np.moveaxis(share.sum(-1, keepdims=True) * np.exp(log_p) - share, -1, 1)
    if reduction == "mean":
        return losses.sum() / mass, gradient / mass
    return (losses.sum() if reduction == "sum" else losses), gradient
