// The convolution of convolution.cu by boxes: Hopper's copy engine brings the operands (TMA,
// device_tma.cu), warpgroups multiply them, and no thread computes addresses in between. The product
// is turned round, so that a block has any number of pixels and few filters are no loss:
//
//     y^T[k, pixel] = sum over taps and channels of  w[tap, k, channels] x[pixel + tap, channels]
//
//                    N pixels: a rectangle      A block has F x G warpgroups, each with 64 filters and
//                   +------------------+        N pixels, and one thread more that asks for boxes.
//     64 filters    | warpgroup 0      |        A step is 128 bytes of channels of one tap:
//                   +------------------+
//     64 filters    | warpgroup 1      |        1 copy     one box of filters and one of pixels for
//                   +------------------+                   each group, STAGES steps ahead
//       (F = 2, G = 1)                          2 wait     at the gate `full` of the stage
//                                               3 multiply, then open the gate `empty` of the stage
//                                               4 finish   bias, ReLU or its mask, round, store
//
// A block goes from tile to tile ("persistent"): while one is finished the next one's boxes are already
// on their way. A box of pixels is the rectangle moved by the tap; what lies outside of the image
// arrives as zeros, so padding needs no masks. Rows of a stage beyond the rectangle hold anything:
// they are columns of the product that nobody stores.
//
//   WHAT is the side of the filters:  3  convolution, forward and (pad = 2, REVERSE) by data
//                                     1  up-convolution: filters (a, b, k), stored where (a, b) says
//                                     2  ... by data: x is dy, its pixels (n h, a, w, b), a box takes
//                                        those of one corner (a, b)

struct BoxProblem {
    const float* bias;
    const unsigned char* mask;  // null, or an image beside the last output
    unsigned char *y1, *y2;     // y2: null, or where the output channels from K1 on go
    float* partial;             // sums of each part of the steps, where there are more than one
    int P, Q;                   // pixels of the output (of one corner)
    int wide, high;             // the rectangle of a tile, all G groups of it
    int across, down, images;   // how many rectangles
    int tiles_k, parts, tiles;  // tiles of filters, parts of the steps, tiles in all
    int C1, blocks1, blocks;    // channels of x1; how many times 128 bytes of x1, and of both images
    int K1, K2, mask_row, mask_image, pad, flags;
};

// Sizes in bytes; as in box_tiles.py.
template <int F, int G, int N, int BLOCKS>
struct BoxBlock {
    static constexpr int GROUPS = F * G, THREADS = 128 * GROUPS + 32, FILTERS = 64 * F;
    static constexpr int STAGE = (FILTERS + N * G) * 128;
    static constexpr int ROW = 64 * BYTES, OUT = 32 * ROW;  // 32 pixels of 64 filters
    static constexpr int ROOM = 233472 / BLOCKS - 2176 - GROUPS * 2 * OUT;
    static constexpr int STAGES = ROOM / STAGE < 8 ? ROOM / STAGE : 8;
};

// Where a tile is: its first filter, image, row and column, and which part of the steps it takes.
// Neighbours share their pixels, which stay in the cache.
struct BoxTile {
    int k, n, p, q, first, last;
    DEVICE BoxTile(const BoxProblem& a, int tile, int filters, int steps) {
        k = tile % a.tiles_k * filters, tile /= a.tiles_k;
        const int part = tile % a.parts;
        tile /= a.parts;
        q = tile % a.across * a.wide, tile /= a.across;
        p = tile % a.down * a.high, n = tile / a.down;
        first = steps * part / a.parts, last = steps * (part + 1) / a.parts;
    }
};

// The mask is read when the tile is finished, so it is asked for when the tile begins: in 16 bits alone,
// where it was measured to help.
template <int F, int G>
DEVICE void prefetch_mask(const TensorMap& mask, const BoxProblem& a, const BoxTile& t) {
#if KIND != 0
    if (!a.mask || (a.K2 && t.k < a.K1)) return;
    for (int f = 0; f < F; f++)
        for (int g = 0; g < G; g++)
            prefetch_box(mask, t.k + 64 * f - (a.K2 ? a.K1 : 0), t.q, t.p + g * (a.high / G), t.n);
#endif
}

