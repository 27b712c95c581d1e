/* Direct weight gradient: dw(tap, c, o) = SUM over positions  x(position*stride + tap, c) * dy(position, o).
 *
 * A tile of dw (channels x outputs) stays in registers over all positions of a strip; strips are added
 * in their order. Small gradients: images are cut into a number of chunks that depends on the shape
 * alone, each with a gradient of its own, added at the end in order. Large ones: one gradient, and the threads share its channels.
 */
#include <string.h>

#include "direct.h"

#define POSITIONS 192

/* A gradient is small when all its chunks together stay within the second-level cache. */
#define SMALL_FLOATS (1 << 16)
/* One beyond that cache is read and written for each strip from afar: strips are long, and hold a few channels. */
#define LARGE_FLOATS (1 << 19)
#define LARGE_POSITIONS 448
#define HELD 64
#define CHUNKS 8

typedef struct weight_job {
    const cc_context *context;
    const cc_conv *conv;
    cc_strips strips;
    cc_panels panels;
    int64_t outputs; /* of one group */
    const float *dy;
    float *dw;

    int64_t chunks;
    float *gradient;        /* chunks x groups x panels x taps x channels x width of the panel */
    int64_t gradient_size;  /* of one chunk */
    float *buffers;
    int64_t buffer_size, packed_size; /* per part: strip buffer and packed dy */
    int64_t *offsets;                 /* per part: of the strip's rows */
    int64_t offsets_size;
    bool packed;
} weight_job;

/* dy of a strip and panel, width floats a position, zero beyond the outputs. */
static void pack_dy(const weight_job *job, const float *dy, int64_t positions, const cc_panel *panel, float *to)
{
    const int64_t valid = cc_min(panel->width, job->outputs - panel->column);
    for (int64_t p = 0; p < positions; p++, to += panel->width, dy += job->conv->oc) {
        memcpy(to, dy, (size_t)valid * sizeof(float));
        memset(to + valid, 0, (size_t)(panel->width - valid) * sizeof(float));
    }
}

/* taps x channels x width of one panel. */
static float *panel_gradient(const weight_job *job, float *gradient, int64_t group, const cc_panel *panel)
{
    const int64_t width = job->panels.vectors * job->panels.lanes;
    return gradient + (group * width + panel->column) * job->strips.taps * job->strips.channels;
}

static int64_t position_of(const cc_strips *s, const cc_strip *strip)
{
    return ((strip->image * s->grid[0] + strip->plane) * s->grid[1] + strip->row) * s->grid[2];
}

/* What an item reads of x, some channels of each run, and of dy. */
static void look_ahead(const weight_job *job, int64_t item, int64_t first, int64_t last, cc_gemm_piece ahead[2])
{
    const cc_strips *s = &job->strips;
    const cc_strip strip = cc_strips_item(s, item);
    ahead[0] = cc_strips_source(s, &strip, first, last - first);
    const int64_t positions = strip.images * strip.rows * s->grid[2];
    ahead[1] = (cc_gemm_piece){job->dy + position_of(s, &strip) * job->conv->oc, positions, job->conv->oc, job->conv->oc};
}

/* Add one strip: channels [first, last) of every run, all outputs of one group; meanwhile fetch what is ahead. */
static void add_strip(const weight_job *job, const cc_strip *strip, int64_t group, int64_t first, int64_t last,
                      const cc_gemm_piece ahead[2], const float *x, float *packed, int64_t *offset, float *gradient)
{
    const cc_strips *s = &job->strips;
    const cc_gemm_kernels *gemm = &job->context->kernels->gemm;
    int64_t rows = 0;
    for (int64_t i = 0; i < strip->images; i++)
        for (int64_t r = 0; r < strip->rows; r++)
            offset[rows++] = i * s->image + r * s->step[1] * s->columns * s->pitch;
    const int64_t position = position_of(s, strip);
    const int64_t run_channels = s->run_taps * s->channels;

    for (int64_t p = 0; p < job->panels.count; p++) {
        const cc_panel panel = cc_panels_get(&job->panels, p);
        const float *b = job->dy + position * job->conv->oc + group * job->outputs + panel.column;
        int64_t ldb = job->conv->oc;
        if (job->packed) {
            pack_dy(job, b, rows * s->grid[2], &panel, packed);
            b = packed;
            ldb = panel.width;
        }
        const int64_t tallest = gemm->max_rows[panel.vectors], tiles = cc_ceil_div(last - first, tallest);
        const int64_t calls = job->panels.count * s->runs * tiles;
        for (int64_t run = 0; run < s->runs; run++) {
            int64_t c = first;
            for (int64_t t = 0; t < tiles; t++) {
                const cc_gemm_ahead soon =
                    cc_gemm_fetch(ahead, calls, (p * s->runs + run) * tiles + t, rows * s->grid[2]);
                const int64_t tall = (last - c + tiles - t - 1) / (tiles - t);
                float *to = panel_gradient(job, gradient, group, &panel) + (run * run_channels + c) * panel.width;
                gemm->tile_t[panel.vectors][tall](rows, offset, s->grid[2], x + s->run_offset[run] + c - first,
                                                  s->step[2] * s->pitch, b, ldb, to, panel.width, true,
                                                  soon.data != NULL ? &soon : NULL);
                c += tall;
            }
        }
    }
}

