"""Binding of pool/pool.h: one prepared geometry, and the passes over it."""

from libc.stdint cimport int64_t, uint8_t
cimport numpy as cnp

from cconv._runtime cimport (
    CC_CHANNELS_FIRST, CC_CHANNELS_LAST, CC_F32, CC_F64, cc_context, cc_dtype, cc_layout, cc_status, cc_window,
    check, context, new_array, result_array,
)

cnp.import_array()


cdef extern from "pool/pool.h" nogil:
    ctypedef struct cc_pooling:
        int64_t n
        int64_t c
        cc_window window
        cc_dtype dtype
        cc_layout layout
        bint ceil_mode
        bint adaptive
        bint count_include_pad
        int64_t divisor
    enum:
        CC_POOL_MAX_PLACES
    cc_status cc_pooling_resolve(cc_pooling *pooling)
    cc_status cc_max_pool_forward(const cc_context *context, const cc_pooling *pooling, const void *x, void *y,
                                  uint8_t *places, int64_t *indices)
    cc_status cc_max_pool_backward(const cc_context *context, const cc_pooling *pooling, const void *dy,
                                   const uint8_t *places, void *dx)
    cc_status cc_average_pool_forward(const cc_context *context, const cc_pooling *pooling, const void *x, void *y)
    cc_status cc_average_pool_backward(const cc_context *context, const cc_pooling *pooling, const void *dy,
                                       void *dx)
    cc_status cc_max_pool_backward_indices(const cc_context *context, const cc_pooling *pooling, const void *dy,
                                           const int64_t *indices, void *dx)
    cc_status cc_max_unpool_forward(const cc_context *context, const cc_pooling *pooling, const void *x,
                                    const int64_t *indices, void *y)
    cc_status cc_max_unpool_backward(const cc_context *context, const cc_pooling *pooling, const void *dy,
                                     const int64_t *indices, void *dx)

ctypedef cc_status (*by_indices)(const cc_context *, const cc_pooling *, const void *, const int64_t *,
                                 void *) noexcept nogil

MAX_PLACES = CC_POOL_MAX_PLACES


