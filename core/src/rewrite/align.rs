//! Reads off a kernel's dump what its verifier must have found: which instructions were reached, which loops inlined.
//!
//! The original program is laid beside the dump from the top. Where the dump allows for more than one reading (a branch
//! that is gone may have gone either way), each is tried.

use super::late::{Wild, late_fixups};
use super::provenance::provenance;
use super::testing::all_fit;
use super::text::reference;
use super::{Rewritten, normalise};
use crate::isa::{Insn, InsnIdx, opcode};
use crate::kernel::limits::HELPER_LOOP;
use crate::kernel::{KernelVersion, Rules};
use crate::program::{Layout, Program, SubprogIdx};
use crate::verifier::{Facts, SiteState, Unfit};

/// One way to read a dump so far.
#[derive(Clone)]
struct Reading {
    at: usize,
    place: usize,
    /// Which subprograms are left.
    left: u32,
    falls_through: bool,
    seen: Vec<bool>,
    targets: Vec<bool>,
    /// Place in the dump of each inlined loop.
    inlined: Vec<Option<usize>>,
    /// Whether a branch that goes only one way jumps.
    jumps: Vec<Option<bool>>,
}

/// Readings that are tried before giving up.
const TRIES_MAX: usize = 200_000;

pub struct Alignment<'a> {
    program: &'a Program,
    layout: Layout,
    dump: Vec<Insn>,
    /// What each original instruction becomes when it stays.
    forms: Vec<Vec<(Insn, Wild)>>,
    open: Vec<Reading>,
    /// Whether the kernel folds branches before it walks.
    folds: bool,
    tries: usize,
}

