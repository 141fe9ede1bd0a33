// Many small instances at once: a block of one warp solves an instance, from the columns to the batch and its proof.
//
// What src/search/flat.rs does with an instance that is sorted whole, operation by operation, so that the batch, the
// certificate and all counters are those of the CPU: sort by deadline, then solve the linear program of the deadline
// with the largest bound (src/bound/simplex.rs), bound every deadline with its λ, round its vertex (both in
// src/bound/condense.rs), and where a deadline stays open search its subproblem (src/search/leaf.rs, src/tree/).
// What would need more memory or patience than a block has is left to the host, which then starts from the beginning.
//
// A place is a request in the order of deadlines. Each deadline is the last place of its run of equal budgets.
// All lanes hold the simplex's basis and do the same arithmetic with it; requests are dealt out to lanes, 32 in a row.
#include "layout.h"

#define ALL 0xffffffffu
typedef unsigned __int128 u128;

// As in simplex.rs.
#define TINY 1e-11
#define TIE 1e-6
#define CANDIDATES 64
// As in condense.rs.
#define MAX_STRETCH 1e3
#define FILL 512
#define WHOLE 1e-9
// As in flat.rs, leaf.rs, build.rs and walk.rs.
#define MAX_SPAN 1024
#define ALONE 2000
#define REQUESTS_PER_CLASS 6
#define FEW_GROUPS 8
#define LONG_GROUP 64
#define FLOORED 192
#define PRICE_SHIFT 30
// A linear program of more steps, which is many times what any has taken, is the host's: a launch must end soon.
#define MAX_STEPS 8192
// More work than this to settle paths by directions is the host's.
#define MAX_TESTS 4096

#define NONE_8 0xffu
#define NONE_16 0xffffu
#define END 1u
#define OPEN 2u

// ---- Floats: one order of operations, as on the CPU ----

struct Column {
    double r[4];
};

static __device__ __forceinline__ double dot(const Column& a, const Column& b) {
    double sum = __dadd_rn(__dmul_rn(a.r[0], b.r[0]), __dmul_rn(a.r[1], b.r[1]));
    return __dadd_rn(__dadd_rn(sum, __dmul_rn(a.r[2], b.r[2])), __dmul_rn(a.r[3], b.r[3]));
}

static __device__ __forceinline__ double size_of(double x) {
    return x < 0.0 ? -x : x;
}

// The order of numbers that are not negative, NaN above all.
static __device__ __forceinline__ u64 order_of(double x) {
    return (u64)__double_as_longlong(x) & 0x7fffffffffffffffull;
}

// ---- Warps ----

static __device__ __forceinline__ u32 lane() {
    return threadIdx.x;
}

static __device__ __forceinline__ u64 sum_of(u64 x) {
    for (u32 step = 16; step > 0; step /= 2) {
        x += __shfl_xor_sync(ALL, x, step);
    }
    return x;
}

static __device__ __forceinline__ u32 sum_of(u32 x) {
    for (u32 step = 16; step > 0; step /= 2) {
        x += __shfl_xor_sync(ALL, x, step);
    }
    return x;
}

static __device__ __forceinline__ u32 most_of(u32 x) {
    for (u32 step = 16; step > 0; step /= 2) {
        u32 other = __shfl_xor_sync(ALL, x, step);
        x = other > x ? other : x;
    }
    return x;
}

static __device__ __forceinline__ u64 most_of(u64 x) {
    for (u32 step = 16; step > 0; step /= 2) {
        u64 other = __shfl_xor_sync(ALL, x, step);
        x = other > x ? other : x;
    }
    return x;
}

static __device__ __forceinline__ u128 from_parts(u64 high, u64 low) {
    return ((u128)high << 64) | low;
}

static __device__ __forceinline__ u128 sum_of(u128 x) {
    for (u32 step = 16; step > 0; step /= 2) {
        u64 high = __shfl_xor_sync(ALL, (u64)(x >> 64), step);
        u64 low = __shfl_xor_sync(ALL, (u64)x, step);
        x += from_parts(high, low);
    }
    return x;
}

// The sum over this lane and those below it.
static __device__ __forceinline__ u128 sum_to(u128 x) {
    for (u32 step = 1; step < 32; step *= 2) {
        u64 high = __shfl_up_sync(ALL, (u64)(x >> 64), step);
        u64 low = __shfl_up_sync(ALL, (u64)x, step);
        if (lane() >= step) {
            x += from_parts(high, low);
        }
    }
    return x;
}

static __device__ __forceinline__ u32 below(u32 mask) {
    return __popc(mask & ((1u << lane()) - 1));
}

// ---- Integers ----

struct Costs {
    u64 r[4];
};

static __device__ __forceinline__ bool fits(const Costs& cost, const Costs& left) {
    return cost.r[0] <= left.r[0] && cost.r[1] <= left.r[1] && cost.r[2] <= left.r[2] && cost.r[3] <= left.r[3];
}

static __device__ __forceinline__ void take(Costs& left, const Costs& cost) {
    for (int r = 0; r < 4; r++) {
        left.r[r] -= cost.r[r];
    }
}

static __device__ __forceinline__ void give(Costs& left, const Costs& cost) {
    for (int r = 0; r < 4; r++) {
        left.r[r] += cost.r[r];
    }
}

static __device__ __forceinline__ u128 product(u64 a, u64 b) {
    return (u128)a * b;
}

struct Multipliers {
    u64 lambda[4];
    u32 one_bits;
};

static __device__ __forceinline__ u128 price(const Multipliers& m, const Costs& cost) {
    return product(m.lambda[0], cost.r[0]) + product(m.lambda[1], cost.r[1]) + product(m.lambda[2], cost.r[2]) +
           product(m.lambda[3], cost.r[3]);
}

// max(0, 1 − λ·a).
static __device__ __forceinline__ u128 positive_gain(const Multipliers& m, const Costs& cost) {
    u128 one = (u128)1 << m.one_bits, all = price(m, cost);
    return all < one ? one - all : 0;
}

static __device__ __forceinline__ u32 bits_of(u128 x) {
    u64 high = (u64)(x >> 64), low = (u64)x;
    return high != 0 ? 128 - __clzll((i64)high) : 64 - __clzll((i64)low);
}

// As `Multipliers::from_real`.
static __device__ Multipliers from_real(const Column& lambda) {
    Multipliers m = {{0, 0, 0, 0}, 0};
    Column kept;
    double largest = 0.0;
    for (int r = 0; r < 4; r++) {
        bool finite = (order_of(lambda.r[r]) >> 52) != 0x7ff;
        kept.r[r] = finite && lambda.r[r] > 0.0 ? lambda.r[r] : 0.0;
        largest = kept.r[r] > largest ? kept.r[r] : largest;
    }
    if (largest == 0.0) {
        return m;
    }
    u64 bits = order_of(largest);
    // ⌊log2⌋, of subnormals too.
    int exponent = (bits >> 52) != 0 ? (int)(bits >> 52) - 1023 : -1011 - __clzll((i64)bits);
    int one_bits = 61 - exponent;
    one_bits = one_bits < 0 ? 0 : one_bits > 90 ? 90 : one_bits;
    m.one_bits = one_bits;
    double scale = __longlong_as_double((i64)(one_bits + 1023) << 52);
    for (int r = 0; r < 4; r++) {
        double scaled = __dmul_rn(kept.r[r], scale);
        m.lambda[r] = scaled >= 4611686018427387904.0 ? 1ull << 62 : (u64)__double2ll_rz(scaled);
    }
    return m;
}

// ---- The working memory of a cell ----

// Where its parts lie is computed anew at each use: addresses would take registers.
struct Space {
    u8* memory;
    u32 most;

    template <typename T>
    __device__ __forceinline__ T* part(u32 row_bytes) const {
        return reinterpret_cast<T*>(memory + row_bytes * most);
    }
    // Costs as fractions of the capacities: four columns, `most` apart. Before them, the keys to sort by.
    __device__ __forceinline__ double* scaled() const { return part<double>(0); }
    __device__ __forceinline__ double* gains() const { return part<double>(32); }
    // Of each deadline: the best bound and whose it is, its own program, and the size that a search refuted and its λ.
    __device__ __forceinline__ u16* bound() const { return part<u16>(40); }
    __device__ __forceinline__ u16* refuted() const { return part<u16>(42); }
    // The row of each place.
    __device__ __forceinline__ u16* index() const { return part<u16>(44); }
    __device__ __forceinline__ u16* list() const { return part<u16>(46); }
    __device__ __forceinline__ u8* owner() const { return part<u8>(48); }
    __device__ __forceinline__ u8* program() const { return part<u8>(49); }
    __device__ __forceinline__ u8* helped() const { return part<u8>(50); }
    __device__ __forceinline__ u8* flags() const { return part<u8>(51); }
    // Bits of places: at the upper bound in the simplex; chosen just now; the best batch.
    __device__ __forceinline__ u32* upper() const { return part<u32>(52); }
    __device__ __forceinline__ u32* chosen() const { return upper() + most / 32; }
    __device__ __forceinline__ u32* best() const { return chosen() + most / 32; }
};

