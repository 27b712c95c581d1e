/* Size arithmetic: nothing overflows silently. */
#include <stdlib.h>
#include "check.h"

static void products(check *c)
{
    int64_t result = -7;
    const int64_t three[] = {3, 4, 5}, empty[] = {12, 2, 0, 5}, negative[] = {3, -1};
    EXPECT(c, cc_product(three, 3, &result) == CC_OK && result == 60);
    EXPECT(c, cc_product(empty, 4, &result) == CC_OK && result == 0);
    EXPECT(c, cc_product(three, 0, &result) == CC_OK && result == 1);
    result = -7;
    EXPECT(c, cc_product(negative, 2, &result) == CC_ERR_ARGUMENT && result == -7);

    /* No elements, yet strides that no array can have. */
    const int64_t strides[] = {12, 2, 2, 2, 0, INT64_C(4634247419717959497)};
    EXPECT(c, cc_product(strides, 6, &result) == CC_ERR_OVERFLOW && result == -7);
    const int64_t large[] = {INT64_C(1) << 32, INT64_C(1) << 32}, limit[] = {INT64_MAX / 16}, beyond[] = {INT64_MAX / 16 + 1};
    EXPECT(c, cc_product(large, 2, &result) == CC_ERR_OVERFLOW);
    EXPECT(c, cc_product(limit, 1, &result) == CC_OK && result == INT64_MAX / 16);
    EXPECT(c, cc_product(beyond, 1, &result) == CC_ERR_OVERFLOW);

    static const int64_t edges[] = {0, 1, 3, INT64_C(1) << 15, (INT64_C(1) << 16) + 1, (INT64_C(1) << 31) - 1,
                                    INT64_C(1) << 32, INT64_C(1) << 62, INT64_MAX};
    for (int trial = 0; trial < 20000; trial++) {
        int64_t dims[5];
        long double exact = 1;
        bool is_empty = false;
        for (int i = 0; i < 5; i++) {
            dims[i] = edges[check_integer(c, 0, (int64_t)(sizeof edges / sizeof *edges) - 1)];
            is_empty |= dims[i] == 0;
            exact *= dims[i] == 0 ? 1 : (long double)dims[i];
        }
        const cc_status status = cc_product(dims, 5, &result);
        const bool fits = exact <= (long double)(INT64_MAX / 16);
        if ((status == CC_OK) != fits || (fits && result != (is_empty ? 0 : (int64_t)exact)))
            EXPECT(c, !"cc_product is wrong at the edges");
    }
    c->passed++;
}

/* Output size by trying every place. */
static int64_t places(int64_t input, int64_t kernel, int64_t stride, int64_t dilation, int64_t before, int64_t after,
                      bool ceil_mode)
{
    const int64_t padded = input + before + after, reach = dilation * (kernel - 1) + 1;
    if (reach > padded) /* less than a stride short: the only window sticks out */
        return ceil_mode && reach - padded < stride ? 1 : -1;
    int64_t count = 1;
    while (count * stride + reach <= padded)
        count++;
    /* One window more may stick out, unless it would start in the padding behind. */
    if (ceil_mode && (count - 1) * stride + reach < padded && count * stride < input + before)
        count++;
    return count;
}

static void windows(check *c)
{
    for (int trial = 0; trial < 20000; trial++) {
        cc_window w;
        bool ceil_mode = check_integer(c, 0, 1) == 1;
        int64_t expected[CC_AXES];
        bool fits = true;
        for (int i = 0; i < CC_AXES; i++) {
            w.input[i] = check_integer(c, 0, 9);
            w.kernel[i] = check_integer(c, 1, 5);
            w.stride[i] = check_integer(c, 1, 4);
            w.dilation[i] = check_integer(c, 1, 3);
            w.pad_before[i] = check_integer(c, 0, 3);
            w.pad_after[i] = check_integer(c, 0, 3);
            w.output[i] = -5;
            expected[i] = places(w.input[i], w.kernel[i], w.stride[i], w.dilation[i], w.pad_before[i],
                                 w.pad_after[i], ceil_mode);
            fits &= expected[i] > 0;
        }
        const cc_status status = cc_window_resolve(&w, ceil_mode);
        bool right = status == (fits ? CC_OK : CC_ERR_SHAPE);
        for (int i = 0; i < CC_AXES; i++)
            right &= w.output[i] == (fits ? expected[i] : -5);
        if (fits && !ceil_mode) {
            right &= cc_window_check(&w) == CC_OK;
            w.output[1]++;
            right &= cc_window_check(&w) == CC_ERR_SHAPE;
        }
        if (!right) {
            EXPECT(c, !"cc_window_resolve disagrees with counting");
            return;
        }
    }
    c->passed++;

    const cc_window good = {.input = {1, 8, 8}, .kernel = {1, 3, 3}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
#define WITH(field, value, wanted)                                      \
    do {                                                                \
        cc_window w = good;                                             \
        w.field[2] = (value);                                           \
        EXPECT(c, cc_window_resolve(&w, false) == (wanted));            \
        EXPECT(c, cc_window_resolve(&w, true) == (wanted));             \
    } while (0)
    WITH(input, 8, CC_OK);
    WITH(input, -1, CC_ERR_ARGUMENT);
    WITH(kernel, 0, CC_ERR_ARGUMENT);
    WITH(stride, 0, CC_ERR_ARGUMENT);
    WITH(stride, -1, CC_ERR_ARGUMENT);
    WITH(stride, INT64_MAX, CC_OK);
    WITH(dilation, 0, CC_ERR_ARGUMENT);
    WITH(dilation, INT64_MAX, CC_ERR_OVERFLOW);
    WITH(pad_before, -1, CC_ERR_ARGUMENT);
    WITH(pad_after, INT64_MAX, CC_ERR_OVERFLOW);
    WITH(kernel, INT64_MAX, CC_ERR_SHAPE);
    WITH(kernel, 9, CC_ERR_SHAPE);
#undef WITH

    /* Found by the fuzzer: where the next window would start is no number. */
    cc_window far = good;
    far.stride[2] = INT64_C(1) << 61;
    far.pad_after[2] = 3 * (INT64_C(1) << 61);
    EXPECT(c, cc_window_resolve(&far, true) == CC_OK && far.output[2] == 4);
}

static void strides(check *c)
{
    const int64_t spatial[] = {2, 5, 7};
    const cc_strides first = cc_strides_of(CC_CHANNELS_FIRST, 3, spatial), last = cc_strides_of(CC_CHANNELS_LAST, 3, spatial);
    EXPECT(c, first.n == 210 && first.c == 70 && first.s[0] == 35 && first.s[1] == 7 && first.s[2] == 1);
    EXPECT(c, last.n == 210 && last.c == 1 && last.s[0] == 105 && last.s[1] == 21 && last.s[2] == 3);
}

void test_shape(check *c)
{
    c->what = "shape";
    products(c);
    windows(c);
    strides(c);
}
