// A second file: its helpers do not clash with those of the first.
#include "layout.h"

struct TestArgs {
    u32 bound;
};

__constant__ u32 BOUNDS[] = {64, 128};
constexpr u32 bound() { return 64; }
static __device__ __forceinline__ u64 number() { return 0; }
__device__ u64 helper() { return number(); }

extern "C" __global__ void __launch_bounds__(bound(), 2) test_bound(const __grid_constant__ TestArgs args) {
    if (args.bound != BOUNDS[helper()]) __trap();
}
