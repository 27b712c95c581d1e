/* Direct weight gradient: dw(tap, c, o) = SUM over positions  x(position*stride + tap, c) * dy(position, o).
 *
 * A tile of dw (channels x outputs) stays in registers over all positions of a strip; strips are added
 * in their order. Small gradients: images are cut into a number of chunks that depends on the shape
 * alone, each with a gradient of its own, added at the end in order. Large ones: the threads share the channels, and
 * some channels' gradient stays in the second-level cache over all strips.
 */
#include <string.h>

#include "direct.h"

#define POSITIONS 192
/* Floats of dy in a strip that all taps read, and with it the next one's, from the second-level cache. */
#define STRIP_FLOATS (64 << 10)

/* A gradient is small when all its chunks together stay within the second-level cache. */
#define SMALL_FLOATS (1 << 16)
#define CHUNKS 8
/* Floats of the gradient of one block of channels; they are a multiple of HELD where there are enough. */
#define BLOCK_FLOATS (144 << 10)
#define HELD 16
/* Where many blocks would make few channels, strips are long, and each is read and written less often. */
#define LARGE_FLOATS (1 << 19)
#define LARGE_POSITIONS 448

/* Rows of dy that are packed together. */
#define PACKED_ROWS 8

/* Channels [first, last) of one group, and their gradient: panels x channels x taps x width of the panel; where taps are
 * merged to runs, taps x channels. */
typedef struct weight_block {
    int64_t group, first, last;
    float *gradient;
} weight_block;

typedef struct weight_job {
    const cc_context *context;
    const cc_conv *conv;
    cc_strips strips;
    cc_panels panels;
    int64_t outputs; /* of one group */
    const float *dy;
    float *dw;

    int64_t chunks;
    float *gradient;
    int64_t gradient_size; /* of all groups of a chunk, or of a block of a part */
    float *buffers;
    int64_t buffer_size, packed_size; /* per part: strip buffer and packed dy */
    int64_t *offsets;                 /* per part: of the strip's rows */
    int64_t offsets_size;
    bool packed, merged;
    bool special; /* some small gradient has Inf or NaN */
    float *strips_dy; /* packed for all blocks: [group][strip][panel][position][width]; or NULL */
} weight_job;

/* Of one panel. */
static float *panel_gradient(const weight_job *job, const weight_block *block, const cc_panel *panel)
{
    return block->gradient + panel->column * job->strips.taps * (block->last - block->first);
}

static int64_t position_of(const cc_strips *s, const cc_strip *strip)
{
    return ((strip->image * s->grid[0] + strip->plane) * s->grid[1] + strip->row) * s->grid[2];
}

static int64_t positions_of(const cc_strips *s, const cc_strip *strip)
{
    return strip->images * strip->rows * s->grid[2];
}

/* What a panel reads of dy in a strip. */
static cc_gemm_piece dy_of(const weight_job *job, const cc_strip *strip, int64_t group, const cc_panel *panel)
{
    const cc_strips *s = &job->strips;
    const int64_t rows = positions_of(s, strip), oc = job->conv->oc, position = position_of(s, strip);
    if (job->strips_dy != NULL) {
        const int64_t padded = job->panels.vectors * job->panels.lanes;
        const int64_t first = group * s->n * cc_volume(s->grid) + position;
        return (cc_gemm_piece){job->strips_dy + first * padded + panel->column * rows, rows, panel->width, panel->width};
    }
    return (cc_gemm_piece){job->dy + position * oc + group * job->outputs + panel->column, rows,
                           cc_min(panel->width, job->outputs - panel->column), oc};
}

