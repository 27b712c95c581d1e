/* Maps over flat arrays: activations, sums, dropout, optimiser steps. */
#include <math.h>
#include <string.h>

#include "eltwise/eltwise.h"
#include "fuzz.h"
#include "optim/optim.h"

static double value_of(cc_activation kind, double v)
{
    switch (kind) {
    case CC_RELU: return v < 0 ? 0 : v;
    case CC_LEAKY_RELU: return v > 0 ? v : 0.5 * v;
    case CC_HARDTANH: return fmin(fmax(v, 0.5), 1.5);
    case CC_HARDSIGMOID: return fmin(fmax(0.5 * v + 1.5, 0), 1);
    case CC_HARDSWISH: return v * fmin(fmax((v + 3) / 6, 0), 1);
    case CC_THRESHOLD: return v > 0.5 ? v : 1.5;
    case CC_SOFTSIGN: return v / (1 + fabs(v));
    case CC_LOG_SIGMOID: return -log1p(exp(-v));
    case CC_SELU: return 1.0507009873554805 * (v > 0 ? v : 1.6732632423543772 * expm1(v));
    case CC_CELU: return v > 0 ? v : 0.5 * expm1(v / 0.5);
    case CC_MISH: return v * tanh(log1p(exp(v)));
    case CC_SIGMOID: return 1 / (1 + exp(-v));
    case CC_TANH: return tanh(v);
    case CC_SCALED_TANH: return 1.7159 * tanh(2 * v / 3);
    case CC_ELU: return v > 0 ? v : 0.5 * expm1(v);
    case CC_GELU: return 0.5 * v * erfc(-v * M_SQRT1_2);
    case CC_GELU_TANH: return 0.5 * v * (1 + tanh(0.7978845608028654 * (v + 0.044715 * v * v * v)));
    case CC_SILU: return v / (1 + exp(-v));
    case CC_SOFTPLUS: return 0.5 * v > 1.5 ? v : log1p(exp(0.5 * v)) / 0.5;
    default: return NAN;
    }
}

static void dropout(fuzz *f, cc_dtype dtype, uint8_t options)
{
    cc_dropout d = {.n = fuzz_size(f, 0), .c = fuzz_size(f, 0), .spatial = fuzz_size(f, 0), .dtype = dtype,
                    .p = fuzz_byte(f) / 250.0, .seed = fuzz_byte(f), .call = fuzz_byte(f),
                    .per_channel = (options & 4) != 0};
    int64_t count;
    char nothing[8] = {0};
    const cc_status status = cc_product((int64_t[]){d.n, d.c, d.spatial}, 3, &count);
    if (status != CC_OK || d.p > 1) {
        FUZZ_EXPECT(cc_dropout_apply(f->context, &d, nothing, nothing) < 0);
        FUZZ_EXPECT(status == CC_OK || cc_reorder(f->context, dtype, d.n, d.c, d.spatial, nothing, nothing) < 0);
        return;
    }
    if (count > 1 << 14)
        return;
    double *x64;
    const void *x = fuzz_array(f, dtype, count, &x64);
    void *first = fuzz_output(f, dtype, count), *last = fuzz_output(f, dtype, count), *turned = fuzz_output(f, dtype, count);
    const size_t size = cc_dtype_size(dtype);
    for (int64_t i = 0; i < count; i++) {
        const int64_t s = i % d.spatial, c = i / d.spatial % d.c, n = i / d.spatial / d.c;
        memcpy((char *)turned + (size_t)((n * d.spatial + s) * d.c + c) * size, (const char *)x + (size_t)i * size, size);
    }
    FUZZ_EXPECT(cc_reorder(f->context, dtype, d.n, d.c, d.spatial, x, last) == CC_OK);
    FUZZ_EXPECT(memcmp(last, turned, (size_t)count * size) == 0);
    FUZZ_EXPECT(cc_reorder(f->context, dtype, d.n, d.spatial, d.c, turned, first) == CC_OK);
    FUZZ_EXPECT(memcmp(first, x, (size_t)count * size) == 0);
    d.layout = CC_CHANNELS_FIRST;
    FUZZ_EXPECT(cc_dropout_apply(f->context, &d, x, first) == CC_OK);
    d.layout = CC_CHANNELS_LAST;
    FUZZ_EXPECT(cc_dropout_apply(f->context, &d, turned, last) == CC_OK);
    for (int64_t i = 0; i < count; i++) {
        const int64_t s = i % d.spatial, c = i / d.spatial % d.c, n = i / d.spatial / d.c;
        const double a = fuzz_get(first, dtype, i), b = fuzz_get(last, dtype, (n * d.spatial + s) * d.c + c);
        FUZZ_EXPECT(a == b);
        FUZZ_EXPECT(a == 0 || fabs(a * (1 - d.p) - x64[i]) <= 2 * fuzz_epsilon(dtype) * fabs(x64[i]));
    }
}

