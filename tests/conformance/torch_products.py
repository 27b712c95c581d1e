"""torch.nn.functional's signatures on top of cconv.functional, for NumPy arrays: matrix products."""

import numpy as np

from cconv import functional as F

OPERATORS = {}


def operator(name):
    def register(function):
        OPERATORS[name] = function
        return function

    return register


@operator("nn.functional.linear")
def linear(input, weight, bias=None):
    y = F.linear(input, weight, bias)
    return y, lambda dy: dict(zip(("input", "weight", "bias"), F.linear_backward(dy, input, weight), strict=True))


def _product(a, b):
    """a @ b for matrices, and its gradients."""
    y = F.linear(a, b.T)

    def backward(dy):
        da, dbt, _ = F.linear_backward(dy, a, b.T)
        return da, dbt.T

    return y, backward


@operator("mm")
def mm(input, mat2):
    y, backward = _product(input, mat2)
    return y, lambda dy: dict(zip(("input", "mat2"), backward(dy), strict=True))


def _reduced_to(dy, shape):
    """The gradient of broadcasting to dy's shape."""
    dy = dy.sum(tuple(range(dy.ndim - len(shape))))
    return dy.sum(tuple(i for i, n in enumerate(shape) if n == 1 and dy.shape[i] != 1), keepdims=True).reshape(shape)


@operator("addmm")
def addmm(input, mat1, mat2, beta=1, alpha=1):
    product, backward = _product(mat1, mat2)

    def gradients(dy):
        d1, d2 = backward(dy * dy.dtype.type(alpha))
        return {"input": _reduced_to(dy * dy.dtype.type(beta), input.shape), "mat1": d1, "mat2": d2}

    scale = product.dtype.type
    return scale(beta) * input + scale(alpha) * product, gradients


@operator("matmul")
def matmul(input, other):
    a = input[None] if input.ndim == 1 else input
    b = other[:, None] if other.ndim == 1 else other
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    wide = [np.broadcast_to(m, (*batch, *m.shape[-2:])) for m in (a, b)]
    y = np.empty((*batch, a.shape[-2], b.shape[-1]), a.dtype)
    backwards = {}
    for place in np.ndindex(*batch):
        y[place], backwards[place] = _product(wide[0][place], wide[1][place])

    def gradients(dy):
        dy = dy.reshape(y.shape)
        da, db = (np.empty(m.shape, m.dtype) for m in wide)
        for place, backward in backwards.items():
            da[place], db[place] = backward(dy[place])
        return {
            "input": _reduced_to(da, a.shape).reshape(input.shape),
            "other": _reduced_to(db, b.shape).reshape(other.shape),
        }

    shape = batch + (() if input.ndim == 1 else (a.shape[-2],)) + (() if other.ndim == 1 else (b.shape[-1],))
    return y.reshape(shape), gradients
