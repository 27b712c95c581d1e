/* Direct convolution of images so small that a good part of the taps fall beyond their edge: these are left out,
 * and the images of a batch take the place of the positions as rows of the products.
 *
 *   for each output position:  y(images x OC) = SUM over its terms  x[input position](images x IC) w[tap](IC x OC)
 *
 * A term joins an output position and an input position by a tap that lies inside the image. A 3x3 kernel has 16
 * of them on a 2x2 image, where 36 taps are. Sources are first copied position by position, with rows that do not
 * collide in the cache; kernels are packed panel by panel where they are used, so that they need not leave it.
 */
#include <string.h>

#include "../gemm/gemm.h"
#include "direct.h"

/* Terms of a convolution that is small, and images that fill a tile. Of weight gradients: rows of a panel of x that
 * stays in the second-level cache. */
#define MAX_TERMS 512
#define FEW_IMAGES 8
#define MAX_ROWS (4 << 10)
/* Taps in a run: as many as stand side by side in a kernel that is small. Of weight gradients: terms, and their sum. */
#define MAX_RUN 16
#define MAX_SUM 512
/* Floats by which rows of a copy are longer than their channels. */
#define APART 16
/* Positions copied at once, while those after them are fetched. */
#define COPIED 8

typedef struct term {
    int64_t to, from, tap; /* the position computed, the position read */
} term;

/* A channels-last image, as panels of `width` channels: [panel][position][image][pitch]. */
typedef struct slab {
    const cc_context *context;
    const float *image;
    int64_t positions, channels, n, width, panels, pitch;
    float *data;
} slab;

typedef struct small_job {
    const cc_context *context;
    term terms[MAX_TERMS]; /* by `to` (for the weights: by tap), then in order of taps */
    int64_t count, n, taps, positions;
    slab from, dy;
    int64_t outputs, width; /* channels computed, and of a panel */
    int64_t row;            /* weights of an output channel */
    const float *w;
    bool turned;
    float *y, *dw;
    const cc_sink *sink; /* instead of dw */
    int64_t sink_begin;
    const float *bias;
    cc_epilogue epilogue;
    float *scratch;
    int64_t scratch_size; /* of a part */
} small_job;

/* The terms in order of output positions; their number, or MAX_TERMS + 1 for too many. */
static int64_t list_terms(const cc_window *w, term *terms)
{
    int64_t count = 0;
    const int64_t outputs = cc_volume(w->output), taps = cc_volume(w->kernel);
    for (int64_t q = 0; q < outputs; q++)
        for (int64_t t = 0; t < taps; t++) {
            const int64_t out[CC_AXES] = {q / w->output[2] / w->output[1], q / w->output[2] % w->output[1],
                                          q % w->output[2]};
            const int64_t tap[CC_AXES] = {t / w->kernel[2] / w->kernel[1], t / w->kernel[2] % w->kernel[1],
                                          t % w->kernel[2]};
            int64_t from = 0;
            bool inside = true;
            for (int axis = 0; axis < CC_AXES; axis++) {
                const int64_t at =
                    out[axis] * w->stride[axis] + tap[axis] * w->dilation[axis] - w->pad_before[axis];
                inside = inside && at >= 0 && at < w->input[axis];
                from = from * w->input[axis] + at;
            }
            if (!inside)
                continue;
            if (count == MAX_TERMS)
                return MAX_TERMS + 1;
            terms[count++] = (term){q, from, t};
        }
    return count;
}

bool cc_direct_small(const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    term terms[MAX_TERMS];
    int64_t taps, rest;
    if (conv->groups != 1 || conv->n < FEW_IMAGES || conv->x_layout != CC_CHANNELS_LAST)
        return false;
    if (cc_product(w->output, CC_AXES, &rest) != CC_OK || cc_product(w->kernel, CC_AXES, &taps) != CC_OK ||
        taps > 4 * MAX_TERMS || rest > MAX_TERMS || rest * taps > 4 * MAX_TERMS)
        return false;
    const int64_t count = list_terms(w, terms);
    if (pass == CC_BACKWARD_WEIGHT && cc_volume(w->input) > MAX_ROWS / conv->n)
        return false;
    return count <= MAX_TERMS && 20 * count <= 19 * rest * taps;
}

/* By tap, then `to`, or the other way round; no two terms have both. */
static bool comes_before(const term *a, const term *b, bool by_tap)
{
    if (by_tap ? a->tap == b->tap : a->to != b->to)
        return a->to < b->to;
    return a->tap < b->tap;
}

static void order_terms(small_job *job, bool by_tap)
{
    term *terms = job->terms;
    for (int64_t gap = job->count / 2; gap > 0; gap /= 2)
        for (int64_t i = gap; i < job->count; i++) {
            const term t = terms[i];
            int64_t j = i;
            for (; j >= gap && comes_before(&t, &terms[j - gap], by_tap); j -= gap)
                terms[j] = terms[j - gap];
            terms[j] = t;
        }
}

