//! What a kernel checks of a program before it walks its paths, and what the walk then builds on.
//!
//! Stands for `BPF_MAP_CREATE` and `BPF_PROG_LOAD` up to the verifier, and for `bpf_check` up to `do_check_main` (6.1 …
//! 7.3): map attributes, program attributes, subprograms, `func_info`, instruction encoding, map references, control
//! flow, and in 7.3 constant registers, branches that they decide, and the order of calls. The checks run in the
//! kernel's order, because the first that fails gives the message. A loader with all capabilities is assumed.
//!
//! **Fields of instructions.** Kernels up to 7.0 look at the fields of an instruction when a path reaches it, so dead
//! code may hold anything. The walk of every version therefore calls [`check_fields`] when it visits an instruction,
//! before it reads a register, and [`check_immediate`] after it has read the operands of an arithmetic operation; under
//! later rules [`check`] has done most of the former already, and the visit finds nothing but bad atomics. An
//! instruction that passes has an entry in [`Structure::ops`].
//!
//! Left out: line information, relocations against kernel types, signatures, offloading, and tokens. SCCs, live registers
//! and stack liveness are computed elsewhere from [`Structure`].
//!
//! Invariants: every jump of an accepted program stays within its subprogram, every call goes to the start of one, no
//! path runs into the second half of an `ld_imm64`, and every instruction is reachable from the program's start by
//! jumps, calls and function references (before [`folded`](Structure::folded) branches are taken into account).

mod cfg;
mod const_fold;
mod fastcall;
mod fields;
mod flow;
mod func_info;
mod load;
mod maps;
#[cfg(test)]
mod recorded;
mod resolve;
mod signature;
mod subprogs;
#[cfg(test)]
mod tests;
mod topo;

pub use cfg::Marks;
pub use const_fold::{ConstRegs, KnownReg};
pub use fastcall::{Fastcall, FastcallStack};
pub use fields::{Fault, check_fields, check_immediate};
pub use flow::{Postorder, Successors};
pub use signature::{ArgKind, Signature, SignatureFault};
pub use subprogs::Subprog;

use super::{Errno, Rejection, Unsupported, Verdict};
use crate::isa::{Insn, InsnIdx, Op, decode};
use crate::kernel::{AttachCheck, ConstFold, FuncInfoCheck, KfuncLookup, Rules, StructureRules};
use crate::program::{Layout, Program, SubprogIdx};

/// Why a program does not come to the walk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The kernel refuses it. `text` stands in parentheses where the kernel gives an errno and no line in its log;
    /// the words are then ours.
    Rejected(Rejection),
    /// It needs something that is not modelled.
    Unsupported(Unsupported),
}

impl Refusal {
    fn rejected(at: Option<InsnIdx>, errno: Errno, text: impl Into<String>) -> Refusal {
        Refusal::Rejected(Rejection { at, errno, text: text.into(), insns_processed: 0, warning: None })
    }

    fn invalid(at: InsnIdx, text: impl Into<String>) -> Refusal {
        Refusal::rejected(Some(at), Errno::EINVAL, text)
    }

    fn unsupported(at: Option<InsnIdx>, what: impl Into<String>) -> Refusal {
        Refusal::Unsupported(Unsupported { at, what: what.into(), spent: false })
    }
}

impl From<Refusal> for Verdict {
    fn from(refusal: Refusal) -> Verdict {
        match refusal {
            Refusal::Rejected(r) => Verdict::Rejected(r),
            Refusal::Unsupported(u) => Verdict::Unsupported(u),
        }
    }
}

/// What is known of a program before its paths are walked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Structure {
    /// Where the subprograms lie.
    pub layout: Layout,
    /// The operation at each instruction, as the walk and every later pass see it: branches in
    /// [`folded`](Structure::folded) are unconditional. `None` for the second half of an `ld_imm64` and for an
    /// instruction that [`check_fields`] refuses when it is visited.
    pub ops: Vec<Option<Op>>,
    /// What the control-flow pass says of each instruction.
    pub marks: Vec<Marks>,
    /// The subprograms, main first.
    pub subprogs: Vec<Subprog>,
    /// Indexes into the program's maps in the order in which instructions first refer to them.
    pub used_maps: Vec<u32>,
    /// Each subprogram's instructions after those that they lead to; over the folded program.
    pub postorder: Postorder,
    /// Registers that hold a constant before each instruction; empty under rules without constant folding.
    pub const_regs: Vec<ConstRegs>,
    /// The conditional jumps that became unconditional, ascending.
    pub folded: Vec<InsnIdx>,
    /// Subprograms, callees before callers; empty under rules without constant folding.
    #[doc(alias = "subprog_topo_order")]
    pub topo_order: Vec<SubprogIdx>,
    /// Spills around calls that need not clobber R1 to R5.
    pub fastcall: Fastcall,
}

