/* Convolution of few channels in channels-first order, such as images as NumPy has them: vectors along the rows, blocks
 * of x copied with their padding into the caches. Columns that are `stride` apart lie side by side in the copy.
 */
#include <string.h>

#include "algo.h"

/* Elements of x that the rows of one tile should have, and those of a block: of the first- and second-level cache. */
#define TILE_ELEMENTS (1 << 13)
#define BLOCK_ELEMENTS (1 << 15)
/* The least block may have so many. */
#define MAX_ELEMENTS ((int64_t)1 << 22)

/* Columns a block should have, where rows are long enough, and rows. */
#define COLUMNS 256
#define ROWS 6

/* Products that are worth a thread. */
#define GRAIN (1 << 16)

/* Blocks there should be for many threads. */
#define BLOCKS 16

/* Gradients for the weights: at most this many chunks, of this many bytes together, each with sums of its own. */
#define CHUNKS 16
#define CHUNK_BYTES (1 << 22)

/* A convolution of x to y, channels as of one group; padding is negative where the first windows begin within x. */
typedef struct stencil_job {
    const cc_context *context;
    cc_dtype dtype;
    int64_t element;
    int64_t n, groups, inputs, outputs, taps;
    int64_t size[CC_AXES], out[CC_AXES], kernel[CC_AXES], step[CC_AXES], dilation[CC_AXES], pad[CC_AXES];

    int64_t columns, across;    /* of a block, blocks of a row */
    int64_t rows, strips;       /* of a block, blocks of a plane */
    int64_t high;               /* rows of x that a block sees */
    int64_t phases, phase, row; /* columns so many apart, elements of each; of a row of a block */
    int64_t blocks, buffer_size;

    const char *x, *w, *b;
    char *y;
    int64_t *column;
    char *buffers; /* per part: a block of x */

    int64_t chunks, weights;
    double *sums; /* per chunk, like w */
    void *dw;
} stencil_job;

static int64_t lanes_of(const cc_context *context, cc_dtype dtype)
{
    return dtype == CC_F32 ? context->kernels->lanes : context->kernels->lanes / 2;
}

static int64_t extent(const stencil_job *job, int axis) { return (job->kernel[axis] - 1) * job->dilation[axis] + 1; }

/* Elements of a block of so many rows; overflows where `checked` does. */
static bool plan_row(stencil_job *job, int64_t columns)
{
    const int64_t lanes = lanes_of(job->context, job->dtype);
    job->phases = cc_min(job->step[2], extent(job, 2));
    job->phase = cc_ceil_div(extent(job, 2), job->step[2]) + cc_ceil_div(columns, lanes) * lanes;
    return cc_mul(job->phases, job->phase, &job->row);
}

static bool checked(stencil_job *job)
{
    int64_t elements;
    const int64_t dims[] = {job->inputs, job->kernel[0], extent(job, 1)};
    return cc_product(dims, 3, &elements) == CC_OK && plan_row(job, COLUMNS) && cc_mul(elements, job->row, &elements) &&
           elements <= MAX_ELEMENTS;
}

