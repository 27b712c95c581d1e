#include "planes.h"

#include <string.h>

#define TAPS 9

/* Rows of a strip: as many as tiles or slides take at once in the middle of a plane, so often that a strip has this many
 * elements. */
#define TILE_STEP 6
#define SLIDE_STEP 4
#define STRIP_ELEMENTS (1 << 14)

/* Pixels of at least so many bytes are done in blocks of channels: pixels that far apart share few sets of the nearest
 * cache, and of whole ones too few stay there. */
#define LONG_PIXEL 2048
#define BLOCK_BYTES 512

/* Where vectors slide along the rows instead: the least sets, and what a block of the gradient for the weights has. */
#define SETS 16
#define SLIDING_BYTES 768

/* What two arrays together may have before they are asked for ahead and written past the caches: a good part of a large
 * last-level cache. */
#define AHEAD_BYTES (24 << 20)

/* Where two arrays are read, or scattered: pixels of more bytes than this are runs that the processor sees coming wherever
 * a row of them is entered. */
#define SHORT_PIXEL 256

/* Gradients for the weights: at most about this many chunks, a block of channels each, of this many bytes together,
 * each with sums of its own. The sums run over so many positions in the array's type, then in double. */
#define CHUNKS 16
#define CHUNK_BYTES (1 << 22)
#define POSITIONS 512

/* Vectors of channels that are worth a thread when chunks are added up. */
#define UNPACKED 8

typedef struct planes_job {
    const cc_context *context;
    const cc_depthwise_kernels *kernels;
    cc_dtype dtype;
    cc_depthwise_plane plane;
    int64_t planes, first_line, lines; /* lines of each plane, which strips share out */
    int64_t strip_lines, strips, items;
    int64_t source_bytes, target_bytes; /* of a plane */
    int64_t size;                       /* of the packed weights */
    int64_t block, blocks;              /* channels done together, and how often */
    bool spread;

    const char *source, *residual;
    const void *bias;
    bool relu;
    char *target;
    void *weights;

    int64_t chunks;
    double *sums; /* per chunk, like the packed weights */
    char *partial; /* per part, like the packed weights */
    void *gradient;
} planes_job;

bool cc_planes_suit(const cc_conv *conv)
{
    const cc_window *w = &conv->window;
    return conv->oc == conv->ic && w->kernel[0] == 1 && w->stride[0] == 1 && w->pad_before[0] == 0 &&
           w->pad_after[0] == 0 && w->kernel[1] == 3 && w->kernel[2] == 3 && w->dilation[1] == 1 &&
           w->dilation[2] == 1 && w->stride[1] == w->stride[2] && w->stride[1] <= 2;
}

static int64_t lanes_of(const planes_job *job)
{
    return job->dtype == CC_F32 ? job->context->kernels->lanes : job->context->kernels->lanes / 2;
}

/* Whether vectors of channels slide along the rows: where the last one is a part, which tiles would take window by window;
 * and where x and y stay in the caches and pixels, which lie apart, do not meet in few sets of the nearest one (64 take a
 * page). The gradient for the weights of short pixels is as fast in tiles. */
static bool slides(const planes_job *job, cc_pass pass, int64_t pixel)
{
    if (job->plane.channels % lanes_of(job) != 0)
        return true;
    const int64_t lines = pixel / 64, sets = pixel % 64 != 0 ? 64 : 64 / (lines & -lines);
    return job->plane.ahead == CC_AHEAD_NOTHING && sets >= SETS && (pass != CC_BACKWARD_WEIGHT || pixel >= LONG_PIXEL / 2);
}

