#include "gemm.h"

#include "job.h"

typedef cc_gemm_job job;
typedef cc_gemm_matrix matrix;
typedef cc_gemm_range range;
typedef cc_gemm_piece piece;

/* Products of so few rows with rows so long are done as scalar products, in blocks of columns. */
#define FEW_DOTS 8
#define LONG_DOTS 64
#define DOTS_COLUMNS 32
/* Calls of tiles, at least, among which it is shared out what is fetched: of few each would be for A, and none for C. */
#define CALLS 8
/* Elements of B worth a thread. */
#define DOTS_GRAIN (1 << 17)

/* The i-th of `parts` near-equal ranges of [0, n), the last of which may be longer: the last panel may be narrower. */
static range cut(int64_t n, int64_t parts, int64_t i)
{
    const int64_t base = n / parts, even = parts - n % parts; /* pieces without one more */
    const int64_t begin = base * i + cc_max(0, i - even);
    return (range){begin, begin + base + (i >= even)};
}

static range depth_range(const job *j, int64_t q)
{
    return (range){q * j->depth, cc_min(j->k, (q + 1) * j->depth)};
}

/* Tiles of short sums would notice the division. */
static int64_t group_of(const job *j, int64_t p) { return j->groups.count == 1 ? 0 : p / j->group_panels; }

/* Where a panel begins in its group. */
static int64_t column_of(const job *j, int64_t p)
{
    return (p - group_of(j, p) * j->group_panels) * j->panel_columns;
}

static int64_t columns_of(const job *j, int64_t p) { return cc_min(j->panel_columns, j->n - column_of(j, p)); }

/* Where it begins in C. */
static int64_t place_of(const job *j, int64_t p) { return group_of(j, p) * j->groups.step_c + column_of(j, p); }

static const float *at(const matrix *x, int64_t row, int64_t column)
{
    return x->data + (x->transposed ? column * x->ld + row : row * x->ld + column);
}

static const float *panel_at(const job *j, int64_t k, int64_t p)
{
    return at(&j->b, k, column_of(j, p)) + group_of(j, p) * j->groups.step_b;
}

/* Whether a panel lies in B as a tile can read it. */
static bool in_place(const job *j, int64_t p)
{
    const int64_t columns = columns_of(j, p);
    return !j->pack_b && cc_gemm_padded(j->kernels, columns) == columns;
}

static void pack_panel(const job *j, range k, int64_t p, float *panel)
{
    cc_gemm_pack_b(j->kernels, j->b.transposed, columns_of(j, p), k.end - k.begin,
                   panel_at(j, k.begin, p), j->b.ld, panel);
}

