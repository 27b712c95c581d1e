/* No memory: every request of every public function is refused, once and from then on. The function says so, has written
 * nothing and keeps nothing; the next call is right. On every instruction set, in both dtypes and memory orders.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "conv/conv.h"
#include "conv/lanes.h"
#include "gemm/gemm.h"
#include "im2col/im2col.h"
#include "linear/linear.h"
#include "loss/loss.h"
#include "norm/norm.h"
#include "optim/optim.h"
#include "pool/pool.h"
#include "plain_gemm.h"

#define COUNT 30000 /* elements of an input, and doubles of what is written */

enum { N = 2, IC = 20, OC = 24, H = 9, W = 7 };

typedef struct trial {
    const cc_context *context;
    cc_dtype dtype;
    cc_layout layout;
    int algo;
    cc_conv conv;
    const void *x, *w, *b, *dy; /* of real numbers */
    const double *stats;
    const int64_t *classes;
    char *out;
} trial;

static char *part(const trial *t, int i) { return t->out + i * (COUNT / 3) * (int64_t)sizeof(double); }

/* ---- the functions ---- */

static cc_status conv_forward(const trial *t)
{
    const cc_epilogue epilogue = {.relu = true};
    return cc_conv_forward(t->context, t->algo, &t->conv, t->x, t->w, t->b, &epilogue, t->out);
}

static cc_status conv_data(const trial *t)
{
    return cc_conv_backward_data(t->context, t->algo, &t->conv, t->dy, t->w, t->x, t->out);
}

static cc_status conv_weight(const trial *t)
{
    return cc_conv_backward_weight(t->context, t->algo, &t->conv, t->x, t->dy, t->out);
}

static cc_status conv_bias(const trial *t) { return cc_conv_backward_bias(t->context, &t->conv, t->dy, t->out); }

static cc_status conv_relu(const trial *t)
{
    return cc_conv_backward_relu(t->context, &t->conv, t->dy, t->x, t->out, part(t, 2));
}

static cc_pooling pooling_of(const trial *t)
{
    cc_pooling p = {.n = N, .c = IC, .window = t->conv.window, .dtype = t->dtype, .layout = t->layout};
    cc_pooling_resolve(&p);
    return p;
}

static cc_status max_pool(const trial *t)
{
    const cc_pooling p = pooling_of(t);
    return cc_max_pool_forward(t->context, &p, t->x, t->out, NULL, (int64_t *)part(t, 1));
}

static cc_status average_pool(const trial *t)
{
    const cc_pooling p = pooling_of(t);
    return cc_average_pool_forward(t->context, &p, t->x, t->out);
}

static cc_status average_pool_backward(const trial *t)
{
    const cc_pooling p = pooling_of(t);
    return cc_average_pool_backward(t->context, &p, t->dy, t->out);
}

static cc_norm norm_of(const trial *t)
{
    return (cc_norm){.n = N, .c = IC, .spatial = H * W, .dtype = t->dtype, .layout = t->layout, .relu = true};
}

static cc_status norm_forward(const trial *t)
{
    const cc_norm n = norm_of(t);
    double *stats = (double *)part(t, 2);
    return cc_norm_forward(t->context, &n, 1e-5, t->x, t->w, t->b, t->dy, t->out, stats, stats + IC, stats + 2 * IC);
}

static cc_status norm_inference(const trial *t)
{
    const cc_norm n = norm_of(t);
    return cc_norm_inference(t->context, &n, 1e-5, t->x, t->stats, t->stats, t->w, t->b, NULL, t->out);
}

static cc_status norm_backward(const trial *t)
{
    const cc_norm n = norm_of(t);
    return cc_norm_backward(t->context, &n, false, t->dy, t->x, t->dy, t->stats, t->stats, t->w, t->b, t->out, part(t, 1),
                            part(t, 2), part(t, 2) + IC * sizeof(double));
}

static cc_linear linear_of(const trial *t) { return (cc_linear){.rows = 70, .in = 90, .out = 60, .dtype = t->dtype}; }

static cc_status linear_forward(const trial *t)
{
    const cc_linear l = linear_of(t);
    return cc_linear_forward(t->context, &l, t->x, t->w, t->b, true, t->out);
}

static cc_status linear_backward(const trial *t)
{
    const cc_linear l = linear_of(t);
    const cc_status status = cc_linear_backward(t->context, &l, t->dy, t->x, t->w, t->out, part(t, 1), part(t, 2));
    if (status != CC_OK) /* dx may then hold anything */
        memset(t->out, 0, (size_t)(part(t, 1) - t->out));
    return status;
}

