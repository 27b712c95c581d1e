"""Process-wide settings: threads, instruction set, BLAS, and what `show_config` prints."""

import os
import sys
from _thread import allocate_lock

from cconv import _runtime

# What few calls need is imported where it is used: `import cconv` should cost little.

__all__ = ["get_exact", "get_num_threads", "set_exact", "set_num_threads", "show_config"]

# Whether to name the algorithm of every convolution and pass.
verbose = os.environ.get("CCONV_VERBOSE", "") not in ("", "0")
_said = set()


def say(line):
    """Print `line` to stderr, once."""
    if line not in _said:
        _said.add(line)
        print(f"cconv: {line}", file=sys.stderr)


def _read(path):
    with open(path, encoding="ascii") as file:
        return file.read()


def _cgroup_cpus():
    """CPUs that the cgroup quota allows, or None without one."""
    try:
        quota, period = _read("/sys/fs/cgroup/cpu.max").split()
        if quota != "max":
            return max(1, -(-int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    try:
        quota = int(_read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))
        period = int(_read("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))
        if quota > 0:
            return max(1, -(-quota // period))
    except (OSError, ValueError):
        pass
    return None


def _available_cpus():
    """Cores this process may use: affinity and cgroup quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    return min(count, _cgroup_cpus() or count, _runtime.MAX_THREADS)


def _threads_from_environment():
    text = os.environ.get("CCONV_NUM_THREADS")
    if text is None or text == "":
        return _available_cpus()
    return _checked_threads(text, "CCONV_NUM_THREADS")


def _checked_threads(value, name):
    try:
        count = int(value) if isinstance(value, str) else value.__index__()
    except (ValueError, AttributeError):
        raise ValueError(f"{name} must be a whole number from 1 to {_runtime.MAX_THREADS}, got {value!r}") from None
    if isinstance(value, bool) or not 1 <= count <= _runtime.MAX_THREADS:
        raise ValueError(f"{name} must be a whole number from 1 to {_runtime.MAX_THREADS}, got {value!r}")
    return count


def get_num_threads():
    """Number of threads that kernels use."""
    return _runtime.get_num_threads()


def set_num_threads(n):
    """Use `n` threads in kernels (1 to 256). Results do not depend on it, to the bit.

    Raises
    ------
    ValueError
        If `n` is not a whole number in that range.
    """
    _runtime.set_num_threads(_checked_threads(n, "n"))


def get_exact():
    """Whether `algo="auto"` leaves out algorithms that round more than a matrix product."""
    return _runtime.get_exact()


def set_exact(exact):
    """Let `algo="auto"` take Winograd's algorithm (`False`, the default) or not.

    In float32 it computes the 3x3 and 5x5 convolutions of most networks two to three times as fast, with errors of about
    1e-5 of the largest output. Holds from the next call on, in layers that exist already, too; float64 never takes it.
    An `algo` asked for by name is not affected.

    Raises
    ------
    TypeError
        If `exact` is not True or False.
    """
    if not isinstance(exact, bool):
        raise TypeError(f"exact must be True or False, got {exact!r}")
    _runtime.set_exact(exact)


_blas_lock = allocate_lock()


def load_blas():
    """Import SciPy's BLAS and hand its pointers to the core; does nothing the second time."""
    if _runtime.blas_ready():
        return
    with _blas_lock:
        if _runtime.blas_ready():
            return
        import ctypes

        from scipy.linalg import cython_blas

        # A handle of the module also finds the symbols of the OpenBLAS it is linked to.
        library = ctypes.CDLL(cython_blas.__file__)

        def address(name):
            """Of OpenBLAS's function, under one of the names that SciPy builds give it, or 0."""
            for pattern in ("scipy_openblas_{}", "scipy_openblas_{}64_", "openblas_{}", "openblas_{}64_"):
                function = getattr(library, pattern.format(name), None)
                if function is not None:
                    return ctypes.cast(function, ctypes.c_void_p).value
            return 0

        _runtime.set_blas(cython_blas.__pyx_capi__, address("get_num_threads"), address("set_num_threads"))


def config():
    """What this process runs on, as a dict: version, machine, instruction sets, threads, BLAS."""
    import platform

    from cconv import __version__

    return {
        "cconv": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "isa": _runtime.isa(),
        "usable_isas": _runtime.usable_isas(),
        "threads": get_num_threads(),
        "available_cpus": _available_cpus(),
        "exact": get_exact(),
        "blas_loaded": _runtime.blas_ready(),
    }


def show_config():
    """Print what this process runs on: version, instruction set, threads."""
    facts = config()
    width = max(map(len, facts))
    for key, value in facts.items():
        print(f"{key:<{width}}  {', '.join(value) if isinstance(value, list) else value}")


_runtime.create(os.environ.get("CCONV_ISA") or None, _threads_from_environment())
