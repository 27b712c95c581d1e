/* Arrays of either type, and the same values in double. */
#ifndef NUMBERS_H
#define NUMBERS_H

#include "check.h"

typedef struct numbers {
    void *data;    /* float or double */
    double *exact; /* the same values */
    int64_t n;
} numbers;

static numbers random_numbers(check *c, cc_dtype type, int64_t n)
{
    numbers a = {.n = n, .exact = check_f64(c, n)};
    if (type == CC_F32) {
        float *x = a.data = check_f32(c, n);
        for (int64_t i = 0; i < n; i++)
            a.exact[i] = (double)x[i];
    } else {
        a.data = check_copy(c, a.exact, n * 8, 8);
    }
    return a;
}

static void compare(check *c, cc_dtype type, const numbers *a, double scale)
{
    if (type == CC_F32)
        check_near_f32(c, a->data, a->exact, a->n, 1.2e-7, scale);
    else
        check_near_f64(c, a->data, a->exact, a->n, 2.3e-16, scale);
}

#endif
