//! Loads, stores and atomics through every kind of pointer.
//!
//! Stands for `check_mem_access`, `check_mem_region_access`, `check_packet_access`, `check_ctx_access`,
//! `check_ptr_alignment`, `check_atomic` (6.1 … 7.3), for privileged programs on a machine that allows unaligned accesses.
//! Left out: kernel objects with BTF types, arenas.

use super::stack::Access;
use super::state::{Kind, Object, Reg};
use super::text::bits_text;
use super::walker::{Check, Stop, Walker};
use crate::btf::Linkage;
use crate::domain::{Scalar, Tnum};
use crate::isa::{AtomicOp, Imm64, Operand, Reg as RegNo, Size, Width};
use crate::kernel::ctx::{self, CtxAccess, CtxUse, MayBeNull, PacketAccess, PointerRule, ProgKind, SockKind};
use crate::kernel::limits::VAR_OFF_MAX;
use crate::kernel::maps;
use crate::kernel::{LoadAcquireCheck, MainAsCallback, MapType, PointerOffset, StoreToCtx};

/// Alignment that the network stack gives to packets, in bytes.
const IP_ALIGN: i64 = 2;

/// `BPF_F_STRICT_ALIGNMENT`.
const STRICT_ALIGNMENT: u32 = 1 << 0;

/// How strictly an access must be aligned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alignment {
    /// As the machine needs it, or as the program's flags want it: only stack accesses, or all.
    Machine,
    /// Always, as for atomics.
    Strict,
}

/// Where a value comes from or goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Transfer {
    /// Into a register.
    Load(RegNo),
    /// Read without a destination.
    Probe,
    /// From a register or immediate.
    Store(Operand),
    /// Written without a known source.
    Clobber,
}

impl Transfer {
    fn access(self) -> Access {
        match self {
            Transfer::Load(_) | Transfer::Probe => Access::Read,
            Transfer::Store(_) | Transfer::Clobber => Access::Write,
        }
    }
}

