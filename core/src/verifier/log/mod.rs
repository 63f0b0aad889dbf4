//! The log of a verification, in the kernel's own format.
//!
//! Stands for what the verifier prints at log levels 1 and 2 (`log.c`, `disasm.c` and the `verbose` calls of `verifier.c`,
//! 6.1 … 7.3): instructions, register states, calls and returns, precision, pruning, the last message, and the line of
//! statistics. Level 1 keeps the path that fails; level 2 keeps all paths.
//!
//! Left out: the traces of the static stack analysis (level 2, 7.0 and later), the report that 7.3 appends to an error, source
//! lines, and of the messages before a refusal all but the last. Addresses of maps are written as 0, as for a loader without
//! privileges.
//!
//! Invariants: the walk is the same with and without a log; without one it costs a test of an `Option` an instruction.

mod insn;
mod state;

#[cfg(test)]
mod tests;

use super::liveness::{Learnt, Liveness, Pass};
use super::state::{Cell, Frame, Reference, State};
use super::structure::{Marks as Points, Structure};
use super::verdict::Verdict;
use super::walker::Statistics;
use crate::isa::{Insn, InsnIdx, Op, opcode};
use crate::kernel::limits::INSNS_PROCESSED_MAX;
use crate::kernel::{LiveRegisters, Rules};
use crate::program::Program;
use std::fmt::{self, Write};

/// How much is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LogLevel {
    /// The path that fails (`BPF_LOG_LEVEL1`).
    Path,
    /// All paths, with the states that they start from and what is learnt backwards (`BPF_LOG_LEVEL2`).
    All,
}

/// Registers and stack slots that instructions touched since they were last written.
#[doc(alias = "scratched_regs")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Touched {
    regs: u16,
    slots: u64,
}

impl Touched {
    /// Everything.
    pub const ALL: Touched = Touched { regs: u16::MAX, slots: u64::MAX };
    const NOTHING: Touched = Touched { regs: 0, slots: 0 };

    /// Adds a register.
    pub fn reg(&mut self, n: u8) {
        self.regs |= 1 << (n & 15);
    }

    /// Adds a stack slot.
    pub fn slot(&mut self, n: usize) {
        self.slots |= 1 << (n & 63);
    }

    /// Adds a register or a slot.
    pub fn cell(&mut self, cell: Cell) {
        match cell {
            Cell::Reg(n) => self.reg(n),
            Cell::Slot(n) => self.slot(n.into()),
        }
    }

    fn has(self, cell: Cell) -> bool {
        match cell {
            Cell::Reg(n) => self.regs >> (n & 15) & 1 != 0,
            Cell::Slot(n) => self.slots >> (n & 63) & 1 != 0,
        }
    }
}

/// The log while it is written.
pub(super) struct Log<'a> {
    program: &'a Program,
    rules: &'a Rules,
    level: LogLevel,
    text: String,
    /// End of the last instruction's line; a state that follows at once stands on that line.
    insn_end: Option<usize>,
    /// Length of that line, line feed included.
    insn_len: usize,
    /// Whether the next instruction is reached by a jump to a branch that waited, or by a return.
    arrived: bool,
    structure: &'a Structure,
    /// Whether the reason of a refusal was written.
    told: bool,
    watch: Option<Watch>,
}

/// An instruction whose states are written down.
struct Watch {
    at: InsnIdx,
    seen: Believed,
}

/// What the verifier believed whenever it came to an instruction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Believed {
    /// How often it came.
    pub visits: u64,
    /// The first states that are not the same, a line for each frame, as the log writes registers and stack slots.
    pub states: Vec<String>,
}

/// States that are written down.
const WATCHED_MAX: usize = 4;

/// A column in which states stand, and its step.
#[doc(alias = "BPF_LOG_ALIGNMENT")]
const STATE_COLUMN: usize = 40;
#[doc(alias = "BPF_LOG_MIN_ALIGNMENT")]
const STATE_STEP: usize = 8;

