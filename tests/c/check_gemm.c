/* Sums of `terms` products of values below 1: within terms * 2^-23. */
#include "check.h"

#define EPS 1.2e-7

/* Each tile of the table is run with taps and without, adding and overwriting; one of tile and tile_t is given. */
static void check_tile(check *c, cc_gemm_tile tile, cc_gemm_tile_t tile_t, int vectors, int rows)
{
    const bool transposed = tile == NULL;
    const int64_t width = (int64_t)vectors * c->kernels->lanes;
    const int64_t taps = c->bench ? 1 : check_integer(c, 1, 3), depth = c->bench ? 256 : check_integer(c, 0, 9);
    const int64_t ldb = width + check_integer(c, 0, 5), ldc = width + check_integer(c, 0, 5);
    const int64_t a_row = transposed ? 1 : depth + check_integer(c, 0, 3);
    const int64_t a_step = transposed ? rows + check_integer(c, 0, 3) : 1;
    const int64_t span = depth == 0 ? 1 : (rows - 1) * a_row + (depth - 1) * a_step + 1;
    const bool accumulate = check_integer(c, 0, 1) == 1;

    int64_t offset[3];
    for (int64_t t = 0; t < taps; t++)
        offset[t] = check_integer(c, 0, 7);
    const bool plain = taps == 1 && (c->bench || check_integer(c, 0, 1) == 1);
    if (plain)
        offset[0] = 0;

    const float *a = check_f32(c, span + 7), *b = check_f32(c, depth * taps > 0 ? (depth * taps - 1) * ldb + width : 0);
    float *y = check_f32(c, (rows - 1) * ldc + width);
    const int64_t size = (rows - 1) * ldc + width;
    double *expected = check_f64(c, size);
    for (int64_t i = 0; i < size; i++)
        expected[i] = (double)y[i]; /* what lies between the rows stays */
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < width; j++) {
            double sum = accumulate ? (double)y[r * ldc + j] : 0;
            for (int64_t t = 0; t < taps; t++)
                for (int64_t k = 0; k < depth; k++)
                    sum += (double)a[offset[t] + r * a_row + k * a_step] * (double)b[(t * depth + k) * ldb + j];
            expected[r * ldc + j] = sum;
        }
    const cc_gemm_ahead ahead = {b, 16};
    if (transposed)
        tile_t(taps, plain ? NULL : offset, depth, a, a_step, b, ldb, y, ldc, accumulate, plain ? NULL : &ahead);
    else
        tile(taps, plain ? NULL : offset, depth, a, a_row, a_step, b, ldb, y, ldc, accumulate, plain ? NULL : &ahead);
    check_near_f32(c, y, expected, size, EPS, (double)(taps * depth + 1));
    BENCH(c, 2.0 * (double)(rows * width * depth), "FLOP",
          transposed ? tile_t(1, NULL, depth, a, a_step, b, ldb, y, ldc, false, NULL)
                     : tile(1, NULL, depth, a, a_row, a_step, b, ldb, y, ldc, false, NULL));
    check_done(c);
}

/* y = max(([y +] x) * scale + bias + residual, 0); what lies between the rows stays. */
static void finish(check *c)
{
    SLOT(c, gemm.finish);
    const int64_t rows = check_integer(c, 0, 4), cols = c->bench ? 512 : check_integer(c, 0, 4 * c->kernels->lanes + 1);
    const int64_t ldx = cols + check_integer(c, 0, 3), ldy = cols + check_integer(c, 0, 3), ldr = cols + check_integer(c, 0, 3);
    const int64_t options = check_integer(c, 0, 31);
    const bool accumulate = (options & 1) != 0, relu = (options & 2) != 0;
    const float *x = check_f32(c, rows * ldx), *bias = check_f32(c, cols), *scale = check_f32(c, cols), *residual = check_f32(c, rows * ldr);
    float *y = check_f32(c, rows * ldy);
    double *expected = check_f64(c, rows * ldy);
    const cc_gemm_epilogue epilogue = {.scale = (options & 16) != 0 ? scale : NULL,
                                       .bias = (options & 4) != 0 ? bias : NULL,
                                       .residual = (options & 8) != 0 ? residual : NULL,
                                       .ld_residual = ldr, .relu = relu};
    for (int64_t i = 0; i < rows * ldy; i++)
        expected[i] = (double)y[i];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < cols; j++) {
            double *e = expected + r * ldy + j;
            *e = (accumulate ? *e : 0) + (double)x[r * ldx + j];
            *e *= epilogue.scale != NULL ? (double)scale[j] : 1;
            *e += epilogue.bias != NULL ? (double)bias[j] : 0;
            *e += epilogue.residual != NULL ? (double)residual[r * ldr + j] : 0;
            if (relu && *e < 0)
                *e = 0;
        }
    c->kernels->gemm.finish(rows, cols, x, ldx, y, ldy, accumulate, &epilogue);
    check_near_f32(c, y, expected, rows * ldy, EPS, 4);
    check_done(c);
}

