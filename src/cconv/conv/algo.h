/* conv/algo.h -- what one convolution algorithm is: a descriptor defined in a file of its own and
 * listed in algos.c. Tests and benchmarks walk that list.
 */
#ifndef CC_CONV_ALGO_H
#define CC_CONV_ALGO_H

#include "conv.h"

typedef struct cc_conv_algo {
    const char *name;
    bool needs_blas;
    bool approximate; /* rounds more than a matrix product of its dtype */
    bool skips_padding[CC_PASSES]; /* multiplies only what lies in the image, or sees to what comes of it */
    bool fuses; /* does the epilogue and adds the residual itself; otherwise it gets NULL for both */

    /* Whether it can do this pass of this geometry on this context's instruction set. The conv is resolved. */
    bool (*supports)(const cc_context *context, const cc_conv *conv, cc_pass pass);

    /* Whether `auto` should take it where it is supported; NULL: always. */
    bool (*pays)(const cc_context *context, const cc_conv *conv, cc_pass pass);

    /* Called with a resolved conv that it supports and that has no empty axis. Scratch comes from
     * context->arena; nothing is written before it is there. */
    cc_status (*forward)(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                         const void *b, const cc_epilogue *epilogue, void *y);
    cc_status (*backward_data)(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx);
    cc_status (*backward_weight)(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                 void *dw);
    /* NULL, or the same piece by piece to a sink, for which the gradient begins at element `begin`. Whatever it refuses
     * with CC_ERR_UNSUPPORTED goes through an array. */
    cc_status (*give_weight)(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                             const cc_sink *sink, int64_t begin);
} cc_conv_algo;

extern const cc_conv_algo cc_conv_pointwise, cc_conv_pointwise_double;
extern const cc_conv_algo cc_conv_stencil;
extern const cc_conv_algo cc_conv_depthwise;
extern const cc_conv_algo cc_conv_blocks;
extern const cc_conv_algo cc_conv_grouped;
extern const cc_conv_algo cc_conv_direct, cc_conv_direct_double;
extern const cc_conv_algo cc_conv_winograd, cc_conv_winograd_strided, cc_conv_winograd_dilated, cc_conv_winograd_double;
extern const cc_conv_algo cc_conv_im2col;
extern const cc_conv_algo cc_conv_reference;

/* Whether it can do this pass of a resolved conv; sizes of ordinary windows only reach `supports`, so that what an
 * algorithm computes from them cannot overflow. */
bool cc_conv_algo_able(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv, cc_pass pass);

/* NULL for an index that is not in the list. An algorithm may be written for each dtype apart. */
const cc_conv_algo *cc_conv_algo_get(int algo, cc_dtype dtype);

/* y = b for every position (0 without b). */
void cc_conv_broadcast_bias(const cc_context *context, const cc_conv *conv, const void *b, void *y);

/* y = epilogue(y), b included. */
void cc_conv_apply_epilogue(const cc_context *context, const cc_conv *conv, const void *b,
                            const cc_epilogue *epilogue, void *y);

/* dx += residual */
void cc_conv_add_residual(const cc_context *context, const cc_conv *conv, const void *residual, void *dx);

/* The factors of a pass are w, or dy in backward_weight: how many, and whether Inf or NaN is among them. */
int64_t cc_conv_factors(const cc_conv *conv, cc_pass pass);
bool cc_conv_special_factors(const cc_context *context, const cc_conv *conv, cc_pass pass, const void *factors);

/* Whether Inf or NaN is among n floats. */
bool cc_conv_special(const float *x, int64_t n);

/* Whether Inf or NaN among the factors may have met padding, by what lies at the border of
 * `image`: the y or dx an algorithm has made, or in backward_weight dy. */
bool cc_conv_multiplied_padding(const cc_context *context, const cc_conv *conv, cc_pass pass, const void *image,
                                const void *factors);

/* The passes of an algorithm with what it does not fuse; as in the descriptor. Inf and NaN are as the definition says. */
cc_status cc_conv_algo_forward(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv, const void *x,
                               const void *w, const void *b, const cc_epilogue *epilogue, void *y);
cc_status cc_conv_algo_backward_data(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv,
                                     const void *dy, const void *w, const void *residual, void *dx);
cc_status cc_conv_algo_backward_weight(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv,
                                       const void *x, const void *dy, void *dw);

/* The same with Inf and NaN among the factors, which the algorithm does not get to see. */
cc_status cc_conv_apart_forward(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv, const void *x,
                                const void *w, const void *b, const cc_epilogue *epilogue, void *y);
cc_status cc_conv_apart_backward_data(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv,
                                      const void *dy, const void *w, const void *residual, void *dx);
cc_status cc_conv_apart_backward_weight(const cc_conv_algo *algo, const cc_context *context, const cc_conv *conv,
                                        const void *x, const void *dy, void *dw);

#endif
