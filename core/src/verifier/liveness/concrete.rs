//! Soundness of the answers: whatever a run reads was live since it was last written.
//!
//! Programs are run by a small interpreter that knows only pointers and numbers. It stops where the walk would refuse.

use super::Branches;
use super::access::ALL;
use super::tests::*;
use super::*;
use crate::isa::{AluOp, Imm64, Operand, Size};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Steps of a run.
const STEPS_MAX: usize = 400;

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Number(i64),
    /// Into the stack of the frame at that depth.
    Pointer(usize, i64),
}

struct Frame {
    subprog: u16,
    at: u32,
    /// Distinguishes frames of a run.
    id: usize,
    registers: [Word; 11],
    /// 8-byte words by offset.
    words: BTreeMap<i64, Word>,
    /// Iterations left of the loop that the frame is in.
    iterations: Option<u32>,
}

impl Frame {
    fn new(subprog: u16, at: u32, id: usize, depth: usize) -> Frame {
        let mut registers = [Word::Number(0); 11];
        registers[10] = Word::Pointer(depth, 0);
        Frame { subprog, at, id, registers, words: BTreeMap::new(), iterations: None }
    }
}

/// What one step did to a frame's stack.
#[derive(Clone, Copy)]
struct Touch {
    id: usize,
    read: SlotSet,
    written: SlotSet,
}

struct Step {
    chain: Vec<FrameAt>,
    ids: Vec<usize>,
    touch: Option<Touch>,
}

struct Machine<'a> {
    program: &'a Built,
    frames: Vec<Frame>,
    next_id: usize,
    touch: Option<Touch>,
}

/// Slots that `bytes` at an aligned offset cover.
fn slots(off: i64, bytes: i64) -> SlotSet {
    (0..128).filter(|slot| (off..off + bytes).contains(&(-4 * (slot + 1)))).fold(0, |set, slot| set | 1 << slot)
}

