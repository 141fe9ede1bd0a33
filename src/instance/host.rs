//! A node and the models that it hosts: one, or several that share its memory, its bands and its compute.
//!
//! In: a [`Scenario`] and requests, each for one of its models. Out: a [`Problem`] as [`Problem::new`] makes it. With
//! one model it is the same, to the bit. With several, P1 stays what it is (the paper says that its approach adapts to
//! that, and this is how): every request is charged by its own model, the weights of all models stay in memory, and the
//! batch is computed model after model. Columns must then be in units that all models share:
//!
//! - **KV cache** in bytes, α_m · 4 L_m k_m for a token of model m, in units of 2^shift bytes; the capacity is M less
//!   the weights of all;
//! - **compute** in FLOP times β_m, against budgets that are seconds times C.

use super::convert::{Converter, Costs, budget_flops, seconds_of_compute, with_margin};
use super::reason::{Reason, Rejection};
use super::{MAX_SUM, Problem};
use crate::cost::Transformer;
use crate::error::{Place, Result};
use crate::scenario::{Padding, Scenario};
use crate::workload::Request;

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Host {
    /// One for each model: the node's scenario with that model, its precision and its padding.
    services: Vec<Scenario>,
    names: Vec<String>,
    /// α (m1) of all models, bytes.
    weight_bytes: f64,
    /// α · 4 L k, bytes a token, by model.
    kv_bytes: Vec<f64>,
}

impl Host {
    /// Prepares a node.
    ///
    /// # Errors
    /// A scenario out of range, weights that do not fit in the memory together, or several models of which one pads to
    /// the longest prompt of the batch.
    pub fn new(scenario: &Scenario) -> Result<Host> {
        scenario.check()?;
        let own = Scenario { services: Vec::new(), ..scenario.clone() };
        let mut services = vec![own.clone()];
        let mut names = vec![own.model.name.clone()];
        for service in &scenario.services {
            names.push(service.name.clone());
            services.push(Scenario {
                model: service.model.clone(),
                quantization: service.quantization.clone(),
                padding: service.padding,
                ..own.clone()
            });
        }
        let place = |field: &str| Place::file("scenario").field(field);
        if services.len() > 1 && services.iter().any(|s| s.padding == Padding::Longest) {
            let problem = "with several models a batch is not padded to its longest prompt";
            return Err(place("batching.padding").error(problem, "give \"fixed\" or \"none\" for each model"));
        }
        let bytes = |s: &Scenario, bytes: u128| s.quantization.memory_factor * bytes as f64;
        let weight_bytes =
            services.iter().map(|s| bytes(s, Transformer::new(&s.model).weight_bytes())).fold(0.0, |sum, w| sum + w);
        let kv_bytes = services.iter().map(|s| bytes(s, Transformer::new(&s.model).kv_bytes_per_token())).collect();
        let host = Host { services, names, weight_bytes, kv_bytes };
        if host.services.len() == 1 {
            Converter::new(&host.services[0])?;
        } else if host.kv_memory() <= 0.0 {
            let problem = format!(
                "the weights of {} take {weight_bytes:.4e} bytes, more than the memory of {:.4e}",
                host.names.join(" and "),
                scenario.node.memory_bytes
            );
            return Err(place("node.memory_bytes").error(problem, "give more memory, or fewer or smaller models"));
        }
        Ok(host)
    }

    /// For each model, the scenario as if it were alone on the node.
    pub fn services(&self) -> &[Scenario] {
        &self.services
    }

    /// The names of the models.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Bytes that the weights leave to the KV cache, never more than that.
    fn kv_memory(&self) -> f64 {
        let memory = self.services[0].node.memory_bytes;
        // The subtraction and the sum of the weights err by no more than this of the larger.
        (memory - with_margin(self.weight_bytes)) - memory * 4.0 * f64::EPSILON
    }

    /// The part of the memory that weights and the KV cache of a batch take (1c), given its KV tokens by model.
    pub fn memory_used(&self, kv_tokens: impl Iterator<Item = u64>) -> f64 {
        let cache: f64 = kv_tokens.zip(&self.kv_bytes).map(|(tokens, bytes)| tokens as f64 * bytes).sum();
        (self.weight_bytes + cache) / self.services[0].node.memory_bytes
    }

