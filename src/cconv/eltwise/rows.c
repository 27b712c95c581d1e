#include <string.h>

#include "eltwise.h"

/* Bytes worth a thread. */
#define GRAIN 65536

typedef struct rows_job {
    size_t bytes, step_from, step_to;
    const char *from;
    char *to;
} rows_job;

static void copy_rows(void *argument, int64_t begin, int64_t end, int part)
{
    const rows_job *job = argument;
    (void)part;
    for (int64_t i = begin; i < end; i++)
        memcpy(job->to + (size_t)i * job->step_to, job->from + (size_t)i * job->step_from, job->bytes);
}

cc_status cc_rows_copy(const cc_context *context, int64_t rows, int64_t bytes, const void *from, int64_t step_from,
                       void *to, int64_t step_to)
{
    int64_t size;
    if (rows < 0 || bytes < 0 || step_from < bytes || step_to < bytes)
        return CC_ERR_ARGUMENT;
    CC_TRY(cc_product((const int64_t[]){rows, step_from}, 2, &size));
    CC_TRY(cc_product((const int64_t[]){rows, step_to}, 2, &size));
    if (rows == 0 || bytes == 0)
        return CC_OK;
    rows_job job = {(size_t)bytes, (size_t)step_from, (size_t)step_to, from, to};
    cc_parallel_for(context->pool, cc_parts(context->pool, rows, cc_ceil_div(GRAIN, bytes)), rows, copy_rows, &job);
    return CC_OK;
}
