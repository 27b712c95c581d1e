/* Sums of at most 30 products of values below 1 in the array's type: within 30 * 2 eps. */
#include <string.h>

#include "check.h"
#include "numbers.h"

#define TAPS_MAX 12

/* The same from a vector's boundary on. */
static numbers random_vectors(check *c, cc_dtype type, int64_t n)
{
    const size_t vector = (size_t)c->kernels->lanes * 4, element = cc_dtype_size(type);
    numbers a = random_numbers(c, type, n + (int64_t)(vector / element));
    for (; (uintptr_t)a.data % vector != 0; a.exact++)
        a.data = (char *)a.data + element;
    a.n = n;
    return a;
}

/* An image of rows x cols pixels, windows of a box of taps, and the run over them. */
typedef struct picture {
    cc_depthwise_run run;
    int64_t offset[TAPS_MAX], weight[TAPS_MAX], ahead[1];
    int64_t x_size, y_size;
} picture;

static void random_picture(check *c, picture *p)
{
    const bool large = c->bench, nine = large || check_integer(c, 0, 1) == 0;
    const int64_t high = nine ? 3 : check_integer(c, 0, 3), wide = nine ? 3 : check_integer(c, 1, 4);
    const int64_t step = large ? 1 : check_integer(c, 1, 3), dilation = nine ? 1 : check_integer(c, 1, 2);
    const int64_t m = large || check_integer(c, 0, 2) > 0 ? 1 : check_integer(c, 2, 19);
    const int64_t channels = large ? 64 : check_integer(c, 1, 40), space = check_integer(c, 0, 2);
    cc_depthwise_run *r = &p->run;
    *r = (cc_depthwise_run){.rows = large ? 14 : check_integer(c, 1, 5), .windows = large ? 14 : check_integer(c, 1, 9),
                            .channels = channels * m, .multiplier = m, .x_step = step * channels,
                            .taps = high * wide, .offset = p->offset, .weight = p->weight,
                            .ahead = check_integer(c, 0, 1), .ahead_offset = p->ahead};
    const int64_t columns = (r->windows - 1) * step + (wide - 1) * dilation + 1;
    const int64_t rows = (r->rows - 1) * step + cc_max(high - 1, 0) * dilation + 1;
    r->x_row = step * columns * channels;
    r->y_first = check_integer(c, 0, 3);
    r->y_step = r->channels + space;
    r->y_row = r->windows * r->y_step + space;
    p->ahead[0] = -5000;
    p->x_size = rows * columns * channels;
    p->y_size = r->y_first + r->rows * r->y_row;
    for (int64_t t = 0; t < r->taps; t++) {
        p->offset[t] = (t / wide * columns + t % wide) * dilation * channels;
        p->weight[t] = (r->taps - 1 - t) * r->channels;
    }
}

