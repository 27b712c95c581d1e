/* The matrices of Winograd's construction, in double. */
#ifndef CHECK_WINOGRAD_MATRICES_H
#define CHECK_WINOGRAD_MATRICES_H

#include <stdbool.h>

#include "kernels/winograd.h"

static const double finite_points[5] = {0, 0.625, -0.625, 1.5, -1.5};

typedef struct matrix {
    int rows, columns;
    double at[6][6];
} matrix;

/* B': row p holds the coefficients of the product of (x - q) over the other finite points. */
static inline matrix product_matrix(int count)
{
    matrix b = {.rows = count, .columns = count};
    for (int p = 0; p < count; p++) {
        b.at[p][0] = 1;
        for (int q = 0, degree = 0; q < 5; q++)
            if (q != p) {
                degree++;
                for (int k = degree; k >= 0; k--)
                    b.at[p][k] = (k > 0 ? b.at[p][k - 1] : 0) - finite_points[q] * (k < degree ? b.at[p][k] : 0);
            }
    }
    return b;
}

/* Powers of the points, divided by the distances to the others where `weighted`; the last is the point at infinity. */
static inline matrix powers(int count, int columns, bool weighted)
{
    matrix m = {.rows = count, .columns = columns};
    for (int p = 0; p < 5; p++) {
        double value = 1;
        for (int q = 0; q < 5 && weighted; q++)
            value /= q == p ? 1 : finite_points[p] - finite_points[q];
        for (int k = 0; k < columns; k++, value *= finite_points[p])
            m.at[p][k] = value;
    }
    if (count == 6)
        m.at[5][columns - 1] = 1;
    return m;
}

/* Of images of two pixels. */
static const matrix pair_input = {3, 2, {{1, 1}, {0, 1}, {1, 0}}}, pair_gradient = {3, 2, {{1, 1}, {1, 0}, {0, 1}}};
static const matrix pair_weights = {3, 3, {{0, 1, 0}, {0, -1, 1}, {1, -1, 0}}};

static inline matrix input_matrix(const cc_winograd_kernels *form)
{
    return form->image > 0 ? pair_input : product_matrix((int)form->points);
}

static inline matrix gradient_matrix(const cc_winograd_kernels *form)
{
    return form->image > 0 ? pair_gradient : powers((int)form->points, (int)form->step, false);
}

#endif
