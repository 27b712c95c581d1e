/* Convolutions of planes by Winograd's algorithm along the rows (kernels/lanes_winograd.inc, lanes_winograd_weight.inc). */
#include <math.h>
#include <string.h>

#include "plain_lanes.h"

/* Errors of the transforms are relative to what goes into them. */
#define WINOGRAD_EPS (20 * EPS)

static cc_lanes_shape winograd_shape(check *c, bool even)
{
    cc_lanes_shape s = random_shape(c);
    s.kh = c->bench ? 5 : check_integer(c, 1, CC_LANES_WINOGRAD_ROWS);
    s.kw = CC_LANES_WINOGRAD_TAPS;
    s.oh += even ? s.oh % 2 : 0;
    s.ow += even ? s.ow % 2 : 0;
    s.xh = s.oh + s.kh - 1;
    s.xw = s.ow + s.kw - 1;
    s.ph = s.oh / 2;
    s.pw = s.ow / 2;
    s.pad_rows = s.pad_rows < s.kh ? s.pad_rows : s.kh - 1;
    s.pad_rows_end = s.pad_rows_end < s.kh ? s.pad_rows_end : s.kh - 1;
    s.pad_rows_end = s.pad_rows + s.pad_rows_end < s.xh ? s.pad_rows_end : s.xh - s.pad_rows - 1;
    s.pad_columns = s.pad_columns < s.kw ? s.pad_columns : s.kw - 1;
    s.pad_columns_end = s.pad_columns_end < s.kw ? s.pad_columns_end : s.kw - 1;
    return s;
}

static int64_t pairs_size(check *c, const cc_lanes_shape *s)
{
    return s->xh * (s->ow / 2) * s->ic * CC_LANES_PAIR_POINTS * lanes_of(c);
}

static float *no_numbers(check *c, int64_t size)
{
    float *v = check_f32(c, size);
    for (int64_t i = 0; i < size; i++)
        v[i] = NAN;
    return v;
}

/* Rows that nothing reads keep what they hold, which is no number. */
static float *transformed(check *c, const cc_lanes_shape *s, const float *x)
{
    float *v = no_numbers(c, s->xh * ((s->ow + 3) / 4) * s->ic * CC_LANES_WINOGRAD_POINTS * lanes_of(c));
    EXPECT(c, c->kernels->lanes_chain.winograd.input(s, x, v));
    return v;
}

static void winograd_conv(check *c)
{
    SLOT(c, lanes_chain.winograd.weights);
    const cc_lanes_shape s = winograd_shape(c, true);
    const int64_t taps = s.kh * s.kw;
    const bool turned = check_integer(c, 0, 1) != 0;
    const float *w = check_f32(c, s.oc * s.ic * taps);
    float *straight = check_f32(c, s.oc * s.ic * taps), *u = check_f32(c, s.oc * s.ic * s.kh * CC_LANES_WINOGRAD_POINTS);
    for (int64_t o = 0; o < s.oc; o++)
        for (int64_t i = 0; i < s.ic; i++)
            for (int64_t t = 0; t < taps; t++)
                straight[(o * s.ic + i) * taps + t] =
                    turned ? w[(i * s.oc + o) * taps + taps - 1 - t] : w[(o * s.ic + i) * taps + t];
    EXPECT(c, c->kernels->lanes_chain.winograd.weights(&s, w, turned, u));

    SLOT(c, lanes_chain.winograd.input);
    const float *x = random_input(c, &s), *v = transformed(c, &s, x);
    SLOT(c, lanes_chain.winograd.conv);
    int64_t size;
    cc_lanes_target y = random_target(c, s.oc, s.oh, s.ow, &size);
    double *expected = as_double(c, y.data, size);
    convolve(c, &s, x, straight, y, expected);
    c->kernels->lanes_chain.winograd.conv(&s, v, u, y);
    check_near_f32(c, y.data, expected, size, WINOGRAD_EPS, (double)(s.ic * taps));
    BENCH(c, 2.0 * (double)(s.ic * taps * s.oc * s.oh * s.ow * lanes_of(c)), "FLOP",
          c->kernels->lanes_chain.winograd.conv(&s, v, u, y));
    check_done(c);
}

