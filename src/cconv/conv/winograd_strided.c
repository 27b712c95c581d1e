/* conv/winograd_strided.c -- 3x3 convolution of stride 2 of channels-last float32 images by Winograd's F(4x4, 2x2) over the four
 * phases of the image: 56 % of the multiplications (kernels/winograd.h). What stride 1 does serves here, too (winograd.c).
 */
#include "winograd.h"

/* Phases stand behind one another in whole slices. */
static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)pass;
    return cc_winograd_supports(context, conv, true) && conv->ic / conv->groups % CC_WINOGRAD_SLICE == 0;
}

/* Below this the transforms cost more than the products they save. */
/* Fewer channels than these pay where tiles are many and hardly reach beyond the image. */
#define FEW_CHANNELS 32

static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const int64_t *out = conv->window.output, least = cc_min(conv->ic, conv->oc) / conv->groups;
    const int64_t pixels = out[1] * out[2], tiled = 16 * cc_ceil_div(out[1], 4) * cc_ceil_div(out[2], 4);
    (void)context;
    (void)pass;
    if (least < FEW_CHANNELS)
        return least >= 16 && conv->n * pixels >= 4096 && 8 * tiled <= 9 * pixels;
    return out[1] >= 3 && out[2] >= 3 && conv->n * pixels >= 256;
}

const cc_conv_algo cc_conv_winograd_strided = {
    .name = "winograd_strided",
    .approximate = true,
    .fuses = true,
    .skips_padding = {true, true, true}, /* as in winograd.c */
    .supports = supports,
    .pays = pays,
    .forward = cc_winograd_forward,
    .backward_data = cc_winograd_backward_data,
    .backward_weight = cc_winograd_add_weight,
    .give_weight = cc_winograd_give_weight,
};
