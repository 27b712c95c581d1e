#include "walk.h"

/* Elements of the output in an item: it and its source stay in the second-level cache. */
#define ITEM_ELEMENTS (1 << 16)

/* Pixels asked for ahead of a window, at most. */
#define AHEAD 4

cc_status cc_walk_start(cc_walk *walk, cc_pass pass, int *parts)
{
    const cc_conv *conv = walk->conv;
    const cc_context *context = walk->context;
    CC_TRY(cc_spans_create(context, conv, pass, &walk->spans));
    const cc_axis *a = walk->spans.axis;
    const int64_t rows = a[1].line[0].grid, row = cc_ceil_div(a[2].out * a[1].lines * walk->outputs, 2);
    walk->strip_rows = cc_min(rows, 2 * cc_max(1, ITEM_ELEMENTS / 4 / row));
    walk->strips = cc_ceil_div(rows, walk->strip_rows);
    walk->items = conv->n * a[0].out * walk->strips;
    *parts = cc_parts(context->pool, walk->items, 1);
    const int64_t taps = *parts * 2 * cc_volume(conv->window.kernel);
    walk->taps = cc_arena_alloc(context->arena, (size_t)taps * sizeof(int64_t));
    if (walk->taps == NULL) {
        cc_arena_free(context->arena, walk->spans.memory);
        return CC_ERR_MEMORY;
    }
    return CC_OK;
}

void cc_walk_end(const cc_walk *walk)
{
    cc_arena_free(walk->context->arena, walk->taps);
    cc_arena_free(walk->context->arena, walk->spans.memory);
}

/* The taps of a block of windows that see the same: places in the source of the first window, and weights. */
static int64_t list_taps(const cc_walk *walk, int64_t image, const int64_t q[CC_AXES],
                         const cc_span *const span[CC_AXES], int64_t *offset, int64_t *weight)
{
    const cc_axis *a = walk->spans.axis;
    const int64_t *kernel = walk->conv->window.kernel;
    int64_t count = 0;
    for (int64_t d = span[0]->first; d < span[0]->last; d++)
        for (int64_t h = span[1]->first; h < span[1]->last; h++)
            for (int64_t v = span[2]->first; v < span[2]->last; v++) {
                const int64_t plane = image * a[0].size + q[0] * a[0].step + a[0].shift[d];
                const int64_t row = plane * a[1].size + q[1] * a[1].step + a[1].shift[h];
                const int64_t column = row * a[2].size + q[2] * a[2].step + a[2].shift[v];
                offset[count] = column * walk->source_channels;
                weight[count++] = ((a[0].kernel[d] * kernel[1] + a[1].kernel[h]) * kernel[2] + a[2].kernel[v]) * walk->tap_weights;
            }
    return count;
}

/* The pixels that a window two rows further down is the first to see: as many as lie between windows. */
static int64_t list_ahead(const cc_walk *walk, const cc_depthwise_run *run, int64_t *ahead)
{
    const cc_axis *a = walk->spans.axis;
    if (a[1].step > AHEAD || a[2].step > AHEAD || a[1].step * a[2].step > AHEAD || run->taps == 0)
        return 0;
    int64_t count = 0;
    for (int64_t h = 0; h < a[1].step; h++)
        for (int64_t v = 0; v < a[2].step; v++)
            ahead[count++] = run->offset[run->taps - 1] + 2 * run->x_row -
                             (h * a[2].size + v) * walk->source_channels;
    return count;
}

/* A column of windows as a row: kernels have more of them at work at once. */
static cc_depthwise_run turn(cc_depthwise_run run)
{
    if (run.windows >= 4 || run.rows <= run.windows)
        return run;
    cc_depthwise_run r = run;
    r.rows = run.windows;
    r.windows = run.rows;
    r.x_row = run.x_step;
    r.x_step = run.x_row;
    r.y_row = run.y_step;
    r.y_step = run.y_row;
    return r;
}

/* Rows [q[1], q[1] + rows), which see the same taps, of one phase. */
static void walk_rows(const cc_walk *walk, int64_t image, int64_t q[CC_AXES], const int64_t phase[CC_AXES],
                      const cc_span *span[CC_AXES], int64_t rows, int part, cc_walk_task task, const void *job)
{
    const cc_axis *a = walk->spans.axis;
    const int64_t every = cc_volume(walk->conv->window.kernel);
    int64_t *offset = walk->taps + part * 2 * every, *weight = offset + every;
    cc_depthwise_run run = {.rows = rows, .channels = walk->outputs, .multiplier = walk->multiplier,
                            .x_row = a[1].step * a[2].size * walk->source_channels,
                            .x_step = a[2].step * walk->source_channels,
                            .y_row = a[1].out_step * a[2].out * walk->target_channels,
                            .y_step = a[2].out_step * walk->target_channels, .offset = offset, .weight = weight};
    int64_t ahead[AHEAD];
    run.ahead_offset = ahead;
    const int64_t plane = image * a[0].out + phase[0] + q[0] * a[0].out_step;
    const int64_t row = plane * a[1].out + phase[1] + q[1] * a[1].out_step;
    const cc_line *line = &a[2].line[phase[2]];
    for (int64_t s = 0; s < line->spans; s++) {
        span[2] = &line->span[s];
        q[2] = span[2]->start;
        run.windows = span[2]->count;
        run.taps = list_taps(walk, image, q, span, offset, weight);
        run.ahead = list_ahead(walk, &run, ahead);
        run.y_first = (row * a[2].out + phase[2] + q[2] * a[2].out_step) * walk->target_channels;
        const cc_depthwise_run turned = turn(run);
        task(job, &turned, part);
    }
}

void cc_walk_item(const cc_walk *walk, int64_t item, int part, cc_walk_task task, const void *job)
{
    const cc_axis *a = walk->spans.axis;
    const int64_t strip = item % walk->strips, z = item / walk->strips % a[0].out;
    const int64_t image = item / walk->strips / a[0].out, top = strip * walk->strip_rows;
    int64_t phase[CC_AXES] = {z % a[0].out_step}, q[CC_AXES] = {z / a[0].out_step};
    const cc_span *span[CC_AXES] = {a[0].line[phase[0]].span};
    while (q[0] >= span[0]->start + span[0]->count)
        span[0]++;
    for (phase[1] = 0; phase[1] < a[1].lines; phase[1]++) {
        const cc_line *line = &a[1].line[phase[1]];
        for (int64_t s = 0; s < line->spans; s++) {
            span[1] = &line->span[s];
            q[1] = cc_max(top, span[1]->start);
            const int64_t rows = cc_min(top + walk->strip_rows, span[1]->start + span[1]->count) - q[1];
            if (rows > 0)
                for (phase[2] = 0; phase[2] < a[2].lines; phase[2]++)
                    walk_rows(job, image, q, phase, span, rows, part, task, job);
        }
    }
}
