/* isa/neon.c -- Advanced SIMD of AArch64. */
#define CC_ISA_NAME neon
#define CC_LANES 4
#include "../kernels/table.inc"