static void lay_out(const cc_context *context, slab *s, const float *image, int64_t n, int64_t positions,
                    int64_t channels)
{
    *s = (slab){.context = context, .image = image, .positions = positions, .channels = channels, .n = n,
                .width = channels, .panels = 1, .pitch = cc_ceil_div(channels, 16) * 16 + APART};
}

/* Rows of a panel follow one another, so none collide. */
static void cut(slab *s, int64_t width)
{
    s->width = width;
    s->panels = cc_ceil_div(s->channels, width);
    s->pitch = cc_ceil_div(width, 16) * 16;
}

static float *panel_of(const slab *s, int64_t panel) { return s->data + panel * s->positions * s->n * s->pitch; }

static int64_t floats_of(const slab *s) { return s->panels * s->positions * s->n * s->pitch; }

/* Items: images. */
static void copy_images(void *argument, int64_t begin, int64_t end, int part)
{
    static const cc_gemm_epilogue nothing = {0};
    const slab *s = argument;
    const int64_t last = end * s->positions;
    (void)part;
    for (int64_t i = begin; i < end; i++)
        for (int64_t p = 0, count; p < s->positions; p += count) {
            count = cc_min(COPIED, s->positions - p);
            const int64_t at = i * s->positions + p, after = at + count;
            cc_direct_fetch(s->image + after * s->channels, cc_min(COPIED, last - after) * s->channels);
            for (int64_t panel = 0; panel < s->panels; panel++) {
                const int64_t first = panel * s->width, valid = cc_min(s->width, s->channels - first);
                float *to = panel_of(s, panel) + (p * s->n + i) * s->pitch;
                s->context->kernels->gemm.finish(count, valid, s->image + at * s->channels + first, s->channels, to,
                                                 s->n * s->pitch, false, &nothing);
                for (int64_t q = 0; q < count && valid < s->width; q++)
                    memset(to + q * s->n * s->pitch + valid, 0, (size_t)(s->width - valid) * sizeof(float));
            }
        }
}

static void fill(slab *s, float *data)
{
    cc_pool *pool = s->context->pool;
    s->data = data;
    cc_parallel_for(pool, cc_parts(pool, s->n, cc_ceil_div(16384, s->positions * s->channels)), s->n, copy_images, s);
}

/* The kernels of `valid` computed channels from `first`, as packed[tap][summed channel][width]. */
static void pack_weights(const small_job *job, int64_t first, int64_t valid, int64_t width, float *piece,
                         float *packed)
{
    const cc_gemm_kernels *gemm = &job->context->kernels->gemm;
    const int64_t channels = job->from.channels, taps = job->taps;
    const int64_t step = job->turned ? 1 : 16;
    for (int64_t c = 0; c < channels; c += step) {
        const int64_t count = cc_min(step, channels - c);
        if (job->turned) { /* summed are output channels: valid x taps lie side by side */
            cc_direct_fetch(job->w + cc_min(channels - 1, c + CC_DIRECT_AHEAD) * job->row + first * taps, valid * taps);
            gemm->transpose(valid, taps, job->w + c * job->row + first * taps, taps, piece, width, width);
        } else
            gemm->transpose(valid, count * taps, job->w + first * job->row + c * taps, job->row, piece, width, width);
        const float *from = piece;
        for (int64_t i = 0; i < count; i++)
            for (int64_t t = 0; t < taps; t++, from += width)
                memcpy(packed + (t * channels + c + i) * width, from, (size_t)width * sizeof(float));
    }
}

/* Terms from `i` on that have the same key and taps (for the weights: source rows) side by side. */
static int64_t run_length(const small_job *job, int64_t i)
{
    const term *t = job->terms;
    int64_t length = 1;
    while (length < MAX_RUN && i + length < job->count && t[i + length].to == t[i].to &&
           t[i + length].tap == t[i].tap + length)
        length++;
    return length;
}

