//! Prototypes of the helpers that are no matter of packets: maps, ring buffers, time, the current task, tracing.
//!
//! Stands for the `bpf_*_proto` tables in `kernel/bpf` and `kernel/trace/bpf_trace.c` (6.1 … 7.3). A name ends in the first
//! version of a prototype where there is more than one.

use super::names::id_of;
use super::proto::{Arg::*, HelperProto, MemAccess, Ret, Traits};
use super::table::*;

protos! {
    MAP_LOOKUP_ELEM = map_lookup_elem(ConstMapPtr, MapKey) -> MapValueOrNull, PACKET_ARGS;
    MAP_UPDATE_ELEM = map_update_elem(ConstMapPtr, MapKey, MapValue(MemAccess::Read), Anything) -> Integer, PACKET_ARGS;
    MAP_DELETE_ELEM = map_delete_elem(ConstMapPtr, MapKey) -> Integer, PACKET_ARGS;
    MAP_PUSH_ELEM = map_push_elem(ConstMapPtr, MapValue(MemAccess::Read), Anything) -> Integer, PACKET_ARGS;
    MAP_POP_ELEM = map_pop_elem(ConstMapPtr, MapValue(MemAccess::Fill)) -> Integer;
    MAP_PEEK_ELEM = map_peek_elem(ConstMapPtr, MapValue(MemAccess::Fill)) -> Integer;
    MAP_LOOKUP_PERCPU_ELEM = map_lookup_percpu_elem(ConstMapPtr, MapKey, Anything) -> MapValueOrNull, PACKET_ARGS;
    FOR_EACH_MAP_ELEM = for_each_map_elem(ConstMapPtr, Func, StackOrNull, Anything) -> Integer;
    LOOP = loop(Anything, Func, StackOrNull, Anything) -> Integer;
    LOOP_7_3 = loop(Scalar, Func, StackOrNull, Anything) -> Integer;
    TAIL_CALL = tail_call(Ctx, ConstMapPtr, Anything) -> Void;
    TAIL_CALL_6_12 = tail_call(Ctx, ConstMapPtr, Anything) -> Void, CHANGES_PACKET;

    GET_PRANDOM_U32 = get_prandom_u32() -> Integer;
    GET_RAW_SMP_PROCESSOR_ID = get_smp_processor_id() -> Integer;
    GET_SMP_PROCESSOR_ID = get_smp_processor_id() -> Integer;
    GET_SMP_PROCESSOR_ID_6_12 = get_smp_processor_id() -> Integer, FASTCALL;
    GET_NUMA_NODE_ID = get_numa_node_id() -> Integer;
    KTIME_GET_NS = ktime_get_ns() -> Integer;
    KTIME_GET_BOOT_NS = ktime_get_boot_ns() -> Integer;
    KTIME_GET_COARSE_NS = ktime_get_coarse_ns() -> Integer;
    KTIME_GET_TAI_NS = ktime_get_tai_ns() -> Integer;
    JIFFIES64 = jiffies64() -> Integer;

    RINGBUF_OUTPUT = ringbuf_output(ConstMapPtr, READ, SizeOrZero, Anything) -> Integer;
    RINGBUF_RESERVE = ringbuf_reserve(ConstMapPtr, AllocSizeOrZero, Anything) -> RingbufMemOrNull;
    RINGBUF_SUBMIT = ringbuf_submit(RingbufMem, Anything) -> Void;
    RINGBUF_DISCARD = ringbuf_discard(RingbufMem, Anything) -> Void;
    RINGBUF_QUERY = ringbuf_query(ConstMapPtr, Anything) -> Integer;

    STRNCMP = strncmp(PLAIN, Size, ConstStr) -> Integer;
    STRNCMP_6_12 = strncmp(READ, Size, ConstStr) -> Integer;
    STRTOL = strtol(READ, Size, Anything, FILL_U64) -> Integer;
    STRTOUL = strtoul(READ, Size, Anything, FILL_U64) -> Integer;

    GET_CURRENT_PID_TGID = get_current_pid_tgid() -> Integer;
    GET_CURRENT_UID_GID = get_current_uid_gid() -> Integer;
    GET_NS_CURRENT_PID_TGID = get_ns_current_pid_tgid(Anything, Anything, FILL, Size) -> Integer;
    GET_CURRENT_COMM = get_current_comm(FILL, Size) -> Integer;
    GET_CURRENT_TASK = get_current_task() -> Integer, GPL_ONLY;
    GET_CURRENT_CGROUP_ID = get_current_cgroup_id() -> Integer;
    GET_CURRENT_ANCESTOR_CGROUP_ID = get_current_ancestor_cgroup_id(Anything) -> Integer;
    CURRENT_TASK_UNDER_CGROUP = current_task_under_cgroup(ConstMapPtr, Anything) -> Integer;
    GET_CGROUP_CLASSID_CURR = get_cgroup_classid() -> Integer;
    GET_LOCAL_STORAGE = get_local_storage(ConstMapPtr, Anything) -> MapValue;

    TRACE_PRINTK = trace_printk(READ, Size) -> Integer, GPL_ONLY;
    TRACE_VPRINTK = trace_vprintk(READ, Size, READ_OR_NULL, SizeOrZero) -> Integer, GPL_ONLY;
    PROBE_READ = probe_read(FILL, SizeOrZero, Anything) -> Integer, GPL_ONLY;
    PROBE_READ_STR = probe_read_str(FILL, SizeOrZero, Anything) -> Integer, GPL_ONLY;
    PROBE_READ_KERNEL = probe_read_kernel(FILL, SizeOrZero, Anything) -> Integer, GPL_ONLY;
    PROBE_READ_KERNEL_STR = probe_read_kernel_str(FILL, SizeOrZero, Anything) -> Integer, GPL_ONLY;
    PROBE_READ_USER = probe_read_user(FILL, SizeOrZero, Anything) -> Integer, GPL_ONLY;
    PROBE_READ_USER_STR = probe_read_user_str(FILL, SizeOrZero, Anything) -> Integer, GPL_ONLY;
    PROBE_WRITE_USER = probe_write_user(Anything, READ, Size) -> Integer, GPL_ONLY;
    COPY_FROM_USER = copy_from_user(FILL, SizeOrZero, Anything) -> Integer, MIGHT_SLEEP;
    SEND_SIGNAL = send_signal(Anything) -> Integer;
    SEND_SIGNAL_THREAD = send_signal_thread(Anything) -> Integer;

    PERF_EVENT_OUTPUT = perf_event_output(Ctx, ConstMapPtr, Anything, READ, SizeOrZero) -> Integer, GPL_ONLY;
    PERF_EVENT_READ = perf_event_read(ConstMapPtr, Anything) -> Integer, GPL_ONLY;
    PERF_EVENT_READ_VALUE = perf_event_read_value(ConstMapPtr, Anything, FILL, Size) -> Integer, GPL_ONLY;
    PERF_PROG_READ_VALUE = perf_prog_read_value(Ctx, FILL, Size) -> Integer, GPL_ONLY;
    READ_BRANCH_RECORDS = read_branch_records(Ctx, PLAIN_OR_NULL, SizeOrZero, Anything) -> Integer, GPL_ONLY;
    READ_BRANCH_RECORDS_7_3 = read_branch_records(Ctx, WRITE_OR_NULL, SizeOrZero, Anything) -> Integer, GPL_ONLY;
    GET_BRANCH_SNAPSHOT = get_branch_snapshot(FILL, SizeOrZero) -> Integer, GPL_ONLY;
    GET_STACKID = get_stackid(Ctx, ConstMapPtr, Anything) -> Integer, GPL_ONLY;
    GET_STACKID_PERF_EVENT = get_stackid(Ctx, ConstMapPtr, Anything) -> Integer;
    GET_STACK = get_stack(Ctx, FILL, SizeOrZero, Anything) -> Integer, GPL_ONLY;
    GET_STACK_RAW_TP = get_stack(Ctx, READ, SizeOrZero, Anything) -> Integer, GPL_ONLY;
    GET_FUNC_IP = get_func_ip(Ctx) -> Integer, GPL_ONLY;
    GET_ATTACH_COOKIE = get_attach_cookie(Ctx) -> Integer;

    SYS_BPF = sys_bpf(Anything, READ, Size) -> Integer;
    SYS_CLOSE = sys_close(Anything) -> Integer;
    SYS_BPF_7_3 = sys_bpf(Anything, READ, Size) -> Integer, MIGHT_SLEEP;
    SYS_CLOSE_7_3 = sys_close(Anything) -> Integer, MIGHT_SLEEP;
    BTF_FIND_BY_NAME_KIND = btf_find_by_name_kind(READ, Size, Anything, Anything) -> Integer, MIGHT_SLEEP;
    BTF_FIND_BY_NAME_KIND_6_12 = btf_find_by_name_kind(READ, Size, Anything, Anything) -> Integer;
    KALLSYMS_LOOKUP_NAME = kallsyms_lookup_name(PLAIN, SizeOrZero, Anything, FILL_U64) -> Integer;
    KALLSYMS_LOOKUP_NAME_7_3 = kallsyms_lookup_name(READ, SizeOrZero, Anything, FILL_U64) -> Integer;

    SPIN_LOCK = spin_lock(SpinLock) -> Void;
    SPIN_UNLOCK = spin_unlock(SpinLock) -> Void;
    TIMER_INIT = timer_init(Timer, ConstMapPtr, Anything) -> Integer, GPL_ONLY;
    TIMER_SET_CALLBACK = timer_set_callback(Timer, Func) -> Integer, GPL_ONLY;
    TIMER_START = timer_start(Timer, Anything, Anything) -> Integer, GPL_ONLY;
    TIMER_CANCEL = timer_cancel(Timer) -> Integer, GPL_ONLY;
    GET_CURRENT_TASK_BTF = get_current_task_btf() -> Task, GPL_ONLY;
    GET_CURRENT_TASK_BTF_6_12 = get_current_task_btf() -> TrustedTask, GPL_ONLY;
    FIND_VMA = find_vma(Task, Anything, Func, StackOrNull, Anything) -> Integer;
    USER_RINGBUF_DRAIN = user_ringbuf_drain(ConstMapPtr, Func, StackOrNull, Anything) -> Integer;

    SNPRINTF = snprintf(PLAIN_OR_NULL, SizeOrZero, ConstStr, READ_OR_NULL, SizeOrZero) -> Integer, GPL_ONLY;
    SNPRINTF_7_3 = snprintf(WRITE_OR_NULL, SizeOrZero, ConstStr, READ_OR_NULL, SizeOrZero) -> Integer, GPL_ONLY;
    SNPRINTF_BTF = snprintf_btf(PLAIN, Size, READ, Size, Anything) -> Integer;
    SNPRINTF_BTF_7_3 = snprintf_btf(WRITE, Size, READ, Size, Anything) -> Integer;
}
