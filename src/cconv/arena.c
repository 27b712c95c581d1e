#define _GNU_SOURCE
#include "arena.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#if defined(__unix__) || defined(__APPLE__)
#include <sys/mman.h>
#endif

#include "pages.h"

#if defined(__SANITIZE_ADDRESS__)
#define ONE_ALLOCATION_A_BLOCK 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ONE_ALLOCATION_A_BLOCK 1
#endif
#endif
#ifndef ONE_ALLOCATION_A_BLOCK
#define ONE_ALLOCATION_A_BLOCK 0
#endif

/* Where addresses are scarce, memory comes in pieces of at least this size. */
#define REGION ((size_t)32 << 20)
/* Addresses set aside at once, so that the memory behind them can grow without a gap: blocks of any size then find
 * room where smaller neighbours were. They cost nothing until they are used. */
#if UINTPTR_MAX > UINT32_MAX && (defined(__unix__) || defined(__APPLE__)) && !defined(__SANITIZE_THREAD__)
#define SPAN ((size_t)64 << 30)
#else
#define SPAN REGION
#endif

/* Sits in front of each block; blocks of a region lie side by side and end with a zero-size one. */
typedef struct header {
    size_t size;             /* payload bytes, a multiple of CC_ALIGNMENT */
    struct header *previous; /* neighbour below in the region, or NULL */
    struct header *next_free, *previous_free;
    bool used;
    char padding[CC_ALIGNMENT - sizeof(size_t) - 3 * sizeof(void *) - sizeof(bool)];
} header;
_Static_assert(sizeof(header) == CC_ALIGNMENT, "a header must keep blocks aligned");

typedef struct region {
    struct region *next;
    char *memory;
    size_t bytes, span; /* of memory, and of the addresses it may grow into */
    header *end;
} region;

struct cc_arena {
    pthread_mutex_t mutex;
    header *free_list;
    region *regions;
    cc_arena_stats stats;
    cc_arena_event *events; /* NULL: nobody records */
    size_t event_capacity, event_count;
    pthread_t recorder;
    int64_t fail_after; /* negative: never */
    bool fail_persistently;

    /* Of an arena within a block: `taken` of its bytes are, until none of the `live` blocks is left. */
    cc_arena *parent;
    char *room;
    size_t bytes, taken, live;
};

static header *above(header *h) { return (header *)(void *)((char *)(h + 1) + h->size); }

static void unlink_free(cc_arena *arena, header *h)
{
    if (h->previous_free != NULL)
        h->previous_free->next_free = h->next_free;
    else
        arena->free_list = h->next_free;
    if (h->next_free != NULL)
        h->next_free->previous_free = h->previous_free;
}

static void link_free(cc_arena *arena, header *h)
{
    h->used = false;
    h->previous_free = NULL;
    h->next_free = arena->free_list;
    if (h->next_free != NULL)
        h->next_free->previous_free = h;
    arena->free_list = h;
}

static void give_back(cc_arena *arena, header *h)
{
    header *after = above(h), *before = h->previous;
    if (!after->used) {
        unlink_free(arena, after);
        h->size += sizeof(header) + after->size;
        above(h)->previous = h;
    }
    if (before != NULL && !before->used) {
        unlink_free(arena, before);
        before->size += sizeof(header) + h->size;
        above(before)->previous = before;
        h = before;
    }
    link_free(arena, h);
}

static size_t whole_pages(size_t bytes) { return (bytes + CC_HUGE_PAGE - 1) / CC_HUGE_PAGE * CC_HUGE_PAGE; }

/* `bytes` more of the region's span become part of the free block at its end, or a new one. */
static bool extend(cc_arena *arena, region *r, size_t bytes)
{
    if (bytes > r->span - r->bytes || !cc_pages_back(r->memory + r->bytes, bytes))
        return false;
    r->bytes += bytes;
    arena->stats.reserved += bytes;
    header *h = r->end;
    h->size = bytes - sizeof(header);
    r->end = above(h);
    *r->end = (header){.used = true, .previous = h};
    give_back(arena, h);
    return true;
}

