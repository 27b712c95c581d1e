/* 3x3 and 5x5 convolution of channels-last float64 images by Winograd's F(2x2, 3x3) and F(2x2, 5x5).
 *
 *   Y = A [(G w G') * (B x B')] A'        x: size x size input tile, Y: 2x2 output tile, * place by place
 *
 * For a block of tiles: all places of V = B x B', then for each place the product M = V U over input channels, then Y.
 * The weight gradient is the adjoint: dw = G' [SUM over tiles (A' dY A) * (B x B')] G.
 *
 * F(2x2, 3x3) is exact where sums of a few integers are, since its factors are 0, 1 and halves. Its larger sister in
 * float32 (winograd.c) has the speed; here accuracy is the point. As there, values that leave the range on the way, or
 * Inf and NaN in the data, show in the results, which are then computed without transforms.
 *
 * Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2015.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "algo.h"

#define STEP 2     /* outputs of a tile, along an axis */
#define SIZE 6     /* the largest tile */
#define TILES 128  /* of a block */
#define WIDTH 16   /* channels transformed at a time */
#define MANY_CHANNELS (1 << 24)

/* Results below this were computed too near the denormals. */
#define SMALLEST 0x1p-900

typedef struct form {
    int64_t taps, size;
    const double *input, *weight, *output; /* B (size x size), G (size x taps), A (2 x size) */
} form;

static const double input_3[] = {1, 0, -1, 0, 0, 1, 1, 0, 0, -1, 1, 0, 0, 1, 0, -1};
static const double weight_3[] = {1, 0, 0, .5, .5, .5, .5, -.5, .5, 0, 0, 1};
static const double output_3[] = {1, 1, 1, 0, 0, 1, -1, -1};

/* Points 0, +-1, +-2 and infinity. */
static const double input_5[] = {4, 0, -5, 0, 1, 0,  0, -4, -4, 1, 1, 0, 0, 4, -4, -1, 1, 0,
                                 0, -2, -1, 2, 1, 0, 0, 2, -1, -2, 1, 0, 0, 4, 0, -5, 0, 1};
static const double weight_5[] = {1. / 4, 0, 0, 0, 0,
                                  -1. / 6, -1. / 6, -1. / 6, -1. / 6, -1. / 6,
                                  -1. / 6, 1. / 6, -1. / 6, 1. / 6, -1. / 6,
                                  1. / 24, 1. / 12, 1. / 6, 1. / 3, 2. / 3,
                                  1. / 24, -1. / 12, 1. / 6, -1. / 3, 2. / 3,
                                  0, 0, 0, 0, 1};
static const double output_5[] = {1, 1, 1, 1, 1, 0, 0, 1, -1, 2, -2, 1};

static const form forms[] = {{3, 4, input_3, weight_3, output_3}, {5, 6, input_5, weight_5, output_5}};

/* An image whose pixel (-top, -left) is the first of tile 0. */
typedef struct grid {
    int64_t height, width, channels, top, left;
} grid;

typedef struct winograd_job {
    const cc_context *context;
    const form *form;
    grid from, to;         /* the image convolved, and the result; the gradient's x and dy */
    int64_t rows, columns; /* tiles of an image */
    int64_t first, tiles;  /* the block at hand */
    bool turned;           /* kernels turned by 180 degrees, and channels exchanged */
    const double *x, *w, *b, *dy;
    double *y;
    double *u, *v, *m; /* [place][input channel][output channel], [place][tile][channel] twice; the gradient's
                          sums are in u, as [place][output channel][input channel] */
    double magnitude[CC_MAX_THREADS];
} winograd_job;

/* A small matrix, or its transpose. */
typedef struct matrix {
    const double *data;
    int64_t rows, columns, row, column;
} matrix;

static matrix plain(const double *data, int64_t rows, int64_t columns)
{
    return (matrix){data, rows, columns, columns, 1};
}

static matrix transposed(const double *data, int64_t rows, int64_t columns)
{
    return (matrix){data, columns, rows, 1, columns};
}

typedef double piece[SIZE][SIZE][WIDTH];

/* out = T in T', for WIDTH channels side by side. */
static void transform(const matrix *t, piece in, piece out)
{
    piece half = {{{0}}};
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t k = 0; k < t->columns; k++) {
            const double f = t->data[i * t->row + k * t->column];
            if (f != 0)
                for (int64_t j = 0; j < t->columns; j++)
                    for (int c = 0; c < WIDTH; c++)
                        half[i][j][c] += f * in[k][j][c];
        }
    memset(out, 0, sizeof(piece));
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t j = 0; j < t->rows; j++)
            for (int64_t k = 0; k < t->columns; k++) {
                const double f = t->data[j * t->row + k * t->column];
                if (f != 0)
                    for (int c = 0; c < WIDTH; c++)
                        out[i][j][c] += f * half[i][k][c];
            }
}

