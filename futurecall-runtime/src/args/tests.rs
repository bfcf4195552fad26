use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::*;

use crate::call::CallArg;

const CALL: &str = "example.hello";

fn arg<T: CallArg>(key: &'static str) -> Arg<T> {
    T::__ARG.key(key)
}

/// Writes one argument `x` and reads it back.
fn round_trip<T: CallArg + PartialEq + Debug>(value: &T) -> Result<T, ArgumentError> {
    let arg = arg::<T>("x");
    let text = ArgsWriter::new(CALL).put(&arg, value).finish()?;
    ArgsReader::new(CALL, &text).take(&arg)
}

fn refusal<T: CallArg>(value: &T) -> ArgumentError {
    ArgsWriter::new(CALL).put(&arg::<T>("x"), value).finish().expect_err("it cannot be stored")
}

fn read<T: CallArg>(text: &str) -> Result<T, ArgumentError> {
    ArgsReader::new(CALL, text).take(&arg::<T>("x"))
}

fn told<T: CallArg + Debug>(text: &str) -> String {
    read::<T>(text).expect_err("it does not decode").to_string()
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Unit,
    New(Option<u8>),
    Pair(f64, String),
    Named { a: i128, b: Vec<Shape> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Strict {
    known: u8,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Maybe(Option<u8>);

#[test]
fn values_of_every_shape_come_back_as_themselves() {
    let shapes = vec![
        Shape::Unit,
        Shape::New(None),
        Shape::New(Some(7)),
        Shape::Pair(0.1 + 0.2, "q\"\\\0\n\u{202e}日本\u{1f600}".into()),
        Shape::Named { a: i128::MIN, b: vec![Shape::Unit] },
    ];
    assert_eq!(round_trip(&shapes).unwrap(), shapes);
    let map = BTreeMap::from([(u64::MAX, Some(Meters(-0.0))), (0, None)]);
    assert_eq!(round_trip(&map).unwrap(), map);
    let keys = HashMap::from([("a b".to_owned(), (1_u8, '\0', ())), (String::new(), (2, 'é', ()))]);
    assert_eq!(round_trip(&keys).unwrap(), keys);
    let raw = serde_json::json!({ "a": [1, 2.5, null, "x"], "b": {} });
    assert_eq!(round_trip(&raw).unwrap(), raw);
    assert!(round_trip(&f64::MIN_POSITIVE).unwrap().to_bits() == f64::MIN_POSITIVE.to_bits());
    assert_eq!(round_trip(&u128::MAX).unwrap(), u128::MAX);
}

#[test]
fn arguments_are_one_object_keyed_by_parameter() {
    let (name, tags, times) = (TEXT.key("name"), u8::__SLICE.key("tags"), arg::<u32>("times"));
    let stored = ArgsWriter::new(CALL).put(&name, "x").put(&tags, &[1, 2]).put(&times, &3).finish().unwrap();
    assert_eq!(stored, r#"{"name":"x","tags":[1,2],"times":3}"#);
    let mut reader = ArgsReader::new(CALL, &stored);
    assert_eq!(reader.take(&times).unwrap(), 3);
    assert_eq!(reader.take(&name).unwrap(), "x");
    assert_eq!(reader.take(&tags).unwrap(), [1, 2]);
    assert_eq!(ArgsWriter::new(CALL).finish().unwrap(), "{}");
}

#[test]
fn floats_that_json_cannot_hold_are_refused_at_any_depth() {
    let expected = ArgumentError::NotFinite { call: CALL.into(), parameter: "x".into() };
    assert_eq!(refusal(&f64::NAN), expected);
    assert_eq!(refusal(&f32::INFINITY), expected);
    assert_eq!(refusal(&vec![Some((1, f64::NEG_INFINITY))]), expected);
    assert_eq!(refusal(&HashMap::from([("k".to_owned(), Meters(f64::NAN))])), expected);
    assert_eq!(refusal(&vec![Shape::Pair(f64::NAN, String::new())]), expected);
}

#[test]
fn what_would_come_back_as_something_else_is_refused() {
    let text = refusal(&Some(None::<u8>)).to_string();
    assert_eq!(
        text,
        "argument `x` of `example.hello` cannot be stored: \
         `Some` of a value that is written as `null` would come back as `None`"
    );
    assert!(matches!(refusal(&vec![Some(())]), ArgumentError::Encode { .. }));
    assert!(matches!(refusal(&Some(Maybe(None))), ArgumentError::Encode { .. }));
    assert!(matches!(refusal(&Some(serde_json::Value::Null)), ArgumentError::Encode { .. }));
    // Inside an array `null` is unmistakable.
    assert_eq!(round_trip(&Some(vec![None::<u8>])).unwrap(), Some(vec![None]));
    assert_eq!(round_trip(&Some(Maybe(Some(1)))).unwrap(), Some(Maybe(Some(1))));

    let keyed = BTreeMap::from([((1, 2), 3)]);
    assert_eq!(
        refusal(&keyed).to_string(),
        "argument `x` of `example.hello` cannot be stored: key must be a string"
    );
}

#[test]
fn a_type_that_does_not_read_what_it_writes_is_found_when_scheduling() {
    #[derive(Deserialize)]
    struct Lopsided(#[expect(dead_code, reason = "only its type matters")] u32);

    impl Serialize for Lopsided {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str("thirteen")
        }
    }

    assert_eq!(
        refusal(&Lopsided(13)).to_string(),
        "argument `x` of `example.hello` cannot be stored: \
         it is written as JSON that does not decode again: invalid type: string, expected u32"
    );
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    A { x: i32 },
    B { x: i32, y: i32 },
}

#[test]
fn a_value_that_decodes_to_another_one_is_refused() {
    assert_eq!(round_trip(&Untagged::A { x: 1 }).unwrap(), Untagged::A { x: 1 });
    let narrowed = Untagged::B { x: 1, y: 2 };
    let text = refusal(&narrowed).to_string();
    let expected = "argument `x` of `example.hello` cannot be stored: it would come back as another value: ";
    assert!(text.starts_with(expected) && text.contains("untagged"), "{text}");
    assert!(matches!(refusal(&vec![narrowed.clone()]), ArgumentError::Encode { .. }));
    assert!(matches!(
        refusal(&HashMap::from([("k".to_owned(), Some(narrowed))])),
        ArgumentError::Encode { .. }
    ));

    let raw = serde_json::json!({ "a": [{ "$serde_json::private::RawValue": "[1]" }] });
    assert!(refusal(&raw).to_string().contains("a key begins with `$serde_json::private::`"));
    assert!(refusal(&Some(raw.clone())).to_string().contains("another value"));
    assert!(matches!(encode_value(CALL, "data", &raw), Err(ArgumentError::Encode { .. })));
    let text = serde_json::json!({ "a": "$serde_json::private::RawValue" });
    assert_eq!(round_trip(&text).unwrap(), text);
    // A map of one's own is read as it is written.
    let own = BTreeMap::from([("$serde_json::private::RawValue".to_owned(), "[1]".to_owned())]);
    assert_eq!(round_trip(&own).unwrap(), own);
}

#[test]
fn collections_without_an_order_come_back() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Loose {
        tags: HashSet<String>,
        nested: HashMap<u32, Vec<HashSet<char>>>,
        #[serde(flatten)]
        rest: HashMap<String, serde_json::Value>,
    }

    for size in [0, 1, 2, 50] {
        let tags = (0..size).map(|n| format!("tag, \"{n}\"")).collect();
        let nested =
            (0..size).map(|n| (n, vec!['a'..='f', 'x'..='z'].into_iter().map(HashSet::from_iter).collect()));
        let rest = (0..size).map(|n| (format!("key {n}"), serde_json::json!([n, { "n": n }])));
        let loose = Loose { tags, nested: nested.collect(), rest: rest.collect() };
        assert_eq!(round_trip(&loose).unwrap(), loose);
    }
}

#[test]
fn a_type_that_never_writes_the_same_is_read_only() {
    use std::sync::atomic::{AtomicU32, Ordering};

    /// As one that encrypts, with a nonce.
    #[derive(Debug, PartialEq)]
    struct Sealed(u32);

    static NONCE: AtomicU32 = AtomicU32::new(0);

    impl Serialize for Sealed {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let nonce = NONCE.fetch_add(1, Ordering::Relaxed);
            (nonce, self.0 ^ nonce).serialize(serializer)
        }
    }

    impl<'de> Deserialize<'de> for Sealed {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            <(u32, u32)>::deserialize(deserializer).map(|(nonce, sealed)| Self(sealed ^ nonce))
        }
    }

    assert_eq!(round_trip(&Sealed(7)).unwrap(), Sealed(7));
}

#[test]
fn nesting_has_a_limit_that_does_not_overflow_the_stack() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Nest(Vec<Nest>);

    let nest = |levels: usize| (1..levels).fold(Nest(Vec::new()), |inner, _| Nest(vec![inner]));
    // One level is the object that holds all arguments.
    assert_eq!(round_trip(&nest(99)).unwrap(), nest(99));
    assert_eq!(
        refusal(&nest(100)),
        ArgumentError::TooDeep { call: CALL.into(), parameter: "x".into(), limit: 100 }
    );
    assert!(matches!(refusal(&nest(5_000)), ArgumentError::TooDeep { .. }));
    let raw =
        |levels| RawValue::from_string(format!("{}{}", "[".repeat(levels), "]".repeat(levels))).unwrap();
    assert!(ArgsWriter::new(CALL).put(&arg::<Box<RawValue>>("x"), &raw(99)).finish().is_ok());
    assert!(matches!(refusal(&raw(100)), ArgumentError::TooDeep { .. }));
}

