//! What a kernel refuses when a BTF is loaded, in its words.
//!
//! Stands for `btf_parse` and what it calls: `btf_parse_hdr`, `btf_check_sec_info`, `btf_parse_str_sec`,
//! `btf_parse_layout_sec`, `btf_check_all_metas` (here) and `btf_check_all_types` (`resolve.rs`). Left out: what a kernel
//! looks for in structures that hold its own objects (`btf_parse_struct_metas`), the order of type tags, and the length of
//! chains of modifiers. Where a BTF has two mistakes in the references between its types, the kernel may name the
//! other one first.
//!
//! A message is the last line of the kernel's log, without the line break.

use super::resolve;
use super::types::{Body, BtfType, EnumValue, Kind, Member, StrOff, TypeId, VarInfo};
use super::wire::{HEADER_BYTES, Header, INT_RESERVED, MAGIC, RECORD_BYTES, Record, Span, u32_at};
use super::{Btf, Linkage};
use crate::kernel::{BtfLayout, BtfRules, BtfSectionName, BtfTagFlag};
use std::fmt;
use thiserror::Error;

/// A BTF that a kernel refuses.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{message}")]
pub struct Refused {
    /// Positive error number.
    pub errno: i32,
    /// Last line of the log; empty when the kernel writes none.
    pub message: String,
}

/// Largest BTF that is loaded, in bytes.
#[doc(alias = "BTF_MAX_SIZE")]
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Largest number that a reference to a type may hold.
#[doc(alias = "BTF_MAX_TYPE")]
const TYPE_ID_MAX: u32 = 0xf_ffff;
/// Largest offset into the strings.
#[doc(alias = "BTF_MAX_NAME_OFFSET")]
const NAME_OFF_MAX: u32 = 0xff_ffff;
/// Longest name, in bytes.
#[doc(alias = "KSYM_NAME_LEN")]
const NAME_BYTES_MAX: usize = 512;
/// Bytes of the header with the layout section, and of one entry of that section.
const LAYOUT_HEADER_BYTES: u32 = 32;
const LAYOUT_ENTRY_BYTES: u32 = 4;
const EINVAL: i32 = 22;
const E2BIG: i32 = 7;
const ENOTSUPP: i32 = 524;

/// Says whether a kernel loads a BTF, and returns it read.
///
/// Kernel: `btf_parse` (6.1 … 7.3).
///
/// # Errors
///
/// The error number and the last line of the log.
#[doc(alias = "btf_parse")]
pub fn validate(bytes: &[u8], rules: &BtfRules) -> Result<Btf, Refused> {
    if bytes.len() > BYTES_MAX {
        return Err(Refused { errno: E2BIG, message: String::new() });
    }
    let header = check_header(bytes, rules)?;
    let body = bytes.get(header.len as usize..).unwrap_or_default();
    let strings = check_strings(&header, body, rules)?;
    check_layout(&header, rules)?;
    if !header.types.off.is_multiple_of(4) {
        return refuse("Unaligned type_off");
    }
    if header.types.len == 0 {
        return refuse("No type found");
    }
    let types = header.types.of(body).unwrap_or_default();
    let mut btf = Btf { types: Vec::new(), strings: strings.to_vec() };
    check_records(&mut btf, types, rules)?;
    resolve::check(&btf)?;
    Ok(btf)
}

fn refuse<T>(message: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { errno: EINVAL, message: message.into() })
}

/// Kernel: `btf_parse_hdr` (6.1 … 7.3).
#[doc(alias = "btf_parse_hdr")]
fn check_header(bytes: &[u8], rules: &BtfRules) -> Result<Header, Refused> {
    let Some(len) = u32_at(bytes, 4) else { return refuse("hdr_len not found") };
    let Some(header) = Header::read(bytes) else { return refuse("btf_header not found") };
    let unknown = bytes.get(known_header_bytes(rules) as usize..len as usize).unwrap_or_default();
    if unknown.iter().any(|b| *b != 0) {
        return Err(Refused { errno: E2BIG, message: "Unsupported btf_header".into() });
    }
    if header.magic != MAGIC {
        return refuse("Invalid magic");
    }
    if header.version != 1 {
        return Err(Refused { errno: ENOTSUPP, message: "Unsupported version".into() });
    }
    if header.flags != 0 {
        return Err(Refused { errno: ENOTSUPP, message: "Unsupported flags".into() });
    }
    if bytes.len() == len as usize {
        return refuse("No data");
    }
    check_sections(&header, bytes.len() as u32 - len, rules)?;
    Ok(header)
}

