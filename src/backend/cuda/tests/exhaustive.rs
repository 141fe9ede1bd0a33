//! The paper's tree without pruning: kernels under emulation against the CPU.

use std::time::Duration;

use super::super::exhaustive::Pace;
use super::*;
use crate::rank::RESOURCES;
use crate::search::enumerate::tests::{oracle, random};
use crate::search::enumerate::{End, Enumerated, Enumeration};

const PACES: [Pace; 5] = [
    Pace { first: 1 << 24, most: 1 << 40, chunk: 256, heads: 4 },
    // A head a launch.
    Pace { first: 1, most: 1, chunk: 1, heads: 0 },
    Pace { first: 30, most: 1 << 20, chunk: 3, heads: 0 },
    // One level in the tail, whatever else.
    Pace { first: 1, most: 100, chunk: 7, heads: u64::MAX },
    Pace { first: 500, most: 500, chunk: 33, heads: 0 },
];

/// Groups of such sizes; one of a group's requests costs so much of each resource.
fn tree(groups: &[(u32, u64)], z: u64, room: u64) -> Enumeration {
    let table = |&(size, cost): &(u32, u64)| (0..=u64::from(size)).map(|v| [v * cost; RESOURCES]).collect();
    let tables: Vec<Vec<[u64; RESOURCES]>> = groups.iter().map(table).collect();
    Enumeration::new(tables.iter().map(Vec::as_slice), z, [room; RESOURCES])
}

/// The enumeration of a device, which must not fail.
fn enumerate(tree: &Enumeration, device: Emulated, pace: Pace, clock: &Clock) -> (Enumerated, &'static str) {
    let cuda = cuda(device);
    cuda.set_exhaustive_pace(pace);
    let device = OnDevice::new(Choice::Cuda, Source::Given(cuda), None);
    let found = device.enumerate(tree, clock);
    assert_eq!(device.ran().fault, None);
    (found, device.ran().backend)
}

#[test]
fn every_path_is_that_of_the_walk() {
    if !emulator() {
        return;
    }
    let clock = Clock::start(&Limits::NONE);
    let (mut batches, mut empty) = (0, 0);
    for seed in 0..4_000u64 {
        let tree = random(seed);
        let order = ORDERS[(seed / 5 % 3) as usize];
        let order = if let Order::Shuffled(_) = order { Order::Shuffled(seed) } else { order };
        let pace = PACES[(seed % 5) as usize];
        // Launches of one head each are many.
        if pace.most == 1 && tree.paths() > 500 {
            continue;
        }
        let shared = if seed % 7 == 0 { 1 << 10 } else { 48 << 10 };
        let (found, backend) = enumerate(&tree, Emulated::new(order).shared(shared), pace, &clock);
        let expected = oracle(&tree);
        if backend == "cuda" {
            match expected.end {
                End::Batch(_) => batches += 1,
                _ => empty += 1,
            }
        }
        assert_eq!(found, expected, "seed {seed}, {order:?}, {pace:?}");
    }
    assert!(batches > 300 && empty > 300, "{batches} {empty}");
}

/// Several batches in a chunk and in many; the lowest-numbered wins, and counts end with it.
#[test]
fn the_first_of_many_batches_wins() {
    if !emulator() {
        return;
    }
    let clock = Clock::start(&Limits::NONE);
    let cpu = Cpu { pool: None };
    // Early requests are dear, so that the first batch lies somewhere in the middle.
    let groups = [(9, 30), (7, 3), (1, 9), (0, 0), (11, 2), (5, 1), (3, 4)];
    for z in [1, 12, 20, 36, 37] {
        for room in [0, 20, 40, 60, 100, 250, 1000] {
            let tree = tree(&groups, z, room);
            let expected = cpu.enumerate(&tree, &clock);
            for (pace, order) in [PACES[0], PACES[2], PACES[4]].into_iter().zip(ORDERS) {
                let (found, backend) = enumerate(&tree, Emulated::new(order), pace, &clock);
                assert_eq!((found, backend), (expected.clone(), "cuda"), "{z} {room} {pace:?}");
            }
        }
    }
}

