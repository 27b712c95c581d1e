/* main.c -- the table of checks, and the runner.
 *
 *   driver [--bench] [--isa NAME] [--seed N] [--rounds N] [--threads N] [--skip TEST] [NAME ...]
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

typedef struct entry {
    const char *name;
    void (*run)(check *c);
} entry;

#define ENTRY(name) {#name, name},
static const entry checks[] = {CHECKS(ENTRY)};
static const entry tests[] = {TESTS(ENTRY)};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const cc_kernels *kernels_of(cc_isa isa)
{
    cc_context *context;
    if (cc_context_create(isa, 1, &context) != CC_OK)
        abort();
    const cc_kernels *kernels = context->kernels;
    cc_context_destroy(context);
    return kernels;
}

/* A byte of the table that is set in this or in the generic one must have been checked. */
static void every_slot_checked(check *c)
{
    const unsigned char *table = (const void *)c->kernels, *generic = (const void *)&cc_kernels_generic;
    SLOT_DATA(c, name);
    SLOT_DATA(c, lanes);
    c->what = "table";
    size_t missing = 0, first = 0;
    for (size_t i = sizeof *c->kernels; i-- > 0;)
        if ((table[i] != 0 || generic[i] != 0) && !c->covered[i]) {
            missing++;
            first = i;
        }
    if (missing > 0)
        printf("no check covers the slot at byte %zu of cc_kernels\n", first);
    EXPECT(c, missing == 0);
}

/* The checks of one thread among several that run at the same time. */
typedef struct among {
    pthread_t thread;
    check check;
    long rounds;
} among;

static void *run_among(void *argument)
{
    among *a = argument;
    for (long round = 0; round < a->rounds; round++)
        for (size_t k = 0; k < COUNT(checks); k++)
            checks[k].run(&a->check);
    return NULL;
}

/* Every check of this instruction set on `threads` threads at once. */
static void run_at_once(check *c, int threads, long rounds)
{
    among *all = calloc((size_t)threads, sizeof *all);
    if (all == NULL)
        abort();
    for (int t = 0; t < threads; t++) {
        all[t].check = *c;
        all[t].check.passed = all[t].check.failed = 0;
        all[t].check.random = c->random ^ (uint64_t)(t + 1) * 0xD1342543DE82EF95u;
        all[t].rounds = rounds;
        if (pthread_create(&all[t].thread, NULL, run_among, &all[t]) != 0)
            abort();
    }
    for (int t = 0; t < threads; t++) {
        pthread_join(all[t].thread, NULL);
        c->passed += all[t].check.passed;
        c->failed += all[t].check.failed;
    }
    free(all);
}

/* No names: all. */
static bool is_wanted(const char *name, const char **names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return count == 0;
}

int main(int argc, char **argv)
{
    check c = {.random = 0x9E3779B97F4A7C15u};
    const char *isa_wanted = NULL, *skipped = "";
    const char *wanted[16];
    int wanted_count = 0;
    long rounds = 200;
    int threads = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--bench") == 0)
            c.bench = true;
        else if (strcmp(argv[i], "--isa") == 0 && i + 1 < argc)
            isa_wanted = argv[++i];
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            c.random ^= strtoull(argv[++i], NULL, 10) * 0xD1342543DE82EF95u;
        else if (strcmp(argv[i], "--rounds") == 0 && i + 1 < argc)
            rounds = strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            threads = (int)strtol(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--skip") == 0 && i + 1 < argc)
            skipped = argv[++i];
        else if (argv[i][0] != '-' && wanted_count < (int)COUNT(wanted))
            wanted[wanted_count++] = argv[i];
        else {
            fprintf(stderr, "usage: %s [--bench] [--isa NAME] [--seed N] [--rounds N] [--threads N] [--skip TEST] [NAME ...]\n", argv[0]);
            return 2;
        }
    }

    int ran = 0;
    for (int isa = 0; isa < CC_ISA_COUNT; isa++) {
        const char *name = cc_isa_name((cc_isa)isa);
        if (!cc_isa_usable((cc_isa)isa) || (isa_wanted != NULL && strcmp(isa_wanted, name) != 0))
            continue;
        c.kernels = kernels_of((cc_isa)isa);
        memset(c.covered, 0, sizeof c.covered);
        for (size_t k = 0; k < COUNT(checks); k++) {
            if (!is_wanted(checks[k].name, wanted, wanted_count))
                continue;
            const int64_t passed = c.passed, failed = c.failed;
            const bool bench = c.bench;
            for (long round = 0; round < (bench ? 1 : rounds); round++)
                checks[k].run(&c);
            printf("%-8s %-14s %8lld right, %lld wrong\n", name, checks[k].name, (long long)(c.passed - passed),
                   (long long)(c.failed - failed));
        }
        if (wanted_count == 0)
            every_slot_checked(&c);
        if (threads > 1) {
            const int64_t passed = c.passed, failed = c.failed;
            run_at_once(&c, threads, rounds);
            printf("%-8s %d at once      %8lld right, %lld wrong\n", name, threads, (long long)(c.passed - passed),
                   (long long)(c.failed - failed));
        }
        ran++;
    }
    if (ran == 0) {
        fprintf(stderr, "instruction set %s cannot run here\n", isa_wanted);
        return 2;
    }

    c.kernels = NULL;
    for (size_t k = 0; k < COUNT(tests) && !c.bench; k++) {
        if (!is_wanted(tests[k].name, wanted, wanted_count) || strcmp(tests[k].name, skipped) == 0)
            continue;
        const int64_t passed = c.passed, failed = c.failed;
        tests[k].run(&c);
        printf("%-8s %-14s %8lld right, %lld wrong\n", "", tests[k].name, (long long)(c.passed - passed),
               (long long)(c.failed - failed));
    }
    printf("%lld passed, %lld failed\n", (long long)c.passed, (long long)c.failed);
    return c.failed > 0;
}
