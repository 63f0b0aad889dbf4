use super::*;
use crate::program::Program;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..max)
}

fn any_func() -> impl Strategy<Value = Func> {
    (any::<u32>(), any::<String>(), 0usize..3, any::<u8>(), any::<Option<u32>>()).prop_map(
        |(insn, name, linkage, args, type_id)| Func {
            insn: InsnIdx(insn),
            name,
            linkage: Linkage::ALL[linkage],
            args,
            type_id,
        },
    )
}

fn any_map() -> impl Strategy<Value = MapDef> {
    let sizes = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    (any::<String>(), select(MapType::ALL), sizes, vec(bytes(9), 0..3), any::<bool>()).prop_map(
        |(name, map_type, (key_size, value_size, max_entries, flags), init, frozen)| MapDef {
            name,
            map_type,
            key_size,
            value_size,
            max_entries,
            flags,
            init,
            frozen,
        },
    )
}

fn any_program() -> impl Strategy<Value = Program> {
    let insns = vec(any::<[u8; 8]>().prop_map(Insn::from_bytes), 1..6);
    let input = (bytes(9), bytes(9), any::<u64>()).prop_map(|(ctx, data, seed)| Input { ctx, data, seed });
    let scalars = (any::<String>(), select(ProgType::ALL), prop_oneof![Just(0), any::<u32>()], any::<u32>());
    let loader = (prop::option::of(bytes(9)), any::<bool>(), vec(any::<String>(), 0..3));
    (scalars, insns, vec(any_func(), 0..3), loader, vec(any_map(), 0..3), vec(input, 0..3)).prop_map(
        |(
            (name, prog_type, expected_attach_type, prog_flags),
            insns,
            funcs,
            (btf, btf_optional, notes),
            maps,
            inputs,
        )| Program {
            name,
            prog_type,
            expected_attach_type,
            prog_flags,
            insns,
            funcs,
            btf,
            btf_optional,
            maps,
            inputs,
            notes,
        },
    )
}

const SMALL: &str = r#"{
  "name": "small",
  "prog_type": "raw_tracepoint",
  "insns": ["b700000000000000", "9500000000000000"],
  "funcs": [{"insn": 0, "name": "main", "linkage": "global"}],
  "maps": [{"type": "array", "key_size": 4, "value_size": 8, "max_entries": 1}],
  "inputs": [{"ctx": "00ff"}]
}"#;

/// The small program with one piece of text replaced: what is said about it as a document.
fn said(from: &str, to: &str) -> String {
    assert!(SMALL.contains(from), "{from}");
    match read(SMALL.replacen(from, to, 1).as_bytes(), Form::Document) {
        Ok(_) => "read".into(),
        Err(error) => error.to_string(),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(programs in vec(any_program(), 0..4)) {
        for form in [Form::Document, Form::Lines] {
            let text = write(&programs, form);
            prop_assert_eq!(read(text.as_bytes(), form), Ok(programs.clone()));
        }
    }

    #[test]
    fn broken_text_is_an_error_or_a_program(
        at in any::<prop::sample::Index>(),
        byte: u8,
        cut in any::<prop::sample::Index>(),
        lines: bool,
    ) {
        let mut text = SMALL.replace('\n', if lines { " " } else { "\n" }).into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        let form = if lines { Form::Lines } else { Form::Document };
        let _ = read(&text, form);
        let cut = cut.index(SMALL.len() - 1) + 1;
        prop_assert!(read(&SMALL.as_bytes()[..cut], Form::Document).is_err());
    }
}

#[test]
fn errors_name_item_field_and_line() {
    assert_eq!(said("small", "other"), "read");
    assert_eq!(
        said("\"ctx\"", "\"ctxt\""),
        "7:20: inputs[0]: unknown field `ctxt`, expected one of `ctx`, `data`, `seed`"
    );
    assert_eq!(said("00ff", "00f"), "7:26: inputs[0].ctx: 3 hex digits make no whole number of bytes");
    assert_eq!(said("00ff", "0xff"), "7:27: inputs[0].ctx: 'x' is no hex digit");
    assert_eq!(said("9500000000000000", "95"), "4:36: insns[1]: an instruction has eight bytes, not 1");
    assert_eq!(
        said(r#"["b700000000000000", "9500000000000000"]"#, "[]"),
        "4:13: insns: a program has at least one instruction"
    );
    assert_eq!(said("\"insn\": 0", "\"insn\": -1"), "5:23: funcs[0].insn: invalid value: integer `-1`, expected u32");
    assert_eq!(
        said("global", "weak"),
        "5:57: funcs[0].linkage: invalid value: string \"weak\", expected `static`, `global` or `extern`"
    );
    assert_eq!(
        said("\"array\"", "99"),
        "6:22: maps[0].type: invalid value: integer `99`, expected a map type, by name or number"
    );
    assert_eq!(said("\"array\"", "2"), "read");
    assert_eq!(
        said("\"name\": \"small\"", "\"schema\": 2"),
        "2:13: schema: schema 2 is unknown, this program reads schema 1"
    );
    assert_eq!(said("\"name\": \"small\",", ""), "8:1: missing field `name`");
    assert!(said("}]\n}", "}]\n}\n{}").contains("trailing characters"));
    let bad = SMALL.replace("00ff", "zz");
    let item = "inputs[0].ctx: 'z' is no hex digit";
    let array = read(format!("[{SMALL},\n{bad}]").as_bytes(), Form::Document).expect_err("a bad item");
    assert_eq!(array.to_string(), format!("15:25: item 2: {item}"));
    let lines = format!("{}\n\n{}", SMALL.replace('\n', ""), bad.replace('\n', ""));
    let lines = read(lines.as_bytes(), Form::Lines).expect_err("a bad line");
    assert_eq!((lines.line, lines.message), (Some(3), format!("item 2: {item}")));
}

#[test]
fn what_is_left_out_has_its_default() {
    let program = read(SMALL.as_bytes(), Form::Document).expect("readable").remove(0);
    assert_eq!(program.prog_type, ProgType::RawTracepoint);
    assert_eq!(
        program.funcs[0],
        Func { insn: InsnIdx(0), name: "main".into(), linkage: Linkage::Global, args: 0, type_id: None }
    );
    assert_eq!(program.inputs, [Input { ctx: vec![0, 255], data: vec![], seed: 0 }]);
    let text = write(&[program], Form::Lines);
    for absent in [
        "expected_attach_type",
        "prog_flags",
        "btf",
        "btf_optional",
        "notes",
        "type_id",
        "init",
        "frozen",
        "seed",
        "\"data\"",
    ] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
}
