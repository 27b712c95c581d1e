/* Depthwise convolution: every channel has kernels of its own. Channels-last, vectors of channels, arrays read where
 * they lie. Nothing is summed across channels, so memory is the limit, and each array is walked once, in order.
 */
#include <string.h>

#include "algo.h"
#include "spans.h"

/* Elements of the output in an item: it and its source stay in the second-level cache. */
#define ITEM_ELEMENTS (1 << 16)

/* Gradients for the weights: at most this many chunks, of this many bytes together, each with sums of its own. The
 * sums run over so many positions in the array's type, then in double. */
#define CHUNKS 16
#define CHUNK_BYTES (1 << 22)
#define POSITIONS 512

/* Pixels asked for ahead of a window, at most. */
#define AHEAD 4

/* Positions of dx made at a time where several outputs share an input channel. */
#define FOLD 16

typedef struct depthwise_job {
    const cc_context *context;
    const cc_conv *conv;
    cc_spans spans;
    int64_t outputs, multiplier;              /* channels of the conv's y, and how many a channel of x has */
    int64_t source_channels, target_channels; /* of x and y; the other way round in backward_data */

    /* An item is a strip of rows, of every phase, of one plane of an image. */
    int64_t strip_rows, strips, items;

    int64_t *taps; /* per part: offset and weight of every tap */
    const void *source, *scale, *bias, *residual;
    bool relu;
    void *target;
    void *weights; /* packed: [tap][output] */

    void *folds; /* per part: FOLD positions before channels are added up, or NULL */

    int64_t chunks;
    double *sums; /* per chunk, like the packed weights */
    void *partial; /* per part, like the packed weights */
} depthwise_job;

typedef void (*run_task)(const depthwise_job *job, const cc_depthwise_run *run, int part);

/* The taps of a block of windows that see the same: places in the source of the first window, and weights. */
static int64_t list_taps(const depthwise_job *job, int64_t image, const int64_t q[CC_AXES],
                         const cc_span *const span[CC_AXES], int64_t *offset, int64_t *weight)
{
    const cc_axis *a = job->spans.axis;
    const int64_t *kernel = job->conv->window.kernel;
    int64_t count = 0;
    for (int64_t d = span[0]->first; d < span[0]->last; d++)
        for (int64_t h = span[1]->first; h < span[1]->last; h++)
            for (int64_t v = span[2]->first; v < span[2]->last; v++) {
                const int64_t plane = image * a[0].size + q[0] * a[0].step + a[0].shift[d];
                const int64_t row = plane * a[1].size + q[1] * a[1].step + a[1].shift[h];
                const int64_t column = row * a[2].size + q[2] * a[2].step + a[2].shift[v];
                offset[count] = column * job->source_channels;
                weight[count++] = ((a[0].kernel[d] * kernel[1] + a[1].kernel[h]) * kernel[2] + a[2].kernel[v]) * job->outputs;
            }
    return count;
}

/* The pixels that a window two rows further down is the first to see: as many as lie between windows. */
static int64_t list_ahead(const depthwise_job *job, const cc_depthwise_run *run, int64_t *ahead)
{
    const cc_axis *a = job->spans.axis;
    if (a[1].step > AHEAD || a[2].step > AHEAD || a[1].step * a[2].step > AHEAD || run->taps == 0)
        return 0;
    int64_t count = 0;
    for (int64_t h = 0; h < a[1].step; h++)
        for (int64_t v = 0; v < a[2].step; v++)
            ahead[count++] = run->offset[run->taps - 1] + 2 * run->x_row -
                             (h * a[2].size + v) * job->source_channels;
    return count;
}

