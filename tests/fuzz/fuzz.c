#include "fuzz.h"
#include "../c/plain_gemm.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>

/* Of one array: an empty image may have any number of channels, whose biases are not worth an execution. */
#define MOST_BYTES ((int64_t)1 << 24)

typedef struct block {
    struct block *next;
    void *memory;
} block;

int fuzz_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the core calls instead of pthread_create. */
int fuzz_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    (void)thread, (void)attributes, (void)run, (void)argument;
    return 11;
}

/* ---- from the bytes ---- */

static uint64_t next_random(fuzz *f)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random;
}

uint8_t fuzz_byte(fuzz *f)
{
    if (f->left == 0)
        return 0;
    f->left--;
    return *f->data++;
}

bool fuzz_flag(fuzz *f) { return fuzz_byte(f) & 1; }

int64_t fuzz_range(fuzz *f, int64_t low, int64_t high) { return low + fuzz_byte(f) % (high - low + 1); }

int64_t fuzz_size(fuzz *f, int64_t low)
{
    static const int64_t strange[] = {
        -1, 0, INT64_MIN, INT64_MAX, (int64_t)1 << 15, (int64_t)1 << 16, INT32_MAX, (int64_t)1 << 31, UINT32_MAX,
        (int64_t)1 << 32, (int64_t)1 << 40, (int64_t)1 << 61, (int64_t)1 << 62, 4634247419717959497,
    };
    const uint8_t kind = fuzz_byte(f);
    if (f->hostile && kind >= 224) {
        const int64_t size = strange[kind % (sizeof strange / sizeof *strange)];
        return size == INT64_MIN || size == INT64_MAX || kind >= 240 ? size : size + kind % 3 - 1;
    }
    if (kind < 160)
        return low + kind % 4;
    if (kind < 208)
        return low + kind % 9;
    return low + (kind < 240 ? kind % 19 : kind % 49 + 16);
}

double fuzz_value(fuzz *f)
{
    const uint64_t bits = f->left > 0 ? fuzz_byte(f) * UINT64_C(0x9E3779B97F4A7C15) : next_random(f);
    if (f->values == FUZZ_INTEGERS)
        return bits >> 62 == 0 ? (double)(int64_t)(bits >> 32 & 7) - 3 : 0;
    return (double)(int64_t)(bits >> 11) / (double)(INT64_C(1) << 52) - 1;
}

cc_window fuzz_window(fuzz *f)
{
    cc_window w;
    const int64_t axes = fuzz_range(f, 1, 3);
    for (int axis = 0; axis < CC_AXES; axis++) {
        const bool used = axis >= CC_AXES - axes;
        w.input[axis] = used ? fuzz_size(f, 1) : 1;
        w.kernel[axis] = used ? fuzz_size(f, 1) : 1;
        const uint8_t plain = used ? fuzz_byte(f) : 0;
        w.stride[axis] = plain & 1 ? fuzz_size(f, 1) : 1;
        w.dilation[axis] = plain & 2 ? fuzz_size(f, 1) : 1;
        w.pad_before[axis] = plain & 4 ? fuzz_size(f, 0) : 0;
        w.pad_after[axis] = plain & 8 ? fuzz_size(f, 0) : w.pad_before[axis];
        if (!f->hostile && w.kernel[axis] > w.input[axis] + 4)
            w.kernel[axis] = w.kernel[axis] % 3 + 1;
    }
    return w;
}

bool fuzz_fits(const int64_t *dims, int count, int64_t *product)
{
    return cc_product(dims, count, product) == CC_OK && *product <= 1 << 14;
}

/* ---- arrays ---- */

void *fuzz_bytes(fuzz *f, int64_t bytes)
{
    if (bytes > MOST_BYTES)
        longjmp(f->abandon, 1);
    block *b = malloc(sizeof *b);
    b->memory = malloc((size_t)bytes);
    FUZZ_EXPECT(b->memory != NULL);
    b->next = f->blocks;
    f->blocks = b;
    return b->memory;
}

static void set(void *array, cc_dtype dtype, int64_t i, double value)
{
    if (dtype == CC_F32)
        ((float *)array)[i] = (float)value;
    else
        ((double *)array)[i] = value;
}