/* Items are strips of each group. Their rows are read in order, and those to come are fetched. */
static void pack_strips(void *argument, int64_t begin, int64_t end, int part)
{
    (void)part;
    const weight_job *job = argument;
    const int64_t oc = job->conv->oc;
    for (int64_t item = begin; item < end; item++) {
        const int64_t group = item / job->strips.items;
        const cc_strip strip = cc_strips_item(&job->strips, item % job->strips.items);
        const int64_t rows = positions_of(&job->strips, &strip);
        const float *from = job->dy + position_of(&job->strips, &strip) * oc + group * job->outputs;
        for (int64_t r = 0; r < rows; r += PACKED_ROWS, from += PACKED_ROWS * oc) {
            const int64_t count = cc_min(PACKED_ROWS, rows - r);
            for (int64_t i = count; i < cc_min(2 * PACKED_ROWS, rows - r); i++)
                cc_direct_fetch(from + i * oc, job->outputs);
            for (int64_t p = 0; p < job->panels.count; p++) {
                const cc_panel panel = cc_panels_get(&job->panels, p);
                const cc_gemm_piece to = dy_of(job, &strip, group, &panel);
                job->context->kernels->gemm.copy(count, cc_min(panel.width, job->outputs - panel.column), from + panel.column,
                                                 oc, job->strips_dy + (to.data - job->strips_dy) + r * to.ld, to.ld);
            }
        }
    }
}

/* What will be read after a panel: dy by the next one; or x and dy by the first one of the next strip and block. */
static void look_ahead(const weight_job *job, int64_t panel, const cc_strip *strip, const weight_block *block,
                       const cc_strip *next, const weight_block *after, cc_gemm_piece ahead[2])
{
    const bool last = panel + 1 == job->panels.count;
    ahead[0] = ahead[1] = (cc_gemm_piece){0};
    if (last && after == NULL)
        return;
    const cc_panel soon = cc_panels_get(&job->panels, last ? 0 : panel + 1);
    ahead[1] = last ? dy_of(job, next, after->group, &soon) : dy_of(job, strip, block->group, &soon);
    if (last)
        ahead[0] = cc_strips_source(&job->strips, next, after->group * job->strips.channels + after->first,
                                    after->last - after->first);
}

/* Add one strip to a block; meanwhile fetch what `next` needs, of the block `after` if there is one. */
static void add_strip(const weight_job *job, const cc_strip *strip, const weight_block *block, bool accumulate,
                      const cc_strip *next, const weight_block *after, const float *x, float *packed, int64_t *offset)
{
    const cc_strips *s = &job->strips;
    const cc_gemm_kernels *gemm = &job->context->kernels->gemm;
    int64_t rows = 0;
    for (int64_t i = 0; i < strip->images; i++)
        for (int64_t r = 0; r < strip->rows; r++)
            offset[rows++] = i * s->image + r * s->step[1] * s->columns * s->pitch;
    const int64_t run_channels = s->run_taps * (block->last - block->first);
    const int64_t run_step = job->merged ? run_channels : 1, channel_step = job->merged ? 1 : s->taps;

    for (int64_t p = 0; p < job->panels.count; p++) {
        const cc_panel panel = cc_panels_get(&job->panels, p);
        const cc_gemm_piece dy = dy_of(job, strip, block->group, &panel);
        const float *b = dy.data;
        int64_t ldb = dy.ld;
        if (job->packed && job->strips_dy == NULL) {
            gemm->copy(dy.rows, dy.columns, dy.data, dy.ld, packed, panel.width);
            b = packed;
            ldb = panel.width;
        }
        cc_gemm_piece ahead[2];
        look_ahead(job, p, strip, block, next, after, ahead);
        float *to = panel_gradient(job, block, &panel);
        const int64_t tiles = cc_ceil_div(run_channels, gemm->max_rows[panel.vectors]);
        cc_gemm_fetches fetches = cc_gemm_fetches_of(ahead, s->runs * tiles, dy.rows);
        for (int64_t t = 0; t < tiles; t++) {
            const int64_t c = run_channels * t / tiles, tall = run_channels * (t + 1) / tiles - c;
            for (int64_t run = 0; run < s->runs; run++) {
                const cc_gemm_ahead soon = cc_gemm_fetch(&fetches);
                gemm->tile_t[panel.vectors][tall](rows, offset, s->grid[2], x + s->run_offset[run] + c,
                                                  s->step[2] * s->pitch, b, ldb,
                                                  to + (run * run_step + c * channel_step) * panel.width,
                                                  channel_step * panel.width, accumulate,
                                                  soon.data != NULL ? &soon : NULL);
            }
        }
    }
}

