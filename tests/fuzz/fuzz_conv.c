/* Every algorithm, each pass: the reference in double is the oracle. */
#include <math.h>
#include <string.h>

#include "conv/conv.h"
#include "fuzz.h"

typedef struct sizes {
    int64_t x, y, w;
} sizes;

/* What the passes compute, in double: the result, and the same of magnitudes, which bounds rounding. */
typedef struct oracle {
    double *result, *bound;
    double product; /* the largest there may be, of numbers that need not meet */
    int64_t terms;
} oracle;

static cc_layout any_layout(fuzz *f)
{
    const uint8_t kind = fuzz_byte(f);
    return f->hostile && kind == 0xEE ? (cc_layout)7 : (cc_layout)(kind & 1);
}

static cc_conv random_conv(fuzz *f)
{
    cc_conv c = {.n = fuzz_range(f, 0, 7) % 4, .groups = 1};
    c.window = fuzz_window(f);
    const uint8_t kind = fuzz_byte(f);
    if (kind % 4 == 0) { /* depthwise, with a multiplier */
        c.ic = c.groups = fuzz_size(f, 1);
        if (!cc_mul(c.ic, fuzz_range(f, 1, 2), &c.oc))
            c.oc = c.ic;
    } else {
        c.groups = kind % 4 == 1 ? fuzz_size(f, 1) : 1;
        const int64_t inputs = fuzz_size(f, f->hostile ? 0 : 1);
        /* 16 channels of a group are what some algorithms begin with. */
        if (!cc_mul(kind & 128 && inputs > 0 ? 16 : inputs, c.groups, &c.ic) ||
            !cc_mul(fuzz_size(f, f->hostile ? 0 : 1), c.groups, &c.oc))
            c.ic = c.oc = 1;
        if (f->hostile && fuzz_byte(f) == 1 && c.ic < INT64_MAX)
            c.ic++;
    }
    if (f->hostile && fuzz_byte(f) > 200)
        c.n = fuzz_size(f, 0);
    c.dtype = kind & 64 ? CC_F64 : CC_F32;
    c.mosaic = (kind & 32) != 0;
    c.x_layout = any_layout(f);
    c.y_layout = fuzz_byte(f) < 200 ? c.x_layout : any_layout(f);
    return c;
}

/* Sizes of the arrays, with the conv resolved; false if an execution should not touch that much. */
static bool measure(const cc_conv *c, sizes *s)
{
    const int64_t *in = c->window.input, *out = c->window.output, *k = c->window.kernel;
    int64_t work;
    return fuzz_fits((int64_t[]){c->n, c->ic, in[0], in[1], in[2]}, 5, &s->x) &&
           fuzz_fits((int64_t[]){c->n, c->oc, out[0], out[1], out[2]}, 5, &s->y) &&
           fuzz_fits((int64_t[]){c->oc, c->ic / c->groups, k[0], k[1], k[2]}, 5, &s->w) &&
           cc_product((int64_t[]){s->y, c->ic / c->groups, k[0], k[1], k[2]}, 5, &work) == CC_OK && work <= 60000 &&
           cc_product((int64_t[]){s->x, c->oc / c->groups, k[0], k[1], k[2]}, 5, &work) == CC_OK && work <= 60000;
}

static double *magnitudes(fuzz *f, const double *values, int64_t count)
{
    if (values == NULL)
        return NULL;
    double *m = fuzz_bytes(f, count * (int64_t)sizeof(double));
    for (int64_t i = 0; i < count; i++)
        m[i] = fabs(values[i]);
    return m;
}

static double *zeros(fuzz *f, int64_t count)
{
    const int64_t bytes = count * (int64_t)sizeof(double);
    return memset(fuzz_bytes(f, bytes), 0, (size_t)bytes);
}

/* What the public functions must say when the sizes are refused: the same, and touch nothing. */
static void expect_refusal(const fuzz *f, const cc_conv *c, cc_status status)
{
    char nothing[1] = {0};
    FUZZ_EXPECT(status < 0);
    for (int algo = -1; algo < cc_conv_algo_count(); algo++) {
        FUZZ_EXPECT(cc_conv_forward(f->context, algo, c, nothing, nothing, nothing, NULL, nothing) == status);
        FUZZ_EXPECT(cc_conv_backward_data(f->context, algo, c, nothing, nothing, NULL, nothing) == status);
        FUZZ_EXPECT(cc_conv_backward_weight(f->context, algo, c, nothing, nothing, nothing) == status);
    }
    FUZZ_EXPECT(cc_conv_backward_bias(f->context, c, nothing, nothing) == status);
    FUZZ_EXPECT(cc_conv_backward_relu(f->context, c, nothing, nothing, nothing, nothing) == status);
}

