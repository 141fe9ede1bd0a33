//! What the multipliers of a certificate say of an instance, be it another one.
//!
//! The lemma of [`crate::bound`] holds for any λ and any instance: no feasible batch inside F_d under e_d has more than
//! UB_λ(d) requests. So the multipliers of a certificate bound an instance with more capacity, other costs or other
//! requests too, and well as long as it is like the one that they are for: where only a capacity grew by Δ, UB_λ(d) is
//! what it was and λ_r·Δ more. UB_λ(d) is evaluated in whole numbers of 128 bits, as in the certificate itself.
//!
//! Deadlines that a search exhausted have no λ that proves them; the λ listed with them bounds them all the same, less
//! tightly.

use crate::bound::{MAX_MULTIPLIER, MAX_ONE_BITS, Multipliers};
use crate::certificate::{Certificate, Section};
use crate::instance::Instance;
use crate::rank::{COMPUTE, RESOURCES, Ranked};

/// No feasible batch of `instance` has more requests than this: the largest over all deadlines of the smallest UB_λ(d)
/// over the multipliers of `certificate`, which may be for another instance.
///
/// ```
/// use dftsp::explain::dual_bound;
/// use dftsp::instance::{Capacity, Columns, Instance};
/// use dftsp::solver::{Method, Solver};
///
/// let columns = Columns {
///     request: (0..9).collect(),
///     uplink: vec![10; 9],
///     downlink: vec![0; 9],
///     kv_tokens: vec![0; 9],
///     compute: vec![0; 9],
///     budget: vec![0; 9],
///     arrival: (0..9).collect(),
/// };
/// let with = |uplink| Instance::new(columns.clone(), Capacity { uplink, downlink: 0, kv_tokens: 0 });
/// let solution = Solver::new(Method::Flat).solve(&with(35)?);
/// assert_eq!(solution.rows.len(), 3);
/// // A price of 1/10 per unit proves 4 with 5 units more, and 5 with 20 more.
/// assert_eq!(dual_bound(&with(40)?, &solution.certificate), 4);
/// assert_eq!(dual_bound(&with(55)?, &solution.certificate), 5);
/// # Ok::<(), dftsp::error::Error>(())
/// ```
pub fn dual_bound(instance: &Instance, certificate: &Certificate) -> u64 {
    relax(instance, certificate, [1.0; RESOURCES]).bound
}

/// The largest UB_λ(d).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Relaxed {
    /// Rounded down: proven.
    pub bound: u64,
    /// Not rounded.
    pub value: f64,
    /// The λ of its deadline, per unit of the instance.
    pub lambda: [f64; RESOURCES],
    /// The budget e_d of its deadline.
    pub budget: u64,
}

/// The relaxation of `instance` by the multipliers of `certificate`, each taken times `scale`.
pub(super) fn relax(instance: &Instance, certificate: &Certificate, scale: [f64; RESOURCES]) -> Relaxed {
    let mut largest = Relaxed::default();
    for (padded, section) in ranges(instance, certificate) {
        let lambdas = section.map_or_else(Vec::new, |section| multipliers(section, scale));
        let part = match padded {
            Some((from, to)) => additive(&Ranked::new(&instance.padded(from, to)), &lambdas),
            None => additive(&Ranked::new(instance), &lambdas),
        };
        let bound = largest.bound.max(part.bound);
        largest = Relaxed { bound, ..if part.value > largest.value { part } else { largest } };
    }
    largest
}

/// Ranges of longest prompts (none where costs are additive), each with the section whose multipliers to take.
type Ranges<'c> = Vec<(Option<(u32, u32)>, Option<&'c Section>)>;

