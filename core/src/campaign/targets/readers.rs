//! Targets over bytes that the library reads: instructions, program files, objects, BTF, what guests answer, and the files
//! of campaigns. A reader takes any bytes; what it takes is written and read back as the same.

use super::super::known::Known;
use super::super::recorded::Differences;
use super::super::store::State;
use crate::btf::{Btf, BtfExt, Linkage, TypeId, validate};
use crate::guest::{self, Facts, Recording, headlines, reason, settle, statistics};
use crate::isa::{Insn, InsnIdx, NoNames, Op, decode, disassemble};
use crate::kernel::{KernelVersion, MapType, ProgType, Rules};
use crate::oracle::{Report, parity};
use crate::program::{Func, Input, Loaded, MapDef, Program, elf, json, text};
use crate::{rewrite, verifier};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;
use std::sync::OnceLock;

/// What a walk of a program of unknown origin may take.
const WALK: verifier::Budget = verifier::Budget { insns: 4_000, bytes: 64 << 20 };

/// Decoding is total, and what decodes is written and read back unchanged: as bytes, as assembly, as JSON. Readers of files
/// take any bytes.
pub fn roundtrip(bytes: &[u8]) {
    let insns: Vec<Insn> = bytes.chunks_exact(8).filter_map(|b| Some(Insn::from_bytes(b.try_into().ok()?))).collect();
    let mut at = 0;
    while let Some(insn) = insns.get(at) {
        let op = decode(*insn, insns.get(at + 1).copied());
        let len = op.as_ref().map_or(1, Op::len) as usize;
        if let Ok(op) = op {
            let (first, second) = op.encode();
            let encoded: Vec<Insn> = std::iter::once(first).chain(second).collect();
            assert_eq!(encoded, insns.get(at..at + len).unwrap_or_default(), "{op:?} encodes to itself");
        }
        at += len;
    }
    let _ = disassemble(&insns, &NoNames);
    if !insns.is_empty() {
        let program = Program { name: "p".to_owned(), insns, ..Program::default() };
        let again = json::read(
            json::write(std::slice::from_ref(&program), json::Form::Document).as_bytes(),
            json::Form::Document,
        );
        assert_eq!(again.as_deref(), Ok(std::slice::from_ref(&program)), "JSON reads back");
        let again = text::parse(&text::write(&program)).map(|file| file.program);
        assert_eq!(again.map(|p| p.insns), Ok(program.insns), "assembly reads back");
    }
    for form in [json::Form::Document, json::Form::Lines] {
        if let Ok(programs) = json::read(bytes, form) {
            assert_eq!(json::read(json::write(&programs, form).as_bytes(), form).as_ref(), Ok(&programs), "{form:?}");
        }
    }
    let _ = elf::read(bytes);
    if let Ok(source) = std::str::from_utf8(bytes) {
        let _ = text::parse(source);
    }
}

/// Programs that are linked from an object verify without a panic under the rules of every kernel, and are written and read
/// back unchanged.
pub fn objects(bytes: &[u8]) {
    const PROGRAMS_MAX: usize = 4;
    let programs = elf::read(bytes).unwrap_or_default().into_iter().filter_map(|loaded| match loaded {
        Loaded::Program(program) => Some(program),
        Loaded::Unsupported { .. } => None,
    });
    for program in programs.take(PROGRAMS_MAX) {
        verify_under_all(&program);
        let written = json::write(std::slice::from_ref(&program), json::Form::Document);
        let again = json::read(written.as_bytes(), json::Form::Document);
        assert_eq!(again.as_deref(), Ok(std::slice::from_ref(&program)), "JSON reads back");
    }
}

fn verify_under_all(program: &Program) {
    for version in KernelVersion::ALL {
        let rules = Rules::of(version);
        let _ = verifier::notes(program, &rules);
        if let verifier::Verdict::Accepted(facts) = verifier::verify_within(program, &rules, WALK) {
            let _ = rewrite::rewrite(program, &facts, &rules);
        }
    }
}