/* The largest of the bounds, for algorithms whose error spreads over neighbours. */
static double largest(const double *bound, int64_t count)
{
    double most = 0;
    for (int64_t i = 0; i < count; i++)
        most = fmax(most, bound[i]);
    return most;
}

static void judge(const fuzz *f, const cc_conv *c, int algo, const void *got, int64_t count, const oracle *o)
{
    const char *name = cc_conv_algo_name(algo);
    const bool spreads = strncmp(name, "winograd", strlen("winograd")) == 0 || strcmp(name, "fft") == 0;
    const double most = largest(o->bound, count), near = fmax(most, o->product);
    if (spreads) /* in transforms what meets padding only meets the rest, too */
        fuzz_compare(name, got, c->dtype, o->result, count, 100 * fuzz_epsilon(c->dtype) * (double)(o->terms + 4),
                     &near, 1);
    else if (f->values == FUZZ_INTEGERS)
        fuzz_compare(name, got, c->dtype, o->result, count, 0, &most, 1);
    else
        fuzz_compare(name, got, c->dtype, o->result, count, 2 * fuzz_epsilon(c->dtype) * (double)(o->terms + 4),
                     o->bound, count);
}

void fuzz_conv(fuzz *f)
{
    cc_conv c = random_conv(f), resolved = c;
    const cc_pass pass = (cc_pass)fuzz_range(f, 0, 2);
    const uint8_t options = fuzz_byte(f);
    const cc_status status = cc_conv_resolve(&resolved);
    sizes s;
    if (status != CC_OK) {
        expect_refusal(f, &c, status);
        return;
    }
    const int reference = cc_conv_algo_count() - 1, chosen = cc_conv_algo_choose(f->context, &c, pass);
    FUZZ_EXPECT(chosen >= 0 && cc_conv_algo_supports(f->context, chosen, &c, pass));
    if (!measure(&resolved, &s))
        return;

    const int64_t count = pass == CC_FORWARD ? s.y : pass == CC_BACKWARD_DATA ? s.x : s.w;
    const cc_dtype t = c.dtype;
    double *x64, *w64, *y64, *b64 = NULL, *start64, *residual64 = NULL;
    void *x = fuzz_array(f, t, s.x, &x64), *w = fuzz_array(f, t, s.w, &w64), *y = fuzz_array(f, t, s.y, &y64);
    void *b = options & 1 ? fuzz_array(f, t, c.oc, &b64) : NULL, *start = fuzz_array(f, t, s.w, &start64);
    cc_epilogue epilogue = {.relu = (options & 2) != 0};
    if (options & 4)
        epilogue.residual = fuzz_array(f, t, pass == CC_BACKWARD_DATA ? s.x : s.y, &residual64);

    /* The oracle, on values and on their magnitudes. */
    cc_conv c64 = c;
    c64.dtype = CC_F64;
    oracle o = {.result = zeros(f, count), .bound = zeros(f, count)};
    const double *xs[] = {x64, magnitudes(f, x64, s.x)}, *ws[] = {w64, magnitudes(f, w64, s.w)};
    const double *ys[] = {y64, magnitudes(f, y64, s.y)}, *starts[] = {start64, magnitudes(f, start64, s.w)};
    const double *bs[] = {b64, magnitudes(f, b64, c.oc)}, *residuals[] = {residual64, magnitudes(f, residual64, pass == CC_BACKWARD_DATA ? s.x : s.y)};
    o.product = pass == CC_FORWARD         ? largest(xs[1], s.x) * largest(ws[1], s.w)
                : pass == CC_BACKWARD_DATA ? largest(ys[1], s.y) * largest(ws[1], s.w)
                                           : largest(xs[1], s.x) * largest(ys[1], s.y);
    for (int i = 0; i < 2; i++) {
        double *to = i == 0 ? o.result : o.bound;
        const cc_epilogue e = {.residual = residuals[i], .relu = epilogue.relu};
        if (pass == CC_BACKWARD_WEIGHT)
            memcpy(to, starts[i], (size_t)count * sizeof(double));
        FUZZ_EXPECT(
            (pass == CC_FORWARD ? cc_conv_forward(f->context, reference, &c64, xs[i], ws[i], bs[i], &e, to)
             : pass == CC_BACKWARD_DATA ? cc_conv_backward_data(f->context, reference, &c64, ys[i], ws[i], e.residual, to)
                                        : cc_conv_backward_weight(f->context, reference, &c64, xs[i], ys[i], to)) ==
            CC_OK);
    }
    const int64_t taps = cc_volume(c.window.kernel);
    o.terms = 2 + (pass == CC_FORWARD         ? c.ic / c.groups * taps
                   : pass == CC_BACKWARD_DATA ? c.oc / c.groups * taps
                                              : c.n * cc_volume(resolved.window.output));

    const int64_t refuse = options & 8 ? fuzz_range(f, 0, 3) : -1;
    for (int algo = -1; algo <= reference; algo++) {
        void *got = fuzz_output(f, t, count);
        if (pass == CC_BACKWARD_WEIGHT)
            memcpy(got, start, (size_t)count * cc_dtype_size(t));
        cc_arena_fail_after(f->context->arena, refuse, 0);
        const cc_status said = pass == CC_FORWARD ? cc_conv_forward(f->context, algo, &c, x, w, b, &epilogue, got)
                               : pass == CC_BACKWARD_DATA ? cc_conv_backward_data(f->context, algo, &c, y, w, epilogue.residual, got)
                                                          : cc_conv_backward_weight(f->context, algo, &c, x, y, got);
        cc_arena_fail_after(f->context->arena, -1, 0);
        if (algo >= 0 && !cc_conv_algo_supports(f->context, algo, &c, pass)) {
            FUZZ_EXPECT(said == CC_ERR_UNSUPPORTED);
        } else if (said == CC_ERR_MEMORY) {
            FUZZ_EXPECT(refuse >= 0);
        } else {
            FUZZ_EXPECT(said == CC_OK);
            judge(f, &c, algo < 0 ? chosen : algo, got, count, &o);
            continue;
        }
        if (pass == CC_BACKWARD_WEIGHT)
            FUZZ_EXPECT(memcmp(got, start, (size_t)count * cc_dtype_size(t)) == 0);
        else
            FUZZ_EXPECT(said == CC_ERR_MEMORY || fuzz_untouched(got, t, count));
    }
}

