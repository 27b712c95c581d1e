#include "pad.h"

#include <string.h>

/* Values worth a thread. */
#define GRAIN 16384

typedef struct pad_job {
    const cc_context *context;
    const cc_padding *padding;
    const cc_pad_axis *last;
    int64_t size, unit;          /* bytes of an element, and of a position of the last axis */
    int64_t rows, padded_rows;   /* of the last axis in a whole of the others, of x and of y */
    int64_t begin, length;       /* the longest part of the last axis that lies in x as it does in y */
    double value;
    const char *from;
    char *to;
} pad_job;

static cc_status validate(const cc_padding *p)
{
    int64_t sizes[CC_PAD_AXES + 3] = {p->outer, p->inner, (int64_t)cc_dtype_size(p->dtype)}, padded[CC_PAD_AXES + 3], count;
    if (p->axes < 1 || p->axes > CC_PAD_AXES || p->outer < 0 || p->inner < 0 || sizes[2] == 0)
        return CC_ERR_ARGUMENT;
    memcpy(padded, sizes, sizeof padded);
    for (int a = 0; a < p->axes; a++) {
        sizes[a + 3] = p->axis[a].size;
        padded[a + 3] = p->axis[a].padded;
        if (sizes[a + 3] < 0 || padded[a + 3] < 0)
            return CC_ERR_ARGUMENT;
    }
    CC_TRY(cc_product(sizes, p->axes + 3, &count));
    CC_TRY(cc_product(padded, p->axes + 3, &count));
    for (int a = 0; a < p->axes; a++)
        for (int64_t i = 0; i < p->axis[a].padded; i++)
            if (p->axis[a].source[i] < -1 || p->axis[a].source[i] >= p->axis[a].size)
                return CC_ERR_INDEX;
    return CC_OK;
}

static pad_job job_of(const cc_context *context, const cc_padding *p, const void *from, void *to)
{
    pad_job job = {.context = context, .padding = p, .last = &p->axis[p->axes - 1], .size = (int64_t)cc_dtype_size(p->dtype),
                   .rows = 1, .padded_rows = 1, .from = from, .to = to};
    job.unit = p->inner * job.size;
    for (int a = 0; a < p->axes - 1; a++) {
        job.rows *= p->axis[a].size;
        job.padded_rows *= p->axis[a].padded;
    }
    const int64_t *source = job.last->source;
    for (int64_t i = 0, length; i < job.last->padded; i += length) {
        for (length = 1; i + length < job.last->padded && source[i] >= 0 && source[i + length] == source[i] + length;)
            length++;
        if (source[i] >= 0 && length > job.length) {
            job.begin = i;
            job.length = length;
        }
    }
    return job;
}

/* The row of x that a padded row comes from, or -1. */
static int64_t source_row(const pad_job *job, int64_t row)
{
    int64_t at = 0, scale = 1;
    for (int a = job->padding->axes - 2; a >= 0; a--) {
        const cc_pad_axis *axis = &job->padding->axis[a];
        const int64_t from = axis->source[row % axis->padded];
        if (from < 0)
            return -1;
        at += from * scale;
        scale *= axis->size;
        row /= axis->padded;
    }
    return at;
}

static void fill(const pad_job *job, char *to, int64_t positions)
{
    const int64_t n = positions * job->padding->inner;
    for (int64_t i = 0; i < n; i++)
        if (job->padding->dtype == CC_F32)
            ((float *)(void *)to)[i] = (float)job->value;
        else
            ((double *)(void *)to)[i] = job->value;
}

/* Positions [begin, end) of a row that do not lie side by side in x. */
static void copy_each(const pad_job *job, const char *from, char *to, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        if (job->last->source[i] < 0)
            fill(job, to + i * job->unit, 1);
        else
            memcpy(to + i * job->unit, from + job->last->source[i] * job->unit, (size_t)job->unit);
}

/* Items: rows of y. */
static void pad_rows(void *argument, int64_t begin, int64_t end, int part)
{
    const pad_job *job = argument;
    const int64_t main_end = job->begin + job->length;
    (void)part;
    for (int64_t r = begin; r < end; r++) {
        const int64_t source = source_row(job, r % job->padded_rows);
        char *to = job->to + r * job->last->padded * job->unit;
        if (source < 0) {
            fill(job, to, job->last->padded);
            continue;
        }
        const char *from = job->from + (r / job->padded_rows * job->rows + source) * job->last->size * job->unit;
        copy_each(job, from, to, 0, job->begin);
        if (job->length > 0)
            memcpy(to + job->begin * job->unit, from + job->last->source[job->begin] * job->unit,
                   (size_t)(job->length * job->unit));
        copy_each(job, from, to, main_end, job->last->padded);
    }
}

static void add(const pad_job *job, const char *from, char *to, int64_t positions)
{
    const cc_eltwise_kernels *kernels = &job->context->kernels->eltwise;
    const int64_t n = positions * job->padding->inner;
    if (job->padding->dtype == CC_F32)
        kernels->add_f32((const float *)(const void *)from, (const float *)(void *)to, (float *)(void *)to, n);
    else
        kernels->add_f64((const double *)(const void *)from, (const double *)(void *)to, (double *)(void *)to, n);
}

static void add_each(const pad_job *job, const char *from, char *to, int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++)
        if (job->last->source[i] >= 0)
            add(job, from + i * job->unit, to + job->last->source[i] * job->unit, 1);
}

/* Items: wholes of the axes, each summed in the order of dy. */
static void add_rows(void *argument, int64_t begin, int64_t end, int part)
{
    const pad_job *job = argument;
    const int64_t main_end = job->begin + job->length, row = job->last->size * job->unit;
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        char *whole = job->to + item * job->rows * row;
        memset(whole, 0, (size_t)(job->rows * row));
        for (int64_t r = 0; r < job->padded_rows; r++) {
            const int64_t source = source_row(job, r);
            if (source < 0)
                continue;
            const char *from = job->from + (item * job->padded_rows + r) * job->last->padded * job->unit;
            char *to = whole + source * row;
            if (job->length > 0)
                add(job, from + job->begin * job->unit, to + job->last->source[job->begin] * job->unit, job->length);
            add_each(job, from, to, 0, job->begin);
            add_each(job, from, to, main_end, job->last->padded);
        }
    }
}

static void run(const pad_job *job, int64_t items, int64_t values, cc_task task)
{
    const int64_t grain = cc_ceil_div(GRAIN, cc_max(1, values));
    cc_parallel_for(job->context->pool, cc_parts(job->context->pool, items, grain), items, task, (void *)job);
}

cc_status cc_pad_forward(const cc_context *context, const cc_padding *padding, const void *x, double value, void *y)
{
    CC_TRY(validate(padding));
    pad_job job = job_of(context, padding, x, y);
    job.value = value;
    if (job.last->padded * job.unit > 0)
        run(&job, padding->outer * job.padded_rows, job.last->padded * padding->inner, pad_rows);
    return CC_OK;
}

cc_status cc_pad_backward(const cc_context *context, const cc_padding *padding, const void *dy, void *dx)
{
    CC_TRY(validate(padding));
    pad_job job = job_of(context, padding, dy, dx);
    if (job.rows * job.last->size * job.unit > 0)
        run(&job, padding->outer, job.padded_rows * job.last->padded * padding->inner, add_rows);
    return CC_OK;
}
