#include "walk.h"

void cc_pool_images(const cc_pooling *p, int64_t *images, int64_t *channels)
{
    const bool last = p->layout == CC_CHANNELS_LAST;
    *images = last ? p->n : p->n * p->c;
    *channels = last ? p->c : 1;
}

/* A window at output o, along one axis; false if it sees nothing. */
static bool span_of(const cc_pooling *p, int axis, int64_t o, cc_span *span)
{
    const cc_window *w = &p->window;
    const int64_t in = w->input[axis];
    if (p->adaptive) {
        const int64_t out = w->output[axis], begin = o * in / out;
        const int64_t end = (o + 1) * in / out + ((o + 1) * in % out != 0);
        *span = (cc_span){begin, end - begin, 0, end - begin};
        return true;
    }
    const int64_t kernel = w->kernel[axis], dilation = w->dilation[axis];
    const int64_t start = o * w->stride[axis] - w->pad_before[axis];
    const int64_t first = start < 0 ? cc_ceil_div(-start, dilation) : 0;
    if (start >= in || first >= kernel || start + first * dilation >= in)
        return false;
    const int64_t last = cc_min(kernel - 1, (in - 1 - start) / dilation);
    const int64_t last_padded = cc_min(kernel - 1, (in + w->pad_after[axis] - 1 - start) / dilation);
    span->begin = start + first * dilation;
    span->count = last - first + 1;
    span->tap = first;
    span->extent = p->count_include_pad ? last_padded + 1 : span->count;
    return true;
}

cc_status cc_pool_check_sizes(const cc_pooling *p)
{
    if (p->n < 0 || p->c < 0 || (p->dtype != CC_F32 && p->dtype != CC_F64) ||
        (p->layout != CC_CHANNELS_FIRST && p->layout != CC_CHANNELS_LAST))
        return CC_ERR_ARGUMENT;
    for (int axis = 0; axis < CC_AXES; axis++) {
        const int64_t in = p->window.input[axis], out = p->window.output[axis];
        int64_t product;
        if (in < 1 || out < 1)
            return CC_ERR_SHAPE;
        if (p->adaptive && (!cc_mul(in, out, &product) || !cc_add(product, in, &product)))
            return CC_ERR_OVERFLOW;
    }
    const cc_window *w = &p->window;
    int64_t size;
    CC_TRY(cc_product((int64_t[]){p->n, p->c, w->input[0], w->input[1], w->input[2]}, 5, &size));
    return cc_product((int64_t[]){p->n, p->c, w->output[0], w->output[1], w->output[2]}, 5, &size);
}

cc_status cc_pooling_resolve(cc_pooling *p)
{
    cc_pooling resolved = *p;
    if (!p->adaptive) {
        for (int axis = 0; axis < CC_AXES; axis++)
            if (p->window.input[axis] < 1)
                return CC_ERR_SHAPE;
        CC_TRY(cc_window_resolve(&resolved.window, p->ceil_mode));
    }
    CC_TRY(cc_pool_check_sizes(&resolved));
    *p = resolved;
    return CC_OK;
}

cc_status cc_pool_check(const cc_pooling *p)
{
    CC_TRY(cc_pool_check_sizes(p));
    cc_pooling again = *p;
    CC_TRY(cc_pooling_resolve(&again));
    for (int axis = 0; axis < CC_AXES; axis++)
        if (again.window.output[axis] != p->window.output[axis])
            return CC_ERR_SHAPE;
    return CC_OK;
}

/* Fill the spans; CC_ERR_SHAPE if a window sees nothing. */
static cc_status fill(cc_pool_walk *walk)
{
    const cc_pooling *p = walk->pooling;
    walk->most_taps = 1;
    walk->disjoint = true;
    for (int axis = 0; axis < CC_AXES; axis++) {
        int64_t most = 1, seen = 0, end = 0;
        for (int64_t o = 0; o < p->window.output[axis]; o++) {
            cc_span *span = &walk->span[axis][o];
            if (!span_of(p, axis, o, span))
                return CC_ERR_SHAPE;
            most = cc_max(most, span->count);
            seen += span->count;
            walk->disjoint = walk->disjoint && span->begin >= end;
            end = span->begin + (span->count - 1) * walk->step[axis] + 1;
        }
        walk->disjoint = walk->disjoint && seen == p->window.input[axis];
        walk->most_taps *= most;
    }
    return CC_OK;
}

