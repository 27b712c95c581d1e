#include "optim.h"

#include <math.h>

static void fetch(const cc_sink *sink, int64_t begin, int64_t n)
{
    const cc_update *u = (const cc_update *)(const void *)sink;
    const char *arrays[] = {u->p, u->first, u->second, u->third};
    const int64_t size = (int64_t)cc_dtype_size(u->dtype);
    for (int i = 0; i < 4 && arrays[i] != NULL; i++)
        for (int64_t at = 0; at < n * size; at += CC_ALIGNMENT)
            __builtin_prefetch(arrays[i] + begin * size + at, 1, 2);
}

static void take_sgd(const cc_sink *sink, int64_t begin, int64_t n, void *g)
{
    const cc_update *u = (const cc_update *)(const void *)sink;
    const size_t offset = (size_t)begin * cc_dtype_size(u->dtype);
    u->kernels->sgd[u->dtype](&u->sgd, n, u->p + offset, g, u->first == NULL ? NULL : u->first + offset);
}

static void take_adam(const cc_sink *sink, int64_t begin, int64_t n, void *g)
{
    const cc_update *u = (const cc_update *)(const void *)sink;
    const size_t offset = (size_t)begin * cc_dtype_size(u->dtype);
    u->kernels->adam[u->dtype](&u->adam, n, u->p + offset, g, u->first + offset, u->second + offset);
}

static void take_rmsprop(const cc_sink *sink, int64_t begin, int64_t n, void *g)
{
    const cc_update *u = (const cc_update *)(const void *)sink;
    const size_t offset = (size_t)begin * cc_dtype_size(u->dtype);
    u->kernels->rmsprop[u->dtype](&u->rmsprop, n, u->p + offset, g, u->first + offset,
                                  u->second == NULL ? NULL : u->second + offset,
                                  u->third == NULL ? NULL : u->third + offset);
}

static void take_adagrad(const cc_sink *sink, int64_t begin, int64_t n, void *g)
{
    const cc_update *u = (const cc_update *)(const void *)sink;
    const size_t offset = (size_t)begin * cc_dtype_size(u->dtype);
    u->kernels->adagrad[u->dtype](&u->adagrad, n, u->p + offset, g, u->first + offset);
}

static void take_adadelta(const cc_sink *sink, int64_t begin, int64_t n, void *g)
{
    const cc_update *u = (const cc_update *)(const void *)sink;
    const size_t offset = (size_t)begin * cc_dtype_size(u->dtype);
    u->kernels->adadelta[u->dtype](&u->adadelta, n, u->p + offset, g, u->first + offset, u->second + offset);
}

cc_status cc_update_sgd(const cc_context *context, const cc_sgd *sgd, cc_dtype dtype, void *p, void *velocity,
                        cc_update *update)
{
    if ((dtype != CC_F32 && dtype != CC_F64) || (velocity == NULL && sgd->momentum != 0.0))
        return CC_ERR_ARGUMENT;
    *update = (cc_update){.sink = {take_sgd, fetch}, .kernels = &context->kernels->optim, .dtype = dtype, .p = p,
                          .first = velocity};
    update->sgd = *sgd;
    return CC_OK;
}

