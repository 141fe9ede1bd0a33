//! The program end to end: exit status, standard output, standard error and files.
//!
//! Wrong usage and input end with status 2, one line on standard error that says where and what, nothing on standard
//! output and no file.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure here should stop the run")]

mod bad_input;
mod compare;
#[cfg(target_os = "linux")]
mod endless;
mod explain;
mod export;
mod generate;
mod outputs;
mod place;
mod quantization;
mod reproduce;
mod simulate;
mod solutions;
mod support;
mod sweep;
mod traces;
mod weights;
