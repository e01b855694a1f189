//! Rows and errors, by table and by chance.

use super::*;
use crate::decode::options::JsonOptions;
use crate::decode::schema::{ScalarLiteral, SourceField};
use crate::decode::types::column_type_to_arrow;
use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use ingot_dialect::ast::ColumnType;
use proptest::prelude::*;

fn field(name: &str, t: ColumnType) -> SourceField {
    SourceField {
        name: name.into(),
        data_type: column_type_to_arrow(&t),
        column_type: t,
        path: None,
        key: name.into(),
        nullable: true,
        default: None,
    }
}

fn source(columns: Vec<SourceField>) -> SourceSchema {
    SourceSchema {
        columns,
        includes: vec![],
        json: JsonOptions::default(),
        encoding: Encoding::Json,
        keep_messages: false,
    }
}

fn message(payload: Option<&[u8]>, offset: i64) -> MessageRef<'_> {
    MessageRef { topic: "t", partition: 3, offset, timestamp_ms: Some(7), key: Some(b"k"), payload, headers: &[] }
}

fn decode(source: SourceSchema, payloads: &[&[u8]]) -> Decoded {
    let mut decoder = Decoder::new(Arc::new(source)).unwrap();
    for (offset, payload) in (0..).zip(payloads) {
        decoder.push(&message(Some(payload), offset)).unwrap();
    }
    decoder.finish().unwrap()
}

/// The code of the error row that a payload gives, or the row's values.
fn outcome(source: SourceSchema, payload: &str) -> Result<Vec<String>, String> {
    let decoded = decode(source, &[payload.as_bytes()]);
    assert_eq!(decoded.messages, 1);
    if decoded.errors.num_rows() == 1 {
        return Err(decoded.errors.column_by_name("code").unwrap().as_string::<i32>().value(0).to_string());
    }
    let shown = |c: &Arc<dyn Array>| if c.is_null(0) { "NULL".into() } else { array_value_to_string(c, 0).unwrap() };
    Ok(decoded.rows.columns().iter().map(shown).collect())
}

fn two() -> SourceSchema {
    source(vec![field("a", ColumnType::BigInt), field("b", ColumnType::String(None))])
}

