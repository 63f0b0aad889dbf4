//! Properties against naive definitions, and examples of the rules that are easy to get wrong.

use super::Branches;
use super::*;
use crate::isa::{AluOp, AtomicOp, Cond, Imm64, Operand, Size, Width};
use proptest::prelude::*;

pub(super) const R0: Reg = Reg::R0;
pub(super) const R1: Reg = Reg::R1;
pub(super) const R2: Reg = Reg::R2;
pub(super) const R3: Reg = Reg::R3;
pub(super) const R4: Reg = Reg::R4;
pub(super) const R6: Reg = Reg::R6;
pub(super) const R7: Reg = Reg::R7;
pub(super) const FP: Reg = Reg::R10;

pub(super) const MAP_LOOKUP: i32 = 1;
pub(super) const PROBE_READ: i32 = 113;
pub(super) const PRANDOM: i32 = 7;
pub(super) const TAIL_CALL: i32 = 12;
pub(super) const LOOP: i32 = 181;

/// Some helpers, and the maps and global functions that a test wants.
#[derive(Default)]
pub(super) struct SomeFacts {
    pub(super) maps: Vec<MapSizes>,
    pub(super) globals: Vec<bool>,
}

impl Facts for SomeFacts {
    fn prototype(&self, callee: Callee) -> Option<Prototype> {
        use Access::{Fixed, MapKey, MapValue, SizeInNext, Unknown, Untouched};
        use Direction::{Initialise, Read};
        const U: Access = Unknown;
        let Callee::Helper(id) = callee else {
            return None;
        };
        let (args, access) = match id {
            MAP_LOOKUP | 3 => (2, [U, MapKey(Some(1), Read), U, U, U]),
            2 => (4, [U, MapKey(Some(1), Read), MapValue(Some(1), Read), U, U]),
            PRANDOM | 8 => (0, [U; 5]),
            TAIL_CALL => (3, [U; 5]),
            16 => (2, [SizeInNext(Initialise), U, U, U, U]),
            87 => (3, [U, MapValue(Some(1), Read), U, U, U]),
            88 | 89 => (2, [U, MapValue(Some(1), Initialise), U, U, U]),
            105 => (4, [SizeInNext(Read), U, U, Fixed(8, Initialise), U]),
            PROBE_READ => (3, [SizeInNext(Initialise), U, U, U, U]),
            130 => (4, [U, SizeInNext(Read), U, U, U]),
            164 | LOOP | 209 => (4, [U, U, Untouched, U, U]),
            165 => (5, [SizeInNext(Read), U, U, SizeInNext(Read), U]),
            180 => (5, [U, U, U, Untouched, U]),
            _ => return None,
        };
        Some(Prototype { args, access })
    }

    fn map(&self, index: u32) -> Option<MapSizes> {
        self.maps.get(index as usize).copied()
    }

    fn is_global(&self, subprog: SubprogIdx) -> bool {
        self.globals.get(subprog.at()).copied().unwrap_or(false)
    }
}

/// A program from functions; calls and references name functions by number and are resolved here.
pub(super) struct Built {
    pub(super) ops: Vec<Option<Op>>,
    pub(super) layout: Layout,
}

pub(super) fn built(functions: &[&[Op]]) -> Built {
    let mut starts = Vec::new();
    let mut ops = Vec::new();
    for function in functions {
        starts.push(InsnIdx(ops.len() as u32));
        for op in *function {
            ops.push(Some(*op));
            if op.len() == 2 {
                ops.push(None);
            }
        }
    }
    for (at, op) in ops.iter_mut().enumerate() {
        if let Some(Op::CallLocal { rel, .. } | Op::LdImm64 { imm: Imm64::Func { rel, .. }, .. }) = op {
            *rel = starts[*rel as usize].0 as i32 - at as i32 - 1;
        }
    }
    let end = InsnIdx(ops.len() as u32);
    Built { ops, layout: Layout::from_starts(starts, end) }
}

