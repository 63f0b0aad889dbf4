//! The maps of an object: those defined by types in `.maps`, those of the older section `maps`, and data sections.

use super::object::{ObjectFile, Role, Section};
use super::special::{is_typed, special_field};
use super::types::Types;
use crate::btf::{Body, Btf, Kind, Member, TypeId, VarInfo};
use crate::kernel::MapType;
use crate::program::{InputError, MapDef};

/// Flag of a map that programs cannot write.
#[doc(alias = "BPF_F_RDONLY_PROG")]
const RDONLY_PROG: u32 = 1 << 7;
/// Bytes of a key of an array.
const ARRAY_KEY_BYTES: u32 = 4;
/// Bytes of a page.
const PAGE: u32 = 4096;
/// Bytes of a file descriptor.
const DESCRIPTOR_BYTES: u32 = 4;
/// Bytes of `struct bpf_map_def`.
const LEGACY_BYTES: usize = 20;

/// What a reference into the map's section means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// The map, defined at this offset in bytes.
    Definition(u64),
    /// The map's value.
    Value,
}

/// A map of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ObjectMap {
    pub def: MapDef,
    pub section: usize,
    pub place: Place,
    /// What it needs that is not modelled.
    pub unsupported: Option<String>,
    /// What was settled that the object leaves open.
    pub note: Option<String>,
}

/// All maps of an object: defined ones first, then data sections.
pub(super) fn collect(object: &ObjectFile<'_>, types: Option<&Types>) -> Result<Vec<ObjectMap>, InputError> {
    let mut maps = Vec::new();
    let mut data = Vec::new();
    for (index, section) in object.sections() {
        match section.role {
            Role::LegacyMaps => legacy(object, index, section, &mut maps)?,
            Role::Maps => {
                let types = types.ok_or_else(|| {
                    InputError::new("maps in section \".maps\" are defined by types, and there is no BTF")
                        .hint("compile with -g")
                })?;
                by_types(&types.btf, index, section, &mut maps)?;
            }
            Role::Data | Role::ReadOnly | Role::Bss if section.size > 0 => {
                data.push(data_map(types, index, section)?);
            }
            _ => {}
        }
    }
    maps.append(&mut data);
    Ok(maps)
}

/// Kernel: none; libbpf's `bpf_object__init_internal_map`.
fn data_map(types: Option<&Types>, index: usize, section: &Section<'_>) -> Result<ObjectMap, InputError> {
    let value_size = i32::try_from(section.size)
        .map_err(|_| InputError::new(format!("section \"{}\" is too large for a map", section.name)))?;
    let constant = section.role == Role::ReadOnly;
    let def = MapDef {
        name: section.name.clone(),
        map_type: MapType::Array,
        key_size: ARRAY_KEY_BYTES,
        value_size: value_size as u32,
        max_entries: 1,
        flags: if constant { RDONLY_PROG } else { 0 },
        init: if section.data.is_empty() { Vec::new() } else { vec![section.data.to_vec()] },
        frozen: constant,
    };
    // A map that programs cannot write may hold nothing of the kernel's, and libbpf then creates it without types.
    let types = types.filter(|_| !constant).map(|types| &types.btf);
    let special = types.and_then(|btf| special_field(btf, btf.find(Kind::DataSec, &section.name)?));
    let unsupported = special.map(|what| format!("{what} in section \"{}\"", section.name));
    Ok(ObjectMap { def, section: index, place: Place::Value, unsupported, note: None })
}

