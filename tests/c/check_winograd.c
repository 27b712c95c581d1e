/* Transforms as products with the matrices of the construction, in double. Their entries reach 6, so that 36 terms of
 * two transforms stay within 600 eps of values below 1. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "winograd_matrices.h"

#define EPS 1.2e-7
#define SCALE 1000

#define FORM_SLOT(c, form, member)                                                                                    \
    check_slot((c), (form)->image == 2    ? "winograd 2x2: " #member                                                 \
                    : (form)->stride == 2 ? "winograd strided: " #member                                               \
                    : (form)->taps == 3   ? "winograd 3x3: " #member : "winograd 5x5: " #member,                       \
               &(form)->member, sizeof (form)->member)

/* What a transform does along both axes; those of the strided form are one of a phase's. */
typedef struct both {
    matrix down, across;
} both;

static bool lone_row(const cc_winograd_kernels *form, int phase) { return form->phases > 1 && phase >= 2; }

static bool lone_column(const cc_winograd_kernels *form, int phase)
{
    return form->phases > 1 && (phase == 0 || phase == 3);
}

/* Places of point 0 are not there for a lone tap. */
static bool has(const cc_winograd_kernels *form, int phase, int xi)
{
    return !(lone_row(form, phase) && xi < form->points) && !(lone_column(form, phase) && xi % form->points == 0);
}

/* Of the powers' columns, one for each of a kernel's taps: the second of two stands for a lone one. */
static matrix tap_powers(const cc_winograd_kernels *form, bool lone)
{
    if (form->image > 0)
        return pair_weights;
    if (form->phases == 1)
        return powers(6, (int)form->taps, true);
    const matrix two = powers(5, 2, true);
    matrix m = {.rows = 5, .columns = 3};
    for (int p = 0; p < 5; p++) {
        m.at[p][0] = lone ? 0 : two.at[p][0];
        m.at[p][1] = lone ? two.at[p][1] : 0;
        m.at[p][2] = lone ? 0 : two.at[p][1];
    }
    return m;
}

static both kernel_powers(const cc_winograd_kernels *form, int phase)
{
    return (both){tap_powers(form, lone_row(form, phase)), tap_powers(form, lone_column(form, phase))};
}

static matrix transposed(matrix m)
{
    matrix t = {.rows = m.columns, .columns = m.rows};
    for (int i = 0; i < t.rows; i++)
        for (int j = 0; j < t.columns; j++)
            t.at[i][j] = m.at[j][i];
    return t;
}

/* out = down x across' */
static void apply(both m, const double x[6][6], double out[6][6])
{
    for (int i = 0; i < m.down.rows; i++)
        for (int j = 0; j < m.across.rows; j++) {
            out[i][j] = 0;
            for (int k = 0; k < m.down.columns; k++)
                for (int l = 0; l < m.across.columns; l++)
                    out[i][j] += m.down.at[i][k] * x[k][l] * m.across.at[j][l];
        }
}

static cc_winograd_planes random_planes(check *c, int64_t rows, int64_t columns, int64_t *size)
{
    const int64_t lanes = c->kernels->lanes, width = lanes * check_integer(c, 1, 3);
    cc_winograd_planes p = {.width = width, .block = rows * width + check_integer(c, 0, 1) * lanes};
    p.plane = (columns + width - 1) / width * p.block + check_integer(c, 0, 3);
    *size = CC_WINOGRAD_PLACES * p.plane;
    p.data = check_f32(c, *size);
    return p;
}

/* The same at whole lines of the caches, written past them. */
static cc_winograd_planes past_caches(check *c, cc_winograd_planes p, int64_t *size)
{
    const int64_t line = CC_ALIGNMENT / (int64_t)sizeof(float);
    p.plane = (p.plane + line - 1) / line * line;
    *size = CC_WINOGRAD_PLACES * p.plane;
    p.data = check_f32(c, *size + line);
    p.data += (CC_ALIGNMENT - (uintptr_t)p.data % CC_ALIGNMENT) % CC_ALIGNMENT / sizeof(float);
    p.past = true;
    return p;
}

static int64_t at(const cc_winograd_planes *p, int xi, int64_t row, int64_t column)
{
    return xi * p->plane + column / p->width * p->block + row * p->width + column % p->width;
}

static double *as_double(check *c, const float *x, int64_t n)
{
    double *copy = check_f64(c, n);
    for (int64_t i = 0; i < n; i++)
        copy[i] = (double)x[i];
    return copy;
}

