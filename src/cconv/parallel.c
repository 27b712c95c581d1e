#include "parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "cpu.h"
#include "share.h"
#include "watch.h"

/* A worker that finds no job spins this long before it sleeps: the next layer's job usually comes
 * within microseconds, a loss in Python within hundreds, and waking a sleeper costs tens of them. */
#define SPIN_NANOSECONDS 500000

/* How long a watched task should run between questions, and from how many items on a range is cut for that. */
#define SLICE_NANOSECONDS 20000000
#define LONG_RANGE 64

typedef struct worker {
    cc_pool *pool;
    pthread_t thread;
    int index;          /* 1 .. threads-1; the caller is 0 */
    unsigned long seen; /* the last job that is not for it */
} worker;

struct cc_pool {
    atomic_int threads;
    int started; /* workers running, under `busy` */
    worker *workers;

    atomic_flag busy; /* held by the one caller whose job runs */
    cc_share share[CC_MAX_THREADS];

    /* The job, published by the store to `generation`. */
    cc_task task;
    void *argument;
    int64_t n;
    int parts;
    bool shared; /* items may be handed over singly, to any thread */
    bool watched;    /* it is the watched thread's job, which may be given up */
    int active;      /* threads taking part, caller included */
    unsigned long fp_mode;
    atomic_ulong generation;
    atomic_int unfinished;
    atomic_bool quit;

    atomic_int sleepers;
    pthread_mutex_t mutex;
    pthread_cond_t wake;

    cc_watch watch;

    atomic_bool rehearsing;
    pthread_t rehearser;
};

static _Thread_local bool inside_job, idle;

static void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

typedef struct job {
    cc_task task;
    void *argument;
    int64_t n;
    int parts;
    bool shared, watched;
} job;

/* How many items to do at a time, at most `most`, when `count` took this long. */
static int64_t fitting(int64_t count, int64_t nanoseconds, int64_t most)
{
    const double items = (double)count * SLICE_NANOSECONDS / (double)(nanoseconds > 0 ? nanoseconds : 1);
    return items < 1 ? 1 : items < (double)most ? (int64_t)items : most;
}

/* A first slice tells how long items take. */
static void run_slices(cc_pool *pool, const job *j, int64_t begin, int64_t end, int part, bool asking)
{
    int64_t slice = j->shared ? 1 : (end - begin) / 16, start = cc_watch_now();
    while (begin < end && !cc_watch_given_up(&pool->watch)) {
        const int64_t count = slice < end - begin ? slice : end - begin;
        j->task(j->argument, begin, begin + count, part);
        const int64_t time = cc_watch_now();
        slice = fitting(count, time - start, end - begin);
        begin += count;
        start = time;
        if (asking)
            cc_watch_ask(&pool->watch, time);
    }
}

/* `asking`: on the watched thread. */
static void run_part(cc_pool *pool, const job *j, int p, bool asking)
{
    const int64_t begin = cc_share_begin(j->n, j->parts, p), end = cc_share_begin(j->n, j->parts, p + 1);
    if (begin >= end || (j->watched && cc_watch_given_up(&pool->watch)))
        return;
    if (j->watched && end - begin >= (j->shared ? 2 : LONG_RANGE)) {
        run_slices(pool, j, begin, end, p, asking);
        return;
    }
    j->task(j->argument, begin, end, p);
    if (asking)
        cc_watch_ask(&pool->watch, cc_watch_now());
}

/* One's own items first, then the others'. A first bite tells a watched job how long items take. */
static void run_bites(cc_pool *pool, const job *j, int index)
{
    int64_t most = j->watched ? 1 : j->n, begin, end;
    for (int k = 0; k < pool->active; k++)
        while (!(j->watched && cc_watch_given_up(&pool->watch)) &&
               cc_share_take(&pool->share[(index + k) % pool->active], most, &begin, &end)) {
            const int64_t start = j->watched ? cc_watch_now() : 0;
            j->task(j->argument, begin, end, index);
            if (!j->watched)
                continue;
            const int64_t time = cc_watch_now();
            most = fitting((end - begin), time - start, j->n);
            if (index == 0)
                cc_watch_ask(&pool->watch, time);
        }
}

