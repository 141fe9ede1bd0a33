//! What is to be placed, and where: models as chains of layers, servers, and the links between them.

use std::collections::{HashMap, HashSet};

use super::curve::Curve;
use crate::error::{Place, Result, quote};
use crate::limits::{self, Range};

/// Layers to place on servers.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// The models; most problems have one.
    pub models: Vec<Model>,
    /// The servers M.
    pub servers: Vec<Server>,
    /// The links that there are. A pair without one may not be used.
    pub links: Vec<Link>,
    /// f(b): the time of a FLOP with weights of b bits, relative to the server's rate, at index b.
    pub time_factors: [f64; limits::MAX_WIDTH as usize + 1],
    /// Where weight errors come from, if they were not measured on the model's weights: for reports.
    pub note: Option<String>,
}

/// A chain of layers, and the request that it serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// For reports; empty where there is one model only.
    pub name: String,
    /// P.
    pub prompt_tokens: u32,
    /// O.
    pub output_tokens: u32,
    /// Requests whose keys and values the servers have room for at once; 1 for the delay of a single one.
    pub held_requests: u32,
    /// ε: the sum of weight errors that is still acceptable.
    pub budget: f64,
    /// ΔPPL against the sum of weight errors, if it is declared: for the scheduler, not for the placement.
    pub perplexity: Option<Curve>,
    /// L, in execution order.
    pub layers: Vec<Layer>,
}

/// One layer l.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// For reports.
    pub name: String,
    /// Its weights, which are quantised.
    pub parameters: f64,
    /// FLOP for one token.
    pub flops_per_token: f64,
    /// Passed on to the next layer for one token.
    pub activation_bytes: f64,
    /// Held for each token of prompt and output, not quantised.
    pub kv_bytes_per_token: f64,
    /// The widths on offer, narrowest first.
    pub widths: Vec<Width>,
}

/// A width on offer for a layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Width {
    /// b.
    pub bits: u32,
    /// Δ of the layer at these bits.
    pub error: f64,
}

/// A server i.
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// For links and reports.
    pub name: String,
    /// FLOP/s.
    pub compute_flops: f64,
    /// Bytes.
    pub memory_bytes: f64,
    /// Computation capacity: time it may compute for a request of each model, all of them together.
    pub max_busy_s: Option<f64>,
    /// Communication capacity: bytes it may send, likewise.
    pub max_sent_bytes: Option<f64>,
}

/// A directed link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Index of a server.
    pub from: usize,
    /// Index of a server.
    pub to: usize,
    /// Bytes a second.
    pub bandwidth_bytes_per_s: f64,
    /// Seconds.
    pub latency_s: f64,
}

/// Where a layer runs, and with how many bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seat {
    /// Index of the server.
    pub server: usize,
    /// Bits of its weights.
    pub bits: u32,
}

impl Model {
    /// P + O of each request held: tokens whose keys and values are held.
    pub fn held_tokens(&self) -> f64 {
        f64::from(self.held_requests) * (f64::from(self.prompt_tokens) + f64::from(self.output_tokens))
    }

    /// P + O − 1: tokens that pass through every layer; the last token out goes nowhere.
    pub fn passes(&self) -> f64 {
        f64::from(self.prompt_tokens) + f64::from(self.output_tokens) - 1.0
    }
}

impl Layer {
    /// Memory at these bits, bytes, in a model that holds so many tokens.
    pub fn memory_bytes(&self, bits: u32, held_tokens: f64) -> f64 {
        self.parameters * f64::from(bits) / 8.0 + self.kv_bytes_per_token * held_tokens
    }

    /// Δ at these bits, if they are on offer.
    pub fn error(&self, bits: u32) -> Option<f64> {
        self.widths.iter().find(|w| w.bits == bits).map(|w| w.error)
    }
}

impl Problem {
    /// All layers in order, each with its model.
    pub fn layers(&self) -> impl Iterator<Item = (&Model, &Layer)> {
        self.models.iter().flat_map(|model| model.layers.iter().map(move |layer| (model, layer)))
    }

    /// How many layers the models have together.
    pub fn len(&self) -> usize {
        self.models.iter().map(|m| m.layers.len()).sum()
    }

    /// Whether there is nothing to place.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The link of an ordered pair of servers, by a search.
    pub fn link(&self, from: usize, to: usize) -> Option<&Link> {
        self.links.iter().find(|link| (link.from, link.to) == (from, to))
    }

    /// f(b).
    pub fn time_factor(&self, bits: u32) -> f64 {
        self.time_factors.get(bits as usize).copied().unwrap_or(1.0)
    }

    /// A layer in a message; of several models with its own.
    pub(crate) fn called(&self, model: &Model, layer: &Layer) -> String {
        format!("{}{}", layer.name, self.of(model))
    }

