// All filters of a net, rounded and packed for the tensor cores, each number read once:
//
//      w (taps, C, K) float32               straight (taps, C, K)      transposed (taps, K, C)
//      +-----------+-----------+- -
//      |  block 0  |  block 1  |            as w                       each tap's matrix turned,
//   32 |           |           |                                       through shared memory
//      +-----------+-----------+- -
//      |  128 k    |           |            A block takes 32 channels c by 128 outputs k of a tap.
//
// A table holds what each block takes. The transposed copies of all filters lie in one array, the
// straight ones where each row of the table says.

struct Patch {
    const float* w;     // a tap's matrix
    element* straight;  // its straight copy, or null
    uint64 place;       // of its transposed copy
    int channels, k, c0, k0;
};

// transposed may be null. A column more than the tile needs keeps its columns in different banks.
extern "C" __global__ void __launch_bounds__(256)
pack_filters(const Patch* __restrict__ table, element* __restrict__ transposed) {
    constexpr int ROWS = 32, COLUMNS = 128, DOWN = 8;  // as in packing.py; rows at once
    __shared__ float tile[ROWS][COLUMNS + 1];
    const Patch patch = table[blockIdx.x];
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    float v[ROWS / DOWN][COLUMNS / 32];
#pragma unroll
    for (int i = 0; i < ROWS / DOWN; i++)
#pragma unroll
        for (int j = 0; j < COLUMNS / 32; j++) {
            const int c = patch.c0 + warp + DOWN * i, k = patch.k0 + lane + 32 * j;
            const bool inside = c < patch.channels && k < patch.k;
            v[i][j] = inside ? patch.w[(long long)c * patch.k + k] : 0.f;
        }
#pragma unroll
    for (int i = 0; i < ROWS / DOWN; i++)
#pragma unroll
        for (int j = 0; j < COLUMNS / 32; j++) {
            const int c = patch.c0 + warp + DOWN * i, k = patch.k0 + lane + 32 * j;
            if (patch.straight && c < patch.channels && k < patch.k)
                patch.straight[(long long)c * patch.k + k] = to_element(v[i][j]);
            tile[warp + DOWN * i][lane + 32 * j] = v[i][j];
        }
    if (!transposed) return;  // all threads, or none
    __syncthreads();
    const int c = patch.c0 + lane;
#pragma unroll 4
    for (int row = warp; row < COLUMNS; row += DOWN) {
        const int k = patch.k0 + row;
        if (c < patch.channels && k < patch.k)
            transposed[patch.place + (long long)k * patch.channels + c] = to_element(tile[lane][row]);
    }
}
EXPORT(pack_filters)
