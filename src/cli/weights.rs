//! `dftsp weights`.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::ValueEnum;
use rayon::ThreadPoolBuilder;

use super::outputs::{Outputs, distinct};
use crate::error::{Error, Place, quote};
use crate::quantizer::cache::Cache;
use crate::quantizer::calibration::{Calibration, Recorded};
use crate::quantizer::checkpoint::{Config, Identity};
use crate::quantizer::grid::Symmetry;
use crate::quantizer::layers::Layers;
use crate::quantizer::{Checkpoint, Granularity, Scheme, Settings, Source, Synthetic, Table};
use crate::report::weights::{About, to_json, to_text, to_toml};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A table for people.
    Text,
    /// The same for programs.
    Json,
    /// The `[[layer]]` blocks of a placement problem.
    Toml,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemeName {
    /// Chosen for each layer by its weights.
    Auto,
    /// Levels on both sides of 0, which is one of them.
    Symmetric,
    /// Levels from the smallest weight up.
    Asymmetric,
}

/// Options of `dftsp weights`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A folder with safetensors files, an index, or one file.
    #[arg(long, value_name = "PATH", conflicts_with = "synthetic")]
    model: Option<PathBuf>,
    /// Seeded synthetic weights of this model preset instead, such as opt-350m.
    #[arg(long, value_name = "MODEL")]
    synthetic: Option<String>,
    /// Seed of synthetic weights and activations.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Widths: 2 to 16, or 32.
    #[arg(long, value_name = "BITS,..", default_value = "2,3,4,8,16")]
    bits: String,
    /// Which weights share a grid: tensor, channel, group-32, group-64 or group-128.
    #[arg(long, value_name = "GRANULARITY", default_value = "group-128")]
    granularity: String,
    /// Levels around zero.
    #[arg(long, value_enum, default_value_t = SchemeName::Auto)]
    scheme: SchemeName,
    /// Compare outputs, on the activations of this safetensors file, or on Gaussian ones ("synthetic").
    #[arg(long, value_name = "PATH")]
    calibration: Option<PathBuf>,
    /// How the table is printed.
    #[arg(long, value_enum, default_value_t = Form::Text)]
    format: Form,
    /// Write the table to a file instead of standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Threads at most; without it, one for each core. The result never depends on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    threads: Option<u32>,
    /// Keep the table in this folder instead of beside the weights.
    #[arg(long, value_name = "FOLDER", conflicts_with = "no_cache")]
    cache: Option<PathBuf>,
    /// Neither use nor keep a table.
    #[arg(long)]
    no_cache: bool,
}

pub(super) fn run(args: &Args) -> Result<ExitCode> {
    let scheme = match args.scheme {
        SchemeName::Auto => Scheme::Auto,
        SchemeName::Symmetric => Scheme::Always(Symmetry::Symmetric),
        SchemeName::Asymmetric => Scheme::Always(Symmetry::Asymmetric),
    };
    let settings = Settings::new(parse_bits(&args.bits)?, args.granularity.parse::<Granularity>()?, scheme)?;
    let Weights { source, folder, identity, config, mut about, files } = args.weights()?;
    let calibration = args.calibration(&mut about)?;
    for file in &files {
        distinct(&[("--model", Some(file)), ("--output", args.output.as_deref())])?;
    }
    if let Some(Calibration::File(recorded)) = &calibration {
        for file in recorded.paths() {
            distinct(&[("--calibration", Some(file)), ("--output", args.output.as_deref())])?;
        }
    }
    let layers = Layers::of(source.as_ref(), config.as_ref())?;
    let folder = args.cache.clone().or(folder).filter(|_| !args.no_cache);
    let cache = folder.map(|folder| Cache::new(&folder, &identity, &settings, calibration.as_ref()));
    let mut output = Outputs::open(&[("--output", args.output.as_deref())])?;
    let kept = cache.as_ref().and_then(|cache| cache.load(&layers, &settings));
    let table = match kept {
        Some(table) => table,
        None => {
            let threads = args.threads.map_or(0, |n| n as usize);
            let pool = ThreadPoolBuilder::new().num_threads(threads).build();
            let pool = pool.map_err(|e| Error::Threads { threads, source: e.into() })?;
            let table = pool.install(|| Table::measure(source.as_ref(), &layers, &settings, calibration.as_ref()))?;
            if let Some(Err(e)) = cache.map(|cache| cache.store(&table)) {
                // The table is as good without; only the next run takes as long again.
                let why = match &args.cache {
                    Some(folder) if !folder.is_dir() => {
                        format!("--cache: there is no folder {}; make it, or give another one", folder.display())
                    }
                    Some(_) => format!("{e}; give another --cache FOLDER, or --no-cache"),
                    None => format!("{e}; give --cache FOLDER, or --no-cache"),
                };
                let _ = writeln!(io::stderr(), "{}", super::one_line(&format!("dftsp: the table is not kept: {why}")));
            }
            table
        }
    };
    let result = match args.format {
        Form::Text => to_text(&about, &layers, &settings, &table),
        Form::Json => to_json(&about, &layers, &settings, &table),
        Form::Toml => to_toml(&about, &layers, &settings, &table),
    };
    if args.output.is_none() {
        super::print(&result)?;
    }
    output.write("--output", || result)?;
    output.commit()?;
    Ok(ExitCode::SUCCESS)
}

