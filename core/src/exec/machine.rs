//! The machine: registers, frames, and the loop that runs an image.
//!
//! Stands for `___bpf_prog_run` (6.1 … 7.3), and for `bpf_loop` and `bpf_for_each_map_elem`, which are a frame that knows
//! what to do when it returns: there is no recursion in the host.
//!
//! Invariant: `undef` holds exactly the registers that the program has not given a value since its frame began, since
//! the last call for R1 to R5, or since before an inlined loop for R6 to R9.

use super::Limits;
use super::alu;
use super::helpers::{FOR_EACH, World, arity};
use super::image::{Image, UNDEFINED_AT_START};
use super::maps::Map;
use super::memory::{FRAMES, Stop};
use super::outcome::{End, Outcome, Trap, TrapKind};
use super::step::{ALL, ARGS, RegSet, SAVED, What, bit, op_tables};
use super::trace::{Event, Trace};
use crate::isa::{AtomicOp, Reg, Size, Width};
use crate::kernel::limits::{HELPER_LOOP, LOOPS_MAX};
use crate::program::Input;

const E2BIG: i64 = -7;
const EINVAL: i64 = -22;
/// How often `may_goto` falls through in a frame.
const MAY_GOTO_TRIES: u32 = 1 << 23;
const TRACE_PRINTK: i32 = 6;

/// Registers by number; five places are never used, so that any four bits are an index.
type Regs = [u64; 16];

/// What happens when a frame returns.
#[derive(Clone, Copy, Debug)]
enum Back {
    /// The caller goes on.
    Caller,
    /// The helper `bpf_loop` looks at R0.
    Loop { site: u32, callee: u16, index: u32, count: u32, ctx: u64 },
    /// The helper `bpf_for_each_map_elem` looks at R0; the rest is in `iterations`.
    Each,
}

/// Where an iteration over a map is.
#[derive(Clone, Copy, Debug, Default)]
struct Iteration {
    map: u32,
    callee: u16,
    /// How many entries were handed out.
    count: u32,
    next: u64,
    args: [u64; 5],
}

/// A call that has not returned.
#[derive(Clone, Copy, Debug)]
struct Frame {
    back: Back,
    /// The step after the call.
    to: u32,
    /// R6 to R10 of the caller.
    saved: [u64; 5],
    /// The registers of the caller without a value.
    undef: RegSet,
    /// How many frames of the same count lie before it.
    before: u8,
    /// How often `may_goto` can still fall through.
    tries: u32,
    /// The registers without a value before the inlined loop that is running in this frame.
    before_loop: Option<RegSet>,
}

const NO_FRAME: Frame =
    Frame { back: Back::Caller, to: 0, saved: [0; 5], undef: 0, before: 0, tries: MAY_GOTO_TRIES, before_loop: None };

/// Where a run is. Small and copied, so that it stays in the host's registers.
#[derive(Clone, Copy, Debug)]
struct Control {
    step: usize,
    depth: usize,
    undef: RegSet,
    fuel: u64,
}

/// Why the loop stopped.
enum Halt {
    Returned(u64),
    OutOfFuel,
    Stop(Stop),
}

impl From<Stop> for Halt {
    fn from(stop: Stop) -> Halt {
        Halt::Stop(stop)
    }
}

/// Runs images. Buffers are kept from run to run; nothing else is.
#[derive(Debug)]
pub struct Machine {
    world: World,
    frames: [Frame; FRAMES],
    iterations: [Iteration; FRAMES],
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::new()
    }
}

impl Machine {
    /// A machine.
    pub fn new() -> Machine {
        Machine { world: World::new(), frames: [NO_FRAME; FRAMES], iterations: [Iteration::default(); FRAMES] }
    }

    /// Runs an image on an input.
    pub fn run(&mut self, image: &Image, input: &Input, limits: &Limits) -> Outcome {
        let mut regs = [0; 16];
        let (end, fuel) = match self.prepare(image, input, limits, &mut regs) {
            Ok(control) => self.execute(image, control, &mut regs),
            Err(what) => (End::Unsupported(what.into()), limits.fuel),
        };
        let World { memory, maps, around, trace, counted_by_address, .. } = &mut self.world;
        Outcome {
            end,
            insns: limits.fuel - fuel,
            ctx: memory.bytes(around.ctx_bytes.0, around.ctx_bytes.1 as usize).to_vec(),
            packet: memory.bytes(around.packet_bytes.0, around.packet_bytes.1 as usize).to_vec(),
            maps: maps.iter().map(|m| m.dump(memory)).collect(),
            trace: std::mem::take(trace),
            counted_by_address: *counted_by_address,
        }
    }

