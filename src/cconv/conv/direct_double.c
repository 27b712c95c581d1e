/* Direct convolution in float64 of channels-last images: products of matrices that are the images where they lie, a tap
 * and a row of outputs at a time.
 *
 *   forward           y[row]  += x[row the tap reads] W'
 *   backward_data     dx[row] += dy[row the tap wrote] W      each tap of pixels a stride apart
 *   backward_weight   dW       = SUM over rows  dy[row]' x[row the tap reads]
 *
 * Pixels that neighbouring outputs read lie a stride apart: the rows of a matrix with a longer leading dimension, which
 * BLAS takes. Taps outside the image are left out, so there is no padding either.
 */
#include <string.h>

#include "algo.h"

/* Outputs of an item, so that the weights of a tap serve many. */
#define POSITIONS 256
/* Output channels of an item of backward_weight. */
#define CHANNELS 64

typedef struct direct_job {
    const cc_context *context;
    const cc_conv *conv;
    int64_t icg, ocg, taps;
    int64_t strip, strips; /* rows of an item, items of a plane */
    int64_t blocks;        /* of output channels of a group (backward_weight) */
    int64_t step;          /* from a pixel to the one a neighbouring output reads, in elements */
    const double *x, *dy, *w, *b;
    double *y, *dx, *dw;
    double *packed; /* w, or the sums of dw: [group][tap][output][input] */
} direct_job;

/* Outputs of a row for which tap k of the last axis lies in the image, and the first one's pixel. */
typedef struct span {
    int64_t first, count, pixel;
} span;

static span span_of(const cc_window *w, int64_t k)
{
    const int64_t shift = k * w->dilation[2] - w->pad_before[2], stride = w->stride[2];
    span s = {.first = shift < 0 ? (-shift - 1) / stride + 1 : 0};
    const int64_t room = w->input[2] - 1 - shift; /* of the last pixel, from where output 0 would read */
    s.count = room < 0 ? 0 : cc_max(0, cc_min(w->output[2], room / stride + 1) - s.first);
    s.pixel = s.first * stride + shift;
    return s;
}

/* The input position that tap k of output p reads, and the output position that reads input q by tap k; -1: none. */
static int64_t source(const cc_window *w, int axis, int64_t p, int64_t k)
{
    const int64_t q = p * w->stride[axis] + k * w->dilation[axis] - w->pad_before[axis];
    return q >= 0 && q < w->input[axis] ? q : -1;
}

static int64_t target(const cc_window *w, int axis, int64_t q, int64_t k)
{
    const int64_t steps = q + w->pad_before[axis] - k * w->dilation[axis];
    if (steps < 0 || steps % w->stride[axis] != 0 || steps / w->stride[axis] >= w->output[axis])
        return -1;
    return steps / w->stride[axis];
}

static void unravel(int64_t tap, const int64_t kernel[CC_AXES], int64_t k[CC_AXES])
{
    k[2] = tap % kernel[2];
    k[1] = tap / kernel[2] % kernel[1];
    k[0] = tap / kernel[2] / kernel[1];
}

static void product(const direct_job *job, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const double *a,
                    int64_t lda, const double *b, int64_t ldb, double *c, int64_t ldc)
{
    cc_blas_gemm(job->context->blas, CC_F64, trans_a, trans_b, m, n, k, a, lda, b, ldb, 1.0, c, ldc);
}

/* Items are output channels. */
static void pack(void *argument, int64_t begin, int64_t end, int part)
{
    const direct_job *job = argument;
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        const int64_t group = item / job->ocg, o = item % job->ocg;
        const double *from = job->w + item * job->icg * job->taps;
        for (int64_t i = 0; i < job->icg; i++)
            for (int64_t t = 0; t < job->taps; t++)
                job->packed[((group * job->taps + t) * job->ocg + o) * job->icg + i] = *from++;
    }
}

/* Items are output channels: dw += the sums. */
static void add_sums(void *argument, int64_t begin, int64_t end, int part)
{
    const direct_job *job = argument;
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        const int64_t group = item / job->ocg, o = item % job->ocg;
        double *to = job->dw + item * job->icg * job->taps;
        for (int64_t i = 0; i < job->icg; i++)
            for (int64_t t = 0; t < job->taps; t++)
                *to++ += job->packed[((group * job->taps + t) * job->ocg + o) * job->icg + i];
    }
}

