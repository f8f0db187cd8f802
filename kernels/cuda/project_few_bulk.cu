/* project_few_bulk.cu - products of MOST_ROWS rows with weights of 16 bits, on devices of
 * capability 9.0 and later, where every multiprocessor has one block or a few.
 *
 * A block has some rows of weights, all of k, which the copy engine brings into shared memory: all
 * of them are asked for before the kernel before this one has ended, and so is all else that no
 * kernel writes. What is left is a chain of latencies, and each instruction in it counts, for code
 * and arguments come to a multiprocessor anew with every kernel. x is read once, made ready by the
 * block itself, and multiplied as in project_few_mma.cu, in the same slices of k, which are added
 * up in the same order: an output's bits are those of that file's kernels. */
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/project_few_rows.cuh"

namespace {

constexpr int32_t MOST_SHARED = 110 << 10; /* so that blocks of the next kernels have room */
constexpr int MOST_TURNS = 3;              /* blocks of a multiprocessor */
constexpr int32_t WIDE_N = 16384;          /* from here on project_few_mma.cu is as fast */
constexpr int MOST_ROWS = 1;               /* four are slower than by project_few_mma.cu */
constexpr int SQUARE = EACH * EACH;        /* outputs of 8 rows of weights and 8 of x */

/* A block's shared memory. */
struct bulk_room {
    unsigned char *weights; /* (columns, stride) */
    uint16_t *x;            /* (rows, stride) ready */
    float *sums;            /* (slices, 8 * eights_of(columns), 8) */
    float4 *parts;          /* (MOST_ROWS, FEW_WARPS) of moments */
    uint64_t *barrier;      /* of the weights */
};

/* Eights of columns that there is code for. */
EET_BOTH inline int32_t eights_of(int32_t columns) {
    return columns <= EACH ? 1 : (columns <= 2 * EACH ? 2 : 4);
}

EET_BOTH inline int32_t sums_of(const few_args &a) {
    return a.cluster * FEW_WARPS * eights_of(a.columns) * SQUARE;
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

__device__ bulk_room room_of(const few_args &a, unsigned char *shared) {
    unsigned char *x = shared + 2 * a.columns * a.stride;
    float *sums = (float *)(x + 2 * a.f.a.rows * a.stride);
    float4 *parts = (float4 *)(sums + sums_of(a));

    return {shared, (uint16_t *)x, sums, parts, (uint64_t *)(parts + MOST_ROWS * FEW_WARPS)};
}

/* Asks for a block's weights, a row by a warp at a time. */
__device__ void ask(const few_args &a, const bulk_room &r, int32_t col) {
    const eet_matrix &w = a.f.a.w;
    const uint32_t bytes = 2U * (uint32_t)w.k;
    const int32_t columns = min(a.columns, w.n - col);

    if (threadIdx.x == 0) {
        make_barrier(r.barrier, 1);
        show_barriers();
    }
    __syncthreads();
    if (threadIdx.x == 0) { /* other warps' bytes may come first */
        expect_bytes(r.barrier, bytes * (uint32_t)columns);
    }
    if (threadIdx.x % WARP == 0) {
        for (int32_t m = (int32_t)threadIdx.x / WARP; m < columns; m += FEW_WARPS) {
            bring_bytes(r.weights + 2 * m * a.stride,
                        (const uint16_t *)w.data + (int64_t)(col + m) * w.ld, bytes, r.barrier);
        }
    }
}

/* What a lane multiplies: where its rows begin in shared memory, and the warp's slices of k there,
 * one of each share. */
template <int EIGHTS, int SHARES> struct lane_work {
    int32_t x, weights[EIGHTS], from[SHARES], steps[SHARES];
};

/* Rows of x and of weights that are not there are others' once more: nobody looks at what becomes
 * of them. */
template <int EIGHTS, int SHARES> __device__ lane_work<EIGHTS, SHARES> work_of(const few_args &a) {
    const int lane = (int)threadIdx.x % WARP;
    lane_work<EIGHTS, SHARES> w;

    w.x = min(lane / 4, a.f.a.rows - 1) * a.stride + lane % 4 * 8;
    asm volatile("" : "+r"(w.x)); /* now, not behind the wait */
#pragma unroll
    for (int i = 0; i < EIGHTS; ++i) {
        w.weights[i] = min(i * EACH + lane / 4, a.columns - 1) * a.stride + lane % 4 * 8;
        asm volatile("" : "+r"(w.weights[i]));
    }
#pragma unroll
    for (int i = 0; i < SHARES; ++i) {
        const few_slice s = slice_of(a.steps, SHARES, i, (int32_t)threadIdx.x / WARP);

        w.from[i] = s.from * STEP;
        w.steps[i] = s.to - s.from;
        asm volatile("" : "+r"(w.from[i]), "+r"(w.steps[i]));
    }
    return w;
}

/* The rows of x as they are, into shared memory. */
__device__ void copy_rows(const few_args &a, uint16_t *to) {
    const uint16_t *from = (const uint16_t *)a.ready;

#pragma unroll 1
    for (int32_t k = 8 * (int32_t)threadIdx.x; k < a.f.a.w.k; k += 8 * FEW_THREADS) {
#pragma unroll 1
        for (int32_t row = 0; row < a.f.a.rows; ++row) {
            copy_16(to + row * a.stride + k, from + (int64_t)row * a.f.a.w.k + k, 16);
        }
    }
    end_copies();
    wait_for_copies<0>();
}

/* The warp's slices of k, side by side, and what they come to. */
template <bool BF16, int EIGHTS, int SHARES>
__device__ void sum_slices(const lane_work<EIGHTS, SHARES> &w, const bulk_room &r) {
    constexpr int TILES = (EIGHTS + 1) / 2;
    const int lane = (int)threadIdx.x % WARP;
    const uint16_t *weights = (const uint16_t *)r.weights;
    float *to = r.sums + (int32_t)threadIdx.x / WARP * EIGHTS * SQUARE + lane * 2;
    float sum[SHARES][TILES][4] = {};

#pragma unroll(SHARES *TILES == 1 ? 2 : 1)
    for (int32_t i = 0; i <= w.steps[0]; ++i) { /* slices differ by a step at most */
#pragma unroll
        for (int share = 0; share < SHARES; ++share) {
            const int32_t k = w.from[share] + i * STEP;

            if (i < w.steps[share]) {
                const uint4 right = *(const uint4 *)(r.x + w.x + k);

#pragma unroll
                for (int t = 0; t < TILES; ++t) {
                    const uint4 upper = *(const uint4 *)(weights + w.weights[2 * t] + k);
                    uint4 lower = {};

                    if constexpr (EIGHTS > 1) {
                        lower = *(const uint4 *)(weights + w.weights[2 * t + 1] + k);
                    }
                    multiply_32<BF16>(sum[share][t], upper, lower, right);
                }
            }
        }
    }
#pragma unroll
    for (int share = 0; share < SHARES; ++share) {
#pragma unroll
        for (int i = 0; i < EIGHTS; ++i) {
            *(float2 *)(to + (share * FEW_WARPS * EIGHTS + i) * SQUARE) = {
                sum[share][i / 2][i % 2 * 2], sum[share][i / 2][i % 2 * 2 + 1]};
        }
    }
}

/* What a thread ends: column m of the block's, of a row of x. */
struct output {
    int32_t row, col;
    bool there;
};

__device__ output output_of(const few_args &a, int32_t first) {
    const int32_t m = (int32_t)threadIdx.x / EACH;
    const int32_t row = (int32_t)threadIdx.x % EACH;

    return {row, first + m, row < a.f.a.rows && m < a.columns && first + m < a.f.a.w.n};
}

template <int EIGHTS, int SHARES>
__device__ void finish(const few_args &a, const bulk_room &r, const output &o, ending e) {
    const float *sums = r.sums + threadIdx.x;
    float all = 0.0F;

#pragma unroll
    for (int share = 0; share < SHARES; ++share) {
        float sum = 0.0F;

#pragma unroll
        for (int warp = 0; warp < FEW_WARPS; ++warp) {
            sum += sums[(share * FEW_WARPS + warp) * EIGHTS * SQUARE];
        }
        all += sum;
    }
    finish_few(a.f, o.col, all, e);
}

/* A kernel's arguments come to a multiprocessor when they are first asked for. */
__device__ void fetch_arguments(const few_args &a) {
    constexpr int LINE = 16;

#pragma unroll
    for (int i = 0; i < (int)sizeof a / 4; i += LINE) {
        asm volatile("" ::"r"(((const int32_t *)&a)[i]));
    }
}

#endif

/* STAGE: the block makes the rows ready. */
template <bool BF16, int EIGHTS, int SHARES, bool STAGE>
__global__ void __launch_bounds__(FEW_THREADS, 3)
    multiply_bulk(const __grid_constant__ few_args a) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
    extern __shared__ __align__(128) unsigned char shared[];
    const eet_project_args &p = a.f.a;
    const bulk_room r = room_of(a, shared);
    const int32_t first = (int32_t)blockIdx.x * a.columns;
    norm_four ahead = {};
    ending e = {};

    let_next_begin();
    ask(a, r, first);
    const output o = output_of(a, first);
    const lane_work<EIGHTS, SHARES> w = work_of<EIGHTS, SHARES>(a);

    if constexpr (STAGE) {
        ahead = norm_at(a, 4 * (int32_t)threadIdx.x);
    }
    if (o.there) { /* where keys go is known before a pass: see attention_pages.cu */
        e.bias = bias_of(p, o.col);
        e.place = place_of(a.f, o.row, o.col);
    }
    fetch_arguments(a);
    wait_for_previous();
    if (o.there && p.residual != nullptr) {
        e.residual = number_at(p.residual, p.residual_dtype, (int64_t)o.row * p.w.n + o.col);
    }
    if constexpr (STAGE) {
        if (p.x_dtype == EET_F32) {
            make_rows_of<BF16, F32_FOURS, MOST_ROWS>(a, 0, ahead, p.w.k, r.parts, r.x, a.stride);
        } else {
            make_rows_of<BF16, HALF_FOURS, MOST_ROWS>(a, 0, ahead, p.w.k, r.parts, r.x, a.stride);
        }
    } else {
        copy_rows(a, r.x);
    }
    __syncthreads();
    wait_at(r.barrier, 0);
    sum_slices<BF16, EIGHTS, SHARES>(w, r);
    __syncthreads();
    if (o.there) {
        finish<EIGHTS, SHARES>(a, r, o, e);
    }
#endif
}

template <bool BF16, int EIGHTS>
void launch_columns(const eet_backend *backend, const few_args &a, const launch_shape &shape) {
    if (a.ready != nullptr) {
        launch_early(backend, multiply_bulk<BF16, EIGHTS, 1, false>, shape, a);
    } else {
        launch_early(backend, multiply_bulk<BF16, EIGHTS, 1, true>, shape, a);
    }
}

template <bool BF16>
void launch(const eet_backend *backend, const few_args &a, const launch_shape &shape) {
    if (a.cluster == 4) {
        launch_early(backend, multiply_bulk<BF16, 1, 4, false>, shape, a);
    } else if (a.cluster == 2) {
        launch_early(backend, multiply_bulk<BF16, 1, 2, false>, shape, a);
    } else if (eights_of(a.columns) == 1) {
        launch_columns<BF16, 1>(backend, a, shape);
    } else if (eights_of(a.columns) == 2) {
        launch_columns<BF16, 2>(backend, a, shape);
    } else {
        launch_columns<BF16, 4>(backend, a, shape);
    }
}

int32_t shared_of(const few_args &a) {
    const int32_t floats = sums_of(a) + 4 * MOST_ROWS * FEW_WARPS;

    return 2 * (a.columns + a.f.a.rows) * a.stride + 4 * floats + (int32_t)sizeof(uint64_t);
}

/* Columns of a block: as many as give every multiprocessor equally many. 0: there is no room. */
int32_t columns_of(const eet_backend *backend, few_args a) {
    const int32_t most = a.cluster > 1 ? EACH : 4 * EACH;
    const int32_t room = min(backend->shared, MOST_SHARED);

    for (int turns = 1; turns <= MOST_TURNS; ++turns) {
        const int32_t blocks = backend->blocks * turns;

        a.columns = (a.f.a.w.n + blocks - 1) / blocks;
        if (a.columns <= most && shared_of(a) <= room) {
            return a.columns;
        }
    }
    return 0;
}

} // namespace

bool eet_few_bulk(const eet_backend *backend, few_args *a) {
    const eet_project_args *p = &a->f.a;
    const bool staged = a->ready == nullptr;

    if (backend->capability < HOPPER || p->rows > MOST_ROWS || p->w.n >= WIDE_N ||
        p->w.k % STEP != 0 || !a->aligned || p->residual_norm.weight != nullptr ||
        (staged && (a->cluster > 1 || kind_of(p->x, p->x_dtype, p->w.k) == ANY))) {
        return false;
    }
    a->columns = columns_of(backend, *a);
    if (a->columns == 0) {
        return false;
    }
    const unsigned blocks = (unsigned)((p->w.n + a->columns - 1) / a->columns);
    const launch_shape shape = {dim3(blocks), FEW_THREADS, (size_t)shared_of(*a), 1};

    if (p->w.dtype == EET_BF16) {
        launch<true>(backend, *a, shape);
    } else {
        launch<false>(backend, *a, shape);
    }
    return true;
}
