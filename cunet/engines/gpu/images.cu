// What is done to every number of an image, and sums over all pixels. Each of these reads and
// writes memory once and is as fast as that: 16 bytes of an activation (a chunk) to a thread,
// neighbouring chunks to neighbouring threads, several asked for before the first is used.
//
//   to_elements, to_floats, relu_backward, drop, add_floats: the array as one long row
//
//      |<- 256 chunks ->|<- 256 chunks ->|           a block takes 2 x 256 chunks,
//      +----------------+----------------+- -        thread t chunk t of each
//      |  block 0, r=0  |  block 0, r=1  | block 1
//      +----------------+----------------+- -
//
//   pool_forward, pool_backward: a block takes 256 chunks of a row of the small image; a thread a
//   chunk of it and the four chunks above
//
//   pack_transposed: a block takes 32 x 32 numbers of a tap through shared memory
//
//   column_partials: a block takes every S-th few rows of a matrix, 32 chunks of its columns; each
//   thread adds its own chunks, then the threads of a column are added
//   sum_partials: a block takes 256 / slices columns (or fours of columns) of a matrix; each slice
//   adds its part of the rows, then the slices are added. The order of no sum depends on timing.

DEVICE bool chunk_aligned(const void* a) { return ((uint64)a & 15) == 0; }
struct __align__(16) Floats { float a[CHUNK]; };  // a float for each element of a chunk

// The chunk (or Floats) at place i of an array of `count`; zeros beyond its end.
template <class Some, class Number>
DEVICE Some chunk_read(const Number* a, long long i, long long count) {
    if (i + CHUNK <= count && chunk_aligned(a)) return *(const Some*)(a + i);
    Some c;
    for (int j = 0; j < CHUNK; j++) c.a[j] = i + j < count ? a[i + j] : Number(0);
    return c;
}
template <class Some, class Number>
DEVICE void chunk_write(Number* a, long long i, long long count, const Some& c) {
    if (i + CHUNK <= count && chunk_aligned(a))
        *(Some*)(a + i) = c;
    else
        for (int j = 0; j < CHUNK && i + j < count; j++) a[i + j] = c.a[j];
}

constexpr int CHUNKS_PER_THREAD = 2;  // of a long row: as in elements.py
DEVICE long long chunk_place(int r) {
    return ((long long)(blockIdx.x * CHUNKS_PER_THREAD + r) * blockDim.x + threadIdx.x) * CHUNK;
}

// ---- from float32 and back
extern "C" __global__ void __launch_bounds__(256)
to_elements(const float* __restrict__ x, element* __restrict__ y, long long count) {
    Floats v[CHUNKS_PER_THREAD];
    for (int r = 0; r < CHUNKS_PER_THREAD; r++) v[r] = chunk_read<Floats>(x, chunk_place(r), count);
    for (int r = 0; r < CHUNKS_PER_THREAD; r++) {
        Chunk c;
        for (int j = 0; j < CHUNK; j++) c.a[j] = to_element(v[r].a[j]);
        chunk_write(y, chunk_place(r), count, c);
    }
}
EXPORT(to_elements)

extern "C" __global__ void __launch_bounds__(256)
to_floats(const element* __restrict__ x, float* __restrict__ y, long long count) {
    Chunk v[CHUNKS_PER_THREAD];
    for (int r = 0; r < CHUNKS_PER_THREAD; r++) v[r] = chunk_read<Chunk>(x, chunk_place(r), count);
    for (int r = 0; r < CHUNKS_PER_THREAD; r++) {
        Floats c;
        for (int j = 0; j < CHUNK; j++) c.a[j] = to_float(v[r].a[j]);
        chunk_write(y, chunk_place(r), count, c);
    }
}
EXPORT(to_floats)

