// The end of the U-Net: the 1x1 convolution to K classes and the weighted softmax loss. Both are as
// fast as their image is read; their arithmetic is float32, their sums over the image double.
// K is a number of the launch, CLASSES >= K the number of registers that the kernel has for it.
//
//   head_forward: a pixel to L = 1 ... 32 lanes, each takes 8 channels of every 8 L
//
//        C channels of a pixel            block: 256 / L pixels x PIXELS, PIXELS of them in flight
//      +------+------+- - -+------+       1 product   K sums over a lane's channels
//      |lane 0|lane 1|     |lane L|       2 butterfly adds the lanes; lane k stores logit k
//      +------+------+- - -+------+
//
//   head_backward: a thread has V channels of the pixels  taker, taker + step, ...
//
//      1 read   x and dlogits of a pixel; write dx = (dlogits w^T) where x > 0
//      2 keep   V K sums of x dlogits in registers
//      3 add    all threads of a channel, in order, to the workspace: row C of it is db
//
//   softmax, loss_pixels: a thread to a pixel.   loss_norm, loss_pixels: a sum of each block
//   loss_sum: one block adds these, in order

// ---- 1x1 convolution

template <int CLASSES>
DEVICE void head_product(const element* x, const float* w, const float* b, float* y, int pixels,
                         int channels, int k, int relu) {
    constexpr int PIXELS = CLASSES <= 8 ? 4 : 1;
    SHARED(memory);
    float* filters = (float*)memory;  // (8, CLASSES, groups of 8 channels): lanes side by side
    const int groups = channels / 8;
    for (int i = threadIdx.x; i < channels * CLASSES; i += blockDim.x) {
        const int c = i % groups * 8 + i / groups / CLASSES, one = i / groups % CLASSES;
        filters[i] = one < k ? w[c * k + one] : 0.f;
    }
    __syncthreads();
    int lanes = 1;
    while (2 * lanes <= min(groups, 32)) lanes *= 2;
    const int lane = threadIdx.x % lanes, takers = blockDim.x / lanes;
    const int first = blockIdx.x * PIXELS * takers + threadIdx.x / lanes;
    float sums[PIXELS][CLASSES] = {};
    for (int group = lane; group < groups; group += lanes) {
        Elements<8> v[PIXELS] = {};
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            const int pixel = first + i * takers;
            if (pixel < pixels)
                v[i] = *(const Elements<8>*)(x + (long long)pixel * channels + 8 * group);
        }
#pragma unroll
        for (int j = 0; j < 8; j++)
#pragma unroll
            for (int one = 0; one < CLASSES; one++) {
                const float f = filters[(j * CLASSES + one) * groups + group];
#pragma unroll
                for (int i = 0; i < PIXELS; i++) sums[i][one] += to_float(v[i].a[j]) * f;
            }
    }
    for (int distance = lanes / 2; distance; distance /= 2)
#pragma unroll
        for (int i = 0; i < PIXELS; i++)
#pragma unroll
            for (int one = 0; one < CLASSES; one++)
                sums[i][one] += __shfl_xor_sync(~0u, sums[i][one], distance);
#pragma unroll
    for (int i = 0; i < PIXELS; i++)
#pragma unroll
        for (int one = 0; one < CLASSES; one++) {
            const int pixel = first + i * takers;
            if (one < k && one % lanes == lane && pixel < pixels) {
                const float logit = sums[i][one] + b[one];
                y[(long long)pixel * k + one] = relu && logit < 0 ? 0.f : logit;
            }
        }
}