impl Built {
    fn analyse(&self) -> Result<Liveness, Refused> {
        let maps = vec![MapSizes { key: 4, value: 8 }, MapSizes { key: 4, value: 16 }];
        let facts = SomeFacts { maps, globals: Vec::new() };
        Liveness::analyse(&Code { ops: &self.ops, layout: &self.layout, facts: &facts, branches: Branches::Decided })
    }

    pub(super) fn liveness(&self) -> Liveness {
        self.analyse().expect("the program is analysed")
    }
}

impl Liveness {
    /// Live slots of `frame` for a chain of (subprogram, instruction).
    fn slots(&self, chain: &[(u16, u32)], frame: usize) -> SlotSet {
        let frames: Vec<FrameAt> =
            chain.iter().map(|&(n, at)| FrameAt { subprog: SubprogIdx(n), at: InsnIdx(at) }).collect();
        Query::new(self, &frames).live_slots(frame)
    }
}

/// Both halves of the 8-byte slots at these offsets.
fn fp(offs: &[i32]) -> SlotSet {
    offs.iter().fold(0, |set, off| set | 0b11 << ((-off / 8 - 1) * 2))
}

pub(super) fn mov(dst: Reg, src: Reg) -> Op {
    Op::Alu { width: Width::W64, op: AluOp::Mov, dst, src: Operand::Reg(src) }
}
pub(super) fn set(dst: Reg, imm: i32) -> Op {
    Op::Alu { width: Width::W64, op: AluOp::Mov, dst, src: Operand::Imm(imm) }
}
pub(super) fn add(dst: Reg, imm: i32) -> Op {
    Op::Alu { width: Width::W64, op: AluOp::Add, dst, src: Operand::Imm(imm) }
}
pub(super) fn add_reg(dst: Reg, src: Reg) -> Op {
    Op::Alu { width: Width::W64, op: AluOp::Add, dst, src: Operand::Reg(src) }
}
pub(super) fn load(dst: Reg, base: Reg, off: i16) -> Op {
    Op::Load { size: Size::Dw, signed: false, dst, base, off }
}
pub(super) fn store(base: Reg, off: i16, src: Reg) -> Op {
    Op::Store { size: Size::Dw, base, off, src: Operand::Reg(src) }
}
pub(super) fn zero(base: Reg, off: i16) -> Op {
    Op::Store { size: Size::Dw, base, off, src: Operand::Imm(0) }
}
pub(super) fn jump_if(dst: Reg, imm: i32, off: i16) -> Op {
    Op::JumpIf { width: Width::W64, cond: Cond::Eq, dst, src: Operand::Imm(imm), off }
}
fn jump(off: i32) -> Op {
    Op::Jump { off, wide: false }
}
pub(super) fn helper(id: i32) -> Op {
    Op::CallHelper { id }
}
pub(super) fn call(function: i32) -> Op {
    Op::CallLocal { rel: function, off: 0 }
}
fn function(dst: Reg, function: i32) -> Op {
    Op::LdImm64 { dst, imm: Imm64::Func { rel: function, number: 0 } }
}
pub(super) fn map(dst: Reg, index: u32) -> Op {
    Op::LdImm64 { dst, imm: Imm64::Map(index) }
}
pub(super) const EXIT: Op = Op::Exit;

// ---- constants and branches

/// The kernel adds offset 0 to a pointer that meets no pointer, so that a write through it is not certain; to an offset that
/// is 0 this adds nothing. `corpus/programs/verifier/versions/store-to-stack-or-map.bpf` shows what 7.3.4 makes of it.
#[test]
fn a_write_through_the_frame_pointer_or_elsewhere_counts_as_certain() {
    let slots_before_the_write = |below: i32| {
        let off = -16 - below as i16;
        let meets = [map(R2, 0), helper(PRANDOM), map(R2, 0), jump_if(R0, 0, 2), mov(R2, FP), add(R2, below)];
        let tail = [zero(R2, off), load(R0, FP, -16), set(R0, 0), EXIT];
        built(&[&[&meets[..], &tail[..]].concat()]).liveness().slots(&[(0, 8)], 0)
    };
    assert_eq!(slots_before_the_write(0), 0, "7.3 takes the slot for dead");
    assert_eq!(slots_before_the_write(-8), 0b1100, "it may still hold what was there");
}

