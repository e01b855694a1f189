//! Names of tables whose namespace has levels, in the three parts that the engine takes.
//!
//!   a.b.c.t ──▶ a."b.c".t        a.b.c.t.column ──▶ a."b.c".t.column
//!
//! Invariants
//! * Names of three parts or fewer stay as they are; places in the text stay.
//! * Of a column's name only what is a relation's name in the statement is touched.
//!
//! Not here: what a name means (`names`).

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, Select, SelectItem, SelectItemQualifiedWildcardKind, Statement as Tree,
    Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;

/// Parts that the engine takes.
const PARTS_MAX: usize = 3;

fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

/// The parts of a table's name, folded; the levels between the first and the last are one.
pub(crate) fn three(parts: Vec<String>) -> Vec<String> {
    match parts.as_slice() {
        [first, levels @ .., last] if parts.len() > PARTS_MAX => vec![first.clone(), levels.join("."), last.clone()],
        _ => parts,
    }
}

/// Brings all names of a statement to three parts.
pub(crate) fn join(tree: &mut Tree) {
    let mut deep = Deep::default();
    let _ = Visit::visit(tree, &mut deep);
    if !deep.0.is_empty() {
        let _ = VisitMut::visit(tree, &mut deep);
    }
}

/// The relations whose names have more parts, folded.
#[derive(Default)]
struct Deep(Vec<Vec<String>>);

impl Deep {
    fn is_one(&self, idents: &[Ident]) -> bool {
        self.0.iter().any(|parts| parts.len() == idents.len() && parts.iter().zip(idents).all(|(p, i)| *p == fold(i)))
    }
}

fn idents(name: &ObjectName) -> Option<Vec<Ident>> {
    name.0.iter().map(|part| part.as_ident().cloned()).collect()
}

/// The same name in three parts.
fn joined(idents: &[Ident]) -> Option<[Ident; 3]> {
    let [first, levels @ .., last] = idents else { return None };
    let place = levels.iter().fold(Span::empty(), |all, ident| all.union(&ident.span));
    let value = levels.iter().map(fold).collect::<Vec<_>>().join(".");
    Some([first.clone(), Ident::with_quote_and_span('"', place, value), last.clone()])
}

/// A name of these parts, brought to three.
pub(crate) fn shortened(parts: Vec<Ident>) -> ObjectName {
    let mut name = ObjectName(parts.into_iter().map(ObjectNamePart::Identifier).collect());
    shorten(&mut name);
    name
}

fn shorten(name: &mut ObjectName) {
    if name.0.len() > PARTS_MAX
        && let Some(three) = idents(name).as_deref().and_then(joined)
    {
        name.0 = three.into_iter().map(ObjectNamePart::Identifier).collect();
    }
}

impl Visitor for Deep {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        if name.0.len() > PARTS_MAX {
            self.0.extend(idents(name).map(|all| all.iter().map(fold).collect::<Vec<_>>()));
        }
        ControlFlow::Continue(())
    }
}

impl VisitorMut for Deep {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
        shorten(name);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item
                && idents(name).is_some_and(|all| self.is_one(&all))
            {
                shorten(name);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(all) = expr {
            let end = (PARTS_MAX + 1..all.len()).rev().find(|end| self.is_one(&all[..*end]));
            if let Some((end, three)) = end.and_then(|end| Some((end, joined(&all[..end])?))) {
                all.splice(..end, three);
            }
        }
        ControlFlow::Continue(())
    }
}
