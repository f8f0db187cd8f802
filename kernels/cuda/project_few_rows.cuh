/* project_few_rows.cuh - rows of x as a block makes them ready for products, and their moments.
 *
 * A thread has four columns of every row, and more of them where rows are long. A row's moments are
 * those of its warps' columns, put together: with what they are apart from each other, so that one
 * meeting of the warps is enough. All of it is in an order that depends on a row's width alone:
 * whichever kernel asks, for however many rows, has the same bits. */
#ifndef EET_KERNELS_CUDA_PROJECT_FEW_ROWS_CUH
#define EET_KERNELS_CUDA_PROJECT_FEW_ROWS_CUH

#include "kernels/cuda/project_few.cuh"

constexpr int32_t SPAN = 4 * FEW_THREADS; /* columns of a block at a time */

/* How a row is read: its fours at once, of f32 or of 16 bits, or whatever there is of them. */
enum row_kind { ANY = 0, F32_FOURS = 1, HALF_FOURS = 2 };

EET_BOTH inline row_kind kind_of(const void *x, int32_t dtype, int32_t cols) {
    if (cols % 4 != 0 || (uintptr_t)x % (dtype == EET_F32 ? 16 : 8) != 0) {
        return ANY;
    }
    return dtype == EET_F32 ? F32_FOURS : HALF_FOURS;
}

struct few_rows {
    const void *x; /* (any, cols) */
    const int32_t *index;
    int32_t dtype, rows, cols;
    double eps;
};

__device__ inline few_rows rows_of(const few_args &a) {
    const eet_project_args &p = a.f.a;

    return {p.x, a.index, p.x_dtype, p.rows, p.w.k, p.norm.eps};
}

__device__ inline few_rows residual_of(const eet_project_args &p) {
    return {p.residual, nullptr, p.residual_dtype, p.rows, p.w.n, p.residual_norm.eps};
}

__device__ inline float4 halves_at(const void *x, bool bf16, int64_t at) {
    const uint2 raw = *(const uint2 *)((const uint16_t *)x + at);

    return {f32_of_half((uint16_t)raw.x, bf16), f32_of_half((uint16_t)(raw.x >> 16), bf16),
            f32_of_half((uint16_t)raw.y, bf16), f32_of_half((uint16_t)(raw.y >> 16), bf16)};
}

/* Elements from `at` on, of which `count` are there; the others are 0. */
template <int KIND> __device__ inline float4 four_of(const few_rows &s, int64_t at, int32_t count) {
    if (count <= 0) {
        return {};
    }
    if constexpr (KIND == F32_FOURS) {
        return *(const float4 *)((const float *)s.x + at);
    } else if constexpr (KIND == HALF_FOURS) {
        return halves_at(s.x, s.dtype == EET_BF16, at);
    } else {
        return {number_at(s.x, s.dtype, at), count > 1 ? number_at(s.x, s.dtype, at + 1) : 0.0F,
                count > 2 ? number_at(s.x, s.dtype, at + 2) : 0.0F,
                count > 3 ? number_at(s.x, s.dtype, at + 3) : 0.0F};
    }
}

/* Where a row begins; those that are not there are the last once more. */
__device__ inline int64_t start_of(const few_rows &s, int32_t row) {
    const int32_t there = min(row, s.rows - 1);

    return (int64_t)(s.index != nullptr ? s.index[there] : there) * s.cols;
}

/* Rows from `row` on: a thread's first four columns, and the first of all. */
template <int ROWS> struct held_rows {
    int32_t row;
    float first[ROWS];
    float4 four[ROWS];
};

template <int KIND, int ROWS>
__device__ inline void hold(const few_rows &s, int32_t row, held_rows<ROWS> &h) {
    const int32_t j = 4 * (int32_t)threadIdx.x;

    h.row = row;
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        const int64_t at = start_of(s, row + r);

        h.first[r] = number_at(s.x, s.dtype, at);
        h.four[r] = four_of<KIND>(s, at + j, s.cols - j);
    }
}

/* What is left of four columns of which `count` are there. */
template <int KIND> __device__ inline float sum_of(float4 v, float less, int32_t count) {
    const int32_t there = KIND != ANY && count > 0 ? 4 : count;

    return ((there > 0 ? v.x - less : 0.0F) + (there > 1 ? v.y - less : 0.0F)) +
           ((there > 2 ? v.z - less : 0.0F) + (there > 3 ? v.w - less : 0.0F));
}

