/* Batch norm in channels-first memory. */
#include "job.h"

/* Each task takes all planes of the channels [begin, end). */
static double row_sum(const double *values)
{
    double sum = 0;
    for (int j = 0; j < ROW; j++)
        sum += values[j];
    return sum;
}

void cc_norm_moments_of_planes(void *argument, int64_t begin, int64_t end, int part)
{
    const norm_job *job = argument;
    const cc_norm *norm = job->norm;
    const size_t size = size_of(job);
    (void)part;
    for (int64_t c = begin; c < end; c++) {
        double shift[ROW], sum[ROW] = {0}, square[ROW] = {0};
        for (int j = 0; j < ROW; j++)
            shift[j] = job->shift[c];
        for (int64_t n = 0; n < norm->n; n++) {
            const char *x = at(job->x, plane(norm, n, c), size);
            const int64_t rows = norm->spatial / ROW, rest = norm->spatial % ROW;
            job->context->kernels->norm.moments[norm->dtype](x, rows, ROW, shift, sum, square);
            if (rest > 0)
                job->context->kernels->norm.moments[norm->dtype](at(x, rows * ROW, size), 1, rest, shift, sum,
                                                                 square);
        }
        chunk_sums(job, 0, 0)[c] = row_sum(sum);
        chunk_sums(job, 0, 1)[c] = row_sum(square);
    }
}

/* A channel's coefficient, ROW times. */
static const void *repeated(const norm_job *job, int which, int64_t c, double *row)
{
    const cc_dtype dtype = job->norm->dtype;
    const double value = get(dtype, coefficient(job, which), c);
    for (int j = 0; j < ROW; j++)
        set(dtype, row, j, value);
    return row;
}

void cc_norm_dots_of_planes(void *argument, int64_t begin, int64_t end, int part)
{
    const norm_job *job = argument;
    const cc_norm *norm = job->norm;
    const size_t size = size_of(job);
    (void)part;
    for (int64_t c = begin; c < end; c++) {
        double row[3][ROW], sum_x[ROW] = {0}, sum_dy[ROW] = {0}, dot[ROW] = {0};
        const void *center = repeated(job, CENTER, c, row[0]);
        const void *gate_scale = job->gated ? repeated(job, GATE_SCALE, c, row[1]) : NULL;
        const void *gate_offset = job->gated ? repeated(job, GATE_OFFSET, c, row[2]) : NULL;
        for (int64_t n = 0; n < norm->n; n++) {
            const int64_t rows = norm->spatial / ROW, rest = norm->spatial % ROW;
            const int64_t start = plane(norm, n, c), tail = start + rows * ROW;
            job->context->kernels->norm.dots[norm->dtype](at(job->dy, start, size), at(job->x, start, size),
                                                          at(job->mask, start, size), rows, ROW, ROW, center,
                                                          gate_scale, gate_offset, into(job, start), sum_x, sum_dy, dot);
            if (rest > 0)
                job->context->kernels->norm.dots[norm->dtype](at(job->dy, tail, size), at(job->x, tail, size),
                                                              at(job->mask, tail, size), 1, rest, rest, center,
                                                              gate_scale, gate_offset, into(job, tail), sum_x, sum_dy, dot);
        }
        chunk_sums(job, 0, 0)[c] = row_sum(sum_x);
        chunk_sums(job, 0, 1)[c] = row_sum(sum_dy);
        chunk_sums(job, 0, 2)[c] = row_sum(dot);
    }
}

void cc_norm_apply_to_planes(void *argument, int64_t begin, int64_t end, int part)
{
    const norm_job *job = argument;
    const cc_norm *norm = job->norm;
    (void)part;
    for (int64_t c = begin; c < end; c++) {
        double row[COEFFICIENTS][ROW];
        const void *k[COEFFICIENTS];
        for (int i = 0; i < COEFFICIENTS; i++)
            k[i] = repeated(job, i, c, row[i]);
        for (int64_t n = 0; n < norm->n; n++) {
            const int64_t rows = norm->spatial / ROW, rest = norm->spatial % ROW, start = plane(norm, n, c);
            const norm_rows whole = rows_at(job, start), tail = rows_at(job, start + rows * ROW);
            cc_norm_apply_rows(job, &whole, rows, ROW, ROW, k);
            cc_norm_apply_rows(job, &tail, rest > 0, rest, rest, k);
        }
    }
}
