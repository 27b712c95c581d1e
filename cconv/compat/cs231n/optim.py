"""Update rules of CS231n: each takes weights, gradient and a dict of options and state, and returns (next weights, the dict)."""

import numpy as np

__all__ = [
    "sgd",
    "sgd_momentum",
    "rmsprop",
    "adam",
]


def _config(config, **defaults):
    config = {} if config is None else config
    for name, value in defaults.items():
        config.setdefault(name, value)
    return config


def sgd(w, dw, config=None):
    """w - learning_rate * dw, written into w; learning_rate 1e-2."""
    config = _config(config, learning_rate=1e-2)
    w -= config["learning_rate"] * dw
    return w, config


def sgd_momentum(w, dw, config=None):
    """velocity = momentum * velocity - learning_rate * dw; w + velocity. learning_rate 1e-2, momentum 0.9."""
    config = _config(config, learning_rate=1e-2, momentum=0.9, velocity=np.zeros_like(w))
    config["velocity"] = config["momentum"] * config["velocity"] - config["learning_rate"] * dw
    return w + config["velocity"], config


def rmsprop(w, dw, config=None):
    """w - learning_rate * dw / (sqrt(cache) + epsilon); learning_rate 1e-2, decay_rate 0.99, epsilon 1e-8."""
    config = _config(config, learning_rate=1e-2, decay_rate=0.99, epsilon=1e-8, cache=np.zeros_like(w))
    decay = config["decay_rate"]
    config["cache"] = decay * config["cache"] + (1 - decay) * dw**2
    return w - config["learning_rate"] * dw / (np.sqrt(config["cache"]) + config["epsilon"]), config


def adam(w, dw, config=None):
    """Adam with bias correction; learning_rate 1e-3, beta1 0.9, beta2 0.999, epsilon 1e-8, t counts the steps."""
    config = _config(
        config, learning_rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8, m=np.zeros_like(w), v=np.zeros_like(w), t=0
    )
    beta1, beta2 = config["beta1"], config["beta2"]
    config["t"] += 1
    config["m"] = beta1 * config["m"] + (1 - beta1) * dw
    config["v"] = beta2 * config["v"] + (1 - beta2) * dw**2
    mean, square = config["m"] / (1 - beta1 ** config["t"]), config["v"] / (1 - beta2 ** config["t"])
    return w - config["learning_rate"] * mean / (np.sqrt(square) + config["epsilon"]), config
