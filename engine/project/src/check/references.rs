//! What a query body mentions: relations, functions, and the names its WITH clauses define.
//!
//! Invariants
//! * Names are folded as DataFusion folds them: unquoted ones to lower case.
//! * A bare name that any WITH of the body defines is not a reference.
//!
//! Not here: what the names stand for (`names`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, Expr, Ident, ObjectName, ObjectNamePart, Query as SqlQuery, SelectItem, SelectItemQualifiedWildcardKind,
    Spanned, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use ingot_dialect::ast::Query;
use ingot_model::TableName;

/// One mention of a relation.
#[derive(Debug, Clone)]
pub(crate) struct Reference {
    /// Folded parts, at least one.
    pub parts: Vec<String>,
    pub span: Span,
    /// STREAM stands before it.
    pub stream: bool,
}

impl Reference {
    /// As it is written, with dots.
    pub fn dotted(&self) -> String {
        self.parts.join(".")
    }
}

/// Everything a body mentions, in the order of the text.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    pub relations: Vec<Reference>,
    /// Table functions other than unnest.
    pub table_functions: Vec<(String, Span)>,
    pub functions: Vec<(String, Span)>,
    /// Types of casts, as written, with the place of what is cast.
    pub casts: Vec<(DataType, Span)>,
    /// Parts of FROM that no plan has, by their words.
    pub unplanned: Vec<(&'static str, Span)>,
    ctes: BTreeSet<String>,
}

pub(crate) fn fold(ident: &Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().filter_map(ObjectNamePart::as_ident).map(fold).collect()
}

/// Collects what a query mentions.
pub(crate) fn mentions(query: &Query) -> Mentions {
    let mut found = Mentions::default();
    let _ = query.tree.visit(&mut found);
    for r in &mut found.relations {
        r.stream = query.streams.iter().any(|s| s.span().start == r.span.start);
    }
    let ctes = std::mem::take(&mut found.ctes);
    found.relations.retain(|r| r.parts.len() != 1 || !ctes.contains(&r.parts[0]));
    found
}

/// Functions that an expression calls.
pub(crate) fn functions(expr: &Expr) -> Vec<(String, Span)> {
    let mut found = Mentions::default();
    let _ = expr.visit(&mut found);
    found.functions
}

impl Visitor for Mentions {
    type Break = ();

    fn pre_visit_query(&mut self, query: &SqlQuery) -> ControlFlow<()> {
        if let Some(with) = &query.with {
            self.ctes.extend(with.cte_tables.iter().map(|c| fold(&c.alias.name)));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                let called = parts(name).join(".");
                if called != "unnest" {
                    self.table_functions.push((called, name.span()));
                }
            }
            TableFactor::Table { name, .. } => {
                self.relations.push(Reference { parts: parts(name), span: name.span(), stream: false });
            }
            TableFactor::Pivot { .. } => self.unplanned.push(("PIVOT", factor.span())),
            TableFactor::Unpivot { .. } => self.unplanned.push(("UNPIVOT", factor.span())),
            TableFactor::MatchRecognize { .. } => self.unplanned.push(("MATCH_RECOGNIZE", factor.span())),
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(f) => self.functions.push((parts(&f.name).join("."), f.name.span())),
            Expr::Cast { expr, data_type, .. } => self.casts.push((data_type.clone(), expr.span())),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Brings names to the form that plans use: a stored namespace, whatever its levels, and a name.
pub(crate) struct Qualify<'a> {
    pub catalog: &'a str,
    /// Stored names of what the body reads, by their parts without the catalog's.
    pub tables: &'a BTreeMap<Vec<String>, TableName>,
}

impl Qualify<'_> {
    /// Puts full names in the place of short ones.
    pub fn apply(&mut self, tree: &mut SqlQuery) {
        let _ = tree.visit(self);
    }

    fn object(&self, name: &mut ObjectName) {
        let idents: Option<Vec<Ident>> = name.0.iter().map(|part| part.as_ident().cloned()).collect();
        if let Some(whole) = idents.and_then(|idents| self.whole(&idents)) {
            name.0 = whole.into_iter().map(ObjectNamePart::Identifier).collect();
        }
    }

    /// The two parts of a table's stored name, where these are its parts.
    fn whole(&self, idents: &[Ident]) -> Option<[Ident; 2]> {
        let parts: Vec<String> = idents.iter().map(fold).collect();
        let bare = match parts.as_slice() {
            [first, rest @ ..] if rest.len() >= 2 && first == self.catalog => self.tables.get(rest),
            _ => None,
        };
        let stored = bare.or_else(|| self.tables.get(&parts))?;
        let [levels @ .., name] = idents else { return None };
        if matches!(parts.as_slice(), [namespace, _] if stored.namespace.as_str() == namespace) {
            return None;
        }
        let place = levels.iter().fold(Span::empty(), |all, ident| all.union(&ident.span));
        let namespace = Ident { value: stored.namespace.to_string(), quote_style: Some('"'), span: place };
        Some([namespace, name.clone()])
    }

    /// The longest beginning of a column's name that is a table's.
    fn column(&self, idents: &mut Vec<Ident>) {
        for end in (2..idents.len()).rev() {
            if let Some(whole) = self.whole(&idents[..end]) {
                idents.splice(..end, whole);
                return;
            }
        }
    }
}

impl VisitorMut for Qualify<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, name: &mut ObjectName) -> ControlFlow<()> {
        self.object(name);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut datafusion::sql::sqlparser::ast::Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            if let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item {
                self.object(name);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::CompoundIdentifier(idents) = expr {
            self.column(idents);
        }
        ControlFlow::Continue(())
    }
}
