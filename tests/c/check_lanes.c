/* An image in each vector lane: element e of image `lane` of a plane stands at e*lanes + lane. */
#include <math.h>

#include "check.h"

#define EPS 1.2e-7

static int64_t lanes_of(const check *c) { return c->kernels->lanes; }

static cc_lanes_shape random_shape(check *c)
{
    cc_lanes_shape s = {.ic = check_integer(c, 1, 7), .oc = check_integer(c, 1, 13), .kh = check_integer(c, 1, 5),
                        .kw = check_integer(c, 1, 7)};
    if (c->bench)
        s = (cc_lanes_shape){.ic = 6, .oc = 16, .kh = 5, .kw = 5};
    s.oh = c->bench ? 10 : check_integer(c, 2, 7);
    s.ow = c->bench ? 10 : check_integer(c, 2, 14);
    s.xh = s.oh + s.kh - 1;
    s.xw = s.ow + s.kw - 1;
    s.ph = s.oh / 2;
    s.pw = s.ow / 2;
    if (!c->bench) {
        s.pad_rows = check_integer(c, 0, s.kh - 1);
        s.pad_rows_end = check_integer(c, 0, s.kh - 1);
        s.pad_columns = check_integer(c, 0, s.kw - 1);
        s.pad_columns_end = check_integer(c, 0, s.kw - 1);
    }
    return s;
}

static cc_lanes_target random_target(check *c, int64_t channels, int64_t h, int64_t w, int64_t *size)
{
    cc_lanes_target t = {.top = check_integer(c, 0, 2), .left = check_integer(c, 0, 2)};
    t.rows = h + t.top + check_integer(c, 0, 2);
    t.columns = w + t.left + check_integer(c, 0, 2);
    *size = channels * t.rows * t.columns * lanes_of(c);
    t.data = check_f32(c, *size);
    return t;
}

static int64_t at(const check *c, cc_lanes_target t, int64_t channel, int64_t y, int64_t x, int64_t lane)
{
    return ((channel * t.rows + y + t.top) * t.columns + x + t.left) * lanes_of(c) + lane;
}

static double *as_double(check *c, const float *x, int64_t n)
{
    double *copy = check_f64(c, n);
    for (int64_t i = 0; i < n; i++)
        copy[i] = (double)x[i];
    return copy;
}

/* Padded input planes: zero where the shape says padding. */
static float *random_input(check *c, const cc_lanes_shape *s)
{
    float *x = check_f32(c, s->ic * s->xh * s->xw * lanes_of(c));
    for (int64_t i = 0; i < s->ic * s->xh * s->xw * lanes_of(c); i++) {
        const int64_t column = i / lanes_of(c) % s->xw, row = i / lanes_of(c) / s->xw % s->xh;
        if (row < s->pad_rows || row >= s->xh - s->pad_rows_end || column < s->pad_columns ||
            column >= s->xw - s->pad_columns_end)
            x[i] = 0;
    }
    return x;
}

/* Weights (oc, ic, kh, kw) in groups of output channels, each [ic][kh][kw][channel]. */
static float *packed(check *c, const cc_lanes_shape *s, const float *w)
{
    const int64_t taps = s->ic * s->kh * s->kw, group = c->kernels->lanes_chain.group;
    float *p = check_f32(c, s->oc * taps), *next = p;
    for (int64_t o = 0; o < s->oc; o += group)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t j = o; j < s->oc && j < o + group; j++)
                *next++ = w[j * taps + t];
    return p;
}

static double convolved(const check *c, const cc_lanes_shape *s, const float *x, const float *w, int64_t o, int64_t oy,
                        int64_t ox, int64_t lane)
{
    double sum = 0;
    for (int64_t i = 0; i < s->ic; i++)
        for (int64_t ky = 0; ky < s->kh; ky++)
            for (int64_t kx = 0; kx < s->kw; kx++)
                sum += (double)w[((o * s->ic + i) * s->kh + ky) * s->kw + kx] *
                       (double)x[((i * s->xh + oy + ky) * s->xw + ox + kx) * lanes_of(c) + lane];
    return sum;
}

static void load(check *c)
{
    SLOT(c, lanes_chain.load);
    const int64_t count = check_integer(c, 1, lanes_of(c)), channels = check_integer(c, 1, 4);
    const int64_t h = check_integer(c, 1, 6), w = check_integer(c, 1, 9);
    const float *images = check_f32(c, count * channels * h * w);
    int64_t size;
    cc_lanes_target t = random_target(c, channels, h, w, &size);
    double *expected = as_double(c, t.data, size);
    for (int64_t lane = 0; lane < lanes_of(c); lane++)
        for (int64_t i = 0; i < channels; i++)
            for (int64_t y = 0; y < h; y++)
                for (int64_t x = 0; x < w; x++)
                    expected[at(c, t, i, y, x, lane)] =
                        lane < count ? (double)images[((lane * channels + i) * h + y) * w + x] : 0;
    c->kernels->lanes_chain.load(images, count, channels, h, w, t);
    check_near_f32(c, t.data, expected, size, 0, 0);
    check_done(c);
}