// ---- Sorting ----

static __device__ __forceinline__ void order_pair(u64* keys, u16* index, u32 low, u32 high, u32 n) {
    if (high < n) {
        u64 a = keys[low], b = keys[high];
        u16 i = index[low], j = index[high];
        if (a > b || (a == b && i > j)) {
            keys[low] = b;
            keys[high] = a;
            index[low] = j;
            index[high] = i;
        }
    }
}

// Bitonic, smaller keys first in every step, so that what is beyond the end never moves.
static __device__ void sort(u64* keys, u16* index, u32 n) {
    u32 pairs = 1;
    while (2 * pairs < n) {
        pairs *= 2;
    }
    for (u32 half = 1; half < n; half *= 2) {
        __syncwarp();
        for (u32 t = lane(); t < pairs; t += 32) {
            u32 block = t & ~(half - 1), at = t & (half - 1);
            order_pair(keys, index, 2 * block + at, 2 * block + 2 * half - 1 - at, n);
        }
        for (u32 step = half / 2; step > 0; step /= 2) {
            __syncwarp();
            for (u32 t = lane(); t < pairs; t += 32) {
                u32 low = 2 * (t & ~(step - 1)) + (t & (step - 1));
                order_pair(keys, index, low, low + step, n);
            }
        }
    }
    __syncwarp();
}

// ---- The simplex ----

struct Simplex {
    u32 n;
    // Of stretched columns the compute is so many times the scaled one.
    double stretch;
    u32 basis[4];
    Column value;
    // The inverse of the basis, by rows.
    Column inverse[4];
    // It took more steps than a cell may: the vertex is not the CPU's.
    bool tired;
};

static __device__ __forceinline__ Column column_at(const Space& s, double stretch, u32 place) {
    return {{s.scaled()[place], s.scaled()[s.most + place], s.scaled()[2 * s.most + place],
             __dmul_rn(s.scaled()[3 * s.most + place], stretch)}};
}

// Of a request or a slack.
static __device__ __forceinline__ Column variable_at(const Space& s, const Simplex& x, u32 variable) {
    if (variable < x.n) {
        return column_at(s, x.stretch, variable);
    }
    Column column;
    for (int r = 0; r < 4; r++) {
        column.r[r] = variable == x.n + r ? 1.0 : 0.0;
    }
    return column;
}

static __device__ __forceinline__ bool in_basis(const Simplex& x, u32 variable) {
    return x.basis[0] == variable || x.basis[1] == variable || x.basis[2] == variable || x.basis[3] == variable;
}

static __device__ __forceinline__ Column duals(const Simplex& x) {
    Column y = {{0.0, 0.0, 0.0, 0.0}};
    for (int i = 0; i < 4; i++) {
        if (x.basis[i] < x.n) {
            for (int r = 0; r < 4; r++) {
                y.r[r] = __dadd_rn(y.r[r], x.inverse[i].r[r]);
            }
        }
    }
    return y;
}

// Takes what is worth its price at `warm` as far as it fits, in the order of places.
static __device__ void start(Simplex& x, const Space& s, const Column& limit, const Column& warm) {
    Column left = limit;
    u32 words = (x.n + 31) / 32;
    bool priced = warm.r[0] > 0.0 || warm.r[1] > 0.0 || warm.r[2] > 0.0 || warm.r[3] > 0.0;
    for (u32 w = lane(); w < words; w += 32) {
        s.upper()[w] = 0;
    }
    __syncwarp();
    for (u32 pass = 0; priced && pass < 2; pass++) {
        for (u32 w = 0; w < words; w++) {
            u32 place = 32 * w + lane(), taken = s.upper()[w];
            bool worth = false;
            if (place < x.n) {
                double all = dot(column_at(s, x.stretch, place), warm);
                worth = pass == 0 ? all < 1.0 - TIE
                                  : (taken >> lane() & 1) == 0 && size_of(__dsub_rn(all, 1.0)) <= TIE;
            }
            u32 mask = __ballot_sync(ALL, worth);
            while (mask != 0) {
                u32 at = __ffs(mask) - 1;
                mask &= mask - 1;
                Column c = column_at(s, x.stretch, 32 * w + at);
                if (c.r[0] <= left.r[0] && c.r[1] <= left.r[1] && c.r[2] <= left.r[2] && c.r[3] <= left.r[3]) {
                    for (int r = 0; r < 4; r++) {
                        left.r[r] = __dsub_rn(left.r[r], c.r[r]);
                    }
                    taken |= 1u << at;
                }
            }
            __syncwarp();
            if (lane() == 0) {
                s.upper()[w] = taken;
            }
        }
        __syncwarp();
    }
    for (int i = 0; i < 4; i++) {
        x.basis[i] = x.n + i;
        for (int r = 0; r < 4; r++) {
            x.inverse[i].r[r] = i == r ? 1.0 : 0.0;
        }
    }
    x.value = left;
}

// Of `count` gains, and their places in the list, keeps the best `CANDIDATES` places in the list.
static __device__ void keep_best(const Space& s, u32 count) {
    u64 most = 0;
    for (u32 i = lane(); i < count; i += 32) {
        u64 gain = order_of(s.gains()[i]);
        most = gain > most ? gain : most;
    }
    // At least so many are not below `low`, and fewer than that not below `high`.
    u64 low = 0, high = most_of(most) + 1;
    u64 middle = high - 1;
    while (low + 1 < high) {
        u32 reached = 0;
        for (u32 i = lane(); i < count; i += 32) {
            reached += order_of(s.gains()[i]) >= middle;
        }
        reached = sum_of(reached);
        if (reached >= CANDIDATES) {
            low = middle;
        } else {
            high = middle;
        }
        if (reached == CANDIDATES) {
            break;
        }
        middle = low + (high - low) / 2;
    }
    // Those at `low` fill up the rest, the first ones.
    u32 above = 0;
    for (u32 i = lane(); i < count; i += 32) {
        above += order_of(s.gains()[i]) > low;
    }
    above = sum_of(above);
    u32 kept = 0, equals = CANDIDATES - above;
    for (u32 i = 0; i < count; i += 32) {
        u64 gain = i + lane() < count ? order_of(s.gains()[i + lane()]) : 0;
        u32 place = i + lane() < count ? s.list()[i + lane()] : 0;
        u32 same = __ballot_sync(ALL, i + lane() < count && gain == low);
        bool keep = i + lane() < count && (gain > low || (gain == low && below(same) < equals));
        u32 here = __popc(same);
        equals -= here < equals ? here : equals;
        u32 mask = __ballot_sync(ALL, keep);
        __syncwarp();
        if (keep) {
            s.list()[kept + below(mask)] = place;
        }
        kept += __popc(mask);
        __syncwarp();
    }
}

// B⁻¹ by elimination with row pivots; false if numbers have degenerated.
static __device__ bool invert(Simplex& x, const Space& s) {
    double m[4][4], inverse[4][4];
    for (int c = 0; c < 4; c++) {
        Column column = variable_at(s, x, x.basis[c]);
        for (int r = 0; r < 4; r++) {
            m[r][c] = column.r[r];
            inverse[r][c] = r == c ? 1.0 : 0.0;
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        // The last of the largest.
        int pivot = i;
        u64 most = order_of(m[i][i]);
#pragma unroll
        for (int r = i + 1; r < 4; r++) {
            u64 size = order_of(m[r][i]);
            if (size >= most) {
                most = size;
                pivot = r;
            }
        }
        if (__longlong_as_double((i64)most) < 1e-14) {
            return false;
        }
#pragma unroll
        for (int r = i + 1; r < 4; r++) {
            if (r == pivot) {
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    double held = m[i][c];
                    m[i][c] = m[r][c];
                    m[r][c] = held;
                    held = inverse[i][c];
                    inverse[i][c] = inverse[r][c];
                    inverse[r][c] = held;
                }
            }
        }
        double scale = __ddiv_rn(1.0, m[i][i]);
#pragma unroll
        for (int c = 0; c < 4; c++) {
            // What is left of column i is not looked at again.
            if (c > i) {
                m[i][c] = __dmul_rn(m[i][c], scale);
            }
            inverse[i][c] = __dmul_rn(inverse[i][c], scale);
        }
#pragma unroll
        for (int r = 0; r < 4; r++) {
            if (r != i) {
                double factor = m[r][i];
#pragma unroll
                for (int c = 0; c < 4; c++) {
                    if (c > i) {
                        m[r][c] = __dsub_rn(m[r][c], __dmul_rn(factor, m[i][c]));
                    }
                    inverse[r][c] = __dsub_rn(inverse[r][c], __dmul_rn(factor, inverse[i][c]));
                }
            }
        }
    }
    for (int r = 0; r < 4; r++) {
        for (int c = 0; c < 4; c++) {
            x.inverse[r].r[c] = inverse[r][c];
        }
    }
    return true;
}

