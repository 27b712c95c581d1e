/* Batch norm in channels-last memory. */
#include <string.h>

#include "job.h"

/* What a kernel gets at once: values [start, start + rows*width) of an array without gaps. */
typedef struct piece {
    int64_t start, rows, width;
} piece;

/* The piece of a chunk after *p, at most so many rows of this width; *p begins as {start of the chunk}. Positions are not a
 * multiple of those in a row: the last row may be short. */
static bool next_piece(const norm_job *job, int64_t chunk, int64_t width, int64_t most, piece *p)
{
    const int64_t end = chunk == job->chunks - 1 ? job->positions * job->norm->c : (chunk + 1) * job->chunk * job->width;
    p->start += p->rows * p->width;
    const int64_t left = end - p->start;
    p->width = cc_min(width, left);
    p->rows = left < width ? 1 : cc_min(left / width, most);
    return left > 0;
}

static piece chunk_at(const norm_job *job, int64_t chunk) { return (piece){.start = chunk * job->chunk * job->width}; }

/* Where the piece begins in an array that is spaced out. */
static int64_t spaced(const norm_job *job, const piece *p) { return p->start / job->norm->c * job->spacing; }

static const char *spaced_at(const norm_job *job, const char *array, const piece *p)
{
    return at(array, spaced(job, p), size_of(job));
}

/* The piece of an array that is spaced out, without the gaps, in `scratch`. */
static const char *gathered(const norm_job *job, const char *array, const piece *p, char *scratch)
{
    const size_t size = size_of(job), pixel = (size_t)job->norm->c * size;
    const char *from = spaced_at(job, array, p);
    if (array == NULL)
        return NULL;
    for (int64_t i = 0; i < p->rows * p->width / job->norm->c; i++, from += (size_t)job->spacing * size)
        memcpy(scratch + (size_t)i * pixel, from, pixel);
    return scratch;
}

void cc_norm_moments_of_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const norm_job *job = argument;
    (void)part;
    for (int64_t i = begin; i < end; i++)
        for (piece p = chunk_at(job, i); next_piece(job, i, job->width, job->chunk, &p);)
            job->context->kernels->norm.moments[job->norm->dtype](at(job->x, p.start, size_of(job)), p.rows, p.width,
                                                                  job->shift, chunk_sums(job, i, 0),
                                                                  chunk_sums(job, i, 1));
}

void cc_norm_dots_of_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const norm_job *job = argument;
    /* The order of the sums is that of dense rows, of several positions each. */
    const bool several = job->width != job->norm->c && job->spacing != job->norm->c;
    const int64_t most = several ? CC_NORM_BLOCK : job->chunk;
    char *scratch = several ? job->scratch + part * scratch_size(job) : NULL;
    for (int64_t i = begin; i < end; i++)
        for (piece p = chunk_at(job, i); next_piece(job, i, job->width, most, &p);) {
            norm_rows rows = rows_at(job, p.start);
            if (several) {
                rows.dy = gathered(job, job->dy, &p, scratch);
                rows.mask = gathered(job, job->mask, &p, scratch + scratch_size(job) / 2);
            } else {
                rows.dy = spaced_at(job, job->dy, &p);
                rows.mask = spaced_at(job, job->mask, &p);
            }
            job->context->kernels->norm.dots[job->norm->dtype](
                rows.dy, rows.x, rows.mask, p.rows, p.width, p.width == job->norm->c ? job->spacing : p.width,
                coefficient(job, CENTER), gate(job, GATE_SCALE), gate(job, GATE_OFFSET), into(job, p.start),
                chunk_sums(job, i, 0), chunk_sums(job, i, 1), chunk_sums(job, i, 2));
        }
}

void cc_norm_apply_to_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const norm_job *job = argument;
    const bool backward = job->dy != NULL, apart = job->spacing != job->norm->c && !job->dense_dy;
    const int64_t width = apart ? job->norm->c : job->width;
    const void *k[COEFFICIENTS];
    (void)part;
    for (int i = 0; i < COEFFICIENTS; i++)
        k[i] = coefficient(job, i);
    for (int64_t i = begin; i < end; i++) {
        /* Backward, what was summed last comes first: it is still in the cache. */
        const int64_t chunk = backward ? begin + end - 1 - i : i;
        for (piece p = chunk_at(job, chunk); next_piece(job, chunk, width, job->positions, &p);) {
            norm_rows rows = rows_at(job, p.start);
            if (apart && backward) {
                rows.dy = spaced_at(job, job->dy, &p);
                rows.mask = spaced_at(job, job->mask, &p);
            } else if (apart) {
                rows.out = job->out + (size_t)spaced(job, &p) * size_of(job);
            }
            cc_norm_apply_rows(job, &rows, p.rows, p.width, apart ? job->spacing : p.width, k);
        }
    }
}
