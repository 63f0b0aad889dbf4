//! The BTF of an object, made ready for the kernel, and what `.BTF.ext` says about its instructions.
//!
//! Stands for libbpf's fix-ups before `BPF_BTF_LOAD`: clang leaves the places of variables to the linker, and some
//! things that BTF can say are for libbpf and not for the kernel.

use super::object::{Function, ObjectFile, Variable, Visibility};
use crate::btf::{Body, Btf, BtfExt, BtfType, FuncInfo, Kind, Linkage, SectionRecords, StrOff, TypeId, VarInfo};
use crate::program::InputError;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Linkage of a variable, by number.
const VAR_STATIC: u32 = 0;
const VAR_EXTERN: u32 = 2;

/// The types of an object.
pub(super) struct Types {
    /// The BTF, fixed up.
    pub btf: Btf,
    /// The same as bytes.
    pub blob: Vec<u8>,
    /// Functions by name of section and first instruction.
    funcs: BTreeMap<(String, u32), TypeId>,
    /// CO-RE relocations by name of section and instruction, with the name of the type that they are about.
    core_relos: BTreeMap<(String, u32), String>,
}

impl Types {
    /// The types of an object; `None` when it was compiled without, or when they cannot be read and nothing needs them,
    /// which is noted.
    ///
    /// Kernel: none; libbpf's `bpf_object__init_btf`.
    pub fn of(object: &ObjectFile<'_>, notes: &mut Vec<String>) -> Result<Option<Types>, InputError> {
        let Some((_, section)) = object.named(".BTF") else { return Ok(None) };
        let mut btf = match Btf::parse(section.data) {
            Ok(btf) => btf,
            Err(e) if object.needs_types() => return Err(InputError::new(format!("{e}"))),
            Err(e) => {
                notes.push(format!("the types in section .BTF are unreadable ({e}), and libbpf does without"));
                return Ok(None);
            }
        };
        let ext = object.named(".BTF.ext").map_or(Ok(BtfExt::default()), |(_, s)| BtfExt::parse(s.data));
        let ext = ext.unwrap_or_else(|e| {
            notes.push(format!("section .BTF.ext is unreadable ({e}), and libbpf does without"));
            BtfExt::default()
        });
        let funcs = by_place(&btf, &ext.funcs, |r: &FuncInfo| (r.insn_off, TypeId(r.type_id)));
        let core_relos = by_place(&btf, &ext.core_relos, |r| (r.insn_off, btf.name(TypeId(r.type_id)).to_owned()));
        drop_externs(&mut btf);
        hide_functions(&mut btf, object);
        place_variables(&mut btf, object)?;
        let blob = btf.encode();
        Ok(Some(Types { btf, blob, funcs, core_relos }))
    }

    /// The type of the function that starts at an instruction.
    pub fn func_at(&self, section: &str, insn: u32) -> Option<TypeId> {
        self.funcs.get(&(section.to_owned(), insn)).copied()
    }

    /// The name of a type that instructions of a function are to be adjusted to.
    pub fn core_relo_in(&self, section: &str, function: &Function) -> Option<&str> {
        let key = |insn| (section.to_owned(), insn);
        let range: Range<_> = key(function.start)..key(function.start.saturating_add(function.len));
        self.core_relos.range(range).next().map(|(_, name)| name.as_str())
    }
}

fn by_place<R, T>(
    btf: &Btf,
    sections: &[SectionRecords<R>],
    read: impl Fn(&R) -> (u32, T),
) -> BTreeMap<(String, u32), T> {
    let mut places = BTreeMap::new();
    for section in sections {
        let name = btf.str_at(section.section).unwrap_or_default();
        for record in &section.records {
            let (insn_off, value) = read(record);
            places.insert((name.to_owned(), insn_off / 8), value);
        }
    }
    places
}