// ws (gridDim.x, C + 1, K)
template <int CLASSES>
DEVICE void head_gradients(const element* x, const float* dlogits, const float* w, element* dx,
                           float* ws, int pixels, int channels, int k) {
    constexpr int V = CLASSES <= 4 ? 8 : CLASSES <= 8 ? 4 : 2;  // V CLASSES sums, as many filters
    constexpr int PIXELS = CLASSES <= 4 ? 4 : CLASSES <= 8 ? 2 : 1;
    __shared__ float part[2][256 * V + 256];
    const int groups = min(32, channels / V - 32 * (int)blockIdx.y), takers = blockDim.x / groups;
    const int group = threadIdx.x % groups, taker = threadIdx.x / groups, wide = groups * V;
    const int c0 = 32 * V * blockIdx.y, c = c0 + V * group, step = takers * gridDim.x;
    float filters[V][CLASSES], sums[V][CLASSES] = {}, bias[CLASSES] = {};
#pragma unroll
    for (int j = 0; j < V; j++)
#pragma unroll
        for (int one = 0; one < CLASSES; one++)
            filters[j][one] = one < k ? w[(c + j) * k + one] : 0.f;
    int first = taker < takers ? blockIdx.x * takers + taker : pixels;
    for (; first < pixels; first += PIXELS * step) {
        Elements<V> v[PIXELS] = {};
        float d[PIXELS][CLASSES];
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            const int pixel = first + i * step;
            const bool inside = pixel < pixels;
            if (inside) v[i] = *(const Elements<V>*)(x + (long long)pixel * channels + c);
#pragma unroll
            for (int one = 0; one < CLASSES; one++)
                d[i][one] = inside && one < k ? dlogits[(long long)pixel * k + one] : 0.f;
        }
#pragma unroll
        for (int i = 0; i < PIXELS; i++) {
            Elements<V> out;
#pragma unroll
            for (int j = 0; j < V; j++) {
                const float value = to_float(v[i].a[j]);
                float gradient = 0;
#pragma unroll
                for (int one = 0; one < CLASSES; one++) {
                    gradient += d[i][one] * filters[j][one];
                    sums[j][one] += value * d[i][one];
                }
                out.a[j] = value > 0 ? to_element(gradient) : element(0);
            }
#pragma unroll
            for (int one = 0; one < CLASSES; one++) bias[one] += d[i][one];
            if (dx && first + i * step < pixels)
                *(Elements<V>*)(dx + (long long)(first + i * step) * channels + c) = out;
        }
    }
#pragma unroll
    for (int one = 0; one < CLASSES; one++) {  // two buffers: one barrier for each class
        float* row = part[one & 1] + taker * (wide + 1);
        if (taker < takers) {
            for (int j = 0; j < V; j++) row[V * group + j] = sums[j][one];
            if (group == 0) row[wide] = bias[one];
        }
        __syncthreads();
        for (int i = threadIdx.x; i <= wide && one < k; i += blockDim.x) {
            float total = 0;
            for (int j = 0; j < takers; j++) total += part[one & 1][j * (wide + 1) + i];
            const int channel = i < wide ? c0 + i : channels;
            if (i < wide || blockIdx.y == 0)
                ws[((long long)blockIdx.x * (channels + 1) + channel) * k + one] = total;
        }
    }
}

