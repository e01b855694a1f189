//! Scans of a plan, each bound by itself.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::{LogicalPlan, TableSource};
use datafusion::prelude::SessionContext;
use ingot_delta::{Occurrence, Scan, consolidate, freeze_now, rebind, rebind_tables, scans, tables};
use proptest::prelude::{Strategy as _, prop};
use proptest::strategy::BoxedStrategy;
use proptest::test_runner::{Config, TestRunner};

use crate::world::*;

fn source(rows: &[Row]) -> Arc<dyn TableSource> {
    provider_as_source(Arc::new(MemTable::try_new(schema(), vec![vec![batch(rows)]]).unwrap()))
}

async fn collect(ctx: &SessionContext, plan: LogicalPlan) -> Vec<RecordBatch> {
    ctx.execute_logical_plan(plan).await.unwrap().collect().await.unwrap()
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// Queries that read a table twice or thrice; `{}` are the places of its name.
const TWICE: &[&str] = &[
    "SELECT a.k, a.s, b.f FROM {} a JOIN {} b ON a.k = b.k",
    "SELECT a.k, b.s, b.f FROM {} a LEFT JOIN {} b ON a.k = b.k AND b.i > 0",
    "SELECT k, s FROM {} UNION ALL SELECT k, s FROM {} WHERE k > 0",
    "SELECT k, s FROM {} WHERE k IN (SELECT k FROM {} WHERE i > 0)",
    "SELECT k, s FROM {} a WHERE NOT EXISTS (SELECT 1 FROM {} b WHERE b.k = a.k AND b.s = 'a')",
    "SELECT k, (SELECT count(*) FROM {}) AS c FROM {} WHERE i >= (SELECT min(i) FROM {})",
    "SELECT a.k, count(*) AS c FROM (SELECT k FROM {} GROUP BY k) a JOIN {} b ON a.k = b.k WHERE b.i IN (SELECT i FROM {}) GROUP BY a.k",
];

/// A query with these names in the places of its table.
fn named(query: &str, names: &[&str]) -> String {
    names.iter().fold(query.to_owned(), |text, name| text.replacen("{}", name, 1))
}

#[test]
fn occurrences_of_one_table_are_bound_to_different_versions() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ctx = context();
    for query in TWICE {
        let places = query.matches("{}").count();
        let one = runtime.block_on(plan(&ctx, &named(query, &vec!["t"; places])));
        assert_eq!(tables(&one).unwrap().len(), 1, "{query}");
        assert_eq!(scans(&one).unwrap().len(), places, "{query}");
        // Each place reads the old or the new version: t stands for the old one, u for the new one.
        for choice in 0..1 << places {
            let names: Vec<&str> = (0..places).map(|i| if choice >> i & 1 == 0 { "t" } else { "u" }).collect();
            let two = runtime.block_on(plan(&ctx, &named(query, &names)));
            let versions: HashMap<Occurrence, String> =
                scans(&two).unwrap().into_iter().map(|s| (s.occurrence, s.table.to_string())).collect();
            let rows = (prop::collection::vec(any_row(), 0..6), prop::collection::vec(any_row(), 0..6));
            let outcome = runner(8).run(&rows, |(old, new)| {
                let (old_source, new_source) = (source(&old), source(&new));
                let version = |scan: &Scan| match versions[&scan.occurrence].as_str() {
                    "t" => Some(old_source.clone()),
                    _ => Some(new_source.clone()),
                };
                let bound = rebind(&one, &version).unwrap();
                runtime.block_on(async {
                    let wanted = run(&ctx, &two, &HashMap::from([("t", old.clone()), ("u", new.clone())])).await;
                    same(query, &wanted, &collect(&ctx, bound).await);
                });
                Ok(())
            });
            outcome.unwrap_or_else(|e| panic!("{query} {names:?}\n{e}"));
        }
    }
}

