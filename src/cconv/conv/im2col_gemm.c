/* Convolution as matrix products over im2col columns, by BLAS: every geometry, both layouts.
 *
 *   forward           Y[o, p]  = W[o, k] cols[k, p]
 *   backward_data     cols[k, p] = W[o, k]' dY[o, p],  then col2im
 *   backward_weight   dW[o, k] = dY[o, p] cols[k, p]'
 *
 * per image and group; o runs over the group's output channels, p over output positions. For
 * channels-first x the columns are a matrix [(c, r)][p] and W is used as it is. For channels-last x they are
 * [p][(r, c)], copied vector by vector, and W is packed to the same order of k. The layout of y only
 * decides about transposes. The columns exist one tile at a time. All tile sizes follow from the shape alone, so
 * that the order of every sum does.
 */
#include <string.h>

#include "../im2col/im2col.h"
#include "algo.h"

/* Elements of one tile of columns: a few MB at most, unless a single patch is larger. */
#define TILE_ELEMENTS ((int64_t)1 << 19)
/* Positions or channels below which a product is too thin to be worth cutting. */
#define THIN 32
/* Independent pieces that a pass should have, so that many threads find work. */
#define PIECES 16

/* How one pass is cut into pieces, and what it works on. */
typedef struct plan {
    const cc_context *context;
    const cc_conv *conv;
    cc_strides x, y;
    int64_t size;                      /* bytes of an element */
    int64_t icg, ocg, taps, positions; /* channels of a group, elements of a kernel, output positions */
    int64_t block, blocks;             /* input channels of a block, blocks of a group */
    int64_t tile, tiles;               /* output positions of a tile, tiles of an image */
    int64_t chunk, chunks;             /* images of a chunk, chunks of the batch (backward_weight) */
    bool last_x, last_y;
    bool direct; /* x is its own matrix of columns */

    const void *input, *weight, *bias, *dy;
    void *output;
    void *packed; /* weights in the order of the columns, where they need it */
    void *cols;   /* a tile of columns for every part */
    void *sums;   /* dW of every chunk, in the order of the columns */
} plan;

/* Cut a group's channels where there are too few other pieces. */
static void plan_blocks(plan *p, int64_t pieces)
{
    const int64_t most = cc_max(1, p->icg * p->taps / (4 * THIN));
    const int64_t blocks = cc_min(cc_min(cc_ceil_div(PIECES, pieces), most), p->icg);
    p->block = cc_ceil_div(p->icg, blocks);
    p->blocks = cc_ceil_div(p->icg, p->block);
}

static void plan_tiles(plan *p, int64_t pieces)
{
    const int64_t rows = p->block * p->taps, share = cc_ceil_div(p->positions, cc_ceil_div(PIECES, pieces));
    int64_t tile = cc_max(TILE_ELEMENTS / rows, cc_min(4 * THIN, 16 * TILE_ELEMENTS / rows));
    tile = cc_min(tile, cc_max(THIN, share));
    tile = cc_max(1, cc_min(tile, p->positions));
    p->tile = cc_ceil_div(p->positions, cc_ceil_div(p->positions, tile));
    p->tiles = cc_ceil_div(p->positions, p->tile);
}