/// BTF that a kernel takes can be read, what is read is written as the same types, and a program may carry any of it.
pub fn btf(bytes: &[u8]) {
    const TYPES_MAX: u32 = 256;
    let _ = BtfExt::parse(bytes);
    let parsed = Btf::parse(bytes);
    for version in KernelVersion::ALL {
        if let Ok(valid) = validate(bytes, &Rules::of(version).btf) {
            assert_eq!(parsed.as_ref(), Ok(&valid), "{version}: what a kernel takes reads as the same");
        }
    }
    let Ok(parsed) = parsed else { return };
    assert_eq!(Btf::parse(&parsed.encode()).as_ref(), Ok(&parsed), "types read back");
    let ids = || (0..TYPES_MAX).map(TypeId);
    for id in ids() {
        let _ = (parsed.size_of(id), parsed.skip_modifiers(id), parsed.name(id));
    }
    let Some(id) = ids().find(|id| parsed.function(*id).is_some()) else { return };
    let func =
        Func { insn: InsnIdx(0), name: "main".to_owned(), linkage: Linkage::Global, args: 1, type_id: Some(id.0) };
    let mut program = Program { funcs: vec![func], btf: Some(bytes.to_vec()), ..ending_at_once() };
    for optional in [false, true] {
        program.btf_optional = optional;
        verify_under_all(&program);
    }
}

/// `r0 = 0; exit`.
fn ending_at_once() -> Program {
    let insns = vec![Insn::new(0xb7, 0, 0, 0, 0), Insn::new(0x95, 0, 0, 0, 0)];
    Program { name: "p".to_owned(), prog_type: ProgType::SocketFilter, insns, ..Program::default() }
}

/// What a guest writes, and what a kernel prints: anything is taken, kept as it was read, and compared with the model.
pub fn answers(bytes: &[u8]) {
    let printed = String::from_utf8_lossy(bytes);
    let _ = (statistics(&printed), headlines(&printed), reason(&printed));
    for (program, models) in asked() {
        for answer in guest::answers(program, bytes) {
            let line = serde_json::to_string(&answer).unwrap_or_default();
            let kept = guest::Answer { log: String::new(), load_ns: 0, ..settle(&answer, &answer) };
            let _ = (answer.stack(program), serde_json::from_str::<guest::Answer>(&line).is_ok());
            assert_eq!(settle(&kept, &kept), kept, "settling again changes nothing");
            for (rules, reports) in models {
                let _ = parity::compare(program, reports, &answer, &answer.xlated, rules);
            }
        }
    }
}

type Asked = (Program, Vec<(Rules, Vec<Report>)>);

/// Programs that a guest is asked about, with what the model says of them: one of each kind of answer.
fn asked() -> &'static [Asked] {
    static ASKED: OnceLock<Vec<Asked>> = OnceLock::new();
    ASKED.get_or_init(|| {
        let array =
            MapDef { map_type: MapType::Array, key_size: 4, value_size: 8, max_entries: 2, ..MapDef::default() };
        let packet = Input { data: vec![0; 64], ..Input::default() };
        let ctx = Input { ctx: vec![0; 16], ..Input::default() };
        let plain = ending_at_once();
        let programs = [
            Program { maps: vec![array], inputs: vec![packet.clone(), packet], ..plain.clone() },
            Program { prog_type: ProgType::Syscall, prog_flags: 1 << 4, inputs: vec![ctx], ..plain.clone() },
            Program { insns: plain.insns.get(1..).unwrap_or_default().to_vec(), ..plain },
        ];
        let models = |program: &Program| {
            let model = |version| {
                let rules = Rules::of(version);
                let reports = parity::examine(program, &rules);
                (rules, reports)
            };
            KernelVersion::ALL.into_iter().map(model).collect()
        };
        programs.into_iter().map(|program| (program.clone(), models(&program))).collect()
    })
}

/// Recordings, packed or as the text that is packed: what is read is written and read back.
pub fn recordings(bytes: &[u8]) {
    let mut zip = GzEncoder::new(Vec::new(), Compression::fast());
    let packed = zip.write_all(bytes).and_then(|()| zip.finish()).unwrap_or_default();
    for file in [bytes, &packed] {
        let Ok(recording) = Recording::read(file) else { continue };
        let written = recording.write().map(|file| Recording::read(&file));
        assert!(matches!(&written, Ok(Ok(again)) if *again == recording), "a recording reads back: {written:?}");
    }
}

/// The list of known divergences, the list of differences from recordings, what a guest tells of its kernel, and the state of
/// a campaign.
pub fn lists(bytes: &[u8]) {
    if let Ok(state) = serde_json::from_slice::<State>(bytes) {
        let _ = state.stats.total();
        let written = serde_json::to_vec(&state).unwrap_or_default();
        assert!(serde_json::from_slice::<State>(&written).is_ok(), "a state reads back");
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(known) = Known::parse(text) {
        let _ = known.all().iter().any(|entry| entry.has(text) || entry.is_between(text));
    }
    let _ = Differences::parse(text);
    let facts = Facts::parse(text);
    assert_eq!(Facts::parse(&facts.text()).text(), facts.text(), "facts read back");
}
