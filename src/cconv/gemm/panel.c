/* gemm/panel.c -- panels of B, and what is fetched while tiles sum. */
#include "gemm.h"

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
    /* Rows that make two low tiles of two vectors, but full ones of three. */
    if (g->max_vectors > 2 && 5 * 2 * cc_ceil_div(m, g->max_rows[3]) <= 4 * 3 * cc_ceil_div(m, g->max_rows[2]))
        return 3;
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

/* Floats of a line of the cache. */
#define LINE (CC_ALIGNMENT / (int64_t)sizeof(float))

static cc_gemm_stream stream_of(const cc_gemm_piece *x, int64_t calls, int64_t depth)
{
    if (calls == 0 || x->rows == 0)
        return (cc_gemm_stream){0};
    if (x->columns == x->ld) {
        const int64_t each = cc_ceil_div(x->rows * x->ld, calls);
        return (cc_gemm_stream){.data = x->data, .calls = calls, .step = cc_ceil_div(each, depth), .lines = 1, .leap = each};
    }
    /* One line of each row in a call, the next one in the next. */
    const int64_t lines = cc_ceil_div(x->columns, LINE);
    return (cc_gemm_stream){.data = x->data, .calls = cc_min(calls, lines * cc_ceil_div(x->rows, depth)), .step = x->ld,
                            .lines = lines, .leap = depth * x->ld};
}

cc_gemm_fetches cc_gemm_fetches_of(const cc_gemm_piece pieces[2], int64_t calls, int64_t depth)
{
    const int64_t size = pieces[0].rows * pieces[0].columns, total = size + pieces[1].rows * pieces[1].columns;
    if (total == 0 || depth == 0)
        return (cc_gemm_fetches){0};
    const int64_t turn = (calls * size + total / 2) / total;
    return (cc_gemm_fetches){{stream_of(&pieces[0], turn, depth), stream_of(&pieces[1], calls - turn, depth)}};
}

cc_gemm_ahead cc_gemm_fetch(cc_gemm_fetches *fetches)
{
    cc_gemm_stream *s = &fetches->stream[fetches->stream[0].calls == 0];
    if (s->calls == 0)
        return (cc_gemm_ahead){NULL, 0};
    const cc_gemm_ahead ahead = {s->data + s->line * LINE, s->step};
    s->calls--;
    if (++s->line == s->lines) {
        s->line = 0;
        s->data += s->leap;
    }
    return ahead;
}
