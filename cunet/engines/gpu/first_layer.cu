// The first convolution of the U-Net: 3x3, from an image of few channels (C = 1 ... 4). Its product
// has only 9 C terms, too few for tensor cores: it is as slow as writing y, or reading dy, is.
// Filters are float32 and all products float32.
//
//   first_layer_forward: a block takes 64 output channels of quads, 4 pixels side by side
//
//        one row of y      q0 .. q0+3 | q0+4 ..           thread t:  8 channels, t % groups
//      +-------------------+-----------+- - -                        one quad,   t / groups
//      | 8 channels each ->| next quad |
//      +-------------------+-----------+- - -
//
//      1 filters   of the block's channels go to shared memory
//      2 pixels    3 rows of 6 pixels of x go to registers: 4 neighbours share them
//      3 sum       8 channels x 4 pixels in registers; bias, ReLU, round, store
//
//   first_layer_weights: a block takes 64 channels of segments, 24 pixels of a row of dy
//
//      +---- segment 0 ----+---- segment 1 ----+- - -     thread t:  V channels, t % groups
//      | ->                | ->                |                     segments,   t / groups
//      +-------------------+-------------------+- - -
//
//      1 walk      along a segment with a window of 3 x 3 pixels of x: 9 C V sums in registers
//      2 add       the sums of all threads of a channel, in order, to the workspace

// V neighbouring elements, read or written at once
template <int V>
struct alignas(V * BYTES < 16 ? V * BYTES : 16) Elements { element a[V]; };

constexpr int FIRST_CHANNELS = 64, FIRST_ROUNDS = 2, FIRST_SEGMENT = 24;  // as in first_layer.py

template <int C>
DEVICE void first_forward(const element* x, const float* w, const float* b, element* y, int n,
                          int height, int width, int k, int pad, int relu) {
    __shared__ __align__(16) float filters[9 * C * FIRST_CHANNELS];
    __shared__ float biases[FIRST_CHANNELS];
    const int rows = height + 2 * pad - 2, columns = width + 2 * pad - 2, quads = (columns + 3) / 4;
    const int k0 = FIRST_CHANNELS * blockIdx.y, mine = min(FIRST_CHANNELS, k - k0);
    for (int i = threadIdx.x; i < 9 * C * mine; i += blockDim.x)
        filters[i] = w[i / mine * k + k0 + i % mine];
    if (threadIdx.x < mine) biases[threadIdx.x] = b[k0 + threadIdx.x];
    __syncthreads();
    const int groups = mine / 8, takers = blockDim.x / groups;
    const int group = threadIdx.x % groups, taker = threadIdx.x / groups;
    if (taker >= takers) return;
    for (int round = 0; round < FIRST_ROUNDS; round++) {
        const int quad = (blockIdx.x * FIRST_ROUNDS + round) * takers + taker;
        if (quad >= n * rows * quads) return;
        const int row = quad / quads, q0 = quad % quads * 4, image = row / rows, p = row % rows;
        float sums[4][8];
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 8; j++) sums[i][j] = biases[8 * group + j];
#pragma unroll
        for (int r = 0; r < 3; r++) {
            const int h = p + r - pad;
            const bool inside = 0 <= h && h < height;
            const element* line = x + ((long long)image * height + h) * width * C;
            float v[6 * C];
#pragma unroll
            for (int i = 0; i < 6 * C; i++) {
                const int at = q0 - pad + i / C;
                const bool there = inside && 0 <= at && at < width;
                v[i] = there ? to_float(line[at * C + i % C]) : 0.f;
            }
#pragma unroll
            for (int s = 0; s < 3; s++)
#pragma unroll
                for (int c = 0; c < C; c++) {
                    const float* place = filters + ((r * 3 + s) * C + c) * mine + 8 * group;
                    const float4 low = *(const float4*)place, high = *(const float4*)(place + 4);
                    const float f[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
                    for (int i = 0; i < 4; i++)
#pragma unroll
                        for (int j = 0; j < 8; j++) sums[i][j] += v[(i + s) * C + c] * f[j];
                }
        }
        for (int i = 0; i < 4; i++) {
            Elements<8> out;
            for (int j = 0; j < 8; j++)
                out.a[j] = to_element(relu && sums[i][j] < 0 ? 0.f : sums[i][j]);
            if (q0 + i < columns)
                *(Elements<8>*)(y + ((long long)row * columns + q0 + i) * k + k0 + 8 * group) = out;
        }
    }
}

