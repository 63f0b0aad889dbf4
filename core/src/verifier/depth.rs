//! How much stack chains of calls use together.
//!
//! Stands for `check_max_stack_depth`, `check_max_stack_depth_subprog`, `bpf_enable_priv_stack` (6.1 … 7.3): a walk over calls and
//! function references as they stand in the program, dead ones included. Invariant: the chain of callers is a stack here,
//! so the walk ends at the limit of frames and does not recurse.

use super::structure::Structure;
use super::walker::{Check, Stop, SubprogFacts};
use crate::btf::Linkage;
use crate::isa::InsnIdx;
use crate::kernel::limits::STACK_BYTES_MAX;
use crate::kernel::{LeavesCallback, PrivateStack, ProgType, Rules, StackRounding};
use crate::program::{SubprogIdx, subprog_target};

/// Bytes from which a subprogram gets a stack of its own, where there are private stacks.
#[doc(alias = "BPF_PRIV_STACK_MIN_SIZE")]
const PRIVATE_BYTES_MIN: u32 = 64;
/// Bytes of frames below which a subprogram may make tail calls.
const TAIL_CALL_BYTES_MAX: u32 = 256;
/// Calls that are followed before the program is refused as too complex for this model.
const CALLS_MAX: u32 = 1 << 22;

/// One caller on the chain.
struct Caller {
    subprog: SubprogIdx,
    resume: InsnIdx,
    frame: usize,
    bytes: u32,
}

/// Checks every chain of calls from main.
///
/// Kernel: `check_max_stack_depth` (6.1 … 7.3).
#[doc(alias = "check_max_stack_depth")]
pub(super) fn check(
    structure: &Structure,
    facts: &[SubprogFacts],
    depths: &[u16],
    prog_type: ProgType,
    rules: &Rules,
) -> Check {
    let walk = Walk { structure, facts, depths, rules, private: has_private_stack(structure, prog_type, rules) };
    walk.run()
}

/// Kernel: `bpf_enable_priv_stack` (6.13 … 7.3).
#[doc(alias = "bpf_enable_priv_stack")]
fn has_private_stack(structure: &Structure, prog_type: ProgType, rules: &Rules) -> bool {
    let tracing =
        matches!(prog_type, ProgType::Kprobe | ProgType::Tracepoint | ProgType::PerfEvent | ProgType::RawTracepoint);
    rules.walk.private_stack == PrivateStack::ForTracing
        && tracing
        && !structure.subprogs.iter().any(|s| s.has_tail_call)
}

struct Walk<'a> {
    structure: &'a Structure,
    facts: &'a [SubprogFacts],
    /// Use of the stack by subprogram, in bytes, without spills that will be removed.
    depths: &'a [u16],
    rules: &'a Rules,
    private: bool,
}

impl Walk<'_> {
    fn run(&self) -> Check {
        let mut chain: Vec<Caller> = Vec::new();
        let mut subprog = SubprogIdx::MAIN;
        let mut frame = 0;
        let mut shared = 0;
        let mut at = self.structure.layout.start(subprog);
        let mut entering = true;
        let mut calls = 0;
        loop {
            if entering {
                self.check_chain(&chain, subprog, shared)?;
                let own = self.cost(subprog);
                shared += own;
                if self.is_private(subprog) {
                    shared -= own;
                    if own > STACK_BYTES_MAX {
                        let text = format!("stack size of subprog {} is {own}. Too large", subprog.0);
                        return Err(Stop::access(text));
                    }
                } else if shared > STACK_BYTES_MAX {
                    let text = format!("combined stack size of {} calls is {shared}. Too large", chain.len() + 1);
                    return Err(Stop::access(text));
                }
                entering = false;
            }
            if let Some((next, target)) = self.next_call(subprog, at) {
                calls += 1;
                if calls > CALLS_MAX {
                    return Err(Stop::unsupported("call graph with more than 4 million chains"));
                }
                chain.push(Caller { subprog, resume: next, frame, bytes: shared });
                subprog = target;
                let restarts = self.rules.walk.leaves_callback == LeavesCallback::Refused && self.is_global(target);
                frame = if restarts { 0 } else { frame + 1 };
                if frame >= self.rules.walk.frames_max {
                    return Err(Stop::too_big(format!("the call stack of {frame} frames is too deep !")));
                }
                at = self.structure.layout.start(target);
                entering = true;
                continue;
            }
            self.check_tail_call(&chain, subprog)?;
            let Some(caller) = chain.pop() else { return Ok(()) };
            (subprog, at, frame, shared) = (caller.subprog, caller.resume, caller.frame, caller.bytes);
        }
    }

    /// What may not stand below a callback or deep in a chain.
    fn check_chain(&self, chain: &[Caller], subprog: SubprogIdx, shared: u32) -> Check {
        let info = &self.structure.subprogs[subprog.at()];
        let refused = self.rules.walk.leaves_callback == LeavesCallback::Refused;
        if refused && info.has_ld_abs && self.below_callback(chain, subprog) {
            return Err(Stop::invalid("cannot use BPF_LD_[ABS|IND] within callback"));
        }
        if subprog.at() > 0 && info.has_tail_call && shared >= TAIL_CALL_BYTES_MAX {
            let text =
                format!("tail_calls are not allowed when call stack of previous frames is {shared} bytes. Too large");
            return Err(Stop::access(text));
        }
        Ok(())
    }

    fn check_tail_call(&self, chain: &[Caller], subprog: SubprogIdx) -> Check {
        let refused = self.rules.walk.leaves_callback == LeavesCallback::Refused;
        if refused && self.structure.subprogs[subprog.at()].has_tail_call && self.below_callback(chain, subprog) {
            return Err(Stop::invalid("cannot tail call within callback"));
        }
        Ok(())
    }

    fn below_callback(&self, chain: &[Caller], subprog: SubprogIdx) -> bool {
        let mut subprogs = chain.iter().map(|c| c.subprog).chain([subprog]);
        subprogs.any(|s| self.facts[s.at()].is_callback)
    }

    fn is_global(&self, subprog: SubprogIdx) -> bool {
        self.structure.subprogs[subprog.at()].linkage == Some(Linkage::Global)
    }

    fn is_private(&self, subprog: SubprogIdx) -> bool {
        self.private && self.cost(subprog) >= PRIVATE_BYTES_MIN
    }

    /// Kernel: `round_up_stack_depth` (6.8 … 7.3).
    #[doc(alias = "round_up_stack_depth")]
    fn cost(&self, subprog: SubprogIdx) -> u32 {
        let depth = u32::from(self.depths[subprog.at()]);
        match self.rules.walk.stack_rounding {
            StackRounding::To32 => depth.max(1).next_multiple_of(32),
            StackRounding::To16 => depth.next_multiple_of(16),
        }
    }

    /// The next call or function reference of a subprogram from `at` on: where to go on, and what is called.
    fn next_call(&self, subprog: SubprogIdx, at: InsnIdx) -> Option<(InsnIdx, SubprogIdx)> {
        let end = self.structure.layout.end(subprog);
        (at.0..end.0).map(InsnIdx).find_map(|i| {
            let op = self.structure.ops.get(i.at())?.as_ref()?;
            let target = self.structure.layout.starting(subprog_target(i, op)?)?;
            Some((i.next(), target))
        })
    }
}
