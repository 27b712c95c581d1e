/* Padding is not multiplied: 0 * Inf would be a NaN that no window of the image holds. Algorithms that do multiply it
 * are right as long as no Inf or NaN lies where padding is met; apart.c puts the rest right.
 */
#include <string.h>

#include "algo.h"

/* A search for Inf and NaN in an array, or in the part of an image that is outside of a box of positions. */
typedef struct search {
    const void *data;
    int64_t images, pixel; /* an image has `pixel` elements side by side at each position */
    const int64_t *size;
    int64_t first[CC_AXES], last[CC_AXES]; /* first <= p < last are in the box */
    bool found;
} search;

/* Elements worth a thread. */
#define GRAIN (1 << 15)

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

/* Positions of y, or of x in backward_data, no tap of which lies in the padding of the source. */
static void inner_box(const cc_window *w, cc_pass pass, int64_t first[CC_AXES], int64_t last[CC_AXES])
{
    for (int a = 0; a < CC_AXES; a++) {
        const int64_t reach = (w->kernel[a] - 1) * w->dilation[a], pad = w->pad_before[a];
        const bool back = pass == CC_BACKWARD_DATA;
        const int64_t size = back ? w->input[a] : w->output[a];
        /* Behind the end of a window before the first one, up to the begin of one after the last. */
        const int64_t step = cc_min(w->stride[a], w->input[a]), room = w->input[a] + pad - reach;
        const int64_t from = back ? reach - pad - step + 1 : cc_ceil_div(pad, w->stride[a]);
        const int64_t to = back ? (w->output[a] - 1) * w->stride[a] - pad + step
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

bool cc_conv_special_factors(const cc_context *context, const cc_conv *conv, cc_pass pass, const void *factors)
{
    const int64_t n = cc_conv_factors(conv, pass);
    search s = {.data = factors};
    cc_parallel_for(context->pool, cc_parts(context->pool, n, GRAIN), n,
                    conv->dtype == CC_F32 ? search_all_f32 : search_all_f64, &s);
    return s.found;
}

bool cc_conv_special(const float *x, int64_t n) { return has_special_f32(x, n); }

static bool special_border(const cc_context *context, const cc_conv *conv, search *s, int64_t outside)
{
    const int64_t lines = s->images * s->size[0] * s->size[1];
    cc_parallel_for(context->pool, cc_parts(context->pool, cc_min(lines, outside / GRAIN), 1), lines,
                    conv->dtype == CC_F32 ? search_border_f32 : search_border_f64, s);
    return s->found;
}

bool cc_conv_multiplied_padding(const cc_context *context, const cc_conv *conv, cc_pass pass, const void *image,
                                const void *factors)
{
    const bool back = pass == CC_BACKWARD_DATA;
    const int64_t channels = back ? conv->ic : conv->oc, n = cc_conv_factors(conv, pass);
    const bool last_order = (back ? conv->x_layout : conv->y_layout) == CC_CHANNELS_LAST;
    search s = {.data = image, .images = last_order ? conv->n : conv->n * channels, .pixel = last_order ? channels : 1,
                .size = back ? conv->window.input : conv->window.output};
    inner_box(&conv->window, pass, s.first, s.last);
    int64_t inside = s.images * s.pixel;
    for (int a = 0; a < CC_AXES; a++)
        inside *= s.last[a] - s.first[a];
    const int64_t outside = s.images * s.pixel * cc_volume(s.size) - inside;
    if (outside == 0 || cc_pool_rehearses(context->pool))
        return false;
    /* The smaller one first. */
    const bool special = n < outside ? cc_conv_special_factors(context, conv, pass, factors) &&
                                           special_border(context, conv, &s, outside)
                                     : special_border(context, conv, &s, outside) &&
                                           cc_conv_special_factors(context, conv, pass, factors);
    /* Of nothing but NaN everything is NaN anyway. */
    return special && !(conv->dtype == CC_F32 ? is_nan_f32(factors, n) : is_nan_f64(factors, n));
}
