//! From a form of a program to an image: decoding, jump targets, static checks of the stack, places of inlined loops.
//!
//! An image holds the steps of all instructions in their order, with a step before the first instruction of each inlined
//! loop and one on each way out of it. Nothing here depends on an input or a layout seed.
//!
//! Invariant: every jump target and entry of an image is the index of a step.

use super::context::{self, CtxModel};
use super::memory::{BYTES_MAX, FRAME_BLOCK, FRAMES, StackShape};
use super::step::{ALL, ARGS, Fault, RegSet, SAVED, Step, What, bit};
use super::{ExecRules, helpers, maps};
use crate::btf::Linkage;
use crate::isa::{AluOp, AtomicOp, Imm64, InsnIdx, Op, Operand, Reg, Size, decode};
use crate::kernel::limits::{HELPER_LOOP, INLINED_LOOP_LEN, LOOP_SPILL_BYTES};
use crate::program::{Layout, MapDef, Program, SubprogIdx, subprog_target};
use std::borrow::Cow;
use thiserror::Error;

/// A program in one of its forms, and what the verifier and the rewriter know of it.
#[derive(Clone, Copy, Debug)]
pub struct Form<'a> {
    /// The program.
    pub program: &'a Program,
    /// Its subprograms.
    pub layout: &'a Layout,
    /// Stack that was verified for each subprogram, with the slots of inlined loops, in bytes.
    pub stack_depth: &'a [u16],
    /// The program's own part of that, in bytes: the depth before the rewrite.
    pub own_depth: &'a [u16],
    /// Bytes of each subprogram's own stack, from R10 down, in which both forms hold the same.
    pub same_depth: &'a [u16],
    /// Helper calls that leave R1 to R5 as they are, ascending.
    pub keeping_calls: &'a [InsnIdx],
    /// The number of each subprogram in the original program. Empty when this is the original.
    pub subprogs: &'a [SubprogIdx],
    /// The function references, ascending, with the number of the subprogram that each meant in the original program: what
    /// it meant may have been removed. One that is missing here means what starts at its target.
    pub references: &'a [(InsnIdx, SubprogIdx)],
    /// The `bpf_loop` calls. One that is missing here is a helper call named after its place in this form.
    pub sites: &'a [Site],
}

/// A call of `bpf_loop`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Site {
    /// Index of the call in the original program.
    pub id: u32,
    /// Where it is in this form.
    pub at: InsnIdx,
    /// What it has become.
    pub kind: SiteKind,
}

/// What a call of `bpf_loop` has become.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SiteKind {
    /// It is a helper call.
    Helper,
    /// It is a loop of [`INLINED_LOOP_LEN`] instructions.
    Inlined {
        /// Offset from R10 of the lowest of its three eight-byte slots, negative.
        spill_base: i16,
    },
}

/// A form that cannot be run at all.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{what}")]
pub struct Unsupported {
    /// The instruction, where one is to blame.
    pub at: Option<InsnIdx>,
    /// What, by name.
    pub what: String,
}

/// A subprogram of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subprog {
    /// Its first step.
    pub entry: u32,
    /// Its number in the original program.
    pub id: u16,
    /// Its stack.
    pub shape: StackShape,
    /// Its frame is the first of a new count.
    pub restarts: bool,
}

/// A form that is ready to run.
#[derive(Clone, Debug)]
pub struct Image {
    pub(super) steps: Vec<Step>,
    /// For each step its instruction.
    pub(super) origin: Vec<InsnIdx>,
    pub(super) subprogs: Vec<Subprog>,
    pub(super) refusals: Vec<Cow<'static, str>>,
    pub(super) maps: Vec<MapDef>,
    pub(super) model: &'static CtxModel,
    pub(super) rules: ExecRules,
}

