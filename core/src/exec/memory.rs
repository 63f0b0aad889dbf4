//! Memory in which every pointer knows what it points into.
//!
//! An address is `0xffff_8000 ^ slot` in the upper half and a place in the lower half. A slot is a region: a frame, the
//! context, the packet, a value of a map, a record. Regions are small and lie near the middle of their 4 GiB, so that no
//! offset that a verifier lets through leads from one to another. Slots and places depend on the layout seed alone and on
//! the order in which regions come to be, which is the same in all forms of a program. Addresses are negative and large,
//! as a kernel's are; 0 is NULL. Layouts 4n have addresses of four-level page tables, the others of five-level ones.
//!
//! A frame has a block of its own by depth, a place that is new for each invocation, and one bit a byte that says whether
//! the byte was written in this invocation.
//!
//! Invariant: no access leaves its region, none reads a stack byte that this invocation did not write unless the rules
//! give that a value, and none but those of an inlined loop touch its slots.

use super::UninitStackRead;
use super::context::{CtxField, CtxModel};
use super::outcome::{RegionName, TrapKind};
use super::trace::{mix, scramble};
use std::borrow::Cow;

/// Bytes of a frame's block; the frame pointer is its end.
pub(super) const FRAME_BLOCK: usize = 1024;
/// Frames that there can be.
pub(super) const FRAMES: usize = 256;
/// Bytes that can be addressed beyond all stack.
pub(super) const BYTES_MAX: usize = 64 << 20;

const WORDS: usize = FRAME_BLOCK / 64;
const CTX: usize = FRAMES;
const PACKET: usize = FRAMES + 1;
const KEY: usize = FRAMES + 2;
const FIRST_DYNAMIC: usize = FRAMES + 3;
const MAP_OBJECT: u32 = 0x7e00;
const FUNCTION: u32 = 0x7f00;
const SLOTS: u32 = 0x8000;
/// The upper half of an address without its slot.
const KERNEL_HALF: u32 = 0xffff_8000;
/// What five-level page tables leave open in it.
const FIVE_LEVELS: u32 = 0x00ff_0000;
/// Where places start.
const MIDDLE: u32 = 0x4000_0000;
/// Addresses below are NULL with an offset.
const FIRST_PAGE: u64 = 4096;

/// Why an access cannot be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// The program must not do this.
    Trap(TrapKind),
    /// This is not modelled.
    Unsupported(Cow<'static, str>),
}

/// How a region behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Kind {
    /// A frame whose own bytes lie apart from the slots of inlined loops.
    #[default]
    Frame,
    /// A frame whose own bytes overlap with the slots of inlined loops: a broken form.
    SharedFrame,
    /// Bytes that can be read and written.
    Plain,
    /// Bytes that can be read.
    ReadOnly,
    /// A context with fields that are not bytes.
    Context,
}

#[derive(Clone, Copy, Debug)]
struct Region {
    /// Place of the first byte.
    lo: u32,
    /// Bytes.
    len: u32,
    /// Index of the first byte.
    start: u32,
    kind: Kind,
    name: RegionName,
}

/// The stack that a subprogram may use, in bytes below R10.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct StackShape {
    /// The program's own bytes.
    pub own: u16,
    /// All bytes, the slots of inlined loops included.
    pub depth: u16,
    /// The own bytes, from the frame pointer down, in which all forms hold the same.
    pub same: u16,
    /// The slots of inlined loops: lowest offset and the one after the highest; equal when there are none.
    pub spill: (i16, i16),
    /// How the own bytes behave.
    kind: Kind,
    /// The first word of the bits of written bytes that the frame can use.
    first_word: u8,
}

impl StackShape {
    /// A shape from the own bytes, all bytes, and the slots of inlined loops.
    pub(super) fn new(own: u16, depth: u16, spill: (i16, i16)) -> StackShape {
        let deepest = usize::from(depth.max(own)).min(FRAME_BLOCK);
        let first_word = ((FRAME_BLOCK - deepest) / 64) as u8;
        let shape = StackShape { own, depth, same: own, spill, kind: Kind::Frame, first_word };
        let shared = shape.touches_spill(-i64::from(own), u32::from(own));
        StackShape { kind: if shared { Kind::SharedFrame } else { Kind::Frame }, ..shape }
    }

    /// The same, when not all of the own bytes hold the same in all forms.
    pub(super) fn sharing(self, same: u16) -> StackShape {
        StackShape { same, ..self }
    }

