//! Which helpers a program type may call.
//!
//! Stands for the `*_func_proto` functions (6.1 … 7.3) of a loader with all capabilities, a licence that is compatible with
//! the GPL, and the configuration of a distribution's kernel (BTF, cgroups, IPv6 segment routing, no error injection into
//! kprobes). A menu is its own lines and, after them, those of the menu below it; the first line that holds decides.
//! Program types whose context is described by BTF have no menu. What depends on the attach type as well is in `attach`.

use super::general as g;
use super::names::id_of;
use super::network as n;
use super::proto::HelperProto;
use super::sockets as s;
use crate::kernel::KernelVersion::{V6_1, V6_12, V6_18, V7_3};
use crate::kernel::{ProgType, Rules, span::Span};

mod attached;

/// What may be called.
pub(super) struct Menu {
    lines: &'static [Line],
    below: Option<&'static Menu>,
}

/// One helper of a menu.
#[derive(Clone, Copy)]
pub(super) struct Line {
    /// The helper.
    pub(super) id: i32,
    /// The versions that the line holds for.
    pub(super) span: Span,
    /// What is to be had.
    pub(super) entry: Entry,
}

/// What a line offers.
#[derive(Clone, Copy)]
pub(super) enum Entry {
    /// A helper with this prototype.
    Proto(&'static HelperProto),
    /// A helper whose prototype is not modelled.
    Unmodelled,
    /// Nothing: the helper is withheld, whatever the menus below say.
    Withheld,
}

impl Menu {
    /// The line that decides on a helper.
    pub(super) fn find(&'static self, id: i32, rules: &Rules) -> Option<&'static Line> {
        let mut menu = Some(self);
        while let Some(here) = menu {
            if let Some(line) = here.lines.iter().find(|l| l.id == id && l.span.holds(rules.tables.helpers)) {
                return Some(line);
            }
            menu = here.below;
        }
        None
    }

    /// The lines of this menu alone.
    #[cfg(test)]
    pub(super) fn own_lines(&self) -> &'static [Line] {
        self.lines
    }

