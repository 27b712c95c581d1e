"""Dropout (Srivastava et al. 2014) with a reproducible mask."""

import numpy as np

from cconv.functional import dropout
from cconv.functional._arguments import whole
from cconv.nn.base import Layer


class Dropout(Layer):
    """In training zeroes each element with probability `p` and scales the others by 1 / (1 - p).

    The mask is a function of the seed, of how many training calls there were, and of the element's place: neither
    threads nor memory order change it.

    Parameters
    ----------
    p : float in 0 .. 1
    rng : seed or Generator the layer's own seed is drawn from
    """

    per_channel = False

    def __init__(self, p=0.5, rng=None):
        if not 0 <= p <= 1:
            raise ValueError(f"p must be in 0 .. 1, got {p}")
        self.p = p
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
        p, seed, call = self.p, self.seed, self.calls
        self.calls += 1
        y = dropout(x, p, seed, call, self.per_channel)

        def backward(dy, need_dx=True):
            return dropout(dy, p, seed, call, self.per_channel) if need_dx else None

        return y, backward

    def extra_repr(self):
        return f"p={self.p}"


class Dropout2d(Dropout):
    """Dropout of whole (sample, channel) planes (Tompson et al. 2015)."""

    per_channel = True