static void store(check *c)
{
    SLOT(c, lanes_chain.store);
    const int64_t elements = check_integer(c, 1, 60), count = check_integer(c, 1, lanes_of(c));
    const float *planes = check_f32(c, elements * lanes_of(c));
    float *images = check_f32(c, count * elements);
    double *expected = check_f64(c, count * elements);
    for (int64_t lane = 0; lane < count; lane++)
        for (int64_t e = 0; e < elements; e++)
            expected[lane * elements + e] = (double)planes[e * lanes_of(c) + lane];
    c->kernels->lanes_chain.store(planes, elements, count, images);
    check_near_f32(c, images, expected, count * elements, 0, 0);
    check_done(c);
}

static void conv(check *c)
{
    SLOT(c, lanes_chain.conv);
    const cc_lanes_shape s = random_shape(c);
    const int64_t taps = s.ic * s.kh * s.kw;
    const float *x = random_input(c, &s), *w = check_f32(c, s.oc * taps), *p = packed(c, &s, w);
    int64_t size;
    cc_lanes_target y = random_target(c, s.oc, s.oh, s.ow, &size);
    double *expected = as_double(c, y.data, size);
    for (int64_t o = 0; o < s.oc; o++)
        for (int64_t oy = 0; oy < s.oh; oy++)
            for (int64_t ox = 0; ox < s.ow; ox++)
                for (int64_t lane = 0; lane < lanes_of(c); lane++)
                    expected[at(c, y, o, oy, ox, lane)] = convolved(c, &s, x, w, o, oy, ox, lane);
    c->kernels->lanes_chain.conv(&s, x, p, y);
    check_near_f32(c, y.data, expected, size, EPS, (double)taps);
    BENCH(c, 2.0 * (double)(taps * s.oc * s.oh * s.ow * lanes_of(c)), "FLOP", c->kernels->lanes_chain.conv(&s, x, p, y));
    check_done(c);
}

static void conv_relu_pool(check *c)
{
    SLOT(c, lanes_chain.conv_relu_pool);
    const cc_lanes_shape s = random_shape(c);
    const int64_t taps = s.ic * s.kh * s.kw, pooled = s.oc * s.ph * s.pw * lanes_of(c);
    const float *x = random_input(c, &s), *w = check_f32(c, s.oc * taps), *p = packed(c, &s, w);
    const float *bias = check_f32(c, s.oc);
    uint8_t *place = check_bytes(c, pooled, 1);
    int64_t size;
    cc_lanes_target y = random_target(c, s.oc, s.ph, s.pw, &size);
    double *expected = as_double(c, y.data, size);
    const double bound = EPS * (double)(taps + 1);
    for (int64_t i = 0; i < pooled; i++)
        place[i] = 99;
    c->kernels->lanes_chain.conv_relu_pool(&s, x, p, bias, y, place);

    bool places_right = true;
    for (int64_t o = 0; o < s.oc; o++)
        for (int64_t py = 0; py < s.ph; py++)
            for (int64_t px = 0; px < s.pw; px++)
                for (int64_t lane = 0; lane < lanes_of(c); lane++) {
                    double window[CC_LANES_CLOSED + 1], best = 0;
                    for (int64_t i = 0; i < 4; i++) {
                        window[i] = (double)bias[o] + convolved(c, &s, x, w, o, 2 * py + i / 2, 2 * px + i % 2, lane);
                        best = window[i] > best ? window[i] : best;
                    }
                    window[CC_LANES_CLOSED] = 0;
                    expected[at(c, y, o, py, px, lane)] = best;
                    /* The place names a value that is the maximum up to rounding. */
                    const uint8_t found = place[((o * s.ph + py) * s.pw + px) * lanes_of(c) + lane];
                    places_right &= found <= CC_LANES_CLOSED && window[found] >= best - 2 * bound;
                }
    EXPECT(c, places_right);
    check_near_f32(c, y.data, expected, size, bound, 1);
    BENCH(c, 2.0 * (double)(4 * taps * pooled), "FLOP", c->kernels->lanes_chain.conv_relu_pool(&s, x, p, bias, y, place));
    check_done(c);
}

