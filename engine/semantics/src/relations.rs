//! Two relations of one FROM that are called the same.
//!
//!   FROM s.c, c       c.id is the column of either: refused; DataFusion takes that of the first
//!   FROM r.c, s.c     two tables; their layers tell them apart
//!   FROM s.c, r.s.c   s.c.id is the column of either: refused
//!
//! Not here: columns of one name (the planner's).

use std::ops::ControlFlow;

use datafusion::common::Result;
use sqlparser::ast::{Ident, Select, Spanned, TableFactor};
use sqlparser::tokenizer::Span;

use crate::outputs::fold;
use crate::refusal::Refusal;
use crate::subqueries::{Node, walk};

/// Refuses what a select's FROM calls the same.
pub(crate) fn in_select(select: &Select) -> Result<()> {
    let mut found = Vec::new();
    for item in &select.from {
        walk(item, |node, queries| {
            if let Node::Relation(factor) = node
                && queries == 0
            {
                found.extend(named(factor));
            }
            ControlFlow::Continue(())
        });
    }
    for (at, (name, span)) in found.iter().enumerate() {
        // The planner takes the first whose name ends with what stands before a column, be another's the whole of it.
        let same = |other: &Vec<String>| other.ends_with(name) || name.ends_with(other);
        if found.iter().take(at).any(|(other, _)| same(other)) {
            let text = format!("two relations of this FROM are called \"{}\"", name.last().map_or("", String::as_str));
            let help = "give one of them an alias of its own";
            return Err(Refusal { code: "N0105", text, help, span: *span }.into());
        }
    }
    Ok(())
}

/// The name of a relation and its place, layers first; none for what has no name.
fn named(factor: &TableFactor) -> Option<(Vec<String>, Span)> {
    let (TableFactor::Table { alias, .. }
    | TableFactor::Derived { alias, .. }
    | TableFactor::TableFunction { alias, .. }
    | TableFactor::Function { alias, .. }
    | TableFactor::UNNEST { alias, .. }
    | TableFactor::NestedJoin { alias, .. }) = factor
    else {
        return None;
    };
    let parts: Vec<&Ident> = match (alias, factor) {
        (Some(alias), _) => vec![&alias.name],
        (None, TableFactor::Table { name, args: None, .. }) => {
            name.0.iter().filter_map(|part| part.as_ident()).collect()
        }
        _ => return None,
    };
    let span = parts.last().map_or_else(Span::empty, |p| p.span);
    let span = if span == Span::empty() { factor.span() } else { span };
    Some((parts.into_iter().map(fold).collect(), span))
}
