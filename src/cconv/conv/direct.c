/* Direct convolution: an implicit matrix product over the taps, nothing materialised but a padded strip.
 *
 * backward_data of stride s is s*s*s convolutions of stride 1, one for each phase of the input grid,
 * so that no product with a stuffed zero is made; all read the same strip.
 */
#include "direct_run.h"

#include <string.h>

#include "strips.h"

/* Grid positions an item should have, so that a panel of weights from L2 or L3 is used often. */
#define POSITIONS 128
/* Floats of outputs an item may have where positions are many: what is fetched while the one before is summed must still
 * be in the second-level cache then. */
#define AHEAD_FLOATS (1 << 16)

/* A padded image beyond this is left to algorithms that do not copy it. */
#define MAX_FLOATS ((int64_t)1 << 31)

cc_panels cc_panels_of(const cc_context *context, int64_t columns, int64_t rows)
{
    const cc_gemm_kernels *gemm = &context->kernels->gemm;
    const int64_t lanes = context->kernels->lanes;
    int64_t widest = gemm->max_vectors;
    while (widest > 2 && rows > gemm->max_rows[widest])
        widest--;
    cc_panels p = {.lanes = lanes, .vectors = cc_ceil_div(columns, lanes)};
    p.count = cc_ceil_div(p.vectors, widest);
    return p;
}

/* Floats of a strip of few channels: several times what its neighbours need of it, too. */
#define FEW_FLOATS (1 << 14)
/* Strips there should be for the threads. */
#define MANY 8

int64_t cc_direct_positions(const cc_strips *s, int64_t positions)
{
    const int64_t most = s->n * cc_volume(s->grid) / MANY;
    return cc_max(positions, cc_min(most, FEW_FLOATS / (s->channels * s->step[1] * s->step[2])));
}

/* First vector of a panel; panels differ by at most one vector. */
static int64_t panel_start(const cc_panels *p, int64_t panel)
{
    const int64_t base = p->vectors / p->count, extra = p->vectors % p->count;
    return panel * base + cc_min(panel, extra);
}

cc_panel cc_panels_get(const cc_panels *p, int64_t panel)
{
    const int64_t start = panel_start(p, panel), vectors = panel_start(p, panel + 1) - start;
    return (cc_panel){.column = start * p->lanes, .width = vectors * p->lanes, .vectors = vectors};
}

/* Columns turned at once; their rows of a panel fit into the first-level cache. */
#define PIECE 128

/* [tap][channel][width] of one panel whose summed channels lie side by side, by turning pieces of rows, that then are
 * put where they belong. */
static void pack_rows(const cc_direct_job *job, const cc_panel *panel, int64_t valid, const float *from, float *to)
{
    const cc_strips *s = &job->strips;
    const int64_t count = s->taps * s->channels, width = panel->width;
    _Alignas(CC_ALIGNMENT) float piece[PIECE * CC_TILE_MAX_VECTORS * 16];
    int64_t tap = 0, channel = 0;
    for (int64_t i = 0; i < count; i += PIECE) {
        const int64_t columns = cc_min(PIECE, count - i);
        job->context->kernels->gemm.transpose(valid, columns, from + i, job->out_stride, piece, width, width);
        for (int64_t j = 0; j < columns; j++) {
            memcpy(to + (tap * s->channels + channel) * width, piece + j * width, (size_t)width * sizeof(float));
            if (++tap == s->taps) {
                tap = 0;
                channel++;
            }
        }
    }
}

/* The same where the taps of the panel's columns lie side by side. */
static void pack_taps(const cc_direct_job *job, const cc_panel *panel, int64_t valid, const float *from, float *to)
{
    const cc_strips *s = &job->strips;
    const int64_t width = panel->width, taps = job->out_stride;
    _Alignas(CC_ALIGNMENT) float piece[PIECE * CC_TILE_MAX_VECTORS * 16];
    for (int64_t channel = 0; channel < s->channels; channel++)
        for (int64_t i = 0; i < taps; i += PIECE) {
            const int64_t columns = cc_min(PIECE, taps - i);
            const float *columns_from = from + channel * job->sum_stride + i;
            const int64_t later = cc_min(CC_DIRECT_AHEAD, s->channels - 1 - channel);
            if (taps <= PIECE)
                cc_direct_fetch(columns_from + later * job->sum_stride, valid * taps);
            job->context->kernels->gemm.transpose(valid, columns, columns_from, taps, piece, width, width);
            for (int64_t j = 0; j < columns; j++)
                if (job->place[i + j] >= 0)
                    memcpy(to + (job->place[i + j] * s->channels + channel) * width, piece + j * width,
                           (size_t)width * sizeof(float));
        }
}

