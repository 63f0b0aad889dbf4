//! From a function in a program section to a whole program: the functions that it reaches are appended, and references
//! are made to point to them and to maps.
//!
//! Stands for libbpf's `bpf_object__relocate_calls` and `bpf_object__relocate_data`. Functions are appended in libbpf's
//! order: each where it is first referred to, then those that it refers to itself.

use super::maps::{ObjectMap, Place};
use super::object::{Function, INSN_BYTES, ObjectFile, Role, Section, Target};
use super::sections::{section_type, unknown_section_hint};
use super::types::Types;
use crate::isa::{Insn, InsnIdx, opcode};
use crate::program::{Func, InputError, Program};
use std::collections::BTreeMap;

/// Why a function becomes no program.
pub(super) enum Stop {
    /// It needs what is not modelled.
    Unsupported(String),
    /// The object contradicts itself.
    Input(InputError),
}

impl From<InputError> for Stop {
    fn from(error: InputError) -> Stop {
        Stop::Input(error)
    }
}

/// How much the programs of an object may take together, in units of eight bytes: an object can have the same functions
/// in each of many programs.
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Budget {
        Budget(1 << 24)
    }
}

impl Budget {
    /// # Errors
    /// The program that takes too much is not modelled; smaller ones of the object still are.
    fn take(&mut self, units: usize) -> Result<(), Stop> {
        let left = self.0.checked_sub(units);
        self.0 = left.ok_or_else(|| Stop::Unsupported("more than 128 MiB of programs in one object".to_owned()))?;
        Ok(())
    }
}

/// An object, ready to take programs from.
pub(super) struct Linker<'o> {
    object: &'o ObjectFile<'o>,
    types: Option<&'o Types>,
    maps: &'o [ObjectMap],
    /// What holds for every program.
    notes: &'o [String],
    /// Index of a map by section and place of its definition; a section that is itself a value has no place.
    map_places: BTreeMap<(usize, Option<i64>), usize>,
}

/// A program while it grows.
#[derive(Default)]
struct Growing<'o> {
    insns: Vec<Insn>,
    /// Functions and their first instruction, in order.
    placed: Vec<(&'o Function, u32)>,
    /// The same, by section and place in the object.
    starts: BTreeMap<(usize, u32), u32>,
    /// Instructions that refer to a map, and its index in the object.
    map_refs: Vec<(usize, usize)>,
}

/// What an instruction refers to.
enum Reference<'o> {
    None,
    Function(&'o Function),
    /// A map by its index in the object, and for its value the offset in bytes.
    Map(usize, Option<u32>),
}

