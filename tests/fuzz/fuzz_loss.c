#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "loss/loss.h"

static int64_t any_class(fuzz *f, int64_t classes)
{
    static const int64_t strange[] = {-100, INT64_MIN, INT64_MAX, -1, (int64_t)1 << 32, -2};
    const uint8_t kind = fuzz_byte(f);
    return kind < 236 && classes > 0 ? kind % classes : kind % 7 == 6 ? classes : strange[kind % 6];
}

void fuzz_loss(fuzz *f)
{
    const uint8_t options = fuzz_byte(f);
    cc_cross_entropy l = {.n = fuzz_size(f, 0), .c = fuzz_size(f, 0), .spatial = fuzz_size(f, 0),
                          .dtype = options & 1 ? CC_F64 : CC_F32,
                          .layout = options & 2 ? CC_CHANNELS_LAST : CC_CHANNELS_FIRST,
                          .log_probabilities = (options & 4) != 0, .mean = (options & 8) != 0,
                          .smoothing = options & 16 ? 0.25 : 0, .ignore_index = options & 32 ? -100 : 1};
    int64_t count;
    char nothing[8] = {0};
    void *p = nothing;
    double total = 0;
    if (cc_product((int64_t[]){l.n, l.c, l.spatial}, 3, &count) != CC_OK) {
        FUZZ_EXPECT(cc_cross_entropy_forward(f->context, &l, p, p, NULL, NULL, p, &total, p) < 0);
        return;
    }
    if (count > 1 << 13 || l.c > 1 << 12 || l.n > 1 << 12 || l.spatial > 1 << 12 || l.n * l.spatial > 1 << 13)
        return;
    const int64_t positions = l.n * l.spatial, across = l.layout == CC_CHANNELS_LAST ? 1 : l.spatial;
    double *x64, *weight64, *p64 = NULL;
    const void *x = fuzz_array(f, l.dtype, count, &x64);
    fuzz_array(f, CC_F64, l.c, &weight64);
    for (int64_t c = 0; c < l.c; c++)
        weight64[c] = fabs(weight64[c]);
    const double *weight = options & 64 ? weight64 : NULL;
    const bool by_class = !(options & 128);
    const void *probabilities = by_class ? NULL : fuzz_array(f, l.dtype, count, &p64);
    int64_t *classes = fuzz_bytes(f, positions * 8);
    bool bad = false;
    double divisor = by_class ? 0 : (double)positions;
    for (int64_t i = 0; i < positions; i++) {
        classes[i] = any_class(f, l.c);
        const bool ignored = classes[i] == l.ignore_index, outside = classes[i] < 0 || classes[i] >= l.c;
        bad |= !ignored && outside;
        if (by_class && !ignored && !outside)
            divisor += weight == NULL ? 1 : weight[classes[i]];
    }
    double *losses = fuzz_bytes(f, positions * 8), bound = 1, none = 0;
    long double sum = 0; /* in double, thousands of equal terms would err alike */
    void *dx = fuzz_output(f, l.dtype, count);
    const cc_status status = cc_cross_entropy_forward(f->context, &l, x, by_class ? classes : NULL, probabilities,
                                                      weight, options & 1 ? losses : NULL, &total, dx);
    if (by_class && bad) {
        FUZZ_EXPECT(status == CC_ERR_INDEX && fuzz_untouched(dx, l.dtype, count));
        return;
    }
    FUZZ_EXPECT(status == CC_OK);
    double *dx64 = fuzz_bytes(f, count * 8);
    memset(dx64, 0, (size_t)count * 8);
    for (int64_t i = 0; i < positions; i++) {
        const int64_t start = l.layout == CC_CHANNELS_LAST ? i * l.c : i / l.spatial * l.c * l.spatial + i % l.spatial;
        double lse = 0, mass = 0;
        for (int64_t c = 0; c < l.c; c++)
            lse += exp(x64[start + c * across]);
        lse = l.log_probabilities ? 0 : log(lse);
        if (by_class && classes[i] == l.ignore_index)
            continue;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t c = 0; c < l.c; c++) {
                const int64_t at = start + c * across;
                const double hit = by_class ? (double)(c == classes[i]) : p64[at];
                const double q = (weight == NULL ? 1 : weight[c]) * ((1 - l.smoothing) * hit + l.smoothing / (double)l.c);
                if (pass == 0) {
                    mass += q;
                    if (q != 0)
                        sum += q * (lse - x64[at]);
                    bound += fabs(q) * (fabs(lse) + fabs(x64[at]));
                } else {
                    const double share = l.log_probabilities ? 0 : exp(x64[at] - lse);
                    dx64[at] = (mass * share - q) * (l.mean ? 1 / divisor : 1);
                }
            }
    }
    const double scale = l.mean ? 1 / divisor : 1, wide = isfinite(scale) ? 100 * scale * (1 + (double)l.c) : 0;
    if (isfinite(scale)) {
        fuzz_compare("cross entropy", &total, CC_F64, &(double){(double)(sum * scale)}, 1, 100 * fuzz_epsilon(l.dtype) * bound,
                     &scale, 1);
        fuzz_compare("its gradient", dx, l.dtype, dx64, count, 4 * fuzz_epsilon(l.dtype), &wide, 1);
    }
    double squares = 0;
    const void *other = fuzz_array(f, l.dtype, count, &p64);
    for (int64_t i = 0; i < count; i++) {
        squares += (x64[i] - p64[i]) * (x64[i] - p64[i]);
        dx64[i] = 0.5 * (x64[i] - p64[i]);
    }
    FUZZ_EXPECT(cc_squared_error(f->context, l.dtype, count, x, other, 0.5, &total, dx) == CC_OK);
    FUZZ_EXPECT(fabs(total - squares) <= 1e-12 * (1 + squares));
    none = 8;
    fuzz_compare("squared error", dx, l.dtype, dx64, count, fuzz_epsilon(l.dtype), &none, 1);
}