    /// Whether an access touches the slots of inlined loops.
    pub(super) fn touches_spill(&self, off: i64, size: u32) -> bool {
        off < i64::from(self.spill.1) && off + i64::from(size) > i64::from(self.spill.0)
    }
}

/// The memory of one run.
#[derive(Debug)]
pub(super) struct Memory {
    bytes: Vec<u8>,
    regions: Vec<Region>,
    written: [[u64; WORDS]; FRAMES],
    shapes: [StackShape; FRAMES],
    generation: u32,
    /// How many frames there are.
    live: usize,
    tag: u32,
    salt: u64,
    flip: u32,
    uninit: UninitStackRead,
    context: &'static CtxModel,
}

impl Memory {
    pub(super) fn new() -> Memory {
        Memory {
            bytes: vec![0; FRAMES * FRAME_BLOCK],
            regions: Vec::new(),
            written: [[0; WORDS]; FRAMES],
            shapes: [StackShape::default(); FRAMES],
            generation: 0,
            live: 0,
            tag: 0,
            salt: 0,
            flip: 0,
            uninit: UninitStackRead::Trap,
            context: &CtxModel::BYTES,
        }
    }

    /// Empties the memory. Seeds 4n to 4n + 3 differ from each other in every variable bit, in pairs.
    pub(super) fn reset(&mut self, layout_seed: u64, uninit: UninitStackRead, context: &'static CtxModel) {
        self.salt = scramble(layout_seed >> 2);
        self.flip = [0, !0, 0x5555_5555, 0xaaaa_aaaa][(layout_seed & 3) as usize];
        let variable = ((self.salt >> 40) as u32 ^ self.flip) & (SLOTS - 1);
        self.tag = KERNEL_HALF ^ self.flip & FIVE_LEVELS | variable;
        self.generation = 0;
        self.live = 0;
        self.uninit = uninit;
        self.context = context;
        self.bytes.truncate(FRAMES * FRAME_BLOCK);
        let nothing = Region { lo: 0, len: 0, start: 0, kind: Kind::Plain, name: RegionName::Frame };
        self.regions.clear();
        self.regions.resize(FIRST_DYNAMIC, nothing);
    }

    // Addresses.

    fn address(&self, slot: u32, lo: u32) -> u64 {
        u64::from(self.tag ^ slot) << 32 | u64::from(lo)
    }

    /// Whether an address is one of user space. The guests have page tables of four levels.
    pub(super) fn is_of_user(addr: u64) -> bool {
        const USER_END: u64 = (1 << 47) - 4096;
        addr < USER_END
    }

    /// Whether an address may be one of the kernel's: with as many equal bits at its upper end as page tables ask for, and not on
    /// the page that programs of old call.
    ///
    /// Kernel: `copy_from_kernel_nofault_allowed` of x86 (6.1 … 7.3).
    #[doc(alias = "copy_from_kernel_nofault_allowed")]
    pub(super) fn is_of_kernel(&self, addr: u64) -> bool {
        const VSYSCALL_PAGE: u64 = 0xffff_ffff_ff60_0000;
        let address_bits = if self.flip & FIVE_LEVELS != 0 { 57 } else { 48 };
        (addr as i64) >> (address_bits - 1) == -1 && addr & !4095 != VSYSCALL_PAGE
    }

    /// Whether a number is an address of this memory.
    pub(super) fn is_address(&self, addr: u64) -> bool {
        self.slot(addr) < SLOTS as usize
    }

    #[inline(always)]
    fn slot(&self, addr: u64) -> usize {
        ((addr >> 32) as u32 ^ self.tag) as usize
    }

    /// A place that depends on the seed and on `of`; `align` is a power of two.
    fn place(&self, of: u64, align: u32) -> u32 {
        MIDDLE + ((scramble(self.salt ^ of) as u32 ^ self.flip) & 0x0fff_ffff & !(align - 1))
    }

    /// The address that stands for a map.
    pub(super) fn map_address(&self, map: u32) -> u64 {
        self.address(MAP_OBJECT + (map & 0xff), self.place(1 << 32 | u64::from(map), 64))
    }

    /// The map that an address stands for.
    pub(super) fn map_at(&self, addr: u64) -> Option<u32> {
        let map = (self.slot(addr) as u32).wrapping_sub(MAP_OBJECT);
        (map < 0x100 && self.map_address(map) == addr).then_some(map)
    }

