/* conv/winograd_run.c -- forward and backward_data of the Winograd algorithms, whose images are `sides` (winograd.h):
 *
 *     for a block of tiles:  V = transform(x)                                places x (tiles x depth)
 *       for a block of output channels:  M[xi] = V[xi] U[xi]                 places x (tiles x width)
 *                                        y = transform(M)
 *
 * Threads take blocks of tiles so small that V and M stay in cache. Where U is what needs the room, or tiles are few, tile
 * blocks are large, threads take output channels, and transform their weights as they go; those that do not go round are
 * done for each half of the tiles, whatever the number of threads: what tells whether results are sound is summed over what
 * is done at once.
 *
 * Phases of x are more rows of V and U; a place has those of some phases, which stand together. Phases of y
 * share V, and are convolutions of their own from there on.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "winograd.h"

/* Channels that stand together in V: a cache line. */
#define SLICE CC_WINOGRAD_SLICE
/* Tiles of a block: V, M and U of 64 channels fit into a second-level cache together. */
#define BLOCK 24
/* Floats of U, in all and for each tile, from which on it is not kept, and tiles of a block then. A thread is long in reading what
 * another one has just written, and many tiles must make up for that. */
#define LARGE_U (1 << 21)
#define LARGE_SHARE (1 << 11)
#define LARGE_BLOCK 256
/* Input channels of the piece that is made then: it and M, which is read and written for each, fit into a second-level cache; or,
 * from so many tiles on, M alone does not, and pieces should be few. */
#define PIECE 64
#define LONG_PIECE 128
#define MANY_TILES 96
/* Blocks of columns from which on it hardly matters that they do not go round, vectors of those that are to go round, and tiles of
 * a share. */
#define MANY 8
#define LEAST_VECTORS 2
#define SPLIT 12
/* Floats of the U of groups that take turns, and channels of such a group up to which pixels are fetched before its turn. */
#define TOGETHER (5 << 14)
#define NARROW 64

typedef struct job {
    const cc_kernels *kernels;
    cc_pool *pool;
    const cc_winograd_kernels *form;
    const cc_winograd_pass *all; /* groups */
    cc_winograd_pass pass;       /* its arrays are those of the group at hand */
    int64_t inputs, outputs;     /* channels of a group */
    cc_winograd_columns columns; /* blocks of output channels */
    bool keep_u;
    int64_t piece;                /* inputs whose U there is at a time */
    int64_t row, weights;         /* weights of an output channel, of a group */
    int64_t tiles, blocks, block; /* in all, blocks of them, the largest block's */
    int64_t first, now, splits;   /* the block at hand, where threads share it, and the shares its tiles are cut into */
    cc_winograd_planes u;         /* all of it, or a piece for each part */
    cc_winograd_planes v, m;      /* of a block; those of the next part are `stride` further */
    int64_t u_stride, v_stride, m_stride;
    int64_t together;                /* groups that take turns, block by block, at most */
    int64_t group, groups;           /* those that do: the first, and how many */
    cc_winograd_planes first_u;      /* of the first; that of the next is u_stride further */
    const int64_t *offset;           /* of the slices of V, phase by phase, for the inputs of a piece */
    int parts;                       /* that share a group */
    int64_t floats;                  /* of all these planes; where parts take whole groups, the next part's are behind */
    float magnitude[CC_MAX_THREADS]; /* of each part's outputs */
} job;

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

/* u = the weights of input channels k to k + depth for a block of columns; its rows of the next phase of x are a piece further. */
static void transform_weights(const job *j, int64_t k, int64_t depth, int64_t block, int phase, const cc_winograd_planes *u)
{
    const cc_winograd_kernels *form = j->form;
    const int64_t c = block * j->columns.width, channels = cc_winograd_channels(&j->columns, block);
    const int64_t area = form->taps * form->taps;
    if (j->pass.back) {
        form->weight_back[phase](j->pass.w + k * j->row + c * area, j->row, depth, channels, u);
        return;
    }
    for (int p = 0; p < j->pass.from.phases; p++) {
        const cc_winograd_planes rows = shifted(*u, p * j->piece * u->width);
        form->weight[p](j->pass.w + c * j->row + k * area, j->row, depth, channels, &rows);
    }
}

