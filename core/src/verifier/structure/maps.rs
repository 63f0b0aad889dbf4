//! The attributes of `BPF_MAP_CREATE`.
//!
//! Left out: map types that are not listed, BTF of keys and values, `map_extra`, and NUMA nodes other than the first. A
//! machine with enough memory for every map is assumed: a verdict needs none of it.

use super::Refusal;
use crate::kernel::{MapType, StructureRules};
use crate::program::{MapDef, Program};
use crate::verifier::Errno;

/// `BPF_F_NO_PREALLOC`.
const NO_PREALLOC: u32 = 1 << 0;
/// `BPF_F_NO_COMMON_LRU`.
const NO_COMMON_LRU: u32 = 1 << 1;
/// `BPF_F_NUMA_NODE`.
const NUMA_NODE: u32 = 1 << 2;
/// `BPF_F_RDONLY` and `BPF_F_WRONLY`: for the syscall side.
const SYSCALL_ACCESS: u32 = 1 << 3 | 1 << 4;
/// `BPF_F_ZERO_SEED`.
const ZERO_SEED: u32 = 1 << 6;
/// `BPF_F_RDONLY_PROG` and `BPF_F_WRONLY_PROG`: for the program side.
const PROG_ACCESS: u32 = 1 << 7 | 1 << 8;
/// `BPF_F_MMAPABLE`.
const MMAPABLE: u32 = 1 << 10;
/// `BPF_F_PRESERVE_ELEMS`.
const PRESERVE_ELEMS: u32 = 1 << 11;
/// `BPF_F_INNER_MAP`.
const INNER_MAP: u32 = 1 << 12;
/// `BPF_F_TOKEN_FD`.
const TOKEN_FD: u32 = 1 << 16;
const ACCESS: u32 = SYSCALL_ACCESS | PROG_ACCESS;
const ARRAY_FLAGS: u32 = NUMA_NODE | MMAPABLE | ACCESS | PRESERVE_ELEMS | INNER_MAP;
const HASH_FLAGS: u32 = NO_PREALLOC | NO_COMMON_LRU | NUMA_NODE | ACCESS | ZERO_SEED;

/// The largest allocation of one piece, `KMALLOC_MAX_SIZE`.
const ALLOCATION_MAX: u64 = 4 << 20;
/// The header of an element of a hash table, `struct htab_elem`.
const HASH_ELEMENT_HEADER: u64 = 48;
/// The largest value that a CPU may have of its own, `PCPU_MIN_UNIT_SIZE`.
const PERCPU_VALUE_MAX: u64 = 32 << 10;
/// The largest key of a table of sockets, `MAX_BPF_STACK`.
const KEY_BYTES_MAX: u32 = 512;
/// The size of a page.
const PAGE: u32 = 4096;
/// The most entries of a table whose buckets of 16 bytes, a power of two of them, take less than 4 GiB.
const TABLE_ENTRIES_MAX: u32 = 1 << 27;

/// Checks every map as it is created, in order.
///
/// Kernel: `map_create`, the `map_alloc_check` and `map_alloc` of each type (6.1 … 7.3).
#[doc(alias = "map_create")]
pub(super) fn check(program: &Program, rules: &StructureRules) -> Result<(), Refusal> {
    for (n, map) in program.maps.iter().enumerate() {
        check_one(map, rules).map_err(|why| match why {
            Fault::Errno(errno, why) => Refusal::rejected(None, errno, format!("(map {n}, {}: {why})", map.map_type)),
            Fault::NotModelled(what) => Refusal::unsupported(None, what),
        })?;
    }
    Ok(())
}