#define HEAD(CLASSES)                                                                             \
    extern "C" __global__ void __launch_bounds__(256) head_forward_##CLASSES(                     \
        const element* __restrict__ x, const float* __restrict__ w, const float* __restrict__ b,  \
        float* __restrict__ y, int pixels, int channels, int k, int relu) {                       \
        head_product<CLASSES>(x, w, b, y, pixels, channels, k, relu);                             \
    }                                                                                             \
    EXPORT(head_forward_##CLASSES)                                                                \
    extern "C" __global__ void __launch_bounds__(256, 1) head_backward_##CLASSES(                 \
        const element* __restrict__ x, const float* __restrict__ dlogits,                         \
        const float* __restrict__ w, element* __restrict__ dx, float* __restrict__ ws,            \
        int pixels, int channels, int k) {                                                        \
        head_gradients<CLASSES>(x, dlogits, w, dx, ws, pixels, channels, k);                      \
    }                                                                                             \
    EXPORT(head_backward_##CLASSES)
HEAD(2)
HEAD(4)
HEAD(8)
HEAD(16)
HEAD(32)

// ---- softmax and its loss; the formulas stand in ops/softmax_loss.py

// The sum of a number of each of 256 threads, for all of them: halves are added, always the same.
DEVICE double block_sum(double value) {
    __shared__ double part[256];
    part[threadIdx.x] = value;
    __syncthreads();
    for (int half = 128; half; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    const double total = part[0];
    __syncthreads();  // before the next call writes there
    return total;
}

// The maximum of K numbers, and the sum of exp(a - maximum).
DEVICE float2 softmax_scale(const float* a, int k) {
    float most = a[0], sum = 0;
    for (int i = 1; i < k; i++) most = fmaxf(most, a[i]);
    for (int i = 0; i < k; i++) sum += expf(a[i] - most);
    return make_float2(most, sum);
}

extern "C" __global__ void __launch_bounds__(256)
softmax(const float* __restrict__ logits, float* __restrict__ p, int pixels, int k) {
    const int pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= pixels) return;
    const float* a = logits + (long long)pixel * k;
    const float2 scale = softmax_scale(a, k);
    for (int i = 0; i < k; i++) p[(long long)pixel * k + i] = expf(a[i] - scale.x) / scale.y;
}
EXPORT(softmax)

// norms[block]: the weights (or the number, without weights) of the pixels that count
extern "C" __global__ void __launch_bounds__(256)
loss_norm(const int* __restrict__ labels, const float* __restrict__ weights,
          double* __restrict__ norms, int pixels, int has_ignore, int ignore) {
    double sum = 0;
#pragma unroll 4
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < pixels; i += gridDim.x * blockDim.x)
        if (!(has_ignore && labels[i] == ignore)) sum += weights ? weights[i] : 1.f;
    const double total = block_sum(sum);
    if (threadIdx.x == 0) norms[blockIdx.x] = total;
}
EXPORT(loss_norm)

// losses[block], and dlogits = w (p - [k = l]) / norm * scale. norms: what loss_norm wrote, or null
// for a norm of 1; a label that names no class makes the loss NaN and has no gradient.
extern "C" __global__ void __launch_bounds__(256)
loss_pixels(const float* __restrict__ logits, const int* __restrict__ labels,
            const float* __restrict__ weights, const double* __restrict__ norms, int norm_count,
            const float* __restrict__ loss_scale, double* __restrict__ losses,
            float* __restrict__ dlogits, int pixels, int k, int has_ignore, int ignore) {
    double mine = 0, sum = 0;
    for (int i = threadIdx.x; norms && i < norm_count; i += blockDim.x) mine += norms[i];
    const float norm = norms ? (float)block_sum(mine) : 1.f;
    const float times = loss_scale ? *loss_scale : 1.f;
    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < pixels; i += gridDim.x * blockDim.x) {
        const float* a = logits + (long long)i * k;
        float* d = dlogits + (long long)i * k;
        const int label = labels[i];
        const bool counted = !(has_ignore && label == ignore), named = 0 <= label && label < k;
        const float scale = counted && norm != 0 ? (weights ? weights[i] : 1.f) / norm : 0.f;
        const float2 of = softmax_scale(a, k);
        const float rest = logf(of.y);
        if (counted && !named) sum += __uint_as_float(0x7fc00000u);  // NaN
        else if (scale != 0) sum -= (double)((a[label] - of.x - rest) * scale);
        for (int j = 0; j < k; j++) {
            const float p = expf(a[j] - of.x - rest) - (j == label ? 1.f : 0.f);
            d[j] = named && scale != 0 ? p * scale * times : 0.f;
        }
    }
    const double total = block_sum(sum);
    if (threadIdx.x == 0) losses[blockIdx.x] = total;
}
EXPORT(loss_pixels)

extern "C" __global__ void __launch_bounds__(256)
loss_sum(const double* __restrict__ losses, double* __restrict__ loss, int count) {
    double mine = 0;
#pragma unroll 4
    for (int i = threadIdx.x; i < count; i += blockDim.x) mine += losses[i];
    const double total = block_sum(mine);
    if (threadIdx.x == 0) *loss = total;
}
EXPORT(loss_sum)
