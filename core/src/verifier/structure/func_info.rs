//! `func_info`: which BTF function each subprogram is.
//!
//! A program either brings a BTF blob ([`Program::btf`]), which is checked as a kernel does and whose prototypes count, or gets one
//! that says what [`Program::funcs`] says: so many numbers, and an integer as result.

use super::signature::{Reading, Signature, SignatureFault};
use super::{Refusal, Subprog};
use crate::btf::{Body, Btf, Linkage, TypeId, is_name, validate};
use crate::isa::InsnIdx;
use crate::kernel::{ArgTags, ProgType, Rules};
use crate::program::{Func, Program};
use crate::verifier::Errno;

/// A program's own types.
pub(super) struct Types {
    btf: Btf,
    /// The type that each line of `func_info` names.
    ids: Vec<TypeId>,
    prog_type: ProgType,
    tags: ArgTags,
}

impl Types {
    /// Whether a line's function returns an integer of at most 64 bits, or an enumeration.
    fn returns_integer(&self, line: usize) -> bool {
        let ret = self.ids.get(line).and_then(|id| self.btf.function(*id)).and_then(|f| self.btf.skip_modifiers(f.ret));
        match ret.and_then(|id| self.btf.get(id)).map(|t| &t.body) {
            Some(Body::Int { size, .. }) => *size <= 8,
            Some(Body::Enum { .. } | Body::Enum64 { .. }) => true,
            _ => false,
        }
    }

    fn signature(&self, line: usize, global: bool) -> Result<Signature, SignatureFault> {
        let reading = Reading { btf: &self.btf, prog_type: self.prog_type, tags: self.tags, global };
        reading.signature(self.ids.get(line).copied().unwrap_or_default())
    }

    /// The linkage of a line's function; `None` when the type is no function.
    fn linkage(&self, line: usize) -> Option<Linkage> {
        match self.btf.get(*self.ids.get(line)?)?.body {
            Body::Func { linkage, .. } => Linkage::from_number(linkage),
            _ => None,
        }
    }
}

/// Checks what the load of the BTF itself would refuse, and gives the types of a program that brings its own. The log is not that
/// of the program.
///
/// Kernel: `btf_parse`, `btf_func_check_meta` (6.1 … 7.3).
///
/// # Errors
/// A BTF blob with an exception callback is not modelled.
#[doc(alias = "btf_func_check_meta")]
pub(super) fn check_btf(program: &Program, rules: &Rules) -> Result<Option<Types>, Refusal> {
    const EXCEPTION_TAG: &[u8] = b"exception_callback:";
    let (Some(blob), Some(info)) = (&program.btf, program.type_info()) else {
        return built_types(program, rules).map(|()| None);
    };
    if blob.windows(EXCEPTION_TAG.len()).any(|w| w == EXCEPTION_TAG) {
        return Err(Refusal::unsupported(None, "exception callback"));
    }
    let btf = load(blob, rules)?;
    let ids = info.func_info.iter().map(|line| TypeId(line.type_id)).collect();
    Ok(Some(Types { btf, ids, prog_type: program.prog_type, tags: rules.structure.arg_tags }))
}

/// What the kernel reads of a BTF, or why it does not load it.
fn load(blob: &[u8], rules: &Rules) -> Result<Btf, Refusal> {
    validate(blob, &rules.btf).map_err(|refused| Refusal::rejected(None, Errno(refused.errno), refused.message))
}

/// What can be wrong with types that are made of [`Program::funcs`].
///
/// Kernel: `btf_func_check_meta` (6.1 … 7.3).
#[doc(alias = "btf_func_check_meta")]
fn built_types(program: &Program, rules: &Rules) -> Result<(), Refusal> {
    if !program.funcs.iter().all(|func| is_name(func.name.as_bytes()))
        && let Some(info) = program.type_info()
    {
        load(&info.btf, rules)?;
    }
    match program.funcs.iter().find(|f| f.linkage == Linkage::Extern) {
        Some(f) => {
            let text = format!("(BTF: function \"{}\": Invalid func linkage)", f.name);
            Err(Refusal::rejected(Some(f.insn), Errno::EINVAL, text))
        }
        None => Ok(()),
    }
}

/// Checks that the records ascend from instruction 0, and name functions.
///
/// Kernel: `check_btf_func_early` (6.7 … 6.18), `prepare_btf_func` (7.3).
#[doc(alias = "prepare_btf_func")]
#[doc(alias = "check_btf_func_early")]
pub(super) fn check_order(program: &Program, types: Option<&Types>) -> Result<(), Refusal> {
    let mut previous = None;
    for (line, func) in program.funcs.iter().enumerate() {
        check_place(previous, func)?;
        check_type(types, line, func)?;
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

fn check_type(types: Option<&Types>, line: usize, func: &Func) -> Result<(), Refusal> {
    match types {
        Some(types) if types.linkage(line).is_none() => {
            let id = types.ids.get(line).copied().unwrap_or_default();
            Err(Refusal::invalid(func.insn, format!("invalid type id {} in func info", id.0)))
        }
        _ => Ok(()),
    }
}

/// Checks that there is one record for each subprogram, at its start, and that a subprogram with packet loads or tail
/// calls returns an integer.
///
/// Kernel: `check_btf_func` (6.7 … 7.3).
#[doc(alias = "check_btf_func")]
pub(super) fn check_layout(program: &Program, types: Option<&Types>, subprogs: &mut [Subprog]) -> Result<(), Refusal> {
    if program.funcs.is_empty() {
        return check_abnormal_return(subprogs);
    }
    check_count(program, subprogs)?;
    for (line, (subprog, func)) in subprogs.iter_mut().zip(&program.funcs).enumerate() {
        join(types, line, subprog, func)?;
    }
    Ok(())
}

/// Does the work of [`check_order`] and [`check_layout`] in one go, record by record.
///
/// Kernel: `check_btf_func` (6.1).
pub(super) fn check_all(program: &Program, types: Option<&Types>, subprogs: &mut [Subprog]) -> Result<(), Refusal> {
    if program.funcs.is_empty() {
        return check_abnormal_return(subprogs);
    }
    check_count(program, subprogs)?;
    let mut previous = None;
    for (line, (subprog, func)) in subprogs.iter_mut().zip(&program.funcs).enumerate() {
        check_place(previous, func)?;
        check_start(subprog, func)?;
        check_type(types, line, func)?;
        join(types, line, subprog, func)?;
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

fn join(types: Option<&Types>, line: usize, subprog: &mut Subprog, func: &Func) -> Result<(), Refusal> {
    check_start(subprog, func)?;
    if subprog.start != InsnIdx(0) && types.is_some_and(|types| !types.returns_integer(line)) {
        for (leaves, what) in [(subprog.has_ld_abs, "LD_ABS"), (subprog.has_tail_call, "tail_call")] {
            if leaves {
                let text = format!("{what} is only allowed in functions that return 'int'.");
                return Err(Refusal::invalid(subprog.start, text));
            }
        }
    }
    subprog.name = Some(func.name.clone());
    subprog.linkage = types.map_or(Some(func.linkage), |types| types.linkage(line));
    let global = subprog.linkage == Some(Linkage::Global);
    subprog.signature = Some(match types {
        Some(types) => types.signature(line, global),
        None => Signature::of_scalars(func.args, &func.name, global),
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