/* Strips [begin, end) of a block, then maybe the first ones of another. */
static void add_strips(const weight_job *job, int64_t begin, int64_t end, const weight_block *block,
                       const weight_block *after, int part)
{
    const cc_strips *s = &job->strips;
    float *x = job->buffers + part * job->buffer_size, *packed = x + job->buffer_size - job->packed_size;
    int64_t *offset = job->offsets + part * job->offsets_size;
    for (int64_t item = begin; item < end; item++) {
        const bool last = item + 1 == end;
        const cc_strip strip = cc_strips_item(s, item), next = cc_strips_item(s, last ? begin : item + 1);
        const float *read =
            cc_strips_read(s, &strip, block->group * s->channels + block->first, block->last - block->first, x);
        add_strip(job, &strip, block, item > begin, &next, last ? after : block, read, packed, offset);
    }
}

/* All channels of a group, in a chunk. */
static weight_block whole(const weight_job *job, int64_t chunk, int64_t group)
{
    float *gradient = job->gradient + chunk * job->gradient_size + group * (job->gradient_size / job->conv->groups);
    return (weight_block){.group = group, .last = job->strips.channels, .gradient = gradient};
}

/* Small gradients: items are chunks of strips. */
static void run_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    weight_job *job = argument;
    const int64_t items = job->strips.items;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        for (int64_t group = 0; group < job->conv->groups; group++) {
            const weight_block all = whole(job, chunk, group);
            add_strips(job, chunk * items / job->chunks, (chunk + 1) * items / job->chunks, &all, NULL, part);
        }
        if (cc_conv_special(job->gradient + chunk * job->gradient_size, job->gradient_size))
            __atomic_store_n(&job->special, true, __ATOMIC_RELAXED);
    }
}

/* Weights that are turned at once: of so many output channels, so many. */
#define TURNED_OUTPUTS 16
#define TURNED 256

/* sums (columns x TURNED_OUTPUTS) = the chunks in their order, of some outputs of a panel of so many channels. */
static void add_chunks(const weight_job *job, const float *gradient, int64_t channels, int64_t width, int64_t first,
                       int64_t columns, int64_t outputs, float *sums)
{
    const int64_t taps = job->strips.taps;
    int64_t tap = first % taps, channel = first / taps;
    for (int64_t j = 0; j < columns; j++, sums += TURNED_OUTPUTS) {
        const float *from = gradient + (job->merged ? tap * channels + channel : first + j) * width;
        if (++tap == taps) {
            tap = 0;
            channel++;
        }
        if (job->chunks == 1) {
            memcpy(sums, from, (size_t)outputs * sizeof(float));
            continue;
        }
        double sum[TURNED_OUTPUTS] = {0};
        for (int64_t k = 0; k < job->chunks; k++)
            for (int64_t o = 0; o < outputs; o++)
                sum[o] += (double)from[k * job->gradient_size + o];
        for (int64_t o = 0; o < outputs; o++)
            sums[o] = (float)sum[o];
    }
}

static int64_t pieces_of(const weight_job *job, int64_t channels)
{
    return cc_ceil_div(channels * job->strips.taps, TURNED);
}

