"""What this machine can do at most."""

from time import perf_counter

import numpy as np

from libc.stdint cimport int64_t
cimport numpy as cnp

from cconv._runtime cimport cc_context, cc_status, check, context

cnp.import_array()


cdef extern from "machine/machine.h" nogil:
    cc_status cc_machine_multiply(const cc_context *context, int64_t rounds, double *operations)
    cc_status cc_machine_triad(const cc_context *context, int64_t n, const float *b, const float *c, float *a)


def multiply(int64_t rounds):
    """(floating-point operations, seconds) of `rounds` register tiles of a matrix product on every thread."""
    cdef double operations = 0
    cdef cc_status status
    start = perf_counter()
    with nogil:
        status = cc_machine_multiply(context(), rounds, &operations)
    check(status, "multiply")
    return operations, perf_counter() - start


def triad(int64_t n):
    """A function of no arguments that gives (bytes, seconds) of a = b + 3 c over n floats on every thread."""
    cdef cnp.ndarray b = np.ones(n, np.float32), c = np.ones(n, np.float32), a = np.zeros(n, np.float32)

    def run():
        cdef cc_status status
        cdef float *to_data = <float *>cnp.PyArray_DATA(a)
        cdef const float *b_data = <const float *>cnp.PyArray_DATA(b)
        cdef const float *c_data = <const float *>cnp.PyArray_DATA(c)
        start = perf_counter()
        with nogil:
            status = cc_machine_triad(context(), n, b_data, c_data, to_data)
        check(status, "triad")
        return 12.0 * n, perf_counter() - start
    return run