static void note(double *largest, double value)
{
    const double magnitude = fabs(value);
    if (!(magnitude <= *largest)) /* NaN, too */
        *largest = magnitude <= DBL_MAX ? magnitude : INFINITY;
}

static bool sound(const double *magnitude, int parts)
{
    double largest = 0;
    for (int p = 0; p < parts; p++)
        largest = fmax(largest, magnitude[p]);
    return largest == 0 || (largest >= SMALLEST && largest <= DBL_MAX);
}

/* A tile's place: its image, and its first pixel. */
typedef struct place {
    int64_t image, y, x;
} place;

static place place_of(const winograd_job *job, const grid *g, int64_t tile)
{
    const int64_t image = tile / (job->rows * job->columns), rest = tile % (job->rows * job->columns);
    return (place){image, rest / job->columns * STEP - g->top, rest % job->columns * STEP - g->left};
}

/* [place][tile][channel] of the block = T tile T' of size x size pixels of the image. */
static void spread(const winograd_job *job, const grid *g, const double *image, const matrix *t, int64_t tile, double *to)
{
    const place at = place_of(job, g, job->first + tile);
    for (int64_t c = 0; c < g->channels; c += WIDTH) {
        const int64_t channels = cc_min(WIDTH, g->channels - c);
        piece in = {{{0}}}, out;
        for (int64_t i = 0; i < t->columns; i++)
            for (int64_t j = 0; j < t->columns; j++) {
                const int64_t y = at.y + i, x = at.x + j;
                if (y >= 0 && y < g->height && x >= 0 && x < g->width)
                    memcpy(in[i][j], image + ((at.image * g->height + y) * g->width + x) * g->channels + c,
                           (size_t)channels * sizeof(double));
            }
        transform(t, in, out);
        for (int64_t p = 0; p < t->rows * t->rows; p++)
            memcpy(to + (p * TILES + tile) * g->channels + c, out[p / t->rows][p % t->rows],
                   (size_t)channels * sizeof(double));
    }
}

/* Items are tiles of the block. */
static void input_task(void *argument, int64_t begin, int64_t end, int part)
{
    const winograd_job *job = argument;
    const form *f = job->form;
    const matrix b = plain(f->input, f->size, f->size), a = transposed(f->output, STEP, f->size);
    (void)part;
    for (int64_t tile = begin; tile < end; tile++) {
        spread(job, &job->from, job->x, &b, tile, job->v);
        if (job->dy != NULL)
            spread(job, &job->to, job->dy, &a, tile, job->m);
    }
}

/* Items are places. */
static void product_task(void *argument, int64_t begin, int64_t end, int part)
{
    const winograd_job *job = argument;
    const int64_t ic = job->from.channels, oc = job->to.channels;
    (void)part;
    for (int64_t p = begin; p < end; p++) {
        double *u = job->u + p * ic * oc, *v = job->v + p * TILES * ic, *m = job->m + p * TILES * oc;
        if (job->dy == NULL)
            cc_blas_gemm(job->context->blas, CC_F64, false, false, job->tiles, oc, ic, v, ic, u, oc, 0.0, m, oc);
        else
            cc_blas_gemm(job->context->blas, CC_F64, true, false, oc, ic, job->tiles, m, oc, v, ic,
                         job->first == 0 ? 0.0 : 1.0, u, ic);
    }
}

/* Items are tiles of the block. */
static void output_task(void *argument, int64_t begin, int64_t end, int part)
{
    winograd_job *job = argument;
    const grid *g = &job->to;
    const int64_t size = job->form->size;
    const matrix a = plain(job->form->output, STEP, size);
    for (int64_t tile = begin; tile < end; tile++) {
        const place at = place_of(job, g, job->first + tile);
        for (int64_t c = 0; c < g->channels; c += WIDTH) {
            const int64_t channels = cc_min(WIDTH, g->channels - c);
            piece in = {{{0}}}, out;
            for (int64_t p = 0; p < size * size; p++)
                memcpy(in[p / size][p % size], job->m + (p * TILES + tile) * g->channels + c,
                       (size_t)channels * sizeof(double));
            transform(&a, in, out);
            for (int64_t i = 0; i < STEP && at.y + i < g->height; i++)
                for (int64_t j = 0; j < STEP && at.x + j < g->width; j++) {
                    const int64_t pixel = (at.image * g->height + at.y + i) * g->width + at.x + j;
                    for (int64_t l = 0; l < channels; l++) {
                        note(&job->magnitude[part], out[i][j][l]);
                        job->y[pixel * g->channels + c + l] = out[i][j][l] + (job->b != NULL ? job->b[c + l] : 0);
                    }
                }
        }
    }
}