// A candidate of a lane; of equals in a lane the first is looked at first, which is the lower one.
struct Candidate {
    u32 place;
    bool upper;
    Column column;
};

static __device__ __forceinline__ Candidate candidate_at(const Space& s, const Simplex& x, u32 at, u32 count) {
    Candidate c = {NONE_16, false, {{0.0, 0.0, 0.0, 0.0}}};
    if (at < count) {
        c.place = s.list()[at];
        c.upper = s.upper()[c.place / 32] >> (c.place % 32) & 1;
        c.column = column_at(s, x.stretch, c.place);
    }
    return c;
}

static __device__ __forceinline__ void look_at(const Simplex& x, const Column& y, const Candidate& c, double& most,
                                               u32& best) {
    if (c.place != NONE_16 && !in_basis(x, c.place)) {
        double reduced = __dsub_rn(1.0, dot(y, c.column));
        double gain = c.upper ? -reduced : reduced;
        if (gain > most) {
            most = gain;
            best = c.place;
        }
    }
}

// Moves `entering` as far as it goes; false if numbers have degenerated.
static __device__ bool step(Simplex& x, const Space& s, u32 entering, Candidate* candidates) {
    Column column = variable_at(s, x, entering);
    bool entering_upper = entering < x.n && (s.upper()[entering / 32] >> (entering % 32) & 1) != 0;
    double direction = entering_upper ? -1.0 : 1.0;
    Column change;
    bool bounded = entering < x.n;
    double length = 1.0;
    int leaving = -1;
    bool leaves_upper = false;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        change.r[i] = __dmul_rn(direction, dot(x.inverse[i], column));
        double rate = change.r[i], room;
        bool to_upper;
        if (rate > TINY) {
            room = x.value.r[i];
            to_upper = false;
        } else if (rate < -TINY && x.basis[i] < x.n) {
            room = __dsub_rn(1.0, x.value.r[i]);
            to_upper = true;
        } else {
            continue;
        }
        double reach = __ddiv_rn(room > 0.0 ? room : 0.0, size_of(rate));
        // Slacks have no upper bound, but an infinite reach is none.
        if (bounded ? reach < length : order_of(reach) < 0x7ff0000000000000ull) {
            length = reach;
            leaving = i;
            leaves_upper = to_upper;
            bounded = true;
        }
    }
    if (!bounded) {
        return false;
    }
    for (int i = 0; i < 4; i++) {
        x.value.r[i] = __dsub_rn(x.value.r[i], __dmul_rn(length, change.r[i]));
    }
    // The bit that changes.
    u32 changed = entering;
    bool upper = !entering_upper;
    if (leaving >= 0) {
        double value = __dadd_rn(entering_upper ? 1.0 : 0.0, __dmul_rn(direction, length));
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (i == leaving) {
                changed = x.basis[i];
                x.value.r[i] = value;
                x.basis[i] = entering;
            }
        }
        upper = leaves_upper;
    }
    if (changed < x.n) {
        for (int i = 0; i < 2; i++) {
            if (candidates[i].place == changed) {
                candidates[i].upper = upper;
            }
        }
        __syncwarp();
        if (lane() == 0) {
            u32 bit = 1u << (changed % 32);
            s.upper()[changed / 32] = upper ? s.upper()[changed / 32] | bit : s.upper()[changed / 32] & ~bit;
        }
        __syncwarp();
    }
    return leaving < 0 || invert(x, s);
}

// The duals of the rows at the optimum; `x` keeps the vertex.
static __device__ Column maximise(Simplex& x, const Space& s, const Column& limit, const Column& warm) {
    start(x, s, limit, warm);
    u32 steps = 20 * x.n + 100, taken = 0;
    x.tired = false;
    while (steps > 0 && !x.tired) {
        // The best candidates of all.
        Column y = duals(x);
        u32 count = 0;
        for (u32 first = 0; first < x.n; first += 32) {
            u32 place = first + lane();
            double gain = 0.0;
            if (place < x.n) {
                double reduced = __dsub_rn(1.0, dot(y, column_at(s, x.stretch, place)));
                gain = s.upper()[first / 32] >> lane() & 1 ? -reduced : reduced;
            }
            bool keep = gain > TINY && !in_basis(x, place);
            u32 mask = __ballot_sync(ALL, keep);
            if (keep) {
                s.list()[count + below(mask)] = place;
                s.gains()[count + below(mask)] = gain;
            }
            count += __popc(mask);
        }
        __syncwarp();
        if (count > CANDIDATES) {
            keep_best(s, count);
            count = CANDIDATES;
        }
        u32 slacks = 0;
        for (int r = 0; r < 4; r++) {
            slacks |= (u32)(-y.r[r] > TINY && !in_basis(x, x.n + r)) << r;
        }
        if (count == 0 && slacks == 0) {
            break;
        }
        Candidate candidates[2] = {candidate_at(s, x, lane(), count), candidate_at(s, x, lane() + 32, count)};
        // And of these one after the other.
        while (steps > 0) {
            if (++taken > MAX_STEPS) {
                x.tired = true;
                break;
            }
            y = duals(x);
            double most = TINY;
            u32 best = NONE_16;
            look_at(x, y, candidates[0], most, best);
            look_at(x, y, candidates[1], most, best);
            for (u32 half = 16; half > 0; half /= 2) {
                double other = __shfl_xor_sync(ALL, most, half);
                u32 place = __shfl_xor_sync(ALL, best, half);
                if (other > most || (other == most && place < best)) {
                    most = other;
                    best = place;
                }
            }
            for (int r = 0; r < 4; r++) {
                if ((slacks >> r & 1) != 0 && !in_basis(x, x.n + r) && -y.r[r] > most) {
                    most = -y.r[r];
                    best = x.n + r;
                }
            }
            if (best == NONE_16) {
                break;
            }
            if (!step(x, s, best, candidates)) {
                steps = 1;
            }
            steps--;
        }
        __syncwarp();
    }
    Column y = duals(x);
    for (int r = 0; r < 4; r++) {
        y.r[r] = y.r[r] > 0.0 ? y.r[r] : 0.0;
    }
    return y;
}

// ---- A cell ----

// How a search ended; what it gives up is the host's.
enum Outcome { FOUND, EMPTY, HOST };

// A cell as it is solved.
struct State {
    const CellsArgs& args;
    Space s;
    Cell cell;
    CellResult* result;
    // What turns costs into fractions: 1/capacity, and for compute 1/(the largest budget).
    Column scale;
    u32 size;
    u32 programs;
    u32 subproblems;
    u32 nodes;
    u32 paths_checked;
    u32 paths_open;
};

static __device__ __forceinline__ u64 budget_at(const State& c, u32 place) {
    return at<const u64>(c.args.budget)[c.cell.first + c.s.index()[place]];
}

static __device__ __forceinline__ Costs cost_at(const State& c, u32 place) {
    u64 row = c.cell.first + c.s.index()[place];
    return {{at<const u64>(c.args.uplink)[row], at<const u64>(c.args.downlink)[row],
             at<const u64>(c.args.kv_tokens)[row], at<const u64>(c.args.compute)[row]}};
}

// The capacities under the budget of a place.
static __device__ __forceinline__ Costs capacities(const State& c, u32 place) {
    return {{c.cell.capacity[0], c.cell.capacity[1], c.cell.capacity[2], budget_at(c, place)}};
}

static __device__ __forceinline__ double real(u64 x) {
    return __ull2double_rn(x);
}

