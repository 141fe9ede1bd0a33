// Lets a C++ compiler for the host compile the kernels as they are. What CUDA has and this header lacks is a compile
// error: add it here, with the meaning it has on the device.
#pragma once

#include <cmath>
#include <cstdio>
#include <cstring>

#define DFTSP_EMULATED 1
#define __CUDA_ARCH__ 750

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
// One block at a time runs on a thread of the host, so its thread-local memory is the block's.
#define __shared__ static __thread
#define DYNAMIC_SHARED(name) unsigned char* const name = dftsp_emulated.shared

#define warpSize 32

// ---- Vector types, with CUDA's alignments ----

#define DFTSP_VECTOR_2(type, name, align)                                                                              \
    struct __align__(align) name {                                                                                     \
        type x, y;                                                                                                     \
    };                                                                                                                 \
    static inline name make_##name(type x, type y) { return name{x, y}; }
#define DFTSP_VECTOR_4(type, name, align)                                                                              \
    struct __align__(align) name {                                                                                     \
        type x, y, z, w;                                                                                               \
    };                                                                                                                 \
    static inline name make_##name(type x, type y, type z, type w) { return name{x, y, z, w}; }

DFTSP_VECTOR_2(unsigned char, uchar2, 2)
DFTSP_VECTOR_2(short, short2, 4)
DFTSP_VECTOR_2(unsigned short, ushort2, 4)
DFTSP_VECTOR_2(int, int2, 8)
DFTSP_VECTOR_2(unsigned, uint2, 8)
DFTSP_VECTOR_2(long long, longlong2, 16)
DFTSP_VECTOR_2(unsigned long long, ulonglong2, 16)
DFTSP_VECTOR_2(double, double2, 16)
DFTSP_VECTOR_4(unsigned char, uchar4, 4)
DFTSP_VECTOR_4(short, short4, 8)
DFTSP_VECTOR_4(unsigned short, ushort4, 8)
DFTSP_VECTOR_4(int, int4, 16)
DFTSP_VECTOR_4(unsigned, uint4, 16)
DFTSP_VECTOR_4(long long, longlong4, 16)
DFTSP_VECTOR_4(unsigned long long, ulonglong4, 16)
DFTSP_VECTOR_4(double, double4, 16)
#undef DFTSP_VECTOR_2
#undef DFTSP_VECTOR_4

struct uint3 {
    unsigned x, y, z;
};
typedef uint3 dim3;

// ---- The thread that runs; src/run.rs has the same structure ----

// What a thread waits at, in the order of `Kind`.
enum DftspKind : unsigned {
    DFTSP_SYNCTHREADS,
    DFTSP_SYNCTHREADS_COUNT,
    DFTSP_SYNCTHREADS_AND,
    DFTSP_SYNCTHREADS_OR,
    DFTSP_SYNCWARP,
    DFTSP_SHFL,
    DFTSP_SHFL_UP,
    DFTSP_SHFL_DOWN,
    DFTSP_SHFL_XOR,
    DFTSP_BALLOT,
    DFTSP_ANY,
    DFTSP_ALL,
    DFTSP_REDUCE_ADD,
    DFTSP_REDUCE_MIN,
    DFTSP_REDUCE_MAX,
    DFTSP_REDUCE_OR,
    DFTSP_TRAP,
};

struct DftspEmulated {
    uint3 thread_idx, block_idx;
    dim3 block_dim, grid_dim;
    unsigned char* shared;
    const void* run;
    // What: the kind, 8 bits; of a shuffle, the bytes of a value and the width, 8 bits each; 8 bits free; the line. Whom:
    // the mask; the lane, delta or lane mask of a shuffle.
    unsigned long long (*arrive)(const void* run, unsigned long long what, unsigned long long whom, const char* file,
                                 unsigned long long value);
};

extern "C" __thread DftspEmulated dftsp_emulated;

#define threadIdx (dftsp_emulated.thread_idx)
#define blockIdx (dftsp_emulated.block_idx)
#define blockDim (dftsp_emulated.block_dim)
#define gridDim (dftsp_emulated.grid_dim)

// Where a call is written, for reports.
#define DFTSP_HERE const char *file = __builtin_FILE(), unsigned line = __builtin_LINE()