/* Groups of a few channels; the picture's pixels have all of x. */
static void run_groups(check *c, cc_dtype type)
{
    const cc_depthwise_kernels *kernels = &c->kernels->depthwise;
    const int64_t lanes = type == CC_F32 ? c->kernels->lanes : c->kernels->lanes / 2;
    const bool large = c->bench, nine = large || check_integer(c, 0, 1) == 0;
    const int64_t inputs = large ? cc_min(4, lanes) : check_integer(c, 1, lanes);
    const int64_t outputs = large ? inputs : check_integer(c, 1, lanes);
    const int64_t count = large ? 64 / inputs : check_integer(c, 1, 9), per = lanes / cc_max(inputs, outputs);
    const int64_t taps = 9, columns = large ? 16 : check_integer(c, 3, 20), high = large ? 16 : check_integer(c, 3, 8);
    const int64_t step = large ? 1 : check_integer(c, 1, 3);
    int64_t offset[9], weight[9];
    const cc_depthwise_groups groups = {.groups = count, .inputs = inputs, .outputs = outputs,
                                        .weights = taps * inputs * lanes};
    cc_depthwise_run r = {.rows = (high - 3) / step + 1, .windows = (columns - 3) / step + 1, .offset = offset,
                          .weight = weight, .taps = nine ? 9 : check_integer(c, 0, 8), .multiplier = 1,
                          .x_row = step * columns * count * inputs, .x_step = step * count * inputs,
                          .y_first = check_integer(c, 0, 3), .y_step = count * outputs};
    r.y_row = r.windows * r.y_step;
    for (int64_t t = 0; t < taps; t++) {
        offset[t] = (t / 3 * columns + t % 3) * count * inputs;
        weight[t] = (taps - 1 - t) * inputs * lanes;
    }
    const int64_t y_size = r.y_first + r.rows * r.y_row, blocks = cc_ceil_div(count, per);
    const numbers x = random_numbers(c, type, columns * high * count * inputs), residual = random_numbers(c, type, y_size);
    const numbers bias = random_numbers(c, type, count * outputs), dy = random_numbers(c, type, y_size);
    numbers w = random_numbers(c, type, blocks * groups.weights), y = random_numbers(c, type, y_size);
    /* Lanes without an output are zero, and what the gradient leaves there does not matter. */
    for (int64_t i = 0; i < w.n; i++) {
        const int64_t block = i / groups.weights, lane = i % lanes;
        if (lane >= cc_min(per, count - block * per) * outputs) {
            w.exact[i] = 0;
            if (type == CC_F32)
                ((float *)w.data)[i] = 0;
            else
                ((double *)w.data)[i] = 0;
        }
    }
    double *gradient = check_copy(c, w.exact, w.n * 8, 8);
    const bool biased = check_integer(c, 0, 1) == 1, added = check_integer(c, 0, 1) == 1;
    const bool relu = check_integer(c, 0, 1) == 1;
    for (int64_t window = 0; window < r.rows * r.windows; window++)
        for (int64_t k = 0; k < count * outputs; k++) {
            const int64_t row = window / r.windows, i = window % r.windows, group = k / outputs;
            const int64_t at = r.y_first + row * r.y_row + i * r.y_step + k;
            double sum = (biased ? bias.exact[k] : 0) + (added ? residual.exact[at] : 0);
            for (int64_t t = 0; t < r.taps; t++)
                for (int64_t j = 0; j < inputs; j++) {
                    const int64_t from = offset[t] + row * r.x_row + i * r.x_step + group * inputs + j;
                    const int64_t with = group / per * groups.weights + weight[t] + j * lanes +
                                         group % per * outputs + k % outputs;
                    sum += x.exact[from] * w.exact[with];
                    gradient[with] += x.exact[from] * dy.exact[at];
                }
            y.exact[at] = relu && sum < 0 ? 0 : sum;
        }
    const double flops = (double)(2 * r.taps * r.rows * r.windows * count * inputs * outputs);

    SLOT(c, depthwise.convolve_groups);
    kernels->convolve_groups[type](&r, &groups, x.data, w.data, biased ? bias.data : NULL,
                                   added ? residual.data : NULL, relu, y.data);
    compare(c, type, &y, 300);
    BENCH(c, flops, "FLOP", kernels->convolve_groups[type](&r, &groups, x.data, w.data, NULL, NULL, false, y.data));

    SLOT(c, depthwise.gradient_groups);
    kernels->gradient_groups[type](&r, &groups, x.data, dy.data, w.data);
    w.exact = gradient;
    compare(c, type, &w, 300);
    BENCH(c, flops, "FLOP", kernels->gradient_groups[type](&r, &groups, x.data, dy.data, w.data));
    check_done(c);
}

