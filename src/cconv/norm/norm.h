/* norm/norm.h -- batch norm: one mean and one variance a channel, over the batch and all positions.
 *
 *   y = (x - mean) * rstd * weight + bias,   rstd = 1 / sqrt(var + eps)       then y + residual,
 *                                                           then max(y, 0) with `relu`
 *
 *   x, y, dy, dx, residual, dresidual (N, C, spatial)   in `layout`, the last two may be NULL
 *   weight, bias, dweight, dbias (C)                    each may be NULL
 *   mean, var, rstd (C)            double, whatever the dtype
 *
 * y and dx are overwritten, dweight and dbias are added to. Outputs overlap nothing. A negative status means that
 * nothing was written.
 */
#ifndef CC_NORM_H
#define CC_NORM_H

#include "../context.h"

typedef struct cc_norm {
    int64_t n, c, spatial;
    cc_dtype dtype;
    cc_layout layout;
    bool relu;
    /* Channels-last: values from one position of y and dy to the next, at least c, in a part of an array with more
     * channels; or 0, side by side. All other arrays are without gaps. */
    int64_t spacing;
} cc_norm;

/* By the batch's own statistics, which are returned; var is the biased one. CC_ERR_SHAPE if a channel has
 * fewer than two values. */
cc_status cc_norm_forward(const cc_context *context, const cc_norm *norm, double eps, const void *x,
                          const void *weight, const void *bias, const void *residual, void *y, double *mean,
                          double *var, double *rstd);

/* By given statistics. */
cc_status cc_norm_inference(const cc_context *context, const cc_norm *norm, double eps, const void *x,
                            const double *mean, const double *var, const void *weight, const void *bias,
                            const void *residual, void *y);

/* Running statistics, of c values in `dtype`, move by `share` towards a batch's; `correction` makes its variance the
 * unbiased one, or is 1. */
void cc_norm_track(cc_dtype dtype, int64_t c, const double *mean, const double *var, double share, double correction,
                   void *running_mean, void *running_var);

/* With g = dy, or with `relu` dy where y > 0, and M values a channel (y may be NULL where there was no residual: it
 * is computed again from x, with the same bits):
 *   dbias += SUM g,  dweight += SUM g * (x - mean) * rstd
 *   dx = weight * rstd * (g - SUM g / M - (x - mean) * rstd^2 * SUM g * (x - mean) / M)
 * `mean` may be rounded to float: the batch's mean is found again on the way. With `fixed` the statistics are
 * constants, not the batch's: dx = weight * rstd * g. dresidual = g. */
cc_status cc_norm_backward(const cc_context *context, const cc_norm *norm, bool fixed, const void *dy,
                           const void *x, const void *y, const double *mean, const double *rstd,
                           const void *weight, const void *bias, void *dx, void *dresidual, void *dweight,
                           void *dbias);

#endif