void fuzz_eltwise(fuzz *f)
{
    const uint8_t options = fuzz_byte(f);
    const cc_dtype dtype = options & 1 ? CC_F64 : CC_F32;
    const cc_activation kind = (cc_activation)fuzz_range(f, 0, CC_ACTIVATIONS + (f->hostile ? 2 : -1));
    if (options & 2) {
        dropout(f, dtype, options);
        return;
    }
    int64_t n = fuzz_size(f, 0) * (options & 8 && !f->hostile ? 300 : 1);
    char nothing[8] = {0};
    if (n < 0 || kind >= CC_ACTIVATIONS) {
        n = n > 1 << 14 ? 1 : n;
        FUZZ_EXPECT(cc_activation_forward(f->context, kind, 0.5, 1.5, dtype, n, nothing, nothing) < 0);
        FUZZ_EXPECT(cc_activation_backward(f->context, kind, 0.5, 1.5, dtype, n, nothing, nothing, nothing) < 0);
        return;
    }
    if (n > 1 << 14)
        return;
    double *x64, *dy64, one = 1;
    const void *x = fuzz_array(f, dtype, n, &x64), *dy = fuzz_array(f, dtype, n, &dy64);
    void *y = fuzz_output(f, dtype, n), *dx = fuzz_output(f, dtype, n), *sum = fuzz_output(f, dtype, n);
    double *y64 = fuzz_bytes(f, n * 8), *dx64 = fuzz_bytes(f, n * 8), *sum64 = fuzz_bytes(f, n * 8);
    double *kink = fuzz_bytes(f, n * 8);
    for (int64_t i = 0; i < n; i++) {
        const double v = x64[i], h = 1e-5, up = value_of(kind, v + h), down = value_of(kind, v - h);
        y64[i] = value_of(kind, v);
        sum64[i] = v + dy64[i];
        dx64[i] = dy64[i] * (up - down) / (2 * h);
        /* At a kink either side's slope, or one between, will do. */
        kink[i] = fabs(dy64[i]) * fabs(up + down - 2 * y64[i]) / h + 1e-4 * (1 + fabs(dy64[i]));
    }
    FUZZ_EXPECT(cc_activation_forward(f->context, kind, 0.5, 1.5, dtype, n, x, y) == CC_OK);
    FUZZ_EXPECT(cc_activation_backward(f->context, kind, 0.5, 1.5, dtype, n, dy, x, dx) == CC_OK);
    FUZZ_EXPECT(cc_eltwise_add(f->context, dtype, n, x, dy, sum) == CC_OK);
    one = 4;
    fuzz_compare("activation", y, dtype, y64, n, 4 * fuzz_epsilon(dtype), &one, 1);
    fuzz_compare("activation backward", dx, dtype, dx64, n, 1, kink, n);
    fuzz_compare("sum", sum, dtype, sum64, n, fuzz_epsilon(dtype), &one, 1);
    memcpy(y, x, (size_t)n * cc_dtype_size(dtype)); /* in place */
    FUZZ_EXPECT(cc_eltwise_add(f->context, dtype, n, y, dy, y) == CC_OK);
    FUZZ_EXPECT(memcmp(y, sum, (size_t)n * cc_dtype_size(dtype)) == 0);
}

void fuzz_optim(fuzz *f)
{
    const uint8_t options = fuzz_byte(f);
    const cc_dtype dtype = options & 1 ? CC_F64 : CC_F32;
    const int64_t n = fuzz_size(f, 0) * (options & 2 && !f->hostile ? 300 : 1);
    const cc_sgd sgd = {.lr = 0.125, .momentum = options & 4 ? 0.5 : 0, .keep = 1, .weight_decay = options & 8 ? 0.25 : 0,
                        .nesterov = (options & 16) != 0, .clear = (options & 32) != 0};
    const cc_adam adam = {.rate = 0.125, .correction = 1.5, .beta1 = 0.875, .beta2 = 0.75, .eps = 0.5, .weight_decay = sgd.weight_decay,
                          .shrink = 0.5, .clear = sgd.clear};
    if (n < 0 || n > 1 << 14)
        return;
    double *p64, *g64, *m64, *v64, bound = 8;
    void *p = fuzz_array(f, dtype, n, &p64), *g = fuzz_array(f, dtype, n, &g64);
    void *m = fuzz_array(f, dtype, n, &m64), *v = fuzz_array(f, dtype, n, &v64);
    for (int64_t i = 0; i < n; i++) {
        v64[i] = fabs(v64[i]);
        if (dtype == CC_F32)
            ((float *)v)[i] = (float)v64[i];
        else
            ((double *)v)[i] = v64[i];
        double grad = g64[i] + sgd.weight_decay * p64[i];
        if (options & 64) {
            p64[i] *= adam.shrink;
            m64[i] += (1 - adam.beta1) * (grad - m64[i]);
            v64[i] = adam.beta2 * v64[i] + (1 - adam.beta2) * grad * grad;
            p64[i] -= adam.rate * m64[i] / (sqrt(v64[i]) * adam.correction + adam.eps);
        } else {
            m64[i] = sgd.momentum * m64[i] + sgd.keep * grad;
            grad = sgd.nesterov ? grad + sgd.momentum * m64[i] : m64[i];
            p64[i] -= sgd.lr * grad;
        }
        if (sgd.clear)
            g64[i] = 0;
    }
    cc_update update;
    FUZZ_EXPECT((options & 64 ? cc_update_adam(f->context, &adam, dtype, p, m, v, &update)
                              : cc_update_sgd(f->context, &sgd, dtype, p, m, &update)) == CC_OK);
    cc_sink_give(f->context, &update.sink, dtype, 0, n, g);
    fuzz_compare("parameters", p, dtype, p64, n, 4 * fuzz_epsilon(dtype), &bound, 1);
    fuzz_compare("gradients", g, dtype, g64, n, 0, &bound, 1);
    fuzz_compare("first state", m, dtype, m64, n, 4 * fuzz_epsilon(dtype), &bound, 1);
    fuzz_compare("second state", v, dtype, v64, n, 4 * fuzz_epsilon(dtype), &bound, 1);
}
