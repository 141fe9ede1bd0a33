// The path check: walks the paths of a tree below numbered prefixes, in their order, until one fits (`tree::walk`).
//
// A *tile* of 8 or 32 threads walks an item. Its threads look at so many counts of a level at once, each at one: what is
// left of the resources and of the losses, floors, and whether the groups to come can hold what is needed. The last group
// takes what is still needed, so the last two levels are one look: a thread completes its path in registers and tests the
// first direction; what that leaves undecided all threads of the tile test in the others, a direction each. The levels
// above are kept on a stack in shared memory, 128 bytes a level.
//
// Counts are looked at in the order of their loss, and nodes are counted as if one thread had walked alone: those after a
// batch are not. An item that has walked its quota of nodes pauses, with its places, for the host to go on with or to
// cut; so does one at a path that no direction settles. Items after one that holds a batch are given up.

#include "layout.h"

struct Entry {
    u64 loss[PATH_LANES];
    u64 cost[PATH_RESOURCES];
};

// What is left below a prefix.
struct State {
    u64 left[PATH_RESOURCES];
    u64 loss[PATH_LANES];
    // In the first direction: price, uplink, downlink.
    u64 first[3];
    u32 need;
    // The next place to look at; one after the place that was taken to go deeper.
    u32 next;
};
static_assert(sizeof(State) == 8 * PATH_LEVEL_WORDS, "State");

__device__ __forceinline__ const PathGroup& group_of(const PathArgs& args, u32 level) {
    return at<const PathGroup>(args.groups)[level];
}

__device__ __forceinline__ Entry entry_of(const PathArgs& args, u32 entry) {
    Entry e;
    const ulonglong2* words = reinterpret_cast<const ulonglong2*>(at<const u64>(args.entries) + 12ull * entry);
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        ulonglong2 w = words[i];
        e.loss[2 * i] = w.x;
        e.loss[2 * i + 1] = w.y;
    }
#pragma unroll
    for (u32 i = 0; i < 2; i++) {
        ulonglong2 w = words[4 + i];
        e.cost[2 * i] = w.x;
        e.cost[2 * i + 1] = w.y;
    }
    return e;
}

__device__ __forceinline__ const u64* cheapest_of(const PathArgs& args, u32 entry, u32 direction) {
    return at<const u64>(args.cheapest) + 3ull * ((u64)entry * args.directions + direction);
}

// What is left after an entry; false if something is not there.
__device__ __forceinline__ bool subtract(State& state, const Entry& entry) {
    bool enough = true;
#pragma unroll
    for (u32 r = 0; r < PATH_RESOURCES; r++) {
        enough &= entry.cost[r] <= state.left[r];
        state.left[r] -= entry.cost[r];
    }
#pragma unroll
    for (u32 i = 0; i < PATH_LANES; i++) {
        enough &= entry.loss[i] <= state.loss[i];
        state.loss[i] -= entry.loss[i];
    }
    return enough;
}

__device__ __forceinline__ void add_first(const PathArgs& args, State& state, u32 entry) {
    if (args.directions == 0) return;
    const u64* cheapest = cheapest_of(args, entry, 0);
#pragma unroll
    for (u32 i = 0; i < 3; i++) state.first[i] += cheapest[i];
}

