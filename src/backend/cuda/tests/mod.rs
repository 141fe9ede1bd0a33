//! The kernels under emulation, and everything around them, against the CPU: the same bytes, whatever the order of
//! threads.

mod emulated;
mod exhaustive;

use std::sync::Arc;

use super::common::Rng;
use super::common::hard::hard_leaves;
use super::common::shapes::Shape;
use super::device::{self, Device, Driver};
use super::paths::Pace;
use super::{Cuda, OnDevice, Source};
use crate::backend::{Backend, Cpu};
use crate::certificate::Solution;
use crate::device::{Choice, Facts, Fault};
use crate::generate::{Family, Generator, Lengths, Spec};
use crate::instance::{Instance, Problem};
use crate::scenario::Padding;
use crate::search::{Clock, Limits};
use crate::solver::{Method, Solver};
use crate::tree::{Builder, Free, Item, Walk, Walked};
use crate::workload::synthesis::{ChannelModel, RowRng};
use emulated::{AVAILABLE, Emulated, Order};

const ORDERS: [Order; 3] = [Order::Ascending, Order::Descending, Order::Shuffled(1)];

/// Says so where there is no emulator.
fn emulator() -> bool {
    if !AVAILABLE {
        eprintln!("SKIPPED: no C++ compiler, so kernels cannot be emulated");
    }
    AVAILABLE
}

fn cuda(device: Emulated) -> Arc<Cuda> {
    Cuda::new(Arc::new(device)).unwrap()
}

fn instance(requests: u64, seed: u64, lengths: Lengths, channel: ChannelModel, padding: Padding) -> Instance {
    let spec = Spec { requests, seed, lengths, channel, padding, ..Spec::new(Family::Binding) };
    let generator = Generator::new(spec).unwrap();
    Problem::new(generator.scenario(), &generator.requests().unwrap()).unwrap().instance
}

/// Instances that are condensed, of many kinds.
fn condensed() -> Vec<Instance> {
    let mut instances = Vec::new();
    for (seed, requests) in [3_000, 3_001, 3_500, 4_097, 8_191, 12_345, 20_000].into_iter().enumerate() {
        for lengths in [Lengths::paper(), Lengths::Continuous] {
            for channel in [ChannelModel::Rayleigh, ChannelModel::Shared] {
                instances.push(instance(requests, seed as u64 + 1, lengths.clone(), channel, Padding::None));
            }
        }
    }
    instances
}

fn assert_same(instance: &Instance, device: &Solver, what: &str) {
    let expected = Solver::new(Method::Flat).solve(instance);
    let found = device.solve(instance);
    assert_eq!(found.ran.fault, None, "{what}");
    assert_eq!(found.ran.backend, "cuda", "{what}");
    assert_eq!((&found.rows, &found.work), (&expected.rows, &expected.work), "{what}");
    assert!(found.certificate == expected.certificate, "{what}");
}

fn on(cuda: Arc<Cuda>) -> Solver {
    Solver::new(Method::Flat).on_source(Choice::Cuda, Source::Given(cuda))
}

#[test]
fn bound_passes_are_those_of_the_cpu() {
    if !emulator() {
        return;
    }
    for order in ORDERS {
        let solver = on(cuda(Emulated::new(order)));
        for (i, instance) in condensed().iter().enumerate() {
            assert_same(instance, &solver, &format!("instance {i}, {order:?}"));
        }
    }
}

#[test]
fn sums_of_buckets_are_the_same_in_shared_and_in_global_memory() {
    if !emulator() {
        return;
    }
    for shared in [0, 8 << 10, 64 << 10, 227 << 10] {
        let solver = on(cuda(Emulated::new(Order::Shuffled(3)).shared(shared)));
        for instance in condensed().iter().step_by(5) {
            assert_same(instance, &solver, &format!("{shared} bytes of shared memory"));
        }
    }
}