static plan plan_of(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    plan p = {.context = context,
              .conv = conv,
              .x = cc_strides_of(conv->x_layout, conv->ic, w->input),
              .y = cc_strides_of(conv->y_layout, conv->oc, w->output),
              .size = (int64_t)cc_dtype_size(conv->dtype),
              .icg = conv->ic / conv->groups,
              .ocg = conv->oc / conv->groups,
              .taps = cc_volume(w->kernel),
              .positions = cc_volume(w->output),
              .last_x = conv->x_layout == CC_CHANNELS_LAST,
              .last_y = conv->y_layout == CC_CHANNELS_LAST};
    p.direct = p.taps == 1;
    for (int axis = 0; axis < CC_AXES; axis++)
        if (w->stride[axis] != 1 || w->pad_before[axis] != 0 || w->pad_after[axis] != 0)
            p.direct = false;

    if (pass == CC_FORWARD) {
        p.block = p.icg;
        p.blocks = 1;
        plan_tiles(&p, conv->n * conv->groups);
    } else if (pass == CC_BACKWARD_DATA) {
        plan_blocks(&p, conv->n * conv->groups);
        plan_tiles(&p, PIECES);
    } else {
        plan_blocks(&p, conv->groups);
        plan_tiles(&p, PIECES);
        const int64_t chunks = cc_min(conv->n, cc_ceil_div(PIECES, conv->groups * p.blocks));
        p.chunk = cc_ceil_div(conv->n, chunks);
        p.chunks = cc_ceil_div(conv->n, p.chunk);
    }
    return p;
}

static char *at(const plan *p, const void *array, int64_t element) { return (char *)array + element * p->size; }

/* A row-major matrix: element (i, j) at data[i * row + j]. */
typedef struct matrix {
    void *data;
    int64_t row;
} matrix;

static void gemm(const plan *p, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, matrix a, matrix b,
                 double beta, matrix c)
{
    cc_blas_gemm(p->context->blas, p->conv->dtype, trans_a, trans_b, m, n, k, a.data, a.row, b.data, b.row, beta,
                 c.data, c.row);
}

static int64_t channels_of(const plan *p, int64_t block) { return cc_min(p->block, p->icg - block * p->block); }

/* Where the weights of (group, block) begin when they lie in the order of the columns. */
static int64_t column_order(const plan *p, int64_t group, int64_t block)
{
    return p->ocg * (group * p->icg + block * p->block) * p->taps;
}

/* W of (group, block): [o][k]. */
static matrix weights(const plan *p, int64_t group, int64_t block)
{
    if (p->packed != NULL)
        return (matrix){at(p, p->packed, column_order(p, group, block)), channels_of(p, block) * p->taps};
    const int64_t first = (group * p->ocg * p->icg + block * p->block) * p->taps;
    return (matrix){at(p, p->weight, first), p->icg * p->taps};
}

/* The first element of (image, group, block) in x or dx. */
static char *image(const plan *p, const void *x, int64_t n, int64_t group, int64_t block)
{
    return at(p, x, n * p->x.n + (group * p->icg + block * p->block) * p->x.c);
}

/* Y of (image, group) from a tile on: [o][p], or [p][o] where y is channels-last. */
static matrix outputs(const plan *p, const void *y, int64_t n, int64_t group, int64_t tile)
{
    const int64_t row = p->last_y ? p->conv->oc : p->positions;
    const int64_t position = tile * p->tile * (p->last_y ? row : 1);
    return (matrix){at(p, y, n * p->y.n + group * p->ocg * p->y.c + position), row};
}

static cc_tile tile_of(const plan *p, int64_t block, int64_t tile)
{
    return (cc_tile){.window = &p->conv->window,
                     .dtype = p->conv->dtype,
                     .x = p->x,
                     .channels = channels_of(p, block),
                     .first = tile * p->tile,
                     .count = cc_min(p->tile, p->positions - tile * p->tile)};
}

static int64_t part_elements(const plan *p) { return cc_ceil_div(p->tile * p->block * p->taps, 16) * 16; }

/* Where the columns of a tile lie: in x itself if it is direct, else in the part's scratch. */
static matrix columns(const plan *p, const cc_tile *tile, const void *x, int part)
{
    if (p->direct && p->last_x)
        return (matrix){at(p, x, tile->first * p->conv->ic), p->conv->ic};
    if (p->direct)
        return (matrix){at(p, x, tile->first), p->positions};
    return (matrix){at(p, p->cols, part * part_elements(p)), p->last_x ? tile->channels * p->taps : tile->count};
}

