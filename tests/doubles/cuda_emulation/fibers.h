// The threads of a CUDA block as fibers: stacks between which a running thread switches by itself
// when it must wait for others. Blocks run one after the other. See cuda_cpu.h for the purpose.
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>
#include <deque>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

struct dim3 { unsigned x = 1, y = 1, z = 1; };

extern "C" __attribute__((visibility("hidden"))) void switch_fiber(void** from, void* to);
asm(R"(
.text
switch_fiber:
    pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
    ret
)");
extern "C" __attribute__((weak, visibility("hidden"))) unsigned char __start_cuda_shared[],
    __stop_cuda_shared[];  // the linker's names for the ends of the section

namespace emulation {

struct Random {  // splitmix64; <random> takes longer to compile than a small kernel
    uint64_t state;
    unsigned operator()() {
        uint64_t z = state += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return (z ^ z >> 31) >> 32;
    }
};

constexpr int POISON = 0xFF, CANARY = 0xA5, AFTER = 1024;  // AFTER: guarded bytes past the end
constexpr size_t STACK = 128 * 1024 + 192;  // no power of two: the stacks share the cache evenly

struct Warp;
typedef void Work(Warp&);  // what the last of the lanes that meet does for all of them
struct Barrier {
    int members = 0, arrived = 0;
    unsigned round = 0;
    Work* work = nullptr;
};
struct Operand {  // of warpgroup_mma: where it lies in shared memory, see warps.h
    const unsigned char* start;
    int stride, panel;
    bool columns;
    bool operator!=(const Operand& o) const {
        return start != o.start || stride != o.stride || panel != o.panel || columns != o.columns;
    }
};
struct Slot {  // what a lane brings to a warp's common work, and where it wants the result
    const void *a = nullptr, *b = nullptr;
    void* out = nullptr;
    int number = 0, size = 0;
    Operand first = {}, second = {};
};
struct Product {  // of warpgroup_mma, the share of one warp
    Operand a, b;
    int columns;
    float* d[32];
    std::vector<float> factors;  // as they were when the product was asked for
};
struct Warp : Barrier {
    int number = 0;
    Slot slot[32];
    std::vector<Product> open;
    std::deque<std::vector<Product>> groups;
};
struct Copy { unsigned char* to; const void* from; };  // from nullptr: zeros
typedef unsigned long long Gate;  // a barrier in shared memory, see tma.h
struct Fiber {
    void* stack = nullptr;
    dim3 index;
    int lane, warp;
    bool done;
    Barrier* waits_at;
    unsigned round;
    Gate* gate;  // that this thread waits at, until the round of this parity is over
    unsigned parity;
    std::vector<Copy> open;
    std::deque<std::vector<Copy>> groups;
    std::vector<unsigned char*> landed;  // copies that no fence_proxy has followed
};

static std::vector<Fiber> fibers;
static std::vector<Warp> warps;
static Barrier whole;  // the barrier of the block
static Barrier numbered[16];  // those that some of its warps share
static Fiber* now;     // the running one; null while none is
static void *outside, (*body)(void*), *body_data;
static unsigned char *stacks, *memory, *visible;  // visible: shared memory as warpgroup_mma sees it
static size_t shared_bytes;
static dim3 block_index, block_size, grid_size;
static std::string error;

static void leave() { switch_fiber(&now->stack, outside); }
static void fail(const std::string& text) {
    if (error.empty()) error = text;
    if (now) leave();  // and never comes back
}
static void entry() {
    body(body_data);
    now->done = true;
    leave();
}
static void complete(Barrier& barrier) {
    if (barrier.work) barrier.work(static_cast<Warp&>(barrier));
    barrier.work = nullptr;
    barrier.arrived = 0;
    ++barrier.round;
}
static void meet(Barrier& barrier, Work* work = nullptr) {
    if (barrier.arrived && barrier.work != work)
        fail("the lanes of a warp meet in different operations");
    barrier.work = work;
    if (++barrier.arrived == barrier.members) return complete(barrier);
    now->waits_at = &barrier;
    now->round = barrier.round;
    leave();
}
static void withdraw(Barrier& barrier) {  // a thread has ended: the others need not wait for it
    if (--barrier.members && barrier.arrived == barrier.members) complete(barrier);
}
static Warp& warp() { return warps[now->warp]; }
static Slot& slot() { return warp().slot[now->lane]; }

// A block of memory that lives as long as the program; pages that are never touched cost nothing.
static unsigned char* reserve(size_t bytes) {
    return (unsigned char*)mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static bool passed(Gate* gate, unsigned parity);
static bool land_one(Random* random, bool must);  // a box, if one is under way
static void begin_boxes(Random* random);

static void begin_block(unsigned threads) {
    for (Barrier& barrier : numbered) barrier = Barrier();
    memset(memory, POISON, shared_bytes);
    memset(visible, POISON, shared_bytes);
    memset(memory + shared_bytes, CANARY, AFTER);
    if (__start_cuda_shared)
        memset(__start_cuda_shared, POISON, __stop_cuda_shared - __start_cuda_shared);
    whole = Barrier();
    whole.members = threads;
    warps.assign((threads + 31) / 32, Warp());
    for (unsigned i = 0; i < threads; i++) {
        Fiber& f = fibers[i];
        f.index = {i, 0, 0};
        f.lane = i % 32, f.warp = i / 32;
        f.done = false, f.waits_at = nullptr, f.gate = nullptr;
        f.open.clear(), f.groups.clear(), f.landed.clear();
        warps[f.warp].members++;
        warps[f.warp].number = f.warp;
        void** top = (void**)((uintptr_t)(stacks + (i + 1) * STACK) & ~(uintptr_t)63);
        *--top = nullptr;  // entry never returns
        *--top = (void*)&entry;
        for (int k = 0; k < 6; k++) *--top = nullptr;  // the registers that switch_fiber pops
        f.stack = top;
    }
}

static void run_block(unsigned threads, Random* shuffled) {
    begin_block(threads);
    begin_boxes(shuffled);
    std::vector<Fiber*> order;
    for (unsigned i = 0; i < threads; i++) order.push_back(&fibers[i]);
    while (!order.empty()) {
        bool progress = false;
        for (size_t i = shuffled ? order.size() : 0; i > 1; i--)
            std::swap(order[i - 1], order[(*shuffled)() % i]);
        for (Fiber* f : order) {
            land_one(shuffled, false);
            if (!error.empty()) return;
            if (f->waits_at && f->waits_at->round == f->round) continue;
            if (f->gate && !passed(f->gate, f->parity)) continue;
            f->waits_at = nullptr;
            progress = true;
            now = f;
            switch_fiber(&outside, f->stack);
            now = nullptr;
            if (f->done) withdraw(whole), withdraw(warps[f->warp]);
            if (!error.empty()) return;
        }
        order.erase(std::remove_if(order.begin(), order.end(), [](Fiber* f) { return f->done; }),
                    order.end());
        if (!progress && land_one(shuffled, true)) continue;
        if (!progress)
            return fail("divergent barrier: " + std::to_string(whole.arrived) + " of " +
                        std::to_string(order.size()) + " threads wait in __syncthreads, " +
                        "the others in an operation of their warp or at a gate");
    }
    if (land_one(shuffled, true)) return fail("a block ended before its boxes had arrived");
    for (int i = 0; i < AFTER; i++)
        if (memory[shared_bytes + i] != CANARY)
            return fail("written " + std::to_string(i) + " bytes past the dynamic shared memory");
}

}  // namespace emulation

// ---- launching. Sizes are those of the arguments in bytes, negative for floating-point numbers.

namespace emulation {

template <class T> constexpr int size_of() {
    return std::is_floating_point_v<T> ? -(int)sizeof(T) : (int)sizeof(T);
}
static std::string named(int size) {
    return (size < 0 ? "a float of " : "") + std::to_string(abs(size)) + " bytes";
}

template <class... P, size_t... I>
static const char* launch(void (*kernel)(P...), const unsigned* grid, unsigned threads,
                          size_t shared, unsigned seed, void** args, const int* sizes, int count,
                          std::index_sequence<I...>) {
    error.clear();
    const int expected[] = {size_of<P>()..., 0};
    if (count != sizeof...(P))
        error = std::to_string(count) + " arguments, expected " + std::to_string(sizeof...(P));
    for (int i = 0; error.empty() && i < count; i++)
        if (sizes[i] != expected[i])
            error = "argument " + std::to_string(i) + " is " + named(sizes[i]) + ", expected " +
                    named(expected[i]);
    if (!error.empty()) return error.c_str();

    if (!memory) {
        memory = reserve(1 << 20), visible = reserve(1 << 20);
        stacks = reserve(1024 * STACK);
        fibers.resize(1024);
    }
    auto call = [&] { kernel(*(std::remove_cv_t<P>*)args[I]...); };
    body = [](void* data) { (*(decltype(call)*)data)(); };
    body_data = &call;
    shared_bytes = shared;
    block_size = {threads, 1, 1}, grid_size = {grid[0], grid[1], grid[2]};
    Random random{seed};
    for (unsigned z = 0; z < grid[2]; z++)
        for (unsigned y = 0; y < grid[1]; y++)
            for (unsigned x = 0; x < grid[0] && error.empty(); x++) {
                block_index = {x, y, z};
                run_block(threads, seed ? &random : nullptr);
            }
    return error.empty() ? nullptr : error.c_str();
}

template <class... P>
static auto parameters(void (*)(P...)) { return std::index_sequence_for<P...>(); }

}  // namespace emulation

#define EXPORT(name)                                                                              \
    extern "C" __attribute__((visibility("default"))) const char* launch_##name(                  \
        const unsigned* grid, unsigned threads, size_t shared, unsigned seed, void** args,        \
        const int* sizes, int count) {                                                            \
        return emulation::launch(name, grid, threads, shared, seed, args, sizes, count,           \
                                 emulation::parameters(name));                                    \
    }
