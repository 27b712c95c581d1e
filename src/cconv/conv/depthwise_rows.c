#include "depthwise_rows.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "algo.h"

#define TAPS 9

/* Floats of a strip, and at least so many rows: vectors go down them one beside the other, in the first-level cache. */
#define STRIP (1 << 12)
#define ROWS 4

/* Multiply-adds worth a thread, some microseconds. */
#define GRAIN (1 << 17)

/* Planes follow one another, but their rows are met in bursts, between which the processor does not look ahead; and in a
 * large plane each time a vector goes down it. So many floats further are asked for meanwhile, in planes of at most
 * SMALL_PLANE and of more than LARGE_PLANE others. */
#define AHEAD 2048
#define SMALL_PLANE 512
#define SMALL_AHEAD 256
#define LARGE_PLANE 1024
#define LARGE_AHEAD 4096

/* Gradients for the weights: blocks of at most so many channels, whose sums stay in the second-level cache, and so many
 * items, which are a block in some of the images, at least. Each lane of a vector sums so many positions before it is added
 * up in double. */
#define BLOCK 64
#define ITEMS 16
#define POSITIONS 512

typedef struct rows_job {
    const cc_context *context;
    cc_depthwise_rows plane;
    bool back, spread;
    int64_t n, channels, depth; /* planes follow one another in this order */
    int64_t rows, strips;       /* of what is made: rows of a strip, strips of a plane */
    int64_t source, target;     /* floats of a plane */
    const float *x, *w, *b;
    float *y;

    int64_t block, blocks, chunks;
    int64_t images; /* at once: of few rows, half a vector long, the sums cost as much as the products */
    float *partial; /* per part, for each channel of a block the sums of each tap, lane by lane */
    double *sums;   /* per chunk, like dw */
} rows_job;

static int64_t lanes_of(const rows_job *job) { return job->context->kernels->lanes; }

static rows_job job_of(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    const bool back = pass == CC_BACKWARD_DATA;
    rows_job job = {.context = context, .n = conv->n, .channels = conv->ic, .depth = w->input[0],
                    .back = back, .spread = back && w->stride[1] == 2};
    cc_depthwise_rows *p = &job.plane;
    *p = (cc_depthwise_rows){.height = w->input[1], .width = w->input[2], .out_height = w->output[1],
                            .out_width = w->output[2], .stride = w->stride[1], .top = w->pad_before[1],
                            .left = w->pad_before[2]};
    if (back && !job.spread) /* a convolution of dy with the weights turned around */
        *p = (cc_depthwise_rows){.height = w->output[1], .width = w->output[2], .out_height = w->input[1],
                                .out_width = w->input[2], .stride = 1, .top = 2 - p->top, .left = 2 - p->left};
    const int64_t made = job.spread ? p->height : p->out_height, wide = cc_max(p->width, p->out_width);
    job.strips = cc_ceil_div(made, cc_max(ROWS, STRIP / wide));
    job.rows = cc_ceil_div(made, job.strips);
    job.strips = cc_ceil_div(made, job.rows);
    const int64_t size = p->height * p->width;
    p->ahead = size > LARGE_PLANE ? LARGE_AHEAD : size > SMALL_PLANE ? AHEAD : SMALL_AHEAD;
    job.source = job.spread ? p->out_height * p->out_width : p->height * p->width;
    job.target = job.spread ? p->height * p->width : p->out_height * p->out_width;
    p->x_image = job.channels * job.depth * job.source;
    p->y_image = job.channels * job.depth * job.target;
    return job;
}

bool cc_depthwise_rows_suit(const cc_conv *conv)
{
    const cc_window *w = &conv->window;
    const bool first = conv->ic > 1 && conv->x_layout == CC_CHANNELS_FIRST && conv->y_layout == CC_CHANNELS_FIRST;
    if (!first || conv->dtype != CC_F32 || conv->groups != conv->ic || conv->oc != conv->ic || w->kernel[0] != 1 ||
        w->stride[0] != 1 || w->pad_before[0] != 0 || w->pad_after[0] != 0 || w->stride[1] != w->stride[2] ||
        w->stride[1] > 2)
        return false;
    for (int a = 1; a < CC_AXES; a++)
        if (w->kernel[a] != 3 || w->dilation[a] != 1 || w->pad_before[a] > 2)
            return false;
    return true;
}

