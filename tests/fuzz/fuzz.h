/* fuzz.h -- the fuzzer: bytes decide an operation of the core, its sizes, options and values; a plain loop, or the
 * reference convolution in double, says what must come out.
 *
 * Arrays are allocations of their exact size, so that AddressSanitizer sees every access beyond them. The pool cannot
 * start threads here (Makefile): all parts run on the calling thread, one after the other, which is deterministic.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "context.h"

typedef enum fuzz_values {
    FUZZ_INTEGERS, /* sparse and small: every sum is exact, in any order */
    FUZZ_REALS,    /* in [-1, 1) */
    FUZZ_VALUES
} fuzz_values;

typedef struct fuzz {
    cc_context *context;
    const uint8_t *data;
    size_t left;
    uint64_t random; /* goes on where the bytes end */
    bool hostile;    /* sizes may be anything */
    fuzz_values values;
    struct block *blocks;
    jmp_buf abandon; /* the execution, where it asks for an array too large to be worth it */
} fuzz;

/* ---- the list: one function an operation ---- */

#define OPERATIONS(X)                                                                                            \
    X(fuzz_conv) X(fuzz_conv_bias) X(fuzz_pool) X(fuzz_unpool) X(fuzz_im2col) X(fuzz_gemm) X(fuzz_linear)        \
    X(fuzz_norm) X(fuzz_loss) X(fuzz_softmax) X(fuzz_eltwise) X(fuzz_optim) X(fuzz_lanes) X(fuzz_pad)

#define FUZZ_DECLARE(name) void name(fuzz *f);
OPERATIONS(FUZZ_DECLARE)
#undef FUZZ_DECLARE

/* ---- from the bytes ---- */

uint8_t fuzz_byte(fuzz *f);
bool fuzz_flag(fuzz *f);
int64_t fuzz_range(fuzz *f, int64_t low, int64_t high);
/* Mostly small, at least `low`; with `hostile` now and then negative, 0, or near a power of 2 where sizes overflow. */
int64_t fuzz_size(fuzz *f, int64_t low);
double fuzz_value(fuzz *f);

/* A window, unresolved; unused axes are 1. */
cc_window fuzz_window(fuzz *f);

/* Product of sizes; false if one is negative or the product exceeds what an execution should touch. */
bool fuzz_fits(const int64_t *dims, int count, int64_t *product);

/* ---- arrays, freed after the execution ---- */

/* Does not return where `bytes` is too many. */
void *fuzz_bytes(fuzz *f, int64_t bytes);
/* Values in `dtype`; the same in double where `as_double` is not NULL. */
void *fuzz_array(fuzz *f, cc_dtype dtype, int64_t count, double **as_double);
/* For outputs: a pattern that fuzz_untouched finds again. */
void *fuzz_output(fuzz *f, cc_dtype dtype, int64_t count);
bool fuzz_untouched(const void *array, cc_dtype dtype, int64_t count);
double fuzz_get(const void *array, cc_dtype dtype, int64_t i);

/* ---- verdicts ---- */

#define FUZZ_EXPECT(condition)                                          \
    do {                                                                \
        if (!(condition))                                               \
            fuzz_fail(__FILE__, __LINE__, #condition);                  \
    } while (0)
_Noreturn void fuzz_fail(const char *file, int line, const char *text);

/* Every |y - expected| <= tolerance * scale, scale[0] for all if `scales` is 1; NaN equals NaN. */
void fuzz_compare(const char *what, const void *y, cc_dtype dtype, const double *expected, int64_t count,
                  double tolerance, const double *scale, int64_t scales);

double fuzz_epsilon(cc_dtype dtype);

#endif
