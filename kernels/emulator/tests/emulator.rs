//! The emulator against plain Rust, in several orders; and what it must not let pass.
#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "also in what is no test itself")]

use dftsp_emulator::{AVAILABLE, Fault, Order, launch};

const ORDERS: [Order; 4] = [Order::Ascending, Order::Descending, Order::Shuffled(1), Order::Shuffled(2)];

/// Says so where there is nothing to test.
fn skip() -> bool {
    if !AVAILABLE {
        eprintln!("SKIPPED: the kernels are not emulated, as there was no C++ compiler");
    }
    !AVAILABLE
}

/// `TestArgs` of `api.cu`.
fn args<I, O>(input: &[I], output: &mut [O], count: usize) -> Vec<u8> {
    [input.as_ptr() as u64, output.as_mut_ptr() as u64, count as u64]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect()
}

fn numbers(count: usize) -> Vec<u64> {
    (1..=count as u64).map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20).collect()
}

#[test]
fn sums_of_blocks_of_any_size() {
    if skip() {
        return;
    }
    for order in ORDERS {
        for block in (1..=96).chain((97..=1024).step_by(61)).chain([1023, 1024]) {
            let input = numbers(block * 3 - block / 2);
            let expected: Vec<u64> = input.chunks(block).map(|chunk| chunk.iter().sum()).collect();
            let mut output = [0_u64; 3];
            let bytes = args(&input, &mut output, input.len());
            launch("test_sum", 3, block as u32, block * 8, &bytes, order).unwrap();
            assert_eq!(output[..], expected, "{block} threads, {order:?}");
            if block % 32 == 0 {
                output.fill(0);
                launch("test_sum_of_warps", 3, block as u32, 0, &bytes, order).unwrap();
                assert_eq!(output[..], expected, "{block} threads by warps, {order:?}");
            }
        }
    }
}

/// What `test_tiles` computes for one tile.
fn tile(first: u64, rounds: u64) -> Vec<u64> {
    let mut values: Vec<u64> = (first + 1..=first + 8).collect();
    for _ in 0..rounds {
        let odd = (0..8).fold(0, |odd, lane| odd | (values[lane] & 1) << lane);
        let all = values.iter().all(|value| value % 3 != 0);
        let any = values.iter().any(|value| value % 5 == 0);
        values = (0..8)
            .map(|lane| {
                let before = if lane >= 3 { values[lane - 3] } else { values[lane] };
                let small = if lane + 2 < 8 { values[lane + 2] } else { values[lane] } % 1000;
                let terms = [
                    values[lane].wrapping_mul(6_364_136_223_846_793_005),
                    odd,
                    values[(lane + 1) % 8].wrapping_mul(3),
                    before.wrapping_mul(5),
                    values[lane ^ 5] % 1000 * 7,
                    small * 11,
                    if all { 13 } else { 0 },
                    if any { 17 } else { 0 },
                ];
                terms.into_iter().fold(0, u64::wrapping_add)
            })
            .collect();
    }
    values
}

#[test]
fn tiles_of_a_warp_go_their_own_ways() {
    if skip() {
        return;
    }
    for order in ORDERS {
        for block in [8, 32, 64, 72, 256] {
            let rounds: Vec<u64> = (0..2 * block as u64 / 8).map(|tile| tile * 7 % 11).collect();
            let expected: Vec<u64> =
                (0..).zip(&rounds).flat_map(|(number, rounds)| tile(8 * number, *rounds)).collect();
            let mut output = vec![0_u64; 2 * block];
            let bytes = args(&rounds, &mut output, 0);
            launch("test_tiles", 2, block as u32, 0, &bytes, order).unwrap();
            assert_eq!(output, expected, "{block} threads, {order:?}");
        }
    }
}

