//! Fields of a map's values that a kernel manages itself: locks, timers, pointers to its objects, lists and trees.
//!
//! Stands for `btf_parse_fields` with the mask of `map_check_btf` (6.1 … 7.3), for what any of these kernels knows: 6.1 has
//! only locks, timers and pointers, and looks at the members of the value alone. Types are met as the kernel meets them:
//! a typedef or a qualifier hides a structure, a union is not looked into, `volatile` before a pointer is passed over.
//! Keys have no such fields, and the nodes of lists and trees count in structures of the program alone.

use crate::btf::{Body, Btf, TypeId};
use crate::kernel::MapType;
use std::collections::BTreeSet;

/// Structures that the kernel manages where they lie in a map's value.
#[doc(alias = "btf_get_field_type")]
const STRUCTS: [&str; 8] = [
    "bpf_spin_lock",
    "bpf_res_spin_lock",
    "bpf_timer",
    "bpf_wq",
    "bpf_task_work",
    "bpf_list_head",
    "bpf_rb_root",
    "bpf_refcount",
];
/// Tags of pointers to objects of the kernel, or of the task that has the storage.
#[doc(alias = "btf_find_kptr")]
const TAGS: [&str; 5] = ["kptr", "kptr_ref", "kptr_untrusted", "percpu_kptr", "uptr"];
/// How deep arrays, modifiers and structures nest before the kernel gives up.
#[doc(alias = "MAX_RESOLVE_DEPTH")]
const DEPTH_MAX: usize = 32;

/// Whether libbpf tells the kernel the types of a map's keys and values.
///
/// Kernel: none; libbpf's `bpf_object__create_map`.
pub(super) fn is_typed(map: MapType) -> bool {
    use MapType::*;
    !matches!(
        map,
        PerfEventArray
            | CgroupArray
            | StackTrace
            | ArrayOfMaps
            | HashOfMaps
            | Devmap
            | DevmapHash
            | Cpumap
            | Xskmap
            | Sockmap
            | Sockhash
            | Queue
            | Stack
            | Arena
    )
}

/// The first field of a value type, or of the variables of a data section, that the kernel manages: what it is, and where.
pub(super) fn special_field(btf: &Btf, value: TypeId) -> Option<String> {
    let value = btf.skip_modifiers(value)?;
    let mut met = BTreeSet::from([value]);
    let mut open = vec![(value, String::new())];
    // Each structure is gone through once, so that values of many equal parts take no longer than their types.
    while let Some((id, path)) = open.pop() {
        let mut below = Vec::new();
        for (name, to) in parts(btf, id) {
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            let Some(to) = element(btf, to) else { continue };
            if let Some(what) = of_type(btf, to) {
                return Some(format!("{what} (field `{path}`)"));
            }
            let is_struct = matches!(btf.get(to).map(|t| &t.body), Some(Body::Struct { .. }));
            // A kernel gives up on what nests deeper, and then manages nothing.
            if is_struct && path.matches('.').count() < DEPTH_MAX && met.insert(to) {
                below.push((to, path));
            }
        }
        open.extend(below.into_iter().rev());
    }
    None
}

/// The members of a structure, or the variables of a section, with their types.
fn parts(btf: &Btf, id: TypeId) -> Vec<(String, TypeId)> {
    let var = |var: TypeId| match btf.get(var).map(|t| &t.body) {
        Some(Body::Var { to, .. }) => Some((btf.name(var).to_owned(), *to)),
        _ => None,
    };
    match btf.get(id).map(|t| &t.body) {
        Some(Body::Struct { members, .. }) => {
            members.iter().map(|m| (btf.str_at(m.name).unwrap_or_default().to_owned(), m.to)).collect()
        }
        Some(Body::DataSec { vars, .. }) => vars.iter().filter_map(|v| var(v.var)).collect(),
        _ => Vec::new(),
    }
}

/// What the elements of an array are, of however many dimensions.
fn element(btf: &Btf, id: TypeId) -> Option<TypeId> {
    let mut at = id;
    for _ in 0..DEPTH_MAX {
        match btf.get(at).map(|t| &t.body) {
            Some(Body::Array { elem, .. }) => at = *elem,
            _ => return Some(at),
        }
    }
    None
}