#[test]
fn what_does_not_fit_goes_to_the_device_in_windows() {
    if !emulator() {
        return;
    }
    // Room for the tags, some sums and a few hundred requests at a time.
    let small = (34 << 20) + (200 << 10);
    let solver = on(cuda(Emulated::new(Order::Ascending).memory(small)));
    for instance in condensed().iter().rev().take(8) {
        assert_same(instance, &solver, "in windows");
    }
}

#[test]
fn lengths_of_prompts_are_searched_on_the_device_too() {
    if !emulator() {
        return;
    }
    let solver = on(cuda(Emulated::new(Order::Descending)));
    assert_same(&instance(2_500, 5, Lengths::paper(), ChannelModel::Rayleigh, Padding::Longest), &solver, "longest");
}

/// Ties, few kinds, empty columns, costs over all magnitudes, budgets all alike, orders that mislead.
#[test]
fn shapes_that_mislead_do_not_mislead_the_device() {
    if !emulator() {
        return;
    }
    let mut on_device = 0;
    for seed in 0..63 {
        let rng = &mut Rng::new(7_000_000 + seed);
        let shape = Shape {
            rows: 2_100 + rng.below(4_000) as usize,
            costs: Shape::COSTS[(seed % 9) as usize],
            budgets: Shape::BUDGETS[(seed % 7) as usize],
            room: rng.pick(&Shape::ROOMS),
            order: rng.pick(&Shape::ORDERS),
        };
        let instance = shape.instance(rng);
        // What takes long under emulation is left out.
        let expected = Solver::new(Method::Flat).solve(&instance);
        if expected.work.nodes > 200_000 {
            continue;
        }
        let shared = [0, 16 << 10, 227 << 10][(seed % 3) as usize];
        let cuda = cuda(Emulated::new(Order::Shuffled(seed)).shared(shared));
        let found = on(cuda).solve(&instance);
        assert_eq!(found.ran.fault, None, "seed {seed}");
        assert_eq!((&found.rows, &found.work), (&expected.rows, &expected.work), "seed {seed}, {shape:?}");
        assert!(found.certificate == expected.certificate, "seed {seed}, {shape:?}");
        on_device += usize::from(found.ran.backend == "cuda");
    }
    assert!(on_device > 30, "{on_device}");
}

/// The hardest subproblems known go to the device, and come back with the CPU's counters.
#[test]
fn hard_leaves_are_walked_alike() {
    if !emulator() {
        return;
    }
    let mut on_device = 0;
    for (i, (line, instance)) in hard_leaves().iter().enumerate() {
        let solver = on(cuda(Emulated::new(ORDERS[i % 3])));
        let (found, expected) = (solver.solve(instance), Solver::new(Method::Flat).solve(instance));
        assert_eq!(found.ran.fault, None, "{line}");
        assert_eq!((&found.rows, &found.work), (&expected.rows, &expected.work), "{line}");
        assert!(found.certificate == expected.certificate, "{line}");
        on_device += usize::from(found.ran.backend == "cuda");
    }
    assert!(on_device > 20, "{on_device}");
}

/// A subproblem: some free requests, of few classes or each its own, and what may be used and lost.
fn subproblem(seed: u64) -> (Vec<Free>, u32, [u64; 4], u64) {
    let mut rng = RowRng::new(seed, 7);
    let mut draw = move |below: u64| (rng.next_row().unit(0) * below as f64) as u64;
    let count = 4 + draw(if seed.is_multiple_of(10) { 150 } else { 36 });
    let kinds = 1 + draw(6);
    let (classes, shared) = (draw(3) > 0, draw(4) == 0);
    let free: Vec<Free> = (0..count)
        .map(|row| {
            let kind = if classes { draw(kinds) } else { row };
            let uplink = 50 + draw(100);
            let downlink = if shared { uplink } else { 50 + draw(100) };
            let size = if classes { 60 + 17 * kind } else { 60 + draw(120) };
            let cost = [uplink, downlink, size, 2 * size + kind];
            Free { row: row as u32, cost, gain: draw(400) as i64 - 200 }
        })
        .collect();
    let need = 1 + draw(count.min(40)) as u32;
    let room = |r: usize| free.iter().map(|f| f.cost[r]).sum::<u64>() * u64::from(need) / count;
    let left = [0, 1, 2, 3].map(|r| room(r) * (85 + draw(30)) / 100);
    (free, need, left, 100 + draw(2500))
}

