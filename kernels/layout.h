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

// ---- cells.cu: a block of one warp for each instance ----

// An instance has at most so many rows.
#define CELL_ROWS 2048
// Linear programs of a cell, with λ = 0 as the first, and spans of its certificate; what needs more is the host's.
#define CELL_PROGRAMS 64
#define CELL_SPANS 128
// Free requests of a subproblem, and floors of a tree; what has more is the host's.
#define CELL_FREE 256
#define CELL_FLOORS 1024
// Directions in which the bands are looked at.
#define CELL_DIRECTIONS 33
// Bytes of working memory for each row of the largest cell, in multiples of 64 rows.
#define CELL_ROW_BYTES 53
// Bytes of working memory for the subproblems of a block.
#define CELL_LEAF_BYTES 163840

// An instance.
struct Cell {
    // Capacities of uplink, downlink and KV tokens.
    u64 capacity[3];
    // Its first row in the columns, and their number.
    u64 first;
    u32 rows;
    // Where its batch begins in `CellsArgs::batches`.
    u32 batch;
};
static_assert(sizeof(Cell) == 40, "as in layout.rs");

// λ: integers over 2^one_bits.
struct CellMultipliers {
    u64 lambda[4];
    u64 one_bits;
};
static_assert(sizeof(CellMultipliers) == 40, "as in layout.rs");

// Deadlines first..=last: covered by the λ of a linear program, or searched with its help.
struct CellSpan {
    u16 first;
    u16 last;
    u16 program;
    u16 searched;
};
static_assert(sizeof(CellSpan) == 8, "as in layout.rs");

// What is found for a cell. Rows of the batch are bits elsewhere.
struct CellResult {
    // Whether it was solved; else it is the host's, and nothing else here is meant.
    u32 solved;
    u32 size;
    u32 bound_passes;
    u32 subproblems;
    u32 nodes;
    u32 paths_checked;
    u32 paths_open;
    u32 spans;
    CellSpan span[CELL_SPANS];
    CellMultipliers multipliers[CELL_PROGRAMS];
};
static_assert(sizeof(CellResult) == 32 + 8 * CELL_SPANS + 40 * CELL_PROGRAMS, "as in layout.rs");

struct CellsArgs {
    // u32: the number of the next cell, 0 at first.
    u64 ticket;
    // Cell and CellResult, for each cell.
    u64 cells;
    u64 results;
    // u64 for each row of all cells.
    u64 uplink;
    u64 downlink;
    u64 kv_tokens;
    u64 compute;
    u64 budget;
    // u32: bits, 32 rows to a word; each cell begins a word.
    u64 batches;
    // Working memory: for each block CELL_LEAF_BYTES, and if not shared `most` · CELL_ROW_BYTES.
    u64 scratch;
    u32 count;
    // The rows of the largest cell, as a multiple of 64.
    u32 most;
    // Whether the working memory of rows is dynamic shared memory.
    u32 shared;
    u32 unused;
    // Cosine and sine of each direction, in the order in which they are tried.
    double directions[CELL_DIRECTIONS][2];
};
static_assert(sizeof(CellsArgs) == 96 + 16 * CELL_DIRECTIONS, "as in layout.rs");
