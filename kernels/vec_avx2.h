/* vec_avx2.h - eight floats at a time with AVX2, FMA and F16C. */
#ifndef EET_KERNELS_VEC_AVX2_H
#define EET_KERNELS_VEC_AVX2_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* Of the including file too, whatever its options: it is one of these instructions. */
#ifndef __clang__ /* which is given the flags alone */
#pragma GCC target("avx2,fma,f16c")
#endif

typedef __m256 vec;
typedef __m256 vec_mask;

/* DOT_ROWS x 4 sums, as many rows of x and one row of weights fill the registers. */
enum { LANES = 8, DOT_ROWS = 3 };

/* The first n lanes, n in 0 .. LANES. */
static inline __m256i first_lanes(int32_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vec vec_zero(void) {
    return _mm256_setzero_ps();
}

static inline vec vec_all(float x) {
    return _mm256_set1_ps(x);
}

static inline vec vec_load(const float *p) {
    return _mm256_loadu_ps(p);
}

/* A masked store is slow, and a load that follows it waits until it is in the cache: whole
 * vectors, which are nearly all, do without the mask. */
static inline vec vec_load_some(const float *p, int32_t n) {
    return n == LANES ? vec_load(p) : _mm256_maskload_ps(p, first_lanes(n));
}

static inline void vec_store(float *p, vec x) {
    _mm256_storeu_ps(p, x);
}

static inline void vec_store_some(float *p, vec x, int32_t n) {
    if (n == LANES) {
        vec_store(p, x);
    } else {
        _mm256_maskstore_ps(p, first_lanes(n), x);
    }
}

static inline vec vec_of_f16(__m128i x) {
    return _mm256_cvtph_ps(x);
}

static inline vec vec_of_bf16(__m128i x) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}

static inline __m128i halves_load(const uint16_t *p) {
    return _mm_loadu_si128((const __m128i *)p);
}

/* AVX2 has no mask for 16 bits. */
static inline __m128i halves_load_some(const uint16_t *p, int32_t n) {
    uint16_t some[LANES] = {0};

    memcpy(some, p, (size_t)n * sizeof some[0]);
    return _mm_loadu_si128((const __m128i *)some);
}

static inline void halves_store_some(uint16_t *p, __m128i x, int32_t n) {
    uint16_t all[LANES];

    _mm_storeu_si128((__m128i *)all, x);
    memcpy(p, all, (size_t)n * sizeof all[0]);
}

static inline __m128i f16_of_vec(vec x) {
    return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* As eet_f32_to_bf16: half of the last place less one, and one more for an odd result. */
static inline __m128i bf16_of_vec(vec x) {
    const __m256i bits = _mm256_castps_si256(x);
    const __m256i top = _mm256_srli_epi32(bits, 16);
    const __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256i nan = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
    const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i all = _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), nan, is_nan);

    return _mm_packus_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

static inline vec vec_add(vec a, vec b) {
    return _mm256_add_ps(a, b);
}

static inline vec vec_sub(vec a, vec b) {
    return _mm256_sub_ps(a, b);
}

static inline vec vec_mul(vec a, vec b) {
    return _mm256_mul_ps(a, b);
}

static inline vec vec_div(vec a, vec b) {
    return _mm256_div_ps(a, b);
}

/* a b + c */
static inline vec vec_fma(vec a, vec b, vec c) {
    return _mm256_fmadd_ps(a, b, c);
}

/* b where a is NaN or b is */
static inline vec vec_max(vec a, vec b) {
    return _mm256_max_ps(a, b);
}

static inline vec vec_min(vec a, vec b) {
    return _mm256_min_ps(a, b);
}

static inline vec vec_abs(vec x) {
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0F), x);
}

static inline vec vec_round(vec x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline vec power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

/* x 2^n for a whole n in -252 .. 254, in two steps: 2^n alone may be no normal float. */
static inline vec vec_scale(vec x, vec n) {
    const __m256i all = _mm256_cvtps_epi32(n);
    const __m256i half = _mm256_srai_epi32(all, 1);

    return _mm256_mul_ps(_mm256_mul_ps(x, power_of_two(half)),
                         power_of_two(_mm256_sub_epi32(all, half)));
}

static inline vec_mask vec_below(vec a, vec b) {
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

static inline vec_mask vec_equal(vec a, vec b) {
    return _mm256_cmp_ps(a, b, _CMP_EQ_OQ);
}

static inline vec vec_where(vec_mask mask, vec yes, vec no) {
    return _mm256_blendv_ps(no, yes, mask);
}

static inline float vec_lane0(vec x) {
    return _mm256_cvtss_f32(x);
}

/* One bit a lane. */
static inline uint32_t vec_bits(vec_mask mask) {
    return (uint32_t)_mm256_movemask_ps(mask);
}

/* The first n lanes of x, else 0. */
static inline vec vec_first(vec x, int32_t n) {
    return _mm256_and_ps(x, _mm256_castsi256_ps(first_lanes(n)));
}

/* The sums of four vectors' lanes. Each sum is one tree, the same in all four places:
 * neighbours, neighbours of these, then the halves. */
static inline __m128 vec_sum4(vec a, vec b, vec c, vec d) {
    const vec sums = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));

    return _mm_add_ps(_mm256_castps256_ps128(sums), _mm256_extractf128_ps(sums, 1));
}

/* Integers of 64 bits, of whose lower halves the products are. */
enum { WIDE_LANES = 4 };
typedef __m256i wide;

static inline wide wide_all(uint64_t x) {
    return _mm256_set1_epi64x((int64_t)x);
}

static inline wide wide_from(uint64_t x) {
    return _mm256_add_epi64(wide_all(x), _mm256_setr_epi64x(0, 1, 2, 3));
}

static inline wide wide_mul(wide a, wide b) {
    return _mm256_mul_epu32(a, b);
}

static inline wide wide_xor(wide a, wide b) {
    return _mm256_xor_si256(a, b);
}

static inline wide wide_high(wide x) {
    return _mm256_srli_epi64(x, 32);
}

static inline void wide_store(uint64_t *to, wide x) {
    _mm256_storeu_si256((__m256i *)(void *)to, x);
}

#endif
