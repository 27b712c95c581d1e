"""Numeric gradients of CS231n."""

import numpy as np

__all__ = [
    "eval_numerical_gradient",
    "eval_numerical_gradient_array",
]


def _central(f, x, h):
    """(place, f(x + h) - f(x - h) over 2 h) of every element of x, which f sees through x itself."""
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + h
        above = np.copy(f(x))
        x[place] = kept - h
        below = np.copy(f(x))
        x[place] = kept
        yield place, (above - below) / (2 * h)


def eval_numerical_gradient(f, x, verbose=True, h=1e-5):
    """Central differences of the scalar function f at x; with `verbose` each is printed."""
    gradient = np.zeros_like(x)
    for place, slope in _central(f, x, h):
        gradient[place] = slope
        if verbose:
            print(place, gradient[place])
    return gradient


def eval_numerical_gradient_array(f, x, df, h=1e-5):
    """Central differences of SUM(f(x) * df) for a function f of arrays."""
    gradient = np.zeros_like(x)
    for place, slope in _central(f, x, h):
        gradient[place] = np.sum(slope * df)
    return gradient
