// The gradient of filters as a product of matrices whose inner dimension is the pixels:
//
//     dw[(r, s), c, k] = sum over pixels j of  x[j + (r, s), c] * dy[j, k]
//
//            channels c            A block makes 64 WM output channels k x 64 (or 128) channels c of
//          +-----------+           one row r of taps. It walks along its part of the pixels, BK at a
//     x    |###########| BK        time:
//          +-----------+           1 copy    BK pixels of dy, and BK + S - 1 of x, to shared memory
//                 |                2 wait    until they are there
//   dy^T   +-----------+           3 multiply  each warp 64 channels of dy by NT * 8 channels of x
//   +--+   |    dw     |                       at S neighbouring taps: one copy of x serves them all
//   |##| = |           | 64 WM     4 store   the sums of this part; sum_partials adds the parts in
//   +--+   +-----------+                     order, so that the result is always the same
//
// 3x3 convolution (S = 3): j runs over the pixels of x. Where a tap would leave the image dy does not
// exist and is taken as 0, so every tap is a constant shift along j.
// 2x2 up-convolution (S = 1): j runs over x; a block takes one corner (a, b) of dy's 2x2 blocks.
//
// Both matrices are read across the rows in which they are stored. For 16 bits ldmatrix transposes on
// the way (rows of 128 bytes, swizzled as in convolution.cu); for TF32 it cannot, and every lane
// reads its numbers one by one (rows padded by 32 bytes: the 32 lanes meet 32 different banks).

// What a row of WIDTH elements takes, and where its chunks are. KIND 0: padded rows; else panels of
// ROWS rows of 128 bytes.
template <int WIDTH, int ROWS>
struct Panel {
    static constexpr int CHUNKS = WIDTH / CHUNK, PITCH = KIND == 0 ? WIDTH * 4 + 32 : 128;
    static constexpr int SIZE = KIND == 0 ? ROWS * PITCH : CHUNKS / 8 * ROWS * 128;
    static DEVICE int at(int row, int chunk) {
        if (KIND == 0) return row * PITCH + chunk * 16;
        return chunk / 8 * ROWS * 128 + swizzled(row, chunk % 8);
    }
};

// How many rows of W pixels, and how many pixels more, a number of pixels is.
struct Hop {
    int h, w;
    DEVICE Hop(int pixels, int W) : h(pixels / W), w(pixels % W) {}
};

// A pixel (n, h, w) that moves along the rows of images of H x W pixels.
struct Walker {
    int n, h, w;
    DEVICE Walker(int j, int H, int W) : n(j / W / H), h(j / W % H), w(j % W) {}
    DEVICE void go(const Hop& hop, int H, int W) {
        const bool over = w + hop.w >= W;
        w += over ? hop.w - W : hop.w;
        h += over ? hop.h + 1 : hop.h;
        while (h >= H) h -= H, n++;
    }
};

