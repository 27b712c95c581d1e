/* An image in each vector lane: element e of image `lane` of a plane stands at e*lanes + lane. */
#include "plain_lanes.h"

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
    convolve(c, &s, x, w, y, expected);
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

    EXPECT(c, pooled_right(c, &s, x, w, bias, y, place, expected, bound));
    check_near_f32(c, y.data, expected, size, bound, 1);
    BENCH(c, 2.0 * (double)(4 * taps * pooled), "FLOP", c->kernels->lanes_chain.conv_relu_pool(&s, x, p, bias, y, place));
    check_done(c);
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
    add_gradient(c, &s, x, dpool, place, expected);
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
