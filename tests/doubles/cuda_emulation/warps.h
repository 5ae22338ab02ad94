// What the lanes of a warp do together: each leaves a slot, and the last that comes does the work
// of all. device.cu says where the numbers of a lane belong. Of warpgroup_mma, d[4 j + i] of a lane
// is row 16 warp + lane / 4 + 8 (i / 2), column 8 j + 2 (lane % 4) + i % 2.
namespace emulation {

constexpr int STEP = 32 / BYTES;  // numbers in the row of a product

static float factor(element a) {  // a number as the tensor cores take it
    return KIND == 0 ? same_bits<float>(same_bits<unsigned>(to_float(a)) & ~0x1fffu) : to_float(a);
}

static void shuffle(Warp& w) {
    for (Slot& s : w.slot) {
        if (!s.out) continue;
        const void* from = w.slot[s.number & 31].a;
        from ? (void)memcpy(s.out, from, s.size) : (void)memset(s.out, POISON, s.size);
    }
    for (Slot& s : w.slot) s = Slot();
}

static void multiply(Warp& w) {
    constexpr int EACH = 4 / BYTES;  // numbers in a word
    float a[16][STEP], b[STEP][8], d[16][8] = {};
    for (int lane = 0; lane < 32; lane++) {
        const Slot& s = w.slot[lane];
        if (!s.out) return fail("mma without all 32 lanes");
        for (int i = 0; i < 6; i++) {  // four words of A, two of B
            element e[EACH];
            memcpy(e, i < 4 ? (const unsigned*)s.a + i : (const unsigned*)s.b + i - 4, 4);
            for (int j = 0; j < EACH; j++) {
                int word = lane % 4 + 4 * (i < 4 ? i / 2 : i - 4), k = word * EACH + j;
                (i < 4 ? a[lane / 4 + 8 * (i % 2)][k] : b[k][lane / 4]) = factor(e[j]);
            }
        }
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < STEP; k++)
            for (int column = 0; column < 8; column++) d[row][column] += a[row][k] * b[k][column];
    for (int lane = 0; lane < 32; lane++) {
        for (int i = 0; i < 4; i++)
            ((float*)w.slot[lane].out)[i] += d[lane / 4 + 8 * (i / 2)][2 * (lane % 4) + i % 2];
        w.slot[lane] = Slot();
    }
}

template <bool TRANSPOSED>
static void load(Warp& w) {
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            Slot& s = w.slot[lane];
            if (!s.out || (uintptr_t)s.a % 16)
                return fail("load_matrices without all 32 lanes, or not at a multiple of 16 bytes");
            const Slot* rows = w.slot + 8 * i;
            unsigned short* to = (unsigned short*)((unsigned*)s.out + i);
            for (int j = 0; j < 2; j++) {
                int row = lane / 4, column = 2 * (lane % 4) + j;
                if (TRANSPOSED) std::swap(row, column);
                to[j] = ((const unsigned short*)rows[row].a)[column];
            }
        }
    for (Slot& s : w.slot) s = Slot();
}

static void store_transposed(Warp& w) {  // the words of 8x8 matrices, to rows that lanes name
    for (int i = 0; i < 4; i++)
        for (int lane = 0; lane < 32; lane++) {
            const Slot& s = w.slot[lane];
            if (!s.b || (uintptr_t)s.a % 16)
                return fail("store_matrices without all 32 lanes, or not at a multiple of 16 bytes");
            const unsigned word = ((const unsigned*)s.b)[i];
            for (int j = 0; j < 2; j++) {
                const int row = 2 * (lane % 4) + j, column = lane / 4;
                ((unsigned short*)w.slot[8 * i + row].a)[column] = word >> 16 * j;
            }
        }
    for (Slot& s : w.slot) s = Slot();
}

// ---- products of a warpgroup. A warp has rows 16 w to 16 w + 15 of A and of D. An operand is rows of
// 128 bytes, whose chunks of 16 are swapped by the three address bits above the row. K-major: a row
// is what is multiplied, `stride` bytes lie between groups of 8 rows. MN-major (columns): a row is
// 64 columns, its number what is summed over; `panel` bytes on are the next 64 columns.

static std::vector<float> factors(const Warp& w, const Product& p) {
    std::vector<float> values;
    auto row = [&](const Operand& m, int number) {
        for (int k = 0; k < STEP; k++) {
            size_t place = m.start - memory;
            place += m.columns ? number / 64 * m.panel + number % 64 * BYTES + k / 8 * m.stride + k % 8 * 128
                               : number / 8 * m.stride + number % 8 * 128 + k * BYTES;
            place ^= (place >> 7 & 7) << 4;  // the swizzle
            if (place + BYTES > shared_bytes) return fail("an operand outside of shared memory");
            element e;
            memcpy(&e, visible + place, BYTES);
            values.push_back(factor(e));
        }
    };
    for (int i = 0; i < 16; i++) row(p.a, w.number % 4 * 16 + i);
    for (int i = 0; i < p.columns; i++) row(p.b, i);
    return values;
}

static void ask(Warp& w) {
    Product p = {w.slot[0].first, w.slot[0].second, w.slot[0].number};
    for (int lane = 0; lane < 32; lane++) {
        Slot& s = w.slot[lane];
        if (!s.out || s.first != p.a || s.second != p.b)
            return fail("warpgroup_mma: the lanes of a warp name different operands");
        p.d[lane] = (float*)s.out;
        s = Slot();
    }
    p.factors = factors(w, p);
    w.open.push_back(std::move(p));
}

static void close(Warp& w) { w.groups.push_back(std::exchange(w.open, {})); }

static void perform(Warp& w, const Product& p) {
    std::vector<float> values = factors(w, p), sums(16 * p.columns);
    bool same = !memcmp(values.data(), p.factors.data(), values.size() * 4);
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < p.columns; column++) {
            const float *a = &values[row * STEP], *b = &values[(16 + column) * STEP];
            float sum = same ? 0 : NAN;
            for (int k = 0; k < STEP; k++) sum += a[k] * b[k];
            sums[row * p.columns + column] = sum;
        }
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < p.columns / 2; i++) {
            int row = lane / 4 + 8 * (i >> 1 & 1), column = i / 4 * 8 + 2 * (lane % 4) + i % 2;
            p.d[lane][i] += sums[row * p.columns + column];
        }
}

static void finish(Warp& w) {
    for (int keep = w.slot[0].number; (int)w.groups.size() > keep; w.groups.pop_front())
        for (const Product& p : w.groups.front()) perform(w, p);
}

static bool inside_shared(const unsigned char* p) {
    return p >= memory && p + 16 <= memory + shared_bytes;
}

}  // namespace emulation
