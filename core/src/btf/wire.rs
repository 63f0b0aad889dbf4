//! The bytes of a BTF: header, type records, strings. Little-endian.
//!
//! Reading refuses what has no meaning in the format (a reserved field that is set, a count where there is none); what
//! has a meaning that a kernel does not accept is for [`validate()`](super::validate()).

use super::Btf;
use super::types::{Body, BtfType, EnumValue, EnumValue64, Kind, Member, Param, StrOff, TypeId, VarInfo};
use thiserror::Error;

/// First two bytes of a BTF and of a `.BTF.ext`.
#[doc(alias = "BTF_MAGIC")]
pub(super) const MAGIC: u16 = 0xeb9f;
/// Bytes of the header that every kernel knows.
pub(super) const HEADER_BYTES: u32 = 24;
/// Bytes of a type record before what its kind adds.
#[doc(alias = "btf_type")]
pub(super) const RECORD_BYTES: usize = 12;
/// Largest number of members, values or parameters.
#[doc(alias = "BTF_MAX_VLEN")]
const VLEN_MAX: u32 = 0xff_ffff;
/// Bits of the word after an `INT` that mean nothing.
pub(super) const INT_RESERVED: u32 = 0xf000_0000;

/// Why bytes are no BTF.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BtfError {
    /// The header does not stand for what follows.
    #[error("BTF header at byte {at}: {what}")]
    Header {
        /// Offset in bytes from the start of the blob.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A type record has no meaning.
    #[error("BTF type {} at byte {at}: {what}", id.0)]
    Type {
        /// Number of the type.
        id: TypeId,
        /// Offset in bytes from the start of the type section.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// A record of `.BTF.ext` has no meaning.
    #[error(".BTF.ext at byte {at}: {what}")]
    Ext {
        /// Offset in bytes from the start of the section.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
}

/// The four bytes at an offset.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b))
}

/// The two bytes at an offset.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_le_bytes(*b))
}

/// A section: offset from the end of the header and length, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Span {
    pub off: u32,
    pub len: u32,
}

impl Span {
    /// The bytes of the section in what follows the header.
    pub fn of(self, body: &[u8]) -> Option<&[u8]> {
        body.get(self.off as usize..)?.get(..self.len as usize)
    }
}

/// The header, as far as every kernel knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[doc(alias = "btf_header")]
pub(super) struct Header {
    pub magic: u16,
    pub version: u8,
    pub flags: u8,
    pub len: u32,
    pub types: Span,
    pub strings: Span,
    /// The layout section of 7.3; zero where the header is shorter.
    pub layout: Span,
}

impl Header {
    /// Reads the header; fields that its stated length leaves out are zero. `None` when the length itself is missing or
    /// exceeds the bytes.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        let len = u32_at(bytes, 4)?;
        let known = bytes.get(..len as usize)?;
        let word = |at| u32_at(known, at).unwrap_or_default();
        let span = |at| Span { off: word(at), len: word(at + 4) };
        Some(Header {
            magic: u16_at(known, 0).unwrap_or_default(),
            version: known.get(2).copied().unwrap_or_default(),
            flags: known.get(3).copied().unwrap_or_default(),
            len,
            types: span(8),
            strings: span(16),
            layout: span(24),
        })
    }
}

/// A type record before its kind is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub name: StrOff,
    pub info: u32,
    /// Size in bytes or number of a type, by kind.
    pub size_or_type: u32,
    /// Everything after the record up to the end of the section.
    pub rest: &'a [u8],
}

impl<'a> Record<'a> {
    pub fn read(bytes: &'a [u8]) -> Option<Record<'a>> {
        let word = |at| u32_at(bytes, at);
        Some(Record {
            name: StrOff(word(0)?),
            info: word(4)?,
            size_or_type: word(8)?,
            rest: bytes.get(RECORD_BYTES..)?,
        })
    }

    /// How many members, values or parameters there are, or the linkage of a function.
    #[doc(alias = "BTF_INFO_VLEN")]
    pub const fn vlen(&self) -> u32 {
        self.info & VLEN_MAX
    }

    #[doc(alias = "BTF_INFO_KIND")]
    pub const fn kind_number(&self) -> u32 {
        self.info >> 24 & 0x7f
    }

    #[doc(alias = "BTF_INFO_KFLAG")]
    pub const fn flag(&self) -> bool {
        self.info >> 31 != 0
    }

    /// Bytes that follow the record, for its kind.
    pub fn tail_bytes(&self, kind: Kind) -> usize {
        let each = match kind {
            Kind::Int | Kind::Var | Kind::DeclTag => return 4,
            Kind::Array => return 12,
            Kind::Struct | Kind::Union | Kind::DataSec | Kind::Enum64 => 12,
            Kind::Enum | Kind::FuncProto => 8,
            _ => return 0,
        };
        self.vlen() as usize * each
    }

    /// Refuses what the format leaves no meaning: a count, a size or a bit where the kind has none.
    fn check_reserved(&self, kind: Kind) -> Result<(), &'static str> {
        let counted = matches!(
            kind,
            Kind::Struct | Kind::Union | Kind::Enum | Kind::Enum64 | Kind::Func | Kind::FuncProto | Kind::DataSec
        );
        if !counted && self.vlen() != 0 {
            return Err("a count where its kind has none");
        }
        if matches!(kind, Kind::Array | Kind::Fwd) && self.size_or_type != 0 {
            return Err("a size where its kind has none");
        }
        if kind == Kind::Int && u32_at(self.rest, 0).is_some_and(|data| data & INT_RESERVED != 0) {
            return Err("unknown bits in the description of an integer");
        }
        Ok(())
    }

