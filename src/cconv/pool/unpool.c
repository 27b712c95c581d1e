/* pool/unpool.c -- sending values to, and fetching them from, given positions of the large plane. */
#include "pass.h"

typedef struct job {
    const int64_t *indices;
    const void *from;
    void *to;
    cc_dtype dtype;
    int64_t channels, large, small; /* elements of one channel */
    bool bad;
} job;

static void check_part(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    (void)part;
    bool bad = false;
    for (int64_t i = begin; i < end; i++)
        bad |= (uint64_t)j->indices[i] >= (uint64_t)j->large;
    if (bad)
        __atomic_store_n(&j->bad, true, __ATOMIC_RELAXED);
}

/* The positions of one image for channels c0 <= c < c1; `statement` moves one value. */
#define EACH(T, from_size, to_size, statement)                                                            \
    {                                                                                                     \
        const T *from = (const T *)j->from + image * channels * (from_size);                              \
        T *to = (T *)j->to + image * channels * (to_size);                                                \
        for (int64_t i = 0; i < j->small; i++)                                                            \
            for (int64_t c = c0; c < c1; c++) {                                                           \
                const int64_t near = i * channels + c, far = index[near] * channels + c;                  \
                statement;                                                                                \
            }                                                                                             \
    }

#define DEFINE_PART(name, clear, from_size, to_size, statement)                                           \
    static void name(void *argument, int64_t begin, int64_t end, int part)                                \
    {                                                                                                     \
        const job *j = argument;                                                                          \
        const int64_t channels = j->channels;                                                             \
        (void)part;                                                                                       \
        while (begin < end) {                                                                             \
            int64_t image, c0, c1;                                                                        \
            begin = cc_pool_planes(channels, begin, end, &image, &c0, &c1);                               \
            const int64_t *index = j->indices + image * channels * j->small;                              \
            if (clear)                                                                                    \
                cc_pool_clear(j->to, j->dtype, image * channels * j->large + c0, j->large, c1 - c0, channels); \
            if (j->dtype == CC_F32)                                                                       \
                EACH(float, from_size, to_size, statement)                                                \
            else                                                                                          \
                EACH(double, from_size, to_size, statement)                                               \
        }                                                                                                 \
    }

DEFINE_PART(add_part, true, j->small, j->large, to[far] += from[near])
DEFINE_PART(put_part, true, j->small, j->large, to[far] = from[near])
DEFINE_PART(fetch_part, false, j->large, j->small, to[near] = from[far])

/* `large` and `small` are the two spatial sizes. */
static cc_status run(const cc_context *context, const cc_pooling *p, const int64_t *large, const int64_t *small,
                     const void *from, const int64_t *indices, void *to, cc_task task)
{
    CC_TRY(cc_pool_check_sizes(p));
    int64_t images;
    job j = {.indices = indices, .from = from, .to = to, .dtype = p->dtype, .large = cc_volume(large),
             .small = cc_volume(small)};
    cc_pool_images(p, &images, &j.channels);
    if (images == 0 || j.channels == 0)
        return CC_OK;
    const int64_t total = images * j.channels * j.small;
    cc_parallel_for(context->pool, cc_parts(context->pool, total, 65536), total, check_part, &j);
    if (j.bad)
        return CC_ERR_INDEX;
    const int64_t items = images * cc_ceil_div(j.channels, CC_POOL_CHANNEL_BLOCK);
    const int64_t grain = cc_max(1, 16384 / cc_max(1, (total + images * j.channels * j.large) / items));
    cc_parallel_for(context->pool, cc_parts(context->pool, items, grain), items, task, &j);
    return CC_OK;
}

cc_status cc_max_pool_backward_indices(const cc_context *context, const cc_pooling *p, const void *dy,
                                       const int64_t *indices, void *dx)
{
    return run(context, p, p->window.input, p->window.output, dy, indices, dx, add_part);
}

cc_status cc_max_unpool_forward(const cc_context *context, const cc_pooling *p, const void *x, const int64_t *indices,
                                void *y)
{
    return run(context, p, p->window.output, p->window.input, x, indices, y, put_part);
}

cc_status cc_max_unpool_backward(const cc_context *context, const cc_pooling *p, const void *dy,
                                 const int64_t *indices, void *dx)
{
    return run(context, p, p->window.output, p->window.input, dy, indices, dx, fetch_part);
}
