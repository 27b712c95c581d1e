/* Pooling by loops over windows and taps; indices as users may hand them over. */
#include <math.h>
#include <string.h>

#include "fuzz.h"
#include "pool/pool.h"

typedef struct sizes {
    int64_t small, large; /* elements of the whole array */
    int64_t in, out;      /* of a plane */
    int64_t step;         /* between positions */
} sizes;

static cc_pooling random_pooling(fuzz *f)
{
    cc_pooling p = {.window = fuzz_window(f)};
    const uint8_t options = fuzz_byte(f);
    p.n = fuzz_range(f, 0, 3);
    p.c = fuzz_size(f, f->hostile ? 0 : 1);
    p.dtype = options & 1 ? CC_F64 : CC_F32;
    p.layout = options & 2 ? CC_CHANNELS_LAST : CC_CHANNELS_FIRST;
    p.ceil_mode = options & 4;
    p.adaptive = options & 8;
    p.count_include_pad = options & 16;
    p.divisor = options & 32 ? fuzz_size(f, 1) : 0;
    for (int axis = 0; axis < CC_AXES; axis++)
        p.window.output[axis] = p.adaptive ? fuzz_size(f, 1) : 1;
    return p;
}

static bool measure(const cc_pooling *p, sizes *s)
{
    const int64_t *in = p->window.input, *out = p->window.output, *k = p->window.kernel;
    int64_t work;
    s->step = p->layout == CC_CHANNELS_LAST ? p->c : 1;
    return fuzz_fits((int64_t[]){p->n, p->c, in[0], in[1], in[2]}, 5, &s->large) &&
           fuzz_fits((int64_t[]){p->n, p->c, out[0], out[1], out[2]}, 5, &s->small) && fuzz_fits(in, 3, &s->in) &&
           fuzz_fits(out, 3, &s->out) && p->c <= 1 << 14 &&
           (p->adaptive ||
            (cc_product((int64_t[]){s->small, k[0], k[1], k[2]}, 4, &work) == CC_OK && work <= 60000));
}

/* First, end and step of a window's taps along an axis, outside of the image included. */
static void span(const cc_pooling *p, int axis, int64_t o, int64_t *begin, int64_t *count, int64_t *step)
{
    const cc_window *w = &p->window;
    if (p->adaptive) {
        *begin = o * w->input[axis] / w->output[axis];
        *count = ((o + 1) * w->input[axis] + w->output[axis] - 1) / w->output[axis] - *begin;
        *step = 1;
    } else {
        *begin = o * w->stride[axis] - w->pad_before[axis];
        *count = w->kernel[axis];
        *step = w->dilation[axis];
    }
}

/* One window over a plane: its inside, its maximum with place and position, its sum and the two divisors. */
typedef struct window {
    int64_t inside, padded, place, position;
    double maximum, sum, size;
    int64_t at[1 << 9]; /* positions of the first taps inside */
} window;

static window look(const cc_pooling *p, const double *x, int64_t step, int64_t o)
{
    const int64_t *in = p->window.input, *out = p->window.output;
    const int64_t position[CC_AXES] = {o / out[2] / out[1], o / out[2] % out[1], o % out[2]};
    int64_t begin[CC_AXES], count[CC_AXES], stride[CC_AXES], place = 0;
    window v = {.maximum = -INFINITY};
    for (int axis = 0; axis < CC_AXES; axis++)
        span(p, axis, position[axis], &begin[axis], &count[axis], &stride[axis]);
    for (int64_t d = 0; d < count[0]; d++)
        for (int64_t h = 0; h < count[1]; h++)
            for (int64_t w = 0; w < count[2]; w++, place++) {
                const int64_t q[CC_AXES] = {begin[0] + d * stride[0], begin[1] + h * stride[1],
                                            begin[2] + w * stride[2]};
                bool inside = true, padded = true;
                for (int axis = 0; axis < CC_AXES; axis++) {
                    inside &= q[axis] >= 0 && q[axis] < in[axis];
                    padded &= q[axis] - in[axis] < p->window.pad_after[axis];
                }
                v.padded += p->adaptive ? inside : padded;
                if (!inside)
                    continue;
                const int64_t at = (q[0] * in[1] + q[1]) * in[2] + q[2];
                const double value = x[at * step];
                if (v.inside == 0 || value > v.maximum) {
                    v.maximum = value;
                    v.place = place;
                    v.position = at;
                }
                if (v.inside < (int64_t)(sizeof v.at / sizeof *v.at))
                    v.at[v.inside] = at;
                v.inside++;
                v.sum += value;
                v.size += fabs(value);
            }
    return v;
}

static int64_t plane_start(const cc_pooling *p, int64_t plane, int64_t elements)
{
    return p->layout == CC_CHANNELS_LAST ? plane / p->c * p->c * elements + plane % p->c : plane * elements;
}

