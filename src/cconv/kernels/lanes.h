/* kernels/lanes.h -- one block of a chain of small convolutions, an image in each vector lane.
 *
 * With one to a few channels a vector over channels is mostly empty, so here a vector holds the same
 * element of `lanes` images: a plane is [channel][row][column][lane] and weights are broadcast.
 */
#ifndef CC_KERNELS_LANES_H
#define CC_KERNELS_LANES_H

#include <stdbool.h>
#include <stdint.h>

/* One stage: convolution (stride 1, input already padded), ReLU, 2x2 max pooling. */
typedef struct cc_lanes_shape {
    int64_t ic, xh, xw; /* padded input planes */
    int64_t oc, kh, kw;
    int64_t oh, ow; /* convolution output = xh-kh+1, xw-kw+1 */
    int64_t ph, pw; /* pooled output = oh/2, ow/2 */
    int64_t pad_rows, pad_rows_end, pad_columns, pad_columns_end; /* how much of xh, xw is zero padding */
} cc_lanes_shape;

/* A place to write planes into: element (c, y, x) is at data + ((c*rows + y + top)*columns + x + left)*lanes. */
typedef struct cc_lanes_target {
    float *data;
    int64_t rows, columns, top, left;
} cc_lanes_target;

/* Place of the maximum in its window (0..3, row-major), or this where ReLU is closed. */
#define CC_LANES_CLOSED 4

/* Convolutions with kernels of five columns and at most as many rows by Winograd's algorithm along the rows, F(4, 5)
 * (lanes_winograd.inc) and, for the gradient of the weights, F(2, 5) (lanes_winograd_weight.inc). Outputs are taken by
 * twos, down and across: of odd sizes the last row and column are left out.
 *
 * v holds the input at eight points for each row and four outputs, [row][tile][channel][point][lane]: vectors
 * xh * ceil(ow/4) * ic * 8 in all; or at six for each pair of outputs, xh * (ow/2) * ic * 6. u holds the weights,
 * oc * ic * kh * 8 floats. */
#define CC_LANES_WINOGRAD_ROWS 5
#define CC_LANES_WINOGRAD_TAPS 5
#define CC_LANES_WINOGRAD_POINTS 8
#define CC_LANES_PAIR_POINTS 6

typedef struct cc_lanes_winograd_kernels {
    /* v of x, u of w: (oc, ic, kh, kw), or `turned`: (ic, oc, kh, kw) turned by 180 degrees. False: values so large,
     * Inf or NaN, that sums might be wrong that direct convolution gets right. */
    bool (*input)(const cc_lanes_shape *shape, const float *x, float *v);
    bool (*weights)(const cc_lanes_shape *shape, const float *w, bool turned, float *u);
    void (*conv_relu_pool)(const cc_lanes_shape *shape, const float *v, const float *u, const float *bias,
                           cc_lanes_target y, uint8_t *place);
    void (*conv)(const cc_lanes_shape *shape, const float *v, const float *u, cc_lanes_target y);
    /* v of all rows of x, by pairs of outputs. False as above. */
    bool (*pairs)(const cc_lanes_shape *shape, const float *x, float *v);
    /* As below, from the pairs. False: gradients too large; nothing was written. */
    bool (*weight_gradient)(const cc_lanes_shape *shape, const float *v, const float *dpool, const uint8_t *place,
                            float *dw);
} cc_lanes_winograd_kernels;

typedef struct cc_lanes_kernels {
    /* Output channels that share a register tile: weights are packed in groups of this many, the last
     * one may be smaller. */
    int64_t group;
    /* images (count, c, h, w), count <= lanes, to lanes; missing images are zero. */
    void (*load)(const float *images, int64_t count, int64_t c, int64_t h, int64_t w, cc_lanes_target target);
    /* planes of `elements` vectors back to images (count, elements). */
    void (*store)(const float *planes, int64_t elements, int64_t count, float *images);

    /* y = pool(relu(conv(x) + bias)) with the places of the maxima. w: groups of output
     * channels, each [ic][kh][kw][channel of the group]. */
    void (*conv_relu_pool)(const cc_lanes_shape *shape, const float *x, const float *w, const float *bias,
                           cc_lanes_target y, uint8_t *place);
    /* y = conv(x), all oh x ow of it, weights packed likewise. */
    void (*conv)(const cc_lanes_shape *shape, const float *x, const float *w, cc_lanes_target y);
    /* db[channel] += the sum of the pooled gradient, which is set to zero where ReLU is closed. */
    void (*bias_gradient)(const cc_lanes_shape *shape, float *dpool, const uint8_t *place, float *db);
    /* dw (oc, ic, kh, kw) += gradient of the block; dpool as bias_gradient leaves it. */
    void (*weight_gradient)(const cc_lanes_shape *shape, const float *x, const float *dpool, const uint8_t *place,
                            float *dw);
    /* The pooled gradient back at the places of the maxima, zero elsewhere inside the windows. */
    void (*unpool)(const cc_lanes_shape *shape, const float *dpool, const uint8_t *place, cc_lanes_target dy);

    cc_lanes_winograd_kernels winograd;
} cc_lanes_kernels;

#endif