static int64_t filled(const check *c, int64_t columns)
{
    return (columns + c->kernels->lanes - 1) / c->kernels->lanes * c->kernels->lanes;
}

/* Of the strided form, a phase or a turned image. */
static cc_winograd_grid random_grid(check *c, const cc_winograd_kernels *form, int64_t border, int64_t *channels)
{
    cc_winograd_grid g = {.height = check_integer(c, 1, 11), .width = check_integer(c, 1, 21),
                          .top = check_integer(c, 0, border), .left = check_integer(c, 0, border)};
    const int64_t jump = form->stride == 2 ? check_integer(c, 1, 2) : 1;
    *channels = check_integer(c, 0, 9) == 0 ? check_integer(c, 500, 540) : check_integer(c, 1, 3 * c->kernels->lanes + 1);
    g.pixel = jump * (*channels + check_integer(c, 0, 3));
    g.line = jump * g.width * g.pixel;
    g.image = jump * g.height * g.line;
    /* A mosaic of some images, or each for itself. */
    const bool alone = form->stride == 2 || check_integer(c, 0, 1) == 0;
    g.down = alone ? 1 : check_integer(c, 1, 3);
    g.across = alone ? 1 : check_integer(c, 1, 3);
    g.row_period = alone ? 0 : g.height + check_integer(c, 0, 4);
    g.column_period = alone ? 0 : g.width + check_integer(c, 0, 4);
    g.rows = ((g.down - 1) * g.row_period + g.height + g.top + form->step - 1) / form->step;
    g.columns = ((g.across - 1) * g.column_period + g.width + g.left + form->step - 1) / form->step;
    return g;
}

#define OUTSIDE INT64_MIN
/* Offset of pixel (i, j) of a tile. */
static int64_t pixel(const cc_winograd_kernels *form, const cc_winograd_grid *g, int64_t tile, int64_t i, int64_t j)
{
    const int64_t mosaic = tile / (g->rows * g->columns), rest = tile % (g->rows * g->columns);
    const int64_t y = form->step * (rest / g->columns) - g->top + i, x = form->step * (rest % g->columns) - g->left + j;
    if (y < 0 || x < 0)
        return OUTSIDE;
    const int64_t below = g->down > 1 ? y / g->row_period : 0, beside = g->across > 1 ? x / g->column_period : 0;
    const int64_t row = y - below * g->row_period, column = x - beside * g->column_period;
    if (below >= g->down || row >= g->height || beside >= g->across || column >= g->width)
        return OUTSIDE;
    return ((mosaic * g->down + below) * g->across + beside) * g->image + row * g->line + column * g->pixel;
}

/* Begin of the images in `floats`; a strided form may see them turned. */
static int64_t turn(check *c, const cc_winograd_kernels *form, cc_winograd_grid *g)
{
    if (form->stride == 1 || check_integer(c, 0, 1) == 0)
        return 0;
    const int64_t last = (g->height - 1) * g->line + (g->width - 1) * g->pixel;
    g->line = -g->line;
    g->pixel = -g->pixel;
    return last;
}

enum { MOSAICS = 2 };
static int64_t images_of(const cc_winograd_grid *g) { return MOSAICS * g->down * g->across; }

/* A run of tiles somewhere in the images. */
static void random_run(check *c, const cc_winograd_grid *g, int64_t *first, int64_t *tiles)
{
    const int64_t all = MOSAICS * g->rows * g->columns;
    *first = check_integer(c, 0, all - 1);
    *tiles = check_integer(c, 1, all - *first < 5 ? all - *first : 5);
}

