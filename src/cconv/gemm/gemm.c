#include "gemm.h"

/* Largest block of k; its panel of B and tile of A share the first-level cache. Where A is read along its
 * columns, its lines should survive there until the next tile wants their other elements; and where C is also
 * small, memory is the limit and the next block is fetched during this one. */
#define DEPTH 384
#define DEPTH_TRANSPOSED 192
#define DEPTH_FETCHED 64
#define FETCHED_C (32 << 10)
/* Floats of B and of C that should stay in the second-level cache together. */
#define BLOCK_B (96 << 10)
#define BLOCK_C (64 << 10)
/* Up to this many rows, the thread that owns a block of columns packs its B for itself. */
#define FEW_ROWS 512
/* A sum this long over a C this small is cut into chunks, so that threads share the sum. */
#define LONG_SUM 4096
#define SMALL_C (64 << 10)
#define MAX_CHUNKS 8
/* Multiply-adds worth a thread, a microsecond or ten. */
#define GRAIN (1 << 20)

typedef struct matrix {
    const float *data;
    int64_t ld;
    bool transposed;
} matrix;

typedef struct job {
    const cc_kernels *kernels;
    int64_t m, n, k;
    matrix a, b;
    float *c;
    int64_t ldc;
    bool accumulate;
    const cc_gemm_epilogue *epilogue;
    bool turned; /* C here is the transpose of the caller's: rows of a block are turned at its end */

    int64_t panel_columns, panels;
    int64_t depth, depth_blocks; /* blocks of k */
    int64_t chunks;              /* groups of depth blocks, each with a C of its own */
    int64_t row_blocks, column_blocks;
    bool pack_a, pack_b, fetch;

    float *packed;  /* all of B, when row blocks share it */
    float *partial; /* the C of each chunk */
    float *scratch; /* for each part: a block of B, a tile of A, a block of C */
    int64_t scratch_b, scratch_a, scratch_c;
} job;

typedef struct range {
    int64_t begin, end;
} range;

/* The i-th of `parts` near-equal ranges of [0, n). */
static range cut(int64_t n, int64_t parts, int64_t i)
{
    const int64_t base = n / parts, extra = n % parts;
    const int64_t begin = base * i + cc_min(i, extra);
    return (range){begin, begin + base + (i < extra)};
}

static range depth_range(const job *j, int64_t q)
{
    return (range){q * j->depth, cc_min(j->k, (q + 1) * j->depth)};
}

static int64_t columns_of(const job *j, int64_t p)
{
    return cc_min(j->panel_columns, j->n - p * j->panel_columns);
}

static int64_t rows_of_tile(const job *j)
{
    const int64_t padded = cc_gemm_padded(j->kernels, cc_min(j->n, j->panel_columns));
    return j->kernels->gemm.max_rows[padded / j->kernels->lanes];
}

static const float *at(const matrix *x, int64_t row, int64_t column)
{
    return x->data + (x->transposed ? column * x->ld + row : row * x->ld + column);
}

/* Whether a panel lies in B as a tile can read it. */
static bool in_place(const job *j, int64_t p)
{
    return !j->pack_b && columns_of(j, p) % j->kernels->lanes == 0;
}

static void pack_panel(const job *j, range k, int64_t p, float *panel)
{
    cc_gemm_pack_b(j->kernels, j->b.transposed, columns_of(j, p), k.end - k.begin,
                   at(&j->b, k.begin, p * j->panel_columns), j->b.ld, panel);
}

static float *packed_panel(const job *j, range k, int64_t p)
{
    const int64_t before = k.begin * cc_gemm_padded(j->kernels, j->n);
    return j->packed + before + (k.end - k.begin) * p * j->panel_columns;
}

static void pack_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    (void)part;
    for (int64_t i = begin; i < end; i++) {
        const range k = depth_range(j, i / j->panels);
        pack_panel(j, k, i % j->panels, packed_panel(j, k, i % j->panels));
    }
}

