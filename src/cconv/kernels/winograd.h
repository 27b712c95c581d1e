/* kernels/winograd.h -- the transforms of Winograd's convolutions F(4x4, 3x3), F(2x2, 5x5) and, for stride 2, F(4x4, 2x2),
 * and those of images of 2x2 pixels.
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
 *
 * A 3x3 convolution of stride 2 is the sum of four of stride 1 over the four phases of its image, the pixels of even and odd
 * rows and columns. Along each axis one phase meets taps 0 and 2, the other tap 1 alone, to which a tap of 0 is put
 * in front. Without the point at infinity a transform has 5x5 places; those of point 0 vanish for the lone tap: of
 * 4 x 25 products 81 remain, for 16 outputs that take 144 by the definition.
 *
 * Of an image of two pixels along an axis, padded by one, y0 = w1 x0 + w2 x1 and y1 = w0 x0 + w1 x1 take three products, of
 * w1, w2 - w1 and w0 - w1 with x0 + x1, x1 and x0 (Karatsuba's method, transposed; Winograd, "Arithmetic Complexity of
 * Computations", 1980): 9 places for 4 outputs, which take 16 products where padding is not multiplied.
 */
#ifndef CC_KERNELS_WINOGRAD_H
#define CC_KERNELS_WINOGRAD_H

#include <stdbool.h>
#include <stdint.h>

#define CC_WINOGRAD_FORMS 4
#define CC_WINOGRAD_PLACES 36 /* elements of a transformed tile, at most */

/* Phases of the strided form, in an order in which those that share a place are neighbours: rows of two taps with columns
 * of one; two and two; one and two; one and one. Other forms have one phase. */
#define CC_WINOGRAD_PHASES 4
#define CC_WINOGRAD_LONE_ROW(phase) ((phase) >= 2)
#define CC_WINOGRAD_LONE_COLUMN(phase) ((phase) == 0 || (phase) == 3)

/* Channels-last images cut into tiles: tile t, counted over (mosaic, row, column), starts at pixel
 * (step*row - top, step*column - left) of its mosaic. In a mosaic down x across images lie in rows, each a period from the
 * one before; tiles reach over the gaps, so that fewer cover all. Pixels outside the images read as 0 and are not
 * written. Distances may be those of a phase, or negative: the image turned by 180 degrees. */
typedef struct cc_winograd_grid {
    int64_t height, width;
    int64_t pixel, line, image; /* floats from each to the next */
    int64_t top, left;
    int64_t rows, columns; /* tiles of a mosaic */
    const float *zeros;    /* a line of them, for forms of one phase */
    int64_t down, across;  /* images of a mosaic; 1 x 1: each stands for itself */
    int64_t row_period, column_period; /* in pixels, at least height and width; of several images */
} cc_winograd_grid;

/* A matrix for each place; element (r, c) of the one for place xi stands at
 *   data[xi*plane + c/width*block + r*width + c%width]
 * i.e. each is cut into blocks of `width` columns. `width` is a multiple of the vector length. With `past`, for which data and
 * all distances are whole lines of the caches, input and gradient write past them where a vector is such a line: lines that
 * several cores have read take long to be written if these share no cache. */
typedef struct cc_winograd_planes {
    float *data;
    int64_t plane, width, block;
    bool past;
} cc_winograd_planes;

/* Functions are those of a phase. */
typedef struct cc_winograd_kernels {
    /* Outputs of a tile and elements of a kernel, along each axis; of the kernel that is convolved, whatever a phase sees of it.
     * A transformed tile has points * points places, all of which phase `whole` has. `image`: 0, or the one size of images. */
    int64_t image, stride, step, taps, points, phases, whole;

    /* Rows of v: tiles first .. first+tiles-1; columns: channels. Columns that fill up the last vector
     * become 0. */
    void (*input[CC_WINOGRAD_PHASES])(const cc_winograd_grid *grid, const float *image, int64_t channels, int64_t first,
                                      int64_t tiles, const cc_winograd_planes *v);
    void (*gradient)(const cc_winograd_grid *grid, const float *image, int64_t channels, int64_t first, int64_t tiles,
                     const cc_winograd_planes *d);

    /* image = relu(A' m A * scale + bias + residual); scale, bias and residual may be NULL. Returns a bound of the
     * magnitudes of A' m A, their sum: Inf or NaN if any of them is. */
    float (*output[CC_WINOGRAD_PHASES])(const cc_winograd_grid *grid, const cc_winograd_planes *m, int64_t channels,
                                        int64_t first, int64_t tiles, const float *scale, const float *bias,
                                        const float *residual, bool relu, float *image);

    /* u(i, o) = G w(o, i) G' where w(o, i) are the `area` = taps*taps numbers at w + o*row + i*area; `inputs` rows,
     * `outputs` columns, the last vector filled up with 0. */
    void (*weight[CC_WINOGRAD_PHASES])(const float *w, int64_t row, int64_t inputs, int64_t outputs,
                                       const cc_winograd_planes *u);
    /* u(o, i), `outputs` rows, `inputs` columns, of the kernel turned by 180 degrees; the strided form's is not turned. */
    void (*weight_back[CC_WINOGRAD_PHASES])(const float *w, int64_t row, int64_t outputs, int64_t inputs,
                                            const cc_winograd_planes *u);

    /* w(i, o) = G' u(i, o) G, of which the phase's of the first `area` places are taken; returns the sum of the magnitudes. */
    float (*weight_gradient[CC_WINOGRAD_PHASES])(const cc_winograd_planes *u, int64_t inputs, int64_t outputs,
                                                 const cc_winograd_planes *w);
    /* dw(o, i) += w(i, o) */
    void (*weight_add)(const cc_winograd_planes *w, int64_t inputs, int64_t outputs, float *dw, int64_t row);
} cc_winograd_kernels;

#endif
