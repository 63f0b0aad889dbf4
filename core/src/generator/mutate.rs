//! Edits of Specs, for a fuzzer that has one worth varying.

use super::spec::{Body, Func, Imm, Setup, Site, Spec, Step};
use arbitrary::{Arbitrary, Unstructured};
use rand::{Rng, RngExt};

/// Bytes that the largest part of a Spec takes.
const PART_BYTES: usize = 192;

/// Edits a Spec: mostly one edit, sometimes several.
pub fn mutate(spec: &mut Spec, rng: &mut impl Rng) {
    let edits = 1 + rng.random_range(0..8u32).saturating_sub(5);
    for _ in 0..edits {
        edit(spec, rng);
    }
}

/// A part that has nothing to do with what was there.
fn fresh<T: for<'a> Arbitrary<'a>>(rng: &mut impl Rng) -> Option<T> {
    let mut bytes = [0; PART_BYTES];
    rng.fill_bytes(&mut bytes);
    T::arbitrary(&mut Unstructured::new(&bytes)).ok()
}

fn renew<T: for<'a> Arbitrary<'a>>(place: &mut T, rng: &mut impl Rng) {
    if let Some(part) = fresh(rng) {
        *place = part;
    }
}

fn edit(spec: &mut Spec, rng: &mut impl Rng) {
    match rng.random_range(0..32u32) {
        0 => renew(&mut spec.swarm, rng),
        1 => spec.swarm.dials = 0,
        2 => renew(&mut spec.prog, rng),
        3 => renew(&mut spec.chain, rng),
        4 => spec.mistakes.clear(),
        5 => renew(&mut spec.words, rng),
        6 | 7 => list(&mut spec.runs, 1, 4, rng),
        8..=11 => funcs(spec, rng),
        12..=14 => {
            if let Some(func) = pick(&mut spec.funcs, rng) {
                edit_func(func, rng);
            }
        }
        15..=24 => edit_body(any_body(spec, rng), rng),
        25 => spec.swarm.refused = rng.random(),
        _ => {
            if let Some(site) = any_site(spec, rng) {
                edit_site(site, rng);
            }
        }
    }
}

fn pick<'a, T>(items: &'a mut [T], rng: &mut impl Rng) -> Option<&'a mut T> {
    if items.is_empty() {
        return None;
    }
    let at = rng.random_range(0..items.len());
    items.get_mut(at)
}

/// Inserts, removes, repeats, replaces or moves an item.
fn list<T: for<'a> Arbitrary<'a> + Clone>(items: &mut Vec<T>, min: usize, max: usize, rng: &mut impl Rng) {
    let len = items.len();
    let at = rng.random_range(0..=len);
    match rng.random_range(0..6u32) {
        0 | 1 if len < max => {
            if let Some(item) = fresh(rng) {
                items.insert(at, item);
            }
        }
        2 if len > min && at < len => drop(items.remove(at)),
        3 if at < len && len < max => items.insert(at, items[at].clone()),
        4 if len > 1 && at < len => items.swap(at, (at + 1) % len),
        _ => {
            if let Some(item) = items.get_mut(at) {
                renew(item, rng);
            }
        }
    }
}

fn funcs(spec: &mut Spec, rng: &mut impl Rng) {
    list(&mut spec.funcs, 0, 6, rng);
}

fn any_body<'a>(spec: &'a mut Spec, rng: &mut impl Rng) -> &'a mut Body {
    let at = rng.random_range(0..=spec.funcs.len());
    let Spec { main, funcs, .. } = spec;
    match funcs.get_mut(at) {
        Some(func) => &mut func.body,
        None => main,
    }
}

fn any_site<'a>(spec: &'a mut Spec, rng: &mut impl Rng) -> Option<&'a mut Site> {
    if rng.random_bool(0.4) { Some(&mut spec.main_site) } else { pick(&mut any_body(spec, rng).sites, rng) }
}

fn edit_func(func: &mut Func, rng: &mut impl Rng) {
    match rng.random_range(0..6u32) {
        0 => renew(&mut func.role, rng),
        1 => renew(&mut func.contract, rng),
        2 => renew(&mut func.carried, rng),
        3 => renew(&mut func.end, rng),
        4 => nudge(&mut func.end_imm, rng),
        _ => func.moves_on = !func.moves_on,
    }
}

fn edit_body(body: &mut Body, rng: &mut impl Rng) {
    match rng.random_range(0..16u32) {
        0 => body.registers = rng.random(),
        1 => body.init = rng.random(),
        2 => renew(&mut body.frame, rng),
        3 => nudge(&mut body.frame_imm, rng),
        4 => list(&mut body.sites, 0, 3, rng),
        5..=9 => list(&mut body.steps, 0, 10, rng),
        _ => {
            if let Some(step) = pick(&mut body.steps, rng) {
                edit_step(step, rng);
            }
        }
    }
}

fn edit_step(step: &mut Step, rng: &mut impl Rng) {
    match rng.random_range(0..6u32) {
        0 => renew(&mut step.kind, rng),
        1 => step.a = rng.random(),
        2 => step.b = rng.random(),
        3 => step.b ^= 1 << rng.random_range(0..8u32),
        _ => nudge(&mut step.imm, rng),
    }
}

fn edit_site(site: &mut Site, rng: &mut impl Rng) {
    match rng.random_range(0..10u32) {
        0 => renew(&mut site.paths, rng),
        1 => renew(&mut site.join, rng),
        2 => site.order = rng.random(),
        3 => std::mem::swap(&mut site.first, &mut site.second),
        4..=7 => edit_setup(&mut site.first, rng),
        _ => edit_setup(&mut site.second, rng),
    }
}

fn edit_setup(setup: &mut Setup, rng: &mut impl Rng) {
    match rng.random_range(0..6u32) {
        0 => setup.callback = rng.random(),
        1 => renew(&mut setup.count, rng),
        2 => nudge(&mut setup.count_imm, rng),
        3 => renew(&mut setup.flags, rng),
        4 => renew(&mut setup.ctx, rng),
        _ => setup.die = rng.random(),
    }
}

fn nudge(imm: &mut Imm, rng: &mut impl Rng) {
    imm.0 = match rng.random_range(0..3u32) {
        0 => imm.0.wrapping_add(1),
        1 => imm.0.wrapping_sub(1),
        _ => rng.random(),
    };
}
