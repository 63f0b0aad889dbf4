//! What the name of a program section says about its programs: libbpf's table of section names, as data.

use crate::kernel::ProgType;

/// What may follow a name after a slash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    /// Nothing.
    None,
    /// What to attach to, or nothing.
    Optional,
}

/// What a section's programs are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SectionType {
    name: &'static str,
    target: Target,
    /// Program type.
    pub prog_type: ProgType,
    /// Expected attach type, by number.
    pub attach: u32,
    /// Flags of the load.
    pub flags: u32,
    /// What the load needs from a running kernel.
    pub needs: Option<&'static str>,
}

/// The type of a program section; `None` when libbpf has no such name. A question mark in front means that libbpf does
/// not load the programs unless asked, which makes no difference here.
#[doc(alias = "libbpf_prog_type_by_name")]
pub(super) fn section_type(name: &str) -> Option<&'static SectionType> {
    let name = name.strip_prefix('?').unwrap_or(name);
    SECTIONS.iter().find(|s| match (name.strip_prefix(s.name), s.target) {
        (Some(""), _) => true,
        (Some(rest), Target::Optional) => rest.starts_with('/'),
        _ => false,
    })
}

/// Which names there are, for a name that libbpf does not know: those that start with the same word, else the name of each
/// type that needs no more than its name.
pub(super) fn unknown_section_hint(name: &str) -> String {
    let word = |name: &'static str| name.split(['/', '.']).next().unwrap_or_default();
    let given = name.strip_prefix('?').unwrap_or(name);
    let first = given.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default();
    let alike: Vec<_> = SECTIONS.iter().filter(|s| word(s.name) == first).collect();
    let plain = || SECTIONS.iter().filter(|s| s.needs.is_none() && word(s.name) == s.name).collect();
    let known: Vec<_> = if alike.is_empty() { plain() } else { alike };
    let known: Vec<_> = known.iter().map(|s| s.shown()).collect();
    format!("it knows {}", known.join(", "))
}

impl SectionType {
    fn shown(&self) -> String {
        match self.target {
            Target::None => self.name.to_owned(),
            Target::Optional => format!("{}[/…]", self.name),
        }
    }
}

/// The shortest section name for programs of a type, attach type and flags; `None` when no section says that.
pub fn section_name(prog_type: ProgType, attach: u32, flags: u32) -> Option<&'static str> {
    let same = |s: &&SectionType| (s.prog_type, s.attach, s.flags) == (prog_type, attach, flags) && s.needs.is_none();
    SECTIONS.iter().filter(same).map(|s| s.name).min_by_key(|name| name.len())
}

/// The shortest section name for programs of a type, whatever else it says.
pub fn section_name_of_type(prog_type: ProgType) -> Option<&'static str> {
    let same = |s: &&SectionType| s.prog_type == prog_type && s.flags == 0 && s.needs.is_none();
    SECTIONS.iter().filter(same).map(|s| s.name).min_by_key(|name| name.len())
}

#[doc(alias = "BPF_F_SLEEPABLE")]
const SLEEPABLE: u32 = 1 << 4;
#[doc(alias = "BPF_F_XDP_HAS_FRAGS")]
const FRAGS: u32 = 1 << 5;

const fn exact(name: &'static str, prog_type: ProgType, attach: u32) -> SectionType {
    SectionType { name, target: Target::None, prog_type, attach, flags: 0, needs: None }
}

const fn to(name: &'static str, prog_type: ProgType, attach: u32) -> SectionType {
    SectionType { target: Target::Optional, ..exact(name, prog_type, attach) }
}

const fn with(section: SectionType, flags: u32) -> SectionType {
    SectionType { flags, ..section }
}

/// A section whose programs name a function or structure of the kernel, which is looked up in the kernel's BTF.
const fn bound(section: SectionType) -> SectionType {
    SectionType { needs: Some("an attach target in the kernel's BTF"), ..section }
}

use ProgType as P;

