/* conv/winograd.c -- 3x3 and 5x5 convolution of channels-last float32 images by Winograd's F(4x4, 3x3) and
 * F(2x2, 5x5): a quarter, or 36 %, of the multiplications (kernels/winograd.h). F(2x2, 3x3) would save no more than leaving out the taps
 * beyond the edge does on the images too small for F(4x4).
 *
 * forward, and backward_data with the kernels turned and channels exchanged:
 *
 *     for a block of tiles:  V = transform(x)                                36 x (tiles x depth)
 *       for a block of output channels:  M[xi] = V[xi] U[xi]                 36 x (tiles x width)
 *                                        y = transform(M)
 *
 * Threads take blocks of tiles so small that V and M stay in cache. Where U is what needs the room, tile
 * blocks are large, threads take output channels, and transform their weights as they go.
 *
 * Values that leave the range of float on the way, or Inf and NaN in the data, cannot hide: whatever a
 * pixel or weight reaches in direct convolution it reaches here, too, and makes it Inf or NaN. So the
 * outputs' magnitudes tell when to compute everything again by an algorithm that has no transforms.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "algo.h"
#include "winograd.h"

/* Channels that stand together in V: a cache line. */
#define SLICE CC_WINOGRAD_SLICE
/* Tiles of a block: V, M and U of 64 channels fit into a second-level cache together. */
#define BLOCK 24
/* Floats of U from which on it is not kept, tiles of a block then, and depth of the piece that is made. */
#define LARGE_U (CC_WINOGRAD_PLACES << 14)
#define LARGE_BLOCK 192
#define PIECE 64

typedef struct job {
    const cc_kernels *kernels;
    const cc_winograd_kernels *form;
    cc_winograd_grid from, to; /* the images convolved, and the result's */
    int64_t inputs, outputs;   /* channels of theirs in a group */
    cc_winograd_columns columns; /* blocks of output channels */
    const float *x, *w, *scale, *bias, *residual;
    float *y;
    bool turned, relu, keep_u;
    int64_t row, weights; /* weights of an output channel, of a group */
    int64_t tiles, blocks, block; /* in all, blocks of them, the largest block's */
    int64_t first, now;           /* the block at hand, where threads share it */
    cc_winograd_planes u;         /* all of it, or a piece for each part */
    cc_winograd_planes v, m;      /* of a block; those of the next part are `stride` further */
    int64_t u_stride, v_stride, m_stride;
    const int64_t *offset;           /* of the slices of V */
    float magnitude[CC_MAX_THREADS]; /* of each part's outputs */
} job;

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

