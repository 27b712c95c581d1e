/* conv/winograd.h -- what the two halves of the Winograd algorithm share. */
#ifndef CC_CONV_WINOGRAD_H
#define CC_CONV_WINOGRAD_H

#include "algo.h"

/* Channels that stand together in a transformed input: a cache line. */
#define CC_WINOGRAD_SLICE 16

/* Results below this were computed too near the denormals to be as accurate as direct convolution. */
#define CC_WINOGRAD_SMALLEST 0x1p-100f

/* The form for the conv's kernel, or NULL. */
const cc_winograd_kernels *cc_winograd_form(const cc_kernels *kernels, const cc_conv *conv);

/* Channels cut into blocks as wide as a register tile. */
typedef struct cc_winograd_columns {
    int64_t channels, width, blocks;
} cc_winograd_columns;

cc_winograd_columns cc_winograd_cut(const cc_kernels *kernels, int64_t channels);

/* Channels and vectors of a block; the last one may be narrower. */
static inline int64_t cc_winograd_channels(const cc_winograd_columns *columns, int64_t block)
{
    return cc_min(columns->width, columns->channels - block * columns->width);
}
int64_t cc_winograd_vectors(const cc_kernels *kernels, const cc_winograd_columns *columns, int64_t block);

/* Whether results of these magnitudes are to be trusted. */
bool cc_winograd_sound(const float *magnitude, int parts);

/* The most preferred algorithm without transforms. */
const cc_conv_algo *cc_winograd_exact(const cc_context *context, const cc_conv *conv, cc_pass pass);

/* Where a weight gradient goes: dw is added to, or a sink takes it, for which it begins at element `begin`. */
typedef struct cc_winograd_gradient {
    float *dw;
    const cc_sink *sink;
    int64_t begin;
} cc_winograd_gradient;

cc_status cc_winograd_backward_weight(const cc_context *context, const cc_conv *conv, const float *x, const float *dy,
                                      const cc_winograd_gradient *to);

#endif
