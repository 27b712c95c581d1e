/* conv/depthwise_rows.h -- depthwise convolution of channels-first images with 3x3 windows, one or two pixels apart: a plane
 * at a time.
 */
#ifndef CC_CONV_DEPTHWISE_ROWS_H
#define CC_CONV_DEPTHWISE_ROWS_H

#include "conv.h"

/* The conv is resolved. */
bool cc_depthwise_rows_suit(const cc_conv *conv);

/* As the passes of an algorithm. */
cc_status cc_depthwise_rows_forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                                    const void *b, const cc_epilogue *epilogue, void *y);
cc_status cc_depthwise_rows_backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                                          const void *residual, void *dx);
cc_status cc_depthwise_rows_backward_weight(const cc_context *context, const cc_conv *conv, const void *x,
                                            const void *dy, void *dw);

#endif
