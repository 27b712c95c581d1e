#include "eltwise.h"

#include <string.h>

/* Bytes worth a thread. */
#define GRAIN 32768

typedef struct shortcut_job {
    cc_shortcut s;
    int64_t oh, ow;
    size_t size;
    const char *from;
    char *to;
} shortcut_job;

/* One value, which is 4 or 8 bytes. */
static inline void copy_value(char *to, const char *from, size_t size) { memcpy(to, from, size == 4 ? 4 : 8); }

/* Channels-last. Items are lines of y. */
static void sample_lines(void *argument, int64_t begin, int64_t end, int part)
{
    const shortcut_job *job = argument;
    const size_t pixel = (size_t)job->s.channels * job->size, wide = (size_t)job->s.out_channels * job->size;
    (void)part;
    for (int64_t line = begin; line < end; line++) {
        const int64_t row = line / job->oh * job->s.height + line % job->oh * job->s.stride;
        const char *from = job->from + (size_t)(row * job->s.width) * pixel;
        char *to = job->to + (size_t)(line * job->ow) * wide;
        for (int64_t w = 0; w < job->ow; w++, from += (size_t)job->s.stride * pixel, to += wide) {
            memcpy(to, from, pixel);
            memset(to + pixel, 0, wide - pixel);
        }
    }
}

/* Channels-last. Items are lines of dx. */
static void spread_lines(void *argument, int64_t begin, int64_t end, int part)
{
    const shortcut_job *job = argument;
    const size_t pixel = (size_t)job->s.channels * job->size, wide = (size_t)job->s.out_channels * job->size;
    const size_t gap = (size_t)(job->s.stride - 1) * pixel;
    (void)part;
    for (int64_t line = begin; line < end; line++) {
        const int64_t h = line % job->s.height, row = line / job->s.height * job->oh + h / job->s.stride;
        const char *from = job->from + (size_t)(row * job->ow) * wide;
        char *to = job->to + (size_t)(line * job->s.width) * pixel, *last = to + (size_t)job->s.width * pixel;
        if (h % job->s.stride != 0) {
            memset(to, 0, (size_t)(last - to));
            continue;
        }
        for (int64_t w = 0; w < job->ow; w++, from += wide) {
            memcpy(to, from, pixel);
            to += pixel;
            const size_t rest = (size_t)(last - to) < gap ? (size_t)(last - to) : gap;
            memset(to, 0, rest);
            to += rest;
        }
    }
}

/* Channels-first. Items are planes of y. */
static void sample_planes(void *argument, int64_t begin, int64_t end, int part)
{
    const shortcut_job *job = argument;
    const int64_t c = job->s.channels, oc = job->s.out_channels, step = job->s.stride;
    const size_t plane = (size_t)(job->oh * job->ow) * job->size;
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        char *to = job->to + (size_t)item * plane;
        if (item % oc >= c) {
            memset(to, 0, plane);
            continue;
        }
        const char *from = job->from + (size_t)((item / oc * c + item % oc) * job->s.height * job->s.width) * job->size;
        for (int64_t h = 0; h < job->oh; h++)
            for (int64_t w = 0; w < job->ow; w++, to += job->size)
                copy_value(to, from + (size_t)((h * job->s.width + w) * step) * job->size, job->size);
    }
}

/* Channels-first. Items are planes of dx. */
static void spread_planes(void *argument, int64_t begin, int64_t end, int part)
{
    const shortcut_job *job = argument;
    const int64_t c = job->s.channels, oc = job->s.out_channels, step = job->s.stride;
    const size_t plane = (size_t)(job->s.height * job->s.width) * job->size;
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        const char *from = job->from + (size_t)((item / c * oc + item % c) * job->oh * job->ow) * job->size;
        char *to = job->to + (size_t)item * plane;
        memset(to, 0, plane);
        for (int64_t h = 0; h < job->oh; h++)
            for (int64_t w = 0; w < job->ow; w++, from += job->size)
                copy_value(to + (size_t)((h * job->s.width + w) * step) * job->size, from, job->size);
    }
}

static cc_status run(const cc_context *context, const cc_shortcut *s, const void *from, void *to, bool backward)
{
    const bool last = s->layout == CC_CHANNELS_LAST;
    int64_t count;
    if (s->dtype != CC_F32 && s->dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    if (s->stride < 1 || s->channels < 0 || s->out_channels < s->channels || (!last && s->layout != CC_CHANNELS_FIRST))
        return CC_ERR_ARGUMENT;
    CC_TRY(cc_product((const int64_t[]){s->n, s->out_channels, s->height, s->width}, 4, &count));
    shortcut_job job = {.s = *s, .size = cc_dtype_size(s->dtype), .from = from, .to = to};
    job.oh = cc_ceil_div(s->height, s->stride);
    job.ow = cc_ceil_div(s->width, s->stride);
    const int64_t lines = s->n * (backward ? s->height : job.oh), planes = s->n * (backward ? s->channels : s->out_channels);
    const int64_t items = last ? lines : planes;
    if (count == 0 || items == 0)
        return CC_OK;
    const int64_t bytes = count * (int64_t)job.size / items;
    cc_parallel_for(context->pool, cc_parts(context->pool, items, cc_ceil_div(GRAIN, cc_max(1, bytes))), items,
                    last ? (backward ? spread_lines : sample_lines) : (backward ? spread_planes : sample_planes), &job);
    return CC_OK;
}

cc_status cc_shortcut_forward(const cc_context *context, const cc_shortcut *shortcut, const void *x, void *y)
{
    return run(context, shortcut, x, y, false);
}

cc_status cc_shortcut_backward(const cc_context *context, const cc_shortcut *shortcut, const void *dy, void *dx)
{
    return run(context, shortcut, dy, dx, true);
}
