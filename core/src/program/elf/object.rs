//! The object file as the linker sees it: sections with their role, functions, and where relocations point.

use crate::isa::Insn;
use crate::program::InputError;
use object::elf::{
    EM_BPF, FileHeader64, SHF_EXECINSTR, SHT_NOBITS, SHT_PROGBITS, STT_FUNC, STV_DEFAULT, STV_PROTECTED, SectionType,
};
use object::read::elf::{ElfFile, ElfSymbol, FileHeader, SectionHeader};
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolFlags, SymbolSection};
use std::collections::BTreeMap;

/// Bytes of an instruction.
pub(super) const INSN_BYTES: u64 = 8;

type File<'a> = ElfFile<'a, FileHeader64<LittleEndian>>;

/// What a section is to libbpf.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Functions that others call.
    Text,
    /// Programs.
    Programs,
    /// Maps defined by types.
    Maps,
    /// Maps defined by `struct bpf_map_def`.
    LegacyMaps,
    /// Initialised variables.
    Data,
    /// Constants.
    ReadOnly,
    /// Variables that start as zero.
    Bss,
    /// Anything else.
    Other,
}

/// A section.
#[derive(Debug)]
pub(super) struct Section<'a> {
    pub name: String,
    pub role: Role,
    /// Bytes that it takes in memory.
    pub size: u64,
    /// Contents; empty for [`Role::Bss`].
    pub data: &'a [u8],
    /// Where relocations point, by instruction; for sections of code alone.
    pub relocs: BTreeMap<u32, Target>,
}

impl Section<'_> {
    /// The instruction at an index.
    pub fn insn(&self, at: u32) -> Option<Insn> {
        let bytes = self.data.get((at as usize).checked_mul(INSN_BYTES as usize)?..)?;
        bytes.first_chunk().map(|b| Insn::from_bytes(*b))
    }
}

/// What a relocation points to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// A symbol that is defined elsewhere.
    Undefined(String),
    /// A place in a section, in bytes, before what the instruction adds.
    At { section: usize, offset: u64 },
    /// Something without a place.
    Nowhere(String),
}

/// Who can see a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Visibility {
    /// This object alone: `static`.
    Local,
    /// Other objects while they are linked, the kernel not: `__hidden`.
    Hidden,
    /// Everyone.
    Global,
}

/// A function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Function {
    pub name: String,
    pub section: usize,
    /// First instruction in its section.
    pub start: u32,
    /// Instructions.
    pub len: u32,
    pub visibility: Visibility,
}

/// A variable, or a map.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Variable {
    pub name: String,
    pub section: usize,
    /// Bytes from the start of its section.
    pub offset: u64,
    pub visibility: Visibility,
}

/// An object file.
#[derive(Debug)]
pub(super) struct ObjectFile<'a> {
    sections: BTreeMap<usize, Section<'a>>,
    /// Functions by section and first instruction.
    functions: Vec<Function>,
    variables: Vec<Variable>,
    /// Whether a symbol is defined elsewhere.
    has_externs: bool,
}