static inline unsigned long long dftsp_arrive(DftspKind kind, unsigned mask, unsigned long long value, const char* file,
                                              unsigned line, unsigned bytes = 0, unsigned lane = 0,
                                              unsigned width = 32) {
    // Too wide is wrong, whatever it is.
    if (width > 255) width = 255;
    return dftsp_emulated.arrive(dftsp_emulated.run,
                                 kind | bytes << 8 | width << 16 | (unsigned long long)line << 32,
                                 mask | (unsigned long long)lane << 32, file, value);
}

// ---- Barriers and fences ----

static inline void __syncthreads(DFTSP_HERE) { dftsp_arrive(DFTSP_SYNCTHREADS, 0, 0, file, line); }
static inline int __syncthreads_count(int predicate, DFTSP_HERE) {
    return (int)dftsp_arrive(DFTSP_SYNCTHREADS_COUNT, 0, predicate != 0, file, line);
}
static inline int __syncthreads_and(int predicate, DFTSP_HERE) {
    return (int)dftsp_arrive(DFTSP_SYNCTHREADS_AND, 0, predicate != 0, file, line);
}
static inline int __syncthreads_or(int predicate, DFTSP_HERE) {
    return (int)dftsp_arrive(DFTSP_SYNCTHREADS_OR, 0, predicate != 0, file, line);
}
static inline void __syncwarp(unsigned mask = 0xffffffffu, DFTSP_HERE) {
    dftsp_arrive(DFTSP_SYNCWARP, mask, 0, file, line);
}
static inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __threadfence_system() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void __trap(DFTSP_HERE) { dftsp_arrive(DFTSP_TRAP, 0, 0, file, line); }

// ---- Warps ----

template <typename T>
static inline T dftsp_shuffle(DftspKind kind, unsigned mask, T value, unsigned lane, int width, const char* file,
                              unsigned line) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "4 or 8 bytes are shuffled");
    unsigned long long bits = 0;
    memcpy(&bits, &value, sizeof(T));
    bits = dftsp_arrive(kind, mask, bits, file, line, sizeof(T), lane, (unsigned)width);
    memcpy(&value, &bits, sizeof(T));
    return value;
}

#define DFTSP_SHUFFLES(type)                                                                                           \
    static inline type __shfl_sync(unsigned mask, type value, int lane, int width = 32, DFTSP_HERE) {                  \
        return dftsp_shuffle(DFTSP_SHFL, mask, value, (unsigned)lane, width, file, line);                              \
    }                                                                                                                  \
    static inline type __shfl_up_sync(unsigned mask, type value, unsigned delta, int width = 32, DFTSP_HERE) {         \
        return dftsp_shuffle(DFTSP_SHFL_UP, mask, value, delta, width, file, line);                                    \
    }                                                                                                                  \
    static inline type __shfl_down_sync(unsigned mask, type value, unsigned delta, int width = 32, DFTSP_HERE) {       \
        return dftsp_shuffle(DFTSP_SHFL_DOWN, mask, value, delta, width, file, line);                                  \
    }                                                                                                                  \
    static inline type __shfl_xor_sync(unsigned mask, type value, int lanes, int width = 32, DFTSP_HERE) {             \
        return dftsp_shuffle(DFTSP_SHFL_XOR, mask, value, (unsigned)lanes, width, file, line);                         \
    }
DFTSP_SHUFFLES(int)
DFTSP_SHUFFLES(unsigned)
DFTSP_SHUFFLES(long)
DFTSP_SHUFFLES(unsigned long)
DFTSP_SHUFFLES(long long)
DFTSP_SHUFFLES(unsigned long long)
DFTSP_SHUFFLES(float)
DFTSP_SHUFFLES(double)
#undef DFTSP_SHUFFLES

static inline unsigned __ballot_sync(unsigned mask, int predicate, DFTSP_HERE) {
    return (unsigned)dftsp_arrive(DFTSP_BALLOT, mask, predicate != 0, file, line);
}
static inline int __any_sync(unsigned mask, int predicate, DFTSP_HERE) {
    return (int)dftsp_arrive(DFTSP_ANY, mask, predicate != 0, file, line);
}
static inline int __all_sync(unsigned mask, int predicate, DFTSP_HERE) {
    return (int)dftsp_arrive(DFTSP_ALL, mask, predicate != 0, file, line);
}
static inline unsigned __reduce_add_sync(unsigned mask, unsigned value, DFTSP_HERE) {
    return (unsigned)dftsp_arrive(DFTSP_REDUCE_ADD, mask, value, file, line);
}
static inline unsigned __reduce_min_sync(unsigned mask, unsigned value, DFTSP_HERE) {
    return (unsigned)dftsp_arrive(DFTSP_REDUCE_MIN, mask, value, file, line);
}
static inline unsigned __reduce_max_sync(unsigned mask, unsigned value, DFTSP_HERE) {
    return (unsigned)dftsp_arrive(DFTSP_REDUCE_MAX, mask, value, file, line);
}
static inline unsigned __reduce_or_sync(unsigned mask, unsigned value, DFTSP_HERE) {
    return (unsigned)dftsp_arrive(DFTSP_REDUCE_OR, mask, value, file, line);
}
// Signed reductions are not the unsigned ones.
int __reduce_add_sync(unsigned, int) = delete;
int __reduce_min_sync(unsigned, int) = delete;
int __reduce_max_sync(unsigned, int) = delete;
// What it returns says nothing about who will arrive.
unsigned __activemask() = delete;