    /// The address that stands for a subprogram, by its number in the original program.
    pub(super) fn function_address(&self, id: u16) -> u64 {
        self.address(FUNCTION + u32::from(id & 0xff), self.place(2 << 32 | u64::from(id), 16))
    }

    /// The subprogram that an address stands for.
    pub(super) fn function_at(&self, addr: u64) -> Option<u16> {
        let id = (self.slot(addr) as u32).wrapping_sub(FUNCTION);
        (id < 0x100 && self.function_address(id as u16) == addr).then_some(id as u16)
    }

    // Regions.

    /// Adds bytes that are zero, without a region; gives the index of the first.
    pub(super) fn add_bytes(&mut self, len: usize) -> u32 {
        let start = self.bytes.len();
        self.bytes.resize(start + len, 0);
        start as u32
    }

    /// The bytes at an index; shorter when there are not so many.
    pub(super) fn bytes_mut(&mut self, start: u32, len: usize) -> &mut [u8] {
        let start = (start as usize).min(self.bytes.len());
        let end = (start + len).min(self.bytes.len());
        &mut self.bytes[start..end]
    }

    /// The bytes at an index; shorter when there are not so many.
    pub(super) fn bytes(&self, start: u32, len: usize) -> &[u8] {
        let start = (start as usize).min(self.bytes.len());
        let end = (start + len).min(self.bytes.len());
        &self.bytes[start..end]
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The context, from an index on; gives its address.
    pub(super) fn set_ctx(&mut self, start: u32, len: u32, kind: Kind) -> u64 {
        self.set_region(CTX, Region { lo: self.place(3 << 32, 64), len, start, kind, name: RegionName::Ctx })
    }

    /// The packet. Its first byte lies `shift` bytes above a multiple of `align`.
    pub(super) fn set_packet(&mut self, start: u32, len: u32, kind: Kind, align: u32, shift: u32) -> u64 {
        let lo = self.place(4 << 32, align) + shift;
        self.set_region(PACKET, Region { lo, len, start, kind, name: RegionName::Packet })
    }

    /// The key that an iteration hands out.
    pub(super) fn set_key(&mut self, start: u32, len: u32) -> u64 {
        let lo = self.place(5 << 32, 8);
        self.set_region(KEY, Region { lo, len, start, kind: Kind::ReadOnly, name: RegionName::Key })
    }

    fn set_region(&mut self, slot: usize, region: Region) -> u64 {
        if let Some(r) = self.regions.get_mut(slot) {
            *r = region;
        }
        self.address(slot as u32, region.lo)
    }

    /// A new region over bytes that exist; gives its address.
    pub(super) fn add_region(&mut self, start: u32, len: u32, kind: Kind, name: RegionName) -> Result<u64, Stop> {
        let slot = self.regions.len() as u32;
        if slot >= MAP_OBJECT {
            return Err(Stop::Unsupported("more than 32000 map values in use".into()));
        }
        let lo = self.place(6 << 32 | u64::from(slot), 16);
        self.regions.push(Region { lo, len, start, kind, name });
        Ok(self.address(slot, lo))
    }

    /// What starts exactly at an address: the index of its first byte, and its name.
    pub(super) fn region_starting(&self, addr: u64) -> Option<(u32, RegionName)> {
        let r = self.regions.get(self.slot(addr))?;
        (r.lo == addr as u32).then_some((r.start, r.name))
    }

    /// Ends a region: every use of a pointer into it traps from now on.
    pub(super) fn end_region(&mut self, addr: u64) {
        let slot = self.slot(addr);
        if let Some(r) = self.regions.get_mut(slot) {
            r.len = 0;
        }
    }

    // Frames.

    /// Makes the frame of a new invocation; gives its frame pointer.
    pub(super) fn push_frame(&mut self, frame: usize, shape: &StackShape) -> u64 {
        let frame = frame % FRAMES;
        self.generation = self.generation.wrapping_add(1) & 0xf_ffff;
        let own = u32::from(shape.own);
        let end = self.place(frame as u64, 16) + self.generation * FRAME_BLOCK as u32;
        let start = ((frame + 1) * FRAME_BLOCK) as u32 - own;
        if let Some(words) = self.written[frame].get_mut(usize::from(shape.first_word)..) {
            words.iter_mut().for_each(|w| *w = 0);
        }
        self.shapes[frame] = *shape;
        self.live = frame + 1;
        self.set_region(frame, Region { lo: end - own, len: own, start, kind: shape.kind, name: RegionName::Frame });
        self.address(frame as u32, end)
    }

    /// Ends a frame.
    pub(super) fn pop_frame(&mut self, frame: usize) {
        self.live = frame;
        if let Some(r) = self.regions.get_mut(frame % FRAMES) {
            r.len = 0;
        }
    }

    /// Digest of the own bytes of a frame that all forms share, and of which were written.
    pub(super) fn frame_digest(&self, frame: usize) -> u64 {
        let frame = frame % FRAMES;
        let own = usize::from(self.shapes[frame].same).min(FRAME_BLOCK);
        let mut hash = 0;
        for at in (FRAME_BLOCK - own) / 8..FRAME_BLOCK / 8 {
            let mask = (self.written[frame][at / 8] >> (at % 8 * 8)) as u8;
            if mask == 0 {
                continue;
            }
            let mut word = [0; 8];
            for (n, byte) in word.iter_mut().enumerate() {
                let inside = at * 8 + n >= FRAME_BLOCK - own;
                if inside && mask >> n & 1 != 0 {
                    *byte = self.bytes[frame * FRAME_BLOCK + at * 8 + n];
                }
            }
            let inside = if at * 8 < FRAME_BLOCK - own { mask & (0xff << ((FRAME_BLOCK - own) % 8)) } else { mask };
            hash = mix(mix(hash, at as u64 | u64::from(inside) << 32), u64::from_le_bytes(word));
        }
        hash
    }

    #[inline(always)]
    fn is_written<const N: usize>(&self, frame: usize, at: usize) -> bool {
        let bits = u64::MAX >> (64 - N);
        let word = self.written[frame % FRAMES][at / 64 % WORDS];
        at % 64 + N <= 64 && word >> (at % 64) & bits == bits
    }

    #[inline(always)]
    fn set_written<const N: usize>(&mut self, frame: usize, at: usize) {
        let bits = u64::MAX >> (64 - N);
        let words = &mut self.written[frame % FRAMES];
        words[at / 64 % WORDS] |= bits << (at % 64);
        if at % 64 + N > 64 {
            words[(at / 64 + 1) % WORDS] |= bits >> (64 - at % 64);
        }
    }

    fn byte_is_written(&self, frame: usize, at: usize) -> bool {
        self.written[frame % FRAMES][at / 64 % WORDS] >> (at % 64) & 1 != 0
    }

    /// What a stack byte holds that nobody wrote: the same in all forms, another one for another layout.
    fn unwritten(&self, frame: usize, at: usize) -> u8 {
        let lo = self.regions.get(frame).map_or(0, |r| r.lo);
        scramble(self.address(frame as u32, lo) ^ (at as u64) << 48) as u8
    }

    // Accesses. The short ones answer for what is common and in order; the slow ones answer for all.

    #[inline(always)]
    fn read<const N: usize>(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at + N)?;
        let mut word = [0; 8];
        word[..N].copy_from_slice(bytes);
        Some(u64::from_le_bytes(word))
    }

