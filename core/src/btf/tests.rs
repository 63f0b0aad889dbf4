use super::*;
use crate::kernel::{BtfRules, KernelVersion, Rules};
use proptest::prelude::*;

fn rules(version: KernelVersion) -> BtfRules {
    Rules::of(version).btf
}

fn any_id() -> impl Strategy<Value = TypeId> {
    prop_oneof![(0u32..12).prop_map(TypeId), any::<u32>().prop_map(TypeId)]
}

fn any_off() -> impl Strategy<Value = StrOff> {
    prop_oneof![(0u32..24).prop_map(StrOff), any::<u32>().prop_map(StrOff)]
}

fn any_body() -> impl Strategy<Value = Body> {
    let size = || prop_oneof![0u32..20, any::<u32>()];
    let id = any_id;
    let members = || {
        let member = (any_off(), id(), prop_oneof![0u32..200, any::<u32>()]);
        prop::collection::vec(member.prop_map(|(name, to, offset)| Member { name, to, offset }), 0..4)
    };
    prop_oneof![
        (size(), 0u8..16, any::<u8>(), any::<u8>()).prop_map(|(size, encoding, offset, bits)| Body::Int {
            size,
            encoding,
            offset,
            bits
        }),
        id().prop_map(|to| Body::Ptr { to }),
        (id(), id(), any::<u32>()).prop_map(|(elem, index, count)| Body::Array { elem, index, count }),
        (size(), members()).prop_map(|(size, members)| Body::Struct { size, members }),
        (size(), members()).prop_map(|(size, members)| Body::Union { size, members }),
        (size(), prop::collection::vec((any_off(), any::<i32>()), 0..3)).prop_map(|(size, v)| {
            Body::Enum { size, values: v.into_iter().map(|(name, value)| EnumValue { name, value }).collect() }
        }),
        (size(), prop::collection::vec((any_off(), any::<u64>()), 0..3)).prop_map(|(size, v)| {
            Body::Enum64 { size, values: v.into_iter().map(|(name, value)| EnumValue64 { name, value }).collect() }
        }),
        Just(Body::Fwd),
        id().prop_map(|to| Body::Typedef { to }),
        id().prop_map(|to| Body::Volatile { to }),
        id().prop_map(|to| Body::Const { to }),
        id().prop_map(|to| Body::Restrict { to }),
        id().prop_map(|to| Body::TypeTag { to }),
        (id(), 0u32..4).prop_map(|(proto, linkage)| Body::Func { proto, linkage }),
        (id(), prop::collection::vec((any_off(), id()), 0..4)).prop_map(|(ret, p)| {
            Body::FuncProto { ret, params: p.into_iter().map(|(name, to)| Param { name, to }).collect() }
        }),
        (id(), 0u32..4).prop_map(|(to, linkage)| Body::Var { to, linkage }),
        (size(), prop::collection::vec((id(), size(), size()), 0..3)).prop_map(|(size, v)| {
            let vars = v.into_iter().map(|(var, offset, size)| VarInfo { var, offset, size }).collect();
            Body::DataSec { size, vars }
        }),
        size().prop_map(|size| Body::Float { size }),
        (id(), -2i32..4).prop_map(|(to, component)| Body::DeclTag { to, component }),
    ]
}

fn any_btf() -> impl Strategy<Value = Btf> {
    let ty =
        (any_off(), prop::bool::weighted(0.1), any_body()).prop_map(|(name, flag, body)| BtfType { name, flag, body });
    (prop::collection::vec(ty, 0..12), "[a-z.]{0,6}( [a-z_0-9]{1,6}){0,4}").prop_map(|(types, text)| {
        let mut btf = Btf::new();
        text.split(' ').for_each(|name| {
            btf.intern(name);
        });
        types.into_iter().for_each(|ty| {
            btf.push(ty);
        });
        btf
    })
}

