"""Layers that run again in backward, instead of keeping what their backward passes need (Chen et al. 2016)."""

import contextlib
import contextvars

from cconv.nn.combine import Sequential, run_backward

# The effects of the training pass under way, in this thread, where it will run again.
_effects = contextvars.ContextVar("cconv effects", default=None)


class _Effects:
    """What a first pass drew and changed, in order; a repetition gets it, and changes nothing."""

    def __init__(self):
        self.outer, self.values, self.next = _effects.get(), [], None

    def once(self, effect):
        if self.next is None:
            value = effect() if self.outer is None else self.outer.once(effect)
            self.values.append(value)
            return value
        self.next += 1
        return self.values[self.next - 1]

    @contextlib.contextmanager
    def active(self):
        token = _effects.set(self)
        try:
            yield
        finally:
            _effects.reset(token)


def once(effect):
    """`effect()` in the first pass, its value of then in a repetition: for what a forward pass changes in its layer."""
    effects = _effects.get()
    return effect() if effects is None else effects.once(effect)


def repeating():
    """Whether this forward pass repeats an earlier one, in backward."""
    effects = _effects.get()
    return effects is not None and effects.next is not None


class Recompute(Sequential):
    """One layer after the other, of which training keeps the input alone: backward runs them forward again.

    Less memory for more time, and the same bits: random masks are those of the first run, running statistics move
    once.

    Parameters
    ----------
    *layers : as in `Sequential`; layers of your own must compute the same in both runs

    Examples
    --------
    >>> net = Sequential(Recompute(Conv2d(3, 64, 3), ReLU()), Flatten(), Linear(57600, 10))
    """

    def forward(self, x, train):
        effects = _Effects()
        with effects.active():
            y, _ = super().forward(x, train)

        def backward(dy, need_dx=True, onto=None):
            effects.next = 0
            with effects.active():
                _, inner = super(Recompute, self).forward(x, train)
            handed = [dy]  # as in run_backward
            del dy
            return run_backward(inner, handed.pop(), need_dx, onto)

        return y, backward
