"""What every binding shares: the context, the statuses, and arrays whose memory comes from the arena."""

from libc.stdint cimport int64_t, uint64_t
cimport numpy as cnp


cdef extern from "context.h" nogil:
    ctypedef enum cc_status:
        CC_OK
        CC_ERR_ARGUMENT
        CC_ERR_SHAPE
        CC_ERR_OVERFLOW
        CC_ERR_MEMORY
        CC_ERR_INDEX
        CC_ERR_UNSUPPORTED
        CC_ERR_NO_BLAS
    ctypedef enum cc_dtype:
        CC_F32
        CC_F64
    ctypedef enum cc_layout:
        CC_CHANNELS_FIRST
        CC_CHANNELS_LAST
    ctypedef struct cc_window:
        int64_t input[3]
        int64_t output[3]
        int64_t kernel[3]
        int64_t stride[3]
        int64_t dilation[3]
        int64_t pad_before[3]
        int64_t pad_after[3]
    ctypedef struct cc_context:
        bint exact


cdef extern from "sink.h" nogil:
    ctypedef struct cc_sink:
        pass


# Takes the gradient of `size` elements from `begin` on as soon as it is computed.
cdef class Sink:
    cdef const cc_sink *sink
    cdef object owner
    cdef int64_t begin, size
    cdef cc_dtype dtype
    cdef readonly bint taken
    # Before a gradient of so many elements, or like `grad`, is given.
    cdef int claim(self, int64_t size, cc_dtype dtype) except -1
    cdef int check(self, cnp.ndarray grad) except -1

# The one context of the process.
cdef cc_context *context() noexcept nogil

# Raise the exception a status stands for, with `what` (a function name) in front; 0 when CC_OK.
cdef int check(cc_status status, str what) except -1

# CC_F32 or CC_F64; TypeError for anything else.
cdef cc_dtype dtype_of(cnp.ndarray array) except *

# An uninitialised array of `shape`, NCHW in shape; memory order channels-last when asked.
cdef cnp.ndarray new_array(tuple shape, int type_number, bint channels_last)

# The same, or `out` (an array that may be written to, or None) where it lies in that memory order; ValueError or TypeError
# where it is no array of that shape and type.
cdef cnp.ndarray result_array(out, tuple shape, int type_number, bint channels_last)
