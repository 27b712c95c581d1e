#include "lanes_weights.h"

/* Sums of more channels might overflow, however small their factors are (lanes_winograd.inc). */
#define MOST_CHANNELS 64

/* Elements summed together: their totals stay in the first-level cache. */
#define TOTALS 256

bool cc_lanes_takes_winograd(const cc_context *context, const cc_lanes_shape *s)
{
    return !context->exact && s->kw == CC_LANES_WINOGRAD_TAPS && s->kh <= CC_LANES_WINOGRAD_ROWS && s->oh % 2 == 0 &&
           s->ow % 2 == 0 && s->ic <= MOST_CHANNELS;
}

static int64_t direct_size(const cc_lanes_shape *s) { return s->oc * s->ic * s->kh * s->kw; }

int64_t cc_lanes_packed_size(const cc_context *context, const cc_lanes_shape *s)
{
    return direct_size(s) + (cc_lanes_takes_winograd(context, s) ? s->oc * s->ic * s->kh * CC_LANES_WINOGRAD_POINTS : 0);
}

int64_t cc_lanes_transform_size(const cc_context *context, const cc_lanes_shape *s)
{
    if (!cc_lanes_takes_winograd(context, s))
        return 0;
    return s->xh * cc_ceil_div(s->ow, 4) * s->ic * CC_LANES_WINOGRAD_POINTS * context->kernels->lanes;
}

int64_t cc_lanes_pairs_size(const cc_context *context, const cc_lanes_shape *s)
{
    if (!cc_lanes_takes_winograd(context, s))
        return 0;
    return s->xh * (s->ow / 2) * s->ic * CC_LANES_PAIR_POINTS * context->kernels->lanes;
}

cc_lanes_weights cc_lanes_pack(const cc_context *context, const cc_lanes_shape *s, const float *w, bool turned,
                               float *packed)
{
    const cc_lanes_kernels *kernels = &context->kernels->lanes_chain;
    const int64_t taps = s->kh * s->kw;
    cc_lanes_weights weights = {.direct = packed};
    for (int64_t o = 0; o < s->oc; o += kernels->group) {
        const int64_t count = cc_min(kernels->group, s->oc - o);
        for (int64_t i = 0; i < s->ic; i++)
            for (int64_t t = 0; t < taps; t++)
                for (int64_t j = o; j < o + count; j++)
                    *packed++ = turned ? w[(i * s->oc + j + 1) * taps - 1 - t] : w[(j * s->ic + i) * taps + t];
    }
    if (cc_lanes_takes_winograd(context, s) && kernels->winograd.weights(s, w, turned, packed))
        weights.winograd = packed;
    return weights;
}

void cc_lanes_add_blocks(const float *gradients, int64_t blocks, int64_t step, int64_t size, float *sum)
{
    for (int64_t first = 0; first < size; first += TOTALS) {
        const int64_t count = cc_min(TOTALS, size - first);
        double totals[TOTALS] = {0};
        for (int64_t b = 0; b < blocks; b++)
            for (int64_t i = 0; i < count; i++)
                totals[i] += (double)gradients[b * step + first + i];
        for (int64_t i = 0; i < count; i++)
            sum[first + i] += (float)totals[i];
    }
}