static planes_job job_of(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    const bool back = pass == CC_BACKWARD_DATA;
    planes_job job = {.context = context, .kernels = &context->kernels->depthwise, .dtype = conv->dtype,
                      .planes = conv->n * w->input[0], .spread = back && w->stride[1] == 2};
    job.plane = (cc_depthwise_plane){.channels = conv->ic, .height = w->input[1], .width = w->input[2],
                                     .out_height = w->output[1], .out_width = w->output[2], .stride = w->stride[1],
                                     .top = w->pad_before[1], .left = w->pad_before[2]};
    cc_depthwise_plane *p = &job.plane;
    const int64_t pixel = p->channels * (int64_t)cc_dtype_size(job.dtype);
    const int64_t x_bytes = p->height * p->width * pixel, y_bytes = p->out_height * p->out_width * pixel;
    if (job.planes * (x_bytes + y_bytes) > AHEAD_BYTES) {
        const bool gathers = pass == CC_FORWARD || (back && !job.spread);
        p->ahead = gathers || pixel <= SHORT_PIXEL ? CC_AHEAD_IN_ORDER : CC_AHEAD_BELOW;
        p->past = true;
    }
    p->slides = slides(&job, pass, pixel);
    const int64_t bytes = p->slides ? (pass == CC_BACKWARD_WEIGHT ? SLIDING_BYTES : pixel)
                          : pixel < LONG_PIXEL ? pixel : BLOCK_BYTES;
    job.block = bytes / (int64_t)cc_dtype_size(job.dtype);
    job.blocks = cc_ceil_div(p->channels, job.block);
    job.source_bytes = back ? y_bytes : x_bytes;
    job.target_bytes = back ? x_bytes : y_bytes;
    job.lines = p->out_height;
    int64_t row = p->out_width * p->channels;
    if (job.spread) {
        job.first_line = (p->top + 1) / 2 - 1;
        job.lines = (p->height + p->top) / 2 - job.first_line;
        row = 2 * p->width * p->channels;
    } else if (back) {
        /* A convolution of dy with the weights turned around. */
        p->height = w->output[1];
        p->width = w->output[2];
        job.lines = p->out_height = w->input[1];
        p->out_width = w->input[2];
        p->top = 2 - p->top;
        p->left = 2 - p->left;
        row = p->out_width * p->channels;
    }
    const int64_t step = p->slides ? SLIDE_STEP : TILE_STEP;
    job.strip_lines = step * cc_max(1, STRIP_ELEMENTS / step / row);
    job.strips = cc_max(1, cc_ceil_div(job.lines - 1, job.strip_lines));
    job.items = job.planes * job.strips;
    job.size = cc_ceil_div(p->channels, lanes_of(&job)) * lanes_of(&job) * TAPS;
    return job;
}

/* Lines [*begin, *end) of an item: the first strip has one more, which sees padding. */
static int64_t lines_of(const planes_job *job, int64_t item, int64_t *begin, int64_t *end)
{
    const int64_t strip = item % job->strips, top = strip * job->strip_lines;
    *begin = job->first_line + (strip > 0 ? top + 1 : 0);
    *end = job->first_line + cc_min(top + 1 + job->strip_lines, job->lines);
    return item / job->strips;
}

static cc_depthwise_plane block_of(const planes_job *job, int64_t block)
{
    cc_depthwise_plane plane = job->plane;
    plane.begin = block * job->block;
    plane.end = cc_min(plane.begin + job->block, plane.channels);
    return plane;
}

static void run_items(void *argument, int64_t begin, int64_t end, int part)
{
    const planes_job *job = argument;
    (void)part;
    for (int64_t item = begin; item < end; item++) {
        int64_t first, last;
        const int64_t plane = lines_of(job, item, &first, &last);
        const char *source = job->source + plane * job->source_bytes;
        const char *residual = job->residual != NULL ? job->residual + plane * job->target_bytes : NULL;
        char *target = job->target + plane * job->target_bytes;
        for (int64_t b = 0; b < job->blocks; b++) {
            const cc_depthwise_plane block = block_of(job, b);
            if (job->spread)
                job->kernels->spread_plane[job->dtype](&block, first, last, source, job->weights, residual, target);
            else
                job->kernels->convolve_plane[job->dtype](&block, first, last, source, job->weights, job->bias, residual,
                                                         job->relu, target);
        }
    }
}

/* Where the packed weights have tap 0 of channel c; the others follow `lanes` apart. */
static int64_t place(int64_t lanes, int64_t c) { return c / lanes * lanes * TAPS + c % lanes; }

/* A scale of the sums is one of the weights. */
static void pack(const planes_job *job, bool turned, const void *w, const void *scale)
{
    const int64_t lanes = lanes_of(job), channels = job->plane.channels;
    const int64_t padded = job->size / TAPS - lanes;
    memset((char *)job->weights + padded * TAPS * (int64_t)cc_dtype_size(job->dtype), 0,
           (size_t)(lanes * TAPS) * cc_dtype_size(job->dtype));
#define PACK(T)                                                                      \
    do {                                                                             \
        T *restrict weights = job->weights;                                          \
        for (int64_t c = 0; c < channels; c++) {                                     \
            const T *from = (const T *)w + c * TAPS;                                 \
            T *to = weights + place(lanes, c);                                       \
            const T by = scale != NULL ? ((const T *)scale)[c] : 1;                  \
            for (int64_t t = 0; t < TAPS; t++)                                       \
                to[t * lanes] = from[turned ? TAPS - 1 - t : t] * by;                \
        }                                                                            \
    } while (0)
    if (job->dtype == CC_F32)
        PACK(float);
    else
        PACK(double);
#undef PACK
}

static cc_status run_images(planes_job *job, bool turned, const void *w, const void *scale)
{
    const cc_context *context = job->context;
    job->weights = cc_arena_alloc(context->arena, (size_t)job->size * cc_dtype_size(job->dtype));
    if (job->weights == NULL)
        return CC_ERR_MEMORY;
    pack(job, turned, w, scale);
    cc_parallel_for(context->pool, cc_parts(context->pool, job->items, 1), job->items, run_items, job);
    cc_arena_free(context->arena, job->weights);
    return CC_OK;
}