/* Small gradients: items are chunks of strips. */
static void run_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const weight_job *job = argument;
    const cc_strips *s = &job->strips;
    float *x = job->buffers + part * job->buffer_size, *packed = x + job->buffer_size - job->packed_size;
    int64_t *offset = job->offsets + part * job->offsets_size;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        float *gradient = job->gradient + chunk * job->gradient_size;
        memset(gradient, 0, (size_t)job->gradient_size * sizeof(float));
        const int64_t end_item = (chunk + 1) * s->items / job->chunks;
        for (int64_t item = chunk * s->items / job->chunks; item < end_item; item++) {
            const cc_strip strip = cc_strips_item(s, item);
            for (int64_t group = 0; group < job->conv->groups; group++) {
                cc_strips_fill(s, &strip, group * s->channels, s->channels, x);
                cc_gemm_piece ahead[2] = {0};
                if (job->conv->groups == 1 && item + 1 < end_item)
                    look_ahead(job, item + 1, 0, s->channels, ahead);
                add_strip(job, &strip, group, 0, s->run_taps * s->channels, ahead, x, packed, offset, gradient);
            }
        }
    }
}

/* Large gradients: items are channels of one group's input, all strips in order. */
static void run_channels(void *argument, int64_t begin, int64_t end, int part)
{
    const weight_job *job = argument;
    const cc_strips *s = &job->strips;
    float *x = job->buffers + part * job->buffer_size, *packed = x + job->buffer_size - job->packed_size;
    int64_t *offset = job->offsets + part * job->offsets_size;
    for (int64_t group = 0; group < job->conv->groups; group++) {
        for (int64_t p = 0; p < job->panels.count; p++) {
            const cc_panel panel = cc_panels_get(&job->panels, p);
            float *gradient = panel_gradient(job, job->gradient, group, &panel);
            for (int64_t tap = 0; tap < s->taps; tap++)
                memset(gradient + (tap * s->channels + begin) * panel.width, 0,
                       (size_t)((end - begin) * panel.width) * sizeof(float));
        }
        const int64_t blocks = cc_ceil_div(end - begin, s->held);
        for (int64_t block = 0, first = begin, last; block < blocks; block++, first = last) {
            last = first + cc_ceil_div(end - first, blocks - block);
            for (int64_t item = 0; item < s->items; item++) {
                const cc_strip strip = cc_strips_item(s, item);
                cc_strips_fill(s, &strip, group * s->channels + first, last - first, x);
                const bool more = item + 1 < s->items;
                const int64_t next = more ? first : last;
                cc_gemm_piece ahead[2] = {0};
                if (job->conv->groups == 1 && next < end)
                    look_ahead(job, more ? item + 1 : 0, next, cc_min(end, next + last - first), ahead);
                add_strip(job, &strip, group, first, last, ahead, x, packed, offset, job->gradient);
            }
        }
    }
}

/* Weights that are turned at once: of so many output channels, so many. */
#define TURNED_OUTPUTS 16
#define TURNED 256

