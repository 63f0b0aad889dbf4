//! Real, unmodified kernels in emulated guests: the ground truth.
//!
//! A [`Cache`] keeps [`Image`]s, a [`Pool`] keeps guests that run them. Programs go in, [`Answer`]s come out: verdict, log,
//! statistics, rewritten instructions, results of test runs, and what the kernel said meanwhile. The guest is QEMU without
//! network, disk or privileges; its only process is an agent of ours (`core/agent`), which reads programs from shared memory
//! ([`protocol`]) and hands them to the system call `bpf`.
//!
//! Left out: program types that need an attachment to run, kfuncs, maps of maps. A kernel that lacks something says so itself.
//!
//! Invariants: no program reaches the kernel of this machine. A guest that dies or hangs costs its own program alone, which
//! is tried again on fresh guests before that is believed. Nothing waits without a limit. Every guest starts from one
//! snapshot, so none knows what another has done.

mod answer;
mod cache;
mod cpio;
mod digest;
mod error;
mod facts;
mod fetch;
mod image;
mod log;
mod machine;
mod pool;
pub mod protocol;
mod qmp;
mod recording;
mod shared_file;
mod snapshot;
mod sources;
mod stale;
mod wire;

pub use answer::{Answer, HexBytes, Phase, RunAnswer, UnknownVerdict, Verdict};
pub use cache::Cache;
pub use error::GuestError;
pub use facts::{Facts, number_helpers};
pub use fetch::fetch;
pub use image::{Image, series_of};
pub use log::{Statistics, names_limit, reason, statistics};
pub use machine::{Accel, Clock, Machine};
pub use pool::{Kernel, Options, Pool, Tally};
pub use recording::{Entry, Recorder, Recording, headlines, settle};
pub use wire::{Ask, Jit, LogLevel, Runs, answers, encode as request};
