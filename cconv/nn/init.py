"""Initialisers: each fills a Parameter in place and returns it.

`rng` is anything `numpy.random.default_rng` takes: None, a seed or a Generator.
"""

import math

import numpy as np

_GAINS = {"linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}


def fans(shape):
    """(fan_in, fan_out) of a weight (out, in, kernel...): connections into an output, out of an input."""
    if len(shape) < 2:
        raise ValueError(f"fans need a weight of at least 2 axes, got shape {tuple(shape)}")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def gain(nonlinearity, slope=0.01):
    """The factor that keeps the variance through `nonlinearity` (torch's calculate_gain); `slope` is that
    of "leaky_relu"."""
    if nonlinearity == "leaky_relu":
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(f"nonlinearity must be leaky_relu, {', '.join(_GAINS)}, got {nonlinearity!r}")
    return _GAINS[nonlinearity]


def constant(parameter, value):
    """Every element becomes `value`."""
    parameter.data[...] = value
    return parameter


def zeros(parameter):
    """Every element becomes 0."""
    return constant(parameter, 0)


def ones(parameter):
    """Every element becomes 1."""
    return constant(parameter, 1)


def uniform(parameter, low=0.0, high=1.0, rng=None):
    """Uniform on [low, high)."""
    draw = np.random.default_rng(rng).random(parameter.shape, np.float32)
    draw *= np.float32(high - low)
    draw += np.float32(low)
    parameter.data[...] = draw
    return parameter


def normal(parameter, mean=0.0, std=1.0, rng=None):
    """Normal of mean `mean` and standard deviation `std`."""
    draw = np.random.default_rng(rng).standard_normal(parameter.shape, np.float32)
    draw *= np.float32(std)
    draw += np.float32(mean)
    parameter.data[...] = draw
    return parameter


def truncated_normal(parameter, mean=0.0, std=1.0, low=-2.0, high=2.0, rng=None):
    """Normal of mean `mean` and deviation `std`, drawn again where outside [low, high]."""
    if not low < high or not std > 0 or (low - mean) / std > 3 or (high - mean) / std < -3:
        raise ValueError(f"[low, high] = [{low}, {high}] must hold a fair share of mean {mean}, std {std}")
    rng = np.random.default_rng(rng)
    draw = np.empty(parameter.size)
    todo = np.arange(parameter.size)
    while todo.size:
        draw[todo] = mean + std * rng.standard_normal(todo.size)
        todo = todo[(draw[todo] < low) | (draw[todo] > high)]
    parameter.data[...] = draw.reshape(parameter.shape)
    return parameter


def xavier_uniform(parameter, gain=1.0, rng=None):
    """Uniform of variance gain**2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 16)."""
    bound = gain * math.sqrt(6 / max(sum(fans(parameter.shape)), 1))
    return uniform(parameter, -bound, bound, rng)


def xavier_normal(parameter, gain=1.0, rng=None):
    """Normal of variance gain**2 * 2 / (fan_in + fan_out) (Glorot and Bengio 2010)."""
    return normal(parameter, 0, gain * math.sqrt(2 / max(sum(fans(parameter.shape)), 1)), rng)


glorot_uniform, glorot_normal = xavier_uniform, xavier_normal


def kaiming_uniform(parameter, a=0.0, mode="fan_in", nonlinearity="leaky_relu", rng=None):
    """Uniform of variance gain**2 / fan (He et al. 2015, eq. 10); `a` is the slope of leaky_relu.

    `a=math.sqrt(5)` gives torch's default for convolutions and linear layers.
    """
    bound = math.sqrt(3) * _kaiming_std(parameter, a, mode, nonlinearity)
    return uniform(parameter, -bound, bound, rng)


def kaiming_normal(parameter, a=0.0, mode="fan_in", nonlinearity="leaky_relu", rng=None):
    """Normal of variance gain**2 / fan (He et al. 2015, eq. 10); `a` is the slope of leaky_relu."""
    return normal(parameter, 0, _kaiming_std(parameter, a, mode, nonlinearity), rng)


def _kaiming_std(parameter, a, mode, nonlinearity):
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan = fans(parameter.shape)[mode == "fan_out"]
    return gain(nonlinearity, a) / math.sqrt(max(fan, 1))


def lecun_normal(parameter, rng=None):
    """Normal of variance 1 / fan_in (LeCun et al. 1998, "Efficient BackProp", section 4.6)."""
    return normal(parameter, 0, 1 / math.sqrt(max(fans(parameter.shape)[0], 1)), rng)


def lecun_uniform(parameter, rng=None):
    """Uniform of variance 1 / fan_in (LeCun et al. 1998, "Efficient BackProp", section 4.6)."""
    bound = math.sqrt(3 / max(fans(parameter.shape)[0], 1))
    return uniform(parameter, -bound, bound, rng)


def he_normal(parameter, rng=None):
    """Normal of variance 2 / fan_in, for ReLU (He et al. 2015, eq. 10): kaiming_normal under Keras's name."""
    return kaiming_normal(parameter, nonlinearity="relu", rng=rng)


def he_uniform(parameter, rng=None):
    """Uniform of variance 2 / fan_in, for ReLU (He et al. 2015, eq. 10): kaiming_uniform under Keras's name."""
    return kaiming_uniform(parameter, nonlinearity="relu", rng=rng)


def orthogonal(parameter, gain=1.0, rng=None):
    """Rows (or columns, whichever are fewer) become orthonormal, times `gain` (Saxe et al. 2014)."""
    fans(parameter.shape)
    rows = parameter.shape[0]
    columns = parameter.size // max(rows, 1)
    draw = np.random.default_rng(rng).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(draw)
    q *= np.where(np.diagonal(r) < 0, -1, 1)
    parameter.data[...] = gain * (q if rows >= columns else q.T).reshape(parameter.shape)
    return parameter


def torch_default(weight, bias=None, rng=None):
    """What torch gives convolutions and linear layers: weight and bias uniform on +-1/sqrt(fan_in)."""
    rng = np.random.default_rng(rng)
    bound = 1 / math.sqrt(max(fans(weight.shape)[0], 1))
    uniform(weight, -bound, bound, rng)
    if bias is not None:
        uniform(bias, -bound, bound, rng)
    return weight