static float *packed_panel(const job *j, range k, int64_t p)
{
    const int64_t padded = cc_gemm_padded(j->kernels, j->n);
    const int64_t before = k.begin * padded * j->groups.count;
    return j->packed + before + (k.end - k.begin) * (group_of(j, p) * padded + column_of(j, p));
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

static piece piece_of(const matrix *x, range rows, range columns)
{
    const int64_t r = rows.end - rows.begin, c = columns.end - columns.begin;
    const float *data = at(x, rows.begin, columns.begin);
    return x->transposed ? (piece){data, c, r, x->ld} : (piece){data, r, c, x->ld};
}

/* One step of a block: rows x panels of C, one block of k. */
typedef struct step {
    range rows, panels, k;
    int64_t until; /* where the rows end that this thread goes through */
} step;

static range rows_of(const job *j, int64_t item)
{
    return cut(j->m, j->row_blocks, item / j->column_blocks % j->row_blocks);
}

/* Of the items of a thread that end with `last`. */
static step step_of(const job *j, int64_t item, int64_t last, int64_t q)
{
    return (step){rows_of(j, item), cut(j->panels, j->column_blocks, item % j->column_blocks), depth_range(j, q),
                  rows_of(j, last).end};
}

/* The epilogue, if any, of some rows of a block of C whose first row is `origin`. */
static void finish(const job *j, const cc_gemm_epilogue *epilogue, range rows, range panels, int64_t origin, float *c,
                   int64_t ldc)
{
    if (epilogue == NULL)
        return;
    const int64_t first = place_of(j, panels.begin), last = panels.end - 1;
    const int64_t columns = place_of(j, last) + columns_of(j, last) - first;
    cc_gemm_epilogue here = *epilogue;
    here.scale = here.scale != NULL ? here.scale + first : NULL;
    here.bias = here.bias != NULL ? here.bias + first : NULL;
    here.residual = here.residual != NULL ? here.residual + rows.begin * here.ld_residual + first : NULL;
    c += (rows.begin - origin) * ldc + first;
    j->kernels->gemm.finish(rows.end - rows.begin, columns, c, ldc, c, ldc, false, &here);
}

/* C (rows x columns of a panel) += or = rows of A, at most a tile's, times the panel's rows `ldb` apart. */
static void tile(const job *j, int64_t rows, int64_t columns, int64_t depth, const float *a, const float *b,
                 int64_t ldb, bool accumulate, cc_gemm_ahead ahead, float *c, int64_t ldc)
{
    static const cc_gemm_epilogue nothing = {0};
    const cc_gemm_kernels *g = &j->kernels->gemm;
    const cc_gemm_ahead *fetched = ahead.data != NULL ? &ahead : NULL;
    const int64_t padded = cc_gemm_padded(j->kernels, columns);
    const int64_t v = padded == j->panel_columns ? j->panel_vectors : padded / j->kernels->lanes;
    const bool whole = padded == columns;
    _Alignas(CC_ALIGNMENT) float ragged[CC_TILE_MAX_ROWS * 64];
    float *to = whole ? c : ragged;
    const int64_t ldto = whole ? ldc : padded;
    if (j->a.transposed)
        g->tile_t[v][rows](1, NULL, depth, a, j->a.ld, b, ldb, to, ldto, whole && accumulate, fetched);
    else
        g->tile[v][rows](1, NULL, depth, a, j->a.ld, 1, b, ldb, to, ldto, whole && accumulate, fetched);
    if (!whole)
        g->finish(rows, columns, ragged, padded, c, ldc, accumulate, &nothing);
}

/* C (rows x panels) += or = the products of one block of k; meanwhile fetch what `ahead` will read. */
static void depth_block(const job *j, const step *s, const piece ahead[2], bool accumulate,
                        const cc_gemm_epilogue *epilogue, float *scratch, float *c, int64_t ldc)
{
    const range rows = s->rows, panels = s->panels, k = s->k;
    const int64_t depth = k.end - k.begin, height = cc_gemm_tile_rows(j);
    const int64_t tiles = cc_ceil_div(rows.end - rows.begin, height), count_panels = panels.end - panels.begin;
    /* Rows of A and C that follow one another are fetched by some tiles for as many after them. */
    const int64_t a_columns = j->k * j->groups.count, c_columns = j->n * j->groups.count;
    const bool streams = !j->a.transposed && j->a.ld == a_columns && (ldc == c_columns || j->turned) &&
                         j->depth_blocks == 1 && j->column_blocks == 1;
    const int64_t together = cc_ceil_div(CALLS, count_panels);
    cc_gemm_fetches fetches = cc_gemm_fetches_of(ahead, tiles * count_panels, depth);
    range before = {rows.begin, rows.begin};
    for (int64_t t = 0, wait = 0, i = rows.begin; t < tiles; t++, wait--) {
        const int64_t count = cc_ceil_div(rows.end - i, tiles - t);
        const float *a = at(&j->a, i, k.begin);
        if (streams && wait == 0) {
            const int64_t first = cc_min(s->until, i + together * count);
            const range after = {first, cc_min(s->until, first + together * height)};
            piece next[2] = {{at(&j->a, after.begin, 0), after.end - after.begin, a_columns, j->a.ld}};
            if (!j->turned)
                next[1] = (piece){c + (after.begin - rows.begin) * ldc, after.end - after.begin, c_columns, ldc};
            fetches = cc_gemm_fetches_of(next, together * count_panels, depth);
            wait = together;
        }
        const float *own = scratch;
        for (int64_t p = panels.begin; p < panels.end; p++) {
            const int64_t columns = columns_of(j, p);
            const float *b = own;
            int64_t ldb = cc_gemm_padded(j->kernels, columns);
            if (in_place(j, p)) {
                b = panel_at(j, k.begin, p);
                ldb = j->b.ld;
            } else if (j->packed != NULL) {
                b = packed_panel(j, k, p);
            } else {
                own += depth * ldb;
            }
            tile(j, count, columns, depth, a + group_of(j, p) * j->groups.step_a, b, ldb, accumulate,
                 cc_gemm_fetch(&fetches), c + (i - rows.begin) * ldc + place_of(j, p), ldc);
        }
        /* A tile's last sums are not there yet; those of the tile before are, and still in the cache. */
        finish(j, epilogue, before, panels, rows.begin, c, ldc);
        before = (range){i, i + count};
        i += count;
    }
    finish(j, epilogue, before, panels, rows.begin, c, ldc);
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
    rest.scale = rest.scale != NULL ? rest.scale + rows.begin : NULL;
    rest.bias = rest.bias != NULL ? rest.bias + rows.begin : NULL;
    rest.residual = rest.residual != NULL ? rest.residual + rows.begin : NULL;
    g->transpose(count, j->n, block, ld, scratch, count, count);
    g->finish(j->n, count, scratch, count, j->c + rows.begin, j->ldc, j->accumulate, &rest);
}

/* A and B of the step after (item, q), as far as they are read from where the caller has them. */
static void look_ahead(const job *j, int64_t item, int64_t q, bool last, range mine, piece ahead[2])
{
    ahead[0] = ahead[1] = (piece){0};
    if (!j->a.transposed || (last && item + 1 >= mine.end))
        return;
    const step next = last ? step_of(j, item + 1, item + 1, first_block(j, item + 1)) : step_of(j, item, item, q + 1);
    /* Of several groups the first. */
    const int64_t group = group_of(j, next.panels.begin);
    const int64_t end = cc_min(next.panels.end, (group + 1) * j->group_panels) - 1;
    const range columns = {column_of(j, next.panels.begin), column_of(j, end) + columns_of(j, end)};
    ahead[0] = piece_of(&j->a, next.rows, next.k);
    ahead[0].data += group * j->groups.step_a;
    if (j->packed == NULL) {
        ahead[1] = piece_of(&j->b, next.k, columns);
        ahead[1].data += group * j->groups.step_b;
    }
}

static void block_task(void *argument, int64_t begin, int64_t end, int part)
{
    const job *j = argument;
    float *scratch = j->scratch == NULL ? NULL : j->scratch + part * (j->scratch_b + j->scratch_c);
    const bool aside = j->partial != NULL || j->turned;
    for (int64_t item = begin; item < end; item++) {
        const range blocks = cut(j->depth_blocks, j->chunks, chunk_of(j, item));
        for (int64_t q = blocks.begin; q < blocks.end; q++) {
            const step now = step_of(j, item, end - 1, q);
            const int64_t count = now.rows.end - now.rows.begin;
            const bool first = q == blocks.begin, last = q + 1 == blocks.end;
            float *c = j->c + now.rows.begin * j->ldc;
            int64_t ldc = j->ldc;
            if (j->partial != NULL) {
                c = j->partial + (chunk_of(j, item) * j->groups.count * j->m + now.rows.begin) * j->n;
                ldc = j->n;
            } else if (j->turned) {
                c = scratch + j->scratch_b;
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

/* C = epilogue([C +] the chunks in order); the rows of all groups follow one another. */
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
        g->finish(1, (end - begin) * j->n, sum + chunk * j->groups.count * j->m * j->n, 0, sum, 0, true, &nothing);
    g->finish(end - begin, j->n, sum, j->n, j->c + begin * j->ldc, j->ldc, j->accumulate, &last);
}

static cc_status run(const cc_context *context, job *j)
{
    cc_gemm_plan(j, context->pool);
    const int64_t items = j->chunks * j->row_blocks * j->column_blocks;
    const int parts = (int)cc_min(j->threads, items);
    float *memory;
    CC_TRY(cc_gemm_provide(j, context->arena, parts, &memory));
    if (j->packed != NULL)
        cc_parallel_for(context->pool, j->threads, j->depth_blocks * j->panels, pack_task, j);
    cc_parallel_for(context->pool, parts, items, block_task, j);
    const int64_t rows = j->groups.count * j->m;
    if (j->partial != NULL)
        cc_parallel_for(context->pool, cc_parts(context->pool, rows, 16), rows, chunk_task, j);
    cc_arena_free(context->arena, memory);
    return CC_OK;
}

/* A few rows against the rows of B: scalar products, so that B streams by once. */
static void dots_task(void *argument, int64_t begin, int64_t end, int part)
{
    static const cc_gemm_epilogue nothing = {0};
    const job *j = argument;
    const cc_gemm_kernels *g = &j->kernels->gemm;
    float block[FEW_DOTS * DOTS_COLUMNS];
    (void)part;
    for (int64_t first = begin * DOTS_COLUMNS; first < end * DOTS_COLUMNS; first += DOTS_COLUMNS) {
        const int64_t columns = cc_min(DOTS_COLUMNS, j->n - first);
        cc_gemm_epilogue here = j->epilogue != NULL ? *j->epilogue : nothing;
        here.scale = here.scale != NULL ? here.scale + first : NULL;
        here.bias = here.bias != NULL ? here.bias + first : NULL;
        here.residual = here.residual != NULL ? here.residual + first : NULL;
        g->dots(j->m, columns, j->k, j->a.data, j->a.ld, j->b.data + first * j->b.ld, j->b.ld, block, DOTS_COLUMNS);
        g->finish(j->m, columns, block, DOTS_COLUMNS, j->c + first, j->ldc, j->accumulate, &here);
    }
}

static cc_status check(const matrix *x, int64_t rows, int64_t columns)
{
    const int64_t length = x->transposed ? rows : columns, count = x->transposed ? columns : rows;
    int64_t size;
    if (x->ld < length)
        return CC_ERR_ARGUMENT;
    return cc_product((const int64_t[]){count, x->ld}, 2, &size);
}

cc_status cc_gemm_grouped(const cc_context *context, const cc_gemm_groups *groups, bool trans_a, bool trans_b,
                          int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                          bool accumulate, float *c, int64_t ldc, const cc_gemm_epilogue *epilogue)
{
    if (context == NULL || groups == NULL || groups->count < 1 || m < 0 || n < 0 || k < 0)
        return CC_ERR_ARGUMENT;
    job j = {
        .kernels = context->kernels, .m = m, .n = n, .k = k, .a = {a, lda, trans_a}, .b = {b, ldb, trans_b},
        .groups = *groups, .c = c, .ldc = ldc, .accumulate = accumulate,
    };
    if (epilogue != NULL &&
        (epilogue->scale != NULL || epilogue->bias != NULL || epilogue->residual != NULL || epilogue->relu))
        j.epilogue = epilogue;
    if (j.epilogue != NULL && groups->count > 1 && groups->step_c != n)
        return CC_ERR_ARGUMENT;
    CC_TRY(check(&j.a, m, k));
    CC_TRY(check(&j.b, k, n));
    CC_TRY(check(&(matrix){c, ldc, false}, m, n));
    if (m == 0 || n == 0)
        return CC_OK;
    const bool one_by_rows = trans_b && !trans_a && groups->count == 1;
    if (one_by_rows && m <= FEW_DOTS && k >= LONG_DOTS) {
        const int64_t blocks = cc_ceil_div(n, DOTS_COLUMNS);
        const int64_t grain = cc_ceil_div(DOTS_GRAIN, DOTS_COLUMNS * cc_min(k, DOTS_GRAIN));
        cc_parallel_for(context->pool, cc_parts(context->pool, blocks, grain), blocks, dots_task, &j);
        return CC_OK;
    }
    /* A large transposed B that few rows of A meet is read once, as the left factor of C' = B' A'. */
    if (one_by_rows && m <= 128 && n / 4 >= m && k / 2 >= m) {
        j.turned = true;
        j.m = n;
        j.n = m;
        j.a = (matrix){b, ldb, false};
        j.b = (matrix){a, lda, true};
    }
    return run(context, &j);
}

cc_status cc_gemm(const cc_context *context, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
                  const float *a, int64_t lda, const float *b, int64_t ldb, bool accumulate, float *c, int64_t ldc,
                  const cc_gemm_epilogue *epilogue)
{
    return cc_gemm_grouped(context, &(cc_gemm_groups){.count = 1}, trans_a, trans_b, m, n, k, a, lda, b, ldb,
                           accumulate, c, ldc, epilogue);
}
