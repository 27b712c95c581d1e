/* conv/winograd_dilated.c -- dilated 3x3 and 5x5 convolution of channels-last float32 images by Winograd's algorithms.
 *
 * Outputs a dilation apart see no pixel that others see: dilation d x e makes d * e dense convolutions, each of every d-th
 * line and e-th column. Their pixels are copied together, padding included, as images of one batch, which winograd.c
 * convolves; results are copied back on their way through what follows the convolution.
 */
#include <math.h>
#include <string.h>

#include "winograd.h"

/* Lines worth a thread. */
#define GRAIN 16

/* Pixel i of a phase, along an axis, is pixel phase + i * dilation - before of the image, if there is one. */
typedef struct phase_side {
    const int64_t *size, *dense; /* of the image, and of a phase */
    int64_t channels, before[CC_AXES];
} phase_side;

/* Copies between the images and those of all phases. */
typedef struct dilated_job {
    const cc_context *context;
    const cc_conv *conv;
    phase_side side;
    int64_t step; /* floats from a phase's pixel to its next in the image */
    const float *from;
    float *to;
    cc_gemm_epilogue finish;
} dilated_job;

static int64_t phases_of(const cc_conv *conv) { return conv->window.dilation[1] * conv->window.dilation[2]; }

/* The convolution of all phases, each with as many lines and columns as the largest: those of what is written, and what
 * they read. */
static cc_conv dense_of(const cc_conv *conv, bool back)
{
    cc_conv dense = *conv;
    cc_window *w = &dense.window;
    dense.n *= phases_of(conv);
    for (int a = 1; a < CC_AXES; a++) {
        int64_t *written = back ? w->input : w->output, *read = back ? w->output : w->input;
        written[a] = cc_ceil_div(written[a], w->dilation[a]);
        read[a] = written[a] + w->kernel[a] - 1;
        w->pad_before[a] = w->pad_after[a] = back ? w->kernel[a] - 1 : 0;
        w->dilation[a] = 1;
    }
    return dense;
}

static phase_side x_side(const cc_conv *conv, const cc_conv *dense, bool back)
{
    const cc_window *w = &conv->window;
    phase_side s = {w->input, dense->window.input, conv->ic, {0}};
    for (int a = 1; a < CC_AXES; a++)
        s.before[a] = back ? 0 : w->pad_before[a];
    return s;
}

static phase_side y_side(const cc_conv *conv, const cc_conv *dense, bool back)
{
    const cc_window *w = &conv->window;
    phase_side s = {w->output, dense->window.output, conv->oc, {0}};
    for (int a = 1; a < CC_AXES; a++)
        s.before[a] = back ? (w->kernel[a] - 1) * w->dilation[a] - w->pad_before[a] : 0;
    return s;
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    int64_t count;
    /* Every phase has pixels; and dilation is all that keeps winograd.c from it. */
    for (int a = 1; a < CC_AXES; a++)
        if (w->dilation[a] > w->output[a] || w->dilation[a] > w->input[a] ||
            w->pad_before[a] > (w->kernel[a] - 1) * w->dilation[a])
            return false;
    /* A phase may have a single pixel, whose memory order is any, where an image has more. */
    if ((conv->x_layout != CC_CHANNELS_LAST && conv->ic > 1) || (conv->y_layout != CC_CHANNELS_LAST && conv->oc > 1))
        return false;
    if (phases_of(conv) < 2 || w->input[0] != 1 || w->kernel[0] != 1 || w->output[0] != 1 || w->pad_before[0] != 0)
        return false;
    const cc_conv dense = dense_of(conv, pass == CC_BACKWARD_DATA);
    const int64_t *size = pass == CC_BACKWARD_DATA ? dense.window.output : dense.window.input;
    return cc_product((const int64_t[]){dense.n, size[1], size[2], cc_max(conv->ic, conv->oc), 8}, 5, &count) == CC_OK &&
           cc_winograd_supports(context, &dense, false);
}

