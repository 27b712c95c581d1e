/* eltwise/activation_double.h -- as kernels/activation.h for doubles, with the functions of libm. */
#ifndef CC_ACTIVATION_DOUBLE_H
#define CC_ACTIVATION_DOUBLE_H

#include "../kernels/activation.h"

void cc_activation_forward_f64(cc_activation kind, double alpha, double beta, const double *x, double *y, int64_t n);
void cc_activation_backward_f64(cc_activation kind, double alpha, double beta, const double *dy, const double *x,
                                double *dx, int64_t n);

#endif
