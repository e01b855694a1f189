//! Decides which containers of rows a filter can leave out, by what is known of the columns of each.
//!
//! ```text
//!   filter ──▶ parts joined by AND and OR ──▶ each a PruningPredicate ──▶ keep or leave out, per container
//!                └── date_trunc('day', ts), CAST(ts AS DATE) ... : a column of its own, whose bounds are
//!                    computed of the column's
//! ```
//!
//! Containers are files, and manifests.
//!
//! Invariants
//! * What is left out holds no row for which the filter is true.
//! * Bounds go through functions alone that keep the order of values: all over, or within a time in which both bounds lie.
//! * Expressions out of their column's order (`CAST(ts AS TIME)`) leave nothing out.
//!
//! Not here: what is known of a file (`prune`) and of a manifest (`summaries`), which expressions keep an order
//! (`derived`).

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Column as PhysicalColumn};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};

use crate::read::changelog::FileRef;
use crate::read::derived::{Derived, derived};
use crate::read::prune::{Buckets, ColumnBounds, TableBounds};
use crate::read::value_order::{Opaque, unordered};

/// Parts that a filter is judged by, each alone; a filter with more is judged as a whole.
const PARTS_MAX: usize = 64;

/// Rows in parts, of each of which something is known.
pub(crate) trait Containers {
    /// How many there are.
    fn count(&self) -> usize;
    /// Rows of one.
    fn rows(&self, at: usize) -> u64;
    /// What is known of a column in one.
    fn bounds(&self, at: usize, column: &str) -> ColumnBounds;
    /// Whether a bucketed column can hold one of the values in one. Unknown is yes.
    fn may_hold(&self, at: usize, column: &str, values: &Buckets<'_>) -> bool;
}

/// Data files, each a container of rows.
pub(crate) struct Files<'a> {
    pub(crate) bounds: &'a TableBounds,
    pub(crate) files: &'a [FileRef],
}

impl Containers for Files<'_> {
    fn count(&self) -> usize {
        self.files.len()
    }

    fn rows(&self, at: usize) -> u64 {
        self.files.get(at).map_or(0, FileRef::record_count)
    }

    fn bounds(&self, at: usize, column: &str) -> ColumnBounds {
        self.files.get(at).map(|file| self.bounds.bounds(file, column)).unwrap_or_default()
    }

    fn may_hold(&self, at: usize, column: &str, values: &Buckets<'_>) -> bool {
        self.files.get(at).is_none_or(|file| self.bounds.may_hold(file, column, values))
    }
}

/// A part of a filter.
#[derive(Debug)]
enum Part {
    One(Box<PruningPredicate>),
    All(Vec<Part>),
    Any(Vec<Part>),
    /// What cannot be judged here is judged by rows.
    Unknown,
}

/// The filters of a scan.
#[derive(Debug)]
pub(crate) struct Filters {
    parts: Vec<Part>,
    derived: Vec<(String, Derived)>,
    /// Columns of the table, and those that are derived.
    schema: SchemaRef,
}

impl Filters {
    /// Filters over columns of a schema, all of which must be true of a row.
    pub(crate) fn of(filters: &[Expr], schema: &SchemaRef, session: &dyn Session) -> Self {
        let mut planned = Vec::new();
        if let Ok(df_schema) = DFSchema::try_from(Arc::clone(schema)) {
            for filter in filters {
                match session.create_physical_expr(filter.clone(), &df_schema) {
                    Ok(expr) => planned.push(expr),
                    Err(error) => tracing::debug!(%filter, %error, "filter does not prune files"),
                }
            }
        }
        Self::planned(planned, schema)
    }

    /// The same of filters that are planned already.
    pub(crate) fn planned(filters: Vec<Arc<dyn PhysicalExpr>>, schema: &SchemaRef) -> Self {
        let (mut derived, mut exprs) = (Vec::new(), Vec::new());
        for filter in filters {
            match prepared(filter, schema, &mut derived) {
                Ok(expr) => exprs.push(expr),
                Err(error) => tracing::debug!(%error, "filter does not prune files"),
            }
        }
        let mut fields: Vec<_> = schema.fields().iter().map(Arc::clone).collect();
        fields.extend(derived.iter().map(|(name, of)| Arc::new(Field::new(name, of.data_type.clone(), true))));
        let schema = Arc::new(Schema::new(fields));
        let parts = exprs.iter().map(|expr| part(expr, &schema, pieces(expr) <= PARTS_MAX)).collect();
        Self { parts, derived, schema }
    }

