/* kernels/eltwise.h -- elementwise maps over contiguous arrays. y may be x. */
#ifndef CC_KERNELS_ELTWISE_H
#define CC_KERNELS_ELTWISE_H

#include <stdbool.h>
#include <stdint.h>

/* What an element's hash is made with; `factor` scales what is kept. */
typedef struct cc_dropout_stream {
    uint32_t key[2];
    uint32_t threshold; /* an element whose hash is below it is dropped */
    double factor;
} cc_dropout_stream;

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
    /* Dropout of rows whose value (r, j) has the number first + r*row_step + j*step, modulo 2^32. */
    void (*dropout_f32)(const cc_dropout_stream *stream, const float *x, int64_t rows, int64_t width, uint32_t first,
                        uint32_t row_step, uint32_t step, float *y);
    void (*dropout_f64)(const cc_dropout_stream *stream, const double *x, int64_t rows, int64_t width, uint32_t first,
                        uint32_t row_step, uint32_t step, double *y);
    /* sum[j] += SUM over rows of g[r,j], where g is dy, or with y dy where y > 0 and else 0; then dx = g. */
    void (*column_sums_f32)(const float *dy, const float *y, int64_t rows, int64_t width, float *dx, double *sum);
    void (*column_sums_f64)(const double *dy, const double *y, int64_t rows, int64_t width, double *dx, double *sum);
} cc_eltwise_kernels;

#endif
