#include "stencil.h"

#include <string.h>

/* Elements of x that the rows of one tile should have, and those of a block: of the first- and second-level cache. */
#define TILE_ELEMENTS (1 << 13)
#define BLOCK_ELEMENTS (1 << 15)
/* The least block may have so many. */
#define MAX_ELEMENTS ((int64_t)1 << 22)

/* Columns a block should have, where rows are long enough, and rows. */
#define COLUMNS 256
#define ROWS 6

/* Blocks there should be for many threads. */
#define BLOCKS 16

/* Rows of no more bytes than this are cleared all at once. */
#define SHORT 512

int64_t cc_stencil_lanes(const cc_context *context, cc_dtype dtype)
{
    return dtype == CC_F32 ? context->kernels->lanes : context->kernels->lanes / 2;
}

static int64_t extent(const cc_stencil_job *job, int axis) { return (job->kernel[axis] - 1) * job->dilation[axis] + 1; }

cc_stencil_job cc_stencil_job_of(const cc_context *context, const cc_conv *conv, bool back)
{
    const cc_window *w = &conv->window;
    cc_stencil_job job = {.context = context, .dtype = conv->dtype, .element = (int64_t)cc_dtype_size(conv->dtype),
                       .n = conv->n, .groups = conv->groups, .taps = cc_volume(w->kernel),
                       .inputs = (back ? conv->oc : conv->ic) / conv->groups,
                       .outputs = (back ? conv->ic : conv->oc) / conv->groups};
    for (int a = 0; a < CC_AXES; a++) {
        job.kernel[a] = w->kernel[a];
        job.dilation[a] = w->dilation[a];
        job.step[a] = back ? 1 : w->stride[a];
        job.size[a] = back ? w->output[a] : w->input[a];
        job.out[a] = back ? w->input[a] : w->output[a];
        job.pad[a] = back ? extent(&job, a) - 1 - w->pad_before[a] : w->pad_before[a];
    }
    return job;
}

/* A row of a block of so many columns; false where its size overflows. */
static bool plan_row(cc_stencil_job *job, int64_t columns)
{
    const int64_t lanes = cc_stencil_lanes(job->context, job->dtype);
    job->phases = cc_min(job->step[2], extent(job, 2));
    job->phase = cc_ceil_div(extent(job, 2), job->step[2]) + cc_ceil_div(columns, lanes) * lanes;
    return cc_mul(job->phases, job->phase, &job->row);
}

bool cc_stencil_fits(const cc_stencil_job *given)
{
    cc_stencil_job row = *given, *const job = &row;
    int64_t elements;
    const int64_t dims[] = {job->inputs, job->kernel[0], extent(job, 1)};
    return cc_product(dims, 3, &elements) == CC_OK && plan_row(job, COLUMNS) && cc_mul(elements, job->row, &elements) &&
           elements <= MAX_ELEMENTS;
}

void cc_stencil_plan(cc_stencil_job *job)
{
    const int64_t planes = job->inputs * job->kernel[0];
    const int64_t lines = planes * (extent(job, 1) + 2 * cc_min(job->step[1], extent(job, 1))) *
                          cc_min(job->step[2], extent(job, 2));
    int64_t columns = cc_max(COLUMNS, TILE_ELEMENTS / lines);
    job->across = cc_ceil_div(job->out[2], columns);
    columns = cc_ceil_div(job->out[2], job->across);
    const int64_t lanes = cc_stencil_lanes(job->context, job->dtype);
    job->columns = cc_ceil_div(columns, lanes) * lanes;
    job->across = cc_ceil_div(job->out[2], job->columns);
    plan_row(job, job->columns);
    const int64_t fit = (BLOCK_ELEMENTS / (planes * job->row) - extent(job, 1)) / job->step[1] + 1;
    const int64_t share = job->out[1] * job->n * job->groups * job->out[0] * job->across / BLOCKS;
    job->rows = cc_min(fit, cc_max(share, 2 * extent(job, 1))) / ROWS * ROWS;
    job->rows = cc_min(cc_max(job->rows, ROWS), job->out[1]);
    if (planes * job->row * ((job->rows - 1) * job->step[1] + extent(job, 1)) > MAX_ELEMENTS)
        job->rows = 1;
    job->strips = cc_ceil_div(job->out[1], job->rows);
    job->high = (job->rows - 1) * job->step[1] + extent(job, 1);
    job->blocks = job->n * job->out[0] * job->strips * job->across;
    job->buffer_size = cc_ceil_div((planes * job->high * job->row + lanes) * job->element, CC_ALIGNMENT) * CC_ALIGNMENT;
}

