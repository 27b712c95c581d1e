#include "cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

const char *cc_isa_name(cc_isa isa)
{
    static const char *const names[CC_ISA_COUNT] = {"generic", "avx2", "avx512", "neon"};
    return isa >= 0 && isa < CC_ISA_COUNT ? names[isa] : "unknown";
}

bool cc_isa_usable(cc_isa isa)
{
    switch (isa) {
    case CC_ISA_GENERIC: return true;
#if defined(__x86_64__)
    case CC_ISA_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case CC_ISA_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
#elif defined(__aarch64__)
    case CC_ISA_NEON: return true;
#endif
    default: return false;
    }
}

cc_isa cc_isa_best(void)
{
    for (int isa = CC_ISA_COUNT - 1; isa > 0; isa--)
        if (cc_isa_usable((cc_isa)isa))
            return (cc_isa)isa;
    return CC_ISA_GENERIC;
}

#if defined(__x86_64__)
#define CC_MXCSR_FTZ 0x8000u
#define CC_MXCSR_DAZ 0x0040u

unsigned long cc_fp_mode_get(void) { return _mm_getcsr(); }
void cc_fp_mode_set(unsigned long mode) { _mm_setcsr((unsigned int)mode); }
unsigned long cc_fp_mode_flushing(unsigned long mode) { return mode | CC_MXCSR_FTZ | CC_MXCSR_DAZ; }

#elif defined(__aarch64__)
#define CC_FPCR_FZ (1ul << 24)

unsigned long cc_fp_mode_get(void)
{
    unsigned long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
void cc_fp_mode_set(unsigned long mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
unsigned long cc_fp_mode_flushing(unsigned long mode) { return mode | CC_FPCR_FZ; }

#else
unsigned long cc_fp_mode_get(void) { return 0; }
void cc_fp_mode_set(unsigned long mode) { (void)mode; }
unsigned long cc_fp_mode_flushing(unsigned long mode) { return mode; }
#endif