impl<'a> Log<'a> {
    /// An empty log.
    pub fn new(program: &'a Program, structure: &'a Structure, rules: &'a Rules, level: LogLevel) -> Log<'a> {
        let mut log = Log {
            program,
            rules,
            level,
            text: String::new(),
            insn_end: None,
            insn_len: 0,
            arrived: false,
            structure,
            told: false,
            watch: None,
        };
        if level == LogLevel::All {
            for (n, start) in structure.layout.starts().iter().enumerate() {
                log.line(format_args!("func#{n} @{start}"));
            }
            for (n, subprog) in structure.topo_order.iter().enumerate() {
                let name = structure.subprogs.get(subprog.at()).and_then(|s| s.name.as_deref()).unwrap_or_default();
                log.line(format_args!("topo_order[{n}] = {name}"));
            }
        }
        log
    }

    /// Writes down the states of an instruction too.
    pub fn watch(&mut self, at: InsnIdx) {
        self.watch = Some(Watch { at, seen: Believed::default() });
    }

    /// What was written down of it.
    pub fn believed(self) -> Believed {
        self.watch.map(|watch| watch.seen).unwrap_or_default()
    }

    /// The text.
    pub fn finish(self) -> String {
        self.text
    }

    /// Whether everything is written.
    pub fn is_all(&self) -> bool {
        self.level == LogLevel::All
    }

    /// How much was written, to go back to.
    pub fn position(&self) -> usize {
        self.text.len()
    }

    /// Writes a line.
    pub fn line(&mut self, text: fmt::Arguments<'_>) {
        self.put(text);
        self.text.push('\n');
    }

    /// Writes a part of a line.
    pub fn put(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }

    /// Writes the reason of a refusal, unless it was written already.
    pub fn message(&mut self, text: &str) {
        if !std::mem::replace(&mut self.told, true) {
            self.line(format_args!("{text}"));
        }
    }

    /// Writes the line of statistics.
    ///
    /// Kernel: `print_verification_stats` (6.1 … 7.3).
    #[doc(alias = "print_verification_stats")]
    pub fn statistics(&mut self, insns_processed: u32, counts: &Statistics) {
        let Statistics { states_per_insn_max, states, states_peak, mark_read, .. } = counts;
        self.line(format_args!(
            "processed {insns_processed} insns (limit {INSNS_PROCESSED_MAX}) max_states_per_insn {states_per_insn_max} \
             total_states {states} peak_states {states_peak} mark_read {mark_read}"
        ));
    }

    /// A walk begins.
    pub fn begin(&mut self) {
        self.arrived = false;
    }

    /// A walk ended without an error.
    pub fn end(&mut self) {
        if self.level == LogLevel::Path {
            self.text.clear();
            self.insn_end = None;
        }
    }

    /// A branch that waited is taken up; the log was `position` long when it was put aside.
    pub fn resume(&mut self, position: usize) {
        if self.level == LogLevel::Path {
            self.text.truncate(position);
        }
        self.arrived = true;
    }

    /// A function returned.
    pub fn returned(&mut self) {
        self.arrived = true;
    }

    /// A path is covered by a checkpoint.
    pub fn safe(&mut self, from: Option<InsnIdx>, at: InsnIdx) {
        if self.arrived {
            self.line(format_args!("\nfrom {} to {at}: safe", index(from)));
        } else {
            self.line(format_args!("{at}: safe"));
        }
    }

    /// An instruction is about to be walked.
    pub fn instruction(&mut self, from: Option<InsnIdx>, at: InsnIdx, state: &State, touched: &mut Touched) {
        self.note_watched(at, state);
        if self.level == LogLevel::All && self.arrived {
            self.put(format_args!("\nfrom {} to {at}:", index(from)));
            self.state(state, state.depth());
            self.arrived = false;
        }
        if *touched != Touched::NOTHING {
            self.touched(at, state, touched);
        }
        let start = self.text.len();
        self.put(format_args!("{at}: "));
        self.insn(at);
        self.text.push('\n');
        self.insn_len = self.text.len() - start;
        self.insn_end = Some(self.text.len());
    }

    fn note_watched(&mut self, at: InsnIdx, state: &State) {
        let Some(watch) = self.watch.as_mut().filter(|watch| watch.at == at) else { return };
        watch.seen.visits += 1;
        if watch.seen.states.len() >= WATCHED_MAX {
            return;
        }
        let mut text = String::new();
        for depth in 0..=state.depth() {
            let shown = (state.frame(depth), depth, refs(state, depth, self.rules));
            state::write(&mut text, self.program, self.rules, shown, Touched::ALL);
        }
        if !watch.seen.states.contains(&text) {
            watch.seen.states.push(text);
        }
    }

    /// Writes what was touched, on the instruction's line where nothing came in between.
    ///
    /// Kernel: `print_insn_state` (6.1 … 7.3).
    #[doc(alias = "print_insn_state")]
    pub fn touched(&mut self, at: InsnIdx, state: &State, touched: &mut Touched) {
        if self.insn_end == Some(self.text.len()) {
            self.text.pop();
            let column = (self.insn_len + STATE_STEP / 2).max(STATE_COLUMN).next_multiple_of(STATE_STEP);
            self.put(format_args!("{:width$};", "", width = column - self.insn_len - 1));
        } else {
            self.put(format_args!("{at}:"));
        }
        let depth = state.depth();
        self.frame(state.frame(depth), depth, refs(state, depth, self.rules), *touched);
        *touched = Touched::NOTHING;
    }

    /// Writes all of a frame that belongs to a state.
    pub fn state(&mut self, state: &State, frame: usize) {
        self.frame(state.frame(frame), frame, refs(state, frame, self.rules), Touched::ALL);
    }

    /// Writes all of a frame that is no longer in its state.
    pub fn left_frame(&mut self, frame: &Frame, depth: usize, state: &State) {
        let refs = if frame.refs.is_empty() { refs(state, depth, self.rules) } else { &frame.refs };
        self.frame(frame, depth, refs, Touched::ALL);
    }

    fn frame(&mut self, frame: &Frame, depth: usize, refs: &[Reference], what: Touched) {
        state::write(&mut self.text, self.program, self.rules, (frame, depth, refs), what);
    }

    /// Writes an instruction without its index.
    pub fn insn(&mut self, at: InsnIdx) {
        let insns = &self.program.insns;
        let Some(mut insn) = insns.get(at.at()).copied() else { return };
        if self.structure.folded.binary_search(&at).is_ok()
            && let Some(Some(Op::Jump { off, .. })) = self.structure.ops.get(at.at())
        {
            insn = Insn::new(opcode::JA, 0, 0, i16::try_from(*off).unwrap_or(insn.off), 0);
        }
        insn::write(&mut self.text, insn, insns.get(at.at() + 1).copied(), self.rules);
    }

    /// What a path's end taught of the stack's liveness.
    ///
    /// Kernel: `log_mask_change` (6.18).
    #[doc(alias = "log_mask_change")]
    pub fn stack_marks(&mut self, pass: &Pass) {
        let chain: Vec<String> = pass.chain.iter().map(u32::to_string).collect();
        let chain = chain.join(",");
        for change in pass.changes.iter().filter(|change| change.old != change.new) {
            let at = change.at;
            let prune_point = self.structure.marks.get(at.at()).is_some_and(|m| m.contains(Points::PRUNE_POINT));
            if !change.marked && !prune_point {
                continue;
            }
            let what = match change.what {
                Learnt::Live => "live",
                Learnt::Written => "written",
            };
            self.put(format_args!("({chain}) frame {} insn {at} ", change.frame));
            for (sign, slots) in [('+', change.new & !change.old), ('-', change.old & !change.new)] {
                if slots != 0 {
                    let space = if sign == '+' { " " } else { "" };
                    self.put(format_args!("{sign}{what} {}{space}", slot_mask(slots)));
                }
            }
            self.text.push('\n');
        }
        self.line(format_args!("({chain}) live stack update done in {} iterations", pass.rounds));
    }

    /// The registers that are live before each instruction.
    ///
    /// Kernel: the end of `bpf_compute_live_registers` (6.15 … 7.3).
    #[doc(alias = "bpf_compute_live_registers")]
    pub fn live_registers(&mut self, liveness: &Liveness) {
        if self.level != LogLevel::All || self.rules.log.live_registers == LiveRegisters::Hidden {
            return;
        }
        self.line(format_args!("Live regs before insn:"));
        let mut second_half = false;
        for n in 0..self.program.insns.len() {
            if std::mem::take(&mut second_half) {
                continue;
            }
            let at = InsnIdx(n as u32);
            match liveness.scc(at) {
                0 => self.put(format_args!("    ")),
                scc => self.put(format_args!("{scc:3} ")),
            }
            self.put(format_args!("{n:3}: "));
            let live = liveness.live_regs(at);
            for reg in 0..10 {
                if live >> reg & 1 != 0 {
                    self.put(format_args!("{reg}"));
                } else {
                    self.text.push('.');
                }
            }
            self.text.push(' ');
            self.insn(at);
            self.text.push('\n');
            second_half = self.program.insns.get(n).is_some_and(|i| i.is_ld_imm64());
        }
    }
}

/// The references that a frame's line names: its own, or all of the path.
fn refs<'s>(state: &'s State, frame: usize, rules: &Rules) -> &'s [Reference] {
    match rules.walk.reference_scope {
        crate::kernel::ReferenceScope::PerFrame => &state.frame(frame).refs,
        crate::kernel::ReferenceScope::PerPath => &state.frame(0).refs,
    }
}

