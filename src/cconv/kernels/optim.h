/* kernels/optim.h -- one optimiser step over flat arrays. Slots are indexed by cc_dtype. */
#ifndef CC_KERNELS_OPTIM_H
#define CC_KERNELS_OPTIM_H

#include <stdbool.h>
#include <stdint.h>

/* g += weight_decay * p; then with momentum v = momentum * v + keep * g and g = nesterov ? g + momentum * v : v;
 * p -= lr * g. */
typedef struct cc_sgd {
    double lr, momentum, keep, weight_decay;
    bool nesterov;
    bool clear; /* leave zeros in the gradient */
} cc_sgd;

/* m += (1 - beta1) * (g - m);  v = beta2 * v + (1 - beta2) * g^2;  p -= rate * m / (sqrt(v) * correction + eps),
 * after g += weight_decay * p (L2) and p *= shrink (decoupled decay). */
typedef struct cc_adam {
    double rate;       /* lr / (1 - beta1^t) */
    double correction; /* 1 / sqrt(1 - beta2^t) */
    double beta1, beta2, eps, weight_decay, shrink;
    bool clear;
} cc_adam;

typedef struct cc_optim_kernels {
    /* v may be NULL when momentum is 0 */
    void (*sgd[2])(const cc_sgd *sgd, int64_t n, void *p, void *g, void *v);
    void (*adam[2])(const cc_adam *adam, int64_t n, void *p, void *g, void *m, void *v);
} cc_optim_kernels;

#endif
