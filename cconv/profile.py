"""Where the time of a training step goes, layer by layer, against what this machine can do."""

import contextlib
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter
from typing import NamedTuple

from cconv.functional._arguments import whole
from cconv.functional.machine import Peaks, peaks
from cconv.nn.lanes import ConvChain
from cconv.summary import summary
from cconv.watched import LOSS, OPTIMIZER, convolutions, twin

REST = "rest"
PASSES = "forward", "backward_data", "backward_weight"

# Seconds of a step so short that more of them should be measured.
SHORT = 5e-3


class Algorithm(NamedTuple):
    """What does a pass of a convolution, and what would be next."""

    phase: str
    name: str
    runner_up: str | None


@dataclass(frozen=True)
class Row:
    """One layer of the network that runs, where neighbours may be joined; or "loss", "optimizer", "rest" (checks, metrics,
    what is between layers).

    Attributes
    ----------
    name : the user's names of what runs as one, such as "conv1+bn1"
    type : class name
    forward, backward : float, seconds, the median of the steps; what runs again in backward is part of it
    forward_flops, backward_flops : int, floating-point operations, two a multiply-add, 0 where not counted
    forward_bytes, backward_bytes : int, of the arrays that must be read and written at least once
    algorithms : list of Algorithm, those of convolutions
    peaks : Peaks of this machine
    """

    name: str
    type: str
    forward: float
    backward: float
    forward_flops: int = 0
    backward_flops: int = 0
    forward_bytes: int = 0
    backward_bytes: int = 0
    algorithms: list = field(default_factory=list)
    peaks: Peaks | None = None

    @property
    def seconds(self):
        return self.forward + self.backward

    @property
    def flops(self):
        return self.forward_flops + self.backward_flops

    @property
    def nbytes(self):
        return self.forward_bytes + self.backward_bytes

    @property
    def gflops(self):
        """GFLOP/s of both passes."""
        return 1e-9 * self.flops / self.seconds if self.seconds else 0.0

    @property
    def gbytes(self):
        """GB/s of both passes."""
        return 1e-9 * self.nbytes / self.seconds if self.seconds else 0.0

    @property
    def of_compute(self):
        """Share of the peak in percent; above 100 where Winograd's algorithm saves multiplications."""
        return 100 * self.gflops / self.peaks.gflops

    @property
    def of_memory(self):
        """Share of the memory's speed in percent; above 100 where arrays stay in the caches."""
        return 100 * self.gbytes / self.peaks.gbytes


class Profile:
    """The rows of a step in the order they run; prints as a table.

    Attributes
    ----------
    rows : list of Row; iterating, indexing and len() go over them
    total : float, seconds of all rows
    step : float, seconds of a whole `train_on_batch` without any measuring in between, the median
    peaks : Peaks of this machine
    batch_size : int
    """

    def __init__(self, rows, step, measured, batch_size):
        self.rows, self.step, self.peaks, self.batch_size = rows, step, measured, batch_size
        self.total = sum(row.seconds for row in rows)

    def __iter__(self):
        return iter(self.rows)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def __repr__(self):
        head = (
            *("layer", "type", "forward us", "backward us", "% step"),
            *("GFLOP/s", "% peak", "GB/s", "% peak", "algorithm (next)"),
        )
        cells = [
            (
                row.name, row.type, f"{1e6 * row.forward:.1f}", f"{1e6 * row.backward:.1f}",
                f"{100 * row.seconds / self.total:.1f}" if self.total else "",
                *((f"{row.gflops:.1f}", f"{row.of_compute:.0f}") if row.flops else ("", "")),
                *((f"{row.gbytes:.1f}", f"{row.of_memory:.0f}") if row.nbytes else ("", "")),
                _choices(row.algorithms),
            )
            for row in self
        ]  # fmt: skip
        forward, backward = sum(row.forward for row in self), sum(row.backward for row in self)
        cells.append(("total", "", f"{1e6 * forward:.1f}", f"{1e6 * backward:.1f}", "100.0", *[""] * 5))
        widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
        lines = [
            f"step of {self.batch_size} samples: {1e6 * self.step:.1f} us; {self.peaks.threads} thread{'s' * (self.peaks.threads > 1)}, peaks "
            f"{self.peaks.gflops:.1f} GFLOP/s, {self.peaks.gbytes:.1f} GB/s"
        ]
        for row in (head, *cells):
            pads = [str.ljust, str.ljust, *[str.rjust] * 7, str.ljust]
            lines.append(
                "  ".join(pad(cell, width) for pad, cell, width in zip(pads, row, widths, strict=True)).rstrip()
            )
        return "\n".join(lines)


