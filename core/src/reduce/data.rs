//! Passes over what surrounds the instructions: inputs, maps, type, names.

use super::measure::{PLAIN_TYPES, usual_linkage};
use super::search::Search;
use crate::isa::{Imm64, Op, operations};
use crate::kernel::MapType;
use crate::program::{Input, MapDef, Program, edit};
use std::collections::BTreeSet;

/// Drops inputs.
pub(super) fn drop_inputs(search: &mut Search<'_>) {
    search.ranges(
        |program| program.inputs.len(),
        |program, range| {
            let mut smaller = program.clone();
            smaller.inputs.drain(range);
            Some(smaller)
        },
    );
}

/// The bytes of an input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Ctx,
    Data,
}

impl Part {
    fn of(self, input: &Input) -> &Vec<u8> {
        match self {
            Part::Ctx => &input.ctx,
            Part::Data => &input.data,
        }
    }

    fn of_mut(self, input: &mut Input) -> &mut Vec<u8> {
        match self {
            Part::Ctx => &mut input.ctx,
            Part::Data => &mut input.data,
        }
    }
}

/// Shortens inputs and sets their bytes to 0.
pub(super) fn shrink_inputs(search: &mut Search<'_>) {
    for n in 0..search.best.inputs.len() {
        for part in [Part::Ctx, Part::Data] {
            let bytes = |program: &Program| program.inputs.get(n).map_or(0, |i| part.of(i).len());
            while [
                0,
                bytes(&search.best) / 2,
                bytes(&search.best).saturating_sub(8),
                bytes(&search.best).saturating_sub(1),
            ]
            .into_iter()
            .any(|len| {
                search.attempt_with(|p| p.inputs.get_mut(n).into_iter().for_each(|i| part.of_mut(i).truncate(len)))
            }) {}
            search.ranges(bytes, |program, range| {
                let mut zeroed = program.clone();
                part.of_mut(zeroed.inputs.get_mut(n)?).get_mut(range)?.fill(0);
                Some(zeroed)
            });
        }
        for seed in [0, 1] {
            search.attempt_with(|p| p.inputs.get_mut(n).into_iter().for_each(|i| i.seed = seed));
        }
    }
}

/// Drops maps that no instruction refers to.
pub(super) fn drop_maps(search: &mut Search<'_>) {
    let used: BTreeSet<u32> = operations(&search.best.insns)
        .iter()
        .filter_map(|(_, op)| match op {
            Ok(Op::LdImm64 { imm: Imm64::Map(map) | Imm64::MapValue { map, .. }, .. }) => Some(*map),
            _ => None,
        })
        .collect();
    let unused: Vec<u32> = (0..search.best.maps.len() as u32).filter(|n| !used.contains(n)).collect();
    let all: BTreeSet<u32> = unused.iter().copied().collect();
    let candidate = without_maps(&search.best, &all);
    if search.attempt(candidate) {
        return;
    }
    for n in unused.into_iter().rev() {
        let candidate = without_maps(&search.best, &BTreeSet::from([n]));
        search.attempt(candidate);
    }
}

fn without_maps(program: &Program, gone: &BTreeSet<u32>) -> Program {
    let new_index = |map: u32| map - gone.range(..map).count() as u32;
    let mut changes = edit::Changes::new();
    for (at, op) in operations(&program.insns) {
        let Ok(mut op) = op else { continue };
        if let Op::LdImm64 { imm: Imm64::Map(map) | Imm64::MapValue { map, .. }, .. } = &mut op {
            *map = new_index(*map);
            changes.insert(at, vec![op]);
        }
    }
    let mut smaller = edit::apply(program, &changes).unwrap_or_else(|_| program.clone());
    let mut n = 0..;
    smaller.maps.retain(|_| n.next().is_none_or(|n| !gone.contains(&n)));
    smaller
}

/// Makes maps smaller and plainer.
pub(super) fn shrink_maps(search: &mut Search<'_>) {
    const KEY_OF_ARRAY: u32 = 4;
    for n in 0..search.best.maps.len() {
        let mut attempt =
            |change: &dyn Fn(&mut MapDef)| search.attempt_with(|p| p.maps.get_mut(n).into_iter().for_each(change));
        attempt(&|map| map.init.clear());
        while attempt(&|map| {
            map.init.pop();
        }) {}
        attempt(&|map| map.init.iter_mut().flatten().for_each(|b| *b = 0));
        attempt(&|map| map.frozen = false);
        attempt(&|map| map.flags = 0);
        attempt(&|map| (map.map_type, map.key_size) = (MapType::Array, KEY_OF_ARRAY));
        let fields: [fn(&mut MapDef) -> &mut u32; 3] =
            [|map| &mut map.max_entries, |map| &mut map.value_size, |map| &mut map.key_size];
        for field in fields {
            let smaller: [fn(u32) -> u32; 6] =
                [|_| 1, |_| 4, |_| 8, |n| if n > 1 { 1 << n.ilog2() } else { n }, |n| n / 2, |n| n.saturating_sub(1)];
            while smaller.iter().any(|new| attempt(&|map| *field(map) = new(*field(map)))) {}
        }
    }
}

/// The plainest type that does, without attach type, flags and a BTF of its own.
pub(super) fn plain_type(search: &mut Search<'_>) {
    let _ = PLAIN_TYPES
        .into_iter()
        .any(|plain| search.attempt_with(|p| (p.prog_type, p.expected_attach_type, p.prog_flags) = (plain, 0, 0)));
    search.attempt_with(|p| p.expected_attach_type = 0);
    search.attempt_with(|p| p.prog_flags = 0);
    search.attempt_with(|p| {
        p.btf = None;
        p.btf_optional = false;
        p.funcs.iter_mut().for_each(|f| f.type_id = None);
    });
    search.attempt_with(|p| p.funcs.clear());
}

/// Short names and the usual linkage.
pub(super) fn plain_names(search: &mut Search<'_>) {
    search.attempt_with(|p| {
        for (n, func) in p.funcs.iter_mut().enumerate() {
            func.name = if func.insn.0 == 0 { "main".to_owned() } else { format!("f{n}") };
        }
    });
    search.attempt_with(|p| {
        for (n, map) in p.maps.iter_mut().enumerate() {
            map.name = format!("m{n}");
        }
    });
    search.attempt_with(|p| p.funcs.iter_mut().for_each(|f| f.linkage = usual_linkage(f)));
}