/* dw += a piece of the rows that a block and panel make up. */
static void add_piece(const weight_job *job, const weight_block *block, int64_t p, int64_t piece)
{
    static const cc_gemm_epilogue nothing = {0};
    const cc_gemm_kernels *gemm = &job->context->kernels->gemm;
    const int64_t taps = job->strips.taps, channels = block->last - block->first, first = piece * TURNED;
    const int64_t row = job->strips.channels * taps, columns = cc_min(TURNED, channels * taps - first);
    const cc_panel panel = cc_panels_get(&job->panels, p);
    const int64_t valid = cc_min(panel.width, job->outputs - panel.column);
    const float *gradient = panel_gradient(job, block, &panel);
    _Alignas(CC_ALIGNMENT) float sums[TURNED * TURNED_OUTPUTS], turned[TURNED_OUTPUTS * TURNED];
    for (int64_t o = 0; o < valid; o += TURNED_OUTPUTS) {
        const int64_t outputs = cc_min(TURNED_OUTPUTS, valid - o), later = valid - o - outputs;
        float *to = job->dw + (block->group * job->outputs + panel.column + o) * row + block->first * taps + first;
        for (int64_t i = 0; i < cc_min(later, TURNED_OUTPUTS); i++)
            cc_direct_fetch(to + (outputs + i) * row, columns);
        if (job->chunks == 1 && !job->merged) {
            gemm->transpose(columns, outputs, gradient + first * panel.width + o, panel.width, turned, TURNED, TURNED);
        } else {
            add_chunks(job, gradient + o, channels, panel.width, first, columns, outputs, sums);
            gemm->transpose(columns, outputs, sums, TURNED_OUTPUTS, turned, TURNED, TURNED);
        }
        gemm->finish(outputs, columns, turned, TURNED, to, row, true, &nothing);
    }
}

/* Items are pieces of the rows of each group and panel. */
static void add_pieces(void *argument, int64_t begin, int64_t end, int part)
{
    (void)part;
    const weight_job *job = argument;
    const int64_t pieces = pieces_of(job, job->strips.channels);
    for (int64_t item = begin; item < end; item++) {
        const weight_block all = whole(job, 0, item / pieces / job->panels.count);
        add_piece(job, &all, item / pieces % job->panels.count, item % pieces);
    }
}

static int64_t blocks_of(const weight_job *job) { return cc_ceil_div(job->strips.channels, job->strips.held); }

/* Of all blocks of all groups. */
static weight_block find_block(const weight_job *job, int64_t item, int part)
{
    const int64_t held = job->strips.held, first = item % blocks_of(job) * held;
    return (weight_block){.group = item / blocks_of(job), .first = first,
                          .last = cc_min(job->strips.channels, first + held),
                          .gradient = job->gradient + part * job->gradient_size};
}

/* Large gradients: items are blocks of channels, all strips in order. */
static void run_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const weight_job *job = argument;
    for (int64_t item = begin; item < end; item++) {
        const weight_block now = find_block(job, item, part), after = find_block(job, item + 1, part);
        add_strips(job, 0, job->strips.items, &now, item + 1 < end ? &after : NULL, part);
        for (int64_t p = 0; p < job->panels.count; p++)
            for (int64_t piece = 0; piece < pieces_of(job, now.last - now.first); piece++)
                add_piece(job, &now, p, piece);
    }
}

/* Padding is multiplied, which Inf and NaN show. */
static bool spoilt(const weight_job *job)
{
    return cc_conv_multiplied_padding(job->context, job->conv, CC_BACKWARD_WEIGHT, job->dy, job->dy);
}

static cc_status again_apart(const weight_job *job)
{
    return cc_conv_apart_backward_weight(&cc_conv_direct, job->context, job->conv, job->strips.source, job->dy, job->dw);
}

