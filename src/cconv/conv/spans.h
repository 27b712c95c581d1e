/* conv/spans.h -- along each axis, the spans of output positions that see the same taps of the kernel inside the
 * source, so that padding is never read and never multiplied.
 *
 *   forward           out = y, source = x     y[q] reads x[q*stride + shift]
 *   backward_data     out = dx, source = dy   dx[phase + q*stride] reads dy[q + shift], phase < stride
 */
#ifndef CC_CONV_SPANS_H
#define CC_CONV_SPANS_H

#include "conv.h"

/* Positions start <= q < start + count see the taps first <= t < last of their axis. */
typedef struct cc_span {
    int64_t start, count, first, last;
} cc_span;

/* Positions phase + q*out_step, q < grid. */
typedef struct cc_line {
    int64_t grid, spans;
    const cc_span *span;
} cc_line;

typedef struct cc_axis {
    int64_t size;     /* of the source */
    int64_t out;      /* positions of all lines */
    int64_t step;     /* in the source, from one q to the next */
    int64_t out_step; /* and in the output: the number of phases, some of which may be beyond its end */
    int64_t lines;
    const cc_line *line;
    const int64_t *shift, *kernel; /* of the taps */
} cc_axis;

typedef struct cc_spans {
    cc_axis axis[CC_AXES];
    void *memory; /* to be freed */
} cc_spans;

/* The conv is resolved. Of pass backward_weight: as forward. */
cc_status cc_spans_create(const cc_context *context, const cc_conv *conv, cc_pass pass, cc_spans *spans);

#endif
