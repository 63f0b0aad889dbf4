//! Maps: arrays, hashes, ring buffers, as one processor sees them.
//!
//! Stands for `arraymap.c`, `hashtab.c`, `ringbuf.c` in `kernel/bpf` (6.1 … 7.3) as far as a program can tell. A value that
//! was looked up stays readable after it was deleted or replaced, until its memory is used again, last freed first, as
//! in a preallocated hash. Iteration over a hash goes by age: the kernel's order depends on a random seed. A full LRU hash
//! gives up its oldest entry: the kernel takes one that was not used of late.
//!
//! Left out: all other types; they answer [`Stop::Unsupported`] when they are used.
//!
//! Invariant: the addresses of values depend on the sequence of calls and the layout seed alone.

use super::memory::{Kind, Memory, Stop};
use super::outcome::RegionName;
use crate::kernel::MapType;
use crate::program::MapDef;
use std::collections::BTreeMap;

const ENOENT: i64 = -2;
const E2BIG: i64 = -7;
const EAGAIN: i64 = -11;
const EEXIST: i64 = -17;
const EINVAL: i64 = -22;
const UPDATE_NOEXIST: u64 = 1;
const UPDATE_EXIST: u64 = 2;
const UPDATE_LOCK: u64 = 4;
/// `BPF_F_RDONLY_PROG`.
const PROG_READ_ONLY: u32 = 1 << 7;
const RECORD_HEADER: u64 = 8;
const RECORD_BYTES_MAX: u64 = (u32::MAX / 4) as u64;

/// What kind of map it is, as far as it is modelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    /// `array`, `percpu_array`.
    Array,
    /// `hash`, `percpu_hash`.
    Hash,
    /// `lru_hash`, `lru_percpu_hash`.
    LruHash,
    /// `ringbuf`.
    Ringbuf,
    /// `perf_event_array`, without events.
    PerfEventArray,
    /// Something else.
    Other,
}

impl Family {
    pub(super) fn of(map_type: MapType) -> Family {
        match map_type {
            MapType::Array | MapType::PercpuArray => Family::Array,
            MapType::Hash | MapType::PercpuHash => Family::Hash,
            MapType::LruHash | MapType::LruPercpuHash => Family::LruHash,
            MapType::Ringbuf => Family::Ringbuf,
            MapType::PerfEventArray => Family::PerfEventArray,
            _ => Family::Other,
        }
    }
}

/// Bytes of the values of an array; 0 for other maps. Saturates.
pub(super) fn array_bytes(def: &MapDef) -> u64 {
    match Family::of(def.map_type) {
        Family::Array => u64::from(def.value_size) * u64::from(def.max_entries),
        _ => 0,
    }
}

/// Memory of a value: address of its region, and index of its first byte.
#[derive(Clone, Copy, Debug)]
struct Slot {
    addr: u64,
    start: u32,
}

#[derive(Clone, Debug)]
struct Element {
    slot: Slot,
    age: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RecordState {
    Reserved,
    Submitted,
    Discarded,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    start: u32,
    len: u32,
    state: RecordState,
}

/// One map during a run.
#[derive(Debug)]
pub(super) struct Map {
    index: u32,
    def: MapDef,
    pub(super) family: Family,
    /// Array: index of the first byte of all values.
    values: u32,
    /// Array: address of each value that was looked up; 0 for the others.
    addresses: Vec<u64>,
    table: BTreeMap<Vec<u8>, Element>,
    by_age: BTreeMap<u64, Vec<u8>>,
    next_age: u64,
    free: Vec<Slot>,
    records: Vec<Record>,
    /// Ring buffer: bytes that were ever reserved.
    produced: u64,
}

/// A key and a value that an iteration hands out, and where to go on.
pub(super) struct Visit {
    pub key: Vec<u8>,
    pub value: u64,
    pub next: u64,
}

impl Map {
    pub(super) fn new(index: u32, def: &MapDef) -> Map {
        Map {
            index,
            def: def.clone(),
            family: Family::of(def.map_type),
            values: 0,
            addresses: Vec::new(),
            table: BTreeMap::new(),
            by_age: BTreeMap::new(),
            next_age: 0,
            free: Vec::new(),
            records: Vec::new(),
            produced: 0,
        }
    }

    /// Whether this is the map of a definition.
    pub(super) fn is(&self, def: &MapDef) -> bool {
        self.def == *def
    }

    /// Puts the map into memory as it is before a run.
    pub(super) fn reset(&mut self, memory: &mut Memory) {
        self.table.clear();
        self.by_age.clear();
        self.next_age = 0;
        self.free.clear();
        self.records.clear();
        self.produced = 0;
        self.addresses.clear();
        if self.family != Family::Array {
            return;
        }
        self.addresses.resize(self.def.max_entries as usize, 0);
        self.values = memory.add_bytes(array_bytes(&self.def) as usize);
        let value_size = self.def.value_size;
        for (n, value) in (0..self.def.max_entries).zip(&self.def.init) {
            let len = value.len().min(value_size as usize);
            let bytes = memory.bytes_mut(self.values + n * value_size, len);
            bytes.copy_from_slice(&value[..bytes.len()]);
        }
    }

