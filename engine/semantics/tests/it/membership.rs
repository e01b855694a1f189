//! IN and NOT IN in every position, against three-valued logic written out here.

use proptest::prelude::*;

use crate::engine::Engine;
use crate::world::World;

const TABLES: &[&str] = &[
    "CREATE TABLE t AS SELECT * FROM (VALUES (1, 10), (2, 20), (CAST(NULL AS INT), 30)) AS v(k, p)",
    "CREATE TABLE s AS SELECT * FROM (VALUES (1), (CAST(NULL AS INT))) AS v(y)",
    "CREATE TABLE s2 AS SELECT * FROM (VALUES (1), (3)) AS v(y)",
    "CREATE TABLE none AS SELECT y FROM s WHERE y > 5",
];

/// The rows' p, in order; the right ones follow from SQL's own definition of IN.
#[tokio::test]
async fn nulls_are_unknown_wherever_the_predicate_stands() {
    let engine = Engine::with(TABLES).await;
    let conditions = [
        ("k NOT IN (SELECT y FROM s)", ""),
        ("k NOT IN (SELECT y FROM s) OR p = 20", "20"),
        ("k NOT IN (SELECT y FROM s2)", "20"),
        ("k NOT IN (SELECT y FROM none)", "10 20 30"),
        ("(k IN (SELECT y FROM s)) IS NULL", "20 30"),
        ("coalesce(k IN (SELECT y FROM s), true)", "10 20 30"),
        ("NOT (k IN (SELECT y FROM s) OR p = 20)", ""),
        ("NOT (k IN (SELECT y FROM s2) OR p = 20)", ""),
        ("CAST(NULL AS INT) NOT IN (SELECT y FROM s2)", ""),
        ("CAST(NULL AS INT) NOT IN (VALUES (1), (3))", ""),
        ("CAST(NULL AS INT) NOT IN (SELECT y FROM none)", "10 20 30"),
        ("CASE WHEN p = 10 THEN NULL ELSE 1 END NOT IN (SELECT y FROM s2)", ""),
        ("nullif(k, 2) NOT IN (SELECT y FROM s2)", ""),
        ("nullif(k, 1) NOT IN (SELECT y FROM s2)", "20"),
        ("k NOT IN (SELECT y FROM s2 WHERE s2.y * 10 = t.p)", "20"),
        ("k NOT IN (SELECT y FROM s2 WHERE s2.y * 10 < t.p)", "10 20"),
        ("k NOT IN (SELECT y FROM s WHERE t.p > 10)", "10"),
        ("k NOT IN (SELECT y FROM s WHERE t.p > 10) OR p = 30", "10 30"),
        ("k IN (SELECT y FROM s2 WHERE s2.y * 10 = t.p)", "10"),
        ("CASE WHEN k NOT IN (SELECT y FROM s2) THEN p = 20 ELSE p = 30 END", "20 30"),
        ("k <> ALL (SELECT y FROM s)", ""),
        ("k = ANY (SELECT y FROM s)", "10"),
        ("(k = ANY (SELECT y FROM s)) IS NULL", "20 30"),
        ("(k IN (SELECT y FROM s2)) IN (SELECT y = 3 FROM s2)", "10 20"),
    ];
    for (condition, wanted) in conditions {
        assert_eq!(engine.sorted(&format!("SELECT p FROM t WHERE {condition}")).await, wanted, "{condition}");
    }
}

