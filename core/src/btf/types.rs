//! The types themselves, as `struct btf_type` and what follows it tell them.

/// The number of a type; 0 is `void`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`, the type that is not stored.
    pub const VOID: TypeId = TypeId(0);
}

/// An offset into the string section, in bytes; 0 is the empty string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct StrOff(pub u32);

macro_rules! kinds {
    ($($variant:ident = $number:literal => $text:literal,)*) => {
        /// The kind of a type, numbered as in the format.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[doc(alias = "BTF_KIND_")]
        #[repr(u32)]
        pub enum Kind {
            $(#[doc = concat!("`", $text, "`")] $variant = $number,)*
        }

        impl Kind {
            /// All of them, by number from 1.
            pub const ALL: &[Kind] = &[$(Kind::$variant,)*];

            /// The name in the kernel's log.
            pub const fn name(self) -> &'static str {
                match self { $(Kind::$variant => $text,)* }
            }

            /// The kernel's number.
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// The kind of that number.
            pub fn from_number(number: u32) -> Option<Kind> {
                Kind::ALL.get((number as usize).checked_sub(1)?).copied()
            }
        }
    };
}

kinds! {
    Int = 1 => "INT",
    Ptr = 2 => "PTR",
    Array = 3 => "ARRAY",
    Struct = 4 => "STRUCT",
    Union = 5 => "UNION",
    Enum = 6 => "ENUM",
    Fwd = 7 => "FWD",
    Typedef = 8 => "TYPEDEF",
    Volatile = 9 => "VOLATILE",
    Const = 10 => "CONST",
    Restrict = 11 => "RESTRICT",
    Func = 12 => "FUNC",
    FuncProto = 13 => "FUNC_PROTO",
    Var = 14 => "VAR",
    DataSec = 15 => "DATASEC",
    Float = 16 => "FLOAT",
    DeclTag = 17 => "DECL_TAG",
    TypeTag = 18 => "TYPE_TAG",
    Enum64 = 19 => "ENUM64",
}

/// A type.
#[derive(Clone, PartialEq, Eq, Debug)]
#[doc(alias = "btf_type")]
pub struct BtfType {
    /// Name; at 0 when it has none.
    pub name: StrOff,
    /// The flag bit: bit-field members (`STRUCT`, `UNION`), signed values (`ENUM`, `ENUM64`), a union (`FWD`), a tag
    /// that is an attribute (tags).
    #[doc(alias = "kind_flag")]
    pub flag: bool,
    /// The rest, by kind.
    pub body: Body,
}

/// What a type holds besides its name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// An integer.
    Int {
        /// Bytes.
        size: u32,
        /// 0, or one of 1 signed, 2 char, 4 bool.
        encoding: u8,
        /// First bit.
        offset: u8,
        /// Bits.
        bits: u8,
    },
    /// A pointer.
    Ptr {
        /// What it points to.
        to: TypeId,
    },
    /// An array.
    Array {
        /// Type of an element.
        elem: TypeId,
        /// Type of an index.
        index: TypeId,
        /// Elements.
        count: u32,
    },
    /// A structure.
    Struct {
        /// Bytes.
        size: u32,
        /// Members, in order.
        members: Vec<Member>,
    },
    /// A union.
    Union {
        /// Bytes.
        size: u32,
        /// Members.
        members: Vec<Member>,
    },
    /// An enumeration of 32-bit values.
    Enum {
        /// Bytes.
        size: u32,
        /// Values.
        values: Vec<EnumValue>,
    },
    /// A structure or union that is only named.
    Fwd,
    /// Another name.
    Typedef {
        /// For what.
        to: TypeId,
    },
    /// `volatile`.
    Volatile {
        /// Of what.
        to: TypeId,
    },
    /// `const`.
    Const {
        /// Of what.
        to: TypeId,
    },
    /// `restrict`.
    Restrict {
        /// Of what.
        to: TypeId,
    },
    /// A function.
    Func {
        /// Its prototype.
        proto: TypeId,
        /// Its linkage by number, see [`Linkage`](super::Linkage); any number can be written.
        linkage: u32,
    },
    /// A prototype.
    FuncProto {
        /// Type of the result.
        ret: TypeId,
        /// Parameters.
        params: Vec<Param>,
    },
    /// A variable.
    Var {
        /// Its type.
        to: TypeId,
        /// Its linkage: 0 static, 1 allocated here, 2 defined elsewhere; any number can be written.
        linkage: u32,
    },
    /// A section of variables.
    DataSec {
        /// Bytes.
        size: u32,
        /// Variables, in order of their places.
        vars: Vec<VarInfo>,
    },
    /// A floating-point number.
    Float {
        /// Bytes.
        size: u32,
    },
    /// A tag of a declaration.
    DeclTag {
        /// What is tagged.
        to: TypeId,
        /// Which member or parameter; -1 for the whole.
        component: i32,
    },
    /// A tag of a type.
    TypeTag {
        /// Of what.
        to: TypeId,
    },
    /// An enumeration of 64-bit values.
    Enum64 {
        /// Bytes.
        size: u32,
        /// Values.
        values: Vec<EnumValue64>,
    },
}

