//! Helpers, as deterministic models.
//!
//! Stands for the `BPF_CALL_n` functions of `kernel/bpf/helpers.c`, `kernel/trace/bpf_trace.c` and `net/core/filter.c`
//! (6.1 … 7.3). Times, random numbers and identities come from the seed of the input; there is one processor, number 0.
//! The two helpers that call back, `bpf_loop` and `bpf_for_each_map_elem`, live in the machine.
//!
//! Left out: every helper that [`arity`] does not know. A call of one ends the run as unsupported.
//!
//! Invariant: the same calls in the same order give the same answers, in every form of a program.

use super::context::{CtxModel, Surroundings};
use super::maps::Map;
use super::memory::{Memory, Stop};
use super::outcome::{RegionName, TrapKind};
use super::trace::{Trace, scramble};
use crate::isa::{Reg, Size};
use crate::kernel::limits::HELPER_LOOP;

const EFAULT: i64 = -14;
const ERANGE: i64 = -34;
const EINVAL: i64 = -22;
/// Nanoseconds of a tick.
const TICK_NS: u64 = 4_000_000;
/// The tick counter starts five minutes before its lower half overflows.
#[doc(alias = "INITIAL_JIFFIES")]
const JIFFIES_AT_BOOT: u64 = (1 << 32) - 300 * 250;
/// Numbers of processes.
const PID_MAX: u64 = 1 << 15;
const COMM: &[u8] = b"loopdiff";
/// Bytes that a helper may be asked to move.
const MOVE_BYTES_MAX: u32 = 1 << 20;
/// Offsets of packet loads from here on count from the network header …
const NETWORK_OFF: i32 = -0x10_0000;
/// … and from here on from the link-layer header.
const LINK_OFF: i32 = -0x20_0000;

/// Numbers of the helpers that are modelled.
mod id {
    pub const MAP_LOOKUP: i32 = 1;
    pub const MAP_UPDATE: i32 = 2;
    pub const MAP_DELETE: i32 = 3;
    pub const PROBE_READ: i32 = 4;
    pub const KTIME: i32 = 5;
    pub const TRACE_PRINTK: i32 = 6;
    pub const RANDOM: i32 = 7;
    pub const PROCESSOR: i32 = 8;
    pub const PID_TGID: i32 = 14;
    pub const UID_GID: i32 = 15;
    pub const COMM: i32 = 16;
    pub const PERF_OUTPUT: i32 = 25;
    pub const SKB_LOAD: i32 = 26;
    pub const NUMA_NODE: i32 = 42;
    pub const PROBE_READ_KERNEL: i32 = 113;
    pub const JIFFIES: i32 = 118;
    pub const KTIME_BOOT: i32 = 125;
    pub const RING_OUTPUT: i32 = 130;
    pub const RING_RESERVE: i32 = 131;
    pub const RING_SUBMIT: i32 = 132;
    pub const RING_DISCARD: i32 = 133;
    pub const RING_QUERY: i32 = 134;
    pub const KTIME_COARSE: i32 = 160;
    pub const FOR_EACH: i32 = 164;
    pub const STRNCMP: i32 = 182;
}

/// Helper `bpf_for_each_map_elem`.
pub(super) const FOR_EACH: i32 = id::FOR_EACH;

/// Whether what a helper answers depends on the moment or on who asks, and so on the seed of the input.
pub(crate) fn answers_from_seed(helper: i32) -> bool {
    matches!(helper, id::KTIME | id::KTIME_BOOT | id::KTIME_COARSE | id::JIFFIES | id::RANDOM | id::PID_TGID)
}

/// How many arguments a helper takes; `None` when it is not modelled.
pub(super) fn arity(helper: i32) -> Option<u8> {
    Some(match helper {
        id::KTIME | id::RANDOM | id::PROCESSOR | id::PID_TGID | id::UID_GID => 0,
        id::NUMA_NODE | id::JIFFIES | id::KTIME_BOOT | id::KTIME_COARSE => 0,
        id::MAP_LOOKUP | id::MAP_DELETE | id::COMM | id::RING_SUBMIT | id::RING_DISCARD | id::RING_QUERY => 2,
        // A format's own arguments are variable; see `format_arguments`.
        id::TRACE_PRINTK => 2,
        id::PROBE_READ | id::PROBE_READ_KERNEL | id::RING_RESERVE | id::STRNCMP => 3,
        id::MAP_UPDATE | id::SKB_LOAD | id::RING_OUTPUT | id::FOR_EACH | HELPER_LOOP => 4,
        id::PERF_OUTPUT => 5,
        _ => return None,
    })
}

