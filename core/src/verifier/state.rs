//! What the walker knows at a point of a path: registers, stack slots, frames, references.
//!
//! Stands for `struct bpf_reg_state`, `bpf_stack_state`, `bpf_func_state` and `bpf_verifier_state` (6.1 … 7.3).
//! Left out: dynptrs, iterators, locks, kptrs and speculative paths; programs that need them are unsupported.
//!
//! Invariants: a frame's stack holds whole eight-byte slots, slot 0 right below the frame pointer; states are copied on
//! write, frame by frame and within a frame block by block, so that a copy costs nothing until one side changes.

use super::history::History;
use super::slots::Slots;
use crate::domain::Scalar;
use crate::isa::InsnIdx;
use crate::kernel::ctx::{KernelSock, SockKind};
use crate::kernel::helpers::RegClass;
use crate::kernel::{LostLink, RangeModel, RegisterStyle, Rules};
use crate::program::SubprogIdx;
use std::rc::Rc;

/// Number of registers, R10 included.
pub(super) const REGS: usize = 11;
/// Bytes of a stack slot.
pub(super) const SLOT_BYTES: usize = 8;

/// What a register holds.
#[doc(alias = "bpf_reg_type")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Nothing that may be read.
    NotInit,
    /// A number.
    Scalar,
    /// The program's context.
    Ctx,
    /// A map.
    MapPtr { map: u32 },
    /// A value of a map.
    MapValue { map: u32, nullable: bool },
    /// A key of a map.
    MapKey { map: u32 },
    /// The stack of a frame.
    Stack { frame: u8 },
    /// Packet data; `range` bytes were checked against its end, or one of the two negative marks.
    Packet { range: i32 },
    /// Packet metadata.
    PacketMeta { range: i32 },
    /// The packet's end.
    PacketEnd,
    /// A subprogram.
    Func(SubprogIdx),
    /// Memory that a helper returned.
    Mem { size: u32, nullable: bool, ringbuf: bool },
    /// A socket.
    Sock { kind: SockKind, nullable: bool },
    /// A socket of a map before it is compared with NULL, where that makes it one.
    MapSock { map: u32, kind: SockKind },
    /// The keys of a flow dissector.
    FlowKeys,
    /// The buffer of a writable tracepoint.
    TracepointBuffer,
    /// An object of the kernel, which is handed on but not looked into.
    Object(Object),
}

/// An object of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Object {
    /// A task.
    Task,
    /// A task that is known to be alive.
    TrustedTask,
    /// A piece of a task's address space.
    Vma,
    /// A dynptr that a callback is given.
    Dynptr,
    /// What a netfilter hook knows.
    HookState,
    /// A packet.
    SkBuff,
    /// A socket, as the kernel sees it.
    Sock { of: KernelSock, nullable: bool },
}

impl Object {
    /// True when it cannot be NULL and is there.
    pub fn is_trusted(self) -> bool {
        matches!(self, Object::TrustedTask | Object::HookState | Object::SkBuff)
    }

    fn name(self) -> &'static str {
        match self {
            Object::Dynptr => "dynptr_ptr",
            Object::Sock { nullable: true, .. } => "ptr_or_null_",
            _ if self.is_trusted() => "trusted_ptr_",
            _ => "ptr_",
        }
    }

    /// The kernel's name of the structure, which states name after the type.
    pub fn struct_name(self) -> &'static str {
        match self {
            Object::Task | Object::TrustedTask => "task_struct",
            Object::Vma => "vm_area_struct",
            Object::Dynptr => "",
            Object::HookState => "nf_hook_state",
            Object::SkBuff => "sk_buff",
            Object::Sock { of, .. } => of.struct_name(),
        }
    }
}

/// `range` of a packet pointer that is known to be at the packet's end or beyond.
pub(super) const AT_PKT_END: i32 = -1;
/// `range` of a packet pointer that is known to be beyond the packet's end.
pub(super) const BEYOND_PKT_END: i32 = -2;

impl Kind {
    /// True for a pointer of any kind.
    pub fn is_pointer(self) -> bool {
        !matches!(self, Kind::NotInit | Kind::Scalar)
    }

