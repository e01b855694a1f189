//! Types and values, by table.

use super::*;
use proptest::prelude::*;

fn raw(text: &str) -> Raw<'_> {
    let kind = match text.as_bytes() {
        [b'"', ..] => JsonKind::String { escaped: text.contains('\\') },
        [b'{', ..] => JsonKind::Object,
        [b'[', ..] => JsonKind::Array,
        b"true" => JsonKind::Boolean(true),
        b"false" => JsonKind::Boolean(false),
        b"null" => JsonKind::Null,
        _ => JsonKind::Number,
    };
    Raw { kind, text }
}

fn with(text: &str, t: &ColumnType, o: JsonOptions) -> std::result::Result<Cell<'static>, &'static str> {
    value(raw(text), t, o).map(Cell::into_owned).map_err(|e| e.code)
}

fn strict(text: &str, t: &ColumnType) -> std::result::Result<Cell<'static>, &'static str> {
    with(text, t, JsonOptions::default())
}

fn lossless(text: &str, t: &ColumnType) -> std::result::Result<Cell<'static>, &'static str> {
    with(text, t, JsonOptions { coerce_lossless: true, ..JsonOptions::default() })
}

fn string(text: &str) -> Cell<'static> {
    Cell::String(text.to_string().into())
}

use ColumnType as T;

#[test]
fn integers_are_exact() {
    assert_eq!(strict("12", &T::BigInt), Ok(Cell::Int64(12)));
    assert_eq!(strict("-0", &T::BigInt), Ok(Cell::Int64(0)));
    assert_eq!(strict("9223372036854775807", &T::BigInt), Ok(Cell::Int64(i64::MAX)));
    assert_eq!(strict("9223372036854775808", &T::BigInt), Err(DOES_NOT_FIT));
    assert_eq!(strict("-9223372036854775808", &T::BigInt), Ok(Cell::Int64(i64::MIN)));
    for text in ["1.5", "1.0", "1e3", "\"1\"", "true", "[1]", "{}"] {
        assert_eq!(strict(text, &T::BigInt), Err(WRONG_TYPE), "{text}");
    }
    for (t, fits, beyond) in
        [(T::TinyInt, "-128", "128"), (T::SmallInt, "32767", "-32769"), (T::Int, "2147483647", "2147483648")]
    {
        assert!(strict(fits, &t).is_ok(), "{t:?}");
        assert_eq!(strict(beyond, &t), Err(DOES_NOT_FIT), "{t:?}");
    }
    assert_eq!(lossless("1e3", &T::BigInt), Ok(Cell::Int64(1000)));
    assert_eq!(lossless("1.0", &T::Int), Ok(Cell::Int32(1)));
    assert_eq!(lossless("\"12\"", &T::Int), Ok(Cell::Int32(12)));
    assert_eq!(lossless("1.5", &T::BigInt), Err(WRONG_TYPE));
    assert_eq!(lossless("\" 12\"", &T::Int), Err(WRONG_TYPE));
    assert_eq!(lossless("1e400", &T::BigInt), Err(DOES_NOT_FIT));
    assert_eq!(lossless("0e99999999999999999999", &T::BigInt), Ok(Cell::Int64(0)));
}

#[test]
fn decimals_read_digits() {
    let t = T::Decimal(10, 2);
    assert_eq!(strict("1.10", &t), Ok(Cell::Decimal(110)));
    assert_eq!(strict("1.1000", &t), Ok(Cell::Decimal(110)));
    assert_eq!(strict("-12", &t), Ok(Cell::Decimal(-1200)));
    assert_eq!(strict("1.25e1", &t), Ok(Cell::Decimal(1250)));
    assert_eq!(strict("125e-2", &t), Ok(Cell::Decimal(125)));
    assert_eq!(strict("1.001", &t), Err(DOES_NOT_FIT));
    assert_eq!(strict("99999999.99", &t), Ok(Cell::Decimal(9_999_999_999)));
    assert_eq!(strict("100000000", &t), Err(DOES_NOT_FIT));
    assert_eq!(strict("\"1.1\"", &t), Err(WRONG_TYPE));
    assert_eq!(lossless("\"1.1\"", &t), Ok(Cell::Decimal(110)));
    let widest = T::Decimal(38, 0);
    assert_eq!(strict(&"9".repeat(38), &widest), Ok(Cell::Decimal(10i128.pow(38) - 1)));
    assert_eq!(strict(&"9".repeat(39), &widest), Err(DOES_NOT_FIT));
    assert_eq!(strict(&format!("{}e-5000", "9".repeat(5000)), &widest), Err(DOES_NOT_FIT));
}

