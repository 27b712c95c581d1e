/* optim/optim.h -- optimiser steps over flat arrays: parameters p, gradients g, state of the same length.
 *
 * The structs and their equations are in kernels/optim.h. A step is a sink of gradients: whatever it takes updates
 * p and the state, and with `clear` leaves zeros in the gradient.
 */
#ifndef CC_OPTIM_H
#define CC_OPTIM_H

#include "../sink.h"

typedef struct cc_update {
    cc_sink sink;
    const cc_optim_kernels *kernels;
    cc_dtype dtype;
    union {
        cc_sgd sgd;
        cc_adam adam;
        cc_rmsprop rmsprop;
        cc_adagrad adagrad;
        cc_adadelta adadelta;
    };
    char *p, *first, *second, *third;
} cc_update;

/* Fill `update` for one step; velocity may be NULL where momentum is 0. */
cc_status cc_update_sgd(const cc_context *context, const cc_sgd *sgd, cc_dtype dtype, void *p, void *velocity,
                        cc_update *update);
cc_status cc_update_adam(const cc_context *context, const cc_adam *adam, cc_dtype dtype, void *p, void *m, void *v,
                         cc_update *update);
/* mean and buffer may be NULL: then the step is not centred, has no momentum. */
cc_status cc_update_rmsprop(const cc_context *context, const cc_rmsprop *rmsprop, cc_dtype dtype, void *p, void *v,
                            void *mean, void *buffer, cc_update *update);
cc_status cc_update_adagrad(const cc_context *context, const cc_adagrad *adagrad, cc_dtype dtype, void *p, void *s,
                            cc_update *update);
cc_status cc_update_adadelta(const cc_context *context, const cc_adadelta *adadelta, cc_dtype dtype, void *p, void *v,
                             void *u, cc_update *update);

/* The sum of x^2 in double; its order of adding depends on n alone. */
cc_status cc_squares(const cc_context *context, cc_dtype dtype, int64_t n, const void *x, double *sum);

/* For each layer l, elements ends[l - 1] ... ends[l]: with r = trust * |p| / (|g| + weight_decay * |p| + eps),
 * v = momentum * v + lr * r * (g + weight_decay * p);  p -= v.  r = 1 where either norm is 0; where plain[l], r = 1
 * without weight decay. */
typedef struct cc_lars {
    double lr, momentum, weight_decay, trust, eps;
    bool clear;
} cc_lars;

/* v may be NULL where momentum is 0; ends grow up to n. */
cc_status cc_step_lars(const cc_context *context, const cc_lars *lars, cc_dtype dtype, int64_t n, void *p, void *g,
                       void *v, int64_t layers, const int64_t *ends, const unsigned char *plain);

#endif