#[tokio::test]
async fn predicates_are_values() {
    let engine = Engine::with(TABLES).await;
    let queries = [
        ("SELECT p, k IN (SELECT y FROM s) AS i FROM t", "10|true 20|NULL 30|NULL"),
        (
            "SELECT DISTINCT ON (p > 15) p, k IN (SELECT y FROM s2) AS i FROM t ORDER BY p > 15, p DESC",
            "10|true 30|NULL",
        ),
        ("SELECT DISTINCT ON (p) p FROM t ORDER BY p, k IN (SELECT y FROM s2)", "10 20 30"),
        ("SELECT DISTINCT ON (k IN (SELECT y FROM s2)) p FROM t ORDER BY k IN (SELECT y FROM s2), p DESC", "10 20 30"),
        ("SELECT p, k NOT IN (SELECT y FROM s2) AS i FROM t", "10|false 20|true 30|NULL"),
        ("SELECT p, k NOT IN (SELECT y FROM none) AS i FROM t", "10|true 20|true 30|true"),
        (
            "SELECT k IN (SELECT y FROM s2) AS i, count(*) FROM t GROUP BY k IN (SELECT y FROM s2)",
            "NULL|1 false|1 true|1",
        ),
        ("SELECT count(*) FILTER (WHERE k NOT IN (SELECT y FROM s2)) FROM t", "1"),
        (
            "SELECT k IN (SELECT y FROM s2) AS i, p > 10 AS h, count(*) FROM t GROUP BY ROLLUP (k IN (SELECT y FROM s2), p > 10)",
            "NULL|NULL|1 NULL|NULL|3 NULL|true|1 false|NULL|1 false|true|1 true|NULL|1 true|false|1",
        ),
        ("SELECT p, EXISTS (SELECT 1 FROM s2 WHERE s2.y = t.k) AS e FROM t", "10|true 20|false 30|false"),
        ("SELECT p, NOT EXISTS (SELECT 1 FROM none) AS e FROM t", "10|true 20|true 30|true"),
        ("SELECT count(*) FILTER (WHERE EXISTS (SELECT 1 FROM s2 WHERE s2.y = t.k)) FROM t", "1"),
        (
            "SELECT p, k = ANY (SELECT y FROM s) AS a, k <> ALL (SELECT y FROM s2) AS b FROM t",
            "10|true|false 20|NULL|true 30|NULL|NULL",
        ),
        ("SELECT sum(CASE WHEN k IN (SELECT y FROM s2) THEN p ELSE 1 END) FROM t", "12"),
        ("SELECT p, row_number() OVER (ORDER BY k IN (SELECT y FROM s2), p) FROM t", "10|2 20|1 30|3"),
        ("SELECT p FROM t GROUP BY p, k HAVING k NOT IN (SELECT y FROM s2) OR p = 30", "20 30"),
        (
            "SELECT t.p, u.p FROM t JOIN t AS u ON t.k = u.k AND (t.k NOT IN (SELECT y FROM s2) OR u.p = 10)",
            "10|10 20|20",
        ),
        (
            "SELECT t.p, u.p FROM t LEFT JOIN t AS u ON t.k = u.k AND t.k NOT IN (SELECT y FROM s2)",
            "10|NULL 20|20 30|NULL",
        ),
        ("SELECT t.p, u.p FROM t LEFT JOIN t AS u ON t.k = u.k AND u.k IN (SELECT y FROM s)", "10|10 20|NULL 30|NULL"),
        (
            "SELECT t.p, u.p FROM t FULL JOIN t AS u ON t.k = u.k AND u.k IN (SELECT y FROM s) AND t.k IN (SELECT y FROM s2)",
            "10|10 20|NULL 30|NULL NULL|20 NULL|30",
        ),
    ];
    for (sql, wanted) in queries {
        assert_eq!(engine.sorted(sql).await, wanted, "{sql}");
    }
    let ordered = engine.rows("SELECT p FROM t ORDER BY k IN (SELECT y FROM s2) DESC NULLS LAST").await;
    assert_eq!(ordered, ["10", "20", "30"]);
    let both = "SELECT t.p FROM t LEFT JOIN t AS u ON t.k + u.k IN (SELECT y FROM s)";
    let error = engine.try_rows(both).await.unwrap_err().to_string();
    assert!(error.contains("looks at both of its sides"), "{error}");
}

