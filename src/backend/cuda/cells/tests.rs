//! The kernel in the emulator against the CPU: whole solutions, in every order of threads.

use dftsp_emulator::{AVAILABLE, Order, launch};

use super::super::common::hard::{hard_leaves, instance};
use super::super::common::shapes::Shape;
use super::super::common::{Channel, Rng, random_epoch, random_instance};
use super::*;
use crate::error::Place;
use crate::generate::{Family, Generator, Lengths, Spec};
use crate::instance::{Capacity, Columns, MAX_SUM, Problem};
use crate::scenario::Padding;
use crate::solver::{Method, Solver};
use crate::workload::synthesis::ChannelModel;

const ORDERS: [Order; 3] = [Order::Ascending, Order::Descending, Order::Shuffled(7)];
const PADDINGS: [Padding; 2] = [Padding::Fixed(512), Padding::None];

/// Solves instances as on a device of one multiprocessor.
fn emulate(instances: &[Instance], order: Order) -> Vec<Option<Solution>> {
    // What lies in memory before must not matter.
    const GARBAGE: u64 = 0xA5A5_A5A5_A5A5_A5A5;
    let mut packed = Packed::new(instances);
    let blocks = packed.blocks(1);
    let mut output = vec![GARBAGE; packed.output_bytes().div_ceil(8)];
    let mut scratch = vec![GARBAGE; packed.scratch_bytes(blocks).div_ceil(8)];
    let at = Addresses {
        input: packed.input.as_mut_ptr() as u64,
        output: output.as_mut_ptr() as u64,
        scratch: scratch.as_mut_ptr() as u64,
    };
    let args = packed.args(at);
    if blocks > 0 {
        launch("cells", blocks, THREADS, packed.shared_bytes(), bytes_of(&args), order).unwrap();
    }
    packed.unpack(&bytemuck::cast_slice(&output)[..packed.output_bytes()], instances)
}

/// Compares with the CPU in every order of threads; at least `share` of the instances must be solved.
fn assert_same(instances: &[Instance], share: f64) {
    if !AVAILABLE {
        return;
    }
    let solver = Solver::new(Method::Flat);
    let on_device = |solution| Solution { ran: Ran::CUDA, ..solution };
    let expected: Vec<Solution> = solver.solve_many(instances).into_iter().map(on_device).collect();
    let mut first: Option<Vec<Option<Solution>>> = None;
    for order in ORDERS {
        let found = emulate(instances, order);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let rows = instances[i].len();
            let Some(found) = found else { continue };
            assert_eq!(found.ran.backend, "cuda");
            let expected = Solution { ran: found.ran.clone(), ..expected.clone() };
            assert!(found == &expected, "instance {i} of {rows} rows, {order:?}");
        }
        let solved = found.iter().flatten().count() as f64;
        assert!(solved >= share * instances.len() as f64, "{solved} of {} solved", instances.len());
        assert!(first.get_or_insert_with(|| found.clone()) == &found, "what is solved depends on {order:?}");
    }
}

fn epoch(rng: &mut Rng, most: u64, padding: Padding) -> Instance {
    let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
    let (scenario, requests) = random_epoch(rng, most, channel, padding);
    Problem::new(&scenario, &requests).unwrap().instance
}

#[test]
fn random_instances_are_solved_as_on_the_cpu() {
    let mut instances = Vec::new();
    for seed in 0..1_000 {
        let rng = &mut Rng::new(30_000_000 + seed);
        let most = rng.pick(&[3, 20, 40, 100]);
        let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
        instances.push(random_instance(rng, most, channel));
        let padding = rng.pick(&PADDINGS);
        instances.push(epoch(rng, most, padding));
    }
    assert_same(&instances, 0.99);
}

#[test]
fn cells_of_the_benchmark_are_solved_as_on_the_cpu() {
    for (padding, lengths, share) in [
        (Padding::Fixed(512), Lengths::paper(), 0.99),
        (Padding::None, Lengths::paper(), 0.99),
        (Padding::None, Lengths::Continuous, 0.9),
    ] {
        let spec = |seed| Spec { requests: 500, seed, padding, lengths: lengths.clone(), ..Spec::new(Family::Binding) };
        let cells: Vec<Instance> = (0..20).map(|seed| instance(spec(seed))).collect();
        assert_same(&cells, share);
    }
}

#[test]
fn shapes_of_every_size_are_solved_as_on_the_cpu() {
    let sizes = [1, 2, 31, 32, 33, 63, 64, 65, 200, 511, 512, 513, 900, 920, 2047, 2048];
    let mut instances = Vec::new();
    for seed in 0..200 {
        let rng = &mut Rng::new(31_000_000 + seed);
        let shape = Shape {
            rows: sizes[if seed % 4 == 0 { rng.below(16) } else { rng.below(11) } as usize],
            costs: rng.pick(&Shape::COSTS),
            budgets: rng.pick(&Shape::BUDGETS),
            room: rng.pick(&Shape::ROOMS),
            order: rng.pick(&Shape::ORDERS),
        };
        instances.push(shape.instance(rng));
    }
    // Working memory in shared memory, and in global memory.
    let (small, large): (Vec<Instance>, Vec<Instance>) = instances.into_iter().partition(|i| i.len() <= 900);
    assert_same(&small, 0.9);
    assert_same(&large, 0.5);
}