static void dots(check *c)
{
    SLOT(c, gemm.dots);
    const int64_t rows = check_integer(c, 0, 6), cols = check_integer(c, 0, 6);
    const int64_t depth = c->bench ? 1024 : check_integer(c, 0, 3 * c->kernels->lanes);
    const int64_t lda = depth + check_integer(c, 0, 3), ldb = depth + check_integer(c, 0, 3), ldy = cols + check_integer(c, 0, 3);
    const float *a = check_f32(c, rows * lda), *b = check_f32(c, cols * ldb);
    float *y = check_f32(c, rows * ldy);
    double *expected = check_f64(c, rows * ldy);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < ldy; j++) {
            double sum = 0;
            for (int64_t p = 0; p < depth && j < cols; p++)
                sum += (double)a[i * lda + p] * (double)b[j * ldb + p];
            expected[i * ldy + j] = j < cols ? sum : (double)y[i * ldy + j];
        }
    c->kernels->gemm.dots(rows, cols, depth, a, lda, b, ldb, y, ldy);
    check_near_f32(c, y, expected, rows * ldy, EPS, (double)(depth + 1));
    BENCH(c, 2.0 * (double)(rows * cols * depth), "FLOP", c->kernels->gemm.dots(rows, cols, depth, a, lda, b, ldb, y, ldy));
    check_done(c);
}

static void copies(check *c)
{
    const int64_t rows = check_integer(c, 0, 2 * c->kernels->lanes + 1), cols = check_integer(c, 0, 2 * c->kernels->lanes + 1);
    const int64_t ldx = cols + check_integer(c, 0, 3), wide = cols + check_integer(c, 0, 20), tall = rows + check_integer(c, 0, 20);
    const int64_t padded = rows + check_integer(c, 0, tall - rows);
    const float *x = check_f32(c, rows * ldx);
    float *y = check_f32(c, rows * wide), *yt = check_f32(c, cols * tall);
    double *expected = check_f64(c, rows * wide), *turned = check_f64(c, cols * tall);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < wide; j++)
            expected[r * wide + j] = j < cols ? (double)x[r * ldx + j] : 0;
    for (int64_t j = 0; j < cols; j++)
        for (int64_t r = 0; r < tall; r++)
            turned[j * tall + r] = r < rows ? (double)x[r * ldx + j] : r < padded ? 0 : (double)yt[j * tall + r];
    SLOT(c, gemm.copy);
    c->kernels->gemm.copy(rows, cols, x, ldx, y, wide);
    check_near_f32(c, y, expected, rows * wide, 0, 0);
    SLOT(c, gemm.transpose);
    c->kernels->gemm.transpose(rows, cols, x, ldx, yt, tall, padded);
    check_near_f32(c, yt, turned, cols * tall, 0, 0);
    check_done(c);
}

void check_gemm(check *c)
{
    finish(c);
    dots(c);
    copies(c);
    const cc_gemm_kernels *gemm = &c->kernels->gemm;
    SLOT_DATA(c, gemm.max_vectors);
    SLOT_DATA(c, gemm.max_rows);
    EXPECT(c, gemm->max_vectors >= 1 && gemm->max_vectors <= CC_TILE_MAX_VECTORS);
    for (int v = 1; v <= gemm->max_vectors; v++) {
        EXPECT(c, gemm->max_rows[v] >= 1 && gemm->max_rows[v] <= CC_TILE_MAX_ROWS);
        for (int r = 1; r <= gemm->max_rows[v]; r++) {
            char name[64];
            snprintf(name, sizeof name, "gemm.tile[%d][%d]", v, r);
            check_slot(c, name, &gemm->tile[v][r], sizeof gemm->tile[v][r]);
            if (EXPECT(c, gemm->tile[v][r] != NULL))
                check_tile(c, gemm->tile[v][r], NULL, v, r);
            snprintf(name, sizeof name, "gemm.tile_t[%d][%d]", v, r);
            check_slot(c, name, &gemm->tile_t[v][r], sizeof gemm->tile_t[v][r]);
            if (EXPECT(c, gemm->tile_t[v][r] != NULL))
                check_tile(c, NULL, gemm->tile_t[v][r], v, r);
            c->what = "gemm";
        }
    }
    /* The generic table has tiles that this one does without. */
    SLOT_DATA(c, gemm.tile);
    SLOT_DATA(c, gemm.tile_t);
}