static void spread(check *c, const cc_winograd_kernels *form, int phase, bool gradient)
{
    int64_t channels, first, tiles, size;
    cc_winograd_grid g = random_grid(c, form, gradient ? 0 : form->taps - 1, &channels);
    float *zeros = check_f32(c, g.line);
    memset(zeros, 0, (size_t)g.line * sizeof(float));
    g.zeros = zeros;
    random_run(c, &g, &first, &tiles);
    const int step = (int)form->step, points = (int)form->points, edge = gradient || form->image > 0 ? step : points;
    const matrix m = gradient ? gradient_matrix(form) : input_matrix(form);
    const float *image = check_f32(c, images_of(&g) * g.image);
    image += turn(c, form, &g);
    cc_winograd_planes v = random_planes(c, tiles, channels, &size);
    if (check_integer(c, 0, 1) == 1)
        v = past_caches(c, v, &size);
    double *expected = as_double(c, v.data, size);
    for (int64_t t = 0; t < tiles; t++)
        for (int64_t k = 0; k < filled(c, channels); k++) {
            double x[6][6] = {{0}}, y[6][6];
            for (int i = 0; i < edge; i++)
                for (int j = 0; j < edge; j++) {
                    const int64_t p = pixel(form, &g, first + t, i, j);
                    x[i][j] = p != OUTSIDE && k < channels ? (double)image[p + k] : 0;
                }
            apply((both){m, m}, x, y);
            for (int xi = 0; xi < points * points; xi++)
                if (gradient || has(form, phase, xi))
                    expected[at(&v, xi, t, k)] = y[xi / points][xi % points];
        }
    if (gradient)
        form->gradient(&g, image, channels, first, tiles, &v);
    else
        form->input[phase](&g, image, channels, first, tiles, &v);
    check_near_f32(c, v.data, expected, size, EPS, SCALE);
    check_done(c);
}

static void output(check *c, const cc_winograd_kernels *form, int phase)
{
    FORM_SLOT(c, form, output);
    const int step = (int)form->step, points = (int)form->points;
    int64_t channels, first, tiles, size;
    cc_winograd_grid g = random_grid(c, form, form->stride - 1, &channels);
    random_run(c, &g, &first, &tiles);
    const int64_t options = check_integer(c, 0, 15), pixels = images_of(&g) * g.image, begin = turn(c, form, &g);
    const float *bias = check_f32(c, channels), *scale = check_f32(c, channels), *residual = check_f32(c, pixels);
    const bool with_bias = (options & 1) != 0, with_residual = (options & 2) != 0, relu = (options & 4) != 0;
    const bool with_scale = (options & 8) != 0;
    const cc_winograd_planes m = random_planes(c, tiles, channels, &size);
    for (int xi = 0; xi < points * points; xi++)
        for (int64_t t = 0; t < tiles; t++)
            for (int64_t k = channels; k < filled(c, channels); k++)
                m.data[at(&m, xi, t, k)] = 0;
    float *image = check_f32(c, pixels);
    double *expected = as_double(c, image, pixels), largest = 0, total = 0;
    const matrix a = transposed(gradient_matrix(form));
    for (int64_t t = 0; t < tiles; t++)
        for (int64_t k = 0; k < channels; k++) {
            double x[6][6], y[6][6];
            for (int xi = 0; xi < points * points; xi++)
                x[xi / points][xi % points] = has(form, phase, xi) ? (double)m.data[at(&m, xi, t, k)] : 0;
            apply((both){a, a}, x, y);
            for (int i = 0; i < step; i++)
                for (int j = 0; j < step; j++) {
                    const int64_t p = pixel(form, &g, first + t, i, j);
                    total += fabs(y[i][j]);
                    if (p == OUTSIDE)
                        continue;
                    largest = fmax(largest, fabs(y[i][j]));
                    double value = y[i][j] * (with_scale ? (double)scale[k] : 1) + (with_bias ? (double)bias[k] : 0);
                    value += with_residual ? (double)residual[begin + p + k] : 0;
                    expected[begin + p + k] = relu && value < 0 ? 0 : value;
                }
        }
    const float bound = form->output[phase](&g, &m, channels, first, tiles, with_scale ? scale : NULL,
                                            with_bias ? bias : NULL, with_residual ? residual + begin : NULL, relu,
                                            image + begin);
    check_near_f32(c, image, expected, pixels, EPS, SCALE);
    EXPECT(c, (double)bound >= largest * 0.999 && (double)bound <= total * 1.001);
    const int64_t last = first + tiles - 1;
    if (pixel(form, &g, last, 1, 1) != OUTSIDE) {
        m.data[at(&m, form->image > 0 ? 4 : 14, tiles - 1, channels - 1)] = INFINITY;
        EXPECT(c, !isfinite(form->output[phase](&g, &m, channels, first, tiles, NULL, NULL, NULL, false, image + begin)));
    }
    check_done(c);
}

