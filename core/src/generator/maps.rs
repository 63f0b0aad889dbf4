//! The maps that a program uses, created when they are first used.

use super::spec::Spec;
use crate::kernel::MapType;
use crate::program::MapDef;

/// Bytes of the value of each map that is addressed directly.
pub(super) const VALUE_BYTES: u16 = 64;
/// Only the program may not write the map.
const READ_ONLY_FOR_PROGRAMS: u32 = 128;

/// The maps that there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapUse {
    /// Where results go: one value.
    Out,
    /// Where unknown values come from: one value.
    Words,
    /// Constants that the verifier knows: one value, frozen.
    Rodata,
    /// An array of several values.
    Array,
    /// A hash table.
    Hash,
}

/// Maps by index.
#[derive(Default, Debug)]
pub(super) struct Maps(Vec<MapUse>);

impl Maps {
    /// The index of a map, which exists from now on.
    pub(super) fn index(&mut self, map: MapUse) -> u32 {
        let known = self.0.iter().position(|m| *m == map);
        known.unwrap_or_else(|| {
            self.0.push(map);
            self.0.len() - 1
        }) as u32
    }

    pub(super) fn finish(self, spec: &Spec) -> Vec<MapDef> {
        self.0.into_iter().map(|map| definition(map, spec)).collect()
    }
}

fn definition(map: MapUse, spec: &Spec) -> MapDef {
    let base = MapDef {
        map_type: MapType::Array,
        key_size: 4,
        value_size: u32::from(VALUE_BYTES),
        max_entries: 1,
        ..MapDef::default()
    };
    let words = |at: fn(usize, &Spec) -> u64| (0..8).flat_map(|n| at(n, spec).to_le_bytes()).collect::<Vec<u8>>();
    match map {
        MapUse::Out => MapDef { name: "out".to_owned(), ..base },
        MapUse::Words => MapDef { name: "words".to_owned(), init: vec![words(word)], ..base },
        MapUse::Rodata => MapDef {
            name: "rodata".to_owned(),
            flags: READ_ONLY_FOR_PROGRAMS,
            init: vec![words(|n, _| RODATA[n])],
            frozen: true,
            ..base
        },
        MapUse::Array => MapDef {
            name: "array".to_owned(),
            value_size: 16,
            max_entries: 4,
            init: vec![spec.words[0].get().to_le_bytes().repeat(4)],
            ..base
        },
        MapUse::Hash => {
            MapDef { name: "hash".to_owned(), map_type: MapType::Hash, value_size: 16, max_entries: 4, ..base }
        }
    }
}

/// The constants of the read-only map: a zero first, then counts.
pub(super) const RODATA: [u64; 8] = [0, 3, 1, 5, 0, 2, 8, 0];

/// The words map: small counts, a zero, and values that the Spec chooses.
fn word(n: usize, spec: &Spec) -> u64 {
    match n {
        0 => u64::from(spec.words[0].below(8)),
        1 => u64::from(spec.words[1].below(4)),
        2 => 0,
        _ => spec.words[n % 4].get() as i64 as u64,
    }
}