impl<'o> Linker<'o> {
    pub fn new(
        object: &'o ObjectFile<'o>,
        types: Option<&'o Types>,
        maps: &'o [ObjectMap],
        notes: &'o [String],
    ) -> Linker<'o> {
        let place = |map: &ObjectMap| match map.place {
            Place::Definition(at) => (map.section, Some(signed(at))),
            Place::Value => (map.section, None),
        };
        let map_places = maps.iter().enumerate().map(|(n, map)| (place(map), n)).collect();
        Linker { object, types, maps, notes, map_places }
    }

    /// Links one program.
    pub fn link(&self, entry: &'o Function, budget: &mut Budget) -> Result<Program, Stop> {
        let section = self.section_of(entry)?;
        let Some(kind) = section_type(&section.name) else {
            let hint = unknown_section_hint(&section.name);
            let what = format!("section name \"{}\", which libbpf does not know; {hint}", section.name);
            return Err(Stop::Unsupported(what));
        };
        if let Some(needs) = kind.needs {
            return Err(Stop::Unsupported(format!("{needs} (section \"{}\")", section.name)));
        }
        let mut grown = self.grow(entry, budget)?;
        let mut program = Program {
            name: entry.name.clone(),
            prog_type: kind.prog_type,
            expected_attach_type: kind.attach,
            prog_flags: kind.flags,
            funcs: self.funcs(&grown)?,
            notes: self.notes.to_vec(),
            ..Program::default()
        };
        self.number_maps(&mut grown, &mut program, budget)?;
        if let Some(types) = self.types
            && !program.funcs.is_empty()
        {
            budget.take(types.blob.len() / 8)?;
            program.btf = Some(types.blob.clone());
            program.btf_optional = !self.object.has_struct_ops();
        }
        program.insns = grown.insns;
        Ok(program)
    }

    fn section_of(&self, function: &Function) -> Result<&'o Section<'o>, InputError> {
        let section = self.object.section(function.section);
        section.ok_or_else(|| InputError::new(format!("function \"{}\" has no section", function.name)))
    }

    /// Appends all functions that are reached, and resolves what they refer to.
    fn grow(&self, entry: &'o Function, budget: &mut Budget) -> Result<Growing<'o>, Stop> {
        let mut grown = Growing::default();
        self.place(&mut grown, entry, budget)?;
        // Functions that are being gone through, with the next instruction of each.
        let mut open = vec![(entry, 0, 0)];
        while let Some((function, start, at)) = open.last_mut() {
            if *at >= function.len {
                open.pop();
                continue;
            }
            let (function, here, old) = (*function, *start + *at, function.start + *at);
            let insn = grown.insns.get(here as usize).copied().unwrap_or_default();
            *at += if insn.is_ld_imm64() { 2 } else { 1 };
            match self.reference(function, old, insn)? {
                Reference::None => {}
                Reference::Map(map, off) => grown.refer_to_map(here as usize, map, off),
                Reference::Function(target) => {
                    let known = grown.starts.get(&(target.section, target.start)).copied();
                    let target_start = match known {
                        Some(start) => start,
                        None => {
                            let start = self.place(&mut grown, target, budget)?;
                            open.push((target, start, 0));
                            start
                        }
                    };
                    grown.refer_to_function(here, target_start);
                }
            }
        }
        Ok(grown)
    }

    /// Appends a function and returns its first instruction.
    fn place(&self, grown: &mut Growing<'o>, function: &'o Function, budget: &mut Budget) -> Result<u32, Stop> {
        let section = self.section_of(function)?;
        if let Some(name) = self.types.and_then(|t| t.core_relo_in(&section.name, function)) {
            return Err(Stop::Unsupported(format!("CO-RE relocation against `{name}` in `{}`", function.name)));
        }
        budget.take(function.len as usize)?;
        let start = grown.insns.len() as u32;
        let end = function.start.saturating_add(function.len);
        grown.insns.extend((function.start..end).filter_map(|n| section.insn(n)));
        grown.placed.push((function, start));
        grown.starts.insert((function.section, function.start), start);
        Ok(start)
    }

    /// What the instruction at `at` of a function's section refers to.
    fn reference(&self, function: &Function, at: u32, insn: Insn) -> Result<Reference<'o>, Stop> {
        let section = self.section_of(function)?;
        let is_call = insn.code == opcode::CALL;
        let Some(target) = section.relocs.get(&at) else {
            return match insn.src() {
                opcode::PSEUDO_CALL if is_call => {
                    let target = i64::from(at) + i64::from(insn.imm) + 1;
                    self.function(function, function.section, target).map(Reference::Function)
                }
                opcode::PSEUDO_KFUNC_CALL if is_call => {
                    Err(Stop::Unsupported(format!("call of kernel function {} by number", insn.imm)))
                }
                _ => Ok(Reference::None),
            };
        };
        if !is_call && !insn.is_ld_imm64() {
            return Err(InputError::new(format!(
                "a relocation in function \"{}\" meets an instruction that refers to nothing (opcode {:02x})",
                function.name, insn.code
            ))
            .into());
        }
        match target {
            Target::Undefined(name) if is_call => Err(Stop::Unsupported(format!("kernel function `{name}`"))),
            Target::Undefined(name) => Err(Stop::Unsupported(format!("extern symbol `{name}`"))),
            Target::Nowhere(name) => Err(Stop::Unsupported(format!("symbol `{name}` without a section"))),
            // A call holds the distance in instructions less one, a load the distance in bytes.
            Target::At { section, offset } if is_call => {
                let target = signed(*offset) / INSN_BYTES as i64 + i64::from(insn.imm) + 1;
                self.function(function, *section, target).map(Reference::Function)
            }
            Target::At { section, offset } => self.address(function, *section, *offset, insn.imm),
        }
    }

    /// The function that starts at an instruction of a section.
    fn function(&self, caller: &Function, section: usize, at: i64) -> Result<&'o Function, Stop> {
        let home = self.object.section(section);
        if let Some(home) = home.filter(|s| s.role != Role::Text) {
            let what = format!("reference from `{}` into section \"{}\"", caller.name, home.name);
            return Err(Stop::Unsupported(what));
        }
        let target = u32::try_from(at).ok().and_then(|at| self.object.function_at(section, at));
        target.ok_or_else(|| {
            InputError::new(format!("function \"{}\" refers to .text where no function starts", caller.name)).into()
        })
    }

    /// What an address stands for: a function, a map, a place in a map's value.
    fn address(&self, from: &Function, section: usize, offset: u64, addend: i32) -> Result<Reference<'o>, Stop> {
        let home = self.object.section(section);
        let home = home.ok_or_else(|| InputError::new("a relocation points to a section that is not there"))?;
        let at = signed(offset).saturating_add(i64::from(addend));
        if matches!(home.role, Role::Text | Role::Programs) {
            if at % INSN_BYTES as i64 != 0 {
                return Err(InputError::new(format!("function \"{}\" refers to half an instruction", from.name)).into());
            }
            return self.function(from, section, at / INSN_BYTES as i64).map(Reference::Function);
        }
        let defined = self.map_places.get(&(section, Some(at)));
        let value = self.map_places.get(&(section, None));
        let Some(found) = defined.or(value).copied() else {
            return Err(match home.role {
                Role::Maps | Role::LegacyMaps => {
                    InputError::new(format!("function \"{}\" refers to a map that is not defined", from.name)).into()
                }
                _ => Stop::Unsupported(format!("reference from `{}` into section \"{}\"", from.name, home.name)),
            });
        };
        if let Some(what) = self.maps.get(found).and_then(|m| m.unsupported.clone()) {
            return Err(Stop::Unsupported(what));
        }
        Ok(Reference::Map(found, value.is_some().then_some(at as u32)))
    }

    /// The functions of `func_info`; none when the object has none for the program itself.
    fn funcs(&self, grown: &Growing<'_>) -> Result<Vec<Func>, InputError> {
        let mut funcs = Vec::new();
        for (function, start) in &grown.placed {
            let section = self.section_of(function)?;
            let found = self.types.and_then(|t| Some((t, t.func_at(&section.name, function.start)?)));
            let Some((types, id)) = found else {
                if funcs.is_empty() {
                    return Ok(funcs);
                }
                return Err(InputError::new(format!("function \"{}\" is missing in .BTF.ext", function.name)));
            };
            let Some(func) = types.btf.function(id) else {
                return Err(InputError::new(format!("the BTF of function \"{}\" is no function", function.name)));
            };
            funcs.push(Func {
                insn: InsnIdx(*start),
                name: func.name.to_owned(),
                linkage: func.linkage,
                args: u8::try_from(func.params.len()).unwrap_or(u8::MAX),
                type_id: Some(id.0),
            });
        }
        Ok(funcs)
    }

    /// Gives the program the maps that it refers to, and numbers the references.
    fn number_maps(&self, grown: &mut Growing<'_>, program: &mut Program, budget: &mut Budget) -> Result<(), Stop> {
        let mut numbers: BTreeMap<usize, i32> = grown.map_refs.iter().map(|(_, map)| (*map, 0)).collect();
        for (number, (map, slot)) in numbers.iter_mut().enumerate() {
            *slot = number as i32;
            if let Some(map) = self.maps.get(*map) {
                budget.take(map.def.init.iter().map(Vec::len).sum::<usize>() / 8)?;
                program.maps.push(map.def.clone());
                program.notes.extend(map.note.clone());
            }
        }
        for (at, map) in &grown.map_refs {
            if let (Some(insn), Some(number)) = (grown.insns.get_mut(*at), numbers.get(map)) {
                insn.imm = *number;
            }
        }
        Ok(())
    }
}

/// An offset in a file, as a number that can be added to; beyond that range nothing is found anyway.
fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

fn set_src(insn: &mut Insn, src: u8) {
    insn.regs = insn.dst() | src << 4;
}

impl Growing<'_> {
    fn refer_to_function(&mut self, here: u32, target: u32) {
        let Some(insn) = self.insns.get_mut(here as usize) else { return };
        let src = if insn.is_ld_imm64() { opcode::PSEUDO_FUNC } else { opcode::PSEUDO_CALL };
        set_src(insn, src);
        insn.imm = target.wrapping_sub(here).wrapping_sub(1) as i32;
    }

    fn refer_to_map(&mut self, here: usize, map: usize, value_off: Option<u32>) {
        let Some(insn) = self.insns.get_mut(here) else { return };
        set_src(insn, if value_off.is_some() { opcode::PSEUDO_MAP_VALUE } else { opcode::PSEUDO_MAP });
        if let Some(second) = self.insns.get_mut(here + 1) {
            second.imm = value_off.unwrap_or_default() as i32;
        }
        self.map_refs.push((here, map));
    }
}