template <int WM, int BK, int S, int NT, int STAGES>
DEVICE void by_weights(const unsigned char* x, const unsigned char* dy, float* sums_of_parts, int N,
                       int H, int W, int C, int row, int image, int K, int channel0, int channels,
                       int parts) {
    constexpr int THREADS = 128 * WM, COLUMNS = 32 * NT, X_ROWS = BK + S - 1;
    typedef Panel<64, BK> Dy;                       // WM of them, side by side
    typedef Panel<COLUMNS, (X_ROWS + 7) / 8 * 8> X;  // whole groups of 8 rows
    constexpr int STAGE = (WM * Dy::SIZE + X::SIZE + 127) / 128 * 128;
    constexpr int DY_STEP = THREADS / (Dy::CHUNKS * WM), X_STEP = THREADS / X::CHUNKS;
    SHARED(shared);
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, wm = warp % WM, wn = warp / WM;
    // which row r of taps (or which corner), and which part of the pixels
    constexpr int ROWS = S == 3 ? 3 : 4;
    const int r = blockIdx.z % ROWS, part = blockIdx.z / ROWS;
    const int k0 = blockIdx.x * 64 * WM, c0 = blockIdx.y * COLUMNS;
    const int P = S == 3 ? H - 2 : 2 * H, Q = S == 3 ? W - 2 : 2 * W, total = N * H * W;
    const int steps = (total + BK - 1) / BK, each = (steps + parts - 1) / parts;
    const int first = part * each, count = min(steps, first + each) - first;

    const int dy_chunk = threadIdx.x % (Dy::CHUNKS * WM), dy_row = threadIdx.x / (Dy::CHUNKS * WM);
    const int x_chunk = threadIdx.x % X::CHUNKS, x_row = threadIdx.x / X::CHUNKS;
    const bool k_exists = k0 / CHUNK + dy_chunk < K / CHUNK;
    const bool c_exists = c0 / CHUNK + x_chunk < C / CHUNK;
    int pixel = first * BK;  // the first of the next step
    Walker dy_first(pixel + dy_row, H, W), x_first(pixel + x_row, H, W);
    const Hop dy_hop(DY_STEP, W), x_hop(X_STEP, W), step_hop(BK, W);

    auto load = [&](unsigned char* stage) {
        Walker j = dy_first;
#pragma unroll
        for (int i = 0; i < BK / DY_STEP; i++) {
            const bool there = pixel + dy_row + i * DY_STEP < total;
            const int p = S == 3 ? j.h : 2 * j.h + r / 2, q = S == 3 ? j.w : 2 * j.w + r % 2;
            const bool take = k_exists && there && p < P && q < Q;
            const long long from =
                take ? (((long long)j.n * P + p) * Q + q) * (K / CHUNK) + k0 / CHUNK + dy_chunk : 0;
            unsigned char* to = stage + dy_chunk / Dy::CHUNKS * Dy::SIZE;
            copy_async(to + Dy::at(dy_row + i * DY_STEP, dy_chunk % Dy::CHUNKS), dy + from * 16, take);
            j.go(dy_hop, H, W);
        }
        j = x_first;
#pragma unroll
        for (int i = 0; i < (X_ROWS + X_STEP - 1) / X_STEP; i++) {
            const int at = x_row + i * X_STEP, h = S == 3 ? j.h + r : j.h;
            const bool take = c_exists && pixel + at < total && h < H;
            const long long from =
                take ? ((long long)j.n * image + h * row + j.w) * (C / CHUNK) + c0 / CHUNK + x_chunk
                     : 0;
            if (at < X_ROWS)
                copy_async(stage + WM * Dy::SIZE + X::at(at, x_chunk), x + from * 16, take);
            j.go(x_hop, H, W);
        }
        dy_first.go(step_hop, H, W);
        x_first.go(step_hop, H, W);
        pixel += BK;
    };

#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < count) load(shared + s * STAGE);
        commit();
    }
    float sums[4][S * NT][4] = {};
    const int g = lane >> 2, t = lane & 3;
    int now = 0, next = STAGES - 1;
    for (int step = 0; step < count; step++) {
        wait<STAGES - 2>();
        __syncthreads();
        if (step + STAGES - 1 < count) load(shared + next * STAGE);
        commit();
        const unsigned char* dys = shared + now * STAGE + wm * Dy::SIZE;
        const unsigned char* xs = shared + now * STAGE + WM * Dy::SIZE;
#pragma unroll
        for (int j = 0; j < BK; j += 32 / BYTES) {
            unsigned a[4][4], b[S * NT][2];
            if constexpr (KIND == 0) {
                const unsigned* d = (const unsigned*)(dys + (j + t) * Dy::PITCH) + g;
                const unsigned* v = (const unsigned*)(xs + (j + t) * X::PITCH) + wn * NT * 8 + g;
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    a[i][0] = d[i * 16], a[i][1] = d[i * 16 + 8];
                    a[i][2] = d[Dy::PITCH + i * 16], a[i][3] = d[Dy::PITCH + i * 16 + 8];
                }
#pragma unroll
                for (int s = 0; s < S; s++)
#pragma unroll
                    for (int i = 0; i < NT; i++) {
                        b[s * NT + i][0] = v[s * (X::PITCH / 4) + i * 8];
                        b[s * NT + i][1] = v[(s + 4) * (X::PITCH / 4) + i * 8];
                    }
            } else {
#pragma unroll
                for (int i = 0; i < 4; i++)
                    load_matrices_transposed(
                        a[i], dys + Dy::at(j + (lane & 7) + ((lane >> 4) << 3), i * 2 + (lane >> 3 & 1)));
#pragma unroll
                for (int s = 0; s < S; s++)
#pragma unroll
                    for (int i = 0; i < NT; i += 2) {
                        unsigned d[4];
                        load_matrices_transposed(
                            d, xs + X::at(j + s + (lane & 15), wn * NT + i + (lane >> 4)));
                        b[s * NT + i][0] = d[0], b[s * NT + i][1] = d[1];
                        b[s * NT + i + 1][0] = d[2], b[s * NT + i + 1][1] = d[3];
                    }
            }
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int n = 0; n < S * NT; n++) mma(sums[i][n], a[i], b[n]);
        }
        now = now + 1 == STAGES ? 0 : now + 1;
        next = next + 1 == STAGES ? 0 : next + 1;
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int n = 0; n < S * NT; n++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int k = k0 + wm * 64 + i * 16 + e / 2 * 8 + g;
                const int c = c0 + (wn * NT + n % NT) * 8 + t * 2 + e % 2;
                const long long tap = S == 3 ? r * 3 + n / NT : r, taps = S == 3 ? 9 : 4;
                if (k < K && c < C)
                    sums_of_parts[((part * taps + tap) * channels + channel0 + c) * K + k] =
                        sums[i][n][e];
            }
}

#define BY_WEIGHTS(name, WM, BK, S, NT, STAGES)                                                    \
    extern "C" __global__ void __launch_bounds__(128 * WM)                                         \
        name(const unsigned char* x, const unsigned char* dy, float* sums, int N, int H, int W,    \
             int C, int row, int image, int K, int channel0, int channels, int parts) {            \
        by_weights<WM, BK, S, NT, STAGES>(x, dy, sums, N, H, W, C, row, image, K, channel0,        \
                                          channels, parts);                                       \
    }                                                                                              \
    EXPORT(name)

constexpr int STEP_PIXELS = 128 / BYTES;
BY_WEIGHTS(conv_by_weights_64, 1, STEP_PIXELS, 3, 2, 3)
BY_WEIGHTS(conv_by_weights_128, 2, STEP_PIXELS, 3, 2, 3)
BY_WEIGHTS(up_by_weights_64, 1, STEP_PIXELS, 1, 4, 3)
BY_WEIGHTS(up_by_weights_128, 2, STEP_PIXELS, 1, 4, 3)