/* Pack the weights of items (group, panel). */
static void pack_panels(void *argument, int64_t begin, int64_t end, int part)
{
    (void)part;
    const cc_direct_job *job = argument;
    for (int64_t item = begin; item < end; item++) {
        const int64_t group = item / job->panels.count;
        const cc_panel panel = cc_panels_get(&job->panels, item % job->panels.count);
        const int64_t valid = cc_min(panel.width, job->outputs - panel.column);
        const float *from = job->unpacked + panel.column * job->out_stride + group * job->group_stride;
        float *to = job->weights + cc_direct_panel(job, group, &panel);
        (job->turned ? pack_taps : pack_rows)(job, &panel, valid, from, to);
    }
}

/* How the work is cut; returns the floats of buffers that it needs. */
static int64_t plan(cc_direct_job *job)
{
    cc_strips *s = &job->strips;
    const int64_t most = cc_max(POSITIONS, AHEAD_FLOATS / job->outputs);
    cc_strips_plan(s, cc_min(cc_direct_positions(s, POSITIONS), most), true);
    for (int64_t i = 0; i < job->phases; i++) {
        cc_direct_phase *p = &job->phase[i];
        p->run_taps = cc_strips_runs(s, s->tap + p->tap, p->taps, true, s->run_offset + p->tap);
    }
    const int64_t spare = CC_TILE_MAX_ROWS * CC_TILE_MAX_VECTORS * job->panels.lanes;
    job->buffer_size = cc_ceil_div(cc_strips_floats(s) + spare, 16) * 16;
    job->parts = cc_parts(job->context->pool, job->groups * s->items, 1);
    return job->parts * job->buffer_size;
}

/* Packed weights, and so many floats of buffers behind them; the caller frees the weights. */
static cc_status pack(cc_direct_job *job, int64_t floats)
{
    const cc_context *context = job->context;
    job->group_weights = job->panels.vectors * job->panels.lanes * job->packed * job->strips.channels;
    const int64_t weights = cc_ceil_div(job->groups * job->group_weights, 16) * 16;
    job->weights = cc_arena_alloc(context->arena, (size_t)(weights + floats) * sizeof(float));
    if (job->weights == NULL)
        return CC_ERR_MEMORY;
    job->buffers = job->weights + weights;
    const int64_t packs = job->groups * job->panels.count;
    cc_parallel_for(context->pool, cc_parts(context->pool, packs, 1), packs, pack_panels, job);
    return CC_OK;
}

/* Taps, run offsets and one more number for each tap of the kernel, in one block. */
cc_status cc_strips_allocate(const cc_context *context, const cc_window *w, cc_strips *strips)
{
    const int64_t taps = cc_volume(w->kernel);
    strips->tap = cc_arena_alloc(context->arena, (size_t)taps * (sizeof(cc_tap) + 2 * sizeof(int64_t)));
    if (strips->tap == NULL)
        return CC_ERR_MEMORY;
    strips->run_offset = (int64_t *)(void *)(strips->tap + taps);
    return CC_OK;
}

bool cc_direct_supports(const cc_conv *conv)
{
    const cc_window *w = &conv->window;
    int64_t padded[CC_AXES + 1] = {cc_max(conv->ic, conv->oc) + 32}, floats;
    for (int axis = 0; axis < CC_AXES; axis++) {
        if (w->kernel[axis] > CC_STRIPS_KERNEL)
            return false;
        padded[axis + 1] = w->input[axis] + w->pad_before[axis] + w->pad_after[axis] + w->kernel[axis];
    }
    if (cc_product(padded, CC_AXES + 1, &floats) != CC_OK || floats > MAX_FLOATS)
        return false;
    return conv->dtype == CC_F32 && conv->y_layout == CC_CHANNELS_LAST;
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)context;
    return cc_direct_supports(conv) && (pass != CC_BACKWARD_DATA || conv->x_layout == CC_CHANNELS_LAST);
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                         const void *b, const cc_epilogue *epilogue, void *y)
{
    const cc_window *window = &conv->window;
    if (cc_direct_small(conv, CC_FORWARD))
        return cc_direct_small_forward(context, conv, x, w, b, epilogue, y);
    const int64_t icg = conv->ic / conv->groups, taps = cc_volume(window->kernel);
    cc_direct_job job = {.context = context, .groups = conv->groups, .outputs = conv->oc / conv->groups,
                      .unpacked = w, .out_stride = icg * taps, .sum_stride = taps,
                      .group_stride = conv->oc / conv->groups * icg * taps, .output = y,
                      .output_channels = conv->oc, .bias = b};
    job.strips = (cc_strips){.kernels = context->kernels, .source = x, .n = conv->n, .channels = icg,
                             .strides = cc_strides_of(conv->x_layout, conv->ic, window->input)};
    if (epilogue != NULL)
        job.epilogue = *epilogue;
    for (int axis = 0; axis < CC_AXES; axis++) {
        job.strips.size[axis] = window->input[axis];
        job.strips.grid[axis] = job.output_size[axis] = window->output[axis];
        job.strips.step[axis] = cc_strips_step(window, axis);
        job.output_step[axis] = 1;
    }
    CC_TRY(cc_strips_allocate(context, window, &job.strips));
    cc_strips_forward_taps(&job.strips, window);
    job.packed = taps;
    job.phases = 1;
    job.phase[0].taps = taps;
    memcpy(job.phase[0].grid, window->output, sizeof job.phase[0].grid);
    job.panels = cc_panels_of(context, job.outputs, window->output[2]);
    const cc_status status = pack(&job, plan(&job));
    if (status == CC_OK)
        cc_direct_run(&job);
    cc_arena_free(context->arena, job.weights);
    cc_arena_free(context->arena, job.strips.tap);
    return status;
}

