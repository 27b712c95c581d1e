/* kernels/simd.h -- vectors of the instruction set being compiled, by GCC's vector extension.
 *
 * `vec` holds CC_LANES floats and `vecd` half as many doubles. Arithmetic operators work on them;
 * a*b + c is one fused instruction where the set has it.
 */
#ifndef CC_KERNELS_SIMD_H
#define CC_KERNELS_SIMD_H

#include <stdint.h>
#include <string.h>
#if CC_LANES >= 8
#include <immintrin.h>
#endif

typedef float vec __attribute__((vector_size(CC_LANES * 4)));
typedef double vecd __attribute__((vector_size(CC_LANES * 4)));
typedef int32_t veci __attribute__((vector_size(CC_LANES * 4)));
typedef int64_t vecl __attribute__((vector_size(CC_LANES * 4)));
typedef float vec_unaligned __attribute__((vector_size(CC_LANES * 4), aligned(4), may_alias));
typedef double vecd_unaligned __attribute__((vector_size(CC_LANES * 4), aligned(8), may_alias));

#define CC_INLINE static inline __attribute__((always_inline, unused))

/* In front of a loop whose count is known when it is inlined. Clang also optimises what is inlined for itself, where the
 * count is not known: there it must neither unroll (which took it minutes) nor warn that it does not. */
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed"
#define CC_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CC_UNROLL _Pragma("GCC unroll 32")
#endif

/* A pointer or distance in a register of its own, once a round of a loop: of many sums of few of them GCC would keep
 * every sum, more than there are registers. */
#define CC_KEEP(p) __asm__("" : "+r"(p))

/* A vector in a register: of a load that is used twice GCC may make two. */
#if defined(__aarch64__)
#define CC_LOADED(v) __asm__("" : "+w"(v))
#elif defined(__x86_64__)
#define CC_LOADED(v) __asm__("" : "+v"(v))
#else
#define CC_LOADED(v) ((void)0)
#endif

CC_INLINE vec vload(const float *p) { return *(const vec_unaligned *)p; }
CC_INLINE void vstore(float *p, vec v) { *(vec_unaligned *)p = v; }
/* s - 0 is s, -0 included, so this is one broadcast; s + 0 would have to be an addition. */
CC_INLINE vec vset1(float s) { return s - (vec){0}; }
/* mask (all ones or zeros a lane, as comparisons give it) ? a : b */
CC_INLINE vec vselect(veci mask, vec a, vec b) { return (vec)((mask & (veci)a) | (~mask & (veci)b)); }

/* x, but at least or at most `limit`; NaN, of which these instructions take the second operand, stays NaN. The nearest
 * whole number, of |x| up to 2^21. 2^n p for whole n, also where that is denormal. */
#if CC_LANES == 16
CC_INLINE vec vat_least(vec x, float limit) { return (vec)_mm512_max_ps(_mm512_set1_ps(limit), (__m512)x); }
CC_INLINE vec vat_most(vec x, float limit) { return (vec)_mm512_min_ps(_mm512_set1_ps(limit), (__m512)x); }
CC_INLINE vec vround(vec x) { return (vec)_mm512_roundscale_ps((__m512)x, _MM_FROUND_TO_NEAREST_INT); }
CC_INLINE vec vscale(vec p, vec n) { return (vec)_mm512_scalef_ps((__m512)p, (__m512)n); }
#else
#if CC_LANES == 8
CC_INLINE vec vat_least(vec x, float limit) { return (vec)_mm256_max_ps(_mm256_set1_ps(limit), (__m256)x); }
CC_INLINE vec vat_most(vec x, float limit) { return (vec)_mm256_min_ps(_mm256_set1_ps(limit), (__m256)x); }
#else
CC_INLINE vec vat_least(vec x, float limit) { return vselect(x < limit, vset1(limit), x); }
CC_INLINE vec vat_most(vec x, float limit) { return vselect(x > limit, vset1(limit), x); }
#endif
/* Added to 1.5 * 2^23, a small number is a whole one in the last bits of the sum. */
#define CC_ROUND 12582912.0f
CC_INLINE vec vround(vec x) { return (x + CC_ROUND) - CC_ROUND; }
CC_INLINE vec vscale(vec p, vec n)
{
    const veci whole = (veci)(n + CC_ROUND) - 0x4b400000, half = whole >> 1;
    return p * (vec)((half + 127) << 23) * (vec)((whole - half + 127) << 23);
}
#endif

