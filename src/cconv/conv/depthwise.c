/* Depthwise convolution: every channel has kernels of its own. Channels-last, vectors of channels, arrays read where
 * they lie; or channels-first, vectors along the rows (depthwise_rows.c). Nothing is summed across channels, so memory is the
 * limit, and each array is walked once, in order.
 */
#include <string.h>

#include "algo.h"
#include "depthwise_rows.h"
#include "planes.h"
#include "walk.h"

/* Gradients for the weights: at most this many chunks, of this many bytes together, each with sums of its own. The
 * sums run over so many positions in the array's type, then in double. */
#define CHUNKS 16
#define CHUNK_BYTES (1 << 22)
#define POSITIONS 512

/* Positions of dx made at a time where several outputs share an input channel. */
#define FOLD 16

typedef struct depthwise_job {
    cc_walk walk;
    const void *source, *scale, *bias, *residual;
    bool relu;
    void *target;
    void *weights; /* packed: [tap][output] */

    void *folds; /* per part: FOLD positions before channels are added up, or NULL */

    int64_t chunks;
    double *sums; /* per chunk, like the packed weights */
    void *partial; /* per part, like the packed weights */
} depthwise_job;

static void convolve(const void *argument, const cc_depthwise_run *run, int part)
{
    const depthwise_job *job = argument;
    (void)part;
    job->walk.context->kernels->depthwise.convolve[job->walk.conv->dtype](run, job->source, job->weights, job->bias,
                                                                job->residual, job->relu, job->target);
}

/* backward_data where several outputs share an input channel: dx of each output, then their sums. */
static void convolve_folded(const void *argument, const cc_depthwise_run *run, int part)
{
    const depthwise_job *job = argument;
    const cc_depthwise_kernels *kernels = &job->walk.context->kernels->depthwise;
    const cc_dtype dtype = job->walk.conv->dtype;
    const int64_t element = (int64_t)cc_dtype_size(dtype);
    char *folds = (char *)job->folds + part * FOLD * job->walk.outputs * element;
    const char *source = job->source;
    for (int64_t r = 0; r < run->rows; r++)
        for (int64_t i = 0; i < run->windows; i += FOLD) {
            cc_depthwise_run some = *run;
            some.rows = 1;
            some.windows = cc_min(FOLD, run->windows - i);
            some.y_first = 0;
            some.y_step = job->walk.outputs;
            kernels->convolve[dtype](&some, source + (r * run->x_row + i * run->x_step) * element, job->weights, NULL,
                                     NULL, false, folds);
            for (int64_t k = 0; k < some.windows; k++)
                kernels->fold[dtype](folds + k * job->walk.outputs * element, job->walk.target_channels,
                                     job->walk.outputs / job->walk.target_channels,
                                     (char *)job->target +
                                         (run->y_first + r * run->y_row + (i + k) * run->y_step) * element);
        }
}

static void run_items(void *argument, int64_t begin, int64_t end, int part)
{
    const depthwise_job *job = argument;
    for (int64_t item = begin; item < end; item++)
        cc_walk_item(&job->walk, item, part, job->folds != NULL ? convolve_folded : convolve, job);
}

static void add_gradient(const void *argument, const cc_depthwise_run *run, int part)
{
    const depthwise_job *job = argument;
    const int64_t size = cc_volume(job->walk.conv->window.kernel) * job->walk.outputs;
    char *partial = (char *)job->partial + part * size * (int64_t)cc_dtype_size(job->walk.conv->dtype);
    job->walk.context->kernels->depthwise.gradient[job->walk.conv->dtype](run, job->source, job->target, partial);
}

static void run_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const depthwise_job *job = argument;
    const cc_dtype dtype = job->walk.conv->dtype;
    const int64_t size = cc_volume(job->walk.conv->window.kernel) * job->walk.outputs;
    const int64_t positions = job->walk.strip_rows * job->walk.spans.axis[2].out;
    char *partial = (char *)job->partial + part * size * (int64_t)cc_dtype_size(dtype);
    for (int64_t chunk = begin; chunk < end; chunk++) {
        double *sums = job->sums + chunk * size;
        memset(sums, 0, (size_t)size * sizeof(double));
        memset(partial, 0, (size_t)size * cc_dtype_size(dtype));
        int64_t seen = 0;
        const int64_t last = (chunk + 1) * job->walk.items / job->chunks;
        for (int64_t item = chunk * job->walk.items / job->chunks; item < last; item++) {
            cc_walk_item(&job->walk, item, part, add_gradient, job);
            seen += positions;
            if (seen >= POSITIONS || item == last - 1) {
                job->walk.context->kernels->depthwise.drain[dtype](partial, size, sums);
                seen = 0;
            }
        }
    }
}

static bool lies_last(cc_layout layout, int64_t channels, const int64_t spatial[CC_AXES])
{
    return layout == CC_CHANNELS_LAST || channels == 1 || cc_volume(spatial) == 1;
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)context;
    (void)pass;
    if (cc_depthwise_rows_suit(conv))
        return true;
    return conv->groups == conv->ic && lies_last(conv->x_layout, conv->ic, conv->window.input) &&
           lies_last(conv->y_layout, conv->oc, conv->window.output);
}

/* With one group it is a convolution like others. Short rows of channels-first images are better copied (blocks.c). */
static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    (void)context;
    (void)pass;
    return conv->groups > 1 && (!cc_depthwise_rows_suit(conv) || w->input[2] > (w->stride[2] > 1 ? 12 : 8));
}