    /// True while the pointer may still be NULL.
    #[doc(alias = "type_may_be_null")]
    pub fn is_nullable(self) -> bool {
        matches!(
            self,
            Kind::MapValue { nullable: true, .. }
                | Kind::Mem { nullable: true, .. }
                | Kind::Sock { nullable: true, .. }
                | Kind::MapSock { .. }
                | Kind::Object(Object::Sock { nullable: true, .. })
        )
    }

    /// The kind after a check against NULL.
    pub fn checked(self) -> Kind {
        match self {
            Kind::MapValue { map, .. } => Kind::MapValue { map, nullable: false },
            Kind::Mem { size, ringbuf, .. } => Kind::Mem { size, ringbuf, nullable: false },
            Kind::Sock { kind, .. } | Kind::MapSock { kind, .. } => Kind::Sock { kind, nullable: false },
            Kind::Object(Object::Sock { of, .. }) => Kind::Object(Object::Sock { of, nullable: false }),
            other => other,
        }
    }

    /// True for a pointer into packet data or metadata.
    #[doc(alias = "reg_is_pkt_pointer")]
    pub fn is_packet(self) -> bool {
        matches!(self, Kind::Packet { .. } | Kind::PacketMeta { .. })
    }

    /// True for a pointer into the packet or to its end.
    #[doc(alias = "reg_is_pkt_pointer_any")]
    pub fn is_packet_any(self) -> bool {
        self.is_packet() || self == Kind::PacketEnd
    }

    /// The kernel's name of the type, as messages print it.
    #[doc(alias = "reg_type_str")]
    pub fn name(self) -> &'static str {
        match self {
            Kind::NotInit => "?",
            Kind::Scalar => "scalar",
            Kind::Ctx => "ctx",
            Kind::MapPtr { .. } => "map_ptr",
            Kind::MapValue { nullable: false, .. } => "map_value",
            Kind::MapValue { nullable: true, .. } => "map_value_or_null",
            Kind::MapKey { .. } => "map_key",
            Kind::Stack { .. } => "fp",
            Kind::Packet { .. } => "pkt",
            Kind::PacketMeta { .. } => "pkt_meta",
            Kind::PacketEnd => "pkt_end",
            Kind::Func(_) => "func",
            Kind::Mem { ringbuf: false, nullable: false, .. } => "mem",
            Kind::Mem { ringbuf: false, nullable: true, .. } => "mem_or_null",
            Kind::Mem { ringbuf: true, nullable: false, .. } => "ringbuf_mem",
            Kind::Mem { ringbuf: true, nullable: true, .. } => "ringbuf_mem_or_null",
            Kind::Sock { kind, nullable: false } => kind.log_name(),
            Kind::Sock { kind, nullable: true } => kind.log_name_or_null(),
            Kind::MapSock { .. } => "map_value_or_null",
            Kind::FlowKeys => "flow_keys",
            Kind::TracepointBuffer => "tp_buffer",
            Kind::Object(object) => object.name(),
        }
    }

    /// The name in the words of a version: 6.1 says otherwise where memory comes from.
    pub fn log_name(self, rules: &Rules) -> &'static str {
        match self {
            Kind::Mem { ringbuf: true, nullable: false, .. } => RegClass::RingbufMem.log_name(rules),
            Kind::Mem { ringbuf: true, .. } if rules.log.registers == RegisterStyle::EachRange => "alloc_mem_or_null",
            other => other.name(),
        }
    }

    /// True for a socket, also one that may be NULL.
    pub fn is_socket(self) -> bool {
        matches!(self, Kind::Sock { .. })
    }

    /// True when both are the same type, whatever they point to.
    pub fn same_type(self, other: Kind) -> bool {
        self.name() == other.name()
    }
}

/// How a scalar is tied to the others of its id.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Link {
    /// Equal to them.
    #[default]
    Same,
    /// Greater by `Reg::off`, as a 64-bit sum.
    Add64,
    /// Greater by `Reg::off`, as a 32-bit sum.
    Add32,
}

