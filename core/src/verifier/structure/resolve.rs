//! Instructions one by one, in program order: opcodes, both halves of `ld_imm64`, and the maps that it refers to.
//!
//! Kernel: `resolve_pseudo_ldimm64` (6.1 … 6.18), `check_and_resolve_insns` (7.3).

use super::fields::{is_known, reserved};
use super::flow::{class, len};
use super::{Refusal, load};
use crate::isa::{Insn, InsnIdx, Reg, opcode};
use crate::kernel::{FieldCheck, InsnSet, MapType, MapUse, StructureRules};
use crate::program::{MapDef, Program};
use crate::verifier::Errno;

/// Maps that a program may refer to.
#[doc(alias = "MAX_USED_MAPS")]
const USED_MAPS_MAX: usize = 64;
/// Offsets into a map's value end below this, where there is a bound of its own.
const VALUE_OFFSET_END: u32 = 1 << 29;
/// `src` of an `ld_imm64` that refers to a kernel variable, and to a map by index into an array of descriptors.
const PSEUDO_BTF_ID: u8 = 3;
const PSEUDO_MAP_IDX: u8 = 5;
const PSEUDO_MAP_IDX_VALUE: u8 = 6;

/// No such file descriptor.
const EBADF: Errno = Errno(9);
const EBUSY: Errno = Errno(16);
/// Protocol error: what a missing array of descriptors is reported as.
const EPROTO: Errno = Errno(71);
/// Operation not supported on this endpoint.
const EOPNOTSUPP: Errno = Errno(95);

/// Refuses a program that ends with the first half of an `ld_imm64`, where that is looked at before anything else.
pub(super) fn check_last_insn(program: &Program, rules: &StructureRules) -> Result<(), Refusal> {
    let last = InsnIdx((program.insns.len() as u32).saturating_sub(1));
    match program.insn(last) {
        Some(insn) if insn.is_ld_imm64() && rules.field_check == FieldCheck::BeforeWalk => bad_ld_imm64(last),
        _ => Ok(()),
    }
}

fn bad_ld_imm64(at: InsnIdx) -> Result<(), Refusal> {
    Err(Refusal::invalid(at, "invalid bpf_ld_imm64 insn"))
}

/// Checks all instructions and returns the maps that they refer to, by index, in the order of first use.
#[doc(alias = "resolve_pseudo_ldimm64")]
#[doc(alias = "check_and_resolve_insns")]
pub(super) fn check(program: &Program, rules: &StructureRules) -> Result<Vec<u32>, Refusal> {
    let mut used_maps = Vec::new();
    let mut at = InsnIdx(0);
    while let Some(insn) = program.insn(at) {
        match rules.field_check {
            FieldCheck::BeforeWalk => check_registers(at, insn, rules)?,
            FieldCheck::AtVisit => check_load(at, insn, rules)?,
        }
        if insn.is_ld_imm64() {
            check_ld_imm64(program, rules, at, insn, &mut used_maps)?;
        } else if !is_known(insn.code, rules.insn_set) {
            return Err(Refusal::invalid(at, format!("unknown opcode {:02x}", insn.code)));
        } else if rules.field_check == FieldCheck::BeforeWalk
            && let Some(text) = reserved(insn, rules.insn_set)
        {
            return Err(Refusal::invalid(at, text));
        }
        at = InsnIdx(at.0 + len(insn));
    }
    Ok(used_maps)
}

fn check_registers(at: InsnIdx, insn: Insn, rules: &StructureRules) -> Result<(), Refusal> {
    if rules.insn_set >= InsnSet::Indirect && is_stack_argument(insn) {
        return Err(Refusal::unsupported(Some(at), "arguments on the stack (R11)"));
    }
    match [insn.dst(), insn.src()].into_iter().find(|r| Reg::new(*r).is_none()) {
        Some(bad) => Err(Refusal::invalid(at, format!("R{bad} is invalid"))),
        None => Ok(()),
    }
}

/// An eight-byte access of the caller's or callee's stack arguments.
fn is_stack_argument(insn: Insn) -> bool {
    const PARAMS: u8 = 11;
    /// Eight-byte accesses in memory mode: register load, immediate store, register store.
    const LDX_DW: u8 = 0x79;
    const ST_DW: u8 = 0x7a;
    const STX_DW: u8 = 0x7b;
    insn.off % 8 == 0
        && match insn.code {
            LDX_DW => insn.src() == PARAMS && insn.off > 0,
            ST_DW | STX_DW => insn.dst() == PARAMS && insn.off < 0,
            _ => false,
        }
}

/// Loads are the one class whose fields were always checked here, before the opcode.
fn check_load(at: InsnIdx, insn: Insn, rules: &StructureRules) -> Result<(), Refusal> {
    let mode = insn.code >> 5;
    let known = mode == 3 || mode == 4 && rules.insn_set >= InsnSet::V4;
    if insn.code & 7 == class::LDX && (!known || insn.imm != 0) {
        return Err(Refusal::invalid(at, "BPF_LDX uses reserved fields"));
    }
    Ok(())
}

