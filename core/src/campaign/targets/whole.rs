//! Whole programs with every field, through every form.

use crate::btf::{Linkage, MinimalFunc, minimal};
use crate::guest::Ask;
use crate::isa::{Insn, InsnIdx};
use crate::kernel::{MapType, ProgType};
use crate::program::{Func, Input, MapDef, Program, json, text};
use crate::{guest, repro};
use arbitrary::{Result, Unstructured};

/// Bytes of initial values up to which a request is made.
const REQUEST_BYTES_MAX: u64 = 1 << 20;

/// A program is written and read back with all its fields: as JSON, one or many, and as assembly. Other forms take it.
pub fn program(bytes: &[u8]) {
    let Ok(program) = any_program(&mut Unstructured::new(bytes)) else { return };
    for form in [json::Form::Document, json::Form::Lines] {
        for programs in [vec![program.clone()], vec![program.clone(); 2]] {
            let again = json::read(json::write(&programs, form).as_bytes(), form);
            assert_eq!(again.as_ref(), Ok(&programs), "{form:?} reads back");
        }
    }
    let written = text::write(&program);
    assert_eq!(text::parse(&written).map(|file| file.program).as_ref(), Ok(&program), "assembly reads back\n{written}");
    let _ = repro::raw(&program);
    // A request has the initial values whole, as long as the map says.
    let values = program.maps.iter().map(|map| u64::from(map.value_size) * map.init.len() as u64);
    if values.sum::<u64>() <= REQUEST_BYTES_MAX {
        let _ = guest::request(&program, &Ask::default());
    }
}

fn any_program(u: &mut Unstructured<'_>) -> Result<Program> {
    let mut insns = some(u, 12, |u| Ok(Insn::from_bytes(u.arbitrary()?)))?;
    insns.push(Insn::from_bytes(u.arbitrary()?));
    let funcs = some(u, 4, any_func)?;
    Ok(Program {
        name: any_text(u)?,
        prog_type: *u.choose(ProgType::ALL)?,
        expected_attach_type: u.arbitrary()?,
        prog_flags: u.arbitrary()?,
        insns,
        btf: any_btf(u, &funcs)?,
        btf_optional: u.arbitrary()?,
        funcs,
        maps: some(u, 3, any_map)?,
        inputs: some(u, 3, |u| Ok(Input { ctx: any_bytes(u)?, data: any_bytes(u)?, seed: u.arbitrary()? }))?,
        notes: some(u, 2, any_text)?,
    })
}

fn any_func(u: &mut Unstructured<'_>) -> Result<Func> {
    const LETTERS: &[u8] = b"abr0_.";
    let mut name = String::from("f");
    for _ in 0..u.int_in_range(0..=5)? {
        name.push(char::from(*u.choose(LETTERS)?));
    }
    let insn = InsnIdx(u.int_in_range(0..=20)?);
    Ok(Func { insn, name, linkage: *u.choose(&Linkage::ALL)?, args: u.arbitrary()?, type_id: u.arbitrary()? })
}

/// None, one that fits the functions, or bytes that are none.
fn any_btf(u: &mut Unstructured<'_>, funcs: &[Func]) -> Result<Option<Vec<u8>>> {
    let minimal_funcs = || funcs.iter().map(|f| MinimalFunc { name: &f.name, linkage: f.linkage, args: f.args % 6 });
    Ok(match u.int_in_range(0..=2)? {
        0 => None,
        1 => Some(minimal(&minimal_funcs().collect::<Vec<_>>()).0.encode()),
        _ => Some(any_bytes(u)?),
    })
}

fn any_map(u: &mut Unstructured<'_>) -> Result<MapDef> {
    Ok(MapDef {
        name: any_text(u)?,
        map_type: *u.choose(MapType::ALL)?,
        key_size: u.arbitrary()?,
        value_size: u.arbitrary()?,
        max_entries: u.arbitrary()?,
        flags: u.arbitrary()?,
        init: some(u, 2, any_bytes)?,
        frozen: u.arbitrary()?,
    })
}

fn any_text(u: &mut Unstructured<'_>) -> Result<String> {
    let len = u.int_in_range(0..=8)?;
    Ok(String::from_utf8_lossy(u.bytes(len)?).into_owned())
}

fn any_bytes(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let len = u.int_in_range(0..=16)?;
    Ok(u.bytes(len)?.to_vec())
}

/// Up to `max` of something.
fn some<T>(
    u: &mut Unstructured<'_>,
    max: usize,
    mut one: impl FnMut(&mut Unstructured<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = u.int_in_range(0..=max)?;
    (0..count).map(|_| one(u)).collect()
}
