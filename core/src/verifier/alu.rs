//! Arithmetic on registers: numbers go to the domain, pointers move within what is safe.
//!
//! Stands for `check_alu_op`, `adjust_reg_min_max_vals`, `adjust_ptr_min_max_vals`, `check_reg_sane_offset` (6.1 … 7.3).
//! Left out: the masking of pointer arithmetic against speculation, which privileged programs do without.

use super::state::{Kind, Link, Reg};
use super::structure;
use super::walker::{Check, Stop, Walker};
use crate::domain::Scalar;
use crate::isa::{AluOp, Endian, Op, Operand, Reg as RegNo, Width};
use crate::kernel::limits::VAR_OFF_MAX;
use crate::kernel::{BugReport, ByteSwap, PointerOffset, ScalarLinks};

/// `BPF_F_TEST_REG_INVARIANTS`: a number that contradicts itself is an error.
const TEST_REG_INVARIANTS: u32 = 1 << 7;

impl Walker<'_> {
    /// Kernel: `check_alu_op` (6.1 … 7.3).
    #[doc(alias = "check_alu_op")]
    pub fn check_alu(&mut self, op: &Op) -> Check {
        self.operate(op)?;
        let (Op::Neg { dst, .. } | Op::Endian { dst, .. } | Op::MovSx { dst, .. } | Op::Alu { dst, .. }) = *op else {
            return Ok(());
        };
        self.settle(dst, "alu")
    }

    fn operate(&mut self, op: &Op) -> Check {
        match *op {
            Op::Neg { width, dst } => self.check_unary(dst, false, |w, v| v.neg(width, &w.rules.domain)),
            Op::Endian { kind, bits, dst } => {
                let known = self.rules.domain.byte_swap != ByteSwap::Unknown;
                let keeps_value = known && bits == 64 && kind == Endian::ToLe;
                self.check_unary(dst, keeps_value, |w, v| v.endian(kind, bits, &w.rules.domain))
            }
            Op::MovSx { width, bits, dst, src } => self.check_movsx(width, bits, dst, src),
            Op::Alu { width, op: AluOp::Mov, dst, src } => self.check_mov(width, dst, src),
            Op::Alu { width, op: alu, dst, src } => {
                if let Operand::Reg(src) = src {
                    self.read_reg(src)?;
                }
                self.read_reg(dst)?;
                structure::check_immediate(op).map_err(|f| Stop::Reject { errno: f.errno, text: f.text })?;
                self.write_reg(dst)?;
                self.adjust(width, alu, dst, src)
            }
            Op::AddrSpaceCast { .. } => {
                Err(Stop::invalid("addr_space_cast insn can only be used in a program that has an associated arena"))
            }
            _ => Err(Stop::bug("not arithmetic")),
        }
    }

    fn check_unary(&mut self, dst: RegNo, keeps_id: bool, compute: impl Fn(&Self, &Scalar) -> Scalar) -> Check {
        self.read_reg(dst)?;
        self.write_reg(dst)?;
        if self.reg(dst).kind != Kind::Scalar || self.rules.walk.scalar_links == ScalarLinks::Copies {
            self.set_unknown(dst);
            return Ok(());
        }
        let value = compute(self, &self.reg(dst).value);
        let reg = self.reg_mut(dst);
        reg.value = value;
        if !keeps_id {
            reg.unlink();
        }
        Ok(())
    }

    /// What is left of a number that contradicts itself, where the rules look; the log has a line of it.
    ///
    /// Kernel: `reg_bounds_sanity_check` (6.8 … 7.3).
    #[doc(alias = "reg_bounds_sanity_check")]
    pub fn contradiction(&mut self, value: &Scalar, context: &str) -> Check<Option<Scalar>> {
        let Some(violation) = value.violation(&self.rules.domain) else { return Ok(None) };
        let text = value.violation_text(violation, context);
        if self.program.prog_flags & TEST_REG_INVARIANTS != 0 {
            return Err(Stop::bug_said(text.clone(), text));
        }
        match self.rules.walk.bug_report {
            BugReport::Line => self.remark(format!("verifier bug: {text}")),
            BugReport::Warning => self.remark(text),
        }
        Ok(Some(value.without_ranges()))
    }

    /// Goes on with what is left of the number in a register.
    pub fn settle(&mut self, dst: RegNo, context: &str) -> Check {
        let value = self.reg(dst).value;
        if let Some(value) = self.contradiction(&value, context)? {
            self.reg_mut(dst).value = value;
        }
        Ok(())
    }

    /// Gives a scalar an id before it is copied, so that what is learnt of one copy is known of the other.
    ///
    /// Kernel: `assign_scalar_id_before_mov` (6.8 … 7.3).
    #[doc(alias = "assign_scalar_id_before_mov")]
    pub fn assign_id_before_copy(&mut self, reg: &mut Reg) {
        if reg.kind != Kind::Scalar {
            return;
        }
        if reg.link != Link::Same {
            reg.unlink();
        }
        if reg.id == 0 && reg.value.as_const().is_none() {
            reg.id = self.new_id();
        }
    }

    fn source_with_id(&mut self, src: RegNo, assign: bool) -> Reg {
        let mut reg = *self.reg(src);
        if assign {
            let before = (reg.id, reg.link);
            self.assign_id_before_copy(&mut reg);
            if (reg.id, reg.link) != before {
                *self.reg_mut(src) = reg;
            }
        }
        reg
    }

    fn check_mov(&mut self, width: Width, dst: RegNo, src: Operand) -> Check {
        let src = match src {
            Operand::Reg(src) => src,
            Operand::Imm(imm) => {
                self.write_reg(dst)?;
                let value = if width == Width::W64 { i64::from(imm) as u64 } else { u64::from(imm as u32) };
                let content = Reg::constant(self.model(), value);
                self.set_reg(dst, content);
                return Ok(());
            }
        };
        self.read_reg(src)?;
        self.write_reg(dst)?;
        let copies_only = self.rules.walk.scalar_links == ScalarLinks::Copies;
        if width == Width::W64 {
            if copies_only {
                if self.reg(src).kind == Kind::Scalar && self.reg(src).id == 0 {
                    let id = self.new_id();
                    self.reg_mut(src).id = id;
                }
                let copy = *self.reg(src);
                self.set_reg(dst, copy);
            } else {
                let copy = self.source_with_id(src, true);
                self.set_reg(dst, copy);
            }
            return Ok(());
        }
        let fits = self.reg(src).value.umax() <= u64::from(u32::MAX);
        let mut copy = self.source_with_id(src, !copies_only && fits);
        if copy.kind != Kind::Scalar {
            copy = Reg::unknown(self.model());
        } else if copies_only || !fits {
            copy.drop_id(self.rules.walk.lost_link);
        }
        copy.value = copy.value.mov32(&self.rules.domain);
        self.set_reg(dst, copy);
        Ok(())
    }

    fn check_movsx(&mut self, width: Width, bits: u8, dst: RegNo, src: RegNo) -> Check {
        self.read_reg(src)?;
        self.write_reg(dst)?;
        let positive = self.reg(src).value.umax() < 1 << (u32::from(bits) - 1);
        let mut copy = self.source_with_id(src, positive);
        if copy.kind != Kind::Scalar {
            copy = Reg::unknown(self.model());
            if width == Width::W32 {
                copy.value = copy.value.mov32(&self.rules.domain);
            }
        } else {
            if !positive {
                copy.drop_id(self.rules.walk.lost_link);
            }
            copy.value = copy.value.sign_extend(width, bits, &self.rules.domain);
        }
        self.set_reg(dst, copy);
        Ok(())
    }

    /// Kernel: `adjust_reg_min_max_vals` (6.1 … 7.3).
    #[doc(alias = "adjust_reg_min_max_vals")]
    fn adjust(&mut self, width: Width, op: AluOp, dst: RegNo, src: Operand) -> Check {
        if self.rules.walk.scalar_links == ScalarLinks::Copies && self.reg(dst).kind == Kind::Scalar {
            self.reg_mut(dst).id = 0;
        }
        let left = *self.reg(dst);
        let right = match src {
            Operand::Imm(imm) => Reg::constant(self.model(), i64::from(imm) as u64),
            Operand::Reg(src) => {
                let right = *self.reg(src);
                match (left.kind == Kind::Scalar, right.kind == Kind::Scalar) {
                    (false, false) if op == AluOp::Sub => {
                        self.set_unknown(dst);
                        return Ok(());
                    }
                    (false, false) => {
                        return Err(Stop::access(format!("R{} pointer {} pointer prohibited", dst.n(), symbol(op))));
                    }
                    (true, false) => {
                        self.mark_precise(dst)?;
                        return self.adjust_pointer(width, op, dst, right, left, false);
                    }
                    (false, true) => self.mark_precise(src)?,
                    (true, true) if left.precise => self.mark_precise(src)?,
                    (true, true) => {}
                }
                right
            }
        };
        if left.kind != Kind::Scalar {
            return self.adjust_pointer(width, op, dst, left, right, true);
        }
        self.adjust_scalar(width, op, dst, src, &right)
    }

    fn adjust_scalar(&mut self, width: Width, op: AluOp, dst: RegNo, src: Operand, right: &Reg) -> Check {
        let fork = self.reg(dst).value.fork(op, &right.value, &self.rules.domain);
        if let Some((again, here)) = fork {
            let at = self.at;
            self.push_branch(at)?.top_mut().regs[dst.at()].value = again;
            self.reg_mut(dst).value = here;
        }
        let left = *self.reg(dst);
        let value = Scalar::alu(op, width, &left.value, &right.value, &self.rules.domain);
        let reg = self.reg_mut(dst);
        reg.value = value;
        if self.rules.walk.scalar_links == ScalarLinks::Copies {
            return Ok(());
        }
        let delta = if src == Operand::Reg(dst) { None } else { self.link_distance(width, op, &left, right) };
        let lost = self.rules.walk.lost_link;
        let moves = op == AluOp::Add && width == Width::W64 && left.id != 0 && right.value.as_const().is_some();
        let reg = self.reg_mut(dst);
        match delta {
            Some((link, delta)) if left.link == Link::Same && left.id != 0 => {
                reg.link = link;
                reg.off = delta;
            }
            // A second sum, or one that is too large.
            _ if moves => reg.unlink(),
            _ => reg.drop_id(lost),
        }
        Ok(())
    }

    /// The distance by which a sum moves away from the scalars that the left side was equal to.
    fn link_distance(&self, width: Width, op: AluOp, left: &Reg, right: &Reg) -> Option<(Link, i32)> {
        match self.rules.walk.scalar_links {
            ScalarLinks::Copies => None,
            ScalarLinks::CopiesAndSums => {
                let value = right.value.as_const()?;
                let small = value <= i32::MAX as u64;
                (op == AluOp::Add && width == Width::W64 && small).then_some((Link::Add64, value as i32))
            }
            ScalarLinks::CopiesAndDifferences => {
                let (link, delta) = if width == Width::W64 {
                    (Link::Add64, i32::try_from(right.value.as_const()? as i64).ok()?)
                } else {
                    if left.value.umax() > u64::from(u32::MAX) {
                        return None;
                    }
                    (Link::Add32, right.value.as_const32()? as i32)
                };
                match op {
                    AluOp::Add => Some((link, delta)),
                    AluOp::Sub => Some((link, delta.checked_neg()?)),
                    _ => None,
                }
            }
        }
    }

    /// Kernel: `adjust_ptr_min_max_vals` (6.1 … 7.3).
    #[doc(alias = "adjust_ptr_min_max_vals")]
    fn adjust_pointer(
        &mut self,
        width: Width,
        op: AluOp,
        dst: RegNo,
        pointer: Reg,
        offset: Reg,
        pointer_is_dst: bool,
    ) -> Check {
        if offset.value.is_tainted_offset() {
            self.set_unknown(dst);
            return Ok(());
        }
        if width == Width::W32 {
            if op == AluOp::Sub {
                self.set_unknown(dst);
                return Ok(());
            }
            return Err(Stop::access(format!("R{} 32-bit pointer arithmetic prohibited", dst.n())));
        }
        self.check_pointer_may_move(op, dst, &pointer, &offset)?;
        let kind = pointer.kind.name();
        self.sane_offset(&offset, kind, true)?;
        self.sane_offset(&pointer, kind, false)?;
        match op {
            AluOp::Add => {}
            AluOp::Sub if !pointer_is_dst => {
                return Err(Stop::access(format!("R{} tried to subtract pointer from scalar", dst.n())));
            }
            AluOp::Sub if matches!(pointer.kind, Kind::Stack { .. }) => {
                return Err(Stop::access(format!("R{} subtraction from stack pointer prohibited", dst.n())));
            }
            AluOp::Sub => {}
            AluOp::And | AluOp::Or | AluOp::Xor => {
                let text = format!("R{} bitwise operator {} on pointer prohibited", dst.n(), symbol(op));
                return Err(Stop::access(text));
            }
            _ => {
                let text = format!("R{} pointer arithmetic with {} operator prohibited", dst.n(), symbol(op));
                return Err(Stop::access(text));
            }
        }
        let mut moved = match self.rules.walk.pointer_offset {
            PointerOffset::Split => self.move_split(op, pointer, &offset),
            PointerOffset::Folded => self.move_folded(op, pointer, &offset),
        };
        self.sane_offset(&moved, kind, false)?;
        let folded = self.rules.walk.pointer_offset == PointerOffset::Folded;
        let keeps_range =
            moved.kind.is_packet() && (offset.value.as_const().is_some() || has_positive_range(moved.kind));
        moved.value =
            if folded && keeps_range { moved.value.learn_bits_32() } else { moved.value.sync(&self.rules.domain) };
        *self.reg_mut(dst) = moved;
        if pointer_is_dst {
            return Ok(());
        }
        self.reg_mut(dst).precise = false;
        Ok(())
    }

    /// Kernel: the pointer types of `adjust_ptr_min_max_vals` (6.1 … 7.3).
    fn check_pointer_may_move(&self, op: AluOp, dst: RegNo, pointer: &Reg, offset: &Reg) -> Check {
        let name = pointer.kind.log_name(self.rules);
        if pointer.kind.is_nullable() {
            let text = format!("R{} pointer arithmetic on {name} prohibited, null-check it first", dst.n());
            return Err(Stop::access(text));
        }
        let adds_zero = op == AluOp::Add && offset.value.as_const() == Some(0);
        let refused = match pointer.kind {
            Kind::MapPtr { .. } => !adds_zero,
            Kind::PacketEnd | Kind::Sock { .. } => true,
            Kind::FlowKeys => offset.value.as_const().is_none(),
            _ => false,
        };
        if refused {
            return Err(Stop::access(format!("R{} pointer arithmetic on {name} prohibited", dst.n())));
        }
        Ok(())
    }

    fn move_split(&mut self, op: AluOp, pointer: Reg, offset: &Reg) -> Reg {
        let mut moved = pointer;
        let known = offset.value.as_const().map(|v| v as i64);
        let fixed = known.and_then(|k| {
            let sum = if op == AluOp::Add {
                i64::from(pointer.off).wrapping_add(k)
            } else {
                i64::from(pointer.off).wrapping_sub(k)
            };
            i32::try_from(sum).ok()
        });
        if let Some(fixed) = fixed {
            moved.off = fixed;
            moved.value = pointer.value.without_32();
            return moved;
        }
        moved.value = if op == AluOp::Add {
            pointer.value.pointer_add(&offset.value)
        } else {
            pointer.value.pointer_sub(&offset.value)
        };
        if pointer.kind.is_packet() {
            moved.id = self.new_id();
            if op == AluOp::Add || offset.value.smin() < 0 {
                moved.kind = with_range(pointer.kind, 0);
            }
        }
        moved
    }

    fn move_folded(&mut self, op: AluOp, pointer: Reg, offset: &Reg) -> Reg {
        let mut moved = pointer;
        let known = offset.value.as_const().is_some();
        let range = match pointer.kind {
            Kind::Packet { range } | Kind::PacketMeta { range } => Some(range),
            _ => None,
        };
        if let Some(range) = range {
            if !known {
                moved.id = self.new_id();
            }
            let unknown_step = !known && (op == AluOp::Add || offset.value.smin() < 0);
            if unknown_step || range < 0 {
                moved.kind = with_range(pointer.kind, 0);
            }
        }
        moved.value = if op == AluOp::Add {
            pointer.value.pointer_add(&offset.value)
        } else {
            pointer.value.pointer_sub(&offset.value)
        };
        moved
    }

    /// Kernel: `check_reg_sane_offset` (6.1 … 7.2), `check_reg_sane_offset_scalar`, `check_reg_sane_offset_ptr` (7.3).
    #[doc(alias = "check_reg_sane_offset")]
    fn sane_offset(&self, reg: &Reg, kind: &str, is_scalar: bool) -> Check {
        let smin = reg.value.smin();
        let known = reg.value.as_const().map(|v| v as i64).filter(|v| !(-VAR_OFF_MAX + 1..VAR_OFF_MAX).contains(v));
        let far = !(-VAR_OFF_MAX + 1..VAR_OFF_MAX).contains(&smin);
        if self.rules.walk.pointer_offset == PointerOffset::Folded && !is_scalar {
            if let Some(value) = known {
                return Err(Stop::invalid(format!("{kind} pointer offset {value} is not allowed")));
            }
            return if far {
                Err(Stop::invalid(format!("{kind} pointer offset {smin} is not allowed")))
            } else {
                Ok(())
            };
        }
        if let Some(value) = known {
            return Err(Stop::invalid(format!("math between {kind} pointer and {value} is not allowed")));
        }
        let off = i64::from(reg.off);
        if !is_scalar && !(-VAR_OFF_MAX + 1..VAR_OFF_MAX).contains(&off) {
            return Err(Stop::invalid(format!("{kind} pointer offset {off} is not allowed")));
        }
        if smin == i64::MIN {
            let text = format!("math between {kind} pointer and register with unbounded min value is not allowed");
            return Err(Stop::invalid(text));
        }
        if far {
            return Err(Stop::invalid(format!("value {smin} makes {kind} pointer be out of bounds")));
        }
        Ok(())
    }
}

fn with_range(kind: Kind, range: i32) -> Kind {
    match kind {
        Kind::Packet { .. } => Kind::Packet { range },
        Kind::PacketMeta { .. } => Kind::PacketMeta { range },
        other => other,
    }
}

fn has_positive_range(kind: Kind) -> bool {
    matches!(kind, Kind::Packet { range } | Kind::PacketMeta { range } if range > 0)
}

/// The operator as messages print it.
#[doc(alias = "bpf_alu_string")]
fn symbol(op: AluOp) -> &'static str {
    match op {
        AluOp::Add => "+=",
        AluOp::Sub => "-=",
        AluOp::Mul => "*=",
        AluOp::Div | AluOp::SDiv => "/=",
        AluOp::Or => "|=",
        AluOp::And => "&=",
        AluOp::Lsh => "<<=",
        AluOp::Rsh => ">>=",
        AluOp::Mod | AluOp::SMod => "%=",
        AluOp::Xor => "^=",
        AluOp::Mov => "=",
        AluOp::Arsh => "s>>=",
    }
}
