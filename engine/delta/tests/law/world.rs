//! Tables as lists of rows, a target with places, and plans run over them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use datafusion::arrow::array::*;
use datafusion::arrow::compute::{filter_record_batch, take_record_batch};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use ingot_delta::{Merge, Merged, Strategy, classify, complete_order, difference, rebind_tables};
use ingot_model::KeyRange;
use proptest::prelude::{Strategy as _, any, prop};

pub type Row = (Option<i64>, Option<&'static str>, Option<f64>, Option<i128>, Option<i32>, Option<i64>);

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("f", DataType::Float64, true),
        Field::new("d", DataType::Decimal128(10, 2), true),
        Field::new("i", DataType::Int32, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
    ]))
}

pub fn batch(rows: &[Row]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|r| r.1).collect::<StringArray>()),
        Arc::new(rows.iter().map(|r| r.2).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|r| r.3).collect::<Decimal128Array>().with_precision_and_scale(10, 2).unwrap()),
        Arc::new(rows.iter().map(|r| r.4).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|r| r.5).collect::<TimestampMicrosecondArray>().with_timezone("UTC")),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub fn any_row() -> impl proptest::strategy::Strategy<Value = Row> {
    let f = prop::sample::select(vec![
        None,
        Some(0.0),
        Some(-0.0),
        Some(f64::NAN),
        Some(-f64::NAN),
        Some(1.5),
        Some(0.1),
        Some(0.2),
        Some(0.3),
        Some(1e300),
        Some(-1e300),
        Some(1e-300),
        Some(f64::INFINITY),
        Some(f64::NEG_INFINITY),
    ]);
    (
        prop::sample::select(vec![None, Some(0), Some(1), Some(2)]),
        prop::sample::select(vec![None, Some("a"), Some("b"), Some("")]),
        f,
        prop::sample::select(vec![None, Some(-125), Some(0), Some(199), Some(9_999_999_999)]),
        prop::sample::select(vec![None, Some(-1), Some(0), Some(7), Some(i32::MAX), Some(i32::MIN)]),
        prop::sample::select(vec![None, Some(0), Some(86_400_000_000), Some(86_400_000_001)]),
    )
}

/// One refresh: rows that arrive, rows that go (places among those present), rows removed and added again.
#[derive(Debug, Clone)]
pub struct Step {
    pub insert: Vec<Row>,
    pub delete: Vec<prop::sample::Index>,
    pub touch: Vec<prop::sample::Index>,
    /// Everything goes.
    pub clear: bool,
}

pub fn any_step() -> impl proptest::strategy::Strategy<Value = Step> {
    (
        prop::collection::vec(any_row(), 0..5),
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        prop::collection::vec(any::<prop::sample::Index>(), 0..2),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(insert, delete, touch, clear)| Step { insert, delete, touch, clear })
}

/// The rows of one table over time.
#[derive(Default, Clone)]
pub struct Table {
    pub rows: Vec<Row>,
}

impl Table {
    /// Applies a step; returns inserted and deleted rows.
    pub fn apply(&mut self, step: &Step) -> (Vec<Row>, Vec<Row>) {
        let (mut inserted, mut deleted) = (step.insert.clone(), Vec::new());
        for at in &step.delete {
            if !self.rows.is_empty() {
                deleted.push(self.rows.swap_remove(at.index(self.rows.len())));
            }
        }
        if step.clear {
            deleted.append(&mut self.rows);
        }
        for at in &step.touch {
            if !self.rows.is_empty() {
                let row = self.rows[at.index(self.rows.len())];
                inserted.push(row);
                deleted.push(row);
                // Its other copy stands for both.
                let place = self.rows.iter().position(|r| format!("{r:?}") == format!("{row:?}")).unwrap();
                self.rows.swap_remove(place);
            }
        }
        self.rows.extend(&inserted);
        (inserted, deleted)
    }
}

pub fn context() -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(2);
    let options = config.options_mut();
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.execution.time_zone = Some("UTC".into());
    let ctx = SessionContext::new_with_state(ingot_semantics::state(config, Arc::default()).build());
    for name in ["t", "u"] {
        ctx.register_table(name, Arc::new(MemTable::try_new(schema(), vec![vec![]]).unwrap())).unwrap();
    }
    ctx
}