const fn known_header_bytes(rules: &BtfRules) -> u32 {
    match rules.layout {
        BtfLayout::Unknown => HEADER_BYTES,
        BtfLayout::Known => LAYOUT_HEADER_BYTES,
    }
}

/// Whether the kernel reads a layout section in this BTF.
fn has_layout(header: &Header, rules: &BtfRules) -> bool {
    rules.layout == BtfLayout::Known && header.len >= LAYOUT_HEADER_BYTES && header.layout.len != 0
}

/// Sections must fill the data, without gap or overlap.
///
/// Kernel: `btf_check_sec_info` (6.1 … 7.3).
#[doc(alias = "btf_check_sec_info")]
fn check_sections(header: &Header, total: u32, rules: &BtfRules) -> Result<(), Refused> {
    let mut spans = vec![header.types, header.strings];
    if has_layout(header, rules) {
        spans.push(header.layout);
    }
    spans.sort();
    let mut at = 0;
    for Span { off, len } in spans {
        if total < off {
            return refuse("Invalid section offset");
        }
        if at < off {
            return refuse("Unsupported section found");
        }
        if at > off {
            return refuse("Section overlap found");
        }
        if total - at < len {
            return refuse("Total section length too long");
        }
        at += len;
    }
    if at == total { Ok(()) } else { refuse("Unsupported section found") }
}

/// Kernel: `btf_parse_str_sec` (6.1 … 7.3).
#[doc(alias = "btf_parse_str_sec")]
fn check_strings<'a>(header: &Header, body: &'a [u8], rules: &BtfRules) -> Result<&'a [u8], Refused> {
    let strings = header.strings.of(body).unwrap_or_default();
    let at_end = header.strings.off as usize + strings.len() == body.len();
    if !at_end && (rules.layout == BtfLayout::Unknown || header.len < LAYOUT_HEADER_BYTES) {
        return refuse("String section is not at the end");
    }
    let ends_well = strings.first() == Some(&0) && strings.last() == Some(&0);
    if !ends_well || strings.len() - 1 > NAME_OFF_MAX as usize {
        return refuse("Invalid string section");
    }
    Ok(strings)
}

/// Kernel: `btf_parse_layout_sec` (7.3).
#[doc(alias = "btf_parse_layout_sec")]
fn check_layout(header: &Header, rules: &BtfRules) -> Result<(), Refused> {
    if !has_layout(header, rules) {
        return Ok(());
    }
    if !header.layout.off.is_multiple_of(4) {
        return refuse("Unaligned layout_off");
    }
    if header.layout.len < LAYOUT_ENTRY_BYTES {
        return refuse("Layout section is too small");
    }
    if !header.layout.len.is_multiple_of(LAYOUT_ENTRY_BYTES) {
        return refuse(format!("layout_len is not multiple of {LAYOUT_ENTRY_BYTES}"));
    }
    Ok(())
}

/// Checks each record on its own, and collects the types.
///
/// Kernel: `btf_check_all_metas`, `btf_check_meta` (6.1 … 7.3).
#[doc(alias = "btf_check_all_metas")]
fn check_records(btf: &mut Btf, section: &[u8], rules: &BtfRules) -> Result<(), Refused> {
    let mut at = 0;
    while at < section.len() {
        let id = btf.types.len() as u32 + 1;
        let bytes = section.get(at..).unwrap_or_default();
        let Some(record) = Record::read(bytes) else {
            return refuse(format!("[{id}] meta_left:{} meta_needed:{RECORD_BYTES}", bytes.len()));
        };
        if record.info & !rules.info_mask != 0 {
            return refuse(format!("[{id}] Invalid btf_info:{:x}", record.info));
        }
        let number = record.kind_number();
        let Some(kind) = Kind::from_number(number) else {
            return refuse(format!("[{id}] Invalid kind:{number}"));
        };
        if !name_off_valid(btf, record.name) {
            return refuse(format!("[{id}] Invalid name_offset:{}", record.name.0));
        }
        let tail = record.tail_bytes(kind);
        let basic = |what: fmt::Arguments<'_>| {
            let message = format!("[{id}] {} {} {what}", kind.name(), shown_name(btf, record.name));
            Refused { errno: EINVAL, message }
        };
        let Some(ty) = record.read_type(kind) else {
            return Err(basic(format_args!("meta_left:{} meta_needed:{tail}", record.rest.len())));
        };
        let int_data = u32_at(record.rest, 0).unwrap_or_default();
        if kind == Kind::Int && record.vlen() == 0 && !record.flag() && int_data & INT_RESERVED != 0 {
            return Err(basic(format_args!("Invalid int_data:{int_data:x}")));
        }
        Place { btf, id: TypeId(id), ty: &ty }.check(&record, rules)?;
        btf.push(ty);
        at += RECORD_BYTES + tail;
    }
    Ok(())
}

