//! The contexts of programs that are attached to cgroups and sockets, where the attach type decides on fields.
//!
//! Stands for `struct bpf_sock_addr`, `bpf_sockopt`, `bpf_sysctl`, `bpf_cgroup_dev_ctx`, `bpf_sock_ops`, `sk_msg_md`,
//! `sk_reuseport_md` of the user interface and for the `*_is_valid_access` functions over them (6.1 … 7.3). Invariants as in
//! `layout`.

use super::layout::{Field, Policy, Shape, field};
use super::socket::{SOCK, SockKind};
use super::{CtxAccess, CtxUse, MayBeNull, ProgKind, by_field};
use crate::kernel::{KernelVersion, ProgType, Rules, span::Span};

const SOCKET: CtxAccess = CtxAccess::Socket(SockKind::Full, MayBeNull::No);
const SOCKET_OR_NULL: CtxAccess = CtxAccess::Socket(SockKind::Full, MayBeNull::Yes);
const COMMON_OR_NULL: CtxAccess = CtxAccess::Socket(SockKind::Common, MayBeNull::Yes);

/// `struct bpf_sock_addr`, 72 bytes.
#[doc(alias = "bpf_sock_addr")]
const SOCK_ADDR: &[Field] = &[
    field("user_family", 0, 4, Shape::ReadOnly(4)),
    field("user_ip4", 4, 4, Shape::Narrow(4)),
    field("user_ip6", 8, 16, Shape::Address),
    field("user_port", 24, 4, Shape::Narrow(4)),
    field("family", 28, 4, Shape::ReadOnly(4)),
    field("type", 32, 4, Shape::ReadOnly(4)),
    field("protocol", 36, 4, Shape::ReadOnly(4)),
    field("msg_src_ip4", 40, 4, Shape::Narrow(4)),
    field("msg_src_ip6", 44, 16, Shape::Address),
    field("sk", 64, 8, Shape::Object(SOCKET)),
];

/// `struct bpf_sockopt`, 40 bytes.
#[doc(alias = "bpf_sockopt")]
const SOCKOPT: &[Field] = &[
    field("sk", 0, 8, Shape::Object(SOCKET)),
    field("optval", 8, 8, Shape::WidePacket(CtxAccess::Packet)),
    field("optval_end", 16, 8, Shape::WidePacket(CtxAccess::PacketEnd)),
    field("level", 24, 4, Shape::Whole(4)),
    field("optname", 28, 4, Shape::Whole(4)),
    field("optlen", 32, 4, Shape::Whole(4)),
    field("retval", 36, 4, Shape::Whole(4)),
];

/// `struct bpf_sysctl`, 8 bytes.
#[doc(alias = "bpf_sysctl")]
const SYSCTL: &[Field] = &[field("write", 0, 4, Shape::Narrow(4)), field("file_pos", 4, 4, Shape::Narrow(4))];

/// `struct bpf_cgroup_dev_ctx`, 12 bytes.
#[doc(alias = "bpf_cgroup_dev_ctx")]
const DEVICE: &[Field] = &[
    field("access_type", 0, 4, Shape::Narrow(4)),
    field("major", 4, 4, Shape::Whole(4)),
    field("minor", 8, 4, Shape::Whole(4)),
];

/// `struct bpf_sock_ops`, 224 bytes; those of which nothing else is said are 32-bit numbers.
#[doc(alias = "bpf_sock_ops")]
const SOCK_OPS: &[Field] = &[
    field("op", 0, 4, Shape::Whole(4)),
    field("reply", 4, 4, Shape::Whole(4)),
    field("args … sacked_out", 8, 156, Shape::Whole(4)),
    field("sk_txhash", 164, 4, Shape::Whole(4)),
    field("bytes_received", 168, 8, Shape::Whole(8)),
    field("bytes_acked", 176, 8, Shape::Whole(8)),
    field("sk", 184, 8, Shape::Object(SOCKET_OR_NULL)),
    field("skb_data", 192, 8, Shape::WidePacket(CtxAccess::Packet)),
    field("skb_data_end", 200, 8, Shape::WidePacket(CtxAccess::PacketEnd)),
    field("skb_len", 208, 4, Shape::Whole(4)),
    field("skb_tcp_flags", 212, 4, Shape::NarrowStart(4)),
    field("skb_hwtstamp", 216, 8, Shape::Whole(8)),
];