/* Items are rows of U: input channels, of the user's weights or of the turned ones. */
static void weight_task(void *argument, int64_t begin, int64_t end, int part)
{
    const winograd_job *job = argument;
    const form *f = job->form;
    const matrix g = plain(f->weight, f->size, f->taps);
    const int64_t ic = job->from.channels, oc = job->to.channels, area = f->taps * f->taps;
    (void)part;
    for (int64_t i = begin; i < end; i++)
        for (int64_t o = 0; o < oc; o += WIDTH) {
            piece in = {{{0}}}, out;
            const int64_t channels = cc_min(WIDTH, oc - o);
            for (int64_t l = 0; l < channels; l++) {
                const double *w = job->w + (job->turned ? i * oc + o + l : (o + l) * ic + i) * area;
                for (int64_t t = 0; t < area; t++)
                    in[t / f->taps][t % f->taps][l] = w[job->turned ? area - 1 - t : t];
            }
            transform(&g, in, out);
            for (int64_t p = 0; p < f->size * f->size; p++)
                memcpy(job->u + (p * ic + i) * oc + o, out[p / f->size][p % f->size],
                       (size_t)channels * sizeof(double));
        }
}

/* Items are output channels: the sums' first taps*taps places become the gradient. */
static void collect_task(void *argument, int64_t begin, int64_t end, int part)
{
    winograd_job *job = argument;
    const form *f = job->form;
    const matrix g = transposed(f->weight, f->size, f->taps);
    const int64_t ic = job->from.channels, oc = job->to.channels;
    for (int64_t o = begin; o < end; o++)
        for (int64_t i = 0; i < ic; i += WIDTH) {
            piece in = {{{0}}}, out;
            const int64_t channels = cc_min(WIDTH, ic - i);
            for (int64_t p = 0; p < f->size * f->size; p++)
                memcpy(in[p / f->size][p % f->size], job->u + (p * oc + o) * ic + i, (size_t)channels * sizeof(double));
            transform(&g, in, out);
            for (int64_t t = 0; t < f->taps * f->taps; t++)
                for (int64_t l = 0; l < channels; l++) {
                    note(&job->magnitude[part], out[t / f->taps][t % f->taps][l]);
                    job->u[(t * oc + o) * ic + i + l] = out[t / f->taps][t % f->taps][l];
                }
        }
}

static void add_gradient(const winograd_job *job, double *dw)
{
    const int64_t ic = job->from.channels, oc = job->to.channels, area = job->form->taps * job->form->taps;
    for (int64_t o = 0; o < oc; o++)
        for (int64_t i = 0; i < ic; i++)
            for (int64_t t = 0; t < area; t++)
                dw[(o * ic + i) * area + t] += job->u[(t * oc + o) * ic + i];
}

/* `trusted` tells whether the result is what direct convolution would give. */
static cc_status run(winograd_job *job, const cc_context *context, int64_t images, double *dw, bool *trusted)
{
    const int64_t ic = job->from.channels, oc = job->to.channels, places = job->form->size * job->form->size;
    int64_t u, all;
    if (!cc_mul(places, ic * oc, &u) || !cc_add(u, places * TILES * (ic + oc), &all) || !cc_mul(all, 8, &all))
        return CC_ERR_OVERFLOW;
    job->context = context;
    job->u = cc_arena_alloc(context->arena, (size_t)all);
    if (job->u == NULL)
        return CC_ERR_MEMORY;
    job->v = job->u + u;
    job->m = job->v + places * TILES * ic;
    const cc_status status = cc_blas_enter(context->blas);
    if (status != CC_OK) {
        cc_arena_free(context->arena, job->u);
        return status;
    }
    cc_pool *pool = context->pool;
    if (dw == NULL)
        cc_parallel_for(pool, cc_parts(pool, ic, 1 + 1024 / oc), ic, weight_task, job);
    const int64_t tiles = images * job->rows * job->columns;
    for (job->first = 0; job->first < tiles; job->first += TILES) {
        job->tiles = cc_min(TILES, tiles - job->first);
        cc_parallel_for(pool, cc_parts(pool, job->tiles, 8), job->tiles, input_task, job);
        cc_parallel_each(pool, cc_parts(pool, places, 1), places, product_task, job);
        if (dw == NULL)
            cc_parallel_for(pool, cc_parts(pool, job->tiles, 8), job->tiles, output_task, job);
    }
    if (dw != NULL)
        cc_parallel_for(pool, cc_parts(pool, oc, 1 + 1024 / ic), oc, collect_task, job);
    cc_blas_leave(context->blas);
    *trusted = sound(job->magnitude, CC_MAX_THREADS);
    if (dw != NULL && *trusted)
        add_gradient(job, dw);
    cc_arena_free(context->arena, job->u);
    return CC_OK;
}