// Sorts by deadline and fills in what is known before anything is.
static __device__ void prepare(State& c) {
    const Space& s = c.s;
    u32 n = c.cell.rows;
    u64* keys = reinterpret_cast<u64*>(s.scaled());
    for (u32 i = lane(); i < n; i += 32) {
        keys[i] = ~at<const u64>(c.args.budget)[c.cell.first + i];
        s.index()[i] = i;
    }
    sort(keys, s.index(), n);
    for (u32 place = lane(); place < n; place += 32) {
        bool end = place + 1 == n || keys[place] != keys[place + 1];
        s.bound()[place] = place + 1;
        s.refuted()[place] = NONE_16;
        s.owner()[place] = 0;
        s.program()[place] = NONE_8;
        s.helped()[place] = 0;
        s.flags()[place] = end ? END | OPEN : 0;
    }
    for (u32 w = lane(); w < s.most / 32; w += 32) {
        s.best()[w] = 0;
    }
    u64 most = ~keys[0];
    for (int r = 0; r < 4; r++) {
        u64 room = r < 3 ? c.cell.capacity[r] : most;
        c.scale.r[r] = __ddiv_rn(1.0, real(room > 0 ? room : 1));
    }
    __syncwarp();
    for (u32 place = lane(); place < n; place += 32) {
        Costs cost = cost_at(c, place);
        for (int r = 0; r < 4; r++) {
            s.scaled()[r * s.most + place] = __dmul_rn(real(cost.r[r]), c.scale.r[r]);
        }
    }
    __syncwarp();
}

static __device__ __forceinline__ u32 bound_of(const Space& s, u32 place) {
    u32 bound = s.bound()[place], refuted = s.refuted()[place] - 1;
    return bound < refuted ? bound : refuted;
}

// Closes deadlines with a bound below `target`. Returns the first of those with the largest bound, and the bound; 0 if
// none is open.
static __device__ u32 close(const Space& s, u32 n, u32 target) {
    u32 worst = 0;
    for (u32 place = lane(); place < n; place += 32) {
        if ((s.flags()[place] & OPEN) != 0) {
            u32 bound = bound_of(s, place);
            if (bound < target) {
                s.flags()[place] = END;
            } else {
                u32 key = bound << 16 | (NONE_16 - place);
                worst = key > worst ? key : worst;
            }
        }
    }
    __syncwarp();
    return most_of(worst);
}

// Lowers every bound that the multipliers of a program improve.
static __device__ void add_bounds(const State& c, const Multipliers& m, u32 program) {
    const Space& s = c.s;
    Costs fixed = {{c.cell.capacity[0], c.cell.capacity[1], c.cell.capacity[2], 0}};
    u128 before = price(m, fixed);
    for (u32 first = 0; first < c.cell.rows; first += 32) {
        u32 place = first + lane();
        bool is = place < c.cell.rows;
        u128 gained = before + sum_to(is ? positive_gain(m, cost_at(c, place)) : 0);
        if (is && (s.flags()[place] & OPEN) != 0) {
            u128 bound = (product(m.lambda[3], budget_at(c, place)) + gained) >> m.one_bits;
            if (bound < s.bound()[place]) {
                s.bound()[place] = (u16)bound;
                s.owner()[place] = program;
            }
        }
        before = from_parts(__shfl_sync(ALL, (u64)(gained >> 64), 31), __shfl_sync(ALL, (u64)gained, 31));
    }
    __syncwarp();
}

// The linear program of a deadline; returns λ, and leaves its vertex in `x`.
static __device__ Column relax(const State& c, u32 place, Column warm, Simplex& x) {
    u64 least = budget_at(c, place);
    double budget = real(least > 0 ? least : 1);
    Column scale = c.scale;
    x.n = place + 1;
    x.stretch = 1.0;
    double stretch = __ddiv_rn(1.0, __dmul_rn(budget, scale.r[3]));
    if (stretch > MAX_STRETCH) {
        scale.r[3] = __ddiv_rn(1.0, budget);
        x.stretch = stretch;
    }
    Costs left = capacities(c, place);
    Column limit;
    for (int r = 0; r < 4; r++) {
        limit.r[r] = __dmul_rn(real(left.r[r]), scale.r[r]);
        warm.r[r] = __ddiv_rn(warm.r[r], scale.r[r]);
    }
    Column y = maximise(x, c.s, limit, warm);
    for (int r = 0; r < 4; r++) {
        y.r[r] = __dmul_rn(y.r[r], scale.r[r]);
    }
    return y;
}

static __device__ __forceinline__ Costs sum_of(Costs sum) {
    for (int r = 0; r < 4; r++) {
        sum.r[r] = sum_of(sum.r[r]);
    }
    return sum;
}

// Rounds the vertex of a deadline to a batch in `chosen`, and keeps it if it is the largest. False if there is too much
// to look at.
static __device__ bool round(State& c, u32 end, const Column& lambda, const Simplex& x) {
    if (x.tired) {
        return false;
    }
    const Space& s = c.s;
    u32 words = (x.n + 31) / 32, count = 0;
    Column y;
    for (int r = 0; r < 4; r++) {
        y.r[r] = __ddiv_rn(lambda.r[r], c.scale.r[r]);
    }
    // What the vertex takes whole: all of it, or in order as far as it fits.
    Costs left = capacities(c, end), all = {{0, 0, 0, 0}};
    for (u32 w = 0; w < words; w++) {
        u32 mask = s.upper()[w];
        for (int i = 0; i < 4; i++) {
            if (x.basis[i] < x.n && x.basis[i] / 32 == w) {
                u32 bit = 1u << (x.basis[i] % 32);
                mask = x.value.r[i] > 1.0 - WHOLE ? mask | bit : mask & ~bit;
            }
        }
        if ((mask >> lane() & 1) != 0) {
            give(all, cost_at(c, 32 * w + lane()));
        }
        __syncwarp();
        if (lane() == 0) {
            s.chosen()[w] = mask;
        }
        count += __popc(mask);
    }
    __syncwarp();
    all = sum_of(all);
    if (fits(all, left)) {
        take(left, all);
    } else {
        count = 0;
        for (u32 w = 0; w < words; w++) {
            u32 mask = s.chosen()[w], kept = 0;
            while (mask != 0) {
                u32 at = __ffs(mask) - 1;
                mask &= mask - 1;
                Costs cost = cost_at(c, 32 * w + at);
                if (fits(cost, left)) {
                    take(left, cost);
                    kept |= 1u << at;
                    count++;
                }
            }
            __syncwarp();
            if (lane() == 0) {
                s.chosen()[w] = kept;
            }
        }
        __syncwarp();
    }
    // Of the others, what still fits, by price: as long as there is any, the first.
    u32 others = 0;
    for (u32 w = 0; w < words; w++) {
        u32 place = 32 * w + lane();
        bool other = place < x.n && (s.chosen()[w] >> lane() & 1) == 0 && fits(cost_at(c, place), left);
        u32 mask = __ballot_sync(ALL, other);
        if (other) {
            s.list()[others + below(mask)] = place;
            s.gains()[others + below(mask)] = dot(column_at(s, 1.0, place), y);
        }
        others += __popc(mask);
    }
    __syncwarp();
    if (others > FILL) {
        return false;
    }
    while (others > 0) {
        u64 least = ~0ull;
        u32 first = NONE_16;
        for (u32 i = lane(); i < others; i += 32) {
            u32 place = s.list()[i];
            if (place == NONE_16) {
                continue;
            }
            if (!fits(cost_at(c, place), left)) {
                s.list()[i] = NONE_16;
                continue;
            }
            u64 key = order_of(s.gains()[i]);
            // Places ascend.
            if (key < least) {
                least = key;
                first = place;
            }
        }
        for (u32 half = 16; half > 0; half /= 2) {
            u64 key = __shfl_xor_sync(ALL, least, half);
            u32 place = __shfl_xor_sync(ALL, first, half);
            if (key < least || (key == least && place < first)) {
                least = key;
                first = place;
            }
        }
        if (first == NONE_16) {
            break;
        }
        take(left, cost_at(c, first));
        count++;
        for (u32 i = lane(); i < others; i += 32) {
            if (s.list()[i] == first) {
                s.list()[i] = NONE_16;
            }
        }
        if (lane() == 0) {
            s.chosen()[first / 32] |= 1u << (first % 32);
        }
        __syncwarp();
    }
    if (count > c.size) {
        c.size = count;
        for (u32 w = lane(); w < s.most / 32; w += 32) {
            s.best()[w] = w < words ? s.chosen()[w] : 0;
        }
    }
    __syncwarp();
    return true;
}

