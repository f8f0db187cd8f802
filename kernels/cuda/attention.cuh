/* attention.cuh - what the kernels of attention share: which row a query belongs to, where keys
 * and values are, and numbers of 16 bits. */
#ifndef EET_KERNELS_CUDA_ATTENTION_CUH
#define EET_KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/shares.h"

/* EET_E_UNSUPPORTED where a kernel has no code for the arguments: the dispatcher takes the next. */
eet_status eet_attention_few(const eet_backend *backend, const eet_attention_args *a);
eet_status eet_attention_pages(const eet_backend *backend, const eet_attention_args *a);
eet_status eet_attention_sm90(const eet_backend *backend, const eet_attention_args *a);
eet_status eet_attention_many(const eet_backend *backend, const eet_attention_args *a);
eet_status eet_attention_tile(const eet_backend *backend, const eet_attention_args *a);

constexpr unsigned ALL_LANES = 0xFFFFFFFF;
constexpr float LOG2_E = 1.44269504088896340736F;

/* Number types of 16 bits as tags: the bits are all that these kernels hold. */
struct f16 {
    static constexpr bool is_bf16 = false;
    uint16_t bits;
};
struct bf16 {
    static constexpr bool is_bf16 = true;
    uint16_t bits;
};

/* The two numbers of 16 bits in a word. */
template <typename T> __device__ inline float2 unpacked(uint32_t pair);

template <> __device__ inline float2 unpacked<f16>(uint32_t pair) {
    float2 x;

    asm("{ .reg .b16 lo, hi; mov.b32 {lo, hi}, %2; cvt.f32.f16 %0, lo; cvt.f32.f16 %1, hi; }"
        : "=f"(x.x), "=f"(x.y)
        : "r"(pair));
    return x;
}

template <> __device__ inline float2 unpacked<bf16>(uint32_t pair) {
    return {__uint_as_float(pair << 16), __uint_as_float(pair & 0xFFFF0000)};
}

/* Two numbers rounded to 16 bits in a word, the first in its low half. */
template <typename T> __device__ inline uint32_t packed(float low, float high);

template <> __device__ inline uint32_t packed<f16>(float low, float high) {
    uint32_t pair = 0;

#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#else
    pair = eet_f32_to_f16(low) | (uint32_t)eet_f32_to_f16(high) << 16;
#endif
    return pair;
}

template <> __device__ inline uint32_t packed<bf16>(float low, float high) {
    uint32_t pair = 0;

#if __CUDA_ARCH__ >= 800
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#else
    pair = eet_f32_to_bf16(low) | (uint32_t)eet_f32_to_bf16(high) << 16;
#endif
    return pair;
}

/* 2^x, within two units in the last place; exactly 1 of 0, and 0 of -inf. */
__device__ inline float power_of_two(float x) {
    float y;

    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* The same for x that are at most 0, within 0.6 units: a polynomial over [-1/2, 1/2]. Exactly 1 of
 * 0, and 0 below -126.5. */
__device__ inline float near_power_of_two(float x) {
    const float bounded = x < -127.0F ? -127.0F : x; /* NaN stays */
    const float whole = rintf(bounded);
    const float rest = bounded - whole;
    float y = 0x1.3eb4cep-13F;

    y = fmaf(y, rest, 0x1.5f0b86p-10F);
    y = fmaf(y, rest, 0x1.3b3208p-7F);
    y = fmaf(y, rest, 0x1.c6af76p-5F);
    y = fmaf(y, rest, 0x1.ebfbd6p-3F);
    y = fmaf(y, rest, 0x1.62e430p-1F);
    y = fmaf(y, rest, 1.0F);
    return y * __int_as_float(((int)whole + 127) << 23);
}

/* The weight of a score less the largest, for keys of type T. */
template <typename T> __device__ inline float weight_of(float x) {
    return sizeof(T) == 2 ? power_of_two(x) : near_power_of_two(x);
}

/* The numbers of 16 bytes. */
template <typename T> __device__ inline void unpack(uint4 chunk, float (&x)[16 / sizeof(T)]) {
    const uint32_t words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};

#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if constexpr (sizeof(T) == 4) {
            x[i] = __uint_as_float(words[i]);
        } else {
            const float2 pair = unpacked<T>(words[i]);

            x[2 * i] = pair.x;
            x[2 * i + 1] = pair.y;
        }
    }
}

/* A query and how many keys it sees; -1: it is no row's. */
struct query_facts {
    int32_t row, keys;
    int32_t kept; /* keys of the row before those of its queries */
};

/* The row and its facts come in one trip to memory where each row has one query. */
__device__ inline query_facts query_of(const eet_attention_args &a, int32_t token) {
    int32_t row = token < a.rows ? token : a.rows - 1;
    int32_t start = a.q_start[row];
    int32_t end = a.q_start[row + 1];
    int32_t keys = a.kv_length[row];

    if (start != token || end != token + 1) {
        row = eet_row_of(a.q_start, a.rows, token);
        start = a.q_start[row];
        end = a.q_start[row + 1];
        keys = a.kv_length[row];
    }
    if (token < start || token >= end) {
        return {row, -1, 0};
    }
    const int32_t kept = keys - (end - start);

    keys -= a.causal ? end - 1 - token : 0;
    return {row, keys > 0 ? keys : 0, kept};
}

/* Elements before a row's token in the array of keys (kv 0) or values. */
__device__ inline int64_t key_at(const eet_attention_args &a, int32_t kv, int32_t row, int32_t head,
                                 int32_t token) {
    if (a.k != nullptr) {
        return eet_attention_kv_at(&a, row, head) + token * a.kv_stride;
    }
    const int32_t page = a.page_table[(int64_t)row * a.table_stride + token / EET_PAGE_TOKENS];

    return eet_page_at(&a.pages, a.layer, page, kv, head, token % EET_PAGE_TOKENS);
}

/* The array that key_at counts in, and its dtype. */
__device__ inline const void *keys_data(const eet_attention_args &a, int32_t kv) {
    if (a.k != nullptr) {
        return kv == 0 ? a.k : a.v;
    }
    return a.pages.data;
}

EET_BOTH inline int32_t keys_dtype(const eet_attention_args &a) {
    return a.k != nullptr ? eet_attention_kv_dtype(&a) : a.pages.dtype;
}

/* Can rows of keys and values be read 16 bytes at a time? Pages always can. */
inline bool keys_are_wide(const eet_attention_args &a) {
    if (a.k == nullptr) {
        return true;
    }
    const int64_t bytes = eet_float_bytes(keys_dtype(a));

    return ((uintptr_t)a.k | (uintptr_t)a.v) % 16 == 0 && a.kv_stride * bytes % 16 == 0 &&
           a.kv_head_stride * bytes % 16 == 0 && a.head_dim * bytes % 16 == 0 &&
           a.kv_offset == nullptr; /* what is there only the device knows */
}

inline bool queries_are_wide(const eet_attention_args &a) {
    const int64_t bytes = eet_float_bytes(a.dtype);

    return ((uintptr_t)a.q | (uintptr_t)a.y) % 16 == 0 && a.q_stride * bytes % 16 == 0 &&
           a.head_dim * bytes % 16 == 0;
}

#endif
