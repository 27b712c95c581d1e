/* shape.h -- sizes: checked 64-bit arithmetic and the sliding-window geometry that convolution,
 * pooling and im2col share.
 *
 * Spatial arrays always have three axes (depth, height, width); 1-D and 2-D problems put 1 in front.
 */
#ifndef CC_SHAPE_H
#define CC_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define CC_AXES 3

typedef enum cc_dtype { CC_F32 = 0, CC_F64 = 1 } cc_dtype;

/* Memory order of an activation tensor whose shape is always (N, C, D, H, W). */
typedef enum cc_layout {
    CC_CHANNELS_FIRST = 0, /* N C D H W contiguous */
    CC_CHANNELS_LAST = 1   /* N D H W C contiguous */
} cc_layout;

static inline size_t cc_dtype_size(cc_dtype dtype)
{
    return dtype == CC_F32 ? sizeof(float) : sizeof(double);
}

/* *result = a * b or a + b; false if the true value does not fit. */
static inline bool cc_mul(int64_t a, int64_t b, int64_t *result)
{
    return !__builtin_mul_overflow(a, b, result);
}

static inline bool cc_add(int64_t a, int64_t b, int64_t *result)
{
    return !__builtin_add_overflow(a, b, result);
}

/* Product of `count` dimensions, each >= 0. CC_ERR_ARGUMENT for a negative one; CC_ERR_OVERFLOW where
 * the product of the non-zero dimensions exceeds PTRDIFF_MAX / 16 (so that byte sizes and strides of
 * an array with an empty axis fit, too). */
cc_status cc_product(const int64_t *dims, int count, int64_t *result);

/* A window sliding over three axes. */
typedef struct cc_window {
    int64_t input[CC_AXES];
    int64_t output[CC_AXES];
    int64_t kernel[CC_AXES];
    int64_t stride[CC_AXES];
    int64_t dilation[CC_AXES]; /* 1 means none */
    int64_t pad_before[CC_AXES];
    int64_t pad_after[CC_AXES];
} cc_window;

/* Check every field but `output` and compute `output`:
    output = floor((input + pad_before + pad_after - dilation*(kernel-1) - 1) / stride) + 1
 * With ceil_mode the division rounds up, and a last window that would start in the trailing padding
 * is dropped (torch's rule); a kernel that exceeds the padded input by less than a stride gives one window.
 * CC_ERR_ARGUMENT: a value out of range. CC_ERR_SHAPE: the kernel exceeds the padded input. */
cc_status cc_window_resolve(cc_window *window, bool ceil_mode);

/* As cc_window_resolve without ceil_mode, then compare with the `output` that is already there:
 * CC_ERR_SHAPE if it differs. What every backward pass calls on what it is given. */
cc_status cc_window_check(const cc_window *window);

static inline int64_t cc_volume(const int64_t dims[CC_AXES])
{
    return dims[0] * dims[1] * dims[2];
}

static inline int64_t cc_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t cc_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t cc_ceil_div(int64_t a, int64_t b) { return a / b + (a % b > 0); }

/* Element strides of (N, C, D, H, W) in one memory order. */
typedef struct cc_strides {
    int64_t n, c, s[CC_AXES];
} cc_strides;

cc_strides cc_strides_of(cc_layout layout, int64_t channels, const int64_t spatial[CC_AXES]);

#endif
