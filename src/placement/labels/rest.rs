//! The ways to the end of a context, run by run, at prices that are raised until what begins there reaches a limit.

use std::ops::Range;

use super::rates::{FACTORS, KINDS, Open, Rates};
use super::runs::{Alive, ROUNDED, below};
use crate::placement::prices::{Reduced, deflect, fits_alone};
use crate::placement::tables::Tables;

/// What a context leaves: runs may begin from a layer on, on some servers, and must on others.
pub(super) struct Rest<'c> {
    t: &'c Tables,
    r: &'c Reduced,
    alive: &'c Alive,
    from: usize,
    pub open: Vec<Open>,
    /// Places in `open`.
    must: Vec<usize>,
    /// For each open server and layer (server × layer) where its runs are, and how many layers the shortest of them
    /// has; for each of these, the next one a layer longer, where its costs begin, and the fewest cells.
    begin: Vec<(usize, usize)>,
    runs: Vec<(usize, usize)>,
    /// For each layer and open server where the places begin that a path may go on to after it; what that costs.
    leave: Vec<usize>,
    onto: Vec<(usize, f64)>,
}

/// The cheapest ways to the end at some prices.
#[derive(Default)]
struct Ways {
    /// For each set of servers to come back to (layer × open server): where a run begins on one of them, it is no
    /// longer.
    enter: Vec<Vec<f64>>,
    /// For each such set, ways to leave each open server before each layer (open server × layer, and one more).
    leaving: Vec<Vec<f64>>,
    /// What runs cost, and what they pay on each open server.
    runs: Vec<f64>,
    prices: Vec<Vec<f32>>,
}

impl<'c> Rest<'c> {
    /// In the paper form, with what crossings in the model of the first layer cost (server × server), in parts of what
    /// they do at the root.
    pub fn new(
        (t, r, alive): (&'c Tables, &'c Reduced, &'c Alive),
        from: usize,
        open: Vec<Open>,
        must: &[usize],
        factors: Option<&[f64]>,
    ) -> Rest<'c> {
        let mut place = vec![usize::MAX; t.servers];
        open.iter().enumerate().for_each(|(k, o)| place[o.server] = k);
        let must = must.iter().map(|&server| place[server]).collect();
        let (mut begin, mut runs) = (Vec::with_capacity(open.len() * (t.layers - from) + 1), Vec::new());
        for o in &open {
            for l in from..t.layers {
                let all = alive.runs(l, o.server);
                begin.push((runs.len(), alive.lengths(l, o.server).start));
                let fit = all.partition_point(|run| run.1 <= o.cells);
                runs.extend_from_slice(&all[..fit]);
            }
        }
        begin.push((runs.len(), 0));
        let (mut leave, mut onto) = (Vec::with_capacity(begin.len()), Vec::new());
        for l in from..t.layers {
            for o in &open {
                leave.push(onto.len());
                let i = o.server;
                let all = alive.onto[l * t.servers + i].iter().map(|&(j, cost)| (j as usize, cost));
                onto.extend(all.filter(|(j, _)| place[*j] != usize::MAX).map(|(j, cost)| match factors {
                    Some(factors) if t.model[l] == t.model[from] => {
                        let sending = r.sending(t, l, i);
                        (place[j], sending + factors[i * t.servers + j] * (cost - sending))
                    }
                    _ => (place[j], cost),
                }));
            }
        }
        leave.push(onto.len());
        Rest { t, r, alive, from, open, must, begin, runs, leave, onto }
    }

    fn span(&self) -> usize {
        self.t.layers - self.from
    }

    /// The runs that begin on the open server k at a layer, counted from the first, and how many layers the first of
    /// them has.
    fn runs(&self, k: usize, at: usize) -> (Range<usize>, usize) {
        let row = k * self.span() + at;
        let (first, shortest) = self.begin[row];
        (first..self.begin[row + 1].0, shortest)
    }

    /// Where the open server k may be left for after a layer, counted from the first.
    fn onto(&self, k: usize, at: usize) -> &[(usize, f64)] {
        let row = at * self.open.len() + k;
        &self.onto[self.leave[row]..self.leave[row + 1]]
    }