static stencil_job job_of(const cc_context *context, const cc_conv *conv, bool back)
{
    const cc_window *w = &conv->window;
    stencil_job job = {.context = context, .dtype = conv->dtype, .element = (int64_t)cc_dtype_size(conv->dtype),
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

/* All sizes follow from the shape alone. */
static void plan(stencil_job *job)
{
    const int64_t planes = job->inputs * job->kernel[0];
    const int64_t lines = planes * (extent(job, 1) + 2 * cc_min(job->step[1], extent(job, 1))) *
                          cc_min(job->step[2], extent(job, 2));
    int64_t columns = cc_max(COLUMNS, TILE_ELEMENTS / lines);
    job->across = cc_ceil_div(job->out[2], columns);
    columns = cc_ceil_div(job->out[2], job->across);
    const int64_t lanes = lanes_of(job->context, job->dtype);
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

/* Items are blocks in the order of y, without its channels. */
typedef struct block {
    int64_t image, plane, row, rows, column, columns;
} block;

static block block_of(const stencil_job *job, int64_t item)
{
    block b = {.column = item % job->across * job->columns, .row = item / job->across % job->strips * job->rows};
    item /= job->across * job->strips;
    b.plane = item % job->out[0];
    b.image = item / job->out[0];
    b.rows = cc_min(job->rows, job->out[1] - b.row);
    b.columns = cc_min(job->columns, job->out[2] - b.column);
    return b;
}

/* So many columns of a row of x from `first` on, zero beyond its edges. */
static void copy_row(const stencil_job *job, const char *x, int64_t first, int64_t count, char *to)
{
    const int64_t width = job->size[2], e = job->element, step = job->step[2];
    if (step == 1) {
        const int64_t begin = cc_min(cc_max(-first, 0), count), end = cc_max(begin, cc_min(width - first, count));
        memset(to, 0, (size_t)(begin * e));
        memcpy(to + begin * e, x + (first + begin) * e, (size_t)((end - begin) * e));
        memset(to + end * e, 0, (size_t)((count - end) * e));
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

/* What a block sees of a group's channels, with its padding. */
static void copy_block(const stencil_job *job, const block *b, int64_t group, char *to)
{
    const int64_t line = job->row * job->element, high = (b->rows - 1) * job->step[1] + extent(job, 1);
    const int64_t first = b->column * job->step[2] - job->pad[2];
    for (int64_t c = 0; c < job->inputs; c++)
        for (int64_t k = 0; k < job->kernel[0]; k++, to += job->high * line) {
            const int64_t z = b->plane * job->step[0] + k * job->dilation[0] - job->pad[0];
            const int64_t channel = (b->image * job->groups + group) * job->inputs + c;
            for (int64_t r = 0; r < high; r++) {
                const int64_t y = b->row * job->step[1] + r - job->pad[1];
                if (z < 0 || z >= job->size[0] || y < 0 || y >= job->size[1])
                    memset(to + r * line, 0, (size_t)line);
                else
                    copy_row(job, job->x + ((channel * job->size[0] + z) * job->size[1] + y) * job->size[2] * job->element,
                             first, job->row, to + r * line);
            }
        }
}

static cc_stencil stencil_of(const stencil_job *job, const block *b)
{
    return (cc_stencil){.outputs = job->outputs, .rows = b->rows, .columns = b->columns,
                        .planes = job->inputs * job->kernel[0], .kh = job->kernel[1], .kw = job->kernel[2],
                        .x_plane = job->high * job->row, .x_step = job->step[1] * job->row,
                        .x_tap = job->dilation[1] * job->row, .column = job->column,
                        .y_plane = cc_volume(job->out), .y_row = job->out[2]};
}

/* Where a block of the group's first output begins in y. */
static char *target(const stencil_job *job, const block *b, int64_t group)
{
    const int64_t channel = (b->image * job->groups + group) * job->outputs;
    const int64_t row = (channel * job->out[0] + b->plane) * job->out[1] + b->row;
    return job->y + (row * job->out[2] + b->column) * job->element;
}

static void convolve_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const stencil_job *job = argument;
    char *buffer = job->buffers + part * job->buffer_size;
    for (int64_t item = begin; item < end; item++) {
        const block b = block_of(job, item / job->groups);
        const int64_t group = item % job->groups, first = group * job->outputs;
        const cc_stencil s = stencil_of(job, &b);
        copy_block(job, &b, group, buffer);
        job->context->kernels->stencil.convolve[job->dtype](
            &s, buffer, job->w + first * job->inputs * job->taps * job->element,
            job->b != NULL ? job->b + first * job->element : NULL, target(job, &b, group));
    }
}

/* Room for so many parts' blocks and `more` bytes, which are returned; free job->column. */
static cc_status allocate(stencil_job *job, int parts, int64_t bytes, void **more)
{
    const int64_t columns = cc_ceil_div(job->kernel[2] * (int64_t)sizeof(int64_t), CC_ALIGNMENT) * CC_ALIGNMENT;
    char *memory = cc_arena_alloc(job->context->arena, (size_t)(columns + parts * job->buffer_size + bytes));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    job->column = (int64_t *)(void *)memory;
    for (int64_t k = 0; k < job->kernel[2]; k++)
        job->column[k] = k * job->dilation[2] % job->step[2] * job->phase + k * job->dilation[2] / job->step[2];
    job->buffers = memory + columns;
    *more = job->buffers + parts * job->buffer_size;
    return CC_OK;
}

/* Items that are worth a thread. */
static int64_t grain(const stencil_job *job, int64_t items)
{
    const double products = (double)(job->n * job->groups * job->outputs * cc_volume(job->out)) *
                            (double)(job->inputs * job->taps);
    return cc_max(1, (int64_t)((double)items * GRAIN / products));
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w, const void *b,
                         const cc_epilogue *epilogue, void *y)
{
    (void)epilogue;
    stencil_job job = job_of(context, conv, false);
    plan(&job);
    job.x = x;
    job.w = w;
    job.b = b;
    job.y = y;
    const int64_t items = job.blocks * job.groups;
    const int parts = cc_parts(context->pool, items, grain(&job, items));
    void *more;
    CC_TRY(allocate(&job, parts, 0, &more));
    cc_parallel_each(context->pool, parts, items, convolve_blocks, &job);
    cc_arena_free(context->arena, job.column);
    return CC_OK;
}

/* w with the channels of each group exchanged and its kernels turned around. */
static void turn(const stencil_job *job, const void *w, void *to)
{
    const int64_t taps = job->taps, out = job->inputs, in = job->outputs;
    for (int64_t g = 0; g < job->groups; g++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t o = 0; o < out; o++)
                for (int64_t t = 0; t < taps; t++) {
                    const int64_t from = ((g * out + o) * in + i) * taps + taps - 1 - t;
                    const int64_t at = ((g * in + i) * out + o) * taps + t;
                    if (job->dtype == CC_F32)
                        ((float *)to)[at] = ((const float *)w)[from];
                    else
                        ((double *)to)[at] = ((const double *)w)[from];
                }
}

/* A convolution of dy, with strides of 1. */
static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    (void)residual;
    stencil_job job = job_of(context, conv, true);
    plan(&job);
    job.x = dy;
    job.y = dx;
    const int64_t items = job.blocks * job.groups;
    const int parts = cc_parts(context->pool, items, grain(&job, items));
    void *turned;
    CC_TRY(allocate(&job, parts, conv->oc * (conv->ic / conv->groups) * job.taps * job.element, &turned));
    turn(&job, w, turned);
    job.w = turned;
    cc_parallel_each(context->pool, parts, items, convolve_blocks, &job);
    cc_arena_free(context->arena, job.column);
    return CC_OK;
}

static void sum_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const stencil_job *job = argument;
    char *buffer = job->buffers + part * job->buffer_size;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        double *sums = job->sums + chunk * job->weights;
        memset(sums, 0, (size_t)job->weights * sizeof(double));
        for (int64_t item = chunk * job->blocks / job->chunks; item < (chunk + 1) * job->blocks / job->chunks; item++) {
            const block b = block_of(job, item);
            const cc_stencil s = stencil_of(job, &b);
            for (int64_t g = 0; g < job->groups; g++) {
                copy_block(job, &b, g, buffer);
                job->context->kernels->stencil.gradient[job->dtype](
                    &s, buffer, target(job, &b, g), sums + g * job->outputs * job->inputs * job->taps);
            }
        }
    }
}

/* dw += the sums of all chunks */
static void add_sums(const stencil_job *job)
{
    for (int64_t i = 0; i < job->weights; i++) {
        double sum = 0;
        for (int64_t k = 0; k < job->chunks; k++)
            sum += job->sums[k * job->weights + i];
        if (job->dtype == CC_F32)
            ((float *)job->dw)[i] += (float)sum;
        else
            ((double *)job->dw)[i] += sum;
    }
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy, void *dw)
{
    stencil_job job = job_of(context, conv, false);
    plan(&job);
    job.x = x;
    job.y = (char *)dy;
    job.dw = dw;
    job.weights = conv->oc * job.inputs * job.taps;
    job.chunks = cc_max(1, cc_min(cc_min(CHUNKS, CHUNK_BYTES / 8 / job.weights), job.blocks));
    const int parts = cc_parts(context->pool, job.chunks, grain(&job, job.chunks));
    void *sums;
    CC_TRY(allocate(&job, parts, job.chunks * job.weights * (int64_t)sizeof(double), &sums));
    job.sums = sums;
    cc_parallel_for(context->pool, parts, job.chunks, sum_chunks, &job);
    if (!cc_pool_rehearses(context->pool))
        add_sums(&job);
    cc_arena_free(context->arena, job.column);
    return CC_OK;
}

static bool lies_first(cc_layout layout, int64_t channels, const int64_t spatial[CC_AXES])
{
    return layout == CC_CHANNELS_FIRST || channels == 1 || cc_volume(spatial) == 1;
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    if (!lies_first(conv->x_layout, conv->ic, w->input) || !lies_first(conv->y_layout, conv->oc, w->output))
        return false;
    if (pass == CC_BACKWARD_DATA && (w->stride[0] != 1 || w->stride[1] != 1 || w->stride[2] != 1))
        return false;
    stencil_job job = job_of(context, conv, pass == CC_BACKWARD_DATA);
    return checked(&job);
}

static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)context, (void)pass;
    return cc_max(conv->ic, conv->oc) / conv->groups <= 16 && cc_min(conv->ic, conv->oc) / conv->groups <= 4;
}

const cc_conv_algo cc_conv_stencil = {
    .name = "stencil",
    .supports = supports,
    .pays = pays,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