/* Ids of taps are 32-bit: a window may not reach further through the plane. */
static bool ids_fit(const cc_pool_walk *walk)
{
    const int64_t *in = walk->pooling->window.input;
    int64_t reach = 0;
    for (int axis = 0; axis < CC_AXES; axis++) {
        int64_t most = 0;
        for (int64_t o = 0; o < walk->pooling->window.output[axis]; o++)
            most = cc_max(most, (walk->span[axis][o].count - 1) * walk->step[axis]);
        reach = reach * in[axis] + most;
    }
    return reach <= INT32_MAX;
}

cc_status cc_pool_walk_begin(const cc_context *context, const cc_pooling *p, cc_pool_ids ids, int parts,
                             cc_pool_walk *walk)
{
    const cc_window *w = &p->window;
    *walk = (cc_pool_walk){.pooling = p, .ids = ids};
    cc_pool_images(p, &walk->images, &walk->channels);
    walk->rows = w->output[0] * w->output[1];
    walk->input = cc_volume(w->input);
    walk->output = cc_volume(w->output);
    for (int axis = 0; axis < CC_AXES; axis++)
        walk->step[axis] = p->adaptive ? 1 : w->dilation[axis];

    const int64_t spans = w->output[0] + w->output[1] + w->output[2];
    int64_t span_bytes;
    if (!cc_mul(spans, (int64_t)sizeof(cc_span), &span_bytes))
        return CC_ERR_OVERFLOW;
    walk->memory = cc_arena_alloc(context->arena, (size_t)span_bytes);
    if (walk->memory == NULL)
        return CC_ERR_MEMORY;
    walk->span[0] = walk->memory;
    walk->span[1] = walk->span[0] + w->output[0];
    walk->span[2] = walk->span[1] + w->output[1];
    cc_status status = fill(walk);
    if (status == CC_OK && ids == CC_POOL_POSITIONS && !ids_fit(walk))
        status = CC_ERR_OVERFLOW;
    if (status == CC_OK) {
        walk->scratch_bytes = (walk->most_taps * (int64_t)(sizeof(int64_t) + sizeof(int32_t)) + CC_ALIGNMENT - 1) /
                              CC_ALIGNMENT * CC_ALIGNMENT;
        int64_t bytes;
        if (!cc_mul(walk->scratch_bytes, parts, &bytes))
            status = CC_ERR_OVERFLOW;
        else if ((walk->scratch = cc_arena_alloc(context->arena, (size_t)bytes)) == NULL)
            status = CC_ERR_MEMORY;
    }
    if (status != CC_OK)
        cc_pool_walk_end(context, walk);
    return status;
}

void cc_pool_walk_end(const cc_context *context, cc_pool_walk *walk)
{
    cc_arena_free(context->arena, walk->scratch);
    cc_arena_free(context->arena, walk->memory);
    walk->scratch = NULL;
    walk->memory = NULL;
}

cc_pool_taps cc_pool_no_taps(const cc_pool_walk *walk, int part)
{
    cc_pool_taps none = {.offset = (int64_t *)(void *)(walk->scratch + part * walk->scratch_bytes)};
    none.id = (int32_t *)(void *)(none.offset + walk->most_taps);
    return none;
}

static bool same_taps(const cc_span *a, const cc_span *b)
{
    return a->count == b->count && a->tap == b->tap;
}

