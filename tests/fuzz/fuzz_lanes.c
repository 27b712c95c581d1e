/* Chains of small convolutions: the reference convolution, ReLU and pooling by loops. */
#include <math.h>
#include <string.h>

#include "conv/conv.h"
#include "conv/lanes.h"
#include "fuzz.h"

#define STAGES CC_LANES_STAGES

typedef struct stage {
    cc_conv conv;
    int64_t x, w, y, pooled;     /* elements */
    int64_t *from;               /* where each pooled value came from in y; -1: nowhere */
    double *x64, *w64, *b64, *pooled64, *dw64, *db64;
    float *w32, *b32, *dw32, *db32;
} stage;

static void forward(const fuzz *f, stage *s, double *y)
{
    const int reference = cc_conv_algo_count() - 1;
    const int64_t *out = s->conv.window.output, ph = out[1] / 2, pw = out[2] / 2;
    FUZZ_EXPECT(cc_conv_forward(f->context, reference, &s->conv, s->x64, s->w64, s->b64, NULL, y) == CC_OK);
    for (int64_t i = 0; i < s->pooled; i++) {
        const int64_t plane = i / pw / ph, h = i / pw % ph, w = i % pw;
        s->pooled64[i] = 0;
        s->from[i] = -1;
        for (int tap = 0; tap < 4; tap++) {
            const int64_t at = (plane * out[1] + 2 * h + tap / 2) * out[2] + 2 * w + tap % 2;
            if (y[at] > s->pooled64[i]) {
                s->pooled64[i] = y[at];
                s->from[i] = at;
            }
        }
    }
}

static void backward(const fuzz *f, stage *s, const double *dpooled, double *dy, double *dx)
{
    const int reference = cc_conv_algo_count() - 1;
    memset(dy, 0, (size_t)s->y * 8);
    for (int64_t i = 0; i < s->pooled; i++)
        if (s->from[i] >= 0)
            dy[s->from[i]] = dpooled[i];
    FUZZ_EXPECT(cc_conv_backward_weight(f->context, reference, &s->conv, s->x64, dy, s->dw64) == CC_OK);
    FUZZ_EXPECT(cc_conv_backward_bias(f->context, &s->conv, dy, s->db64) == CC_OK);
    FUZZ_EXPECT(cc_conv_backward_data(f->context, reference, &s->conv, dy, s->w64, NULL, dx) == CC_OK);
}

/* The stage as a convolution, with its arrays; false if it is too much for an execution. */
static bool prepare(fuzz *f, const cc_lanes_stage *given, stage *s, int64_t n)
{
    const cc_lanes_shape *shape = &given->shape;
    const int64_t h = shape->xh - given->top - given->bottom, w = shape->xw - given->left - given->right;
    s->conv = (cc_conv){.n = n, .ic = shape->ic, .oc = shape->oc, .groups = 1, .dtype = CC_F64,
                        .window = {.input = {1, h, w}, .kernel = {1, given->kh, given->kw}, .stride = {1, 1, 1},
                                   .dilation = {1, 1, 1}, .pad_before = {0, given->top, given->left},
                                   .pad_after = {0, given->bottom, given->right}}};
    int64_t work;
    if (cc_conv_resolve(&s->conv) != CC_OK || !fuzz_fits((int64_t[]){n, shape->ic, h, w}, 4, &s->x) ||
        !fuzz_fits((int64_t[]){shape->oc, shape->ic, given->kh, given->kw}, 4, &s->w) ||
        !fuzz_fits((int64_t[]){n, shape->oc, shape->oh, shape->ow}, 4, &s->y) ||
        !fuzz_fits((int64_t[]){n, shape->oc, shape->ph, shape->pw}, 4, &s->pooled) ||
        cc_product((int64_t[]){s->y, shape->ic, given->kh, given->kw}, 4, &work) != CC_OK || work > 30000)
        return false;
    s->from = fuzz_bytes(f, s->pooled * 8);
    s->pooled64 = fuzz_bytes(f, s->pooled * 8);
    s->w32 = fuzz_array(f, CC_F32, s->w, &s->w64);
    s->b32 = fuzz_array(f, CC_F32, shape->oc, &s->b64);
    s->dw32 = fuzz_array(f, CC_F32, s->w, &s->dw64);
    s->db32 = fuzz_array(f, CC_F32, shape->oc, &s->db64);
    return true;
}

/* With Winograd's algorithm, which rounds: maxima are near, but they may be others among equals, and so may gradients. */
static void approximate(fuzz *f, const cc_lanes_chain *chain, const stage *stages, const float *x, const float *const *w,
                        const float *const *b, const float *dy, void *saved)
{
    const stage *first = &stages[0], *last = &stages[chain->stages - 1];
    float *y = fuzz_output(f, CC_F32, last->pooled), *dx = fuzz_output(f, CC_F32, first->x);
    float *dw[STAGES], *db[STAGES];
    double largest = 1;
    for (int i = 0; i < chain->stages; i++) {
        double sum = 1;
        dw[i] = fuzz_output(f, CC_F32, stages[i].w);
        db[i] = fuzz_output(f, CC_F32, chain->stage[i].oc);
        for (int64_t e = 0; e < stages[i].w; e++)
            sum += fabs(stages[i].w64[e]);
        for (int64_t e = 0; e < chain->stage[i].oc; e++)
            sum += fabs(stages[i].b64[e]);
        largest *= sum;
    }
    double image = 1;
    for (int64_t e = 0; e < first->x; e++)
        image = fmax(image, fabs(first->x64[e]));
    largest *= image;
    FUZZ_EXPECT(cc_lanes_forward(f->context, chain, x, w, b, saved, y) == CC_OK);
    fuzz_compare("lanes, rounded", y, CC_F32, last->pooled64, last->pooled, 100 * fuzz_epsilon(CC_F32), &largest, 1);
    FUZZ_EXPECT(cc_lanes_backward(f->context, chain, saved, w, dy, dw, db, dx) == CC_OK);
}