#[tokio::test]
async fn lists_and_arrays_with_nulls() {
    let engine = Engine::with(TABLES).await;
    let values = [
        ("k IN (1, 4) AND k IN (3, NULL)", "10|NULL 20|false 30|NULL"),
        ("k IN (1, NULL) AND k IN (1, 2)", "10|true 20|NULL 30|NULL"),
        ("k NOT IN (3, NULL)", "10|NULL 20|NULL 30|NULL"),
        ("k NOT IN (2, NULL)", "10|NULL 20|false 30|NULL"),
        ("k IN (NULL)", "10|NULL 20|NULL 30|NULL"),
        ("k IN (1, 4) AND k IN (3, CAST(NULL AS INT))", "10|NULL 20|false 30|NULL"),
        ("k IN (1, 4) AND k IN (3, nullif(1, 1))", "10|NULL 20|false 30|NULL"),
        ("k NOT IN (1, 4) OR k NOT IN (3, nullif(2, 2))", "10|NULL 20|true 30|NULL"),
        ("k IN (p / 10, NULL)", "10|true 20|true 30|NULL"),
        ("k = p / 10 AND k NOT IN (nullif(p, 10))", "10|NULL 20|true 30|NULL"),
        ("k NOT IN (3, nullif(p, 10)) OR k NOT IN (1, 2)", "10|NULL 20|true 30|NULL"),
        ("k IN (3, 4, 5, 6, nullif(p, 10)) AND k IN (3, 7)", "10|false 20|false 30|NULL"),
        ("array_has(make_array(1, NULL), k)", "10|true 20|NULL 30|NULL"),
        ("array_has(make_array(1, 3), k)", "10|true 20|false 30|NULL"),
        ("9 = ANY(make_array(k, 9))", "10|true 20|true 30|true"),
        ("8 = ANY(make_array(k, 9))", "10|false 20|false 30|NULL"),
        ("8 <> ALL(make_array(k, 9))", "10|true 20|true 30|NULL"),
    ];
    for (value, wanted) in values {
        assert_eq!(engine.sorted(&format!("SELECT p, {value} FROM t")).await, wanted, "{value}");
    }
    let conditions = [("k IN (1, 2, NULL) AND p < 20", "10"), ("k NOT IN (1, NULL)", ""), ("k IN (NULL)", "")];
    for (condition, wanted) in conditions {
        assert_eq!(engine.sorted(&format!("SELECT p FROM t WHERE {condition}")).await, wanted, "{condition}");
    }
}

/// A column in a list may be NULL, whatever else the condition says of what is looked for.
#[tokio::test]
async fn lists_of_columns_in_conditions_and_joins() {
    let nulls =
        "CREATE TABLE u AS SELECT * FROM (VALUES (1, CAST(NULL AS INT), 10), (2, 5, 20), (2, 2, 30)) AS v(a, b, q)";
    let engine = Engine::with(&[TABLES, &[nulls]].concat()).await;
    let joins = [
        ("JOIN", "20|20"),
        ("LEFT JOIN", "10|NULL 20|20 30|NULL"),
        ("FULL JOIN", "10|NULL 20|20 30|NULL NULL|10 NULL|30"),
    ];
    for (join, wanted) in joins {
        for list in ["u.b", "9, u.b", "7, 8, 9, u.b"] {
            for on in [
                format!("t.k = u.a AND t.k NOT IN ({list})"),
                format!("u.a = t.k AND NOT u.a IN ({list}) AND u.a IN (1, 2)"),
            ] {
                let sql = format!("SELECT t.p, u.q FROM t {join} u ON {on}");
                assert_eq!(engine.sorted(&sql).await, wanted, "{sql}");
            }
        }
    }
    assert_eq!(engine.sorted("SELECT q FROM u WHERE a IN (1, 2) AND a NOT IN (b)").await, "20");
    assert_eq!(engine.sorted("SELECT q FROM u WHERE a IN (b, 1) AND a IN (1, 2, b)").await, "10 30");
}

