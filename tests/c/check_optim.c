/* One step, a dozen roundings of values below 8: within 100 eps. */
#include <math.h>

#include "check.h"

#define CHECK_OPTIM(T, suffix, type, unit)                                                                \
    static double *exact_##suffix(check *c, const T *x, int64_t n)                                         \
    {                                                                                                      \
        double *copy = check_f64(c, n);                                                                    \
        for (int64_t i = 0; i < n; i++)                                                                    \
            copy[i] = (double)x[i];                                                                        \
        return copy;                                                                                       \
    }                                                                                                      \
    static void optim_##suffix(check *c)                                                                   \
    {                                                                                                      \
        const int64_t n = c->bench ? 65536 : check_integer(c, 0, 5 * c->kernels->lanes + 1);               \
        T *p = check_##suffix(c, n), *g = check_##suffix(c, n), *m = check_##suffix(c, n);                 \
        T *v = check_##suffix(c, n);                                                                       \
        const bool clear = check_integer(c, 0, 1) == 1, with_momentum = check_integer(c, 0, 1) == 1;       \
        double *ep = exact_##suffix(c, p, n), *eg = exact_##suffix(c, g, n), *em = exact_##suffix(c, m, n); \
        SLOT(c, optim.sgd);                                                                                \
        const cc_sgd sgd = {.lr = 0.1, .momentum = with_momentum ? 0.9 : 0, .keep = 0.75,                  \
                            .weight_decay = 0.01, .nesterov = check_integer(c, 0, 1) == 1, .clear = clear}; \
        for (int64_t i = 0; i < n; i++) {                                                                  \
            double d = eg[i] + sgd.weight_decay * ep[i];                                                   \
            if (with_momentum) {                                                                           \
                em[i] = sgd.momentum * em[i] + sgd.keep * d;                                               \
                d = sgd.nesterov ? d + sgd.momentum * em[i] : em[i];                                       \
            }                                                                                              \
            ep[i] -= sgd.lr * d;                                                                           \
            eg[i] = clear ? 0 : eg[i];                                                                     \
        }                                                                                                  \
        c->kernels->optim.sgd[type](&sgd, n, p, g, with_momentum ? m : NULL);                              \
        check_near_##suffix(c, p, ep, n, unit, 100);                                                        \
        check_near_##suffix(c, g, eg, n, 0, 0);                                                            \
        check_near_##suffix(c, m, em, n, unit, 100);                                                        \
        BENCH(c, (double)n * 5 * sizeof(T), "B", c->kernels->optim.sgd[type](&sgd, n, p, g, m));           \
        check_done(c);                                                                                     \
                                                                                                           \
        SLOT(c, optim.adam);                                                                               \
        p = check_##suffix(c, n), g = check_##suffix(c, n), m = check_##suffix(c, n);                      \
        v = check_##suffix(c, n);                                                                          \
        for (int64_t i = 0; i < n; i++)                                                                    \
            v[i] = v[i] * v[i];                                                                            \
        ep = exact_##suffix(c, p, n), eg = exact_##suffix(c, g, n), em = exact_##suffix(c, m, n);          \
        double *ev = exact_##suffix(c, v, n);                                                              \
        const cc_adam adam = {.rate = 0.01, .correction = 1.5, .beta1 = 0.9, .beta2 = 0.99, .eps = 0.01,   \
                              .weight_decay = 0.05, .shrink = 0.97, .clear = clear};                       \
        for (int64_t i = 0; i < n; i++) {                                                                  \
            const double d = eg[i] + adam.weight_decay * ep[i];                                            \
            em[i] += (1 - adam.beta1) * (d - em[i]);                                                       \
            ev[i] = adam.beta2 * ev[i] + (1 - adam.beta2) * d * d;                                         \
            ep[i] = ep[i] * adam.shrink - adam.rate * em[i] / (sqrt(ev[i]) * adam.correction + adam.eps);  \
            eg[i] = clear ? 0 : eg[i];                                                                     \
        }                                                                                                  \
        c->kernels->optim.adam[type](&adam, n, p, g, m, v);                                                \
        check_near_##suffix(c, p, ep, n, unit, 100);                                                        \
        check_near_##suffix(c, g, eg, n, 0, 0);                                                            \
        check_near_##suffix(c, m, em, n, unit, 100);                                                        \
        check_near_##suffix(c, v, ev, n, unit, 100);                                                        \
        BENCH(c, (double)n * 7 * sizeof(T), "B", c->kernels->optim.adam[type](&adam, n, p, g, m, v));      \
        check_done(c);                                                                                     \
    }
