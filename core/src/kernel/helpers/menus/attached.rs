//! The menus of programs that are attached to sockets and cgroups.
//!
//! Stands for `sk_skb_func_proto`, `sock_addr_func_proto` and their likes in `net/core/filter.c` and `kernel/bpf/cgroup.c` (6.1 …
//! 7.3); the lines of `cgroup_common_func_proto` and `cgroup_current_func_proto` stand in each menu that begins with them.

use super::super::{general as g, network as n, sockets as s};
use super::{BASE, Menu, SINCE_6_12, SK_BASE, Span, V6_1, V6_12, V6_18, V7_3, has, unmodelled};

const UNTIL_6_12: Span = Span::until(V6_12);

/// Kernel: `sk_skb_func_proto`.
pub(super) static SK_SKB: Menu = Menu {
    lines: &[
        has(&n::SKB_STORE_BYTES),
        has(&n::SKB_LOAD_BYTES),
        has(&n::SKB_PULL_DATA),
        has(&n::SKB_CHANGE_TAIL),
        has(&n::SKB_CHANGE_HEAD),
        has(&n::SKB_ADJUST_ROOM),
        has(&n::GET_SOCKET_COOKIE),
        has(&n::GET_SOCKET_UID),
        has(&s::SK_REDIRECT_MAP),
        has(&s::SK_REDIRECT_HASH),
        has(&g::PERF_EVENT_OUTPUT),
        has(&s::SK_LOOKUP_TCP).only(Span::until(V6_1)),
        has(&s::SK_LOOKUP_TCP_6_12).only(SINCE_6_12),
        has(&s::SK_LOOKUP_UDP).only(Span::until(V6_1)),
        has(&s::SK_LOOKUP_UDP_6_12).only(SINCE_6_12),
        has(&s::SKC_LOOKUP_TCP).only(Span::until(V6_1)),
        has(&s::SKC_LOOKUP_TCP_6_12).only(SINCE_6_12),
        has(&s::SK_RELEASE),
    ],
    below: Some(&SK_BASE),
};

/// Kernel: `sk_msg_func_proto`.
pub(super) static SK_MSG: Menu = Menu {
    lines: &[
        has(&s::MSG_REDIRECT_MAP),
        has(&s::MSG_REDIRECT_HASH),
        has(&s::MSG_APPLY_BYTES),
        has(&s::MSG_CORK_BYTES),
        has(&s::MSG_PULL_DATA),
        has(&s::MSG_PUSH_DATA),
        has(&s::MSG_POP_DATA),
        has(&g::PERF_EVENT_OUTPUT),
        has(&n::GET_NETNS_COOKIE),
        has(&g::GET_CURRENT_UID_GID).only(UNTIL_6_12),
        has(&g::GET_CGROUP_CLASSID_CURR).only(UNTIL_6_12),
        has(&g::GET_CURRENT_PID_TGID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_CGROUP_ID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_ANCESTOR_CGROUP_ID).only(Span::until(V6_1)),
        unmodelled("sk_storage_get"),
        unmodelled("sk_storage_delete"),
    ],
    below: Some(&SK_BASE),
};

/// Kernel: `sk_reuseport_func_proto`.
pub(super) static SK_REUSEPORT: Menu = Menu {
    lines: &[
        has(&s::SK_SELECT_REUSEPORT),
        has(&n::SKB_LOAD_BYTES),
        has(&n::SKB_LOAD_BYTES_RELATIVE),
        has(&s::GET_SOCKET_PTR_COOKIE).only(Span::until(V6_1)),
        has(&s::GET_SOCKET_PTR_COOKIE_6_12).only(SINCE_6_12),
        has(&g::KTIME_GET_COARSE_NS),
    ],
    below: Some(&BASE),
};

/// Kernel: `sock_ops_func_proto`.
pub(super) static SOCK_OPS: Menu = Menu {
    lines: &[
        has(&g::GET_LOCAL_STORAGE),
        has(&s::GET_RETVAL),
        has(&s::SET_RETVAL),
        has(&s::SETSOCKOPT),
        has(&s::GETSOCKOPT),
        has(&s::SOCK_OPS_CB_FLAGS_SET),
        has(&s::SOCK_MAP_UPDATE),
        has(&s::SOCK_HASH_UPDATE),
        has(&n::GET_SOCKET_COOKIE),
        has(&g::PERF_EVENT_OUTPUT),
        has(&n::GET_NETNS_COOKIE),
        has(&s::LOAD_HDR_OPT),
        has(&s::STORE_HDR_OPT),
        has(&s::RESERVE_HDR_OPT),
        has(&s::TCP_SOCK),
        unmodelled("sk_storage_get"),
        unmodelled("sk_storage_delete"),
    ],
    below: Some(&SK_BASE),
};

/// Kernel: `sock_filter_func_proto`.
pub(super) static CGROUP_SOCK: Menu = Menu {
    lines: &[
        has(&g::GET_LOCAL_STORAGE),
        has(&s::GET_RETVAL),
        has(&s::SET_RETVAL),
        has(&g::GET_CURRENT_UID_GID).only(UNTIL_6_12),
        has(&g::GET_CURRENT_COMM).only(UNTIL_6_12),
        has(&g::GET_CGROUP_CLASSID_CURR).only(UNTIL_6_12),
        has(&g::GET_CURRENT_PID_TGID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_CGROUP_ID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_ANCESTOR_CGROUP_ID).only(Span::until(V6_1)),
        has(&g::CURRENT_TASK_UNDER_CGROUP).only(Span::between(V6_12, V6_12)),
        has(&n::GET_SOCKET_COOKIE),
        has(&n::GET_NETNS_COOKIE),
        has(&g::PERF_EVENT_OUTPUT),
        has(&g::KTIME_GET_COARSE_NS),
        has(&s::SETSOCKOPT).only(Span::since(V7_3)),
        has(&s::GETSOCKOPT).only(Span::since(V7_3)),
        unmodelled("sk_storage_get"),
    ],
    below: Some(&BASE),
};

