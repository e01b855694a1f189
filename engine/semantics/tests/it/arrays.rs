//! Comparisons with the items of an array: SQL's three-valued logic, judged by an evaluator of its own.

use proptest::prelude::*;

use crate::engine::Engine;
use crate::world::World;

type Item = Option<i64>;
type Array = Option<Vec<Item>>;

fn item(item: &Item) -> String {
    item.map_or("CAST(NULL AS BIGINT)".into(), |v| v.to_string())
}

fn array(array: &Array) -> String {
    match array {
        None => "CAST(NULL AS BIGINT[])".into(),
        Some(items) if items.is_empty() => "CAST(make_array() AS BIGINT[])".into(),
        Some(items) => format!("make_array({})", items.iter().map(item).collect::<Vec<_>>().join(", ")),
    }
}

fn shown(value: Option<bool>) -> &'static str {
    match value {
        None => "NULL",
        Some(true) => "true",
        Some(false) => "false",
    }
}

/// OR of three truth values; AND is its dual.
fn any(values: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let values: Vec<_> = values.collect();
    match (values.contains(&Some(true)), values.contains(&None)) {
        (true, _) => Some(true),
        (false, true) => None,
        (false, false) => Some(false),
    }
}

fn all(values: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    any(values.map(|v| v.map(|v| !v))).map(|v| !v)
}

fn compare(op: &str, left: &Item, right: &Item) -> Option<bool> {
    let (l, r) = ((*left)?, (*right)?);
    Some(match op {
        "=" => l == r,
        "<>" => l != r,
        "<" => l < r,
        "<=" => l <= r,
        ">" => l > r,
        _ => l >= r,
    })
}

fn items() -> impl Strategy<Value = Item> {
    prop_oneof![1 => Just(None), 4 => (0i64..4).prop_map(Some)]
}