static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_conv dense = dense_of(conv, pass == CC_BACKWARD_DATA);
    return cc_conv_winograd.pays(context, &dense, pass);
}

/* Pixels [first, first + count) of a phase's line are pixels of an image, the first of them number `at` of all. */
typedef struct line {
    int64_t first, count, at;
} line;

/* Lines are those of all phases, image by image. */
static line line_of(const dilated_job *job, int64_t item)
{
    const phase_side *s = &job->side;
    const int64_t *dilation = job->conv->window.dilation, rows = s->dense[1];
    const int64_t n = item / rows % job->conv->n, phase = item / rows / job->conv->n;
    const int64_t y = phase / dilation[2] + item % rows * dilation[1] - s->before[1];
    const int64_t x = phase % dilation[2] - s->before[2];
    line l = {.first = x < 0 ? cc_min(s->dense[2], cc_ceil_div(-x, dilation[2])) : 0};
    const int64_t at = x + l.first * dilation[2];
    if (y < 0 || y >= s->size[1] || at >= s->size[2])
        return l;
    l.count = cc_min(s->dense[2] - l.first, cc_ceil_div(s->size[2] - at, dilation[2]));
    l.at = (n * s->size[1] + y) * s->size[2] + at;
    return l;
}

static void gather_lines(void *argument, int64_t begin, int64_t end, int part)
{
    const dilated_job *job = argument;
    const int64_t channels = job->side.channels, width = job->side.dense[2];
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        const line l = line_of(job, item);
        float *to = job->to + item * width * channels, *behind = to + (l.first + l.count) * channels;
        memset(to, 0, (size_t)(l.first * channels) * sizeof *to);
        memset(behind, 0, (size_t)((width - l.first - l.count) * channels) * sizeof *to);
        job->context->kernels->gemm.finish(l.count, channels, job->from + l.at * channels, job->step, to + l.first * channels,
                                           channels, false, &job->finish);
    }
}

static void scatter_lines(void *argument, int64_t begin, int64_t end, int part)
{
    const dilated_job *job = argument;
    const int64_t channels = job->side.channels, width = job->side.dense[2];
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        const line l = line_of(job, item);
        cc_gemm_epilogue finish = job->finish;
        finish.residual = finish.residual != NULL ? finish.residual + l.at * channels : NULL;
        job->context->kernels->gemm.finish(l.count, channels, job->from + (item * width + l.first) * channels, channels,
                                           job->to + l.at * channels, job->step, false, &finish);
    }
}

static dilated_job job_of(const cc_context *context, const cc_conv *conv, phase_side side, const float *from, float *to)
{
    const int64_t step = conv->window.dilation[2] * side.channels;
    return (dilated_job){.context = context, .conv = conv, .side = side, .step = step, .from = from, .to = to,
                         .finish.ld_residual = step};
}

static void run(dilated_job *job, cc_task task)
{
    cc_pool *pool = job->context->pool;
    const int64_t lines = job->conv->n * phases_of(job->conv) * job->side.dense[1];
    cc_parallel_for(pool, cc_parts(pool, lines, GRAIN), lines, task, job);
}

static void gather(const cc_context *context, const cc_conv *conv, phase_side side, const float *from, float *to)
{
    dilated_job job = job_of(context, conv, side, from, to);
    run(&job, gather_lines);
}

static int64_t floats_of(const cc_conv *dense, phase_side side)
{
    return dense->n * side.dense[1] * side.dense[2] * side.channels;
}

