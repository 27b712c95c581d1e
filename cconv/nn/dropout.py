"""Dropout (Srivastava et al. 2014) with a reproducible mask."""

import numpy as np

from cconv.functional import alpha_dropout, alpha_dropout_backward, dropout
from cconv.functional._arguments import flag, whole
from cconv.functional.dropout import probability
from cconv.nn.base import Layer
from cconv.nn.recompute import once


class Dropout(Layer):
    """In training zeroes each element with probability `p` and scales the others by 1 / (1 - p).

    The mask is a function of the seed, of how many training calls there were, and of the element's place: neither
    threads nor memory order change it.

    Parameters
    ----------
    p : float in 0 .. 1
    inplace : bool, accepted and ignored: no layer overwrites what it was given
    rng : seed or Generator the layer's own seed is drawn from
    """

    per_channel = False
    _function, _derivative = staticmethod(dropout), staticmethod(dropout)

    def __init__(self, p=0.5, inplace=False, *, rng=None):
        flag(inplace, "inplace")
        self.p = probability(p)
        self.seed = int(np.random.default_rng(rng).integers(2**62))
        self.calls = 0

    def random_state(self):
        """(seed, calls) as plain ints: with the state_dict, all that a resumed training needs."""
        return self.seed, self.calls

    def set_random_state(self, state):
        """Continue from what `random_state` returned."""
        seed, calls = state
        self.seed, self.calls = whole(seed, "seed", 0), whole(calls, "calls", 0)

    def forward(self, x, train):
        if not train or self.p == 0:
            return x, lambda dy, need_dx=True: dy
        p, seed, call = self.p, self.seed, once(self._count)
        y = self._function(x, p, seed, call, self.per_channel)

        def backward(dy, need_dx=True):
            return self._derivative(dy, p, seed, call, self.per_channel) if need_dx else None

        return y, backward

    def _count(self):
        self.calls += 1
        return self.calls - 1

    def extra_repr(self):
        return f"p={self.p}"


class _DropoutOfPlanes(Dropout):
    """Dropout of whole (sample, channel) planes (Tompson et al. 2015); arguments as `Dropout`."""

    per_channel = True


Dropout1d, Dropout2d, Dropout3d = (
    type(f"Dropout{rank}d", (_DropoutOfPlanes,), {"__doc__": _DropoutOfPlanes.__doc__, "__module__": __name__})
    for rank in (1, 2, 3)
)


class AlphaDropout(Dropout):
    """Dropout that keeps the mean and variance of what SELU gives (Klambauer et al. 2017); arguments as `Dropout`."""

    _function, _derivative = staticmethod(alpha_dropout), staticmethod(alpha_dropout_backward)
