/* eltwise/eltwise.h -- maps over n contiguous values, whatever their memory order. Outputs may be inputs. */
#ifndef CC_ELTWISE_H
#define CC_ELTWISE_H

#include "../context.h"

cc_status cc_activation_forward(const cc_context *context, cc_activation kind, double alpha, double beta,
                                cc_dtype dtype, int64_t n, const void *x, void *y);

/* dx = dy * f'(x). ReLU takes y for x as well. */
cc_status cc_activation_backward(const cc_context *context, cc_activation kind, double alpha, double beta,
                                 cc_dtype dtype, int64_t n, const void *dy, const void *x, void *dx);

/* y = a + b */
cc_status cc_eltwise_add(const cc_context *context, cc_dtype dtype, int64_t n, const void *a, const void *b, void *y);

/* Dropout of x (N, C, spatial) in `layout`: y = x / (1 - p) where kept, else 0. Which elements are kept (or with
 * `per_channel` which planes) is a 32-bit hash of two keys and a number: the keys come from seed, call and the
 * image, the number is c*spatial + s (or c) modulo 2^32. So neither threads nor memory order nor instruction set
 * change it. p counts in steps of 2^-32. Its backward is the same function of dy. 0 <= p <= 1. */
typedef struct cc_dropout {
    int64_t n, c, spatial;
    cc_dtype dtype;
    cc_layout layout;
    double p;
    uint64_t seed, call;
    bool per_channel;
} cc_dropout;

cc_status cc_dropout_apply(const cc_context *context, const cc_dropout *dropout, const void *x, void *y);

/* Copies rows of `bytes` from one array into another that does not overlap it; steps are bytes from row to row, such as
 * those of a position's channels in an array of more channels. */
cc_status cc_rows_copy(const cc_context *context, int64_t rows, int64_t bytes, const void *from, int64_t step_from,
                       void *to, int64_t step_to);

/* y (n x columns x rows) = each matrix of x (n x rows x columns) transposed: images from one memory order to the other. The
 * arrays do not overlap. */
cc_status cc_reorder(const cc_context *context, cc_dtype dtype, int64_t n, int64_t rows, int64_t columns, const void *x,
                     void *y);

/* The shortcut without parameters: every `stride`-th line and column of x (n, channels, height, width), then
 * out_channels - channels planes of zeros. */
typedef struct cc_shortcut {
    int64_t n, channels, out_channels, height, width, stride;
    cc_dtype dtype;
    cc_layout layout;
} cc_shortcut;

cc_status cc_shortcut_forward(const cc_context *context, const cc_shortcut *shortcut, const void *x, void *y);
cc_status cc_shortcut_backward(const cc_context *context, const cc_shortcut *shortcut, const void *dy, void *dx);

#endif