/// `struct sk_msg_md`, 80 bytes.
#[doc(alias = "sk_msg_md")]
const SK_MSG: &[Field] = &[
    field("data", 0, 8, Shape::WidePacket(CtxAccess::Packet)),
    field("data_end", 8, 8, Shape::WidePacket(CtxAccess::PacketEnd)),
    field("family … size", 16, 56, Shape::Whole(4)),
    field("sk", 72, 8, Shape::Object(SOCKET)),
];

/// `struct sk_reuseport_md`, 56 bytes.
#[doc(alias = "sk_reuseport_md")]
const SK_REUSEPORT: &[Field] = &[
    field("data", 0, 8, Shape::WidePacket(CtxAccess::Packet)),
    field("data_end", 8, 8, Shape::WidePacket(CtxAccess::PacketEnd)),
    field("len", 16, 4, Shape::Narrow(4)),
    field("eth_protocol", 20, 4, Shape::Narrow(4)),
    field("ip_protocol", 24, 4, Shape::Narrow(4)),
    field("bind_inany", 28, 4, Shape::Narrow(4)),
    field("hash", 32, 4, Shape::Whole(4)),
    field("sk", 40, 8, Shape::Object(SOCKET)),
    field("migrating_sk", 48, 8, Shape::Object(COMMON_OR_NULL)),
];

const fn read_only(fields: &'static [Field]) -> Policy {
    Policy { fields, hidden: &[], writable: &[] }
}

const CGROUP_SOCK_POLICY: Policy =
    Policy { fields: SOCK, hidden: &[], writable: &["bound_dev_if", "mark", "priority"] };
const SOCK_ADDR_POLICY: Policy = Policy {
    fields: SOCK_ADDR,
    hidden: &[],
    writable: &["user_ip4", "user_ip6", "user_port", "msg_src_ip4", "msg_src_ip6"],
};
const SOCKOPT_POLICY: Policy =
    Policy { fields: SOCKOPT, hidden: &[], writable: &["level", "optname", "optlen", "retval"] };
const SYSCTL_POLICY: Policy = Policy { fields: SYSCTL, hidden: &[], writable: &["file_pos"] };
const DEVICE_POLICY: Policy = read_only(DEVICE);
const SOCK_OPS_POLICY: Policy = Policy { fields: SOCK_OPS, hidden: &[], writable: &["reply", "sk_txhash"] };
const SOCK_OPS_POLICY_6_1: Policy = Policy { hidden: &["skb_hwtstamp"], ..SOCK_OPS_POLICY };
const SK_MSG_POLICY: Policy = read_only(SK_MSG);
const SK_REUSEPORT_POLICY: Policy = read_only(SK_REUSEPORT);

const SOCK_CREATE: u32 = 2;
const BIND4: u32 = 8;
const BIND6: u32 = 9;
const CONNECT4: u32 = 10;
const CONNECT6: u32 = 11;
const POST_BIND4: u32 = 12;
const POST_BIND6: u32 = 13;
const SENDMSG4: u32 = 14;
const SENDMSG6: u32 = 15;
const RECVMSG4: u32 = 19;
const RECVMSG6: u32 = 20;
const GETSOCKOPT: u32 = 21;
const SETSOCKOPT: u32 = 22;
const GETPEERNAME4: u32 = 29;
const GETPEERNAME6: u32 = 30;
const GETSOCKNAME4: u32 = 31;
const GETSOCKNAME6: u32 = 32;
const SOCK_RELEASE: u32 = 34;

