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
