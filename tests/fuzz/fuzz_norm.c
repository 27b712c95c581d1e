#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "norm/norm.h"

/* y and dy with gaps between positions: the same bits, and the gaps of y stay as they are. `given` are dy, x, y and dx. */
static void with_gaps(fuzz *f, cc_norm n, double eps, const char *const given[4], const void *w, const void *b,
                      const void *r, bool fixed, double *mean, double *var, double *rstd)
{
    const int64_t m = n.n * n.spatial, size = (int64_t)cc_dtype_size(n.dtype), gap = 1 + fuzz_byte(f) % 9;
    n.spacing = n.c + gap;
    char *dy = fuzz_output(f, n.dtype, m * n.spacing), *y = fuzz_output(f, n.dtype, m * n.spacing);
    char *dx = fuzz_output(f, n.dtype, m * n.c);
    for (int64_t i = 0; i < m; i++)
        memcpy(dy + i * n.spacing * size, given[0] + i * n.c * size, (size_t)(n.c * size));
    FUZZ_EXPECT(cc_norm_forward(f->context, &n, eps, given[1], w, b, r, y, mean, var, rstd) == CC_OK);
    for (int64_t i = 0; i < m; i++) {
        FUZZ_EXPECT(memcmp(y + i * n.spacing * size, given[2] + i * n.c * size, (size_t)(n.c * size)) == 0);
        FUZZ_EXPECT(fuzz_untouched(y + (i * n.spacing + n.c) * size, n.dtype, gap));
    }
    FUZZ_EXPECT(cc_norm_backward(f->context, &n, fixed, dy, given[1], y, mean, rstd, w, b, dx, NULL, NULL, NULL) == CC_OK);
    FUZZ_EXPECT(memcmp(dx, given[3], (size_t)(m * n.c * size)) == 0);
}