/* Planes with 3x3 windows, padded by any number of pixels on each side; some of their channels. */
static void run_plane(check *c, cc_dtype type)
{
    const cc_depthwise_kernels *kernels = &c->kernels->depthwise;
    const int64_t lanes = type == CC_F32 ? c->kernels->lanes : c->kernels->lanes / 2;
    const bool large = c->bench;
    const int64_t channels = check_integer(c, 0, 1) == 0 ? lanes * check_integer(c, 1, 3) : check_integer(c, 1, 40);
    cc_depthwise_plane p = {.channels = large ? 64 : channels, .height = large ? 28 : check_integer(c, 1, 12),
                            .width = large ? 28 : check_integer(c, 1, 12), .stride = large ? 1 : check_integer(c, 1, 2),
                            .top = large ? 1 : check_integer(c, 0, 3), .left = large ? 1 : check_integer(c, 0, 3),
                            .ahead = (cc_ahead)check_integer(c, 0, 2),
                            .past = !large && check_integer(c, 0, 1) == 1};
    p.begin = large ? 0 : check_integer(c, 0, (p.channels - 1) / lanes) * lanes;
    p.end = large || check_integer(c, 0, 1) == 0 ? p.channels : check_integer(c, p.begin + 1, p.channels);
    const bool whole = (p.end - p.begin) % lanes == 0;
    p.slides = large || !whole || check_integer(c, 0, 1) == 1;
    p.out_height = large ? 28 : check_integer(c, 1, 12);
    p.out_width = large ? 28 : check_integer(c, 1, 12);
    const int64_t weights = cc_ceil_div(p.channels, lanes) * lanes * 9;
    const int64_t x_size = p.height * p.width * p.channels, y_size = p.out_height * p.out_width * p.channels;
    numbers x = random_vectors(c, type, x_size), y = random_vectors(c, type, y_size);
    const numbers dy = random_numbers(c, type, y_size), residual = random_numbers(c, type, y_size);
    const numbers bias = random_numbers(c, type, p.channels), beside = random_numbers(c, type, x_size);
    numbers w = random_numbers(c, type, weights);
    double *gradient = check_copy(c, w.exact, w.n * 8, 8), *spread = check_copy(c, x.exact, x_size * 8, 8);
    const bool biased = check_integer(c, 0, 1) == 1, added = check_integer(c, 0, 1) == 1;
    const bool relu = check_integer(c, 0, 1) == 1;
    const int64_t first = large ? 0 : check_integer(c, 0, p.out_height - 1), last = check_integer(c, first, p.out_height);
    for (int64_t at = 0; at < x_size; at++)
        if (at % p.channels >= p.begin && at % p.channels < p.end)
            spread[at] = beside.exact[at];
    for (int64_t at = 0; at < y_size; at++) {
        const int64_t r = at / (p.out_width * p.channels), i = at / p.channels % p.out_width, k = at % p.channels;
        if (k < p.begin || k >= p.end)
            continue;
        const bool within = r >= first && r < last;
        double sum = (biased ? bias.exact[k] : 0) + (added ? residual.exact[at] : 0);
        for (int64_t t = 0; t < 9; t++) {
            const int64_t row = r * p.stride + t / 3 - p.top, column = i * p.stride + t % 3 - p.left;
            if (row < 0 || row >= p.height || column < 0 || column >= p.width)
                continue;
            const int64_t from = (row * p.width + column) * p.channels + k;
            const int64_t with = k / lanes * lanes * 9 + t * lanes + k % lanes;
            sum += x.exact[from] * w.exact[with];
            spread[from] += dy.exact[at] * w.exact[with];
            if (within)
                gradient[with] += x.exact[from] * dy.exact[at];
        }
        if (within)
            y.exact[at] = relu && sum < 0 ? 0 : sum;
    }
    const double flops = (double)(18 * p.channels * p.out_width * p.out_height);

    SLOT(c, depthwise.convolve_plane);
    kernels->convolve_plane[type](&p, first, last, x.data, w.data, biased ? bias.data : NULL,
                                  added ? residual.data : NULL, relu, y.data);
    compare(c, type, &y, 40);
    cc_depthwise_plane other = p; /* sums are in the same order either way */
    other.slides = !whole || !p.slides;
    const int64_t element = type == CC_F32 ? 4 : 8;
    void *again = check_copy(c, y.data, y_size * element, 8);
    kernels->convolve_plane[type](&other, first, last, x.data, w.data, biased ? bias.data : NULL,
                                  added ? residual.data : NULL, relu, again);
    EXPECT(c, memcmp(again, y.data, (size_t)(y_size * element)) == 0);
    BENCH(c, flops, "FLOP", kernels->convolve_plane[type](&p, 0, p.out_height, x.data, w.data, NULL, NULL, false, y.data));

    SLOT(c, depthwise.spread_plane);
    if (p.stride == 2) {
        numbers dx = {.data = x.data, .exact = spread, .n = x_size};
        x.data = check_copy(c, x.data, x_size * element, 8);
        void *same = check_copy(c, x.data, x_size * element, 8);
        kernels->spread_plane[type](&p, (p.top + 1) / 2 - 1, (p.height + p.top) / 2, dy.data, w.data, beside.data, dx.data);
        compare(c, type, &dx, 40);
        kernels->spread_plane[type](&other, (p.top + 1) / 2 - 1, (p.height + p.top) / 2, dy.data, w.data, beside.data, same);
        EXPECT(c, memcmp(same, dx.data, (size_t)(x_size * element)) == 0);
    }

    SLOT(c, depthwise.gradient_plane);
    kernels->gradient_plane[type](&p, first, last, x.data, dy.data, w.data);
    w.exact = gradient;
    compare(c, type, &w, 300);
    BENCH(c, flops, "FLOP", kernels->gradient_plane[type](&p, 0, p.out_height, x.data, dy.data, w.data));
    check_done(c);
}

