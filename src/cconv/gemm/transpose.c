/* gemm/transpose.c -- floats by the kernel, doubles some rows at a time: the lines they meet stay until they are full. */
#include "transpose.h"

#define ROWS 16

static void transpose_doubles(int64_t rows, int64_t columns, const double *x, int64_t ldx, double *y, int64_t ldy)
{
    for (int64_t i = 0; i < rows; i += ROWS) {
        const int64_t last = cc_min(rows, i + ROWS);
        for (int64_t j = 0; j < columns; j++)
            for (int64_t r = i; r < last; r++)
                y[j * ldy + r] = x[r * ldx + j];
    }
}

void cc_transpose(const cc_kernels *kernels, cc_dtype dtype, int64_t rows, int64_t columns, const void *x, int64_t ldx,
                  void *y, int64_t ldy)
{
    if (dtype == CC_F32)
        kernels->gemm.transpose(rows, columns, x, ldx, y, ldy, rows);
    else
        transpose_doubles(rows, columns, x, ldx, y, ldy);
}
