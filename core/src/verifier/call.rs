//! Calls of subprograms and callbacks, and returns from them.
//!
//! Stands for `check_func_call`, `push_callback_call`, `prepare_func_exit`, `check_return_code`, `check_ld_abs` and
//! `update_loop_inline_state` (6.1 … 7.3). Left out: exceptions, asynchronous callbacks.

use super::branch::widen;
use super::log::Touched;
use super::signature::Misfit;
use super::state::{Frame, Kind, Reference, Reg, RetRange};
use super::verdict::Unfit;
use super::walker::{Check, Next, Stop, Walker};
use crate::btf::Linkage;
use crate::isa::{InsnIdx, Reg as RegNo};
use crate::kernel::ctx::{self, LegacyLoads, ProgKind, RetvalRange};
use crate::kernel::{
    CallbackWalk, GlobalCalls, GlobalPacketMoves, LeavesCallback, LegacyLoadPaths, ReferenceScope, ReturnCheck,
};
use crate::program::SubprogIdx;

/// R0 to R5, which a call does not keep.
#[doc(alias = "caller_saved")]
pub(super) const CALLER_SAVED: [RegNo; 6] = [RegNo::R0, RegNo::R1, RegNo::R2, RegNo::R3, RegNo::R4, RegNo::R5];
/// What the callbacks of loops and of map iteration return.
pub(super) const GO_ON_OR_STOP: RetRange = RetRange { min: 0, max: 1 };

/// A line for each reference that is still held.
fn unreleased<'r>(refs: impl Iterator<Item = &'r Reference>) -> String {
    let line = |r: &Reference| format!("Unreleased reference id={} alloc_insn={}", r.id, r.insn);
    refs.map(line).collect::<Vec<_>>().join("\n")
}

/// The line that refuses a number outside of a range.
///
/// Kernel: `verbose_invalid_scalar` (6.8 … 7.3).
#[doc(alias = "verbose_invalid_scalar")]
pub(super) fn out_of_range(reg: &Reg, range: RetRange, when: &str, name: &str) -> String {
    let (smin, smax) = (reg.value.smin(), reg.value.smax());
    let mut known = String::new();
    if smin > i64::MIN {
        known += &format!(" smin={smin}");
    }
    if smax < i64::MAX {
        known += &format!(" smax={smax}");
    }
    if known.is_empty() {
        known += " unknown scalar value";
    }
    let RetRange { min, max } = range;
    format!("{when} the register {name} has{known} should have been in [{min}, {max}]")
}