// The largest count of a group that fits in what is left for all: costs grow with the count.
__device__ __forceinline__ u32 most_of(const PathArgs& args, const PathGroup& group, const State& state) {
    u32 low = 0, high = group.len;
    while (low < high) {
        u32 middle = high - (high - low) / 2;
        const u64* cost = at<const u64>(args.entries) + 12ull * (group.entry + middle) + PATH_LANES;
        bool fits = cost[0] <= state.left[0] && cost[1] <= state.left[1] && cost[2] <= state.left[2] &&
                    cost[3] <= state.left[3];
        if (fits) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

// `Tree::viable`: whether something may come of what is left from a level on.
__device__ __forceinline__ bool viable(const PathArgs& args, u32 level, const State& state) {
    if (level == args.levels) return state.need == 0;
    const PathGroup group = group_of(args, level);
    if (state.need > group.rest) return false;
    if (group.long_groups) {
        u64 most = 0;
        for (u32 k = level; k < group.part_end; k++) most += most_of(args, group_of(args, k), state);
        if (most < state.need) return false;
    }
    if (group.floor == PATH_NONE) return true;
    const u64* floor = at<const u64>(args.floors) + 5ull * (group.floor + state.need);
    return floor[0] <= state.loss[0] && floor[1] <= state.left[0] && floor[2] <= state.left[1] &&
           floor[3] <= state.left[2] && floor[4] <= state.left[3];
}

// Takes `count` of a group; false if that is impossible. `over`: it loses more at the first λ than is left.
__device__ __forceinline__ bool take(const PathArgs& args, u32 level, u32 count, State& state, bool& over) {
    const PathGroup group = group_of(args, level);
    Entry entry = entry_of(args, group.entry + count);
    over = entry.loss[0] > state.loss[0];
    if (over || count > state.need) return false;
    state.need -= count;
    if (group.closes) {
        if (state.need != 0) return false;
        state.need = group.next_need;
    }
    add_first(args, state, group.entry + count);
    return subtract(state, entry) && viable(args, level + 1, state);
}

// What a look at one count found.
enum Look : u32 {
    LOOK_NOTHING = 0,
    // There may be more below.
    LOOK_BELOW = 1,
    // A complete path whose additive costs fit: a batch in the first direction, or not settled by it.
    LOOK_BATCH = 2,
    LOOK_UNDECIDED = 3,
};

__device__ __forceinline__ Look settle_first(const PathArgs& args, const State& state) {
    if (args.directions == 0) return LOOK_BATCH;
    if (state.first[0] > args.first_limit) return LOOK_NOTHING;
    return state.first[1] <= args.left[0] && state.first[2] <= args.left[1] ? LOOK_BATCH : LOOK_UNDECIDED;
}

template <u32 TILE>
__device__ __forceinline__ void walk(const PathArgs& args, u8* memory) {
    const u32 tiles = blockDim.x / TILE, tile = threadIdx.x / TILE, lane = threadIdx.x % TILE;
    const u32 shift = threadIdx.x % 32 / TILE * TILE;
    const u32 mask = (TILE == 32 ? 0xffffffffu : (1u << TILE) - 1) << shift;
    const u64 slot = (args.stack ? (u64)blockIdx.x * tiles : 0) + tile;
    State* stack = (args.stack ? at<State>(args.stack) : reinterpret_cast<State*>(memory)) + slot * (args.levels + 1);
    u32* ticket = at<u32>(args.ticket);
    const u32* order = at<const u32>(args.order);
    while (true) {
        u32 number = 0;
        if (lane == 0) number = atomicAdd(&ticket[0], 1u);
        number = __shfl_sync(mask, number, 0, TILE);
        if (number >= args.item_count) return;
        PathResult result = {0, 0, PATH_SKIPPED, 0, 0, 0};
        u32* places = at<u32>(args.places) + (u64)number * args.levels;
        const PathItem item = at<const PathItem>(args.items)[number];
        // The stack down to where the walk goes on; every thread computes the same.
        State state;
        for (u32 r = 0; r < PATH_RESOURCES; r++) state.left[r] = args.left[r];
        for (u32 i = 0; i < PATH_LANES; i++) state.loss[i] = args.loss[i];
        for (u32 i = 0; i < 3; i++) state.first[i] = 0;
        state.need = args.need;
        for (u32 level = 0; level < item.top; level++) {
            const PathGroup group = group_of(args, level);
            u32 place = places[level];
            u32 count = group.closes ? state.need : order[group.entry + place];
            state.next = place + 1;
            if (lane == 0) stack[level] = state;
            Entry entry = entry_of(args, group.entry + count);
            subtract(state, entry);
            add_first(args, state, group.entry + count);
            state.need -= count;
            if (group.closes) state.need = group.next_need;
        }
        state.next = places[item.top];
        if (lane == 0) stack[item.top] = state;
        __syncwarp(mask);

        u32 level = item.top, looks = 0;
        while (true) {
            // Now and then: does an item before this one hold a batch?
            u32 earlier = 0;
            if (lane == 0 && looks % 16 == 0) earlier = *(volatile u32*)&ticket[1] < number;
            looks++;
            if (__any_sync(mask, earlier)) break;
            if (result.nodes >= args.quota) {
                result.end = PATH_PAUSED;
                break;
            }
            const PathGroup group = group_of(args, level);
            State mine = stack[level];
            __syncwarp(mask);
            const u32 next = mine.next;
            // The last group of a part takes what is still needed.
            u32 end = group.closes ? (mine.need <= group.len ? 1 : 0) : group.len + 1;
            if (level == item.base) end = min(end, item.end);
            u32 place = next + lane;
            bool valid = place < end, over = false;
            u32 count = 0, steps = 0;
            Look look = LOOK_NOTHING;
            bool last = false;
            if (valid) {
                count = group.closes ? mine.need : order[group.entry + place];
                if (take(args, level, count, mine, over)) {
                    look = LOOK_BELOW;
                    if (level + 1 == args.levels) look = settle_first(args, mine), last = true;
                    if (level + 2 == args.levels) {
                        // The last level, in registers: one count.
                        bool none = false;
                        look = LOOK_NOTHING;
                        if (mine.need <= group_of(args, level + 1).len) {
                            bool complete = take(args, level + 1, mine.need, mine, none);
                            steps = none ? 0 : 1;
                            if (complete) look = settle_first(args, mine), last = true;
                        }
                    }
                }
                steps += over ? 0 : 1;
            }
            // What comes after a count that loses too much loses more.
            u32 stops = __ballot_sync(mask, !valid || over) >> shift;
            u32 looked = stops ? __ffs(stops) - 1 : TILE;
            u32 paths = __ballot_sync(mask, last && lane < looked) >> shift;
            u32 below = __ballot_sync(mask, look == LOOK_BELOW && lane < looked) >> shift;
            u32 batches = __ballot_sync(mask, look == LOOK_BATCH && lane < looked) >> shift;
            u32 undecided = __ballot_sync(mask, look == LOOK_UNDECIDED && lane < looked) >> shift;
            // The thread at which the walk leaves this row of counts, if it does.
            u32 stop = looked;
            u32 stopped = PATH_SKIPPED;
            if (below) stop = __ffs(below) - 1;
            while (batches | undecided) {
                u32 at_lane = __ffs(batches | undecided) - 1;
                if (batches >> at_lane & 1) {
                    stop = at_lane;
                    stopped = PATH_BATCH;
                    break;
                }
                undecided &= undecided - 1;
                // All directions but the first, a thread each, for the path of that thread.
                u32 path_count = __shfl_sync(mask, count, at_lane, TILE);
                u32 verdict = PATH_OPEN;
                for (u32 from = 1; from < args.directions && verdict == PATH_OPEN; from += TILE) {
                    u32 direction = from + lane;
                    u64 sums[3] = {0, 0, 0};
                    bool dead = false, fits = false;
                    if (direction < args.directions) {
                        for (u32 k = 0; k < args.levels; k++) {
                            const PathGroup g = group_of(args, k);
                            u32 c = path_count;
                            if (k < level) {
                                c = g.closes ? stack[k].need : order[g.entry + stack[k].next - 1];
                            } else if (k > level) {
                                // The last level takes what its part still needs.
                                c = group.closes ? group.next_need : stack[level].need - path_count;
                            }
                            const u64* cheapest = cheapest_of(args, g.entry + c, direction);
                            for (u32 i = 0; i < 3; i++) sums[i] += cheapest[i];
                        }
                        dead = sums[0] > at<const u64>(args.limits)[direction];
                        fits = !dead && sums[1] <= args.left[0] && sums[2] <= args.left[1];
                    }
                    u32 decided = __ballot_sync(mask, dead || fits) >> shift;
                    u32 deaths = __ballot_sync(mask, dead) >> shift;
                    if (decided) {
                        u32 by = __ffs(decided) - 1;
                        verdict = deaths >> by & 1 ? PATH_EMPTY : PATH_BATCH;
                        result.direction = from + by;
                    }
                }
                if (verdict != PATH_EMPTY) {
                    stop = at_lane;
                    stopped = verdict;
                    break;
                }
                result.direction = 0;
            }
            // Nodes and paths up to there, as one thread would have counted them.
            u32 upto = stop < looked ? stop : looked - 1;
            bool counted = looked > 0 && lane <= upto;
            u32 nodes = counted ? steps : 0;
            for (u32 step = TILE / 2; step > 0; step /= 2) nodes += __shfl_xor_sync(mask, nodes, step, TILE);
            result.nodes += nodes;
            u32 upto_mask = looked == 0 ? 0 : (upto == 31 ? 0xffffffffu : (2u << upto) - 1);
            result.paths += __popc(paths & upto_mask);
            if (stopped != PATH_SKIPPED) {
                if (lane == 0) stack[level].next = next + stop + 1;
                result.end = stopped;
                break;
            }
            if (stop < looked) {
                // Deeper.
                if (lane == stop) {
                    stack[level].next = next + stop + 1;
                    mine.next = 0;
                    stack[level + 1] = mine;
                }
                level++;
            } else if (looked == TILE) {
                if (lane == 0) stack[level].next = next + TILE;
            } else if (level == item.base) {
                result.end = PATH_EMPTY;
                break;
            } else {
                level--;
            }
            __syncwarp(mask);
        }
        __syncwarp(mask);
        if (result.end == PATH_BATCH && lane == 0) atomicMin(&ticket[1], number);
        result.top = level;
        // The places taken, and the next one at the level where it stopped.
        for (u32 k = lane; k <= level; k += TILE) places[k] = stack[k].next - (k < level ? 1 : 0);
        if (lane == 0) at<PathResult>(args.results)[number] = result;
        __syncwarp(mask);
    }
}

extern "C" __global__ void __launch_bounds__(128, 4) walk_8(const __grid_constant__ PathArgs args) {
    DYNAMIC_SHARED(memory);
    walk<8>(args, memory);
}

extern "C" __global__ void __launch_bounds__(128, 4) walk_32(const __grid_constant__ PathArgs args) {
    DYNAMIC_SHARED(memory);
    walk<32>(args, memory);
}
