/* context.h -- what every kernel call needs: the kernel table of one instruction set, the thread
 * pool, the arena and the BLAS pointers. Created once by the runtime binding and shared by pointer,
 * so that the extension modules, each with its own copy of this library, use one pool.
 */
#ifndef CC_CONTEXT_H
#define CC_CONTEXT_H

#include "arena.h"
#include "cpu.h"
#include "gemm/blas.h"
#include "kernels.h"
#include "parallel.h"
#include "shape.h"
#include "status.h"

typedef struct cc_context {
    const cc_kernels *kernels;
    cc_isa isa;
    cc_pool *pool;
    cc_arena *arena;
    cc_blas *blas; /* empty until cc_blas_set */
    bool exact;    /* `auto` takes no approximate algorithm */
} cc_context;

/* CC_ERR_UNSUPPORTED if this processor or build lacks the instruction set. The context lives until
 * the process ends, and is put right in a forked child. */
cc_status cc_context_create(cc_isa isa, int threads, cc_context **context);

/* For drivers and tests that make many. No job may be running. */
void cc_context_destroy(cc_context *context);

#endif
