/* Sums over n values below 3 in the array's type, 32 rows at a time: within n * 8 eps. */
#include <string.h>

#include "check.h"
#include "numbers.h"

#define ROWS_MAX 75

static void compare_sums(check *c, cc_dtype type, const double *sum, const double *expected, int64_t n, double scale)
{
    check_near_f64(c, sum, expected, n, type == CC_F32 ? 1.2e-7 : 2.3e-16, 8 * scale);
}

/* Rows `step` elements apart: those of `dense`, with random values between them. */
static void *spread(check *c, cc_dtype type, const void *dense, int64_t rows, int64_t width, int64_t step)
{
    const int64_t size = type == CC_F32 ? 4 : 8;
    char *apart = random_numbers(c, type, (rows - 1) * step + width).data;
    for (int64_t r = 0; r < rows; r++)
        memcpy(apart + r * step * size, (const char *)dense + r * width * size, (size_t)(width * size));
    return apart;
}

/* The other way round; between rows `apart` must be what it was before. */
static void gather(check *c, cc_dtype type, void *dense, const char *apart, const char *before, int64_t rows,
                   int64_t width, int64_t step)
{
    const int64_t size = type == CC_F32 ? 4 : 8;
    for (int64_t r = 0; r < rows; r++) {
        const int64_t at = r * step * size, gap = at + width * size;
        memcpy((char *)dense + r * width * size, apart + at, (size_t)(width * size));
        EXPECT(c, r + 1 == rows || memcmp(apart + gap, before + gap, (size_t)((step - width) * size)) == 0);
    }
}

/* How dy is gated: not, by a mask, or by the sign of (x - center) * scale, which rounding keeps. */
enum { OPEN, BY_MASK, BY_GATE };

static void run(check *c, cc_dtype type)
{
    const cc_norm_kernels *norm = &c->kernels->norm;
    const int64_t rows = c->bench ? 256 : check_integer(c, 1, ROWS_MAX);
    const int64_t width = c->bench ? 64 : check_integer(c, 1, 5 * c->kernels->lanes + 1), size = rows * width;
    const double scale = (double)rows, bytes = (double)(size * (type == CC_F32 ? 4 : 8));
    const numbers x = random_numbers(c, type, size), dy = random_numbers(c, type, size);
    const numbers mask = random_numbers(c, type, size), center = random_numbers(c, type, width);
    const numbers factor = random_numbers(c, type, width), slope = random_numbers(c, type, width);
    const numbers offset = random_numbers(c, type, width);
    numbers y = random_numbers(c, type, size);
    const int64_t step = c->bench ? width : width + check_integer(c, 0, 20);
    double *sums[3], *expected[3];
    const double *shift = check_f64(c, width);

    SLOT(c, norm.moments);
    for (int i = 0; i < 3; i++) {
        sums[i] = check_f64(c, width);
        expected[i] = check_copy(c, sums[i], width * 8, 8);
    }
    for (int64_t e = 0; e < size; e++) {
        const double d = x.exact[e] - shift[e % width];
        expected[0][e % width] += d;
        expected[1][e % width] += d * d;
    }
    norm->moments[type](x.data, rows, width, shift, sums[0], sums[1]);
    compare_sums(c, type, sums[0], expected[0], width, 4 * scale);
    compare_sums(c, type, sums[1], expected[1], width, 16 * scale);
    BENCH(c, bytes, "B", norm->moments[type](x.data, rows, width, shift, sums[0], sums[1]));

    SLOT(c, norm.dots);
    const int64_t how = check_integer(c, OPEN, BY_GATE);
    const bool relu = check_integer(c, 0, 1) == 1, both = how != BY_GATE && check_integer(c, 0, 1) == 1;
    const numbers gate_scale = random_numbers(c, type, width);
    const void *masked = how == BY_MASK ? mask.data : NULL, *gated = how == BY_GATE ? gate_scale.data : NULL;
    const void *zeros = how == BY_GATE ? memset(check_bytes(c, width * 8, 8), 0, (size_t)width * 8) : NULL;
    const void *spaced_dy = spread(c, type, dy.data, rows, width, step);
    const void *spaced_mask = masked != NULL ? spread(c, type, masked, rows, width, step) : NULL;
    const double *open = check_copy(c, dy.exact, size * 8, 8);
    for (int64_t e = 0; e < size; e++) {
        const double d = x.exact[e] - center.exact[e % width];
        if ((how == BY_MASK && !(mask.exact[e] > 0)) || (how == BY_GATE && !(d * gate_scale.exact[e % width] > 0)))
            ((double *)open)[e] = 0;
    }
    for (int i = 0; i < 3; i++) {
        sums[i] = check_f64(c, width);
        expected[i] = check_copy(c, sums[i], width * 8, 8);
    }
    for (int64_t e = 0; e < size; e++) {
        const double d = x.exact[e] - center.exact[e % width];
        const double g = open[e];
        expected[0][e % width] += d;
        expected[1][e % width] += g;
        expected[2][e % width] += g * d;
    }
    numbers dresidual = random_numbers(c, type, size);
    for (int64_t e = 0; e < size; e++)
        dresidual.exact[e] = both ? open[e] : dresidual.exact[e];
    norm->dots[type](spaced_dy, x.data, spaced_mask, rows, width, step, center.data, gated, zeros, both ? dresidual.data : NULL, sums[0],
                     sums[1], sums[2]);
    for (int i = 0; i < 3; i++)
        compare_sums(c, type, sums[i], expected[i], width, 4 * scale);
    compare(c, type, &dresidual, 0);
    BENCH(c, 2 * bytes, "B", norm->dots[type](dy.data, x.data, NULL, rows, width, width, center.data, gated, zeros, NULL, sums[0],
                                          sums[1], sums[2]));

    SLOT(c, norm.apply);
    char *wide = random_numbers(c, type, (rows - 1) * step + width).data;
    const char *before = check_copy(c, wide, ((rows - 1) * step + width) * (type == CC_F32 ? 4 : 8), 8);
    for (int64_t e = 0; e < size; e++) {
        const int64_t j = e % width;
        const double v = (x.exact[e] - center.exact[j]) * factor.exact[j] + offset.exact[j] + (both ? mask.exact[e] : 0);
        y.exact[e] = relu && v < 0 ? 0 : v;
    }
    norm->apply[type](x.data, both ? mask.data : NULL, rows, width, step, center.data, factor.data, offset.data, relu, wide);
    gather(c, type, y.data, wide, before, rows, width, step);
    compare(c, type, &y, 8);
    BENCH(c, 2 * bytes, "B", norm->apply[type](x.data, NULL, rows, width, width, center.data, factor.data, offset.data, relu, y.data));

    SLOT(c, norm.apply_backward);
    for (int64_t e = 0; e < size; e++) {
        const int64_t j = e % width;
        y.exact[e] = open[e] * factor.exact[j] + (x.exact[e] - center.exact[j]) * slope.exact[j] + offset.exact[j];
    }
    norm->apply_backward[type](spaced_dy, x.data, spaced_mask, rows, width, step, center.data, factor.data, slope.data,
                               offset.data, gated, zeros, y.data);
    compare(c, type, &y, 8);
    BENCH(c, 3 * bytes, "B", norm->apply_backward[type](dy.data, x.data, NULL, rows, width, width, center.data, factor.data,
                                                        slope.data, offset.data, gated, zeros, y.data));
    check_done(c);
}

void check_norm(check *c)
{
    run(c, CC_F32);
    run(c, CC_F64);
}
