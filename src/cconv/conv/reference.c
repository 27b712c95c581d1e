/* The definition of convolution as loops: every geometry, both layouts, one output after the other.
 *
 * A sum runs over channels, then kernel depth, height and width (backward_weight: images, then output
 * depth, height and width), in that order and in the arrays' own type.
 */
#include "algo.h"

typedef struct reference_job {
    const cc_conv *conv;
    cc_strides x, y;
    int64_t icg, ocg; /* channels of a group */
    const void *w, *b;
    const void *input, *dy;
    void *output;
} reference_job;

/* Where along one axis tap k of output position p reads the image; may be outside of it. */
static int64_t source(const cc_window *w, int axis, int64_t p, int64_t k)
{
    return p * w->stride[axis] + k * w->dilation[axis] - w->pad_before[axis];
}

/* Which output position reads image position q by tap k; -1 if none does. */
static int64_t target(const cc_window *w, int axis, int64_t q, int64_t k)
{
    const int64_t steps = q + w->pad_before[axis] - k * w->dilation[axis];
    if (steps < 0 || steps % w->stride[axis] != 0)
        return -1;
    const int64_t p = steps / w->stride[axis];
    return p < w->output[axis] ? p : -1;
}

static bool inside(const cc_window *w, int axis, int64_t q) { return q >= 0 && q < w->input[axis]; }

/* Split a flat index into a position over three axes; returns what is left above them. */
static int64_t unravel(int64_t index, const int64_t dims[CC_AXES], int64_t position[CC_AXES])
{
    for (int axis = CC_AXES - 1; axis >= 0; axis--) {
        position[axis] = index % dims[axis];
        index /= dims[axis];
    }
    return index;
}

#define T float
#define NAME(name) name##_f32
#include "reference.inc"
#undef T
#undef NAME
#define T double
#define NAME(name) name##_f64
#include "reference.inc"
#undef T
#undef NAME

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)context, (void)conv, (void)pass;
    return true;
}

static void run(const cc_context *context, reference_job *job, const cc_conv *conv, cc_task f32, cc_task f64,
                int64_t outputs, int64_t terms)
{
    job->conv = conv;
    job->x = cc_strides_of(conv->x_layout, conv->ic, conv->window.input);
    job->y = cc_strides_of(conv->y_layout, conv->oc, conv->window.output);
    job->icg = conv->ic / conv->groups;
    job->ocg = conv->oc / conv->groups;
    const int parts = cc_parts(context->pool, outputs, 1 + 16384 / terms);
    cc_parallel_for(context->pool, parts, outputs, conv->dtype == CC_F32 ? f32 : f64, job);
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                         const void *b, const cc_epilogue *epilogue, void *y)
{
    (void)epilogue;
    reference_job job = {.input = x, .w = w, .b = b, .output = y};
    run(context, &job, conv, forward_f32, forward_f64, conv->n * conv->oc * cc_volume(conv->window.output),
        conv->ic / conv->groups * cc_volume(conv->window.kernel));
    return CC_OK;
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    (void)residual;
    reference_job job = {.dy = dy, .w = w, .output = dx};
    run(context, &job, conv, backward_data_f32, backward_data_f64,
        conv->n * conv->ic * cc_volume(conv->window.input),
        conv->oc / conv->groups * cc_volume(conv->window.kernel));
    return CC_OK;
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                 void *dw)
{
    reference_job job = {.input = x, .dy = dy, .output = dw};
    run(context, &job, conv, backward_weight_f32, backward_weight_f64,
        conv->oc * (conv->ic / conv->groups) * cc_volume(conv->window.kernel),
        conv->n * cc_volume(conv->window.output));
    return CC_OK;
}

const cc_conv_algo cc_conv_reference = {
    .name = "reference",
    .skips_padding = {true, true, true},
    .supports = supports,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
