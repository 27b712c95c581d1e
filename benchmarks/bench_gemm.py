"""GFLOP/s of the own matrix product on the shapes of convolutions and classifiers.

    python benchmarks/bench_gemm.py [--threads N] [--rounds N] [--cpu-time] [FILTER]

Every line is the best of many short runs, because other programs may share the machine; --cpu-time counts
only the time this thread was running.
"""

import argparse
import time

import numpy as np

import cconv
from cconv import _gemm

# (m, n, k, transposes): pixels x output channels x inputs for forward ("nt"), dw as "tn", dx as "nn".
SHAPES = [
    (192, 192, 192, "nn"),
    (3136, 64, 576, "nn"),
    (3136, 64, 576, "nt"),
    (196, 256, 2304, "nt"),
    (12544, 64, 64, "nt"),
    (1568, 128, 512, "nt"),
    (2048, 1152, 256, "nt"),
    (2048, 256, 1152, "nt"),
    (12544, 256, 64, "nt"),
    (12544, 64, 256, "nn"),
    (3136, 512, 128, "nt"),
    (784, 1024, 256, "nt"),
    (784, 512, 2048, "nn"),
    (16384, 192, 192, "nt"),
    (64, 64, 50176, "tn"),
    (256, 64, 50176, "tn"),
    (128, 512, 12544, "tn"),
    (512, 256, 12544, "tn"),
    (1024, 256, 3136, "tn"),
    (512, 2048, 784, "tn"),
    (64, 120, 400, "nt"),
    (64, 84, 120, "nt"),
    (64, 10, 84, "nt"),
    (64, 400, 120, "nn"),
    (120, 400, 64, "tn"),
    (64, 4096, 25088, "nt"),
    (64, 25088, 4096, "nn"),
    (4096, 25088, 64, "tn"),
    (32, 4096, 4096, "nt"),
    (1, 4096, 4096, "nt"),
]


def best(function, rounds, clock, at_least=3e-4):
    """Seconds of the fastest call, of about `rounds` groups of calls."""
    function()
    start = clock()
    function()
    calls = max(1, int(at_least / max(clock() - start, 1e-9)))
    fastest = float("inf")
    for _ in range(rounds):
        start = clock()
        for _ in range(calls):
            function()
        fastest = min(fastest, (clock() - start) / calls)
    return fastest


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("filter", nargs="?", default="")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--cpu-time", action="store_true")
    arguments = parser.parse_args()
    clock = time.thread_time if arguments.cpu_time else time.perf_counter
    cconv.set_num_threads(arguments.threads)
    rng = np.random.default_rng(0)
    for m, n, k, transposes in SHAPES:
        name = f"{m}x{n}x{k} {transposes}"
        if arguments.filter not in name:
            continue
        trans_a, trans_b = (letter == "t" for letter in transposes)
        a = rng.standard_normal((k, m) if trans_a else (m, k), dtype=np.float32)
        b = rng.standard_normal((n, k) if trans_b else (k, n), dtype=np.float32)
        out = np.empty((m, n), np.float32)
        rounds = max(3, int(arguments.rounds * min(1.0, 2e9 / (m * n * k))))
        seconds = best(
            lambda a=a, b=b, ta=trans_a, tb=trans_b, out=out: _gemm.gemm(a, b, ta, tb, out=out), rounds, clock
        )
        print(f"{name:24s} {seconds * 1e6:10.1f} us  {2e-9 * m * n * k / seconds:7.1f} GFLOP/s", flush=True)


if __name__ == "__main__":
    main()
