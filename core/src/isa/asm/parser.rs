//! The parser's ground: words, registers, numbers.

use super::lex::{self, Token, Word};
use super::{AnyFields, AsmError, Assembled, Symbol, shown};
use crate::isa::op::{Operand, Reg, Size, Width};

/// A number's field and the least and greatest value that it takes.
pub(super) struct Field {
    pub(super) what: &'static str,
    pub(super) min: i128,
    pub(super) max: i128,
}

pub(super) const IMM: Field = Field { what: "an immediate", min: i32::MIN as i128, max: u32::MAX as i128 };
pub(super) const IMM64: Field = Field { what: "a 64-bit constant", min: i64::MIN as i128, max: u64::MAX as i128 };
pub(super) const OFF: Field = Field { what: "an offset", min: i16::MIN as i128, max: i16::MAX as i128 };
pub(super) const DISTANCE: Field = Field { what: "a distance", min: i32::MIN as i128, max: i32::MAX as i128 };
pub(super) const VALUE_OFF: Field = Field { what: "an offset into a map's value", min: 0, max: u32::MAX as i128 };
pub(super) const U16: Field = Field { what: "a number of 16 bits", min: 0, max: u16::MAX as i128 };
pub(super) const ADDR_SPACE: Field = Field { what: "an address space", min: 0, max: u16::MAX as i128 };

pub(super) type Result<T, E = AsmError> = std::result::Result<T, E>;

/// A register by its name: width and number, which may be above 10.
pub(super) fn register(name: &str) -> Option<(Width, u32)> {
    let (width, digits) = match name.strip_prefix('r') {
        Some(digits) => (Width::W64, digits),
        None => (Width::W32, name.strip_prefix('w')?),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((width, digits.parse().unwrap_or(u32::MAX)))
}

pub(super) struct Parser<'a> {
    pub(super) tokens: Vec<Token<'a>>,
    pub(super) at: usize,
    pub(super) end: u32,
    pub(super) pattern: bool,
    pub(super) any: AnyFields,
    pub(super) symbol: Option<Symbol<'a>>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, pattern: bool) -> Result<Parser<'a>> {
        let tokens = lex::words(text)?;
        let end = text.trim_end().chars().count() as u32 + 1;
        Ok(Parser { tokens, at: 0, end, pattern, any: AnyFields::default(), symbol: None })
    }

    pub(super) fn line(mut self) -> Result<Assembled<'a>> {
        let op = self.operation()?;
        match self.peek() {
            None => Ok(Assembled { op, symbol: self.symbol, any: self.any }),
            Some(_) => Err(self.error("unexpected text after the operation").hint("write one operation a line")),
        }
    }

    pub(super) fn peek(&self) -> Option<Word<'a>> {
        self.tokens.get(self.at).map(|t| t.word)
    }

    pub(super) fn peek_after(&self) -> Option<Word<'a>> {
        self.tokens.get(self.at + 1).map(|t| t.word)
    }

    pub(super) fn column(&self) -> u32 {
        self.tokens.get(self.at).map_or(self.end, |t| t.column)
    }

    pub(super) fn error(&self, message: impl Into<String>) -> AsmError {
        AsmError::new(self.column(), message)
    }

    pub(super) fn eat(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Word::Sign(s)) if s == sign);
        self.at += usize::from(found);
        found
    }

    pub(super) fn sign(&mut self, sign: &str) -> Result<()> {
        if self.eat(sign) { Ok(()) } else { Err(self.error(format!("expected `{sign}`"))) }
    }

    pub(super) fn any_sign(&mut self, expected: &str) -> Result<&'static str> {
        let Some(Word::Sign(sign)) = self.peek() else {
            return Err(self.error(format!("expected {expected}")));
        };
        self.at += 1;
        Ok(sign)
    }

    pub(super) fn name(&mut self, expected: &str) -> Result<&'a str> {
        let Some(Word::Name(name)) = self.peek() else {
            return Err(self.error(format!("expected {expected}")));
        };
        self.at += 1;
        Ok(name)
    }

    pub(super) fn keyword(&mut self, word: &str) -> Result<()> {
        if self.peek() != Some(Word::Name(word)) {
            return Err(self.error(format!("expected `{word}`")));
        }
        self.at += 1;
        Ok(())
    }

    pub(super) fn reg(&mut self) -> Result<(Width, Reg)> {
        let error = self.error("expected a register");
        let Some(Word::Name(name)) = self.peek() else { return Err(error) };
        let (width, n) = register(name).ok_or(error)?;
        let reg = u8::try_from(n).ok().and_then(Reg::new);
        let reg = reg.ok_or_else(|| self.error(format!("no register `{name}`")).hint("r0 to r10, w0 to w10"))?;
        self.at += 1;
        Ok((width, reg))
    }

    pub(super) fn reg_of(&mut self, width: Width) -> Result<Reg> {
        let column = self.column();
        let (got, reg) = self.reg()?;
        if got == width {
            return Ok(reg);
        }
        let right = shown(width, reg);
        Err(AsmError::new(column, "the register has the wrong width here").hint(format!("write `{right}`")))
    }

    /// The register of a memory access: its 32-bit name stands for the same bits, below eight bytes.
    pub(super) fn reg_for(&mut self, size: Size) -> Result<Reg> {
        if size == Size::Dw { self.reg_of(Width::W64) } else { self.reg().map(|(_, reg)| reg) }
    }

    /// Whether the next word is `?`, which only a pattern may hold.
    pub(super) fn wildcard(&mut self) -> Result<bool> {
        if self.peek() != Some(Word::Any) {
            return Ok(false);
        }
        if !self.pattern {
            return Err(self.error("`?` stands for any value in a pattern only"));
        }
        self.at += 1;
        Ok(true)
    }

    /// A signed number. `negative` is a minus that was read before.
    pub(super) fn signed(&mut self, field: &Field, negative: bool) -> Result<i128> {
        let column = self.column();
        let negative = negative ^ (!negative && self.eat("-"));
        if !negative {
            self.eat("+");
        }
        let Some(Word::Number(n)) = self.peek() else {
            return Err(self.error(format!("expected {}", field.what)));
        };
        self.at += 1;
        let value = if negative { -i128::from(n) } else { i128::from(n) };
        if (field.min..=field.max).contains(&value) {
            return Ok(value);
        }
        let range = format!("it lies between {} and {}", field.min, field.max);
        Err(AsmError::new(column, format!("{value} does not fit {}", field.what)).hint(range))
    }

    pub(super) fn imm(&mut self) -> Result<i32> {
        if self.wildcard()? {
            self.any.imm = true;
            return Ok(0);
        }
        self.signed(&IMM, false).map(|n| n as i32)
    }

    pub(super) fn operand(&mut self, width: Width) -> Result<Operand> {
        match self.peek() {
            Some(Word::Name(_)) => self.reg_of(width).map(Operand::Reg),
            _ => self.imm().map(Operand::Imm),
        }
    }
}
