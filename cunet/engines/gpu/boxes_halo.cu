// The 3x3 convolution of boxes.cu with a ninth of its copies of pixels: one box serves all nine taps.
//
//      10 pixels                    A tile is 8 pixels wide and N / 8 high (a group; G of them one below
//     +---------+                   the other). Its box has a border of one pixel more on every side: a
//     | +-----+ |                   "halo". The tap (r, s) multiplies the rows of the box from (r, s) on:
//     | |     | |  N / 8 rows + 2   8 pixels that lie side by side are 8 rows of an operand, the next 8
//     | |     | |                   begin 10 rows further. warpgroup_mma takes any such start, since it
//     | +-----+ |                   knows how chunks are swapped from the address alone.
//     +---------+
//
//     A block of channels (128 bytes) is 9 steps. There are two rings of stages: boxes of pixels, two
//     of them, one a block of channels; boxes of filters, one a step, up to 8 of them. All else is as in
//     boxes.cu. Only the stages of filters have a gate `empty`: the one that the copying thread passes
//     before it asks for the next pixels is that of a step of the block before, and when that is done so
//     are all products of the pixels that are replaced.

// Sizes in bytes; as in box_tiles.py.
template <int F, int G, int N, int BLOCKS>
struct HaloBlock {
    static constexpr int GROUPS = F * G, FILTERS = 64 * F, HIGH = N / 8, WIDE = 10;
    static constexpr int PIXEL_BYTES = WIDE * (G * HIGH + 2) * 128, PIXELS = (PIXEL_BYTES + 1023) / 1024 * 1024;
    static constexpr int FILTER_BYTES = FILTERS * 128, OUT = 32 * 64 * BYTES;
    static constexpr int ROOM = 233472 / BLOCKS - 2176 - GROUPS * 2 * OUT - 2 * PIXELS;
    static constexpr int STAGES = ROOM / FILTER_BYTES < 8 ? ROOM / FILTER_BYTES : 8;
    static_assert(STAGES < 9, "see above: why pixels have no gate `empty`");
};

// A ring of stages: which one is next, and the parity of its round.
template <int STAGES>
struct Ring {
    int stage = 0;
    unsigned round = 0;
    DEVICE void go() {
        if (++stage == STAGES) stage = 0, round ^= 1;
    }
};

template <int F, int G, int N, int BLOCKS>
DEVICE void copy_halo(const TensorMap& x1, const TensorMap& x2, const TensorMap& w, const TensorMap& mask,
                      const BoxProblem& a, unsigned char* pixels, unsigned char* filters, Gate* gates) {
    typedef HaloBlock<F, G, N, BLOCKS> Block;
    Gate *full_x = gates, *full = full_x + 2, *empty = full + Block::STAGES;
    Ring<2> x;
    Ring<Block::STAGES> ring;
    prefetch_map(x1), prefetch_map(w);
    for (int number = blockIdx.x; number < a.tiles; number += gridDim.x) {
        const BoxTile t(a, number, Block::FILTERS, a.blocks);
        prefetch_mask<F, G>(mask, a, t);
        for (int block = t.first; block < t.last; block++) {
            const bool second = block >= a.blocks1;
            const int c = (second ? block - a.blocks1 : block) * (128 / BYTES);
            gate_expect(full_x + x.stage, Block::PIXEL_BYTES);
            copy_box(pixels + x.stage * Block::PIXELS, second ? x2 : x1, full_x + x.stage, c,
                     t.q - a.pad, t.p - a.pad, t.n);
            x.go();
            for (int tap = 0; tap < 9; tap++, ring.go()) {
                gate_wait(empty + ring.stage, ring.round ^ 1);
                gate_expect(full + ring.stage, Block::FILTER_BYTES);
                copy_box(filters + ring.stage * Block::FILTER_BYTES, w, full + ring.stage,
                         second ? a.C1 + c : c, t.k, a.flags & REVERSE ? 8 - tap : tap, 0);
            }
        }
    }
}

