"""Fair timing: sides take turns, so that a slow phase of the machine meets all of them; and what the machine is."""

import datetime
import gc
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path

# A turn lasts at least this long: short enough to alternate often.
TURN = 0.05

# Threads that the side before left spinning go to sleep meanwhile (OpenBLAS's and ONNX Runtime's take up to 0.1 s).
PAUSE = 0.15
MINIMUM_ROUNDS = 3


def interleaved(sides, seconds):
    """Time callables in turns.

    Parameters
    ----------
    sides : dict name -> callable without arguments
    seconds : float, how long all of them together may take; at least three rounds are run

    Returns
    -------
    dict name -> list of seconds a call
    """
    calls = {}
    for name, run in sides.items():
        run()
        start = time.perf_counter()
        run()
        calls[name] = max(1, round(TURN / max(time.perf_counter() - start, 1e-7)))
    times = {name: [] for name in sides}
    gc.collect()
    gc.disable()
    try:
        end = time.perf_counter() + seconds
        rounds = 0
        while rounds < MINIMUM_ROUNDS or time.perf_counter() < end:
            for name, run in sides.items():
                time.sleep(PAUSE)
                if calls[name] > 1:
                    run()
                for _ in range(calls[name]):
                    start = time.perf_counter()
                    run()
                    times[name].append(time.perf_counter() - start)
            rounds += 1
    finally:
        gc.enable()
    return times


def statistics_of(times):
    """Median, minimum and number of runs, as they stand in the JSON file."""
    return {"median": statistics.median(times), "minimum": min(times), "runs": len(times)}


def cores():
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(threads):
    """Facts that a reader needs to judge the numbers; imports what is installed of the programs compared."""
    import numpy

    import cconv
    from cconv.runtime import config

    facts = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.platform(),
        "load_at_start": os.getloadavg()[0],
        "threads": threads,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "cconv": cconv.__version__,
        "commit": _commit(),
        "isa": config()["isa"],
    }
    for name in ("torch", "onnxruntime"):
        try:
            facts[name] = __import__(name).__version__
        except ImportError:
            facts[name] = None
    return facts


def _processor():
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit():
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