static cc_status cross_entropy(const trial *t)
{
    const cc_cross_entropy l = {.n = N, .c = IC, .spatial = H * W, .dtype = t->dtype, .layout = t->layout, .mean = true,
                                .smoothing = 0.1, .ignore_index = -100};
    return cc_cross_entropy_forward(t->context, &l, t->x, t->classes, NULL, t->stats, (double *)part(t, 1),
                                    (double *)part(t, 2), t->out);
}

static cc_status softmax(const trial *t)
{
    return cc_softmax_forward(t->context, t->dtype, false, N, IC, H * W, t->x, t->out);
}

static cc_status squared_error(const trial *t)
{
    return cc_squared_error(t->context, t->dtype, COUNT / 3, t->x, t->dy, 0.5, (double *)part(t, 2), t->out);
}

static cc_patches patches_of(const trial *t)
{
    cc_patches p = {.n = 1, .c = IC, .window = t->conv.window, .dtype = t->dtype, .layout = t->layout};
    cc_patches_resolve(&p);
    return p;
}

static cc_status im2col(const trial *t)
{
    const cc_patches p = patches_of(t);
    return cc_im2col(t->context, &p, t->x, t->out);
}

static cc_status col2im(const trial *t)
{
    const cc_patches p = patches_of(t);
    return cc_col2im(t->context, &p, t->x, t->out);
}

static cc_status gemm(const trial *t)
{
    return cc_gemm(t->context, false, true, 70, 60, 90, t->x, 90, t->w, 90, false, (float *)t->out, 60, NULL);
}

static cc_status squares(const trial *t) { return cc_squares(t->context, t->dtype, COUNT, t->x, (double *)t->out); }

static cc_lanes_chain chain_of(void)
{
    cc_lanes_chain chain = {.n = 19, .ic = 1, .h = H, .w = W, .stages = 1};
    chain.stage[0] = (cc_lanes_stage){.oc = 6, .kh = 3, .kw = 3, .top = 1, .bottom = 1, .left = 1, .right = 1};
    cc_lanes_resolve(&chain);
    return chain;
}

static cc_status lanes_forward(const trial *t)
{
    const cc_lanes_chain chain = chain_of();
    const float *w = t->w, *b = t->b;
    return cc_lanes_forward(t->context, &chain, t->x, &w, &b, NULL, (float *)t->out);
}

static cc_status lanes_backward(const trial *t)
{
    const cc_lanes_chain chain = chain_of();
    const float *w = t->w, *b = t->b;
    float *dw = (float *)part(t, 1), *db = (float *)part(t, 2);
    int64_t bytes;
    cc_status status = cc_lanes_saved_size(t->context, &chain, &bytes);
    void *saved = status == CC_OK ? calloc(1, (size_t)bytes) : NULL;
    if (saved != NULL)
        status = cc_lanes_backward(t->context, &chain, saved, &w, t->dy, &dw, &db, (float *)t->out);
    free(saved);
    (void)b;
    return status;
}

#define FUNCTIONS(X)                                                                                              \
    X(conv_bias) X(conv_relu) X(max_pool) X(average_pool) X(average_pool_backward) X(norm_forward)                \
    X(norm_inference) X(norm_backward) X(linear_forward) X(linear_backward) X(cross_entropy) X(softmax)           \
    X(squared_error) X(im2col) X(col2im) X(squares)
#define FUNCTIONS_F32(X) X(gemm) X(lanes_forward) X(lanes_backward)

/* ---- refusing ---- */

