//! The passes that come after the removal of nops, for a comparison with a kernel's dump. The program that our executor
//! runs never goes through them.
//!
//! Stands for `convert_ctx_accesses` and `do_misc_fixups` (6.1 … 7.3) on x86-64 with JIT, `CAP_PERFMON` and no
//! mitigations: guards around divisions, array and hash lookups, `get_smp_processor_id`, `jiffies64`, `may_goto`, and
//! access to the context of sockets and XDP, packet loads, the prologue of classifiers that write packets, and the clearing of
//! upper halves. Fields whose value belongs to one build of a kernel, or to one boot, are
//! marked as [`Wild`].
//!
//! Left out, and answered by name where it matters ([`LateError::NotModelled`]): `BPF_F_TEST_RND_HI32`, the other inlined helpers, lookups in the
//! other map types, rarer context fields, kfuncs, probed loads, arenas, speculation barriers; that in 6.1 jumps to the first
//! instruction lead through the prologue again.

use super::patches::Patches;
use super::result::Rewritten;
use super::text::Text;
use super::{packet, upper_half};
use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::{MapType, MayGotoForm, ProgType, Rules, SmpProcessorId};
use crate::program::{Layout, Program, SubprogIdx};
use std::collections::BTreeSet;

/// A field of a late instruction that cannot be compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Wild {
    /// Every field counts.
    Nothing,
    /// `off` is a place in an object of the kernel.
    Off,
    /// `imm` is an address or a place in an object of the kernel.
    Imm,
}

/// A program as a kernel's dump shows it, as far as that can be known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Late {
    /// Instructions; calls and function references as in a program, not as in a dump.
    pub insns: Vec<Insn>,
    /// For each instruction, what cannot be compared.
    pub wild: Vec<Wild>,
    /// For each instruction, the one of the rewritten program that it came from.
    pub origin: Vec<InsnIdx>,
    /// Its subprograms.
    pub layout: Layout,
}

/// Why there is no late program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LateError {
    /// A jump of 16 bits would have to reach too far across this instruction of the rewritten program; kernels refuse
    /// the program.
    JumpTooLong(InsnIdx),
    /// Something is not modelled.
    NotModelled {
        /// The instruction of the rewritten program.
        at: InsnIdx,
        /// What, by name.
        what: String,
    },
}

/// Applies the late passes to a copy.
///
/// Kernel: `do_misc_fixups` (6.1 … 7.3).
#[doc(alias = "do_misc_fixups")]
pub fn late_fixups(rewritten: &Rewritten, rules: &Rules) -> Result<Late, LateError> {
    let program = &rewritten.program;
    if program.prog_flags & TEST_RND_HI32 != 0 {
        let what = "BPF_F_TEST_RND_HI32: random upper halves of 32-bit results".to_owned();
        return Err(LateError::NotModelled { at: InsnIdx(0), what });
    }
    let mut text = Text::resume(&program.insns, &rewritten.layout, &rewritten.stack_depth);
    let mut wild = Vec::new();
    if rewritten.writes_packet {
        prologue(&mut text, &mut wild, program.prog_type)?;
    }
    let prologue = wild.len();
    let upper_halves = upper_half::to_clear(program, &rewritten.layout, rules.rewrite.upper_halves);
    let layout = text.layout();
    let patches = Patches::new(text);
    let mut pass =
        Pass { patches, prologue, layout, wild, rewritten, program, rules, upper_halves, may_goto: Vec::new() };
    let walked = (0..program.insns.len() as u32).try_for_each(|n| pass.instruction(InsnIdx(n)));
    let Pass { patches, may_goto, mut wild, .. } = pass;
    // A jump that is too long comes before whatever ended the pass.
    let too_long = |(at, _): (usize, _)| LateError::JumpTooLong(InsnIdx((at - prologue) as u32));
    let mut text = patches.commit().map_err(too_long)?;
    walked?;
    start_may_goto(&mut text, &mut wild, &may_goto, rules.rewrite.may_goto)?;
    Ok(Late { insns: text.insns().to_vec(), origin: text.origin().to_vec(), layout: text.layout(), wild })
}