/// Checks everything that comes before the walk.
///
/// Kernel: `map_create`, `bpf_prog_load`, `bpf_check` up to `do_check_main` (6.1 … 7.3).
///
/// # Errors
/// The first refusal, in the order of the kernel whose rules are given.
#[doc(alias = "bpf_check")]
pub fn check(program: &Program, rules: &Rules) -> Result<Structure, Refusal> {
    let (all, rules) = (rules, &rules.structure);
    maps::check(program, rules)?;
    let types = func_info::check_btf(program, all)?;
    let types = types.as_ref();
    load::check(program, rules)?;

    resolve::check_last_insn(program, rules)?;
    if rules.func_info == FuncInfoCheck::EarlyAndLate {
        func_info::check_order(program, types)?;
    }
    let (layout, kfuncs) = subprogs::discover(program)?;
    if rules.kfunc_lookup == KfuncLookup::WithSubprogs {
        subprogs::refuse_kfunc(kfuncs)?;
    }
    let mut subprogs = subprogs::check(program, rules, &layout)?;
    if rules.func_info == FuncInfoCheck::EarlyAndLate {
        func_info::check_layout(program, types, &mut subprogs)?;
    } else {
        func_info::check_all(program, types, &mut subprogs)?;
    }
    if rules.attach_check == AttachCheck::BeforeResolve {
        load::check_sleepable(program, rules)?;
    }
    let used_maps = resolve::check(program, rules)?;
    if rules.kfunc_lookup == KfuncLookup::AfterResolve {
        subprogs::refuse_kfunc(kfuncs)?;
    }
    let marks = cfg::check(program, rules, &layout, &mut subprogs)?;
    if rules.attach_check == AttachCheck::AfterCfg {
        load::check_sleepable(program, rules)?;
    }

    let ops = operations(program, rules);
    let exits = subprogs.iter().map(|s| s.exit).collect();
    let postorder = Postorder::of(&Successors::new(&ops, &layout, exits));
    let mut structure = Structure {
        layout,
        ops,
        marks,
        subprogs,
        used_maps,
        postorder,
        const_regs: Vec::new(),
        folded: Vec::new(),
        topo_order: Vec::new(),
        fastcall: Fastcall::default(),
    };
    if rules.const_fold == ConstFold::On {
        const_fold::run(program, &mut structure);
        structure.topo_order = topo::sort(&structure)?;
    }
    structure.fastcall = fastcall::find(program, &structure, all);
    Ok(structure)
}

impl Structure {
    /// Where each instruction leads to within its subprogram; over the folded program.
    pub fn successors(&self) -> Successors<'_> {
        Successors::new(&self.ops, &self.layout, self.subprogs.iter().map(|s| s.exit).collect())
    }

    /// The instructions as the kernel has them from here on: those of the program that was checked, with folded
    /// branches rewritten.
    pub fn insns(&self, program: &Program) -> Vec<Insn> {
        let mut insns = program.insns.clone();
        for at in &self.folded {
            if let (Some(insn), Some(Some(op))) = (insns.get_mut(at.at()), self.ops.get(at.at())) {
                *insn = op.encode().0;
            }
        }
        insns
    }
}

/// Decodes every instruction that the walk may visit without a fault.
fn operations(program: &Program, rules: &StructureRules) -> Vec<Option<Op>> {
    let mut ops = vec![None; program.insns.len()];
    let mut at = InsnIdx(0);
    while let Some(insn) = program.insn(at) {
        if check_fields(insn, rules).is_ok()
            && let Some(slot) = ops.get_mut(at.at())
        {
            *slot = decode(fields::canonical(insn), program.insn(at.next())).ok();
        }
        at = InsnIdx(at.0 + flow::len(insn));
    }
    ops
}
