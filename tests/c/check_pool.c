/* Maxima and places are exact; averages are one sum in double and one rounding. */
#include <math.h>

#include "check.h"

#define TAPS 5
#define LINE 100

/* Windows over a row of places, x_step apart, each seeing `taps` of them; `channels` neighbours at once. */
static cc_pool_run random_run(check *c, int64_t *offset, int32_t *id, int64_t *span)
{
    cc_pool_run r = {.windows = c->bench ? 32 : check_integer(c, 0, 6), .taps = check_integer(c, 1, TAPS)};
    r.channels = c->bench ? 64 : check_integer(c, 1, 4 * c->kernels->lanes + 1);
    const int64_t pixel = r.channels + check_integer(c, 0, 3);
    r.x_step = pixel * check_integer(c, 1, 3);
    r.y_step = r.channels + check_integer(c, 0, 3);
    r.offset = offset;
    r.id = id;
    for (int64_t t = 0, place = 0; t < r.taps; t++, place += check_integer(c, 1, 2)) {
        offset[t] = place * pixel;
        id[t] = (int32_t)(t == 0 ? check_integer(c, 0, 9) : id[t - 1] + check_integer(c, 1, 9));
    }
    r.first = check_integer(c, 0, 100);
    r.window_step = check_integer(c, 1, 3);
    r.channel_step = check_integer(c, 0, 100);
    r.divisor = (double)check_integer(c, 1, 9);
    *span = r.windows == 0 ? 0 : (r.windows - 1) * r.x_step + offset[r.taps - 1] + r.channels;
    return r;
}

/* Now and then a window that sees a line of neighbours. */
static void stretch(check *c, cc_pool_run *r, int64_t *offset, int64_t *span)
{
    if (c->bench || r->windows == 0 || check_integer(c, 0, 2) > 0)
        return;
    r->channels = 1;
    r->taps = check_integer(c, 1, LINE);
    for (int64_t t = 0; t < r->taps; t++)
        offset[t] = t;
    *span = (r->windows - 1) * r->x_step + r->taps;
}

