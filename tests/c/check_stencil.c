/* Sums of at most 200 products of values below 1 in the array's type: within 200 eps. */
#include "check.h"

/* x, its values in double, and sums in double, for either type. */
static void *numbers(check *c, cc_dtype type, int64_t n, double **exact)
{
    *exact = check_f64(c, n);
    if (type == CC_F64)
        return check_copy(c, *exact, n * 8, 8);
    float *x = check_f32(c, n);
    for (int64_t i = 0; i < n; i++)
        (*exact)[i] = (double)x[i];
    return x;
}

static void compare(check *c, cc_dtype type, const void *y, const double *expected, int64_t n, double scale)
{
    if (type == CC_F32)
        check_near_f32(c, y, expected, n, 1.2e-7, scale);
    else
        check_near_f64(c, y, expected, n, 2.3e-16, scale);
}

static void run(check *c, cc_dtype type)
{
    const cc_stencil_kernels *kernels = &c->kernels->stencil;
    const int64_t lanes = type == CC_F32 ? c->kernels->lanes : c->kernels->lanes / 2;
    const bool large = c->bench;
    int64_t column[9];
    cc_stencil s = {.outputs = large ? 4 : check_integer(c, 1, 9), .rows = large ? 32 : check_integer(c, 1, 7),
                    .columns = large ? 256 : check_integer(c, 1, 70), .planes = large ? 3 : check_integer(c, 1, 3),
                    .kh = large ? 3 : check_integer(c, 1, 6), .kw = large ? 3 : check_integer(c, 1, 9), .column = column};
    const int64_t stride = large ? 1 : check_integer(c, 1, 3), dilation = large ? 1 : check_integer(c, 1, 3);
    const int64_t spread = check_integer(c, 1, 2), pitch = cc_ceil_div(s.columns, lanes) * lanes + s.kw * spread;
    s.x_step = stride * pitch;
    s.x_tap = dilation * pitch;
    s.x_plane = ((s.rows - 1) * stride + (s.kh - 1) * dilation + 1) * pitch;
    s.y_row = s.columns + check_integer(c, 0, 2);
    s.y_plane = s.rows * s.y_row;
    for (int64_t k = 0; k < s.kw; k++)
        column[k] = (k * 4 % s.kw) * spread;
    const int64_t weights = s.outputs * s.planes * s.kh * s.kw, y_size = s.outputs * s.y_plane;
    double *x_exact, *w_exact, *b_exact, *y_exact, *sums_exact;
    const void *x = numbers(c, type, s.planes * s.x_plane, &x_exact), *w = numbers(c, type, weights, &w_exact);
    const void *bias = numbers(c, type, s.outputs, &b_exact), *dy = numbers(c, type, y_size, &y_exact);
    void *sums = numbers(c, type, weights * lanes, &sums_exact);
    void *y = check_copy(c, dy, y_size * (type == CC_F32 ? 4 : 8), type == CC_F32 ? 4 : 8);
    double *expected = check_copy(c, y_exact, y_size * 8, 8);
    const bool biased = check_integer(c, 0, 1) == 1;
    for (int64_t o = 0; o < s.outputs; o++)
        for (int64_t i = 0; i < s.rows * s.columns; i++) {
            const int64_t r = i / s.columns, at = i % s.columns, to = o * s.y_plane + r * s.y_row + at;
            expected[to] = biased ? b_exact[o] : 0;
            for (int64_t t = 0; t < s.planes * s.kh * s.kw; t++) {
                const int64_t p = t / s.kw / s.kh, h = t / s.kw % s.kh, k = t % s.kw;
                const double from = x_exact[p * s.x_plane + r * s.x_step + h * s.x_tap + column[k] + at];
                expected[to] += from * w_exact[o * s.planes * s.kh * s.kw + t];
                sums_exact[(o * s.planes * s.kh * s.kw + t) * lanes + at % lanes] += from * y_exact[to];
            }
        }
    const double flops = (double)(2 * s.rows * s.columns * weights);

    SLOT(c, stencil.convolve);
    kernels->convolve[type](&s, x, w, biased ? bias : NULL, y);
    compare(c, type, y, expected, y_size, 200);
    BENCH(c, flops, "FLOP", kernels->convolve[type](&s, x, w, bias, y));

    SLOT(c, stencil.gradient);
    kernels->gradient[type](&s, x, dy, sums);
    compare(c, type, sums, sums_exact, weights * lanes, large ? 10000 : 200);
    BENCH(c, flops, "FLOP", kernels->gradient[type](&s, x, dy, sums));
    check_done(c);
}

void check_stencil(check *c)
{
    run(c, CC_F32);
    run(c, CC_F64);
}