// Stage 1, by one thread
template <int F, int G, int N, int BLOCKS, int WHAT>
DEVICE void copy_boxes(const TensorMap& x1, const TensorMap& x2, const TensorMap& w,
                       const TensorMap& mask, const BoxProblem& a, unsigned char* stages, Gate* full,
                       Gate* empty) {
    typedef BoxBlock<F, G, N, BLOCKS> Block;
    constexpr int TAPS = WHAT * WHAT, ACROSS = 128 / BYTES;
    const int rows = a.high / G, bytes = (Block::FILTERS + a.wide * a.high) * 128;
    int stage = 0;
    unsigned round = 0;
    prefetch_map(x1), prefetch_map(w);
    for (int number = blockIdx.x; number < a.tiles; number += gridDim.x) {
        const BoxTile t(a, number, Block::FILTERS, TAPS * a.blocks);
        prefetch_mask<F, G>(mask, a, t);
        int tap = t.first / a.blocks, block = t.first % a.blocks;
        for (int step = t.first; step < t.last; step++) {
            gate_wait(empty + stage, round ^ 1);
            gate_expect(full + stage, bytes);
            unsigned char* to = stages + stage * Block::STAGE;
            const bool second = block >= a.blocks1;
            const int c = (second ? block - a.blocks1 : block) * ACROSS;
            const int turned = a.flags & REVERSE ? TAPS - 1 - tap : tap;
            copy_box(to, w, full + stage, second ? a.C1 + c : c, t.k, turned, 0);
#pragma unroll
            for (int g = 0; g < G; g++) {  // groups of pixels lie one below the other
                unsigned char* pixels = to + (Block::FILTERS + g * N) * 128;
                const int p = t.p + g * rows;
                if constexpr (WHAT == 2)
                    copy_box(pixels, x1, full + stage, c, tap % 2, t.q, tap / 2, t.n * a.P + p);
                else
                    copy_box(pixels, second ? x2 : x1, full + stage, c, t.q + tap % WHAT - a.pad,
                             p + tap / WHAT - a.pad, t.n);
            }
            if (++block == a.blocks) block = 0, ++tap;
            if (++stage == Block::STAGES) stage = 0, round ^= 1;
        }
    }
}

// Stage 4 of a warpgroup: its 64 filters from k on at the N pixels from row p on. sums[4 j + i] of a
// thread is filter 16 warp + lane / 4 + 8 (i / 2) at pixel 8 j + 2 (lane % 4) + i % 2. 32 pixels at a
// time go through `out`, of which there are two in turn, so that every thread then has 16 bytes of a
// pixel's filters to store: chunk `chunk` of the pixels first_pixel, first_pixel + PIXELS, ...
template <int N, int WHAT>
struct BoxWriter {
    static constexpr int ROW = 64 * BYTES, OUT = 32 * ROW, SCALE = WHAT == 1 ? 2 : 1;
    static constexpr int ACROSS = ROW / 16, PIXELS = 128 / ACROSS, EACH = 32 / PIXELS;
    // The mask is read before it is needed: by 32 pixels in 16 bits; in TF32, where that would take
    // too many registers, by the time that `out` is written.
    static constexpr int AHEAD = KIND == 0 ? 0 : 32;
    const int lane, warp, chunk, first_pixel, rows, columns;
    unsigned inverse;  // at * inverse >> 20 is at / wide
    int wide, y_row, y_pixel, mask_row, mask_pixel;
    bool exists, masked;
    float least, bias[2];
    element* y;
    const element* mask;
    Chunk ahead[EACH];

    DEVICE BoxWriter(const BoxProblem& a, const BoxTile& t, int k, int p, int rows)
        : lane(threadIdx.x & 31),
          warp(threadIdx.x >> 5 & 3),
          chunk((threadIdx.x & 127) % ACROSS),
          first_pixel((threadIdx.x & 127) / ACROSS),
          rows(rows),
          columns(min(a.wide, a.Q - t.q)),
          inverse(((1u << 20) + a.wide - 1) / a.wide),
          wide(a.wide),
          least(a.flags & RELU ? 0.f : -__int_as_float(0x7f800000)) {
        const int K = a.K1 + a.K2, k_sum = k + warp * 16 + (lane >> 2);
        for (int i = 0; i < 2; i++) {
            const bool there = a.flags & BIAS && k_sum + 8 * i < K;
            bias[i] = there ? a.bias[WHAT == 1 ? (k_sum + 8 * i) % (K / 4) : k_sum + 8 * i] : 0.f;
        }
        int j = k + chunk * CHUNK, corner = 0;
        const bool second = a.K2 && j >= a.K1;
        exists = j < K, masked = a.mask && (second || !a.K2);
        int channels = second ? a.K2 : a.K1;
        if (second) j -= a.K1;
        if (WHAT == 1) channels /= 4, corner = j / channels, j %= channels;
        const long long row0 = ((long long)t.n * a.P + p) * SCALE + corner / 2;
        y = (element*)(second ? a.y2 : a.y1) +
            (row0 * SCALE * a.Q + SCALE * t.q + corner % 2) * channels + j;
        y_row = SCALE * SCALE * a.Q * channels, y_pixel = SCALE * channels;
        mask = (const element*)a.mask +
               ((long long)t.n * a.mask_image + (long long)p * a.mask_row + t.q) * channels + j;
        mask_row = a.mask_row * channels, mask_pixel = channels;
    }

