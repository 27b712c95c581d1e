"""Convolution, im2col and col2im on arrays in one of the kernels' two memory orders."""

import math

import numpy as np

from libc.stdint cimport int64_t
cimport numpy as cnp

from cconv._runtime cimport (CC_CHANNELS_FIRST, CC_CHANNELS_LAST, Sink, cc_context, cc_dtype, cc_layout, cc_sink, cc_status,
                             cc_window, check, context, dtype_of, new_array, result_array)

from cconv import runtime

cnp.import_array()


cdef extern from "conv/conv.h" nogil:
    ctypedef struct cc_conv:
        int64_t n, ic, oc, groups
        cc_window window
        cc_dtype dtype
        cc_layout x_layout, y_layout
        bint mosaic
    ctypedef enum cc_pass:
        CC_FORWARD
        CC_BACKWARD_DATA
        CC_BACKWARD_WEIGHT
    ctypedef struct cc_epilogue:
        const void *scale
        const void *residual
        bint relu
    cc_status cc_conv_resolve(cc_conv *conv)
    int cc_conv_algo_count()
    const char *cc_conv_algo_name(int algo)
    bint cc_conv_algo_needs_blas(int algo, cc_dtype dtype)
    bint cc_conv_algo_approximate(int algo)
    bint cc_conv_algo_pays(const cc_context *context, int algo, const cc_conv *conv, cc_pass which)
    bint cc_conv_algo_supports(const cc_context *context, int algo, const cc_conv *conv, cc_pass which)
    int cc_conv_algo_choose(const cc_context *context, const cc_conv *conv, cc_pass which)
    cc_status cc_conv_forward(const cc_context *context, int algo, const cc_conv *conv, const void *x, const void *w,
                              const void *b, const cc_epilogue *epilogue, void *y)
    cc_status cc_conv_backward_data(const cc_context *context, int algo, const cc_conv *conv, const void *dy,
                                    const void *w, const void *residual, void *dx)
    cc_status cc_conv_backward_weight(const cc_context *context, int algo, const cc_conv *conv, const void *x,
                                      const void *dy, void *dw)
    cc_status cc_conv_give_weight(const cc_context *context, int algo, const cc_conv *conv, const void *x,
                                  const void *dy, const cc_sink *sink, int64_t begin)
    cc_status cc_conv_add_bias(const cc_context *context, const cc_conv *conv, const void *b, void *dx)
    cc_status cc_conv_backward_bias(const cc_context *context, const cc_conv *conv, const void *dy, void *db)
    cc_status cc_conv_backward_relu(const cc_context *context, const cc_conv *conv, const void *dy, const void *y,
                                    void *dx, void *db)

cdef extern from "im2col/im2col.h" nogil:
    ctypedef struct cc_patches:
        int64_t n, c
        cc_window window
        cc_dtype dtype
        cc_layout layout
    cc_status cc_patches_resolve(cc_patches *patches)
    cc_status cc_im2col(const cc_context *context, const cc_patches *patches, const void *x, void *cols)
    cc_status cc_col2im(const cc_context *context, const cc_patches *patches, const void *cols, void *x)


ALGORITHMS = tuple(cc_conv_algo_name(i).decode() for i in range(cc_conv_algo_count()))
APPROXIMATE = tuple(cc_conv_algo_approximate(i) for i in range(cc_conv_algo_count()))
PASSES = ("forward", "backward_data", "backward_weight")


cdef int fill_window(cc_window *window, tuple input_size, tuple kernel_size, tuple stride, tuple pads,
                     tuple dilation) except -1:
    """Put 1, 2 or 3 spatial axes behind axes of size 1."""
    cdef int rank = len(input_size), axis, i
    if not 1 <= rank <= 3:
        raise ValueError(f"between 1 and 3 spatial axes, got {rank}")
    for axis in range(3):
        i = axis - (3 - rank)
        if i < 0:
            window.input[axis] = window.kernel[axis] = window.stride[axis] = window.dilation[axis] = 1
            window.pad_before[axis] = window.pad_after[axis] = 0
            continue
        try:
            window.input[axis] = input_size[i]
            window.kernel[axis] = kernel_size[i]
            window.stride[axis] = stride[i]
            window.dilation[axis] = dilation[i]
            window.pad_before[axis] = pads[i][0]
            window.pad_after[axis] = pads[i][1]
        except OverflowError:
            raise ValueError(
                f"a size overflows: input size {input_size}, kernel_size {kernel_size}, stride {stride}, "
                f"padding {pads}, dilation {dilation}") from None
    return 0


