// What convolutions by boxes share: Hopper's copy engine brings the operands (TMA, device_tma.cu),
// warpgroups multiply them, and no thread computes addresses in between. The product of convolution.cu
// is turned round, so that a block has any number of pixels and few filters are no loss:
//
//     y^T[k, pixel] = sum over taps and channels of  w[tap, k, channels] x[pixel + tap, channels]
//
//                    N pixels: a rectangle      A block has F warpgroups, each with 64 filters and the
//                   +------------------+        same N pixels, and one thread more that asks for boxes.
//     64 filters    | warpgroup 0      |        A step is 128 bytes of channels of one tap:
//                   +------------------+
//     64 filters    | warpgroup 1      |        1 copy     boxes of filters and of pixels, some steps
//                   +------------------+                   ahead, into a ring of stages
//                           (F = 2)             2 wait     at the gate `full` of the stage
//                                               3 multiply, then open the gate `empty` of the stage
//                                               4 finish   bias, ReLU or its mask, round, store
//
// A block goes from tile to tile ("persistent"): while one is finished the next one's boxes are already
// on their way. A box of pixels is the rectangle moved by the tap; what lies outside of the image
// arrives as zeros, so padding needs no masks. Rows of a stage beyond the rectangle hold anything:
// they are columns of the product that nobody stores.
//
// boxes_conv.cu has the 3x3 convolution, boxes_up.cu the up-convolution, both forward and by data.

struct BoxProblem {
    const float* bias;
    const unsigned char* mask;  // null, or an image beside the last output
    unsigned char *y1, *y2;     // y2: null, or where the output channels from K1 on go
    float* partial;             // sums of each part of the steps, where there are more than one
    int P, Q;                   // pixels of the output (of one corner)
    int wide, high;             // the rectangle of a tile
    int across, down, images;   // how many rectangles
    int tiles_k, parts, tiles;  // tiles of filters, parts of the steps, tiles in all
    int C1, blocks1, blocks;    // channels of x1; how many times 128 bytes of x1, and of both images
    int K1, K2, mask_row, mask_image, pad, flags;
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

// Where a tile is: its first filter, image, row and column, and which part of `blocks` blocks of
// channels it takes. Neighbours share their pixels, which stay in the cache.
struct BoxTile {
    int k, n, p, q, part, first, last;
    DEVICE BoxTile(const BoxProblem& a, int tile, int filters) {
        k = tile % a.tiles_k * filters, tile /= a.tiles_k;
        part = tile % a.parts, tile /= a.parts;
        q = tile % a.across * a.wide, tile /= a.across;
        p = tile % a.down * a.high, n = tile / a.down;
        first = a.blocks * part / a.parts, last = a.blocks * (part + 1) / a.parts;
    }
};

// Stage 3 of a step, begun here: 64 filters by N pixels, 128 bytes of channels of both.
template <int N>
DEVICE void multiply(float (&sums)[N / 2], Operand filters, Operand pixels) {
    warpgroup_fence();
#pragma unroll
    for (int part = 0; part < 4; part++)
        warpgroup_mma<N>(sums, advance(filters, part * 32), advance(pixels, part * 32));
    warpgroup_commit();
}

// The mask is read when the tile is finished, so it is asked for when the tile begins: in 16 bits alone,
// where it was measured to help.
template <int F>
DEVICE void prefetch_mask(const TensorMap& mask, const BoxProblem& a, const BoxTile& t) {
#if KIND != 0
    if (!a.mask || (a.K2 && t.k < a.K1)) return;
    for (int f = 0; f < F; f++) prefetch_box(mask, t.k + 64 * f - (a.K2 ? a.K1 : 0), t.q, t.p, t.n);
#endif
}

// Stage 4 of a warpgroup: its 64 filters from k on at the N pixels of the tile. CORNERS: filters are
// (a, b, k) and stored where (a, b) says. sums[4 j + i] of a thread is filter 16 warp + lane / 4 +
// 8 (i / 2) at pixel 8 j + 2 (lane % 4) + i % 2. 32 pixels at a time go through `out`, of which there
// are two in turn, so that every thread then has 16 bytes of a pixel's filters to store: chunk `chunk`
// of the pixels first_pixel, first_pixel + PIXELS, ...
template <int N, bool CORNERS>
struct BoxWriter {
    static constexpr int ROW = 64 * BYTES, OUT = 32 * ROW, SCALE = CORNERS ? 2 : 1;
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

    DEVICE BoxWriter(const BoxProblem& a, const BoxTile& t, int k)
        : lane(threadIdx.x & 31),
          warp(threadIdx.x >> 5 & 3),
          chunk((threadIdx.x & 127) % ACROSS),
          first_pixel((threadIdx.x & 127) / ACROSS),
          rows(min(a.high, a.P - t.p)),
          columns(min(a.wide, a.Q - t.q)),
          inverse(((1u << 20) + a.wide - 1) / a.wide),
          wide(a.wide),
          least(a.flags & RELU ? 0.f : -__int_as_float(0x7f800000)) {
        const int K = a.K1 + a.K2, k_sum = k + warp * 16 + (lane >> 2);
        for (int i = 0; i < 2; i++) {
            const bool there = a.flags & BIAS && k_sum + 8 * i < K;
            bias[i] = there ? a.bias[CORNERS ? (k_sum + 8 * i) % (K / 4) : k_sum + 8 * i] : 0.f;
        }
        int j = k + chunk * CHUNK, corner = 0;
        const bool second = a.K2 && j >= a.K1;
        exists = j < K, masked = a.mask && (second || !a.K2);
        int channels = second ? a.K2 : a.K1;
        if (second) j -= a.K1;
        if (CORNERS) channels /= 4, corner = j / channels, j %= channels;
        const long long row0 = ((long long)t.n * a.P + t.p) * SCALE + corner / 2;
        y = (element*)(second ? a.y2 : a.y1) +
            (row0 * SCALE * a.Q + SCALE * t.q + corner % 2) * channels + j;
        y_row = SCALE * SCALE * a.Q * channels, y_pixel = SCALE * channels;
        mask = (const element*)a.mask +
               ((long long)t.n * a.mask_image + (long long)t.p * a.mask_row + t.q) * channels + j;
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
DEVICE void keep_boxes(const BoxProblem& a, const BoxTile& t, int k, const float (&sums)[N / 2]) {
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3, K = a.K1 + a.K2;
    const int rows = min(a.high, a.P - t.p), columns = min(a.wide, a.Q - t.q);
    const unsigned inverse = ((1u << 20) + a.wide - 1) / a.wide;
    float* to = a.partial + ((((long long)t.part * a.images + t.n) * a.P + t.p) * a.Q + t.q) * K;
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
        const int at = i / 4 * 8 + (lane & 3) * 2 + i % 2, kk = k + warp * 16 + (lane >> 2) + i / 2 % 2 * 8;
        const int row = at * inverse >> 20, column = at - row * a.wide;
        if (row < rows && column < columns && kk < K)
            to[((long long)row * a.Q + column) * K + kk] = sums[i];
    }
}