    DEVICE void look(int first) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const int at = first + first_pixel + i * PIXELS, row = at * inverse >> 20;
            const int column = at - row * wide;
            if (masked && exists && row < rows && column < columns)
                ahead[i] = *(const Chunk*)(mask + row * mask_row + column * mask_pixel);
        }
    }

    // 32 pixels from FIRST on, and those after them: each round is a function of its own, so that
    // every sum stays in its register
    template <int FIRST>
    DEVICE void write(const float (&sums)[N / 2], unsigned char* out, int& turn, int group) {
        unsigned char* to = out + turn * OUT;
        turn ^= 1;
        if (FIRST == 0 || !AHEAD) look(FIRST);
#pragma unroll
        for (int i = 0; i < (N - FIRST < 32 ? N - FIRST : 32) / 8; i += KIND == 0 ? 1 : 2) {
            float v[8];
#pragma unroll
            for (int e = 0; e < (KIND == 0 ? 4 : 8); e++)
                v[e] = larger(sums[(FIRST / 8 + i) * 4 + e] + bias[e / 2 % 2], least);
#if KIND == 0
#pragma unroll
            for (int e = 0; e < 4; e++) {  // two panels of 32 filters
                const int pixel = i * 8 + (lane & 3) * 2 + e % 2;
                const int c = (warp & 1) * 4 + (lane >> 4) + e / 2 * 2;
                float* row = (float*)(to + (warp >> 1) * 32 * 128 + swizzled(pixel, c));
                row[lane >> 2 & 3] = to_element(v[e]);
            }
#else
            unsigned d[4];
#pragma unroll
            for (int e = 0; e < 4; e++) d[e] = two_elements(v[2 * e], v[2 * e + 1]);
            const int pixel = (i + (lane >> 4)) * 8 + (lane & 7);
            store_matrices_transposed(to + swizzled(pixel, warp * 2 + (lane >> 3 & 1)), d);
#endif
        }
        meet(1 + group, 128);
        Chunk z[EACH];
#pragma unroll
        for (int i = 0; i < EACH; i++) z[i] = ahead[i];
        if (AHEAD && FIRST + AHEAD < N) look(FIRST + AHEAD);
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            const int pixel = first_pixel + i * PIXELS, at = FIRST + pixel;
            const int row = at * inverse >> 20, column = at - row * wide;
            if (!exists || row >= rows || column >= columns) continue;
            Chunk c = *(const Chunk*)(to + chunk / 8 * 32 * 128 + swizzled(pixel, chunk & 7));
            if (masked)
#pragma unroll
                for (int e = 0; e < CHUNK; e++) c.a[e] = to_float(z[i].a[e]) > 0.f ? c.a[e] : element(0);
            *(Chunk*)(y + row * y_row + column * y_pixel) = c;
        }
        if constexpr (FIRST + 32 < N) write<FIRST + 32>(sums, out, turn, group);
    }
};

// The same where the steps are summed in parts: the sums as they are, for convolve_finish.
template <int N>
DEVICE void keep_boxes(const BoxProblem& a, const BoxTile& t, int part, int k, int p, int rows,
                       const float (&sums)[N / 2]) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, K = a.K1 + a.K2;
    const int columns = min(a.wide, a.Q - t.q);
    const unsigned inverse = ((1u << 20) + a.wide - 1) / a.wide;
    float* to = a.partial + ((((long long)part * a.images + t.n) * a.P + p) * a.Q + t.q) * K;
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
        const int at = i / 4 * 8 + (lane & 3) * 2 + i % 2, kk = k + warp * 16 + (lane >> 2) + i / 2 % 2 * 8;
        const int row = at * inverse >> 20, column = at - row * a.wide;
        if (row < rows && column < columns && kk < K)
            to[((long long)row * a.Q + column) * K + kk] = sums[i];
    }
}

