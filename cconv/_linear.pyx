"""Fully connected layers on C-contiguous arrays of shape (rows, features)."""

from libc.stdint cimport int64_t
cimport numpy as cnp

from cconv._runtime cimport Sink, cc_context, cc_dtype, cc_sink, cc_status, check, context, dtype_of, new_array, result_array

cnp.import_array()


cdef extern from "linear/linear.h" nogil:
    ctypedef struct cc_linear:
        int64_t rows
        int64_t inputs "in"
        int64_t out
        cc_dtype dtype
    cc_status cc_linear_forward(const cc_context *context, const cc_linear *linear, const void *x,
                                const void *weight, const void *bias, bint relu, void *y)
    cc_status cc_linear_backward(const cc_context *context, const cc_linear *linear, const void *dy, const void *x,
                                 const void *weight, void *dx, void *dweight, void *dbias)
    cc_status cc_linear_backward_weight(const cc_context *context, const cc_linear *linear, const void *dy,
                                        const void *x, const cc_sink *sink, int64_t begin)


cdef inline void *data(cnp.ndarray array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(array)


cdef cc_linear describe(cnp.ndarray x, cnp.ndarray weight) except *:
    cdef cc_linear linear
    linear.inputs = cnp.PyArray_DIM(weight, 1)
    linear.out = cnp.PyArray_DIM(weight, 0)
    linear.rows = 1
    cdef int axis
    for axis in range(cnp.PyArray_NDIM(x) - 1):
        linear.rows *= cnp.PyArray_DIM(x, axis)
    linear.dtype = dtype_of(x)
    return linear


def forward(cnp.ndarray x not None, cnp.ndarray weight not None, cnp.ndarray bias, bint relu=False, out=None):
    """x (..., in), weight (out, in), bias (out) or None -> y (..., out), max(y, 0) with `relu`"""
    cdef cc_linear linear = describe(x, weight)
    cdef tuple shape = (<object>x).shape[:cnp.PyArray_NDIM(x) - 1] + (linear.out,)
    cdef cnp.ndarray y = result_array(out, shape, cnp.PyArray_TYPE(x), False)
    cdef void *b = data(bias)
    cdef cc_status status
    with nogil:
        status = cc_linear_forward(context(), &linear, cnp.PyArray_DATA(x), cnp.PyArray_DATA(weight), b, relu,
                                   cnp.PyArray_DATA(y))
    check(status, "linear")
    return y


def backward(cnp.ndarray dy not None, cnp.ndarray x not None, cnp.ndarray weight not None, dweight,
             cnp.ndarray dbias, bint need_dx=True):
    """dx or None; adds into `dweight` and `dbias` where given, or lets a Sink take the gradient of the weight."""
    cdef cc_linear linear = describe(x, weight)
    cdef cnp.ndarray dx = new_array((<object>x).shape, cnp.PyArray_TYPE(x), False) if need_dx else None
    cdef void *to_x = data(dx)
    cdef Sink sink = dweight if isinstance(dweight, Sink) else None
    cdef void *dw = NULL if sink is not None else data(dweight)
    cdef void *db = data(dbias)
    cdef cc_status status
    with nogil:
        status = cc_linear_backward(context(), &linear, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(x),
                                    cnp.PyArray_DATA(weight), to_x, dw, db)
    check(status, "linear_backward")
    if sink is not None:
        sink.check(weight)
        with nogil:
            status = cc_linear_backward_weight(context(), &linear, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(x),
                                               sink.sink, sink.begin)
        check(status, "linear_backward")
    return dx