/// A list may name what is computed of the row beside constants, however long it is.
#[tokio::test]
async fn lists_with_members_that_are_computed() {
    let engine = Engine::with(TABLES).await;
    let same = [
        "k",
        "CASE WHEN p > 15 THEN k WHEN p <= 15 THEN k END",
        "CASE p WHEN 10 THEN k WHEN 20 THEN k ELSE k END",
        "CASE WHEN p > 15 THEN k WHEN p <= 15 THEN k END + 0",
        "CAST(CASE WHEN p > 15 THEN k WHEN p <= 15 THEN k END AS BIGINT)",
        "CASE WHEN p > 100 THEN 1 / 0 WHEN p > 0 THEN k END",
        "coalesce(nullif(k, 99), k)",
        "TRY(k + 0)",
        "greatest(k, CASE WHEN p > 15 THEN k WHEN p <= 15 THEN k END)",
        "0 + (SELECT min(u.k) FROM t AS u WHERE u.p = t.p)",
    ];
    for member in same {
        for list in [
            member.to_owned(),
            format!("7, {member}"),
            format!("7, 8, 9, {member}, 11, 7"),
            format!("7, NULL, 9, 11, {member}"),
        ] {
            let value = engine.sorted(&format!("SELECT p, k IN ({list}) FROM t")).await;
            assert_eq!(value, "10|true 20|true 30|NULL", "{list}");
            let negated = engine.sorted(&format!("SELECT p, k NOT IN ({list}) FROM t")).await;
            assert_eq!(negated, "10|false 20|false 30|NULL", "{list}");
            let condition = engine.sorted(&format!("SELECT p FROM t WHERE k IN ({list})")).await;
            assert_eq!(condition, "10 20", "{list}");
            let doubles = format!("SELECT p FROM t WHERE CAST(k AS DOUBLE) IN ({list}) OR k NOT IN ({list})");
            assert_eq!(engine.sorted(&doubles).await, "10 20", "{list}");
        }
    }
}

/// A value of t's row: its SQL, and what it is for (k, p).
#[derive(Debug, Clone, Copy)]
enum Value {
    K,
    Null,
    Three,
    KUnless(i32),
    KPlusOne,
}

impl Value {
    fn sql(self) -> String {
        match self {
            Value::K => "t.k".into(),
            Value::Null => "CAST(NULL AS INT)".into(),
            Value::Three => "3".into(),
            Value::KUnless(p) => format!("CASE WHEN t.p = {p} THEN NULL ELSE t.k END"),
            Value::KPlusOne => "t.k + 1".into(),
        }
    }

    fn of(self, (k, p): Row) -> Option<i32> {
        match self {
            Value::K => k,
            Value::Null => None,
            Value::Three => Some(3),
            Value::KUnless(not) => k.filter(|_| p != Some(not)),
            Value::KPlusOne => k.map(|k| k + 1),
        }
    }
}

type Row = (Option<i32>, Option<i32>);

/// Which rows of s(y, g) a subquery has.
#[derive(Debug, Clone, Copy)]
enum Which {
    All,
    None,
    GIs(i32),
    GIsP,
    GBelowP,
    NotNull,
}

impl Which {
    fn sql(self) -> String {
        let condition = match self {
            Which::All => return "SELECT y FROM s".into(),
            Which::None => "s.g > 100".into(),
            Which::GIs(g) => format!("s.g = {g}"),
            Which::GIsP => "s.g = t.p".into(),
            Which::GBelowP => "s.g < t.p".into(),
            Which::NotNull => "s.y IS NOT NULL".into(),
        };
        format!("SELECT y FROM s WHERE {condition}")
    }

    fn has(self, (y, g): Row, (_, p): Row) -> bool {
        match self {
            Which::All => true,
            Which::None => false,
            Which::GIs(wanted) => g == Some(wanted),
            Which::GIsP => g.is_some() && g == p,
            Which::GBelowP => matches!((g, p), (Some(g), Some(p)) if g < p),
            Which::NotNull => y.is_some(),
        }
    }
}

#[derive(Debug, Clone)]
enum Condition {
    In { value: Value, which: Which, negated: bool },
    List { value: Value, members: Vec<Option<i32>>, negated: bool },
    PIs(i32),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    IsNull(Box<Condition>),
    Coalesce(Box<Condition>, bool),
    Case(Box<Condition>, Box<Condition>),
}

