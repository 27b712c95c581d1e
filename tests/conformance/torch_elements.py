"""torch.nn.functional's signatures on top of cconv.functional, for NumPy arrays: activations, losses, arrays put together."""

import numpy as np

from cconv import functional as F
from cconv import nn

OPERATORS = {}


def operator(name):
    def register(function):
        OPERATORS[name] = function
        return function

    return register


def _elementwise(name, function, **defaults):
    """An activation whose arguments have cconv's names."""

    def run(input, *args, **kwargs):
        options = {**defaults, **dict(zip(defaults, args, strict=False)), **kwargs}
        y = getattr(F, function)(input, **options)
        return y, lambda dy: {"input": getattr(F, f"{function}_backward")(dy, input, **options)}

    OPERATORS[name] = run


for _name in ("sigmoid", "tanh"):
    _elementwise(_name, _name)
for _name in ("relu", "relu6", "silu", "mish", "hardswish", "selu", "logsigmoid", "softsign"):
    _elementwise(f"nn.functional.{_name}", _name)
_elementwise("nn.functional.hardsigmoid", "hardsigmoid")
_elementwise("nn.functional.leaky_relu", "leaky_relu", negative_slope=0.01)
_elementwise("nn.functional.elu", "elu", alpha=1.0)
_elementwise("nn.functional.celu", "celu", alpha=1.0)
_elementwise("nn.functional.gelu", "gelu", approximate="none")
_elementwise("nn.functional.softplus", "softplus", beta=1.0, threshold=20.0)
_elementwise("nn.functional.hardtanh", "hardtanh", min_val=-1.0, max_val=1.0)


@operator("nn.functional.threshold")
def threshold(input, threshold, value):
    return F.threshold(input, threshold, value), lambda dy: {"input": F.threshold_backward(dy, input, threshold)}


@operator("nn.functional.prelu")
def prelu(input, weight):
    y = F.prelu(input, weight)
    return y, lambda dy: dict(zip(("input", "weight"), F.prelu_backward(dy, input, weight), strict=True))


def _softmax(function):
    def run(input, dim, dtype=None):
        wide = input.astype(dtype) if dtype is not None else input
        wide = wide.reshape(wide.shape or (1,))
        y = getattr(F, function)(wide, dim)

        def backward(dy):
            dx = getattr(F, f"{function}_backward")(dy.reshape(y.shape), y, dim)
            return {"input": dx.astype(input.dtype).reshape(input.shape)}

        return y.reshape(input.shape), backward

    return run


OPERATORS["softmax"] = _softmax("softmax")
OPERATORS["log_softmax"] = _softmax("log_softmax")


def _class_loss(function):
    """A loss of logits and classes; one sample without batch axis, and float results as arrays of x's dtype."""

    def run(input, target, *args, **kwargs):
        names = ("p", "margin") if function == "multi_margin_loss" else ("weight",)
        options = {n: v for n, v in {**dict(zip(names, args, strict=False)), **kwargs}.items() if v is not None}
        single = input.ndim < 2
        x, t = (input.reshape(1, -1), target.reshape(1, *target.shape)) if single else (input, target)
        if single and target.shape == (1,):
            t = target
        y = np.asarray(getattr(F, function)(x, t, **options), x.dtype)

        def backward(dy):
            dx = getattr(F, f"{function}_backward")(x, t, **options, grad_output=dy.reshape(y.shape))
            return {"input": dx.reshape(input.shape)}

        return y.reshape(y.shape[1:]) if single and y.ndim else y, backward

    OPERATORS[f"nn.functional.{function}"] = run


def _pair_loss(function, *names):
    """A loss of equal arrays; the target's gradient is that of x with the other sign where torch has one."""

    def run(input, target, *args, **kwargs):
        options = {n: v for n, v in {**dict(zip(names, args, strict=False)), **kwargs}.items() if v is not None}
        y = getattr(F, function)(input, target, **options)

        def backward(dy):
            dx = getattr(F, f"{function}_backward")(input, target, **options, grad_output=dy)
            return {"input": dx, "target": -dx}

        return np.asarray(y, input.dtype), backward

    OPERATORS[f"nn.functional.{function}"] = run


for _name in ("cross_entropy", "nll_loss", "multi_margin_loss"):
    _class_loss(_name)
for _name in ("mse_loss", "l1_loss", "huber_loss", "smooth_l1_loss", "hinge_embedding_loss", "kl_div"):
    _pair_loss(_name)
_pair_loss("binary_cross_entropy", "weight")
_pair_loss("binary_cross_entropy_with_logits", "weight")


@operator("cat")
def cat(tensors, dim=0):
    arrays = [a for a in tensors if np.shape(a) != (0,)] or list(tensors)  # torch takes such empties for nothing
    y = np.concatenate(arrays, dim)
    ends = np.cumsum([a.shape[dim] for a in arrays])[:-1]

    def backward(dy):
        parts = iter(np.split(dy, ends, dim))
        kept = {id(a) for a in arrays}
        return {"tensors": [next(parts) if id(a) in kept else np.zeros_like(a) for a in tensors]}

    return y, backward


@operator("flatten")
def flatten(input, start_dim=0, end_dim=-1):
    y, backward = nn.Flatten(start_dim, end_dim).forward(input.reshape(input.shape or (1,)), True)
    return y, lambda dy: {"input": backward(dy).reshape(input.shape)}
