/* conv/lanes.h -- a chain of small convolutions, each with ReLU and 2x2 max pooling, run on blocks of
 * images with an image in each vector lane (kernels/lanes.h). What LeNet's convolutions are.
 *
 *   x (N, IC, H, W) -> [ conv stride 1 + bias -> ReLU -> 2x2 max pool ] per stage -> y (N, OC, PH, PW)
 *
 * All arrays are float32, contiguous and channels-first. A block goes through all stages while it is
 * in cache.
 */
#ifndef CC_CONV_LANES_H
#define CC_CONV_LANES_H

#include "../context.h"

#define CC_LANES_STAGES 4

typedef struct cc_lanes_stage {
    int64_t oc, kh, kw;
    int64_t top, bottom, left, right; /* padding, each less than the kernel */
    cc_lanes_shape shape;             /* filled by cc_lanes_resolve */
} cc_lanes_stage;

typedef struct cc_lanes_chain {
    int64_t n, ic, h, w;
    int stages;
    cc_lanes_stage stage[CC_LANES_STAGES];
} cc_lanes_chain;

/* Check all sizes and fill the shapes. */
cc_status cc_lanes_resolve(cc_lanes_chain *chain);

/* Bytes that a forward pass keeps for the backward one. */
cc_status cc_lanes_saved_size(const cc_context *context, const cc_lanes_chain *chain, int64_t *bytes);

/* weight[s] (OC, IC, KH, KW), bias[s] (OC). `saved` may be NULL: inference. */
cc_status cc_lanes_forward(const cc_context *context, const cc_lanes_chain *chain, const float *x,
                           const float *const *weight, const float *const *bias, void *saved, float *y);

/* dy like y; adds into dw[s] and db[s]; dx like x, or NULL when nobody wants it. */
cc_status cc_lanes_backward(const cc_context *context, const cc_lanes_chain *chain, const void *saved,
                            const float *const *weight, const float *dy, float *const *dw, float *const *db,
                            float *dx);

#endif