/* Rows [i, i + rows) of A and their strides, copied where that pays. */
typedef struct strip {
    const float *a;
    int64_t row, step;
} strip;

static strip strip_of_a(const job *j, int64_t i, int64_t rows, range k, float *scratch)
{
    const matrix *a = &j->a;
    const int64_t depth = k.end - k.begin;
    const float *from = at(a, i, k.begin);
    if (!j->pack_a)
        return a->transposed ? (strip){from, 1, a->ld} : (strip){from, a->ld, 1};
    j->kernels->gemm.copy(rows, depth, from, a->ld, scratch, depth + 16);
    return (strip){scratch, depth + 16, 1};
}

/* A piece of a matrix that will be read soon. */
typedef struct piece {
    const float *data;
    int64_t rows, columns, ld;
} piece;

static piece piece_of(const matrix *x, range rows, range columns)
{
    const int64_t r = rows.end - rows.begin, c = columns.end - columns.begin;
    const float *data = at(x, rows.begin, columns.begin);
    return x->transposed ? (piece){data, c, r, x->ld} : (piece){data, r, c, x->ld};
}

/* Inline, because GCC takes a function that only prefetches for one without effect and drops its calls. */
static inline __attribute__((always_inline)) void prefetch(const piece *x, range rows)
{
    for (int64_t r = rows.begin; r < rows.end; r++)
        for (int64_t c = 0; c < x->columns; c += CC_ALIGNMENT / (int64_t)sizeof(float))
            __builtin_prefetch(x->data + r * x->ld + c, 0, 2);
}

/* One step of a block: rows x panels of C, one block of k. */
typedef struct step {
    range rows, panels, k;
} step;

static step step_of(const job *j, int64_t item, int64_t q)
{
    return (step){cut(j->m, j->row_blocks, item / j->column_blocks % j->row_blocks),
                  cut(j->panels, j->column_blocks, item % j->column_blocks), depth_range(j, q)};
}

/* C (rows x panels) += or = the products of one block of k; meanwhile fetch what `ahead` will read. */
static void depth_block(const job *j, const step *s, const piece ahead[2], bool accumulate,
                        const cc_gemm_epilogue *epilogue, float *scratch, float *c, int64_t ldc)
{
    const range rows = s->rows, panels = s->panels, k = s->k;
    const int64_t depth = k.end - k.begin, height = rows_of_tile(j);
    const int64_t tiles = cc_ceil_div(rows.end - rows.begin, height);
    float *scratch_a = scratch + j->scratch_b;
    for (int64_t t = 0, i = rows.begin; t < tiles; t++) {
        const int64_t count = cc_ceil_div(rows.end - i, tiles - t);
        const strip a = strip_of_a(j, i, count, k, scratch_a);
        for (int x = 0; x < 2; x++)
            prefetch(&ahead[x], cut(ahead[x].rows, tiles, t));
        const float *own = scratch;
        for (int64_t p = panels.begin; p < panels.end; p++) {
            const int64_t columns = columns_of(j, p), first = p * j->panel_columns;
            const float *b = own;
            int64_t ldb = cc_gemm_padded(j->kernels, columns);
            if (in_place(j, p)) {
                b = at(&j->b, k.begin, first);
                ldb = j->b.ld;
            } else if (j->packed != NULL) {
                b = packed_panel(j, k, p);
            } else {
                own += depth * ldb;
            }
            cc_gemm_epilogue here;
            if (epilogue != NULL) {
                here = *epilogue;
                here.bias = here.bias != NULL ? here.bias + first : NULL;
                here.residual = here.residual != NULL ? here.residual + i * here.ld_residual + first : NULL;
            }
            cc_gemm_panel(j->kernels, count, columns, depth, a.a, a.row, a.step, b, ldb,
                          c + (i - rows.begin) * ldc + first, ldc, accumulate, epilogue != NULL ? &here : NULL);
        }
        i += count;
    }
}

