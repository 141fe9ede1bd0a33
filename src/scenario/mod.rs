//! The edge node and its surroundings: model, quantisation, node, radio, epoch and padding.
//!
//! In: presets, a scenario file (TOML, in `file`) or plain construction. Out: a [`Scenario`] whose numbers all lie in
//! the ranges of [`crate::limits`], together with the list of what had to be assumed because the paper does not give
//! it.

#[cfg(feature = "files")]
pub mod file;
#[cfg(feature = "files")]
pub mod model_config;
#[cfg(feature = "files")]
mod overrides;
pub mod preset;
#[cfg(feature = "files")]
mod traffic;
#[cfg(feature = "files")]
mod write;

use crate::error::{Place, Result, quote};
use crate::limits::{self, Range};
use crate::workload::arrivals::Arrivals;
use crate::workload::check_name;
use crate::workload::synthesis::Synthesis;

/// Dimensions of a decoder-only transformer (Table I of the paper).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// Name for reports.
    pub name: String,
    /// Layers L.
    pub layers: u32,
    /// Hidden size d_m.
    pub hidden_size: u32,
    /// Attention heads n_h.
    pub heads: u32,
    /// Key-value heads: n_h in the paper's models, fewer with grouped-query attention.
    pub kv_heads: u32,
    /// Size of a head d_h.
    pub head_dim: u32,
    /// Feed-forward size d_f.
    pub ffn_size: u32,
    /// Whether the feed-forward layer is gated (three matrices instead of two).
    pub gated_ffn: bool,
}

/// A precision on offer, and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantization {
    /// Name for reports.
    pub name: String,
    /// α: memory relative to 16 bits.
    pub memory_factor: f64,
    /// β: computation time relative to 16 bits.
    pub time_factor: f64,
    /// ΔPPL.
    pub perplexity_increase: f64,
    /// Where these numbers come from, for reports, if that must be said.
    pub note: Option<String>,
}

/// Compute and memory of the edge node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// C, FLOP/s.
    pub compute_flops: f64,
    /// M, bytes.
    pub memory_bytes: f64,
}

/// The shared band of each direction.
#[derive(Debug, Clone, PartialEq)]
pub struct Radio {
    /// B^U, Hz.
    pub uplink_bandwidth_hz: f64,
    /// B^D, Hz.
    pub downlink_bandwidth_hz: f64,
    /// Noise power density, dBm/Hz; N0 is this times the band of the direction.
    pub noise_density_dbm_per_hz: f64,
    /// p^D, dBm.
    pub downlink_power_dbm: f64,
    /// Bits that carry one token.
    pub bits_per_token: u32,
}

/// The slots of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Epoch {
    /// Length of the epoch, seconds.
    pub duration_s: f64,
    /// T_U, seconds.
    pub uplink_slot_s: f64,
    /// T_D, seconds.
    pub downlink_slot_s: f64,
}

/// What a prompt is padded to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// s' is this constant (the paper); longer prompts are rejected.
    Fixed(u32),
    /// s' is the longest prompt of the batch.
    Longest,
    /// Each request is charged its own s_i: engines with ragged batches.
    None,
}

/// Something that the paper leaves open and a preset fills in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assumption(pub String);

/// A further model on the same node, and who asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Name for reports.
    pub name: String,
    /// Part of all requests that ask for it.
    pub share: f64,
    /// The model served.
    pub model: Model,
    /// Its precision.
    pub quantization: Quantization,
    /// Padding of its prompts.
    pub padding: Padding,
}

/// Everything but the requests.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The model served.
    pub model: Model,
    /// Its precision.
    pub quantization: Quantization,
    /// The edge node.
    pub node: Node,
    /// The radio.
    pub radio: Radio,
    /// The epoch.
    pub epoch: Epoch,
    /// Padding of prompts.
    pub padding: Padding,
    /// Distributions for what a trace lacks.
    pub synthesis: Synthesis,
    /// When requests arrive, and how long they are, where they are simulated.
    pub arrivals: Arrivals,
    /// Further models beside the scenario's own, which gets the rest of the requests.
    pub services: Vec<Service>,
    /// What was assumed.
    pub assumptions: Vec<Assumption>,
}

