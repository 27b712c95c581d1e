/* pool/pool.h -- pooling over one, two or three spatial axes.
 *
 *   x, dx (N, C, D, H, W)     y, dy, places, indices (N, C, OD, OH, OW), all in `layout`
 *
 * Where a maximum came from is kept in one of two forms: `places`, its position in the window (row-major over
 * the kernel; windows of at most 256), or `indices`, its flat position in the (D, H, W) plane of the input.
 * The first of equal maxima counts; NaN beats everything, the first one.
 *
 * Every output is overwritten. A negative status means that nothing was written.
 */
#ifndef CC_POOL_H
#define CC_POOL_H

#include "../context.h"

typedef struct cc_pooling {
    int64_t n, c;
    cc_window window; /* with `adaptive` only input and output count */
    cc_dtype dtype;
    cc_layout layout;
    bool ceil_mode;
    /* Output o of an axis sees floor(o*in/out) <= i < ceil((o+1)*in/out). */
    bool adaptive;
    /* What an average divides by: `divisor` if not 0, else the positions of the window inside the padded
     * image, or with count_include_pad false those inside the image. */
    bool count_include_pad;
    int64_t divisor;
} cc_pooling;

#define CC_POOL_MAX_PLACES 256

/* Check all sizes and, unless adaptive, fill window.output. */
cc_status cc_pooling_resolve(cc_pooling *pooling);

/* places and indices may be NULL. CC_ERR_SHAPE, from averages too, where a window sees padding only. */
cc_status cc_max_pool_forward(const cc_context *context, const cc_pooling *pooling, const void *x, void *y,
                              uint8_t *places, int64_t *indices);
cc_status cc_max_pool_backward(const cc_context *context, const cc_pooling *pooling, const void *dy,
                               const uint8_t *places, void *dx);

cc_status cc_average_pool_forward(const cc_context *context, const cc_pooling *pooling, const void *x, void *y);
cc_status cc_average_pool_backward(const cc_context *context, const cc_pooling *pooling, const void *dy, void *dx);

/* By indices, whatever windows made them; of `pooling` these read n, c, window.input, window.output, dtype
 * and layout. CC_ERR_INDEX unless every index lies in its plane.
 *
 *   max_pool_backward_indices:  dx = 0;  dx[index] += dy
 *   max_unpool_forward:         y = 0;   y[index] = x     (the last of equal indices stays)
 *   max_unpool_backward:        dx = dy[index]
 *
 * x and its gradient have the small spatial size here, y and dy the large one. */
cc_status cc_max_pool_backward_indices(const cc_context *context, const cc_pooling *pooling, const void *dy,
                                       const int64_t *indices, void *dx);
cc_status cc_max_unpool_forward(const cc_context *context, const cc_pooling *pooling, const void *x,
                                const int64_t *indices, void *y);
cc_status cc_max_unpool_backward(const cc_context *context, const cc_pooling *pooling, const void *dy,
                                 const int64_t *indices, void *dx);

#endif
