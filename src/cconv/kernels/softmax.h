/* kernels/softmax.h -- what softmax and its losses are made of, over float32.
 *
 * Columns stand side by side: their elements, one for each class, are `stride` floats apart. The caller takes so many at a
 * time, at most, that all their classes stay in the nearest cache. y may be x, and dx may be dy or y.
 */
#ifndef CC_KERNELS_SOFTMAX_H
#define CC_KERNELS_SOFTMAX_H

#include <stdbool.h>
#include <stdint.h>

#define CC_SOFTMAX_COLUMNS 64

typedef struct cc_softmax_kernels {
    /* y = e^(x - shift), where no exponent is above 0; the sum of y. */
    double (*powers_f32)(const float *x, float shift, float *y, int64_t n);
    /* y *= factor */
    void (*scale_f32)(float factor, float *y, int64_t n);
    /* The same of each column: shift is its largest x, or 0 where that is not finite; y may be NULL. */
    void (*column_powers_f32)(int64_t classes, int64_t stride, int64_t columns, const float *x, float *y, float *shift,
                              double *sum);
    void (*column_scale_f32)(int64_t classes, int64_t stride, int64_t columns, const float *factor, float *y);
    /* y = x - shift - tail of the column */
    void (*column_less_f32)(int64_t classes, int64_t stride, int64_t columns, const float *x, const float *shift,
                            const double *tail, float *y);
    /* dx = y (dy - SUM y dy), or with `log` dy - e^y SUM dy. */
    void (*column_backward_f32)(bool log, int64_t classes, int64_t stride, int64_t columns, const float *dy,
                                const float *y, float *dx);
} cc_softmax_kernels;

#endif
