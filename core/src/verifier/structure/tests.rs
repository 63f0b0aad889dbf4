//! Every refusal under every version, marks, folding, and recorded answers of real kernels.

use super::fields::canonical;
use super::{KnownReg, Marks, Refusal, Structure, check, check_fields, check_immediate};
use crate::btf::Linkage;
use crate::isa::{Insn, InsnIdx, Op, decode};
use crate::kernel::{FieldCheck, KernelVersion, MapType, ProgType, Rules};
use crate::program::{Func, MapDef, Program, SubprogIdx};
use KernelVersion::{V6_1, V6_12, V6_18, V7_3};
use proptest::prelude::*;

/// A program of instructions in hex, separated by spaces.
fn program(insns: &str) -> Program {
    let insns = insns.split_whitespace().map(|word| {
        let mut bytes = [0; 8];
        for (n, b) in bytes.iter_mut().enumerate() {
            *b = u8::from_str_radix(&word[2 * n..2 * n + 2], 16).expect("hex");
        }
        assert_eq!(word.len(), 16, "{word}");
        Insn::from_bytes(bytes)
    });
    Program { insns: insns.collect(), ..Program::default() }
}

fn rules(version: KernelVersion) -> Rules {
    Rules::of(version)
}

/// The answer in one line: `ok`, the errno and text of a rejection, or what is not supported.
fn answer(program: &Program, version: KernelVersion) -> String {
    match check(program, &rules(version)) {
        Ok(_) => "ok".to_owned(),
        Err(Refusal::Rejected(r)) => format!("{} {}", r.errno.0, r.text),
        Err(Refusal::Unsupported(u)) => format!("unsupported {}", u.what),
    }
}

fn accepted(program: &Program, version: KernelVersion) -> Structure {
    check(program, &rules(version)).unwrap_or_else(|r| panic!("{version}: {r:?}"))
}

fn func(insn: u32, name: &str, linkage: Linkage) -> Func {
    Func { insn: InsnIdx(insn), name: name.to_owned(), linkage, args: 1, type_id: None }
}

fn with_funcs(insns: &str, starts: &[u32]) -> Program {
    let funcs = starts.iter().map(|s| func(*s, &format!("f{s}"), Linkage::Static)).collect();
    Program { funcs, ..program(insns) }
}

const EXIT: &str = "9500000000000000";
const MOV0: &str = "b700000000000000";
const CALL_NEXT_BUT_ONE: &str = "8510000001000000";