static void run_share(cc_pool *pool, int index)
{
    const job j = {pool->task, pool->argument, pool->n, pool->parts, pool->shared, pool->watched};
    if (j.shared) {
        run_bites(pool, &j, index);
        return;
    }
    for (int p = index; p < j.parts; p += pool->active)
        run_part(pool, &j, p, j.watched && index == 0);
}

/* Wait until the generation leaves `seen`, first spinning, then asleep. */
static unsigned long await_job(cc_pool *pool, unsigned long seen)
{
    const int64_t start = cc_watch_now();
    do {
        for (int i = 0; i < 64; i++) {
            const unsigned long generation = atomic_load_explicit(&pool->generation, memory_order_acquire);
            if (generation != seen)
                return generation;
            relax();
        }
    } while (cc_watch_now() - start < SPIN_NANOSECONDS);

    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->sleepers, 1);
    unsigned long generation;
    while ((generation = atomic_load(&pool->generation)) == seen)
        pthread_cond_wait(&pool->wake, &pool->mutex);
    atomic_fetch_sub(&pool->sleepers, 1);
    pthread_mutex_unlock(&pool->mutex);
    return generation;
}

static void publish(cc_pool *pool)
{
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) > 0) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->mutex);
    }
}

static void *worker_main(void *argument)
{
    const worker *self = argument;
    cc_pool *pool = self->pool;
    unsigned long seen = self->seen;
    inside_job = true;
    for (;;) {
        seen = await_job(pool, seen);
        if (atomic_load(&pool->quit))
            return NULL;
        if (self->index < pool->active) {
            cc_fp_mode_set(pool->fp_mode);
            run_share(pool, self->index);
        }
        atomic_fetch_sub_explicit(&pool->unfinished, 1, memory_order_release);
    }
}

/* Start the workers that are missing; fewer than asked for is fine, the caller takes their parts. */
static void start_workers(cc_pool *pool)
{
    if (pool->started == pool->threads - 1)
        return;
    if (pool->workers == NULL) {
        pool->workers = calloc(CC_MAX_THREADS, sizeof *pool->workers);
        if (pool->workers == NULL)
            return;
    }
    /* Signals stay with the threads of the program. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool->started < pool->threads - 1) {
        worker *w = &pool->workers[pool->started];
        w->pool = pool;
        w->index = pool->started + 1;
        w->seen = atomic_load(&pool->generation);
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0)
            break;
        pool->started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop_workers(cc_pool *pool)
{
    if (pool->started == 0)
        return;
    atomic_store(&pool->quit, true);
    publish(pool);
    for (int i = 0; i < pool->started; i++)
        pthread_join(pool->workers[i].thread, NULL);
    pool->started = 0;
    atomic_store(&pool->quit, false);
}

static void reset(cc_pool *pool)
{
    pool->started = 0;
    atomic_flag_clear(&pool->busy);
    atomic_store(&pool->generation, 0);
    atomic_store(&pool->unfinished, 0);
    atomic_store(&pool->quit, false);
    atomic_store(&pool->sleepers, 0);
    atomic_store(&pool->watch.given_up, false);
    atomic_store(&pool->rehearsing, false);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
}

cc_status cc_pool_create(int threads, cc_pool **pool)
{
    if (threads < 1 || threads > CC_MAX_THREADS)
        return CC_ERR_ARGUMENT;
    cc_pool *created = calloc(1, sizeof *created);
    if (created == NULL)
        return CC_ERR_MEMORY;
    created->threads = threads;
    reset(created);
    *pool = created;
    return CC_OK;
}

static void take(cc_pool *pool)
{
    while (atomic_flag_test_and_set_explicit(&pool->busy, memory_order_acquire))
        sched_yield();
}

static void release(cc_pool *pool) { atomic_flag_clear_explicit(&pool->busy, memory_order_release); }

void cc_pool_destroy(cc_pool *pool)
{
    if (pool == NULL)
        return;
    take(pool);
    stop_workers(pool);
    pthread_mutex_destroy(&pool->mutex);
    pthread_cond_destroy(&pool->wake);
    free(pool->workers);
    free(pool);
}

int cc_pool_threads(const cc_pool *pool) { return pool->threads; }

cc_status cc_pool_resize(cc_pool *pool, int threads)
{
    if (threads < 1 || threads > CC_MAX_THREADS)
        return CC_ERR_ARGUMENT;
    take(pool);
    if (threads != pool->threads) {
        stop_workers(pool);
        pool->threads = threads;
    }
    release(pool);
    return CC_OK;
}

void cc_pool_after_fork(cc_pool *pool)
{
    reset(pool);
    /* The thread that forked is the only one now. */
    pool->watch.thread = pthread_self();
}

