"""The one gradient harness: analytic gradients of a layer against central differences in float64."""

import copy

import numpy as np

# A kink closer to the point than one step is farther away than a smaller one; a wrong gradient fails all.
STEPS = (1e-5, 1e-6, 1e-7)
TOLERANCE = {1e-5: 1e-7, 1e-6: 1e-6, 1e-7: 1e-5}
SMALLEST_SCALE = 0.1


def separated(shape, rng):
    """Values in about [-1, 1], none near 0 and no two near each other: away from the kinks of max and ReLU."""
    size = int(np.prod(shape))
    step = 2 / max(size, 1)
    return (rng.permutation((np.arange(size) - size // 2 + 0.5) * step)).reshape(shape)


def check_gradients(layer, x, train=True, rng=0, limit=None):
    """Fail where `backward` of `layer` at `x` is not the derivative of `forward`.

    The loss is sum(y * dy) with a random dy. Each forward runs on a copy of the layer in its first state, so
    that dropout draws the same mask and running statistics stay.

    Parameters
    ----------
    layer : nn.Layer; is converted to float64
    x : array
    train : bool, as in `forward`
    rng : seed
    limit : int, elements to check in each array (the largest gradients and random ones); None checks all
    """
    rng = np.random.default_rng(rng)
    layer.astype(np.float64)
    x = np.array(x, np.float64)
    first = copy.deepcopy(layer)
    y, backward = copy.deepcopy(first).forward(x, train)
    dy = rng.standard_normal(y.shape) + 0.3
    if np.dtype(y.dtype) != np.float64:
        raise AssertionError(f"y is {y.dtype}, not float64")

    analytic = copy.deepcopy(first)
    start = {}
    for name, parameter in analytic.named_parameters():
        start[name] = rng.standard_normal(parameter.shape)
        parameter.grad[...] = start[name]
    _, backward = analytic.forward(x, train)
    dx = backward(dy)
    if dx.shape != x.shape or dx.dtype != np.float64:
        raise AssertionError(f"dx is {dx.dtype} of shape {dx.shape} for x of shape {x.shape}")

    def loss():
        return float(np.sum(copy.deepcopy(first).forward(x, train)[0] * dy))

    # backward must add: the start values are subtracted here.
    arrays = [("dx", x, dx)]
    parameters = dict(first.named_parameters())
    for name, parameter in analytic.named_parameters():
        arrays.append((f"{name}.grad", parameters[name].data, parameter.grad - start[name]))
    for name, values, gradient in arrays:
        _check_array(name, values, gradient, loss, _chosen(gradient, limit, rng))


def _chosen(gradient, limit, rng):
    """Flat indices to check."""
    if limit is None or gradient.size <= limit:
        return np.arange(gradient.size)
    largest = np.argsort(-np.abs(gradient).reshape(-1))[: limit // 2]
    return np.union1d(largest, rng.choice(gradient.size, limit - limit // 2, replace=False))


def _check_array(name, values, gradient, loss, indices):
    if not np.isfinite(gradient).all():
        raise AssertionError(f"{name} is not finite")
    scale = max(np.abs(gradient).max(initial=0), SMALLEST_SCALE)
    worst = (0.0, "")
    for flat in indices:
        index = np.unravel_index(flat, values.shape)
        for step in STEPS:
            numeric = _difference(values, index, step, loss)
            excess = abs(numeric - gradient[index]) / scale / TOLERANCE[step]
            if excess <= 1:
                break
        if excess > worst[0]:
            place = ", ".join(str(int(i)) for i in index)
            worst = (excess, f"{name}[{place}] is {gradient[index]:.9g}, central difference {numeric:.9g}")
    if worst[0] > 1:
        raise AssertionError(f"worst element: {worst[1]}; largest in the array {scale:.3g}")


def _difference(values, index, step, loss):
    old = values[index]
    values[index] = old + step
    above = loss()
    values[index] = old - step
    below = loss()
    values[index] = old
    return (above - below) / (2 * step)


def numeric_gradient(function, x, step=1e-6):
    """Central differences of the scalar `function` at every element of `x`, float64."""
    gradient = np.empty_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + step
        above = function(x)
        x[index] = kept - step
        below = function(x)
        x[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient
