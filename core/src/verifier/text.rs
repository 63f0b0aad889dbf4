//! Values as the kernel's log prints them.

use crate::domain::Tnum;
use crate::kernel::{Backtracking, Rules};

/// Known bits: two hexadecimal numbers, since 6.8 one number where all bits are known.
///
/// Kernel: `tnum_strn` (6.1 … 7.3).
#[doc(alias = "tnum_strn")]
pub(super) fn bits_text(bits: Tnum, rules: &Rules) -> String {
    if bits.mask != 0 || rules.walk.backtracking == Backtracking::SingleFrame {
        return format!("({:#x}; {:#x})", bits.value, bits.mask);
    }
    let signed = bits.value as i64;
    if bits.value <= u64::from(u16::MAX) {
        format!("{}", bits.value)
    } else if i16::try_from(signed).is_ok() {
        format!("{signed}")
    } else {
        format!("{:#x}", bits.value)
    }
}