// y (taps, K, C) = w (taps, C, K), each tap transposed. Block (i, j, tap) takes channels 32 i ...
// of C, 32 j ... of K; a column more than the tile needs keeps its columns in 32 different banks.
extern "C" __global__ void __launch_bounds__(256)
pack_transposed(const float* __restrict__ w, element* __restrict__ y, int channels, int k) {
    __shared__ float tile[32][33];
    const int across = threadIdx.x % 32, down = threadIdx.x / 32;
    const int c0 = 32 * blockIdx.x, k0 = 32 * blockIdx.y;
    const long long tap = (long long)blockIdx.z * channels * k;
    for (int i = 0; i < 4; i++) {
        const int c = c0 + down + 8 * i, column = k0 + across;
        const bool inside = c < channels && column < k;
        tile[down + 8 * i][across] = inside ? w[tap + (long long)c * k + column] : 0.f;
    }
    __syncthreads();
    for (int i = 0; i < 4; i++) {
        const int c = c0 + across, row = k0 + down + 8 * i;
        if (c < channels && row < k)
            y[tap + (long long)row * channels + c] = to_element(tile[across][down + 8 * i]);
    }
}
EXPORT(pack_transposed)

// ---- ReLU, dropout, addition

// dx = dy where y > 0, else 0
extern "C" __global__ void __launch_bounds__(256)
relu_backward(const element* __restrict__ dy, const element* __restrict__ y,
              element* __restrict__ dx, long long count) {
    Chunk d[CHUNKS_PER_THREAD], v[CHUNKS_PER_THREAD];
    for (int r = 0; r < CHUNKS_PER_THREAD; r++) {
        d[r] = chunk_read<Chunk>(dy, chunk_place(r), count);
        v[r] = chunk_read<Chunk>(y, chunk_place(r), count);
    }
    for (int r = 0; r < CHUNKS_PER_THREAD; r++) {
        for (int j = 0; j < CHUNK; j++)
            if (!(to_float(v[r].a[j]) > 0)) d[r].a[j] = element(0);
        chunk_write(dx, chunk_place(r), count, d[r]);
    }
}
EXPORT(relu_backward)

// Philox4x32-10 (Salmon et al. 2011): the four random numbers of a counter under a key.
struct Random { unsigned a[4]; };
DEVICE Random drop_numbers(uint64 counter, uint64 key) {
    unsigned c0 = (unsigned)counter, c1 = (unsigned)(counter >> 32), c2 = 0, c3 = 0;
    unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64 first = (uint64)0xD2511F53u * c0, second = (uint64)0xCD9E8D57u * c2;
        c0 = (unsigned)(second >> 32) ^ c1 ^ k0;
        c2 = (unsigned)(first >> 32) ^ c3 ^ k1;
        c1 = (unsigned)second, c3 = (unsigned)first;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return {c0, c1, c2, c3};
}

// y[i] = x[i] * scale where number i under the key is not below `least`, else x[i] * 0. The key is
// read here, not on the host: a recorded step draws another mask whenever the key was changed.
extern "C" __global__ void __launch_bounds__(256)
drop(const element* __restrict__ x, element* __restrict__ y, const uint64* __restrict__ key,
     unsigned least, float scale, long long count) {
    const uint64 k = *key;
    Chunk v[CHUNKS_PER_THREAD];
    for (int r = 0; r < CHUNKS_PER_THREAD; r++) v[r] = chunk_read<Chunk>(x, chunk_place(r), count);
    for (int r = 0; r < CHUNKS_PER_THREAD; r++) {
        for (int j = 0; j < CHUNK; j += 4) {
            const Random numbers = drop_numbers((chunk_place(r) + j) / 4, k);
            for (int i = 0; i < 4; i++)
                v[r].a[j + i] =
                    to_element(to_float(v[r].a[j + i]) * (numbers.a[i] >= least ? scale : 0.f));
        }
        chunk_write(y, chunk_place(r), count, v[r]);
    }
}
EXPORT(drop)