cc_stencil_block cc_stencil_block_of(const cc_stencil_job *job, int64_t item)
{
    cc_stencil_block b = {.column = item % job->across * job->columns, .row = item / job->across % job->strips * job->rows};
    item /= job->across * job->strips;
    b.plane = item % job->out[0];
    b.image = item / job->out[0];
    b.rows = cc_min(job->rows, job->out[1] - b.row);
    b.columns = cc_min(job->columns, job->out[2] - b.column);
    return b;
}

/* So many columns of a row of x from `first` on, zero beyond its edges. */
static void copy_row(const cc_stencil_job *job, const char *x, int64_t first, bool cleared, char *to)
{
    const int64_t width = job->size[2], e = job->element, step = job->step[2];
    if (step == 1) {
        const int64_t begin = cc_min(cc_max(-first, 0), job->row), end = cc_max(begin, cc_min(width - first, job->row));
        memcpy(to + begin * e, x + (first + begin) * e, (size_t)((end - begin) * e));
        if (!cleared) {
            memset(to, 0, (size_t)(begin * e));
            memset(to + end * e, 0, (size_t)((job->row - end) * e));
        }
        return;
    }
    for (int64_t p = 0; p < job->phases; p++, first++, to += job->phase * e) {
        const int64_t begin = first < 0 ? cc_min(cc_ceil_div(-first, step), job->phase) : 0;
        const int64_t end = cc_max(begin, cc_min(first < width ? cc_ceil_div(width - first, step) : 0, job->phase));
        memset(to, 0, (size_t)(begin * e));
        if (job->dtype == CC_F32)
            for (int64_t i = begin; i < end; i++)
                ((float *)(void *)to)[i] = ((const float *)(const void *)x)[first + i * step];
        else
            for (int64_t i = begin; i < end; i++)
                ((double *)(void *)to)[i] = ((const double *)(const void *)x)[first + i * step];
        memset(to + end * e, 0, (size_t)((job->phase - end) * e));
    }
}

static void copy_block(const cc_stencil_job *job, const cc_stencil_block *b, int64_t group, char *to)
{
    const int64_t line = job->row * job->element, high = (b->rows - 1) * job->step[1] + extent(job, 1);
    const int64_t first = b->column * job->step[2] - job->pad[2];
    const bool cleared = line <= SHORT;
    if (cleared)
        memset(to, 0, (size_t)(job->inputs * job->kernel[0] * job->high * line));
    for (int64_t c = 0; c < job->inputs; c++)
        for (int64_t k = 0; k < job->kernel[0]; k++, to += job->high * line) {
            const int64_t z = b->plane * job->step[0] + k * job->dilation[0] - job->pad[0];
            const int64_t channel = (b->image * job->groups + group) * job->inputs + c;
            for (int64_t r = 0; r < high; r++) {
                const int64_t y = b->row * job->step[1] + r - job->pad[1];
                const int64_t row = (channel * job->size[0] + z) * job->size[1] + y;
                if (z >= 0 && z < job->size[0] && y >= 0 && y < job->size[1])
                    copy_row(job, job->x + row * job->size[2] * job->element, first, cleared, to + r * line);
                else if (!cleared)
                    memset(to + r * line, 0, (size_t)line);
            }
        }
}


const char *cc_stencil_read(const cc_stencil_job *job, const cc_stencil_block *b, int64_t group, char *buffer,
                            cc_stencil *s)
{
    const int64_t *size = job->size, lanes = cc_stencil_lanes(job->context, job->dtype);
    const int64_t channel = (b->image * job->groups + group) * job->inputs;
    const int64_t z = b->plane * job->step[0] - job->pad[0], y = b->row * job->step[1] - job->pad[1];
    const int64_t x = b->column - job->pad[2], high = (b->rows - 1) * job->step[1] + extent(job, 1);
    const int64_t wide = b->columns + extent(job, 2) - 1, read = cc_ceil_div(b->columns, lanes) * lanes + extent(job, 2) - 1;
    const int64_t first = ((channel * size[0] + z) * size[1] + y) * size[2] + x;
    const int64_t last = first + (job->inputs - 1) * cc_volume(size) + (high - 1) * size[2] + read;
    const bool inside = z >= 0 && z < size[0] && y >= 0 && y + high <= size[1] && x >= 0 && x + wide <= size[2];
    const bool bare = job->kernel[0] == 1 && job->step[2] == 1 && inside &&
                      last <= job->n * job->groups * job->inputs * cc_volume(size);
    const int64_t row = bare ? size[2] : job->row;
    s->x_plane = bare ? cc_volume(size) : job->high * row;
    s->x_step = job->step[1] * row;
    s->x_tap = job->dilation[1] * row;
    if (bare)
        return job->x + first * job->element;
    copy_block(job, b, group, buffer);
    return buffer;
}
