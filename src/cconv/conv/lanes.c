#include "lanes.h"

#include <string.h>

#include "lanes_weights.h"

/* Where a block's planes and places lie inside its saved bytes. */
typedef struct layout {
    int64_t x[CC_LANES_STAGES], place[CC_LANES_STAGES];
    int64_t block; /* bytes of one block */
} layout;

static int64_t round_up(int64_t bytes) { return cc_ceil_div(bytes, CC_ALIGNMENT) * CC_ALIGNMENT; }

static int64_t pooled_size(const cc_lanes_shape *s) { return s->oc * s->ph * s->pw; }
static int64_t input_size(const cc_lanes_shape *s) { return s->ic * s->xh * s->xw; }
static int64_t weight_size(const cc_lanes_shape *s) { return s->oc * s->ic * s->kh * s->kw; }

cc_status cc_lanes_resolve(cc_lanes_chain *chain)
{
    if (chain->stages < 1 || chain->stages > CC_LANES_STAGES || chain->n < 0)
        return CC_ERR_ARGUMENT;
    int64_t ic = chain->ic, h = chain->h, w = chain->w;
    for (int i = 0; i < chain->stages; i++) {
        cc_lanes_stage *stage = &chain->stage[i];
        cc_lanes_shape *s = &stage->shape;
        const int64_t limit = 1 << 15;
        if (ic < 1 || h < 1 || w < 1 || stage->oc < 1 || stage->kh < 1 || stage->kw < 1 || stage->oc > limit ||
            ic > limit || h > limit || w > limit || stage->kh > limit || stage->kw > limit)
            return CC_ERR_ARGUMENT;
        if (stage->top < 0 || stage->bottom < 0 || stage->left < 0 || stage->right < 0 ||
            stage->top >= stage->kh || stage->bottom >= stage->kh || stage->left >= stage->kw ||
            stage->right >= stage->kw)
            return CC_ERR_ARGUMENT;
        *s = (cc_lanes_shape){.ic = ic, .xh = h + stage->top + stage->bottom, .xw = w + stage->left + stage->right,
                              .oc = stage->oc, .kh = stage->kh, .kw = stage->kw, .pad_rows = stage->top,
                              .pad_rows_end = stage->bottom, .pad_columns = stage->left,
                              .pad_columns_end = stage->right};
        s->oh = s->xh - s->kh + 1;
        s->ow = s->xw - s->kw + 1;
        if (s->oh < 2 || s->ow < 2)
            return CC_ERR_SHAPE;
        s->ph = s->oh / 2;
        s->pw = s->ow / 2;
        /* Far more than fits into memory, and no sum of sizes overflows. */
        int64_t elements;
        CC_TRY(cc_product((int64_t[]){s->oc, s->ic, s->kh, s->kw, 1 << 12}, 5, &elements));
        ic = s->oc;
        h = s->ph;
        w = s->pw;
    }
    const int64_t images[] = {chain->n, chain->ic, chain->h, chain->w, 4};
    int64_t elements;
    return cc_product(images, 5, &elements);
}

static layout saved_layout(const cc_context *context, const cc_lanes_chain *chain)
{
    const int64_t lanes = context->kernels->lanes;
    layout l = {.block = 0};
    for (int i = 0; i < chain->stages; i++) {
        const cc_lanes_shape *s = &chain->stage[i].shape;
        l.x[i] = l.block;
        l.block += round_up(input_size(s) * lanes * (int64_t)sizeof(float));
        l.place[i] = l.block;
        l.block += round_up(pooled_size(s) * lanes);
    }
    return l;
}

static int64_t block_count(const cc_context *context, const cc_lanes_chain *chain)
{
    return cc_ceil_div(chain->n, context->kernels->lanes);
}

cc_status cc_lanes_saved_size(const cc_context *context, const cc_lanes_chain *given, int64_t *bytes)
{
    cc_lanes_chain resolved = *given, *const chain = &resolved;
    CC_TRY(cc_lanes_resolve(chain));
    const layout l = saved_layout(context, chain);
    return cc_mul(l.block, block_count(context, chain), bytes) && *bytes < PTRDIFF_MAX / 2 ? CC_OK
                                                                                           : CC_ERR_OVERFLOW;
}

