//! The second half of [`validate()`](super::validate()): references between types.
//!
//! Stands for `btf_check_all_types` and the `resolve` and `check_member` operations of the kinds (6.1 … 7.3). The kernel
//! walks references depth first and keeps what it found; here each type is looked at on its own, in order of numbers, after
//! loops were ruled out. A BTF whose references nest deeper than 32 is not refused for that.

use super::types::{Body, BtfType, Kind, Member, Param, TypeId, VarInfo};
use super::validate::{Place, Refused, is_identifier};
use super::{Btf, POINTER_BYTES};

/// Kernel: `btf_check_all_types` (6.1 … 7.3).
#[doc(alias = "btf_check_all_types")]
pub(super) fn check(btf: &Btf) -> Result<(), Refused> {
    let mut pointers = Walk::new(btf, pointer_edges);
    let mut values = Walk::new(btf, value_edges);
    for (id, ty) in btf.types() {
        let place = Place { btf, id, ty };
        if pointers.meets_itself(id) || values.meets_itself(id) {
            return place.refuse("Loop detected");
        }
    }
    btf.types().try_for_each(|(id, ty)| Place { btf, id, ty }.check_references())
}

/// Where a chain of pointers and modifiers leads: it must end.
fn pointer_edges(body: &Body) -> Vec<TypeId> {
    match body {
        Body::Ptr { to } => vec![*to],
        body => body.modified().into_iter().collect(),
    }
}

