//! From two runs to a finding: what differs, at the first point where it does, and a signature for it.
//!
//! A signature names the property, the kind of event or output, and the field, but no place and no value: it stays while
//! the program is made smaller. An event counts before an output, because it is nearer to the cause.

use super::examine::RunPair;
use super::finding::{Class, Finding};
use crate::exec::{End, Event, Outcome, Place, RegionName, TrapKind, first_difference, first_different_event};
use crate::isa::InsnIdx;

/// The finding of a run that trapped. The place is that of the form that trapped, of the helper form where both did.
pub fn traps(pair: &RunPair) -> Option<Finding> {
    let (form, trap, other) = match (&pair.original.end, &pair.rewritten.end) {
        (End::Trapped(trap), End::Trapped(other)) if trap.kind == other.kind => ("both forms", trap, None),
        (_, End::Trapped(trap)) => ("inlined form", trap, Some(("helper form", &pair.original))),
        (End::Trapped(trap), _) => ("helper form", trap, Some(("inlined form", &pair.rewritten))),
        _ => return None,
    };
    let other = other.map(|(name, outcome)| format!("; {name}: {}", outcome.end)).unwrap_or_default();
    let class = class_of(&trap.kind);
    Some(Finding {
        class,
        signature: format!("{class}:{form}:{}", trap_name(&trap.kind)),
        evidence: format!("{form}, instruction {}: {}{other}", trap.at, trap.kind),
        input: None,
        at: Some(trap.at),
    })
}

/// The finding of two runs, with all events, that differ.
pub fn difference(pair: &RunPair) -> Option<Finding> {
    let finding = |what: String, evidence, at| Finding {
        class: Class::Equivalence,
        signature: format!("{}:{what}", Class::Equivalence),
        evidence,
        input: None,
        at,
    };
    if let Some(found) = first_different_event(&pair.original.trace, &pair.rewritten.trace) {
        let (left, right) = (shown(&found.left, &pair.original), shown(&found.right, &pair.rewritten));
        let evidence = format!("event {}: helper form: {left}; inlined form: {right}", found.at);
        let site = [&found.left, &found.right].into_iter().flatten().find_map(Event::site);
        return Some(finding(events_name(&found.left, &found.right), evidence, site.map(InsnIdx)));
    }
    let found = first_difference(&pair.original, &pair.rewritten)?;
    let evidence = format!("{}: helper form: {}; inlined form: {}", found.place, found.left, found.right);
    Some(finding(place_name(&found.place).to_owned(), evidence, None))
}

fn shown(event: &Option<Event>, outcome: &Outcome) -> String {
    event.as_ref().map_or_else(|| outcome.end.to_string(), Event::to_string)
}

fn class_of(kind: &TrapKind) -> Class {
    let about_stack = matches!(kind, TrapKind::StackOverrun { .. } | TrapKind::SpillTouched { .. });
    if about_stack { Class::Stack } else { Class::Safety }
}

/// A trap without places and values.
fn trap_name(kind: &TrapKind) -> String {
    match kind {
        TrapKind::UninitRegister(_) => "uninitialised register".to_owned(),
        TrapKind::UninitStack { .. } => "uninitialised stack".to_owned(),
        TrapKind::NullPointer(_) => "null pointer".to_owned(),
        TrapKind::WildPointer(_) => "wild pointer".to_owned(),
        TrapKind::DeadFrame(_) => "dead frame".to_owned(),
        TrapKind::OutOfBounds { region: RegionName::Frame, .. } => "out of bounds of the frame".to_owned(),
        TrapKind::OutOfBounds { region, off, .. } => {
            format!("{} {}", if *off < 0 { "before" } else { "past" }, region.kind())
        }
        TrapKind::ReadOnly { region, .. } => format!("write to read-only {}", region.kind()),
        TrapKind::StackOverrun { .. } => "stack overrun".to_owned(),
        TrapKind::SpillTouched { .. } => "spill slot touched".to_owned(),
        TrapKind::TooManyFrames => "too many frames".to_owned(),
        TrapKind::BadArgument { helper, .. } => format!("bad argument of helper {helper}"),
        TrapKind::FramePointerWritten => "frame pointer written".to_owned(),
        TrapKind::LeftProgram => "left the program".to_owned(),
    }
}

/// What two events that should be the same have different.
fn events_name(left: &Option<Event>, right: &Option<Event>) -> String {
    let kind = |event: &Option<Event>| match event {
        Some(Event::LoopEnd { regs: [r0, ..], .. }) if is_error(*r0) => "loop end with an error",
        event => event.as_ref().map_or("end of the run", Event::kind),
    };
    let same = |field: &str| format!("{}:{field}", left.as_ref().map_or("end of the run", Event::kind));
    match (left, right) {
        (Some(Event::Callback { site: a, index: i, .. }), Some(Event::Callback { site: b, index: j, .. })) => {
            same(if a != b {
                "site"
            } else if i != j {
                "index"
            } else {
                "context"
            })
        }
        (Some(Event::LoopEnd { site: a, .. }), Some(Event::LoopEnd { site: b, .. })) if a != b => same("site"),
        (
            Some(Event::LoopEnd { regs: a, defined: d, stack: s, .. }),
            Some(Event::LoopEnd { regs: b, defined: e, stack: t, .. }),
        ) => same(&loop_end_name((a, *d, *s), (b, *e, *t))),
        (Some(Event::Helper { id: i, result: a, .. }), Some(Event::Helper { id: j, result: b, .. })) => {
            same(if i != j {
                "helper"
            } else if a != b {
                "result"
            } else {
                "arguments"
            })
        }
        (Some(Event::Element { .. }), Some(Event::Element { .. })) => same("fields"),
        (a, b) => format!("{}/{}", kind(a), kind(b)),
    }
}

type LoopEnd<'a> = (&'a [u64; 6], u16, u64);

fn loop_end_name((a, defined_a, stack_a): LoopEnd<'_>, (b, defined_b, stack_b): LoopEnd<'_>) -> String {
    const NAMES: [&str; 6] = ["r0", "r6", "r7", "r8", "r9", "r10"];
    for ((name, x), y) in NAMES.iter().zip(a).zip(b) {
        if x != y {
            let part = match (*x as u32 == *y as u32, is_error(*x), is_error(*y)) {
                (true, true, _) => ":upper half of an error",
                (true, ..) => ":upper half",
                (false, false, true) => ":an error in the inlined form alone",
                (false, true, false) => ":an error in the helper form alone",
                _ => "",
            };
            return format!("{name}{part}");
        }
    }
    if defined_a != defined_b {
        return "defined registers".to_owned();
    }
    if stack_a != stack_b { "stack" } else { "other" }.to_owned()
}

/// Whether the lower half of a value is one of the kernel's error numbers, negative.
fn is_error(value: u64) -> bool {
    (-4095..0).contains(&(value as i32))
}

/// A place without its index.
fn place_name(place: &Place) -> &'static str {
    match place {
        Place::End => "end",
        Place::R0 => "r0",
        Place::Ctx(_) => "ctx",
        Place::Packet(_) => "packet",
        Place::Map { .. } => "map",
        Place::Trace(_) => "trace",
    }
}