    /// The type that the record stands for, whatever is in its reserved fields; `None` when the section ends inside of it.
    pub fn read_type(&self, kind: Kind) -> Option<BtfType> {
        let tail = self.rest.get(..self.tail_bytes(kind))?;
        Some(BtfType { name: self.name, flag: self.flag(), body: self.body(kind, tail) })
    }

    fn body(&self, kind: Kind, tail: &[u8]) -> Body {
        let (size, to) = (self.size_or_type, TypeId(self.size_or_type));
        let word = |at| u32_at(tail, at).unwrap_or_default();
        match kind {
            Kind::Int => {
                let [bits, _, offset, encoding] = word(0).to_le_bytes();
                Body::Int { size, encoding: encoding & 0xf, offset, bits }
            }
            Kind::Ptr => Body::Ptr { to },
            Kind::Array => Body::Array { elem: TypeId(word(0)), index: TypeId(word(4)), count: word(8) },
            Kind::Struct => Body::Struct { size, members: triples(tail, member) },
            Kind::Union => Body::Union { size, members: triples(tail, member) },
            Kind::Enum => Body::Enum {
                size,
                values: pairs(tail, |name, value| EnumValue { name: StrOff(name), value: value as i32 }),
            },
            Kind::Fwd => Body::Fwd,
            Kind::Typedef => Body::Typedef { to },
            Kind::Volatile => Body::Volatile { to },
            Kind::Const => Body::Const { to },
            Kind::Restrict => Body::Restrict { to },
            Kind::Func => Body::Func { proto: to, linkage: self.vlen() },
            Kind::FuncProto => Body::FuncProto {
                ret: to,
                params: pairs(tail, |name, ty| Param { name: StrOff(name), to: TypeId(ty) }),
            },
            Kind::Var => Body::Var { to, linkage: word(0) },
            Kind::DataSec => Body::DataSec {
                size,
                vars: triples(tail, |var, offset, size| VarInfo { var: TypeId(var), offset, size }),
            },
            Kind::Float => Body::Float { size },
            Kind::DeclTag => Body::DeclTag { to, component: word(0) as i32 },
            Kind::TypeTag => Body::TypeTag { to },
            Kind::Enum64 => Body::Enum64 {
                size,
                values: triples(tail, |name, lo, hi| EnumValue64 {
                    name: StrOff(name),
                    value: u64::from(lo) | u64::from(hi) << 32,
                }),
            },
        }
    }
}

fn member(name: u32, ty: u32, offset: u32) -> Member {
    Member { name: StrOff(name), to: TypeId(ty), offset }
}

fn pairs<T>(tail: &[u8], make: impl Fn(u32, u32) -> T) -> Vec<T> {
    let word = |b: &[u8], at| u32_at(b, at).unwrap_or_default();
    tail.chunks_exact(8).map(|b| make(word(b, 0), word(b, 4))).collect()
}

fn triples<T>(tail: &[u8], make: impl Fn(u32, u32, u32) -> T) -> Vec<T> {
    let word = |b: &[u8], at| u32_at(b, at).unwrap_or_default();
    tail.chunks_exact(12).map(|b| make(word(b, 0), word(b, 4), word(b, 8))).collect()
}

impl Btf {
    /// Reads a BTF.
    ///
    /// # Errors
    ///
    /// When the header does not describe the bytes or a type record has no meaning. References between types and names are
    /// not followed.
    pub fn parse(bytes: &[u8]) -> Result<Btf, BtfError> {
        let wrong = |at, what| BtfError::Header { at, what };
        let header = Header::read(bytes).ok_or(wrong(4, "the header is longer than the data"))?;
        if header.magic == MAGIC.swap_bytes() {
            return Err(wrong(0, "big-endian"));
        }
        if header.magic != MAGIC {
            return Err(wrong(0, "wrong magic number"));
        }
        if header.version != 1 || header.flags != 0 {
            return Err(wrong(2, "a version other than 1, or flags"));
        }
        if header.len < HEADER_BYTES {
            return Err(wrong(4, "the header is too short"));
        }
        let body = bytes.get(header.len as usize..).unwrap_or_default();
        let types = header.types.of(body).ok_or(wrong(8, "the type section exceeds the data"))?;
        let strings = header.strings.of(body).ok_or(wrong(16, "the string section exceeds the data"))?;
        if strings.first() != Some(&0) || strings.last() != Some(&0) {
            return Err(wrong(16, "the string section does not start and end with NUL"));
        }
        Ok(Btf { types: parse_types(types)?, strings: strings.to_vec() })
    }