impl Scenario {
    /// The paper's section IV: BLOOM-3B at W8A16 on 20 Jetson TX2, 20 MHz each way, epochs of 2 s, prompts padded to
    /// 512.
    pub fn paper() -> Self {
        let model = preset::model("bloom-3b").unwrap_or_else(|| unreachable!("bloom-3b is in the preset table"));
        let (quantization, assumptions) = preset::quantization("w8a16", &model.name)
            .and_then(|p| p.complete())
            .unwrap_or_else(|| unreachable!("w8a16 has every value"));
        Scenario {
            model,
            quantization,
            node: preset::paper_node(),
            radio: preset::paper_radio(),
            epoch: preset::paper_epoch(),
            padding: preset::PAPER_PADDING,
            synthesis: Synthesis::default(),
            arrivals: Arrivals::default(),
            services: Vec::new(),
            assumptions,
        }
    }

    /// Checks every number against [`limits`], for scenarios built in code. Scenario files are checked with their
    /// lines.
    ///
    /// # Errors
    /// The first number out of range.
    pub fn check(&self) -> Result<()> {
        let place = |field: String| Place::file("scenario").field(field);
        let (n, r, e) = (&self.node, &self.radio, &self.epoch);
        check_service("", &self.model, &self.quantization, self.padding)?;
        let numbers: [(&str, f64, &Range); 10] = [
            ("node.compute_flops", n.compute_flops, &limits::COMPUTE),
            ("node.memory_bytes", n.memory_bytes, &limits::MEMORY),
            ("radio.uplink_bandwidth_hz", r.uplink_bandwidth_hz, &limits::BANDWIDTH),
            ("radio.downlink_bandwidth_hz", r.downlink_bandwidth_hz, &limits::BANDWIDTH),
            ("radio.noise_density_dbm_per_hz", r.noise_density_dbm_per_hz, &limits::NOISE),
            ("radio.downlink_power_dbm", r.downlink_power_dbm, &limits::POWER),
            ("radio.bits_per_token", f64::from(r.bits_per_token), &limits::BITS),
            ("epoch.duration_s", e.duration_s, &limits::SLOT),
            ("epoch.uplink_slot_s", e.uplink_slot_s, &limits::SLOT),
            ("epoch.downlink_slot_s", e.downlink_slot_s, &limits::SLOT),
        ];
        for (name, value, range) in numbers {
            range.check(value, || place(name.to_string()))?;
        }
        self.synthesis.check()?;
        self.arrivals.check()?;
        if self.services.len() > limits::MAX_CLASSES {
            let remedy = format!("give at most {}", limits::MAX_CLASSES);
            return Err(place("service".to_string()).error(format!("{} services", self.services.len()), remedy));
        }
        for (at, s) in self.services.iter().enumerate() {
            check_name("name", &s.name, || place(format!("service.{at}.name")))?;
            let others = self.services[..at].iter().map(|other| &other.name);
            if others.chain([&self.model.name]).any(|other| *other == s.name) {
                let problem = format!("there is a model {} already", quote(s.name.as_bytes()));
                let remedy = "give each service a name of its own";
                return Err(place(format!("service.{at}.name")).error(problem, remedy));
            }
            limits::SHARE.check(s.share, || place(format!("service.{at}.share")))?;
            check_service(&format!("service.{at}."), &s.model, &s.quantization, s.padding)?;
        }
        // More than rounding may leave of parts that are meant to be the whole.
        if self.own_share() < 1e-9 {
            let problem = format!("the shares leave nothing for the scenario's own model, {}", self.model.name);
            let place = place(format!("service.{}.share", self.services.len() - 1));
            return Err(place.error(problem, "give shares that add up to less than 1"));
        }
        Ok(())
    }

    /// The part of all requests that ask for the scenario's own model: what the services leave.
    pub fn own_share(&self) -> f64 {
        1.0 - self.services.iter().map(|s| s.share).sum::<f64>()
    }

