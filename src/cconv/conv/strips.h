/* conv/strips.h -- what the direct convolution computes and how it cuts it up.
 *
 * Every pass reads a padded image at fixed shifts ("taps") around positions on a regular grid:
 *
 *   out(position) = SUM over taps  source(position*step + shift) * weight(tap)
 *
 * An item is a strip of grid rows of one image, or several whole small images. Its piece of the
 * source is copied with zero padding into a buffer, where a tap is one constant offset. Where a channels-last source
 * needs no padding it is read where it is.
 */
#ifndef CC_CONV_STRIPS_H
#define CC_CONV_STRIPS_H

#include "../gemm/gemm.h"
#include "conv.h"

/* Largest kernel, along one axis. */
#define CC_STRIPS_KERNEL 64

typedef struct cc_tap {
    int64_t shift[CC_AXES];
    int64_t weight; /* flat position in the kernel */
} cc_tap;

typedef struct cc_strips {
    const cc_kernels *kernels;

    /* The source (N, C, D, H, W), float32. */
    const float *source;
    int64_t n, size[CC_AXES];
    cc_strides strides;
    int64_t channels; /* of one group */
    int64_t held;     /* channels that the buffer holds at once; 0: all */

    /* The grid, its step in the source, and the taps, sorted by shift. */
    int64_t grid[CC_AXES], step[CC_AXES];
    int64_t taps;
    cc_tap *tap;

    /* Taps side by side in the buffer are one run: `runs` runs of run_taps taps. */
    int64_t runs, run_taps;
    int64_t *run_offset; /* in floats */

    /* The buffer of one image: planes x rows x columns x pitch floats; or, where no tap is in the padding, the source. */
    bool in_place;
    int64_t first[CC_AXES]; /* smallest shift */
    int64_t planes, rows, columns, pitch, image;
    int64_t reach; /* rows of the source that an item reads */

    /* Items: (image group, grid plane, row strip). */
    int64_t images_per_item, rows_per_item, row_strips, items;
} cc_strips;

/* One item, unravelled. */
typedef struct cc_strip {
    int64_t image, images; /* first and count */
    int64_t plane;
    int64_t row, rows;
} cc_strip;

/* The taps of a forward pass, or those that a phase of a stride in backward_data has, added to taps and tap[]; there must
 * be room for the whole kernel. */
void cc_strips_forward_taps(cc_strips *strips, const cc_window *window);
void cc_strips_phase_taps(cc_strips *strips, const cc_window *window, const int64_t phase[CC_AXES]);

/* Lay out the buffer and the items: about `positions` grid positions an item. Source, grid, step and
 * taps are set. With `merge`, neighbouring taps make a run and the pitch is the channels; without, the
 * pitch keeps columns out of each other's cache sets. */
void cc_strips_plan(cc_strips *strips, int64_t positions, bool merge);

/* The runs of some of the taps, a box: their offsets; returns the taps of a run. */
int64_t cc_strips_runs(const cc_strips *strips, const cc_tap *tap, int64_t taps, bool merge, int64_t *offset);

cc_strip cc_strips_item(const cc_strips *strips, int64_t item);

/* The source of a strip: channels [channel, channel + count) of the whole tensor, in place or as a copy in `buffer`, which
 * has cc_strips_floats() floats. */
const float *cc_strips_read(const cc_strips *strips, const cc_strip *strip, int64_t channel, int64_t count, float *buffer);
static inline int64_t cc_strips_floats(const cc_strips *s) { return s->in_place ? 0 : s->images_per_item * s->image; }

/* What cc_strips_read will read, or nothing where that is not one piece. */
cc_gemm_piece cc_strips_source(const cc_strips *strips, const cc_strip *strip, int64_t channel, int64_t count);

/* From an output's window to the next one's; where there is no next one the stride may be beyond any product. */
static inline int64_t cc_strips_step(const cc_window *w, int axis) { return w->output[axis] > 1 ? w->stride[axis] : 1; }

#endif