/// Replaces functions and variables that are defined elsewhere, and the sections that list them: the kernel refuses
/// them. An empty structure takes their number, to which only they themselves refer.
fn drop_externs(btf: &mut Btf) {
    let is_extern = |body: &Body| match *body {
        Body::Var { linkage, .. } => linkage == VAR_EXTERN,
        Body::Func { linkage, .. } => linkage == Linkage::Extern.number(),
        _ => false,
    };
    let externs: BTreeSet<_> = btf.types().filter(|(_, t)| is_extern(&t.body)).map(|(id, _)| id).collect();
    let lists = |body: &Body| match body {
        Body::DataSec { vars, .. } => vars.iter().any(|v| externs.contains(&v.var)),
        _ => false,
    };
    let sections: Vec<_> = btf.types().filter(|(_, t)| lists(&t.body)).map(|(id, _)| id).collect();
    for id in externs.iter().copied().chain(sections) {
        if let Some(ty) = btf.get_mut(id) {
            *ty = BtfType::new(StrOff(0), Body::Struct { size: 0, members: Vec::new() });
        }
    }
}

/// A function that is hidden from other objects is verified in its callers' context, like a static one.
fn hide_functions(btf: &mut Btf, object: &ObjectFile<'_>) {
    let hidden = object.subprograms().filter(|f| f.visibility == Visibility::Hidden);
    let hidden: BTreeSet<_> = hidden.map(|f| f.name.as_str()).collect();
    let ids: Vec<_> = btf.types().filter(|(_, t)| t.kind() == Kind::Func).map(|(id, _)| id).collect();
    for id in ids {
        if hidden.contains(btf.name(id))
            && let Some(BtfType { body: Body::Func { linkage, .. }, .. }) = btf.get_mut(id)
        {
            *linkage = Linkage::Static.number();
        }
    }
}

/// Fills in the sizes of data sections and the places of their global variables.
fn place_variables(btf: &mut Btf, object: &ObjectFile<'_>) -> Result<(), InputError> {
    let sections: Vec<_> = btf.types().filter(|(_, t)| t.kind() == Kind::DataSec).map(|(id, _)| id).collect();
    let known = object.variables().iter().filter(|v| v.visibility != Visibility::Local);
    let known: Places<'_> = known.map(|v| ((v.section, v.name.as_str()), v)).collect();
    for id in sections {
        let name = btf.name(id).to_owned();
        let Some((index, section)) = object.named(&name) else {
            return Err(InputError::new(format!("BTF has a section \"{name}\" that the object has not")));
        };
        let whole = u32::try_from(section.size)
            .map_err(|_| InputError::new(format!("section \"{name}\" is larger than 4 GiB")))?;
        let Some(Body::DataSec { size, vars }) = btf.get(id).map(|t| t.body.clone()) else { continue };
        if size != 0 {
            continue;
        }
        let vars = vars.into_iter().map(|var| place(btf, &known, index, var)).collect::<Result<Vec<_>, _>>()?;
        if let Some(ty) = btf.get_mut(id) {
            let mut vars = vars;
            vars.sort_by_key(|v| v.offset);
            ty.body = Body::DataSec { size: whole, vars };
        }
    }
    Ok(())
}

/// Variables that are seen outside, by section and name.
type Places<'o> = BTreeMap<(usize, &'o str), &'o Variable>;

/// The place of a variable, which for a static one is known already. A hidden one becomes static.
fn place(btf: &mut Btf, known: &Places<'_>, section: usize, info: VarInfo) -> Result<VarInfo, InputError> {
    let name = btf.name(info.var).to_owned();
    let Some(Body::Var { linkage, .. }) = btf.get_mut(info.var).map(|t| &mut t.body) else {
        return Err(InputError::new("BTF lists something in a section that is no variable"));
    };
    if *linkage == VAR_STATIC {
        return Ok(info);
    }
    let Some(variable) = known.get(&(section, name.as_str())) else {
        return Err(InputError::new(format!("BTF has a variable \"{name}\" that the object has not")));
    };
    if variable.visibility == Visibility::Hidden {
        *linkage = VAR_STATIC;
    }
    Ok(VarInfo { offset: u32::try_from(variable.offset).unwrap_or(u32::MAX), ..info })
}