#[test]
fn a_message_is_a_row_or_an_error() {
    let row = |a: &str, b: &str| Ok(vec![a.to_string(), b.to_string()]);
    let error = |code: &str| Err(code.to_string());
    for (payload, wanted) in [
        (r#"{"a":1,"b":"x"}"#, row("1", "x")),
        (r#" {"b":"x","a":1,"z":{}} "#, row("1", "x")),
        ("{}", row("NULL", "NULL")),
        (r#"{"a":null,"b":null}"#, row("NULL", "NULL")),
        (r#"{"a":1,"a":2}"#, row("2", "NULL")),
        (r#"{"a":1}{"a":2}"#, error(SECOND_DOCUMENT)),
        (r#"{"a":1} x"#, error(SECOND_DOCUMENT)),
        (r#"{"a":1"#, error(NOT_JSON)),
        ("", error(NOT_JSON)),
        ("[]", error(NOT_AN_OBJECT)),
        ("1", error(NOT_AN_OBJECT)),
        (r#"{"b":"x","a":"1"}"#, error(convert::WRONG_TYPE)),
        (r#"{"a":1.5}"#, error(convert::WRONG_TYPE)),
        (r#"{"a":1e3}"#, error(convert::WRONG_TYPE)),
        (r#"{"a":9223372036854775808}"#, error(convert::DOES_NOT_FIT)),
    ] {
        assert_eq!(outcome(two(), payload), wanted, "{payload}");
    }
    let decoded = decode(two(), &[b"{\"a\":\xff}"]);
    assert_eq!(decoded.errors.column(6).as_string::<i32>().value(0), NOT_UTF8);
}

#[test]
fn options_change_what_is_accepted() {
    let mut lossless = two();
    lossless.json.coerce_lossless = true;
    assert_eq!(outcome(lossless, r#"{"a":"1","b":2}"#), Ok(vec!["1".into(), "2".into()]));
    let mut refuse = two();
    refuse.json.refuse_unknown_fields = true;
    assert_eq!(outcome(refuse, r#"{"a":1,"z":2}"#), Err(UNKNOWN_FIELD.into()));
}

#[test]
fn not_null_and_defaults() {
    let mut s = two();
    s.columns[0].nullable = false;
    assert_eq!(outcome(s.clone(), r#"{"b":"x"}"#), Err(MISSING.into()));
    assert_eq!(outcome(s.clone(), r#"{"a":null}"#), Err(MISSING.into()));
    s.columns[0].default = Some(ScalarLiteral::Number("7".into()));
    s.columns[1].default = Some(ScalarLiteral::String("d".into()));
    assert_eq!(outcome(s.clone(), "{}"), Ok(vec!["7".into(), "d".into()]));
    // A null is there: the default stands in for absence alone.
    assert_eq!(outcome(s.clone(), r#"{"b":null}"#), Ok(vec!["7".into(), "NULL".into()]));
    assert_eq!(outcome(s, r#"{"a":null}"#), Err(MISSING.into()));
}

#[test]
fn paths_reach_into_documents() {
    let mut s = two();
    s.columns[0].path = Some(JsonPath::parse(r#"$.x["y z"][1]"#).unwrap());
    assert_eq!(outcome(s, r#"{"x":{"y z":[0,5]},"b":"q"}"#), Ok(vec!["5".into(), "q".into()]));
}

#[test]
fn error_rows_hold_everything() {
    let mut decoder = Decoder::new(Arc::new(two())).unwrap();
    decoder.push(&message(Some(b"nope"), 5)).unwrap();
    decoder.push(&message(None, 6)).unwrap();
    let errors = decoder.finish().unwrap().errors;
    assert_eq!(errors.schema(), error_schema());
    assert_eq!(errors.column(0).as_string::<i32>().value(0), "t");
    assert_eq!(errors.column(1).as_primitive::<Int32Type>().value(0), 3);
    assert_eq!(errors.column(2).as_primitive::<Int64Type>().values(), &[5, 6]);
    assert_eq!(errors.column(3).as_primitive::<TimestampMicrosecondType>().value(0), 7_000);
    assert_eq!(errors.column(4).as_binary::<i32>().value(0), b"k");
    assert_eq!(errors.column(5).as_binary::<i32>().value(0), b"nope");
    assert!(errors.column(5).is_null(1));
    let codes: Vec<_> = errors.column(6).as_string::<i32>().iter().flatten().collect();
    assert_eq!(codes, [NOT_JSON, TOMBSTONE]);
    assert!(codes.iter().all(|code| ingot_dialect::explain(code).is_some()));
    assert_eq!(errors.column(7).as_string::<i32>().value(0), "a value was expected at byte 0");
}

#[test]
fn includes_follow_in_order() {
    let mut s = source(vec![field("a", ColumnType::Int)]);
    use IncludeKind::*;
    s.includes = [Offset, Key, Topic, Partition, Timestamp, Headers, Payload].map(|k| (k, format!("{k:?}"))).to_vec();
    let arrow = s.arrow();
    let mut decoder = Decoder::new(Arc::new(s)).unwrap();
    let headers: [(Cow<'_, str>, Option<&[u8]>); 2] = [("h".into(), Some(b"v")), ("n".into(), None)];
    decoder.push(&MessageRef { headers: &headers, ..message(Some(b"{\"a\":1}"), 9) }).unwrap();
    let rows = decoder.finish().unwrap().rows;
    assert_eq!(rows.schema(), arrow);
    let text: Vec<_> = rows.columns().iter().map(|c| array_value_to_string(c, 0).unwrap()).collect();
    assert_eq!(
        text,
        [
            "1",
            "9",
            "6b",
            "t",
            "3",
            "1970-01-01T00:00:00.007Z",
            "[{key: h, value: 76}, {key: n, value: }]",
            "7b2261223a317d"
        ]
    );
}

#[test]
fn bytes_are_taken_as_they_are() {
    let mut s = source(vec![field("p", ColumnType::Binary)]);
    s.encoding = Encoding::Bytes;
    let decoded = decode(s, &[b"\xff", b""]);
    let column = decoded.rows.column(0).as_binary::<i32>();
    assert_eq!((column.value(0), column.value(1)), (&b"\xff"[..], &b""[..]));
}

#[test]
fn nested_columns_survive_failing_neighbours() {
    let nested = ColumnType::Map(
        Box::new(ColumnType::String(None)),
        Box::new(ColumnType::List(Box::new(ColumnType::Struct(vec![("x".into(), ColumnType::Uuid)])))),
    );
    let s = source(vec![field("m", nested), field("n", ColumnType::Int)]);
    let good = br#"{"m":{"k":[{"x":"00000000-0000-0000-0000-000000000001"},null]},"n":1}"#;
    let bad = br#"{"m":{"k":[{"x":"00000000-0000-0000-0000-000000000001"}]},"n":"x"}"#;
    let decoded = decode(s, &[good, bad, b"{}", good]);
    assert_eq!((decoded.rows.num_rows(), decoded.errors.num_rows()), (3, 1));
    let map = decoded.rows.column(0).as_map();
    assert_eq!((map.value_length(0), map.is_null(1), map.value_length(2)), (1, true, 1));
    assert_eq!(map.values().len(), 2);
}

#[test]
fn a_decoder_starts_again_after_finish() {
    let mut decoder = Decoder::new(Arc::new(two())).unwrap();
    decoder.push(&message(Some(b"{}"), 0)).unwrap();
    assert_eq!(decoder.finish().unwrap().rows.num_rows(), 1);
    let empty = decoder.finish().unwrap();
    assert_eq!((empty.rows.num_rows(), empty.errors.num_rows(), empty.messages), (0, 0, 0));
}

#[test]
fn absent_columns_are_told_with_the_nearest_key() {
    let s = source(vec![field("vehicle_id", ColumnType::BigInt), field("b", ColumnType::Int)]);
    let absence = Arc::new(Absence::new(&s));
    let mut decoder = Decoder::sharing(Arc::new(s.clone()), Arc::clone(&absence)).unwrap();
    for _ in 0..ABSENT_MESSAGES {
        assert!(absence.is_watching());
        decoder.push(&message(Some(br#"{"vehicleid":1,"b":2,"other":3}"#), 0)).unwrap();
    }
    assert!(!absence.is_watching());
    assert_eq!(absence.absent(&s), [("vehicle_id", "vehicle_id".to_string(), Some("vehicleid".to_string()))]);
}

fn everything() -> SourceSchema {
    use ColumnType as T;
    let types = [
        T::TinyInt,
        T::BigInt,
        T::Real,
        T::Double,
        T::Boolean,
        T::Decimal(20, 3),
        T::String(None),
        T::Json,
        T::Binary,
        T::Uuid,
        T::Date,
        T::Time,
        T::Timestamp(None),
        T::TimestampTz(None),
        T::List(Box::new(T::Int)),
        T::Struct(vec![("a".into(), T::Int), ("b".into(), T::List(Box::new(T::String(None))))]),
        T::Map(Box::new(T::String(None)), Box::new(T::Double)),
    ];
    source(types.into_iter().enumerate().map(|(i, t)| field(&format!("c{i}"), t)).collect())
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        Just("null".to_string()),
        Just("true".into()),
        any::<i64>().prop_map(|v| v.to_string()),
        any::<f64>().prop_map(|v| format!("{v:e}")),
        "\"[a-z0-9:TZ+ -]{0,24}\"",
        Just("[1,2,\"x\"]".into()),
        Just(r#"{"a":1,"b":["x"]}"#.into()),
        Just(r#"{"a":2.5}"#.into()),
        "[0-9.eE+-]{1,6}",
        Just("\"2024-01-01T00:00:00Z\"".into()),
        Just("\"aGk=\"".into()),
    ];
    let member = ("c[0-9]{1,2}", value).prop_map(|(k, v)| format!("\"{k}\":{v}"));
    let object = proptest::collection::vec(member, 0..6).prop_map(|m| format!("{{{}}}", m.join(",")).into_bytes());
    prop_oneof![8 => object, 1 => any::<Vec<u8>>(), 1 => ".{0,20}".prop_map(String::into_bytes)]
}

proptest! {
    #[test]
    fn every_message_is_accounted_for(
        payloads in proptest::collection::vec(proptest::option::of(payload()), 0..20),
        lossless: bool,
    ) {
        let mut s = everything();
        s.json.coerce_lossless = lossless;
        s.includes = vec![(IncludeKind::Offset, "_offset".into())];
        let width = s.columns.len();
        let mut decoder = Decoder::new(Arc::new(s)).unwrap();
        for (offset, payload) in (0..).zip(&payloads) {
            decoder.push(&message(payload.as_deref(), offset)).unwrap();
        }
        let decoded = decoder.finish().unwrap();
        let mut offsets = decoded.rows.column(width).as_primitive::<Int64Type>().values().to_vec();
        let failed = decoded.errors.column(2).as_primitive::<Int64Type>().values();
        for (row, offset) in failed.iter().enumerate() {
            let kept = decoded.errors.column(5);
            let kept = (!kept.is_null(row)).then(|| kept.as_binary::<i32>().value(row));
            prop_assert_eq!(kept, payloads[usize::try_from(*offset).unwrap()].as_deref());
        }
        offsets.extend(failed);
        offsets.sort_unstable();
        prop_assert_eq!(offsets, (0..i64::try_from(payloads.len()).unwrap()).collect::<Vec<_>>());
        prop_assert_eq!(decoded.messages, u64::try_from(payloads.len()).unwrap());
    }
}

/// A source with a column of every shape, nested ones among them, and NOT NULL at the end.
fn every_shape() -> SourceSchema {
    let pair =
        vec![("x".to_string(), ColumnType::Int), ("y".to_string(), ColumnType::List(Box::new(ColumnType::Double)))];
    let mut last = field("last", ColumnType::BigInt);
    last.nullable = false;
    source(vec![
        field("flag", ColumnType::Boolean),
        field("small", ColumnType::Int),
        field("real", ColumnType::Double),
        field("single", ColumnType::Real),
        field("price", ColumnType::Decimal(9, 2)),
        field("text", ColumnType::String(None)),
        field("raw", ColumnType::Binary),
        field("id", ColumnType::Uuid),
        field("day", ColumnType::Date),
        field("hour", ColumnType::Time),
        field("at", ColumnType::TimestampTz(None)),
        field("items", ColumnType::List(Box::new(ColumnType::String(None)))),
        field("pair", ColumnType::Struct(pair)),
        field("tags", ColumnType::Map(Box::new(ColumnType::String(None)), Box::new(ColumnType::BigInt))),
        last,
    ])
}

const SHAPES: &[&str] = &[
    r#"{"flag":true,"small":1,"real":1.5,"single":2.5,"price":3.25,"text":"a","raw":"AAE=","last":1}"#,
    r#"{"id":"00112233-4455-6677-8899-aabbccddeeff","day":"2024-02-29","hour":"01:02:03","at":"2024-02-29T01:02:03Z","last":2}"#,
    r#"{"items":["a",null,"c"],"pair":{"x":1,"y":[1.5,2.5]},"tags":{"k":1,"l":null},"last":3}"#,
    r#"{"items":["a"],"pair":{"x":1,"y":[1.5]},"tags":{"k":1},"text":"cut off","last":null}"#,
    r#"{"flag":false,"id":"00112233-4455-6677-8899-aabbccddeeff","raw":"AAE=","items":["z"],"last":"four"}"#,
    r#"{"items":["a","b"],"tags":{"k":"one"},"last":5}"#,
    r#"{"text":"\u00e9\n","items":[],"pair":null,"tags":{},"last":6}"#,
    r#"{"small":2147483648,"last":7}"#,
    r#"{"real":1e999,"last":8}"#,
    r#"{"at":"yesterday","last":9}"#,
    "{}",
    "not json",
];

proptest! {
    /// What came before or after a message, errors too, changes nothing in its row.
    #[test]
    fn messages_do_not_touch_each_other(picks in prop::collection::vec(0..SHAPES.len(), 1..40)) {
        let payloads: Vec<&[u8]> = picks.iter().map(|i| SHAPES[*i].as_bytes()).collect();
        let together = decode(every_shape(), &payloads);
        let alone: Vec<Decoded> = payloads.iter().map(|p| decode(every_shape(), &[p])).collect();
        let rows: Vec<_> = alone.iter().map(|d| d.rows.clone()).collect();
        let rows = arrow::compute::concat_batches(&together.rows.schema(), &rows).unwrap();
        prop_assert_eq!(&together.rows, &rows);
        let errors: usize = alone.iter().map(|d| d.errors.num_rows()).sum();
        prop_assert_eq!(together.errors.num_rows(), errors);
        prop_assert_eq!(together.messages, payloads.len() as u64);
    }
}

#[test]
fn codes_of_messages_are_explained() {
    let own =
        [NOT_JSON, SECOND_DOCUMENT, NOT_UTF8, MISSING, TOMBSTONE, UNKNOWN_FIELD, TOO_DEEP, NOT_AN_OBJECT, SELECT_FAILS];
    let of_values =
        [convert::WRONG_TYPE, convert::DOES_NOT_FIT, convert::NOT_A_TIME, convert::NOT_BASE64, convert::NOT_A_UUID];
    for code in own.iter().chain(&of_values) {
        assert!(ingot_dialect::explain(code).is_some(), "{code}");
    }
}
