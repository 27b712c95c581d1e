/* check.h -- the C driver: every slot of every kernel table against a plain oracle, over random shapes
 * and tails, with guards around each array; and the foundations.
 *
 * A concept registers one function that checks its part of the table. It must touch every slot by SLOT,
 * so that a slot nobody checks is found (main.c).
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "context.h"

typedef struct check {
    const cc_kernels *kernels; /* of the instruction set under test */
    bool bench;
    uint64_t random;
    int64_t passed, failed;
    const char *what; /* the slot or test that runs */
    unsigned char covered[sizeof(cc_kernels)];
    struct block *blocks;
} check;

/* ---- the list ----
 *
 * CHECKS run once for each round and instruction set, TESTS (the foundations) once.
 */
#define CHECKS(X)                                                                                     \
    X(check_activation) X(check_softmax) X(check_depthwise) X(check_depthwise_rows) X(check_eltwise)  \
    X(check_gemm) X(check_lanes) X(check_lanes_winograd) X(check_norm) X(check_optim) X(check_pool)     \
    X(check_stencil) X(check_winograd)
#define TESTS(X) X(test_shape) X(test_cpu) X(test_arena) X(test_parallel) X(test_refusal) X(test_fork)

#define CHECK_DECLARE(name) void name(check *c);
CHECKS(CHECK_DECLARE)
TESTS(CHECK_DECLARE)
#undef CHECK_DECLARE

/* ---- random numbers ---- */

uint64_t check_random(check *c);
/* Uniform in low <= i <= high. */
int64_t check_integer(check *c, int64_t low, int64_t high);
/* Uniform in [-1, 1); one in 16 is 0. */
double check_real(check *c);

/* ---- arrays between guards ----
 *
 * An array starts `element` bytes times a random number off a vector's alignment. Under AddressSanitizer each
 * is an allocation of its own without guards, so that reads beyond it are seen, too.
 */
void *check_bytes(check *c, int64_t bytes, int64_t element);
float *check_f32(check *c, int64_t n);  /* random values */
double *check_f64(check *c, int64_t n); /* likewise */
void *check_copy(check *c, const void *source, int64_t bytes, int64_t element);

/* Compare the guards of all arrays made since the last call, and free the arrays. */
void check_done(check *c);

/* ---- verdicts ---- */

/* Name what runs now and mark the table's bytes as checked: SLOT(c, eltwise.add_f32). */
#define SLOT(c, member) check_slot((c), #member, &(c)->kernels->member, sizeof (c)->kernels->member)
void check_slot(check *c, const char *name, const void *slot, size_t bytes);

/* Bytes of the table that are numbers, not routines: SLOT_DATA(c, gemm.max_rows). */
#define SLOT_DATA(c, member) check_covered((c), &(c)->kernels->member, sizeof (c)->kernels->member)
void check_covered(check *c, const void *slot, size_t bytes);

#define EXPECT(c, condition) check_expect((c), (condition), __FILE__, __LINE__, #condition)
bool check_expect(check *c, bool condition, const char *file, int line, const char *text);

/* |y - expected| <= tolerance * scale for each element; NaN equals NaN. */
bool check_near_f32(check *c, const float *y, const double *expected, int64_t n, double tolerance, double scale);
bool check_near_f64(check *c, const double *y, const double *expected, int64_t n, double tolerance, double scale);

/* ---- timing ---- */

double check_now(void); /* seconds */
void check_report(const check *c, double seconds, double work, const char *unit);

/* With --bench: the best of ten runs of `call`, each long enough to be measured. */
#define BENCH(c, work, unit, call)                                                       \
    do {                                                                                 \
        if ((c)->bench) {                                                                \
            double best = 1e30;                                                          \
            for (int trial = 0; trial < 10; trial++) {                                   \
                int64_t runs = 0;                                                        \
                const double start = check_now();                                        \
                double end = start;                                                      \
                do {                                                                     \
                    for (int repeat = 0; repeat < 16; repeat++) {                        \
                        call;                                                            \
                    }                                                                    \
                    runs += 16;                                                          \
                    end = check_now();                                                   \
                } while (end - start < 1e-3);                                            \
                best = (end - start) / (double)runs < best ? (end - start) / (double)runs : best; \
            }                                                                            \
            check_report((c), best, (work), (unit));                                     \
        }                                                                                \
    } while (0)

#endif