static int parts_of(const rows_job *job, int64_t items)
{
    const double products = (double)(job->n * job->channels * job->depth * cc_max(job->source, job->target)) * TAPS;
    return cc_parts(job->context->pool, items, cc_max(1, (int64_t)((double)items * GRAIN / products)));
}

/* Items are the strips of all planes; those that are planes go to a kernel up to the last channel. */
static void make_strips(void *argument, int64_t begin, int64_t end, int part)
{
    const rows_job *job = argument;
    (void)part;
    const cc_depthwise_kernels *kernels = &job->context->kernels->depthwise;
    const cc_depthwise_rows *p = &job->plane;
    const int64_t made = job->spread ? p->height : p->out_height;
    for (int64_t item = begin, count = 1; item < end; item += count) {
        const int64_t plane = item / job->strips, channel = plane / job->depth % job->channels;
        const int64_t first = item % job->strips * job->rows, last = cc_min(made, first + job->rows);
        const float *x = job->x + plane * job->source, *w = job->w + channel * TAPS;
        const float *b = job->b != NULL ? job->b + channel : NULL;
        float *y = job->y + plane * job->target;
        if (job->strips == 1 && job->depth == 1)
            count = cc_min(end - item, job->channels - channel);
        if (job->spread)
            kernels->spread_rows(p, count, first, last, x, w, y);
        else
            kernels->convolve_rows(p, count, first, last, x, w, b, y);
    }
}

/* y or dx, with weights times `scale`, or turned around. */
static cc_status make(rows_job *job, const float *w, const float *scale)
{
    const int64_t items = job->n * job->channels * job->depth * job->strips;
    const bool turned = job->back && !job->spread;
    float *packed = NULL;
    job->w = w;
    if (turned || scale != NULL) {
        job->w = packed = cc_arena_alloc(job->context->arena, (size_t)(job->channels * TAPS) * sizeof(float));
        if (packed == NULL)
            return CC_ERR_MEMORY;
        for (int64_t c = 0; c < job->channels; c++)
            for (int t = 0; t < TAPS; t++)
                packed[c * TAPS + t] = w[c * TAPS + (turned ? TAPS - 1 - t : t)] * (scale != NULL ? scale[c] : 1);
    }
    cc_parallel_for(job->context->pool, parts_of(job, items), items, make_strips, job);
    cc_arena_free(job->context->arena, packed);
    return CC_OK;
}

cc_status cc_depthwise_rows_forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                                    const void *b, const cc_epilogue *epilogue, void *y)
{
    rows_job job = job_of(context, conv, CC_FORWARD);
    job.x = x;
    job.b = b;
    job.y = y;
    CC_TRY(make(&job, w, epilogue != NULL ? epilogue->scale : NULL));
    if (epilogue != NULL) {
        cc_epilogue rest = *epilogue;
        rest.scale = NULL;
        cc_conv_apply_epilogue(context, conv, NULL, &rest, y);
    }
    if (cc_conv_multiplied_padding(context, conv, CC_FORWARD, y, w))
        return cc_conv_apart_forward(&cc_conv_depthwise, context, conv, x, w, b, epilogue, y);
    return CC_OK;
}

cc_status cc_depthwise_rows_backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                                          const void *residual, void *dx)
{
    rows_job job = job_of(context, conv, CC_BACKWARD_DATA);
    job.x = dy;
    job.y = dx;
    CC_TRY(make(&job, w, NULL));
    if (residual != NULL)
        cc_conv_add_residual(context, conv, residual, dx);
    if (cc_conv_multiplied_padding(context, conv, CC_BACKWARD_DATA, dx, w))
        return cc_conv_apart_backward_data(&cc_conv_depthwise, context, conv, dy, w, residual, dx);
    return CC_OK;
}

/* The planes of neighbouring channels of so many images, strip by strip; so many positions are summed before and, returned,
 * behind them. */
