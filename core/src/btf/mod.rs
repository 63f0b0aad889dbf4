//! BTF: the types that a program carries, and the `func_info` that ties its functions to them.

/// Linkage of a function or variable in BTF.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[doc(alias = "btf_func_linkage")]
pub enum Linkage {
    /// `static`: verified at each call, the only kind that may be a callback.
    Static,
    /// Visible outside: verified once, on its own.
    #[default]
    Global,
    /// Defined elsewhere.
    Extern,
}
