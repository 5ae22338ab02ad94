// CUDA C++ on the CPU, for tests: kernels run one block after the other, each thread of a block as
// a fiber that runs until it must wait for others. This file takes the place of device.cu and gives
// the same names; g++ on x86-64 compiles it before the other .cu files. What becomes visible:
//
//   a missing __syncthreads   the order of the threads is shuffled by the seed of the launch
//   a missing wait            copy_async poisons its target at once and fills it at the wait
//   a missing initialisation  shared memory is full of 0xFF, which are NaNs, when a block begins
//   a divergent barrier       when no thread can go on, the launch ends with an error
//   a write past the end      of the dynamic shared memory is an error
//   a missing warpgroup_wait  products are done at the wait; NaN where their operands have changed
//   a missing fence_proxy     a copy is seen by warpgroup_mma after the fence of its thread only
//   a wrong argument          its size, or a float where a whole number is expected
//   what boxes and gates need see tma.h
//
// It knows nothing of time, of bank conflicts, of what lies past the end of an array, and of races
// that no order of whole steps from barrier to barrier brings out.
#include "fibers.h"
#if KIND == 2
#include <immintrin.h>  // of float16 alone, since it takes long to compile
#endif

// ---- the words and types of CUDA

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __constant__ static const
#define __shared__ static __attribute__((section("cuda_shared")))  // one section: poisoned as one

#define VECTORS(type, name)                                                                       \
    struct __align__(2 * sizeof(type)) name##2 { type x, y; };                                    \
    struct __align__(16) name##4 { type x, y, z, w; };                                            \
    static inline name##2 make_##name##2(type x, type y) { return {x, y}; }                       \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
VECTORS(float, float)
VECTORS(int, int)
VECTORS(unsigned, uint)
struct __align__(16) double2 { double x, y; };
static inline double2 make_double2(double x, double y) { return {x, y}; }

template <class To, class From>
static inline To same_bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline unsigned __float_as_uint(float a) { return same_bits<unsigned>(a); }
static inline int __float_as_int(float a) { return same_bits<int>(a); }
static inline float __uint_as_float(unsigned a) { return same_bits<float>(a); }
static inline float __int_as_float(int a) { return same_bits<float>(a); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t)a * b >> 32; }
static inline int __popc(unsigned a) { return __builtin_popcount(a); }
static inline int __clz(unsigned a) { return a ? __builtin_clz(a) : 32; }
static inline float rsqrtf(float a) { return 1 / sqrtf(a); }
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline T __ldcs(const T* p) { return *p; }
template <class T> static inline void __stcs(T* p, T value) { *p = value; }
template <class A, class B> static inline std::common_type_t<A, B> min(A a, B b) {
    std::common_type_t<A, B> x = a, y = b;
    return y < x || x != x ? y : x;  // CUDA's own: the number, where the other one is NaN
}
template <class A, class B> static inline std::common_type_t<A, B> max(A a, B b) {
    std::common_type_t<A, B> x = a, y = b;
    return x < y || x != x ? y : x;
}
#define __expf expf
#define __sinf sinf
#define __cosf cosf
#define __logf logf
#define __sincosf sincosf
// each operation rounded by itself: g++ would fuse what it sees through
static __noinline__ float __fmul_rn(float a, float b) { return a * b; }
static __noinline__ float __fadd_rn(float a, float b) { return a + b; }
#define __fdividef(a, b) ((a) / (b))

// ---- activations, as in device.cu

#if KIND == 0
typedef float element;
#else
typedef unsigned short element;
#endif
typedef unsigned long long uint64;
constexpr int BYTES = sizeof(element), CHUNK = 16 / BYTES;
#define DEVICE __device__ __forceinline__
struct __align__(2 * BYTES) Pair { element a, b; };
struct __align__(16) Chunk { element a[CHUNK]; };

#if KIND == 0
DEVICE float to_float(element a) { return a; }
DEVICE element to_element(float a) {  // to nearest, ties away from zero
    return a != a ? a : __uint_as_float((__float_as_uint(a) + 0x1000) & ~0x1fffu);
}
#elif KIND == 1
DEVICE float to_float(element a) { return __uint_as_float((unsigned)a << 16); }
DEVICE element to_element(float a) {
    unsigned u = __float_as_uint(a);
    return a != a ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;
}
#else
DEVICE float to_float(element a) { return _cvtsh_ss(a); }
DEVICE element to_element(float a) { return a != a ? 0x7fff : _cvtss_sh(a, 0); }
#endif

#include "warps.h"

// ---- CUDA's functions

#define threadIdx (emulation::now->index)
#define blockIdx emulation::block_index
#define blockDim emulation::block_size
#define gridDim emulation::grid_size

DEVICE void __syncthreads() { emulation::meet(emulation::whole); }
DEVICE void __syncwarp(unsigned = ~0u) { emulation::meet(emulation::warp()); }
DEVICE void __threadfence() {}
DEVICE void __threadfence_block() {}