// ---- A subproblem ----

// A tree of counts, as in src/tree/. Entry v of group k is at first[k] + k + v.
struct Tree {
    Costs cost[CELL_FREE];
    Costs needed[2 * CELL_FREE];
    u64 loss[2 * CELL_FREE];
    i64 gain[CELL_FREE];
    u16 place[CELL_FREE];
    u16 group[CELL_FREE];
    u16 order[2 * CELL_FREE];
    u16 first[CELL_FREE + 1];
    u16 part[CELL_FREE];
    u16 floor[CELL_FREE];
    u16 part_needs[CELL_FREE];
    u16 part_end[CELL_FREE];
    // Of a walk: the count of each group, the next place in its order, and what was needed before it.
    u16 count[CELL_FREE];
    u16 next[CELL_FREE];
    u16 need[CELL_FREE];
    u32 groups;
};

struct Leaf {
    // The free requests.
    Costs cost[CELL_FREE];
    i64 gain[CELL_FREE];
    u16 place[CELL_FREE];
    // Their group and their place in it.
    u16 group[CELL_FREE];
    u16 spot[CELL_FREE];
    // Of groups: the last request, the number, the least size of a gain, and the place among the groups.
    u16 last[CELL_FREE];
    u16 count[CELL_FREE];
    u16 target[CELL_FREE];
    u64 least[CELL_FREE];
    // Costs of a class in ascending order; prices in a direction.
    u64 cheapest[2][CELL_FREE];
    u64 price[CELL_FREE];
    // What floors are made of, and the floors.
    u64 ascending[4][FLOORED];
    i64 descending[FLOORED];
    u64 floor_loss[CELL_FLOORS];
    Costs floor_cost[CELL_FLOORS];
    Tree outer;
    Tree inner;
};
static_assert(sizeof(Leaf) <= CELL_LEAF_BYTES, "it fits");

// Requests to make groups of.
struct Free {
    const Costs* cost;
    const i64* gain;
    const u16* place;
};

static __device__ __forceinline__ bool dominates(const Costs& a, const Costs& b) {
    return fits(a, b);
}

static __device__ __forceinline__ int compare(u64 a, u64 b) {
    return a < b ? -1 : a > b;
}

// The order of gains, the largest first; then of costs and rows.
static __device__ bool comes_first(const State& c, const Free& free, u32 a, u32 b, bool by_class) {
    const Costs &x = free.cost[a], &y = free.cost[b];
    int order = by_class ? compare(x.r[2], y.r[2]) : 0;
    order = order == 0 && by_class ? compare(x.r[3], y.r[3]) : order;
    if (order == 0) {
        order = free.gain[a] > free.gain[b] ? -1 : free.gain[a] < free.gain[b];
    }
    for (int r = 0; r < 4; r++) {
        order = order == 0 ? compare(x.r[r], y.r[r]) : order;
    }
    return order != 0 ? order < 0 : c.s.index()[free.place[a]] < c.s.index()[free.place[b]];
}

// Sorts free requests, from one memory into another.
static __device__ void sort_free(const State& c, const Free& free, u32 count, bool by_class, Costs* cost, i64* gain,
                                 u16* place) {
    for (u32 i = lane(); i < count; i += 32) {
        u32 rank = 0;
        for (u32 j = 0; j < count; j++) {
            rank += j != i && comes_first(c, free, j, i, by_class);
        }
        cost[rank] = free.cost[i];
        gain[rank] = free.gain[i];
        place[rank] = free.place[i];
    }
    __syncwarp();
}

static __device__ __forceinline__ u64 size_of(i64 gain) {
    return gain < 0 ? (u64)-gain : (u64)gain;
}

// Partitions the requests from..to, which come by gain, into chains. Returns the number.
static __device__ u32 find_chains(Leaf& f, const Free& free, u32 from, u32 to) {
    u32 chains = 0;
    for (u32 i = from; i < to; i++) {
        Costs cost = free.cost[i];
        // The nearest in gain of those that dominate it; of equals, the newest.
        u64 nearest = ~0ull;
        u32 mine = 0;
        for (u32 chain = lane(); chain < chains; chain += 32) {
            u32 last = f.last[chain];
            u64 away = (u64)(free.gain[last] - free.gain[i]);
            if (dominates(free.cost[last], cost) && away <= nearest) {
                nearest = away;
                mine = chain + 1;
            }
        }
        for (u32 half = 16; half > 0; half /= 2) {
            u64 away = __shfl_xor_sync(ALL, nearest, half);
            u32 chain = __shfl_xor_sync(ALL, mine, half);
            if (away < nearest || (away == nearest && chain > mine)) {
                nearest = away;
                mine = chain;
            }
        }
        __syncwarp();
        if (lane() == 0) {
            u64 size = size_of(free.gain[i]);
            u32 chain = mine != 0 ? mine - 1 : chains;
            f.group[i] = chain;
            f.spot[i] = mine != 0 ? f.count[chain] : 0;
            f.last[chain] = i;
            f.count[chain] = f.spot[i] + 1;
            f.least[chain] = mine != 0 && f.least[chain] < size ? f.least[chain] : size;
        }
        chains += mine == 0;
        __syncwarp();
    }
    return chains;
}

// Requests in the order of classes as one group each. Returns the number.
static __device__ u32 find_classes(Leaf& f, const Free& free, u32 count) {
    u32 classes = 0;
    for (u32 first = 0; first < count; first += 32) {
        u32 i = first + lane();
        bool begins = i < count && (i == 0 || free.cost[i].r[2] != free.cost[i - 1].r[2] ||
                                    free.cost[i].r[3] != free.cost[i - 1].r[3]);
        u32 mask = __ballot_sync(ALL, begins);
        if (i < count) {
            u32 group = classes + below(mask) + begins - 1;
            f.group[i] = group;
            if (begins) {
                f.last[group] = i;
            }
        }
        classes += __popc(mask);
    }
    __syncwarp();
    for (u32 group = lane(); group < classes; group += 32) {
        u32 from = f.last[group], to = group + 1 < classes ? f.last[group + 1] : count;
        u64 least = ~0ull;
        for (u32 i = from; i < to; i++) {
            u64 size = size_of(free.gain[i]);
            least = size < least ? size : least;
            f.spot[i] = i - from;
        }
        f.count[group] = to - from;
        f.least[group] = least;
    }
    __syncwarp();
    return classes;
}

// Adds groups that were found among the requests from..to to a tree, as one part.
static __device__ void add_groups(Leaf& f, Tree& t, const Free& free, u32 from, u32 to, u32 found, u32 part,
                                  bool classes) {
    u32 base = t.groups;
    // Those in which another count costs most come first.
    for (u32 g = lane(); g < found; g += 32) {
        u32 target = base, first = from;
        for (u32 other = 0; other < found; other++) {
            if (f.least[other] > f.least[g] || (f.least[other] == f.least[g] && other < g)) {
                target++;
                first += f.count[other];
            }
        }
        f.target[g] = target;
        t.first[target] = first;
        t.part[target] = part;
        t.floor[target] = NONE_16;
    }
    __syncwarp();
    for (u32 i = from + lane(); i < to; i += 32) {
        u32 group = f.target[f.group[i]], at = t.first[group] + f.spot[i];
        t.cost[at] = free.cost[i];
        t.gain[at] = free.gain[i];
        t.place[at] = free.place[i];
        t.group[at] = group;
    }
    if (lane() == 0) {
        t.groups = base + found;
        t.first[base + found] = to;
        t.part_end[part] = base + found;
    }
    __syncwarp();
    // Of a class the least costs of the bands, each by itself.
    for (u32 i = from + lane(); i < to; i += 32) {
        u32 group = t.group[i], begin = t.first[group], end = t.first[group + 1];
        for (int r = 0; r < 2; r++) {
            u64 cost = t.cost[i].r[r];
            u32 at = i;
            if (classes) {
                at = begin;
                for (u32 j = begin; j < end; j++) {
                    u64 other = t.cost[j].r[r];
                    at += other < cost || (other == cost && j < i);
                }
            }
            f.cheapest[r][at] = cost;
        }
    }
    __syncwarp();
    for (u32 group = base + lane(); group < t.groups; group += 32) {
        u32 begin = t.first[group], end = t.first[group + 1];
        i64 natural = 0;
        for (u32 i = begin; i < end; i++) {
            natural += t.gain[i] > 0 ? t.gain[i] : 0;
        }
        Costs sum = {{0, 0, 0, 0}};
        t.loss[begin + group] = natural;
        t.needed[begin + group] = sum;
        for (u32 i = begin; i < end; i++) {
            natural -= t.gain[i];
            give(sum, {{f.cheapest[0][i], f.cheapest[1][i], t.cost[i].r[2], t.cost[i].r[3]}});
            t.loss[i + group + 1] = natural;
            t.needed[i + group + 1] = sum;
        }
    }
    __syncwarp();
    // Counts by loss: of each request the count that ends with it, and of each group the count 0.
    for (u32 i = from + lane(); i < to + found; i += 32) {
        u32 group = i < to ? t.group[i] : base + i - to;
        u32 entry = t.first[group] + group, count = i < to ? i - t.first[group] + 1 : 0;
        u32 counts = t.first[group + 1] - t.first[group] + 1, rank = 0;
        u64 loss = t.loss[entry + count];
        for (u32 v = 0; v < counts; v++) {
            u64 other = t.loss[entry + v];
            rank += other < loss || (other == loss && v < count);
        }
        t.order[entry + rank] = count;
    }
    __syncwarp();
}

