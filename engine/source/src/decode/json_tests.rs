//! The walker against serde_json, and its own rules.

use super::*;
use proptest::prelude::*;

fn find(paths: &[&str], text: &str) -> Result<(bool, Vec<Option<String>>, Vec<String>)> {
    let paths: Vec<_> = paths.iter().map(|p| JsonPath::parse(p).unwrap()).collect();
    let wanted = Wanted::new(&paths);
    let mut slots = vec![None; paths.len()];
    let mut unknown = Vec::new();
    let suits = wanted.find(text, &mut slots, &mut |key| unknown.push(key.to_string()))?;
    Ok((suits, slots.iter().map(|s| s.map(|p| p.of(text).text.to_string())).collect(), unknown))
}

fn found(paths: &[&str], text: &str) -> Vec<Option<String>> {
    find(paths, text).unwrap().1
}

#[test]
fn finds_places() {
    let text = r#" {"a": {"b c": [1.50, {"d":"x\"y"}]}, "n":null} "#;
    let some = |s: &str| Some(s.to_string());
    assert_eq!(
        found(&["$.a[\"b c\"][0]", "$.a[\"b c\"][1].d", "$.n", "$.z", "$.a", "$.n.x"], text),
        [some("1.50"), some(r#""x\"y""#), some("null"), None, some(r#"{"b c": [1.50, {"d":"x\"y"}]}"#), None]
    );
}

#[test]
fn the_last_of_equal_keys_wins_with_everything_below() {
    let text = r#"{"a":{"b":1,"c":2},"a":{"b":3},"\u0061":{"b":4}}"#;
    assert_eq!(found(&["$.a.b", "$.a.c"], text), [Some("4".into()), None]);
    assert_eq!(found(&["$.a.b", "$.a"], r#"{"a":{"b":1},"a":7}"#), [None, Some("7".into())]);
}

#[test]
fn unknown_keys_are_told() {
    let (_, _, unknown) = find(&["$.a.b", "$.c"], r#"{"a":{"b":1,"x":2},"c":{"free":1},"y":{"z":1}}"#).unwrap();
    assert_eq!(unknown, ["x", "y"]);
}

#[test]
fn the_root_must_suit_the_paths() {
    assert!(!find(&["$.a"], "[1]").unwrap().0);
    assert!(find(&["$[0]"], "[1]").unwrap().0);
    assert!(find(&["$"], "3").unwrap().0);
}

#[test]
fn faults_have_places() {
    let fault = |text: &str| find(&["$.a"], text).unwrap_err();
    assert_eq!(fault("{} {}"), JsonError { fault: Fault::Trailing, at: 3 });
    assert_eq!(fault("{\"a\":1").at, 6);
    assert_eq!(fault(&format!("{{\"b\":{}{}}}", "[".repeat(200), "]".repeat(200))).fault, Fault::TooDeep);
    for text in [
        "",
        "{",
        "{\"a\" 1}",
        "{\"a\":01}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":1e}",
        "{\"a\":+1}",
        "{'a':1}",
        "{\"a\":tru}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\u{1}\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\\udc00\"}",
        "{\"a\":\"\\ud800\\u0041\"}",
        "{\"a\":1,}",
        "{,}",
        "[1,]",
        "NaN",
        "{\"a\":NaN}",
    ] {
        assert!(find(&["$.a"], text).is_err(), "{text}");
    }
}

#[test]
fn strings_are_unescaped() {
    let text = r#"{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é"}"#;
    let paths = [JsonPath::key("a")];
    let mut slots = [None];
    Wanted::new(&paths).find(text, &mut slots, &mut |_| {}).unwrap();
    assert_eq!(slots[0].unwrap().of(text).string(), "\"\\/\u{8}\u{c}\n\r\té😀é");
}

#[test]
fn numbers_are_recognised() {
    for text in ["0", "-0", "12", "1.5", "1e3", "1E+3", "-1.5e-3"] {
        assert!(is_number(text), "{text}");
    }
    for text in ["", "-", "01", "1.", ".5", "1e", " 1", "1 ", "+1", "0x1", "NaN", "1_0"] {
        assert!(!is_number(text), "{text}");
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,8}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            proptest::collection::btree_map("[a-e\"\\\\é]{0,2}", inner, 0..5)
                .prop_map(|m| serde_json::Value::Object(m.into_iter().collect())),
        ]
    })
}

/// The value read back through this module alone.
fn rebuild(raw: Raw<'_>) -> serde_json::Value {
    match raw.kind {
        JsonKind::Null => serde_json::Value::Null,
        JsonKind::Boolean(b) => b.into(),
        // serde_json rounds some doubles the wrong way when it reads them: the digits are what is compared.
        JsonKind::Number => match raw.text.parse::<i64>() {
            Ok(v) => v.into(),
            Err(_) => raw.text.parse::<f64>().unwrap().into(),
        },
        JsonKind::String { .. } => raw.string().into_owned().into(),
        JsonKind::Array => {
            let mut all = Vec::new();
            raw.elements(|e| {
                all.push(rebuild(e));
                Ok::<_, ()>(())
            })
            .unwrap();
            all.into()
        }
        JsonKind::Object => {
            let mut all = serde_json::Map::new();
            raw.members(|k, v| {
                all.insert(k.into_owned(), rebuild(v));
                Ok::<_, ()>(())
            })
            .unwrap();
            all.into()
        }
    }
}

proptest! {
    #[test]
    fn reads_what_serde_json_writes(value in json(), pretty: bool) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        let mut slots = [None];
        Wanted::new(&[JsonPath::default()]).find(&text, &mut slots, &mut |_| {}).unwrap();
        prop_assert_eq!(rebuild(slots[0].unwrap().of(&text)), value);
    }

    #[test]
    fn accepts_what_serde_json_accepts(text in "[\\[\\]{}\",:\\\\0-9eE.+\\-a-cnultrfs /dD8]{0,24}") {
        let ours = find(&["$"], &text).is_ok();
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        // serde_json refuses numbers beyond a double; they are valid JSON.
        let too_large = theirs.as_ref().is_err_and(|e| e.to_string().contains("number out of range"));
        prop_assert!(ours == theirs.is_ok() || too_large, "{} {:?}", text, theirs);
    }

    #[test]
    fn never_panics(text in ".{0,64}") {
        let _ = find(&["$.a[0]", "$"], &text);
    }
}
