/* im2col/im2col.h -- the patches that a window sees, as the columns of a matrix, and the way back.
 *
 *   cols[n, (c, kd, kh, kw), (od, oh, ow)] = x[n, c, (od, oh, ow)*stride + (kd, kh, kw)*dilation - pad_before]
 *
 * with 0 outside the image. col2im is the transpose of that map: it adds every value of cols to the
 * element it was read from. Any geometry, both memory orders of x.
 */
#ifndef CC_IM2COL_H
#define CC_IM2COL_H

#include "../context.h"

typedef struct cc_patches {
    int64_t n, c;
    cc_window window;
    cc_dtype dtype;
    cc_layout layout; /* of x (N, C, D, H, W) */
} cc_patches;

/* Check all sizes and fill window.output. */
cc_status cc_patches_resolve(cc_patches *patches);

/* cols (N, C*KD*KH*KW, OD*OH*OW), contiguous, is overwritten. */
cc_status cc_im2col(const cc_context *context, const cc_patches *patches, const void *x, void *cols);

/* x is overwritten. */
cc_status cc_col2im(const cc_context *context, const cc_patches *patches, const void *cols, void *x);

/* The same for a part of one image, on the calling thread and without checks, for the convolution
 * that goes over its columns tile by tile: `channels` of them from where x points, and the output
 * positions first .. first+count-1. cols is contiguous, and lies as
 *
 *   rows:      cols[(c, kd, kh, kw)][position]    any strides of x
 *   positions: cols[position][(kd, kh, kw, c)]    for channels-last x, where it copies whole vectors
 *
 * The col2im ones add to x. */
typedef struct cc_tile {
    const cc_window *window; /* resolved */
    cc_dtype dtype;
    cc_strides x;
    int64_t channels, first, count;
} cc_tile;

void cc_im2col_rows(const cc_tile *tile, const void *x, void *cols);
void cc_im2col_positions(const cc_tile *tile, const void *x, void *cols);
void cc_col2im_rows(const cc_tile *tile, const void *cols, void *x);
void cc_col2im_positions(const cc_tile *tile, const void *cols, void *x);

#endif