/// Kernel: `sock_addr_func_proto`.
pub(super) static CGROUP_SOCK_ADDR: Menu = Menu {
    lines: &[
        has(&g::GET_LOCAL_STORAGE),
        has(&s::GET_RETVAL),
        has(&s::SET_RETVAL),
        has(&g::GET_CURRENT_UID_GID).only(UNTIL_6_12),
        has(&g::GET_CURRENT_COMM).only(UNTIL_6_12),
        has(&g::GET_CGROUP_CLASSID_CURR).only(UNTIL_6_12),
        has(&g::GET_CURRENT_PID_TGID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_CGROUP_ID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_ANCESTOR_CGROUP_ID).only(Span::until(V6_1)),
        has(&g::CURRENT_TASK_UNDER_CGROUP).only(Span::between(V6_12, V6_12)),
        has(&s::BIND),
        has(&n::GET_SOCKET_COOKIE),
        has(&n::GET_NETNS_COOKIE),
        has(&g::PERF_EVENT_OUTPUT),
        has(&s::SK_LOOKUP_TCP).only(Span::until(V6_1)),
        has(&s::SK_LOOKUP_TCP_6_12).only(SINCE_6_12),
        has(&s::SK_LOOKUP_UDP).only(Span::until(V6_1)),
        has(&s::SK_LOOKUP_UDP_6_12).only(SINCE_6_12),
        has(&s::SKC_LOOKUP_TCP).only(Span::until(V6_1)),
        has(&s::SKC_LOOKUP_TCP_6_12).only(SINCE_6_12),
        has(&s::SK_RELEASE),
        has(&s::SETSOCKOPT),
        has(&s::GETSOCKOPT),
        unmodelled("sk_storage_get"),
        unmodelled("sk_storage_delete"),
    ],
    below: Some(&SK_BASE),
};

/// Kernel: `cg_sockopt_func_proto`.
pub(super) static CGROUP_SOCKOPT: Menu = Menu {
    lines: &[
        has(&g::GET_LOCAL_STORAGE),
        has(&s::GET_RETVAL),
        has(&s::SET_RETVAL),
        has(&g::GET_CURRENT_UID_GID).only(UNTIL_6_12),
        has(&g::GET_CURRENT_COMM).only(UNTIL_6_12),
        has(&g::GET_CGROUP_CLASSID_CURR).only(UNTIL_6_12),
        has(&g::GET_CURRENT_PID_TGID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_CGROUP_ID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_ANCESTOR_CGROUP_ID).only(Span::until(V6_1)),
        has(&g::CURRENT_TASK_UNDER_CGROUP).only(Span::between(V6_12, V6_12)),
        has(&n::GET_NETNS_COOKIE),
        has(&s::SK_SETSOCKOPT),
        has(&s::SK_GETSOCKOPT),
        has(&s::TCP_SOCK),
        has(&g::PERF_EVENT_OUTPUT),
        unmodelled("sk_storage_get"),
        unmodelled("sk_storage_delete"),
    ],
    below: Some(&BASE),
};

/// Kernel: `sysctl_func_proto`.
pub(super) static CGROUP_SYSCTL: Menu = Menu {
    lines: &[
        has(&g::GET_LOCAL_STORAGE),
        has(&s::GET_RETVAL),
        has(&s::SET_RETVAL),
        has(&g::GET_CURRENT_UID_GID).only(UNTIL_6_12),
        has(&g::GET_CURRENT_COMM).only(UNTIL_6_12),
        has(&g::GET_CGROUP_CLASSID_CURR).only(UNTIL_6_12),
        has(&g::GET_CURRENT_PID_TGID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_CGROUP_ID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_ANCESTOR_CGROUP_ID).only(Span::until(V6_1)),
        has(&g::CURRENT_TASK_UNDER_CGROUP).only(Span::between(V6_12, V6_12)),
        has(&s::SYSCTL_GET_NAME).only(Span::until(V6_18)),
        has(&s::SYSCTL_GET_NAME_7_3).only(Span::since(V7_3)),
        has(&s::SYSCTL_GET_CURRENT_VALUE),
        has(&s::SYSCTL_GET_NEW_VALUE),
        has(&s::SYSCTL_SET_NEW_VALUE),
        has(&g::KTIME_GET_COARSE_NS),
        has(&g::PERF_EVENT_OUTPUT),
    ],
    below: Some(&BASE),
};

/// Kernel: `cgroup_dev_func_proto`.
pub(super) static CGROUP_DEVICE: Menu = Menu {
    lines: &[
        has(&g::GET_LOCAL_STORAGE),
        has(&s::GET_RETVAL),
        has(&s::SET_RETVAL),
        has(&g::GET_CURRENT_UID_GID).only(UNTIL_6_12),
        has(&g::GET_CURRENT_COMM).only(UNTIL_6_12),
        has(&g::GET_CGROUP_CLASSID_CURR).only(UNTIL_6_12),
        has(&g::GET_CURRENT_PID_TGID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_CGROUP_ID).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_ANCESTOR_CGROUP_ID).only(Span::until(V6_1)),
        has(&g::CURRENT_TASK_UNDER_CGROUP).only(Span::between(V6_12, V6_12)),
        has(&g::PERF_EVENT_OUTPUT),
    ],
    below: Some(&BASE),
};
