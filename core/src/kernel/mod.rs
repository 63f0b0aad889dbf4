//! Every kernel fact that varies or that a table can hold: versions, [`Rules`], limits, names of the user interface,
//! helper prototypes. Pure data: nothing here decides anything.
//!
//! Stands for `include/uapi/linux/bpf.h` and the tables of the verifier (6.1 … 7.3). A version is turned into [`Rules`]
//! here and nowhere else; every other room reads named fields.

pub mod limits;
mod rules;
mod uapi;

pub use rules::{BtfLayout, BtfRules, BtfSectionName, BtfTagFlag, KernelVersion, RangeModel, Rules, UnknownVersion};
pub use uapi::{MapType, ProgType, UnknownName};