/// Attach types are numbered as in `enum bpf_attach_type`.
const SECTIONS: &[SectionType] = &[
    exact("socket", P::SocketFilter, 0),
    exact("sk_reuseport/migrate", P::SkReuseport, 40),
    exact("sk_reuseport", P::SkReuseport, 39),
    to("kprobe", P::Kprobe, 0),
    to("uprobe", P::Kprobe, 0),
    with(to("uprobe.s", P::Kprobe, 0), SLEEPABLE),
    to("kretprobe", P::Kprobe, 0),
    to("uretprobe", P::Kprobe, 0),
    with(to("uretprobe.s", P::Kprobe, 0), SLEEPABLE),
    to("kprobe.multi", P::Kprobe, 42),
    to("kretprobe.multi", P::Kprobe, 42),
    to("kprobe.session", P::Kprobe, 56),
    to("uprobe.multi", P::Kprobe, 48),
    to("uretprobe.multi", P::Kprobe, 48),
    to("uprobe.session", P::Kprobe, 57),
    with(to("uprobe.multi.s", P::Kprobe, 48), SLEEPABLE),
    with(to("uretprobe.multi.s", P::Kprobe, 48), SLEEPABLE),
    with(to("uprobe.session.s", P::Kprobe, 57), SLEEPABLE),
    to("ksyscall", P::Kprobe, 0),
    to("kretsyscall", P::Kprobe, 0),
    to("usdt", P::Kprobe, 0),
    with(to("usdt.s", P::Kprobe, 0), SLEEPABLE),
    exact("tc/ingress", P::SchedCls, 46),
    exact("tc/egress", P::SchedCls, 47),
    exact("tcx/ingress", P::SchedCls, 46),
    exact("tcx/egress", P::SchedCls, 47),
    exact("tc", P::SchedCls, 0),
    exact("classifier", P::SchedCls, 0),
    exact("action", P::SchedAct, 0),
    exact("netkit/primary", P::SchedCls, 54),
    exact("netkit/peer", P::SchedCls, 55),
    to("tracepoint", P::Tracepoint, 0),
    to("tp", P::Tracepoint, 0),
    with(to("tracepoint.s", P::Tracepoint, 0), SLEEPABLE),
    with(to("tp.s", P::Tracepoint, 0), SLEEPABLE),
    to("raw_tracepoint", P::RawTracepoint, 0),
    to("raw_tp", P::RawTracepoint, 0),
    with(to("raw_tracepoint.s", P::RawTracepoint, 0), SLEEPABLE),
    with(to("raw_tp.s", P::RawTracepoint, 0), SLEEPABLE),
    to("raw_tracepoint.w", P::RawTracepointWritable, 0),
    to("raw_tp.w", P::RawTracepointWritable, 0),
    bound(to("tp_btf", P::Tracing, 23)),
    bound(with(to("tp_btf.s", P::Tracing, 23), SLEEPABLE)),
    bound(to("fentry", P::Tracing, 24)),
    bound(to("fmod_ret", P::Tracing, 26)),
    bound(to("fexit", P::Tracing, 25)),
    bound(to("fsession", P::Tracing, 58)),
    bound(with(to("fentry.s", P::Tracing, 24), SLEEPABLE)),
    bound(with(to("fmod_ret.s", P::Tracing, 26), SLEEPABLE)),
    bound(with(to("fexit.s", P::Tracing, 25), SLEEPABLE)),
    bound(with(to("fsession.s", P::Tracing, 58), SLEEPABLE)),
    bound(to("fsession.multi", P::Tracing, 61)),
    bound(with(to("fsession.multi.s", P::Tracing, 61), SLEEPABLE)),
    bound(to("fentry.multi", P::Tracing, 59)),
    bound(to("fexit.multi", P::Tracing, 60)),
    bound(with(to("fentry.multi.s", P::Tracing, 59), SLEEPABLE)),
    bound(with(to("fexit.multi.s", P::Tracing, 60), SLEEPABLE)),
    bound(to("freplace", P::Ext, 0)),
    bound(to("lsm", P::Lsm, 27)),
    bound(with(to("lsm.s", P::Lsm, 27), SLEEPABLE)),
    bound(to("lsm_cgroup", P::Lsm, 43)),
    bound(to("iter", P::Tracing, 28)),
    bound(with(to("iter.s", P::Tracing, 28), SLEEPABLE)),
    with(exact("syscall", P::Syscall, 0), SLEEPABLE),
    with(exact("xdp.frags/devmap", P::Xdp, 33), FRAGS),
    exact("xdp/devmap", P::Xdp, 33),
    with(exact("xdp.frags/cpumap", P::Xdp, 35), FRAGS),
    exact("xdp/cpumap", P::Xdp, 35),
    with(exact("xdp.frags", P::Xdp, 37), FRAGS),
    exact("xdp", P::Xdp, 37),
    exact("perf_event", P::PerfEvent, 0),
    exact("lwt_in", P::LwtIn, 0),
    exact("lwt_out", P::LwtOut, 0),
    exact("lwt_xmit", P::LwtXmit, 0),
    exact("lwt_seg6local", P::LwtSeg6local, 0),
    exact("sockops", P::SockOps, 3),
    exact("sk_skb/stream_parser", P::SkSkb, 4),
    exact("sk_skb/stream_verdict", P::SkSkb, 5),
    exact("sk_skb/verdict", P::SkSkb, 38),
    exact("sk_skb", P::SkSkb, 0),
    exact("sk_msg", P::SkMsg, 7),
    exact("lirc_mode2", P::LircMode2, 16),
    exact("flow_dissector", P::FlowDissector, 17),
    exact("cgroup_skb/ingress", P::CgroupSkb, 0),
    exact("cgroup_skb/egress", P::CgroupSkb, 1),
    exact("cgroup/skb", P::CgroupSkb, 0),
    exact("cgroup/sock_create", P::CgroupSock, 2),
    exact("cgroup/sock_release", P::CgroupSock, 34),
    exact("cgroup/sock", P::CgroupSock, 2),
    exact("cgroup/post_bind4", P::CgroupSock, 12),
    exact("cgroup/post_bind6", P::CgroupSock, 13),
    exact("cgroup/bind4", P::CgroupSockAddr, 8),
    exact("cgroup/bind6", P::CgroupSockAddr, 9),
    exact("cgroup/connect4", P::CgroupSockAddr, 10),
    exact("cgroup/connect6", P::CgroupSockAddr, 11),
    exact("cgroup/connect_unix", P::CgroupSockAddr, 49),
    exact("cgroup/sendmsg4", P::CgroupSockAddr, 14),
    exact("cgroup/sendmsg6", P::CgroupSockAddr, 15),
    exact("cgroup/sendmsg_unix", P::CgroupSockAddr, 50),
    exact("cgroup/recvmsg4", P::CgroupSockAddr, 19),
    exact("cgroup/recvmsg6", P::CgroupSockAddr, 20),
    exact("cgroup/recvmsg_unix", P::CgroupSockAddr, 51),
    exact("cgroup/getpeername4", P::CgroupSockAddr, 29),
    exact("cgroup/getpeername6", P::CgroupSockAddr, 30),
    exact("cgroup/getpeername_unix", P::CgroupSockAddr, 52),
    exact("cgroup/getsockname4", P::CgroupSockAddr, 31),
    exact("cgroup/getsockname6", P::CgroupSockAddr, 32),
    exact("cgroup/getsockname_unix", P::CgroupSockAddr, 53),
    exact("cgroup/sysctl", P::CgroupSysctl, 18),
    exact("cgroup/getsockopt", P::CgroupSockopt, 21),
    exact("cgroup/setsockopt", P::CgroupSockopt, 22),
    exact("cgroup/dev", P::CgroupDevice, 6),
    bound(to("struct_ops", P::StructOps, 0)),
    bound(with(to("struct_ops.s", P::StructOps, 0), SLEEPABLE)),
    exact("sk_lookup", P::SkLookup, 36),
    exact("netfilter", P::Netfilter, 45),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_as_libbpf_finds_them() {
        let found = |name| section_type(name).map(|s| (s.prog_type, s.attach, s.flags));
        assert_eq!(found("raw_tp/sys_enter"), Some((P::RawTracepoint, 0, 0)));
        assert_eq!(found("raw_tp"), Some((P::RawTracepoint, 0, 0)));
        assert_eq!(found("raw_tp.w/x"), Some((P::RawTracepointWritable, 0, 0)));
        assert_eq!(found("?tp/syscalls/sys_enter_read"), Some((P::Tracepoint, 0, 0)));
        assert_eq!(found("syscall"), Some((P::Syscall, 0, SLEEPABLE)));
        assert_eq!(found("xdp.frags"), Some((P::Xdp, 37, FRAGS)));
        assert_eq!(found("xdp/devmap"), Some((P::Xdp, 33, 0)));
        assert_eq!(found("cgroup_skb/egress"), Some((P::CgroupSkb, 1, 0)));
        assert_eq!(found("tp.s/x"), Some((P::Tracepoint, 0, SLEEPABLE)));
        for unknown in [
            "classifier/b",
            "filter",
            "tc/x",
            "action/x",
            "xdp/other",
            "xdp_prog",
            "raw_tpx",
            "socket1",
            "",
            "license",
            "kprobes/x",
        ] {
            assert_eq!(found(unknown), None, "{unknown}");
        }
        assert_eq!(unknown_section_hint("classifier/b"), "it knows classifier");
        assert_eq!(unknown_section_hint("?tc/x"), "it knows tc/ingress, tc/egress, tc");
        assert_eq!(unknown_section_hint("tp_x").split(", ").filter(|n| *n == "tp[/…]" || *n == "xdp").count(), 2);
        for (n, a) in SECTIONS.iter().enumerate() {
            assert!(SECTIONS.iter().skip(n + 1).all(|b| a.name != b.name), "{} is there twice", a.name);
        }
    }
}
