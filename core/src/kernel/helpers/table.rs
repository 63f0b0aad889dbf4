//! The macro that prototypes are written in, and the arguments that they share.

use super::proto::{Arg, MemAccess};

/// Memory that the helper reads, as large as the next argument says.
pub(super) const READ: Arg = Arg::mem(MemAccess::Read);
/// The same, or null.
pub(super) const READ_OR_NULL: Arg = Arg::mem_or_null(MemAccess::Read);
/// Memory without any flag.
pub(super) const PLAIN: Arg = Arg::mem(MemAccess::Plain);
/// The same, or null.
pub(super) const PLAIN_OR_NULL: Arg = Arg::mem_or_null(MemAccess::Plain);
/// Memory that the helper writes.
pub(super) const WRITE: Arg = Arg::mem(MemAccess::Write);
/// The same, or null.
pub(super) const WRITE_OR_NULL: Arg = Arg::mem_or_null(MemAccess::Write);
/// Memory that the helper fills.
pub(super) const FILL: Arg = Arg::mem(MemAccess::Fill);
/// Eight aligned bytes that the helper fills.
pub(super) const FILL_U64: Arg = Arg::aligned(MemAccess::Fill, 8);
/// Four aligned bytes that the helper fills.
pub(super) const FILL_U32: Arg = Arg::aligned(MemAccess::Fill, 4);
/// Four aligned bytes that the helper writes.
pub(super) const WRITE_U32: Arg = Arg::aligned(MemAccess::Write, 4);

/// The arguments of a prototype, filled up with unused ones.
pub(super) const fn pad(given: &[Arg]) -> [Arg; 5] {
    let mut args = [Arg::Unused; 5];
    let mut n = 0;
    while n < given.len() {
        args[n] = given[n];
        n += 1;
    }
    args
}

/// Prototypes, a line each: `NAME = helper(arguments) -> result, TRAITS;`, and `ALL` of them.
macro_rules! protos {
    ($($name:ident = $helper:ident($($arg:expr),*) -> $ret:ident $(($of:expr))? $(, $property:ident)*;)*) => {
        $(pub(super) static $name: HelperProto = HelperProto {
            id: id_of(stringify!($helper)),
            name: stringify!($helper),
            ret: Ret::$ret $(($of))?,
            args: pad(&[$($arg),*]),
            traits: Traits::empty()$(.union(Traits::$property))*,
        };)*

        /// All prototypes of this table.
        #[cfg(test)]
        pub(super) static ALL: &[&HelperProto] = &[$(&$name),*];
    };
}
pub(super) use protos;
