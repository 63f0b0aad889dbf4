//! `func_info`: which BTF function each subprogram is.
//!
//! Names and linkage are what [`Program::funcs`] says of them; prototypes come from the BTF that a program brings along
//! ([`Program::btf`]), or are built.

use super::signature::{Reading, Signature};
use super::{Refusal, Subprog};
use crate::btf::{Body, Btf, Linkage, TypeId};
use crate::isa::InsnIdx;
use crate::kernel::StructureRules;
use crate::program::{Func, Program};
use crate::verifier::Errno;

/// What the verifier needs to know of a BTF function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BtfFunction {
    /// First instruction, by `func_info`.
    pub insn: InsnIdx,
    /// Name.
    pub name: String,
    /// Linkage.
    pub linkage: Linkage,
    /// Number of arguments.
    pub args: u8,
}

/// The BTF functions of a program, in the order of `func_info`; empty for a program without BTF.
///
/// # Errors
/// A BTF blob with an exception callback is not modelled.
pub fn functions(program: &Program) -> Result<Vec<BtfFunction>, Refusal> {
    const EXCEPTION_TAG: &[u8] = b"exception_callback:";
    if let Some(blob) = &program.btf
        && blob.windows(EXCEPTION_TAG.len()).any(|w| w == EXCEPTION_TAG)
    {
        return Err(Refusal::unsupported(None, "exception callback"));
    }
    let function = |f: &Func| BtfFunction { insn: f.insn, name: f.name.clone(), linkage: f.linkage, args: f.args };
    Ok(program.funcs.iter().map(function).collect())
}

/// Checks what the load of the BTF itself would refuse. Its log is not that of the program.
///
/// Kernel: `btf_func_check_meta` (6.1 … 7.3).
#[doc(alias = "btf_func_check_meta")]
pub(super) fn check_btf(program: &Program) -> Result<(), Refusal> {
    for f in functions(program)? {
        if f.linkage == Linkage::Extern {
            let text = format!("(BTF: function \"{}\": Invalid func linkage)", f.name);
            return Err(Refusal::rejected(Some(f.insn), Errno::EINVAL, text));
        }
    }
    Ok(())
}

/// Checks that the records ascend from instruction 0, and name functions.
///
/// Kernel: `check_btf_func_early` (6.7 … 6.18), `prepare_btf_func` (7.3).
#[doc(alias = "prepare_btf_func")]
#[doc(alias = "check_btf_func_early")]
pub(super) fn check_order(program: &Program) -> Result<(), Refusal> {
    let mut previous = None;
    for func in &program.funcs {
        check_place(previous, func)?;
        check_type(program, func)?;
        previous = Some(func.insn);
    }
    Ok(())
}

fn check_place(previous: Option<InsnIdx>, func: &Func) -> Result<(), Refusal> {
    let at = func.insn;
    match previous {
        None if at != InsnIdx(0) => {
            Err(Refusal::invalid(at, format!("nonzero insn_off {at} for the first func info record")))
        }
        Some(p) if at <= p => {
            let text = format!("same or smaller insn offset ({at}) than previous func info record ({p})");
            Err(Refusal::invalid(at, text))
        }
        _ => Ok(()),
    }
}

fn check_type(program: &Program, func: &Func) -> Result<(), Refusal> {
    if program.btf.is_some() && func.type_id.unwrap_or_default() == 0 {
        return Err(Refusal::invalid(func.insn, "invalid type id 0 in func info"));
    }
    Ok(())
}

/// Checks that there is one record for each subprogram, at its start, and that a subprogram with packet loads or tail
/// calls returns an integer.
///
/// Kernel: `check_btf_func` (6.7 … 7.3).
#[doc(alias = "check_btf_func")]
pub(super) fn check_layout(program: &Program, rules: &StructureRules, subprogs: &mut [Subprog]) -> Result<(), Refusal> {
    if program.funcs.is_empty() {
        return check_abnormal_return(subprogs);
    }
    check_count(program, subprogs)?;
    let types = Types::of(program);
    for (n, (subprog, func)) in subprogs.iter_mut().zip(&program.funcs).enumerate() {
        join(&types, rules, n, subprog, func)?;
    }
    Ok(())
}

