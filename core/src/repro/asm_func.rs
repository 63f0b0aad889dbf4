//! A function of the kind that inline assembly needs: naked where its prototype is nobody's business, else with parameters.
//!
//! A kernel reads the prototypes of global functions, which are verified by themselves: their arguments have the types that the
//! BTF says. Of static functions and of main it reads none. clang writes no names of parameters for a naked function, and a
//! kernel refuses a parameter without a name (`btf_func_check`, 6.1 … 7.3: "Invalid arg#1"). So functions take nothing where that
//! makes no difference, as in the kernel's own tests, and are ordinary functions where it does.

use super::asm::{Source, push};
use super::asm_body::Body;
use crate::btf::Linkage;
use crate::isa::{InsnIdx, Op};
use crate::program::Func;

/// What stands over the first function that is not naked.
pub(super) const WHY_TYPED: &str = "Global functions are verified with the types of their parameters. A naked function has none in BTF, so\n\
    these are not naked: all that clang adds is the exit at the end, which the assembly leaves to it.";

/// Parameters that a kernel passes.
#[doc(alias = "MAX_BPF_FUNC_REG_ARGS")]
pub(super) const ARGS_MAX: u8 = 5;

/// How a function is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Main.
    Program,
    /// Naked, without parameters.
    Naked {
        /// Verified by itself, or with its callers.
        global: bool,
    },
    /// With parameters, each a `long`. Global.
    Typed {
        /// How many; from 1 to [`ARGS_MAX`].
        args: u8,
        /// The assembly ends with an exit, which clang can write.
        exits: bool,
    },
}

impl Form {
    /// The form of the function that starts at an instruction.
    pub fn of(source: &Source<'_>, start: InsnIdx) -> Form {
        if start.0 == 0 {
            return Form::Program;
        }
        match source.funcs.get(&start) {
            Some(Func { linkage: Linkage::Global, args, .. }) if *args > 0 => {
                let last = source.layout.starting(start).and_then(|subprog| source.ops_of(subprog).last());
                let exits = last.is_some_and(|(_, op)| matches!(op, Ok(Op::Exit)));
                Form::Typed { args: (*args).min(ARGS_MAX), exits }
            }
            func => Form::Naked { global: func.is_some_and(|f| f.linkage == Linkage::Global) },
        }
    }

    /// The function's head, as it is declared and defined.
    pub fn signature(self, name: &str) -> String {
        match self {
            Form::Program => format!("__naked int {name}(void)"),
            Form::Naked { global: true } => format!("__naked __noinline __used int {name}(void)"),
            Form::Naked { global: false } => format!("static __naked __noinline __used int {name}(void)"),
            Form::Typed { args, .. } => {
                let args: Vec<String> = (1..=args).map(|n| format!("long a{n} __attribute__((unused))")).collect();
                format!("__noinline __used int {name}({})", args.join(", "))
            }
        }
    }

    /// The function's statements.
    pub fn body(self, body: &Body, out: &mut String) {
        let Form::Typed { exits, .. } = self else {
            body.statement(body.lines(), "", "__clobber_all", out);
            return;
        };
        if !exits {
            body.statement(body.lines(), "", "__clobber_all", out);
            out.push_str("\t__builtin_unreachable();\n");
            return;
        }
        const ALL_BUT_R0: &str = r#""r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "memory""#;
        out.push_str("\tregister int r0 asm(\"r0\");\n\n");
        body.statement(body.lines_before_exit(), " \"=r\"(r0)", ALL_BUT_R0, out);
        push(out, format_args!("\treturn r0;\n"));
    }
}
