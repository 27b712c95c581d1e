/* norm/job.h -- one pass of batch norm, shared by the two ways to walk memory: chunks.c has the rows of
 * channels-last memory, planes.c the planes of channels-first.
 */
#ifndef CC_NORM_JOB_H
#define CC_NORM_JOB_H

#include "norm.h"

#define ROW 64
#define MAX_CHUNKS 64
#define CHUNK_VALUES 16384

typedef struct norm_job {
    const cc_context *context;
    const cc_norm *norm;
    int64_t positions; /* N * spatial */
    int64_t width;     /* columns of a row, channels-last */
    int64_t chunk;     /* rows of a chunk, channels-last */
    int chunks;
    int64_t spacing;       /* of y and dy, channels-last */
    const char *x, *dy, *mask, *residual;
    char *out, *dresidual;
    bool dense_dy; /* dy is no longer the caller's, which is spaced out */
    bool gated; /* dy counts where the norm, computed again, is positive */
    double *shift, *sums; /* sums: 3 a chunk and column, or 3 a channel */
    char *coefficients;   /* one of each below a column, or a channel */
    char *scratch;        /* a thread's blocks of what is spaced out */
} norm_job;

/* Where some rows of the pass that writes lie. */
typedef struct norm_rows {
    const char *x, *dy, *mask, *residual;
    char *out;
} norm_rows;

enum { CENTER, SCALE, OFFSET, SLOPE, GATE_SCALE, GATE_OFFSET, COEFFICIENTS };

static inline double get(cc_dtype dtype, const void *array, int64_t i)
{
    return dtype == CC_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

static inline void set(cc_dtype dtype, void *array, int64_t i, double value)
{
    if (dtype == CC_F32)
        ((float *)array)[i] = (float)value;
    else
        ((double *)array)[i] = value;
}

static inline double get_or(cc_dtype dtype, const void *array, int64_t i, double otherwise)
{
    return array == NULL ? otherwise : get(dtype, array, i);
}

static inline size_t size_of(const norm_job *job) { return cc_dtype_size(job->norm->dtype); }

static inline void *coefficient(const norm_job *job, int which)
{
    return job->coefficients + (size_t)which * (size_t)job->width * size_of(job);
}

static inline const void *gate(const norm_job *job, int which) { return job->gated ? coefficient(job, which) : NULL; }

static inline const char *at(const char *array, int64_t i, size_t size)
{
    return array == NULL ? NULL : array + (size_t)i * size;
}

static inline norm_rows rows_at(const norm_job *job, int64_t i)
{
    const size_t size = size_of(job);
    return (norm_rows){at(job->x, i, size), at(job->dy, i, size), at(job->mask, i, size), at(job->residual, i, size),
                       job->out + (size_t)i * size};
}

/* Bytes of scratch a thread: a block of dy and of the mask. */
static inline int64_t scratch_size(const norm_job *job)
{
    return 2 * CC_NORM_BLOCK * job->width * (int64_t)size_of(job);
}

/* Where dresidual begins for values from i on, or NULL. */
static inline char *into(const norm_job *job, int64_t i)
{
    return job->dresidual == NULL ? NULL : job->dresidual + (size_t)i * size_of(job);
}

static inline double *chunk_sums(const norm_job *job, int64_t chunk, int which)
{
    return job->sums + (chunk * 3 + which) * job->width;
}

/* First value of a channel's plane, channels-first. */
static inline int64_t plane(const cc_norm *norm, int64_t n, int64_t c) { return (n * norm->c + c) * norm->spatial; }

/* The pass that writes, `step` as in kernels/norm.h, with coefficients k for a row. */
void cc_norm_apply_rows(const norm_job *job, const norm_rows *at, int64_t rows, int64_t width, int64_t step,
                        const void *const k[COEFFICIENTS]);

/* Tasks over chunks, for channels-last memory. */
void cc_norm_moments_of_chunks(void *argument, int64_t begin, int64_t end, int part);
void cc_norm_dots_of_chunks(void *argument, int64_t begin, int64_t end, int part);
void cc_norm_apply_to_chunks(void *argument, int64_t begin, int64_t end, int part);

/* Tasks over channels, for channels-first memory. */
void cc_norm_moments_of_planes(void *argument, int64_t begin, int64_t end, int part);
void cc_norm_dots_of_planes(void *argument, int64_t begin, int64_t end, int part);
void cc_norm_apply_to_planes(void *argument, int64_t begin, int64_t end, int part);

#endif
