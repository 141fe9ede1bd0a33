//! Exported models read back: they allow the batches that the instance allows, and have its optimum.
//!
//! Each format has a small reader here that knows nothing of how the files are written.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here should stop the run")]

mod common;

use std::collections::{BTreeMap, HashMap};

use common::{Channel, Rng, largest_batch, random_instance};
use dftsp::export::{Format, Model};
use dftsp::instance::{Capacity, Columns, Instance, MAX_SUM};
use dftsp::solver::{Method, Solver};

/// A row: Σ coefficient · variable ≤ limit.
type Row = (BTreeMap<String, i128>, i128);

/// What a file says, in one form: maximise the objective under rows, all variables binary.
#[derive(Debug, Clone, Default, PartialEq)]
struct Read {
    objective: BTreeMap<String, i128>,
    rows: Vec<Row>,
    binaries: Vec<String>,
    /// The ids of x1, x2, …
    ids: Vec<String>,
}

impl Read {
    fn sorted(mut self) -> Self {
        self.rows.sort();
        self.binaries.sort();
        self
    }

    /// Which batches extend to a solution: one bit each for the subsets of the x.
    fn allowed(&self, n: usize) -> Vec<bool> {
        let names: Vec<String> = (1..=n).map(|i| format!("x{i}")).collect();
        let others = self.binaries.iter().filter(|name| !names.contains(name));
        let place: HashMap<&str, usize> = names.iter().chain(others).map(String::as_str).zip(0..).collect();
        assert_eq!(place.len(), self.binaries.len(), "every variable is declared once: {self:?}");
        let rows: Vec<(Vec<(usize, i128)>, i128)> = self
            .rows
            .iter()
            .map(|(terms, limit)| (terms.iter().map(|(name, &a)| (place[name.as_str()], a)).collect(), *limit))
            .collect();
        let holds = |point: usize| {
            rows.iter()
                .all(|(terms, limit)| terms.iter().map(|&(j, a)| a * (point >> j & 1) as i128).sum::<i128>() <= *limit)
        };
        let mut allowed = vec![false; 1 << n];
        (0..1usize << place.len())
            .filter(|&point| holds(point))
            .for_each(|point| allowed[point & ((1 << n) - 1)] = true);
        allowed
    }
}

/// The ids in comments of the form `c x12 "id"`.
fn ids(text: &str, comment: char) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(comment)?.strip_prefix(" x"));
    let named = lines.filter(|line| line.ends_with('"'));
    named
        .enumerate()
        .map(|(i, line)| {
            let (number, id) = line.split_once(' ').unwrap();
            assert_eq!(number, (i + 1).to_string());
            id.to_string()
        })
        .collect()
}

fn read_lp(text: &str) -> Read {
    assert!(text.lines().all(|line| line.len() < 255 && line.is_ascii()));
    let code: Vec<&str> = text.lines().map(|line| line.split('\\').next().unwrap()).collect();
    let code = code.join("\n");
    let (objective, rest) = code.trim().strip_prefix("Maximize\n size:").unwrap().split_once("Subject To\n").unwrap();
    let (rows, rest) = rest.split_once("Binary").unwrap();
    let binaries = rest.trim().strip_suffix("End").unwrap();
    let sum = |text: &str| {
        let (mut sign, mut coefficient, mut sum) = (1, 1, BTreeMap::new());
        for token in text.split_whitespace() {
            match token {
                "+" => sign = 1,
                "-" => sign = -1,
                _ if token.starts_with(char::is_alphabetic) => {
                    assert!(sum.insert(token.to_string(), sign * coefficient).is_none());
                    (sign, coefficient) = (1, 1);
                }
                _ => coefficient = token.parse::<i128>().unwrap(),
            }
        }
        sum
    };
    let mut read = Read { objective: sum(objective), ids: ids(text, '\\'), ..Read::default() };
    read.binaries = binaries.split_whitespace().map(String::from).collect();
    // A row begins with its name and ends with its limit.
    let mut row = String::new();
    for line in rows.lines() {
        row = row + " " + line;
        if let Some((left, limit)) = row.split_once("<=") {
            read.rows.push((sum(left.split_once(':').unwrap().1), limit.trim().parse().unwrap()));
            row.clear();
        }
    }
    assert!(row.trim().is_empty());
    read.sorted()
}

