//! Format strings of `snprintf`, as far as they are checked when the program is loaded.
//!
//! Stands for `bpf_bprintf_prepare` without arguments (6.1 … 7.3).

/// Whether a format, up to its terminating zero, is well-formed and asks for no more than `args` arguments.
///
/// Kernel: `bpf_bprintf_prepare` (6.1 … 7.3).
#[doc(alias = "bpf_bprintf_prepare")]
pub(super) fn takes(format: &[u8], args: u64) -> bool {
    let at = |i: usize| format.get(i).copied().unwrap_or(0);
    let (mut i, mut used) = (0, 0);
    while i < format.len() {
        let byte = at(i);
        if byte.is_ascii() && !printable(byte) && !space(byte) {
            return false;
        }
        if byte != b'%' {
            i += 1;
            continue;
        }
        if at(i + 1) == b'%' {
            i += 2;
            continue;
        }
        let Some(last) = conversion(&at, i + 1).filter(|_| used < args) else {
            return false;
        };
        used += 1;
        i = last + 1;
    }
    true
}

/// The last byte of the conversion whose flags start at `i`.
fn conversion(at: &impl Fn(usize) -> u8, mut i: usize) -> Option<usize> {
    while matches!(at(i), b'0' | b'+' | b'-' | b' ') {
        i += 1;
    }
    while at(i).is_ascii_digit() {
        i += 1;
    }
    match at(i) {
        b'p' => pointer(at, i),
        b's' => ends(at(i + 1)).then_some(i),
        b'c' => Some(i),
        _ => {
            let longs = usize::from(at(i) == b'l') + usize::from(at(i) == b'l' && at(i + 1) == b'l');
            matches!(at(i + longs), b'i' | b'd' | b'u' | b'x' | b'X').then_some(i + longs)
        }
    }
}

/// The last byte of a `%p` and what belongs to it.
fn pointer(at: &impl Fn(usize) -> u8, i: usize) -> Option<usize> {
    match (at(i + 1), at(i + 2)) {
        (next, _) if ends(next) => Some(i),
        (b'k' | b'u', b's') => ends(at(i + 3)).then_some(i + 2),
        (b'K' | b'x' | b's' | b'S' | b'B', _) => Some(i + 1),
        (b'i' | b'I', b'4' | b'6') => Some(i + 2),
        _ => None,
    }
}

/// Whether a byte ends a conversion that takes suffixes.
fn ends(byte: u8) -> bool {
    // The kernel's tables are those of Latin 1.
    byte == 0 || space(byte) || byte.is_ascii_punctuation() || matches!(byte, 0xa0..=0xbf | 0xd7 | 0xf7)
}

fn space(byte: u8) -> bool {
    matches!(byte, b' ' | 9..=13)
}

fn printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

#[cfg(test)]
mod tests {
    use super::takes;

    #[test]
    fn formats_that_pass() {
        for (format, args) in [
            ("", 0),
            ("plain %% text\n", 0),
            ("%d", 1),
            ("%d", 3),
            ("%-08lld %x", 2),
            ("%p", 1),
            ("%pks.", 1),
            ("%pK", 1),
            ("%pB%pI6", 2),
            ("%s,%c", 2),
            ("\u{e9}", 0),
        ] {
            assert!(takes(format.as_bytes(), args), "{format}");
        }
    }

    #[test]
    fn formats_that_do_not() {
        for (format, args) in
            [("%d", 0), ("%d%d", 1), ("%", 1), ("%lc", 1), ("%sa", 1), ("%pQ", 1), ("%i4%", 2), ("\u{1}", 0), ("%f", 1)]
        {
            assert!(!takes(format.as_bytes(), args), "{format}");
        }
    }
}
