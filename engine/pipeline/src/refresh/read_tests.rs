//! A source that counts how often it is read, below tables with expectations and quarantines.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::arrow::array::{Int64Array, StringArray};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::TableProvider;
use futures::TryStreamExt;
use futures::future::{join, join_all};
use ingot_model::ExpectationCounts;
use ingot_project::config::Config;
use ingot_project::project::{Project, SqlFile};
use ingot_query::context;

use super::*;

/// Rows in batches of 100, counted as they are read.
#[derive(Debug)]
struct Counted {
    rows: RecordBatch,
    schema: SchemaRef,
    reads: AtomicUsize,
}

impl PartitionStream for Counted {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _ctx: Arc<TaskContext>) -> SendableRecordBatchStream {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let parts: Vec<_> = (0..self.rows.num_rows()).step_by(100).map(|at| Ok(self.rows.slice(at, 100))).collect();
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), futures::stream::iter(parts)))
    }
}

fn counted(rows: i64) -> (Arc<Counted>, Bound) {
    let ids: StringArray = (0..rows).map(|i| (i % 9 != 0).then(|| format!("id {}", i % 50))).collect();
    let values: Int64Array = (0..rows).map(|i| (i % 7 != 0).then_some(i * 37 % 1_000 - 300)).collect();
    let columns: [(&str, Arc<dyn datafusion::arrow::array::Array>, bool); 3] = [
        ("id", Arc::new(ids), true),
        ("v", Arc::new(values), true),
        ("o", Arc::new((0..rows).collect::<Int64Array>()), true),
    ];
    let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let counted = Arc::new(Counted { schema: rows.schema(), rows, reads: AtomicUsize::new(0) });
    let stream: Arc<dyn PartitionStream> = Arc::clone(&counted) as _;
    let table: Arc<dyn TableProvider> =
        Arc::new(StreamingTable::try_new(Arc::clone(&counted.schema), vec![stream]).unwrap());
    (counted, Bound::from([(TableName::new("bronze", "t"), table)]))
}

fn project(query: &str) -> Project {
    let bronze = "CREATE SOURCE s (id VARCHAR, v BIGINT) INCLUDE OFFSET AS o WITH ('connector' = 'kafka', 'topic' = 't') \
                  FORMAT PLAIN ENCODE JSON;\nCREATE STREAMING TABLE bronze.t AS SELECT * FROM STREAM s;";
    let silver = format!(
        "CREATE TEMPORARY VIEW good (CONSTRAINT warned EXPECT (v < 600), CONSTRAINT dropped EXPECT (id IS NOT NULL) ON \
         VIOLATION DROP ROW, CONSTRAINT bad EXPECT (v > 0) ON VIOLATION QUARANTINE INTO silver.bad, CONSTRAINT worse EXPECT \
         (1000 / (v - 37) < 400) ON VIOLATION QUARANTINE INTO silver.worse) AS SELECT upper(id) AS id, v, o FROM bronze.t;\n\
         CREATE MATERIALIZED VIEW silver.g AS {query};"
    );
    let file = |path: &str, text: &str| SqlFile { path: path.into(), text: text.into() };
    let files = vec![file("b.sql", bronze), file("s.sql", &silver)];
    let none = BTreeMap::new();
    let config =
        Config::from_parts(None, Path::new("."), Path::new("/"), None, &[], &none, ingot_source::check_property)
            .unwrap();
    let checked = ingot_project::check::check_files(Path::new("."), files, &config);
    checked.project.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics))
}

fn sorted(batches: &[RecordBatch]) -> Vec<String> {
    let mut lines: Vec<String> =
        pretty_format_batches(batches).unwrap().to_string().lines().map(str::to_owned).collect();
    lines.sort();
    lines.dedup_by(|a, b| a == b && a.starts_with('+'));
    lines
}

