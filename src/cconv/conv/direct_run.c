#include "direct_run.h"

#include <string.h>

/* What the next strip reads and writes, fetched piece by piece meanwhile. */
typedef struct next_strip {
    cc_gemm_piece piece[2];
    int64_t which, at, each, step;
} next_strip;

/* The next piece. */
static cc_gemm_ahead fetch(next_strip *next)
{
    for (; next->which < 2; next->which++, next->at = 0) {
        const cc_gemm_piece *x = &next->piece[next->which];
        if (next->at < x->rows * x->ld) {
            const float *data = x->data + next->at;
            next->at += next->each;
            return (cc_gemm_ahead){data, next->step};
        }
    }
    return (cc_gemm_ahead){NULL, 0};
}

/* Rows of a tile whose bias, residual and ReLU are still to come. */
typedef struct unfinished {
    float *y;
    int64_t rows, columns, ld, channel;
    const float *residual;
} unfinished;

static void finish(const cc_direct_job *job, unfinished *u)
{
    const cc_epilogue *e = &job->epilogue;
    const float *scale = e->scale, *bias = job->bias;
    if (u->rows > 0 && (bias != NULL || u->residual != NULL || scale != NULL || e->relu))
        job->context->kernels->gemm.finish(u->rows, u->columns, u->y, u->ld, u->y, u->ld, false,
                                           &(cc_gemm_epilogue){.scale = scale ? scale + u->channel : NULL,
                                                               .bias = bias ? bias + u->channel : NULL,
                                                               .residual = u->residual, .ld_residual = u->ld,
                                                               .relu = e->relu});
    u->rows = 0;
}

/* The tiles of one row of a phase for one panel. */
typedef struct row_tiles {
    const cc_direct_phase *phase;
    cc_panel panel;
    const float *b;
    int64_t channel, columns;         /* first one of the output, and how many */
    int64_t tiles, rows, taller;      /* the first `taller` have a row more */
    int64_t runs, depth, step, pixel; /* of the sum; floats between rows of a tile, and pixels of the output */
} row_tiles;

static row_tiles tiles_of(const cc_direct_job *job, const cc_direct_phase *ph, int64_t group, int64_t p)
{
    const cc_strips *s = &job->strips;
    row_tiles t = {.phase = ph, .panel = cc_panels_get(&job->panels, p)};
    t.b = job->weights + cc_direct_panel(job, group, &t.panel) + (job->tap_first + ph->tap) * s->channels * t.panel.width;
    t.channel = group * job->outputs + t.panel.column;
    t.columns = cc_min(t.panel.width, job->outputs - t.panel.column);
    t.tiles = cc_ceil_div(ph->grid[2], job->context->kernels->gemm.max_rows[t.panel.vectors]);
    t.rows = ph->grid[2] / cc_max(1, t.tiles);
    t.taller = ph->grid[2] - t.rows * t.tiles;
    t.runs = ph->taps / ph->run_taps;
    t.depth = ph->run_taps * s->channels;
    t.step = s->step[2] * s->pitch;
    t.pixel = job->output_step[2] * job->output_channels;
    return t;
}

/* `a` is the row's place in the strip buffer, `y` its first output. A tile's last sums are not there yet when it returns;
 * those of the tile before are. */
static void run_row(const cc_direct_job *job, const row_tiles *row, const float *a, float *y, const float *residual,
                    next_strip *next, float *spare, unfinished *before)
{
    const cc_gemm_kernels *gemm = &job->context->kernels->gemm;
    const int64_t *offset = job->strips.run_offset + row->phase->tap, width = row->panel.width;
    const bool ragged = row->columns < width;
    for (int64_t t = 0; t < row->tiles; t++) {
        const int64_t rows = row->rows + (t < row->taller);
        const cc_gemm_ahead ahead = row->runs > 0 ? fetch(next) : (cc_gemm_ahead){NULL, 0};
        gemm->tile[row->panel.vectors][rows](row->runs, offset, row->depth, a, row->step, 1, row->b, width,
                                             ragged ? spare : y, ragged ? width : row->pixel, false,
                                             ahead.data != NULL ? &ahead : NULL);
        if (ragged)
            for (int64_t r = 0; r < rows; r++)
                for (int64_t c = 0; c < row->columns; c++)
                    y[r * row->pixel + c] = spare[r * width + c];
        finish(job, before);
        *before = (unfinished){y, rows, row->columns, row->pixel, row->channel, residual};
        a += rows * row->step;
        y += rows * row->pixel;
        residual = residual != NULL ? residual + rows * row->pixel : NULL;
    }
}

