//! Words of the assembler's text: names, numbers, operators.

use super::AsmError;

/// One word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word<'a> {
    /// A register, a keyword, a symbol.
    Name(&'a str),
    /// An unsigned number.
    Number(u64),
    /// `?`: any value, in a pattern.
    Any,
    /// An operator or bracket.
    Sign(&'static str),
}

/// A word and where it starts: characters from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) word: Word<'a>,
    pub(super) column: u32,
}

/// Longer ones first: the first that fits is taken.
const SIGNS: [&str; 39] = [
    "s>>=", "s/=", "s%=", "s>=", "s<=", "<<=", ">>=", "s>", "s<", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "==",
    "!=", "<=", ">=", "<", ">", "=", "+", "-", "*", "/", "%", "&", "|", "^", "(", ")", "[", "]", ",", ":", "!",
];

/// Whether a symbol may start with the character.
pub(super) fn starts_name(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '_' | '.' | '$')
}

fn continues_name(c: char) -> bool {
    starts_name(c) || c.is_ascii_digit() || matches!(c, '@' | '?')
}

/// Cuts a line into words.
pub(super) fn words(text: &str) -> Result<Vec<Token<'_>>, AsmError> {
    let mut out = Vec::new();
    let mut rest = text;
    let mut column = 1;
    while let Some(c) = rest.chars().next() {
        if c.is_whitespace() {
            rest = rest.strip_prefix(c).unwrap_or("");
            column += 1;
            continue;
        }
        let (word, tail) = word(c, rest, column)?;
        out.push(Token { word, column });
        // Words are ASCII, so bytes count characters.
        column += (rest.len() - tail.len()) as u32;
        rest = tail;
    }
    Ok(out)
}

fn word(c: char, rest: &str, column: u32) -> Result<(Word<'_>, &str), AsmError> {
    if let Some(sign) = SIGNS.iter().find(|s| rest.starts_with(**s)) {
        return Ok((Word::Sign(sign), rest.strip_prefix(sign).unwrap_or("")));
    }
    if c == '?' {
        return Ok((Word::Any, rest.strip_prefix(c).unwrap_or("")));
    }
    if c.is_ascii_digit() {
        let (digits, tail) = split_while(rest, |c| c.is_ascii_alphanumeric() || c == '_');
        return number(digits)
            .map(|n| (Word::Number(n), tail))
            .map_err(|why| AsmError::new(column, format!("`{digits}` is no number: {why}")));
    }
    if starts_name(c) {
        let (name, tail) = split_while(rest, continues_name);
        return Ok((Word::Name(name), tail));
    }
    Err(AsmError::new(column, format!("unexpected character `{}`", c.escape_default())))
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Reads an unsigned number, decimal or `0x`.
pub(super) fn number(digits: &str) -> Result<u64, &'static str> {
    const TOO_LARGE: &str = "it does not fit 64 bits";
    if let Some(hex) = digits.strip_prefix("0x") {
        if hex.is_empty() || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err("`0x` wants hexadecimal digits");
        }
        return u64::from_str_radix(hex, 16).map_err(|_| TOO_LARGE);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("it has characters that are no digits");
    }
    if digits.len() > 1 && digits.starts_with('0') {
        return Err("llvm-mc reads a leading 0 as octal");
    }
    digits.parse().map_err(|_| TOO_LARGE)
}