/* The first tile of a block. */
static int64_t block_start(const job *j, int64_t block) { return j->tiles * block / j->blocks; }

/* v = the tiles of every phase of x. */
static void transform_input(const job *j, int64_t first, int64_t tiles, const cc_winograd_planes *v)
{
    const cc_winograd_side *from = &j->pass.from;
    for (int p = 0; p < from->phases; p++) {
        const cc_winograd_planes rows = shifted(*v, p * (j->inputs / SLICE) * v->block);
        j->form->input[from->phases > 1 ? p : j->form->whole](&from->grid[p], j->pass.x + from->first[p], j->inputs, first,
                                                              tiles, &rows);
    }
}

/* Strip s of `strips` asks for its share of the rows that the next place has of `slices` slices. */
static cc_gemm_ahead fetch_place(const job *j, const cc_winograd_planes *v, int64_t xi, const int64_t *offset, int64_t slices,
                                 int64_t tiles, int64_t s, int64_t strips)
{
    const int64_t next = cc_min(xi + 1, j->form->points * j->form->points - 1), row = slices * tiles * s / strips;
    const float *data = v->data + next * v->plane + offset[row / tiles] + row % tiles * SLICE;
    return (cc_gemm_ahead){data, cc_ceil_div(tiles, strips)}; /* a slice takes SLICE steps */
}

/* m (tiles x a block of columns) = [m +] v (tiles x depth) u, for each place of a phase of y. */
static void multiply(const job *j, int64_t tiles, int64_t depth, int64_t block, int phase, const cc_winograd_planes *v,
                     const cc_winograd_planes *u, const cc_winograd_planes *m, bool accumulate)
{
    const int64_t vectors = cc_winograd_vectors(j->kernels, &j->columns, block);
    const cc_gemm_tile *tile = j->kernels->gemm.tile[vectors];
    const int64_t strips = cc_ceil_div(tiles, j->kernels->gemm.max_rows[vectors]);
    const int64_t slices = depth / SLICE, rest = depth % SLICE;
    const bool far = !j->keep_u && slices > 0; /* V does not fit into a second-level cache */
    for (int64_t xi = 0; xi < j->form->points * j->form->points; xi++) {
        int64_t begin, end;
        cc_winograd_phases(j->form, xi, &begin, &end);
        if (j->pass.from.phases == 1) {
            if (phase < begin || phase >= end)
                continue;
            begin = 0;
            end = 1;
        }
        const int64_t *offset = j->offset + begin * slices;
        const float *b = u->data + xi * u->plane + begin * depth * u->width;
        for (int64_t s = 0; s < strips; s++) {
            const int64_t t = tiles * s / strips, rows = tiles * (s + 1) / strips - t;
            const float *a = v->data + xi * v->plane + t * SLICE;
            float *c = m->data + xi * m->plane + t * m->width;
            cc_gemm_ahead ahead;
            if (far)
                ahead = fetch_place(j, v, xi, offset, (end - begin) * slices, tiles, s, strips);
            if (slices > 0)
                tile[rows]((end - begin) * slices, offset, SLICE, a, SLICE, 1, b, u->width, c, m->width, accumulate,
                           far ? &ahead : NULL);
            if (rest > 0)
                tile[rows](1, NULL, rest, a + slices * v->block, SLICE, 1, b + slices * SLICE * u->width, u->width, c,
                           m->width, accumulate || slices > 0, NULL);
        }
    }
}