#[test]
fn brackets_inside_strings_are_not_nesting() {
    assert_eq!(round_trip(&"[{\"\\".repeat(200)).unwrap(), "[{\"\\".repeat(200));
}

#[test]
fn size_has_a_limit_and_the_error_tells_the_size() {
    let fits = "x".repeat(MAX_ARGUMENT_BYTES - r#"{"x":""}"#.len());
    assert_eq!(round_trip(&fits).unwrap(), fits);
    let arg = arg::<String>("x");
    let too_large = ArgsWriter::new(CALL).put(&arg, &(fits + "x")).finish().unwrap_err();
    assert_eq!(
        too_large,
        ArgumentError::TooLarge {
            call: CALL.into(),
            bytes: MAX_ARGUMENT_BYTES + 1,
            limit: MAX_ARGUMENT_BYTES
        }
    );
    let huge = refusal(&vec![0_u8; 2 * MAX_ARGUMENT_BYTES]);
    assert!(matches!(huge, ArgumentError::TooLarge { bytes, .. } if bytes > 4 * MAX_ARGUMENT_BYTES));
}

#[test]
fn what_is_not_stored_has_a_default_or_is_an_option_or_an_error() {
    assert_eq!(read::<Option<u8>>("{}").unwrap(), None);
    assert_eq!(read::<Maybe>("{}").unwrap(), Maybe(None));
    assert_eq!(ArgsReader::new(CALL, "{}").take(&arg::<u8>("x").default(|| 7)).unwrap(), 7);
    assert_eq!(
        ArgsReader::new(CALL, "{}").take(&arg::<Meters>("x").default(Meters::default)).unwrap(),
        Meters(0.0)
    );
    assert_eq!(
        told::<u8>("{}"),
        "missing argument `x` of `example.hello`: calls stored before the parameter existed need it to be an \
         `Option`, or to have `#[future_call(default)]` or `#[future_call(alias = \"its old name\")]`"
    );
    assert!(matches!(read::<Vec<u8>>("{}"), Err(ArgumentError::Missing { .. })));
    assert!(matches!(read::<()>("{}"), Err(ArgumentError::Missing { .. })));
    // What is stored counts, also where there is a default.
    assert!(ArgsReader::new(CALL, r#"{"x":null}"#).take(&arg::<u8>("x").default(|| 7)).is_err());
}

#[test]
fn an_alias_is_read_and_two_of_a_kind_are_refused() {
    let renamed = arg::<u8>("x").aliases(&["w", "v"]);
    let read = |text| ArgsReader::new(CALL, text).take(&renamed).map_err(|error| error.to_string());
    assert_eq!(read(r#"{"v":5,"more":[1,{}]}"#), Ok(5));
    assert_eq!(read(r#"{"x":6}"#), Ok(6));
    for twice in [r#"{"x":6,"x":6}"#, r#"{"w":5,"x":6}"#] {
        assert_eq!(read(twice).unwrap_err(), "argument `x` of `example.hello`: it is stored twice");
    }
    assert_eq!(read(r#"{"\u0078":6}"#), Ok(6), "an escaped key is the same key");
}

#[test]
fn errors_name_the_parameter_and_keep_the_value_to_themselves() {
    for (told, expected) in [
        (told::<u32>(r#"{"x":"secret, expected nothing"}"#), "invalid type: string, expected u32"),
        (told::<u8>(r#"{"x":4711}"#), "invalid value: integer, expected u8"),
        (told::<String>(r#"{"x":4711.5}"#), "invalid type: floating point, expected a string"),
        (told::<char>(r#"{"x":"secret"}"#), "invalid value: string, expected a character"),
        (told::<String>(r#"{"x":null}"#), "invalid type: null, expected a string"),
        (told::<Vec<u8>>(r#"{"x":{"secret":1}}"#), "invalid type: map, expected a sequence"),
        (
            told::<Shape>(r#"{"x":"secret"}"#),
            "unknown variant, expected one of `Unit`, `New`, `Pair`, `Named`",
        ),
        (told::<Shape>(r#"{"x":{"Named":{"a":1}}}"#), "missing field `b`"),
        (told::<Strict>(r#"{"x":{"secret":1}}"#), "unknown field, expected `known`"),
        (told::<Strict>(r#"{"x":{"a`, expected b":1}}"#), "unknown field, expected `known`"),
        (told::<u8>(r#"{"x":1e400}"#), "number out of range"),
    ] {
        assert_eq!(told, format!("argument `x` of `example.hello`: {expected}"));
    }
}

#[test]
fn a_check_decodes_everything_and_runs_nothing() {
    let (name, times) = (TEXT.key("name"), arg::<u32>("times").default(|| panic!("a default is not called")));
    let check = |text| check(CALL, &[&name.spec, &times.spec], text).map_err(|error| error.to_string());
    assert_eq!(check(r#"{"name":"x"}"#), Ok(()));
    assert_eq!(
        check(r#"{"name":"x","times":"y"}"#),
        Err("argument `times` of `example.hello`: invalid type: string, expected u32".into())
    );
}

#[test]
fn the_first_error_counts_and_the_rest_is_not_encoded() {
    let (arg, other) = (arg::<f64>("x"), arg::<f64>("y"));
    let error = ArgsWriter::new(CALL).put(&arg, &f64::NAN).put(&other, &f64::NAN).finish().unwrap_err();
    assert_eq!(
        error.to_string(),
        "argument `x` of `example.hello` holds NaN or an infinity, which cannot be stored as JSON"
    );
}

#[test]
fn texts_that_nobody_of_ours_wrote_are_errors_at_worst() {
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_value = read::<serde_json::Value>(&deep).unwrap_err().to_string();
    assert_eq!(deep_value, "argument `x` of `example.hello`: recursion limit exceeded");
    for text in
        ["", "null", "[]", "{", r#"{"x"}"#, r#"{"x":1} 2"#, "\u{feff}{}", r#"{"\ud800":1}"#, "{'x':1}"]
    {
        assert!(matches!(read::<u8>(text), Err(ArgumentError::NotAnObject { .. })), "{text}");
    }
    assert!(read::<String>(r#"{"x":"\ud800"}"#).is_err());
}

#[test]
fn values_by_name_follow_the_same_rules() {
    let stored = format!("{{\"data\":{}}}", encode_value(CALL, "data", &vec![1.5]).unwrap());
    let data = stored_value(CALL, "data", &stored).unwrap().unwrap();
    assert_eq!(decode_value::<Vec<f64>>(CALL, "data", data).unwrap(), [1.5]);
    assert_eq!(stored_value(CALL, "data", "{}").unwrap(), None);
    assert!(matches!(encode_value(CALL, "data", &[f64::NAN]), Err(ArgumentError::NotFinite { .. })));
    assert!(matches!(decode_value::<u8>(CALL, "data", "\"x\""), Err(ArgumentError::Decode { .. })));
}

fn shapes() -> impl Strategy<Value = Shape> {
    let finite = any::<f64>().prop_filter("JSON holds finite floats", |float| float.is_finite());
    let leaf = prop_oneof![
        Just(Shape::Unit),
        any::<Option<u8>>().prop_map(Shape::New),
        (finite, any::<String>()).prop_map(|(float, text)| Shape::Pair(float, text)),
    ];
    leaf.prop_recursive(8, 64, 4, |inner| {
        (any::<i128>(), prop::collection::vec(inner, 0..4)).prop_map(|(a, b)| Shape::Named { a, b })
    })
}

proptest! {
    #[test]
    fn any_value_comes_back_bit_by_bit(value in shapes()) {
        prop_assert_eq!(round_trip(&value).unwrap(), value);
    }

    #[test]
    fn any_text_is_read_or_refused(text in r#"[\[\]{}":,x0-9eE+.\\u\-ntf ]{0,40}"#) {
        let _ = read::<serde_json::Value>(&text);
        let _ = read::<Shape>(&format!("{{\"x\":{text}}}"));
        prop_assert!(check(CALL, &[&arg::<u8>("y").spec], &text).is_err());
    }
}
