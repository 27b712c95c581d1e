/* conv/winograd_sides.c -- where the tiles of a Winograd convolution lie in its images. */
#include "winograd.h"

static cc_winograd_side whole_side(const int64_t size[CC_AXES], int64_t channels, int64_t top, int64_t left)
{
    const int64_t line = size[2] * channels;
    const cc_winograd_grid grid = {.height = size[1], .width = size[2], .pixel = channels, .line = line,
                                   .image = size[1] * line, .top = top, .left = left};
    return (cc_winograd_side){.phases = 1, .grid = {grid}};
}

/* The same pixels read from the last to the first. */
static void turn(cc_winograd_side *side)
{
    cc_winograd_grid *grid = &side->grid[0];
    side->first[0] = grid->image - grid->pixel;
    grid->pixel = -grid->pixel;
    grid->line = -grid->line;
}

/* How tiles cover the images: of a mosaic, `rows` x `columns`. */
typedef struct tiling {
    int64_t rows, columns, down, across, row_period, column_period;
} tiling;

static void cut(cc_winograd_side *side, const tiling *tiles)
{
    for (int p = 0; p < side->phases; p++) {
        cc_winograd_grid *grid = &side->grid[p];
        grid->rows = tiles->rows;
        grid->columns = tiles->columns;
        grid->down = tiles->down;
        grid->across = tiles->across;
        grid->row_period = tiles->row_period;
        grid->column_period = tiles->column_period;
    }
}

/* Along an axis, pixels `first`, `first` + 2, ... of x, or with `turned` `first`, `first` - 2, ...; `top` as in a grid. */
typedef struct phase_axis {
    int64_t count, first, top;
} phase_axis;

/* Output o meets taps 0 and 2 at pixels 2o - pad and 2o - pad + 2, the lone tap 1 at 2o - pad + 1, before which a pixel
 * of its phase is passed over. */
static phase_axis read_axis(int64_t size, int64_t pad, bool lone)
{
    const int64_t first = lone ? 1 - pad % 2 : pad % 2;
    return (phase_axis){cc_max(0, (size - first + 1) / 2), first, lone ? (pad - 1 + first) / 2 + 1 : (pad + first) / 2};
}

/* Pixel 2m - pad takes from dy at m, by tap 0, and m - 1, by tap 2; pixel 2m - pad + 1 from m, by tap 1. Turned, tap 0
 * comes first as in forward; where both phases end with the same m, the first begins a pixel late. */
static phase_axis write_axis(int64_t size, int64_t pad, bool lone)
{
    const int64_t last_lone = (size + pad) / 2 - 1, last = lone ? last_lone : (size - 1 + pad) / 2;
    const int64_t begin = lone ? pad / 2 : (pad + 1) / 2;
    return (phase_axis){cc_max(0, last - begin + 1), 2 * last - pad + lone, lone ? 0 : last_lone + 1 - last};
}

/* Where the dy that phases take from begins, for the first tile. */
static int64_t taken_from(int64_t size, int64_t pad, int64_t outputs) { return (size + pad) / 2 - 1 - outputs + 2; }

static cc_winograd_side phases_of(const int64_t size[CC_AXES], const int64_t pad[CC_AXES], int64_t channels, bool turned)
{
    const int64_t line = size[2] * channels, step = turned ? -2 : 2;
    phase_axis (*const axis)(int64_t, int64_t, bool) = turned ? write_axis : read_axis;
    cc_winograd_side side = {.phases = CC_WINOGRAD_PHASES};
    for (int p = 0; p < CC_WINOGRAD_PHASES; p++) {
        const phase_axis row = axis(size[1], pad[1], CC_WINOGRAD_LONE_ROW(p));
        const phase_axis column = axis(size[2], pad[2], CC_WINOGRAD_LONE_COLUMN(p));
        side.first[p] = row.first * line + column.first * channels;
        side.grid[p] = (cc_winograd_grid){.height = row.count, .width = column.count, .pixel = step * channels,
                                          .line = step * line, .image = size[1] * line, .top = row.top,
                                          .left = column.top};
    }
    return side;
}

static void strided_sides(const cc_conv *conv, const cc_winograd_kernels *form, bool back, cc_winograd_side *x,
                          cc_winograd_side *y)
{
    const cc_window *w = &conv->window;
    const int64_t *in = w->input, *out = w->output, *pad = w->pad_before;
    int64_t rows = cc_ceil_div(out[1], form->step), columns = cc_ceil_div(out[2], form->step);
    *x = phases_of(in, pad, conv->ic, back);
    *y = whole_side(out, conv->oc, 0, 0);
    if (back) {
        *y = whole_side(out, conv->oc, taken_from(in[1], pad[1], out[1]), taken_from(in[2], pad[2], out[2]));
        turn(y);
        rows = columns = 0;
        for (int p = 0; p < CC_WINOGRAD_PHASES; p++) {
            rows = cc_max(rows, cc_ceil_div(x->grid[p].height + x->grid[p].top, form->step));
            columns = cc_max(columns, cc_ceil_div(x->grid[p].width + x->grid[p].left, form->step));
        }
    }
    const tiling tiles = {.rows = rows, .columns = columns, .down = 1, .across = 1};
    cut(x, &tiles);
    cut(y, &tiles);
}

