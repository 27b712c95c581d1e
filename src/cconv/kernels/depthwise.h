/* kernels/depthwise.h -- convolution of each channel with a kernel of its own, channels-last, on a grid of windows
 * that see the same taps. Slots are indexed by cc_dtype; places in arrays are counted in elements.
 *
 *   y(r, i, c) = SUM over taps  x(r, i, t, c / multiplier) * w(t, c)      c < channels
 *
 *   x(r, i, t, k) = x[offset[t] + r*x_row + i*x_step + k]       w(t, c) = w[weight[t] + c]
 *   y(r, i, c)    = y[y_first + r*y_row + i*y_step + c]
 *
 * or of groups of a few channels each, n groups of `inputs` channels of x and `outputs` of y, at most the vector's lanes:
 *
 *   y(r, i, c) = SUM over taps, j < inputs  x(r, i, t, c / outputs * inputs + j) * w(t, c, j)
 *
 *   w(t, c, j) = w[block * weights + weight[t] + j * lanes + l]     c = block * (groups in a vector) * outputs + l
 *
 * A vector takes as many groups as have their channels of x, and those of y, in its lanes; what lies behind is zero.
 */
#ifndef CC_KERNELS_DEPTHWISE_H
#define CC_KERNELS_DEPTHWISE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cc_depthwise_run {
    int64_t rows, windows;
    int64_t channels, multiplier; /* channels of y, a multiple of the multiplier */
    int64_t x_row, x_step;
    int64_t y_first, y_row, y_step;
    int64_t taps;
    const int64_t *offset, *weight;

    /* Pixels of x for each window that a later window will read: asked for ahead, unlike the streams
     * of so many pixels the processor would not see them coming. They may lie outside x. */
    int64_t ahead;
    const int64_t *ahead_offset;
} cc_depthwise_run;

typedef struct cc_depthwise_groups {
    int64_t groups, inputs, outputs;
    int64_t weights; /* from the weights of a vector of y to those of the next */
} cc_depthwise_groups;

/* Whether rows below are asked for ahead, where x and y do not stay in the caches: in the order of memory by all windows
 * of a row in turn, or by each window what is below it. */
typedef enum cc_ahead { CC_AHEAD_NOTHING = 0, CC_AHEAD_IN_ORDER, CC_AHEAD_BELOW } cc_ahead;

/* Planes of x and y, channels-last, and 3x3 windows whose taps beyond x are skipped:
 *
 *   y(r, i) = SUM over h, k < 3  x(r*stride + h - top, i*stride + k - left) * w(h, k)      stride 1 or 2
 *
 * w(h, k, c) = w[c / lanes * 9 * lanes + (h*3 + k) * lanes + c % lanes], whole vectors. */
typedef struct cc_depthwise_plane {
    int64_t channels, height, width, out_height, out_width;
    int64_t stride, top, left;
    int64_t begin, end; /* of the channels, the first of a vector, and one behind the last */
    cc_ahead ahead;
    /* Vectors of channels go along rows, or tiles of windows through all channels (depthwise_plane.inc), if these are whole
     * vectors. */
    bool slides;
    bool past; /* what is written will not be in the caches when it is read: it need not go there */
} cc_depthwise_plane;

/* Planes of one channel of floats each, 3x3 windows one or two pixels apart, and a kernel and a bias for each plane:
 *
 *   y(r, c) = bias + SUM over h, k < 3  x(r*stride + h - top, c*stride + k - left) * w(h, k)      x = 0 beyond its edges */
typedef struct cc_depthwise_rows {
    int64_t height, width, out_height, out_width;
    int64_t stride, top, left; /* 1 or 2, and 0 to 2 */
    int64_t ahead;             /* floats from what is read or written to what is asked for meanwhile */
    int64_t x_image, y_image;  /* of the gradient: from a plane to the same one of the next image */
} cc_depthwise_rows;

typedef struct cc_depthwise_kernels {
    /* Rows first <= r < last of y. */
    void (*convolve_plane[2])(const cc_depthwise_plane *plane, int64_t first, int64_t last, const void *x,
                              const void *w, const void *bias, const void *residual, bool relu, void *y);
    /* w(h, k) += SUM over those rows and all i  x(r*stride + h - top, i*stride + k - left) * y(r, i) */
    void (*gradient_plane[2])(const cc_depthwise_plane *plane, int64_t first, int64_t last, const void *x,
                              const void *y, void *w);
    /* The transposed, at stride 2:  x(r*2 + h - top, i*2 + k - left) = SUM  y(r, i) * w(h, k)  + residual
     * Rows 2*r - top + 1 and the next of x, first <= r < last; those beyond x are left out. */
    void (*spread_plane[2])(const cc_depthwise_plane *plane, int64_t first, int64_t last, const void *y,
                            const void *w, const void *residual, void *x);
    /* y = max(sum + bias + residual, 0); bias (channels) and residual (like y) may be NULL, the maximum is taken
     * with relu (NaN stays NaN). */
    void (*convolve[2])(const cc_depthwise_run *run, const void *x, const void *w, const void *bias,
                        const void *residual, bool relu, void *y);
    /* w(t, c) += SUM over windows  x(r, i, t, c / multiplier) * y(r, i, c) */
    void (*gradient[2])(const cc_depthwise_run *run, const void *x, const void *y, void *w);
    /* Both for groups; the run's channels and multiplier do not matter. */
    void (*convolve_groups[2])(const cc_depthwise_run *run, const cc_depthwise_groups *groups, const void *x,
                               const void *w, const void *bias, const void *residual, bool relu, void *y);
    void (*gradient_groups[2])(const cc_depthwise_run *run, const cc_depthwise_groups *groups, const void *x,
                               const void *y, void *w);
    /* sum[i] += x[i], then x[i] = 0 */
    void (*drain[2])(void *x, int64_t n, double *sum);
    /* y[c] = SUM over j < multiplier  x[c*multiplier + j] */
    void (*fold[2])(const void *x, int64_t n, int64_t multiplier, void *y);

    /* Rows first <= r < last of y, in so many planes that follow one another; the bias may be NULL. */
    void (*convolve_rows)(const cc_depthwise_rows *p, int64_t planes, int64_t first, int64_t last, const float *x,
                          const float *w, const float *bias, float *y);
    /* SUM over l < lanes  sums(h, k, l)  +=
     *     SUM over so many images, those rows and all c  x(r*stride + h - top, c*stride + k - left) * y(r, c)
     * A lane gets at most as many of these as rows have vectors. */
    void (*gradient_rows)(const cc_depthwise_rows *p, int64_t images, int64_t planes, int64_t first, int64_t last,
                          const float *x, const float *y, float *sums);
    /* sum(h, k) += SUM over l  sums(h, k, l), which become zero */
    void (*drain_rows)(int64_t planes, float *sums, double *sum);
    /* The transposed, at stride 2: rows first <= r < last of x.
     *   x(r*2 + h - top, c*2 + k - left) = SUM  y(r, c) * w(h, k) */
    void (*spread_rows)(const cc_depthwise_rows *p, int64_t planes, int64_t first, int64_t last, const float *y,
                        const float *w, float *x);
} cc_depthwise_kernels;

#endif