// ---- Atomics: for the types that CUDA has them for ----

#define DFTSP_ATOMIC(suffix, type)                                                                                     \
    static inline type atomicExch##suffix(type* address, type value) {                                                 \
        return __atomic_exchange_n(address, value, __ATOMIC_RELAXED);                                                  \
    }                                                                                                                  \
    static inline type atomicCAS##suffix(type* address, type compare, type value) {                                    \
        __atomic_compare_exchange_n(address, &compare, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);              \
        return compare;                                                                                                \
    }                                                                                                                  \
    static inline type atomicAnd##suffix(type* address, type value) {                                                  \
        return __atomic_fetch_and(address, value, __ATOMIC_RELAXED);                                                   \
    }                                                                                                                  \
    static inline type atomicOr##suffix(type* address, type value) {                                                   \
        return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);                                                    \
    }                                                                                                                  \
    static inline type atomicXor##suffix(type* address, type value) {                                                  \
        return __atomic_fetch_xor(address, value, __ATOMIC_RELAXED);                                                   \
    }
#define DFTSP_ATOMIC_ADD(suffix, type)                                                                                 \
    static inline type atomicAdd##suffix(type* address, type value) {                                                  \
        return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);                                                   \
    }
#define DFTSP_ATOMIC_SUB(suffix, type)                                                                                 \
    static inline type atomicSub##suffix(type* address, type value) {                                                  \
        return __atomic_fetch_sub(address, value, __ATOMIC_RELAXED);                                                   \
    }
