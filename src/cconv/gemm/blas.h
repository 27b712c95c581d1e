/* gemm/blas.h -- the BLAS that SciPy ships, seen row-major.
 *
 * The pointers come from scipy.linalg.cython_blas at run time: Fortran convention, 32-bit sizes.
 * OpenBLAS is held at one thread while we are inside, because our pool does the threading and its sums must not
 * depend on the number of threads.
 */
#ifndef CC_GEMM_BLAS_H
#define CC_GEMM_BLAS_H

#include <stdbool.h>
#include <stdint.h>

#include "../shape.h"
#include "../status.h"

typedef void (*cc_sgemm)(char *, char *, int *, int *, int *, float *, float *, int *, float *, int *, float *,
                         float *, int *);
typedef void (*cc_dgemm)(char *, char *, int *, int *, int *, double *, double *, int *, double *, int *,
                         double *, double *, int *);

typedef struct cc_blas cc_blas;

cc_blas *cc_blas_create(void);
void cc_blas_destroy(cc_blas *blas);

/* Hand over the pointers. The two thread functions may both be NULL (a BLAS without threads). */
void cc_blas_set(cc_blas *blas, cc_sgemm sgemm, cc_dgemm dgemm, int (*get_threads)(void),
                 void (*set_threads)(int));
bool cc_blas_ready(const cc_blas *blas);

/* Between these OpenBLAS runs on one thread; the first in saves the caller's setting and the last
 * out restores it. CC_ERR_NO_BLAS, without entering, if there are no pointers. */
cc_status cc_blas_enter(cc_blas *blas);
void cc_blas_leave(cc_blas *blas);

/* C (m x n) = op(A) (m x k) * op(B) (k x n) + beta * C, all row-major with row lengths lda, ldb,
 * ldc; op is the transpose where trans_* is set. Only between enter and leave. Sizes beyond 32 bits
 * are cut into pieces whose sizes depend on m, n, k alone. */
void cc_blas_gemm(const cc_blas *blas, cc_dtype dtype, bool trans_a, bool trans_b, int64_t m, int64_t n,
                  int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c,
                  int64_t ldc);

/* Around fork(). */
void cc_blas_lock(cc_blas *blas);
void cc_blas_unlock(cc_blas *blas);

#endif
