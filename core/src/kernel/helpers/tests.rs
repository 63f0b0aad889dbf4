use super::*;
use KernelVersion::{V6_1, V6_12, V6_18, V7_3};
use std::collections::BTreeSet;

fn rules(version: KernelVersion) -> Rules {
    Rules::of(version)
}

/// How a helper is answered for, in a word: a spot check reads as a table.
fn answer(helper: &str, prog_type: ProgType, version: KernelVersion) -> &'static str {
    let id = helper_id(helper).expect("a helper's name");
    match lookup(id, prog_type, &rules(version)) {
        HelperLookup::Proto(_) => "yes",
        HelperLookup::Unmodelled(_) => "unmodelled",
        HelperLookup::NotAllowed => "no",
        HelperLookup::Invalid => "invalid",
    }
}

fn proto(helper: &str, prog_type: ProgType, version: KernelVersion) -> HelperProto {
    match lookup(helper_id(helper).expect("a helper's name"), prog_type, &rules(version)) {
        HelperLookup::Proto(proto) => *proto,
        other => panic!("{helper} for {prog_type} in {version}: {other:?}"),
    }
}

#[test]
fn names_and_numbers_are_one_to_one() {
    assert_eq!(names::NAMES.iter().collect::<BTreeSet<_>>().len(), names::NAMES.len());
    for id in 0..names::NAMES.len() as i32 {
        let name = helper_name(id).unwrap();
        assert_eq!(helper_id(name), Some(id));
        assert_eq!(helper_id(&format!("bpf_{name}")), Some(id));
    }
    // Fixed points of the list: a name left out would shift what follows.
    for (id, name) in
        [(1, "map_lookup_elem"), (14, "get_current_pid_tgid"), (51, "redirect_map"), (97, "skb_ecn_set_ce")]
            .into_iter()
            .chain([(113, "probe_read_kernel"), (131, "ringbuf_reserve"), (164, "for_each_map_elem"), (181, "loop")])
            .chain([(208, "ktime_get_tai_ns"), (211, "cgrp_storage_delete")])
    {
        assert_eq!(helper_name(id), Some(name));
    }
    assert_eq!((helper_name(-1), helper_name(212), helper_id("bpf_bpf_loop")), (None, None, None));
}

#[test]
fn prototypes_are_well_formed() {
    for proto in general::ALL.iter().chain(network::ALL).chain(sockets::ALL) {
        assert_eq!(helper_name(proto.id), Some(proto.name));
        let used = proto.args.iter().take_while(|a| **a != Arg::Unused).count();
        assert!(proto.args[used..].iter().all(|a| *a == Arg::Unused), "{}: a hole in the arguments", proto.name);
        for (n, arg) in proto.args.iter().enumerate() {
            let before = n.checked_sub(1).map(|m| proto.args[m]);
            let sized = |a: Option<Arg>| matches!(a, Some(Arg::Mem(MemArg { size: MemSize::NextArg, .. })));
            assert_eq!(
                sized(before),
                matches!(arg, Arg::Size | Arg::SizeOrZero),
                "{}: sizes and sized memory come in pairs",
                proto.name
            );
            if matches!(arg, Arg::MapKey | Arg::MapValue(_)) {
                assert!(proto.args[..n].contains(&Arg::ConstMapPtr), "{}: the map comes before", proto.name);
            }
        }
        if proto.is(Traits::CHANGES_PACKET) {
            assert_eq!(proto.args[0], Arg::Ctx, "{}", proto.name);
        }
        let returns_record = proto.ret == Ret::RingbufMemOrNull;
        assert_eq!(returns_record, proto.args.contains(&Arg::AllocSizeOrZero), "{}", proto.name);
    }
}

