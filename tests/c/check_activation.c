/* Against libm in double. Values keep their relative precision, slopes, which cross 0, their absolute one. */
#include <math.h>

#include "check.h"
#include "eltwise/activation_double.h"

#define BENCH_SIZE 4096

static bool agrees(double y, double expected, double relative, double absolute)
{
    if (isnan(expected))
        return isnan(y);
    return y == expected || fabs(y - expected) <= relative * fabs(expected) + absolute;
}

static void compare(check *c, const float *y, const double *expected, int64_t n, double relative, double absolute)
{
    int64_t right = 0;
    for (int64_t i = 0; i < n; i++)
        right += agrees(y[i], expected[i], relative, absolute);
    EXPECT(c, right == n);
}

static void one_kind(check *c, cc_activation kind)
{
    const int64_t n = c->bench ? BENCH_SIZE : check_integer(c, 0, 4 * c->kernels->lanes + 1);
    float *x = check_f32(c, n), *dy = check_f32(c, n), *y = check_bytes(c, n * 4, 4);
    const double range = c->bench || check_random(c) % 2 ? 4 : 13;
    double alpha = 1.25, beta = 2.5;
    if (kind == CC_LEAKY_RELU || kind == CC_HARDTANH)
        alpha = -0.25;
    else if (kind == CC_CELU && check_random(c) % 4 == 0)
        alpha = -2;
    for (int64_t i = 0; i < n; i++)
        x[i] *= (float)range;
    if (n > 4 && !c->bench) {
        const float special[] = {NAN, -0.0f, 0.0f, 1e-30f, -1e-6f};
        for (int64_t i = 0; i < 5; i++)
            x[n / 2 - 2 + i] = special[i];
    }
    double *x64 = check_f64(c, n), *dy64 = check_f64(c, n), *expected = check_f64(c, n);
    for (int64_t i = 0; i < n; i++) {
        x64[i] = x[i];
        dy64[i] = dy[i];
    }
    /* e^u keeps the rounding of u, here up to 200, as so many of its own. */
    const double close = kind == CC_GELU_TANH ? 5e-5 : 3e-6;

    SLOT(c, activation.forward_f32);
    cc_activation_forward_f64(kind, alpha, beta, x64, expected, n);
    c->kernels->activation.forward_f32(kind, (float)alpha, (float)beta, x, y, n);
    /* These two fall to 0 at -3 and where alpha x + beta does, as differences. */
    const double absolute = kind == CC_HARDSWISH || kind == CC_HARDSIGMOID ? 5e-7 : 1e-37;
    compare(c, y, expected, n, close, absolute);
    BENCH(c, (double)n, "value", c->kernels->activation.forward_f32(kind, (float)alpha, (float)beta, x, y, n));

    SLOT(c, activation.backward_f32);
    cc_activation_backward_f64(kind, alpha, beta, dy64, x64, expected, n);
    c->kernels->activation.backward_f32(kind, (float)alpha, (float)beta, dy, x, y, n);
    compare(c, y, expected, n, close, 1e-6);
    BENCH(c, (double)n, "value", c->kernels->activation.backward_f32(kind, (float)alpha, (float)beta, dy, x, y, n));
    check_done(c);
}

void check_activation(check *c)
{
    for (cc_activation kind = CC_LEAKY_RELU; kind < CC_ACTIVATIONS; kind++)
        one_kind(c, kind);
}
