"""The gates every convolution layer should pass, on one thread.

    python benchmarks/bench_gates.py [--only NAME]... [--layer TEXT] [--pass NAME] [--seconds S] [--flagged]
                                     [--no-torch] [--json FILE]
    python benchmarks/bench_gates.py --sweep [--seconds S] [--json FILE]

Every distinct convolution of the benchmarked networks (LeNet-5, which has fused kernels, aside), pass by pass: the
operations of the definition by the time that `auto` takes, as a share of the measured peak; the best other
algorithm; the better of torch's two formats. Times are the least of many calls, in time of the thread, so other
programs on the machine disturb little. Results are compared with torch before they are timed.

A row is flagged when `auto` is
  under 1.5 of the peak   in a 3x3 convolution of stride 1 with 64 or more channels
  under 0.85 of the peak  where it takes direct or pointwise
  slower than torch       in a weight gradient with a stride
  over 1.1 of the best    other algorithm's time.

`bound` is what a core could reach that moves every array once at the measured bandwidth of memory, and multiplies
meanwhile. Rows under 0.85 of the peak that reach 0.85 of this bound are counted apart, and flagged all the same.

--sweep looks at the choice alone, over a grid of geometries.
"""

import argparse
import itertools
import json
import math
import os
import time
from pathlib import Path

import numpy as np
from bench_layers import PASSES, channels_last, compare, convolutions, torch_runs

WIDE, DIRECT, SLOWER = 1.5, 0.85, 1.1
FEW_CHANNELS = 4
# What `auto` may take, so what it is measured against.
RIVALS = ("pointwise", "winograd", "winograd_strided", "winograd_dilated", "direct", "depthwise", "grouped", "im2col")


def least(runs, seconds):
    """{name: seconds of the fastest call}; callables take turns."""
    for run in runs.values():
        run()
    fastest = dict.fromkeys(runs, float("inf"))
    end, rounds = time.thread_time() + seconds, 0
    while rounds < 3 or time.thread_time() < end:
        for name, run in runs.items():
            start = time.thread_time()
            run()
            fastest[name] = min(fastest[name], time.thread_time() - start)
        rounds += 1
    return fastest


def algorithms(layer, x, dy, which):
    """{algorithm: callable} of a pass, and the name of the one `auto` takes."""
    from cconv.functional.conv import prepare

    last = x.shape[1] > FEW_CHANNELS
    x, dy, w, dw = (
        channels_last(x) if last else x,
        channels_last(dy),
        layer.weight.data,
        np.zeros_like(layer.weight.data),
    )

    def geometry(algo):
        return prepare(
            x.shape, w.shape, layer.stride, layer.padding, layer.dilation, layer.groups, algo, x.dtype, last, True
        )

    def weight(g):
        dw[...] = 0
        g.backward_weight(x, dy, dw)
        return dw

    run = {
        "forward": lambda g: lambda: g.forward(x, w, mosaic=True),
        "backward_data": lambda g: lambda: g.backward_data(dy, w, mosaic=True),
        "backward_weight": lambda g: lambda: weight(g),
    }[which]
    auto = geometry("auto")
    names = [name for name in auto.algorithms(which) if name in RIVALS]
    return {name: run(geometry(name)) for name in names}, auto.algorithm(which)


def flags(layer, which, algorithm, share, times):
    """What is wrong with a row."""
    found = []
    if layer.kernel_size == (3, 3) and layer.stride == (1, 1) and min(layer.weight.shape[:2]) >= 64:
        if share is not None and share < WIDE:
            found.append(f"under {WIDE}")
    elif algorithm in ("direct", "pointwise") and share is not None and share < DIRECT:
        found.append(f"under {DIRECT}")
    others = [seconds for name, seconds in times.items() if name in RIVALS and name != algorithm]
    if others and times[algorithm] > SLOWER * min(others):
        found.append("not the best")
    if which == "backward_weight" and layer.stride != (1, 1) and times[algorithm] > times.get("torch", float("inf")):
        found.append("torch")
    return found


def bound(layer, shape, which, flops, peak_gflops, bandwidth):
    """The share of the peak that the least traffic with memory allows."""
    images = math.prod(shape)
    if which != "backward_data":  # pixels between windows are not read
        images *= math.prod(min(1.0, k / s) for k, s in zip(layer.kernel_size, layer.stride, strict=True))
    floats = images + math.prod(layer.output_shape(shape)) + layer.weight.data.size
    return min(1.0, flops / (4 * floats) * bandwidth / peak_gflops)