// b += a
extern "C" __global__ void __launch_bounds__(256)
add_floats(const float* __restrict__ a, float* __restrict__ b, long long count) {
    Floats v[CHUNKS_PER_THREAD], sum[CHUNKS_PER_THREAD];
    for (int r = 0; r < CHUNKS_PER_THREAD; r++) {
        v[r] = chunk_read<Floats>(a, chunk_place(r), count);
        sum[r] = chunk_read<Floats>(b, chunk_place(r), count);
    }
    for (int r = 0; r < CHUNKS_PER_THREAD; r++) {
        for (int j = 0; j < CHUNK; j++) sum[r].a[j] += v[r].a[j];
        chunk_write(b, chunk_place(r), count, sum[r]);
    }
}
EXPORT(add_floats)

// ---- 2x2 max-pooling: x (rows / P, 2 P, 2 Q, C), y (rows / P, P, Q, C)

// This thread's chunk of row blockIdx.x of y, and the four of x above it, in reading order.
struct Window {
    int q, c;
    long long y, x[4];
    DEVICE Window(int columns, int channels) {
        const int i = (blockIdx.y * blockDim.x + threadIdx.x) * CHUNK;
        q = i / channels, c = i % channels;
        y = (long long)blockIdx.x * columns * channels + i;
        for (int j = 0; j < 4; j++)
            x[j] = ((2LL * blockIdx.x + j / 2) * 2 * columns + 2 * q + j % 2) * channels + c;
    }
};

extern "C" __global__ void __launch_bounds__(256)
pool_forward(const element* __restrict__ x, element* __restrict__ y, int columns, int channels) {
    const Window at(columns, channels);
    if (at.q >= columns) return;
    Chunk v[4];
    for (int i = 0; i < 4; i++) v[i] = *(const Chunk*)(x + at.x[i]);
    for (int j = 0; j < CHUNK; j++) {
        float most = to_float(v[0].a[j]);
        for (int i = 1; i < 4; i++) {
            const float value = to_float(v[i].a[j]);
            if (value > most || value != value) most = value;  // a NaN stays a NaN
        }
        v[0].a[j] = to_element(most);
    }
    *(Chunk*)(y + at.y) = v[0];
}
EXPORT(pool_forward)

// dx = dy at the first maximum of each window, plus `beside` (n, inner_rows, inner_columns, C) in
// the middle of dx, unless it is null. The maximum is found again in the window: y is not read.
extern "C" __global__ void __launch_bounds__(256)
pool_backward(const element* __restrict__ dy, const element* __restrict__ x,
              const element* __restrict__ beside, element* __restrict__ dx, int rows, int columns,
              int channels, int inner_rows, int inner_columns) {
    const Window at(columns, channels);
    if (at.q >= columns) return;
    const Chunk d = *(const Chunk*)(dy + at.y);
    Chunk v[4], more[4];
    for (int i = 0; i < 4; i++) v[i] = *(const Chunk*)(x + at.x[i]);
    const int top = (2 * rows - inner_rows) / 2, left = (2 * columns - inner_columns) / 2;
    const int image = blockIdx.x / rows, row = 2 * (blockIdx.x % rows) - top;
    for (int i = 0; i < 4; i++) {
        const int h = row + i / 2, w = 2 * at.q + i % 2 - left;
        for (int j = 0; j < CHUNK; j++) more[i].a[j] = element(0);
        if (beside && 0 <= h && h < inner_rows && 0 <= w && w < inner_columns) {
            const long long pixel = ((long long)image * inner_rows + h) * inner_columns + w;
            more[i] = *(const Chunk*)(beside + pixel * channels + at.c);
        }
    }
    for (int j = 0; j < CHUNK; j++) {
        float most = to_float(v[0].a[j]);
        int first = 0;
        for (int i = 1; i < 4; i++)
            if (to_float(v[i].a[j]) > most) most = to_float(v[i].a[j]), first = i;
        for (int i = 0; i < 4; i++) {
            const float here = i == first ? to_float(d.a[j]) : 0.f;
            v[i].a[j] = to_element(here + to_float(more[i].a[j]));
        }
    }
    for (int i = 0; i < 4; i++) *(Chunk*)(dx + at.x[i]) = v[i];
}
EXPORT(pool_backward)