static cc_status run(weight_job *job)
{
    cc_strips *s = &job->strips;
    const cc_context *context = job->context;
    const int64_t groups = job->conv->groups, lanes = context->kernels->lanes;
    job->panels = cc_panels_of(context, job->outputs, 0);
    job->packed = job->panels.count > 1 || job->outputs % lanes != 0;
    const int64_t channel_size = s->taps * job->panels.vectors * lanes, total = groups * s->channels * channel_size;
    const bool small = total <= SMALL_FLOATS || s->channels < lanes;
    const bool large = !small && total > LARGE_FLOATS;
    if (!small && spoilt(job))
        return again_apart(job);

    const int parts_most = cc_parts(context->pool, s->channels, 8);
    s->held = s->channels;
    if (!small) {
        s->held = cc_min(BLOCK_FLOATS / channel_size, cc_ceil_div(s->channels, parts_most));
        s->held = cc_min(s->channels, cc_max(1, s->held / HELD) * HELD);
    }
    const int64_t few = cc_min(cc_direct_positions(s, POSITIONS), cc_max(POSITIONS, STRIP_FLOATS / job->conv->oc));
    job->merged = small && s->channels < lanes;
    cc_strips_plan(s, large ? LARGE_POSITIONS : few, job->merged);
    job->chunks = small ? cc_min(CHUNKS, s->items) : 1;
    job->gradient_size = small ? total : s->held * channel_size;

    const int parts = small ? cc_parts(context->pool, job->chunks, 1) : parts_most;
    const int64_t positions = s->images_per_item * s->rows_per_item * s->grid[2];
    job->offsets_size = cc_ceil_div(s->images_per_item * s->rows_per_item, 8) * 8;
    job->packed_size = job->packed ? positions * CC_TILE_MAX_VECTORS * lanes : 0;
    job->buffer_size = cc_ceil_div(cc_strips_floats(s), 16) * 16 + job->packed_size;
    const int64_t gradients = cc_ceil_div((small ? job->chunks : parts) * job->gradient_size, 16) * 16;
    /* dy that several blocks read is packed once, where that is not mostly zeros. */
    const int64_t padded = job->panels.vectors * lanes;
    const bool shared = !small && job->packed && blocks_of(job) > 1 && padded < 2 * job->outputs;
    const int64_t shared_size = shared ? groups * s->n * cc_volume(s->grid) * padded : 0;
    float *memory = cc_arena_alloc(context->arena,
                                   (size_t)(gradients + parts * job->buffer_size + shared_size) * sizeof(float) +
                                       (size_t)(parts * job->offsets_size) * sizeof(int64_t));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    job->gradient = memory;
    job->buffers = memory + gradients;
    job->offsets = (int64_t *)(void *)(job->buffers + parts * job->buffer_size + shared_size);
    if (shared) {
        job->strips_dy = job->buffers + parts * job->buffer_size;
        cc_parallel_for(context->pool, cc_parts(context->pool, groups * s->items, 1), groups * s->items, pack_strips, job);
    }
    if (small) {
        const int64_t pieces = groups * job->panels.count * pieces_of(job, s->channels);
        cc_parallel_each(context->pool, parts, job->chunks, run_chunks, job);
        if (job->special && spoilt(job)) {
            cc_arena_free(context->arena, memory);
            return again_apart(job);
        }
        cc_parallel_for(context->pool, cc_parts(context->pool, pieces, 4), pieces, add_pieces, job);
    } else {
        cc_parallel_for(context->pool, parts, groups * blocks_of(job), run_blocks, job);
    }
    cc_arena_free(context->arena, memory);
    return CC_OK;
}

cc_status cc_direct_backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                    void *dw)
{
    if (cc_direct_small(conv, CC_BACKWARD_WEIGHT))
        return cc_conv_multiplied_padding(context, conv, CC_BACKWARD_WEIGHT, dy, dy)
                   ? cc_conv_apart_backward_weight(&cc_conv_direct, context, conv, x, dy, dw)
                   : cc_direct_small_backward_weight(context, conv, x, dy, dw, NULL, 0);
    const cc_window *window = &conv->window;
    weight_job job = {.context = context, .conv = conv, .outputs = conv->oc / conv->groups, .dy = dy, .dw = dw};
    job.strips = (cc_strips){.kernels = context->kernels, .source = x, .n = conv->n,
                             .channels = conv->ic / conv->groups,
                             .strides = cc_strides_of(conv->x_layout, conv->ic, window->input)};
    for (int axis = 0; axis < CC_AXES; axis++) {
        job.strips.size[axis] = window->input[axis];
        job.strips.grid[axis] = window->output[axis];
        job.strips.step[axis] = cc_strips_step(window, axis);
    }
    CC_TRY(cc_strips_allocate(context, window, &job.strips));
    cc_strips_forward_taps(&job.strips, window);
    const cc_status status = run(&job);
    cc_arena_free(context->arena, job.strips.tap);
    return status;
}
