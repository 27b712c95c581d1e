/* gemm/panel.c -- one panel of B against any number of rows of A. */
#include "gemm.h"

/* Rows of A this many floats apart fall on the same lines of the first-level cache, of which it holds so many. */
#define COLLIDING 1024
#define WAYS 8

/* Columns of more vectors than these are two panels where rows are many: taller tiles start less often. */
#define NARROW 3
#define NARROW_ROWS 128

int cc_gemm_width(const cc_kernels *kernels, int64_t m, int64_t n)
{
    const cc_gemm_kernels *g = &kernels->gemm;
    const int64_t vectors = cc_ceil_div(n, kernels->lanes);
    if (vectors <= g->max_vectors && (vectors <= NARROW || m <= NARROW_ROWS))
        return (int)cc_max(vectors, 1);
    for (int v = g->max_vectors; v > 2; v--)
        if (m <= g->max_rows[v])
            return v; /* few rows: the widest tile keeps most sums in flight */
    return 2; /* the best ratio of arithmetic to loads of B */
}

void cc_gemm_pack_b(const cc_kernels *kernels, bool trans_b, int64_t n, int64_t k, const float *b, int64_t ldb,
                    float *panel)
{
    const int64_t padded = cc_gemm_padded(kernels, n);
    if (trans_b)
        kernels->gemm.transpose(n, k, b, ldb, panel, padded, padded);
    else
        kernels->gemm.copy(k, n, b, ldb, panel, padded);
}

void cc_gemm_panel(const cc_kernels *kernels, int64_t m, int64_t n, int64_t k, const float *a, int64_t a_row,
                   int64_t a_step, const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate,
                   const cc_gemm_ahead *ahead)
{
    static const cc_gemm_epilogue nothing = {0};
    const cc_gemm_kernels *g = &kernels->gemm;
    const int64_t padded = cc_gemm_padded(kernels, n);
    const int v = (int)(padded / kernels->lanes);
    const bool collide = a_step == 1 && a_row % COLLIDING == 0;
    const int64_t tiles = cc_ceil_div(m, collide ? cc_min(g->max_rows[v], WAYS) : g->max_rows[v]);
    _Alignas(CC_ALIGNMENT) float ragged[CC_TILE_MAX_ROWS * 64];

    for (int64_t t = 0, i = 0; t < tiles; t++) {
        const int64_t rows = cc_ceil_div(m - i, tiles - t);
        const bool whole = padded == n;
        float *ci = c + i * ldc, *to = whole ? ci : ragged;
        const int64_t ldto = whole ? ldc : padded;
        if (a_step == 1)
            g->tile[v][rows](1, NULL, k, a + i * a_row, a_row, 1, b, ldb, to, ldto, whole && accumulate,
                             t == 0 ? ahead : NULL);
        else
            g->tile_t[v][rows](1, NULL, k, a + i, a_step, b, ldb, to, ldto, whole && accumulate, t == 0 ? ahead : NULL);
        if (!whole)
            g->finish(rows, n, ragged, padded, ci, ldc, accumulate, &nothing);
        i += rows;
    }
}

/* Floats of a line of the cache. */
#define LINE (CC_ALIGNMENT / (int64_t)sizeof(float))

cc_gemm_ahead cc_gemm_fetch(const cc_gemm_piece pieces[2], int64_t calls, int64_t i, int64_t depth)
{
    const int64_t size = pieces[0].rows * pieces[0].columns, total = size + pieces[1].rows * pieces[1].columns;
    if (total == 0 || depth == 0)
        return (cc_gemm_ahead){NULL, 0};
    const int64_t turn = (calls * size + total / 2) / total;
    const cc_gemm_piece *x = &pieces[i >= turn];
    const int64_t mine = i >= turn ? i - turn : i, all = i >= turn ? calls - turn : turn;
    if (x->columns == x->ld) {
        const int64_t begin = x->rows * x->ld * mine / all, end = x->rows * x->ld * (mine + 1) / all;
        return (cc_gemm_ahead){x->data + begin, cc_ceil_div(end - begin, depth)};
    }
    /* One line of each row in a call, the next one in the next. */
    const int64_t lines = cc_ceil_div(x->columns, LINE), row = mine / lines * depth;
    return (cc_gemm_ahead){row < x->rows ? x->data + row * x->ld + mine % lines * LINE : NULL, x->ld};
}
