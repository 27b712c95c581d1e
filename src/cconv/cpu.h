/* cpu.h -- what this processor can do, and its floating-point mode. */
#ifndef CC_CPU_H
#define CC_CPU_H

#include <stdbool.h>

typedef enum cc_isa { CC_ISA_GENERIC = 0, CC_ISA_AVX2, CC_ISA_AVX512, CC_ISA_NEON, CC_ISA_COUNT } cc_isa;

const char *cc_isa_name(cc_isa isa);

/* Whether this build carries the instruction set's kernels and this processor runs them. */
bool cc_isa_usable(cc_isa isa);

/* The widest usable one. */
cc_isa cc_isa_best(void);

/* The calling thread's floating-point control word (MXCSR, FPCR; 0 where unknown). A thread of the
 * pool works under the mode of the thread whose job it does. */
unsigned long cc_fp_mode_get(void);
void cc_fp_mode_set(unsigned long mode);

/* The same mode with denormals flushed to zero, in and out. */
unsigned long cc_fp_mode_flushing(unsigned long mode);

#endif
