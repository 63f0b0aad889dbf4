//! One program in two forms for a real kernel: with its loops inlined, and with the helper calls kept.
//!
//! A kernel inlines a call of `bpf_loop` when it knows that the flags are zero. The helper form adds a zero to the flags that the
//! verifier cannot know: it comes from a map. Both forms also leave all 64 bits of R0 in that map, for a test run returns
//! only half of them. Apart from that they are the same program, so whatever else their runs leave behind must be equal.
//!
//! Left out: programs whose own map values are locks or timers (the added map is an array of its own, and stays apart from them).
//! Invariant: an added instruction touches R0 before a call that overwrites it, R4 by adding zero, and R1 before main's exit.

use crate::isa::{AluOp, Imm64, InsnIdx, Op, Operand, Reg, Size, Width, operations};
use crate::kernel::MapType;
use crate::kernel::limits::HELPER_LOOP;
use crate::program::edit::{self, Changes, JumpTooLong};
use crate::program::{Layout, MapDef, Program, SubprogIdx};

/// A program's two forms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Twins {
    /// Loops are inlined where the kernel does so.
    pub inlined: Program,
    /// Every loop stays a call of the helper.
    pub helper: Program,
}

/// Offsets in the value of the added map, the last one of both forms: the zero, and R0.
const ZERO_AT: u32 = 0;
const R0_AT: u32 = 8;
/// Size of that value.
const VALUE_BYTES: u32 = 16;

/// Makes both forms.
///
/// # Errors
///
/// When a jump cannot reach its target any more.
pub fn twins(program: &Program) -> Result<Twins, JumpTooLong> {
    let map = program.maps.len() as u32;
    let mut with_map = program.clone();
    with_map.maps.push(MapDef {
        name: "twin".to_owned(),
        map_type: MapType::Array,
        key_size: 4,
        value_size: VALUE_BYTES,
        max_entries: 1,
        ..MapDef::default()
    });
    let inlined = Program { name: format!("{} (inlined)", program.name), ..with_map.clone() };
    let helper = Program { name: format!("{} (helper)", program.name), ..with_map };
    Ok(Twins {
        inlined: edit::apply(&inlined, &changes(&inlined, map, Form::Inlined))?,
        helper: edit::apply(&helper, &changes(&helper, map, Form::Helper))?,
    })
}

/// All 64 bits of R0 in what a run of either form left in its array maps.
pub fn r0_of(maps: &[u8]) -> Option<u64> {
    let value = maps.len().checked_sub(VALUE_BYTES as usize)?;
    maps.get(value + R0_AT as usize..)?.first_chunk().map(|b| u64::from_le_bytes(*b))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Inlined,
    Helper,
}

fn changes(program: &Program, map: u32, form: Form) -> Changes {
    let layout = Layout::of(program);
    let mut changes = Changes::new();
    for (at, op) in operations(&program.insns) {
        let added = match op {
            Ok(Op::CallHelper { id: HELPER_LOOP }) if form == Form::Helper => opaque_zero(map),
            Ok(Op::Exit) if layout.containing(at) == SubprogIdx::MAIN => keep_r0(map),
            _ => continue,
        };
        changes.insert(at, added.into_iter().chain(op.ok()).collect());
    }
    changes
}

/// R4 += a zero that only the map knows.
fn opaque_zero(map: u32) -> Vec<Op> {
    let (r0, r4) = (Reg::R0, Reg::R4);
    vec![
        Op::LdImm64 { dst: r0, imm: Imm64::MapValue { map, off: ZERO_AT } },
        Op::Load { size: Size::Dw, signed: false, dst: r0, base: r0, off: 0 },
        Op::Alu { width: Width::W64, op: AluOp::Add, dst: r4, src: Operand::Reg(r0) },
    ]
}

/// The map's second number = R0.
fn keep_r0(map: u32) -> Vec<Op> {
    vec![
        Op::LdImm64 { dst: Reg::R1, imm: Imm64::MapValue { map, off: R0_AT } },
        Op::Store { size: Size::Dw, base: Reg::R1, off: 0, src: Operand::Reg(Reg::R0) },
    ]
}

/// The `bpf_loop` calls of a program.
pub fn loop_calls(program: &Program) -> Vec<InsnIdx> {
    let all = operations(&program.insns).into_iter();
    all.filter(|(_, op)| matches!(op, Ok(Op::CallHelper { id: HELPER_LOOP }))).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{KernelVersion, Rules};
    use crate::oracle::Status;
    use crate::oracle::parity::{examine, sites_of};
    use crate::program::text;

    const SOURCE: &str = "\
;;! prog_type = \"raw_tracepoint\"
    r6 = *(u64 *)(r1 + 0)
    if r6 == 0 goto out
    r1 = r6
    r2 = cb ll
    r3 = 0
    r4 = 0
    call bpf_loop
out:
    exit
cb:
    r0 = 0
    exit
";

    #[test]
    fn forms_differ_in_their_sites_and_keep_all_of_r0() {
        let Ok(file) = text::parse(&SOURCE.replace("if r6 == 0 goto out", "r0 = r6\n    if r6 == 0 goto out")) else {
            panic!("the source is a program");
        };
        let mut program = file.program;
        let ctx = |n: u64| crate::program::Input { ctx: n.to_le_bytes().to_vec(), ..Default::default() };
        program.inputs = vec![ctx(3), ctx((1 << 23) + 1), ctx(1 << 40)];
        let twins = twins(&program).expect("short jumps");
        assert_eq!(loop_calls(&twins.helper).len(), 1);
        for version in KernelVersion::ALL {
            let rules = Rules::of(version);
            let r0 = |form: &Program| -> (Vec<bool>, Vec<Option<u64>>) {
                let report = examine(form, &rules).swap_remove(0);
                let Status::Accepted { facts, .. } = &report.status else { panic!("{:?}", report.status) };
                let maps = report.runs.iter().map(|run| r0_of(&run.rewritten.maps.concat())).collect();
                (sites_of(facts), maps)
            };
            let (inlined, helper) = (r0(&twins.inlined), r0(&twins.helper));
            assert_eq!((inlined.0, helper.0), (vec![true], vec![false]), "{version}");
            // A loop that is too long: the inlined form sets 32 bits, the helper 64. The helper's count has 32 bits.
            assert_eq!(inlined.1, [Some(3), Some(0xffff_fff9), Some(0xffff_fff9)], "{version}");
            assert_eq!(helper.1, [Some(3), Some(-7i64 as u64), Some(0)], "{version}");
        }
    }
}