/// Fields that only some attach types see: program type, first byte, bytes, attach types.
const SEEN_BY: &[(ProgType, u32, u32, &[u32])] = &[
    (ProgType::CgroupSock, 0, 4, &[SOCK_CREATE, SOCK_RELEASE]),
    (ProgType::CgroupSock, 16, 8, &[SOCK_CREATE, SOCK_RELEASE]),
    (ProgType::CgroupSock, 24, 4, &[POST_BIND4]),
    (ProgType::CgroupSock, 28, 16, &[POST_BIND6]),
    (ProgType::CgroupSock, 44, 4, &[POST_BIND4, POST_BIND6]),
    (ProgType::CgroupSockAddr, 4, 4, &[BIND4, CONNECT4, GETPEERNAME4, GETSOCKNAME4, SENDMSG4, RECVMSG4]),
    (ProgType::CgroupSockAddr, 8, 16, &[BIND6, CONNECT6, GETPEERNAME6, GETSOCKNAME6, SENDMSG6, RECVMSG6]),
    (ProgType::CgroupSockAddr, 40, 4, &[SENDMSG4]),
    (ProgType::CgroupSockAddr, 44, 16, &[SENDMSG6]),
    (ProgType::CgroupSockopt, 36, 4, &[GETSOCKOPT]),
];

/// What an access of `size` bytes at `off` is, for the program types of this file.
pub(super) fn access(prog: ProgKind, off: u32, size: u32, how: CtxUse, rules: &Rules) -> CtxAccess {
    let attach = attach_type(prog);
    let unseen = SEEN_BY.iter().any(|(prog_type, from, bytes, seen)| {
        *prog_type == prog.prog_type && (*from..from + bytes).contains(&off) && !seen.contains(&attach)
    });
    if unseen || !off.is_multiple_of(size) {
        return CtxAccess::Invalid;
    }
    match prog.prog_type {
        ProgType::CgroupSock => by_field(&CGROUP_SOCK_POLICY, off, size, how),
        ProgType::CgroupSockAddr => by_field(&SOCK_ADDR_POLICY, off, size, how),
        ProgType::CgroupSockopt if how == CtxUse::Write && matches!(off, 24..32) && attach != SETSOCKOPT => {
            CtxAccess::Invalid
        }
        ProgType::CgroupSockopt => by_field(&SOCKOPT_POLICY, off, size, how),
        ProgType::CgroupSysctl => by_field(&SYSCTL_POLICY, off, size, how),
        ProgType::CgroupDevice => by_field(&DEVICE_POLICY, off, size, how),
        ProgType::SockOps if Span::until(KernelVersion::V6_1).holds(rules.tables.context) => {
            by_field(&SOCK_OPS_POLICY_6_1, off, size, how)
        }
        ProgType::SockOps => by_field(&SOCK_OPS_POLICY, off, size, how),
        ProgType::SkMsg => by_field(&SK_MSG_POLICY, off, size, how),
        ProgType::SkReuseport => reuseport(off, size, how),
        other => CtxAccess::Unmodelled(other.name()),
    }
}

/// The protocol is not read by single bytes.
fn reuseport(off: u32, size: u32, how: CtxUse) -> CtxAccess {
    if matches!(off, 20..24) && size < 2 { CtxAccess::Invalid } else { by_field(&SK_REUSEPORT_POLICY, off, size, how) }
}

/// The attach type, as the kernel sets it where the loader left it out.
///
/// Kernel: `bpf_prog_load_fixup_attach_type` (6.1 … 7.3).
#[doc(alias = "bpf_prog_load_fixup_attach_type")]
fn attach_type(prog: ProgKind) -> u32 {
    match (prog.prog_type, prog.attach_type) {
        (ProgType::CgroupSock, 0) => SOCK_CREATE,
        (_, attach) => attach,
    }
}

#[cfg(test)]
mod tests {
    use super::super::PLAIN;
    use super::*;
    use CtxUse::{Read, Write};
    use ProgType::*;

    const NARROW: CtxAccess = CtxAccess::Scalar { field_bytes: Some(4) };

