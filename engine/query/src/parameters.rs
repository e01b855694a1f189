//! Parameters of a statement: their types as far as they are known, and values as they come from clients.
//!
//!   statement ──▶ parameters (name, type or any)        value ──▶ accepted (plain, exact) ──▶ planned with its own type
//!
//! Invariants
//! * A value keeps its own type, as a literal would: `k = ?` with 1.5 on an INT column is false, and never k = 1.
//! * Text for a parameter whose type is known is read as that type, exactly or not at all.
//! * What cannot be taken without loss is refused with Q0105; nothing becomes NULL that was none.
//!
//! Not here: Arrow's wire format (`ingot_flight`).

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Between, InList, InSubquery, SetComparison};
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, Statement};
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType as SqlType, ExactNumberInfo, Expr as SqlExpr, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, ObjectName, ObjectNamePart, Statement as Tree, TimezoneInfo, UnaryOperator, Value,
    visit_expressions_mut,
};

use ingot_project::check::DialectTypes;
use ingot_semantics::uuids_of_text;

use crate::error::{ErrorKind, QueryError};
use crate::statement;

const PARAMETERS_MAX: usize = 10_000;

/// Where a parameter stands: what matters to a client that turns every value into the type it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Beside what it is compared with, and nowhere else: its type shows in no result.
    Compared,
    /// How many rows LIMIT and OFFSET mean.
    Counted,
    /// In a CAST to this type.
    Cast(DataType),
    /// In arithmetic with nothing but another parameter: its type is a guess.
    Guessed,
    /// In arithmetic, a function, a result, or in several kinds of places.
    Elsewhere,
}

/// The place of each parameter, in the order of `names`.
pub(crate) fn places(
    plan: &LogicalPlan,
    names: &[(String, Option<DataType>)],
    guessed: &HashSet<String>,
) -> Result<Vec<Place>, DataFusionError> {
    let mut found = HashMap::new();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    plan.apply_with_subqueries(|node| {
        let top = if matches!(node, LogicalPlan::Limit(_)) { Place::Counted } else { Place::Elsewhere };
        node.apply_expressions(|e| {
            note(e, &top, &mut found);
            e.apply(|parent| {
                let place = place_within(parent);
                parent.apply_children(|child| {
                    note(child, &place, &mut found);
                    Ok(TreeNodeRecursion::Continue)
                })
            })
        })
    })?;
    let mut place = |name: &String| {
        if guessed.contains(name) { Place::Guessed } else { found.remove(name).unwrap_or(Place::Elsewhere) }
    };
    Ok(names.iter().map(|(name, _)| name).map(&mut place).collect())
}

fn note(e: &Expr, place: &Place, found: &mut HashMap<String, Place>) {
    if let Expr::Placeholder(p) = e {
        let known = found.entry(p.id.clone()).or_insert_with(|| place.clone());
        if known != place {
            *known = Place::Elsewhere;
        }
    }
}

/// What an expression is to the parameters that are its operands.
fn place_within(parent: &Expr) -> Place {
    match parent {
        Expr::BinaryExpr(BinaryExpr {
            op:
                Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
                | Operator::IsDistinctFrom
                | Operator::IsNotDistinctFrom,
            ..
        })
        | Expr::Between(Between { .. })
        | Expr::InList(InList { .. })
        | Expr::InSubquery(InSubquery { .. })
        | Expr::SetComparison(SetComparison { .. }) => Place::Compared,
        Expr::Cast(cast) => Place::Cast(cast.field.data_type().clone()),
        Expr::TryCast(cast) => Place::Cast(cast.field.data_type().clone()),
        _ => Place::Elsewhere,
    }
}