/// More paths than a word can number, and limits.
#[test]
fn trees_may_have_more_paths_than_a_word_holds() {
    if !emulator() {
        return;
    }
    let clock = Clock::start(&Limits::NONE);
    let cpu = Cpu { pool: None };
    let groups = [(7, 1); 70];
    for (z, room) in [(7 * 70 - 7, 1000), (7 * 70 - 13, 480), (7 * 70 - 20, 470)] {
        let tree = tree(&groups, z, room);
        assert_eq!(tree.paths(), u64::MAX);
        let expected = cpu.enumerate(&tree, &clock);
        for pace in [PACES[2], PACES[4]] {
            let (found, backend) = enumerate(&tree, Emulated::new(Order::Shuffled(2)), pace, &clock);
            assert_eq!((found, backend), (expected.clone(), "cuda"));
        }
    }
    let hopeless = tree(&groups, 20, 0);
    let limited = Clock::start(&Limits::time(Duration::from_millis(30)));
    let (found, _) = enumerate(&hopeless, Emulated::new(Order::Ascending), PACES[2], &limited);
    assert!(found.end == End::Stopped && found.nodes > 0 && found.nodes < u64::MAX, "{found:?}");
}

/// Whole searches: the same batch, certificate and counters, wherever they ran.
#[test]
fn whole_searches_are_those_of_the_cpu() {
    if !emulator() {
        return;
    }
    let method = Method::Algorithm1 { prune: false };
    let mut used = 0;
    for (seed, requests) in [6, 8, 9, 10, 11, 12, 13, 14].into_iter().enumerate() {
        for channel in [ChannelModel::Rayleigh, ChannelModel::Shared] {
            for padding in [Padding::None, Padding::Longest, Padding::Fixed(512)] {
                // Groups are by output length there, so they are few and large.
                let requests = if padding == Padding::Fixed(512) { 3 * requests } else { requests };
                let instance = instance(requests, seed as u64 + 1, Lengths::paper(), channel, padding);
                let expected = Solver::new(method).solve(&instance);
                let threads = Solver::new(method).threads(3).unwrap().solve(&instance);
                assert_eq!(threads, expected);
                let order = ORDERS[seed % 3];
                for choice in [Choice::Cuda, Choice::Auto] {
                    let solver = Solver::new(method).on_source(choice, Source::Given(cuda(Emulated::new(order))));
                    let found = solver.solve(&instance);
                    assert_eq!(found.ran.fault, None);
                    used += u64::from(found.ran.backend == "cuda");
                    assert_eq!((&found.rows, &found.work), (&expected.rows, &expected.work));
                    assert!(found.certificate == expected.certificate);
                }
            }
        }
    }
    assert!(used > 10, "{used}");
}

/// A device that fails at any of its calls costs the search nothing but time.
#[test]
fn a_device_lost_in_the_middle_changes_no_count() {
    if !emulator() {
        return;
    }
    let method = Method::Algorithm1 { prune: false };
    let instance = instance(12, 6, Lengths::paper(), ChannelModel::Rayleigh, Padding::None);
    let expected = Solver::new(method).solve(&instance);
    let whole = Arc::new(Emulated::new(Order::Ascending));
    let device: Arc<dyn Device> = whole.clone();
    let solver = |cuda| Solver::new(method).on_source(Choice::Cuda, Source::Given(cuda));
    assert_eq!(solver(Cuda::new(device).unwrap()).solve(&instance).ran.backend, "cuda");
    let fault = Fault::Failed { operation: "do that".to_string(), detail: "a test".to_string() };
    for from in 0..whole.calls().min(60) {
        let device = Emulated::new(Order::Ascending).failing(from, fault.clone());
        let Ok(cuda) = Cuda::new(Arc::new(device)) else { continue };
        let found = solver(cuda).solve(&instance);
        assert_eq!((found.ran.backend, &found.ran.fault), ("cpu", &Some(fault.clone())), "call {from}");
        assert_eq!((&found.rows, &found.work), (&expected.rows, &expected.work));
    }
}

/// A tree that keeps the CPU busy goes to the device by itself; where none is large, the reason is told.
#[test]
fn large_trees_go_to_the_device() {
    if !emulator() {
        return;
    }
    let source = Source::Given(cuda(Emulated::new(Order::Ascending)));
    let limited = Clock::start(&Limits::time(Duration::from_millis(60)));
    let device = OnDevice::new(Choice::Auto, source.clone(), None);
    assert_eq!(device.enumerate(&tree(&[(7, 1); 70], 20, 0), &limited).end, End::Stopped);
    let ran = device.ran();
    assert_eq!((ran.backend, ran.fault), ("cuda", None));
    assert_eq!(ran.why.as_deref(), Some("a tree was too large for the CPU"));

    let small = instance(3, 1, Lengths::paper(), ChannelModel::Shared, Padding::None);
    let solver = Solver::new(Method::Algorithm1 { prune: false }).on_source(Choice::Cuda, source);
    let ran = solver.solve(&small).ran;
    assert_eq!((ran.backend, ran.why.as_deref()), ("cpu", Some("no part of it is worth the way to the device")));
}
