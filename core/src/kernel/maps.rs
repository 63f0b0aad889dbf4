//! Map types: which exist, which helper goes with which, which a program type may use.
//!
//! Stands for `check_map_func_compatibility`, `check_map_prog_compatibility` and the `bpf_map_ops` that the verifier asks for
//! (6.1 … 7.3). Left out: what BTF of a value brings in (locks, timers, lists) and maps that are bound to a device.
//! Invariant: a rule that names a helper or a map type is asked in both directions, as the kernel asks it.

use super::helpers::{helper_log_name, id_of};
use super::{ConstantKey, KernelVersion, MapType, ProgType, Rules, span::Span};
use KernelVersion::{V6_1, V6_12, V6_18, V7_3};

/// Error number of the refusals of this module, as in errno.h, where no other is named: `EINVAL`.
pub const REFUSAL_ERRNO: i32 = 22;

/// Whether a version has the map type.
pub fn exists(map: MapType, rules: &Rules) -> bool {
    match map {
        MapType::Unspec => false,
        MapType::CgrpStorage | MapType::Arena => Span::since(V6_12).holds(rules.tables.maps),
        MapType::InsnArray => Span::since(V7_3).holds(rules.tables.maps),
        _ => true,
    }
}

/// The helpers that a map type goes with, where it does not go with all.
///
/// Kernel: the first half of `check_map_func_compatibility` (6.1 … 7.3).
const HELPERS_OF_MAP: &[(MapType, &[i32])] = &[
    (MapType::ProgArray, &[TAIL_CALL]),
    (MapType::PerfEventArray, PERF_EVENT_HELPERS),
    (MapType::Ringbuf, RINGBUF_HELPERS),
    (MapType::UserRingbuf, &[id_of("user_ringbuf_drain")]),
    (MapType::StackTrace, &[id_of("get_stackid")]),
    (MapType::CgroupArray, CGROUP_ARRAY_HELPERS),
    (MapType::CgroupStorage, &[id_of("get_local_storage")]),
    (MapType::PercpuCgroupStorage, &[id_of("get_local_storage")]),
    (MapType::Devmap, &[id_of("redirect_map"), LOOKUP]),
    (MapType::DevmapHash, &[id_of("redirect_map"), LOOKUP]),
    (MapType::Cpumap, &[id_of("redirect_map")]),
    (MapType::Xskmap, &[id_of("redirect_map"), LOOKUP]),
    (MapType::ArrayOfMaps, &[LOOKUP]),
    (MapType::HashOfMaps, &[LOOKUP]),
    (
        MapType::Sockmap,
        &[
            id_of("sk_redirect_map"),
            id_of("sock_map_update"),
            id_of("msg_redirect_map"),
            id_of("sk_select_reuseport"),
            LOOKUP,
        ],
    ),
    (
        MapType::Sockhash,
        &[
            id_of("sk_redirect_hash"),
            id_of("sock_hash_update"),
            id_of("msg_redirect_hash"),
            id_of("sk_select_reuseport"),
            LOOKUP,
        ],
    ),
    (MapType::ReuseportSockarray, &[id_of("sk_select_reuseport")]),
    (MapType::Queue, &[PEEK, POP, PUSH]),
    (MapType::Stack, &[PEEK, POP, PUSH]),
    (MapType::BloomFilter, &[PEEK, PUSH]),
    (MapType::SkStorage, &[id_of("sk_storage_get"), id_of("sk_storage_delete"), KPTR_XCHG]),
    (MapType::InodeStorage, &[id_of("inode_storage_get"), id_of("inode_storage_delete"), KPTR_XCHG]),
    (MapType::TaskStorage, &[id_of("task_storage_get"), id_of("task_storage_delete"), KPTR_XCHG]),
    (MapType::CgrpStorage, &[id_of("cgrp_storage_get"), id_of("cgrp_storage_delete"), KPTR_XCHG]),
    (MapType::InsnArray, &[]),
];

