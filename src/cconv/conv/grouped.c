/* Convolution in groups of a few channels: the walk of depthwise convolution, vectors of the outputs of whole groups.
 */
#include <string.h>

#include "algo.h"
#include "walk.h"

/* Gradients for the weights: at most this many chunks, of this many bytes together, each with sums of its own. The
 * sums run over so many positions in the array's type, then in double. */
#define CHUNKS 16
#define CHUNK_BYTES (1 << 22)
#define POSITIONS 512

typedef struct grouped_job {
    cc_walk walk;
    cc_depthwise_groups groups;
    int64_t lanes, per_block; /* groups in a vector */
    int64_t size;             /* of the packed weights, which are [block][tap][input][lane] */
    const void *source, *bias, *residual;
    bool relu;
    void *target, *weights;

    int64_t chunks;
    double *sums;  /* per chunk, like the packed weights */
    void *partial; /* per part, like the packed weights */
} grouped_job;

static int64_t lanes_of(const cc_context *context, cc_dtype dtype)
{
    return dtype == CC_F32 ? context->kernels->lanes : context->kernels->lanes / 2;
}

static bool lies_last(cc_layout layout, int64_t channels, const int64_t spatial[CC_AXES])
{
    return layout == CC_CHANNELS_LAST || channels == 1 || cc_volume(spatial) == 1;
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)pass;
    return cc_max(conv->ic, conv->oc) / conv->groups <= lanes_of(context, conv->dtype) &&
           lies_last(conv->x_layout, conv->ic, conv->window.input) &&
           lies_last(conv->y_layout, conv->oc, conv->window.output);
}

/* Shuffles cost as much as products: of wide groups, or where lanes lie idle, a matrix product is faster. */
static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)pass;
    const int64_t lanes = lanes_of(context, conv->dtype), most = cc_max(conv->ic, conv->oc) / conv->groups;
    return conv->groups > 1 && context->kernels->lanes > 4 && most >= 1 && most <= 8 && 4 * (lanes / most * most) >= 3 * lanes;
}

static grouped_job job_of(const cc_context *context, const cc_conv *conv, bool back)
{
    const int64_t source = back ? conv->oc : conv->ic, target = back ? conv->ic : conv->oc;
    const int64_t inputs = source / conv->groups, outputs = target / conv->groups;
    const int64_t lanes = lanes_of(context, conv->dtype), per_block = lanes / cc_max(inputs, outputs);
    const int64_t taps = cc_volume(conv->window.kernel);
    return (grouped_job){
        .walk = {.context = context, .conv = conv, .source_channels = source, .target_channels = target,
                 .outputs = cc_max(source, target), .multiplier = 1, .tap_weights = inputs * lanes},
        .groups = {.groups = conv->groups, .inputs = inputs, .outputs = outputs, .weights = taps * inputs * lanes},
        .lanes = lanes,
        .per_block = per_block,
        .size = cc_ceil_div(conv->groups, per_block) * taps * inputs * lanes,
    };
}

/* Where the packed weights have w[o, i, 0], i of its group; the taps follow tap_weights apart. */
static int64_t place(const grouped_job *job, bool back, int64_t o, int64_t i)
{
    const int64_t outputs = job->walk.conv->oc / job->groups.groups, group = o / outputs;
    const int64_t input = back ? o % outputs : i, output = back ? i : o % outputs;
    return group / job->per_block * job->groups.weights + input * job->lanes +
           group % job->per_block * job->groups.outputs + output;
}

/* A scale of the sums is one of the weights. */
static void pack(const grouped_job *job, bool back, const void *w, const void *scale)
{
    const cc_conv *conv = job->walk.conv;
    const int64_t taps = cc_volume(conv->window.kernel), ic = conv->ic / conv->groups;
    memset(job->weights, 0, (size_t)job->size * cc_dtype_size(conv->dtype));
    for (int64_t o = 0; o < conv->oc; o++)
        for (int64_t i = 0; i < ic; i++) {
            const int64_t to = place(job, back, o, i), from = (o * ic + i) * taps;
            for (int64_t t = 0; t < taps; t++)
                if (conv->dtype == CC_F32)
                    ((float *)job->weights)[to + t * job->walk.tap_weights] =
                        ((const float *)w)[from + t] * (scale != NULL ? ((const float *)scale)[o] : 1);
                else
                    ((double *)job->weights)[to + t * job->walk.tap_weights] =
                        ((const double *)w)[from + t] * (scale != NULL ? ((const double *)scale)[o] : 1);
        }
}

static void convolve(const void *argument, const cc_depthwise_run *run, int part)
{
    (void)part;
    const grouped_job *job = argument;
    job->walk.context->kernels->depthwise.convolve_groups[job->walk.conv->dtype](
        run, &job->groups, job->source, job->weights, job->bias, job->residual, job->relu, job->target);
}

static void run_items(void *argument, int64_t begin, int64_t end, int part)
{
    const grouped_job *job = argument;
    for (int64_t item = begin; item < end; item++)
        cc_walk_item(&job->walk, item, part, convolve, job);
}

