// Stage 3 of convolution.cu with the products of a warp (mma), which all tensor cores have.
//
//         BN                 A block's warps stand in WM rows and WN columns, each with its own part
//     +----+----+            of y. Of 128 bytes of a row it takes 32 at a time: ldmatrix reads 16 rows
//     | w0 | w2 |            of A, or 16 of B, and mma multiplies 16 rows of A by 8 of B, all the
//  BM +----+----+            MT x NT pairs of its part before it reads the next 32 bytes.
//     | w1 | w3 |  (WM = WN = 2)
//     +----+----+

template <int BM, int BN, int WM, int WN, int STAGES, int R, int STRIDE>
DEVICE void convolve(const Problem& c) {
    constexpr int STAGE = (BM + BN) * 128, MT = BM / WM / 16, NT = BN / WN / 8;
    static_assert(NT % 2 == 0, "B is read for 16 output channels at once");
    SHARED(shared);
    const int steps = Loader<BM, BN, WM * WN * 32, R, STRIDE>::steps(c);
    const int first = (long long)steps * blockIdx.z / gridDim.z;
    const int count = (long long)steps * (blockIdx.z + 1) / gridDim.z - first;
    Loader<BM, BN, WM * WN * 32, R, STRIDE> loader(c, first);
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < count) loader.load(shared + s * STAGE);
        commit();
    }
    float sums[MT][NT][4] = {};
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, wm = warp % WM, wn = warp / WM;
    const int a_row = wm * (BM / WM) + (lane & 15), a_chunk = lane >> 4;
    const int b_row = wn * (BN / WN) + (lane & 7) + ((lane >> 4) << 3), b_chunk = lane >> 3 & 1;
    int now = 0, next = STAGES - 1;
    for (int step = 0; step < count; step++) {
        wait<STAGES - 2>();
        __syncthreads();  // all copies of this step are seen, and the stage before is free again
        if (step + STAGES - 1 < count) loader.load(shared + next * STAGE);
        commit();
        const unsigned char *a_rows = shared + now * STAGE, *b_rows = a_rows + BM * 128;
#pragma unroll
        for (int part = 0; part < 4; part++) {
            unsigned a[MT][4], b[NT][2];
#pragma unroll
            for (int i = 0; i < MT; i++)
                load_matrices(a[i], a_rows + swizzled(a_row + i * 16, part * 2 + a_chunk));
#pragma unroll
            for (int j = 0; j < NT; j += 2) {
                unsigned d[4];
                load_matrices(d, b_rows + swizzled(b_row + j * 8, part * 2 + b_chunk));
                b[j][0] = d[0], b[j][1] = d[1], b[j + 1][0] = d[2], b[j + 1][1] = d[3];
            }
#pragma unroll
            for (int i = 0; i < MT; i++)
#pragma unroll
                for (int j = 0; j < NT; j++) mma(sums[i][j], a[i], b[j]);
        }
        now = now + 1 == STAGES ? 0 : now + 1;
        next = next + 1 == STAGES ? 0 : next + 1;
    }
    const Output<R, STRIDE> y(c);
    const int m = blockIdx.x * BM + wm * (BM / WM) + (lane >> 2);
    const int k = blockIdx.y * BN + wn * (BN / WN) + (lane & 3) * 2;
#pragma unroll
    for (int i = 0; i < MT * 2; i++)
        store<R, STRIDE, NT>(c, y, m + i * 8, k,
                             [&](int j, int e) { return sums[i / 2][j][i % 2 * 2 + e]; });
}

#define CONVOLVE(name, BM, BN, WM, WN, STAGES, R, STRIDE)                            \
    extern "C" __global__ void __launch_bounds__(WM * WN * 32) name(PROBLEM) {       \
        const Problem c = GIVEN;                                                     \
        convolve<BM, BN, WM, WN, STAGES, R, STRIDE>(c);                              \
    }                                                                                \
    EXPORT(name)
#define CONVOLVE_ALL(BM, BN, WM, WN, STAGES)                        \
    CONVOLVE(conv_##BM##x##BN, BM, BN, WM, WN, STAGES, 3, 1)        \
    CONVOLVE(up_##BM##x##BN, BM, BN, WM, WN, STAGES, 1, 1)          \
    CONVOLVE(up_by_data_##BM##x##BN, BM, BN, WM, WN, STAGES, 2, 2)

CONVOLVE_ALL(128, 128, 2, 4, 3)
CONVOLVE_ALL(128, 64, 2, 2, 3)
CONVOLVE_ALL(64, 64, 2, 2, 4)