/// Thousands of trees: classes with directions, chains, parts, one level, floors, several λ.
#[test]
fn walks_are_those_of_the_cpu() {
    if !emulator() {
        return;
    }
    let clock = Clock::start(&Limits::NONE);
    let cpu = Cpu { pool: None };
    let (mut batches, mut empty, mut open, mut large, mut tiles) = (0, 0, 0, 0, [0; 2]);
    for seed in 0..3_000 {
        let (free, need, left, loss) = subproblem(seed);
        let mut builder = Builder::default();
        let mut tree = builder.build(free, need, left, loss);
        if seed % 2 == 0 {
            builder.add_floors(&mut tree);
        }
        if seed % 3 == 0 && !tree.add_lanes([1e-3, 1e-3, 1e-3, 1e-3]) {
            continue;
        }
        // Some prefixes of every depth, in order.
        let mut items: Vec<Item> = Item::root(&tree).into_iter().collect();
        for _ in 0..seed % 4 {
            let expanded = items.iter().enumerate().flat_map(|(i, item)| {
                let cut = i % 2 == 0 && item.divisible(&tree);
                if cut { item.expand(&tree, &mut Walk::default()) } else { vec![item.clone()] }
            });
            items = expanded.take(300).collect();
        }
        let bounded = cpu.walk_bounded(&tree, &items);
        // The largest take too long under emulation.
        let Some((end, walk)) = bounded else { continue };
        match &end {
            Walked::Batch(_) => batches += 1,
            _ => empty += 1,
        }
        open += walk.open;
        large += u64::from(walk.nodes > 500);
        tiles[usize::from(tree.entries.len() > 13 * tree.levels())] += 1;
        let order = ORDERS[(seed / 7 % 3) as usize];
        let order = if let Order::Shuffled(_) = order { Order::Shuffled(seed) } else { order };
        let shared = if seed % 5 == 0 { 0 } else { 48 << 10 };
        let cuda = cuda(Emulated::new(order).shared(shared));
        let pace = [
            Pace::default(),
            Pace { first_quota: 1, last_quota: 8, pieces: 100 },
            Pace { first_quota: 30, last_quota: 60, pieces: 0 },
        ][(seed % 3) as usize];
        cuda.set_pace(pace);
        let device = OnDevice::new(Choice::Cuda, Source::Given(cuda), None);
        let found = device.walk(&tree, &items, &clock);
        assert_eq!(device.ran().fault, None, "seed {seed}");
        assert_eq!(found, (end, walk), "seed {seed}, {order:?}, {pace:?}");
    }
    assert!(batches > 500 && empty > 500 && open > 5 && large > 100, "{batches} {empty} {open} {large}");
    assert!(tiles.iter().all(|&count| count > 200), "{tiles:?}");
}

/// A device that fails at any of its calls costs the search nothing but time.
#[test]
fn a_device_lost_in_the_middle_changes_no_result() {
    if !emulator() {
        return;
    }
    let instance = instance(3_500, 3, Lengths::paper(), ChannelModel::Rayleigh, Padding::None);
    let expected = Solver::new(Method::Flat).solve(&instance);
    let whole = Arc::new(Emulated::new(Order::Ascending));
    let device: Arc<dyn Device> = whole.clone();
    on(Cuda::new(device).unwrap()).solve(&instance);
    assert!(whole.calls() > 40, "{} calls", whole.calls());
    let lost =
        Fault::Failed { operation: "do that".to_string(), detail: "unspecified launch failure (719)".to_string() };
    let full = Fault::Memory { what: "a test".to_string(), needed: 2, free: 1 };
    for fault in [lost, full] {
        for from in 0..whole.calls() {
            let device = Emulated::new(Order::Ascending).failing(from, fault.clone());
            let cuda = match Cuda::new(Arc::new(device)) {
                Ok(cuda) => cuda,
                Err(found) => {
                    assert_eq!(found, fault);
                    continue;
                }
            };
            let solver = on(cuda);
            for _ in 0..2 {
                let found = solver.solve(&instance);
                assert_eq!((found.ran.backend, &found.ran.fault), ("cpu", &Some(fault.clone())), "call {from}");
                assert!(found.ran.why.is_some_and(|why| why.contains(&fault.to_string())));
                assert_eq!((&found.rows, &found.work), (&expected.rows, &expected.work));
                assert!(found.certificate == expected.certificate);
            }
        }
    }
}