impl Condition {
    fn sql(&self) -> String {
        let not = |n: &bool| if *n { "NOT " } else { "" };
        match self {
            Self::In { value, which, negated } => format!("({} {}IN ({}))", value.sql(), not(negated), which.sql()),
            Self::List { value, members, negated } => {
                let members: Vec<String> =
                    members.iter().map(|m| m.map_or("NULL".to_owned(), |m| m.to_string())).collect();
                format!("({} {}IN ({}))", value.sql(), not(negated), members.join(", "))
            }
            Self::PIs(p) => format!("(t.p = {p})"),
            Self::Not(c) => format!("(NOT {})", c.sql()),
            Self::And(a, b) => format!("({} AND {})", a.sql(), b.sql()),
            Self::Or(a, b) => format!("({} OR {})", a.sql(), b.sql()),
            Self::IsNull(c) => format!("({} IS NULL)", c.sql()),
            Self::Coalesce(c, v) => format!("coalesce({}, {v})", c.sql()),
            Self::Case(a, b) => format!("(CASE WHEN {} THEN {} ELSE false END)", a.sql(), b.sql()),
        }
    }

    fn of(&self, row: Row, s: &[Row]) -> Option<bool> {
        let member = |value: Option<i32>, members: &[Option<i32>], negated: bool| {
            let found = if members.is_empty() {
                Some(false)
            } else if value.is_none() {
                None
            } else if members.contains(&value) {
                Some(true)
            } else if members.contains(&None) {
                None
            } else {
                Some(false)
            };
            found.map(|f| f != negated)
        };
        match self {
            Self::In { value, which, negated } => {
                let members: Vec<_> = s.iter().filter(|m| which.has(**m, row)).map(|m| m.0).collect();
                member(value.of(row), &members, *negated)
            }
            Self::List { value, members, negated } => member(value.of(row), members, *negated),
            Self::PIs(p) => row.1.map(|v| v == *p),
            Self::Not(c) => c.of(row, s).map(|v| !v),
            Self::And(a, b) => match (a.of(row, s), b.of(row, s)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.of(row, s), b.of(row, s)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::IsNull(c) => Some(c.of(row, s).is_none()),
            Self::Coalesce(c, v) => c.of(row, s).or(Some(*v)),
            Self::Case(a, b) => {
                if a.of(row, s) == Some(true) {
                    b.of(row, s)
                } else {
                    Some(false)
                }
            }
        }
    }
}

fn small() -> impl Strategy<Value = Option<i32>> {
    prop_oneof![1 => Just(None), 4 => (1..4_i32).prop_map(Some)]
}

fn condition() -> impl Strategy<Value = Condition> {
    let value = prop_oneof![
        3 => Just(Value::K),
        1 => Just(Value::Null),
        1 => Just(Value::Three),
        1 => (1..4_i32).prop_map(Value::KUnless),
        1 => Just(Value::KPlusOne)
    ];
    let which = prop_oneof![
        2 => Just(Which::All),
        1 => Just(Which::None),
        1 => (1..4_i32).prop_map(Which::GIs),
        1 => Just(Which::GIsP),
        1 => Just(Which::GBelowP),
        1 => Just(Which::NotNull)
    ];
    let list = proptest::collection::vec(small(), 1..4);
    let leaf = prop_oneof![
        5 => (value.clone(), which, any::<bool>()).prop_map(|(value, which, negated)| Condition::In { value, which, negated }),
        2 => (value, list, any::<bool>()).prop_map(|(value, members, negated)| Condition::List { value, members, negated }),
        1 => (1..4_i32).prop_map(Condition::PIs)
    ];
    leaf.prop_recursive(3, 6, 2, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(Condition::Not),
            (boxed(), boxed()).prop_map(|(a, b)| Condition::And(a, b)),
            (boxed(), boxed()).prop_map(|(a, b)| Condition::Or(a, b)),
            boxed().prop_map(Condition::IsNull),
            (boxed(), any::<bool>()).prop_map(|(c, v)| Condition::Coalesce(c, v)),
            (boxed(), boxed()).prop_map(|(a, b)| Condition::Case(a, b)),
        ]
    })
}

