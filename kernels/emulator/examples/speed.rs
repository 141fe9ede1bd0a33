//! How many threads a second the emulator runs: `cargo run --release -p dftsp-emulator --example speed`.

#![allow(clippy::print_stdout, reason = "it prints what it measures")]

use std::error::Error;
use std::time::Instant;

use dftsp_emulator::{Order, launch};

const GRID: usize = 4096;
const BLOCK: usize = 256;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = vec![10_u64; GRID * BLOCK / 8];
    let mut output = vec![0_u64; GRID * BLOCK];
    for (name, shared) in [("select", 0), ("test_sum", 8 * BLOCK), ("test_sum_of_warps", 0), ("test_tiles", 0)] {
        let count = if name == "select" { GRID * BLOCK } else { 0 };
        let words = [rounds.as_ptr() as u64, output.as_mut_ptr() as u64, count as u64];
        let args: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        for order in [Order::Ascending, Order::Descending, Order::Shuffled(1)] {
            let start = Instant::now();
            launch(name, GRID as u32, BLOCK as u32, shared, &args, order)?;
            let million = (GRID * BLOCK) as f64 / 1e6 / start.elapsed().as_secs_f64();
            println!("{name}, {order:?}: {million:.1} million threads a second");
        }
    }
    Ok(())
}