static void list_taps(const cc_pool_walk *walk, const cc_span *spans[CC_AXES], cc_pool_taps *list)
{
    if (list->count > 0 && same_taps(spans[0], &list->made_for[0]) && same_taps(spans[1], &list->made_for[1]) &&
        same_taps(spans[2], &list->made_for[2]))
        return;
    const int64_t *in = walk->pooling->window.input, *kernel = walk->pooling->window.kernel;
    int64_t count = 0;
    for (int64_t d = 0; d < spans[0]->count; d++)
        for (int64_t h = 0; h < spans[1]->count; h++)
            for (int64_t w = 0; w < spans[2]->count; w++, count++) {
                const int64_t position =
                    (d * walk->step[0] * in[1] + h * walk->step[1]) * in[2] + w * walk->step[2];
                list->offset[count] = position * walk->channels;
                if (walk->ids == CC_POOL_PLACES)
                    list->id[count] = (int32_t)(((spans[0]->tap + d) * kernel[1] + spans[1]->tap + h) * kernel[2] +
                                                spans[2]->tap + w);
                else
                    list->id[count] = walk->ids == CC_POOL_POSITIONS ? (int32_t)position : 0;
            }
    list->count = count;
    for (int axis = 0; axis < CC_AXES; axis++)
        list->made_for[axis] = *spans[axis];
}

/* How many windows from `o` on see the same taps at even distances of `*step`. */
static int64_t run_length(const cc_span *span, int64_t o, int64_t end, int64_t *step)
{
    *step = o + 1 < end ? span[o + 1].begin - span[o].begin : 0;
    int64_t next = o + 1;
    while (next < end && same_taps(&span[o], &span[next]) && span[o].extent == span[next].extent &&
           span[next].begin - span[next - 1].begin == *step)
        next++;
    return next - o;
}

static double divisor_of(const cc_pooling *p, const cc_span *spans[CC_AXES])
{
    if (p->divisor != 0)
        return (double)p->divisor;
    return (double)spans[0]->extent * (double)spans[1]->extent * (double)spans[2]->extent;
}

void cc_pool_walk_rows(const cc_pool_walk *walk, cc_pool_taps *taps, int64_t image, int64_t begin, int64_t end,
                       int64_t c0, int64_t c1, cc_pool_visit visit, void *argument)
{
    const cc_pooling *p = walk->pooling;
    const int64_t *in = p->window.input, *out = p->window.output, channels = walk->channels;
    for (int64_t row = begin; row < end; row++) {
        const cc_span *spans[CC_AXES] = {&walk->span[0][row / out[1]], &walk->span[1][row % out[1]], NULL};
        for (int64_t o = 0, length; o < out[2]; o += length) {
            int64_t step;
            length = run_length(walk->span[2], o, out[2], &step);
            spans[2] = &walk->span[2][o];
            list_taps(walk, spans, taps);
            cc_pool_run run = {
                .windows = length, .channels = c1 - c0, .x_step = step * channels, .y_step = channels,
                .taps = taps->count, .offset = taps->offset, .id = taps->id, .window_step = step,
                .divisor = divisor_of(p, spans), .accumulate = !walk->disjoint,
            };
            run.first = (spans[0]->begin * in[1] + spans[1]->begin) * in[2] + spans[2]->begin;
            if (channels == 1 && step == 1) {
                run.windows = 1;
                run.channels = length;
                run.channel_step = 1;
            }
            visit(&run, (image * walk->input + run.first) * channels + c0,
                  (image * walk->output + row * out[2] + o) * channels + c0, argument);
        }
    }
}

int64_t cc_pool_planes(int64_t channels, int64_t begin, int64_t end, int64_t *image, int64_t *c0, int64_t *c1)
{
    const int64_t blocks = cc_ceil_div(channels, CC_POOL_CHANNEL_BLOCK);
    *image = begin / blocks;
    const int64_t first = begin % blocks, count = cc_min(blocks - first, end - begin);
    *c0 = first * CC_POOL_CHANNEL_BLOCK;
    *c1 = cc_min(channels, (first + count) * CC_POOL_CHANNEL_BLOCK);
    return begin + count;
}
