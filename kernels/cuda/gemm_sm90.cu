/* gemm_sm90.cu - products on Hopper: one block a multiprocessor makes tile after tile. A warp of
 * the first group lets the copy engine bring operands, DEPTH of k at a time, STAGES ahead; the
 * others multiply, 64 rows a group, and store what they made while the next tile is on its way.
 *
 * An output is the sum over k in its order, 16 products at a time, in every tile. Bound by the
 * tensor cores where there are tiles for all multiprocessors. */
#include "kernels/cuda/gemm_end.cuh"
#include "kernels/cuda/launch.cuh"

namespace {

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

template <bool BF16, class TILE, gemm_end END>
__device__ void multiply_tiles_of_group(const gemm_maps &maps, const eet_finish &f,
                                        const gemm_size &size, char *stages, barriers<TILE> *b) {
    using shape = end_shape<TILE, END>;
    const int group = TILE::GROUPS == 1 ? 0 : (int)threadIdx.x / WARP_GROUP - 1;
    const int first = group * GROUP_ROWS + (int)threadIdx.x / WARP % WARPS * WARP_ROWS;
    char *slices = stages + TILE::STAGES * TILE::STAGE_BYTES;
    end_state<TILE> state = {first, 0, slices + first / WARP_ROWS * 2 * WARP_SLICE, stages, b};
    turn<TILE> now = {0, 0};

    for (int32_t tile = first_tile<TILE>(); tile < size.across * size.down;
         tile += tiles_at_once<TILE>()) {
        const tile_place at = place_of<TILE>(tile, size);
        const int32_t row = at.row + first;
        float sum[TILE::SUMS];

        if constexpr (END == gemm_end::ANY) {
            multiply_tile<BF16, TILE>(size.steps, group, stages, b, now, sum);
            end_any(f, row, at.col, sum);
        } else {
            slice_bias<shape> bias;

            bias.load(f.a, at.col);
            multiply_tile<BF16, TILE>(size.steps, group, stages, b, now, sum);
            end_tile<BF16, TILE, END>(f, &maps.y, row, at.col, sum, bias, now, state);
        }
    }
    if (END != gemm_end::ANY && threadIdx.x % WARP == 0) {
        wait_for_stores();
    }
}

template <class TILE> __device__ void make_barriers(barriers<TILE> *b) {
    for (int i = 0; i < TILE::STAGES; ++i) {
        make_barrier(&b->full[i], 1);
        make_barrier(&b->empty[i], TILE::PAIR * TILE::GROUPS * WARPS);
    }
    show_barriers();
}

#endif

template <bool BF16, class TILE, gemm_end END>
__global__ void __launch_bounds__(TILE::THREADS, 1)
    multiply_tiles(const __grid_constant__ gemm_maps maps, const __grid_constant__ eet_finish f,
                   const __grid_constant__ gemm_size size) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ char shared[];
    __shared__ barriers<TILE> b;
    char *stages = shared + (1024 - shared_place(shared) % 1024) % 1024;

    if (threadIdx.x == 0) {
        map_is_needed(&maps.x);
        map_is_needed(&maps.w);
        make_barriers<TILE>(&b);
    }
    if (TILE::PAIR > 1) {
        sync_cluster();
    } else {
        __syncthreads();
    }
    if (threadIdx.x < WARP_GROUP) {
        if (TILE::GROUPS > 1) {
            leave_registers<40>();
        }
        if (threadIdx.x == 0) {
            bring_tiles<TILE, END>(maps, size, stages, &b);
            let_next_begin(); /* later than others do: few blocks would crowd where none is */
        } else {
            wait_for_previous();
        }
    } else {
        if (TILE::GROUPS > 1) {
            take_registers<232>();
        }
        wait_for_previous();
        multiply_tiles_of_group<BF16, TILE, END>(maps, f, size, stages, &b);
    }
    if (TILE::PAIR > 1) { /* the others still bring something here, and arrive */
        __syncwarp();
        sync_cluster();
    }
#else
    __trap(); /* this code is for another device */
#endif
}

