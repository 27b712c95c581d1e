"""A step within less memory: which layers run again in backward, rather than keep what their first run computed
(Chen et al. 2016), and what that costs."""

import math
from dataclasses import dataclass
from itertools import takewhile

from cconv.functional._arguments import whole
from cconv.memory_plan import checked, plan, rounded
from cconv.summary import summary
from cconv.watched import Watched

# Floating-point operations that take the time of a byte from or to memory, roughly, on processors of today.
BALANCE = 8

# Rehearsal has the last word, and gaps between blocks are only seen there: so these shares of the memory are tried.
SHARES = [1 - i / 40 for i in range(24)]


@dataclass(frozen=True)
class Unit:
    """One of the layers that run one after the other.

    Attributes
    ----------
    name : what the user calls it; of a block what its layers' names share, or its first layer
    kept : int, bytes that it leaves for backward
    output : int, bytes of its output
    keeps_output : bool, whether the output is among what it keeps
    forward, backward : int, the most bytes in use while it runs, above what the units before it have kept
    work : float, of its forward pass, in floating-point operations
    """

    name: str
    kept: int
    output: int
    keeps_output: bool
    forward: int
    backward: int
    work: float


def units(whole_plan, net, batch_size, sample):
    """The Units of a plan without recomputation."""
    itemsize = next((parameter.dtype.itemsize for parameter in net.parameters()), 4)
    macs = {id(row.layer): row.macs for row in summary(net, sample, batch_size)}
    spans = {(index, phase): (first, last) for index, phase, first, last in whole_plan.unit_calls}
    end = max((spans[index, "forward"][1] for index in range(len(whole_plan.units))), default=0)
    found, before = [], 0
    for index, unit in enumerate(whole_plan.units):
        first, last = spans[index, "forward"]
        kept = [one.bytes for one in whole_plan if first <= one.first < last and one.last >= end]
        highest = [
            _highest(whole_plan, spans.get((index, phase), (0, 0))) - before for phase in ("forward", "backward")
        ]
        output = rounded(math.prod(unit.y_shape) * itemsize)
        leaves = [leaf for _, leaf in unit.named_layers() if isinstance(leaf, Watched) and leaf is not unit]
        work = sum(_work(leaf, macs, itemsize) for leaf in leaves)
        found.append(Unit(_name(leaves), sum(kept), output, output in kept, *highest, work))
        before += sum(kept)
    return found


def _name(leaves):
    if not leaves:
        return ""
    columns = zip(*(leaf.name.split(".") for leaf in leaves), strict=False)
    shared = takewhile(lambda column: len(set(column)) == 1, columns)
    return ".".join(column[0] for column in shared) or leaves[0].name


def _highest(whole_plan, span):
    first, last = span
    return int(whole_plan.timeline[max(first - 1, 0) : last].max(initial=0))


def _work(leaf, macs, itemsize):
    nbytes = itemsize * (math.prod(leaf.x_shape) + math.prod(leaf.y_shape))
    nbytes += sum(parameter.data.nbytes for parameter in leaf.parameters())
    return 2 * sum(macs.get(id(one), 0) for _, one in leaf.named_layers()) + BALANCE * nbytes


def stretches(found, most):
    """Stretches (begin, end) of Units that run again such that no more than `most` bytes are in use, with the least work;
    None where that cannot be.

    Dynamic programming from the first layer on: of the ways to pass a unit only those are followed that keep less or
    work less than all others.
    """
    ways = {0: [(0, 0.0, ())]}
    for begin in range(len(found)):
        candidates = _best(ways.pop(begin, []))
        unit = found[begin]
        for kept, work, chosen in candidates:
            if kept + max(unit.forward, unit.backward) <= most:
                ways.setdefault(begin + 1, []).append((kept + unit.kept, work, chosen))
        # The input is kept; mostly it is what the unit before has kept.
        inside = found[begin - 1].output if begin and not found[begin - 1].keeps_output else 0
        start, forward, backward, again = inside, 0, 0, 0
        for end in range(begin + 1, len(found) + 1):
            unit = found[end - 1]
            forward, backward = max(forward, inside + unit.forward), max(backward, inside + unit.backward)
            # While the stretch runs again the gradient of its output is there, too.
            highest = max(forward + unit.output, backward)
            inside, again = inside + unit.kept, again + unit.work
            left = start + unit.keeps_output * unit.output
            for kept, work, chosen in candidates:
                if left < inside and kept + highest <= most:
                    ways.setdefault(end, []).append((kept + left, work + again, (*chosen, (begin, end))))
    reached = ways.get(len(found), [])
    return min(reached, key=lambda way: way[1:])[2] if reached else None


