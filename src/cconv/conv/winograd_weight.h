/* conv/winograd_weight.h -- what the parts of Winograd's backward_weight share. */
#ifndef CC_CONV_WINOGRAD_WEIGHT_H
#define CC_CONV_WINOGRAD_WEIGHT_H

#include "winograd.h"

/* Tiles summed in registers at a time; their D for one place stays in the first-level cache. */
#define CC_WINOGRAD_DEPTH 128

/* The gradient of one group for the weights; of all groups in turn. */
typedef struct cc_winograd_weight_job {
    cc_pool *pool;
    const cc_kernels *kernels;
    const cc_winograd_kernels *form;
    int64_t area; /* of a kernel */
    int64_t places;
    cc_winograd_side x_side, dy_side;
    cc_winograd_columns columns; /* blocks of outputs */
    const float *x, *dy;
    const cc_winograd_gradient *to;
    int64_t inputs, patches_down, patches;
    int64_t tiles, shares, run; /* a run is transformed at once */
    bool patchwise;             /* U is made and finished patch by patch */
    bool together;              /* threads make a share together */
    int64_t share, first, now;  /* then, the share at hand and its run */
    cc_winograd_planes v, d;    /* of the run: shared, or one for each part */
    cc_winograd_planes u;       /* all of it for each share; or a patch for each part */
    cc_winograd_planes w;       /* of a patch, for each part: dw, `area` places; the rows for the sink stand behind */
    int64_t v_floats, d_floats, u_floats, w_floats, part_floats;
    bool *unsound; /* patches */
    float *exact;  /* the whole gradient by an algorithm without transforms, where one is not */
    int parts, patch_parts;
    int64_t bytes; /* of all these; where parts take whole groups, the next part's are behind */
} cc_winograd_weight_job;

/* u (inputs x a block of outputs) = [u +] V[xi]' D[xi], the inputs from `input` on, over the run at hand, for every phase that has
 * the place; in u, those of the next stand `apart` rows further. */
void cc_winograd_add_products(const cc_winograd_weight_job *j, int64_t xi, int64_t input, int64_t inputs, int64_t apart,
                              int64_t block, float *u, bool accumulate);

#endif
