/* conv/blocks.c -- convolution in groups of channels-first arrays: a few groups of a few images at a time are
 * copied to channels-last order, convolved there by the algorithm that suits them, and copied back, all within the
 * nearest caches of the thread that does it.
 */
#include <stdatomic.h>
#include <string.h>

#include "../gemm/transpose.h"
#include "algo.h"

/* Elements of a block's images on both sides: they, and what the algorithm makes of them, stay in the second-level cache. */
#define BLOCK (96 << 10)
#define SOME_IMAGES 8
/* Images with larger groups are not worth the memory. */
#define MOST (1 << 20)
/* Gradients for the weights: so many items, if blocks of groups alone are fewer, of sums so large together. */
#define ITEMS 16
#define SUMS (1 << 20)
/* Bytes that a block's algorithm is thought to need. */
#define ROOM (1 << 18)
/* Rows of groups of few channels. */
#define LONG_ROWS 24
#define LONGEST_ROWS 64
#define FEW_CHANNELS 4

typedef struct blocks_job {
    const cc_context *context;
    const cc_conv *conv;
    cc_pass pass;
    int64_t ic, oc, in, out; /* channels of a group and values of a channel, of x and of y */
    int64_t weights;
    int64_t groups, images;  /* of a block */
    int64_t across, down;    /* blocks that cover all of them */
    int64_t chunks;          /* of the images, in gradients for the weights */
    const char *x, *y, *w, *bias, *residual;
    const cc_epilogue *epilogue;
    char *target;            /* y, dx, or sums of dw, one chunk behind the other */
    char *scratch;           /* of each part: a block of x, one of y, and of the residual */
    int64_t size;            /* of an element */
    int64_t x_bytes, y_bytes, part_bytes;
    int64_t room;            /* bytes of each part's arena */
    cc_arena *arena[CC_MAX_THREADS];
    atomic_int status;
} blocks_job;

typedef struct block {
    int64_t image, images, group, groups;
    cc_conv conv;
} block;

/* The largest parts of n that `most` allows, of whole units and as equal as can be. */
static int64_t share(int64_t n, int64_t most, int64_t unit)
{
    const int64_t units = cc_ceil_div(n, unit);
    const int64_t count = cc_ceil_div(units, cc_max(1, most / unit));
    return cc_min(n, cc_ceil_div(units, count) * unit);
}

static blocks_job job_of(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const int64_t ic = conv->ic / conv->groups, oc = conv->oc / conv->groups;
    blocks_job job = {.context = context, .conv = conv, .pass = pass, .ic = ic, .oc = oc,
                      .in = cc_volume(conv->window.input), .out = cc_volume(conv->window.output),
                      .weights = conv->oc * ic * cc_volume(conv->window.kernel),
                      .size = (int64_t)cc_dtype_size(conv->dtype)};
    const int64_t group = ic * job.in + oc * job.out;
    /* Copies are made of whole vectors, best of two, or of more where some images of these find room. */
    const int64_t unit = cc_ceil_div(context->kernels->lanes, cc_min(ic, oc));
    const int64_t wide = cc_max(2 * unit, BLOCK / SOME_IMAGES / group);
    job.groups = share(conv->groups, cc_min(wide, BLOCK / group), unit);
    job.images = share(conv->n, BLOCK / (group * job.groups), 1);
    job.across = cc_ceil_div(conv->groups, job.groups);
    job.down = cc_ceil_div(conv->n, job.images);
    const int64_t most = SUMS / job.weights;
    job.chunks = cc_max(1, cc_min(cc_min(cc_ceil_div(ITEMS, job.across), most), job.down));
    job.x_bytes = cc_ceil_div(job.images * job.groups * ic * job.in * job.size, CC_ALIGNMENT) * CC_ALIGNMENT;
    job.y_bytes = cc_ceil_div(job.images * job.groups * oc * job.out * job.size, CC_ALIGNMENT) * CC_ALIGNMENT;
    return job;
}

