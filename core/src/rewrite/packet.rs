//! What packets add to a dump: the prologue of programs that write them, and packet loads.
//!
//! Stands for `bpf_unclone_prologue` and `bpf_gen_ld_abs` (6.1 … 7.3). Where a field lies, and how far a function is away, are
//! facts of one build and wild.

use super::late::Wild;
use crate::isa::Insn;
use crate::isa::opcode;
use crate::kernel::ProgType;

type Patch = Vec<(Insn, Wild)>;

fn exact(insn: Insn) -> (Insn, Wild) {
    (insn, Wild::Nothing)
}

/// A call of a function of the kernel.
const CALL: (Insn, Wild) = (Insn::new(opcode::CALL, 0, 0, 0, 0), Wild::Imm);

/// What stands before a classifier that writes to its packet: a packet that others share is copied first, and dropped where
/// that fails.
///
/// Kernel: `bpf_unclone_prologue` (6.1 … 7.3).
#[doc(alias = "bpf_unclone_prologue")]
pub(super) fn prologue(prog_type: ProgType) -> Patch {
    const CLONED: i32 = 1;
    const DROP: i32 = 2;
    if !matches!(prog_type, ProgType::SchedCls | ProgType::SchedAct) {
        return Patch::new();
    }
    vec![
        (Insn::new(0x71, 6, 1, 0, 0), Wild::Off),
        exact(Insn::new(0x54, 6, 0, 0, CLONED)),
        exact(Insn::new(0x15, 6, 0, 7, 0)),
        exact(Insn::new(0xbf, 6, 1, 0, 0)),
        exact(Insn::new(0xaf, 2, 2, 0, 0)),
        CALL,
        exact(Insn::new(0x15, 0, 0, 2, 0)),
        exact(Insn::new(0xb4, 0, 0, 0, DROP)),
        exact(Insn::new(opcode::EXIT, 0, 0, 0, 0)),
        exact(Insn::new(0xbf, 1, 6, 0, 0)),
    ]
}

/// A packet load: a call, and the end of the function with 0 where it fails.
///
/// Kernel: `bpf_gen_ld_abs` (6.1 … 7.3).
#[doc(alias = "bpf_gen_ld_abs")]
pub(super) fn legacy_load(insn: Insn) -> Patch {
    const IND: u8 = 0x40;
    let mut patch = if insn.code & 0xe0 == IND {
        let index = exact(Insn::new(0xbf, 2, insn.src(), 0, 0));
        let sum = (insn.imm != 0).then_some(exact(Insn::new(0x07, 2, 0, 0, insn.imm)));
        [index].into_iter().chain(sum).collect()
    } else {
        vec![exact(Insn::new(0xb7, 2, 0, 0, insn.imm))]
    };
    patch.extend([
        exact(Insn::new(0xbf, 1, 6, 0, 0)),
        CALL,
        exact(Insn::new(0x75, 0, 0, 2, 0)),
        exact(Insn::new(0xac, 0, 0, 0, 0)),
        exact(Insn::new(opcode::EXIT, 0, 0, 0, 0)),
    ]);
    patch
}