#[test]
fn floats_and_strings() {
    assert_eq!(strict("0.1", &T::Double), Ok(Cell::Float64(0.1)));
    assert_eq!(strict("1", &T::Double), Ok(Cell::Float64(1.0)));
    assert_eq!(strict("1e400", &T::Double), Err(DOES_NOT_FIT));
    assert_eq!(strict("1e39", &T::Real), Err(DOES_NOT_FIT));
    assert_eq!(strict("\"NaN\"", &T::Double), Err(WRONG_TYPE));
    assert_eq!(lossless("\"NaN\"", &T::Double), Err(WRONG_TYPE));
    assert_eq!(strict("\"a\\u0062\"", &T::String(None)), Ok(string("ab")));
    assert_eq!(strict("1", &T::String(None)), Err(WRONG_TYPE));
    assert_eq!(lossless("1.50", &T::String(None)), Ok(string("1.50")));
    assert_eq!(lossless("true", &T::String(None)), Ok(string("true")));
    assert_eq!(lossless("{}", &T::String(None)), Err(WRONG_TYPE));
    assert_eq!(strict("true", &T::Boolean), Ok(Cell::Boolean(true)));
    assert_eq!(strict("1", &T::Boolean), Err(WRONG_TYPE));
    assert_eq!(lossless("\"false\"", &T::Boolean), Ok(Cell::Boolean(false)));
}

#[test]
fn times_become_utc_microseconds() {
    let t = T::TimestampTz(None);
    assert_eq!(strict("\"1970-01-01T00:00:01+00:00\"", &t), Ok(Cell::Int64(1_000_000)));
    assert_eq!(strict("\"1970-01-01 00:00:01\"", &T::Timestamp(None)), Ok(Cell::Int64(1_000_000)));
    assert_eq!(strict("\"yesterday\"", &t), Err(NOT_A_TIME));
    assert_eq!(strict("1", &t), Err(WRONG_TYPE));
    let epoch = |format| JsonOptions { timestamp_format: format, ..JsonOptions::default() };
    use TimestampFormat::*;
    assert_eq!(with("1.5", &t, epoch(EpochS)), Ok(Cell::Int64(1_500_000)));
    assert_eq!(with("-0.0000001", &t, epoch(EpochS)), Ok(Cell::Int64(-1)));
    assert_eq!(with("1700000000123", &t, epoch(EpochMs)), Ok(Cell::Int64(1_700_000_000_123_000)));
    assert_eq!(with("7", &t, epoch(EpochUs)), Ok(Cell::Int64(7)));
    assert_eq!(with("1e30", &t, epoch(EpochS)), Err(DOES_NOT_FIT));
    // Years 0 to 9999, and not one microsecond more.
    for (last, beyond) in [("253402300799999999", "253402300800000000"), ("-62167219200000000", "-62167219200000001")] {
        assert_eq!(with(last, &t, epoch(EpochUs)), Ok(Cell::Int64(last.parse().unwrap())));
        assert_eq!(with(beyond, &t, epoch(EpochUs)), Err(DOES_NOT_FIT));
    }
    assert_eq!(with("9223372036854775807", &t, epoch(EpochUs)), Err(DOES_NOT_FIT));
    let iso = JsonOptions::default();
    assert_eq!(with("\"9999-12-31T23:59:59.999999Z\"", &t, iso), Ok(Cell::Int64(253_402_300_799_999_999)));
    assert_eq!(with("\"9999-12-31T23:59:59-18:00\"", &t, iso), Err(DOES_NOT_FIT));
    assert_eq!(with("\"0000-01-01T00:00:00Z\"", &t, iso), Ok(Cell::Int64(-62_167_219_200_000_000)));
    assert_eq!(with("\"0000-01-01T00:00:00+00:01\"", &t, iso), Err(DOES_NOT_FIT));
    assert_eq!(with("\"1\"", &t, epoch(EpochS)), Err(WRONG_TYPE));
    assert_eq!(strict("\"1970-01-02\"", &T::Date), Ok(Cell::Int32(1)));
    assert_eq!(strict("\"00:00:01.5\"", &T::Time), Ok(Cell::Int64(1_500_000)));
}

