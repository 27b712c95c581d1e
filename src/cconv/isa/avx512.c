/* isa/avx512.c -- AVX-512 F, DQ, BW and VL. */
#define CC_ISA_NAME avx512
#define CC_LANES 16
#include "../kernels/table.inc"