/// What each version answers: one text for all, or one for each.
enum Expect {
    All(&'static str),
    Each([&'static str; 4]),
}
use Expect::{All, Each};

fn expect(name: &str, program: &Program, expected: Expect) {
    let answers = KernelVersion::ALL.map(|v| answer(program, v));
    let expected = match expected {
        All(text) => [text; 4],
        Each(texts) => texts,
    };
    assert_eq!(answers.each_ref().map(String::as_str), expected, "{name}");
}

#[test]
fn instructions_that_are_refused() {
    let unvisited = |insn: &str| program(&format!("{MOV0} 5500010000000000 {EXIT} {insn} {MOV0} {EXIT}"));
    let table = [
        ("opcode", "0000000000000000", All("22 unknown opcode 00")),
        ("opcode", "ff00000000000000", All("22 unknown opcode ff")),
        ("swap", "d700000010000000", Each(["22 unknown opcode d7", "ok", "ok", "ok"])),
        ("signed load", "9101000000000000", Each(["22 BPF_LDX uses reserved fields", "ok", "ok", "ok"])),
        (
            "signed load of 8 bytes",
            "9901000000000000",
            Each([
                "22 BPF_LDX uses reserved fields",
                "22 unknown opcode 99",
                "22 unknown opcode 99",
                "22 unknown opcode 99",
            ]),
        ),
        ("may_goto", "e500000000000000", Each(["22 unknown opcode e5", "ok", "ok", "ok"])),
        (
            "may_goto fields",
            "e501000007000000",
            Each(["22 unknown opcode e5", "ok", "ok", "22 invalid may_goto imm 7"]),
        ),
        ("narrow atomic", "d310000000010000", Each(["22 unknown opcode d3", "22 unknown opcode d3", "ok", "ok"])),
        ("gotol", "0600000000000000", All("ok")),
        (
            "gotox",
            "0d01000000000000",
            Each([
                "22 unknown opcode 0d",
                "22 unknown opcode 0d",
                "22 unknown opcode 0d",
                "22 no jump tables found for subprog starting at 0",
            ]),
        ),
        ("mov fields", "bf01050000000000", Each(["ok", "ok", "ok", "22 BPF_MOV uses reserved fields"])),
        (
            "cast",
            "bf21010002000000",
            Each(["ok", "ok", "ok", "22 addr_space_cast insn can only convert between address space 1 and 0"]),
        ),
        ("neg fields", "8700000001000000", Each(["ok", "ok", "ok", "22 BPF_NEG uses reserved fields"])),
        ("end fields", "d400000011000000", Each(["ok", "ok", "ok", "22 BPF_END uses reserved fields"])),
        ("alu fields", "0f01000001000000", Each(["ok", "ok", "ok", "22 BPF_ALU uses reserved fields"])),
        ("signed sum", "0f01010000000000", Each(["ok", "ok", "ok", "22 BPF_ALU uses reserved fields"])),
        ("signed quotient", "3f01010000000000", All("ok")),
        ("load fields", "7911000001000000", All("22 BPF_LDX uses reserved fields")),
        ("store fields", "7a1af8ff00000000", Each(["ok", "ok", "ok", "22 BPF_ST uses reserved fields"])),
        ("store fields", "7b1af8ff01000000", Each(["ok", "ok", "ok", "22 BPF_STX uses reserved fields"])),
        ("call fields", "8501000001000000", Each(["ok", "ok", "ok", "22 BPF_CALL uses reserved fields"])),
        ("call kind", "8530000001000000", Each(["ok", "ok", "ok", "22 BPF_CALL uses reserved fields"])),
        ("goto fields", "0501000000000000", Each(["ok", "ok", "ok", "22 BPF_JA uses reserved fields"])),
        ("compare fields", "1d21000001000000", Each(["ok", "ok", "ok", "22 BPF_JMP/JMP32 uses reserved fields"])),
        ("packet load", "2001000000000000", Each(["ok", "ok", "ok", "22 BPF_LD_[ABS|IND] uses reserved fields"])),
        ("register", "b70b000000000000", Each(["ok", "ok", "ok", "22 R11 is invalid"])),
        ("register", "bfc1000000000000", Each(["ok", "ok", "ok", "22 R12 is invalid"])),
        ("stack argument", "7bb0f8ff00000000", Each(["ok", "ok", "ok", "22 R11 is invalid"])),
        ("stack argument", "7b1bf8ff00000000", Each(["ok", "ok", "ok", "unsupported arguments on the stack (R11)"])),
        ("atomic", "db10000077000000", All("ok")),
        ("kfunc", "8520000001000000", All("unsupported call of a kernel function")),
        ("div by zero is for the walk", "3700000000000000", All("ok")),
    ];
    for (name, insn, expected) in table {
        expect(name, &unvisited(insn), expected);
    }
    expect("exit offset", &program("9500010000000000"), All("ok"));
    assert_eq!(accepted(&program("9500010000000000"), V7_3).ops, [Some(Op::Exit)]);
    expect("exit fields", &program("9500000001000000"), Each(["ok", "ok", "ok", "22 BPF_EXIT uses reserved fields"]));
}

#[test]
fn halves_and_maps() {
    let array = |max_entries| MapDef { key_size: 4, value_size: 16, max_entries, ..MapDef::default() };
    let maps = vec![
        array(1),
        array(2),
        MapDef { map_type: MapType::PercpuArray, ..array(2) },
        MapDef { map_type: MapType::Hash, ..array(1) },
    ];
    let direct = |map: u8, off: &str| Program {
        maps: maps.clone(),
        ..program(&format!("18210000{map:02x}000000 00000000{off} {MOV0} {EXIT}"))
    };
    expect("in the value", &direct(0, "0f000000"), All("ok"));
    expect("past it", &direct(0, "10000000"), All("22 invalid access to map value pointer, value_size=16 off=16"));
    expect("two entries", &direct(1, "00000000"), All("524 invalid access to map value pointer, value_size=16 off=0"));
    let no_direct = "22 no direct value access support for this map type";
    let percpu = "95 invalid access to map value pointer, value_size=16 off=0";
    expect("per-CPU", &direct(2, "00000000"), Each([no_direct, no_direct, no_direct, percpu]));
    expect("hash", &direct(3, "00000000"), All(no_direct));
    let far = "22 direct value offset of 536870912 is not allowed";
    let past = "22 invalid access to map value pointer, value_size=16 off=536870912";
    expect("far", &direct(0, "00000020"), Each([far, far, far, past]));
    expect("no such map", &direct(9, "00000000"), All("9 fd 9 is not pointing to valid bpf_map"));

    let load = |first: &str, second: &str| program(&format!("{first} {second} {MOV0} {EXIT}"));
    expect("second half", &load("1801000000000000", MOV0), All("22 invalid bpf_ld_imm64 insn"));
    expect("kind", &load("1871000000000000", "0000000000000000"), All("22 unrecognized bpf_ld_imm64 insn"));
    expect("map", &load("1811000000000000", "0000000001000000"), All("22 unrecognized bpf_ld_imm64 insn"));
    expect("by index", &load("1851000000000000", "0000000000000000"), All("71 fd_idx without fd_array is invalid"));
    expect(
        "variable",
        &load("1831000001000000", "0000000000000000"),
        All("unsupported reference to a kernel variable"),
    );
    expect(
        "offset field",
        &load("1801010000000000", "0000000000000000"),
        Each(["ok", "ok", "ok", "22 BPF_LD_IMM64 uses reserved fields"]),
    );
    let last = "22 last insn is not an exit or jmp";
    let first_half = program(&format!("{MOV0} 1801000000000000"));
    expect("first half last", &first_half, Each([last, last, last, "22 invalid bpf_ld_imm64 insn"]));
}

#[test]
fn many_maps() {
    let map = MapDef { key_size: 4, value_size: 4, max_entries: 1, ..MapDef::default() };
    let mut insns = String::new();
    for n in 0..65 {
        insns += &format!("18110000{n:02x}000000 0000000000000000 ");
    }
    let p = Program { maps: vec![map; 65], ..program(&(insns + MOV0 + " " + EXIT)) };
    let text = "7 The total number of maps per program has reached the limit of 64";
    expect("65 maps", &p, Each(["7 (more than 64 maps)", text, text, text]));
}

#[test]
fn subprograms_and_control_flow() {
    let unreachable = "22 unreachable insn 1";
    let table = [
        ("", "7 (a program of 0 instructions)", [""; 4]),
        ("b700000000000000", "22 last insn is not an exit or jmp", [""; 4]),
        ("0500050000000000 9500000000000000", "22 jump out of range from insn 0 to 6", [""; 4]),
        ("0500feff00000000 9500000000000000", "22 jump out of range from insn 0 to -1", [""; 4]),
        ("06000000ffffff7f 9500000000000000", "22 jump out of range from insn 0 to -2147483648", [""; 4]),
        ("0500010000000000 b700000000000000 9500000000000000", unreachable, [""; 4]),
        ("8510000009000000 9500000000000000", "22 call to invalid destination", [""; 4]),
        ("85100000feffffff 9500000000000000", "22 call to invalid destination", [""; 4]),
        // A jump from one subprogram into another, and running into the next.
        ("8510000001000000 9500000000000000 0500fdff00000000", "22 jump out of range from insn 2 to 0", [""; 4]),
        ("8510000000000000 9500000000000000", "22 last insn is not an exit or jmp", [""; 4]),
        (
            "1500010000000000 1801000000000000 0000000000000000 9500000000000000",
            "22 jump into the middle of ldimm64 insn 1",
            [""; 4],
        ),
        // An endless loop is for the walk; so is recursion until 7.3.
        ("0500ffff00000000", "ok", [""; 4]),
        (
            "8510000001000000 9500000000000000 85100000ffffffff 9500000000000000",
            "",
            ["22 back-edge from insn 2 to 2", "ok", "ok", "22 recursive call from () to ()"],
        ),
        // Straight-line code that falls through into a loop that the search came from.
        (
            "b700000000000000 0500010000000000 b700000001000000 1500feff00000000 9500000000000000",
            "",
            ["22 back-edge from insn 2 to 3", "ok", "ok", "ok"],
        ),
    ];
    for (insns, all, each) in table {
        expect(insns, &program(insns), if all.is_empty() { Each(each) } else { All(all) });
    }
    let long = Program { insns: vec![Insn::default(); 1_000_001], ..Program::default() };
    expect("too long", &long, All("7 (a program of 1000001 instructions)"));
}

#[test]
fn too_many_subprograms() {
    let calls = |n: u32| {
        let mut insns = Vec::new();
        // Call k goes to the k-th of the one-instruction subprograms behind the calls and main's exit.
        insns.extend(std::iter::repeat_n(Insn::new(0x85, 0, 1, 0, n as i32), n as usize));
        insns.extend(std::iter::repeat_n(Insn::new(0x95, 0, 0, 0, 0), n as usize + 1));
        Program { insns, ..Program::default() }
    };
    expect("256", &calls(255), All("ok"));
    expect("257", &calls(256), All("7 too many subprograms"));
}

#[test]
fn recursion_names_its_functions() {
    let p = with_funcs("8510000001000000 9500000000000000 85100000fdffffff 9500000000000000", &[0, 2]);
    let back_edge = "22 back-edge from insn 2 to 0";
    expect("mutual", &p, Each([back_edge, "ok", "ok", "22 recursive call from f2() to f0()"]));
    // A reference may close a cycle.
    let p = with_funcs(&format!("{CALL_NEXT_BUT_ONE} {EXIT} 18410000ffffffff 0000000000000000 {EXIT}"), &[0, 2]);
    expect("reference", &p, All("ok"));
}

#[test]
fn function_info() {
    let two = format!("{CALL_NEXT_BUT_ONE} {EXIT} {MOV0} {EXIT}");
    let count = "22 number of funcs in func_info doesn't match number of subprogs";
    expect("right", &with_funcs(&two, &[0, 2]), All("ok"));
    expect("none", &program(&two), All("ok"));
    expect("too few", &with_funcs(&two, &[0]), All(count));
    expect(
        "place",
        &with_funcs(&two, &[0, 3]),
        All("22 func_info BTF section doesn't match subprog layout in BPF program"),
    );
    expect("first", &with_funcs(&two, &[1, 2]), All("22 nonzero insn_off 1 for the first func info record"));
    let same = "22 same or smaller insn offset (0) than previous func info record (0)";
    expect("order", &with_funcs(&two, &[0, 0]), All(same));
    // Both the order and the number are wrong: which one is told changed in 6.7.
    expect("order and count", &with_funcs(&two, &[0, 0, 2]), Each([count, same, same, same]));
    let mut p = with_funcs(&two, &[0, 2]);
    p.funcs[1].linkage = Linkage::Extern;
    expect("extern", &p, All("22 (BTF: function \"f2\": Invalid func linkage)"));

    let tail = format!("{CALL_NEXT_BUT_ONE} {EXIT} 850000000c000000 {MOV0} {EXIT}");
    expect("tail call", &program(&tail), All("22 tail_call is not allowed in subprogs without BTF"));
    expect("tail call", &with_funcs(&tail, &[0, 2]), All("ok"));
    let load = format!("{CALL_NEXT_BUT_ONE} {EXIT} 2000000000000000 {EXIT}");
    expect("packet load", &program(&load), All("22 LD_ABS is not allowed in subprogs without BTF"));
}

#[test]
fn load_attributes() {
    let with = |prog_type, expected_attach_type, prog_flags| Program {
        prog_type,
        expected_attach_type,
        prog_flags,
        ..program(&format!("{MOV0} {EXIT}"))
    };
    let sleep = |t| with(t, 0, 1 << 4);
    let only = "22 Only fentry/fexit/fmod_ret, lsm, and kprobe/uprobe programs can be sleepable";
    let more = "22 Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable";
    let cannot = "22 Program of this type cannot be sleepable";
    expect("xdp sleeps", &sleep(ProgType::Xdp), Each([only, more, more, cannot]));
    expect("tracepoint sleeps", &sleep(ProgType::Tracepoint), Each([only, more, more, "ok"]));
    expect("kprobe sleeps", &sleep(ProgType::Kprobe), All("ok"));
    expect("syscall sleeps", &sleep(ProgType::Syscall), All("ok"));
    expect("syscall", &with(ProgType::Syscall, 0, 0), All("22 Syscall programs can only be sleepable"));
    expect("attach", &with(ProgType::Syscall, 1, 16), All("22 (attach type 1)"));
    expect("attach", &with(ProgType::CgroupSkb, 2, 0), All("22 (attach type 2)"));
    expect("attach", &with(ProgType::Kprobe, 60, 0), Each(["ok", "ok", "ok", "22 (attach type 60)"]));
    expect("flag", &with(ProgType::Xdp, 0, 1 << 7), Each(["22 (unknown program flags 0x80)", "ok", "ok", "ok"]));
    expect("flag", &with(ProgType::Xdp, 0, 1 << 8), All("22 (unknown program flags 0x100)"));
    let token = "unsupported token";
    expect(
        "token",
        &with(ProgType::Xdp, 0, 1 << 16),
        Each(["22 (unknown program flags 0x10000)", token, token, token]),
    );
    expect("type", &with(ProgType::Unspec, 0, 0), All("22 (no program type)"));
    expect("type", &with(ProgType::Tracing, 0, 0), All("22 Tracing programs must provide btf_id"));
}

#[test]
fn map_attributes() {
    use MapType::*;
    let create = |map_type, key_size, value_size, max_entries, flags| Program {
        maps: vec![MapDef { map_type, key_size, value_size, max_entries, flags, ..MapDef::default() }],
        ..program(&format!("{MOV0} {EXIT}"))
    };
    let table = [
        (create(Array, 4, 8, 1, 0x480), "ok"),
        (create(Array, 8, 8, 1, 0), "22 (map 0, array: keys are indexes of 4 bytes)"),
        (create(Array, 4, 0, 1, 0), "22 (map 0, array: empty values)"),
        (create(Array, 4, 8, 0, 0), "22 (map 0, array: no entries)"),
        (create(Array, 4, 8, 1, 1), "22 (map 0, array: unknown flags)"),
        (create(Array, 4, 8, 1, 0x180), "22 (map 0, array: both read-only and write-only for programs)"),
        (create(Array, 4, 8, 1, 0x18), "22 (map 0, array: both read-only and write-only)"),
        (create(Array, 4, 8, 1, 0x800), "22 (map 0, array: flags of event arrays)"),
        (create(Array, 4, 1 << 31, 1, 0), "7 (map 0, array: values too large)"),
        (create(Array, 4, 1 << 20, 1 << 20, 0), "ok"),
        (create(Array, 4, i32::MAX as u32, u32::MAX, 0), "ok"),
        (create(PercpuArray, 4, 32768, 1 << 20, 0), "ok"),
        (create(Hash, 8, 1 << 20, 1 << 27, 0), "ok"),
        (create(Hash, 8, 8, (1 << 27) + 1, 0), "7 (map 0, hash: too many entries)"),
        (create(Ringbuf, 0, 0, 1 << 31, 0), "ok"),
        (create(Queue, 0, 4 << 20, 1 << 20, 0), "ok"),
        (create(LpmTrie, 8, 1 << 20, 1 << 20, 1), "ok"),
        (create(Sockmap, 4, 4, 1 << 31, 0), "22 (map 0, sockmap: too many entries)"),
        (create(Sockhash, 4, 4, (1 << 27) + 1, 0), "22 (map 0, sockhash: too many entries)"),
        (create(StackTrace, 4, 1016, 1 << 31, 0), "ok"),
        (create(StackTrace, 4, 1016, (1 << 31) + 1, 0), "7 (map 0, stack_trace: too many entries)"),
        (create(PercpuArray, 4, 8, 1, 0x400), "22 (map 0, percpu_array: flags of plain arrays)"),
        (create(PercpuArray, 4, 32769, 1, 0), "7 (map 0, percpu_array: values too large for each CPU)"),
        (create(ProgArray, 4, 8, 1, 0), "22 (map 0, prog_array: values are file descriptors of 4 bytes)"),
        (create(PerfEventArray, 4, 4, 8, 0x800), "ok"),
        (create(Hash, 8, 8, 8, 1), "ok"),
        (create(Hash, 8, 0, 8, 0), "22 (map 0, hash: empty keys or values)"),
        (create(Hash, 8, 4 << 20, 8, 0), "7 (map 0, hash: elements too large)"),
        (create(Hash, 8, 8, 8, 2), "22 (map 0, hash: flags of LRU maps)"),
        (create(LruHash, 8, 8, 8, 1), "524 (map 0, lru_hash: LRU maps are preallocated)"),
        (create(Ringbuf, 0, 0, 4096, 0), "ok"),
        (create(Ringbuf, 0, 0, 2048, 0), "22 (map 0, ringbuf: size is no power of two of pages)"),
        (create(Ringbuf, 4, 0, 4096, 0), "22 (map 0, ringbuf: keys or values in a ring buffer)"),
        (create(Queue, 0, 4, 4, 0), "ok"),
        (create(Stack, 4, 4, 4, 0), "22 (map 0, stack: keys in a queue)"),
        (create(LpmTrie, 8, 4, 4, 1), "ok"),
        (create(LpmTrie, 8, 4, 4, 0), "22 (map 0, lpm_trie: tries are not preallocated)"),
        (create(LpmTrie, 4, 4, 4, 1), "22 (map 0, lpm_trie: keys of this size)"),
        (create(Unspec, 0, 0, 0, 0), "22 (map 0, unspec: no map type)"),
        (create(SkStorage, 4, 4, 0, 0), "22 (map 0, sk_storage: no types of keys and values)"),
        (create(Sockmap, 4, 4, 1, 0), "ok"),
        (create(Sockhash, 0, 4, 1, 0), "22 (map 0, sockhash: empty keys)"),
        (create(Sockhash, 513, 8, 1, 0), "7 (map 0, sockhash: keys too large)"),
        (create(Xskmap, 4, 8, 1, 0), "22 (map 0, xskmap: values of this size)"),
        (create(ReuseportSockarray, 4, 8, 1, 0), "ok"),
        (create(CgroupStorage, 8, 8, 0, 0), "ok"),
        (create(CgroupStorage, 8, 8, 1, 0), "22 (map 0, cgroup_storage: entries of a storage)"),
        (create(StackTrace, 4, 1016, 1, 0), "ok"),
        (create(StackTrace, 4, 1024, 1, 0), "22 (map 0, stack_trace: values deeper than stacks)"),
        (create(ArrayOfMaps, 4, 4, 1, 0), "22 (map 0, array_of_maps: no map to take the values after)"),
        (create(Arena, 0, 0, 1, 0), "unsupported map type arena"),
    ];
    for (program, expected) in table {
        expect(expected, &program, All(expected));
    }
    let overwrite = create(Ringbuf, 0, 0, 4096, 1 << 19);
    let unknown = "22 (map 0, ringbuf: unknown flags)";
    expect("overwrite", &overwrite, Each([unknown, unknown, unknown, "ok"]));

    let uses = |map_type| Program {
        prog_type: ProgType::Syscall,
        prog_flags: 16,
        insns: program(&format!("1811000000000000 0000000000000000 {MOV0} {EXIT}")).insns,
        ..create(map_type, 8, 4, 4, if map_type == LpmTrie { 1 } else { 0 })
    };
    let old = "22 Sleepable programs can only use array, hash, and ringbuf maps";
    let new = "22 Sleepable programs can only use array, hash, ringbuf and local storage maps";
    expect("sleepable trie", &uses(LpmTrie), Each([old, new, new, "ok"]));
    expect("sleepable hash", &uses(Hash), All("ok"));
}

#[test]
fn faults_of_a_visit_come_after_reads() {
    let visit = |hex: &str, v| match check_fields(program(hex).insns[0], &rules(v).structure) {
        Ok(()) => "ok".to_owned(),
        Err(f) => format!("{} {:?}", f.text, f.reads),
    };
    for v in [V6_1, V6_12, V6_18] {
        assert_eq!(visit("bfcb000000000000", v), "R12 is invalid []");
        assert_eq!(visit("bf1b000000000000", v), "R11 is invalid [r1]");
        assert_eq!(visit("0f1b000001000000", v), "BPF_ALU uses reserved fields []");
        assert_eq!(visit("1d21000001000000", v), "BPF_JMP/JMP32 uses reserved fields [r1]");
        assert_eq!(visit("1d2d000001000000", v), "R13 is invalid []");
        assert_eq!(visit("1dd1000000000000", v), "R13 is invalid [r1]");
        assert_eq!(visit("db10000077000000", v), "BPF_ATOMIC uses invalid atomic opcode 77 []");
    }
    assert_eq!(visit("db10000000010000", V6_12), "BPF_ATOMIC uses invalid atomic opcode 100 []");
    assert_eq!(visit("db10000000010000", V6_18), "ok");
    assert_eq!(visit("d310000001000000", V7_3), "invalid atomic operand size []");
    assert_eq!(visit("db10000077000000", V7_3), "BPF_ATOMIC uses invalid atomic opcode 77 []");

    let immediate = |hex: &str| {
        let op = decode(program(hex).insns[0], None).expect("an operation");
        check_immediate(&op).err().map(|f| f.text)
    };
    assert_eq!(immediate("3701000000000000").as_deref(), Some("div by zero"));
    assert_eq!(immediate("9401010000000000").as_deref(), Some("div by zero"));
    assert_eq!(immediate("6701000040000000").as_deref(), Some("invalid shift 64"));
    assert_eq!(immediate("67010000ffffffff").as_deref(), Some("invalid shift -1"));
    assert_eq!(immediate("c401000020000000").as_deref(), Some("invalid shift 32"));
    assert_eq!(immediate("670100003f000000"), None);
    assert_eq!(immediate("3f01000000000000"), None);
}

#[test]
fn marks_of_a_loop_call() {
    let p = with_funcs(
        &format!(
            // 0: callback reference, 2: bpf_loop, 3: conditional jump over 4, 5: exit, 6: callback
            "1842000005000000 0000000000000000 85000000b5000000 1500010000000000 {MOV0} {EXIT} {MOV0} {EXIT}"
        ),
        &[0, 6],
    );
    let (prune, jmp, target) = (Marks::PRUNE_POINT, Marks::JMP_POINT, Marks::JUMP_TARGET);
    let checkpoint = prune | jmp | Marks::FORCE_CHECKPOINT | Marks::CALLS_CALLBACK;
    let none = Marks::empty();
    let expected = [prune, none, prune | jmp, prune | jmp, none, prune | jmp | target, prune | jmp | target, none];
    assert_eq!(accepted(&p, V6_1).marks, expected);
    for v in [V6_12, V6_18, V7_3] {
        let mut expected = expected;
        expected[2] |= checkpoint;
        assert_eq!(accepted(&p, v).marks, expected);
    }
}

#[test]
fn packet_changes_reach_callers() {
    // main calls f2, which calls f4, which pulls data.
    let p = with_funcs(&format!("8510000001000000 {EXIT} 8510000001000000 {EXIT} 8500000027000000 {EXIT}"), &[0, 2, 4]);
    let changes = |p: &Program| accepted(p, V7_3).subprogs.iter().map(|s| s.changes_packet_data).collect::<Vec<_>>();
    assert_eq!(changes(&p), [true, true, true]);
    let mut harmless = p.clone();
    harmless.insns[4].imm = 5;
    assert_eq!(changes(&harmless), [false, false, false]);
}

#[test]
fn constant_branches_fold_under_7_3_only() {
    // r1 = 1; if r1 == 1 goto +1; dead: r2 = 2; r6 = 5; call; if r6 != 5 goto -2; r0 = 0; exit
    let p = program(&format!(
        "b701000001000000 1501010001000000 b702000002000000 b706000005000000 8500000005000000 \
         5506feff05000000 {MOV0} {EXIT}"
    ));
    for v in [V6_1, V6_12, V6_18] {
        let s = accepted(&p, v);
        assert!(s.folded.is_empty() && s.const_regs.is_empty() && s.topo_order.is_empty());
        assert_eq!(s.postorder.all().len(), 8);
    }
    let s = accepted(&p, V7_3);
    assert_eq!(s.folded, [InsnIdx(1), InsnIdx(5)]);
    assert_eq!(s.ops[1], Some(Op::Jump { off: 1, wide: false }));
    assert_eq!(s.ops[5], Some(Op::Jump { off: 0, wide: false }));
    let insns = s.insns(&p);
    assert_eq!(format!("{:?} {:?}", insns[1], insns[5]), "0500010000000000 0500000000000000");
    assert_eq!((insns[0], insns.len()), (p.insns[0], p.insns.len()));
    assert_eq!(s.const_regs[5][6], KnownReg::Scalar(5));
    assert_eq!(s.const_regs[5][1], KnownReg::Unknown);
    let order: Vec<_> = s.postorder.all().iter().map(|i| i.0).collect();
    assert_eq!(order, [7, 6, 5, 4, 3, 1, 0]);
    assert_eq!(s.topo_order, [SubprogIdx(0)]);
}

#[test]
fn what_folds_and_what_does_not() {
    let folds = |insns: &str| !accepted(&program(&format!("{insns} {EXIT}")), V7_3).folded.is_empty();
    // A 64-bit constant that does not fit 32 bits is not used; its 32-bit twin is.
    assert!(!folds("b7010000ffffffff 1501000001000000"));
    assert!(folds("b4010000ffffffff 1501000001000000"));
    // 32-bit comparisons are signed where they say so: w1 = -1; if w1 s< 0 goto +1, else if w1 < 0 goto +1
    let taken = |insns: &str| accepted(&program(&format!("{insns} {EXIT} {EXIT}")), V7_3).ops[1];
    assert_eq!(taken("b4010000ffffffff c601010000000000"), Some(Op::Jump { off: 1, wide: false }));
    assert_eq!(taken("b4010000ffffffff a601010000000000"), Some(Op::Jump { off: 0, wide: false }));
    // x & 0 is 0, whatever x was; a helper forgets R1 to R5; a load from the context is unknown.
    assert!(folds("5702000000000000 1502000000000000"));
    assert!(!folds("b701000001000000 8500000005000000 1501000001000000"));
    assert!(!folds("6112000000000000 1502000000000000"));
    // The same constant on both sides of a branch is one; two are none.
    assert!(folds("6112000000000000 b701000001000000 1502010003000000 b701000001000000 1501000001000000"));
    assert!(!folds("6112000000000000 b701000002000000 1502010003000000 b701000001000000 1501000001000000"));
}

#[test]
fn frozen_maps_are_constants() {
    let map = MapDef {
        key_size: 4,
        value_size: 8,
        max_entries: 1,
        flags: 1 << 7,
        init: vec![vec![0xfe, 0xff, 3]],
        frozen: true,
        ..MapDef::default()
    };
    // r1 = map value; r2 = *(s8 *)(r1 + 0) or *(u16 *)(r1 + 1); if r2 == … goto
    let known = |map: &MapDef, load: &str| {
        let insns = format!("1821000000000000 0000000000000000 {load} 1502000001000000 {EXIT}");
        let p = Program { maps: vec![map.clone()], ..program(&insns) };
        accepted(&p, V7_3).const_regs[3][2]
    };
    assert_eq!(known(&map, "6912010000000000"), KnownReg::Scalar(0x3ff));
    assert_eq!(known(&map, "6112020000000000"), KnownReg::Scalar(3));
    // Sign extension gives a number that does not fit; outside of the value nothing is known.
    assert_eq!(known(&map, "9112000000000000"), KnownReg::Unknown);
    assert_eq!(known(&map, "6112060000000000"), KnownReg::Unknown);
    assert_eq!(known(&MapDef { frozen: false, ..map.clone() }, "6112020000000000"), KnownReg::Unknown);
    assert_eq!(known(&MapDef { flags: 0, ..map }, "6112020000000000"), KnownReg::Unknown);
}

#[test]
fn dead_calls_are_no_recursion() {
    // main: r1 = 1; if r1 == 1 goto exit; call main. Folding makes the call unreachable.
    let p = program("b701000001000000 1501010001000000 85100000fdffffff 9500000000000000");
    expect("dead recursion", &p, Each(["22 back-edge from insn 2 to 0", "ok", "ok", "ok"]));
}

/// Instructions of any opcode, half of their fields zero.
fn insn() -> impl Strategy<Value = Insn> {
    let reg = || prop_oneof![Just(0u8), 0u8..13];
    let off = prop_oneof![Just(0i16), -3i16..4];
    let imm = prop_oneof![Just(0i32), 0i32..3, Just(16), Just(0xe1), Just(0x100), any::<i32>()];
    (any::<u8>(), reg(), reg(), off, imm).prop_map(|(code, dst, src, off, imm)| Insn::new(code, dst, src, off, imm))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// What passes the checks of fields decodes, and what decodes is known to the newest rules.
    #[test]
    fn fields_and_decoding_agree(i in insn()) {
        let p = Program { insns: vec![i, Insn::new(0x95, 0, 0, 0, 0)], ..Program::default() };
        for v in KernelVersion::ALL {
            let rules = rules(v).structure;
            let alone = super::resolve::check(&p, &rules).is_ok();
            let passes = alone && check_fields(i, &rules).is_ok();
            let decodes = decode(canonical(i), None).is_ok();
            if passes && i.code != 0x0d {
                prop_assert!(decodes, "{v}: {i:?} passes but does not decode");
            }
            if v == V7_3 && decodes && !matches!(decode(i, None), Ok(Op::AddrSpaceCast { .. } | Op::CallLocal { .. })) {
                prop_assert!(passes, "{v}: {i:?} decodes but does not pass");
            }
        }
    }

    /// No program of any kind makes the checks panic, and an accepted one keeps the promises of the module.
    #[test]
    fn accepted_programs_are_whole(
        insns in prop::collection::vec(insn(), 1..12),
        wild in prop::bool::weighted(0.2),
        exits in any::<u16>(),
        starts in prop::collection::vec(0u32..12, 0..3),
    ) {
        let mut insns: Vec<Insn> = insns
            .into_iter()
            .enumerate()
            .flat_map(|(n, i)| match () {
                () if n % 3 == 2 && exits >> n & 1 != 0 => vec![Insn::new(0x95, 0, 0, 0, 0)],
                () if wild => vec![i],
                () if i.is_ld_imm64() => vec![Insn { imm: i.imm & 7, off: 0, ..i }, Insn::default()],
                // Most instructions of the tame kind are operations; the rest become a comparison.
                () if decode(i, None).is_ok() => vec![i],
                () => vec![Insn::new(0x15, i.dst() % 11, 0, i.off, i.imm)],
            })
            .collect();
        insns.push(Insn::new(0x95, 0, 0, 0, 0));
        let funcs = starts.iter().map(|s| func(*s, "f", Linkage::Static)).collect();
        let p = Program { insns, funcs, ..Program::default() };
        for v in KernelVersion::ALL {
            let rules = rules(v);
            if let Ok(s) = check(&p, &rules) {
                whole(&p, &rules, &s)?;
            }
        }
    }
}

fn whole(p: &Program, rules: &Rules, s: &Structure) -> Result<(), TestCaseError> {
    prop_assert_eq!(s.ops.len(), p.insns.len());
    let visited_late = rules.structure.field_check == FieldCheck::AtVisit;
    for (n, op) in s.ops.iter().enumerate() {
        let half = n > 0 && p.insns[n - 1].is_ld_imm64();
        let fault = check_fields(p.insns[n], &rules.structure).is_err();
        prop_assert!(op.is_some() || half || fault, "{}: #{}", rules.version, n);
        prop_assert!(visited_late || !fault || p.insns[n].code >> 5 == 6, "{}: #{}", rules.version, n);
    }
    let graph = s.successors();
    for at in s.postorder.all() {
        let subprog = s.layout.containing(*at);
        for next in graph.of(*at) {
            let hidden_exit = next == InsnIdx(0) && s.subprogs[subprog.at()].exit.is_none();
            prop_assert!(s.layout.containing(next) == subprog || hidden_exit, "{}: {} to {}", rules.version, at, next);
        }
    }
    Ok(())
}