impl Image {
    /// Decodes a form. Instructions that are not modelled are no error here: a run that comes to one ends as unsupported.
    ///
    /// # Errors
    /// The program type or a map has no model, there are more frames or subprograms than can be, or a site does not fit.
    pub fn new(form: &Form<'_>, rules: &ExecRules) -> Result<Image, Unsupported> {
        let refuse = |at, what: String| Err(Unsupported { at, what });
        let program = form.program;
        let Some(model) = context::model_of(program.prog_type, rules.packet_end) else {
            return refuse(None, format!("program type {}", program.prog_type));
        };
        check_maps(&program.maps)?;
        if usize::from(rules.frames_max) > FRAMES || form.layout.len() > 256 {
            return refuse(None, "more than 256 frames or subprograms".to_owned());
        }
        for site in form.sites {
            let end = u64::from(site.at.0) + u64::from(INLINED_LOOP_LEN);
            if matches!(site.kind, SiteKind::Inlined { .. }) && end > program.insns.len() as u64 {
                return refuse(Some(site.at), "an inlined loop that is not all there".to_owned());
            }
        }
        let mut decoder = Decoder::new(form, rules)?;
        decoder.decode_all();
        decoder.resolve_targets();
        let mut image = decoder.image;
        image.model = model;
        Ok(image)
    }
}

fn check_maps(defs: &[MapDef]) -> Result<(), Unsupported> {
    let refuse = |what: String| Err(Unsupported { at: None, what });
    if defs.len() > 64 {
        return refuse("more than 64 maps".to_owned());
    }
    let mut total = 0u64;
    for (n, def) in defs.iter().enumerate() {
        let array = maps::Family::of(def.map_type) == maps::Family::Array;
        if array && (def.key_size != 4 || def.value_size == 0 || def.max_entries == 0) {
            return refuse(format!("map {n}: an array of this shape"));
        }
        total = total.saturating_add(maps::array_bytes(def)).saturating_add(u64::from(def.value_size));
    }
    if total > BYTES_MAX as u64 {
        return refuse("maps of more than 64 MiB".to_owned());
    }
    Ok(())
}

/// The stack of a subprogram.
fn shape_of(form: &Form<'_>, subprog: SubprogIdx) -> Result<StackShape, Unsupported> {
    let depth = |of: &[u16]| of.get(subprog.at()).copied();
    let (Some(depth), Some(own)) = (depth(form.stack_depth), depth(form.own_depth)) else {
        let at = Some(form.layout.start(subprog));
        return Err(Unsupported { at, what: "a subprogram without a stack depth".to_owned() });
    };
    if usize::from(depth.max(own)) > FRAME_BLOCK {
        let at = Some(form.layout.start(subprog));
        return Err(Unsupported { at, what: "a stack of more than 1024 bytes".to_owned() });
    }
    let bases = form.sites.iter().filter(|s| form.layout.containing(s.at) == subprog).filter_map(|s| match s.kind {
        SiteKind::Inlined { spill_base } => Some(spill_base),
        SiteKind::Helper => None,
    });
    let spill = bases.fold((0, 0), |(lo, hi), base| {
        let end = base.saturating_add(LOOP_SPILL_BYTES as i16);
        if lo == hi { (base, end) } else { (base.min(lo), end.max(hi)) }
    });
    let same = form.same_depth.get(subprog.at()).copied().unwrap_or(own).min(own);
    Ok(StackShape::new(own, depth, spill).sharing(same))
}

/// A jump whose target is an instruction still.
struct Pending {
    step: usize,
    target: Option<InsnIdx>,
    /// The inlined loop that holds the jump.
    site: Option<Site>,
}

struct Decoder<'a> {
    form: &'a Form<'a>,
    /// The inlined loops, by place.
    inlined: Vec<Site>,
    image: Image,
    /// For each instruction its first step; `u32::MAX` where none starts.
    first: Vec<u32>,
    pending: Vec<Pending>,
}

