#include "check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__)
#define GUARD 0
#else
#define GUARD 256
#endif
#define PATTERN 0xA5

typedef struct block {
    struct block *next;
    unsigned char *memory; /* GUARD + offset + bytes + GUARD */
    size_t before, bytes;
} block;

uint64_t check_random(check *c)
{
    uint64_t x = c->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return c->random = x;
}

int64_t check_integer(check *c, int64_t low, int64_t high)
{
    return low + (int64_t)((check_random(c) >> 11) % (uint64_t)(high - low + 1));
}

double check_real(check *c)
{
    const uint64_t bits = check_random(c);
    return bits % 16 == 0 ? 0 : (double)(int64_t)(bits >> 11) / (double)(INT64_C(1) << 52) - 1;
}

void *check_bytes(check *c, int64_t bytes, int64_t element)
{
    block *b = malloc(sizeof *b);
    if (b == NULL)
        abort();
    const size_t offset = (size_t)(check_integer(c, 0, 15) * element);
    b->before = GUARD + offset;
    b->bytes = (size_t)bytes;
    b->memory = aligned_alloc(64, (b->before + b->bytes + GUARD + 63) / 64 * 64);
    if (GUARD == 0) {
        free(b->memory);
        b->before = offset % 16; /* what malloc aligns to */
        b->memory = malloc(b->before + b->bytes);
    }
    if (b->memory == NULL)
        abort();
    memset(b->memory, PATTERN, b->before + b->bytes + GUARD);
    b->next = c->blocks;
    c->blocks = b;
    return b->memory + b->before;
}

float *check_f32(check *c, int64_t n)
{
    float *x = check_bytes(c, n * 4, 4);
    for (int64_t i = 0; i < n; i++)
        x[i] = (float)check_real(c);
    return x;
}

double *check_f64(check *c, int64_t n)
{
    double *x = check_bytes(c, n * 8, 8);
    for (int64_t i = 0; i < n; i++)
        x[i] = check_real(c);
    return x;
}

void *check_copy(check *c, const void *source, int64_t bytes, int64_t element)
{
    void *copy = check_bytes(c, bytes, element);
    memcpy(copy, source, (size_t)bytes);
    return copy;
}

static bool untouched(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (p[i] != PATTERN)
            return false;
    return true;
}

void check_done(check *c)
{
    bool intact = true;
    for (block *b = c->blocks; b != NULL;) {
        intact &= untouched(b->memory, b->before) && untouched(b->memory + b->before + b->bytes, GUARD);
        block *next = b->next;
        free(b->memory);
        free(b);
        b = next;
    }
    c->blocks = NULL;
    check_expect(c, intact, __FILE__, __LINE__, "nothing written outside the arrays");
}

void check_covered(check *c, const void *slot, size_t bytes)
{
    memset(c->covered + ((const char *)slot - (const char *)c->kernels), 1, bytes);
}

void check_slot(check *c, const char *name, const void *slot, size_t bytes)
{
    c->what = name;
    check_covered(c, slot, bytes);
}

bool check_expect(check *c, bool condition, const char *file, int line, const char *text)
{
    if (condition) {
        c->passed++;
    } else if (c->failed++ < 50) {
        printf("FAILED %s %s: %s:%d: %s\n", c->kernels != NULL ? c->kernels->name : "", c->what, file, line, text);
    }
    return condition;
}

static bool near(check *c, double y, double expected, int64_t i, double bound)
{
    if (fabs(y - expected) <= bound || y == expected || (isnan(y) && isnan(expected)))
        return true;
    char text[160];
    snprintf(text, sizeof text, "element %lld is %.9g, expected %.9g within %.2g", (long long)i, y, expected, bound);
    return check_expect(c, false, "check.c", __LINE__, text);
}

bool check_near_f32(check *c, const float *y, const double *expected, int64_t n, double tolerance, double scale)
{
    for (int64_t i = 0; i < n; i++)
        if (!near(c, (double)y[i], expected[i], i, tolerance * scale))
            return false;
    c->passed++;
    return true;
}

bool check_near_f64(check *c, const double *y, const double *expected, int64_t n, double tolerance, double scale)
{
    for (int64_t i = 0; i < n; i++)
        if (!near(c, y[i], expected[i], i, tolerance * scale))
            return false;
    c->passed++;
    return true;
}

double check_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void check_report(const check *c, double seconds, double work, const char *unit)
{
    printf("%-8s %-32s %10.3f us %10.2f G%s/s\n", c->kernels->name, c->what, 1e6 * seconds, 1e-9 * work / seconds,
           unit);
}