/// A member of a structure or union.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "btf_member")]
pub struct Member {
    /// Name.
    pub name: StrOff,
    /// Type.
    pub to: TypeId,
    /// Place in bits; with the type's flag set, the upper eight bits hold the width of a bit field instead.
    pub offset: u32,
}

impl Member {
    /// Place in bits, `flag` being that of the structure.
    #[doc(alias = "__btf_member_bit_offset")]
    pub const fn bit_offset(&self, flag: bool) -> u32 {
        if flag { self.offset & 0xff_ffff } else { self.offset }
    }

    /// Width of the bit field, 0 for a member that is none; `flag` being that of the structure.
    #[doc(alias = "BTF_MEMBER_BITFIELD_SIZE")]
    pub const fn bitfield_bits(&self, flag: bool) -> u32 {
        if flag { self.offset >> 24 } else { 0 }
    }
}

/// A value of an enumeration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "btf_enum")]
pub struct EnumValue {
    /// Name.
    pub name: StrOff,
    /// Value.
    pub value: i32,
}

/// A value of a 64-bit enumeration.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "btf_enum64")]
pub struct EnumValue64 {
    /// Name.
    pub name: StrOff,
    /// Value.
    pub value: u64,
}

/// A parameter of a prototype.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "btf_param")]
pub struct Param {
    /// Name.
    pub name: StrOff,
    /// Type; 0 in the last place means "and more".
    pub to: TypeId,
}

/// A variable's place in its section.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[doc(alias = "btf_var_secinfo")]
pub struct VarInfo {
    /// The `VAR`.
    pub var: TypeId,
    /// Bytes from the start of the section.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

impl BtfType {
    /// A type without the flag.
    pub const fn new(name: StrOff, body: Body) -> BtfType {
        BtfType { name, flag: false, body }
    }

    /// The kind.
    pub const fn kind(&self) -> Kind {
        self.body.kind()
    }
}

impl Body {
    /// The kind.
    pub const fn kind(&self) -> Kind {
        match self {
            Body::Int { .. } => Kind::Int,
            Body::Ptr { .. } => Kind::Ptr,
            Body::Array { .. } => Kind::Array,
            Body::Struct { .. } => Kind::Struct,
            Body::Union { .. } => Kind::Union,
            Body::Enum { .. } => Kind::Enum,
            Body::Fwd => Kind::Fwd,
            Body::Typedef { .. } => Kind::Typedef,
            Body::Volatile { .. } => Kind::Volatile,
            Body::Const { .. } => Kind::Const,
            Body::Restrict { .. } => Kind::Restrict,
            Body::Func { .. } => Kind::Func,
            Body::FuncProto { .. } => Kind::FuncProto,
            Body::Var { .. } => Kind::Var,
            Body::DataSec { .. } => Kind::DataSec,
            Body::Float { .. } => Kind::Float,
            Body::DeclTag { .. } => Kind::DeclTag,
            Body::TypeTag { .. } => Kind::TypeTag,
            Body::Enum64 { .. } => Kind::Enum64,
        }
    }

    /// What a typedef, qualifier or type tag stands before; `None` for every other kind.
    #[doc(alias = "btf_type_is_modifier")]
    pub const fn modified(&self) -> Option<TypeId> {
        match *self {
            Body::Typedef { to }
            | Body::Volatile { to }
            | Body::Const { to }
            | Body::Restrict { to }
            | Body::TypeTag { to } => Some(to),
            _ => None,
        }
    }

    /// The size that the type itself states, in bytes.
    #[doc(alias = "btf_type_has_size")]
    pub const fn size(&self) -> Option<u32> {
        match *self {
            Body::Int { size, .. }
            | Body::Struct { size, .. }
            | Body::Union { size, .. }
            | Body::Enum { size, .. }
            | Body::DataSec { size, .. }
            | Body::Float { size }
            | Body::Enum64 { size, .. } => Some(size),
            _ => None,
        }
    }

    /// Members of a structure or union; none for every other kind.
    pub fn members(&self) -> &[Member] {
        match self {
            Body::Struct { members, .. } | Body::Union { members, .. } => members,
            _ => &[],
        }
    }
}
