// Copies of whole boxes by Hopper's copy engine (TMA), and the barriers in shared memory by which
// threads wait for them; see "Tensors" and "mbarrier" in NVIDIA's PTX manual. A thread asks for a box,
// the engine computes all addresses, and what arrives lies as warpgroup_mma wants it.

// What an array in memory looks like and which box is copied: made on the host (tensor_map.py), passed
// by value.
struct __align__(64) TensorMap { uint64 words[16]; };

// A gate opens when `count` threads have arrived and all bytes are there that were announced; then
// its next round begins. Rounds have parities 0, 1, 0, ...
typedef uint64 Gate;
DEVICE void gate_open(Gate* g, int count) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(g)), "r"(count)
                 : "memory");
}
DEVICE void gates_ready() {  // after gate_open, before any copy
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
DEVICE void gate_arrive(Gate* g) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(g)) : "memory");
}
DEVICE void gate_expect(Gate* g, int bytes) {  // arrives, and announces bytes that copies will bring
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(g)),
                 "r"(bytes)
                 : "memory");
}
DEVICE bool gate_passed(Gate* g, unsigned parity) {
    unsigned passed;
    asm volatile(
        "{.reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.u32 %0, 1, 0, p;}"
        : "=r"(passed)
        : "r"(shared_address(g)), "r"(parity)
        : "memory");
    return passed;
}
// Waits until the round of this parity is over. A wait that would never end would hang the GPU for
// every program on it, so after some seconds it ends the kernel with an error.
DEVICE void gate_wait(Gate* g, unsigned parity) {
    for (unsigned tries = 0; !gate_passed(g, parity); tries++)
        if (tries > 20000000) asm volatile("trap;");
}

// The box whose first element is at these coordinates, the innermost first, to shared memory. What
// lies outside of the array arrives as zeros. The gate hears of its bytes.
DEVICE void copy_box(void* to, const TensorMap& map, Gate* g, int c, int w, int h, int n) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(g)), "r"(c), "r"(w), "r"(h), "r"(n)
        : "memory");
}
DEVICE void copy_box(void* to, const TensorMap& map, Gate* g, int c, int b, int w, int a, int h) {
    asm volatile(
        "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%3, %4, %5, %6, %7}], [%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(g)), "r"(c), "r"(b), "r"(w), "r"(a), "r"(h)
        : "memory");
}
// hints: this box will be read soon, by ordinary loads; this map will be used soon
DEVICE void prefetch_box(const TensorMap& map, int c, int w, int h, int n) {
    asm volatile("cp.async.bulk.prefetch.tensor.4d.L2.global.tile [%0, {%1, %2, %3, %4}];" ::"l"(&map),
                 "r"(c), "r"(w), "r"(h), "r"(n)
                 : "memory");
}
DEVICE void prefetch_map(const TensorMap& map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

// `threads` of a block meet, under a number from 1 to 15
DEVICE void meet(int number, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
// a number that is the same in all lanes of a warp, as the compiler then knows
DEVICE int same_in_warp(int a) { return __shfl_sync(~0u, a, 0); }

DEVICE float larger(float a, float b) {  // a NaN stays a NaN
    float c;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
    return c;
}

#if KIND != 0
// Four 8x8 matrices, of which each lane has a word as after load_matrices, transposed on the way to
// the rows that the lanes name
DEVICE void store_matrices_transposed(void* row, const unsigned (&d)[4]) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared.b16 [%0], {%1,%2,%3,%4};" ::"r"(
                     shared_address(row)),
                 "r"(d[0]), "r"(d[1]), "r"(d[2]), "r"(d[3])
                 : "memory");
}
#if KIND == 1
#define TWO "cvt.rn.bf16x2.f32"
#else
#define TWO "cvt.rn.f16x2.f32"
#endif
DEVICE unsigned two_elements(float low, float high) {  // rounded, as one word
    unsigned c;
    asm(TWO " %0, %1, %2;" : "=r"(c) : "f"(high), "f"(low));
    return c;
}
#endif
