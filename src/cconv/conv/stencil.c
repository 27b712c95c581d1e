/* Convolution of few channels in channels-first order, such as images as NumPy has them: vectors along the rows, blocks
 * of x that have padding copied with it into the caches. Columns that are `stride` apart lie side by side in the copy.
 */
#include <string.h>

#include "stencil.h"

/* Products that are worth a thread. */
#define GRAIN (1 << 16)

/* Gradients for the weights: at most this many chunks, of this many bytes together, each with sums of its own. */
#define CHUNKS 16
#define CHUNK_BYTES (1 << 22)
/* Their sums run over so many positions in each lane of a vector, then in double. */
#define POSITIONS 512

static cc_stencil stencil_of(const cc_stencil_job *job, const cc_stencil_block *b)
{
    return (cc_stencil){.outputs = job->outputs, .rows = b->rows, .columns = b->columns,
                        .planes = job->inputs * job->kernel[0], .kh = job->kernel[1], .kw = job->kernel[2],
                        .column = job->column,
                        .y_plane = cc_volume(job->out), .y_row = job->out[2]};
}

/* Where a block of the group's first output begins in y. */
static char *target(const cc_stencil_job *job, const cc_stencil_block *b, int64_t group)
{
    const int64_t channel = (b->image * job->groups + group) * job->outputs;
    const int64_t row = (channel * job->out[0] + b->plane) * job->out[1] + b->row;
    return job->y + (row * job->out[2] + b->column) * job->element;
}

static void convolve_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const cc_stencil_job *job = argument;
    char *buffer = job->buffers + part * job->buffer_size;
    for (int64_t item = begin; item < end; item++) {
        const cc_stencil_block b = cc_stencil_block_of(job, item / job->groups);
        const int64_t group = item % job->groups, first = group * job->outputs;
        cc_stencil s = stencil_of(job, &b);
        const char *x = cc_stencil_read(job, &b, group, buffer, &s);
        job->context->kernels->stencil.convolve[job->dtype](
            &s, x, job->w + first * job->inputs * job->taps * job->element,
            job->b != NULL ? job->b + first * job->element : NULL, target(job, &b, group));
    }
}

/* Room for so many parts' blocks and `more` bytes, which are returned; free job->column. */
static cc_status allocate(cc_stencil_job *job, int parts, int64_t bytes, void **more)
{
    const int64_t columns = cc_ceil_div(job->kernel[2] * (int64_t)sizeof(int64_t), CC_ALIGNMENT) * CC_ALIGNMENT;
    char *memory = cc_arena_alloc(job->context->arena, (size_t)(columns + parts * job->buffer_size + bytes));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    job->column = (int64_t *)(void *)memory;
    for (int64_t k = 0; k < job->kernel[2]; k++)
        job->column[k] = k * job->dilation[2] % job->step[2] * job->phase + k * job->dilation[2] / job->step[2];
    job->buffers = memory + columns;
    *more = job->buffers + parts * job->buffer_size;
    return CC_OK;
}

/* Items that are worth a thread. */
static int64_t grain(const cc_stencil_job *job, int64_t items)
{
    const double products = (double)(job->n * job->groups * job->outputs * cc_volume(job->out)) *
                            (double)(job->inputs * job->taps);
    return cc_max(1, (int64_t)((double)items * GRAIN / products));
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w, const void *b,
                         const cc_epilogue *epilogue, void *y)
{
    (void)epilogue;
    cc_stencil_job job = cc_stencil_job_of(context, conv, false);
    cc_stencil_plan(&job);
    job.x = x;
    job.w = w;
    job.b = b;
    job.y = y;
    const int64_t items = job.blocks * job.groups;
    const int parts = cc_parts(context->pool, items, grain(&job, items));
    void *more;
    CC_TRY(allocate(&job, parts, 0, &more));
    cc_parallel_each(context->pool, parts, items, convolve_blocks, &job);
    cc_arena_free(context->arena, job.column);
    return CC_OK;
}

/* w with the channels of each group exchanged and its kernels turned around. */
static void turn(const cc_stencil_job *job, const void *w, void *to)
{
    const int64_t taps = job->taps, out = job->inputs, in = job->outputs;
    for (int64_t g = 0; g < job->groups; g++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t o = 0; o < out; o++)
                for (int64_t t = 0; t < taps; t++) {
                    const int64_t from = ((g * out + o) * in + i) * taps + taps - 1 - t;
                    const int64_t at = ((g * in + i) * out + o) * taps + t;
                    if (job->dtype == CC_F32)
                        ((float *)to)[at] = ((const float *)w)[from];
                    else
                        ((double *)to)[at] = ((const double *)w)[from];
                }
}

/* A convolution of dy, with strides of 1. */
static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    (void)residual;
    cc_stencil_job job = cc_stencil_job_of(context, conv, true);
    cc_stencil_plan(&job);
    job.x = dy;
    job.y = dx;
    const int64_t items = job.blocks * job.groups;
    const int parts = cc_parts(context->pool, items, grain(&job, items));
    void *turned;
    CC_TRY(allocate(&job, parts, conv->oc * (conv->ic / conv->groups) * job.taps * job.element, &turned));
    turn(&job, w, turned);
    job.w = turned;
    cc_parallel_each(context->pool, parts, items, convolve_blocks, &job);
    cc_arena_free(context->arena, job.column);
    return CC_OK;
}

