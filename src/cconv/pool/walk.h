/* pool/walk.h -- going over all windows of an image, run by run.
 *
 * A channels-first image is seen as N*C images of one channel, so that one walk serves both orders.
 */
#ifndef CC_POOL_WALK_H
#define CC_POOL_WALK_H

#include "pool.h"

/* What one window sees along one axis. */
typedef struct cc_span {
    int64_t begin; /* the first element inside the image */
    int64_t count; /* elements inside the image, `step` apart; at least 1 */
    int64_t tap;   /* which kernel position the first one is */
    int64_t extent; /* what the axis contributes to an average's divisor */
} cc_span;

/* What the id of a tap says. */
typedef enum cc_pool_ids {
    CC_POOL_NO_IDS = 0,
    CC_POOL_PLACES,   /* its position in the kernel; at most CC_POOL_MAX_PLACES of them */
    CC_POOL_POSITIONS /* its distance from the first tap in the input plane */
} cc_pool_ids;

typedef struct cc_pool_walk {
    const cc_pooling *pooling;
    int64_t images, channels;
    int64_t rows;         /* OD * OH */
    int64_t input, output; /* elements of one channel of an image */
    int64_t step[CC_AXES];
    cc_span *span[CC_AXES];
    int64_t most_taps;
    cc_pool_ids ids;
    bool disjoint; /* every input element is seen by exactly one window */
    char *scratch; /* lists of taps, one a part */
    int64_t scratch_bytes;
    void *memory;
} cc_pool_walk;

/* `x` and `y` count elements from the start of the arrays (y also within places and indices). */
typedef void (*cc_pool_visit)(const cc_pool_run *run, int64_t x, int64_t y, void *argument);

/* Ranges, and that both arrays fit the address space. */
cc_status cc_pool_check_sizes(const cc_pooling *pooling);

/* As cc_pool_check_sizes, and that the output is what cc_pooling_resolve gives. */
cc_status cc_pool_check(const cc_pooling *pooling);

/* Image views of both orders. */
void cc_pool_images(const cc_pooling *pooling, int64_t *images, int64_t *channels);

/* Prepare for `parts` parts of a checked pooling. CC_ERR_SHAPE if a window sees
 * nothing. End it with cc_pool_walk_end. */
cc_status cc_pool_walk_begin(const cc_context *context, const cc_pooling *pooling, cc_pool_ids ids, int parts,
                             cc_pool_walk *walk);
void cc_pool_walk_end(const cc_context *context, cc_pool_walk *walk);

/* The taps a part has at hand, and the spans they were listed for; they outlast an image. */
typedef struct cc_pool_taps {
    int64_t *offset;
    int32_t *id;
    int64_t count;
    cc_span made_for[CC_AXES];
} cc_pool_taps;

cc_pool_taps cc_pool_no_taps(const cc_pool_walk *walk, int part);

/* Visit rows begin <= r < end (over OD, OH) of an image for channels c0 <= c < c1. */
void cc_pool_walk_rows(const cc_pool_walk *walk, cc_pool_taps *taps, int64_t image, int64_t begin, int64_t end,
                       int64_t c0, int64_t c1, cc_pool_visit visit, void *argument);

/* Channels are dealt out in blocks where a backward pass is cut; a part owns whole planes. */
#define CC_POOL_CHANNEL_BLOCK 32

/* Cut [begin, end) of the images * blocks items into an image and its channels; returns the item after them. */
int64_t cc_pool_planes(int64_t channels, int64_t begin, int64_t end, int64_t *image, int64_t *c0, int64_t *c1);

#endif
