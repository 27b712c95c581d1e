"""Every distinct convolution of the benchmarked networks, pass by pass: cconv against PyTorch and the peak.

    python benchmarks/bench_layers.py [--only NAME]... [--algo NAME] [--layer TEXT] [--threads N] [--seconds S]
                                      [--isa NAME] [--json FILE] [--check] [--grouped] [--contiguous]

cconv runs channels-last, as its networks do; torch in both memory formats. GFLOP/s count the operations of the
definition, whatever an algorithm saves, so Winograd's may exceed the peak. Results are compared before they are
timed. With --grouped: depthwise convolutions of MobileNet's shapes and grouped ones, in place of the networks'. With
--contiguous: the functions of cconv.functional on arrays as NumPy makes them, against torch on the same.
"""

import argparse
import json
import math
import os
from pathlib import Path

import numpy as np
from timing import cores

PASSES = ("forward", "backward_data", "backward_weight")
# Of the largest value. Winograd's gradients for the weights are the least exact.
TOLERANCE = 2e-3


def convolutions(cases):
    """(case name, layer name, nn.Conv2d, input shape) of the distinct geometries."""
    from cconv import nn

    seen = set()
    for name, case in cases.items():
        net = case.create()
        shape = (case.batch_size, *case.input_shape)
        for layer_name, layer, input_shape in _leaves("", net, shape):
            if not isinstance(layer, nn.Conv2d):
                continue
            key = (input_shape, layer.weight.shape, layer.stride, str(layer.padding), layer.groups)
            if key not in seen:
                seen.add(key)
                yield name, layer_name, layer, input_shape


# (channels, side, stride, groups, kernel): MobileNet's depthwise layers, ResNeXt-50's, AlexNet's as published,
# ShuffleNet's.
GROUPED = (
    (32, 112, 1, 32, 3), (64, 112, 2, 64, 3), (128, 56, 1, 128, 3), (128, 56, 2, 128, 3), (256, 28, 1, 256, 3),
    (256, 28, 2, 256, 3), (512, 14, 1, 512, 3), (512, 14, 2, 512, 3), (128, 56, 1, 32, 3), (256, 56, 2, 32, 3),
    (256, 28, 1, 32, 3), (512, 14, 1, 32, 3), (96, 27, 1, 2, 5), (240, 28, 1, 3, 1),
)  # fmt: skip


def grouped_convolutions(batch_size=16):
    """As `convolutions`, of GROUPED."""
    from cconv import nn

    for channels, side, stride, groups, kernel in GROUPED:
        layer = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False, rng=0)
        name = f"{channels}x{side}x{side} kernel {kernel} stride {stride} groups {groups}"
        yield "depthwise" if groups == channels else "grouped", name, layer, (batch_size, channels, side, side)


def _leaves(name, layer, shape):
    from cconv.nn.base import dotted

    if not hasattr(layer, "walk"):
        yield name, layer, shape
        return
    for child_name, child, child_shape in layer.walk(shape):
        yield from _leaves(dotted(name, child_name), child, child_shape)


def aligned(x):
    """A copy that begins a cache line, as the arrays of networks do (and torch's)."""
    memory = np.empty(x.nbytes + 64, np.uint8)
    copy = memory[-memory.ctypes.data % 64 :][: x.nbytes].view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


def channels_last(x):
    return np.moveaxis(aligned(np.moveaxis(x, 1, -1)), -1, 1)


def cconv_runs(layer, x, dy, algo):
    """{pass: callable}, {pass: algorithm}; a pass `algo` cannot do is left out."""
    from cconv.functional.conv import prepare

    x, dy, w = channels_last(x), channels_last(dy), layer.weight.data
    geometry = prepare(x.shape, w.shape, layer.stride, layer.padding, layer.dilation, layer.groups, algo, x.dtype, True)
    dw = np.zeros_like(w)

    def backward_weight():
        dw[...] = 0
        geometry.backward_weight(x, dy, dw)
        return dw

    runs = {
        "forward": lambda: geometry.forward(x, w, mosaic=True),
        "backward_data": lambda: geometry.backward_data(dy, w, mosaic=True),
        "backward_weight": backward_weight,
    }
    names = {which: geometry.algorithm(which) for which in PASSES if algo in ("auto", *geometry.algorithms(which))}
    return {which: run for which, run in runs.items() if which in names}, names


def functional_runs(layer, x, dy, algo):
    """As `cconv_runs`, of cconv.functional on C-contiguous arrays; whatever is copied inside is timed."""
    from cconv import functional as F

    w, size, kernel = layer.weight.data, x.shape[2:], layer.kernel_size
    options = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups}
    runs = {
        "forward": lambda: F.conv2d(x, w, **options, algo=algo),
        "backward_data": lambda: F.conv2d_backward_data(dy, w, size, **options, algo=algo),
        "backward_weight": lambda: F.conv2d_backward_weight(x, dy, kernel, **options, algo=algo),
    }
    return runs, dict.fromkeys(runs, algo)


