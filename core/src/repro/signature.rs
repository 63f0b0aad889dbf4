//! Texts without their numbers, so that those of one kind are equal.

/// A text with every number replaced by `N`: decimal and hexadecimal ones, with their sign. Registers too: `R1` becomes `RN`.
pub fn blank_numbers(text: &str) -> String {
    let mut kind = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, from) = rest.split_at(start);
        // Behind a number a minus is a range's.
        let sign = before.strip_suffix('-').filter(|before| !before.is_empty() || kind.is_empty());
        kind.push_str(sign.unwrap_or(before));
        kind.push('N');
        let digits = match from.strip_prefix("0x").filter(|hex| hex.starts_with(|c: char| c.is_ascii_hexdigit())) {
            Some(hex) => hex.trim_start_matches(|c: char| c.is_ascii_hexdigit()),
            None => from.trim_start_matches(|c: char| c.is_ascii_digit()),
        };
        rest = digits;
    }
    kind.push_str(rest);
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_all_forms_are_blank() {
        for (text, kind) in [
            ("R1 !read_ok", "RN !read_ok"),
            (
                "invalid access to map value, value_size=8 off=-16 size=8",
                "invalid access to map value, value_size=N off=N size=N",
            ),
            ("off 0x1f, var_off=(0x0; 0xff)", "off N, var_off=(N; N)"),
            ("the sequence of 8193 jumps is too complex.", "the sequence of N jumps is too complex."),
            ("0xyz 0x", "Nxyz Nx"),
            ("regs 1-5, off -3", "regs N-N, off N"),
            ("", ""),
            ("12", "N"),
        ] {
            assert_eq!(blank_numbers(text), kind);
        }
    }
}
