//! Limits that are the same in all kernels that are modelled. Those that differ are fields of [`Rules`](super::Rules).

/// Bytes of stack that a frame may use.
#[doc(alias = "MAX_BPF_STACK")]
pub const STACK_BYTES_MAX: u32 = 512;
/// Instructions of a program with `CAP_BPF`.
#[doc(alias = "BPF_COMPLEXITY_LIMIT_INSNS")]
pub const INSNS_MAX: u32 = 1_000_000;
/// Instructions that the verifier walks before it gives up.
pub const INSNS_PROCESSED_MAX: u32 = 1_000_000;
/// Branches that wait to be walked.
#[doc(alias = "BPF_COMPLEXITY_LIMIT_JMP_SEQ")]
pub const PENDING_BRANCHES_MAX: usize = 8192;
/// Subprograms of a program, main included.
#[doc(alias = "BPF_MAX_SUBPROGS")]
pub const SUBPROGS_MAX: usize = 256;
/// Iterations that `bpf_loop` accepts, inclusive.
#[doc(alias = "BPF_MAX_LOOPS")]
pub const LOOPS_MAX: u32 = 1 << 23;
/// Instructions of the inlined loop.
pub const INLINED_LOOP_LEN: u32 = 19;
/// Bytes of stack that inlined loops add to a subprogram, before rounding.
pub const LOOP_SPILL_BYTES: u32 = 24;
/// Largest variable offset that a memory access may have, in bytes.
#[doc(alias = "BPF_MAX_VAR_OFF")]
pub const VAR_OFF_MAX: i64 = 1 << 29;
/// Largest size that a helper's size argument may have, in bytes.
#[doc(alias = "BPF_MAX_VAR_SIZ")]
pub const VAR_SIZE_MAX: u64 = 1 << 29;
/// Helper `bpf_loop`.
#[doc(alias = "BPF_FUNC_loop")]
pub const HELPER_LOOP: i32 = 181;
