//! Rules of the rewrite: what differs between kernels after a program was found acceptable.
//!
//! The inlined loop itself is the same in all of them.

use super::KernelVersion::{self, V6_1, V6_12, V6_18, V7_3};
use serde::{Deserialize, Serialize};

/// Which instructions count as nops and are removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NopForms {
    /// `goto +0` alone (up to 6.13).
    Goto,
    /// Also `may_goto +0`; after one of those the instruction before it is looked at again (6.14 and later).
    GotoAndMayGoto,
}

/// How a kernel reports a function reference or call that points to no subprogram any more.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingSubprog {
    /// By a kernel warning, once after boot; the program's own log stays empty (6.1, 6.12).
    KernelWarning,
    /// By a line in the program's log (6.18 and later).
    LogLine,
}

impl MissingSubprog {
    /// The report's words; `target` is an index after all passes that change the program's length.
    pub fn text(self, target: i64) -> String {
        match self {
            MissingSubprog::KernelWarning => format!("verifier bug. No program starts at insn {target}"),
            MissingSubprog::LogLine => format!("verifier bug: No program to jit at insn {target} (subprog < 0)"),
        }
    }
}

/// Spills and fills around a call of a helper that keeps R1 to R5; the table of helpers says which do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[doc(alias = "bpf_fastcall")]
pub enum FastcallSpills {
    /// They stay (6.1).
    Kept,
    /// They are removed where nothing else uses their slots, and the stack shrinks by the slots (6.12).
    Removed,
}

/// What a `may_goto` becomes in a dump. Programs of ours keep it: the executor runs it as it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MayGotoForm {
    /// The kernel does not know the instruction (6.1).
    Unknown,
    /// A counter in eight more bytes of stack (6.12).
    Counted,
    /// A counter and a time stamp in sixteen more bytes of stack (6.15 and later, on x86).
    Timed,
}

/// What a call of `get_smp_processor_id` becomes in a dump.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SmpProcessorId {
    /// It stays a helper call (6.1).
    Call,
    /// A load through the CPU's own memory, from a 32-bit address (6.12, on x86).
    PerCpuLoad32,
    /// The same from a sign-extended address (6.18 and later, on x86).
    PerCpuLoad64,
}

/// How it is found that the upper half of the result of a 32-bit `cmpxchg` is read. Where it is, kernels clear it by an
/// instruction of their own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpperHalves {
    /// By the walk, which follows a result to the caller and knows that a callback's goes nowhere (up to 6.18).
    ByWalk,
    /// By the analysis of live registers before it, in which every exit reads R0 and every packet load reads everything
    /// (7.3).
    ByAnalysis,
}

/// Helper calls in a kernel's dump: `imm` is the distance of the helper's code from a base address, which is fixed for
/// a build of the kernel. Pairs of that `imm` and the helper's number; what is not listed stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HelperImms(pub &'static [(i32, i32)]);

impl HelperImms {
    /// For programs whose helper calls carry numbers already.
    pub const NUMBERS: HelperImms = HelperImms(&[]);

    /// The helper's number for an `imm`.
    pub fn number(&self, imm: i32) -> i32 {
        self.0.iter().find(|(from, _)| *from == imm).map_or(imm, |(_, number)| *number)
    }
}

/// A build whose dumps were measured: Debian 6.1.192, 6.12.95, 6.18.15 and 7.3.4, x86-64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Build(pub KernelVersion);

impl Build {
    /// Bytes before the values in an array map's kernel object.
    pub const fn array_value_offset(self) -> i32 {
        match self.0 {
            V6_1 => 272,
            V6_12 => 264,
            V6_18 => 304,
            V7_3 => 296,
        }
    }

    /// Helper calls in a dump.
    pub const fn helper_imms(self) -> HelperImms {
        HelperImms(match self.0 {
            // Helper 8 has a variant of its own for socket filters.
            V6_1 => &[(189712, 181), (179680, 8), (29296, 8)],
            V6_12 => &[(270640, 181)],
            V6_18 => &[(342000, 181)],
            V7_3 => &[(392784, 181)],
        })
    }
}

/// The rules that the rewrite reads.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RewriteRules {
    /// Which nops are removed.
    pub nops: NopForms,
    /// How a missing subprogram is reported.
    pub missing_subprog: MissingSubprog,
    /// Spills around calls that keep R1 to R5.
    pub fastcall_spills: FastcallSpills,
    /// What a dump shows for `may_goto`.
    pub may_goto: MayGotoForm,
    /// What a dump shows for `get_smp_processor_id`.
    pub smp_processor_id: SmpProcessorId,
    /// The register that only the kernel's own instructions use: 11, and 12 in 7.3, where 11 holds stack arguments.
    #[doc(alias = "BPF_REG_AX")]
    pub scratch_reg: u8,
    /// How reads of upper halves are found.
    #[doc(alias = "zext_dst")]
    pub upper_halves: UpperHalves,
    /// Which measured build's dump is compared with.
    pub build: Build,
}

impl RewriteRules {
    /// The rules of a version.
    pub fn of(version: KernelVersion) -> RewriteRules {
        RewriteRules {
            nops: if version >= V6_18 { NopForms::GotoAndMayGoto } else { NopForms::Goto },
            missing_subprog: if version >= V6_18 { MissingSubprog::LogLine } else { MissingSubprog::KernelWarning },
            fastcall_spills: if version >= V6_12 { FastcallSpills::Removed } else { FastcallSpills::Kept },
            may_goto: match version {
                V6_1 => MayGotoForm::Unknown,
                V6_12 => MayGotoForm::Counted,
                V6_18 | V7_3 => MayGotoForm::Timed,
            },
            smp_processor_id: match version {
                V6_1 => SmpProcessorId::Call,
                V6_12 => SmpProcessorId::PerCpuLoad32,
                V6_18 | V7_3 => SmpProcessorId::PerCpuLoad64,
            },
            scratch_reg: if version >= V7_3 { 12 } else { 11 },
            upper_halves: if version >= V7_3 { UpperHalves::ByAnalysis } else { UpperHalves::ByWalk },
            build: Build(version),
        }
    }
}
