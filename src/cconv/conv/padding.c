/* Padding is not multiplied: 0 * Inf would be a NaN that no window of the image holds. Algorithms that do multiply it
 * are right as long as no Inf or NaN lies where padding is met; apart.c puts the rest right.
 */
#include <string.h>

#include "algo.h"

#define T float
#define BITS uint32_t
#define EXPONENT UINT32_C(0x7f800000)
#define NAME(name) name##_f32
#include "padding.inc"
#undef T
#undef BITS
#undef EXPONENT
#undef NAME
#define T double
#define BITS uint64_t
#define EXPONENT UINT64_C(0x7ff0000000000000)
#define NAME(name) name##_f64
#include "padding.inc"
#undef T
#undef BITS
#undef EXPONENT
#undef NAME

/* Positions of y, or of x in backward_data, whose taps all lie within the source: first <= p < last. */
static void inner_box(const cc_window *w, cc_pass pass, int64_t first[CC_AXES], int64_t last[CC_AXES])
{
    for (int a = 0; a < CC_AXES; a++) {
        const int64_t reach = (w->kernel[a] - 1) * w->dilation[a], pad = w->pad_before[a];
        const bool back = pass == CC_BACKWARD_DATA;
        const int64_t size = back ? w->input[a] : w->output[a];
        const int64_t from = back ? reach - pad : cc_ceil_div(pad, w->stride[a]);
        const int64_t room = w->input[a] + pad - reach;
        const int64_t to = back ? (w->output[a] - 1) * w->stride[a] - pad + 1
                                : (room > 0 ? (room - 1) / w->stride[a] + 1 : 0);
        first[a] = cc_min(cc_max(from, 0), size);
        last[a] = cc_max(cc_min(to, size), first[a]);
    }
}

int64_t cc_conv_factors(const cc_conv *conv, cc_pass pass)
{
    return conv->oc * (pass == CC_BACKWARD_WEIGHT ? conv->n * cc_volume(conv->window.output)
                                                  : conv->ic / conv->groups * cc_volume(conv->window.kernel));
}

bool cc_conv_special_factors(const cc_conv *conv, cc_pass pass, const void *factors)
{
    const int64_t n = cc_conv_factors(conv, pass);
    return conv->dtype == CC_F32 ? has_special_f32(factors, n) : has_special_f64(factors, n);
}

bool cc_conv_multiplied_padding(const cc_context *context, const cc_conv *conv, cc_pass pass, const void *image,
                                const void *factors)
{
    if (cc_pool_rehearses(context->pool))
        return false;
    const bool back = pass == CC_BACKWARD_DATA, f32 = conv->dtype == CC_F32;
    const int64_t *size = back ? conv->window.input : conv->window.output;
    const int64_t channels = back ? conv->ic : conv->oc;
    const bool last_order = (back ? conv->x_layout : conv->y_layout) == CC_CHANNELS_LAST;
    const int64_t images = last_order ? conv->n : conv->n * channels, pixel = last_order ? channels : 1;
    int64_t first[CC_AXES], last[CC_AXES];
    inner_box(&conv->window, pass, first, last);
    if (!(f32 ? has_special_border_f32(image, images, pixel, size, first, last)
              : has_special_border_f64(image, images, pixel, size, first, last)))
        return false;
    const int64_t n = cc_conv_factors(conv, pass);
    /* Of nothing but NaN everything is NaN anyway. */
    return cc_conv_special_factors(conv, pass, factors) && !(f32 ? is_nan_f32(factors, n) : is_nan_f64(factors, n));
}