/// A register, or a spilled one in a stack slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reg {
    /// What it holds.
    pub kind: Kind,
    /// Fixed part of a pointer's offset, where the rules split it off; distance of a linked scalar.
    pub off: i32,
    /// The number, or the variable part of the pointer's offset.
    pub value: Scalar,
    /// Which other registers share its fate (equal scalars, NULL checks, packet ranges); 0 for none.
    pub id: u32,
    /// How the id is meant, for scalars.
    pub link: Link,
    /// The reference that it owns; 0 for none.
    #[doc(alias = "ref_obj_id")]
    pub reference: u32,
    /// Whether its exact range matters to some path from here on.
    pub precise: bool,
    /// Whether it was read or overwritten since the last checkpoint.
    pub marks: Marks,
}

/// Read and write marks of the older liveness tracking, and the checkpoint's register that they belong to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Marks {
    /// Read on some path from here on.
    pub read: bool,
    /// Overwritten since the last checkpoint.
    pub written: bool,
    /// The register's predecessor in a checkpoint.
    pub parent: Option<Place>,
}

/// A register or slot of a checkpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub checkpoint: u32,
    pub frame: u8,
    pub cell: Cell,
}

/// A register, or a spilled one, within a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cell {
    Reg(u8),
    Slot(u8),
}

impl Reg {
    /// A register that may not be read.
    pub fn not_init(model: RangeModel) -> Reg {
        Reg { kind: Kind::NotInit, ..Reg::unknown(model) }
    }

    /// A number of which nothing is known.
    #[doc(alias = "__mark_reg_unknown")]
    pub fn unknown(model: RangeModel) -> Reg {
        Reg {
            kind: Kind::Scalar,
            off: 0,
            value: Scalar::unknown(model),
            id: 0,
            link: Link::Same,
            reference: 0,
            precise: false,
            marks: Marks::default(),
        }
    }

    /// A known number.
    #[doc(alias = "__mark_reg_known")]
    pub fn constant(model: RangeModel, value: u64) -> Reg {
        Reg { value: Scalar::constant(model, value), ..Reg::unknown(model) }
    }

    /// A pointer without any offset.
    pub fn pointer(model: RangeModel, kind: Kind) -> Reg {
        Reg { kind, ..Reg::constant(model, 0) }
    }

    /// Gives the register a new content; its marks stay where they are.
    #[doc(alias = "copy_register_state")]
    pub fn assign(&mut self, from: Reg) {
        let marks = self.marks;
        *self = from;
        self.marks = marks;
    }

    /// True for a number known to be 0.
    #[doc(alias = "register_is_null")]
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Scalar && self.value.as_const() == Some(0)
    }

    /// The value of a known number.
    pub fn const_scalar(&self) -> Option<u64> {
        if self.kind == Kind::Scalar { self.value.as_const() } else { None }
    }

    /// Forgets which scalars it was equal to.
    #[doc(alias = "clear_scalar_id")]
    pub fn unlink(&mut self) {
        self.id = 0;
        self.link = Link::Same;
        self.off = 0;
    }

    /// Takes the id away, as most operations do.
    pub fn drop_id(&mut self, lost: LostLink) {
        self.id = 0;
        self.link = Link::Same;
        if lost == LostLink::DropsDelta {
            self.off = 0;
        }
    }

    /// True when both hold the same, ids included; marks and precision aside.
    pub fn same_content(&self, other: &Reg) -> bool {
        self.same_but_ids(other) && self.id == other.id && self.link == other.link && self.reference == other.reference
    }

    /// True when both hold the same, whatever their ids.
    pub fn same_but_ids(&self, other: &Reg) -> bool {
        self.kind == other.kind && self.off == other.off && self.value == other.value
    }
}

/// What a byte of the stack holds.
#[doc(alias = "bpf_stack_slot_type")]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Byte {
    /// Never written.
    #[default]
    Invalid,
    /// Part of a spilled register.
    Spill,
    /// Some data.
    Misc,
    /// Zero.
    Zero,
    /// Dead: no path reads it (since 7.0).
    Poison,
}

/// Eight bytes of stack: `bytes[0]` is the highest address, `bytes[7]` the lowest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub bytes: [Byte; SLOT_BYTES],
    /// The spilled register, while `bytes[7]` says so.
    pub spilled: Reg,
}

impl Slot {
    /// A slot that was never written.
    pub fn invalid(model: RangeModel) -> Slot {
        Slot { bytes: [Byte::Invalid; SLOT_BYTES], spilled: Reg::not_init(model) }
    }