    /// The bytes: header, types, strings. A count above 24 bits is cut, as the format has no room for it.
    pub fn encode(&self) -> Vec<u8> {
        let mut types = Vec::new();
        for ty in &self.types {
            write_type(&mut types, ty);
        }
        let (type_len, str_len) = (types.len() as u32, self.strings.len() as u32);
        let mut bytes = Vec::with_capacity(HEADER_BYTES as usize + types.len() + self.strings.len());
        bytes.extend(MAGIC.to_le_bytes());
        bytes.extend([1, 0]);
        put(&mut bytes, &[HEADER_BYTES, 0, type_len, type_len, str_len]);
        bytes.extend(types);
        bytes.extend(&self.strings);
        bytes
    }
}

fn parse_types(section: &[u8]) -> Result<Vec<BtfType>, BtfError> {
    let mut types = Vec::new();
    let mut at = 0;
    while at < section.len() {
        let id = TypeId(types.len() as u32 + 1);
        let wrong = |what| BtfError::Type { id, at, what };
        let record = section.get(at..).and_then(Record::read).ok_or(wrong("the section ends inside of it"))?;
        let kind = Kind::from_number(record.kind_number()).ok_or(wrong("unknown kind"))?;
        record.check_reserved(kind).map_err(wrong)?;
        types.push(record.read_type(kind).ok_or(wrong("the section ends inside of it"))?);
        at += RECORD_BYTES + record.tail_bytes(kind);
    }
    Ok(types)
}

fn put(out: &mut Vec<u8>, words: &[u32]) {
    out.extend(words.iter().flat_map(|w| w.to_le_bytes()));
}

fn write_type(out: &mut Vec<u8>, ty: &BtfType) {
    let (vlen, size_or_type) = match &ty.body {
        Body::Ptr { to }
        | Body::Typedef { to }
        | Body::Volatile { to }
        | Body::Const { to }
        | Body::Restrict { to }
        | Body::TypeTag { to }
        | Body::Var { to, .. }
        | Body::DeclTag { to, .. } => (0, to.0),
        Body::Array { .. } | Body::Fwd => (0, 0),
        Body::Int { size, .. } | Body::Float { size } => (0, *size),
        Body::Struct { size, members } | Body::Union { size, members } => (members.len(), *size),
        Body::Enum { size, values } => (values.len(), *size),
        Body::Enum64 { size, values } => (values.len(), *size),
        Body::DataSec { size, vars } => (vars.len(), *size),
        Body::Func { proto, linkage } => (*linkage as usize, proto.0),
        Body::FuncProto { ret, params } => (params.len(), ret.0),
    };
    let vlen = vlen.min(VLEN_MAX as usize);
    let info = vlen as u32 | ty.kind().number() << 24 | u32::from(ty.flag) << 31;
    put(out, &[ty.name.0, info, size_or_type]);
    write_tail(out, &ty.body, vlen);
}

fn write_tail(out: &mut Vec<u8>, body: &Body, vlen: usize) {
    match body {
        Body::Int { encoding, offset, bits, .. } => out.extend([*bits, 0, *offset, *encoding & 0xf]),
        Body::Array { elem, index, count } => put(out, &[elem.0, index.0, *count]),
        Body::Struct { members, .. } | Body::Union { members, .. } => {
            members.iter().take(vlen).for_each(|m| put(out, &[m.name.0, m.to.0, m.offset]));
        }
        Body::Enum { values, .. } => values.iter().take(vlen).for_each(|v| put(out, &[v.name.0, v.value as u32])),
        Body::Enum64 { values, .. } => {
            values.iter().take(vlen).for_each(|v| put(out, &[v.name.0, v.value as u32, (v.value >> 32) as u32]));
        }
        Body::FuncProto { params, .. } => params.iter().take(vlen).for_each(|p| put(out, &[p.name.0, p.to.0])),
        Body::DataSec { vars, .. } => vars.iter().take(vlen).for_each(|v| put(out, &[v.var.0, v.offset, v.size])),
        Body::Var { linkage, .. } => put(out, &[*linkage]),
        Body::DeclTag { component, .. } => put(out, &[*component as u32]),
        _ => {}
    }
}
