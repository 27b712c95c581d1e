"""Batch norm on arrays in one of the two memory orders; statistics in double."""

from libc.stdint cimport int64_t
cimport numpy as cnp

from cconv._runtime cimport (CC_CHANNELS_FIRST, CC_CHANNELS_LAST, cc_context, cc_dtype, cc_layout, cc_status, check,
                             context, dtype_of, new_array, result_array)

cnp.import_array()


cdef extern from "norm/norm.h" nogil:
    ctypedef struct cc_norm:
        int64_t n
        int64_t c
        int64_t spatial
        cc_dtype dtype
        cc_layout layout
        bint relu
        int64_t spacing
    cc_status cc_norm_forward(const cc_context *context, const cc_norm *norm, double eps, const void *x,
                              const void *weight, const void *bias, const void *residual, void *y, double *mean,
                              double *var, double *rstd)
    cc_status cc_norm_inference(const cc_context *context, const cc_norm *norm, double eps, const void *x,
                                const double *mean, const double *var, const void *weight, const void *bias,
                                const void *residual, void *y)
    void cc_norm_track(cc_dtype dtype, int64_t c, const double *mean, const double *var, double share,
                       double correction, void *running_mean, void *running_var)
    cc_status cc_norm_backward(const cc_context *context, const cc_norm *norm, bint fixed, const void *dy,
                               const void *x, const void *y, const double *mean, const double *rstd,
                               const void *weight, const void *bias, void *dx, void *dresidual, void *dweight,
                               void *dbias)


cdef inline void *data(cnp.ndarray array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(array)


cdef inline tuple shape_of(cnp.ndarray x):
    return (<object>x).shape


cdef cc_norm describe(cnp.ndarray x, bint channels_last, bint relu, int64_t spacing=0) except *:
    cdef cc_norm norm
    cdef int axis
    norm.n = cnp.PyArray_DIM(x, 0)
    norm.c = cnp.PyArray_DIM(x, 1)
    norm.spatial = 1
    for axis in range(2, cnp.PyArray_NDIM(x)):
        norm.spatial *= cnp.PyArray_DIM(x, axis)
    norm.dtype = dtype_of(x)
    norm.layout = CC_CHANNELS_LAST if channels_last else CC_CHANNELS_FIRST
    norm.relu = relu
    norm.spacing = spacing
    return norm


def forward(cnp.ndarray x not None, bint channels_last, cnp.ndarray weight, cnp.ndarray bias, double eps,
            bint relu=False, cnp.ndarray residual=None, cnp.ndarray out=None, int64_t spacing=0):
    """(y, mean, var, rstd); the statistics are float64. `residual` lies like x; y is `out`, whose positions are `spacing`
    values apart, where it is given."""
    cdef cc_norm norm = describe(x, channels_last, relu, spacing)
    cdef cnp.ndarray y = new_array(shape_of(x), cnp.PyArray_TYPE(x), channels_last) if out is None else out
    cdef cnp.ndarray mean = new_array((norm.c,), cnp.NPY_FLOAT64, False)
    cdef cnp.ndarray var = new_array((norm.c,), cnp.NPY_FLOAT64, False)
    cdef cnp.ndarray rstd = new_array((norm.c,), cnp.NPY_FLOAT64, False)
    cdef void *w = data(weight)
    cdef void *b = data(bias)
    cdef void *r = data(residual)
    cdef cc_status status
    with nogil:
        status = cc_norm_forward(context(), &norm, eps, cnp.PyArray_DATA(x), w, b, r, cnp.PyArray_DATA(y),
                                 <double *>cnp.PyArray_DATA(mean), <double *>cnp.PyArray_DATA(var),
                                 <double *>cnp.PyArray_DATA(rstd))
    check(status, "batch_norm_forward")
    return y, mean, var, rstd


def inference(cnp.ndarray x not None, bint channels_last, cnp.ndarray mean not None, cnp.ndarray var not None,
              cnp.ndarray weight, cnp.ndarray bias, double eps, bint relu=False, cnp.ndarray residual=None, out=None):
    """y; `mean` and `var` are float64."""
    cdef cc_norm norm = describe(x, channels_last, relu)
    cdef cnp.ndarray y = result_array(out, shape_of(x), cnp.PyArray_TYPE(x), channels_last)
    cdef void *w = data(weight)
    cdef void *b = data(bias)
    cdef void *r = data(residual)
    cdef cc_status status
    with nogil:
        status = cc_norm_inference(context(), &norm, eps, cnp.PyArray_DATA(x), <double *>cnp.PyArray_DATA(mean),
                                   <double *>cnp.PyArray_DATA(var), w, b, r, cnp.PyArray_DATA(y))
    check(status, "batch_norm_inference")
    return y


def track(cnp.ndarray running_mean not None, cnp.ndarray running_var not None, cnp.ndarray mean not None,
          cnp.ndarray var not None, double share, double correction):
    """Move the running statistics in place towards a batch's, which are float64. False, and nothing is done, where they
    are not both contiguous arrays of as many values in one of the kernels' dtypes."""
    cdef cnp.ndarray running
    cdef int kind = cnp.PyArray_TYPE(running_mean)
    for running in (running_mean, running_var):
        if (cnp.PyArray_TYPE(running) != kind or not cnp.PyArray_ISCARRAY(running)
                or cnp.PyArray_SIZE(running) != cnp.PyArray_SIZE(mean)):
            return False
    if kind != cnp.NPY_FLOAT32 and kind != cnp.NPY_FLOAT64:
        return False
    cc_norm_track(dtype_of(running_mean), cnp.PyArray_SIZE(mean), <double *>cnp.PyArray_DATA(mean),
                  <double *>cnp.PyArray_DATA(var), share, correction, cnp.PyArray_DATA(running_mean),
                  cnp.PyArray_DATA(running_var))
    return True


def backward(cnp.ndarray dy not None, cnp.ndarray x not None, bint channels_last, cnp.ndarray mean not None,
             cnp.ndarray rstd not None, cnp.ndarray weight, cnp.ndarray bias, cnp.ndarray dweight,
             cnp.ndarray dbias, bint relu=False, bint fixed=False, cnp.ndarray y=None, bint want_dresidual=False,
             int64_t spacing=0):
    """(dx, dresidual or None); adds into `dweight` and `dbias` where given. `y` is the output, needed where ReLU
    followed a residual. The positions of dy and y are `spacing` values apart, unless 0."""
    cdef cc_norm norm = describe(x, channels_last, relu, spacing)
    cdef cnp.ndarray dx = new_array(shape_of(x), cnp.PyArray_TYPE(x), channels_last)
    cdef cnp.ndarray dresidual = None
    if want_dresidual:
        dresidual = new_array(shape_of(x), cnp.PyArray_TYPE(x), channels_last)
    cdef void *w = data(weight)
    cdef void *b = data(bias)
    cdef void *dw = data(dweight)
    cdef void *db = data(dbias)
    cdef void *mask = data(y)
    cdef void *dr = data(dresidual)
    cdef cc_status status
    with nogil:
        status = cc_norm_backward(context(), &norm, fixed, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(x), mask,
                                  <double *>cnp.PyArray_DATA(mean), <double *>cnp.PyArray_DATA(rstd), w, b,
                                  cnp.PyArray_DATA(dx), dr, dw, db)
    check(status, "batch_norm_backward")
    return dx, dresidual
