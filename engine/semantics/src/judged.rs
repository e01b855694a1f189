//! A node whose rows are judged as they pass.
//!
//!   Judged(conditions) over input     the rows of the input that its judge lets pass; it is shown all of them
//!
//! Invariants
//! * No condition on its columns moves across it. One without columns does, so a plan with a judge must have none above
//!   it.
//! * It has the columns of its input.
//!
//! Not here: what a judge does with a row (the code that provides the judge). A node without a judge only marks a place
//! in a plan, and cannot run.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchemaRef, Result, plan_err};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;

/// Makes the operator that judges rows.
pub trait Judge: fmt::Debug + Send + Sync {
    /// Whether it keeps rows for others, so that it needs every column of theirs.
    fn takes_rows(&self) -> bool;

    /// The operator over `input`; `conditions` are those of the node, over the input's columns.
    ///
    /// # Errors
    /// When there can be none.
    fn operator(
        &self,
        input: Arc<dyn ExecutionPlan>,
        conditions: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn ExecutionPlan>>;
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Judged {
    input: LogicalPlan,
    place: usize,
    conditions: Vec<Expr>,
    judge: Option<Arc<dyn Judge>>,
}

impl Judged {
    /// A node over `input` without a judge yet; `place` tells it from the others of the plan.
    pub fn over(input: LogicalPlan, place: usize, conditions: Vec<Expr>) -> LogicalPlan {
        Self { input, place, conditions, judge: None }.plan()
    }

    fn plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(self) })
    }

    /// The plan as this node, if it is one.
    pub fn of(plan: &LogicalPlan) -> Option<&Self> {
        match plan {
            LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// Identifies it among the others of its plan.
    pub fn place(&self) -> usize {
        self.place
    }

    /// The plan with a judge at each place.
    ///
    /// # Errors
    /// When DataFusion cannot walk the plan.
    pub fn with_judges(plan: LogicalPlan, judge: &dyn Fn(usize) -> Option<Arc<dyn Judge>>) -> Result<LogicalPlan> {
        let judged = plan.transform_up(|node| {
            Ok(match Self::of(&node) {
                Some(judged) => Transformed::yes(Self { judge: judge(judged.place), ..judged.clone() }.plan()),
                None => Transformed::no(node),
            })
        })?;
        Ok(judged.data)
    }

    pub(crate) fn conditions(&self) -> &[Expr] {
        &self.conditions
    }

    /// Its operator.
    ///
    /// # Errors
    /// When it has no judge.
    pub(crate) fn operator(
        &self,
        input: Arc<dyn ExecutionPlan>,
        conditions: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.judge {
            Some(judge) => judge.operator(input, conditions),
            None => plan_err!("nobody judges the rows that pass here"),
        }
    }

    fn judge_address(&self) -> Option<*const ()> {
        self.judge.as_ref().map(|judge| Arc::as_ptr(judge).cast())
    }
}

impl PartialEq for Judged {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place
            && self.judge_address() == other.judge_address()
            && self.conditions == other.conditions
            && self.input == other.input
    }
}

impl Eq for Judged {}

impl Hash for Judged {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.place.hash(state);
        self.conditions.hash(state);
        self.input.hash(state);
    }
}

impl PartialOrd for Judged {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self == other).then_some(Ordering::Equal)
    }
}

impl UserDefinedLogicalNodeCore for Judged {
    fn name(&self) -> &str {
        "Judged"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.conditions.clone()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.input.schema().fields().iter().map(|f| f.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let conditions: Vec<String> = self.conditions.iter().map(ToString::to_string).collect();
        write!(f, "Judged: {}", conditions.join(", "))
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        match inputs.into_iter().next() {
            Some(input) if exprs.len() == self.conditions.len() => {
                Ok(Self { input, conditions: exprs, place: self.place, judge: self.judge.clone() })
            }
            _ => plan_err!("a judged relation has an input and its conditions"),
        }
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        if self.judge.as_ref().is_some_and(|judge| judge.takes_rows()) {
            return Some(vec![(0..self.input.schema().fields().len()).collect()]);
        }
        let mut columns: BTreeSet<usize> = output_columns.iter().copied().collect();
        for column in self.conditions.iter().flat_map(Expr::column_refs) {
            columns.insert(self.input.schema().maybe_index_of_column(column)?);
        }
        Some(vec![columns.into_iter().collect()])
    }
}