/// The log of a program that is refused before its paths are walked.
pub(super) fn refusal(verdict: &Verdict) -> String {
    let reason = match verdict {
        Verdict::Rejected(rejection) => rejection.text.clone(),
        Verdict::Unsupported(unsupported) => format!("not modelled: {}", unsupported.what),
        Verdict::Accepted(_) => String::new(),
    };
    format!(
        "{reason}\nprocessed 0 insns (limit {INSNS_PROCESSED_MAX}) max_states_per_insn 0 total_states 0 peak_states 0 \
         mark_read 0\n"
    )
}

/// An index as the kernel prints it: −1 for none.
pub(super) fn index(at: Option<InsnIdx>) -> i64 {
    at.map_or(-1, |at| i64::from(at.0))
}

/// Registers of a mask: `r1,r2`.
///
/// Kernel: `fmt_reg_mask` (6.4 … 7.3).
#[doc(alias = "fmt_reg_mask")]
pub(super) fn reg_mask(mask: u16) -> String {
    let names: Vec<String> = (0..16).filter(|n| mask >> n & 1 != 0).map(|n| format!("r{n}")).collect();
    names.join(",")
}

/// Slots of a mask: `-8,-16`.
///
/// Kernel: `bpf_fmt_stack_mask` (6.4 … 7.3).
#[doc(alias = "bpf_fmt_stack_mask")]
pub(super) fn slot_mask(mask: u64) -> String {
    let names: Vec<String> = (0..64).filter(|n| mask >> n & 1 != 0).map(|n| format!("{}", -(n + 1) * 8)).collect();
    names.join(",")
}
