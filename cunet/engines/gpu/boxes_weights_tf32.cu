// boxes_weights.cu in TF32. A warpgroup's products take operands of 32 bits only where what is summed
// over lies along the rows, and here it is the pixels, which lie across them. So warps multiply (mma):
// the copy engine brings 8 x 8 pixels of dy and their taps of x, and every lane reads its numbers one
// by one.
//
//     dy^T          x: 8 channels of its    A warp makes 64 filters of 8 channels at all nine taps. A
//                   box, 3 x 3 taps         block has four of them, for 32 channels, and one thread more
//     64 filters  +----------------+        that asks for boxes. Of the pixels it takes a row of 8 at a
//     of a warp   |  sums          |        time; a row of x serves three rows of dy, in registers.
//                 +----------------+
//
// In the order of memory the four lanes t that mma gives the pixels t and t + 4 would meet in pairs of
// banks under the swizzle. The sum does not mind which pixel has which number, so lane t takes pixels
// 2t and 2t + 1: 32 lanes meet 32 banks.

#if KIND == 0
// Sizes in bytes; as in weight_tiles.py. Boxes have 32 channels.
struct WeightsStages {
    static constexpr int WARPS = 4, DYS = 2, DY = 64 * 128, X = 104 * 128;  // X: 10 x 10, in eights
    static constexpr int STAGE = DYS * DY + X, ROOM = 233472 - 2176;
    static constexpr int STAGES = ROOM / STAGE < 8 ? ROOM / STAGE : 8;
};

DEVICE void weights_boxes(const TensorMap& x1, const TensorMap& x2, const TensorMap& dy,
                          const WeightsProblem& a) {
    typedef WeightsStages Sizes;
    SHARED(shared);
    Gate *full = (Gate*)(shared + Sizes::STAGES * Sizes::STAGE), *empty = full + Sizes::STAGES;
    const int warp = same_in_warp(threadIdx.x >> 5), lane = threadIdx.x & 31;
    if (threadIdx.x == 0) {
        for (int i = 0; i < Sizes::STAGES; i++) gate_open(full + i, 1), gate_open(empty + i, Sizes::WARPS);
        gates_ready();
    }
    __syncthreads();
    const WeightsTile t(a, 64, 32);
    if (warp == Sizes::WARPS) {
        if (lane == 0)
            copy_steps<Sizes::DYS, 3, Sizes::STAGE, Sizes::STAGES>(
                t.second ? x2 : x1, dy, a, t, shared, full, empty);
        return;
    }
    const int g = lane >> 2, two = 2 * (lane & 3);  // 2t
    // Where this lane finds its pixels 2t and 2t + 1 of dy, of every chunk that it reads; and its pixel
    // 2t of x, from rows of a box on whose number is i modulo 8.
    int dy_place[2][4], x_place[8];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        dy_place[i / 4][i % 4] = swizzled(two + i / 4, i % 4 * 2 + (g >> 2)) + (g & 3) * 4;
        x_place[i] = swizzled(two + i, warp * 2 + (g >> 2)) - i * 128 + (g & 3) * 4;
    }
    float sums[4][9][4] = {};
    PixelSums pixels;
    Ring<Sizes::STAGES> ring;
    for (int left = t.last - t.first; left; left--, ring.go()) {
        gate_wait(full + ring.stage, ring.round);
        const unsigned char* dys = shared + ring.stage * Sizes::STAGE;
        const unsigned char* xs = dys + Sizes::DYS * Sizes::DY;
        unsigned b[3][4];  // of three rows of x: the lane's pixels 2t to 2t + 3
        auto read_row = [&](int row) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int at = row * 10 + i;
                b[row % 3][i] = *(const unsigned*)(xs + x_place[at % 8] + at * 128);
            }
        };
        read_row(0), read_row(1);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            read_row(j + 2);
            unsigned f[4][4];
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    const int place = dy_place[e / 2][i % 2 * 2 + e % 2] + j * 8 * 128;
                    f[i][e] = *(const unsigned*)(dys + i / 2 * Sizes::DY + place);
                }
#pragma unroll
            for (int r = 0; r < 3; r++)
#pragma unroll
                for (int s = 0; s < 3; s++) {
                    const unsigned(&row)[4] = b[(j + r) % 3];
                    const unsigned tap[2] = {row[s], row[s + 1]};
#pragma unroll
                    for (int i = 0; i < 4; i++) mma(sums[i][r * 3 + s], f[i], tap);
                }
        }
        if (t.bias()) pixels.add(dys + warp / 2 * Sizes::DY, warp % 2 * PixelSums::CHUNKS);
        __syncwarp();  // every lane has read what it needs of the stage
        if (lane == 0) gate_arrive(empty + ring.stage);
    }
    if (t.bias()) pixels.store(a, t, t.k + warp * 16);

    const int k = t.k + g, c = t.c + warp * 8 + two;
#pragma unroll
    for (int tap = 0; tap < 9; tap++) {
        float* to = t.dw(a, tap, c, k);
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int column = e % 2, down = i * 16 + e / 2 * 8;
                if (k + down < a.K && c + column < t.C) to[column * a.K + down] = sums[i][tap][e];
            }
    }
}

extern "C" __global__ void __launch_bounds__(160, 1)
box_weights_3_1(const __grid_constant__ TensorMap x1, const __grid_constant__ TensorMap x2,
                const __grid_constant__ TensorMap dy, const __grid_constant__ WeightsProblem a) {
    weights_boxes(x1, x2, dy, a);
}
EXPORT(box_weights_3_1)
#endif