/* ---- forward ---- */

/* So many blocks for each thread leave its cache before backward reads them; any thread may then do them. */
#define MANY 8

typedef struct forward_job {
    const cc_context *context;
    const cc_lanes_chain *chain;
    layout layout;
    const float *x;
    cc_lanes_weights weights[CC_LANES_STAGES];
    const float *const *bias;
    char *saved;   /* a block each, or one a part when nothing is kept */
    bool keep;
    float *pooled; /* last stage's planes, one a part */
    float *transform; /* of a stage's input, one a part */
    int64_t transform_size;
    float *y;
} forward_job;

static cc_lanes_target target_of(const cc_lanes_stage *stage, char *block, int64_t offset)
{
    return (cc_lanes_target){.data = (float *)(void *)(block + offset), .rows = stage->shape.xh,
                             .columns = stage->shape.xw, .top = stage->top, .left = stage->left};
}

/* Zero the padding of a stage's input; its inside will be written. */
static void clear_padding(const cc_lanes_stage *stage, float *x, int64_t lanes)
{
    const cc_lanes_shape *s = &stage->shape;
    const size_t vector = (size_t)lanes * sizeof(float);
    const int64_t inside = s->xw - stage->left - stage->right;
    for (int64_t i = 0; i < s->ic; i++)
        for (int64_t y = 0; y < s->xh; y++) {
            float *row = x + (i * s->xh + y) * s->xw * lanes;
            if (y < stage->top || y >= s->xh - stage->bottom) {
                memset(row, 0, vector * (size_t)s->xw);
            } else {
                memset(row, 0, vector * (size_t)stage->left);
                memset(row + (stage->left + inside) * lanes, 0, vector * (size_t)stage->right);
            }
        }
}

static void forward_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const forward_job *job = argument;
    const cc_lanes_chain *chain = job->chain;
    const cc_lanes_kernels *kernels = &job->context->kernels->lanes_chain;
    const int64_t lanes = job->context->kernels->lanes;
    const cc_lanes_shape *last = &chain->stage[chain->stages - 1].shape;
    float *pooled = job->pooled + part * pooled_size(last) * lanes;
    float *transform = job->transform + part * job->transform_size;

    for (int64_t b = begin; b < end; b++) {
        char *block = job->saved + (job->keep ? b : part) * job->layout.block;
        const int64_t first = b * lanes, count = cc_min(lanes, chain->n - first);
        for (int i = 0; i < chain->stages; i++) {
            const cc_lanes_stage *stage = &chain->stage[i];
            cc_lanes_target in = target_of(stage, block, job->layout.x[i]);
            clear_padding(stage, in.data, lanes);
            if (i == 0)
                kernels->load(job->x + first * chain->ic * chain->h * chain->w, count, chain->ic, chain->h,
                              chain->w, in);
        }
        for (int i = 0; i < chain->stages; i++) {
            const cc_lanes_shape *s = &chain->stage[i].shape;
            cc_lanes_target out = {.data = pooled, .rows = s->ph, .columns = s->pw};
            if (i + 1 < chain->stages)
                out = target_of(&chain->stage[i + 1], block, job->layout.x[i + 1]);
            const float *in = (const float *)(const void *)(block + job->layout.x[i]);
            uint8_t *place = (uint8_t *)(block + job->layout.place[i]);
            if (job->weights[i].winograd != NULL && kernels->winograd.input(s, in, transform))
                kernels->winograd.conv_relu_pool(s, transform, job->weights[i].winograd, job->bias[i], out, place);
            else
                kernels->conv_relu_pool(s, in, job->weights[i].direct, job->bias[i], out, place);
        }
        kernels->store(pooled, pooled_size(last), count, job->y + first * pooled_size(last));
    }
}

