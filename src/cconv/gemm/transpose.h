/* gemm/transpose.h -- a matrix of either element type, turned. */
#ifndef CC_GEMM_TRANSPOSE_H
#define CC_GEMM_TRANSPOSE_H

#include "../kernels.h"
#include "../shape.h"

/* y (columns x rows) = transpose of x (rows x columns), for one thread; rows of x are ldx elements apart, of y ldy. */
void cc_transpose(const cc_kernels *kernels, cc_dtype dtype, int64_t rows, int64_t columns, const void *x, int64_t ldx,
                  void *y, int64_t ldy);

#endif
