/* Exact: relu and its backward move values, add rounds once. */
#include <math.h>

#include "check.h"

#define BENCH_SIZE 4096

static int64_t size_of(check *c) { return c->bench ? BENCH_SIZE : check_integer(c, 0, 4 * c->kernels->lanes + 1); }

#define CHECK_ELTWISE(T, suffix)                                                                       \
    static void relu_##suffix(check *c)                                                                \
    {                                                                                                  \
        SLOT(c, eltwise.relu_##suffix);                                                                \
        const int64_t n = size_of(c);                                                                  \
        T *x = check_##suffix(c, n), *y = check_bytes(c, n * (int64_t)sizeof(T), sizeof(T));           \
        double *expected = check_f64(c, n);                                                            \
        if (n > 2) {                                                                                   \
            x[n - 1] = (T)NAN;                                                                         \
            x[n - 2] = (T)-0.0;                                                                        \
            x[n / 3] = (T)-INFINITY;                                                                   \
        }                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                                \
            expected[i] = x[i] <= 0 ? 0 : (double)x[i];                                                \
        c->kernels->eltwise.relu_##suffix(x, y, n);                                                    \
        check_near_##suffix(c, y, expected, n, 0, 0);                                                  \
        if (n > 2)                                                                                     \
            EXPECT(c, !signbit(y[n - 2]));                                                             \
        BENCH(c, (double)n * 2 * sizeof(T), "B", c->kernels->eltwise.relu_##suffix(x, y, n));          \
        c->kernels->eltwise.relu_##suffix(x, x, n);                                                    \
        check_near_##suffix(c, x, expected, n, 0, 0);                                                  \
        check_done(c);                                                                                 \
    }                                                                                                  \
    static void relu_backward_##suffix(check *c)                                                       \
    {                                                                                                  \
        SLOT(c, eltwise.relu_backward_##suffix);                                                       \
        const int64_t n = size_of(c);                                                                  \
        T *dy = check_##suffix(c, n), *y = check_##suffix(c, n);                                       \
        T *dx = check_bytes(c, n * (int64_t)sizeof(T), sizeof(T));                                     \
        double *expected = check_f64(c, n);                                                            \
        for (int64_t i = 0; i < n; i++)                                                                \
            expected[i] = y[i] > 0 ? (double)dy[i] : 0;                                                \
        c->kernels->eltwise.relu_backward_##suffix(dy, y, dx, n);                                      \
        check_near_##suffix(c, dx, expected, n, 0, 0);                                                 \
        BENCH(c, (double)n * 3 * sizeof(T), "B", c->kernels->eltwise.relu_backward_##suffix(dy, y, dx, n)); \
        check_done(c);                                                                                 \
    }                                                                                                  \
    static void add_##suffix(check *c)                                                                 \
    {                                                                                                  \
        SLOT(c, eltwise.add_##suffix);                                                                 \
        const int64_t n = size_of(c);                                                                  \
        T *a = check_##suffix(c, n), *b = check_##suffix(c, n);                                        \
        T *y = check_bytes(c, n * (int64_t)sizeof(T), sizeof(T));                                      \
        double *expected = check_f64(c, n);                                                            \
        for (int64_t i = 0; i < n; i++)                                                                \
            expected[i] = (T)(a[i] + b[i]);                                                            \
        c->kernels->eltwise.add_##suffix(a, b, y, n);                                                  \
        check_near_##suffix(c, y, expected, n, 0, 0);                                                  \
        BENCH(c, (double)n * 3 * sizeof(T), "B", c->kernels->eltwise.add_##suffix(a, b, y, n));        \
        check_done(c);                                                                                 \
    }
CHECK_ELTWISE(float, f32)
CHECK_ELTWISE(double, f64)

void check_eltwise(check *c)
{
    relu_f32(c);
    relu_f64(c);
    relu_backward_f32(c);
    relu_backward_f64(c);
    add_f32(c);
    add_f64(c);
}
