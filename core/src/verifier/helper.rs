//! Calls of helpers: arguments against the prototype and effects; `result` says what comes back.
//!
//! Stands for `check_helper_call`, `check_func_arg`, `check_helper_mem_access`, `check_mem_size_reg` (6.1 … 7.3).
//! Left out: helpers that the tables in [`kernel::helpers`](crate::kernel::helpers) do not describe; they are unsupported by name.

mod result;

use super::format;
use super::memory::{Alignment, Transfer};
use super::precision::Wanted;
use super::stack::{Access, By};
use super::state::{Frame, Kind, Object, Reg, RetRange as ReturnRange};
use super::verdict::Errno;
use super::walker::{Check, Next, Stop, Walker};
use crate::isa::{Reg as RegNo, Size};
use crate::kernel::ctx::{self, HelperMemory, PacketAccess, ProgKind};
use crate::kernel::helpers::{self, Arg, HelperLookup, HelperProto, MemAccess, MemArg, MemSize, RegClass, Traits};
use crate::kernel::limits::{HELPER_LOOP, VAR_SIZE_MAX};
use crate::kernel::maps::{self, MapFit};
use crate::kernel::{
    CallbackWalk, FieldErrno, HELPER_TAIL_CALL, HelperAccess, LeavesCallback, LoopCount, MapType, MovedRelease,
    NullArgument, ProgType, ReferenceScope, TailCallPaths,
};
use crate::program::SubprogIdx;

/// `BPF_F_SLEEPABLE`.
const SLEEPABLE: u32 = 1 << 4;
/// `BPF_F_RDONLY_PROG`.
const MAP_READ_ONLY: u32 = 1 << 7;
/// Helper `bpf_map_lookup_elem`.
const MAP_LOOKUP: i32 = 1;
/// Helper `bpf_for_each_map_elem`.
const FOR_EACH_MAP_ELEM: i32 = 164;
/// Helper `bpf_get_local_storage`.
const GET_LOCAL_STORAGE: i32 = 81;
/// Helper `bpf_snprintf`.
const SNPRINTF: i32 = 165;
/// Helper `bpf_find_vma`.
const FIND_VMA: i32 = 180;
/// Helper `bpf_user_ringbuf_drain`.
const USER_RINGBUF_DRAIN: i32 = 209;
/// Helper `bpf_set_retval`.
const SET_RETVAL: i32 = 187;
/// Helpers that change a map.
const MAP_WRITERS: [i32; 4] = [2, 3, 87, 88];

/// What the arguments of a call told.
///
/// Kernel: `struct bpf_call_arg_meta` (6.1 … 7.3).
#[doc(alias = "bpf_call_arg_meta")]
#[derive(Clone, Copy, Default)]
pub(super) struct Call {
    map: Option<u32>,
    callback: Option<SubprogIdx>,
    /// Memory that the helper fills, on the stack at a fixed offset: register and size in bytes.
    fill: Option<(RegNo, i64)>,
    size_max: u64,
    alloc_bytes: Option<u32>,
    key: Option<u64>,
    released: Option<RegNo>,
    /// The reference that an argument owns; 0 for none.
    reference: u32,
}

