"""Optimiser steps over flat arrays, in place."""

from libc.stdint cimport int64_t
cimport numpy as cnp

from cconv._runtime cimport Sink, cc_context, cc_dtype, cc_sink, cc_status, check, context, dtype_of

cnp.import_array()


cdef extern from "optim/optim.h" nogil:
    ctypedef struct cc_sgd:
        double lr
        double momentum
        double keep
        double weight_decay
        bint nesterov
        bint clear
    ctypedef struct cc_adam:
        double rate
        double correction
        double beta1
        double beta2
        double eps
        double weight_decay
        double shrink
        bint clear
    ctypedef struct cc_update:
        cc_sink sink
    cc_status cc_update_sgd(const cc_context *context, const cc_sgd *sgd, cc_dtype dtype, void *p, void *velocity,
                            cc_update *update)
    cc_status cc_update_adam(const cc_context *context, const cc_adam *adam, cc_dtype dtype, void *p, void *m,
                             void *v, cc_update *update)


cdef class Update:
    """One step with its options, of the arrays it was made from."""

    cdef cc_update update
    cdef cnp.ndarray data
    cdef tuple state

    def sink(self, int64_t begin, int64_t size):
        """What takes the gradient of elements begin ... begin + size."""
        if begin < 0 or size < 0 or begin > cnp.PyArray_SIZE(self.data) - size:
            raise ValueError(f"{begin} ... {begin + size} is beyond the {self.data.size} parameters")
        cdef Sink sink = Sink.__new__(Sink)
        sink.sink, sink.owner, sink.begin, sink.size = &self.update.sink, self, begin, size
        sink.dtype = dtype_of(self.data)
        return sink


cdef void *same(cnp.ndarray array, cnp.ndarray data) except? NULL:
    if cnp.PyArray_SIZE(array) != cnp.PyArray_SIZE(data) or dtype_of(array) != dtype_of(data):
        raise ValueError("state and parameters differ in length or dtype")
    return cnp.PyArray_DATA(array)


def sgd(cnp.ndarray data not None, cnp.ndarray velocity, double lr, double momentum, double keep,
        double weight_decay, bint nesterov, bint clear):
    cdef cc_sgd options = cc_sgd(lr, momentum, keep, weight_decay, nesterov, clear)
    cdef Update update = Update.__new__(Update)
    update.data, update.state = data, (velocity,)
    check(cc_update_sgd(context(), &options, dtype_of(data), cnp.PyArray_DATA(data),
                        NULL if velocity is None else same(velocity, data), &update.update), "SGD.step")
    return update


def adam(cnp.ndarray data not None, cnp.ndarray m not None, cnp.ndarray v not None, double rate, double correction,
         double beta1, double beta2, double eps, double weight_decay, double shrink, bint clear):
    cdef cc_adam options = cc_adam(rate, correction, beta1, beta2, eps, weight_decay, shrink, clear)
    cdef Update update = Update.__new__(Update)
    update.data, update.state = data, (m, v)
    check(cc_update_adam(context(), &options, dtype_of(data), cnp.PyArray_DATA(data), same(m, data), same(v, data),
                         &update.update), "Adam.step")
    return update
