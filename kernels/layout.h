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

// Costs, budgets: the columns of an instance, one u64 a request. Addresses of the first request at hand.
struct Columns {
    u64 uplink, downlink, kv_tokens, compute, budget;
};
static_assert(sizeof(Columns) == 40, "Columns");

// Buckets of budgets: see `bound::view::Buckets`.
struct Buckets {
    u64 least;
    double factor;
    u32 count;
    u32 unused;
};
static_assert(sizeof(Buckets) == 24, "Buckets");

// bounds.cu: what all passes know. Requests `base` to `base + count` are on the device, and `chunk` of them are a block's.
struct PassArgs {
    Columns columns;
    Buckets buckets;
    u32 base;
    u32 count;
    u32 chunk;
    // Whether the sums of a block fit in its shared memory.
    u32 shared;
    // u16 a request, of the whole instance: bucket << 2 | fate.
    u64 tags;
};
static_assert(sizeof(PassArgs) == 88, "PassArgs");

struct ClassifyArgs {
    PassArgs pass;
    // u64 [7][buckets]: sums of the four costs of what is taken; requests and, in the high half, taken ones; least and most
    // budget.
    u64 cells;
    // u32 a block: how many requests it lists.
    u64 listed;
    // The region: see `bound::region::Region`.
    double whiten[10];
    double ends[8];
    double width;
    double taken_below;
    double price_error;
};
static_assert(sizeof(ClassifyArgs) == 272, "ClassifyArgs");

struct SurveyArgs {
    PassArgs pass;
    // u64 [4 lanes][buckets].
    u64 sums;
    // By resource, then lane.
    double lambda[16];
};
static_assert(sizeof(SurveyArgs) == 224, "SurveyArgs");

// Which requests are counted and listed.
enum Wanted : u32 {
    // Undecided by the region.
    WANTED_CORE = 0,
    // In an open bucket.
    WANTED_MEMBERS = 1,
    // Taken for certain, with a budget of at least `least`.
    WANTED_TAKEN = 2,
    // Of a price of at most `most`, with a budget of at least `least`.
    WANTED_PRICED = 3,
};

struct ListArgs {
    PassArgs pass;
    u32 wanted;
    // Where in the lists the first request goes.
    u32 offset;
    u64 least;
    double lambda[4];
    double most;
    // A bit a bucket, as u32.
    u64 open;
    // u32 a block: how many requests it lists.
    u64 listed;
    // The lists: index as u32; and, unless the address is 0, tag as u16, costs as u64[4], budget as u64.
    u64 index;
    u64 tag;
    u64 cost;
    u64 budget;
};
static_assert(sizeof(ListArgs) == 192, "ListArgs");

// paths.cu: a group of a tree. See `tree::Group` and `tree::Tree::viable`.
struct PathGroup {
    // First entry of its tables, and how many requests it has.
    u32 entry;
    u32 len;
    // Whether it is the last of its part; the part's groups end before this one.
    u32 closes;
    u32 part_end;
    // Requests from here to the end of the part; and what the next part needs, if this group closes.
    u32 rest;
    u32 next_need;
    // First floor, or NONE; and whether long groups are worth adding up.
    u32 floor;
    u32 long_groups;
};
static_assert(sizeof(PathGroup) == 32, "PathGroup");

// A piece of a tree: below a prefix of places, from one place of a level on. Places are numbers in the order of a group's
// counts.
struct PathItem {
    // The level where it begins, and the place there where it ends.
    u32 base;
    u32 end;
    // The level at which the walk goes on.
    u32 top;
    u32 unused;
};
static_assert(sizeof(PathItem) == 16, "PathItem");

enum PathEnd : u32 {
    // Not looked at: an item before it holds a batch.
    PATH_SKIPPED = 0,
    // Walked to its end.
    PATH_EMPTY = 1,
    // The path at its places is a batch.
    PATH_BATCH = 2,
    // No direction settles the path at its places.
    PATH_OPEN = 3,
    // So many nodes were walked; it goes on at its places.
    PATH_PAUSED = 4,
};

struct PathResult {
    u64 nodes;
    u64 paths;
    u32 end;
    // The level at which it stopped; and for a batch, the direction.
    u32 top;
    u32 direction;
    u32 unused;
};
static_assert(sizeof(PathResult) == 32, "PathResult");

const u32 PATH_NONE = 0xffffffffu;
const u32 PATH_LANES = 8;
const u32 PATH_RESOURCES = 4;
// Of a level of the walk, in words of u64: what is left (4), losses (8), sums in the first direction (3), need and place.
const u32 PATH_LEVEL_WORDS = 16;

struct PathArgs {
    u64 left[PATH_RESOURCES];
    u64 loss[PATH_LANES];
    // u64 a direction: what the radio allows in it; and that of the first.
    u64 limits;
    u64 first_limit;
    // PathGroup[levels].
    u64 groups;
    // u64[12] an entry: losses, costs.
    u64 entries;
    // u32 an entry: the counts of a group in order.
    u64 order;
    // u64[5] a floor: loss, costs.
    u64 floors;
    // u64[3] an entry and direction, directions next to each other: price, uplink, downlink.
    u64 cheapest;
    // PathItem[items], u32 places[items][levels], PathResult[items].
    u64 items;
    u64 places;
    u64 results;
    // u32[2]: the next item, and the first that holds a batch.
    u64 ticket;
    // u64[PATH_LEVEL_WORDS] a level, for each tile of the grid; 0: in shared memory.
    u64 stack;
    // Nodes after which an item pauses.
    u64 quota;
    u32 item_count;
    u32 levels;
    u32 directions;
    // What the first part needs.
    u32 need;
};
static_assert(sizeof(PathArgs) == 216, "PathArgs");

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
#define CELL_LEAF_BYTES 147456

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
// exhaustive.cu: the levels of a tree that number its heads, from the first head of a launch on.
struct HeadLevel {
    // Count v of the level is entry `entry + v`; and how many requests it has.
    u32 entry;
    u32 len;
    // The digit of the first head, `len` less its count; and the sum of its counts on the levels before.
    u32 digit;
    u32 taken;
    // 2^64 / (len + 1), rounded up: to divide by len + 1.
    u64 inverse;
    u64 unused;
    // What the first head costs on the levels before.
    u64 before[4];
};
static_assert(sizeof(HeadLevel) == 64, "HeadLevel");

struct ExhaustiveArgs {
    u64 capacity[4];
    // HeadLevel[head_levels + 1]: the last is only that before it come all.
    u64 levels;
    // u64[4] an entry.
    u64 entries;
    // u64[3]: the next chunk; the least number of a batch; paths with the right sum.
    u64 found;
    // u64 a chunk: its paths with the right sum, up to its first batch.
    u64 counts;
    // Paths of a head.
    u64 tail;
    u32 head_levels;
    u32 entry_count;
    // Heads of this launch, and of a chunk: at most the threads of a block.
    u32 heads;
    u32 chunk;
    // How many requests a batch has.
    u32 need;
    // Whether the tables fit in the shared memory of a block.
    u32 shared;
    // The levels below a head; those that are not needed come first, and are empty.
    u32 tail_entry[4];
    u32 tail_len[4];
};
static_assert(sizeof(ExhaustiveArgs) == 128, "ExhaustiveArgs");