impl<'a> ObjectFile<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<ObjectFile<'a>, InputError> {
        let file = File::parse(bytes).map_err(broken)?;
        if file.elf_header().e_machine(LittleEndian) != EM_BPF {
            return Err(InputError::new("not an object file for BPF").hint("compile with clang -target bpf"));
        }
        let mut object = ObjectFile {
            sections: BTreeMap::new(),
            functions: Vec::new(),
            variables: Vec::new(),
            has_externs: file.symbols().any(|s| s.is_undefined() && s.name().is_ok_and(|name| !name.is_empty())),
        };
        for section in file.sections() {
            let (name, header) = (section.name().map_err(broken)?, section.elf_section_header());
            let (kind, flags) = (header.sh_type(LittleEndian), header.sh_flags(LittleEndian));
            let role = role(name, kind, flags.contains(SHF_EXECINSTR));
            let relocs = match role {
                Role::Text | Role::Programs => relocs(&file, &section)?,
                _ => BTreeMap::new(),
            };
            let data = section.data().map_err(broken)?;
            object
                .sections
                .insert(section.index().0, Section { name: name.to_owned(), role, size: section.size(), data, relocs });
        }
        for symbol in file.symbols() {
            object.add_symbol(&symbol)?;
        }
        object.functions.sort_by_key(|f| (f.section, f.start));
        Ok(object)
    }

    pub fn section(&self, index: usize) -> Option<&Section<'a>> {
        self.sections.get(&index)
    }

    /// Sections with their index, ascending.
    pub fn sections(&self) -> impl Iterator<Item = (usize, &Section<'a>)> {
        self.sections.iter().map(|(n, s)| (*n, s))
    }

    /// The section of that name.
    pub fn named(&self, name: &str) -> Option<(usize, &Section<'a>)> {
        self.sections().find(|(_, s)| s.name == name)
    }

    /// Whether libbpf does not open the object without its types.
    ///
    /// Kernel: none; libbpf's `libbpf_needs_btf`.
    pub fn needs_types(&self) -> bool {
        self.has_externs || self.has_struct_ops() || self.sections().any(|(_, s)| s.role == Role::Maps)
    }

    /// Whether the object has tables of functions for the kernel, which a kernel takes with BTF only.
    pub fn has_struct_ops(&self) -> bool {
        self.sections().any(|(_, s)| s.name.trim_start_matches('?').starts_with(".struct_ops"))
    }

    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The functions that are linked into programs.
    pub fn subprograms(&self) -> impl Iterator<Item = &Function> {
        self.functions.iter().filter(|f| self.role_of(f) == Role::Text)
    }

    /// The functions that are programs, by section and place.
    pub fn entries(&self) -> impl Iterator<Item = &Function> {
        self.functions.iter().filter(|f| self.role_of(f) == Role::Programs)
    }

    /// The function that starts at an instruction.
    pub fn function_at(&self, section: usize, start: u32) -> Option<&Function> {
        let at = self.functions.partition_point(|f| (f.section, f.start) < (section, start));
        self.functions.get(at).filter(|f| (f.section, f.start) == (section, start))
    }

    fn role_of(&self, function: &Function) -> Role {
        self.section(function.section).map_or(Role::Other, |s| s.role)
    }

    fn add_symbol(&mut self, symbol: &ElfSymbol<'_, '_, FileHeader64<LittleEndian>>) -> Result<(), InputError> {
        let SymbolSection::Section(section) = symbol.section() else { return Ok(()) };
        let SymbolFlags::Elf { st_info, st_other } = symbol.flags() else { return Ok(()) };
        let Some(home) = self.sections.get(&section.0) else { return Ok(()) };
        let visibility = match st_other.visibility() {
            _ if symbol.is_local() => Visibility::Local,
            STV_DEFAULT | STV_PROTECTED => Visibility::Global,
            _ => Visibility::Hidden,
        };
        let (name, section) = (symbol.name().map_err(broken)?.to_owned(), section.0);
        match home.role {
            Role::Text | Role::Programs if st_info.st_type() == STT_FUNC => {
                if home.role == Role::Programs && visibility == Visibility::Local {
                    return Err(InputError::new(format!(
                        "function \"{name}\" in section \"{}\" is static, which makes it no program",
                        home.name
                    ))
                    .hint("libbpf links static functions from .text only: drop the SEC() of the function"));
                }
                let (start, len) = (symbol.address(), symbol.size());
                let end = start.checked_add(len).filter(|end| *end <= home.data.len() as u64);
                if end.is_none() || len == 0 || !start.is_multiple_of(INSN_BYTES) || !len.is_multiple_of(INSN_BYTES) {
                    return Err(InputError::new(format!("function \"{name}\" is not within its section")));
                }
                let (start, len) = ((start / INSN_BYTES) as u32, (len / INSN_BYTES) as u32);
                self.functions.push(Function { name, section, start, len, visibility });
            }
            Role::Text | Role::Programs => {}
            _ if name.is_empty() => {}
            _ => self.variables.push(Variable { name, section, offset: symbol.address(), visibility }),
        }
        Ok(())
    }
}

fn broken(error: object::Error) -> InputError {
    InputError::new(format!("not a readable object file: {error}"))
}

/// Kernel: none; libbpf's `bpf_object__elf_collect`.
fn role(name: &str, kind: SectionType, executable: bool) -> Role {
    let is = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    match (kind, name) {
        (SHT_PROGBITS, ".text") if executable => Role::Text,
        (SHT_PROGBITS, _) if executable => Role::Programs,
        (_, ".maps") => Role::Maps,
        (_, "maps") => Role::LegacyMaps,
        (SHT_PROGBITS, _) if is(".data") => Role::Data,
        (SHT_PROGBITS, _) if is(".rodata") => Role::ReadOnly,
        (SHT_NOBITS, _) if is(".bss") => Role::Bss,
        _ => Role::Other,
    }
}

fn relocs<'a>(
    file: &File<'a>,
    section: &object::read::elf::ElfSection<'a, '_, FileHeader64<LittleEndian>>,
) -> Result<BTreeMap<u32, Target>, InputError> {
    let mut relocs = BTreeMap::new();
    for (offset, reloc) in section.relocations() {
        let place = || format!("a relocation at byte {offset} of section \"{}\"", section.name().unwrap_or("?"));
        if !offset.is_multiple_of(INSN_BYTES) || offset >= section.size() {
            return Err(InputError::new(format!("{} meets no instruction", place())));
        }
        if reloc.addend() != 0 {
            return Err(InputError::new(format!("{} has an addend of its own", place())));
        }
        let RelocationTarget::Symbol(symbol) = reloc.target() else {
            return Err(InputError::new(format!("{} has no symbol", place())));
        };
        let symbol = file.symbol_by_index(symbol).map_err(broken)?;
        let name = || symbol.name().map(str::to_owned).map_err(broken);
        let target = match symbol.section() {
            SymbolSection::Section(index) => Target::At { section: index.0, offset: symbol.address() },
            SymbolSection::Undefined => Target::Undefined(name()?),
            _ => Target::Nowhere(name()?),
        };
        relocs.insert((offset / INSN_BYTES) as u32, target);
    }
    Ok(relocs)
}