def swept():
    """(name, layer, input shape) of a grid of geometries, of similar work."""
    from cconv import nn

    for kernel, stride, side in itertools.product((1, 3, 5, 7, 11), (1, 2, 4), (2, 4, 7, 14, 32, 56, 224)):
        for inputs, outputs in (
            (1, 16),
            (3, 64),
            (8, 8),
            (16, 16),
            (24, 40),
            (32, 64),
            (64, 64),
            (256, 128),
            (512, 512),
        ):
            macs = inputs * outputs * kernel**2 * (side / stride) ** 2
            if stride > kernel or side < stride or macs > 4e8 or (inputs > 64 and side > 56):
                continue
            images = int(max(1, min(64, 2e7 // macs)))
            layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False, rng=0)
            yield f"{inputs}-{outputs} {kernel}x{kernel}/{stride}", layer, (images, inputs, side, side)


def measured(case, name, layer, shape, arguments, peak_gflops, bandwidth):
    """A dict a pass."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal(shape, np.float32), rng.standard_normal(layer.output_shape(shape), np.float32)
    theirs = {} if arguments.no_torch else {last: torch_runs(layer, x, dy, last) for last in (False, True)}
    flops = 2 * layer.macs(shape)
    for which in PASSES:
        # Nobody reads the gradient of the images.
        if (shape[1] <= FEW_CHANNELS and which == "backward_data") or (
            arguments.passes and which not in arguments.passes
        ):
            continue
        runs, algorithm = algorithms(layer, x, dy, which)
        if theirs:
            compare(which, f"{case} {name}", runs[algorithm](), theirs[False][which]())
            runs |= {f"torch {last}": theirs[last][which] for last in theirs}
        times = least(runs, arguments.seconds)
        if theirs:
            times["torch"] = min(times.pop("torch False"), times.pop("torch True"))
        share = 1e-9 * flops / times[algorithm] / peak_gflops if peak_gflops else None
        limit = bound(layer, shape, which, flops, peak_gflops, bandwidth) if peak_gflops else None
        yield {
            "case": case, "layer": name, "x": shape, "weight": layer.weight.shape, "stride": layer.stride, "pass": which,
            "algorithm": algorithm, "flops": flops, "share": share, "bound": limit, "times": times,
            "flags": flags(layer, which, algorithm, share, times),
        }  # fmt: skip


def _print(row):
    algorithm, times = row["algorithm"], row["times"]
    others = {name: seconds for name, seconds in times.items() if name in RIVALS and name != algorithm}
    second = min(others, key=others.get, default="")
    n, c, h, _ = row["x"]
    o, _, k, _ = row["weight"]
    shape = f"{n}x{c}x{h} {k}x{k}/{row['stride'][0]} {o}"
    share, limit = ("?" if value is None else f"{value:.2f}" for value in (row["share"], row["bound"]))
    print(
        f"{row['case']:<18}{row['layer']:<30}{shape:<24}{row['pass']:<16}{1e3 * times[algorithm]:9.3f}"
        f"{1e-9 * row['flops'] / times[algorithm]:7.0f}{share:>6}{limit:>6}  {algorithm:<10}"
        f"{1e3 * others[second] if others else 0:9.3f} {second:<10}{1e3 * times.get('torch', 0):9.3f}"
        f"  {', '.join(row['flags'])}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="a case such as resnet18-16, or a network")
    parser.add_argument("--layer", default="", metavar="TEXT", help="only layers whose name contains this")
    parser.add_argument("--pass", dest="passes", action="append", choices=PASSES, help="only this pass")
    parser.add_argument("--seconds", type=float, default=0.5, metavar="S", help="for each layer and pass (0.5)")
    parser.add_argument("--flagged", action="store_true", help="print flagged rows alone")
    parser.add_argument("--no-torch", action="store_true", help="leave torch and the comparison of results out")
    parser.add_argument(
        "--sweep", action="store_true", help="a grid of geometries instead of networks; implies --no-torch"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go")
    arguments = parser.parse_args()
    arguments.no_torch |= arguments.sweep
    os.environ |= {"CCONV_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    import peak
    from networks import chosen
    from timing import machine

    if not arguments.no_torch:
        import torch

        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
    facts = machine(1)
    facts["peak_gflops"] = peak.measure(facts["isa"])
    facts["bandwidth_gbs"] = peak.bandwidth()
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    print(
        f"{'layer':<72}{'pass':<16}{'ms':>9}{'GF/s':>7}{'share':>6}{'bound':>6}  {'algorithm':<10}{'next ms':>9} {'next':<10}{'torch ms':>9}"
    )
    if arguments.sweep:
        layers = (("sweep", *row) for row in swept())
    else:
        cases = {name: case for name, case in chosen(arguments.only).items() if case.network != "lenet5"}
        layers = convolutions(cases)
    results = []
    for case, name, layer, shape in layers:
        if arguments.layer not in name:
            continue
        for row in measured(case, name, layer, shape, arguments, facts["peak_gflops"], facts["bandwidth_gbs"]):
            results.append(row)
            if row["flags"] or not arguments.flagged:
                _print(row)
        if arguments.json:
            arguments.json.write_text(json.dumps({"machine": facts, "results": results}, indent=1) + "\n")
    flagged = [row for row in results if row["flags"]]
    bounded = [row for row in flagged if row["flags"] == [f"under {DIRECT}"] and row["share"] >= DIRECT * row["bound"]]
    print(f"{len(flagged)} of {len(results)} rows flagged, {len(bounded)} of them at {DIRECT} of their bound by memory")


if __name__ == "__main__":
    main()
