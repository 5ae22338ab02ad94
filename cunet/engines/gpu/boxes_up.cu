// The 2x2 up-convolution by boxes (boxes.cu).
//
//     TAPS 1   forward: filters (a, b, k), stored where (a, b) says
//     TAPS 4   by data: x is dy, its pixels (n h, a, w, b), and a box takes those of one corner (a, b)
//
// A step has a box of 128 filters and one of N pixels in the same stage.

// Sizes in bytes; as in box_tiles.py.
template <int N>
struct UpBlock {
    static constexpr int FILTERS = 128, STAGE = (FILTERS + N) * 128, OUT = 32 * 64 * BYTES;
    static constexpr int ROOM = 233472 - 2176 - 4 * OUT;
    static constexpr int STAGES = ROOM / STAGE < 8 ? ROOM / STAGE : 8;
};

// Stage 1, by one thread
template <int N, int TAPS>
DEVICE void copy_up(const TensorMap& x, const TensorMap& w, const TensorMap& mask, const BoxProblem& a,
                    unsigned char* stages, Gate* full, Gate* empty) {
    typedef UpBlock<N> Block;
    const int bytes = (Block::FILTERS + a.wide * a.high) * 128;
    Ring<Block::STAGES> ring;
    prefetch_map(x), prefetch_map(w);
    for (int number = blockIdx.x; number < a.tiles; number += gridDim.x) {
        const BoxTile t(a, number, Block::FILTERS);
        prefetch_mask<2>(mask, a, t);
        for (int block = 0; block < a.blocks; block++)
            for (int tap = 0; tap < TAPS; tap++, ring.go()) {
                const int c = block * (128 / BYTES);
                gate_wait(empty + ring.stage, ring.round ^ 1);
                gate_expect(full + ring.stage, bytes);
                unsigned char* to = stages + ring.stage * Block::STAGE;
                copy_box(to, w, full + ring.stage, c, t.k, tap, 0);
                unsigned char* pixels = to + Block::FILTERS * 128;
                if constexpr (TAPS == 4)
                    copy_box(pixels, x, full + ring.stage, c, tap % 2, t.q, tap / 2, t.n * a.P + t.p);
                else
                    copy_box(pixels, x, full + ring.stage, c, t.q, t.p, t.n);
            }
    }
}

template <int N, int TAPS>
DEVICE void up_boxes(const TensorMap& x, const TensorMap& w, const TensorMap& mask, const BoxProblem& a) {
    typedef UpBlock<N> Block;
    SHARED(shared);
    unsigned char* out = shared + Block::STAGES * Block::STAGE;
    Gate *full = (Gate*)(out + 4 * Block::OUT), *empty = full + Block::STAGES;
    const int f = same_in_warp(threadIdx.x >> 7);
    if (threadIdx.x == 0) {
        for (int i = 0; i < Block::STAGES; i++) gate_open(full + i, 1), gate_open(empty + i, 8);
        gates_ready();
    }
    __syncthreads();
    if (f == 2) {  // the last 32 threads
        if ((threadIdx.x & 31) == 0) copy_up<N, TAPS>(x, w, mask, a, shared, full, empty);
        return;
    }
    const bool first_lane = (threadIdx.x & 31) == 0;
    int turn = 0;
    Ring<Block::STAGES> ring;
    for (int number = blockIdx.x; number < a.tiles; number += gridDim.x) {
        const BoxTile t(a, number, Block::FILTERS);
        float sums[N / 2];
#pragma unroll
        for (int i = 0; i < N / 2; i++) sums[i] = 0.f;
        int step = 0, before = 0;
        do {  // a loop that might not run at all makes the compiler wait for every product
            gate_wait(full + ring.stage, ring.round);
            const unsigned char* from = shared + ring.stage * Block::STAGE;
            const Operand k = operand(from + f * 64 * 128), p = operand(from + Block::FILTERS * 128);
            multiply<N>(sums, k, p);
            warpgroup_wait<1>();  // this warp's products of the step before are done
            if (step && first_lane) gate_arrive(empty + before);
            before = ring.stage;
            ring.go();
        } while (++step < TAPS * a.blocks);
        warpgroup_wait<0>();
        if (first_lane) gate_arrive(empty + before);
        BoxWriter<N, TAPS == 1>(a, t, t.k + f * 64)
            .template write<0>(sums, out + f * 2 * Block::OUT, turn, f);
    }
}

// names are box_up_2xN_1 and box_up_by_data_2xN_1, as in box_tiles.py
#define UP_BOXES(name, N, TAPS)                                                                    \
    extern "C" __global__ void __launch_bounds__(288, 1)                                           \
        name(const __grid_constant__ TensorMap x, const __grid_constant__ TensorMap w,             \
             const __grid_constant__ TensorMap mask, const __grid_constant__ BoxProblem a) {       \
        up_boxes<N, TAPS>(x, w, mask, a);                                                          \
    }                                                                                              \
    EXPORT(name)

UP_BOXES(box_up_2x128_1, 128, 1)
UP_BOXES(box_up_2x192_1, 192, 1)
UP_BOXES(box_up_by_data_2x128_1, 128, 4)
UP_BOXES(box_up_by_data_2x192_1, 192, 4)
