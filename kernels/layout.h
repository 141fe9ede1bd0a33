// What the host and the kernels share. `src/backend/cuda/layout.rs` has the same structures; sizes and offsets are
// asserted on both sides.
#pragma once

typedef unsigned long long u64;
typedef long long i64;
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned char u8;

#ifndef DFTSP_EMULATED
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) u8 name[]
#endif

// A device address as a pointer.
template <typename T>
__device__ __forceinline__ T* at(u64 address) {
    return reinterpret_cast<T*>(address);
}