/// What every longest prompt of `instance` is bounded by: ranges of longest prompts that together are all of them, each
/// with a section whose multipliers are (nearly) meant for it.
fn ranges<'c>(instance: &Instance, certificate: &'c Certificate) -> Ranges<'c> {
    if !instance.pads_to_longest() {
        return vec![(None, certificate.sections.first())];
    }
    let mut sections: Vec<&Section> = certificate.sections.iter().collect();
    sections.sort_by_key(|section| section.padded);
    let ends = |section: &Section| section.padded.unwrap_or((0, u32::MAX));
    let mut ranges: Vec<((usize, bool), (u32, u32))> = Vec::new();
    for length in instance.prompt_lengths() {
        let at = sections.partition_point(|section| ends(section).1 < length);
        let inside = sections.get(at).is_some_and(|section| ends(section).0 <= length);
        match ranges.last_mut() {
            Some((key, range)) if *key == (at, inside) => range.1 = length,
            _ => ranges.push(((at, inside), (length, length))),
        }
    }
    // A length that no section is about takes the multipliers of the next section, or of the last.
    let section = |at: usize| sections.get(at).or(sections.last()).copied();
    ranges.into_iter().map(|((at, _), range)| (Some(range), section(at))).collect()
}

/// The distinct multipliers of a section.
fn multipliers(section: &Section, scale: [f64; RESOURCES]) -> Vec<Multipliers> {
    let all = section.covered.iter().map(|c| c.multipliers).chain(section.exhausted.iter().map(|e| e.multipliers));
    let mut distinct: Vec<Multipliers> = Vec::new();
    for m in all {
        if !distinct.contains(&m) {
            distinct.push(m);
        }
    }
    distinct.iter().filter_map(|m| scaled(m, scale)).collect()
}

/// λ times `scale`, nearly: every λ gives a valid bound, so rounding is free.
fn scaled(m: &Multipliers, scale: [f64; RESOURCES]) -> Option<Multipliers> {
    if scale == [1.0; RESOURCES] {
        return Some(*m);
    }
    let wanted: [f64; RESOURCES] = std::array::from_fn(|r| m.lambda()[r] as f64 * scale[r]);
    let largest = wanted.iter().copied().fold(0.0, f64::max);
    if largest == 0.0 || !largest.is_finite() {
        return None;
    }
    // As many bits as the largest numerator may have.
    let bits = (61 - i64::from(libm::ilogb(largest))).min(i64::from(MAX_ONE_BITS) - i64::from(m.one_bits()));
    let one_bits = u32::try_from(i64::from(m.one_bits()) + bits).ok()?;
    let numerator = |x: f64| (libm::ldexp(x, bits as i32) as u64).min(MAX_MULTIPLIER);
    Multipliers::new(one_bits, wanted.map(numerator))
}

/// The largest bound over all deadlines of an additive instance; the bound of a deadline is the smallest of its bounds,
/// among them d itself.
fn additive(ranked: &Ranked, lambdas: &[Multipliers]) -> Relaxed {
    let run_ends = ranked.run_ends();
    let trivial = |&d: &u32| (u64::from(d), f64::from(d), None);
    let mut best: Vec<(u64, f64, Option<usize>)> = run_ends.iter().map(trivial).collect();
    for (index, m) in lambdas.iter().enumerate() {
        let (mut gained, mut rank) = (0u128, 0);
        for (&d, best) in run_ends.iter().zip(&mut best) {
            while rank < d as usize {
                gained += m.one().saturating_sub(m.price(&ranked.cost(rank)));
                rank += 1;
            }
            let sum = m.price(&ranked.capacities(d as usize)) + gained;
            best.0 = u64::try_from(sum >> m.one_bits()).unwrap_or(u64::MAX).min(best.0);
            let value = libm::ldexp(sum as f64, -(m.one_bits() as i32));
            if value < best.1 {
                (best.1, best.2) = (value, Some(index));
            }
        }
    }
    let bound = best.iter().map(|b| b.0).max().unwrap_or(0);
    let mut largest = Relaxed { bound, ..Relaxed::default() };
    for (&d, &(_, value, owner)) in run_ends.iter().zip(&best) {
        if value > largest.value {
            let real = |m: &Multipliers| m.lambda().map(|l| libm::ldexp(l as f64, -(m.one_bits() as i32)));
            let lambda = owner.map_or([0.0; RESOURCES], |index| real(&lambdas[index]));
            largest = Relaxed { bound, value, lambda, budget: ranked.capacities(d as usize)[COMPUTE] };
        }
    }
    largest
}
