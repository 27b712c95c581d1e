"""Elementwise maps and dropout on arrays in one of the two memory orders."""

from libc.stdint cimport int64_t, uint64_t
cimport numpy as cnp

from cconv._runtime cimport (CC_CHANNELS_FIRST, CC_CHANNELS_LAST, cc_context, cc_dtype, cc_layout, cc_status, check,
                             context, dtype_of, new_array, result_array)

cnp.import_array()


cdef extern from "eltwise/eltwise.h" nogil:
    ctypedef enum cc_activation:
        CC_RELU
        CC_LEAKY_RELU
        CC_HARDTANH
        CC_HARDSIGMOID
        CC_HARDSWISH
        CC_THRESHOLD
        CC_SOFTSIGN
        CC_SIGMOID
        CC_LOG_SIGMOID
        CC_TANH
        CC_SCALED_TANH
        CC_ELU
        CC_SELU
        CC_CELU
        CC_GELU
        CC_GELU_TANH
        CC_SILU
        CC_MISH
        CC_SOFTPLUS
    cc_status cc_activation_forward(const cc_context *context, cc_activation kind, double alpha, double beta,
                                    cc_dtype dtype, int64_t n, const void *x, void *y)
    cc_status cc_activation_backward(const cc_context *context, cc_activation kind, double alpha, double beta,
                                     cc_dtype dtype, int64_t n, const void *dy, const void *x, void *dx)
    cc_status cc_eltwise_add(const cc_context *context, cc_dtype dtype, int64_t n, const void *a, const void *b,
                             void *y)
    ctypedef struct cc_dropout:
        int64_t n
        int64_t c
        int64_t spatial
        cc_dtype dtype
        cc_layout layout
        double p
        uint64_t seed
        uint64_t call
        bint per_channel
    cc_status cc_dropout_apply(const cc_context *context, const cc_dropout *dropout, const void *x, void *y)
    cc_status cc_rows_copy(const cc_context *context, int64_t rows, int64_t bytes, const void *source,
                           int64_t step_from, void *to, int64_t step_to)
    cc_status cc_reorder(const cc_context *context, cc_dtype dtype, int64_t n, int64_t rows, int64_t columns,
                         const void *x, void *y)
    ctypedef struct cc_shortcut:
        int64_t n
        int64_t channels
        int64_t out_channels
        int64_t height
        int64_t width
        int64_t stride
        cc_dtype dtype
        cc_layout layout
    cc_status cc_shortcut_forward(const cc_context *context, const cc_shortcut *shortcut, const void *x, void *y)
    cc_status cc_shortcut_backward(const cc_context *context, const cc_shortcut *shortcut, const void *dy, void *dx)


cdef extern from "eltwise/pad.h" nogil:
    ctypedef struct cc_pad_axis:
        int64_t size
        int64_t padded
        const int64_t *source
    ctypedef struct cc_padding:
        int axes
        cc_pad_axis axis[8]
        int64_t outer
        int64_t inner
        cc_dtype dtype
    cc_status cc_pad_forward(const cc_context *context, const cc_padding *padding, const void *x, double value, void *y)
    cc_status cc_pad_backward(const cc_context *context, const cc_padding *padding, const void *dy, void *dx)


RELU, LEAKY_RELU, HARDTANH, HARDSIGMOID, HARDSWISH = CC_RELU, CC_LEAKY_RELU, CC_HARDTANH, CC_HARDSIGMOID, CC_HARDSWISH
THRESHOLD, SOFTSIGN, SIGMOID, LOG_SIGMOID, TANH = CC_THRESHOLD, CC_SOFTSIGN, CC_SIGMOID, CC_LOG_SIGMOID, CC_TANH
SCALED_TANH, ELU, SELU, CELU, GELU, GELU_TANH = CC_SCALED_TANH, CC_ELU, CC_SELU, CC_CELU, CC_GELU, CC_GELU_TANH
SILU, MISH, SOFTPLUS = CC_SILU, CC_MISH, CC_SOFTPLUS


