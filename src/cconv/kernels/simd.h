/* kernels/simd.h -- vectors of the instruction set being compiled, by GCC's vector extension.
 *
 * `vec` holds CC_LANES floats and `vecd` half as many doubles. Arithmetic operators work on them;
 * a*b + c is one fused instruction where the set has it.
 */
#ifndef CC_KERNELS_SIMD_H
#define CC_KERNELS_SIMD_H

#include <stdint.h>
#include <string.h>

typedef float vec __attribute__((vector_size(CC_LANES * 4)));
typedef double vecd __attribute__((vector_size(CC_LANES * 4)));
typedef int32_t veci __attribute__((vector_size(CC_LANES * 4)));
typedef float vec_unaligned __attribute__((vector_size(CC_LANES * 4), aligned(4), may_alias));
typedef double vecd_unaligned __attribute__((vector_size(CC_LANES * 4), aligned(8), may_alias));

#define CC_INLINE static inline __attribute__((always_inline, unused))

/* In front of a loop whose count is known when it is inlined. */
#define CC_UNROLL _Pragma("GCC unroll 32")

CC_INLINE vec vload(const float *p) { return *(const vec_unaligned *)p; }
CC_INLINE void vstore(float *p, vec v) { *(vec_unaligned *)p = v; }
/* s - 0 is s, -0 included, so this is one broadcast; s + 0 would have to be an addition. */
CC_INLINE vec vset1(float s) { return s - (vec){0}; }
/* mask (all ones or zeros a lane, as comparisons give it) ? a : b */
CC_INLINE vec vselect(veci mask, vec a, vec b) { return (vec)((mask & (veci)a) | (~mask & (veci)b)); }
CC_INLINE vecd vdload(const double *p) { return *(const vecd_unaligned *)p; }
CC_INLINE void vdstore(double *p, vecd v) { *(vecd_unaligned *)p = v; }

/* a0 b0 a1 b1 ... of the lower and of the upper halves. */
#if CC_LANES == 4
#define CC_INTERLEAVE_LOW 0, 4, 1, 5
#define CC_INTERLEAVE_HIGH 2, 6, 3, 7
#elif CC_LANES == 8
#define CC_INTERLEAVE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define CC_INTERLEAVE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define CC_INTERLEAVE_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define CC_INTERLEAVE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#endif
#if defined(__clang__)
CC_INLINE vec vinterleave_low(vec a, vec b) { return __builtin_shufflevector(a, b, CC_INTERLEAVE_LOW); }
CC_INLINE vec vinterleave_high(vec a, vec b) { return __builtin_shufflevector(a, b, CC_INTERLEAVE_HIGH); }
#else
CC_INLINE vec vinterleave_low(vec a, vec b) { return __builtin_shuffle(a, b, (veci){CC_INTERLEAVE_LOW}); }
CC_INLINE vec vinterleave_high(vec a, vec b) { return __builtin_shuffle(a, b, (veci){CC_INTERLEAVE_HIGH}); }
#endif

#endif
