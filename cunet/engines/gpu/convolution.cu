// Convolution as one product of matrices on tensor cores, without ever writing down the matrix of
// pixels ("implicit GEMM"). For every output pixel m = (n, p, q) and output channel k
//
//     y[m, k] = sum over taps (r, s) and channels c of
//               x[n, p * STRIDE + r - pad, q * STRIDE + s - pad, c] * w[k, (r, s), c]
//
// which is A B^T with A = (pixels, taps * channels) and B = (output channels, taps * channels):
//
//                 taps * channels                  A block makes BM x BN numbers of y. It walks along
//               +---------------+                  taps * channels in steps of 128 bytes of one tap:
//            B  |   |###|       | BN               1 copy    the step's rows of A and B to shared
//               +---------------+                            memory, STAGES - 1 steps ahead
//                     |                            2 wait    until this step's copies are there
//      +---------------+   +------+                3 multiply  (warp.cu)
//    A |   |###|       | = |  y   | BM             4 finish  bias, ReLU or its mask, round, store
//      +---------------+   +------+
//
// Hopper's copy engine does the same by boxes (boxes.cu).
//
// A row of A in shared memory is 128 bytes: 8 chunks of 16, chunk i at place i ^ (row & 7), so that
// the 8 rows that ldmatrix reads at once lie in different banks. Pixels outside of x are zeros.
//
// The same sum is
//   forward            R = 3, pad = 0, B = w with its channels last
//   gradient by data   R = 3, pad = 2, x is dy, taps in reverse, B = w as it is; where the output is
//                      masked by the layer's input, the gradient has also passed the ReLU before it
//   up-convolution     R = 1, output channels are (a, b, k); stored where (a, b) says
//   ... by data        R = 2, STRIDE = 2, x is dy
// Two images x1, x2 with a common size stand for their channels side by side: the concatenation of
// the paper's Fig. 1 is never written, and by data each of the two gets its own result.

enum { BIAS = 1, RELU = 2, UP = 4, REVERSE = 8 };

struct Problem {
    const unsigned char *x1, *x2, *w;  // x2: null, or more channels
    const float* bias;
    const unsigned char* mask;  // null, or an image beside the last output
    unsigned char *y1, *y2;     // y2: null, or where the output channels from K1 on go
    float* partial;             // sums of each part of the taps and channels, where grid z > 1
    int N, H, W;                // the images x
    int C1, row1, image1;       // channels; how many pixels lie between rows and between images
    int C2, row2, image2;
    int K1, K2;
    int w_row, w_tap;  // elements between output channels and between taps of w
    int mask_row, mask_image;
    int pad, flags;
};
#define PROBLEM                                                                                   \
    const unsigned char *x1, const unsigned char *x2, const unsigned char *w, const float *bias,  \
        const unsigned char *mask, unsigned char *y1, unsigned char *y2, float *partial, int N,   \
        int H, int W, int C1, int row1, int image1, int C2, int row2, int image2, int K1, int K2, \
        int w_row, int w_tap, int mask_row, int mask_image, int pad, int flags
#define GIVEN                                                                                     \
    {x1, x2, w, bias, mask, y1, y2, partial, N, H, W, C1, row1, image1, C2, row2, image2, K1, K2, \
     w_row, w_tap, mask_row, mask_image, pad, flags}

// Where row `row` of a stage keeps its chunk of 16 bytes.
DEVICE int swizzled(int row, int chunk) { return row * 128 + ((chunk ^ (row & 7)) << 4); }

// The output's size and this block's part of it.
template <int R, int STRIDE>
struct Output {
    int P, Q, M, K;
    DEVICE Output(const Problem& c)
        : P((c.H + 2 * c.pad - R) / STRIDE + 1),
          Q((c.W + 2 * c.pad - R) / STRIDE + 1),
          M(c.N * P * Q),
          K(c.K1 + c.K2) {}
};

// Stage 1: of every step, thread i copies chunk i % 8 of rows i / 8, i / 8 + THREADS / 8, ...
template <int BM, int BN, int THREADS, int R, int STRIDE>
struct Loader {
    static constexpr int STEP = THREADS / 8, A = BM / STEP, B = BN / STEP;
    static_assert(BM % STEP == 0 && BN % STEP == 0, "every thread copies whole rows");
    const Problem& c;
    const int chunk, row0, chunks1, chunks2, blocks1, blocks;
    int place1[A], place2[A];  // chunk of x1 and x2 at tap (0, 0)
    unsigned inside[A];        // bit t: tap t of this row lies within the image
    int place_w, w_step, w_tap;  // chunk of w at tap 0; chunks from row to row, from tap to tap
    unsigned inside_w;           // bit i: row i of B exists
    int tap, block;            // of the next step

    DEVICE Loader(const Problem& c, int first_step)
        : c(c),
          chunk(threadIdx.x & 7),
          row0(threadIdx.x >> 3),
          chunks1(c.C1 / CHUNK),
          chunks2(c.C2 / CHUNK),
          blocks1((chunks1 + 7) / 8),
          blocks(blocks1 + (chunks2 + 7) / 8),
          place_w((blockIdx.y * BN + row0) * (c.w_row / CHUNK) + chunk),
          w_step(STEP * (c.w_row / CHUNK)),
          w_tap(c.w_tap / CHUNK),
          inside_w(0),
          tap(first_step / blocks),
          block(first_step % blocks) {
        const Output<R, STRIDE> y(c);
#pragma unroll
        for (int i = 0; i < B; i++)
            inside_w |= (unsigned)(blockIdx.y * BN + row0 + i * STEP < y.K) << i;
#pragma unroll
        for (int i = 0; i < A; i++) {
            const int m = blockIdx.x * BM + row0 + i * STEP;
            const int q = m % y.Q, p = m / y.Q % y.P, n = m / y.Q / y.P;
            const int h = p * STRIDE - c.pad, v = q * STRIDE - c.pad;
            place1[i] = (n * c.image1 + h * c.row1 + v) * chunks1 + chunk;
            place2[i] = (n * c.image2 + h * c.row2 + v) * chunks2 + chunk;
            inside[i] = 0;
#pragma unroll
            for (int t = 0; t < R * R; t++) {
                const bool rows = h + t / R >= 0 && h + t / R < c.H;
                const bool columns = v + t % R >= 0 && v + t % R < c.W;
                inside[i] |= (unsigned)(m < y.M && rows && columns) << t;
            }
        }
    }