    /// All lines, own ones first.
    #[cfg(test)]
    pub(super) fn lines(&'static self) -> impl Iterator<Item = &'static Line> {
        std::iter::successors(Some(self), |m| m.below).flat_map(|m| m.lines)
    }
}

const fn has(proto: &'static HelperProto) -> Line {
    Line { id: proto.id, span: Span::ALL, entry: Entry::Proto(proto) }
}

const fn unmodelled(name: &str) -> Line {
    Line { id: id_of(name), span: Span::ALL, entry: Entry::Unmodelled }
}

const fn withheld(name: &str) -> Line {
    Line { id: id_of(name), span: Span::ALL, entry: Entry::Withheld }
}

impl Line {
    const fn only(self, span: Span) -> Line {
        Line { span, ..self }
    }
}

const SINCE_6_12: Span = Span::since(V6_12);
const SINCE_6_18: Span = Span::since(V6_18);

/// The menu of a program type; none where the type is not modelled.
pub(super) fn of(prog_type: ProgType) -> Option<&'static Menu> {
    Some(match prog_type {
        ProgType::SocketFilter => &SOCKET_FILTER,
        ProgType::SchedCls | ProgType::SchedAct => &SCHED_CLS,
        ProgType::Xdp => &XDP,
        ProgType::CgroupSkb => &CGROUP_SKB,
        ProgType::LwtIn => &LWT_IN,
        ProgType::LwtOut => &LWT_OUT,
        ProgType::LwtXmit => &LWT_XMIT,
        ProgType::LwtSeg6local => &LWT_SEG6LOCAL,
        ProgType::FlowDissector => &FLOW_DISSECTOR,
        ProgType::SkLookup => &SK_LOOKUP,
        ProgType::SkSkb => &attached::SK_SKB,
        ProgType::SkMsg => &attached::SK_MSG,
        ProgType::SkReuseport => &attached::SK_REUSEPORT,
        ProgType::SockOps => &attached::SOCK_OPS,
        ProgType::CgroupSock => &attached::CGROUP_SOCK,
        ProgType::CgroupSockAddr => &attached::CGROUP_SOCK_ADDR,
        ProgType::CgroupSockopt => &attached::CGROUP_SOCKOPT,
        ProgType::CgroupSysctl => &attached::CGROUP_SYSCTL,
        ProgType::CgroupDevice => &attached::CGROUP_DEVICE,
        ProgType::Kprobe => &KPROBE,
        ProgType::Tracepoint => &TRACEPOINT,
        ProgType::PerfEvent => &PERF_EVENT,
        ProgType::RawTracepoint | ProgType::RawTracepointWritable => &RAW_TRACEPOINT,
        ProgType::Syscall => &SYSCALL,
        ProgType::Netfilter => &BASE,
        _ => return None,
    })
}

/// Kernel: `bpf_base_func_proto`.
static BASE: Menu = Menu {
    lines: &[
        has(&g::MAP_LOOKUP_ELEM),
        has(&g::MAP_UPDATE_ELEM),
        has(&g::MAP_DELETE_ELEM),
        has(&g::MAP_PUSH_ELEM),
        has(&g::MAP_POP_ELEM),
        has(&g::MAP_PEEK_ELEM),
        has(&g::MAP_LOOKUP_PERCPU_ELEM),
        has(&g::FOR_EACH_MAP_ELEM),
        has(&g::LOOP).only(Span::until(V6_18)),
        has(&g::LOOP_7_3).only(Span::since(V7_3)),
        has(&g::TAIL_CALL).only(Span::until(V6_1)),
        has(&g::TAIL_CALL_6_12).only(SINCE_6_12),
        has(&g::GET_PRANDOM_U32),
        has(&g::GET_RAW_SMP_PROCESSOR_ID),
        has(&g::GET_NUMA_NODE_ID),
        has(&g::KTIME_GET_NS),
        has(&g::KTIME_GET_BOOT_NS),
        has(&g::KTIME_GET_TAI_NS),
        has(&g::JIFFIES64),
        has(&g::RINGBUF_OUTPUT),
        has(&g::RINGBUF_RESERVE),
        has(&g::RINGBUF_SUBMIT),
        has(&g::RINGBUF_DISCARD),
        has(&g::RINGBUF_QUERY),
        has(&g::STRNCMP).only(Span::until(V6_1)),
        has(&g::STRNCMP_6_12).only(SINCE_6_12),
        has(&g::STRTOL),
        has(&g::STRTOUL),
        has(&g::TRACE_PRINTK),
        has(&g::TRACE_VPRINTK),
        has(&g::GET_CURRENT_TASK),
        has(&g::PROBE_READ_USER),
        has(&g::PROBE_READ_USER_STR),
        has(&g::PROBE_READ_KERNEL),
        has(&g::PROBE_READ_KERNEL_STR),
        has(&g::SNPRINTF_BTF).only(Span::until(V6_18)),
        has(&g::SNPRINTF_BTF_7_3).only(Span::since(V7_3)),
        has(&g::SNPRINTF).only(Span::until(V6_18)),
        has(&g::SNPRINTF_7_3).only(Span::since(V7_3)),
        has(&g::SPIN_LOCK),
        has(&g::SPIN_UNLOCK),
        has(&g::TIMER_INIT),
        has(&g::TIMER_SET_CALLBACK),
        has(&g::TIMER_START),
        has(&g::TIMER_CANCEL),
        unmodelled("kptr_xchg"),
        unmodelled("per_cpu_ptr"),
        unmodelled("this_cpu_ptr"),
        has(&g::USER_RINGBUF_DRAIN),
        unmodelled("ringbuf_reserve_dynptr"),
        unmodelled("ringbuf_submit_dynptr"),
        unmodelled("ringbuf_discard_dynptr"),
        unmodelled("dynptr_from_mem"),
        unmodelled("dynptr_read"),
        unmodelled("dynptr_write"),
        unmodelled("dynptr_data"),
        has(&g::GET_CURRENT_TASK_BTF).only(Span::until(V6_1)),
        has(&g::GET_CURRENT_TASK_BTF_6_12).only(SINCE_6_12),
        unmodelled("task_pt_regs"),
        // For all program types since 6.12.
        has(&g::GET_CURRENT_PID_TGID).only(SINCE_6_12),
        has(&g::GET_NS_CURRENT_PID_TGID).only(SINCE_6_12),
        has(&g::GET_CURRENT_CGROUP_ID).only(SINCE_6_12),
        has(&g::GET_CURRENT_ANCESTOR_CGROUP_ID).only(SINCE_6_12),
        unmodelled("cgrp_storage_get").only(SINCE_6_12),
        unmodelled("cgrp_storage_delete").only(SINCE_6_12),
        // For all program types since 6.16.
        has(&g::GET_CURRENT_UID_GID).only(SINCE_6_18),
        has(&g::GET_CURRENT_COMM).only(SINCE_6_18),
        has(&g::CURRENT_TASK_UNDER_CGROUP).only(SINCE_6_18),
        has(&g::GET_CGROUP_CLASSID_CURR).only(SINCE_6_18),
        has(&g::COPY_FROM_USER).only(SINCE_6_18),
        has(&g::PERF_EVENT_READ).only(SINCE_6_18),
        has(&g::PERF_EVENT_READ_VALUE).only(SINCE_6_18),
        has(&g::SEND_SIGNAL).only(SINCE_6_18),
        has(&g::SEND_SIGNAL_THREAD).only(SINCE_6_18),
        has(&g::GET_BRANCH_SNAPSHOT).only(SINCE_6_18),
        unmodelled("task_storage_get").only(SINCE_6_18),
        unmodelled("task_storage_delete").only(SINCE_6_18),
        unmodelled("copy_from_user_task").only(SINCE_6_18),
        unmodelled("get_task_stack").only(SINCE_6_18),
        has(&g::FIND_VMA).only(SINCE_6_18),
    ],
    below: None,
};

/// Kernel: `bpf_tracing_func_proto`.
static TRACING: Menu = Menu {
    lines: &[
        has(&g::GET_SMP_PROCESSOR_ID).only(Span::until(V6_1)),
        has(&g::GET_SMP_PROCESSOR_ID_6_12).only(SINCE_6_12),
        has(&g::PROBE_READ),
        has(&g::PROBE_READ_STR),
        has(&g::PROBE_WRITE_USER),
        has(&g::GET_FUNC_IP),
        // Before they came to all program types.
        has(&g::GET_CURRENT_PID_TGID),
        has(&g::GET_NS_CURRENT_PID_TGID),
        has(&g::GET_CURRENT_UID_GID),
        has(&g::GET_CURRENT_COMM),
        has(&g::GET_CURRENT_CGROUP_ID),
        has(&g::GET_CURRENT_ANCESTOR_CGROUP_ID),
        has(&g::CURRENT_TASK_UNDER_CGROUP),
        has(&g::COPY_FROM_USER),
        has(&g::PERF_EVENT_READ),
        has(&g::PERF_EVENT_READ_VALUE),
        has(&g::SEND_SIGNAL),
        has(&g::SEND_SIGNAL_THREAD),
        has(&g::GET_BRANCH_SNAPSHOT),
        unmodelled("task_storage_get"),
        unmodelled("task_storage_delete"),
        unmodelled("copy_from_user_task"),
        unmodelled("get_task_stack"),
        has(&g::FIND_VMA),
    ],
    below: Some(&BASE),
};

/// Kernel: `kprobe_prog_func_proto`.
static KPROBE: Menu = Menu {
    lines: &[
        has(&g::PERF_EVENT_OUTPUT),
        has(&g::GET_STACKID),
        has(&g::GET_STACK),
        has(&g::GET_FUNC_IP),
        has(&g::GET_ATTACH_COOKIE),
        // Depends on the configuration.
        unmodelled("override_return"),
    ],
    below: Some(&TRACING),
};

/// Kernel: `tp_prog_func_proto`.
static TRACEPOINT: Menu = Menu {
    lines: &[has(&g::PERF_EVENT_OUTPUT), has(&g::GET_STACKID), has(&g::GET_STACK), has(&g::GET_ATTACH_COOKIE)],
    below: Some(&TRACING),
};

/// Kernel: `pe_prog_func_proto`.
static PERF_EVENT: Menu = Menu {
    lines: &[
        has(&g::PERF_EVENT_OUTPUT),
        has(&g::GET_STACKID_PERF_EVENT),
        has(&g::GET_STACK),
        has(&g::PERF_PROG_READ_VALUE),
        has(&g::READ_BRANCH_RECORDS).only(Span::until(V6_18)),
        has(&g::READ_BRANCH_RECORDS_7_3).only(Span::since(V7_3)),
        has(&g::GET_ATTACH_COOKIE),
    ],
    below: Some(&TRACING),
};

/// Kernel: `raw_tp_prog_func_proto`.
static RAW_TRACEPOINT: Menu = Menu {
    lines: &[
        has(&g::PERF_EVENT_OUTPUT),
        has(&g::GET_STACKID),
        has(&g::GET_STACK_RAW_TP).only(Span::until(V6_18)),
        has(&g::GET_STACK).only(Span::since(V7_3)),
        has(&g::GET_ATTACH_COOKIE).only(SINCE_6_12),
    ],
    below: Some(&TRACING),
};

/// Kernel: `syscall_prog_func_proto`, `tracing_prog_func_proto`.
static SYSCALL: Menu = Menu {
    lines: &[
        has(&g::SYS_BPF).only(Span::until(V6_18)),
        has(&g::SYS_BPF_7_3).only(Span::since(V7_3)),
        has(&g::SYS_CLOSE).only(Span::until(V6_18)),
        has(&g::SYS_CLOSE_7_3).only(Span::since(V7_3)),
        has(&g::BTF_FIND_BY_NAME_KIND).only(Span::until(V6_1)),
        has(&g::BTF_FIND_BY_NAME_KIND_6_12).only(Span::between(V6_12, V6_18)),
        has(&g::BTF_FIND_BY_NAME_KIND).only(Span::since(V7_3)),
        has(&g::KALLSYMS_LOOKUP_NAME).only(Span::until(V6_18)),
        has(&g::KALLSYMS_LOOKUP_NAME_7_3).only(Span::since(V7_3)),
        unmodelled("skb_output"),
        unmodelled("xdp_output"),
        has(&s::SKC_TO_TCP6_SOCK),
        has(&s::SKC_TO_TCP_SOCK),
        has(&s::SKC_TO_TCP_TIMEWAIT_SOCK),
        has(&s::SKC_TO_TCP_REQUEST_SOCK),
        has(&s::SKC_TO_UDP6_SOCK),
        has(&s::SKC_TO_UNIX_SOCK),
        has(&s::SKC_TO_MPTCP_SOCK),
        unmodelled("sk_storage_get"),
        unmodelled("sk_storage_delete"),
        unmodelled("sock_from_file"),
        has(&s::GET_SOCKET_PTR_COOKIE).only(Span::until(V6_1)),
        has(&s::GET_SOCKET_PTR_COOKIE_6_12).only(SINCE_6_12),
        unmodelled("xdp_get_buff_len"),
        unmodelled("d_path"),
        // Only where a trampoline calls the program.
        withheld("get_attach_cookie"),
    ],
    below: Some(&RAW_TRACEPOINT),
};

/// Kernel: `bpf_sk_base_func_proto`.
static SK_BASE: Menu = Menu {
    lines: &[
        has(&g::KTIME_GET_COARSE_NS),
        has(&s::SKC_TO_TCP6_SOCK),
        has(&s::SKC_TO_TCP_SOCK),
        has(&s::SKC_TO_TCP_TIMEWAIT_SOCK),
        has(&s::SKC_TO_TCP_REQUEST_SOCK),
        has(&s::SKC_TO_UDP6_SOCK),
        has(&s::SKC_TO_UNIX_SOCK),
        has(&s::SKC_TO_MPTCP_SOCK),
    ],
    below: Some(&BASE),
};

/// Kernel: `sk_filter_func_proto`.
static SOCKET_FILTER: Menu = Menu {
    lines: &[
        has(&n::SKB_LOAD_BYTES),
        has(&n::SKB_LOAD_BYTES_RELATIVE),
        has(&n::GET_SOCKET_COOKIE),
        has(&n::GET_SOCKET_UID),
        has(&n::GET_NETNS_COOKIE).only(SINCE_6_18),
        has(&g::PERF_EVENT_OUTPUT),
    ],
    below: Some(&SK_BASE),
};

/// Kernel: `cg_skb_func_proto`.
static CGROUP_SKB: Menu = Menu {
    lines: &[
        has(&g::GET_LOCAL_STORAGE),
        has(&s::GET_RETVAL),
        has(&s::SET_RETVAL),
        has(&n::SKB_CGROUP_ID),
        has(&n::SKB_ANCESTOR_CGROUP_ID),
        has(&n::SKB_ECN_SET_CE),
        has(&s::SK_FULLSOCK),
        unmodelled("sk_storage_get"),
        unmodelled("sk_storage_delete"),
        has(&s::SK_CGROUP_ID),
        has(&s::SK_ANCESTOR_CGROUP_ID),
        has(&s::SK_LOOKUP_TCP).only(Span::until(V6_1)),
        has(&s::SK_LOOKUP_TCP_6_12).only(SINCE_6_12),
        has(&s::SK_LOOKUP_UDP).only(Span::until(V6_1)),
        has(&s::SK_LOOKUP_UDP_6_12).only(SINCE_6_12),
        has(&s::SKC_LOOKUP_TCP).only(Span::until(V6_1)),
        has(&s::SKC_LOOKUP_TCP_6_12).only(SINCE_6_12),
        has(&s::SK_RELEASE),
        has(&s::TCP_SOCK),
        has(&s::GET_LISTENER_SOCK),
    ],
    below: Some(&SOCKET_FILTER),
};

/// Kernel: `tc_cls_act_func_proto`.
static SCHED_CLS: Menu = Menu {
    lines: &[
        has(&n::SKB_STORE_BYTES),
        has(&n::SKB_LOAD_BYTES),
        has(&n::SKB_LOAD_BYTES_RELATIVE),
        has(&n::SKB_PULL_DATA),
        has(&n::CSUM_DIFF),
        has(&n::CSUM_UPDATE),
        has(&n::CSUM_LEVEL),
        has(&n::L3_CSUM_REPLACE),
        has(&n::L4_CSUM_REPLACE),
        has(&n::CLONE_REDIRECT),
        has(&n::GET_CGROUP_CLASSID),
        has(&n::SKB_VLAN_PUSH),
        has(&n::SKB_VLAN_POP),
        has(&n::SKB_CHANGE_PROTO),
        has(&n::SKB_CHANGE_TYPE),
        has(&n::SKB_ADJUST_ROOM),
        has(&n::SKB_CHANGE_TAIL),
        has(&n::SKB_CHANGE_HEAD),
        has(&n::SKB_GET_TUNNEL_KEY),
        has(&n::SKB_SET_TUNNEL_KEY),
        has(&n::SKB_GET_TUNNEL_OPT),
        has(&n::SKB_SET_TUNNEL_OPT),
        has(&n::REDIRECT),
        has(&n::REDIRECT_NEIGH),
        has(&n::REDIRECT_PEER),
        has(&n::GET_ROUTE_REALM),
        has(&n::GET_HASH_RECALC),
        has(&n::SET_HASH_INVALID),
        has(&n::SET_HASH),
        has(&g::PERF_EVENT_OUTPUT),
        has(&g::GET_SMP_PROCESSOR_ID).only(Span::until(V6_1)),
        has(&g::GET_SMP_PROCESSOR_ID_6_12).only(SINCE_6_12),
        has(&n::SKB_UNDER_CGROUP),
        has(&n::GET_SOCKET_COOKIE),
        has(&n::GET_NETNS_COOKIE).only(SINCE_6_18),
        has(&n::GET_SOCKET_UID),
        has(&n::FIB_LOOKUP).only(Span::until(V6_18)),
        has(&n::FIB_LOOKUP_7_3).only(Span::since(V7_3)),
        has(&n::CHECK_MTU).only(Span::until(V6_1)),
        has(&n::CHECK_MTU_6_12).only(SINCE_6_12),
        has(&n::SKB_GET_XFRM_STATE),
        has(&n::SKB_CGROUP_CLASSID),
        has(&n::SKB_CGROUP_ID),
        has(&n::SKB_ANCESTOR_CGROUP_ID),
        has(&n::SKB_ECN_SET_CE),
        has(&n::SKB_SET_TSTAMP),
        has(&s::SK_FULLSOCK),
        unmodelled("sk_storage_get"),
        unmodelled("sk_storage_delete"),
        has(&s::SK_LOOKUP_TCP).only(Span::until(V6_1)),
        has(&s::SK_LOOKUP_TCP_6_12).only(SINCE_6_12),
        has(&s::SK_LOOKUP_UDP).only(Span::until(V6_1)),
        has(&s::SK_LOOKUP_UDP_6_12).only(SINCE_6_12),
        has(&s::SKC_LOOKUP_TCP).only(Span::until(V6_1)),
        has(&s::SKC_LOOKUP_TCP_6_12).only(SINCE_6_12),
        has(&s::SK_RELEASE),
        has(&s::TCP_SOCK),
        has(&s::GET_LISTENER_SOCK),
        has(&s::TCP_CHECK_SYNCOOKIE),
        has(&s::TCP_GEN_SYNCOOKIE),
        has(&s::SK_ASSIGN),
    ],
    below: Some(&SYNCOOKIE),
};

/// The raw SYN cookie helpers, which traffic control and XDP share, above their common base.
static SYNCOOKIE: Menu = Menu {
    lines: &[
        has(&n::GEN_SYNCOOKIE_V4).only(Span::until(V6_1)),
        has(&n::GEN_SYNCOOKIE_V4_6_12).only(Span::between(V6_12, V6_18)),
        has(&n::GEN_SYNCOOKIE_V4_7_3).only(Span::since(V7_3)),
        has(&n::GEN_SYNCOOKIE_V6).only(Span::until(V6_1)),
        has(&n::GEN_SYNCOOKIE_V6_6_12).only(Span::between(V6_12, V6_18)),
        has(&n::GEN_SYNCOOKIE_V6_7_3).only(Span::since(V7_3)),
        has(&n::CHECK_SYNCOOKIE_V4).only(Span::until(V6_18)),
        has(&n::CHECK_SYNCOOKIE_V4_7_3).only(Span::since(V7_3)),
        has(&n::CHECK_SYNCOOKIE_V6).only(Span::until(V6_18)),
        has(&n::CHECK_SYNCOOKIE_V6_7_3).only(Span::since(V7_3)),
    ],
    below: Some(&SK_BASE),
};

/// Kernel: `xdp_func_proto`.
static XDP: Menu = Menu {
    lines: &[
        has(&g::PERF_EVENT_OUTPUT),
        has(&g::GET_SMP_PROCESSOR_ID).only(Span::until(V6_1)),
        has(&g::GET_SMP_PROCESSOR_ID_6_12).only(SINCE_6_12),
        has(&n::CSUM_DIFF),
        has(&n::XDP_ADJUST_HEAD),
        has(&n::XDP_ADJUST_META),
        has(&n::REDIRECT),
        has(&n::REDIRECT_MAP),
        has(&n::XDP_ADJUST_TAIL),
        has(&n::XDP_GET_BUFF_LEN),
        has(&n::XDP_LOAD_BYTES),
        has(&n::XDP_STORE_BYTES),
        has(&n::FIB_LOOKUP).only(Span::until(V6_18)),
        has(&n::FIB_LOOKUP_7_3).only(Span::since(V7_3)),
        has(&n::CHECK_MTU).only(Span::until(V6_1)),
        has(&n::CHECK_MTU_6_12).only(SINCE_6_12),
        has(&s::SK_LOOKUP_TCP).only(Span::until(V6_1)),
        has(&s::SK_LOOKUP_TCP_6_12).only(SINCE_6_12),
        has(&s::SK_LOOKUP_UDP).only(Span::until(V6_1)),
        has(&s::SK_LOOKUP_UDP_6_12).only(SINCE_6_12),
        has(&s::SKC_LOOKUP_TCP).only(Span::until(V6_1)),
        has(&s::SKC_LOOKUP_TCP_6_12).only(SINCE_6_12),
        has(&s::SK_RELEASE),
        has(&s::TCP_CHECK_SYNCOOKIE),
        has(&s::TCP_GEN_SYNCOOKIE),
    ],
    below: Some(&SYNCOOKIE),
};

/// Kernel: `flow_dissector_func_proto`.
static FLOW_DISSECTOR: Menu = Menu { lines: &[has(&n::SKB_LOAD_BYTES)], below: Some(&SK_BASE) };

/// Kernel: `sk_lookup_func_proto`.
static SK_LOOKUP: Menu = Menu {
    lines: &[has(&g::PERF_EVENT_OUTPUT), has(&s::SK_LOOKUP_ASSIGN), has(&s::SK_RELEASE)],
    below: Some(&SK_BASE),
};

/// Kernel: `lwt_out_func_proto`.
static LWT_OUT: Menu = Menu {
    lines: &[
        has(&n::SKB_LOAD_BYTES),
        has(&n::SKB_PULL_DATA),
        has(&n::CSUM_DIFF),
        has(&n::GET_CGROUP_CLASSID),
        has(&n::GET_ROUTE_REALM),
        has(&n::GET_HASH_RECALC),
        has(&g::PERF_EVENT_OUTPUT),
        has(&g::GET_SMP_PROCESSOR_ID).only(Span::until(V6_1)),
        has(&g::GET_SMP_PROCESSOR_ID_6_12).only(SINCE_6_12),
        has(&n::SKB_UNDER_CGROUP),
    ],
    below: Some(&SK_BASE),
};

/// Kernel: `lwt_in_func_proto`.
static LWT_IN: Menu = Menu { lines: &[has(&n::LWT_PUSH_ENCAP)], below: Some(&LWT_OUT) };

/// Kernel: `lwt_xmit_func_proto`.
static LWT_XMIT: Menu = Menu {
    lines: &[
        has(&n::SKB_GET_TUNNEL_KEY),
        has(&n::SKB_SET_TUNNEL_KEY),
        has(&n::SKB_GET_TUNNEL_OPT),
        has(&n::SKB_SET_TUNNEL_OPT),
        has(&n::REDIRECT),
        has(&n::CLONE_REDIRECT),
        has(&n::SKB_CHANGE_TAIL),
        has(&n::SKB_CHANGE_HEAD),
        has(&n::SKB_STORE_BYTES),
        has(&n::CSUM_UPDATE),
        has(&n::CSUM_LEVEL),
        has(&n::L3_CSUM_REPLACE),
        has(&n::L4_CSUM_REPLACE),
        has(&n::SET_HASH_INVALID),
        has(&n::LWT_PUSH_ENCAP),
    ],
    below: Some(&LWT_OUT),
};

/// Kernel: `lwt_seg6local_func_proto`.
static LWT_SEG6LOCAL: Menu = Menu {
    lines: &[
        // Withheld by a correction that 6.1.192 has and 6.12.107 has not.
        withheld("skb_pull_data").only(Span::until(V6_1)),
        withheld("skb_pull_data").only(Span::since(V7_3)),
        has(&n::LWT_SEG6_STORE_BYTES),
        has(&n::LWT_SEG6_ACTION),
        has(&n::LWT_SEG6_ADJUST_SRH),
    ],
    below: Some(&LWT_OUT),
};