const cc_winograd_kernels *cc_winograd_form(const cc_kernels *kernels, const cc_conv *conv)
{
    const int64_t *kernel = conv->window.kernel;
    for (int f = 0; f < CC_WINOGRAD_FORMS; f++)
        if (kernel[1] == kernels->winograd[f].taps && kernel[2] == kernels->winograd[f].taps)
            return &kernels->winograd[f];
    return NULL;
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

/* Keep the largest magnitude, and any Inf or NaN. */
static void note(float *magnitude, float value)
{
    if (!(value <= *magnitude)) /* NaN, too */
        *magnitude = value <= FLT_MAX ? value : INFINITY;
}

static cc_winograd_planes shifted(cc_winograd_planes planes, int64_t floats)
{
    planes.data += floats;
    return planes;
}

/* u = the weights of input channels k to k + depth for a block of columns. */
static void transform_weights(const job *j, int64_t k, int64_t depth, int64_t block, const cc_winograd_planes *u)
{
    const int64_t c = block * j->columns.width, channels = cc_winograd_channels(&j->columns, block);
    const int64_t area = j->form->taps * j->form->taps;
    if (j->turned)
        j->form->weight_turned(j->w + k * j->row + c * area, j->row, depth, channels, u);
    else
        j->form->weight(j->w + c * j->row + k * area, j->row, depth, channels, u);
}

/* m (tiles x a block of columns) = [m +] v (tiles x depth) u, for each place. */
static void multiply(const job *j, int64_t tiles, int64_t depth, int64_t block, const cc_winograd_planes *v,
                     const cc_winograd_planes *u, const cc_winograd_planes *m, bool accumulate)
{
    const int64_t vectors = cc_winograd_vectors(j->kernels, &j->columns, block);
    const cc_gemm_tile *tile = j->kernels->gemm.tile[vectors];
    const int64_t strips = cc_ceil_div(tiles, j->kernels->gemm.max_rows[vectors]);
    const int64_t slices = depth / SLICE, rest = depth % SLICE;
    for (int64_t xi = 0; xi < CC_WINOGRAD_PLACES; xi++) {
        const float *b = u->data + xi * u->plane;
        for (int64_t s = 0; s < strips; s++) {
            const int64_t t = tiles * s / strips, rows = tiles * (s + 1) / strips - t;
            const float *a = v->data + xi * v->plane + t * SLICE;
            float *c = m->data + xi * m->plane + t * m->width;
            if (slices > 0)
                tile[rows](slices, j->offset, SLICE, a, SLICE, 1, b, u->width, c, m->width, accumulate, NULL);
            if (rest > 0)
                tile[rows](1, NULL, rest, a + slices * v->block, SLICE, 1, b + slices * SLICE * u->width, u->width, c,
                           m->width, accumulate || slices > 0, NULL);
        }
    }
}

static void finish(job *j, int64_t first, int64_t tiles, int64_t block, const cc_winograd_planes *m, int part)
{
    const int64_t c = block * j->columns.width;
    const float *scale = j->scale != NULL ? j->scale + c : NULL;
    const float *bias = j->bias != NULL ? j->bias + c : NULL, *residual = j->residual != NULL ? j->residual + c : NULL;
    note(&j->magnitude[part], j->form->output(&j->to, m, cc_winograd_channels(&j->columns, block), first, tiles, scale,
                                              bias, residual, j->relu, j->y + c));
}

/* Items: slices of the depth, of each block of columns. */
static void weight_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    const int64_t slices = cc_ceil_div(j->inputs, SLICE);
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const int64_t k = i % slices * SLICE, block = i / slices;
        const cc_winograd_planes u = shifted(j->u, block * j->u.block + k * j->u.width);
        transform_weights(j, k, cc_min(SLICE, j->inputs - k), block, &u);
    }
}

/* Items: blocks of tiles. */
static void block_task(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    const cc_winograd_planes v = shifted(j->v, part * j->v_stride), m = shifted(j->m, part * j->m_stride);
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = j->tiles * i / j->blocks, tiles = j->tiles * (i + 1) / j->blocks - first;
        j->form->input(&j->from, j->x, j->inputs, first, tiles, &v);
        for (int64_t block = 0; block < j->columns.blocks; block++) {
            const cc_winograd_planes u = shifted(j->u, block * j->u.block);
            multiply(j, tiles, j->inputs, block, &v, &u, &m, false);
            finish(j, first, tiles, block, &m, part);
        }
    }
}

/* Items: tiles of the block. */
static void input_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    const cc_winograd_planes v = shifted(j->v, begin * SLICE);
    (void)part;
    j->form->input(&j->from, j->x, j->inputs, j->first + begin, end - begin, &v);
}

/* Items: blocks of columns. */
static void column_task(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    const cc_winograd_planes u = shifted(j->u, part * j->u_stride), m = shifted(j->m, part * j->m_stride);
    for (int64_t block = begin; block < end; block++) {
        for (int64_t k = 0; k < j->inputs; k += PIECE) {
            const int64_t depth = cc_min(PIECE, j->inputs - k);
            const cc_winograd_planes v = shifted(j->v, k / SLICE * j->v.block);
            transform_weights(j, k, depth, block, &u);
            multiply(j, j->now, depth, block, &v, &u, &m, k > 0);
        }
        finish(j, j->first, j->now, block, &m, part);
    }
}

/* The groups' channels stand side by side, their weights behind one another. */
static void select_group(job *j, const job *first, int64_t group)
{
    const int64_t c = group * j->outputs;
    j->x = first->x + group * j->inputs;
    j->w = first->w + group * j->weights;
    j->scale = first->scale != NULL ? first->scale + c : NULL;
    j->bias = first->bias != NULL ? first->bias + c : NULL;
    j->residual = first->residual != NULL ? first->residual + c : NULL;
    j->y = first->y + c;
}

static void convolve_group(cc_pool *pool, job *j, int parts)
{
    if (j->keep_u) {
        const int64_t items = cc_ceil_div(j->inputs, SLICE) * j->columns.blocks;
        cc_parallel_each(pool, cc_parts(pool, items, 4), items, weight_task, j);
        cc_parallel_each(pool, parts, j->blocks, block_task, j);
        return;
    }
    for (int64_t i = 0; i < j->blocks; i++) {
        j->first = j->tiles * i / j->blocks;
        j->now = j->tiles * (i + 1) / j->blocks - j->first;
        cc_parallel_for(pool, cc_parts(pool, j->now, 4), j->now, input_task, j);
        cc_parallel_each(pool, parts, j->columns.blocks, column_task, j);
    }
}

