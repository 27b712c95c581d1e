/* conv/winograd_weight.c -- backward_weight by the adjoints of Winograd's convolutions (kernels/winograd.h).
 *
 *     for a run of tiles:  V = transform(x), D = transform(dy)       places x (tiles x channels)
 *                          U[xi] += V[xi]' D[xi]                     places x (inputs x outputs)
 *     dw += transform(U)
 *
 * Phases of x (winograd.h) are more inputs.
 *
 * Few channels: tiles are cut into shares, each with a U of its own, so that threads never wait and V, D
 * and U stay in a core's cache. Many channels: one share, whose runs threads make together, and cut U into places and
 * blocks of outputs; or, for few tiles, into patches of inputs and outputs, each made while it is in cache. The shape alone
 * decides this, and so the order in which everything is added; more threads than shares make one share after the other
 * together, in the same order. Patches are finished one by one: transformed, and added
 * to dw or given to the sink while they are in the cache. Those that are not sound wait for what direct convolution
 * gives there.
 */
#include <string.h>

#include "winograd_weight.h"

#define SLICE CC_WINOGRAD_SLICE
/* Inputs of a patch; its U stays in the second-level cache. */
#define PATCH 64
/* Floats that the U of all shares may take, and of two, and tiles that a share should have. */
#define SHARED_FLOATS (5 << 18)
#define TWO_SHARES_FLOATS (11 << 18)
#define SHARE 128

/* Tiles of a run that threads share, and so few that U costs more than they do. */
#define LONGEST_RUN 224
#define FEW_TILES 64

typedef cc_winograd_weight_job job;

typedef struct groups_job {
    const cc_context *context;
    const cc_conv *conv;
    const float *x, *dy;
    const cc_winograd_gradient *to;
    const job *first; /* of the first part */
    cc_status status[CC_MAX_THREADS];
} groups_job;

/* Inputs and outputs that are finished together. */
typedef struct patch {
    int64_t input, inputs, block, outputs;
} patch;

static patch find_patch(const job *j, int64_t index)
{
    const int64_t input = index % j->patches_down * PATCH, block = index / j->patches_down;
    return (patch){input, cc_min(PATCH, j->inputs - input), block, cc_winograd_channels(&j->columns, block)};
}

static cc_winograd_planes shifted(cc_winograd_planes planes, int64_t floats)
{
    planes.data += floats;
    return planes;
}

static void transform(const job *j, int64_t first, int64_t tiles, const cc_winograd_planes *v,
                      const cc_winograd_planes *d)
{
    for (int p = 0; p < j->x_side.phases; p++) {
        const cc_winograd_planes rows = shifted(*v, p * (j->inputs / SLICE) * v->block);
        j->form->input[p](&j->x_side.grid[p], j->x + j->x_side.first[p], j->inputs, first, tiles, &rows);
    }
    j->form->gradient(&j->dy_side.grid[0], j->dy, j->columns.channels, first, tiles, d);
}

static int64_t share_begin(const job *j, int64_t share) { return j->tiles * share / j->shares; }

/* Items: tiles of the run. */
static void transform_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    const cc_winograd_planes v = shifted(j->v, begin * j->v.width), d = shifted(j->d, begin * j->d.width);
    (void)part;
    transform(j, j->first + begin, end - begin, &v, &d);
}

/* Items: blocks of outputs, of each place. */
static void place_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const int64_t xi = i / j->columns.blocks, block = i % j->columns.blocks;
        float *u = j->u.data + j->share * j->u_floats + xi * j->u.plane + block * j->u.block;
        cc_winograd_add_products(j, xi, 0, j->inputs, j->inputs, block, u, j->first > share_begin(j, j->share));
    }
}

/* Rows of a patch, one an output, `row` elements apart, to where they belong. */
static void deliver(const job *j, const patch *p, float *rows, int64_t row)
{
    const int64_t length = p->inputs * j->area;
    for (int64_t o = 0; o < p->outputs; o++, rows += row) {
        const int64_t first = (p->block * j->columns.width + o) * j->inputs * j->area + p->input * j->area;
        if (j->to->sink != NULL)
            j->to->sink->take(j->to->sink, j->to->begin + first, length, rows);
        else
            j->kernels->eltwise.add_f32(j->to->dw + first, rows, j->to->dw + first, length);
    }
}

