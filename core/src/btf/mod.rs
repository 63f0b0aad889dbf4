//! BTF: the types that a program carries, and the `func_info` that ties its functions to them.
//!
//! Stands for the format of `include/uapi/linux/btf.h` and for the parser of `kernel/bpf/btf.c` (6.1 … 7.3).
//! [`Btf::parse`] reads a blob as far as the format alone decides; [`validate()`] says what a kernel refuses, in its
//! words. Big-endian BTF, split BTF (a module's, on top of the kernel's) and line information are left out.
//!
//! Invariants: parsing is total; a blob that is read and encoded again has the same types; whatever [`validate()`]
//! accepts, [`Btf::parse`] reads.

mod build;
mod ext;
mod resolve;
mod types;
mod validate;
mod wire;

#[cfg(test)]
mod tests;

pub use build::{MinimalFunc, minimal};
pub use ext::{BtfExt, CoreRelo, FuncInfo, SectionRecords};
pub use types::{Body, BtfType, EnumValue, EnumValue64, Kind, Member, Param, StrOff, TypeId, VarInfo};
pub use validate::{Refused, is_name, validate};
pub use wire::BtfError;

/// Linkage of a function or variable in BTF.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[doc(alias = "btf_func_linkage")]
pub enum Linkage {
    /// `static`: verified at each call, the only kind that may be a callback.
    Static,
    /// Visible outside: verified once, on its own.
    #[default]
    Global,
    /// Defined elsewhere.
    Extern,
}

impl Linkage {
    /// All of them, by number.
    pub const ALL: [Linkage; 3] = [Linkage::Static, Linkage::Global, Linkage::Extern];

    /// The number that stands in BTF.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The linkage of that number.
    pub fn from_number(number: u32) -> Option<Linkage> {
        Linkage::ALL.into_iter().find(|l| l.number() == number)
    }

    /// The word that people use.
    pub const fn name(self) -> &'static str {
        match self {
            Linkage::Static => "static",
            Linkage::Global => "global",
            Linkage::Extern => "extern",
        }
    }
}

/// A whole BTF: types numbered from 1, and the strings that they name. Type 0 is `void` and not stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Btf {
    types: Vec<BtfType>,
    strings: Vec<u8>,
}

/// A function as BTF tells it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function<'a> {
    /// Name.
    pub name: &'a str,
    /// Linkage.
    pub linkage: Linkage,
    /// Type of the result; `void` is type 0.
    pub ret: TypeId,
    /// Parameters, in order.
    pub params: &'a [Param],
}

/// How many modifiers, typedefs and array dimensions are followed before a chain counts as endless.
#[doc(alias = "MAX_RESOLVE_DEPTH")]
const CHAIN_MAX: usize = 32;
/// Bytes of a pointer on the machines that BPF runs on here.
const POINTER_BYTES: u32 = 8;

impl Default for Btf {
    fn default() -> Btf {
        Btf::new()
    }
}

impl Btf {
    /// A BTF without types.
    pub fn new() -> Btf {
        Btf { types: Vec::new(), strings: vec![0] }
    }

    /// The type of a number; `None` for `void` and for a number that no type has.
    #[doc(alias = "btf_type_by_id")]
    pub fn get(&self, id: TypeId) -> Option<&BtfType> {
        self.types.get((id.0 as usize).checked_sub(1)?)
    }

    /// As [`Btf::get`], to change the type.
    pub fn get_mut(&mut self, id: TypeId) -> Option<&mut BtfType> {
        self.types.get_mut((id.0 as usize).checked_sub(1)?)
    }

    /// All types with their numbers, ascending.
    pub fn types(&self) -> impl Iterator<Item = (TypeId, &BtfType)> {
        self.types.iter().enumerate().map(|(n, t)| (TypeId(n as u32 + 1), t))
    }

    /// Adds a type and returns its number.
    pub fn push(&mut self, ty: BtfType) -> TypeId {
        self.types.push(ty);
        TypeId(self.types.len() as u32)
    }

    /// Adds a string, or finds it when it was added before; the empty string is at 0. A string ends at its first NUL.
    pub fn intern(&mut self, text: &str) -> StrOff {
        let text = text.split('\0').next().unwrap_or_default();
        let mut at = 0;
        for known in self.strings.split(|b| *b == 0) {
            crate::work::count(1);
            if known == text.as_bytes() {
                return StrOff(at);
            }
            at += known.len() as u32 + 1;
        }
        self.push_string(text)
    }

    /// Adds a string that was not added before and has no NUL, without a look at the others.
    fn push_string(&mut self, text: &str) -> StrOff {
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(text.as_bytes());
        self.strings.push(0);
        StrOff(at)
    }

    /// The bytes of a string without the NUL, or `None` outside of the string section.
    #[doc(alias = "btf_name_by_offset")]
    pub fn bytes_at(&self, off: StrOff) -> Option<&[u8]> {
        let rest = self.strings.get(off.0 as usize..)?;
        rest.split(|b| *b == 0).next().filter(|_| !rest.is_empty())
    }

    /// A string, or `None` outside of the string section or when it is not UTF-8.
    pub fn str_at(&self, off: StrOff) -> Option<&str> {
        std::str::from_utf8(self.bytes_at(off)?).ok()
    }

    /// The name of a type; empty when it has none.
    pub fn name(&self, id: TypeId) -> &str {
        self.get(id).and_then(|t| self.str_at(t.name)).unwrap_or_default()
    }

    /// The first type of that kind and name.
    #[doc(alias = "btf_find_by_name_kind")]
    pub fn find(&self, kind: Kind, name: &str) -> Option<TypeId> {
        let mut types = self.types();
        types.find(|(_, t)| t.kind() == kind && self.bytes_at(t.name) == Some(name.as_bytes())).map(|(id, _)| id)
    }

    /// The function of that number; `None` when it is no `FUNC`, has no prototype, or has a linkage without meaning.
    pub fn function(&self, id: TypeId) -> Option<Function<'_>> {
        let func = self.get(id)?;
        let Body::Func { proto, linkage } = func.body else { return None };
        let Body::FuncProto { ret, params } = &self.get(proto)?.body else { return None };
        Some(Function { name: self.str_at(func.name)?, linkage: Linkage::from_number(linkage)?, ret: *ret, params })
    }

    /// The type behind typedefs, qualifiers and type tags: its number, which is 0 for `void`. `None` when the chain leads
    /// nowhere.
    #[doc(alias = "btf_type_skip_modifiers")]
    pub fn skip_modifiers(&self, id: TypeId) -> Option<TypeId> {
        let mut at = id;
        for _ in 0..CHAIN_MAX {
            if at == TypeId::VOID {
                return Some(at);
            }
            match self.get(at)?.body.modified() {
                Some(next) => at = next,
                None => return Some(at),
            }
        }
        None
    }

    /// Bytes that a value of the type takes; `None` for a type without a size, and when the size exceeds 32 bits.
    #[doc(alias = "btf_type_id_size")]
    pub fn size_of(&self, id: TypeId) -> Option<u32> {
        let (mut at, mut times) = (id, 1u32);
        for _ in 0..CHAIN_MAX {
            at = self.skip_modifiers(at)?;
            match self.get(at)?.body {
                Body::Array { elem, count, .. } => {
                    times = times.checked_mul(count)?;
                    at = elem;
                }
                Body::Ptr { .. } => return times.checked_mul(POINTER_BYTES),
                Body::Var { to, .. } => at = to,
                ref body => return times.checked_mul(body.size()?),
            }
        }
        None
    }
}
