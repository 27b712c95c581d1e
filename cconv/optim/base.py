"""What an optimiser is: options, and state of the same length as the flat array of all parameters."""

import contextlib
import math

import numpy as np

from cconv.nn.base import adds_once, gather

# Bytes of parameters from which on they are updated in the backward pass.
LARGE = 8 << 20


def nonnegative(value, name):
    """`value` as a finite float >= 0."""
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be finite and at least 0, got {value}")
    return number


class Optimizer:
    """Base of all optimisers: built from options, then bound to a network.

    A subclass names its state arrays in `slots` and its options in `options`, and defines `_update`, or `_step`
    where a step is more than one formula for all elements.

    Attributes
    ----------
    lr : float, may be changed between steps
    steps : int, steps taken
    data, grad : the flat arrays after `bind`, else None
    """

    slots = ()
    options = ("lr",)

    def __init__(self, lr):
        self.lr = nonnegative(lr, "lr")
        self.steps = 0
        self.data = self.grad = None
        self.state = {}
        self._parameters = []

    def bind(self, layer):
        """Gather the parameters of `layer` into flat arrays, start with fresh state; returns self."""
        self.data, self.grad = gather(layer)
        self._parameters = list(layer.parameters())
        self.state = {name: np.zeros(self.data.shape, self.data.dtype) for name in self.slots}
        self.steps = 0
        return self

    def _check_bound(self):
        if self.data is None:
            raise RuntimeError(f"{type(self).__name__} has no parameters yet: call bind(layer) first")

    def step(self, zero_grad=False):
        """Update every parameter from its gradient; with `zero_grad` leave zeros in the gradients."""
        self._check_bound()
        self.steps += 1
        self._step(zero_grad)

    def _step(self, zero_grad):
        self._update(zero_grad).sink(0, self.grad.size).take(self.grad)

    def _update(self, zero_grad):
        """The update of this step, whose sinks take gradients and with `zero_grad` leave zeros there."""
        raise TypeError(f"{type(self).__name__} does not define _update")

    def can_update_in_backward(self, layer):
        """Whether `updating_in_backward` does the same as `step` for `layer`, and pays.

        A step must treat every element by itself, backward give every gradient at once, and the parameters be so
        large that writing their gradients costs more than calls.
        """
        cls, known = type(self), adds_once(layer)
        return known and cls.step is Optimizer.step and cls._step is Optimizer._step and self.data.nbytes >= LARGE

    @contextlib.contextmanager
    def updating_in_backward(self):
        """One step around a backward pass: a parameter is updated as soon as its gradient is there.

        Gradients are not kept: `grad` stays as it is, and large ones exist piece by piece. The same bits as
        backward and `step`. Only where the pass adds to no parameter twice; parameters that it does not reach
        are updated by their `grad`. When the pass fails, some parameters have been updated.
        """
        self._check_bound()
        self.steps += 1
        try:
            update, position = self._update(False), 0
            for parameter in self._parameters:
                parameter.sink = update.sink(position, parameter.size)
                position += parameter.size
            yield
            for parameter in self._parameters:
                if not parameter.sink.taken:
                    parameter.sink.take(parameter.grad)
        except BaseException:
            if not any(parameter.sink is not None and parameter.sink.taken for parameter in self._parameters):
                self.steps -= 1
            raise
        finally:
            for parameter in self._parameters:
                parameter.sink = None

    def zero_grad(self):
        """Set every gradient to zero."""
        self._check_bound()
        self.grad[...] = 0

    def state_dict(self):
        """Options, number of steps and copies of the state arrays: all that an exact resume needs."""
        self._check_bound()
        options = {name: getattr(self, name) for name in self.options}
        return {**options, "steps": self.steps, **{name: array.copy() for name, array in self.state.items()}}

    def load_state_dict(self, state):
        """Continue from what `state_dict` returned; nothing changes unless everything fits.

        Raises
        ------
        RuntimeError
            Before `bind`.
        ValueError
            Listing missing and unexpected keys, or state arrays of another length.
        """
        self._check_bound()
        expected = {*self.options, "steps", *self.state}
        if set(state) != expected:
            missing, unexpected = sorted(expected - set(state)), sorted(set(state) - expected)
            raise ValueError(f"state does not fit {type(self).__name__}; missing: {missing}, unexpected: {unexpected}")
        for name, array in self.state.items():
            if np.shape(state[name]) != array.shape:
                raise ValueError(f"{name} must have shape {array.shape}, got {np.shape(state[name])}")
        for name, array in self.state.items():
            array[...] = state[name]
        for name in self.options:
            setattr(self, name, type(getattr(self, name))(state[name]))
        self.steps = int(state["steps"])

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.options)})"
