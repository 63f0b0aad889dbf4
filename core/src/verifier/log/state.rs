//! Registers, stack slots and frames as the log writes them.
//!
//! Stands for `print_verifier_state` and `print_reg_state` (6.1 … 7.3).

use super::Touched;
use crate::domain::Scalar;
use crate::kernel::ctx::SockKind;
use crate::kernel::{LivenessModel, ReferenceStyle, RegisterStyle, Rules};
use crate::program::{MapDef, Program};
use crate::verifier::state::{Byte, Cell, Frame, Kind, Link, Marks, Reference, Reg, SLOT_BYTES, Slot};
use std::fmt::Write;

/// Writes a frame and the line's end.
///
/// Kernel: `print_verifier_state` (6.1 … 7.3).
#[doc(alias = "print_verifier_state")]
pub(super) fn write(
    out: &mut String,
    program: &Program,
    rules: &Rules,
    (frame, depth, refs): (&Frame, usize, &[Reference]),
    what: Touched,
) {
    if depth > 0 {
        let _ = write!(out, " frame{depth}:");
    }
    let mut printer = Printer { out, program, rules, depth };
    for (n, reg) in frame.regs.iter().enumerate() {
        if reg.kind != Kind::NotInit && what.has(Cell::Reg(n as u8)) {
            let _ = write!(printer.out, " R{n}");
            printer.marks(reg.marks);
            printer.out.push('=');
            printer.reg(reg);
        }
    }
    for (n, slot) in frame.stack.iter().enumerate() {
        let valid = slot.bytes.iter().any(|b| !matches!(b, Byte::Invalid | Byte::Poison));
        if valid && what.has(Cell::Slot(n as u8)) {
            let _ = write!(printer.out, " fp{}", -((n as i64 + 1) * SLOT_BYTES as i64));
            printer.marks(slot.spilled.marks);
            printer.out.push('=');
            printer.slot(slot);
        }
    }
    if !refs.is_empty() {
        let ids: Vec<String> = refs.iter().map(|r| r.id.to_string()).collect();
        let _ = write!(printer.out, " refs={}", ids.join(","));
    }
    if frame.callback_range.is_some() {
        printer.out.push_str(" cb");
    }
    printer.out.push('\n');
}

struct Printer<'a> {
    out: &'a mut String,
    program: &'a Program,
    rules: &'a Rules,
    depth: usize,
}

/// Attributes in brackets, with commas between them.
struct Attributes<'a> {
    out: &'a mut String,
    first: bool,
}

impl Attributes<'_> {
    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        let _ = self.out.write_fmt(text);
    }
}