// ws (gridDim.x, 9 C + 1, K): rows (r, s, c) of dw, then db, of the segments that each block takes.
template <int C, int V>
DEVICE void first_weights(const element* x, const element* dy, float* ws, int n, int height,
                          int width, int k, int pad) {
    __shared__ float part[2][256 * V];
    const int rows = height + 2 * pad - 2, columns = width + 2 * pad - 2;
    const int k0 = FIRST_CHANNELS * blockIdx.y, mine = min(FIRST_CHANNELS, k - k0);
    const int groups = mine / V, takers = blockDim.x / groups;
    const int group = threadIdx.x % groups, taker = threadIdx.x / groups;
    const int across = (columns + FIRST_SEGMENT - 1) / FIRST_SEGMENT, segments = n * rows * across;
    float sums[9 * C + 1][V] = {};
    int segment = taker < takers ? blockIdx.x * takers + taker : segments;
    for (; segment < segments; segment += gridDim.x * takers) {
        const int row = segment / across, image = row / rows, p = row % rows;
        const int start = segment % across * FIRST_SEGMENT;
        const int end = min(columns, start + FIRST_SEGMENT);
        const element* d = dy + (long long)row * columns * k + k0 + V * group;
        const element* line = x + ((long long)image * height + p - pad) * width * C;
        float v[3][3 * C];  // column q + s of x, each (r, c), at v[(q - start + s) % 3]
        auto look = [&](float (&to)[3 * C], int column) {
#pragma unroll
            for (int i = 0; i < 3 * C; i++) {
                const int h = p + i / C - pad;
                const bool inside = 0 <= h && h < height && 0 <= column && column < width;
                to[i] = inside ? to_float(line[(i / C * width + column) * C + i % C]) : 0.f;
            }
        };
        look(v[0], start - pad);
        look(v[1], start - pad + 1);
        for (int q = start; q < end; q += 3) {
            Elements<V> g[3] = {};
#pragma unroll
            for (int i = 0; i < 3; i++)
                if (q + i < end) g[i] = *(const Elements<V>*)(d + (long long)(q + i) * k);
#pragma unroll
            for (int i = 0; i < 3; i++) {
                look(v[(i + 2) % 3], q + i + 2 - pad);
#pragma unroll
                for (int j = 0; j < V; j++) {
                    const float value = to_float(g[i].a[j]);
#pragma unroll
                    for (int t = 0; t < 9 * C; t++)
                        sums[t][j] += v[(i + t / C % 3) % 3][t / (3 * C) * C + t % C] * value;
                    sums[9 * C][j] += value;
                }
            }
        }
    }
#pragma unroll
    for (int t = 0; t <= 9 * C; t++) {  // two buffers: one barrier for each sum
        if (taker < takers)
            for (int j = 0; j < V; j++) part[t & 1][taker * mine + V * group + j] = sums[t][j];
        __syncthreads();
        if (threadIdx.x < mine) {
            float total = 0;
            for (int i = 0; i < takers; i++) total += part[t & 1][i * mine + threadIdx.x];
            ws[((long long)blockIdx.x * (9 * C + 1) + t) * k + k0 + threadIdx.x] = total;
        }
    }
}

#define FIRST_LAYER(C)                                                                            \
    extern "C" __global__ void __launch_bounds__(256, 1) first_layer_forward_##C(                 \
        const element* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b,  \
        element* __restrict__ y, int n, int height, int width, int k, int pad, int relu) {        \
        first_forward<C>(x, w, b, y, n, height, width, k, pad, relu);                             \
    }                                                                                             \
    EXPORT(first_layer_forward_##C)                                                               \
    extern "C" __global__ void __launch_bounds__(256, 1) first_layer_weights_##C(                 \
        const element* __restrict__ x, const element* __restrict__ dy, float* __restrict__ ws,    \
        int n, int height, int width, int k, int pad) {                                           \
        first_weights<C, (C <= 2 ? 4 : 2)>(x, dy, ws, n, height, width, k, pad);                  \
    }                                                                                             \
    EXPORT(first_layer_weights_##C)
FIRST_LAYER(1)
FIRST_LAYER(2)
FIRST_LAYER(3)
FIRST_LAYER(4)