static void expect_refusal(const fuzz *f, const cc_pooling *p, cc_status status)
{
    char nothing[1] = {0};
    void *m = nothing;
    FUZZ_EXPECT(status < 0);
    FUZZ_EXPECT(cc_max_pool_forward(f->context, p, m, m, NULL, NULL) < 0);
    FUZZ_EXPECT(cc_max_pool_forward(f->context, p, m, m, m, NULL) < 0);
    FUZZ_EXPECT(cc_max_pool_backward(f->context, p, m, m, m) < 0);
    FUZZ_EXPECT(cc_average_pool_forward(f->context, p, m, m) < 0);
    FUZZ_EXPECT(cc_average_pool_backward(f->context, p, m, m) < 0);
}

static void maximum(fuzz *f, const cc_pooling *p, const sizes *s, const void *x, const double *x64)
{
    const bool places_fit = !p->adaptive && cc_volume(p->window.kernel) <= CC_POOL_MAX_PLACES;
    const bool wants_places = fuzz_flag(f);
    const bool with_places = places_fit && wants_places;
    void *y = fuzz_output(f, p->dtype, s->small), *dx = fuzz_output(f, p->dtype, s->large);
    uint8_t *places = fuzz_bytes(f, s->small);
    int64_t *indices = fuzz_bytes(f, s->small * 8);
    double *y64 = fuzz_bytes(f, s->small * 8), *dx64 = fuzz_bytes(f, s->large * 8), *bound = fuzz_bytes(f, s->large * 8);
    memset(dx64, 0, (size_t)s->large * 8);
    memset(bound, 0, (size_t)s->large * 8);
    double *dy64, none = 0;
    const void *dy = fuzz_array(f, p->dtype, s->small, &dy64);

    const cc_status status = cc_max_pool_forward(f->context, p, x, y, with_places ? places : NULL,
                                                 with_places ? NULL : indices);
    bool seen = true;
    for (int64_t plane = 0; plane < p->n * p->c; plane++)
        for (int64_t o = 0; o < s->out; o++) {
            const int64_t from = plane_start(p, plane, s->in), to = plane_start(p, plane, s->out) + o * s->step;
            const window v = look(p, x64 + from, s->step, o);
            seen &= v.inside > 0;
            y64[to] = v.maximum;
            if (status == CC_OK && seen) {
                FUZZ_EXPECT(with_places ? places[to] == v.place : indices[to] == v.position);
                dx64[from + v.position * s->step] += dy64[to];
                bound[from + v.position * s->step] += fabs(dy64[to]) * 100;
            }
        }
    if (status != CC_OK) {
        FUZZ_EXPECT(fuzz_untouched(y, p->dtype, s->small));
        FUZZ_EXPECT((!seen || s->small == 0) && status == CC_ERR_SHAPE);
        return;
    }
    FUZZ_EXPECT(seen);
    fuzz_compare("max pool", y, p->dtype, y64, s->small, 0, &none, 1);
    FUZZ_EXPECT((with_places ? cc_max_pool_backward(f->context, p, dy, places, dx)
                             : cc_max_pool_backward_indices(f->context, p, dy, indices, dx)) == CC_OK);
    fuzz_compare("max pool backward", dx, p->dtype, dx64, s->large,
                 f->values == FUZZ_INTEGERS ? 0 : fuzz_epsilon(p->dtype), bound, s->large);
    if (places_fit) { /* places are data, too: any byte is inside the array or refused */
        for (int64_t i = 0; i < s->small; i++)
            places[i] = fuzz_byte(f);
        cc_max_pool_backward(f->context, p, dy, places, dx);
    }
}

static void average(fuzz *f, const cc_pooling *p, const sizes *s, const void *x, const double *x64)
{
    void *y = fuzz_output(f, p->dtype, s->small), *dx = fuzz_output(f, p->dtype, s->large);
    double *y64 = fuzz_bytes(f, s->small * 8), *bound = fuzz_bytes(f, s->small * 8);
    double *dx64 = fuzz_bytes(f, s->large * 8), *bound_dx = fuzz_bytes(f, s->large * 8), *dy64;
    const void *dy = fuzz_array(f, p->dtype, s->small, &dy64);
    memset(dx64, 0, (size_t)s->large * 8);
    memset(bound_dx, 0, (size_t)s->large * 8);
    const cc_status status = cc_average_pool_forward(f->context, p, x, y);
    bool seen = true, all = true;
    for (int64_t plane = 0; plane < p->n * p->c; plane++)
        for (int64_t o = 0; o < s->out; o++) {
            const int64_t from = plane_start(p, plane, s->in), to = plane_start(p, plane, s->out) + o * s->step;
            const window v = look(p, x64 + from, s->step, o);
            all &= v.inside <= (int64_t)(sizeof v.at / sizeof *v.at);
            const double divisor =
                (double)(p->divisor != 0 ? p->divisor : p->count_include_pad ? v.padded : v.inside);
            seen &= v.inside > 0;
            y64[to] = v.sum / divisor;
            bound[to] = 100 * v.size / fabs(divisor);
            for (int64_t i = 0; i < cc_min(v.inside, (int64_t)(sizeof v.at / sizeof *v.at)); i++) {
                dx64[from + v.at[i] * s->step] += dy64[to] / divisor;
                bound_dx[from + v.at[i] * s->step] += 100 * fabs(dy64[to] / divisor);
            }
        }
    if (status != CC_OK) {
        FUZZ_EXPECT((!seen || s->small == 0) && status == CC_ERR_SHAPE && fuzz_untouched(y, p->dtype, s->small));
        return;
    }
    FUZZ_EXPECT(seen);
    fuzz_compare("average pool", y, p->dtype, y64, s->small, fuzz_epsilon(p->dtype), bound, s->small);
    FUZZ_EXPECT(cc_average_pool_backward(f->context, p, dy, dx) == CC_OK);
    if (all)
        fuzz_compare("average pool backward", dx, p->dtype, dx64, s->large, fuzz_epsilon(p->dtype), bound_dx, s->large);
}