template <int F, int G, int N, int BLOCKS, int WHAT, bool PARTS>
DEVICE void convolve_boxes(const TensorMap& x1, const TensorMap& x2, const TensorMap& w,
                           const TensorMap& mask, const BoxProblem& a) {
    typedef BoxBlock<F, G, N, BLOCKS> Block;
    SHARED(shared);
    unsigned char* out = shared + Block::STAGES * Block::STAGE;
    Gate *full = (Gate*)(out + Block::GROUPS * 2 * Block::OUT), *empty = full + Block::STAGES;
    const int group = same_in_warp(threadIdx.x >> 7);
    if (threadIdx.x == 0) {
        for (int i = 0; i < Block::STAGES; i++) gate_open(full + i, 1), gate_open(empty + i, 4 * Block::GROUPS);
        gates_ready();
    }
    __syncthreads();
    if (group == Block::GROUPS) {  // the last 32 threads
        if ((threadIdx.x & 31) == 0)
            copy_boxes<F, G, N, BLOCKS, WHAT>(x1, x2, w, mask, a, shared, full, empty);
        return;
    }
    const int f = group % F, g = group / F;
    const bool first_lane = (threadIdx.x & 31) == 0;
    int stage = 0, turn = 0;
    unsigned round = 0;
    for (int number = blockIdx.x; number < a.tiles; number += gridDim.x) {
        const BoxTile t(a, number, Block::FILTERS, WHAT * WHAT * a.blocks);
        const int count = t.last - t.first;
        float sums[N / 2];
#pragma unroll
        for (int i = 0; i < N / 2; i++) sums[i] = 0.f;
        int step = 0, before = 0;
        do {  // a loop that might not run at all makes the compiler wait for every product
            gate_wait(full + stage, round);
            const unsigned char* from = shared + stage * Block::STAGE;
            const Operand filters = operand(from + f * 64 * 128);
            const Operand pixels = operand(from + (Block::FILTERS + g * N) * 128);
            warpgroup_fence();
#pragma unroll
            for (int part = 0; part < 4; part++)
                warpgroup_mma<N>(sums, advance(filters, part * 32), advance(pixels, part * 32));
            warpgroup_commit();
            warpgroup_wait<1>();  // this warp's products of the step before are done
            if (step && first_lane) gate_arrive(empty + before);
            before = stage;
            if (++stage == Block::STAGES) stage = 0, round ^= 1;
        } while (++step < count);
        warpgroup_wait<0>();
        if (first_lane) gate_arrive(empty + before);
        const int k = t.k + f * 64, p = t.p + g * (a.high / G), rows = min(a.high / G, a.P - p);
        if constexpr (PARTS)
            keep_boxes<N>(a, t, number / a.tiles_k % a.parts, k, p, rows, sums);
        else
            BoxWriter<N, WHAT>(a, t, k, p, rows)
                .template write<0>(sums, out + group * 2 * Block::OUT, turn, group);
    }
}

#define BOXES(name, F, G, N, BLOCKS, WHAT, PARTS)                                                  \
    extern "C" __global__ void __launch_bounds__(128 * F * G + 32, BLOCKS)                         \
        name(const __grid_constant__ TensorMap x1, const __grid_constant__ TensorMap x2,           \
             const __grid_constant__ TensorMap w, const __grid_constant__ TensorMap mask,          \
             const __grid_constant__ BoxProblem a) {                                               \
        convolve_boxes<F, G, N, BLOCKS, WHAT, PARTS>(x1, x2, w, mask, a);                          \
    }                                                                                              \
    EXPORT(name)
// names are what_FxGxN_BLOCKS, as in box_tiles.py
#define BOXES_CONV(F, G, N, BLOCKS) BOXES(box_conv_##F##x##G##x##N##_##BLOCKS, F, G, N, BLOCKS, 3, false)
#define BOXES_CONV_PART(F, G, N, BLOCKS) \
    BOXES(box_conv_part_##F##x##G##x##N##_##BLOCKS, F, G, N, BLOCKS, 3, true)
#define BOXES_UP(F, G, N, BLOCKS)                                                        \
    BOXES(box_up_##F##x##G##x##N##_##BLOCKS, F, G, N, BLOCKS, 1, false)                  \
    BOXES(box_up_by_data_##F##x##G##x##N##_##BLOCKS, F, G, N, BLOCKS, 2, false)          \
    BOXES(box_up_by_data_part_##F##x##G##x##N##_##BLOCKS, F, G, N, BLOCKS, 2, true)

BOXES_CONV(2, 1, 128, 1)
BOXES_CONV(2, 1, 160, 1)
BOXES_CONV(2, 1, 192, 1)
BOXES_CONV(1, 2, 128, 1)
BOXES_CONV(1, 2, 192, 1)
BOXES_CONV(1, 1, 192, 2)
BOXES_CONV(1, 1, 128, 2)
BOXES_CONV(1, 1, 128, 3)
BOXES_CONV_PART(2, 1, 128, 1)
BOXES_CONV_PART(2, 1, 192, 1)
BOXES_UP(2, 1, 128, 1)
BOXES_UP(2, 1, 192, 1)
