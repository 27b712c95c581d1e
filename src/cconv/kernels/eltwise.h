/* kernels/eltwise.h -- elementwise maps over contiguous arrays. y may be x. */
#ifndef CC_KERNELS_ELTWISE_H
#define CC_KERNELS_ELTWISE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct cc_eltwise_kernels {
    /* y = max(x, 0); NaN stays NaN, -0 gives 0. */
    void (*relu_f32)(const float *x, float *y, int64_t n);
    void (*relu_f64)(const double *x, double *y, int64_t n);
    /* dx = y > 0 ? dy : 0 */
    void (*relu_backward_f32)(const float *dy, const float *y, float *dx, int64_t n);
    void (*relu_backward_f64)(const double *dy, const double *y, double *dx, int64_t n);
    /* y = a + b */
    void (*add_f32)(const float *a, const float *b, float *y, int64_t n);
    void (*add_f64)(const double *a, const double *b, double *y, int64_t n);
} cc_eltwise_kernels;

#endif
