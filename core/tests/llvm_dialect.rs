//! Our dialect against LLVM's own tools: what llvm-mc makes of our text, and what we make of llvm-objdump's.
//!
//! The newest installed pair of tools is taken. What it does not know is left out by version; without a pair, the test says so
//! and passes.

#[path = "support/skip.rs"]
mod skip;

use loopdiff::isa::{AluOp, AtomicOp, Cond, Endian, Imm64, Insn, Op, Operand, assemble, decode};
use object::{Object, ObjectSection};
use skip::needed;
use std::path::Path;
use std::process::Command;

/// The tools of one LLVM version.
struct Llvm {
    mc: String,
    objdump: String,
    version: u32,
}

impl Llvm {
    fn newest() -> Option<Llvm> {
        let suffixes = (14..30).rev().map(|n| format!("-{n}")).chain([String::new()]);
        suffixes.map(|s| (format!("llvm-mc{s}"), format!("llvm-objdump{s}"))).find_map(|(mc, objdump)| {
            let version = version_of(&mc)?;
            (version_of(&objdump)? == version).then_some(Llvm { mc, objdump, version })
        })
    }

    fn cpu(&self) -> &'static str {
        if self.version >= 19 { "v4" } else { "v3" }
    }

    /// The `.text` that llvm-mc makes of a source file, left in `object`.
    fn assemble(&self, source: &Path, object: &Path) -> Vec<u8> {
        let cpu = format!("-mcpu={}", self.cpu());
        let mut command = Command::new(&self.mc);
        command.args(["-arch=bpf", &cpu, "-filetype=obj", "-o"]).arg(object).arg(source);
        let out = command.output().expect("llvm-mc runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let bytes = std::fs::read(object).expect("llvm-mc wrote an object");
        let file = object::File::parse(&*bytes).expect("an ELF object");
        file.section_by_name(".text").expect("a .text").data().expect("its bytes").to_vec()
    }

    /// The operations that llvm-objdump prints, one a line.
    fn disassemble(&self, object: &Path) -> Vec<String> {
        let mut command = Command::new(&self.objdump);
        command.args(["-d", "--mattr=+alu32", "--no-show-raw-insn"]).arg(object);
        let out = command.output().expect("llvm-objdump runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let text = String::from_utf8_lossy(&out.stdout);
        let lines = text.lines().filter_map(|line| {
            let (number, op) = line.split_once(':')?;
            number.trim().parse::<u32>().ok()?;
            // A jump's target is printed once more as a symbol.
            let end = op.rfind(" <").filter(|_| op.contains("goto")).unwrap_or(op.len());
            Some(op[..end].trim().to_owned())
        });
        lines.collect()
    }
}

fn version_of(tool: &str) -> Option<u32> {
    let out = Command::new(tool).arg("--version").output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let (_, version) = text.split_once("LLVM version ")?;
    version.split('.').next()?.parse().ok()
}

/// The first version whose llvm-mc reads the operation, of those that were tried (14 and 19); `None` when none does.
fn assembles_since(op: &Op) -> Option<u32> {
    let later = match op {
        Op::Alu { op, .. } => matches!(op, AluOp::SDiv | AluOp::SMod | AluOp::Mod),
        Op::Endian { kind, .. } => *kind == Endian::Bswap,
        Op::Load { signed, .. } => *signed,
        Op::Store { src, .. } => matches!(src, Operand::Imm(_)),
        Op::Atomic { op: AtomicOp::LoadAcquire | AtomicOp::StoreRelease, .. } => return None,
        Op::Atomic { op, .. } => !matches!(
            op,
            AtomicOp::Add { fetch: false }
                | AtomicOp::Or { fetch: false }
                | AtomicOp::And { fetch: false }
                | AtomicOp::Xor { fetch: false }
        ),
        // llvm-mc takes a numeric distance of 16 bits only, though `gotol` has 32.
        Op::Jump { wide: true, off } if i16::try_from(*off).is_err() => return None,
        Op::Jump { wide, .. } => *wide,
        Op::JumpIf { cond, .. } => *cond == Cond::Set,
        Op::MovSx { .. } | Op::MayGoto { .. } | Op::AddrSpaceCast { .. } => true,
        Op::LdImm64 { imm, .. } if !matches!(imm, Imm64::Const(_)) => return None,
        Op::LdInd { imm, .. } if *imm != 0 => return None,
        // A negative helper number is printed as a number, but there is none.
        Op::CallHelper { id } if *id < 0 => return None,
        Op::CallLocal { .. } | Op::CallKfunc { .. } => return None,
        _ => false,
    };
    Some(if later { 19 } else { 14 })
}

/// The same for llvm-objdump, which reads more than llvm-mc.
fn disassembles_since(op: &Op) -> Option<u32> {
    match op {
        Op::Atomic { .. } => assembles_since(op).map(|_| 14),
        Op::Jump { wide: true, .. } => Some(19),
        _ => assembles_since(op),
    }
}

/// Operations of every opcode, with registers and numbers that tell their fields apart.
fn operations() -> Vec<Op> {
    const IMMS: [i32; 16] = [0, 1, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 16, 32, 64, 0x1_0000, -7, i32::MIN];
    let mut ops = Vec::new();
    for code in 0..=255 {
        for (dst, src) in [(0, 0), (3, 0), (0, 9), (4, 10), (3, 7)] {
            for (off, imm) in [0, 1, 8, 16, 32, -5, i16::MIN].iter().flat_map(|off| IMMS.map(|imm| (*off, imm))) {
                let second = Some(Insn::new(0, 0, 0, 0, imm));
                ops.extend(decode(Insn::new(code, dst, src, off, imm), second));
            }
        }
    }
    ops.dedup();
    ops
}

fn bytes(op: &Op) -> Vec<u8> {
    let (first, second) = op.encode();
    [Some(first), second].into_iter().flatten().flat_map(Insn::to_bytes).collect()
}

#[test]
fn llvm_reads_our_text_and_we_read_its_text() {
    let llvm = Llvm::newest().ok_or_else(|| "there are no llvm-mc and llvm-objdump of one version".to_owned());
    let Some(llvm) = needed("llvm", llvm) else { return };
    let dir = tempfile::tempdir().expect("a directory");
    let (source, object) = (dir.path().join("a.s"), dir.path().join("a.o"));
    let known = |since: fn(&Op) -> Option<u32>| {
        let known = move |op: &Op| since(op).is_some_and(|since| since <= llvm.version);
        operations().into_iter().filter(known).collect::<Vec<_>>()
    };

    let ops = known(assembles_since);
    assert!(ops.len() > 1000, "{}", ops.len());
    let text: Vec<String> = ops.iter().map(Op::to_string).collect();
    std::fs::write(&source, text.join("\n") + "\n").expect("a source file");
    let theirs = llvm.assemble(&source, &object);
    let mut rest = theirs.as_slice();
    for (op, text) in ops.iter().zip(&text) {
        let ours = bytes(op);
        let (head, tail) = rest.split_at(ours.len().min(rest.len()));
        assert_eq!(head, ours, "{text}");
        rest = tail;
    }
    assert!(rest.is_empty());

    let ops = known(disassembles_since);
    let raw: Vec<String> = ops.iter().flat_map(bytes).map(|b| format!(".byte {b}")).collect();
    std::fs::write(&source, raw.join("\n") + "\n").expect("a source file");
    llvm.assemble(&source, &object);
    let lines = llvm.disassemble(&object);
    assert_eq!(lines.len(), ops.len());
    for (op, text) in ops.iter().zip(&lines) {
        let ours = assemble(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(ours.op, *op, "{text}");
    }
}
