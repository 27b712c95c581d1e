/* conv/winograd_weight.c -- backward_weight by the adjoint of F(4x4, 3x3) (kernels/winograd.h).
 *
 *     for a run of tiles:  V = transform(x), D = transform(dy)       36 x (tiles x channels)
 *       for each place and block of output channels:  U[xi] += V[xi]' D[xi]
 *     dw += transform(U)
 *
 * Sums over tiles are cut by the shape alone, into blocks of at most DEPTH that are added in order.
 */
#include "winograd.h"

#define SLICE CC_WINOGRAD_SLICE
/* Tiles summed in registers; their D for one place stays in the first-level cache. */
#define DEPTH 128
/* Tiles transformed at a time: bytes of V and D together. */
#define RUN_BYTES ((int64_t)16 << 20)

typedef struct job {
    const cc_kernels *kernels;
    cc_winograd_grid x_grid, dy_grid;
    cc_winograd_columns columns;
    const float *x, *dy;
    float *dw;
    int64_t inputs, slices;
    int64_t first, run; /* tiles at hand */
    cc_winograd_planes v, d, u;
    float magnitude[CC_MAX_THREADS];
} job;

/* Items: tiles of the run. */
static void transform_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    cc_winograd_planes v = j->v, d = j->d;
    (void)part;
    v.data += begin * v.width;
    d.data += begin * d.width;
    j->kernels->winograd.input(&j->x_grid, j->x, j->inputs, j->first + begin, end - begin, &v);
    j->kernels->winograd.gradient(&j->dy_grid, j->dy, j->columns.channels, j->first + begin, end - begin, &d);
}

/* Items: blocks of columns, of each place. */
static void multiply_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    const int64_t chunks = cc_ceil_div(j->run, DEPTH);
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const int64_t xi = i / j->columns.blocks, block = i % j->columns.blocks;
        const int64_t vectors = cc_winograd_vectors(j->kernels, &j->columns, block);
        const cc_gemm_tile *tile = j->kernels->gemm.tile_t[vectors];
        const int tallest = j->kernels->gemm.max_rows[vectors];
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
            const int64_t t = j->run * chunk / chunks, depth = j->run * (chunk + 1) / chunks - t;
            const float *b = j->d.data + xi * j->d.plane + block * j->d.block + t * j->d.width;
            float *c = j->u.data + xi * j->u.plane + block * j->u.block;
            for (int64_t s = 0; s < j->slices; s++) {
                const int64_t rows = cc_min(SLICE, j->inputs - s * SLICE), strips = cc_ceil_div(rows, tallest);
                const float *a = j->v.data + xi * j->v.plane + s * j->v.block + t * SLICE;
                for (int64_t k = 0; k < strips; k++) {
                    const int64_t r = rows * k / strips;
                    tile[rows * (k + 1) / strips - r](1, NULL, depth, a + r, 1, SLICE, b, j->d.width,
                                                      c + (s * SLICE + r) * j->u.width, j->u.width,
                                                      j->first > 0 || chunk > 0);
                }
            }
        }
    }
}

/* Items: slices of the inputs, of each block of columns. */
static cc_winograd_planes part_of_u(const job *j, int64_t item, int64_t *inputs, int64_t *outputs, int64_t *at)
{
    const int64_t s = item % j->slices, block = item / j->slices;
    cc_winograd_planes u = j->u;
    u.data += block * u.block + s * SLICE * u.width;
    *inputs = cc_min(SLICE, j->inputs - s * SLICE);
    *outputs = cc_winograd_channels(&j->columns, block);
    *at = block * j->columns.width * j->inputs * 9 + s * SLICE * 9;
    return u;
}

static void gradient_task(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    for (int64_t i = begin; i < end; i++) {
        int64_t inputs, outputs, at;
        const cc_winograd_planes u = part_of_u(j, i, &inputs, &outputs, &at);
        cc_winograd_note(&j->magnitude[part], j->kernels->winograd.weight_gradient(&u, inputs, outputs));
    }
}

static void add_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        int64_t inputs, outputs, at;
        const cc_winograd_planes u = part_of_u(j, i, &inputs, &outputs, &at);
        j->kernels->winograd.weight_add(&u, inputs, outputs, j->dw + at, j->inputs * 9);
    }
}

cc_status cc_winograd_backward_weight(const cc_context *context, const cc_conv *conv, const float *x, const float *dy,
                                      float *dw, bool *sound)
{
    const cc_window *w = &conv->window;
    const int64_t rows = cc_ceil_div(w->output[1], CC_WINOGRAD_TILE);
    const int64_t columns = cc_ceil_div(w->output[2], CC_WINOGRAD_TILE);
    job j = {
        .kernels = context->kernels,
        .x_grid = {w->input[1], w->input[2], conv->ic, w->pad_before[1], w->pad_before[2], rows, columns},
        .dy_grid = {w->output[1], w->output[2], conv->oc, 0, 0, rows, columns},
        .columns = cc_winograd_cut(context->kernels, conv->oc),
        .x = x, .dy = dy, .dw = dw,
        .inputs = conv->ic, .slices = cc_ceil_div(conv->ic, SLICE),
    };
    const int64_t tiles = conv->n * rows * columns;
    const int64_t v_width = j.slices * SLICE, d_width = j.columns.width * j.columns.blocks;
    const int64_t affordable = RUN_BYTES / (CC_WINOGRAD_PLACES * (v_width + d_width) * (int64_t)sizeof(float));
    const int64_t run = cc_min(tiles, cc_max(DEPTH, affordable / DEPTH * DEPTH));

    const int64_t v_plane = run * v_width + 16, d_plane = run * d_width + 16, u_plane = conv->ic * d_width + 16;
    const int64_t floats = CC_WINOGRAD_PLACES * (v_plane + d_plane + u_plane);
    float *memory = cc_arena_alloc(context->arena, (size_t)floats * sizeof(float));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    j.v = (cc_winograd_planes){memory, v_plane, SLICE, run * SLICE};
    j.d = (cc_winograd_planes){memory + CC_WINOGRAD_PLACES * v_plane, d_plane, j.columns.width, run * j.columns.width};
    j.u = (cc_winograd_planes){memory + CC_WINOGRAD_PLACES * (v_plane + d_plane), u_plane, j.columns.width,
                               conv->ic * j.columns.width};

    for (j.first = 0; j.first < tiles; j.first += j.run) {
        j.run = cc_min(run, tiles - j.first);
        cc_parallel_for(context->pool, cc_parts(context->pool, j.run, 4), j.run, transform_task, &j);
        const int64_t products = CC_WINOGRAD_PLACES * j.columns.blocks;
        cc_parallel_for(context->pool, cc_parts(context->pool, products, 1), products, multiply_task, &j);
    }
    const int64_t items = j.slices * j.columns.blocks;
    const int parts = cc_parts(context->pool, items, 4);
    cc_parallel_for(context->pool, parts, items, gradient_task, &j);
    *sound = cc_winograd_sound(j.magnitude, parts);
    if (*sound)
        cc_parallel_for(context->pool, parts, items, add_task, &j);
    cc_arena_free(context->arena, memory);
    return CC_OK;
}
