"""Softmax, cross-entropy and squared error."""

from libc.stdint cimport int64_t
cimport numpy as cnp

from cconv._runtime cimport (CC_CHANNELS_FIRST, CC_CHANNELS_LAST, CC_ERR_INDEX, cc_context, cc_dtype, cc_layout,
                             cc_status, check, context, dtype_of, new_array, result_array)

cnp.import_array()


cdef extern from "loss/loss.h" nogil:
    ctypedef struct cc_cross_entropy:
        int64_t n
        int64_t c
        int64_t spatial
        cc_dtype dtype
        cc_layout layout
        bint log_probabilities
        bint mean
        double smoothing
        int64_t ignore_index
    cc_status cc_cross_entropy_forward(const cc_context *context, const cc_cross_entropy *loss, const void *logits,
                                       const int64_t *classes, const void *probabilities, const double *weight,
                                       double *losses, double *total, void *dlogits)
    cc_status cc_softmax_forward(const cc_context *context, cc_dtype dtype, bint log, int64_t outer, int64_t classes,
                                 int64_t inner, const void *x, void *y)
    cc_status cc_softmax_backward(const cc_context *context, cc_dtype dtype, bint log, int64_t outer,
                                  int64_t classes, int64_t inner, const void *dy, const void *y, void *dx)
    cc_status cc_squared_error(const cc_context *context, cc_dtype dtype, int64_t n, const void *a, const void *b,
                               double scale, double *total, void *da)


cdef inline void *data(cnp.ndarray array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(array)


def softmax(cnp.ndarray x not None, int axis, bint log, out=None):
    """`x` is C-contiguous; 0 <= axis < x.ndim."""
    cdef cnp.ndarray y = result_array(out, (<object>x).shape, cnp.PyArray_TYPE(x), False)
    cdef cc_dtype dtype = dtype_of(x)
    cdef int64_t outer = 1, inner = 1, classes = cnp.PyArray_DIM(x, axis)
    cdef int i
    cdef cc_status status
    for i in range(cnp.PyArray_NDIM(x)):
        if i < axis:
            outer *= cnp.PyArray_DIM(x, i)
        elif i > axis:
            inner *= cnp.PyArray_DIM(x, i)
    with nogil:
        status = cc_softmax_forward(context(), dtype, log, outer, classes, inner, cnp.PyArray_DATA(x),
                                    cnp.PyArray_DATA(y))
    check(status, "log_softmax" if log else "softmax")
    return y


def softmax_backward(cnp.ndarray dy not None, cnp.ndarray y not None, int axis, bint log, out=None):
    cdef cnp.ndarray dx = result_array(out, (<object>y).shape, cnp.PyArray_TYPE(y), False)
    cdef cc_dtype dtype = dtype_of(y)
    cdef int64_t outer = 1, inner = 1, classes = cnp.PyArray_DIM(y, axis)
    cdef int i
    cdef cc_status status
    for i in range(cnp.PyArray_NDIM(y)):
        if i < axis:
            outer *= cnp.PyArray_DIM(y, i)
        elif i > axis:
            inner *= cnp.PyArray_DIM(y, i)
    with nogil:
        status = cc_softmax_backward(context(), dtype, log, outer, classes, inner, cnp.PyArray_DATA(dy),
                                     cnp.PyArray_DATA(y), cnp.PyArray_DATA(dx))
    check(status, "softmax_backward")
    return dx


def cross_entropy(cnp.ndarray logits not None, bint channels_last, cnp.ndarray target not None, cnp.ndarray weight,
                  int64_t ignore_index, str reduction, double label_smoothing, bint log_probabilities,
                  bint gradient):
    """(loss, dlogits or None). `target` is int64 (N, spatial...), or like `logits`; `weight` is float64.

    With reduction "none" the loss is a float64 array and the gradient that of the sum.
    """
    cdef cc_cross_entropy loss
    cdef int axis, rank = cnp.PyArray_NDIM(logits)
    cdef bint by_class = cnp.PyArray_TYPE(target) == cnp.NPY_INT64
    loss.n = cnp.PyArray_DIM(logits, 0)
    loss.c = cnp.PyArray_DIM(logits, 1)
    loss.spatial = 1
    for axis in range(2, rank):
        loss.spatial *= cnp.PyArray_DIM(logits, axis)
    loss.dtype = dtype_of(logits)
    loss.layout = CC_CHANNELS_LAST if channels_last else CC_CHANNELS_FIRST
    loss.log_probabilities = log_probabilities
    loss.mean = reduction == "mean"
    loss.smoothing = label_smoothing
    loss.ignore_index = ignore_index
    cdef tuple shape = (<object>logits).shape
    cdef cnp.ndarray dlogits = new_array(shape, cnp.PyArray_TYPE(logits), channels_last) if gradient else None
    cdef cnp.ndarray losses = None
    if reduction == "none":
        losses = new_array(shape[:1] + shape[2:], cnp.NPY_FLOAT64, False)
    cdef double total = 0
    cdef const int64_t *classes = <const int64_t *>data(target) if by_class else NULL
    cdef const void *probabilities = NULL if by_class else data(target)
    cdef const double *w = <const double *>data(weight)
    cdef double *each = <double *>data(losses)
    cdef void *d = data(dlogits)
    cdef cc_status status
    with nogil:
        status = cc_cross_entropy_forward(context(), &loss, cnp.PyArray_DATA(logits), classes, probabilities, w, each,
                                          &total, d)
    if status == CC_ERR_INDEX:
        bad = target[((target < 0) | (target >= loss.c)) & (target != ignore_index)]
        raise IndexError(f"target: class {bad.flat[0]} is not in 0 .. {loss.c - 1} (logits {shape})")
    check(status, "cross_entropy")
    return (total if losses is None else losses), dlogits


def squared_error(cnp.ndarray a not None, cnp.ndarray b not None, double scale, bint channels_last, bint gradient):
    """(sum of (a - b)^2, scale * (a - b) or None); both in the same memory order."""
    cdef cnp.ndarray da = new_array((<object>a).shape, cnp.PyArray_TYPE(a), channels_last) if gradient else None
    cdef cc_dtype dtype = dtype_of(a)
    cdef int64_t n = cnp.PyArray_SIZE(a)
    cdef double total = 0
    cdef void *d = data(da)
    cdef cc_status status
    with nogil:
        status = cc_squared_error(context(), dtype, n, cnp.PyArray_DATA(a), cnp.PyArray_DATA(b), scale, &total, d)
    check(status, "mse_loss")
    return total, da
