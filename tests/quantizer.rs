//! The quantiser in memory: what must hold for any weights, and an independent slow one.

#![cfg(feature = "weights")]
#![allow(clippy::unwrap_used, reason = "a failure here should stop the run")]

use dftsp::quantizer::Granularity::{self, Channel, Group, Tensor};
use dftsp::quantizer::grid::Symmetry::{self, Asymmetric, Symmetric};
use dftsp::quantizer::memory::{Quantized, quantize};
use proptest::collection::vec;
use proptest::prelude::*;

const GRANULARITIES: [Granularity; 5] = [Tensor, Channel, Group(32), Group(64), Group(128)];
const BOTH: [Symmetry; 2] = [Symmetric, Asymmetric];

fn relative_error(w: &[f32], q: &[f32]) -> f64 {
    let square = |x: f64| x * x;
    let error: f64 = w.iter().zip(q).map(|(&w, &q)| square(f64::from(w) - f64::from(q))).sum();
    let norm: f64 = w.iter().map(|&w| square(f64::from(w))).sum();
    if norm > 0.0 { (error / norm).sqrt() } else { 0.0 }
}

/// Weights as they come: of many scales, one-sided, with outliers, ties and zeros.
fn weights() -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![
        8 => -1f32..1.0,
        1 => Just(0.0f32),
        1 => Just(-0.25f32),
        1 => -20f32..20.0,
        1 => (1e-9f32..1.0).prop_map(|x| x * x),
    ];
    let scale = prop_oneof![Just(1f32), Just(0.02), Just(1e30), Just(1e-30), Just(1e-41)];
    let shift = prop_oneof![3 => Just(0f32), 1 => -5f32..5.0];
    (vec(value, 1..400), scale, shift)
        .prop_map(|(v, scale, shift)| v.into_iter().map(|x| (x + shift) * scale).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn error_never_rises_with_bits_and_is_what_dequantizing_loses(w in weights(), g in 0..5usize, s in 0..2usize) {
        let mut last = f64::INFINITY;
        for bits in 2..=16 {
            let q = quantize(&w, w.len(), bits, GRANULARITIES[g], BOTH[s]).unwrap();
            let error = q.relative_error();
            prop_assert!(error <= last, "{bits}: {error} after {last}");
            let lost = relative_error(&w, &q.dequantize());
            // Subnormal levels are rounded to what an f32 holds.
            let subnormal = w.iter().all(|x| x.abs() < 1e-36);
            prop_assert!((error - lost).abs() <= 1e-4 * error + 3e-7 || subnormal, "{bits}: {error} but {lost}");
            last = error;
        }
    }

    #[test]
    fn inside_the_clip_range_no_weight_moves_by_more_than_half_a_step(w in weights(), g in 0..5usize, s in 0..2usize) {
        for bits in [2, 3, 4, 6, 8, 11, 16] {
            let q = quantize(&w, w.len(), bits, GRANULARITIES[g], BOTH[s]).unwrap();
            let unit = match GRANULARITIES[g] { Group(n) => n as usize, _ => w.len() };
            let back = q.dequantize();
            for ((w, q), grid) in w.chunks(unit).zip(back.chunks(unit)).zip(q.grids()) {
                let (low, high) = grid.clip_range();
                let largest = w.iter().fold(0f32, |m, x| m.max(x.abs()));
                // What f32 arithmetic rounds.
                let slack = 4.0 * f64::from(f32::EPSILON) * f64::from(largest) + 1.5e-45;
                for (&w, &q) in w.iter().zip(q) {
                    let (w, moved) = (f64::from(w), (f64::from(w) - f64::from(q)).abs());
                    if (low..=high).contains(&w) {
                        prop_assert!(moved <= grid.step() * 0.5 * 1.000_01 + slack, "{w} → {q}, step {}", grid.step());
                    } else {
                        let end = if w < low { low } else { high };
                        prop_assert!((moved - (w - end).abs()).abs() <= slack + grid.step() * 1e-5, "{w} → {q}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_a_grid_holds_is_kept_exactly(codes in vec(-127i32..=127, 1..200), exponent in -20i32..20, bits in 8u32..=8) {
        let step = 2f32.powi(exponent);
        let mut w: Vec<f32> = codes.iter().map(|&k| k as f32 * step).collect();
        w.push(127.0 * step);
        let q = quantize(&w, w.len(), bits, Tensor, Symmetric).unwrap();
        prop_assert_eq!(q.dequantize(), w.clone());
        prop_assert_eq!(q.relative_error(), 0.0);
        let one_sided: Vec<f32> = codes.iter().map(|&k| (k + 127) as f32 * step).chain([0.0, 255.0 * step]).collect();
        let q = quantize(&one_sided, one_sided.len(), bits, Tensor, Asymmetric).unwrap();
        prop_assert_eq!(q.dequantize(), one_sided);
    }

    #[test]
    fn a_symmetric_grid_keeps_zero(w in weights(), g in 0..5usize, bits in 2u32..=16) {
        let q = quantize(&w, w.len(), bits, GRANULARITIES[g], Symmetric).unwrap();
        for (&w, q) in w.iter().zip(q.dequantize()) {
            prop_assert!(w != 0.0 || q == 0.0);
        }
    }

    #[test]
    fn the_slow_quantiser_agrees(w in vec(-1f32..1.0, 128..500), size in prop_oneof![Just(32u32), Just(64), Just(128)], s in 0..2usize) {
        for bits in [2, 3, 4, 8] {
            let fast = quantize(&w, w.len(), bits, Group(size), BOTH[s]).unwrap().relative_error();
            let slow = slow::error(&w, size as usize, bits, BOTH[s] == Symmetric);
            prop_assert!((fast - slow).abs() <= 2e-5 * slow, "{bits}: {fast} and {slow}");
        }
    }
}

/// Group-wise quantisation as the documentation words it, in `f64`, trying every clip range and every level.
mod slow {
    pub fn error(w: &[f32], size: usize, bits: u32, symmetric: bool) -> f64 {
        let lost: f64 = w
            .chunks(size)
            .map(|group| (2..=bits).map(|b| group_error(group, b, symmetric)).fold(f64::MAX, f64::min))
            .sum();
        let norm: f64 = w.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        (lost / norm).sqrt()
    }

    fn group_error(group: &[f32], bits: u32, symmetric: bool) -> f64 {
        let low = f64::from(group.iter().copied().fold(f32::MAX, f32::min));
        let high = f64::from(group.iter().copied().fold(f32::MIN, f32::max));
        let mut least = f64::MAX;
        for i in 0..57 {
            let clip = 2f64.powf(-f64::from(i) / 8.0);
            let levels: Vec<f64> = if symmetric {
                let most = 2i32.pow(bits - 1) - 1;
                let end = clip * high.max(-low);
                (-most..=most).map(|k| f64::from(k) * end / f64::from(most)).collect()
            } else {
                let mean = group.iter().map(|&x| f64::from(x)).sum::<f64>() / group.len() as f64;
                let (start, width) = (mean - clip * (mean - low), clip * (high - low));
                let most = 2i32.pow(bits) - 1;
                (0..=most).map(|k| start + f64::from(k) * width / f64::from(most)).collect()
            };
            let distance = |x: f64| levels.iter().map(|l| (x - l).abs()).fold(f64::MAX, f64::min);
            least = least.min(group.iter().map(|&x| distance(f64::from(x)).powi(2)).sum());
        }
        least
    }
}

#[test]
fn odd_tensors_do_no_harm() {
    for symmetry in BOTH {
        for granularity in GRANULARITIES {
            for w in [vec![], vec![0.0; 300], vec![-7.5; 300], vec![3.0], vec![1e30; 5], vec![-1e-45; 3]] {
                for bits in 2..=16 {
                    let q: Quantized = quantize(&w, w.len().max(1), bits, granularity, symmetry).unwrap();
                    assert!(q.relative_error() < 1e-6, "{w:?}, {bits} bits: {}", q.relative_error());
                    assert_eq!((q.codes().len(), q.dequantize().len()), (w.len(), w.len()));
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_quantised_is_refused() {
    let refused = |w: &[f32], columns, bits| quantize(w, columns, bits, Channel, Symmetric).unwrap_err().to_string();
    assert_eq!(refused(&[1.0, f32::NAN], 2, 4), "weights: element 1 is NaN; weights must be finite numbers");
    assert!(refused(&[f32::NEG_INFINITY], 1, 4).contains("element 0 is -inf"));
    assert!(refused(&[1.0; 5], 2, 4).contains("5 values do not fill rows of 2"));
    assert!(refused(&[1.0], 0, 4).contains("rows of 0"));
    for bits in [0, 1, 17, 32, u32::MAX] {
        assert!(refused(&[1.0], 1, bits).contains("bits"));
    }
}

/// A clip range around the middle would not hold the other weights at all.
#[test]
fn one_outlier_does_not_take_the_others_along() {
    let mut w: Vec<f32> = (0..2000).map(|i| ((i * 7919) % 2001) as f32 / 1000.0 - 1.0).collect();
    w.push(60.0);
    w.push(-20.0);
    for bits in 2..=6 {
        let error = quantize(&w, w.len(), bits, Tensor, Asymmetric).unwrap().relative_error();
        assert!(error < 1.0, "{bits}: {error}");
    }
}

/// Narrower levels may fit special weights better: thirds do not lie on a grid of sevenths.
#[test]
fn thirds_are_as_exact_at_4_bits_as_at_3() {
    let w = [3.0, 1.0, -2.0];
    for bits in 3..=16 {
        assert_eq!(quantize(&w, 3, bits, Tensor, Symmetric).unwrap().relative_error(), 0.0);
    }
}
