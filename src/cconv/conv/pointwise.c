/* The 1x1 convolution of channels-last images: one matrix product over all pixels.
 *
 *   y (pixels x OC) = x (pixels x IC) W'     dx = dy W     dw += dy' x
 *
 * Groups are such products of some of the columns each. With a stride, the pixels that count are gathered first, or
 * scattered among zeros at the end. Of channels-first images each has a product of its own, and they are done as one:
 *
 *   y (OC x pixels) = W x (IC x pixels)      dx = W' dy      dw += SUM over images  dy x'
 */
#include <string.h>

#include "../gemm/gemm.h"
#include "algo.h"

/* Memory order makes no difference to images of one pixel or one channel. */
static bool pixels_are_rows(cc_layout layout, int64_t channels, int64_t pixels)
{
    return layout == CC_CHANNELS_LAST || channels == 1 || pixels == 1;
}

static bool strided(const cc_conv *conv)
{
    const int64_t *s = conv->window.stride;
    return s[0] != 1 || s[1] != 1 || s[2] != 1;
}

/* Floats of the weight gradients of all images, each apart. */
#define MOST_SUMS (1 << 22)

/* Channels-first on both sides. */
static bool in_planes(const cc_conv *conv)
{
    const int64_t pixels = cc_volume(conv->window.input);
    return conv->x_layout == CC_CHANNELS_FIRST && conv->y_layout == CC_CHANNELS_FIRST && conv->groups == 1 &&
           !strided(conv) && !(pixels_are_rows(CC_CHANNELS_FIRST, conv->ic, pixels) &&
                               pixels_are_rows(CC_CHANNELS_FIRST, conv->oc, pixels));
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    (void)context;
    for (int axis = 0; axis < CC_AXES; axis++)
        if (w->kernel[axis] != 1 || w->pad_before[axis] != 0 || w->pad_after[axis] != 0)
            return false;
    if (conv->dtype == CC_F32 && in_planes(conv)) {
        int64_t sums;
        return pass != CC_BACKWARD_WEIGHT ||
               (cc_product((const int64_t[]){conv->n, conv->oc, conv->ic}, 3, &sums) == CC_OK && sums <= MOST_SUMS);
    }
    return conv->dtype == CC_F32 && pixels_are_rows(conv->x_layout, conv->ic, cc_volume(w->input)) &&
           pixels_are_rows(conv->y_layout, conv->oc, cc_volume(w->output));
}

/* A product with sums so short is all reading and writing, which the direct convolution does better. With a stride it
 * needs no copy of pixels, but its tiles are rows of an image. */
#define WIDE_FORWARD 8
#define WIDE_BACKWARD 8
/* Groups of fewer channels use too little of each line of memory. */
#define NARROW_GROUP 16
#define LONG_SUM 128

static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    if (in_planes(conv)) {
        /* Rows that fill vectors badly, and short sums in the weight gradient, are better copied. */
        const int64_t pixels = cc_volume(conv->window.output);
        return conv->ic >= 4 && 8 * cc_gemm_padded(context->kernels, pixels) <= 9 * pixels &&
               (pass != CC_BACKWARD_WEIGHT || pixels >= LONG_SUM);
    }
    const bool last = conv->x_layout == CC_CHANNELS_LAST && conv->y_layout == CC_CHANNELS_LAST;
    const bool wide = conv->window.output[2] >= (pass == CC_FORWARD ? WIDE_FORWARD : WIDE_BACKWARD);
    const bool narrow = conv->groups > 1 && cc_min(conv->ic, conv->oc) / conv->groups < NARROW_GROUP;
    return conv->ic >= 4 && !narrow && !(strided(conv) && pass != CC_BACKWARD_WEIGHT && last && wide);
}

static int64_t output_pixels(const cc_conv *conv) { return conv->n * cc_volume(conv->window.output); }

typedef struct sample_job {
    const cc_conv *conv;
    const float *from;
    float *to;
    const float *residual; /* like `to`, or NULL */
} sample_job;