#[test]
fn bytes_and_uuids() {
    let bytes = |b: &[u8]| Ok(Cell::Bytes(b.to_vec().into()));
    assert_eq!(strict("\"aGk=\"", &T::Binary), bytes(b"hi"));
    assert_eq!(strict("\"aGk\"", &T::Binary), bytes(b"hi"));
    assert_eq!(strict("\"a*\"", &T::Binary), Err(NOT_BASE64));
    let id: Vec<u8> = (0..16).collect();
    assert_eq!(strict("\"00010203-0405-0607-0809-0A0b0c0d0e0f\"", &T::Uuid), bytes(&id));
    assert_eq!(strict("\"000102030405060708090a0b0c0d0e0f\"", &T::Uuid), Err(NOT_A_UUID));
    assert_eq!(lossless("\"000102030405060708090a0b0c0d0e0f\"", &T::Uuid), bytes(&id));
    assert_eq!(strict("\"é0010203-0405-0607-0809-0A0b0c0d0e0\"", &T::Uuid), Err(NOT_A_UUID));
}

#[test]
fn nested_values() {
    let list = T::List(Box::new(T::BigInt));
    assert_eq!(strict("[1, null]", &list), Ok(Cell::List(vec![Cell::Int64(1), Cell::Null])));
    assert_eq!(strict("1", &list), Err(WRONG_TYPE));
    let record = T::Struct(vec![("a".into(), T::Int), ("b".into(), T::String(None))]);
    assert_eq!(strict(r#"{"b":"x","a":1,"a":2,"z":[]}"#, &record), Ok(Cell::Struct(vec![Cell::Int32(2), string("x")])));
    let refuse = JsonOptions { refuse_unknown_fields: true, ..JsonOptions::default() };
    assert_eq!(with(r#"{"z":1}"#, &record, refuse), Err(UNKNOWN_FIELD));
    let map = T::Map(Box::new(T::Int), Box::new(T::Boolean));
    let entries = vec![(Cell::Int32(1), Cell::Boolean(false)), (Cell::Int32(2), Cell::Null)];
    assert_eq!(strict(r#"{"1":true,"2":null,"1":false}"#, &map), Ok(Cell::Map(entries)));
    assert_eq!(strict(r#"{"x":true}"#, &map), Err(WRONG_TYPE));
    let one = |value| Ok(Cell::Map(vec![(Cell::Int32(1), Cell::Boolean(value))]));
    assert_eq!(strict(r#"{"1":true,"1.0":false}"#, &map), one(false));
    assert_eq!(strict("{}", &map), Ok(Cell::Map(vec![])));
    assert_eq!(strict("null", &map), Ok(Cell::Null));
    assert_eq!(strict("[]", &map), Err(WRONG_TYPE));
    let deep = T::Map(Box::new(T::String(None)), Box::new(map));
    let entries = vec![(string("a"), one(true).unwrap()), (string("b"), Cell::Null)];
    assert_eq!(strict(r#"{"a":{"1":true},"b":null}"#, &deep), Ok(Cell::Map(entries)));
    assert_eq!(strict(r#"{"a": [1.0]}"#, &T::Json), Ok(string(r#"{"a": [1.0]}"#)));
    assert_eq!(strict("null", &T::Json), Ok(Cell::Null));
}

#[test]
fn reasons_say_where() {
    let t = T::Struct(vec![("a".into(), T::List(Box::new(T::Int)))]);
    let error = value(raw(r#"{"a":[1,"x"]}"#), &t, JsonOptions::default()).unwrap_err();
    assert_eq!(error.reason, ".a[1]: found a string where INT was declared");
}

proptest! {
    #[test]
    fn integers_agree_with_rust(v: i64) {
        prop_assert_eq!(strict(&v.to_string(), &T::BigInt), Ok(Cell::Int64(v)));
    }

    #[test]
    fn decimals_agree_with_shifting(v in -(10i64.pow(17))..10i64.pow(17), exponent in -4i32..4) {
        let text = format!("{v}e{exponent}");
        let wanted = i128::from(v) * 10i128.pow(u32::try_from(exponent + 4).unwrap());
        prop_assert_eq!(strict(&text, &T::Decimal(38, 4)), Ok(Cell::Decimal(wanted)));
    }

    #[test]
    fn floors_like_division(v in -(10i64.pow(15))..10i64.pow(15)) {
        let o = JsonOptions { timestamp_format: TimestampFormat::EpochUs, ..JsonOptions::default() };
        let text = format!("{v}e-3");
        prop_assert_eq!(with(&text, &T::TimestampTz(None), o), Ok(Cell::Int64(v.div_euclid(1000))));
    }
}
