"""The measured peaks of one core: GFLOP/s of float32, and GB/s of memory."""

import ctypes
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_FLAGS = {"avx512": ["-mavx512f", "-mfma", "-mprefer-vector-width=512"], "avx2": ["-mavx2", "-mfma"]}


def measure(isa, runs=20, rounds=2_000_000):
    """The best of `runs` runs with the instructions of `isa`, or None without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    source = Path(__file__).with_name("fma_peak.c")
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "fma_peak.so"
        flags = ["-O2", "-ffp-contract=fast", "-fPIC", "-shared", *_FLAGS.get(isa, [])]
        subprocess.run([compiler, *flags, str(source), "-o", str(library)], check=True)
        function = ctypes.CDLL(str(library)).fma_peak
        function.restype = ctypes.c_double
        sink = (ctypes.c_float * 3)(0.5, 1.0, 0.0)
        return max(function(ctypes.c_long(rounds), sink) for _ in range(runs))


def bandwidth():
    """What copies read and write, measured by a process of its own: arrays so large change how memory is given out later."""
    return float(subprocess.run([sys.executable, __file__], check=True, capture_output=True, text=True).stdout)


def _copy(size=1 << 28, runs=5):
    """The best of `runs` copies of `size` bytes, far more than the caches hold."""
    source, target = np.ones(size // 8), np.ones(size // 8)
    fastest = float("inf")
    for _ in range(runs):
        start = time.thread_time()
        np.copyto(target, source)
        fastest = min(fastest, time.thread_time() - start)
    return 1e-9 * 2 * size / fastest


if __name__ == "__main__":
    print(_copy())
