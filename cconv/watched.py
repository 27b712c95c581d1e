"""A copy of a Model whose step tells when each layer begins and ends: what profile and memory plan look through.

The network is the fused one, that really runs. An observer is `observer(name, phase)`, a context manager around each call;
phases are "forward", "backward" and, in backward, "recompute".
"""

import copy

from cconv import nn
from cconv.fuse import fuse, recomputing
from cconv.nn.base import Layer, dotted
from cconv.nn.combine import Concat, Sequential, Sum, run_backward
from cconv.nn.joined import ConvNorm, Residual
from cconv.nn.recompute import Recompute, repeating

LOSS, OPTIMIZER = "loss", "optimizer"


# Layers that run others and nothing besides.
_CONTAINERS = Sequential, Sum, Concat, Recompute


def twin(model, observer, stretches=None):
    """A Model like `model`, with weights of its own, that reports to `observer`; and its leaves, name -> watched layer
    (`.layer`, and after a step `.x_shape`, `.y_shape`, `.need_dx`). It recomputes `stretches` unless None."""
    other = object.__new__(type(model))
    vars(other).update(vars(model))
    other.net = copy.deepcopy(model.net)
    other.net.zero_grad()
    other.optimizer = copy.copy(model.optimizer)
    other.optimizer.bind(other.net)
    leaves = {}
    fused = recomputing(fuse(other.net), model.recomputed if stretches is None else stretches)
    other._fused = _watched(fused, _names(other.net), observer, leaves)
    other.loss = _Loss(model.loss, observer)
    step = other.optimizer.step

    def watched_step(*args, **kwargs):
        with observer(OPTIMIZER, "backward"):
            return step(*args, **kwargs)

    other.optimizer.step = watched_step
    return other, leaves


def _names(net):
    """id -> dotted name of each layer that is no container."""
    return {id(layer): name for name, layer in net.named_layers() if not isinstance(layer, _CONTAINERS)}


def _watched(layer, names, observer, leaves):
    if type(layer) in _CONTAINERS:
        inside = {f"_{key}": _watched(child, names, observer, leaves) for key, child in layer.named_children()}
        return Concat(inside, axis=layer.axis) if type(layer) is Concat else type(layer)(inside)
    if type(layer) is Residual:
        body, shortcut = (_watched(one, names, observer, leaves) for one in (layer.body, layer.shortcut))
        return Residual(body, _watched(layer.last, names, observer, leaves), shortcut, layer.relu)
    name = _name(layer, names, leaves)
    leaves[name] = (_WatchedConvNorm if type(layer) is ConvNorm else Watched)(layer, name, observer)
    return leaves[name]


def _name(layer, names, leaves):
    """What the user calls `layer`; of joined layers the names of all, with what they share in front of them written once."""
    inside = [names[id(one)] for _, one in layer.named_layers() if id(one) in names]
    if not inside:
        inside = [type(layer).__name__]
    folders = {one.rpartition(".")[0] for one in inside}
    name = "+".join([inside[0], *(one.rpartition(".")[2] if len(folders) == 1 else one for one in inside[1:])])
    name, first, count = name or type(layer).__name__, name or type(layer).__name__, 1
    while name in leaves:
        count += 1
        name = dotted(first, f"call{count}")
    return name


def _phase():
    return "recompute" if repeating() else "forward"


class Watched(Layer):
    def __init__(self, layer, name, observer):
        self.layer, self.name, self._observer = layer, name, observer
        self.x_shape = self.y_shape = ()
        self.need_dx = True

    def forward(self, x, train):
        with self._observer(self.name, _phase()):
            y, inner = self.layer.forward(x, train)
        self.x_shape, self.y_shape = x.shape, y.shape

        def backward(dy, need_dx=True, onto=None):
            self.need_dx = need_dx
            handed = [dy]  # as in run_backward
            del dy
            with self._observer(self.name, "backward"):
                return run_backward(inner, handed.pop(), need_dx, onto)

        return y, backward

    def output_shape(self, input_shape):
        return self.layer.output_shape(input_shape)


class _WatchedConvNorm(Watched):
    @property
    def relu(self):
        return self.layer.relu

    def forward_residual(self, x, train, residual=None, relu=False):
        with self._observer(self.name, _phase()):
            y, inner = self.layer.forward_residual(x, train, residual, relu)
        self.x_shape, self.y_shape = x.shape, y.shape

        def backward(dy, need_dx=True, onto=None):
            self.need_dx = need_dx
            with self._observer(self.name, "backward"):
                return inner(dy, need_dx, onto)

        return y, backward


class _Loss:
    def __init__(self, loss, observer):
        self.loss, self._observer = loss, observer
        self.takes_classes = getattr(loss, "takes_classes", False)

    def forward(self, outputs, target):
        with self._observer(LOSS, "forward"):
            value, inner = self.loss.forward(outputs, target)

        def backward():
            with self._observer(LOSS, "backward"):
                return inner()

        return value, backward


def convolutions(layer):
    """The convolutions at or below `layer`, in the order they run."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return [one for _, one in layer.named_layers() if isinstance(one, kinds)]
