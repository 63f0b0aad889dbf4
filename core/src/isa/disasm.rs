//! The disassembler: operations as text, one by one or as a listing of a whole program with labels.
//!
//! The dialect is the assembler's. Invariant: assembling a listing gives the bytes that were listed.

use super::asm::{ALU_OPS, CONDS, is_label, shown};
use super::decode::decode;
use super::insn::{Insn, InsnIdx};
use super::op::{AluOp, AtomicOp, Endian, Imm64, Op, Operand, Reg, Size, Width};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Where the names of a listing come from.
pub trait Names {
    /// The name of the function that starts at an instruction.
    fn func(&self, at: InsnIdx) -> Option<&str>;
    /// The name of a helper, as it is called.
    fn helper(&self, id: i32) -> Option<String>;
    /// The name of a map, without `map.`
    fn map(&self, index: u32) -> Option<&str>;
}

/// No names: everything by number.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {
    fn func(&self, _: InsnIdx) -> Option<&str> {
        None
    }

    fn helper(&self, _: i32) -> Option<String> {
        None
    }

    fn map(&self, _: u32) -> Option<&str> {
        None
    }
}

/// One line of a listing: an instruction (two for an `ld_imm64`) with the labels before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListedInsn {
    /// First instruction.
    pub at: InsnIdx,
    /// How many instructions the line stands for, 1 or 2.
    pub len: u32,
    /// The function that starts here.
    pub func: Option<String>,
    /// The label that jumps to here use, when no function starts here.
    pub label: Option<String>,
    /// The operation, or `.byte` with the eight bytes of what decodes to none.
    pub text: String,
}

/// Lists a program. Targets of jumps get labels, targets of calls and the first instruction get function names; a target
/// that is not the start of an operation stays a number.
pub fn listing(insns: &[Insn], names: &dyn Names) -> Vec<ListedInsn> {
    let ops = operations(insns);
    let places = Places::new(&ops, names);
    let mut out = Vec::with_capacity(ops.len());
    for (at, op) in &ops {
        let text = match op {
            Ok(op) => Text { op, at: *at, places: Some(&places), names }.to_string(),
            Err(insn) => bytes_text(*insn),
        };
        let (func, label) = (places.funcs.get(at).cloned(), places.labels.get(at).cloned());
        out.push(ListedInsn { at: *at, len: op.as_ref().map_or(1, Op::len), func, label, text });
    }
    out
}

/// The listing as text that the assembler reads.
pub fn disassemble(insns: &[Insn], names: &dyn Names) -> String {
    let mut out = String::new();
    for line in listing(insns, names) {
        for label in line.func.iter().chain(&line.label) {
            out.push_str(label);
            out.push_str(":\n");
        }
        out.push_str("    ");
        out.push_str(&line.text);
        out.push('\n');
    }
    out
}

/// An instruction that is no operation, as a directive.
fn bytes_text(insn: Insn) -> String {
    let bytes: Vec<String> = insn.to_bytes().iter().map(|b| format!("{b:#04x}")).collect();
    format!(".byte {}", bytes.join(", "))
}

/// An operation and its first instruction, or the instruction that decodes to none.
pub type Listed = (InsnIdx, Result<Op, Insn>);

/// The operations of a program, one after another.
pub fn operations(insns: &[Insn]) -> Vec<Listed> {
    let mut out = Vec::with_capacity(insns.len());
    let mut at = InsnIdx(0);
    while let Some(insn) = insns.get(at.at()) {
        let op = decode(*insn, insns.get(at.at() + 1).copied()).map_err(|_| *insn);
        let len = op.as_ref().map_or(1, Op::len);
        out.push((at, op));
        at = InsnIdx(at.0 + len);
    }
    out
}

/// Names of the places in a program.
struct Places {
    funcs: BTreeMap<InsnIdx, String>,
    labels: BTreeMap<InsnIdx, String>,
    taken: BTreeSet<String>,
}

impl Places {
    fn new(ops: &[Listed], names: &dyn Names) -> Places {
        let mut funcs = BTreeSet::from([InsnIdx(0)]);
        let mut jumps = BTreeSet::new();
        for (at, op) in ops {
            let Ok(op) = op else { continue };
            if let Some(target) = op.target(*at) {
                let calls = matches!(op, Op::CallLocal { .. } | Op::LdImm64 { .. });
                if calls {
                    funcs.insert(target)
                } else {
                    jumps.insert(target)
                };
            }
        }
        let mut places = Places { funcs: BTreeMap::new(), labels: BTreeMap::new(), taken: BTreeSet::new() };
        for (at, _) in ops {
            if funcs.contains(at) {
                let name = places.free_name(*at, names.func(*at));
                places.taken.insert(name.clone());
                places.funcs.insert(*at, name);
            } else if jumps.contains(at) {
                places.labels.insert(*at, format!(".L{at}"));
            }
        }
        places
    }

