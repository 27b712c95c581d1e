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
    ctypedef struct cc_rmsprop:
        double lr
        double alpha
        double eps
        double weight_decay
        double momentum
        bint clear
    ctypedef struct cc_adagrad:
        double rate
        double eps
        double weight_decay
        bint clear
    ctypedef struct cc_adadelta:
        double lr
        double rho
        double eps
        double weight_decay
        bint clear
    ctypedef struct cc_lars:
        double lr
        double momentum
        double weight_decay
        double trust
        double eps
        bint clear
    ctypedef struct cc_update:
        cc_sink sink
    cc_status cc_update_sgd(const cc_context *context, const cc_sgd *sgd, cc_dtype dtype, void *p, void *velocity,
                            cc_update *update)
    cc_status cc_update_adam(const cc_context *context, const cc_adam *adam, cc_dtype dtype, void *p, void *m,
                             void *v, cc_update *update)
    cc_status cc_update_rmsprop(const cc_context *context, const cc_rmsprop *rmsprop, cc_dtype dtype, void *p,
                                void *v, void *mean, void *buffer, cc_update *update)
    cc_status cc_update_adagrad(const cc_context *context, const cc_adagrad *adagrad, cc_dtype dtype, void *p,
                                void *s, cc_update *update)
    cc_status cc_update_adadelta(const cc_context *context, const cc_adadelta *adadelta, cc_dtype dtype, void *p,
                                 void *v, void *u, cc_update *update)
    cc_status cc_squares(const cc_context *context, cc_dtype dtype, int64_t n, const void *x, double *sum)
    cc_status cc_step_lars(const cc_context *context, const cc_lars *lars, cc_dtype dtype, int64_t n, void *p,
                           void *g, void *v, int64_t layers, const int64_t *ends, const unsigned char *plain)


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


def rmsprop(cnp.ndarray data not None, cnp.ndarray v not None, cnp.ndarray mean, cnp.ndarray buffer, double lr,
            double alpha, double eps, double weight_decay, double momentum, bint clear):
    cdef cc_rmsprop options = cc_rmsprop(lr, alpha, eps, weight_decay, momentum, clear)
    cdef Update update = Update.__new__(Update)
    update.data, update.state = data, (v, mean, buffer)
    check(cc_update_rmsprop(context(), &options, dtype_of(data), cnp.PyArray_DATA(data), same(v, data),
                            NULL if mean is None else same(mean, data),
                            NULL if buffer is None else same(buffer, data), &update.update), "RMSprop.step")
    return update


def adagrad(cnp.ndarray data not None, cnp.ndarray s not None, double rate, double eps, double weight_decay,
            bint clear):
    cdef cc_adagrad options = cc_adagrad(rate, eps, weight_decay, clear)
    cdef Update update = Update.__new__(Update)
    update.data, update.state = data, (s,)
    check(cc_update_adagrad(context(), &options, dtype_of(data), cnp.PyArray_DATA(data), same(s, data),
                            &update.update), "Adagrad.step")
    return update


def adadelta(cnp.ndarray data not None, cnp.ndarray v not None, cnp.ndarray u not None, double lr, double rho,
             double eps, double weight_decay, bint clear):
    cdef cc_adadelta options = cc_adadelta(lr, rho, eps, weight_decay, clear)
    cdef Update update = Update.__new__(Update)
    update.data, update.state = data, (v, u)
    check(cc_update_adadelta(context(), &options, dtype_of(data), cnp.PyArray_DATA(data), same(v, data),
                             same(u, data), &update.update), "Adadelta.step")
    return update


def lars(cnp.ndarray data not None, cnp.ndarray grad not None, cnp.ndarray velocity, cnp.ndarray ends not None,
         cnp.ndarray plain not None, double lr, double momentum, double weight_decay, double trust, double eps,
         bint clear):
    """One whole step; `ends` (int64) and `plain` (bool) have an element for each layer."""
    cdef cc_lars options = cc_lars(lr, momentum, weight_decay, trust, eps, clear)
    if cnp.PyArray_TYPE(ends) != cnp.NPY_INT64 or cnp.PyArray_TYPE(plain) != cnp.NPY_BOOL:
        raise TypeError("ends must be int64 and plain bool")
    if cnp.PyArray_SIZE(ends) != cnp.PyArray_SIZE(plain):
        raise ValueError("ends and plain differ in length")
    cdef const cc_context *c = context()
    cdef cc_dtype dtype = dtype_of(data)
    cdef int64_t n = cnp.PyArray_SIZE(data), layers = cnp.PyArray_SIZE(ends)
    cdef void *p = cnp.PyArray_DATA(data)
    cdef void *g = same(grad, data)
    cdef void *v = NULL
    if velocity is not None:
        v = same(velocity, data)
    cdef const int64_t *stops = <const int64_t *>cnp.PyArray_DATA(ends)
    cdef const unsigned char *exempt = <const unsigned char *>cnp.PyArray_DATA(plain)
    cdef cc_status status
    with nogil:
        status = cc_step_lars(c, &options, dtype, n, p, g, v, layers, stops, exempt)
    check(status, "LARS.step")


def squares(cnp.ndarray x not None):
    """The sum of x^2 of a contiguous array, in double; the same bits for any number of threads."""
    if not cnp.PyArray_IS_C_CONTIGUOUS(x):
        raise ValueError("x must be contiguous")
    cdef const cc_context *c = context()
    cdef cc_dtype dtype = dtype_of(x)
    cdef int64_t n = cnp.PyArray_SIZE(x)
    cdef const void *data = cnp.PyArray_DATA(x)
    cdef double total = 0
    cdef cc_status status
    with nogil:
        status = cc_squares(c, dtype, n, data, &total)
    check(status, "squares")
    return total
