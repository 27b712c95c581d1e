/* The arena: alignment, coalescing, accounting, refusals, and a steady state that asks the system for nothing. */
#include <pthread.h>
#include <string.h>

#include "check.h"

#define LIVE 64

/* ThreadSanitizer has no room for the arena's span of addresses: there it grows by separate regions, with gaps. */
#ifdef __SANITIZE_THREAD__
#define ONE_SPAN false
#else
#define ONE_SPAN true
#endif

static void blocks_do_not_overlap(check *c)
{
    cc_arena *arena = cc_arena_create();
    unsigned char *block[LIVE] = {0};
    size_t bytes[LIVE] = {0};
    for (int step = 0; step < 3000; step++) {
        const int i = (int)check_integer(c, 0, LIVE - 1);
        if (block[i] != NULL) {
            bool kept = true;
            for (size_t k = 0; k < bytes[i]; k++)
                kept &= block[i][k] == (unsigned char)i;
            if (!kept)
                EXPECT(c, !"a block was written by another one");
            cc_arena_free(arena, block[i]);
        }
        bytes[i] = (size_t)(check_integer(c, 0, 9) == 0 ? check_integer(c, 0, 300000) : check_integer(c, 0, 3000));
        block[i] = cc_arena_alloc(arena, bytes[i]);
        if (block[i] == NULL || (uintptr_t)block[i] % CC_ALIGNMENT != 0) {
            EXPECT(c, !"no aligned block");
            break;
        }
        memset(block[i], i, bytes[i]);
    }
    for (int i = 0; i < LIVE; i++)
        cc_arena_free(arena, block[i]);
    const cc_arena_stats stats = cc_arena_get_stats(arena);
    EXPECT(c, stats.in_use == 0 && stats.blocks == 0);
    cc_arena_destroy(arena);
}

static void neighbours_grow_together(check *c)
{
    static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    const size_t whole = (size_t)30 << 20;
    for (int k = 0; k < 6; k++) {
        cc_arena *arena = cc_arena_create();
        void *block[3];
        for (int i = 0; i < 3; i++)
            block[i] = cc_arena_alloc(arena, whole / 3);
        const size_t reserved = cc_arena_get_stats(arena).reserved;
        for (int i = 0; i < 3; i++)
            cc_arena_free(arena, block[orders[k][i]]);
        void *all = cc_arena_alloc(arena, whole);
        EXPECT(c, all != NULL && (!ONE_SPAN || cc_arena_get_stats(arena).reserved == reserved));
        cc_arena_free(arena, all);
        cc_arena_destroy(arena);
    }
}

/* What larger and larger blocks leave behind has room for one of all their size. */
static void grows_without_gaps(check *c)
{
    cc_arena *arena = cc_arena_create();
    void *block[5];
    for (int i = 0; i < 5; i++)
        block[i] = cc_arena_alloc(arena, (size_t)(7 + 9 * i) << 20);
    for (int i = 0; i < 5; i++)
        cc_arena_free(arena, block[i]);
    void *all = cc_arena_alloc(arena, (size_t)125 << 20);
    EXPECT(c, all != NULL && (!ONE_SPAN || cc_arena_get_stats(arena).reserved <= (size_t)130 << 20));
    cc_arena_free(arena, all);
    cc_arena_destroy(arena);
}

static void repeating_step_asks_for_nothing(check *c)
{
    static const size_t sizes[] = {1000, 5 << 20, 64, 0, 40 << 20, 123457, 3 << 20};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    cc_arena *arena = cc_arena_create();
    size_t after_first = 0;
    for (int step = 0; step < 50; step++) {
        void *block[COUNT];
        for (int i = 0; i < COUNT; i++)
            block[i] = cc_arena_alloc(arena, sizes[i]);
        for (int i = 0; i < COUNT; i += 2)
            cc_arena_free(arena, block[i]);
        for (int i = 1; i < COUNT; i += 2)
            cc_arena_free(arena, block[i]);
        if (step == 0)
            after_first = cc_arena_get_stats(arena).reserved;
    }
    EXPECT(c, cc_arena_get_stats(arena).reserved == after_first);
    cc_arena_destroy(arena);
}