/* `sound` tells whether y is what direct convolution would give. */
static cc_status convolve(const cc_context *context, job *j, const cc_conv *conv, bool *sound)
{
    j->inputs = j->from.channels / conv->groups;
    j->outputs = j->to.channels / conv->groups;
    j->row = conv->ic / conv->groups * j->form->taps * j->form->taps;
    j->weights = conv->oc / conv->groups * j->row;
    const int64_t depth = j->inputs, slices = cc_ceil_div(depth, SLICE);
    j->kernels = context->kernels;
    j->columns = cc_winograd_cut(context->kernels, j->outputs);
    const int64_t width = j->columns.width;
    const int64_t all_u = CC_WINOGRAD_PLACES * depth * width * j->columns.blocks;
    const bool keep_u = j->keep_u = all_u < LARGE_U;
    j->to.rows = j->from.rows = cc_ceil_div(j->to.height, j->form->step);
    j->to.columns = j->from.columns = cc_ceil_div(j->to.width, j->form->step);
    j->tiles = conv->n * j->to.rows * j->to.columns;
    j->blocks = cc_ceil_div(j->tiles, keep_u ? BLOCK : LARGE_BLOCK);
    j->block = cc_ceil_div(j->tiles, j->blocks);

    /* One line more keeps the planes off each other's cache sets. */
    const int64_t u_plane = (keep_u ? depth * j->columns.blocks : PIECE) * width + 16;
    const int64_t v_plane = slices * SLICE * j->block + 16, m_plane = j->block * width + 16;
    const int parts = cc_parts(context->pool, keep_u ? j->blocks : j->columns.blocks, 1);
    j->u_stride = CC_WINOGRAD_PLACES * u_plane;
    j->v_stride = CC_WINOGRAD_PLACES * v_plane;
    j->m_stride = CC_WINOGRAD_PLACES * m_plane;
    const int64_t us = keep_u ? 1 : parts, vs = keep_u ? parts : 1;
    const int64_t line = cc_ceil_div(j->from.width * j->from.channels, 16) * 16;
    const int64_t floats = us * j->u_stride + vs * j->v_stride + parts * j->m_stride + line;
    float *memory = cc_arena_alloc(context->arena, (size_t)floats * sizeof(float) + (size_t)slices * sizeof(int64_t));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    float *v = memory + us * j->u_stride, *m = v + vs * j->v_stride, *zeros = m + parts * j->m_stride;
    int64_t *offset = (int64_t *)(void *)(memory + floats);
    j->u = (cc_winograd_planes){memory, u_plane, width, depth * width};
    j->v = (cc_winograd_planes){v, v_plane, SLICE, j->block * SLICE};
    j->m = (cc_winograd_planes){m, m_plane, width, 0};
    for (int64_t s = 0; s < slices; s++)
        offset[s] = s * j->v.block;
    j->offset = offset;
    memset(zeros, 0, (size_t)line * sizeof(float));
    j->from.zeros = zeros;

    const job all = *j;
    for (int64_t g = 0; g < conv->groups; g++) {
        select_group(j, &all, g);
        convolve_group(context->pool, j, parts);
    }
    *sound = cc_winograd_sound(j->magnitude, parts);
    cc_arena_free(context->arena, memory);
    return CC_OK;
}

/* The two memory orders are one where there is a single channel or a single pixel. */
static bool is_channels_last(cc_layout layout, int64_t channels, const int64_t spatial[CC_AXES])
{
    return layout == CC_CHANNELS_LAST || channels == 1 || cc_volume(spatial) == 1;
}

/* Channels beyond this are in no memory; up to it, no size of scratch overflows. */
#define MANY_CHANNELS (1 << 24)

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    const cc_winograd_kernels *form = cc_winograd_form(context->kernels, conv);
    (void)pass;
    if (form == NULL || conv->ic > MANY_CHANNELS || conv->oc > MANY_CHANNELS)
        return false;
    if (conv->groups > 1 && conv->groups == conv->ic) /* depthwise: no sums over channels that transforms are for */
        return false;
    if (conv->dtype != CC_F32 || !is_channels_last(conv->x_layout, conv->ic, w->input) ||
        !is_channels_last(conv->y_layout, conv->oc, w->output) || w->input[0] != 1 || w->kernel[0] != 1 || w->output[0] != 1 ||
        w->pad_before[0] != 0)
        return false;
    for (int a = 1; a < CC_AXES; a++)
        if (w->stride[a] != 1 || w->dilation[a] != 1 || w->pad_before[a] >= form->taps || w->pad_after[a] >= form->taps)
            return false;
    return true;
}