#[test]
fn no_menu_answers_twice_for_one_version() {
    for prog_type in ProgType::ALL {
        let Some(menu) = menus::of(*prog_type) else { continue };
        for version in KernelVersion::ALL {
            let rules = rules(version);
            for line in menu.lines() {
                let first = menu.find(line.id, &rules).map(|l| l.entry);
                if let (true, Some(Entry::Proto(proto))) = (line.span.holds(rules.tables.helpers), first) {
                    assert_eq!(proto.id, line.id);
                }
            }
            for id in 0..helper_count(&rules) {
                // Versions of one prototype must not overlap within a menu: at most one line of the first menu that has any.
                let own = menu.own_lines().iter().filter(|l| l.id == id && l.span.holds(rules.tables.helpers)).count();
                assert!(own <= 1, "{prog_type} in {version}: {} lines for {:?}", own, helper_name(id));
            }
        }
    }
}

#[test]
fn prototypes_change_with_the_version() {
    use ProgType::{PerfEvent, RawTracepoint, SchedCls, SocketFilter};
    for (version, r1) in [(V6_1, Arg::Anything), (V6_12, Arg::Anything), (V6_18, Arg::Anything), (V7_3, Arg::Scalar)] {
        let looped = proto("loop", RawTracepoint, version);
        assert_eq!(looped.args, [r1, Arg::Func, Arg::StackOrNull, Arg::Anything, Arg::Unused]);
        assert_eq!((looped.id, looped.ret, looped.traits), (181, Ret::Integer, Traits::empty()));
    }
    assert_eq!(proto("strncmp", SocketFilter, V6_1).args[0], table::PLAIN);
    assert_eq!(proto("strncmp", SocketFilter, V6_12).args[0], table::READ);
    assert_eq!(proto("get_stack", RawTracepoint, V6_18).args[1], table::READ);
    assert_eq!(proto("get_stack", RawTracepoint, V7_3).args[1], table::FILL);
    assert_eq!(proto("get_stack", PerfEvent, V6_1).args[1], table::FILL);
    assert_eq!(proto("check_mtu", SchedCls, V6_1).args[2], table::FILL_U32);
    assert_eq!(proto("check_mtu", SchedCls, V6_12).args[2], table::WRITE_U32);
    // The fast call is not for program types that are given the other helper of that number.
    let fast = |t, v| proto("get_smp_processor_id", t, v).is(Traits::FASTCALL);
    assert!(fast(RawTracepoint, V6_12) && !fast(RawTracepoint, V6_1) && !fast(SocketFilter, V7_3));
    let drops_packet = |v| proto("tail_call", SchedCls, v).is(Traits::CHANGES_PACKET);
    assert!(drops_packet(V6_12) && !drops_packet(V6_1));
}