#define DFTSP_ATOMIC_MIN_MAX(suffix, type)                                                                             \
    static inline type atomicMin##suffix(type* address, type value) {                                                  \
        type old = __atomic_load_n(address, __ATOMIC_RELAXED);                                                         \
        while (value < old &&                                                                                          \
               !__atomic_compare_exchange_n(address, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {        \
        }                                                                                                              \
        return old;                                                                                                    \
    }                                                                                                                  \
    static inline type atomicMax##suffix(type* address, type value) {                                                  \
        type old = __atomic_load_n(address, __ATOMIC_RELAXED);                                                         \
        while (value > old &&                                                                                          \
               !__atomic_compare_exchange_n(address, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {        \
        }                                                                                                              \
        return old;                                                                                                    \
    }
#define DFTSP_ATOMICS(suffix)                                                                                          \
    DFTSP_ATOMIC(suffix, int)                                                                                          \
    DFTSP_ATOMIC(suffix, unsigned)                                                                                     \
    DFTSP_ATOMIC(suffix, unsigned long long)                                                                           \
    DFTSP_ATOMIC_ADD(suffix, int)                                                                                      \
    DFTSP_ATOMIC_ADD(suffix, unsigned)                                                                                 \
    DFTSP_ATOMIC_ADD(suffix, unsigned long long)                                                                       \
    DFTSP_ATOMIC_SUB(suffix, int)                                                                                      \
    DFTSP_ATOMIC_SUB(suffix, unsigned)                                                                                 \
    DFTSP_ATOMIC_MIN_MAX(suffix, int)                                                                                  \
    DFTSP_ATOMIC_MIN_MAX(suffix, unsigned)                                                                             \
    DFTSP_ATOMIC_MIN_MAX(suffix, long long)                                                                            \
    DFTSP_ATOMIC_MIN_MAX(suffix, unsigned long long)
DFTSP_ATOMICS()
DFTSP_ATOMICS(_block)
DFTSP_ATOMICS(_system)
#undef DFTSP_ATOMIC
#undef DFTSP_ATOMIC_ADD
#undef DFTSP_ATOMIC_SUB
#undef DFTSP_ATOMIC_MIN_MAX
#undef DFTSP_ATOMICS

// ---- Integers ----

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz((unsigned)x); }
static inline int __clzll(long long x) { return x == 0 ? 64 : __builtin_clzll((unsigned long long)x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __umulhi(unsigned x, unsigned y) { return (unsigned)(((unsigned long long)x * y) >> 32); }
static inline int __mulhi(int x, int y) { return (int)(((long long)x * y) >> 32); }
static inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
    return (unsigned long long)(((unsigned __int128)x * y) >> 64);
}
static inline long long __mul64hi(long long x, long long y) { return (long long)(((__int128)x * y) >> 64); }
static inline unsigned __brev(unsigned x) {
    unsigned reversed = 0;
    for (int bit = 0; bit < 32; bit++) reversed |= ((x >> bit) & 1u) << (31 - bit);
    return reversed;
}

template <typename T>
static inline T __ldg(const T* address) {
    return *address;
}

// CUDA's overloads and no others: what is ambiguous there is ambiguous here.
#define DFTSP_MIN_MAX(a, b, result)                                                                                    \
    static inline result min(a x, b y) { return (result)x < (result)y ? (result)x : (result)y; }                       \
    static inline result max(a x, b y) { return (result)x > (result)y ? (result)x : (result)y; }
DFTSP_MIN_MAX(int, int, int)
DFTSP_MIN_MAX(unsigned, unsigned, unsigned)
DFTSP_MIN_MAX(int, unsigned, unsigned)
DFTSP_MIN_MAX(unsigned, int, unsigned)
DFTSP_MIN_MAX(long, long, long)
DFTSP_MIN_MAX(unsigned long, unsigned long, unsigned long)
DFTSP_MIN_MAX(long, unsigned long, unsigned long)
DFTSP_MIN_MAX(unsigned long, long, unsigned long)
DFTSP_MIN_MAX(long long, long long, long long)
DFTSP_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
DFTSP_MIN_MAX(long long, unsigned long long, unsigned long long)
DFTSP_MIN_MAX(unsigned long long, long long, unsigned long long)
#undef DFTSP_MIN_MAX
// A NaN loses, as on the device.
static inline float min(float x, float y) { return fminf(x, y); }
static inline float max(float x, float y) { return fmaxf(x, y); }
static inline double min(double x, double y) { return fmin(x, y); }
static inline double max(double x, double y) { return fmax(x, y); }
static inline double min(float x, double y) { return fmin(x, y); }
static inline double max(float x, double y) { return fmax(x, y); }
static inline double min(double x, float y) { return fmin(x, y); }
static inline double max(double x, float y) { return fmax(x, y); }

// ---- Floats: compiled with -ffp-contract=off, so each is rounded once ----

static inline double __dadd_rn(double x, double y) { return x + y; }
static inline double __dsub_rn(double x, double y) { return x - y; }
static inline double __dmul_rn(double x, double y) { return x * y; }
static inline double __ddiv_rn(double x, double y) { return x / y; }
static inline double __dsqrt_rn(double x) { return sqrt(x); }
static inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }
static inline double __ll2double_rn(long long x) { return (double)x; }
static inline double __ull2double_rn(unsigned long long x) { return (double)x; }
static inline double __int2double_rn(int x) { return (double)x; }
static inline double __uint2double_rn(unsigned x) { return (double)x; }

// Out of range, the device gives the nearest integer that there is; for a NaN, the highest bit alone.
static inline long long __double2ll_rz(double x) {
    if (!(x >= -0x1p63)) return (long long)(1ull << 63);
    if (x >= 0x1p63) return (long long)~(1ull << 63);
    return (long long)x;
}
static inline unsigned long long __double2ull_rz(double x) {
    if (x != x) return 1ull << 63;
    if (x <= 0.0) return 0;
    if (x >= 0x1p64) return ~0ull;
    return (unsigned long long)x;
}
static inline int __double2int_rz(double x) {
    if (!(x >= -0x1p31)) return (int)(1u << 31);
    if (x >= 0x1p31) return (int)~(1u << 31);
    return (int)x;
}
static inline unsigned __double2uint_rz(double x) {
    if (x != x) return 1u << 31;
    if (x <= 0.0) return 0;
    if (x >= 0x1p32) return ~0u;
    return (unsigned)x;
}
static inline long long __double_as_longlong(double x) {
    long long bits;
    memcpy(&bits, &x, sizeof(bits));
    return bits;
}
static inline double __longlong_as_double(long long bits) {
    double x;
    memcpy(&x, &bits, sizeof(x));
    return x;
}