fn values(rows: &[Row], names: &str) -> String {
    let number = |v: Option<i32>| v.map_or("CAST(NULL AS INT)".to_owned(), |v| v.to_string());
    let rows: Vec<String> = rows.iter().map(|(a, b)| format!("({}, {})", number(*a), number(*b))).collect();
    let filter = if rows.is_empty() { " WHERE false" } else { "" };
    let rows = if rows.is_empty() { "(1, 1)".to_owned() } else { rows.join(", ") };
    format!("SELECT * FROM (VALUES {rows}) AS v({names}){filter}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_position_has_three_values(
        t in proptest::collection::vec((small(), small()), 1..5),
        s in proptest::collection::vec((small(), small()), 0..4),
        condition in condition(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (make_t, make_s) = (
                format!("CREATE TABLE t AS {}", values(&t, "k, p")),
                format!("CREATE TABLE s AS {}", values(&s, "y, g")),
            );
            let engine = Engine::with(&[&make_t, &make_s]).await;
            let text = |v: Option<i32>| v.map_or("NULL".to_owned(), |v| v.to_string());
            let truth = |v: Option<bool>| v.map_or("NULL".to_owned(), |v| v.to_string());
            let (sql, found): (String, Vec<Option<bool>>) = (condition.sql(), t.iter().map(|row| condition.of(*row, &s)).collect());
            let sorted = |mut rows: Vec<String>| { rows.sort(); rows.join(" ") };
            let row = |(k, p): &Row| format!("{}|{}", text(*k), text(*p));
            let kept = sorted(t.iter().zip(&found).filter(|(_, f)| **f == Some(true)).map(|(r, _)| row(r)).collect());
            let shown = sorted(t.iter().zip(&found).map(|(r, f)| format!("{}|{}", row(r), truth(*f))).collect());
            let kept_by_join = sorted(
                t.iter().zip(&found).filter(|(_, f)| **f == Some(true)).flat_map(|(r, _)| [format!("{}|1", row(r)), format!("{}|2", row(r))]).collect(),
            );
            let outer = sorted(
                t.iter().zip(&found).flat_map(|(r, f)| match f {
                    Some(true) => vec![format!("{}|1", row(r)), format!("{}|2", row(r))],
                    _ => vec![format!("{}|NULL", row(r))],
                }).collect(),
            );
            let mut counts = std::collections::BTreeMap::<String, usize>::new();
            found.iter().for_each(|f| *counts.entry(truth(*f)).or_default() += 1);
            let counts = sorted(counts.into_iter().map(|(f, n)| format!("{f}|{n}")).collect());
            let true_count = found.iter().filter(|f| **f == Some(true)).count().to_string();
            let two = "(VALUES (1), (2)) AS two(n)";
            let checks = [
                (format!("SELECT t.k, t.p FROM t WHERE {sql}"), kept, false),
                (format!("SELECT t.k, t.p, {sql} AS c FROM t"), shown, true),
                (format!("SELECT t.k, t.p, n FROM t JOIN {two} ON {sql}"), kept_by_join, false),
                (format!("SELECT t.k, t.p, n FROM t LEFT JOIN {two} ON {sql}"), outer, true),
                (format!("SELECT {sql} AS c, count(*) FROM t GROUP BY {sql}"), counts, true),
                (format!("SELECT count(*) FILTER (WHERE {sql}) FROM t"), true_count, true),
            ];
            for (sql, wanted, value) in &checks {
                match engine.try_rows(sql).await {
                    Ok(mut got) => {
                        got.sort();
                        assert_eq!(got.join(" "), *wanted, "{sql}\nt: {t:?}\ns: {s:?}");
                    }
                    // As a value: a correlation by other than =.
                    Err(error) => {
                        let refused = error.to_string().contains("this correlated subquery is not supported");
                        assert!(refused && sql.contains("s.g < t.p") && *value, "{error}: {sql}");
                    }
                }
            }
        });
    }
}