#[test]
fn a_branch_on_a_constant_becomes_a_jump() {
    let program = built(&[&[set(R1, 3), jump_if(R1, 3, 2), set(R0, 1), EXIT, set(R0, 2), jump_if(R1, 4, -6), EXIT]]);
    let flow = program.liveness();
    assert_eq!(flow.hardwired(InsnIdx(1)), Some(2));
    assert_eq!(flow.hardwired(InsnIdx(5)), Some(0));
    assert_eq!(flow.constant(InsnIdx(1), R1), Some(3));
    assert_eq!(flow.live_regs(InsnIdx(2)), 0, "nothing leads to the untaken side");
    assert_eq!((0..7).map(|at| flow.scc(InsnIdx(at))).sum::<u32>(), 0, "the loop is gone with its edge");
    assert_eq!(flow.live_regs(InsnIdx(1)), 0, "a jump compares nothing");
}

#[test]
fn constants_end_at_calls_and_at_paths_that_differ() {
    let program = built(&[&[
        set(R6, 1),
        set(R1, 1),
        helper(PRANDOM),
        jump_if(R0, 0, 1),
        set(R6, 2),
        jump_if(R6, 1, 0),
        Op::Alu { width: Width::W32, op: AluOp::Mov, dst: R0, src: Operand::Imm(-1) },
        EXIT,
    ]]);
    let flow = program.liveness();
    assert_eq!(flow.constant(InsnIdx(3), R6), Some(1));
    assert_eq!(flow.constant(InsnIdx(3), R1), None);
    assert_eq!(flow.constant(InsnIdx(5), R6), None);
    assert_eq!(flow.hardwired(InsnIdx(5)), None);
    assert_eq!(flow.constant(InsnIdx(7), R0), Some(u32::MAX));
    let sixty_four = built(&[&[set(R0, -1), EXIT]]).liveness();
    assert_eq!(sixty_four.constant(InsnIdx(1), R0), None, "does not fit 32 bits");
}

#[test]
fn a_constant_over_a_map_is_not_the_same_constant() {
    // The kernel compares the map that the register held before, although a number has none; the first map of the
    // program is 0.
    let program = |first| {
        built(&[&[
            map(R7, first),
            helper(PRANDOM),
            jump_if(R0, 0, 4),
            map(R6, 1),
            set(R6, 5),
            jump(1),
            set(R6, 5),
            set(R0, 0),
            EXIT,
        ]])
    };
    assert_eq!(program(0).liveness().constant(InsnIdx(9), R6), None);
    assert_eq!(program(1).liveness().constant(InsnIdx(9), R6), Some(5));
}

// ---- registers

/// Registers that an operation reads and writes, said again and only for what the property generates.
fn naive_effect(op: &Op) -> (Vec<Reg>, Vec<Reg>) {
    match *op {
        Op::Alu { op: AluOp::Mov, dst, src: Operand::Imm(_), .. } => (vec![], vec![dst]),
        Op::Alu { op: AluOp::Mov, dst, src: Operand::Reg(src), .. } => (vec![src], vec![dst]),
        Op::Alu { dst, src: Operand::Reg(src), .. } => (vec![dst, src], vec![dst]),
        Op::Load { dst, base, .. } => (vec![base], vec![dst]),
        Op::Store { base, src: Operand::Reg(src), .. } => (vec![base, src], vec![]),
        Op::JumpIf { dst, .. } => (vec![dst], vec![]),
        Op::CallHelper { id: MAP_LOOKUP } => (vec![R1, R2], (0..=5).filter_map(Reg::new).collect()),
        Op::Exit => (vec![R0], vec![]),
        _ => (vec![], vec![]),
    }
}

fn naive_successors(at: usize, op: &Op, len: usize) -> Vec<usize> {
    let target = |off: i64| (at as i64 + 1 + off) as usize;
    let next = match *op {
        Op::Exit => vec![],
        Op::Jump { off, .. } => vec![target(off.into())],
        Op::JumpIf { off, .. } | Op::MayGoto { off } => vec![at + 1, target(off.into())],
        _ => vec![at + 1],
    };
    next.into_iter().filter(|to| *to < len).collect()
}

/// Whether some path from `at` reads `reg` before it writes it.
fn read_before_written(ops: &[Op], at: usize, reg: Reg) -> bool {
    let mut seen = vec![false; ops.len()];
    let mut queue = vec![at];
    while let Some(at) = queue.pop() {
        if std::mem::replace(&mut seen[at], true) {
            continue;
        }
        let (used, defined) = naive_effect(&ops[at]);
        if used.contains(&reg) {
            return true;
        }
        if !defined.contains(&reg) {
            queue.extend(naive_successors(at, &ops[at], ops.len()));
        }
    }
    false
}

fn reaches(ops: &[Op], from: usize, to: usize) -> bool {
    let mut seen = vec![false; ops.len()];
    let mut queue = naive_successors(from, &ops[from], ops.len());
    while let Some(at) = queue.pop() {
        if !std::mem::replace(&mut seen[at], true) {
            queue.extend(naive_successors(at, &ops[at], ops.len()));
        }
    }
    seen[to]
}

fn any_reg() -> impl Strategy<Value = Reg> {
    (0u8..=9).prop_map(|n| Reg::new(n).unwrap_or(R0))
}

/// Functions without calls to others, of operations that [`naive_effect`] knows; comparisons are with values that are
/// never constant.
fn flat_function() -> impl Strategy<Value = Vec<Op>> {
    let op = (0u8..9, any_reg(), any_reg(), -12i16..12);
    proptest::collection::vec(op, 2..40).prop_map(|draws| {
        let len = draws.len() as i64;
        let ops = draws.into_iter().enumerate().map(|(at, (kind, dst, src, off))| {
            let off = (at as i64 + 1 + i64::from(off)).clamp(0, len - 1) - at as i64 - 1;
            match kind {
                0 => mov(dst, src),
                1 => Op::Alu { width: Width::W32, op: AluOp::Xor, dst, src: Operand::Reg(src) },
                2 => load(dst, src, 0),
                3 => store(dst, 0, src),
                4 | 5 => Op::JumpIf { width: Width::W64, cond: Cond::Gt, dst, src: Operand::Imm(7), off: off as i16 },
                6 => Op::MayGoto { off: off as i16 },
                7 => helper(MAP_LOOKUP),
                _ => jump(off as i32),
            }
        });
        let mut ops: Vec<Op> = ops.collect();
        ops.push(EXIT);
        ops
    })
}

proptest! {
    #[test]
    fn live_registers_are_those_that_some_path_reads_first(ops in flat_function()) {
        let flow = built(&[&ops]).liveness();
        for at in (0..ops.len()).filter(|at| *at == 0 || reaches(&ops, 0, *at)) {
            let naive = (0..16u8).filter_map(Reg::new).filter(|reg| read_before_written(&ops, at, *reg));
            let naive = naive.fold(0, |set, reg| set | 1u16 << reg.n());
            prop_assert_eq!(flow.live_regs(InsnIdx(at as u32)), naive, "at {}", at);
        }
    }

    #[test]
    fn a_component_is_what_reaches_itself(ops in flat_function()) {
        let flow = built(&[&ops]).liveness();
        for a in 0..ops.len() {
            let component = flow.scc(InsnIdx(a as u32));
            prop_assert_eq!(component != 0, reaches(&ops, a, a), "at {}", a);
            for b in 0..a {
                let same = component != 0 && component == flow.scc(InsnIdx(b as u32));
                prop_assert_eq!(same, reaches(&ops, a, b) && reaches(&ops, b, a), "{} and {}", a, b);
            }
        }
    }
}