    /// " of chat" where there are several models.
    pub(crate) fn of(&self, model: &Model) -> String {
        if self.models.len() > 1 { format!(" of {}", model.name) } else { String::new() }
    }

    /// A range for a number of the file, which may stand in `[[model]]` or at the top.
    pub(super) fn field(&self, model: usize, key: &str) -> String {
        match (self.models.len(), self.models.first()) {
            (1, Some(only)) if only.name.is_empty() => key.to_string(),
            _ => {
                let key = key.strip_prefix("request.").or(key.strip_prefix("quality.")).unwrap_or(key);
                format!("model.{model}.{key}")
            }
        }
    }

    /// Checks what the solvers rely on.
    ///
    /// # Errors
    /// A number out of its range, a name used twice, a link between servers that are not there, no layer, no server, or
    /// a layer without widths; with the key as in a problem file.
    pub fn check(&self) -> Result<()> {
        let place = |field: String| Place::file("problem").field(field);
        let check = |x: f64, range: &Range, field: String| range.check(x, || place(field));
        count(self.servers.len(), limits::MAX_SERVERS, "server", "servers")?;
        let mut names = HashMap::new();
        for (at, s) in self.servers.iter().enumerate() {
            check(s.compute_flops, &limits::COMPUTE, format!("server.{at}.compute_flops"))?;
            check(s.memory_bytes, &limits::MEMORY, format!("server.{at}.memory_bytes"))?;
            let limit = |x: Option<f64>, range: &Range, key: &str| {
                check_limit(x.unwrap_or(0.0), range, || place(format!("server.{at}.{key}")))
            };
            limit(s.max_busy_s, &limits::BUSY, "max_busy_s")?;
            limit(s.max_sent_bytes, &limits::SENT, "max_sent_bytes")?;
            name(&s.name, || place(format!("server.{at}.name")))?;
            if let Some(before) = names.insert(s.name.as_str(), at) {
                let problem = format!("{} is the name of server {} too", quote(s.name.as_bytes()), before + 1);
                return Err(place(format!("server.{at}.name")).error(problem, "give every server a name of its own"));
            }
        }
        self.check_links()?;
        for (bits, &factor) in self.time_factors.iter().enumerate().skip(1) {
            check(factor, &limits::FACTOR, format!("bits.{bits}"))?;
        }
        count(self.models.len(), limits::MAX_CLASSES, "model", "models")?;
        count(self.len(), limits::MAX_LAYERS, &self.field(0, "layer"), "layers")?;
        let mut names = HashMap::new();
        for (at, model) in self.models.iter().enumerate() {
            if let Some(before) = names.insert(model.name.as_str(), at) {
                let problem = format!("{} is the name of model {} too", quote(model.name.as_bytes()), before + 1);
                return Err(place(format!("model.{at}.name")).error(problem, "give every model a name of its own"));
            }
        }
        self.models.iter().enumerate().try_for_each(|(at, model)| self.check_model(at, model))?;
        let widest = |layer: &Layer| layer.widths.last().map_or(0, |w| w.bits);
        let all: f64 = self.layers().map(|(model, l)| l.memory_bytes(widest(l), model.held_tokens())).sum();
        if all > limits::ALL_LAYERS_MEMORY {
            let problem = format!("at their widest and with their KV caches all layers need {all:e} bytes");
            let remedy = format!("give layers of at most {:e} bytes together", limits::ALL_LAYERS_MEMORY);
            return Err(place(self.field(0, "layer")).error(problem, remedy));
        }
        let servers = self.servers.len();
        let seats = servers * self.layers().map(|(_, layer)| layer.widths.len()).sum::<usize>();
        for (n, most, what) in [
            (seats, limits::MAX_SEATS, "choices of a server and bits"),
            (self.len() * servers * servers, limits::MAX_MOVES, "ways from a server to a server over all layers"),
        ] {
            if n > most {
                let remedy = format!("give fewer layers, widths or servers: at most {most}");
                return Err(place(self.field(0, "layer")).error(format!("{n} {what}"), remedy));
            }
        }
        Ok(())
    }

