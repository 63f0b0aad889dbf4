use super::*;
use KernelVersion::{V6_1, V6_12};
use ProgType::*;
use proptest::prelude::*;

const SCALAR4: CtxAccess = CtxAccess::Scalar { field_bytes: Some(4) };

fn kind(prog_type: ProgType) -> ProgKind {
    ProgKind { prog_type, attach_type: 0 }
}

fn at(prog_type: ProgType, off: i32, size: u32, how: CtxUse, version: KernelVersion) -> CtxAccess {
    access(kind(prog_type), off, size, how, &Rules::of(version))
}

#[test]
fn layouts_are_in_order_and_policies_name_fields() {
    for (fields, bytes) in [(SK_BUFF, 192), (XDP_MD, 24), (SK_LOOKUP, 68), (PERF_EVENT_DATA, 184)] {
        let mut end = 0;
        for field in fields {
            assert_eq!(field.off, end, "{} follows the field before it", field.name);
            end += field.bytes;
        }
        assert_eq!(end, bytes);
    }
    use layout::*;
    for policy in
        [SOCKET_FILTER, CGROUP_SKB, LWT, SCHED_CLS, FLOW_DISSECTOR, XDP, XDP_DEVMAP, SK_LOOKUP_ACCESS, PERF_EVENT]
    {
        for name in policy.hidden.iter().chain(policy.writable) {
            assert!(policy.fields.iter().any(|f| f.name == *name), "{name}");
        }
        assert!(policy.hidden.iter().all(|name| !policy.writable.contains(name)));
    }
}

