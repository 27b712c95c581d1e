/* The thread pool: every part once, nested, from two callers, resized, and under the caller's floating-point mode. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

#define ITEMS 1000

typedef struct job {
    cc_pool *pool;
    int parts;
    atomic_int times[ITEMS];
    atomic_int part_times[CC_MAX_THREADS];
} job;

static void count(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    atomic_fetch_add(&j->part_times[part], 1);
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add(&j->times[i], 1);
}

static bool each_once(job *j, int64_t n, int times)
{
    bool right = true;
    for (int64_t i = 0; i < ITEMS; i++)
        right &= j->times[i] == (i < n ? times : 0);
    return right;
}

static void every_item_once(check *c)
{
    static const int threads[] = {1, 2, 3, 7};
    static const int64_t sizes[] = {0, 1, 2, 3, 5, 64, 999, ITEMS};
    for (size_t t = 0; t < 4; t++) {
        cc_pool *pool;
        EXPECT(c, cc_pool_create(threads[t], &pool) == CC_OK && cc_pool_threads(pool) == threads[t]);
        for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++)
            for (int parts = 1; parts <= 9; parts++) {
                job j;
                memset(&j, 0, sizeof j);
                cc_parallel_for(pool, parts, sizes[k], count, &j);
                bool right = each_once(&j, sizes[k], 1);
                for (int p = 0; p < parts; p++)
                    right &= j.part_times[p] == (p < sizes[k] ? 1 : 0);
                if (!right)
                    EXPECT(c, !"an item ran twice or never");
            }
        c->passed++;
        cc_pool_destroy(pool);
    }
}

static void sum_range(void *argument, int64_t begin, int64_t end, int part)
{
    (void)part;
    atomic_fetch_add((_Atomic int64_t *)argument, end - begin);
}

static void very_long_ranges(check *c)
{
    cc_pool *pool;
    EXPECT(c, cc_pool_create(3, &pool) == CC_OK);
    _Atomic int64_t sum = 0;
    cc_parallel_for(pool, 3, INT64_MAX, sum_range, &sum);
    EXPECT(c, sum == INT64_MAX);
    cc_pool_destroy(pool);
}

static void parts_by_grain(check *c)
{
    cc_pool *pool;
    EXPECT(c, cc_pool_create(4, &pool) == CC_OK);
    EXPECT(c, cc_parts(pool, 0, 1) == 1 && cc_parts(pool, 1, 1) == 1 && cc_parts(pool, 3, 1) == 3);
    EXPECT(c, cc_parts(pool, 100, 1) == 4 && cc_parts(pool, 100, 50) == 2 && cc_parts(pool, 99, 100) == 1);
    EXPECT(c, cc_parts(pool, INT64_MAX, 0) == 4);
    cc_pool_destroy(pool);
}

static void outer(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    (void)part;
    for (int64_t i = begin; i < end; i++)
        cc_parallel_for(j->pool, j->parts, ITEMS, count, j);
}

/* In a job scratch is needed for one part only. */
static void one_part(void *argument, int64_t begin, int64_t end, int part)
{
    job *j = argument;
    (void)part;
    for (int64_t i = begin; i < end; i++)
        atomic_fetch_add(&j->times[i], cc_parts(j->pool, ITEMS, 1));
}

static void nested_runs_inline(check *c)
{
    job j;
    memset(&j, 0, sizeof j);
    EXPECT(c, cc_pool_create(3, &j.pool) == CC_OK);
    j.parts = 3;
    cc_parallel_for(j.pool, 3, ITEMS, one_part, &j);
    EXPECT(c, each_once(&j, ITEMS, 1));
    memset(j.times, 0, sizeof j.times);
    cc_parallel_for(j.pool, 3, 6, outer, &j);
    EXPECT(c, each_once(&j, ITEMS, 6));
    cc_pool_destroy(j.pool);
}

static void *caller(void *argument)
{
    job *j = argument;
    for (int i = 0; i < 200; i++)
        cc_parallel_for(j->pool, 3, ITEMS, count, j);
    return NULL;
}

/* Four threads use the pool while a fifth resizes it. */
static void callers_at_once(check *c)
{
    static job jobs[4];
    memset(jobs, 0, sizeof jobs);
    pthread_t thread[4];
    cc_pool *pool;
    EXPECT(c, cc_pool_create(3, &pool) == CC_OK);
    for (int i = 0; i < 4; i++) {
        jobs[i].pool = pool;
        EXPECT(c, pthread_create(&thread[i], NULL, caller, &jobs[i]) == 0);
    }
    for (int i = 0; i < 20; i++)
        EXPECT(c, cc_pool_resize(pool, 1 + i % 4) == CC_OK);
    for (int i = 0; i < 4; i++) {
        pthread_join(thread[i], NULL);
        EXPECT(c, each_once(&jobs[i], ITEMS, 200));
    }
    cc_pool_destroy(pool);
}