/* The panels of a step that are neither packed for all nor readable in place, packed for this thread. */
static void pack_own(const job *j, const step *s, float *scratch)
{
    for (int64_t p = s->panels.begin; p < s->panels.end && j->packed == NULL; p++)
        if (!in_place(j, p)) {
            pack_panel(j, s->k, p, scratch);
            scratch += (s->k.end - s->k.begin) * cc_gemm_padded(j->kernels, columns_of(j, p));
        }
}

static int64_t chunk_of(const job *j, int64_t item) { return item / (j->row_blocks * j->column_blocks); }

static int64_t first_block(const job *j, int64_t item)
{
    return cut(j->depth_blocks, j->chunks, chunk_of(j, item)).begin;
}

/* The rows of a turned block, a few at a time, go to the caller's columns. */
static void turn(const job *j, range rows, const float *block, int64_t ld, float *scratch)
{
    static const cc_gemm_epilogue nothing = {0};
    const cc_gemm_kernels *g = &j->kernels->gemm;
    const int64_t count = rows.end - rows.begin;
    cc_gemm_epilogue rest = j->epilogue != NULL ? *j->epilogue : nothing;
    rest.bias = rest.bias != NULL ? rest.bias + rows.begin : NULL;
    rest.residual = rest.residual != NULL ? rest.residual + rows.begin : NULL;
    g->transpose(count, j->n, block, ld, scratch, count);
    g->finish(j->n, count, scratch, count, j->c + rows.begin, j->ldc, j->accumulate, &rest);
}

/* A and B of the step after (item, q), as far as they are read from where the caller has them. */
static void look_ahead(const job *j, int64_t item, int64_t q, bool last, range mine, piece ahead[2])
{
    ahead[0] = ahead[1] = (piece){0};
    if (!j->fetch || (last && item + 1 >= mine.end))
        return;
    const step next = last ? step_of(j, item + 1, first_block(j, item + 1)) : step_of(j, item, q + 1);
    const range columns = {next.panels.begin * j->panel_columns, cc_min(j->n, next.panels.end * j->panel_columns)};
    ahead[0] = piece_of(&j->a, next.rows, next.k);
    if (j->packed == NULL)
        ahead[1] = piece_of(&j->b, next.k, columns);
}

static void block_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    float *scratch = j->scratch + part * (j->scratch_b + j->scratch_a + j->scratch_c);
    const bool aside = j->partial != NULL || j->turned;
    for (int64_t item = begin; item < end; item++) {
        const range blocks = cut(j->depth_blocks, j->chunks, chunk_of(j, item));
        for (int64_t q = blocks.begin; q < blocks.end; q++) {
            const step now = step_of(j, item, q);
            const int64_t count = now.rows.end - now.rows.begin;
            const bool first = q == blocks.begin, last = q + 1 == blocks.end;
            float *c = j->c + now.rows.begin * j->ldc;
            int64_t ldc = j->ldc;
            if (j->partial != NULL) {
                c = j->partial + (chunk_of(j, item) * j->m + now.rows.begin) * j->n;
                ldc = j->n;
            } else if (j->turned) {
                c = scratch + j->scratch_b + j->scratch_a;
                ldc = cc_gemm_padded(j->kernels, j->n);
            }
            pack_own(j, &now, scratch);
            piece ahead[2];
            look_ahead(j, item, q, last, (range){begin, end}, ahead);
            depth_block(j, &now, ahead, !first || (j->accumulate && !aside), last && !aside ? j->epilogue : NULL,
                        scratch, c, ldc);
            if (last && j->turned)
                turn(j, now.rows, c, ldc, c + count * ldc);
        }
    }
}