/* Items: panels of computed channels. */
static void run_panels(void *argument, int64_t begin, int64_t end, int part)
{
    const small_job *job = argument;
    const cc_gemm_kernels *gemm = &job->context->kernels->gemm;
    const float *scale = job->epilogue.scale;
    const int64_t channels = job->from.channels, ldy = job->positions * job->outputs;
    float *spare = job->scratch + part * job->scratch_size, *piece = spare + CC_TILE_MAX_ROWS * job->width;
    float *packed = piece + 16 * job->taps * job->width;
    int64_t offset[MAX_RUN];
    for (int64_t p = begin; p < end; p++) {
        const int64_t first = p * job->width, valid = cc_min(job->width, job->outputs - first);
        const int64_t width = cc_gemm_padded(job->context->kernels, valid);
        const int64_t vectors = width / job->context->kernels->lanes;
        const int64_t tiles = cc_ceil_div(job->n, gemm->max_rows[vectors]);
        pack_weights(job, first, valid, width, piece, packed);
        for (int64_t q = 0, i = 0, last; q < job->positions; q++, i = last) {
            for (last = i; last < job->count && job->terms[last].to == q;)
                last++;
            for (int64_t t = 0; t < tiles; t++) {
                const int64_t row = job->n * t / tiles, rows = job->n * (t + 1) / tiles - row;
                float *to = job->y + row * ldy + q * job->outputs + first;
                for (int64_t r = i, length; r < last; r += length) {
                    length = run_length(job, r);
                    for (int64_t k = 0; k < length; k++)
                        offset[k] = (job->terms[r + k].from * job->n + row) * job->from.pitch;
                    gemm->tile[vectors][rows](length, offset, channels, job->from.data, job->from.pitch, 1,
                                              packed + job->terms[r].tap * channels * width, width, spare, width, r > i,
                                              NULL);
                }
                if (i == last)
                    memset(spare, 0, (size_t)(rows * width) * sizeof(float));
                gemm->finish(rows, valid, spare, width, to, ldy, false,
                             &(cc_gemm_epilogue){.scale = scale ? scale + first : NULL,
                                                 .bias = job->bias ? job->bias + first : NULL,
                                                 .residual = job->epilogue.residual
                                                     ? (const float *)job->epilogue.residual + (to - job->y) : NULL,
                                                 .ld_residual = ldy, .relu = job->epilogue.relu});
            }
        }
    }
}

/* Ask for the weights to which `count` gradients from `at` on will be added, or for what the sink reads then. */
static void fetch_weights(const small_job *job, int64_t at, int64_t count)
{
    if (job->dw != NULL)
        cc_direct_fetch(job->dw + at, count);
    else
        job->sink->fetch(job->sink, job->sink_begin + at, count);
}

/* sums [row][tap][width] of some input channels (rows) and a panel of output channels; meanwhile fetch the weights from
 * `at` on. */
static void sum_weights(const small_job *job, const float *x, int64_t rows, const float *dy, int64_t width, int64_t valid,
                        int64_t at, float *sums)
{
    const cc_gemm_kernels *gemm = &job->context->kernels->gemm;
    const int64_t taps = job->taps, vectors = width / job->context->kernels->lanes;
    const int64_t most = cc_min(MAX_RUN, cc_max(1, MAX_SUM / job->n));
    int64_t offset[MAX_RUN];
    for (int64_t tap = 0, i = 0; tap < taps; tap++) {
        for (int64_t o = valid * tap / taps; o < valid * (tap + 1) / taps; o++)
            fetch_weights(job, at + o * job->row, rows * taps);
        const int64_t first = i;
        while (i < job->count && job->terms[i].tap == tap) {
            const term *t = job->terms + i;
            int64_t length = 0;
            while (length < most && i + length < job->count && t[length].tap == tap && t[length].to == t->to + length) {
                offset[length] = t[length].from * job->n * job->from.pitch;
                length++;
            }
            gemm->tile_t[vectors][rows](length, offset, job->n, x, job->from.pitch, dy + t->to * job->n * job->dy.pitch,
                                        job->dy.pitch, sums + tap * width, taps * width, i > first, NULL);
            i += length;
        }
        for (int64_t r = 0; r < rows && i == first; r++)
            memset(sums + (r * taps + tap) * width, 0, (size_t)width * sizeof(float));
    }
}

/* Items: panels of output channels with each panel of input channels. */
static void run_weight_panels(void *argument, int64_t begin, int64_t end, int part)
{
    static const cc_gemm_epilogue nothing = {0};
    const small_job *job = argument;
    const cc_gemm_kernels *gemm = &job->context->kernels->gemm;
    const slab *from = &job->from, *dy = &job->dy;
    float *sums = job->scratch + part * job->scratch_size, *turned = sums + job->scratch_size / 2;
    for (int64_t item = begin; item < end; item++) {
        const int64_t block = item / dy->panels, panel = item % dy->panels;
        const int64_t channels = cc_min(from->width, from->channels - block * from->width);
        const int64_t column = panel * dy->width, valid = cc_min(dy->width, dy->channels - column);
        const int64_t width = cc_gemm_padded(job->context->kernels, valid);
        const int64_t tiles = cc_ceil_div(channels, gemm->max_rows[width / job->context->kernels->lanes]);
        for (int64_t t = 0; t < tiles; t++) {
            const int64_t row = channels * t / tiles, rows = channels * (t + 1) / tiles - row;
            const int64_t count = rows * job->taps, padded = cc_ceil_div(count, 16) * 16;
            const int64_t at = column * job->row + (block * from->width + row) * job->taps;
            sum_weights(job, panel_of(from, block) + row, rows, panel_of(dy, panel), width, valid, at, sums);
            memset(sums + count * width, 0, (size_t)((padded - count) * width) * sizeof(float));
            gemm->transpose(padded, valid, sums, width, turned, padded, padded);
            if (job->dw != NULL)
                gemm->finish(valid, count, turned, padded, job->dw + at, job->row, true, &nothing);
            for (int64_t o = 0; job->dw == NULL && o < valid; o++)
                job->sink->take(job->sink, job->sink_begin + at + o * job->row, count, turned + o * padded);
        }
    }
}