impl Printer<'_> {
    /// Kernel: `print_liveness` (6.1 … 6.17).
    #[doc(alias = "print_liveness")]
    fn marks(&mut self, marks: Marks) {
        if self.rules.walk.liveness == LivenessModel::ReadMarks && (marks.read || marks.written) {
            self.out.push('_');
            self.out.push_str(if marks.read { "r" } else { "" });
            self.out.push_str(if marks.written { "w" } else { "" });
        }
    }

    fn slot(&mut self, slot: &Slot) {
        let letters: String = slot.bytes.iter().map(|b| letter(*b)).collect();
        if !slot.is_spill() {
            self.out.push_str(&letters);
            return;
        }
        match self.rules.log.registers {
            RegisterStyle::EachRange => {
                let reg = &slot.spilled;
                if reg.kind != Kind::Scalar {
                    let name = self.name(reg.kind);
                    self.out.push_str(name);
                    return;
                }
                self.out.push_str(if reg.precise { "P" } else { "" });
                if let Some(value) = reg.value.as_const() {
                    let _ = write!(self.out, "{}", value as i64);
                }
            }
            RegisterStyle::JoinedRanges => {
                self.out.extend(letters.chars().take_while(|c| *c != letter(Byte::Spill)));
                self.reg(&slot.spilled);
            }
        }
    }

    fn reg(&mut self, reg: &Reg) {
        if reg.kind == Kind::Scalar && reg.precise {
            self.out.push('P');
        }
        match self.rules.log.registers {
            RegisterStyle::EachRange => self.each_range(reg),
            RegisterStyle::JoinedRanges => self.joined_ranges(reg),
        }
    }

    fn name(&self, kind: Kind) -> &'static str {
        kind.log_name(self.rules)
    }

    fn map(&self, kind: Kind) -> Option<&MapDef> {
        match kind {
            Kind::MapPtr { map } | Kind::MapValue { map, .. } | Kind::MapKey { map } | Kind::MapSock { map, .. } => {
                self.program.maps.get(map as usize)
            }
            _ => None,
        }
    }

    fn each_range(&mut self, reg: &Reg) {
        let (value, known) = (&reg.value, reg.value.as_const());
        let is_scalar = reg.kind == Kind::Scalar;
        if let Some(known) = known
            && (is_scalar || matches!(reg.kind, Kind::Stack { .. }))
        {
            let sum = (known as i64).wrapping_add(i64::from(reg.off));
            let _ = write!(self.out, "{}{sum}", if is_scalar { "" } else { reg.kind.name() });
            return;
        }
        let sizes = self.map(reg.kind).map(|m| (m.key_size, m.value_size));
        let name = self.name(reg.kind);
        self.out.push_str(name);
        self.out.push_str(struct_name(reg.kind));
        self.out.push('(');
        let mut list = Attributes { out: self.out, first: true };
        if reg.id != 0 {
            list.add(format_args!("id={}", reg.id));
        }
        let shows_reference = match reg.kind {
            Kind::Mem { .. } => true,
            Kind::Sock { kind, .. } => matches!(kind, SockKind::Full | SockKind::Tcp),
            _ => false,
        };
        if shows_reference && reg.reference != 0 {
            list.add(format_args!("ref_obj_id={}", reg.reference));
        }
        if !is_scalar {
            list.add(format_args!("off={}", reg.off));
        }
        if let Kind::Packet { range } | Kind::PacketMeta { range } = reg.kind {
            list.add(format_args!("r={range}"));
        }
        if let Some((key, value)) = sizes {
            list.add(format_args!("ks={key},vs={value}"));
        }
        match known {
            Some(known) => list.add(format_args!("imm={known:x}")),
            None => separate_ranges(&mut list, value),
        }
        self.out.push(')');
    }

    fn joined_ranges(&mut self, reg: &Reg) {
        let known = reg.value.as_const();
        match (reg.kind, known) {
            (Kind::Scalar, Some(known)) => return self.signed(known as i64),
            (Kind::Stack { frame }, _) => {
                self.out.push_str("fp");
                if usize::from(frame) != self.depth {
                    let _ = write!(self.out, "[{frame}]");
                }
                if let Some(known) = known {
                    return self.signed((known as i64).wrapping_add(i64::from(reg.off)));
                }
            }
            (kind, _) => {
                self.out.push_str(kind.name());
                self.out.push_str(struct_name(kind));
            }
        }
        let sizes = self.map(reg.kind).map(|m| (m.key_size, m.value_size));
        self.out.push('(');
        let mut list = Attributes { out: self.out, first: true };
        if reg.id != 0 {
            list.add(format_args!("id={}", reg.id));
        }
        if reg.kind == Kind::Scalar && reg.link != Link::Same {
            let _ = write!(list.out, "{:+}", reg.off);
        }
        if reg.reference != 0 {
            match self.rules.log.references {
                ReferenceStyle::RefObjId => list.add(format_args!("ref_obj_id={}", reg.reference)),
                // What was acquired is its own reference.
                ReferenceStyle::ParentId if reg.id == reg.reference => {}
                ReferenceStyle::ParentId => list.add(format_args!("parent_id={}", reg.reference)),
            }
        }
        if let Some((key, value)) = sizes {
            list.add(format_args!("ks={key},vs={value}"));
        }
        if reg.kind != Kind::Scalar && reg.off != 0 {
            list.add(format_args!("off={}", signed_text(reg.off.into())));
        }
        if let Kind::Packet { range } | Kind::PacketMeta { range } = reg.kind {
            list.add(format_args!("r={}", unsigned_text(i64::from(range) as u64)));
        }
        if let Kind::Mem { size, .. } = reg.kind {
            list.add(format_args!("sz={}", unsigned_text(size.into())));
        }
        match known {
            Some(0) => {}
            Some(known) => list.add(format_args!("imm={}", signed_text(known as i64))),
            None => joined_ranges(&mut list, &reg.value),
        }
        self.out.push(')');
    }

    fn signed(&mut self, value: i64) {
        self.out.push_str(&signed_text(value));
    }
}

/// What a pointer to an object of the kernel points to.
fn struct_name(kind: Kind) -> &'static str {
    if let Kind::Object(object) = kind { object.struct_name() } else { "" }
}

#[doc(alias = "slot_type_char")]
fn letter(byte: Byte) -> char {
    match byte {
        Byte::Invalid => '?',
        Byte::Spill => 'r',
        Byte::Misc => 'm',
        Byte::Zero => '0',
        Byte::Poison => 'p',
    }
}