/// The map types that a helper goes with, where it does not go with all.
///
/// Kernel: the second half of `check_map_func_compatibility` (6.1 … 7.3).
const MAPS_OF_HELPER: &[(&[i32], &[MapType])] = &[
    (&[TAIL_CALL], &[MapType::ProgArray]),
    (PERF_EVENT_HELPERS, &[MapType::PerfEventArray]),
    (RINGBUF_HELPERS, &[MapType::Ringbuf]),
    (&[id_of("user_ringbuf_drain")], &[MapType::UserRingbuf]),
    (&[id_of("get_stackid")], &[MapType::StackTrace]),
    (CGROUP_ARRAY_HELPERS, &[MapType::CgroupArray]),
    (&[id_of("redirect_map")], &[MapType::Devmap, MapType::DevmapHash, MapType::Cpumap, MapType::Xskmap]),
    (&[id_of("sk_redirect_map"), id_of("msg_redirect_map"), id_of("sock_map_update")], &[MapType::Sockmap]),
    (&[id_of("sk_redirect_hash"), id_of("msg_redirect_hash"), id_of("sock_hash_update")], &[MapType::Sockhash]),
    (&[id_of("get_local_storage")], &[MapType::CgroupStorage, MapType::PercpuCgroupStorage]),
    (&[id_of("sk_select_reuseport")], &[MapType::ReuseportSockarray, MapType::Sockmap, MapType::Sockhash]),
    (&[POP], &[MapType::Queue, MapType::Stack]),
    (&[PEEK, PUSH], &[MapType::Queue, MapType::Stack, MapType::BloomFilter]),
    (&[id_of("map_lookup_percpu_elem")], &[MapType::PercpuArray, MapType::PercpuHash, MapType::LruPercpuHash]),
    (&[id_of("sk_storage_get"), id_of("sk_storage_delete")], &[MapType::SkStorage]),
    (&[id_of("inode_storage_get"), id_of("inode_storage_delete")], &[MapType::InodeStorage]),
    (&[id_of("task_storage_get"), id_of("task_storage_delete")], &[MapType::TaskStorage]),
    (&[id_of("cgrp_storage_get"), id_of("cgrp_storage_delete")], &[MapType::CgrpStorage]),
];

const LOOKUP: i32 = id_of("map_lookup_elem");
const UPDATE: i32 = id_of("map_update_elem");
const DELETE: i32 = id_of("map_delete_elem");
const PUSH: i32 = id_of("map_push_elem");
const POP: i32 = id_of("map_pop_elem");
const PEEK: i32 = id_of("map_peek_elem");
const TAIL_CALL: i32 = id_of("tail_call");
const KPTR_XCHG: i32 = id_of("kptr_xchg");
const PERF_EVENT_HELPERS: &[i32] = &[
    id_of("perf_event_read"),
    id_of("perf_event_output"),
    id_of("perf_event_read_value"),
    id_of("skb_output"),
    id_of("xdp_output"),
];
const RINGBUF_HELPERS: &[i32] = &[
    id_of("ringbuf_output"),
    id_of("ringbuf_reserve"),
    id_of("ringbuf_query"),
    id_of("ringbuf_reserve_dynptr"),
    id_of("ringbuf_submit_dynptr"),
    id_of("ringbuf_discard_dynptr"),
];
const CGROUP_ARRAY_HELPERS: &[i32] = &[id_of("skb_under_cgroup"), id_of("current_task_under_cgroup")];

/// Whether a map goes with a helper.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MapFit {
    /// It does.
    Fits,
    /// It does not: see [`misfit`].
    Misfit,
}

/// Whether a map may be handed to a helper.
///
/// Kernel: `check_map_func_compatibility` (6.1 … 7.3). A tail call with more than one subprogram also needs the JIT.
#[doc(alias = "check_map_func_compatibility")]
pub fn fits(map: MapType, helper: i32, prog_type: ProgType, rules: &Rules) -> MapFit {
    let from_map = HELPERS_OF_MAP.iter().find(|(m, _)| *m == map);
    let from_helper = MAPS_OF_HELPER.iter().find(|(h, _)| h.contains(&helper));
    let map_agrees =
        from_map.is_none_or(|(_, h)| h.contains(&helper)) || updates_sockets(map, helper, prog_type, rules);
    let helper_agrees = from_helper.is_none_or(|(_, m)| m.contains(&map));
    if map_agrees && helper_agrees { MapFit::Fits } else { MapFit::Misfit }
}

/// The line of the log that refuses a map for a helper; the load fails with [`REFUSAL_ERRNO`].
pub fn misfit(map: MapType, helper: i32, rules: &Rules) -> String {
    format!("cannot pass map_type {} into func {}#{helper}", map.number(), helper_log_name(helper, rules))
}

