//! The inference engine: how long a batch computes. An interface, and the cost model of the paper behind it.

use std::fmt;

use super::clock::NS_PER_S;
use crate::cost::Transformer;
use crate::instance::Host;
use crate::scenario::Padding;
use crate::workload::Request;

/// A batch on its way into the engine.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'b> {
    /// The node and its models.
    pub host: &'b Host,
    /// The requests, each with its model.
    pub members: &'b [(usize, Request)],
}

impl Batch<'_> {
    /// The prompt length s' that the engine computes with, for each member.
    pub fn padded(&self) -> impl Iterator<Item = u32> + '_ {
        let longest = self.members.iter().map(|(_, r)| r.prompt_tokens).max().unwrap_or(1);
        self.members.iter().map(move |(service, request)| match self.host.services()[*service].padding {
            Padding::Fixed(tokens) => tokens,
            Padding::Longest => longest,
            Padding::None => request.prompt_tokens,
        })
    }

    /// KV tokens at the end of the batch, by model.
    pub fn kv_tokens(&self) -> Vec<u64> {
        let mut tokens = vec![0; self.host.services().len()];
        for ((service, request), padded) in self.members.iter().zip(self.padded()) {
            tokens[*service] += u64::from(padded) + u64::from(request.output_tokens);
        }
        tokens
    }
}

/// Runs batches. The simulation asks how long; an engine that serves for real would run them.
pub trait InferenceEngine: Send + Sync + fmt::Debug {
    /// How long `batch` computes, from the last prompt to the last token, nanoseconds.
    fn computation_ns(&self, batch: &Batch<'_>) -> u64;
}

/// The cost model of section II: β (t^I + t^A), times a slowdown.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostModel {
    /// How much slower than planned the engine is; 1 is the paper's. Above 1 answers may be late.
    pub slowdown: f64,
}

impl Default for CostModel {
    fn default() -> Self {
        CostModel { slowdown: 1.0 }
    }
}

impl InferenceEngine for CostModel {
    fn computation_ns(&self, batch: &Batch<'_>) -> u64 {
        let services = batch.host.services();
        let mut flops = vec![0u128; services.len()];
        for ((service, request), padded) in batch.members.iter().zip(batch.padded()) {
            flops[*service] += Transformer::new(&services[*service].model).flops(padded, request.output_tokens);
        }
        let seconds: f64 = flops
            .iter()
            .zip(services)
            .map(|(&flops, s)| flops as f64 * s.quantization.time_factor / s.node.compute_flops)
            .sum();
        // A few roundings here, against hundreds in the margin that budgets leave: see the conversion to integers.
        (seconds * self.slowdown * NS_PER_S).ceil() as u64
    }
}
