"""What an optimiser is: options, and state of the same length as the flat array of all parameters."""

import contextlib
import copy
import math

import numpy as np

from cconv import _optim
from cconv.functional._arguments import whole
from cconv.nn.base import adds_once, gather
from cconv.optim.decay import decaying, kinds_of

# Bytes of parameters from which on they are updated in the backward pass.
LARGE = 8 << 20


def nonnegative(value, name):
    """`value` as a finite float >= 0."""
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{name} must be finite and at least 0, got {value}")
    return number


def _positive(value, name):
    if value is None:
        return None
    if nonnegative(value, name) == 0:
        raise ValueError(f"{name} must be above 0, got {value}")
    return float(value)


class Optimizer:
    """Base of all optimisers: built from options, then bound to a network.

    A subclass names its state arrays in `slots` and its options in `options`, and defines `_update`, or `_step`
    where a step is more than one formula for all elements.

    Parameters
    ----------
    lr : float
    clip_norm : float, optional
        Gradients are scaled down to this Euclidean norm, that of all of them together (Pascanu et al. 2013; torch's
        clip_grad_norm_, Keras's global_clipnorm).
    clip_value : float, optional
        Each element of the gradients is cut to [-clip_value, clip_value]; instead of clip_norm.
    accumulate : int
        `step` updates at every call of this number, from the mean of the gradients since; the calls between leave
        the gradients as they are. Groups go on from one epoch to the next.
    no_decay : sequence of "bias" and "norm"
        What weight_decay leaves alone: parameters called bias, all parameters of normalisation layers.
    ema : float in [0, 1), optional
        Keep an average of the parameters: after each update average = ema * average + (1 - ema) * data, which is
        about the mean of the last 1 / (1 - ema) updates. The running statistics of batch norms are averaged alike.
        The averages are state["average"] and state["average_buffers"]; `averaged` lends them to the network, and a
        Model evaluates and predicts with them. `cconv.recalibrate` gives exact statistics instead.

    Attributes
    ----------
    lr : float, may be changed between steps
    steps : int, updates done
    waiting : int, calls of `step` since the last update
    data, grad : the flat arrays after `bind`, else None
    """

    slots = ()
    options = ("lr",)
    # Options of every optimiser, keyword arguments of its constructor.
    shared_options = {"clip_norm": None, "clip_value": None, "accumulate": 1, "no_decay": (), "ema": None}

    def __init__(self, lr, *, clip_norm=None, clip_value=None, accumulate=1, no_decay=(), ema=None):
        self.lr = nonnegative(lr, "lr")
        self.clip_norm = _positive(clip_norm, "clip_norm")
        self.clip_value = _positive(clip_value, "clip_value")
        if clip_norm is not None and clip_value is not None:
            raise ValueError("clip_norm and clip_value exclude each other")
        self.accumulate = whole(accumulate, "accumulate", 1)
        self.no_decay = kinds_of(no_decay)
        self.ema = None if ema is None else nonnegative(ema, "ema")
        if ema is not None and self.ema >= 1:
            raise ValueError(f"ema must be below 1, got {ema}")
        self.steps = self.waiting = 0
        self.data = self.grad = None
        self.state = {}
        self._parameters = []
        self._segments = []
        self._runs = []
        self._buffers = []

    def bind(self, layer):
        """Gather the parameters of `layer` into flat arrays, start with fresh state; returns self."""
        self.data, self.grad = gather(layer)
        self._parameters = list(layer.parameters())
        self._segments = decaying(layer, self.no_decay)
        self._runs = _runs(self._parameters, self._segments)
        self.state = {name: np.zeros(self.data.shape, self.data.dtype) for name in self.slots}
        if self.ema is not None:
            self.state["average"] = self.data.copy()
            self._buffers = [buffer for _, buffer in layer.named_buffers() if buffer.data.dtype.kind == "f"]
            if self._buffers:
                self.state["average_buffers"] = self._joined_buffers()
        self.steps = self.waiting = 0
        return self

    def _check_bound(self):
        if self.data is None:
            raise RuntimeError(f"{type(self).__name__} has no parameters yet: call bind(layer) first")

    def step(self, zero_grad=False):
        """Update every parameter from its gradient; with `zero_grad` leave zeros in the gradients.

        With `accumulate` above 1 gradients are zeros after each update, and kept by the calls without one.

        Raises
        ------
        FloatingPointError
            With clip_norm, when the norm is not finite; nothing has changed then.
        """
        self._check_bound()
        if self.waiting + 1 < self.accumulate:
            self.waiting += 1
            return
        if self.accumulate > 1:
            self.grad *= self.grad.dtype.type(1 / self.accumulate)
            zero_grad = True
        self._clip()
        self.steps, self.waiting = self.steps + 1, 0
        self._step(zero_grad)
        self._average()

    def _step(self, zero_grad):
        updates = self._updates(zero_grad)
        begin = 0
        for end, decays in self._runs:
            updates[decays].sink(begin, end - begin).take(self.grad[begin:end])
            begin = end

    def _update(self, zero_grad):
        """The update of this step, whose sinks take gradients and with `zero_grad` leave zeros there."""
        raise TypeError(f"{type(self).__name__} does not define _update")

    def _updates(self, zero_grad):
        """The updates for parameters that do not decay and those that do, by that bool."""
        updates = {True: self._update(zero_grad)}
        if not all(self._segments):
            decay, self.weight_decay = self.weight_decay, 0.0
            try:
                updates[False] = self._update(zero_grad)
            finally:
                self.weight_decay = decay
        return updates

    def _clip(self):
        if self.clip_value is not None:
            np.clip(self.grad, -self.clip_value, self.clip_value, out=self.grad)
        if self.clip_norm is not None:
            norm = math.sqrt(_optim.squares(self.grad))
            if not math.isfinite(norm):
                raise FloatingPointError(f"the norm of the gradients is {norm}: no weights were changed")
            if norm > self.clip_norm:
                self.grad *= self.grad.dtype.type(self.clip_norm / norm)

    def _joined_buffers(self):
        return np.concatenate([buffer.data.reshape(-1) for buffer in self._buffers])

    def _average(self):
        if self.ema is None:
            return
        now = {"average": self.data} | ({"average_buffers": self._joined_buffers()} if self._buffers else {})
        for name, values in now.items():
            # average -= (ema - 1) * (values - average), which is plain descent.
            average = self.state[name]
            _optim.sgd(average, None, self.ema - 1, 0.0, 1.0, -1.0, False, False).sink(0, average.size).take(values)

    @contextlib.contextmanager
    def averaged(self):
        """`with optimizer.averaged():` the network has the averages of parameters and running statistics, after it its
        own again. Without `ema` nothing changes."""
        self._check_bound()
        if self.ema is None:
            yield
            return
        kept = self.data.copy(), [buffer.data.copy() for buffer in self._buffers]
        try:
            self.data[...] = self.state["average"]
            for buffer, average in zip(self._buffers, self._average_buffers(), strict=True):
                buffer.data[...] = average
            yield
        finally:
            self.data[...] = kept[0]
            for buffer, own in zip(self._buffers, kept[1], strict=True):
                buffer.data[...] = own

    def _average_buffers(self):
        """The average of each buffer, a view of the state."""
        ends = np.cumsum([buffer.data.size for buffer in self._buffers])
        parts = np.split(self.state["average_buffers"], ends[:-1]) if self._buffers else []
        return [part.reshape(buffer.data.shape) for part, buffer in zip(parts, self._buffers, strict=True)]

    def averaged_copy(self, layer):
        """A copy of `layer`, to which this optimiser is bound, that has the averages and follows them; needs `ema`."""
        self._check_bound()
        if self.ema is None:
            raise ValueError("averaged_copy needs an optimiser with ema")
        other, position = copy.deepcopy(layer), 0
        for parameter in other.parameters():
            end = position + parameter.size
            parameter._rebind(self.state["average"][position:end].reshape(parameter.shape), None)
            position = end
        floats = [buffer for _, buffer in other.named_buffers() if buffer.data.dtype.kind == "f"]
        for buffer, average in zip(floats, self._average_buffers(), strict=True):
            buffer.data = average
        return other

    def can_update_in_backward(self, layer):
        """Whether `updating_in_backward` does the same as `step` for `layer`, and pays.

        A step must treat every element by itself, backward give every gradient at once, and the parameters be so
        large that writing their gradients costs more than calls.
        """
        cls, known = type(self), adds_once(layer)
        alone = self.clip_norm is None and self.clip_value is None and self.accumulate == 1
        plain = cls.step is Optimizer.step and cls._step is Optimizer._step
        return known and alone and plain and self.data.nbytes >= LARGE

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
            updates, position = self._updates(False), 0
            for parameter, decays in zip(self._parameters, self._segments, strict=True):
                parameter.sink = updates[decays].sink(position, parameter.size)
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
        self._average()

    def zero_grad(self):
        """Set every gradient to zero, and forget those that `accumulate` has gathered."""
        self._check_bound()
        self.grad[...] = 0
        self.waiting = 0

    def state_dict(self):
        """Options, number of steps and copies of the state arrays: all that an exact resume needs.

        Between the updates of `accumulate` also "waiting" and the gradients so far, "accumulated". The shared
        options are not in it: they are those of the constructor.
        """
        self._check_bound()
        options = {name: getattr(self, name) for name in self.options}
        gathered = {"waiting": self.waiting, "accumulated": self.grad.copy()} if self.waiting else {}
        arrays = {name: array.copy() for name, array in self.state.items()}
        return {**options, "steps": self.steps, **gathered, **arrays}

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
        gathered = {"waiting", "accumulated"} if {"waiting", "accumulated"} & set(state) else set()
        expected = {*self.options, "steps", *self.state} | gathered
        if set(state) != expected:
            missing, unexpected = sorted(expected - set(state)), sorted(set(state) - expected)
            raise ValueError(f"state does not fit {type(self).__name__}; missing: {missing}, unexpected: {unexpected}")
        arrays = self.state | ({"accumulated": self.grad} if gathered else {})
        for name, array in arrays.items():
            if np.shape(state[name]) != array.shape:
                raise ValueError(f"{name} must have shape {array.shape}, got {np.shape(state[name])}")
        waiting = whole(state["waiting"], "waiting", 1) if gathered else 0
        if waiting >= self.accumulate and gathered:
            raise ValueError(f"waiting is {waiting}, accumulate is {self.accumulate}")
        for name, array in arrays.items():
            array[...] = state[name]
        if self.waiting and not gathered:
            self.grad[...] = 0
        for name in self.options:
            setattr(self, name, type(getattr(self, name))(state[name]))
        self.steps, self.waiting = int(state["steps"]), waiting

    def __repr__(self):
        names = [*self.options, *(name for name, usual in self.shared_options.items() if getattr(self, name) != usual)]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


def _runs(parameters, segments):
    """(end, whether it decays) of stretches of the flat arrays, each as long as possible."""
    runs, end = [], 0
    for parameter, decays in zip(parameters, segments, strict=True):
        end += parameter.size
        if runs and runs[-1][1] == decays:
            runs.pop()
        runs.append((end, decays))
    return runs
