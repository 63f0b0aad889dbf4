//! Reads and writes of the stack, byte by byte: spills, fills, plain data, zeros.
//!
//! Stands for `check_stack_read_fixed_off`, `check_stack_write_var_off` and their likes, and `check_stack_range_initialized`
//! (6.1 … 7.3). Left out: dynptrs and iterators on the stack, and what holds for unprivileged programs.

use super::precision::Wanted;
use super::state::{Byte, Cell, Frame, Kind, Reg, SLOT_BYTES, Slot};
use super::text::bits_text;
use super::walker::{Check, Stop, Walker};
use crate::domain::Scalar;
use crate::isa::{Operand, Reg as RegNo};
use crate::kernel::limits::{STACK_BYTES_MAX, VAR_OFF_MAX};
use crate::kernel::{
    Backtracking, FillIds, HelperAccess, ScalarSpills, Shown, SpillPointers, StackRefusal, VariableStore, ZeroReads,
};

/// Whether memory is read or written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Access {
    Read,
    Write,
}

/// Who accesses memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum By {
    /// An instruction.
    Instruction,
    /// A helper.
    Helper,
    /// A global function, which is verified on its own.
    GlobalCall,
}

/// A stack pointer taken apart: frame, and first and last possible offset from the frame pointer.
#[derive(Clone, Copy, Debug)]
pub(super) struct StackRange {
    pub frame: usize,
    pub min: i64,
    pub max: i64,
    pub fixed: bool,
}

/// The slot of an offset below the frame pointer, and the byte within it.
fn place(off: i64) -> (usize, usize) {
    let below = (-off - 1).max(0) as usize;
    (below / SLOT_BYTES, below % SLOT_BYTES)
}