#define CHECK_POOL(T, suffix, eps)                                                                         \
    static void maximum_##suffix(check *c)                                                                  \
    {                                                                                                       \
        SLOT(c, pool.max_##suffix);                                                                         \
        int64_t offset[TAPS], span;                                                                         \
        int32_t id[TAPS];                                                                                   \
        const cc_pool_run r = random_run(c, offset, id, &span);                                             \
        const int64_t size = r.windows * r.y_step;                                                          \
        T *x = check_##suffix(c, span), *y = check_##suffix(c, size);                                       \
        for (int64_t i = 0; i < span; i++) /* ties, and now and then NaN and infinities */                  \
            x[i] = (T)(int64_t)(4 * x[i]);                                                                  \
        if (span > 0 && !c->bench) {                                                                        \
            x[check_integer(c, 0, span - 1)] = (T)NAN;                                                      \
            x[check_integer(c, 0, span - 1)] = (T)NAN;                                                      \
            x[check_integer(c, 0, span - 1)] = (T)-INFINITY;                                                \
        }                                                                                                   \
        uint8_t *place = check_bytes(c, size, 1);                                                           \
        int64_t *index = check_bytes(c, size * 8, 8);                                                       \
        double *expected = check_f64(c, size);                                                              \
        for (int64_t i = 0; i < size; i++) {                                                                \
            expected[i] = (double)y[i];                                                                     \
            place[i] = 77;                                                                                  \
            index[i] = -77;                                                                                 \
        }                                                                                                   \
        c->kernels->pool.max_##suffix(&r, x, y, place, index);                                              \
        bool right = true;                                                                                  \
        for (int64_t i = 0; i < size; i++) {                                                                \
            const int64_t window = i / r.y_step, channel = i % r.y_step;                                    \
            if (channel >= r.channels) {                                                                    \
                right &= place[i] == 77 && index[i] == -77;                                                 \
                continue;                                                                                   \
            }                                                                                               \
            int64_t best = 0;                                                                               \
            const T *from = x + window * r.x_step + channel;                                                \
            for (int64_t t = 1; t < r.taps; t++)                                                            \
                if (from[offset[t]] > from[offset[best]] || (isnan(from[offset[t]]) && !isnan(from[offset[best]]))) \
                    best = t;                                                                               \
            expected[i] = (double)from[offset[best]];                                                       \
            right &= place[i] == id[best];                                                                  \
            right &= index[i] == id[best] + r.first + window * r.window_step + channel * r.channel_step;    \
        }                                                                                                   \
        EXPECT(c, right);                                                                                   \
        check_near_##suffix(c, y, expected, size, 0, 0);                                                    \
        c->kernels->pool.max_##suffix(&r, x, y, NULL, NULL);                                                \
        check_near_##suffix(c, y, expected, size, 0, 0);                                                    \
        BENCH(c, (double)(r.windows * r.channels * r.taps), "OP", c->kernels->pool.max_##suffix(&r, x, y, place, NULL)); \
        check_done(c);                                                                                      \
    }                                                                                                       \
    static void average_##suffix(check *c)                                                                  \
    {                                                                                                       \
        SLOT(c, pool.average_##suffix);                                                                     \
        int64_t offset[LINE], span;                                                                         \
        int32_t id[TAPS];                                                                                   \
        cc_pool_run r = random_run(c, offset, id, &span);                                                   \
        stretch(c, &r, offset, &span);                                                                      \
        const int64_t size = r.windows * r.y_step;                                                          \
        T *x = check_##suffix(c, span), *y = check_##suffix(c, size);                                       \
        double *expected = check_f64(c, size);                                                              \
        for (int64_t i = 0; i < size; i++) {                                                                \
            const int64_t window = i / r.y_step, channel = i % r.y_step;                                    \
            expected[i] = channel < r.channels ? 0 : (double)y[i];                                          \
            for (int64_t t = 0; t < r.taps && channel < r.channels; t++)                                    \
                expected[i] += (double)x[window * r.x_step + offset[t] + channel] / r.divisor;              \
        }                                                                                                   \
        c->kernels->pool.average_##suffix(&r, x, y);                                                        \
        check_near_##suffix(c, y, expected, size, eps, (double)(r.taps + 7));                               \
        BENCH(c, (double)(r.windows * r.channels * r.taps), "OP", c->kernels->pool.average_##suffix(&r, x, y)); \
        check_done(c);                                                                                      \
    }                                                                                                       \
    /* Without `accumulate` no two windows may meet: one window then. */                                    \
    static void backward_##suffix(check *c, bool maximum)                                                   \
    {                                                                                                       \
        int64_t offset[TAPS], span;                                                                         \
        int32_t id[TAPS];                                                                                   \
        cc_pool_run r = random_run(c, offset, id, &span);                                                   \
        r.accumulate = check_integer(c, 0, 1) == 1;                                                         \
        if (!r.accumulate && r.windows > 1)                                                                 \
            r.windows = 1;                                                                                  \
        const int64_t size = r.windows * r.y_step;                                                          \
        const T *dy = check_##suffix(c, size);                                                              \
        T *dx = check_##suffix(c, span);                                                                    \
        uint8_t *place = check_bytes(c, size, 1);                                                           \
        double *expected = check_f64(c, span);                                                              \
        for (int64_t i = 0; i < span; i++)                                                                  \
            expected[i] = (double)dx[i];                                                                    \
        for (int64_t i = 0; i < size; i++) {                                                                \
            place[i] = check_integer(c, 0, 7) == 0 ? 255 : (uint8_t)id[check_integer(c, 0, r.taps - 1)];    \
            for (int64_t t = 0; t < r.taps && i % r.y_step < r.channels; t++) {                             \
                double *e = expected + i / r.y_step * r.x_step + offset[t] + i % r.y_step;                  \
                const double d = maximum ? (place[i] == id[t] ? (double)dy[i] : 0) : (double)dy[i] / r.divisor; \
                *e = r.accumulate ? *e + d : d;                                                             \
            }                                                                                               \
        }                                                                                                   \
        if (maximum)                                                                                        \
            c->kernels->pool.max_backward_##suffix(&r, dy, place, dx);                                      \
        else                                                                                                \
            c->kernels->pool.average_backward_##suffix(&r, dy, dx);                                         \
        check_near_##suffix(c, dx, expected, span, eps, 16);                                                \
        check_done(c);                                                                                      \
    }
CHECK_POOL(float, f32, 1.2e-7)
CHECK_POOL(double, f64, 2.3e-16)

void check_pool(check *c)
{
    maximum_f32(c);
    maximum_f64(c);
    average_f32(c);
    average_f64(c);
    SLOT(c, pool.max_backward_f32);
    backward_f32(c, true);
    SLOT(c, pool.max_backward_f64);
    backward_f64(c, true);
    SLOT(c, pool.average_backward_f32);
    backward_f32(c, false);
    SLOT(c, pool.average_backward_f64);
    backward_f64(c, false);
}