/// What the kernel manages when a field is of that type.
fn of_type(btf: &Btf, id: TypeId) -> Option<String> {
    let pointer = match btf.get(id)?.body {
        Body::Struct { .. } => {
            let name = btf.name(id);
            return STRUCTS.contains(&name).then(|| format!("`struct {name}`"));
        }
        Body::Volatile { to } => to,
        _ => id,
    };
    let Body::Ptr { to } = btf.get(pointer)?.body else { return None };
    let mut at = to;
    for _ in 0..DEPTH_MAX {
        let behind = btf.get(at)?;
        if matches!(behind.body, Body::TypeTag { .. }) && TAGS.contains(&btf.name(at)) {
            return Some(format!("a pointer tagged `{}`", btf.name(at)));
        }
        at = behind.body.modified()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::{BtfType, Member, VarInfo};

    /// A type of that name.
    fn push(btf: &mut Btf, name: &str, body: Body) -> TypeId {
        let name = btf.intern(name);
        btf.push(BtfType::new(name, body))
    }

    /// A structure with one member.
    fn wrap(btf: &mut Btf, name: &str, member: &str, to: TypeId) -> TypeId {
        let member = Member { name: btf.intern(member), to, offset: 0 };
        push(btf, name, Body::Struct { size: 8, members: vec![member] })
    }

    fn pointer(btf: &mut Btf, tags: &[&str]) -> TypeId {
        let mut to = push(btf, "task_struct", Body::Struct { size: 8, members: Vec::new() });
        for tag in tags {
            to = push(btf, tag, Body::TypeTag { to });
        }
        push(btf, "", Body::Ptr { to })
    }

    #[test]
    fn pointers_are_told_by_any_of_their_tags() {
        for (tags, found) in [
            (&["kptr"][..], Some("kptr")),
            (&["kptr_ref"], Some("kptr_ref")),
            (&["kptr_untrusted"], Some("kptr_untrusted")),
            (&["percpu_kptr"], Some("percpu_kptr")),
            (&["uptr"], Some("uptr")),
            (&["kptr", "rcu"], Some("kptr")),
            (&["rcu"], None),
            (&[], None),
        ] {
            let mut btf = Btf::new();
            let to = pointer(&mut btf, tags);
            let volatile = push(&mut btf, "", Body::Volatile { to });
            for member in [to, volatile] {
                let value = wrap(&mut btf, "value", "task", member);
                let expected = found.map(|tag| format!("a pointer tagged `{tag}` (field `task`)"));
                assert_eq!(special_field(&btf, value), expected, "{tags:?}");
            }
        }
    }

    #[test]
    fn structures_and_arrays_are_looked_into_and_typedefs_and_unions_are_not() {
        for name in STRUCTS {
            let mut btf = Btf::new();
            let int = push(&mut btf, "int", Body::Int { size: 4, encoding: 0, offset: 0, bits: 32 });
            let special = wrap(&mut btf, name, "opaque", int);
            let inner = wrap(&mut btf, "inner", "it", special);
            let row = push(&mut btf, "", Body::Array { elem: inner, index: int, count: 2 });
            let rows = push(&mut btf, "", Body::Array { elem: row, index: int, count: 3 });
            let value = wrap(&mut btf, "value", "rows", rows);
            let typedef = push(&mut btf, "value_t", Body::Typedef { to: value });
            let found = Some(format!("`struct {name}` (field `rows.it`)"));
            assert_eq!((special_field(&btf, value), special_field(&btf, typedef)), (found.clone(), found));

            let var = push(&mut btf, "global", Body::Var { to: special, linkage: 1 });
            let vars = vec![VarInfo { var, offset: 0, size: 8 }];
            let section = push(&mut btf, ".bss", Body::DataSec { size: 8, vars });
            assert_eq!(special_field(&btf, section), Some(format!("`struct {name}` (field `global`)")));

            let hidden = push(&mut btf, "hidden_t", Body::Typedef { to: special });
            let member = Member { name: btf.intern("it"), to: special, offset: 0 };
            let either = push(&mut btf, "", Body::Union { size: 8, members: vec![member] });
            for not_seen in [hidden, either, int] {
                let value = wrap(&mut btf, "value", "field", not_seen);
                assert_eq!(special_field(&btf, value), None, "{name}");
            }
        }
    }

    #[test]
    fn types_that_meet_themselves_end() {
        let mut btf = Btf::new();
        let value = wrap(&mut btf, "value", "again", TypeId(1));
        let member = Member { name: btf.intern("again"), to: value, offset: 0 };
        if let Some(ty) = btf.get_mut(value) {
            ty.body = Body::Struct { size: 8, members: vec![member; 3] };
        }
        assert_eq!(special_field(&btf, value), None);
        let array = push(&mut btf, "", Body::Array { elem: TypeId(2), index: value, count: 1 });
        let value = wrap(&mut btf, "value", "array", array);
        assert_eq!((array, special_field(&btf, value)), (TypeId(2), None));
    }
}
