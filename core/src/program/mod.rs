//! The program: instructions, functions, maps, BTF, program type, and the inputs that come with it.
//!
//! Stands for what `BPF_PROG_LOAD` and `BPF_MAP_CREATE` are given (6.1 … 7.3), before any kernel has looked at it:
//! nothing here is checked beyond what the container itself needs.

pub mod edit;
pub mod elf;
mod error;
pub mod json;
mod layout;
mod load;
pub mod text;
mod type_info;

pub use error::{InputError, shown};
pub use layout::{Layout, SubprogIdx, subprog_target};
pub use load::{COMPILE_HINT, Format, Loaded, load_bytes, program_text};
pub use text::ProgramNames;
pub use type_info::TypeInfo;

use crate::btf::Linkage;
use crate::isa::{Insn, InsnIdx};
use crate::kernel::{MapType, ProgType};

/// A program as it is handed to a kernel, and the inputs to run it on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    /// Name, for people.
    pub name: String,
    /// Program type.
    pub prog_type: ProgType,
    /// Expected attach type, by number; 0 where the type has none.
    pub expected_attach_type: u32,
    /// Flags of the load (`BPF_F_*`).
    pub prog_flags: u32,
    /// Instructions; subprograms lie one after another, main first.
    pub insns: Vec<Insn>,
    /// The functions of `func_info`, in its order; empty when the program comes without BTF.
    pub funcs: Vec<Func>,
    /// A whole BTF blob, when the program brings its own; else one is built from `funcs`.
    pub btf: Option<Vec<u8>>,
    /// True when the loader goes on without BTF and `func_info` where a kernel refuses the BTF, as libbpf does with an
    /// object's.
    pub btf_optional: bool,
    /// Maps, referred to by index.
    pub maps: Vec<MapDef>,
    /// Inputs to run the program on.
    pub inputs: Vec<Input>,
    /// What a reader or a loader decided that the file does not say, for people; no capital, no full stop.
    pub notes: Vec<String>,
}

/// A line of `func_info` with the facts of the BTF function it names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Func {
    /// First instruction.
    pub insn: InsnIdx,
    /// Name in BTF.
    pub name: String,
    /// Linkage in BTF.
    pub linkage: Linkage,
    /// Number of arguments of the prototype that is built when there is no [`Program::btf`].
    pub args: u8,
    /// Type id in [`Program::btf`].
    pub type_id: Option<u32>,
}

/// A map as it is created.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MapDef {
    /// Name, for people; may be empty.
    pub name: String,
    /// Map type.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Number of entries.
    pub max_entries: u32,
    /// `BPF_F_*` flags of the creation.
    pub flags: u32,
    /// Values of the first entries of an array, before a run; the rest is zero.
    pub init: Vec<Vec<u8>>,
    /// True when the map is frozen after it was filled, as libbpf does with `.rodata`.
    pub frozen: bool,
}

/// One input of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Input {
    /// Context bytes (raw tracepoint, syscall).
    pub ctx: Vec<u8>,
    /// Packet bytes (networking types).
    pub data: Vec<u8>,
    /// Seed of everything else that a helper answers from.
    pub seed: u64,
}

impl Program {
    /// The instruction at an index.
    pub fn insn(&self, at: InsnIdx) -> Option<Insn> {
        self.insns.get(at.at()).copied()
    }

    /// The function of `funcs` that starts at `at`. In a kernel's order, which is ascending, it is found at once.
    pub fn func(&self, at: InsnIdx) -> Option<&Func> {
        let there = self.funcs.get(self.funcs.partition_point(|f| f.insn < at)).filter(|f| f.insn == at);
        there.or_else(|| self.funcs.iter().find(|f| f.insn == at))
    }

    /// The name of the function that starts at `at`, from `funcs`.
    pub fn func_name(&self, at: InsnIdx) -> Option<&str> {
        self.func(at).map(|f| f.name.as_str())
    }
}
