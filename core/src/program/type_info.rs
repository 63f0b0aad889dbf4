//! The BTF and `func_info` that a program is loaded with.

use super::Program;
use crate::btf::{Btf, FuncInfo, Kind, MinimalFunc, TypeId, minimal};
use std::collections::BTreeMap;

/// What `BPF_BTF_LOAD` and the `func_info` of `BPF_PROG_LOAD` are given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypeInfo {
    /// The BTF, as bytes.
    pub btf: Vec<u8>,
    /// A record for each of [`Program::funcs`], in their order.
    pub func_info: Vec<FuncInfo>,
}

impl Program {
    /// The program's type information; `None` for a program without functions, which is loaded without BTF.
    ///
    /// With a BTF of its own, a function without a type number is looked up there by name, and gets type 0 when it is not
    /// found; without one, the minimal BTF is built.
    pub fn type_info(&self) -> Option<TypeInfo> {
        if self.funcs.is_empty() {
            return None;
        }
        let (btf, ids) = match &self.btf {
            Some(bytes) => (bytes.clone(), self.ids_in(bytes)),
            None => {
                let funcs = self.funcs.iter().map(|f| MinimalFunc { name: &f.name, linkage: f.linkage, args: f.args });
                let funcs: Vec<_> = funcs.collect();
                let (btf, ids) = minimal(&funcs);
                (btf.encode(), ids)
            }
        };
        let record = |(func, id): (&super::Func, TypeId)| FuncInfo { insn_off: func.insn.0, type_id: id.0 };
        Some(TypeInfo { btf, func_info: self.funcs.iter().zip(ids).map(record).collect() })
    }

    fn ids_in(&self, bytes: &[u8]) -> Vec<TypeId> {
        let btf = if self.funcs.iter().all(|f| f.type_id.is_some()) { None } else { Btf::parse(bytes).ok() };
        let mut first: BTreeMap<&[u8], TypeId> = BTreeMap::new();
        for (id, ty) in btf.iter().flat_map(Btf::types).filter(|(_, ty)| ty.kind() == Kind::Func) {
            if let Some(name) = btf.as_ref().and_then(|b| b.bytes_at(ty.name)) {
                first.entry(name).or_insert(id);
            }
        }
        let by_name = |name: &str| first.get(name.as_bytes()).copied().unwrap_or_default();
        self.funcs.iter().map(|f| f.type_id.map_or_else(|| by_name(&f.name), TypeId)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::btf::Linkage;
    use crate::isa::InsnIdx;
    use crate::program::Func;

    #[test]
    fn functions_find_their_types() {
        let func = |insn, name: &str, linkage| Func {
            insn: InsnIdx(insn),
            name: name.into(),
            linkage,
            args: 1,
            type_id: None,
        };
        let funcs = vec![func(0, "main", Linkage::Global), func(7, "cb", Linkage::Static)];
        let mut program = Program { funcs, ..Program::default() };
        let built = program.type_info().expect("functions");
        let btf = Btf::parse(&built.btf).expect("a BTF");
        let found = |n: usize| btf.function(TypeId(built.func_info[n].type_id)).expect("a function");
        assert_eq!((found(0).name, found(0).linkage, built.func_info[0].insn_off), ("main", Linkage::Global, 0));
        assert_eq!((found(1).name, found(1).linkage, built.func_info[1].insn_off), ("cb", Linkage::Static, 7));

        program.btf = Some(built.btf.clone());
        assert_eq!(program.type_info().as_ref(), Some(&built));
        program.funcs[1].name = "gone".into();
        assert_eq!(program.type_info().map(|t| t.func_info[1].type_id), Some(0));
        program.funcs[1].type_id = Some(3);
        assert_eq!(program.type_info().map(|t| t.func_info[1].type_id), Some(3));
        program.funcs.clear();
        assert_eq!(program.type_info(), None);
    }
}