impl Machine<'_> {
    fn run(program: &Built) -> Vec<Step> {
        let mut machine = Machine { program, frames: vec![Frame::new(0, 0, 0, 0)], next_id: 1, touch: None };
        let mut trace = Vec::new();
        while trace.len() < STEPS_MAX && !machine.frames.is_empty() {
            let place = |frame: &Frame| FrameAt { subprog: SubprogIdx(frame.subprog), at: InsnIdx(frame.at) };
            let chain = machine.frames.iter().map(place).collect();
            let ids = machine.frames.iter().map(|frame| frame.id).collect();
            machine.touch = None;
            let goes_on = machine.step().is_some();
            trace.push(Step { chain, ids, touch: machine.touch });
            if !goes_on {
                break;
            }
        }
        trace
    }

    /// The address of an access, if it is an aligned one within a stack; `Err` for memory that is no stack.
    fn address(&self, base: Reg, off: i16, size: Size) -> Option<Result<(usize, i64), ()>> {
        match self.frames.last()?.registers[base.at()] {
            Word::Number(_) => Some(Err(())),
            Word::Pointer(depth, at) => {
                let at = at + i64::from(off);
                let aligned = at % i64::from(size.bytes()) == 0 && (-512..=-i64::from(size.bytes())).contains(&at);
                aligned.then_some(Ok((depth, at)))
            }
        }
    }

    fn enter(&mut self, subprog: u16, registers: &[(usize, Word)]) {
        let start = self.program.layout.start(SubprogIdx(subprog)).0;
        let mut frame = Frame::new(subprog, start, self.next_id, self.frames.len());
        registers.iter().for_each(|(n, word)| frame.registers[*n] = *word);
        self.next_id += 1;
        self.frames.push(frame);
    }

    /// Does one instruction; `None` where the walk would refuse it.
    fn step(&mut self) -> Option<()> {
        let at = self.frames.last()?.at;
        let op = (*self.program.ops.get(at as usize)?)?;
        let depth = self.frames.len() - 1;
        let frame = self.frames.last_mut()?;
        let registers = &mut frame.registers;
        let mut next = at + op.len();
        match op {
            Op::Alu { op, dst, src, .. } => {
                let left = registers[dst.at()];
                let right = match src {
                    Operand::Reg(src) => registers[src.at()],
                    Operand::Imm(imm) => Word::Number(imm.into()),
                };
                registers[dst.at()] = match (op, left, right) {
                    (AluOp::Mov, _, right) => right,
                    (_, Word::Number(a), Word::Number(b)) => Word::Number(a.wrapping_add(b)),
                    (_, Word::Pointer(frame, off), Word::Number(n))
                    | (_, Word::Number(n), Word::Pointer(frame, off)) => Word::Pointer(frame, off.checked_add(n)?),
                    _ => return None,
                };
            }
            Op::LdImm64 { dst, .. } => registers[dst.at()] = Word::Number(0),
            Op::JumpIf { dst, src: Operand::Imm(imm), off, .. } => {
                if registers[dst.at()] == Word::Number(imm.into()) {
                    next = next.checked_add_signed(off.into())?;
                }
            }
            Op::Load { size, dst, base, off, .. } => {
                let mut value = Word::Number(1);
                if let Ok((depth, off)) = self.address(base, off, size)? {
                    let read = slots(off, size.bytes().into());
                    let from = &self.frames[depth];
                    self.touch = Some(Touch { id: from.id, read, written: 0 });
                    value = match size {
                        Size::Dw => from.words.get(&off).copied().unwrap_or(Word::Number(0)),
                        _ => Word::Number(0),
                    };
                }
                self.frames.last_mut()?.registers[dst.at()] = value;
            }
            Op::Store { size, base, off, src } => {
                let value = match src {
                    Operand::Reg(src) => registers[src.at()],
                    Operand::Imm(imm) => Word::Number(imm.into()),
                };
                if let Ok((target, off)) = self.address(base, off, size)? {
                    // A pointer must be stored whole, and not into a caller's frame.
                    if matches!(value, Word::Pointer(..)) && (target != depth || size != Size::Dw) {
                        return None;
                    }
                    let written = slots(off, size.bytes().into());
                    let to = &mut self.frames[target];
                    to.words.insert(off & !7, if size == Size::Dw { value } else { Word::Number(0) });
                    self.touch = Some(Touch { id: to.id, read: 0, written });
                }
            }
            Op::CallHelper { id: MAP_LOOKUP } => {
                if let Ok((depth, off)) = self.address(Reg::R2, 0, Size::W)? {
                    self.touch = Some(Touch { id: self.frames[depth].id, read: slots(off, 4), written: 0 });
                }
                self.frames.last_mut()?.registers[..6].fill(Word::Number(0));
            }
            Op::CallHelper { id: LOOP } => match frame.iterations.unwrap_or(2) {
                0 => {
                    frame.iterations = None;
                    registers[..6].fill(Word::Number(2));
                }
                left => {
                    frame.iterations = Some(left - 1);
                    let context = registers[3];
                    self.enter(2, &[(1, Word::Number(left.into())), (2, context)]);
                    return Some(());
                }
            },
            Op::CallLocal { .. } => {
                let arguments: Vec<(usize, Word)> = (1..=5).map(|n| (n, registers[n])).collect();
                self.enter(1, &arguments);
                return Some(());
            }
            Op::Exit => {
                let result = self.frames.pop()?.registers[0];
                if let (Some(caller), Word::Number(_)) = (self.frames.last_mut(), result) {
                    if caller.iterations.is_none() {
                        caller.registers[..6].fill(Word::Number(0));
                        caller.registers[0] = result;
                        caller.at += 1;
                    }
                    return Some(());
                }
                return None;
            }
            _ => return None,
        }
        self.frames.last_mut()?.at = next;
        Some(())
    }
}

/// Operations of one function from draws; `calls` tells whether it may call function 1 and loop over function 2.
///
/// No register but R10 holds the frame pointer itself where paths meet: Linux 7.3 takes a write through it, or through no
/// stack pointer on another path, for certain, and the walk then refuses to read the slot
/// (`a_write_through_the_frame_pointer_or_elsewhere_counts_as_certain`). Therefore such pointers lie below, and jumps lead
/// to the first operation of a draw.
fn function_of(draws: &[(u8, Reg, Reg, i16, u8)], calls: bool) -> Vec<Op> {
    let mut ops = Vec::new();
    let mut heads = Vec::new();
    for &(kind, a, b, off, to) in draws {
        heads.push(ops.len());
        match kind {
            0 | 1 => ops.extend([mov(a, FP), add(a, i32::from(off - 1) * 8)]),
            2 => ops.push(mov(a, b)),
            3 => ops.push(add(a, i32::from(off) * 8)),
            4 => ops.push(add_reg(a, b)),
            5 => ops.push(load(a, b, 0)),
            6 => ops.push(load(a, b, off * 8)),
            7 => ops.push(load(a, FP, off * 8)),
            8 => ops.push(store(b, 0, a)),
            9 => ops.push(store(b, off * 8, a)),
            10 => ops.push(store(FP, off * 8, a)),
            11 => ops.push(Op::Store { size: Size::W, base: FP, off: off * 8 + 4, src: Operand::Imm(0) }),
            12 => ops.push(zero(b, 0)),
            13 => ops.push(jump_if(a, 0, i16::from(to))),
            14 => ops.extend([map(R1, 0), mov(R2, a), helper(MAP_LOOKUP)]),
            15 if calls => ops.extend([mov(R1, a), mov(R2, b), call(1)]),
            16 if calls => {
                let callback = Op::LdImm64 { dst: R2, imm: Imm64::Func { rel: 2, number: 0 } };
                ops.extend([mov(R3, a), callback, set(R4, 0), set(R1, 2), helper(LOOP)]);
            }
            _ => ops.push(set(a, 0)),
        }
    }
    heads.push(ops.len());
    ops.extend([set(R0, 0), EXIT]);
    let mut starts = Vec::new();
    let mut at = 0i64;
    for op in &ops {
        starts.push(at);
        at += i64::from(op.len());
    }
    for (n, op) in ops.iter_mut().enumerate() {
        if let Op::JumpIf { off, .. } = op {
            *off = (starts[heads[usize::from(off.unsigned_abs()) % heads.len()]] - starts[n] - 1) as i16;
        }
    }
    ops
}