/// Kernel: the prologue in `convert_ctx_accesses` (6.1 … 7.3).
fn prologue(text: &mut Text, wild: &mut Vec<Wild>, prog_type: ProgType) -> Result<(), LateError> {
    let (Some(first), mut patch) = (text.insn(0), packet::prologue(prog_type)) else {
        return Ok(());
    };
    wild.extend(patch.iter().map(|(_, wild)| *wild));
    let added = patch.len();
    patch.push((first, Wild::Nothing));
    let insns: Vec<Insn> = patch.iter().map(|(i, _)| *i).collect();
    text.replace(0, &insns).map_err(|_| LateError::JumpTooLong(InsnIdx(0)))?;
    text.redirect_jumps(0, added);
    Ok(())
}

/// The counter starts at the entry of a subprogram; jumps to the entry go behind that.
///
/// The kernel moves the first instruction as it is: a call or function reference there that points backwards then
/// misses its target, and the program is refused.
fn start_may_goto(
    text: &mut Text,
    wild: &mut Vec<Wild>,
    subprogs: &[SubprogIdx],
    form: MayGotoForm,
) -> Result<(), LateError> {
    for subprog in subprogs {
        let Some((start, depth)) = text.subprog(*subprog).map(|s| (s.start as usize, s.depth)) else {
            continue;
        };
        let store = |below: i32, imm| Insn::new(0x7a, FP, 0, (-i32::from(depth) - below) as i16, imm);
        let mut patch = match form {
            MayGotoForm::Timed => vec![store(16, 0xffff), store(8, 0)],
            _ => vec![store(8, crate::kernel::limits::LOOPS_MAX as i32)],
        };
        let slots = patch.len();
        let Some(first) = text.insn(start) else {
            continue;
        };
        patch.push(first);
        let at = text.origin().get(start).copied().unwrap_or_default();
        text.replace(start, &patch).map_err(|_| LateError::JumpTooLong(at))?;
        text.redirect_jumps(start, slots);
        wild.splice(start..start, std::iter::repeat_n(Wild::Nothing, slots));
    }
    Ok(())
}

/// `BPF_F_TEST_RND_HI32`: the kernel fills the upper half of what an instruction of 32 bits leaves with random bits, where it
/// found that nobody reads it.
///
/// Kernel: `opt_subreg_zext_lo32_rnd_hi32` (6.1 … 7.3).
#[doc(alias = "opt_subreg_zext_lo32_rnd_hi32")]
const TEST_RND_HI32: u32 = 1 << 2;

/// Helpers that return sockets, whose fields are loaded by what the kernel writes in their place.
const SOCKET_HELPERS: [i32; 14] = [84, 85, 95, 96, 98, 99, 136, 137, 138, 139, 140, 178, 196, 158];

type Patch = Vec<(Insn, Wild)>;

const FP: u8 = 10;

struct Pass<'a> {
    patches: Patches,
    /// Instructions before the program's first one.
    prologue: usize,
    /// Of the text before the patches.
    layout: Layout,
    /// One for each instruction of the text that is final.
    wild: Vec<Wild>,
    rewritten: &'a Rewritten,
    program: &'a Program,
    rules: &'a Rules,
    /// After which the upper half of R0 is cleared.
    upper_halves: BTreeSet<InsnIdx>,
    /// Subprograms with a `may_goto`.
    may_goto: Vec<SubprogIdx>,
}

