//! Progress of long work, on standard error, where that is a terminal.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::experiment::Progress;

/// A bar that shows itself where the work takes a while.
#[derive(Debug)]
pub(super) struct Bar {
    bar: ProgressBar,
    is_terminal: bool,
    begun: Instant,
    shown: AtomicBool,
}

impl Bar {
    /// What is done sooner needs no bar.
    const PATIENCE: Duration = Duration::from_millis(800);

    /// Counts `unit`s.
    pub fn new(unit: &str) -> Bar {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let style =
            ProgressStyle::with_template(&format!("{{bar:40}} {{human_pos}} of {{human_len}} {unit}, {{eta}} left"));
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Bar { bar, is_terminal: io::stderr().is_terminal(), begun: Instant::now(), shown: AtomicBool::new(false) }
    }

    /// Takes it away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Bar {
    fn expect(&self, more: u64) {
        self.bar.inc_length(more);
    }

    fn done(&self) {
        if !self.is_terminal {
            return;
        }
        self.bar.inc(1);
        if self.begun.elapsed() > Self::PATIENCE && !self.shown.swap(true, Ordering::Relaxed) {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }
}