    fn check_links(&self) -> Result<()> {
        let place = |field: String| Place::file("problem").field(field);
        if self.links.len() > limits::MAX_LINKS {
            let problem = format!("{} links", self.links.len());
            return Err(place("link".into()).error(problem, format!("give at most {}", limits::MAX_LINKS)));
        }
        let mut pairs = HashSet::new();
        for (at, link) in self.links.iter().enumerate() {
            for (end, key) in [(link.from, "from"), (link.to, "to")] {
                if end >= self.servers.len() {
                    let problem = format!("there is no server {end}");
                    return Err(place(format!("link.{at}.{key}")).error(problem, "give the index of a server"));
                }
            }
            let name = |end: usize| quote(self.servers[end].name.as_bytes());
            if link.from == link.to {
                let problem = format!("the link leads from {} to itself", name(link.to));
                return Err(place(format!("link.{at}.to")).error(problem, "name two servers"));
            }
            if !pairs.insert((link.from, link.to)) {
                let problem = format!("there is a link from {} to {} already", name(link.from), name(link.to));
                return Err(place(format!("link.{at}.to")).error(problem, "give one link for each ordered pair"));
            }
            let field = |key: &str| place(format!("link.{at}.{key}"));
            limits::LINK_BANDWIDTH.check(link.bandwidth_bytes_per_s, || field("bandwidth_bytes_per_s"))?;
            limits::LATENCY.check(link.latency_s, || field("latency_s"))?;
        }
        Ok(())
    }

    fn check_model(&self, at: usize, model: &Model) -> Result<()> {
        let place = |key: &str| Place::file("problem").field(self.field(at, key));
        limits::TOKENS.check(model.prompt_tokens.into(), || place("request.prompt_tokens"))?;
        limits::TOKENS.check(model.output_tokens.into(), || place("request.output_tokens"))?;
        limits::HELD.check(model.held_requests.into(), || place("request.held_requests"))?;
        check_limit(model.budget, &limits::ERROR_BUDGET, || place("quality.budget"))?;
        if model.layers.is_empty() {
            return Err(place("layer").error("there is none", "give [[layer]] tables, in execution order"));
        }
        let mut names = HashMap::new();
        for (l, layer) in model.layers.iter().enumerate() {
            let key = |key: &str| place(&format!("layer.{l}.{key}"));
            name(&layer.name, || key("name"))?;
            if let Some(before) = names.insert(layer.name.as_str(), l) {
                let problem = format!("{} is the name of layer {} too", quote(layer.name.as_bytes()), before + 1);
                return Err(key("name").error(problem, "give every layer of a model a name of its own"));
            }
            limits::PARAMETERS.check(layer.parameters, || key("parameters"))?;
            limits::TOKEN_FLOPS.check(layer.flops_per_token, || key("flops_per_token"))?;
            limits::TOKEN_BYTES.check(layer.activation_bytes, || key("activation_bytes"))?;
            limits::TOKEN_BYTES.check(layer.kv_bytes_per_token, || key("kv_bytes_per_token"))?;
            // Memory is counted in whole bits.
            for (x, name) in [(layer.parameters, "parameters"), (layer.kv_bytes_per_token, "kv_bytes_per_token")] {
                if x.fract() != 0.0 {
                    return Err(key(name).error(format!("{x} is not a whole number"), "give a whole number"));
                }
            }
            let ascending = layer.widths.windows(2).all(|pair| pair[0].bits < pair[1].bits);
            let known = layer.widths.iter().all(|w| (1..=limits::MAX_WIDTH).contains(&w.bits));
            if layer.widths.is_empty() || !ascending || !known {
                let remedy = "give the error of each width on offer, such as { \"4\" = 0.03, \"16\" = 0.0 }";
                return Err(key("weight_error").error("no widths from 1 to 32 bits, each once", remedy));
            }
            let bits = layer.widths.last().map_or(0, |w| w.bits);
            let most = layer.memory_bytes(bits, model.held_tokens());
            if most > limits::LAYER_MEMORY {
                let problem = format!("at {bits} bits and with its KV cache the layer needs {most:e} bytes");
                let remedy = format!("give a layer of at most {:e} bytes", limits::LAYER_MEMORY);
                return Err(key("parameters").error(problem, remedy));
            }
            for w in &layer.widths {
                check_limit(w.error, &limits::WEIGHT_ERROR, || key(&format!("weight_error.{}", w.bits)))?;
            }
        }
        Ok(())
    }
}

fn count(n: usize, most: usize, key: &str, what: &str) -> Result<()> {
    let place = || Place::file("problem").field(key);
    match n {
        0 => Err(place().error("there is none", format!("give [[{key}]] tables"))),
        n if n > most => Err(place().error(format!("{n} {what}"), format!("give at most {most}"))),
        _ => Ok(()),
    }
}

/// A number that is measured in parts of a limit, or is one: 0, or large enough to be divided by.
pub(crate) fn check_limit(x: f64, range: &Range, place: impl Fn() -> Place) -> Result<()> {
    range.check(x, &place)?;
    if x > 0.0 && x < limits::SMALLEST_PART {
        let problem = format!("{x:e} is too small");
        return Err(place().error(problem, format!("give 0, or at least {:e}", limits::SMALLEST_PART)));
    }
    Ok(())
}

fn name(name: &str, place: impl FnOnce() -> Place) -> Result<()> {
    crate::workload::check_name("name", name, place)
}
