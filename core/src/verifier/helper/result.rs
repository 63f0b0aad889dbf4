//! What a helper call leaves behind: the registers that it clobbers, and R0 by the prototype.
//!
//! Stands for the end of `check_helper_call` (6.1 … 7.3).

use super::super::call::CALLER_SAVED;
use super::super::state::{Kind, Object, Reference, Reg};
use super::super::walker::{Check, Walker};
use super::{Call, MAP_LOOKUP};
use crate::isa::Reg as RegNo;
use crate::kernel::ctx::SockKind;
use crate::kernel::helpers::{self, HelperProto, Ret, RetRange, Traits};
use crate::kernel::{CastOfReference, FoundSocket, MapType, ReferenceScope};

impl Walker<'_> {
    /// Clears what a call does not keep and sets R0, in the caller's frame.
    pub(super) fn finish_call(&mut self, caller: usize, proto: &HelperProto, call: &Call) -> Check {
        let (model, by_marks) = (self.model(), self.by_read_marks());
        let result = self.result(proto, call);
        self.touched.reg(RegNo::R0.n());
        let frame = self.cur.frame_mut(caller);
        for reg in CALLER_SAVED {
            let reg = &mut frame.regs[reg.at()];
            reg.assign(Reg::not_init(model));
            reg.marks.written |= by_marks;
        }
        frame.regs[0].assign(result);
        if caller != self.cur.depth() && by_marks {
            // The older kernels note the clobbered registers in the callback's frame.
            let callee = self.cur.top_mut();
            CALLER_SAVED.iter().for_each(|r| callee.regs[r.at()].marks.written = true);
        }
        Ok(())
    }

    fn result(&mut self, proto: &HelperProto, call: &Call) -> Reg {
        let model = self.model();
        let map = call.map.unwrap_or_default();
        match proto.ret {
            Ret::Void => Reg::not_init(model),
            Ret::Integer => {
                let mut reg = Reg::unknown(model);
                let domain = &self.rules.domain;
                reg.value = match helpers::ret_range(proto.id, self.rules) {
                    RetRange::Any => return reg,
                    RetRange::ErrnoToSize => reg.value.with_srange(-helpers::ERRNO_MAX, call.size_max as i64, domain),
                    RetRange::CpuNumber => reg.value.with_urange(0, self.rules.walk.cpus.wrapping_sub(1), domain),
                    RetRange::ErrnoOrZero => reg.value.with_srange(-helpers::ERRNO_MAX, 0, domain),
                };
                reg
            }
            Ret::KernelSockOrNull(of) => {
                let kind = Kind::Object(Object::Sock { of, nullable: true });
                self.returned_socket(kind, proto, call)
            }
            Ret::Task => Reg::pointer(model, Kind::Object(Object::Task)),
            Ret::TrustedTask => Reg::pointer(model, Kind::Object(Object::TrustedTask)),
            Ret::MapValue => Reg::pointer(model, Kind::MapValue { map, nullable: false }),
            Ret::SocketOrNull | Ret::SockCommonOrNull | Ret::TcpSockOrNull => {
                let kind = proto.ret.socket().unwrap_or(SockKind::Common);
                self.returned_socket(Kind::Sock { kind, nullable: true }, proto, call)
            }
            Ret::MapValueOrNull => match self.map_of_sockets(map).filter(|_| proto.id == MAP_LOOKUP) {
                Some((kind, acquires)) => {
                    let kind = match self.rules.walk.found_socket {
                        FoundSocket::AfterCheck => Kind::MapSock { map, kind },
                        FoundSocket::AtOnce => Kind::Sock { kind, nullable: true },
                    };
                    let id = self.new_id();
                    if acquires { self.acquired(kind) } else { Reg { id, ..Reg::pointer(model, kind) } }
                }
                None => {
                    let entries = self.map_size(map, |m| m.max_entries);
                    let sure = proto.id == MAP_LOOKUP && call.key.is_some_and(|key| key < u64::from(entries));
                    let mut reg = Reg::pointer(model, Kind::MapValue { map, nullable: !sure });
                    if !sure {
                        reg.id = self.new_id();
                    }
                    reg
                }
            },
            Ret::RingbufMemOrNull => {
                let size = call.alloc_bytes.unwrap_or_default();
                // The first is for the comparison with NULL; the reference's takes its place.
                let _ = self.new_id();
                self.acquired(Kind::Mem { size, nullable: true, ringbuf: true })
            }
        }
    }

    /// A pointer that owns a new reference.
    ///
    /// Kernel: `acquire_reference_state` (6.1 … 7.3).
    #[doc(alias = "acquire_reference_state")]
    fn acquired(&mut self, kind: Kind) -> Reg {
        let id = self.new_id();
        let (insn, depth) = (self.at, self.cur.depth());
        let frame = match self.rules.walk.reference_scope {
            ReferenceScope::PerFrame => depth,
            ReferenceScope::PerPath => 0,
        };
        self.cur.frame_mut(frame).refs.push(Reference { id, insn, frame: depth as u8 });
        Reg { id, reference: id, ..Reg::pointer(self.model(), kind) }
    }

    /// A socket that a helper returns: found, cast from the argument, or belonging to it.
    fn returned_socket(&mut self, kind: Kind, proto: &HelperProto, call: &Call) -> Reg {
        let id = self.new_id();
        if proto.is(Traits::ACQUIRES) {
            return self.acquired(kind);
        }
        let reference = if proto.is(Traits::CASTS) { call.reference } else { 0 };
        Reg { id, reference, ..Reg::pointer(self.model(), kind) }
    }

    /// The kind of socket that a look-up in a map finds, and whether it has to be released.
    ///
    /// Kernel: `mark_ptr_not_null_reg` (6.1 … 6.18), `refine_map_lookup_value` (7.3), `is_acquire_function`.
    #[doc(alias = "refine_map_lookup_value")]
    fn map_of_sockets(&self, map: u32) -> Option<(SockKind, bool)> {
        match self.program.maps.get(map as usize).map(|m| m.map_type) {
            Some(MapType::Sockmap | MapType::Sockhash) => Some((SockKind::Full, true)),
            Some(MapType::Xskmap) => Some((SockKind::Xdp, false)),
            _ => None,
        }
    }

    /// A cast of what has to be released shares its reference and may still give NULL: where the reference is the id, both are
    /// walked.
    pub(super) fn split_cast(&mut self) -> Check {
        if self.rules.walk.cast_of_reference == CastOfReference::SharesId {
            let next = self.at.next();
            let null = Reg::constant(self.model(), 0);
            self.push_branch(next)?.top_mut().regs[0].assign(null);
            let result = self.reg_mut(RegNo::R0);
            result.kind = result.kind.checked();
            result.id = result.reference;
        }
        Ok(())
    }
}
