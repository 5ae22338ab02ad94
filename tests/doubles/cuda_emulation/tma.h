// Boxes, gates and what else device_tma.cu has, on the CPU; cuda_cpu.h includes it. What becomes
// visible:
//
//   a missing gate_wait (data)   a box poisons its target when it is asked for and arrives later, in
//                                random order
//   a missing gate_wait (stage)  a box asked for before the products of its stage are done changes
//                                their operands: NaN
//   a wrong number of bytes      the gate never opens: no thread can go on
//   a box nobody waits for       the block ends before it has arrived: an error
//   a missing meet               the order of the threads is shuffled
//
// Boxes and products are of one "proxy": what a box has brought is seen by warpgroup_mma at once.
// The memory ordering between proxies, and time, only a GPU can show.
namespace emulation {

struct GateState { uint8_t count, pending, phase, valid; int32_t bytes; };  // 8 bytes, as on a GPU
constexpr int VALID = 0x5A;
static GateState& state_of(Gate* gate) {
    GateState& g = *(GateState*)gate;
    if (g.valid != VALID) fail("a gate that was not opened");
    return g;
}
static void turn(GateState& g) {
    if (g.pending == 0 && g.bytes == 0) g.phase ^= 1, g.pending = g.count;
}
static bool passed(Gate* gate, unsigned parity) { return state_of(gate).phase != (parity & 1); }

// A tensor map, as tests/doubles writes it: address; bytes of a number | dimensions << 8 | swizzled
// << 16; then from the innermost 5 lengths, 4 strides in bytes (of all but the innermost), 5 sides
// of a box.
struct Map {
    const unsigned long long* words;
    int bytes() const { return words[1] & 255; }
    int rank() const { return words[1] >> 8 & 255; }
    bool swizzled() const { return words[1] >> 16 & 1; }
    long long length(int i) const { return words[2 + i]; }
    long long stride(int i) const { return i ? (long long)words[6 + i] : bytes(); }
    int side(int i) const { return i < rank() ? (int)words[11 + i] : 1; }
    size_t box_bytes() const {
        size_t all = bytes();
        for (int i = 0; i < rank(); i++) all *= side(i);
        return all;
    }
};
struct Box { unsigned char* to; unsigned long long words[16]; Gate* gate; int at[5]; };
static std::vector<Box> boxes;  // under way
static unsigned patience;      // a box arrives at one of so many occasions
static void begin_boxes(Random* random) {
    boxes.clear();
    patience = random ? 4u << (*random)() % 8 : 1;
}

static void land(const Box& b) {
    const Map m = {b.words};
    const int row = m.side(0) * m.bytes();
    size_t to = b.to - memory;
    for (int o = 0; o < m.side(4); o++)
        for (int n = 0; n < m.side(3); n++)
            for (int h = 0; h < m.side(2); h++)
                for (int w = 0; w < m.side(1); w++, to += row)
                    for (int c = 0; c < m.side(0); c += 16 / m.bytes()) {
                        const int at[5] = {b.at[0] + c, b.at[1] + w, b.at[2] + h, b.at[3] + n, b.at[4] + o};
                        bool inside = true;
                        long long from = b.words[0];
                        for (int i = 0; i < m.rank(); i++) {
                            inside &= at[i] >= 0 && at[i] < m.length(i);
                            from += at[i] * m.stride(i);
                        }
                        size_t place = to + c * m.bytes();
                        if (m.swizzled()) place ^= (place >> 7 & 7) << 4;
                        inside ? (void)memcpy(memory + place, (void*)from, 16)
                               : (void)memset(memory + place, 0, 16);
                        memcpy(visible + place, memory + place, 16);
                    }
    GateState& gate = state_of(b.gate);
    gate.bytes -= m.box_bytes();
    turn(gate);
}
static bool land_one(Random* random, bool must) {
    if (boxes.empty() || (!must && random && (*random)() % patience)) return false;
    const size_t i = random ? (*random)() % boxes.size() : 0;
    land(boxes[i]);
    boxes.erase(boxes.begin() + i);
    return true;
}
static void ask_for_box(void* to, const unsigned long long* words, int rank, Gate* gate,
                        std::initializer_list<int> at) {
    const Map m = {words};
    Box b = {(unsigned char*)to, {}, gate, {}};
    std::copy(at.begin(), at.end(), b.at);
    if (m.rank() != rank) fail("a box of another number of dimensions than its map has");
    if (m.side(0) * m.bytes() > 128) fail("a box whose rows are longer than 128 bytes");
    if (m.swizzled() && m.side(0) * m.bytes() != 128) fail("a swizzled box whose rows are not 128 bytes");
    const size_t place = b.to - memory, bytes = m.box_bytes();
    if (b.to < memory || place + bytes > shared_bytes) fail("a box outside of shared memory");
    if (place % (m.swizzled() ? 1024 : 128)) fail("a box that begins at no multiple of its alignment");
    memset(memory + place, POISON, bytes), memset(visible + place, POISON, bytes);
    memcpy(b.words, words, sizeof b.words);  // the map lies on the stack of a thread, which may end
    boxes.push_back(b);
}

}  // namespace emulation

struct TensorMap { uint64 words[16]; };  // aligned to 64 bytes on a GPU, to 16 by NumPy
#define __grid_constant__
typedef emulation::Gate Gate;
DEVICE void gate_open(Gate* g, int count) {
    *(emulation::GateState*)g = {(uint8_t)count, (uint8_t)count, 0, emulation::VALID, 0};
}
DEVICE void gates_ready() {}
DEVICE void gate_arrive(Gate* g) {
    auto& state = emulation::state_of(g);
    state.pending--;
    emulation::turn(state);
}
DEVICE void gate_expect(Gate* g, int bytes) {
    emulation::state_of(g).bytes += bytes;
    gate_arrive(g);
}
DEVICE bool gate_passed(Gate* g, unsigned parity) { return emulation::passed(g, parity); }
DEVICE void gate_wait(Gate* g, unsigned parity) {
    while (!gate_passed(g, parity)) {
        emulation::now->gate = g, emulation::now->parity = parity;
        emulation::leave();
    }
    emulation::now->gate = nullptr;
}
DEVICE void copy_box(void* to, const TensorMap& map, Gate* g, int c, int w, int h, int n) {
    emulation::ask_for_box(to, map.words, 4, g, {c, w, h, n});
}
DEVICE void copy_box(void* to, const TensorMap& map, Gate* g, int c, int b, int w, int a, int h) {
    emulation::ask_for_box(to, map.words, 5, g, {c, b, w, a, h});
}
DEVICE void prefetch_box(const TensorMap&, int, int, int, int) {}
DEVICE void prefetch_map(const TensorMap&) {}
DEVICE void meet(int number, int threads) {
    emulation::numbered[number].members = threads;
    emulation::meet(emulation::numbered[number]);
}
DEVICE int same_in_warp(int a) { return __shfl_sync(~0u, a, 0); }
DEVICE void store_matrices_transposed(void* row, const unsigned (&d)[4]) {
    emulation::slot() = {row, d};
    emulation::meet(emulation::warp(), emulation::store_transposed);
}
DEVICE float larger(float a, float b) { return a != a ? a : b != b ? b : a > b ? a : b; }
#if KIND != 0
DEVICE unsigned two_elements(float low, float high) {
    return (unsigned)to_element(high) << 16 | to_element(low);
}
#endif
