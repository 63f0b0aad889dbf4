//! What a BTF prototype makes of a function's arguments and result.
//!
//! Stands for `btf_prepare_func_args`, `btf_is_prog_ctx_type`, `btf_validate_prog_ctx_type` (6.8 … 7.3) and, in 6.1, for the
//! same questions as `btf_check_func_arg_match` and `btf_prepare_func_args` ask them. Left out: arguments that are kernel
//! objects, dynptrs and arenas ([`ArgKind::Unmodelled`]), and more than five arguments.
//!
//! Invariant: a function without a usable prototype has a [`SignatureFault`]; for a static function that is no error.

use crate::btf::{Body, Btf, BtfType, TypeId};
use crate::kernel::{ArgTags, ProgType};
use crate::verifier::Errno;

/// What a function takes and gives.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Signature {
    /// The arguments, in order; at most five.
    pub args: Vec<ArgKind>,
    /// True when nothing is returned.
    pub void: bool,
}

/// What an argument is, seen from the function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArgKind {
    /// A number.
    Scalar,
    /// The context.
    Ctx,
    /// Memory of that many bytes.
    Mem {
        /// Its size.
        bytes: u32,
        /// Whether it may be NULL.
        nullable: bool,
    },
    /// Something that is not modelled.
    Unmodelled(&'static str),
}

/// Why a prototype cannot be used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignatureFault {
    /// Error number.
    pub errno: Errno,
    /// The line of the log; none for a static function, whose prototype is only a hint.
    pub text: Option<String>,
}

/// How a prototype is read.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) btf: &'a Btf,
    pub(super) prog_type: ProgType,
    pub(super) tags: ArgTags,
    pub(super) global: bool,
}

/// Arguments that come in registers.
#[doc(alias = "MAX_BPF_FUNC_REG_ARGS")]
const ARGS_MAX: usize = 5;

impl Signature {
    /// The signature of the prototype that is built for a program without BTF of its own: so many numbers, and an integer.
    pub(super) fn of_scalars(args: u8, name: &str, global: bool) -> Result<Signature, SignatureFault> {
        if usize::from(args) > ARGS_MAX {
            return Err(too_many(name, usize::from(args), global));
        }
        Ok(Signature { args: vec![ArgKind::Scalar; usize::from(args)], void: false })
    }
}

fn too_many(name: &str, args: usize, global: bool) -> SignatureFault {
    let text = format!("Global function {name}() with {args} > {ARGS_MAX} args. Buggy compiler.");
    SignatureFault { errno: Errno::EINVAL, text: global.then_some(text) }
}

