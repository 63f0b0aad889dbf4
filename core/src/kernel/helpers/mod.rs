//! Helpers: numbers, names, prototypes, and which program type may call which.
//!
//! Stands for the prototype tables and the `*_func_proto` functions (6.1 … 7.3), for a loader with all capabilities and a
//! program under a licence that is compatible with the GPL. Left out: prototypes with BTF objects, locks, timers
//! and dynptrs; such a helper is [`HelperLookup::Unmodelled`] by name. Invariant: a prototype's number and name agree with
//! the list of all helpers.

mod attach;
mod general;
mod menus;
mod names;
mod network;
mod proto;
mod sockets;
mod table;

pub use names::{helper_count, helper_id, helper_log_name, helper_name};
pub use proto::{
    Arg, ERRNO_MAX, HelperProto, MemAccess, MemArg, MemSize, Null, RegClass, Ret, RetRange, Traits, ret_range,
};

use super::ctx::ProgKind;
use super::{KernelVersion, ProgType, Rules, span::Span};
use menus::Entry;
pub(super) use names::id_of;

/// What a call of a helper is checked against.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HelperLookup {
    /// This prototype.
    Proto(&'static HelperProto),
    /// The helper, or the program type, is not modelled.
    Unmodelled(&'static str),
    /// The program type may not call the helper.
    NotAllowed,
    /// The version has no helper of that number.
    Invalid,
}

/// Looks a helper up as the verifier does at a call.
///
/// Kernel: `get_helper_proto` and the start of `check_helper_call` (6.1 … 7.3).
#[doc(alias = "get_helper_proto")]
#[doc(alias = "bpf_base_func_proto")]
pub fn lookup(id: i32, prog_type: ProgType, rules: &Rules) -> HelperLookup {
    let Some(name) = helper_name(id).filter(|_| id < helper_count(rules)) else {
        return HelperLookup::Invalid;
    };
    let Some(menu) = menus::of(prog_type) else {
        return HelperLookup::Unmodelled(name);
    };
    match menu.find(id, rules).map(|line| line.entry) {
        Some(Entry::Proto(proto)) => HelperLookup::Proto(proto),
        Some(Entry::Unmodelled) => HelperLookup::Unmodelled(name),
        Some(Entry::Withheld) | None => HelperLookup::NotAllowed,
    }
}

/// The same for a program that is loaded for an attach type.
///
/// Kernel: the conditions on `expected_attach_type` in the `*_func_proto` functions (6.1 … 7.3).
pub fn lookup_attached(id: i32, prog: ProgKind, rules: &Rules) -> HelperLookup {
    match lookup(id, prog.prog_type, rules) {
        HelperLookup::Proto(_) if !attach::allows(id, prog, rules) => HelperLookup::NotAllowed,
        found => found,
    }
}

/// The error number of every refusal below, as in errno.h: `EINVAL`.
pub const REFUSAL_ERRNO: i32 = 22;

impl HelperLookup {
    /// The line of the log that refuses the call, where it is refused; the load fails with [`REFUSAL_ERRNO`].
    pub fn refusal(self, id: i32, rules: &Rules) -> Option<String> {
        let name = helper_log_name(id, rules);
        match self {
            HelperLookup::Invalid => Some(format!("invalid func {name}#{id}")),
            HelperLookup::NotAllowed if Span::until(KernelVersion::V6_1).holds(rules.tables.helpers) => {
                Some(format!("unknown func {name}#{id}"))
            }
            HelperLookup::NotAllowed => Some(format!("program of this type cannot use helper {name}#{id}")),
            HelperLookup::Proto(_) | HelperLookup::Unmodelled(_) => None,
        }
    }
}

/// The line of the log that refuses a helper with [`Traits::MIGHT_SLEEP`] in a program that may not sleep; the load fails
/// with [`REFUSAL_ERRNO`].
pub fn sleep_refusal(proto: &HelperProto, rules: &Rules) -> String {
    if Span::until(KernelVersion::V6_18).holds(rules.tables.helpers) {
        "helper call might sleep in a non-sleepable prog".to_owned()
    } else {
        format!("sleepable helper bpf_{}#{} in non-sleepable prog", proto.name, proto.id)
    }
}

/// The line of the log that refuses to release what was not acquired; the load fails with [`REFUSAL_ERRNO`].
///
/// Kernel: the release case of `check_func_arg` (6.1 … 7.3).
pub fn release_refusal(proto: &HelperProto, reg: u8, rules: &Rules) -> String {
    if Span::until(KernelVersion::V6_18).holds(rules.tables.helpers) {
        format!("R{reg} must be referenced when passed to release function")
    } else {
        format!("release helper bpf_{} expects referenced PTR_TO_BTF_ID passed to R{reg}", proto.name)
    }
}

/// The line of the log that refuses a tail call through another map than an array of programs; the load fails with
/// [`REFUSAL_ERRNO`].
///
/// Kernel: `record_func_key` (6.1 … 7.3).
pub fn tail_call_refusal(rules: &Rules) -> &'static str {
    if Span::until(KernelVersion::V6_12).holds(rules.tables.helpers) {
        "kernel subsystem misconfigured verifier"
    } else {
        "expected prog array map for tail call"
    }
}

/// The numbers, as signed 32-bit ones, that `set_retval` may be given, where the verifier looks.
///
/// Kernel: the `set_retval` case of `check_helper_call` (7.3).
pub fn set_retval_range(prog: ProgKind, rules: &Rules) -> Option<(i32, i32)> {
    /// `BPF_CGROUP_GETSOCKOPT`, which may return anything.
    const GETSOCKOPT: u32 = 21;
    let any = prog.prog_type == ProgType::CgroupSockopt && prog.attach_type == GETSOCKOPT;
    (!any && Span::since(KernelVersion::V7_3).holds(rules.tables.helpers)).then_some((-(ERRNO_MAX as i32), 0))
}

#[cfg(test)]
mod tests;