impl Walker<'_> {
    /// Kernel: `check_func_call` (6.1 … 7.3).
    #[doc(alias = "check_func_call")]
    pub fn check_local_call(&mut self, rel: i32) -> Check<Next> {
        let start = self.target(rel);
        let Some(subprog) = self.structure.layout.starting(start) else {
            return Err(Stop::bug(format!("target of func call at insn {start} is not a program")));
        };
        let fits = self.fit_arguments(subprog)?;
        if self.structure.subprogs[subprog.at()].linkage == Some(Linkage::Global) {
            self.call_global(subprog, fits)?;
            return Ok(Next::Straight);
        }
        let mut callee = self.callee(subprog)?;
        for n in 1..=5 {
            callee.regs[n] = self.cur.top().regs[n];
        }
        self.clear_caller_saved();
        self.cur.push_frame(callee);
        if let Some(marks) = &mut self.stack_marks {
            marks.enter();
        }
        self.log_entry();
        Ok(Next::To(start))
    }

    fn log_entry(&mut self) {
        self.touched = Touched::ALL;
        let depth = self.cur.depth();
        if let Some(log) = &mut self.log {
            log.line(format_args!("caller:"));
            log.state(&self.cur, depth - 1);
            log.line(format_args!("callee:"));
            log.state(&self.cur, depth);
        }
    }

    /// A frame for a call from the current instruction, still empty.
    ///
    /// Kernel: `setup_func_entry` (6.7 … 7.3).
    #[doc(alias = "setup_func_entry")]
    pub fn callee(&self, subprog: SubprogIdx) -> Check<Frame> {
        let depth = self.cur.depth();
        if depth + 1 >= self.rules.walk.frames_max {
            return Err(Stop::too_big(format!("the call stack of {} frames is too deep", depth + 2)));
        }
        let mut frame = Frame::new(self.model(), Some(self.at), depth as u8 + 1, subprog);
        if self.rules.walk.reference_scope == ReferenceScope::PerFrame {
            frame.refs.clone_from(&self.cur.top().refs);
        }
        Ok(frame)
    }

    /// A global function is verified on its own; a call only has to fit its prototype.
    fn call_global(&mut self, subprog: SubprogIdx, fits: Result<(), Misfit>) -> Check {
        let info = &self.structure.subprogs[subprog.at()];
        let name = match self.rules.walk.callback_walk {
            CallbackWalk::Once => String::new(),
            CallbackWalk::UnknownCount => format!(" ('{}')", info.name.as_deref().unwrap_or_default()),
        };
        if let Err(Misfit(errno)) = fits {
            let text = format!("Caller passes invalid args into func#{}{name}", subprog.0);
            return Err(Stop::Reject { errno, text });
        }
        let changes_packet =
            info.changes_packet_data && self.rules.walk.global_packet_moves == GlobalPacketMoves::Followed;
        let void = matches!(&info.signature, Some(Ok(signature)) if signature.void);
        self.subprogs[subprog.at()].called = true;
        let n = subprog.0;
        self.remark_on_global(match self.rules.log.global_calls {
            GlobalCalls::ByNumber => format!("Func#{n} is global and valid. Skipping."),
            GlobalCalls::ByName => format!("Func#{n}{name} is global and assumed valid."),
        });
        if changes_packet {
            self.forget_packet();
        }
        self.clear_caller_saved();
        if !void {
            self.set_unknown(RegNo::R0);
        }
        Ok(())
    }

    /// Kernel: `clear_caller_saved_regs` (6.1 … 7.3).
    #[doc(alias = "clear_caller_saved_regs")]
    pub fn clear_caller_saved(&mut self) {
        let (model, by_marks) = (self.model(), self.by_read_marks());
        CALLER_SAVED.iter().for_each(|reg| self.touched.reg(reg.n()));
        let frame = self.cur.top_mut();
        for reg in CALLER_SAVED {
            let reg = &mut frame.regs[reg.at()];
            reg.assign(Reg::not_init(model));
            reg.marks.written |= by_marks;
        }
    }

    /// Pointers into the packet are void once it may have moved.
    ///
    /// Kernel: `clear_all_pkt_pointers` (6.1 … 7.3).
    #[doc(alias = "clear_all_pkt_pointers")]
    pub fn forget_packet(&mut self) {
        let unknown = Reg::unknown(self.model());
        self.cur.for_each_reg(|r| r.kind.is_packet_any(), |r| r.assign(unknown));
    }

    /// Walks a callback: at once where the rules take it for a single call, else as a branch that comes back.
    ///
    /// Kernel: `push_callback_call` (6.7 … 7.3), `__check_func_call` (6.1).
    #[doc(alias = "push_callback_call")]
    pub fn call_back(&mut self, subprog: SubprogIdx, args: impl FnOnce(&Frame, &mut Frame)) -> Check<Option<InsnIdx>> {
        // The caller's registers, not those that the helper makes up, are held against the prototype.
        let _remarked = self.fit_arguments(subprog)?;
        self.subprogs[subprog.at()].is_callback = true;
        let start = self.structure.layout.start(subprog);
        if self.rules.walk.callback_walk == CallbackWalk::Once {
            let mut callee = self.callee(subprog)?;
            args(self.cur.top(), &mut callee);
            callee.callback_range = Some(GO_ON_OR_STOP);
            self.clear_caller_saved();
            self.cur.push_frame(callee);
            self.log_entry();
            return Ok(Some(start));
        }
        let caller = self.cur.depth();
        // The branch is put aside before its frame is made: a call that is too deep fails with it in place.
        self.push_branch(start)?;
        self.touched = Touched::ALL;
        let mut callee = self.callee(subprog)?;
        args(self.cur.top(), &mut callee);
        callee.callback_range = Some(GO_ON_OR_STOP);
        if let Some(state) = self.last_pushed() {
            state.push_frame(callee);
            state.callback_unroll_depth += 1;
            state.frame_mut(caller).callback_depth += 1;
        }
        if self.cur.top().callback_depth != 0 {
            self.cur.top_mut().callback_depth = 0;
        }
        Ok(None)
    }

    /// What this visit of a `bpf_loop` call says of inlining it.
    ///
    /// Kernel: `update_loop_inline_state` (6.1 … 7.3).
    #[doc(alias = "update_loop_inline_state")]
    pub fn visit_loop_site(&mut self, callback: SubprogIdx) -> Check {
        let site = self.insns[self.at.at()].site;
        if matches!(site, Some(Err(_))) {
            return Ok(());
        }
        let zero = self.reg(RegNo::R4).is_null();
        if zero {
            self.mark_precise(RegNo::R4)?;
        }
        let now = match site {
            _ if !zero => Err(Unfit::Flags),
            Some(Ok(before)) if before != callback => Err(Unfit::Callback),
            _ => Ok(callback),
        };
        self.insns[self.at.at()].site = Some(now);
        Ok(())
    }

    /// Kernel: the exit case of `do_check` (6.1 … 7.3).
    pub fn check_exit(&mut self) -> Check<Next> {
        self.check_references_released()?;
        if self.cur.depth() > 0 {
            let next = self.return_to_caller()?;
            if let Some(log) = &mut self.log {
                log.returned();
            }
            return Ok(next);
        }
        self.check_return_value()?;
        Ok(Next::End)
    }

    /// Kernel: `check_reference_leak` (6.1 … 7.3).
    #[doc(alias = "check_reference_leak")]
    pub fn check_references_released(&self) -> Check {
        let depth = self.cur.depth();
        match self.rules.walk.reference_scope {
            ReferenceScope::PerFrame => {
                let frame = self.cur.top();
                let in_callback = frame.callback_range.is_some();
                if depth > 0 && !in_callback {
                    return Ok(());
                }
                let own = |r: &&Reference| !in_callback || usize::from(r.frame) == depth;
                match unreleased(frame.refs.iter().filter(own)) {
                    text if text.is_empty() => Ok(()),
                    text => Err(Stop::invalid(text)),
                }
            }
            ReferenceScope::PerPath if depth == 0 && !self.cur.frame(0).refs.is_empty() => {
                let refs = unreleased(self.cur.frame(0).refs.iter());
                Err(Stop::invalid(format!("{refs}\nBPF_EXIT instruction in main prog would lead to reference leak")))
            }
            ReferenceScope::PerPath => Ok(()),
        }
    }

    /// Kernel: `prepare_func_exit` (6.1 … 7.3).
    #[doc(alias = "prepare_func_exit")]
    pub fn return_to_caller(&mut self) -> Check<Next> {
        self.pass_on_marks();
        let result = *self.reg(RegNo::R0);
        if matches!(result.kind, Kind::Stack { .. }) {
            return Err(Stop::invalid("cannot return stack pointer to the caller"));
        }
        let callback_range = self.cur.top().callback_range;
        if let Some(range) = callback_range {
            if result.kind != Kind::Scalar {
                return Err(Stop::access("R0 not a scalar value"));
            }
            self.mark_read(result.marks);
            self.mark_precise(RegNo::R0)?;
            self.check_range(&result, range, "At callback return")?;
        }
        let Some(callee) = self.cur.pop_frame() else {
            return Err(Stop::bug("no frame to return to"));
        };
        let callsite = callee.callsite.unwrap_or_default();
        if callback_range.is_none() {
            *self.reg_mut(RegNo::R0) = result;
            if self.rules.walk.reference_scope == ReferenceScope::PerFrame && self.cur.top().refs != callee.refs {
                self.cur.top_mut().refs.clone_from(&callee.refs);
            }
            self.log_return(&callee, callsite.next());
            return Ok(Next::To(callsite.next()));
        }
        if self.rules.walk.callback_walk == CallbackWalk::Once {
            self.log_return(&callee, callsite.next());
            return Ok(Next::To(callsite.next()));
        }
        self.log_return(&callee, callsite);
        if let Some(before) = self.previous_entry(&self.cur, callsite) {
            let old = self.checkpoints[before as usize].state.clone();
            widen(&old, &mut self.cur, self.rules);
        }
        Ok(Next::To(callsite))
    }

    fn log_return(&mut self, callee: &Frame, to: InsnIdx) {
        let depth = self.cur.depth();
        if let Some(log) = &mut self.log {
            log.line(format_args!("returning from callee:"));
            log.left_frame(callee, depth + 1, &self.cur);
            log.line(format_args!("to caller at {to}:"));
            log.state(&self.cur, depth);
        }
    }

    /// Kernel: `retval_range_within`, `verbose_invalid_scalar` (6.1 … 7.3).
    #[doc(alias = "retval_range_within")]
    fn check_range(&self, reg: &Reg, range: RetRange, when: &str) -> Check {
        let value = &reg.value;
        match self.rules.walk.return_check {
            ReturnCheck::KnownBits => {
                let wanted = crate::domain::Tnum::range(range.min as u64, range.max as u64);
                let bits = value.bits();
                if wanted.includes(bits) {
                    return Ok(());
                }
                let known = if bits.mask == u64::MAX {
                    "has unknown scalar value".to_owned()
                } else {
                    format!("has value ({:#x}; {:#x})", bits.value, bits.mask)
                };
                let wanted = format!("({:#x}; {:#x})", wanted.value, wanted.mask);
                Err(Stop::invalid(format!("{when} the register R0 {known} should have been in {wanted}")))
            }
            ReturnCheck::SignedRange => {
                if i64::from(range.min) <= value.smin() && value.smax() <= i64::from(range.max) {
                    return Ok(());
                }
                Err(Stop::invalid(out_of_range(reg, range, when, "R0")))
            }
        }
    }

    /// Kernel: `check_return_code`, `check_global_subprog_return_code` (6.1 … 7.3).
    #[doc(alias = "check_return_code")]
    fn check_return_value(&mut self) -> Check {
        let subprog = self.cur.top().subprog;
        let signature = &self.structure.subprogs[subprog.at()].signature;
        if subprog != SubprogIdx::MAIN && matches!(signature, Some(Ok(signature)) if signature.void) {
            return Ok(());
        }
        self.read_reg(RegNo::R0)?;
        let result = *self.reg(RegNo::R0);
        if self.cur.top().subprog != SubprogIdx::MAIN {
            if result.kind != Kind::Scalar {
                let name = result.kind.name();
                let text = format!("At subprogram exit the register R0 is not a scalar value ({name})");
                return Err(Stop::invalid(text));
            }
            return Ok(());
        }
        let program = self.program;
        let prog = ProgKind { prog_type: program.prog_type, attach_type: program.expected_attach_type };
        let (min, max) = match ctx::retval_range(prog, self.rules) {
            RetvalRange::Any => return Ok(()),
            RetvalRange::Within(min, max) => (min, max),
            RetvalRange::Unmodelled => return Err(Stop::unsupported("return value of an attached program")),
        };
        if result.kind != Kind::Scalar {
            let text = format!("At program exit the register R0 is not a known value ({})", result.kind.name());
            return Err(Stop::invalid(text));
        }
        if self.rules.walk.return_check == ReturnCheck::SignedRange {
            self.mark_precise(RegNo::R0)?;
        }
        self.check_range(&result, RetRange { min, max }, "At program exit")
    }

    /// Kernel: `check_ld_abs` (6.1 … 7.3).
    pub fn check_ld_abs(&mut self, index: Option<RegNo>) -> Check<Next> {
        if ctx::legacy_loads(self.program.prog_type) == LegacyLoads::Refused {
            return Err(Stop::invalid("BPF_LD_[ABS|IND] instructions not allowed for this program type"));
        }
        let in_callback = self.cur.frames().iter().any(|f| f.callback_range.is_some());
        let refused = self.rules.walk.leaves_callback == LeavesCallback::Refused;
        if in_callback && refused {
            return Err(Stop::invalid("cannot use BPF_LD_[ABS|IND] within callback"));
        }
        self.read_reg(RegNo::R6)?;
        match self.rules.walk.reference_scope {
            ReferenceScope::PerFrame if self.check_references_released().is_err() => {
                return Err(Stop::invalid("BPF_LD_[ABS|IND] cannot be mixed with socket references"));
            }
            ReferenceScope::PerPath if !self.cur.frame(0).refs.is_empty() => {
                return Err(Stop::invalid("BPF_LD_[ABS|IND] would lead to reference leak"));
            }
            _ => {}
        }
        let skb = *self.reg(RegNo::R6);
        if skb.kind != Kind::Ctx {
            return Err(Stop::invalid("at the time of BPF_LD_ABS|IND R6 != pointer to skb"));
        }
        if let Some(index) = index {
            self.read_reg(index)?;
        }
        self.check_fixed_offset(6, &skb, false)?;
        self.clear_caller_saved();
        self.set_unknown(RegNo::R0);
        let returns = self.rules.walk.legacy_load_paths == LegacyLoadPaths::FallsAndReturns;
        if self.cur.depth() > 0 && returns {
            // Out of the packet, the load ends the function with 0.
            let next = self.at.next();
            self.push_branch(next)?;
            let zero = Reg::constant(self.model(), 0);
            self.set_reg(RegNo::R0, zero);
            return self.return_to_caller();
        }
        Ok(Next::Straight)
    }
}