/* Rows of output pixels, from where they lie in the image; the next row is fetched. */
static void gather(void *argument, int64_t begin, int64_t end, int part)
{
    const sample_job *job = argument;
    const cc_window *w = &job->conv->window;
    const int64_t ic = job->conv->ic;
    (void)part;
    for (int64_t row = begin; row < end; row++) {
        const int64_t h = row % w->output[1], d = row / w->output[1] % w->output[0];
        const int64_t later = row + 1 < end && h + 1 < w->output[1] ? w->stride[1] * w->input[2] * ic : 0;
        const int64_t n = row / (w->output[1] * w->output[0]);
        const int64_t source = (n * w->input[0] + d * w->stride[0]) * w->input[1] + h * w->stride[1];
        const float *from = job->from + source * w->input[2] * ic;
        float *to = job->to + row * w->output[2] * ic;
        for (int64_t p = 0; p < w->output[2]; p++) {
            const float *pixel = from + p * w->stride[2] * ic;
            for (int64_t i = 0; i < ic && later != 0; i += CC_ALIGNMENT / (int64_t)sizeof(float))
                __builtin_prefetch(pixel + later + i);
            memcpy(to + p * ic, pixel, (size_t)ic * sizeof(float));
        }
    }
}

/* Rows of input pixels: output pixels where there are any, else zeros, and the residual. */
static void scatter(void *argument, int64_t begin, int64_t end, int part)
{
    const sample_job *job = argument;
    const cc_window *w = &job->conv->window;
    const int64_t ic = job->conv->ic;
    (void)part;
    for (int64_t row = begin; row < end; row++) {
        const int64_t h = row % w->input[1], d = row / w->input[1] % w->input[0];
        const int64_t n = row / (w->input[1] * w->input[0]);
        float *to = job->to + row * w->input[2] * ic;
        const size_t bytes = (size_t)(w->input[2] * ic) * sizeof(float);
        if (job->residual != NULL)
            memcpy(to, job->residual + row * w->input[2] * ic, bytes);
        else
            memset(to, 0, bytes);
        if (h % w->stride[1] != 0 || d % w->stride[0] != 0)
            continue;
        const int64_t source = (n * w->output[0] + d / w->stride[0]) * w->output[1] + h / w->stride[1];
        const float *from = job->from + source * w->output[2] * ic;
        for (int64_t p = 0; p < w->output[2]; p++, from += ic, to += w->stride[2] * ic)
            if (job->residual == NULL)
                memcpy(to, from, (size_t)ic * sizeof(float));
            else
                for (int64_t c = 0; c < ic; c++)
                    to[c] += from[c];
    }
}

