//! Namespaces with levels, in every place where a statement names a table.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array};
use ingot_model::TableName;

use crate::tests::{fails, table, text};
use crate::{ErrorKind, Session, SessionLimits};

#[tokio::test]
async fn a_namespace_has_levels_and_two_readings_are_an_error() {
    let one = |n: i64| table(vec![("n", Arc::new(Int64Array::from(vec![n])) as ArrayRef)]);
    let deep = |namespace: &str| TableName::new(namespace, "t");
    let tables =
        [(deep("a.b"), one(1)), (deep("gold"), one(2)), (deep("ingot.deep"), one(3)), (deep("ingot.gold"), one(4))];
    let s = Session::over(tables, vec![], "ingot", &SessionLimits::default()).unwrap();
    for (from, n) in [
        ("a.b.t", 1),
        ("\"a.b\".t", 1),
        ("ingot.\"a.b\".t", 1),
        ("gold.t", 2),
        ("ingot.deep.t", 3),
        ("ingot.\"ingot.deep\".t", 3),
        ("\"ingot.gold\".t", 4),
    ] {
        let rows = text(&s, &format!("SELECT n, t.n + 0 AS m FROM {from}")).await;
        assert!(rows.contains(&format!("| {n} | {n} |")), "{from}\n{rows}");
    }
    let four = [(deep("a.b.c"), one(5)), (deep("a.b.c.d"), one(6)), (deep("gold"), one(2))];
    let f = Session::over(four, vec![], "ingot", &SessionLimits::default()).unwrap();
    for (from, n) in [("a.b.c.t", 5), ("ingot.a.b.c.t", 5), ("A.b.C.t", 5), ("a.b.c.d.t", 6), ("\"a.b\".c.t", 5)] {
        for column in ["n", "t.n", &format!("{from}.n")] {
            let rows = text(&f, &format!("SELECT {column} AS n FROM {from} WHERE {column} > 0")).await;
            assert!(rows.contains(&format!("| {n} |")), "{column} FROM {from}\n{rows}");
        }
        let rows = text(&f, &format!("SELECT {from}.* FROM {from} JOIN gold.t AS g ON g.n <> {from}.n")).await;
        assert!(rows.contains(&format!("| {n} |")), "{from}.*\n{rows}");
        let rows = text(&f, &format!("DESCRIBE {from}")).await;
        assert_eq!(rows.matches("BIGINT").count(), 1, "DESCRIBE {from}\n{rows}");
    }
    for (namespace, named) in [("a.b.c", "a.b.c "), ("ingot.a.b.c", "a.b.c "), ("gold", "gold"), ("ingot.gold", "gold")]
    {
        let rows = text(&f, &format!("SHOW TABLES FROM {namespace}")).await;
        assert!(rows.contains(named) && rows.matches("BASE TABLE").count() == 1, "{namespace}\n{rows}");
    }
    let none = fails(&f, "SELECT n FROM a.b.x.t").await;
    assert!(none.message.contains("table \"a.b.x.t\" does not exist"), "{none}");
    let both = fails(&s, "SELECT n FROM ingot.gold.t").await;
    assert!(both.message.contains("two readings"), "{both}");
    assert_eq!((both.code, both.kind), ("Q0102", ErrorKind::UnknownName));
    let unknown = fails(&s, "SELECT n FROM x.b.t").await;
    assert!(unknown.message.contains("catalog \"x\" does not exist"), "{unknown}");
}