fn read_mps(text: &str) -> Read {
    let mut read = Read { ids: ids(text, '*'), ..Read::default() };
    let (mut section, mut integer) = ("", false);
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let mut declared = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('*')) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if !line.starts_with(' ') {
            section = fields[0];
            continue;
        }
        match (section, fields[..].to_vec().as_slice()) {
            ("ROWS", ["N", name]) => assert_eq!(*name, "size"),
            ("ROWS", ["L", name]) => assert!(rows.insert(name, Row::default()).is_none(), "{name} is there twice"),
            ("COLUMNS", ["MARKER", "'MARKER'", kind]) => integer = *kind == "'INTORG'",
            ("COLUMNS", [variable, row, a]) => {
                assert!(integer);
                // A column is in one piece.
                if declared.last() != Some(variable) {
                    assert!(!declared.contains(variable));
                    declared.push(variable);
                }
                let (a, name) = (a.parse::<i128>().unwrap(), variable.to_string());
                let twice = if *row == "size" {
                    read.objective.insert(name, -a)
                } else {
                    rows.get_mut(row).unwrap().0.insert(name, a)
                };
                assert_eq!(twice, None);
            }
            ("RHS", ["RHS", row, limit]) => rows.get_mut(row).unwrap().1 = limit.parse().unwrap(),
            ("BOUNDS", ["UP", "BND", variable, "1"]) => read.binaries.push(variable.to_string()),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(section, "ENDATA");
    read.rows = rows.into_values().collect();
    read.sorted()
}

