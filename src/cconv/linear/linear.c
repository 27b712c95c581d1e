#include "linear.h"

#include "../gemm/gemm.h"

/* In float64 the product is cut into blocks of this size, each one single-threaded GEMM of BLAS: bits depend on
 * the shape alone. */
#define BLOCK_M 128
#define BLOCK_N 256
#define BIAS_COLUMNS 64

typedef struct product_job {
    const cc_context *context;
    bool trans_a, trans_b;
    int64_t m, n, k, blocks_n;
    const double *a, *b;
    double *c;
    int64_t lda, ldb;
    bool accumulate;
    const double *bias; /* added to every row, or NULL */
    bool relu;
} product_job;

static void multiply_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const product_job *job = argument;
    (void)part;
    for (int64_t block = begin; block < end; block++) {
        const int64_t i = block / job->blocks_n * BLOCK_M, j = block % job->blocks_n * BLOCK_N;
        const int64_t m = cc_min(BLOCK_M, job->m - i), n = cc_min(BLOCK_N, job->n - j);
        double *c = job->c + i * job->n + j;
        cc_blas_gemm(job->context->blas, CC_F64, job->trans_a, job->trans_b, m, n, job->k,
                     job->a + (job->trans_a ? i : i * job->lda), job->lda,
                     job->b + (job->trans_b ? j * job->ldb : j), job->ldb, job->accumulate ? 1.0 : 0.0, c, job->n);
        for (int64_t r = 0; r < m && (job->bias != NULL || job->relu); r++)
            for (int64_t o = 0; o < n; o++) {
                const double v = c[r * job->n + o] + (job->bias != NULL ? job->bias[j + o] : 0);
                c[r * job->n + o] = job->relu && v <= 0 ? 0 : v;
            }
    }
}

/* C (m x n) = [C +] op(A) op(B) + bias, then max(C, 0) with relu; contiguous. */
static cc_status multiply(const cc_context *context, cc_dtype dtype, bool trans_a, bool trans_b, int64_t m, int64_t n,
                          int64_t k, const void *a, const void *b, bool accumulate, void *c, const void *bias,
                          bool relu)
{
    /* BLAS asks for row lengths of at least 1. */
    const int64_t lda = cc_max(1, trans_a ? m : k), ldb = cc_max(1, trans_b ? k : n);
    if (dtype == CC_F32)
        return cc_gemm(context, trans_a, trans_b, m, n, k, a, lda, b, ldb, accumulate, c, cc_max(1, n),
                       &(cc_gemm_epilogue){.bias = bias, .relu = relu});
    product_job job = {
        .context = context, .trans_a = trans_a, .trans_b = trans_b, .m = m, .n = n, .k = k,
        .blocks_n = cc_ceil_div(n, BLOCK_N), .a = a, .b = b, .c = c, .lda = lda, .ldb = ldb,
        .accumulate = accumulate, .bias = bias, .relu = relu,
    };
    const int64_t blocks = cc_ceil_div(m, BLOCK_M) * job.blocks_n;
    CC_TRY(cc_blas_enter(context->blas));
    cc_parallel_each(context->pool, cc_parts(context->pool, blocks, 1), blocks, multiply_blocks, &job);
    cc_blas_leave(context->blas);
    return CC_OK;
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

cc_status cc_linear_forward(const cc_context *context, const cc_linear *linear, const void *x, const void *weight,
                            const void *bias, bool relu, void *y)
{
    CC_TRY(validate(linear));
    return multiply(context, linear->dtype, false, true, linear->rows, linear->out, linear->in, x, weight, false, y,
                    bias, relu);
}

cc_status cc_linear_backward(const cc_context *context, const cc_linear *linear, const void *dy, const void *x,
                             const void *weight, void *dx, void *dweight, void *dbias)
{
    const cc_dtype dtype = linear->dtype;
    CC_TRY(validate(linear));
    if (dx != NULL)
        CC_TRY(multiply(context, dtype, false, false, linear->rows, linear->in, linear->out, dy, weight, false, dx,
                        NULL, false));
    if (dweight != NULL)
        CC_TRY(multiply(context, dtype, true, false, linear->out, linear->in, linear->rows, dy, x, true, dweight,
                        NULL, false));
    if (dbias != NULL) {
        bias_job job = {.linear = linear, .dy = dy, .dbias = dbias};
        const int64_t blocks = cc_ceil_div(linear->out, BIAS_COLUMNS);
        const int64_t grain = cc_ceil_div(16384, cc_max(1, linear->rows * BIAS_COLUMNS));
        cc_parallel_for(context->pool, cc_parts(context->pool, blocks, grain), blocks, sum_columns, &job);
    }
    return CC_OK;
}

/* Blocks of dweight on their way to a sink: elements that stay in a core's cache, in rows so long that the sink reads
 * parameters in long streams, and whole panels of columns. Even the smallest block is too large for cc_gemm to treat
 * it unlike the whole product. */
#define SINK_BLOCK (160 << 10)
#define SINK_ROWS 16
#define SINK_COLUMNS 64
/* From so many rows of x on the order of a sum depends on the size of the product: it stays in one block. */
#define SINK_LONG_SUM 4096

typedef struct sink_job {
    const cc_context *context;
    const cc_linear *linear;
    const float *dy, *x;
    const cc_sink *sink;
    float *scratch;
    int64_t begin, row_blocks, column_blocks, block;
    int status;
} sink_job;

/* Where the i-th of `parts` near-equal ranges of [0, n) begins, a multiple of `unit`. */
static int64_t cut(int64_t n, int64_t unit, int64_t parts, int64_t i)
{
    const int64_t units = cc_ceil_div(n, unit);
    return cc_min(n, unit * (units / parts * i + cc_min(i, units % parts)));
}

static void sink_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    sink_job *job = argument;
    const cc_linear *l = job->linear;
    float *block = job->scratch + part * job->block;
    for (int64_t item = begin; item < end; item++) {
        const int64_t i = item / job->column_blocks, j = item % job->column_blocks;
        const int64_t top = cut(l->out, 1, job->row_blocks, i), rows = cut(l->out, 1, job->row_blocks, i + 1) - top;
        const int64_t left = cut(l->in, SINK_COLUMNS, job->column_blocks, j);
        const int64_t columns = cut(l->in, SINK_COLUMNS, job->column_blocks, j + 1) - left;
        const cc_status status = cc_gemm(job->context, true, false, rows, columns, l->rows, job->dy + top, l->out,
                                         job->x + left, l->in, false, block, columns, NULL);
        if (status != CC_OK) {
            __atomic_store_n(&job->status, (int)status, __ATOMIC_RELAXED);
            return;
        }
        for (int64_t r = 0; r < rows; r++)
            job->sink->take(job->sink, job->begin + (top + r) * l->in + left, columns, block + r * columns);
    }
}

