//! Jumps, calls and stores: whatever does not assign to a register.

use super::lex::{self, Word};
use super::parser::{DISTANCE, Field, OFF, Parser, Result, U16, register};
use super::{AnyFields, AsmError, CONDS, Symbol, SymbolKind};
use crate::isa::op::{AtomicOp, Op, Operand, Reg, Size, Width};

impl<'a> Parser<'a> {
    pub(super) fn operation(&mut self) -> Result<Op> {
        let what = "expected an operation";
        match self.peek() {
            Some(Word::Sign("*")) => self.store(),
            Some(Word::Name(name)) => {
                if register(name).is_some() {
                    return self.assignment();
                }
                self.at += 1;
                match name {
                    "exit" => Ok(Op::Exit),
                    "goto" => Ok(Op::Jump { off: self.distance_off()?, wide: false }),
                    "gotol" => Ok(Op::Jump { off: self.distance_imm()?, wide: true }),
                    "may_goto" => Ok(Op::MayGoto { off: self.distance_off()? as i16 }),
                    "call" => self.call(),
                    "if" => self.jump_if(),
                    "lock" => self.lock(),
                    "store_release" => self.store_release(),
                    _ => {
                        self.at -= 1;
                        Err(self.error(format!("no operation starts with `{name}`")).hint(
                            "an assignment, `if`, `goto`, `gotol`, `may_goto`, `call`, `lock`, `store_release` or `exit`",
                        ))
                    }
                }
            }
            _ => Err(self.error(what)),
        }
    }

    // ---- jumps and calls

    fn jump_symbol(&mut self) -> Option<()> {
        let Some(Word::Name(name)) = self.peek() else { return None };
        self.symbol = Some(Symbol { kind: SymbolKind::Jump, name, column: self.column() });
        self.at += 1;
        Some(())
    }

    fn distance_off(&mut self) -> Result<i32> {
        self.eat_plus_before_wildcard();
        if self.wildcard()? {
            self.any.off = true;
            return Ok(0);
        }
        match self.jump_symbol() {
            Some(()) => Ok(0),
            None => self.signed(&OFF, false).map(|n| n as i32),
        }
    }

    fn distance_imm(&mut self) -> Result<i32> {
        self.eat_plus_before_wildcard();
        if self.wildcard()? {
            self.any.imm = true;
            return Ok(0);
        }
        match self.jump_symbol() {
            Some(()) => Ok(0),
            None => self.signed(&DISTANCE, false).map(|n| n as i32),
        }
    }

    pub(super) fn eat_plus_before_wildcard(&mut self) {
        if self.peek() == Some(Word::Sign("+")) && self.peek_after() == Some(Word::Any) {
            self.at += 1;
        }
    }

    fn jump_if(&mut self) -> Result<Op> {
        let (width, dst) = self.reg()?;
        let column = self.column();
        let sign = self.any_sign("a comparison")?;
        let cond = CONDS.iter().find(|(text, _)| *text == sign).map(|(_, cond)| *cond);
        let all = "`==` `!=` `>` `>=` `<` `<=` `s>` `s>=` `s<` `s<=` `&`";
        let cond = cond.ok_or_else(|| AsmError::new(column, format!("`{sign}` is no comparison")).hint(all))?;
        let src = self.operand(width)?;
        self.keyword("goto")?;
        Ok(Op::JumpIf { width, cond, dst, src, off: self.distance_off()? as i16 })
    }

    fn call(&mut self) -> Result<Op> {
        let Some(Word::Name(name)) = self.peek() else {
            return Ok(Op::CallHelper { id: self.imm()? });
        };
        let column = self.column();
        self.at += 1;
        let (base, beside) = self.split_beside(name, column)?;
        let off = self.beside(beside, column, &U16, |any| &mut any.off)? as i16;
        if let Some(id) = base.strip_prefix("kfunc.") {
            return Ok(Op::CallKfunc { id: self.symbol_number(id, column)? as i32, off });
        }
        if base == "pc" {
            return Ok(Op::CallLocal { rel: self.plus_distance()?, off });
        }
        self.symbol = Some(Symbol { kind: SymbolKind::Call, name: base, column });
        Ok(Op::CallLocal { rel: 0, off })
    }

    /// The distance after `pc`, which a sign starts.
    pub(super) fn plus_distance(&mut self) -> Result<i32> {
        self.eat_plus_before_wildcard();
        if self.wildcard()? {
            self.any.imm = true;
            return Ok(0);
        }
        if !matches!(self.peek(), Some(Word::Sign("+" | "-"))) {
            return Err(self.error("expected a distance after `pc`").hint("such as `pc+5`"));
        }
        self.signed(&DISTANCE, false).map(|n| n as i32)
    }

    /// Cuts `name@beside`.
    pub(super) fn split_beside(&self, name: &'a str, column: u32) -> Result<(&'a str, Option<&'a str>)> {
        let (base, beside) = match name.split_once('@') {
            Some((base, beside)) => (base, Some(beside)),
            None => (name, None),
        };
        if base.contains('?') && !(self.pattern && base.ends_with(".?")) {
            return Err(AsmError::new(column, format!("no symbol is called `{base}`")));
        }
        Ok((base, beside))
    }