/* C = epilogue([C +] the chunks in order). */
static void chunk_task(void *argument, int64_t begin, int64_t end, int part)
{
    static const cc_gemm_epilogue nothing = {0};
    const job *j = argument;
    const cc_gemm_kernels *g = &j->kernels->gemm;
    (void)part;
    cc_gemm_epilogue last = j->epilogue != NULL ? *j->epilogue : nothing;
    last.residual = last.residual != NULL ? last.residual + begin * last.ld_residual : NULL;
    float *sum = j->partial + begin * j->n;
    for (int64_t chunk = 1; chunk < j->chunks; chunk++)
        g->finish(1, (end - begin) * j->n, sum + chunk * j->m * j->n, 0, sum, 0, true, &nothing);
    g->finish(end - begin, j->n, sum, j->n, j->c + begin * j->ldc, j->ldc, j->accumulate, &last);
}

/* How to cut the product. Only panel_columns, depth and chunks touch the bits, and no thread count touches
 * these; and of them panel_columns does not either, because every element is summed alone. */
static void plan(job *j, int threads)
{
    const cc_kernels *kernels = j->kernels;
    const int width = cc_gemm_width(kernels, j->m, j->n);
    j->panel_columns = (int64_t)width * kernels->lanes;
    j->panels = cc_ceil_div(j->n, j->panel_columns);

    j->fetch = j->a.transposed && j->n <= FETCHED_C / j->m;
    const int64_t depth = j->fetch ? DEPTH_FETCHED : j->a.transposed ? DEPTH_TRANSPOSED : DEPTH;
    j->depth_blocks = cc_max(1, cc_ceil_div(j->k, depth));
    j->depth = cc_max(16, cc_ceil_div(cc_ceil_div(j->k, j->depth_blocks), 16) * 16);
    j->depth_blocks = cc_max(1, cc_ceil_div(j->k, j->depth));
    j->chunks = 1;
    if (!j->turned && j->k >= LONG_SUM && j->n <= SMALL_C / j->m)
        j->chunks = cc_min(MAX_CHUNKS, j->depth_blocks / 2);

    const int64_t panels_in_block = cc_max(1, BLOCK_B / (j->depth * j->panel_columns));
    const int64_t rows_in_block =
        j->depth_blocks == 1 ? FEW_ROWS : cc_max(64, BLOCK_C / (panels_in_block * j->panel_columns));
    const int64_t height = rows_of_tile(j);
    j->column_blocks = cc_ceil_div(j->panels, panels_in_block);
    j->row_blocks = 1;
    if (j->turned || (j->m > FEW_ROWS && j->chunks == 1) || (j->panels < 2 * threads && j->chunks == 1 && threads > 1)) {
        const int64_t most = cc_ceil_div(j->m, height);
        j->row_blocks = cc_ceil_div(j->m, j->turned ? 128 : rows_in_block);
        j->row_blocks = cc_min(most, cc_ceil_div(j->row_blocks, threads) * threads);
    } else if (j->chunks == 1) {
        j->column_blocks = cc_min(j->panels, cc_ceil_div(j->column_blocks, threads) * threads);
    }

    const bool one_panel = j->panels == 1 && j->n % kernels->lanes == 0;
    j->pack_b = j->b.transposed || !(one_panel || j->m <= height || j->a.transposed);
    j->pack_a = !j->a.transposed && j->panels / j->column_blocks > 3 && j->a.ld % 1024 == 0;
}

