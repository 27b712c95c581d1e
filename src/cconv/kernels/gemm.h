/* kernels/gemm.h -- the register tiles every matrix product is made of.
 *
 * A tile of C, `rows` x `vectors * lanes`, stays in registers while it sums over taps and depth:
 *
 *   C(r, :) = [C(r, :) +] SUM(t < taps, k < depth)  A_t(r, k) * B(t*depth + k, :)
 *
 *   A_t(r, k) = a[offset[t] + r*a_row + k*a_step]      offset may be NULL when taps == 1: offset 0
 *   row j of B = b + j*ldb                             row r of C = c + r*ldc
 *
 *          lanes x vectors                one k: `vectors` loads from B, `rows` broadcasts from A,
 *        +-----------------+              rows x vectors fused multiply-adds
 *      B |  . . . . . . .  | k
 *        +-----------------+
 *   A    +-----------------+
 *   . k  |                 | rows
 *   . .  |       C         |
 *        +-----------------+
 *
 * The sum starts at 0 and C is added last, once.
 */
#ifndef CC_KERNELS_GEMM_H
#define CC_KERNELS_GEMM_H

#include <stdbool.h>
#include <stdint.h>

/* Memory that will be needed soon: each k of a tile fetches the line of `data` and the next one; `data` moves on by `step`
 * floats. */
typedef struct cc_gemm_ahead {
    const float *data;
    int64_t step;
} cc_gemm_ahead;

/* `ahead` may be NULL. */
typedef void (*cc_gemm_tile)(int64_t taps, const int64_t *offset, int64_t depth, const float *a, int64_t a_row,
                             int64_t a_step, const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate,
                             const cc_gemm_ahead *ahead);

/* The same where the columns of A are rows in memory: a_row is 1. */
typedef void (*cc_gemm_tile_t)(int64_t taps, const int64_t *offset, int64_t depth, const float *a, int64_t a_step,
                               const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate,
                               const cc_gemm_ahead *ahead);

/* y = max(([y +] x) * scale + bias + residual, 0) over rows x cols; scale, bias (cols) and residual may be NULL, the maximum
 * is taken where `relu` is set (NaN stays NaN). x may be y. */
typedef struct cc_gemm_epilogue {
    const float *scale;
    const float *bias;
    const float *residual;
    int64_t ld_residual;
    bool relu;
} cc_gemm_epilogue;

#define CC_TILE_MAX_VECTORS 4
#define CC_TILE_MAX_ROWS 28

typedef struct cc_gemm_kernels {
    int max_vectors;                       /* widest tile */
    int max_rows[CC_TILE_MAX_VECTORS + 1]; /* tallest tile without spilling, by vectors */

    /* By [vectors][rows], each from 1 to its maximum. */
    cc_gemm_tile tile[CC_TILE_MAX_VECTORS + 1][CC_TILE_MAX_ROWS + 1]; /* a_step is taken as 1 */
    cc_gemm_tile_t tile_t[CC_TILE_MAX_VECTORS + 1][CC_TILE_MAX_ROWS + 1];

    void (*finish)(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy, bool accumulate,
                   const cc_gemm_epilogue *epilogue);
    /* y(i, j) = SUM(p < k) a(i, p) * b(j, p) for i < rows, j < cols. Each sum is kept in the lanes of one vector. */
    void (*dots)(int64_t rows, int64_t cols, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                 float *y, int64_t ldy);
    /* y (rows x ldy) = x (rows x cols), then zeros up to ldy. */
    void (*copy)(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy);
    /* y (cols x rows) = transpose of x (rows x cols), then zeros in each of its rows up to `padded`. */
    void (*transpose)(int64_t rows, int64_t cols, const float *x, int64_t ldx, float *y, int64_t ldy, int64_t padded);
} cc_gemm_kernels;

#endif