#[test]
fn availability_agrees_with_the_sources() {
    use ProgType::*;
    #[rustfmt::skip]
    let table: &[(&str, ProgType, [&str; 4])] = &[
        // Version:                                 6.1           6.12          6.18          7.3
        ("map_lookup_elem", SocketFilter,          ["yes",        "yes",        "yes",        "yes"]),
        ("loop", Syscall,                          ["yes",        "yes",        "yes",        "yes"]),
        ("loop", Netfilter,                        ["yes",        "yes",        "yes",        "yes"]),
        ("loop", Tracing,                          ["unmodelled", "unmodelled", "unmodelled", "unmodelled"]),
        ("get_current_pid_tgid", RawTracepoint,    ["yes",        "yes",        "yes",        "yes"]),
        ("get_current_pid_tgid", Xdp,              ["no",         "yes",        "yes",        "yes"]),
        ("get_current_uid_gid", SchedCls,          ["no",         "no",         "yes",        "yes"]),
        ("get_current_comm", SocketFilter,         ["no",         "no",         "yes",        "yes"]),
        ("get_current_comm", Kprobe,               ["yes",        "yes",        "yes",        "yes"]),
        ("copy_from_user", Syscall,                ["yes",        "yes",        "yes",        "yes"]),
        ("probe_read", RawTracepoint,              ["yes",        "yes",        "yes",        "yes"]),
        ("probe_read", SocketFilter,               ["no",         "no",         "no",         "no"]),
        ("probe_read_kernel", SocketFilter,        ["yes",        "yes",        "yes",        "yes"]),
        ("trace_printk", Xdp,                      ["yes",        "yes",        "yes",        "yes"]),
        ("skb_load_bytes", SocketFilter,           ["yes",        "yes",        "yes",        "yes"]),
        ("skb_load_bytes", FlowDissector,          ["yes",        "yes",        "yes",        "yes"]),
        ("skb_load_bytes", Xdp,                    ["no",         "no",         "no",         "no"]),
        ("skb_store_bytes", CgroupSkb,             ["no",         "no",         "no",         "no"]),
        ("skb_store_bytes", LwtXmit,               ["yes",        "yes",        "yes",        "yes"]),
        ("skb_store_bytes", LwtIn,                 ["no",         "no",         "no",         "no"]),
        ("skb_pull_data", LwtIn,                   ["yes",        "yes",        "yes",        "yes"]),
        ("skb_pull_data", LwtSeg6local,            ["no",         "yes",        "yes",        "no"]),
        ("get_attach_cookie", RawTracepoint,       ["no",         "yes",        "yes",        "yes"]),
        ("get_attach_cookie", Tracepoint,          ["yes",        "yes",        "yes",        "yes"]),
        ("get_attach_cookie", Syscall,             ["no",         "no",         "no",         "no"]),
        ("get_netns_cookie", SchedCls,             ["no",         "no",         "yes",        "yes"]),
        ("perf_event_output", SkLookup,            ["yes",        "yes",        "yes",        "yes"]),
        ("perf_event_output", Netfilter,           ["no",         "no",         "no",         "no"]),
        ("sys_bpf", Syscall,                       ["yes",        "yes",        "yes",        "yes"]),
        ("sys_bpf", RawTracepoint,                 ["no",         "no",         "no",         "no"]),
        ("sk_lookup_tcp", Xdp,                     ["yes",        "yes",        "yes",        "yes"]),
        ("sk_lookup_tcp", SkMsg,                   ["no",         "no",         "no",         "no"]),
        ("bind", CgroupSockAddr,                   ["yes",        "yes",        "yes",        "yes"]),
        ("get_current_comm", CgroupDevice,         ["yes",        "yes",        "yes",        "yes"]),
        ("get_current_uid_gid", SkMsg,             ["yes",        "yes",        "yes",        "yes"]),
        ("current_task_under_cgroup", CgroupSock,  ["no",         "yes",        "yes",        "yes"]),
        ("setsockopt", CgroupSock,                 ["no",         "no",         "no",         "yes"]),
        ("sk_lookup_tcp", RawTracepoint,           ["no",         "no",         "no",         "no"]),
        ("ktime_get_coarse_ns", Xdp,               ["yes",        "yes",        "yes",        "yes"]),
        ("ktime_get_coarse_ns", RawTracepoint,     ["no",         "no",         "no",         "no"]),
        ("cgrp_storage_get", Xdp,                  ["invalid",    "unmodelled", "unmodelled", "unmodelled"]),
        ("find_vma", Xdp,                          ["no",         "no",         "yes",        "yes"]),
        ("get_retval", CgroupSkb,                  ["yes",        "yes",        "yes",        "yes"]),
        ("unspec", Xdp,                            ["no",         "no",         "no",         "no"]),
    ];
    for (helper, prog_type, expected) in table {
        let got = KernelVersion::ALL.map(|v| answer(helper, *prog_type, v));
        assert_eq!(got, *expected, "{helper} for {prog_type}");
    }
}

