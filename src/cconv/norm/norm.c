#include "job.h"

#include <math.h>
#include <string.h>

/* The kernels see rows of `width` values with one statistic a column. Channels-last memory is that already;
 * with few channels several positions make one row, each column standing for channel column % C. In
 * channels-first memory a channel's plane is cut into rows that all belong to this channel. */
static bool channels_last(const cc_norm *norm) { return norm->layout == CC_CHANNELS_LAST || norm->spatial == 1; }

static cc_status validate(const cc_norm *norm)
{
    int64_t count;
    if (norm->dtype != CC_F32 && norm->dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    if (norm->layout != CC_CHANNELS_FIRST && norm->layout != CC_CHANNELS_LAST)
        return CC_ERR_ARGUMENT;
    return cc_product((const int64_t[]){norm->n, norm->c, norm->spatial}, 3, &count);
}

/* How the work is cut depends on the shape alone. */
static norm_job plan(const cc_context *context, const cc_norm *norm)
{
    norm_job job = {.context = context, .norm = norm, .positions = norm->n * norm->spatial, .width = norm->c};
    if (channels_last(norm) && norm->c > 0) {
        job.width = norm->c * cc_max(1, cc_min(ROW / norm->c, job.positions));
        const int64_t rows = job.positions * norm->c / job.width;
        const int64_t wanted = cc_max(1, cc_min(rows * job.width / CHUNK_VALUES, MAX_CHUNKS));
        job.chunk = cc_max(1, cc_ceil_div(rows, wanted));
        job.chunks = (int)cc_ceil_div(rows, job.chunk);
    }
    return job;
}

static cc_status allocate(norm_job *job, bool with_sums)
{
    const size_t width = (size_t)job->width;
    const size_t sums = with_sums ? 3 * (size_t)(job->chunks + 1) * width : 0;
    const size_t doubles = (with_sums ? width : 0) + sums;
    if (width > SIZE_MAX / 4096)
        return CC_ERR_OVERFLOW;
    job->shift = cc_arena_alloc(job->context->arena, doubles * sizeof(double) + COEFFICIENTS * width * size_of(job));
    if (job->shift == NULL)
        return CC_ERR_MEMORY;
    job->sums = job->shift + width;
    job->coefficients = (char *)(job->shift + doubles);
    memset(job->sums, 0, sums * sizeof(double));
    return CC_OK;
}

static void release(norm_job *job) { cc_arena_free(job->context->arena, job->shift); }

/* Channels-last: rows [first, first + rows) of one chunk. The last row may be short: positions are not a multiple
 * of those in a row. */
typedef struct span {
    int64_t start; /* first value */
    int64_t rows, rest;
} span;

static span span_of(const norm_job *job, int64_t chunk)
{
    const int64_t values = job->positions * job->norm->c, start = chunk * job->chunk * job->width;
    const int64_t count = chunk == job->chunks - 1 ? values - start : job->chunk * job->width;
    return (span){start, count / job->width, count % job->width};
}

static void moments_of_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const norm_job *job = argument;
    const size_t size = size_of(job);
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const span s = span_of(job, i);
        const cc_dtype dtype = job->norm->dtype;
        const char *x = at(job->x, s.start, size), *tail = at(x, s.rows * job->width, size);
        double *sum = chunk_sums(job, i, 0), *square = chunk_sums(job, i, 1);
        job->context->kernels->norm.moments[dtype](x, s.rows, job->width, job->shift, sum, square);
        if (s.rest > 0)
            job->context->kernels->norm.moments[dtype](tail, 1, s.rest, job->shift, sum, square);
    }
}

static void dots_of_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const norm_job *job = argument;
    const cc_norm_kernels *kernels = &job->context->kernels->norm;
    const size_t size = size_of(job);
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const span s = span_of(job, i);
        const int64_t tail = s.start + s.rows * job->width;
        double *sum_x = chunk_sums(job, i, 0), *sum_dy = chunk_sums(job, i, 1), *dot = chunk_sums(job, i, 2);
        kernels->dots[job->norm->dtype](at(job->dy, s.start, size), at(job->x, s.start, size),
                                        at(job->mask, s.start, size), s.rows, job->width,
                                        coefficient(job, CENTER), gate(job, GATE_SCALE), gate(job, GATE_OFFSET),
                                        into(job, s.start), sum_x, sum_dy, dot);
        if (s.rest > 0)
            kernels->dots[job->norm->dtype](at(job->dy, tail, size), at(job->x, tail, size),
                                            at(job->mask, tail, size), 1, s.rest, coefficient(job, CENTER),
                                            gate(job, GATE_SCALE), gate(job, GATE_OFFSET), into(job, tail), sum_x,
                                            sum_dy, dot);
    }
}

