/* eltwise/eltwise.h -- maps over n contiguous values, whatever their memory order. Outputs may be inputs. */
#ifndef CC_ELTWISE_H
#define CC_ELTWISE_H

#include "../context.h"

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

cc_status cc_activation_forward(const cc_context *context, cc_activation kind, double alpha, double beta,
                                cc_dtype dtype, int64_t n, const void *x, void *y);

/* dx = dy * f'(x). ReLU takes y for x as well. */
cc_status cc_activation_backward(const cc_context *context, cc_activation kind, double alpha, double beta,
                                 cc_dtype dtype, int64_t n, const void *dy, const void *x, void *dx);

/* y = a + b */
cc_status cc_eltwise_add(const cc_context *context, cc_dtype dtype, int64_t n, const void *a, const void *b, void *y);

/* Dropout of x (N, C, spatial) in `layout`: y = x / (1 - p) where kept, else 0. Which elements are kept (or with
 * `per_channel` which planes) is a 32-bit hash of two keys and a number: the keys come from seed, call and the
 * image, the number is c*spatial + s (or c) modulo 2^32. So neither threads nor memory order nor instruction set
 * change it. p counts in steps of 2^-32. Its backward is the same function of dy. 0 <= p <= 1. */
typedef struct cc_dropout {
    int64_t n, c, spatial;
    cc_dtype dtype;
    cc_layout layout;
    double p;
    uint64_t seed, call;
    bool per_channel;
} cc_dropout;

cc_status cc_dropout_apply(const cc_context *context, const cc_dropout *dropout, const void *x, void *y);

/* The shortcut without parameters: every `stride`-th line and column of x (n, channels, height, width), then
 * out_channels - channels planes of zeros. */
typedef struct cc_shortcut {
    int64_t n, channels, out_channels, height, width, stride;
    cc_dtype dtype;
    cc_layout layout;
} cc_shortcut;

cc_status cc_shortcut_forward(const cc_context *context, const cc_shortcut *shortcut, const void *x, void *y);
cc_status cc_shortcut_backward(const cc_context *context, const cc_shortcut *shortcut, const void *dy, void *dx);

#endif
