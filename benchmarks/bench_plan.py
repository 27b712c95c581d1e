"""The memory plan and the profile against measurements from outside.

    python benchmarks/bench_plan.py [CASE...] [--threads N] [--memory] [--time] [--seconds S]

Memory: the plan is made in one process, training steps run in a fresh one. "arena" is the peak of the package's memory
in these steps, "process" the growth of the process's peak resident size from before the model was built (Linux);
the plan's `peak` and `total` should be these, within 2 %, and 5 % + 20 MB. Time: `profile` takes turns with training steps
that are timed around `train_on_batch`; the totals should agree within 10 %. Needs a quiet machine.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

from networks import Case

import cconv
from cconv import _runtime, optim

OPTIMIZERS = {
    "SGD": lambda: optim.SGD(1e-4, momentum=0.9),
    "plain SGD": lambda: optim.SGD(1e-4),
    "Adam": lambda: optim.Adam(1e-5),
    "Adam, ema": lambda: optim.Adam(1e-5, ema=0.99),
    "SGD, clip": lambda: optim.SGD(1e-4, momentum=0.9, clip_norm=1.0),
    "SGD, accumulate": lambda: optim.SGD(1e-4, momentum=0.9, accumulate=2),
}
_GREY, _SMALL, _IMAGE = (1, 28, 28), (3, 32, 32), (3, 224, 224)
# name -> (case, optimiser)
CASES = {
    "lenet5": (Case("LeNet-5", "lenet5", {}, _GREY, 10, 64), "SGD"),
    "lenet5-512": (Case("LeNet-5", "lenet5", {}, _GREY, 10, 512), "Adam"),
    "lenet5-1998": (Case("LeNet-5 of 1998", "lenet5", {"variant": "1998"}, _GREY, 10, 256), "SGD"),
    "resnet20": (Case("ResNet-20", "resnet20", {}, _SMALL, 10, 128), "SGD"),
    "resnet20-32": (Case("ResNet-20", "resnet20", {}, _SMALL, 10, 32), "Adam, ema"),
    "vgg16": (Case("VGG-16, 224 px", "vgg16", {}, _IMAGE, 1000, 4), "SGD"),
    "vgg16-1": (Case("VGG-16, 224 px", "vgg16", {}, _IMAGE, 1000, 1), "SGD, accumulate"),
    "vgg16-adam": (Case("VGG-16, 224 px", "vgg16", {}, _IMAGE, 1000, 4), "Adam, ema"),
    "vgg16-clip": (Case("VGG-16, 224 px", "vgg16", {}, _IMAGE, 1000, 2), "SGD, clip"),
    "vgg16-cifar": (Case("VGG-16, 32 px", "vgg16", {"variant": "cifar10"}, _SMALL, 10, 64), "SGD"),
    "vgg16-bn-cifar": (
        Case("VGG-16-BN, 32 px", "vgg16", {"variant": "cifar10", "batch_norm": True}, _SMALL, 10, 128), "plain SGD"
    ),
    "nin": (Case("NiN, 32 px", "nin", {"variant": "cifar10"}, _SMALL, 10, 64), "SGD"),
    "nin-d2l": (Case("NiN, 224 px", "nin", {}, _IMAGE, 10, 16), "Adam"),
    "googlenet": (Case("GoogLeNet", "googlenet", {}, _IMAGE, 1000, 16), "SGD"),
    "googlenet-paper": (
        Case("GoogLeNet, paper, heads", "googlenet", {"variant": "paper", "aux_logits": True}, _IMAGE, 1000, 8), "SGD"
    ),
    "alexnet": (Case("AlexNet", "alexnet", {}, _IMAGE, 1000, 32), "SGD"),
    "alexnet-paper": (Case("AlexNet of 2012", "alexnet", {"variant": "paper"}, (3, 227, 227), 1000, 8), "Adam"),
    "resnet18-cifar": (Case("ResNet-18, 32 px", "resnet18", {"variant": "cifar10"}, _SMALL, 10, 32), "SGD"),
    "resnet50": (Case("ResNet-50", "resnet50", {}, _IMAGE, 1000, 4), "Adam"),
}  # fmt: skip
STEPS = 3


def model_of(name):
    case, optimizer = CASES[name]
    return cconv.Model(case.create(), optimizer=OPTIMIZERS[optimizer]())


def status(field):
    """A field of /proc/self/status in bytes."""
    return 1024 * int(re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())[1])


def train(name):
    """Build the model and train: (peak of the arena, growth of the process), in bytes."""
    x, y = CASES[name][0].batch()
    before = status("VmRSS")
    model = model_of(name)
    # Initialisation has a peak of its own.
    Path("/proc/self/clear_refs").write_text("5")
    in_use = _runtime.arena_stats()["in_use"]
    _runtime.arena_reset_peak()
    for _ in range(STEPS):
        model.train_on_batch(x, y)
    return _runtime.arena_stats()["peak"] - in_use, status("VmHWM") - before


def measured(name, threads):
    """What `train` returns in a process of its own."""
    command = [sys.executable, __file__, name, "--alone"]
    environment = os.environ | {"CCONV_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def memory(name, threads):
    """One line of the table."""
    case = CASES[name][0]
    plan = model_of(name).memory_plan(case.batch_size, case.input_shape)
    arena, process = measured(name, threads)
    fits = abs(plan.peak - arena) <= 0.02 * arena and abs(plan.total - process) <= 0.05 * process + 20e6
    return [
        f"{plan.peak / 1e6:.2f}", f"{arena / 1e6:.2f}", f"{100 * (plan.peak / arena - 1):+.2f} %",
        f"{plan.total / 1e6:.1f}", f"{process / 1e6:.1f}", f"{(plan.total - process) / 1e6:+.1f}", _word(fits),
    ]  # fmt: skip


def times(name, seconds):
    """Medians of the profile's total and of a training step timed from outside, in turns for about so long."""
    model, (x, y) = model_of(name), CASES[name][0].batch()
    model.train_on_batch(x, y)
    profiled, timed = [], []
    end = time.perf_counter() + seconds
    while len(profiled) < 3 or time.perf_counter() < end:
        profiled.append(model.profile(x, y, 3).total)
        model.train_on_batch(x, y)
        for _ in range(3):
            start = time.perf_counter()
            model.train_on_batch(x, y)
            timed.append(time.perf_counter() - start)
    profiled, step = statistics.median(profiled), statistics.median(timed)
    fits = abs(profiled - step) <= 0.1 * step
    return [f"{1e3 * profiled:.2f}", f"{1e3 * step:.2f}", f"{100 * (profiled / step - 1):+.1f} %", _word(fits)]


