/* kernels/stencil.h -- convolution of a block of planes with vectors along the rows, for few channels in
 * channels-first order. Slots are indexed by cc_dtype; places in arrays are counted in elements.
 *
 *   y(o, r, c) = bias[o] + SUM over p, h, k  x(p, r, c, h, k) * w(o, p, h, k)
 *
 *   x(p, r, c, h, k) = x[p*x_plane + r*x_step + h*x_tap + column[k] + c]       w contiguous
 *   y(o, r, c)       = y[o*y_plane + r*y_row + c]
 */
#ifndef CC_KERNELS_STENCIL_H
#define CC_KERNELS_STENCIL_H

#include <stdint.h>

typedef struct cc_stencil {
    int64_t outputs, rows, columns;
    int64_t planes, kh, kw;
    int64_t x_plane, x_step, x_tap;
    const int64_t *column;
    int64_t y_plane, y_row;
} cc_stencil;

typedef struct cc_stencil_kernels {
    /* Reads whole vectors of x, up to one less than a vector's lanes beyond the last column; bias may be NULL. */
    void (*convolve[2])(const cc_stencil *s, const void *x, const void *w, const void *bias, void *y);
    /* sums(o, p, h, k, l) += SUM over r, c  x(p, r, c, h, k) * y(o, r, c), c % lanes = l, in the array's type. */
    void (*gradient[2])(const cc_stencil *s, const void *x, const void *y, void *sums);
} cc_stencil_kernels;

#endif
