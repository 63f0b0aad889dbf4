//! `.BTF.ext`: which instruction of which section starts which function, and which instructions are CO-RE relocations.
//!
//! Stands for the section that clang writes and libbpf reads; the kernel never sees it. Line information is left out.

use super::types::StrOff;
use super::wire::{BtfError, MAGIC, Span, u16_at, u32_at};

/// An instruction and the `FUNC` that starts there, as `BPF_PROG_LOAD` takes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[doc(alias = "bpf_func_info")]
pub struct FuncInfo {
    /// The instruction: its index in a program, its offset in bytes in `.BTF.ext`.
    pub insn_off: u32,
    /// Number of the type. Not a `TypeId`, as nothing says that there is such a type.
    pub type_id: u32,
}

impl FuncInfo {
    /// The eight bytes of the record.
    pub fn to_bytes(self) -> [u8; 8] {
        (u64::from(self.insn_off) | u64::from(self.type_id) << 32).to_le_bytes()
    }
}

/// An instruction that libbpf would adjust to the types of the running kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "bpf_core_relo")]
pub struct CoreRelo {
    /// Offset of the instruction in its section, in bytes.
    pub insn_off: u32,
    /// Number of the type that it is about.
    pub type_id: u32,
    /// Which member, as a list of indexes.
    pub access: StrOff,
    /// What is asked of the type, by number.
    pub kind: u32,
}

/// The records of one ELF section.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SectionRecords<T> {
    /// Name of the section.
    pub section: StrOff,
    /// Records, in order.
    pub records: Vec<T>,
}

/// A whole `.BTF.ext`, without line information. Strings are those of the `.BTF` next to it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BtfExt {
    /// Starts of functions.
    pub funcs: Vec<SectionRecords<FuncInfo>>,
    /// CO-RE relocations.
    pub core_relos: Vec<SectionRecords<CoreRelo>>,
}

impl BtfExt {
    /// Reads the section.
    ///
    /// # Errors
    ///
    /// When a part exceeds the section or has records that are too short.
    pub fn parse(bytes: &[u8]) -> Result<BtfExt, BtfError> {
        let wrong = |at, what| BtfError::Ext { at, what };
        if u16_at(bytes, 0) != Some(MAGIC) {
            return Err(wrong(0, "wrong magic number"));
        }
        let header_len = u32_at(bytes, 4).unwrap_or_default() as usize;
        let header = bytes.get(..header_len).ok_or(wrong(4, "the header is longer than the data"))?;
        let part = |field: usize| -> Result<(&[u8], usize), BtfError> {
            let (Some(off), Some(len)) = (u32_at(header, field), u32_at(header, field + 4)) else {
                return Ok((&[], 0));
            };
            let body = bytes.get(header_len..).unwrap_or_default();
            let part = Span { off, len }.of(body).ok_or(wrong(field, "a part exceeds the data"))?;
            Ok((part, header_len + off as usize))
        };
        let (funcs, funcs_at) = part(8)?;
        let (relos, relos_at) = part(24)?;
        Ok(BtfExt {
            funcs: records(funcs, funcs_at, 8, |r| Some(FuncInfo { insn_off: u32_at(r, 0)?, type_id: u32_at(r, 4)? }))?,
            core_relos: records(relos, relos_at, 16, |r| {
                Some(CoreRelo {
                    insn_off: u32_at(r, 0)?,
                    type_id: u32_at(r, 4)?,
                    access: StrOff(u32_at(r, 8)?),
                    kind: u32_at(r, 12)?,
                })
            })?,
        })
    }
}

/// Reads one part: the size of a record, then for each section its name, a count, and the records.
fn records<T>(
    part: &[u8],
    base: usize,
    record_min: usize,
    read: impl Fn(&[u8]) -> Option<T>,
) -> Result<Vec<SectionRecords<T>>, BtfError> {
    let mut sections = Vec::new();
    if part.is_empty() {
        return Ok(sections);
    }
    let wrong = |at, what| BtfError::Ext { at: base + at, what };
    let record_len = u32_at(part, 0).unwrap_or_default() as usize;
    if record_len < record_min || !record_len.is_multiple_of(4) {
        return Err(wrong(0, "records of an unknown size"));
    }
    let mut at = 4;
    while at < part.len() {
        let (Some(section), Some(count)) = (u32_at(part, at), u32_at(part, at + 4)) else {
            return Err(wrong(at, "a part ends inside of a section's header"));
        };
        let len = record_len.checked_mul(count as usize).ok_or(wrong(at + 4, "too many records"))?;
        let bytes = part
            .get(at + 8..)
            .and_then(|rest| rest.get(..len))
            .ok_or(wrong(at + 4, "a part ends before the last of its records"))?;
        sections.push(SectionRecords {
            section: StrOff(section),
            records: bytes.chunks_exact(record_len).filter_map(&read).collect(),
        });
        at += 8 + len;
    }
    Ok(sections)
}