static const form *form_of(const cc_conv *conv)
{
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++)
        if (conv->window.kernel[1] == forms[f].taps && conv->window.kernel[2] == forms[f].taps)
            return &forms[f];
    return NULL;
}

static bool supports(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    const cc_window *w = &conv->window;
    const form *f = form_of(conv);
    if (f == NULL || conv->groups != 1 || conv->ic > MANY_CHANNELS || conv->oc > MANY_CHANNELS || w->input[0] != 1 ||
        w->kernel[0] != 1 || w->output[0] != 1 || w->pad_before[0] != 0)
        return false;
    for (int a = 1; a < CC_AXES; a++)
        if (w->stride[a] != 1 || w->dilation[a] != 1 || w->pad_before[a] >= f->taps || w->pad_after[a] >= f->taps)
            return false;
    return cc_conv_direct_double.supports(context, conv, pass);
}

/* float64 is asked for by those who want no rounding but a product's. */
static bool pays(const cc_context *context, const cc_conv *conv, cc_pass pass)
{
    (void)context, (void)conv, (void)pass;
    return false;
}

static grid grid_of(const int64_t size[CC_AXES], int64_t channels, int64_t top, int64_t left)
{
    return (grid){size[1], size[2], channels, top, left};
}

static void cut(winograd_job *job, const int64_t size[CC_AXES])
{
    job->rows = cc_ceil_div(size[1], STEP);
    job->columns = cc_ceil_div(size[2], STEP);
}

static cc_status forward(const cc_context *context, const cc_conv *conv, const void *x, const void *w,
                         const void *b, const cc_epilogue *epilogue, void *y)
{
    const cc_window *win = &conv->window;
    winograd_job job = {.form = form_of(conv), .x = x, .w = w, .b = b, .y = y,
                        .from = grid_of(win->input, conv->ic, win->pad_before[1], win->pad_before[2]),
                        .to = grid_of(win->output, conv->oc, 0, 0)};
    cut(&job, win->output);
    bool trusted;
    CC_TRY(run(&job, context, conv->n, NULL, &trusted));
    return trusted ? CC_OK : cc_conv_direct_double.forward(context, conv, x, w, b, epilogue, y);
}

static cc_status backward_data(const cc_context *context, const cc_conv *conv, const void *dy, const void *w,
                               const void *residual, void *dx)
{
    const cc_window *win = &conv->window;
    const form *f = form_of(conv);
    winograd_job job = {.form = f, .x = dy, .w = w, .y = dx, .turned = true,
                        .from = grid_of(win->output, conv->oc, f->taps - 1 - win->pad_before[1],
                                        f->taps - 1 - win->pad_before[2]),
                        .to = grid_of(win->input, conv->ic, 0, 0)};
    cut(&job, win->input);
    bool trusted;
    CC_TRY(run(&job, context, conv->n, NULL, &trusted));
    return trusted ? CC_OK : cc_conv_direct_double.backward_data(context, conv, dy, w, residual, dx);
}

static cc_status backward_weight(const cc_context *context, const cc_conv *conv, const void *x, const void *dy,
                                 void *dw)
{
    const cc_window *win = &conv->window;
    winograd_job job = {.form = form_of(conv), .x = x, .dy = dy,
                        .from = grid_of(win->input, conv->ic, win->pad_before[1], win->pad_before[2]),
                        .to = grid_of(win->output, conv->oc, 0, 0)};
    cut(&job, win->output);
    bool trusted;
    CC_TRY(run(&job, context, conv->n, dw, &trusted));
    return trusted ? CC_OK : cc_conv_direct_double.backward_weight(context, conv, x, dy, dw);
}

const cc_conv_algo cc_conv_winograd_double = {
    .name = "winograd",
    .needs_blas = true,
    .approximate = true,
    .supports = supports,
    .pays = pays,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weight = backward_weight,
};