/// Kernel: `may_update_sockmap` (6.1 … 7.3). Its own line, "cannot update sockmap in this context", comes before the last one.
#[doc(alias = "may_update_sockmap")]
fn updates_sockets(map: MapType, helper: i32, prog_type: ProgType, rules: &Rules) -> bool {
    if !matches!(map, MapType::Sockmap | MapType::Sockhash) || !matches!(helper, UPDATE | DELETE) {
        return false;
    }
    match prog_type {
        ProgType::SockOps => helper == DELETE,
        ProgType::SkReuseport | ProgType::SkLookup => true,
        ProgType::SocketFilter | ProgType::SchedCls | ProgType::SchedAct | ProgType::Xdp | ProgType::FlowDissector => {
            Span::until(V6_18).holds(rules.tables.maps)
        }
        _ => false,
    }
}

/// What a look-up in a map gives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Found {
    /// The element's value, or null.
    Value,
    /// A map, or null.
    InnerMap,
    /// A socket, or null.
    Socket,
}

/// What a successful look-up in a map gives. Up to 6.18 the register is a `map_value_or_null` until it is compared with null and
/// only then what it is; in 7.3 it has its own type from the call on.
///
/// Kernel: `mark_ptr_not_null_reg` (6.1, 6.12), `refine_map_lookup_value` (7.3).
#[doc(alias = "mark_ptr_not_null_reg")]
#[doc(alias = "refine_map_lookup_value")]
pub const fn found(map: MapType) -> Found {
    match map {
        MapType::ArrayOfMaps | MapType::HashOfMaps => Found::InnerMap,
        MapType::Xskmap | MapType::Sockmap | MapType::Sockhash => Found::Socket,
        _ => Found::Value,
    }
}

/// The kernel's structure of a map, in whose fields a program may read, where it is known.
///
/// Kernel: `map_btf_id` of the `bpf_map_ops` (6.1 … 7.3).
#[doc(alias = "map_btf_id")]
pub const fn kernel_struct(map: MapType) -> Option<&'static str> {
    use MapType::*;
    Some(match map {
        Array | PercpuArray | ProgArray | PerfEventArray | CgroupArray | ArrayOfMaps => "bpf_array",
        Hash | PercpuHash | LruHash | LruPercpuHash | HashOfMaps => "bpf_htab",
        Ringbuf | UserRingbuf => "bpf_ringbuf_map",
        Queue | Stack => "bpf_queue_stack",
        LpmTrie => "lpm_trie",
        StackTrace => "bpf_stack_map",
        Sockmap => "bpf_stab",
        Sockhash => "bpf_shtab",
        ReuseportSockarray => "reuseport_array",
        BloomFilter => "bpf_bloom_filter",
        _ => return None,
    })
}

/// Whether `map_lookup_elem` of a constant key below `max_entries` is known to find an element, so that the result is not null.
///
/// Kernel: `can_elide_value_nullness` (6.18, 7.3).
#[doc(alias = "can_elide_value_nullness")]
pub fn constant_key_finds(map: MapType, rules: &Rules) -> bool {
    matches!(map, MapType::Array | MapType::PercpuArray) && rules.walk.constant_key == ConstantKey::Finds
}

/// Whether `for_each_map_elem` goes over a map; if not, the call is refused with "callback function not allowed for map"
/// (error 524, `ENOTSUPP`).
///
/// Kernel: the maps with `map_set_for_each_callback_args` (6.1 … 7.3).
#[doc(alias = "map_set_for_each_callback_args")]
pub const fn iterable(map: MapType) -> bool {
    matches!(
        map,
        MapType::Array
            | MapType::PercpuArray
            | MapType::Hash
            | MapType::PercpuHash
            | MapType::LruHash
            | MapType::LruPercpuHash
    )
}

/// Whether an `ld_imm64` may load an address in a map's value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DirectValue {
    /// It may.
    Allowed,
    /// It may not: error number, as in errno.h, and line of the log.
    Refused(i32, String),
    /// The map type is not modelled.
    Unmodelled,
}