def torch_runs(layer, x, dy, last):
    """{pass: callable}, each returning a tensor."""
    import torch

    memory_format = torch.channels_last if last else torch.contiguous_format
    x, dy, w = (torch.from_numpy(a).to(memory_format=memory_format) for a in (x, dy, layer.weight.data))
    padding = [layer.padding] * 2 if isinstance(layer.padding, int) else list(layer.padding)
    geometry = list(layer.stride), padding, list(layer.dilation), False, [0, 0], layer.groups

    def gradient(place):
        wanted = [place == i for i in range(3)]
        return lambda: torch.ops.aten.convolution_backward(dy, x, w, None, *geometry, wanted)[place]

    forward = torch.ops.aten.convolution
    return {
        "forward": lambda: forward(x, w, None, *geometry),
        "backward_data": gradient(0),
        "backward_weight": gradient(1),
    }


def compare(which, name, ours, theirs):
    theirs = np.asarray(theirs)
    error = np.abs(ours - theirs).max() / np.abs(theirs).max()
    assert error <= TOLERANCE, f"{name}, {which}: {error:.1e} of the largest value apart from torch"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="a case such as resnet18-16, or a network")
    parser.add_argument("--layer", default="", metavar="TEXT", help="only layers whose name contains this")
    parser.add_argument("--algo", default="auto", help="of cconv: auto, im2col, direct, winograd, ...")
    parser.add_argument("--threads", type=int, metavar="N", help="of every side (all cores)")
    parser.add_argument("--seconds", type=float, default=2, metavar="S", help="for each layer and pass (2)")
    parser.add_argument("--isa", help="instruction set of cconv, as CCONV_ISA")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go")
    parser.add_argument("--check", action="store_true", help="compare the results alone")
    parser.add_argument("--grouped", action="store_true", help="depthwise and grouped layers instead of networks'")
    parser.add_argument("--contiguous", action="store_true", help="functions on arrays as NumPy makes them")
    arguments = parser.parse_args()
    threads = arguments.threads or cores()
    os.environ |= {"CCONV_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    if arguments.isa:
        os.environ["CCONV_ISA"] = arguments.isa
    import peak
    import torch
    from networks import chosen
    from timing import interleaved, machine, statistics_of

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    facts = machine(threads)
    facts["peak_gflops"] = peak.measure(facts["isa"])
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    head = ("cconv ms", "algorithm", "torch", "ch. last", "ratio", "GFLOP/s", "of peak")
    print(f"{'layer':<52}{'pass':<16}" + "".join(f"{word:>11}" for word in head))
    layers = grouped_convolutions() if arguments.grouped else convolutions(chosen(arguments.only))
    results, rng = [], np.random.default_rng(0)
    for case, layer_name, layer, shape in layers:
        if arguments.layer not in layer_name:
            continue
        x = aligned(rng.standard_normal(shape, np.float32))
        dy = aligned(rng.standard_normal(layer.output_shape(shape), np.float32))
        runs, algorithms = (functional_runs if arguments.contiguous else cconv_runs)(layer, x, dy, arguments.algo)
        others = {"torch": torch_runs(layer, x, dy, False)}
        if not arguments.contiguous:
            others["torch channels_last"] = torch_runs(layer, x, dy, True)
        flops, name = 2 * layer.macs(shape), f"{case} {layer_name}"
        first = layer_name in ("conv1", "features.0", "block1.0", "conv1.conv")
        for which in PASSES:
            # Nobody reads the gradient of the images.
            if which not in runs or (which == "backward_data" and first):
                continue
            compare(which, name, runs[which](), others["torch"][which]())
            if arguments.check:
                continue
            sides = {"cconv": runs[which], **{side: other[which] for side, other in others.items()}}
            times = {side: statistics_of(values) for side, values in interleaved(sides, arguments.seconds).items()}
            results.append(
                {"case": case, "layer": layer_name, "x": shape, "weight": layer.weight.shape, "stride": layer.stride,
                 "pass": which, "algorithm": algorithms[which], "flops": flops, "times": times}
            )  # fmt: skip
            _print(name, which, algorithms[which], flops, times, facts["peak_gflops"], threads)
        if arguments.check:
            print(f"{name}: agrees ({', '.join(algorithms.values())})")
        if arguments.json:
            arguments.json.write_text(json.dumps({"machine": facts, "results": results}, indent=1) + "\n")
    if results:
        ratios = [_ratio(row["times"]) for row in results]
        mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
        print(f"geometric mean of {len(ratios)} ratios to the better torch: {mean:.2f}")


def _ratio(times):
    return min(numbers["median"] for side, numbers in times.items() if side != "cconv") / times["cconv"]["median"]


def _print(name, which, algorithm, flops, times, peak_gflops, threads):
    ours, *theirs = (1e3 * numbers["median"] for numbers in times.values())
    rate = 1e-6 * flops / ours
    share = f"{100 * rate / (peak_gflops * threads):10.0f}%" if peak_gflops else f"{'?':>11}"
    print(
        f"{name:<52}{which:<16}{ours:11.3f}{algorithm:>11}{theirs[0]:11.3f}"
        f"{theirs[1] if len(theirs) > 1 else float('nan'):11.3f}"
        f"{_ratio(times):11.2f}{rate:11.0f}{share}"
    )


if __name__ == "__main__":
    main()