/* Below this the transforms cost more than the products they save, and exact results are kept. Many channels pay even
 * for a single small image; on 2x2 images the direct convolution of many leaves out more than half of the products. */
#define MANY_WEIGHTS (1 << 11)
static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const int64_t *out = conv->window.output;
    (void)context;
    (void)pass;
    const int64_t pixels = conv->n * out[1] * out[2], icg = conv->ic / conv->groups, ocg = conv->oc / conv->groups;
    return icg >= 16 && ocg >= 16 && out[1] >= 3 && out[2] >= 3 &&
           (pixels >= 256 || (pixels >= 16 && ocg >= MANY_WEIGHTS / icg));
}

const cc_conv_algo *cc_winograd_exact(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    for (int i = 0; i < cc_conv_algo_count() - 1; i++) {
        const cc_conv_algo *algo = cc_conv_algo_get(i, CC_F32);
        if (algo != &cc_conv_winograd && !algo->needs_blas && algo->supports(context, conv, pass))
            return algo;
    }
    return &cc_conv_reference;
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w, const void *b,
                         const cc_epilogue *epilogue, void *y)
{
    const cc_window *window = &conv->window;
    const cc_winograd_kernels *form = cc_winograd_form(context->kernels, conv);
    job j = {
        .form = form,
        .from = {.height = window->input[1], .width = window->input[2], .channels = conv->ic,
                 .top = window->pad_before[1], .left = window->pad_before[2]},
        .to = {.height = window->output[1], .width = window->output[2], .channels = conv->oc},
        .x = x, .w = w, .bias = b, .y = y,
        .scale = epilogue != NULL ? epilogue->scale : NULL,
        .residual = epilogue != NULL ? epilogue->residual : NULL,
        .relu = epilogue != NULL && epilogue->relu,
    };
    bool sound;
    CC_TRY(convolve(context, &j, conv, &sound));
    if (sound)
        return CC_OK;
    if (cc_conv_special_factors(context, conv, CC_FORWARD, w))
        return cc_conv_apart_forward(&cc_conv_winograd, context, conv, x, w, b, epilogue, y);
    return cc_conv_algo_forward(cc_winograd_exact(context, conv, CC_FORWARD), context, conv, x, w, b, epilogue, y);
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    const cc_window *window = &conv->window;
    const cc_winograd_kernels *form = cc_winograd_form(context->kernels, conv);
    job j = {
        .form = form,
        .from = {.height = window->output[1], .width = window->output[2], .channels = conv->oc,
                 .top = form->taps - 1 - window->pad_before[1],
                 .left = form->taps - 1 - window->pad_before[2]},
        .to = {.height = window->input[1], .width = window->input[2], .channels = conv->ic},
        .x = dy, .w = w, .residual = residual, .y = dx, .turned = true,
    };
    bool sound;
    CC_TRY(convolve(context, &j, conv, &sound));
    if (sound)
        return CC_OK;
    if (cc_conv_special_factors(context, conv, CC_BACKWARD_DATA, w))
        return cc_conv_apart_backward_data(&cc_conv_winograd, context, conv, dy, w, residual, dx);
    return cc_conv_algo_backward_data(cc_winograd_exact(context, conv, CC_BACKWARD_DATA), context, conv, dy, w, residual, dx);
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                 void *dw)
{
    return cc_winograd_backward_weight(context, conv, x, dy, &(cc_winograd_gradient){.dw = dw});
}

static cc_status give_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                             const cc_sink *sink, int64_t begin)
{
    return cc_winograd_backward_weight(context, conv, x, dy, &(cc_winograd_gradient){.sink = sink, .begin = begin});
}

const cc_conv_algo cc_conv_winograd = {
    .name = "winograd",
    .approximate = true,
    .fuses = true,
    /* A result with Inf or NaN is not sound: another algorithm makes it. */
    .skips_padding = true,
    .supports = supports,
    .pays = pays,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
    .give_weight = give_weight,
};