    /// Whether there is nothing to judge by.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Which containers may hold rows for which all filters are true.
    pub(crate) fn keep(&self, containers: &dyn Containers) -> Vec<bool> {
        let mut keep = vec![true; containers.count()];
        if keep.is_empty() {
            return keep;
        }
        let facts = Facts { containers, filters: self, known: RefCell::default() };
        for part in &self.parts {
            if let Some(judged) = judge(part, &facts) {
                keep.iter_mut().zip(judged).for_each(|(k, j)| *k &= j);
            }
        }
        keep
    }
}

/// Which containers a part keeps; `None` for all of them.
fn judge(part: &Part, facts: &Facts<'_>) -> Option<Vec<bool>> {
    match part {
        Part::Unknown => None,
        Part::One(predicate) => match predicate.prune(facts) {
            Ok(judged) => Some(judged),
            Err(error) => {
                tracing::debug!(%error, "filter does not prune files");
                None
            }
        },
        Part::All(parts) => parts.iter().filter_map(|part| judge(part, facts)).reduce(|mut all, other| {
            all.iter_mut().zip(other).for_each(|(a, b)| *a &= b);
            all
        }),
        Part::Any(parts) => {
            let judged: Option<Vec<_>> = parts.iter().map(|part| judge(part, facts)).collect();
            judged?.into_iter().reduce(|mut any, other| {
                any.iter_mut().zip(other).for_each(|(a, b)| *a |= b);
                any
            })
        }
    }
}

fn is_joined(expr: &Arc<dyn PhysicalExpr>) -> Option<&BinaryExpr> {
    expr.downcast_ref::<BinaryExpr>().filter(|binary| matches!(binary.op(), Operator::And | Operator::Or))
}

/// How many parts are joined by AND and OR.
fn pieces(expr: &Arc<dyn PhysicalExpr>) -> usize {
    let (mut left, mut count) = (vec![expr], 0);
    while let Some(expr) = left.pop() {
        match is_joined(expr) {
            Some(binary) => left.extend([binary.left(), binary.right()]),
            None => count += 1,
        }
    }
    count
}

fn part(expr: &Arc<dyn PhysicalExpr>, schema: &SchemaRef, splits: bool) -> Part {
    if let Some(binary) = is_joined(expr).filter(|_| splits) {
        let sides = vec![part(binary.left(), schema, true), part(binary.right(), schema, true)];
        return match binary.op() {
            Operator::And => Part::All(sides),
            _ => Part::Any(sides),
        };
    }
    // Joins in partitions ask for the filter of the partition that a row's hash gives. It is true where one of them is.
    if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        let branches = case.when_then_expr().iter().map(|(_, then)| then).chain(case.else_expr());
        return Part::Any(branches.map(|branch| part(branch, schema, splits)).collect());
    }
    match PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema)).try_build(Arc::clone(expr)) {
        Ok(predicate) => Part::One(Box::new(predicate)),
        Err(error) => {
            tracing::debug!(%error, "filter does not prune files");
            Part::Unknown
        }
    }
}

/// An expression in which pruning sees derived columns, and no child whose order it would mistake. The canonical value of a
/// float lies within the bounds of its column: these hold both zeros, and none where there may be a NaN.
fn prepared(
    expr: Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
    all: &mut Vec<(String, Derived)>,
) -> Result<Arc<dyn PhysicalExpr>> {
    expr.transform_down(|expr| {
        if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>()
            && call.fun().name() == ingot_semantics::CANONICAL
            && let [column] = call.args()
        {
            return Ok(Transformed::yes(Arc::clone(column)));
        }
        if !expr.is::<PhysicalColumn>()
            && let Some(of) = derived(&expr, schema)
        {
            let place = match all.iter().position(|(_, other)| other.is(&of)) {
                Some(place) => place,
                None => {
                    // No column of a table has such a name.
                    all.push((format!("\u{1}derived {}", all.len()), of));
                    all.len() - 1
                }
            };
            let name = all.get(place).map_or("", |(name, _)| name);
            let column = PhysicalColumn::new(name, schema.fields().len() + place);
            return Ok(Transformed::new(Arc::new(column), true, TreeNodeRecursion::Jump));
        }
        if unordered(&expr, schema).is_some() {
            return Ok(Transformed::new(Opaque::wrap(expr), true, TreeNodeRecursion::Jump));
        }
        Ok(Transformed::no(expr))
    })
    .map(|t| t.data)
}