/// A BTF with a function, a structure, a map-like variable in a section, and tags: all of it acceptable.
fn sound() -> Btf {
    let (mut btf, ids) = minimal(&[
        MinimalFunc { name: "main", linkage: Linkage::Global, args: 1 },
        MinimalFunc { name: "cb", linkage: Linkage::Static, args: 2 },
    ]);
    let (int, long, ptr) = (TypeId(1), TypeId(2), TypeId(3));
    let names = ["ctx", "a", "b", ".data", "counter", "u64", "tag"].map(|n| btf.intern(n));
    let [ctx, a, b, data, counter, u64_, tag] = names;
    let typedef = btf.push(BtfType::new(u64_, Body::Typedef { to: long }));
    let array = btf.push(BtfType::new(StrOff(0), Body::Array { elem: typedef, index: int, count: 4 }));
    let members = vec![Member { name: a, to: ptr, offset: 0 }, Member { name: b, to: array, offset: 64 }];
    let ctx = btf.push(BtfType::new(ctx, Body::Struct { size: 40, members }));
    let var = btf.push(BtfType::new(counter, Body::Var { to: ctx, linkage: 1 }));
    btf.push(BtfType::new(data, Body::DataSec { size: 40, vars: vec![VarInfo { var, offset: 0, size: 40 }] }));
    btf.push(BtfType::new(tag, Body::DeclTag { to: ids[1], component: 1 }));
    btf
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_encoded_is_read_back(btf in any_btf()) {
        prop_assert_eq!(Btf::parse(&btf.encode()), Ok(btf));
    }

    #[test]
    fn what_a_kernel_takes_is_read(btf in any_btf(), at in any::<prop::sample::Index>(), byte: u8, to_sound: bool) {
        let mut bytes = if to_sound { sound().encode() } else { btf.encode() };
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let read = Btf::parse(&bytes);
        for version in KernelVersion::ALL {
            if let Ok(accepted) = validate(&bytes, &rules(version)) {
                prop_assert_eq!(read.as_ref(), Ok(&accepted));
            }
        }
    }

    #[test]
    fn every_question_about_broken_types_has_an_answer(btf in any_btf()) {
        for (id, _) in btf.types() {
            let _ = (btf.size_of(id), btf.skip_modifiers(id), btf.function(id), btf.name(id));
        }
        let _ = resolve::check(&btf);
    }

    #[test]
    fn broken_ext_sections_are_errors(bytes in prop::collection::vec(any::<u8>(), 0..80), with_head: bool) {
        let mut all = if with_head { vec![0x9f, 0xeb, 1, 0, 32, 0, 0, 0] } else { Vec::new() };
        all.extend(bytes);
        let _ = BtfExt::parse(&all);
    }

    #[test]
    fn minimal_is_accepted_and_says_what_was_asked(
        funcs in prop::collection::vec(("[a-z_][a-z0-9_]{0,10}", 0usize..2, 0u8..6), 1..6),
    ) {
        let funcs: Vec<_> = funcs
            .iter()
            .map(|(name, linkage, args)| MinimalFunc { name, linkage: Linkage::ALL[*linkage], args: *args })
            .collect();
        let (btf, ids) = minimal(&funcs);
        let bytes = btf.encode();
        for version in KernelVersion::ALL {
            prop_assert_eq!(validate(&bytes, &rules(version)), Ok(btf.clone()));
        }
        for (func, id) in funcs.iter().zip(ids) {
            let found = btf.function(id).expect("a function");
            prop_assert_eq!((found.name, found.linkage), (func.name, func.linkage));
            prop_assert_eq!(found.params.len(), usize::from(func.args));
        }
        let theirs = aya_obj::btf::Btf::parse(&bytes, Default::default()).expect("aya reads it");
        prop_assert_eq!(theirs.to_bytes(), bytes);
    }
}

#[test]
fn a_sound_btf_is_accepted_everywhere_and_sizes_are_right() {
    let btf = sound();
    for version in KernelVersion::ALL {
        assert_eq!(validate(&btf.encode(), &rules(version)), Ok(btf.clone()), "{version}");
    }
    let size = |kind, name| btf.find(kind, name).and_then(|id| btf.size_of(id));
    assert_eq!(size(Kind::Struct, "ctx"), Some(40));
    assert_eq!(size(Kind::Typedef, "u64"), Some(8));
    assert_eq!(size(Kind::Func, "cb"), None);
    let theirs = aya_obj::btf::Btf::parse(&btf.encode(), Default::default()).expect("aya reads it");
    assert_eq!(theirs.to_bytes(), btf.encode());
}

/// Makes one change to a sound BTF and returns what 6.1 and 7.3 say.
fn after(change: impl Fn(&mut Btf)) -> [String; 2] {
    let mut btf = sound();
    change(&mut btf);
    [KernelVersion::V6_1, KernelVersion::V7_3].map(|v| match validate(&btf.encode(), &rules(v)) {
        Ok(_) => "accepted".into(),
        Err(refused) => format!("{} {}", refused.errno, refused.message),
    })
}