    /// Bytes of a key.
    pub(super) fn key_size(&self) -> u32 {
        self.def.key_size
    }

    /// Bytes of a value.
    pub(super) fn value_size(&self) -> u32 {
        self.def.value_size
    }

    fn unsupported<T>(&self, what: &str) -> Result<T, Stop> {
        Err(Stop::Unsupported(format!("{what} of a map of type {}", self.def.map_type).into()))
    }

    fn region_kind(&self) -> Kind {
        if self.def.flags & PROG_READ_ONLY != 0 { Kind::ReadOnly } else { Kind::Plain }
    }

    /// The address of a value of an array, 0 beyond its end.
    #[inline]
    pub(super) fn array_value(&mut self, memory: &mut Memory, n: u32) -> Result<u64, Stop> {
        match self.addresses.get(n as usize) {
            None => Ok(0),
            Some(0) => {
                let start = self.values + n * self.def.value_size;
                let name = RegionName::MapValue(self.index);
                let addr = memory.add_region(start, self.def.value_size, self.region_kind(), name)?;
                if let Some(a) = self.addresses.get_mut(n as usize) {
                    *a = addr;
                }
                Ok(addr)
            }
            Some(addr) => Ok(*addr),
        }
    }

    /// The address of the value of a key, 0 when there is none.
    #[doc(alias = "bpf_map_lookup_elem")]
    pub(super) fn lookup(&mut self, memory: &mut Memory, key: &[u8]) -> Result<u64, Stop> {
        match self.family {
            Family::Array => self.array_value(memory, array_index(key)),
            Family::Hash | Family::LruHash => Ok(self.table.get(key).map_or(0, |e| e.slot.addr)),
            _ => self.unsupported("lookup"),
        }
    }

    /// Sets the value of a key; gives 0 or a negative errno.
    #[doc(alias = "bpf_map_update_elem")]
    pub(super) fn update(&mut self, memory: &mut Memory, key: &[u8], value: &[u8], flags: u64) -> Result<i64, Stop> {
        if flags & UPDATE_LOCK != 0 && flags <= 7 {
            return self.unsupported("locked update");
        }
        match self.family {
            Family::Array if flags > UPDATE_EXIST => Ok(EINVAL),
            Family::Array => {
                let n = array_index(key);
                if n >= self.def.max_entries {
                    return Ok(E2BIG);
                }
                if flags == UPDATE_NOEXIST {
                    return Ok(EEXIST);
                }
                let start = self.values + n * self.def.value_size;
                let bytes = memory.bytes_mut(start, value.len());
                bytes.copy_from_slice(&value[..bytes.len()]);
                Ok(0)
            }
            Family::Hash | Family::LruHash if flags > UPDATE_EXIST => Ok(EINVAL),
            Family::Hash | Family::LruHash => self.update_hash(memory, key, value, flags),
            _ => self.unsupported("update"),
        }
    }

    fn update_hash(&mut self, memory: &mut Memory, key: &[u8], value: &[u8], flags: u64) -> Result<i64, Stop> {
        let old = self.table.get(key).map(|e| (e.slot, e.age));
        match old {
            Some(_) if flags == UPDATE_NOEXIST => return Ok(EEXIST),
            None if flags == UPDATE_EXIST => return Ok(ENOENT),
            None if self.table.len() >= self.def.max_entries as usize => {
                if self.family == Family::Hash {
                    return Ok(E2BIG);
                }
                self.evict_oldest();
            }
            _ => {}
        }
        let slot = self.new_slot(memory)?;
        let bytes = memory.bytes_mut(slot.start, value.len());
        bytes.copy_from_slice(&value[..bytes.len()]);
        if let Some((old, age)) = old {
            self.by_age.remove(&age);
            self.free.push(old);
        }
        let age = self.next_age;
        self.next_age += 1;
        self.by_age.insert(age, key.to_vec());
        self.table.insert(key.to_vec(), Element { slot, age });
        Ok(0)
    }

    fn evict_oldest(&mut self) {
        if let Some((_, key)) = self.by_age.pop_first()
            && let Some(element) = self.table.remove(&key)
        {
            self.free.push(element.slot);
        }
    }

    fn new_slot(&mut self, memory: &mut Memory) -> Result<Slot, Stop> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        if memory.len() as u64 + u64::from(self.def.value_size) > 2 * super::memory::BYTES_MAX as u64 {
            return self.unsupported("so many values");
        }
        let start = memory.add_bytes(self.def.value_size as usize);
        let name = RegionName::MapValue(self.index);
        let addr = memory.add_region(start, self.def.value_size, self.region_kind(), name)?;
        Ok(Slot { addr, start })
    }

    /// Removes a key; gives 0 or a negative errno.
    #[doc(alias = "bpf_map_delete_elem")]
    pub(super) fn delete(&mut self, key: &[u8]) -> Result<i64, Stop> {
        match self.family {
            Family::Array => Ok(EINVAL),
            Family::Hash | Family::LruHash => {
                let Some(element) = self.table.remove(key) else {
                    return Ok(ENOENT);
                };
                self.by_age.remove(&element.age);
                self.free.push(element.slot);
                Ok(0)
            }
            _ => self.unsupported("delete"),
        }
    }

