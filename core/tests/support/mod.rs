//! An inliner of `bpf_loop` for tests of the executor: it inlines what it is told to and nothing else.

use loopdiff::exec::{ExecRules, Form, Image, Site, SiteKind, UninitStackRead, Unsupported};
use loopdiff::isa::{Imm64, Insn, InsnIdx, Op, decode};
use loopdiff::kernel::ctx::PacketEnd;
use loopdiff::kernel::limits::{HELPER_LOOP, INLINED_LOOP_LEN, LOOP_SPILL_BYTES};
use loopdiff::program::{Layout, Program, subprog_target};

/// Rules that allow all that some modelled kernel allows.
pub const RULES: ExecRules = ExecRules {
    uninit_stack_read: UninitStackRead::Masked,
    frames_max: 16,
    global_calls_restart: false,
    packet_end: PacketEnd::Set,
};

/// A program in some form, with what a [`Form`] borrows.
pub struct Ready {
    pub program: Program,
    pub layout: Layout,
    pub own_depth: Vec<u16>,
    pub stack_depth: Vec<u16>,
    pub sites: Vec<Site>,
}

impl Ready {
    /// The image of the form.
    pub fn image(&self, rules: &ExecRules) -> Result<Image, Unsupported> {
        let form = Form {
            program: &self.program,
            layout: &self.layout,
            stack_depth: &self.stack_depth,
            own_depth: &self.own_depth,
            same_depth: &[],
            keeping_calls: &[],
            subprogs: &[],
            references: &[],
            sites: &self.sites,
        };
        Image::new(&form, rules)
    }
}

/// The original form, every subprogram with the same depth.
pub fn original(program: &Program, depth: u16) -> Ready {
    let layout = Layout::of(program);
    let own_depth = vec![depth; layout.len()];
    Ready { program: program.clone(), layout, stack_depth: own_depth.clone(), own_depth, sites: Vec::new() }
}

/// The form with every `bpf_loop` call inlined that has one callback: the function that was last loaded into R2 before it.
pub fn inlined(program: &Program, depth: u16) -> Ready {
    let mut ready = original(program, depth);
    let spill_base = -(depth.next_multiple_of(8) as i16 + LOOP_SPILL_BYTES as i16);
    let calls = calls_with_callback(program);
    // Where each old instruction goes, the one after the last included.
    let mut new_at = Vec::with_capacity(program.insns.len() + 1);
    let mut next = 0;
    for at in 0..=program.insns.len() as u32 {
        new_at.push(next);
        next += if calls.iter().any(|c| c.0 == InsnIdx(at)) { INLINED_LOOP_LEN } else { 1 };
    }
    let mut insns: Vec<Insn> = Vec::new();
    for (at, insn) in (0..).map(InsnIdx).zip(&program.insns) {
        if let Some((_, callback)) = calls.iter().find(|c| c.0 == at) {
            let start = insns.len() as u32;
            let kind = SiteKind::Inlined { spill_base };
            ready.sites.push(Site { id: at.0, at: InsnIdx(start), kind });
            let rel = new_at[callback.at()] as i32 - (start as i32 + 12) - 1;
            insns.extend(loop_insns(spill_base, rel));
        } else {
            insns.push(moved(program, at, *insn, &new_at));
        }
    }
    ready.program.insns = insns;
    ready.layout = Layout::of(&ready.program);
    ready.stack_depth = vec![-spill_base as u16; ready.layout.len()];
    ready
}

fn calls_with_callback(program: &Program) -> Vec<(InsnIdx, InsnIdx)> {
    let mut calls = Vec::new();
    let mut last = None;
    for (at, insn) in (0..).map(InsnIdx).zip(&program.insns) {
        match decode(*insn, program.insn(at.next())) {
            Ok(op @ Op::LdImm64 { imm: Imm64::Func { .. }, .. }) => last = subprog_target(at, &op),
            Ok(Op::CallHelper { id: HELPER_LOOP }) => calls.extend(last.map(|callback| (at, callback))),
            _ => {}
        }
    }
    calls
}

/// An instruction at its new place, with its distance adjusted.
fn moved(program: &Program, at: InsnIdx, insn: Insn, new_at: &[u32]) -> Insn {
    let Ok(mut op) = decode(insn, program.insn(at.next())) else {
        return insn;
    };
    let distance = |old: i64| {
        let target = (i64::from(at.0) + 1 + old) as usize;
        i64::from(new_at[target]) - i64::from(new_at[at.at()]) - 1
    };
    match &mut op {
        Op::Jump { off, .. } => *off = distance(i64::from(*off)) as i32,
        Op::JumpIf { off, .. } | Op::MayGoto { off } => *off = i16::try_from(distance(i64::from(*off))).expect("near"),
        Op::CallLocal { rel, .. } | Op::LdImm64 { imm: Imm64::Func { rel, .. }, .. } => {
            *rel = distance(i64::from(*rel)) as i32;
        }
        _ => return insn,
    }
    op.encode().0
}

/// The nineteen instructions.
fn loop_insns(spill: i16, rel: i32) -> [Insn; 19] {
    let insn = Insn::new;
    [
        insn(0xb5, 1, 0, 2, 1 << 23),
        insn(0xb4, 0, 0, 0, -7),
        insn(0x05, 0, 0, 16, 0),
        insn(0x7b, 10, 6, spill, 0),
        insn(0x7b, 10, 7, spill + 8, 0),
        insn(0x7b, 10, 8, spill + 16, 0),
        insn(0xbf, 6, 1, 0, 0),
        insn(0xb4, 7, 0, 0, 0),
        insn(0xbf, 8, 3, 0, 0),
        insn(0x3d, 7, 6, 5, 0),
        insn(0xbf, 1, 7, 0, 0),
        insn(0xbf, 2, 8, 0, 0),
        insn(0x85, 0, 1, 0, rel),
        insn(0x07, 7, 0, 0, 1),
        insn(0x15, 0, 0, -6, 0),
        insn(0xbf, 0, 7, 0, 0),
        insn(0x79, 6, 10, spill, 0),
        insn(0x79, 7, 10, spill + 8, 0),
        insn(0x79, 8, 10, spill + 16, 0),
    ]
}
