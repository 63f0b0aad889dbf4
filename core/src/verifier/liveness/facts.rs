//! What the analysis has to be told about things outside of the instructions.

use crate::isa::Size;
use crate::program::SubprogIdx;

/// A function of the kernel that a program calls.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Callee {
    /// A helper, by number.
    Helper(i32),
    /// A kernel function, by BTF id and index of its module.
    Kfunc(i32, i16),
}

/// Whether a callee reads the memory behind an argument, or only initialises it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Reads it; it may write it too.
    Read,
    /// Writes all of it and reads nothing (`MEM_UNINIT`).
    Initialise,
}

/// What a callee does with the memory behind a pointer that it gets as an argument.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Not known: everything from the pointer up to the frame pointer counts as read. True for every kind of argument
    /// that has no case of its own here, numbers included.
    Unknown,
    /// Nothing: the context that a helper hands on to a callback (`ARG_PTR_TO_STACK`).
    Untouched,
    /// That many bytes: memory of fixed size, a dynptr (16).
    Fixed(u32, Direction),
    /// As many bytes as the register after this one says.
    SizeInNext(Direction),
    /// The key of the map in the register numbered so (1 to 5), `None` when no earlier argument is a map.
    MapKey(Option<u8>, Direction),
    /// The value of that map.
    MapValue(Option<u8>, Direction),
}

/// The arguments of a callee.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Prototype {
    /// How many arguments there are, up to the first that is absent; at most 5 are looked at.
    pub args: u8,
    /// What happens behind each, R1 first.
    pub access: [Access; 5],
}

/// The sizes of a map, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MapSizes {
    /// Key.
    pub key: u32,
    /// Value.
    pub value: u32,
}

/// What the analysis has to be told; implemented over the kernel's tables and the program's maps.
pub trait Facts {
    /// The prototype of a callee, `None` when the program type does not have it.
    #[doc(alias = "bpf_get_call_summary")]
    #[doc(alias = "bpf_helper_stack_access_bytes")]
    fn prototype(&self, callee: Callee) -> Option<Prototype>;

    /// Whether a kernel function calls a callback before it returns. Helpers are known to the analysis.
    #[doc(alias = "is_sync_callback_calling_kfunc")]
    fn kfunc_calls_callback(&self, _id: i32) -> bool {
        false
    }

    /// The sizes of a map, by index into the program's maps; `None` when there is no such map.
    fn map(&self, index: u32) -> Option<MapSizes>;

    /// The largest key and the largest value of all maps of the program, maps within maps included.
    fn largest_map(&self) -> MapSizes;

    /// What a load from the value of a read-only, frozen map gives, sign-extended if `signed`; `None` when the map is
    /// writable or the range is outside of its value. `off` is in bytes.
    fn frozen_value(&self, _map: u32, _off: i32, _size: Size, _signed: bool) -> Option<u64> {
        None
    }

    /// Whether BTF says that a subprogram is global: verified alone, with any arguments of its type.
    #[doc(alias = "bpf_subprog_is_global")]
    fn is_global(&self, subprog: SubprogIdx) -> bool;
}