    #[test]
    fn accesses_agree_with_the_sources() {
        #[rustfmt::skip]
        let table = [
            (CgroupSock, 0, 0, 4, Write, PLAIN), (CgroupSock, POST_BIND4, 0, 4, Read, CtxAccess::Invalid),
            (CgroupSock, POST_BIND4, 24, 2, Read, NARROW), (CgroupSock, POST_BIND6, 24, 4, Read, CtxAccess::Invalid),
            (CgroupSock, POST_BIND6, 40, 4, Read, NARROW), (CgroupSock, 0, 4, 4, Write, CtxAccess::Invalid),
            (CgroupSock, SOCK_RELEASE, 20, 4, Write, PLAIN), (CgroupSock, 0, 20, 2, Write, CtxAccess::Invalid),
            (CgroupSockAddr, BIND4, 4, 1, Read, NARROW), (CgroupSockAddr, BIND6, 4, 4, Read, CtxAccess::Invalid),
            (CgroupSockAddr, BIND6, 8, 8, Write, PLAIN), (CgroupSockAddr, BIND6, 12, 8, Read, CtxAccess::Invalid),
            (CgroupSockAddr, SENDMSG6, 48, 8, Read, PLAIN), (CgroupSockAddr, SENDMSG6, 44, 4, Write, PLAIN),
            (CgroupSockAddr, SENDMSG6, 44, 2, Write, CtxAccess::Invalid),
            (CgroupSockAddr, BIND4, 64, 8, Read, SOCKET), (CgroupSockAddr, BIND4, 64, 8, Write, CtxAccess::Invalid),
            (CgroupSockAddr, BIND4, 60, 4, Read, CtxAccess::Invalid), (CgroupSockAddr, BIND4, 0, 2, Read, CtxAccess::Invalid),
            (CgroupSockopt, GETSOCKOPT, 36, 4, Write, PLAIN), (CgroupSockopt, SETSOCKOPT, 36, 4, Read, CtxAccess::Invalid),
            (CgroupSockopt, GETSOCKOPT, 24, 4, Write, CtxAccess::Invalid), (CgroupSockopt, SETSOCKOPT, 28, 4, Write, PLAIN),
            (CgroupSockopt, GETSOCKOPT, 8, 8, Read, CtxAccess::Packet), (CgroupSysctl, 0, 4, 1, Read, NARROW),
            (CgroupSysctl, 0, 4, 2, Write, CtxAccess::Invalid), (CgroupSysctl, 0, 0, 4, Write, CtxAccess::Invalid),
            (CgroupDevice, 0, 1, 1, Read, NARROW), (CgroupDevice, 0, 4, 2, Read, CtxAccess::Invalid),
            (SockOps, 0, 4, 4, Write, PLAIN), (SockOps, 0, 8, 4, Write, CtxAccess::Invalid), (SockOps, 0, 8, 4, Read, PLAIN),
            (SockOps, 0, 212, 1, Read, NARROW), (SockOps, 0, 213, 1, Read, CtxAccess::Invalid),
            (SockOps, 0, 184, 8, Read, SOCKET_OR_NULL), (SockOps, 0, 168, 4, Read, CtxAccess::Invalid),
            (SkMsg, 0, 0, 8, Read, CtxAccess::Packet), (SkMsg, 0, 16, 4, Read, PLAIN), (SkMsg, 0, 16, 4, Write, CtxAccess::Invalid),
            (SkReuseport, 39, 20, 1, Read, CtxAccess::Invalid), (SkReuseport, 39, 20, 2, Read, NARROW),
            (SkReuseport, 39, 48, 8, Read, COMMON_OR_NULL), (SkReuseport, 39, 36, 4, Read, CtxAccess::Invalid),
        ];
        for version in KernelVersion::ALL {
            for (prog_type, attach_type, off, size, how, expected) in table {
                let got = access(ProgKind { prog_type, attach_type }, off, size, how, &Rules::of(version));
                assert_eq!(got, expected, "{prog_type} {attach_type} {off} {size} {how:?}");
            }
            let hwtstamp = access(ProgKind { prog_type: SockOps, attach_type: 3 }, 216, 8, Read, &Rules::of(version));
            assert_eq!(hwtstamp == CtxAccess::Invalid, version == KernelVersion::V6_1);
        }
    }
}
