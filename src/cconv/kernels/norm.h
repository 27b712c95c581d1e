/* kernels/norm.h -- batch norm over rows of `width` values, one statistic a column. Slots are indexed by cc_dtype. Rows
 * of y, and backward those of dy and mask, are `step` values apart.
 *
 * Sums are added to, in double. Backward, dy counts only where the ReLU behind was open: where mask > 0, or
 * where (x - center) * gate_scale + gate_offset > 0, the forward pass computed again; both may be NULL.
 */
#ifndef CC_KERNELS_NORM_H
#define CC_KERNELS_NORM_H

#include <stdbool.h>
#include <stdint.h>

/* Sums go from the array's own type to double after so many rows: pieces of so many give the same bits. */
#define CC_NORM_BLOCK 32

typedef struct cc_norm_kernels {
    /* sum[j] += SUM x[r,j] - shift[j], square[j] += SUM (x[r,j] - shift[j])^2. Exact where x is constant. */
    void (*moments[2])(const void *x, int64_t rows, int64_t width, const double *shift, double *sum,
                       double *square);
    /* y = (x - center) * scale + offset + residual (NULL: 0), then max(y, 0) with relu. All of the array's type. */
    void (*apply[2])(const void *x, const void *residual, int64_t rows, int64_t width, int64_t step,
                     const void *center, const void *scale, const void *offset, bool relu, void *y);
    /* sum_x += SUM x - center, sum_dy += SUM dy, dot += SUM dy * (x - center); dresidual (NULL: not wanted, and not there
     * to be had with a gate computed again) = dy where it counts, else 0 */
    void (*dots[2])(const void *dy, const void *x, const void *mask, int64_t rows, int64_t width, int64_t step,
                    const void *center, const void *gate_scale, const void *gate_offset, void *dresidual,
                    double *sum_x, double *sum_dy, double *dot);
    /* dx = dy * scale + (x - center) * slope + offset */
    void (*apply_backward[2])(const void *dy, const void *x, const void *mask, int64_t rows, int64_t width,
                              int64_t step, const void *center, const void *scale, const void *slope, const void *offset,
                              const void *gate_scale, const void *gate_offset, void *dx);
} cc_norm_kernels;

#endif