/* sums (columns x TURNED_OUTPUTS) = the chunks in their order, of some outputs of a panel. */
static void add_chunks(const weight_job *job, const float *gradient, int64_t width, int64_t first, int64_t columns,
                       int64_t outputs, float *sums)
{
    const cc_strips *s = &job->strips;
    int64_t tap = first % s->taps, channel = first / s->taps;
    for (int64_t j = 0; j < columns; j++, sums += TURNED_OUTPUTS) {
        const float *from = gradient + (tap * s->channels + channel) * width;
        if (++tap == s->taps) {
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

/* Items are pieces of the weights' rows for each panel: dw += the gradient. */
static void add_gradient(void *argument, int64_t begin, int64_t end, int part)
{
    (void)part;
    const weight_job *job = argument;
    const cc_strips *s = &job->strips;
    const int64_t row = s->channels * s->taps, pieces = cc_ceil_div(row, TURNED);
    _Alignas(CC_ALIGNMENT) float sums[TURNED * TURNED_OUTPUTS], turned[TURNED_OUTPUTS * TURNED];
    for (int64_t item = begin; item < end; item++) {
        const int64_t group = item / pieces / job->panels.count, first = item % pieces * TURNED;
        const cc_panel panel = cc_panels_get(&job->panels, item / pieces % job->panels.count);
        const int64_t columns = cc_min(TURNED, row - first), valid = cc_min(panel.width, job->outputs - panel.column);
        const float *gradient = panel_gradient(job, job->gradient, group, &panel);
        for (int64_t o = 0; o < valid; o += TURNED_OUTPUTS) {
            const int64_t outputs = cc_min(TURNED_OUTPUTS, valid - o);
            add_chunks(job, gradient + o, panel.width, first, columns, outputs, sums);
            job->context->kernels->gemm.transpose(columns, outputs, sums, TURNED_OUTPUTS, turned, TURNED);
            float *to = job->dw + (group * job->outputs + panel.column + o) * row + first;
            for (int64_t i = 0; i < outputs; i++, to += row)
                for (int64_t j = 0; j < columns; j++)
                    to[j] += turned[i * TURNED + j];
        }
    }
}

static cc_status run(weight_job *job)
{
    cc_strips *s = &job->strips;
    const cc_context *context = job->context;
    const int64_t groups = job->conv->groups, lanes = context->kernels->lanes;
    job->panels = cc_panels_of(context, job->outputs, 0);
    job->packed = job->panels.count > 1 || job->outputs % lanes != 0;
    job->gradient_size = groups * s->taps * s->channels * job->panels.vectors * lanes;
    const bool small = job->gradient_size <= SMALL_FLOATS || s->channels < lanes;
    const bool large = !small && job->gradient_size > LARGE_FLOATS;
    s->held = large ? cc_min(HELD, s->channels) : s->channels;
    cc_strips_plan(s, large ? LARGE_POSITIONS : cc_direct_positions(s, POSITIONS), small && s->channels < lanes);
    job->chunks = small ? cc_min(CHUNKS, s->items) : 1;

    const int64_t items = small ? job->chunks : s->channels;
    const int parts = cc_parts(context->pool, items, small ? 1 : 8);
    const int64_t positions = s->images_per_item * s->rows_per_item * s->grid[2];
    job->offsets_size = cc_ceil_div(s->images_per_item * s->rows_per_item, 8) * 8;
    job->packed_size = job->packed ? positions * CC_TILE_MAX_VECTORS * lanes : 0;
    job->buffer_size = cc_ceil_div(s->images_per_item * s->image, 16) * 16 + job->packed_size;
    const int64_t gradients = cc_ceil_div(job->chunks * job->gradient_size, 16) * 16;
    float *memory = cc_arena_alloc(context->arena,
                                   (size_t)(gradients + parts * job->buffer_size) * sizeof(float) +
                                       (size_t)(parts * job->offsets_size) * sizeof(int64_t));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    job->gradient = memory;
    job->buffers = memory + gradients;
    job->offsets = (int64_t *)(void *)(job->buffers + parts * job->buffer_size);
    if (small)
        cc_parallel_each(context->pool, parts, items, run_chunks, job);
    else
        cc_parallel_for(context->pool, parts, items, run_channels, job);

    const int64_t pieces = groups * job->panels.count * cc_ceil_div(s->channels * s->taps, TURNED);
    cc_parallel_for(context->pool, cc_parts(context->pool, pieces, 4), pieces, add_gradient, job);
    cc_arena_free(context->arena, memory);
    return CC_OK;
}

cc_status cc_direct_backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                    void *dw)
{
    if (cc_direct_small(conv))
        return cc_direct_small_backward_weight(context, conv, x, dy, dw);
    const cc_window *window = &conv->window;
    weight_job job = {.context = context, .conv = conv, .outputs = conv->oc / conv->groups, .dy = dy, .dw = dw};
    job.strips = (cc_strips){.kernels = context->kernels, .source = x, .n = conv->n, .channels = conv->ic / conv->groups,
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