/// After that nothing is tried on it any more where nobody asked for it by name.
#[test]
fn a_lost_device_is_not_asked_again() {
    if !emulator() {
        return;
    }
    let (free, need, left, loss) = subproblem(1);
    let tree = Builder::default().build(free, need, left, loss);
    let items: Vec<Item> = Item::root(&tree).into_iter().collect();
    let clock = Clock::start(&Limits::NONE);
    let device = Arc::new(Emulated::new(Order::Ascending));
    let cuda = Cuda::new(device.clone()).unwrap();
    let fault = Fault::Failed { operation: "finish".to_string(), detail: "an illegal address (700)".to_string() };
    cuda.note(&fault);
    let calls = device.calls();
    for (choice, expected) in [(Choice::Auto, None), (Choice::Cuda, Some(fault))] {
        let search = OnDevice::new(choice, Source::Given(cuda.clone()), None);
        let found = search.walk(&tree, &items, &clock);
        assert_eq!(search.ran().fault, expected);
        assert!(choice == Choice::Cuda || found == Cpu { pool: None }.walk(&tree, &items, &clock));
    }
    assert_eq!(device.calls(), calls);
}

/// A driver as a test wants it.
struct Fake {
    present: bool,
    version: u32,
    capabilities: Vec<(u32, u32)>,
    refused: Option<Fault>,
}

const PTX: &[(&str, &str)] = &[("bounds", ".version 8.0")];

impl Driver for Fake {
    fn is_present(&self) -> bool {
        self.present
    }

    fn version(&self) -> Result<u32, Fault> {
        assert!(self.present, "nothing is asked of a driver that is not there");
        Ok(self.version)
    }

    fn count(&self) -> Result<usize, Fault> {
        assert!(self.present && self.version >= 12_000);
        Ok(self.capabilities.len())
    }

    fn facts(&self, ordinal: usize) -> Result<Facts, Fault> {
        let (facts, capability) = (Emulated::new(Order::Ascending).facts().clone(), self.capabilities[ordinal]);
        Ok(Facts { ordinal, capability, name: format!("device {ordinal}"), ..facts })
    }

    fn open(&self, facts: Facts, _: &[(&str, &str)]) -> Result<Arc<dyn Device>, Fault> {
        assert!(facts.capability >= (7, 5), "a device that is too old is not opened");
        match &self.refused {
            Some(fault) => Err(fault.clone()),
            None => Ok(Arc::new(Emulated::new(Order::Ascending))),
        }
    }
}

#[test]
fn every_reason_not_to_use_a_device_is_told() {
    let fine = || Fake { present: true, version: 12_000, capabilities: vec![(9, 0)], refused: None };
    assert!(device::open(&fine(), PTX).is_ok());
    let ptx = Fault::Ptx { module: "bounds".to_string(), detail: "unsupported PTX version (222)".to_string() };
    let cases = [
        (Fake { present: false, ..fine() }, Fault::NoDriver),
        (Fake { version: 11_080, ..fine() }, Fault::OldDriver { found: 11_080 }),
        (Fake { capabilities: vec![], ..fine() }, Fault::NoDevice),
        (
            Fake { capabilities: vec![(7, 0), (6, 1)], ..fine() },
            Fault::OldDevice { name: "device 0".to_string(), capability: (7, 0) },
        ),
        (Fake { refused: Some(ptx.clone()), ..fine() }, ptx),
    ];
    for (driver, fault) in cases {
        assert_eq!(device::open(&driver, PTX).err(), Some(fault.clone()));
        let found = device::found(&driver, PTX, "committed");
        let told = found.fault.or_else(|| found.devices.into_iter().find_map(|(_, fault)| fault));
        assert_eq!(told, Some(fault));
    }
    assert_eq!(device::open(&fine(), &[]).err(), Some(Fault::NoKernels));
    assert_eq!(device::found(&fine(), &[], "none").fault, Some(Fault::NoKernels));
    // An old device beside a new one does not hide it.
    let both = Fake { capabilities: vec![(6, 0), (8, 9)], ..fine() };
    assert!(device::open(&both, PTX).is_ok());
    let found = device::found(&both, PTX, "committed");
    assert_eq!(found.driver, Some(12_000));
    assert!(found.fault.is_none() && found.devices[0].1.is_some() && found.devices[1].1.is_none());
}