/* sums += a vector for each of some weights, which becomes zero. */
static void drain(const cc_stencil_job *job, char *partial, int64_t count, double *sums)
{
    const int64_t lanes = cc_stencil_lanes(job->context, job->dtype);
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int64_t l = 0; l < lanes; l++)
            sum += job->dtype == CC_F32 ? (double)((const float *)(void *)partial)[i * lanes + l]
                                        : ((const double *)(void *)partial)[i * lanes + l];
        sums[i] += sum;
    }
    memset(partial, 0, (size_t)(count * lanes * job->element));
}

static void sum_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const cc_stencil_job *job = argument;
    const int64_t lanes = cc_stencil_lanes(job->context, job->dtype), vectors = job->weights * lanes * job->element;
    char *buffer = job->buffers + part * job->buffer_size, *partial = job->partial + part * vectors;
    memset(partial, 0, (size_t)vectors);
    for (int64_t chunk = begin; chunk < end; chunk++) {
        double *sums = job->sums + chunk * job->weights;
        memset(sums, 0, (size_t)job->weights * sizeof(double));
        int64_t seen = 0;
        const int64_t last = (chunk + 1) * job->blocks / job->chunks;
        for (int64_t item = chunk * job->blocks / job->chunks; item < last; item++) {
            const cc_stencil_block b = cc_stencil_block_of(job, item);
            cc_stencil s = stencil_of(job, &b);
            for (int64_t g = 0; g < job->groups; g++) {
                const char *x = cc_stencil_read(job, &b, g, buffer, &s);
                job->context->kernels->stencil.gradient[job->dtype](
                    &s, x, target(job, &b, g), partial + g * (vectors / job->groups));
            }
            seen += b.rows * cc_ceil_div(b.columns, lanes);
            if (seen >= POSITIONS || item == last - 1) {
                drain(job, partial, job->weights, sums);
                seen = 0;
            }
        }
    }
}

/* dw += the sums of all chunks */
static void add_sums(const cc_stencil_job *job)
{
    for (int64_t i = 0; i < job->weights; i++) {
        double sum = 0;
        for (int64_t k = 0; k < job->chunks; k++)
            sum += job->sums[k * job->weights + i];
        if (job->dtype == CC_F32)
            ((float *)job->dw)[i] += (float)sum;
        else
            ((double *)job->dw)[i] += sum;
    }
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy, void *dw)
{
    cc_stencil_job job = cc_stencil_job_of(context, conv, false);
    cc_stencil_plan(&job);
    job.x = x;
    job.y = (char *)dy;
    job.dw = dw;
    job.weights = conv->oc * job.inputs * job.taps;
    job.chunks = cc_max(1, cc_min(cc_min(CHUNKS, CHUNK_BYTES / 8 / job.weights), job.blocks));
    const int parts = cc_parts(context->pool, job.chunks, grain(&job, job.chunks));
    void *sums;
    const int64_t bytes = job.weights * cc_stencil_lanes(context, job.dtype) * job.element;
    CC_TRY(allocate(&job, parts, parts * bytes + job.chunks * job.weights * (int64_t)sizeof(double), &sums));
    job.sums = sums;
    job.partial = (char *)(job.sums + job.chunks * job.weights);
    cc_parallel_for(context->pool, parts, job.chunks, sum_chunks, &job);
    if (!cc_pool_rehearses(context->pool))
        add_sums(&job);
    cc_arena_free(context->arena, job.column);
    return CC_OK;
}

static bool lies_first(cc_layout layout, int64_t channels, const int64_t spatial[CC_AXES])
{
    return layout == CC_CHANNELS_FIRST || channels == 1 || cc_volume(spatial) == 1;
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    if (!lies_first(conv->x_layout, conv->ic, w->input) || !lies_first(conv->y_layout, conv->oc, w->output))
        return false;
    if (pass == CC_BACKWARD_DATA && (w->stride[0] != 1 || w->stride[1] != 1 || w->stride[2] != 1))
        return false;
    cc_stencil_job job = cc_stencil_job_of(context, conv, pass == CC_BACKWARD_DATA);
    return cc_stencil_fits(&job);
}

/* Against products of copied columns, as measured: what it costs to copy x, or to add up the sums of a small image,
 * must be shared by enough products. */
static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    const bool back = pass == CC_BACKWARD_DATA;
    const int64_t ic = conv->ic / conv->groups, oc = conv->oc / conv->groups;
    const int64_t width = back ? w->input[2] : w->output[2];
    (void)context;
    if (width < 5 || cc_max(ic, oc) > 64 || (conv->dtype == CC_F64 && cc_min(ic, oc) > 16))
        return false;
    if (cc_volume(w->kernel) == 1)
        return width >= 32 && cc_max(ic, oc) <= 16;
    if (pass == CC_BACKWARD_WEIGHT)
        return width >= 48 ? cc_min(ic, oc) <= 16 : oc <= (width >= 12 ? 16 : 8);
    return back ? width >= 24 || oc <= 8 * ic : width >= 12 || oc <= 32;
}

const cc_conv_algo cc_conv_stencil = {
    .name = "stencil",
    .supports = supports,
    .pays = pays,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