// Adds the floors of the last groups. False if there are too many.
static __device__ bool add_floors(Leaf& f, Tree& t) {
    // Lane r has the costs of resource r, and lane 4 the losses.
    u32 r = lane();
    u64 after = 0;
    u32 part = ~0u, covered = 0, held = 0, floors = 0;
    for (u32 k = t.groups; k-- > 0;) {
        if (t.part[k] != part) {
            if (k + 1 < t.groups) {
                u32 needs = t.part_needs[t.part[k + 1]], floor = t.floor[k + 1];
                if (floor == NONE_16 || needs > held) {
                    return true;
                }
                if (r < 4) {
                    after = f.floor_cost[floor + needs].r[r];
                } else if (r == 4) {
                    after = f.floor_loss[floor + needs];
                }
            }
            part = t.part[k];
            held = 0;
        }
        u32 begin = t.first[k], end = t.first[k + 1];
        covered += end - begin;
        if (covered > FLOORED) {
            return true;
        }
        if (floors + held + (end - begin) + 1 > CELL_FLOORS) {
            return false;
        }
        for (u32 i = begin; i < end; i++, held++) {
            u32 at = held;
            if (r < 4) {
                u64 cost = t.cost[i].r[r];
                for (; at > 0 && f.ascending[r][at - 1] >= cost; at--) {
                    f.ascending[r][at] = f.ascending[r][at - 1];
                }
                f.ascending[r][at] = cost;
            } else if (r == 4) {
                i64 gain = t.gain[i];
                for (; at > 0 && f.descending[at - 1] <= gain; at--) {
                    f.descending[at] = f.descending[at - 1];
                }
                f.descending[at] = gain;
            }
        }
        __syncwarp();
        if (r < 4) {
            u64 sum = after;
            for (u32 m = 0; m <= held; m++) {
                f.floor_cost[floors + m].r[r] = sum;
                sum += m < held ? f.ascending[r][m] : 0;
            }
        } else if (r == 4) {
            i64 loss = 0;
            for (u32 m = 0; m < held; m++) {
                loss += f.descending[m] > 0 ? f.descending[m] : 0;
            }
            for (u32 m = 0; m <= held; m++) {
                f.floor_loss[floors + m] = after + loss;
                loss -= m < held ? f.descending[m] : 0;
            }
        }
        if (r == 0) {
            t.floor[k] = floors;
        }
        floors += held + 1;
        __syncwarp();
    }
    return true;
}

// ---- A walk, by lane 0 ----

struct Walk {
    u32 k;
    Costs left;
    u64 loss;
};

enum Event { DONE, PATH, STOPPED };

static __device__ __forceinline__ u32 group_len(const Tree& t, u32 k) {
    return t.first[k + 1] - t.first[k];
}

static __device__ bool may_hold(const Tree& t, u32 k, u32 need, const Costs& left) {
    u32 end = t.part_end[t.part[k]];
    bool is_long = false;
    for (u32 g = k; g < end && end - k <= FEW_GROUPS; g++) {
        is_long |= group_len(t, g) >= LONG_GROUP;
    }
    if (!is_long) {
        return true;
    }
    u32 sum = 0;
    for (u32 g = k; g < end; g++) {
        // The largest count that fits; costs grow with it.
        u32 low = 0, high = group_len(t, g) + 1;
        while (low + 1 < high) {
            u32 middle = (low + high) / 2;
            if (fits(t.needed[t.first[g] + g + middle], left)) {
                low = middle;
            } else {
                high = middle;
            }
        }
        sum += low;
    }
    return sum >= need;
}

static __device__ bool viable(const Leaf& f, const Tree& t, u32 k, u32 need, const Costs& left, u64 loss) {
    if (k == t.groups) {
        return need == 0;
    }
    if (need > (u32)(t.first[t.part_end[t.part[k]]] - t.first[k]) || !may_hold(t, k, need, left)) {
        return false;
    }
    u32 floor = t.floor[k];
    return floor == NONE_16 || (f.floor_loss[floor + need] <= loss && fits(f.floor_cost[floor + need], left));
}

// Goes on to the next complete path.
static __device__ Event walk_on(const Leaf& f, Tree& t, Walk& w, u32& nodes) {
    for (;;) {
        u32 k = w.k, part = t.part[k], len = group_len(t, k), next = t.next[k], need = t.need[k];
        // The last group of a part takes what is still needed.
        bool closes = t.part_end[part] == k + 1;
        if (next > len || (closes && (next > 0 || need > len))) {
            if (k == 0) {
                return DONE;
            }
            w.k = --k;
            u32 entry = t.first[k] + k + t.count[k];
            give(w.left, t.needed[entry]);
            w.loss += t.loss[entry];
            continue;
        }
        u32 entry = t.first[k] + k, count = closes ? need : t.order[entry + next];
        entry += count;
        u64 lost = t.loss[entry];
        if (lost > w.loss) {
            // Counts come by loss: the rest lose more.
            t.next[k] = len + 1;
            continue;
        }
        t.next[k] = next + 1;
        nodes++;
        if (nodes > ALONE) {
            return STOPPED;
        }
        if (count > need) {
            continue;
        }
        need -= count;
        if (k + 1 == t.groups || t.part[k + 1] != part) {
            if (need != 0) {
                continue;
            }
            need = k + 1 == t.groups ? 0 : t.part_needs[t.part[k + 1]];
        }
        Costs cost = t.needed[entry];
        if (!fits(cost, w.left)) {
            continue;
        }
        Costs left = w.left;
        take(left, cost);
        if (!viable(f, t, k + 1, need, left, w.loss - lost)) {
            continue;
        }
        t.count[k] = count;
        if (k + 1 == t.groups) {
            return PATH;
        }
        w.k = k + 1;
        w.left = left;
        w.loss -= lost;
        t.next[k + 1] = 0;
        t.need[k + 1] = need;
    }
}

// Begins a walk, in all lanes. False if nothing can come of it.
static __device__ bool begin_walk(const Leaf& f, Tree& t, const Costs& left, u64 loss, Walk& w) {
    w.k = 0;
    w.left = left;
    w.loss = loss;
    u32 need = t.groups > 0 ? t.part_needs[0] : 0;
    if (lane() == 0) {
        t.next[0] = 0;
        t.need[0] = need;
    }
    __syncwarp();
    return viable(f, t, 0, need, left, loss);
}

static __device__ __forceinline__ u64 price_of(const u64* weight, u64 uplink, u64 downlink) {
    return (u64)((product(weight[0], uplink) + product(weight[1], downlink)) >> PRICE_SHIFT);
}

enum Verdict { DEAD, FITS, UNCLEAR };