impl<'a> Decoder<'a> {
    fn new(form: &'a Form<'a>, rules: &ExecRules) -> Result<Decoder<'a>, Unsupported> {
        let mut subprogs = Vec::new();
        for n in 0..form.layout.len() {
            let subprog = SubprogIdx(n as u16);
            let id = form.subprogs.get(n).unwrap_or(&subprog).0;
            let start = form.layout.start(subprog);
            let global = form.program.funcs.iter().any(|f| f.insn == start && f.linkage == Linkage::Global);
            let restarts = rules.global_calls_restart && global;
            subprogs.push(Subprog { entry: 0, id, shape: shape_of(form, subprog)?, restarts });
        }
        let image = Image {
            steps: Vec::with_capacity(form.program.insns.len() + 8),
            origin: Vec::with_capacity(form.program.insns.len() + 8),
            subprogs,
            refusals: Vec::new(),
            maps: form.program.maps.clone(),
            model: &CtxModel::BYTES,
            rules: *rules,
        };
        let mut inlined: Vec<Site> = form.sites.iter().filter(|s| s.kind != SiteKind::Helper).copied().collect();
        inlined.sort_by_key(|s| s.at);
        Ok(Decoder { form, inlined, image, first: vec![u32::MAX; form.program.insns.len()], pending: Vec::new() })
    }

    fn push(&mut self, at: InsnIdx, need: RegSet, defines: RegSet, what: What) {
        self.image.steps.push(Step { need, keep: !defines, what });
        self.image.origin.push(at);
    }

    fn refuse(&mut self, what: impl Into<Cow<'static, str>>) -> What {
        self.image.refusals.push(what.into());
        What::Refuse(self.image.refusals.len() as u32 - 1)
    }

    /// The inlined loop that holds an instruction.
    fn inlined_at(&self, at: InsnIdx) -> Option<Site> {
        let before = self.inlined.partition_point(|s| s.at <= at);
        let site = before.checked_sub(1).and_then(|n| self.inlined.get(n));
        site.filter(|s| at.0 - s.at.0 < INLINED_LOOP_LEN).copied()
    }

    fn decode_all(&mut self) {
        let program = self.form.program;
        let mut at = InsnIdx(0);
        while let Some(insn) = program.insn(at) {
            let site = self.inlined_at(at);
            if let Some(first) = self.first.get_mut(at.at()) {
                *first = self.image.steps.len() as u32;
            }
            if site.is_some_and(|s| s.at == at) {
                self.push(at, ARGS & !bit(Reg::R5), 0, What::LoopEnter);
            }
            let len = match decode(insn, program.insn(at.next())) {
                Ok(op) => {
                    self.lower(at, &op, site);
                    op.len()
                }
                Err(error) => {
                    let what = self.refuse(error.to_string());
                    self.push(at, 0, 0, what);
                    1
                }
            };
            at = InsnIdx(at.0 + len);
            if let Some(site) = site
                && self.inlined_at(at).is_none_or(|s| s.at != site.at)
            {
                self.push_loop_leave(site, Some(at));
            }
        }
        self.push(at, 0, 0, What::Trap(Fault::Lost));
    }

    /// A step that ends an inlined loop and goes on at `target`.
    fn push_loop_leave(&mut self, site: Site, target: Option<InsnIdx>) {
        self.pending.push(Pending { step: self.image.steps.len(), target, site: None });
        let last = InsnIdx(site.at.0 + INLINED_LOOP_LEN - 1);
        self.push(last, 0, 0, What::LoopLeave { site: site.id, to: 0 });
    }

    /// Gives every jump its step. A jump out of an inlined loop goes by a step that ends the loop.
    fn resolve_targets(&mut self) {
        let lost = self.image.steps.len() as u32 - 1;
        for (n, subprog) in self.image.subprogs.iter_mut().enumerate() {
            let start = self.form.layout.start(SubprogIdx(n as u16));
            subprog.entry = self.first.get(start.at()).copied().filter(|s| *s != u32::MAX).unwrap_or(lost);
        }
        let mut n = 0;
        while let Some(Pending { step, target, site }) = self.pending.get(n) {
            let (step, target, site) = (*step, *target, *site);
            n += 1;
            let leaves = site.filter(|s| target.is_none_or(|t| self.inlined_at(t).is_none_or(|u| u.at != s.at)));
            let to = match (leaves, target) {
                (Some(site), _) => {
                    self.push_loop_leave(site, target);
                    self.image.steps.len() as u32 - 1
                }
                (None, Some(target)) => {
                    let first = self.first.get(target.at()).copied().filter(|s| *s != u32::MAX).unwrap_or(lost);
                    // From inside of a loop to its first instruction: past the step that enters it.
                    first + u32::from(site.is_some_and(|s| s.at == target))
                }
                (None, None) => lost,
            };
            if let Some(slot) = self.image.steps.get_mut(step).and_then(|s| s.what.target_mut()) {
                *slot = to;
            }
        }
    }

    fn jump(&mut self, at: InsnIdx, delta: i64, site: Option<Site>) {
        self.pending.push(Pending { step: self.image.steps.len(), target: at.offset(delta + 1), site });
    }

    fn lower(&mut self, at: InsnIdx, op: &Op, site: Option<Site>) {
        let (need, defines) = uses(op, site.is_some());
        if defines & bit(Reg::R10) != 0 {
            self.push(at, need, 0, What::Trap(Fault::FramePointer));
            return;
        }
        let what = match *op {
            Op::Alu { width, op, dst, src } => What::alu(width, op, dst, src),
            Op::MovSx { width, bits, dst, src } => What::MovSx { width, bits, dst: dst.n(), src: src.n() },
            Op::Neg { width, dst } => What::Neg { width, dst: dst.n() },
            Op::Endian { kind, bits, dst } => What::Endian { kind, bits, dst: dst.n() },
            Op::AddrSpaceCast { .. } => self.refuse("cast between address spaces"),
            Op::LdImm64 { dst, imm } => self.load_imm64(at, op, dst, imm),
            Op::LdAbs { size, imm } => What::LoadPacket { size, src: None, imm },
            Op::LdInd { size, src, imm } => What::LoadPacket { size, src: Some(src), imm },
            Op::Load { size, signed, dst, base, off } => self.load(at, size, signed, dst, base, off),
            Op::Store { size, base, off, src } => self.store(at, size, base, off, src),
            Op::Atomic { size, op, base, off, src } => What::Atomic { size, op, base: base.n(), src: src.n(), off },
            Op::Jump { off, .. } => {
                self.jump(at, i64::from(off), site);
                What::Jump { to: 0 }
            }
            Op::JumpIf { width, cond, dst, src, off } => {
                self.jump(at, i64::from(off), site);
                What::jump_if(width, cond, dst, src, 0)
            }
            Op::MayGoto { off } => {
                self.jump(at, i64::from(off), site);
                What::MayGoto { to: 0 }
            }
            Op::CallHelper { id: HELPER_LOOP } => What::CallLoop { site: self.helper_site(at) },
            Op::CallHelper { id } if helpers::arity(id).is_none() => self.refuse(format!("helper {id}")),
            Op::CallHelper { id } => {
                let keeps_args = self.form.keeping_calls.binary_search(&at).is_ok();
                What::CallHelper { id, keeps_args }
            }
            Op::CallLocal { .. } => self.call_local(at, op, site),
            Op::CallKfunc { id, .. } => self.refuse(format!("kfunc {id}")),
            Op::Exit => What::Exit,
        };
        self.push(at, need, defines, what);
    }

    fn subprog_starting(&self, at: InsnIdx, op: &Op) -> Option<u16> {
        let target = subprog_target(at, op)?;
        self.form.layout.starting(target).map(|s| s.0)
    }

    /// The number in the original program of the subprogram that a function reference means.
    fn referenced(&self, at: InsnIdx, op: &Op) -> Option<u16> {
        let references = self.form.references;
        if let Some((_, subprog)) = references.binary_search_by_key(&at, |r| r.0).ok().and_then(|n| references.get(n)) {
            return Some(subprog.0);
        }
        let n = self.subprog_starting(at, op)?;
        Some(self.image.subprogs.get(usize::from(n)).map_or(n, |s| s.id))
    }

    fn call_local(&mut self, at: InsnIdx, op: &Op, site: Option<Site>) -> What {
        match (self.subprog_starting(at, op), site) {
            (None, _) => What::Trap(Fault::Lost),
            (Some(callee), None) => What::CallLocal { callee },
            (Some(callee), Some(site)) => What::CallCallback { callee, site: site.id },
        }
    }

    fn helper_site(&self, at: InsnIdx) -> u32 {
        self.form.sites.iter().find(|s| s.at == at).map_or(at.0, |s| s.id)
    }

    fn load_imm64(&mut self, at: InsnIdx, op: &Op, dst: Reg, imm: Imm64) -> What {
        let dst = dst.n();
        let family = |map: u32| self.form.program.maps.get(map as usize).map(|m| maps::Family::of(m.map_type));
        match imm {
            Imm64::Const(value) => What::Const { dst, lo: value as u32, hi: (value >> 32) as u32 },
            Imm64::Map(map) if family(map).is_some() => What::MapAddr { dst, map },
            Imm64::MapValue { map, off } if family(map) == Some(maps::Family::Array) => {
                What::ValueAddr { dst, map, off }
            }
            Imm64::Func { .. } => match self.referenced(at, op) {
                Some(id) => What::FuncAddr { dst, id },
                None => What::Trap(Fault::Lost),
            },
            Imm64::Map(_) | Imm64::MapValue { .. } => self.refuse("a reference to this map"),
            Imm64::BtfId(_) => self.refuse("a kernel variable"),
            Imm64::MapByIdx { .. } => self.refuse("a map by index of a descriptor"),
        }
    }

    fn load(&mut self, at: InsnIdx, size: Size, signed: bool, dst: Reg, base: Reg, off: i16) -> What {
        let place = self.frame_place(at, base, off, size);
        let (dst, base) = (dst.n(), base.n());
        match (place, size) {
            (Err(fault), _) => What::Trap(fault),
            (_, size) if signed => What::LoadSx { size, dst, base, off },
            (Ok(None), Size::B) => What::Load1 { dst, base, off },
            (Ok(None), Size::H) => What::Load2 { dst, base, off },
            (Ok(None), Size::W) => What::Load4 { dst, base, off },
            (Ok(None), Size::Dw) => What::Load8 { dst, base, off },
            (Ok(Some(at)), Size::B) => What::Fill1 { dst, at },
            (Ok(Some(at)), Size::H) => What::Fill2 { dst, at },
            (Ok(Some(at)), Size::W) => What::Fill4 { dst, at },
            (Ok(Some(at)), Size::Dw) => What::Fill8 { dst, at },
        }
    }

    fn store(&mut self, at: InsnIdx, size: Size, base: Reg, off: i16, src: Operand) -> What {
        let place = self.frame_place(at, base, off, size);
        let base = base.n();
        match (place, size, src) {
            (Err(fault), ..) => What::Trap(fault),
            (Ok(None), Size::B, Operand::Reg(src)) => What::Store1 { base, src: src.n(), off },
            (Ok(None), Size::H, Operand::Reg(src)) => What::Store2 { base, src: src.n(), off },
            (Ok(None), Size::W, Operand::Reg(src)) => What::Store4 { base, src: src.n(), off },
            (Ok(None), Size::Dw, Operand::Reg(src)) => What::Store8 { base, src: src.n(), off },
            (Ok(None), Size::B, Operand::Imm(imm)) => What::StoreK1 { base, off, imm },
            (Ok(None), Size::H, Operand::Imm(imm)) => What::StoreK2 { base, off, imm },
            (Ok(None), Size::W, Operand::Imm(imm)) => What::StoreK4 { base, off, imm },
            (Ok(None), Size::Dw, Operand::Imm(imm)) => What::StoreK8 { base, off, imm },
            (Ok(Some(at)), Size::B, Operand::Reg(src)) => What::Spill1 { src: src.n(), at },
            (Ok(Some(at)), Size::H, Operand::Reg(src)) => What::Spill2 { src: src.n(), at },
            (Ok(Some(at)), Size::W, Operand::Reg(src)) => What::Spill4 { src: src.n(), at },
            (Ok(Some(at)), Size::Dw, Operand::Reg(src)) => What::Spill8 { src: src.n(), at },
            (Ok(Some(at)), Size::B, Operand::Imm(imm)) => What::SpillK1 { at, imm },
            (Ok(Some(at)), Size::H, Operand::Imm(imm)) => What::SpillK2 { at, imm },
            (Ok(Some(at)), Size::W, Operand::Imm(imm)) => What::SpillK4 { at, imm },
            (Ok(Some(at)), Size::Dw, Operand::Imm(imm)) => What::SpillK8 { at, imm },
        }
    }

    /// The place in the frame's block of an access through R10, or `None` when it goes through another register.
    fn frame_place(&self, at: InsnIdx, base: Reg, off: i16, size: Size) -> Result<Option<u16>, Fault> {
        if base != Reg::R10 {
            return Ok(None);
        }
        let subprog = self.form.layout.containing(at);
        let shape = self.image.subprogs.get(subprog.at()).map_or(StackShape::default(), |s| s.shape);
        let (low, bytes) = (i64::from(off), size.bytes());
        let size = bytes as u8;
        let usable = match self.inlined_at(at) {
            Some(_) => shape.depth,
            None if shape.touches_spill(low, bytes) => return Err(Fault::Spill { off, size }),
            None => shape.own,
        };
        if low + i64::from(bytes) > 0 {
            return Err(Fault::Above { off, size });
        }
        if low < -i64::from(usable) {
            return Err(Fault::Overrun { off, size });
        }
        Ok(Some((FRAME_BLOCK as i64 + low) as u16))
    }
}

