//! Windows that a query names are written out where they are used.
//!
//!   OVER w  OVER (w)  OVER (w ORDER BY x)  WINDOW w2 AS (w ROWS ..)  ──▶  OVER (PARTITION BY .. ORDER BY .. ROWS ..)
//!
//! The planner looks at the name of `OVER w` in the select list alone, and forgets that of `OVER (w)`.
//!
//! Not here: what windows compute.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, Result, plan_datafusion_err};
use sqlparser::ast::{
    Expr, Ident, NamedWindowDefinition, NamedWindowExpr, OrderByKind, Query, Select, SetExpr, VisitMut, VisitorMut,
    WindowSpec, WindowType,
};

/// A query's ORDER BY, and the select that it orders.
pub(crate) fn in_query(query: &mut Query) -> Result<()> {
    let SetExpr::Select(select) = query.body.as_mut() else { return Ok(()) };
    let mut names = Names::of(select)?;
    if let Some(order) = &mut query.order_by
        && let OrderByKind::Expressions(sorts) = &mut order.kind
    {
        sorts.iter_mut().try_for_each(|sort| names.write_out(&mut sort.expr))?;
    }
    in_select(select)
}

pub(crate) fn in_select(select: &mut Select) -> Result<()> {
    let mut names = Names::of(select)?;
    select.named_window.clear();
    names.write_out(select)
}

struct Names {
    known: Vec<(String, WindowSpec)>,
    /// Queries within the select have windows of their own.
    depth: usize,
}

fn folded(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

impl Names {
    fn of(select: &Select) -> Result<Self> {
        let mut names = Self { known: Vec::new(), depth: 0 };
        for NamedWindowDefinition(name, window) in &select.named_window {
            let spec = match window {
                NamedWindowExpr::NamedWindow(other) => names.get(other)?.clone(),
                NamedWindowExpr::WindowSpec(spec) => names.resolved(spec.clone())?,
            };
            if names.known.iter().any(|(known, _)| *known == folded(name)) {
                return Err(plan_datafusion_err!("window \"{}\" is defined twice", name.value));
            }
            names.known.push((folded(name), spec));
        }
        Ok(names)
    }

    fn get(&self, name: &Ident) -> Result<&WindowSpec> {
        let found = self.known.iter().find(|(known, _)| *known == folded(name));
        found.map(|(_, spec)| spec).ok_or_else(|| plan_datafusion_err!("there is no window \"{}\"", name.value))
    }

    /// A window with what it takes from the one that it names, which it may not change.
    fn resolved(&self, mut spec: WindowSpec) -> Result<WindowSpec> {
        let Some(name) = spec.window_name.take() else { return Ok(spec) };
        let base = self.get(&name)?.clone();
        let changed = |what: &str| plan_datafusion_err!("{what} of window \"{}\" cannot be changed", name.value);
        if !spec.partition_by.is_empty() {
            return Err(changed("PARTITION BY"));
        }
        if !spec.order_by.is_empty() && !base.order_by.is_empty() {
            return Err(changed("ORDER BY"));
        }
        if base.window_frame.is_some() && (!spec.order_by.is_empty() || spec.window_frame.is_some()) {
            return Err(changed("the frame"));
        }
        spec.partition_by = base.partition_by;
        if spec.order_by.is_empty() {
            spec.order_by = base.order_by;
        }
        spec.window_frame = spec.window_frame.or(base.window_frame);
        Ok(spec)
    }

    fn write_out<T: VisitMut>(&mut self, tree: &mut T) -> Result<()> {
        match tree.visit(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }

    fn over(&self, window: &mut WindowType) -> Result<()> {
        match window {
            WindowType::NamedWindow(name) => *window = WindowType::WindowSpec(self.get(name)?.clone()),
            WindowType::WindowSpec(spec) if spec.window_name.is_some() => *spec = self.resolved(spec.clone())?,
            WindowType::WindowSpec(_) => {}
        }
        Ok(())
    }
}

impl VisitorMut for Names {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<DataFusionError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<DataFusionError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        if self.depth == 0
            && let Expr::Function(call) = expr
            && let Some(window) = &mut call.over
            && let Err(error) = self.over(window)
        {
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }
}