/// Does the work of [`check_order`] and [`check_layout`] in one go, record by record.
///
/// Kernel: `check_btf_func` (6.1).
pub(super) fn check_all(program: &Program, rules: &StructureRules, subprogs: &mut [Subprog]) -> Result<(), Refusal> {
    if program.funcs.is_empty() {
        return check_abnormal_return(subprogs);
    }
    check_count(program, subprogs)?;
    let types = Types::of(program);
    let mut previous = None;
    for (n, (subprog, func)) in subprogs.iter_mut().zip(&program.funcs).enumerate() {
        check_place(previous, func)?;
        check_start(subprog, func)?;
        check_type(program, func)?;
        join(&types, rules, n, subprog, func)?;
        previous = Some(func.insn);
    }
    Ok(())
}

fn check_count(program: &Program, subprogs: &[Subprog]) -> Result<(), Refusal> {
    if program.funcs.len() != subprogs.len() {
        let text = "number of funcs in func_info doesn't match number of subprogs";
        return Err(Refusal::rejected(None, Errno::EINVAL, text));
    }
    Ok(())
}

fn check_start(subprog: &Subprog, func: &Func) -> Result<(), Refusal> {
    if subprog.start != func.insn {
        let text = "func_info BTF section doesn't match subprog layout in BPF program";
        return Err(Refusal::invalid(subprog.start, text));
    }
    Ok(())
}

/// The types that the functions of a program have.
struct Types<'a> {
    program: &'a Program,
    btf: Option<Btf>,
    ids: Vec<TypeId>,
}

impl<'a> Types<'a> {
    fn of(program: &'a Program) -> Types<'a> {
        let own = program.btf.as_ref().and_then(|bytes| Btf::parse(bytes).ok());
        let ids = match (&own, program.type_info()) {
            (Some(_), Some(info)) => info.func_info.iter().map(|record| TypeId(record.type_id)).collect(),
            _ => Vec::new(),
        };
        Types { program, btf: own, ids }
    }

    /// The prototype's result, where the program brings types along.
    fn returns_integer(&self, n: usize) -> bool {
        let Some(btf) = &self.btf else { return true };
        let ret = self.ids.get(n).and_then(|id| btf.function(*id)).and_then(|f| btf.skip_modifiers(f.ret));
        match ret.and_then(|id| btf.get(id)).map(|t| &t.body) {
            Some(Body::Int { size, .. }) => *size <= 8,
            Some(Body::Enum { .. } | Body::Enum64 { .. }) => true,
            _ => false,
        }
    }
}

fn join(types: &Types<'_>, rules: &StructureRules, n: usize, subprog: &mut Subprog, func: &Func) -> Result<(), Refusal> {
    check_start(subprog, func)?;
    if n > 0 && !types.returns_integer(n) {
        for (leaves, what) in [(subprog.has_ld_abs, "LD_ABS"), (subprog.has_tail_call, "tail_call")] {
            if leaves {
                let text = format!("{what} is only allowed in functions that return 'int'.");
                return Err(Refusal::invalid(subprog.start, text));
            }
        }
    }
    subprog.name = Some(func.name.clone());
    subprog.linkage = Some(func.linkage);
    let global = func.linkage == Linkage::Global;
    subprog.signature = Some(match (&types.btf, types.ids.get(n)) {
        (Some(btf), Some(id)) => {
            let prog_type = types.program.prog_type;
            Reading { btf, prog_type, rules, global }.signature(*id)
        }
        _ => Signature::of_scalars(func.args, &func.name, global),
    });
    Ok(())
}

/// Kernel: `check_abnormal_return` (6.1 … 7.3).
fn check_abnormal_return(subprogs: &[Subprog]) -> Result<(), Refusal> {
    for subprog in subprogs.iter().skip(1) {
        if subprog.has_ld_abs {
            return Err(Refusal::invalid(subprog.start, "LD_ABS is not allowed in subprogs without BTF"));
        }
        if subprog.has_tail_call {
            return Err(Refusal::invalid(subprog.start, "tail_call is not allowed in subprogs without BTF"));
        }
    }
    Ok(())
}