#[test]
fn effects_of_unusual_operations() {
    let effect = |op: Op| {
        let effect = registers::effect(&op, &SomeFacts::default());
        (effect.used, effect.defined)
    };
    let atomic = |op| Op::Atomic { size: Size::Dw, op, base: R1, off: 0, src: R2 };
    assert_eq!(effect(atomic(AtomicOp::Add { fetch: false })), (0b110, 0));
    assert_eq!(effect(atomic(AtomicOp::Add { fetch: true })), (0b110, 0b100));
    assert_eq!(effect(atomic(AtomicOp::Xchg)), (0b110, 0b100));
    assert_eq!(effect(atomic(AtomicOp::CmpXchg)), (0b111, 1));
    assert_eq!(effect(atomic(AtomicOp::LoadAcquire)), (0b010, 0b100));
    assert_eq!(effect(atomic(AtomicOp::StoreRelease)), (0b110, 0));
    assert_eq!(effect(Op::LdAbs { size: Size::B, imm: 0 }), (0xffff, 0));
    assert_eq!(effect(helper(PRANDOM)), (0, 0x3f));
    assert_eq!(effect(helper(LOOP)), (0b1_1110, 0x3f));
    assert_eq!(effect(helper(9999)), (0x3e, 0x3f), "a helper that the program type does not have");
    assert_eq!(effect(call(0)), (0x3e, 0x3f));
    assert_eq!(effect(Op::MayGoto { off: 0 }), (0, 0));
    assert_eq!(effect(Op::MovSx { width: Width::W64, bits: 8, dst: R1, src: R2 }), (0b100, 0b010));
    assert_eq!(effect(Op::Neg { width: Width::W32, dst: R1 }), (0b010, 0b010));
    assert_eq!(effect(EXIT), (1, 0));
}

#[test]
fn a_tail_call_may_leave_at_the_last_exit() {
    // After the call R0 is set, but the hidden exit reads what the call left in it.
    let flow = built(&[&[set(R6, 0), helper(TAIL_CALL), set(R0, 0), jump(0), mov(R0, R6), EXIT]]).liveness();
    assert_eq!(flow.live_regs(InsnIdx(2)), 1 << 6);
    assert_eq!(flow.live_regs(InsnIdx(1)), 0b100_1110);
}

// ---- loops

#[test]
fn nested_loops_are_one_component_and_a_callback_call_is_one_by_itself() {
    let main = [
        set(R6, 0),         // 0
        set(R7, 0),         // 1: outer loop
        add(R7, 1),         // 2: inner loop
        helper(PRANDOM),    // 3
        jump_if(R0, 5, -3), // 4
        jump_if(R0, 6, -5), // 5
        set(R1, 9),         // 6
        function(R2, 1),    // 7, 8
        set(R3, 0),         // 9
        set(R4, 0),         // 10
        helper(LOOP),       // 11
        helper(PRANDOM),    // 12
        jump_if(R0, 1, -2), // 13
        EXIT,
    ];
    let callback = [helper(PRANDOM), jump_if(R0, 0, -2), set(R0, 0), EXIT];
    let flow = built(&[&main, &callback]).liveness();
    let components: Vec<u32> = (0..18).map(|at| flow.scc(InsnIdx(at))).collect();
    // Tarjan closes the loop that is reached last first.
    assert_eq!(components, [0, 3, 3, 3, 3, 3, 0, 0, 0, 0, 0, 2, 1, 1, 0, 4, 4, 0]);
    assert!(flow.calls_callback(InsnIdx(11)));
    assert!(!flow.calls_callback(InsnIdx(12)));
}

// ---- stack

#[test]
fn reads_are_live_until_written_and_only_full_writes_count() {
    let halves = |size, off| Op::Store { size, base: FP, off, src: Operand::Imm(0) };
    let flow = built(&[&[
        halves(Size::W, -8), // 0
        halves(Size::H, -4), // 1: half of the upper half
        helper(PRANDOM),     // 2
        load(R1, FP, -8),    // 3
        zero(FP, -16),       // 4
        load(R0, FP, -16),   // 5
        EXIT,
    ]])
    .liveness();
    assert_eq!(flow.slots(&[(0, 3)], 0), fp(&[-8]));
    assert_eq!(flow.slots(&[(0, 1)], 0), fp(&[-8]));
    assert_eq!(flow.slots(&[(0, 0)], 0), 0b01, "the half that was not covered");
    assert_eq!(flow.slots(&[(0, 4)], 0), 0);
    assert_eq!(flow.slots(&[(0, 5)], 0), fp(&[-16]));
}