/* Scratch for `parts` threads, the packed B and the chunks, in one allocation. */
static cc_status provide(job *j, cc_arena *arena, int parts, float **memory)
{
    const int64_t padded = cc_gemm_padded(j->kernels, j->n);
    const int64_t panels_in_block = cc_ceil_div(j->panels, j->column_blocks);
    const bool shared = j->pack_b && j->row_blocks > 1;
    int64_t packed = 0, partial = 0, parts_total, total;
    if (shared && !cc_mul(j->k, padded, &packed))
        return CC_ERR_OVERFLOW;
    if (j->chunks > 1)
        partial = cc_ceil_div(j->chunks * j->m * j->n, 16) * 16;
    j->scratch_b = shared ? 0 : j->depth * cc_min(padded, panels_in_block * j->panel_columns);
    if (!j->pack_b)
        j->scratch_b = padded == j->n ? 0 : j->depth * j->panel_columns;
    j->scratch_a = j->pack_a ? CC_TILE_MAX_ROWS * (j->depth + 16) : 0;
    j->scratch_c = j->turned ? 2 * padded * cc_ceil_div(j->m, j->row_blocks) : 0;
    if (!cc_mul(parts, j->scratch_a + j->scratch_b + j->scratch_c, &parts_total) ||
        !cc_add(packed, parts_total, &total) || !cc_add(total, partial, &total) || total > PTRDIFF_MAX / 16)
        return CC_ERR_OVERFLOW;
    *memory = NULL;
    if (total == 0)
        return CC_OK;
    *memory = cc_arena_alloc(arena, (size_t)total * sizeof(float));
    if (*memory == NULL)
        return CC_ERR_MEMORY;
    j->partial = j->chunks > 1 ? *memory : NULL;
    j->packed = shared ? *memory + partial : NULL;
    j->scratch = *memory + partial + packed;
    return CC_OK;
}

static cc_status run(const cc_context *context, job *j)
{
    double work = (double)j->m * (double)j->n * (double)cc_max(j->k, 1);
    const int threads = cc_parts(context->pool, work < 1e18 ? (int64_t)work : (int64_t)1e18, GRAIN);
    plan(j, threads);
    const int64_t items = j->chunks * j->row_blocks * j->column_blocks;
    const int parts = (int)cc_min(threads, items);
    float *memory;
    CC_TRY(provide(j, context->arena, parts, &memory));
    if (j->packed != NULL)
        cc_parallel_for(context->pool, threads, j->depth_blocks * j->panels, pack_task, j);
    cc_parallel_for(context->pool, parts, items, block_task, j);
    if (j->partial != NULL)
        cc_parallel_for(context->pool, cc_parts(context->pool, j->m, 16), j->m, chunk_task, j);
    cc_arena_free(context->arena, memory);
    return CC_OK;
}

static cc_status check(const matrix *x, int64_t rows, int64_t columns)
{
    const int64_t length = x->transposed ? rows : columns, count = x->transposed ? columns : rows;
    int64_t size;
    if (x->ld < length)
        return CC_ERR_ARGUMENT;
    return cc_product((const int64_t[]){count, x->ld}, 2, &size);
}

cc_status cc_gemm(const cc_context *context, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                  const float *a, int64_t lda, const float *b, int64_t ldb, bool accumulate, float *c, int64_t ldc,
                  const cc_gemm_epilogue *epilogue)
{
    if (context == NULL || m < 0 || n < 0 || k < 0)
        return CC_ERR_ARGUMENT;
    job j = {
        .kernels = context->kernels, .m = m, .n = n, .k = k, .a = {a, lda, trans_a}, .b = {b, ldb, trans_b},
        .c = c, .ldc = ldc, .accumulate = accumulate,
    };
    if (epilogue != NULL && (epilogue->bias != NULL || epilogue->residual != NULL || epilogue->relu))
        j.epilogue = epilogue;
    CC_TRY(check(&j.a, m, k));
    CC_TRY(check(&j.b, k, n));
    CC_TRY(check(&(matrix){c, ldc, false}, m, n));
    if (m == 0 || n == 0)
        return CC_OK;
    /* A large transposed B that few rows of A meet is read once, as the left factor of C' = B' A'. */
    if (trans_b && !trans_a && m <= 128 && n / 4 >= m && k / 2 >= m) {
        j.turned = true;
        j.m = n;
        j.n = m;
        j.a = (matrix){b, ldb, false};
        j.b = (matrix){a, lda, true};
    }
    return run(context, &j);
}
