/* watch.h -- the one thread whose long jobs may be given up, because the program asks it to (Ctrl-C). */
#ifndef CC_WATCH_H
#define CC_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct cc_watch {
    bool (*poll)(void);
    pthread_t thread;
    int64_t polled; /* when */
    bool asking;
    atomic_bool given_up;
} cc_watch;

/* Nanoseconds of a clock that never goes back. */
int64_t cc_watch_now(void);

/* Watch the calling thread. */
void cc_watch_start(cc_watch *watch, bool (*poll)(void));

/* Whether it is the calling thread. */
static inline bool cc_watch_here(const cc_watch *watch)
{
    return watch->poll != NULL && pthread_equal(watch->thread, pthread_self());
}

static inline bool cc_watch_given_up(const cc_watch *watch)
{
    return atomic_load_explicit(&watch->given_up, memory_order_relaxed);
}

/* On the watched thread: poll again if it is time. */
void cc_watch_ask(cc_watch *watch, int64_t time);

/* On the watched thread: whether something was given up since the last call. */
bool cc_watch_interrupted(cc_watch *watch);

#endif
