//! The fields of the contexts that a program sees, and which program type may use which.
//!
//! Stands for `struct __sk_buff`, `xdp_md`, `bpf_sk_lookup` and `bpf_perf_event_data` of the user interface on x86-64 and for the
//! `*_is_valid_access` functions over them (6.1 … 7.3). A loader has all capabilities, no program is offloaded to a device.
//! Invariants: fields are in order and do not overlap; every name in a policy is a field of its layout.

use super::socket::SockKind;
use super::{CtxAccess, MayBeNull};

/// A field of a context.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field {
    /// Name; of an array, the whole array.
    pub name: &'static str,
    /// Offset in bytes.
    pub off: u32,
    /// Size in bytes.
    pub bytes: u32,
    /// How it may be accessed where the program type does not forbid it.
    pub shape: Shape,
}

/// How a field may be accessed. Every access is aligned to its own size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// In elements of exactly so many bytes.
    Whole(u32),
    /// Read in elements of at most so many bytes, of which the element is loaded whole; written in whole elements.
    Narrow(u32),
    /// Like `Narrow`, but only from the start of the field on; elsewhere in it as four bytes.
    NarrowStart(u32),
    /// Eight bytes from the start of the field on; elsewhere in it four bytes.
    WideStart,
    /// Like `Narrow(4)`, or eight bytes at a multiple of eight.
    Address,
    /// A 16-bit field that was once 32 bits wide: like `Narrow(2)`, or four bytes.
    Port,
    /// In any pieces that stay inside.
    Bytes,
    /// An address in the packet, read as four bytes without sign extension.
    Packet(CtxAccess),
    /// An address in the packet, read as eight bytes.
    WidePacket(CtxAccess),
    /// An address of an object, read as eight bytes.
    Object(CtxAccess),
    /// Read as so many bytes, never written.
    ReadOnly(u32),
    /// Not at all.
    Closed,
}

/// A context's layout and what a program type may do with it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// The fields.
    pub(super) fields: &'static [Field],
    /// Fields that the program type may not use.
    pub(super) hidden: &'static [&'static str],
    /// Fields that it may write.
    pub(super) writable: &'static [&'static str],
}

pub(super) const fn field(name: &'static str, off: u32, bytes: u32, shape: Shape) -> Field {
    Field { name, off, bytes, shape }
}

/// `struct __sk_buff`, 192 bytes.
#[doc(alias = "__sk_buff")]
pub const SK_BUFF: &[Field] = &[
    field("len", 0, 4, Shape::Narrow(4)),
    field("pkt_type", 4, 4, Shape::Narrow(4)),
    field("mark", 8, 4, Shape::Narrow(4)),
    field("queue_mapping", 12, 4, Shape::Narrow(4)),
    field("protocol", 16, 4, Shape::Narrow(4)),
    field("vlan_present", 20, 4, Shape::Narrow(4)),
    field("vlan_tci", 24, 4, Shape::Narrow(4)),
    field("vlan_proto", 28, 4, Shape::Narrow(4)),
    field("priority", 32, 4, Shape::Narrow(4)),
    field("ingress_ifindex", 36, 4, Shape::Narrow(4)),
    field("ifindex", 40, 4, Shape::Narrow(4)),
    field("tc_index", 44, 4, Shape::Narrow(4)),
    field("cb", 48, 20, Shape::Bytes),
    field("hash", 68, 4, Shape::Narrow(4)),
    field("tc_classid", 72, 4, Shape::Narrow(4)),
    field("data", 76, 4, Shape::Packet(CtxAccess::Packet)),
    field("data_end", 80, 4, Shape::Packet(CtxAccess::PacketEnd)),
    field("napi_id", 84, 4, Shape::Narrow(4)),
    field("family", 88, 4, Shape::Narrow(4)),
    field("remote_ip4", 92, 4, Shape::Whole(4)),
    field("local_ip4", 96, 4, Shape::Whole(4)),
    field("remote_ip6", 100, 16, Shape::Whole(4)),
    field("local_ip6", 116, 16, Shape::Whole(4)),
    field("remote_port", 132, 4, Shape::Narrow(4)),
    field("local_port", 136, 4, Shape::Narrow(4)),
    field("data_meta", 140, 4, Shape::Packet(CtxAccess::PacketMeta)),
    field("flow_keys", 144, 8, Shape::Closed),
    field("tstamp", 152, 8, Shape::Whole(8)),
    field("wire_len", 160, 4, Shape::Narrow(4)),
    field("gso_segs", 164, 4, Shape::Narrow(4)),
    field("sk", 168, 8, Shape::Object(CtxAccess::Socket(SockKind::Common, MayBeNull::Yes))),
    field("gso_size", 176, 4, Shape::Narrow(4)),
    field("tstamp_type", 180, 1, Shape::ReadOnly(1)),
    field("padding", 181, 3, Shape::Closed),
    field("hwtstamp", 184, 8, Shape::ReadOnly(8)),
];

/// The part of `struct __sk_buff` that a flow dissector sees.
const SK_BUFF_FLOW: &[Field] = &[
    field("data", 76, 4, Shape::Packet(CtxAccess::Packet)),
    field("data_end", 80, 4, Shape::Packet(CtxAccess::PacketEnd)),
    field("flow_keys", 144, 8, Shape::Object(CtxAccess::FlowKeys)),
];