static void weight(check *c, const cc_winograd_kernels *form, int phase, bool back)
{
    const bool turned = back && form->stride == 1;
    const int taps = (int)form->taps, area = taps * taps;
    const int64_t inputs = check_integer(c, 1, 2 * c->kernels->lanes + 3), outputs = check_integer(c, 1, 2 * c->kernels->lanes + 3);
    const int64_t row = area * (inputs + check_integer(c, 0, 2)), rows = back ? outputs : inputs;
    const int64_t columns = back ? inputs : outputs;
    const float *w = check_f32(c, (outputs - 1) * row + inputs * area);
    int64_t size;
    const cc_winograd_planes u = random_planes(c, rows, columns, &size);
    double *expected = as_double(c, u.data, size);
    const int points = (int)form->points;
    const both g = kernel_powers(form, phase);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < filled(c, columns); k++) {
            double x[6][6] = {{0}}, y[6][6];
            for (int e = 0; e < area && k < columns; e++)
                x[e / taps][e % taps] =
                    (double)(back ? w[r * row + k * area + (turned ? area - 1 - e : e)] : w[k * row + r * area + e]);
            apply(g, x, y);
            for (int xi = 0; xi < points * points; xi++)
                if (has(form, phase, xi))
                    expected[at(&u, xi, r, k)] = y[xi / points][xi % points];
        }
    if (back)
        form->weight_back[phase](w, row, outputs, inputs, &u);
    else
        form->weight[phase](w, row, inputs, outputs, &u);
    check_near_f32(c, u.data, expected, size, EPS, SCALE);
    check_done(c);
}

static void weight_gradient(check *c, const cc_winograd_kernels *form)
{
    const int taps = (int)form->taps, area = taps * taps, points = (int)form->points;
    const int64_t inputs = check_integer(c, 1, 2 * c->kernels->lanes + 3), outputs = check_integer(c, 1, 2 * c->kernels->lanes + 3);
    const int64_t row = area * (inputs + check_integer(c, 0, 2)), count = (outputs - 1) * row + inputs * area;
    int64_t size, w_size;
    float *dw = check_f32(c, count);
    double *expected = as_double(c, dw, count);
    const cc_winograd_planes w = random_planes(c, inputs, outputs, &w_size);
    FORM_SLOT(c, form, weight_gradient);
    for (int phase = 0; phase < form->phases; phase++) {
        const cc_winograd_planes u = random_planes(c, inputs, outputs, &size);
        for (int xi = 0; xi < points * points; xi++)
            for (int64_t i = 0; i < inputs; i++)
                for (int64_t o = outputs; o < filled(c, outputs); o++)
                    u.data[at(&u, xi, i, o)] = 0;
        const both powers = kernel_powers(form, phase), g = {transposed(powers.down), transposed(powers.across)};
        double total = 0;
        for (int64_t i = 0; i < inputs; i++)
            for (int64_t o = 0; o < outputs; o++) {
                double x[6][6], y[6][6];
                for (int xi = 0; xi < points * points; xi++)
                    x[xi / points][xi % points] = has(form, phase, xi) ? (double)u.data[at(&u, xi, i, o)] : 0;
                apply(g, x, y);
                for (int e = 0; e < area; e++) {
                    expected[o * row + i * area + e] += y[e / taps][e % taps];
                    total += fabs(y[e / taps][e % taps]);
                }
            }
        const float sum = form->weight_gradient[phase](&u, inputs, outputs, &w);
        EXPECT(c, fabs((double)sum - total) <= 1e-4 * total);
    }
    FORM_SLOT(c, form, weight_add);
    form->weight_add(&w, inputs, outputs, dw, row);
    check_near_f32(c, dw, expected, count, EPS, SCALE);
    check_done(c);
}

void check_winograd(check *c)
{
    for (int f = 0; f < CC_WINOGRAD_FORMS; f++) {
        const cc_winograd_kernels *form = &c->kernels->winograd[f];
        SLOT_DATA(c, winograd[f].image);
        SLOT_DATA(c, winograd[f].stride);
        SLOT_DATA(c, winograd[f].step);
        SLOT_DATA(c, winograd[f].taps);
        SLOT_DATA(c, winograd[f].points);
        SLOT_DATA(c, winograd[f].phases);
        SLOT_DATA(c, winograd[f].whole);
        EXPECT(c, form->image > 0 || form->step + cc_ceil_div(form->taps, form->stride) == form->points + 1);
        EXPECT(c, has(form, (int)form->whole, 0));
        FORM_SLOT(c, form, gradient);
        spread(c, form, 0, true);
        weight_gradient(c, form);
        FORM_SLOT(c, form, input);
        FORM_SLOT(c, form, weight);
        FORM_SLOT(c, form, weight_back);
        for (int phase = 0; phase < form->phases; phase++) {
            spread(c, form, phase, false);
            output(c, form, phase);
            weight(c, form, phase, false);
            weight(c, form, phase, true);
        }
    }
}
