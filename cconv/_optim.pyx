"""Optimiser steps over flat arrays, in place."""

from libc.stdint cimport int64_t
cimport numpy as cnp

from cconv._runtime cimport cc_context, cc_dtype, cc_status, check, context, dtype_of

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
    cc_status cc_sgd_step(const cc_context *context, const cc_sgd *sgd, cc_dtype dtype, int64_t n, void *p, void *g,
                          void *velocity)
    cc_status cc_adam_step(const cc_context *context, const cc_adam *adam, cc_dtype dtype, int64_t n, void *p,
                           void *g, void *m, void *v)


def sgd(cnp.ndarray data not None, cnp.ndarray grad not None, cnp.ndarray velocity, double lr, double momentum,
        double keep, double weight_decay, bint nesterov, bint clear):
    cdef cc_sgd options = cc_sgd(lr, momentum, keep, weight_decay, nesterov, clear)
    cdef cc_dtype dtype = dtype_of(data)
    cdef int64_t n = cnp.PyArray_SIZE(data)
    cdef void *v = NULL if velocity is None else cnp.PyArray_DATA(velocity)
    cdef cc_status status
    with nogil:
        status = cc_sgd_step(context(), &options, dtype, n, cnp.PyArray_DATA(data), cnp.PyArray_DATA(grad), v)
    check(status, "SGD.step")


def adam(cnp.ndarray data not None, cnp.ndarray grad not None, cnp.ndarray m not None, cnp.ndarray v not None,
         double rate, double correction, double beta1, double beta2, double eps, double weight_decay, double shrink,
         bint clear):
    cdef cc_adam options = cc_adam(rate, correction, beta1, beta2, eps, weight_decay, shrink, clear)
    cdef cc_dtype dtype = dtype_of(data)
    cdef int64_t n = cnp.PyArray_SIZE(data)
    cdef cc_status status
    with nogil:
        status = cc_adam_step(context(), &options, dtype, n, cnp.PyArray_DATA(data), cnp.PyArray_DATA(grad),
                              cnp.PyArray_DATA(m), cnp.PyArray_DATA(v))
    check(status, "Adam.step")