CHECK_OPTIM(float, f32, CC_F32, 1.2e-7)
CHECK_OPTIM(double, f64, CC_F64, 2.3e-16)

#define CHECK_MORE(T, suffix, type, unit)                                                                  \
    static void more_##suffix(check *c)                                                                    \
    {                                                                                                      \
        const int64_t n = c->bench ? 65536 : check_integer(c, 0, 5 * c->kernels->lanes + 1);               \
        T *p = check_##suffix(c, n), *g = check_##suffix(c, n), *v = check_##suffix(c, n);                 \
        T *a = check_##suffix(c, n), *b = check_##suffix(c, n);                                            \
        const bool clear = check_integer(c, 0, 1) == 1, centered = check_integer(c, 0, 1) == 1;            \
        const bool buffered = check_integer(c, 0, 1) == 1;                                                 \
        for (int64_t i = 0; i < n; i++) {                                                                  \
            v[i] = v[i] * v[i] + 1;                                                                        \
            a[i] = a[i] / 2;                                                                               \
        }                                                                                                  \
        double *ep = exact_##suffix(c, p, n), *eg = exact_##suffix(c, g, n), *ev = exact_##suffix(c, v, n); \
        double *ea = exact_##suffix(c, a, n), *eb = exact_##suffix(c, b, n);                               \
        SLOT(c, optim.rmsprop);                                                                            \
        const cc_rmsprop rmsprop = {.lr = 0.1, .alpha = 0.75, .eps = 0.125, .weight_decay = 0.25,          \
                                    .momentum = 0.5, .clear = clear};                                      \
        for (int64_t i = 0; i < n; i++) {                                                                  \
            double d = eg[i] + rmsprop.weight_decay * ep[i];                                               \
            ev[i] = rmsprop.alpha * ev[i] + (1 - rmsprop.alpha) * d * d;                                   \
            ea[i] += centered ? (1 - rmsprop.alpha) * (d - ea[i]) : 0;                                     \
            d /= sqrt(ev[i] - (centered ? ea[i] * ea[i] : 0)) + rmsprop.eps;                               \
            if (buffered)                                                                                  \
                d = eb[i] = rmsprop.momentum * eb[i] + d;                                                  \
            ep[i] -= rmsprop.lr * d;                                                                       \
            eg[i] = clear ? 0 : eg[i];                                                                     \
        }                                                                                                  \
        c->kernels->optim.rmsprop[type](&rmsprop, n, p, g, v, centered ? a : NULL, buffered ? b : NULL);   \
        check_near_##suffix(c, p, ep, n, unit, 200);                                                       \
        check_near_##suffix(c, g, eg, n, 0, 0);                                                            \
        check_near_##suffix(c, v, ev, n, unit, 100);                                                       \
        check_near_##suffix(c, a, ea, n, unit, 100);                                                       \
        check_near_##suffix(c, b, eb, n, unit, 200);                                                       \
        BENCH(c, (double)n * 5 * sizeof(T), "B",                                                           \
              c->kernels->optim.rmsprop[type](&rmsprop, n, p, g, v, NULL, NULL));                          \
        check_done(c);                                                                                     \
                                                                                                           \
        SLOT(c, optim.adagrad);                                                                            \
        p = check_##suffix(c, n), g = check_##suffix(c, n), v = check_##suffix(c, n);                      \
        for (int64_t i = 0; i < n; i++)                                                                    \
            v[i] = v[i] * v[i];                                                                            \
        ep = exact_##suffix(c, p, n), eg = exact_##suffix(c, g, n), ev = exact_##suffix(c, v, n);          \
        const cc_adagrad adagrad = {.rate = 0.1, .eps = 0.125, .weight_decay = 0.25, .clear = clear};      \
        for (int64_t i = 0; i < n; i++) {                                                                  \
            const double d = eg[i] + adagrad.weight_decay * ep[i];                                         \
            ev[i] += d * d;                                                                                \
            ep[i] -= adagrad.rate * d / (sqrt(ev[i]) + adagrad.eps);                                       \
            eg[i] = clear ? 0 : eg[i];                                                                     \
        }                                                                                                  \
        c->kernels->optim.adagrad[type](&adagrad, n, p, g, v);                                             \
        check_near_##suffix(c, p, ep, n, unit, 100);                                                       \
        check_near_##suffix(c, g, eg, n, 0, 0);                                                            \
        check_near_##suffix(c, v, ev, n, unit, 100);                                                       \
        BENCH(c, (double)n * 5 * sizeof(T), "B", c->kernels->optim.adagrad[type](&adagrad, n, p, g, v));   \
        check_done(c);                                                                                     \
                                                                                                           \
        SLOT(c, optim.adadelta);                                                                           \
        p = check_##suffix(c, n), g = check_##suffix(c, n), v = check_##suffix(c, n);                      \
        a = check_##suffix(c, n);                                                                          \
        for (int64_t i = 0; i < n; i++)                                                                    \
            v[i] = v[i] * v[i], a[i] = a[i] * a[i];                                                        \
        ep = exact_##suffix(c, p, n), eg = exact_##suffix(c, g, n), ev = exact_##suffix(c, v, n);          \
        ea = exact_##suffix(c, a, n);                                                                      \
        const cc_adadelta adadelta = {.lr = 0.5, .rho = 0.75, .eps = 0.125, .weight_decay = 0.25, .clear = clear}; \
        for (int64_t i = 0; i < n; i++) {                                                                  \
            const double d = eg[i] + adadelta.weight_decay * ep[i];                                        \
            ev[i] = adadelta.rho * ev[i] + (1 - adadelta.rho) * d * d;                                     \
            const double move = sqrt(ea[i] + adadelta.eps) / sqrt(ev[i] + adadelta.eps) * d;               \
            ea[i] = adadelta.rho * ea[i] + (1 - adadelta.rho) * move * move;                               \
            ep[i] -= adadelta.lr * move;                                                                   \
            eg[i] = clear ? 0 : eg[i];                                                                     \
        }                                                                                                  \
        c->kernels->optim.adadelta[type](&adadelta, n, p, g, v, a);                                        \
        check_near_##suffix(c, p, ep, n, unit, 100);                                                       \
        check_near_##suffix(c, g, eg, n, 0, 0);                                                            \
        check_near_##suffix(c, v, ev, n, unit, 100);                                                       \
        check_near_##suffix(c, a, ea, n, unit, 100);                                                       \
        BENCH(c, (double)n * 7 * sizeof(T), "B", c->kernels->optim.adadelta[type](&adadelta, n, p, g, v, a)); \
        check_done(c);                                                                                     \
                                                                                                           \
        SLOT(c, optim.squares);                                                                            \
        p = check_##suffix(c, n);                                                                          \
        double sum = 0;                                                                                    \
        for (int64_t i = 0; i < n; i++)                                                                    \
            sum += (double)p[i] * (double)p[i];                                                            \
        EXPECT(c, fabs(c->kernels->optim.squares[type](n, p) - sum) <= 1e-14 * (double)n);                 \
        BENCH(c, (double)n * sizeof(T), "B", c->kernels->optim.squares[type](n, p));                       \
        check_done(c);                                                                                     \
    }
CHECK_MORE(float, f32, CC_F32, 1.2e-7)
CHECK_MORE(double, f64, CC_F64, 2.3e-16)

void check_optim(check *c)
{
    optim_f32(c);
    optim_f64(c);
    more_f32(c);
    more_f64(c);
}
