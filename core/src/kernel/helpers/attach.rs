//! Helpers that a program type has for some attach types only.
//!
//! Stands for the conditions on `expected_attach_type` in `cgroup_common_func_proto`, `sock_addr_func_proto`,
//! `sock_filter_func_proto` and `cg_sockopt_func_proto` (6.1 … 7.3).

use super::id_of;
use crate::kernel::ctx::ProgKind;
use crate::kernel::{KernelVersion, ProgType, Rules, span::Span};

/// Which attach types a line speaks of.
enum Attach {
    /// These have the helper, others have not.
    Only(&'static [u32]),
    /// These have it not, others have.
    Not(&'static [u32]),
}

/// Attach types whose programs cannot change what the system call returns: packets, socket operations, received messages, and the
/// names of sockets.
const NO_RETVAL: &[u32] = &[0, 1, 3, 19, 20, 29, 30, 31, 32, 51, 52, 53];
/// Those of addresses that may set options of the socket: all of IP, and `CONNECT`, `SENDMSG` and `RECVMSG` of Unix sockets.
const WITH_OPTIONS: &[u32] = &[8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32, 49, 50, 51];
/// The names of Unix sockets, which 6.12 adds to them.
const UNIX_NAMES: &[u32] = &[52, 53];
/// `BPF_CGROUP_INET4_CONNECT` and the same of IPv6.
const CONNECT: &[u32] = &[10, 11];
const SETSOCKOPT: &[u32] = &[22];
/// `BPF_CGROUP_INET_SOCK_CREATE`, also by its absence.
const SOCK_CREATE: &[u32] = &[0, 2];

const CONDITIONS: &[(&[ProgType], &[i32], Attach)] = &[
    (
        &[
            ProgType::CgroupSkb,
            ProgType::CgroupSock,
            ProgType::CgroupSockAddr,
            ProgType::CgroupSockopt,
            ProgType::CgroupSysctl,
            ProgType::CgroupDevice,
            ProgType::SockOps,
        ],
        &[id_of("get_retval"), id_of("set_retval")],
        Attach::Not(NO_RETVAL),
    ),
    (&[ProgType::CgroupSockAddr], &[id_of("bind")], Attach::Only(CONNECT)),
    (&[ProgType::CgroupSockAddr], &[id_of("setsockopt"), id_of("getsockopt")], Attach::Only(WITH_OPTIONS)),
    (&[ProgType::CgroupSockopt], &[id_of("setsockopt"), id_of("getsockopt")], Attach::Only(SETSOCKOPT)),
    (&[ProgType::CgroupSock], &[id_of("setsockopt"), id_of("getsockopt")], Attach::Only(SOCK_CREATE)),
];

/// Whether a helper that the program type has is there for the attach type.
pub(super) fn allows(id: i32, prog: ProgKind, rules: &Rules) -> bool {
    let unix = Span::until(KernelVersion::V6_12).holds(rules.tables.helpers) && UNIX_NAMES.contains(&prog.attach_type);
    let line = CONDITIONS.iter().find(|(types, ids, _)| types.contains(&prog.prog_type) && ids.contains(&id));
    match line {
        None => true,
        Some((.., Attach::Only(those))) => {
            those.contains(&prog.attach_type) || unix && std::ptr::eq(*those, WITH_OPTIONS)
        }
        // A socket's program without attach type is one of its creation.
        Some((.., Attach::Not(those))) => {
            !those.contains(&prog.attach_type) || prog.prog_type == ProgType::CgroupSock && prog.attach_type == 0
        }
    }
}