// ---- sums over rows

// ws (gridDim.x, K): sums of the rows of dy (rows, K) that each block takes; K a multiple of CHUNK.
extern "C" __global__ void __launch_bounds__(256)
column_partials(const element* __restrict__ dy, float* __restrict__ ws, int rows, int k) {
    __shared__ float part[256 * CHUNK];
    const int first = 32 * blockIdx.y, across = min(32, k / CHUNK - first), down = 256 / across;
    const int column = threadIdx.x % across, mine = threadIdx.x / across, wide = across * CHUNK;
    float sums[CHUNK] = {};
    if (mine < down) {
        const element* place = dy + (first + column) * CHUNK;
#pragma unroll 4
        for (int row = blockIdx.x * down + mine; row < rows; row += gridDim.x * down) {
            const Chunk v = *(const Chunk*)(place + (long long)row * k);
            for (int j = 0; j < CHUNK; j++) sums[j] += to_float(v.a[j]);
        }
        for (int j = 0; j < CHUNK; j++) part[mine * wide + column * CHUNK + j] = sums[j];
    }
    __syncthreads();
    if (threadIdx.x >= wide) return;
    float total = 0;
    for (int i = 0; i < down; i++) total += part[i * wide + threadIdx.x];
    ws[(long long)blockIdx.x * k + first * CHUNK + threadIdx.x] = total;
}
EXPORT(column_partials)

// sums (n) of ws (rows, n), V neighbouring columns to a thread; n a multiple of V. Columns from `split`
// on, a multiple of V, go to `rest`.
template <int V>
DEVICE void add_partials(const float* __restrict__ ws, float* __restrict__ sums,
                         float* __restrict__ rest, int rows, long long split, long long n, int slices) {
    struct alignas(4 * V) Columns { float a[V]; };
    __shared__ float part[256 * V];
    const int across = 256 / slices, column = threadIdx.x % across, slice = threadIdx.x / across;
    const long long place = ((long long)blockIdx.x * across + column) * V;
    const int each = (rows + slices - 1) / slices, last = min(rows, (slice + 1) * each);
    Columns total = {};
    if (place < n) {
#pragma unroll 8
        for (int row = slice * each; row < last; row++) {
            const Columns v = *(const Columns*)(ws + row * n + place);
            for (int j = 0; j < V; j++) total.a[j] += v.a[j];
        }
    }
    for (int j = 0; j < V; j++) part[threadIdx.x * V + j] = total.a[j];
    __syncthreads();
    if (slice || place >= n) return;
    for (int i = 1; i < slices; i++)
        for (int j = 0; j < V; j++) total.a[j] += part[(i * across + column) * V + j];
    *(Columns*)(place < split ? sums + place : rest + (place - split)) = total;
}
#define SUM_PARTIALS(name, V)                                                                     \
    extern "C" __global__ void __launch_bounds__(256) name(const float* ws, float* sums, int rows,\
                                                           long long n, int slices) {             \
        add_partials<V>(ws, sums, nullptr, rows, n, n, slices);                                   \
    }                                                                                             \
    EXPORT(name)
SUM_PARTIALS(sum_partials, 1)
SUM_PARTIALS(sum_partials_by_four, 4)

// the sums of the parts of a gradient of filters and that of biases, which lies behind it
extern "C" __global__ void __launch_bounds__(256)
sum_filter_partials(const float* ws, float* dw, float* db, int rows, long long of_dw, long long n,
                    int slices) {
    add_partials<4>(ws, dw, db, rows, of_dw, n, slices);
}
EXPORT(sum_filter_partials)
