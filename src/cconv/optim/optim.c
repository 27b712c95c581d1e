#include "optim.h"

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

cc_status cc_update_sgd(const cc_context *context, const cc_sgd *sgd, cc_dtype dtype, void *p, void *velocity,
                        cc_update *update)
{
    if ((dtype != CC_F32 && dtype != CC_F64) || (velocity == NULL && sgd->momentum != 0.0))
        return CC_ERR_ARGUMENT;
    *update = (cc_update){.sink = {take_sgd}, .kernels = &context->kernels->optim, .dtype = dtype, .p = p,
                          .first = velocity};
    update->sgd = *sgd;
    return CC_OK;
}

cc_status cc_update_adam(const cc_context *context, const cc_adam *adam, cc_dtype dtype, void *p, void *m, void *v,
                         cc_update *update)
{
    if (dtype != CC_F32 && dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    *update = (cc_update){.sink = {take_adam}, .kernels = &context->kernels->optim, .dtype = dtype, .p = p,
                          .first = m, .second = v};
    update->adam = *adam;
    return CC_OK;
}
