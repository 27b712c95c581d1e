#include "machine.h"

/* Floats of B's panel stay well below a first-level cache: DEPTH x 4 vectors of 16. */
#define DEPTH 64
#define LARGEST_LANES 16
#define STEP 4096

typedef struct job {
    const cc_kernels *kernels;
    int64_t rounds;
} job;

static void multiply(void *argument, int64_t begin, int64_t end, int part)
{
    (void)part;
    const job *j = argument;
    const int vectors = j->kernels->gemm.max_vectors, rows = j->kernels->gemm.max_rows[vectors];
    const int64_t width = vectors * j->kernels->lanes;
    float a[CC_TILE_MAX_ROWS * DEPTH], b[DEPTH * CC_TILE_MAX_VECTORS * LARGEST_LANES];
    float c[CC_TILE_MAX_ROWS * CC_TILE_MAX_VECTORS * LARGEST_LANES];
    for (int64_t i = 0; i < rows * DEPTH; i++)
        a[i] = 0.5F;
    for (int64_t i = 0; i < DEPTH * width; i++)
        b[i] = 0.25F;
    for (int64_t i = begin; i < end; i++)
        for (int64_t round = 0; round < j->rounds; round++)
            j->kernels->gemm.tile[vectors][rows](1, NULL, DEPTH, a, DEPTH, 1, b, width, c, width, false, NULL);
}

cc_status cc_machine_multiply(const cc_context *context, int64_t rounds, double *operations)
{
    if (context == NULL || operations == NULL || rounds < 1 || context->kernels->lanes > LARGEST_LANES)
        return CC_ERR_ARGUMENT;
    const int threads = cc_pool_threads(context->pool);
    job j = {context->kernels, rounds};
    cc_parallel_for(context->pool, threads, threads, multiply, &j);
    const int vectors = context->kernels->gemm.max_vectors;
    const double tile = (double)context->kernels->gemm.max_rows[vectors] * vectors * (double)context->kernels->lanes;
    *operations = 2 * tile * DEPTH * (double)rounds * threads;
    return CC_OK;
}

typedef struct arrays {
    const float *b, *c;
    float *a;
    int64_t n;
} arrays;

static void triad(void *argument, int64_t begin, int64_t end, int part)
{
    (void)part;
    const arrays *p = argument;
    const int64_t last = end * STEP < p->n ? end * STEP : p->n;
    for (int64_t i = begin * STEP; i < last; i++)
        p->a[i] = p->b[i] + 3 * p->c[i];
}

cc_status cc_machine_triad(const cc_context *context, int64_t n, const float *b, const float *c, float *a)
{
    if (context == NULL || n < 0 || n > INT64_MAX - STEP || (n > 0 && (a == NULL || b == NULL || c == NULL)))
        return CC_ERR_ARGUMENT;
    arrays p = {b, c, a, n};
    const int64_t steps = (n + STEP - 1) / STEP;
    cc_parallel_for(context->pool, cc_parts(context->pool, steps, 1), steps, triad, &p);
    return CC_OK;
}