fn draws() -> impl Strategy<Value = Vec<(u8, Reg, Reg, i16, u8)>> {
    let reg = || proptest::sample::select(vec![R1, R2, R3, R6, R7]);
    proptest::collection::vec((0u8..17, reg(), reg(), -5i16..=0, any::<u8>()), 1..16)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_a_run_reads_was_live(main in draws(), callee in draws(), callback in draws()) {
        let reference = [call(1), Op::LdImm64 { dst: R0, imm: Imm64::Func { rel: 2, number: 0 } }];
        let mut main = function_of(&main, true);
        main.splice(main.len() - 2..main.len() - 2, reference);
        let program = built(&[&main, &function_of(&callee, false), &function_of(&callback, false)]);
        let flow = program.liveness();
        let mut needed: BTreeMap<usize, SlotSet> = BTreeMap::new();
        for step in Machine::run(&program).iter().rev() {
            if let Some(Touch { id, read, written }) = step.touch {
                let slots = needed.entry(id).or_default();
                *slots = *slots & !written | read;
            }
            let query = Query::new(&flow, &step.chain);
            for (n, id) in step.ids.iter().enumerate() {
                let needed = needed.get(id).copied().unwrap_or(0);
                let live = query.live_slots(n);
                prop_assert_eq!(needed & !live, 0, "frame {} of {:?}", n, step.chain);
            }
        }
    }

    /// Any operations in any layout are analysed without a panic, and queries answer.
    #[test]
    fn anything_can_be_analysed(
        bytes in proptest::collection::vec((0u8..30, any::<u8>(), -8i16..8, -6i32..200), 1..40),
        starts in proptest::collection::btree_set(1u32..40, 0..4),
        chain in proptest::collection::vec((0u16..6, 0u32..50), 0..20),
    ) {
        const CODES: [u8; 30] = [
            0x07, 0x0f, 0xbf, 0xb7, 0x18, 0x79, 0x7b, 0x7a, 0x61, 0x63, 0x15, 0x1d, 0x05, 0x06, 0xe5, 0x85, 0x85, 0x85, 0x95,
            0x20, 0x50, 0xdb, 0xc3, 0xdc, 0xd7, 0x87, 0xbc, 0x91, 0x56, 0x00,
        ];
        let insn = |(code, regs, off, imm): (u8, u8, i16, i32)| {
            crate::isa::Insn::new(CODES[usize::from(code)], regs & 15, regs >> 4, off, imm)
        };
        let insns: Vec<_> = bytes.into_iter().map(insn).collect();
        let next = |n: usize| insns.get(n + 1).copied();
        let ops: Vec<_> = insns.iter().enumerate().map(|(n, i)| crate::isa::decode(*i, next(n)).ok()).collect();
        let starts = std::iter::once(0).chain(starts).map(InsnIdx).collect();
        let layout = Layout::from_starts(starts, InsnIdx(ops.len() as u32));
        let facts = SomeFacts { maps: vec![MapSizes { key: 4, value: 8 }], globals: vec![false, true] };
        if let Ok(flow) = Liveness::analyse(&Code { ops: &ops, layout: &layout, facts: &facts, branches: Branches::Decided }) {
            let frames: Vec<FrameAt> =
                chain.iter().map(|&(n, at)| FrameAt { subprog: SubprogIdx(n), at: InsnIdx(at) }).collect();
            let query = Query::new(&flow, &frames);
            let past = query.live_slots(frames.len());
            prop_assert_eq!(past, ALL);
            let _all = (0..frames.len()).fold(0, |set, n| set | query.live_slots(n));
        }
    }
}