// What the directions say of a path of counts of classes. Where one of them fits, the requests it takes are `chosen`.
static __device__ Verdict test(const State& c, Leaf& f, const Tree& t, const Costs& left, u32& tests) {
    u32 n = t.first[t.groups];
    Costs all = {{0, 0, 0, 0}};
    for (u32 i = lane(); i < n; i += 32) {
        all.r[0] += t.cost[i].r[0];
        all.r[1] += t.cost[i].r[1];
    }
    double room[2];
    for (int r = 0; r < 2; r++) {
        u64 sum = sum_of(all.r[r]);
        room[r] = __dadd_rn(real(left.r[r] < sum ? left.r[r] : sum), 1.0);
    }
    for (u32 j = 0; j < CELL_DIRECTIONS; j++) {
        u64 weight[2];
        for (int r = 0; r < 2; r++) {
            double share = __dmul_rn(c.args.directions[j][r], 1152921504606846976.0);
            weight[r] = (u64)__double2ll_rz(__ddiv_rn(share, room[r]));
        }
        tests++;
        for (u32 i = lane(); i < n; i += 32) {
            f.price[i] = price_of(weight, t.cost[i].r[0], t.cost[i].r[1]);
        }
        __syncwarp();
        u64 sum = 0, uplink = 0, downlink = 0;
        for (u32 i = lane(); i < n; i += 32) {
            u32 group = t.group[i], end = t.first[group + 1], rank = 0;
            u64 price = f.price[i];
            for (u32 other = t.first[group]; other < end; other++) {
                u64 its = f.price[other];
                rank += its < price || (its == price && other < i);
            }
            bool taken = rank < t.count[group];
            f.spot[i] = taken;
            sum += taken ? price : 0;
            uplink += taken ? t.cost[i].r[0] : 0;
            downlink += taken ? t.cost[i].r[1] : 0;
        }
        __syncwarp();
        if (sum_of(sum) > price_of(weight, left.r[0], left.r[1])) {
            return DEAD;
        }
        uplink = sum_of(uplink);
        downlink = sum_of(downlink);
        if (uplink <= left.r[0] && downlink <= left.r[1]) {
            for (u32 i = lane(); i < n; i += 32) {
                if (f.spot[i] != 0) {
                    atomicOr(&c.s.chosen()[t.place[i] / 32], 1u << (t.place[i] % 32));
                }
            }
            __syncwarp();
            return FITS;
        }
    }
    return UNCLEAR;
}

// The first requests of each chain are `chosen`.
static __device__ void choose_counted(const State& c, const Tree& t) {
    u32 n = t.first[t.groups];
    for (u32 i = lane(); i < n; i += 32) {
        u32 group = t.group[i];
        if (i - t.first[group] < t.count[group]) {
            atomicOr(&c.s.chosen()[t.place[i] / 32], 1u << (t.place[i] % 32));
        }
    }
    __syncwarp();
}

// Walks a tree of chains, whose first path is a batch.
static __device__ Outcome walk_chains(State& c, Leaf& f, Tree& t, const Costs& left, u64 loss, u32& nodes) {
    Walk w;
    if (!begin_walk(f, t, left, loss, w)) {
        return EMPTY;
    }
    u32 event = PATH;
    if (t.groups > 0) {
        if (lane() == 0) {
            event = walk_on(f, t, w, nodes);
        }
        __syncwarp();
        event = __shfl_sync(ALL, event, 0);
        nodes = __shfl_sync(ALL, nodes, 0);
    }
    if (event == STOPPED) {
        return HOST;
    }
    if (event == DONE) {
        return EMPTY;
    }
    c.paths_checked++;
    choose_counted(c, t);
    return FOUND;
}

// An open path of counts of classes: the chains of each class, of which so many are needed.
static __device__ Outcome settle(State& c, Leaf& f, const Costs& left, u64 loss, u32& nodes) {
    Tree &t = f.outer, &exact = f.inner;
    Free free = {t.cost, t.gain, t.place};
    u32 parts = t.groups;
    if (lane() == 0) {
        exact.groups = 0;
        exact.first[0] = 0;
    }
    for (u32 part = lane(); part < parts; part += 32) {
        exact.part_needs[part] = t.count[part];
    }
    __syncwarp();
    for (u32 part = 0; part < parts; part++) {
        u32 from = t.first[part], to = t.first[part + 1];
        u32 chains = find_chains(f, free, from, to);
        add_groups(f, exact, free, from, to, chains, part, false);
    }
    return add_floors(f, exact) ? walk_chains(c, f, exact, left, loss, nodes) : HOST;
}

// Searches the free requests of a subproblem: `need` of `count` of them within `left`, losing at most `loss`.
static __device__ Outcome search(State& c, Leaf& f, u32 count, u32 need, const Costs& left, u64 loss) {
    Tree& t = f.outer;
    Free sorted = {f.inner.cost, f.inner.gain, f.inner.place};
    sort_free(c, {f.cost, f.gain, f.place}, count, true, f.inner.cost, f.inner.gain, f.inner.place);
    u32 classes = find_classes(f, sorted, count);
    bool chained = true;
    for (u32 i = lane() + 1; i < count; i += 32) {
        chained &= f.group[i] != f.group[i - 1] || dominates(sorted.cost[i - 1], sorted.cost[i]);
    }
    bool by_class = classes * REQUESTS_PER_CLASS <= count && !__all_sync(ALL, chained);
    if (lane() == 0) {
        t.groups = 0;
        t.first[0] = 0;
        t.part_needs[0] = need;
    }
    __syncwarp();
    u32 nodes = 0;
    Outcome end = EMPTY;
    if (!by_class) {
        sort_free(c, sorted, count, false, f.cost, f.gain, f.place);
        Free by_gain = {f.cost, f.gain, f.place};
        if (count > 0) {
            u32 chains = find_chains(f, by_gain, 0, count);
            add_groups(f, t, by_gain, 0, count, chains, 0, false);
        }
        if (count == 0 && need > 0) {
            return EMPTY;
        }
        end = walk_chains(c, f, t, left, loss, nodes);
    } else {
        add_groups(f, t, sorted, 0, count, classes, 0, true);
        Walk w;
        u32 tests = 0;
        bool alive = begin_walk(f, t, left, loss, w);
        while (alive) {
            u32 event = PATH;
            if (lane() == 0) {
                event = walk_on(f, t, w, nodes);
            }
            __syncwarp();
            event = __shfl_sync(ALL, event, 0);
            nodes = __shfl_sync(ALL, nodes, 0);
            if (event == STOPPED || tests > MAX_TESTS) {
                return HOST;
            }
            if (event == DONE) {
                break;
            }
            c.paths_checked++;
            Verdict verdict = test(c, f, t, left, tests);
            if (verdict == FITS) {
                end = FOUND;
                break;
            }
            if (verdict == UNCLEAR) {
                c.paths_open++;
                end = settle(c, f, left, loss, nodes);
                if (end != EMPTY) {
                    break;
                }
            }
        }
    }
    c.nodes += nodes;
    return end;
}

// Searches the runs from `first` to `last`, places of deadlines, as one, for a batch of `size` requests in `chosen`.
static __device__ Outcome subproblem(State& c, Leaf& f, u32 first, u32 last, u32 size, const Multipliers& m) {
    const Space& s = c.s;
    c.subproblems++;
    u32 n = last + 1;
    Costs left = capacities(c, first);
    // What a batch may lose.
    u128 gained = 0;
    for (u32 place = lane(); place < n; place += 32) {
        gained += positive_gain(m, cost_at(c, place));
    }
    u128 bound = price(m, left) + sum_of(gained), target = (u128)size << m.one_bits, one = (u128)1 << m.one_bits;
    if (bound < target) {
        return EMPTY;
    }
    u128 budget = bound - target;
    // What λ decides, and the rest.
    u32 found = 0, taken = 0;
    Costs certain = {{0, 0, 0, 0}};
    for (u32 w = 0; w < s.most / 32; w++) {
        u32 place = 32 * w + lane();
        bool near = false, takes = false;
        if (place < n) {
            Costs cost = cost_at(c, place);
            u128 all = price(m, cost);
            near = (all > one ? all - one : one - all) <= budget;
            takes = !near && all < one;
            if (takes) {
                give(certain, cost);
            }
        }
        u32 mask = __ballot_sync(ALL, near), decided = __ballot_sync(ALL, takes);
        if (near) {
            s.list()[found + below(mask)] = place;
        }
        if (lane() == 0) {
            s.chosen()[w] = decided;
        }
        found += __popc(mask);
        taken += __popc(decided);
    }
    __syncwarp();
    certain = sum_of(certain);
    if (!fits(certain, left)) {
        return EMPTY;
    }
    take(left, certain);
    // What no longer fits stays out, at its loss.
    u128 lost = 0;
    u32 count = 0;
    for (u32 i = 0; i < found; i += 32) {
        bool is = i + lane() < found, free = false;
        u32 place = is ? s.list()[i + lane()] : 0;
        if (is) {
            Costs cost = cost_at(c, place);
            free = fits(cost, left);
            lost += free ? 0 : positive_gain(m, cost);
        }
        u32 mask = __ballot_sync(ALL, free);
        __syncwarp();
        if (free) {
            s.list()[count + below(mask)] = place;
        }
        count += __popc(mask);
        __syncwarp();
    }
    lost = sum_of(lost);
    if (lost > budget || size < taken) {
        return EMPTY;
    }
    budget -= lost;
    if (count > CELL_FREE) {
        return HOST;
    }
    u32 bits = bits_of(budget) + 32 - __clz(found), shift = m.one_bits > 40 ? m.one_bits - 40 : 0;
    shift = bits > 61 && bits - 61 > shift ? bits - 61 : shift;
    for (u32 i = lane(); i < count; i += 32) {
        u32 place = s.list()[i];
        Costs cost = cost_at(c, place);
        u128 all = price(m, cost);
        f.cost[i] = cost;
        f.gain[i] = all > one ? -(i64)((all - one) >> shift) : (i64)((one - all) >> shift);
        f.place[i] = place;
    }
    __syncwarp();
    return search(c, f, count, size - taken, left, (u64)(budget >> shift) + 1);
}