static int64_t sum_channels(const rows_job *job, int64_t image, int64_t images, int64_t channel, int64_t count,
                            int64_t seen, float *partial, double *sums)
{
    const cc_depthwise_kernels *kernels = &job->context->kernels->depthwise;
    const cc_depthwise_rows *p = &job->plane;
    const int64_t vectors = cc_ceil_div(p->out_width, lanes_of(job));
    const int64_t plane = (image * job->channels + channel) * job->depth;
    for (int64_t d = 0; d < job->depth; d++)
        for (int64_t first = 0; first < p->out_height; first += job->rows) {
            const int64_t last = cc_min(p->out_height, first + job->rows);
            kernels->gradient_rows(p, images, count, first, last, job->x + (plane + d) * job->source,
                                   job->y + (plane + d) * job->target, partial);
            seen += images * (last - first) * vectors;
            if (seen >= POSITIONS) {
                kernels->drain_rows(count, partial, sums);
                seen = 0;
            }
        }
    return seen;
}

static void sum_items(void *argument, int64_t begin, int64_t end, int part)
{
    const rows_job *job = argument;
    const int64_t lanes = lanes_of(job);
    const int64_t together = job->strips == 1 && job->depth == 1 ? job->block : 1;
    float *partial = job->partial + part * job->block * TAPS * lanes;
    memset(partial, 0, (size_t)(job->block * TAPS * lanes) * sizeof(float));
    for (int64_t item = begin; item < end; item++) {
        const int64_t chunk = item / job->blocks, first = item % job->blocks * job->block;
        const int64_t last = cc_min(job->channels, first + job->block);
        double *sums = job->sums + chunk * job->channels * TAPS;
        memset(sums + first * TAPS, 0, (size_t)((last - first) * TAPS) * sizeof(double));
        int64_t seen = 0;
        const int64_t behind = (chunk + 1) * job->n / job->chunks;
        for (int64_t i = chunk * job->n / job->chunks, images; i < behind; i += images) {
            int64_t after = seen;
            images = cc_min(job->images, behind - i);
            for (int64_t c = first; c < last; c += together)
                after = sum_channels(job, i, images, c, cc_min(together, last - c), seen,
                                     partial + (c - first) * TAPS * lanes, sums + c * TAPS);
            seen = after;
        }
        job->context->kernels->depthwise.drain_rows(last - first, partial, sums + first * TAPS);
    }
}

/* The sums of all chunks go to the first one's; returns whether all are finite. */
static bool add_chunks(const rows_job *job)
{
    const int64_t size = job->channels * TAPS;
    double *restrict sums = job->sums;
    int64_t special = 0;
    for (int64_t k = 1; k < job->chunks; k++)
        for (int64_t i = 0; i < size; i++)
            sums[i] += sums[k * size + i];
    for (int64_t i = 0; i < size; i++)
        special |= !(fabs(sums[i]) <= DBL_MAX);
    return special == 0;
}

cc_status cc_depthwise_rows_backward_weight(const cc_context *context, const cc_conv *conv, const void *x,
                                            const void *dy, void *dw)
{
    rows_job job = job_of(context, conv, CC_BACKWARD_WEIGHT);
    job.x = x;
    job.y = (float *)dy;
    job.block = cc_min(cc_min(BLOCK, job.channels), cc_max(1, job.channels * job.n / ITEMS));
    job.blocks = cc_ceil_div(job.channels, job.block);
    job.chunks = cc_min(job.n, cc_ceil_div(ITEMS, job.blocks));
    job.images = 2 * job.plane.out_width <= lanes_of(&job) ? 2 : 1;
    const int64_t items = job.blocks * job.chunks, size = job.channels * TAPS;
    const size_t of_part = (size_t)(job.block * TAPS * lanes_of(&job)) * sizeof(float);
    const int parts = parts_of(&job, items);
    char *memory = cc_arena_alloc(context->arena, (size_t)parts * of_part + (size_t)(job.chunks * size) * sizeof(double));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    job.partial = (float *)(void *)memory;
    job.sums = (double *)(void *)(memory + (size_t)parts * of_part);
    cc_parallel_for(context->pool, parts, items, sum_items, &job);
    bool apart = false;
    if (!cc_pool_rehearses(context->pool)) {
        apart = !add_chunks(&job) && cc_conv_multiplied_padding(context, conv, CC_BACKWARD_WEIGHT, dy, dy);
        for (int64_t i = 0; i < size && !apart; i++)
            ((float *)dw)[i] += (float)job.sums[i];
    }
    cc_arena_free(context->arena, memory);
    return apart ? cc_conv_apart_backward_weight(&cc_conv_depthwise, context, conv, x, dy, dw) : CC_OK;
}