/// Numbered parameters without gaps, then named ones by name. `None`: any type will do.
pub(crate) fn parameters(plan: &LogicalPlan) -> Result<Vec<(String, Option<DataType>)>, DataFusionError> {
    let mut found = plan.get_parameter_fields()?;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node {
            for e in limit.skip.iter().chain(&limit.fetch) {
                if let Expr::Placeholder(p) = e.as_ref()
                    && let Some(unknown @ None) = found.get_mut(&p.id)
                {
                    *unknown = Some(Arc::new(Field::new(&p.id, DataType::Int64, true)));
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let number = |name: &str| name.strip_prefix('$').and_then(|n| n.parse::<usize>().ok());
    let count = found.keys().filter_map(|n| number(n)).max().unwrap_or(0);
    // `? BETWEEN ? AND ?` says of its operands that they are of one type, and not of which.
    let type_of = |name: &str| {
        found.get(name).and_then(|f| f.as_ref()).map(|f| f.data_type().clone()).filter(|t| *t != DataType::Null)
    };
    if count > PARAMETERS_MAX {
        return Err(DataFusionError::Plan(format!("parameter ${count}: there may be {PARAMETERS_MAX} at most")));
    }
    let mut out: Vec<_> = (1..=count)
        .map(|n| {
            let name = format!("${n}");
            let data_type = type_of(&name);
            (name, data_type)
        })
        .collect();
    let named: std::collections::BTreeSet<&String> = found.keys().filter(|n| number(n).is_none()).collect();
    out.extend(named.into_iter().map(|n| (n.clone(), type_of(n))));
    Ok(out)
}

/// Gives parameters that an operator joins with nothing but each other the type that is most likely, so that the statement
/// can be planned before values come. Those of them that may be any kind of number.
pub(crate) fn guessed(tree: &mut Tree) -> HashSet<String> {
    use BinaryOperator as Op;
    let mut numbers = HashSet::new();
    let _ = visit_expressions_mut(tree, |e| {
        // Its operands were visited before it.
        if let SqlExpr::Extract { expr, .. } = e
            && let Some(data_type @ SqlType::Double(_)) = difference_of(expr)
        {
            *data_type = SqlType::Timestamp(None, TimezoneInfo::None);
        }
        if let SqlExpr::BinaryOp { left, op, right } = e
            && is_parameter(left)
            && is_parameter(right)
        {
            let data_type = match op {
                Op::StringConcat => SqlType::Varchar(None),
                Op::Plus | Op::Minus | Op::Multiply | Op::Divide | Op::Modulo => SqlType::Double(ExactNumberInfo::None),
                _ => return ControlFlow::<()>::Continue(()),
            };
            if matches!(data_type, SqlType::Double(_)) {
                numbers.extend([&**left, &**right].into_iter().filter_map(parameter_name));
            }
            let expr = std::mem::replace(left, Box::new(SqlExpr::value(Value::Null)));
            **left = SqlExpr::Cast { kind: CastKind::Cast, expr, data_type, format: None, array: false };
        }
        ControlFlow::Continue(())
    });
    numbers
}

/// Takes parameters that are added to or taken from something, and the width that `date_bin` has, for intervals: what
/// they are beside a time, which the planner takes to be of the other operand's type.
pub(crate) fn intervals(tree: &mut Tree) {
    let cast = |e: &mut SqlExpr| {
        let expr = Box::new(std::mem::replace(e, SqlExpr::value(Value::Null)));
        let data_type = SqlType::Interval { fields: None, precision: None };
        *e = SqlExpr::Cast { kind: CastKind::Cast, expr, data_type, format: None, array: false };
    };
    let _ = visit_expressions_mut(tree, |e| {
        match e {
            SqlExpr::BinaryOp { left, op: BinaryOperator::Plus, right } => {
                match (is_parameter(left), is_parameter(right)) {
                    (true, false) => cast(left),
                    (false, true) => cast(right),
                    _ => {}
                }
            }
            SqlExpr::Function(f) if f.name.to_string().eq_ignore_ascii_case("date_bin") => {
                if let FunctionArguments::List(list) = &mut f.args
                    && let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(width))) = list.args.first_mut()
                    && is_parameter(width)
                {
                    cast(width);
                }
            }
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
}

/// The type that was guessed for the difference of two parameters.
fn difference_of(e: &mut SqlExpr) -> Option<&mut SqlType> {
    match e {
        SqlExpr::Nested(e) => difference_of(e),
        SqlExpr::BinaryOp { left, op: BinaryOperator::Minus, right } if is_parameter(right) => match left.as_mut() {
            SqlExpr::Cast { expr, data_type, .. } if is_parameter(expr) => Some(data_type),
            _ => None,
        },
        _ => None,
    }
}

fn is_parameter(e: &SqlExpr) -> bool {
    parameter_name(e).is_some()
}

fn parameter_name(e: &SqlExpr) -> Option<String> {
    match e {
        SqlExpr::Nested(e) => parameter_name(e),
        SqlExpr::UnaryOp { op: UnaryOperator::Minus | UnaryOperator::Plus, expr } => parameter_name(expr),
        SqlExpr::Value(value) => match &value.value {
            Value::Placeholder(name) => Some(name.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// The values for a statement's parameters, each plain and of the type it is planned with.
///
/// # Errors
/// Another number of values, a type that no parameter may have, a value that would be changed.
pub(crate) fn accepted(
    wanted: &[(String, Option<DataType>)],
    values: Vec<ScalarValue>,
) -> Result<Vec<ScalarValue>, QueryError> {
    if values.len() != wanted.len() {
        return Err(QueryError::new(
            ErrorKind::Parameter,
            format!("the statement has {} parameter(s), and {} value(s) came", wanted.len(), values.len()),
        ));
    }
    let one = |((name, wanted), value): (&(String, Option<DataType>), ScalarValue)| {
        let value = plain(name, value)?;
        match wanted {
            // A NULL has the type that is asked for.
            Some(t) if value.is_null() => ScalarValue::try_from(t).map_err(|e| refused(name, &e.to_string())),
            Some(t) if is_text(&value.data_type()) && !is_text(t) => read_as(name, &value, t),
            _ => Ok(value),
        }
    };
    wanted.iter().zip(values).map(one).collect()
}

fn refused(name: &str, why: &str) -> QueryError {
    QueryError::new(ErrorKind::Parameter, format!("parameter {name} {why}"))
}

fn is_text(t: &DataType) -> bool {
    matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// A value out of its wrapping and of a type that columns have, unchanged.
fn plain(name: &str, value: ScalarValue) -> Result<ScalarValue, QueryError> {
    use ScalarValue as S;
    let micros = TimeUnit::Microsecond;
    let to = match &value {
        // What SQLAlchemy, Superset and flightsql-dbapi send: a union of all that they may have.
        S::Union(None, ..) => return Ok(S::Null),
        S::Union(Some(_), ..) | S::Dictionary(..) | S::RunEndEncoded(..) => {
            let inner = match value {
                S::Union(Some((_, inner)), ..) | S::Dictionary(_, inner) | S::RunEndEncoded(_, _, inner) => *inner,
                other => other,
            };
            return plain(name, inner);
        }
        S::Float16(_) => DataType::Float32,
        S::LargeUtf8(_) | S::Utf8View(_) => DataType::Utf8,
        S::LargeBinary(_) | S::BinaryView(_) => DataType::Binary,
        S::FixedSizeBinary(n, _) if *n != 16 => DataType::Binary,
        S::Date64(_) => DataType::Date32,
        S::Time32Second(_) | S::Time32Millisecond(_) | S::Time64Nanosecond(_) => DataType::Time64(micros),
        S::TimestampMicrosecond(_, zone) if is_utc_or_none(zone.as_deref()) => return Ok(value),
        S::TimestampSecond(_, zone)
        | S::TimestampMillisecond(_, zone)
        | S::TimestampMicrosecond(_, zone)
        | S::TimestampNanosecond(_, zone) => in_utc(zone.as_deref()),
        S::Decimal32(_, p, s) | S::Decimal64(_, p, s) => DataType::Decimal128(*p, *s),
        S::Decimal256(_, p, s) => DataType::Decimal128((*p).min(38), *s),
        S::Null
        | S::Boolean(_)
        | S::Int8(_)
        | S::Int16(_)
        | S::Int32(_)
        | S::Int64(_)
        | S::UInt8(_)
        | S::UInt16(_)
        | S::UInt32(_)
        | S::UInt64(_)
        | S::Float32(_)
        | S::Float64(_)
        | S::Decimal128(..)
        | S::Utf8(_)
        | S::Binary(_)
        | S::FixedSizeBinary(..)
        | S::Date32(_)
        | S::Time64Microsecond(_)
        | S::IntervalYearMonth(_)
        | S::IntervalDayTime(_)
        | S::IntervalMonthDayNano(_)
        | S::DurationSecond(_)
        | S::DurationMillisecond(_)
        | S::DurationMicrosecond(_)
        | S::DurationNanosecond(_) => return Ok(value),
        S::List(_) | S::LargeList(_) | S::FixedSizeList(_) => match value.data_type() {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _)
                if is_plain(item.data_type()) =>
            {
                match item.data_type() {
                    DataType::Timestamp(_, zone) => {
                        let micros = in_utc(zone.as_deref());
                        DataType::List(Arc::new(item.as_ref().clone().with_data_type(micros)))
                    }
                    _ => DataType::List(item),
                }
            }
            t => return Err(refused(name, &format!("is {t}, and lists are of numbers, text, times or binary"))),
        },
        other => {
            let t = other.data_type();
            return Err(refused(name, &format!("is {t}, which no parameter may be"))
                .with_hint("bind numbers, text, booleans, times, binary, lists of these, or unions of them"));
        }
    };
    exactly(name, &value, &to)
}

fn is_utc_or_none(zone: Option<&str>) -> bool {
    zone.is_none_or(|z| z == "UTC")
}

/// The type of a time in microseconds; an instant keeps no zone but UTC.
fn in_utc(zone: Option<&str>) -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, zone.map(|_| "UTC".into()))
}

/// Types that the items of a list may have.
fn is_plain(t: &DataType) -> bool {
    use DataType as T;
    t.is_numeric()
        || is_text(t)
        || matches!(t, T::Boolean | T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_))
        || matches!(t, T::Date32 | T::Time64(TimeUnit::Microsecond) | T::Timestamp(TimeUnit::Microsecond, _))
}

fn strictly(value: &ScalarValue, to: &DataType) -> Result<ScalarValue> {
    let array = value.to_array()?;
    let options = CastOptions { safe: false, ..CastOptions::default() };
    ScalarValue::try_from_array(&cast_with_options(&array, to, &options)?, 0)
}

/// A value as another type, if it comes back the same.
fn exactly(name: &str, value: &ScalarValue, to: &DataType) -> Result<ScalarValue, QueryError> {
    let from = value.data_type();
    let lossy = || refused(name, &format!("is {from}, and its value does not fit {to} without loss"));
    let cast = strictly(value, to).map_err(|_| lossy())?;
    let back = strictly(&cast, &from).map_err(|_| lossy())?;
    if back == *value { Ok(cast) } else { Err(lossy()) }
}

/// Text as the type that is known, if that is what it says.
fn read_as(name: &str, text: &ScalarValue, to: &DataType) -> Result<ScalarValue, QueryError> {
    let lossy = || {
        refused(name, &format!("is {to}, and the text does not fit it without loss"))
            .with_hint("bind a value of another type, or write CAST(? AS ...) around the parameter")
    };
    if *to == DataType::FixedSizeBinary(16) {
        let array = text.to_array().map_err(|_| lossy())?;
        return uuids_of_text(&array)
            .and_then(|read| ScalarValue::try_from_array(&read, 0))
            .map_err(|_| refused(name, "is a UUID, and the text is none"));
    }
    let read = strictly(text, to).map_err(|_| lossy())?;
    // The widest type of the same kind says whether something was left out.
    let widest = match to {
        DataType::Decimal128(..) | DataType::Decimal256(..) => DataType::Decimal256(76, 38),
        DataType::Date32 | DataType::Date64 => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => DataType::Timestamp(TimeUnit::Nanosecond, zone.clone()),
        DataType::Time64(TimeUnit::Microsecond) => DataType::Time64(TimeUnit::Nanosecond),
        _ => return Ok(read),
    };
    match (strictly(text, &widest), strictly(&read, &widest)) {
        (Ok(said), Ok(kept)) if said != kept => Err(lossy()),
        // Nanoseconds reach from 1677 to 2262: outside of it there is nothing to compare with.
        _ => Ok(read),
    }
}

/// The statement as one that is prepared with parameters of these types, so that it is planned with them from the
/// beginning, and who reads the types' names in it.
pub(crate) fn typed(
    mut tree: EngineStatement,
    parameters: &[(String, Option<DataType>)],
    values: &[ScalarValue],
) -> (EngineStatement, BoundTypes) {
    let fields: Vec<FieldRef> = parameters
        .iter()
        .zip(values)
        .map(|((name, _), v)| Arc::new(Field::new(name.trim_start_matches('$'), v.data_type(), true)))
        .collect();
    if let Some(inner) = statement::tree_of(&mut tree) {
        let data_types = (0..fields.len())
            .map(|i| {
                SqlType::Custom(
                    ObjectName(vec![ObjectNamePart::Identifier(Ident::new(format!("{BOUND}{i}")))]),
                    Vec::new(),
                )
            })
            .collect();
        let query = std::mem::replace(inner, Tree::Commit { chain: false, end: false, modifier: None });
        *inner = Tree::Prepare { name: Ident::new("bound"), data_types, statement: Box::new(query) };
    }
    (tree, BoundTypes(fields))
}

const BOUND: &str = "_ingot_bound_";

/// Reads the types of bound values, which SQL has no names for, by their place; all others are the dialect's.
#[derive(Debug)]
pub(crate) struct BoundTypes(Vec<FieldRef>);

impl TypePlanner for BoundTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        if let SqlType::Custom(ObjectName(name), _) = sql_type
            && let [ObjectNamePart::Identifier(name)] = name.as_slice()
            && let Some(i) = name.value.strip_prefix(BOUND).and_then(|i| i.parse::<usize>().ok())
        {
            return Ok(self.0.get(i).cloned());
        }
        DialectTypes.plan_type_field(sql_type)
    }
}

/// The plan that `typed` was wrapped around.
pub(crate) fn prepared(plan: LogicalPlan) -> LogicalPlan {
    match plan {
        LogicalPlan::Statement(Statement::Prepare(p)) => Arc::unwrap_or_clone(p.input),
        LogicalPlan::Explain(mut e) => {
            e.plan = Arc::new(prepared(Arc::unwrap_or_clone(e.plan)));
            LogicalPlan::Explain(e)
        }
        LogicalPlan::Analyze(mut a) => {
            a.input = Arc::new(prepared(Arc::unwrap_or_clone(a.input)));
            LogicalPlan::Analyze(a)
        }
        plan => plan,
    }
}
