//! Requests: what users ask for, before any model or node is known.
//!
//! In: files (`source`: the CSV contract and three public trace formats) or [`Requests::push`]. Out: [`Requests`], one
//! validated row per request in arrival order. What a trace lacks is synthesised by [`synthesis`]; [`arrivals`] are
//! requests over time.

pub mod arrivals;
#[cfg(feature = "files")]
pub mod csv;
mod ids;
#[cfg(feature = "files")]
mod record;
#[cfg(feature = "files")]
pub mod source;
pub mod synthesis;
#[cfg(feature = "files")]
pub mod trace;

use crate::error::{Place, Result};
use crate::limits;

pub use ids::Ids;

/// One request. Symbols are those of the paper, P1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Request {
    /// Prompt length s_i, tokens.
    pub prompt_tokens: u32,
    /// Output length n_i, tokens.
    pub output_tokens: u32,
    /// Latency requirement τ_i, seconds from the request's arrival.
    pub deadline_s: f64,
    /// Time t_w,i already waited when the epoch begins, seconds.
    pub waited_s: f64,
    /// The largest ΔPPL that the user accepts (1e).
    pub max_perplexity_increase: f64,
    /// Channel power gain h_i².
    pub channel_power_gain: f64,
    /// Uplink transmit power p_i^U, dBm.
    pub uplink_power_dbm: f64,
}

impl Request {
    /// A request with the documented defaults: a deadline of 2 s (the loosest of the paper's section IV), no time
    /// waited, any quantisation accepted, a channel power gain of 10⁻³ and 20 dBm on the uplink.
    pub fn new(prompt_tokens: u32, output_tokens: u32) -> Self {
        Request {
            prompt_tokens,
            output_tokens,
            deadline_s: 2.0,
            waited_s: 0.0,
            max_perplexity_increase: limits::PERPLEXITY.max,
            channel_power_gain: 1e-3,
            uplink_power_dbm: 20.0,
        }
    }

    /// Checks every field against [`limits`].
    ///
    /// # Errors
    /// The first field out of range; `place` says where the request came from.
    pub fn check(&self, place: impl Fn() -> Place) -> Result<()> {
        let fields = [
            ("prompt_tokens", f64::from(self.prompt_tokens), &limits::TOKENS),
            ("output_tokens", f64::from(self.output_tokens), &limits::TOKENS),
            ("deadline_s", self.deadline_s, &limits::DEADLINE),
            ("waited_s", self.waited_s, &limits::WAITED),
            ("max_perplexity_increase", self.max_perplexity_increase, &limits::PERPLEXITY),
            ("channel_power_gain", self.channel_power_gain, &limits::GAIN),
            ("uplink_power_dbm", self.uplink_power_dbm, &limits::POWER),
        ];
        for (name, value, range) in fields {
            range.check(value, || place().field(name))?;
        }
        Ok(())
    }
}

/// A validated set of requests, in arrival order.
///
/// Stored as one compact row per request (48 bytes) beside an arena of ids, so that ten million fit in well under a
/// gigabyte.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requests {
    ids: Ids,
    rows: Vec<Request>,
}

impl Requests {
    /// No requests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a request. Ids should differ; [`Requests::first_duplicate`] tells, and every file reader checks.
    ///
    /// # Errors
    /// An id that is empty, too long or holds control characters; a field out of range; more than
    /// [`limits::MAX_REQUESTS`] requests.
    pub fn push(&mut self, id: &str, request: Request) -> Result<()> {
        self.push_at(id, request, || Place::file(format!("request {}", crate::error::quote(id.as_bytes()))))
    }

    /// [`Requests::push`] for a reader that knows the line.
    pub(crate) fn push_at(&mut self, id: &str, request: Request, place: impl Fn() -> Place) -> Result<()> {
        check_name("id", id, || place().field("id"))?;
        request.check(&place)?;
        if self.rows.len() == limits::MAX_REQUESTS {
            let remedy = format!("give at most {} requests", limits::MAX_REQUESTS);
            return Err(place().error("too many requests", remedy));
        }
        self.ids.push(id);
        self.rows.push(request);
        Ok(())
    }

    /// The number of requests, I.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All rows, in arrival order.
    pub fn rows(&self) -> &[Request] {
        &self.rows
    }

    /// The id of row `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Requests::len`].
    pub fn id(&self, index: usize) -> &str {
        self.ids.get(index)
    }

    /// The ids, by row.
    pub fn ids(&self) -> &Ids {
        &self.ids
    }

    /// The first row (in file order) whose id an earlier row has, with that earlier row: `(earlier, later)`.
    pub fn first_duplicate(&self) -> Option<(usize, usize)> {
        self.ids.first_duplicate()
    }

