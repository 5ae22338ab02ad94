// The 3x3 convolution by boxes, forward and (pad = 2, REVERSE) by data. One box of pixels serves all
// nine taps:
//
//      10 pixels                    A tile is 8 pixels wide and N / 8 high. Its box has a border of one
//     +---------+                   pixel more on every side: a "halo". The tap (r, s) multiplies the
//     | +-----+ |                   rows of the box from (r, s) on: 8 pixels that lie side by side are
//     | |     | |  N / 8 rows + 2   8 rows of an operand, the next 8 begin 10 rows further.
//     | |     | |                   warpgroup_mma takes any such start, since it knows how chunks are
//     | +-----+ |                   swapped from the address alone.
//     +---------+
//
// A block of channels (128 bytes) is 9 steps. There are two rings of stages: boxes of pixels, two of
// them, one a block of channels; boxes of filters, one a step, up to 8 of them. Only the stages of
// filters have a gate `empty`: the one that the copying thread passes before it asks for the next
// pixels is that of a step of the block before, and when that is done so are all products of the pixels
// that are replaced.

// Sizes in bytes; as in box_tiles.py.
template <int F, int N, int BLOCKS>
struct ConvBlock {
    static constexpr int FILTERS = 64 * F, FILTER_BYTES = FILTERS * 128, OUT = 32 * 64 * BYTES;
    static constexpr int WIDE = 10, PIXEL_BYTES = WIDE * (N / 8 + 2) * 128;
    static constexpr int PIXELS = (PIXEL_BYTES + 1023) / 1024 * 1024;
    static constexpr int ROOM = 233472 / BLOCKS - 2176 - F * 2 * OUT - 2 * PIXELS;
    static constexpr int STAGES = ROOM / FILTER_BYTES < 8 ? ROOM / FILTER_BYTES : 8;
    static_assert(STAGES < 9, "see above: why pixels have no gate `empty`");
};

// Stage 1, by one thread
template <int F, int N, int BLOCKS>
DEVICE void copy_conv(const TensorMap& x1, const TensorMap& x2, const TensorMap& w, const TensorMap& mask,
                      const BoxProblem& a, unsigned char* pixels, unsigned char* filters, Gate* gates) {
    typedef ConvBlock<F, N, BLOCKS> Block;
    Gate *full_x = gates, *full = full_x + 2, *empty = full + Block::STAGES;
    Ring<2> x;
    Ring<Block::STAGES> ring;
    prefetch_map(x1), prefetch_map(w);
    for (int number = blockIdx.x; number < a.tiles; number += gridDim.x) {
        const BoxTile t(a, number, Block::FILTERS);
        prefetch_mask<F>(mask, a, t);
        for (int block = t.first; block < t.last; block++) {
            const bool second = block >= a.blocks1;
            const int c = (second ? block - a.blocks1 : block) * (128 / BYTES);
            for (int tap = 0; tap < 9; tap++, ring.go()) {
                gate_wait(empty + ring.stage, ring.round ^ 1);
                if (tap == 0) {
                    gate_expect(full_x + x.stage, Block::PIXEL_BYTES);
                    copy_box(pixels + x.stage * Block::PIXELS, second ? x2 : x1, full_x + x.stage, c,
                             t.q - a.pad, t.p - a.pad, t.n);
                    x.go();
                }
                gate_expect(full + ring.stage, Block::FILTER_BYTES);
                copy_box(filters + ring.stage * Block::FILTER_BYTES, w, full + ring.stage,
                         second ? a.C1 + c : c, t.k, a.flags & REVERSE ? 8 - tap : tap, 0);
            }
        }
    }
}

template <int F, int N, int BLOCKS, bool PARTS>
DEVICE void convolve_boxes(const TensorMap& x1, const TensorMap& x2, const TensorMap& w,
                           const TensorMap& mask, const BoxProblem& a) {
    typedef ConvBlock<F, N, BLOCKS> Block;
    SHARED(pixels);
    unsigned char* filters = pixels + 2 * Block::PIXELS;
    unsigned char* out = filters + Block::STAGES * Block::FILTER_BYTES;
    Gate *full_x = (Gate*)(out + F * 2 * Block::OUT), *full = full_x + 2, *empty = full + Block::STAGES;
    const int f = same_in_warp(threadIdx.x >> 7);
    if (threadIdx.x == 0) {
        for (int i = 0; i < 2; i++) gate_open(full_x + i, 1);
        for (int i = 0; i < Block::STAGES; i++) gate_open(full + i, 1), gate_open(empty + i, 4 * F);
        gates_ready();
    }
    __syncthreads();
    if (f == F) {  // the last 32 threads
        if ((threadIdx.x & 31) == 0)
            copy_conv<F, N, BLOCKS>(x1, x2, w, mask, a, pixels, filters, full_x);
        return;
    }
    const bool first_lane = (threadIdx.x & 31) == 0;
    int turn = 0;
    Ring<2> x;
    Ring<Block::STAGES> ring;
    for (int number = blockIdx.x; number < a.tiles; number += gridDim.x) {
        const BoxTile t(a, number, Block::FILTERS);
        const int count = 9 * (t.last - t.first);
        float sums[N / 2];
#pragma unroll
        for (int i = 0; i < N / 2; i++) sums[i] = 0.f;
        int step = 0, tap = 0, before = 0;
        do {  // a loop that might not run at all makes the compiler wait for every product
            if (tap == 0) gate_wait(full_x + x.stage, x.round);
            gate_wait(full + ring.stage, ring.round);
            const int row = tap / 3 * Block::WIDE + tap % 3;
            const Operand k = operand(filters + ring.stage * Block::FILTER_BYTES + f * 64 * 128);
            const Operand p = operand_rows(pixels + x.stage * Block::PIXELS + row * 128, Block::WIDE * 128);
            multiply<N>(sums, k, p);
            warpgroup_wait<1>();  // this warp's products of the step before are done
            if (step && first_lane) gate_arrive(empty + before);
            before = ring.stage;
            ring.go();
            if (++tap == 9) tap = 0, x.go();
        } while (++step < count);
        warpgroup_wait<0>();
        if (first_lane) gate_arrive(empty + before);
        if constexpr (PARTS)
            keep_boxes<N>(a, t, t.k + f * 64, sums);
        else
            BoxWriter<N, false>(a, t, t.k + f * 64)
                .template write<0>(sums, out + f * 2 * Block::OUT, turn, f);
    }
}

// names are box_conv_FxN_BLOCKS, as in box_tiles.py; PARTS: whether sums of parts are kept
#define CONVOLVE_BOXES(name, F, N, BLOCKS, PARTS)                                                  \
    extern "C" __global__ void __launch_bounds__(128 * F + 32, BLOCKS)                             \
        name(const __grid_constant__ TensorMap x1, const __grid_constant__ TensorMap x2,           \
             const __grid_constant__ TensorMap w, const __grid_constant__ TensorMap mask,          \
             const __grid_constant__ BoxProblem a) {                                               \
        convolve_boxes<F, N, BLOCKS, PARTS>(x1, x2, w, mask, a);                                   \
    }                                                                                              \
    EXPORT(name)

CONVOLVE_BOXES(box_conv_1x128_2, 1, 128, 2, false)
CONVOLVE_BOXES(box_conv_1x192_2, 1, 192, 2, false)
CONVOLVE_BOXES(box_conv_2x160_1, 2, 160, 1, false)
CONVOLVE_BOXES(box_conv_part_2x128_1, 2, 128, 1, true)