    fn prepare(
        &mut self,
        image: &Image,
        input: &Input,
        limits: &Limits,
        regs: &mut Regs,
    ) -> Result<Control, &'static str> {
        let world = &mut self.world;
        world.trace = Trace::new(limits.detail);
        world.model = image.model;
        world.seed(input.seed);
        world.counted_by_address = false;
        world.memory.reset(limits.layout_seed, image.rules.uninit_stack_read, image.model);
        if world.maps.len() != image.maps.len() || world.maps.iter().zip(&image.maps).any(|(m, def)| !m.is(def)) {
            world.maps = (0..).zip(&image.maps).map(|(n, def)| Map::new(n, def)).collect();
        }
        for map in &mut world.maps {
            map.reset(&mut world.memory);
        }
        world.around = Default::default();
        world.around = image.model.set_up(&mut world.memory, input)?;
        let key_size = world.maps.iter().map(Map::key_size).max().unwrap_or(0);
        world.key = world.memory.add_bytes(key_size as usize);
        self.frames[0] = NO_FRAME;
        let main = image.subprogs.first().ok_or("a program without instructions")?;
        regs[1] = world.around.ctx;
        regs[10] = world.memory.push_frame(0, &main.shape);
        Ok(Control { step: main.entry as usize, depth: 0, undef: UNDEFINED_AT_START, fuel: limits.fuel })
    }

    /// Runs to the end; gives the fuel that is left, too.
    fn execute(&mut self, image: &Image, control: Control, regs: &mut Regs) -> (End, u64) {
        let mut at = control.step;
        let mut c = control;
        let halt = self.interpret(image, &mut at, &mut c, regs);
        let at = image.origin.get(at).copied().unwrap_or_default();
        let end = match halt {
            Halt::Returned(r0) => End::Returned(r0),
            Halt::OutOfFuel => End::OutOfFuel,
            Halt::Stop(Stop::Trap(kind)) => End::Trapped(Trap { at, kind }),
            Halt::Stop(Stop::Unsupported(what)) => End::Unsupported(what),
        };
        (end, c.fuel)
    }

    fn interpret(&mut self, image: &Image, at: &mut usize, control: &mut Control, regs: &mut Regs) -> Halt {
        // Each on its own and never borrowed, so that the host keeps them in registers.
        let Control { mut step, mut depth, mut undef, mut fuel } = *control;
        let mut r = *regs;

        macro_rules! reg {
            ($n:expr) => {
                r[usize::from($n & 15)]
            };
        }
        macro_rules! check {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(stop) => break Halt::from(stop),
                }
            };
        }
        // Calls something that needs to see or change where the run is.
        macro_rules! with_control {
            (|$c:ident| $call:expr) => {{
                let $c = Control { step, depth, undef, fuel };
                Control { step, depth, undef, fuel } = $call;
            }};
        }
        macro_rules! leave {
            () => {{
                let c = Control { step, depth, undef, fuel };
                match check!(self.leave(image, c, &mut r)) {
                    Some(next) => Control { step, depth, undef, fuel } = next,
                    None => break Halt::Returned(r[0]),
                }
            }};
        }
        macro_rules! load {
            ($size:literal, $dst:expr, $base:expr, $off:expr) => {{
                let addr = reg!($base).wrapping_add_signed(i64::from($off));
                reg!($dst) = match self.world.memory.load::<$size>(addr) {
                    Some(value) => value,
                    None => check!(self.world.memory.load_slow(addr, $size)),
                };
            }};
        }
        macro_rules! store {
            ($size:literal, $base:expr, $off:expr, $value:expr) => {{
                let addr = reg!($base).wrapping_add_signed(i64::from($off));
                let value = $value;
                if !self.world.memory.store::<$size>(addr, value) {
                    check!(self.world.memory.store_slow(addr, $size, value));
                }
            }};
        }
        macro_rules! fill {
            ($size:literal, $dst:expr, $at:expr) => {{
                let place = usize::from($at);
                reg!($dst) = match self.world.memory.fill::<$size>(depth, place) {
                    Some(value) => value,
                    None => check!(self.world.memory.fill_slow(depth, place, $size)),
                };
            }};
        }
        macro_rules! spill {
            ($size:literal, $at:expr, $value:expr) => {{
                let value = $value;
                self.world.memory.spill::<$size>(depth, usize::from($at), value);
            }};
        }
        // The two-operand operations, in all forms. Everything else is handed on.
        macro_rules! two_operands {
            (
                ($what:expr)
                $(($alu:ident, $ar:ident, $ak:ident, $awr:ident, $awk:ident))*;
                $(($cond:ident, $cr:ident, $ck:ident, $cwr:ident, $cwk:ident))*
            ) => {
                match $what {
                    $(What::$ar { dst, src } => { two_operands!(@alu W64 $alu dst reg!(src)); continue }
                      What::$ak { dst, imm } => { two_operands!(@alu W64 $alu dst i64::from(imm) as u64); continue }
                      What::$awr { dst, src } => { two_operands!(@alu W32 $alu dst reg!(src)); continue }
                      What::$awk { dst, imm } => { two_operands!(@alu W32 $alu dst i64::from(imm) as u64); continue })*
                    $(What::$cr { dst, src, to } => { two_operands!(@jump W64 $cond dst reg!(src), to); continue }
                      What::$ck { dst, imm, to } => { two_operands!(@jump W64 $cond dst i64::from(imm) as u64, to); continue }
                      What::$cwr { dst, src, to } => { two_operands!(@jump W32 $cond dst reg!(src), to); continue }
                      What::$cwk { dst, imm, to } => { two_operands!(@jump W32 $cond dst i64::from(imm) as u64, to); continue })*
                    other => other,
                }
            };
            (@alu $width:ident $op:ident $dst:ident $b:expr) => {
                reg!($dst) = alu::binary(Width::$width, crate::isa::AluOp::$op, reg!($dst), $b)
            };
            (@jump $width:ident $cond:ident $dst:ident $b:expr, $to:ident) => {
                if alu::holds(Width::$width, crate::isa::Cond::$cond, reg!($dst), $b) {
                    step = $to as usize;
                }
            };
        }

        let halt = loop {
            let Some(now) = image.steps.get(step) else {
                break Halt::from(Stop::Trap(TrapKind::LeftProgram));
            };
            step += 1;
            if undef & now.need != 0 {
                break Halt::from(uninit(undef & now.need));
            }
            if fuel == 0 {
                break Halt::OutOfFuel;
            }
            fuel -= 1;
            undef &= now.keep;
            let rest = op_tables! { two_operands (now.what) };
            match rest {
                What::Load1 { dst, base, off } => load!(1, dst, base, off),
                What::Load2 { dst, base, off } => load!(2, dst, base, off),
                What::Load4 { dst, base, off } => load!(4, dst, base, off),
                What::Load8 { dst, base, off } => load!(8, dst, base, off),
                What::LoadSx { size, dst, base, off } => {
                    let addr = reg!(base).wrapping_add_signed(i64::from(off));
                    let value = check!(self.load_any(addr, size));
                    reg!(dst) = alu::sign_extend(size.bytes() as u8 * 8, value);
                }
                What::Store1 { base, src, off } => store!(1, base, off, reg!(src)),
                What::Store2 { base, src, off } => store!(2, base, off, reg!(src)),
                What::Store4 { base, src, off } => store!(4, base, off, reg!(src)),
                What::Store8 { base, src, off } => store!(8, base, off, reg!(src)),
                What::StoreK1 { base, off, imm } => store!(1, base, off, imm as u64),
                What::StoreK2 { base, off, imm } => store!(2, base, off, imm as u64),
                What::StoreK4 { base, off, imm } => store!(4, base, off, imm as u64),
                What::StoreK8 { base, off, imm } => store!(8, base, off, i64::from(imm) as u64),
                What::Fill1 { dst, at } => fill!(1, dst, at),
                What::Fill2 { dst, at } => fill!(2, dst, at),
                What::Fill4 { dst, at } => fill!(4, dst, at),
                What::Fill8 { dst, at } => fill!(8, dst, at),
                What::Spill1 { src, at } => spill!(1, at, reg!(src)),
                What::Spill2 { src, at } => spill!(2, at, reg!(src)),
                What::Spill4 { src, at } => spill!(4, at, reg!(src)),
                What::Spill8 { src, at } => spill!(8, at, reg!(src)),
                What::SpillK1 { at, imm } => spill!(1, at, imm as u64),
                What::SpillK2 { at, imm } => spill!(2, at, imm as u64),
                What::SpillK4 { at, imm } => spill!(4, at, imm as u64),
                What::SpillK8 { at, imm } => spill!(8, at, i64::from(imm) as u64),
                What::Jump { to } => step = to as usize,
                What::Const { dst, lo, hi } => reg!(dst) = u64::from(lo) | u64::from(hi) << 32,
                What::MovSx { width, bits, dst, src } => {
                    reg!(dst) = alu::truncate(width, alu::sign_extend(bits, reg!(src)));
                }
                What::Neg { width, dst } => reg!(dst) = alu::truncate(width, reg!(dst).wrapping_neg()),
                What::Endian { kind, bits, dst } => reg!(dst) = alu::byte_order(kind, bits, reg!(dst)),
                What::MapAddr { dst, map } => reg!(dst) = self.world.memory.map_address(map),
                What::ValueAddr { dst, map, off } => reg!(dst) = check!(self.value_address(map, off)),
                What::FuncAddr { dst, id } => reg!(dst) = self.world.memory.function_address(id),
                What::Atomic { size, op, base, src, off } => {
                    let addr = reg!(base).wrapping_add_signed(i64::from(off));
                    check!(self.atomic(size, op, addr, src, &mut r));
                }
                What::LoadPacket { size, src, imm } => match check!(self.load_packet(size, src, imm, &r)) {
                    Some(value) => {
                        r[0] = value;
                        undef |= ARGS;
                    }
                    None => {
                        r[0] = 0;
                        leave!();
                    }
                },
                What::MayGoto { to } => {
                    let tries = &mut self.frames[depth % FRAMES].tries;
                    match tries.checked_sub(1) {
                        Some(left) => *tries = left,
                        None => step = to as usize,
                    }
                }
                What::CallLocal { callee } => {
                    let inherited = undef & ARGS | SAVED | bit(Reg::R0);
                    let c = Control { step, depth, undef, fuel };
                    Control { step, depth, fuel, .. } = check!(self.enter(image, c, &mut r, callee, Back::Caller));
                    undef = inherited;
                }
                What::CallCallback { callee, site } => {
                    self.world.trace.push(Event::Callback { site, index: r[1], ctx: r[2] });
                    with_control!(|c| check!(self.enter(image, c, &mut r, callee, Back::Caller)));
                }
                What::CallLoop { site } => with_control!(|c| check!(self.start_loop(image, c, &mut r, site))),
                What::CallHelper { id: FOR_EACH, .. } => with_control!(|c| check!(self.start_each(image, c, &mut r))),
                What::CallHelper { id, keeps_args } => {
                    with_control!(|c| check!(self.call_helper(c, &mut r, id, keeps_args)))
                }
                What::Exit => leave!(),
                What::LoopEnter => {
                    self.frames[depth % FRAMES].before_loop = Some(undef);
                    undef |= bit(Reg::R0);
                    fuel += 1;
                }
                What::LoopLeave { site, to } => {
                    fuel += 1;
                    if let Some(before) = self.frames[depth % FRAMES].before_loop.take() {
                        undef = undef & !SAVED | before & SAVED;
                    }
                    step = to as usize;
                    with_control!(|c| self.end_loop(c, &r, site));
                }
                What::Trap(fault) => break Halt::from(Stop::Trap(fault.kind())),
                What::Refuse(n) => {
                    let what = image.refusals.get(n as usize).cloned().unwrap_or_default();
                    break Halt::from(Stop::Unsupported(what));
                }
                // The arms of `two_operands`.
                _ => {}
            }
        };
        *at = step.saturating_sub(1);
        *control = Control { step, depth, undef, fuel };
        *regs = r;
        halt
    }

    fn load_any(&self, addr: u64, size: Size) -> Result<u64, Stop> {
        let memory = &self.world.memory;
        let value = match size {
            Size::B => memory.load::<1>(addr),
            Size::H => memory.load::<2>(addr),
            Size::W => memory.load::<4>(addr),
            Size::Dw => memory.load::<8>(addr),
        };
        value.map_or_else(|| memory.load_slow(addr, size.bytes()), Ok)
    }

    fn store_any(&mut self, addr: u64, size: Size, value: u64) -> Result<(), Stop> {
        let memory = &mut self.world.memory;
        let done = match size {
            Size::B => memory.store::<1>(addr, value),
            Size::H => memory.store::<2>(addr, value),
            Size::W => memory.store::<4>(addr, value),
            Size::Dw => memory.store::<8>(addr, value),
        };
        if done { Ok(()) } else { memory.store_slow(addr, size.bytes(), value) }
    }

    fn value_address(&mut self, map: u32, off: u32) -> Result<u64, Stop> {
        let World { maps, memory, .. } = &mut self.world;
        match maps.get_mut(map as usize) {
            Some(map) => Ok(map.array_value(memory, 0)? + u64::from(off)),
            None => Err(Stop::Unsupported("a reference to this map".into())),
        }
    }

    fn atomic(&mut self, size: Size, op: AtomicOp, addr: u64, src: u8, r: &mut Regs) -> Result<(), Stop> {
        let src = usize::from(src & 15);
        let width = if size == Size::Dw { Width::W64 } else { Width::W32 };
        let operand = alu::truncate(width, r[src]);
        if op == AtomicOp::StoreRelease {
            return self.store_any(addr, size, operand);
        }
        let old = self.load_any(addr, size)?;
        let (new, fetch) = match op {
            AtomicOp::Add { fetch } => (old.wrapping_add(operand), fetch),
            AtomicOp::Or { fetch } => (old | operand, fetch),
            AtomicOp::And { fetch } => (old & operand, fetch),
            AtomicOp::Xor { fetch } => (old ^ operand, fetch),
            AtomicOp::Xchg => (operand, true),
            AtomicOp::CmpXchg => {
                let equal = old == alu::truncate(width, r[0]);
                r[0] = old;
                (if equal { operand } else { old }, false)
            }
            AtomicOp::LoadAcquire | AtomicOp::StoreRelease => {
                r[src] = old;
                return Ok(());
            }
        };
        self.store_any(addr, size, new)?;
        if fetch {
            r[src] = old;
        }
        Ok(())
    }

    /// The value of a packet load; `None` when it is outside of the packet, which ends the frame with 0.
    fn load_packet(&self, size: Size, src: Option<Reg>, imm: i32, r: &Regs) -> Result<Option<u64>, Stop> {
        let world = &self.world;
        if !world.model.is_skb() {
            return Err(Stop::Unsupported("a packet load without a packet".into()));
        }
        if r[6] != world.around.ctx {
            return Err(Stop::Trap(TrapKind::WildPointer(r[6])));
        }
        let base = src.map_or(0, |s| r[s.at()]);
        Ok(world.load_packet(size, (base as i32).wrapping_add(imm)))
    }

    fn call_helper(&mut self, mut c: Control, r: &mut Regs, id: i32, keeps_args: bool) -> Result<Control, Stop> {
        let taken = match id {
            // A format takes what it names: the registers from R3 on that have a value.
            TRACE_PRINTK => 2 + ((!c.undef & ARGS) >> 3).trailing_ones(),
            _ => u32::from(arity(id).unwrap_or(0)),
        };
        let mut args = [0; 5];
        for (n, arg) in args.iter_mut().enumerate().take(taken as usize) {
            *arg = r[n + 1];
        }
        let result = self.world.call(id, args, !c.undef)?;
        r[0] = result;
        if !keeps_args {
            c.undef |= ARGS;
        }
        self.world.trace.push(Event::Helper { id, args, result });
        Ok(c)
    }

    // Calls and returns.

    /// Makes a frame. In the callee R1, R2 and R10 have a value, and nothing else.
    fn enter(&mut self, image: &Image, mut c: Control, r: &mut Regs, callee: u16, back: Back) -> Result<Control, Stop> {
        let depth = c.depth + 1;
        let Some(subprog) = image.subprogs.get(usize::from(callee)) else {
            return Err(Stop::Trap(TrapKind::LeftProgram));
        };
        let before = if subprog.restarts { 0 } else { self.frames[c.depth % FRAMES].before + 1 };
        if before >= image.rules.frames_max || depth >= FRAMES {
            return Err(Stop::Trap(TrapKind::TooManyFrames));
        }
        self.frames[depth % FRAMES] = Frame {
            back,
            to: c.step as u32,
            saved: [r[6], r[7], r[8], r[9], r[10]],
            undef: c.undef,
            before,
            tries: MAY_GOTO_TRIES,
            before_loop: None,
        };
        r[10] = self.world.memory.push_frame(depth, &subprog.shape);
        c.depth = depth;
        c.step = subprog.entry as usize;
        c.undef = ALL & !(bit(Reg::R1) | bit(Reg::R2) | bit(Reg::R10));
        Ok(c)
    }

    /// Returns from a frame; `None` from main.
    fn leave(&mut self, image: &Image, c: Control, r: &mut Regs) -> Result<Option<Control>, Stop> {
        let frame = &self.frames[c.depth % FRAMES];
        if c.undef & bit(Reg::R0) != 0 && (c.depth == 0 || !matches!(frame.back, Back::Caller)) {
            return Err(uninit(bit(Reg::R0)));
        }
        if c.depth == 0 {
            return Ok(None);
        }
        match frame.back {
            Back::Caller => Ok(Some(self.pop(c, r))),
            Back::Loop { site, callee, index, count, ctx } => {
                let done = index + 1;
                if r[0] == 0 && done < count {
                    return self.iterate(image, c, r, Back::Loop { site, callee, index: done, count, ctx }).map(Some);
                }
                r[0] = u64::from(done);
                let mut c = self.pop(c, r);
                c.undef &= !bit(Reg::R0);
                Ok(Some(self.end_loop(c, r, site)))
            }
            Back::Each => {
                let stop = r[0] != 0;
                let mut iteration = self.iterations[c.depth % FRAMES];
                iteration.count += 1;
                let c = self.pop(c, r);
                self.visit_next(image, c, r, iteration, stop).map(Some)
            }
        }
    }

    /// Removes the frame: R6 to R10 are the caller's again, R1 to R5 have no value.
    fn pop(&mut self, mut c: Control, r: &mut Regs) -> Control {
        self.world.memory.pop_frame(c.depth);
        let frame = &self.frames[c.depth % FRAMES];
        r[6..=10].copy_from_slice(&frame.saved);
        c.undef = ARGS | c.undef & bit(Reg::R0) | frame.undef & SAVED;
        c.step = frame.to as usize;
        c.depth -= 1;
        c
    }

    // Helpers that call back.

    /// Kernel: `bpf_loop` (6.1 … 7.3).
    #[doc(alias = "bpf_loop")]
    fn start_loop(&mut self, image: &Image, c: Control, r: &mut Regs, site: u32) -> Result<Control, Stop> {
        // The helper's parameter has 32 bits.
        let (count, ctx, flags) = (r[1] as u32, r[3], r[4]);
        self.world.counted_by_address |= self.world.memory.is_address(r[1]);
        let callee = self.callback(image, HELPER_LOOP, r[2])?;
        let answer = match () {
            () if flags != 0 => EINVAL,
            () if count > LOOPS_MAX => E2BIG,
            () if count == 0 => 0,
            () => {
                let back = Back::Loop { site, callee, index: 0, count, ctx };
                let c = self.enter(image, c, r, callee, back)?;
                return Ok(self.begin_iteration(c, r, site, 0, ctx));
            }
        };
        r[0] = answer as u64;
        Ok(self.end_loop(c, r, site))
    }

    /// Calls the callback again, in a frame of its own.
    fn iterate(&mut self, image: &Image, c: Control, r: &mut Regs, back: Back) -> Result<Control, Stop> {
        let Back::Loop { site, callee, index, ctx, .. } = back else {
            return Ok(c);
        };
        let Some(subprog) = image.subprogs.get(usize::from(callee)) else {
            return Err(Stop::Trap(TrapKind::LeftProgram));
        };
        let frame = &mut self.frames[c.depth % FRAMES];
        frame.back = back;
        frame.tries = MAY_GOTO_TRIES;
        frame.before_loop = None;
        r[10] = self.world.memory.push_frame(c.depth, &subprog.shape);
        let c = Control { step: subprog.entry as usize, ..c };
        Ok(self.begin_iteration(c, r, site, index, ctx))
    }

    fn begin_iteration(&mut self, mut c: Control, r: &mut Regs, site: u32, index: u32, ctx: u64) -> Control {
        r[1..=5].copy_from_slice(&[u64::from(index), ctx, 0, 0, 0]);
        self.world.trace.push(Event::Callback { site, index: r[1], ctx });
        c.undef = ALL & !(bit(Reg::R1) | bit(Reg::R2) | bit(Reg::R10));
        c.fuel = c.fuel.saturating_sub(1);
        c
    }

    /// What an observer sees when a loop is over, in either form.
    fn end_loop(&mut self, mut c: Control, r: &Regs, site: u32) -> Control {
        let defined = !c.undef & (bit(Reg::R0) | SAVED | bit(Reg::R10));
        let shown = |n: usize| if defined >> n & 1 != 0 { r[n] } else { 0 };
        let regs = [shown(0), shown(6), shown(7), shown(8), shown(9), shown(10)];
        let stack = self.world.memory.frame_digest(c.depth);
        self.world.trace.push(Event::LoopEnd { site, regs, defined, stack });
        c.undef |= ARGS;
        c
    }

    /// Kernel: `bpf_for_each_map_elem` (6.1 … 7.3).
    #[doc(alias = "bpf_for_each_map_elem")]
    fn start_each(&mut self, image: &Image, c: Control, r: &mut Regs) -> Result<Control, Stop> {
        let args = [r[1], r[2], r[3], r[4], 0];
        let map = self.world.map(FOR_EACH, Reg::R1, args[0])? as u32;
        let callee = self.callback(image, FOR_EACH, args[1])?;
        if args[3] != 0 {
            return Ok(self.end_each(c, r, args, EINVAL as u64));
        }
        self.visit_next(image, c, r, Iteration { map, callee, count: 0, next: 0, args }, false)
    }

    fn visit_next(
        &mut self,
        image: &Image,
        c: Control,
        r: &mut Regs,
        iteration: Iteration,
        stop: bool,
    ) -> Result<Control, Stop> {
        let Iteration { map, callee, count, next, args } = iteration;
        let World { maps, memory, key, .. } = &mut self.world;
        let visit = match maps.get_mut(map as usize) {
            Some(map) if !stop => map.visit(memory, next)?,
            _ => None,
        };
        let Some(visit) = visit else {
            return Ok(self.end_each(c, r, args, u64::from(count)));
        };
        let len = visit.key.len();
        let bytes = memory.bytes_mut(*key, len);
        bytes.copy_from_slice(&visit.key[..bytes.len()]);
        let key = memory.set_key(*key, len as u32);
        let mut c = self.enter(image, c, r, callee, Back::Each)?;
        self.iterations[c.depth % FRAMES] = Iteration { next: visit.next, ..iteration };
        r[1..=5].copy_from_slice(&[args[0], key, visit.value, args[2], 0]);
        c.undef &= !(bit(Reg::R3) | bit(Reg::R4));
        c.fuel = c.fuel.saturating_sub(1);
        self.world.trace.push(Event::Element { map, index: count, value: visit.value, ctx: args[2] });
        Ok(c)
    }

    fn end_each(&mut self, mut c: Control, r: &mut Regs, args: [u64; 5], result: u64) -> Control {
        r[0] = result;
        c.undef = c.undef & !bit(Reg::R0) | ARGS;
        self.world.trace.push(Event::Helper { id: FOR_EACH, args, result });
        c
    }

    /// The subprogram that R2 of a helper stands for. One that was removed is none of the image's: it may be named, as long
    /// as it is not entered.
    fn callback(&self, image: &Image, helper: i32, addr: u64) -> Result<u16, Stop> {
        let id = self.world.memory.function_at(addr);
        let id = id.ok_or(Stop::Trap(TrapKind::BadArgument { helper, arg: Reg::R2 }))?;
        Ok(image.subprogs.iter().position(|s| s.id == id).map_or(u16::MAX, |n| n as u16))
    }
}

/// The trap of reading registers without a value.
#[cold]
fn uninit(missing: RegSet) -> Stop {
    let reg = Reg::new(missing.trailing_zeros() as u8).unwrap_or(Reg::R0);
    Stop::Trap(TrapKind::UninitRegister(reg))
}