    /// The given name when it can be a label and is free, else one made of the place.
    fn free_name(&self, at: InsnIdx, given: Option<&str>) -> String {
        let usable = |name: &&str| is_label(name) && !name.starts_with(".L") && !self.taken.contains(*name);
        if let Some(name) = given.filter(usable) {
            return name.to_owned();
        }
        let mut name = default_func_name(at);
        while self.taken.contains(&name) {
            name.push('_');
        }
        name
    }

    fn name(&self, at: InsnIdx) -> Option<&str> {
        self.funcs.get(&at).or_else(|| self.labels.get(&at)).map(String::as_str)
    }
}

/// The name of a function that has none.
pub fn default_func_name(at: InsnIdx) -> String {
    if at.0 == 0 { "main".to_owned() } else { format!("sub_{at}") }
}

impl Op {
    /// The distance of a jump, a local call or a function reference, in instructions.
    pub fn distance(&self) -> Option<i32> {
        match *self {
            Op::Jump { off, .. } => Some(off),
            Op::JumpIf { off, .. } | Op::MayGoto { off } => Some(i32::from(off)),
            Op::CallLocal { rel, .. } | Op::LdImm64 { imm: Imm64::Func { rel, .. }, .. } => Some(rel),
            _ => None,
        }
    }

    /// The same operation with another distance; `None` when it has none or the distance does not fit.
    pub fn with_distance(mut self, distance: i64) -> Option<Op> {
        match &mut self {
            Op::Jump { off, wide: true } => *off = i32::try_from(distance).ok()?,
            Op::Jump { off, wide: false } => *off = i32::from(i16::try_from(distance).ok()?),
            Op::JumpIf { off, .. } | Op::MayGoto { off } => *off = i16::try_from(distance).ok()?,
            Op::CallLocal { rel, .. } | Op::LdImm64 { imm: Imm64::Func { rel, .. }, .. } => {
                *rel = i32::try_from(distance).ok()?;
            }
            _ => return None,
        }
        Some(self)
    }

    /// Where a jump, a local call or a function reference at `at` leads; `None` also when that is no index.
    pub fn target(&self, at: InsnIdx) -> Option<InsnIdx> {
        at.offset(i64::from(self.distance()?) + 1)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Text { op: self, at: InsnIdx(0), places: None, names: &NoNames }.fmt(f)
    }
}

/// An operation to be written, and the names around it.
struct Text<'a> {
    op: &'a Op,
    at: InsnIdx,
    places: Option<&'a Places>,
    names: &'a dyn Names,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self.op {
            Op::Alu { width, op, dst, src } => {
                write!(f, "{} {} {}", shown(width, dst), alu_sign(op), operand(width, src))
            }
            Op::MovSx { width, bits, dst, src } => {
                write!(f, "{} = (s{bits}){}", shown(width, dst), shown(width, src))
            }
            Op::Neg { width, dst } => write!(f, "{0} = -{0}", shown(width, dst)),
            Op::Endian { kind, bits, dst } => {
                let name = match kind {
                    Endian::ToLe => "le",
                    Endian::ToBe => "be",
                    Endian::Bswap => "bswap",
                };
                write!(f, "{dst} = {name}{bits} {dst}")
            }
            Op::AddrSpaceCast { dst, src, spaces } => {
                write!(f, "{dst} = addr_space_cast({src}, {}, {})", spaces >> 16, spaces & 0xffff)
            }
            Op::LdImm64 { dst, imm } => self.ld_imm64(f, dst, imm),
            Op::LdAbs { size, imm } => write!(f, "r0 = *(u{} *)skb[{imm}]", bits(size)),
            Op::LdInd { size, src, imm: 0 } => write!(f, "r0 = *(u{} *)skb[{src}]", bits(size)),
            Op::LdInd { size, src, imm } => write!(f, "r0 = *(u{} *)skb[{src}{imm:+}]", bits(size)),
            Op::Load { size, signed, dst, base, off } => {
                let sign = if signed { 's' } else { 'u' };
                write!(f, "{dst} = *({sign}{} *)({})", bits(size), address(base, off))
            }
            Op::Store { size, base, off, src } => {
                write!(f, "*(u{} *)({}) = {}", bits(size), address(base, off), operand(Width::W64, src))
            }
            Op::Atomic { size, op, base, off, src } => atomic(f, size, op, &address(base, off), src),
            Op::Jump { wide, .. } => self.jump(f, if wide { "gotol" } else { "goto" }),
            Op::JumpIf { width, cond, dst, src, .. } => {
                let sign = CONDS.iter().find(|(_, c)| *c == cond).map_or("", |(sign, _)| sign);
                write!(f, "if {} {sign} {} ", shown(width, dst), operand(width, src))?;
                self.jump(f, "goto")
            }
            Op::MayGoto { .. } => self.jump(f, "may_goto"),
            Op::CallHelper { id } => match self.helper(id) {
                Some(name) => write!(f, "call {name}"),
                None => write!(f, "call {id}"),
            },
            Op::CallLocal { rel, off } => {
                f.write_str("call ")?;
                self.place(f, rel, u32::from(off as u16))
            }
            Op::CallKfunc { id, off } => {
                write!(f, "call kfunc.{}", id as u32)?;
                if off == 0 { Ok(()) } else { write!(f, "@{}", off as u16) }
            }
            Op::Exit => f.write_str("exit"),
        }
    }
}