/* What padding is multiplied by here it is not elsewhere. */
static const cc_conv_algo *instead(const cc_context *context, const cc_conv *conv, cc_pass pass, const void *factors)
{
    return cc_conv_special_factors(context, conv, pass, factors) ? cc_winograd_exact(context, conv, pass) : NULL;
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w, const void *b,
                         const cc_epilogue *epilogue, void *y)
{
    const cc_conv dense = dense_of(conv, false);
    const phase_side in = x_side(conv, &dense, false), out = y_side(conv, &dense, false);
    const cc_conv_algo *other = instead(context, conv, CC_FORWARD, w);
    if (other != NULL)
        return cc_conv_algo_forward(other, context, conv, x, w, b, epilogue, y);
    const cc_epilogue early = {.scale = epilogue != NULL ? epilogue->scale : NULL};
    const int64_t of_x = floats_of(&dense, in), of_y = floats_of(&dense, out);
    float *phases = cc_arena_alloc(context->arena, (size_t)(of_x + of_y) * sizeof *phases);
    if (phases == NULL)
        return CC_ERR_MEMORY;
    gather(context, conv, in, x, phases);
    const cc_status status = cc_winograd_forward(context, &dense, phases, w, b, &early, phases + of_x);
    dilated_job job = job_of(context, conv, out, phases + of_x, y);
    job.finish.residual = epilogue != NULL ? epilogue->residual : NULL;
    job.finish.relu = epilogue != NULL && epilogue->relu;
    if (status == CC_OK)
        run(&job, scatter_lines);
    cc_arena_free(context->arena, phases);
    return status;
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    const cc_conv dense = dense_of(conv, true);
    const phase_side in = x_side(conv, &dense, true), out = y_side(conv, &dense, true);
    const cc_conv_algo *other = instead(context, conv, CC_BACKWARD_DATA, w);
    if (other != NULL)
        return cc_conv_algo_backward_data(other, context, conv, dy, w, residual, dx);
    const int64_t of_x = floats_of(&dense, in), of_y = floats_of(&dense, out);
    float *phases = cc_arena_alloc(context->arena, (size_t)(of_x + of_y) * sizeof *phases);
    if (phases == NULL)
        return CC_ERR_MEMORY;
    gather(context, conv, out, dy, phases + of_x);
    const cc_status status = cc_winograd_backward_data(context, &dense, phases + of_x, w, NULL, phases);
    dilated_job job = job_of(context, conv, in, phases, dx);
    job.finish.residual = residual;
    if (status == CC_OK)
        run(&job, scatter_lines);
    cc_arena_free(context->arena, phases);
    return status;
}

/* Inf and NaN of dy, whatever they are multiplied by, are still to be seen in their sums. */
static bool all_finite(const cc_context *context, const float *sums, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!isfinite(sums[i]))
            return cc_pool_rehearses(context->pool);
    return true;
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy, void *dw)
{
    const cc_conv dense = dense_of(conv, false);
    const phase_side in = x_side(conv, &dense, false), out = y_side(conv, &dense, false);
    const int64_t of_x = floats_of(&dense, in), of_y = floats_of(&dense, out);
    const int64_t weights = conv->oc * (conv->ic / conv->groups) * cc_volume(conv->window.kernel);
    float *phases = cc_arena_alloc(context->arena, (size_t)(of_x + of_y + weights) * sizeof *phases);
    if (phases == NULL)
        return CC_ERR_MEMORY;
    float *sums = phases + of_x + of_y, *to = dw;
    gather(context, conv, in, x, phases);
    gather(context, conv, out, dy, phases + of_x);
    memset(sums, 0, (size_t)weights * sizeof *sums);
    cc_status status = cc_winograd_add_weight(context, &dense, phases, phases + of_x, sums);
    const bool right = status == CC_OK && all_finite(context, sums, weights);
    for (int64_t i = 0; right && i < weights; i++)
        to[i] += sums[i];
    cc_arena_free(context->arena, phases);
    if (status == CC_OK && !right)
        status = cc_conv_algo_backward_weight(cc_winograd_exact(context, conv, CC_BACKWARD_WEIGHT), context, conv, x, dy, dw);
    return status;
}

const cc_conv_algo cc_conv_winograd_dilated = {
    .name = "winograd_dilated",
    .approximate = true,
    .fuses = true,
    .skips_padding = {true, true, true}, /* or leaves it to one that does */
    .supports = supports,
    .pays = pays,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