void cc_pool_watch(cc_pool *pool, bool (*poll)(void))
{
    cc_watch_start(&pool->watch, poll);
}

bool cc_pool_interrupted(cc_pool *pool)
{
    return cc_watch_interrupted(&pool->watch);
}

bool cc_pool_rehearses(const cc_pool *pool)
{
    return idle || (atomic_load_explicit(&pool->rehearsing, memory_order_acquire)
                    && pthread_equal(pool->rehearser, pthread_self()));
}

void cc_parallel_idle(bool on) { idle = on; }

bool cc_pool_rehearse(cc_pool *pool, bool on)
{
    pthread_mutex_lock(&pool->mutex);
    const bool ours = !atomic_load(&pool->rehearsing) || cc_pool_rehearses(pool);
    if (ours) {
        pool->rehearser = pthread_self();
        atomic_store_explicit(&pool->rehearsing, on, memory_order_release);
    }
    pthread_mutex_unlock(&pool->mutex);
    return ours;
}

int cc_parts(const cc_pool *pool, int64_t n, int64_t grain)
{
    const int64_t wanted = grain > 1 ? n / grain : n;
    const int threads = inside_job ? 1 : pool->threads;
    if (wanted >= threads)
        return threads;
    return wanted < 1 ? 1 : (int)wanted;
}

static void run(cc_pool *pool, const job *j)
{
    if (cc_pool_rehearses(pool))
        return;
    if (j->n <= 0)
        return;
    if (j->parts == 1 || inside_job || atomic_flag_test_and_set_explicit(&pool->busy, memory_order_acquire)) {
        for (int p = 0; p < j->parts; p++)
            run_part(pool, j, p, j->watched);
        return;
    }
    start_workers(pool);

    pool->task = j->task;
    pool->argument = j->argument;
    pool->n = j->n;
    pool->parts = j->parts;
    pool->shared = j->shared;
    pool->watched = j->watched;
    pool->active = j->parts < pool->started + 1 ? j->parts : pool->started + 1;
    pool->fp_mode = cc_fp_mode_get();
    if (j->shared)
        cc_share_deal(pool->share, pool->active, j->n);
    atomic_store(&pool->unfinished, pool->started);
    publish(pool);

    inside_job = true;
    run_share(pool, 0);
    inside_job = false;

    int spins = 0;
    while (atomic_load_explicit(&pool->unfinished, memory_order_acquire) > 0) {
        relax();
        if (++spins > 20000) {
            sched_yield();
            if (j->watched)
                cc_watch_ask(&pool->watch, cc_watch_now());
        }
    }
    release(pool);
}

void cc_parallel_for(cc_pool *pool, int parts, int64_t n, cc_task task, void *argument)
{
    run(pool, &(job){task, argument, n, parts, false, cc_watch_here(&pool->watch)});
}

void cc_parallel_each(cc_pool *pool, int parts, int64_t n, cc_task task, void *argument)
{
    run(pool, &(job){task, argument, n, parts, true, cc_watch_here(&pool->watch)});
}
