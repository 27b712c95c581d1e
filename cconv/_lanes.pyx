"""Chains of small convolutions with an image in each vector lane (src/cconv/conv/lanes.h)."""

import numpy as np

from libc.stdint cimport int64_t, uint8_t
cimport numpy as cnp

from cconv._runtime cimport cc_context, cc_status, check, context, new_array

cnp.import_array()


cdef extern from "conv/lanes.h" nogil:
    enum:
        CC_LANES_STAGES
    ctypedef struct cc_lanes_shape:
        int64_t oc, ph, pw
    ctypedef struct cc_lanes_stage:
        int64_t oc, kh, kw, top, bottom, left, right
        cc_lanes_shape shape
    ctypedef struct cc_lanes_chain:
        int64_t n, ic, h, w
        int stages
        cc_lanes_stage stage[4]
    cc_status cc_lanes_resolve(cc_lanes_chain *chain)
    cc_status cc_lanes_saved_size(const cc_context *context, const cc_lanes_chain *chain, int64_t *bytes)
    cc_status cc_lanes_forward(const cc_context *context, const cc_lanes_chain *chain, const float *x,
                               const float *const *weight, const float *const *bias, void *saved, float *y)
    cc_status cc_lanes_backward(const cc_context *context, const cc_lanes_chain *chain, const void *saved,
                                const float *const *weight, const float *dy, float *const *dw, float *const *db,
                                float *dx)

MAX_STAGES = CC_LANES_STAGES


cdef int pointers(list arrays, float **out) except -1:
    for i in range(len(arrays)):
        out[i] = <float *>cnp.PyArray_DATA(<cnp.ndarray>arrays[i])
    return 0


cdef class Chain:
    """The geometry of one input shape: (N, C, H, W) and per stage (channels, (kh, kw), (top, bottom, left, right))."""

    cdef cc_lanes_chain chain
    cdef int64_t saved_bytes
    cdef tuple input_shape, output_shape

    def __init__(self, tuple input_shape, list stages):
        cdef cc_lanes_chain *chain = &self.chain
        if not 1 <= len(stages) <= CC_LANES_STAGES:
            raise ValueError(f"a chain has 1 to {CC_LANES_STAGES} stages, got {len(stages)}")
        chain.n, chain.ic, chain.h, chain.w = input_shape
        chain.stages = <int>len(stages)
        for i, (oc, (kh, kw), (top, bottom, left, right)) in enumerate(stages):
            chain.stage[i].oc, chain.stage[i].kh, chain.stage[i].kw = oc, kh, kw
            chain.stage[i].top, chain.stage[i].bottom = top, bottom
            chain.stage[i].left, chain.stage[i].right = left, right
        check(cc_lanes_resolve(chain), "convolution chain")
        check(cc_lanes_saved_size(context(), chain, &self.saved_bytes), "convolution chain")
        cdef cc_lanes_shape *last = &chain.stage[chain.stages - 1].shape
        self.input_shape = input_shape
        self.output_shape = (chain.n, last.oc, last.ph, last.pw)

    def forward(self, cnp.ndarray x, list weights, list biases, bint keep):
        """y, and with `keep` what backward needs. Arrays are contiguous float32 of the right shapes."""
        cdef float *w[4]
        cdef float *b[4]
        cdef cc_status status
        cdef cnp.ndarray y = new_array(self.output_shape, cnp.NPY_FLOAT32, False)
        cdef cnp.ndarray saved = None
        cdef void *memory = NULL
        pointers(weights, w)
        pointers(biases, b)
        if keep:
            saved = new_array((self.saved_bytes // 4,), cnp.NPY_FLOAT32, False)
            memory = cnp.PyArray_DATA(saved)
        cdef const float *x_data = <const float *>cnp.PyArray_DATA(x)
        cdef float *y_data = <float *>cnp.PyArray_DATA(y)
        with nogil:
            status = cc_lanes_forward(context(), &self.chain, x_data, <const float *const *>w,
                                      <const float *const *>b, memory, y_data)
        check(status, "convolution chain")
        return y, saved

    def backward(self, cnp.ndarray saved, list weights, cnp.ndarray dy, list dweights, list dbiases, bint need_dx):
        """dx or None; adds into dweights and dbiases."""
        cdef float *w[4]
        cdef float *dw[4]
        cdef float *db[4]
        cdef cc_status status
        cdef cnp.ndarray dx = None
        cdef float *dx_data = NULL
        pointers(weights, w)
        pointers(dweights, dw)
        pointers(dbiases, db)
        if need_dx:
            dx = new_array(self.input_shape, cnp.NPY_FLOAT32, False)
            dx_data = <float *>cnp.PyArray_DATA(dx)
        cdef const float *dy_data = <const float *>cnp.PyArray_DATA(dy)
        cdef void *memory = cnp.PyArray_DATA(saved)
        with nogil:
            status = cc_lanes_backward(context(), &self.chain, memory, <const float *const *>w, dy_data,
                                       <float *const *>dw, <float *const *>db, dx_data)
        check(status, "convolution chain")
        return dx