#[test]
fn an_uncertain_pointer_reads_all_its_targets_and_writes_none() {
    let flow = built(&[&[
        helper(PRANDOM),
        set(R1, -8),
        mov(R2, FP),
        jump_if(R0, 0, 1),
        add(R2, -8),
        add(R2, -8),      // R2 is fp-8 or fp-16
        zero(R2, 0),      // 6
        load(R0, R2, -8), // 7
        mov(R3, FP),
        add_reg(R3, R1),  // unknown offset
        load(R0, FP, -8), // 10
        zero(R3, 0),      // 11
        load(R0, R3, 0),  // 12
        EXIT,
    ]])
    .liveness();
    assert_eq!(flow.slots(&[(0, 12)], 0), SlotSet::MAX);
    assert_eq!(flow.slots(&[(0, 11)], 0), SlotSet::MAX);
    let prefix = built(&[&[
        helper(PRANDOM),
        mov(R2, FP),
        jump_if(R0, 0, 1),
        add(R2, -8),
        add(R2, -8),
        zero(R2, 0),
        load(R0, R2, -8),
        EXIT,
    ]])
    .liveness();
    assert_eq!(prefix.slots(&[(0, 6)], 0), fp(&[-16, -24]));
    assert_eq!(prefix.slots(&[(0, 5)], 0), fp(&[-16, -24]));
}

#[test]
fn helpers_read_and_initialise_by_prototype() {
    let flow = built(&[&[
        map(R1, 0),
        mov(R2, FP),
        add(R2, -8),
        helper(MAP_LOOKUP), // 4: key of 4 bytes at fp-8
        mov(R1, FP),
        add(R1, -24),
        set(R2, 16),
        mov(R3, FP),
        helper(PROBE_READ), // 9: writes fp-24 and fp-16
        load(R1, FP, -16),
        load(R1, FP, -32),
        EXIT,
    ]])
    .liveness();
    assert_eq!(flow.slots(&[(0, 9)], 0), fp(&[-32]));
    assert_eq!(flow.slots(&[(0, 4)], 0), fp(&[-32]) | 0b10);
    let unknown = built(&[&[mov(R1, FP), add(R1, -16), helper(9999), EXIT]]).liveness();
    assert_eq!(unknown.slots(&[(0, 2)], 0), fp(&[-8, -16]), "from the pointer up");
    let past = built(&[&[mov(R3, FP), add(R3, -16), helper(MAP_LOOKUP), EXIT]]).liveness();
    assert_eq!(past.slots(&[(0, 2)], 0), 0, "no such argument");
}

/// `main` with two slots and a pointer to the first in R1, calling function 1.
fn caller(after: &[Op]) -> Vec<Op> {
    let mut ops = vec![zero(FP, -8), zero(FP, -16), mov(R1, FP), add(R1, -8), call(1)];
    ops.extend_from_slice(after);
    ops.push(EXIT);
    ops
}

#[test]
fn a_callee_reads_its_callers_stack_where_it_does_and_no_longer() {
    let callee = [load(R0, R1, 0), set(R0, 0), EXIT];
    let flow = built(&[&caller(&[load(R0, FP, -16)]), &callee]).liveness();
    assert_eq!(flow.slots(&[(0, 4)], 0), fp(&[-8, -16]), "before the call");
    assert_eq!(flow.slots(&[(0, 4), (1, 7)], 0), fp(&[-8, -16]), "at the callee's entry");
    assert_eq!(flow.slots(&[(0, 4), (1, 8)], 0), fp(&[-16]), "after the read");
    assert_eq!(flow.slots(&[(0, 4), (1, 8)], 1), 0);
    assert_eq!(flow.slots(&[(0, 5)], 0), fp(&[-16]));
}

