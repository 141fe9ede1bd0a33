// The paper's tree without pruning: every path, for comparison (`search::enumerate`).
//
// The levels of a tree are cut in two. A *head* fixes the first of them; the *tail* is what is below: one to four levels.
// A block takes chunks of heads by their numbers, each thread one head. It adds the head's number to the digits of the
// launch's first head, which gives the counts of the head, and runs through the tail in nested loops. Each path is one
// comparison of the last level's count with what is missing to z. That holds for one count of a run of the last level at
// most; when the run is over, its costs are added up and compared with the capacities.
//
// A thread stops at its first batch, and whoever is behind the least number so far does not begin. The paths of a chunk
// are counted up to its first batch: threads before that one have none, so they count all, and those after it nothing.

#include "layout.h"

struct Cost {
    u64 of[4];
};

// `cost` and that of an entry.
__device__ __forceinline__ Cost plus(const Cost& cost, const u64* entries, u32 entry) {
    const ulonglong2* words = reinterpret_cast<const ulonglong2*>(entries + 4ull * entry);
    ulonglong2 a = words[0], b = words[1];
    return {{cost.of[0] + a.x, cost.of[1] + a.y, cost.of[2] + b.x, cost.of[3] + b.y}};
}

__device__ __forceinline__ bool fits(const ExhaustiveArgs& args, const Cost& cost) {
    return cost.of[0] <= args.capacity[0] && cost.of[1] <= args.capacity[1] && cost.of[2] <= args.capacity[2] &&
           cost.of[3] <= args.capacity[3];
}

// All paths of a head up to its first batch, whose place among them is `batch`. How many have the right sum.
__device__ __forceinline__ u32 run(const ExhaustiveArgs& args, const HeadLevel* levels, const u64* entries, u32 head,
                                   u64& batch) {
    Cost cost = {{0, 0, 0, 0}};
    // What is missing to z; below 0 it is a number that no group has requests of.
    u32 missing = args.need;
    // The digits of the first head and `head`, from the last level on, as far as there is anything to carry.
    u32 level = args.head_levels;
    while (level > 0 && head > 0) {
        const HeadLevel& at = levels[--level];
        u32 sum = at.digit + head;
        head = (u32)__umul64hi(sum, at.inverse);
        u32 count = at.len - (sum - head * (at.len + 1));
        missing -= count;
        cost = plus(cost, entries, at.entry + count);
    }
    const HeadLevel& rest = levels[level];
    missing -= rest.taken;
    for (u32 r = 0; r < 4; r++) cost.of[r] += rest.before[r];

    const u32 last = args.tail_len[3], odd = (last + 1) % 4;
    u32 right = 0;
    for (u32 a = args.tail_len[0] + 1; a-- > 0;) {
        const Cost first = plus(cost, entries, args.tail_entry[0] + a);
        for (u32 b = args.tail_len[1] + 1; b-- > 0;) {
            const Cost second = plus(first, entries, args.tail_entry[1] + b);
            for (u32 c = args.tail_len[2] + 1; c-- > 0;) {
                const u32 wanted = missing - a - b - c;
                // Four paths at a time, d - 1 to d - 4, and then those of 2, 1 and 0 that are left.
                bool made = false;
                const u32 w1 = wanted + 1, w2 = wanted + 2, w3 = wanted + 3, w4 = wanted + 4;
                for (u32 d = last + 1; d >= 4; d -= 4) made |= (d == w1) | (d == w2) | (d == w3) | (d == w4);
                if (odd > 2) made |= wanted == 2;
                if (odd > 1) made |= wanted == 1;
                if (odd > 0) made |= wanted == 0;
                if (made) {
                    right++;
                    Cost third = plus(second, entries, args.tail_entry[2] + c);
                    if (fits(args, plus(third, entries, args.tail_entry[3] + wanted))) {
                        u64 place = args.tail_len[0] - a;
                        place = place * (args.tail_len[1] + 1) + (args.tail_len[1] - b);
                        place = place * (args.tail_len[2] + 1) + (args.tail_len[2] - c);
                        batch = place * (last + 1) + (last - wanted);
                        return right;
                    }
                }
            }
        }
    }
    return right;
}

static const u32 NONE = 0xffffffffu;

extern "C" __global__ void __launch_bounds__(256, 3) exhaustive(const __grid_constant__ ExhaustiveArgs args) {
    DYNAMIC_SHARED(memory);
    __shared__ u32 ticket;
    // Of the chunk: the least number of a batch, and the paths with the right sum up to it.
    __shared__ u64 first;
    __shared__ u64 right;
    const HeadLevel* levels = at<const HeadLevel>(args.levels);
    const u64* entries = at<const u64>(args.entries);
    u64* found = at<u64>(args.found);
    if (args.shared) {
        u64* words = reinterpret_cast<u64*>(memory);
        const u32 level_words = (args.head_levels + 1) * (u32)(sizeof(HeadLevel) / 8);
        for (u32 i = threadIdx.x; i < level_words; i += blockDim.x) words[i] = at<const u64>(args.levels)[i];
        for (u32 i = threadIdx.x; i < 4 * args.entry_count; i += blockDim.x) words[level_words + i] = entries[i];
        levels = reinterpret_cast<const HeadLevel*>(words);
        entries = words + level_words;
    }
    while (true) {
        __syncthreads();
        if (threadIdx.x == 0) {
            ticket = (u32)atomicAdd(&found[0], 1ull);
            // Chunks come in the order of their numbers: nothing is left before the first batch.
            u64 start = (u64)ticket * args.chunk;
            if (start >= args.heads || start * args.tail > *(volatile u64*)&found[1]) ticket = NONE;
            first = ~0ull;
            right = 0;
        }
        __syncthreads();
        const u32 chunk = ticket;
        if (chunk == NONE) return;
        const u32 head = chunk * args.chunk + threadIdx.x;
        const u64 number = head * args.tail;
        u32 mine = 0;
        if (threadIdx.x < args.chunk && head < args.heads && number <= *(volatile u64*)&found[1]) {
            u64 batch = ~0ull;
            mine = run(args, levels, entries, head, batch);
            if (batch != ~0ull) {
                atomicMin(&found[1], number + batch);
                atomicMin(&first, number + batch);
            }
        }
        __syncthreads();
        if (number > first) mine = 0;
        for (u32 step = 16; step > 0; step /= 2) mine += __shfl_xor_sync(0xffffffffu, mine, step);
        if (threadIdx.x % 32 == 0) atomicAdd(&right, (u64)mine);
        __syncthreads();
        if (threadIdx.x == 0) {
            at<u64>(args.counts)[chunk] = right;
            atomicAdd(&found[2], right);
        }
    }
}
