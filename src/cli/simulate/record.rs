//! Where a run goes: rows as it happens, a bar on a terminal, and a folder of reports.

use std::fs;
use std::io::Write;
use std::path::{self, Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::cli::folder::Folder;
use crate::cli::progress::Bar;
use crate::error::{Error, Place, Result, quote};
use crate::experiment::Progress;
use crate::files::write::Output;
use crate::report::simulation::{PLOTS, csv};
use crate::simulation::{EpochRecord, Observer, RequestRecord};
use crate::solver::Method;

/// The files of a folder. Dropped before they are written, they and the folder, if it is new, are gone.
pub(super) struct Files {
    /// Dropped first: the folder is empty then.
    reports: Vec<(String, Output)>,
    rows: Vec<[Output; 2]>,
    folder: Folder,
    path: PathBuf,
    /// Of an earlier run, perhaps.
    stale: Vec<String>,
}

/// The tables of a scheduler.
fn tables(scheduler: &str) -> [String; 2] {
    ["epochs", "requests"].map(|what| format!("{what}-{scheduler}.csv"))
}

/// Refuses to write the report to where one of the folder's files goes, which it would replace or be replaced by.
pub(super) fn check_apart(folder: &Path, output: &Path, reports: &[&str], schedulers: &[&str]) -> Result<()> {
    // The folder may not be there yet, nor the file.
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| absolute(path));
    let place = |path: &Path| match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !path.exists() => {
            real(if parent.as_os_str().is_empty() { Path::new(".") } else { parent }).join(name)
        }
        _ => real(path),
    };
    let tables: Vec<String> = schedulers.iter().flat_map(|name| tables(name)).collect();
    let mut names = reports.iter().copied().chain(tables.iter().map(String::as_str));
    match names.find(|name| place(&folder.join(name)) == place(output)) {
        Some(name) => {
            let problem = format!("{} is {name} of --out", quote(output.display().to_string().as_bytes()));
            Err(Place::file("--output").error(problem, "give another file"))
        }
        None => Ok(()),
    }
}

/// From the root, without "." and without "..", as far as names tell.
fn absolute(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            part => out.push(part),
        }
    }
    out
}

impl Files {
    /// Opens them all: what cannot be written after the run cannot be opened before it.
    pub(super) fn create(path: &Path, reports: &[&str], schedulers: &[&str]) -> Result<Files> {
        let folder = Folder::create(path)?;
        let open = |name: String| Ok((name.clone(), Output::create(&path.join(name))?));
        let opened = reports.iter().map(|name| open((*name).to_string())).collect::<Result<Vec<_>>>()?;
        let rows = |name: &&str| {
            let [epochs, requests] = tables(name).map(|name| Output::create(&path.join(name)));
            Ok([epochs?, requests?])
        };
        let rows = schedulers.iter().map(rows).collect::<Result<Vec<_>>>()?;
        let others = Method::ALL.map(Method::name).into_iter().filter(|name| !schedulers.contains(name));
        let mut stale: Vec<String> = others.flat_map(tables).collect();
        stale.extend(PLOTS.iter().filter(|name| !reports.contains(name)).map(|name| (*name).to_string()));
        Ok(Files { reports: opened, rows, folder, path: path.to_path_buf(), stale })
    }

    /// The rows of each scheduler.
    pub(super) fn take_rows(&mut self) -> Vec<[Output; 2]> {
        std::mem::take(&mut self.rows)
    }

    /// Writes everything to its end: `rows` as they are, and each report with the text that `content` has for it.
    pub(super) fn write(&mut self, rows: Vec<[Output; 2]>, content: impl Fn(&str) -> String) -> Result<()> {
        self.rows = rows;
        for (name, output) in &mut self.reports {
            output.write_all(content(name).as_bytes()).map_err(|e| output.write_error(e))?;
        }
        let reports = self.reports.iter_mut().map(|(_, output)| output);
        for output in self.rows.iter_mut().flatten().chain(reports) {
            output.flush().map_err(|e| output.write_error(e))?;
        }
        Ok(())
    }

    /// Makes everything appear, and what an earlier run wrote of other schedulers disappear: it would be taken for part
    /// of this one.
    pub(super) fn commit(self) -> Result<()> {
        // What is named first is dropped last.
        let Files { folder, reports, rows, path, stale } = self;
        let reports = reports.into_iter().map(|(_, output)| output);
        rows.into_iter().flatten().chain(reports).try_for_each(Output::commit)?;
        folder.keep();
        for name in stale {
            let path = path.join(name);
            // A folder or a device of that name is none of this program's files.
            if fs::symlink_metadata(&path).is_ok_and(|found| found.is_file()) {
                let fail = |source| Error::Io { path: path.display().to_string(), action: "remove", source };
                fs::remove_file(&path).map_err(fail)?;
            }
        }
        Ok(())
    }
}

/// Epochs done of all schedulers.
pub(super) struct Epochs {
    bar: Bar,
    /// Of each scheduler; what comes after the last arrival is not counted.
    epochs: u64,
}

impl Epochs {
    pub(super) fn new(epochs: u64, schedulers: usize) -> Epochs {
        let bar = Bar::new("epochs");
        bar.expect(epochs.saturating_mul(schedulers as u64));
        Epochs { bar, epochs }
    }

    fn tell(&self, record: &EpochRecord) {
        if record.node == 0 && record.epoch <= self.epochs {
            self.bar.done();
        }
    }

    pub(super) fn end(&self) {
        self.bar.finish();
    }
}

/// Writes what happens, tells how far it is, and stops where another run failed.
pub(super) struct Recorder<'r> {
    rows: Option<[Output; 2]>,
    line: String,
    requests: &'r csv::Requests,
    progress: &'r Epochs,
    failed: &'r AtomicBool,
    /// Whether it stopped for that reason.
    stopped: bool,
}

impl<'r> Recorder<'r> {
    /// With the files of epochs and of requests, if they are wanted.
    pub(super) fn new(
        rows: Option<[Output; 2]>,
        requests: &'r csv::Requests,
        progress: &'r Epochs,
        failed: &'r AtomicBool,
    ) -> Result<Self> {
        let mut recorder = Recorder { rows, line: String::new(), requests, progress, failed, stopped: false };
        for (file, header) in [csv::EPOCHS, csv::REQUESTS].into_iter().enumerate() {
            recorder.line.push_str(header);
            recorder.put(file)?;
        }
        Ok(recorder)
    }

    /// The files, written to the end.
    pub(super) fn finish(self) -> Option<[Output; 2]> {
        self.rows
    }

    /// Whether the run ended because another one failed.
    pub(super) fn was_stopped(&self) -> bool {
        self.stopped
    }

    /// Writes the line that is ready.
    fn put(&mut self, file: usize) -> Result<()> {
        if let Some(rows) = &mut self.rows {
            let output = &mut rows[file];
            output.write_all(self.line.as_bytes()).map_err(|e| output.write_error(e))?;
        }
        self.line.clear();
        Ok(())
    }
}

impl Observer for Recorder<'_> {
    fn epoch(&mut self, record: &EpochRecord) -> Result<()> {
        if self.failed.load(Ordering::Relaxed) {
            self.stopped = true;
            return Err(Error::Schedule("another run failed".to_string()));
        }
        self.progress.tell(record);
        if self.rows.is_some() {
            csv::epoch(&mut self.line, record);
            self.put(0)?;
        }
        Ok(())
    }

    fn request(&mut self, record: &RequestRecord) -> Result<()> {
        if self.rows.is_some() {
            self.requests.row(&mut self.line, record);
            self.put(1)?;
        }
        Ok(())
    }
}