static void finish(job *j, int64_t first, int64_t tiles, int64_t block, int phase, const cc_winograd_planes *m, int part)
{
    const cc_winograd_pass *pass = &j->pass;
    const int64_t c = block * j->columns.width, begin = c + pass->to.first[phase];
    const float *scale = pass->scale != NULL ? pass->scale + c : NULL;
    const float *bias = pass->bias != NULL ? pass->bias + c : NULL;
    const float *residual = pass->residual != NULL ? pass->residual + begin : NULL;
    const float magnitude = j->form->output[pass->to.phases > 1 ? phase : j->form->whole](
        &pass->to.grid[phase], m, cc_winograd_channels(&j->columns, block), first, tiles, scale, bias, residual,
        pass->relu, pass->y + begin);
    note(&j->magnitude[part], magnitude);
}

/* Items: slices of the depth, of each block of columns, of each phase of y. */
static void weight_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    const int64_t slices = cc_ceil_div(j->inputs, SLICE);
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const int64_t k = i % slices * SLICE, columns = i / slices;
        const cc_winograd_planes u = shifted(j->u, columns * j->u.block + k * j->u.width);
        transform_weights(j, k, cc_min(SLICE, j->inputs - k), columns % j->columns.blocks,
                          (int)(columns / j->columns.blocks), &u);
    }
}

/* Items: blocks of tiles. */
static void block_task(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    const cc_winograd_planes v = shifted(j->v, part * j->v_stride), m = shifted(j->m, part * j->m_stride);
    for (int64_t i = begin; i < end; i++) {
        const int64_t first = block_start(j, i), tiles = block_start(j, i + 1) - first;
        transform_input(j, first, tiles, &v);
        for (int64_t columns = 0; columns < j->columns.blocks * j->pass.to.phases; columns++) {
            const int phase = (int)(columns / j->columns.blocks);
            const int64_t block = columns % j->columns.blocks;
            const cc_winograd_planes u = shifted(j->u, columns * j->u.block);
            multiply(j, tiles, j->inputs, block, phase, &v, &u, &m, false);
            finish(j, first, tiles, block, phase, &m, part);
        }
    }
}

/* Items: tiles of the block. */
static void input_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    const cc_winograd_planes v = shifted(j->v, begin * SLICE);
    (void)part;
    transform_input(j, j->first + begin, end - begin, &v);
}

/* Items: shares of the tiles, of each block of columns, of each phase of y. */
static void column_task(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    const cc_winograd_planes u = shifted(j->u, part * j->u_stride), m = shifted(j->m, part * j->m_stride);
    for (int64_t i = begin; i < end; i++) {
        const int64_t columns = i / j->splits, split = i % j->splits;
        const int64_t t = j->now * split / j->splits, tiles = j->now * (split + 1) / j->splits - t;
        const int phase = (int)(columns / j->columns.blocks);
        const int64_t block = columns % j->columns.blocks;
        for (int64_t k = 0; k < j->inputs; k += j->piece) {
            const int64_t depth = cc_min(j->piece, j->inputs - k);
            const cc_winograd_planes v = shifted(j->v, k / SLICE * j->v.block + t * SLICE);
            transform_weights(j, k, depth, block, phase, &u);
            multiply(j, tiles, depth, block, phase, &v, &u, &m, k > 0);
        }
        finish(j, j->first + t, tiles, block, phase, &m, part);
    }
}

/* The groups' channels stand side by side, their weights behind one another. */
static void select_group(job *j, int64_t group)
{
    const cc_winograd_pass *all = j->all;
    const int64_t c = group * j->outputs;
    cc_winograd_pass *pass = &j->pass;
    pass->x = all->x + group * j->inputs;
    pass->w = all->w + group * j->weights;
    pass->scale = all->scale != NULL ? all->scale + c : NULL;
    pass->bias = all->bias != NULL ? all->bias + c : NULL;
    pass->residual = all->residual != NULL ? all->residual + c : NULL;
    pass->y = all->y + c;
}

