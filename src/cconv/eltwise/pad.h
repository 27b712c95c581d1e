/* eltwise/pad.h -- padding and cropping by any rule that says, axis by axis, where an element comes from. */
#ifndef CC_ELTWISE_PAD_H
#define CC_ELTWISE_PAD_H

#include "../context.h"

#define CC_PAD_AXES 8

typedef struct cc_pad_axis {
    int64_t size, padded;
    const int64_t *source; /* (padded): a position of x, or -1 for none */
} cc_pad_axis;

/* x (outer, axes, inner), y the same with axes padded. */
typedef struct cc_padding {
    int axes; /* 1 to CC_PAD_AXES */
    cc_pad_axis axis[CC_PAD_AXES];
    int64_t outer, inner;
    cc_dtype dtype;
} cc_padding;

/* y is `value` where an axis says none. CC_ERR_INDEX for positions that x does not have. The arrays do not overlap. */
cc_status cc_pad_forward(const cc_context *context, const cc_padding *padding, const void *x, double value, void *y);

/* Each dx is the sum of the dy whose elements came from there. */
cc_status cc_pad_backward(const cc_context *context, const cc_padding *padding, const void *dy, void *dx);

#endif
