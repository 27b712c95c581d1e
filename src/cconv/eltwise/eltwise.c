#include "eltwise.h"

#include "activation_double.h"

#define BLOCK 4096

typedef enum operation { FORWARD, BACKWARD, ADD } operation;

typedef struct map_job {
    const cc_kernels *kernels;
    operation operation;
    cc_activation kind;
    double alpha, beta;
    cc_dtype dtype;
    int64_t n;
    const char *a, *b;
    char *y;
} map_job;

static void map_f32(const map_job *job, int64_t n, const float *a, const float *b, float *y)
{
    if (job->operation == ADD)
        job->kernels->eltwise.add_f32(a, b, y, n);
    else if (job->operation == FORWARD && job->kind == CC_RELU)
        job->kernels->eltwise.relu_f32(a, y, n);
    else if (job->operation == FORWARD)
        job->kernels->activation.forward_f32(job->kind, (float)job->alpha, (float)job->beta, a, y, n);
    else if (job->kind == CC_RELU)
        job->kernels->eltwise.relu_backward_f32(a, b, y, n);
    else
        job->kernels->activation.backward_f32(job->kind, (float)job->alpha, (float)job->beta, a, b, y, n);
}

static void map_f64(const map_job *job, int64_t n, const double *a, const double *b, double *y)
{
    if (job->operation == ADD)
        job->kernels->eltwise.add_f64(a, b, y, n);
    else if (job->operation == FORWARD && job->kind == CC_RELU)
        job->kernels->eltwise.relu_f64(a, y, n);
    else if (job->operation == FORWARD)
        cc_activation_forward_f64(job->kind, job->alpha, job->beta, a, y, n);
    else if (job->kind == CC_RELU)
        job->kernels->eltwise.relu_backward_f64(a, b, y, n);
    else
        cc_activation_backward_f64(job->kind, job->alpha, job->beta, a, b, y, n);
}

static void map_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const map_job *job = argument;
    const size_t size = cc_dtype_size(job->dtype);
    (void)part;
    for (int64_t block = begin; block < end; block++) {
        const int64_t n = cc_min(BLOCK, job->n - block * BLOCK);
        const size_t offset = (size_t)block * BLOCK * size;
        const void *a = job->a + offset, *b = job->b == NULL ? NULL : job->b + offset;
        if (job->dtype == CC_F32)
            map_f32(job, n, a, b, (float *)(job->y + offset));
        else
            map_f64(job, n, a, b, (double *)(job->y + offset));
    }
}

static cc_status map(const cc_context *context, map_job *job)
{
    if (job->n < 0 || (job->dtype != CC_F32 && job->dtype != CC_F64))
        return CC_ERR_ARGUMENT;
    if ((unsigned)job->kind >= CC_ACTIVATIONS)
        return CC_ERR_ARGUMENT;
    job->kernels = context->kernels;
    const int64_t blocks = job->n / BLOCK + (job->n % BLOCK != 0);
    const int64_t grain = job->operation == ADD || job->kind < CC_SIGMOID ? 4 : 1;
    cc_parallel_each(context->pool, cc_parts(context->pool, blocks, grain), blocks, map_blocks, job);
    return CC_OK;
}

cc_status cc_activation_forward(const cc_context *context, cc_activation kind, double alpha, double beta,
                                cc_dtype dtype, int64_t n, const void *x, void *y)
{
    map_job job = {.operation = FORWARD, .kind = kind, .alpha = alpha, .beta = beta, .dtype = dtype, .n = n,
                   .a = x, .y = y};
    return map(context, &job);
}

cc_status cc_activation_backward(const cc_context *context, cc_activation kind, double alpha, double beta,
                                 cc_dtype dtype, int64_t n, const void *dy, const void *x, void *dx)
{
    map_job job = {.operation = BACKWARD, .kind = kind, .alpha = alpha, .beta = beta, .dtype = dtype, .n = n,
                   .a = dy, .b = x, .y = dx};
    return map(context, &job);
}

cc_status cc_eltwise_add(const cc_context *context, cc_dtype dtype, int64_t n, const void *a, const void *b, void *y)
{
    map_job job = {.operation = ADD, .dtype = dtype, .n = n, .a = a, .b = b, .y = y};
    return map(context, &job);
}