async fn all(rows: SendableRecordBatchStream) -> Vec<RecordBatch> {
    rows.try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_read_gives_the_rows_of_a_table_and_of_its_quarantines() {
    let ctx = context::maintenance(context::bounded(64 << 20).unwrap()).unwrap();
    let prepare = |plan: LogicalPlan| Ok(plan);
    for query in [
        "SELECT id, v + 1 AS v FROM good WHERE v < 900",
        "SELECT id, v FROM good QUALIFY row_number() OVER (PARTITION BY id ORDER BY o) = 1",
        "SELECT id, count(*) AS n, max(v) AS v FROM good GROUP BY id",
        "SELECT id, median(v) AS v FROM good GROUP BY id",
    ] {
        let project = project(query);
        let of = |name: &str| &project.tables[&TableName::new("silver", name)];
        let main = of("g");
        let sides = [&of("bad").name, &of("worse").name];
        let judging = main.judging.as_ref().unwrap();
        // More batches than channels hold.
        let (source, bound) = counted(5_000);
        for sign in [1, -1] {
            source.reads.store(0, Ordering::SeqCst);
            let reading = judged(&ctx, main, judging, &bound, &prepare, sign, &sides).await.unwrap().unwrap();
            let (rows, beside) = join(all(reading.rows), join_all(reading.sides.into_iter().map(all))).await;
            assert_eq!(source.reads.load(Ordering::SeqCst), 1, "{query}");
            let counts = reading.verdicts.counts_and(&Counts::new()).unwrap();
            let partials = main.strategy.partials(&main.plan).unwrap();
            let wanted = context::collect(&ctx, bind(&partials, &bound, &prepare).unwrap()).await.unwrap();
            assert_eq!(sorted(&rows), sorted(&wanted), "{query}");
            let mut quarantined = vec![];
            for (side, rows) in [of("bad"), of("worse")].into_iter().zip(&beside) {
                let wanted = context::collect(&ctx, bind(&side.plan, &bound, &prepare).unwrap()).await.unwrap();
                assert_eq!(sorted(rows), sorted(&wanted), "{query}: {}", side.name);
                quarantined.push(wanted.iter().map(RecordBatch::num_rows).sum::<usize>() as i64 * sign);
            }
            let mut apart = Counts::new();
            let source = |t: &TableReference| {
                bound.get(&TableName::of(t)?).map(|provider| provider_as_source(Arc::clone(provider)))
            };
            let relations: Vec<&CheckedRelation> = main.checked.iter().collect();
            super::super::expectations::judge(&ctx, main, &relations, &source, &prepare, sign, &mut apart)
                .await
                .unwrap();
            assert_eq!(counts, apart, "{query}");
            assert_eq!(counts["bad"], ExpectationCounts { quarantined: quarantined[0], ..Default::default() });
            assert_eq!(counts["worse"], ExpectationCounts { quarantined: quarantined[1], ..Default::default() });
            assert!(
                counts["warned"].warned != 0 && counts["dropped"].dropped != 0 && quarantined.iter().all(|n| *n != 0)
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_ends_early_counts_nothing_and_ends_for_all() {
    let ctx = context::maintenance(context::bounded(64 << 20).unwrap()).unwrap();
    let prepare = |plan: LogicalPlan| Ok(plan);
    let project = project("SELECT id, v FROM good");
    let main = &project.tables[&TableName::new("silver", "g")];
    let sides = [&TableName::new("silver", "bad")];
    let (_, bound) = counted(100_000);
    let judging = main.judging.as_ref().unwrap();
    let reading = judged(&ctx, main, judging, &bound, &prepare, 1, &sides).await.unwrap().unwrap();
    let mut rows = reading.rows;
    rows.try_next().await.unwrap();
    drop(rows);
    // The rows of the side table end, and are not taken for all.
    join_all(reading.sides.into_iter().map(all)).await;
    assert!(reading.verdicts.counts_and(&Counts::new()).is_err());

    // Who does not want the rows of a side table stops the read.
    let reading = judged(&ctx, main, judging, &bound, &prepare, 1, &sides).await.unwrap().unwrap();
    drop(reading.sides);
    let read: Result<Vec<RecordBatch>, _> = reading.rows.try_collect().await;
    assert!(read.unwrap_err().to_string().contains("has ended"));
}