static void run(check *c, cc_dtype type)
{
    const cc_depthwise_kernels *kernels = &c->kernels->depthwise;
    picture p;
    random_picture(c, &p);
    const cc_depthwise_run *r = &p.run;
    const int64_t weights = cc_max(1, r->taps) * r->channels;
    const numbers x = random_numbers(c, type, p.x_size), bias = random_numbers(c, type, r->channels);
    const numbers residual = random_numbers(c, type, p.y_size);
    numbers w = random_numbers(c, type, weights), y = random_numbers(c, type, p.y_size);
    const double flops = (double)(2 * r->taps * r->rows * r->windows * r->channels);

    SLOT(c, depthwise.convolve);
    const bool biased = check_integer(c, 0, 1) == 1, added = check_integer(c, 0, 1) == 1;
    const bool relu = check_integer(c, 0, 1) == 1;
    for (int64_t window = 0; window < r->rows * r->windows; window++)
        for (int64_t k = 0; k < r->channels; k++) {
            const int64_t row = window / r->windows, i = window % r->windows;
            const int64_t at = r->y_first + row * r->y_row + i * r->y_step + k;
            double sum = (biased ? bias.exact[k] : 0) + (added ? residual.exact[at] : 0);
            for (int64_t t = 0; t < r->taps; t++)
                sum += x.exact[r->offset[t] + row * r->x_row + i * r->x_step + k / r->multiplier] *
                       w.exact[r->weight[t] + k];
            y.exact[at] = relu && sum < 0 ? 0 : sum;
        }
    kernels->convolve[type](r, x.data, w.data, biased ? bias.data : NULL, added ? residual.data : NULL, relu, y.data);
    compare(c, type, &y, 60);
    BENCH(c, flops, "FLOP", kernels->convolve[type](r, x.data, w.data, NULL, NULL, false, y.data));

    SLOT(c, depthwise.gradient);
    const numbers dy = random_numbers(c, type, p.y_size);
    for (int64_t t = 0; t < r->taps; t++)
        for (int64_t window = 0; window < r->rows * r->windows; window++)
            for (int64_t k = 0; k < r->channels; k++) {
                const int64_t row = window / r->windows, i = window % r->windows;
                w.exact[r->weight[t] + k] +=
                    x.exact[r->offset[t] + row * r->x_row + i * r->x_step + k / r->multiplier] *
                    dy.exact[r->y_first + row * r->y_row + i * r->y_step + k];
            }
    kernels->gradient[type](r, x.data, dy.data, w.data);
    compare(c, type, &w, 60);
    BENCH(c, flops, "FLOP", kernels->gradient[type](r, x.data, dy.data, w.data));

    SLOT(c, depthwise.drain);
    const int64_t n = check_integer(c, 1, 100), m = check_integer(c, 1, 5);
    numbers part = random_numbers(c, type, n * m);
    double *sum = check_f64(c, n * m), *expected = check_copy(c, sum, n * m * 8, 8);
    for (int64_t i = 0; i < n * m; i++)
        expected[i] += part.exact[i];
    void *drained = check_copy(c, part.data, n * m * (type == CC_F32 ? 4 : 8), 8);
    kernels->drain[type](drained, n * m, sum);
    check_near_f64(c, sum, expected, n * m, 2.3e-16, 2);
    numbers zeros = {.data = drained, .exact = memset(check_f64(c, n * m), 0, (size_t)(n * m) * 8), .n = n * m};
    compare(c, type, &zeros, 0);

    SLOT(c, depthwise.fold);
    numbers folded = random_numbers(c, type, n);
    for (int64_t i = 0; i < n; i++) {
        folded.exact[i] = 0;
        for (int64_t j = 0; j < m; j++)
            folded.exact[i] += part.exact[i * m + j];
    }
    kernels->fold[type](part.data, n, m, folded.data);
    compare(c, type, &folded, 8);
    check_done(c);
}

void check_depthwise(check *c)
{
    run(c, CC_F32);
    run(c, CC_F64);
    run_groups(c, CC_F32);
    run_groups(c, CC_F64);
    run_plane(c, CC_F32);
    run_plane(c, CC_F64);
}
