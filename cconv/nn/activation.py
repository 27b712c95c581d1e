"""Activations as layers; each works in the memory order of its input."""

import numpy as np

from cconv import functional as F
from cconv.functional._arguments import flag, one_of, real, whole
from cconv.nn.base import Layer, Parameter, gradients


class Identity(Layer):
    """y = x."""

    def forward(self, x, train):
        return x, lambda dy, need_dx=True: dy


class ReLU(Layer):
    """max(x, 0).

    `inplace` is accepted here and in the other activations, and ignored: no layer overwrites what it was given.
    """

    def __init__(self, inplace=False):
        flag(inplace, "inplace")

    def forward(self, x, train):
        y = F.relu(x)

        def backward(dy, need_dx=True):
            return F.relu_backward(dy, y) if need_dx else None

        return y, backward


class _Activation(Layer):
    """One of the functions below; `options` are its arguments besides x."""

    def __init__(self, inplace=False):
        flag(inplace, "inplace")

    def forward(self, x, train):
        y = self._function(x, **self.options())

        def backward(dy, need_dx=True):
            return self._derivative(dy, x, **self.options()) if need_dx else None

        return y, backward

    def options(self):
        return {}

    def extra_repr(self):
        return ", ".join(f"{name}={value!r}" for name, value in self.options().items())


def _without_arguments(name, function):
    attributes = {
        "_function": staticmethod(getattr(F, function)),
        "_derivative": staticmethod(getattr(F, f"{function}_backward")),
        "__doc__": getattr(F, function).__doc__,
        "__module__": __name__,
    }
    return type(name, (_Activation,), attributes)


ReLU6 = _without_arguments("ReLU6", "relu6")
Sigmoid = _without_arguments("Sigmoid", "sigmoid")
LogSigmoid = _without_arguments("LogSigmoid", "logsigmoid")
Tanh = _without_arguments("Tanh", "tanh")
ScaledTanh = _without_arguments("ScaledTanh", "scaled_tanh")
SELU = _without_arguments("SELU", "selu")
SiLU = _without_arguments("SiLU", "silu")
Mish = _without_arguments("Mish", "mish")
Softsign = _without_arguments("Softsign", "softsign")
Hardsigmoid = _without_arguments("Hardsigmoid", "hardsigmoid")
Hardswish = _without_arguments("Hardswish", "hardswish")


class LeakyReLU(_Activation):
    """x where x > 0, else negative_slope * x."""

    _function, _derivative = staticmethod(F.leaky_relu), staticmethod(F.leaky_relu_backward)

    def __init__(self, negative_slope=0.01, inplace=False):
        flag(inplace, "inplace")
        self.negative_slope = real(negative_slope, "negative_slope")

    def options(self):
        return {"negative_slope": self.negative_slope}


class PReLU(Layer):
    """x where x > 0, else weight * x with a learned slope (He et al. 2015).

    Parameters
    ----------
    num_parameters : int, 1 or the number of channels (axis 1)
    init : float, first value of the slopes
    dtype : float32 or float64

    Attributes
    ----------
    weight : Parameter (num_parameters,)
    """

    def __init__(self, num_parameters=1, init=0.25, *, dtype=np.float32):
        self.num_parameters = whole(num_parameters, "num_parameters", 1)
        self.weight = Parameter(np.full(self.num_parameters, real(init, "init"), dtype))

    def forward(self, x, train):
        weight = self.weight

        def backward(dy, need_dx=True):
            dx, dweight = F.prelu_backward(dy, x, weight.data)
            with gradients(weight) as (target,):
                target += dweight
            return dx if need_dx else None

        return F.prelu(x, weight.data), backward

    def extra_repr(self):
        return f"num_parameters={self.num_parameters}"


class ELU(_Activation):
    """x where x > 0, else alpha (exp(x) - 1)."""

    _function, _derivative = staticmethod(F.elu), staticmethod(F.elu_backward)

    def __init__(self, alpha=1.0, inplace=False):
        flag(inplace, "inplace")
        self.alpha = real(alpha, "alpha")

    def options(self):
        return {"alpha": self.alpha}


class CELU(ELU):
    """x where x > 0, else alpha (exp(x / alpha) - 1)."""

    _function, _derivative = staticmethod(F.celu), staticmethod(F.celu_backward)


class GELU(_Activation):
    """x Phi(x); `approximate` is "none" or "tanh"."""

    _function, _derivative = staticmethod(F.gelu), staticmethod(F.gelu_backward)

    def __init__(self, approximate="none"):
        self.approximate = one_of(approximate, ("none", "tanh"), "approximate")

    def options(self):
        return {"approximate": self.approximate}


class Softplus(_Activation):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""

    _function, _derivative = staticmethod(F.softplus), staticmethod(F.softplus_backward)

    def __init__(self, beta=1.0, threshold=20.0):
        self.beta, self.threshold = real(beta, "beta"), real(threshold, "threshold")

    def options(self):
        return {"beta": self.beta, "threshold": self.threshold}


class Hardtanh(_Activation):
    """min(max(x, min_val), max_val)."""

    _function, _derivative = staticmethod(F.hardtanh), staticmethod(F.hardtanh_backward)

    def __init__(self, min_val=-1.0, max_val=1.0, inplace=False):
        flag(inplace, "inplace")
        self.min_val, self.max_val = real(min_val, "min_val"), real(max_val, "max_val")

    def options(self):
        return {"min_val": self.min_val, "max_val": self.max_val}


class Threshold(Layer):
    """x where x > threshold, else value."""

    def __init__(self, threshold, value, inplace=False):
        flag(inplace, "inplace")
        self.threshold, self.value = real(threshold, "threshold"), real(value, "value")

    def forward(self, x, train):
        def backward(dy, need_dx=True):
            return F.threshold_backward(dy, x, self.threshold) if need_dx else None

        return F.threshold(x, self.threshold, self.value), backward

    def extra_repr(self):
        return f"threshold={self.threshold}, value={self.value}"


class Softmax(Layer):
    """exp(x) / sum(exp(x)) over axis `dim`."""

    _function, _derivative = staticmethod(F.softmax), staticmethod(F.softmax_backward)

    def __init__(self, dim=1):
        self.dim = whole(dim, "dim")

    def forward(self, x, train):
        y = self._function(x, self.dim)

        def backward(dy, need_dx=True):
            return self._derivative(dy, y, self.dim) if need_dx else None

        return y, backward

    def extra_repr(self):
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """x - log(sum(exp(x))) over axis `dim`."""

    _function, _derivative = staticmethod(F.log_softmax), staticmethod(F.log_softmax_backward)