    /// Rounds every output length up to the next of `levels` N_1..N_N (ascending), as a server with output classes
    /// does.
    ///
    /// # Errors
    /// A request longer than the largest level.
    pub fn round_outputs_up(&mut self, levels: &OutputLevels) -> Result<()> {
        for (row, request) in self.rows.iter_mut().enumerate() {
            let Some(level) = levels.round_up(request.output_tokens) else {
                let place = Place::file(format!("request {}", crate::error::quote(self.ids.get(row).as_bytes())));
                let problem = format!("{} output tokens are more than the largest level", request.output_tokens);
                let remedy = format!("add a level of at least {}", request.output_tokens);
                return Err(place.field("output_tokens").error(problem, remedy));
            };
            request.output_tokens = level;
        }
        Ok(())
    }

    /// The row numbers in the order in which the requests arrived: longest wait first, ties in file order.
    pub fn arrival_order(&self) -> Vec<u32> {
        arrival_order(&self.rows)
    }
}

/// See [`Requests::arrival_order`].
pub(crate) fn arrival_order(rows: &[Request]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..rows.len() as u32).collect();
    order.sort_by(|&a, &b| rows[b as usize].waited_s.total_cmp(&rows[a as usize].waited_s));
    order
}

/// Whether a text can stand in a line of a report. `what` says what it is the name of.
pub(crate) fn check_name(what: &str, name: &str, place: impl FnOnce() -> Place) -> Result<()> {
    if !name.is_empty() && name.len() <= limits::MAX_ID_BYTES && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let problem = format!("the {what} {} cannot be used", crate::error::quote(name.as_bytes()));
    Err(place().error(problem, format!("give 1 to {} bytes without control characters", limits::MAX_ID_BYTES)))
}

/// Output lengths N_1 < N_2 < … that requests are rounded up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLevels(Vec<u32>);

impl OutputLevels {
    /// The levels in any order; duplicates count once.
    ///
    /// # Errors
    /// No level, or one outside [`limits::TOKENS`].
    pub fn new(mut levels: Vec<u32>, place: impl Fn() -> Place) -> Result<Self> {
        levels.sort_unstable();
        levels.dedup();
        if levels.is_empty() {
            return Err(place().error("no output level", "give lengths such as 128,256,512"));
        }
        for &level in &levels {
            limits::TOKENS.check(f64::from(level), &place)?;
        }
        Ok(OutputLevels(levels))
    }

    /// The paper's classes: 128, 256 and 512 tokens.
    pub fn paper() -> Self {
        OutputLevels(vec![128, 256, 512])
    }

    /// The levels, ascending.
    pub fn as_slice(&self) -> &[u32] {
        &self.0
    }

    /// The smallest level that is at least `tokens`.
    pub fn round_up(&self, tokens: u32) -> Option<u32> {
        self.0.get(self.0.partition_point(|&level| level < tokens)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_requests_are_refused_with_the_field() {
        let mut set = Requests::new();
        type Case = (&'static str, fn(&mut Request));
        let cases: [Case; 7] = [
            ("prompt_tokens", |r| r.prompt_tokens = 0),
            ("output_tokens", |r| r.output_tokens = u32::MAX),
            ("deadline_s", |r| r.deadline_s = f64::NAN),
            ("waited_s", |r| r.waited_s = -1.0),
            ("max_perplexity_increase", |r| r.max_perplexity_increase = f64::INFINITY),
            ("channel_power_gain", |r| r.channel_power_gain = 0.0),
            ("uplink_power_dbm", |r| r.uplink_power_dbm = 1e9),
        ];
        for (field, spoil) in cases {
            let mut r = Request::new(1, 1);
            spoil(&mut r);
            let message = set.push("a", r).unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
        for id in ["", "a\nb", &"x".repeat(257)] {
            assert!(set.push(id, Request::new(1, 1)).is_err());
        }
        assert!(set.is_empty());
        set.push("a", Request::new(1, 1)).unwrap();
        assert_eq!((set.len(), set.id(0)), (1, "a"));
    }

    #[test]
    fn outputs_round_up_to_the_next_level_or_fail() {
        let levels = OutputLevels::new(vec![512, 128, 256, 128], Place::default).unwrap();
        assert_eq!(levels.as_slice(), [128, 256, 512]);
        let rounded: Vec<_> = [1, 128, 129, 512, 513].map(|n| levels.round_up(n)).to_vec();
        assert_eq!(rounded, [Some(128), Some(128), Some(256), Some(512), None]);
        let mut set = Requests::new();
        set.push("a", Request::new(1, 300)).unwrap();
        set.round_outputs_up(&levels).unwrap();
        assert_eq!(set.rows()[0].output_tokens, 512);
        set.push("b", Request::new(1, 513)).unwrap();
        assert!(set.round_outputs_up(&levels).unwrap_err().to_string().contains("at least 513"));
        assert!(
            OutputLevels::new(vec![], Place::default).is_err() && OutputLevels::new(vec![0], Place::default).is_err()
        );
    }

    #[test]
    fn arrival_order_is_longest_wait_first_then_file_order() {
        let mut set = Requests::new();
        for (id, waited_s) in [("a", 0.5), ("b", 1.0), ("c", 0.5)] {
            set.push(id, Request { waited_s, ..Request::new(1, 1) }).unwrap();
        }
        assert_eq!(set.arrival_order(), [1, 0, 2]);
    }
}
