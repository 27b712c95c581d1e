/* plain_lanes.h -- shapes, planes and plain loops for kernels/lanes.h: an image in each vector lane, element e of image
 * `lane` of a plane stands at e*lanes + lane. */
#ifndef PLAIN_LANES_H
#define PLAIN_LANES_H

#include "check.h"

#define EPS 1.2e-7

static inline int64_t lanes_of(const check *c) { return c->kernels->lanes; }

static inline cc_lanes_shape random_shape(check *c)
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

static inline cc_lanes_target random_target(check *c, int64_t channels, int64_t h, int64_t w, int64_t *size)
{
    cc_lanes_target t = {.top = check_integer(c, 0, 2), .left = check_integer(c, 0, 2)};
    t.rows = h + t.top + check_integer(c, 0, 2);
    t.columns = w + t.left + check_integer(c, 0, 2);
    *size = channels * t.rows * t.columns * lanes_of(c);
    t.data = check_f32(c, *size);
    return t;
}

static inline int64_t at(const check *c, cc_lanes_target t, int64_t channel, int64_t y, int64_t x, int64_t lane)
{
    return ((channel * t.rows + y + t.top) * t.columns + x + t.left) * lanes_of(c) + lane;
}

static inline double *as_double(check *c, const float *x, int64_t n)
{
    double *copy = check_f64(c, n);
    for (int64_t i = 0; i < n; i++)
        copy[i] = (double)x[i];
    return copy;
}

/* Padded input planes: zero where the shape says padding. */
static inline float *random_input(check *c, const cc_lanes_shape *s)
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

static inline double convolved(const check *c, const cc_lanes_shape *s, const float *x, const float *w, int64_t o, int64_t oy,
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

/* What the convolution makes of y's elements, in `expected`. */
static inline void convolve(const check *c, const cc_lanes_shape *s, const float *x, const float *w, cc_lanes_target y,
                            double *expected)
{
    for (int64_t o = 0; o < s->oc; o++)
        for (int64_t oy = 0; oy < s->oh; oy++)
            for (int64_t ox = 0; ox < s->ow; ox++)
                for (int64_t lane = 0; lane < lanes_of(c); lane++)
                    expected[at(c, y, o, oy, ox, lane)] = convolved(c, s, x, w, o, oy, ox, lane);
}

/* Fills in what y should be; whether each place names a value that is the maximum up to rounding. */
static inline bool pooled_right(const check *c, const cc_lanes_shape *s, const float *x, const float *w, const float *bias,
                         cc_lanes_target y, const uint8_t *place, double *expected, double bound)
{
    bool places_right = true;
    for (int64_t o = 0; o < s->oc; o++)
        for (int64_t py = 0; py < s->ph; py++)
            for (int64_t px = 0; px < s->pw; px++)
                for (int64_t lane = 0; lane < lanes_of(c); lane++) {
                    double window[CC_LANES_CLOSED + 1], best = 0;
                    for (int64_t i = 0; i < 4; i++) {
                        window[i] = (double)bias[o] + convolved(c, s, x, w, o, 2 * py + i / 2, 2 * px + i % 2, lane);
                        best = window[i] > best ? window[i] : best;
                    }
                    window[CC_LANES_CLOSED] = 0;
                    expected[at(c, y, o, py, px, lane)] = best;
                    const uint8_t found = place[((o * s->ph + py) * s->pw + px) * lanes_of(c) + lane];
                    places_right &= found <= CC_LANES_CLOSED && window[found] >= best - 2 * bound;
                }
    return places_right;
}

/* Places of maxima, some closed. */
static inline uint8_t *random_places(check *c, int64_t count)
{
    uint8_t *place = check_bytes(c, count, 1);
    for (int64_t i = 0; i < count; i++)
        place[i] = (uint8_t)check_integer(c, 0, CC_LANES_CLOSED);
    return place;
}

/* Adds the gradient of the weights; dpool is closed where the places are. */
static inline void add_gradient(const check *c, const cc_lanes_shape *s, const float *x, float *dpool, const uint8_t *place,
                         double *dw)
{
    for (int64_t e = 0; e < s->oc * s->ph * s->pw * lanes_of(c); e++)
        dpool[e] = place[e] == CC_LANES_CLOSED ? 0 : dpool[e];
    for (int64_t e = 0; e < s->oc * s->ic * s->kh * s->kw; e++) {
        const int64_t kx = e % s->kw, ky = e / s->kw % s->kh, i = e / s->kw / s->kh % s->ic, o = e / s->kw / s->kh / s->ic;
        for (int64_t py = 0; py < s->ph; py++)
            for (int64_t px = 0; px < s->pw; px++)
                for (int64_t lane = 0; lane < lanes_of(c); lane++) {
                    const int64_t p = ((o * s->ph + py) * s->pw + px) * lanes_of(c) + lane;
                    const int64_t row = 2 * py + place[p] % 4 / 2 + ky, column = 2 * px + place[p] % 2 + kx;
                    dw[e] += (double)dpool[p] * (double)x[((i * s->xh + row) * s->xw + column) * lanes_of(c) + lane];
                }
    }
}

#endif