/* The passes that make an image. */
static cc_status run_images(grouped_job *job, cc_pass pass, const void *w, const void *scale)
{
    const cc_context *context = job->walk.context;
    int parts;
    CC_TRY(cc_walk_start(&job->walk, pass, &parts));
    job->weights = cc_arena_alloc(context->arena, (size_t)job->size * cc_dtype_size(job->walk.conv->dtype));
    if (job->weights != NULL) {
        pack(job, pass == CC_BACKWARD_DATA, w, scale);
        cc_parallel_for(context->pool, parts, job->walk.items, run_items, job);
    }
    cc_arena_free(context->arena, job->weights);
    cc_walk_end(&job->walk);
    return job->weights != NULL ? CC_OK : CC_ERR_MEMORY;
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                         const void *b, const cc_epilogue *epilogue, void *y)
{
    grouped_job job = job_of(context, conv, false);
    job.source = x;
    job.bias = b;
    job.target = y;
    if (epilogue != NULL) {
        job.residual = epilogue->residual;
        job.relu = epilogue->relu;
    }
    return run_images(&job, CC_FORWARD, w, epilogue != NULL ? epilogue->scale : NULL);
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    grouped_job job = job_of(context, conv, true);
    job.source = dy;
    job.residual = residual;
    job.target = dx;
    return run_images(&job, CC_BACKWARD_DATA, w, NULL);
}

static void add_gradient(const void *argument, const cc_depthwise_run *run, int part)
{
    const grouped_job *job = argument;
    const cc_dtype dtype = job->walk.conv->dtype;
    char *partial = (char *)job->partial + part * job->size * (int64_t)cc_dtype_size(dtype);
    job->walk.context->kernels->depthwise.gradient_groups[dtype](run, &job->groups, job->source, job->target, partial);
}

static void run_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const grouped_job *job = argument;
    const cc_walk *walk = &job->walk;
    const cc_dtype dtype = walk->conv->dtype;
    const int64_t positions = walk->strip_rows * walk->spans.axis[2].out;
    char *partial = (char *)job->partial + part * job->size * (int64_t)cc_dtype_size(dtype);
    for (int64_t chunk = begin; chunk < end; chunk++) {
        double *sums = job->sums + chunk * job->size;
        memset(sums, 0, (size_t)job->size * sizeof(double));
        memset(partial, 0, (size_t)job->size * cc_dtype_size(dtype));
        int64_t seen = 0;
        const int64_t last = (chunk + 1) * walk->items / job->chunks;
        for (int64_t item = chunk * walk->items / job->chunks; item < last; item++) {
            cc_walk_item(walk, item, part, add_gradient, job);
            seen += positions;
            if (seen >= POSITIONS || item == last - 1) {
                walk->context->kernels->depthwise.drain[dtype](partial, job->size, sums);
                seen = 0;
            }
        }
    }
}

/* dw += the sums of all chunks */
static void unpack(const grouped_job *job, void *dw)
{
    const cc_conv *conv = job->walk.conv;
    const int64_t taps = cc_volume(conv->window.kernel), ic = conv->ic / conv->groups;
    double *restrict sums = job->sums;
    for (int64_t k = 1; k < job->chunks; k++)
        for (int64_t i = 0; i < job->size; i++)
            sums[i] += sums[k * job->size + i];
    for (int64_t o = 0; o < conv->oc; o++)
        for (int64_t i = 0; i < ic; i++) {
            const int64_t from = place(job, false, o, i), to = (o * ic + i) * taps;
            for (int64_t t = 0; t < taps; t++)
                if (conv->dtype == CC_F32)
                    ((float *)dw)[to + t] += (float)sums[from + t * job->walk.tap_weights];
                else
                    ((double *)dw)[to + t] += sums[from + t * job->walk.tap_weights];
        }
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                 void *dw)
{
    grouped_job job = job_of(context, conv, false);
    job.source = x;
    job.target = (void *)dy;
    int parts;
    CC_TRY(cc_walk_start(&job.walk, CC_BACKWARD_WEIGHT, &parts));
    job.chunks = cc_min(job.walk.items, cc_max(1, cc_min(CHUNKS, CHUNK_BYTES / 8 / job.size)));
    parts = cc_parts(context->pool, job.chunks, 1);
    const size_t sums = (size_t)(job.chunks * job.size) * sizeof(double);
    char *memory = cc_arena_alloc(context->arena, sums + (size_t)(parts * job.size) * cc_dtype_size(conv->dtype));
    if (memory != NULL) {
        job.sums = (double *)(void *)memory;
        job.partial = memory + sums;
        cc_parallel_for(context->pool, parts, job.chunks, run_chunks, &job);
        unpack(&job, dw);
    }
    cc_arena_free(context->arena, memory);
    cc_walk_end(&job.walk);
    return memory != NULL ? CC_OK : CC_ERR_MEMORY;
}

const cc_conv_algo cc_conv_grouped = {
    .name = "grouped",
    .skips_padding = {true, true, true},
    .fuses = true,
    .supports = supports,
    .pays = pays,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