/* Bytes as integers, and integers 0 to 255 as bytes. GCC takes a conversion of vectors of different sizes apart, element by element. */
#if CC_LANES == 16
CC_INLINE veci vload_bytes(const uint8_t *p)
{
    return (veci)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
}
CC_INLINE void vstore_bytes(uint8_t *p, veci v)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8((__m512i)v));
}
#elif CC_LANES == 8
CC_INLINE veci vload_bytes(const uint8_t *p)
{
    return (veci)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p));
}
CC_INLINE void vstore_bytes(uint8_t *p, veci v)
{
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128((__m256i)v), _mm256_extracti128_si256((__m256i)v, 1));
    _mm_storel_epi64((__m128i *)(void *)p, _mm_packus_epi16(words, words));
}
#else
CC_INLINE veci vload_bytes(const uint8_t *p) { return (veci){p[0], p[1], p[2], p[3]}; }
CC_INLINE void vstore_bytes(uint8_t *p, veci v)
{
    for (int i = 0; i < CC_LANES; i++)
        p[i] = (uint8_t)v[i];
}
#endif

/* A store past the caches, to a whole vector's boundary; others see it after CC_STREAMED. */
#if CC_LANES == 16
CC_INLINE void vstream(float *p, vec v) { _mm512_stream_ps(p, (__m512)v); }
CC_INLINE void vdstream(double *p, vecd v) { _mm512_stream_pd(p, (__m512d)v); }
#define CC_STREAMED() _mm_sfence()
#elif CC_LANES == 8
CC_INLINE void vstream(float *p, vec v) { _mm256_stream_ps(p, (__m256)v); }
CC_INLINE void vdstream(double *p, vecd v) { _mm256_stream_pd(p, (__m256d)v); }
#define CC_STREAMED() _mm_sfence()
#else
CC_INLINE void vstream(float *p, vec v) { memcpy(p, &v, sizeof v); }
CC_INLINE void vdstream(double *p, vecd v) { memcpy(p, &v, sizeof v); }
#define CC_STREAMED() ((void)0)
#endif

/* A choice that is made once and used often: a in the lanes of v that have one of `bits`, or where a > b or a <= b, b in
 * the others. */
#if CC_LANES == 16
typedef __mmask16 vmask;
CC_INLINE vmask vmask_of(veci v, int bits) { return _mm512_test_epi32_mask((__m512i)v, _mm512_set1_epi32(bits)); }
CC_INLINE vmask vgreater(vec a, vec b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ); }
CC_INLINE vmask vno_greater(vec a, vec b) { return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LE_OQ); }
CC_INLINE vec vchoose(vmask mask, vec a, vec b) { return (vec)_mm512_mask_blend_ps(mask, (__m512)b, (__m512)a); }
#else
typedef veci vmask;
CC_INLINE vmask vmask_of(veci v, int bits) { return (v & bits) != 0; }
CC_INLINE vmask vgreater(vec a, vec b) { return a > b; }
CC_INLINE vmask vno_greater(vec a, vec b) { return a <= b; }
#if CC_LANES == 8
CC_INLINE vec vchoose(vmask mask, vec a, vec b) { return (vec)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask); }
#else
CC_INLINE vec vchoose(vmask mask, vec a, vec b) { return vselect(mask, a, b); }
#endif
#endif
/* The lower (0) and upper (1) half of the lanes as doubles, and back. */
#if CC_LANES == 16
CC_INLINE vecd vwide(vec x, const int half)
{
    return (vecd)_mm512_cvtps_pd(half ? _mm512_extractf32x8_ps((__m512)x, 1) : _mm512_castps512_ps256((__m512)x));
}
CC_INLINE vec vnarrow(vecd low, vecd high)
{
    return (vec)_mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps((__m512d)low)), _mm512_cvtpd_ps((__m512d)high), 1);
}
#elif CC_LANES == 8
CC_INLINE vecd vwide(vec x, const int half)
{
    return (vecd)_mm256_cvtps_pd(half ? _mm256_extractf128_ps((__m256)x, 1) : _mm256_castps256_ps128((__m256)x));
}
CC_INLINE vec vnarrow(vecd low, vecd high)
{
    return (vec)_mm256_set_m128(_mm256_cvtpd_ps((__m256d)high), _mm256_cvtpd_ps((__m256d)low));
}
#else
CC_INLINE vecd vwide(vec x, const int half) { return (vecd){(double)x[2 * half], (double)x[2 * half + 1]}; }
CC_INLINE vec vnarrow(vecd low, vecd high)
{
    return (vec){(float)low[0], (float)low[1], (float)high[0], (float)high[1]};
}
#endif
CC_INLINE vecd vdload(const double *p) { return *(const vecd_unaligned *)p; }
CC_INLINE void vdstore(double *p, vecd v) { *(vecd_unaligned *)p = v; }