template <int KIND>
__device__ inline float squares_of(float4 v, float less, float mean, int32_t count) {
    const int32_t there = KIND != ANY && count > 0 ? 4 : count;
    const float a = there > 0 ? (v.x - less) - mean : 0.0F;
    const float b = there > 1 ? (v.y - less) - mean : 0.0F;
    const float c = there > 2 ? (v.z - less) - mean : 0.0F;
    const float d = there > 3 ? (v.w - less) - mean : 0.0F;

    return fmaf(a, a, fmaf(b, b, fmaf(c, c, __fmul_rn(d, d))));
}

/* Columns of a row that this warp has. */
__device__ inline float columns_of_warp(int32_t cols) {
    const int32_t warp = (int32_t)threadIdx.x / WARP;
    const int32_t last = cols % SPAN - warp * 4 * WARP;

    return (float)(cols / SPAN * 4 * WARP + min(max(last, 0), 4 * WARP));
}

/* The warps' own moments of each row: {mean, squares, columns}. */
template <int KIND, int ROWS>
__device__ inline void put_parts(const few_rows &s, const held_rows<ROWS> &h, float4 *parts) {
    const int32_t j = 4 * (int32_t)threadIdx.x;
    const float columns = columns_of_warp(s.cols);
    const float share = columns > 0.0F ? __fdividef(1.0F, columns) : 0.0F;
    float mean[ROWS];
    float squares[ROWS];

#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        mean[r] = sum_of<KIND>(h.four[r], h.first[r], s.cols - j);
#pragma unroll 1
        for (int32_t i = j + SPAN; i < s.cols; i += SPAN) {
            mean[r] += sum_of<KIND>(four_of<KIND>(s, start_of(s, h.row + r) + i, s.cols - i),
                                    h.first[r], s.cols - i);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        mean[r] = __fmul_rn(warp_sum(mean[r]), share);
        squares[r] = squares_of<KIND>(h.four[r], h.first[r], mean[r], s.cols - j);
#pragma unroll 1
        for (int32_t i = j + SPAN; i < s.cols; i += SPAN) {
            squares[r] += squares_of<KIND>(four_of<KIND>(s, start_of(s, h.row + r) + i, s.cols - i),
                                           h.first[r], mean[r], s.cols - i);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        squares[r] = warp_sum(squares[r]);
        if (threadIdx.x % WARP == 0) {
            parts[r * FEW_WARPS + (int32_t)threadIdx.x / WARP] = {mean[r], squares[r], columns,
                                                                  0.0F};
        }
    }
}

/* A row's moments, from the parts of all warps. */
__device__ inline moments moments_of(const float4 *parts, float first, int32_t cols, double eps) {
    const float share = __fdividef(1.0F, (float)cols);
    float mean = 0.0F;
    float squares = 0.0F;

#pragma unroll
    for (int warp = 0; warp < FEW_WARPS; ++warp) {
        mean = fmaf(parts[warp].x, parts[warp].z, mean);
    }
    mean = __fmul_rn(mean, share);
#pragma unroll
    for (int warp = 0; warp < FEW_WARPS; ++warp) {
        const float apart = parts[warp].x - mean;

        squares = __fadd_rn(squares, fmaf(__fmul_rn(apart, apart), parts[warp].z, parts[warp].y));
    }
    return {first, mean, rsqrtf(fmaf(squares, share, (float)eps))};
}

/* Moments of ROWS rows from `row` on, (ROWS, 4) to memory, by a block; `parts`: (ROWS, FEW_WARPS)
 * of its shared memory. */
template <int KIND, int ROWS>
__device__ inline void put_moments_of(const few_rows &s, int32_t row, float4 *parts, float *to) {
    held_rows<ROWS> h;

    hold<KIND, ROWS>(s, row, h);
    put_parts<KIND, ROWS>(s, h, parts);
    __syncthreads();
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        if ((int)threadIdx.x == r) {
            const moments m = moments_of(parts + r * FEW_WARPS, h.first[r], s.cols, s.eps);

            to[4 * r] = m.first;
            to[4 * r + 1] = m.mean;
            to[4 * r + 2] = m.scale;
        }
    }
}