/* Mosaics have at most so many images along an axis: more save little more. */
#define LONGEST 8

/* Images of a size that tiles do not divide share those at their edges. `size` is that of the results, `read` of what is
 * convolved, which keeps apart by the wider padding; then no window of a result sees a neighbour. */
static tiling tiling_of(int64_t images, bool mosaic, int64_t step, const int64_t size[CC_AXES],
                        const int64_t read[CC_AXES], const int64_t gap[CC_AXES])
{
    tiling best = {cc_ceil_div(size[1], step), cc_ceil_div(size[2], step), 1, 1, read[1] + gap[1], read[2] + gap[2]};
    if (!mosaic || (size[1] % step == 0 && size[2] % step == 0))
        return best;
    /* A twelfth is worth that tiles within one image are fewer. */
    int64_t least = images * best.rows * best.columns * 11 / 12 + 1;
    for (int64_t across = 1; across <= LONGEST; across++)
        for (int64_t down = 1; down <= LONGEST; down++) {
            if (images % (down * across) != 0)
                continue;
            const int64_t rows = cc_ceil_div((down - 1) * best.row_period + size[1], step);
            const int64_t columns = cc_ceil_div((across - 1) * best.column_period + size[2], step);
            if (images / (down * across) * rows * columns < least) {
                least = images / (down * across) * rows * columns;
                best = (tiling){rows, columns, down, across, best.row_period, best.column_period};
            }
        }
    return best;
}

void cc_winograd_sides(const cc_conv *conv, const cc_winograd_kernels *form, cc_pass pass, cc_winograd_side *x,
                       cc_winograd_side *y)
{
    const cc_window *w = &conv->window;
    const bool back = pass == CC_BACKWARD_DATA;
    if (form->stride > 1) {
        strided_sides(conv, form, back, x, y);
        return;
    }
    if (form->image > 0) { /* each is a tile */
        const tiling tiles = {.rows = 1, .columns = 1, .down = 1, .across = 1};
        *x = whole_side(w->input, conv->ic, 0, 0);
        *y = whole_side(w->output, conv->oc, 0, 0);
        cut(x, &tiles);
        cut(y, &tiles);
        return;
    }
    const int64_t *pad = w->pad_before, *size = back ? w->input : w->output, last = form->taps - 1;
    int64_t gap[CC_AXES] = {0};
    for (int a = 1; a < CC_AXES; a++)
        gap[a] = back ? last - cc_min(pad[a], w->pad_after[a]) : cc_max(pad[a], w->pad_after[a]);
    *x = whole_side(w->input, conv->ic, back ? 0 : pad[1], back ? 0 : pad[2]);
    *y = whole_side(w->output, conv->oc, back ? last - pad[1] : 0, back ? last - pad[2] : 0);
    const bool mosaic = conv->mosaic || pass == CC_BACKWARD_WEIGHT;
    const tiling tiles = tiling_of(conv->n, mosaic, form->step, size, back ? w->output : w->input, gap);
    cut(x, &tiles);
    cut(y, &tiles);
}

int64_t cc_winograd_tiles(const cc_conv *conv, const cc_winograd_side *side)
{
    const cc_winograd_grid *grid = &side->grid[0];
    return conv->n / (grid->down * grid->across) * grid->rows * grid->columns;
}

int64_t cc_winograd_line(const cc_winograd_side *side)
{
    const int64_t line = side->grid[0].line;
    return line < 0 ? -line : line;
}

void cc_winograd_fetch(const cc_winograd_grid *grid, const float *image, int64_t channels, int64_t step, int64_t first,
                       int64_t tiles)
{
    const int64_t begin = first / grid->columns, end = cc_ceil_div(first + tiles, grid->columns);
    for (int64_t l = begin * step; l < end * step; l++) {
        const int64_t row = l / step, mosaic = row / grid->rows;
        int64_t which = 0, at = row % grid->rows * step + l % step;
        if (grid->down > 1) {
            which = at / grid->row_period;
            at %= grid->row_period;
        }
        if (at >= grid->height || which >= grid->down)
            continue;
        const float *line = image + (mosaic * grid->down + which) * grid->across * grid->image + at * grid->line;
        for (int64_t i = 0; i < grid->across; i++)
            for (int64_t p = 0; p < grid->width; p++)
                for (int64_t c = 0; c < channels; c += CC_WINOGRAD_SLICE)
                    __builtin_prefetch(line + i * grid->image + p * grid->pixel + c, 0, 2);
    }
}