impl Walker<'_> {
    /// The offsets that an access of `size` bytes at `off` from a stack pointer may have, checked against the frame.
    ///
    /// Kernel: `check_stack_access_within_bounds` (6.1 … 7.3); grows the tracked stack.
    #[doc(alias = "check_stack_access_within_bounds")]
    pub fn stack_range(&mut self, reg: RegNo, off: i64, size: i64, by: By, access: Access) -> Check<StackRange> {
        let pointer = *self.reg(reg);
        let Kind::Stack { frame } = pointer.kind else {
            return Err(Stop::bug("not a stack pointer"));
        };
        let by_helper = by != By::Instruction && self.rules.walk.helper_access == HelperAccess::Unknown;
        let verb = match access {
            _ if by_helper => " indirect access to",
            Access::Read => " read from",
            Access::Write => " write to",
        };
        let n = reg.n();
        let base = i64::from(pointer.off) + off;
        let fixed = pointer.value.as_const();
        let (min, max) = match fixed {
            Some(value) => (base.wrapping_add(value as i64), base.wrapping_add(value as i64)),
            None if pointer.value.smax() >= VAR_OFF_MAX || pointer.value.smin() <= -VAR_OFF_MAX => {
                return Err(Stop::access(format!("invalid unbounded variable-offset{verb} stack R{n}")));
            }
            None => (pointer.value.smin() + base, pointer.value.smax() + base),
        };
        let below = min < -i64::from(STACK_BYTES_MAX) || min > -1;
        let above = max.saturating_add(size) > 0;
        if below || above {
            let text = if fixed.is_some() {
                let shown = if self.rules.walk.stack_message_has_whole_offset() { min } else { base };
                format!("invalid{verb} stack R{n} off={shown} size={size}")
            } else {
                let bits = bits_text(pointer.value.bits(), self.rules);
                let fixed = match self.rules.walk.stack_refusal {
                    StackRefusal::Bare => String::new(),
                    StackRefusal::WithOffset if self.rules.walk.stack_message_has_whole_offset() => {
                        format!(" off={off}")
                    }
                    StackRefusal::WithOffset => format!(" off={base}"),
                };
                format!("invalid variable-offset{verb} stack R{n} var_off={bits}{fixed} size={size}")
            };
            return Err(if below { Stop::access(text) } else { Stop::invalid(text) });
        }
        self.grow_stack(usize::from(frame), min);
        Ok(StackRange { frame: usize::from(frame), min, max, fixed: fixed.is_some() })
    }

    /// Kernel: `grow_stack_state` (6.1 … 7.3).
    #[doc(alias = "grow_stack_state")]
    fn grow_stack(&mut self, frame: usize, min: i64) {
        let slots = (-min).max(0) as usize;
        let slots = slots.div_ceil(SLOT_BYTES);
        let model = self.model();
        if self.cur.frame(frame).stack.len() >= slots {
            return;
        }
        let frame = self.cur.frame_mut(frame);
        frame.stack.grow(slots, model);
        let (subprog, bytes) = (frame.subprog, (slots * SLOT_BYTES) as u16);
        let depth = &mut self.subprogs[subprog.at()].depth;
        *depth = (*depth).max(bytes);
    }

    /// Spills around calls stay once anything else uses their slots. What a helper reads, or writes at an offset or of a size that
    /// is not known, does not count, nor what a callee reads of its caller's.
    ///
    /// Kernel: `check_fastcall_stack_contract` (6.12 … 7.3).
    #[doc(alias = "check_fastcall_stack_contract")]
    fn note_use_of_patterns(&mut self, frame: usize, off: i64) {
        let subprog = self.cur.frame(frame).subprog;
        let below = &mut self.subprogs[subprog.at()].patterns_below;
        if off < i64::from(*below) && !self.structure.fastcall.holds(self.at) {
            *below = i16::MIN;
        }
    }

    /// A load from the stack into `dst`, or the reading half of an atomic when there is none.
    ///
    /// Kernel: `check_stack_read` (6.1 … 7.3).
    #[doc(alias = "check_stack_read")]
    pub fn read_stack(&mut self, base: RegNo, off: i64, size: u32, dst: Option<RegNo>) -> Check {
        let range = self.stack_range(base, off, i64::from(size), By::Instruction, Access::Read)?;
        // A read at a known offset is held against the patterns of the function that reads, whoever's stack it is.
        let reader = if range.fixed { self.cur.depth() } else { range.frame };
        self.note_use_of_patterns(reader, range.min);
        if range.fixed {
            return self.read_stack_fixed(base, range.frame, range.min, size as usize, dst);
        }
        let Some(dst) = dst else {
            let text = format!(
                "variable offset stack pointer cannot be passed into helper function; var_off={} off={off} size={size}",
                bits_text(self.reg(base).value.bits(), self.rules)
            );
            return Err(Stop::access(text));
        };
        self.check_initialized(base, range, i64::from(size), By::Instruction, Access::Read)?;
        self.load_bytes(range.frame, range.min, range.max + i64::from(size), dst)
    }

    /// Kernel: `check_stack_read_fixed_off` (6.1 … 7.3).
    #[doc(alias = "check_stack_read_fixed_off")]
    fn read_stack_fixed(&mut self, base: RegNo, frame: usize, off: i64, size: usize, dst: Option<RegNo>) -> Check {
        let (slot_no, byte) = place(off);
        self.touch_read(slot_no);
        let Some(slot) = self.cur.frame(frame).stack.get(slot_no).copied() else {
            return Err(Stop::bug("stack slot out of reach"));
        };
        self.mark_read(slot.spilled.marks);
        self.mark_slot_read(frame, slot_no);
        let older = self.rules.walk.scalar_spills == ScalarSpills::BoundedOnly;
        if !slot.is_spill() {
            self.check_bytes(&slot, byte, off, size)?;
            return dst.map_or(Ok(()), |dst| self.load_bytes(frame, off, off + size as i64, dst));
        }
        let spill_bytes = slot.spill_bytes();
        if size == SLOT_BYTES && spill_bytes == SLOT_BYTES {
            let Some(dst) = dst else {
                self.note_slot(base, frame, slot_no);
                return Ok(());
            };
            let content = self.linked_content(frame, slot_no);
            self.set_reg(dst, content);
            self.note_slot(base, frame, slot_no);
            return Ok(());
        }
        if slot.spilled.kind != Kind::Scalar {
            return Err(Stop::access("invalid size of register fill"));
        }
        let Some(dst) = dst else { return Ok(()) };
        if older {
            return self.fill_part_6_1(base, frame, slot_no, off, size, dst);
        }
        self.fill_part(base, frame, slot_no, off, size, dst)
    }

    /// What a slot holds, to be filled: where rules say so, with an id that links it with its slot.
    fn linked_content(&mut self, frame: usize, slot_no: usize) -> Reg {
        let mut content = self.cur.frame(frame).stack[slot_no].spilled;
        if self.rules.walk.fill_ids == FillIds::Given {
            self.assign_id_before_copy(&mut content);
            self.cur.frame_mut(frame).stack[slot_no].spilled.assign(content);
        }
        content
    }

    /// A read of part of a spilled scalar.
    fn fill_part_6_1(&mut self, base: RegNo, frame: usize, slot_no: usize, off: i64, size: usize, dst: RegNo) -> Check {
        let slot = self.cur.frame(frame).stack[slot_no];
        let (_, byte) = place(off);
        if off % SLOT_BYTES as i64 == 0 && size == slot.spill_bytes() {
            self.set_reg(dst, slot.spilled);
            self.note_slot(base, frame, slot_no);
            return Ok(());
        }
        for i in 0..size {
            if slot.bytes[(byte - i) % SLOT_BYTES] == Byte::Zero {
                return Err(Stop::access(format!("invalid read from stack off {off}+{i} size {size}")));
            }
        }
        self.set_unknown(dst);
        Ok(())
    }

    fn fill_part(&mut self, base: RegNo, frame: usize, slot_no: usize, off: i64, size: usize, dst: RegNo) -> Check {
        let slot = self.cur.frame(frame).stack[slot_no];
        let (_, byte) = place(off);
        let spill_bytes = slot.spill_bytes();
        let narrow = off.rem_euclid(SLOT_BYTES as i64) == 0;
        if size <= spill_bytes && narrow {
            let whole = size == 4 && spill_bytes == 4 && width(&slot.spilled.value) <= 32;
            let mut content = if whole { self.linked_content(frame, slot_no) } else { slot.spilled };
            if width(&content.value) > 8 * size as u32 {
                content.drop_id(self.rules.walk.lost_link);
            }
            self.set_reg(dst, content);
            self.note_slot(base, frame, slot_no);
            return Ok(());
        }
        self.check_bytes(&slot, byte, off, size)?;
        let all = |wanted: Byte| (0..size).all(|i| slot.bytes[(byte - i) % SLOT_BYTES] == wanted);
        if all(Byte::Spill) && slot.spilled.is_null() {
            let zero = Reg::constant(self.model(), 0);
            self.set_reg(dst, zero);
            self.note_slot(base, frame, slot_no);
            return Ok(());
        }
        self.load_bytes(frame, off, off + size as i64, dst)
    }

    /// Refuses what may not be read; unwritten bytes are fine for privileged programs.
    fn check_bytes(&self, slot: &Slot, byte: usize, off: i64, size: usize) -> Check {
        for i in 0..size {
            let text = match slot.bytes[byte.wrapping_sub(i) % SLOT_BYTES] {
                Byte::Poison => {
                    format!("reading from stack off {off}+{i} size {size}, slot poisoned by dead code elimination")
                }
                // What is left of a spill that a store of variable offset went through.
                Byte::Spill if !slot.is_spill() => format!("invalid read from stack off {off}+{i} size {size}"),
                _ => continue,
            };
            return Err(Stop::access(text));
        }
        Ok(())
    }

    /// The value of plain bytes: zero if all of them are, else anything.
    ///
    /// Kernel: `mark_reg_stack_read` (6.1 … 7.3).
    #[doc(alias = "mark_reg_stack_read")]
    fn load_bytes(&mut self, frame: usize, from: i64, to: i64, dst: RegNo) -> Check {
        let with_spills = self.rules.walk.zero_reads == ZeroReads::WithZeroSpills;
        let mut zero_spills = Wanted::nothing(self.cur.depth());
        let mut all_zero = true;
        for off in from..to {
            let (slot_no, byte) = place(off);
            self.touch_read(slot_no);
            let Some(slot) = self.cur.frame(frame).stack.get(slot_no) else { break };
            match slot.bytes[byte] {
                Byte::Zero => {}
                Byte::Spill if with_spills && slot.spilled.is_null() => {
                    zero_spills.add(frame, Cell::Slot(slot_no as u8))
                }
                _ => {
                    all_zero = false;
                    break;
                }
            }
        }
        if !all_zero {
            self.set_unknown(dst);
            return Ok(());
        }
        let mut zero = Reg::constant(self.model(), 0);
        zero.precise = self.rules.walk.scalar_spills == ScalarSpills::BoundedOnly;
        self.set_reg(dst, zero);
        if zero_spills.is_empty() { Ok(()) } else { self.mark_wanted(zero_spills).map(|_| ()) }
    }

    fn touch_read(&mut self, slot: usize) {
        if self.rules.log.shown >= Shown::AndReads {
            self.touched.slot(slot);
        }
    }

    /// Remembers that the current instruction read or wrote a slot as a register, where precision is to follow it.
    fn note_slot(&mut self, base: RegNo, frame: usize, slot: usize) {
        let walk = &self.rules.walk;
        let noted = match walk.spill_pointers {
            SpillPointers::Any => true,
            // Within a frame, the instruction itself tells the slot.
            SpillPointers::FramePointer => base == RegNo::R10 && walk.backtracking == Backtracking::AllFrames,
        };
        if noted {
            self.push_history(|entry| entry.slot = Some((frame as u8, slot as u8)));
        }
    }

    /// A store to the stack; no value for the writing half of an atomic.
    ///
    /// Kernel: `check_stack_write` (6.1 … 7.3).
    #[doc(alias = "check_stack_write")]
    pub fn write_stack(&mut self, base: RegNo, off: i64, size: u32, value: Option<Operand>) -> Check {
        let range = self.stack_range(base, off, i64::from(size), By::Instruction, Access::Write)?;
        self.note_use_of_patterns(range.frame, range.min);
        if range.fixed {
            self.write_stack_fixed(base, range.frame, range.min, size as usize, value)
        } else {
            self.write_stack_variable(range, i64::from(size), value)
        }
    }

    fn stored(&self, value: Option<Operand>) -> Option<Reg> {
        match value {
            Some(Operand::Reg(reg)) => Some(*self.reg(reg)),
            _ => None,
        }
    }

    /// Kernel: `check_stack_write_fixed_off` (6.1 … 7.3).
    #[doc(alias = "check_stack_write_fixed_off")]
    fn write_stack_fixed(&mut self, base: RegNo, frame: usize, off: i64, size: usize, value: Option<Operand>) -> Check {
        let (slot_no, byte) = place(off);
        let aligned = off % SLOT_BYTES as i64 == 0;
        let older = self.rules.walk.scalar_spills == ScalarSpills::BoundedOnly;
        let stored = self.stored(value);
        self.touched.slot(slot_no);
        if let Some(marks) = self.stack_marks.as_mut().filter(|_| aligned && size == SLOT_BYTES) {
            marks.write(frame, slot_no);
        }
        match (stored, value) {
            (Some(reg), Some(Operand::Reg(src))) if aligned && reg.kind == Kind::Scalar && self.spills(&reg) => {
                if older {
                    if base != RegNo::R10 {
                        self.mark_precise(src)?;
                    }
                    let mut spilled = reg;
                    if width(&reg.value) > 8 * size as u32 {
                        spilled.id = 0;
                    }
                    self.save_spill(frame, slot_no, spilled, size);
                    self.note_slot(base, frame, slot_no);
                    return Ok(());
                }
                let fits = width(&reg.value) <= 8 * size as u32;
                let mut spilled = reg;
                if fits {
                    self.assign_id_before_copy(&mut spilled);
                    *self.reg_mut(src) = spilled;
                } else {
                    spilled.drop_id(self.rules.walk.lost_link);
                }
                self.save_spill(frame, slot_no, spilled, size);
                self.note_slot(base, frame, slot_no);
                Ok(())
            }
            (None, Some(Operand::Imm(imm))) if aligned && !(older && imm == 0) => {
                let known = Reg::constant(self.model(), i64::from(imm) as u64);
                self.save_spill(frame, slot_no, known, size);
                self.note_slot(base, frame, slot_no);
                Ok(())
            }
            (Some(reg), _) if reg.kind.is_pointer() => {
                if size != SLOT_BYTES {
                    return Err(Stop::access("invalid size of register spill"));
                }
                if frame != self.cur.depth() && matches!(reg.kind, Kind::Stack { .. }) {
                    return Err(Stop::invalid("cannot spill pointers to stack into stack frame of the caller"));
                }
                self.save_spill(frame, slot_no, reg, size);
                self.note_slot(base, frame, slot_no);
                Ok(())
            }
            _ => self.write_plain(frame, slot_no, byte, size, value, stored),
        }
    }

    /// True when a scalar keeps what is known of it in a slot.
    fn spills(&self, reg: &Reg) -> bool {
        match self.rules.walk.scalar_spills {
            ScalarSpills::All => true,
            ScalarSpills::BoundedOnly => reg.value != Scalar::unknown(self.model()) && !reg.is_null(),
        }
    }

    fn write_plain(
        &mut self,
        frame: usize,
        slot_no: usize,
        byte: usize,
        size: usize,
        value: Option<Operand>,
        stored: Option<Reg>,
    ) -> Check {
        let by_marks = self.by_read_marks();
        let slot = &mut self.cur.frame_mut(frame).stack[slot_no];
        let was_spill = slot.is_spill();
        slot.spilled.kind = Kind::NotInit;
        if was_spill {
            scrub(slot);
        }
        if size == SLOT_BYTES && by_marks {
            slot.spilled.marks.written = true;
        }
        let zero = match value {
            Some(Operand::Imm(imm)) => imm == 0,
            _ => stored.is_some_and(|r| r.is_null()),
        };
        if zero && let Some(Operand::Reg(src)) = value {
            self.mark_precise(src)?;
        }
        let slot = &mut self.cur.frame_mut(frame).stack[slot_no];
        for i in 0..size {
            slot.bytes[byte.wrapping_sub(i) % SLOT_BYTES] = if zero { Byte::Zero } else { Byte::Misc };
        }
        Ok(())
    }

    /// Kernel: `save_register_state` (6.1 … 7.3).
    #[doc(alias = "save_register_state")]
    fn save_spill(&mut self, frame: usize, slot_no: usize, reg: Reg, size: usize) {
        let by_marks = self.by_read_marks();
        let keeps_zero = self.rules.walk.scalar_spills == ScalarSpills::All;
        let slot = &mut self.cur.frame_mut(frame).stack[slot_no];
        slot.spilled.assign(reg);
        if size == SLOT_BYTES && by_marks {
            slot.spilled.marks.written = true;
        }
        let from = SLOT_BYTES - size.min(SLOT_BYTES);
        slot.bytes[from..].fill(Byte::Spill);
        for byte in &mut slot.bytes[..from] {
            // Bytes beside a narrow spill become plain data, unless they were nothing or, lately, zero.
            let keep = matches!(byte, Byte::Invalid | Byte::Poison) || keeps_zero && *byte == Byte::Zero;
            if !keep {
                *byte = Byte::Misc;
            }
        }
    }

    /// Kernel: `check_stack_write_var_off` (6.1 … 7.3).
    #[doc(alias = "check_stack_write_var_off")]
    fn write_stack_variable(&mut self, range: StackRange, size: i64, value: Option<Operand>) -> Check {
        let newer = self.rules.walk.scalar_spills == ScalarSpills::All;
        let stored = self.stored(value);
        let writes_zero = match value {
            Some(Operand::Imm(imm)) => newer && imm == 0,
            _ => stored.is_some_and(|r| r.is_null()),
        };
        let mut zero_used = false;
        for off in range.min..range.max + size {
            let (slot_no, byte) = place(off);
            self.touched.slot(slot_no);
            let slot = &mut self.cur.frame_mut(range.frame).stack[slot_no];
            if newer
                && writes_zero
                && slot.bytes[byte] == Byte::Spill
                && slot.is_scalar_spill()
                && slot.spilled.is_null()
            {
                zero_used = true;
                continue;
            }
            if self.rules.walk.variable_store == VariableStore::Scrubs && slot.is_spill() {
                scrub(slot);
            }
            let stays_zero = writes_zero && slot.bytes[byte] == Byte::Zero;
            zero_used |= stays_zero;
            slot.spilled.kind = Kind::NotInit;
            slot.bytes[byte] = if stays_zero { Byte::Zero } else { Byte::Misc };
        }
        match value {
            Some(Operand::Reg(src)) if zero_used => self.mark_precise(src),
            _ => Ok(()),
        }
    }

    /// Checks that a helper may read or write a range of the stack; what it writes is plain data afterwards.
    ///
    /// Kernel: `check_stack_range_initialized` (6.1 … 7.3).
    #[doc(alias = "check_stack_range_initialized")]
    pub fn check_initialized(&mut self, reg: RegNo, range: StackRange, size: i64, by: By, access: Access) -> Check {
        let older = self.rules.walk.helper_access == HelperAccess::Unknown;
        let clobber = if older { by != By::Instruction } else { access == Access::Write };
        let model = self.model();
        for off in range.min..range.max + size {
            let (slot_no, byte) = place(off);
            let Some(slot) = self.cur.frame(range.frame).stack.get(slot_no).copied() else {
                return Err(Stop::bug("allocated_stack too small"));
            };
            match slot.bytes[byte] {
                Byte::Misc => {}
                Byte::Zero | Byte::Invalid if clobber => {
                    self.cur.frame_mut(range.frame).stack[slot_no].bytes[byte] = Byte::Misc;
                }
                Byte::Zero | Byte::Invalid => {}
                _ if slot.is_spill() => {
                    if clobber {
                        let slot = &mut self.cur.frame_mut(range.frame).stack[slot_no];
                        slot.spilled.assign(Reg::unknown(model));
                        scrub(slot);
                    }
                }
                Byte::Poison if clobber || by == By::GlobalCall => {}
                Byte::Poison => {
                    let n = off - range.min;
                    let text = format!(
                        "reading from stack R{} off {}+{n} size {size}, slot poisoned by dead code elimination",
                        reg.n(),
                        range.min
                    );
                    return Err(Stop::access(text));
                }
                Byte::Spill => {
                    let indirect = if older && by != By::Instruction { " indirect" } else { "" };
                    let text = format!(
                        "invalid{indirect} read from stack R{} off {}+{} size {size}",
                        reg.n(),
                        range.min,
                        off - range.min
                    );
                    return Err(Stop::access(text));
                }
            }
            self.mark_read(slot.spilled.marks);
            self.mark_slot_read(range.frame, slot_no);
        }
        Ok(())
    }
}