#[test]
fn refusals_are_in_the_words_of_the_kernel() {
    let id = |btf: &Btf, kind, name| btf.find(kind, name).expect("there");
    let same = |text: &'static str| [text, text];
    let func = |linkage, proto| {
        move |btf: &mut Btf| {
            let at = id(btf, Kind::Func, "cb");
            btf.get_mut(at).expect("cb").body = Body::Func { proto: TypeId(proto), linkage };
        }
    };
    assert_eq!(after(func(2, 6)), same("22 [7] FUNC cb type_id=6 Invalid func linkage"));
    assert_eq!(after(func(0, 2)), same("22 [7] FUNC cb type_id=2 Invalid type_id"));
    assert_eq!(after(func(0, 99)), same("22 [7] FUNC cb type_id=99 Invalid type_id"));
    assert_eq!(
        after(|b| b.get_mut(TypeId(7)).expect("cb").name = StrOff(0)),
        same("22 [7] FUNC (anon) type_id=6 Invalid name")
    );
    assert_eq!(
        after(|b| b.get_mut(TypeId(7)).expect("cb").flag = true),
        same("22 [7] FUNC cb type_id=6 Invalid btf_info kind_flag")
    );
    let proto = |ret, name: u32, to| {
        move |btf: &mut Btf| {
            let params = vec![Param { name: StrOff(name), to: TypeId(to) }];
            btf.get_mut(TypeId(4)).expect("prototype").body = Body::FuncProto { ret: TypeId(ret), params };
        }
    };
    assert_eq!(after(proto(77, 1, 2)), same("22 [4] FUNC_PROTO (anon) return=77 args=(2 int) Invalid return type"));
    assert_eq!(after(proto(1, 0, 2)), same("22 [5] FUNC main type_id=4 Invalid arg#1"));
    assert_eq!(after(proto(1, 1, 0)), same("22 [4] FUNC_PROTO (anon) return=1 args=(vararg) Invalid arg#1"));
    let ctx = |size, offset| {
        move |btf: &mut Btf| {
            let at = id(btf, Kind::Struct, "ctx");
            let members = vec![Member { name: StrOff(0), to: TypeId(3), offset }];
            btf.get_mut(at).expect("ctx").body = Body::Struct { size, members };
        }
    };
    assert_eq!(after(ctx(4, 0)), same("22 \t(anon) type_id=3 bits_offset=0 Member exceeds struct_size"));
    assert_eq!(after(ctx(40, 4)), same("22 \t(anon) type_id=3 bits_offset=4 Member is not byte aligned"));
    assert_eq!(
        after(ctx(8, 800)),
        same("22 \t(anon) type_id=3 bits_offset=800 Member bits_offset exceeds its struct size")
    );
    assert_eq!(
        after(|b| b.get_mut(TypeId(8)).expect("u64").body = Body::Typedef { to: TypeId(8) }),
        same("22 [8] TYPEDEF u64 type_id=8 Loop detected")
    );
    assert_eq!(
        after(
            |b| b.get_mut(TypeId(9)).expect("array").body = Body::Array { elem: TypeId(1), index: TypeId(3), count: 1 }
        ),
        same("22 [9] ARRAY (anon) type_id=1 index_type_id=3 nr_elems=1 Invalid index")
    );
    assert_eq!(
        after(|b| b.get_mut(TypeId(12)).expect("section").body = Body::DataSec { size: 0, vars: vec![] }),
        same("22 [12] DATASEC .data size=0 vlen=0 size == 0")
    );
    assert_eq!(
        after(|b| b.get_mut(TypeId(13)).expect("tag").body = Body::DeclTag { to: TypeId(7), component: 2 }),
        same("22 [13] DECL_TAG tag type=7 component_idx=2 Invalid component_idx")
    );
    assert_eq!(
        after(|b| b.get_mut(TypeId(13)).expect("tag").flag = true),
        ["22 [13] DECL_TAG tag type=7 component_idx=1 Invalid btf_info kind_flag", "accepted"]
    );
    assert_eq!(
        after(|b| {
            let name = b.intern("?.a b");
            b.get_mut(TypeId(12)).expect("section").name = name;
        }),
        ["22 [12] DATASEC ?.a b size=40 vlen=1 Invalid name", "accepted"]
    );
    assert_eq!(
        after(|b| b.get_mut(TypeId(1)).expect("int").body = Body::Int { size: 4, encoding: 3, offset: 0, bits: 32 }),
        same("524 [1] INT int size=4 bits_offset=0 nr_bits=32 encoding=UNKN Unsupported encoding")
    );
}

#[test]
fn headers_are_refused_in_the_words_of_the_kernel() {
    let say = |edit: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = sound().encode();
        edit(&mut bytes);
        match validate(&bytes, &rules(KernelVersion::V7_3)) {
            Ok(_) => "accepted".into(),
            Err(refused) => refused.message,
        }
    };
    assert_eq!(say(&|b| b[0] = 0), "Invalid magic");
    assert_eq!(say(&|b| b[2] = 2), "Unsupported version");
    assert_eq!(say(&|b| b[3] = 1), "Unsupported flags");
    assert_eq!(say(&|b| b.truncate(7)), "hdr_len not found");
    assert_eq!(say(&|b| b.truncate(20)), "btf_header not found");
    assert_eq!(say(&|b| b.truncate(24)), "No data");
    assert_eq!(say(&|b| b.push(0)), "Unsupported section found");
    assert_eq!(say(&|b| b[8] = 4), "Unsupported section found");
    assert_eq!(say(&|b| b[16] = 0), "Section overlap found");
    assert_eq!(say(&|b| b.truncate(b.len() - 1)), "Total section length too long");
    assert_eq!(say(&|b| *b.last_mut().expect("bytes") = b'x'), "Invalid string section");
    assert_eq!(say(&|b| b[24 + 7] = 0x7f), "[1] Invalid kind:127");
    assert_eq!(say(&|b| b[24] = 0xff), "[1] Invalid name_offset:255");
    assert_eq!(say(&|_| {}), "accepted");
}