void cc_norm_apply_rows(const norm_job *job, int64_t start, int64_t rows, int64_t width,
                        const void *const k[COEFFICIENTS])
{
    const cc_norm_kernels *kernels = &job->context->kernels->norm;
    const cc_dtype dtype = job->norm->dtype;
    const size_t size = size_of(job);
    const char *x = at(job->x, start, size);
    char *out = job->out + (size_t)start * size;
    if (job->dy == NULL)
        kernels->apply[dtype](x, at(job->residual, start, size), rows, width, k[CENTER], k[SCALE], k[OFFSET],
                              job->norm->relu, out);
    else
        kernels->apply_backward[dtype](at(job->dy, start, size), x, at(job->mask, start, size), rows, width, k[CENTER],
                                       k[SCALE], k[SLOPE], k[OFFSET], job->gated ? k[GATE_SCALE] : NULL,
                                       job->gated ? k[GATE_OFFSET] : NULL, out);
}

static void apply_to_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const norm_job *job = argument;
    const void *k[COEFFICIENTS];
    (void)part;
    for (int i = 0; i < COEFFICIENTS; i++)
        k[i] = coefficient(job, i);
    for (int64_t i = begin; i < end; i++) {
        /* Backward, what was summed last comes first: it is still in the cache. */
        const span s = span_of(job, job->dy != NULL ? begin + end - 1 - i : i);
        for (int rest = 0; rest < 2; rest++)
            cc_norm_apply_rows(job, s.start + rest * s.rows * job->width, rest ? s.rest > 0 : s.rows,
                       rest ? s.rest : job->width, k);
    }
}

static void run(const norm_job *job, cc_task of_chunks, cc_task of_planes)
{
    cc_pool *pool = job->context->pool;
    const int64_t values = job->positions * job->norm->c;
    const bool last = channels_last(job->norm);
    const int64_t items = last ? job->chunks : job->norm->c;
    const int64_t grain = cc_ceil_div(CHUNK_VALUES / 2, cc_max(1, values / cc_max(1, items)));
    cc_parallel_for(pool, cc_parts(pool, items, grain), items, last ? of_chunks : of_planes, (void *)job);
}

/* A channel's sum over chunks and the columns that stand for it. */
static double channel_sum(const norm_job *job, int which, int64_t c)
{
    double sum = 0;
    if (!channels_last(job->norm))
        return chunk_sums(job, 0, which)[c];
    for (int64_t i = 0; i < job->chunks; i++)
        for (int64_t j = c; j < job->width; j += job->norm->c)
            sum += chunk_sums(job, i, which)[j];
    return sum;
}

/* What a channel is centred on: the float nearest its mean, which is subtracted exactly. */
static double center_of(cc_dtype dtype, double mean) { return dtype == CC_F32 ? (double)(float)mean : mean; }

static void set_columns(const norm_job *job, int which, int64_t c, double value)
{
    for (int64_t j = c; j < job->width; j += job->norm->c)
        set(job->norm->dtype, coefficient(job, which), j, value);
}

/* Scale and offset of the forward pass. What centring leaves of the mean goes into the offset. */
static void set_forward(const norm_job *job, int64_t c, double mean, double rstd, const void *weight,
                        const void *bias, int scale_at, int offset_at)
{
    const cc_dtype dtype = job->norm->dtype;
    const double center = center_of(dtype, mean), scale = rstd * get_or(dtype, weight, c, 1);
    set_columns(job, CENTER, c, center);
    set_columns(job, scale_at, c, scale);
    set_columns(job, offset_at, c, get_or(dtype, bias, c, 0) + (center - mean) * scale);
}

