// The gradient of 3x3 filters by boxes (boxes.cu says what they are), and that of the biases:
//
//     dw[(r, s), c, k] = sum over pixels (p, q) of  dy[p, q, k] x[p + r, q + s, c]
//     db[k]            = sum over pixels (p, q) of  dy[p, q, k]
//
// A step is a rectangle of 64 pixels of dy, 8 x 8 or 16 x 4, and one box of x for all its taps: the
// same rectangle with 2 more columns, and 2 more rows where a block makes all three rows of taps.
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
// warpgroup_mma_columns takes as they lie. TF32 is in weights_boxes_tf32.cu.
//
//                      64 channels at 3 taps s          A block has KG x RG warpgroups, for KG times
//                    +-------------------------+        64 filters and RG rows r of taps, and one
//     64 filters     | warpgroup 0, taps (0,s) |        thread more that asks for boxes.
//     (KG = 1)       | warpgroup 1, taps (1,s) |        While the tensor cores work, the warps of the
//                    | warpgroup 2, taps (2,s) |        blocks with c = 0 and r = 0 add pixels of dy.
//                    +-------------------------+ (RG = 3)

struct WeightsProblem {
    float *dw, *db;           // of the first part
    long long part;           // floats from the sums of one part to those of the next
    int wide, high;           // the rectangle of a step
    int across, down, steps;  // rectangles side by side, one below the other, and in all images
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

// The boxes of every step, by one thread: DYS of dy and then XS of x, for ACROSS channels each. A box of
// dy takes 64 * 128 bytes of a stage, one of x X_BYTES.
template <int DYS, int XS, int RG, int X_BYTES, int STAGE, int STAGES>
DEVICE void copy_steps(const TensorMap& x, const TensorMap& dy, const WeightsProblem& a,
                       const WeightsTile& t, unsigned char* stages, Gate* full, Gate* empty) {
    constexpr int ACROSS = 128 / BYTES, DY_BYTES = 64 * 128;
    const int bytes = (DYS * 64 + XS * (a.wide + 2) * (a.high + RG - 1)) * 128;
    int column = t.first % a.across, row = t.first / a.across % a.down, n = t.first / a.across / a.down;
    int stage = 0;
    unsigned round = 0;
    prefetch_map(x), prefetch_map(dy);
    for (int step = t.first; step < t.last; step++) {
        gate_wait(empty + stage, round ^ 1);
        gate_expect(full + stage, bytes);
        unsigned char* to = stages + stage * STAGE;
        const int q = column * a.wide, p = row * a.high;
#pragma unroll
        for (int i = 0; i < DYS; i++)
            copy_box(to + i * DY_BYTES, dy, full + stage, t.k + i * ACROSS, q, p, n);
#pragma unroll
        for (int i = 0; i < XS; i++)
            copy_box(to + DYS * DY_BYTES + i * X_BYTES, x, full + stage, t.c + i * ACROSS, q, p + t.r, n);
        if (++column == a.across) column = 0, row++;
        if (row == a.down) row = 0, n++;
        if (++stage == STAGES) stage = 0, round ^= 1;
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
template <int KG, int RG, int BLOCKS>
struct WeightsStages {
    static constexpr int GROUPS = KG * RG, DY = 64 * 128;
    static constexpr int X = (RG == 1 ? 80 : 112) * 128;  // 10 x 8 or 18 x 4; 10 x 10 or 18 x 6
    static constexpr int STAGE = KG * DY + X, ROOM = 233472 / BLOCKS - 2176;
    static constexpr int STAGES = ROOM / STAGE < 8 ? ROOM / STAGE : 8;
};

template <int KG, int RG, int BLOCKS>
DEVICE void weights_boxes(const TensorMap& x1, const TensorMap& x2, const TensorMap& dy,
                          const WeightsProblem& a) {
    typedef WeightsStages<KG, RG, BLOCKS> Sizes;
    constexpr int STAGES = Sizes::STAGES;
    SHARED(shared);
    Gate *full = (Gate*)(shared + STAGES * Sizes::STAGE), *empty = full + STAGES;
    const int group = same_in_warp(threadIdx.x >> 7);
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) gate_open(full + i, 1), gate_open(empty + i, 4 * Sizes::GROUPS);
        gates_ready();
    }
    __syncthreads();
    const WeightsTile t(a, 64 * KG, 64);
    if (group == Sizes::GROUPS) {  // the last 32 threads
        if ((threadIdx.x & 31) == 0)
            copy_steps<KG, 1, RG, Sizes::X, Sizes::STAGE, STAGES>(t.second ? x2 : x1, dy, a, t, shared,
                                                                  full, empty);
        return;
    }
    const int kg = group % KG, rg = group / KG, lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3;
    const bool bias = t.bias() && rg == 0;
    // bytes of a row of the box of x; from 8 pixels of dy to the next 8 in x, and from 16 to 16
    const int row = (a.wide + 2) * 128, eight = a.wide == 8 ? row : 1024, sixteen = row * 16 / a.wide;
    const int count = t.last - t.first;
    float sums[96];
#pragma unroll
    for (int i = 0; i < 96; i++) sums[i] = 0.f;
    PixelSums pixels;
    int stage = 0, step = 0, before = 0;
    unsigned round = 0;
    do {  // a loop that might not run at all makes the compiler wait for every product
        gate_wait(full + stage, round);
        const unsigned char* from = shared + stage * Sizes::STAGE;
        const Operand filters = operand_columns(from + kg * Sizes::DY, Sizes::DY);
        const Operand taps = advance(operand_columns(from + KG * Sizes::DY, 128, eight), rg * row);
        warpgroup_fence();
#pragma unroll
        for (int i = 0; i < 4; i++)
            warpgroup_mma_columns<192>(sums, advance(filters, i * 2048), advance(taps, i * sixteen));
        warpgroup_commit();
        if (bias) pixels.add(from + kg * Sizes::DY, warp * PixelSums::CHUNKS);
        __syncwarp();  // every lane has read what it needs of the stage
        warpgroup_wait<1>();  // this warp's products of the step before are done
        if (step && lane == 0) gate_arrive(empty + before);
        before = stage;
        if (++stage == STAGES) stage = 0, round ^= 1;
    } while (++step < count);
    warpgroup_wait<0>();
    if (bias) pixels.store(a, t, t.k + kg * 64 + warp * 16);

    // sums[4 j + i] of a thread is filter 16 warp + lane / 4 + 8 (i / 2) at column 8 j + 2 (lane % 4) +
    // i % 2 of 3 times 64 channels
    const int k = t.k + kg * 64 + warp * 16 + (lane >> 2), c = t.c + (lane & 3) * 2;
    float* to = t.dw(a, (t.r + rg) * 3, c, k);
    const long long tap = (long long)(a.C1 + a.C2) * a.K;
#pragma unroll
    for (int s = 0; s < 3; s++, to += tap)
#pragma unroll
        for (int i = 0; i < 32; i++) {
            const int column = i / 4 * 8 + i % 2, down = i / 2 % 2 * 8;
            if (k + down < a.K && c + column < t.C) to[column * a.K + down] = sums[s * 32 + i];
        }
}

// names are box_weights_KGxRG_BLOCKS, as in weight_tiles.py
#define WEIGHTS_BOXES(KG, RG, BLOCKS)                                                                \
    extern "C" __global__ void __launch_bounds__(128 * KG * RG + 32, BLOCKS)                         \
        box_weights_##KG##x##RG##_##BLOCKS(                                                          \
            const __grid_constant__ TensorMap x1, const __grid_constant__ TensorMap x2,              \
            const __grid_constant__ TensorMap dy, const __grid_constant__ WeightsProblem a) {        \
        weights_boxes<KG, RG, BLOCKS>(x1, x2, dy, a);                                                \
    }                                                                                                \
    EXPORT(box_weights_##KG##x##RG##_##BLOCKS)

WEIGHTS_BOXES(1, 3, 1)
WEIGHTS_BOXES(2, 1, 1)
WEIGHTS_BOXES(1, 1, 2)
WEIGHTS_BOXES(1, 1, 3)
#endif
