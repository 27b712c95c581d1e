"""What a training step takes from memory, before it runs.

The step is rehearsed: every layer is called for the whole batch, but kernels do nothing except take and give back memory,
and pages that nobody writes to cost nothing. So the plan is what will happen, to the byte, not an estimate.
"""

import contextlib
import math
import tracemalloc
from dataclasses import dataclass

import numpy as np

from cconv import _runtime
from cconv.functional._arguments import whole
from cconv.nn.auxiliary import heads
from cconv.nn.combine import Container, Sequential
from cconv.profile import algorithms
from cconv.watched import LOSS, OPTIMIZER, Watched, convolutions, twin


@dataclass(frozen=True)
class Tensor:
    """One block of memory.

    Attributes
    ----------
    layer : name of the layer that takes it, "loss", "optimizer" or "step" (between layers)
    phase : "forward", "backward", or "recompute" in backward
    kind : "activation" (kept for backward), "gradient" (of an activation), "workspace" (gone when the layer is done)
    bytes : int
    first, last : events of the step between which it lives
    """

    layer: str
    phase: str
    kind: str
    bytes: int
    first: int
    last: int


class MemoryPlan:
    """The memory of one training step; prints as a table.

    Attributes
    ----------
    batch_size : int, samples that go through the network at once
    stretches : what runs again in backward rather than be kept, for `Model.recompute`; () for nothing
    accumulate : int, such parts of a batch before an update: 1, unless `max_memory` is too little for the batch at once
    extra_work : float, share of the step's work that `stretches` add, estimated
    cost : str, what `stretches` and `accumulate` cost; empty without
    tensors : list of Tensor; iterating and len() go over them
    timeline : int64 array, bytes in use after every event of the step
    peak : int, largest value of `timeline`: the highest `in_use` of the arena above what it was before
    peak_at : (layer, phase) then
    reserved : int, what the arena takes from the system for that, whole pages and gaps between blocks included
    temporaries : int, what NumPy and Python themselves take at most during a step, outside the arena
    parameters, gradients, optimizer_state : int, bytes that live as long as the model; gradients are 0 where parameters are
        updated as backward goes
    total : int, `reserved`, `temporaries` and these three
    units : list of Layer that the network runs one after the other, neighbours joined
    unit_calls : list of (index in `units`, phase, first event, event after the last)
    workspaces : dict, algorithm of convolution -> largest workspace of a layer that uses it
    im2col_untiled : int, bytes of the largest im2col matrix, were it made as a whole
    im2col_duplication : float, by which it is larger than its image
    """

    def __init__(self, **values):
        vars(self).update(values)

    def __iter__(self):
        return iter(self.tensors)

    def __len__(self):
        return len(self.tensors)

    def __repr__(self):
        lines = [f"training step of {self.batch_size} samples", f"{'':42}{'MB':>10}"]
        lines += [
            _line("parameters", self.parameters),
            _line("gradients" if self.gradients else "gradients (parameters are updated at once)", self.gradients),
            _line("optimiser state", self.optimizer_state),
            _line(f"peak of the step, in {' '.join(self.peak_at)}", self.peak),
        ]
        alive = [one for one in self if one.first <= self.peak_event < one.last]
        for kind in ("activation", "gradient", "workspace"):
            sizes = [one.bytes for one in alive if one.kind == kind]
            lines.append(_line(f"  {kind}s, {len(sizes)} blocks", sum(sizes)))
        lines.append(_line("gaps between blocks", self.reserved - self.peak))
        lines.append(_line("NumPy's temporaries", self.temporaries))
        lines.append(_line("total", self.total))
        for name in dict.fromkeys(["im2col", "winograd", *self.workspaces]):
            lines.append(_line(f"largest workspace of {name}", self.workspaces.get(name, 0)))
        lines.append(
            _line(f"im2col as a whole ({self.im2col_duplication:.2f} x its image)", self.im2col_untiled) + ", not made"
        )
        lines += ["", f"{'saved by layer':42}{'MB':>10}"]
        saved = {}
        for one in self:
            if one.kind == "activation" and one.phase == "forward":
                saved[one.layer] = saved.get(one.layer, 0) + one.bytes
        lines += [_line(name, nbytes) for name, nbytes in saved.items()]
        return "\n".join(lines + ([self.cost] if self.cost else []))


def _line(name, nbytes):
    return f"{name[:42]:42}{nbytes / 1e6:10.3f}"


def checked(model, batch_size, input_shape):
    """(batch_size, shape of a sample) as `plan` takes them."""
    batch_size = whole(batch_size, "batch_size", 1)
    sample = tuple(whole(size, "input_shape", 1) for size in input_shape)
    model.net.output_shape((batch_size, *sample))  # for its errors
    return batch_size, sample


class _Observer:
    """Which layer runs at which event."""

    def __init__(self):
        self.calls = []

    @contextlib.contextmanager
    def __call__(self, name, phase):
        first = _runtime.arena_recorded()
        yield
        self.calls.append((name, phase, first, _runtime.arena_recorded()))


