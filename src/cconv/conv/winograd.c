/* conv/winograd.c -- 3x3 and 5x5 convolution of channels-last float32 images by Winograd's F(4x4, 3x3) and
 * F(2x2, 5x5): a quarter, or 36 %, of the multiplications (kernels/winograd.h). F(2x2, 3x3) would save no more than
 * leaving out the taps beyond the edge does on the images too small for F(4x4); those of 2x2 pixels have a form of their
 * own. backward_data is forward with the kernels turned and channels exchanged (winograd_run.c), backward_weight the
 * adjoint (winograd_weight.c).
 *
 * Values that leave the range of float on the way, or Inf and NaN in the data, cannot hide: whatever a
 * pixel or weight reaches in direct convolution it reaches here, too, and makes it Inf or NaN. So the
 * outputs' magnitudes tell when to compute everything again by an algorithm that has no transforms.
 */
#include <float.h>
#include <math.h>

#include "winograd.h"

/* Forms for one size of images pad them by 1. */
static bool fits(const cc_winograd_kernels *form, const cc_window *w)
{
    bool same = true;
    for (int a = 1; a < CC_AXES; a++)
        same = same && w->kernel[a] == form->taps && w->stride[a] == form->stride &&
               (form->image == 0 ||
                (w->input[a] == form->image && w->output[a] == form->image && w->pad_before[a] == 1));
    return same;
}

const cc_winograd_kernels *cc_winograd_form(const cc_kernels *kernels, const cc_conv *conv)
{
    for (int f = 0; f < CC_WINOGRAD_FORMS; f++)
        if (fits(&kernels->winograd[f], &conv->window))
            return &kernels->winograd[f];
    return NULL;
}

/* The two memory orders are one where there is a single channel or a single pixel. */
static bool is_channels_last(cc_layout layout, int64_t channels, const int64_t spatial[CC_AXES])
{
    return layout == CC_CHANNELS_LAST || channels == 1 || cc_volume(spatial) == 1;
}

bool cc_winograd_supports(const cc_context *context, const cc_conv *conv, bool strided)
{
    const cc_window *w = &conv->window;
    const cc_winograd_kernels *form = cc_winograd_form(context->kernels, conv);
    if (form == NULL || (form->stride > 1) != strided || conv->ic > CC_WINOGRAD_MANY_CHANNELS ||
        conv->oc > CC_WINOGRAD_MANY_CHANNELS)
        return false;
    if (conv->groups > 1 && conv->groups == conv->ic) /* depthwise: no sums over channels that transforms are for */
        return false;
    if (conv->dtype != CC_F32 || !is_channels_last(conv->x_layout, conv->ic, w->input) ||
        !is_channels_last(conv->y_layout, conv->oc, w->output) || w->input[0] != 1 || w->kernel[0] != 1 || w->output[0] != 1 ||
        w->pad_before[0] != 0)
        return false;
    for (int a = 1; a < CC_AXES; a++)
        if (w->dilation[a] != 1 || w->pad_before[a] >= form->taps || w->pad_after[a] >= form->taps)
            return false;
    return true;
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)pass;
    return cc_winograd_supports(context, conv, false);
}

/* Below this the transforms cost more than the products they save, and exact results are kept. Many channels pay even
 * for a single small image; and any for 2x2 images, whose transforms are sums of two. */
#define MANY_WEIGHTS (1 << 11)
static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const int64_t *out = conv->window.output;
    (void)pass;
    const int64_t pixels = conv->n * out[1] * out[2], icg = conv->ic / conv->groups, ocg = conv->oc / conv->groups;
    if (icg < 16 || ocg < 16)
        return false;
    if (cc_winograd_form(context->kernels, conv)->image > 0)
        return true;
    return out[1] >= 3 && out[2] >= 3 && (pixels >= 256 || (pixels >= 16 && ocg >= MANY_WEIGHTS / icg));
}

/* Groups a thread from which on it hardly matters that they do not go round. */
#define ENOUGH_GROUPS 4

int cc_winograd_apart(const cc_context *context, const cc_conv *conv)
{
    const int threads = cc_pool_threads(context->pool);
    return conv->groups % threads == 0 || conv->groups >= ENOUGH_GROUPS * threads ? cc_parts(context->pool, conv->groups, 1) : 1;
}

cc_winograd_columns cc_winograd_cut(const cc_kernels *kernels, int64_t channels)
{
    const int64_t vectors = cc_ceil_div(channels, kernels->lanes);
    const int64_t count = cc_ceil_div(vectors, kernels->gemm.max_vectors);
    const int64_t width = cc_ceil_div(vectors, count) * kernels->lanes;
    return (cc_winograd_columns){channels, width, cc_ceil_div(channels, width)};
}