static void convolve_group(job *j, int64_t group)
{
    cc_pool *pool = j->pool;
    const int64_t columns = j->columns.blocks * j->pass.to.phases;
    select_group(j, group);
    if (j->keep_u) {
        const int64_t items = cc_ceil_div(j->inputs, SLICE) * columns;
        cc_parallel_each(pool, cc_parts(pool, items, 4), items, weight_task, j);
        cc_parallel_each(pool, j->parts, j->blocks, block_task, j);
        return;
    }
    for (int64_t i = 0; i < j->blocks; i++) {
        j->first = block_start(j, i);
        j->now = block_start(j, i + 1) - j->first;
        cc_parallel_for(pool, cc_parts(pool, j->now, 4), j->now, input_task, j);
        cc_parallel_each(pool, j->parts, columns * j->splits, column_task, j);
    }
}

typedef struct groups_job {
    const job *first; /* of the first part */
    float magnitude[CC_MAX_THREADS];
} groups_job;

/* A narrow group's pixels lie too far apart for the processor to foresee them. */
static void fetch_block(const job *j, int64_t group, int64_t block)
{
    const cc_winograd_pass *all = j->all;
    const int64_t first = block_start(j, block), tiles = block_start(j, block + 1) - first;
    if (j->inputs > NARROW || all->from.phases > 1 || all->to.phases > 1)
        return;
    cc_winograd_fetch(&all->from.grid[0], all->x + group * j->inputs, j->inputs, j->form->step, first, tiles);
    cc_winograd_fetch(&all->to.grid[0], all->y + group * j->outputs, j->outputs, j->form->step, first, tiles);
}

/* Items: turns of the groups that take turns, so that a pixel's lines are wanted soon after each other; the first for their
 * weights. All are one thread's. */
static void turn_task(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    const int64_t slices = cc_ceil_div(j->inputs, SLICE) * j->columns.blocks * j->pass.to.phases;
    for (int64_t turn = begin; turn < end; turn++) {
        const int64_t groups = j->groups, g = turn % groups, block = turn / groups - 1, next = turn + 1 - groups;
        select_group(j, j->group + g);
        j->u = shifted(j->first_u, g * j->u_stride);
        if (block < 0) {
            weight_task(j, 0, slices, part);
            continue;
        }
        if (next < groups * j->blocks)
            fetch_block(j, j->group + next % groups, next / groups);
        block_task(j, block, block + 1, part);
    }
}

/* Items: groups; what they share out again stays with the thread. */
static void group_task(void *argument, int64_t begin, int64_t end, int part)
{
    groups_job *groups = argument;
    job own = *groups->first;
    own.u = shifted(own.u, part * own.floats);
    own.v = shifted(own.v, part * own.floats);
    own.m = shifted(own.m, part * own.floats);
    own.first_u = own.u;
    for (int64_t g = begin; g < end; g += own.together) {
        own.group = g;
        own.groups = cc_min(own.together, end - g);
        if (own.keep_u)
            cc_parallel_each(own.pool, 1, own.groups * (own.blocks + 1), turn_task, &own);
        else
            convolve_group(&own, g);
    }
    note(&groups->magnitude[part], own.magnitude[0]);
}

/* Blocks of the same width, of which there are an even number, if there is such a width; else what cc_winograd_cut makes. */
static cc_winograd_columns cut_evenly(const cc_kernels *kernels, int64_t channels)
{
    for (int64_t vectors = kernels->gemm.max_vectors; vectors >= LEAST_VECTORS; vectors--) {
        const int64_t width = vectors * kernels->lanes;
        if (channels % (2 * width) == 0)
            return (cc_winograd_columns){channels, width, channels / width};
    }
    return cc_winograd_cut(kernels, channels);
}

