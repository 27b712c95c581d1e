#include "blas.h"

#include <pthread.h>
#include <stdlib.h>

struct cc_blas {
    cc_sgemm sgemm;
    cc_dgemm dgemm;
    int (*get_threads)(void);
    void (*set_threads)(int);
    pthread_mutex_t mutex;
    int inside;        /* callers between enter and leave */
    int saved_threads; /* the setting the first of them found */
};

cc_blas *cc_blas_create(void)
{
    cc_blas *blas = calloc(1, sizeof *blas);
    if (blas != NULL)
        pthread_mutex_init(&blas->mutex, NULL);
    return blas;
}

void cc_blas_destroy(cc_blas *blas)
{
    if (blas == NULL)
        return;
    pthread_mutex_destroy(&blas->mutex);
    free(blas);
}

void cc_blas_set(cc_blas *blas, cc_sgemm sgemm, cc_dgemm dgemm, int (*get_threads)(void),
                 void (*set_threads)(int))
{
    pthread_mutex_lock(&blas->mutex);
    blas->sgemm = sgemm;
    blas->dgemm = dgemm;
    blas->get_threads = get_threads;
    blas->set_threads = get_threads != NULL ? set_threads : NULL;
    pthread_mutex_unlock(&blas->mutex);
}

bool cc_blas_ready(const cc_blas *blas) { return blas->sgemm != NULL && blas->dgemm != NULL; }

cc_status cc_blas_enter(cc_blas *blas)
{
    if (!cc_blas_ready(blas))
        return CC_ERR_NO_BLAS;
    pthread_mutex_lock(&blas->mutex);
    if (blas->inside++ == 0 && blas->set_threads != NULL) {
        blas->saved_threads = blas->get_threads();
        if (blas->saved_threads != 1)
            blas->set_threads(1);
    }
    pthread_mutex_unlock(&blas->mutex);
    return CC_OK;
}

void cc_blas_leave(cc_blas *blas)
{
    pthread_mutex_lock(&blas->mutex);
    if (--blas->inside == 0 && blas->set_threads != NULL && blas->saved_threads != 1)
        blas->set_threads(blas->saved_threads);
    pthread_mutex_unlock(&blas->mutex);
}

/* Pieces along n and k stay far below 2^31; m likewise. */
#define PIECE ((int64_t)1 << 30)

/* Row-major C = op(A) op(B) is column-major C' = op(B)' op(A)'. */
static void gemm_piece(const cc_blas *blas, cc_dtype dtype, bool trans_a, bool trans_b, int64_t m, int64_t n,
                       int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c,
                       int64_t ldc)
{
    char op_a = trans_a ? 'T' : 'N', op_b = trans_b ? 'T' : 'N';
    int rows = (int)n, columns = (int)m, depth = (int)k;
    int first_ld = (int)ldb, second_ld = (int)lda, result_ld = (int)ldc;
    if (dtype == CC_F32) {
        float one = 1.0f, scale = (float)beta;
        blas->sgemm(&op_b, &op_a, &rows, &columns, &depth, &one, (float *)b, &first_ld, (float *)a, &second_ld,
                    &scale, c, &result_ld);
    } else {
        double one = 1.0, scale = beta;
        blas->dgemm(&op_b, &op_a, &rows, &columns, &depth, &one, (double *)b, &first_ld, (double *)a, &second_ld,
                    &scale, c, &result_ld);
    }
}

static void clear(cc_dtype dtype, int64_t m, int64_t n, double beta, void *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            if (dtype == CC_F32)
                ((float *)c)[i * ldc + j] = beta == 0.0 ? 0.0f : (float)beta * ((float *)c)[i * ldc + j];
            else
                ((double *)c)[i * ldc + j] = beta == 0.0 ? 0.0 : beta * ((double *)c)[i * ldc + j];
        }
}

void cc_blas_gemm(const cc_blas *blas, cc_dtype dtype, bool trans_a, bool trans_b, int64_t m, int64_t n,
                  int64_t k, const void *a, int64_t lda, const void *b, int64_t ldb, double beta, void *c,
                  int64_t ldc)
{
    if (m == 0 || n == 0)
        return;
    if (k == 0) {
        clear(dtype, m, n, beta, c, ldc);
        return;
    }
    const int64_t size = (int64_t)cc_dtype_size(dtype);
    for (int64_t i = 0; i < m; i += PIECE)
        for (int64_t j = 0; j < n; j += PIECE)
            for (int64_t p = 0; p < k; p += PIECE) {
                const int64_t offset_a = trans_a ? p * lda + i : i * lda + p;
                const int64_t offset_b = trans_b ? j * ldb + p : p * ldb + j;
                gemm_piece(blas, dtype, trans_a, trans_b, cc_min(PIECE, m - i), cc_min(PIECE, n - j),
                           cc_min(PIECE, k - p), (const char *)a + offset_a * size, lda,
                           (const char *)b + offset_b * size, ldb, p == 0 ? beta : 1.0,
                           (char *)c + (i * ldc + j) * size, ldc);
            }
}

void cc_blas_lock(cc_blas *blas) { pthread_mutex_lock(&blas->mutex); }
void cc_blas_unlock(cc_blas *blas) { pthread_mutex_unlock(&blas->mutex); }