#[test]
fn boundaries_of_every_type() {
    use CtxAccess::{Invalid, Packet, PacketEnd, PacketMeta, Unmodelled};
    use CtxUse::{Read, ReadSigned, Write};
    #[rustfmt::skip]
    let table = [
        // Twelve arguments of eight bytes, read in any aligned pieces.
        (RawTracepoint, 88, 8, Read, PLAIN), (RawTracepoint, 96, 8, Read, Invalid), (RawTracepoint, 95, 1, Read, PLAIN),
        (RawTracepoint, 4, 8, Read, Invalid), (RawTracepoint, -8, 8, Read, Invalid), (RawTracepoint, 0, 8, Write, Invalid),
        (RawTracepoint, 8, 4, ReadSigned, PLAIN), (RawTracepoint, 0, 0, Read, Invalid),
        (RawTracepointWritable, 0, 8, Read, CtxAccess::TracepointBuffer), (RawTracepointWritable, 0, 4, Read, Invalid),
        (RawTracepointWritable, 8, 8, Read, PLAIN), (RawTracepointWritable, 8, 8, Write, Invalid),
        // The first eight bytes of a tracepoint's record are the kernel's.
        (Tracepoint, 0, 8, Read, Invalid), (Tracepoint, 8, 8, Read, PLAIN), (Tracepoint, 8184, 8, Read, PLAIN),
        (Tracepoint, 8192, 1, Read, Invalid), (Tracepoint, 9, 2, Read, Invalid), (Tracepoint, 8, 8, Write, Invalid),
        // What lies before the record is not refused.
        (Tracepoint, -8, 8, Read, PLAIN), (Tracepoint, -7, 8, Read, Invalid), (Tracepoint, -8, 8, Write, Invalid),
        (Tracing, -8, 8, Read, Unmodelled("tracing")), (Tracepoint, i32::MIN, 8, Read, PLAIN),
        (Kprobe, 160, 8, Read, PLAIN), (Kprobe, 168, 8, Read, Invalid), (Kprobe, 167, 1, Read, PLAIN),
        (PerfEvent, 160, 8, Read, PLAIN), (PerfEvent, 160, 4, Read, Invalid),
        (PerfEvent, 168, 4, Read, CtxAccess::Scalar { field_bytes: Some(8) }),
        (PerfEvent, 183, 1, Read, CtxAccess::Scalar { field_bytes: Some(8) }),
        (PerfEvent, 184, 8, Read, Invalid), (PerfEvent, 168, 8, Write, Invalid),
        (SocketFilter, 0, 4, Read, SCALAR4), (SocketFilter, 3, 1, Read, SCALAR4), (SocketFilter, 0, 8, Read, Invalid),
        (SocketFilter, 0, 4, Write, Invalid), (SocketFilter, 48, 8, Write, PLAIN), (SocketFilter, 56, 8, Read, PLAIN),
        (SocketFilter, 64, 8, Read, Invalid), (SocketFilter, 64, 4, Write, PLAIN), (SocketFilter, 67, 1, Write, PLAIN),
        (SocketFilter, 76, 4, Read, Invalid), (SocketFilter, 92, 4, Read, Invalid), (SocketFilter, 152, 8, Read, Invalid),
        (SocketFilter, 168, 8, Read, CtxAccess::Socket(SockKind::Common, MayBeNull::Yes)), (SocketFilter, 168, 4, Read, Invalid),
        (SchedCls, 76, 4, Read, Packet), (SchedCls, 80, 4, Read, PacketEnd), (SchedCls, 140, 4, Read, PacketMeta),
        (SchedCls, 76, 4, ReadSigned, Invalid), (SchedCls, 76, 2, Read, Invalid), (SchedCls, 76, 4, Write, Invalid),
        (SchedCls, 8, 4, Write, PLAIN), (SchedCls, 8, 2, Write, Invalid), (SchedCls, 152, 8, Write, PLAIN),
        (SchedCls, 152, 4, Read, Invalid), (SchedCls, 144, 8, Read, Invalid), (SchedCls, 88, 4, Read, Invalid),
        (SchedCls, 180, 1, Read, PLAIN), (SchedCls, 180, 4, Read, Invalid), (SchedCls, 180, 1, Write, Invalid),
        (SchedCls, 181, 1, Read, Invalid), (SchedCls, 184, 8, Read, PLAIN), (SchedCls, 184, 8, Write, Invalid),
        (SchedCls, 192, 4, Read, Invalid), (SchedAct, 12, 4, Write, PLAIN),
        (CgroupSkb, 76, 4, Read, Packet), (CgroupSkb, 140, 4, Read, Invalid), (CgroupSkb, 92, 4, Read, PLAIN),
        (CgroupSkb, 92, 2, Read, Invalid), (CgroupSkb, 132, 2, Read, SCALAR4), (CgroupSkb, 152, 8, Write, PLAIN),
        (CgroupSkb, 44, 4, Write, Invalid), (CgroupSkb, 180, 1, Read, Invalid),
        (LwtIn, 76, 4, Read, Packet), (LwtOut, 152, 8, Read, Invalid), (LwtXmit, 32, 4, Write, PLAIN),
        (LwtSeg6local, 44, 4, Write, Invalid),
        (FlowDissector, 76, 4, Read, Packet), (FlowDissector, 144, 8, Read, CtxAccess::FlowKeys),
        (FlowDissector, 0, 4, Read, Invalid),
        (Xdp, 0, 4, Read, Packet), (Xdp, 4, 4, Read, PacketEnd), (Xdp, 8, 4, Read, PacketMeta), (Xdp, 12, 4, Read, PLAIN),
        (Xdp, 12, 2, Read, Invalid), (Xdp, 12, 4, ReadSigned, PLAIN), (Xdp, 0, 4, ReadSigned, Invalid),
        (Xdp, 20, 4, Read, Invalid), (Xdp, 24, 4, Read, Invalid), (Xdp, 16, 4, Write, Invalid),
        (SkLookup, 0, 8, Read, CtxAccess::Socket(SockKind::Full, MayBeNull::Yes)), (SkLookup, 0, 4, Read, Invalid), (SkLookup, 8, 4, Read, SCALAR4),
        (SkLookup, 36, 4, Read, PLAIN), (SkLookup, 36, 2, Read, CtxAccess::Scalar { field_bytes: Some(2) }),
        (SkLookup, 38, 2, Read, CtxAccess::Scalar { field_bytes: Some(2) }), (SkLookup, 64, 8, Read, Invalid),
        (SkLookup, 68, 4, Read, Invalid), (SkLookup, 8, 4, Write, Invalid),
        (Syscall, 0, 8, Write, PLAIN), (Syscall, 65532, 4, Read, PLAIN), (Syscall, 65534, 1, Read, PLAIN),
        (Syscall, 65535, 1, Read, Invalid), (Syscall, i32::MAX, 1, Read, Invalid), (Syscall, i32::MIN, 8, Read, Invalid),
        (Tracing, 0, 8, Read, Unmodelled("tracing")), (Netfilter, 0, 8, Read, CtxAccess::HookState), (Netfilter, 4, 4, Read, Invalid),
    ];
    for version in KernelVersion::ALL {
        for (prog_type, off, size, how, expected) in table {
            assert_eq!(
                at(prog_type, off, size, how, version),
                expected,
                "{prog_type} {off} {size} {how:?} in {version}"
            );
        }
    }
}