fn name_off_valid(btf: &Btf, name: StrOff) -> bool {
    name.0 <= NAME_OFF_MAX && (name.0 as usize) < btf.strings.len()
}

/// A name as the log shows it.
#[doc(alias = "__btf_name_by_offset")]
fn shown_name(btf: &Btf, name: StrOff) -> String {
    if name.0 == 0 {
        return "(anon)".into();
    }
    btf.bytes_at(name).map_or("(invalid-name-offset)".into(), |b| String::from_utf8_lossy(b).into_owned())
}

pub(super) fn is_identifier(btf: &Btf, name: StrOff) -> bool {
    is_name(btf.bytes_at(name).unwrap_or_default())
}

/// Whether a text may name a function, variable, structure, member or parameter: dots are allowed, and letters are those of
/// Latin-1.
///
/// Kernel: `btf_name_valid_identifier` (6.1 … 7.3).
#[doc(alias = "btf_name_valid_identifier")]
pub fn is_name(text: &[u8]) -> bool {
    let word = |b: u8| {
        let is_latin = matches!(b, 0xc0..=0xff) && !matches!(b, 0xd7 | 0xf7);
        b.is_ascii_alphabetic() || is_latin || b == b'_' || b == b'.'
    };
    text.first().is_some_and(|b| word(*b))
        && text.iter().all(|b| word(*b) || b.is_ascii_digit())
        && text.len() <= NAME_BYTES_MAX
}

/// A name without control characters; Latin-1 counts as printable.
///
/// Kernel: `btf_name_valid_section` (6.12 … 7.3).
#[doc(alias = "btf_name_valid_section")]
fn is_printable(btf: &Btf, name: StrOff) -> bool {
    let text = btf.bytes_at(name).unwrap_or_default();
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.iter().all(|b| matches!(b, 0x20..=0x7e | 0xa0..=0xff))
}

/// A type that is being checked, and the BTF that has its names.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub btf: &'a Btf,
    pub id: TypeId,
    pub ty: &'a BtfType,
}