/// Everything around a running program.
#[derive(Debug)]
pub(super) struct World {
    pub memory: Memory,
    pub maps: Vec<Map>,
    pub trace: Trace,
    pub around: Surroundings,
    pub model: &'static CtxModel,
    /// A loop of the helper took half of an address for its count.
    pub counted_by_address: bool,
    /// Where the key of an iteration over a map is put.
    pub key: u32,
    clock: u64,
    random: u64,
    pid: u64,
}

impl World {
    pub(super) fn new() -> World {
        World {
            memory: Memory::new(),
            maps: Vec::new(),
            trace: Trace::default(),
            around: Surroundings::default(),
            model: &CtxModel::BYTES,
            counted_by_address: false,
            key: 0,
            clock: 0,
            random: 0,
            pid: 1,
        }
    }

    /// Sets what helpers answer from.
    pub(super) fn seed(&mut self, seed: u64) {
        self.random = scramble(seed);
        // Of every order of magnitude up to three days: all bits of a time differ in some pair of runs.
        let magnitude = scramble(seed ^ 2) % 16;
        self.clock = 1_000_000 + (scramble(seed ^ 1) >> (16 + magnitude));
        self.pid = 1 + scramble(seed ^ 3) % PID_MAX;
    }

    /// Calls a helper. `defined` says which registers have a value: some helpers take a variable number.
    pub(super) fn call(&mut self, helper: i32, args: [u64; 5], defined: u16) -> Result<u64, Stop> {
        let [a, b, c, d, e] = args;
        match helper {
            id::MAP_LOOKUP | id::MAP_UPDATE | id::MAP_DELETE => self.map_operation(helper, args),
            id::PROBE_READ if Memory::is_of_user(c) => self.probe_read(a, b as u32, c),
            id::PROBE_READ | id::PROBE_READ_KERNEL => self.probe_read_kernel(a, b as u32, c),
            id::KTIME | id::KTIME_BOOT | id::KTIME_COARSE => Ok(self.time()),
            id::JIFFIES => Ok(JIFFIES_AT_BOOT + self.time() / TICK_NS),
            id::TRACE_PRINTK => self.trace_printk(a, b as u32, [c, d, e], defined),
            id::RANDOM => {
                self.random = scramble(self.random);
                Ok(self.random >> 32)
            }
            id::PROCESSOR | id::NUMA_NODE | id::UID_GID => Ok(0),
            id::PID_TGID => Ok(self.pid << 32 | self.pid),
            id::COMM => self.current_comm(a, b as u32),
            id::PERF_OUTPUT => {
                self.expect_ctx(helper, a)?;
                let map = self.map(helper, Reg::R2, b)?;
                let answer = self.maps[map].perf_output(c)?;
                self.take(d, e as u32)?;
                Ok(answer as u64)
            }
            id::SKB_LOAD => {
                self.expect_ctx(helper, a)?;
                self.skb_load(b as u32, c, d as u32)
            }
            id::RING_OUTPUT | id::RING_RESERVE | id::RING_QUERY => self.ring_operation(helper, args),
            id::RING_SUBMIT | id::RING_DISCARD => self.ring_commit(helper, a),
            id::STRNCMP => self.strncmp(a, b as u32, c),
            _ => Err(Stop::Unsupported(format!("helper {helper}").into())),
        }
    }

    /// The map that an argument stands for, as an index that exists.
    pub(super) fn map(&self, helper: i32, arg: Reg, addr: u64) -> Result<usize, Stop> {
        let map = self.memory.map_at(addr).map(|m| m as usize).filter(|m| *m < self.maps.len());
        map.ok_or(Stop::Trap(TrapKind::BadArgument { helper, arg }))
    }

    fn expect_ctx(&self, helper: i32, addr: u64) -> Result<(), Stop> {
        if addr == self.around.ctx { Ok(()) } else { Err(Stop::Trap(TrapKind::BadArgument { helper, arg: Reg::R1 })) }
    }