fn read_opb(text: &str) -> Read {
    let numbers: Vec<usize> = text.lines().next().unwrap().split_whitespace().filter_map(|t| t.parse().ok()).collect();
    let read = Read { ids: ids(text, '*'), ..Read::default() };
    // Variables beyond the requests are y2, y3, … of the other formats.
    let name = |x: &str| {
        let number: usize = x.strip_prefix('x').unwrap().parse().unwrap();
        if number > read.ids.len() { format!("y{}", number - read.ids.len() + 1) } else { x.to_string() }
    };
    let sum = |tokens: &[&str]| {
        let (pairs, rest) = tokens.as_chunks::<2>();
        assert!(rest.is_empty() && !pairs.is_empty());
        // As maximisation and ≤.
        pairs.iter().map(|[a, x]| (name(x), -a.parse::<i128>().unwrap())).collect::<BTreeMap<_, _>>()
    };
    let (mut objective, mut rows) = (BTreeMap::new(), Vec::new());
    for line in text.lines().filter(|line| !line.starts_with('*')) {
        let tokens: Vec<&str> = line.strip_suffix(" ;").unwrap().split(' ').collect();
        match tokens.as_slice() {
            ["min:", terms @ ..] => objective = sum(terms),
            [terms @ .., ">=", limit] => rows.push((sum(terms), -limit.parse::<i128>().unwrap())),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(numbers[1], rows.len());
    let binaries = (1..=numbers[0]).map(|x| name(&format!("x{x}"))).collect();
    Read { objective, rows, binaries, ..read }.sorted()
}

type Reader = fn(&str) -> Read;

const READERS: [(Format, Reader); 3] = [(Format::Mps, read_mps), (Format::Lp, read_lp), (Format::Opb, read_opb)];

fn written(model: &Model<'_>, format: Format) -> String {
    let names: Vec<String> = (0..100).map(|i| format!("r{i}")).collect();
    let mut out = Vec::new();
    model.write(format, |request| &names[request as usize], &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// The one model that all three files hold.
fn read_all(instance: &Instance, bits: Option<u32>) -> Read {
    let model = Model::new(instance, bits).unwrap();
    let all = READERS.map(|(format, read)| read(&written(&model, format)));
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    let [read, ..] = all;
    let largest = read.rows.iter().flat_map(|(terms, limit)| terms.values().chain([limit])).map(|a| a.abs()).max();
    assert!(largest.unwrap_or(0) <= i128::from(model.largest()), "{read:?}");
    read
}

fn batch(mask: usize) -> Vec<u32> {
    (0..16).filter(|i| mask >> i & 1 == 1).collect()
}

#[test]
fn a_model_allows_what_the_instance_allows() {
    let rng = &mut Rng::new(31);
    for round in 0..1000 {
        let channel = rng.pick(&[Channel::Shared, Channel::Fading]);
        let instance = random_instance(rng, 7, channel);
        let read = read_all(&instance, None);
        let ids: Vec<String> = instance.columns().request.iter().map(|r| format!("\"r{r}\"")).collect();
        assert_eq!(read.ids, ids);
        let allowed = read.allowed(instance.len());
        for (mask, &allowed) in allowed.iter().enumerate() {
            assert_eq!(allowed, instance.is_feasible(&batch(mask)), "round {round}, {mask:b}: {instance:?} {read:?}");
        }
        assert!(read.objective.len() == instance.len() && read.objective.values().all(|&a| a == 1));
        let best = (0..allowed.len()).filter(|&mask| allowed[mask]).map(usize::count_ones).max().unwrap() as usize;
        assert_eq!(best, Solver::new(Method::Flat).solve(&instance).rows.len());
        assert_eq!(best, largest_batch(&instance));
    }
}

#[test]
fn a_coarse_model_allows_a_part_and_keeps_its_bits() {
    let rng = &mut Rng::new(32);
    let (mut kept, mut feasible) = (0, 0);
    for _ in 0..300 {
        let instance = random_instance(rng, 7, Channel::Fading);
        for bits in [1, 3, 6, 64] {
            let read = read_all(&instance, Some(bits));
            for (mask, &allowed) in read.allowed(instance.len()).iter().enumerate() {
                let fits = instance.is_feasible(&batch(mask));
                assert!(fits || !allowed, "{bits} bits, {mask:b}: {instance:?} {read:?}");
                assert!(allowed || !fits || bits < 64);
                if bits == 6 {
                    (kept, feasible) = (kept + usize::from(allowed), feasible + usize::from(fits));
                }
            }
            // A limit that would keep no batch out may be above by one for each row.
            let most = (1u128 << bits) + instance.len() as u128;
            assert!(bits == 64 || u128::from(Model::new(&instance, Some(bits)).unwrap().largest()) <= most);
        }
    }
    assert!(kept * 10 > feasible * 9 && kept < feasible, "{kept} of {feasible}");
}

fn instance(costs: &[[u64; 5]], capacity: u64) -> Instance {
    let column = |r: usize| costs.iter().map(|row| row[r]).collect::<Vec<u64>>();
    let columns = Columns {
        request: (0..costs.len() as u32).collect(),
        uplink: column(0),
        downlink: column(1),
        kv_tokens: column(2),
        compute: column(3),
        budget: column(4),
        arrival: vec![0; costs.len()],
    };
    Instance::new(columns, Capacity { uplink: capacity, downlink: capacity, kv_tokens: capacity }).unwrap()
}

#[test]
fn edges_are_valid_files() {
    let big = MAX_SUM / 2;
    let cases = [
        instance(&[], 0),
        instance(&[[1, 1, 1, 1, 1]], 1),
        instance(&[[0, 0, 0, 0, 0]], 0),
        instance(&[[0, 0, 0, 0, 0], [0, 0, 0, 0, 0]], 0),
        instance(&[[big, big, big, big, big], [big, big, big, big, big - 1]], big),
        instance(&[[big, big, big, big, big], [big, big, big, big, u64::MAX]], u64::MAX),
        instance(&[[0, 0, 0, 3, 4], [0, 0, 0, 0, 0], [0, 0, 0, 3, 7], [0, 0, 0, 3, 8]], 0),
    ];
    for instance in cases {
        for bits in [None, Some(1), Some(20), Some(62)] {
            let read = read_all(&instance, bits);
            for (mask, allowed) in read.allowed(instance.len()).into_iter().enumerate() {
                let fits = instance.is_feasible(&batch(mask));
                assert!(if bits.is_none() { allowed == fits } else { fits || !allowed }, "{mask:b} {read:?}");
            }
        }
    }
}

#[test]
fn rows_are_divided_by_their_common_divisor_and_left_out_where_all_fit() {
    // Two compute budgets of the same multiple of 6 are one run; a third is above all costs.
    let rows = [[9, 1, 0, 12, 13], [6, 1, 0, 6, 17], [6, 1, 0, 18, u64::MAX]];
    let instance = instance(&rows, 13);
    let text = written(&Model::new(&instance, None).unwrap(), Format::Lp);
    let body = "Maximize
 size: x1 + x2 + x3
Subject To
 uplink: 3 x1 + 2 x2 + 2 x3 <= 4
 compute: 2 x1 + x2 + 3 x3 + 4 y2 <= 6
 tight1: x1 - y2 <= 0
 tight2: x2 - y2 <= 0
Binary
 x1 x2 x3 y2
End
";
    let (header, found) = text.split_at(text.find("Maximize").unwrap());
    assert_eq!(found, body);
    assert_eq!(
        header,
        "\\ dftsp export: the largest batch of requests that fits (P1)
\\ rows: uplink compute
\\ unit of uplink: 3
\\ unit of compute: 6
\\ y2 to y2: the batch's tightest budget is at most the 2nd, 3rd, ...
\\ x1 to x3: in the batch is the request
\\ x1 \"r0\"
\\ x2 \"r1\"
\\ x3 \"r2\"
"
    );
}

#[test]
fn large_numbers_are_named_in_the_header() {
    for (cost, edge) in [(1, None), (500_000_000, Some("above 10^9")), ((1 << 53) - 1, Some("above 2^53"))] {
        let instance = instance(&[[cost, 0, 0, 0, 0], [cost - 1, 0, 0, 0, 0], [2 * cost, 0, 0, 0, 0]], 2 * cost);
        let model = Model::new(&instance, None).unwrap();
        assert_eq!(model.caution().is_some(), edge.is_some());
        for format in Format::ALL {
            let text = written(&model, format);
            assert_eq!(text.contains("caution: numbers reach"), edge.is_some());
            assert!(edge.is_none_or(|edge| text.contains(edge)), "{text}");
        }
        assert_eq!(Model::new(&instance, Some(20)).unwrap().caution(), None);
    }
}

#[test]
fn no_id_breaks_a_file() {
    let instance = instance(&[[1, 1, 1, 1, 1], [1, 1, 1, 1, 2]], 1);
    let model = Model::new(&instance, None).unwrap();
    let nasty = ["a\nSubject To\r\n x1 >= 3 \u{2028}\u{85}\0;", "\\ \" * é \u{1f600} 'MARKER'"];
    for (format, read) in READERS {
        let mut out = Vec::new();
        model.write(format, |request| nasty[request as usize], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.is_ascii() && text.chars().all(|c| c == '\n' || !c.is_control()), "{text}");
        let plain = read(&written(&model, format));
        let found = read(&text);
        assert_eq!(Read { ids: plain.ids.clone(), ..found.clone() }, plain);
        assert_eq!(found.ids[0], r#""a\u000aSubject To\u000d\u000a x1 >= 3 \u2028\u0085\u0000;""#);
        assert_eq!(found.ids[1], r#""\\ \" * \u00e9 \ud83d\ude00 'MARKER'""#);
    }
}
