//! Prototypes of the helpers of sockets, and of programs that are attached to sockets and cgroups.
//!
//! Stands for the `bpf_*_proto` tables in `net/core/filter.c`, `net/core/sock_map.c` and `kernel/bpf/cgroup.c` (6.1 … 7.3). Left
//! out: local storage. A name ends in the first version of a prototype where there is
//! more than one.

use super::names::id_of;
use super::proto::{Arg::*, HelperProto, Ret, Traits};
use super::table::*;
use crate::kernel::ctx::KernelSock;

protos! {
    SK_LOOKUP_TCP = sk_lookup_tcp(Ctx, READ, Size, Anything, Anything) -> SocketOrNull, PACKET_ARGS, ACQUIRES;
    SK_LOOKUP_TCP_6_12 = sk_lookup_tcp(Ctx, READ, SizeOrZero, Anything, Anything) -> SocketOrNull, PACKET_ARGS, ACQUIRES;
    SK_LOOKUP_UDP = sk_lookup_udp(Ctx, READ, Size, Anything, Anything) -> SocketOrNull, PACKET_ARGS, ACQUIRES;
    SK_LOOKUP_UDP_6_12 = sk_lookup_udp(Ctx, READ, SizeOrZero, Anything, Anything) -> SocketOrNull, PACKET_ARGS, ACQUIRES;
    SKC_LOOKUP_TCP = skc_lookup_tcp(Ctx, READ, Size, Anything, Anything) -> SockCommonOrNull, PACKET_ARGS, ACQUIRES;
    SKC_LOOKUP_TCP_6_12 = skc_lookup_tcp(Ctx, READ, SizeOrZero, Anything, Anything) -> SockCommonOrNull, PACKET_ARGS, ACQUIRES;
    SK_RELEASE = sk_release(ReleasedSock) -> Integer;
    SK_FULLSOCK = sk_fullsock(Sock) -> SocketOrNull, CASTS;
    TCP_SOCK = tcp_sock(Sock) -> TcpSockOrNull, CASTS;
    GET_LISTENER_SOCK = get_listener_sock(Sock) -> SocketOrNull;
    GET_SOCKET_PTR_COOKIE = get_socket_cookie(AnySock) -> Integer;
    GET_SOCKET_PTR_COOKIE_6_12 = get_socket_cookie(AnySockOrNull) -> Integer;
    SK_CGROUP_ID = sk_cgroup_id(AnySock) -> Integer;
    SK_ANCESTOR_CGROUP_ID = sk_ancestor_cgroup_id(AnySock, Anything) -> Integer;
    TCP_CHECK_SYNCOOKIE = tcp_check_syncookie(AnySock, READ, Size, READ, Size) -> Integer, GPL_ONLY, PACKET_ARGS;
    TCP_GEN_SYNCOOKIE = tcp_gen_syncookie(AnySock, READ, Size, READ, Size) -> Integer, GPL_ONLY, PACKET_ARGS;
    SK_ASSIGN = sk_assign(Ctx, AnySock, Anything) -> Integer;
    SK_LOOKUP_ASSIGN = sk_assign(Ctx, SocketOrNull, Anything) -> Integer;

    SKC_TO_TCP_SOCK = skc_to_tcp_sock(AnySock) -> KernelSockOrNull(KernelSock::Tcp), CASTS;
    SKC_TO_TCP6_SOCK = skc_to_tcp6_sock(AnySock) -> KernelSockOrNull(KernelSock::Tcp6), CASTS;
    SKC_TO_TCP_TIMEWAIT_SOCK = skc_to_tcp_timewait_sock(AnySock) -> KernelSockOrNull(KernelSock::TcpTimewait), CASTS;
    SKC_TO_TCP_REQUEST_SOCK = skc_to_tcp_request_sock(AnySock) -> KernelSockOrNull(KernelSock::TcpRequest), CASTS;
    SKC_TO_UDP6_SOCK = skc_to_udp6_sock(AnySock) -> KernelSockOrNull(KernelSock::Udp6), CASTS;
    SKC_TO_UNIX_SOCK = skc_to_unix_sock(AnySock) -> KernelSockOrNull(KernelSock::Unix);
    SKC_TO_MPTCP_SOCK = skc_to_mptcp_sock(AnySock) -> KernelSockOrNull(KernelSock::Mptcp), CASTS;

    SK_REDIRECT_MAP = sk_redirect_map(Ctx, ConstMapPtr, Anything, Anything) -> Integer;
    SK_REDIRECT_HASH = sk_redirect_hash(Ctx, ConstMapPtr, MapKey, Anything) -> Integer;
    MSG_REDIRECT_MAP = msg_redirect_map(Ctx, ConstMapPtr, Anything, Anything) -> Integer;
    MSG_REDIRECT_HASH = msg_redirect_hash(Ctx, ConstMapPtr, MapKey, Anything) -> Integer;
    SOCK_MAP_UPDATE = sock_map_update(Ctx, ConstMapPtr, MapKey, Anything) -> Integer, PACKET_ARGS;
    SOCK_HASH_UPDATE = sock_hash_update(Ctx, ConstMapPtr, MapKey, Anything) -> Integer, PACKET_ARGS;
    SK_SELECT_REUSEPORT = sk_select_reuseport(Ctx, ConstMapPtr, MapKey, Anything) -> Integer;

    MSG_APPLY_BYTES = msg_apply_bytes(Ctx, Anything) -> Integer;
    MSG_CORK_BYTES = msg_cork_bytes(Ctx, Anything) -> Integer;
    MSG_PULL_DATA = msg_pull_data(Ctx, Anything, Anything, Anything) -> Integer, CHANGES_PACKET;
    MSG_PUSH_DATA = msg_push_data(Ctx, Anything, Anything, Anything) -> Integer, CHANGES_PACKET;
    MSG_POP_DATA = msg_pop_data(Ctx, Anything, Anything, Anything) -> Integer, CHANGES_PACKET;

    BIND = bind(Ctx, READ, Size) -> Integer;
    SETSOCKOPT = setsockopt(Ctx, Anything, Anything, READ, Size) -> Integer;
    GETSOCKOPT = getsockopt(Ctx, Anything, Anything, FILL, Size) -> Integer;
    SK_SETSOCKOPT = setsockopt(AnySock, Anything, Anything, READ, Size) -> Integer;
    SK_GETSOCKOPT = getsockopt(AnySock, Anything, Anything, FILL, Size) -> Integer;
    SOCK_OPS_CB_FLAGS_SET = sock_ops_cb_flags_set(Ctx, Anything) -> Integer;
    LOAD_HDR_OPT = load_hdr_opt(Ctx, WRITE, Size, Anything) -> Integer;
    STORE_HDR_OPT = store_hdr_opt(Ctx, READ, Size, Anything) -> Integer, CHANGES_PACKET;
    RESERVE_HDR_OPT = reserve_hdr_opt(Ctx, Anything, Anything) -> Integer;

    GET_RETVAL = get_retval() -> Integer;
    SET_RETVAL = set_retval(Anything) -> Integer;
    SYSCTL_GET_NAME = sysctl_get_name(Ctx, PLAIN, Size, Anything) -> Integer;
    SYSCTL_GET_NAME_7_3 = sysctl_get_name(Ctx, WRITE, Size, Anything) -> Integer;
    SYSCTL_GET_CURRENT_VALUE = sysctl_get_current_value(Ctx, FILL, Size) -> Integer;
    SYSCTL_GET_NEW_VALUE = sysctl_get_new_value(Ctx, FILL, Size) -> Integer;
    SYSCTL_SET_NEW_VALUE = sysctl_set_new_value(Ctx, READ, Size) -> Integer;
}