/// What is left of a spilled register is plain data.
#[doc(alias = "scrub_spilled_slot")]
fn scrub(slot: &mut Slot) {
    for byte in &mut slot.bytes {
        if *byte != Byte::Invalid && *byte != Byte::Poison {
            *byte = Byte::Misc;
        }
    }
}

/// How many low bits a number needs.
#[doc(alias = "get_reg_width")]
fn width(value: &Scalar) -> u32 {
    u64::BITS - value.umax().leading_zeros()
}

impl Frame {
    /// The known value of a key of `size` bytes at an offset of this frame, with the spilled register that holds it.
    ///
    /// Kernel: `get_constant_map_key` (6.15 … 7.3).
    #[doc(alias = "get_constant_map_key")]
    pub fn constant_key(&self, off: i64, size: usize) -> Option<(u64, Option<Cell>)> {
        let (slot_no, byte) = place(off);
        let slot = self.stack.get(slot_no)?;
        let run = |wanted: Byte| slot.bytes[..=byte].iter().rev().take_while(|b| **b == wanted).count();
        if run(Byte::Zero) >= size {
            return Some((0, None));
        }
        if !slot.is_scalar_spill() || run(Byte::Spill) != size {
            return None;
        }
        Some((slot.spilled.value.as_const()?, Some(Cell::Slot(slot_no as u8))))
    }
}
