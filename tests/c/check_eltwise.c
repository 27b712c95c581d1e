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

/* The hash again, in 64 bits. */
static uint32_t hash(uint64_t number, const uint32_t key[2])
{
    const uint64_t word = 0xffffffff;
    uint64_t h = (number * 0x9e3779b1 + key[0]) & word;
    h = ((h ^ (h >> 16)) * 0x7feb352d + key[1]) & word;
    h = (h ^ (h >> 15)) * 0x846ca68b & word;
    return (uint32_t)(h ^ (h >> 16));
}

#define CHECK_DROPOUT(T, suffix)                                                                       \
    static void dropout_##suffix(check *c)                                                             \
    {                                                                                                  \
        SLOT(c, eltwise.dropout_##suffix);                                                             \
        const int64_t rows = c->bench ? 1 : check_integer(c, 0, 3), width = size_of(c), n = rows * width; \
        const uint32_t first = (uint32_t)check_random(c), row_step = (uint32_t)check_integer(c, 0, 9), \
                       step = (uint32_t)check_integer(c, 0, 9);                                        \
        const cc_dropout_stream stream = {{(uint32_t)check_random(c), (uint32_t)check_random(c)},      \
                                          (uint32_t)check_random(c), 1.25};                            \
        T *x = check_##suffix(c, n), *y = check_bytes(c, n * (int64_t)sizeof(T), sizeof(T));           \
        double *expected = check_f64(c, n);                                                            \
        for (int64_t i = 0; i < n; i++) {                                                              \
            const uint32_t number = first + (uint32_t)(i / width) * row_step + (uint32_t)(i % width) * step; \
            expected[i] = hash(number, stream.key) >= stream.threshold ? (T)(x[i] * (T)1.25) : 0;      \
        }                                                                                              \
        c->kernels->eltwise.dropout_##suffix(&stream, x, rows, width, first, row_step, step, y);       \
        check_near_##suffix(c, y, expected, n, 0, 0);                                                  \
        BENCH(c, (double)n * 2 * sizeof(T), "B",                                                       \
              c->kernels->eltwise.dropout_##suffix(&stream, x, rows, width, first, row_step, step, y)); \
        c->kernels->eltwise.dropout_##suffix(&stream, x, rows, width, first, row_step, step, x);       \
        check_near_##suffix(c, x, expected, n, 0, 0);                                                  \
        check_done(c);                                                                                 \
    }

#define CHECK_SUMS(T, suffix, tolerance)                                                               \
    static void column_sums_##suffix(check *c)                                                         \
    {                                                                                                  \
        SLOT(c, eltwise.column_sums_##suffix);                                                         \
        const int64_t rows = c->bench ? 64 : check_integer(c, 0, 70), width = c->bench ? 64 : size_of(c); \
        const int64_t n = rows * width, bytes = n * (int64_t)sizeof(T);                                \
        T *dy = check_##suffix(c, n), *y = check_##suffix(c, n), *dx = check_bytes(c, bytes, sizeof(T)); \
        double *expected = check_f64(c, n), *sum = check_f64(c, width), *plain = check_f64(c, width);  \
        double *sums = check_copy(c, sum, width * 8, 8), *plains = check_copy(c, plain, width * 8, 8); \
        for (int64_t i = 0; i < n; i++) {                                                              \
            expected[i] = y[i] > 0 ? (double)dy[i] : 0;                                                \
            sums[i % width] += expected[i];                                                            \
            plains[i % width] += (double)dy[i];                                                        \
        }                                                                                              \
        c->kernels->eltwise.column_sums_##suffix(dy, y, rows, width, dx, sum);                         \
        check_near_##suffix(c, dx, expected, n, 0, 0);                                                 \
        check_near_f64(c, sum, sums, width, tolerance, 100);                                           \
        c->kernels->eltwise.column_sums_##suffix(dy, NULL, rows, width, NULL, plain);                  \
        check_near_f64(c, plain, plains, width, tolerance, 100);                                       \
        BENCH(c, (double)n * 3 * sizeof(T), "B",                                                       \
              c->kernels->eltwise.column_sums_##suffix(dy, y, rows, width, dx, sum));                  \
        check_done(c);                                                                                 \
    }

CHECK_SUMS(float, f32, 1e-7)
CHECK_SUMS(double, f64, 1e-15)
CHECK_ELTWISE(float, f32)
CHECK_DROPOUT(float, f32)
CHECK_DROPOUT(double, f64)
CHECK_ELTWISE(double, f64)

void check_eltwise(check *c)
{
    relu_f32(c);
    relu_f64(c);
    relu_backward_f32(c);
    relu_backward_f64(c);
    add_f32(c);
    add_f64(c);
    dropout_f32(c);
    dropout_f64(c);
    column_sums_f32(c);
    column_sums_f64(c);
}
