// The convolution of convolution.cu with the products of a warpgroup (wgmma), which only cards of
// compute capability 9.0 have. Stages 1, 2 and 4 are the same; in stage 3
//
//     a warpgroup = 4 warps     multiplies 64 rows of A by all BN rows of B, straight from shared
//     warpgroup 0: rows  0-63   memory, while the threads go on to copy. BM / 64 warpgroups make a
//     warpgroup 1: rows 64-127  block. Warp w of a warpgroup gets rows 16 w ... 16 w + 15 of the sums,
//     ...                       in each the lanes hold of 16 x 8 numbers what mma gives them.
//
// The products of one step run while those of the step before are waited for, so a stage is free
// for the next copy only two steps later: STAGES - 2 steps are copied ahead.
// Rows of 128 bytes whose chunks are exchanged by i ^ (row & 7) are what wgmma calls K-major with the
// 128-byte swizzle; it takes the row from the address, so stages begin at multiples of 1024 bytes.

template <int BM, int BN, int STAGES, int R, int STRIDE>
DEVICE void convolve_warpgroups(const Problem& c) {
    constexpr int STAGE = (BM + BN) * 128;
    SHARED(shared);
    const int steps = Loader<BM, BN, BM * 2, R, STRIDE>::steps(c);
    const int first = (long long)steps * blockIdx.z / gridDim.z;
    const int count = (long long)steps * (blockIdx.z + 1) / gridDim.z - first;
    Loader<BM, BN, BM * 2, R, STRIDE> loader(c, first);
#pragma unroll
    for (int s = 0; s < STAGES - 2; s++) {
        if (s < count) loader.load(shared + s * STAGE);
        commit();
    }
    float sums[BN / 2] = {};
    const int group = threadIdx.x >> 7;
    int now = 0, next = STAGES - 2;
    int step = 0;
    do {  // a loop that might not run at all makes the compiler wait for every product
        wait<STAGES - 3>();
        fence_proxy();
        __syncthreads();
        const Operand a = operand(shared + now * STAGE + group * 64 * 128);
        const Operand b = operand(shared + now * STAGE + BM * 128);
        warpgroup_fence();
#pragma unroll
        for (int part = 0; part < 4; part++)
            warpgroup_mma<BN>(sums, advance(a, part * 32), advance(b, part * 32));
        warpgroup_commit();
        warpgroup_wait<1>();  // the step before is done in this warpgroup, and by the barrier of
                              // the step before, two steps ago is done in all of them
        if (step + STAGES - 2 < count) loader.load(shared + next * STAGE);
        commit();
        now = now + 1 == STAGES ? 0 : now + 1;
        next = next + 1 == STAGES ? 0 : next + 1;
    } while (++step < count);
    warpgroup_wait<0>();
    const Output<R, STRIDE> y(c);
    const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5 & 3;
    const int m = blockIdx.x * BM + group * 64 + warp * 16 + (lane >> 2);
    const int k = blockIdx.y * BN + (lane & 3) * 2;
#pragma unroll
    for (int h = 0; h < 2; h++)
        store<R, STRIDE, BN / 8>(c, y, m + h * 8, k,
                                 [&](int j, int e) { return sums[j * 4 + h * 2 + e]; });
}

#define CONVOLVE_WARPGROUPS(name, BM, BN, STAGES, R, STRIDE)             \
    extern "C" __global__ void __launch_bounds__(BM * 2) name(PROBLEM) { \
        const Problem c = GIVEN;                                         \
        convolve_warpgroups<BM, BN, STAGES, R, STRIDE>(c);               \
    }                                                                    \
    EXPORT(name)
#define CONVOLVE_WARPGROUPS_ALL(BM, BN, STAGES)                             \
    CONVOLVE_WARPGROUPS(wg_conv_##BM##x##BN, BM, BN, STAGES, 3, 1)          \
    CONVOLVE_WARPGROUPS(wg_up_##BM##x##BN, BM, BN, STAGES, 1, 1)            \
    CONVOLVE_WARPGROUPS(wg_up_by_data_##BM##x##BN, BM, BN, STAGES, 2, 2)

CONVOLVE_WARPGROUPS_ALL(128, 128, 4)
CONVOLVE_WARPGROUPS_ALL(256, 64, 4)
CONVOLVE_WARPGROUPS_ALL(128, 64, 4)