static block block_of(const blocks_job *job, int64_t across, int64_t down)
{
    block b = {.image = down * job->images, .group = across * job->groups, .conv = *job->conv};
    b.images = cc_min(job->images, job->conv->n - b.image);
    b.groups = cc_min(job->groups, job->conv->groups - b.group);
    b.conv.n = b.images;
    b.conv.ic = job->ic * b.groups;
    b.conv.oc = job->oc * b.groups;
    b.conv.groups = b.groups;
    b.conv.x_layout = b.conv.y_layout = CC_CHANNELS_LAST;
    return b;
}

/* NULL: none that is better than what does everything. */
static const cc_conv_algo *algo_of(const blocks_job *job, const block *b)
{
    const cc_conv_algo *algo = cc_conv_algo_get(cc_conv_algo_choose(job->context, &b->conv, job->pass), b->conv.dtype);
    return algo->needs_blas || algo == &cc_conv_reference ? NULL : algo;
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    if (conv->groups < 2 || conv->x_layout != CC_CHANNELS_FIRST ||
        conv->y_layout != CC_CHANNELS_FIRST || conv->n == 0 || conv->ic == 0 || conv->oc == 0 ||
        cc_volume(conv->window.input) == 0)
        return false;
    const blocks_job job = job_of(context, conv, pass);
    for (int last = 0; last < 4; last++) { /* the last blocks may be smaller */
        const block b = block_of(&job, last & 1 ? job.across - 1 : 0, last & 2 ? job.down - 1 : 0);
        if (algo_of(&job, &b) == NULL)
            return false;
    }
    return true;
}

/* Long rows of few channels a group are convolved as they lie (stencil.c), unless small kernels fill vectors of floats. */
static bool better_in_rows(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    const int64_t ic = conv->ic / conv->groups, oc = conv->oc / conv->groups, width = w->input[2];
    const bool dense = w->stride[0] == 1 && w->stride[1] == 1 && w->stride[2] == 1;
    const bool full = conv->dtype == CC_F32 && context->kernels->lanes % ic == 0 && context->kernels->lanes % oc == 0;
    return dense && (pass == CC_BACKWARD_DATA ? oc : ic) <= FEW_CHANNELS && width >= LONG_ROWS &&
           !(full && cc_volume(w->kernel) <= 9 && width <= LONGEST_ROWS);
}

/* What a block does with its weights must be little beside the rest. */
static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    if (better_in_rows(context, conv, pass))
        return false;
    const blocks_job job = job_of(context, conv, pass);
    const int64_t often = pass == CC_BACKWARD_WEIGHT ? 12 : 4; /* as measured */
    return job.x_bytes + job.y_bytes <= MOST * job.size &&
           often * job.weights / conv->groups <= job.images * (job.ic * job.in + job.oc * job.out);
}

/* Of an array of so many channels a group, of `values` each. */
static int64_t place(const blocks_job *job, const block *b, int64_t image, int64_t channels, int64_t values)
{
    return ((b->image + image) * job->conv->groups + b->group) * channels * values * job->size;
}

static void read_block(const blocks_job *job, const block *b, const char *from, int64_t channels, int64_t values, char *to)
{
    const int64_t width = channels * b->groups;
    for (int64_t n = 0; n < b->images; n++)
        cc_transpose(job->context->kernels, job->conv->dtype, width, values, from + place(job, b, n, channels, values), values,
                     to + n * width * values * job->size, width);
}

static void write_block(const blocks_job *job, const block *b, const char *from, int64_t channels, int64_t values, char *to)
{
    const int64_t width = channels * b->groups;
    for (int64_t n = 0; n < b->images; n++)
        cc_transpose(job->context->kernels, job->conv->dtype, values, width, from + n * width * values * job->size, width,
                     to + place(job, b, n, channels, values), values);
}

static void note(blocks_job *job, cc_status status)
{
    if (status != CC_OK)
        atomic_store_explicit(&job->status, (int)status, memory_order_relaxed);
}

