"""A head beside a network, and how its loss joins that of the network."""

import contextlib
import contextvars

from cconv.functional._arguments import real
from cconv.nn.combine import Sequential, run_backward
from cconv.nn.recompute import once

# The list that heads of the pass under way add themselves to, in this thread.
_passed = contextvars.ContextVar("cconv heads", default=None)


class Head:
    """Logits of one head in a training pass; `d_logits` is their gradient once there is a loss."""

    def __init__(self, logits, loss_weight):
        self.logits, self.loss_weight, self.d_logits = logits, loss_weight, None


class Heads(list):
    """The heads of one training pass."""

    def add(self, logits, loss_weight):
        self.append(Head(logits, loss_weight))
        return self[-1]

    def loss(self, loss, target):
        """The weighted sum of the heads' losses, an object of cconv.nn.loss; backward passes will contain it."""
        total = 0.0
        for head in self:
            value, backward = loss.forward(head.logits, target)
            total += head.loss_weight * float(value)
            d_logits = backward()
            head.d_logits = d_logits * d_logits.dtype.type(head.loss_weight)
        return total


@contextlib.contextmanager
def heads():
    """`with heads() as found:` the `Auxiliary` layers of a training pass inside add their logits to `found`."""
    found = Heads()
    token = _passed.set(found)
    try:
        yield found
    finally:
        _passed.reset(token)


class Auxiliary(Sequential):
    """A classifier that looks at an intermediate output, as GoogLeNet has two (Szegedy et al. 2014, section 5).

    The network runs past it: y = x, in training as in inference. `cconv.Model` adds `loss_weight` times the loss of
    its outputs to that of the network while it trains; elsewhere, without `heads`, it does nothing.

    Parameters
    ----------
    *layers : as in `Sequential`, the head
    loss_weight : float, 0.3 as in the paper

    Raises
    ------
    ValueError
        For a weight that is not finite.
    """

    def __init__(self, *layers, loss_weight=0.3):
        super().__init__(*layers)
        self.loss_weight = real(loss_weight, "loss_weight")

    def constructor_arguments(self):
        return (dict(self._layers),), {"loss_weight": self.loss_weight}

    def forward(self, x, train):
        found = _passed.get()
        if not train or not once(lambda: found is not None):
            return x, lambda dy, need_dx=True: dy
        logits, head_backward = super().forward(x, True)
        head = once(lambda: found.add(logits, self.loss_weight))

        def backward(dy, need_dx=True):
            return dy if head.d_logits is None else run_backward(head_backward, head.d_logits, need_dx, dy)

        return x, backward

    def __call__(self, x):
        return x

    def output_shape(self, input_shape):
        return tuple(input_shape)

    def head(self):
        """The head itself, a `Sequential` of the same layers."""
        return Sequential(dict(self._layers))