fn arrays() -> impl Strategy<Value = Array> {
    prop_oneof![1 => Just(None), 9 => prop::collection::vec(items(), 0..4).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn items_are_compared_with_three_values(rows in prop::collection::vec((items(), arrays(), arrays()), 1..12)) {
        const OPS: [&str; 5] = ["<>", "<", "<=", ">", ">="];
        let values: Vec<String> = rows
            .iter()
            .enumerate()
            .map(|(i, (x, a, b))| format!("({i}, {}, {}, {})", item(x), array(a), array(b)))
            .collect();
        let mut columns: Vec<String> = vec!["x = ALL(a)".into(), "array_has_any(a, b)".into(), "array_has_all(a, b)".into()];
        columns.extend(OPS.iter().flat_map(|op| [format!("x {op} ANY(a)"), format!("x {op} ALL(a)")]));
        let named: Vec<String> = columns.iter().enumerate().map(|(i, c)| format!("{c} AS c{i}")).collect();
        let sql = format!(
            "SELECT {} FROM (VALUES {}) AS v(i, x, a, b) ORDER BY i", named.join(", "), values.join(", ")
        );
        let wanted: Vec<String> = rows
            .iter()
            .map(|(x, a, b)| {
                let holds = |y: &Item| a.as_ref().and_then(|a| any(a.iter().map(|e| compare("=", e, y))));
                let both = a.as_ref().zip(b.as_ref());
                let mut found = vec![
                    a.as_ref().and_then(|a| all(a.iter().map(|e| compare("=", x, e)))),
                    both.and_then(|(_, b)| any(b.iter().map(holds))),
                    both.and_then(|(_, b)| all(b.iter().map(holds))),
                ];
                for op in OPS {
                    found.push(a.as_ref().and_then(|a| any(a.iter().map(|e| compare(op, x, e)))));
                    found.push(a.as_ref().and_then(|a| all(a.iter().map(|e| compare(op, x, e)))));
                }
                found.into_iter().map(shown).collect::<Vec<_>>().join("|")
            })
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(async { Engine::new().rows(&sql).await });
        prop_assert_eq!(found, wanted, "{}", sql);
    }
}

/// The same over constants, which are folded, and over floats: zeros are equal, NaN is a value and the largest.
#[tokio::test]
async fn constants_and_floats_are_compared_alike() {
    let w = World::new(&[("t", "SELECT 1 AS id")]).await;
    w.rows(
        "SELECT 2 < ANY(make_array(1, NULL)), 2 <> SOME(make_array(2, NULL)), 2 >= ANY(make_array(3, NULL))",
        "NULL|NULL|NULL",
    )
    .await;
    w.rows("SELECT NOT 2 < ANY(make_array(1, 3)), 1 + 1 < ANY(make_array(3)) AND TRUE", "false|true").await;
    w.rows("SELECT id FROM t WHERE id < ANY(SELECT 2)", "1").await;
    w.rows("SELECT 0e0 < ANY(make_array(-0e0)), 1e0 < ANY(make_array(0e0 / 0e0)), 0e0 / 0e0 <> ANY(make_array(-(0e0 / 0e0)))",
        "false|true|false").await;
    w.rows("SELECT array_has_any(make_array(0e0), make_array(-0e0)), array_has_all(make_array(0e0, 0e0 / 0e0), make_array(-(0e0 / 0e0)))",
        "true|true").await;
    w.rows("SELECT array_has_any(make_array('a', NULL), make_array('b')), array_has_all(make_array('a'), make_array('b', NULL))",
        "NULL|false").await;
}

#[tokio::test]
async fn sums_and_averages_of_lists_are_those_of_columns() {
    let w = World::new(&[(
        "l",
        "SELECT id, CAST(b AS BIGINT[]) AS b, CAST(d AS DECIMAL(38, 2)[]) AS d FROM (VALUES \
         (1, [9007199254740993, 1], [1.25, 2.26]), (2, [9223372036854775807, 1], [NULL]), (3, [], NULL), \
         (4, [1, NULL, 2], [0.01, NULL, 0.02])) v(id, b, d)",
    )])
    .await;
    w.typed(
        "SELECT array_sum(b), array_sum(d) FROM l WHERE id = 1",
        "9007199254740994|3.51",
        "Int64|Decimal128(38, 2)",
    )
    .await;
    w.rows(
        "SELECT array_sum(b), array_sum(d), array_avg(b), array_avg(d) FROM l WHERE id > 2 ORDER BY id",
        "NULL|NULL|NULL|NULL;3|0.03|1.5|0.015000",
    )
    .await;
    w.fails("SELECT array_sum(b) FROM l", "does not fit BIGINT").await;
    w.rows("SELECT TRY(array_sum(b)) FROM l ORDER BY id", "9007199254740994;NULL;NULL;3").await;
    w.typed(
        "SELECT array_sum([1.5, 2.25]), array_avg([1, 2]), array_avg([1.5, 2.0, 2.0]), list_sum([CAST(1 AS INT)])",
        "3.75|1.5|1.83333|1",
        "Decimal128(13, 2)|Float64|Decimal128(6, 5)|Int64",
    )
    .await;
    w.rows(
        "SELECT array_sum([1e308, 1e308, -1e308]), array_avg([1e308, 1e308]), abs(array_product([1e200, 1e200, 1e-300]) / 1e100 - 1) < 1e-14",
        "1e308|1e308|true",
    )
    .await;
    w.rows(
        "SELECT array_max([9007199254740993, 1]), array_min([9007199254740993, 9007199254740992])",
        "9007199254740993|9007199254740992",
    )
    .await;
    w.fails("SELECT array_sum(['1'])", "list of numbers").await;
}

#[tokio::test]
async fn vectors_whose_squares_leave_the_range() {
    let table = "SELECT * FROM (VALUES (1, [3e200, 4e200], 5e200), (2, [3e-200, 4e-200], 5e-200), (3, [3e0, 4e0], 5e0)) v(id, a, d)";
    let w = World::new(&[("v", table)]).await;
    w.rows("SELECT abs(array_distance(a, [0e0, 0e0]) / d - 1) < 1e-15 FROM v ORDER BY id", "true;true;true").await;
    w.rows(
        "SELECT round(cosine_distance(a, [3e0, 4e0]), 12), round(cosine_distance(a, [-4e0, 3e0]), 12) FROM v",
        "0.0|1.0;0.0|1.0;0.0|1.0",
    )
    .await;
    w.rows(
        "SELECT round(array_normalize(a)[1], 12), round(array_normalize(a)[2], 12) FROM v",
        "0.6|0.8;0.6|0.8;0.6|0.8",
    )
    .await;
    w.rows("SELECT array_distance([1e200], ['inf'::DOUBLE]), array_distance(NULL::DOUBLE[], [1e200])", "inf|NULL")
        .await;
}
