/* gemm/gemm.h -- own float32 matrix product, all matrices row-major.
 *
 * B is cut into panels of a few vectors of columns, C into register tiles (kernels/gemm.h), the sum
 * over k into blocks that keep a panel of B in cache:
 *
 *                      n: panels             A tile of C sums one block of k in registers; blocks are
 *                   +----+----+--+           added in order, so every element of C is the same sum
 *               B k |    |    |  |           whichever way m and n are cut, and the bits do not depend
 *                   +----+----+--+           on the number of threads.
 *          k        +----+----+--+
 *     A +-----+     |    |    |  |  rows     The last panel may be ragged: it is padded with zeros in
 *     m |     |   C +----+----+--+  of tile  the packed copy and goes to C through a small buffer, so
 *       +-----+     |    |    |  |           nothing is written past n.
 */
#ifndef CC_GEMM_GEMM_H
#define CC_GEMM_GEMM_H

#include "../context.h"

/* C (m x n) = epilogue([C +] op(A) (m x k) * op(B) (k x n)); op is the transpose where trans_* is set.
 * Row lengths lda, ldb, ldc. `epilogue` may be NULL. C overlaps nothing.
 * CC_ERR_MEMORY: nothing was written. */
cc_status cc_gemm(const cc_context *context, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                  const float *a, int64_t lda, const float *b, int64_t ldb, bool accumulate, float *c, int64_t ldc,
                  const cc_gemm_epilogue *epilogue);

/* `count` such products of one shape as one, whose panels are all of theirs: the g-th reads a + g*step_a and
 * b + g*step_b and writes c + g*step_c; its epilogue's arrays begin g*n further, for which step_c must be n. */
typedef struct cc_gemm_groups {
    int64_t count, step_a, step_b, step_c;
} cc_gemm_groups;

cc_status cc_gemm_grouped(const cc_context *context, const cc_gemm_groups *groups, bool trans_a, bool trans_b,
                          int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                          bool accumulate, float *c, int64_t ldc, const cc_gemm_epilogue *epilogue);

/* The pieces, for one thread. */

/* Vectors a panel should have for a product of m rows and n columns. */
int cc_gemm_width(const cc_kernels *kernels, int64_t m, int64_t n);

/* Floats in a row of the packed copy of a panel with n columns: n rounded up to whole vectors, whose lanes are a power of
 * two; tiles of short sums would notice a division. */
static inline int64_t cc_gemm_padded(const cc_kernels *kernels, int64_t n)
{
    const int64_t lanes = kernels->lanes;
    return (n + lanes - 1) & -lanes;
}

/* panel (k x padded(n)) = op(B) (k x n) and zeros. */
void cc_gemm_pack_b(const cc_kernels *kernels, bool trans_b, int64_t n, int64_t k, const float *b, int64_t ldb,
                    float *panel);

/* Part of a matrix that will be read: rows of `columns` floats, ld apart. */
typedef struct cc_gemm_piece {
    const float *data;
    int64_t rows, columns, ld;
} cc_gemm_piece;

/* How a piece is fetched: in the calls of so many tiles, each its share, line by line or one line of each row. */
typedef struct cc_gemm_stream {
    const float *data;
    int64_t calls, step; /* that are left; floats from k to k */
    int64_t lines, line; /* of a row, and that of the next call */
    int64_t leap;        /* floats to the next rows */
} cc_gemm_stream;

typedef struct cc_gemm_fetches {
    cc_gemm_stream stream[2];
} cc_gemm_fetches;

/* Two pieces, for `calls` tiles, each a sum of `depth`. */
cc_gemm_fetches cc_gemm_fetches_of(const cc_gemm_piece pieces[2], int64_t calls, int64_t depth);
/* What the next of these tiles fetches; its data is NULL for nothing. */
cc_gemm_ahead cc_gemm_fetch(cc_gemm_fetches *fetches);

#endif
