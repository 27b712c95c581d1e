/* gemm/plan.c -- into which blocks a product is cut, and what memory they take. */
#include "job.h"

/* A sum this long is one block: its panel of B comes from the second-level cache, which costs less than C twice. */
#define WHOLE_SUM 848
/* Largest block of longer ones; its panel of B and tile of A share the first-level cache. Where A is read along its
 * columns, the next block of A and B comes to the second-level cache during this one, and both should be there with C. */
#define DEPTH 384
#define DEPTH_TRANSPOSED 256
/* Up to this many rows do not pay for a copy of B, and read as much of each row of it as a tile can. */
#define ROWS_IN_PLACE 128
#define DEPTH_IN_PLACE 128
/* Floats of B and of C that should stay in the second-level cache together. */
#define BLOCK_B (96 << 10)
#define BLOCK_C (64 << 10)
/* Up to this many rows, the thread that owns a block of columns packs its B for itself. */
#define FEW_ROWS 512
/* A sum this long is cut into chunks, so that threads share the sum. Where A is read along its columns much shorter ones
 * are: rows of A and B, which are positions, then stay with the thread that made them, and nobody writes next to another's
 * C, which threads that do not share a cache pay dearly for. At most so many chunks, a power of two, of this many floats
 * together. */
#define LONG_SUM 4096
#define LONG_SUM_TRANSPOSED 512
#define MAX_CHUNKS 8
#define CHUNK_FLOATS (1 << 20)
/* Multiply-adds worth a thread, some microseconds. */
#define GRAIN (1 << 17)

/* How to cut the product. Only panel_columns, depth and chunks touch the bits, and no thread count touches
 * these; and of them panel_columns does not either, because every element is summed alone. */
void cc_gemm_plan(cc_gemm_job *j, const cc_pool *pool)
{
    const cc_kernels *kernels = j->kernels;
    const double work = (double)j->groups.count * (double)j->m * (double)j->n * (double)cc_max(j->k, 1);
    const int threads = j->threads = cc_parts(pool, work < 1e18 ? (int64_t)work : (int64_t)1e18, GRAIN);
    const bool few_rows = !j->a.transposed && !j->b.transposed && j->m <= ROWS_IN_PLACE;
    int width = cc_gemm_width(kernels, j->m, j->n);
    if (few_rows && j->n > width * kernels->lanes)
        width = kernels->gemm.max_vectors;
    j->panel_vectors = width;
    j->panel_columns = (int64_t)width * kernels->lanes;
    j->group_panels = cc_ceil_div(j->n, j->panel_columns);
    j->panels = j->groups.count * j->group_panels;

    int64_t depth = j->k <= WHOLE_SUM ? WHOLE_SUM : DEPTH;
    if (j->a.transposed)
        depth = DEPTH_TRANSPOSED;
    else if (few_rows)
        depth = DEPTH_IN_PLACE;
    j->depth_blocks = cc_max(1, cc_ceil_div(j->k, depth));
    j->depth = cc_max(16, cc_ceil_div(cc_ceil_div(j->k, j->depth_blocks), 16) * 16);
    j->depth_blocks = cc_max(1, cc_ceil_div(j->k, j->depth));
    j->chunks = 1;
    const bool one_c = j->groups.count == 1 || (j->groups.step_c == j->m * j->n && j->epilogue == NULL);
    if (!j->turned && one_c && j->k >= (j->a.transposed ? LONG_SUM_TRANSPOSED : LONG_SUM))
        while (2 * j->chunks <= cc_min(MAX_CHUNKS, j->depth_blocks / 2) && j->n <= CHUNK_FLOATS / 2 / j->chunks / j->m)
            j->chunks *= 2;

    const int64_t panels_in_block = cc_max(1, BLOCK_B / (j->depth * j->panel_columns));
    const int64_t rows_in_block =
        j->depth_blocks == 1 ? FEW_ROWS : cc_max(64, BLOCK_C / (panels_in_block * j->panel_columns));
    const int64_t height = cc_gemm_tile_rows(j);
    j->column_blocks = cc_ceil_div(j->panels, panels_in_block);
    j->row_blocks = 1;
    const int64_t sharing = cc_ceil_div(threads, j->chunks); /* threads that share a chunk */
    const bool few_panels = sharing > 1 && j->panels < 2 * sharing;
    if (j->turned || (j->chunks == 1 && (j->m > FEW_ROWS || few_panels))) {
        const int64_t most = cc_ceil_div(j->m, height);
        j->row_blocks = cc_ceil_div(j->m, j->turned ? 128 : rows_in_block);
        j->row_blocks = cc_min(most, cc_ceil_div(j->row_blocks, threads) * threads);
    } else {
        j->column_blocks = cc_min(j->panels, cc_ceil_div(j->column_blocks, sharing) * sharing);
    }

    const bool one_panel = j->group_panels == 1 && j->n % kernels->lanes == 0;
    j->pack_b = j->b.transposed || !(one_panel || few_rows || j->a.transposed);
}

cc_status cc_gemm_provide(cc_gemm_job *j, cc_arena *arena, int parts, float **memory)
{
    const int64_t padded = cc_gemm_padded(j->kernels, j->n);
    const int64_t panels_in_block = cc_ceil_div(j->panels, j->column_blocks);
    const bool shared = j->pack_b && j->row_blocks > 1;
    int64_t packed = 0, partial = 0, parts_total, total;
    if (shared && cc_product((const int64_t[]){j->k, padded, j->groups.count}, 3, &packed) != CC_OK)
        return CC_ERR_OVERFLOW;
    if (j->chunks > 1)
        partial = cc_ceil_div(j->chunks * j->groups.count * j->m * j->n, 16) * 16;
    const int64_t ragged = cc_ceil_div(panels_in_block, j->group_panels);
    j->scratch_b = shared ? 0 : j->depth * cc_min(padded * j->groups.count, panels_in_block * j->panel_columns);
    if (!j->pack_b)
        j->scratch_b = padded == j->n ? 0 : j->depth * j->panel_columns * (ragged + 1);
    j->scratch_c = j->turned ? 2 * padded * cc_ceil_div(j->m, j->row_blocks) : 0;
    if (!cc_mul(parts, j->scratch_b + j->scratch_c, &parts_total) || !cc_add(packed, parts_total, &total) ||
        !cc_add(total, partial, &total) || total > PTRDIFF_MAX / 16)
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