    #[inline(always)]
    fn write<const N: usize>(&mut self, at: usize, value: u64) -> bool {
        let Some(bytes) = self.bytes.get_mut(at..at + N) else {
            return false;
        };
        bytes.copy_from_slice(&value.to_le_bytes()[..N]);
        true
    }

    /// Loads from the own frame at a place that was checked before.
    #[inline(always)]
    pub(super) fn fill<const N: usize>(&self, frame: usize, at: usize) -> Option<u64> {
        if !self.is_written::<N>(frame, at) {
            return None;
        }
        self.read::<N>(frame % FRAMES * FRAME_BLOCK + at)
    }

    /// Stores to the own frame at a place that was checked before.
    #[inline(always)]
    pub(super) fn spill<const N: usize>(&mut self, frame: usize, at: usize, value: u64) {
        self.set_written::<N>(frame, at);
        self.write::<N>(frame % FRAMES * FRAME_BLOCK + at, value);
    }

    /// Loads a value, zero-extended; `None` sends the caller to [`Memory::load_slow`].
    #[inline(always)]
    pub(super) fn load<const N: usize>(&self, addr: u64) -> Option<u64> {
        let slot = self.slot(addr);
        let r = self.regions.get(slot)?;
        let off = (addr as u32).wrapping_sub(r.lo);
        if u64::from(off) + N as u64 > u64::from(r.len) {
            return None;
        }
        let at = r.start as usize + off as usize;
        match r.kind {
            Kind::Plain | Kind::ReadOnly => self.read::<N>(at),
            Kind::Frame if self.is_written::<N>(slot, at % FRAME_BLOCK) => self.read::<N>(at),
            _ => None,
        }
    }

