#include "pass.h"

static void visit_forward(const cc_pool_run *run, int64_t x, int64_t y, void *argument)
{
    const cc_pool_pass *pass = argument;
    const cc_pool_kernels *kernels = &pass->context->kernels->pool;
    uint8_t *place = pass->place != NULL ? pass->place + y : NULL;
    int64_t *index = pass->index != NULL ? pass->index + y : NULL;
    if (pass->pooling->dtype == CC_F32)
        kernels->max_f32(run, (const float *)pass->x + x, (float *)pass->y + y, place, index);
    else
        kernels->max_f64(run, (const double *)pass->x + x, (double *)pass->y + y, place, index);
}

static void visit_backward(const cc_pool_run *run, int64_t dx, int64_t dy, void *argument)
{
    const cc_pool_pass *pass = argument;
    const cc_pool_kernels *kernels = &pass->context->kernels->pool;
    if (pass->pooling->dtype == CC_F32)
        kernels->max_backward_f32(run, (const float *)pass->x + dy, pass->from + dy, (float *)pass->y + dx);
    else
        kernels->max_backward_f64(run, (const double *)pass->x + dy, pass->from + dy, (double *)pass->y + dx);
}

static cc_status check_places(const cc_pooling *p)
{
    int64_t volume;
    if (p->adaptive)
        return CC_ERR_UNSUPPORTED;
    CC_TRY(cc_product(p->window.kernel, CC_AXES, &volume));
    return volume <= CC_POOL_MAX_PLACES ? CC_OK : CC_ERR_UNSUPPORTED;
}

cc_status cc_max_pool_forward(const cc_context *context, const cc_pooling *p, const void *x, void *y,
                              uint8_t *places, int64_t *indices)
{
    if (places != NULL) {
        if (indices != NULL)
            return CC_ERR_ARGUMENT;
        CC_TRY(check_places(p));
    }
    const cc_pool_ids ids = places != NULL ? CC_POOL_PLACES : indices != NULL ? CC_POOL_POSITIONS : CC_POOL_NO_IDS;
    cc_pool_pass pass = {.context = context, .pooling = p, .ids = ids,
                         .visit = visit_forward, .x = x, .y = y, .place = places, .index = indices};
    return cc_pool_pass_forward(&pass);
}

cc_status cc_max_pool_backward(const cc_context *context, const cc_pooling *p, const void *dy, const uint8_t *places,
                               void *dx)
{
    CC_TRY(check_places(p));
    cc_pool_pass pass = {.context = context, .pooling = p, .ids = CC_POOL_PLACES, .visit = visit_backward, .x = dy, .y = dx,
                         .from = places};
    return cc_pool_pass_backward(&pass);
}