/* In u, the next phase's rows are `apart` further. */
static void finish(job *j, int64_t index, const cc_winograd_planes *u, int64_t apart, int part)
{
    const patch p = find_patch(j, index);
    const cc_winograd_planes w = shifted(j->w, part * j->part_floats);
    float magnitude[CC_WINOGRAD_PHASES];
    for (int phase = 0; phase < j->x_side.phases; phase++) {
        const cc_winograd_planes rows = shifted(*u, phase * apart * u->width);
        magnitude[phase] = j->form->weight_gradient[phase](&rows, p.inputs, p.outputs, &w);
    }
    j->unsound[index] = !cc_winograd_sound(magnitude, j->x_side.phases);
    if (j->unsound[index])
        return;
    if (j->to->sink == NULL) {
        float *dw = j->to->dw + (p.block * j->columns.width * j->inputs + p.input) * j->area;
        j->form->weight_add(&w, p.inputs, p.outputs, dw, j->inputs * j->area);
        return;
    }
    const int64_t row = p.inputs * j->area;
    float *rows = w.data + j->w_floats;
    memset(rows, 0, (size_t)(p.outputs * row) * sizeof(float));
    j->form->weight_add(&w, p.inputs, p.outputs, rows, row);
    deliver(j, &p, rows, row);
}

/* Items: patches, of the one run. */
static void patch_task(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    const cc_winograd_planes u = shifted(j->u, part * j->u_floats);
    for (int64_t i = begin; i < end; i++) {
        const patch p = find_patch(j, i);
        for (int64_t xi = 0; xi < j->places; xi++)
            cc_winograd_add_products(j, xi, p.input, p.inputs, PATCH, p.block, u.data + xi * u.plane, false);
        finish(j, i, &u, PATCH, part);
    }
}

static cc_winograd_planes u_of(const job *j, const patch *p)
{
    return shifted(j->u, p->block * j->u.block + p->input * j->u.width);
}

/* Items: places, of each patch, whose sum over the shares goes to the first one. */
static void sum_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const patch p = find_patch(j, i / j->places);
        const cc_winograd_planes u = u_of(j, &p);
        int64_t first, last, xi = i % j->places;
        cc_winograd_phases(j->form, xi, &first, &last);
        for (int64_t share = 1; share < j->shares; share++)
            for (int64_t phase = first; phase < last; phase++) {
                float *sum = u.data + xi * u.plane + phase * j->inputs * u.width;
                j->kernels->eltwise.add_f32(sum, sum + share * j->u_floats, sum, p.inputs * u.width);
            }
    }
}

/* Items: patches. */
static void finish_task(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    for (int64_t i = begin; i < end; i++) {
        const patch p = find_patch(j, i);
        const cc_winograd_planes u = u_of(j, &p);
        finish(j, i, &u, j->inputs, part);
    }
}

/* Items: patches, of the exact gradient. */
static void exact_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const patch p = find_patch(j, i);
        if (j->unsound[i])
            deliver(j, &p, j->exact + (p.block * j->columns.width * j->inputs + p.input) * j->area, j->inputs * j->area);
    }
}

/* Patches that were not sound come from the exact gradient. */
static cc_status repair(const cc_context *context, const cc_conv *conv, const float *x, const float *dy, int64_t group,
                        job *j)
{
    const size_t bytes = (size_t)(conv->oc * j->inputs * j->area) * sizeof(float);
    float *exact = cc_arena_alloc(context->arena, bytes);
    if (exact == NULL)
        return CC_ERR_MEMORY;
    memset(exact, 0, bytes);
    const cc_status status = cc_conv_algo_backward_weight(cc_winograd_exact(context, conv, CC_BACKWARD_WEIGHT), context,
                                                          conv, x, dy, exact);
    j->exact = exact + group * j->columns.channels * j->inputs * j->area;
    if (status == CC_OK)
        cc_parallel_each(context->pool, cc_parts(context->pool, j->patches, 1), j->patches, exact_task, j);
    cc_arena_free(context->arena, exact);
    return status;
}