/* The pixels of x that a pass reads: x itself, or a copy that the caller frees. */
static cc_status sampled(const cc_context *context, const cc_conv *conv, const float *x, const float **pixels,
                         float **copy)
{
    *pixels = x;
    *copy = NULL;
    if (!strided(conv))
        return CC_OK;
    *copy = cc_arena_alloc(context->arena, (size_t)(output_pixels(conv) * conv->ic) * sizeof(float));
    if (*copy == NULL)
        return CC_ERR_MEMORY;
    const int64_t *output = conv->window.output;
    const int64_t rows = conv->n * output[0] * output[1];
    cc_parallel_for(context->pool, cc_parts(context->pool, rows, cc_ceil_div(16384, output[2] * conv->ic)), rows,
                    gather, &(sample_job){.conv = conv, .from = x, .to = *copy});
    *pixels = *copy;
    return CC_OK;
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                         const void *b, const cc_epilogue *epilogue, void *y)
{
    cc_gemm_epilogue ending = {.bias = b, .ld_residual = conv->oc};
    if (epilogue != NULL) {
        ending.scale = epilogue->scale;
        ending.residual = epilogue->residual;
        ending.relu = epilogue->relu;
    }
    const int64_t ic = conv->ic / conv->groups, oc = conv->oc / conv->groups;
    if (in_planes(conv)) {
        const int64_t plane = cc_volume(conv->window.output);
        CC_TRY(cc_gemm_grouped(context, &(cc_gemm_groups){conv->n, 0, ic * plane, oc * plane}, false, false, oc, plane, ic,
                               w, ic, x, plane, false, y, plane, NULL));
        cc_conv_apply_epilogue(context, conv, b, epilogue, y);
        return CC_OK;
    }
    const float *pixels;
    float *copy;
    CC_TRY(sampled(context, conv, x, &pixels, &copy));
    const cc_gemm_groups groups = {conv->groups, ic, oc * ic, oc};
    const cc_status status = cc_gemm_grouped(context, &groups, false, true, output_pixels(conv), oc, ic, pixels,
                                             conv->ic, w, ic, false, y, conv->oc, &ending);
    cc_arena_free(context->arena, copy);
    return status;
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    const int64_t pixels = output_pixels(conv), plane = cc_volume(conv->window.output);
    float *image = dx, *samples = NULL;
    if (in_planes(conv)) {
        const cc_gemm_groups images = {conv->n, 0, conv->oc * plane, conv->ic * plane};
        CC_TRY(cc_gemm_grouped(context, &images, true, false, conv->ic, plane, conv->oc, w, conv->ic, dy, plane, false,
                               image, plane, NULL));
        if (residual != NULL)
            cc_conv_add_residual(context, conv, residual, dx);
        return CC_OK;
    }
    if (strided(conv)) {
        samples = cc_arena_alloc(context->arena, (size_t)(pixels * conv->ic) * sizeof(float));
        if (samples == NULL)
            return CC_ERR_MEMORY;
    }
    const cc_gemm_epilogue ending = {.residual = samples != NULL ? NULL : residual, .ld_residual = conv->ic};
    const int64_t ic = conv->ic / conv->groups, oc = conv->oc / conv->groups;
    const cc_gemm_groups groups = {conv->groups, oc, oc * ic, ic};
    const cc_status status = cc_gemm_grouped(context, &groups, false, false, pixels, ic, oc, dy, conv->oc, w, ic,
                                             false, samples != NULL ? samples : image, conv->ic, &ending);
    if (status == CC_OK && samples != NULL) {
        const int64_t *input = conv->window.input;
        const int64_t rows = conv->n * input[0] * input[1];
        cc_parallel_for(context->pool, cc_parts(context->pool, rows, cc_ceil_div(16384, input[2] * conv->ic)), rows,
                        scatter, &(sample_job){.conv = conv, .from = samples, .to = image, .residual = residual});
    }
    cc_arena_free(context->arena, samples);
    return status;
}

typedef struct sum_job {
    const float *of_images;
    int64_t images, weights;
    float *dw;
} sum_job;

/* Weights, whose sums over the images go to dw. */
static void add_images(void *argument, int64_t begin, int64_t end, int part)
{
    const sum_job *job = argument;
    (void)part;
    for (int64_t n = 0; n < job->images; n++)
        for (int64_t i = begin; i < end; i++)
            job->dw[i] += job->of_images[n * job->weights + i];
}

static cc_status add_planes(const cc_context *context, const cc_conv *conv, const float *x, const float *dy, float *dw)
{
    const int64_t plane = cc_volume(conv->window.output), weights = conv->oc * conv->ic;
    float *sums = cc_arena_alloc(context->arena, (size_t)(conv->n * weights) * sizeof(float));
    if (sums == NULL)
        return CC_ERR_MEMORY;
    const cc_gemm_groups images = {conv->n, conv->oc * plane, conv->ic * plane, weights};
    const cc_status status = cc_gemm_grouped(context, &images, false, true, conv->oc, conv->ic, plane, dy, plane, x, plane,
                                             false, sums, conv->ic, NULL);
    if (status == CC_OK)
        cc_parallel_for(context->pool, cc_parts(context->pool, weights, 4096), weights, add_images,
                        &(sum_job){sums, conv->n, weights, dw});
    cc_arena_free(context->arena, sums);
    return status;
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                 void *dw)
{
    if (in_planes(conv))
        return add_planes(context, conv, x, dy, dw);
    const float *pixels;
    float *copy;
    CC_TRY(sampled(context, conv, x, &pixels, &copy));
    const int64_t ic = conv->ic / conv->groups, oc = conv->oc / conv->groups;
    const cc_gemm_groups groups = {conv->groups, oc, ic, oc * ic};
    const cc_status status = cc_gemm_grouped(context, &groups, true, false, oc, ic, output_pixels(conv), dy, conv->oc,
                                             pixels, conv->ic, true, dw, ic, NULL);
    cc_arena_free(context->arena, copy);
    return status;
}

const cc_conv_algo cc_conv_pointwise = {
    .name = "pointwise",
    .fuses = true,
    .supports = supports,
    .pays = pays,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