void fuzz_pool(fuzz *f)
{
    cc_pooling p = random_pooling(f);
    const cc_pooling given = p;
    const cc_status status = cc_pooling_resolve(&p);
    sizes s;
    if (status != CC_OK) {
        expect_refusal(f, &given, status);
        return;
    }
    if (!measure(&p, &s))
        return;
    double *x64;
    const void *x = fuzz_array(f, p.dtype, s.large, &x64);
    if (fuzz_flag(f))
        maximum(f, &p, &s, x, x64);
    else
        average(f, &p, &s, x, x64);
}

static int64_t any_index(fuzz *f, int64_t plane, bool tame)
{
    static const int64_t strange[] = {-1, INT64_MIN, INT64_MAX, (int64_t)1 << 32, (int64_t)1 << 62, UINT32_MAX};
    const uint8_t kind = fuzz_byte(f);
    if (!tame && kind >= 250)
        return kind % 7 == 6 ? plane : strange[kind % 6];
    return kind % plane;
}

/* Passes by indices, which are users' data. */
void fuzz_unpool(fuzz *f)
{
    cc_pooling p = random_pooling(f);
    const int which = (int)fuzz_range(f, 0, 2);
    for (int axis = 0; axis < CC_AXES; axis++)
        p.window.output[axis] = fuzz_size(f, 1);
    int64_t *const near = which == 0 ? p.window.output : p.window.input;
    int64_t *const far = which == 0 ? p.window.input : p.window.output;
    int64_t near_plane, far_plane, near_count, far_count;
    const bool fits = fuzz_fits(near, 3, &near_plane) && fuzz_fits(far, 3, &far_plane) &&
                      fuzz_fits((int64_t[]){p.n, p.c, near_plane}, 3, &near_count) &&
                      fuzz_fits((int64_t[]){p.n, p.c, far_plane}, 3, &far_count) && near_plane > 0 && far_plane > 0;
    char nothing[8] = {0};
    if (!fits) {
        int64_t size;
        if (cc_product(near, 3, &size) != CC_OK || cc_product(far, 3, &size) != CC_OK)
            FUZZ_EXPECT(cc_max_unpool_forward(f->context, &p, nothing, (void *)nothing, nothing) < 0);
        return;
    }
    const bool tame = fuzz_flag(f);
    int64_t *indices = fuzz_bytes(f, near_count * 8);
    bool bad = false;
    for (int64_t i = 0; i < near_count; i++) {
        indices[i] = any_index(f, far_plane, tame);
        bad |= indices[i] < 0 || indices[i] >= far_plane;
    }
    double *from64;
    const int64_t from_count = which == 2 ? far_count : near_count, to_count = which == 2 ? near_count : far_count;
    const void *from = fuzz_array(f, p.dtype, from_count, &from64);
    void *to = fuzz_output(f, p.dtype, to_count);
    double *to64 = fuzz_bytes(f, to_count * 8), most = 0;
    memset(to64, 0, (size_t)to_count * 8);
    const int64_t step = p.layout == CC_CHANNELS_LAST ? p.c : 1;
    for (int64_t plane = 0; plane < p.n * p.c && !bad; plane++)
        for (int64_t i = 0; i < near_plane; i++) {
            const int64_t a = plane_start(&p, plane, near_plane) + i * step;
            const int64_t b = plane_start(&p, plane, far_plane) + indices[a] * step;
            if (which == 0)
                to64[b] += from64[a];
            else if (which == 1)
                to64[b] = from64[a];
            else
                to64[a] = from64[b];
            most += fabs(from64[a % from_count]);
        }
    const cc_status status = which == 0   ? cc_max_pool_backward_indices(f->context, &p, from, indices, to)
                             : which == 1 ? cc_max_unpool_forward(f->context, &p, from, indices, to)
                                          : cc_max_unpool_backward(f->context, &p, from, indices, to);
    if (bad) {
        FUZZ_EXPECT(status == CC_ERR_INDEX && fuzz_untouched(to, p.dtype, to_count));
        return;
    }
    FUZZ_EXPECT(status == CC_OK);
    fuzz_compare("by indices", to, p.dtype, to64, to_count, which == 0 ? 8 * fuzz_epsilon(p.dtype) : 0, &most, 1);
}
