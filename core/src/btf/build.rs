//! The smallest BTF that gives functions a name, a linkage and a number of arguments.
//!
//! Stands for what libbpf would carry for a program that was compiled without types; every kernel from 6.1 to 7.3
//! accepts it. Arguments are of type `long` and named `a1` to `a5`, the result is an `int`.

use super::types::{Body, BtfType, Param, StrOff, TypeId};
use super::{Btf, Linkage};
use std::collections::BTreeMap;

/// A function that [`minimal`] gives a type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MinimalFunc<'a> {
    /// Name; a kernel wants an identifier.
    pub name: &'a str,
    /// Linkage.
    pub linkage: Linkage,
    /// Number of arguments.
    pub args: u8,
}

/// Builds a BTF and tells the type of each function, in their order.
///
/// Type 1 is `int`, 2 is `long`, 3 a pointer to `void`; then a prototype for each number of arguments, as they come up, and
/// the functions.
pub fn minimal(funcs: &[MinimalFunc<'_>]) -> (Btf, Vec<TypeId>) {
    let mut btf = Btf::new();
    let int = push_int(&mut btf, "int", 4);
    let long = push_int(&mut btf, "long", 8);
    // A program may have tens of thousands of functions: each name is looked up, not searched for.
    let mut known: BTreeMap<String, StrOff> = BTreeMap::from([(String::new(), StrOff(0))]);
    for name in ["int", "long"] {
        known.insert(name.to_owned(), btf.intern(name));
    }
    let mut intern = |btf: &mut Btf, text: &str| {
        let text = text.split('\0').next().unwrap_or_default();
        *known.entry(text.to_owned()).or_insert_with(|| btf.push_string(text))
    };
    btf.push(BtfType::new(StrOff(0), Body::Ptr { to: TypeId::VOID }));
    let mut protos = BTreeMap::new();
    let mut ids = Vec::with_capacity(funcs.len());
    for func in funcs {
        let proto = *protos.entry(func.args).or_insert_with(|| {
            let params =
                (1..=func.args).map(|n| Param { name: intern(&mut btf, &format!("a{n}")), to: long }).collect();
            btf.push(BtfType::new(StrOff(0), Body::FuncProto { ret: int, params }))
        });
        let name = intern(&mut btf, func.name);
        ids.push(btf.push(BtfType::new(name, Body::Func { proto, linkage: func.linkage.number() })));
    }
    (btf, ids)
}

fn push_int(btf: &mut Btf, name: &str, size: u8) -> TypeId {
    const SIGNED: u8 = 1;
    let name = btf.intern(name);
    btf.push(BtfType::new(name, Body::Int { size: size.into(), encoding: SIGNED, offset: 0, bits: size * 8 }))
}
