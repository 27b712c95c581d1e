"""Convolution by Fourier transforms against the algorithm that `auto` takes, by kernel size.

    python benchmarks/bench_fft.py [--threads N] [--rounds N] [--double] [--wall]

For each layer and kernel size 3 to 31 ("same" padding), forward and both backward passes together: milliseconds of both, whose
results are compared first; then the crossover, the smallest kernel from which on transforms are faster. Transforms run on
one thread. The best of several runs counts, in time this process was running unless --wall.
"""

import argparse
import time

import numpy as np

import cconv
from cconv.functional.conv import prepare

# (images, channels, out channels, size)
LAYERS = [(4, 1, 1, 128), (4, 3, 16, 128), (4, 16, 16, 64), (2, 64, 64, 32), (4, 64, 1, 64)]
KERNELS = (3, 5, 7, 9, 11, 13, 15, 19, 23, 27, 31)
BOUND = {np.float32: 1e-4, np.float64: 1e-11}


def passes(shape, weight_shape, algo, dtype):
    """A call that returns y, dx and dw of one geometry."""
    rng = np.random.default_rng(0)
    geometry = prepare(shape, weight_shape, padding="same", algo=algo, dtype=dtype, channels_last=True)

    def draw(size):
        array = rng.standard_normal((size[0], *size[2:], size[1])).astype(dtype)
        return np.moveaxis(array, -1, 1)

    x, dy = draw(shape), draw(geometry.y_shape)
    weight = rng.standard_normal(weight_shape).astype(dtype)

    def run():
        dw = np.zeros_like(weight)
        geometry.backward_weight(x, dy, dw)
        return geometry.forward(x, weight), geometry.backward_data(dy, weight), dw

    return run


def check(auto, fft, bound):
    for name, right, got in zip(("y", "dx", "dw"), auto(), fft(), strict=True):
        error = np.linalg.norm(got - right) / np.linalg.norm(right)
        assert error <= bound, f"{name} of fft is off by {error:.1e}"


def best(run, rounds, clock):
    times = []
    for _ in range(rounds):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


def crossover(kernels, auto, fft):
    """The smallest kernel from which on `fft` takes less time than `auto`, or None."""
    size = None
    for kernel, a, f in zip(reversed(kernels), reversed(auto), reversed(fft), strict=True):
        if f >= a:
            break
        size = kernel
    return size


def measure(layer, kernels, rounds, dtype, clock):
    """(milliseconds of auto, of fft), each by kernel size."""
    n, channels, out_channels, size = layer
    auto, fft = [], []
    for kernel in kernels:
        shapes = (n, channels, size, size), (out_channels, channels, kernel, kernel)
        calls = [passes(*shapes, algo, dtype) for algo in ("auto", "fft")]
        check(*calls, BOUND[dtype])
        for run, into in zip(calls, (auto, fft), strict=True):
            into.append(1e3 * best(run, rounds, clock))
    return auto, fft


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--double", action="store_true", help="float64")
    parser.add_argument("--wall", action="store_true", help="wall-clock time")
    arguments = parser.parse_args()
    cconv.set_num_threads(arguments.threads)
    dtype = np.float64 if arguments.double else np.float32
    for layer in LAYERS:
        clock = time.perf_counter if arguments.wall else time.process_time
        auto, fft = measure(layer, KERNELS, arguments.rounds, dtype, clock)
        print("{} x {} -> {} channels, {}x{}".format(*layer, layer[-1]))
        print("  kernel" + "".join(f"{k:9d}" for k in KERNELS))
        print("  auto  " + "".join(f"{t:9.2f}" for t in auto))
        print("  fft   " + "".join(f"{t:9.2f}" for t in fft))
        size = crossover(KERNELS, auto, fft)
        print(f"  crossover: {f'{size}x{size}' if size else f'none up to {KERNELS[-1]}x{KERNELS[-1]}'}", flush=True)


if __name__ == "__main__":
    main()