/// `struct xdp_md`, 24 bytes.
#[doc(alias = "xdp_md")]
pub const XDP_MD: &[Field] = &[
    field("data", 0, 4, Shape::Packet(CtxAccess::Packet)),
    field("data_end", 4, 4, Shape::Packet(CtxAccess::PacketEnd)),
    field("data_meta", 8, 4, Shape::Packet(CtxAccess::PacketMeta)),
    field("ingress_ifindex", 12, 4, Shape::Whole(4)),
    field("rx_queue_index", 16, 4, Shape::Whole(4)),
    field("egress_ifindex", 20, 4, Shape::Whole(4)),
];

/// `struct bpf_sk_lookup`, 68 bytes and 4 of padding.
#[doc(alias = "bpf_sk_lookup")]
pub const SK_LOOKUP: &[Field] = &[
    field("sk", 0, 8, Shape::Object(CtxAccess::Socket(SockKind::Full, MayBeNull::Yes))),
    field("family", 8, 4, Shape::Narrow(4)),
    field("protocol", 12, 4, Shape::Narrow(4)),
    field("remote_ip4", 16, 4, Shape::Narrow(4)),
    field("remote_ip6", 20, 16, Shape::Narrow(4)),
    field("remote_port", 36, 2, Shape::Port),
    field("padding", 38, 2, Shape::Narrow(2)),
    field("local_ip4", 40, 4, Shape::Narrow(4)),
    field("local_ip6", 44, 16, Shape::Narrow(4)),
    field("local_port", 60, 4, Shape::Narrow(4)),
    field("ingress_ifindex", 64, 4, Shape::Narrow(4)),
];

/// `struct bpf_perf_event_data` on x86-64, 184 bytes.
#[doc(alias = "bpf_perf_event_data")]
pub const PERF_EVENT_DATA: &[Field] = &[
    field("regs", 0, 168, Shape::Whole(8)),
    field("sample_period", 168, 8, Shape::Narrow(8)),
    field("addr", 176, 8, Shape::Narrow(8)),
];

/// The fields that only `sk_skb` and `cgroup_skb` programs see.
macro_rules! with_socket_fields {
    ($($other:literal),*) => {
        &["family", "remote_ip4", "local_ip4", "remote_ip6", "local_ip6", "remote_port", "local_port", $($other),*]
    };
}

/// Kernel: `sk_filter_is_valid_access`.
pub(super) const SOCKET_FILTER: Policy = Policy {
    fields: SK_BUFF,
    hidden: with_socket_fields![
        "tc_classid",
        "data",
        "data_meta",
        "data_end",
        "tstamp",
        "wire_len",
        "hwtstamp",
        "tstamp_type"
    ],
    writable: &["cb"],
};

/// Kernel: `cg_skb_is_valid_access`.
pub(super) const CGROUP_SKB: Policy = Policy {
    fields: SK_BUFF,
    hidden: &["tc_classid", "data_meta", "wire_len", "tstamp_type"],
    writable: &["mark", "priority", "cb", "tstamp"],
};

/// Kernel: `lwt_is_valid_access`.
pub(super) const LWT: Policy = Policy {
    fields: SK_BUFF,
    hidden: with_socket_fields!["tc_classid", "data_meta", "tstamp", "wire_len", "hwtstamp", "tstamp_type"],
    writable: &["mark", "priority", "cb"],
};

/// Kernel: `tc_cls_act_is_valid_access`.
pub(super) const SCHED_CLS: Policy = Policy {
    fields: SK_BUFF,
    hidden: with_socket_fields![],
    writable: &["mark", "tc_index", "priority", "tc_classid", "cb", "tstamp", "queue_mapping"],
};

/// Kernel: `sk_skb_is_valid_access`.
pub(super) const SK_SKB: Policy = Policy {
    fields: SK_BUFF,
    hidden: &["tc_classid", "data_meta", "tstamp", "wire_len", "hwtstamp", "tstamp_type", "mark"],
    writable: &["tc_index", "priority"],
};

/// Kernel: `flow_dissector_is_valid_access`.
pub(super) const FLOW_DISSECTOR: Policy = Policy { fields: SK_BUFF_FLOW, hidden: &[], writable: &[] };

/// Kernel: `xdp_is_valid_access`, for all attach types but [`XDP_DEVMAP`].
pub(super) const XDP: Policy = Policy { fields: XDP_MD, hidden: &["egress_ifindex"], writable: &[] };

/// The same for programs of a device map.
pub(super) const XDP_DEVMAP: Policy = Policy { fields: XDP_MD, hidden: &[], writable: &[] };

/// Kernel: `sk_lookup_is_valid_access`.
pub(super) const SK_LOOKUP_ACCESS: Policy = Policy { fields: SK_LOOKUP, hidden: &[], writable: &[] };

/// Kernel: `pe_prog_is_valid_access`.
pub(super) const PERF_EVENT: Policy = Policy { fields: PERF_EVENT_DATA, hidden: &[], writable: &[] };
