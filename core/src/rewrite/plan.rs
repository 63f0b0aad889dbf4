//! The plan of loop inlining: which calls become loops, with which callback, on which slots. Pure data, so that a
//! planted fault can edit a plan before it is emitted.

use crate::isa::InsnIdx;
use crate::kernel::limits::LOOP_SPILL_BYTES;
use crate::program::SubprogIdx;
use crate::verifier::{Facts, SiteState};

/// One call of `bpf_loop` that becomes a loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoopInlining {
    /// The call in the original program.
    pub site: InsnIdx,
    /// The callback, by its number in the original program.
    pub callback: SubprogIdx,
    /// Offset from R10 of the lowest of the three eight-byte slots, negative.
    pub spill_base: i16,
}

/// Everything that is decided before the first instruction is written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// The loops, by ascending site; each site once.
    pub loops: Vec<LoopInlining>,
    /// Bytes by which each subprogram's stack grows, by original number; 0 where no loop is inlined.
    pub extra_stack: Vec<u16>,
}

impl Plan {
    /// Decides from what the verifier learnt. All loops of a subprogram share the same slots below its own stack, so
    /// its depth grows once: by 24 bytes and what aligns the depth to 8.
    ///
    /// Kernel: `optimize_bpf_loop` (6.1 … 7.3), the deciding half.
    #[doc(alias = "optimize_bpf_loop")]
    pub fn of(facts: &Facts) -> Plan {
        let mut plan = Plan { loops: Vec::new(), extra_stack: vec![0; facts.layout.len()] };
        for site in &facts.loops {
            let SiteState::Fit(callback) = site.state else {
                continue;
            };
            let depth = facts.depth_left(site.subprog);
            let extra = LOOP_SPILL_BYTES as u16 + depth.wrapping_neg() % 8;
            if let Some(slot) = plan.extra_stack.get_mut(site.subprog.at()) {
                *slot = extra;
            }
            let bytes = i32::from(depth) + i32::from(extra);
            let spill_base = i16::try_from(-bytes).unwrap_or(i16::MIN);
            plan.loops.push(LoopInlining { site: site.insn, callback, spill_base });
        }
        plan.loops.sort_by_key(|l| l.site);
        plan.loops.dedup_by_key(|l| l.site);
        plan
    }
}
