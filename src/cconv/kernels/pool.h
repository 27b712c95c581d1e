/* kernels/pool.h -- pooling along a run of windows that see the same taps.
 *
 *   window i of the run:  x + i*x_step + offset[t],  t < taps;    its result:  y + i*y_step
 *
 * and each routine does so for `channels` neighbouring elements at once: the channels of a channels-last
 * image, or a row of windows at stride 1.
 */
#ifndef CC_KERNELS_POOL_H
#define CC_KERNELS_POOL_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cc_pool_run {
    int64_t windows, channels;
    int64_t x_step, y_step;
    int64_t taps; /* at least 1 */
    const int64_t *offset;
    const int32_t *id; /* what stands for the tap in place and index */

    /* index = id of the tap + first + i*window_step + c*channel_step */
    int64_t first, window_step, channel_step;

    double divisor;  /* of averages */
    bool accumulate; /* backward: add to dx; otherwise every dx is seen by one window and overwritten */
} cc_pool_run;

typedef struct cc_pool_kernels {
    /* The maximum and the id of its tap, as a byte in `place` or as an `index`; either may be NULL. The first of
     * equals wins; NaN wins over all, the first one. */
    void (*max_f32)(const cc_pool_run *run, const float *x, float *y, uint8_t *place, int64_t *index);
    void (*max_f64)(const cc_pool_run *run, const double *x, double *y, uint8_t *place, int64_t *index);
    /* dx = dy at the tap whose id is `place`, 0 at the others; a place outside the taps matches none */
    void (*max_backward_f32)(const cc_pool_run *run, const float *dy, const uint8_t *place, float *dx);
    void (*max_backward_f64)(const cc_pool_run *run, const double *dy, const uint8_t *place, double *dx);
    /* y = (sum over taps) / divisor, summed in double */
    void (*average_f32)(const cc_pool_run *run, const float *x, float *y);
    void (*average_f64)(const cc_pool_run *run, const double *x, double *y);
    /* dx = dy / divisor at each tap */
    void (*average_backward_f32)(const cc_pool_run *run, const float *dy, float *dx);
    void (*average_backward_f64)(const cc_pool_run *run, const double *dy, double *dx);
} cc_pool_kernels;

#endif
