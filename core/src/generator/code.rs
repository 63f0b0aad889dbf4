//! Instructions under construction: labels, and the jumps, calls and references that wait for them.

use crate::isa::{AluOp, Cond, Imm64, Insn, Op, Operand, Reg, Size, Width};

/// A place in the code, bound once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Label(u32);

const UNBOUND: u32 = u32::MAX;

/// The instructions so far.
#[derive(Default, Debug)]
pub(super) struct Code {
    insns: Vec<Insn>,
    labels: Vec<u32>,
    waiting: Vec<(u32, Op, Label)>,
}

impl Code {
    pub(super) fn new() -> Code {
        Code { insns: Vec::with_capacity(192), labels: Vec::with_capacity(64), waiting: Vec::with_capacity(64) }
    }

    /// Index of the next instruction.
    pub(super) fn here(&self) -> u32 {
        self.insns.len() as u32
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(UNBOUND);
        Label(self.labels.len() as u32 - 1)
    }

    /// Binds a label to the next instruction.
    pub(super) fn bind(&mut self, label: Label) {
        let here = self.here();
        if let Some(at) = self.labels.get_mut(label.0 as usize) {
            *at = here;
        }
    }

    pub(super) fn at(&self, label: Label) -> Option<u32> {
        self.labels.get(label.0 as usize).copied().filter(|at| *at != UNBOUND)
    }

    pub(super) fn op(&mut self, op: Op) {
        let (first, second) = op.encode();
        self.insns.push(first);
        self.insns.extend(second);
    }

    fn op_to(&mut self, op: Op, label: Label) {
        self.waiting.push((self.here(), op, label));
        self.op(op);
    }

    pub(super) fn mov(&mut self, dst: Reg, src: Reg) {
        self.alu(Width::W64, AluOp::Mov, dst, Operand::Reg(src));
    }

    pub(super) fn imm(&mut self, dst: Reg, imm: i32) {
        self.alu(Width::W64, AluOp::Mov, dst, Operand::Imm(imm));
    }

    /// A 64-bit constant, always by `ld_imm64`.
    pub(super) fn wide(&mut self, dst: Reg, value: u64) {
        self.op(Op::LdImm64 { dst, imm: Imm64::Const(value) });
    }

    pub(super) fn alu(&mut self, width: Width, op: AluOp, dst: Reg, src: Operand) {
        self.op(Op::Alu { width, op, dst, src });
    }

    pub(super) fn alu_imm(&mut self, op: AluOp, dst: Reg, imm: i32) {
        self.alu(Width::W64, op, dst, Operand::Imm(imm));
    }

    pub(super) fn alu_reg(&mut self, op: AluOp, dst: Reg, src: Reg) {
        self.alu(Width::W64, op, dst, Operand::Reg(src));
    }

    pub(super) fn load(&mut self, size: Size, dst: Reg, base: Reg, off: i16) {
        self.op(Op::Load { size, signed: false, dst, base, off });
    }

    pub(super) fn store(&mut self, size: Size, base: Reg, off: i16, src: Operand) {
        self.op(Op::Store { size, base, off, src });
    }

    pub(super) fn jump_if(&mut self, width: Width, cond: Cond, dst: Reg, src: Operand, to: Label) {
        self.op_to(Op::JumpIf { width, cond, dst, src, off: 0 }, to);
    }

    pub(super) fn jump_if_imm(&mut self, cond: Cond, dst: Reg, imm: i32, to: Label) {
        self.jump_if(Width::W64, cond, dst, Operand::Imm(imm), to);
    }

    pub(super) fn jump(&mut self, to: Label) {
        self.op_to(Op::Jump { off: 0, wide: false }, to);
    }

    /// A jump whose distance has 32 bits.
    pub(super) fn jump_wide(&mut self, to: Label) {
        self.op_to(Op::Jump { off: 0, wide: true }, to);
    }

    pub(super) fn may_goto(&mut self, to: Label) {
        self.op_to(Op::MayGoto { off: 0 }, to);
    }

    pub(super) fn call(&mut self, to: Label) {
        self.op_to(Op::CallLocal { rel: 0, off: 0 }, to);
    }

    pub(super) fn func(&mut self, dst: Reg, to: Label) {
        self.op_to(Op::LdImm64 { dst, imm: Imm64::Func { rel: 0, number: 0 } }, to);
    }

    pub(super) fn helper(&mut self, id: i32) {
        self.op(Op::CallHelper { id });
    }

    pub(super) fn exit(&mut self) {
        self.op(Op::Exit);
    }

    /// The instructions, every jump led to its label. A jump that is too far for its field, or whose label was never bound,
    /// goes on to the next instruction.
    pub(super) fn finish(mut self) -> Vec<Insn> {
        for (at, op, label) in std::mem::take(&mut self.waiting) {
            let distance = self.at(label).map_or(0, |to| i64::from(to) - i64::from(at) - 1);
            if let Some(op) = op.with_distance(distance)
                && let Some(insn) = self.insns.get_mut(at as usize)
            {
                *insn = op.encode().0;
            }
        }
        self.insns
    }
}