/* Integers only: ties of maxima and closed ReLUs are then the same in both precisions. */
void fuzz_lanes(fuzz *f)
{
    cc_lanes_chain chain = {.n = fuzz_range(f, 0, 20), .ic = fuzz_size(f, 1), .h = fuzz_size(f, 2), .w = fuzz_size(f, 2)};
    f->values = FUZZ_INTEGERS;
    chain.stages = (int)fuzz_range(f, f->hostile ? 0 : 1, f->hostile ? STAGES + 1 : 2);
    for (int i = 0; i < cc_min(chain.stages, STAGES); i++) {
        cc_lanes_stage *s = &chain.stage[i];
        s->oc = fuzz_size(f, 1);
        s->kh = fuzz_size(f, 1);
        s->kw = fuzz_size(f, 1);
        int64_t *const pads[] = {&s->top, &s->bottom, &s->left, &s->right};
        for (int side = 0; side < 4; side++) {
            *pads[side] = fuzz_range(f, 0, 4);
            if (!f->hostile)
                *pads[side] %= side < 2 ? s->kh : s->kw;
        }
    }
    cc_lanes_chain resolved = chain;
    if (cc_lanes_resolve(&resolved) != CC_OK) {
        float nothing[1] = {0};
        float *none[STAGES] = {nothing, nothing, nothing, nothing};
        FUZZ_EXPECT(cc_lanes_forward(f->context, &chain, nothing, (const float *const *)none,
                                     (const float *const *)none, nothing, nothing) < 0);
        FUZZ_EXPECT(cc_lanes_backward(f->context, &chain, nothing, (const float *const *)none, nothing, none, none,
                                      nothing) < 0);
        return;
    }
    stage stages[STAGES];
    for (int i = 0; i < chain.stages; i++)
        if (!prepare(f, &resolved.stage[i], &stages[i], chain.n))
            return;
    const stage *last = &stages[chain.stages - 1];
    double *dy64;
    const float *x = fuzz_array(f, CC_F32, stages[0].x, &stages[0].x64);
    const float *dy = fuzz_array(f, CC_F32, last->pooled, &dy64);
    float *y = fuzz_output(f, CC_F32, last->pooled), *dx = fuzz_output(f, CC_F32, stages[0].x);
    const float *w[STAGES], *b[STAGES];
    float *dw[STAGES], *db[STAGES];
    for (int i = 0; i < chain.stages; i++) {
        stage *s = &stages[i];
        if (i > 0)
            s->x64 = stages[i - 1].pooled64;
        forward(f, s, fuzz_bytes(f, s->y * 8));
        w[i] = s->w32;
        b[i] = s->b32;
        dw[i] = s->dw32;
        db[i] = s->db32;
    }
    const double *gradient = dy64;
    for (int i = chain.stages - 1; i >= 0; i--) {
        double *below = fuzz_bytes(f, stages[i].x * 8);
        backward(f, &stages[i], gradient, fuzz_bytes(f, stages[i].y * 8), below);
        gradient = below;
    }
    int64_t bytes;
    FUZZ_EXPECT(cc_lanes_saved_size(f->context, &resolved, &bytes) == CC_OK);
    if (bytes > 1 << 24)
        return;
    void *saved = cc_arena_alloc(f->context->arena, (size_t)bytes);
    const double none = 0;
    approximate(f, &resolved, stages, x, w, b, dy, saved);
    f->context->exact = true;
    FUZZ_EXPECT(cc_lanes_forward(f->context, &resolved, x, w, b, NULL, y) == CC_OK);
    fuzz_compare("lanes", y, CC_F32, last->pooled64, last->pooled, 0, &none, 1);
    FUZZ_EXPECT(cc_lanes_forward(f->context, &resolved, x, w, b, saved, y) == CC_OK);
    fuzz_compare("lanes, kept", y, CC_F32, last->pooled64, last->pooled, 0, &none, 1);
    FUZZ_EXPECT(cc_lanes_backward(f->context, &resolved, saved, w, dy, dw, db, dx) == CC_OK);
    fuzz_compare("lanes' dx", dx, CC_F32, gradient, stages[0].x, 0, &none, 1);
    for (int i = 0; i < chain.stages; i++) {
        fuzz_compare("lanes' dw", dw[i], CC_F32, stages[i].dw64, stages[i].w, 0, &none, 1);
        fuzz_compare("lanes' db", db[i], CC_F32, stages[i].db64, chain.stage[i].oc, 0, &none, 1);
    }
    f->context->exact = false;
    cc_arena_free(f->context->arena, saved);
}