/* The phases from `first` on, as many as go together; returns the one after them. */
static int64_t set_phases(cc_direct_job *job, const cc_window *window, int64_t first)
{
    cc_strips *s = &job->strips;
    const int64_t end = cc_min(first + CC_DIRECT_PHASES, cc_volume(job->output_step));
    s->taps = 0;
    memset(s->grid, 0, sizeof s->grid);
    job->phases = end - first;
    for (int64_t i = first; i < end; i++) {
        cc_direct_phase *p = &job->phase[i - first];
        int64_t rest = i;
        for (int axis = CC_AXES - 1; axis >= 0; axis--) {
            p->start[axis] = rest % job->output_step[axis];
            rest /= job->output_step[axis];
            p->grid[axis] = cc_ceil_div(window->input[axis] - p->start[axis], window->stride[axis]);
            s->grid[axis] = cc_max(s->grid[axis], p->grid[axis]);
        }
        p->tap = s->taps;
        cc_strips_phase_taps(s, window, p->start);
        p->taps = s->taps - p->tap;
    }
    return end;
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    const cc_window *window = &conv->window;
    if (cc_direct_small(conv, CC_BACKWARD_DATA))
        return cc_direct_small_backward_data(context, conv, dy, w, residual, dx);
    const int64_t icg = conv->ic / conv->groups, taps = cc_volume(window->kernel);
    cc_direct_job job = {.context = context, .groups = conv->groups, .outputs = icg, .unpacked = w, .turned = true,
                      .out_stride = taps, .sum_stride = icg * taps,
                      .group_stride = conv->oc / conv->groups * icg * taps, .output = dx,
                      .output_channels = conv->ic, .epilogue.residual = residual};
    job.strips = (cc_strips){.kernels = context->kernels, .source = dy, .n = conv->n,
                             .channels = conv->oc / conv->groups,
                             .strides = cc_strides_of(conv->y_layout, conv->oc, window->output)};
    for (int axis = 0; axis < CC_AXES; axis++) {
        job.strips.size[axis] = window->output[axis];
        job.strips.step[axis] = 1;
        job.output_size[axis] = window->input[axis];
        job.output_step[axis] = cc_min(window->stride[axis], window->input[axis]);
    }
    CC_TRY(cc_strips_allocate(context, window, &job.strips));
    cc_strips *s = &job.strips;
    job.place = s->run_offset + taps;
    job.panels = cc_panels_of(context, job.outputs, cc_ceil_div(window->input[2], window->stride[2]));
    for (int64_t t = 0; t < taps; t++)
        job.place[t] = -1;
    const int64_t phases = cc_volume(job.output_step);
    int64_t most = 0; /* before the first phase is written */
    for (int64_t i = 0; i < phases;) {
        i = set_phases(&job, window, i);
        for (int64_t t = 0; t < s->taps; t++)
            job.place[s->tap[t].weight] = job.packed++;
        most = cc_max(most, plan(&job));
    }
    const cc_status status = pack(&job, most);
    for (int64_t i = 0; i < phases && status == CC_OK;) {
        i = set_phases(&job, window, i);
        plan(&job);
        cc_direct_run(&job);
        job.tap_first += s->taps;
    }
    cc_arena_free(context->arena, job.weights);
    cc_arena_free(context->arena, s->tap);
    return status;
}

static cc_status give_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                             const cc_sink *sink, int64_t begin)
{
    if (!cc_direct_small(conv, CC_BACKWARD_WEIGHT) ||
        cc_conv_multiplied_padding(context, conv, CC_BACKWARD_WEIGHT, dy, dy))
        return CC_ERR_UNSUPPORTED;
    return cc_direct_small_backward_weight(context, conv, x, dy, NULL, sink, begin);
}

const cc_conv_algo cc_conv_direct = {
    .name = "direct",
    .fuses = true,
    .skips_padding = {[CC_BACKWARD_WEIGHT] = true}, /* sees to it */
    .supports = supports,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = cc_direct_backward_weight,
    .give_weight = give_weight,
};