    /// Stores the low bytes of a value; `false` sends the caller to [`Memory::store_slow`].
    #[inline(always)]
    pub(super) fn store<const N: usize>(&mut self, addr: u64, value: u64) -> bool {
        let slot = self.slot(addr);
        let Some(r) = self.regions.get(slot) else {
            return false;
        };
        let off = (addr as u32).wrapping_sub(r.lo);
        if u64::from(off) + N as u64 > u64::from(r.len) {
            return false;
        }
        let at = r.start as usize + off as usize;
        match r.kind {
            Kind::Plain => self.write::<N>(at, value),
            Kind::Frame => {
                self.set_written::<N>(slot, at % FRAME_BLOCK);
                self.write::<N>(at, value)
            }
            _ => false,
        }
    }

    /// Loads up to eight bytes, zero-extended, or says why not.
    #[cold]
    pub(super) fn load_slow(&self, addr: u64, size: u32) -> Result<u64, Stop> {
        let (slot, r, off) = self.locate(addr, size)?;
        if r.kind == Kind::Context
            && let Some(field) = self.context.field(off, size)
        {
            return self.load_field(field, off, size);
        }
        let mut word = [0; 8];
        for (n, byte) in word.iter_mut().take(size as usize).enumerate() {
            let at = r.start as usize + off as usize + n;
            *byte = self.bytes.get(at).copied().unwrap_or(0);
            if slot < FRAMES && !self.byte_is_written(slot, at % FRAME_BLOCK) {
                if self.uninit == UninitStackRead::Trap {
                    return Err(Stop::Trap(TrapKind::UninitStack { off: i64::from(off) - i64::from(r.len), size }));
                }
                *byte = self.unwritten(slot, at % FRAME_BLOCK);
            }
        }
        Ok(u64::from_le_bytes(word))
    }

    /// Loads from the own frame at a place that was checked before, where not every byte was written.
    #[cold]
    pub(super) fn fill_slow(&self, frame: usize, at: usize, size: u32) -> Result<u64, Stop> {
        let mut word = [0; 8];
        for (n, byte) in word.iter_mut().take(size as usize).enumerate() {
            *byte = match self.byte_is_written(frame, at + n) {
                true => self.bytes.get(frame % FRAMES * FRAME_BLOCK + at + n).copied().unwrap_or(0),
                false if self.uninit == UninitStackRead::Trap => {
                    return Err(Stop::Trap(TrapKind::UninitStack { off: at as i64 - FRAME_BLOCK as i64, size }));
                }
                false => self.unwritten(frame, at + n),
            };
        }
        Ok(u64::from_le_bytes(word))
    }

    /// Stores up to eight bytes, or says why not.
    #[cold]
    pub(super) fn store_slow(&mut self, addr: u64, size: u32, value: u64) -> Result<(), Stop> {
        let (slot, r, off) = self.locate(addr, size)?;
        let read_only = match r.kind {
            Kind::ReadOnly => true,
            Kind::Context => !self.context.is_writable(off, size),
            _ => false,
        };
        if read_only {
            return Err(Stop::Trap(TrapKind::ReadOnly { region: r.name, off: i64::from(off) }));
        }
        let at = r.start as usize + off as usize;
        for (n, byte) in value.to_le_bytes().into_iter().take(size as usize).enumerate() {
            if slot < FRAMES {
                self.set_written::<1>(slot, (at + n) % FRAME_BLOCK);
            }
            if let Some(b) = self.bytes.get_mut(at + n) {
                *b = byte;
            }
        }
        Ok(())
    }

    /// The region of an access and the offset in it, or why there is none.
    fn locate(&self, addr: u64, size: u32) -> Result<(usize, Region, u32), Stop> {
        let slot = self.slot(addr);
        let Some(r) = self.regions.get(slot).copied() else {
            let null = addr < FIRST_PAGE;
            return Err(Stop::Trap(if null { TrapKind::NullPointer(addr) } else { TrapKind::WildPointer(addr) }));
        };
        let off = (addr as u32).wrapping_sub(r.lo);
        if slot < FRAMES {
            self.check_frame_access(slot, addr, &r, size)?;
        } else if r.len == 0 && r.name == RegionName::Frame {
            return Err(Stop::Trap(TrapKind::WildPointer(addr)));
        } else if u64::from(off) + u64::from(size) > u64::from(r.len) {
            let off = i64::from(off as i32);
            if r.name == RegionName::Ctx && self.context.is_short(off, size) {
                return Err(Stop::Unsupported(
                    "the context of this input is shorter than what the program uses".into(),
                ));
            }
            return Err(Stop::Trap(TrapKind::OutOfBounds { region: r.name, off, size }));
        }
        Ok((slot, r, off))
    }