    fn time(&mut self) -> u64 {
        self.clock += 1000 + (scramble(self.clock) & 0xff);
        self.clock
    }

    /// Reads an argument that points to memory.
    fn take(&self, addr: u64, len: u32) -> Result<Vec<u8>, Stop> {
        let mut bytes = Vec::new();
        if len > MOVE_BYTES_MAX {
            return Err(Stop::Unsupported("a helper's argument of more than 1 MiB".into()));
        }
        self.memory.read_bytes(addr, len, &mut bytes)?;
        Ok(bytes)
    }

    fn put(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Stop> {
        self.memory.write_bytes(addr, bytes)
    }

    fn put_zeros(&mut self, addr: u64, len: u32) -> Result<(), Stop> {
        if len > MOVE_BYTES_MAX {
            return Err(Stop::Unsupported("a helper's argument of more than 1 MiB".into()));
        }
        self.put(addr, &vec![0; len as usize])
    }

    fn map_operation(&mut self, helper: i32, [map, key, value, flags, _]: [u64; 5]) -> Result<u64, Stop> {
        let map = self.map(helper, Reg::R1, map)?;
        let key = self.take(key, self.maps[map].key_size())?;
        match helper {
            id::MAP_LOOKUP => self.maps[map].lookup(&mut self.memory, &key),
            id::MAP_DELETE => self.maps[map].delete(&key).map(|r| r as u64),
            _ => {
                let value = self.take(value, self.maps[map].value_size())?;
                self.maps[map].update(&mut self.memory, &key, &value, flags).map(|r| r as u64)
            }
        }
    }

    /// `bpf_probe_read_kernel`: an address that no kernel memory has is another error than one where nothing is.
    ///
    /// Kernel: `copy_from_kernel_nofault` (6.1 … 7.3).
    #[doc(alias = "copy_from_kernel_nofault")]
    fn probe_read_kernel(&mut self, to: u64, len: u32, from: u64) -> Result<u64, Stop> {
        if self.memory.is_of_kernel(from) {
            return self.probe_read(to, len, from);
        }
        if len > MOVE_BYTES_MAX {
            return Err(Stop::Unsupported("a helper's argument of more than 1 MiB".into()));
        }
        self.put_zeros(to, len)?;
        Ok(ERANGE as u64)
    }

    /// Copies what can be read, else zeros and an error.
    fn probe_read(&mut self, to: u64, len: u32, from: u64) -> Result<u64, Stop> {
        if len > MOVE_BYTES_MAX {
            return Err(Stop::Unsupported("a helper's argument of more than 1 MiB".into()));
        }
        let mut bytes = Vec::with_capacity(len as usize);
        for n in 0..u64::from(len) {
            match self.memory.probe_byte(from.wrapping_add(n))? {
                Some(byte) => bytes.push(byte),
                None => {
                    self.put_zeros(to, len)?;
                    return Ok(EFAULT as u64);
                }
            }
        }
        self.put(to, &bytes)?;
        Ok(0)
    }

    fn current_comm(&mut self, to: u64, len: u32) -> Result<u64, Stop> {
        let Some(room) = len.checked_sub(1) else {
            return Ok(EINVAL as u64);
        };
        self.put_zeros(to, len)?;
        let shown = COMM.get(..room as usize).unwrap_or(COMM);
        self.put(to, shown)?;
        Ok(0)
    }

    fn skb_load(&mut self, off: u32, to: u64, len: u32) -> Result<u64, Stop> {
        if !self.model.is_skb() {
            return Err(Stop::Unsupported("skb_load_bytes without a packet".into()));
        }
        let (start, total) = self.around.packet_bytes;
        let visible = total.saturating_sub(self.around.data);
        if off > visible || len > visible - off {
            self.put_zeros(to, len)?;
            return Ok(EFAULT as u64);
        }
        let bytes = self.memory.bytes(start + self.around.data + off, len as usize).to_vec();
        self.put(to, &bytes)?;
        Ok(0)
    }

    /// The value of a packet load, or `None` outside of the packet.
    ///
    /// Kernel: `bpf_skb_load_helper_8` and its sisters (6.1 … 7.3).
    #[doc(alias = "bpf_skb_load_helper_8")]
    pub(super) fn load_packet(&self, size: Size, off: i32) -> Option<u64> {
        let off = i64::from(off);
        let from = match off {
            0.. => off + i64::from(self.around.data),
            _ if off >= i64::from(NETWORK_OFF) => off - i64::from(NETWORK_OFF) + 14,
            _ if off >= i64::from(LINK_OFF) => off - i64::from(LINK_OFF),
            _ => return None,
        };
        let (start, total) = self.around.packet_bytes;
        let from = u32::try_from(from).ok().filter(|f| f.checked_add(size.bytes()).is_some_and(|end| end <= total))?;
        let bytes = self.memory.bytes(start + from, size.bytes() as usize);
        Some(bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    fn ring_operation(&mut self, helper: i32, [map, b, c, d, _]: [u64; 5]) -> Result<u64, Stop> {
        const WAKEUP_FLAGS: u64 = 3;
        let map = self.map(helper, Reg::R1, map)?;
        match helper {
            id::RING_QUERY => self.maps[map].query(b),
            id::RING_RESERVE if c != 0 => Ok(0),
            id::RING_RESERVE => Ok(self.maps[map].reserve(&mut self.memory, b)?.map_or(0, |(addr, _)| addr)),
            _ if d & !WAKEUP_FLAGS != 0 => Ok(EINVAL as u64),
            _ => {
                let bytes = self.take(b, u32::try_from(c).unwrap_or(u32::MAX))?;
                self.maps[map].output(&mut self.memory, &bytes).map(|r| r as u64)
            }
        }
    }

    fn ring_commit(&mut self, helper: i32, sample: u64) -> Result<u64, Stop> {
        let bad = Stop::Trap(TrapKind::BadArgument { helper, arg: Reg::R1 });
        let Some((start, RegionName::Record(map))) = self.memory.region_starting(sample) else {
            return Err(bad);
        };
        let committed = self.maps.get_mut(map as usize).is_some_and(|m| m.commit(start, helper == id::RING_SUBMIT));
        if !committed {
            return Err(bad);
        }
        self.memory.end_region(sample);
        Ok(0)
    }

    fn strncmp(&mut self, left: u64, len: u32, right: u64) -> Result<u64, Stop> {
        for (n, x) in (0u64..).zip(self.take(left, len)?) {
            let y = self.memory.load_byte(right.wrapping_add(n))?;
            if x != y {
                return Ok(if x < y { -1i64 as u64 } else { 1 });
            }
            if x == 0 {
                break;
            }
        }
        Ok(0)
    }

    /// `bpf_trace_printk`: prints nowhere and gives the length of what it would print.
    fn trace_printk(&mut self, format: u64, len: u32, args: [u64; 3], defined: u16) -> Result<u64, Stop> {
        let text = self.take(format, len)?;
        let Some((0, text)) = text.split_last() else {
            return Ok(EINVAL as u64);
        };
        let mut length = 0;
        let mut args = (3..).zip(args);
        let mut rest = text.iter().copied().take_while(|c| *c != 0);
        while let Some(c) = rest.next() {
            if !c.is_ascii_graphic() && !matches!(c, b' ' | 9..=13) {
                return Ok(EINVAL as u64);
            }
            if c != b'%' {
                length += 1;
                continue;
            }
            let mut wide = false;
            let mut specifier = rest.next();
            while specifier == Some(b'l') {
                wide = true;
                specifier = rest.next();
            }
            if specifier == Some(b'%') && !wide {
                length += 1;
                continue;
            }
            let Some((reg, value)) = args.next() else {
                return Ok(EINVAL as u64);
            };
            if defined >> reg & 1 == 0 {
                let reg = Reg::new(reg).unwrap_or(Reg::R5);
                return Err(Stop::Trap(TrapKind::UninitRegister(reg)));
            }
            length += match (specifier, wide) {
                (Some(b'd' | b'i'), true) => (value as i64).to_string().len(),
                (Some(b'd' | b'i'), false) => (value as i32).to_string().len(),
                (Some(b'u'), true) => value.to_string().len(),
                (Some(b'u'), false) => (value as u32).to_string().len(),
                (Some(b'x'), true) => format!("{value:x}").len(),
                (Some(b'x'), false) => format!("{:x}", value as u32).len(),
                _ => return Err(Stop::Unsupported("this format of trace_printk".into())),
            };
        }
        Ok(length as u64)
    }
}
