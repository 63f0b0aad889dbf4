//! What a caller passes, held against the callee's BTF prototype.
//!
//! Stands for `btf_check_func_arg_match`, `btf_check_subprog_call` (6.1 … 7.3) and the arguments of `do_check_common`. For a
//! static function or a callback a misfit is only remarked in the log and the prototype not looked at again; a global
//! function is verified with what its prototype says, so that a caller must fit.

use super::stack::Access;
use super::state::{Frame, Kind, Reg};
use super::structure::ArgKind;
use super::verdict::Errno;
use super::walker::{Check, Stop, Walker};
use crate::isa::Reg as RegNo;
use crate::kernel::helpers::MemAccess;
use crate::kernel::{ArgTags, HelperAccess, NullArgument, NullForNonnull};
use crate::program::SubprogIdx;

/// A caller that does not fit: the error number of the load, if the callee is global.
pub(super) struct Misfit(pub Errno);

impl Walker<'_> {
    /// Holds the arguments in the current frame's registers against a callee's prototype.
    ///
    /// Kernel: `btf_check_subprog_call` (6.1 … 7.3).
    #[doc(alias = "btf_check_subprog_call")]
    pub fn fit_arguments(&mut self, subprog: SubprogIdx) -> Check<Result<(), Misfit>> {
        let structure = self.structure;
        let Some(signature) = &structure.subprogs[subprog.at()].signature else {
            return Ok(Err(Misfit(Errno::EINVAL)));
        };
        if self.subprogs[subprog.at()].unreliable {
            return Ok(Err(Misfit(Errno::EINVAL)));
        }
        let fits = match signature {
            Ok(signature) => self.fit_all(subprog, &signature.args)?,
            Err(fault) if fault.errno == Errno::EFAULT => {
                return Err(Stop::bug(fault.text.clone().unwrap_or_default()));
            }
            Err(fault) => {
                if let Some(text) = &fault.text {
                    self.remark(text.as_str());
                }
                Err(Misfit(fault.errno))
            }
        };
        if fits.is_err() {
            self.subprogs[subprog.at()].unreliable = true;
        }
        Ok(fits)
    }

    fn fit_all(&mut self, subprog: SubprogIdx, args: &[ArgKind]) -> Check<Result<(), Misfit>> {
        for (n, arg) in args.iter().enumerate() {
            let Some(reg) = RegNo::new(n as u8 + 1) else { continue };
            match self.fit(subprog, n, reg, *arg) {
                Ok(()) => {}
                Err(Stop::Reject { errno, text }) => {
                    self.remark(text);
                    return Ok(Err(Misfit(errno)));
                }
                Err(stop) => return Err(stop),
            }
        }
        Ok(Ok(()))
    }

    fn fit(&mut self, subprog: SubprogIdx, n: usize, reg: RegNo, arg: ArgKind) -> Check {
        let state = *self.reg(reg);
        let tags = self.rules.structure.arg_tags;
        match arg {
            ArgKind::Scalar if state.kind == Kind::Scalar => Ok(()),
            ArgKind::Scalar => Err(Stop::invalid(format!("R{} is not a scalar", reg.n()))),
            ArgKind::Ctx => {
                self.check_passed_offset(reg, &state)?;
                if state.kind == Kind::Ctx {
                    return Ok(());
                }
                Err(Stop::invalid(match tags {
                    ArgTags::None => format!("arg#{n} expected pointer to ctx, but got PTR"),
                    ArgTags::WithArena => format!("arg#{n} expects pointer to ctx"),
                    ArgTags::WithUntrusted => format!("R{} expects pointer to ctx", reg.n()),
                }))
            }
            ArgKind::Mem { bytes, nullable } => {
                self.check_passed_offset(reg, &state)?;
                self.check_passed_memory(reg, bytes)?;
                let moves = self.structure.subprogs[subprog.at()].changes_packet_data;
                if tags == ArgTags::WithUntrusted && state.kind.is_packet_any() && moves {
                    let text =
                        format!("R{} is a packet pointer, but func#{} may change packet data", reg.n(), subprog.0);
                    return Err(Stop::invalid(text));
                }
                let refuses_null = self.rules.walk.null_for_nonnull == NullForNonnull::Refused;
                let null = state.kind.is_nullable() || refuses_null && state.is_null();
                if nullable || !null {
                    return Ok(());
                }
                let what = if tags == ArgTags::WithUntrusted { format!("R{}", reg.n()) } else { format!("arg#{n}") };
                Err(Stop::invalid(format!("{what} is expected to be non-NULL")))
            }
            ArgKind::Unmodelled(_) if self.is_static(subprog) => {
                Err(Stop::invalid(format!("reg type unsupported for arg#{n} function")))
            }
            ArgKind::Unmodelled(what) => Err(Stop::unsupported(what)),
        }
    }

    fn is_static(&self, subprog: SubprogIdx) -> bool {
        self.structure.subprogs[subprog.at()].linkage != Some(crate::btf::Linkage::Global)
    }

    /// Kernel: `check_func_arg_reg_off` without an argument type (6.1 … 7.3).
    fn check_passed_offset(&self, reg: RegNo, state: &Reg) -> Check {
        match state.kind {
            Kind::NotInit | Kind::Ctx | Kind::MapPtr { .. } | Kind::PacketEnd | Kind::Func(_) => {
                self.check_fixed_offset(reg.n(), state, false)
            }
            _ => Ok(()),
        }
    }

    /// Kernel: `check_mem_reg` (6.1 … 7.3).
    #[doc(alias = "check_mem_reg")]
    fn check_passed_memory(&mut self, reg: RegNo, bytes: u32) -> Check {
        let state = *self.reg(reg);
        if state.is_null() {
            return match self.rules.walk.null_argument {
                NullArgument::Precise => self.mark_precise(reg),
                NullArgument::Imprecise => Ok(()),
            };
        }
        let newest = self.rules.structure.arg_tags == ArgTags::WithUntrusted;
        if newest && i32::try_from(bytes).is_err() {
            return Err(Stop::invalid(format!("R{} memory size {bytes} is too large", reg.n())));
        }
        self.reg_mut(reg).kind = state.kind.checked();
        let read = self.check_passed_access(reg, bytes, MemAccess::Read);
        let written = read.and_then(|()| self.check_passed_access(reg, bytes, MemAccess::Write));
        self.reg_mut(reg).kind = state.kind;
        written.map_err(|stop| match stop {
            Stop::Reject { text, .. } => Stop::invalid(text),
            other => other,
        })
    }

    fn check_passed_access(&mut self, reg: RegNo, bytes: u32, access: MemAccess) -> Check {
        let newest = self.rules.walk.helper_access == HelperAccess::Known;
        if newest && matches!(self.reg(reg).kind, Kind::Stack { .. }) {
            let direction = if access == MemAccess::Read { Access::Read } else { Access::Write };
            return self.check_stack_passed(reg, i64::from(bytes), direction);
        }
        self.check_memory(reg, i64::from(bytes), access, true, None)
    }

    /// Fills a function's argument registers by its prototype.
    ///
    /// Kernel: `do_check_common`, `btf_prepare_func_args` (6.1 … 7.3).
    pub fn arguments(&mut self, subprog: SubprogIdx, frame: &mut Frame) -> Check {
        let structure = self.structure;
        let signature = match &structure.subprogs[subprog.at()].signature {
            Some(Ok(signature)) => signature,
            Some(Err(fault)) => {
                let text = fault.text.clone().unwrap_or_default();
                return Err(Stop::Reject { errno: fault.errno, text });
            }
            None => return Ok(()),
        };
        let model = self.model();
        for (reg, arg) in frame.regs.iter_mut().skip(1).zip(&signature.args) {
            *reg = match *arg {
                ArgKind::Scalar => Reg::unknown(model),
                ArgKind::Ctx => Reg::pointer(model, Kind::Ctx),
                ArgKind::Mem { bytes, nullable } => {
                    let id = if nullable { self.new_id() } else { 0 };
                    Reg { id, ..Reg::pointer(model, Kind::Mem { size: bytes, nullable, ringbuf: false }) }
                }
                ArgKind::Unmodelled(what) => return Err(Stop::unsupported(what)),
            };
        }
        Ok(())
    }
}