/* Rows [q[1], q[1] + rows), which see the same taps, of one phase. */
static void walk_rows(const depthwise_job *job, int64_t image, int64_t q[CC_AXES], const int64_t phase[CC_AXES],
                      const cc_span *span[CC_AXES], int64_t rows, int part, run_task task)
{
    const cc_axis *a = job->spans.axis;
    const int64_t every = cc_volume(job->conv->window.kernel);
    int64_t *offset = job->taps + part * 2 * every, *weight = offset + every;
    cc_depthwise_run run = {.rows = rows, .channels = job->outputs, .multiplier = job->multiplier,
                            .x_row = a[1].step * a[2].size * job->source_channels,
                            .x_step = a[2].step * job->source_channels,
                            .y_row = a[1].out_step * a[2].out * job->target_channels,
                            .y_step = a[2].out_step * job->target_channels, .offset = offset, .weight = weight};
    int64_t ahead[AHEAD];
    run.ahead_offset = ahead;
    const int64_t plane = image * a[0].out + phase[0] + q[0] * a[0].out_step;
    const int64_t row = plane * a[1].out + phase[1] + q[1] * a[1].out_step;
    const cc_line *line = &a[2].line[phase[2]];
    for (int64_t s = 0; s < line->spans; s++) {
        span[2] = &line->span[s];
        q[2] = span[2]->start;
        run.windows = span[2]->count;
        run.taps = list_taps(job, image, q, span, offset, weight);
        run.ahead = list_ahead(job, &run, ahead);
        run.y_first = (row * a[2].out + phase[2] + q[2] * a[2].out_step) * job->target_channels;
        task(job, &run, part);
    }
}

/* Every window of an item. */
static void walk(const depthwise_job *job, int64_t item, int part, run_task task)
{
    const cc_axis *a = job->spans.axis;
    const int64_t strip = item % job->strips, z = item / job->strips % a[0].out;
    const int64_t image = item / job->strips / a[0].out, top = strip * job->strip_rows;
    int64_t phase[CC_AXES] = {z % a[0].out_step}, q[CC_AXES] = {z / a[0].out_step};
    const cc_span *span[CC_AXES] = {a[0].line[phase[0]].span};
    while (q[0] >= span[0]->start + span[0]->count)
        span[0]++;
    for (phase[1] = 0; phase[1] < a[1].lines; phase[1]++) {
        const cc_line *line = &a[1].line[phase[1]];
        for (int64_t s = 0; s < line->spans; s++) {
            span[1] = &line->span[s];
            q[1] = cc_max(top, span[1]->start);
            const int64_t rows = cc_min(top + job->strip_rows, span[1]->start + span[1]->count) - q[1];
            if (rows > 0)
                for (phase[2] = 0; phase[2] < a[2].lines; phase[2]++)
                    walk_rows(job, image, q, phase, span, rows, part, task);
        }
    }
}

static void convolve(const depthwise_job *job, const cc_depthwise_run *run, int part)
{
    (void)part;
    job->context->kernels->depthwise.convolve[job->conv->dtype](run, job->source, job->weights, job->bias,
                                                                job->residual, job->relu, job->target);
}

/* backward_data where several outputs share an input channel: dx of each output, then their sums. */
static void convolve_folded(const depthwise_job *job, const cc_depthwise_run *run, int part)
{
    const cc_depthwise_kernels *kernels = &job->context->kernels->depthwise;
    const cc_dtype dtype = job->conv->dtype;
    const int64_t element = (int64_t)cc_dtype_size(dtype);
    char *folds = (char *)job->folds + part * FOLD * job->outputs * element;
    const char *source = job->source;
    for (int64_t r = 0; r < run->rows; r++)
        for (int64_t i = 0; i < run->windows; i += FOLD) {
            cc_depthwise_run some = *run;
            some.rows = 1;
            some.windows = cc_min(FOLD, run->windows - i);
            some.y_first = 0;
            some.y_step = job->outputs;
            kernels->convolve[dtype](&some, source + (r * run->x_row + i * run->x_step) * element, job->weights, NULL,
                                     NULL, false, folds);
            for (int64_t k = 0; k < some.windows; k++)
                kernels->fold[dtype](folds + k * job->outputs * element, job->target_channels,
                                     job->outputs / job->target_channels,
                                     (char *)job->target +
                                         (run->y_first + r * run->y_row + (i + k) * run->y_step) * element);
        }
}

