/* conv/direct_run.h -- the outputs of a direct convolution, strip by strip, from packed weights. */
#ifndef CC_CONV_DIRECT_RUN_H
#define CC_CONV_DIRECT_RUN_H

#include "direct.h"

/* Phases that are done together, as many as reasonable strides have. */
#define CC_DIRECT_PHASES 64

/* The outputs at start + q*output_step, q < grid. */
typedef struct cc_direct_phase {
    int64_t start[CC_AXES], grid[CC_AXES];
    int64_t tap, taps, run_taps; /* in the strips */
} cc_direct_phase;

typedef struct cc_direct_job {
    const cc_context *context;
    cc_strips strips; /* of all phases at hand: their taps, and the largest grid */
    cc_direct_phase phase[CC_DIRECT_PHASES];
    int64_t phases;
    int64_t groups;
    int64_t outputs; /* output channels of one group */

    cc_panels panels;
    float *weights; /* packed: [group][panel][tap][channel][width] */
    int64_t group_weights;
    int64_t packed, tap_first; /* the weights are packed for so many taps, of which those at hand begin here */
    int64_t *place;            /* for each element of the kernel: its tap, or -1 */
    int64_t out_stride, sum_stride, group_stride; /* in the user's weights: to the next output or summed channel, group */
    const float *unpacked;
    bool turned; /* summed are the output channels of the user's weights */

    float *buffers;
    int64_t buffer_size; /* strip buffer and a tile, per part */
    int parts;

    float *output;
    int64_t output_size[CC_AXES], output_step[CC_AXES];
    int64_t output_channels;
    const float *bias;
    cc_epilogue epilogue;
} cc_direct_job;

/* Floats in front of a panel. */
static inline int64_t cc_direct_panel(const cc_direct_job *job, int64_t group, const cc_panel *panel)
{
    return group * job->group_weights + panel->column * job->packed * job->strips.channels;
}

/* All strips; the job is planned and its weights are packed. */
void cc_direct_run(cc_direct_job *job);

#endif