cc_status cc_lanes_forward(const cc_context *context, const cc_lanes_chain *given, const float *x,
                           const float *const *weight, const float *const *bias, void *saved, float *y)
{
    cc_lanes_chain resolved = *given, *const chain = &resolved;
    CC_TRY(cc_lanes_resolve(chain));
    const int64_t lanes = context->kernels->lanes, blocks = block_count(context, chain);
    if (blocks == 0)
        return CC_OK;
    const int parts = cc_parts(context->pool, blocks, 1);
    forward_job job = {.context = context, .chain = chain, .layout = saved_layout(context, chain), .x = x,
                       .bias = bias, .saved = saved, .keep = saved != NULL, .y = y};

    int64_t packed_floats = 0;
    for (int i = 0; i < chain->stages; i++) {
        packed_floats += cc_lanes_packed_size(context, &chain->stage[i].shape);
        job.transform_size = cc_max(job.transform_size, cc_lanes_transform_size(context, &chain->stage[i].shape));
    }
    const int64_t pooled_floats = pooled_size(&chain->stage[chain->stages - 1].shape) * lanes;
    const int64_t part_bytes = (pooled_floats + job.transform_size) * parts * (int64_t)sizeof(float);
    const int64_t packed_bytes = round_up(packed_floats * (int64_t)sizeof(float));
    const int64_t unsaved_bytes = saved == NULL ? job.layout.block * parts : 0;
    char *scratch = cc_arena_alloc(context->arena, (size_t)(part_bytes + packed_bytes + unsaved_bytes));
    if (scratch == NULL)
        return CC_ERR_MEMORY;
    job.pooled = (float *)(void *)scratch;
    job.transform = job.pooled + pooled_floats * parts;
    float *packed = (float *)(void *)(scratch + part_bytes);
    if (saved == NULL)
        job.saved = scratch + part_bytes + packed_bytes;
    for (int i = 0; i < chain->stages; i++) {
        job.weights[i] = cc_lanes_pack(context, &chain->stage[i].shape, weight[i], false, packed);
        packed += cc_lanes_packed_size(context, &chain->stage[i].shape);
    }
    if (blocks >= MANY * parts)
        cc_parallel_each(context->pool, parts, blocks, forward_blocks, &job);
    else
        cc_parallel_for(context->pool, parts, blocks, forward_blocks, &job);
    cc_arena_free(context->arena, scratch);
    return CC_OK;
}

/* ---- backward ---- */

typedef struct backward_job {
    const cc_context *context;
    const cc_lanes_chain *chain;
    layout layout;
    const char *saved;
    cc_lanes_weights weights[CC_LANES_STAGES];
    const float *dy;
    float *dx;
    float *gradients;     /* a block each: all stages' dw, then db */
    int64_t gradient_size, packed_size;
    char *scratch;        /* per part: dpool, then dy for each stage, then the transform of one */
    int64_t scratch_size, dpool_size;
    int64_t dy_offset[CC_LANES_STAGES], transform_offset;
} backward_job;

/* The output gradient of a stage, with the padding that makes dx a plain convolution. */
static cc_lanes_target dy_target(const backward_job *job, int index, char *scratch, int64_t offset)
{
    const cc_lanes_stage *stage = &job->chain->stage[index];
    const cc_lanes_shape *s = &stage->shape;
    float *data = scratch == NULL ? NULL : (float *)(void *)(scratch + offset);
    const int64_t top = s->kh - 1 - stage->top, left = s->kw - 1 - stage->left;
    return (cc_lanes_target){.data = data, .rows = s->oh + top + s->kh - 1 - stage->bottom,
                             .columns = s->ow + left + s->kw - 1 - stage->right, .top = top, .left = left};
}

/* The convolution that takes the output gradient of a stage to that of its input. */
static cc_lanes_shape turned_shape(const backward_job *job, int index)
{
    const cc_lanes_shape *s = &job->chain->stage[index].shape;
    const cc_lanes_target dy = dy_target(job, index, NULL, 0);
    return (cc_lanes_shape){.ic = s->oc, .xh = dy.rows, .xw = dy.columns, .oc = s->ic, .kh = s->kh, .kw = s->kw,
                            .oh = dy.rows - s->kh + 1, .ow = dy.columns - s->kw + 1, .pad_rows = dy.top,
                            .pad_rows_end = dy.rows - dy.top - 2 * s->ph, .pad_columns = dy.left,
                            .pad_columns_end = dy.columns - dy.left - 2 * s->pw};
}