/* db, and ReLU's mask with it. */
void fuzz_conv_bias(fuzz *f)
{
    cc_conv c = random_conv(f), resolved = c;
    const cc_status status = cc_conv_resolve(&resolved);
    sizes s;
    if (status != CC_OK || !measure(&resolved, &s)) {
        if (status != CC_OK)
            expect_refusal(f, &c, status);
        return;
    }
    const cc_strides strides = cc_strides_of(c.y_layout, c.oc, resolved.window.output);
    const int64_t plane = cc_volume(resolved.window.output), step = c.y_layout == CC_CHANNELS_LAST ? c.oc : 1;
    double *dy64, *y64, *db64, *again64;
    void *dy = fuzz_array(f, c.dtype, s.y, &dy64), *y = fuzz_array(f, c.dtype, s.y, &y64);
    void *db = fuzz_array(f, c.dtype, c.oc, &db64), *again = fuzz_array(f, c.dtype, c.oc, &again64);
    void *dx = fuzz_output(f, c.dtype, s.y);
    double *masked = zeros(f, s.y), *bound = zeros(f, c.oc), most = 0;
    for (int64_t o = 0; o < c.oc; o++) {
        bound[o] = fmax(fabs(db64[o]), fabs(again64[o]));
        for (int64_t n = 0; n < c.n; n++)
            for (int64_t p = 0; p < plane; p++) {
                const int64_t at = n * strides.n + o * strides.c + p * step;
                masked[at] = y64[at] > 0 ? dy64[at] : 0;
                db64[o] += dy64[at];
                again64[o] += masked[at];
                bound[o] += fabs(dy64[at]);
            }
    }
    FUZZ_EXPECT(cc_conv_backward_bias(f->context, &c, dy, db) == CC_OK);
    FUZZ_EXPECT(cc_conv_backward_relu(f->context, &c, dy, y, dx, again) == CC_OK);
    const double tolerance = fuzz_epsilon(c.dtype) * (c.dtype == CC_F32 ? 2 : (double)(c.n * plane + 2));
    fuzz_compare("db", db, c.dtype, db64, c.oc, tolerance, bound, c.oc);
    fuzz_compare("db of relu", again, c.dtype, again64, c.oc, tolerance, bound, c.oc);
    fuzz_compare("dx of relu", dx, c.dtype, masked, s.y, 0, &most, 1);
}
