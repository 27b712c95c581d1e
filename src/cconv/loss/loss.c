#include "loss.h"

#include <math.h>
#include <string.h>

/* Classes whose powers are made at a time where nobody wants them, and that are compared at a time. */
#define SOME 256
#define LARGEST 8

static double powers_f64(const double *x, double shift, double *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += y[i] = exp(x[i] - shift);
    return sum;
}

#define T float
#define M(name) name##f
#define POWERS(kernels, x, shift, y, n) (kernels)->activation.powers_f32(x, shift, y, n)
#define NAME(name) f32_##name
#include "softmax.inc"
#undef T
#undef M
#undef NAME

#undef POWERS
#define T double
#define M(name) name
#define POWERS(kernels, x, shift, y, n) ((void)(kernels), powers_f64(x, shift, y, n))
#define NAME(name) f64_##name
#include "softmax.inc"
#undef T
#undef M
#undef NAME

/* Values a thread should get at least. */
#define GRAIN 2048

static cc_status validate(cc_dtype dtype, int64_t a, int64_t b, int64_t c)
{
    int64_t count;
    if (dtype != CC_F32 && dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    return cc_product((const int64_t[]){a, b, c}, 3, &count);
}

static void each_position(const cc_context *context, int64_t positions, int64_t classes, cc_task task, void *job)
{
    const int64_t grain = cc_ceil_div(GRAIN, cc_max(1, classes));
    cc_parallel_for(context->pool, cc_parts(context->pool, positions, grain), positions, task, job);
}

typedef struct softmax_job {
    const cc_kernels *kernels;
    cc_dtype dtype;
    bool log;
    int64_t classes, inner;
    const void *x, *dy; /* dy NULL: forward */
    void *y;
} softmax_job;

static void softmax_positions(void *argument, int64_t begin, int64_t end, int part)
{
    const softmax_job *job = argument;
    const int64_t classes = job->classes, inner = job->inner;
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i / inner * classes * inner + i % inner;
        if (job->dtype == CC_F32 && job->dy == NULL)
            f32_softmax(job->kernels, (const float *)job->x + at, classes, inner, job->log, (float *)job->y + at);
        else if (job->dtype == CC_F32)
            f32_softmax_backward((const float *)job->dy + at, (const float *)job->x + at, classes, inner, job->log,
                                 (float *)job->y + at);
        else if (job->dy == NULL)
            f64_softmax(job->kernels, (const double *)job->x + at, classes, inner, job->log, (double *)job->y + at);
        else
            f64_softmax_backward((const double *)job->dy + at, (const double *)job->x + at, classes, inner, job->log,
                                 (double *)job->y + at);
    }
}

cc_status cc_softmax_forward(const cc_context *context, cc_dtype dtype, bool log, int64_t outer, int64_t classes,
                             int64_t inner, const void *x, void *y)
{
    softmax_job job = {.kernels = context->kernels, .dtype = dtype, .log = log, .classes = classes, .inner = inner, .x = x, .y = y};
    CC_TRY(validate(dtype, outer, classes, inner));
    each_position(context, outer * inner, classes, softmax_positions, &job);
    return CC_OK;
}

cc_status cc_softmax_backward(const cc_context *context, cc_dtype dtype, bool log, int64_t outer, int64_t classes,
                              int64_t inner, const void *dy, const void *y, void *dx)
{
    softmax_job job = {.kernels = context->kernels, .dtype = dtype, .log = log, .classes = classes, .inner = inner, .x = y, .dy = dy, .y = dx};
    CC_TRY(validate(dtype, outer, classes, inner));
    each_position(context, outer * inner, classes, softmax_positions, &job);
    return CC_OK;
}

typedef struct loss_job {
    const cc_kernels *kernels;
    const cc_cross_entropy *loss;
    const void *x, *p;
    const int64_t *classes;
    const double *weight;
    double scale;
    double *losses;
    void *dx;
} loss_job;

