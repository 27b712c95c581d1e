#include "pass.h"

#include <string.h>

/* Elements a part should touch at least, to be worth a thread. */
#define GRAIN 16384

typedef struct job {
    cc_pool_pass *pass;
    cc_pool_walk walk;
} job;

static void forward_part(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    const cc_pool_walk *walk = &j->walk;
    cc_pool_taps taps = cc_pool_no_taps(walk, part);
    while (begin < end) {
        const int64_t image = begin / walk->rows, row = begin % walk->rows;
        const int64_t stop = cc_min(walk->rows, row + end - begin);
        cc_pool_walk_rows(walk, &taps, image, row, stop, 0, walk->channels, j->pass->visit, j->pass);
        begin += stop - row;
    }
}

void cc_pool_clear(void *y, cc_dtype dtype, int64_t start, int64_t count, int64_t channels, int64_t pitch)
{
    const int64_t size = (int64_t)cc_dtype_size(dtype);
    char *at = (char *)y + start * size;
    if (channels == pitch) {
        memset(at, 0, (size_t)(count * channels * size));
        return;
    }
    for (int64_t i = 0; i < count; i++)
        memset(at + i * pitch * size, 0, (size_t)(channels * size));
}

static void backward_part(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    const cc_pool_walk *walk = &j->walk;
    cc_pool_taps taps = cc_pool_no_taps(walk, part);
    while (begin < end) {
        int64_t image, c0, c1;
        begin = cc_pool_planes(walk->channels, begin, end, &image, &c0, &c1);
        if (!walk->disjoint)
            cc_pool_clear(j->pass->y, walk->pooling->dtype, image * walk->input * walk->channels + c0, walk->input,
                          c1 - c0, walk->channels);
        cc_pool_walk_rows(walk, &taps, image, 0, walk->rows, c0, c1, j->pass->visit, j->pass);
    }
}

static cc_status run(cc_pool_pass *pass, bool backward)
{
    const cc_pooling *p = pass->pooling;
    CC_TRY(cc_pool_check(p));
    int64_t images, channels;
    cc_pool_images(p, &images, &channels);
    if (images == 0 || channels == 0)
        return CC_OK;
    const int64_t rows = p->window.output[0] * p->window.output[1];
    const int64_t items = images * (backward ? cc_ceil_div(channels, CC_POOL_CHANNEL_BLOCK) : rows);
    const int64_t work = images * channels * cc_volume(p->window.input);
    const int parts = cc_parts(pass->context->pool, items, cc_max(1, GRAIN / cc_max(1, work / items)));

    job j = {.pass = pass};
    CC_TRY(cc_pool_walk_begin(pass->context, p, pass->ids, parts, &j.walk));
    cc_parallel_for(pass->context->pool, parts, items, backward ? backward_part : forward_part, &j);
    cc_pool_walk_end(pass->context, &j.walk);
    return CC_OK;
}

cc_status cc_pool_pass_forward(cc_pool_pass *pass) { return run(pass, false); }
cc_status cc_pool_pass_backward(cc_pool_pass *pass) { return run(pass, true); }
