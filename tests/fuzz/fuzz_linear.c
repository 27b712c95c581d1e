/* Matrix products: our own, and the fully connected layer on it. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "gemm/gemm.h"
#include "linear/linear.h"

static double largest(const double *values, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; values != NULL && i < count; i++)
        most = fmax(most, fabs(values[i]));
    return most;
}

void fuzz_gemm(fuzz *f)
{
    const uint8_t options = fuzz_byte(f);
    const bool trans_a = options & 1, trans_b = options & 2, accumulate = options & 4;
    int64_t m = fuzz_size(f, 0), n = fuzz_size(f, 0), k = fuzz_size(f, 0);
    if (options & 8) { /* a few rows and a long sum: a path of its own */
        m = m % 5;
        k = k > 0 && k < 100 ? 8 * k : k;
    }
    int64_t lda = trans_a ? m : k, ldb = trans_b ? k : n, ldc = n, size_a, size_b, size_c;
    const int64_t slack = options & 16 ? fuzz_range(f, 0, 5) - (f->hostile ? 1 : 0) : 0;
    char nothing[1] = {0};
    if (!cc_add(lda, slack, &lda) || !cc_add(ldb, slack, &ldb) || !cc_add(ldc, slack, &ldc))
        return;
    if (m < 0 || n < 0 || k < 0 || slack < 0) {
        FUZZ_EXPECT(cc_gemm(f->context, trans_a, trans_b, m, n, k, (void *)nothing, lda, (void *)nothing, ldb,
                            accumulate, (void *)nothing, ldc, NULL) < 0);
        return;
    }
    int64_t work;
    if (!fuzz_fits((int64_t[]){trans_a ? k : m, lda}, 2, &size_a) ||
        !fuzz_fits((int64_t[]){trans_b ? n : k, ldb}, 2, &size_b) || !fuzz_fits((int64_t[]){m, ldc}, 2, &size_c) ||
        cc_product((int64_t[]){m, n, k}, 3, &work) != CC_OK || work > 60000)
        return;
    if (cc_max(m, cc_max(n, k)) > 1 << 14) { /* nothing to compute, however often */
        FUZZ_EXPECT(cc_gemm(f->context, trans_a, trans_b, m, n, k, (void *)nothing, lda, (void *)nothing, ldb, true,
                            (void *)nothing, ldc, NULL) == CC_OK);
        return;
    }
    double *a64, *b64, *c64, *bias64 = NULL, *residual64 = NULL;
    const float *a = fuzz_array(f, CC_F32, size_a, &a64), *b = fuzz_array(f, CC_F32, size_b, &b64);
    float *c = fuzz_array(f, CC_F32, size_c, &c64);
    cc_gemm_epilogue e = {.relu = (options & 32) != 0, .ld_residual = ldc};
    if (options & 64)
        e.bias = fuzz_array(f, CC_F32, n, &bias64);
    if (options & 128)
        e.residual = fuzz_array(f, CC_F32, size_c, &residual64);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = accumulate ? c64[i * ldc + j] : 0;
            for (int64_t p = 0; p < k; p++)
                sum += a64[trans_a ? p * lda + i : i * lda + p] * b64[trans_b ? j * ldb + p : p * ldb + j];
            sum += (bias64 != NULL ? bias64[j] : 0) + (residual64 != NULL ? residual64[i * ldc + j] : 0);
            c64[i * ldc + j] = e.relu && sum < 0 ? 0 : sum;
        }
    FUZZ_EXPECT(cc_gemm(f->context, trans_a, trans_b, m, n, k, a, lda, b, ldb, accumulate, c, ldc, &e) == CC_OK);
    const double scale = (double)(k + 4) * (largest(a64, size_a) * largest(b64, size_b) + 3);
    fuzz_compare("gemm", c, CC_F32, c64, size_c, f->values == FUZZ_INTEGERS ? 0 : 2 * fuzz_epsilon(CC_F32), &scale, 1);
}

