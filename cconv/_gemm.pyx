"""Own float32 matrix product: the binding tests and benchmarks call; convolution and linear use it in C."""

import numpy as np

from libc.stdint cimport int64_t
cimport numpy as cnp

from cconv._runtime cimport cc_context, cc_status, check, context, new_array

cnp.import_array()


cdef extern from "gemm/gemm.h" nogil:
    ctypedef struct cc_gemm_epilogue:
        const float *scale
        const float *bias
        const float *residual
        int64_t ld_residual
        bint relu
    cc_status cc_gemm(const cc_context *context, bint trans_a, bint trans_b, int64_t m, int64_t n, int64_t k,
                      const float *a, int64_t lda, const float *b, int64_t ldb, bint accumulate, float *c,
                      int64_t ldc, const cc_gemm_epilogue *epilogue)


cdef int64_t row_length(cnp.ndarray x, str name, bint writable=False) except -1:
    """Row length in elements of a float32 matrix whose rows are contiguous."""
    if cnp.PyArray_TYPE(x) != cnp.NPY_FLOAT32 or cnp.PyArray_NDIM(x) != 2 or not cnp.PyArray_ISBEHAVED_RO(x):
        raise TypeError(f"{name} must be a float32 matrix, got {x.dtype} of shape {np.shape(x)}")
    if writable and not cnp.PyArray_ISWRITEABLE(x):
        raise ValueError(f"{name} is read-only")
    cdef int64_t rows = cnp.PyArray_DIM(x, 0), columns = cnp.PyArray_DIM(x, 1)
    if rows == 0 or columns == 0:
        return columns
    if columns > 1 and cnp.PyArray_STRIDE(x, 1) != 4:
        raise ValueError(f"{name} must have contiguous rows")
    if rows == 1:
        return columns
    if cnp.PyArray_STRIDE(x, 0) % 4 != 0 or cnp.PyArray_STRIDE(x, 0) < 4 * columns:
        raise ValueError(f"{name} must have rows that follow each other")
    return cnp.PyArray_STRIDE(x, 0) // 4


def gemm(cnp.ndarray a not None, cnp.ndarray b not None, bint trans_a=False, bint trans_b=False,
         cnp.ndarray out=None, bint accumulate=False, cnp.ndarray bias=None, cnp.ndarray residual=None,
         bint relu=False):
    """max([out +] op(a) @ op(b) + bias + residual, 0), the maximum where `relu` is set; op transposes.

    Matrices are float32 with contiguous rows; the result is `out` when given.
    """
    cdef int64_t lda = row_length(a, "a"), ldb = row_length(b, "b"), ldc
    cdef int64_t m = cnp.PyArray_DIM(a, trans_a), k = cnp.PyArray_DIM(a, not trans_a)
    cdef int64_t n = cnp.PyArray_DIM(b, not trans_b)
    cdef cc_gemm_epilogue epilogue
    cdef cc_status status
    if cnp.PyArray_DIM(b, trans_b) != k:
        raise ValueError(f"a and b do not fit: {np.shape(a)} and {np.shape(b)}")
    if out is None:
        if accumulate:
            raise ValueError("accumulate needs out")
        out = new_array((m, n), cnp.NPY_FLOAT32, False)
    ldc = row_length(out, "out", True)
    if np.shape(out) != (m, n):
        raise ValueError(f"out must have shape {(m, n)}, got {np.shape(out)}")
    epilogue.scale = epilogue.bias = epilogue.residual = NULL
    epilogue.ld_residual = 0
    epilogue.relu = relu
    if bias is not None:
        if np.shape(bias) != (n,) or bias.dtype != np.float32 or not bias.flags.c_contiguous:
            raise ValueError(f"bias must be {n} contiguous float32, got {bias.dtype} of shape {np.shape(bias)}")
        epilogue.bias = <const float *>cnp.PyArray_DATA(bias)
    if residual is not None:
        epilogue.ld_residual = row_length(residual, "residual")
        if np.shape(residual) != (m, n):
            raise ValueError(f"residual must have shape {(m, n)}, got {np.shape(residual)}")
        epilogue.residual = <const float *>cnp.PyArray_DATA(residual)
    with nogil:
        status = cc_gemm(context(), trans_a, trans_b, m, n, k, <const float *>cnp.PyArray_DATA(a), lda,
                         <const float *>cnp.PyArray_DATA(b), ldb, accumulate, <float *>cnp.PyArray_DATA(out), ldc,
                         &epilogue)
    check(status, "gemm")
    return out
