#include "sink.h"

#define BLOCK 4096

typedef struct give_job {
    const cc_sink *sink;
    size_t size;
    int64_t begin, n;
    char *g;
} give_job;

static void give_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const give_job *job = argument;
    (void)part;
    for (int64_t block = begin; block < end; block++) {
        const int64_t start = block * BLOCK;
        job->sink->take(job->sink, job->begin + start, cc_min(BLOCK, job->n - start), job->g + (size_t)start * job->size);
    }
}

void cc_sink_give(const cc_context *context, const cc_sink *sink, cc_dtype dtype, int64_t begin, int64_t n, void *g)
{
    const int64_t blocks = cc_ceil_div(n, BLOCK);
    give_job job = {.sink = sink, .size = cc_dtype_size(dtype), .begin = begin, .n = n, .g = g};
    cc_parallel_each(context->pool, cc_parts(context->pool, blocks, 4), blocks, give_blocks, &job);
}