impl Walker<'_> {
    /// Kernel: `check_helper_call` (6.1 … 7.3).
    pub fn check_helper_call(&mut self, id: i32) -> Check<Next> {
        let prog = ProgKind { prog_type: self.program.prog_type, attach_type: self.program.expected_attach_type };
        let lookup = helpers::lookup_attached(id, prog, self.rules);
        let proto = match lookup {
            HelperLookup::Proto(proto) => proto,
            HelperLookup::Unmodelled(name) => return Err(Stop::unsupported(format!("helper {name}"))),
            refused => {
                let text = refused.refusal(id, self.rules).unwrap_or_default();
                return Err(Stop::invalid(text));
            }
        };
        if proto.is(Traits::MIGHT_SLEEP) && self.program.prog_flags & SLEEPABLE == 0 {
            return Err(Stop::invalid(helpers::sleep_refusal(proto, self.rules)));
        }
        let mut call = Call::default();
        for (n, arg) in proto.args.iter().enumerate() {
            self.check_arg(n, *arg, proto, &mut call)?;
        }
        self.record_map(id, &call)?;
        self.record_key(id, &call)?;
        if let Some((reg, bytes)) = call.fill {
            for i in 0..bytes {
                self.check_access(reg, i, Size::B, Transfer::Clobber, Alignment::Machine, false)?;
            }
        }
        if let Some(reg) = call.released {
            self.release(reg, proto)?;
        }
        let caller = self.cur.depth();
        let next = self.apply(id, &call)?;
        self.finish_call(caller, proto, &call)?;
        if let Some(map) = call.map.and_then(|m| self.program.maps.get(m as usize))
            && maps::fits(map.map_type, id, self.program.prog_type, self.rules) == MapFit::Misfit
        {
            return Err(Stop::invalid(maps::misfit(map.map_type, id, self.rules)));
        }
        if proto.is(Traits::CASTS) && call.reference != 0 {
            self.split_cast()?;
        }
        if id == HELPER_TAIL_CALL {
            return self.after_tail_call(proto.is(Traits::CHANGES_PACKET));
        }
        if proto.is(Traits::CHANGES_PACKET) {
            self.forget_packet();
        }
        Ok(next)
    }

    /// Kernel: `check_func_arg` (6.1 … 7.3).
    #[doc(alias = "check_func_arg")]
    fn check_arg(&mut self, n: usize, arg: Arg, proto: &HelperProto, call: &mut Call) -> Check {
        let Some(reg) = RegNo::new(n as u8 + 1) else { return Ok(()) };
        if arg == Arg::Unused {
            return Ok(());
        }
        self.read_reg(reg)?;
        if arg == Arg::Anything {
            return Ok(());
        }
        let arg = self.of_map(arg, call)?;
        let state = *self.reg(reg);
        if state.kind.is_packet() && !self.helper_may_read_packet(proto) {
            return Err(Stop::access("helper access to the packet is not allowed"));
        }
        if state.is_null() && arg.may_be_null() {
            if self.rules.walk.null_argument == NullArgument::Precise {
                self.mark_precise(reg)?;
            }
        } else {
            self.check_type(reg, arg)?;
            self.check_arg_offset(reg, arg)?;
        }
        self.check_arg_reference(reg, arg, proto, call)?;
        self.check_arg_meaning(n, reg, arg, proto, call)
    }

    /// What an argument is for the map that the call is given: maps of sockets hold sockets.
    ///
    /// Kernel: `resolve_map_arg_type` (6.1 … 7.3).
    #[doc(alias = "resolve_map_arg_type")]
    fn of_map(&self, arg: Arg, call: &Call) -> Check<Arg> {
        let Arg::MapValue(access) = arg else { return Ok(arg) };
        let map = call.map.and_then(|m| self.program.maps.get(m as usize)).map(|m| m.map_type);
        match (map, access) {
            (Some(MapType::Sockmap | MapType::Sockhash), MemAccess::Read) => Ok(Arg::AnySock),
            (Some(MapType::Sockmap | MapType::Sockhash), _) => {
                Err(Stop::invalid("invalid arg_type for sockmap/sockhash"))
            }
            _ => Ok(arg),
        }
    }

    fn helper_may_read_packet(&self, proto: &HelperProto) -> bool {
        let prog_type = self.program.prog_type;
        let any_helper = prog_type == ProgType::CgroupSockopt;
        ctx::packet_access(prog_type) >= PacketAccess::Read && (any_helper || proto.is(Traits::PACKET_ARGS))
    }

    /// Notes the reference that an argument owns, and that a helper which releases one is given one.
    fn check_arg_reference(&self, reg: RegNo, arg: Arg, proto: &HelperProto, call: &mut Call) -> Check {
        let state = self.reg(reg);
        if arg.is_released() {
            if state.reference == 0 && !state.is_null() {
                return Err(Stop::invalid(helpers::release_refusal(proto, reg.n(), self.rules)));
            }
            call.released = Some(reg);
        }
        if state.reference != 0 {
            call.reference = state.reference;
        }
        Ok(())
    }

    /// Kernel: `check_reg_type` (6.1 … 7.3).
    #[doc(alias = "check_reg_type")]
    fn check_type(&self, reg: RegNo, arg: Arg) -> Check {
        let kind = self.reg(reg).kind;
        let accepted = arg.accepts(self.rules);
        let class = class_of(kind).filter(|_| !kind.is_nullable() || arg.may_be_null());
        if accepted.is_empty() || class.is_some_and(|c| accepted.contains(&c)) {
            return fits_object(kind, arg);
        }
        let names: Vec<&str> = accepted.iter().map(|c| c.log_name(self.rules)).collect();
        Err(Stop::access(format!("R{} type={} expected={}", reg.n(), kind.log_name(self.rules), names.join(", "))))
    }

    /// Kernel: `check_func_arg_reg_off` (6.1 … 7.3).
    #[doc(alias = "check_func_arg_reg_off")]
    fn check_arg_offset(&self, reg: RegNo, arg: Arg) -> Check {
        let state = self.reg(reg);
        let moved = state.off != 0 || state.kind.is_pointer() && state.value.as_const() != Some(0);
        if arg == Arg::RingbufMem && self.rules.walk.moved_release == MovedRelease::Dereference {
            let name = RegClass::RingbufMem.log_name(self.rules);
            return match state.off {
                off @ 1.. => {
                    let text = format!("dereference of modified {name} ptr R{} off={off} disallowed", reg.n());
                    Err(Stop::access(text))
                }
                _ => self.check_fixed_offset(reg.n(), state, false),
            };
        }
        let whole = self.rules.walk.moved_release == MovedRelease::Dereference;
        if arg.is_released() && moved && !whole {
            let text =
                format!("R{} must have zero offset when passed to release func or trusted arg to kfunc", reg.n());
            return Err(Stop::invalid(text));
        }
        match state.kind {
            Kind::Stack { .. }
            | Kind::Packet { .. }
            | Kind::PacketMeta { .. }
            | Kind::MapKey { .. }
            | Kind::MapValue { .. }
            | Kind::Mem { .. }
            | Kind::Scalar => Ok(()),
            Kind::Object(_) => self.check_fixed_offset(reg.n(), state, true),
            Kind::Ctx if !matches!(arg, Arg::Ctx | Arg::CtxOrNull) && self.program.prog_type == ProgType::Syscall => {
                Ok(())
            }
            _ => self.check_fixed_offset(reg.n(), state, false),
        }
    }

    fn check_arg_meaning(&mut self, n: usize, reg: RegNo, arg: Arg, proto: &HelperProto, call: &mut Call) -> Check {
        match arg {
            Arg::ConstMapPtr => {
                if let Kind::MapPtr { map } = self.reg(reg).kind {
                    call.map = Some(map);
                }
                Ok(())
            }
            Arg::MapKey => self.check_key(reg, call),
            Arg::MapValue(access) => {
                let map = call.map.ok_or_else(|| Stop::bug("invalid map_ptr to access map->value"))?;
                let bytes = self.map_size(map, |m| m.value_size);
                self.check_memory(reg, i64::from(bytes), access, false, Some(call))
            }
            Arg::Func => {
                if let Kind::Func(subprog) = self.reg(reg).kind {
                    call.callback = Some(subprog);
                }
                Ok(())
            }
            Arg::Mem(MemArg { access, size: MemSize::Fixed(bytes) | MemSize::FixedAligned(bytes), .. }) => {
                if self.reg(reg).is_null() {
                    return self.mark_precise(reg);
                }
                self.check_memory(reg, i64::from(bytes), access, true, Some(call))?;
                if matches!(arg, Arg::Mem(MemArg { size: MemSize::FixedAligned(_), .. })) {
                    self.check_alignment(self.reg(reg), 0, bytes, Alignment::Strict)?;
                }
                Ok(())
            }
            Arg::SpinLock => self.check_field(reg, "bpf_spin_lock"),
            Arg::Timer => self.check_field(reg, "bpf_timer"),
            Arg::Size | Arg::SizeOrZero => {
                let Some(Arg::Mem(memory)) = n.checked_sub(1).and_then(|m| proto.args.get(m)) else {
                    return Err(Stop::bug("size without memory"));
                };
                self.check_size(reg, memory.access, arg == Arg::SizeOrZero, call)
            }
            Arg::AllocSizeOrZero => {
                let Some(bytes) = self.reg(reg).value.as_const() else {
                    return Err(match self.rules.walk.callback_walk {
                        CallbackWalk::Once => Stop::access(format!("R{} is not a known constant'", reg.n())),
                        CallbackWalk::UnknownCount => Stop::invalid(format!("R{} is not a const", reg.n())),
                    });
                };
                self.mark_precise(reg)?;
                call.alloc_bytes = Some(bytes as u32);
                Ok(())
            }
            Arg::ConstStr => self.check_constant_string(reg).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// A lock or timer lies where the types of a map's values say; our maps come without types.
    ///
    /// Kernel: `process_spin_lock`, `process_timer_func` (6.1 … 7.3).
    #[doc(alias = "process_spin_lock")]
    #[doc(alias = "process_timer_func")]
    fn check_field(&self, reg: RegNo, what: &str) -> Check {
        let state = self.reg(reg);
        let Kind::MapValue { .. } = state.kind else {
            return Err(Stop::unsupported(format!("{what} in an object of the kernel")));
        };
        let text = if state.value.as_const().is_none() {
            format!("R{} doesn't have constant offset. {what} has to be at the constant offset", reg.n())
        } else {
            // Maps are created without a name.
            format!("map '' has to have BTF in order to use {what}")
        };
        match self.rules.walk.field_errno {
            FieldErrno::Access => Err(Stop::access(text)),
            FieldErrno::Invalid => Err(Stop::invalid(text)),
        }
    }

    fn check_key(&mut self, reg: RegNo, call: &mut Call) -> Check {
        let map = call.map.ok_or_else(|| Stop::bug("invalid map_ptr to access map->key"))?;
        let bytes = self.map_size(map, |m| m.key_size);
        self.check_memory(reg, i64::from(bytes), MemAccess::Read, false, None)?;
        let map_type = self.program.maps.get(map as usize).map_or(MapType::Unspec, |m| m.map_type);
        if !maps::constant_key_finds(map_type, self.rules) {
            return Ok(());
        }
        let pointer = *self.reg(reg);
        let (Kind::Stack { frame }, Some(off)) = (pointer.kind, pointer.value.as_const()) else {
            return Ok(());
        };
        let off = i64::from(pointer.off).wrapping_add(off as i64);
        let frame = usize::from(frame);
        if let Some((key, holder)) = self.cur.frame(frame).constant_key(off, bytes as usize) {
            if let Some(cell) = holder {
                let mut wanted = Wanted::nothing(self.cur.depth());
                wanted.add(frame, cell);
                self.mark_wanted(wanted)?;
            }
            call.key = Some(key);
        }
        Ok(())
    }

    /// Kernel: `check_mem_size_reg` (6.1 … 7.3).
    #[doc(alias = "check_mem_size_reg")]
    fn check_size(&mut self, reg: RegNo, access: MemAccess, zero_size: bool, call: &mut Call) -> Check {
        let Some(memory) = reg.n().checked_sub(1).and_then(RegNo::new) else { return Ok(()) };
        let size = self.reg(reg).value;
        let n = reg.n();
        call.size_max = size.umax();
        if size.smin() < 0 {
            let text = format!("R{n} min value is negative, either use unsigned or 'var &= const'");
            return Err(Stop::access(text));
        }
        let older = self.rules.walk.callback_walk == CallbackWalk::Once;
        if size.umin() == 0 && older {
            self.check_memory(memory, 0, access, zero_size, None)?;
        } else if size.umin() == 0 && !zero_size {
            let text = format!("R{n} invalid zero-sized read: u64=[{},{}]", size.umin(), size.umax() as i64);
            return Err(Stop::access(text));
        }
        if size.umax() >= VAR_SIZE_MAX {
            let text = format!("R{n} unbounded memory access, use 'var &= const' or 'if (var < const)'");
            return Err(Stop::access(text));
        }
        let fill = if size.as_const().is_some() { Some(call) } else { None };
        self.check_memory(memory, size.umax() as i64, access, zero_size, fill)?;
        self.mark_precise(reg)
    }

    /// Checks that a helper may read or write `bytes` from a pointer on.
    ///
    /// Kernel: `check_helper_mem_access` (6.1 … 7.3).
    #[doc(alias = "check_helper_mem_access")]
    pub fn check_memory(
        &mut self,
        reg: RegNo,
        bytes: i64,
        access: MemAccess,
        zero_size: bool,
        call: Option<&mut Call>,
    ) -> Check {
        let state = *self.reg(reg);
        let off = i64::from(state.off);
        let writes = matches!(access, MemAccess::Write | MemAccess::Fill);
        let direction = if writes { Access::Write } else { Access::Read };
        let size = bytes.clamp(0, i64::from(u32::MAX)) as u32;
        match state.kind {
            Kind::Packet { .. } | Kind::PacketMeta { .. } => self.check_packet(reg, off, size, zero_size),
            Kind::MapKey { .. } if writes => {
                Err(Stop::access(format!("R{} cannot write into {}", reg.n(), state.kind.name())))
            }
            Kind::MapKey { map } => self.check_region(reg, off, size, self.map_size(map, |m| m.key_size), false),
            Kind::MapValue { map, nullable: false } => {
                self.check_map_permission(reg, map, off, size, direction)?;
                self.check_region(reg, off, size, self.map_size(map, |m| m.value_size), zero_size)
            }
            Kind::Mem { size: region, nullable: false, .. } => self.check_region(reg, off, size, region, zero_size),
            Kind::Stack { .. } => self.check_stack_memory(reg, bytes, access, zero_size, call),
            Kind::Ctx if ctx::helper_memory(self.program.prog_type, self.rules) != HelperMemory::Refused => {
                let HelperMemory::Region(region) = ctx::helper_memory(self.program.prog_type, self.rules) else {
                    return Err(Stop::bug("no region"));
                };
                self.check_region(reg, off, size, region, zero_size)
            }
            Kind::Object(_) => Err(Stop::unsupported("an object of the kernel as memory")),
            _ if zero_size && bytes == 0 && state.is_null() => Ok(()),
            kind => {
                let name = kind.log_name(self.rules);
                Err(Stop::access(format!("R{} type={name} expected=fp", reg.n())))
            }
        }
    }

    /// Checks stack that a global function is given: it may hold what is dead here, because the function's use of it was
    /// taken into account.
    pub fn check_stack_passed(&mut self, reg: RegNo, bytes: i64, direction: Access) -> Check {
        let range = self.stack_range(reg, 0, bytes, By::GlobalCall, direction)?;
        self.check_initialized(reg, range, bytes, By::GlobalCall, direction)
    }

    fn check_stack_memory(
        &mut self,
        reg: RegNo,
        bytes: i64,
        access: MemAccess,
        zero_size: bool,
        call: Option<&mut Call>,
    ) -> Check {
        if bytes == 0 && !zero_size {
            return Err(Stop::access("invalid zero-sized read"));
        }
        let older = self.rules.walk.helper_access == HelperAccess::Unknown;
        let writes = older || matches!(access, MemAccess::Write | MemAccess::Fill);
        let direction = if writes { Access::Write } else { Access::Read };
        let range = self.stack_range(reg, 0, bytes, By::Helper, direction)?;
        if let Some(call) = call
            && range.fixed
            && access == MemAccess::Fill
        {
            call.fill = Some((reg, bytes));
            return Ok(());
        }
        self.check_initialized(reg, range, bytes, By::Helper, direction)
    }

    /// Kernel: `check_arg_const_str` (6.1 … 7.3).
    #[doc(alias = "check_arg_const_str")]
    fn check_constant_string(&self, reg: RegNo) -> Check<&[u8]> {
        let state = self.reg(reg);
        let Kind::MapValue { map, .. } = state.kind else { return Err(Stop::bug("not a map value")) };
        let Some(map) = self.program.maps.get(map as usize) else { return Err(Stop::bug("no such map")) };
        if map.flags & MAP_READ_ONLY == 0 || !map.frozen {
            return Err(Stop::access(format!("R{} does not point to a readonly map'", reg.n())));
        }
        let Some(value) = state.value.as_const() else {
            return Err(Stop::access(format!("R{} is not a constant address'", reg.n())));
        };
        let from = usize::try_from(i64::from(state.off).wrapping_add(value as i64)).unwrap_or(usize::MAX);
        let text = map.init.first().and_then(|v| v.get(from..)).unwrap_or_default();
        let padded =
            from < map.value_size as usize && map.init.first().is_none_or(|v| v.len() < map.value_size as usize);
        let end = text.iter().position(|byte| *byte == 0);
        match end {
            Some(end) => Ok(text.get(..end).unwrap_or_default()),
            None if padded => Ok(text),
            None => Err(Stop::invalid("string is not zero-terminated")),
        }
    }

    /// Kernel: `check_bpf_snprintf_call` (6.1 … 7.3).
    #[doc(alias = "check_bpf_snprintf_call")]
    fn check_snprintf(&self) -> Check {
        let bytes = self.reg(RegNo::R5).value.bits().value;
        if !bytes.is_multiple_of(8) {
            return Err(Stop::invalid("(the data of snprintf are no 64-bit numbers)"));
        }
        let format = self.check_constant_string(RegNo::R3)?;
        if format::takes(format, bytes / 8) { Ok(()) } else { Err(Stop::invalid("Invalid format string")) }
    }

    /// Kernel: `record_func_map` (6.1 … 7.3).
    #[doc(alias = "record_func_map")]
    fn record_map(&mut self, id: i32, call: &Call) -> Check {
        let Some(map) = call.map else { return Ok(()) };
        if MAP_WRITERS.contains(&id) && self.map_size(map, |m| m.flags) & MAP_READ_ONLY != 0 {
            return Err(Stop::access("write into map forbidden"));
        }
        let seen = &mut self.insns[self.at.at()].map;
        *seen = match *seen {
            None => Some(Some(map)),
            Some(Some(before)) if before == map => Some(Some(map)),
            Some(_) => Some(None),
        };
        Ok(())
    }

    /// A tail call through a known entry depends on it.
    ///
    /// Kernel: `record_func_key` (6.1 … 7.3).
    #[doc(alias = "record_func_key")]
    fn record_key(&mut self, id: i32, call: &Call) -> Check {
        let Some(map) = call.map.filter(|_| id == HELPER_TAIL_CALL) else { return Ok(()) };
        if self.program.maps.get(map as usize).is_none_or(|m| m.map_type != MapType::ProgArray) {
            return Err(Stop::invalid(helpers::tail_call_refusal(self.rules)));
        }
        let entries = u64::from(self.map_size(map, |m| m.max_entries));
        match self.reg(RegNo::R3).const_scalar() {
            Some(key) if key < entries => self.mark_precise(RegNo::R3),
            _ => Ok(()),
        }
    }

    /// Kernel: `release_reference` (6.1 … 7.3).
    #[doc(alias = "release_reference")]
    fn release(&mut self, reg: RegNo, proto: &HelperProto) -> Check {
        let reference = self.reg(reg).reference;
        if reference == 0 {
            return Ok(());
        }
        let depth = self.cur.depth();
        let frame = match self.rules.walk.reference_scope {
            ReferenceScope::PerFrame => depth,
            ReferenceScope::PerPath => 0,
        };
        let in_callback = self.cur.top().callback_range.is_some();
        let per_frame = self.rules.walk.reference_scope == ReferenceScope::PerFrame;
        let held = self.cur.frame(frame).refs.iter().any(|r| {
            let foreign = per_frame && in_callback && usize::from(r.frame) != depth;
            r.id == reference && !foreign
        });
        if !held {
            let name = helpers::helper_log_name(proto.id, self.rules);
            let text = format!("func {name}#{} reference has not been acquired before", proto.id);
            return Err(Stop::invalid(text));
        }
        self.cur.frame_mut(frame).refs.retain(|r| r.id != reference);
        let unknown = Reg::unknown(self.model());
        self.cur.for_each_reg(|r| r.reference == reference, |r| r.assign(unknown));
        Ok(())
    }

    /// What a helper does beyond its types.
    fn apply(&mut self, id: i32, call: &Call) -> Check<Next> {
        match (id, call.callback) {
            (HELPER_LOOP, Some(callback)) => self.apply_loop(callback),
            (FOR_EACH_MAP_ELEM, Some(callback)) => self.apply_for_each(callback, call.map),
            (HELPER_TAIL_CALL, _) => {
                if self.check_references_released().is_err() {
                    return Err(Stop::invalid("tail_call would lead to reference leak"));
                }
                Ok(Next::Straight)
            }
            (FIND_VMA, Some(callback)) => {
                let model = self.model();
                self.apply_callback(callback, |caller, callee| {
                    callee.regs[1] = caller.regs[1];
                    callee.regs[2] = Reg::pointer(model, Kind::Object(Object::Vma));
                    callee.regs[3] = caller.regs[4];
                })
            }
            (USER_RINGBUF_DRAIN, Some(callback)) => {
                let model = self.model();
                let id = if self.rules.walk.callback_walk == CallbackWalk::Once { 0 } else { self.new_id() };
                self.apply_callback(callback, |caller, callee| {
                    callee.regs[1] = Reg { id, ..Reg::pointer(model, Kind::Object(Object::Dynptr)) };
                    callee.regs[2] = caller.regs[3];
                })
            }
            (SNPRINTF, _) => self.check_snprintf().map(|()| Next::Straight),
            (GET_LOCAL_STORAGE, _) => self.apply_local_storage(),
            (SET_RETVAL, _) => self.apply_set_retval(),
            (_, Some(_)) => Err(Stop::unsupported(format!("callback of helper {id}"))),
            _ => Ok(Next::Straight),
        }
    }

    fn apply_callback(&mut self, callback: SubprogIdx, args: impl FnOnce(&Frame, &mut Frame)) -> Check<Next> {
        let entered = self.call_back(callback, args)?;
        Ok(entered.map_or(Next::Straight, Next::To))
    }

    /// Kernel: the `get_local_storage` case of `check_helper_call` (6.1 … 7.3).
    fn apply_local_storage(&mut self) -> Check<Next> {
        if !self.reg(RegNo::R2).is_null() {
            return Err(Stop::invalid("get_local_storage() doesn't support non-zero flags"));
        }
        if self.rules.walk.null_argument == NullArgument::Precise {
            self.mark_precise(RegNo::R2)?;
        }
        Ok(Next::Straight)
    }

    /// Kernel: the `set_retval` case of `check_helper_call` (7.3).
    fn apply_set_retval(&mut self) -> Check<Next> {
        let prog = ProgKind { prog_type: self.program.prog_type, attach_type: self.program.expected_attach_type };
        let value = *self.reg(RegNo::R1);
        let Some((min, max)) = helpers::set_retval_range(prog, self.rules) else { return Ok(Next::Straight) };
        if value.kind != Kind::Scalar {
            return Err(Stop::invalid("R1 is not a scalar"));
        }
        self.mark_precise(RegNo::R1)?;
        if min <= value.value.s32_min() && value.value.s32_max() <= max {
            return Ok(Next::Straight);
        }
        Err(Stop::invalid(super::call::out_of_range(&value, ReturnRange { min, max }, "At bpf_set_retval", "R1")))
    }

    fn apply_loop(&mut self, callback: SubprogIdx) -> Check<Next> {
        self.visit_loop_site(callback)?;
        if self.rules.walk.loop_count == LoopCount::Precise {
            self.mark_precise(RegNo::R1)?;
        }
        if self.rules.walk.callback_walk == CallbackWalk::UnknownCount
            && u64::from(self.cur.top().callback_depth) >= self.reg(RegNo::R1).value.umax()
        {
            if self.cur.top().callback_depth != 0 {
                self.cur.top_mut().callback_depth = 0;
            }
            let depth = self.cur.depth();
            if let Some(log) = self.log.as_mut().filter(|log| log.is_all()) {
                log.line(format_args!("frame{depth} bpf_loop iteration limit reached"));
            }
            return Ok(Next::Straight);
        }
        let model = self.model();
        let entered = self.call_back(callback, |caller, callee| {
            callee.regs[1] = Reg::unknown(model);
            callee.regs[2] = caller.regs[3];
        })?;
        Ok(entered.map_or(Next::Straight, Next::To))
    }

    fn apply_for_each(&mut self, callback: SubprogIdx, map: Option<u32>) -> Check<Next> {
        let map = map.ok_or_else(|| Stop::bug("expected map for helper call"))?;
        let map_type = self.program.maps.get(map as usize).map(|m| m.map_type);
        let iterable = matches!(
            map_type,
            Some(
                MapType::Array
                    | MapType::Hash
                    | MapType::PercpuArray
                    | MapType::PercpuHash
                    | MapType::LruHash
                    | MapType::LruPercpuHash
            )
        );
        if !iterable {
            return Err(Stop::Reject {
                errno: Errno::ENOTSUPP,
                text: "callback function not allowed for map".to_owned(),
            });
        }
        let model = self.model();
        let id = self.new_id();
        let entered = self.call_back(callback, |caller: &Frame, callee| {
            callee.regs[1] = caller.regs[1];
            callee.regs[2] = Reg::pointer(model, Kind::MapKey { map });
            callee.regs[3] = Reg { id, ..Reg::pointer(model, Kind::MapValue { map, nullable: false }) };
            callee.regs[4] = caller.regs[3];
        })?;
        Ok(entered.map_or(Next::Straight, Next::To))
    }

    /// A tail call that succeeds leaves the program; one that fails goes on. Whether the packet may have moved depends on which
    /// of the two the walk takes the path for: where it knows only one, it takes it for both.
    fn after_tail_call(&mut self, drops_packet: bool) -> Check<Next> {
        if self.rules.walk.tail_call_paths == TailCallPaths::Falls {
            if drops_packet {
                self.forget_packet();
            }
            return Ok(Next::Straight);
        }
        if self.cur.depth() == 0 {
            return Ok(Next::Straight);
        }
        let in_callback = self.cur.top().callback_range.is_some();
        if in_callback && self.rules.walk.leaves_callback == LeavesCallback::Refused {
            return Err(Stop::invalid("cannot tail call within callback"));
        }
        let next = self.at.next();
        self.push_branch(next)?;
        self.forget_packet();
        self.set_unknown(RegNo::R0);
        self.return_to_caller()
    }
}

/// Whether an object of the kernel is of the type that an argument wants; others than those that are known to be are not told.
///
/// Kernel: the end of `check_reg_type` (6.1 … 7.3).
fn fits_object(kind: Kind, arg: Arg) -> Check {
    match (kind, arg) {
        (Kind::Object(Object::Task | Object::TrustedTask), Arg::Task)
        | (Kind::Object(Object::Sock { .. }), Arg::AnySock | Arg::AnySockOrNull | Arg::ReleasedSock) => Ok(()),
        (Kind::Object(_), _) => Err(Stop::unsupported("an object of the kernel as argument")),
        _ => Ok(()),
    }
}

fn class_of(kind: Kind) -> Option<RegClass> {
    Some(match kind {
        Kind::NotInit | Kind::PacketEnd | Kind::FlowKeys | Kind::TracepointBuffer | Kind::Object(Object::Dynptr) => {
            return None;
        }
        Kind::Object(object) if object.is_trusted() => RegClass::TrustedBtfId,
        Kind::Object(_) => RegClass::BtfId,
        Kind::Scalar => RegClass::Scalar,
        Kind::Ctx => RegClass::Ctx,
        Kind::MapPtr { .. } => RegClass::MapPtr,
        Kind::MapValue { .. } | Kind::MapSock { .. } => RegClass::MapValue,
        Kind::Sock { kind, .. } => RegClass::Sock(kind),
        Kind::MapKey { .. } => RegClass::MapKey,
        Kind::Stack { .. } => RegClass::Stack,
        Kind::Packet { .. } => RegClass::Packet,
        Kind::PacketMeta { .. } => RegClass::PacketMeta,
        Kind::Func(_) => RegClass::Func,
        Kind::Mem { ringbuf: false, .. } => RegClass::Mem,
        Kind::Mem { ringbuf: true, .. } => RegClass::RingbufMem,
    })
}