static cc_walk walk_of(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const bool back = pass == CC_BACKWARD_DATA;
    return (cc_walk){.context = context, .conv = conv, .source_channels = back ? conv->oc : conv->ic,
                     .target_channels = back ? conv->ic : conv->oc, .outputs = conv->oc,
                     .multiplier = back ? 1 : conv->oc / conv->ic, .tap_weights = conv->oc};
}

/* A scale of the sums is one of the weights. */
static void pack(const depthwise_job *job, const void *w)
{
    const int64_t taps = cc_volume(job->walk.conv->window.kernel);
    for (int64_t t = 0; t < taps; t++)
        for (int64_t o = 0; o < job->walk.outputs; o++) {
            const int64_t to = t * job->walk.outputs + o, from = o * taps + t;
            if (job->walk.conv->dtype == CC_F32)
                ((float *)job->weights)[to] =
                    ((const float *)w)[from] * (job->scale != NULL ? ((const float *)job->scale)[o] : 1);
            else
                ((double *)job->weights)[to] =
                    ((const double *)w)[from] * (job->scale != NULL ? ((const double *)job->scale)[o] : 1);
        }
}

/* The passes that make an image. */
static cc_status run_images(depthwise_job *job, cc_pass pass, const void *w)
{
    const size_t element = cc_dtype_size(job->walk.conv->dtype);
    const bool folded = pass == CC_BACKWARD_DATA && job->walk.source_channels != job->walk.target_channels;
    const int64_t weights = cc_ceil_div(cc_volume(job->walk.conv->window.kernel) * job->walk.outputs, 16) * 16;
    int parts;
    CC_TRY(cc_walk_start(&job->walk, pass, &parts));
    char *memory = cc_arena_alloc(job->walk.context->arena,
                                  (size_t)(weights + (folded ? parts * FOLD * job->walk.outputs : 0)) * element);
    if (memory != NULL) {
        job->weights = memory;
        job->folds = folded ? memory + weights * (int64_t)element : NULL;
        pack(job, w);
        cc_parallel_for(job->walk.context->pool, parts, job->walk.items, run_items, job);
    }
    cc_arena_free(job->walk.context->arena, memory);
    cc_walk_end(&job->walk);
    return memory != NULL ? CC_OK : CC_ERR_MEMORY;
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                         const void *b, const cc_epilogue *epilogue, void *y)
{
    if (cc_depthwise_rows_suit(conv))
        return cc_depthwise_rows_forward(context, conv, x, w, b, epilogue, y);
    if (cc_planes_suit(conv))
        return cc_planes_forward(context, conv, x, w, b, epilogue, y);
    depthwise_job job = {.walk = walk_of(context, conv, CC_FORWARD), .source = x, .bias = b, .target = y};
    if (epilogue != NULL) {
        job.scale = epilogue->scale;
        job.residual = epilogue->residual;
        job.relu = epilogue->relu;
    }
    return run_images(&job, CC_FORWARD, w);
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    if (cc_depthwise_rows_suit(conv))
        return cc_depthwise_rows_backward_data(context, conv, dy, w, residual, dx);
    if (cc_planes_suit(conv))
        return cc_planes_backward_data(context, conv, dy, w, residual, dx);
    depthwise_job job = {.walk = walk_of(context, conv, CC_BACKWARD_DATA), .source = dy, .target = dx};
    if (conv->oc == conv->ic)
        job.residual = residual;
    CC_TRY(run_images(&job, CC_BACKWARD_DATA, w));
    if (conv->oc != conv->ic && residual != NULL)
        cc_conv_add_residual(context, conv, residual, dx);
    return CC_OK;
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                 void *dw)
{
    if (cc_depthwise_rows_suit(conv))
        return cc_depthwise_rows_backward_weight(context, conv, x, dy, dw);
    if (cc_planes_suit(conv))
        return cc_planes_backward_weight(context, conv, x, dy, dw);
    depthwise_job job = {.walk = walk_of(context, conv, CC_BACKWARD_WEIGHT), .source = x, .target = (void *)dy};
    const int64_t taps = cc_volume(conv->window.kernel), size = taps * conv->oc;
    int parts;
    CC_TRY(cc_walk_start(&job.walk, CC_BACKWARD_WEIGHT, &parts));
    job.chunks = cc_min(job.walk.items, cc_max(1, cc_min(CHUNKS, CHUNK_BYTES / 8 / size)));
    parts = cc_parts(context->pool, job.chunks, 1);
    const size_t sums = (size_t)(job.chunks * size) * sizeof(double);
    char *memory = cc_arena_alloc(context->arena, sums + (size_t)(parts * size) * cc_dtype_size(conv->dtype));
    if (memory != NULL) {
        job.sums = (double *)(void *)memory;
        job.partial = memory + sums;
        cc_parallel_for(context->pool, parts, job.chunks, run_chunks, &job);
        for (int64_t k = 1; k < job.chunks; k++)
            for (int64_t i = 0; i < size; i++)
                job.sums[i] += job.sums[k * size + i];
        for (int64_t t = 0; t < taps; t++)
            for (int64_t o = 0; o < conv->oc; o++) {
                const double sum = job.sums[t * conv->oc + o];
                if (conv->dtype == CC_F32)
                    ((float *)dw)[o * taps + t] += (float)sum;
                else
                    ((double *)dw)[o * taps + t] += sum;
            }
    }
    cc_arena_free(context->arena, memory);
    cc_walk_end(&job.walk);
    return memory != NULL ? CC_OK : CC_ERR_MEMORY;
}

const cc_conv_algo cc_conv_depthwise = {
    .name = "depthwise",
    .skips_padding = {true, true, true},
    .fuses = true,
    .supports = supports,
    .pays = pays,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
