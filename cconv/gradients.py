"""Whether backward is the derivative of forward: central differences in float64."""

import copy
from dataclasses import dataclass

import numpy as np

from cconv.functional._arguments import real, whole
from cconv.nn.base import Layer

# A kink (ReLU, a maximum) closer to the point than one step is farther than a smaller one; a wrong gradient fails all.
STEPS = (1e-5, 1e-6, 1e-7, 1e-8)
KINK_STEP = 1e-6

# Differences are judged against the element, but not against less than these shares of the largest gradient of its
# array and of all arrays: below that a difference of two rounded losses says nothing.
SHARE_OF_ARRAY, SHARE_OF_ALL = 1e-2, 1e-3


@dataclass(frozen=True)
class Element:
    """One derivative, computed both ways.

    Attributes
    ----------
    array : dotted name of the parameter, or "x"
    index : tuple, its place in the array
    analytic, numeric : float
    error : float, |analytic - numeric| relative to the element, or to the array's gradients where it is small
    checked : int, elements of the array that were looked at
    """

    array: str
    index: tuple
    analytic: float
    numeric: float
    error: float
    checked: int


class GradientReport:
    """The worst element of every array; prints as a table.

    Attributes
    ----------
    elements : list of Element, one an array; iterating and len() go over them
    worst : the Element with the largest error
    tolerance : float
    passed : bool, whether no error exceeds the tolerance
    """

    def __init__(self, elements, tolerance):
        self.elements, self.tolerance = elements, tolerance
        # A NaN is worse than any number.
        self.worst = max(elements, key=lambda one: np.inf if np.isnan(one.error) else one.error)
        self.passed = all(one.error <= tolerance for one in elements)

    def __iter__(self):
        return iter(self.elements)

    def __len__(self):
        return len(self.elements)

    def __bool__(self):
        return self.passed

    def __repr__(self):
        width = max(5, *(len(one.array) for one in self))
        lines = [f"{'array':{width}}  {'checked':>7}  {'analytic':>13}  {'numeric':>13}  {'error':>8}  at"]
        for one in self:
            at = ", ".join(map(str, one.index))
            wrong = "" if one.error <= self.tolerance else "  WRONG"
            lines.append(
                f"{one.array:{width}}  {one.checked:7}  {one.analytic:13.6e}  {one.numeric:13.6e}  {one.error:8.1e}  [{at}]{wrong}"
            )
        verdict = "passed" if self.passed else "FAILED"
        at = ", ".join(map(str, self.worst.index))
        lines.append(
            f"{verdict}: worst {self.worst.array}[{at}], {self.worst.error:.1e} of {self.tolerance:.1e} allowed"
        )
        return "\n".join(lines)


def gradcheck(layer, x, train=True, samples=20, tolerance=1e-5, rng=0):
    """Compare the gradients of a layer or network with central differences in float64.

    The loss is SUM(y * dy) with a random dy. The layer is not changed: all runs on a copy.

    Parameters
    ----------
    layer : nn.Layer
    x : array, its input
    train : bool, as in `Layer.forward`
    samples : int, elements looked at in each array: the largest gradients and random ones; all where there are no more
    tolerance : float, largest error that passes
    rng : seed

    Returns
    -------
    GradientReport

    Raises
    ------
    TypeError, ValueError
        For what is no layer, and an input that it does not take.
    """
    if not isinstance(layer, Layer):
        raise TypeError(f"layer must be an nn.Layer, got {type(layer).__name__}")
    rng = np.random.default_rng(rng)
    x = np.array(x, np.float64)
    dy = []

    def loss(y):
        if not dy:
            dy.append(rng.standard_normal(y.shape) + 0.3)
        return float(np.sum(y * dy[0])), lambda: dy[0]

    return _compare(layer, x, loss, train, samples, tolerance, rng)