int64_t cc_winograd_vectors(const cc_kernels *kernels, const cc_winograd_columns *columns, int64_t block)
{
    return cc_ceil_div(cc_winograd_channels(columns, block), kernels->lanes);
}

void cc_winograd_phases(const cc_winograd_kernels *form, int64_t xi, int64_t *begin, int64_t *end)
{
    const bool row = xi < form->points, column = xi % form->points == 0; /* of point 0 */
    *begin = form->phases > 1 && column;
    *end = form->phases == 1 ? 1 : row ? 2 : column ? 3 : CC_WINOGRAD_PHASES;
}

bool cc_winograd_sound(const float *magnitude, int parts)
{
    float largest = 0;
    for (int p = 0; p < parts; p++) {
        if (!(magnitude[p] <= FLT_MAX))
            return false;
        largest = fmaxf(largest, magnitude[p]);
    }
    return largest == 0 || largest >= CC_WINOGRAD_SMALLEST;
}

const cc_conv_algo *cc_winograd_exact(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    for (int i = 0; i < cc_conv_algo_count() - 1; i++) {
        const cc_conv_algo *algo = cc_conv_algo_get(i, CC_F32);
        if (!algo->approximate && !algo->needs_blas && algo->supports(context, conv, pass))
            return algo;
    }
    return &cc_conv_reference;
}

static const cc_conv_algo *algo_of(const cc_winograd_kernels *form)
{
    return form->stride > 1 ? &cc_conv_winograd_strided : &cc_conv_winograd;
}

cc_status cc_winograd_forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w, const void *b,
                              const cc_epilogue *epilogue, void *y)
{
    const cc_winograd_kernels *form = cc_winograd_form(context->kernels, conv);
    cc_winograd_pass pass = {
        .x = x, .w = w, .bias = b, .y = y,
        .scale = epilogue != NULL ? epilogue->scale : NULL,
        .residual = epilogue != NULL ? epilogue->residual : NULL,
        .relu = epilogue != NULL && epilogue->relu,
    };
    cc_winograd_sides(conv, form, CC_FORWARD, &pass.from, &pass.to);
    bool sound;
    CC_TRY(cc_winograd_convolve(context, conv, &pass, &sound));
    if (sound)
        return CC_OK;
    if (cc_conv_special_factors(context, conv, CC_FORWARD, w))
        return cc_conv_apart_forward(algo_of(form), context, conv, x, w, b, epilogue, y);
    return cc_conv_algo_forward(cc_winograd_exact(context, conv, CC_FORWARD), context, conv, x, w, b, epilogue, y);
}

cc_status cc_winograd_backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                                    const void *residual, void *dx)
{
    const cc_winograd_kernels *form = cc_winograd_form(context->kernels, conv);
    cc_winograd_pass pass = {.x = dy, .w = w, .residual = residual, .y = dx, .back = true};
    cc_winograd_sides(conv, form, CC_BACKWARD_DATA, &pass.to, &pass.from);
    bool sound;
    CC_TRY(cc_winograd_convolve(context, conv, &pass, &sound));
    if (sound)
        return CC_OK;
    if (cc_conv_special_factors(context, conv, CC_BACKWARD_DATA, w))
        return cc_conv_apart_backward_data(algo_of(form), context, conv, dy, w, residual, dx);
    return cc_conv_algo_backward_data(cc_winograd_exact(context, conv, CC_BACKWARD_DATA), context, conv, dy, w, residual, dx);
}

cc_status cc_winograd_add_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy, void *dw)
{
    return cc_winograd_backward_weight(context, conv, x, dy, &(cc_winograd_gradient){.dw = dw});
}

cc_status cc_winograd_give_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                  const cc_sink *sink, int64_t begin)
{
    return cc_winograd_backward_weight(context, conv, x, dy, &(cc_winograd_gradient){.sink = sink, .begin = begin});
}

const cc_conv_algo cc_conv_winograd = {
    .name = "winograd",
    .approximate = true,
    .fuses = true,
    /* A result with Inf or NaN is not sound: another algorithm makes it. */
    .skips_padding = {true, true, true},
    .supports = supports,
    .pays = pays,
    .forward = cc_winograd_forward,
    .backward_data = cc_winograd_backward_data,
    .backward_weight = cc_winograd_add_weight,
    .give_weight = cc_winograd_give_weight,
};
