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
    if (norm->spacing != 0 && (norm->spacing < norm->c || norm->layout != CC_CHANNELS_LAST))
        return CC_ERR_ARGUMENT;
    CC_TRY(cc_product((const int64_t[]){norm->n, norm->spacing, norm->spatial}, 3, &count));
    return cc_product((const int64_t[]){norm->n, norm->c, norm->spatial}, 3, &count);
}

/* How the work is cut depends on the shape alone. */
static norm_job plan(const cc_context *context, const cc_norm *norm)
{
    norm_job job = {.context = context, .norm = norm, .positions = norm->n * norm->spatial, .width = norm->c,
                    .spacing = norm->spacing > 0 ? norm->spacing : norm->c};
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
    int64_t apart = 0;
    if (width > SIZE_MAX / 4096)
        return CC_ERR_OVERFLOW;
    if (with_sums && job->spacing != job->norm->c && job->width != job->norm->c)
        CC_TRY(cc_product((int64_t[]){cc_pool_threads(job->context->pool), scratch_size(job)}, 2, &apart));
    job->shift = cc_arena_alloc(job->context->arena, doubles * sizeof(double) + COEFFICIENTS * width * size_of(job) +
                                                         (size_t)apart);
    if (job->shift == NULL)
        return CC_ERR_MEMORY;
    job->sums = job->shift + width;
    job->coefficients = (char *)(job->shift + doubles);
    job->scratch = job->coefficients + COEFFICIENTS * width * size_of(job);
    memset(job->sums, 0, sums * sizeof(double));
    return CC_OK;
}

static void release(norm_job *job) { cc_arena_free(job->context->arena, job->shift); }

void cc_norm_apply_rows(const norm_job *job, const norm_rows *at, int64_t rows, int64_t width, int64_t step,
                        const void *const k[COEFFICIENTS])
{
    const cc_norm_kernels *kernels = &job->context->kernels->norm;
    const cc_dtype dtype = job->norm->dtype;
    if (at->dy == NULL)
        kernels->apply[dtype](at->x, at->residual, rows, width, step, k[CENTER], k[SCALE], k[OFFSET],
                              job->norm->relu, at->out);
    else
        kernels->apply_backward[dtype](at->dy, at->x, at->mask, rows, width, step, k[CENTER], k[SCALE], k[SLOPE],
                                       k[OFFSET], job->gated ? k[GATE_SCALE] : NULL, job->gated ? k[GATE_OFFSET] : NULL, at->out);
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

/* The first `count` kinds of sums, of all chunks and of the columns that stand for a channel: the channels' own, of chunk 0.
 * Memory is read in order. */
static void add_up(const norm_job *job, int count)
{
    const int64_t channels = job->norm->c;
    if (!channels_last(job->norm))
        return;
    for (int which = 0; which < count; which++) {
        double *restrict sum = chunk_sums(job, 0, which);
        for (int64_t i = 1; i < job->chunks; i++) {
            const double *restrict more = chunk_sums(job, i, which);
            for (int64_t j = 0; j < job->width; j++)
                sum[j] += more[j];
        }
        for (int64_t j = channels; j < job->width; j += channels)
            for (int64_t c = 0; c < channels; c++)
                sum[c] += sum[j + c];
    }
}

static double channel_sum(const norm_job *job, int which, int64_t c) { return chunk_sums(job, 0, which)[c]; }

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
    run(&job, cc_norm_moments_of_chunks, cc_norm_moments_of_planes);
    add_up(&job, 2);
    for (int64_t c = 0; c < norm->c; c++) {
        const double count = (double)job.positions;
        const double sum = channel_sum(&job, 0, c), square = channel_sum(&job, 1, c);
        const double spread = (square - sum * sum / count) / count;
        mean[c] = job.shift[c] + sum / count;
        var[c] = spread < 0 ? 0 : spread;
        rstd[c] = 1 / sqrt(var[c] + eps);
        set_forward(&job, c, mean[c], rstd[c], weight, bias, SCALE, OFFSET);
    }
    run(&job, cc_norm_apply_to_chunks, cc_norm_apply_to_planes);
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
    run(&job, cc_norm_apply_to_chunks, cc_norm_apply_to_planes);
    release(&job);
    return CC_OK;
}

void cc_norm_track(cc_dtype dtype, int64_t c, const double *mean, const double *var, double share, double correction,
                   void *running_mean, void *running_var)
{
    for (int64_t i = 0; i < c; i++) {
        set(dtype, running_mean, i, (1 - share) * get(dtype, running_mean, i) + share * mean[i]);
        set(dtype, running_var, i, (1 - share) * get(dtype, running_var, i) + share * (var[i] * correction));
    }
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
    run(&job, cc_norm_dots_of_chunks, cc_norm_dots_of_planes);
    add_up(&job, 3);
    if (dresidual != NULL) { /* what counts of dy is there now */
        job.dy = dresidual;
        job.mask = NULL;
        job.dense_dy = true;
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
    run(&job, cc_norm_apply_to_chunks, cc_norm_apply_to_planes);
    release(&job);
    return CC_OK;
}
