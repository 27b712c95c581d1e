"""Activations as layers; each works in the memory order of its input."""

from cconv import functional as F
from cconv.nn.base import Layer


class Identity(Layer):
    """y = x."""

    def forward(self, x, train):
        return x, lambda dy, need_dx=True: dy


class ReLU(Layer):
    """max(x, 0)."""

    def forward(self, x, train):
        y = F.relu(x)

        def backward(dy, need_dx=True):
            return F.relu_backward(dy, y) if need_dx else None

        return y, backward


class _Activation(Layer):
    """One of the functions below; `options` are its arguments besides x."""

    def forward(self, x, train):
        y = self._function(x, **self.options())

        def backward(dy, need_dx=True):
            return self._derivative(dy, x, **self.options()) if need_dx else None

        return y, backward

    def options(self):
        return {}

    def extra_repr(self):
        return ", ".join(f"{name}={value!r}" for name, value in self.options().items())


class LeakyReLU(_Activation):
    """x where x > 0, else negative_slope * x."""

    _function, _derivative = staticmethod(F.leaky_relu), staticmethod(F.leaky_relu_backward)

    def __init__(self, negative_slope=0.01):
        self.negative_slope = negative_slope

    def options(self):
        return {"negative_slope": self.negative_slope}


class Sigmoid(_Activation):
    """1 / (1 + exp(-x))."""

    _function, _derivative = staticmethod(F.sigmoid), staticmethod(F.sigmoid_backward)


class Tanh(_Activation):
    """Hyperbolic tangent."""

    _function, _derivative = staticmethod(F.tanh), staticmethod(F.tanh_backward)


class ScaledTanh(_Activation):
    """1.7159 tanh(2x/3) of LeNet-5 (LeCun et al. 1998, appendix A): f(+-1) is about +-1."""

    _function, _derivative = staticmethod(F.scaled_tanh), staticmethod(F.scaled_tanh_backward)


class ELU(_Activation):
    """x where x > 0, else alpha (exp(x) - 1)."""

    _function, _derivative = staticmethod(F.elu), staticmethod(F.elu_backward)

    def __init__(self, alpha=1.0):
        self.alpha = alpha

    def options(self):
        return {"alpha": self.alpha}


class GELU(_Activation):
    """x Phi(x); `approximate` is "none" or "tanh"."""

    _function, _derivative = staticmethod(F.gelu), staticmethod(F.gelu_backward)

    def __init__(self, approximate="none"):
        self.approximate = approximate

    def options(self):
        return {"approximate": self.approximate}


class SiLU(_Activation):
    """x * sigmoid(x)."""

    _function, _derivative = staticmethod(F.silu), staticmethod(F.silu_backward)


class Softplus(_Activation):
    """log(1 + exp(beta x)) / beta, and x itself where beta x > threshold."""

    _function, _derivative = staticmethod(F.softplus), staticmethod(F.softplus_backward)

    def __init__(self, beta=1.0, threshold=20.0):
        self.beta, self.threshold = beta, threshold

    def options(self):
        return {"beta": self.beta, "threshold": self.threshold}


class Softmax(Layer):
    """exp(x) / sum(exp(x)) over axis `dim`."""

    def __init__(self, dim=1):
        self.dim = dim

    def forward(self, x, train):
        y = F.softmax(x, self.dim)

        def backward(dy, need_dx=True):
            return F.softmax_backward(dy, y, self.dim) if need_dx else None

        return y, backward

    def extra_repr(self):
        return f"dim={self.dim}"


class LogSoftmax(Layer):
    """x - log(sum(exp(x))) over axis `dim`."""

    def __init__(self, dim=1):
        self.dim = dim

    def forward(self, x, train):
        y = F.log_softmax(x, self.dim)

        def backward(dy, need_dx=True):
            return F.log_softmax_backward(dy, y, self.dim) if need_dx else None

        return y, backward

    def extra_repr(self):
        return f"dim={self.dim}"