    /// True when the slot holds a spilled register, of four or eight bytes or fewer.
    #[doc(alias = "is_spilled_reg")]
    pub fn is_spill(&self) -> bool {
        self.bytes[7] == Byte::Spill
    }

    /// True when the slot holds a spilled number.
    #[doc(alias = "is_spilled_scalar_reg")]
    pub fn is_scalar_spill(&self) -> bool {
        self.is_spill() && self.spilled.kind == Kind::Scalar
    }

    /// How many bytes of the register are in the slot.
    pub fn spill_bytes(&self) -> usize {
        self.bytes.iter().rev().take_while(|b| **b == Byte::Spill).count()
    }
}

/// The range that a callback must return.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct RetRange {
    pub min: i32,
    pub max: i32,
}

/// One function invocation on the path.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub regs: [Reg; REGS],
    /// Slots from the frame pointer downwards.
    pub stack: Slots,
    /// The call that led here; `None` for the first frame.
    pub callsite: Option<InsnIdx>,
    pub subprog: SubprogIdx,
    /// What must be returned, in a callback.
    pub callback_range: Option<RetRange>,
    /// How often a callback of this frame has been entered in a row.
    pub callback_depth: u32,
    /// References of this frame, where each frame has its own (6.1).
    pub refs: Vec<Reference>,
}

/// A resource that the program must give back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reference {
    pub id: u32,
    pub insn: InsnIdx,
    /// The frame that acquired it, for callbacks.
    pub frame: u8,
}

impl Frame {
    /// A frame at the entry of a function; only R10 is there.
    #[doc(alias = "init_func_state")]
    pub fn new(model: RangeModel, callsite: Option<InsnIdx>, frame: u8, subprog: SubprogIdx) -> Frame {
        let mut regs = [Reg::not_init(model); REGS];
        regs[10] = Reg::pointer(model, Kind::Stack { frame });
        Frame {
            regs,
            stack: Slots::default(),
            callsite,
            subprog,
            callback_range: None,
            callback_depth: 0,
            refs: Vec::new(),
        }
    }

    /// The register or spilled register at a place.
    pub fn cell(&self, cell: Cell) -> Option<&Reg> {
        match cell {
            Cell::Reg(n) => self.regs.get(usize::from(n)),
            Cell::Slot(n) => self.stack.get(usize::from(n)).map(|s| &s.spilled),
        }
    }

    /// The register or spilled register at a place, to change it.
    pub fn cell_mut(&mut self, cell: Cell) -> Option<&mut Reg> {
        match cell {
            Cell::Reg(n) => self.regs.get_mut(usize::from(n)),
            Cell::Slot(n) => self.stack.get_mut(usize::from(n)).map(|s| &mut s.spilled),
        }
    }

    /// All registers and spilled registers.
    #[doc(alias = "bpf_for_each_spilled_reg")]
    pub fn cells(&self) -> impl Iterator<Item = (Cell, &Reg)> {
        let regs = self.regs.iter().enumerate().map(|(n, r)| (Cell::Reg(n as u8), r));
        let slots = self.stack.iter().enumerate().filter(|(_, s)| s.is_spill());
        regs.chain(slots.map(|(n, s)| (Cell::Slot(n as u8), &s.spilled)))
    }

    /// Changes registers and spilled registers that are wanted.
    fn change_cells(&mut self, wanted: &mut impl FnMut(&Reg) -> bool, change: &mut impl FnMut(&mut Reg)) {
        self.regs.iter_mut().filter(|r| wanted(r)).for_each(&mut *change);
        self.stack.change(|_, s| s.is_spill() && wanted(&s.spilled), |_, s| change(&mut s.spilled));
    }

    /// Bytes of memory, with what the frame shares of its stack by as much as it has owners.
    fn bytes(&self) -> usize {
        size_of::<Frame>() + self.stack.bytes() + self.refs.capacity() * size_of::<Reference>()
    }
}

