/* kernels/activation.h -- activations and their derivatives over contiguous float32 arrays. y and dx may be inputs. */
#ifndef CC_KERNELS_ACTIVATION_H
#define CC_KERNELS_ACTIVATION_H

#include <stdint.h>

typedef enum cc_activation {
    CC_RELU = 0,
    CC_LEAKY_RELU,  /* alpha: slope below 0 */
    CC_HARDTANH,    /* x kept within alpha .. beta */
    CC_HARDSIGMOID, /* alpha x + beta kept within 0 .. 1 */
    CC_HARDSWISH,   /* x times (x + 3)/6 kept within 0 .. 1 */
    CC_THRESHOLD,   /* x above alpha, else beta */
    CC_SOFTSIGN,    /* x / (1 + |x|) */
    CC_SIGMOID,     /* from here on with exp and its kin */
    CC_LOG_SIGMOID, /* -log(1 + e^-x) */
    CC_TANH,
    CC_SCALED_TANH, /* 1.7159 tanh(2x/3) */
    CC_ELU,         /* alpha (e^x - 1) below 0 */
    CC_SELU,        /* 1.0507 times ELU with alpha 1.6733 */
    CC_CELU,        /* alpha (e^(x/alpha) - 1) below 0 */
    CC_GELU,        /* x Phi(x) */
    CC_GELU_TANH,   /* x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
    CC_SILU,        /* x / (1 + e^-x) */
    CC_MISH,        /* x tanh(log(1 + e^x)) */
    CC_SOFTPLUS,    /* log(1 + e^(alpha x)) / alpha, and x where alpha x > beta */
    CC_ACTIVATIONS
} cc_activation;

#define CC_GELU_SCALE 0.79788456080286535588 /* sqrt(2 / pi) */
#define CC_SELU_ALPHA 1.6732632423543772848
#define CC_SELU_SCALE 1.0507009873554804934

/* ReLU is in kernels/eltwise.h: these do nothing for it. */
typedef struct cc_activation_kernels {
    void (*forward_f32)(cc_activation kind, float alpha, float beta, const float *x, float *y, int64_t n);
    /* dx = dy * f'(x) */
    void (*backward_f32)(cc_activation kind, float alpha, float beta, const float *dy, const float *x, float *dx,
                         int64_t n);
} cc_activation_kernels;

#endif