/* Places of maxima, some closed. */
static uint8_t *random_places(check *c, int64_t count)
{
    uint8_t *place = check_bytes(c, count, 1);
    for (int64_t i = 0; i < count; i++)
        place[i] = (uint8_t)check_integer(c, 0, CC_LANES_CLOSED);
    return place;
}

static void unpool(check *c)
{
    SLOT(c, lanes_chain.unpool);
    const cc_lanes_shape s = random_shape(c);
    const int64_t pooled = s.oc * s.ph * s.pw * lanes_of(c);
    const float *dpool = check_f32(c, pooled);
    const uint8_t *place = random_places(c, pooled);
    int64_t size;
    /* With an odd size the last row or column belongs to no window: the caller keeps it zero. */
    cc_lanes_target dy = random_target(c, s.oc, s.oh, s.ow, &size);
    double *expected = as_double(c, dy.data, size);
    for (int64_t o = 0; o < s.oc; o++)
        for (int64_t py = 0; py < s.ph; py++)
            for (int64_t px = 0; px < s.pw; px++)
                for (int64_t lane = 0; lane < lanes_of(c); lane++) {
                    const int64_t e = ((o * s.ph + py) * s.pw + px) * lanes_of(c) + lane;
                    for (int64_t i = 0; i < 4; i++)
                        expected[at(c, dy, o, 2 * py + i / 2, 2 * px + i % 2, lane)] =
                            place[e] == i ? (double)dpool[e] : 0;
                }
    c->kernels->lanes_chain.unpool(&s, dpool, place, dy);
    check_near_f32(c, dy.data, expected, size, 0, 0);
    check_done(c);
}

static void bias_gradient(check *c)
{
    SLOT(c, lanes_chain.bias_gradient);
    const cc_lanes_shape s = random_shape(c);
    const int64_t plane = s.ph * s.pw * lanes_of(c), pooled = s.oc * plane;
    float *dpool = check_f32(c, pooled), *db = check_f32(c, s.oc);
    const uint8_t *place = random_places(c, pooled);
    double *open = as_double(c, dpool, pooled), *sums = as_double(c, db, s.oc);
    for (int64_t e = 0; e < pooled; e++) {
        open[e] = place[e] == CC_LANES_CLOSED ? 0 : open[e];
        sums[e / plane] += open[e];
    }
    c->kernels->lanes_chain.bias_gradient(&s, dpool, place, db);
    check_near_f32(c, dpool, open, pooled, 0, 0);
    check_near_f32(c, db, sums, s.oc, EPS, (double)(plane + 1));
    check_done(c);
}

static void weight_gradient(check *c)
{
    SLOT(c, lanes_chain.weight_gradient);
    const cc_lanes_shape s = random_shape(c);
    const int64_t count = s.oc * s.ic * s.kh * s.kw, pooled = s.oc * s.ph * s.pw * lanes_of(c);
    const float *x = random_input(c, &s);
    float *dw = check_f32(c, count), *dpool = check_f32(c, pooled);
    const uint8_t *place = random_places(c, pooled);
    double *expected = as_double(c, dw, count);
    for (int64_t e = 0; e < pooled; e++)
        dpool[e] = place[e] == CC_LANES_CLOSED ? 0 : dpool[e];
    for (int64_t e = 0; e < count; e++) {
        const int64_t kx = e % s.kw, ky = e / s.kw % s.kh, i = e / s.kw / s.kh % s.ic, o = e / s.kw / s.kh / s.ic;
        for (int64_t py = 0; py < s.ph; py++)
            for (int64_t px = 0; px < s.pw; px++)
                for (int64_t lane = 0; lane < lanes_of(c); lane++) {
                    const int64_t p = ((o * s.ph + py) * s.pw + px) * lanes_of(c) + lane;
                    const int64_t row = 2 * py + place[p] % 4 / 2 + ky, column = 2 * px + place[p] % 2 + kx;
                    expected[e] += (double)dpool[p] * (double)x[((i * s.xh + row) * s.xw + column) * lanes_of(c) + lane];
                }
    }
    c->kernels->lanes_chain.weight_gradient(&s, x, dpool, place, dw);
    check_near_f32(c, dw, expected, count, EPS, (double)(4 * s.ph * s.pw * lanes_of(c) + 1));
    BENCH(c, 2.0 * (double)(count * 4 * s.ph * s.pw * lanes_of(c)), "FLOP",
          c->kernels->lanes_chain.weight_gradient(&s, x, dpool, place, dw));
    check_done(c);
}

void check_lanes(check *c)
{
    SLOT_DATA(c, lanes_chain.group);
    EXPECT(c, c->kernels->lanes_chain.group >= 1);
    load(c);
    store(c);
    conv(c);
    conv_relu_pool(c);
    bias_gradient(c);
    weight_gradient(c);
    unpool(c);
}
