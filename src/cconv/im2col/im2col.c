#include "im2col.h"

#include <string.h>

typedef struct range {
    int64_t begin, end;
} range;

/* Outputs along an axis whose tap k falls inside the image. */
static range reached(const cc_window *w, int axis, int64_t k)
{
    const int64_t offset = k * w->dilation[axis] - w->pad_before[axis]; /* of output 0's tap in the image */
    const int64_t stride = w->stride[axis], last = w->input[axis] - 1 - offset;
    range r = {offset >= 0 ? 0 : (-offset - 1) / stride + 1, last < 0 ? 0 : last / stride + 1};
    r.end = cc_min(r.end, w->output[axis]);
    r.begin = cc_min(r.begin, r.end);
    return r;
}

static bool contains(range r, int64_t i) { return i >= r.begin && i < r.end; }

/* A stretch of neighbouring outputs (d, h, begin..end-1) of a tile. */
typedef struct stretch {
    int64_t d, h, begin, end;
} stretch;

/* The stretch that starts at position p, at most `left` long. */
static stretch stretch_at(const cc_window *w, int64_t p, int64_t left)
{
    const int64_t line = p / w->output[2], begin = p % w->output[2];
    return (stretch){line / w->output[1], line % w->output[1], begin, cc_min(w->output[2], begin + left)};
}

/* Where along one axis tap k of output o reads. */
static int64_t source(const cc_window *w, int axis, int64_t o, int64_t k)
{
    return o * w->stride[axis] + k * w->dilation[axis] - w->pad_before[axis];
}

/* Taps of output o along an axis that fall inside the image. */
static range taps(const cc_window *w, int axis, int64_t o)
{
    const int64_t offset = source(w, axis, o, 0), step = w->dilation[axis];
    const int64_t last = w->input[axis] - 1 - offset;
    range r = {offset >= 0 ? 0 : (-offset - 1) / step + 1, last < 0 ? 0 : last / step + 1};
    r.end = cc_min(r.end, w->kernel[axis]);
    r.begin = cc_min(r.begin, r.end);
    return r;
}

/* Elements between the first two of `count` neighbours: the product may overflow where there is only one. */
static int64_t step_of(int64_t count, int64_t spacing, int64_t stride) { return count > 1 ? spacing * stride : 0; }

#define T float
#define NAME(name) name##_f32
#include "im2col.inc"
#undef T
#undef NAME
#define T double
#define NAME(name) name##_f64
#include "im2col.inc"
#undef T
#undef NAME

void cc_im2col_rows(const cc_tile *tile, const void *x, void *cols)
{
    if (tile->dtype == CC_F32)
        rows_f32(tile, x, cols);
    else
        rows_f64(tile, x, cols);
}

void cc_im2col_positions(const cc_tile *tile, const void *x, void *cols)
{
    if (tile->dtype == CC_F32)
        positions_f32(tile, x, cols);
    else
        positions_f64(tile, x, cols);
}

void cc_col2im_rows(const cc_tile *tile, const void *cols, void *x)
{
    if (tile->dtype == CC_F32)
        add_rows_f32(tile, cols, x);
    else
        add_rows_f64(tile, cols, x);
}

void cc_col2im_positions(const cc_tile *tile, const void *cols, void *x)
{
    if (tile->dtype == CC_F32)
        add_positions_f32(tile, cols, x);
    else
        add_positions_f64(tile, cols, x);
}

cc_status cc_patches_resolve(cc_patches *patches)
{
    if (patches->n < 0 || patches->c < 0)
        return CC_ERR_ARGUMENT;
    if (patches->dtype != CC_F32 && patches->dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    if (patches->layout != CC_CHANNELS_FIRST && patches->layout != CC_CHANNELS_LAST)
        return CC_ERR_ARGUMENT;
    cc_window w = patches->window;
    CC_TRY(cc_window_resolve(&w, false));
    const int64_t x[] = {patches->n, patches->c, w.input[0], w.input[1], w.input[2]};
    const int64_t cols[] = {patches->n,   patches->c,  w.kernel[0], w.kernel[1],
                            w.kernel[2], w.output[0], w.output[1], w.output[2]};
    int64_t count;
    CC_TRY(cc_product(x, 5, &count));
    CC_TRY(cc_product(cols, 8, &count));
    patches->window = w;
    return CC_OK;
}

typedef struct im2col_job {
    const cc_patches *patches;
    cc_tile tile; /* all positions of one channel */
    const void *input;
    void *output;
} im2col_job;

/* Offset of plane (n, c) in x. */
static int64_t plane_offset(const im2col_job *job, int64_t item)
{
    return item / job->patches->c * job->tile.x.n + item % job->patches->c * job->tile.x.c;
}

static void im2col_planes(void *argument, int64_t begin, int64_t end, int part)
{
    const im2col_job *job = argument;
    const int64_t size = (int64_t)cc_dtype_size(job->tile.dtype);
    const int64_t block = cc_volume(job->patches->window.kernel) * job->tile.count;
    (void)part;
    for (int64_t item = begin; item < end; item++)
        cc_im2col_rows(&job->tile, (const char *)job->input + plane_offset(job, item) * size,
                       (char *)job->output + item * block * size);
}

static void col2im_planes(void *argument, int64_t begin, int64_t end, int part)
{
    const im2col_job *job = argument;
    const int64_t size = (int64_t)cc_dtype_size(job->tile.dtype);
    const int64_t block = cc_volume(job->patches->window.kernel) * job->tile.count;
    (void)part;
    for (int64_t item = begin; item < end; item++)
        cc_col2im_rows(&job->tile, (const char *)job->input + item * block * size,
                       (char *)job->output + plane_offset(job, item) * size);
}

static void run(const cc_context *context, const cc_patches *patches, cc_task task, const void *input, void *output)
{
    im2col_job job = {.patches = patches, .input = input, .output = output};
    job.tile = (cc_tile){.window = &patches->window,
                         .dtype = patches->dtype,
                         .x = cc_strides_of(patches->layout, patches->c, patches->window.input),
                         .channels = 1,
                         .count = cc_volume(patches->window.output)};
    const int64_t items = patches->n * patches->c;
    const int64_t grain = 1 + 16384 / (cc_volume(patches->window.kernel) * job.tile.count);
    cc_parallel_for(context->pool, cc_parts(context->pool, items, grain), items, task, &job);
}

cc_status cc_im2col(const cc_context *context, const cc_patches *patches, const void *x, void *cols)
{
    cc_patches p = *patches;
    CC_TRY(cc_patches_resolve(&p));
    if (p.n == 0 || p.c == 0)
        return CC_OK;
    if (cols == NULL || (x == NULL && cc_volume(p.window.input) != 0))
        return CC_ERR_ARGUMENT;
    run(context, &p, im2col_planes, x, cols);
    return CC_OK;
}

cc_status cc_col2im(const cc_context *context, const cc_patches *patches, const void *cols, void *x)
{
    cc_patches p = *patches;
    CC_TRY(cc_patches_resolve(&p));
    const int64_t count = p.n * p.c * cc_volume(p.window.input);
    if (count == 0)
        return CC_OK;
    if (cols == NULL || x == NULL)
        return CC_ERR_ARGUMENT;
    memset(x, 0, (size_t)count * cc_dtype_size(p.dtype));
    run(context, &p, col2im_planes, cols, x);
    return CC_OK;
}
