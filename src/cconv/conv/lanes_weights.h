/* conv/lanes_weights.h -- the weights of a chain's convolutions as kernels/lanes.h reads them. */
#ifndef CC_CONV_LANES_WEIGHTS_H
#define CC_CONV_LANES_WEIGHTS_H

#include "../context.h"

typedef struct cc_lanes_weights {
    const float *direct;
    const float *winograd; /* NULL: direct convolution alone */
} cc_lanes_weights;

/* Whether Winograd's algorithm is chosen. */
bool cc_lanes_takes_winograd(const cc_context *context, const cc_lanes_shape *shape);

/* Floats that packing takes, and the transform of a block's input, and that by pairs of outputs for the gradient of the
 * weights; both are 0 where Winograd is not chosen. */
int64_t cc_lanes_packed_size(const cc_context *context, const cc_lanes_shape *shape);
int64_t cc_lanes_transform_size(const cc_context *context, const cc_lanes_shape *shape);
int64_t cc_lanes_pairs_size(const cc_context *context, const cc_lanes_shape *shape);

/* w (oc, ic, kh, kw); or, `turned`, (ic, oc, kh, kw): the convolution that takes dy to dx has the channels exchanged and
 * the kernel turned by 180 degrees. */
cc_lanes_weights cc_lanes_pack(const cc_context *context, const cc_lanes_shape *shape, const float *w, bool turned,
                               float *packed);

/* sum[i] += the gradients of all blocks, `step` floats apart: in their order, in double, so that it is the same for any
 * number of threads. */
void cc_lanes_add_blocks(const float *gradients, int64_t blocks, int64_t step, int64_t size, float *sum);

#endif