enum Fault {
    Errno(Errno, &'static str),
    NotModelled(String),
}

fn ensure(holds: bool, why: &'static str) -> Result<(), Fault> {
    ensure_or(holds, Errno::EINVAL, why)
}

fn ensure_or(holds: bool, errno: Errno, why: &'static str) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault::Errno(errno, why)) }
}

fn check_one(map: &MapDef, rules: &StructureRules) -> Result<(), Fault> {
    use MapType::*;
    if map.flags & TOKEN_FD & rules.prog_flags != 0 {
        return Err(Fault::NotModelled("token".to_owned()));
    }
    match map.map_type {
        Unspec => ensure(false, "no map type")?,
        Array | PercpuArray => array(map)?,
        ProgArray | PerfEventArray => {
            ensure(map.value_size == 4, "values are file descriptors of 4 bytes")?;
            ensure(map.flags & PROG_ACCESS == 0, "access of programs cannot be restricted")?;
            array(map)?;
        }
        Hash | PercpuHash | LruHash | LruPercpuHash => hash(map)?,
        Ringbuf | UserRingbuf => ring_buffer(map, rules)?,
        Queue | Stack => queue(map)?,
        LpmTrie => trie(map)?,
        Sockmap | Sockhash | Xskmap => sockets(map)?,
        ReuseportSockarray => {
            ensure(matches!(map.value_size, 4 | 8), "values are sockets of 4 or 8 bytes")?;
            array(map)?;
        }
        ArrayOfMaps | HashOfMaps => ensure(false, "no map to take the values after")?,
        SkStorage | InodeStorage | TaskStorage | CgrpStorage => ensure(false, "no types of keys and values")?,
        CgroupStorage | PercpuCgroupStorage => cgroup_storage(map)?,
        StackTrace => stack_traces(map)?,
        other => return Err(Fault::NotModelled(format!("map type {other}"))),
    }
    ensure(map.flags & SYSCALL_ACCESS != SYSCALL_ACCESS, "both read-only and write-only")?;
    Ok(())
}

/// Checks what all maps share: some entries, known flags, and not both restrictions of programs at once.
fn common(map: &MapDef, flags: u32) -> Result<(), Fault> {
    ensure(map.max_entries != 0, "no entries")?;
    ensure(map.flags & !flags == 0, "unknown flags")?;
    ensure(map.flags & PROG_ACCESS != PROG_ACCESS, "both read-only and write-only for programs")
}

/// Kernel: `array_map_alloc_check` (6.1 … 7.3).
#[doc(alias = "array_map_alloc_check")]
fn array(map: &MapDef) -> Result<(), Fault> {
    let percpu = map.map_type == MapType::PercpuArray;
    common(map, ARRAY_FLAGS)?;
    ensure(map.key_size == 4, "keys are indexes of 4 bytes")?;
    ensure(map.value_size != 0, "empty values")?;
    ensure(!percpu || map.flags & NUMA_NODE == 0, "a NUMA node for values of each CPU")?;
    ensure(map.map_type == MapType::Array || map.flags & (MMAPABLE | INNER_MAP) == 0, "flags of plain arrays")?;
    ensure(map.map_type == MapType::PerfEventArray || map.flags & PRESERVE_ELEMS == 0, "flags of event arrays")?;
    ensure_or(map.value_size <= i32::MAX as u32, Errno::E2BIG, "values too large")?;
    percpu_value(map, percpu)
}

fn percpu_value(map: &MapDef, percpu: bool) -> Result<(), Fault> {
    let fits = u64::from(map.value_size).next_multiple_of(8) <= PERCPU_VALUE_MAX;
    ensure_or(!percpu || fits, Errno::E2BIG, "values too large for each CPU")
}

/// Kernel: `htab_map_alloc_check`, `htab_map_alloc` (6.1 … 7.3).
#[doc(alias = "htab_map_alloc_check")]
fn hash(map: &MapDef) -> Result<(), Fault> {
    let percpu = matches!(map.map_type, MapType::PercpuHash | MapType::LruPercpuHash);
    let lru = matches!(map.map_type, MapType::LruHash | MapType::LruPercpuHash);
    let has = |flag: u32| map.flags & flag != 0;
    ensure(map.flags & !HASH_FLAGS == 0, "unknown flags")?;
    ensure(map.flags & PROG_ACCESS != PROG_ACCESS, "both read-only and write-only for programs")?;
    ensure(lru || !has(NO_COMMON_LRU), "flags of LRU maps")?;
    ensure_or(!lru || !has(NO_PREALLOC), Errno::ENOTSUPP, "LRU maps are preallocated")?;
    ensure(!has(NUMA_NODE) || !(percpu || has(NO_COMMON_LRU)), "a NUMA node for values of each CPU")?;
    common(map, HASH_FLAGS)?;
    ensure(map.key_size != 0 && map.value_size != 0, "empty keys or values")?;
    let element = u64::from(map.key_size) + u64::from(map.value_size);
    ensure_or(element < ALLOCATION_MAX - HASH_ELEMENT_HEADER, Errno::E2BIG, "elements too large")?;
    percpu_value(map, percpu)?;
    ensure_or(map.max_entries <= TABLE_ENTRIES_MAX, Errno::E2BIG, "too many entries")
}

/// Kernel: `ringbuf_map_alloc` (6.1 … 7.3).
#[doc(alias = "ringbuf_map_alloc")]
fn ring_buffer(map: &MapDef, rules: &StructureRules) -> Result<(), Fault> {
    ensure(map.flags & !(NUMA_NODE | rules.ringbuf_flags) == 0, "unknown flags")?;
    ensure(map.map_type == MapType::Ringbuf || map.flags & rules.ringbuf_flags == 0, "flags of ring buffers")?;
    ensure(map.key_size == 0 && map.value_size == 0, "keys or values in a ring buffer")?;
    let size = map.max_entries;
    ensure(size.is_power_of_two() && size.is_multiple_of(PAGE), "size is no power of two of pages")
}

/// Kernel: `queue_stack_map_alloc_check` (6.1 … 7.3).
#[doc(alias = "queue_stack_map_alloc_check")]
fn queue(map: &MapDef) -> Result<(), Fault> {
    common(map, NUMA_NODE | ACCESS)?;
    ensure(map.key_size == 0, "keys in a queue")?;
    ensure(map.value_size != 0, "empty values")?;
    ensure_or(u64::from(map.value_size) <= ALLOCATION_MAX, Errno::E2BIG, "values too large")
}

/// Kernel: `sock_map_alloc`, `sock_hash_alloc`, `xsk_map_alloc` (6.1 … 7.3).
#[doc(alias = "sock_map_alloc")]
#[doc(alias = "xsk_map_alloc")]
fn sockets(map: &MapDef) -> Result<(), Fault> {
    ensure(map.max_entries != 0, "no entries")?;
    ensure(map.flags & !(NUMA_NODE | SYSCALL_ACCESS) == 0, "unknown flags")?;
    match map.map_type {
        MapType::Sockhash => ensure(map.key_size != 0, "empty keys")?,
        _ => ensure(map.key_size == 4, "keys are indexes of 4 bytes")?,
    }
    ensure(map.map_type != MapType::Sockmap || map.max_entries <= i32::MAX as u32, "too many entries")?;
    ensure(map.value_size == 4 || map.value_size == 8 && map.map_type != MapType::Xskmap, "values of this size")?;
    ensure_or(map.key_size <= KEY_BYTES_MAX, Errno::E2BIG, "keys too large")?;
    ensure(map.map_type != MapType::Sockhash || map.max_entries <= TABLE_ENTRIES_MAX, "too many entries")
}

/// Kernel: `cgroup_storage_map_alloc` (6.1 … 7.3).
#[doc(alias = "cgroup_storage_map_alloc")]
fn cgroup_storage(map: &MapDef) -> Result<(), Fault> {
    /// Bytes of a key: an inode's number, or `struct bpf_cgroup_storage_key`.
    const KEY_BYTES: [u32; 2] = [8, 16];
    ensure(KEY_BYTES.contains(&map.key_size), "keys of this size")?;
    ensure(map.value_size != 0, "empty values")?;
    // The exact limit depends on headers; values near it are not modelled.
    if u64::from(map.value_size) > PERCPU_VALUE_MAX / 2 {
        return Err(Fault::NotModelled(format!("storage of {} bytes", map.value_size)));
    }
    ensure(map.flags & !(NUMA_NODE | ACCESS) == 0, "unknown flags")?;
    ensure(map.flags & PROG_ACCESS != PROG_ACCESS, "both read-only and write-only for programs")?;
    ensure(map.max_entries == 0, "entries of a storage")
}

/// Kernel: `stack_map_alloc` (6.1 … 7.3), for the usual greatest depth of a stack.
#[doc(alias = "stack_map_alloc")]
fn stack_traces(map: &MapDef) -> Result<(), Fault> {
    /// `BPF_F_STACK_BUILD_ID`, and bytes of an entry with and without it.
    const BUILD_ID: u32 = 1 << 5;
    const WITH_ID_BYTES: u32 = 32;
    const ADDRESS_BYTES: u32 = 8;
    const DEPTH_MAX: u32 = 127;
    ensure(map.flags & !(NUMA_NODE | SYSCALL_ACCESS | BUILD_ID) == 0, "unknown flags")?;
    ensure(map.max_entries != 0 && map.key_size == 4, "keys are numbers of 4 bytes")?;
    let entry = if map.flags & BUILD_ID == 0 { ADDRESS_BYTES } else { WITH_ID_BYTES };
    ensure(map.value_size >= entry && map.value_size.is_multiple_of(entry), "values are whole entries")?;
    ensure(map.value_size / entry <= DEPTH_MAX, "values deeper than stacks")?;
    ensure_or(map.max_entries <= 1 << 31, Errno::E2BIG, "too many entries")
}

/// Kernel: `trie_alloc` (6.1 … 7.3).
#[doc(alias = "trie_alloc")]
fn trie(map: &MapDef) -> Result<(), Fault> {
    /// Bytes of the prefix length at the start of a key, and the longest key after it.
    const PREFIX_LEN: u32 = 4;
    const DATA_MAX: u32 = 256;
    common(map, NO_PREALLOC | NUMA_NODE | ACCESS)?;
    ensure(map.flags & NO_PREALLOC != 0, "tries are not preallocated")?;
    ensure((PREFIX_LEN + 1..=PREFIX_LEN + DATA_MAX).contains(&map.key_size), "keys of this size")?;
    ensure(map.value_size != 0, "empty values")?;
    // The exact limit is a little below the largest allocation and depends on the header of a node.
    if u64::from(map.value_size) > ALLOCATION_MAX / 2 {
        return Err(Fault::NotModelled(format!("trie with values of {} bytes", map.value_size)));
    }
    Ok(())
}
