// The gradient of 3x3 filters by boxes (boxes.cu says what they are), and that of the biases:
//
//     dw[(r, s), c, k] = sum over pixels (p, q) of  dy[p, q, k] x[p + r, q + s, c]
//     db[k]            = sum over pixels (p, q) of  dy[p, q, k]
//
// A step is a square of 8 x 8 pixels of dy and one box of x for all its taps: the same square with 2
// more columns, and 2 more rows where a block makes all three rows of taps.
//
//          box of x, 10 x 8 pixels             The pixels that a tap s needs are those of the box from
//        +-------------------------+           column s on: in shared memory the same rows of 128
//        | s = 0 ............      |           bytes, s rows further. A tap r is r image rows further.
//        |   s = 1 ............    |           Nothing is copied twice, and nobody computes addresses
//        |     s = 2 ............  |           of pixels.
//        +-------------------------+
//
// Pixels outside of dy arrive as zeros, so what x has there does not matter. Sums of parts of the
// steps are added by sum_filter_partials, in order; where there is one part it writes the result.
//
// In 16 bits (here) warpgroups multiply: both operands have the pixels as their rows, which
// warpgroup_mma_columns takes as they lie. TF32 is in boxes_weights_tf32.cu.
//
//                      64 channels at 3 taps s          A block has RG warpgroups, for 64 filters and
//                    +-------------------------+        RG rows r of taps, and one thread more that
//     64 filters     | warpgroup 0, taps (0,s) |        asks for boxes. While the tensor cores work, the
//                    | warpgroup 1, taps (1,s) |        warps of the blocks with c = 0 and r = 0 add
//                    | warpgroup 2, taps (2,s) |        pixels of dy.
//                    +-------------------------+ (RG = 3)

struct WeightsProblem {
    float *dw, *db;           // of the first part
    long long part;           // floats from the sums of one part to those of the next
    int across, down, steps;  // squares side by side, one below the other, and in all images
    int K, C1, C2;            // filters; channels of both pictures
    int tiles_c1, tiles_c;    // tiles of channels, of x1 and of both
};

// What a block makes: filters from k on, channels from c on of one picture, taps from row r on; and of
// which steps.
struct WeightsTile {
    bool second;
    int k, c, r, C, picture, first, last;  // picture: the number of its first channel; it has C
    DEVICE WeightsTile(const WeightsProblem& a, int filters, int channels) {
        const int tile = blockIdx.x % a.tiles_c;
        second = tile >= a.tiles_c1;
        k = blockIdx.x / a.tiles_c * filters, c = (second ? tile - a.tiles_c1 : tile) * channels;
        r = blockIdx.y, C = second ? a.C2 : a.C1, picture = second ? a.C1 : 0;
        first = (long long)a.steps * blockIdx.z / gridDim.z;
        last = (long long)a.steps * (blockIdx.z + 1) / gridDim.z;
    }
    DEVICE bool bias() const { return picture + c + r == 0; }
    // where the sums of a tap at (c, k), and at k, belong
    DEVICE float* dw(const WeightsProblem& a, int tap, int c, int k) const {
        const long long row = (long long)tap * (a.C1 + a.C2) + picture + c;
        return a.dw + blockIdx.z * a.part + row * a.K + k;
    }
    DEVICE float* db(const WeightsProblem& a, int k) const { return a.db + blockIdx.z * a.part + k; }
};

// The boxes of every step, by one thread: DYS of dy, of 64 * 128 bytes, and then one of x, for ACROSS
// channels each.
template <int DYS, int RG, int STAGE, int STAGES>
DEVICE void copy_steps(const TensorMap& x, const TensorMap& dy, const WeightsProblem& a,
                       const WeightsTile& t, unsigned char* stages, Gate* full, Gate* empty) {
    constexpr int ACROSS = 128 / BYTES, DY_BYTES = 64 * 128;
    const int bytes = (DYS * 64 + 10 * (8 + RG - 1)) * 128;
    int column = t.first % a.across, row = t.first / a.across % a.down, n = t.first / a.across / a.down;
    Ring<STAGES> ring;
    prefetch_map(x), prefetch_map(dy);
    for (int step = t.first; step < t.last; step++, ring.go()) {
        Gate* gate = full + ring.stage;
        gate_wait(empty + ring.stage, ring.round ^ 1);
        gate_expect(gate, bytes);
        unsigned char* to = stages + ring.stage * STAGE;
        const int q = column * 8, p = row * 8;
#pragma unroll
        for (int i = 0; i < DYS; i++)
            copy_box(to + i * DY_BYTES, dy, gate, t.k + i * ACROSS, q, p, n);
        copy_box(to + DYS * DY_BYTES, x, gate, t.c, q, p + t.r, n);
        if (++column == a.across) column = 0, row++;
        if (row == a.down) row = 0, n++;
    }
}