static void loss_positions(void *argument, int64_t begin, int64_t end, int part)
{
    const loss_job *job = argument;
    const cc_cross_entropy *loss = job->loss;
    const size_t size = cc_dtype_size(loss->dtype);
    const bool last = loss->layout == CC_CHANNELS_LAST;
    const int64_t stride = last ? 1 : loss->spatial;
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const int64_t start = last ? i * loss->c : i / loss->spatial * loss->c * loss->spatial + i % loss->spatial;
        const size_t at = (size_t)start * size;
        const void *x = (const char *)job->x + at, *p = job->p == NULL ? NULL : (const char *)job->p + at;
        void *dx = job->dx == NULL ? NULL : (char *)job->dx + at;
        const int64_t target = job->classes == NULL ? 0 : job->classes[i];
        if (job->classes != NULL && target == loss->ignore_index) {
            job->losses[i] = 0;
            for (int64_t c = 0; dx != NULL && c < loss->c; c++)
                memset((char *)dx + (size_t)(c * stride) * size, 0, size);
        } else if (loss->dtype == CC_F32)
            job->losses[i] = f32_cross_entropy(job->kernels, loss, x, stride, target, p, job->weight, job->scale, dx);
        else
            job->losses[i] = f64_cross_entropy(job->kernels, loss, x, stride, target, p, job->weight, job->scale, dx);
    }
}

/* Bounds check, and what `mean` divides by. */
static cc_status total_weight(const cc_cross_entropy *loss, const int64_t *classes, const double *weight,
                              double *total)
{
    const int64_t positions = loss->n * loss->spatial;
    *total = classes == NULL ? (double)positions : 0;
    for (int64_t i = 0; classes != NULL && i < positions; i++) {
        if (classes[i] == loss->ignore_index)
            continue;
        if (classes[i] < 0 || classes[i] >= loss->c)
            return CC_ERR_INDEX;
        *total += weight == NULL ? 1 : weight[classes[i]];
    }
    return CC_OK;
}

cc_status cc_cross_entropy_forward(const cc_context *context, const cc_cross_entropy *loss, const void *logits,
                                   const int64_t *classes, const void *probabilities, const double *weight,
                                   double *losses, double *total, void *dlogits)
{
    double divisor, sum = 0;
    CC_TRY(validate(loss->dtype, loss->n, loss->c, loss->spatial));
    const int64_t positions = loss->n * loss->spatial;
    if ((classes == NULL) == (probabilities == NULL) || !(loss->smoothing >= 0 && loss->smoothing <= 1))
        return CC_ERR_ARGUMENT;
    CC_TRY(total_weight(loss, classes, weight, &divisor));
    double *scratch = losses != NULL ? losses : cc_arena_alloc(context->arena, (size_t)positions * sizeof *losses);
    if (scratch == NULL)
        return CC_ERR_MEMORY;
    loss_job job = {.kernels = context->kernels, .loss = loss, .x = logits, .p = probabilities, .classes = classes, .weight = weight,
                    .scale = loss->mean ? 1 / divisor : 1, .losses = scratch, .dx = dlogits};
    each_position(context, positions, loss->c, loss_positions, &job);
    for (int64_t i = 0; i < positions; i++)
        sum += scratch[i];
    if (total != NULL)
        *total = loss->mean ? sum / divisor : sum;
    if (losses == NULL)
        cc_arena_free(context->arena, scratch);
    return CC_OK;
}

#define BLOCK 4096

typedef struct square_job {
    cc_dtype dtype;
    int64_t n;
    const void *a, *b;
    double scale, *sums;
    void *da;
} square_job;

static void square_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const square_job *job = argument;
    (void)part;
    for (int64_t block = begin; block < end; block++) {
        double sum = 0;
        for (int64_t i = block * BLOCK; i < cc_min((block + 1) * BLOCK, job->n); i++) {
            const bool f32 = job->dtype == CC_F32;
            const double d = f32 ? (double)((const float *)job->a)[i] - (double)((const float *)job->b)[i]
                                 : ((const double *)job->a)[i] - ((const double *)job->b)[i];
            sum += d * d;
            if (job->da != NULL && f32)
                ((float *)job->da)[i] = (float)(job->scale * d);
            else if (job->da != NULL)
                ((double *)job->da)[i] = job->scale * d;
        }
        job->sums[block] = sum;
    }
}

cc_status cc_squared_error(const cc_context *context, cc_dtype dtype, int64_t n, const void *a, const void *b,
                           double scale, double *total, void *da)
{
    CC_TRY(validate(dtype, n, 1, 1));
    const int64_t blocks = cc_ceil_div(n, BLOCK);
    double *sums = cc_arena_alloc(context->arena, (size_t)blocks * sizeof *sums), sum = 0;
    if (sums == NULL)
        return CC_ERR_MEMORY;
    square_job job = {.dtype = dtype, .n = n, .a = a, .b = b, .scale = scale, .sums = sums, .da = da};
    cc_parallel_for(context->pool, cc_parts(context->pool, blocks, 2), blocks, square_blocks, &job);
    for (int64_t i = 0; i < blocks; i++)
        sum += sums[i];
    *total = sum;
    cc_arena_free(context->arena, sums);
    return CC_OK;
}
