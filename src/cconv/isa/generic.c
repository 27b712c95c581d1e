/* isa/generic.c -- What every CPU of the platform has (SSE2 on x86-64). */
#define CC_ISA_NAME generic
#define CC_LANES 4
#include "../kernels/table.inc"
