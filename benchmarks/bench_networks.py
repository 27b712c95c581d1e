"""Training steps and inference of whole networks: cconv against PyTorch and ONNX Runtime.

    python benchmarks/bench_networks.py [--only NAME]... [--threads N] [--seconds S] [--isa NAME] [--json FILE]
                                        [--memory | --check]

Each network begins with the same weights on every side; outputs and the first losses are compared before anything
is timed. Sides take turns. A training step is forward, cross-entropy, backward and SGD with momentum 0.9 in
training mode. With --memory every side runs alone in a fresh process and the peak of its memory over what importing
takes is measured instead of its time, and what further steps add; with --check nothing is timed.
"""

import argparse
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

from timing import cores

MEMORY_STEPS = 3
GROWTH_STEPS = 20
TORCH = {"torch": False, "torch channels_last": True}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="NAME", help="a case such as resnet18-16, or a network")
    parser.add_argument("--threads", type=int, metavar="N", help="of every side (all cores)")
    parser.add_argument("--seconds", type=float, default=20, metavar="S", help="for each network and task (20)")
    parser.add_argument("--isa", help="instruction set of cconv, as CCONV_ISA")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the numbers go")
    parser.add_argument("--memory", action="store_true", help="measure memory, not time")
    parser.add_argument("--check", action="store_true", help="compare the results alone")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    # Both are read when the libraries are loaded.
    threads = arguments.threads or cores()
    os.environ |= {"CCONV_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    if arguments.isa:
        os.environ["CCONV_ISA"] = arguments.isa
    if arguments.side:
        print(*_peak(arguments.side, arguments.only[0], threads))
        return
    from networks import chosen
    from sides import check
    from timing import machine

    facts = machine(threads)
    print(", ".join(f"{key} {value}" for key, value in facts.items()))
    results = []
    for name, case in chosen(arguments.only).items():
        if arguments.memory:
            results += _memory(name, case, arguments)
        else:
            sides = _sides(case, threads)
            check(case, sides)
            print(f"{case.title}: {', '.join(sides)} agree")
            if not arguments.check:
                results += _times(name, case, sides, arguments.seconds)
            del sides
            gc.collect()
        if arguments.json:
            arguments.json.write_text(json.dumps({"machine": facts, "results": results}, indent=1) + "\n")


def _sides(case, threads):
    from sides import cconv_side, onnxruntime_side, torch_side

    sides = {"cconv": cconv_side(case)}
    try:
        import torch
    except ImportError:
        print("torch is not installed: cconv alone")
    else:
        torch.set_num_threads(threads)
        state = sides["cconv"].state()
        sides |= {side: torch_side(case, last, state) for side, last in TORCH.items()}
        try:
            sides["onnxruntime"] = onnxruntime_side(case, sides["torch"].onnx(), threads)
        except (ImportError, RuntimeError, TypeError, ValueError) as error:
            # Not installed, or a torch whose exporter needs more packages.
            print(f"without ONNX Runtime: {type(error).__name__}: {error}")
    return sides


def _times(name, case, sides, seconds):
    from timing import interleaved, statistics_of

    rows = []
    for task in ("train", "infer"):
        runs = {side: getattr(one, task) for side, one in sides.items() if hasattr(one, task)}
        times = interleaved(runs, seconds)
        best = min((statistics_of(times[side])["median"] for side in runs if side != "cconv"), default=None)
        print(f"{case.title}, {'training step' if task == 'train' else 'inference'}")
        for side in runs:
            numbers = statistics_of(times[side])
            rows.append({"case": name, "title": case.title, "task": task, "side": side, **numbers})
            ratio = f"   {best / numbers['median']:5.2f} times the best other" if best and side == "cconv" else ""
            print(f"  {side:<20} {1e3 * numbers['median']:9.2f} ms   best {1e3 * numbers['minimum']:9.2f} ms{ratio}")
    return rows


def _memory(name, case, arguments):
    rows = []
    print(f"{case.title}, peak of a training step over imports")
    for side in ("cconv", *TORCH):
        command = [sys.executable, __file__, "--side", side, "--only", name]
        command += ["--threads", str(arguments.threads)] if arguments.threads else []
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode:
            print(f"  {side:<20} failed: {answer.stderr.strip().splitlines()[-1]}")
            continue
        peak, growth = map(int, answer.stdout.split())
        rows.append(
            {"case": name, "title": case.title, "task": "memory", "side": side, "bytes": peak, "growth": growth}
        )
        print(f"  {side:<20} {peak / 2**20:9.1f} MiB, {GROWTH_STEPS} more steps add {growth / 2**20:.1f} MiB")
    return rows


def _peak(side, name, threads):
    """Bytes that some training steps add to this process, at their highest, and what further ones add to that."""
    from networks import CASES
    from sides import cconv_side, torch_side

    case = CASES[name]
    if side == "cconv":
        import cconv.model
        import cconv.optim  # noqa: F401

        before = _highest()
        one = cconv_side(case)
    else:
        import torch

        torch.set_num_threads(threads)
        before = _highest()
        one = torch_side(case, TORCH[side])
    for _ in range(MEMORY_STEPS):
        one.train()
    peak = _highest()
    for _ in range(GROWTH_STEPS):
        one.train()
    return peak - before, _highest() - peak


def _highest():
    """Peak resident bytes of this process. Linux's ru_maxrss would include the parent's from before exec."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