/* Zeros around what unpooling writes, where anything reads them. */
static void clear_border(const backward_job *job, int index, char *scratch)
{
    const cc_lanes_shape *s = &job->chain->stage[index].shape;
    const cc_lanes_target dy = dy_target(job, index, scratch, job->dy_offset[index]);
    const int64_t lanes = job->context->kernels->lanes, end = dy.left + 2 * s->pw;
    const size_t vector = (size_t)lanes * sizeof(float);
    if (index == 0 && job->dx == NULL)
        return;
    for (int64_t i = 0; i < s->oc; i++)
        for (int64_t y = 0; y < dy.rows; y++) {
            float *row = dy.data + (i * dy.rows + y) * dy.columns * lanes;
            const bool inside = y >= dy.top && y < dy.top + 2 * s->ph;
            memset(row, 0, vector * (size_t)(inside ? dy.left : dy.columns));
            memset(row + end * lanes, 0, vector * (size_t)(inside ? dy.columns - end : 0));
        }
}

static void stage_backward(const backward_job *job, int index, const char *block, char *scratch, float *dpool,
                           float *dw, float *db)
{
    const cc_lanes_stage *stage = &job->chain->stage[index];
    const cc_lanes_shape *s = &stage->shape;
    const cc_lanes_kernels *kernels = &job->context->kernels->lanes_chain;
    const uint8_t *place = (const uint8_t *)(block + job->layout.place[index]);
    kernels->bias_gradient(s, dpool, place, db);
    float *transform = (float *)(void *)(scratch + job->transform_offset);
    const float *x = (const float *)(const void *)(block + job->layout.x[index]);
    if (!cc_lanes_takes_winograd(job->context, s) || !kernels->winograd.pairs(s, x, transform) ||
        !kernels->winograd.weight_gradient(s, transform, dpool, place, dw))
        kernels->weight_gradient(s, x, dpool, place, dw);
    if (index == 0 && job->dx == NULL)
        return;
    const cc_lanes_target dy = dy_target(job, index, scratch, job->dy_offset[index]);
    kernels->unpool(s, dpool, place, dy);
    const cc_lanes_shape back = turned_shape(job, index);
    const cc_lanes_target dx = {.data = dpool, .rows = back.oh, .columns = back.ow};
    const cc_lanes_weights *w = &job->weights[index];
    if (w->winograd != NULL && kernels->winograd.input(&back, dy.data, transform))
        kernels->winograd.conv(&back, transform, w->winograd, dx);
    else
        kernels->conv(&back, dy.data, w->direct, dx);
}

static void backward_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const backward_job *job = argument;
    const cc_lanes_chain *chain = job->chain;
    const cc_lanes_kernels *kernels = &job->context->kernels->lanes_chain;
    const int64_t lanes = job->context->kernels->lanes;
    const cc_lanes_shape *last = &chain->stage[chain->stages - 1].shape;
    char *scratch = job->scratch + part * job->scratch_size;
    float *dpool = (float *)(void *)scratch;
    for (int i = 0; i < chain->stages; i++)
        clear_border(job, i, scratch);

    for (int64_t b = begin; b < end; b++) {
        const char *block = job->saved + b * job->layout.block;
        const int64_t first = b * lanes, count = cc_min(lanes, chain->n - first);
        const cc_lanes_target top = {.data = dpool, .rows = last->ph, .columns = last->pw};
        kernels->load(job->dy + first * pooled_size(last), count, last->oc, last->ph, last->pw, top);

        float *gradient = job->gradients + (b + 1) * job->gradient_size;
        memset(gradient - job->gradient_size, 0, (size_t)job->gradient_size * sizeof(float));
        for (int i = chain->stages - 1; i >= 0; i--) {
            const cc_lanes_shape *s = &chain->stage[i].shape;
            gradient -= weight_size(s) + s->oc;
            stage_backward(job, i, block, scratch, dpool, gradient, gradient + weight_size(s));
        }
        if (job->dx != NULL)
            kernels->store(dpool, chain->ic * chain->h * chain->w, count,
                           job->dx + first * chain->ic * chain->h * chain->w);
    }
}

