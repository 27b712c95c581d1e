"""Activations and their gradients, float32, against PyTorch and the traffic of memory.

    python benchmarks/bench_activations.py [--threads N] [--values N] [--seconds S]

Microseconds of one call that returns a new array, medians of runs in turns, and gigabytes a second that are read and
written. Results are compared before they are timed. PyTorch is optional.
"""

import argparse

import numpy as np
from timing import cores, interleaved, machine, statistics_of

import cconv
from cconv import functional as F

try:
    import torch
except ImportError:
    torch = None

NAMES = ("relu", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "sigmoid", "tanh", "softplus", "hardswish")
TOLERANCE = 1e-5


def torch_runs(name, x, dy):
    """{pass: callable that returns a tensor}"""
    leaf = torch.from_numpy(x).requires_grad_()
    y, given = getattr(torch.nn.functional, name)(leaf), torch.from_numpy(dy)

    def forward():
        with torch.no_grad():
            return getattr(torch.nn.functional, name)(leaf)

    return {"forward": forward, "backward": lambda: torch.autograd.grad(y, leaf, given, retain_graph=True)[0]}


def measure(name, x, dy, seconds):
    """(pass, {"cconv": median seconds, "torch": median seconds}) of both passes."""
    function, gradient = getattr(F, name), getattr(F, f"{name}_backward")
    ours = {"forward": lambda: function(x), "backward": lambda: gradient(dy, x)}
    theirs = torch_runs(name, x, dy) if torch else {}
    for which, run in ours.items():
        sides = {"cconv": run}
        if theirs:
            sides["torch"] = theirs[which]
            np.testing.assert_allclose(run(), theirs[which](), TOLERANCE, TOLERANCE, err_msg=f"{name}, {which}")
        yield which, {side: statistics_of(times)["median"] for side, times in interleaved(sides, seconds).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, metavar="N", help="of both sides (all cores)")
    parser.add_argument("--values", type=int, default=1 << 21, metavar="N", help="in an array (2 M)")
    parser.add_argument("--seconds", type=float, default=1, metavar="S", help="for each activation and pass (1)")
    arguments = parser.parse_args()
    threads = arguments.threads or cores()
    cconv.set_num_threads(threads)
    if torch:
        torch.set_num_threads(threads)
    print(", ".join(f"{key} {value}" for key, value in machine(threads).items()))
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(arguments.values, np.float32) for _ in range(2))
    print(f"{'activation':12}{'pass':10}{'cconv us':>10}{'GB/s':>8}{'torch us':>10}{'ratio':>8}")
    for name in NAMES:
        for which, medians in measure(name, x, dy, arguments.seconds):
            rate = x.nbytes * (2 if which == "forward" else 3) / medians["cconv"] / 1e9
            line = f"{name:12}{which:10}{1e6 * medians['cconv']:10.0f}{rate:8.1f}"
            if "torch" in medians:
                line += f"{1e6 * medians['torch']:10.0f}{medians['torch'] / medians['cconv']:8.2f}"
            print(line, flush=True)


if __name__ == "__main__":
    main()
