/* optim/optim.h -- optimiser steps over flat arrays: parameters p, gradients g, state of the same length.
 *
 * The structs and their equations are in kernels/optim.h. Updates p, the state, and with `clear` g.
 */
#ifndef CC_OPTIM_H
#define CC_OPTIM_H

#include "../context.h"

cc_status cc_sgd_step(const cc_context *context, const cc_sgd *sgd, cc_dtype dtype, int64_t n, void *p, void *g,
                      void *velocity);
cc_status cc_adam_step(const cc_context *context, const cc_adam *adam, cc_dtype dtype, int64_t n, void *p, void *g,
                       void *m, void *v);

#endif