impl Reading<'_> {
    /// The signature of a function.
    #[doc(alias = "btf_prepare_func_args")]
    pub(super) fn signature(self, func: TypeId) -> Result<Signature, SignatureFault> {
        let name = self.btf.name(func).to_owned();
        let Some(function) = self.btf.function(func) else {
            let text = format!("Invalid type of function {name}()");
            return Err(SignatureFault { errno: Errno::EFAULT, text: Some(text) });
        };
        if function.params.len() > ARGS_MAX {
            return Err(too_many(&name, function.params.len(), self.global));
        }
        let void = self.check_result(function.ret, &name)?;
        let args = function.params.iter().enumerate();
        let args = args.map(|(n, param)| self.argument(func, n, param.to, &name)).collect::<Result<_, _>>()?;
        Ok(Signature { args, void })
    }

    fn check_result(self, ret: TypeId, name: &str) -> Result<bool, SignatureFault> {
        let behind = self.btf.skip_modifiers(ret);
        let newest = self.tags == ArgTags::WithUntrusted;
        if newest && behind == Some(TypeId::VOID) {
            return Ok(true);
        }
        match behind.and_then(|id| self.btf.get(id)).map(|t| &t.body) {
            Some(Body::Int { .. } | Body::Enum { .. } | Body::Enum64 { .. }) => return Ok(false),
            // Up to 6.1 the result of a static function is not looked at.
            _ if !self.global && self.tags == ArgTags::None => return Ok(false),
            _ => {}
        }
        let (errno, what) = if newest {
            (Errno::EOPNOTSUPP, "return value not void or scalar")
        } else {
            (Errno::EINVAL, "doesn't return scalar")
        };
        self.fault(errno, format!("Global function {name}() {what}. Only those are supported."))
    }

    /// A fault of a global function; that of a static one is silent.
    fn fault<T>(self, errno: Errno, text: String) -> Result<T, SignatureFault> {
        Err(SignatureFault { errno, text: self.global.then_some(text) })
    }

    fn said<T>(errno: Errno, text: String) -> Result<T, SignatureFault> {
        Err(SignatureFault { errno, text: Some(text) })
    }

    fn argument(self, func: TypeId, n: usize, ty: TypeId, name: &str) -> Result<ArgKind, SignatureFault> {
        let tags = self.tags_of(func, n)?;
        let has = |tag: &str| tags.contains(&tag);
        let only = |tag: &str| tags.iter().all(|t| *t == tag);
        let combination = || Self::said(Errno::EINVAL, format!("arg#{n} has invalid combination of tags"));
        let behind = self.btf.skip_modifiers(ty).and_then(|id| self.btf.get(id));
        let Some(Body::Ptr { to }) = behind.map(|t| &t.body) else {
            return self.number(n, behind, !tags.is_empty(), name);
        };
        let to = *to;
        if has("ctx") || self.is_context(to) {
            if !only("ctx") {
                return combination();
            }
            if has("ctx") {
                self.check_tagged_context(n, to)?;
            }
            return Ok(ArgKind::Ctx);
        }
        let target = self.btf.skip_modifiers(to).unwrap_or_default();
        let target_name = self.btf.name(target);
        if target_name == "bpf_dynptr" {
            return Ok(ArgKind::Unmodelled("dynptr as argument"));
        }
        for (tag, what) in [("trusted", "trusted argument"), ("untrusted", "untrusted argument"), ("arena", "arena")] {
            if has(tag) {
                return Ok(ArgKind::Unmodelled(what));
            }
        }
        if self.global {
            if has("nullable") {
                return combination();
            }
            return match self.btf.size_of(target) {
                Some(bytes) => Ok(ArgKind::Mem { bytes, nullable: !has("nonnull") }),
                None => {
                    let kind = self.btf.get(target).map_or("UNKNOWN", |t| t.kind().name());
                    let size = format!("reference type('{kind} {target_name}') size cannot be determined: -22");
                    Self::said(Errno::EINVAL, format!("arg#{n} {size}"))
                }
            };
        }
        if self.tags == ArgTags::None {
            return Ok(ArgKind::Unmodelled("pointer to a static function"));
        }
        Err(SignatureFault { errno: Errno::EINVAL, text: None })
    }

    fn number(self, n: usize, ty: Option<&BtfType>, tagged: bool, name: &str) -> Result<ArgKind, SignatureFault> {
        if tagged {
            return Self::said(Errno::EINVAL, format!("arg#{n} has pointer tag, but is not a pointer type"));
        }
        if let Some(Body::Int { .. } | Body::Enum { .. } | Body::Enum64 { .. }) = ty.map(|t| &t.body) {
            return Ok(ArgKind::Scalar);
        }
        let kind = ty.map_or("UNKNOWN", |t| t.kind().name());
        self.fault(Errno::EINVAL, format!("Arg#{n} type {kind} in {name}() is not supported yet."))
    }

    /// The words after `arg:` in the tags of an argument.
    #[doc(alias = "btf_scan_decl_tags")]
    fn tags_of(self, func: TypeId, n: usize) -> Result<Vec<&'static str>, SignatureFault> {
        const KNOWN: [&str; 6] = ["ctx", "trusted", "nonnull", "nullable", "arena", "untrusted"];
        let known = match self.tags {
            ArgTags::None => return Ok(Vec::new()),
            ArgTags::WithArena => &KNOWN[..5],
            ArgTags::WithUntrusted => &KNOWN[..],
        };
        let mut tags = Vec::new();
        for (_, ty) in self.btf.types() {
            let Body::DeclTag { to, component } = ty.body else { continue };
            let word = self.btf.str_at(ty.name).and_then(|t| t.strip_prefix("arg:"));
            let (true, Some(word)) = (to == func && usize::try_from(component) == Ok(n), word) else { continue };
            if !self.global {
                let text = format!("arg#{n} type tag is not supported in static functions");
                return Self::said(Errno::EOPNOTSUPP, text);
            }
            match known.iter().find(|k| **k == word) {
                Some(tag) => tags.push(*tag),
                None => return Self::said(Errno::EOPNOTSUPP, format!("arg#{n} has unsupported set of tags")),
            }
        }
        Ok(tags)
    }

    /// Whether a pointer to this type is the context of the program type.
    ///
    /// Kernel: `btf_get_prog_ctx_type` (6.1), `btf_is_prog_ctx_type` (6.8 … 7.3).
    #[doc(alias = "btf_is_prog_ctx_type")]
    fn is_context(self, to: TypeId) -> bool {
        if self.prog_type == ProgType::Kprobe && self.is_user_regs(to) {
            return true;
        }
        let (Some(wanted), Some(name)) = (ctx_struct(self.prog_type), self.struct_name(to)) else { return false };
        let projected =
            self.tags != ArgTags::None && matches!((wanted, name), ("__sk_buff", "sk_buff") | ("xdp_md", "xdp_buff"));
        wanted == name || projected
    }

    fn struct_name(self, id: TypeId) -> Option<&'static str> {
        let id = self.btf.skip_modifiers(id)?;
        let Body::Struct { .. } = self.btf.get(id)?.body else { return None };
        let name = self.btf.name(id);
        CTX_NAMES.iter().copied().find(|n| *n == name)
    }

    /// Whether a type is `bpf_user_pt_regs_t`, below qualifiers.
    fn is_user_regs(self, id: TypeId) -> bool {
        let mut at = id;
        for _ in 0..8 {
            match self.btf.get(at).map(|t| &t.body) {
                Some(Body::Typedef { .. }) => return self.btf.name(at) == "bpf_user_pt_regs_t",
                Some(body) => match body.modified() {
                    Some(next) => at = next,
                    None => return false,
                },
                None => return false,
            }
        }
        false
    }

    #[doc(alias = "btf_validate_prog_ctx_type")]
    fn check_tagged_context(self, n: usize, to: TypeId) -> Result<(), SignatureFault> {
        use ProgType::{Kprobe, PerfEvent, RawTracepoint, RawTracepointWritable, Syscall, Tracepoint};
        let target = self.btf.skip_modifiers(to).unwrap_or_default();
        let registers = matches!(self.prog_type, Kprobe | PerfEvent);
        let raw = matches!(self.prog_type, RawTracepoint | RawTracepointWritable);
        if target == TypeId::VOID || registers && self.is_user_regs(to) {
            return Ok(());
        }
        let name = self.btf.name(target);
        if name.is_empty() {
            return Self::said(Errno::EINVAL, format!("arg#{n} type doesn't have a name"));
        }
        let body = self.btf.get(target).map(|t| &t.body);
        let is_struct = matches!(body, Some(Body::Struct { .. }));
        let fits = registers && is_struct && name == "pt_regs"
            || raw && matches!(body, Some(Body::Int { size: 8, .. }))
            || matches!(self.prog_type, Tracepoint | Syscall);
        if fits {
            return Ok(());
        }
        let Some(wanted) = ctx_struct(self.prog_type) else {
            return Self::said(Errno::EINVAL, format!("arg#{n} should be void pointer"));
        };
        if is_struct && name == wanted {
            return Ok(());
        }
        Self::said(Errno::EINVAL, format!("arg#{n} should be `struct {wanted} *`"))
    }
}