/// Decimal where it fits 16 bits.
///
/// Kernel: `verbose_snum` (6.8 … 7.3).
#[doc(alias = "verbose_snum")]
fn signed_text(value: i64) -> String {
    if i16::try_from(value).is_ok() { value.to_string() } else { format!("{value:#x}") }
}

/// Kernel: `verbose_unum` (6.8 … 7.3).
#[doc(alias = "verbose_unum")]
fn unsigned_text(value: u64) -> String {
    if u16::try_from(value).is_ok() { value.to_string() } else { format!("{value:#x}") }
}

/// The ends of ranges that say more than those before them.
fn separate_ranges(list: &mut Attributes<'_>, value: &Scalar) {
    let (smin, smax, umin, umax) = (value.smin(), value.smax(), value.umin(), value.umax());
    let (s32_min, s32_max) = (value.s32_min(), value.s32_max());
    let (u32_min, u32_max) = (value.u32_min(), value.u32_max());
    if smin as u64 != umin && smin != i64::MIN {
        list.add(format_args!("smin={smin}"));
    }
    if smax as u64 != umax && smax != i64::MAX {
        list.add(format_args!("smax={smax}"));
    }
    if umin != 0 {
        list.add(format_args!("umin={umin}"));
    }
    if umax != u64::MAX {
        list.add(format_args!("umax={umax}"));
    }
    let bits = value.bits();
    if bits.mask != u64::MAX {
        list.add(format_args!("var_off=({:#x}; {:#x})", bits.value, bits.mask));
    }
    if i64::from(s32_min) != smin && s32_min != i32::MIN {
        list.add(format_args!("s32_min={s32_min}"));
    }
    if i64::from(s32_max) != smax && s32_max != i32::MAX {
        list.add(format_args!("s32_max={s32_max}"));
    }
    // The kernel prints these two as signed numbers.
    if u64::from(u32_min) != umin && u32_min != 0 {
        list.add(format_args!("u32_min={}", u32_min as i32));
    }
    if u64::from(u32_max) != umax && u32_max != u32::MAX {
        list.add(format_args!("u32_max={}", u32_max as i32));
    }
}

/// An end of a range, as the joined style writes it.
struct End {
    name: &'static str,
    signed: bool,
    value: u64,
    shown: bool,
}

/// The ends of ranges, equal ones together.
///
/// Kernel: `print_scalar_ranges` (6.8 … 7.3).
#[doc(alias = "print_scalar_ranges")]
fn joined_ranges(list: &mut Attributes<'_>, value: &Scalar) {
    // A 32-bit end is extended only where it is written as a decimal number, so that −2 is the same in both widths.
    let narrow = |v: i32| if i16::try_from(v).is_ok() { i64::from(v) as u64 } else { u64::from(v as u32) };
    let signed = |name, value, shown| End { name, signed: true, value, shown };
    let unsigned = |name, value, shown| End { name, signed: false, value, shown };
    let (s32_min, s32_max) = (value.s32_min(), value.s32_max());
    let mut ends = [
        signed("smin", value.smin() as u64, value.smin() != i64::MIN),
        signed("smax", value.smax() as u64, value.smax() != i64::MAX),
        unsigned("umin", value.umin(), value.umin() != 0),
        unsigned("umax", value.umax(), value.umax() != u64::MAX),
        signed("smin32", narrow(s32_min), s32_min != i32::MIN),
        signed("smax32", narrow(s32_max), s32_max != i32::MAX),
        unsigned("umin32", value.u32_min().into(), value.u32_min() != 0),
        unsigned("umax32", value.u32_max().into(), value.u32_max() != u32::MAX),
    ];
    let negative = |end: &End| end.signed && (end.value as i64) < 0;
    for n in 0..ends.len() {
        let End { name, signed, value, shown } = ends[n];
        if !shown {
            continue;
        }
        let this_negative = negative(&ends[n]);
        let mut names = name.to_owned();
        // Every other end is of the same kind, least or greatest.
        for end in ends.iter_mut().skip(n + 2).step_by(2) {
            if end.shown && end.value == value && negative(end) == this_negative {
                end.shown = false;
                names.push('=');
                names.push_str(end.name);
            }
        }
        let text = if signed { signed_text(value as i64) } else { unsigned_text(value) };
        list.add(format_args!("{names}={text}"));
    }
    let bits = value.bits();
    if bits.mask != u64::MAX {
        list.add(format_args!("var_off=({:#x}; {:#x})", bits.value, bits.mask));
    }
}
