/* Padding by tables of sources. */
#include <string.h>

#include "eltwise/pad.h"
#include "fuzz.h"

/* The place in x of element i of y, or -1. */
static int64_t place(const cc_padding *p, int64_t i)
{
    int64_t at = i % p->inner, scale = p->inner;
    i /= p->inner;
    for (int a = p->axes - 1; a >= 0; a--) {
        const int64_t source = p->axis[a].source[i % p->axis[a].padded];
        if (source < 0)
            return -1;
        at += source * scale;
        scale *= p->axis[a].size;
        i /= p->axis[a].padded;
    }
    return at + i * scale;
}

void fuzz_pad(fuzz *f)
{
    const uint8_t options = fuzz_byte(f);
    cc_padding p = {.axes = (int)fuzz_range(f, f->hostile ? -1 : 1, f->hostile ? CC_PAD_AXES + 1 : 4),
                    .outer = fuzz_size(f, 0), .inner = fuzz_size(f, 0), .dtype = options & 1 ? CC_F64 : CC_F32};
    int64_t sizes[CC_PAD_AXES + 3] = {p.outer, p.inner}, padded[CC_PAD_AXES + 3] = {p.outer, p.inner};
    int64_t count, padded_count, bytes;
    bool right = p.axes >= 1 && p.axes <= CC_PAD_AXES, inside = true;
    const int axes = right ? p.axes : 0;
    for (int a = 0; a < axes; a++) {
        sizes[a + 2] = p.axis[a].size = fuzz_size(f, 0);
        padded[a + 2] = p.axis[a].padded = fuzz_size(f, 0);
    }
    /* Bytes can be too many for the library where one size is zero and the others are large. */
    sizes[axes + 2] = padded[axes + 2] = (int64_t)cc_dtype_size(p.dtype);
    right = right && fuzz_fits(sizes, axes + 2, &count) && fuzz_fits(padded, axes + 2, &padded_count);
    right = right && cc_product(sizes, axes + 3, &bytes) == CC_OK && cc_product(padded, axes + 3, &bytes) == CC_OK;
    char nothing[8] = {0};
    for (int a = 0; a < axes; a++) {
        const int64_t n = p.axis[a].padded > 0 && p.axis[a].padded <= 1 << 12 ? p.axis[a].padded : 0;
        int64_t *source = fuzz_bytes(f, n * 8);
        right = right && n == p.axis[a].padded;
        for (int64_t i = 0; i < n; i++) {
            const bool along = i > 0 && !fuzz_flag(f); /* mostly one behind the other */
            source[i] = along ? source[i - 1] + 1 : fuzz_range(f, -1, p.axis[a].size < 100 ? p.axis[a].size : 100);
            if (!f->hostile && source[i] >= p.axis[a].size)
                source[i] = -1;
            inside = inside && source[i] < p.axis[a].size;
        }
        p.axis[a].source = source;
    }
    if (!right) {
        for (int a = 0; a < axes; a++)
            if (p.axis[a].padded > 1 << 12)
                return;
        if (p.outer >= 0 && p.inner >= 0 && axes > 0) {
            if (cc_product(sizes, axes + 3, &bytes) == CC_OK && cc_product(padded, axes + 3, &bytes) == CC_OK)
                return; /* only too large for this */
        }
        FUZZ_EXPECT(cc_pad_forward(f->context, &p, nothing, 1, nothing) < 0);
        FUZZ_EXPECT(cc_pad_backward(f->context, &p, nothing, nothing) < 0);
        return;
    }
    double *x64, *dy64, one = (double)(padded_count + 1);
    const void *x = fuzz_array(f, p.dtype, count, &x64), *dy = fuzz_array(f, p.dtype, padded_count, &dy64);
    void *y = fuzz_output(f, p.dtype, padded_count), *dx = fuzz_output(f, p.dtype, count);
    if (!inside) {
        FUZZ_EXPECT(cc_pad_forward(f->context, &p, x, 0.5, y) == CC_ERR_INDEX);
        FUZZ_EXPECT(cc_pad_backward(f->context, &p, dy, dx) == CC_ERR_INDEX);
        FUZZ_EXPECT(fuzz_untouched(y, p.dtype, padded_count) && fuzz_untouched(dx, p.dtype, count));
        return;
    }
    double *y64 = fuzz_bytes(f, padded_count * 8), *dx64 = fuzz_bytes(f, count * 8);
    memset(dx64, 0, (size_t)count * 8);
    for (int64_t i = 0; i < padded_count; i++) {
        const int64_t from = place(&p, i);
        y64[i] = from < 0 ? 0.5 : x64[from];
        if (from >= 0)
            dx64[from] += dy64[i];
    }
    FUZZ_EXPECT(cc_pad_forward(f->context, &p, x, 0.5, y) == CC_OK);
    FUZZ_EXPECT(cc_pad_backward(f->context, &p, dy, dx) == CC_OK);
    fuzz_compare("pad", y, p.dtype, y64, padded_count, 0, &one, 1);
    fuzz_compare("pad backward", dx, p.dtype, dx64, count, fuzz_epsilon(p.dtype), &one, 1);
}