/// What a value contains: it must not contain itself.
fn value_edges(body: &Body) -> Vec<TypeId> {
    match body {
        Body::Array { elem, index, .. } => vec![*index, *elem],
        Body::Struct { members, .. } | Body::Union { members, .. } => members.iter().map(|m| m.to).collect(),
        body => body.modified().into_iter().collect(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    New,
    Open,
    Done,
}

/// A depth-first walk over one sort of reference.
struct Walk<'a> {
    btf: &'a Btf,
    edges: fn(&Body) -> Vec<TypeId>,
    marks: Vec<Mark>,
}

impl<'a> Walk<'a> {
    fn new(btf: &'a Btf, edges: fn(&Body) -> Vec<TypeId>) -> Walk<'a> {
        Walk { btf, edges, marks: vec![Mark::New; btf.types.len() + 1] }
    }

    fn edges(&self, id: TypeId) -> Vec<TypeId> {
        self.btf.get(id).map(|t| (self.edges)(&t.body)).unwrap_or_default()
    }

    fn mark(&mut self, id: TypeId) -> Option<&mut Mark> {
        self.marks.get_mut(id.0 as usize)
    }

    /// Walks from a type to everything that was not walked before; true when the way leads back into itself.
    fn meets_itself(&mut self, root: TypeId) -> bool {
        let mut open = Vec::new();
        let mut next = Some(root);
        loop {
            match next.and_then(|id| self.mark(id).map(|mark| (id, mark))) {
                Some((_, Mark::Open)) => return true,
                Some((id, mark @ Mark::New)) => {
                    *mark = Mark::Open;
                    open.push((id, self.edges(id).into_iter()));
                }
                _ => {}
            }
            let Some((id, edges)) = open.last_mut() else { return false };
            next = edges.next();
            if next.is_none() {
                let id = *id;
                if let Some(mark) = self.mark(id) {
                    *mark = Mark::Done;
                }
                open.pop();
            }
        }
    }
}

/// Only the start of a reference, never its end.
#[doc(alias = "btf_type_is_resolve_source_only")]
fn source_only(ty: &BtfType) -> bool {
    matches!(ty.kind(), Kind::Var | Kind::DeclTag | Kind::DataSec)
}

#[doc(alias = "btf_type_nosize")]
fn sizeless(ty: &BtfType) -> bool {
    matches!(ty.kind(), Kind::Fwd | Kind::Func | Kind::FuncProto | Kind::DeclTag)
}

/// An integer that fills whole bytes, a power of two of them.
#[doc(alias = "btf_type_int_is_regular")]
fn is_regular(bits: u8, offset: u8) -> bool {
    bits.is_multiple_of(8) && offset == 0 && (bits / 8).is_power_of_two() && bits <= 128
}

impl Place<'_> {
    fn check_references(&self) -> Result<(), Refused> {
        match &self.ty.body {
            Body::Func { proto, .. } => self.func(*proto),
            Body::FuncProto { ret, params } => self.proto(*ret, params),
            Body::Array { elem, index, count } => self.elements(*elem, *index, *count),
            Body::Struct { size, members } | Body::Union { size, members } => {
                members.iter().try_for_each(|m| self.member(*size, m))
            }
            Body::Var { to, .. } => {
                if self.is_end(*to) && self.is_sized(*to) {
                    Ok(())
                } else {
                    self.refuse("Invalid type_id")
                }
            }
            Body::DataSec { vars, .. } => vars.iter().try_for_each(|v| self.section_var(v)),
            Body::DeclTag { to, component } => self.tagged(*to, *component),
            Body::Ptr { to } => self.target(*to),
            body => body.modified().map_or(Ok(()), |to| self.target(to)),
        }
    }

    /// Whether a reference may end at that type.
    fn is_end(&self, id: TypeId) -> bool {
        id == TypeId::VOID || self.btf.get(id).is_some_and(|t| !source_only(t))
    }

    /// Whether the type behind modifiers has a size.
    #[doc(alias = "btf_type_id_size")]
    fn is_sized(&self, id: TypeId) -> bool {
        let end = self.btf.skip_modifiers(id).and_then(|end| self.btf.get(end));
        end.is_some_and(|t| !sizeless(t))
    }

    /// Kernel: `btf_ptr_resolve`, `btf_modifier_resolve` (6.1 … 7.3).
    #[doc(alias = "btf_modifier_resolve")]
    fn target(&self, to: TypeId) -> Result<(), Refused> {
        let end = self.btf.skip_modifiers(to);
        let lasting = end == Some(TypeId::VOID)
            || end.and_then(|e| self.btf.get(e)).is_some_and(|t| !matches!(t.kind(), Kind::Func | Kind::DeclTag));
        if self.is_end(to) && lasting { Ok(()) } else { self.refuse("Invalid type_id") }
    }

    /// Kernel: `btf_func_check` (6.1 … 7.3).
    #[doc(alias = "btf_func_check")]
    fn func(&self, proto: TypeId) -> Result<(), Refused> {
        let Some(Body::FuncProto { params, .. }) = self.btf.get(proto).map(|t| &t.body) else {
            return self.refuse("Invalid type_id");
        };
        match params.iter().position(|p| p.name.0 == 0 && p.to != TypeId::VOID) {
            Some(n) => self.refuse(format_args!("Invalid arg#{}", n + 1)),
            None => Ok(()),
        }
    }

    /// Kernel: `btf_func_proto_check` (6.1 … 7.3).
    #[doc(alias = "btf_func_proto_check")]
    fn proto(&self, ret: TypeId, params: &[Param]) -> Result<(), Refused> {
        if ret != TypeId::VOID && !(self.is_end(ret) && self.is_sized(ret)) {
            return self.refuse("Invalid return type");
        }
        let (fixed, more) = match params {
            [fixed @ .., last] if last.to == TypeId::VOID => (fixed, Some(last)),
            _ => (params, None),
        };
        if more.is_some_and(|m| m.name.0 != 0) {
            return self.refuse(format_args!("Invalid arg#{}", params.len()));
        }
        let sound =
            |p: &Param| (p.name.0 == 0 || is_identifier(self.btf, p.name)) && self.is_end(p.to) && self.is_sized(p.to);
        match fixed.iter().position(|p| !sound(p)) {
            Some(n) => self.refuse(format_args!("Invalid arg#{}", n + 1)),
            None => Ok(()),
        }
    }

    /// Kernel: `btf_array_resolve` (6.1 … 7.3).
    #[doc(alias = "btf_array_resolve")]
    fn elements(&self, elem: TypeId, index: TypeId, count: u32) -> Result<(), Refused> {
        let behind = |id| self.btf.skip_modifiers(id).and_then(|end| self.btf.get(end)).map(|t| &t.body);
        match behind(index) {
            Some(Body::Int { bits, offset, .. }) if self.is_end(index) && is_regular(*bits, *offset) => {}
            _ => return self.refuse("Invalid index"),
        }
        if !self.is_end(elem) || !self.is_sized(elem) {
            return self.refuse("Invalid elem");
        }
        if let Some(Body::Int { bits, offset, .. }) = behind(elem)
            && !is_regular(*bits, *offset)
        {
            return self.refuse("Invalid array of int");
        }
        let size = self.btf.size_of(elem).unwrap_or(u32::MAX);
        if size.checked_mul(count).is_none() {
            return self.refuse("Array size overflows U32_MAX");
        }
        Ok(())
    }

    /// Kernel: `btf_struct_resolve` and the `check_member`, `check_kflag_member` operations (6.1 … 7.3).
    #[doc(alias = "btf_struct_resolve")]
    fn member(&self, struct_size: u32, member: &Member) -> Result<(), Refused> {
        let direct = self.btf.get(member.to).filter(|t| !sizeless(t) && !source_only(t));
        let end = self.btf.skip_modifiers(member.to).and_then(|end| self.btf.get(end)).filter(|t| !sizeless(t));
        let (Some(_), Some(end)) = (direct, end) else {
            return self.refuse_member(member, "Invalid member");
        };
        let offset = member.bit_offset(self.ty.flag);
        let field_bits = member.bitfield_bits(self.ty.flag);
        match end.body {
            Body::Int { bits, offset: first, .. } => {
                self.int_member(struct_size, member, u32::from(bits), u32::from(first))
            }
            Body::Enum { .. } | Body::Enum64 { .. } if self.ty.flag => self.enum_bits(struct_size, member),
            _ if field_bits != 0 => self.refuse_member(member, "Invalid member bitfield_size"),
            Body::Float { size } if !u64::from(offset).is_multiple_of(u64::from(size.min(POINTER_BYTES)) * 8) => {
                self.refuse_member(member, "Member is not properly aligned")
            }
            _ if !offset.is_multiple_of(8) => self.refuse_member(member, "Member is not byte aligned"),
            _ => {
                let size = self.btf.size_of(member.to).unwrap_or(u32::MAX);
                self.fits(struct_size, member, u64::from(offset / 8) + u64::from(size))
            }
        }
    }

    fn fits(&self, struct_size: u32, member: &Member, end: u64) -> Result<(), Refused> {
        if end > u64::from(struct_size) { self.refuse_member(member, "Member exceeds struct_size") } else { Ok(()) }
    }

    /// Kernel: `btf_int_check_member`, `btf_int_check_kflag_member` (6.1 … 7.3).
    #[doc(alias = "btf_int_check_member")]
    fn int_member(&self, struct_size: u32, member: &Member, bits: u32, first: u32) -> Result<(), Refused> {
        let (mut at, mut wanted) = (u64::from(member.bit_offset(self.ty.flag)), bits);
        if self.ty.flag {
            if !is_regular(bits as u8, first as u8) {
                return self.refuse_member(member, "Invalid member base type");
            }
            match member.bitfield_bits(true) {
                0 if !at.is_multiple_of(8) => return self.refuse_member(member, "Invalid member offset"),
                0 => {}
                field if field > bits => return self.refuse_member(member, "Invalid member bitfield_size"),
                field => wanted = field,
            }
        } else {
            at += u64::from(first);
            if at > u64::from(u32::MAX) {
                return self.refuse_member(member, "bits_offset exceeds U32_MAX");
            }
        }
        let copied = u64::from(wanted) + at % 8;
        if copied > 128 {
            return self.refuse_member(member, "nr_copy_bits exceeds 128");
        }
        self.fits(struct_size, member, at / 8 + copied.div_ceil(8))
    }

    /// Kernel: `btf_enum_check_kflag_member` (6.1 … 7.3).
    #[doc(alias = "btf_enum_check_kflag_member")]
    fn enum_bits(&self, struct_size: u32, member: &Member) -> Result<(), Refused> {
        const INT_BITS: u32 = 32;
        let at = member.bit_offset(true);
        let bits = match member.bitfield_bits(true) {
            0 if !at.is_multiple_of(8) => return self.refuse_member(member, "Member is not byte aligned"),
            0 => INT_BITS,
            field if field > INT_BITS => return self.refuse_member(member, "Invalid member bitfield_size"),
            field => field,
        };
        self.fits(struct_size, member, u64::from((at + bits).div_ceil(8)))
    }

    /// Kernel: `btf_datasec_resolve` (6.1 … 7.3).
    #[doc(alias = "btf_datasec_resolve")]
    fn section_var(&self, var: &VarInfo) -> Result<(), Refused> {
        let Some(Body::Var { to, .. }) = self.btf.get(var.var).map(|t| &t.body) else {
            return self.refuse_var(var, "Not a VAR kind member");
        };
        match self.btf.size_of(*to) {
            None => self.refuse_var(var, "Invalid type"),
            Some(size) if var.size < size => self.refuse_var(var, "Invalid size"),
            Some(_) => Ok(()),
        }
    }

    /// Kernel: `btf_decl_tag_resolve` (6.1 … 7.3).
    #[doc(alias = "btf_decl_tag_resolve")]
    fn tagged(&self, to: TypeId, component: i32) -> Result<(), Refused> {
        if let Some(ty @ BtfType { body: Body::Func { proto, .. }, .. }) = self.btf.get(to) {
            Place { btf: self.btf, id: to, ty }.func(*proto)?;
        }
        let components = match self.btf.get(to).map(|t| &t.body) {
            Some(Body::Struct { members, .. } | Body::Union { members, .. }) => members.len(),
            Some(Body::Var { .. } | Body::Typedef { .. }) => 0,
            Some(Body::Func { proto, .. }) => match self.btf.get(*proto).map(|t| &t.body) {
                Some(Body::FuncProto { params, .. }) => params.len(),
                _ => 0,
            },
            _ => return self.refuse("Invalid type_id"),
        };
        if component >= 0 && component as usize >= components {
            return self.refuse("Invalid component_idx");
        }
        Ok(())
    }
}
