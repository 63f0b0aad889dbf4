//! Logs that were compared with those of the kernels, and the dialect of instructions.

use super::{KEPT_BYTES, Log, LogLevel, insn};
use crate::isa::Insn;
use crate::kernel::{KernelVersion, Rules};
use crate::program::{Program, text};
use crate::verifier::{Verdict, structure, verify, verify_with_log};

fn program(source: &str) -> Program {
    text::parse(source).expect("a program").program
}

fn log(source: &str, version: KernelVersion, level: LogLevel) -> String {
    verify_with_log(&program(source), &Rules::of(version), level).1
}

const REJECTED: &str = "
main:
    r6 = *(u64 *)(r1 + 0)
    if r6 == 0 goto bad
    r0 = 0
    exit
bad:
    call f
    r0 = r1
    exit
f:
    w0 = w1
    exit
";

const MAP_HEAD: &str =
    ";;! maps = [{ name = \"m\", type = \"array\", key_size = 4, value_size = 8, max_entries = 1 }]\n";
const XDP_HEAD: &str = ";;! prog_type = \"xdp\"\n";

/// What leaves a region is told before the reason, in the words for its kind; the reason alone is the rejection's.
#[test]
fn the_access_stands_before_the_reason() {
    let value = format!("{MAP_HEAD}main:\n r1 = map.m+0 ll\n r0 = *(u64 *)(r1 + 4)\n exit\n");
    let packet = format!(
        "{XDP_HEAD}main:\n r2 = *(u32 *)(r1 + 0)\n r3 = *(u32 *)(r1 + 4)\n r4 = r2\n r4 += 14\n r0 = 1\n if r4 > r3 goto out\n \
         r0 = *(u8 *)(r2 + 14)\nout:\n exit\n"
    );
    let outside = "R1 min value is outside of the allowed memory range";
    for (source, versions, access, reason) in [
        (&value, &KernelVersion::ALL[..], "invalid access to map value, value_size=8 off=4 size=8", outside),
        (
            &packet,
            &KernelVersion::ALL[..3],
            "invalid access to packet, off=14 size=1, R2(id=0,off=14,r=14)",
            "R2 offset is outside of the packet",
        ),
    ] {
        for version in versions {
            let (verdict, log) = verify_with_log(&program(source), &Rules::of(*version), LogLevel::Path);
            assert!(log.contains(&format!("\n{access}\n{reason}\nprocessed ")), "{version}: {log}");
            assert!(matches!(&verdict, Verdict::Rejected(r) if r.text == reason), "{version}: {verdict:?}");
        }
    }
}

/// The states of a loop without end are written since 6.7.
#[test]
fn endless_loops_and_their_states() {
    let source = "main:\n r0 = 0\nagain:\n r1 = 1\n if r1 == 1 goto again\n exit\n";
    for version in KernelVersion::ALL {
        let log = log(source, version, LogLevel::Path);
        assert!(log.contains("infinite loop detected at insn"), "{version}: {log}");
        let states = log.contains("cur state:") && log.contains("old state:");
        assert_eq!(states, version != KernelVersion::V6_1, "{version}: {log}");
    }
}

/// What a kernel does not know it writes as what is left of it.
#[test]
fn instructions_that_a_kernel_does_not_know() {
    let shown = |hex: u64, version| {
        let mut out = String::new();
        insn::write(&mut out, Insn::from_bytes(hex.to_be_bytes()), None, &Rules::of(version));
        out
    };
    use KernelVersion::{V6_1, V6_12, V6_18};
    for (hex, version, expected) in [
        (0xbf62_0800_0000_0000, V6_1, "(bf) r2 = r6"),
        (0xbf62_0800_0000_0000, V6_12, "(bf) r2 = (s8)r6"),
        (0x3f72_0100_0000_0000, V6_1, "(3f) r2 /= r7"),
        (0xdb67_0000_0001_0000, V6_12, "BUG_db"),
        (0xdb67_0000_0001_0000, V6_18, "(db) r7 = load_acquire((u64 *)(r6 +0))"),
    ] {
        assert_eq!(shown(hex, version), expected, "{version}");
    }
}

