/* Softmax and what it is made of, against libm in double. */
#include <math.h>
#include <string.h>

#include "check.h"

#define BENCH_SIZE 4096
#define MAX_CLASSES 40

/* Powers of what is not above the shift, down to 0, and their sum. */
static void powers(check *c)
{
    const int64_t n = c->bench ? BENCH_SIZE : check_integer(c, 0, 4 * c->kernels->lanes + 1);
    float *x = check_f32(c, n), *y = check_f32(c, n);
    double *expected = check_f64(c, n), sum = 0;
    const float range = check_random(c) % 2 ? 5 : 60, shift = range;
    SLOT(c, softmax.powers_f32);
    for (int64_t i = 0; i < n; i++) {
        x[i] = i % 7 == 6 ? -INFINITY : x[i] * range;
        sum += expected[i] = exp((double)(x[i] - shift));
    }
    EXPECT(c, fabs(c->kernels->softmax.powers_f32(x, shift, y, n) - sum) <= 1e-6 * sum + 1e-37);
    for (int64_t i = 0; i < n; i++)
        EXPECT(c, fabs(y[i] - expected[i]) <= 1e-6 * expected[i] + 1e-37);
    if (n > 0) {
        x[n - 1] = NAN;
        EXPECT(c, isnan(c->kernels->softmax.powers_f32(x, shift, x, n)) && isnan(x[n - 1]));
    }
    BENCH(c, (double)n, "value", c->kernels->softmax.powers_f32(x, shift, y, n));
    check_done(c);
}

static void scale(check *c)
{
    const int64_t n = c->bench ? BENCH_SIZE : check_integer(c, 0, 4 * c->kernels->lanes + 1);
    float *y = check_f32(c, n), *before = check_f32(c, n);
    SLOT(c, softmax.scale_f32);
    memcpy(before, y, (size_t)n * sizeof *y);
    c->kernels->softmax.scale_f32(0.3f, y, n);
    for (int64_t i = 0; i < n; i++)
        EXPECT(c, y[i] == before[i] * 0.3f);
    BENCH(c, (double)n, "value", c->kernels->softmax.scale_f32(1.0f, y, n));
    check_done(c);
}

typedef struct columns {
    int64_t classes, n, stride;
    float *x, *dy, *y, *dx;
} columns;

/* Softmax from the pieces, or its logarithm. */
static void forward(const check *c, const columns *k, bool of_log, const float *x, float *y)
{
    const cc_softmax_kernels *kernels = &c->kernels->softmax;
    float shift[CC_SOFTMAX_COLUMNS], factor[CC_SOFTMAX_COLUMNS];
    double sum[CC_SOFTMAX_COLUMNS];
    kernels->column_powers_f32(k->classes, k->stride, k->n, x, of_log ? NULL : y, shift, sum);
    for (int64_t j = 0; j < k->n; j++) {
        factor[j] = (float)(1 / sum[j]);
        sum[j] = log(sum[j]);
    }
    if (of_log)
        kernels->column_less_f32(k->classes, k->stride, k->n, x, shift, sum, y);
    else
        kernels->column_scale_f32(k->classes, k->stride, k->n, factor, y);
}

static bool right_column(const columns *k, int64_t j, bool of_log)
{
    float max = -INFINITY; /* differences from it are rounded, too */
    double sum = 0, dot = 0, largest = 0;
    bool right = true;
    for (int64_t i = j; i < k->classes * k->stride; i += k->stride)
        max = fmaxf(max, k->x[i]);
    for (int64_t i = j; i < k->classes * k->stride; i += k->stride)
        sum += exp((double)(k->x[i] - max));
    for (int64_t i = j; i < k->classes * k->stride; i += k->stride) {
        const double less = (double)(k->x[i] - max), value = of_log ? less - log(sum) : exp(less) / sum;
        right &= k->y[i] == value || fabs(k->y[i] - value) <= (of_log ? 3e-7 * fabs(value) + 1e-7 : 1e-6 * value + 1e-37);
        largest = fmax(largest, fabs((double)k->dy[i]));
        dot += of_log ? k->dy[i] : (double)k->dy[i] * k->y[i];
    }
    for (int64_t i = j; i < k->classes * k->stride; i += k->stride) {
        const double value = of_log ? k->dy[i] - exp(k->y[i]) * dot : k->y[i] * (k->dy[i] - dot);
        right &= fabs(k->dx[i] - value) <= 1e-6 * (largest * (double)k->classes + fabs(dot));
    }
    return right;
}

/* Columns of some rows that are wider: what lies beside them stays. */
static void all_columns(check *c, bool of_log)
{
    columns k = {.classes = c->bench ? 32 : check_integer(c, 1, MAX_CLASSES),
                 .n = c->bench ? CC_SOFTMAX_COLUMNS : check_integer(c, 0, CC_SOFTMAX_COLUMNS)};
    k.stride = k.n + check_integer(c, 0, 3);
    const int64_t size = k.classes * k.stride;
    k.x = check_f32(c, size);
    k.dy = check_f32(c, size);
    k.y = check_f32(c, size);
    k.dx = check_f32(c, size);
    for (int64_t i = 0; i < size; i++) {
        k.y[i] = k.dx[i] = 7;
        if (!c->bench)
            k.x[i] = i % 11 == 10 && i >= k.stride ? -INFINITY : 20 * k.x[i];
    }
    const cc_softmax_kernels *kernels = &c->kernels->softmax;
    SLOT(c, softmax.column_powers_f32);
    SLOT(c, softmax.column_less_f32);
    SLOT(c, softmax.column_scale_f32);
    forward(c, &k, of_log, k.x, k.y);
    SLOT(c, softmax.column_backward_f32);
    kernels->column_backward_f32(of_log, k.classes, k.stride, k.n, k.dy, k.y, k.dx);
    bool right = true;
    for (int64_t j = 0; j < k.n; j++)
        right &= right_column(&k, j, of_log);
    for (int64_t i = 0; i < size; i++)
        right &= i % k.stride < k.n || (k.y[i] == 7 && k.dx[i] == 7);
    EXPECT(c, right);

    /* In place, and a NaN in one column only. */
    if (k.n > 1 && !c->bench) {
        kernels->column_backward_f32(of_log, k.classes, k.stride, k.n, k.dy, k.y, k.dy);
        EXPECT(c, memcmp(k.dx, k.dy, (size_t)k.n * sizeof(float)) == 0);
        forward(c, &k, of_log, k.x, k.x);
        EXPECT(c, memcmp(k.x, k.y, (size_t)k.n * sizeof(float)) == 0);
        k.x[k.n - 1] = NAN;
        forward(c, &k, of_log, k.x, k.y);
        for (int64_t i = 0; i < size; i += k.stride)
            EXPECT(c, isnan(k.y[i + k.n - 1]) && !isnan(k.y[i + k.n - 2]));
    }
    const double values = (double)(k.classes * k.n);
    BENCH(c, values, "value", forward(c, &k, of_log, k.x, k.y));
    BENCH(c, values, "value", kernels->column_backward_f32(of_log, k.classes, k.stride, k.n, k.dy, k.y, k.dx));
    check_done(c);
}

void check_softmax(check *c)
{
    powers(c);
    scale(c);
    all_columns(c, false);
    all_columns(c, true);
}