    /// The next entry of an iteration that has come to `from`; the first one has 0.
    #[doc(alias = "bpf_for_each_map_elem")]
    pub(super) fn visit(&mut self, memory: &mut Memory, from: u64) -> Result<Option<Visit>, Stop> {
        match self.family {
            Family::Array if from >= u64::from(self.def.max_entries) => Ok(None),
            Family::Array => {
                let value = self.array_value(memory, from as u32)?;
                Ok(Some(Visit { key: (from as u32).to_le_bytes().to_vec(), value, next: from + 1 }))
            }
            Family::Hash | Family::LruHash => {
                let next = self.by_age.range(from..).next();
                Ok(next.and_then(|(age, key)| {
                    let value = self.table.get(key)?.slot.addr;
                    Some(Visit { key: key.clone(), value, next: age + 1 })
                }))
            }
            _ => self.unsupported("iteration"),
        }
    }

    /// Reserves a record of a ring buffer; gives its address and the index of its first byte.
    #[doc(alias = "bpf_ringbuf_reserve")]
    pub(super) fn reserve(&mut self, memory: &mut Memory, size: u64) -> Result<Option<(u64, u32)>, Stop> {
        if self.family != Family::Ringbuf {
            return self.unsupported("reservation");
        }
        // There is no consumer, so all that was ever reserved is still there.
        let produced = self.produced.saturating_add(size.saturating_add(RECORD_HEADER + 7) & !7);
        if size > RECORD_BYTES_MAX || produced >= u64::from(self.def.max_entries) {
            return Ok(None);
        }
        self.produced = produced;
        let start = memory.add_bytes(size as usize);
        self.records.push(Record { start, len: size as u32, state: RecordState::Reserved });
        let addr = memory.add_region(start, size as u32, Kind::Plain, RegionName::Record(self.index))?;
        Ok(Some((addr, start)))
    }

    /// Submits or discards a record by the index of its first byte; false when it was not reserved.
    pub(super) fn commit(&mut self, start: u32, submit: bool) -> bool {
        let state = if submit { RecordState::Submitted } else { RecordState::Discarded };
        let open = self.records.iter_mut().rev().find(|r| r.start == start && r.state == RecordState::Reserved);
        open.map(|r| r.state = state).is_some()
    }

    /// Copies a record into a ring buffer; gives 0 or a negative errno.
    #[doc(alias = "bpf_ringbuf_output")]
    pub(super) fn output(&mut self, memory: &mut Memory, bytes: &[u8]) -> Result<i64, Stop> {
        let Some((addr, start)) = self.reserve(memory, bytes.len() as u64)? else {
            return Ok(EAGAIN);
        };
        memory.bytes_mut(start, bytes.len()).copy_from_slice(bytes);
        memory.end_region(addr);
        self.commit(start, true);
        Ok(0)
    }

    /// Answers a query about a ring buffer: bytes available, size, consumer's and producer's position.
    #[doc(alias = "bpf_ringbuf_query")]
    pub(super) fn query(&self, what: u64) -> Result<u64, Stop> {
        if self.family != Family::Ringbuf {
            return self.unsupported("query");
        }
        Ok(match what {
            0 | 3 => self.produced,
            1 => u64::from(self.def.max_entries),
            _ => 0,
        })
    }

    /// The result of sending an event to a map that holds no events.
    #[doc(alias = "bpf_perf_event_output")]
    pub(super) fn perf_output(&self, flags: u64) -> Result<i64, Stop> {
        const INDEX: u64 = 0xffff_ffff;
        if self.family != Family::PerfEventArray {
            return self.unsupported("event output");
        }
        // The processor is number 0.
        let index = if flags & INDEX == INDEX { 0 } else { flags & INDEX };
        Ok(match index < u64::from(self.def.max_entries) {
            _ if flags & !INDEX != 0 => EINVAL,
            true => ENOENT,
            false => E2BIG,
        })
    }

    /// What an observer sees of the map.
    pub(super) fn dump(&self, memory: &Memory) -> Vec<u8> {
        match self.family {
            Family::Array => memory.bytes(self.values, array_bytes(&self.def) as usize).to_vec(),
            Family::Hash | Family::LruHash => {
                let value = |e: &Element| memory.bytes(e.slot.start, self.def.value_size as usize).to_vec();
                self.table.iter().flat_map(|(k, e)| [k.clone(), value(e)]).flatten().collect()
            }
            Family::Ringbuf => {
                let submitted = self.records.iter().filter(|r| r.state == RecordState::Submitted);
                let bytes = |r: &Record| memory.bytes(r.start, r.len as usize).to_vec();
                submitted.flat_map(|r| [r.len.to_le_bytes().to_vec(), bytes(r)]).flatten().collect()
            }
            Family::PerfEventArray | Family::Other => Vec::new(),
        }
    }
}

/// The index that a key of an array holds.
fn array_index(key: &[u8]) -> u32 {
    key.first_chunk().map_or(u32::MAX, |k| u32::from_le_bytes(*k))
}
