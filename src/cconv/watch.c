#include "watch.h"

#include <time.h>

/* How often to poll. */
#define POLL_NANOSECONDS 50000000

int64_t cc_watch_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void cc_watch_start(cc_watch *watch, bool (*poll)(void))
{
    watch->thread = pthread_self();
    watch->polled = 0;
    watch->poll = poll;
}

void cc_watch_ask(cc_watch *watch, int64_t time)
{
    if (time - watch->polled < POLL_NANOSECONDS || watch->asking || cc_watch_given_up(watch))
        return;
    watch->asking = true; /* what answers may run jobs itself */
    const bool stop = watch->poll();
    watch->asking = false;
    watch->polled = cc_watch_now();
    if (stop)
        atomic_store(&watch->given_up, true);
}

bool cc_watch_interrupted(cc_watch *watch)
{
    if (!cc_watch_given_up(watch) || !cc_watch_here(watch))
        return false;
    atomic_store(&watch->given_up, false);
    return true;
}