fn check_ld_imm64(
    program: &Program,
    rules: &StructureRules,
    at: InsnIdx,
    insn: Insn,
    used_maps: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let second = match program.insn(at.next()) {
        Some(second) if second.code == 0 && second.regs == 0 && second.off == 0 => second,
        _ => return bad_ld_imm64(at),
    };
    if rules.field_check == FieldCheck::BeforeWalk && insn.off != 0 {
        return Err(Refusal::invalid(at, "BPF_LD_IMM64 uses reserved fields"));
    }
    match insn.src() {
        0 | opcode::PSEUDO_FUNC => Ok(()),
        PSEUDO_BTF_ID => Err(Refusal::unsupported(Some(at), "reference to a kernel variable")),
        opcode::PSEUDO_MAP if second.imm == 0 => use_map(program, rules, at, insn, None, used_maps),
        opcode::PSEUDO_MAP_VALUE => use_map(program, rules, at, insn, Some(second.imm as u32), used_maps),
        PSEUDO_MAP_IDX if second.imm == 0 => no_descriptor_array(at),
        PSEUDO_MAP_IDX_VALUE => no_descriptor_array(at),
        _ => Err(Refusal::invalid(at, "unrecognized bpf_ld_imm64 insn")),
    }
}

fn no_descriptor_array(at: InsnIdx) -> Result<(), Refusal> {
    Err(Refusal::rejected(Some(at), EPROTO, "fd_idx without fd_array is invalid"))
}

/// Checks a reference to a map, or to an offset into its value.
fn use_map(
    program: &Program,
    rules: &StructureRules,
    at: InsnIdx,
    insn: Insn,
    offset: Option<u32>,
    used_maps: &mut Vec<u32>,
) -> Result<(), Refusal> {
    let number = insn.imm as u32;
    let Some(map) = program.maps.get(number as usize) else {
        let text = format!("fd {} is not pointing to valid bpf_map", insn.imm);
        return Err(Refusal::rejected(Some(at), EBADF, text));
    };
    let new = !used_maps.contains(&number);
    let full = new && used_maps.len() >= USED_MAPS_MAX;
    if full && rules.map_use != MapUse::LimitLast {
        let text = format!("The total number of maps per program has reached the limit of {USED_MAPS_MAX}");
        return Err(Refusal::rejected(Some(at), Errno::E2BIG, text));
    }
    check_compatible(program, rules, at, map)?;
    if new {
        check_only_storage(program, at, map, used_maps)?;
    }
    if let Some(offset) = offset {
        check_offset(rules, at, map, offset)?;
    }
    if full {
        return Err(Refusal::rejected(Some(at), Errno::E2BIG, "(more than 64 maps)"));
    }
    if new {
        used_maps.push(number);
    }
    Ok(())
}

/// Kernel: `check_map_prog_compatibility` (6.1 … 7.3), for maps without BTF.
#[doc(alias = "check_map_prog_compatibility")]
fn check_compatible(program: &Program, rules: &StructureRules, at: InsnIdx, map: &MapDef) -> Result<(), Refusal> {
    if load::is_sleepable(program) && !rules.sleepable_maps.list().contains(&map.map_type) {
        return Err(Refusal::invalid(at, rules.sleepable_maps_text.text()));
    }
    Ok(())
}

/// A program has one storage of its cgroup of each type.
///
/// Kernel: `bpf_cgroup_storage_assign` (6.1 … 7.3).
#[doc(alias = "bpf_cgroup_storage_assign")]
fn check_only_storage(program: &Program, at: InsnIdx, map: &MapDef, used_maps: &[u32]) -> Result<(), Refusal> {
    let same = |n: &u32| program.maps.get(*n as usize).is_some_and(|m| m.map_type == map.map_type);
    let storage = matches!(map.map_type, MapType::CgroupStorage | MapType::PercpuCgroupStorage);
    if storage && used_maps.iter().any(same) {
        let text = "only one cgroup storage of each type is allowed";
        return Err(Refusal::rejected(Some(at), EBUSY, text.to_owned()));
    }
    Ok(())
}

/// Kernel: `array_map_direct_value_addr` (6.1 … 7.3), `percpu_array_map_direct_value_addr` (7.3).
#[doc(alias = "map_direct_value_addr")]
fn check_offset(rules: &StructureRules, at: InsnIdx, map: &MapDef, offset: u32) -> Result<(), Refusal> {
    if rules.map_use != MapUse::LimitFirstAnyOffset && offset >= VALUE_OFFSET_END {
        return Err(Refusal::invalid(at, format!("direct value offset of {offset} is not allowed")));
    }
    if !rules.direct_value_maps.list().contains(&map.map_type) {
        return Err(Refusal::invalid(at, "no direct value access support for this map type"));
    }
    let errno = match map.map_type {
        MapType::PercpuArray if map.max_entries != 1 => EOPNOTSUPP,
        _ if map.max_entries != 1 => Errno::ENOTSUPP,
        _ if offset >= map.value_size => Errno::EINVAL,
        _ => return Ok(()),
    };
    let text = format!("invalid access to map value pointer, value_size={} off={offset}", map.value_size);
    Err(Refusal::rejected(Some(at), errno, text))
}