/* The share at hand. */
static void run_share(job *j)
{
    const int64_t products = j->places * j->columns.blocks, last = share_begin(j, j->share + 1);
    for (j->first = share_begin(j, j->share); j->first < last; j->first += j->now) {
        j->now = cc_min(j->run, last - j->first);
        cc_parallel_for(j->pool, cc_parts(j->pool, j->now, 4), j->now, transform_task, j);
        if (j->patchwise)
            cc_parallel_each(j->pool, j->patch_parts, j->patches, patch_task, j);
        else
            cc_parallel_each(j->pool, cc_parts(j->pool, products, 1), products, place_task, j);
    }
}

/* Items: shares; each stays with the thread. */
static void share_task(void *argument, int64_t begin, int64_t end, int part)
{
    job own = *(const job *)argument;
    own.v = shifted(own.v, part * own.v_floats);
    own.d = shifted(own.d, part * own.d_floats);
    for (own.share = begin; own.share < end; own.share++)
        run_share(&own);
}

static void run_tasks(job *j)
{
    const int64_t sums = j->patches * j->places;
    if (!j->together)
        cc_parallel_each(j->pool, j->parts, j->shares, share_task, j);
    else
        for (j->share = 0; j->share < j->shares; j->share++)
            run_share(j);
    if (j->shares > 1)
        cc_parallel_for(j->pool, cc_parts(j->pool, sums, 1), sums, sum_task, j);
    if (!j->patchwise)
        cc_parallel_each(j->pool, j->patch_parts, j->patches, finish_task, j);
}

/* Adds or gives the gradient of one group. */
static cc_status run_group(const cc_context *context, const cc_conv *conv, const float *x, const float *dy, int64_t group,
                           const cc_winograd_gradient *to, job *j)
{
    const int64_t size = j->columns.channels * j->inputs * j->area;
    const cc_winograd_gradient here = {to->dw != NULL ? to->dw + group * size : NULL, to->sink, to->begin + group * size};
    j->x = x + group * j->inputs;
    j->dy = dy + group * j->columns.channels;
    j->to = &here;
    memset(j->unsound, 0, (size_t)j->patches * sizeof(bool));
    run_tasks(j);
    return memchr(j->unsound, true, (size_t)j->patches) != NULL ? repair(context, conv, x, dy, group, j) : CC_OK;
}

/* Items: groups; what they share out again stays with the thread. */
static void group_task(void *argument, int64_t begin, int64_t end, int part)
{
    groups_job *groups = argument;
    job own = *groups->first;
    const int64_t bytes = part * own.bytes, floats = bytes / (int64_t)sizeof(float);
    own.v = shifted(own.v, floats);
    own.d = shifted(own.d, floats);
    own.u = shifted(own.u, floats);
    own.w = shifted(own.w, floats);
    own.unsound += bytes;
    for (int64_t g = begin; g < end && groups->status[part] == CC_OK; g++)
        groups->status[part] = run_group(groups->context, groups->conv, groups->x, groups->dy, g, groups->to, &own);
}

