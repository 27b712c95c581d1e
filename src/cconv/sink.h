/* sink.h -- where a gradient goes piece by piece as soon as it is computed, instead of into an array.
 *
 * An optimiser is one: it updates the parameters from each piece while that is in the cache.
 */
#ifndef CC_SINK_H
#define CC_SINK_H

#include "context.h"

typedef struct cc_sink cc_sink;
struct cc_sink {
    /* `g` holds elements begin ... begin + n. Pieces come from any thread, each element once. */
    void (*take)(const cc_sink *sink, int64_t begin, int64_t n, void *g);
    /* Asks memory for what taking these elements will read: of short pieces, some time before. */
    void (*fetch)(const cc_sink *sink, int64_t begin, int64_t n);
};

/* Hand over n elements that lie side by side, with all threads. */
void cc_sink_give(const cc_context *context, const cc_sink *sink, cc_dtype dtype, int64_t begin, int64_t n, void *g);

#endif
