/* The 1x1 convolution in float64, in both memory orders: im2col's matrix products, whose columns here are the image itself
 * or, with a stride, its pixels that count.
 */
#include "algo.h"

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    for (int axis = 0; axis < CC_AXES; axis++)
        if (w->kernel[axis] != 1 || w->pad_before[axis] != 0 || w->pad_after[axis] != 0)
            return false;
    return conv->groups == 1 && cc_conv_im2col.supports(context, conv, pass);
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                         const void *b, const cc_epilogue *epilogue, void *y)
{
    return cc_conv_im2col.forward(context, conv, x, w, b, epilogue, y);
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    return cc_conv_im2col.backward_data(context, conv, dy, w, residual, dx);
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                 void *dw)
{
    return cc_conv_im2col.backward_weight(context, conv, x, dy, dw);
}

const cc_conv_algo cc_conv_pointwise_double = {
    .name = "pointwise",
    .needs_blas = true,
    .supports = supports,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
