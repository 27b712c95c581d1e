/* conv/planes.h -- depthwise convolution with 3x3 windows, one or two pixels apart: whole rows at a time, padding
 * skipped by the kernels themselves.
 */
#ifndef CC_CONV_PLANES_H
#define CC_CONV_PLANES_H

#include "conv.h"

/* The conv is resolved, channels-last, and each channel of y has one of x. */
bool cc_planes_suit(const cc_conv *conv);

/* As the passes of an algorithm. */
cc_status cc_planes_forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                            const void *b, const cc_epilogue *epilogue, void *y);
cc_status cc_planes_backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                                  const void *residual, void *dx);
cc_status cc_planes_backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                    void *dw);

#endif
