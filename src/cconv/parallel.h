/* parallel.h -- the thread pool.
 *
 * Work is cut into parts, which threads own or share; which thread does what never changes a result, because items
 * own disjoint outputs. The caller says how many parts there are, and sizes its scratch by that.
 */
#ifndef CC_PARALLEL_H
#define CC_PARALLEL_H

#include <stdbool.h>
#include <stdint.h>

#include "status.h"

typedef struct cc_pool cc_pool;

/* Do items begin <= i < end; `part` says whose scratch is ours. */
typedef void (*cc_task)(void *argument, int64_t begin, int64_t end, int part);

#define CC_MAX_THREADS 256

/* Threads start with the first job that needs them. 1 <= threads <= CC_MAX_THREADS. */
cc_status cc_pool_create(int threads, cc_pool **pool);
void cc_pool_destroy(cc_pool *pool);
int cc_pool_threads(const cc_pool *pool);
cc_status cc_pool_resize(cc_pool *pool, int threads);

/* Into how many parts to cut n items when a thread should get at least `grain` of them: at least 1,
 * at most the number of threads; 1 inside a job. */
int cc_parts(const cc_pool *pool, int64_t n, int64_t grain);

/* Run task over [0, n) in `parts` near-equal ranges, part p getting the p-th; returns when all are
 * done. Runs every part on the calling thread when nested, or when another thread uses the pool. */
void cc_parallel_for(cc_pool *pool, int parts, int64_t n, cc_task task, void *argument);

/* The same where the task may get its range in pieces, any number of them, in any order and from other parts' ranges,
 * down to single items: threads that are done take from those that are not. Where items are large and stand alone. */
void cc_parallel_each(cc_pool *pool, int parts, int64_t n, cc_task task, void *argument);

/* Let `poll` say whether jobs of the calling thread should be given up; it is asked every 50 ms or so while they run, on
 * that thread, between calls of a task. A job that is given up leaves items undone, later ones do nothing at all
 * until cc_pool_interrupted has told so; outputs are undefined then. */
void cc_pool_watch(cc_pool *pool, bool (*poll)(void));

/* Whether jobs of the calling thread were given up since the last call. */
bool cc_pool_interrupted(cc_pool *pool);

/* With `on`, jobs of the calling thread do nothing from now on: what is left of a call is what it allocates, which is
 * all that a memory plan wants; outputs are undefined. false: another thread rehearses. */
bool cc_pool_rehearse(cc_pool *pool, bool on);

/* The same for the calling thread alone, whoever else rehearses, and within this copy of the library. */
void cc_parallel_idle(bool on);

/* Whether the calling thread does: no result of a job means anything, no allocation may depend on one. */
bool cc_pool_rehearses(const cc_pool *pool);

/* For a forked child, where the workers are gone. */
void cc_pool_after_fork(cc_pool *pool);

#endif