impl Walker<'_> {
    /// Kernel: `check_load_mem` (6.1 … 7.3).
    #[doc(alias = "check_load_mem")]
    pub fn check_load(&mut self, size: Size, signed: bool, dst: RegNo, base: RegNo, off: i16, strict: bool) -> Check {
        self.read_reg(base)?;
        self.write_reg(dst)?;
        let kind = self.reg(base).kind;
        let alignment = if strict { Alignment::Strict } else { Alignment::Machine };
        self.check_access(base, i64::from(off), size, Transfer::Load(dst), alignment, signed)?;
        self.same_pointer(kind)?;
        if self.reg(dst).kind == Kind::Scalar {
            self.settle(dst, if strict { "atomic_load" } else { "ldx" })?;
        }
        Ok(())
    }

    /// Kernel: `check_store_reg` and the `BPF_ST` case of `do_check` (6.1 … 7.3).
    #[doc(alias = "check_store_reg")]
    pub fn check_store(&mut self, size: Size, base: RegNo, off: i16, src: Operand) -> Check {
        if let Operand::Reg(src) = src {
            self.read_reg(src)?;
        }
        self.read_reg(base)?;
        let kind = self.reg(base).kind;
        if matches!(src, Operand::Imm(_))
            && kind == Kind::Ctx
            && self.rules.walk.store_to_ctx == StoreToCtx::RegisterOnly
        {
            return Err(Stop::access(format!("BPF_ST stores into R{} ctx is not allowed", base.n())));
        }
        self.check_access(base, i64::from(off), size, Transfer::Store(src), Alignment::Machine, false)?;
        let remembers = matches!(src, Operand::Reg(_)) || self.rules.walk.store_to_ctx == StoreToCtx::Any;
        if remembers { self.same_pointer(kind) } else { Ok(()) }
    }

    /// Kernel: `check_atomic` (6.1 … 7.3).
    pub fn check_atomic(&mut self, size: Size, op: AtomicOp, base: RegNo, off: i16, src: RegNo) -> Check {
        match op {
            AtomicOp::LoadAcquire => {
                self.read_reg(base)?;
                if self.rules.walk.load_acquire_check == LoadAcquireCheck::BeforeLoad {
                    self.atomic_allowed(base, "loads from")?;
                    return self.check_load(size, false, src, base, off, true);
                }
                self.check_load(size, false, src, base, off, true)?;
                return self.atomic_allowed(base, "loads from");
            }
            AtomicOp::StoreRelease => {
                self.read_reg(src)?;
                self.read_reg(base)?;
                let kind = self.reg(base).kind;
                let store = Transfer::Store(Operand::Reg(src));
                self.check_access(base, i64::from(off), size, store, Alignment::Strict, false)?;
                self.same_pointer(kind)?;
                return self.atomic_allowed(base, "stores into");
            }
            _ => {}
        }
        self.read_reg(src)?;
        self.read_reg(base)?;
        if op == AtomicOp::CmpXchg {
            self.read_reg(RegNo::R0)?;
        }
        self.atomic_allowed(base, "stores into")?;
        let fetched = match op {
            AtomicOp::CmpXchg => Some(RegNo::R0),
            AtomicOp::Xchg
            | AtomicOp::Add { fetch: true }
            | AtomicOp::Or { fetch: true }
            | AtomicOp::And { fetch: true }
            | AtomicOp::Xor { fetch: true } => Some(src),
            _ => None,
        };
        if let Some(fetched) = fetched {
            self.write_reg(fetched)?;
            self.set_unknown(fetched);
        }
        let off = i64::from(off);
        self.check_access(base, off, size, Transfer::Probe, Alignment::Strict, false)?;
        if let Some(fetched) = fetched {
            self.check_access(base, off, size, Transfer::Load(fetched), Alignment::Strict, false)?;
        }
        self.check_access(base, off, size, Transfer::Clobber, Alignment::Strict, false)
    }

    /// Kernel: `atomic_ptr_type_ok` (6.1 … 7.3).
    #[doc(alias = "atomic_ptr_type_ok")]
    fn atomic_allowed(&self, base: RegNo, verb: &str) -> Check {
        let kind = self.reg(base).kind;
        let socket = matches!(kind, Kind::Sock { nullable: false, .. });
        if kind == Kind::Ctx || kind.is_packet() || socket || kind == Kind::FlowKeys {
            return Err(Stop::access(format!("BPF_ATOMIC {verb} R{} {} is not allowed", base.n(), kind.name())));
        }
        Ok(())
    }

    /// A load or store that is rewritten by its pointer's type must always see the same one.
    ///
    /// Kernel: `save_aux_ptr_type` (6.1 … 7.3).
    #[doc(alias = "save_aux_ptr_type")]
    fn same_pointer(&mut self, kind: Kind) -> Check {
        let seen = &mut self.insns[self.at.at()].pointer;
        match *seen {
            None => *seen = Some(kind),
            Some(before) if !before.same_type(kind) && (is_rewritten(before) || is_rewritten(kind)) => {
                return Err(Stop::invalid("same insn cannot be used with different pointers"));
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Kernel: `check_mem_access` (6.1 … 7.3).
    #[doc(alias = "check_mem_access")]
    pub fn check_access(
        &mut self,
        base: RegNo,
        off: i64,
        size: Size,
        transfer: Transfer,
        alignment: Alignment,
        signed: bool,
    ) -> Check {
        let pointer = *self.reg(base);
        let bytes = size.bytes();
        self.check_alignment(&pointer, off, bytes, alignment)?;
        let whole = off + i64::from(pointer.off);
        let access = transfer.access();
        match pointer.kind {
            Kind::MapKey { .. } if access == Access::Write => {
                return Err(Stop::access(format!("write to change key R{} not allowed", base.n())));
            }
            Kind::MapKey { map } => {
                self.check_region(base, whole, bytes, self.map_size(map, |m| m.key_size), false)?;
                self.loaded_unknown(transfer);
            }
            Kind::MapValue { map, nullable: false } => self.access_map_value(base, map, whole, bytes, transfer)?,
            Kind::Mem { size, nullable: false, .. } => {
                self.check_region(base, whole, bytes, size, false)?;
                self.loaded_unknown(transfer);
            }
            Kind::Ctx => self.access_ctx(base, whole, bytes, transfer, signed)?,
            Kind::Stack { .. } => match transfer {
                Transfer::Load(dst) => self.read_stack(base, off, bytes, Some(dst))?,
                Transfer::Probe => self.read_stack(base, off, bytes, None)?,
                Transfer::Store(value) => self.write_stack(base, off, bytes, Some(value))?,
                Transfer::Clobber => self.write_stack(base, off, bytes, None)?,
            },
            Kind::Packet { .. } | Kind::PacketMeta { .. } => {
                if access == Access::Write && ctx::packet_access(self.program.prog_type) != PacketAccess::ReadWrite {
                    return Err(Stop::access("cannot write into packet"));
                }
                self.writes_packet |= access == Access::Write;
                self.check_packet(base, whole, bytes, false)?;
                self.loaded_unknown(transfer);
            }
            Kind::Sock { kind: _, nullable: false } if access == Access::Write => {
                return Err(Stop::access(format!("R{} cannot write into {}", base.n(), pointer.kind.name())));
            }
            Kind::Sock { kind, nullable: false } => {
                self.check_socket(base, kind, whole, bytes)?;
                self.loaded_unknown(transfer);
            }
            Kind::FlowKeys => {
                self.check_flow_keys(base, whole, bytes)?;
                self.loaded_unknown(transfer);
            }
            Kind::TracepointBuffer => {
                self.check_tracepoint_buffer(base, whole, bytes)?;
                self.loaded_unknown(transfer);
            }
            Kind::Object(_) if !pointer.kind.is_nullable() => {
                return Err(Stop::unsupported("access to an object of the kernel"));
            }
            Kind::MapPtr { map } => return Err(self.refuse_map_field(base, map, whole, access)),
            kind => {
                return Err(Stop::access(format!("R{} invalid mem access '{}'", base.n(), kind.log_name(self.rules))));
            }
        }
        self.narrow_loaded(transfer, bytes, signed);
        Ok(())
    }

    fn loaded_unknown(&mut self, transfer: Transfer) {
        if let Transfer::Load(dst) = transfer {
            self.set_unknown(dst);
        }
    }

    /// What a load of less than eight bytes leaves in its register.
    fn narrow_loaded(&mut self, transfer: Transfer, bytes: u32, signed: bool) {
        let Transfer::Load(dst) = transfer else { return };
        let mut reg = *self.reg(dst);
        if bytes >= 8 || reg.kind != Kind::Scalar {
            return;
        }
        if signed {
            let positive = reg.value.umax() < 1 << (8 * bytes - 1);
            reg.value = reg.value.sign_extend(Width::W64, (8 * bytes) as u8, &self.rules.domain);
            if !positive {
                reg.drop_id(self.rules.walk.lost_link);
            }
        } else {
            reg.value = reg.value.truncate_to(bytes, &self.rules.domain);
        }
        *self.reg_mut(dst) = reg;
    }

    /// Kernel: `check_ptr_alignment` (6.1 … 7.3).
    #[doc(alias = "check_ptr_alignment")]
    pub fn check_alignment(&self, pointer: &Reg, off: i64, bytes: u32, alignment: Alignment) -> Check {
        let always = matches!(pointer.kind, Kind::Stack { .. }) || self.program.prog_flags & STRICT_ALIGNMENT != 0;
        if bytes == 1 || alignment == Alignment::Machine && !always {
            return Ok(());
        }
        let fixed = i64::from(pointer.off);
        let shift = if pointer.kind.is_packet() { IP_ALIGN } else { 0 };
        if pointer.value.bits().add(Tnum::constant((shift + fixed + off) as u64)).is_aligned(u64::from(bytes)) {
            return Ok(());
        }
        let bits = bits_text(pointer.value.bits(), self.rules);
        let offsets = match self.rules.walk.pointer_offset {
            PointerOffset::Split => format!("{bits}+{fixed}+{off}"),
            PointerOffset::Folded => format!("{bits}+{off}"),
        };
        let what = match pointer.kind {
            Kind::Packet { .. } | Kind::PacketMeta { .. } => {
                return Err(Stop::access(format!("misaligned packet access off {IP_ALIGN}+{offsets} size {bytes}")));
            }
            Kind::MapKey { .. } => "key ",
            Kind::MapValue { nullable: false, .. } => "value ",
            Kind::Ctx => "context ",
            Kind::Stack { .. } => "stack ",
            Kind::Sock { kind: SockKind::Common, nullable: false } => "sock_common ",
            Kind::Sock { kind: SockKind::Full, nullable: false } => "sock ",
            Kind::Sock { kind: SockKind::Tcp, nullable: false } => "tcp_sock ",
            Kind::Sock { kind: SockKind::Xdp, nullable: false } => "xdp_sock ",
            Kind::FlowKeys => "flow keys ",
            _ => "",
        };
        Err(Stop::access(format!("misaligned {what}access off {offsets} size {bytes}")))
    }

    /// Kernel: `check_sock_access` (6.1 … 7.3).
    #[doc(alias = "check_sock_access")]
    fn check_socket(&self, base: RegNo, kind: SockKind, off: i64, bytes: u32) -> Check {
        let n = base.n();
        if self.reg(base).value.smin() < 0 {
            let text = "min value is negative, either use unsigned index or do a if (index >=0) check.";
            return Err(Stop::access(format!("R{n} {text}")));
        }
        match ctx::socket_load(kind, off, bytes) {
            CtxAccess::Scalar { .. } => Ok(()),
            _ => {
                let name = kind.log_name();
                Err(Stop::access(format!("R{n} invalid {name} access off={off} size={bytes}")))
            }
        }
    }

    /// Kernel: `check_flow_keys_access` (6.1 … 7.3).
    #[doc(alias = "check_flow_keys_access")]
    fn check_flow_keys(&self, base: RegNo, off: i64, bytes: u32) -> Check {
        let off = match self.rules.walk.pointer_offset {
            PointerOffset::Split => off,
            PointerOffset::Folded => off.wrapping_add(self.reg(base).value.as_const().unwrap_or_default() as i64),
        };
        if off < 0 || off.saturating_add(i64::from(bytes)) > i64::from(ctx::FLOW_KEYS_BYTES) {
            return Err(Stop::access(format!("invalid access to flow keys off={off} size={bytes}")));
        }
        Ok(())
    }

    /// Only the refusals that need no layout of the kernel's structures.
    ///
    /// Kernel: `check_ptr_to_map_access` (6.1 … 7.3).
    #[doc(alias = "check_ptr_to_map_access")]
    fn refuse_map_field(&self, base: RegNo, map: u32, off: i64, access: Access) -> Stop {
        let map_type = self.program.maps.get(map as usize).map_or(MapType::Unspec, |m| m.map_type);
        match maps::kernel_struct(map_type) {
            Some(name) if off < 0 => {
                Stop::access(format!("R{} is {name} invalid negative access: off={off}", base.n()))
            }
            Some(name) if access == Access::Write => Stop::access(format!("only read from {name} is supported")),
            _ => Stop::unsupported("access to a map object's fields"),
        }
    }

    /// Kernel: `check_tp_buffer_access` (6.1 … 7.3).
    #[doc(alias = "check_tp_buffer_access")]
    fn check_tracepoint_buffer(&self, base: RegNo, off: i64, bytes: u32) -> Check {
        let (n, value) = (base.n(), &self.reg(base).value);
        let variable = || {
            let bits = bits_text(value.bits(), self.rules);
            Stop::access(format!("R{n} invalid variable buffer offset: off={off}, var_off={bits}"))
        };
        match (self.rules.walk.pointer_offset, value.as_const()) {
            (PointerOffset::Split, _) if off < 0 => {
                Err(Stop::access(format!("R{n} invalid tracepoint buffer access: off={off}, size={bytes}")))
            }
            (PointerOffset::Split, Some(0)) => Ok(()),
            (PointerOffset::Split, _) | (PointerOffset::Folded, None) => Err(variable()),
            (PointerOffset::Folded, Some(at)) if off.wrapping_add(at as i64) < 0 => {
                let text = format!("invalid negative tracepoint buffer offset: off={off}, var_off={}", at as i64);
                Err(Stop::access(format!("R{n} {text}")))
            }
            (PointerOffset::Folded, Some(_)) => Ok(()),
        }
    }

    /// A size of a map, in bytes.
    pub fn map_size(&self, map: u32, size: impl Fn(&crate::program::MapDef) -> u32) -> u32 {
        self.program.maps.get(map as usize).map_or(0, size)
    }

    /// Checks an access of `bytes` at `off` from a pointer into a region of known size.
    ///
    /// Kernel: `check_mem_region_access` (6.1 … 7.3).
    #[doc(alias = "check_mem_region_access")]
    pub fn check_region(&self, base: RegNo, off: i64, bytes: u32, region: u32, zero_size: bool) -> Check {
        let value = &self.reg(base).value;
        let n = base.n();
        let (smin, umax) = (value.smin(), value.umax());
        let low = smin.checked_add(off).filter(|sum| i32::try_from(*sum).is_ok() && *sum >= 0);
        if smin < 0 && low.is_none() {
            let text = "min value is negative, either use unsigned index or do a if (index >=0) check.";
            return Err(Stop::access(format!("R{n} {text}")));
        }
        let from = smin.saturating_add(off);
        if !within(from, bytes, region, zero_size) {
            let access = self.access_outside(base, from, bytes, region);
            return Err(Stop::access(format!("{access}\nR{n} min value is outside of the allowed memory range")));
        }
        if umax >= VAR_OFF_MAX as u64 {
            let text = "unbounded memory access, make sure to bounds check any such access";
            return Err(Stop::access(format!("R{n} {text}")));
        }
        let to = (umax as i64).saturating_add(off);
        if !within(to, bytes, region, zero_size) {
            let access = self.access_outside(base, to, bytes, region);
            return Err(Stop::access(format!("{access}\nR{n} max value is outside of the allowed memory range")));
        }
        Ok(())
    }

    /// The line of the log before the reason, for an access of `bytes` bytes at `off` that leaves a region.
    ///
    /// Kernel: `__check_mem_access` (6.1 … 7.3).
    #[doc(alias = "__check_mem_access")]
    fn access_outside(&self, base: RegNo, off: i64, bytes: u32, region: u32) -> String {
        let pointer = self.reg(base);
        let (off, n) = (off as i32, base.n());
        match pointer.kind {
            Kind::MapKey { .. } => format!("invalid access to map key, key_size={region} off={off} size={bytes}"),
            Kind::MapValue { .. } => format!("invalid access to map value, value_size={region} off={off} size={bytes}"),
            Kind::Packet { .. } | Kind::PacketMeta { .. } => {
                let id = pointer.id;
                format!("invalid access to packet, off={off} size={bytes}, R{n}(id={id},off={off},r={region})")
            }
            Kind::Ctx if self.rules.walk.pointer_offset == PointerOffset::Folded => {
                format!("invalid access to context, ctx_size={region} off={off} size={bytes}")
            }
            _ => format!("invalid access to memory, mem_size={region} off={off} size={bytes}"),
        }
    }

    /// Kernel: `check_packet_access` (6.1 … 7.3).
    #[doc(alias = "check_packet_access")]
    pub fn check_packet(&self, base: RegNo, off: i64, bytes: u32, zero_size: bool) -> Check {
        let pointer = self.reg(base);
        let n = base.n();
        let (Kind::Packet { range } | Kind::PacketMeta { range }) = pointer.kind else {
            return Err(Stop::bug("not a packet pointer"));
        };
        let outside = format!("R{n} offset is outside of the packet");
        if self.rules.walk.pointer_offset == PointerOffset::Folded {
            if range < 0 {
                return Err(Stop::invalid(outside));
            }
            return self.check_region(base, off, bytes, range as u32, zero_size);
        }
        if pointer.value.smin() < 0 {
            let text = "min value is negative, either use unsigned index or do a if (index >=0) check.";
            return Err(Stop::access(format!("R{n} {text}")));
        }
        if range < 0 {
            return Err(Stop::invalid(outside));
        }
        if within(off, bytes, range as u32, zero_size) {
            return Ok(());
        }
        let access = self.access_outside(base, off, bytes, range as u32);
        Err(Stop::access(format!("{access}\n{outside}")))
    }

    /// Kernel: `check_map_access_type`, `check_map_access` and the map case of `check_mem_access` (6.1 … 7.3).
    #[doc(alias = "check_map_access")]
    fn access_map_value(&mut self, base: RegNo, map: u32, off: i64, bytes: u32, transfer: Transfer) -> Check {
        self.check_map_permission(base, map, off, bytes, transfer.access())?;
        self.check_region(base, off, bytes, self.map_size(map, |m| m.value_size), false)?;
        let Transfer::Load(dst) = transfer else { return Ok(()) };
        let known = self
            .reg(base)
            .value
            .as_const()
            .and_then(|at| self.constant_in_map(map, off.wrapping_add(at as i64), bytes));
        match known {
            Some(value) => {
                let content = Reg::constant(self.model(), value);
                self.set_reg(dst, content);
            }
            None => self.set_unknown(dst),
        }
        Ok(())
    }

    /// Kernel: `check_map_access_type` (6.1 … 7.3).
    #[doc(alias = "check_map_access_type")]
    pub fn check_map_permission(&self, base: RegNo, map: u32, off: i64, bytes: u32, access: Access) -> Check {
        let flags = self.map_size(map, |m| m.flags);
        let value_size = self.map_size(map, |m| m.value_size);
        let shown = match self.rules.walk.pointer_offset {
            PointerOffset::Split => off,
            PointerOffset::Folded => off.wrapping_add(self.reg(base).value.smin()),
        };
        let refused = match access {
            Access::Write if flags & MAP_READ_ONLY != 0 => "write into",
            Access::Read if flags & MAP_WRITE_ONLY != 0 => "read from",
            _ => return Ok(()),
        };
        Err(Stop::access(format!("{refused} map forbidden, value_size={value_size} off={shown} size={bytes}")))
    }

    /// The value in a map that neither programs nor users can change any more.
    ///
    /// Kernel: `bpf_map_direct_read` (6.1 … 7.3).
    #[doc(alias = "bpf_map_direct_read")]
    fn constant_in_map(&self, map: u32, off: i64, bytes: u32) -> Option<u64> {
        let map = self.program.maps.get(map as usize)?;
        if map.flags & MAP_READ_ONLY == 0 || !map.frozen || map.map_type != MapType::Array || map.max_entries != 1 {
            return None;
        }
        let init = map.init.first().map_or(&[][..], Vec::as_slice);
        let from = usize::try_from(off).ok()?;
        let byte = |i: usize| u64::from(init.get(from + i).copied().unwrap_or(0));
        Some((0..bytes as usize).fold(0, |value, i| value | byte(i) << (8 * i)))
    }

    /// Kernel: `check_ctx_access` (6.1 … 7.3).
    #[doc(alias = "check_ctx_access")]
    fn access_ctx(&mut self, base: RegNo, off: i64, bytes: u32, transfer: Transfer, signed: bool) -> Check {
        let pointer = *self.reg(base);
        let n = base.n();
        let prog_type = self.program.prog_type;
        match ctx::pointer_rule(prog_type, self.rules) {
            PointerRule::Region(region) => self.check_region(base, off, bytes, region, false)?,
            PointerRule::Fixed => self.check_fixed_offset(n, &pointer, true)?,
            PointerRule::Unmodified => self.check_fixed_offset(n, &pointer, false)?,
        }
        let off = off.wrapping_add(pointer.value.umax() as i64);
        let refused = Stop::access(format!("invalid bpf_context access off={off} size={bytes}"));
        let Ok(at) = i32::try_from(off) else { return Err(refused) };
        let how = match transfer.access() {
            Access::Write => CtxUse::Write,
            Access::Read if signed => CtxUse::ReadSigned,
            Access::Read => CtxUse::Read,
        };
        let prog = ProgKind { prog_type, attach_type: self.program.expected_attach_type };
        let kind = match ctx::access(prog, at, bytes, how, self.rules) {
            CtxAccess::Invalid => return Err(refused),
            CtxAccess::Unmodelled(what) => return Err(Stop::unsupported(format!("context field {what}"))),
            CtxAccess::Scalar { .. } => Kind::Scalar,
            CtxAccess::Packet => Kind::Packet { range: 0 },
            CtxAccess::PacketMeta => Kind::PacketMeta { range: 0 },
            CtxAccess::PacketEnd => Kind::PacketEnd,
            CtxAccess::Socket(kind, null) => Kind::Sock { kind, nullable: null == MayBeNull::Yes },
            CtxAccess::FlowKeys => Kind::FlowKeys,
            CtxAccess::TracepointBuffer => Kind::TracepointBuffer,
            CtxAccess::HookState => Kind::Object(Object::HookState),
            CtxAccess::SkBuff => Kind::Object(Object::SkBuff),
        };
        if let Transfer::Load(dst) = transfer {
            let model = self.model();
            let mut content = if kind == Kind::Scalar { Reg::unknown(model) } else { Reg::pointer(model, kind) };
            if kind.is_nullable() {
                content.id = self.new_id();
            }
            self.set_reg(dst, content);
        }
        Ok(())
    }

    /// Checks that a pointer may be used where a fixed offset, or none, is wanted.
    ///
    /// Kernel: `__check_ptr_off_reg` (6.1 … 7.3).
    #[doc(alias = "check_ptr_off_reg")]
    pub fn check_fixed_offset(&self, n: u8, pointer: &Reg, any_fixed: bool) -> Check {
        let name = pointer.kind.name();
        let bits = pointer.value.bits();
        let variable =
            || Stop::access(format!("variable {name} access var_off={} disallowed", bits_text(bits, self.rules)));
        let (off, known) = match self.rules.walk.pointer_offset {
            PointerOffset::Split => (i64::from(pointer.off), pointer.value.as_const() == Some(0)),
            PointerOffset::Folded => {
                let Some(off) = pointer.value.as_const() else { return Err(variable()) };
                (off as i64, true)
            }
        };
        if off < 0 {
            return Err(Stop::access(format!("negative offset {name} ptr R{n} off={off} disallowed")));
        }
        if !any_fixed && off != 0 {
            return Err(Stop::access(format!("dereference of modified {name} ptr R{n} off={off} disallowed")));
        }
        if known { Ok(()) } else { Err(variable()) }
    }

    /// Kernel: `check_ld_imm` (6.1 … 7.3).
    #[doc(alias = "check_ld_imm")]
    pub fn check_ld_imm64(&mut self, dst: RegNo, imm: Imm64) -> Check {
        self.write_reg(dst)?;
        let model = self.model();
        let content = match imm {
            Imm64::Const(value) => Reg::constant(model, value),
            Imm64::Map(map) => Reg::pointer(model, Kind::MapPtr { map }),
            Imm64::MapValue { map, off } => {
                let mut reg = Reg::pointer(model, Kind::MapValue { map, nullable: false });
                match self.rules.walk.pointer_offset {
                    PointerOffset::Split => reg.off = off as i32,
                    PointerOffset::Folded => reg.value = Scalar::constant(model, u64::from(off)),
                }
                reg
            }
            Imm64::Func { rel, .. } => self.function_reference(rel)?,
            Imm64::BtfId(_) => return Err(Stop::unsupported("ld_imm64 of a kernel variable")),
            Imm64::MapByIdx { .. } => return Err(Stop::unsupported("ld_imm64 by index of file descriptor")),
        };
        self.set_reg(dst, content);
        Ok(())
    }

    fn function_reference(&self, rel: i32) -> Check<Reg> {
        let start = self.target(rel);
        let Some(subprog) = self.structure.layout.starting(start) else {
            return Err(Stop::bug(format!("no subprogram at {start}")));
        };
        if self.program.funcs.is_empty() {
            return Err(Stop::invalid("missing btf func_info"));
        }
        if self.structure.subprogs[subprog.at()].linkage != Some(Linkage::Static) {
            return Err(Stop::invalid("callback function not static"));
        }
        if subprog.at() == 0 && self.rules.walk.main_as_callback == MainAsCallback::Refused {
            return Err(Stop::invalid("callback function cannot be the main program"));
        }
        Ok(Reg::pointer(self.model(), Kind::Func(subprog)))
    }
}

/// True for a pointer through which accesses are rewritten.
///
/// Kernel: `reg_type_mismatch_ok` (6.1 … 7.3), negated.
#[doc(alias = "reg_type_mismatch_ok")]
fn is_rewritten(kind: Kind) -> bool {
    kind == Kind::Ctx || kind.is_socket() || matches!(kind, Kind::Object(_))
}

/// `BPF_F_RDONLY_PROG`.
const MAP_READ_ONLY: u32 = 1 << 7;
/// `BPF_F_WRONLY_PROG`.
const MAP_WRITE_ONLY: u32 = 1 << 8;

/// Kernel: `__check_mem_access` (6.1 … 7.3).
#[doc(alias = "__check_mem_access")]
fn within(off: i64, bytes: u32, region: u32, zero_size: bool) -> bool {
    off >= 0 && (bytes > 0 || zero_size) && off.saturating_add(i64::from(bytes)) <= i64::from(region)
}
