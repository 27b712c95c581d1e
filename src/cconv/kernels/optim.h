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

/* g += weight_decay * p;  v = alpha * v + (1 - alpha) * g^2;  with a mean a += (1 - alpha) * (g - a), s = v - a^2, else
 * s = v;  g /= sqrt(s) + eps;  with a buffer b = momentum * b + g, g = b;  p -= lr * g. */
typedef struct cc_rmsprop {
    double lr, alpha, eps, weight_decay, momentum;
    bool clear;
} cc_rmsprop;

/* g += weight_decay * p;  s += g^2;  p -= rate * g / (sqrt(s) + eps). */
typedef struct cc_adagrad {
    double rate, eps, weight_decay;
    bool clear;
} cc_adagrad;

/* g += weight_decay * p;  v = rho * v + (1 - rho) * g^2;  d = sqrt(u + eps) / sqrt(v + eps) * g;
 * u = rho * u + (1 - rho) * d^2;  p -= lr * d. */
typedef struct cc_adadelta {
    double lr, rho, eps, weight_decay;
    bool clear;
} cc_adadelta;

typedef struct cc_optim_kernels {
    /* v may be NULL when momentum is 0 */
    void (*sgd[2])(const cc_sgd *sgd, int64_t n, void *p, void *g, void *v);
    void (*adam[2])(const cc_adam *adam, int64_t n, void *p, void *g, void *m, void *v);
    /* mean and buffer may be NULL */
    void (*rmsprop[2])(const cc_rmsprop *rmsprop, int64_t n, void *p, void *g, void *v, void *mean, void *buffer);
    void (*adagrad[2])(const cc_adagrad *adagrad, int64_t n, void *p, void *g, void *s);
    void (*adadelta[2])(const cc_adadelta *adadelta, int64_t n, void *p, void *g, void *v, void *u);
    double (*squares[2])(int64_t n, const void *x); /* sum of x^2, in double */
} cc_optim_kernels;

#endif
