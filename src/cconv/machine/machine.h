/* machine/machine.h -- small loops that show what this machine can do at most. */
#ifndef CC_MACHINE_H
#define CC_MACHINE_H

#include "../context.h"

/* On every thread, `rounds` times the widest register tile of a matrix product, on operands in the first-level cache:
 * nothing but multiply-adds. *operations is their number, two each. Time it. */
cc_status cc_machine_multiply(const cc_context *context, int64_t rounds, double *operations);

/* a = b + 3 c over n floats, on every thread: nothing but memory, 12 bytes an element. */
cc_status cc_machine_triad(const cc_context *context, int64_t n, const float *b, const float *c, float *a);

#endif
