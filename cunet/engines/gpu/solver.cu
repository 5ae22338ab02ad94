// Caffe's stochastic gradient descent (the formulas are in cunet/solvers/sgd.py) over all parameters
// of a net at once. Each parameter is cut into pieces of at most 16384 values; a table holds their
// addresses, and a block takes one piece:
//
//      filters of layer 1   | biases | filters of layer 2                | ...
//      +---------+--------+---------+---------+---------+-------------+
//      | block 0 | block 1| block 2 | block 3 | block 4 | block 5 ...      thread t: 4 values of
//      +---------+--------+---------+---------+---------+-------------+    every 1024
//
//   1 gradient_squares   the sum of squares of each piece's gradient
//   2 clip_factor        one block: the norm, and with it what the gradient is multiplied by
//   3 sgd_update         gradient, velocity, value: read once, written once, the gradient cleared
//
// A gradient that is not finite is not used: the net stays as it was before the step.

struct Piece {
    float *value, *grad, *velocity;
    uint64 count;
    float lr_mult, decay_mult;
};

// state: learning rate, loss scale, good updates since the scale was changed, updates left out
enum { LEARNING_RATE, LOSS_SCALE, GOOD_STEPS, SKIPPED };
constexpr float SKIP = -1;  // in place of a factor: this gradient is not to be used

extern "C" __global__ void __launch_bounds__(256)
gradient_squares(const Piece* __restrict__ table, const float* __restrict__ state,
                 double* __restrict__ squares) {
    const Piece piece = table[blockIdx.x];
    const float times = 1 / state[LOSS_SCALE];
    const int fours = ((uint64)piece.grad & 15) ? 0 : (int)piece.count / 4;
    double sum = 0;
#pragma unroll 4
    for (int i = threadIdx.x; i < fours; i += blockDim.x) {
        const float4 v = ((const float4*)piece.grad)[i];
        const float a = v.x * times, b = v.y * times, c = v.z * times, d = v.w * times;
        sum += (double)((a * a + b * b) + (c * c + d * d));
    }
    for (int i = 4 * fours + threadIdx.x; i < (int)piece.count; i += blockDim.x) {
        const float a = piece.grad[i] * times;
        sum += (double)(a * a);
    }
    const double total = block_sum(sum);
    if (threadIdx.x == 0) squares[blockIdx.x] = total;
}
EXPORT(gradient_squares)

// factor: what the gradient is multiplied by, which undoes the loss scale, clips (clip < 0: does
// not) and averages; SKIP where it is not finite. A loss scale that was too large is halved, one
// that was small enough for `patience` updates doubled.
extern "C" __global__ void __launch_bounds__(256)
clip_factor(const double* __restrict__ squares, int pieces, float* __restrict__ state,
            float* __restrict__ factor, float clip, float iter_size, int scaling, int patience,
            float largest_scale) {
    double mine = 0;
#pragma unroll 4
    for (int i = threadIdx.x; i < pieces; i += blockDim.x) mine += squares[i];
    const double norm = sqrt(block_sum(mine));
    if (threadIdx.x) return;
    const float scale = state[LOSS_SCALE];
    double times = clip >= 0 && norm > clip ? clip / norm : 1.0;
    *factor = (float)(times / iter_size / scale);
    if (!isfinite(norm)) {
        *factor = SKIP;
        state[LOSS_SCALE] = scale > 2 ? scale / 2 : 1.f;
        state[GOOD_STEPS] = 0;
        state[SKIPPED] += 1;
    } else if (scaling && ++state[GOOD_STEPS] >= patience) {
        state[LOSS_SCALE] = 2 * scale < largest_scale ? 2 * scale : largest_scale;
        state[GOOD_STEPS] = 0;
    }
}
EXPORT(clip_factor)

DEVICE void sgd_value(float& value, float& grad, float& velocity, float factor, float decay,
                      float rate, float momentum) {
    velocity = momentum * velocity + rate * (grad * factor + decay * value);
    value -= velocity;
    grad = 0;
}

extern "C" __global__ void __launch_bounds__(256)
sgd_update(const Piece* __restrict__ table, const float* __restrict__ state,
           const float* __restrict__ factor_of_all, float momentum, float weight_decay) {
    constexpr int LOADS_AT_ONCE = 2;  // of each array
    const Piece piece = table[blockIdx.x];
    const int count = (int)piece.count;
    const float factor = *factor_of_all, decay = weight_decay * piece.decay_mult;
    const float rate = state[LEARNING_RATE] * piece.lr_mult;
    if (factor == SKIP) {
        for (int i = threadIdx.x; i < count; i += blockDim.x) piece.grad[i] = 0;
        return;
    }
    const uint64 places = (uint64)piece.value | (uint64)piece.grad | (uint64)piece.velocity;
    const int fours = places & 15 ? 0 : count / 4;
    float4 *value = (float4*)piece.value, *grad = (float4*)piece.grad;
    float4* velocity = (float4*)piece.velocity;
    for (int first = threadIdx.x; first < fours; first += LOADS_AT_ONCE * blockDim.x) {
        float4 w[LOADS_AT_ONCE], g[LOADS_AT_ONCE], v[LOADS_AT_ONCE];
#pragma unroll
        for (int r = 0; r < LOADS_AT_ONCE; r++) {
            const int i = first + r * blockDim.x;
            if (i < fours) w[r] = value[i], g[r] = grad[i], v[r] = velocity[i];
        }
#pragma unroll
        for (int r = 0; r < LOADS_AT_ONCE; r++) {
            const int i = first + r * blockDim.x;
            if (i >= fours) continue;
            sgd_value(w[r].x, g[r].x, v[r].x, factor, decay, rate, momentum);
            sgd_value(w[r].y, g[r].y, v[r].y, factor, decay, rate, momentum);
            sgd_value(w[r].z, g[r].z, v[r].z, factor, decay, rate, momentum);
            sgd_value(w[r].w, g[r].w, v[r].w, factor, decay, rate, momentum);
            value[i] = w[r], grad[i] = g[r], velocity[i] = v[r];
        }
    }
    for (int i = 4 * fours + threadIdx.x; i < count; i += blockDim.x)
        sgd_value(piece.value[i], piece.grad[i], piece.velocity[i], factor, decay, rate, momentum);
}
EXPORT(sgd_update)