template <int ROWS>
__device__ inline void put_moments(const few_rows &s, int32_t row, float4 *parts, float *to) {
    switch (kind_of(s.x, s.dtype, s.cols)) {
    case F32_FOURS:
        put_moments_of<F32_FOURS, ROWS>(s, row, parts, to);
        break;
    case HALF_FOURS:
        put_moments_of<HALF_FOURS, ROWS>(s, row, parts, to);
        break;
    default:
        put_moments_of<ANY, ROWS>(s, row, parts, to);
        break;
    }
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800

/* The norm's weights and biases of four columns, which no kernel writes. */
struct norm_four {
    float4 weight, bias;
};

__device__ inline float4 floats_at(const float *p, int32_t j, int32_t count, bool wide) {
    if (p == nullptr || count <= 0) {
        return {};
    }
    if (wide) {
        return *(const float4 *)(p + j);
    }
    return {p[j], count > 1 ? p[j + 1] : 0.0F, count > 2 ? p[j + 2] : 0.0F,
            count > 3 ? p[j + 3] : 0.0F};
}

__device__ inline norm_four norm_at(const few_args &a, int32_t j) {
    const eet_norm_weights &norm = a.f.a.norm;

    return {floats_at(norm.weight, j, a.f.a.w.k - j, a.norm_wide),
            floats_at(norm.bias, j, a.f.a.w.k - j, a.norm_wide)};
}

/* What is not there is 0, and so are its weight and bias. */
__device__ inline float4 four_normed(float4 v, const norm_four &n, moments m) {
    return {fmaf(__fmul_rn((v.x - m.first) - m.mean, m.scale), n.weight.x, n.bias.x),
            fmaf(__fmul_rn((v.y - m.first) - m.mean, m.scale), n.weight.y, n.bias.y),
            fmaf(__fmul_rn((v.z - m.first) - m.mean, m.scale), n.weight.z, n.bias.z),
            fmaf(__fmul_rn((v.w - m.first) - m.mean, m.scale), n.weight.w, n.bias.w)};
}

template <bool BF16> __device__ inline uint2 rounded(float4 v) {
    return {halves_of<BF16>(v.x, v.y), halves_of<BF16>(v.z, v.w)};
}

/* Rows from `row` on, normed if there is a norm, as 16 bits to `to` and every `stride` behind it,
 * with zeros up to `padded`. `ahead`: the norm's first four columns of the thread. */
template <bool BF16, int KIND, int ROWS>
__device__ inline void make_rows_of(const few_args &a, int32_t row, const norm_four &ahead,
                                    int32_t padded, float4 *parts, uint16_t *to, int32_t stride) {
    const few_rows s = rows_of(a);
    const bool norms = a.f.a.norm.weight != nullptr;
    const int32_t j = 4 * (int32_t)threadIdx.x;
    held_rows<ROWS> h;

    hold<KIND, ROWS>(s, row, h);
    if (norms) {
        put_parts<KIND, ROWS>(s, h, parts);
        __syncthreads();
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        moments m = {};

        if (row + r >= s.rows) {
            break;
        }
        if (norms) {
            m = moments_of(parts + r * FEW_WARPS, h.first[r], s.cols, s.eps);
        }
        if (j < padded) {
            *(uint2 *)(to + r * stride + j) =
                rounded<BF16>(norms ? four_normed(h.four[r], ahead, m) : h.four[r]);
        }
#pragma unroll 1
        for (int32_t i = j + SPAN; i < padded; i += SPAN) {
            const float4 v = four_of<KIND>(s, start_of(s, h.row + r) + i, s.cols - i);

            *(uint2 *)(to + r * stride + i) =
                rounded<BF16>(norms ? four_normed(v, norm_at(a, i), m) : v);
        }
    }
}

template <bool BF16, int ROWS>
__device__ inline void make_rows(const few_args &a, int32_t row, const norm_four &ahead,
                                 int32_t padded, float4 *parts, uint16_t *to, int32_t stride) {
    switch (kind_of(a.f.a.x, a.f.a.x_dtype, a.f.a.w.k)) {
    case F32_FOURS:
        make_rows_of<BF16, F32_FOURS, ROWS>(a, row, ahead, padded, parts, to, stride);
        break;
    case HALF_FOURS:
        make_rows_of<BF16, HALF_FOURS, ROWS>(a, row, ahead, padded, parts, to, stride);
        break;
    default:
        make_rows_of<BF16, ANY, ROWS>(a, row, ahead, padded, parts, to, stride);
        break;
    }
}

#endif
#endif