static void run_phase(const cc_direct_job *job, const cc_direct_phase *ph, const cc_strip *strip, int64_t group,
                      const float *buffer, next_strip *next, float *spare)
{
    const cc_strips *s = &job->strips;
    const int64_t rows = cc_min(strip->rows, ph->grid[1] - strip->row);
    unfinished before = {0};
    next->step = cc_ceil_div(next->each, cc_max(1, ph->taps * s->channels));
    for (int64_t p = 0; p < job->panels.count; p++) {
        const row_tiles tiles = tiles_of(job, ph, group, p);
        for (int64_t i = 0; i < strip->images; i++)
            for (int64_t r = 0; r < rows; r++) {
                const int64_t z = ph->start[0] + strip->plane * job->output_step[0];
                const int64_t y = ph->start[1] + (strip->row + r) * job->output_step[1];
                const int64_t row = ((strip->image + i) * job->output_size[0] + z) * job->output_size[1] + y;
                const int64_t at = (row * job->output_size[2] + ph->start[2]) * job->output_channels + tiles.channel;
                const float *residual = job->epilogue.residual;
                run_row(job, &tiles, buffer + i * s->image + r * s->step[1] * s->columns * s->pitch, job->output + at,
                        residual ? residual + at : NULL, next, spare, &before);
            }
    }
    finish(job, &before);
}

/* What a strip reads and writes, where that is one piece, in as many pieces as there are tiles in a strip. */
static next_strip look_ahead(const cc_direct_job *job, int64_t group, const cc_strip *strip)
{
    const cc_strips *s = &job->strips;
    const int64_t *size = job->output_size, *step = job->output_step;
    const int64_t tall = job->context->kernels->gemm.max_rows[cc_panels_get(&job->panels, 0).vectors];
    const int64_t row = strip->row * step[1], rows = cc_min(strip->rows * step[1], size[1] - row);
    const int64_t pixel = job->output_channels, first = (strip->image * size[0] + strip->plane * step[0]) * size[1] + row;
    next_strip next = {.piece = {cc_strips_source(s, strip, group * s->channels, s->channels),
                                 {job->output + first * size[2] * pixel, rows * size[2], pixel, pixel}}};
    int64_t calls = 0, floats = 0;
    if (next.piece[0].columns != next.piece[0].ld)
        next.piece[0].rows = 0;
    if (strip->images > 1 && size[0] == 1)
        next.piece[1].rows = strip->images * size[1] * size[2];
    else if (strip->images > 1)
        next.which = 2;
    for (int64_t i = 0; i < job->phases; i++)
        if (job->phase[i].taps > 0)
            calls += cc_ceil_div(job->phase[i].grid[2], tall);
    for (int i = 0; i < 2; i++)
        floats += next.piece[i].rows * next.piece[i].ld;
    next.each = cc_max(16, floats / cc_max(1, calls * job->panels.count * strip->rows * strip->images));
    return next;
}

/* Whether some outputs, of all that a strip has, are reached by no tap. */
static bool has_gaps(const cc_direct_job *job)
{
    bool gaps = false;
    for (int64_t i = 0; i < job->phases; i++)
        gaps = gaps || job->phase[i].taps == 0;
    return gaps && job->groups == 1 && job->phases == cc_volume(job->output_step);
}

/* The whole strip as if no tap reached it: rows of zeros, or of the residual. */
static void fill_gaps(const cc_direct_job *job, const cc_strip *strip)
{
    const int64_t *size = job->output_size, *step = job->output_step, pixel = job->output_channels;
    const float *residual = job->epilogue.residual;
    const int64_t row = strip->row * step[1], rows = cc_min(strip->rows * step[1], size[1] - row);
    const int64_t planes = cc_min(step[0], size[0] - strip->plane * step[0]);
    const size_t bytes = (size_t)(rows * size[2] * pixel) * sizeof(float);
    for (int64_t i = 0; i < strip->images; i++)
        for (int64_t p = 0; p < planes; p++) {
            const int64_t plane = (strip->image + i) * size[0] + strip->plane * step[0] + p;
            const int64_t at = (plane * size[1] + row) * size[2] * pixel;
            if (residual != NULL)
                memcpy(job->output + at, residual + at, bytes);
            else
                memset(job->output + at, 0, bytes);
        }
}

/* Items are (group, strip). */
static void run_items(void *argument, int64_t begin, int64_t end, int part)
{
    const cc_direct_job *job = argument;
    const cc_strips *s = &job->strips;
    float *buffer = job->buffers + part * job->buffer_size;
    float *spare = buffer + cc_strips_floats(s);
    const bool gaps = has_gaps(job);
    for (int64_t item = begin; item < end; item++) {
        const int64_t group = item / s->items;
        const cc_strip strip = cc_strips_item(s, item % s->items);
        next_strip next = {.which = 2};
        if (item + 1 < end) {
            const cc_strip after = cc_strips_item(s, (item + 1) % s->items);
            next = look_ahead(job, (item + 1) / s->items, &after);
        }
        const float *x = cc_strips_read(s, &strip, group * s->channels, s->channels, buffer);
        if (gaps)
            fill_gaps(job, &strip);
        for (int64_t i = 0; i < job->phases; i++)
            if (strip.plane < job->phase[i].grid[0] && !(gaps && job->phase[i].taps == 0))
                run_phase(job, &job->phase[i], &strip, group, x, &next, spare);
    }
}

void cc_direct_run(cc_direct_job *job)
{
    cc_parallel_each(job->context->pool, job->parts, job->groups * job->strips.items, run_items, job);
}
