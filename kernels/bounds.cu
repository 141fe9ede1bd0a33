// The bound pass: every request once, into the bucket of its budget, taken, left or listed (`bound::classify`,
// `bound::survey`), and lists of those that the host asks for, in their order.
//
// A block works on a chunk of requests next to each other, two a thread and step, 16 bytes a load. Sums of buckets are kept in
// shared memory where all of them fit there, and added to those of the grid at the end; else they are added to at once.
// All sums are of integers, so no order of theirs shows. What a request costs is 40 bytes read and 2 written.

#include "layout.h"

static const u16 LEFT = 0;
static const u16 TAKEN = 1;
static const u16 CORE = 2;
static const u16 FATE = 3;

struct Request {
    u64 cost[4];
    u64 budget;
};

// Two requests next to each other; the second may lie beyond the end.
struct Pair {
    Request of[2];
};

__device__ __forceinline__ ulonglong2 two(u64 column, u32 index) {
    return __ldg(at<const ulonglong2>(column + 8ull * index));
}

__device__ __forceinline__ Pair load(const Columns& columns, u32 index, bool both) {
    Pair pair;
    if (both) {
        ulonglong2 u = two(columns.uplink, index), d = two(columns.downlink, index);
        ulonglong2 k = two(columns.kv_tokens, index), c = two(columns.compute, index), e = two(columns.budget, index);
        pair.of[0] = {{u.x, d.x, k.x, c.x}, e.x};
        pair.of[1] = {{u.y, d.y, k.y, c.y}, e.y};
    } else {
        pair.of[0] = {{at<const u64>(columns.uplink)[index], at<const u64>(columns.downlink)[index],
                       at<const u64>(columns.kv_tokens)[index], at<const u64>(columns.compute)[index]},
                      at<const u64>(columns.budget)[index]};
        pair.of[1] = pair.of[0];
    }
    return pair;
}

// `a·b`, in the order of the host's `dot`.
__device__ __forceinline__ double dot(const double* a, const double* b) {
    double sum = __dadd_rn(__dmul_rn(a[0], b[0]), __dmul_rn(a[1], b[1]));
    sum = __dadd_rn(sum, __dmul_rn(a[2], b[2]));
    return __dadd_rn(sum, __dmul_rn(a[3], b[3]));
}

__device__ __forceinline__ void real(const Request& request, double* a) {
    for (u32 r = 0; r < 4; r++) a[r] = __ll2double_rn((i64)request.cost[r]);
}

__device__ __forceinline__ u32 bucket_of(const Buckets& buckets, u64 budget) {
    u64 above = budget > buckets.least ? budget - buckets.least : 0;
    double up = __dmul_rn(__ull2double_rn(above), buckets.factor);
    u32 last = buckets.count - 1;
    return up >= __ull2double_rn(last) ? 0 : last - (u32)up;
}

// `Region::fate`.
__device__ __forceinline__ u16 fate_of(const ClassifyArgs& args, const double* a) {
    const double* w = args.whiten;
    double y[4];
    y[0] = __dmul_rn(w[0], a[0]);
    y[1] = __dadd_rn(__dmul_rn(w[1], a[0]), __dmul_rn(w[2], a[1]));
    y[2] = __dadd_rn(__dadd_rn(__dmul_rn(w[3], a[0]), __dmul_rn(w[4], a[1])), __dmul_rn(w[5], a[2]));
    y[3] = dot(w + 6, a);
    double first = dot(args.ends, y), second = dot(args.ends + 4, y);
    double least = fmin(first, second), most = fmax(first, second);
    double size = __dadd_rn(__dadd_rn(__dadd_rn(fabs(y[0]), fabs(y[1])), fabs(y[2])), fabs(y[3]));
    double reach = __dmul_rn(args.width, size);
    if (__dadd_rn(most, reach) <= args.taken_below) return TAKEN;
    double left_above = __dadd_rn(1.0, __dmul_rn(args.price_error, __dadd_rn(1.0, most)));
    if (__dsub_rn(least, reach) >= left_above) return LEFT;
    return CORE;
}