static void accounting(check *c)
{
    cc_arena *arena = cc_arena_create();
    void *a = cc_arena_alloc(arena, 1000), *b = cc_arena_alloc(arena, 64);
    cc_arena_stats stats = cc_arena_get_stats(arena);
    EXPECT(c, stats.blocks == 2 && stats.calls == 2 && stats.in_use >= 1064 && stats.peak == stats.in_use);
    const size_t peak = stats.peak;
    cc_arena_free(arena, a);
    stats = cc_arena_get_stats(arena);
    EXPECT(c, stats.blocks == 1 && stats.in_use < peak && stats.peak == peak);
    cc_arena_reset_peak(arena);
    EXPECT(c, cc_arena_get_stats(arena).peak == stats.in_use);
    cc_arena_free(arena, b);
    cc_arena_free(arena, NULL);
    EXPECT(c, cc_arena_get_stats(arena).in_use == 0);
    cc_arena_destroy(arena);
    cc_arena_destroy(NULL);
}

static void refusals(check *c)
{
    cc_arena *arena = cc_arena_create();
    EXPECT(c, cc_arena_alloc(arena, SIZE_MAX) == NULL);
    EXPECT(c, cc_arena_alloc(arena, PTRDIFF_MAX) == NULL);
    EXPECT(c, cc_arena_alloc(arena, (size_t)PTRDIFF_MAX + 1) == NULL);
    EXPECT(c, cc_arena_get_stats(arena).in_use == 0);

    cc_arena_fail_after(arena, 2, 0);
    void *block[4];
    for (int i = 0; i < 4; i++)
        block[i] = cc_arena_alloc(arena, 100);
    EXPECT(c, block[0] != NULL && block[1] != NULL && block[2] == NULL && block[3] != NULL);
    cc_arena_fail_after(arena, 0, 1);
    EXPECT(c, cc_arena_alloc(arena, 1) == NULL && cc_arena_alloc(arena, 1) == NULL);
    cc_arena_fail_after(arena, -1, 0);
    void *last = cc_arena_alloc(arena, 1);
    EXPECT(c, last != NULL);
    for (int i = 0; i < 4; i++)
        cc_arena_free(arena, block[i]);
    cc_arena_free(arena, last);
    EXPECT(c, cc_arena_get_stats(arena).blocks == 0);
    cc_arena_destroy(arena);
}

static void within_a_block(check *c)
{
    cc_arena *parent = cc_arena_create();
    char *memory = cc_arena_alloc(parent, 1024);
    for (int alone = 0; alone < 2; alone++) {
        cc_arena *arena = cc_arena_within(alone ? NULL : parent, memory, 1024);
        for (int round = 0; round < 3; round++) { /* what all has been given back is there again */
            char *first = cc_arena_alloc(arena, 1), *second = cc_arena_alloc(arena, 960);
            EXPECT(c, first == memory && second == memory + CC_ALIGNMENT);
            char *third = cc_arena_alloc(arena, 1);
            EXPECT(c, (third == NULL) == (alone != 0) && cc_arena_get_stats(parent).blocks == 2 - (uint64_t)alone);
            cc_arena_free(arena, first);
            cc_arena_free(arena, third);
            cc_arena_free(arena, second);
        }
        cc_arena_fail_after(parent, 0, 1);
        void *inside = cc_arena_alloc(arena, 1024);
        EXPECT(c, inside == memory && cc_arena_alloc(arena, 1) == NULL);
        cc_arena_fail_after(parent, -1, 0);
        cc_arena_free(arena, inside);
        cc_arena_destroy(arena);
    }
    cc_arena_free(parent, memory);
    EXPECT(c, cc_arena_get_stats(parent).in_use == 0);
    cc_arena_destroy(parent);
}

static void *allocate_and_free(void *argument)
{
    for (int i = 0; i < 2000; i++) {
        unsigned char *block = cc_arena_alloc(argument, (size_t)(i % 97) * 64 + 1);
        if (block == NULL)
            return argument;
        block[0] = (unsigned char)i;
        cc_arena_free(argument, block);
    }
    return NULL;
}

static void four_threads(check *c)
{
    cc_arena *arena = cc_arena_create();
    pthread_t thread[4];
    for (int i = 0; i < 4; i++)
        EXPECT(c, pthread_create(&thread[i], NULL, allocate_and_free, arena) == 0);
    for (int i = 0; i < 4; i++) {
        void *failure = arena;
        pthread_join(thread[i], &failure);
        EXPECT(c, failure == NULL);
    }
    const cc_arena_stats stats = cc_arena_get_stats(arena);
    EXPECT(c, stats.in_use == 0 && stats.calls == 8000);
    cc_arena_destroy(arena);
}

void test_arena(check *c)
{
    c->what = "arena";
    blocks_do_not_overlap(c);
    neighbours_grow_together(c);
    grows_without_gaps(c);
    repeating_step_asks_for_nothing(c);
    accounting(c);
    refusals(c);
    within_a_block(c);
    four_threads(c);
}