#[test]
fn refusals_are_worded_as_the_kernel_words_them() {
    let text = |id, v| lookup(id, ProgType::SocketFilter, &rules(v)).refusal(id, &rules(v)).unwrap_or_default();
    assert_eq!(text(9999, V6_1), "invalid func unknown#9999");
    assert_eq!(text(-1, V7_3), "invalid func unknown#-1");
    assert_eq!(text(210, V6_1), "invalid func unknown#210");
    assert_eq!(text(14, V6_1), "unknown func bpf_get_current_pid_tgid#14");
    assert_eq!(text(4, V6_12), "program of this type cannot use helper bpf_probe_read#4");
    assert_eq!(text(1, V7_3), "");
    let copy = proto("copy_from_user", ProgType::Syscall, V7_3);
    assert_eq!(sleep_refusal(&copy, &rules(V6_12)), "helper call might sleep in a non-sleepable prog");
    assert_eq!(sleep_refusal(&copy, &rules(V7_3)), "sleepable helper bpf_copy_from_user#148 in non-sleepable prog");
}

#[test]
fn accepted_types_are_listed_in_the_log_order() {
    let list = |arg: Arg, v| {
        let rules = rules(v);
        arg.accepts(&rules).iter().map(|c| c.log_name(&rules)).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(list(Arg::MapKey, V6_1), "fp, pkt, pkt_meta, map_key, map_value");
    assert_eq!(list(table::READ, V6_1), "fp, pkt, pkt_meta, map_key, map_value, mem, alloc_mem, buf");
    let newer = "fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_";
    assert_eq!(list(Arg::MapKey, V6_12), newer);
    assert_eq!(list(table::FILL, V7_3), format!("{newer}, ctx"));
    assert_eq!(list(Arg::StackOrNull, V7_3), "fp");
    assert_eq!(list(Arg::Sock, V7_3), "sock_common, sock, tcp_sock, xdp_sock");
    assert_eq!(list(Arg::AnySock, V6_1), "sock_common, sock, tcp_sock, xdp_sock, ptr_");
    assert_eq!(list(Arg::ReleasedSock, V6_12), "sock_common, sock, tcp_sock, xdp_sock, ptr_, trusted_ptr_");
}

#[test]
fn attach_types_decide() {
    let allowed = |helper: &str, prog_type, attach_type, v| {
        let id = helper_id(helper).expect("a helper's name");
        let prog = ProgKind { prog_type, attach_type };
        matches!(lookup_attached(id, prog, &rules(v)), HelperLookup::Proto(_))
    };
    for v in KernelVersion::ALL {
        use ProgType::*;
        assert!(!allowed("get_retval", CgroupSkb, 0, v) && !allowed("set_retval", CgroupDevice, 0, v));
        assert!(allowed("get_retval", CgroupSock, 0, v) && allowed("set_retval", CgroupDevice, 6, v));
        assert!(allowed("bind", CgroupSockAddr, 10, v) && !allowed("bind", CgroupSockAddr, 8, v));
        assert!(allowed("setsockopt", CgroupSockopt, 22, v) && !allowed("setsockopt", CgroupSockopt, 21, v));
        assert!(allowed("setsockopt", SockOps, 3, v));
        assert_eq!(allowed("getsockopt", CgroupSockAddr, 52, v), v <= V6_12);
    }
    let release = sockets::SK_RELEASE;
    assert_eq!(release_refusal(&release, 1, &rules(V6_1)), "R1 must be referenced when passed to release function");
    let newer = "release helper bpf_sk_release expects referenced PTR_TO_BTF_ID passed to R1";
    assert_eq!(release_refusal(&release, 1, &rules(V7_3)), newer);
}

#[test]
fn ranges_of_results() {
    let range = |helper, v| ret_range(helper_id(helper).expect("a helper's name"), &rules(v));
    assert_eq!(range("get_smp_processor_id", V6_1), RetRange::Any);
    assert_eq!(range("get_smp_processor_id", V6_12), RetRange::CpuNumber);
    assert_eq!(range("probe_read_kernel_str", V6_1), RetRange::ErrnoToSize);
    assert_eq!(range("probe_read_kernel", V7_3), RetRange::Any);
}
