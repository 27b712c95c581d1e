/* gemm/job.h -- one matrix product and how it is cut; shared by the files of this folder. */
#ifndef CC_GEMM_JOB_H
#define CC_GEMM_JOB_H

#include "gemm.h"

typedef struct cc_gemm_matrix {
    const float *data;
    int64_t ld;
    bool transposed;
} cc_gemm_matrix;

typedef struct cc_gemm_job {
    const cc_kernels *kernels;
    int64_t m, n, k;
    cc_gemm_matrix a, b;
    cc_gemm_groups groups;
    float *c;
    int64_t ldc;
    bool accumulate;
    const cc_gemm_epilogue *epilogue;
    bool turned; /* C here is the transpose of the caller's: rows of a block are turned at its end */

    int threads;
    int64_t panel_columns, panel_vectors; /* of all panels but the last ones, which may be narrower */
    int64_t group_panels, panels; /* of one group, of all */
    int64_t depth, depth_blocks; /* blocks of k */
    int64_t chunks;              /* groups of depth blocks, each with a C of its own */
    int64_t row_blocks, column_blocks;
    bool pack_b;

    float *packed;  /* all of B, when row blocks share it */
    float *partial; /* the C of each chunk */
    float *scratch; /* for each part: a block of B, a block of C */
    int64_t scratch_b, scratch_c;
} cc_gemm_job;

typedef struct cc_gemm_range {
    int64_t begin, end;
} cc_gemm_range;

/* Rows of A this many floats apart fall on the same lines of the first-level cache, of which it holds so many. */
#define CC_GEMM_COLLIDING 1024
#define CC_GEMM_WAYS 8

/* Rows of the tallest tile of a full panel. */
static inline int64_t cc_gemm_tile_rows(const cc_gemm_job *j)
{
    const int64_t padded = cc_gemm_padded(j->kernels, cc_min(j->n, j->panel_columns));
    const int64_t most = j->kernels->gemm.max_rows[padded / j->kernels->lanes];
    return !j->a.transposed && j->a.ld % CC_GEMM_COLLIDING == 0 ? cc_min(most, CC_GEMM_WAYS) : most;
}

/* Fill in everything below the blank line of cc_gemm_job but the memory. */
void cc_gemm_plan(cc_gemm_job *j, const cc_pool *pool);

/* Memory for the plan and `parts` threads, in one allocation that the caller frees; NULL when none is needed. */
cc_status cc_gemm_provide(cc_gemm_job *j, cc_arena *arena, int parts, float **memory);

#endif