def _best(candidates):
    """Those that no other one beats in both memory and work."""
    best = []
    for way in sorted(candidates):
        if not best or way[1] < best[-1][1]:
            best.append(way)
    return best


def fit(model, batch_size, input_shape, max_memory):
    """The plan of a step of at most `max_memory` bytes; see `Inspected.memory_plan`."""
    batch_size, sample = checked(model, batch_size, input_shape)
    most, parts, lowest = whole(max_memory, "max_memory", 1), 1, None
    first = plan(model, batch_size, sample, stretches=())
    if first.total <= most:
        return first
    while True:
        size = math.ceil(batch_size / parts)
        whole_plan = first if parts == 1 else plan(model, size, sample, accumulating=True, stretches=())
        found = whole_plan if whole_plan.total <= most else _recomputing(model, whole_plan, sample, most, parts > 1)
        if found.total <= most:
            break
        lowest = found.total if lowest is None else min(lowest, found.total)
        if size == 1:
            raise ValueError(f"max_memory={max_memory} is too little: the least that was found takes {lowest} bytes")
        parts *= 2
    found.accumulate = math.ceil(batch_size / size)
    found.cost = _cost(model, whole_plan, found, first, most, sample)
    return found


def _recomputing(model, whole_plan, sample, most, accumulating):
    """The plan with least work that fits, or the smallest that was seen."""
    candidates = units(whole_plan, model.net, whole_plan.batch_size, sample)
    budget = min(most - (whole_plan.total - whole_plan.peak), whole_plan.peak)
    smallest, tried = whole_plan, set()
    for share in SHARES:
        chosen = stretches(candidates, int(share * budget))
        if chosen is None or smallest.total <= most:
            break
        if chosen and chosen not in tried:
            tried.add(chosen)
            trial = plan(model, whole_plan.batch_size, sample, accumulating, chosen)
            smallest = min(smallest, trial, key=lambda one: one.total)
    return smallest


def _cost(model, whole_plan, found, first, most, sample):
    lines = [f"within {most / 1e6:.3f} MB, instead of {first.total / 1e6:.3f} MB:"]
    if found.stretches:
        candidates = units(whole_plan, model.net, found.batch_size, sample)
        again = sum(unit.work for begin, end in found.stretches for unit in candidates[begin:end])
        share = again / (3 * sum(unit.work for unit in candidates))
        names = [
            candidates[begin].name if end == begin + 1 else f"{candidates[begin].name} to {candidates[end - 1].name}"
            for begin, end in found.stretches
        ]
        found.extra_work = share
        lines.append(
            f"model.recompute(plan.stretches) runs {'; '.join(names)} forward again in backward: about {100 * share:.0f} % more "
            "time; the weights get the same bits"
        )
    if found.accumulate > 1:
        lines.append(
            f"batch_size={found.batch_size} and accumulate={found.accumulate} of the optimiser: gradients added up, one "
            f"update; the weights are read {found.accumulate} times, small batches run slower"
        )
        normed = any(hasattr(layer, "running_mean") for _, layer in model.net.named_layers())
        lines[-1] += (
            f"; batch norm sees {found.batch_size} samples: other statistics, other results"
            if normed
            else "; results are those of the batch up to rounding"
        )
    return "\n".join(lines)