    /// The number after an `@`, 0 without one.
    pub(super) fn beside(
        &mut self,
        text: Option<&str>,
        column: u32,
        field: &Field,
        any: impl Fn(&mut AnyFields) -> &mut bool,
    ) -> Result<i128> {
        match text {
            None => Ok(0),
            Some("?") if self.pattern => {
                *any(&mut self.any) = true;
                Ok(0)
            }
            Some(text) => match lex::number(text) {
                Ok(n) if i128::from(n) <= field.max => Ok(i128::from(n)),
                _ => Err(AsmError::new(column, format!("`@{text}` is not {}", field.what))),
            },
        }
    }

    /// A number that is part of a symbol.
    pub(super) fn symbol_number(&mut self, text: &str, column: u32) -> Result<u32> {
        if text == "?" && self.pattern {
            self.any.imm = true;
            return Ok(0);
        }
        let n = lex::number(text).ok().and_then(|n| u32::try_from(n).ok());
        n.ok_or_else(|| AsmError::new(column, format!("`{text}` is not a number of 32 bits")))
    }

    // ---- memory

    /// `(u32 *)` as size and sign.
    pub(super) fn cast(&mut self) -> Result<(Size, bool)> {
        self.sign("(")?;
        let column = self.column();
        let name = self.name("a type such as `u64`")?;
        let signed = name.starts_with('s');
        let size = match name.strip_prefix(['u', 's']) {
            Some("8") => Size::B,
            Some("16") => Size::H,
            Some("32") => Size::W,
            Some("64") if !signed => Size::Dw,
            _ => {
                let error = AsmError::new(column, format!("no type `{name}`"));
                return Err(error.hint("u8, u16, u32, u64, or to load with sign s8, s16, s32"));
            }
        };
        self.sign("*")?;
        self.sign(")")?;
        Ok((size, signed))
    }

    pub(super) fn unsigned_cast(&mut self) -> Result<Size> {
        let column = self.column();
        match self.cast()? {
            (size, false) => Ok(size),
            _ => Err(AsmError::new(column, "only a plain load takes a signed type")),
        }
    }

    /// `(r10 - 8)`
    pub(super) fn memory(&mut self) -> Result<(Reg, i16)> {
        self.sign("(")?;
        let found = self.base_and_offset()?;
        self.sign(")")?;
        Ok(found)
    }

    pub(super) fn base_and_offset(&mut self) -> Result<(Reg, i16)> {
        let base = self.reg_of(Width::W64)?;
        let negative = match self.any_sign("`+` or `-` and an offset")? {
            "+" => false,
            "-" => true,
            _ => {
                self.at -= 1;
                return Err(self.error("expected `+` or `-` and an offset").hint("such as `(r10 - 8)`"));
            }
        };
        if self.wildcard()? {
            self.any.off = true;
            return Ok((base, 0));
        }
        if !matches!(self.peek(), Some(Word::Number(_))) {
            return Err(self.error("expected an offset"));
        }
        Ok((base, self.signed(&OFF, negative)? as i16))
    }

    fn store(&mut self) -> Result<Op> {
        self.sign("*")?;
        let size = self.unsigned_cast()?;
        let (base, off) = self.memory()?;
        self.sign("=")?;
        let src = match self.peek() {
            Some(Word::Name(_)) => Operand::Reg(self.reg_for(size)?),
            _ => Operand::Imm(self.imm()?),
        };
        Ok(Op::Store { size, base, off, src })
    }

    fn lock(&mut self) -> Result<Op> {
        self.sign("*")?;
        let size = self.atomic_cast()?;
        let (base, off) = self.memory()?;
        let fetch = false;
        let op = match self.any_sign("`+=`, `|=`, `&=` or `^=`")? {
            "+=" => AtomicOp::Add { fetch },
            "|=" => AtomicOp::Or { fetch },
            "&=" => AtomicOp::And { fetch },
            "^=" => AtomicOp::Xor { fetch },
            _ => {
                self.at -= 1;
                return Err(self.error("expected `+=`, `|=`, `&=` or `^=`"));
            }
        };
        Ok(Op::Atomic { size, op, base, off, src: self.reg_for(size)? })
    }

    fn atomic_cast(&mut self) -> Result<Size> {
        let column = self.column();
        match self.unsigned_cast()? {
            size @ (Size::W | Size::Dw) => Ok(size),
            _ => Err(AsmError::new(column, "this atomic operation takes u32 or u64")),
        }
    }

    fn store_release(&mut self) -> Result<Op> {
        self.sign("(")?;
        let size = self.unsigned_cast()?;
        let (base, off) = self.memory()?;
        self.sign(",")?;
        let src = self.reg_for(size)?;
        self.sign(")")?;
        Ok(Op::Atomic { size, op: AtomicOp::StoreRelease, base, off, src })
    }
}
