//! Assignments to a register.

use super::lex::Word;
use super::parser::{ADDR_SPACE, IMM, IMM64, Parser, Result, VALUE_OFF, register};
use super::{ALU_OPS, AsmError, Symbol, SymbolKind, shown};
use crate::isa::op::{AluOp, AtomicOp, Endian, Imm64, Op, Operand, Reg, Size, Width};

impl<'a> Parser<'a> {
    pub(super) fn assignment(&mut self) -> Result<Op> {
        let (width, dst) = self.reg()?;
        let column = self.column();
        let sign = self.any_sign("`=` or an operator such as `+=`")?;
        if sign == "=" {
            return self.value(width, dst);
        }
        let op = ALU_OPS.iter().find(|(text, _)| *text == sign).map(|(_, op)| *op);
        let op = op.ok_or_else(|| AsmError::new(column, format!("`{sign}` does not assign")))?;
        Ok(Op::Alu { width, op, dst, src: self.operand(width)? })
    }

    fn value(&mut self, width: Width, dst: Reg) -> Result<Op> {
        match (self.peek(), self.peek_after()) {
            (Some(Word::Sign("-")), Some(Word::Name(_))) => {
                self.at += 1;
                self.same_reg(width, dst)?;
                Ok(Op::Neg { width, dst })
            }
            (Some(Word::Sign("(")), _) => self.sign_extension(width, dst),
            (Some(Word::Sign("*")), _) => self.load(width, dst),
            (Some(Word::Name(_)), Some(Word::Name("ll"))) => self.symbol64(width, dst),
            (Some(Word::Name(name)), _) if register(name).is_some() => {
                Ok(Op::Alu { width, op: AluOp::Mov, dst, src: Operand::Reg(self.reg_of(width)?) })
            }
            (Some(Word::Name(_)), Some(Word::Sign("+" | "-"))) => self.symbol64(width, dst),
            (Some(Word::Name(name)), _) => self.named_value(name, width, dst),
            _ => self.constant(width, dst),
        }
    }

    fn same_reg(&mut self, width: Width, dst: Reg) -> Result<()> {
        let column = self.column();
        if self.reg_of(width)? == dst {
            return Ok(());
        }
        Err(AsmError::new(column, format!("expected `{}`, as on the left", shown(width, dst))))
    }

    fn constant(&mut self, width: Width, dst: Reg) -> Result<Op> {
        let column = self.column();
        let any = self.wildcard()?;
        let value = if any { 0 } else { self.signed(&IMM64, false)? };
        if self.peek() == Some(Word::Name("ll")) {
            self.at += 1;
            (self.any.imm, self.any.imm_hi) = (any, any);
            self.ll(width, column)?;
            return Ok(Op::LdImm64 { dst, imm: Imm64::Const(value as u64) });
        }
        self.any.imm = any;
        if !(IMM.min..=IMM.max).contains(&value) {
            let error = AsmError::new(column, format!("{value} does not fit {}", IMM.what));
            return Err(error.hint("add `ll` to load 64 bits"));
        }
        Ok(Op::Alu { width, op: AluOp::Mov, dst, src: Operand::Imm(value as i32) })
    }

    fn ll(&self, width: Width, column: u32) -> Result<()> {
        match width {
            Width::W64 => Ok(()),
            Width::W32 => Err(AsmError::new(column, "`ll` loads a 64-bit register").hint("write `r` for `w`")),
        }
    }

    fn symbol64(&mut self, width: Width, dst: Reg) -> Result<Op> {
        let column = self.column();
        let name = self.name("a symbol")?;
        let (base, beside) = self.split_beside(name, column)?;
        let imm = if let Some(map) = base.strip_prefix("map.") {
            self.map_reference(map, column)?
        } else if let Some(idx) = base.strip_prefix("map_idx.") {
            Imm64::MapByIdx { idx: self.symbol_number(idx, column)? as i32, value_off: self.value_off()? }
        } else if let Some(id) = base.strip_prefix("btf.") {
            Imm64::BtfId(self.symbol_number(id, column)? as i32)
        } else {
            self.func_reference(base, beside, column)?
        };
        if beside.is_some() && !matches!(imm, Imm64::Func { .. }) {
            return Err(AsmError::new(column, "`@` goes with a function or kfunc only"));
        }
        self.keyword("ll")?;
        self.ll(width, column)?;
        Ok(Op::LdImm64 { dst, imm })
    }

