/* Inf and NaN apart: an algorithm multiplies the finite factors (w; dy in backward_weight) with all there is, padding too, and
 * what the others add is added to its result one after the other, where they meet the image. They are few, or NaN.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "algo.h"

/* Taps of a kernel whose state is kept, for this many output channels at a time. */
#define TAPS_NOTED 512
#define BLOCK 16

typedef struct apart_job {
    const cc_conv *conv;
    cc_pass pass;
    cc_strides x, y;
    int64_t icg, ocg;            /* channels of a group */
    const void *factors, *other; /* other: x, or dy in backward_data */
    void *result;
    const int64_t *places; /* of the special ones among dy */
    int64_t special;
} apart_job;

/* Positions of a plane that a tap connects, in the result and in the other array. */
typedef struct box {
    int64_t to, from; /* the first ones */
    int64_t to_step[CC_AXES], from_step[CC_AXES], count[CC_AXES];
} box;

static void tap_position(const cc_window *w, int64_t tap, int64_t k[CC_AXES])
{
    k[0] = tap / w->kernel[2] / w->kernel[1];
    k[1] = tap / w->kernel[2] % w->kernel[1];
    k[2] = tap % w->kernel[2];
}

/* False where the tap lies in the padding of every window. */
static bool reach(const apart_job *job, int64_t tap, box *b)
{
    const cc_window *w = &job->conv->window;
    int64_t k[CC_AXES], x = 0, y = 0, x_step[CC_AXES];
    tap_position(w, tap, k);
    for (int a = 0; a < CC_AXES; a++) {
        const int64_t before = w->pad_before[a] - k[a] * w->dilation[a], beyond = w->input[a] + before;
        const int64_t first = cc_ceil_div(cc_max(before, 0), w->stride[a]);
        const int64_t last = beyond > 0 ? cc_min(w->output[a], (beyond - 1) / w->stride[a] + 1) : 0;
        if (first >= last)
            return false;
        b->count[a] = last - first;
        y += first * job->y.s[a];
        x += (first * w->stride[a] - before) * job->x.s[a];
        x_step[a] = last - first > 1 ? w->stride[a] * job->x.s[a] : 0;
    }
    const bool back = job->pass == CC_BACKWARD_DATA;
    b->to = back ? x : y;
    b->from = back ? y : x;
    for (int a = 0; a < CC_AXES; a++) {
        b->to_step[a] = back ? x_step[a] : job->y.s[a];
        b->from_step[a] = back ? job->y.s[a] : x_step[a];
    }
    return true;
}

/* Where in a plane of x a tap of output position `p` reads; false in the padding. */
static bool source(const apart_job *job, const int64_t p[CC_AXES], int64_t tap, int64_t *from)
{
    const cc_window *w = &job->conv->window;
    int64_t k[CC_AXES];
    tap_position(w, tap, k);
    *from = 0;
    for (int a = 0; a < CC_AXES; a++) {
        const int64_t q = p[a] * w->stride[a] + k[a] * w->dilation[a] - w->pad_before[a];
        if (q < 0 || q >= w->input[a])
            return false;
        *from += q * job->x.s[a];
    }
    return true;
}

#define T float
#define SMALLEST FLT_MIN
#define NAME(name) name##_f32
#include "apart.inc"
#undef T
#undef SMALLEST
#undef NAME
#define T double
#define SMALLEST DBL_MIN
#define NAME(name) name##_f64
#include "apart.inc"
#undef T
#undef SMALLEST
#undef NAME