static void run_items(void *argument, int64_t begin, int64_t end, int part)
{
    const depthwise_job *job = argument;
    for (int64_t item = begin; item < end; item++)
        walk(job, item, part, job->folds != NULL ? convolve_folded : convolve);
}

static void add_gradient(const depthwise_job *job, const cc_depthwise_run *run, int part)
{
    const int64_t size = cc_volume(job->conv->window.kernel) * job->outputs;
    char *partial = (char *)job->partial + part * size * (int64_t)cc_dtype_size(job->conv->dtype);
    job->context->kernels->depthwise.gradient[job->conv->dtype](run, job->source, job->target, partial);
}

static void run_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const depthwise_job *job = argument;
    const cc_dtype dtype = job->conv->dtype;
    const int64_t size = cc_volume(job->conv->window.kernel) * job->outputs;
    const int64_t positions = job->strip_rows * job->spans.axis[2].out;
    char *partial = (char *)job->partial + part * size * (int64_t)cc_dtype_size(dtype);
    for (int64_t chunk = begin; chunk < end; chunk++) {
        double *sums = job->sums + chunk * size;
        memset(sums, 0, (size_t)size * sizeof(double));
        memset(partial, 0, (size_t)size * cc_dtype_size(dtype));
        int64_t seen = 0;
        const int64_t last = (chunk + 1) * job->items / job->chunks;
        for (int64_t item = chunk * job->items / job->chunks; item < last; item++) {
            walk(job, item, part, add_gradient);
            seen += positions;
            if (seen >= POSITIONS || item == last - 1) {
                job->context->kernels->depthwise.drain[dtype](partial, size, sums);
                seen = 0;
            }
        }
    }
}

static bool lies_last(cc_layout layout, int64_t channels, const int64_t spatial[CC_AXES])
{
    return layout == CC_CHANNELS_LAST || channels == 1 || cc_volume(spatial) == 1;
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)context, (void)pass;
    return conv->groups == conv->ic && lies_last(conv->x_layout, conv->ic, conv->window.input) &&
           lies_last(conv->y_layout, conv->oc, conv->window.output);
}

/* With one group it is a convolution like others. */
static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)context, (void)pass;
    return conv->groups > 1;
}

/* Spans, items and taps; free job->spans.memory and job->taps. */
static cc_status start(depthwise_job *job, cc_pass pass, int *parts)
{
    const cc_conv *conv = job->conv;
    CC_TRY(cc_spans_create(job->context, conv, pass, &job->spans));
    const cc_axis *a = job->spans.axis;
    const int64_t rows = a[1].line[0].grid, row = cc_ceil_div(a[2].out * a[1].lines * job->outputs, 2);
    job->strip_rows = cc_min(rows, 2 * cc_max(1, ITEM_ELEMENTS / 4 / row));
    job->strips = cc_ceil_div(rows, job->strip_rows);
    job->items = conv->n * a[0].out * job->strips;
    *parts = cc_parts(job->context->pool, job->items, 1);
    job->taps = cc_arena_alloc(job->context->arena,
                               (size_t)(*parts * 2 * cc_volume(conv->window.kernel)) * sizeof(int64_t));
    if (job->taps == NULL) {
        cc_arena_free(job->context->arena, job->spans.memory);
        return CC_ERR_MEMORY;
    }
    return CC_OK;
}

static void finish(const depthwise_job *job, void *memory)
{
    cc_arena_free(job->context->arena, memory);
    cc_arena_free(job->context->arena, job->taps);
    cc_arena_free(job->context->arena, job->spans.memory);
}

/* A scale of the sums is one of the weights. */
static void pack(const depthwise_job *job, const void *w)
{
    const int64_t taps = cc_volume(job->conv->window.kernel);
    for (int64_t t = 0; t < taps; t++)
        for (int64_t o = 0; o < job->outputs; o++) {
            const int64_t to = t * job->outputs + o, from = o * taps + t;
            if (job->conv->dtype == CC_F32)
                ((float *)job->weights)[to] =
                    ((const float *)w)[from] * (job->scale != NULL ? ((const float *)job->scale)[o] : 1);
            else
                ((double *)job->weights)[to] =
                    ((const double *)w)[from] * (job->scale != NULL ? ((const double *)job->scale)[o] : 1);
        }
}