static void winograd_conv_relu_pool(check *c)
{
    SLOT(c, lanes_chain.winograd.conv_relu_pool);
    const cc_lanes_shape s = winograd_shape(c, false);
    const int64_t taps = s.ic * s.kh * s.kw, pooled = s.oc * s.ph * s.pw * lanes_of(c);
    const float *w = check_f32(c, s.oc * taps), *bias = check_f32(c, s.oc);
    float *u = check_f32(c, s.oc * s.ic * s.kh * CC_LANES_WINOGRAD_POINTS);
    EXPECT(c, c->kernels->lanes_chain.winograd.weights(&s, w, false, u));
    const float *x = random_input(c, &s), *v = transformed(c, &s, x);
    uint8_t *place = check_bytes(c, pooled, 1);
    int64_t size;
    cc_lanes_target y = random_target(c, s.oc, s.ph, s.pw, &size);
    double *expected = as_double(c, y.data, size);
    memset(place, 99, (size_t)pooled);
    c->kernels->lanes_chain.winograd.conv_relu_pool(&s, v, u, bias, y, place);
    EXPECT(c, pooled_right(c, &s, x, w, bias, y, place, expected, WINOGRAD_EPS * (double)(taps + 1)));
    check_near_f32(c, y.data, expected, size, WINOGRAD_EPS * (double)(taps + 1), 1);
    BENCH(c, 2.0 * (double)(4 * taps * pooled), "FLOP",
          c->kernels->lanes_chain.winograd.conv_relu_pool(&s, v, u, bias, y, place));
    check_done(c);
}

static void winograd_weight_gradient(check *c)
{
    const cc_lanes_shape s = winograd_shape(c, true);
    const int64_t count = s.oc * s.ic * s.kh * s.kw, pooled = s.oc * s.ph * s.pw * lanes_of(c);
    const float *x = random_input(c, &s);
    SLOT(c, lanes_chain.winograd.pairs);
    float *v = no_numbers(c, pairs_size(c, &s));
    EXPECT(c, c->kernels->lanes_chain.winograd.pairs(&s, x, v));
    SLOT(c, lanes_chain.winograd.weight_gradient);
    float *dw = check_f32(c, count), *dpool = check_f32(c, pooled);
    const uint8_t *place = random_places(c, pooled);
    double *expected = as_double(c, dw, count);
    add_gradient(c, &s, x, dpool, place, expected);
    EXPECT(c, c->kernels->lanes_chain.winograd.weight_gradient(&s, v, dpool, place, dw));
    check_near_f32(c, dw, expected, count, WINOGRAD_EPS, (double)(4 * s.ph * s.pw * lanes_of(c) + 1));
    BENCH(c, 2.0 * (double)(count * 4 * s.ph * s.pw * lanes_of(c)), "FLOP",
          c->kernels->lanes_chain.winograd.weight_gradient(&s, v, dpool, place, dw));

    /* What is too large is said, and nothing written. */
    double *before = as_double(c, dw, count);
    dpool[check_integer(c, 0, pooled - 1)] = check_integer(c, 0, 1) ? 1e20f : NAN;
    EXPECT(c, !c->kernels->lanes_chain.winograd.weight_gradient(&s, v, dpool, place, dw));
    check_near_f32(c, dw, before, count, 0, 0);
    check_done(c);
}

static void winograd_limits(check *c)
{
    const cc_lanes_shape s = winograd_shape(c, true);
    const int64_t count = s.oc * s.ic * s.kh * s.kw;
    float *w = check_f32(c, count), *u = check_f32(c, s.oc * s.ic * s.kh * CC_LANES_WINOGRAD_POINTS);
    float *x = random_input(c, &s), *v = transformed(c, &s, x);
    static const float wrong[] = {1e20f, -1e20f, INFINITY, -INFINITY, NAN};
    w[check_integer(c, 0, count - 1)] = wrong[check_integer(c, 0, 4)];
    EXPECT(c, !c->kernels->lanes_chain.winograd.weights(&s, w, false, u));
    const int64_t row = s.pad_rows + check_integer(c, 0, s.xh - s.pad_rows - s.pad_rows_end - 1);
    const int64_t column = check_integer(c, 0, s.xw - 1), plane = check_integer(c, 0, s.ic - 1);
    x[((plane * s.xh + row) * s.xw + column) * lanes_of(c) + check_integer(c, 0, lanes_of(c) - 1)] =
        wrong[check_integer(c, 0, 4)];
    EXPECT(c, !c->kernels->lanes_chain.winograd.input(&s, x, v));
    EXPECT(c, !c->kernels->lanes_chain.winograd.pairs(&s, x, no_numbers(c, pairs_size(c, &s))));
    check_done(c);
}

void check_lanes_winograd(check *c)
{
    winograd_conv(c);
    winograd_conv_relu_pool(c);
    winograd_weight_gradient(c);
    winograd_limits(c);
}