impl Text<'_> {
    fn target_name(&self) -> Option<&str> {
        self.places?.name(self.op.target(self.at)?)
    }

    /// A helper's name, unless a function of the program bears it.
    fn helper(&self, id: i32) -> Option<String> {
        let taken = |name: &str| self.places.is_some_and(|p| p.taken.contains(name));
        self.names.helper(id).filter(|name| is_label(name) && !taken(name))
    }

    fn jump(&self, f: &mut fmt::Formatter<'_>, word: &str) -> fmt::Result {
        match self.target_name() {
            Some(name) => write!(f, "{word} {name}"),
            None => write!(f, "{word} {:+}", self.op.distance().unwrap_or(0)),
        }
    }

    fn place(&self, f: &mut fmt::Formatter<'_>, rel: i32, beside: u32) -> fmt::Result {
        let name = self.target_name();
        f.write_str(name.unwrap_or("pc"))?;
        if beside != 0 {
            write!(f, "@{beside}")?;
        }
        if name.is_none() { write!(f, "{rel:+}") } else { Ok(()) }
    }

    fn map(&self, index: u32) -> String {
        match self.names.map(index) {
            Some(name) => format!("map.{name}"),
            None => format!("map.{index}"),
        }
    }

    fn ld_imm64(&self, f: &mut fmt::Formatter<'_>, dst: Reg, imm: Imm64) -> fmt::Result {
        write!(f, "{dst} = ")?;
        match imm {
            Imm64::Const(value) => write!(f, "{value:#x}"),
            Imm64::Map(map) => f.write_str(&self.map(map)),
            Imm64::MapValue { map, off } => write!(f, "{}+{off}", self.map(map)),
            Imm64::BtfId(id) => write!(f, "btf.{}", id as u32),
            Imm64::Func { rel, number } => self.place(f, rel, number as u32),
            Imm64::MapByIdx { idx, value_off: None } => write!(f, "map_idx.{}", idx as u32),
            Imm64::MapByIdx { idx, value_off: Some(off) } => write!(f, "map_idx.{}+{off}", idx as u32),
        }?;
        f.write_str(" ll")
    }
}

fn atomic(f: &mut fmt::Formatter<'_>, size: Size, op: AtomicOp, address: &str, src: Reg) -> fmt::Result {
    let src = shown(if size == Size::Dw { Width::W64 } else { Width::W32 }, src);
    let bits = bits(size);
    let (name, sign, fetch) = match op {
        AtomicOp::Add { fetch } => ("add", "+=", fetch),
        AtomicOp::Or { fetch } => ("or", "|=", fetch),
        AtomicOp::And { fetch } => ("and", "&=", fetch),
        AtomicOp::Xor { fetch } => ("xor", "^=", fetch),
        AtomicOp::Xchg if size == Size::Dw => return write!(f, "{src} = xchg_64({address}, {src})"),
        AtomicOp::Xchg => return write!(f, "{src} = xchg32_32({address}, {src})"),
        AtomicOp::CmpXchg if size == Size::Dw => return write!(f, "r0 = cmpxchg_64({address}, r0, {src})"),
        AtomicOp::CmpXchg => return write!(f, "w0 = cmpxchg32_32({address}, w0, {src})"),
        AtomicOp::LoadAcquire => return write!(f, "{src} = load_acquire((u{bits} *)({address}))"),
        AtomicOp::StoreRelease => return write!(f, "store_release((u{bits} *)({address}), {src})"),
    };
    if fetch {
        write!(f, "{src} = atomic_fetch_{name}((u{bits} *)({address}), {src})")
    } else {
        write!(f, "lock *(u{bits} *)({address}) {sign} {src}")
    }
}

fn alu_sign(op: AluOp) -> &'static str {
    ALU_OPS.iter().find(|(_, o)| *o == op).map_or("=", |(sign, _)| sign)
}

fn bits(size: Size) -> u32 {
    size.bytes() * 8
}

fn operand(width: Width, src: Operand) -> String {
    match src {
        Operand::Reg(reg) => shown(width, reg),
        Operand::Imm(imm) => imm.to_string(),
    }
}

fn address(base: Reg, off: i16) -> String {
    let sign = if off < 0 { '-' } else { '+' };
    format!("{base} {sign} {}", off.unsigned_abs())
}