#[test]
fn the_change_of_a_self_join_is_that_of_one_occurrence_after_the_other() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ctx = context();
    let query = runtime.block_on(plan(&ctx, "SELECT a.k, a.s, b.f FROM t a JOIN t b ON a.k = b.k"));
    let found = scans(&query).unwrap();
    let [left, right] = [found[0].occurrence, found[1].occurrence];
    let by_name_is_wrong = Cell::new(false);
    let history = (prop::collection::vec(any_row(), 0..8), any_step());
    let outcome = runner(64).run(&history, |(first, step)| {
        let mut table = Table { rows: first.clone() };
        let (inserted, deleted) = table.apply(&step);
        let [old, new, plus, minus] = [&first, &table.rows, &inserted, &deleted].map(|rows| source(rows));
        runtime.block_on(async {
            let both = async |l: &Arc<dyn TableSource>, r: &Arc<dyn TableSource>| {
                let of = |scan: &Scan| match scan.occurrence {
                    o if o == left => Some(l.clone()),
                    o if o == right => Some(r.clone()),
                    _ => None,
                };
                collect(&ctx, rebind(&query, &of).unwrap()).await
            };
            // new x new - old x old = change x new + old x change
            let comes = [both(&plus, &new).await, both(&old, &plus).await, both(&old, &old).await].concat();
            let goes = [both(&minus, &new).await, both(&old, &minus).await].concat();
            let wanted = both(&new, &new).await;
            let (comes, goes) = consolidate(&comes, &goes).unwrap();
            same("the view before, and its change", &wanted, &comes);
            assert_eq!(goes.iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
            let alike = [both(&plus, &plus).await, both(&old, &old).await].concat();
            let (come, go) = consolidate(&alike, &[both(&minus, &minus).await, wanted].concat()).unwrap();
            let rows = come.iter().chain(&go).map(RecordBatch::num_rows).sum::<usize>();
            by_name_is_wrong.set(by_name_is_wrong.get() || rows > 0);
        });
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
    assert!(by_name_is_wrong.get(), "the change of both occurrences at once never differed");
}

/// Queries over the columns of `t` and `u`, of any shape.
fn any_query() -> BoxedStrategy<String> {
    let tables = prop::sample::select(vec!["t", "u"]).prop_map(|name| format!("SELECT * FROM {name}"));
    tables
        .prop_recursive(3, 10, 3, |below| {
            let (a, b, c) = (below.clone(), below.clone(), below);
            (a, b, c, 0..7).prop_map(|(a, b, c, shape)| match shape {
                0 => format!("SELECT * FROM ({a}) x WHERE k > 0 OR s = 'a'"),
                1 => format!("SELECT * FROM ({a}) x UNION ALL SELECT * FROM ({b}) y"),
                2 => format!("SELECT x.* FROM ({a}) x JOIN ({b}) y ON x.k = y.k"),
                3 => format!("SELECT x.* FROM ({a}) x LEFT JOIN ({b}) y ON x.k = y.k AND y.i > 0"),
                4 => format!(
                    "SELECT * FROM ({a}) x WHERE k IN (SELECT k FROM ({b}) y) OR i > (SELECT min(i) FROM ({c}) z)"
                ),
                5 => format!(
                    "SELECT * FROM ({a}) x WHERE EXISTS (SELECT 1 FROM ({b}) y WHERE y.k = x.k) AND ts <= now()"
                ),
                _ => format!(
                    "SELECT k, s, CAST(max(i) AS DOUBLE) AS f, max(d) AS d, max(i) AS i, max(ts) AS ts FROM ({a}) x GROUP BY k, s"
                ),
            })
        })
        .prop_flat_map(|query| {
            let twice = format!("WITH w AS ({query}) SELECT * FROM w UNION ALL SELECT * FROM w WHERE k IN (SELECT k FROM w)");
            prop::sample::select(vec![query, twice])
        })
        .boxed()
}

/// Sources of the scans in the order of DataFusion's own walk.
fn sources(plan: &LogicalPlan) -> Vec<Arc<dyn TableSource>> {
    let mut found = vec![];
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            found.push(scan.source.clone());
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    found
}

#[test]
fn each_occurrence_by_itself_is_the_same_as_all_by_name() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ctx = context();
    let now = chrono::DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let rows = || prop::collection::vec(any_row(), 0..4);
    let outcome = runner(96).run(&(any_query(), rows(), rows()), |(sql, t, u)| {
        let query = runtime.block_on(plan(&ctx, &sql));
        let all = scans(&query).unwrap();
        let of = HashMap::from([("t", source(&t)), ("u", source(&u))]);
        let by_name = rebind_tables(&query, &|table| of.get(table.table()).cloned()).unwrap();
        let one = |plan: &LogicalPlan, wanted: &Scan| {
            let chosen = |scan: &Scan| (scan.occurrence == wanted.occurrence).then(|| of[scan.table.table()].clone());
            rebind(plan, &chosen).unwrap()
        };
        // From the last to the first, so that what is bound already cannot shift what is not.
        let one_by_one = all.iter().rev().fold(query.clone(), |plan, scan| one(&plan, scan));
        for (at, scan) in all.iter().enumerate() {
            let only = sources(&one(&query, scan));
            let moved: Vec<usize> = (0..only.len()).filter(|i| !Arc::ptr_eq(&only[*i], &sources(&query)[*i])).collect();
            assert_eq!(moved, [at], "{sql}");
        }
        for plan in [&by_name, &one_by_one, &freeze_now(&query, now).unwrap()] {
            assert_eq!(scans(plan).unwrap(), all, "{sql}");
        }
        let (a, b) = (sources(&by_name), sources(&one_by_one));
        assert!(a.len() == all.len() && a.iter().zip(&b).all(|(a, b)| Arc::ptr_eq(a, b)), "{sql}");
        assert_eq!(by_name.schema(), one_by_one.schema(), "{sql}");
        runtime.block_on(async {
            same(&sql, &collect(&ctx, by_name).await, &collect(&ctx, one_by_one).await);
        });
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}"));
}
