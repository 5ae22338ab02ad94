// The instructions of a warpgroup (wgmma), in the terms that warpgroup.cu is written in. Compute
// capability 9.0 alone has them; see the chapter "Asynchronous Warpgroup Level Matrix Instructions"
// of NVIDIA's PTX manual.

// Where an operand lies: its address, 1,024 bytes between groups of 8 rows, the 128-byte swizzle.
typedef uint64 Operand;
DEVICE Operand operand(const void* rows) {
    return (uint64)((shared_address(rows) & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}
DEVICE Operand advance(Operand rows, int bytes) { return rows + (bytes >> 4); }

DEVICE void warpgroup_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void warpgroup_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int GROUPS>
DEVICE void warpgroup_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(GROUPS) : "memory");
}
// what this thread has written to shared memory is seen by the tensor cores after this
DEVICE void fence_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

#if KIND == 0
#define TYPES(COLUMNS) "m64n" #COLUMNS "k8.f32.tf32.tf32"
#define LAYOUT "p, 1, 1"
#elif KIND == 1
#define TYPES(COLUMNS) "m64n" #COLUMNS "k16.f32.bf16.bf16"
#define LAYOUT "p, 1, 1, 0, 0"
#else
#define TYPES(COLUMNS) "m64n" #COLUMNS "k16.f32.f16.f16"
#define LAYOUT "p, 1, 1, 0, 0"
#endif
#define EIGHT(i) \
    "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), \
        "+f"(d[i + 6]), "+f"(d[i + 7])
#define FIRST_32                                                                            \
    "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15,%16,%17,%18,%19,%20,%21,%22,%23,"  \
    "%24,%25,%26,%27,%28,%29,%30,%31"
#define NEXT_32                                                                             \
    ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47,%48,%49,%50,%51,%52,%53," \
    "%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"

// d += a b^T for a (64, 32 bytes) and b (COLUMNS, 32 bytes), begun here and done at warpgroup_wait
template <int COLUMNS>
DEVICE void warpgroup_mma(float (&d)[COLUMNS / 2], Operand a, Operand b);
template <>
DEVICE void warpgroup_mma<64>(float (&d)[32], Operand a, Operand b) {
    asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned." TYPES(64)
                 " {" FIRST_32 "}, %32, %33, " LAYOUT ";}"
                 : EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24)
                 : "l"(a), "l"(b));
}
template <>
DEVICE void warpgroup_mma<128>(float (&d)[64], Operand a, Operand b) {
    asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned." TYPES(128)
                 " {" FIRST_32 NEXT_32 "}, %64, %65, " LAYOUT ";}"
                 : EIGHT(0), EIGHT(8), EIGHT(16), EIGHT(24), EIGHT(32), EIGHT(40), EIGHT(48), EIGHT(56)
                 : "l"(a), "l"(b));
}
