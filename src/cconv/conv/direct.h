/* conv/direct.h -- what the passes of the direct convolution share. */
#ifndef CC_CONV_DIRECT_H
#define CC_CONV_DIRECT_H

#include "algo.h"
#include "strips.h"

/* Columns of a matrix cut into panels of 1 to max_vectors vectors, as equal as can be. */
typedef struct cc_panels {
    int64_t lanes, vectors, count;
} cc_panels;

typedef struct cc_panel {
    int64_t column, width, vectors;
} cc_panel;

/* Panels of at most two vectors where that makes tiles of more of the `rows` at hand, so that a panel is read less
 * often. */
cc_panels cc_panels_of(const cc_context *context, int64_t columns, int64_t rows);
cc_panel cc_panels_get(const cc_panels *panels, int64_t panel);

/* Positions a strip should have, at least `positions`: more where there are few channels. */
int64_t cc_direct_positions(const cc_strips *strips, int64_t positions);

/* Room for the taps of a window; free strips->tap. */
cc_status cc_strips_allocate(const cc_context *context, const cc_window *window, cc_strips *strips);

/* Images so small that some of the kernel falls beyond their edge often; channels-last on both sides, one group. */
bool cc_direct_small(const cc_conv *conv, cc_pass pass);
cc_status cc_direct_small_forward(const cc_context *context, const cc_conv *conv, const float *x, const float *w,
                                  const float *b, const cc_epilogue *epilogue, float *y);
cc_status cc_direct_small_backward_data(const cc_context *context, const cc_conv *conv, const float *dy,
                                        const float *w, const float *residual, float *dx);
/* Adds to dw, or if that is NULL gives the gradient to the sink, for which it begins at element `begin`. */
cc_status cc_direct_small_backward_weight(const cc_context *context, const cc_conv *conv, const float *x,
                                          const float *dy, float *dw, const cc_sink *sink, int64_t begin);

/* Weights that are packed so many steps later: the processor does not see such large steps coming. */
#define CC_DIRECT_AHEAD 6
static inline __attribute__((always_inline)) void cc_direct_fetch(const float *weights, int64_t count)
{
    for (int64_t i = 0; i < count; i += CC_ALIGNMENT / (int64_t)sizeof(float))
        __builtin_prefetch(weights + i, 0, 2);
}

bool cc_direct_supports(const cc_conv *conv);

cc_status cc_direct_backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                    void *dw);

#endif
