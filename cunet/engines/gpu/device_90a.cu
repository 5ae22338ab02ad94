// The instructions of a warpgroup (wgmma), in the terms that the kernels by boxes are written in.
// Compute capability 9.0 alone has them; see the chapter "Asynchronous Warpgroup Level Matrix
// Instructions" of NVIDIA's PTX manual.

// Where an operand lies: rows of 128 bytes, 1,024 bytes between groups of 8 of them, the 128-byte
// swizzle. What is multiplied and summed over lies along the rows ("K-major" in the manual).
typedef uint64 Operand;
DEVICE Operand operand(const void* rows) {
    return (uint64)((shared_address(rows) & 0x3ffff) >> 4) | 1ull << 16 | 64ull << 32 | 1ull << 62;
}
// The same with `stride` bytes between groups of 8 rows, from any row on.
DEVICE Operand operand_rows(const void* rows, int stride) {
    return (uint64)((shared_address(rows) & 0x3ffff) >> 4) | 1ull << 16 | (uint64)(stride >> 4) << 32 |
           1ull << 62;
}
// The same where it lies across the rows ("MN-major", 16 bits only): a row is 64 columns of the
// operand, the next 64 begin `panel` bytes further, the next 8 rows `stride` bytes. Rows are found by
// their address alone, so advance may go to any row, and a panel may begin at the next row.
DEVICE Operand operand_columns(const void* rows, int panel, int stride = 1024) {
    return (uint64)((shared_address(rows) & 0x3ffff) >> 4) | (uint64)(panel >> 4) << 16 |
           (uint64)(stride >> 4) << 32 | 1ull << 62;
}
DEVICE Operand advance(Operand rows, int bytes) { return rows + (bytes >> 4); }

DEVICE void warpgroup_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
DEVICE void warpgroup_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int GROUPS>
DEVICE void warpgroup_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(GROUPS) : "memory");
}

// d += a b^T for a (64, 32 bytes) and b (COLUMNS, 32 bytes), begun here and done at warpgroup_wait.
// The instruction names every register of d: the numbers of eight of them are R0 to R11 below.
template <int COLUMNS>
DEVICE void warpgroup_mma(float (&d)[COLUMNS / 2], Operand a, Operand b);
// the same where both operands are operand_columns
template <int COLUMNS>
DEVICE void warpgroup_mma_columns(float (&d)[COLUMNS / 2], Operand a, Operand b);

#if KIND == 0
#define TYPES(COLUMNS) "m64n" #COLUMNS "k8.f32.tf32.tf32"
#define LAYOUT(LAST) "p, 1, 1"
#elif KIND == 1
#define TYPES(COLUMNS) "m64n" #COLUMNS "k16.f32.bf16.bf16"
#define LAYOUT(LAST) "p, 1, 1, " #LAST ", " #LAST
#else
#define TYPES(COLUMNS) "m64n" #COLUMNS "k16.f32.f16.f16"
#define LAYOUT(LAST) "p, 1, 1, " #LAST ", " #LAST
#endif
#define R0 "%0,%1,%2,%3,%4,%5,%6,%7"
#define R1 ",%8,%9,%10,%11,%12,%13,%14,%15"
#define R2 ",%16,%17,%18,%19,%20,%21,%22,%23"
#define R3 ",%24,%25,%26,%27,%28,%29,%30,%31"
#define R4 ",%32,%33,%34,%35,%36,%37,%38,%39"
#define R5 ",%40,%41,%42,%43,%44,%45,%46,%47"
#define R6 ",%48,%49,%50,%51,%52,%53,%54,%55"
#define R7 ",%56,%57,%58,%59,%60,%61,%62,%63"
#define R8 ",%64,%65,%66,%67,%68,%69,%70,%71"
#define R9 ",%72,%73,%74,%75,%76,%77,%78,%79"
#define R10 ",%80,%81,%82,%83,%84,%85,%86,%87"
#define R11 ",%88,%89,%90,%91,%92,%93,%94,%95"
#define D(i) \
    "+f"(d[8 * i]), "+f"(d[8 * i + 1]), "+f"(d[8 * i + 2]), "+f"(d[8 * i + 3]), \
        "+f"(d[8 * i + 4]), "+f"(d[8 * i + 5]), "+f"(d[8 * i + 6]), "+f"(d[8 * i + 7])
#define R0_3 R0 R1 R2 R3
#define R0_7 R0_3 R4 R5 R6 R7
#define R0_9 R0_7 R8 R9
#define R0_11 R0_9 R10 R11
#define D0_3 D(0), D(1), D(2), D(3)
#define D0_7 D0_3, D(4), D(5), D(6), D(7)
#define D0_9 D0_7, D(8), D(9)
#define D0_11 D0_9, D(10), D(11)
// A, B: the operands' numbers, which follow those of d
#define PRODUCT(name, COLUMNS, LAST, EIGHTS, A, B)                                                   \
    template <>                                                                                      \
    DEVICE void name<COLUMNS>(float (&d)[COLUMNS / 2], Operand a, Operand b) {                       \
        asm volatile("{.reg .pred p; setp.ne.b32 p, 1, 0; wgmma.mma_async.sync.aligned."            \
                     TYPES(COLUMNS) " {" R##EIGHTS "}, %" #A ", %" #B ", " LAYOUT(LAST) ";}"         \
                     : D##EIGHTS                                                                     \
                     : "l"(a), "l"(b));                                                              \
    }
PRODUCT(warpgroup_mma, 128, 0, 0_7, 64, 65)
PRODUCT(warpgroup_mma, 160, 0, 0_9, 80, 81)
PRODUCT(warpgroup_mma, 192, 0, 0_11, 96, 97)
#if KIND != 0
PRODUCT(warpgroup_mma_columns, 192, 1, 0_11, 96, 97)
#endif
