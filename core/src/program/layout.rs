//! Where the subprograms of a program lie.

use super::Program;
use crate::isa::{Imm64, InsnIdx, Op, decode, opcode};
use std::collections::BTreeSet;

/// The number of a subprogram, in order of its first instruction; 0 is main.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct SubprogIdx(pub u16);

impl SubprogIdx {
    /// Main.
    pub const MAIN: SubprogIdx = SubprogIdx(0);

    /// The number as a `usize`, to look into a slice by subprogram.
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// First instructions of the subprograms, ascending; every target of a local call or function reference starts one.
///
/// Kernel: `add_subprog_and_kfunc` (6.1 … 7.3), without its checks: a target outside of the program is left out here
/// and refused by the verifier's structure pass.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layout {
    starts: Vec<InsnIdx>,
    end: InsnIdx,
}

impl Layout {
    /// Finds the subprograms of a program.
    pub fn of(program: &Program) -> Layout {
        let end = InsnIdx(program.insns.len() as u32);
        let mut starts = BTreeSet::from([InsnIdx(0)]);
        let mut at = InsnIdx(0);
        while let Some(insn) = program.insn(at) {
            let op = decode(insn, program.insn(at.next()));
            if let Ok(op) = op
                && let Some(target) = subprog_target(at, &op)
                && target < end
            {
                starts.insert(target);
            }
            at = InsnIdx(at.0 + if insn.code == opcode::LD_IMM64 { 2 } else { 1 });
        }
        Layout { starts: starts.into_iter().collect(), end }
    }

    /// A layout from known starts (ascending, the first one 0) and the program's length.
    pub fn from_starts(starts: Vec<InsnIdx>, end: InsnIdx) -> Layout {
        Layout { starts, end }
    }

    /// How many subprograms there are, main included.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// False: main is always there.
    pub fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// First instructions, by subprogram.
    pub fn starts(&self) -> &[InsnIdx] {
        &self.starts
    }

    /// First instruction of a subprogram.
    pub fn start(&self, subprog: SubprogIdx) -> InsnIdx {
        self.starts.get(subprog.at()).copied().unwrap_or(self.end)
    }

    /// The index after the last instruction of a subprogram.
    pub fn end(&self, subprog: SubprogIdx) -> InsnIdx {
        self.starts.get(subprog.at() + 1).copied().unwrap_or(self.end)
    }

    /// The subprogram that holds an instruction.
    pub fn containing(&self, at: InsnIdx) -> SubprogIdx {
        SubprogIdx(self.starts.partition_point(|s| *s <= at).saturating_sub(1) as u16)
    }

    /// The subprogram that starts exactly at `at`.
    #[doc(alias = "find_subprog")]
    pub fn starting(&self, at: InsnIdx) -> Option<SubprogIdx> {
        self.starts.binary_search(&at).ok().map(|n| SubprogIdx(n as u16))
    }
}

/// The first instruction of the subprogram that the operation at `at` calls or refers to.
pub fn subprog_target(at: InsnIdx, op: &Op) -> Option<InsnIdx> {
    match *op {
        Op::CallLocal { rel, .. } | Op::LdImm64 { imm: Imm64::Func { rel, .. }, .. } => at.offset(i64::from(rel) + 1),
        _ => None,
    }
}