/// All frames of a path, and how it got here since the last checkpoint.
#[derive(Clone, Debug)]
pub(super) struct State {
    frames: Vec<Rc<Frame>>,
    /// The checkpoint before.
    pub parent: Option<u32>,
    /// The first instruction after that checkpoint.
    pub first_insn: InsnIdx,
    /// The instruction before the current one.
    pub last_insn: Option<InsnIdx>,
    /// The current instruction.
    pub insn: InsnIdx,
    /// Jumps and stack accesses since the checkpoint.
    pub history: History,
    /// Branches that start here and are not finished.
    pub branches: u32,
    /// Checkpoints above this one.
    pub dfs_depth: u32,
    /// How often callbacks have been entered on this path.
    pub callback_unroll_depth: u32,
    /// How often `may_goto` has been passed on this path.
    pub may_goto_depth: u32,
}

impl State {
    /// The state at the entry of a function that is verified on its own.
    pub fn new(entry: Frame, at: InsnIdx) -> State {
        State {
            frames: vec![Rc::new(entry)],
            parent: None,
            first_insn: at,
            last_insn: None,
            insn: at,
            history: History::EMPTY,
            branches: 1,
            dfs_depth: 0,
            callback_unroll_depth: 0,
            may_goto_depth: 0,
        }
    }

    /// The number of the current frame, 0 for the first.
    #[doc(alias = "curframe")]
    pub fn depth(&self) -> usize {
        self.frames.len() - 1
    }

    /// The frames, outermost first.
    pub fn frames(&self) -> &[Rc<Frame>] {
        &self.frames
    }

    /// The current frame.
    #[doc(alias = "cur_func")]
    pub fn top(&self) -> &Frame {
        &self.frames[self.frames.len() - 1]
    }

    /// The current frame, to change it.
    pub fn top_mut(&mut self) -> &mut Frame {
        let n = self.frames.len() - 1;
        Rc::make_mut(&mut self.frames[n])
    }

    /// A frame by number; a number that is not there gives the current frame.
    pub fn frame(&self, n: usize) -> &Frame {
        &self.frames[n.min(self.frames.len() - 1)]
    }

    /// A frame by number, to change it.
    pub fn frame_mut(&mut self, n: usize) -> &mut Frame {
        let n = n.min(self.frames.len() - 1);
        Rc::make_mut(&mut self.frames[n])
    }

    /// Enters a frame.
    pub fn push_frame(&mut self, frame: Frame) {
        self.frames.push(Rc::new(frame));
    }

    /// Leaves the current frame, which must not be the first, and hands it out.
    pub fn pop_frame(&mut self) -> Option<Rc<Frame>> {
        if self.frames.len() > 1 { self.frames.pop() } else { None }
    }

    /// The instruction at which a frame stands: the current one, or the call that it is in.
    #[doc(alias = "frame_insn_idx")]
    pub fn frame_insn(&self, n: usize) -> InsnIdx {
        self.frames.get(n + 1).and_then(|f| f.callsite).unwrap_or(self.insn)
    }

    /// True when both paths are in the same chain of calls.
    pub fn same_callsites(&self, other: &State) -> bool {
        self.frames.len() == other.frames.len()
            && self.frames.iter().zip(&other.frames).all(|(a, b)| a.callsite == b.callsite)
    }

    /// Bytes of memory that this state answers for: each frame by as much as it has owners.
    pub fn bytes(&self) -> usize {
        /// The two counts of an `Rc`.
        const COUNTS: usize = 2 * size_of::<usize>();
        let frames = self.frames.iter().map(|frame| (frame.bytes() + COUNTS) / Rc::strong_count(frame));
        size_of::<State>() + self.frames.capacity() * size_of::<Rc<Frame>>() + frames.sum::<usize>()
    }

    /// Gives its frames back; what says where it stood on the path stays.
    pub fn forget(&mut self, nothing: &Rc<Frame>) {
        self.frames = vec![Rc::clone(nothing)];
    }

    /// Changes every register and spilled register of every frame.
    #[doc(alias = "bpf_for_each_reg_in_vstate")]
    pub fn for_each_reg(&mut self, mut wanted: impl FnMut(&Reg) -> bool, mut change: impl FnMut(&mut Reg)) {
        for frame in &mut self.frames {
            if frame.cells().any(|(_, r)| wanted(r)) {
                Rc::make_mut(frame).change_cells(&mut wanted, &mut change);
            }
        }
    }
}