/* The first 0 <= n <= CC_LANES elements; what lies behind them is not touched, and loads as 0. */
#if CC_LANES == 16
CC_INLINE __mmask16 vpart(int64_t n) { return (__mmask16)((1u << n) - 1); }
CC_INLINE vec vload_part(const float *p, int64_t n) { return (vec)_mm512_maskz_loadu_ps(vpart(n), p); }
CC_INLINE void vstore_part(float *p, int64_t n, vec v) { _mm512_mask_storeu_ps(p, vpart(n), (__m512)v); }
/* Lanes first <= l < last, and what lies there; zeros in the others, which are not read. */
CC_INLINE vmask vlanes(int64_t first, int64_t last) { return (vmask)(vpart(last) & ~vpart(first)); }
CC_INLINE vec vload_lanes(const float *p, vmask lanes) { return (vec)_mm512_maskz_loadu_ps(lanes, p); }
CC_INLINE vecd vdload_part(const double *p, int64_t n) { return (vecd)_mm512_maskz_loadu_pd((__mmask8)vpart(n), p); }
CC_INLINE void vdstore_part(double *p, int64_t n, vecd v) { _mm512_mask_storeu_pd(p, (__mmask8)vpart(n), (__m512d)v); }
#elif CC_LANES == 8
CC_INLINE __m256i vpart(int64_t n) { return (__m256i)((veci){0, 1, 2, 3, 4, 5, 6, 7} < (int32_t)n); }
CC_INLINE vec vload_part(const float *p, int64_t n) { return (vec)_mm256_maskload_ps(p, vpart(n)); }
CC_INLINE void vstore_part(float *p, int64_t n, vec v) { _mm256_maskstore_ps(p, vpart(n), (__m256)v); }
CC_INLINE vmask vlanes(int64_t first, int64_t last) { return (vmask)(vpart(last) & ~vpart(first)); }
CC_INLINE vec vload_lanes(const float *p, vmask lanes) { return (vec)_mm256_maskload_ps(p, (__m256i)lanes); }
CC_INLINE __m256i vdpart(int64_t n) { return (__m256i)((vecl){0, 1, 2, 3} < n); }
CC_INLINE vecd vdload_part(const double *p, int64_t n) { return (vecd)_mm256_maskload_pd(p, vdpart(n)); }
CC_INLINE void vdstore_part(double *p, int64_t n, vecd v) { _mm256_maskstore_pd(p, vdpart(n), (__m256d)v); }
#else
CC_INLINE vec vload_part(const float *p, int64_t n)
{
    return (vec){n > 0 ? p[0] : 0, n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, n > 3 ? p[3] : 0};
}
CC_INLINE void vstore_part(float *p, int64_t n, vec v)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = v[i];
}
CC_INLINE vmask vlanes(int64_t first, int64_t last)
{
    const veci lane = {0, 1, 2, 3};
    return (lane >= (int32_t)first) & (lane < (int32_t)last);
}
CC_INLINE vec vload_lanes(const float *p, vmask lanes)
{
    return (vec){lanes[0] ? p[0] : 0, lanes[1] ? p[1] : 0, lanes[2] ? p[2] : 0, lanes[3] ? p[3] : 0};
}
CC_INLINE vecd vdload_part(const double *p, int64_t n) { return (vecd){n > 0 ? p[0] : 0, n > 1 ? p[1] : 0}; }
CC_INLINE void vdstore_part(double *p, int64_t n, vecd v)
{
    for (int64_t i = 0; i < n; i++)
        p[i] = v[i];
}
#endif

