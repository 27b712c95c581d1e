/* What happens to y beside the sums: bias, epilogue, and the bias gradient. */
#include <string.h>

#include "algo.h"

/* An item is this many elements of y: small enough for the cache, large enough to hand to a thread. */
#define SLICE 8192

typedef struct output_job {
    const cc_conv *conv;
    const void *b;
    cc_epilogue epilogue;
    const cc_eltwise_kernels *eltwise;
    void *y;
    int64_t count; /* elements of y */

    const void *dy, *gate; /* gate: NULL, or dy counts where it is positive, and goes to dx */
    void *dx;
    int64_t rows, width, chunks; /* channels-last rows of whole positions; else images of OC planes */
    double *sums;                /* chunks x width */
} output_job;

#define T float
#define NAME(name) name##_f32
#include "output.inc"
#undef T
#undef NAME
#define T double
#define NAME(name) name##_f64
#include "output.inc"
#undef T
#undef NAME

static void run(const cc_context *context, output_job *job, cc_task task)
{
    const int64_t slices = cc_ceil_div(job->count, SLICE);
    cc_parallel_for(context->pool, cc_parts(context->pool, slices, 2), slices, task, job);
}

void cc_conv_broadcast_bias(const cc_context *context, const cc_conv *conv, const void *b, void *y)
{
    output_job job = {.conv = conv, .b = b, .y = y};
    job.count = conv->n * conv->oc * cc_volume(conv->window.output);
    run(context, &job, conv->dtype == CC_F32 ? broadcast_f32 : broadcast_f64);
}

void cc_conv_apply_epilogue(const cc_context *context, const cc_conv *conv, const void *b,
                            const cc_epilogue *epilogue, void *y)
{
    output_job job = {.conv = conv, .b = b, .eltwise = &context->kernels->eltwise, .y = y};
    if (epilogue != NULL)
        job.epilogue = *epilogue;
    job.count = conv->n * conv->oc * cc_volume(conv->window.output);
    run(context, &job, conv->dtype == CC_F32 ? epilogue_f32 : epilogue_f64);
}

void cc_conv_add_residual(const cc_context *context, const cc_conv *conv, const void *residual, void *dx)
{
    output_job job = {.conv = conv, .epilogue.residual = residual, .eltwise = &context->kernels->eltwise, .y = dx};
    job.count = conv->n * conv->ic * cc_volume(conv->window.input);
    run(context, &job, conv->dtype == CC_F32 ? epilogue_f32 : epilogue_f64);
}

cc_status cc_conv_add_bias(const cc_context *context, const cc_conv *conv, const void *b, void *dx)
{
    cc_conv c = *conv;
    CC_TRY(cc_conv_resolve(&c));
    if (b == NULL || dx == NULL)
        return CC_ERR_ARGUMENT;
    c.oc = c.ic;
    c.y_layout = c.x_layout;
    memcpy(c.window.output, c.window.input, sizeof c.window.output);
    if (c.n * c.oc * cc_volume(c.window.output) > 0)
        cc_conv_apply_epilogue(context, &c, b, NULL, dx);
    return CC_OK;
}

/* Sums of at most this many chunks of rows are added in order. */
#define CHUNKS 16
/* With few channels several positions make one row of about this many columns. */
#define ROW 64

cc_status cc_conv_backward_bias(const cc_context *context, const cc_conv *conv, const void *dy, void *db)
{
    return cc_conv_backward_relu(context, conv, dy, NULL, NULL, db);
}

cc_status cc_conv_backward_relu(const cc_context *context, const cc_conv *conv, const void *dy, const void *y,
                                void *dx, void *db)
{
    cc_conv c = *conv;
    CC_TRY(cc_conv_resolve(&c));
    if (c.n == 0 || c.oc == 0)
        return CC_OK;
    if (dy == NULL || db == NULL || (y == NULL) != (dx == NULL))
        return CC_ERR_ARGUMENT;
    const bool last = c.y_layout == CC_CHANNELS_LAST, f32 = c.dtype == CC_F32;
    const int64_t positions = c.n * cc_volume(c.window.output);
    output_job job = {.conv = &c, .eltwise = &context->kernels->eltwise, .dy = dy, .gate = y, .dx = dx};
    job.count = positions * c.oc;
    job.width = last ? c.oc * cc_max(1, cc_min(ROW / c.oc, positions)) : c.oc;
    job.rows = last ? job.count / job.width : c.n;
    job.chunks = cc_min(CHUNKS, last ? cc_ceil_div(job.rows, 64) : job.rows);
    const int64_t sums = job.chunks * job.width;
    job.sums = cc_arena_alloc(context->arena, (size_t)sums * sizeof(double));
    if (job.sums == NULL)
        return CC_ERR_MEMORY;
    memset(job.sums, 0, (size_t)sums * sizeof(double));
    if (last) {
        cc_parallel_for(context->pool, cc_parts(context->pool, job.chunks, 1), job.chunks,
                        f32 ? sum_rows_f32 : sum_rows_f64, &job);
    } else {
        if (y != NULL) {
            run(context, &job, f32 ? gate_f32 : gate_f64);
            job.dy = dx;
        }
        cc_parallel_for(context->pool, cc_parts(context->pool, sums, 1), sums,
                        f32 ? sum_planes_f32 : sum_planes_f64, &job);
    }
    for (int64_t o = 0; o < c.oc; o++) {
        double sum = 0.0;
        for (int64_t i = o; i < sums; i += c.oc) /* a row's width is a multiple of OC */
            sum += job.sums[i];
        if (f32)
            ((float *)db)[o] = (float)(((float *)db)[o] + sum);
        else
            ((double *)db)[o] += sum;
    }
    cc_arena_free(context->arena, job.sums);
    return CC_OK;
}
