/* arena.h -- the memory of networks and kernels.
 *
 * Blocks are 64-byte aligned and carved out of one region that grows without gaps and is not returned to
 * the system before the arena ends, so a training step that repeats asks the system for nothing. (Where
 * addresses are limited there are several.) It is advised as huge pages. Best fit with coalescing; every call is
 * thread-safe.
 *
 * Under a sanitizer each block is an allocation of its own, so that an overrun is seen.
 */
#ifndef CC_ARENA_H
#define CC_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define CC_ALIGNMENT 64

typedef struct cc_arena cc_arena;

typedef struct cc_arena_stats {
    size_t in_use;   /* bytes in live blocks */
    size_t peak;     /* its highest value since the last cc_arena_reset_peak */
    size_t reserved; /* bytes taken from the system */
    uint64_t blocks; /* live blocks */
    uint64_t calls;  /* cc_arena_alloc calls so far, refused ones included */
} cc_arena_stats;

cc_arena *cc_arena_create(void);
void cc_arena_destroy(cc_arena *arena);

/* One that gives pieces of `block`, aligned like a block, and what finds no room there from `parent`, or NULL if that is
 * NULL: for calls one after the other, whose memory is there before the first of them. Nothing is counted or recorded in it. */
cc_arena *cc_arena_within(cc_arena *parent, void *block, size_t bytes);

/* NULL when there is no memory. A request of 0 bytes gives a valid block. */
void *cc_arena_alloc(cc_arena *arena, size_t bytes);
void cc_arena_free(cc_arena *arena, void *block);

cc_arena_stats cc_arena_get_stats(cc_arena *arena);
void cc_arena_reset_peak(cc_arena *arena);

/* A block taken (bytes > 0) or given back (bytes < 0). */
typedef struct cc_arena_event {
    int64_t block; /* its address */
    int64_t bytes;
} cc_arena_event;

/* Between two calls blocks that are not written to take almost no memory: pages are small, and given back in the end. */
void cc_arena_spare(cc_arena *arena, bool on);

/* From now on write down what the calling thread takes and gives back, at most `capacity` events; events NULL ends it.
 * false: somebody else is recording. cc_arena_recorded counts the events so far, those beyond the capacity included. */
bool cc_arena_record(cc_arena *arena, cc_arena_event *events, size_t capacity);
size_t cc_arena_recorded(cc_arena *arena);

/* For tests: let `successes` further calls succeed, then refuse the next one, or with `persistent`
 * every one after. A negative number ends it. */
void cc_arena_fail_after(cc_arena *arena, int64_t successes, int persistent);

/* Around fork(), so that the child does not inherit a held lock. */
void cc_arena_lock(cc_arena *arena);
void cc_arena_unlock(cc_arena *arena);

#endif