/// Whether an `ld_imm64` may load the address `off` bytes into the value of a map.
///
/// Kernel: `map_direct_value_addr` and its caller in `resolve_pseudo_ldimm64` (6.1 … 7.3).
#[doc(alias = "map_direct_value_addr")]
pub fn direct_value(map: MapType, value_size: u32, max_entries: u32, off: u32, rules: &Rules) -> DirectValue {
    if off >= DIRECT_OFF_MAX && Span::until(V6_18).holds(rules.tables.maps) {
        return DirectValue::Refused(EINVAL, format!("direct value offset of {off} is not allowed"));
    }
    let several_entries = match map {
        MapType::Array => ENOTSUPP,
        MapType::PercpuArray if Span::since(V7_3).holds(rules.tables.maps) => EOPNOTSUPP,
        MapType::Arena | MapType::InsnArray if exists(map, rules) => return DirectValue::Unmodelled,
        _ => return DirectValue::Refused(EINVAL, "no direct value access support for this map type".to_owned()),
    };
    let outside = || format!("invalid access to map value pointer, value_size={value_size} off={off}");
    match max_entries {
        1 if off < value_size => DirectValue::Allowed,
        1 => DirectValue::Refused(EINVAL, outside()),
        _ => DirectValue::Refused(several_entries, outside()),
    }
}

/// Smallest offset that `ld_imm64` refuses whatever the map, up to 6.18.
#[doc(alias = "BPF_MAX_VAR_OFF")]
const DIRECT_OFF_MAX: u32 = 1 << 29;
const EINVAL: i32 = 22;
const EOPNOTSUPP: i32 = 95;
const ENOTSUPP: i32 = 524;

/// Whether a program may sleep.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sleep {
    /// It may (`BPF_F_SLEEPABLE`).
    Sleepable,
    /// It may not.
    NonSleepable,
}

/// The map types that sleepable programs may use, and the versions that let them.
const SLEEPABLE_MAPS: &[(MapType, Span)] = &[
    (MapType::Hash, Span::ALL),
    (MapType::LruHash, Span::ALL),
    (MapType::Array, Span::ALL),
    (MapType::PercpuHash, Span::ALL),
    (MapType::PercpuArray, Span::ALL),
    (MapType::LruPercpuHash, Span::ALL),
    (MapType::ArrayOfMaps, Span::ALL),
    (MapType::HashOfMaps, Span::ALL),
    (MapType::Ringbuf, Span::ALL),
    (MapType::UserRingbuf, Span::ALL),
    (MapType::InodeStorage, Span::ALL),
    (MapType::SkStorage, Span::ALL),
    (MapType::TaskStorage, Span::ALL),
    (MapType::CgrpStorage, Span::since(V6_12)),
    (MapType::Queue, Span::since(V6_12)),
    (MapType::Stack, Span::since(V6_12)),
    (MapType::Arena, Span::since(V6_12)),
    (MapType::LpmTrie, Span::since(V7_3)),
    (MapType::InsnArray, Span::since(V7_3)),
    (MapType::ProgArray, Span::since(V7_3)),
];