/// Small instances are not worth a transfer, and the reason is told.
#[test]
fn auto_leaves_small_instances_to_the_cpu() {
    if !emulator() {
        return;
    }
    let cuda = cuda(Emulated::new(Order::Ascending));
    let solver = Solver::new(Method::Flat).on_source(Choice::Auto, Source::Given(cuda));
    let instance = instance(3_000, 1, Lengths::paper(), ChannelModel::Rayleigh, Padding::None);
    let found = solver.solve(&instance);
    assert_eq!(found.ran.fault, None);
    assert!(
        found
            .ran
            .why
            .is_some_and(|why| why.contains(&format!("{} requests", instance.len())) && why.contains(" ms on the CPU"))
    );
    assert_eq!(found.rows, Solver::new(Method::Flat).solve(&instance).rows);
}

/// Small, large and empty ones together; from one thread and from several; and where the device fails.
#[test]
fn many_instances_are_solved_alike() {
    if !emulator() {
        return;
    }
    let mut instances: Vec<Instance> = (0..120)
        .map(|seed| instance(5 + 7 * seed, seed, Lengths::paper(), ChannelModel::Rayleigh, Padding::None))
        .collect();
    instances.push(instance(3_500, 1, Lengths::Continuous, ChannelModel::Rayleigh, Padding::None));
    instances.push(instance(40, 1, Lengths::paper(), ChannelModel::Rayleigh, Padding::Longest));
    let expected = Solver::new(Method::Flat).solve_many(&instances);
    let check = |found: Vec<Solution>, on_device: usize| {
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!((&found.rows, &found.work), (&expected.rows, &expected.work), "instance {i}");
            assert!(found.certificate == expected.certificate, "instance {i}");
        }
        let ran = found.iter().filter(|found| found.ran.backend == "cuda").count();
        assert!(ran >= on_device && found.len() == expected.len(), "{ran} on the device");
    };
    for threads in [1, 3] {
        let solver = on(cuda(Emulated::new(Order::Shuffled(5)))).threads(threads).unwrap();
        check(solver.solve_many(&instances), 110);
        check(solver.solve_many(&instances[..0]).into_iter().chain(solver.solve_many(&instances)).collect(), 110);
    }
    for from in [17, 18, 20, 23, 24] {
        let fault = Fault::Failed { operation: "launch".to_string(), detail: "an illegal address (700)".to_string() };
        let found = on(cuda(Emulated::new(Order::Ascending).failing(from, fault.clone()))).solve_many(&instances);
        assert!(found.iter().all(|found| found.ran.fault == Some(fault.clone())), "call {from}");
        check(found, 0);
    }
    // A limit that the kernel does not know leaves all to the CPU.
    let limits = Limits { memory: Some(1 << 16), ..Limits::NONE };
    let limited = |solver: Solver| solver.limits(limits.clone()).solve_many(&instances);
    assert!(limited(on(cuda(Emulated::new(Order::Ascending)))) == limited(Solver::new(Method::Flat)));
    let auto = Solver::new(Method::Flat).on_source(Choice::Auto, Source::Given(cuda(Emulated::new(Order::Ascending))));
    check(auto.solve_many(&instances), 0);
}
