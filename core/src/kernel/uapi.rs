//! Names and numbers of the user interface: program types and map types.

use thiserror::Error;

/// A name or number that is no type of this kind.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("no {kind} is called \"{name}\"")]
pub struct UnknownName {
    /// What was looked for, for people.
    pub kind: &'static str,
    /// What was given.
    pub name: String,
}

macro_rules! kernel_enum {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $default:ident; $($variant:ident = $number:literal => $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u32)]
        pub enum $name {
            $(#[doc = concat!("`", $text, "`")] $variant = $number,)*
        }

        impl $name {
            /// All of them, by number.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The kernel's name in lower case, without prefix.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The kernel's number.
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// The type of that number.
            pub fn from_number(number: u32) -> Option<$name> {
                $name::ALL.get(number as usize).copied()
            }
        }

        impl Default for $name {
            fn default() -> $name {
                $name::$default
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownName;

            /// Takes the name in lower case without prefix, or the number.
            fn from_str(text: &str) -> Result<$name, UnknownName> {
                let by_number = text.parse().ok().and_then($name::from_number);
                by_number
                    .or_else(|| $name::ALL.iter().copied().find(|t| t.name() == text))
                    .ok_or_else(|| UnknownName { kind: $kind, name: text.to_owned() })
            }
        }
    };
}

kernel_enum! {
    /// Program type, numbered as in `enum bpf_prog_type`.
    ProgType, "program type", RawTracepoint;
    Unspec = 0 => "unspec",
    SocketFilter = 1 => "socket_filter",
    Kprobe = 2 => "kprobe",
    SchedCls = 3 => "sched_cls",
    SchedAct = 4 => "sched_act",
    Tracepoint = 5 => "tracepoint",
    Xdp = 6 => "xdp",
    PerfEvent = 7 => "perf_event",
    CgroupSkb = 8 => "cgroup_skb",
    CgroupSock = 9 => "cgroup_sock",
    LwtIn = 10 => "lwt_in",
    LwtOut = 11 => "lwt_out",
    LwtXmit = 12 => "lwt_xmit",
    SockOps = 13 => "sock_ops",
    SkSkb = 14 => "sk_skb",
    CgroupDevice = 15 => "cgroup_device",
    SkMsg = 16 => "sk_msg",
    RawTracepoint = 17 => "raw_tracepoint",
    CgroupSockAddr = 18 => "cgroup_sock_addr",
    LwtSeg6local = 19 => "lwt_seg6local",
    LircMode2 = 20 => "lirc_mode2",
    SkReuseport = 21 => "sk_reuseport",
    FlowDissector = 22 => "flow_dissector",
    CgroupSysctl = 23 => "cgroup_sysctl",
    RawTracepointWritable = 24 => "raw_tracepoint_writable",
    CgroupSockopt = 25 => "cgroup_sockopt",
    Tracing = 26 => "tracing",
    StructOps = 27 => "struct_ops",
    Ext = 28 => "ext",
    Lsm = 29 => "lsm",
    SkLookup = 30 => "sk_lookup",
    Syscall = 31 => "syscall",
    Netfilter = 32 => "netfilter",
}

kernel_enum! {
    /// Map type, numbered as in `enum bpf_map_type`.
    MapType, "map type", Array;
    Unspec = 0 => "unspec",
    Hash = 1 => "hash",
    Array = 2 => "array",
    ProgArray = 3 => "prog_array",
    PerfEventArray = 4 => "perf_event_array",
    PercpuHash = 5 => "percpu_hash",
    PercpuArray = 6 => "percpu_array",
    StackTrace = 7 => "stack_trace",
    CgroupArray = 8 => "cgroup_array",
    LruHash = 9 => "lru_hash",
    LruPercpuHash = 10 => "lru_percpu_hash",
    LpmTrie = 11 => "lpm_trie",
    ArrayOfMaps = 12 => "array_of_maps",
    HashOfMaps = 13 => "hash_of_maps",
    Devmap = 14 => "devmap",
    Sockmap = 15 => "sockmap",
    Cpumap = 16 => "cpumap",
    Xskmap = 17 => "xskmap",
    Sockhash = 18 => "sockhash",
    CgroupStorage = 19 => "cgroup_storage",
    ReuseportSockarray = 20 => "reuseport_sockarray",
    PercpuCgroupStorage = 21 => "percpu_cgroup_storage",
    Queue = 22 => "queue",
    Stack = 23 => "stack",
    SkStorage = 24 => "sk_storage",
    DevmapHash = 25 => "devmap_hash",
    StructOps = 26 => "struct_ops",
    Ringbuf = 27 => "ringbuf",
    InodeStorage = 28 => "inode_storage",
    TaskStorage = 29 => "task_storage",
    BloomFilter = 30 => "bloom_filter",
    UserRingbuf = 31 => "user_ringbuf",
    CgrpStorage = 32 => "cgrp_storage",
    Arena = 33 => "arena",
    InsnArray = 34 => "insn_array",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_names_and_order_agree() {
        for (n, t) in ProgType::ALL.iter().enumerate() {
            assert_eq!(t.number() as usize, n);
            assert_eq!(t.name().parse::<ProgType>().as_ref(), Ok(t));
            assert_eq!(n.to_string().parse::<ProgType>().as_ref(), Ok(t));
        }
        for (n, t) in MapType::ALL.iter().enumerate() {
            assert_eq!(t.number() as usize, n);
            assert_eq!(t.name().parse::<MapType>().as_ref(), Ok(t));
        }
        assert!("no_such_type".parse::<ProgType>().is_err());
        assert!("9999".parse::<MapType>().is_err());
    }
}