/// The line of the log that keeps a map out of a program, where one does; the load fails with [`REFUSAL_ERRNO`].
///
/// Kernel: `check_map_prog_compatibility` (6.1 … 7.3).
#[doc(alias = "check_map_prog_compatibility")]
pub fn kept_out(map: MapType, sleep: Sleep, rules: &Rules) -> Option<&'static str> {
    let may_sleep = || SLEEPABLE_MAPS.iter().any(|(m, span)| *m == map && span.holds(rules.tables.maps));
    match (map, sleep) {
        (MapType::StructOps, _) => Some("bpf_struct_ops map cannot be used in prog"),
        (_, Sleep::NonSleepable) => None,
        (_, Sleep::Sleepable) if may_sleep() => None,
        _ if Span::until(V6_1).holds(rules.tables.maps) => {
            Some("Sleepable programs can only use array, hash, and ringbuf maps")
        }
        _ => Some("Sleepable programs can only use array, hash, ringbuf and local storage maps"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::helpers::helper_id;
    use MapType::*;

    fn agrees(map: MapType, helper: &str, prog_type: ProgType, version: KernelVersion) -> bool {
        let id = helper_id(helper).expect("a helper's name");
        fits(map, id, prog_type, &Rules::of(version)) == MapFit::Fits
    }

    /// A map type that a helper names, names the helper where it names any.
    #[test]
    fn the_two_halves_agree() {
        for (helpers, maps) in MAPS_OF_HELPER {
            for map in *maps {
                let Some((_, of_map)) = HELPERS_OF_MAP.iter().find(|(m, _)| m == map) else { continue };
                assert!(helpers.iter().all(|h| of_map.contains(h)), "{map} and helpers {helpers:?}");
            }
        }
    }

    #[test]
    fn maps_and_helpers_agree_with_the_sources() {
        for version in KernelVersion::ALL {
            for (map, helper, expected) in [
                (Array, "map_lookup_elem", true),
                (Array, "ringbuf_output", false),
                (Array, "map_push_elem", false),
                (Array, "map_lookup_percpu_elem", false),
                (PercpuArray, "map_lookup_percpu_elem", true),
                (Ringbuf, "ringbuf_reserve", true),
                (Ringbuf, "map_lookup_elem", false),
                (Queue, "map_pop_elem", true),
                (BloomFilter, "map_pop_elem", false),
                (BloomFilter, "map_peek_elem", true),
                (ProgArray, "tail_call", true),
                (Hash, "tail_call", false),
                (ProgArray, "map_lookup_elem", false),
                (Xskmap, "map_lookup_elem", true),
                (Cpumap, "map_lookup_elem", false),
                (PerfEventArray, "perf_event_output", true),
                (Hash, "for_each_map_elem", true),
                (Ringbuf, "for_each_map_elem", false),
            ] {
                assert_eq!(agrees(map, helper, ProgType::Xdp, version), expected, "{map} {helper} in {version}");
            }
            assert_eq!(agrees(Sockmap, "map_update_elem", ProgType::Xdp, version), version < V7_3);
            assert!(!agrees(Sockmap, "map_update_elem", ProgType::RawTracepoint, version));
            assert!(agrees(Sockhash, "map_delete_elem", ProgType::SkLookup, version));
        }
        let text = misfit(Ringbuf, LOOKUP, &Rules::of(V6_1));
        assert_eq!(text, "cannot pass map_type 27 into func bpf_map_lookup_elem#1");
    }

    #[test]
    fn direct_values() {
        let direct = |map, max_entries, off, v| direct_value(map, 64, max_entries, off, &Rules::of(v));
        let outside = |off| format!("invalid access to map value pointer, value_size=64 off={off}");
        let none = || DirectValue::Refused(22, "no direct value access support for this map type".to_owned());
        for version in KernelVersion::ALL {
            assert_eq!(direct(Array, 1, 63, version), DirectValue::Allowed);
            assert_eq!(direct(Array, 1, 64, version), DirectValue::Refused(22, outside(64)));
            assert_eq!(direct(Array, 2, 0, version), DirectValue::Refused(524, outside(0)));
            assert_eq!(direct(Hash, 1, 0, version), none());
        }
        assert_eq!(direct(PercpuArray, 1, 0, V6_12), none());
        assert_eq!(direct(PercpuArray, 1, 0, V7_3), DirectValue::Allowed);
        let far = "direct value offset of 536870912 is not allowed".to_owned();
        assert_eq!(direct(Hash, 1, 1 << 29, V6_1), DirectValue::Refused(22, far));
        assert_eq!(direct(Array, 1, 1 << 29, V7_3), DirectValue::Refused(22, outside(1 << 29)));
    }

    #[test]
    fn what_sleepable_programs_may_use() {
        let out = |map, v| kept_out(map, Sleep::Sleepable, &Rules::of(v)).is_some();
        for version in KernelVersion::ALL {
            assert!(!out(Array, version) && out(PerfEventArray, version) && out(StructOps, version));
            assert_eq!(out(Queue, version), version == V6_1);
            assert_eq!(out(LpmTrie, version), version < V7_3);
            assert_eq!(kept_out(PerfEventArray, Sleep::NonSleepable, &Rules::of(version)), None);
        }
        let text = |v| kept_out(Devmap, Sleep::Sleepable, &Rules::of(v)).unwrap_or_default();
        assert_eq!(text(V6_1), "Sleepable programs can only use array, hash, and ringbuf maps");
        assert_eq!(text(V6_12), "Sleepable programs can only use array, hash, ringbuf and local storage maps");
    }

    #[test]
    fn what_a_look_up_gives() {
        assert_eq!((found(Array), found(HashOfMaps), found(Xskmap)), (Found::Value, Found::InnerMap, Found::Socket));
        assert!(iterable(LruHash) && !iterable(Queue));
        for version in KernelVersion::ALL {
            let rules = Rules::of(version);
            assert_eq!(constant_key_finds(Array, &rules), version >= V6_18);
            assert!(!constant_key_finds(Hash, &rules));
            assert_eq!(exists(Arena, &rules), version != V6_1);
            assert!(!exists(Unspec, &rules));
        }
    }
}