static cc_status sink_whole(const cc_context *context, const cc_linear *l, const void *dy, const void *x,
                            const cc_sink *sink, int64_t begin, void *dweight)
{
    CC_TRY(multiply(context, l->dtype, true, false, l->out, l->in, l->rows, dy, x, false, dweight, NULL, false));
    cc_sink_give(context, sink, l->dtype, begin, l->out * l->in, dweight);
    return CC_OK;
}

cc_status cc_linear_backward_weight(const cc_context *context, const cc_linear *linear, const void *dy, const void *x,
                                    const cc_sink *sink, int64_t begin)
{
    CC_TRY(validate(linear));
    const int64_t in = linear->in, out = linear->out;
    if (in == 0 || out == 0)
        return CC_OK;
    const int64_t rows = cc_min(out, cc_max(SINK_ROWS, SINK_BLOCK / in)), columns = cc_min(in, SINK_BLOCK / rows);
    sink_job job = {
        .context = context, .linear = linear, .dy = dy, .x = x, .sink = sink, .begin = begin,
        .row_blocks = cc_ceil_div(out, rows), .column_blocks = cc_ceil_div(in, columns),
    };
    const int64_t blocks = job.row_blocks * job.column_blocks;
    const bool whole = blocks == 1 || linear->dtype != CC_F32 || linear->rows >= SINK_LONG_SUM;
    const int parts = whole ? 1 : cc_parts(context->pool, blocks, 1);
    job.block = whole ? out * in : cc_ceil_div(out, job.row_blocks) * (cc_ceil_div(in, job.column_blocks) + SINK_COLUMNS);
    job.scratch = cc_arena_alloc(context->arena, (size_t)(parts * job.block) * cc_dtype_size(linear->dtype));
    if (job.scratch == NULL)
        return CC_ERR_MEMORY;
    if (whole)
        job.status = sink_whole(context, linear, dy, x, sink, begin, job.scratch);
    else
        cc_parallel_each(context->pool, parts, blocks, sink_blocks, &job);
    cc_arena_free(context->arena, job.scratch);
    return (cc_status)job.status;
}