/* With which it is convolved: its memory comes out of what the part has. */
static cc_context context_of(const blocks_job *job, int part)
{
    cc_context context = *job->context;
    context.arena = job->arena[part];
    return context;
}

static cc_status convolve(const blocks_job *job, const cc_context *context, const block *b, void *x, void *y,
                          const void *residual, void *dw)
{
    const cc_conv *conv = &b->conv;
    const cc_conv_algo *algo = algo_of(job, b);
    if (job->pass == CC_BACKWARD_WEIGHT)
        return cc_conv_algo_backward_weight(algo, context, conv, x, y, dw);
    const int64_t channel = b->group * job->oc * job->size;
    const char *w = job->w + channel * job->ic * cc_volume(conv->window.kernel);
    if (job->pass == CC_BACKWARD_DATA)
        return cc_conv_algo_backward_data(algo, context, conv, y, w, residual, x);
    const cc_epilogue *all = job->epilogue;
    const cc_epilogue e = {.scale = all != NULL && all->scale != NULL ? (const char *)all->scale + channel : NULL,
                           .residual = residual, .relu = all != NULL && all->relu};
    return cc_conv_algo_forward(algo, context, conv, x, w, job->bias != NULL ? job->bias + channel : NULL, &e, y);
}

/* Items: blocks. */
static void run_images(void *argument, int64_t begin, int64_t end, int part)
{
    blocks_job *job = argument;
    const cc_context context = context_of(job, part);
    const bool back = job->pass == CC_BACKWARD_DATA;
    char *x = job->scratch + part * job->part_bytes, *y = x + job->x_bytes, *residual = y + job->y_bytes;
    for (int64_t item = begin; item < end; item++) {
        const block b = block_of(job, item % job->across, item / job->across);
        if (back)
            read_block(job, &b, job->y, job->oc, job->out, y);
        else
            read_block(job, &b, job->x, job->ic, job->in, x);
        if (job->residual != NULL)
            read_block(job, &b, job->residual, back ? job->ic : job->oc, back ? job->in : job->out, residual);
        note(job, convolve(job, &context, &b, x, y, job->residual != NULL ? residual : NULL, NULL));
        if (back)
            write_block(job, &b, x, job->ic, job->in, job->target);
        else
            write_block(job, &b, y, job->oc, job->out, job->target);
    }
}

/* Items are (chunk of the images, block of groups). */
static void run_weights(void *argument, int64_t begin, int64_t end, int part)
{
    blocks_job *job = argument;
    const cc_context context = context_of(job, part);
    char *x = job->scratch + part * job->part_bytes, *y = x + job->x_bytes;
    for (int64_t item = begin; item < end; item++) {
        const int64_t chunk = item / job->across, last = (chunk + 1) * job->down / job->chunks;
        for (int64_t down = chunk * job->down / job->chunks; down < last; down++) {
            const block b = block_of(job, item % job->across, down);
            read_block(job, &b, job->x, job->ic, job->in, x);
            read_block(job, &b, job->y, job->oc, job->out, y);
            char *dw = job->target + (chunk * job->weights + b.group * (job->weights / job->conv->groups)) * job->size;
            note(job, convolve(job, &context, &b, x, y, NULL, dw));
        }
    }
}

/* Bytes that the algorithm of any block asks for. */
static cc_status find_room(blocks_job *job)
{
    for (job->room = ROOM;; job->room *= 2) {
        void *memory = cc_arena_alloc(job->context->arena, (size_t)job->room);
        cc_context context = *job->context;
        context.arena = memory != NULL ? cc_arena_within(NULL, memory, (size_t)job->room) : NULL;
        cc_status status = context.arena != NULL ? CC_OK : CC_ERR_MEMORY;
        const bool there = status == CC_OK;
        cc_parallel_idle(true);
        for (int last = 0; last < 4 && status == CC_OK; last++) {
            const block b = block_of(job, last & 1 ? job->across - 1 : 0, last & 2 ? job->down - 1 : 0);
            status = convolve(job, &context, &b, job->scratch, job->scratch + job->x_bytes, job->residual, job->target);
        }
        cc_parallel_idle(false);
        cc_arena_destroy(context.arena);
        cc_arena_free(job->context->arena, memory);
        if (status != CC_ERR_MEMORY || !there)
            return status;
    }
}