cdef bint lies_first(cnp.ndarray array):
    return cnp.PyArray_IS_C_CONTIGUOUS(array)


cdef bint lies_last(cnp.ndarray array):
    """Whether (N, C, spatial...) is contiguous in the order (N, spatial..., C)."""
    cdef int rank = cnp.PyArray_NDIM(array), axis
    cdef cnp.npy_intp expected = cnp.PyArray_ITEMSIZE(array)
    cdef cnp.npy_intp *dims = cnp.PyArray_DIMS(array)
    cdef cnp.npy_intp *strides = cnp.PyArray_STRIDES(array)
    if dims[1] != 1 and strides[1] != expected:
        return False
    expected *= dims[1]
    axis = rank - 1
    while axis >= 2:
        if dims[axis] != 1 and strides[axis] != expected:
            return False
        expected *= dims[axis]
        axis -= 1
    return dims[0] == 1 or strides[0] == expected


def memory_order(array):
    """0 for an NCHW-shaped array that lies channels-first, 1 channels-last, first if both; -1 for what
    the kernels cannot take as it is."""
    if not cnp.PyArray_Check(array) or cnp.PyArray_NDIM(array) < 2 or not cnp.PyArray_ISBEHAVED_RO(array):
        return -1
    if lies_first(array):
        return 0
    return 1 if lies_last(array) else -1