#[test]
fn what_the_version_decides() {
    for version in KernelVersion::ALL {
        let rules = Rules::of(version);
        let newest = version == V7_3;
        let if_scalar = |yes| if yes { PLAIN } else { CtxAccess::Invalid };
        assert_eq!(at(Kprobe, 8, 8, CtxUse::Write, version), if_scalar(version >= V6_18));
        assert_eq!(at(Syscall, 1, 8, CtxUse::Read, version), if_scalar(newest));
        let region = PointerRule::Region(65535);
        assert_eq!(pointer_rule(Syscall, &rules), if newest { region } else { PointerRule::Unmodified });
        assert_eq!(
            pointer_rule(RawTracepoint, &rules),
            if newest { PointerRule::Fixed } else { PointerRule::Unmodified }
        );
        assert_eq!(pointer_rule(Xdp, &rules), PointerRule::Unmodified);
        assert_eq!(helper_memory(Syscall, &rules) == HelperMemory::Refused, !newest);
        assert_eq!(helper_memory(RawTracepoint, &rules), HelperMemory::Refused);
        assert_eq!(exists(Netfilter, &rules), version != V6_1);
        assert_eq!(packet_end(CgroupSkb, &rules) == PacketEnd::Set, version >= V6_18);
        assert_eq!(packet_end(SchedCls, &rules), PacketEnd::Set);
        assert_eq!(test_run(Netfilter, &rules) == TestRun::Unsupported, version == V6_1);
    }
    let devmap = ProgKind { prog_type: Xdp, attach_type: BPF_XDP_DEVMAP };
    assert_eq!(access(devmap, 20, 4, CtxUse::Read, &Rules::of(V6_1)), PLAIN);
}

#[test]
fn return_ranges() {
    let range = |prog_type, attach_type, v| retval_range(ProgKind { prog_type, attach_type }, &Rules::of(v));
    for version in KernelVersion::ALL {
        for free in [RawTracepoint, Tracepoint, PerfEvent, SocketFilter, SchedCls, Xdp, LwtXmit, FlowDissector, Syscall]
        {
            assert_eq!(range(free, 0, version), RetvalRange::Any);
        }
        assert_eq!(range(CgroupSkb, 0, version), RetvalRange::Within(0, 1));
        assert_eq!(range(CgroupSkb, 1, version), RetvalRange::Within(0, 3));
        assert_eq!(range(SkLookup, 36, version), RetvalRange::Within(0, 1));
        assert_eq!(range(Tracing, 24, version), RetvalRange::Within(0, 0));
        assert_eq!(
            range(Kprobe, 56, version),
            if version == V6_1 { RetvalRange::Any } else { RetvalRange::Within(0, 1) }
        );
    }
    assert_eq!(range(Kprobe, 57, V6_12), RetvalRange::Any);
    assert_eq!(range(Kprobe, 57, V6_18), RetvalRange::Within(0, 1));
    assert_eq!(range(CgroupSockAddr, 51, V6_1), RetvalRange::Within(0, 1));
    assert_eq!(range(CgroupSockAddr, 51, V6_12), RetvalRange::Within(1, 1));
}

#[test]
fn abilities_of_types() {
    assert_eq!(packet_access(SchedCls), PacketAccess::ReadWrite);
    assert_eq!(packet_access(CgroupSkb), PacketAccess::Read);
    assert_eq!(packet_access(SocketFilter), PacketAccess::None);
    let legacy: Vec<_> = ProgType::ALL.iter().filter(|t| legacy_loads(**t) == LegacyLoads::Allowed).collect();
    assert_eq!(legacy, [&SocketFilter, &SchedCls, &SchedAct]);
    assert!(rewrites_ctx(PerfEvent) && !rewrites_ctx(Kprobe));
    assert_eq!(refusal(-8, 8), "invalid bpf_context access off=-8 size=8");
}

fn any_use() -> impl Strategy<Value = CtxUse> {
    prop_oneof![Just(CtxUse::Read), Just(CtxUse::ReadSigned), Just(CtxUse::Write)]
}

proptest! {
    /// An accepted access is aligned, lies inside of the context, and a write is accepted only where the read is.
    #[test]
    fn accepted_accesses_lie_inside(
        prog_type in proptest::sample::select(ProgType::ALL),
        version in proptest::sample::select(&KernelVersion::ALL[..]),
        off in prop_oneof![-16..200i32, 8180..8200i32, 65520..65550i32, any::<i32>()],
        size in proptest::sample::select(&[1u32, 2, 4, 8][..]),
        how in any_use(),
    ) {
        let got = at(prog_type, off, size, how, version);
        if matches!(got, CtxAccess::Unmodelled(name) if name == prog_type.name()) || got == CtxAccess::Invalid {
            return Ok(());
        }
        let bytes = match prog_type {
            RawTracepoint | RawTracepointWritable => 96,
            Tracepoint => 8192,
            Kprobe => 168,
            PerfEvent => 184,
            Syscall => 65535 + 7,
            Xdp => 24,
            SkLookup => 68,
            _ => 192,
        };
        let before_a_record = prog_type == Tracepoint && off < 0;
        prop_assert!(before_a_record || (off >= 0 && off as u32 + size <= bytes));
        prop_assert!(off.unsigned_abs().is_multiple_of(size) || (prog_type == Syscall && version > V6_12));
        if how == CtxUse::Write {
            prop_assert_ne!(at(prog_type, off, size, CtxUse::Read, version), CtxAccess::Invalid);
        }
    }
}
