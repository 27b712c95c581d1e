/* Multiply-adds one core can do: ten independent chains of vectors in registers, compiled for this machine. */

#include <time.h>

#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX__)
#define WIDTH 32
#else
#define WIDTH 16
#endif
typedef float vector __attribute__((vector_size(WIDTH)));

/* GFLOP/s of `rounds` rounds, two operations a multiply-add. `sink` keeps the result alive. */
double fma_peak(long rounds, float *sink)
{
    /* Each starts at a value of its own, or the compiler sees that they are all one chain. */
    const vector zero = {0};
    vector a0 = zero + sink[2], a1 = a0 + 1, a2 = a0 + 2, a3 = a0 + 3, a4 = a0 + 4, a5 = a0 + 5, a6 = a0 + 6,
           a7 = a0 + 7, a8 = a0 + 8, a9 = a0 + 9;
    vector x, y;
    for (unsigned i = 0; i < WIDTH / sizeof(float); i++) {
        x[i] = sink[0];
        y[i] = sink[1];
    }
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (long i = 0; i < rounds; i++) {
        a0 = a0 * x + y, a1 = a1 * x + y, a2 = a2 * x + y, a3 = a3 * x + y, a4 = a4 * x + y;
        a5 = a5 * x + y, a6 = a6 * x + y, a7 = a7 * x + y, a8 = a8 * x + y, a9 = a9 * x + y;
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    a0 += a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9;
    for (unsigned i = 0; i < WIDTH / sizeof(float); i++)
        sink[2] += a0[i];
    const double seconds = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
    return 1e-9 * 20.0 * (WIDTH / sizeof(float)) * (double)rounds / seconds;
}