cdef class Convolution:
    """One geometry, checked once: shapes, memory orders and the algorithm of every pass.

    Arrays handed to its methods must have exactly the shape, dtype and memory order it was made
    for; `x_shape`, `y_shape`, `w_shape`, `dtype`, `x_channels_last`, `y_channels_last` say which.
    """
    cdef cc_conv conv
    cdef int algo[2][3]  # of every pass, and of every pass in exact mode
    cdef readonly tuple x_shape, y_shape, w_shape
    cdef readonly object dtype
    cdef readonly bint x_channels_last, y_channels_last
    cdef readonly str name

    def __init__(self, int64_t n, int64_t in_channels, int64_t out_channels, int64_t groups, tuple input_size,
                 tuple kernel_size, tuple stride, tuple pads, tuple dilation, dtype, bint x_channels_last=False,
                 bint y_channels_last=False, str algo="auto"):
        cdef int rank = len(input_size), i
        self.dtype = np.dtype(dtype)
        self.conv.n, self.conv.ic, self.conv.oc, self.conv.groups = n, in_channels, out_channels, groups
        self.conv.dtype = dtype_of(np.empty(0, self.dtype))
        self.conv.x_layout = CC_CHANNELS_LAST if x_channels_last else CC_CHANNELS_FIRST
        self.conv.y_layout = CC_CHANNELS_LAST if y_channels_last else CC_CHANNELS_FIRST
        self.x_channels_last, self.y_channels_last = x_channels_last, y_channels_last
        fill_window(&self.conv.window, input_size, kernel_size, stride, pads, dilation)
        self.name = algo
        self.x_shape = (n, in_channels, *input_size)
        self.w_shape = (out_channels, in_channels // groups if groups > 0 else 0, *kernel_size)
        check(cc_conv_resolve(&self.conv), f"conv of x {self.x_shape} with weight {self.w_shape}, stride {stride}, "
              f"padding {pads}, dilation {dilation}, groups {groups}")
        self.y_shape = (n, out_channels, *[self.conv.window.output[i] for i in range(3 - rank, 3)])
        if algo != "auto" and algo not in ALGORITHMS:
            raise ValueError(f"algo must be 'auto' or one of {', '.join(ALGORITHMS)}, got {algo!r}")
        for i in range(3):
            self.algo[0][i] = self.algo[1][i] = -1

    cdef int algo_for(self, cc_pass which) except -1:
        cdef bint exact = context().exact
        cdef int index = self.algo[exact][<int>which]
        if index >= 0:
            return index
        if self.name == "auto":
            index = cc_conv_algo_choose(context(), &self.conv, which)
        else:
            index = ALGORITHMS.index(self.name)
            if not cc_conv_algo_supports(context(), index, &self.conv, which):
                raise ValueError(f"algo {self.name!r} cannot do {PASSES[<int>which]} of {self.describe()}")
        if cc_conv_algo_needs_blas(index, self.conv.dtype):
            runtime.load_blas()
        if runtime.verbose:
            runtime.say(f"conv {PASSES[<int>which]} of {self.describe()}: {self.choice(index, which)}")
        self.algo[exact][<int>which] = index
        return index

    cdef str choice(self, int index, cc_pass which):
        """The algorithm, why none before it, and which would be next."""
        cdef int i
        if self.name != "auto":
            return f"{ALGORITHMS[index]}, as asked"
        notes = []
        for i in range(index):
            if not cc_conv_algo_supports(context(), i, &self.conv, which):
                notes.append(f"{ALGORITHMS[i]} does not fit")
            else:
                notes.append(f"{ALGORITHMS[i]} {'is not exact' if APPROXIMATE[i] and context().exact else 'does not pay'}")
        for i in range(index + 1, len(ALGORITHMS)):
            if cc_conv_algo_pays(context(), i, &self.conv, which) or i == len(ALGORITHMS) - 1:
                notes.append(f"next {ALGORITHMS[i]}")
                break
        return f"{ALGORITHMS[index]} ({', '.join(notes)})"

    def describe(self):
        """The geometry in a line, for messages."""
        cdef cc_window *w = &self.conv.window
        rank = len(self.x_shape) - 2
        stride, dilation = list(w.stride)[3 - rank:], list(w.dilation)[3 - rank:]
        pads = list(zip(list(w.pad_before)[3 - rank:], list(w.pad_after)[3 - rank:]))
        order = "channels-last" if self.x_channels_last else "channels-first"
        return (f"x {self.x_shape} ({self.dtype}, {order}), weight {self.w_shape}, stride {tuple(stride)}, "
                f"padding {tuple(pads)}, dilation {tuple(dilation)}, groups {self.conv.groups}")

    def algorithm(self, str which):
        """Name of the algorithm that does the pass."""
        return ALGORITHMS[self.algo_for(<cc_pass><int>PASSES.index(which))]

    def runner_up(self, str which):
        """Name of the algorithm that `auto` would take next, or takes where another was asked for; None without."""
        cdef int number = PASSES.index(which), index = self.algo_for(<cc_pass>number), i
        cdef int auto = cc_conv_algo_choose(context(), &self.conv, <cc_pass>number)
        if auto != index:
            return ALGORITHMS[auto]
        for i in range(cc_conv_algo_count()):
            if (i != index and cc_conv_algo_supports(context(), i, &self.conv, <cc_pass>number)
                    and (i == cc_conv_algo_count() - 1 or cc_conv_algo_pays(context(), i, &self.conv, <cc_pass>number))):
                return ALGORITHMS[i]
        return None

    def algorithms(self, str which):
        """Names of all that can do the pass, in order of preference."""
        cdef int i, number = PASSES.index(which)
        return [ALGORITHMS[i] for i in range(cc_conv_algo_count())
                if cc_conv_algo_supports(context(), i, &self.conv, <cc_pass>number)]

    cdef void *data(self, array, str name, tuple shape, bint channels_last) except? NULL:
        cdef cnp.ndarray a
        if not cnp.PyArray_Check(array):
            raise TypeError(f"{name} must be an array, got {type(array).__name__}")
        a = array
        if (<object>a).shape != shape:
            raise ValueError(f"{name} must have shape {shape}, got {(<object>a).shape}")
        if dtype_of(a) != self.conv.dtype or not cnp.PyArray_ISBEHAVED_RO(a):
            raise TypeError(f"{name} must be {self.dtype}, native and aligned, got {a.dtype}")
        if not (lies_last(a) if channels_last else lies_first(a)) and a.size != 0:
            raise ValueError(f"{name} must be contiguous, channels-{'last' if channels_last else 'first'}")
        return cnp.PyArray_DATA(a)

    cdef void *output(self, array, str name, tuple shape, bint channels_last) except? NULL:
        cdef void *pointer = self.data(array, name, shape, channels_last)
        if not cnp.PyArray_ISWRITEABLE(array):
            raise ValueError(f"{name} is read-only")
        return pointer

    cdef bint takes(self, array, tuple shape, bint channels_last) except -1:
        cdef cnp.ndarray a
        if not cnp.PyArray_Check(array):
            return False
        a = array
        return ((<object>a).shape == shape and (<object>a).dtype == self.dtype and cnp.PyArray_ISBEHAVED_RO(a)
                and (lies_last(a) if channels_last else lies_first(a)))

    def takes_dy(self, dy):
        """Whether `dy` can be handed over as it is."""
        return self.takes(dy, self.y_shape, self.y_channels_last)

    def takes_dx(self, dx):
        """Whether an array like dx can be handed over as it is."""
        return self.takes(dx, self.x_shape, self.x_channels_last)

    def forward(self, x, weight, bias=None, residual=None, bint relu=False, scale=None, out=None, bint mosaic=False):
        """y = conv(x, weight) * scale + bias, then + residual, then relu; in `out` where it fits, else a new array. scale
        has a value a channel; with `mosaic` images may share tiles, and rounding errors (conv/conv.h)."""
        cdef cc_epilogue epilogue
        cdef cc_conv conv = self.conv
        conv.mosaic = mosaic
        cdef int algo = self.algo_for(CC_FORWARD)
        cdef void *x_data = self.data(x, "x", self.x_shape, self.x_channels_last)
        cdef void *w_data = self.data(weight, "weight", self.w_shape, False)
        cdef void *b_data = NULL
        cdef cc_status status
        if bias is not None:
            b_data = self.data(bias, "bias", (self.conv.oc,), False)
        epilogue.relu = relu
        epilogue.scale = NULL
        if scale is not None:
            epilogue.scale = self.data(scale, "scale", (self.conv.oc,), False)
        epilogue.residual = NULL
        if residual is not None:
            epilogue.residual = self.data(residual, "residual", self.y_shape, self.y_channels_last)
        cdef cnp.ndarray y = result_array(out, self.y_shape, self.dtype.num, self.y_channels_last)
        cdef void *y_data = cnp.PyArray_DATA(y)
        with nogil:
            status = cc_conv_forward(context(), algo, &conv, x_data, w_data, b_data, &epilogue, y_data)
        check(status, "conv forward")
        return y

    def backward_data(self, dy, weight, residual=None, bias=None, out=None, bint mosaic=False):
        """dx + residual + bias (in_channels,), in `out` where it fits, else a new array; `mosaic` as in forward."""
        cdef cc_conv conv = self.conv
        conv.mosaic = mosaic
        cdef int algo = self.algo_for(CC_BACKWARD_DATA)
        cdef void *dy_data = self.data(dy, "dy", self.y_shape, self.y_channels_last)
        cdef void *w_data = self.data(weight, "weight", self.w_shape, False)
        cdef void *r_data = NULL
        cdef void *b_data = NULL
        cdef cc_status status
        if residual is not None:
            r_data = self.data(residual, "residual", self.x_shape, self.x_channels_last)
        if bias is not None:
            b_data = self.data(bias, "bias", (self.conv.ic,), False)
        cdef cnp.ndarray dx = result_array(out, self.x_shape, self.dtype.num, self.x_channels_last)
        cdef void *dx_data = cnp.PyArray_DATA(dx)
        with nogil:
            status = cc_conv_backward_data(context(), algo, &conv, dy_data, w_data, r_data, dx_data)
            if status == 0 and b_data != NULL:
                status = cc_conv_add_bias(context(), &self.conv, b_data, dx_data)
        check(status, "conv backward_data")
        return dx

    def backward_weight(self, x, dy, dw):
        """Add the weight gradient to dw, or let it take the gradient where it is a Sink."""
        cdef int algo = self.algo_for(CC_BACKWARD_WEIGHT)
        cdef void *x_data = self.data(x, "x", self.x_shape, self.x_channels_last)
        cdef void *dy_data = self.data(dy, "dy", self.y_shape, self.y_channels_last)
        cdef Sink sink = dw if isinstance(dw, Sink) else None
        cdef void *dw_data = self.output(dw, "dw", self.w_shape, False) if sink is None else NULL
        cdef cc_status status
        if sink is not None:
            sink.claim(math.prod(self.w_shape), self.conv.dtype)
        with nogil:
            if dw_data != NULL:
                status = cc_conv_backward_weight(context(), algo, &self.conv, x_data, dy_data, dw_data)
            else:
                status = cc_conv_give_weight(context(), algo, &self.conv, x_data, dy_data, sink.sink, sink.begin)
        check(status, "conv backward_weight")

    def backward_bias(self, dy, db):
        """Add the sum of dy over everything but channels to db."""
        cdef void *dy_data = self.data(dy, "dy", self.y_shape, self.y_channels_last)
        cdef void *db_data = self.output(db, "db", (self.conv.oc,), False)
        cdef cc_status status
        with nogil:
            status = cc_conv_backward_bias(context(), &self.conv, dy_data, db_data)
        check(status, "conv backward_bias")

    def backward_relu(self, dy, y, db):
        """dy where y > 0 and else 0, a new array, whose sum over everything but channels is added to db."""
        cdef void *dy_data = self.data(dy, "dy", self.y_shape, self.y_channels_last)
        cdef void *y_data = self.data(y, "y", self.y_shape, self.y_channels_last)
        cdef void *db_data = self.output(db, "db", (self.conv.oc,), False)
        cdef cc_status status
        cdef cnp.ndarray dx = new_array(self.y_shape, self.dtype.num, self.y_channels_last)
        cdef void *dx_data = cnp.PyArray_DATA(dx)
        with nogil:
            status = cc_conv_backward_relu(context(), &self.conv, dy_data, y_data, dx_data, db_data)
        check(status, "conv backward_relu")
        return dx


cdef int fill_patches(cc_patches *patches, tuple shape, cnp.ndarray array, bint channels_last, tuple kernel_size,
                      tuple stride, tuple pads, tuple dilation) except -1:
    patches.n, patches.c = shape[0], shape[1]
    patches.dtype = dtype_of(array)
    patches.layout = CC_CHANNELS_LAST if channels_last else CC_CHANNELS_FIRST
    fill_window(&patches.window, shape[2:], kernel_size, stride, pads, dilation)
    return check(cc_patches_resolve(patches), f"x {shape}, kernel_size {kernel_size}, stride {stride}, "
                 f"padding {pads}, dilation {dilation}")


def im2col(cnp.ndarray x, tuple kernel_size, tuple stride, tuple pads, tuple dilation, out=None):
    """Columns of x (N, C, spatial...), which lies in one of the two memory orders."""
    cdef cc_patches patches
    cdef cc_status status
    cdef int order = memory_order(x)
    if order < 0:
        raise ValueError("x must be contiguous, channels-first or channels-last")
    fill_patches(&patches, (<object>x).shape, x, order == 1, kernel_size, stride, pads, dilation)
    cdef cc_window *w = &patches.window
    cdef int64_t rows = patches.c * w.kernel[0] * w.kernel[1] * w.kernel[2]
    cdef cnp.ndarray cols = result_array(out, (patches.n, rows, w.output[0] * w.output[1] * w.output[2]),
                                      cnp.PyArray_TYPE(x), False)
    with nogil:
        status = cc_im2col(context(), &patches, cnp.PyArray_DATA(x), cnp.PyArray_DATA(cols))
    check(status, "im2col")
    return cols


def col2im(cnp.ndarray cols, tuple shape, tuple kernel_size, tuple stride, tuple pads, tuple dilation, out=None):
    """The x of `shape` (N, C, spatial...) that `cols` adds up to, channels-first."""
    cdef cc_patches patches
    cdef cc_status status
    fill_patches(&patches, shape, cols, False, kernel_size, stride, pads, dilation)
    cdef cc_window *w = &patches.window
    expected = (patches.n, patches.c * w.kernel[0] * w.kernel[1] * w.kernel[2],
                w.output[0] * w.output[1] * w.output[2])
    if (<object>cols).shape != expected:
        raise ValueError(f"cols must have shape {expected}, got {(<object>cols).shape}")
    if not lies_first(cols):
        raise ValueError("cols must be contiguous")
    cdef cnp.ndarray x = result_array(out, shape, cnp.PyArray_TYPE(cols), False)
    with nogil:
        status = cc_col2im(context(), &patches, cnp.PyArray_DATA(cols), cnp.PyArray_DATA(x))
    check(status, "col2im")
    return x