static void run(const cc_context *context, const cc_conv *conv, cc_pass pass, apart_job *job)
{
    static const cc_task tasks[CC_PASSES][2] = {
        [CC_FORWARD] = {forward_f32, forward_f64},
        [CC_BACKWARD_DATA] = {backward_data_f32, backward_data_f64},
        [CC_BACKWARD_WEIGHT] = {backward_weight_f32, backward_weight_f64},
    };
    job->conv = conv;
    job->pass = pass;
    job->icg = conv->ic / conv->groups;
    job->ocg = conv->oc / conv->groups;
    job->x = cc_strides_of(conv->x_layout, conv->ic, conv->window.input);
    job->y = cc_strides_of(conv->y_layout, conv->oc, conv->window.output);
    const int64_t items = pass == CC_BACKWARD_WEIGHT ? cc_ceil_div(conv->oc, BLOCK)
                                                     : conv->n * (pass == CC_FORWARD ? conv->oc : conv->ic);
    cc_parallel_each(context->pool, cc_parts(context->pool, items, 1), items, tasks[pass][conv->dtype], job);
}

/* The factors with finite ones for Inf and NaN, and how many those are; NULL where there is no memory. */
static void *finite_factors(const cc_context *context, const cc_conv *conv, cc_pass pass, const void *factors,
                            int64_t *special)
{
    const int64_t n = cc_conv_factors(conv, pass);
    void *finite = cc_arena_alloc(context->arena, (size_t)n * cc_dtype_size(conv->dtype));
    if (finite != NULL)
        *special = conv->dtype == CC_F32 ? separate_f32(factors, n, finite) : separate_f64(factors, n, finite);
    return finite;
}

cc_status cc_conv_apart_forward(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv, const void *x,
                                const void *w, const void *b, const cc_epilogue *epilogue, void *y)
{
    apart_job job = {.factors = w, .other = x, .result = y};
    void *finite = finite_factors(context, conv, CC_FORWARD, w, &job.special);
    cc_status status = CC_ERR_MEMORY;
    if (finite != NULL)
        status = cc_conv_algo_forward(algo, context, conv, x, finite, NULL, NULL, y);
    cc_arena_free(context->arena, finite);
    if (status != CC_OK) /* y may have been written to already */
        return cc_conv_algo_forward(&cc_conv_reference, context, conv, x, w, b, epilogue, y);
    run(context, conv, CC_FORWARD, &job);
    if (b != NULL || epilogue != NULL)
        cc_conv_apply_epilogue(context, conv, b, epilogue, y);
    return CC_OK;
}

cc_status cc_conv_apart_backward_data(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv,
                                      const void *dy, const void *w, const void *residual, void *dx)
{
    apart_job job = {.factors = w, .other = dy, .result = dx};
    void *finite = finite_factors(context, conv, CC_BACKWARD_DATA, w, &job.special);
    cc_status status = CC_ERR_MEMORY;
    if (finite != NULL)
        status = cc_conv_algo_backward_data(algo, context, conv, dy, finite, NULL, dx);
    cc_arena_free(context->arena, finite);
    if (status != CC_OK)
        return cc_conv_algo_backward_data(&cc_conv_reference, context, conv, dy, w, residual, dx);
    run(context, conv, CC_BACKWARD_DATA, &job);
    if (residual != NULL)
        cc_conv_add_residual(context, conv, residual, dx);
    return CC_OK;
}

cc_status cc_conv_apart_backward_weight(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv,
                                        const void *x, const void *dy, void *dw)
{
    apart_job job = {.factors = dy, .other = x, .result = dw};
    void *finite = finite_factors(context, conv, CC_BACKWARD_WEIGHT, dy, &job.special);
    if (finite == NULL)
        return CC_ERR_MEMORY;
    int64_t *places = cc_arena_alloc(context->arena, (size_t)job.special * sizeof *places);
    cc_status status = CC_ERR_MEMORY;
    if (places != NULL)
        status = cc_conv_algo_backward_weight(algo, context, conv, x, finite, dw);
    cc_arena_free(context->arena, finite);
    if (status == CC_OK) {
        if (conv->dtype == CC_F32)
            list_f32(dy, cc_conv_factors(conv, CC_BACKWARD_WEIGHT), places);
        else
            list_f64(dy, cc_conv_factors(conv, CC_BACKWARD_WEIGHT), places);
        job.places = places;
        run(context, conv, CC_BACKWARD_WEIGHT, &job);
    }
    cc_arena_free(context->arena, places);
    return status;
}