    fn ways(&self, rates: &Rates, ways: &mut Ways) {
        let lesser = |a: f64, b: f64| if b < a { b } else { a };
        let (n, span) = (self.open.len(), self.span());
        let costs = self.alive.costs(self.t, self.r, rates.nearest());
        ways.prices.resize(n, Vec::new());
        ways.runs.clear();
        for (k, (o, prices)) in self.open.iter().zip(&mut ways.prices).enumerate() {
            prices.clear();
            prices.extend(o.prices(rates).iter().map(|&price| below(price * ROUNDED)));
            let all = &self.runs[self.begin[k * span].0..self.begin[(k + 1) * span].0];
            ways.runs.extend(all.iter().map(|&(start, need)| f64::from(least_sum(&costs[start..], &prices[need..]))));
        }
        let sets = 1usize << self.must.len();
        ways.enter.resize(sets, Vec::new());
        ways.leaving.resize(sets, Vec::new());
        for set in 0..sets {
            let (before, enter) = ways.enter.split_at_mut(set);
            let (enter, leaving) = (&mut enter[0], &mut ways.leaving[set]);
            enter.resize(span * n, f64::INFINITY);
            leaving.resize(n * (span + 1), f64::INFINITY);
            for at in (0..span).rev() {
                let (now, next) = enter[at * n..].split_at_mut(n);
                for (k, now) in now.iter_mut().enumerate() {
                    let leaving = &mut leaving[k * (span + 1)..][..span + 1];
                    leaving[at + 1] = if at + 1 < span {
                        let onto = self.onto(k, at).iter().map(|&(j, cost)| cost + next[j]);
                        onto.fold(f64::INFINITY, lesser)
                    } else if set == 0 {
                        0.0
                    } else {
                        f64::INFINITY
                    };
                    let (runs, shortest) = self.runs(k, at);
                    let all = ways.runs[runs].iter().zip(&leaving[at + shortest..]);
                    *now = all.map(|(cost, leaving)| cost + leaving).fold(f64::INFINITY, lesser);
                }
                for (b, &k) in self.must.iter().enumerate().filter(|(b, _)| set >> b & 1 == 1) {
                    if let Some(now) = now.get_mut(k) {
                        *now = before[set & !(1 << b)][at * n + k];
                    }
                }
            }
        }
    }
}

/// What ways to the end start from, in seconds: the cost of what lies behind, with prices, less what limits are worth
/// that are no matter of a context; and the root's price of the weight errors behind, less that of the budgets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Behind {
    pub cost: f64,
    pub errors: f64,
}

/// How far ways at some prices are from keeping the limits.
struct Excess {
    /// For each open server, in parts of what is left.
    memory: Vec<[f64; KINDS]>,
    /// What the bound rises by with the factor.
    errors: f64,
}