/* All memory is there before anything is written. */
static cc_status run(blocks_job *job, int64_t items, cc_task task, int64_t residual, int64_t sums)
{
    cc_arena *arena = job->context->arena;
    const int parts = cc_parts(job->context->pool, items, 1);
    job->part_bytes = job->x_bytes + job->y_bytes + residual;
    int64_t bytes;
    CC_TRY(cc_product((const int64_t[]){parts, job->part_bytes}, 2, &bytes));
    job->scratch = cc_arena_alloc(arena, (size_t)(bytes + sums));
    if (job->scratch == NULL)
        return CC_ERR_MEMORY;
    if (sums > 0)
        job->target = job->scratch + bytes;
    memset(job->scratch, 0, (size_t)job->part_bytes);
    CC_TRY(find_room(job));
    if (sums > 0)
        memset(job->target, 0, (size_t)sums);
    char *room = cc_arena_alloc(arena, (size_t)(parts * job->room));
    cc_status status = room != NULL ? CC_OK : CC_ERR_MEMORY;
    for (int part = 0; part < parts && status == CC_OK; part++) {
        job->arena[part] = cc_arena_within(arena, room + part * job->room, (size_t)job->room);
        status = job->arena[part] != NULL ? CC_OK : CC_ERR_MEMORY;
    }
    atomic_init(&job->status, CC_OK);
    if (status == CC_OK) {
        cc_parallel_each(job->context->pool, parts, items, task, job);
        status = (cc_status)atomic_load(&job->status);
    }
    for (int part = 0; part < parts; part++)
        cc_arena_destroy(job->arena[part]);
    cc_arena_free(arena, room);
    return status;
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w, const void *b,
                         const cc_epilogue *epilogue, void *y)
{
    blocks_job job = job_of(context, conv, CC_FORWARD);
    job.x = x;
    job.w = w;
    job.bias = b;
    job.epilogue = epilogue;
    job.residual = epilogue != NULL ? epilogue->residual : NULL;
    job.target = y;
    const cc_status status = run(&job, job.across * job.down, run_images, job.residual != NULL ? job.y_bytes : 0, 0);
    cc_arena_free(context->arena, job.scratch);
    return status;
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    blocks_job job = job_of(context, conv, CC_BACKWARD_DATA);
    job.y = dy;
    job.w = w;
    job.residual = residual;
    job.target = dx;
    const cc_status status = run(&job, job.across * job.down, run_images, residual != NULL ? job.x_bytes : 0, 0);
    cc_arena_free(context->arena, job.scratch);
    return status;
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy, void *dw)
{
    blocks_job job = job_of(context, conv, CC_BACKWARD_WEIGHT);
    job.x = x;
    job.y = dy;
    const cc_status status = run(&job, job.across * job.chunks, run_weights, 0, job.chunks * job.weights * job.size);
    for (int64_t chunk = 0; chunk < job.chunks && status == CC_OK; chunk++) {
        const void *sums = job.target + chunk * job.weights * job.size;
        for (int64_t i = 0; i < job.weights; i++)
            if (conv->dtype == CC_F32)
                ((float *)dw)[i] += ((const float *)sums)[i];
            else
                ((double *)dw)[i] += ((const double *)sums)[i];
    }
    cc_arena_free(context->arena, job.scratch);
    return status;
}

const cc_conv_algo cc_conv_blocks = {
    .name = "blocks",
    .approximate = true, /* where what it takes is */
    .fuses = true,
    .skips_padding = {true, true, true}, /* or sees to it, block by block */
    .supports = supports,
    .pays = pays,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
