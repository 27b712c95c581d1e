/* conv/stencil.h -- how convolutions of few channels in channels-first order are cut into blocks, and the copy of x that a
 * block sees.
 */
#ifndef CC_CONV_STENCIL_H
#define CC_CONV_STENCIL_H

#include "algo.h"

/* A convolution of x to y, channels as of one group; padding is negative where the first windows begin within x. */
typedef struct cc_stencil_job {
    const cc_context *context;
    cc_dtype dtype;
    int64_t element;
    int64_t n, groups, inputs, outputs, taps;
    int64_t size[CC_AXES], out[CC_AXES], kernel[CC_AXES], step[CC_AXES], dilation[CC_AXES], pad[CC_AXES];

    int64_t columns, across;    /* of a block, blocks of a row */
    int64_t rows, strips;       /* of a block, blocks of a plane */
    int64_t high;               /* rows of x that a block sees */
    int64_t phases, phase, row; /* columns so many apart, elements of each; of a row of a block */
    int64_t blocks, buffer_size;

    const char *x, *w, *b;
    char *y;
    int64_t *column;
    char *buffers; /* per part: a block of x */

    int64_t chunks, weights;
    double *sums;  /* per chunk, like w */
    char *partial; /* per part, a vector for each weight */
    void *dw;
} cc_stencil_job;

/* Items are blocks in the order of y, without its channels. */
typedef struct cc_stencil_block {
    int64_t image, plane, row, rows, column, columns;
} cc_stencil_block;

int64_t cc_stencil_lanes(const cc_context *context, cc_dtype dtype);

cc_stencil_job cc_stencil_job_of(const cc_context *context, const cc_conv *conv, bool back);

/* Whether blocks are of a size to be copied. */
bool cc_stencil_fits(const cc_stencil_job *job);

/* All sizes follow from the shape alone. */
void cc_stencil_plan(cc_stencil_job *job);

cc_stencil_block cc_stencil_block_of(const cc_stencil_job *job, int64_t item);

/* What a block sees of a group's channels: where it lies in x, or in `buffer` with its padding; and its strides. */
const char *cc_stencil_read(const cc_stencil_job *job, const cc_stencil_block *b, int64_t group, char *buffer,
                            cc_stencil *s);

#endif