/* An item's place: (group, image and plane, strip of rows). */
typedef struct place {
    int64_t group, image, plane, first, last;
} place;

static place place_of(const direct_job *job, int64_t item, const int64_t size[CC_AXES])
{
    const int64_t strip = item % job->strips, rest = item / job->strips;
    const int64_t plane = rest % size[0], image = rest / size[0] % job->conv->n;
    return (place){.group = rest / size[0] / job->conv->n, .image = image, .plane = plane,
                   .first = strip * job->strip, .last = cc_min(size[1], (strip + 1) * job->strip)};
}

/* Items are strips of y. */
static void forward_task(void *argument, int64_t begin, int64_t end, int part)
{
    const direct_job *job = argument;
    const cc_conv *conv = job->conv;
    const cc_window *w = &conv->window;
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        const place at = place_of(job, item, w->output);
        const int64_t plane = (at.image * w->output[0] + at.plane) * w->output[1], o = at.group * job->ocg;
        for (int64_t p = (plane + at.first) * w->output[2]; p < (plane + at.last) * w->output[2]; p++)
            if (job->b != NULL)
                memcpy(job->y + p * conv->oc + o, job->b + o, (size_t)job->ocg * sizeof(double));
            else
                memset(job->y + p * conv->oc + o, 0, (size_t)job->ocg * sizeof(double));
        for (int64_t t = 0; t < job->taps; t++) {
            int64_t k[CC_AXES];
            unravel(t, w->kernel, k);
            const span s = span_of(w, k[2]);
            const int64_t z = source(w, 0, at.plane, k[0]);
            if (z < 0 || s.count == 0)
                continue;
            const double *weight = job->packed + (at.group * job->taps + t) * job->ocg * job->icg;
            for (int64_t row = at.first; row < at.last; row++) {
                const int64_t h = source(w, 1, row, k[1]);
                if (h < 0)
                    continue;
                const int64_t from = ((at.image * w->input[0] + z) * w->input[1] + h) * w->input[2] + s.pixel;
                const int64_t to = (plane + row) * w->output[2] + s.first;
                product(job, false, true, s.count, job->ocg, job->icg, job->x + from * conv->ic + at.group * job->icg,
                        job->step, weight, job->icg, job->y + to * conv->oc + o, conv->oc);
            }
        }
    }
}

/* Items are strips of dx. */
static void backward_data_task(void *argument, int64_t begin, int64_t end, int part)
{
    const direct_job *job = argument;
    const cc_conv *conv = job->conv;
    const cc_window *w = &conv->window;
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        const place at = place_of(job, item, w->input);
        const int64_t plane = (at.image * w->input[0] + at.plane) * w->input[1], i = at.group * job->icg;
        for (int64_t q = (plane + at.first) * w->input[2]; q < (plane + at.last) * w->input[2]; q++)
            memset(job->dx + q * conv->ic + i, 0, (size_t)job->icg * sizeof(double));
        for (int64_t t = 0; t < job->taps; t++) {
            int64_t k[CC_AXES];
            unravel(t, w->kernel, k);
            const span s = span_of(w, k[2]);
            const int64_t z = target(w, 0, at.plane, k[0]);
            if (z < 0 || s.count == 0)
                continue;
            const double *weight = job->packed + (at.group * job->taps + t) * job->ocg * job->icg;
            for (int64_t row = at.first; row < at.last; row++) {
                const int64_t h = target(w, 1, row, k[1]);
                if (h < 0)
                    continue;
                const int64_t from = ((at.image * w->output[0] + z) * w->output[1] + h) * w->output[2] + s.first;
                const int64_t to = (plane + row) * w->input[2] + s.pixel;
                product(job, false, false, s.count, job->icg, job->ocg,
                        job->dy + from * conv->oc + at.group * job->ocg, conv->oc, weight, job->icg,
                        job->dx + to * conv->ic + i, job->step);
            }
        }
    }
}

