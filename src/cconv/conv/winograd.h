/* conv/winograd.h -- what the parts of the Winograd algorithms share. */
#ifndef CC_CONV_WINOGRAD_H
#define CC_CONV_WINOGRAD_H

#include "algo.h"

/* Channels that stand together in a transformed input: a cache line. */
#define CC_WINOGRAD_SLICE 16

/* Results below this were computed too near the denormals to be as accurate as direct convolution. */
#define CC_WINOGRAD_SMALLEST 0x1p-100f

/* Channels beyond this are in no memory; up to it, no size of scratch overflows. */
#define CC_WINOGRAD_MANY_CHANNELS (1 << 24)

/* The form for the conv's kernel and stride, or NULL. */
const cc_winograd_kernels *cc_winograd_form(const cc_kernels *kernels, const cc_conv *conv);

/* The images of x, or of y: all of them, or apart the phases between which a stride jumps. */
typedef struct cc_winograd_side {
    int phases;
    cc_winograd_grid grid[CC_WINOGRAD_PHASES];
    int64_t first[CC_WINOGRAD_PHASES]; /* the float at which the phase begins */
} cc_winograd_side;

/* Those of a pass: it reads x and writes y, or reads dy and writes dx, or reads x and dy. */
void cc_winograd_sides(const cc_conv *conv, const cc_winograd_kernels *form, cc_pass pass, cc_winograd_side *x,
                       cc_winograd_side *y);

/* Tiles of all images. */
int64_t cc_winograd_tiles(const cc_conv *conv, const cc_winograd_side *side);

/* Floats of a line. */
int64_t cc_winograd_line(const cc_winograd_side *side);

/* Ask for `channels` of the pixels in the rows of these tiles, which are `step` apart; of a side of one phase. */
void cc_winograd_fetch(const cc_winograd_grid *grid, const float *image, int64_t channels, int64_t step, int64_t first,
                       int64_t tiles);

/* From a place to the next, of so many floats each: an odd number of lines of the caches, or a tile's places would lie in
 * the same few sets of them. */
static inline int64_t cc_winograd_plane(int64_t floats) { return (cc_ceil_div(floats, 16) | 1) * 16; }

/* The phases [begin, end) that have place xi. */
void cc_winograd_phases(const cc_winograd_kernels *form, int64_t xi, int64_t *begin, int64_t *end);

/* Forward; or with `back` backward_data: x is dy, y is dx. */
typedef struct cc_winograd_pass {
    cc_winograd_side from, to;
    const float *x, *w, *scale, *bias, *residual;
    float *y;
    bool back, relu;
} cc_winograd_pass;

/* `sound` tells whether y is what direct convolution would give. */
cc_status cc_winograd_convolve(const cc_context *context, const cc_conv *conv, const cc_winograd_pass *pass, bool *sound);

/* Of the descriptors. */
bool cc_winograd_supports(const cc_context *context, const cc_conv *conv, bool strided);
cc_status cc_winograd_forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w, const void *b,
                              const cc_epilogue *epilogue, void *y);
cc_status cc_winograd_backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                                    const void *residual, void *dx);
cc_status cc_winograd_add_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy, void *dw);
cc_status cc_winograd_give_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                  const cc_sink *sink, int64_t begin);

/* Threads that take whole groups; 1 where they share each of them. */
int cc_winograd_apart(const cc_context *context, const cc_conv *conv);

/* Channels cut into blocks as wide as a register tile. */
typedef struct cc_winograd_columns {
    int64_t channels, width, blocks;
} cc_winograd_columns;

cc_winograd_columns cc_winograd_cut(const cc_kernels *kernels, int64_t channels);

/* Channels and vectors of a block; the last one may be narrower. */
static inline int64_t cc_winograd_channels(const cc_winograd_columns *columns, int64_t block)
{
    return cc_min(columns->width, columns->channels - block * columns->width);
}
int64_t cc_winograd_vectors(const cc_kernels *kernels, const cc_winograd_columns *columns, int64_t block);

/* Whether results of these magnitudes are to be trusted. */
bool cc_winograd_sound(const float *magnitude, int parts);

/* The most preferred algorithm without transforms. */
const cc_conv_algo *cc_winograd_exact(const cc_context *context, const cc_conv *conv, cc_pass pass);

/* Where a weight gradient goes: dw is added to, or a sink takes it, for which it begins at element `begin`. */
typedef struct cc_winograd_gradient {
    float *dw;
    const cc_sink *sink;
    int64_t begin;
} cc_winograd_gradient;

cc_status cc_winograd_backward_weight(const cc_context *context, const cc_conv *conv, const float *x, const float *dy,
                                      const cc_winograd_gradient *to);

#endif
