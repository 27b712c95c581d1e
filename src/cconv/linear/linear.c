#include "linear.h"

/* The product is cut into blocks of this size, each one single-threaded GEMM: bits depend on the shape alone. */
#define BLOCK_M 128
#define BLOCK_N 256
#define BIAS_COLUMNS 64

typedef struct product_job {
    const cc_context *context;
    cc_dtype dtype;
    bool trans_a, trans_b;
    int64_t m, n, k, blocks_n;
    const char *a, *b;
    char *c;
    int64_t lda, ldb;
    double beta;
    const char *bias; /* added to every row, or NULL */
} product_job;

static void add_bias(cc_dtype dtype, int64_t m, int64_t n, const void *bias, void *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            if (dtype == CC_F32)
                ((float *)c)[i * ldc + j] += ((const float *)bias)[j];
            else
                ((double *)c)[i * ldc + j] += ((const double *)bias)[j];
        }
}

static void multiply_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const product_job *job = argument;
    const int64_t size = (int64_t)cc_dtype_size(job->dtype);
    (void)part;
    for (int64_t block = begin; block < end; block++) {
        const int64_t i = block / job->blocks_n * BLOCK_M, j = block % job->blocks_n * BLOCK_N;
        const int64_t m = cc_min(BLOCK_M, job->m - i), n = cc_min(BLOCK_N, job->n - j);
        const char *a = job->a + (job->trans_a ? i : i * job->lda) * size;
        const char *b = job->b + (job->trans_b ? j * job->ldb : j) * size;
        char *c = job->c + (i * job->n + j) * size;
        cc_blas_gemm(job->context->blas, job->dtype, job->trans_a, job->trans_b, m, n, job->k, a, job->lda, b,
                     job->ldb, job->beta, c, job->n);
        if (job->bias != NULL)
            add_bias(job->dtype, m, n, job->bias + j * size, c, job->n);
    }
}

static void multiply(product_job *job)
{
    cc_pool *pool = job->context->pool;
    job->blocks_n = cc_ceil_div(job->n, BLOCK_N);
    const int64_t blocks = cc_ceil_div(job->m, BLOCK_M) * job->blocks_n;
    cc_parallel_for(pool, cc_parts(pool, blocks, 1), blocks, multiply_blocks, job);
}

typedef struct bias_job {
    const cc_linear *linear;
    const void *dy;
    void *dbias;
} bias_job;

static void sum_columns(void *argument, int64_t begin, int64_t end, int part)
{
    const bias_job *job = argument;
    const int64_t out = job->linear->out;
    const bool f32 = job->linear->dtype == CC_F32;
    (void)part;
    for (int64_t block = begin; block < end; block++) {
        const int64_t first = block * BIAS_COLUMNS, n = cc_min(BIAS_COLUMNS, out - first);
        double sums[BIAS_COLUMNS] = {0};
        for (int64_t r = 0; r < job->linear->rows; r++)
            for (int64_t j = 0; j < n; j++) {
                const int64_t at = r * out + first + j;
                sums[j] += f32 ? (double)((const float *)job->dy)[at] : ((const double *)job->dy)[at];
            }
        for (int64_t j = 0; j < n; j++) {
            if (f32)
                ((float *)job->dbias)[first + j] += (float)sums[j];
            else
                ((double *)job->dbias)[first + j] += sums[j];
        }
    }
}

static cc_status validate(const cc_linear *linear)
{
    int64_t count;
    if (linear->dtype != CC_F32 && linear->dtype != CC_F64)
        return CC_ERR_ARGUMENT;
    CC_TRY(cc_product((const int64_t[]){linear->rows, linear->in}, 2, &count));
    CC_TRY(cc_product((const int64_t[]){linear->rows, linear->out}, 2, &count));
    return cc_product((const int64_t[]){linear->in, linear->out}, 2, &count);
}

/* BLAS asks for row lengths of at least 1. */
static int64_t length(int64_t n) { return cc_max(n, 1); }

cc_status cc_linear_forward(const cc_context *context, const cc_linear *linear, const void *x, const void *weight,
                            const void *bias, void *y)
{
    CC_TRY(validate(linear));
    CC_TRY(cc_blas_enter(context->blas));
    product_job job = {.context = context, .dtype = linear->dtype, .trans_b = true, .m = linear->rows,
                       .n = linear->out, .k = linear->in, .a = x, .b = weight, .c = y, .lda = length(linear->in),
                       .ldb = length(linear->in), .bias = bias};
    multiply(&job);
    cc_blas_leave(context->blas);
    return CC_OK;
}

cc_status cc_linear_backward(const cc_context *context, const cc_linear *linear, const void *dy, const void *x,
                             const void *weight, void *dx, void *dweight, void *dbias)
{
    CC_TRY(validate(linear));
    CC_TRY(cc_blas_enter(context->blas));
    if (dx != NULL) {
        product_job job = {.context = context, .dtype = linear->dtype, .m = linear->rows, .n = linear->in,
                           .k = linear->out, .a = dy, .b = weight, .c = dx, .lda = length(linear->out),
                           .ldb = length(linear->in)};
        multiply(&job);
    }
    if (dweight != NULL) {
        product_job job = {.context = context, .dtype = linear->dtype, .trans_a = true, .m = linear->out,
                           .n = linear->in, .k = linear->rows, .a = dy, .b = x, .c = dweight,
                           .lda = length(linear->out), .ldb = length(linear->in), .beta = 1.0};
        multiply(&job);
    }
    cc_blas_leave(context->blas);
    if (dbias != NULL) {
        bias_job job = {.linear = linear, .dy = dy, .dbias = dbias};
        const int64_t blocks = cc_ceil_div(linear->out, BIAS_COLUMNS);
        const int64_t grain = cc_ceil_div(16384, cc_max(1, linear->rows * BIAS_COLUMNS));
        cc_parallel_for(context->pool, cc_parts(context->pool, blocks, grain), blocks, sum_columns, &job);
    }
    return CC_OK;
}
