/* kernels/winograd.h -- the transforms of Winograd's convolutions F(4x4, 3x3) and F(2x2, 5x5).
 *
 *   Y = A' [(G w G') * (B' x B)] A       x: 6x6 input tile, w: 3x3 or 5x5 kernel, Y: 4x4 or 2x2 output tile
 *
 * with * elementwise, summed over the input channels: 36 matrix products, one for each of the 36
 * places xi of the transformed tile. Its adjoint gives the weight gradient:
 *
 *   dw = G' [(B' x B) * (A dY A')] G     summed over the tiles
 *
 * Interpolation points 0, +-5/8, +-3/2 and infinity: squares and their products are exact in float32, and
 * rounding errors are half those of the textbook's 0, +-1, +-2 (the points oneDNN once chose).
 * Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015.
 */
#ifndef CC_KERNELS_WINOGRAD_H
#define CC_KERNELS_WINOGRAD_H

#include <stdbool.h>
#include <stdint.h>

#define CC_WINOGRAD_FORMS 2
#define CC_WINOGRAD_PLACES 36 /* elements of a transformed tile */

/* Channels-last images cut into tiles: tile t, counted over (image, row, column), starts at pixel
 * (step*row - top, step*column - left). Pixels outside the image read as 0 and are not written. Grids of outputs have top and
 * left 0. */
typedef struct cc_winograd_grid {
    int64_t height, width, channels; /* `channels` is the distance of neighbouring pixels */
    int64_t top, left;
    int64_t rows, columns; /* tiles of an image */
    const float *zeros;    /* width * channels of them, for `input` */
} cc_winograd_grid;

/* 36 matrices; element (r, c) of the one for place xi stands at
 *   data[xi*plane + c/width*block + r*width + c%width]
 * i.e. each is cut into blocks of `width` columns. `width` is a multiple of the vector length. */
typedef struct cc_winograd_planes {
    float *data;
    int64_t plane, width, block;
} cc_winograd_planes;

/* One form; the table has F(4x4, 3x3) and F(2x2, 5x5). */
typedef struct cc_winograd_kernels {
    /* Outputs of a tile and elements of a kernel, along each axis. */
    int64_t step, taps;

    /* Rows of v: tiles first .. first+tiles-1; columns: channels. Columns that fill up the last vector
     * become 0. */
    void (*input)(const cc_winograd_grid *grid, const float *image, int64_t channels, int64_t first, int64_t tiles,
                  const cc_winograd_planes *v);
    void (*gradient)(const cc_winograd_grid *grid, const float *image, int64_t channels, int64_t first,
                     int64_t tiles, const cc_winograd_planes *d);

    /* image = relu(A' m A * scale + bias + residual); scale, bias and residual may be NULL. Returns a bound of the
     * magnitudes of A' m A, their sum: Inf or NaN if any of them is. */
    float (*output)(const cc_winograd_grid *grid, const cc_winograd_planes *m, int64_t channels, int64_t first,
                    int64_t tiles, const float *scale, const float *bias, const float *residual, bool relu,
                    float *image);

    /* u(i, o) = G w(o, i) G' where w(o, i) are the `area` = taps*taps numbers at w + o*row + i*area; `inputs` rows,
     * `outputs` columns, the last vector filled up with 0. */
    void (*weight)(const float *w, int64_t row, int64_t inputs, int64_t outputs, const cc_winograd_planes *u);
    /* u(o, i) of the kernel turned by 180 degrees: `outputs` rows, `inputs` columns. */
    void (*weight_turned)(const float *w, int64_t row, int64_t outputs, int64_t inputs, const cc_winograd_planes *u);

    /* w(i, o) = G' u(i, o) G, of which the first `area` places are taken; returns the sum of the magnitudes. */
    float (*weight_gradient)(const cc_winograd_planes *u, int64_t inputs, int64_t outputs,
                             const cc_winograd_planes *w);
    /* dw(o, i) += w(i, o) */
    void (*weight_add)(const cc_winograd_planes *w, int64_t inputs, int64_t outputs, float *dw, int64_t row);
} cc_winograd_kernels;

#endif
