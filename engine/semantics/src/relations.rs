//! Two relations of one FROM that are called the same.
//!
//!   FROM s.c, c       c.id is the column of either: refused; DataFusion takes that of the first
//!   FROM r.c, s.c     two tables; their layers tell them apart
//!
//! Not here: columns of one name (the planner's).

use std::ops::ControlFlow;

use datafusion::common::Result;
use sqlparser::ast::{Ident, Select, Spanned, TableFactor, Visit, Visitor};
use sqlparser::tokenizer::Span;

use crate::outputs::fold;
use crate::refusal::Refusal;

/// Refuses what a select's FROM calls the same.
pub(crate) fn in_select(select: &Select) -> Result<()> {
    let mut found = Relations::default();
    for item in &select.from {
        let _ = item.visit(&mut found);
    }
    for (at, (name, span)) in found.named.iter().enumerate() {
        let same =
            |other: &Vec<String>| other.last() == name.last() && (other.len() == 1 || name.len() == 1 || other == name);
        if found.named.iter().take(at).any(|(other, _)| same(other)) {
            let text = format!("two relations of this FROM are called \"{}\"", name.last().map_or("", String::as_str));
            let help = "give one of them an alias of its own";
            return Err(Refusal { code: "N0105", text, help, span: *span }.into());
        }
    }
    Ok(())
}

/// Names of the relations outside of subqueries, layers first.
#[derive(Default)]
struct Relations {
    named: Vec<(Vec<String>, Span)>,
    queries: usize,
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, _: &sqlparser::ast::Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &sqlparser::ast::Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if self.queries > 0 {
            return ControlFlow::Continue(());
        }
        let (TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. }) = factor
        else {
            return ControlFlow::Continue(());
        };
        let parts: Vec<&Ident> = match (alias, factor) {
            (Some(alias), _) => vec![&alias.name],
            (None, TableFactor::Table { name, args: None, .. }) => {
                name.0.iter().filter_map(|part| part.as_ident()).collect()
            }
            _ => return ControlFlow::Continue(()),
        };
        let span = parts.last().map_or_else(Span::empty, |p| p.span);
        self.named
            .push((parts.into_iter().map(fold).collect(), if span == Span::empty() { factor.span() } else { span }));
        ControlFlow::Continue(())
    }
}