impl<'a> Alignment<'a> {
    /// `None` when a late pass is not modelled.
    pub fn new(program: &'a Program, dump: &[Insn], rules: &Rules) -> Option<Alignment<'a>> {
        let layout = Layout::of(program);
        let len = program.insns.len();
        let provenance = provenance(program, &layout);
        let untouched = Rewritten {
            program: program.clone(),
            layout: layout.clone(),
            origin: (0..len as u32).map(InsnIdx).collect(),
            stack_depth: vec![0; layout.len()],
            inlined: Vec::new(),
            kept: Vec::new(),
            keeping_calls: Vec::new(),
            ctx_accesses: provenance.ctx_accesses(),
            call_maps: provenance.call_maps(),
            writes_packet: false,
        };
        let late = late_fixups(&untouched, rules).ok()?;
        let mut forms = vec![Vec::new(); len];
        for ((insn, wild), origin) in late.insns.iter().zip(&late.wild).zip(&late.origin) {
            forms[origin.at()].push((*insn, *wild));
        }
        let first = |left| Reading {
            at: 0,
            place: 0,
            left,
            falls_through: true,
            seen: vec![false; len],
            targets: vec![false; len],
            inlined: vec![None; len],
            jumps: vec![None; len],
        };
        let open = (0u32..1 << layout.len()).filter(|left| left & 1 == 1).map(first).collect();
        let dump = normalise(dump, rules.rewrite.build.helper_imms());
        let folds = rules.version == KernelVersion::V7_3;
        Some(Alignment { program, layout, dump, forms, open, folds, tries: 0 })
    }

    /// The next reading that covers the whole dump.
    pub fn next(&mut self, depths: &dyn Fn(&[bool]) -> Option<Vec<u16>>) -> Option<Facts> {
        while let Some(r) = self.open.pop() {
            self.tries += 1;
            if self.tries > TRIES_MAX {
                return None;
            }
            if r.at < self.program.insns.len() {
                self.step(r);
            } else if r.place == self.dump.len()
                && let Some(depths) = depths(&r.seen)
            {
                return Some(self.facts(&r, depths));
            }
        }
        None
    }

    fn facts(&self, r: &Reading, depths: Vec<u16>) -> Facts {
        let mut facts = all_fit(self.program, &depths);
        facts.seen = r.seen.clone();
        let left: Vec<usize> = (0..self.layout.len()).filter(|n| r.seen[self.layout.starts()[*n].at()]).collect();
        for l in &mut facts.loops {
            let at = l.insn.at();
            let Some(place) = r.inlined[at] else {
                l.state = if r.seen[at] { SiteState::Unfit(Unfit::Flags) } else { SiteState::NeverReached };
                continue;
            };
            if facts.stack_depth[l.subprog.at()] == depths[l.subprog.at()] {
                facts.stack_depth[l.subprog.at()] = depths[l.subprog.at()].saturating_sub(24);
            }
            // Which callback it is, the dump knows, unless that one is gone.
            let refs = (0..at).filter(|n| r.seen[*n] && self.program.insns[*n].is_ld_imm64());
            let refs = refs.filter(|n| self.program.insns[*n].src() == opcode::PSEUDO_FUNC);
            let near = refs.max().and_then(|n| {
                self.layout.starting(InsnIdx((n as i64 + 1 + i64::from(self.program.insns[n].imm)) as u32))
            });
            let named =
                self.dump.get(place + 12).and_then(|call| left.get(call.imm as usize)).map(|n| SubprogIdx(*n as u16));
            let gone = near.filter(|n| !r.seen[self.layout.start(*n).at()]);
            if let Some(callback) = gone.or(named) {
                l.state = SiteState::Fit(callback);
            }
        }
        if self.folds {
            facts.folded = self.folded(r).collect();
        }
        facts
    }

    /// Branches that go only one way although the other way was reached too.
    fn folded(&self, r: &Reading) -> impl Iterator<Item = (InsnIdx, i16)> {
        let decided = r.jumps.iter().enumerate().filter_map(|(at, jumps)| Some((at, (*jumps)?)));
        decided.filter_map(|(at, jumps)| {
            let off = self.program.insns[at].off;
            let target = (at as i64 + 1 + i64::from(off)) as usize;
            (r.seen[at + 1] && r.seen[target]).then_some((InsnIdx(at as u32), if jumps { off } else { 0 }))
        })
    }

    /// Pushes what may follow, the likeliest last.
    fn step(&mut self, mut r: Reading) {
        let at = r.at;
        let starts_subprog = at > 0 && self.layout.starting(InsnIdx(at as u32)).is_some();
        let subprog = self.layout.containing(InsnIdx(at as u32));
        if starts_subprog && r.left & 1 << subprog.at() == 0 {
            r.falls_through = false;
            r.at = self.layout.end(subprog).at();
            self.open.push(r);
            return;
        } else if !starts_subprog && !r.falls_through && !r.targets[at] {
            r.at += 1;
            self.open.push(r);
            return;
        }
        let insn = self.program.insns[at];
        r.seen[at] = true;
        r.at += 1;
        r.falls_through = true;
        let target = reference(insn).map(|d| (at as i64 + 1 + d) as usize);
        match (insn.code, target) {
            (opcode::LD_IMM64, _) => {
                r.seen[at + 1] = true;
                r.at += 1;
                self.matching(r, at, 2);
            }
            (opcode::EXIT, _) => {
                r.falls_through = false;
                self.matching(r, at, 1);
            }
            (opcode::CALL, _) if insn.src() == 0 && insn.imm == HELPER_LOOP => self.site(r, at),
            (opcode::CALL, _) | (_, None) => self.matching(r, at, 1),
            (opcode::JA | opcode::JA32, Some(t)) => self.jump(r, t),
            (_, Some(t)) => {
                // Always taken, never taken, both.
                r.jumps[at] = Some(true);
                self.jump(r.clone(), t);
                r.jumps[at] = Some(false);
                self.open.push(r.clone());
                r.jumps[at] = None;
                if t < r.targets.len() {
                    r.targets[t] = true;
                }
                self.matching(r, at, 1);
            }
        }
    }

    /// A jump that is always taken: it stays, or was a nop in the end.
    fn jump(&mut self, mut r: Reading, target: usize) {
        r.falls_through = false;
        if target < r.targets.len() {
            r.targets[target] = true;
        }
        let stays = matches!(self.dump.get(r.place), Some(i) if matches!(i.code, opcode::JA | opcode::JA32));
        self.open.push(r.clone());
        if stays {
            r.place += 1;
            self.open.push(r);
        }
    }

    fn site(&mut self, mut r: Reading, at: usize) {
        let head: Vec<String> = self.dump.iter().skip(r.place).take(2).map(|i| format!("{i:?}")).collect();
        if head == ["b501020000008000", "b4000000f9ffffff"] {
            r.inlined[at] = Some(r.place);
            r.place += 19;
            self.open.push(r);
        } else {
            self.matching(r, at, 1);
        }
    }

    /// Goes on when the instruction stands in the dump as it is; distances may differ.
    fn matching(&mut self, mut r: Reading, at: usize, halves: usize) {
        for (ours, wild) in self.forms[at..at + halves].iter().flatten() {
            let Some(theirs) = self.dump.get(r.place) else {
                return;
            };
            let blank = |i: Insn| match (reference(i).is_some() || i.code == 0, wild) {
                (true, _) if matches!(i.code, 0 | opcode::LD_IMM64 | opcode::CALL) => Insn { off: 0, imm: 0, ..i },
                (true, _) | (_, Wild::Off) => Insn { off: 0, ..i },
                (_, Wild::Imm) => Insn { imm: 0, ..i },
                _ if i.is_ld_imm64() && i.src() != 0 => Insn { imm: 0, ..i },
                _ => i,
            };
            if blank(*ours) != blank(*theirs) || !self.reaches(&r, at, *ours, *theirs) {
                return;
            }
            r.place += 1;
        }
        self.open.push(r);
    }

    /// Whether a call or function reference has the number of the subprogram that it means, unless that one is gone.
    fn reaches(&self, r: &Reading, at: usize, ours: Insn, theirs: Insn) -> bool {
        let number = match (ours.code, ours.src()) {
            (opcode::LD_IMM64, opcode::PSEUDO_FUNC) => self.dump.get(r.place + 1).map(|i| i.imm),
            (opcode::CALL, opcode::PSEUDO_CALL) => Some(theirs.imm),
            _ => return true,
        };
        let target = (at as i64 + 1 + i64::from(self.program.insns[at].imm)) as u32;
        let subprog = self.layout.starting(InsnIdx(target)).expect("start").at();
        let before = (r.left & ((1 << subprog) - 1)).count_ones();
        r.left & 1 << subprog == 0 || r.left.count_ones() == 1 || number == Some(before as i32)
    }
}
