/* loss/loss.h -- softmax, cross-entropy and squared error. Losses are summed in double.
 *
 *   logits, dlogits (N, C, spatial) in `layout`; position i = (n, s) has C logits x_c and the weights q_c below
 *   loss_i = SUM q_c * (lse - x_c),  lse = log SUM exp x_c  (0 if the logits are log-probabilities already)
 *
 * Class targets t: q_c = (1 - smoothing) weight_t [c = t] + smoothing / C weight_c, nothing where t = ignore_index.
 * Probabilities p: q_c = weight_c ((1 - smoothing) p_c + smoothing / C).
 * A negative status means that nothing was written.
 */
#ifndef CC_LOSS_H
#define CC_LOSS_H

#include "../context.h"

typedef struct cc_cross_entropy {
    int64_t n, c, spatial;
    cc_dtype dtype;
    cc_layout layout;
    bool log_probabilities;
    bool mean; /* divide by the weight of the targets (classes), or by N * spatial (probabilities) */
    double smoothing;
    int64_t ignore_index;
} cc_cross_entropy;

/* Exactly one of `classes` (N, spatial) and `probabilities` (like logits) is given. `weight` (C), `losses`
 * (N, spatial, double), `total` and `dlogits`, which must not overlap `logits`, may be NULL. CC_ERR_INDEX for a class
 * outside 0 .. C-1. */
cc_status cc_cross_entropy_forward(const cc_context *context, const cc_cross_entropy *loss, const void *logits,
                                   const int64_t *classes, const void *probabilities, const double *weight,
                                   double *losses, double *total, void *dlogits);

/* Over the middle axis of (outer, classes, inner): y = exp(x - lse), or x - lse with `log`. */
cc_status cc_softmax_forward(const cc_context *context, cc_dtype dtype, bool log, int64_t outer, int64_t classes,
                             int64_t inner, const void *x, void *y);
/* dx = y (dy - SUM y dy), with `log` dx = dy - exp(y) SUM dy */
cc_status cc_softmax_backward(const cc_context *context, cc_dtype dtype, bool log, int64_t outer, int64_t classes,
                              int64_t inner, const void *dy, const void *y, void *dx);

/* total = SUM (a - b)^2; da = scale * (a - b), unless NULL */
cc_status cc_squared_error(const cc_context *context, cc_dtype dtype, int64_t n, const void *a, const void *b,
                           double scale, double *total, void *da);

#endif