/// Maps of the older sort, one after another.
fn legacy(
    object: &ObjectFile<'_>,
    index: usize,
    section: &Section<'_>,
    maps: &mut Vec<ObjectMap>,
) -> Result<(), InputError> {
    let mut symbols: Vec<_> = object.variables().iter().filter(|v| v.section == index).collect();
    symbols.sort_by_key(|v| v.offset);
    for (n, symbol) in symbols.iter().enumerate() {
        let next = symbols.get(n + 1).map_or(section.data.len() as u64, |v| v.offset);
        let range = usize::try_from(symbol.offset).ok().zip(usize::try_from(next).ok());
        let bytes = range.and_then(|(start, end)| section.data.get(start..end)).unwrap_or_default();
        let words: Vec<_> =
            bytes.chunks_exact(4).filter_map(|b| b.first_chunk().copied()).map(u32::from_le_bytes).collect();
        let (&[number, key_size, value_size, max_entries, flags, ..], true) =
            (words.as_slice(), bytes.iter().skip(LEGACY_BYTES).all(|b| *b == 0))
        else {
            return Err(InputError::new(format!("the definition of map \"{}\" is not readable", symbol.name)));
        };
        let map_type = MapType::from_number(number);
        let unsupported = map_type.is_none().then(|| format!("map type {number} of map `{}`", symbol.name));
        let map_type = map_type.unwrap_or_default();
        let name = symbol.name.clone();
        let mut def = MapDef { name, map_type, key_size, value_size, max_entries, flags, ..MapDef::default() };
        let note = settle_entries(&mut def);
        maps.push(ObjectMap { def, section: index, place: Place::Definition(symbol.offset), unsupported, note });
    }
    Ok(())
}

/// Maps that are defined by the members of a structure.
fn by_types(btf: &Btf, index: usize, section: &Section<'_>, maps: &mut Vec<ObjectMap>) -> Result<(), InputError> {
    let Some(id) = btf.find(Kind::DataSec, &section.name) else {
        return Err(InputError::new(format!("BTF has no section \"{}\"", section.name)));
    };
    let Some(Body::DataSec { vars, .. }) = btf.get(id).map(|t| &t.body) else { return Ok(()) };
    vars.iter().try_for_each(|var| {
        maps.push(by_type(btf, index, var)?);
        Ok(())
    })
}

/// Kernel: none; libbpf's `parse_btf_map_def`.
fn by_type(btf: &Btf, section: usize, var: &VarInfo) -> Result<ObjectMap, InputError> {
    let name = btf.name(var.var).to_owned();
    let wrong = |what: &str| InputError::new(format!("map \"{name}\": {what}"));
    let to = match btf.get(var.var).map(|t| &t.body) {
        Some(Body::Var { to, .. }) => *to,
        _ => return Err(wrong("it is no variable")),
    };
    let body = btf.skip_modifiers(to).and_then(|id| btf.get(id)).map(|t| &t.body);
    let Some(Body::Struct { members, .. }) = body else {
        return Err(wrong("its type is no structure"));
    };
    let mut def = MapDef { name: name.clone(), map_type: MapType::Unspec, ..MapDef::default() };
    let (mut unsupported, mut value) = (None, None);
    for member in members {
        let field = btf.str_at(member.name).unwrap_or_default();
        let number = || number(btf, member).ok_or_else(|| wrong(&format!("field \"{field}\" is no number")));
        let size = || pointee_size(btf, member).ok_or_else(|| wrong(&format!("field \"{field}\" has no size")));
        match field {
            "type" => {
                let number = number()?;
                match MapType::from_number(number) {
                    Some(map_type) => def.map_type = map_type,
                    None => unsupported = Some(format!("map type {number} of map `{name}`")),
                }
            }
            "max_entries" => def.max_entries = number()?,
            "map_flags" => def.flags = number()?,
            "key_size" => set_size(&mut def.key_size, number()?).map_err(&wrong)?,
            "value_size" => set_size(&mut def.value_size, number()?).map_err(&wrong)?,
            "key" => set_size(&mut def.key_size, size()?).map_err(&wrong)?,
            "value" => {
                set_size(&mut def.value_size, size()?).map_err(&wrong)?;
                value = pointee(btf, member);
            }
            "numa_node" | "pinning" => {}
            "map_extra" if number()? == 0 => {}
            // The programs of the array are loaded by themselves: each sees the array empty.
            "values" if def.map_type == MapType::ProgArray => def.value_size = DESCRIPTOR_BYTES,
            "map_extra" | "values" => unsupported = Some(format!("`{field}` of map `{name}`")),
            _ => return Err(wrong(&format!("unknown field \"{field}\""))),
        }
    }
    if def.map_type == MapType::Unspec && unsupported.is_none() {
        return Err(wrong("its type is missing"));
    }
    if let Some(what) = value.filter(|_| is_typed(def.map_type)).and_then(|value| special_field(btf, value)) {
        unsupported.get_or_insert(format!("{what} in the values of map `{name}`"));
    }
    if let Some(what) = beyond_sizes(def.map_type) {
        unsupported.get_or_insert(format!("map `{name}` of type {}, which needs {what}", def.map_type));
    }
    let note = settle_entries(&mut def);
    Ok(ObjectMap { def, section, place: Place::Definition(u64::from(var.offset)), unsupported, note })
}