    static DEVICE int steps(const Problem& c) {
        return R * R * ((c.C1 / CHUNK + 7) / 8 + (c.C2 / CHUNK + 7) / 8);
    }

    // The next step's rows of A, then of B. Where a row is not there its address is not read.
    DEVICE void load(unsigned char* stage) {
        const bool second = block >= blocks1;
        const int first = (second ? block - blocks1 : block) * 8;  // chunk of the image's channels
        const int chunks = second ? chunks2 : chunks1, pitch = second ? c.row2 : c.row1;
        const unsigned exists = first + chunk < chunks;
        const int shift = (tap / R * pitch + tap % R) * chunks + first;
        const unsigned char* x = (second ? c.x2 : c.x1) + 16LL * shift;
        unsigned char* to = stage + swizzled(row0, chunk);  // 8 divides STEP: rows swizzled alike
#pragma unroll
        for (int i = 0; i < A; i++)
            copy_async(to + i * STEP * 128, x + 16LL * (second ? place2[i] : place1[i]),
                       inside[i] & exists << tap);
        const int t = c.flags & REVERSE ? R * R - 1 - tap : tap;
        const int across = (second ? chunks1 : 0) + first;
        const unsigned char* w = c.w + 16LL * (place_w + t * w_tap + across);
#pragma unroll
        for (int i = 0; i < B; i++)
            copy_async(to + (BM + i * STEP) * 128, w + 16LL * (i * w_step), exists << i & inside_w);
        if (++block == blocks) block = 0, ++tap;
    }
};

// An output pixel m = (n, p, q).
struct Pixel {
    int m, n, p, q, P, Q;
    DEVICE Pixel(int m, int P, int Q) : m(m), n(m / Q / P), p(m / Q % P), q(m % Q), P(P), Q(Q) {}
};

// Stage 4 for the output channels k and k + 1 of a pixel. Only kernels of one tap make corners.
template <int R>
DEVICE void finish(const Problem& c, const Pixel& at, int k, float a, float b) {
    const bool second = k >= c.K1;
    unsigned char* y = second ? c.y2 : c.y1;
    int channels = second ? c.K2 : c.K1, j = second ? k - c.K1 : k;
    long long pixel = at.m;
    if (R == 1 && c.flags & UP) {
        channels /= 4;
        const int corner = j / channels;
        pixel = (at.n * 2LL * at.P + 2 * at.p + corner / 2) * 2 * at.Q + 2 * at.q + corner % 2;
        j %= channels;
    }
    if (c.flags & BIAS) a += c.bias[j], b += c.bias[j + 1];
    if (c.flags & RELU) a = a <= 0.f ? 0.f : a, b = b <= 0.f ? 0.f : b;  // a NaN stays a NaN
    if (c.mask && (second || !c.K2)) {
        const long long there = (long long)at.n * c.mask_image + at.p * c.mask_row + at.q;
        const Pair z = *(const Pair*)(c.mask + (there * channels + j) * BYTES);
        a = to_float(z.a) > 0.f ? a : 0.f, b = to_float(z.b) > 0.f ? b : 0.f;
    }
    *(Pair*)(y + (pixel * channels + j) * BYTES) = {to_element(a), to_element(b)};
}

// A row of sums, two of every 8 output channels from k on: either finish, or keep the sums of this
// part (blockIdx.z) of the taps and channels.
template <int R, int STRIDE, int COUNT, class Sums>
DEVICE void store(const Problem& c, const Output<R, STRIDE>& y, int m, int k, Sums sums) {
    if (m >= y.M) return;
    if (gridDim.z > 1) {
        float* to = c.partial + ((long long)blockIdx.z * y.M + m) * y.K + k;
#pragma unroll
        for (int j = 0; j < COUNT; j++)
            if (k + j * 8 < y.K) *(float2*)(to + j * 8) = make_float2(sums(j, 0), sums(j, 1));
    } else {
        const Pixel at(m, y.P, y.Q);
#pragma unroll
        for (int j = 0; j < COUNT; j++)
            if (k + j * 8 < y.K) finish<R>(c, at, k + j * 8, sums(j, 0), sums(j, 1));
    }
}

// The sums of `parts` parts in order, then stage 4; one thread for two output channels of a pixel.
extern "C" __global__ void __launch_bounds__(256) convolve_finish(PROBLEM, int P, int Q, int parts) {
    const Problem c = GIVEN;
    const int K = K1 + K2;
    const long long size = (long long)N * P * Q * K;
    const long long at = 2 * ((long long)blockIdx.x * 256 + threadIdx.x);
    if (at >= size) return;
    float a = 0.f, b = 0.f;
    for (int i = 0; i < parts; i++) {
        const float2 v = *(const float2*)(partial + i * size + at);
        a += v.x, b += v.y;
    }
    finish<1>(c, Pixel((int)(at / K), P, Q), (int)(at % K), a, b);
}
EXPORT(convolve_finish)