static void plan_backward(backward_job *job)
{
    const cc_lanes_chain *chain = job->chain;
    const int64_t vector = job->context->kernels->lanes * (int64_t)sizeof(float);
    for (int i = 0; i < chain->stages; i++) {
        const cc_lanes_shape *s = &chain->stage[i].shape;
        job->gradient_size += weight_size(s) + s->oc;
        job->dpool_size = cc_max(job->dpool_size, pooled_size(s) * vector);
    }
    job->dpool_size = cc_max(job->dpool_size, chain->ic * chain->h * chain->w * vector);
    job->scratch_size = job->dpool_size;
    for (int i = 0; i < chain->stages; i++) {
        const cc_lanes_target dy = dy_target(job, i, NULL, 0);
        job->dy_offset[i] = job->scratch_size;
        job->scratch_size += chain->stage[i].oc * dy.rows * dy.columns * vector;
    }
    job->transform_offset = job->scratch_size;
    int64_t transform = 0;
    for (int i = 0; i < chain->stages; i++) {
        const cc_lanes_shape back = turned_shape(job, i);
        transform = cc_max(transform, cc_lanes_pairs_size(job->context, &chain->stage[i].shape));
        if (i == 0 && job->dx == NULL)
            continue;
        transform = cc_max(transform, cc_lanes_transform_size(job->context, &back));
        job->packed_size += cc_lanes_packed_size(job->context, &back);
    }
    job->scratch_size += transform * (int64_t)sizeof(float);
}

cc_status cc_lanes_backward(const cc_context *context, const cc_lanes_chain *given, const void *saved,
                            const float *const *weight, const float *dy, float *const *dw, float *const *db,
                            float *dx)
{
    cc_lanes_chain resolved = *given, *const chain = &resolved;
    CC_TRY(cc_lanes_resolve(chain));
    const int64_t blocks = block_count(context, chain);
    if (blocks == 0)
        return CC_OK;
    const int parts = cc_parts(context->pool, blocks, 1);
    backward_job job = {.context = context, .chain = chain, .layout = saved_layout(context, chain), .saved = saved,
                        .dy = dy, .dx = dx};
    plan_backward(&job);
    int64_t gradient_bytes;
    if (!cc_mul(job.gradient_size * (int64_t)sizeof(float), blocks, &gradient_bytes) ||
        gradient_bytes > PTRDIFF_MAX / 2)
        return CC_ERR_OVERFLOW;
    gradient_bytes = round_up(gradient_bytes);
    const int64_t packed_bytes = round_up(job.packed_size * (int64_t)sizeof(float));
    char *memory = cc_arena_alloc(context->arena, (size_t)(gradient_bytes + packed_bytes + job.scratch_size * parts));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    job.gradients = (float *)(void *)memory;
    float *packed = (float *)(void *)(memory + gradient_bytes);
    job.scratch = memory + gradient_bytes + packed_bytes;
    for (int i = dx == NULL; i < chain->stages; i++) {
        const cc_lanes_shape back = turned_shape(&job, i);
        job.weights[i] = cc_lanes_pack(context, &back, weight[i], true, packed);
        packed += cc_lanes_packed_size(context, &back);
    }
    cc_parallel_for(context->pool, parts, blocks, backward_blocks, &job);

    const float *gradient = job.gradients;
    for (int i = 0; i < chain->stages; i++) {
        const cc_lanes_shape *s = &chain->stage[i].shape;
        cc_lanes_add_blocks(gradient, blocks, job.gradient_size, weight_size(s), dw[i]);
        cc_lanes_add_blocks(gradient + weight_size(s), blocks, job.gradient_size, s->oc, db[i]);
        gradient += weight_size(s) + s->oc;
    }
    cc_arena_free(context->arena, memory);
    return CC_OK;
}