# An uninitialised array like x, which is C-contiguous or else channels-last; `out` where it is one.
cdef inline cnp.ndarray new_like(cnp.ndarray x, out=None):
    return result_array(out, (<object>x).shape, cnp.PyArray_TYPE(x), not cnp.PyArray_IS_C_CONTIGUOUS(x))


def activation(cnp.ndarray x not None, int kind, double alpha=0, double beta=0, out=None):
    cdef cnp.ndarray y = new_like(x, out)
    cdef cc_dtype dtype = dtype_of(x)
    cdef int64_t n = cnp.PyArray_SIZE(x)
    cdef cc_status status
    with nogil:
        status = cc_activation_forward(context(), <cc_activation>kind, alpha, beta, dtype, n, cnp.PyArray_DATA(x),
                                       cnp.PyArray_DATA(y))
    check(status, "activation")
    return y


def activation_backward(cnp.ndarray dy not None, cnp.ndarray x not None, int kind, double alpha=0, double beta=0,
                        out=None):
    """dx; `dy` lies in memory as `x` does."""
    cdef cnp.ndarray dx = new_like(x, out)
    cdef cc_dtype dtype = dtype_of(x)
    cdef int64_t n = cnp.PyArray_SIZE(x)
    cdef cc_status status
    with nogil:
        status = cc_activation_backward(context(), <cc_activation>kind, alpha, beta, dtype, n, cnp.PyArray_DATA(dy),
                                        cnp.PyArray_DATA(x), cnp.PyArray_DATA(dx))
    check(status, "activation_backward")
    return dx


def add(cnp.ndarray a not None, cnp.ndarray b not None):
    """a + b; same shape, dtype and memory order."""
    cdef cnp.ndarray y = new_like(a)
    cdef cc_dtype dtype = dtype_of(a)
    cdef int64_t n = cnp.PyArray_SIZE(a)
    cdef cc_status status
    with nogil:
        status = cc_eltwise_add(context(), dtype, n, cnp.PyArray_DATA(a), cnp.PyArray_DATA(b), cnp.PyArray_DATA(y))
    check(status, "add")
    return y


def copy_positions(cnp.ndarray x not None, int64_t spacing_x, cnp.ndarray y not None, int64_t spacing_y):
    """Copy x to y of the same shape and dtype: channels-last, the positions so many values apart."""
    cdef int64_t size = cnp.PyArray_ITEMSIZE(x), channels = cnp.PyArray_DIM(x, 1)
    cdef int64_t positions = cnp.PyArray_SIZE(x) // max(channels, 1)
    cdef cc_status status
    with nogil:
        status = cc_rows_copy(context(), positions, channels * size, cnp.PyArray_DATA(x), spacing_x * size,
                              cnp.PyArray_DATA(y), spacing_y * size)
    check(status, "copy")


def reorder(cnp.ndarray x not None, bint channels_last, out=None):
    """A copy of x (N, C, spatial...), which lies in one memory order, in the other: channels-last if asked. In `out`, which
    does not overlap x, where it lies so."""
    cdef int64_t n = cnp.PyArray_DIM(x, 0), channels = cnp.PyArray_DIM(x, 1), spatial = 1
    cdef cnp.ndarray y = result_array(out, (<object>x).shape, cnp.PyArray_TYPE(x), channels_last)
    cdef cc_dtype dtype = dtype_of(x)
    cdef cc_status status
    cdef int axis
    for axis in range(2, cnp.PyArray_NDIM(x)):
        spatial *= cnp.PyArray_DIM(x, axis)
    if not channels_last:
        channels, spatial = spatial, channels
    with nogil:
        status = cc_reorder(context(), dtype, n, channels, spatial, cnp.PyArray_DATA(x), cnp.PyArray_DATA(y))
    check(status, "reorder")
    return y


cdef cc_padding describe_padding(cnp.ndarray array, int64_t outer, list sizes, list sources, int64_t inner) except *:
    """At most 8 axes; the sources are contiguous int64 arrays, which must outlive it."""
    cdef cc_padding padding
    cdef int axis
    padding.axes, padding.outer, padding.inner, padding.dtype = len(sizes), outer, inner, dtype_of(array)
    for axis in range(padding.axes):
        padding.axis[axis].size, padding.axis[axis].padded = sizes[axis], len(sources[axis])
        padding.axis[axis].source = <const int64_t *>cnp.PyArray_DATA(<cnp.ndarray?>sources[axis])
    return padding