static matrix gather(const plan *p, const cc_tile *tile, const void *x, int part)
{
    const matrix cols = columns(p, tile, x, part);
    if (!p->direct)
        (p->last_x ? cc_im2col_positions : cc_im2col_rows)(tile, x, cols.data);
    return cols;
}

#define T float
#define NAME(name) name##_f32
#include "im2col_gemm.inc"
#undef T
#undef NAME
#define T double
#define NAME(name) name##_f64
#include "im2col_gemm.inc"
#undef T
#undef NAME

/* Items are (image, group, tile). */
static void forward_task(void *argument, int64_t begin, int64_t end, int part)
{
    const plan *p = argument;
    for (int64_t item = begin; item < end; item++) {
        const int64_t i = item % p->tiles, group = item / p->tiles % p->conv->groups;
        const int64_t n = item / p->tiles / p->conv->groups, depth = p->icg * p->taps;
        const cc_tile tile = tile_of(p, 0, i);
        const matrix cols = gather(p, &tile, image(p, p->input, n, group, 0), part);
        const matrix w = weights(p, group, 0), y = outputs(p, p->output, n, group, i);
        if (p->last_y)
            gemm(p, !p->last_x, true, tile.count, p->ocg, depth, cols, w, 0.0, y);
        else
            gemm(p, false, p->last_x, p->ocg, tile.count, depth, w, cols, 0.0, y);
        if (p->bias != NULL && p->conv->dtype == CC_F32)
            add_bias_f32(p, group, tile.count, y);
        else if (p->bias != NULL)
            add_bias_f64(p, group, tile.count, y);
    }
}

/* The channels of a block of an image: one run of memory, or one a pixel. */
static void clear(const plan *p, char *x, int64_t channels)
{
    const int64_t plane = cc_volume(p->conv->window.input);
    if (!p->last_x || channels == p->conv->ic)
        memset(x, 0, (size_t)(channels * plane * p->size));
    else
        for (int64_t i = 0; i < plane; i++)
            memset(x + i * p->conv->ic * p->size, 0, (size_t)(channels * p->size));
}

/* Items are (image, group, block). */
static void backward_data_task(void *argument, int64_t begin, int64_t end, int part)
{
    const plan *p = argument;
    for (int64_t item = begin; item < end; item++) {
        const int64_t block = item % p->blocks, group = item / p->blocks % p->conv->groups;
        const int64_t n = item / p->blocks / p->conv->groups, channels = channels_of(p, block);
        const matrix w = weights(p, group, block);
        char *dx = image(p, p->output, n, group, block);
        if (!p->direct)
            clear(p, dx, channels);
        for (int64_t i = 0; i < p->tiles; i++) {
            const cc_tile tile = tile_of(p, block, i);
            const matrix dy = outputs(p, p->dy, n, group, i), cols = columns(p, &tile, dx, part);
            if (p->last_x)
                gemm(p, !p->last_y, false, tile.count, channels * p->taps, p->ocg, dy, w, 0.0, cols);
            else
                gemm(p, true, p->last_y, channels * p->taps, tile.count, p->ocg, w, dy, 0.0, cols);
            if (!p->direct)
                (p->last_x ? cc_col2im_positions : cc_col2im_rows)(&tile, cols.data, dx);
        }
    }
}

/* Items are (chunk, group, block). */
static void backward_weight_task(void *argument, int64_t begin, int64_t end, int part)
{
    const plan *p = argument;
    const int64_t size = p->conv->oc * p->icg * p->taps;
    for (int64_t item = begin; item < end; item++) {
        const int64_t block = item % p->blocks, group = item / p->blocks % p->conv->groups;
        const int64_t chunk = item / p->blocks / p->conv->groups, depth = channels_of(p, block) * p->taps;
        const matrix sum = {at(p, p->sums, chunk * size + column_order(p, group, block)), depth};
        const int64_t first = chunk * p->chunk, last = cc_min(first + p->chunk, p->conv->n);
        for (int64_t n = first; n < last; n++)
            for (int64_t i = 0; i < p->tiles; i++) {
                const cc_tile tile = tile_of(p, block, i);
                const matrix cols = gather(p, &tile, image(p, p->input, n, group, block), part);
                const double beta = n == first && i == 0 ? 0.0 : 1.0;
                gemm(p, p->last_y, !p->last_x, p->ocg, depth, tile.count, outputs(p, p->dy, n, group, i), cols,
                     beta, sum);
            }
    }
}

