#include "algo.h"

/* In order of preference: `auto` takes the first that supports the geometry and pays. The last two do everything. */
static const cc_conv_algo *const algos[][2] = {
    {[CC_F32] = &cc_conv_depthwise, [CC_F64] = &cc_conv_depthwise},
    {[CC_F32] = &cc_conv_blocks, [CC_F64] = &cc_conv_blocks},
    {[CC_F32] = &cc_conv_stencil, [CC_F64] = &cc_conv_stencil},
    {[CC_F32] = &cc_conv_grouped, [CC_F64] = &cc_conv_grouped},
    {[CC_F32] = &cc_conv_pointwise, [CC_F64] = &cc_conv_pointwise_double},
    {[CC_F32] = &cc_conv_winograd, [CC_F64] = &cc_conv_winograd_double},
    {[CC_F32] = &cc_conv_winograd_strided, [CC_F64] = &cc_conv_winograd_strided},
    {[CC_F32] = &cc_conv_winograd_dilated, [CC_F64] = &cc_conv_winograd_dilated},
    {[CC_F32] = &cc_conv_direct, [CC_F64] = &cc_conv_direct_double},
    {[CC_F32] = &cc_conv_im2col, [CC_F64] = &cc_conv_im2col},
    {[CC_F32] = &cc_conv_reference, [CC_F64] = &cc_conv_reference},
};

#define COUNT ((int)(sizeof algos / sizeof algos[0]))

int cc_conv_algo_count(void) { return COUNT; }

const cc_conv_algo *cc_conv_algo_get(int algo, cc_dtype dtype)
{
    return algo >= 0 && algo < COUNT && (dtype == CC_F32 || dtype == CC_F64) ? algos[algo][dtype] : NULL;
}

const char *cc_conv_algo_name(int algo)
{
    const cc_conv_algo *a = cc_conv_algo_get(algo, CC_F32);
    return a != NULL ? a->name : NULL;
}

bool cc_conv_algo_needs_blas(int algo, cc_dtype dtype)
{
    const cc_conv_algo *a = cc_conv_algo_get(algo, dtype);
    return a != NULL && a->needs_blas;
}

bool cc_conv_algo_approximate(int algo)
{
    const cc_conv_algo *a = cc_conv_algo_get(algo, CC_F32);
    return a != NULL && a->approximate;
}

/* Steps and padding beyond this are left to the algorithms that do everything. */
#define FAR ((int64_t)1 << 24)

bool cc_conv_algo_able(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    for (int axis = 0; axis < CC_AXES && algo != &cc_conv_reference && algo != &cc_conv_im2col; axis++)
        if (w->stride[axis] > FAR || w->dilation[axis] > FAR || w->pad_before[axis] > FAR || w->pad_after[axis] > FAR)
            return false;
    return algo->supports(context, conv, pass);
}

bool cc_conv_algo_supports(const cc_context *context, int algo, const cc_conv *conv, cc_pass pass)
{
    const cc_conv_algo *a = cc_conv_algo_get(algo, conv->dtype);
    cc_conv resolved = *conv;
    if (a == NULL || pass < CC_FORWARD || pass >= CC_PASSES || cc_conv_resolve(&resolved) != CC_OK)
        return false;
    return cc_conv_algo_able(a, context, &resolved, pass);
}

static cc_status forward(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv, const void *x,
                         const void *w, const void *b, const cc_epilogue *epilogue, void *y)
{
    if (epilogue != NULL && epilogue->scale == NULL && epilogue->residual == NULL && !epilogue->relu)
        epilogue = NULL;
    if (algo->fuses || epilogue == NULL)
        return algo->forward(context, conv, x, w, b, epilogue, y);
    CC_TRY(algo->forward(context, conv, x, w, NULL, NULL, y));
    cc_conv_apply_epilogue(context, conv, b, epilogue, y);
    return CC_OK;
}

cc_status cc_conv_algo_forward(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv, const void *x,
                               const void *w, const void *b, const cc_epilogue *epilogue, void *y)
{
    CC_TRY(forward(algo, context, conv, x, w, b, epilogue, y));
    if (!algo->skips_padding[CC_FORWARD] && cc_conv_multiplied_padding(context, conv, CC_FORWARD, y, w))
        return cc_conv_apart_forward(algo, context, conv, x, w, b, epilogue, y);
    return CC_OK;
}

static cc_status backward_data(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv,
                               const void *dy, const void *w, const void *residual, void *dx)
{
    if (algo->fuses || residual == NULL)
        return algo->backward_data(context, conv, dy, w, residual, dx);
    CC_TRY(algo->backward_data(context, conv, dy, w, NULL, dx));
    cc_conv_add_residual(context, conv, residual, dx);
    return CC_OK;
}

cc_status cc_conv_algo_backward_data(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv,
                                     const void *dy, const void *w, const void *residual, void *dx)
{
    CC_TRY(backward_data(algo, context, conv, dy, w, residual, dx));
    if (!algo->skips_padding[CC_BACKWARD_DATA] && cc_conv_multiplied_padding(context, conv, CC_BACKWARD_DATA, dx, w))
        return cc_conv_apart_backward_data(algo, context, conv, dy, w, residual, dx);
    return CC_OK;
}

cc_status cc_conv_algo_backward_weight(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv,
                                       const void *x, const void *dy, void *dw)
{
    const cc_pass pass = CC_BACKWARD_WEIGHT;
    if (!algo->skips_padding[pass] && cc_conv_multiplied_padding(context, conv, pass, dy, dy))
        return cc_conv_apart_backward_weight(algo, context, conv, x, dy, dw);
    return algo->backward_weight(context, conv, x, dy, dw);
}

static bool suits(const cc_context *context, const cc_conv_algo *a, const cc_conv *conv, cc_pass pass)
{
    return !(a->approximate && context->exact) && cc_conv_algo_able(a, context, conv, pass) &&
           (a->pays == NULL || a->pays(context, conv, pass));
}

bool cc_conv_algo_pays(const cc_context *context, int algo, const cc_conv *conv, cc_pass pass)
{
    const cc_conv_algo *a = cc_conv_algo_get(algo, conv->dtype);
    cc_conv resolved = *conv;
    return a != NULL && pass >= CC_FORWARD && pass < CC_PASSES && cc_conv_resolve(&resolved) == CC_OK &&
           suits(context, a, &resolved, pass);
}

int cc_conv_algo_choose(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    cc_conv resolved = *conv;
    if (cc_conv_resolve(&resolved) != CC_OK)
        return COUNT - 1;
    for (int i = 0; i < COUNT - 1; i++)
        if (suits(context, algos[i][resolved.dtype], &resolved, pass))
            return i;
    return COUNT - 1;
}
