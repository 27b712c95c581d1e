"""This machine's peaks, measured by loops of the core: what a profile compares layers with."""

from typing import NamedTuple

from cconv import _machine, _runtime

__all__ = []


class Peaks(NamedTuple):
    """The best of several runs on all threads.

    Attributes
    ----------
    gflops : float, float32 multiply-adds in registers, two operations each
    gbytes : float, GB/s of memory in a triad a = b + 3 c on arrays larger than the caches
    threads : int
    """

    gflops: float
    gbytes: float
    threads: int


_measured = {}


def peaks(runs=12):
    """Peaks of this machine with the current number of threads; measured once in a process (about 0.2 s)."""
    threads = _runtime.get_num_threads()
    if threads not in _measured:
        _machine.multiply(1000)
        rates = [operations / seconds for operations, seconds in (_machine.multiply(2000) for _ in range(2 * runs))]
        run = _machine.triad(1 << 23)
        run()
        speeds = [nbytes / seconds for nbytes, seconds in (run() for _ in range(runs))]
        _measured[threads] = Peaks(1e-9 * max(rates), 1e-9 * max(speeds), threads)
    return _measured[threads]