void fuzz_linear(fuzz *f)
{
    const uint8_t options = fuzz_byte(f);
    const cc_linear l = {.rows = fuzz_size(f, 0), .in = fuzz_size(f, 0), .out = fuzz_size(f, 0),
                         .dtype = options & 1 ? CC_F64 : CC_F32};
    int64_t size_x, size_y, size_w, work;
    char nothing[1] = {0};
    if (cc_product((int64_t[]){l.rows, l.in}, 2, &size_x) != CC_OK ||
        cc_product((int64_t[]){l.rows, l.out}, 2, &size_y) != CC_OK ||
        cc_product((int64_t[]){l.out, l.in}, 2, &size_w) != CC_OK) {
        FUZZ_EXPECT(cc_linear_forward(f->context, &l, nothing, nothing, NULL, false, nothing) < 0);
        FUZZ_EXPECT(cc_linear_backward(f->context, &l, nothing, nothing, nothing, nothing, nothing, nothing) < 0);
        return;
    }
    if (size_x > 1 << 14 || size_y > 1 << 14 || size_w > 1 << 14 ||
        cc_product((int64_t[]){l.rows, l.in, l.out}, 3, &work) != CC_OK || work > 60000)
        return;
    if (cc_max(l.rows, cc_max(l.in, l.out)) > 1 << 14) { /* nothing to compute, however often */
        FUZZ_EXPECT(cc_linear_forward(f->context, &l, nothing, nothing, NULL, false, nothing) == CC_OK);
        FUZZ_EXPECT(cc_linear_backward(f->context, &l, nothing, nothing, nothing, nothing, nothing, NULL) == CC_OK);
        return;
    }
    double *x64, *w64, *b64, *dy64, *dw64, *db64;
    const void *x = fuzz_array(f, l.dtype, size_x, &x64), *w = fuzz_array(f, l.dtype, size_w, &w64);
    const void *b = fuzz_array(f, l.dtype, l.out, &b64), *dy = fuzz_array(f, l.dtype, size_y, &dy64);
    void *dw = fuzz_array(f, l.dtype, size_w, &dw64), *db = fuzz_array(f, l.dtype, l.out, &db64);
    void *y = fuzz_output(f, l.dtype, size_y), *dx = fuzz_output(f, l.dtype, size_x);
    double *y64 = fuzz_bytes(f, size_y * 8), *dx64 = fuzz_bytes(f, size_x * 8);
    const bool relu = options & 2, with_bias = options & 4;
    memset(dx64, 0, (size_t)size_x * 8);
    for (int64_t r = 0; r < l.rows; r++)
        for (int64_t o = 0; o < l.out; o++) {
            double sum = with_bias ? b64[o] : 0;
            const double g = dy64[r * l.out + o];
            for (int64_t i = 0; i < l.in; i++) {
                sum += x64[r * l.in + i] * w64[o * l.in + i];
                dx64[r * l.in + i] += g * w64[o * l.in + i];
                dw64[o * l.in + i] += g * x64[r * l.in + i];
            }
            y64[r * l.out + o] = relu && sum < 0 ? 0 : sum;
            db64[o] += g;
        }
    FUZZ_EXPECT(cc_linear_forward(f->context, &l, x, w, with_bias ? b : NULL, relu, y) == CC_OK);
    FUZZ_EXPECT(cc_linear_backward(f->context, &l, dy, x, w, options & 8 ? NULL : dx, dw, options & 16 ? NULL : db) ==
                CC_OK);
    const double tolerance = f->values == FUZZ_INTEGERS ? 0 : 2 * fuzz_epsilon(l.dtype);
    const double most = 4 + largest(x64, size_x) * largest(w64, size_w) + largest(dy64, size_y) * 4;
    const double scale = (double)(l.rows + l.in + l.out + 4) * most;
    fuzz_compare("linear", y, l.dtype, y64, size_y, tolerance, &scale, 1);
    fuzz_compare("dw", dw, l.dtype, dw64, size_w, tolerance, &scale, 1);
    if (!(options & 8))
        fuzz_compare("dx", dx, l.dtype, dx64, size_x, tolerance, &scale, 1);
    if (!(options & 16))
        fuzz_compare("db", db, l.dtype, db64, l.out, tolerance, &scale, 1);
}