cc_status cc_update_adam(const cc_context *context, const cc_adam *adam, cc_dtype dtype, void *p, void *m, void *v,
                         cc_update *update)
{
    if (dtype != CC_F32 && dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    *update = (cc_update){.sink = {take_adam, fetch}, .kernels = &context->kernels->optim, .dtype = dtype, .p = p,
                          .first = m, .second = v};
    update->adam = *adam;
    return CC_OK;
}

cc_status cc_update_rmsprop(const cc_context *context, const cc_rmsprop *rmsprop, cc_dtype dtype, void *p, void *v,
                            void *mean, void *buffer, cc_update *update)
{
    if ((dtype != CC_F32 && dtype != CC_F64) || (buffer == NULL && rmsprop->momentum != 0.0))
        return CC_ERR_ARGUMENT;
    *update = (cc_update){.sink = {take_rmsprop, fetch}, .kernels = &context->kernels->optim, .dtype = dtype, .p = p,
                          .first = v, .second = mean, .third = buffer};
    update->rmsprop = *rmsprop;
    return CC_OK;
}

cc_status cc_update_adagrad(const cc_context *context, const cc_adagrad *adagrad, cc_dtype dtype, void *p, void *s,
                            cc_update *update)
{
    if (dtype != CC_F32 && dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    *update = (cc_update){.sink = {take_adagrad, fetch}, .kernels = &context->kernels->optim, .dtype = dtype, .p = p,
                          .first = s};
    update->adagrad = *adagrad;
    return CC_OK;
}

cc_status cc_update_adadelta(const cc_context *context, const cc_adadelta *adadelta, cc_dtype dtype, void *p, void *v,
                             void *u, cc_update *update)
{
    if (dtype != CC_F32 && dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    *update = (cc_update){.sink = {take_adadelta, fetch}, .kernels = &context->kernels->optim, .dtype = dtype, .p = p,
                          .first = v, .second = u};
    update->adadelta = *adadelta;
    return CC_OK;
}

/* At most CHUNKS sums, of at least SHORTEST elements each. */
#define CHUNKS 64
#define SHORTEST 4096

typedef struct squares_job {
    double (*squares)(int64_t n, const void *x);
    const char *x;
    size_t size;
    int64_t n, chunk;
    double sums[CHUNKS];
} squares_job;

static void square_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    squares_job *job = argument;
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const int64_t start = i * job->chunk;
        job->sums[i] = job->squares(cc_min(job->chunk, job->n - start), job->x + (size_t)start * job->size);
    }
}

cc_status cc_squares(const cc_context *context, cc_dtype dtype, int64_t n, const void *x, double *sum)
{
    if ((dtype != CC_F32 && dtype != CC_F64) || n < 0)
        return CC_ERR_ARGUMENT;
    squares_job job = {.squares = context->kernels->optim.squares[dtype], .x = x, .size = cc_dtype_size(dtype), .n = n,
                       .chunk = n <= CHUNKS * SHORTEST ? SHORTEST : cc_ceil_div(n, CHUNKS)};
    const int64_t chunks = cc_ceil_div(n, job.chunk);
    cc_parallel_for(context->pool, cc_parts(context->pool, chunks, 4), chunks, square_chunks, &job);
    *sum = 0;
    for (int64_t i = 0; i < chunks; i++)
        *sum += job.sums[i];
    return CC_OK;
}

cc_status cc_step_lars(const cc_context *context, const cc_lars *lars, cc_dtype dtype, int64_t n, void *p, void *g,
                       void *v, int64_t layers, const int64_t *ends, const unsigned char *plain)
{
    if ((dtype != CC_F32 && dtype != CC_F64) || n < 0 || layers < 0 || (v == NULL && lars->momentum != 0.0))
        return CC_ERR_ARGUMENT;
    for (int64_t l = 0, last = 0; l < layers; last = ends[l++])
        if (ends[l] < last || ends[l] > n)
            return CC_ERR_ARGUMENT;
    for (int64_t l = 0, begin = 0; l < layers; begin = ends[l++]) {
        const int64_t count = ends[l] - begin;
        const size_t offset = (size_t)begin * cc_dtype_size(dtype);
        double ratio = 1, pp = 0, gg = 0;
        if (!plain[l]) {
            CC_TRY(cc_squares(context, dtype, count, (char *)p + offset, &pp));
            CC_TRY(cc_squares(context, dtype, count, (char *)g + offset, &gg));
            if (pp > 0 && gg > 0)
                ratio = lars->trust * sqrt(pp) / (sqrt(gg) + lars->weight_decay * sqrt(pp) + lars->eps);
        }
        /* The velocity holds steps, rates included: a later change of lr leaves it as it is. */
        const double rate = lars->lr * ratio;
        const cc_sgd sgd = {.lr = v == NULL ? rate : 1, .momentum = lars->momentum, .keep = rate,
                            .weight_decay = plain[l] ? 0 : lars->weight_decay, .clear = lars->clear};
        cc_update update;
        CC_TRY(cc_update_sgd(context, &sgd, dtype, p, v, &update));
        cc_sink_give(context, &update.sink, dtype, begin, count, (char *)g + offset);
    }
    return CC_OK;
}