// The sums over pixels of 16 filters, by a warp. A lane adds some rows of one chunk: 8 lanes side by
// side have 8 rows of the same chunk, which lie in different banks.
struct PixelSums {
    static constexpr int CHUNKS = 16 / CHUNK, ROWS = 32 / CHUNKS;
    float sums[CHUNK];
    DEVICE PixelSums() {
#pragma unroll
        for (int e = 0; e < CHUNK; e++) sums[e] = 0.f;
    }
    static DEVICE int lane() { return threadIdx.x & 31; }
    static DEVICE int chunk() { return (lane() >> 3) % CHUNKS; }
    // of a box of 64 pixels, from the chunk `first` on
    DEVICE void add(const unsigned char* box, int first) {
        const int row = (lane() & 7) + (lane() >> 3) / CHUNKS * 8;
#pragma unroll
        for (int i = 0; i < 64; i += ROWS) {
            const Chunk v = *(const Chunk*)(box + swizzled(row + i, first + chunk()));
#pragma unroll
            for (int e = 0; e < CHUNK; e++) sums[e] += to_float(v.a[e]);
        }
    }
    // the 16 sums to db, from the filter k on
    DEVICE void store(const WeightsProblem& a, const WeightsTile& t, int k) {
        k += chunk() * CHUNK;
#pragma unroll
        for (int e = 0; e < CHUNK; e++) {
#pragma unroll
            for (int other = 1; other < 32; other = other == 4 ? 8 * CHUNKS : 2 * other)
                sums[e] += __shfl_xor_sync(~0u, sums[e], other);
            if (lane() == chunk() * 8 && k + e < a.K) *t.db(a, k + e) = sums[e];
        }
    }
};

#if KIND != 0
// Sizes in bytes; as in weight_tiles.py.
template <int RG, int BLOCKS>
struct WeightsStages {
    static constexpr int DY = 64 * 128, X = (RG == 1 ? 80 : 104) * 128;  // 10 x 8 or 10 x 10, in eights
    static constexpr int STAGE = DY + X, ROOM = 233472 / BLOCKS - 2176;
    static constexpr int STAGES = ROOM / STAGE < 8 ? ROOM / STAGE : 8;
};

template <int RG, int BLOCKS>
DEVICE void weights_boxes(const TensorMap& x1, const TensorMap& x2, const TensorMap& dy,
                          const WeightsProblem& a) {
    typedef WeightsStages<RG, BLOCKS> Sizes;
    constexpr int STAGES = Sizes::STAGES, ROW = 10 * 128;  // ROW: of the box of x
    SHARED(shared);
    Gate *full = (Gate*)(shared + STAGES * Sizes::STAGE), *empty = full + STAGES;
    const int group = same_in_warp(threadIdx.x >> 7);
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) gate_open(full + i, 1), gate_open(empty + i, 4 * RG);
        gates_ready();
    }
    __syncthreads();
    const WeightsTile t(a, 64, 64);
    if (group == RG) {  // the last 32 threads
        if ((threadIdx.x & 31) == 0)
            copy_steps<1, RG, Sizes::STAGE, STAGES>(t.second ? x2 : x1, dy, a, t, shared, full,
                                                                 empty);
        return;
    }
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, count = t.last - t.first;
    const bool bias = t.bias() && group == 0;
    float sums[96];
#pragma unroll
    for (int i = 0; i < 96; i++) sums[i] = 0.f;
    PixelSums pixels;
    Ring<STAGES> ring;
    int step = 0, before = 0;
    do {  // a loop that might not run at all makes the compiler wait for every product
        gate_wait(full + ring.stage, ring.round);
        const unsigned char* from = shared + ring.stage * Sizes::STAGE;
        const Operand filters = operand_columns(from, Sizes::DY);
        const Operand taps = advance(operand_columns(from + Sizes::DY, 128, ROW), group * ROW);
        warpgroup_fence();
#pragma unroll
        for (int i = 0; i < 4; i++)  // 16 pixels: two rows of 8
            warpgroup_mma_columns<192>(sums, advance(filters, i * 2048), advance(taps, i * 2 * ROW));
        warpgroup_commit();
        if (bias) pixels.add(from, warp * PixelSums::CHUNKS);
        __syncwarp();  // every lane has read what it needs of the stage
        warpgroup_wait<1>();  // this warp's products of the step before are done
        if (step && lane == 0) gate_arrive(empty + before);
        before = ring.stage;
        ring.go();
    } while (++step < count);
    warpgroup_wait<0>();
    if (bias) pixels.store(a, t, t.k + warp * 16);

    // sums[4 j + i] of a thread is filter 16 warp + lane / 4 + 8 (i / 2) at column 8 j + 2 (lane % 4) +
    // i % 2 of 3 times 64 channels
    const int k = t.k + warp * 16 + (lane >> 2), c = t.c + (lane & 3) * 2;
    float* to = t.dw(a, (t.r + group) * 3, c, k);
    const long long tap = (long long)(a.C1 + a.C2) * a.K;
#pragma unroll
    for (int s = 0; s < 3; s++, to += tap)
#pragma unroll
        for (int i = 0; i < 32; i++) {
            const int column = i / 4 * 8 + i % 2, down = i / 2 % 2 * 8;
            if (k + down < a.K && c + column < t.C) to[column * a.K + down] = sums[s * 32 + i];
        }
}

// names are box_weights_RG_BLOCKS, as in weight_tiles.py
#define WEIGHTS_BOXES(RG, BLOCKS)                                                                    \
    extern "C" __global__ void __launch_bounds__(128 * RG + 32, BLOCKS) box_weights_##RG##_##BLOCKS( \
        const __grid_constant__ TensorMap x1, const __grid_constant__ TensorMap x2,                  \
        const __grid_constant__ TensorMap dy, const __grid_constant__ WeightsProblem a) {            \
        weights_boxes<RG, BLOCKS>(x1, x2, dy, a);                                                    \
    }                                                                                                \
    EXPORT(box_weights_##RG##_##BLOCKS)

WEIGHTS_BOXES(3, 1)
WEIGHTS_BOXES(1, 2)
#endif
