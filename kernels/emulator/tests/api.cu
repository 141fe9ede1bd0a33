// Kernels for the tests of the emulator.
#include "layout.h"

struct TestArgs {
    u64 input, output;
    u64 count;
};

// A file may have helpers of the same name as another's.
static __device__ __forceinline__ u64 number() { return (u64)blockIdx.x * blockDim.x + threadIdx.x; }

// The sum of `count` numbers, one for each thread, through dynamic shared memory.
extern "C" __global__ void __launch_bounds__(1024) test_sum(const __grid_constant__ TestArgs args) {
    DYNAMIC_SHARED(bytes);
    u64* sums = reinterpret_cast<u64*>(bytes);
    const u32 thread = threadIdx.x;
    sums[thread] = number() < args.count ? at<u64>(args.input)[number()] : 0;
    u32 width = 1;
    while (width < blockDim.x) {
        __syncthreads();
        if (thread % (2 * width) == 0 && thread + width < blockDim.x) sums[thread] += sums[thread + width];
        width *= 2;
    }
    __syncthreads();
    if (thread == 0) at<u64>(args.output)[blockIdx.x] = sums[0];
}

// The same by shuffles in each warp, with static shared memory between them. Blocks of whole warps.
extern "C" __global__ void test_sum_of_warps(const __grid_constant__ TestArgs args) {
    __shared__ u64 sums[32];
    const u32 lane = threadIdx.x % warpSize;
    u64 sum = number() < args.count ? at<u64>(args.input)[number()] : 0;
#pragma unroll
    for (u32 by = 16; by > 0; by /= 2) sum += __shfl_down_sync(0xffffffffu, sum, by);
    if (lane == 0) sums[threadIdx.x / warpSize] = sum;
    __syncthreads();
    if (threadIdx.x < warpSize) {
        sum = lane < blockDim.x / warpSize ? sums[lane] : 0;
        for (u32 by = 16; by > 0; by /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
        if (lane == 0) at<u64>(args.output)[blockIdx.x] = sum;
    }
}

// Each thread takes its right neighbour's number. Without the barrier it may not be there yet.
template <bool BARRIER>
__device__ void neighbour(const TestArgs& args) {
    DYNAMIC_SHARED(bytes);
    u64* numbers = reinterpret_cast<u64*>(bytes);
    numbers[threadIdx.x] = at<u64>(args.input)[number()];
    if (BARRIER) __syncthreads();
    at<u64>(args.output)[number()] = threadIdx.x + 1 < blockDim.x ? numbers[threadIdx.x + 1] : 0;
}

extern "C" __global__ void test_neighbour(const __grid_constant__ TestArgs args) { neighbour<true>(args); }
extern "C" __global__ void test_missing_barrier(const __grid_constant__ TestArgs args) { neighbour<false>(args); }

// Tiles of 8 lanes, each of which searches for its own number of rounds. `input`: rounds of each tile.
extern "C" __global__ void test_tiles(const __grid_constant__ TestArgs args) {
    const u32 lane = threadIdx.x % 32, in_tile = lane % 8;
    const u32 mask = 0xffu << (lane - in_tile);
    const u64 tile = number() / 8;
    const u64 rounds = at<u64>(args.input)[tile];
    u64 value = number() + 1;
    for (u64 round = 0; round < rounds; round++) {
        const u32 odd = __ballot_sync(mask, (int)(value & 1));
        const u64 next = __shfl_sync(mask, value, (int)in_tile + 1, 8);
        const u64 before = __shfl_up_sync(mask, value, 3, 8);
        const double cross = __shfl_xor_sync(mask, (double)(value % 1000), 5, 8);
        const int small = __shfl_down_sync(mask, (int)(value % 1000), 2, 8);
        const bool all = __all_sync(mask, value % 3 != 0), any = __any_sync(mask, value % 5 == 0);
        __syncwarp(mask);
        value = value * 6364136223846793005ull + (odd >> (lane - in_tile)) + next * 3 + before * 5 + (u64)cross * 7 +
                (u64)(i64)small * 11 + (all ? 13 : 0) + (any ? 17 : 0);
    }
    at<u64>(args.output)[number()] = value;
}

// `input`: the lane, delta or lane mask, and the width; `output`: eight words for each lane of a warp.
extern "C" __global__ void test_shuffles(const __grid_constant__ TestArgs args) {
    const u32 all = 0xffffffffu, lane = threadIdx.x;
    const int by = (int)at<u64>(args.input)[0], width = (int)at<u64>(args.input)[1];
    u64* out = at<u64>(args.output) + 8 * lane;
    out[0] = __shfl_sync(all, (u64)lane << 40, by, width);
    out[1] = __shfl_up_sync(all, lane, (u32)by, width);
    out[2] = (u64)__shfl_down_sync(all, -(i64)lane, (u32)by, width);
    out[3] = (u64)__shfl_xor_sync(all, (float)lane, by, width);
    out[4] = __reduce_add_sync(all, lane + 0xfffffff0u);
    out[5] = __reduce_min_sync(all, lane ^ (u32)by);
    out[6] = __reduce_max_sync(all, lane ^ (u32)by);
    out[7] = __reduce_or_sync(all, lane & (u32)width);
}

// `output`: sum, least, greatest, union, times that a swap succeeded; as u32 in the upper half; block totals.
extern "C" __global__ void test_atomics(const __grid_constant__ TestArgs args) {
    __shared__ u32 total;
    u64* out = at<u64>(args.output);
    u32* words = at<u32>(args.output + 40);
    int* ints = at<int>(args.output + 56);
    if (threadIdx.x == 0) total = 0;
    __syncthreads();
    const u64 value = at<u64>(args.input)[number()];
    atomicAdd(&out[0], value);
    atomicMin(&out[1], value);
    atomicMax(&out[2], value);
    atomicOr(&out[3], 1ull << (value % 64));
    u64 seen = out[4], expected;
    do {
        expected = seen;
        seen = atomicCAS(&out[4], expected, expected + 1);
    } while (seen != expected);
    atomicAdd(&words[0], (u32)value);
    atomicMax(&words[1], (u32)value);
    atomicMin(&ints[0], -(int)(value % 1000));
    atomicAdd_block(&total, 1u);
    __threadfence();
    const int count = __syncthreads_count(value % 2 == 0);
    const int all = __syncthreads_and(total == blockDim.x), any = __syncthreads_or(value % 1000 == 7);
    if (threadIdx.x == 0) out[8 + blockIdx.x] = (u64)count * 4 + (all ? 2 : 0) + (any ? 1 : 0);
}

// Half of the threads wait at one barrier, half at another.
extern "C" __global__ void test_two_barriers(const __grid_constant__ TestArgs args) {
    if (threadIdx.x % 2 == 0) {
        __syncthreads();
    } else {
        at<u64>(args.output)[number()] = 1;
        __syncthreads();
    }
}

// Some threads return, the others wait.
extern "C" __global__ void test_early_return(const __grid_constant__ TestArgs args) {
    if (threadIdx.x >= args.count) return;
    __syncthreads();
}

// The lanes named wait for the lanes that do not come, or that come to something else.
extern "C" __global__ void test_half_arrived(const __grid_constant__ TestArgs args) {
    u32 seen = 0;
    if (threadIdx.x % 8 < 4) {
        seen = __ballot_sync(0xffu << (threadIdx.x % 32 / 8 * 8), 1);
    } else if (args.count != 0) {
        __syncwarp(0xffu << (threadIdx.x % 32 / 8 * 8));
    }
    at<u64>(args.output)[number()] = seen;
}

// What a warp must not do; `count` says what.
extern "C" __global__ void test_wrong_warp(const __grid_constant__ TestArgs args) {
    const u32 lane = threadIdx.x;
    u64 seen = 0;
    switch (args.count) {
        case 0:
            if (lane < 8) seen = __shfl_sync(0xffu, lane, 9);
            break;
        case 1: seen = __ballot_sync(0xffu, 1); break;
        case 2: seen = __shfl_sync(0xffffffffu, lane, 0, 12); break;
        case 3: seen = __ballot_sync(0xffffffffu, 1); break;
        case 4: __trap();
    }
    at<u64>(args.output)[lane] = seen;
}

// Copies `count` bytes of the dynamic shared memory, which nobody wrote, or writes so many.
extern "C" __global__ void test_read_shared(const __grid_constant__ TestArgs args) {
    DYNAMIC_SHARED(bytes);
    for (u64 byte = threadIdx.x; byte < args.count; byte += blockDim.x) at<u8>(args.output)[byte] = bytes[byte];
}
extern "C" __global__ void test_write_shared(const __grid_constant__ TestArgs args) {
    DYNAMIC_SHARED(bytes);
    for (u64 byte = threadIdx.x; byte < args.count; byte += blockDim.x) bytes[byte] = 1;
}

// `input`: three floats for each thread; `output`: twelve words for each.
extern "C" __global__ void test_floats(const __grid_constant__ TestArgs args) {
    if (number() >= args.count) return;
    const double* in = at<double>(args.input) + 3 * number();
    u64* out = at<u64>(args.output) + 12 * number();
    const double x = in[0], y = in[1], z = __ldg(&in[2]);
    out[0] = (u64)__double_as_longlong(__dadd_rn(x, y));
    out[1] = (u64)__double_as_longlong(__dsub_rn(x, y));
    out[2] = (u64)__double_as_longlong(__dadd_rn(__dmul_rn(x, y), z));
    out[3] = (u64)__double_as_longlong(__ddiv_rn(x, y));
    out[4] = (u64)__double_as_longlong(__dsqrt_rn(x));
    out[5] = (u64)__double_as_longlong(__fma_rn(x, y, z));
    out[6] = (u64)__double2ll_rz(x);
    out[7] = __double2ull_rz(x);
    out[8] = (u64)__double_as_longlong(__ll2double_rn(__double_as_longlong(x)));
    out[9] = (u64)__double_as_longlong(__ull2double_rn((u64)__double_as_longlong(x)));
    out[10] = (u64)__double_as_longlong(x * y + z);
    out[11] = (u64)__double_as_longlong(__longlong_as_double(__double_as_longlong(x)));
}

// `input`: two integers for each thread; `output`: twelve words for each.
extern "C" __global__ void test_integers(const __grid_constant__ TestArgs args) {
    const ulonglong2 in = at<ulonglong2>(args.input)[number()];
    u64* out = at<u64>(args.output) + 12 * number();
    out[0] = (u64)__popcll(in.x);
    out[1] = (u64)__popc((u32)in.x);
    out[2] = (u64)__clzll((i64)in.x);
    out[3] = (u64)__clz((int)in.x);
    out[4] = (u64)__ffsll((i64)in.x);
    out[5] = (u64)__ffs((int)in.x);
    out[6] = __umul64hi(in.x, in.y);
    out[7] = (u64)__mul64hi((i64)in.x, (i64)in.y);
    out[8] = min(in.x, in.y);
    out[9] = (u64)max((i64)in.x, (i64)in.y);
    out[10] = (u64)(((unsigned __int128)in.x * in.y) >> 32);
    out[11] = __brev((u32)in.x);
}

// Not the C library's; and a comment: extern "C" __global__ void test_nothing(int);
extern "C" __global__ void select(const __grid_constant__ TestArgs args);
extern "C" __global__ void select(const __grid_constant__ TestArgs args) {
    if (number() < args.count) at<u64>(args.output)[number()] = number();
}
