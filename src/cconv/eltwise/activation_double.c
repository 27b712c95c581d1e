#include "activation_double.h"

#include <math.h>

/* a * b where a vanishes faster than b grows: 0 * inf is 0. */
static double damped(double a, double b) { return a == 0 ? 0 : a * b; }

/* Both branches keep the exponent negative, so nothing overflows. */
static double sigmoid(double x)
{
    const double e = exp(-fabs(x)), s = 1 / (1 + e);
    return x >= 0 ? s : e * s;
}

/* log(1 + e^x) */
static double softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }

/* tanh(softplus(x)), as a quotient of polynomials in e^x or e^-x. */
static double mish_gate(double x)
{
    const double e = exp(-fabs(x)), rising = 1 + 2 * e, falling = e * (e + 2);
    return x >= 0 ? rising / (rising + 2 * e * e) : falling / (falling + 2);
}

void cc_activation_forward_f64(cc_activation kind, double alpha, double beta, const double *x, double *y, int64_t n)
{
#define EACH(expression)                \
    for (int64_t i = 0; i < n; i++) {   \
        const double v = x[i];          \
        y[i] = (expression);            \
    }                                   \
    break
    switch (kind) {
    case CC_LEAKY_RELU: EACH(v > 0 ? v : alpha * v);
    case CC_HARDTANH: EACH(v < alpha ? alpha : v > beta ? beta : v);
    case CC_HARDSIGMOID: EACH(alpha * v + beta < 0 ? 0 : alpha * v + beta > 1 ? 1 : alpha * v + beta);
    case CC_HARDSWISH: EACH(v <= -3 ? 0 : v >= 3 ? v : v * (v + 3) / 6);
    case CC_THRESHOLD: EACH(v <= alpha ? beta : v);
    case CC_SOFTSIGN: EACH(fabs(v) == INFINITY ? copysign(1, v) : v / (1 + fabs(v)));
    case CC_SIGMOID: EACH(sigmoid(v));
    case CC_LOG_SIGMOID: EACH(-softplus(-v));
    case CC_TANH: EACH(tanh(v));
    case CC_SCALED_TANH: EACH(1.7159 * tanh(v * (2.0 / 3)));
    case CC_ELU: EACH(v > 0 ? v : alpha * expm1(v));
    case CC_SELU: EACH(CC_SELU_SCALE * (v > 0 ? v : CC_SELU_ALPHA * expm1(v)));
    case CC_CELU: EACH(v > 0 ? v : alpha * expm1(v / alpha));
    case CC_GELU: EACH(0.5 * damped(erfc(-v * M_SQRT1_2), v));
    case CC_GELU_TANH: EACH(damped(sigmoid(2 * CC_GELU_SCALE * (v + 0.044715 * v * v * v)), v));
    case CC_SILU: EACH(damped(sigmoid(v), v));
    case CC_MISH: EACH(damped(mish_gate(v), v));
    case CC_SOFTPLUS: EACH(alpha * v > beta ? v : softplus(alpha * v) / alpha);
    default: break;
    }
#undef EACH
}

void cc_activation_backward_f64(cc_activation kind, double alpha, double beta, const double *dy, const double *x,
                                double *dx, int64_t n)
{
#define EACH(statement, derivative)     \
    for (int64_t i = 0; i < n; i++) {   \
        const double v = x[i];          \
        statement;                      \
        dx[i] = dy[i] * (derivative);   \
    }                                   \
    break
    switch (kind) {
    case CC_LEAKY_RELU: EACH(, v > 0 ? 1 : alpha);
    case CC_HARDTANH: EACH(, v <= alpha || v >= beta ? 0 : 1);
    case CC_HARDSIGMOID: EACH(const double u = alpha * v + beta, u <= 0 || u >= 1 ? 0 : alpha);
    case CC_HARDSWISH: EACH(, v <= -3 ? 0 : v >= 3 ? 1 : v / 3 + 0.5);
    case CC_THRESHOLD: EACH(, v <= alpha ? 0 : 1);
    case CC_SOFTSIGN: EACH(const double u = 1 / (1 + fabs(v)), u * u);
    case CC_SIGMOID: EACH(const double s = sigmoid(v), s * (1 - s));
    case CC_LOG_SIGMOID: EACH(, sigmoid(-v));
    case CC_TANH: EACH(const double t = tanh(v), 1 - t * t);
    case CC_SCALED_TANH: EACH(const double t = tanh(v * (2.0 / 3)), (1.7159 * 2 / 3) * (1 - t * t));
    case CC_ELU: EACH(, v > 0 ? 1 : alpha * exp(v));
    case CC_SELU: EACH(, CC_SELU_SCALE * (v > 0 ? 1 : CC_SELU_ALPHA * exp(v)));
    case CC_CELU: EACH(, v > 0 ? 1 : exp(v / alpha));
    case CC_GELU:
        EACH(, 0.5 * erfc(-v * M_SQRT1_2) + 0.5 * M_SQRT1_2 * M_2_SQRTPI * damped(exp(-v * v / 2), v));
    case CC_GELU_TANH:
        EACH(const double s = sigmoid(2 * CC_GELU_SCALE * (v + 0.044715 * v * v * v)),
             s + damped(s * (1 - s), v * 2 * CC_GELU_SCALE * (1 + (3 * 0.044715) * v * v)));
    case CC_SILU: EACH(const double s = sigmoid(v), s + damped(s * (1 - s), v));
    case CC_MISH: EACH(const double t = mish_gate(v), t + damped((1 - t * t) * sigmoid(v), v));
    case CC_SOFTPLUS: EACH(, alpha * v > beta ? 1 : sigmoid(alpha * v));
    default: break;
    }
#undef EACH
}