impl Pass<'_> {
    /// Where an instruction of the program is in the text before the patches.
    fn place(&self, at: InsnIdx) -> usize {
        self.prologue + at.at()
    }

    fn instruction(&mut self, at: InsnIdx) -> Result<(), LateError> {
        let place = self.place(at);
        let Some(insn) = self.patches.insn(place) else {
            return Ok(());
        };
        match self.patch(at, insn)? {
            Some(patch) => {
                let insns: Vec<Insn> = patch.iter().map(|(i, _)| *i).collect();
                self.patches.replace(place, &insns);
                self.wild.extend(patch.iter().map(|(_, wild)| *wild));
            }
            None => self.wild.push(Wild::Nothing),
        }
        Ok(())
    }

    /// What an instruction becomes, if it does not stay.
    fn patch(&mut self, at: InsnIdx, insn: Insn) -> Result<Option<Patch>, LateError> {
        if self.rewritten.ctx_accesses.binary_search(&self.original(at)).is_ok() {
            return super::ctx::access(self.program.prog_type, insn)
                .map_err(|what| LateError::NotModelled { at, what });
        }
        match insn.code {
            0x34 | 0x37 | 0x94 | 0x97 => Ok(exact(signed_division_by_minus_one(insn))),
            0x3c | 0x3f | 0x9c | 0x9f => Ok(exact(Some(guarded_division(insn, self.rules.rewrite.scratch_reg)))),
            opcode::MAY_GOTO => Ok(self.may_goto(at, insn)),
            0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 => Ok(Some(packet::legacy_load(insn))),
            _ if self.upper_halves.contains(&at) => Ok(exact(Some(vec![insn, Insn::new(0xbc, 0, 0, 0, 1)]))),
            opcode::CALL if insn.src() == 0 => self.helper(at, insn),
            _ => Ok(None),
        }
    }

    /// Where an instruction of the rewritten program stood in the original one.
    fn original(&self, at: InsnIdx) -> InsnIdx {
        self.rewritten.origin.get(at.at()).copied().unwrap_or_default()
    }

    /// The map that a helper call is always given, by index.
    fn map_of(&self, at: InsnIdx) -> Option<u32> {
        let maps = &self.rewritten.call_maps;
        let found = maps.binary_search_by_key(&self.original(at), |(call, _)| *call).ok()?;
        maps.get(found).map(|(_, map)| *map)
    }

    fn helper(&self, at: InsnIdx, insn: Insn) -> Result<Option<Patch>, LateError> {
        let not_modelled = |what: String| Err(LateError::NotModelled { at, what });
        match insn.imm {
            1 => match self.lookup(at) {
                Ok(patch) => Ok(Some(patch)),
                Err(what) => not_modelled(what),
            },
            8 => Ok(self.smp_processor_id()),
            118 => Ok(Some(vec![
                (Insn::new(opcode::LD_IMM64, 0, 0, 0, 0), Wild::Imm),
                (Insn::default(), Wild::Imm),
                (Insn::new(0x79, 0, 0, 0, 0), Wild::Nothing),
            ])),
            n @ (35 | 107 | 145 | 156 | 158 | 170 | 173 | 176 | 183 | 184 | 185 | 194 | 210) => {
                not_modelled(format!("inlining of helper {n}"))
            }
            n if SOCKET_HELPERS.contains(&n) => not_modelled("accesses of sockets".to_owned()),
            // The address of what a helper is in this kernel, where it was not measured.
            n if !self.rules.rewrite.build.helper_imms().0.iter().any(|(_, number)| *number == n) => {
                Ok(Some(vec![(insn, Wild::Imm)]))
            }
            _ => Ok(None),
        }
    }

    fn smp_processor_id(&self) -> Option<Patch> {
        let mov = match self.rules.rewrite.smp_processor_id {
            SmpProcessorId::Call => return None,
            SmpProcessorId::PerCpuLoad32 => 0xb4,
            SmpProcessorId::PerCpuLoad64 => 0xb7,
        };
        Some(vec![
            (Insn::new(mov, 0, 0, 0, 0), Wild::Imm),
            (Insn::new(0xbf, 0, 0, -1, 0), Wild::Nothing),
            (Insn::new(0x61, 0, 0, 0, 0), Wild::Nothing),
        ])
    }

    /// Kernel: `array_map_gen_lookup`, `htab_map_gen_lookup`, `htab_lru_map_gen_lookup` (6.1 … 7.3).
    #[doc(alias = "array_map_gen_lookup")]
    fn lookup(&self, at: InsnIdx) -> Result<Patch, String> {
        let plain_call = (Insn::new(opcode::CALL, 0, 0, 0, 0), Wild::Imm);
        // With several maps the helper decides when it runs.
        let Some(map) = self.map_of(at) else { return Ok(vec![plain_call]) };
        let map = self.program.maps.get(map as usize).ok_or_else(|| "lookup in a map that is not there".to_owned())?;
        if matches!(map.map_type, MapType::Sockmap | MapType::Sockhash | MapType::Xskmap) {
            return Err("accesses of sockets".to_owned());
        }
        let exact = |insn| (insn, Wild::Nothing);
        // The value of a hash element lies behind the element's head and its key.
        let to_value = (Insn::new(0x07, 0, 0, 0, 0), Wild::Imm);
        match map.map_type {
            MapType::Array => {
                let size = map.value_size.checked_next_multiple_of(8).unwrap_or(u32::MAX);
                let scale = if size.is_power_of_two() {
                    Insn::new(0x67, 0, 0, 0, size.trailing_zeros() as i32)
                } else {
                    Insn::new(0x27, 0, 0, 0, size as i32)
                };
                Ok([
                    Insn::new(0x07, 1, 0, 0, self.rules.rewrite.build.array_value_offset()),
                    Insn::new(0x61, 0, 2, 0, 0),
                    Insn::new(0x35, 0, 0, 3, map.max_entries as i32),
                    scale,
                    Insn::new(0x0f, 0, 1, 0, 0),
                    Insn::new(opcode::JA, 0, 0, 1, 0),
                    Insn::new(0xb7, 0, 0, 0, 0),
                ]
                .map(exact)
                .to_vec())
            }
            MapType::Hash => Ok(vec![plain_call, exact(Insn::new(0x15, 0, 0, 1, 0)), to_value]),
            MapType::LruHash => Ok(vec![
                plain_call,
                exact(Insn::new(0x15, 0, 0, 4, 0)),
                (Insn::new(0x71, 1, 0, 0, 0), Wild::Off),
                exact(Insn::new(0x55, 1, 0, 1, 0)),
                (Insn::new(0x72, 0, 0, 0, 1), Wild::Off),
                to_value,
            ]),
            MapType::PercpuArray | MapType::PercpuHash | MapType::LruPercpuHash => {
                Err(format!("inlining of a lookup in a {} map", map.map_type))
            }
            MapType::ArrayOfMaps | MapType::HashOfMaps | MapType::Xskmap => {
                Err(format!("inlining of a lookup in a {} map", map.map_type))
            }
            _ => Ok(vec![plain_call]),
        }
    }

    /// A `may_goto` counts down in a slot below everything else in the frame.
    fn may_goto(&mut self, at: InsnIdx, insn: Insn) -> Option<Patch> {
        let subprog = self.layout.containing(InsnIdx(self.place(at) as u32));
        let depth = self.patches.text().subprog(subprog).map_or(0, |s| s.depth);
        let extra = match self.rules.rewrite.may_goto {
            MayGotoForm::Unknown => return None,
            MayGotoForm::Counted => 8,
            MayGotoForm::Timed => 16,
        };
        if self.may_goto.last() != Some(&subprog) {
            self.may_goto.push(subprog);
        }
        let scratch = self.rules.rewrite.scratch_reg;
        let slot = (-i32::from(depth) - extra) as i16;
        let steps = if extra == 8 { 2 } else { 5 };
        let exit = if insn.off >= 0 { insn.off.wrapping_add(steps) } else { insn.off.wrapping_sub(1) };
        let load = Insn::new(0x79, scratch, FP, slot, 0);
        let leave = Insn::new(0x15, scratch, 0, exit, 0);
        let count = Insn::new(0x17, scratch, 0, 0, 1);
        let store = Insn::new(0x7b, FP, scratch, slot, 0);
        let wild = |insns: &[Insn]| insns.iter().map(|i| (*i, Wild::Nothing)).collect::<Patch>();
        if extra == 8 {
            return Some(wild(&[load, leave, count, store]));
        }
        let again = Insn::new(0x55, scratch, 0, 2, 0);
        let argument = Insn::new(0xb7, scratch, 0, 0, i32::from(slot));
        let mut patch = wild(&[load, leave, count, again, argument]);
        patch.push((Insn::new(opcode::CALL, 0, 0, 0, 0), Wild::Imm));
        patch.push((store, Wild::Nothing));
        Some(patch)
    }
}