impl Place<'_> {
    /// A complaint about the type.
    #[doc(alias = "btf_verifier_log_type")]
    pub fn refuse<T>(&self, what: impl fmt::Display) -> Result<T, Refused> {
        let name = shown_name(self.btf, self.ty.name);
        refuse(format!("[{}] {} {name} {} {what}", self.id.0, self.ty.kind().name(), self.details()))
    }

    /// A complaint about a member.
    #[doc(alias = "btf_verifier_log_member")]
    pub fn refuse_member<T>(&self, member: &Member, what: impl fmt::Display) -> Result<T, Refused> {
        let (name, flag) = (shown_name(self.btf, member.name), self.ty.flag);
        let width = if flag { format!("bitfield_size={} ", member.bitfield_bits(flag)) } else { String::new() };
        let offset = member.bit_offset(flag);
        refuse(format!("\t{name} type_id={} {width}bits_offset={offset} {what}", member.to.0))
    }

    /// A complaint about a variable of a section.
    #[doc(alias = "btf_verifier_log_vsi")]
    pub fn refuse_var<T>(&self, var: &VarInfo, what: impl fmt::Display) -> Result<T, Refused> {
        refuse(format!("\t type_id={} offset={} size={} {what}", var.var.0, var.offset, var.size))
    }

    fn details(&self) -> String {
        match &self.ty.body {
            Body::Int { size, encoding, offset, bits } => {
                let encoding = match encoding {
                    0 => "(none)",
                    1 => "SIGNED",
                    2 => "CHAR",
                    4 => "BOOL",
                    _ => "UNKN",
                };
                format!("size={size} bits_offset={offset} nr_bits={bits} encoding={encoding}")
            }
            Body::Array { elem, index, count } => {
                format!("type_id={} index_type_id={} nr_elems={count}", elem.0, index.0)
            }
            Body::Struct { size, members } | Body::Union { size, members } => {
                format!("size={size} vlen={}", members.len())
            }
            Body::Enum { size, values } => format!("size={size} vlen={}", values.len()),
            Body::Enum64 { size, values } => format!("size={size} vlen={}", values.len()),
            Body::DataSec { size, vars } => format!("size={size} vlen={}", vars.len()),
            Body::Fwd => if self.ty.flag { "union" } else { "struct" }.into(),
            Body::Float { size } => format!("size={size}"),
            Body::Var { to, linkage } => format!("type_id={} linkage={linkage}", to.0),
            Body::DeclTag { to, component } => format!("type={} component_idx={component}", to.0),
            Body::FuncProto { ret, .. } => format!("return={} args=({})", ret.0, self.shown_params()),
            Body::Func { proto: to, .. }
            | Body::Ptr { to }
            | Body::Typedef { to }
            | Body::Volatile { to }
            | Body::Const { to }
            | Body::Restrict { to }
            | Body::TypeTag { to } => format!("type_id={}", to.0),
        }
    }

    fn shown_params(&self) -> String {
        let Body::FuncProto { params, .. } = &self.ty.body else { return String::new() };
        let last = params.len().saturating_sub(1);
        let shown: Vec<_> = params
            .iter()
            .enumerate()
            .map(|(n, p)| match p.to {
                TypeId::VOID if n == last => "vararg".into(),
                to => format!("{} {}", to.0, shown_name(self.btf, p.name)),
            })
            .collect();
        if shown.is_empty() { "void".into() } else { shown.join(", ") }
    }

    /// Kernel: the `check_meta` operations of the kinds (6.1 … 7.3).
    fn check(&self, record: &Record<'_>, rules: &BtfRules) -> Result<(), Refused> {
        match &self.ty.body {
            Body::Int { size, encoding, offset, bits } => {
                self.no_vlen(record)?;
                self.no_flag()?;
                self.int(*size, *encoding, u32::from(*offset) + u32::from(*bits))
            }
            Body::Array { elem, index, .. } => self.array(record, *elem, *index),
            Body::Struct { size, members } | Body::Union { size, members } => self.members(*size, members),
            Body::Enum { size, values } => self.values(*size, values.iter().map(|v: &EnumValue| v.name)),
            Body::Enum64 { size, values } => self.values(*size, values.iter().map(|v| v.name)),
            Body::Fwd => {
                self.no_vlen(record)?;
                if record.size_or_type != 0 {
                    return self.refuse("type != 0");
                }
                self.named()
            }
            Body::Func { linkage, .. } => {
                self.named()?;
                if *linkage > Linkage::Global.number() {
                    return self.refuse("Invalid func linkage");
                }
                self.no_flag()
            }
            Body::FuncProto { .. } => {
                self.unnamed()?;
                self.no_flag()
            }
            Body::Var { to, linkage } => self.var(record, *to, *linkage),
            Body::DataSec { size, vars } => self.section(*size, vars, rules),
            Body::Float { size } => {
                self.no_vlen(record)?;
                self.no_flag()?;
                if matches!(size, 2 | 4 | 8 | 12 | 16) { Ok(()) } else { self.refuse("Invalid type_size") }
            }
            Body::DeclTag { component, .. } => self.decl_tag(record, *component, rules),
            Body::Ptr { to }
            | Body::Typedef { to }
            | Body::Volatile { to }
            | Body::Const { to }
            | Body::Restrict { to }
            | Body::TypeTag { to } => self.reference(record, *to, rules),
        }
    }

    fn no_vlen(&self, record: &Record<'_>) -> Result<(), Refused> {
        if record.vlen() == 0 { Ok(()) } else { self.refuse("vlen != 0") }
    }

    fn no_flag(&self) -> Result<(), Refused> {
        if self.ty.flag { self.refuse("Invalid btf_info kind_flag") } else { Ok(()) }
    }

    fn named(&self) -> Result<(), Refused> {
        if is_identifier(self.btf, self.ty.name) { Ok(()) } else { self.refuse("Invalid name") }
    }

    fn unnamed(&self) -> Result<(), Refused> {
        if self.ty.name.0 == 0 { Ok(()) } else { self.refuse("Invalid name") }
    }

    fn maybe_named(&self) -> Result<(), Refused> {
        if self.ty.name.0 == 0 { Ok(()) } else { self.named() }
    }

    fn int(&self, size: u32, encoding: u8, bits: u32) -> Result<(), Refused> {
        if bits > 128 {
            return self.refuse("nr_bits exceeds 128");
        }
        if bits.div_ceil(8) > size {
            return self.refuse("nr_bits exceeds type_size");
        }
        if matches!(encoding, 0 | 1 | 2 | 4) {
            return Ok(());
        }
        self.refuse("Unsupported encoding").map_err(|r| Refused { errno: ENOTSUPP, ..r })
    }

    fn array(&self, record: &Record<'_>, elem: TypeId, index: TypeId) -> Result<(), Refused> {
        self.unnamed()?;
        self.no_vlen(record)?;
        self.no_flag()?;
        if record.size_or_type != 0 {
            return self.refuse("size != 0");
        }
        if !is_object(elem) {
            return self.refuse("Invalid elem");
        }
        if !is_object(index) {
            return self.refuse("Invalid index");
        }
        Ok(())
    }

    fn members(&self, size: u32, members: &[Member]) -> Result<(), Refused> {
        self.maybe_named()?;
        let mut last = 0;
        for member in members {
            if !name_off_valid(self.btf, member.name) {
                return self.refuse_member(member, format_args!("Invalid member name_offset:{}", member.name.0));
            }
            if member.name.0 != 0 && !is_identifier(self.btf, member.name) {
                return self.refuse_member(member, "Invalid name");
            }
            if !is_object(member.to) {
                return self.refuse_member(member, "Invalid type_id");
            }
            let offset = member.bit_offset(self.ty.flag);
            if last > offset || offset != 0 && self.ty.kind() == Kind::Union {
                return self.refuse_member(member, "Invalid member bits_offset");
            }
            if offset.div_ceil(8) > size {
                return self.refuse_member(member, "Member bits_offset exceeds its struct size");
            }
            last = offset;
        }
        Ok(())
    }

    fn values(&self, size: u32, names: impl Iterator<Item = StrOff>) -> Result<(), Refused> {
        if !matches!(size, 1 | 2 | 4 | 8) {
            return self.refuse("Unexpected size");
        }
        self.maybe_named()?;
        for name in names {
            if !name_off_valid(self.btf, name) {
                return refuse(format!("\tInvalid name_offset:{}", name.0));
            }
            if !is_identifier(self.btf, name) {
                return self.refuse("Invalid name");
            }
        }
        Ok(())
    }

    fn var(&self, record: &Record<'_>, to: TypeId, linkage: u32) -> Result<(), Refused> {
        self.no_vlen(record)?;
        self.no_flag()?;
        self.named()?;
        if !is_object(to) {
            return self.refuse("Invalid type_id");
        }
        if linkage > 1 { self.refuse("Linkage not supported") } else { Ok(()) }
    }

    fn section(&self, size: u32, vars: &[VarInfo], rules: &BtfRules) -> Result<(), Refused> {
        if size == 0 {
            return self.refuse("size == 0");
        }
        self.no_flag()?;
        match rules.section_name {
            BtfSectionName::Identifier => self.named()?,
            BtfSectionName::Printable if is_printable(self.btf, self.ty.name) => {}
            BtfSectionName::Printable => return self.refuse("Invalid name"),
        }
        let (mut end, mut sum) = (0u64, 0u64);
        for var in vars {
            if !is_object(var.var) {
                return self.refuse_var(var, "Invalid type_id");
            }
            if u64::from(var.offset) < end || var.offset >= size {
                return self.refuse_var(var, "Invalid offset");
            }
            if var.size == 0 || var.size > size {
                return self.refuse_var(var, "Invalid size");
            }
            // The kernel adds these two in 32 bits.
            end = u64::from(var.offset.wrapping_add(var.size));
            if end > u64::from(size) {
                return self.refuse_var(var, "Invalid offset+size");
            }
            sum += u64::from(var.size);
        }
        if u64::from(size) < sum { self.refuse("Invalid btf_info size") } else { Ok(()) }
    }

    fn decl_tag(&self, record: &Record<'_>, component: i32, rules: &BtfRules) -> Result<(), Refused> {
        if self.btf.bytes_at(self.ty.name).is_none_or(<[u8]>::is_empty) {
            return self.refuse("Invalid value");
        }
        self.no_vlen(record)?;
        if rules.tag_flag == BtfTagFlag::Refused {
            self.no_flag()?;
        }
        if component < -1 { self.refuse("Invalid component_idx") } else { Ok(()) }
    }

    fn reference(&self, record: &Record<'_>, to: TypeId, rules: &BtfRules) -> Result<(), Refused> {
        self.no_vlen(record)?;
        let kind = self.ty.kind();
        if kind != Kind::TypeTag || rules.tag_flag == BtfTagFlag::Refused {
            self.no_flag()?;
        }
        if to.0 > TYPE_ID_MAX {
            return self.refuse("Invalid type_id");
        }
        match kind {
            Kind::Typedef => self.named(),
            Kind::TypeTag if self.btf.bytes_at(self.ty.name).is_none_or(<[u8]>::is_empty) => {
                self.refuse("Invalid name")
            }
            Kind::TypeTag => Ok(()),
            _ => self.unnamed(),
        }
    }
}

/// Whether a reference could be to a type other than `void`.
#[doc(alias = "BTF_TYPE_ID_VALID")]
const fn is_object(id: TypeId) -> bool {
    id.0 != 0 && id.0 <= TYPE_ID_MAX
}
