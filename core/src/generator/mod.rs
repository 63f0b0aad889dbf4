//! The generator: from bytes or a seed to a program worth verifying, with inputs.
//!
//! A [`Spec`] describes a case by kinds: `Arbitrary`-derived, so that any bytes give one. [`lower`] turns it into a well-formed
//! program and says what is in it ([`Features`]). Most programs are acceptable; mistakes are planted on purpose and
//! seldom. How a case is made, and how to add a kind: `core/docs/generator.md`.
//!
//! Stands for no kernel code. Left out: kfuncs, tail calls, ring buffers, iteration over maps, types whose context BTF
//! describes.
//!
//! Invariants: lowering never panics, is bounded and deterministic; every jump stays inside of its function, and `func_info`
//! agrees with the functions, unless a mistake says otherwise; no run takes long unless the program was mutated.

mod code;
mod features;
mod fun;
mod inputs;
mod kinds;
mod later;
mod linked;
mod lower;
mod maps;
mod memory;
mod mutate;
mod mutate_insns;
mod plan;
mod random;
mod simplify;
mod site;
mod spec;
mod steps;
mod swarm;
#[cfg(test)]
mod tests;

pub use features::{Feature, Features};
pub use kinds::{
    Carried, Contract, Count, Ctx, End, Flags, Frame, Join, Later, Links, Mistake, Prog, Role, Shape, StepKind, Unlink,
};
pub use lower::{Lowered, lower};
pub use mutate::mutate;
pub use mutate_insns::{mutate_program, splice};
pub use random::{SPEC_BYTES, spec_from_seed};
pub use simplify::{simplifications, size};
pub use spec::{Body, Chain, Few, Func, Imm, Paths, Run, Setup, Site, Spec, Step};
pub use swarm::{Dial, Swarm};