template <int F, int G, int N, int BLOCKS, bool PARTS>
DEVICE void convolve_halo(const TensorMap& x1, const TensorMap& x2, const TensorMap& w,
                          const TensorMap& mask, const BoxProblem& a) {
    typedef HaloBlock<F, G, N, BLOCKS> Block;
    SHARED(pixels);
    unsigned char* filters = pixels + 2 * Block::PIXELS;
    unsigned char* out = filters + Block::STAGES * Block::FILTER_BYTES;
    Gate* gates = (Gate*)(out + Block::GROUPS * 2 * Block::OUT);
    Gate *full_x = gates, *full = full_x + 2, *empty = full + Block::STAGES;
    const int group = same_in_warp(threadIdx.x >> 7);
    if (threadIdx.x == 0) {
        for (int i = 0; i < 2; i++) gate_open(full_x + i, 1);
        for (int i = 0; i < Block::STAGES; i++) gate_open(full + i, 1), gate_open(empty + i, 4 * Block::GROUPS);
        gates_ready();
    }
    __syncthreads();
    if (group == Block::GROUPS) {  // the last 32 threads
        if ((threadIdx.x & 31) == 0)
            copy_halo<F, G, N, BLOCKS>(x1, x2, w, mask, a, pixels, filters, gates);
        return;
    }
    const int f = group % F, g = group / F;
    const bool first_lane = (threadIdx.x & 31) == 0;
    int turn = 0;
    Ring<2> x;
    Ring<Block::STAGES> ring;
    for (int number = blockIdx.x; number < a.tiles; number += gridDim.x) {
        const BoxTile t(a, number, Block::FILTERS, a.blocks);
        const int count = 9 * (t.last - t.first);
        float sums[N / 2];
#pragma unroll
        for (int i = 0; i < N / 2; i++) sums[i] = 0.f;
        int step = 0, tap = 0, before = 0;
        do {
            if (tap == 0) gate_wait(full_x + x.stage, x.round);
            gate_wait(full + ring.stage, ring.round);
            const int row = (g * Block::HIGH + tap / 3) * Block::WIDE + tap % 3;
            const Operand k = operand(filters + ring.stage * Block::FILTER_BYTES + f * 64 * 128);
            const Operand p = operand_rows(pixels + x.stage * Block::PIXELS + row * 128, Block::WIDE * 128);
            warpgroup_fence();
#pragma unroll
            for (int part = 0; part < 4; part++)
                warpgroup_mma<N>(sums, advance(k, part * 32), advance(p, part * 32));
            warpgroup_commit();
            warpgroup_wait<1>();  // this warp's products of the step before are done
            if (step && first_lane) gate_arrive(empty + before);
            before = ring.stage;
            ring.go();
            if (++tap == 9) tap = 0, x.go();
        } while (++step < count);
        warpgroup_wait<0>();
        if (first_lane) gate_arrive(empty + before);
        const int k = t.k + f * 64, p = t.p + g * Block::HIGH, rows = min(Block::HIGH, a.P - p);
        if constexpr (PARTS)
            keep_boxes<N>(a, t, number / a.tiles_k % a.parts, k, p, rows, sums);
        else
            BoxWriter<N, 3>(a, t, k, p, rows)
                .template write<0>(sums, out + group * 2 * Block::OUT, turn, group);
    }
}

#define HALO(name, F, G, N, BLOCKS, PARTS)                                                         \
    extern "C" __global__ void __launch_bounds__(128 * F * G + 32, BLOCKS)                         \
        name(const __grid_constant__ TensorMap x1, const __grid_constant__ TensorMap x2,           \
             const __grid_constant__ TensorMap w, const __grid_constant__ TensorMap mask,          \
             const __grid_constant__ BoxProblem a) {                                               \
        convolve_halo<F, G, N, BLOCKS, PARTS>(x1, x2, w, mask, a);                                 \
    }                                                                                              \
    EXPORT(name)
#define HALO_CONV(F, G, N, BLOCKS) HALO(halo_conv_##F##x##G##x##N##_##BLOCKS, F, G, N, BLOCKS, false)
#define HALO_CONV_PART(F, G, N, BLOCKS) \
    HALO(halo_conv_part_##F##x##G##x##N##_##BLOCKS, F, G, N, BLOCKS, true)

HALO_CONV(2, 1, 128, 1)
HALO_CONV(2, 1, 160, 1)
HALO_CONV(2, 1, 192, 1)
HALO_CONV(1, 2, 128, 1)
HALO_CONV(1, 2, 192, 1)
HALO_CONV(1, 1, 128, 2)
HALO_CONV(1, 1, 192, 2)
HALO_CONV_PART(2, 1, 128, 1)
HALO_CONV_PART(2, 1, 192, 1)
