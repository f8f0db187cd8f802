/* norm.cu - layer normalisation of chosen rows, or a copy of them in another dtype.
 *
 * Bound by memory: x is read once, into registers, and y written once. How many threads share a row
 * depends on its width alone. Few rows are bound by what they wait for: the launch, weights, x. */
#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/launch.cuh"

namespace {

constexpr int VECTORS = 4; /* of 8 numbers, in the registers of one of a row's threads */
constexpr int HOLDS = VECTORS * EIGHT;

/* Sums over `THREADS` threads of a block that share a row, in every one of them. */
template <int THREADS, typename SUM> __device__ SUM row_sum(SUM mine, SUM *part) {
#pragma unroll
    for (int apart = 1; apart < WARP; apart *= 2) {
        mine += __shfl_xor_sync(~0U, mine, apart);
    }
    if constexpr (THREADS > WARP) {
        __syncthreads(); /* the last one's readers are done */
        if (threadIdx.x % WARP == 0) {
            part[threadIdx.x / WARP] = mine;
        }
        __syncthreads();
        mine = 0;
#pragma unroll
        for (int i = 0; i < THREADS / WARP; ++i) {
            mine += part[i];
        }
    }
    return mine;
}

/* Eight numbers of a row from column j; beyond its end there is `none`. */
__device__ void take_eight(const void *from, int32_t dtype, int64_t row, int32_t j, int32_t cols,
                           float none, float (&x)[EIGHT]) {
    if (cols % EIGHT == 0 && j < cols) {
        load_eight(from, dtype, row + j, x);
        return;
    }
#pragma unroll
    for (int i = 0; i < EIGHT; ++i) {
        x[i] = j + i < cols ? eet_float_at(from, dtype, row + j + i) : none;
    }
}

__device__ void put_eight(void *to, int32_t dtype, int64_t row, int32_t j, int32_t cols,
                          const float (&x)[EIGHT]) {
    if (cols % EIGHT == 0) {
        store_eight(to, dtype, row + j, x);
        return;
    }
#pragma unroll
    for (int i = 0; i < EIGHT; ++i) {
        if (j + i < cols) {
            eet_float_put(to, dtype, row + j + i, x[i]);
        }
    }
}

__device__ int64_t source_of(const eet_norm_args &a, int64_t row) {
    return (a.index != nullptr ? (int64_t)a.index[row] : row) * a.cols;
}

/* Weights and biases of eight columns. */
__device__ void take_weights(const eet_norm_args &a, int32_t j, float (&weight)[EIGHT],
                             float (&bias)[EIGHT]) {
#pragma unroll
    for (int i = 0; i < EIGHT; ++i) {
        bias[i] = 0.0F;
    }
    if (j < a.cols) {
        take_eight(a.norm.weight, EET_F32, 0, j, a.cols, 0.0F, weight);
        if (a.norm.bias != nullptr) {
            take_eight(a.norm.bias, EET_F32, 0, j, a.cols, 0.0F, bias);
        }
    }
}

/* A thread's part of a row becomes what each number is from `first`. In f32, columns are from each
 * row's first element, where a mean far from zero loses nothing; rows of f32 models are made in
 * double: moments in f32 would cost them more than all else. */
template <int THREADS, typename SUM>
__device__ void take_row(const eet_norm_args &a, int64_t from, float (&x)[VECTORS][EIGHT],
                         SUM *part, SUM *mean, SUM *scale) {
    const int32_t lane = (int32_t)threadIdx.x % THREADS;
    const float first = sizeof(SUM) == 4 ? eet_float_at(a.x, a.x_dtype, from) : 0.0F;
    SUM sum = 0;
    SUM squares = 0;

#pragma unroll
    for (int v = 0; v < VECTORS; ++v) {
        take_eight(a.x, a.x_dtype, from, (v * THREADS + lane) * EIGHT, a.cols, first, x[v]);
#pragma unroll
        for (int i = 0; i < EIGHT; ++i) {
            x[v][i] -= first;
            sum += x[v][i];
        }
    }
    *mean = row_sum<THREADS>(sum, part) / (SUM)a.cols;
#pragma unroll
    for (int v = 0; v < VECTORS; ++v) {
#pragma unroll
        for (int i = 0; i < EIGHT; ++i) {
            const SUM apart = (SUM)x[v][i] - *mean;

            squares += (v * THREADS + lane) * EIGHT + i < a.cols ? apart * apart : (SUM)0;
        }
    }
    const SUM variance = row_sum<THREADS>(squares, part) / (SUM)a.cols;

    *scale = (SUM)1 / sqrt(variance + (SUM)a.norm.eps);
}

/* THREADS threads a row, of BLOCK in a block or of all when they are more. AHEAD: weights, which no
 * kernel writes, are there before the kernel before this has ended. */
template <int THREADS, typename SUM, bool AHEAD>
__global__ void __launch_bounds__(THREADS > BLOCK ? THREADS : BLOCK) norm_rows(eet_norm_args a) {
    constexpr int ROWS = THREADS > BLOCK ? 1 : BLOCK / THREADS;
    __shared__ SUM part[THREADS / WARP];
    const int64_t row = (int64_t)blockIdx.x * ROWS + threadIdx.x / THREADS;
    const int32_t lane = (int32_t)threadIdx.x % THREADS;
    float weight[VECTORS][EIGHT];
    float bias[VECTORS][EIGHT];
    float x[VECTORS][EIGHT];
    SUM mean;
    SUM scale;

    static_assert(THREADS == WARP || ROWS == 1, "rows of several warps have a block each");
    let_next_begin();
#pragma unroll
    for (int v = 0; v < (AHEAD ? VECTORS : 0); ++v) {
        take_weights(a, (v * THREADS + lane) * EIGHT, weight[v], bias[v]);
    }
    wait_for_previous();
    if (row >= a.rows) {
        return;
    }
    take_row<THREADS>(a, source_of(a, row), x, part, &mean, &scale);
#pragma unroll
    for (int v = 0; v < VECTORS; ++v) {
        const int32_t j = (v * THREADS + lane) * EIGHT;

        if (j >= a.cols) {
            break;
        }
        if (!AHEAD) {
            take_weights(a, j, weight[v], bias[v]);
        }
#pragma unroll
        for (int i = 0; i < EIGHT; ++i) {
            x[v][i] = (float)(((SUM)x[v][i] - mean) * scale * (SUM)weight[v][i] + (SUM)bias[v][i]);
        }
        put_eight(a.y, a.y_dtype, row * a.cols, j, a.cols, x[v]);
    }
}

/* Rows of any width and any alignment: three reads, two of them from the cache. */
__global__ void __launch_bounds__(BLOCK) norm_long_rows(eet_norm_args a) {
    const int64_t from = source_of(a, blockIdx.x);
    const int64_t to = (int64_t)blockIdx.x * a.cols;
    const moments m = block_moments(a.x, a.x_dtype, from, a.cols, a.norm.eps);

    for (int32_t j = (int32_t)threadIdx.x; j < a.cols; j += BLOCK) {
        const float x = eet_float_at(a.x, a.x_dtype, from + j);

        eet_float_put(a.y, a.y_dtype, to + j, normed(x, j, a.norm.weight, a.norm.bias, m));
    }
}

__global__ void __launch_bounds__(BLOCK) copy_rows(eet_norm_args a, bool wide) {
    const int32_t each = wide ? EIGHT : 1;
    const int64_t across = a.cols / each;
    const int64_t stride = (int64_t)gridDim.x * BLOCK;

    for (int64_t i = (int64_t)blockIdx.x * BLOCK + threadIdx.x; i < a.rows * across; i += stride) {
        const int64_t row = i / across;
        const int64_t j = i % across * each;
        const int64_t from = source_of(a, row) + j;

        if (wide) {
            float x[EIGHT];

            load_eight(a.x, a.x_dtype, from, x);
            store_eight(a.y, a.y_dtype, row * a.cols + j, x);
        } else {
            eet_float_put(a.y, a.y_dtype, row * a.cols + j, eet_float_at(a.x, a.x_dtype, from));
        }
    }
}

bool aligned(const void *p) {
    return (uintptr_t)p % 16 == 0;
}

/* Is it a row of a model of f32? */
bool is_exact(const eet_norm_args &a) {
    return a.x_dtype == EET_F32 && a.y_dtype == EET_F32;
}

/* Where all rows are at work at the same time, no other hides what waits for weights. */
template <int THREADS, typename SUM>
void launch(const eet_backend *backend, const eet_norm_args &a) {
    constexpr int ROWS = THREADS > BLOCK ? 1 : BLOCK / THREADS;
    constexpr bool ROOM = THREADS == WARP && sizeof(SUM) == 4; /* in registers */
    const unsigned blocks = (unsigned)((a.rows + ROWS - 1) / ROWS);
    const launch_shape shape = {blocks, ROWS * THREADS, 0, 1};

    if (ROOM && blocks <= 2 * (unsigned)backend->blocks) {
        launch_early(backend, norm_rows<THREADS, SUM, ROOM>, shape, a);
    } else {
        launch_early(backend, norm_rows<THREADS, SUM, false>, shape, a);
    }
}

void choose(const eet_backend *backend, const eet_norm_args &a) {
    const bool wide = a.cols % EIGHT == 0 && aligned(a.x) && aligned(a.y);

    if (a.norm.weight == nullptr) {
        copy_rows<<<grid_of(backend, (int64_t)a.rows * a.cols / (wide ? EIGHT : 1), BLOCK), BLOCK,
                    0, backend->stream>>>(a, wide);
    } else if (a.cols % EIGHT == 0 && (!wide || !aligned(a.norm.weight) || !aligned(a.norm.bias))) {
        norm_long_rows<<<(unsigned)a.rows, BLOCK, 0, backend->stream>>>(a);
    } else if (a.cols <= WARP * HOLDS) {
        is_exact(a) ? launch<WARP, double>(backend, a) : launch<WARP, float>(backend, a);
    } else if (a.cols <= BLOCK * HOLDS) {
        is_exact(a) ? launch<BLOCK, double>(backend, a) : launch<BLOCK, float>(backend, a);
    } else if (a.cols <= 3 * BLOCK * HOLDS && !is_exact(a)) {
        launch<3 * BLOCK, float>(backend, a);
    } else {
        norm_long_rows<<<(unsigned)a.rows, BLOCK, 0, backend->stream>>>(a);
    }
}

} // namespace

extern "C" eet_status eet_norm_cuda(eet_backend *backend, const eet_norm_args *a) {
    if (a->rows < 1 || a->cols < 1) {
        return EET_OK;
    }
    const on_device scope(backend);
    eet_norm_args args = *a;

    args.x_dtype = eet_activation(a->x_dtype);
    args.y_dtype = eet_activation(a->y_dtype);
    choose(backend, args);
    return scope.launched();
}
