/* conv/winograd_weight_products.c -- the products of Winograd's backward_weight (winograd_weight.c). */
#include "gemm/gemm.h"
#include "winograd_weight.h"

#define SLICE CC_WINOGRAD_SLICE

/* Inputs and outputs of a place. */
typedef struct product {
    int64_t xi, input, inputs, block;
} product;

/* Register tiles that `rows` inputs make. */
static int64_t strips_of(int64_t rows, int64_t tallest)
{
    return rows / SLICE * cc_ceil_div(SLICE, tallest) + cc_ceil_div(rows % SLICE, tallest);
}

/* u = [u +] V[xi]' D[xi], in `chunks` sums, while what comes next is fetched. */
static void multiply(const cc_winograd_weight_job *j, const product *p, int64_t chunks, float *u, bool accumulate,
                     cc_gemm_fetches *fetches)
{
    const cc_winograd_planes *v = &j->v, *d = &j->d;
    const int64_t vectors = cc_winograd_vectors(j->kernels, &j->columns, p->block);
    const cc_gemm_tile_t *tile = j->kernels->gemm.tile_t[vectors];
    const int tallest = j->kernels->gemm.max_rows[vectors];
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        const int64_t t = j->now * chunk / chunks, depth = j->now * (chunk + 1) / chunks - t;
        const float *b = d->data + p->xi * d->plane + p->block * d->block + t * d->width;
        for (int64_t i = 0; i < p->inputs; i += SLICE) {
            const int64_t rows = cc_min(SLICE, p->inputs - i), strips = cc_ceil_div(rows, tallest);
            const float *a = v->data + p->xi * v->plane + (p->input + i) / SLICE * v->block + t * SLICE;
            for (int64_t s = 0; s < strips; s++) {
                const int64_t r = rows * s / strips;
                const cc_gemm_ahead ahead = cc_gemm_fetch(fetches);
                tile[rows * (s + 1) / strips - r](1, NULL, depth, a + r, SLICE, b, d->width, u + (i + r) * j->u.width,
                                                  j->u.width, accumulate || chunk > 0, ahead.data != NULL ? &ahead : NULL);
            }
        }
    }
}

/* What the next place has of V and D, where a core's cache does not hold the run. */
static cc_gemm_fetches look_ahead(const cc_winograd_weight_job *j, const product *p, int64_t calls, int64_t depth)
{
    const cc_winograd_planes *v = &j->v, *d = &j->d;
    if (j->shares > 1 || p->xi + 1 == j->places)
        return (cc_gemm_fetches){0};
    const cc_gemm_piece next[2] = {
        {v->data + (p->xi + 1) * v->plane + p->input / SLICE * v->block, cc_ceil_div(p->inputs, SLICE), v->block, v->block},
        {d->data + (p->xi + 1) * d->plane + p->block * d->block, j->now, d->width, d->width}};
    return cc_gemm_fetches_of(next, calls, depth);
}

void cc_winograd_add_products(const cc_winograd_weight_job *j, int64_t xi, int64_t input, int64_t inputs, int64_t apart,
                              int64_t block, float *u, bool accumulate)
{
    const int64_t vectors = cc_winograd_vectors(j->kernels, &j->columns, block);
    const int64_t chunks = cc_ceil_div(j->now, CC_WINOGRAD_DEPTH);
    int64_t begin, end;
    cc_winograd_phases(j->form, xi, &begin, &end);
    product p = {xi, begin * j->inputs + input, inputs, block};
    const int64_t calls = (end - begin) * chunks * strips_of(inputs, j->kernels->gemm.max_rows[vectors]);
    cc_gemm_fetches fetches = look_ahead(j, &p, calls, j->now / chunks);
    for (int64_t phase = begin; phase < end; phase++, p.input += j->inputs)
        multiply(j, &p, chunks, u + phase * apart * j->u.width, accumulate, &fetches);
}
