// Training samples, made from slices that lie on the GPU, as cunet/data/augment.py makes them on the
// CPU: every pixel of the tile looks up the point of the slice that it comes from. The host draws
// all random numbers but the noise, of which it draws the key; sample.py writes them as records.
//
//   a block makes 32 x 32 pixels of a tile, thread t those of column t % 32 in rows t / 32 + 8 i
//
//      point = move (pixel - centre) + centre + bend,   bend = basis^T vectors basis
//
// blockIdx.z is the number of the sample in the batch. What a sample is follows from its record
// alone. n: side of the tile; m: of its middle, for which there are labels and weights.

struct Slice {
    const float *image, *weights;  // (height, width, channels), (height, width)
    const unsigned char* labels;   // (height, width)
    int height, width;
};
struct Sample {
    int slice, top, left;  // the tile's first pixel in the slice, which may lie outside
    int nodes;             // of the bend, along a side; 0: the tile is not bent
    float move[4], slope[4], curve[4], level[4];
    float deviation, unused;
    uint64 key;  // of the noise
    // then vectors (2, nodes, nodes): displacements at the nodes, of rows and of columns
};
constexpr int MAX_NODES = 16, PATCH = 32, PATCH_ROWS = 8;  // as in sample.py

// Points decide labels, so they are those of the CPU to the last bit: rounded after each operation,
// in the same order, never fused.
DEVICE float times(float a, float b) { return __fmul_rn(a, b); }
DEVICE float plus(float a, float b) { return __fadd_rn(a, b); }

// Index i of an image mirrored beyond its border, as often as needed; the border not repeated.
DEVICE int mirrored(int i, int length) {
    if ((unsigned)i < (unsigned)length) return i;
    const int period = 2 * (length - 1);
    if (!period) return 0;
    i %= period;
    if (i < 0) i += period;
    return min(i, period - i);
}

// The four pixels around a point, as places in the slice, and where between them it lies.
struct Around {
    long long place[2][2];
    float down, right;
    DEVICE Around(const Slice& s, const Sample& d, float row, float column) {
        const float above = floorf(row), before = floorf(column);
        down = row - above, right = column - before;
        for (int i = 0; i < 2; i++) {
            const long long first = (long long)mirrored(d.top + (int)above + i, s.height) * s.width;
            for (int j = 0; j < 2; j++)
                place[i][j] = first + mirrored(d.left + (int)before + j, s.width);
        }
    }
    DEVICE float between(const float* image, int channels, int c) const {
        float line[2];
        for (int i = 0; i < 2; i++) {
            const float a = image[place[i][0] * channels + c], b = image[place[i][1] * channels + c];
            line[i] = a + right * (b - a);
        }
        return line[0] + down * (line[1] - line[0]);
    }
};

// Two normal numbers of two random ones (Box and Muller 1958). logf, not __logf: next to 1 that one
// may be above 0, and the root of it no number.
DEVICE float2 normal_pair(unsigned a, unsigned b) {
    const float radius = sqrtf(-2 * logf(((float)a + 0.5f) * 0x1p-32f));
    float sine, cosine;
    __sincosf((float)(int)b * (3.14159265f * 0x1p-31f), &sine, &cosine);
    return make_float2(radius * cosine, radius * sine);
}

extern "C" __global__ void __launch_bounds__(256)
make_sample(const Slice* __restrict__ slices, const unsigned char* __restrict__ records,
            int record_bytes, const float* __restrict__ basis, float* __restrict__ x,
            int* __restrict__ labels, float* __restrict__ weights, int n, int m, int channels,
            int ignore) {
    __shared__ float lines[2][PATCH][MAX_NODES];  // basis^T vectors, of the block's rows
    const unsigned char* record = records + (long long)blockIdx.z * record_bytes;
    const Sample& d = *(const Sample*)record;
    const float* vectors = (const float*)(record + sizeof(Sample));
    const Slice s = slices[d.slice];
    const int nodes = d.nodes, first = blockIdx.y * PATCH;
    for (int t = threadIdx.x; t < 2 * PATCH * nodes; t += blockDim.x) {
        const int b = t % nodes, i = t / nodes % PATCH, axis = t / nodes / PATCH;
        float sum = 0;
        for (int a = 0; a < nodes && first + i < n; a++)
            sum = plus(sum, times(basis[a * n + first + i], vectors[(axis * nodes + a) * nodes + b]));
        lines[axis][i][b] = sum;
    }
    __syncthreads();
    const int j = blockIdx.x * PATCH + threadIdx.x % PATCH, edge = (n - m) / 2;
    if (j >= n) return;
    const float centre = (n - 1) * 0.5f, across = j - centre;
    for (int k = threadIdx.x / PATCH; k < PATCH && first + k < n; k += PATCH_ROWS) {
        const int i = first + k;
        const float below = i - centre;
        float row = plus(times(d.move[0], below), plus(times(d.move[1], across), centre));
        float column = plus(times(d.move[2], below), plus(times(d.move[3], across), centre));
        float bend_row = 0, bend_column = 0;
        for (int b = 0; b < nodes; b++) {
            bend_row = plus(bend_row, times(lines[0][k][b], basis[b * n + j]));
            bend_column = plus(bend_column, times(lines[1][k][b], basis[b * n + j]));
        }
        row = plus(row, bend_row), column = plus(column, bend_column);
        const Around around(s, d, row, column);

        float noise[4] = {};
        if (d.deviation > 0) {  // the counter is the pixel's place in its own sample
            const Random numbers = drop_numbers((uint64)i * n + j, d.key);
            for (int c = 0; c < 4; c += 2)
                if (c < channels) {
                    const float2 pair = normal_pair(numbers.a[c], numbers.a[c + 1]);
                    noise[c] = pair.x, noise[c + 1] = pair.y;
                }
        }
        float* pixel = x + (((long long)blockIdx.z * n + i) * n + j) * channels;
#pragma unroll
        for (int c = 0; c < 4; c++)
            if (c < channels) {
                float grey = around.between(s.image, channels, c);
                if (d.curve[c] != 0) grey += d.curve[c] * (sqrtf(1 + grey * grey) - 1);
                pixel[c] = grey * (1 + d.slope[c]) + d.level[c] + d.deviation * noise[c];
            }

        const int p = i - edge, q = j - edge;
        if (p < 0 || p >= m || q < 0 || q >= m) continue;
        const int h = mirrored(d.top + (int)rintf(row), s.height);
        const int label = s.labels[(long long)h * s.width +
                                   mirrored(d.left + (int)rintf(column), s.width)];
        const long long place = ((long long)blockIdx.z * m + p) * m + q;
        labels[place] = label;
        weights[place] = label == ignore ? 0.f : around.between(s.weights, 1, 0);
    }
}
EXPORT(make_sample)
