#include "pass.h"

static void visit_forward(const cc_pool_run *run, int64_t x, int64_t y, void *argument)
{
    const cc_pool_pass *pass = argument;
    const cc_pool_kernels *kernels = &pass->context->kernels->pool;
    if (pass->pooling->dtype == CC_F32)
        kernels->average_f32(run, (const float *)pass->x + x, (float *)pass->y + y);
    else
        kernels->average_f64(run, (const double *)pass->x + x, (double *)pass->y + y);
}

static void visit_backward(const cc_pool_run *run, int64_t dx, int64_t dy, void *argument)
{
    const cc_pool_pass *pass = argument;
    const cc_pool_kernels *kernels = &pass->context->kernels->pool;
    if (pass->pooling->dtype == CC_F32)
        kernels->average_backward_f32(run, (const float *)pass->x + dy, (float *)pass->y + dx);
    else
        kernels->average_backward_f64(run, (const double *)pass->x + dy, (double *)pass->y + dx);
}

cc_status cc_average_pool_forward(const cc_context *context, const cc_pooling *p, const void *x, void *y)
{
    cc_pool_pass pass = {.context = context, .pooling = p, .visit = visit_forward, .x = x, .y = y};
    return cc_pool_pass_forward(&pass);
}

cc_status cc_average_pool_backward(const cc_context *context, const cc_pooling *p, const void *dy, void *dx)
{
    cc_pool_pass pass = {.context = context, .pooling = p, .visit = visit_backward, .x = dy, .y = dx};
    return cc_pool_pass_backward(&pass);
}