static bool add_region(cc_arena *arena, size_t bytes)
{
    region *r = malloc(sizeof *r);
    if (r == NULL)
        return false;
    *r = (region){.next = arena->regions, .span = bytes < SPAN ? SPAN : bytes};
    r->memory = cc_pages_span(r->span);
    if (r->memory == NULL) {
        r->span = bytes < REGION ? REGION : bytes;
        r->memory = cc_pages_span(r->span);
    }
    if (r->memory == NULL || !cc_pages_back(r->memory, CC_HUGE_PAGE)) {
        if (r->memory != NULL)
            cc_pages_release(r->memory, r->span);
        free(r);
        return false;
    }
    r->bytes = CC_HUGE_PAGE;
    arena->stats.reserved += CC_HUGE_PAGE;
    arena->regions = r;
    header *h = (header *)(void *)r->memory;
    *h = (header){.size = CC_HUGE_PAGE - 2 * sizeof(header), .used = true};
    r->end = above(h);
    *r->end = (header){.used = true, .previous = h};
    give_back(arena, h);
    return true;
}

/* Room for `size` payload bytes in one free block. */
static bool grow(cc_arena *arena, size_t size)
{
    region *r = arena->regions;
    if (r == NULL || whole_pages(size + sizeof(header)) > r->span - r->bytes) {
        if (!add_region(arena, whole_pages(size + 2 * sizeof(header))))
            return false;
        r = arena->regions;
    }
    const header *last = r->end->previous;
    const size_t there = last->used ? 0 : sizeof(header) + last->size;
    return there >= size + sizeof(header) || extend(arena, r, whole_pages(size + sizeof(header) - there));
}

static header *best_fit(const cc_arena *arena, size_t size)
{
    header *best = NULL;
    for (header *h = arena->free_list; h != NULL; h = h->next_free)
        if (h->size >= size && (best == NULL || h->size < best->size))
            best = h;
    return best;
}

static void *carve(cc_arena *arena, size_t size)
{
    header *h = best_fit(arena, size);
    if (h == NULL && grow(arena, size))
        h = best_fit(arena, size);
    if (h == NULL)
        return NULL;
    unlink_free(arena, h);
    if (h->size >= size + sizeof(header) + CC_ALIGNMENT) {
        header *after = above(h), *rest = (header *)(void *)((char *)(h + 1) + size);
        rest->size = h->size - size - sizeof(header);
        rest->previous = h;
        after->previous = rest;
        h->size = size;
        link_free(arena, rest);
    }
    h->used = true;
    return h + 1;
}

cc_arena *cc_arena_create(void)
{
    cc_arena *arena = calloc(1, sizeof *arena);
    if (arena == NULL)
        return NULL;
    pthread_mutex_init(&arena->mutex, NULL);
    arena->fail_after = -1;
    return arena;
}

cc_arena *cc_arena_within(cc_arena *parent, void *block, size_t bytes)
{
    cc_arena *arena = cc_arena_create();
    if (arena == NULL)
        return NULL;
    arena->parent = parent;
    arena->room = block;
    arena->bytes = bytes;
    return arena;
}

static void *take_within(cc_arena *arena, size_t size)
{
    char *block = NULL;
    pthread_mutex_lock(&arena->mutex);
    if (size <= arena->bytes - arena->taken) {
        block = arena->room + arena->taken;
        arena->taken += size;
        arena->live++;
    }
    pthread_mutex_unlock(&arena->mutex);
    return block != NULL || arena->parent == NULL ? block : cc_arena_alloc(arena->parent, size);
}

static void leave_within(cc_arena *arena, void *block)
{
    if ((char *)block < arena->room || (char *)block >= arena->room + arena->bytes) {
        cc_arena_free(arena->parent, block);
        return;
    }
    pthread_mutex_lock(&arena->mutex);
    if (--arena->live == 0)
        arena->taken = 0;
    pthread_mutex_unlock(&arena->mutex);
}

void cc_arena_destroy(cc_arena *arena)
{
    if (arena == NULL)
        return;
    for (region *r = arena->regions; r != NULL;) {
        region *next = r->next;
        cc_pages_release(r->memory, r->span);
        free(r);
        r = next;
    }
    pthread_mutex_destroy(&arena->mutex);
    free(arena);
}

static bool must_fail(cc_arena *arena)
{
    arena->stats.calls++;
    if (arena->fail_after < 0)
        return false;
    if (arena->fail_after > 0) {
        arena->fail_after--;
        return false;
    }
    if (!arena->fail_persistently)
        arena->fail_after = -1;
    return true;
}

static void note(cc_arena *arena, const void *block, int64_t bytes)
{
    if (arena->events == NULL || !pthread_equal(arena->recorder, pthread_self()))
        return;
    if (arena->event_count < arena->event_capacity)
        arena->events[arena->event_count] = (cc_arena_event){(int64_t)(intptr_t)block, bytes};
    arena->event_count++;
}