/// Few lengths, tight capacities: gaps that only a search closes, with classes and chains, long ones too.
fn gaps(rng: &mut Rng) -> Instance {
    let levels = rng.pick(&[1, 2, 3, 5, 8, 16]);
    instance(Spec {
        requests: rng.magnitude(20.0, 400.0) as u64,
        seed: rng.below(1 << 40),
        channel: rng.pick(&[ChannelModel::Shared, ChannelModel::Rayleigh, ChannelModel::Rayleigh]),
        lengths: Lengths::evenly(levels, Place::default).unwrap(),
        padding: rng.pick(&[Padding::Fixed(512), Padding::Fixed(512), Padding::None]),
        tightness: rng.magnitude(0.05, 0.8),
        ..Spec::new(Family::Binding)
    })
}

#[test]
fn subproblems_are_searched_as_on_the_cpu() {
    let instances: Vec<Instance> = (0..600).map(|seed| gaps(&mut Rng::new(33_000_000 + seed))).collect();
    assert_same(&instances, 0.9);
}

#[test]
fn hard_leaves_are_solved_as_on_the_cpu_or_left_to_it() {
    assert_same(&hard_leaves().into_iter().map(|leaf| leaf.1).collect::<Vec<_>>(), 0.0);
}

/// An instance of rows of four costs and a budget.
fn columns(rows: &[[u64; 5]], capacity: [u64; 3]) -> Instance {
    let mut c = Columns::default();
    for (i, row) in rows.iter().enumerate() {
        c.request.push(i as u32);
        c.uplink.push(row[0]);
        c.downlink.push(row[1]);
        c.kv_tokens.push(row[2]);
        c.compute.push(row[3]);
        c.budget.push(row[4]);
        c.arrival.push(i as u32);
    }
    let [uplink, downlink, kv_tokens] = capacity;
    Instance::new(c, Capacity { uplink, downlink, kv_tokens }).unwrap()
}

#[test]
fn edge_cases_are_solved_as_on_the_cpu() {
    const HUGE: u64 = MAX_SUM / 40;
    let many = |row: [u64; 5], count| vec![row; count];
    let rising = |count: u64| (0..count).map(|i| [i, count - i, 7, i * i, 3 * count + i]).collect::<Vec<_>>();
    let huge: Vec<[u64; 5]> =
        (0..20).map(|i| [HUGE - i, HUGE / (i + 1), HUGE - i * i, HUGE, MAX_SUM / 2 + i]).collect();
    let instances = [
        columns(&[], [0, 0, 0]),
        columns(&[], [MAX_SUM; 3]),
        columns(&[[0, 0, 0, 0, 0]], [0, 0, 0]),
        columns(&[[1, 1, 1, 1, 1]], [1, 1, 1]),
        columns(&[[MAX_SUM, MAX_SUM, MAX_SUM, MAX_SUM, MAX_SUM]], [MAX_SUM; 3]),
        columns(&many([0, 0, 0, 0, 5], 100), [0, 0, 0]),
        columns(&many([1, 2, 3, 4, 50], 100), [50, 60, 70]),
        columns(&many([1, 2, 3, 4, 50], 100), [MAX_SUM; 3]),
        columns(&many([0, 2, 0, 4, 50], 64), [0, 31, 0]),
        columns(&rising(33), [100, 100, 100]),
        columns(&rising(500), [3_000, 30_000, 1_000]),
        columns(&huge, [MAX_SUM / 3, MAX_SUM / 5, MAX_SUM]),
        columns(&huge, [MAX_SUM; 3]),
    ];
    assert_same(&instances, 1.0);
}

#[test]
fn what_is_not_for_the_kernel_is_the_hosts() {
    if !AVAILABLE {
        return;
    }
    let rng = &mut Rng::new(32_000_000);
    let spec = |requests| Spec { requests, channel: ChannelModel::Shared, ..Spec::new(Family::Paper) };
    let mut longest = epoch(rng, 50, Padding::Longest);
    while longest.is_empty() {
        longest = epoch(rng, 50, Padding::Longest);
    }
    let generator = Generator::new(spec(5_000)).unwrap();
    let large = Problem::new(generator.scenario(), &generator.requests().unwrap()).unwrap().instance;
    assert!(large.len() > CELL_ROWS);
    let instances = [longest.clone(), large, instance(spec(20)), longest];
    let solved = emulate(&instances, Order::Ascending);
    assert_eq!(solved.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true, false]);
    assert!(emulate(&instances[..2], Order::Ascending).iter().all(Option::is_none));
    assert!(emulate(&[], Order::Ascending).is_empty());
}