    /// Refuses a scenario of several models where only one epoch of one model is solved.
    ///
    /// # Errors
    /// There are services.
    pub fn check_one_model(&self) -> Result<()> {
        if self.services.is_empty() {
            return Ok(());
        }
        let problem = "several models share this node, and an epoch is solved for one";
        let remedy = "leave out [[service]], or run `dftsp simulate`";
        Err(Place::file("scenario").field("service").error(problem, remedy))
    }
}

/// Checks what each service has of its own; `table` is "" or "service.N.".
fn check_service(table: &str, m: &Model, q: &Quantization, padding: Padding) -> Result<()> {
    let padded = match padding {
        Padding::Fixed(tokens) => f64::from(tokens),
        Padding::Longest | Padding::None => limits::TOKENS.min,
    };
    let numbers: [(&str, f64, &Range); 10] = [
        ("model.layers", f64::from(m.layers), &limits::LAYERS),
        ("model.hidden_size", f64::from(m.hidden_size), &limits::DIMENSION),
        ("model.heads", f64::from(m.heads), &limits::HEADS),
        ("model.kv_heads", f64::from(m.kv_heads), &limits::HEADS),
        ("model.head_dim", f64::from(m.head_dim), &limits::HEADS),
        ("model.ffn_size", f64::from(m.ffn_size), &limits::DIMENSION),
        ("quantization.memory_factor", q.memory_factor, &limits::FACTOR),
        ("quantization.time_factor", q.time_factor, &limits::FACTOR),
        ("quantization.perplexity_increase", q.perplexity_increase, &limits::PERPLEXITY),
        ("batching.padded_prompt_tokens", padded, &limits::TOKENS),
    ];
    for (name, value, range) in numbers {
        range.check(value, || Place::file("scenario").field(format!("{table}{name}")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_scenario_is_valid_and_says_what_it_assumes() {
        let s = Scenario::paper();
        s.check().unwrap();
        let text: Vec<&str> = s.assumptions.iter().map(|a| a.0.as_str()).collect();
        assert!(text.iter().any(|t| t.contains("time_factor")), "{text:?}");
        assert!(text.iter().any(|t| t.contains("perplexity_increase")), "{text:?}");
    }

    #[test]
    fn a_number_out_of_range_is_named() {
        let mut s = Scenario::paper();
        s.node.memory_bytes = f64::NAN;
        assert!(s.check().unwrap_err().to_string().contains("node.memory_bytes"));
    }

    #[test]
    fn services_are_checked_and_leave_a_share_for_the_scenarios_own_model() {
        let paper = Scenario::paper();
        let service = |share: f64| Service {
            name: format!("with {share}"),
            share,
            model: paper.model.clone(),
            quantization: paper.quantization.clone(),
            padding: Padding::None,
        };
        let with = |services: Vec<Service>| Scenario { services, ..paper.clone() };
        with(vec![service(0.5), service(0.0), service(0.25)]).check().unwrap();
        assert_eq!(with(vec![service(0.5), service(0.25)]).own_share(), 0.25);
        let no_name = Service { name: String::new(), ..service(0.1) };
        let own_name = Service { name: paper.model.name.clone(), ..service(0.1) };
        let mut layers = service(0.1);
        layers.model.layers = 0;
        for (services, message) in [
            (vec![service(0.7), service(0.2), service(0.1)], "scenario, service.2.share: the shares leave nothing"),
            (vec![service(-0.5)], "scenario, service.0.share: -0.5 is negative"),
            (vec![service(0.5), service(0.2), service(0.5)], "scenario, service.2.name: there is a model 'with 0.5'"),
            (vec![own_name], "scenario, service.0.name: there is a model 'bloom-3b' already; give each service a name"),
            (vec![no_name], "scenario, service.0.name: the name '' cannot be used"),
            (vec![service(0.0), layers], "scenario, service.1.model.layers: "),
            (vec![service(0.0); 65], "scenario, service: 65 services"),
        ] {
            let e = with(services).check().unwrap_err().to_string();
            assert!(e.starts_with(message), "{e}");
        }
        assert!(paper.check_one_model().is_ok() && with(vec![service(0.1)]).check_one_model().is_err());
    }
}