#[test]
fn a_callback_may_run_again() {
    let main = [
        zero(FP, -8),
        set(R1, 9),
        function(R2, 1),
        mov(R3, FP),
        add(R3, -8),
        set(R4, 0),
        helper(LOOP), // 7
        EXIT,
    ];
    let reads = [load(R1, R2, 0), set(R0, 0), EXIT];
    let flow = built(&[&main, &reads]).liveness();
    assert_eq!(flow.slots(&[(0, 7), (1, 9)], 0), fp(&[-8]));
    assert_eq!(flow.slots(&[(0, 7), (1, 10)], 0), fp(&[-8]), "for the next time");
    assert_eq!(flow.slots(&[(0, 8)], 0), 0);
    let writes = [zero(R2, 0), load(R1, R2, 0), set(R0, 0), EXIT];
    let flow = built(&[&main, &writes]).liveness();
    assert_eq!(flow.slots(&[(0, 7)], 0), 0, "written before it is read, each time");
    assert_eq!(flow.slots(&[(0, 7), (1, 10)], 0), fp(&[-8]));
    assert_eq!(flow.slots(&[(0, 7), (1, 11)], 0), 0);
}

#[test]
fn a_callback_that_is_not_one_function_reads_everything() {
    let main = |context: Op| {
        [
            helper(PRANDOM),
            set(R1, 9),
            function(R2, 1),
            jump_if(R0, 0, 2),
            function(R2, 2),
            context,
            set(R4, 0),
            helper(LOOP), // 9
            EXIT,
        ]
    };
    let callback = [set(R0, 0), EXIT];
    let flow = built(&[&main(mov(R3, FP)), &callback, &callback]).liveness();
    assert_eq!(flow.slots(&[(0, 9)], 0), SlotSet::MAX);
    assert_eq!(flow.slots(&[(0, 9), (1, 11)], 0), SlotSet::MAX);
    assert_eq!(flow.slots(&[(0, 9), (1, 11)], 1), 0);
    let flow = built(&[&main(set(R3, 0)), &callback, &callback]).liveness();
    assert_eq!(flow.slots(&[(0, 9)], 0), 0);
    assert_eq!(flow.slots(&[(0, 9), (1, 11)], 0), 0);
}

#[test]
fn an_instance_that_two_chains_share_takes_the_worse_of_both() {
    // Function 1 hands on to function 2, once with (fp-8, fp-16), once the other way round.
    let main = [
        mov(R1, FP),
        add(R1, -8),
        mov(R2, FP),
        add(R2, -16),
        call(1), // 4
        mov(R1, FP),
        add(R1, -16),
        mov(R2, FP),
        add(R2, -8),
        call(1), // 9
        EXIT,
    ];
    let between = [call(2), EXIT]; // 11
    let leaf = [zero(R1, 0), load(R0, R2, 0), EXIT]; // 13
    let flow = built(&[&main, &between, &leaf]).liveness();
    assert_eq!(flow.slots(&[(0, 4), (1, 11), (2, 14)], 0), fp(&[-8, -16]));
    assert_eq!(flow.slots(&[(0, 4), (1, 11), (2, 13)], 0), fp(&[-8, -16]), "no write is certain");
}

#[test]
fn pointers_survive_a_spill_and_a_callers_stack() {
    // The callee gets a pointer to a slot that holds a pointer to another slot.
    let main = [
        zero(FP, -24),
        mov(R1, FP),
        add(R1, -24),
        store(FP, -8, R1),
        mov(R1, FP),
        add(R1, -8),
        call(1), // 6
        EXIT,
    ];
    let callee = [load(R2, R1, 0), load(R0, R2, 0), EXIT]; // 8
    let flow = built(&[&main, &callee]).liveness();
    assert_eq!(flow.slots(&[(0, 6)], 0), fp(&[-8, -24]));
    assert_eq!(flow.slots(&[(0, 6), (1, 9)], 0), fp(&[-24]));
    // Spilled through another register.
    let main = [
        mov(R1, FP),
        add(R1, -8),
        mov(R2, FP),
        add(R2, -24),
        store(R1, -8, R2),
        load(R3, FP, -16), // 5
        load(R0, R3, 0),
        EXIT,
    ];
    assert_eq!(built(&[&main]).liveness().slots(&[(0, 6)], 0), fp(&[-24]));
    // A pointer that was overwritten is none.
    let main = [
        mov(R1, FP),
        add(R1, -24),
        store(FP, -8, R1),
        Op::Store { size: Size::B, base: FP, off: -3, src: Operand::Imm(0) },
        load(R1, FP, -8), // 4
        load(R0, R1, 0),
        EXIT,
    ];
    assert_eq!(built(&[&main]).liveness().slots(&[(0, 5)], 0), 0);
}