pub async fn plan(ctx: &SessionContext, sql: &str) -> LogicalPlan {
    ctx.state().create_logical_plan(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"))
}

/// Runs a plan over these rows, spread over two partitions.
pub async fn run(ctx: &SessionContext, plan: &LogicalPlan, tables: &HashMap<&str, Vec<Row>>) -> Vec<RecordBatch> {
    let bound = rebind_tables(plan, &|name| {
        let rows = tables.get(name.table())?;
        let (a, b) = rows.split_at(rows.len() / 2);
        Some(provider_as_source(Arc::new(MemTable::try_new(schema(), vec![vec![batch(a)], vec![batch(b)]]).unwrap())))
    })
    .unwrap();
    let frame =
        ctx.execute_logical_plan(bound.clone()).await.unwrap_or_else(|e| panic!("{}\n{e}", bound.display_indent()));
    frame.collect().await.unwrap_or_else(|e| panic!("{}\n{e}", bound.display_indent()))
}

/// As `run`, with the error of what cannot be computed.
pub async fn try_run(
    ctx: &SessionContext,
    plan: &LogicalPlan,
    tables: &HashMap<&str, Vec<Row>>,
) -> datafusion::common::Result<Vec<RecordBatch>> {
    let bound = rebind_tables(plan, &|name| {
        let rows = tables.get(name.table())?;
        Some(provider_as_source(Arc::new(MemTable::try_new(schema(), vec![vec![batch(rows)]]).unwrap())))
    })
    .unwrap();
    ctx.execute_logical_plan(bound).await?.collect().await
}

/// A stored table: files of rows, some of them deleted.
#[derive(Default)]
pub struct Target {
    files: Vec<(String, RecordBatch, BTreeSet<i64>)>,
}

impl Target {
    pub fn insert(&mut self, batches: &[RecordBatch]) {
        for b in batches {
            let name = format!("file-{:03}", self.files.len());
            self.files.push((name, b.clone(), BTreeSet::new()));
        }
    }

    pub fn remove(&mut self, places: &[(String, i64)]) {
        for (file, position) in places {
            let (_, batch, gone) = self.files.iter_mut().find(|f| f.0 == *file).unwrap();
            assert!((*position as usize) < batch.num_rows() && gone.insert(*position), "removed twice");
        }
    }

    /// Live rows with their places, as far as the ranges admit them.
    pub fn stored(&self, ranges: &[KeyRange]) -> Vec<RecordBatch> {
        self.files
            .iter()
            .map(|(name, batch, gone)| {
                let live = (0..batch.num_rows())
                    .filter(|i| !gone.contains(&(*i as i64)) && ranges.iter().all(|r| admits(r, batch, *i)));
                let live = UInt64Array::from_iter_values(live.map(|i| i as u64));
                let rows = take_record_batch(batch, &live).unwrap();
                let mut fields = rows.schema().fields().to_vec();
                fields.push(Arc::new(Field::new("_ingot_file", DataType::Utf8, false)));
                fields.push(Arc::new(Field::new("_ingot_pos", DataType::Int64, false)));
                let mut columns = rows.columns().to_vec();
                columns.push(Arc::new(StringArray::from(vec![name.as_str(); live.len()])));
                columns.push(Arc::new(live.iter().map(|p| p.map(|p| p as i64)).collect::<Int64Array>()));
                RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
            })
            .collect()
    }

    pub fn rows(&self, columns: usize) -> Vec<RecordBatch> {
        self.stored(&[]).iter().map(|b| b.project(&(0..columns).collect::<Vec<_>>()).unwrap()).collect()
    }
}

fn admits(range: &KeyRange, batch: &RecordBatch, row: usize) -> bool {
    let column = batch.column_by_name(&range.column).unwrap();
    if column.is_null(row) {
        return range.has_null;
    }
    let value = ScalarValue::try_from_array(column, row).unwrap().cast_to(&range.min.data_type()).unwrap();
    !range.min.is_null() && value >= range.min && value <= range.max
}

/// A view under maintenance.
pub struct View {
    pub plan: LogicalPlan,
    pub strategy: Strategy,
    pub target: Target,
    pub recomputed: usize,
}

pub fn same(what: &str, expected: &[RecordBatch], found: &[RecordBatch]) {
    let Some(first) = expected.iter().chain(found).next() else { return };
    let fields: Vec<Field> =
        first.schema().fields().iter().map(|f| Field::new(f.name(), f.data_type().clone(), true)).collect();
    let diff = difference(&Arc::new(Schema::new(fields)), expected, found).unwrap();
    assert!(diff.is_equal(), "{what}: {} missing, {} too many: {:?}", diff.only_plus, diff.only_minus, diff.examples);
}

impl View {
    pub async fn create(ctx: &SessionContext, sql: &str) -> View {
        let plan = complete_order(&plan(ctx, sql).await).unwrap();
        let strategy = classify(&plan);
        View { plan, strategy, target: Target::default(), recomputed: 0 }
    }

    /// What the strategy's plan gives.
    pub async fn partials(&self, ctx: &SessionContext, tables: &HashMap<&str, Vec<Row>>) -> Vec<RecordBatch> {
        run(ctx, &self.strategy.partials(&self.plan).unwrap(), tables).await
    }

    pub async fn build(&mut self, ctx: &SessionContext, tables: &HashMap<&str, Vec<Row>>) {
        let rows = self.strategy.build(self.partials(ctx, tables).await).unwrap();
        self.target.insert(&rows);
    }

    pub async fn refresh(
        &mut self,
        ctx: &SessionContext,
        inserted: &HashMap<&str, Vec<Row>>,
        deleted: &HashMap<&str, Vec<Row>>,
        new: &HashMap<&str, Vec<Row>>,
    ) {
        let (plus, minus) = (self.partials(ctx, inserted).await, self.partials(ctx, deleted).await);
        let landing = self.strategy.landing(plus, minus).unwrap();
        let stored = match landing.wanted().unwrap() {
            Some(wanted) => {
                let near = self.target.stored(&wanted.ranges);
                near.iter().map(|b| filter_record_batch(b, &wanted.select(b).unwrap()).unwrap()).collect()
            }
            None => vec![],
        };
        let merge: Merge = match landing.merge(&stored).unwrap() {
            Merged::Done(merge) => merge,
            Merged::Recompute(keys) => {
                self.recomputed += 1;
                let rows = run(ctx, &landing.restrict_to(&keys).unwrap(), new).await;
                landing.merge_recomputed(&stored, keys, rows).unwrap()
            }
        };
        self.target.remove(&merge.remove);
        self.target.insert(&merge.insert);
    }

    /// The law: public columns equal the query; hidden ones equal those of a rebuild.
    pub async fn check(&self, ctx: &SessionContext, tables: &HashMap<&str, Vec<Row>>) {
        let expected = run(ctx, &self.plan, tables).await;
        same("public rows", &expected, &self.target.rows(self.plan.schema().fields().len()));
        let built = self.strategy.build(self.partials(ctx, tables).await).unwrap();
        let columns = self.plan.schema().fields().len() + self.strategy.state_columns().len();
        same("stored rows", &built, &self.target.rows(columns));
    }
}