/* Items are (group, tap, block of output channels). */
static void backward_weight_task(void *argument, int64_t begin, int64_t end, int part)
{
    const direct_job *job = argument;
    const cc_conv *conv = job->conv;
    const cc_window *w = &conv->window;
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        const int64_t block = item % job->blocks, matrix = item / job->blocks, group = matrix / job->taps;
        const int64_t o = block * CHANNELS, channels = cc_min(CHANNELS, job->ocg - o);
        double *sum = job->packed + (matrix * job->ocg + o) * job->icg;
        memset(sum, 0, (size_t)(channels * job->icg) * sizeof(double));
        int64_t k[CC_AXES];
        unravel(matrix % job->taps, w->kernel, k);
        const span s = span_of(w, k[2]);
        for (int64_t row = 0; s.count > 0 && row < conv->n * w->output[0] * w->output[1]; row++) {
            const int64_t h = source(w, 1, row % w->output[1], k[1]);
            const int64_t z = source(w, 0, row / w->output[1] % w->output[0], k[0]);
            if (h < 0 || z < 0)
                continue;
            const int64_t image = row / w->output[1] / w->output[0];
            const int64_t from = ((image * w->input[0] + z) * w->input[1] + h) * w->input[2] + s.pixel;
            const int64_t at = row * w->output[2] + s.first;
            product(job, true, false, channels, job->icg, s.count, job->dy + at * conv->oc + group * job->ocg + o,
                    conv->oc, job->x + from * conv->ic + group * job->icg, job->step, sum, job->icg);
        }
    }
}

static bool lies_last(cc_layout layout, int64_t channels, const int64_t spatial[CC_AXES])
{
    return layout == CC_CHANNELS_LAST || channels == 1 || cc_volume(spatial) == 1;
}

/* From a pixel to the next one that is read; with one output a row there is none. */
static bool step_of(const cc_conv *conv, int64_t *step)
{
    *step = conv->ic;
    return (conv->window.output[2] == 1 || cc_mul(conv->ic, conv->window.stride[2], step)) && *step <= INT32_MAX;
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    int64_t step;
    (void)context, (void)pass;
    return lies_last(conv->x_layout, conv->ic, conv->window.input) &&
           lies_last(conv->y_layout, conv->oc, conv->window.output) && step_of(conv, &step) && conv->oc <= INT32_MAX;
}

/* Off unless asked for by name: im2col's fewer and larger products are faster on most shapes. */
static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)context, (void)conv, (void)pass;
    return false;
}

static cc_status run(direct_job *job, const cc_context *context, const cc_conv *conv, cc_task task)
{
    const int64_t *size = task == backward_data_task ? conv->window.input : conv->window.output;
    job->context = context;
    job->conv = conv;
    job->icg = conv->ic / conv->groups;
    job->ocg = conv->oc / conv->groups;
    job->taps = cc_volume(conv->window.kernel);
    job->strip = cc_ceil_div(POSITIONS, size[2]);
    job->strips = cc_ceil_div(size[1], job->strip);
    job->blocks = cc_ceil_div(job->ocg, CHANNELS);
    step_of(conv, &job->step);
    const bool gradient = task == backward_weight_task;
    const int64_t items = gradient ? conv->groups * job->taps * job->blocks
                                   : conv->groups * conv->n * size[0] * job->strips;
    const int64_t weights = job->icg * job->taps;

    job->packed = cc_arena_alloc(context->arena, (size_t)(conv->oc * weights) * sizeof(double));
    if (job->packed == NULL)
        return CC_ERR_MEMORY;
    const cc_status status = cc_blas_enter(context->blas);
    if (status == CC_OK) {
        const int rows = cc_parts(context->pool, conv->oc, 1 + 16384 / weights);
        if (!gradient)
            cc_parallel_for(context->pool, rows, conv->oc, pack, job);
        cc_parallel_each(context->pool, cc_parts(context->pool, items, 1), items, task, job);
        if (gradient)
            cc_parallel_for(context->pool, rows, conv->oc, add_sums, job);
        cc_blas_leave(context->blas);
    }
    cc_arena_free(context->arena, job->packed);
    return status;
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                         const void *b, const cc_epilogue *epilogue, void *y)
{
    (void)epilogue;
    return run(&(direct_job){.x = x, .w = w, .b = b, .y = y}, context, conv, forward_task);
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    (void)residual;
    return run(&(direct_job){.dy = dy, .w = w, .dx = dx}, context, conv, backward_data_task);
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                 void *dw)
{
    return run(&(direct_job){.x = x, .dy = dy, .dw = dw}, context, conv, backward_weight_task);
}

const cc_conv_algo cc_conv_direct_double = {
    .name = "direct",
    .needs_blas = true,
    .supports = supports,
    .pays = pays,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
