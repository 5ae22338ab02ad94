// What every kernel is written in: the type of an activation, and names for the few instructions of
// a GPU that C++ has no word for. Needs no header; compiled once for each precision.
//
//   KIND   precision   activations are stored as             products of
//   0      tf32        float, rounded to 10 bits of mantissa TF32
//   1      bfloat16    16 bits                               bfloat16
//   2      float16     16 bits                               float16
//
// Sums are float32 throughout. The three kinds share every byte of addressing: a step of the tensor
// cores takes 32 bytes of each row, be they 8 numbers of TF32 or 16 of half the width.

#if KIND == 0
typedef float element;
#else
typedef unsigned short element;
#endif
typedef unsigned long long uint64;
constexpr int BYTES = sizeof(element), CHUNK = 16 / BYTES;  // a chunk: the 16 bytes copied at once

#define EXPORT(name)  // where kernels are tried without a GPU, this makes a kernel callable
#define DEVICE __device__ __forceinline__
// the shared memory of a block, as large as the launch says; aligned for the swizzle of wgmma
#define SHARED(name)                                             \
    extern __shared__ __align__(1024) unsigned char name##_raw[]; \
    unsigned char* name = name##_raw + ((1024 - (shared_address(name##_raw) & 1023)) & 1023)

DEVICE unsigned shared_address(const void* p) { return (unsigned)__cvta_generic_to_shared(p); }

// ---- numbers: to nearest, and back

#if KIND == 0
DEVICE float to_float(element a) { return a; }
DEVICE element to_element(float a) {
    unsigned u;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(u) : "f"(a));
    return __uint_as_float(u);
}
#elif KIND == 1
DEVICE float to_float(element a) { return __uint_as_float((unsigned)a << 16); }
DEVICE element to_element(float a) {
    element h;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(a));
    return h;
}
#else
DEVICE float to_float(element a) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(a));
    return f;
}
DEVICE element to_element(float a) {
    element h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(a));
    return h;
}
#endif

// two neighbours at an even place, or the 16 bytes of a chunk
struct __align__(2 * BYTES) Pair { element a, b; };
struct __align__(16) Chunk { element a[CHUNK]; };

// ---- tensor cores: D = A B + D for A (16, 32 bytes), B (32 bytes, 8), D (16, 8) float32, spread
// over a warp. With g = lane / 4 and t = lane % 4 a lane holds of D rows g and g + 8, columns 2t and
// 2t + 1; of A rows g and g + 8 and of B column g it holds the words t and t + 4.

DEVICE void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if KIND == 0
#define SHAPE "m16n8k8.row.col.f32.tf32.tf32.f32"
#elif KIND == 1
#define SHAPE "m16n8k16.row.col.f32.bf16.bf16.f32"
#else
#define SHAPE "m16n8k16.row.col.f32.f16.f16.f32"
#endif
    asm volatile("mma.sync.aligned." SHAPE " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four 8x8 matrices of 16-bit numbers (or 8x4 of 32 bits): lane i names row i % 8 of matrix i / 8,
// and gets of each matrix the word at row lane / 4, place lane % 4.
DEVICE void load_matrices(unsigned (&d)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(shared_address(row))
                 : "memory");
}
DEVICE void load_matrices_transposed(unsigned (&d)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// ---- copies that run while the tensor cores work: 16 bytes, or 16 zeros where nothing is to be
// read. Copies are closed into groups; wait<n> waits until all but the last n groups are there.

DEVICE void copy_async(void* shared, const void* global, bool inside) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(inside ? 16 : 0)
                 : "memory");
}
DEVICE void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int GROUPS>
DEVICE void wait() { asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory"); }