/* Leading dimensions and single sizes that Fortran's 32-bit integers hold. */
static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const int64_t depth = conv->ic == 0 ? 0 : conv->ic / conv->groups * cc_volume(conv->window.kernel);
    (void)context, (void)pass;
    return conv->ic <= INT32_MAX && conv->oc <= INT32_MAX && depth <= INT32_MAX &&
           cc_volume(conv->window.output) <= INT32_MAX;
}

static cc_status scratch(const plan *p, int64_t elements, void **block)
{
    int64_t bytes;
    if (!cc_mul(elements, p->size, &bytes))
        return CC_ERR_OVERFLOW;
    *block = cc_arena_alloc(p->context->arena, (size_t)bytes);
    return *block == NULL ? CC_ERR_MEMORY : CC_OK;
}

/* Get the scratch, pack the weights, and run the task over its items. */
static cc_status run_scratched(plan *p, cc_task task, int64_t items)
{
    const int64_t size = p->conv->oc * p->icg * p->taps;
    const int parts = cc_parts(p->context->pool, items, 1);
    if (!p->direct)
        CC_TRY(scratch(p, parts * part_elements(p), &p->cols));
    if (task == backward_weight_task)
        CC_TRY(scratch(p, p->chunks * size, &p->sums));
    else if (p->last_x && p->taps > 1)
        CC_TRY(scratch(p, size, &p->packed));

    CC_TRY(cc_blas_enter(p->context->blas));
    const int rows = cc_parts(p->context->pool, p->conv->oc, 1 + 16384 / (p->icg * p->taps));
    const bool f32 = p->conv->dtype == CC_F32;
    if (p->packed != NULL)
        cc_parallel_for(p->context->pool, rows, p->conv->oc, f32 ? pack_f32 : pack_f64, p);
    cc_parallel_each(p->context->pool, parts, items, task, p);
    if (p->sums != NULL)
        cc_parallel_for(p->context->pool, rows, p->conv->oc, f32 ? add_sums_f32 : add_sums_f64, p);
    cc_blas_leave(p->context->blas);
    return CC_OK;
}

static cc_status run(plan *p, cc_task task, int64_t items)
{
    const cc_status status = run_scratched(p, task, items);
    cc_arena *arena = p->context->arena;
    cc_arena_free(arena, p->sums);
    cc_arena_free(arena, p->packed);
    cc_arena_free(arena, p->cols);
    return status;
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                         const void *b, const cc_epilogue *epilogue, void *y)
{
    (void)epilogue;
    plan p = plan_of(context, conv, CC_FORWARD);
    p.input = x;
    p.weight = w;
    p.bias = b;
    p.output = y;
    return run(&p, forward_task, conv->n * conv->groups * p.tiles);
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    (void)residual;
    plan p = plan_of(context, conv, CC_BACKWARD_DATA);
    p.dy = dy;
    p.weight = w;
    p.output = dx;
    return run(&p, backward_data_task, conv->n * conv->groups * p.blocks);
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                 void *dw)
{
    plan p = plan_of(context, conv, CC_BACKWARD_WEIGHT);
    p.input = x;
    p.dy = dy;
    p.output = dw;
    return run(&p, backward_weight_task, p.chunks * conv->groups * p.blocks);
}

const cc_conv_algo cc_conv_im2col = {
    .name = "im2col",
    .needs_blas = true,
    .supports = supports,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