/// The path that ends well is gone. A state that stood behind the last line before it leaves a blank for the line's end, as
/// in the kernels.
#[test]
fn level_1_keeps_the_path_that_fails() {
    let expected = "\
0: R1=ctx() R10=fp0
0: (79) r6 = *(u64 *)(r1 +0)          ; R1=ctx() R6=scalar()
1: (15) if r6 == 0x0 goto pc+2 4: R1=ctx() R10=fp0
4: (85) call pc+2
R1 is not a scalar
caller:
 R10=fp0
callee:
 frame1: R1=ctx() R10=fp0
7: frame1: R1=ctx() R10=fp0
7: (bc) w0 = w1                       ; frame1: R0=scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff)) R1=ctx()
8: (95) exit
returning from callee:
 frame1: R0=scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff)) R1=ctx() R10=fp0
to caller at 5:
 R0=scalar(smin=0,smax=umax=0xffffffff,var_off=(0x0; 0xffffffff)) R10=fp0
5: (bf) r0 = r1
R1 !read_ok
processed 8 insns (limit 1000000) max_states_per_insn 0 total_states 1 peak_states 1 mark_read 0
";
    assert_eq!(log(REJECTED, KernelVersion::V7_3, LogLevel::Path), expected);
}

#[test]
fn level_1_in_the_style_of_6_1() {
    let log = log(REJECTED, KernelVersion::V6_1, LogLevel::Path);
    for line in [
        "0: R1=ctx(off=0,imm=0) R10=fp0",
        "0: (79) r6 = *(u64 *)(r1 +0)          ; R1=ctx(off=0,imm=0) R6_w=scalar()",
        " R6_w=0 R10=fp0",
        " frame1: R0_w=scalar(umax=4294967295,var_off=(0x0; 0xffffffff)) R1=ctx(off=0,imm=0) R10=fp0",
        "R1 !read_ok",
    ] {
        assert!(log.lines().any(|l| l == line), "{line}\nis not in\n{log}");
    }
}

const LOOP: &str = "
main:
    r6 = *(u64 *)(r1 + 0)
    r6 &= 7
    r1 = r6
    r2 = cb ll
    r3 = 0
    r4 = 0
    call bpf_loop
    r0 = 0
    exit
cb:
    r0 = 0
    exit
";

#[test]
fn level_2_tells_what_is_learnt_backwards() {
    let new = log(LOOP, KernelVersion::V7_3, LogLevel::All);
    for line in [
        "func#1 @10",
        "topo_order[1] = main",
        "  1   7: .1234..... (85) call bpf_loop#181",
        "SCC enter (1)",
        "mark_precise: frame0: last_idx 7 first_idx 7 subseq_idx -1 ",
        "mark_precise: frame0: regs=r4 stack= before 6: (b7) r4 = 0",
        "R2 is not a scalar",
        "from 7 to 10: frame1: R10=fp0 cb",
        "frame 0: propagating r1,r3,r4",
        "SCC backedge (1)",
        "from 11 to 7: safe",
        "SCC exit (1)",
    ] {
        assert!(new.lines().any(|l| l == line), "{line}\nis not in\n{new}");
    }
    let old = log(LOOP, KernelVersion::V6_1, LogLevel::All);
    for line in [
        "last_idx 7 first_idx 0",
        "regs=10 stack=0 before 6: (b7) r4 = 0",
        "from 11 to 8: R0=scalar() R6=scalar(id=1,umax=7,var_off=(0x0; 0x7)) R10=fp0",
    ] {
        assert!(old.lines().any(|l| l == line), "{line}\nis not in\n{old}");
    }
}

#[test]
fn an_accepted_program_leaves_the_statistics_at_level_1() {
    for version in KernelVersion::ALL {
        let log = log(LOOP, version, LogLevel::Path);
        assert_eq!(log.lines().count(), 1, "{version}: {log}");
        assert!(log.starts_with("processed "), "{version}: {log}");
    }
}

#[test]
fn the_verdict_does_not_depend_on_the_log() {
    for source in [REJECTED, LOOP] {
        for version in KernelVersion::ALL {
            let (program, rules) = (program(source), Rules::of(version));
            let without = verify(&program, &rules);
            for level in [LogLevel::Path, LogLevel::All] {
                assert_eq!(verify_with_log(&program, &rules, level).0, without, "{version}");
            }
        }
    }
}

#[test]
fn a_refusal_before_the_walk_has_its_message() {
    let source = ";;! prog_type = \"socket_filter\"\n;;! prog_flags = 16\nmain:\n    r0 = 0\n    exit\n";
    let (verdict, log) = verify_with_log(&program(source), &Rules::of(KernelVersion::V7_3), LogLevel::All);
    let Verdict::Rejected(rejection) = verdict else { panic!("{verdict:?}") };
    assert_eq!(log.lines().next(), Some(rejection.text.as_str()));
    assert!(log.lines().nth(1).is_some_and(|l| l.starts_with("processed 0 insns")), "{log}");
}

