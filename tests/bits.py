"""Thread counts must not change a single bit."""

import numpy as np

import cconv


def assert_same_bits(compute):
    """Run `compute()` (-> arrays or numbers) on 1, 2, 3 and 7 threads and compare the bytes."""
    before = cconv.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 7):
            cconv.set_num_threads(threads)
            results.append([np.asarray(value).tobytes() for value in compute()])
    finally:
        cconv.set_num_threads(before)
    assert all(result == results[0] for result in results)
