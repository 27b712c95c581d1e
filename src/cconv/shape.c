#include "shape.h"

cc_status cc_product(const int64_t *dims, int count, int64_t *result)
{
    int64_t nonzero = 1;
    bool empty = false;
    for (int i = 0; i < count; i++) {
        if (dims[i] < 0)
            return CC_ERR_ARGUMENT;
        if (dims[i] == 0)
            empty = true;
        else if (!cc_mul(nonzero, dims[i], &nonzero) || nonzero > PTRDIFF_MAX / 16)
            return CC_ERR_OVERFLOW;
    }
    *result = empty ? 0 : nonzero;
    return CC_OK;
}

/* One axis of cc_window_resolve. */
static cc_status resolve_axis(const cc_window *w, int axis, bool ceil_mode, int64_t *out)
{
    const int64_t in = w->input[axis], kernel = w->kernel[axis], stride = w->stride[axis];
    const int64_t dilation = w->dilation[axis], before = w->pad_before[axis], after = w->pad_after[axis];
    if (in < 0 || kernel < 1 || stride < 1 || dilation < 1 || before < 0 || after < 0)
        return CC_ERR_ARGUMENT;

    int64_t padded, reach;
    if (!cc_add(in, before, &padded) || !cc_add(padded, after, &padded))
        return CC_ERR_OVERFLOW;
    if (!cc_mul(kernel - 1, dilation, &reach) || !cc_add(reach, 1, &reach))
        return CC_ERR_OVERFLOW;
    if (reach > padded) {
        if (!ceil_mode || reach - padded >= stride)
            return CC_ERR_SHAPE;
        *out = 1; /* rounded up from a fraction of a stride below one window */
        return CC_OK;
    }

    const int64_t free_places = padded - reach;
    int64_t count = free_places / stride + 1;
    /* One more that sticks out, if its start, count * stride, lies before the padding behind. */
    if (ceil_mode && free_places % stride != 0 && (in + before - 1) / stride >= count)
        count++;
    *out = count;
    return CC_OK;
}

cc_status cc_window_resolve(cc_window *window, bool ceil_mode)
{
    int64_t out[CC_AXES];
    for (int axis = 0; axis < CC_AXES; axis++)
        CC_TRY(resolve_axis(window, axis, ceil_mode, &out[axis]));
    for (int axis = 0; axis < CC_AXES; axis++)
        window->output[axis] = out[axis];
    return CC_OK;
}

cc_status cc_window_check(const cc_window *window)
{
    for (int axis = 0; axis < CC_AXES; axis++) {
        int64_t out;
        CC_TRY(resolve_axis(window, axis, false, &out));
        if (out != window->output[axis])
            return CC_ERR_SHAPE;
    }
    return CC_OK;
}

cc_strides cc_strides_of(cc_layout layout, int64_t channels, const int64_t spatial[CC_AXES])
{
    cc_strides strides;
    const int64_t step = layout == CC_CHANNELS_LAST ? channels : 1;
    strides.s[2] = step;
    strides.s[1] = spatial[2] * step;
    strides.s[0] = spatial[1] * strides.s[1];
    strides.c = layout == CC_CHANNELS_LAST ? 1 : cc_volume(spatial);
    strides.n = channels * cc_volume(spatial);
    return strides;
}