#[test]
fn shuffles_and_reductions_of_a_warp() {
    if skip() {
        return;
    }
    for (order, width) in [1, 2, 4, 8, 16, 32].into_iter().flat_map(|width| ORDERS.map(|order| (order, width))) {
        for by in 0..32_u64 {
            let mut output = [[0_u64; 8]; 32];
            launch("test_shuffles", 1, 32, 0, &args(&[by, width], &mut output, 0), order).unwrap();
            for (lane, out) in (0_u64..).zip(output) {
                let segment = lane / width * width;
                let up = if lane < segment + by { lane } else { lane - by };
                let down = if lane + by >= segment + width { lane } else { lane + by };
                // Lanes of earlier segments can be read, of later ones not.
                let crossed = if lane ^ by >= segment + width { lane } else { lane ^ by };
                let sum = (0..32).fold(0_u32, |sum, lane: u32| sum.wrapping_add(lane.wrapping_sub(16)));
                let shuffled = [(segment + by % width) << 40, up, down.wrapping_neg(), crossed];
                assert_eq!(out[..4], shuffled, "lane {lane} by {by}, width {width}, {order:?}");
                assert_eq!(out[4..], [sum.into(), 0, 31, width & 31], "{order:?}");
            }
        }
    }
}

#[test]
fn atomics_and_votes_of_a_block() {
    if skip() {
        return;
    }
    for order in ORDERS {
        let input = numbers(3 * 100);
        let mut output = [0_u64; 11];
        output[1] = u64::MAX;
        let bytes = args(&input, &mut output, 0);
        launch("test_atomics", 3, 100, 0, &bytes, order).unwrap();
        let low = input.iter().map(|value| *value as u32);
        let mut expected = [
            input.iter().sum(),
            *input.iter().min().unwrap(),
            *input.iter().max().unwrap(),
            input.iter().fold(0, |bits, value| bits | 1 << (value % 64)),
            300,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        let words = [low.clone().fold(0, u32::wrapping_add), low.max().unwrap()];
        expected[5] = u64::from_ne_bytes([words[0].to_ne_bytes(), words[1].to_ne_bytes()].concat().try_into().unwrap());
        let least = -(input.iter().map(|value| value % 1000).max().unwrap() as i32);
        expected[7] = u64::from_ne_bytes([least.to_ne_bytes(), [0; 4]].concat().try_into().unwrap());
        for (expected, chunk) in expected[8..].iter_mut().zip(input.chunks(100)) {
            let even = chunk.iter().filter(|value| *value % 2 == 0).count() as u64;
            *expected = even * 4 + 2 + u64::from(chunk.iter().any(|value| value % 1000 == 7));
        }
        assert_eq!(output, expected, "{order:?}");
    }
}

#[test]
fn an_order_exposes_a_missing_barrier() {
    if skip() {
        return;
    }
    let input = numbers(512);
    let mut expected: Vec<u64> = input[1..].to_vec();
    expected.push(0);
    let wrong = |name, order| {
        let mut output = vec![0; 512];
        let bytes = args(&input, &mut output, 0);
        launch(name, 1, 512, 512 * 8, &bytes, order).unwrap();
        output.iter().zip(&expected).filter(|(a, b)| a != b).count()
    };
    for order in ORDERS {
        assert_eq!(wrong("test_neighbour", order), 0, "{order:?}");
    }
    assert_eq!(wrong("test_missing_barrier", Order::Descending), 0);
    assert_eq!(wrong("test_missing_barrier", Order::Ascending), 511);
    assert!((100..400).contains(&wrong("test_missing_barrier", Order::Shuffled(1))));
}

/// The message of a launch that fails.
fn fault(name: &str, block: u32, shared: usize, count: usize, order: Order) -> String {
    let mut output = vec![0_u64; 1024];
    let bytes = args(&[0_u64; 0], &mut output, count);
    launch(name, 1, block, shared, &bytes, order).unwrap_err().to_string()
}

#[test]
fn a_divergent_barrier_is_a_fault() {
    if skip() {
        return;
    }
    for order in ORDERS {
        let message = fault("test_two_barriers", 6, 0, 0, order);
        assert!(message.starts_with("test_two_barriers, block 0: no thread can go on: at __syncthreads (api.cu:"));
        assert!(
            message.contains("): 0, 2, 4; at __syncthreads (api.cu:") && message.ends_with("): 1, 3, 5"),
            "{message}"
        );
        let message = fault("test_early_return", 100, 0, 70, order);
        assert!(message.contains("): 0-69; returned: 70-99"), "{message}");
        let mut output = [0_u64; 1];
        launch("test_early_return", 1, 100, 0, &args(&[0_u64; 0], &mut output, 100), order).unwrap();
    }
}

#[test]
fn lanes_that_do_not_come_are_a_fault() {
    if skip() {
        return;
    }
    for order in ORDERS {
        let message = fault("test_half_arrived", 16, 0, 0, order);
        assert!(message.contains("at __ballot_sync with mask 0x000000ff (api.cu:"), "{message}");
        assert!(message.contains("): 0-3; returned: 4-7, 12-15; at __ballot_sync with mask 0x0000ff00"), "{message}");
        let message = fault("test_half_arrived", 8, 0, 1, order);
        assert!(message.contains("): 0-3; at __syncwarp with mask 0x000000ff"), "{message}");
    }
    let wrong = |block, what| fault("test_wrong_warp", block, 0, what, Order::Ascending);
    assert!(wrong(32, 0).contains("thread 0: __shfl_sync of 4 bytes with mask 0x000000ff"), "{}", wrong(32, 0));
    assert!(wrong(32, 0).ends_with("lane 0 reads lane 9, which the mask does not name"), "{}", wrong(32, 0));
    assert!(wrong(32, 1).ends_with("the mask does not name the thread's own lane 8"), "{}", wrong(32, 1));
    assert!(wrong(32, 2).ends_with("the width 12 is not a power of two up to 32"), "{}", wrong(32, 2));
    assert!(wrong(31, 3).ends_with("the mask names lane 31, which the block lacks"), "{}", wrong(31, 3));
    assert!(wrong(1, 4).contains("thread 0: __trap (api.cu:"), "{}", wrong(1, 4));
}

#[test]
fn dynamic_shared_memory_is_poisoned_and_bounded() {
    if skip() {
        return;
    }
    let limit = 227 << 10;
    for (shared, order) in [1, 48 << 10, limit].into_iter().zip(ORDERS) {
        let mut output = vec![0_u8; shared];
        launch("test_read_shared", 2, 64, shared, &args(&[0_u64; 0], &mut output, shared), order).unwrap();
        assert!(output.iter().all(|byte| *byte == 0xA5), "{shared} bytes");
        launch("test_write_shared", 2, 64, shared, &args(&[0_u64; 0], &mut output, shared), order).unwrap();
        let message = fault("test_write_shared", 64, shared, shared + 1, order);
        assert!(message.contains(&format!("byte {shared} was written, past the end")), "{message}");
    }
}

#[test]
fn floats_are_rounded_once_and_saturate() {
    if skip() {
        return;
    }
    let two = |power: i32| 2_f64.powi(power);
    let mut values = vec![0.0, -0.0, 0.1, -0.5, 1.0 / 3.0, -2.999, 1e300, -1e300, f64::MAX, f64::MIN_POSITIVE];
    values.extend([f64::NAN, f64::INFINITY, f64::NEG_INFINITY, two(63), -two(63), two(64), two(53) + 2.0]);
    values.extend([two(63).next_down(), two(64).next_down(), (-two(63)).next_up(), (-two(63)).next_down()]);
    let input: Vec<[f64; 3]> =
        values.iter().flat_map(|&x| values.iter().map(move |&y| [x, y, -(x * y) + 0.25])).collect();
    let mut output = vec![[0_u64; 12]; input.len()];
    let bytes = args(&input, &mut output, input.len());
    launch("test_floats", input.len().div_ceil(128) as u32, 128, 0, &bytes, Order::Shuffled(3)).unwrap();
    let same = |a: u64, b: f64| a == b.to_bits() || (f64::from_bits(a).is_nan() && b.is_nan());
    for (&[x, y, z], out) in input.iter().zip(&output) {
        let bits = x.to_bits();
        let floats = [x + y, x - y, x * y + z, x / y, x.sqrt(), x.mul_add(y, z)];
        for (given, expected) in out.iter().zip(floats) {
            assert!(same(*given, expected), "{x:e} {y:e} {z:e}: {out:x?}");
        }
        // As Rust's casts, but for NaN.
        assert_eq!(out[6], if x.is_nan() { 1 << 63 } else { x as i64 as u64 }, "{x:e}");
        assert_eq!(out[7], if x.is_nan() { 1 << 63 } else { x as u64 }, "{x:e}");
        assert_eq!(out[8..10], [(bits as i64 as f64).to_bits(), (bits as f64).to_bits()], "{x:e}");
        assert!(same(out[10], x * y + z) && out[11] == bits, "{x:e} {y:e} {z:e}");
    }
}

#[test]
fn integers() {
    if skip() {
        return;
    }
    let mut values = numbers(12);
    values.extend([0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, 1 << 31, 1 << 32, u64::MAX << 32]);
    let pairs: Vec<[u64; 2]> = values.iter().flat_map(|&x| values.iter().map(move |&y| [x, y])).collect();
    // Aligned as `ulonglong2`.
    let input: Vec<u128> = pairs.iter().map(|[x, y]| u128::from_le(u128::from(*x) | u128::from(*y) << 64)).collect();
    let mut output = vec![[0_u64; 12]; input.len()];
    let bytes = args(&input, &mut output, 0);
    launch("test_integers", input.len() as u32 / 4, 4, 0, &bytes, Order::Descending).unwrap();
    for (&[x, y], out) in pairs.iter().zip(&output) {
        let (low, wide) = (x as u32, u128::from(x) * u128::from(y));
        let first = |bits: u64| if bits == 0 { 0 } else { bits.trailing_zeros() + 1 };
        let expected = [
            x.count_ones().into(),
            low.count_ones().into(),
            x.leading_zeros().into(),
            low.leading_zeros().into(),
            first(x).into(),
            first(low.into()).into(),
            (wide >> 64) as u64,
            ((i128::from(x as i64) * i128::from(y as i64)) >> 64) as u64,
            x.min(y),
            (x as i64).max(y as i64) as u64,
            (wide >> 32) as u64,
            low.reverse_bits().into(),
        ];
        assert_eq!(*out, expected, "{x:x} {y:x}");
    }
}

#[test]
fn what_cannot_be_launched() {
    if skip() {
        return;
    }
    let args = [0; 24];
    let fault =
        |name, grid, block, shared, args| launch(name, grid, block, shared, args, Order::Ascending).unwrap_err();
    assert_eq!(fault("test_nothing", 1, 1, 0, &args), Fault::UnknownKernel("test_nothing".to_owned()));
    assert_eq!(
        fault("select", 1, 1, 0, &args[1..]).to_string(),
        "select: 23 bytes of arguments given, its structure has 24"
    );
    assert_eq!(fault("select", 0, 1, 0, &args).to_string(), "select: a grid has 1 to 2147483647 blocks, not 0");
    assert_eq!(fault("select", 1, 0, 0, &args).to_string(), "select: its blocks have 1 to 1024 threads, not 0");
    assert!(matches!(fault("select", 1, 1025, 0, &args), Fault::Configuration { .. }));
    assert!(matches!(fault("select", 1, 1, (227 << 10) + 1, &args), Fault::Configuration { .. }));
    let bound = 64_u32.to_ne_bytes();
    launch("test_bound", 2, 64, 0, &bound, Order::Ascending).unwrap();
    assert_eq!(
        fault("test_bound", 1, 65, 0, &bound).to_string(),
        "test_bound: its blocks have 1 to 64 threads, not 65"
    );
    assert!(matches!(fault("test_bound", 1, 1, 0, &65_u32.to_ne_bytes()), Fault::Thread { thread: 0, .. }));
}

#[test]
fn launches_from_several_threads() {
    if skip() {
        return;
    }
    std::thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || {
                for round in 0..20 {
                    let input = numbers(64 * (seed + 1) * 5);
                    let expected: Vec<u64> = input.chunks(64 * (seed + 1)).map(|chunk| chunk.iter().sum()).collect();
                    let mut output = [0_u64; 5];
                    let bytes = args(&input, &mut output, input.len());
                    let block = 64 * (seed as u32 + 1);
                    for name in ["test_sum", "test_sum_of_warps"] {
                        launch(name, 5, block, block as usize * 8, &bytes, Order::Shuffled(round)).unwrap();
                        assert_eq!(output[..], expected);
                    }
                }
            });
        }
    });
}
