#include "strips.h"

#include <string.h>

/* Shifts along one axis that reach the output phase `phase` (0 <= phase < stride) from dy, rising. */
static int64_t phase_shifts(const cc_window *w, int axis, int64_t phase, int64_t *shift, int64_t *kernel)
{
    int64_t count = 0;
    for (int64_t k = w->kernel[axis] - 1; k >= 0; k--) {
        const int64_t steps = phase + w->pad_before[axis] - k * w->dilation[axis];
        if (steps % w->stride[axis] == 0) {
            shift[count] = steps / w->stride[axis];
            kernel[count++] = k;
        }
    }
    return count;
}

void cc_strips_forward_taps(cc_strips *strips, const cc_window *w)
{
    cc_tap *tap = strips->tap;
    for (int64_t d = 0; d < w->kernel[0]; d++)
        for (int64_t h = 0; h < w->kernel[1]; h++)
            for (int64_t v = 0; v < w->kernel[2]; v++)
                *tap++ = (cc_tap){.shift = {d * w->dilation[0] - w->pad_before[0],
                                            h * w->dilation[1] - w->pad_before[1],
                                            v * w->dilation[2] - w->pad_before[2]},
                                  .weight = (d * w->kernel[1] + h) * w->kernel[2] + v};
    strips->taps = tap - strips->tap;
}

void cc_strips_phase_taps(cc_strips *strips, const cc_window *w, const int64_t phase[CC_AXES])
{
    int64_t shift[CC_AXES][CC_STRIPS_KERNEL], kernel[CC_AXES][CC_STRIPS_KERNEL], count[CC_AXES];
    for (int axis = 0; axis < CC_AXES; axis++)
        count[axis] = phase_shifts(w, axis, phase[axis], shift[axis], kernel[axis]);
    cc_tap *tap = strips->tap + strips->taps;
    for (int64_t d = 0; d < count[0]; d++)
        for (int64_t h = 0; h < count[1]; h++)
            for (int64_t v = 0; v < count[2]; v++)
                *tap++ = (cc_tap){.shift = {shift[0][d], shift[1][h], shift[2][v]},
                                  .weight = (kernel[0][d] * w->kernel[1] + kernel[1][h]) * w->kernel[2] +
                                            kernel[2][v]};
    strips->taps = tap - strips->tap;
}

/* Length of the runs of taps whose columns lie side by side; the kernel is a box, so all are equal. */
static int64_t run_length(const cc_tap *tap, int64_t taps)
{
    int64_t length = 1;
    while (length < taps && tap[length].shift[2] == tap[length - 1].shift[2] + 1 &&
           tap[length].shift[1] == tap[0].shift[1] && tap[length].shift[0] == tap[0].shift[0])
        length++;
    return taps % length == 0 ? length : 1;
}

int64_t cc_strips_runs(const cc_strips *s, const cc_tap *tap, int64_t taps, bool merge, int64_t *offset)
{
    const int64_t length = merge ? run_length(tap, taps) : 1;
    for (int64_t r = 0; r < taps / length; r++) {
        const int64_t *shift = tap[r * length].shift;
        offset[r] = (((shift[0] - s->first[0]) * s->rows + shift[1] - s->first[1]) * s->columns + shift[2] -
                     s->first[2]) * s->pitch;
    }
    return length;
}

/* Whether all taps are inside a channels-last source, whose padded copy it would be. */
static bool needs_no_copy(const cc_strips *s, const int64_t last[CC_AXES], bool merge)
{
    const int64_t *size = s->size;
    bool inside = s->taps > 0 && s->strides.c == 1 && (s->strides.s[2] == s->channels || s->taps == 1) &&
                  (merge || s->taps == 1) && s->strides.s[1] == size[2] * s->strides.s[2] &&
                  s->strides.s[0] == size[1] * s->strides.s[1];
    for (int axis = 0; axis < CC_AXES; axis++)
        inside = inside && s->first[axis] >= 0 && (s->grid[axis] - 1) * s->step[axis] + last[axis] < size[axis];
    return inside;
}

void cc_strips_plan(cc_strips *s, int64_t positions, bool merge)
{
    int64_t last[CC_AXES];
    for (int axis = 0; axis < CC_AXES; axis++) {
        s->first[axis] = last[axis] = s->taps > 0 ? s->tap[0].shift[axis] : 0;
        for (int64_t t = 1; t < s->taps; t++) {
            s->first[axis] = cc_min(s->first[axis], s->tap[t].shift[axis]);
            last[axis] = cc_max(last[axis], s->tap[t].shift[axis]);
        }
    }

    const int64_t image = s->grid[1] * s->grid[2];
    s->rows_per_item = cc_max(1, cc_min(s->grid[1], positions / cc_max(1, s->grid[2])));
    s->row_strips = cc_ceil_div(s->grid[1], s->rows_per_item);
    s->rows_per_item = cc_ceil_div(s->grid[1], s->row_strips);
    s->images_per_item = 1;
    if (s->row_strips == 1 && s->grid[0] == 1)
        s->images_per_item = cc_max(1, cc_min(cc_ceil_div(s->n, 2), positions / image));
    s->items = cc_ceil_div(s->n, s->images_per_item) * s->grid[0] * s->row_strips;

    s->planes = last[0] - s->first[0] + 1;
    s->rows = s->reach = (s->rows_per_item - 1) * s->step[1] + last[1] - s->first[1] + 1;
    s->columns = (s->grid[2] - 1) * s->step[2] + last[2] - s->first[2] + 1;
    s->pitch = merge ? s->channels : cc_ceil_div(s->held > 0 ? s->held : s->channels, 16) * 16 + 16;
    s->image = s->planes * s->rows * s->columns * s->pitch;
    s->in_place = needs_no_copy(s, last, merge);
    if (s->in_place) {
        memset(s->first, 0, sizeof s->first);
        s->planes = s->size[0];
        s->rows = s->size[1];
        s->columns = s->size[2];
        s->pitch = s->strides.s[2];
        s->image = s->strides.n;
    }

    s->run_taps = cc_strips_runs(s, s->tap, s->taps, merge, s->run_offset);
    s->runs = s->taps / s->run_taps;
}

