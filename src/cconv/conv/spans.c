#include "spans.h"

/* The smallest q with q*step >= bound, within 0 <= q <= grid. */
static int64_t first_at(int64_t bound, int64_t step, int64_t grid)
{
    return bound <= 0 ? 0 : cc_min((bound - 1) / step + 1, grid);
}

/* Cut 0 <= q < line->grid at every position where a tap enters or leaves the source. Shifts rise with t. */
static int64_t cut(const cc_axis *a, int64_t grid, int64_t first, int64_t last, cc_span *span)
{
    int64_t count = 0;
    for (int64_t q = 0; q < grid;) {
        int64_t from = last, to = last, end = grid;
        for (int64_t t = last - 1; t >= first; t--) {
            const int64_t enters = first_at(-a->shift[t], a->step, grid);
            const int64_t leaves = first_at(a->size - a->shift[t], a->step, grid);
            if (enters <= q)
                from = t;
            else
                end = cc_min(end, enters);
            if (leaves <= q)
                to = t;
            else
                end = cc_min(end, leaves);
        }
        if (from >= to)
            from = to = first;
        span[count++] = (cc_span){.start = q, .count = end - q, .first = from, .last = to};
        q = end;
    }
    return count;
}

/* Taps that reach the phase, by rising shift. */
static int64_t phase_taps(const cc_window *w, int axis, int64_t phase, int64_t *shift, int64_t *kernel)
{
    int64_t count = 0;
    for (int64_t k = w->kernel[axis] - 1; k >= 0; k--) {
        const int64_t way = phase + w->pad_before[axis] - k * w->dilation[axis];
        if (way % w->stride[axis] == 0) {
            shift[count] = way / w->stride[axis];
            kernel[count++] = k;
        }
    }
    return count;
}

static int64_t lines_of(const cc_window *w, int axis, cc_pass pass)
{
    return pass == CC_BACKWARD_DATA ? cc_min(w->stride[axis], w->input[axis]) : 1;
}

cc_status cc_spans_create(const cc_context *context, const cc_conv *conv, cc_pass pass, cc_spans *spans)
{
    const cc_window *w = &conv->window;
    int64_t bytes = 0;
    for (int axis = 0; axis < CC_AXES; axis++) {
        const int64_t lines = lines_of(w, axis, pass);
        bytes += lines * (int64_t)sizeof(cc_line) + 2 * w->kernel[axis] * (int64_t)sizeof(int64_t) +
                 (2 * w->kernel[axis] + lines) * (int64_t)sizeof(cc_span);
    }
    char *memory = spans->memory = cc_arena_alloc(context->arena, (size_t)bytes);
    if (memory == NULL)
        return CC_ERR_MEMORY;
    for (int axis = 0; axis < CC_AXES; axis++) {
        const bool back = pass == CC_BACKWARD_DATA;
        const int64_t lines = lines_of(w, axis, pass), taps = w->kernel[axis];
        cc_line *line = (cc_line *)(void *)memory;
        cc_span *span = (cc_span *)(void *)(line + lines);
        int64_t *shift = (int64_t *)(void *)(span + 2 * taps + lines), *kernel = shift + taps;
        memory = (char *)(kernel + taps);
        cc_axis *a = &spans->axis[axis];
        *a = (cc_axis){.size = back ? w->output[axis] : w->input[axis], .out = back ? w->input[axis] : w->output[axis],
                       .step = back ? 1 : w->stride[axis], .out_step = back ? w->stride[axis] : 1, .lines = lines,
                       .line = line, .shift = shift, .kernel = kernel};
        int64_t first = 0;
        for (int64_t phase = 0; phase < lines; phase++) {
            int64_t count = taps;
            if (back) {
                count = phase_taps(w, axis, phase, shift + first, kernel + first);
            } else {
                for (int64_t k = 0; k < taps; k++) {
                    shift[k] = k * w->dilation[axis] - w->pad_before[axis];
                    kernel[k] = k;
                }
            }
            const int64_t grid = cc_ceil_div(a->out - phase, a->out_step);
            line[phase] = (cc_line){.grid = grid, .span = span, .spans = cut(a, grid, first, first + count, span)};
            span += line[phase].spans;
            first += count;
        }
    }
    return CC_OK;
}