cc_status cc_planes_forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                            const void *b, const cc_epilogue *epilogue, void *y)
{
    planes_job job = job_of(context, conv, CC_FORWARD);
    job.source = x;
    job.bias = b;
    job.target = y;
    if (epilogue != NULL) {
        job.residual = epilogue->residual;
        job.relu = epilogue->relu;
    }
    return run_images(&job, false, w, epilogue != NULL ? epilogue->scale : NULL);
}

cc_status cc_planes_backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                                  const void *residual, void *dx)
{
    planes_job job = job_of(context, conv, CC_BACKWARD_DATA);
    job.source = dy;
    job.residual = residual;
    job.target = dx;
    return run_images(&job, !job.spread, w, NULL);
}

/* The packed weights that belong to a block. */
static int64_t weights_of(const planes_job *job, const cc_depthwise_plane *block, int64_t *begin)
{
    const int64_t lanes = lanes_of(job);
    *begin = block->begin * TAPS;
    return cc_ceil_div(block->end - block->begin, lanes) * lanes * TAPS;
}

/* Blocks of chunks; those of a chunk lie side by side. */
static void run_chunks(void *argument, int64_t begin, int64_t end, int part)
{
    const planes_job *job = argument;
    const int64_t positions = job->strip_lines * job->plane.out_width, element = (int64_t)cc_dtype_size(job->dtype);
    char *partial = job->partial + part * job->size * element;
    memset(partial, 0, (size_t)(job->size * element));
    for (int64_t i = begin; i < end; i++) {
        const int64_t chunk = i / job->blocks;
        const cc_depthwise_plane block = block_of(job, i % job->blocks);
        int64_t at, seen = 0;
        const int64_t size = weights_of(job, &block, &at);
        double *sums = job->sums + chunk * job->size + at;
        memset(sums, 0, (size_t)size * sizeof(double));
        const int64_t last_item = (chunk + 1) * job->items / job->chunks;
        for (int64_t item = chunk * job->items / job->chunks; item < last_item; item++) {
            int64_t first, last;
            const int64_t plane = lines_of(job, item, &first, &last);
            job->kernels->gradient_plane[job->dtype](&block, first, last, job->source + plane * job->source_bytes,
                                                     job->target + plane * job->target_bytes, partial);
            seen += positions;
            if (seen >= POSITIONS || item == last_item - 1) {
                job->kernels->drain[job->dtype](partial + at * element, size, sums);
                seen = 0;
            }
        }
    }
}

/* dw += the sums of all chunks, of the channels of vectors begin to end */
static void unpack(void *argument, int64_t begin, int64_t end, int part)
{
    const planes_job *job = argument;
    (void)part;
    const int64_t lanes = lanes_of(job), size = job->size;
    double *restrict sums = job->sums;
    for (int64_t k = 1; k < job->chunks; k++)
        for (int64_t i = begin * lanes * TAPS; i < end * lanes * TAPS; i++)
            sums[i] += sums[k * size + i];
    const int64_t last = cc_min(end * lanes, job->plane.channels);
    for (int64_t c = begin * lanes; c < last; c++)
        for (int64_t t = 0; t < TAPS; t++) {
            const double sum = sums[place(lanes, c) + t * lanes];
            if (job->dtype == CC_F32)
                ((float *)job->gradient)[c * TAPS + t] += (float)sum;
            else
                ((double *)job->gradient)[c * TAPS + t] += sum;
        }
}

cc_status cc_planes_backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                    void *dw)
{
    planes_job job = job_of(context, conv, CC_BACKWARD_WEIGHT);
    job.source = x;
    job.target = (void *)dy;
    job.gradient = dw;
    job.chunks = cc_max(1, cc_min(cc_ceil_div(CHUNKS, job.blocks), CHUNK_BYTES / 8 / job.size));
    job.chunks = cc_min(job.chunks, job.items);
    const int64_t vectors = job.size / TAPS / lanes_of(&job);
    const int parts = cc_parts(context->pool, job.chunks * job.blocks, 1);
    const size_t sums = (size_t)(job.chunks * job.size) * sizeof(double);
    char *memory = cc_arena_alloc(context->arena, sums + (size_t)(parts * job.size) * cc_dtype_size(job.dtype));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    job.sums = (double *)(void *)memory;
    job.partial = memory + sums;
    cc_parallel_for(context->pool, parts, job.chunks * job.blocks, run_chunks, &job);
    cc_parallel_for(context->pool, cc_parts(context->pool, vectors, UNPACKED), vectors, unpack, &job);
    cc_arena_free(context->arena, memory);
    return CC_OK;
}
