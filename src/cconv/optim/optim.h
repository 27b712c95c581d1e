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
    };
    char *p, *first, *second;
} cc_update;

/* Fill `update` for one step; velocity may be NULL where momentum is 0. */
cc_status cc_update_sgd(const cc_context *context, const cc_sgd *sgd, cc_dtype dtype, void *p, void *velocity,
                        cc_update *update);
cc_status cc_update_adam(const cc_context *context, const cc_adam *adam, cc_dtype dtype, void *p, void *m, void *v,
                         cc_update *update);

#endif
