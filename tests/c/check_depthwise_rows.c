/* Sums of at most 5 images' products in float, and of at most 10 for an output. */
#include <string.h>

#include "check.h"
#include "numbers.h"

/* The rows of one channel, padded by up to two pixels before and any number behind. */
void check_depthwise_rows(check *c)
{
    const cc_depthwise_kernels *kernels = &c->kernels->depthwise;
    const int64_t lanes = c->kernels->lanes;
    const bool large = c->bench;
    const int64_t widest = check_integer(c, 0, 1) == 0 ? 70 : lanes + 1;
    cc_depthwise_rows p = {.height = large ? 28 : check_integer(c, 1, 12), .width = large ? 28 : check_integer(c, 1, widest),
                           .out_height = large ? 28 : check_integer(c, 1, 12),
                           .out_width = large ? 28 : check_integer(c, 1, widest), .stride = large ? 1 : check_integer(c, 1, 2),
                           .top = large ? 1 : check_integer(c, 0, 2), .left = large ? 1 : check_integer(c, 0, 2)};
    const int64_t planes = large ? 8 : check_integer(c, 1, 3), images = large ? 1 : check_integer(c, 1, 5);
    const int64_t x_size = p.height * p.width, y_size = p.out_height * p.out_width;
    const numbers x = random_numbers(c, CC_F32, images * planes * x_size);
    const numbers dy = random_numbers(c, CC_F32, images * planes * y_size);
    const numbers w = random_numbers(c, CC_F32, planes * 9), bias = random_numbers(c, CC_F32, planes);
    numbers y = random_numbers(c, CC_F32, planes * y_size), dx = random_numbers(c, CC_F32, planes * x_size);
    numbers sums = random_numbers(c, CC_F32, planes * 9 * lanes);
    double *spread = memset(check_f64(c, planes * x_size), 0, (size_t)(planes * x_size) * 8);
    double *exact = check_f64(c, planes * 9), *found = check_f64(c, planes * 9);
    const int64_t first = large ? 0 : check_integer(c, 0, p.out_height - 1);
    const int64_t last = large ? 28 : check_integer(c, first + 1, p.out_height);
    const int64_t begin = check_integer(c, 0, p.height - 1), stop = check_integer(c, begin + 1, p.height);
    const bool biased = check_integer(c, 0, 1) == 1;
    p.x_image = planes * x_size;
    p.y_image = planes * y_size;
    for (int64_t i = 0; i < planes * 9; i++) {
        exact[i] = 0.25;
        for (int64_t l = 0; l < lanes; l++)
            exact[i] += sums.exact[i * lanes + l];
    }
    for (int64_t at = 0; at < images * planes * y_size; at++) {
        const int64_t image = at / p.y_image, plane = at / y_size % planes, r = at % y_size / p.out_width, i = at % p.out_width;
        const bool within = r >= first && r < last;
        double sum = biased ? bias.exact[plane] : 0;
        for (int64_t t = 0; t < 9; t++) {
            const int64_t row = r * p.stride + t / 3 - p.top, column = i * p.stride + t % 3 - p.left;
            if (row < 0 || row >= p.height || column < 0 || column >= p.width)
                continue;
            const int64_t from = image * p.x_image + plane * x_size + row * p.width + column;
            sum += x.exact[from] * w.exact[plane * 9 + t];
            if (image == 0)
                spread[from] += dy.exact[at] * w.exact[plane * 9 + t];
            if (within)
                exact[plane * 9 + t] += x.exact[from] * dy.exact[at];
        }
        if (within && image == 0)
            y.exact[at] = sum;
    }
    for (int64_t plane = 0; plane < planes; plane++) {
        const int64_t from = plane * x_size + begin * p.width;
        memcpy(dx.exact + from, spread + from, (size_t)((stop - begin) * p.width) * 8);
    }
    const double flops = (double)(18 * planes * y_size);

    SLOT(c, depthwise.convolve_rows);
    const float *added = biased ? bias.data : NULL;
    kernels->convolve_rows(&p, planes, first, last, x.data, w.data, added, y.data);
    compare(c, CC_F32, &y, 40);
    BENCH(c, flops, "FLOP", kernels->convolve_rows(&p, planes, first, last, x.data, w.data, added, y.data));

    SLOT(c, depthwise.gradient_rows);
    kernels->gradient_rows(&p, images, planes, first, last, x.data, dy.data, sums.data);
    for (int64_t i = 0; i < planes * 9; i++) {
        found[i] = 0.25;
        for (int64_t l = 0; l < lanes; l++)
            found[i] += (double)((const float *)sums.data)[i * lanes + l];
    }
    check_near_f64(c, found, exact, planes * 9, 1.2e-7, 300);
    BENCH(c, flops, "FLOP", kernels->gradient_rows(&p, images, planes, first, last, x.data, dy.data, sums.data));

    SLOT(c, depthwise.drain_rows);
    for (int64_t i = 0; i < planes * 9; i++) {
        exact[i] = found[i] = 0.25;
        for (int64_t l = 0; l < lanes; l++)
            exact[i] += (double)((const float *)sums.data)[i * lanes + l];
    }
    kernels->drain_rows(planes, sums.data, found);
    check_near_f64(c, found, exact, planes * 9, 2.3e-16, 300);
    memset(sums.exact, 0, (size_t)(planes * 9 * lanes) * 8);
    compare(c, CC_F32, &sums, 0);

    SLOT(c, depthwise.spread_rows);
    if (p.stride == 2) {
        kernels->spread_rows(&p, planes, begin, stop, dy.data, w.data, dx.data);
        compare(c, CC_F32, &dx, 40);
    }
    check_done(c);
}