void *cc_arena_alloc(cc_arena *arena, size_t bytes)
{
    if (bytes > PTRDIFF_MAX - 4 * CC_HUGE_PAGE)
        return NULL;
    const size_t size = bytes == 0 ? CC_ALIGNMENT : (bytes + CC_ALIGNMENT - 1) / CC_ALIGNMENT * CC_ALIGNMENT;
    void *block = NULL;
    if (arena->room != NULL)
        return take_within(arena, size);
    pthread_mutex_lock(&arena->mutex);
    if (!must_fail(arena)) {
        if (ONE_ALLOCATION_A_BLOCK) {
            header *h = aligned_alloc(CC_ALIGNMENT, sizeof(header) + size);
            if (h != NULL) {
                h->size = size;
                block = h + 1;
            }
        } else {
            block = carve(arena, size);
        }
    }
    if (block != NULL) {
        arena->stats.in_use += ((header *)block - 1)->size;
        arena->stats.blocks++;
        note(arena, block, (int64_t)((header *)block - 1)->size);
        if (arena->stats.in_use > arena->stats.peak)
            arena->stats.peak = arena->stats.in_use;
    }
    pthread_mutex_unlock(&arena->mutex);
    return block;
}

void cc_arena_free(cc_arena *arena, void *block)
{
    if (block == NULL)
        return;
    if (arena->room != NULL) {
        leave_within(arena, block);
        return;
    }
    header *h = (header *)block - 1;
    pthread_mutex_lock(&arena->mutex);
    note(arena, block, -(int64_t)h->size);
    arena->stats.in_use -= h->size;
    arena->stats.blocks--;
    if (ONE_ALLOCATION_A_BLOCK)
        free(h);
    else
        give_back(arena, h);
    pthread_mutex_unlock(&arena->mutex);
}

cc_arena_stats cc_arena_get_stats(cc_arena *arena)
{
    pthread_mutex_lock(&arena->mutex);
    const cc_arena_stats stats = arena->stats;
    pthread_mutex_unlock(&arena->mutex);
    return stats;
}

void cc_arena_reset_peak(cc_arena *arena)
{
    pthread_mutex_lock(&arena->mutex);
    arena->stats.peak = arena->stats.in_use;
    pthread_mutex_unlock(&arena->mutex);
}

void cc_arena_spare(cc_arena *arena, bool on)
{
#if defined(MADV_HUGEPAGE) && defined(MADV_NOHUGEPAGE)
    pthread_mutex_lock(&arena->mutex);
    if (arena->regions == NULL)
        add_region(arena, CC_HUGE_PAGE);
    for (region *r = arena->regions; r != NULL; r = r->next) {
        madvise(r->memory, r->span, on ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
        const header *last = r->end->previous;
        const uintptr_t page = 4096, end = (uintptr_t)r->end / page * page;
        const uintptr_t begin = ((uintptr_t)(last + 1) + page - 1) / page * page;
        if (!on && !last->used && begin < end)
            madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    pthread_mutex_unlock(&arena->mutex);
#else
    (void)arena;
    (void)on;
#endif
}

bool cc_arena_record(cc_arena *arena, cc_arena_event *events, size_t capacity)
{
    pthread_mutex_lock(&arena->mutex);
    const bool ours = arena->events == NULL || pthread_equal(arena->recorder, pthread_self());
    if (ours) {
        arena->events = events;
        arena->event_capacity = capacity;
        arena->event_count = 0;
        arena->recorder = pthread_self();
    }
    pthread_mutex_unlock(&arena->mutex);
    return ours;
}

size_t cc_arena_recorded(cc_arena *arena)
{
    pthread_mutex_lock(&arena->mutex);
    const size_t count = arena->event_count;
    pthread_mutex_unlock(&arena->mutex);
    return count;
}

void cc_arena_fail_after(cc_arena *arena, int64_t successes, int persistent)
{
    pthread_mutex_lock(&arena->mutex);
    arena->fail_after = successes;
    arena->fail_persistently = persistent != 0;
    pthread_mutex_unlock(&arena->mutex);
}

void cc_arena_lock(cc_arena *arena) { pthread_mutex_lock(&arena->mutex); }
void cc_arena_unlock(cc_arena *arena) { pthread_mutex_unlock(&arena->mutex); }