static void describe(const cc_context *context, const cc_conv *conv, small_job *job)
{
    job->context = context;
    job->n = conv->n;
    job->taps = cc_volume(conv->window.kernel);
    job->row = conv->ic * job->taps;
    job->count = list_terms(&conv->window, job->terms);
}

static cc_status run(small_job *job)
{
    const cc_context *context = job->context;
    const int64_t source = floats_of(&job->from), items = cc_ceil_div(job->outputs, job->width);
    const int parts = cc_parts(context->pool, items, 1);
    job->scratch_size = (CC_TILE_MAX_ROWS + (16 + job->from.channels) * job->taps) * job->width;
    float *memory =
        cc_arena_alloc(context->arena, (size_t)(source + parts * job->scratch_size) * sizeof(float));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    job->scratch = memory + source;
    fill(&job->from, memory);
    cc_parallel_each(context->pool, parts, items, run_panels, job);
    cc_arena_free(context->arena, memory);
    return CC_OK;
}

cc_status cc_direct_small_forward(const cc_context *context, const cc_conv *conv, const float *x, const float *w,
                                  const float *b, const cc_epilogue *epilogue, float *y)
{
    small_job job = {.w = w, .bias = b, .y = y, .outputs = conv->oc};
    describe(context, conv, &job);
    job.positions = cc_volume(conv->window.output);
    if (epilogue != NULL)
        job.epilogue = *epilogue;
    job.width = cc_gemm_width(context->kernels, conv->n, conv->oc) * context->kernels->lanes;
    lay_out(context, &job.from, x, conv->n, cc_volume(conv->window.input), conv->ic);
    return run(&job);
}

cc_status cc_direct_small_backward_data(const cc_context *context, const cc_conv *conv, const float *dy,
                                        const float *w, const float *residual, float *dx)
{
    small_job job = {.w = w, .y = dx, .outputs = conv->ic, .turned = true, .epilogue.residual = residual};
    describe(context, conv, &job);
    job.positions = cc_volume(conv->window.input);
    for (int64_t i = 0; i < job.count; i++)
        job.terms[i] = (term){job.terms[i].from, job.terms[i].to, job.terms[i].tap};
    order_terms(&job, false);
    job.width = cc_gemm_width(context->kernels, conv->n, conv->ic) * context->kernels->lanes;
    lay_out(context, &job.from, dy, conv->n, cc_volume(conv->window.output), conv->oc);
    return run(&job);
}

cc_status cc_direct_small_backward_weight(const cc_context *context, const cc_conv *conv, const float *x,
                                          const float *dy, float *dw, const cc_sink *sink, int64_t begin)
{
    small_job job = {.dw = dw, .sink = sink, .sink_begin = begin};
    const cc_kernels *kernels = context->kernels;
    describe(context, conv, &job);
    order_terms(&job, true);
    lay_out(context, &job.from, x, conv->n, cc_volume(conv->window.input), conv->ic);
    lay_out(context, &job.dy, dy, conv->n, cc_volume(conv->window.output), conv->oc);
    const int64_t vectors = cc_gemm_width(kernels, conv->ic, conv->oc), most = kernels->gemm.max_rows[vectors];
    cut(&job.dy, vectors * kernels->lanes);
    cut(&job.from, cc_ceil_div(conv->ic, cc_ceil_div(conv->ic, most)));
    const int64_t xs = floats_of(&job.from), dys = floats_of(&job.dy), items = job.from.panels * job.dy.panels;
    const int parts = cc_parts(context->pool, items, 1);
    job.scratch_size = 2 * (cc_ceil_div(CC_TILE_MAX_ROWS * job.taps, 16) * 16 * job.dy.width);
    float *memory = cc_arena_alloc(context->arena, (size_t)(xs + dys + parts * job.scratch_size) * sizeof(float));
    if (memory == NULL)
        return CC_ERR_MEMORY;
    job.scratch = memory + xs + dys;
    fill(&job.from, memory);
    fill(&job.dy, memory + xs);
    cc_parallel_each(context->pool, parts, items, run_weight_panels, &job);
    cc_arena_free(context->arena, memory);
    return CC_OK;
}