/// The registers that an operation needs, and those that it gives a value to.
///
/// The stores of an inlined loop save registers that the program need not have set; loads restore them, and the end of the loop
/// restores who has a value.
fn uses(op: &Op, inlined: bool) -> (RegSet, RegSet) {
    let operand = |src: Operand| match src {
        Operand::Reg(reg) => bit(reg),
        Operand::Imm(_) => 0,
    };
    match *op {
        Op::Alu { op: AluOp::Mov, dst, src, .. } => (operand(src), bit(dst)),
        Op::Alu { dst, src, .. } => (bit(dst) | operand(src), bit(dst)),
        Op::MovSx { dst, src, .. } | Op::AddrSpaceCast { dst, src, .. } => (bit(src), bit(dst)),
        Op::Neg { dst, .. } | Op::Endian { dst, .. } => (bit(dst), bit(dst)),
        Op::LdImm64 { dst, .. } => (0, bit(dst)),
        Op::LdAbs { .. } => (bit(Reg::R6), bit(Reg::R0)),
        Op::LdInd { src, .. } => (bit(Reg::R6) | bit(src), bit(Reg::R0)),
        Op::Load { dst, base, .. } => (bit(base), bit(dst)),
        Op::Store { base, src, .. } if inlined => (bit(base) | operand(src) & !SAVED, 0),
        Op::Store { base, src, .. } => (bit(base) | operand(src), 0),
        Op::Atomic { op, base, src, .. } => match op {
            AtomicOp::LoadAcquire => (bit(base), bit(src)),
            AtomicOp::CmpXchg => (bit(base) | bit(src) | bit(Reg::R0), bit(Reg::R0)),
            AtomicOp::Xchg
            | AtomicOp::Add { fetch: true }
            | AtomicOp::Or { fetch: true }
            | AtomicOp::And { fetch: true }
            | AtomicOp::Xor { fetch: true } => (bit(base) | bit(src), bit(src)),
            _ => (bit(base) | bit(src), 0),
        },
        Op::Jump { .. } | Op::MayGoto { .. } => (0, 0),
        Op::JumpIf { dst, src, .. } => (bit(dst) | operand(src), 0),
        Op::CallHelper { id } => {
            let taken = helpers::arity(id).unwrap_or(0);
            (ARGS & ((2 << taken) - 1), bit(Reg::R0))
        }
        // What a callee needs it finds out itself; a callback is given two registers.
        Op::CallLocal { .. } if inlined => (bit(Reg::R1) | bit(Reg::R2), 0),
        Op::CallLocal { .. } | Op::CallKfunc { .. } | Op::Exit => (0, 0),
    }
}

/// The registers that have no value when main starts.
pub(super) const UNDEFINED_AT_START: RegSet = ALL & !(bit(Reg::R1) | bit(Reg::R10));