/// What is known of a column in all containers.
struct Known {
    min: Option<ArrayRef>,
    max: Option<ArrayRef>,
    nulls: ArrayRef,
}

/// Containers as DataFusion's pruning sees them.
struct Facts<'a> {
    containers: &'a dyn Containers,
    filters: &'a Filters,
    known: RefCell<HashMap<String, Rc<Known>>>,
}

impl Facts<'_> {
    fn known(&self, column: &str) -> Option<Rc<Known>> {
        if let Some(known) = self.known.borrow().get(column) {
            return Some(Rc::clone(known));
        }
        let of = self.filters.derived.iter().find(|(name, _)| name == column);
        let known = Rc::new(match of {
            Some((_, of)) => {
                let base = self.known(&of.column)?;
                let (min, max) = of.bounds(base.min.as_ref(), base.max.as_ref());
                let nulls = match of.may_be_null {
                    true => Arc::new(UInt64Array::new_null(self.containers.count())) as ArrayRef,
                    false => Arc::clone(&base.nulls),
                };
                Known { min, max, nulls }
            }
            None => self.stored(column)?,
        });
        self.known.borrow_mut().insert(column.to_owned(), Rc::clone(&known));
        Some(known)
    }

    fn stored(&self, column: &str) -> Option<Known> {
        let field = self.filters.schema.field_with_name(column).ok()?;
        let null = ScalarValue::try_from(field.data_type()).ok()?;
        let count = self.containers.count();
        let (mut min, mut max, mut nulls) =
            (Vec::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        for at in 0..count {
            let of = self.containers.bounds(at, column);
            min.push(of.min);
            max.push(of.max);
            nulls.push(of.null_count);
        }
        let array = |values: Vec<Option<ScalarValue>>| {
            if values.iter().all(Option::is_none) {
                return None;
            }
            ScalarValue::iter_to_array(values.into_iter().map(|value| value.unwrap_or_else(|| null.clone()))).ok()
        };
        Some(Known { min: array(min), max: array(max), nulls: Arc::new(UInt64Array::from(nulls)) })
    }
}

impl PruningStatistics for Facts<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.known(column.name())?.min.clone()
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.known(column.name())?.max.clone()
    }

    fn num_containers(&self) -> usize {
        self.containers.count()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        Some(Arc::clone(&self.known(column.name())?.nulls))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let counts = (0..self.containers.count()).map(|at| Some(self.containers.rows(at)));
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    #[allow(clippy::mutable_key_type)]
    fn contained(&self, column: &Column, values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        if values.iter().any(ScalarValue::is_null) {
            return None;
        }
        let known = self.known(column.name())?;
        let values: Vec<ScalarValue> = values.iter().cloned().collect();
        let (ranges, buckets) = (Ranges::of(&values, &known), Buckets::of(&values));
        let held = (0..self.containers.count()).map(|at| {
            let may = ranges.may_hold(at) && self.containers.may_hold(at, column.name(), &buckets);
            if may { None } else { Some(false) }
        });
        Some(held.collect())
    }
}

/// Values in order, beside bounds of the same type.
struct Ranges<'a> {
    sorted: Vec<ScalarValue>,
    known: &'a Known,
}

impl<'a> Ranges<'a> {
    /// Without any values where they have no order, or another one than the bounds: floats, texts beside numbers.
    fn of(values: &[ScalarValue], known: &'a Known) -> Self {
        let of = known.min.as_ref().or(known.max.as_ref()).map(|array| array.data_type());
        let is_fit = |value: &ScalarValue| of.is_some_and(|of| value.data_type() == *of && !of.is_floating());
        let mut sorted = if values.iter().all(is_fit) { values.to_vec() } else { Vec::new() };
        sorted.sort_by(|a, b| a.partial_cmp(b).unwrap_or(Ordering::Equal));
        Self { sorted, known }
    }

    fn may_hold(&self, at: usize) -> bool {
        let bound = |array: &Option<ArrayRef>| {
            let value = ScalarValue::try_from_array(array.as_ref()?, at).ok()?;
            (!value.is_null()).then_some(value)
        };
        let (min, max) = (bound(&self.known.min), bound(&self.known.max));
        let below = |value: &ScalarValue, bound: &ScalarValue| value.partial_cmp(bound) == Some(Ordering::Less);
        let first = min.map_or(0, |min| self.sorted.partition_point(|value| below(value, &min)));
        match self.sorted.get(first) {
            None => self.sorted.is_empty(),
            Some(value) => max.is_none_or(|max| !below(&max, value)),
        }
    }
}
