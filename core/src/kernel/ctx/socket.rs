//! Sockets as programs see them: kinds, fields, and which loads of them pass.
//!
//! Stands for `struct bpf_sock`, `bpf_tcp_sock`, `bpf_xdp_sock` of the user interface and for `bpf_sock_is_valid_access`,
//! `bpf_sock_common_is_valid_access` and their likes (6.1 … 7.3). Left out: the fields of sockets as kernel objects with BTF types.
//! Invariant:
//! a pointer of any kind here is read only.

use super::layout::{Field, Policy, Shape, field};
use super::{CtxAccess, CtxUse, by_field};

/// What kind of socket a pointer points to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SockKind {
    /// Any socket, of which only the common part is there (`PTR_TO_SOCK_COMMON`).
    Common,
    /// A full socket (`PTR_TO_SOCKET`).
    Full,
    /// A TCP socket (`PTR_TO_TCP_SOCK`).
    Tcp,
    /// A socket of AF_XDP (`PTR_TO_XDP_SOCK`).
    Xdp,
}

impl SockKind {
    /// The log's name.
    ///
    /// Kernel: `reg_type_str` (6.1 … 7.3).
    #[doc(alias = "reg_type_str")]
    pub const fn log_name(self) -> &'static str {
        match self {
            SockKind::Common => "sock_common",
            SockKind::Full => "sock",
            SockKind::Tcp => "tcp_sock",
            SockKind::Xdp => "xdp_sock",
        }
    }

    /// The log's name while it may be null.
    pub const fn log_name_or_null(self) -> &'static str {
        match self {
            SockKind::Common => "sock_common_or_null",
            SockKind::Full => "sock_or_null",
            SockKind::Tcp => "tcp_sock_or_null",
            SockKind::Xdp => "xdp_sock_or_null",
        }
    }
}

/// What kind of socket a pointer to a kernel's object points to, which is handed on but not looked into.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum KernelSock {
    /// `tcp_sock`.
    Tcp,
    /// `tcp6_sock`.
    Tcp6,
    /// `tcp_timewait_sock`.
    TcpTimewait,
    /// `tcp_request_sock`.
    TcpRequest,
    /// `udp6_sock`.
    Udp6,
    /// `unix_sock`.
    Unix,
    /// `mptcp_sock`.
    Mptcp,
}

impl KernelSock {
    /// The kernel's name of the structure.
    pub const fn struct_name(self) -> &'static str {
        match self {
            KernelSock::Tcp => "tcp_sock",
            KernelSock::Tcp6 => "tcp6_sock",
            KernelSock::TcpTimewait => "tcp_timewait_sock",
            KernelSock::TcpRequest => "tcp_request_sock",
            KernelSock::Udp6 => "udp6_sock",
            KernelSock::Unix => "unix_sock",
            KernelSock::Mptcp => "mptcp_sock",
        }
    }
}

/// `struct bpf_sock`, 80 bytes.
#[doc(alias = "bpf_sock")]
pub const SOCK: &[Field] = &[
    field("bound_dev_if", 0, 4, Shape::Whole(4)),
    field("family", 4, 4, Shape::NarrowStart(4)),
    field("type", 8, 4, Shape::NarrowStart(4)),
    field("protocol", 12, 4, Shape::NarrowStart(4)),
    field("mark", 16, 4, Shape::Whole(4)),
    field("priority", 20, 4, Shape::Whole(4)),
    field("src_ip4", 24, 4, Shape::Narrow(4)),
    field("src_ip6", 28, 16, Shape::Narrow(4)),
    field("src_port", 44, 4, Shape::NarrowStart(4)),
    field("dst_port", 48, 2, Shape::Port),
    field("padding", 50, 2, Shape::Closed),
    field("dst_ip4", 52, 4, Shape::Narrow(4)),
    field("dst_ip6", 56, 16, Shape::Narrow(4)),
    field("state", 72, 4, Shape::NarrowStart(4)),
    field("rx_queue_mapping", 76, 4, Shape::NarrowStart(4)),
];

/// `struct bpf_tcp_sock`, 112 bytes; all fields but two are 32-bit numbers.
#[doc(alias = "bpf_tcp_sock")]
pub const TCP_SOCK: &[Field] = &[
    field("snd_cwnd … sacked_out", 0, 80, Shape::Whole(4)),
    field("bytes_received", 80, 8, Shape::WideStart),
    field("bytes_acked", 88, 8, Shape::WideStart),
    field("dsack_dups … icsk_retransmits", 96, 16, Shape::Whole(4)),
];

/// `struct bpf_xdp_sock`, 4 bytes.
#[doc(alias = "bpf_xdp_sock")]
pub const XDP_SOCK: &[Field] = &[field("queue_id", 0, 4, Shape::Whole(4))];

/// Bytes of `struct bpf_flow_keys`, which flow dissectors read and write in any pieces.
#[doc(alias = "bpf_flow_keys")]
pub const FLOW_KEYS_BYTES: u32 = 56;

const FULL: Policy = Policy { fields: SOCK, hidden: &[], writable: &[] };
const COMMON: Policy = Policy { fields: SOCK, hidden: &["type", "protocol", "mark", "priority"], writable: &[] };
const TCP: Policy = Policy { fields: TCP_SOCK, hidden: &[], writable: &[] };
const XDP: Policy = Policy { fields: XDP_SOCK, hidden: &[], writable: &[] };

/// What a load of `size` bytes at `off` from a socket is: a number, or [`CtxAccess::Invalid`].
///
/// Kernel: `check_sock_access` (6.1 … 7.3).
#[doc(alias = "check_sock_access")]
pub fn socket_load(kind: SockKind, off: i64, size: u32) -> CtxAccess {
    let policy = match kind {
        SockKind::Common => &COMMON,
        SockKind::Full => &FULL,
        SockKind::Tcp => &TCP,
        SockKind::Xdp => &XDP,
    };
    match u32::try_from(off) {
        Ok(off) => by_field(policy, off, size, CtxUse::Read),
        Err(_) => CtxAccess::Invalid,
    }
}

#[cfg(test)]
mod tests {
    use super::SockKind::*;
    use super::*;

    #[test]
    fn loads_of_sockets_agree_with_the_sources() {
        let passes = |kind, off, size| socket_load(kind, off, size) != CtxAccess::Invalid;
        for (kind, off, size, expected) in [
            (Full, 0, 4, true),
            (Full, 0, 2, false),
            (Full, 4, 2, true),
            (Full, 6, 2, false),
            (Full, 8, 4, true),
            (Full, 26, 2, true),
            (Full, 48, 4, true),
            (Full, 48, 2, true),
            (Full, 50, 2, false),
            (Full, 72, 1, true),
            (Full, 80, 4, false),
            (Full, -4, 4, false),
            (Full, 52, 8, false),
            (Common, 4, 4, true),
            (Common, 8, 4, false),
            (Common, 16, 4, false),
            (Common, 20, 4, false),
            (Common, 24, 4, true),
            (Tcp, 80, 8, true),
            (Tcp, 80, 4, false),
            (Tcp, 84, 4, true),
            (Tcp, 108, 4, true),
            (Tcp, 112, 4, false),
            (Xdp, 0, 4, true),
            (Xdp, 4, 4, false),
        ] {
            assert_eq!(passes(kind, off, size), expected, "{kind:?} {off} {size}");
        }
    }
}