cc_status cc_winograd_convolve(const cc_context *context, const cc_conv *conv, const cc_winograd_pass *pass, bool *sound)
{
    const cc_winograd_kernels *form = cc_winograd_form(context->kernels, conv);
    job work = {.kernels = context->kernels, .pool = context->pool, .form = form, .all = pass, .pass = *pass}, *j = &work;
    j->inputs = (pass->back ? conv->oc : conv->ic) / conv->groups;
    j->outputs = (pass->back ? conv->ic : conv->oc) / conv->groups;
    j->row = conv->ic / conv->groups * form->taps * form->taps;
    j->weights = conv->oc / conv->groups * j->row;
    j->columns = cc_winograd_cut(context->kernels, j->outputs);
    j->tiles = cc_winograd_tiles(conv, &pass->to);
    const int64_t places = form->points * form->points, phases = pass->from.phases;
    const int64_t depth = phases * j->inputs, slices = cc_ceil_div(depth, SLICE);
    const int64_t u = places * depth * j->columns.width * j->columns.blocks * pass->to.phases;
    const bool keep_u = j->keep_u = u < LARGE_U && u / LARGE_SHARE < j->tiles;
    if (!keep_u)
        j->columns = cut_evenly(context->kernels, j->outputs);
    const int64_t width = j->columns.width, columns = j->columns.blocks * pass->to.phases;
    j->blocks = cc_ceil_div(j->tiles, keep_u ? BLOCK : LARGE_BLOCK);
    j->block = cc_ceil_div(j->tiles, j->blocks);
    j->piece = keep_u ? j->inputs : phases > 1 ? SLICE : j->block < MANY_TILES ? PIECE : LONG_PIECE;

    const int64_t u_plane = cc_winograd_plane((keep_u ? depth * columns : phases * j->piece) * width);
    const int64_t v_plane = cc_winograd_plane(slices * SLICE * j->block), m_plane = cc_winograd_plane(j->block * width);
    const bool even = columns % 2 == 0 && j->outputs % width == 0;
    j->splits = !even && columns < MANY && j->block >= 2 * SPLIT ? 2 : 1;
    const int apart = cc_winograd_apart(context, conv);
    const int parts = j->parts = apart > 1 ? 1 : cc_parts(context->pool, keep_u ? j->blocks : columns * j->splits, 1);
    j->u_stride = places * u_plane;
    j->v_stride = places * v_plane;
    j->m_stride = places * m_plane;
    j->together = apart > 1 && keep_u ? cc_max(1, TOGETHER / j->u_stride) : 1;
    const int64_t us = keep_u ? j->together : parts, vs = keep_u ? parts : 1;
    const int64_t line = cc_ceil_div(cc_winograd_line(&pass->from), 16) * 16;
    /* One product reads a row of V and writes one of M: M takes V's place, and less of the first-level cache. */
    const bool in_place = keep_u && depth <= SLICE && width == SLICE && columns == 1;
    j->floats = us * j->u_stride + vs * j->v_stride + (in_place ? 0 : parts * j->m_stride);
    const int64_t floats = apart * j->floats + line;
    float *memory = cc_arena_alloc(context->arena, (size_t)floats * sizeof(float) + (size_t)slices * sizeof(int64_t));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    float *v = memory + us * j->u_stride, *m = v + vs * j->v_stride, *zeros = memory + apart * j->floats;
    int64_t *offset = (int64_t *)(void *)(memory + floats);
    j->u = (cc_winograd_planes){memory, u_plane, width, depth * width, false};
    j->v = (cc_winograd_planes){v, v_plane, SLICE, j->block * SLICE, !keep_u && parts > 1};
    j->m = in_place ? j->v : (cc_winograd_planes){m, m_plane, width, 0, false};
    const int64_t of_piece = cc_ceil_div(j->piece, SLICE);
    for (int64_t s = 0; s < slices; s++) /* with one phase, those of all pieces */
        offset[s] = (phases > 1 ? s / of_piece * (j->inputs / SLICE) + s % of_piece : s) * j->v.block;
    j->offset = offset;
    memset(zeros, 0, (size_t)line * sizeof(float));
    j->pass.from.grid[0].zeros = zeros;

    if (apart > 1) {
        groups_job groups = {.first = j};
        cc_parallel_for(context->pool, apart, conv->groups, group_task, &groups);
        *sound = cc_winograd_sound(groups.magnitude, apart);
    } else {
        for (int64_t g = 0; g < conv->groups; g++)
            convolve_group(j, g);
        *sound = cc_winograd_sound(j->magnitude, parts);
    }
    cc_arena_free(context->arena, memory);
    return CC_OK;
}