    /// Converts requests to integers; `service` says which model each is for. With a limit, no batch may compute for
    /// more than so many seconds, whatever its deadlines.
    ///
    /// # Errors
    /// None for requests within [`crate::limits`].
    pub fn problem(
        &self,
        requests: &[Request],
        service: impl Fn(usize) -> usize,
        limit_s: Option<f64>,
    ) -> Result<Problem> {
        let problem = self.unlimited(requests, service)?;
        Ok(match limit_s {
            Some(seconds) if self.services.len() == 1 => {
                problem.limited(seconds_of_compute(&self.services[0], seconds))
            }
            Some(seconds) => problem.limited(seconds_of_compute(&self.clock(), seconds)),
            None => problem,
        })
    }

    /// A batch of several models is charged β where it costs, not where it is budgeted.
    fn clock(&self) -> Scenario {
        let mut clock = self.services[0].clone();
        clock.quantization.time_factor = 1.0;
        clock
    }

    fn unlimited(&self, requests: &[Request], service: impl Fn(usize) -> usize) -> Result<Problem> {
        if let [only] = self.services.as_slice() {
            return Problem::of_rows(only, requests);
        }
        let converters = self.services.iter().map(Converter::new).collect::<Result<Vec<_>>>()?;
        let clock = self.clock();
        let memory = self.kv_memory();
        let shift = self.memory_shift(requests.len());
        let unit = (1u64 << shift) as f64;
        let capacity = (memory / unit) as u64;
        let physical = requests.iter().enumerate().map(|(row, request)| {
            let model = service(row);
            let mut physical = converters[model].physical(row as u32, request)?;
            let kv = with_margin(physical.kv_tokens as f64 * self.kv_bytes[model] / unit).ceil();
            let flops =
                with_margin(physical.flops as f64 * self.services[model].quantization.time_factor).ceil() as u128;
            let budget = budget_flops(&clock, request);
            let reasons = [(Reason::Memory, kv > capacity as f64), (Reason::Deadline, flops > budget)];
            if reasons.iter().any(|&(_, holds)| holds) {
                let reasons = reasons.iter().filter(|(_, holds)| *holds).map(|&(reason, _)| reason);
                return Err(Rejection::new(row as u32, reasons));
            }
            (physical.kv_tokens, physical.flops, physical.budget) = (kv as u64, flops, budget);
            Ok(physical)
        });
        let costs = Costs::new(physical);
        costs.into_problem(requests, capacity, |p| p.flops, |_, _| None)
    }