def pad(cnp.ndarray x not None, cnp.ndarray y not None, int64_t outer, list sizes, list sources, int64_t inner,
        double value):
    """y = x, seen as (outer, sizes..., inner), with each of these axes made of the `sources` in it, or of `value`."""
    cdef cc_padding padding = describe_padding(x, outer, sizes, sources, inner)
    cdef cc_status status
    with nogil:
        status = cc_pad_forward(context(), &padding, cnp.PyArray_DATA(x), value, cnp.PyArray_DATA(y))
    check(status, "pad")


def pad_backward(cnp.ndarray dy not None, cnp.ndarray dx not None, int64_t outer, list sizes, list sources,
                 int64_t inner):
    """Its gradient."""
    cdef cc_padding padding = describe_padding(dy, outer, sizes, sources, inner)
    cdef cc_status status
    with nogil:
        status = cc_pad_backward(context(), &padding, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(dx))
    check(status, "pad_backward")


def dropout(cnp.ndarray x not None, double p, uint64_t seed, uint64_t call, bint per_channel, out=None):
    """x / (1 - p) where the hash of (seed, call, index) keeps it, else 0. The backward pass is the same of dy."""
    cdef cnp.ndarray y = new_like(x, out)
    cdef cc_dropout d
    cdef int axis, rank = cnp.PyArray_NDIM(x)
    cdef cc_status status
    d.n = cnp.PyArray_DIM(x, 0) if rank > 1 else 1
    d.c = cnp.PyArray_DIM(x, 1) if rank > 1 else cnp.PyArray_SIZE(x)
    d.spatial = 1
    for axis in range(2, rank):
        d.spatial *= cnp.PyArray_DIM(x, axis)
    d.dtype = dtype_of(x)
    d.layout = CC_CHANNELS_FIRST if cnp.PyArray_IS_C_CONTIGUOUS(x) else CC_CHANNELS_LAST
    d.p, d.seed, d.call, d.per_channel = p, seed, call, per_channel
    with nogil:
        status = cc_dropout_apply(context(), &d, cnp.PyArray_DATA(x), cnp.PyArray_DATA(y))
    check(status, "dropout")
    return y


cdef cc_shortcut describe_shortcut(cnp.ndarray x, tuple input_shape, tuple output_shape, int64_t stride,
                                   bint channels_last) except *:
    cdef cc_shortcut s
    s.n, s.channels, s.height, s.width = input_shape
    s.out_channels, s.stride, s.dtype = output_shape[1], stride, dtype_of(x)
    s.layout = CC_CHANNELS_LAST if channels_last else CC_CHANNELS_FIRST
    return s


def shortcut(cnp.ndarray x not None, tuple output_shape, int64_t stride, bint channels_last):
    """x at every `stride`-th line and column, with zeros for the channels it does not have."""
    cdef cc_shortcut s = describe_shortcut(x, (<object>x).shape, output_shape, stride, channels_last)
    cdef cnp.ndarray y = new_array(output_shape, cnp.PyArray_TYPE(x), channels_last)
    cdef cc_status status
    with nogil:
        status = cc_shortcut_forward(context(), &s, cnp.PyArray_DATA(x), cnp.PyArray_DATA(y))
    check(status, "shortcut")
    return y


def shortcut_backward(cnp.ndarray dy not None, tuple input_shape, int64_t stride, bint channels_last):
    cdef cc_shortcut s = describe_shortcut(dy, input_shape, (<object>dy).shape, stride, channels_last)
    cdef cnp.ndarray dx = new_array(input_shape, cnp.PyArray_TYPE(dy), channels_last)
    cdef cc_status status
    with nogil:
        status = cc_shortcut_backward(context(), &s, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(dx))
    check(status, "shortcut_backward")
    return dx