cc_status cc_winograd_backward_weight(const cc_context *context, const cc_conv *conv, const float *x, const float *dy,
                                      const cc_winograd_gradient *to)
{
    const cc_winograd_kernels *form = cc_winograd_form(context->kernels, conv);
    const int64_t icg = conv->ic / conv->groups, ocg = conv->oc / conv->groups;
    job j = {.pool = context->pool, .kernels = context->kernels, .form = form, .area = form->taps * form->taps,
             .places = form->points * form->points, .columns = cc_winograd_cut(context->kernels, ocg), .inputs = icg};
    cc_winograd_sides(conv, form, CC_BACKWARD_WEIGHT, &j.x_side, &j.dy_side);
    j.tiles = cc_winograd_tiles(conv, &j.dy_side);
    const int64_t phases = j.x_side.phases, inputs = phases * icg;
    const int64_t v_width = cc_ceil_div(inputs, SLICE) * SLICE, d_width = j.columns.width * j.columns.blocks;
    j.patches_down = cc_ceil_div(j.inputs, PATCH);
    j.patches = j.patches_down * j.columns.blocks;
    int64_t u_plane = cc_winograd_plane(inputs * d_width);
    j.shares = 1;
    while (j.shares * 2 * j.places * u_plane <= (j.shares == 1 ? TWO_SHARES_FLOATS : SHARED_FLOATS) &&
           j.shares * 2 * SHARE <= j.tiles)
        j.shares *= 2;
    /* A longer run reads and writes U less often, but its V and D need more room. */
    const int64_t balance = v_width * d_width / (v_width + d_width);
    const int64_t longest = j.shares > 1 ? cc_max(64, cc_min(CC_WINOGRAD_DEPTH, 2048 / balance)) : LONGEST_RUN;
    j.run = cc_ceil_div(j.tiles, cc_ceil_div(j.tiles, longest));
    j.patchwise = j.shares == 1 && j.tiles <= FEW_TILES;
    if (j.patchwise)
        u_plane = cc_winograd_plane(phases * PATCH * j.columns.width);

    const int64_t v_plane = cc_winograd_plane(j.run * v_width), d_plane = cc_winograd_plane(j.run * d_width);
    const int64_t w_plane = cc_winograd_plane(PATCH * j.columns.width);
    const int apart = cc_winograd_apart(context, conv);
    const int threads = apart > 1 ? 1 : cc_parts(context->pool, CC_MAX_THREADS, 1);
    const int patch_parts = j.patch_parts = apart > 1 ? 1 : cc_parts(context->pool, j.patches, 1);
    j.parts = (int)cc_min(threads, j.shares);
    j.together = j.shares == 1 || threads > j.shares;
    const int64_t runs = j.together ? 1 : j.parts, sums = j.patchwise ? patch_parts : j.shares;
    j.v_floats = j.places * v_plane;
    j.d_floats = j.places * d_plane;
    j.u_floats = j.places * u_plane;
    j.w_floats = j.area * w_plane;
    j.part_floats = to->sink == NULL ? j.w_floats : 2 * j.w_floats;
    const int64_t line = cc_winograd_line(&j.x_side);
    const int64_t floats = runs * (j.v_floats + j.d_floats) + sums * j.u_floats + patch_parts * j.part_floats + line;
    j.bytes = cc_ceil_div(floats * (int64_t)sizeof(float) + j.patches * (int64_t)sizeof(bool), CC_ALIGNMENT) * CC_ALIGNMENT;
    float *memory = cc_arena_alloc(context->arena, (size_t)(apart * j.bytes));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    float *d = memory + runs * j.v_floats, *u = d + runs * j.d_floats;
    const bool shared = j.together && threads > 1;
    j.v = (cc_winograd_planes){memory, v_plane, SLICE, j.run * SLICE, shared};
    j.d = (cc_winograd_planes){d, d_plane, j.columns.width, j.run * j.columns.width, shared};
    j.u = (cc_winograd_planes){u, u_plane, j.columns.width, j.patchwise ? 0 : inputs * j.columns.width, false};
    j.w = (cc_winograd_planes){u + sums * j.u_floats, w_plane, j.columns.width, 0, false};
    float *zeros = j.w.data + patch_parts * j.part_floats;
    memset(zeros, 0, (size_t)line * sizeof(float));
    j.x_side.grid[0].zeros = zeros;
    j.unsound = (bool *)(void *)(memory + floats);
    cc_status status = CC_OK;
    if (apart > 1) {
        groups_job groups = {.context = context, .conv = conv, .x = x, .dy = dy, .to = to, .first = &j};
        cc_parallel_for(context->pool, apart, conv->groups, group_task, &groups);
        for (int part = 0; part < apart && status == CC_OK; part++)
            status = groups.status[part];
    } else
        for (int64_t g = 0; g < conv->groups && status == CC_OK; g++)
            status = run_group(context, conv, x, dy, g, to, &j);
    cc_arena_free(context->arena, memory);
    return status;
}