    /// Such that the KV cache of as many requests, each as large as the memory, sums to at most 2⁶².
    fn memory_shift(&self, requests: usize) -> u32 {
        let limit = MAX_SUM as f64 / 2.0 / (requests as f64 + 1.0);
        (0..63).find(|&shift| self.services[0].node.memory_bytes / (1u64 << shift) as f64 <= limit).unwrap_or(62)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::{Link, watts};
    use crate::scenario::{Service, preset};
    use crate::solver::{Method, Solver};
    use crate::workload::Requests;
    use crate::workload::synthesis::RowRng;

    fn service(model: &str, quantization: &str, padding: Padding) -> Service {
        Service {
            name: model.to_string(),
            share: 0.25,
            model: preset::model(model).unwrap(),
            quantization: preset::quantization(quantization, model).unwrap().complete().unwrap().0,
            padding,
        }
    }

    fn scenario(memory_bytes: f64) -> Scenario {
        let mut s = Scenario::paper();
        s.services = vec![
            service("bloom-7.1b", "w4a16-gptq", Padding::None),
            Service { padding: Padding::Fixed(300), ..service("opt-13b", "w8a16", Padding::None) },
        ];
        s.services[1].quantization.time_factor = 0.7;
        s.node.memory_bytes = memory_bytes;
        (s.radio.uplink_bandwidth_hz, s.radio.downlink_bandwidth_hz) = (2e5, 1e5);
        s
    }

    fn request(rng: &mut RowRng) -> (Request, usize) {
        let d = rng.next_row();
        let mut r = Request::new(1 + d.below(0, 512) as u32, 1 + d.below(1, 512) as u32);
        r.deadline_s = d.uniform(2, (1.0, 8.0));
        r.max_perplexity_increase = d.unit(3);
        r.channel_power_gain = 1e-9 * d.rayleigh_power(4);
        (r, d.below(5, 3) as usize)
    }

    /// P1 for several models, in floats: by how much the tightest of its constraints is kept (below 1) or broken.
    fn tightness(s: &Scenario, host: &Host, batch: &[(Request, usize)]) -> f64 {
        let (up, down) = (Link::uplink(s), Link::downlink(s));
        let mut bytes: f64 = host
            .services
            .iter()
            .map(|s| s.quantization.memory_factor * Transformer::new(&s.model).weight_bytes() as f64)
            .sum();
        let (mut seconds, mut used) = (0.0, [0.0f64; 2]);
        for (r, model) in batch {
            let m = &host.services[*model];
            let t = Transformer::new(&m.model);
            let padded = match m.padding {
                Padding::Fixed(tokens) if r.prompt_tokens > tokens => return f64::INFINITY,
                Padding::Fixed(tokens) => tokens,
                _ => r.prompt_tokens,
            };
            if m.quantization.perplexity_increase > r.max_perplexity_increase {
                return f64::INFINITY;
            }
            let tokens = f64::from(padded + r.output_tokens);
            bytes += m.quantization.memory_factor * tokens * t.kv_bytes_per_token() as f64;
            seconds += m.quantization.time_factor * t.flops(padded, r.output_tokens) as f64 / s.node.compute_flops;
            used[0] += up.share(r.prompt_tokens, watts(r.uplink_power_dbm), r.channel_power_gain);
            used[1] += down.share(r.output_tokens, watts(s.radio.downlink_power_dbm), r.channel_power_gain);
        }
        let slots = s.epoch.uplink_slot_s + s.epoch.downlink_slot_s;
        let late = batch.iter().map(|(r, _)| seconds / (r.deadline_s - slots)).fold(0.0, f64::max);
        used[0].max(used[1]).max(bytes / s.node.memory_bytes).max(late)
    }

    #[test]
    fn several_models_are_solved_as_every_subset_says() {
        let mut rng = RowRng::new(11, 0);
        let weights = Host::new(&scenario(1e12)).unwrap().weight_bytes;
        let (mut sizes, mut by_memory) = (0, 0);
        for case in 0..300u64 {
            let s = scenario(weights + [5e7, 3e8, 1e9][(case % 3) as usize]);
            let host = Host::new(&s).unwrap();
            let all: Vec<(Request, usize)> = (0..case % 11).map(|_| request(&mut rng)).collect();
            let rows: Vec<Request> = all.iter().map(|(r, _)| *r).collect();
            let problem = host.problem(&rows, |row| all[row].1, None).unwrap();
            assert_eq!(problem.instance.len() + problem.rejections.len(), rows.len());
            let found = Solver::new(Method::Flat).solve(&problem.instance);
            let requests = &problem.instance.columns().request;
            let chosen: Vec<_> = found.rows.iter().map(|&row| all[requests[row as usize] as usize]).collect();
            assert!(tightness(&s, &host, &chosen) <= 1.0, "the batch breaks a constraint");
            let best = (0u32..1 << all.len())
                .filter(|subset| {
                    let batch: Vec<_> = (0..all.len()).filter(|i| subset >> i & 1 == 1).map(|i| all[i]).collect();
                    tightness(&s, &host, &batch) <= 1.0 - 1e-9
                })
                .map(u32::count_ones)
                .max()
                .unwrap_or(0);
            assert_eq!(chosen.len(), best as usize, "case {case}");
            sizes += best;
            let memory = problem.rejections.iter().flat_map(Rejection::reasons).filter(|r| *r == Reason::Memory);
            by_memory += memory.count();
        }
        assert!(sizes > 300 && by_memory > 10, "{sizes} {by_memory}");
    }

    #[test]
    fn one_model_is_the_problem_as_it_was() {
        let s = Scenario::paper();
        let mut rng = RowRng::new(5, 0);
        let mut requests = Requests::new();
        (0..50).for_each(|i| requests.push(&i.to_string(), request(&mut rng).0).unwrap());
        let host = Host::new(&s).unwrap();
        assert_eq!(host.problem(requests.rows(), |_| 0, None).unwrap(), Problem::new(&s, &requests).unwrap());
        let tokens = 1000;
        let t = Transformer::new(&s.model);
        let bytes = 0.5 * (t.weight_bytes() + u128::from(tokens as u32) * t.kv_bytes_per_token()) as f64;
        assert!((host.memory_used(std::iter::once(tokens)) - bytes / 640e9).abs() < 1e-15);
    }

    #[test]
    fn what_cannot_be_hosted_is_refused() {
        let says = |s: &Scenario| Host::new(s).unwrap_err().to_string();
        assert!(says(&scenario(15e9)).contains("the weights of bloom-3b and bloom-7.1b and opt-13b take"));
        let mut s = scenario(30e9);
        s.services[0].padding = Padding::Longest;
        assert!(says(&s).contains("not padded to its longest prompt"));
        let one = Scenario { services: Vec::new(), ..scenario(1e9) };
        assert!(says(&one).contains("the weights of bloom-3b at w8a16 take"));
    }

    #[test]
    fn costs_at_the_limits_stay_in_range() {
        let mut s = scenario(1e21);
        s.node.compute_flops = 1e24;
        for m in s.services.iter_mut() {
            (m.model.layers, m.model.hidden_size, m.model.kv_heads, m.model.head_dim) =
                (10_000, 1_000_000, 10_000, 10_000);
            m.quantization.memory_factor = 1e-6;
            m.padding = Padding::None;
        }
        let host = Host::new(&s).unwrap();
        let rows = vec![Request { deadline_s: 1e9, ..Request::new(10_000_000, 10_000_000) }; 1000];
        let problem = host.problem(&rows, |row| 1 + row % 2, None).unwrap();
        // 10¹² seconds of work in a deadline of 10⁹: none is servable, and no sum overflowed on the way to that.
        assert_eq!((problem.instance.len(), problem.rejections.len()), (0, 1000));
        s.node.compute_flops = 1e24;
        s.services.iter_mut().for_each(|m| m.model.layers = 1);
        let host = Host::new(&s).unwrap();
        let problem = host.problem(&rows, |row| 1 + row % 2, None).unwrap();
        let found = Solver::new(Method::Flat).solve(&problem.instance);
        assert!(problem.instance.is_feasible(&found.rows) && problem.instance.len() + problem.rejections.len() == 1000);
    }

    #[test]
    fn a_limit_on_the_computation_keeps_the_order_of_deadlines() {
        let s = Scenario::paper();
        let host = Host::new(&s).unwrap();
        let of = |deadline_s: f64| Request { deadline_s, ..Request::new(512, 512) };
        let rows: Vec<Request> = [40.0, 5.0, 60.0, 3.0, 50.0].map(of).to_vec();
        let alone = Transformer::new(&s.model).flops(512, 512) as f64 / s.node.compute_flops;
        for services in [1, 3] {
            let host = if services == 1 { host.clone() } else { Host::new(&scenario(1e12)).unwrap() };
            // Room for two.
            let problem = host.problem(&rows, |_| 0, Some(2.5 * alone)).unwrap();
            assert_eq!(problem.instance.len(), 5);
            assert_eq!(crate::baseline::earliest_deadline(&problem.instance), [1, 3], "{services} models");
            assert_eq!(Solver::new(Method::Flat).solve(&problem.instance).rows.len(), 2);
            // And for none.
            let problem = host.problem(&rows, |_| 0, Some(0.9 * alone)).unwrap();
            let reasons: Vec<Reason> = problem.rejections.iter().flat_map(Rejection::reasons).collect();
            assert_eq!((problem.instance.len(), reasons), (0, vec![Reason::Deadline; 5]));
        }
    }
}
