/* conv/walk.h -- a pass over channels-last images, position by position of its output: strips of rows, cut into grids
 * of windows that see the same taps. What happens at a grid is the task of who walks.
 */
#ifndef CC_CONV_WALK_H
#define CC_CONV_WALK_H

#include "spans.h"

typedef struct cc_walk {
    const cc_context *context;
    const cc_conv *conv;
    int64_t source_channels, target_channels; /* of a pixel read, and of one written */
    int64_t outputs, multiplier;              /* the channels and the multiplier of a run */
    int64_t tap_weights;                      /* elements from the weights of a tap to those of the next */

    cc_spans spans;
    int64_t *taps; /* per part: offset and weight of every tap */

    /* An item is a strip of rows, of every phase, of one plane of an image. */
    int64_t strip_rows, strips, items;
} cc_walk;

/* No two tasks of the same part run at once. */
typedef void (*cc_walk_task)(const void *job, const cc_depthwise_run *run, int part);

/* Spans, items, and taps for at most *parts parts, as many as the threads can use. */
cc_status cc_walk_start(cc_walk *walk, cc_pass pass, int *parts);
void cc_walk_end(const cc_walk *walk);

/* Every window of an item. */
void cc_walk_item(const cc_walk *walk, int64_t item, int part, cc_walk_task task, const void *job);

#endif
