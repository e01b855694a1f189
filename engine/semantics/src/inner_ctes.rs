//! A name of WITH that a query around it has as well: the inner one gets a name of its own.
//!
//!   WITH q AS (..) SELECT .. (WITH q AS (..) SELECT .. FROM q)
//!     ──▶ WITH q AS (..) SELECT .. (WITH __ingot_q_1 AS (..) SELECT .. FROM __ingot_q_1 AS q)
//!
//! DataFusion has one list of names for all queries around a place.
//!
//! Invariants
//! * Only what is seen from the place hides: a name that comes later does not.
//! * One WITH that gives a name twice is the planner's to refuse.
//!
//! Not here: names of tables, which any name of WITH hides.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sqlparser::ast::{Ident, ObjectName, Query, TableAlias, TableFactor, VisitMut, VisitorMut};

use crate::outputs::fold;

/// Renames the inner ones of a tree.
pub(crate) fn rename<T: VisitMut>(tree: &mut T) {
    let _ = tree.visit(&mut Scopes::default());
}

#[derive(Default)]
struct Scopes {
    queries: Vec<Scope>,
    renamed: usize,
}

/// A query that the current place is in.
#[derive(Default)]
struct Scope {
    /// The names of its WITH as written, in order, and as they are now.
    names: Vec<(String, Ident)>,
    /// How many of their queries are behind the current place.
    done: usize,
    recursive: bool,
}

impl Scope {
    /// What the planner has when it comes here: of a WITH RECURSIVE also the name that is being made.
    fn seen(&self) -> &[(String, Ident)] {
        let count = if self.recursive { self.done + 1 } else { self.done };
        self.names.get(..count.min(self.names.len())).unwrap_or_default()
    }
}

impl Scopes {
    fn find(&self, name: &str) -> Option<&Ident> {
        self.queries.iter().rev().find_map(|q| q.seen().iter().rev().find(|(own, _)| own == name).map(|(_, now)| now))
    }
}

impl VisitorMut for Scopes {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let mut scope = Scope::default();
        if let Some(with) = &mut query.with {
            scope.recursive = with.recursive;
            let mut given: BTreeMap<String, Ident> = BTreeMap::new();
            for cte in &mut with.cte_tables {
                let name = fold(&cte.alias.name);
                if self.find(&name).is_some() {
                    let fresh = given.entry(name.clone()).or_insert_with(|| {
                        self.renamed += 1;
                        Ident::with_quote('"', format!("__ingot_{name}_{}", self.renamed))
                    });
                    cte.alias.name = Ident { span: cte.alias.name.span, ..fresh.clone() };
                }
                scope.names.push((name, cte.alias.name.clone()));
            }
        }
        self.queries.push(scope);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries.pop();
        // The queries of a WITH come before all else of theirs.
        if let Some(around) = self.queries.last_mut() {
            around.done += 1;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let TableFactor::Table { name, alias, args: None, .. } = factor else { return ControlFlow::Continue(()) };
        let written = match name.0.as_slice() {
            [part] => part.as_ident().cloned(),
            _ => None,
        };
        if let Some(written) = written
            && let Some(now) = self.find(&fold(&written))
            && fold(now) != fold(&written)
        {
            *name = ObjectName::from(vec![Ident { span: written.span, ..now.clone() }]);
            alias.get_or_insert(TableAlias { explicit: true, name: written, columns: Vec::new(), at: None });
        }
        ControlFlow::Continue(())
    }
}
