/* gemm_sm90.cu - products on Hopper: one block a multiprocessor makes tile after tile. A warp of
 * the first group lets the copy engine bring operands, DEPTH of k at a time, STAGES ahead; the two
 * other groups multiply, either both at one tile, or each at its own, so that one's end is hidden
 * behind the other's products.
 *
 * An output is the sum over k in its order, 16 products at a time, in every tile. Bound by the
 * tensor cores where there are tiles for all multiprocessors. */
#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/hopper.cuh"
#include "kernels/cuda/launch.cuh"

namespace {

constexpr int ROWS = 128; /* of a tile */
constexpr int DEPTH = 64; /* of k in a stage: 128 bytes */
constexpr int THREADS = 3 * WARP_GROUP;
constexpr uint32_t BYTES = 2;
constexpr size_t ROOM = 224 << 10; /* of shared memory for stages, at most */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
constexpr int WARPS = WARP_GROUP / WARP;
#endif

/* COLS outputs across; TOGETHER: both groups work at one tile, 64 rows each. */
template <int COLS_, bool TOGETHER_> struct tile_kind {
    static constexpr int COLS = COLS_;
    static constexpr uint32_t X_BYTES = ROWS * DEPTH * BYTES;
    static constexpr uint32_t STAGE_BYTES = X_BYTES + COLS * DEPTH * BYTES;
    static constexpr int FIT = (int)(ROOM / STAGE_BYTES);
    static constexpr int STAGES = FIT < 8 ? FIT : 8;
    static constexpr size_t SHARED = (size_t)STAGES * STAGE_BYTES + 1024;
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    static constexpr bool TOGETHER = TOGETHER_;
    static constexpr int HALVES = TOGETHER ? 1 : 2;              /* of 64 rows, of a group */
    static constexpr int SUMS = HALVES * COLS / 2;               /* of a thread */
    static constexpr int READERS = TOGETHER ? 2 * WARPS : WARPS; /* warps that read a stage */
#endif
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

constexpr int STEP = 16; /* of k in an instruction */

/* Stages in turn: number `at` of all, and its phase. */
struct turn {
    int stage;
    uint32_t parity;
};

template <class TILE> __device__ turn turn_of(int64_t at) {
    return {(int)(at % TILE::STAGES), (uint32_t)(at / TILE::STAGES & 1)};
}

template <class TILE> struct barriers {
    uint64_t full[TILE::STAGES], empty[TILE::STAGES];
    uint64_t next[2]; /* of groups that take turns: it may go on to its next tile */
};

template <class TILE>
__device__ void bring_tiles(const CUtensorMap *x, const CUtensorMap *w, int32_t across,
                            int32_t down, int32_t steps, char *stages, barriers<TILE> *b) {
    int stage = 0;
    uint32_t parity = 1; /* of the phase before the first: all stages are empty */

    for (int32_t tile = (int32_t)blockIdx.x; tile < across * down; tile += (int32_t)gridDim.x) {
        const tile_place at = place_of_tile(tile, across, down);

        for (int32_t s = 0; s < steps; ++s) {
            char *to = stages + stage * TILE::STAGE_BYTES;

            barrier_wait(&b->empty[stage], parity);
            barrier_expect(&b->full[stage], TILE::STAGE_BYTES);
            bring_tile(to, x, s * DEPTH, at.row * ROWS, &b->full[stage]);
            bring_tile(to + TILE::X_BYTES, w, s * DEPTH, at.col * TILE::COLS, &b->full[stage]);
            stage = stage + 1 < TILE::STAGES ? stage + 1 : 0;
            parity ^= stage == 0 ? 1U : 0U;
        }
    }
}

/* The sums of this group's rows in a tile; its stages begin with number `first` of all. */
template <bool BF16, class TILE>
__device__ void multiply_tile(int64_t first, int32_t steps, int group, const char *stages,
                              barriers<TILE> *b, float (&sum)[TILE::SUMS]) {
    constexpr int HALF = 64 * DEPTH * BYTES;
    turn now = turn_of<TILE>(first);
    int before = 0;

    for (int32_t s = 0; s < steps; ++s) {
        const char *x = stages + now.stage * TILE::STAGE_BYTES;
        const uint64_t w_at = operand_at(x + TILE::X_BYTES);
        const uint64_t x_at = operand_at(x + (TILE::TOGETHER ? group * HALF : 0));

        barrier_wait(&b->full[now.stage], now.parity);
        products_begin();
#pragma unroll
        for (int k = 0; k < DEPTH / STEP; ++k) {
#pragma unroll
            for (int h = 0; h < TILE::HALVES; ++h) { /* 16-byte units */
                multiply_64<BF16, TILE::COLS>(sum + h * TILE::COLS / 2,
                                              x_at + (h * HALF + k * STEP * BYTES) / 16,
                                              w_at + k * STEP * BYTES / 16, s > 0 || k > 0);
            }
        }
        products_end();
        wait_for_products<1>();
        if (s > 0 && threadIdx.x % WARP == 0) {
            barrier_arrive(&b->empty[before]);
        }
        before = now.stage;
        now.stage = now.stage + 1 < TILE::STAGES ? now.stage + 1 : 0;
        now.parity ^= now.stage == 0 ? 1U : 0U;
    }
    if (!TILE::TOGETHER && threadIdx.x % WARP == 0) {
        barrier_arrive(&b->next[1 - group]);
    }
    wait_for_products<0>();
    if (threadIdx.x % WARP == 0) {
        barrier_arrive(&b->empty[before]);
    }
}

/* Where chunk c of a lane's sums begins: 32 columns after another. */
template <class TILE> __device__ tile_place chunk_at(tile_place at, int group, int c) {
    const int lane = (int)threadIdx.x % WARP;
    const int warp = (int)threadIdx.x / WARP % WARPS;
    const int across = c * 32;

    return {at.row * ROWS + (TILE::TOGETHER ? group : across / TILE::COLS) * 64 + warp * 16 +
                lane / 4,
            at.col * TILE::COLS + across % TILE::COLS};
}

/* In a loop, as what follows the sums is long code; what a chunk needs is on its way while the one
 * before is finished. */
template <class TILE>
__device__ void finish_tile(const eet_finish &f, tile_place at, int group,
                            const float (&sum)[TILE::SUMS]) {
    constexpr int CHUNKS = TILE::SUMS / 16;
    tile_place here = chunk_at<TILE>(at, group, 0);
    fragment_ahead ahead;

    look_ahead(f, here.row, here.col, ahead);
#pragma unroll 1
    for (int c = 0; c < CHUNKS; ++c) {
        const tile_place then = chunk_at<TILE>(at, group, c + 1);
        const fragment_ahead now = ahead;
        float v[4][4];

        if (c + 1 < CHUNKS) {
            look_ahead(f, then.row, then.col, ahead);
        }
#pragma unroll
        for (int i = 0; i < CHUNKS; ++i) {
            if (i == c) { /* moves that stay behind a branch: the others cost nothing */
#pragma unroll
                for (int n = 0; n < 16; ++n) {
                    asm volatile("mov.b32 %0, %1;" : "=f"(v[n / 4][n % 4]) : "f"(sum[16 * i + n]));
                }
            }
        }
        finish_fragment(f, here.row, here.col, now, v);
        here = then;
    }
}

template <bool BF16, class TILE>
__device__ void multiply_tiles_of_group(const eet_finish &f, int32_t across, int32_t down,
                                        int32_t steps, const char *stages, barriers<TILE> *b) {
    const int group = (int)threadIdx.x / WARP_GROUP - 1;
    const int32_t apart = TILE::TOGETHER ? 1 : 2;
    int32_t number = TILE::TOGETHER ? 0 : group; /* of this block's tiles */

    for (;;) {
        const int64_t tile = (int64_t)blockIdx.x + (int64_t)number * gridDim.x;
        float sum[TILE::SUMS];

        if (tile >= (int64_t)across * down) {
            return;
        }
        const tile_place at = place_of_tile((int32_t)tile, across, down);

        if (!TILE::TOGETHER) { /* a phase of a stage is only seen by who saw the one before */
            barrier_wait(&b->next[group], (uint32_t)(number / 2 + 1 - group) & 1);
        }
        multiply_tile<BF16, TILE>((int64_t)number * steps, steps, group, stages, b, sum);
        finish_tile<TILE>(f, at, group, sum);
        number += apart;
    }
}

#endif

template <bool BF16, class TILE>
__global__ void __launch_bounds__(THREADS, 1)
    multiply_tiles(const __grid_constant__ CUtensorMap x, const __grid_constant__ CUtensorMap w,
                   const __grid_constant__ eet_finish f, int32_t across, int32_t down) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ char shared[];
    __shared__ barriers<TILE> b;
    char *stages = shared + (1024 - shared_at(shared) % 1024) % 1024;
    const int32_t steps = (f.a.w.k + DEPTH - 1) / DEPTH;

    let_next_begin();
    if (threadIdx.x == 0) {
        map_is_needed(&x);
        map_is_needed(&w);
        for (int i = 0; i < TILE::STAGES; ++i) {
            barrier_init(&b.full[i], 1);
            barrier_init(&b.empty[i], TILE::READERS);
        }
        barrier_init(&b.next[0], WARPS);
        barrier_init(&b.next[1], WARPS);
        barriers_are_made();
    }
    __syncthreads();
    wait_for_previous();
    if (threadIdx.x < WARP_GROUP) {
        asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
        if (threadIdx.x == 0) {
            bring_tiles<TILE>(&x, &w, across, down, steps, stages, &b);
        }
    } else {
        asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
        multiply_tiles_of_group<BF16, TILE>(f, across, down, steps, stages, &b);
    }
#endif
}

using encode_tiled = CUresult (*)(CUtensorMap *, CUtensorMapDataType, cuuint32_t, void *,
                                  const cuuint64_t *, const cuuint64_t *, const cuuint32_t *,
                                  const cuuint32_t *, CUtensorMapInterleave, CUtensorMapSwizzle,
                                  CUtensorMapL2promotion, CUtensorMapFloatOOBfill);

/* The driver's own, without linking it. */
encode_tiled encoder() {
    constexpr unsigned SINCE = 12000;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    void *entry = nullptr;

    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &entry, SINCE, cudaEnableDefault,
                                         &found) != cudaSuccess ||
        found != cudaDriverEntryPointSuccess) {
        return nullptr;
    }
    return (encode_tiled)entry;
}

