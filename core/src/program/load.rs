//! From the bytes of a file to programs, whatever the format.
//!
//! Reading files and walking directories is left to the command; this room has no I/O. A file's format follows from its
//! extension, else from its first bytes.

use super::json::Form;
use super::{InputError, Program, elf, json};
use std::path::Path;

/// What a file has in it: a program, or something that is no program for us but is none of the user's mistakes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Loaded {
    /// A program.
    Program(Program),
    /// A program that needs what is not modelled.
    Unsupported {
        /// Name of the program.
        name: String,
        /// What it needs, with the symbol's name where there is one.
        what: String,
    },
}

impl Loaded {
    /// The name of the program.
    pub fn name(&self) -> &str {
        match self {
            Loaded::Program(program) => &program.name,
            Loaded::Unsupported { name, .. } => name,
        }
    }
}

/// Format of a program file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Assembly, `*.bpf`.
    Text,
    /// JSON.
    Json(Form),
    /// Object file, `*.o`.
    Elf,
}

impl Format {
    /// The format that a file's name tells; `None` for a file that is passed over in a directory.
    pub fn of_path(path: &Path) -> Option<Format> {
        match path.extension()?.to_str()? {
            "bpf" => Some(Format::Text),
            "json" => Some(Format::Json(Form::Document)),
            "jsonl" => Some(Format::Json(Form::Lines)),
            "o" => Some(Format::Elf),
            _ => None,
        }
    }

    /// The format that the first bytes tell; assembly where they tell nothing.
    pub fn of_bytes(bytes: &[u8]) -> Format {
        match bytes.trim_ascii_start() {
            [0x7f, b'E', b'L', b'F', ..] => Format::Elf,
            [b'{' | b'[', ..] => Format::Json(Form::Document),
            _ => Format::Text,
        }
    }
}

/// How sources become object files that are read here.
pub const COMPILE_HINT: &str = "clang -target bpf -g -O2 -c FILE.c -o FILE.o";

/// Whether a file's name says that it is what object files are made of.
fn is_source(path: &Path) -> bool {
    path.extension()
        .and_then(|e| e.to_str())
        .is_some_and(|e| matches!(e, "c" | "h" | "cc" | "cpp" | "rs" | "ll" | "s" | "S"))
}

/// Reads the programs of a file. `text` reads assembly. A byte order mark is passed over.
///
/// # Errors
///
/// What the reader of the format says, with the file's name.
pub fn load_bytes(
    path: &Path,
    bytes: &[u8],
    text: impl FnOnce(&str) -> Result<Vec<Loaded>, InputError>,
) -> Result<Vec<Loaded>, InputError> {
    if is_source(path) {
        let object = path.with_extension("o");
        let hint = format!("compile it: clang -target bpf -g -O2 -c {} -o {}", path.display(), object.display());
        return Err(InputError::new("a source file, not a program").hint(hint).in_file(path));
    }
    let bytes = without_mark(bytes);
    let loaded = match Format::of_path(path).unwrap_or_else(|| Format::of_bytes(bytes)) {
        Format::Json(form) => json::read(bytes, form).map(|all| all.into_iter().map(Loaded::Program).collect()),
        Format::Elf => elf::read(bytes),
        Format::Text => program_text(bytes).and_then(text),
    };
    loaded.map_err(|error| error.in_file(path))
}

/// The text of a file with assembly, without a byte order mark.
///
/// # Errors
///
/// The line that is not UTF-8.
pub fn program_text(bytes: &[u8]) -> Result<&str, InputError> {
    let bytes = without_mark(bytes);
    std::str::from_utf8(bytes).map_err(|e| not_utf8(bytes, e.valid_up_to()))
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

fn not_utf8(bytes: &[u8], at: usize) -> InputError {
    let lines = bytes.iter().take(at).filter(|b| **b == b'\n').count();
    InputError::new("the text is not UTF-8").at_line(lines as u32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_name_then_by_content() {
        let of = |name: &str| Format::of_path(Path::new(name));
        assert_eq!(of("a/b.c/x.bpf"), Some(Format::Text));
        assert_eq!(of("x.json"), Some(Format::Json(Form::Document)));
        assert_eq!(of("x.jsonl"), Some(Format::Json(Form::Lines)));
        assert_eq!(of("x.o"), Some(Format::Elf));
        assert_eq!((of("x.c"), of("json"), of(".o")), (None, None, None));
        assert_eq!(Format::of_bytes(b"\n [ {"), Format::Json(Form::Document));
        assert_eq!(Format::of_bytes(b"\x7fELF\x02"), Format::Elf);
        assert_eq!(Format::of_bytes(b"r0 = 0"), Format::Text);
    }

    #[test]
    fn each_format_reaches_its_reader_and_errors_name_the_file() {
        let load = |name: &str, bytes: &[u8]| {
            load_bytes(Path::new(name), bytes, |text| Err(InputError::new(format!("text of {}", text.len()))))
        };
        let said = |name, bytes| load(name, bytes).expect_err("not a program").to_string();
        assert_eq!(said("a.bpf", b"exit"), "a.bpf: text of 4");
        assert_eq!(said("a.bpf", b"\xef\xbb\xbfexit"), "a.bpf: text of 4");
        let source = said("a/b.c", b"int main() {}");
        assert!(source.starts_with("a/b.c: a source file") && source.contains("clang -target bpf"), "{source}");
        assert_eq!(said("a.bpf", b"exit\n\xff"), "a.bpf:2: the text is not UTF-8");
        assert!(said("b.json", b"{").starts_with("b.json:1:1: EOF"), "{}", said("b.json", b"{"));
        assert!(said("c.o", b"exit").starts_with("c.o: not a readable object file"));
        let line = br#"{"name": "n", "prog_type": "xdp", "insns": ["9500000000000000"]}"#;
        let names = |name| load(name, line).map(|all| all.iter().map(|l| l.name().to_owned()).collect::<Vec<_>>());
        assert_eq!(names("d.jsonl"), Ok(vec!["n".to_owned()]));
        assert_eq!(names("noname"), Ok(vec!["n".to_owned()]));
    }
}