    fn check_frame_access(&self, frame: usize, addr: u64, r: &Region, size: u32) -> Result<(), Stop> {
        let shape = &self.shapes[frame % FRAMES];
        let off = i64::from((addr as u32).wrapping_sub(r.lo) as i32) - i64::from(shape.own);
        let kind = if frame >= self.live || off.abs() >= FRAME_BLOCK as i64 {
            TrapKind::DeadFrame(addr)
        } else if shape.touches_spill(off, size) {
            TrapKind::SpillTouched { off, size }
        } else if off + i64::from(size) > 0 {
            TrapKind::OutOfBounds { region: RegionName::Frame, off, size }
        } else if off < -i64::from(shape.own) {
            TrapKind::StackOverrun { off, size }
        } else {
            return Ok(());
        };
        Err(Stop::Trap(kind))
    }

    fn load_field(&self, field: &CtxField, off: u32, size: u32) -> Result<u64, Stop> {
        let packet = &self.regions[PACKET];
        let start = self.address(PACKET as u32, packet.lo);
        let pointer = match field {
            CtxField::Data { .. } | CtxField::DataMeta { .. } => start,
            CtxField::DataEnd { .. } => start + u64::from(packet.len),
            CtxField::NoDataEnd { .. } => 0,
            CtxField::Unsupported { name, .. } => {
                return Err(Stop::Unsupported(format!("context field {name}").into()));
            }
        };
        if off != field.off() || size != 4 {
            let off = i64::from(off);
            return Err(Stop::Trap(TrapKind::OutOfBounds { region: RegionName::Ctx, off, size }));
        }
        Ok(pointer)
    }

    // Accesses of helpers.

    /// Reads bytes for a helper, as a program could.
    pub(super) fn read_bytes(&self, addr: u64, len: u32, out: &mut Vec<u8>) -> Result<(), Stop> {
        out.clear();
        for n in 0..u64::from(len) {
            out.push(self.load_byte(addr.wrapping_add(n))?);
        }
        Ok(())
    }

    /// Reads one byte for a helper.
    pub(super) fn load_byte(&self, addr: u64) -> Result<u8, Stop> {
        match self.load::<1>(addr) {
            Some(byte) => Ok(byte as u8),
            None => self.load_slow(addr, 1).map(|b| b as u8),
        }
    }

    /// Writes bytes for a helper, as a program could.
    pub(super) fn write_bytes(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Stop> {
        for (n, byte) in (0u64..).zip(bytes) {
            if !self.store::<1>(addr.wrapping_add(n), u64::from(*byte)) {
                self.store_slow(addr.wrapping_add(n), 1, u64::from(*byte))?;
            }
        }
        Ok(())
    }

    /// Reads one byte as a kernel that guards against faults: stack bytes that nobody wrote have a value, and what is
    /// nowhere is `None`.
    pub(super) fn probe_byte(&self, addr: u64) -> Result<Option<u8>, Stop> {
        if self.map_at(addr).is_some() || self.slot(addr) as u32 >= MAP_OBJECT && self.slot(addr) < SLOTS as usize {
            return Err(Stop::Unsupported("a probing read of a map or function".into()));
        }
        match self.load_byte(addr) {
            Ok(byte) => Ok(Some(byte)),
            Err(Stop::Trap(TrapKind::UninitStack { .. })) => {
                let (slot, r, off) = self.locate(addr, 1)?;
                Ok(Some(self.unwritten(slot, (r.start as usize + off as usize) % FRAME_BLOCK)))
            }
            Err(Stop::Trap(TrapKind::NullPointer(_) | TrapKind::WildPointer(_))) => Ok(None),
            Err(Stop::Trap(kind)) => {
                Err(Stop::Unsupported(format!("a probing read that leaves its region: {kind}").into()))
            }
            Err(stop) => Err(stop),
        }
    }
}
