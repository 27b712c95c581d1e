/* plain_gemm.h -- stands in for BLAS, column-major, where tests have no library of it. */
#ifndef PLAIN_GEMM_H
#define PLAIN_GEMM_H

#include <stdint.h>

#define DEFINE_GEMM(name, T)                                                                                     \
    static void name(char *op_a, char *op_b, int *m, int *n, int *k, T *alpha, T *a, int *lda, T *b, int *ldb,   \
                     T *beta, T *c, int *ldc)                                                                    \
    {                                                                                                            \
        for (int64_t j = 0; j < *n; j++)                                                                         \
            for (int64_t i = 0; i < *m; i++) {                                                                   \
                T sum = 0;                                                                                       \
                for (int64_t p = 0; p < *k; p++)                                                                 \
                    sum += (*op_a == 'N' ? a[p * *lda + i] : a[i * *lda + p]) *                                  \
                           (*op_b == 'N' ? b[j * *ldb + p] : b[p * *ldb + j]);                                   \
                c[j * *ldc + i] = *alpha * sum + (*beta == 0 ? 0 : *beta * c[j * *ldc + i]);                     \
            }                                                                                                    \
    }
DEFINE_GEMM(plain_sgemm, float)
DEFINE_GEMM(plain_dgemm, double)
#undef DEFINE_GEMM

#endif