#[test]
fn a_pointer_that_may_be_none_has_a_second_offset() {
    // R0 is a map's value or fp-8: the write does not end the liveness of fp-8.
    let flow = built(&[&[
        map(R1, 0),
        mov(R2, FP),
        add(R2, -24),
        helper(MAP_LOOKUP),
        jump_if(R0, 0, 1),
        jump(2),
        mov(R0, FP),
        add(R0, -8),
        zero(R0, 0), // 9
        load(R0, FP, -8),
        EXIT,
    ]])
    .liveness();
    assert_eq!(flow.slots(&[(0, 9)], 0), fp(&[-8]));
}

#[test]
fn a_function_that_gets_no_pointer_cannot_reach_its_callers() {
    let flow =
        built(&[&[zero(FP, -8), call(1), load(R0, FP, -8), EXIT], &[set(R0, 0), call(2), EXIT], &[set(R0, 0), EXIT]])
            .liveness();
    assert_eq!(flow.slots(&[(0, 1), (1, 4)], 0), fp(&[-8]), "read after the call");
    assert_eq!(flow.slots(&[(0, 1), (1, 4)], 1), 0);
    // Two frames up, a function that was analysed alone cannot tell: everything is live.
    assert_eq!(flow.slots(&[(0, 1), (1, 5), (2, 7)], 0), SlotSet::MAX);
    assert_eq!(flow.slots(&[(0, 1), (1, 5), (2, 7)], 1), 0);
    // A function that was only analysed for other calls answers "live".
    let pointer = [mov(R1, FP), call(1), set(R1, 0), call(1), EXIT];
    let flow = built(&[&pointer, &[set(R0, 0), EXIT]]).liveness();
    assert_eq!(flow.slots(&[(0, 3), (1, 5)], 1), SlotSet::MAX);
}

// ---- refusals

#[test]
fn recursion_and_depth_are_refused() {
    let flow = built(&[&[call(1), EXIT], &[call(0), EXIT]]).analyse();
    let expected = Refused::Recursion { at: InsnIdx(2), caller: SubprogIdx(1), callee: SubprogIdx::MAIN };
    assert_eq!(flow.err(), Some(expected));
    // A callback that starts itself is not refused as such, but its chain does not end.
    let callback = |context| [set(R1, 1), function(R2, 1), context, set(R4, 0), helper(LOOP), set(R0, 0), EXIT];
    assert!(built(&[&[call(1), EXIT], &callback(set(R3, 0))]).analyse().is_ok());
    assert!(matches!(built(&[&[call(1), EXIT], &callback(mov(R3, FP))]).analyse(), Err(Refused::TooDeep { .. })));
}

#[test]
fn many_calls_are_refused() {
    // Each function calls the next three times with a pointer: 3^9 analyses.
    let functions: Vec<Vec<Op>> = (1..=10)
        .map(|next| {
            let mut ops = vec![mov(R6, if next == 1 { FP } else { R1 })];
            for _ in 0..3 {
                ops.extend([mov(R1, R6), call(next)]);
            }
            ops.push(EXIT);
            ops
        })
        .chain([vec![set(R0, 0), EXIT]])
        .collect();
    let functions: Vec<&[Op]> = functions.iter().map(Vec::as_slice).collect();
    assert_eq!(built(&functions).analyse().err(), Some(Refused::TooManyCalls { calls: 10_001 }));
}