static void sizes_out_of_range(check *c)
{
    cc_pool *pool = NULL;
    EXPECT(c, cc_pool_create(0, &pool) == CC_ERR_ARGUMENT && pool == NULL);
    EXPECT(c, cc_pool_create(CC_MAX_THREADS + 1, &pool) == CC_ERR_ARGUMENT);
    EXPECT(c, cc_pool_create(1, &pool) == CC_OK);
    EXPECT(c, cc_pool_resize(pool, 0) == CC_ERR_ARGUMENT && cc_pool_resize(pool, CC_MAX_THREADS + 1) == CC_ERR_ARGUMENT);
    EXPECT(c, cc_pool_threads(pool) == 1);
    cc_pool_destroy(pool);
    cc_pool_destroy(NULL);
}

static void keep_mode(void *argument, int64_t begin, int64_t end, int part)
{
    (void)begin, (void)end;
    ((unsigned long *)argument)[part] = cc_fp_mode_get();
}

static void workers_take_the_mode(check *c)
{
    const unsigned long before = cc_fp_mode_get(), flushing = cc_fp_mode_flushing(before);
    const unsigned long status = 0x3f; /* exceptions seen so far, on x86 */
    cc_pool *pool;
    EXPECT(c, cc_pool_create(3, &pool) == CC_OK);
    for (int round = 0; round < 4; round++) {
        const unsigned long wanted = round % 2 == 0 ? flushing : before;
        unsigned long seen[3] = {0};
        cc_fp_mode_set(wanted);
        cc_parallel_for(pool, 3, 3, keep_mode, seen);
        for (int p = 0; p < 3; p++)
            EXPECT(c, (seen[p] | status) == (wanted | status));
    }
    cc_fp_mode_set(before);
    cc_pool_destroy(pool);
}

static atomic_int asked;
static int patience; /* refusals to give up, before the first that does */

static bool impatient(void) { return atomic_fetch_add(&asked, 1) >= patience; }

/* A millisecond an item. */
static void dawdle(void *argument, int64_t begin, int64_t end, int part)
{
    (void)part;
    for (const double until = check_now() + 1e-3 * (double)(end - begin); check_now() < until;)
        sched_yield();
    atomic_fetch_add((atomic_int *)argument, (int)(end - begin));
}

static void *undisturbed(void *argument)
{
    job *j = argument;
    cc_parallel_for(j->pool, 2, ITEMS, count, j);
    return NULL;
}

/* A thread that idles does nothing; others do, who use the pool meanwhile. */
static void idle_threads(check *c)
{
    job j;
    memset(&j, 0, sizeof j);
    EXPECT(c, cc_pool_create(2, &j.pool) == CC_OK);
    EXPECT(c, !cc_pool_rehearses(j.pool));
    cc_parallel_idle(true);
    EXPECT(c, cc_pool_rehearses(j.pool) && !cc_pool_interrupted(j.pool));
    cc_parallel_for(j.pool, 2, ITEMS, count, &j);
    cc_parallel_each(j.pool, 2, ITEMS, count, &j);
    EXPECT(c, each_once(&j, 0, 1));
    pthread_t other;
    EXPECT(c, pthread_create(&other, NULL, undisturbed, &j) == 0);
    pthread_join(other, NULL);
    EXPECT(c, each_once(&j, ITEMS, 1));
    cc_parallel_idle(false);
    EXPECT(c, !cc_pool_rehearses(j.pool));
    cc_parallel_each(j.pool, 2, ITEMS, count, &j);
    EXPECT(c, each_once(&j, ITEMS, 2));
    cc_pool_destroy(j.pool);
}

static void jobs_can_be_given_up(check *c)
{
    cc_pool *pool;
    for (int threads = 1; threads <= 3; threads += 2) {
        EXPECT(c, cc_pool_create(threads, &pool) == CC_OK);
        cc_pool_watch(pool, impatient);
        for (int one_by_one = 0; one_by_one < 2; one_by_one++) {
            atomic_int done = 0;
            atomic_store(&asked, 0);
            patience = 1;
            const double start = check_now();
            (one_by_one ? cc_parallel_each : cc_parallel_for)(pool, threads, 9000, dawdle, &done);
            EXPECT(c, check_now() - start < 3 && done > 0 && done < 9000);
            EXPECT(c, asked == 2);
            /* Nothing runs before the caller knows; other threads' jobs do. */
            const int before = done;
            cc_parallel_for(pool, threads, 9, dawdle, &done);
            EXPECT(c, done == before);
            job j = {.pool = pool};
            pthread_t other;
            EXPECT(c, pthread_create(&other, NULL, undisturbed, &j) == 0);
            pthread_join(other, NULL);
            EXPECT(c, each_once(&j, ITEMS, 1));
            EXPECT(c, cc_pool_interrupted(pool) && !cc_pool_interrupted(pool));
            patience = 1 << 30;
            cc_parallel_for(pool, threads, 200, dawdle, &done);
            EXPECT(c, done == before + 200);
        }
        cc_pool_destroy(pool);
    }
}

void test_parallel(check *c)
{
    c->what = "parallel";
    every_item_once(c);
    very_long_ranges(c);
    parts_by_grain(c);
    nested_runs_inline(c);
    callers_at_once(c);
    sizes_out_of_range(c);
    workers_take_the_mode(c);
    idle_threads(c);
    jobs_can_be_given_up(c);
}
