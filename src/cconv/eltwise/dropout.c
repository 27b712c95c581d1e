#include "eltwise.h"

/* Values of one work item. */
#define BLOCK 4096

typedef struct dropout_job {
    const cc_dropout *dropout;
    uint64_t key, threshold;
    int64_t count;
    const void *x;
    void *y;
} dropout_job;

/* Finaliser of MurmurHash3, with Stafford's constants (mix 13). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static bool kept(const dropout_job *job, int64_t index)
{
    return mix(job->key + ((uint64_t)index + 1) * 0x9e3779b97f4a7c15u) >> 11 >= job->threshold;
}

static void drop(const dropout_job *job, int64_t at, int64_t index)
{
    const double factor = 1 / (1 - job->dropout->p);
    const bool keep = kept(job, index);
    if (job->dropout->dtype == CC_F32)
        ((float *)job->y)[at] = keep ? ((const float *)job->x)[at] * (float)factor : 0;
    else
        ((double *)job->y)[at] = keep ? ((const double *)job->x)[at] * factor : 0;
}

static void drop_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const dropout_job *job = argument;
    const cc_dropout *d = job->dropout;
    const bool last = d->layout == CC_CHANNELS_LAST;
    const int64_t stop = cc_min(end * BLOCK, job->count);
    (void)part;
    if (!last && !d->per_channel) {
        for (int64_t i = begin * BLOCK; i < stop; i++)
            drop(job, i, i);
        return;
    }
    for (int64_t i = begin * BLOCK; i < stop; i++) {
        const int64_t n = i / (d->c * d->spatial), within = i % (d->c * d->spatial);
        const int64_t c = last ? within % d->c : within / d->spatial;
        const int64_t s = last ? within / d->c : within % d->spatial;
        const int64_t index = n * d->c + c;
        drop(job, i, d->per_channel ? index : index * d->spatial + s);
    }
}

cc_status cc_dropout_apply(const cc_context *context, const cc_dropout *dropout, const void *x, void *y)
{
    dropout_job job = {.dropout = dropout, .x = x, .y = y};
    if (dropout->dtype != CC_F32 && dropout->dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    if (!(dropout->p >= 0 && dropout->p <= 1))
        return CC_ERR_ARGUMENT;
    CC_TRY(cc_product((const int64_t[]){dropout->n, dropout->c, dropout->spatial}, 3, &job.count));
    job.key = mix(dropout->seed) ^ mix(dropout->call + 0x632be59bd9b4e019u);
    job.threshold = (uint64_t)(dropout->p * 9007199254740992.0); /* 2^53 */
    const int64_t blocks = cc_ceil_div(job.count, BLOCK);
    cc_parallel_for(context->pool, cc_parts(context->pool, blocks, 2), blocks, drop_blocks, &job);
    return CC_OK;
}
