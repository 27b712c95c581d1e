/* pool/pass.h -- one forward or backward pass over all windows, dealt out to the threads. */
#ifndef CC_POOL_PASS_H
#define CC_POOL_PASS_H

#include "walk.h"

typedef struct cc_pool_pass {
    const cc_context *context;
    const cc_pooling *pooling;
    cc_pool_ids ids;
    cc_pool_visit visit; /* called with the pass itself */
    const void *x;       /* what is read: x, or dy in a backward pass */
    void *y;             /* what is written */
    const uint8_t *from; /* places read by a backward pass */
    uint8_t *place;
    int64_t *index;
} cc_pool_pass;

/* A part owns output rows. */
cc_status cc_pool_pass_forward(cc_pool_pass *pass);

/* A part owns planes of y = dx, whose elements several windows add to, in the order of the windows. */
cc_status cc_pool_pass_backward(cc_pool_pass *pass);

/* Set `count` positions of `channels` elements, `pitch` apart, to zero. */
void cc_pool_clear(void *y, cc_dtype dtype, int64_t start, int64_t count, int64_t channels, int64_t pitch);

#endif