/* Returns the number of requests refused. */
static int refuse(check *c, const trial *t, const char *name, cc_status (*call)(const trial *))
{
    static char expected[COUNT * sizeof(double)], blank[sizeof expected];
    cc_arena *arena = t->context->arena;
    int refused = 0;
    static char label[80];
    snprintf(label, sizeof label, "%s, %s, %s", name, cc_conv_algo_name(t->algo), t->dtype == CC_F32 ? "float" : "double");
    c->what = label;
    memset(t->out, 0, sizeof expected);
    if (!EXPECT(c, call(t) == CC_OK))
        return 0;
    memcpy(expected, t->out, sizeof expected);
    EXPECT(c, memcmp(expected, blank, sizeof blank) != 0);
    for (int persistent = 0; persistent < 2; persistent++)
        for (int successes = 0; successes < 100; successes++) {
            const cc_arena_stats before = cc_arena_get_stats(arena);
            memset(t->out, 0, sizeof expected);
            cc_arena_fail_after(arena, successes, persistent);
            const cc_status status = call(t);
            cc_arena_fail_after(arena, -1, 0);
            const cc_arena_stats after = cc_arena_get_stats(arena);
            EXPECT(c, after.blocks == before.blocks && after.in_use == before.in_use);
            if (status == CC_OK) {
                EXPECT(c, memcmp(t->out, expected, sizeof expected) == 0);
                break;
            }
            refused++;
            EXPECT(c, status == CC_ERR_MEMORY && memcmp(t->out, blank, sizeof blank) == 0);
            EXPECT(c, call(t) == CC_OK && memcmp(t->out, expected, sizeof expected) == 0);
        }
    return refused;
}

static int refuse_convolutions(check *c, trial *t, int64_t groups, int64_t kernel, int64_t stride,
                               int64_t dilation)
{
    const int64_t pad = kernel / 2 * dilation;
    int refused = 0;
    t->conv = (cc_conv){.n = N, .ic = groups == IC ? OC : IC, .oc = OC, .groups = groups == IC ? OC : groups, .dtype = t->dtype,
                        .x_layout = t->layout, .y_layout = t->layout,
                        .window = {.input = {1, H, W}, .kernel = {1, kernel, kernel}, .stride = {1, stride, stride},
                                   .dilation = {1, dilation, dilation}, .pad_before = {0, pad, pad}, .pad_after = {0, pad, pad}}};
    EXPECT(c, cc_conv_resolve(&t->conv) == CC_OK);
#define RUN(name, pass)                                                                          \
    for (t->algo = 0; t->algo < cc_conv_algo_count(); t->algo++)                                 \
        if (cc_conv_algo_supports(t->context, t->algo, &t->conv, pass))                          \
            refused += refuse(c, t, #name, name);
    RUN(conv_forward, CC_FORWARD)
    RUN(conv_data, CC_BACKWARD_DATA)
    RUN(conv_weight, CC_BACKWARD_WEIGHT)
#undef RUN
    return refused;
}

static int refuse_all(check *c, trial *t)
{
    int refused = refuse_convolutions(c, t, 1, 1, 2, 1) + refuse_convolutions(c, t, 4, 3, 1, 1) +
                  refuse_convolutions(c, t, IC, 3, 1, 1) + refuse_convolutions(c, t, 1, 3, 2, 1) +
                  refuse_convolutions(c, t, 1, 3, 1, 1) + refuse_convolutions(c, t, 1, 3, 1, 2);
#define RUN(name) refused += refuse(c, t, #name, name);
    FUNCTIONS(RUN)
    if (t->dtype == CC_F32) {
        FUNCTIONS_F32(RUN)
    }
#undef RUN
    return refused;
}

void test_refusal(check *c)
{
    int64_t classes[N * H * W];
    double *stats = check_f64(c, IC), *out = check_f64(c, COUNT);
    const void *inputs[2][4];
    for (int i = 0; i < 4; i++) {
        inputs[CC_F32][i] = check_f32(c, COUNT);
        inputs[CC_F64][i] = check_f64(c, COUNT);
    }
    for (int i = 0; i < N * H * W; i++)
        classes[i] = check_integer(c, 0, IC - 1);
    for (int i = 0; i < IC; i++)
        stats[i] = stats[i] * stats[i] + 0.1;
    for (int isa = 0; isa < CC_ISA_COUNT; isa++) {
        cc_context *context;
        if (cc_context_create((cc_isa)isa, 3, &context) != CC_OK)
            continue;
        cc_blas_set(context->blas, plain_sgemm, plain_dgemm, NULL, NULL);
        int refused = 0;
        for (int dtype = CC_F32; dtype <= CC_F64; dtype++)
            for (int layout = CC_CHANNELS_FIRST; layout <= CC_CHANNELS_LAST; layout++) {
                const void *const *in = inputs[dtype];
                trial t = {.context = context, .dtype = (cc_dtype)dtype, .layout = (cc_layout)layout, .x = in[0], .w = in[1],
                           .b = in[2], .dy = in[3], .stats = stats, .classes = classes, .out = (char *)out};
                refused += refuse_all(c, &t);
            }
        EXPECT(c, refused > 200);
        cc_context_destroy(context);
    }
    check_done(c);
}