def _word(fits):
    return "yes" if fits else "NO"


def table(titles, rows):
    """Print the rows as they come."""
    widths = [max(map(len, CASES)), 50, *[11] * (len(titles) - 2)]
    _print(titles, widths)
    for row in rows:
        _print(row, widths)


def _print(row, widths):
    cells = [
        cell.ljust(width) if i < 2 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    print("  ".join(cells), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all unless given")
    parser.add_argument("--threads", type=int, default=cconv.get_num_threads())
    parser.add_argument("--seconds", type=float, default=8.0, help="time for the timing of each case, about")
    parser.add_argument("--memory", action="store_true", help="memory alone")
    parser.add_argument("--time", action="store_true", help="time alone")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    if options.alone:
        print(json.dumps(train(*options.cases)))
        return
    names = options.cases or list(CASES)
    cconv.set_num_threads(options.threads)

    def head(name):
        case, optimizer = CASES[name]
        return [name, f"{case.title}, batch {case.batch_size}, {optimizer}"]

    if not options.time:
        print("memory of a training step, MB")
        titles = ["case", "", "plan: peak", "arena", "", "plan: total", "process", "", "agree"]
        table(titles, (head(name) + memory(name, options.threads) for name in names))
    if not options.memory:
        print(f"time of a training step on {options.threads} threads, ms")
        table(
            ["case", "", "profile", "timed", "", "agree"], (head(name) + times(name, options.seconds) for name in names)
        )


if __name__ == "__main__":
    main()