double fuzz_get(const void *array, cc_dtype dtype, int64_t i)
{
    return dtype == CC_F32 ? (double)((const float *)array)[i] : ((const double *)array)[i];
}

void *fuzz_array(fuzz *f, cc_dtype dtype, int64_t count, double **as_double)
{
    /* Off a vector's alignment by whole elements. */
    const int64_t size = (int64_t)cc_dtype_size(dtype), offset = fuzz_range(f, 0, 3);
    char *array = fuzz_bytes(f, (count + offset) * size);
    array += offset * size;
    for (int64_t i = 0; i < count; i++)
        set(array, dtype, i, fuzz_value(f));
    if (as_double != NULL) {
        *as_double = fuzz_bytes(f, count * (int64_t)sizeof(double));
        for (int64_t i = 0; i < count; i++)
            (*as_double)[i] = fuzz_get(array, dtype, i);
    }
    return array;
}

#define PATTERN 0xA5

void *fuzz_output(fuzz *f, cc_dtype dtype, int64_t count)
{
    const int64_t bytes = count * (int64_t)cc_dtype_size(dtype);
    return memset(fuzz_bytes(f, bytes), PATTERN, (size_t)bytes);
}

bool fuzz_untouched(const void *array, cc_dtype dtype, int64_t count)
{
    const unsigned char *bytes = array;
    for (int64_t i = 0; i < count * (int64_t)cc_dtype_size(dtype); i++)
        if (bytes[i] != PATTERN)
            return false;
    return true;
}

/* ---- verdicts ---- */

_Noreturn void fuzz_fail(const char *file, int line, const char *text)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, text);
    abort();
}

double fuzz_epsilon(cc_dtype dtype) { return dtype == CC_F32 ? 0x1p-23 : 0x1p-52; }

void fuzz_compare(const char *what, const void *y, cc_dtype dtype, const double *expected, int64_t count,
                  double tolerance, const double *scale, int64_t scales)
{
    for (int64_t i = 0; i < count; i++) {
        const double got = fuzz_get(y, dtype, i), bound = tolerance * scale[scales == 1 ? 0 : i];
        if (fabs(got - expected[i]) <= bound || got == expected[i] || (isnan(got) && isnan(expected[i])))
            continue;
        fprintf(stderr, "%s: element %lld is %.9g, expected %.9g within %.3g\n", what, (long long)i, got, expected[i],
                bound);
        abort();
    }
}

/* ---- the entry ---- */

#define ENTRY(name) name,
static void (*const operations[])(fuzz *f) = {OPERATIONS(ENTRY)};
#define COUNT ((int64_t)(sizeof operations / sizeof *operations))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static cc_context *contexts[CC_ISA_COUNT];
    static int usable[CC_ISA_COUNT], count;
    if (count == 0)
        for (int isa = 0; isa < CC_ISA_COUNT; isa++)
            if (cc_context_create((cc_isa)isa, 3, &contexts[isa]) == CC_OK) {
                cc_blas_set(contexts[isa]->blas, plain_sgemm, plain_dgemm, NULL, NULL);
                usable[count++] = isa;
            }
    fuzz f = {.data = data, .left = size, .random = 0x9E3779B97F4A7C15u};
    void (*operation)(fuzz *) = operations[fuzz_range(&f, 0, COUNT - 1)];
    const uint8_t mode = fuzz_byte(&f), seed = fuzz_byte(&f);
    f.context = contexts[usable[mode % count]];
    f.hostile = (mode & 0x80) != 0;
    f.values = mode & 0x40 ? FUZZ_REALS : FUZZ_INTEGERS;
    f.random ^= seed * UINT64_C(0xD1342543DE82EF95);
    cc_arena *arena = f.context->arena;
    const cc_arena_stats before = cc_arena_get_stats(arena);
    if (setjmp(f.abandon) == 0)
        operation(&f);
    const cc_arena_stats after = cc_arena_get_stats(arena);
    FUZZ_EXPECT(after.blocks == before.blocks && after.in_use == before.in_use);
    for (block *b = f.blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b->memory);
        free(b);
    }
    return 0;
}