def check_model(model, x, y, samples, tolerance, rng):
    """The report of `Model.gradcheck`; `x` in the range the network sees, `y` checked."""
    if y.dtype.kind == "f":
        y = y.astype(np.float64)
    x = np.array(x, np.float64) / (255 if x.dtype == np.uint8 else 1)

    def loss(outputs):
        value, backward = model.loss.forward(outputs, y)
        return float(value), backward

    return _compare(model.net, x, loss, True, samples, tolerance, np.random.default_rng(rng))


class _Copy:
    """A float64 copy of a network whose every pass starts from the same buffers and random numbers."""

    def __init__(self, layer):
        self.layer = copy.deepcopy(layer).astype(np.float64)
        self.buffers = [(buffer, buffer.data.copy()) for _, buffer in self.layer.named_buffers()]
        self.random = [
            (one, one.random_state()) for _, one in self.layer.named_layers() if hasattr(one, "set_random_state")
        ]

    def forward(self, x, train):
        for buffer, data in self.buffers:
            buffer.data = data.copy()
        for one, state in self.random:
            one.set_random_state(state)
        return self.layer.forward(x, train)


def _compare(layer, x, loss, train, samples, tolerance, rng):
    samples, tolerance = whole(samples, "samples", 1), real(tolerance, "tolerance")
    net = _Copy(layer)
    net.layer.zero_grad()
    y, backward = net.forward(x, train)
    dx = backward(loss(y)[1]())
    arrays = [("x", x, np.array(dx))]
    arrays += [(name, parameter.data, parameter.grad.copy()) for name, parameter in net.layer.named_parameters()]
    largest = max((np.abs(gradient).max(initial=0) for _, _, gradient in arrays), default=0)

    def value():
        return loss(net.forward(x, train)[0])[0]

    elements = [
        _worst(name, values, gradient, value, _chosen(gradient, samples, rng), largest, tolerance)
        for name, values, gradient in arrays
        if values.size
    ]
    if not elements:
        raise ValueError(f"there is nothing to check: x has shape {x.shape}")
    return GradientReport(elements, tolerance)


def _chosen(gradient, samples, rng):
    """Flat indices of the elements to look at."""
    if gradient.size <= samples:
        return np.arange(gradient.size)
    largest = np.argpartition(-np.abs(gradient).reshape(-1), samples // 2)[: samples // 2]
    return np.union1d(largest, rng.choice(gradient.size, samples - samples // 2, replace=False))


def _worst(name, values, gradient, value, places, largest, tolerance):
    floor = max(SHARE_OF_ARRAY * np.abs(gradient).max(), SHARE_OF_ALL * largest, np.finfo(np.float64).tiny)
    worst = None
    for place in places:
        index = tuple(map(int, np.unravel_index(place, values.shape)))
        analytic = float(gradient[index])
        error, numeric = np.nan, np.nan
        for step in STEPS:
            slope = _difference(values, index, step, value)
            this = abs(slope - analytic) / max(abs(slope), abs(analytic), floor)
            if not this >= error:
                error, numeric = this, slope
            if error <= tolerance:
                break
        else:
            # At a kink itself, such as equal pixels under a maximum, any slope between those of its sides is right.
            low, high = sorted(_one_sided(values, index, KINK_STEP, value))
            if high - low > tolerance * max(abs(low), abs(high), floor):
                slope = min(max(analytic, low), high)
                this = abs(slope - analytic) / max(abs(slope), abs(analytic), floor)
                if this < error:
                    error, numeric = this, slope
        if worst is None or not error <= worst.error:
            worst = Element(name, index, analytic, float(numeric), float(error), len(places))
    return worst


def _one_sided(values, index, step, value):
    """Slopes to the left and to the right."""
    kept, here = values[index], value()
    values[index] = kept + step
    right = (value() - here) / step
    values[index] = kept - step
    left = (here - value()) / step
    values[index] = kept
    return left, right


def _difference(values, index, step, value):
    kept = values[index]
    values[index] = kept + step
    above = value()
    values[index] = kept - step
    below = value()
    values[index] = kept
    return (above - below) / (2 * step)