fn exact(insns: Option<Vec<Insn>>) -> Option<Patch> {
    Some(insns?.into_iter().map(|i| (i, Wild::Nothing)).collect())
}

const CLASS_64: u8 = 7;
const SIGNED: i16 = 1;

/// Division by the constant -1 is negation, and its remainder is 0.
fn signed_division_by_minus_one(insn: Insn) -> Option<Vec<Insn>> {
    if insn.off != SIGNED || insn.imm != -1 {
        return None;
    }
    let class = insn.code & 7;
    let division = insn.code >> 4 == 3;
    Some(vec![if division {
        Insn::new(0x80 | class, insn.dst(), 0, 0, 0)
    } else {
        Insn::new(0xb4, insn.dst(), 0, 0, 0)
    }])
}

/// A division by a register never meets 0, and a signed one never meets -1.
fn guarded_division(insn: Insn, scratch: u8) -> Vec<Insn> {
    let wide = insn.code & 7 == CLASS_64;
    let (class, jump) = if wide { (CLASS_64, 5) } else { (4, 6) };
    let (dst, src) = (insn.dst(), insn.src());
    let division = insn.code >> 4 == 3;
    let skip = |n| Insn::new(opcode::JA, 0, 0, n, 0);
    let clear_upper_half = Insn::new(0xbc, dst, dst, 0, 0);
    // After one was added to the divisor, 0 and 1 mean -1 and 0.
    let shifted = [Insn::new(0xbf, scratch, src, 0, 0), Insn::new(class, scratch, 0, 0, 1)];
    let mut patch = Vec::with_capacity(9);
    match (division, insn.off == SIGNED) {
        (true, true) => {
            patch.extend(shifted);
            patch.extend([
                Insn::new(0x20 | jump, scratch, 0, 4, 1),
                Insn::new(0x10 | jump, scratch, 0, 1, 0),
                Insn::new(0xb0 | class, dst, 0, 0, 0),
                Insn::new(0x80 | class, dst, 0, 0, 0),
                skip(1),
                insn,
            ]);
        }
        (false, true) => {
            patch.extend(shifted);
            patch.extend([
                Insn::new(0x20 | jump, scratch, 0, 3, 1),
                Insn::new(0x10 | jump, scratch, 0, if wide { 3 } else { 4 }, 1),
                Insn::new(0xb4, dst, 0, 0, 0),
                skip(1),
                insn,
            ]);
        }
        (true, false) => {
            patch.extend([Insn::new(0x50 | jump, src, 0, 2, 0), Insn::new(0xac, dst, dst, 0, 0), skip(1), insn])
        }
        (false, false) => patch.extend([Insn::new(0x10 | jump, src, 0, if wide { 1 } else { 2 }, 0), insn]),
    }
    if !division && !wide {
        patch.extend([skip(1), clear_upper_half]);
    }
    patch
}
