//! Reproductions in C, compiled: to a verifier and when it runs, the object is the case, in the model and on a kernel.
//!
//! What a form leaves out it says; then the object may be another program, and only has to compile.

#[path = "support/skip.rs"]
mod skip;

use loopdiff::btf::{Btf, TypeId};
use loopdiff::campaign::{case_options, make};
use loopdiff::guest::{Answer, Ask, Cache, Image, Machine, Options, Pool};
use loopdiff::isa::{Insn, InsnIdx, operations};
use loopdiff::kernel::{KernelVersion, MapType, ProgType, Rules};
use loopdiff::oracle::{Examiner, Status};
use loopdiff::program::{Func, Input, Layout, Loaded, MapDef, Program, elf, load_bytes, subprog_target, text};
use loopdiff::repro::{ARRAY_PRELUDE, Claims, Selftest, selftest_array, selftest_asm};
use loopdiff::verifier::SiteState;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What forms can get wrong that no file of the corpus has: names, prototypes, flags, values of maps.
const BY_HAND: &[&str] = &[
    // A global function with parameters, which both a callback and main call, and a reduced map value.
    ";;! maps = [{ name = \"log\", type = \"array\", key_size = 4, value_size = 4, max_entries = 1, init = [\"0102030405060708\"] }]
;;! func.round = { linkage = \"global\", args = 2 }
;;! func.s = { args = 2 }
;;! func.index = { linkage = \"global\", args = 0 }
    r6 = map.log+0 ll
    r1 = *(u32 *)(r6 + 0)
    r2 = 7
    call round
    r1 = 3
    r2 = s ll
    r3 = 0
    r4 = 0
    call bpf_loop
    call index
    exit
s:
    r2 = 1
    call round
    r0 = 0
    exit
round:
    r0 = r1
    if r0 > 9 goto over
    r0 += r2
over:
    exit
index:
    r0 = 5
    exit
",
    // A global function whose last instruction is a jump.
    ";;! func.turn = { linkage = \"global\", args = 1 }
    r1 = 4
    call turn
    exit
turn:
    if r1 == 4 goto end
    r0 = 0
    exit
end:
    r0 = 1
    goto out_of_here
back:
    exit
out_of_here:
    goto back
",
    ";;! prog_type = \"syscall\"\n;;! prog_flags = 16\n    r0 = *(u64 *)(r1 + 0)\n    r0 = 1\n    exit\n",
    ";;! prog_type = \"xdp\"\n;;! expected_attach_type = 37\n;;! prog_flags = 32\n    r0 = 2\n    exit\n",
    ";;! prog_type = \"cgroup_skb\"\n;;! expected_attach_type = 1\n    r0 = 1\n    exit\n",
    ";;! prog_flags = 8\n    r0 = 2\n    exit\n",
    ";;! prog_flags = 1\n    r0 = *(u32 *)(r10 - 7)\n    exit\n",
    // A map that is used both by reference and by value has no words in C.
    ";;! maps = [{ type = \"array\", key_size = 4, value_size = 8, max_entries = 1 }]
    r1 = map.0 ll\n    r2 = map.0+4 ll\n    r0 = *(u32 *)(r2 + 0)\n    exit\n",
    ";;! maps = [{ type = \"hash\", key_size = 8, value_size = 48, max_entries = 1 }, { type = \"hash\", key_size = 8, value_size = 48, max_entries = 1 },
;;!   { type = \"ringbuf\", max_entries = 4096 }, { type = \"stack_trace\", key_size = 4, value_size = 8, max_entries = 1 },
;;!   { type = \"array\", key_size = 4, value_size = 8, max_entries = 1, flags = 128, frozen = true, init = [\"0700000000000000\"] }]
    r1 = map.1 ll
    r1 = map.0 ll
    r2 = r10
    r2 += -8
    *(u64 *)(r10 - 8) = 1
    call bpf_map_lookup_elem
    if r0 == 0 goto none
    r0 = *(u64 *)(r0 + 40)
none:
    r1 = map.2 ll
    r1 = map.3 ll
    r1 = map.4+0 ll
    r0 = *(u64 *)(r1 + 0)
    exit
",
];

/// Names that C or the assembler reads otherwise, each as that of a global function, of a static one and of a map.
const NAMES: &[&str] = &[
    "license",
    "s",
    "exit",
    "u8",
    "be16",
    "index",
    "memcpy",
    "printf",
    "NULL",
    "BPF_REG_0",
    "w1",
    "r10",
    "SEC",
    "asm",
    "bpf_loop",
    "ll",
    "goto",
    "lock",
    "skb",
    "main",
    "int",
    "__naked",
    "may_goto",
    "exp",
    "offsetof",
    "a1",
    "r0_1",
    "prog",
    "_license",
    "func_1",
    "l6_0",
];

/// Program types, and the section that says each.
const SECTIONS: &[(&str, &str)] = &[
    ("xdp", "xdp"),
    ("sched_cls", "tc"),
    ("socket_filter", "socket"),
    ("lwt_out", "lwt_out"),
    ("raw_tracepoint", "raw_tp"),
    ("sk_lookup", "sk_lookup"),
];

/// A program that is called as its section.
fn called_as_its_section(prog_type: &str, section: &str) -> String {
    format!(
        ";;! prog_type = \"{prog_type}\"\n;;! funcs = [{{ insn = 0, name = \"{section}\", linkage = \"global\", args = 1 }}]\nr0 = 1\nexit\n"
    )
}

fn named(name: &str) -> String {
    format!(
        ";;! maps = [{{ name = \"{name}\", type = \"array\", key_size = 4, value_size = 8, max_entries = 1 }}]
;;! funcs = [{{ insn = 0, name = \"main\", linkage = \"global\", args = 1 }}, {{ insn = 6, name = \"{name}\", linkage = \"global\", args = 1 }},
;;!   {{ insn = 8, name = \"{name}\", linkage = \"static\", args = 1 }}]
    r1 = map.0+4 ll
    r1 = 1
    call +2
    call +3
    exit
    r0 = r1
    exit
    r0 = 3
    exit
"
    )
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    let mut below: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    below.sort();
    for path in below {
        match path.extension().and_then(|e| e.to_str()) {
            _ if path.is_dir() => files(&path, out),
            Some("bpf" | "json") => out.push(path),
            _ => {}
        }
    }
}

fn programs_of(path: &Path) -> Vec<Program> {
    let bytes = std::fs::read(path).expect("a file");
    let loaded = load_bytes(path, &bytes, |source| Ok(vec![Loaded::Program(text::parse(source)?.program)]));
    let parent = path.parent().and_then(Path::file_name).unwrap_or_default();
    let name = format!("{}-{}", parent.to_string_lossy(), path.file_stem().expect("a name").to_string_lossy());
    let program = |loaded| match loaded {
        Loaded::Program(program) => Some(Program { name: name.clone(), ..program }),
        Loaded::Unsupported { .. } => None,
    };
    loaded.expect("a readable file").into_iter().filter_map(program).collect()
}

/// Every known divergence, a part of the corpus, generated cases, and what is written above.
fn sample() -> Vec<Program> {
    let mut programs: Vec<Program> = Vec::new();
    for (folder, one_in) in [("known", 1), ("programs", 4), ("seeds", 40)] {
        let mut all = Vec::new();
        files(&corpus().join(folder), &mut all);
        programs.extend(all.iter().step_by(one_in).flat_map(|path| programs_of(path)));
    }
    programs.extend((0..120).map(|number| make(21, number).program));
    let written = BY_HAND.iter().map(|source| (*source).to_owned()).chain(NAMES.iter().map(|name| named(name)));
    let written = written.chain(SECTIONS.iter().map(|(prog_type, section)| called_as_its_section(prog_type, section)));
    programs.extend(written.map(|source| text::parse(&source).unwrap_or_else(|e| panic!("{e}\n{source}")).program));
    for program in &mut programs {
        if program.inputs.is_empty() {
            program.inputs.push(Input { ctx: vec![0; 96], data: vec![0; 64], seed: 0 });
        }
    }
    programs.retain(|p| p.insns.len() <= 4096);
    programs
}

/// First instructions of functions in a linker's order.
fn linked(program: &Program) -> Vec<InsnIdx> {
    let (layout, ops) = (Layout::of(program), operations(&program.insns));
    let mut order = Vec::new();
    let mut open = vec![InsnIdx(0)];
    while let Some(start) = open.pop() {
        if order.contains(&start) {
            continue;
        }
        order.push(start);
        let end = layout.end(layout.starting(start).expect("a function"));
        let within = ops.iter().filter(|(at, _)| (start..end).contains(at));
        let targets = within.filter_map(|(at, op)| subprog_target(*at, op.as_ref().ok()?));
        let targets: Vec<InsnIdx> = targets.filter(|t| layout.starting(*t).is_some()).collect();
        open.extend(targets.into_iter().rev());
    }
    order
}

/// What is said of a program under some rules: verdict, loops by function and place in it, results, instructions walked.
fn said(program: &Program, rules: &Rules, examiner: &mut Examiner) -> String {
    let report = examiner.examine(program, rules);
    match &report.status {
        Status::Accepted { facts, .. } => {
            let order = linked(program);
            let rank = |start: InsnIdx| order.iter().position(|s| *s == start);
            let place = |at: InsnIdx| {
                let start = facts.layout.start(facts.layout.containing(at));
                (rank(start), at.0 - start.0)
            };
            let state = |state: SiteState| match state {
                SiteState::Fit(callback) => format!("inlined with function {:?}", rank(facts.layout.start(callback))),
                other => format!("{other:?}"),
            };
            let mut loops: Vec<String> =
                facts.loops.iter().map(|l| format!("{:?}: {}", place(l.insn), state(l.state))).collect();
            loops.sort();
            let ends: Vec<String> =
                report.runs.iter().map(|pair| format!("{} | {}", pair.original.end, pair.rewritten.end)).collect();
            format!("accept, {} walked, {loops:?}, {ends:?}", facts.insns_processed)
        }
        Status::Rejected(rejection) => {
            format!("reject {} {}, {} walked", rejection.errno.0, rejection.text, rejection.insns_processed)
        }
        Status::Unsupported(what) => format!("unsupported: {}", what.what),
    }
}

/// The first difference between a case and its compiled reproduction, under all rules.
fn difference(case: &Program, again: &Program, examiner: &mut Examiner) -> Option<String> {
    // A linker numbers maps by the order of its sections, which moves them in memory.
    let again = Program { inputs: case.inputs.clone(), ..again.clone() };
    KernelVersion::ALL.into_iter().find_map(|version| {
        let rules = Rules::of(version);
        let (left, right) = (said(case, &rules, examiner), said(&again, &rules, examiner));
        (left != right).then(|| format!("{}, {version}:\n    case:     {left}\n    compiled: {right}", case.name))
    })
}

/// Whether every form of a sample is what it says; how many were exact is what a test may not be empty in.
fn check(programs: &[(Program, Selftest, Program)]) {
    let mut examiner = Examiner::new(case_options());
    let exact: Vec<_> = programs.iter().filter(|(_, selftest, _)| selftest.left_out.is_empty()).collect();
    let wrong: Vec<String> =
        exact.iter().filter_map(|(case, _, again)| difference(case, again, &mut examiner)).collect();
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), exact.len(), wrong.join("\n"));
    assert!(exact.len() * 3 > programs.len(), "only {} of {} are exact", exact.len(), programs.len());
}

fn clang() -> Result<&'static str, String> {
    let args = ["-target", "bpf", "-fsyntax-only", "-x", "c", "/dev/null"];
    let run = Command::new("clang").args(args).output();
    if run.is_ok_and(|run| run.status.success()) { Ok("clang") } else { Err("no clang for BPF".to_owned()) }
}

/// The clangs that there are.
fn clangs() -> Vec<String> {
    let mut versions = Vec::new();
    let mut clangs = Vec::new();
    for clang in ["clang".to_owned()].into_iter().chain((14..=22).map(|n| format!("clang-{n}"))) {
        let Ok(run) = Command::new(&clang).arg("--version").output() else { continue };
        if run.status.success() && !versions.contains(&run.stdout) {
            versions.push(run.stdout);
            clangs.push(clang);
        }
    }
    clangs
}

/// Compiles texts, without a warning, and reads the programs of the objects.
fn compiled(clang: &str, texts: &[String]) -> Vec<Option<Program>> {
    let folder = tempfile::tempdir().expect("a folder");
    for (n, text) in texts.iter().enumerate() {
        std::fs::write(folder.path().join(format!("t{n}.c")), text).expect("a file");
    }
    let mut programs = Vec::new();
    for chunk in (0..texts.len()).collect::<Vec<_>>().chunks(50) {
        let mut command = Command::new(clang);
        command.args(["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-Wall", "-Wextra", "-Werror", "-c"]);
        command.args(chunk.iter().map(|n| format!("t{n}.c"))).current_dir(folder.path());
        let run = command.output().expect("clang runs");
        assert!(run.status.success(), "{clang}: {}", String::from_utf8_lossy(&run.stderr));
        for n in chunk {
            let object = std::fs::read(folder.path().join(format!("t{n}.o"))).expect("an object");
            let program = match elf::read(&object).map(|mut all| all.pop()) {
                Ok(Some(Loaded::Program(program))) => Some(program),
                _ => None,
            };
            programs.push(program);
        }
    }
    programs
}

/// A sample in the first style, compiled. What cannot be read back must have said that it is not whole.
fn asm_sample(clang: &str) -> Vec<(Program, Selftest, Program)> {
    let programs = sample();
    let selftests: Vec<Selftest> = programs.iter().map(|p| selftest_asm(p, &Claims::default())).collect();
    let texts: Vec<String> = selftests.iter().map(|s| s.text.clone()).collect();
    let again = compiled(clang, &texts);
    let mut out = Vec::new();
    for ((program, selftest), again) in programs.into_iter().zip(selftests).zip(again) {
        match again {
            Some(again) => out.push((program, selftest, again)),
            None => assert!(!selftest.left_out.is_empty(), "{} cannot be read back\n{}", program.name, selftest.text),
        }
        let last = out.last().expect("a program");
        last.1.left_out.iter().for_each(|what| assert!(last.1.text.contains(what), "{what}\n{}", last.1.text));
    }
    out
}

#[test]
fn inline_assembly_is_the_case_once_it_is_compiled() {
    let Some(_) = skip::needed("clang", clang()) else { return };
    for clang in clangs() {
        check(&asm_sample(&clang));
    }
}

/// The fields of maps, and the maps that `test_verifier` creates for them.
const FIXUPS: &[(&str, MapType, u32, u32, u32)] = &[
    ("fixup_map_hash_8b", MapType::Hash, 8, 8, 1),
    ("fixup_map_hash_16b", MapType::Hash, 8, 16, 1),
    ("fixup_map_hash_48b", MapType::Hash, 8, 48, 1),
    ("fixup_map_array_48b", MapType::Array, 4, 48, 1),
    ("fixup_map_sockmap", MapType::Sockmap, 4, 4, 1),
    ("fixup_map_sockhash", MapType::Sockhash, 4, 4, 1),
    ("fixup_map_xskmap", MapType::Xskmap, 4, 4, 1),
    ("fixup_map_stacktrace", MapType::StackTrace, 4, 8, 1),
    ("fixup_map_event_output", MapType::PerfEventArray, 4, 4, 1),
    ("fixup_map_reuseport_array", MapType::ReuseportSockarray, 4, 8, 1),
    ("fixup_map_ringbuf", MapType::Ringbuf, 0, 0, 4096),
];

/// A program that writes the entries of a table as JSON, a line each, read as the runner of the kernel's tests reads them: to the
/// last instruction that is not zero, a list of places to its first 0, types to the word that ends them.
fn table(entries: &str) -> String {
    let fixups: String = FIXUPS
        .iter()
        .map(|(field, ..)| {
            format!(
                "printf(\",\\\"{field}\\\":[\"); for (int *p = t->{field}; *p; p++) printf(\"%s%d\", p == t->{field} ? \"\" : \",\", *p);
                 printf(\"]\");\n"
            )
        })
        .collect();
    format!(
        "{ARRAY_PRELUDE}
static struct bpf_test tests[] = {{
{entries}}};
static void hex(const void *from, int len) {{ const unsigned char *p = from; while (len-- > 0) printf(\"%02x\", *p++); }}
int main(void) {{
    for (struct bpf_test *t = tests; t < tests + sizeof(tests) / sizeof(*tests); t++) {{
        int n = MAX_INSNS;
        while (n && !t->insns[n - 1].code && !t->insns[n - 1].imm && !t->insns[n - 1].off) n--;
        printf(\"{{\\\"insns\\\":\\\"\"); hex(t->insns, n * 8);
        printf(\"\\\",\\\"funcs\\\":[\");
        for (int i = 0; i < t->func_info_cnt; i++)
            printf(\"%s[%u,%u]\", i ? \",\" : \"\", t->func_info[i].insn_off, t->func_info[i].type_id);
        n = 0;
        while (t->btf_types[n] && t->btf_types[n] != BTF_END_RAW) n++;
        if (t->btf_types[0] || t->func_info_cnt) for (n = 0; t->btf_types[n] != BTF_END_RAW; n++);
        printf(\"],\\\"types\\\":\\\"\"); hex(t->btf_types, n * 4);
        n = MAX_BTF_STRINGS;
        while (n && !t->btf_strings[n - 1]) n--;
        printf(\"\\\",\\\"strings\\\":\\\"\"); hex(t->btf_strings, n + 1);
        printf(\"\\\",\\\"type\\\":%d,\\\"attach\\\":%d,\\\"flags\\\":%u\", t->prog_type, t->expected_attach_type, t->flags);
        {fixups}
        printf(\"}}\\n\");
    }}
    return 0;
}}
"
    )
}

fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("hex");
    let byte = |n: usize| u8::from_str_radix(&digits[n..n + 2], 16).expect("hex");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().expect("a number")).expect("32 bits")
}

/// The program of an entry. Maps that no field gives are those of the case, as somebody would do it by hand.
fn program_of(entry: &Value, case: &Program) -> Program {
    let chunks = bytes(&entry["insns"]);
    let mut insns: Vec<Insn> = chunks.chunks_exact(8).map(|b| Insn::from_bytes(*b.first_chunk().expect("8"))).collect();
    let mut maps = case.maps.clone();
    for (field, map_type, key_size, value_size, max_entries) in FIXUPS {
        let places: Vec<usize> = entry[field].as_array().expect("places").iter().map(|n| number(n) as usize).collect();
        if places.is_empty() {
            continue;
        }
        for place in places {
            insns[place].imm = maps.len() as i32;
        }
        let sizes = (*key_size, *value_size, *max_entries);
        maps.push(MapDef {
            map_type: *map_type,
            key_size: sizes.0,
            value_size: sizes.1,
            max_entries: sizes.2,
            ..MapDef::default()
        });
    }
    let (types, strings) = (bytes(&entry["types"]), bytes(&entry["strings"]));
    let words = [0x1_eb9f, 24, 0, types.len() as u32, types.len() as u32, strings.len() as u32];
    let blob: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).chain(types).chain(strings).collect();
    let btf = Btf::parse(&blob).ok();
    let func = |record: &Value| {
        let (insn, id) = (number(&record[0]), number(&record[1]));
        let found = btf.as_ref().and_then(|btf| btf.function(TypeId(id)));
        let (name, linkage) =
            found.as_ref().map_or((String::new(), Default::default()), |f| (f.name.to_owned(), f.linkage));
        let args = found.map_or(0, |f| f.params.len() as u8);
        Func { insn: InsnIdx(insn), name, linkage, args, type_id: Some(id) }
    };
    let funcs: Vec<Func> = entry["funcs"].as_array().expect("functions").iter().map(func).collect();
    // The flags of a test that ask for alignment are not those of the load.
    let flags = number(&entry["flags"]);
    let prog_flags = (flags >> 1 & 1) | (flags & 1) << 1 | if flags & !3 != 0 { flags } else { 0 };
    Program {
        name: case.name.clone(),
        prog_type: ProgType::from_number(number(&entry["type"])).expect("a type"),
        expected_attach_type: number(&entry["attach"]),
        prog_flags,
        insns,
        btf: (!funcs.is_empty()).then_some(blob),
        funcs,
        maps,
        ..Program::default()
    }
}

#[test]
fn macros_are_the_case_once_they_are_compiled() {
    let cc = Command::new("cc").arg("--version").output();
    let found = if cc.is_ok_and(|run| run.status.success()) { Ok(()) } else { Err("no C compiler".to_owned()) };
    let Some(()) = skip::needed("cc", found) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut all = Vec::new();
    // No verdict is claimed, which must be said; all else that is left out makes an entry another program.
    let claims = Claims { load: loopdiff::repro::Load::Success, ..Claims::default() };
    for chunk in sample().chunks(24) {
        let selftests: Vec<Selftest> = chunk.iter().map(|p| selftest_array(p, &claims)).collect();
        let entries: String = selftests.iter().map(|s| s.text.as_str()).collect();
        let (c, exe) = (folder.path().join("table.c"), folder.path().join("table"));
        std::fs::write(&c, table(&entries)).expect("a file");
        let options = ["-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers", "-O0", "-o"];
        let run = Command::new("cc").args(options).arg(&exe).arg(&c).output().expect("cc runs");
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        let out = Command::new(&exe).output().expect("it runs").stdout;
        let lines: Vec<Value> =
            String::from_utf8(out).expect("text").lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
        assert_eq!(lines.len(), chunk.len());
        for ((case, selftest), line) in chunk.iter().zip(selftests).zip(&lines) {
            selftest
                .left_out
                .iter()
                .for_each(|what| assert!(selftest.text.contains(what), "{what}\n{}", selftest.text));
            all.push((case.clone(), selftest, program_of(line, case)));
        }
    }
    check(&all);
}

/// The first kernel that there is.
fn kernel() -> Result<Image, String> {
    let cache = Cache::of_user().map_err(|error| error.to_string())?;
    let qemu = Command::new(Machine::default().qemu).arg("--version").output();
    qemu.map_err(|_| "no QEMU".to_owned())?;
    let image = KernelVersion::ALL.iter().find_map(|version| cache.find(version.name()).ok());
    image.ok_or_else(|| format!("no kernel in {}", cache.kernels().display()))
}

/// What a kernel says, without what the place of a function changes.
fn told(answer: &Answer) -> String {
    let runs: Vec<u32> = answer.runs.iter().map(|run| run.retval).collect();
    format!(
        "{} {} {}, {} walked, {runs:?}",
        answer.verdict.name(),
        answer.errno,
        answer.message,
        answer.insns_processed
    )
}

#[test]
fn a_kernel_says_the_same_of_the_case_and_of_the_object() {
    let Some(clang) = skip::needed("clang", clang()) else { return };
    let Some(image) = skip::needed("kernels", kernel()) else { return };
    let pool = Pool::start(&[image], Options::default()).expect("guests");
    let exact = asm_sample(clang).into_iter().filter(|(case, selftest, _)| {
        // What takes a kernel down, or never ends there, is another test's.
        let heavy = ["kills", "hangs", "exhaust", "blow"].iter().any(|word| case.name.contains(word));
        selftest.left_out.is_empty() && !heavy
    });
    let (mut cases, mut objects) = (Vec::new(), Vec::new());
    for (case, _, again) in exact.step_by(3).take(60) {
        objects.push(Program { inputs: case.inputs.clone(), ..again });
        cases.push(case);
    }
    let ask = Ask::default();
    let answers = |programs: &[Program]| pool.answer(0, programs, &ask).expect("answers");
    let (left, right, again) = (answers(&cases), answers(&objects), answers(&cases));
    // Clocks and random numbers give the case itself another result each time.
    let steady = |n: &usize| told(&left[*n]) == told(&again[*n]);
    let compared: Vec<usize> = (0..cases.len()).filter(steady).collect();
    assert!(compared.len() * 10 > cases.len() * 8, "only {} of {} are steady", compared.len(), cases.len());
    assert!(left.iter().filter(|a| a.verdict.name() == "accept").count() > 10, "nothing is accepted");
    for n in compared {
        assert_eq!(told(&left[n]), told(&right[n]), "{}", cases[n].name);
    }
}