cc_status cc_norm_forward(const cc_context *context, const cc_norm *norm, double eps, const void *x,
                          const void *weight, const void *bias, const void *residual, void *y, double *mean,
                          double *var, double *rstd)
{
    CC_TRY(validate(norm));
    if (!(eps >= 0))
        return CC_ERR_ARGUMENT;
    norm_job job = plan(context, norm);
    if (job.positions < 2)
        return CC_ERR_SHAPE;
    if (norm->c == 0)
        return CC_OK;
    CC_TRY(allocate(&job, true));
    job.x = x;
    job.residual = residual;
    job.out = y;

    /* Sums are taken relative to the first position: any value of the channel keeps them well conditioned. */
    for (int64_t j = 0; j < job.width; j++) {
        const int64_t c = j % norm->c;
        job.shift[j] = get(norm->dtype, x, channels_last(norm) ? c : plane(norm, 0, c));
    }
    run(&job, moments_of_chunks, cc_norm_moments_of_planes);
    for (int64_t c = 0; c < norm->c; c++) {
        const double count = (double)job.positions;
        const double sum = channel_sum(&job, 0, c), square = channel_sum(&job, 1, c);
        const double spread = (square - sum * sum / count) / count;
        mean[c] = job.shift[c] + sum / count;
        var[c] = spread < 0 ? 0 : spread;
        rstd[c] = 1 / sqrt(var[c] + eps);
        set_forward(&job, c, mean[c], rstd[c], weight, bias, SCALE, OFFSET);
    }
    run(&job, apply_to_chunks, cc_norm_apply_to_planes);
    release(&job);
    return CC_OK;
}

cc_status cc_norm_inference(const cc_context *context, const cc_norm *norm, double eps, const void *x,
                            const double *mean, const double *var, const void *weight, const void *bias,
                            const void *residual, void *y)
{
    CC_TRY(validate(norm));
    if (!(eps >= 0))
        return CC_ERR_ARGUMENT;
    norm_job job = plan(context, norm);
    if (job.positions == 0 || norm->c == 0)
        return CC_OK;
    CC_TRY(allocate(&job, false));
    job.x = x;
    job.residual = residual;
    job.out = y;
    for (int64_t c = 0; c < norm->c; c++)
        set_forward(&job, c, mean[c], 1 / sqrt(var[c] + eps), weight, bias, SCALE, OFFSET);
    run(&job, apply_to_chunks, cc_norm_apply_to_planes);
    release(&job);
    return CC_OK;
}

cc_status cc_norm_backward(const cc_context *context, const cc_norm *norm, bool fixed, const void *dy,
                           const void *x, const void *y, const double *mean, const double *rstd,
                           const void *weight, const void *bias, void *dx, void *dresidual, void *dweight,
                           void *dbias)
{
    const cc_dtype dtype = norm->dtype;
    CC_TRY(validate(norm));
    if (norm->relu && y == NULL && dresidual != NULL)
        return CC_ERR_ARGUMENT;
    norm_job job = plan(context, norm);
    if (job.positions == 0 || norm->c == 0)
        return CC_OK;
    CC_TRY(allocate(&job, true));
    job.x = x;
    job.dy = dy;
    job.mask = norm->relu ? y : NULL;
    job.gated = norm->relu && y == NULL;
    job.out = dx;
    job.dresidual = dresidual;

    for (int64_t c = 0; c < norm->c; c++)
        set_forward(&job, c, mean[c], rstd[c], weight, bias, GATE_SCALE, GATE_OFFSET);
    run(&job, dots_of_chunks, cc_norm_dots_of_planes);
    if (dresidual != NULL) { /* what counts of dy is there now */
        job.dy = dresidual;
        job.mask = NULL;
    }
    for (int64_t c = 0; c < norm->c; c++) {
        const double count = (double)job.positions;
        const double center = center_of(dtype, mean[c]);
        const double sum_dy = channel_sum(&job, 1, c);
        const double true_mean = fixed ? mean[c] : center + channel_sum(&job, 0, c) / count;
        const double dot = channel_sum(&job, 2, c) - (true_mean - center) * sum_dy;
        const double scale = rstd[c] * get_or(dtype, weight, c, 1);
        const double slope = fixed ? 0 : -scale * rstd[c] * rstd[c] * dot / count;
        const double offset = fixed ? 0 : -scale * sum_dy / count;
        if (dweight != NULL)
            set(dtype, dweight, c, get(dtype, dweight, c) + dot * rstd[c]);
        if (dbias != NULL)
            set(dtype, dbias, c, get(dtype, dbias, c) + sum_dy);
        set_columns(&job, SCALE, c, scale);
        set_columns(&job, SLOPE, c, slope);
        set_columns(&job, OFFSET, c, offset + (center - true_mean) * slope);
    }
    run(&job, apply_to_chunks, cc_norm_apply_to_planes);
    release(&job);
    return CC_OK;
}
