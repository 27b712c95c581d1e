"""Convolution layers by every algorithm: time, speed and error, beside PyTorch where it is installed."""

import importlib.util
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np

from cconv import get_num_threads
from cconv.functional import conv
from cconv.functional._arguments import to_channels_last

# Name, channels in, size, channels out, kernel, stride, padding, groups: layers of the networks of cconv.models.
LAYERS = (
    ("LeNet-5 conv2", 6, 14, 16, 5, 1, 0, 1),
    ("AlexNet conv2", 64, 27, 192, 5, 1, 2, 1),
    ("VGG conv3", 128, 28, 128, 3, 1, 1, 1),
    ("ResNet conv2", 64, 28, 64, 3, 1, 1, 1),
    ("ResNet stride 2", 64, 28, 128, 3, 2, 1, 1),
    ("GoogLeNet 1x1", 192, 28, 64, 1, 1, 0, 1),
    ("depthwise", 96, 28, 96, 3, 1, 1, 96),
)
# Seconds that the runs of one pass may take in all.
ENOUGH = 0.03

PASSES = ("forward", "backward_data", "backward_weight")
HEAD = f"{'layer':16} {'algorithm':10}" + f"{'forward':>9} {'data':>9} {'weight':>9}  {'GFLOP/s':>8}   " + "errors"


@dataclass(frozen=True)
class Row:
    """One layer by one algorithm, or by PyTorch.

    Attributes
    ----------
    layer, algorithm : str; the one that "auto" takes forward has a star
    seconds : tuple of three, forward, backward_data, backward_weight; None where it does not fit
    gflops : float, over the passes that it does
    errors : tuple of three, L2-relative against float64
    """

    layer: str
    algorithm: str
    seconds: tuple
    gflops: float
    errors: tuple

    def __str__(self):
        times = " ".join(f"{1e3 * s:9.3f}" if s is not None else f"{'-':>9}" for s in self.seconds)
        errors = " ".join(f"{e:8.1e}" if e is not None else f"{'-':>8}" for e in self.errors)
        return f"{self.layer:16} {self.algorithm:10}{times}  {self.gflops:8.1f}   {errors}"


def torch_there():
    """Whether PyTorch can be imported."""
    return importlib.util.find_spec("torch") is not None


def convolutions(batch_size, repeats):
    """Yield the Rows of all LAYERS."""
    for name, channels, size, out, kernel, stride, padding, groups in LAYERS:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((batch_size, channels, size, size)).astype(np.float32)
        w = (rng.standard_normal((out, channels // groups, kernel, kernel)) / kernel).astype(np.float32)
        options = {"stride": stride, "padding": padding, "groups": groups}
        exact = _Passes(x.astype(np.float64), w.astype(np.float64), "auto", options)
        dy = rng.standard_normal(exact.shape).astype(np.float32)
        # Errors are measured on two samples: float64 takes the exact algorithms, which are slower.
        few = slice(0, min(2, batch_size))
        small = _Passes(x[few].astype(np.float64), w.astype(np.float64), "auto", options)
        truths = small.run(dy[few].astype(np.float64))
        flops = 2 * dy.size * w[0].size
        shapes = x.shape, w.shape
        fitting = conv.conv_algorithms(*shapes, **options, channels_last=True)
        auto = fitting and _Passes(x, w, "auto", options).geometry.algorithm("forward")
        for algorithm in fitting:
            if algorithm == "reference":
                continue
            fits = [
                algorithm in conv.conv_algorithms(*shapes, **options, channels_last=True, direction=p) for p in PASSES
            ]
            passes = _Passes(x, w, algorithm, options)
            seconds = passes.times(dy, fits, repeats)
            results = _Passes(x[few], w, algorithm, options).run(dy[few], fits)
            yield _row(name, algorithm + "*" * (algorithm == auto), seconds, flops, results, truths)
        if torch_there():
            seconds, results = _torch(x, w, dy, options, repeats, few)
            yield _row(name, "PyTorch", seconds, flops, results, truths)


def _row(name, algorithm, seconds, flops, results, truths):
    errors = tuple(
        None if one is None else float(np.linalg.norm(one - truth) / np.linalg.norm(truth))
        for one, truth in zip(results, truths, strict=True)
    )
    done = [one for one in seconds if one is not None]
    return Row(name, algorithm, tuple(seconds), 1e-9 * flops * len(done) / max(sum(done), 1e-12), errors)


class _Passes:
    """The three passes of one convolution on channels-last arrays, as networks run them."""

    def __init__(self, x, w, algorithm, options):
        self.x, self.w = to_channels_last(x), np.ascontiguousarray(w)
        self.geometry = conv.prepare(x.shape, w.shape, **options, algo=algorithm, dtype=x.dtype, channels_last=True)
        self.shape = self.geometry.y_shape

    def calls(self, dy):
        dy, dw = to_channels_last(dy), np.zeros_like(self.w)
        geometry = self.geometry

        def backward_weight():
            dw[...] = 0
            geometry.backward_weight(self.x, dy, dw)
            return dw

        return (
            lambda: geometry.forward(self.x, self.w, mosaic=True),
            lambda: geometry.backward_data(dy, self.w, mosaic=True),
            backward_weight,
        )

    def run(self, dy, fits=(True, True, True)):
        return [call() if fit else None for call, fit in zip(self.calls(dy), fits, strict=True)]

    def times(self, dy, fits, repeats):
        return [_median(call, repeats) if fit else None for call, fit in zip(self.calls(dy), fits, strict=True)]


def _median(call, repeats):
    """Seconds of a call; slow ones run once after the first."""
    call()
    times = []
    while len(times) < repeats and sum(times) < ENOUGH:
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return median(times)


def _torch(x, w, dy, options, repeats, few):
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(get_num_threads())
    try:
        last = torch.channels_last
        x, w, dy = (torch.from_numpy(each).contiguous(memory_format=last) for each in (x, w, dy))
        pads, strides = ([options[name]] * 2 for name in ("padding", "stride"))

        def backward(x, dy, mask):
            return torch.ops.aten.convolution_backward(
                dy, x, w, None, strides, pads, [1, 1], False, [0, 0], options["groups"], mask
            )

        def calls(x, dy):
            return (
                lambda: torch.nn.functional.conv2d(x, w, **options),
                lambda: backward(x, dy, [True, False, False])[0],
                lambda: backward(x, dy, [False, True, False])[1],
            )

        seconds = [_median(call, repeats) for call in calls(x, dy)]
        return seconds, [call().numpy() for call in calls(x[few], dy[few])]
    finally:
        torch.set_num_threads(threads)