/* Tiles of `high` rows and DEPTH columns of a matrix (rows, cols). */
bool make_map(encode_tiled encode, CUtensorMap *map, const void *data, int32_t dtype, int32_t rows,
              int32_t cols, int64_t ld, int high) {
    const cuuint64_t sizes[] = {(cuuint64_t)cols, (cuuint64_t)rows};
    const cuuint64_t strides[] = {(cuuint64_t)ld * BYTES};
    const cuuint32_t box[] = {DEPTH, (cuuint32_t)high};
    const cuuint32_t steps[] = {1, 1};

    return encode(map,
                  dtype == EET_BF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                    : CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
                  2, const_cast<void *>(data), sizes, strides, box, steps,
                  CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

template <bool BF16, class TILE>
eet_status launch_of(const eet_backend *backend, const eet_finish &f) {
    const eet_project_args &a = f.a;
    const int32_t across = (a.w.n + TILE::COLS - 1) / TILE::COLS;
    const int32_t down = (a.rows + ROWS - 1) / ROWS;
    const int64_t tiles = (int64_t)across * down;
    static const encode_tiled encode = encoder(); /* asking takes long */
    CUtensorMap x;
    CUtensorMap w;

    if (encode == nullptr || !make_map(encode, &x, a.x, a.w.dtype, a.rows, a.w.k, a.w.k, ROWS) ||
        !make_map(encode, &w, a.w.data, a.w.dtype, a.w.n, a.w.k, a.w.ld, TILE::COLS)) {
        return EET_E_DEVICE;
    }
    launch_early(
        backend, multiply_tiles<BF16, TILE>,
        {(unsigned)(tiles < backend->blocks ? tiles : backend->blocks), THREADS, TILE::SHARED, 1},
        x, w, f, across, down);
    return EET_OK;
}

template <class TILE> eet_status launch(const eet_backend *backend, const eet_finish &f) {
    return f.a.w.dtype == EET_BF16 ? launch_of<true, TILE>(backend, f)
                                   : launch_of<false, TILE>(backend, f);
}

/* Of the tiles below: columns, what a round of them on all multiprocessors takes, and what the
 * first takes more, as an H200 was measured with k of 768 to 4096 (tests/cuda/bench_gemm.c); in
 * units of the first tile's. */
struct tile_speed {
    int32_t cols;
    float round, first;
};

constexpr tile_speed speeds[EET_GEMM_TILES] = {
    {64, 1.0F, 0.0F}, {128, 1.6F, 0.0F}, {128, 1.42F, 0.75F}, {192, 2.4F, 0.0F}, {256, 3.1F, 0.0F}};

int32_t fastest_tile(const eet_backend *backend, const eet_finish &f) {
    int32_t best = 0;
    float least = 0.0F;

    for (int32_t i = 0; i < EET_GEMM_TILES; ++i) {
        const int64_t across = (f.a.w.n + speeds[i].cols - 1) / speeds[i].cols;
        const int64_t tiles = across * ((f.a.rows + ROWS - 1) / ROWS);
        const int64_t rounds = (tiles + backend->blocks - 1) / backend->blocks;
        const float time = (float)rounds * speeds[i].round + speeds[i].first;

        if (i == 0 || time < least) {
            best = i;
            least = time;
        }
    }
    return best;
}

} // namespace

extern "C" bool eet_gemm_sm90_takes(const eet_backend *backend, const eet_matrix *w) {
    constexpr int32_t PIECE = 8; /* elements of 16 bytes */

    return w->k % PIECE == 0 && w->ld % PIECE == 0 && (uintptr_t)w->data % 16 == 0 &&
           eet_gemm_mma_takes(backend, w) && backend->capability == HOPPER;
}

extern "C" eet_status eet_gemm_sm90(eet_backend *backend, const eet_finish *f, int32_t tile) {
    switch (tile < 0 ? fastest_tile(backend, *f) : tile) {
    case 0:
        return launch<tile_kind<64, true>>(backend, *f);
    case 1:
        return launch<tile_kind<128, true>>(backend, *f);
    case 2:
        return launch<tile_kind<128, false>>(backend, *f);
    case 3:
        return launch<tile_kind<192, true>>(backend, *f);
    default:
        return launch<tile_kind<256, true>>(backend, *f);
    }
}