/// Names that structures of contexts may have in a program's BTF.
const CTX_NAMES: [&str; 15] = [
    "__sk_buff",
    "sk_buff",
    "xdp_md",
    "xdp_buff",
    "pt_regs",
    "bpf_perf_event_data",
    "bpf_raw_tracepoint_args",
    "bpf_nf_ctx",
    "bpf_sk_lookup",
    "bpf_sock",
    "bpf_sock_addr",
    "bpf_sock_ops",
    "sk_msg_md",
    "bpf_sockopt",
    "bpf_sysctl",
];

/// The structure that is the context of a program type, where it has a name.
#[doc(alias = "bpf_ctx_convert")]
fn ctx_struct(prog_type: ProgType) -> Option<&'static str> {
    use ProgType::*;
    Some(match prog_type {
        SocketFilter | SchedCls | SchedAct | CgroupSkb | LwtIn | LwtOut | LwtXmit | LwtSeg6local | SkSkb
        | FlowDissector => "__sk_buff",
        Xdp => "xdp_md",
        Kprobe => "pt_regs",
        PerfEvent => "bpf_perf_event_data",
        RawTracepoint | RawTracepointWritable | Tracing => "bpf_raw_tracepoint_args",
        Netfilter => "bpf_nf_ctx",
        SkLookup => "bpf_sk_lookup",
        CgroupSock => "bpf_sock",
        CgroupSockAddr => "bpf_sock_addr",
        SockOps => "bpf_sock_ops",
        SkMsg => "sk_msg_md",
        CgroupSockopt => "bpf_sockopt",
        CgroupSysctl => "bpf_sysctl",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::{Linkage, Param};
    use crate::kernel::{KernelVersion, Rules};

    struct Sample {
        btf: Btf,
        int: TypeId,
    }

    impl Sample {
        fn new() -> Sample {
            let mut btf = Btf::new();
            let name = btf.intern("int");
            let int = btf.push(BtfType::new(name, Body::Int { size: 4, encoding: 1, offset: 0, bits: 32 }));
            Sample { btf, int }
        }

        fn named(&mut self, name: &str, body: Body) -> TypeId {
            let name = self.btf.intern(name);
            self.btf.push(BtfType::new(name, body))
        }

        fn pointer(&mut self, to: TypeId) -> TypeId {
            self.named("", Body::Ptr { to })
        }

        fn function(&mut self, ret: TypeId, args: &[TypeId]) -> TypeId {
            let name = self.btf.intern("x");
            let params = args.iter().map(|to| Param { name, to: *to }).collect();
            let proto = self.named("", Body::FuncProto { ret, params });
            self.named("f", Body::Func { proto, linkage: Linkage::Global.number() })
        }

        fn read(&self, f: TypeId, prog_type: ProgType, version: KernelVersion) -> Result<Signature, SignatureFault> {
            let tags = Rules::of(version).structure.arg_tags;
            Reading { btf: &self.btf, prog_type, tags, global: true }.signature(f)
        }
    }

    #[test]
    fn pointers_are_contexts_or_memory() {
        let mut s = Sample::new();
        let skb = s.named("__sk_buff", Body::Struct { size: 192, members: Vec::new() });
        let pair = s.named("pair", Body::Struct { size: 16, members: Vec::new() });
        let (skb, pair) = (s.pointer(skb), s.pointer(pair));
        let f = s.function(s.int, &[skb, pair, s.int]);
        let memory = |bytes| ArgKind::Mem { bytes, nullable: true };
        for version in KernelVersion::ALL {
            let args = |prog_type| s.read(f, prog_type, version).expect("a signature").args;
            assert_eq!(args(ProgType::SchedCls), [ArgKind::Ctx, memory(16), ArgKind::Scalar]);
            assert_eq!(args(ProgType::Xdp), [memory(192), memory(16), ArgKind::Scalar]);
        }
    }

    #[test]
    fn tags_came_with_6_8_and_void_results_with_7_0() {
        let mut s = Sample::new();
        let long = s.pointer(s.int);
        let f = s.function(s.int, &[long]);
        s.named("arg:nonnull", Body::DeclTag { to: f, component: 0 });
        let arg = |version| s.read(f, ProgType::Xdp, version).map(|s| s.args);
        assert_eq!(arg(KernelVersion::V6_1), Ok(vec![ArgKind::Mem { bytes: 4, nullable: true }]));
        assert_eq!(arg(KernelVersion::V6_12), Ok(vec![ArgKind::Mem { bytes: 4, nullable: false }]));

        let nothing = s.function(TypeId::VOID, &[]);
        let fault = s.read(nothing, ProgType::Xdp, KernelVersion::V6_18).expect_err("no result");
        assert_eq!(fault.text.as_deref(), Some("Global function f() doesn't return scalar. Only those are supported."));
        assert_eq!(s.read(nothing, ProgType::Xdp, KernelVersion::V7_3).map(|s| s.void), Ok(true));
    }

    #[test]
    fn a_tagged_context_must_be_of_the_program_type() {
        let mut s = Sample::new();
        let other = s.named("xdp_md", Body::Struct { size: 24, members: Vec::new() });
        let other = s.pointer(other);
        let f = s.function(s.int, &[other]);
        s.named("arg:ctx", Body::DeclTag { to: f, component: 0 });
        let read = |prog_type| s.read(f, prog_type, KernelVersion::V7_3);
        assert_eq!(read(ProgType::Syscall).map(|s| s.args), Ok(vec![ArgKind::Ctx]));
        let fault = read(ProgType::SchedCls).expect_err("another program's context");
        assert_eq!(fault.text.as_deref(), Some("arg#0 should be `struct __sk_buff *`"));
    }
}
