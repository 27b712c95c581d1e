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

static void scale_f64(double factor, double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] *= factor;
}

/* Nothing but a class, to which all weight goes. */
static bool names_one_class(const cc_cross_entropy *loss, const void *probabilities)
{
    return probabilities == NULL && loss->smoothing == 0;
}

#define T float
#define M(name) name##f
#define POWERS(kernels, x, shift, y, n) (kernels)->softmax.powers_f32(x, shift, y, n)
#define SCALE(kernels, factor, y, n) (kernels)->softmax.scale_f32((float)(factor), y, n)
#define NAME(name) f32_##name
#include "softmax.inc"
#undef T
#undef M
#undef NAME
#undef POWERS
#undef SCALE

#define T double
#define M(name) name
#define POWERS(kernels, x, shift, y, n) ((void)(kernels), powers_f64(x, shift, y, n))
#define SCALE(kernels, factor, y, n) scale_f64(factor, y, n)
#define NAME(name) f64_##name
#include "softmax.inc"
#undef T
#undef M
#undef NAME
#undef POWERS
#undef SCALE

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

/* Neighbouring positions are columns of a matrix: how many from position i on are taken together. */
static int64_t columns_at(int64_t i, int64_t end, int64_t inner)
{
    return cc_min(CC_SOFTMAX_COLUMNS, cc_min(end - i, inner - i % inner));
}

static void softmax_columns_f32(const softmax_job *job, int64_t begin, int64_t end)
{
    const cc_softmax_kernels *kernels = &job->kernels->softmax;
    const int64_t classes = job->classes, inner = job->inner;
    float shift[CC_SOFTMAX_COLUMNS], factor[CC_SOFTMAX_COLUMNS];
    double sum[CC_SOFTMAX_COLUMNS];
    for (int64_t i = begin, count; i < end; i += count) {
        count = columns_at(i, end, inner);
        const int64_t at = i / inner * classes * inner + i % inner;
        const float *x = (const float *)job->x + at;
        float *y = (float *)job->y + at;
        if (job->dy != NULL) {
            kernels->column_backward_f32(job->log, classes, inner, count, (const float *)job->dy + at, x, y);
            continue;
        }
        kernels->column_powers_f32(classes, inner, count, x, job->log ? NULL : y, shift, sum);
        for (int64_t k = 0; k < count; k++)
            if (job->log)
                sum[k] = log(sum[k]);
            else
                factor[k] = (float)(1 / sum[k]);
        if (job->log)
            kernels->column_less_f32(classes, inner, count, x, shift, sum, y);
        else
            kernels->column_scale_f32(classes, inner, count, factor, y);
    }
}

static void softmax_positions(void *argument, int64_t begin, int64_t end, int part)
{
    const softmax_job *job = argument;
    const int64_t classes = job->classes, inner = job->inner;
    (void)part;
    if (job->dtype == CC_F32 && inner > 1) {
        softmax_columns_f32(job, begin, end);
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        const int64_t at = i / inner * classes * inner + i % inner;
        if (job->dtype == CC_F32 && job->dy == NULL)
            f32_softmax(job->kernels, (const float *)job->x + at, classes, inner, job->log, (float *)job->y + at);
        else if (job->dtype == CC_F32)
            f32_softmax_backward(job->kernels, (const float *)job->dy + at, (const float *)job->x + at, classes, inner, job->log,
                                 (float *)job->y + at);
        else if (job->dy == NULL)
            f64_softmax(job->kernels, (const double *)job->x + at, classes, inner, job->log, (double *)job->y + at);
        else
            f64_softmax_backward(job->kernels, (const double *)job->dy + at, (const double *)job->x + at, classes, inner, job->log,
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

/* Positions side by side, as columns. */
static void loss_columns_f32(const loss_job *job, int64_t begin, int64_t end)
{
    const cc_cross_entropy *loss = job->loss;
    const cc_softmax_kernels *kernels = &job->kernels->softmax;
    const int64_t spatial = loss->spatial;
    const bool one_class = names_one_class(loss, job->p);
    float shift[CC_SOFTMAX_COLUMNS], factor[CC_SOFTMAX_COLUMNS];
    double sum[CC_SOFTMAX_COLUMNS], hit[CC_SOFTMAX_COLUMNS];
    for (int64_t i = begin, count; i < end; i += count) {
        count = columns_at(i, end, spatial);
        const int64_t at = i / spatial * loss->c * spatial + i % spatial;
        const float *x = (const float *)job->x + at, *p = job->p != NULL ? (const float *)job->p + at : NULL;
        float *dx = job->dx != NULL ? (float *)job->dx + at : NULL;
        kernels->column_powers_f32(loss->c, spatial, count, x, dx, shift, sum);
        for (int64_t k = 0; k < count; k++) {
            const int64_t target = job->classes == NULL ? 0 : job->classes[i + k];
            const bool counts = job->classes == NULL || target != loss->ignore_index;
            const double tail = log(sum[k]), mass = one_class && counts && job->weight != NULL ? job->weight[target] : 1;
            float *own = dx != NULL && !one_class ? dx + k : NULL;
            job->losses[i + k] = counts ? f32_entropy_of(loss, x + k, spatial, target, p != NULL ? p + k : NULL, job->weight,
                                                         job->scale, tail, shift[k], own) : 0;
            factor[k] = (float)(job->scale * mass / sum[k]);
            hit[k] = dx != NULL && one_class && counts ? job->scale * mass * ((double)dx[target * spatial + k] / sum[k] - 1) : 0;
        }
        if (dx != NULL && one_class)
            kernels->column_scale_f32(loss->c, spatial, count, factor, dx);
        for (int64_t k = 0; dx != NULL && job->classes != NULL && k < count; k++)
            if (job->classes[i + k] == loss->ignore_index)
                for (int64_t c = 0; c < loss->c; c++)
                    dx[c * spatial + k] = 0;
            else if (one_class)
                dx[job->classes[i + k] * spatial + k] = (float)hit[k];
    }
}

static void loss_positions(void *argument, int64_t begin, int64_t end, int part)
{
    const loss_job *job = argument;
    const cc_cross_entropy *loss = job->loss;
    if (loss->dtype == CC_F32 && loss->spatial > 1 && loss->layout == CC_CHANNELS_FIRST && !loss->log_probabilities) {
        loss_columns_f32(job, begin, end);
        return;
    }
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
