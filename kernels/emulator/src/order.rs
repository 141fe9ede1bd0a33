//! The generator behind [`Order::Shuffled`], and orders of threads.

use crate::Order;

/// SplitMix64.
#[derive(Debug)]
pub(crate) struct Shuffler(u64);

impl Shuffler {
    pub(crate) fn new(order: Order) -> Self {
        Self(if let Order::Shuffled(seed) = order { seed } else { 0 })
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Puts numbers that ascend into an order.
    pub(crate) fn arrange<T>(&mut self, items: &mut [T], order: Order) {
        match order {
            Order::Ascending => {}
            Order::Descending => items.reverse(),
            Order::Shuffled(_) => {
                for last in (1..items.len()).rev() {
                    let other = (u128::from(self.next()) * (last as u128 + 1)) >> 64;
                    items.swap(last, other as usize);
                }
            }
        }
    }
}

/// A set of the threads of a block.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Threads([u64; 16]);

impl Threads {
    pub(crate) fn insert(&mut self, thread: u32) {
        self.0[thread as usize / 64] |= 1 << (thread % 64);
    }

    /// All lanes of a warp that a mask names.
    pub(crate) fn insert_warp(&mut self, warp: u32, mask: u32) {
        self.0[warp as usize / 2] |= u64::from(mask) << (warp % 2 * 32);
    }

    pub(crate) fn contains(&self, thread: u32) -> bool {
        self.0[thread as usize / 64] >> (thread % 64) & 1 != 0
    }

    /// Takes all out, ascending.
    pub(crate) fn drain_into(&mut self, out: &mut Vec<u16>) {
        for (word, bits) in (0_u16..).zip(&mut self.0) {
            while *bits != 0 {
                out.push(word * 64 + bits.trailing_zeros() as u16);
                *bits &= *bits - 1;
            }
        }
    }
}