def plan(model, batch_size, sample, accumulating=False, stretches=None):
    """The plan of one step; see `Inspected.memory_plan`.

    Parameters
    ----------
    model : Model
    batch_size, sample : what `checked` returned
    accumulating : bool, for a step that only adds to the gradients
    stretches : of the network that runs, what is recomputed in backward; None for the model's
    """
    stretches = model.recomputed if stretches is None else stretches
    observer = _Observer()
    other, leaves = twin(model, observer, stretches)
    units, unit_observer = _watched_units(other)
    at_once = other._updates_in_backward and not accumulating
    x = np.zeros((batch_size, *sample), model.dtype)
    if getattr(other.loss, "takes_classes", False):
        y = np.zeros(batch_size, np.int64)
    else:
        y = np.zeros(other.net.output_shape(x.shape), model.dtype)
    # What the kernels leave undone may hold any numbers.
    with np.errstate(all="ignore"), _runtime.arena_recording(rehearse=True) as events, _traced() as traced:
        with heads() as found:
            outputs, backward = other._fused.forward(x, True)
        value, loss_backward = other.loss.forward(outputs, y)
        found.loss(other.loss, y)
        other._updates_in_backward = at_once
        other._backward(backward, loss_backward())
        last = _runtime.arena_recorded()
        del outputs, backward, value, loss_backward
        count = _runtime.arena_recorded()
        temporaries = traced()
    if count > len(events):
        raise MemoryError(f"the step has {count} events, more than can be recorded")
    described = _described(model, events[:last], observer.calls, leaves, at_once, x, temporaries)
    described.stretches, described.units, described.unit_calls = stretches, units, unit_observer.calls
    return described


@contextlib.contextmanager
def _traced():
    """Yields a function that tells the most bytes that Python and NumPy themselves have taken since."""
    alone = not tracemalloc.is_tracing()
    if alone:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        yield lambda: max(0, tracemalloc.get_traced_memory()[1] - before)
    finally:
        if alone:
            tracemalloc.stop()


def _described(model, events, calls, leaves, at_once, x, temporaries):
    tensors, open_blocks = [], {}
    owner = _owners(calls, len(events))
    for event, (block, nbytes) in enumerate(events.tolist()):
        if nbytes > 0:
            open_blocks[block] = event
        elif block in open_blocks:
            tensors.append(_tensor(events, calls, owner, open_blocks.pop(block), event))
    tensors += [_tensor(events, calls, owner, first, len(events)) for first in open_blocks.values()]
    tensors.sort(key=lambda one: one.first)
    timeline = np.cumsum(events[:, 1])
    at = int(timeline.argmax()) if len(timeline) else 0
    call = calls[owner[at]] if len(timeline) and owner[at] >= 0 else ("step", "backward")
    untiled, duplication = _untiled(model.net, x.shape, x.dtype.itemsize)
    optimizer = model.optimizer
    parameters = int(optimizer.data.nbytes)
    state = sum(int(array.nbytes) for array in optimizer.state.values())
    gradients, peak = 0 if at_once else parameters, max(int(timeline.max(initial=0)), 0)
    reserved = max(peak, _runtime.arena_replay(events))
    return MemoryPlan(
        batch_size=len(x), accumulate=1, cost="", tensors=tensors, timeline=timeline, peak=peak, peak_event=at,
        peak_at=call[:2], parameters=parameters, gradients=gradients, optimizer_state=state,
        reserved=reserved, temporaries=temporaries, total=reserved + temporaries + parameters + gradients + state, workspaces=_workspaces(tensors, leaves, x.itemsize), im2col_untiled=untiled,
        im2col_duplication=duplication,
    )  # fmt: skip


def _watched_units(other):
    """The layers that the network of `other` runs one after the other, watched from now on, and by whom."""
    observer = _Observer()
    if type(other._fused) is not Sequential:
        return [], observer
    units = [Watched(layer, index, observer) for index, layer in enumerate(other._fused)]
    other._fused = Sequential(*units)
    return units, observer


def _owners(calls, count):
    """Index of the call that each event belongs to, the innermost one; -1 between calls."""
    owner = np.full(count, -1)
    for index in sorted(range(len(calls)), key=lambda i: calls[i][2] - calls[i][3]):
        owner[calls[index][2] : calls[index][3]] = index
    return owner


def _tensor(events, calls, owner, first, last):
    if owner[first] < 0:
        half = next((call[2] for call in calls if call[0] == LOSS), 0)
        name, phase, end = "step", "forward" if first < half else "backward", first
    else:
        name, phase, _, end = calls[owner[first]]
    kind = "workspace" if last < end or name == OPTIMIZER else "gradient" if phase == "backward" else "activation"
    return Tensor(name, phase, kind, int(events[first, 1]), first, last)


def _workspaces(tensors, leaves, itemsize):
    """Algorithm -> largest workspace within a call of a layer with that algorithm; arrays like x and y are none."""
    largest = {}
    for name, leaf in leaves.items():
        arrays = {rounded(math.prod(shape) * itemsize) for shape in (leaf.x_shape, leaf.y_shape)}
        for used in algorithms(leaf.layer):
            sizes = [
                one.bytes
                for one in tensors
                if one.layer == name and one.kind == "workspace" and one.phase == used.phase.partition("_")[0]
            ]
            largest[used.name] = max(largest.get(used.name, 0), *(n for n in sizes if n not in arrays), 0)
    return largest


def rounded(nbytes):
    """The size of a block of the arena for so many bytes."""
    return max(nbytes + 63, 64) // 64 * 64


def _untiled(net, shape, itemsize):
    """Bytes of the largest im2col matrix of the network, and by how much it exceeds its image."""
    largest, duplication, todo = 0, 0.0, [(net, shape)]
    while todo:
        layer, shape = todo.pop()
        if isinstance(layer, Container):
            todo += [(child, child_shape) for _, child, child_shape in layer.walk(shape)]
        elif layer in convolutions(layer):
            rows = layer.in_channels * math.prod(layer.kernel_size)
            nbytes = shape[0] * rows * math.prod(layer.output_shape(shape)[2:]) * itemsize
            if nbytes > largest:
                largest, duplication = nbytes, nbytes / (math.prod(shape) * itemsize)
    return largest, duplication
