"""Batch norm in float64, as the paper writes it."""

import numpy as np


def axes(x):
    return tuple(axis for axis in range(x.ndim) if axis != 1)


def spread(value, x):
    """A value a channel, shaped to combine with x."""
    return np.asarray(value, np.float64).reshape(1, -1, *[1] * (x.ndim - 2))


def forward(x, weight, bias, eps):
    x = x.astype(np.float64)
    mean, var = x.mean(axes(x)), x.var(axes(x))
    return inference(x, mean, var, weight, bias, eps), mean, var


def inference(x, mean, var, weight, bias, eps):
    normal = (x.astype(np.float64) - spread(mean, x)) / np.sqrt(spread(var, x) + eps)
    return normal * spread(1 if weight is None else weight, x) + spread(0 if bias is None else bias, x)


def backward(dy, x, weight, eps):
    x, dy = x.astype(np.float64), dy.astype(np.float64)
    count = x.size // x.shape[1]
    normal = (x - spread(x.mean(axes(x)), x)) / np.sqrt(spread(x.var(axes(x)), x) + eps)
    rstd = 1 / np.sqrt(spread(x.var(axes(x)), x) + eps)
    dweight, dbias = (dy * normal).sum(axes(x)), dy.sum(axes(x))
    inner = count * dy - spread(dbias, x) - normal * spread(dweight, x)
    return spread(1 if weight is None else weight, x) * rstd / count * inner, dweight, dbias
