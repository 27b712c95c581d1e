#include "context.h"

#include <pthread.h>
#include <stdlib.h>

/* The contexts that fork() must put right, newest first. */
typedef struct entry {
    cc_context context;
    struct entry *next;
} entry;

static struct {
    pthread_mutex_t mutex;
    entry *first;
    bool handlers_set;
} contexts = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void before_fork(void)
{
    pthread_mutex_lock(&contexts.mutex);
    for (entry *e = contexts.first; e != NULL; e = e->next) {
        cc_arena_lock(e->context.arena);
        cc_blas_lock(e->context.blas);
    }
}

static void after_fork(bool in_child)
{
    for (entry *e = contexts.first; e != NULL; e = e->next) {
        cc_blas_unlock(e->context.blas);
        cc_arena_unlock(e->context.arena);
        if (in_child)
            cc_pool_after_fork(e->context.pool);
    }
    pthread_mutex_unlock(&contexts.mutex);
}

static void after_fork_in_parent(void) { after_fork(false); }
static void after_fork_in_child(void) { after_fork(true); }

static const cc_kernels *kernels_of(cc_isa isa)
{
    switch (isa) {
#if defined(__x86_64__)
    case CC_ISA_AVX2: return &cc_kernels_avx2;
    case CC_ISA_AVX512: return &cc_kernels_avx512;
#elif defined(__aarch64__)
    case CC_ISA_NEON: return &cc_kernels_neon;
#endif
    default: return &cc_kernels_generic;
    }
}

static void destroy(entry *e)
{
    cc_pool_destroy(e->context.pool);
    cc_arena_destroy(e->context.arena);
    cc_blas_destroy(e->context.blas);
    free(e);
}

cc_status cc_context_create(cc_isa isa, int threads, cc_context **context)
{
    if (!cc_isa_usable(isa))
        return CC_ERR_UNSUPPORTED;
    entry *e = calloc(1, sizeof *e);
    if (e == NULL)
        return CC_ERR_MEMORY;
    e->context.isa = isa;
    e->context.kernels = kernels_of(isa);
    e->context.arena = cc_arena_create();
    e->context.blas = cc_blas_create();
    const cc_status status = cc_pool_create(threads, &e->context.pool);
    if (status != CC_OK || e->context.arena == NULL || e->context.blas == NULL) {
        destroy(e);
        return status != CC_OK ? status : CC_ERR_MEMORY;
    }

    pthread_mutex_lock(&contexts.mutex);
    e->next = contexts.first;
    contexts.first = e;
    if (!contexts.handlers_set) {
        contexts.handlers_set = true;
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
    }
    pthread_mutex_unlock(&contexts.mutex);
    *context = &e->context;
    return CC_OK;
}

void cc_context_destroy(cc_context *context)
{
    if (context == NULL)
        return;
    pthread_mutex_lock(&contexts.mutex);
    entry **link = &contexts.first;
    while (*link != NULL && &(*link)->context != context)
        link = &(*link)->next;
    entry *found = *link;
    if (found != NULL)
        *link = found->next;
    pthread_mutex_unlock(&contexts.mutex);
    if (found != NULL)
        destroy(found);
}
