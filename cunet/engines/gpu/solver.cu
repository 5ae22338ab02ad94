// The solvers (their formulas are in cunet/solvers) over all parameters of a net at once. Each
// parameter is cut into pieces of at most 16384 values; a table holds their addresses, and a block
// takes one piece:
//
//      filters of layer 1   | biases | filters of layer 2                | ...
//      +---------+--------+---------+---------+---------+-------------+
//      | block 0 | block 1| block 2 | block 3 | block 4 | block 5 ...      thread t: 4 values of
//      +---------+--------+---------+---------+---------+-------------+    every 1024
//
//   1 gradient_squares   the sum of squares of each piece's gradient
//   2 clip_factor        one block: the norm, and with it what the gradient is multiplied by
//   3 sgd_update         gradient, value and what the solver keeps: read once, written once. The
//     or adam_update     gradient is written only where it is to be cleared
//
// A gradient that is not finite is not used: the net stays as it was before the step.

struct Piece {
    float *value, *grad;
    float* kept[2];  // SGD: velocity, null; Adam: m, v
    uint64 count;
    float lr_mult, decay_mult;
};

// state: learning rate (of Adam times its correction), loss scale, good updates since
// the scale was changed, updates left out
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

// What an update does to one value. grad: as the solver's formulas have it, decay included.
struct Sgd {
    static constexpr int KEPT = 1;  // arrays of the solver
    float rate, momentum;
    DEVICE void operator()(float& value, float grad, float (&kept)[KEPT]) const {
        kept[0] = momentum * kept[0] + rate * grad;
        value -= kept[0];
    }
};
struct Adam {
    static constexpr int KEPT = 2;
    float rate, b1, rest1, b2, rest2, delta;  // rest: 1 - b
    DEVICE void operator()(float& value, float grad, float (&kept)[KEPT]) const {
        kept[0] = b1 * kept[0] + rest1 * grad;
        kept[1] = b2 * kept[1] + rest2 * grad * grad;
        value -= rate * kept[0] / (sqrtf(kept[1]) + delta);
    }
};

template <class Rule>
DEVICE void update_piece(const Piece& piece, const Rule& rule, float factor, float weight_decay,
                         bool clear) {
    constexpr int LOADS_AT_ONCE = 2, KEPT = Rule::KEPT;  // loads of each array
    struct __align__(16) Four { float a[4]; };
    const int count = (int)piece.count;
    const float decay = weight_decay * piece.decay_mult;
    if (factor == SKIP) {
        for (int i = threadIdx.x; clear && i < count; i += blockDim.x) piece.grad[i] = 0;
        return;
    }
    uint64 places = (uint64)piece.value | (uint64)piece.grad;
    for (int k = 0; k < KEPT; k++) places |= (uint64)piece.kept[k];
    const int fours = places & 15 ? 0 : count / 4;
    for (int first = threadIdx.x; first < fours; first += LOADS_AT_ONCE * blockDim.x) {
        Four w[LOADS_AT_ONCE], g[LOADS_AT_ONCE], s[LOADS_AT_ONCE][KEPT];
#pragma unroll
        for (int r = 0; r < LOADS_AT_ONCE; r++) {
            const int i = first + r * blockDim.x;
            if (i >= fours) continue;
            w[r] = ((const Four*)piece.value)[i], g[r] = ((const Four*)piece.grad)[i];
#pragma unroll
            for (int k = 0; k < KEPT; k++) s[r][k] = ((const Four*)piece.kept[k])[i];
        }
#pragma unroll
        for (int r = 0; r < LOADS_AT_ONCE; r++) {
            const int i = first + r * blockDim.x;
            if (i >= fours) continue;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float kept[KEPT];
                for (int k = 0; k < KEPT; k++) kept[k] = s[r][k].a[j];
                rule(w[r].a[j], g[r].a[j] * factor + decay * w[r].a[j], kept);
                for (int k = 0; k < KEPT; k++) s[r][k].a[j] = kept[k];
            }
            ((Four*)piece.value)[i] = w[r];
#pragma unroll
            for (int k = 0; k < KEPT; k++) ((Four*)piece.kept[k])[i] = s[r][k];
            if (clear) ((Four*)piece.grad)[i] = {};
        }
    }
    for (int i = 4 * fours + threadIdx.x; i < count; i += blockDim.x) {
        float kept[KEPT];
        for (int k = 0; k < KEPT; k++) kept[k] = piece.kept[k][i];
        rule(piece.value[i], piece.grad[i] * factor + decay * piece.value[i], kept);
        for (int k = 0; k < KEPT; k++) piece.kept[k][i] = kept[k];
        if (clear) piece.grad[i] = 0;
    }
}

extern "C" __global__ void __launch_bounds__(256)
sgd_update(const Piece* __restrict__ table, const float* __restrict__ state,
           const float* __restrict__ factor, float weight_decay, int clear, float momentum) {
    const Piece piece = table[blockIdx.x];
    const Sgd rule = {state[LEARNING_RATE] * piece.lr_mult, momentum};
    update_piece(piece, rule, *factor, weight_decay, clear);
}
EXPORT(sgd_update)

extern "C" __global__ void __launch_bounds__(256)
adam_update(const Piece* __restrict__ table, const float* __restrict__ state,
            const float* __restrict__ factor, float weight_decay, int clear, float b1, float rest1,
            float b2, float rest2, float delta) {
    const Piece piece = table[blockIdx.x];
    const Adam rule = {state[LEARNING_RATE] * piece.lr_mult, b1, rest1, b2, rest2, delta};
    update_piece(piece, rule, *factor, weight_decay, clear);
}
EXPORT(adam_update)