def _choices(used):
    """Forward, backward_data and backward_weight of the first convolution of a layer, once where they agree."""
    texts = [f"{one.name} ({one.runner_up})" if one.runner_up else one.name for one in used[:3]]
    return texts[0] if len(set(texts)) == 1 else ", ".join(texts)


def algorithms(layer):
    """The Algorithms of the convolutions of `layer` for the last shape that they saw."""
    return [
        Algorithm(phase, geometry.algorithm(phase), geometry.runner_up(phase))
        for conv in convolutions(layer)
        for phase, geometry in conv.passes().items()
    ]


class _Clock:
    """An observer that adds up seconds by (name, phase); measuring must cost little, so it is no generator."""

    def __init__(self):
        self.seconds = {}

    def __call__(self, name, phase):
        return _Span(self.seconds, (name, phase))


class _Span:
    __slots__ = ("seconds", "key", "start")

    def __init__(self, seconds, key):
        self.seconds, self.key = seconds, key

    def __enter__(self):
        self.start = perf_counter()

    def __exit__(self, *error):
        self.seconds[self.key] = self.seconds.get(self.key, 0.0) + perf_counter() - self.start


def _timed(model, x, y):
    start = perf_counter()
    model.train_on_batch(x, y)
    return perf_counter() - start


def profile(model, x, y, steps=7):
    """The Profile of `Model.profile`; x and y are one batch, checked, x in the network's element type."""
    steps, clock = whole(steps, "steps", 1), _Clock()
    measured = peaks()
    other, leaves = twin(model, clock)
    plain, _ = twin(model, lambda name, phase: contextlib.nullcontext())
    _timed(other, x, y)
    _timed(plain, x, y)
    if _timed(plain, x, y) < SHORT:
        steps *= 5
    samples, whole_steps = [], []
    for _ in range(steps):
        whole_steps.append(_timed(plain, x, y))
        clock.seconds.clear()
        watched_step = _timed(other, x, y)
        rest = watched_step - sum(clock.seconds.values())
        samples.append(clock.seconds | {(REST, "backward"): rest})
    seconds = {key: median(sample[key] for sample in samples) for key in samples[0]}
    macs = {id(row.layer): row.macs for row in summary(other.net, x.shape[1:], len(x))}
    rows = [_row(name, leaf, seconds, macs, x.itemsize, measured) for name, leaf in leaves.items()]
    for name in (LOSS, OPTIMIZER, REST):
        rows.append(
            Row(name, "", seconds.get((name, "forward"), 0.0), seconds.get((name, "backward"), 0.0), peaks=measured)
        )
    return Profile(rows, median(whole_steps), measured, len(x))


def _row(name, leaf, seconds, macs, itemsize, measured):
    layer = leaf.layer
    forward, backward, again = (seconds.get((name, phase)) for phase in ("forward", "backward", "recompute"))
    flops = 2 * sum(macs.get(id(one), 0) for _, one in layer.named_layers())
    sizes = [itemsize * _count(shape) for shape in (leaf.x_shape, leaf.y_shape)]
    weights = sum(parameter.data.nbytes for parameter in layer.parameters())
    # A chain runs its convolutions without asking them.
    chain = [Algorithm(one, "lanes", None) for one in PASSES] if isinstance(layer, ConvChain) else []
    return Row(
        name, type(layer).__name__, forward or 0.0, (backward or 0.0) + (again or 0.0), flops,
        flops * (1 + leaf.need_dx + (again is not None)), sum(sizes) + weights, sum(sizes) + leaf.need_dx * sizes[0] + 2 * weights,
        algorithms(layer) or chain, measured,
    )  # fmt: skip


def _count(shape):
    count = 1
    for size in shape:
        count *= size
    return count
