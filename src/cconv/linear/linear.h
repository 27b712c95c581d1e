/* linear/linear.h -- y = x W^T + b, then max(y, 0) with `relu`.
 *
 *   x, dx (rows, in)   y, dy (rows, out)   weight, dweight (out, in)   bias, dbias (out), each may be NULL
 *
 * All contiguous. y and dx are overwritten, dweight and dbias are added to. A negative status means that nothing
 * was added; y and dx then hold anything.
 */
#ifndef CC_LINEAR_H
#define CC_LINEAR_H

#include "../sink.h"

typedef struct cc_linear {
    int64_t rows, in, out;
    cc_dtype dtype;
} cc_linear;

cc_status cc_linear_forward(const cc_context *context, const cc_linear *linear, const void *x, const void *weight,
                            const void *bias, bool relu, void *y);

/* dx = dy W, dweight += dy^T x, dbias += column sums of dy; any of the three may be NULL. */
cc_status cc_linear_backward(const cc_context *context, const cc_linear *linear, const void *dy, const void *x,
                             const void *weight, void *dx, void *dweight, void *dbias);

/* dweight in blocks to `sink`, for which it begins at element `begin`. After CC_ERR_MEMORY
 * some may have been given. */
cc_status cc_linear_backward_weight(const cc_context *context, const cc_linear *linear, const void *dy, const void *x,
                                    const cc_sink *sink, int64_t begin);

#endif
