/* vec_avx512.h - sixteen floats at a time with AVX-512 (F, BW, DQ, VL). */
#ifndef EET_KERNELS_VEC_AVX512_H
#define EET_KERNELS_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>

/* Of the including file too, whatever its options: it is one of these instructions. */
#ifndef __clang__ /* which is given the flags alone */
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")
#endif

typedef __m512 vec;
typedef __mmask16 vec_mask;

/* DOT_ROWS x 4 sums, as many rows of x and one row of weights fill the registers. */
enum { LANES = 16, DOT_ROWS = 6 };

/* The first n lanes, n in 0 .. LANES. */
static inline __mmask16 first_lanes(int32_t n) {
    return (__mmask16)((UINT32_C(1) << n) - 1);
}

static inline vec vec_zero(void) {
    return _mm512_setzero_ps();
}

static inline vec vec_all(float x) {
    return _mm512_set1_ps(x);
}

static inline vec vec_load(const float *p) {
    return _mm512_loadu_ps(p);
}

/* A masked store is slow, and a load that follows it waits until it is in the cache: whole
 * vectors, which are nearly all, do without the mask. */
static inline vec vec_load_some(const float *p, int32_t n) {
    return n == LANES ? vec_load(p) : _mm512_maskz_loadu_ps(first_lanes(n), p);
}

static inline void vec_store(float *p, vec x) {
    _mm512_storeu_ps(p, x);
}

static inline void vec_store_some(float *p, vec x, int32_t n) {
    if (n == LANES) {
        vec_store(p, x);
    } else {
        _mm512_mask_storeu_ps(p, first_lanes(n), x);
    }
}

static inline vec vec_of_f16(__m256i x) {
    return _mm512_cvtph_ps(x);
}

static inline vec vec_of_bf16(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

static inline __m256i halves_load(const uint16_t *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}

static inline __m256i halves_load_some(const uint16_t *p, int32_t n) {
    return _mm256_maskz_loadu_epi16(first_lanes(n), p);
}

static inline void halves_store_some(uint16_t *p, __m256i x, int32_t n) {
    if (n == LANES) {
        _mm256_storeu_si256((__m256i *)(void *)p, x);
    } else {
        _mm256_mask_storeu_epi16(p, first_lanes(n), x);
    }
}

static inline __m256i f16_of_vec(vec x) {
    return _mm512_maskz_cvtps_ph(0xFFFF, x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* As eet_f32_to_bf16: half of the last place less one, and one more for an odd result. */
static inline __m256i bf16_of_vec(vec x) {
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i top = _mm512_srli_epi32(bits, 16);
    const __m512i odd = _mm512_and_si512(top, _mm512_set1_epi32(1));
    const __m512i sum = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __m512i nan = _mm512_or_si512(top, _mm512_set1_epi32(0x40));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);

    return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(_mm512_srli_epi32(sum, 16), is_nan, nan));
}

static inline vec vec_add(vec a, vec b) {
    return _mm512_add_ps(a, b);
}

static inline vec vec_sub(vec a, vec b) {
    return _mm512_sub_ps(a, b);
}

static inline vec vec_mul(vec a, vec b) {
    return _mm512_mul_ps(a, b);
}

static inline vec vec_div(vec a, vec b) {
    return _mm512_div_ps(a, b);
}

/* a b + c */
static inline vec vec_fma(vec a, vec b, vec c) {
    return _mm512_fmadd_ps(a, b, c);
}

/* b where a is NaN or b is */
static inline vec vec_max(vec a, vec b) {
    return _mm512_max_ps(a, b);
}

static inline vec vec_min(vec a, vec b) {
    return _mm512_min_ps(a, b);
}

static inline vec vec_abs(vec x) {
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0F), x);
}

static inline vec vec_round(vec x) {
    return _mm512_cvtepi32_ps(_mm512_cvtps_epi32(x));
}

/* x 2^n for a whole n */
static inline vec vec_scale(vec x, vec n) {
    return _mm512_scalef_ps(x, n);
}

static inline vec_mask vec_below(vec a, vec b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

static inline vec_mask vec_equal(vec a, vec b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ);
}

static inline vec vec_where(vec_mask mask, vec yes, vec no) {
    return _mm512_mask_blend_ps(mask, no, yes);
}

static inline float vec_lane0(vec x) {
    return _mm512_cvtss_f32(x);
}

/* One bit a lane. */
static inline uint32_t vec_bits(vec_mask mask) {
    return mask;
}

/* The first n lanes of x, else 0. */
static inline vec vec_first(vec x, int32_t n) {
    return _mm512_maskz_mov_ps(first_lanes(n), x);
}

/* The sums of four vectors' lanes. Each sum is one tree, the same in all four places:
 * halves, quarters, then neighbours at a distance of two and of one. */
static inline __m128 vec_sum4(vec a, vec b, vec c, vec d) {
    const vec ab =
        _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
    const vec cd =
        _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xEE));
    const vec quarters = /* a, b, c, d, four lanes each */
        _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xDD));
    const vec pairs = _mm512_add_ps(quarters, _mm512_permute_ps(quarters, 0x4E));
    const vec sums = _mm512_add_ps(pairs, _mm512_permute_ps(pairs, 0xB1));
    const __m512i firsts = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);

    return _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, sums));
}

/* Integers of 64 bits, of whose lower halves the products are. */
enum { WIDE_LANES = 8 };
typedef __m512i wide;

static inline wide wide_all(uint64_t x) {
    return _mm512_set1_epi64((int64_t)x);
}

static inline wide wide_from(uint64_t x) {
    return _mm512_add_epi64(wide_all(x), _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline wide wide_mul(wide a, wide b) {
    return _mm512_mul_epu32(a, b);
}

static inline wide wide_xor(wide a, wide b) {
    return _mm512_xor_si512(a, b);
}

static inline wide wide_high(wide x) {
    return _mm512_srli_epi64(x, 32);
}

static inline void wide_store(uint64_t *to, wide x) {
    _mm512_storeu_si512(to, x);
}

#endif