#[test]
fn instructions_in_the_kernels_dialect() {
    let rules = Rules::of(KernelVersion::V7_3);
    for (bytes, text) in [
        ("b70100000a000000", "(b7) r1 = 10"),
        ("bc21000000000000", "(bc) w1 = w2"),
        ("bf21080000000000", "(bf) r1 = (s8)r2"),
        ("3f21010000000000", "(3f) r1 s/= r2"),
        ("8700000000000000", "(87) r0 = -r0"),
        ("dc01000010000000", "(dc) r1 = be16 r1"),
        ("d701000020000000", "(d7) r1 = bswap32 r1"),
        ("79a1f8ff00000000", "(79) r1 = *(u64 *)(r10 -8)"),
        ("9121040000000000", "(91) r1 = *(s8 *)(r2 +4)"),
        ("7b1af8ff00000000", "(7b) *(u64 *)(r10 -8) = r1"),
        ("6201040007000000", "(62) *(u32 *)(r1 +4) = 7"),
        ("db21080000000000", "(db) lock *(u64 *)(r1 +8) += r2"),
        ("c321080001000000", "(c3) r2 = atomic_fetch_add((u32 *)(r1 +8), r2)"),
        ("db210800f1000000", "(db) r0 = atomic64_cmpxchg((u64 *)(r1 +8), r0, r2)"),
        ("2000000004000000", "(20) r0 = *(u32 *)skb[4]"),
        ("5010000004000000", "(50) r0 = *(u8 *)skb[r1 + 4]"),
        ("0500feff00000000", "(05) goto pc-2"),
        ("0600000007000000", "(06) gotol pc+7"),
        ("e500020000000000", "(e5) may_goto pc+2"),
        ("25010300ffffffff", "(25) if r1 > 0xffffffff goto pc+3"),
        ("1e21fdff00000000", "(1e) if w1 == w2 goto pc-3"),
        ("85100000feffffff", "(85) call pc-2"),
        ("85000000b5000000", "(85) call bpf_loop#181"),
        ("85000000e7030000", "(85) call unknown#999"),
        ("9500000000000000", "(95) exit"),
    ] {
        let raw: Vec<u8> =
            (0..8).map(|n| u8::from_str_radix(&bytes[2 * n..2 * n + 2], 16).expect("hexadecimal digits")).collect();
        let mut out = String::new();
        insn::write(&mut out, Insn::from_bytes(raw.try_into().expect("eight bytes")), None, &rules);
        assert_eq!(out, text, "{bytes}");
    }
    let mut out = String::new();
    let next = Insn { imm: 1, ..Insn::default() };
    insn::write(&mut out, Insn::new(0x18, 2, 0, 0, 5), Some(next), &rules);
    assert_eq!(out, "(18) r2 = 0x100000005");
}

/// A log is bounded, has its end, and says what is missing; a branch that is taken up again finds where it parted, also when
/// that is not kept any more.
#[test]
fn a_log_keeps_its_end() {
    let (program, rules) = (program(REJECTED), Rules::of(KernelVersion::V7_3));
    let structure = structure::check(&program, &rules).expect("a structure");
    let mut log = Log::new(&program, &structure, &rules, LogLevel::Path);
    log.line(format_args!("first"));
    let early = log.position();
    for n in 0..1_000_000 {
        log.line(format_args!("{n:08} is a line of forty bytes, all told"));
        assert!(log.text.len() <= 2 * KEPT_BYTES);
    }
    let late = log.position();
    log.line(format_args!("dropped"));
    log.resume(late);
    log.line(format_args!("last"));
    assert_eq!(log.position(), late + 5);
    let bytes = log.position();
    let text = log.finish();
    let (remark, kept) = text.split_once('\n').expect("lines");
    assert_eq!(remark, format!("[{} bytes cut: a log keeps its last {KEPT_BYTES}]", bytes - kept.len()));
    assert!(kept.len() <= KEPT_BYTES && kept.len() > KEPT_BYTES - 50, "{}", kept.len());
    assert!(kept.starts_with("00") && kept.ends_with("00999999 is a line of forty bytes, all told\nlast\n"));

    let mut log = Log::new(&program, &structure, &rules, LogLevel::Path);
    (0..1_000_000).for_each(|n| log.line(format_args!("{n:08} is a line of forty bytes, all told")));
    log.resume(early);
    assert_eq!((log.position(), log.text.as_str()), (early, ""));
    log.line(format_args!("after"));
    assert!(log.finish().ends_with("after\n"));
}
