/* conv/conv.h -- convolution (cross-correlation) over one, two or three spatial axes.
 *
 *   y[n,o,p] = b[o] + SUM(i, r)  w[o,i,r] * x[n, g*IC/groups + i, p*stride + r*dilation - pad_before]
 *
 * p and r are positions over (D, H, W); g = o / (OC/groups) is o's group, i runs over its IC/groups
 * input channels, and x is 0 outside the image.
 *
 *   x, dx (N, IC, D, H, W)   in x_layout       w, dw (OC, IC/groups, KD, KH, KW)  contiguous
 *   y, dy (N, OC, OD, OH, OW) in y_layout      b (OC), may be NULL
 *
 * y and dx are overwritten, dw is added to. Arrays of one call share the dtype and do not overlap
 * (inputs may). A negative status means that nothing was written.
 */
#ifndef CC_CONV_H
#define CC_CONV_H

#include "../sink.h"
#include "../context.h"

typedef struct cc_conv {
    int64_t n, ic, oc, groups;
    cc_window window;
    cc_dtype dtype;
    cc_layout x_layout, y_layout;
    /* Tiles may reach over images that lie side by side: faster, but rounding errors of an image may be those of its
     * neighbours' values. Sums over all images, as the weight gradient is, do so anyway. */
    bool mosaic;
} cc_conv;

typedef enum cc_pass { CC_FORWARD = 0, CC_BACKWARD_DATA, CC_BACKWARD_WEIGHT, CC_PASSES } cc_pass;

/* What happens to the sums on their way out of a forward pass: y = max(sum * scale + b + residual, 0). */
typedef struct cc_epilogue {
    const void *scale;    /* (OC), or NULL: 1 */
    const void *residual; /* like y, or NULL */
    bool relu;
} cc_epilogue;

/* Check all sizes and fill window.output. */
cc_status cc_conv_resolve(cc_conv *conv);

/* Algorithms have indices 0 .. cc_conv_algo_count()-1 in order of preference; the reference is last. */
int cc_conv_algo_count(void);
const char *cc_conv_algo_name(int algo);
bool cc_conv_algo_needs_blas(int algo, cc_dtype dtype);
bool cc_conv_algo_approximate(int algo);
bool cc_conv_algo_supports(const cc_context *context, int algo, const cc_conv *conv, cc_pass pass);

/* Whether `auto` would take it, were it the first. */
bool cc_conv_algo_pays(const cc_context *context, int algo, const cc_conv *conv, cc_pass pass);

/* The one `auto` takes for this shape and pass: the first that pays, else the last. */
int cc_conv_algo_choose(const cc_context *context, const cc_conv *conv, cc_pass pass);

/* `algo` is an index, or -1 for `auto`. `epilogue` may be NULL. */
cc_status cc_conv_forward(const cc_context *context, int algo, const cc_conv *conv, const void *x, const void *w,
                          const void *b, const cc_epilogue *epilogue, void *y);
/* `residual`, like dx or NULL, is added to dx. */
cc_status cc_conv_backward_data(const cc_context *context, int algo, const cc_conv *conv, const void *dy,
                                const void *w, const void *residual, void *dx);
cc_status cc_conv_backward_weight(const cc_context *context, int algo, const cc_conv *conv, const void *x,
                                  const void *dy, void *dw);
/* The weight gradient to `sink`, for which it begins at element `begin`, in pieces where the algorithm can. After
 * CC_ERR_MEMORY it may have taken a part. */
cc_status cc_conv_give_weight(const cc_context *context, int algo, const cc_conv *conv, const void *x, const void *dy,
                              const cc_sink *sink, int64_t begin);

/* dx += b (IC), the bias of the transposed convolution. */
cc_status cc_conv_add_bias(const cc_context *context, const cc_conv *conv, const void *b, void *dx);

/* db (OC) += the sum of dy over everything but channels, accumulated in double. */
cc_status cc_conv_backward_bias(const cc_context *context, const cc_conv *conv, const void *dy, void *db);

/* The same of a convolution with ReLU behind it, y its output: dx = dy where y > 0, else 0, and db += its sum. */
cc_status cc_conv_backward_relu(const cc_context *context, const cc_conv *conv, const void *dy, const void *y,
                                void *dx, void *db);

#endif