void fuzz_softmax(fuzz *f)
{
    const uint8_t options = fuzz_byte(f);
    const int64_t outer = fuzz_size(f, 0), classes = fuzz_size(f, 0), inner = fuzz_size(f, 0);
    const cc_dtype dtype = options & 1 ? CC_F64 : CC_F32;
    const bool as_log = options & 2;
    char nothing[8] = {0};
    int64_t count;
    if (cc_product((int64_t[]){outer, classes, inner}, 3, &count) != CC_OK) {
        FUZZ_EXPECT(cc_softmax_forward(f->context, dtype, as_log, outer, classes, inner, nothing, nothing) < 0);
        FUZZ_EXPECT(cc_softmax_backward(f->context, dtype, as_log, outer, classes, inner, nothing, nothing, nothing) < 0);
        return;
    }
    if (count > 1 << 13 || outer > 1 << 13 || inner > 1 << 13 || outer * inner > 1 << 13)
        return;
    double *x64, *dy64, one = 10;
    const void *x = fuzz_array(f, dtype, count, &x64), *dy = fuzz_array(f, dtype, count, &dy64);
    void *y = fuzz_output(f, dtype, count), *dx = fuzz_output(f, dtype, count);
    double *y64 = fuzz_bytes(f, count * 8), *dx64 = fuzz_bytes(f, count * 8);
    for (int64_t i = 0; i < outer * inner && classes > 0; i++) {
        const int64_t at = i / inner * classes * inner + i % inner;
        double sum = 0, dot = 0;
        for (int64_t c = 0; c < classes; c++)
            sum += exp(x64[at + c * inner]);
        for (int64_t c = 0; c < classes; c++) {
            const double share = exp(x64[at + c * inner]) / sum;
            y64[at + c * inner] = as_log ? log(share) : share;
            dot += dy64[at + c * inner] * (as_log ? 1 : share);
        }
        for (int64_t c = 0; c < classes; c++) {
            const double share = exp(x64[at + c * inner]) / sum, g = dy64[at + c * inner];
            dx64[at + c * inner] = as_log ? g - share * dot : share * (g - dot);
        }
        one = fmax(one, (double)classes);
    }
    FUZZ_EXPECT(cc_softmax_forward(f->context, dtype, as_log, outer, classes, inner, x, y) == CC_OK);
    FUZZ_EXPECT(cc_softmax_backward(f->context, dtype, as_log, outer, classes, inner, dy, y, dx) == CC_OK);
    fuzz_compare("softmax", y, dtype, y64, count, 20 * fuzz_epsilon(dtype), &one, 1);
    fuzz_compare("softmax backward", dx, dtype, dx64, count, 40 * fuzz_epsilon(dtype), &one, 1);
}
