#include "eltwise.h"

#include <string.h>

/* Values a part should get at least, to be worth a thread. */
#define GRAIN 8192

typedef struct dropout_job {
    const cc_dropout *dropout;
    const cc_eltwise_kernels *kernels;
    uint64_t key;
    cc_dropout_stream stream; /* without the key, which is an image's own */
    int64_t rows, width;      /* of an image, in memory */
    uint32_t row_step, step;  /* between the numbers of neighbours */
    const char *x;
    char *y;
} dropout_job;

/* Finaliser of MurmurHash3, with Stafford's constants (mix 13). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Values of image n: `width` from column `column` of `rows` rows, which are whole if there are several. */
static void drop(const dropout_job *job, int64_t n, int64_t row, int64_t rows, int64_t column, int64_t width)
{
    cc_dropout_stream stream = job->stream;
    const uint64_t key = mix(job->key + ((uint64_t)n + 1) * 0x9e3779b97f4a7c15u);
    const uint32_t first = (uint32_t)row * job->row_step + (uint32_t)column * job->step;
    const int64_t start = (n * job->rows + row) * job->width + column;
    stream.key[0] = (uint32_t)key;
    stream.key[1] = (uint32_t)(key >> 32);
    if (job->dropout->dtype == CC_F32)
        job->kernels->dropout_f32(&stream, (const float *)(const void *)job->x + start, rows, width, first,
                                  job->row_step, job->step, (float *)(void *)job->y + start);
    else
        job->kernels->dropout_f64(&stream, (const double *)(const void *)job->x + start, rows, width, first,
                                  job->row_step, job->step, (double *)(void *)job->y + start);
}

/* Values begin <= i < end in the order of memory. */
static void drop_values(void *argument, int64_t begin, int64_t end, int part)
{
    const dropout_job *job = argument;
    (void)part;
    while (begin < end) {
        const int64_t row = begin / job->width, column = begin % job->width, n = row / job->rows, r = row % job->rows;
        const bool part_of_row = column != 0 || end - begin < job->width;
        const int64_t rows = part_of_row ? 1 : cc_min((end - begin) / job->width, job->rows - r);
        const int64_t width = part_of_row ? cc_min(end - begin, job->width - column) : job->width;
        drop(job, n, r, rows, column, width);
        begin += rows * width;
    }
}

cc_status cc_dropout_apply(const cc_context *context, const cc_dropout *d, const void *x, void *y)
{
    int64_t count;
    if (d->dtype != CC_F32 && d->dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    if (!(d->p >= 0 && d->p <= 1))
        return CC_ERR_ARGUMENT;
    CC_TRY(cc_product((const int64_t[]){d->n, d->c, d->spatial}, 3, &count));
    if (count == 0)
        return CC_OK;
    if (d->p == 1) {
        memset(y, 0, (size_t)count * cc_dtype_size(d->dtype));
        return CC_OK;
    }
    dropout_job job = {.dropout = d, .kernels = &context->kernels->eltwise, .x = x, .y = y};
    job.key = mix(d->seed) ^ mix(d->call + 0x632be59bd9b4e019u);
    job.stream.threshold = (uint32_t)(d->p * 4294967296.0); /* 2^32 */
    job.stream.factor = 1 / (1 - d->p);
    const bool last = d->layout == CC_CHANNELS_LAST;
    const uint32_t spatial = (uint32_t)d->spatial;
    job.rows = last ? d->spatial : d->c;
    job.width = last ? d->c : d->spatial;
    job.row_step = last ? !d->per_channel : d->per_channel ? 1 : spatial;
    job.step = !last ? !d->per_channel : d->per_channel ? 1 : spatial;
    if (job.row_step == spatial && job.step == 1) { /* numbered as they lie */
        job.width *= job.rows;
        job.rows = 1;
    }
    cc_parallel_for(context->pool, cc_parts(context->pool, count, GRAIN), count, drop_values, &job);
    return CC_OK;
}