template <class T> static T shuffled(unsigned mask, T value, int source) {
    if (mask != ~0u) emulation::fail("only whole warps can shuffle here");
    T result;
    emulation::slot() = {&value, nullptr, &result, source, sizeof(T)};
    emulation::meet(emulation::warp(), emulation::shuffle);
    return result;
}
template <class T> static T __shfl_sync(unsigned mask, T value, int lane) {
    return shuffled(mask, value, lane);
}
template <class T> static T __shfl_xor_sync(unsigned mask, T value, int bits) {
    return shuffled(mask, value, emulation::now->lane ^ bits);
}
template <class T> static T __shfl_down_sync(unsigned mask, T value, int by) {
    int lane = emulation::now->lane;
    return shuffled(mask, value, lane + by < 32 ? lane + by : lane);
}
template <class T> static T __shfl_up_sync(unsigned mask, T value, int by) {
    int lane = emulation::now->lane;
    return shuffled(mask, value, lane - by >= 0 ? lane - by : lane);
}

// ---- the functions of device.cu

#define SHARED(name) unsigned char* name = emulation::memory
DEVICE unsigned shared_address(const void* p) { return (unsigned)(uintptr_t)p; }

DEVICE void mma(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    emulation::slot() = {a, b, d};
    emulation::meet(emulation::warp(), emulation::multiply);
}
DEVICE void load_matrices(unsigned (&d)[4], const void* row) {
    emulation::slot() = {row, nullptr, d};
    emulation::meet(emulation::warp(), emulation::load<false>);
}
DEVICE void load_matrices_transposed(unsigned (&d)[4], const void* row) {
    emulation::slot() = {row, nullptr, d};
    emulation::meet(emulation::warp(), emulation::load<true>);
}

DEVICE void copy_async(void* shared, const void* global, bool inside) {
    using namespace emulation;
    unsigned char* to = (unsigned char*)shared;
    if ((uintptr_t)to % 16 || (inside && (uintptr_t)global % 16))
        fail("copy_async: not at a multiple of 16 bytes");
    memset(to, POISON, 16);
    if (inside_shared(to)) memset(visible + (to - memory), POISON, 16);
    now->open.push_back({to, inside ? global : nullptr});
}
DEVICE void commit() { emulation::now->groups.push_back(std::exchange(emulation::now->open, {})); }
template <int GROUPS>
static void wait() {
    emulation::Fiber& f = *emulation::now;
    for (; (int)f.groups.size() > GROUPS; f.groups.pop_front())
        for (const emulation::Copy& c : f.groups.front()) {
            c.from ? (void)memcpy(c.to, c.from, 16) : (void)memset(c.to, 0, 16);
            f.landed.push_back(c.to);
        }
}

// ---- Hopper's products of a warpgroup

typedef emulation::Operand Operand;
DEVICE Operand operand(const void* shared) {
    const unsigned char* start = (const unsigned char*)shared;
    if (!emulation::inside_shared(start) || (start - emulation::memory) % 1024)
        emulation::fail("an operand starts at a multiple of 1024 bytes of dynamic shared memory");
    return {start, 1024, 0, false};
}
DEVICE Operand operand_rows(const void* shared, int stride) {
    const unsigned char* start = (const unsigned char*)shared;
    if (!emulation::inside_shared(start) || (start - emulation::memory) % 128)
        emulation::fail("an operand starts at a row of 128 bytes of dynamic shared memory");
    return {start, stride, 0, false};
}
DEVICE Operand operand_columns(const void* shared, int panel, int stride = 1024) {
    return {operand(shared).start, stride, panel, true};
}
DEVICE Operand advance(Operand o, int bytes) { return {o.start + bytes, o.stride, o.panel, o.columns}; }
template <int COLUMNS>
static void warpgroup_mma(float (&d)[COLUMNS / 2], Operand a, Operand b) {
    if (a.columns || b.columns) emulation::fail("warpgroup_mma takes operands whose rows are multiplied");
    emulation::slot() = {nullptr, nullptr, d, COLUMNS, 0, a, b};
    emulation::meet(emulation::warp(), emulation::ask);
}
template <int COLUMNS>
static void warpgroup_mma_columns(float (&d)[COLUMNS / 2], Operand a, Operand b) {
    if (KIND == 0 || !a.columns || !b.columns)
        emulation::fail("warpgroup_mma_columns takes columns of 16-bit numbers");
    emulation::slot() = {nullptr, nullptr, d, COLUMNS, 0, a, b};
    emulation::meet(emulation::warp(), emulation::ask);
}
DEVICE void warpgroup_fence() {}
DEVICE void warpgroup_commit() { emulation::meet(emulation::warp(), emulation::close); }
template <int GROUPS>
static void warpgroup_wait() {
    emulation::slot().number = GROUPS;
    emulation::meet(emulation::warp(), emulation::finish);
}
DEVICE void fence_proxy() {
    using namespace emulation;
    for (unsigned char* p : now->landed)
        if (inside_shared(p)) memcpy(visible + (p - memory), p, 16);
    now->landed.clear();
}

#include "tma.h"