cdef class Pooling:
    """A pooling of arrays of one shape, dtype and memory order; immutable, so threads may share it.

    Sliding windows are given by `kernel` and what follows it, adaptive ones by `output`; without both it
    only fits passes by indices, between the spatial sizes of `input_shape` and `output`.
    """

    cdef cc_pooling pooling
    cdef int rank, type_number
    cdef bint channels_last
    cdef readonly tuple input_shape, output_shape
    cdef str name

    def __init__(self, str name, tuple input_shape, int type_number, bint channels_last, *, output=None, kernel=None,
                 stride=None, pads=None, dilation=None, bint ceil_mode=False, bint count_include_pad=True,
                 int64_t divisor=0):
        cdef int axis, i
        cdef cc_window *window = &self.pooling.window
        self.rank = len(input_shape) - 2
        if not 1 <= self.rank <= 3:
            raise ValueError(f"{name}: 3 to 5 axes, got shape {input_shape}")
        if type_number != cnp.NPY_FLOAT32 and type_number != cnp.NPY_FLOAT64:
            raise TypeError(f"{name}: float32 or float64 arrays only")
        self.name = name
        self.input_shape = input_shape
        self.type_number = type_number
        self.channels_last = channels_last
        self.pooling.n, self.pooling.c = input_shape[0], input_shape[1]
        self.pooling.dtype = CC_F32 if type_number == cnp.NPY_FLOAT32 else CC_F64
        self.pooling.layout = CC_CHANNELS_LAST if channels_last else CC_CHANNELS_FIRST
        self.pooling.ceil_mode = ceil_mode
        self.pooling.adaptive = kernel is None
        self.pooling.count_include_pad = count_include_pad
        self.pooling.divisor = divisor
        for axis in range(3):
            i = axis - (3 - self.rank)
            window.input[axis] = input_shape[2 + i] if i >= 0 else 1
            window.output[axis] = output[i] if i >= 0 and output is not None else 1
            window.kernel[axis] = kernel[i] if i >= 0 and kernel is not None else 1
            window.stride[axis] = stride[i] if i >= 0 and stride is not None else 1
            window.dilation[axis] = dilation[i] if i >= 0 and dilation is not None else 1
            window.pad_before[axis] = pads[i][0] if i >= 0 and pads is not None else 0
            window.pad_after[axis] = pads[i][1] if i >= 0 and pads is not None else 0
        check(cc_pooling_resolve(&self.pooling), name)
        self.output_shape = input_shape[:2] + tuple([window.output[3 - self.rank + i] for i in range(self.rank)])

    cdef bint _fits(self, cnp.ndarray array, int type_number, const int64_t *spatial) noexcept:
        """Whether `array` has (n, c, *spatial) elements in this memory order."""
        cdef cnp.npy_intp expected = array.itemsize
        cdef cnp.npy_intp size
        cdef int step, axis
        if cnp.PyArray_NDIM(array) != self.rank + 2 or cnp.PyArray_TYPE(array) != type_number:
            return False
        if not cnp.PyArray_ISALIGNED(array) or not cnp.PyArray_ISNOTSWAPPED(array):
            return False
        for axis in range(self.rank + 2):
            size = (self.pooling.n if axis == 0 else self.pooling.c if axis == 1
                    else spatial[axis - 2 + 3 - self.rank])
            if cnp.PyArray_DIM(array, axis) != size:
                return False
        if cnp.PyArray_SIZE(array) == 0:
            return True
        for step in range(self.rank + 2):  # the fastest axis first
            if self.channels_last:
                axis = 1 if step == 0 else 0 if step == self.rank + 1 else self.rank + 2 - step
            else:
                axis = self.rank + 1 - step
            if cnp.PyArray_DIM(array, axis) > 1 and cnp.PyArray_STRIDE(array, axis) != expected:
                return False
            expected *= cnp.PyArray_DIM(array, axis)
        return True

    def fits_input(self, array):
        return isinstance(array, cnp.ndarray) and self._fits(array, self.type_number, self.pooling.window.input)

    def fits_output(self, array):
        return isinstance(array, cnp.ndarray) and self._fits(array, self.type_number, self.pooling.window.output)

    cdef int _need(self, cnp.ndarray array, int type_number, bint is_output) except -1:
        if array is None:
            raise TypeError(f"{self.name}: an array is missing")
        if not (self._fits(array, type_number, self.pooling.window.output) if is_output
                else self._fits(array, type_number, self.pooling.window.input)):
            raise ValueError(f"{self.name}: array of shape {(<object>array).shape}, {array.dtype} does not fit")
        return 0

    cdef cnp.ndarray _new(self, bint is_output, int type_number, out=None):
        return result_array(out, self.output_shape if is_output else self.input_shape, type_number, self.channels_last)

    def has_places(self):
        """Whether windows are small enough for `max_with_places`."""
        cdef int64_t volume = 1
        cdef int axis
        for axis in range(3):
            if self.pooling.window.kernel[axis] > CC_POOL_MAX_PLACES:
                return False
            volume *= self.pooling.window.kernel[axis]
        return not self.pooling.adaptive and volume <= CC_POOL_MAX_PLACES

    cdef cnp.ndarray _max(self, cnp.ndarray x, cnp.ndarray places, cnp.ndarray indices, out=None):
        self._need(x, self.type_number, False)
        cdef cnp.ndarray y = self._new(True, self.type_number, out)
        cdef uint8_t *place = NULL
        cdef int64_t *index = NULL
        if places is not None:
            place = <uint8_t *>cnp.PyArray_DATA(places)
        if indices is not None:
            index = <int64_t *>cnp.PyArray_DATA(indices)
        cdef cc_status status
        with nogil:
            status = cc_max_pool_forward(context(), &self.pooling, cnp.PyArray_DATA(x), cnp.PyArray_DATA(y), place,
                                         index)
        check(status, self.name)
        return y

    def max(self, cnp.ndarray x not None, out=None):
        return self._max(x, None, None, out)

    def max_with_places(self, cnp.ndarray x not None):
        """(y, uint8 position of each maximum in its window)"""
        cdef cnp.ndarray places = self._new(True, cnp.NPY_UINT8)
        return self._max(x, places, None), places

    def max_with_indices(self, cnp.ndarray x not None):
        """(y, int64 flat position of each maximum in its input plane)"""
        cdef cnp.ndarray indices = self._new(True, cnp.NPY_INT64)
        return self._max(x, None, indices), indices

    def max_backward(self, cnp.ndarray dy not None, cnp.ndarray places not None):
        self._need(dy, self.type_number, True)
        self._need(places, cnp.NPY_UINT8, True)
        cdef cnp.ndarray dx = self._new(False, self.type_number)
        cdef cc_status status
        with nogil:
            status = cc_max_pool_backward(context(), &self.pooling, cnp.PyArray_DATA(dy),
                                          <uint8_t *>cnp.PyArray_DATA(places), cnp.PyArray_DATA(dx))
        check(status, self.name)
        return dx

    def average(self, cnp.ndarray x not None, out=None):
        self._need(x, self.type_number, False)
        cdef cnp.ndarray y = self._new(True, self.type_number, out)
        cdef cc_status status
        with nogil:
            status = cc_average_pool_forward(context(), &self.pooling, cnp.PyArray_DATA(x), cnp.PyArray_DATA(y))
        check(status, self.name)
        return y

    def average_backward(self, cnp.ndarray dy not None, out=None):
        self._need(dy, self.type_number, True)
        cdef cnp.ndarray dx = self._new(False, self.type_number, out)
        cdef cc_status status
        with nogil:
            status = cc_average_pool_backward(context(), &self.pooling, cnp.PyArray_DATA(dy), cnp.PyArray_DATA(dx))
        check(status, self.name)
        return dx

    cdef cnp.ndarray _by_indices(self, by_indices run, cnp.ndarray source, bint source_is_output, cnp.ndarray indices,
                                 bint indices_are_output, out=None):
        self._need(source, self.type_number, source_is_output)
        self._need(indices, cnp.NPY_INT64, indices_are_output)
        cdef cnp.ndarray target = self._new(not source_is_output, self.type_number, out)
        cdef cc_status status
        with nogil:
            status = run(context(), &self.pooling, cnp.PyArray_DATA(source), <int64_t *>cnp.PyArray_DATA(indices),
                         cnp.PyArray_DATA(target))
        check(status, self.name)
        return target

    def max_backward_indices(self, cnp.ndarray dy not None, cnp.ndarray indices not None, out=None):
        return self._by_indices(cc_max_pool_backward_indices, dy, True, indices, True, out)

    def unpool(self, cnp.ndarray x not None, cnp.ndarray indices not None, out=None):
        return self._by_indices(cc_max_unpool_forward, x, False, indices, False, out)

    def unpool_backward(self, cnp.ndarray dy not None, cnp.ndarray indices not None, out=None):
        return self._by_indices(cc_max_unpool_backward, dy, True, indices, False, out)
