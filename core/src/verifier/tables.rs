//! What the static liveness analysis asks of helpers, maps and BTF, answered from the kernel's tables and the program.

use super::liveness::{Access, Branches, Callee, Code, Direction, Facts, Liveness, MapSizes, Prototype, Refused};
use super::structure::Structure;
use super::verdict::{Errno, Rejection};
use crate::btf::Linkage;
use crate::isa::Size;
use crate::kernel::helpers::{self, Arg, HelperLookup, MemAccess, MemArg, MemSize};
use crate::kernel::{MapType, Rules};
use crate::program::{Program, SubprogIdx};

/// `BPF_F_RDONLY_PROG`.
const MAP_READ_ONLY: u32 = 1 << 7;

/// Analyses which registers and stack slots matter later. `None` for a program with recursion: kernels that do not refuse it
/// before the walk do so on the way, when there are too many frames.
///
/// Kernel: `bpf_compute_live_registers`, `bpf_compute_subprog_arg_access` (7.0 … 7.3).
pub(super) fn analyse_liveness(
    program: &Program,
    structure: &Structure,
    rules: &Rules,
) -> Result<Option<Liveness>, Rejection> {
    let facts = Tables { program, structure, rules };
    let code = Code { ops: &structure.ops, layout: &structure.layout, facts: &facts, branches: Branches::Kept };
    let refused = match Liveness::analyse(&code) {
        Ok(liveness) => return Ok(Some(liveness)),
        Err(refused) => refused,
    };
    let (at, errno) = match refused {
        Refused::Recursion { .. } => return Ok(None),
        Refused::TooDeep { at } => (Some(at), Errno::EINVAL),
        Refused::TooManyCalls { .. } => (None, Errno::E2BIG),
    };
    Err(Rejection { at, errno, text: refused.to_string(), insns_processed: 0, warning: None })
}

/// Analyses which registers matter later, and which jumps are loops.
///
/// Kernel: `compute_live_registers`, `compute_scc` (6.18).
pub(super) fn live_registers(program: &Program, structure: &Structure, rules: &Rules) -> Liveness {
    let facts = Tables { program, structure, rules };
    let code = Code { ops: &structure.ops, layout: &structure.layout, facts: &facts, branches: Branches::Kept };
    Liveness::of_registers(&code)
}

struct Tables<'a> {
    program: &'a Program,
    structure: &'a Structure,
    rules: &'a Rules,
}

impl Facts for Tables<'_> {
    fn prototype(&self, callee: Callee) -> Option<Prototype> {
        let Callee::Helper(id) = callee else { return None };
        let HelperLookup::Proto(proto) = helpers::lookup(id, self.program.prog_type, self.rules) else {
            return None;
        };
        let map = proto.args.iter().position(|a| *a == Arg::ConstMapPtr).map(|n| n as u8 + 1);
        let args = proto.args.iter().take_while(|a| **a != Arg::Unused).count() as u8;
        Some(Prototype { args, access: proto.args.map(|arg| access(arg, map)) })
    }

    fn map(&self, index: u32) -> Option<MapSizes> {
        let map = self.program.maps.get(index as usize)?;
        Some(MapSizes { key: map.key_size, value: map.value_size })
    }

    fn frozen_value(&self, map: u32, off: i32, size: Size, signed: bool) -> Option<u64> {
        let map = self.program.maps.get(map as usize)?;
        if map.flags & MAP_READ_ONLY == 0 || !map.frozen || map.map_type != MapType::Array {
            return None;
        }
        let (from, bytes) = (usize::try_from(off).ok()?, size.bytes() as usize);
        if from + bytes > map.value_size as usize {
            return None;
        }
        let init = map.init.first().map_or(&[][..], Vec::as_slice);
        let value = (0..bytes).fold(0, |v, i| v | u64::from(init.get(from + i).copied().unwrap_or(0)) << (8 * i));
        let spare = 64 - 8 * bytes as u32;
        Some(if signed { ((value << spare) as i64 >> spare) as u64 } else { value })
    }

    fn is_global(&self, subprog: SubprogIdx) -> bool {
        self.structure.subprogs.get(subprog.at()).is_some_and(|s| s.linkage == Some(Linkage::Global))
    }
}

/// What a helper does behind an argument; `map` is the register that holds its map.
fn access(arg: Arg, map: Option<u8>) -> Access {
    let direction = |access| if access == MemAccess::Fill { Direction::Initialise } else { Direction::Read };
    match arg {
        Arg::MapKey => Access::MapKey(map, Direction::Read),
        Arg::MapValue(access) => Access::MapValue(map, direction(access)),
        Arg::Mem(MemArg { access, size: MemSize::NextArg, .. }) => Access::SizeInNext(direction(access)),
        Arg::Mem(MemArg { access, size: MemSize::Fixed(bytes) | MemSize::FixedAligned(bytes), .. }) => {
            Access::Fixed(bytes, direction(access))
        }
        Arg::StackOrNull => Access::Untouched,
        _ => Access::Unknown,
    }
}