/* The passes that make an image. */
static cc_status run_images(depthwise_job *job, cc_pass pass, const void *w)
{
    const size_t element = cc_dtype_size(job->conv->dtype);
    const bool folded = pass == CC_BACKWARD_DATA && job->source_channels != job->target_channels;
    const int64_t weights = cc_ceil_div(cc_volume(job->conv->window.kernel) * job->outputs, 16) * 16;
    int parts;
    CC_TRY(start(job, pass, &parts));
    char *memory = cc_arena_alloc(job->context->arena,
                                  (size_t)(weights + (folded ? parts * FOLD * job->outputs : 0)) * element);
    if (memory != NULL) {
        job->weights = memory;
        job->folds = folded ? memory + weights * (int64_t)element : NULL;
        pack(job, w);
        cc_parallel_for(job->context->pool, parts, job->items, run_items, job);
    }
    finish(job, memory);
    return memory != NULL ? CC_OK : CC_ERR_MEMORY;
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                         const void *b, const cc_epilogue *epilogue, void *y)
{
    depthwise_job job = {.context = context, .conv = conv, .outputs = conv->oc, .multiplier = conv->oc / conv->ic,
                         .source_channels = conv->ic, .target_channels = conv->oc, .source = x, .bias = b,
                         .target = y};
    if (epilogue != NULL) {
        job.scale = epilogue->scale;
        job.residual = epilogue->residual;
        job.relu = epilogue->relu;
    }
    return run_images(&job, CC_FORWARD, w);
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    depthwise_job job = {.context = context, .conv = conv, .outputs = conv->oc, .multiplier = 1,
                         .source_channels = conv->oc, .target_channels = conv->ic, .source = dy, .target = dx};
    if (conv->oc == conv->ic)
        job.residual = residual;
    CC_TRY(run_images(&job, CC_BACKWARD_DATA, w));
    if (conv->oc != conv->ic && residual != NULL)
        cc_conv_add_residual(context, conv, residual, dx);
    return CC_OK;
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                 void *dw)
{
    depthwise_job job = {.context = context, .conv = conv, .outputs = conv->oc, .multiplier = conv->oc / conv->ic,
                         .source_channels = conv->ic, .target_channels = conv->oc, .source = x, .target = (void *)dy};
    const int64_t taps = cc_volume(conv->window.kernel), size = taps * conv->oc;
    int parts;
    CC_TRY(start(&job, CC_BACKWARD_WEIGHT, &parts));
    job.chunks = cc_min(job.items, cc_max(1, cc_min(CHUNKS, CHUNK_BYTES / 8 / size)));
    parts = cc_parts(context->pool, job.chunks, 1);
    const size_t sums = (size_t)(job.chunks * size) * sizeof(double);
    char *memory = cc_arena_alloc(context->arena, sums + (size_t)(parts * size) * cc_dtype_size(conv->dtype));
    if (memory != NULL) {
        job.sums = (double *)(void *)memory;
        job.partial = memory + sums;
        cc_parallel_for(context->pool, parts, job.chunks, run_chunks, &job);
        for (int64_t k = 1; k < job.chunks; k++)
            for (int64_t i = 0; i < size; i++)
                job.sums[i] += job.sums[k * size + i];
        for (int64_t t = 0; t < taps; t++)
            for (int64_t o = 0; o < conv->oc; o++) {
                const double sum = job.sums[t * conv->oc + o];
                if (conv->dtype == CC_F32)
                    ((float *)dw)[o * taps + t] += (float)sum;
                else
                    ((double *)dw)[o * taps + t] += sum;
            }
    }
    finish(&job, memory);
    return memory != NULL ? CC_OK : CC_ERR_MEMORY;
}

const cc_conv_algo cc_conv_depthwise = {
    .name = "depthwise",
    .skips_padding = true,
    .fuses = true,
    .supports = supports,
    .pays = pays,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