/// What a kernel wants of a map beyond the fields of [`MapDef`], which would refuse it where the object has it.
fn beyond_sizes(map_type: MapType) -> Option<&'static str> {
    use MapType::*;
    match map_type {
        SkStorage | InodeStorage | TaskStorage | CgrpStorage => Some("types of keys and values"),
        ArrayOfMaps | HashOfMaps => Some("a map to take its values after"),
        _ => None,
    }
}

/// The number of entries, where libbpf or its user settles it when the object is loaded: says so of what is a choice.
///
/// A ring buffer gets the next size that a kernel takes, a perf event array an entry for each processor, of which one is
/// enough here. Everything else is left to the program that loads the object; 1 is taken for it (for a ring buffer a
/// page), as `veristat` does. Storage has no number of entries.
///
/// Kernel: none; libbpf's `adjust_ringbuf_sz` and `map_set_def_max_entries`, and `fixup_obj_maps` of `veristat`.
fn settle_entries(def: &mut MapDef) -> Option<String> {
    use MapType::*;
    let is_ring = matches!(def.map_type, Ringbuf | UserRingbuf);
    let given = def.max_entries;
    def.max_entries = match (def.map_type, given) {
        (SkStorage | TaskStorage | InodeStorage | CgroupStorage | PercpuCgroupStorage | CgrpStorage | StructOps, n) => {
            n
        }
        (_, 0) if is_ring => PAGE,
        (_, 0) => 1,
        (_, n) if is_ring => {
            let pages = n.div_ceil(PAGE).checked_next_power_of_two();
            pages.and_then(|pages| pages.checked_mul(PAGE)).unwrap_or(n)
        }
        (_, n) => n,
    };
    let chosen = given == 0 && def.max_entries != 0 && def.map_type != PerfEventArray;
    chosen.then(|| {
        let (name, entries) = (&def.name, def.max_entries);
        format!("max_entries of map `{name}` is left to the loader: {entries} is taken, as veristat does")
    })
}

fn set_size(field: &mut u32, size: u32) -> Result<(), &'static str> {
    if *field != 0 && *field != size {
        return Err("two sizes that differ");
    }
    *field = size;
    Ok(())
}

/// What a member points to.
fn pointee(btf: &Btf, member: &Member) -> Option<TypeId> {
    match btf.get(btf.skip_modifiers(member.to)?)?.body {
        Body::Ptr { to } => Some(to),
        _ => None,
    }
}

/// A number, which is written as the length of an array that the member points to.
fn number(btf: &Btf, member: &Member) -> Option<u32> {
    match btf.get(btf.skip_modifiers(pointee(btf, member)?)?)?.body {
        Body::Array { count, .. } => Some(count),
        _ => None,
    }
}

/// The size of the type that a member points to.
fn pointee_size(btf: &Btf, member: &Member) -> Option<u32> {
    btf.size_of(pointee(btf, member)?)
}
