#include "optim.h"

#define BLOCK 4096

typedef struct step_job {
    const cc_context *context;
    const cc_sgd *sgd;
    const cc_adam *adam;
    cc_dtype dtype;
    int64_t n;
    char *p, *g, *first, *second;
} step_job;

static void step_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const step_job *job = argument;
    const cc_optim_kernels *kernels = &job->context->kernels->optim;
    const size_t size = cc_dtype_size(job->dtype);
    (void)part;
    for (int64_t block = begin; block < end; block++) {
        const int64_t start = block * BLOCK, count = cc_min(BLOCK, job->n - start);
        const size_t offset = (size_t)start * size;
        char *first = job->first == NULL ? NULL : job->first + offset;
        if (job->sgd != NULL)
            kernels->sgd[job->dtype](job->sgd, count, job->p + offset, job->g + offset, first);
        else
            kernels->adam[job->dtype](job->adam, count, job->p + offset, job->g + offset, first,
                                      job->second + offset);
    }
}

static cc_status step(step_job *job)
{
    if (job->dtype != CC_F32 && job->dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    if (job->n < 0)
        return CC_ERR_ARGUMENT;
    const int64_t blocks = job->n / BLOCK + (job->n % BLOCK != 0);
    cc_parallel_for(job->context->pool, cc_parts(job->context->pool, blocks, 4), blocks, step_blocks, job);
    return CC_OK;
}

cc_status cc_sgd_step(const cc_context *context, const cc_sgd *sgd, cc_dtype dtype, int64_t n, void *p, void *g,
                      void *velocity)
{
    if (velocity == NULL && sgd->momentum != 0.0)
        return CC_ERR_ARGUMENT;
    step_job job = {.context = context, .sgd = sgd, .dtype = dtype, .n = n, .p = p, .g = g, .first = velocity};
    return step(&job);
}

cc_status cc_adam_step(const cc_context *context, const cc_adam *adam, cc_dtype dtype, int64_t n, void *p, void *g,
                       void *m, void *v)
{
    step_job job = {.context = context, .adam = adam, .dtype = dtype, .n = n, .p = p, .g = g, .first = m, .second = v};
    return step(&job);
}