// The sum of `value` over a block, in every thread. `scratch` holds a u32 for each warp.
__device__ __forceinline__ u32 block_sum(u32 value, u32* scratch) {
    for (u32 step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    __syncthreads();
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
    __syncthreads();
    u32 sum = 0;
    for (u32 warp = 0; warp < blockDim.x / 32; warp++) sum += scratch[warp];
    return sum;
}

// Adds to a sum. In shared memory by halves: there is no addition of 64 bits at once there, and most carry nothing.
template <bool SHARED>
__device__ __forceinline__ void add(u64* to, u64 value) {
    if (SHARED) {
        u32* halves = reinterpret_cast<u32*>(to);
        u32 low = (u32)value, before = atomicAdd(&halves[0], low);
        u32 high = (u32)(value >> 32) + (before + low < before);
        if (high != 0) atomicAdd(&halves[1], high);
    } else {
        atomicAdd(to, value);
    }
}

static const u32 SUMS = 4;
static const u32 LEAST = 5;
static const u32 MOST = 6;
static const u32 FIELDS = 7;

// One request into its bucket; whether it is listed.
template <bool SHARED>
__device__ __forceinline__ bool put(const ClassifyArgs& args, u64* cells, const Request& request, u32 index) {
    u32 count = args.pass.buckets.count;
    double a[4];
    real(request, a);
    u16 fate = fate_of(args, a);
    u32 bucket = bucket_of(args.pass.buckets, request.budget);
    cells += bucket;
    // Requests in the low half, taken ones in the high.
    add<SHARED>(&cells[SUMS * count], fate == TAKEN ? (1ull << 32) + 1 : 1ull);
    // In global memory, a look that does not improve a bound saves an atomic operation, and few looks do.
    if (SHARED || request.budget < *(volatile u64*)&cells[LEAST * count]) atomicMin(&cells[LEAST * count], request.budget);
    if (SHARED || request.budget > *(volatile u64*)&cells[MOST * count]) atomicMax(&cells[MOST * count], request.budget);
    if (fate == TAKEN) {
        for (u32 r = 0; r < 4; r++) add<SHARED>(&cells[r * count], request.cost[r]);
    }
    at<u16>(args.pass.tags)[args.pass.base + index] = (u16)(bucket << 2 | fate);
    return fate == CORE;
}

// The chunk of a block into `cells`; how many of it a thread lists.
template <bool SHARED>
__device__ __forceinline__ u32 put_chunk(const ClassifyArgs& args, u64* cells) {
    const PassArgs& pass = args.pass;
    u32 start = min(blockIdx.x * pass.chunk, pass.count), end = min(start + pass.chunk, pass.count);
    u32 listed = 0;
    for (u32 index = start + 2 * threadIdx.x; index < end; index += 2 * blockDim.x) {
        bool both = index + 1 < end;
        Pair pair = load(pass.columns, index, both);
        listed += put<SHARED>(args, cells, pair.of[0], index);
        if (both) listed += put<SHARED>(args, cells, pair.of[1], index + 1);
    }
    return listed;
}

extern "C" __global__ void __launch_bounds__(1024) classify(const __grid_constant__ ClassifyArgs args) {
    DYNAMIC_SHARED(memory);
    __shared__ u32 scratch[32];
    const PassArgs& pass = args.pass;
    u32 count = pass.buckets.count;
    u64* all = at<u64>(args.cells);
    u64* cells = reinterpret_cast<u64*>(memory);
    if (pass.shared) {
        for (u32 i = threadIdx.x; i < FIELDS * count; i += blockDim.x) {
            cells[i] = i >= LEAST * count && i < MOST * count ? ~0ull : 0;
        }
        __syncthreads();
    }
    u32 listed = pass.shared ? put_chunk<true>(args, cells) : put_chunk<false>(args, all);
    // Its barriers come after all that is added above.
    listed = block_sum(listed, scratch);
    if (threadIdx.x == 0) at<u32>(args.listed)[blockIdx.x] = listed;
    if (pass.shared) {
        for (u32 i = threadIdx.x; i < FIELDS * count; i += blockDim.x) {
            u64 value = cells[i];
            if (i < LEAST * count) {
                if (value != 0) atomicAdd(&all[i], value);
            } else if (i < MOST * count) {
                if (value != ~0ull) atomicMin(&all[i], value);
            } else if (value != 0) {
                atomicMax(&all[i], value);
            }
        }
    }
}

// The positive reduced costs of one request at each λ, into its bucket.
template <bool SHARED>
__device__ __forceinline__ void measure(const SurveyArgs& args, u64* sums, const Request& request) {
    u32 count = args.pass.buckets.count;
    double a[4];
    real(request, a);
    sums += bucket_of(args.pass.buckets, request.budget);
    for (u32 lane = 0; lane < 4; lane++) {
        const double* lambda = args.lambda + lane;
        double price = __dadd_rn(__dmul_rn(lambda[0], a[0]), __dmul_rn(lambda[4], a[1]));
        price = __dadd_rn(price, __dmul_rn(lambda[8], a[2]));
        price = __dadd_rn(price, __dmul_rn(lambda[12], a[3]));
        // Units of 2^-32, rounded up and one more.
        i64 units = __double2ll_rz(__dmul_rn(__dsub_rn(1.0, price), 4294967296.0));
        if (units >= 0) add<SHARED>(&sums[lane * count], (u64)units + 2);
    }
}

template <bool SHARED>
__device__ __forceinline__ void measure_chunk(const SurveyArgs& args, u64* sums) {
    const PassArgs& pass = args.pass;
    u32 start = min(blockIdx.x * pass.chunk, pass.count), end = min(start + pass.chunk, pass.count);
    for (u32 index = start + 2 * threadIdx.x; index < end; index += 2 * blockDim.x) {
        bool both = index + 1 < end;
        Pair pair = load(pass.columns, index, both);
        measure<SHARED>(args, sums, pair.of[0]);
        if (both) measure<SHARED>(args, sums, pair.of[1]);
    }
}

extern "C" __global__ void __launch_bounds__(1024) survey(const __grid_constant__ SurveyArgs args) {
    DYNAMIC_SHARED(memory);
    const PassArgs& pass = args.pass;
    u32 count = pass.buckets.count;
    u64* all = at<u64>(args.sums);
    if (!pass.shared) {
        measure_chunk<false>(args, all);
        return;
    }
    u64* sums = reinterpret_cast<u64*>(memory);
    for (u32 i = threadIdx.x; i < 4 * count; i += blockDim.x) sums[i] = 0;
    __syncthreads();
    measure_chunk<true>(args, sums);
    __syncthreads();
    for (u32 i = threadIdx.x; i < 4 * count; i += blockDim.x) {
        if (sums[i] != 0) atomicAdd(&all[i], sums[i]);
    }
}

__device__ __forceinline__ bool wanted(const ListArgs& args, u32 index) {
    const PassArgs& pass = args.pass;
    const u16* tags = at<const u16>(pass.tags) + pass.base;
    u64 budget = args.wanted >= WANTED_TAKEN ? at<const u64>(pass.columns.budget)[index] : 0;
    switch (args.wanted) {
        case WANTED_CORE:
            return (tags[index] & FATE) == CORE;
        case WANTED_MEMBERS: {
            u32 bucket = tags[index] >> 2;
            return at<const u32>(args.open)[bucket / 32] >> (bucket % 32) & 1;
        }
        case WANTED_TAKEN:
            return (tags[index] & FATE) == TAKEN && budget >= args.least;
        default: {
            Pair pair = load(pass.columns, index, false);
            double a[4];
            real(pair.of[0], a);
            return dot(a, args.lambda) <= args.most && budget >= args.least;
        }
    }
}

// How many requests of each chunk are wanted.
extern "C" __global__ void __launch_bounds__(1024) count_wanted(const __grid_constant__ ListArgs args) {
    __shared__ u32 scratch[32];
    u32 start = min(blockIdx.x * args.pass.chunk, args.pass.count);
    u32 end = min(start + args.pass.chunk, args.pass.count);
    u32 listed = 0;
    for (u32 index = start + threadIdx.x; index < end; index += blockDim.x) listed += wanted(args, index);
    listed = block_sum(listed, scratch);
    if (threadIdx.x == 0) at<u32>(args.listed)[blockIdx.x] = listed;
}

// Lists them in their order: a chunk's after those of the chunks before.
extern "C" __global__ void __launch_bounds__(1024) list_wanted(const __grid_constant__ ListArgs args) {
    __shared__ u32 scratch[32];
    __shared__ u32 warps[32];
    const PassArgs& pass = args.pass;
    u32 before = 0;
    for (u32 block = threadIdx.x; block < blockIdx.x; block += blockDim.x) before += at<const u32>(args.listed)[block];
    u32 place = args.offset + block_sum(before, scratch);
    u32 start = min(blockIdx.x * pass.chunk, pass.count), end = min(start + pass.chunk, pass.count);
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (u32 from = start; from < end; from += blockDim.x) {
        u32 index = from + threadIdx.x;
        bool mine = index < end && wanted(args, index);
        u32 votes = __ballot_sync(0xffffffffu, mine);
        if (lane == 0) warps[warp] = __popc(votes);
        __syncthreads();
        u32 mine_at = place + __popc(votes & ((1u << lane) - 1));
        for (u32 other = 0; other < blockDim.x / 32; other++) {
            if (other < warp) mine_at += warps[other];
            place += warps[other];
        }
        if (mine) {
            at<u32>(args.index)[mine_at] = pass.base + index;
            if (args.tag) at<u16>(args.tag)[mine_at] = (at<const u16>(pass.tags) + pass.base)[index];
            if (args.budget) at<u64>(args.budget)[mine_at] = at<const u64>(pass.columns.budget)[index];
            if (args.cost) {
                Pair pair = load(pass.columns, index, false);
                for (u32 r = 0; r < 4; r++) at<u64>(args.cost)[4ull * mine_at + r] = pair.of[0].cost[r];
            }
        }
        __syncthreads();
    }
}
