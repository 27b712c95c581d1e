/* eltwise/reorder.c -- from one memory order to the other, block by block: what a block reads and writes stays in the
 * nearest cache until whole lines of it are done. */
#include "../gemm/transpose.h"
#include "eltwise.h"

/* Elements of a block, and of its rows where there are many. */
#define BLOCK 4096
#define ROWS 64
/* Both sides of a block are multiples of what a vector may hold. */
#define UNIT 16
/* Blocks worth a thread. */
#define GRAIN 4

typedef struct reorder_job {
    const cc_context *context;
    cc_dtype dtype;
    int64_t rows, columns;
    int64_t tall, wide, down, across; /* size of a block, and how many cover a matrix */
    const char *x;
    char *y;
} reorder_job;

static void reorder_blocks(void *argument, int64_t begin, int64_t end, int part)
{
    const reorder_job *job = argument;
    const int64_t element = (int64_t)cc_dtype_size(job->dtype);
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        const int64_t column = item / job->down % job->across * job->wide, row = item % job->down * job->tall;
        const int64_t rows = cc_min(job->tall, job->rows - row), columns = cc_min(job->wide, job->columns - column);
        const int64_t image = item / (job->down * job->across) * job->rows * job->columns;
        const char *x = job->x + (image + row * job->columns + column) * element;
        char *y = job->y + (image + column * job->rows + row) * element;
        cc_transpose(job->context->kernels, job->dtype, rows, columns, x, job->columns, y, job->rows);
    }
}

/* So that no block is much smaller than another. */
static int64_t side_of(int64_t size, int64_t most)
{
    return cc_ceil_div(cc_ceil_div(size, cc_ceil_div(size, most)), UNIT) * UNIT;
}

cc_status cc_reorder(const cc_context *context, cc_dtype dtype, int64_t n, int64_t rows, int64_t columns, const void *x,
                     void *y)
{
    int64_t size;
    if (n < 0 || rows < 0 || columns < 0 || cc_dtype_size(dtype) == 0)
        return CC_ERR_ARGUMENT;
    CC_TRY(cc_product((const int64_t[]){n, rows, columns, (int64_t)cc_dtype_size(dtype)}, 4, &size));
    if (size == 0)
        return CC_OK;
    reorder_job job = {.context = context, .dtype = dtype, .rows = rows, .columns = columns, .x = x, .y = y};
    job.tall = side_of(rows, ROWS);
    job.wide = side_of(columns, BLOCK / job.tall);
    job.down = cc_ceil_div(rows, job.tall);
    job.across = cc_ceil_div(columns, job.wide);
    const int64_t blocks = n * job.down * job.across;
    cc_parallel_for(context->pool, cc_parts(context->pool, blocks, GRAIN), blocks, reorder_blocks, &job);
    return CC_OK;
}