cc_strip cc_strips_item(const cc_strips *s, int64_t item)
{
    const int64_t strip = item % s->row_strips, plane = item / s->row_strips % s->grid[0];
    const int64_t group = item / s->row_strips / s->grid[0];
    cc_strip result = {.image = group * s->images_per_item, .plane = plane, .row = strip * s->rows_per_item};
    result.images = cc_min(s->images_per_item, s->n - result.image);
    result.rows = cc_min(s->rows_per_item, s->grid[1] - result.row);
    return result;
}

/* Columns [from, to) of the buffer row lie inside the source. */
static void fill_row(const cc_strips *s, const float *row, int64_t from, int64_t to, int64_t count, float *buffer)
{
    memset(buffer, 0, (size_t)(from * s->pitch) * sizeof(float));
    memset(buffer + to * s->pitch, 0, (size_t)((s->columns - to) * s->pitch) * sizeof(float));
    const float *source = row + (s->first[2] + from) * s->strides.s[2];
    buffer += from * s->pitch;
    if ((s->strides.c == 1 || count == 1) && s->strides.s[2] == count && s->pitch == count) {
        memcpy(buffer, source, (size_t)((to - from) * count) * sizeof(float));
    } else if (s->strides.c == 1) {
        static const cc_gemm_epilogue nothing = {0};
        s->kernels->gemm.finish(to - from, count, source, s->strides.s[2], buffer, s->pitch, false, &nothing);
    } else if (s->strides.s[2] == 1) {
        s->kernels->gemm.transpose(count, to - from, source, s->strides.c, buffer, s->pitch, count);
    } else {
        for (int64_t c = 0; c < count; c++)
            for (int64_t x = 0; x < to - from; x++)
                buffer[x * s->pitch + c] = source[c * s->strides.c + x * s->strides.s[2]];
    }
}

static int64_t rows_of(const cc_strips *s, const cc_strip *strip)
{
    return strip->rows > 0 ? s->reach - (s->rows_per_item - strip->rows) * s->step[1] : 0;
}

static void fill(const cc_strips *s, const cc_strip *strip, int64_t channel, int64_t count, float *buffer)
{
    const int64_t rows = rows_of(s, strip);
    const int64_t from = cc_min(s->columns, cc_max(0, -s->first[2]));
    const int64_t to = cc_max(from, cc_min(s->columns, s->size[2] - s->first[2]));
    const size_t row_bytes = (size_t)(s->columns * s->pitch) * sizeof(float);
    for (int64_t i = 0; i < strip->images; i++)
        for (int64_t p = 0; p < s->planes; p++)
            for (int64_t r = 0; r < rows; r++) {
                const int64_t z = strip->plane * s->step[0] + s->first[0] + p;
                const int64_t y = strip->row * s->step[1] + s->first[1] + r;
                float *row = buffer + i * s->image + (p * s->rows + r) * s->columns * s->pitch;
                if (z < 0 || z >= s->size[0] || y < 0 || y >= s->size[1])
                    memset(row, 0, row_bytes);
                else
                    fill_row(s, s->source + (strip->image + i) * s->strides.n + channel * s->strides.c +
                                    z * s->strides.s[0] + y * s->strides.s[1],
                             from, to, count, row);
            }
}

const float *cc_strips_read(const cc_strips *s, const cc_strip *strip, int64_t channel, int64_t count, float *buffer)
{
    if (s->in_place)
        return s->source + strip->image * s->strides.n + strip->plane * s->step[0] * s->strides.s[0] +
               strip->row * s->step[1] * s->strides.s[1] + channel;
    if (s->taps > 0)
        fill(s, strip, channel, count, buffer);
    return buffer;
}

cc_gemm_piece cc_strips_source(const cc_strips *s, const cc_strip *strip, int64_t channel, int64_t count)
{
    const int64_t *size = s->size, pixel = s->strides.s[2];
    if (s->strides.c != 1 || s->strides.s[1] != size[2] * pixel || s->strides.n != size[1] * s->strides.s[1])
        return (cc_gemm_piece){0};
    const int64_t y = strip->row * s->step[1] + s->first[1];
    const int64_t begin = cc_max(0, cc_min(size[1], y)), end = cc_max(begin, cc_min(size[1], y + rows_of(s, strip)));
    return (cc_gemm_piece){
        .data = s->source + strip->image * s->strides.n + begin * s->strides.s[1] + channel,
        .rows = (strip->images > 1 ? strip->images * size[1] : end - begin) * size[2], .columns = count, .ld = pixel};
}