void fuzz_norm(fuzz *f)
{
    const uint8_t options = fuzz_byte(f);
    const cc_norm n = {.n = fuzz_size(f, 0), .c = fuzz_size(f, 0), .spatial = fuzz_size(f, 0),
                       .dtype = options & 1 ? CC_F64 : CC_F32,
                       .layout = options & 2 ? CC_CHANNELS_LAST : CC_CHANNELS_FIRST, .relu = (options & 4) != 0};
    int64_t count;
    char nothing[8] = {0};
    void *p = nothing;
    if (cc_product((int64_t[]){n.n, n.c, n.spatial}, 3, &count) != CC_OK) {
        FUZZ_EXPECT(cc_norm_forward(f->context, &n, 0.1, p, p, p, NULL, p, p, p, p) < 0);
        FUZZ_EXPECT(cc_norm_inference(f->context, &n, 0.1, p, p, p, p, p, NULL, p) < 0);
        FUZZ_EXPECT(cc_norm_backward(f->context, &n, false, p, p, p, p, p, p, p, p, NULL, p, p) < 0);
        return;
    }
    if (count > 1 << 14 || n.c > 1 << 12 || n.n * n.spatial > 1 << 14)
        return;
    const int64_t m = n.n * n.spatial, across = n.layout == CC_CHANNELS_LAST ? n.c : 1;
    const int64_t channel = n.layout == CC_CHANNELS_LAST ? 1 : n.spatial;
    double *x64, *w64, *b64, *r64, *dy64, *mean = fuzz_bytes(f, n.c * 8), *var = fuzz_bytes(f, n.c * 8);
    double *rstd = fuzz_bytes(f, n.c * 8);
    const void *x = fuzz_array(f, n.dtype, count, &x64), *w = fuzz_array(f, n.dtype, n.c, &w64);
    const void *b = fuzz_array(f, n.dtype, n.c, &b64), *r = fuzz_array(f, n.dtype, count, &r64);
    const void *dy = fuzz_array(f, n.dtype, count, &dy64);
    const bool residual = options & 8, affine = options & 16, fixed = options & 32;
    void *y = fuzz_output(f, n.dtype, count), *dx = fuzz_output(f, n.dtype, count), *dr = fuzz_output(f, n.dtype, count);
    double *dw64, *db64;
    void *dw = fuzz_array(f, n.dtype, n.c, &dw64), *db = fuzz_array(f, n.dtype, n.c, &db64);
    const double eps = 0.1;

    const cc_status status = cc_norm_forward(f->context, &n, eps, x, affine ? w : NULL, affine ? b : NULL,
                                             residual ? r : NULL, y, mean, var, rstd);
    if (m < 2) {
        FUZZ_EXPECT(status == CC_ERR_SHAPE && fuzz_untouched(y, n.dtype, count));
        return;
    }
    FUZZ_EXPECT(status == CC_OK);
    double *y64 = fuzz_bytes(f, count * 8), *dx64 = fuzz_bytes(f, count * 8), *dr64 = fuzz_bytes(f, count * 8);
    for (int64_t c = 0; c < n.c; c++) {
        double sum = 0, square = 0, dot = 0, sum_g = 0;
#define EACH_POSITION                                                                                \
    for (int64_t i = 0, at; i < m; i++)                                                              \
        if (at = i / n.spatial * n.c * n.spatial + i % n.spatial * across + c * channel, true)
        EACH_POSITION sum += x64[at];
        const double mu = sum / (double)m;
        EACH_POSITION square += (x64[at] - mu) * (x64[at] - mu);
        const double variance = square / (double)m;
        const double bound = fuzz_epsilon(n.dtype) * (n.dtype == CC_F32 ? 20 : (double)(m + 50)), wide = 10 * bound;
        fuzz_compare("mean", &mean[c], CC_F64, &mu, 1, 1, &bound, 1);
        fuzz_compare("variance", &var[c], CC_F64, &variance, 1, 1, &wide, 1);
        const double scale = rstd[c] * (affine ? w64[c] : 1), shift = affine ? b64[c] : 0;
        EACH_POSITION {
            const double v = (x64[at] - mu) * scale + shift + (residual ? r64[at] : 0);
            y64[at] = n.relu && v < 0 ? 0 : v;
            /* The gate is the core's own: next to 0 rounding decides. */
            dr64[at] = n.relu && !(fuzz_get(y, n.dtype, at) > 0) ? 0 : dy64[at];
            sum_g += dr64[at];
            dot += dr64[at] * (x64[at] - mu);
        }
        EACH_POSITION dx64[at] =
            fixed ? scale * dr64[at]
                  : scale * (dr64[at] - sum_g / (double)m - (x64[at] - mu) * rstd[c] * rstd[c] * dot / (double)m);
        dw64[c] += dot * rstd[c];
        db64[c] += sum_g;
    }
    const double tolerance = 200 * fuzz_epsilon(n.dtype), one = 10, sums = 100 + 10 * (double)m;
    fuzz_compare("norm", y, n.dtype, y64, count, tolerance, &one, 1);
    const bool y_needed = residual || (options & 64);
    FUZZ_EXPECT(cc_norm_backward(f->context, &n, fixed, dy, x, y_needed ? y : NULL, mean, rstd, affine ? w : NULL,
                                 affine ? b : NULL, dx, residual ? dr : NULL, dw, db) == CC_OK);
    fuzz_compare("norm's dx", dx, n.dtype, dx64, count, tolerance, &one, 1);
    if (residual)
        fuzz_compare("norm's dresidual", dr, n.dtype, dr64, count, 0, &one, 1);
    fuzz_compare("norm's dweight", dw, n.dtype, dw64, n.c, tolerance, &sums, 1);
    fuzz_compare("norm's dbias", db, n.dtype, db64, n.c, tolerance, &sums, 1);
    if (options & 128 && n.layout == CC_CHANNELS_LAST)
        with_gaps(f, n, eps, (const char *const[]){dy, x, y, dx}, affine ? w : NULL, affine ? b : NULL,
                  residual ? r : NULL, fixed, mean, var, rstd);
    FUZZ_EXPECT(cc_norm_inference(f->context, &n, eps, x, mean, var, affine ? w : NULL, affine ? b : NULL,
                                  residual ? r : NULL, dx) == CC_OK);
    FUZZ_EXPECT(memcmp(dx, y, (size_t)count * cc_dtype_size(n.dtype)) == 0);
}