// ---- A cell from beginning to end ----

// What the result says of a deadline, given the size of the best batch.
static __device__ __forceinline__ u32 proof_of(const Space& s, u32 place, u32 size) {
    bool searched = s.bound()[place] > size;
    return searched ? 1u << 31 | s.helped()[place] << 16 | place : s.owner()[place];
}

// Writes the batch and the certificate. False if the certificate is too long.
static __device__ bool emit(const State& c, u32* batch) {
    const Space& s = c.s;
    u32 n = c.cell.rows;
    for (u32 w = lane(); w < (n + 31) / 32; w += 32) {
        batch[w] = 0;
    }
    __syncwarp();
    for (u32 place = lane(); place < n; place += 32) {
        if ((s.best()[place / 32] >> (place % 32) & 1) != 0) {
            u32 row = s.index()[place];
            atomicOr(&batch[row / 32], 1u << (row % 32));
        }
    }
    // A span begins where the last deadline has another proof, and each deadline begins after the last one.
    u32 spans = 0, last_proof = ~0u, last_end = 0;
    for (u32 first = 0; first < n; first += 32) {
        u32 place = first + lane();
        bool end = place < n && (s.flags()[place] & END) != 0;
        u32 proof = end ? proof_of(s, place, c.size) : 0;
        u32 ends = __ballot_sync(ALL, end);
        u32 before = ends & ((1u << lane()) - 1);
        u32 source = before == 0 ? 0 : 31 - __clz(before);
        u32 proof_before = __shfl_sync(ALL, proof, source);
        if (before == 0) {
            proof_before = last_proof;
        }
        u32 end_before = before == 0 ? last_end : first + source + 1;
        bool begins = end && proof != proof_before;
        u32 starts = __ballot_sync(ALL, begins);
        // The span that a deadline belongs to.
        u32 span = spans + below(starts) + (u32)begins;
        // It ends the span if the next deadline of these begins one; of the last, a later write is the one that holds.
        u32 after = ends & ~((2u << lane()) - 1);
        bool closes = end && (after == 0 || (starts >> (__ffs(after) - 1) & 1) != 0);
        u32 total = spans + __popc(starts);
        if (total > CELL_SPANS) {
            return false;
        }
        if (begins) {
            CellSpan& out = c.result->span[span - 1];
            out.first = end_before + 1;
            out.searched = proof >> 31;
            out.program = proof >> 31 != 0 ? proof >> 16 & 0xff : proof;
        }
        if (closes) {
            c.result->span[span - 1].last = place + 1;
        }
        __syncwarp();
        spans = total;
        if (ends != 0) {
            u32 last = 31 - __clz(ends);
            last_proof = __shfl_sync(ALL, proof, last);
            last_end = first + last + 1;
        }
    }
    if (lane() == 0) {
        c.result->size = c.size;
        c.result->bound_passes = c.programs - 1;
        c.result->subproblems = c.subproblems;
        c.result->nodes = c.nodes;
        c.result->paths_checked = c.paths_checked;
        c.result->paths_open = c.paths_open;
        c.result->spans = spans;
    }
    return true;
}

// Whether the cell was solved.
static __device__ bool solve(State& c, Leaf& f, u32* batch) {
    const Space& s = c.s;
    u32 n = c.cell.rows;
    if (n > 0) {
        prepare(c);
    }
    Column lambda = {{0.0, 0.0, 0.0, 0.0}};
    u32 span = 1;
    for (;;) {
        u32 worst = n > 0 ? close(s, n, c.size + 1) : 0;
        if (worst == 0) {
            return emit(c, batch);
        }
        u32 place = NONE_16 - (worst & 0xffff), bound = worst >> 16;
        if (s.program()[place] == NONE_8) {
            if (c.programs == CELL_PROGRAMS) {
                return false;
            }
            Simplex x;
            lambda = relax(c, place, lambda, x);
            Multipliers m = from_real(lambda);
            __syncwarp();
            if (lane() == 0) {
                s.program()[place] = c.programs;
                CellMultipliers& out = c.result->multipliers[c.programs];
                for (int r = 0; r < 4; r++) {
                    out.lambda[r] = m.lambda[r];
                }
                out.one_bits = m.one_bits;
            }
            __syncwarp();
            add_bounds(c, m, c.programs);
            c.programs++;
            if (!round(c, place, lambda, x)) {
                return false;
            }
            continue;
        }
        // Runs next to each other differ by little: searched as one, under the loosest of their budgets.
        u32 last = place, runs = 1;
        bool more = true;
        for (u32 first = place / 32 * 32; more && runs < span && first < n; first += 32) {
            u32 at = first + lane();
            bool open = at > place && at < n && (s.flags()[at] & OPEN) != 0;
            u32 mask = __ballot_sync(ALL, open), same = __ballot_sync(ALL, open && bound_of(s, at) == bound);
            while (mask != 0 && runs < span) {
                u32 bit = __ffs(mask) - 1;
                mask &= mask - 1;
                if ((same >> bit & 1) == 0) {
                    more = false;
                    break;
                }
                last = first + bit;
                runs++;
            }
        }
        CellMultipliers& solved = c.result->multipliers[s.program()[place]];
        Multipliers m = {{solved.lambda[0], solved.lambda[1], solved.lambda[2], solved.lambda[3]},
                         (u32)solved.one_bits};
        Outcome end = subproblem(c, f, place, last, bound, m);
        if (end == HOST) {
            return false;
        }
        __syncwarp();
        if (end == EMPTY) {
            u8 helped = s.program()[place];
            for (u32 at = place + lane(); at <= last; at += 32) {
                if ((s.flags()[at] & OPEN) != 0 && bound < s.refuted()[at]) {
                    s.refuted()[at] = bound;
                    s.helped()[at] = helped;
                }
            }
            span = 2 * span < MAX_SPAN ? 2 * span : MAX_SPAN;
        } else if (runs > 1) {
            // A batch of their relaxation, and none of theirs: one by one.
            span = 1;
        } else {
            c.size = bound;
            for (u32 w = lane(); w < s.most / 32; w += 32) {
                s.best()[w] = s.chosen()[w];
            }
        }
        __syncwarp();
    }
}

extern "C" __global__ void __launch_bounds__(32, 8) cells(const __grid_constant__ CellsArgs args) {
    DYNAMIC_SHARED(shared);
    u64 space_bytes = (u64)args.most * CELL_ROW_BYTES;
    u64 block_bytes = CELL_LEAF_BYTES + (args.shared != 0 ? 0 : space_bytes);
    u8* scratch = at<u8>(args.scratch) + blockIdx.x * block_bytes;
    State c = {args};
    c.s = {args.shared != 0 ? shared : scratch + CELL_LEAF_BYTES, args.most};
    for (;;) {
        u32 number = lane() == 0 ? atomicAdd(at<u32>(args.ticket), 1u) : 0;
        number = __shfl_sync(ALL, number, 0);
        if (number >= args.count) {
            return;
        }
        c.cell = at<const Cell>(args.cells)[number];
        c.result = at<CellResult>(args.results) + number;
        c.size = c.subproblems = c.nodes = c.paths_checked = c.paths_open = 0;
        c.programs = 1;
        bool solved = solve(c, *reinterpret_cast<Leaf*>(scratch), at<u32>(args.batches) + c.cell.batch);
        if (lane() == 0) {
            c.result->solved = solved;
        }
        __syncwarp();
    }
}
