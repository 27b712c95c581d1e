/* A child forked while the pool lives runs jobs of its own and ends. */
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define CHILDREN 200
#define SECONDS 60

static void fill(void *argument, int64_t begin, int64_t end, int part)
{
    (void)part;
    for (int64_t i = begin; i < end; i++)
        ((int *)argument)[i] = (int)i;
}

static bool job_runs(const cc_context *context)
{
    enum { N = 300 };
    int *numbers = cc_arena_alloc(context->arena, N * sizeof *numbers);
    if (numbers == NULL)
        return false;
    cc_parallel_for(context->pool, 3, N, fill, numbers);
    bool right = true;
    for (int i = 0; i < N; i++)
        right &= numbers[i] == i;
    cc_arena_free(context->arena, numbers);
    return right;
}

void test_fork(check *c)
{
    c->what = "fork";
    cc_context *context;
    EXPECT(c, cc_context_create(CC_ISA_GENERIC, 3, &context) == CC_OK);
    int good = 0;
    fflush(stdout);
    for (int i = 0; i < CHILDREN; i++) {
        EXPECT(c, job_runs(context));
        const pid_t child = fork();
        if (child == 0) {
            alarm(SECONDS); /* a child that hangs is killed */
            _exit(job_runs(context) && job_runs(context) ? 0 : 1);
        }
        int status = -1;
        if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0)
            good++;
    }
    EXPECT(c, good == CHILDREN);
    EXPECT(c, job_runs(context));
    cc_context_destroy(context);
}
