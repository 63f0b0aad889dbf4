//! Programs from object files, as `clang -target bpf -g` writes them and as libbpf loads them.
//!
//! Stands for libbpf's `bpf_object__open` and the part of `bpf_object__load` that comes before the system calls: every
//! function in a program section becomes a program, the functions of `.text` that it reaches are appended to it, maps
//! and data sections become its maps, `.BTF` and `.BTF.ext` become its BTF and `func_info`. Left out, and answered as
//! unsupported for the programs that need it: everything that depends on a running kernel (CO-RE relocations, kernel
//! functions and variables, kconfig, attach targets), maps in maps, address spaces. The license is not read.
//!
//! Invariants: reading is total and its output bounded; every function reference of a program that is returned meets the
//! first instruction of a function; a program's maps are those that it refers to, in the order of the object.

mod link;
mod maps;
mod object;
mod sections;
mod special;
mod types;

pub use sections::{section_name, section_name_of_type};

use super::InputError;
use super::load::Loaded;
use link::{Budget, Linker, Stop};
use object::ObjectFile;
use types::Types;

/// Reads the programs of an object file, in the order of its sections.
///
/// # Errors
///
/// When the file is no little-endian BPF object, or when something in it contradicts itself.
pub fn read(bytes: &[u8]) -> Result<Vec<Loaded>, InputError> {
    let object = ObjectFile::parse(bytes)?;
    let mut notes = Vec::new();
    let types = Types::of(&object, &mut notes)?;
    let maps = maps::collect(&object, types.as_ref())?;
    let linker = Linker::new(&object, types.as_ref(), &maps, &notes);
    let mut budget = Budget::default();
    let mut loaded = Vec::new();
    for entry in object.entries() {
        match linker.link(entry, &mut budget) {
            Ok(program) => loaded.push(Loaded::Program(program)),
            Err(Stop::Unsupported(what)) => loaded.push(Loaded::Unsupported { name: entry.name.clone(), what }),
            Err(Stop::Input(error)) => return Err(error),
        }
    }
    if loaded.is_empty() {
        return Err(InputError::new("the object has no program")
            .hint("a program is a function in a section that says what it is for, such as SEC(\"raw_tp/…\")"));
    }
    Ok(loaded)
}