    fn map_reference(&mut self, name: &'a str, column: u32) -> Result<Imm64> {
        let by_number = name == "?" || name.starts_with(|c: char| c.is_ascii_digit());
        let map = if by_number { self.symbol_number(name, column)? } else { 0 };
        if !by_number {
            self.symbol = Some(Symbol { kind: SymbolKind::Map, name, column });
        }
        Ok(match self.value_off()? {
            None => Imm64::Map(map),
            Some(off) => Imm64::MapValue { map, off },
        })
    }

    fn func_reference(&mut self, base: &'a str, beside: Option<&str>, column: u32) -> Result<Imm64> {
        let number = self.beside(beside, column, &VALUE_OFF, |any| &mut any.imm_hi)? as u32 as i32;
        if base == "pc" {
            return Ok(Imm64::Func { rel: self.plus_distance()?, number });
        }
        if self.peek() != Some(Word::Name("ll")) {
            return Err(self.error("expected `ll`").hint("only a map's value takes an offset: `map.NAME+8`"));
        }
        self.symbol = Some(Symbol { kind: SymbolKind::Func, name: base, column });
        Ok(Imm64::Func { rel: 0, number })
    }

    fn value_off(&mut self) -> Result<Option<u32>> {
        if !self.eat("+") {
            return Ok(None);
        }
        if self.wildcard()? {
            self.any.imm_hi = true;
            return Ok(Some(0));
        }
        self.signed(&VALUE_OFF, false).map(|n| Some(n as u32))
    }

    fn sign_extension(&mut self, width: Width, dst: Reg) -> Result<Op> {
        self.sign("(")?;
        let column = self.column();
        let bits = match (self.name("a type such as `s8`")?, width) {
            ("s8", _) => 8,
            ("s16", _) => 16,
            ("s32", Width::W64) => 32,
            _ => return Err(AsmError::new(column, "no such sign extension").hint("s8, s16, or to 64 bits s32")),
        };
        self.sign(")")?;
        Ok(Op::MovSx { width, bits, dst, src: self.reg_of(width)? })
    }

    fn load(&mut self, width: Width, dst: Reg) -> Result<Op> {
        let column = self.column();
        self.sign("*")?;
        let (size, signed) = self.cast()?;
        if self.peek() == Some(Word::Name("skb")) {
            return self.packet_load(width, dst, size, signed, column);
        }
        let (base, off) = self.memory()?;
        if width == Width::W32 && (signed || size == Size::Dw) {
            return Err(AsmError::new(column, "this load fills 64 bits").hint("write `r` for `w`"));
        }
        Ok(Op::Load { size, signed, dst, base, off })
    }

    fn packet_load(&mut self, width: Width, dst: Reg, size: Size, signed: bool, column: u32) -> Result<Op> {
        if width == Width::W32 || dst != Reg::R0 || signed || size == Size::Dw {
            return Err(AsmError::new(column, "a packet load is u8, u16 or u32 into r0"));
        }
        self.at += 1;
        self.sign("[")?;
        let op = match self.peek() {
            Some(Word::Name(_)) => {
                let src = self.reg_of(Width::W64)?;
                let imm = if matches!(self.peek(), Some(Word::Sign("+" | "-"))) {
                    self.eat_plus_before_wildcard();
                    self.imm()?
                } else {
                    0
                };
                Op::LdInd { size, src, imm }
            }
            _ => Op::LdAbs { size, imm: self.imm()? },
        };
        self.sign("]")?;
        Ok(op)
    }