struct box {
    int32_t rows, cols;
};

/* Boxes of a matrix (rows, cols), as wgmma and the ends of products want them swizzled. */
bool make_map(encode_tiled encode, CUtensorMap *map, const void *data, int32_t dtype, int32_t rows,
              int32_t cols, int64_t ld, box b) {
    const cuuint64_t bytes = (cuuint64_t)eet_float_bytes(dtype);
    const cuuint64_t sizes[] = {(cuuint64_t)cols, (cuuint64_t)rows};
    const cuuint64_t strides[] = {(cuuint64_t)ld * bytes};
    const cuuint32_t across[] = {(cuuint32_t)b.cols, (cuuint32_t)b.rows};
    const cuuint32_t steps[] = {1, 1};
    const CUtensorMapDataType type = dtype == EET_F32    ? CU_TENSOR_MAP_DATA_TYPE_FLOAT32
                                     : dtype == EET_BF16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                                         : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;

    return encode(map, type, 2, const_cast<void *>(data), sizes, strides, across, steps,
                  CU_TENSOR_MAP_INTERLEAVE_NONE,
                  (cuuint64_t)b.cols * bytes == 128 ? CU_TENSOR_MAP_SWIZZLE_128B
                                                    : CU_TENSOR_MAP_SWIZZLE_64B,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

template <class TILE, gemm_end END>
bool make_maps(encode_tiled encode, const eet_project_args &a, gemm_maps *maps) {
    using shape = end_shape<TILE, END>;

    return make_map(encode, &maps->x, a.x, a.w.dtype, a.rows, a.w.k, a.w.k,
                    {TILE::ROWS / TILE::PAIR, DEPTH}) &&
           make_map(encode, &maps->w, a.w.data, a.w.dtype, a.w.n, a.w.k, a.w.ld,
                    {TILE::COLS, DEPTH}) &&
           (END == gemm_end::ANY || END == gemm_end::PAGES ||
            make_map(encode, &maps->y, a.y, a.y_dtype, a.rows, a.w.n, a.w.n,
                     {WARP_ROWS, shape::COLS})) &&
           (!shape::RESIDUAL || make_map(encode, &maps->residual, a.residual, a.residual_dtype,
                                         a.rows, a.w.n, a.w.n, {GROUP_ROWS, shape::COLS}));
}

template <bool BF16, class TILE, gemm_end END>
eet_status launch_of(const eet_backend *backend, const eet_finish &f) {
    static const encode_tiled encode = encoder(); /* asking takes long */
    constexpr int ACROSS = TILE::PAIR * TILE::COLS;
    const gemm_size size = {(f.a.w.n + ACROSS - 1) / ACROSS,
                            (f.a.rows + TILE::ROWS - 1) / TILE::ROWS,
                            (f.a.w.k + DEPTH - 1) / DEPTH};
    const int64_t tiles = (int64_t)size.across * size.down;
    const int64_t room = backend->blocks < TILE::PAIR ? 1 : backend->blocks / TILE::PAIR;
    gemm_maps maps = {};

    if (encode == nullptr || !make_maps<TILE, END>(encode, f.a, &maps)) {
        return EET_E_DEVICE;
    }
    launch_early(backend, multiply_tiles<BF16, TILE, END>,
                 {(unsigned)((tiles < room ? tiles : room) * TILE::PAIR), TILE::THREADS,
                  TILE::SHARED, TILE::PAIR},
                 maps, f, size);
    return EET_OK;
}

template <class TILE, gemm_end END>
eet_status launch(const eet_backend *backend, const eet_finish &f) {
    return f.a.w.dtype == EET_BF16 ? launch_of<true, TILE, END>(backend, f)
                                   : launch_of<false, TILE, END>(backend, f);
}

gemm_end end_of(const eet_finish &f) {
    const eet_project_args &a = f.a;
    const int32_t half = a.w.dtype;
    const bool linear = a.act == EET_ACT_LINEAR;

    if (!f.wide) {
        return gemm_end::ANY;
    }
    if (a.to != EET_TO_Y) {
        const bool halves = (f.y_columns == 0 || a.y_dtype == half) && a.pages.dtype == half;

        return halves && linear && a.residual == nullptr ? gemm_end::PAGES : gemm_end::ANY;
    }
    if (a.residual == nullptr) {
        const bool common = linear || a.act == EET_ACT_RELU || a.act == EET_ACT_GELU_ERF ||
                            a.act == EET_ACT_GELU_TANH;

        return common && a.y_dtype == half ? gemm_end::HALF : gemm_end::ANY;
    }
    if (!linear || a.residual_dtype != a.y_dtype) {
        return gemm_end::ANY;
    }
    return a.y_dtype == half      ? gemm_end::RESIDUAL
           : a.y_dtype == EET_F32 ? gemm_end::STREAM
                                  : gemm_end::ANY;
}

using any_tile = tile_kind<128, 128>;

template <class TILE> eet_status launch_end(const eet_backend *backend, const eet_finish &f) {
    switch (end_of(f)) {
    case gemm_end::HALF:
        return launch<TILE, gemm_end::HALF>(backend, f);
    case gemm_end::RESIDUAL:
        return launch<TILE, gemm_end::RESIDUAL>(backend, f);
    case gemm_end::STREAM:
        return launch<TILE, gemm_end::STREAM>(backend, f);
    case gemm_end::PAGES:
        return launch<TILE, gemm_end::PAGES>(backend, f);
    default:
        return launch<any_tile, gemm_end::ANY>(backend, f);
    }
}

/* Of the tiles below: what a stage of k takes on all multiprocessors, and what the rest of a tile
 * does, in microseconds as an H100 was measured (tests/cuda/bench_gemm.c); of pairs as they did
 * beside others in a pass, where the cache brings less and many stages save what a pair costs. */
struct tile_speed {
    int32_t rows, cols, pair;
    float stage, end;
};

constexpr tile_speed speeds[EET_GEMM_TILES] = {
    {64, 32, 1, 0.15F, 0.45F},   {64, 64, 1, 0.185F, 0.5F},  {128, 64, 1, 0.29F, 0.6F},
    {128, 128, 1, 0.385F, 1.0F}, {128, 192, 1, 0.54F, 1.4F}, {128, 256, 1, 0.72F, 1.4F},
    {128, 64, 2, 0.25F, 1.8F},   {128, 192, 2, 0.5F, 2.6F},  {64, 96, 2, 0.22F, 2.4F}};

int32_t fastest_tile(const eet_backend *backend, const eet_finish &f) {
    const float stages = (float)((f.a.w.k + DEPTH - 1) / DEPTH);
    int32_t best = 0;
    float least = FLT_MAX;

    for (int32_t i = 0; i < EET_GEMM_TILES; ++i) {
        const tile_speed &s = speeds[i];
        const int64_t room = backend->blocks / s.pair;
        const int64_t across = (f.a.w.n + s.cols * s.pair - 1) / (s.cols * s.pair);
        const int64_t tiles = across * ((f.a.rows + s.rows - 1) / s.rows);
        const int64_t rounds = room > 0 ? (tiles + room - 1) / room : INT32_MAX;
        const float time = (float)rounds * (stages * s.stage + s.end);

        if (time < least) {
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
        return launch_end<tile_kind<64, 32>>(backend, *f);
    case 1:
        return launch_end<tile_kind<64, 64>>(backend, *f);
    case 2:
        return launch_end<tile_kind<128, 64>>(backend, *f);
    case 3:
        return launch_end<tile_kind<128, 128>>(backend, *f);
    case 4:
        return launch_end<tile_kind<128, 192>>(backend, *f);
    case 5:
        return launch_end<tile_kind<128, 256>>(backend, *f);
    case 6:
        return launch_end<tile_kind<128, 64, 2>>(backend, *f);
    case 7:
        return launch_end<tile_kind<128, 192, 2>>(backend, *f);
    default:
        return launch_end<tile_kind<64, 96, 2>>(backend, *f);
    }
}
