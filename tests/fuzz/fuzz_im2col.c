#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "im2col/im2col.h"

void fuzz_im2col(fuzz *f)
{
    cc_patches p = {.window = fuzz_window(f)};
    const uint8_t options = fuzz_byte(f);
    p.n = fuzz_range(f, 0, 2);
    p.c = fuzz_size(f, f->hostile ? 0 : 1);
    p.dtype = options & 1 ? CC_F64 : CC_F32;
    p.layout = options & 2 ? CC_CHANNELS_LAST : CC_CHANNELS_FIRST;
    const cc_patches given = p;
    const cc_status status = cc_patches_resolve(&p);
    if (status != CC_OK) {
        char nothing[1] = {0};
        FUZZ_EXPECT(cc_im2col(f->context, &given, nothing, nothing) == status);
        FUZZ_EXPECT(cc_col2im(f->context, &given, nothing, nothing) == status);
        return;
    }
    const cc_window *w = &p.window;
    const int64_t *in = w->input, *out = w->output, *k = w->kernel;
    int64_t count, columns;
    if (!fuzz_fits((int64_t[]){p.n, p.c, in[0], in[1], in[2]}, 5, &count) ||
        !fuzz_fits((int64_t[]){p.n, p.c, k[0], k[1], k[2], out[0], out[1], out[2]}, 8, &columns))
        return;
    double *x64, *cols64, none = 0;
    const void *x = fuzz_array(f, p.dtype, count, &x64), *cols = fuzz_array(f, p.dtype, columns, &cols64);
    void *got = fuzz_output(f, p.dtype, columns), *back = fuzz_output(f, p.dtype, count);
    double *expected = fuzz_bytes(f, columns * 8), *sums = fuzz_bytes(f, count * 8), *bound = fuzz_bytes(f, count * 8);
    memset(sums, 0, (size_t)count * 8);
    memset(bound, 0, (size_t)count * 8);
    const cc_strides s = cc_strides_of(p.layout, p.c, in);
    for (int64_t i = 0; i < columns; i++) {
        int64_t rest = i, at[8];
        const int64_t dims[] = {p.n, p.c, k[0], k[1], k[2], out[0], out[1], out[2]};
        for (int a = 7; a >= 0; a--) {
            at[a] = rest % dims[a];
            rest /= dims[a];
        }
        int64_t place = at[0] * s.n + at[1] * s.c;
        bool inside = true;
        for (int axis = 0; axis < CC_AXES; axis++) {
            const int64_t q = at[5 + axis] * w->stride[axis] + at[2 + axis] * w->dilation[axis] - w->pad_before[axis];
            inside &= q >= 0 && q < in[axis];
            place += inside ? q * s.s[axis] : 0;
        }
        expected[i] = inside ? x64[place] : 0;
        if (inside) {
            sums[place] += cols64[i];
            bound[place] += 100 * fabs(cols64[i]);
        }
    }
    FUZZ_EXPECT(cc_im2col(f->context, &p, x, got) == CC_OK);
    FUZZ_EXPECT(cc_col2im(f->context, &p, cols, back) == CC_OK);
    fuzz_compare("im2col", got, p.dtype, expected, columns, 0, &none, 1);
    fuzz_compare("col2im", back, p.dtype, sums, count, f->values == FUZZ_INTEGERS ? 0 : fuzz_epsilon(p.dtype), bound,
                 count);
}