/// Weights, and what is known of them.
struct Weights {
    source: Box<dyn Source>,
    /// Where a table of them is kept.
    folder: Option<PathBuf>,
    identity: Vec<Identity>,
    config: Option<Config>,
    about: About,
    /// What must not be written over.
    files: Vec<PathBuf>,
}

impl Args {
    fn weights(&self) -> Result<Weights> {
        let mut about = About::default();
        let Some(path) = &self.model else {
            let name = self.synthetic.as_deref().ok_or_else(|| {
                Place::file("--model")
                    .error("no weights are given", "give --model PATH, or --synthetic MODEL, such as opt-350m")
            })?;
            let weights = Synthetic::named(name, self.seed)?;
            about.weights = weights.describe();
            about.synthetic = true;
            let header = String::new();
            let identity = vec![Identity { file: weights.describe(), size: 0, modified_ns: 0, header }];
            return Ok(Weights {
                source: Box::new(weights),
                folder: None,
                identity,
                config: None,
                about,
                files: vec![],
            });
        };
        let weights = Checkpoint::open(path)?;
        about.weights = path.display().to_string();
        let config = weights.config().unwrap_or_else(|e| {
            about.notes.push(format!("config.json is not used: {e}"));
            None
        });
        if let Some(Config { model: Err(why), tied }) = &config {
            let used = if tied.is_some() {
                "only tie_word_embeddings of config.json is used"
            } else {
                "config.json is not used"
            };
            about.notes.push(format!("{used}: {why}"));
        }
        let (folder, identity) = (Some(weights.folder().to_path_buf()), weights.identity().to_vec());
        let files = weights.paths().map(Path::to_path_buf).chain([weights.folder().join("config.json")]).collect();
        Ok(Weights { source: Box::new(weights), folder, identity, config, about, files })
    }

    fn calibration(&self, about: &mut About) -> Result<Option<Calibration>> {
        let Some(path) = &self.calibration else { return Ok(None) };
        if path.as_os_str() == "synthetic" {
            about.activations = Some(format!("synthetic, 32 Gaussian tokens (seed {})", self.seed));
            about.synthetic_activations = true;
            return Ok(Some(Calibration::Synthetic(self.seed)));
        }
        about.activations = Some(path.display().to_string());
        Ok(Some(Calibration::File(Recorded::new(Checkpoint::open(path)?))))
    }
}

fn parse_bits(text: &str) -> Result<Vec<u32>> {
    let one = |item: &str| {
        let item = item.trim();
        let error = || {
            let problem = format!("{} is no width", quote(item.as_bytes()));
            Place::file("--bits").error(problem, "give 2 to 16, or 32, such as 2,3,4,8,16")
        };
        Ok(item.parse().map_err(|_| error())?)
    };
    text.split(',').map(one).collect()
}
