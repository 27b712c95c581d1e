/* isa/avx2.c -- AVX2 and FMA. */
#define CC_ISA_NAME avx2
#define CC_LANES 8
#include "../kernels/table.inc"
