//! Small programs with labels, and facts for them, for the tests of this room.

use super::provenance::provenance;
use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::limits::HELPER_LOOP;
use crate::program::{Func, Layout, Program, SubprogIdx};
use crate::verifier::{Facts, FastcallRemoval, LoopSite, SiteState};

/// One line of a test program. Labels are numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// A label for the next instruction.
    Label(u32),
    /// A subprogram that starts here, with this label.
    Sub(u32),
    /// Any instruction without a target.
    Plain(Insn),
    /// `if r0 == 0 goto label`.
    If(u32),
    /// `may_goto label`.
    MayGoto(u32),
    /// `goto label`.
    Goto(u32),
    /// `gotol label`.
    GotoFar(u32),
    /// Local call.
    Call(u32),
    /// `r2 = function ll`.
    Ref(u32),
    /// `call bpf_loop`.
    Loop,
    /// `exit`.
    Exit,
}

/// An instruction that does nothing of interest: `r0 = imm`.
pub fn filler(imm: i32) -> Line {
    Line::Plain(Insn::new(0xb7, 0, 0, 0, imm))
}

fn len(line: Line) -> u32 {
    match line {
        Line::Label(_) | Line::Sub(_) => 0,
        Line::Ref(_) => 2,
        _ => 1,
    }
}

/// Writes a program; its functions are the subprograms, each named `f` and its label.
pub fn assemble(lines: &[Line]) -> Program {
    let place = |label: u32| {
        let before = lines.iter().take_while(|l| **l != Line::Label(label) && **l != Line::Sub(label));
        before.map(|l| len(*l)).sum::<u32>()
    };
    let mut p = Program::default();
    for line in lines {
        let at = p.insns.len() as u32;
        let rel = |label| place(label).wrapping_sub(at + 1) as i32;
        let insn = match *line {
            Line::Label(_) => continue,
            Line::Sub(label) => {
                let name = format!("f{label}");
                p.funcs.push(Func { insn: InsnIdx(at), name, linkage: Default::default(), args: 2, type_id: None });
                continue;
            }
            Line::Plain(insn) => insn,
            Line::If(l) => Insn::new(0x15, 0, 0, rel(l) as i16, 0),
            Line::MayGoto(l) => Insn::new(opcode::MAY_GOTO, 0, 0, rel(l) as i16, 0),
            Line::Goto(l) => Insn::new(opcode::JA, 0, 0, rel(l) as i16, 0),
            Line::GotoFar(l) => Insn::new(opcode::JA32, 0, 0, 0, rel(l)),
            Line::Call(l) => Insn::new(opcode::CALL, 0, opcode::PSEUDO_CALL, 0, rel(l)),
            Line::Ref(l) => {
                p.insns.push(Insn::new(opcode::LD_IMM64, 2, opcode::PSEUDO_FUNC, 0, rel(l)));
                Insn::default()
            }
            Line::Loop => Insn::new(opcode::CALL, 0, 0, 0, HELPER_LOOP),
            Line::Exit => Insn::new(opcode::EXIT, 0, 0, 0, 0),
        };
        p.insns.push(insn);
    }
    p
}

/// Facts in which everything was seen, and every loop has the callback of the function reference before it.
pub fn all_fit(program: &Program, stack_depth: &[u16]) -> Facts {
    let layout = Layout::of(program);
    let mut callback = SubprogIdx::MAIN;
    let mut loops = Vec::new();
    for (n, insn) in program.insns.iter().enumerate() {
        let at = InsnIdx(n as u32);
        if insn.is_ld_imm64() && insn.src() == opcode::PSEUDO_FUNC {
            let target = InsnIdx((n as i64 + 1 + i64::from(insn.imm)) as u32);
            callback = layout.starting(target).expect("reference to a subprogram");
        }
        if insn.code == opcode::CALL && insn.src() == 0 && insn.imm == HELPER_LOOP {
            loops.push(LoopSite { insn: at, subprog: layout.containing(at), state: SiteState::Fit(callback) });
        }
    }
    let provenance = provenance(program, &layout);
    let mut depth = stack_depth.to_vec();
    depth.resize(layout.len(), 0);
    Facts {
        seen: vec![true; program.insns.len()],
        folded: Vec::new(),
        layout,
        loops,
        stack_depth: depth,
        fastcall: FastcallRemoval::default(),
        ctx_accesses: provenance.ctx_accesses(),
        call_maps: provenance.call_maps(),
        insns_processed: 7,
        writes_packet: false,
    }
}

/// Marks a range as never reached.
pub fn kill(facts: &mut Facts, dead: std::ops::Range<usize>) {
    for n in dead {
        facts.seen[n] = false;
        for l in facts.loops.iter_mut().filter(|l| l.insn.at() == n) {
            l.state = SiteState::NeverReached;
        }
    }
}