    fn named_value(&mut self, name: &'a str, width: Width, dst: Reg) -> Result<Op> {
        let start = self.at;
        self.at += 1;
        if let Some((kind, bits)) = byte_order(name) {
            if width == Width::W32 {
                self.at = start;
                return Err(self.error("a byte order conversion takes a 64-bit register"));
            }
            self.same_reg(width, dst)?;
            return Ok(Op::Endian { kind, bits, dst });
        }
        match name {
            "addr_space_cast" if width == Width::W64 => self.addr_space_cast(dst),
            "load_acquire" => self.load_acquire(width, dst),
            "cmpxchg_64" if width == Width::W64 => self.cmpxchg(width, dst),
            "cmpxchg32_32" if width == Width::W32 => self.cmpxchg(width, dst),
            "xchg_64" if width == Width::W64 => self.xchg(width, dst),
            "xchg32_32" if width == Width::W32 => self.xchg(width, dst),
            _ => {
                let fetch = name.strip_prefix("atomic_fetch_").and_then(fetch_op);
                if let Some(op) = fetch {
                    return self.fetch(op, width, dst);
                }
                self.at = start;
                Err(self.error(format!("no value is called `{name}`")).hint("an address ends with `ll`"))
            }
        }
    }

    fn addr_space_cast(&mut self, dst: Reg) -> Result<Op> {
        self.sign("(")?;
        let src = self.reg_of(Width::W64)?;
        self.sign(",")?;
        let to = self.signed(&ADDR_SPACE, false)? as u32;
        self.sign(",")?;
        let from = self.signed(&ADDR_SPACE, false)? as u32;
        self.sign(")")?;
        Ok(Op::AddrSpaceCast { dst, src, spaces: to << 16 | from })
    }

    fn load_acquire(&mut self, width: Width, dst: Reg) -> Result<Op> {
        self.sign("(")?;
        let column = self.column();
        let size = self.unsigned_cast()?;
        let (base, off) = self.memory()?;
        self.sign(")")?;
        if width == Width::W32 && size == Size::Dw {
            return Err(AsmError::new(column, "this load fills 64 bits").hint("write `r` for `w`"));
        }
        Ok(Op::Atomic { size, op: AtomicOp::LoadAcquire, base, off, src: dst })
    }

    fn cmpxchg(&mut self, width: Width, dst: Reg) -> Result<Op> {
        self.sign("(")?;
        let (base, off) = self.base_and_offset()?;
        self.sign(",")?;
        let column = self.column();
        let old = self.reg_of(width)?;
        self.sign(",")?;
        let src = self.reg_of(width)?;
        self.sign(")")?;
        if old != Reg::R0 || dst != Reg::R0 {
            return Err(AsmError::new(column, "compare and exchange uses register 0 on the left and in the middle"));
        }
        Ok(Op::Atomic { size: size_of(width), op: AtomicOp::CmpXchg, base, off, src })
    }

    fn xchg(&mut self, width: Width, dst: Reg) -> Result<Op> {
        self.sign("(")?;
        let (base, off) = self.base_and_offset()?;
        self.sign(",")?;
        self.same_reg(width, dst)?;
        self.sign(")")?;
        Ok(Op::Atomic { size: size_of(width), op: AtomicOp::Xchg, base, off, src: dst })
    }

    fn fetch(&mut self, op: AtomicOp, width: Width, dst: Reg) -> Result<Op> {
        self.sign("(")?;
        let column = self.column();
        let size = self.unsigned_cast()?;
        if size != size_of(width) {
            return Err(AsmError::new(column, "the type has not the width of the register"));
        }
        let (base, off) = self.memory()?;
        self.sign(",")?;
        self.same_reg(width, dst)?;
        self.sign(")")?;
        Ok(Op::Atomic { size, op, base, off, src: dst })
    }
}

fn size_of(width: Width) -> Size {
    match width {
        Width::W32 => Size::W,
        Width::W64 => Size::Dw,
    }
}

fn byte_order(name: &str) -> Option<(Endian, u8)> {
    let (kind, bits) = if let Some(bits) = name.strip_prefix("be") {
        (Endian::ToBe, bits)
    } else if let Some(bits) = name.strip_prefix("le") {
        (Endian::ToLe, bits)
    } else {
        (Endian::Bswap, name.strip_prefix("bswap")?)
    };
    match bits {
        "16" => Some((kind, 16)),
        "32" => Some((kind, 32)),
        "64" => Some((kind, 64)),
        _ => None,
    }
}

fn fetch_op(name: &str) -> Option<AtomicOp> {
    let fetch = true;
    match name {
        "add" => Some(AtomicOp::Add { fetch }),
        "or" => Some(AtomicOp::Or { fetch }),
        "and" => Some(AtomicOp::And { fetch }),
        "xor" => Some(AtomicOp::Xor { fetch }),
        _ => None,
    }
}