/// As in PostgreSQL: a literal is a UUID, another text is cast by whoever means that.
#[tokio::test]
async fn a_literal_beside_a_uuid_is_one() {
    let w = World::new(&[(
        "t",
        "SELECT n, CAST(s AS UUID) AS u, s FROM (VALUES (1, '0f8fad5b-d9cb-469f-a165-70867728950e'), \
         (2, '7c9e6679-7425-40de-944b-e07fc1f90ae7'), (3, NULL)) v(n, s)",
    )])
    .await;
    let one = "'0F8FAD5B-d9cb469fa165-70867728950e'";
    for (condition, rows) in [
        (format!("u = {one}"), "1"),
        (format!("{one} = u"), "1"),
        (format!("u <> {one}"), "2"),
        (format!("u > {one}"), "2"),
        (format!("u IN ({one}, NULL)"), "1"),
        (format!("u NOT IN ({one})"), "2"),
        (format!("u BETWEEN '00000000-0000-0000-0000-000000000000' AND {one}"), "1"),
        (format!("CASE u WHEN {one} THEN TRUE END"), "1"),
        (format!("u IS DISTINCT FROM {one}"), "2;3"),
        ("u = CAST(s AS UUID)".to_owned(), "1;2"),
        ("u = NULL".to_owned(), ""),
    ] {
        w.rows(&format!("SELECT n FROM t WHERE {condition} ORDER BY n"), rows).await;
    }
    for condition in ["u = 'zz'", "u IN ('zz')", "u BETWEEN 'a' AND 'b'", "'zz' < u"] {
        w.fails(&format!("SELECT n FROM t WHERE {condition}"), "is no UUID").await;
    }
    for sql in
        ["SELECT n FROM t WHERE u = s", "SELECT n FROM t WHERE s IN (u)", "SELECT a.n FROM t a JOIN t b ON a.u = b.s"]
    {
        w.fails(sql, "AS UUID)").await;
    }
}

#[tokio::test]
async fn each_join_has_its_own_equality_of_nulls() {
    let world = World::new(&[
        ("t", "SELECT * FROM (VALUES (1, 1, 1), (2, 1, 0), (3, 2, 5), (4, 2, NULL), (5, NULL, 1), (6, 3, 0)) AS v(id, k, b)"),
        ("o", "SELECT * FROM (VALUES (1, 1, NULL), (2, 2, 20), (3, NULL, 30), (9, 9, 90), (2, 1, 5)) AS v(id, k, v)"),
    ])
    .await;
    for (from, expected) in [
        ("t JOIN o ON t.k IS NOT DISTINCT FROM o.k", "7"),
        ("t JOIN o ON t.k IS NOT DISTINCT FROM o.k CROSS JOIN t AS u", "42"),
        ("t JOIN o ON t.k IS NOT DISTINCT FROM o.k JOIN t AS u ON TRUE", "42"),
        ("t AS u CROSS JOIN t JOIN o ON t.k IS NOT DISTINCT FROM o.k", "42"),
        ("t JOIN o ON t.k = o.k JOIN t AS u ON u.b IS NOT DISTINCT FROM o.v", "4"),
        ("t JOIN o ON t.k IS NOT DISTINCT FROM o.k JOIN t AS u ON u.b = o.v", "2"),
        ("t JOIN o ON t.k IS NOT DISTINCT FROM o.k WHERE t.id = o.id", "2"),
        ("t, o, t AS u WHERE t.k = o.k AND u.b IS NOT DISTINCT FROM o.v", "4"),
        ("t JOIN o ON t.id = o.id JOIN o AS p ON (p.v IS NOT DISTINCT FROM t.b) AND p.k = t.k", "0"),
    ] {
        world.rows(&format!("SELECT count(*) FROM {from}"), expected).await;
    }
}