/* a0 b0 a1 b1 ... of the lower and of the upper halves; and back: a0 a2 ... b0 b2 ..., a1 a3 ... b1 b3 ... */
#if CC_LANES == 4
#define CC_INTERLEAVE_LOW 0, 4, 1, 5
#define CC_INTERLEAVE_HIGH 2, 6, 3, 7
#define CC_EVENS 0, 2, 4, 6
#define CC_ODDS 1, 3, 5, 7
#elif CC_LANES == 8
#define CC_INTERLEAVE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define CC_INTERLEAVE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#define CC_EVENS 0, 2, 4, 6, 8, 10, 12, 14
#define CC_ODDS 1, 3, 5, 7, 9, 11, 13, 15
#else
#define CC_INTERLEAVE_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define CC_INTERLEAVE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#define CC_EVENS 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define CC_ODDS 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#endif
#if defined(__clang__)
CC_INLINE vec vinterleave_low(vec a, vec b) { return __builtin_shufflevector(a, b, CC_INTERLEAVE_LOW); }
CC_INLINE vec vinterleave_high(vec a, vec b) { return __builtin_shufflevector(a, b, CC_INTERLEAVE_HIGH); }
CC_INLINE vec vevens(vec a, vec b) { return __builtin_shufflevector(a, b, CC_EVENS); }
CC_INLINE vec vodds(vec a, vec b) { return __builtin_shufflevector(a, b, CC_ODDS); }
#else
CC_INLINE vec vinterleave_low(vec a, vec b) { return __builtin_shuffle(a, b, (veci){CC_INTERLEAVE_LOW}); }
CC_INLINE vec vinterleave_high(vec a, vec b) { return __builtin_shuffle(a, b, (veci){CC_INTERLEAVE_HIGH}); }
CC_INLINE vec vevens(vec a, vec b) { return __builtin_shuffle(a, b, (veci){CC_EVENS}); }
CC_INLINE vec vodds(vec a, vec b) { return __builtin_shuffle(a, b, (veci){CC_ODDS}); }
#endif
/* The first of the two for doubles. */
#if CC_LANES == 4
#define CC_DOUBLE_LOW 0, 2
#define CC_DOUBLE_HIGH 1, 3
#elif CC_LANES == 8
#define CC_DOUBLE_LOW 0, 4, 1, 5
#define CC_DOUBLE_HIGH 2, 6, 3, 7
#else
#define CC_DOUBLE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define CC_DOUBLE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#endif
#if defined(__clang__)
CC_INLINE vecd vdinterleave_low(vecd a, vecd b) { return __builtin_shufflevector(a, b, CC_DOUBLE_LOW); }
CC_INLINE vecd vdinterleave_high(vecd a, vecd b) { return __builtin_shufflevector(a, b, CC_DOUBLE_HIGH); }
#else
CC_INLINE vecd vdinterleave_low(vecd a, vecd b) { return __builtin_shuffle(a, b, (vecl){CC_DOUBLE_LOW}); }
CC_INLINE vecd vdinterleave_high(vecd a, vecd b) { return __builtin_shuffle(a, b, (vecl){CC_DOUBLE_HIGH}); }
#endif
/* v[index], lane by lane; 0 <= index < CC_LANES. */
#if CC_LANES == 16
CC_INLINE vec vpermute(vec v, veci index) { return (vec)_mm512_permutexvar_ps((__m512i)index, (__m512)v); }
#elif CC_LANES == 8
CC_INLINE vec vpermute(vec v, veci index) { return (vec)_mm256_permutevar8x32_ps((__m256)v, (__m256i)index); }
#else
CC_INLINE vec vpermute(vec v, veci index) { return (vec){v[index[0]], v[index[1]], v[index[2]], v[index[3]]}; }
#endif
/* Lanes of a, and from CC_LANES on of b, in those of the mask; zeros in the others, whose index does not matter. */
#if CC_LANES == 16
CC_INLINE vec vpermute2(vec a, vec b, veci index, vmask lanes)
{
    return (vec)_mm512_maskz_permutex2var_ps(lanes, (__m512)a, (__m512i)index, (__m512)b);
}
#else
CC_INLINE vec vpermute2(vec a, vec b, veci index, vmask lanes)
{
    const veci lane = index & (CC_LANES - 1);
    const vec chosen = vchoose((index & CC_LANES) != 0, vpermute(b, lane), vpermute(a, lane));
    return (vec)((veci)chosen & lanes);
}
#endif

#endif