impl Rest<'_> {
    fn bound(&self, behind: Behind, rates: &Rates, way: f64) -> f64 {
        let worth: f64 = self.open.iter().map(|o| rates.worth(o.server)).sum();
        behind.cost + rates.factor() * behind.errors + way - worth
    }

    /// Raises the bound of what begins a run here on the open server `own`, by steps of the prices, until it reaches
    /// the limit.
    pub fn tune(&self, own: usize, behind: Behind, start: Rates, steps: usize, limit: f64) -> Rates {
        /// Relative step towards a bit more than the limit, how much shorter steps grow, and after how many in vain.
        const STEP: f64 = 0.5;
        const BEYOND: f64 = 5e-3;
        const SHORTER: f64 = 0.6;
        const PATIENCE: usize = 15;
        /// Every so many steps, what is left to the limit may be at most so many times what they have won.
        const ROUND: usize = 10;
        const FARTHEST: f64 = 16.0;
        let mut rates = start.clone();
        let mut best = (f64::NEG_INFINITY, start);
        let mut direction = vec![0.0; self.open.len() * KINDS + 1];
        let (mut scale, mut failed, mut before) = (STEP, 0, f64::NEG_INFINITY);
        let budgets: f64 = self.r.prices.quality.iter().sum();
        // As for the root's: a path may use twice of a server or nothing, but hardly a tenth more or less of a budget.
        let weight = (self.t.servers as f64 / self.t.budget.len() as f64).sqrt();
        let Some(own) = self.open.iter().position(|o| o.server == own) else { return best.1 };
        let mut ways = Ways::default();
        for step in 0..=steps {
            self.ways(&rates, &mut ways);
            let bound = self.bound(behind, &rates, ways.enter.last().map_or(f64::INFINITY, |all| all[own]));
            failed = if bound > best.0 { 0 } else { failed + 1 };
            if bound > best.0 {
                best = (bound, rates.clone());
            }
            if step % ROUND == 0 {
                if limit - best.0 > FARTHEST * (best.0 - before) {
                    break;
                }
                before = best.0;
            }
            if best.0 >= limit || step == steps {
                break;
            }
            if failed >= PATIENCE {
                (scale, failed) = (scale * SHORTER, 0);
                rates = best.1.clone();
                direction.fill(0.0);
                continue;
            }
            let Some(mut excess) = self.excess(&ways, own, behind, &rates) else { break };
            excess.errors *= if budgets > 0.0 { weight / budgets } else { 0.0 };
            let memory = self.open.iter().zip(&mut excess.memory);
            let mut steepest: Vec<f64> = memory
                .flat_map(|(o, excess)| {
                    let rates = rates.memory[o.server].iter().zip(excess);
                    rates.map(|(rate, x)| if *rate == 0.0 && *x < 0.0 { 0.0 } else { *x })
                })
                .collect();
            steepest.push(excess.errors);
            let norm = deflect(&mut direction, &steepest);
            if norm < 1e-18 {
                break;
            }
            let length = scale * (limit * (1.0 + BEYOND) - bound) / norm;
            for (o, d) in self.open.iter().zip(direction.chunks(KINDS)) {
                let rates = rates.memory[o.server].iter_mut().zip(d);
                rates.for_each(|(rate, d)| *rate = (*rate + length * d).max(0.0));
            }
            if budgets > 0.0 {
                let d = direction.last().copied().unwrap_or(0.0);
                let factor = rates.continuous + length * d * weight / budgets;
                rates.continuous = factor.clamp(FACTORS[0], FACTORS[FACTORS.len() - 1]);
            }
        }
        best.1
    }

    /// What the cheapest way uses that begins a run here on the open server `k`; nothing if there is none.
    fn excess(&self, ways: &Ways, mut k: usize, behind: Behind, rates: &Rates) -> Option<Excess> {
        let (n, span) = (self.open.len(), self.span());
        let factor = rates.nearest();
        let other = if factor + 1 < FACTORS.len() { factor + 1 } else { factor - 1 };
        let by = FACTORS[other] - FACTORS[factor];
        let costs = |factor| self.alive.costs(self.t, self.r, factor);
        let (costs, others) = (costs(factor), costs(other));
        let mut excess = Excess { memory: vec![[-1.0; KINDS]; n], errors: behind.errors };
        let (mut set, mut at) = (ways.enter.len() - 1, 0);
        loop {
            if let Some(b) = self.must.iter().position(|must| *must == k) {
                set &= !(1 << b);
            }
            let leaving = &ways.leaving[set][k * (span + 1)..][..span + 1];
            let (runs, shortest) = self.runs(k, at);
            let way = |more: &usize| ways.runs[runs.start + more] + leaving[at + shortest + more];
            let least = (0..runs.len()).min_by(|a, b| way(a).total_cmp(&way(b)));
            let more = least.filter(|more| way(more).is_finite())?;
            let (start, need) = self.runs[runs.start + more];
            let paid = |used: &usize| costs[start + used - need] + ways.prices[k][*used];
            let used = (need..=self.open[k].cells).min_by(|a, b| paid(a).total_cmp(&paid(b)))?;
            excess.memory[k].iter_mut().zip(self.open[k].parts.iter()).for_each(|(x, parts)| *x += parts[used]);
            excess.errors += f64::from(others[start + used - need] - costs[start + used - need]) / by;
            at += shortest + more;
            if at == span {
                return Some(excess);
            }
            let enter = &ways.enter[set][at * n..];
            let way = |onto: &(usize, f64)| onto.1 + enter[onto.0];
            k = self.onto(k, at - 1).iter().min_by(|a, b| way(a).total_cmp(&way(b)))?.0;
        }
    }

    /// The cheapest ways that begin a run on each server (layer × server), those after each layer on the open server
    /// `own`, in a run that began here, with so many cells left (layer × cells), and what that run pays for so many
    /// cells.
    pub fn tables(&self, own: usize, rates: &Rates) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (t, s, n, span) = (self.t, self.t.servers, self.open.len(), self.span());
        let mut ways = Ways::default();
        self.ways(rates, &mut ways);
        let Some(k) = self.open.iter().position(|o| o.server == own) else { return Default::default() };
        let mut enter = vec![f64::INFINITY; span * s];
        for (to, from) in enter.chunks_mut(s).zip(ways.enter.last().map_or(&[][..], Vec::as_slice).chunks(n)) {
            self.open.iter().zip(from).for_each(|(o, way)| to[o.server] = *way);
        }
        let (rows, prices) = (self.open[k].cells + 1, self.open[k].prices(rates));
        let leaving = ways.leaving.pop().unwrap_or_default();
        let mut tail = vec![f64::INFINITY; span * rows];
        for at in (0..span).rev() {
            let (now, after) = tail[at * rows..].split_at_mut(rows);
            let leaving = leaving[k * (span + 1) + at + 1];
            now.iter_mut().zip(prices.iter().rev()).for_each(|(way, run)| *way = leaving + run);
            if at + 1 == span {
                continue;
            }
            let l = self.from + at + 1;
            for (c, choice) in (t.starts[l]..).zip(t.choices(l)) {
                let units = usize::from(t.units[c * s + own]);
                if units >= rows || !fits_alone(t, l, own, choice) {
                    continue;
                }
                let cost =
                    self.r.computing(t, choice, own) + rates.factor() * self.r.quality[t.model[l]] * choice.quality;
                for (way, after) in now[units..].iter_mut().zip(&*after) {
                    let cost = cost + after;
                    *way = if cost < *way { cost } else { *way };
                }
            }
        }
        (enter, tail, prices)
    }
}

/// The least sum of two numbers at the same place.
fn least_sum(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 4;
    let lesser = |a: f32, b: f32| if b < a { b } else { a };
    let n = a.len().min(b.len());
    let (a, b) = (a[..n].chunks_exact(LANES), b[..n].chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a + b);
    let mut least = [f32::INFINITY; LANES];
    for (a, b) in a.zip(b) {
        least.iter_mut().zip(a.iter().zip(b)).for_each(|(least, (a, b))| *least = lesser(*least, a + b));
    }
    rest.chain(least).fold(f32::INFINITY, lesser)
}
