#include "conv.h"

#include <string.h>

#include "algo.h"

cc_status cc_conv_resolve(cc_conv *conv)
{
    if (conv->n < 0 || conv->ic < 0 || conv->oc < 0 || conv->groups < 1)
        return CC_ERR_ARGUMENT;
    if (conv->dtype != CC_F32 && conv->dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    if (conv->x_layout != CC_CHANNELS_FIRST && conv->x_layout != CC_CHANNELS_LAST)
        return CC_ERR_ARGUMENT;
    if (conv->y_layout != CC_CHANNELS_FIRST && conv->y_layout != CC_CHANNELS_LAST)
        return CC_ERR_ARGUMENT;
    if (conv->ic % conv->groups != 0 || conv->oc % conv->groups != 0)
        return CC_ERR_SHAPE;

    cc_window w = conv->window;
    CC_TRY(cc_window_resolve(&w, false));
    const int64_t x[] = {conv->n, conv->ic, w.input[0], w.input[1], w.input[2]};
    const int64_t y[] = {conv->n, conv->oc, w.output[0], w.output[1], w.output[2]};
    const int64_t weight[] = {conv->oc, conv->ic / conv->groups, w.kernel[0], w.kernel[1], w.kernel[2]};
    int64_t count;
    CC_TRY(cc_product(x, 5, &count));
    CC_TRY(cc_product(y, 5, &count));
    CC_TRY(cc_product(weight, 5, &count));
    conv->window = w;
    return CC_OK;
}

/* Check the conv, and find the algorithm that does this pass. */
static cc_status prepare(const cc_context *context, int algo, const cc_conv *conv, cc_pass pass, cc_conv *resolved,
                         const cc_conv_algo **found)
{
    *resolved = *conv;
    CC_TRY(cc_conv_resolve(resolved));
    if (algo < 0)
        algo = cc_conv_algo_choose(context, resolved, pass);
    *found = cc_conv_algo_get(algo, resolved->dtype);
    if (*found == NULL)
        return CC_ERR_ARGUMENT;
    return cc_conv_algo_able(*found, context, resolved, pass) ? CC_OK : CC_ERR_UNSUPPORTED;
}

cc_status cc_conv_forward(const cc_context *context, int algo, const cc_conv *conv, const void *x, const void *w,
                          const void *b, const cc_epilogue *epilogue, void *y)
{
    cc_conv c;
    const cc_conv_algo *a;
    CC_TRY(prepare(context, algo, conv, CC_FORWARD, &c, &a));
    if (c.n == 0 || c.oc == 0)
        return CC_OK;
    if (y == NULL)
        return CC_ERR_ARGUMENT;
    if (c.ic == 0 || cc_volume(c.window.input) == 0) {
        cc_conv_broadcast_bias(context, &c, NULL, y);
        cc_conv_apply_epilogue(context, &c, b, epilogue, y);
        return CC_OK;
    }
    if (x == NULL || w == NULL)
        return CC_ERR_ARGUMENT;
    return cc_conv_algo_forward(a, context, &c, x, w, b, epilogue, y);
}

cc_status cc_conv_backward_data(const cc_context *context, int algo, const cc_conv *conv, const void *dy,
                                const void *w, const void *residual, void *dx)
{
    cc_conv c;
    const cc_conv_algo *a;
    CC_TRY(prepare(context, algo, conv, CC_BACKWARD_DATA, &c, &a));
    const int64_t count = c.n * c.ic * cc_volume(c.window.input);
    if (count == 0)
        return CC_OK;
    if (dx == NULL)
        return CC_ERR_ARGUMENT;
    if (c.oc == 0) {
        if (residual != NULL)
            memcpy(dx, residual, (size_t)count * cc_dtype_size(c.dtype));
        else
            memset(dx, 0, (size_t)count * cc_dtype_size(c.dtype));
        return CC_OK;
    }
    if (dy == NULL || w == NULL)
        return CC_ERR_ARGUMENT;
    return cc_conv_algo_backward_data(a, context, &c, dy, w, residual, dx);
}

cc_status cc_conv_backward_weight(const cc_context *context, int algo, const cc_conv *conv, const void *x,
                                  const void *dy, void *dw)
{
    cc_conv c;
    const cc_conv_algo *a;
    CC_TRY(prepare(context, algo, conv, CC_BACKWARD_WEIGHT, &c, &a));
    if (c.n == 0 || c.oc == 0 || c.ic == 0 || cc_volume(c.window.input) == 0)
        return CC_OK;
    if (x == NULL || dy == NULL || dw == NULL)
        return CC_ERR_ARGUMENT;
    return cc_conv_algo_backward_weight(a, context, &c, x, dy, dw);
}

cc_status cc_conv_give_weight(const cc_context *context, int algo, const cc_conv *conv, const void *x, const void *dy,
                              const cc_sink *sink, int64_t begin)
{
    cc_conv c;
    const cc_conv_algo *a;
    CC_TRY(prepare(context, algo, conv, CC_BACKWARD_WEIGHT, &c, &a));
    const int64_t count = c.oc * (c.ic / c.groups) * cc_volume(c.window.kernel);
    if (count == 0)
        return CC_OK;
    if (sink == NULL)
        return CC_ERR_ARGUMENT;
    if (a->give_weight != NULL && c.n > 0 && cc_volume(c.window.input) > 0 && x != NULL && dy != NULL) {
        const cc_status given = a->give_weight(context, &c, x, dy, sink, begin);
        if (given != CC_ERR_UNSUPPORTED)
            return given;
    }
    const size_t bytes = (size_t)count * cc_dtype_size(c.dtype);
    void *dw = cc_arena_alloc(context->arena, bytes);
    if (dw == NULL)
        return CC_ERR_MEMORY;
    memset(dw, 0, bytes);
    const cc_status status = cc_conv_backward_weight(context, algo, conv, x, dy, dw);
    if (status == CC_OK)
        cc_sink_give(context, sink, c.dtype, begin, count, dw);
    cc_arena_free(context->arena, dw);
    return status;
}
