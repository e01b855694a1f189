//! A streaming table or a materialized view as a model, with the side tables it owns.
//!
//! Invariants
//! * The fingerprint covers what decides rows: queries with what they inline, columns, expectations, decoding; never
//!   names of connections, comments, tags or policies.
//! * A streaming table's plan works row by row.
//!
//! Not here: planning the query (`resolve`), clauses (`table`).

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::tokenizer::Span;
use ingot_delta::{ENGINE_SEMANTICS_VERSION, FullReason, Strategy};
use ingot_dialect::ast::{OnDecodeError, Policy, Query, TableDef};
use ingot_dialect::diagnostic::Diagnostic;
use ingot_dialect::{fingerprint, fold_tokens};
use ingot_model::TableName;

use super::names::{Declared, DeclaredKind};
use super::planning_error::{Planned, diagnostics};
use super::references::Mentions;
use super::resolve::{Brings, Node, QuarantinePlan, Reading, Resolver, inputs};
use super::streams::{self, Leaf, LeafKind};
use super::{expectation, external, judging, kept, output, side, source, spans, table};
use crate::project::{CheckedRelation, DecodeErrorPolicy, Model, ModelKind, StreamInput};

/// A planned query on its way to a model.
struct Body {
    plan: LogicalPlan,
    strategy: Strategy,
}

/// How a table reads its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// A view.
    Tables,
    /// A streaming table.
    Stream,
    /// A streaming table whose input is not a stream.
    Unknown,
}

/// An obstacle in the words of a table that only appends.
fn not_by_row(obstacle: &FullReason) -> String {
    match obstacle.code {
        "R0501" => "it joins rows".into(),
        "R0502" => "it limits rows".into(),
        "R0503" => "it drops duplicates".into(),
        "R0504" | "R0505" => "it compares rows with each other".into(),
        "R0514" => "it aggregates rows".into(),
        _ => obstacle.text.clone(),
    }
}

/// The relations under the query that have expectations.
fn checked(reading: &Reading) -> Vec<CheckedRelation> {
    reading.brings.checked.iter().map(|(_, r)| r.clone()).collect()
}

/// What a statement says of the rows of its table.
struct Said<'s> {
    t: &'s TableDef,
    query: &'s Query,
    kind: &'s ModelKind,
    /// What the relations that it reads bring with them.
    brings: &'s Brings,
}

impl<'a> Resolver<'a> {
    /// Checks the statement of a table, and adds the table where nothing is wrong with it.
    pub fn table(&mut self, d: &Declared<'a>, t: &'a TableDef, streaming: bool, m: &Mentions) {
        let Some(query) = &t.query else { return };
        let before = self.errors();
        let path = self.path(d);
        let mut reading = self.reading(d, query, m);
        let stream = if streaming {
            // What does not exist may be the stream: that was said already.
            let unknown = reading.leaves.is_empty() && !reading.ok;
            let found = &mut self.found;
            if unknown { None } else { streams::streaming(path, &d.dotted(), d.span, &reading.leaves, found).cloned() }
        } else {
            streams::tables(&d.dotted(), &reading.leaves, &mut self.found);
            None
        };
        let decode = self.decode_policy(path, t, streaming, stream.as_ref());
        let names_before = self.errors();
        let Some((plan, analyzed)) = self.plan(d, query, &reading) else { return };
        output::names(path, query, &plan, &mut self.found);
        let names_ok = self.errors() == names_before;
        let read = external::columns_read(&plan, &self.out.externals);
        reading.brings.texts.extend(read);
        let Some(mut columns) = output::stored_columns(path, query, &analyzed, &mut self.found) else { return };
        let unannotated = Schema::new(columns.clone());
        let notes = output::annotations(path, &t.columns, &unannotated, true, &mut self.found);
        let kind = self.kind(stream);
        let name = self.rules.stored(&d.name);
        let said = Said { t, query, kind: &kind, brings: &reading.brings };
        let kept = match self.stored.get(&name).filter(|_| streaming) {
            None => Vec::new(),
            Some(stored) => {
                let by = |version: u32, columns: &[Field]| {
                    let schema = table::schema(columns, &notes);
                    hash(&self.parts(version, &said, columns, &schema))
                };
                kept::keep(query, &t.columns, stored, &mut columns, &by)
            }
        };
        let schema = table::schema(&columns, &notes);
        let mut definition = table::definition(path, t, &schema, &notes, &mut self.found);
        definition.set_kept_types(&kept::recorded(&kept));
        let tags = table::tags(path, &t.clauses, &mut self.found);
        let schema: SchemaRef = Arc::new(schema);
        if names_ok {
            self.nodes.insert(d.name.join("."), Node::Stored(Arc::clone(&schema)));
        }
        let mut rows = plan.clone();
        if !t.columns.expectations.is_empty() {
            let relation = expectation::Relation {
                file: path,
                name: name.to_string(),
                query,
                plan,
                analyzed: &analyzed,
                stored: Some(&columns),
            };
            let Some(outcome) = self.expectations(relation, &t.columns.expectations) else { return };
            rows = outcome.kept.clone();
            self.keep_sides(d, &outcome, &mut reading.brings);
            reading.brings.checked.push((d.name.join("."), outcome.relation));
        }
        let stored = match output::cast_to_stored(rows, &analyzed, &columns) {
            Ok(plan) => plan,
            Err(error) => {
                let planned = Planned { file: path, span: query.span, tokens: &query.tokens };
                self.found.extend(diagnostics(&error, &planned));
                return;
            }
        };
        // What is not a stream already has its own complaint.
        let reads = match (streaming, &kind) {
            (false, _) => Reads::Tables,
            (true, ModelKind::Streaming { .. }) => Reads::Stream,
            (true, _) => Reads::Unknown,
        };
        let Some(body) = self.strategy(d, t, m, &reading, stored, reads) else { return };
        if self.errors() > before {
            return;
        }
        let brings = reading.brings;
        let said = Said { t, query, kind: &kind, brings: &brings };
        let parts = self.parts(ENGINE_SEMANTICS_VERSION, &said, &columns, &schema);
        definition.state_columns = body.strategy.state_columns();
        let sides = self.sides(d, &name, &kind, &decode, &brings, &parts);
        let primary_key = table::primary_key(path, t, &schema, &mut Vec::new());
        let checked: Vec<CheckedRelation> = brings.checked.into_iter().map(|(_, r)| r).collect();
        let judging = judging::judging(&name, &body.plan, &body.strategy, &checked, &sides);
        let model = Model {
            name: name.clone(),
            kind,
            definition,
            schema,
            inputs: inputs(&body.plan),
            plan: body.plan,
            checked,
            judging,
            strategy: body.strategy,
            policy: policy(t),
            fingerprint: hash(&parts),
            primary_key,
            comment: t.clauses.comment.as_ref().map(|c| c.node.clone()),
            tags,
            on_decode_error: decode,
            kept,
            sides: sides.iter().map(|s| s.name.clone()).collect(),
            file: path.to_owned(),
            sql: self.text(d.statement),
        };
        for side in sides {
            self.out.order.push(side.name.clone());
            self.out.tables.insert(side.name.clone(), side);
        }
        self.out.order.push(name.clone());
        self.out.tables.insert(name, model);
    }

    fn kind(&self, stream: Option<Leaf>) -> ModelKind {
        match stream {
            Some(Leaf { kind: LeafKind::Source, key, .. }) => ModelKind::Streaming { input: StreamInput::Source(key) },
            Some(leaf) => {
                let stored = self.names.all.get(&leaf.key).map(|d| self.rules.stored_of(d));
                stored.map_or(ModelKind::View, |table| ModelKind::Streaming { input: StreamInput::Table(table) })
            }
            None => ModelKind::View,
        }
    }

    fn decode_policy(&mut self, path: &str, t: &TableDef, streaming: bool, stream: Option<&Leaf>) -> DecodeErrorPolicy {
        let Some(clause) = &t.clauses.on_decode_error else { return DecodeErrorPolicy::Fail };
        let decodes = stream.is_none_or(|l| l.kind == LeafKind::Source);
        if !streaming || !decodes {
            self.found.push(
                Diagnostic::error("P0122", "ON DECODE ERROR belongs to a streaming table that reads a source")
                    .at(path, clause.span)
                    .note("nothing is decoded here")
                    .help("leave it out"),
            );
        }
        match &clause.node {
            OnDecodeError::Fail => DecodeErrorPolicy::Fail,
            OnDecodeError::Drop => DecodeErrorPolicy::Drop,
            OnDecodeError::Into(name) => DecodeErrorPolicy::Into(self.rules.stored_as_written(name)),
        }
    }

    /// Completes ties, refuses what has no single result or cannot run, and chooses how the table is maintained.
    fn strategy(
        &mut self,
        d: &Declared<'a>,
        t: &TableDef,
        m: &Mentions,
        reading: &Reading,
        plan: LogicalPlan,
        reads: Reads,
    ) -> Option<Body> {
        let path = self.path(d);
        let query = t.query.as_ref()?;
        let head = first_word(query);
        let refusals = ingot_delta::refuse(&plan);
        for r in &refusals {
            let words: &[&str] = match r.code {
                "U0502" => &["LIMIT", "FETCH"],
                _ => &[],
            };
            let call = m.functions.iter().find(|(name, _)| r.text.starts_with(&format!("{name}(")));
            let place = call.map(|(_, span)| *span).or_else(|| spans::of_word(&query.tokens, words)).unwrap_or(head);
            self.found.push(Diagnostic::error(r.code, r.text.clone()).at(path, place).help(r.help));
        }
        if !refusals.is_empty() {
            return None;
        }
        let completed = match ingot_delta::complete_order(&plan) {
            Ok(plan) => plan,
            Err(error) => {
                self.found.push(Diagnostic::error(error.code(), error.to_string()).at(path, head));
                return None;
            }
        };
        if reads != Reads::Tables {
            if reads == Reads::Stream
                && let Err(reason) = ingot_delta::row_by_row(&completed)
            {
                let d =
                    Diagnostic::error("N0203", "the query of a streaming table must work row by row").at(path, head);
                let d = reason.obstacles().fold(d, |d, o| d.note(not_by_row(o)));
                self.found.push(d.help("keep the rows as they come, and compute this in a MATERIALIZED VIEW"));
                return None;
            }
            let right = self.tried(path, query, reading, &completed, &checked(reading));
            return right.then_some(Body { plan: completed, strategy: Strategy::linear() });
        }
        if !self.tried(path, query, reading, &completed, &checked(reading)) {
            return None;
        }
        if policy(t) == Policy::Full {
            let reason = FullReason::new("R0520", "REFRESH POLICY FULL");
            return Some(Body { plan: completed, strategy: Strategy::full(reason) });
        }
        let strategy = self.feasible(&completed, ingot_delta::classify(&completed));
        if policy(t) == Policy::IncrementalStrict
            && let Some(reason) = strategy.full_reason()
        {
            let span = t.clauses.policy.as_ref().map_or(head, |p| p.span);
            let code = if reason.code == "R0505" { "R0107" } else { "R0101" };
            let d = Diagnostic::error(code, format!("not incremental: {}", reason.text))
                .at(path, span)
                .note(format!("the reason's code is {}", reason.code));
            let d = reason.others.iter().fold(d, |d, o| d.note(format!("and {}: {}", o.code, o.text)));
            self.found.push(d.help("rewrite the query, or write REFRESH POLICY AUTO"));
            return None;
        }
        Some(Body { plan: completed, strategy })
    }

    /// The strategy, if its refreshes run over sample rows; else everything is computed anew.
    fn feasible(&self, plan: &LogicalPlan, strategy: Strategy) -> Strategy {
        match self.trials.strategy(plan, &strategy) {
            None => strategy,
            Some(trouble) => Strategy::full(FullReason::new(
                "R0500",
                format!("the query runs, but its change does not: {}", trouble.text),
            )),
        }
    }

    /// What decides a table's rows, by the rules of a version; `columns` as the query gives them, `schema` as stored.
    fn parts(&self, semantics: u32, of: &Said<'_>, columns: &[Field], schema: &Schema) -> Vec<String> {
        let Said { t, query, kind, brings } = of;
        let mut parts = vec![
            format!("semantics {semantics}"),
            match kind {
                ModelKind::Streaming { .. } => "streaming table".into(),
                _ => "materialized view".into(),
            },
            fold_tokens(&query.tokens),
        ];
        // File names are no part of a definition, so the views' own names order them.
        let mut texts: Vec<&Vec<String>> = brings.texts.values().collect();
        texts.sort();
        parts.extend(texts.into_iter().flatten().cloned());
        for (given, stored) in columns.iter().zip(schema.fields()) {
            parts.push(format!("output {} {} {}", given.name(), given.data_type(), stored.is_nullable()));
        }
        for c in t.columns.columns.iter().filter(|c| c.ty.is_some()) {
            parts.push(format!("declared {} {:?}", c.name.value, c.ty.as_ref().map(|t| &t.node)));
        }
        expectation::fingerprint_parts(&t.columns.expectations, &mut parts);
        if let Some(clause) = &t.clauses.on_decode_error {
            parts.push(match &clause.node {
                OnDecodeError::Fail => "decode error fail".into(),
                OnDecodeError::Drop => "decode error drop".into(),
                OnDecodeError::Into(name) => format!("decode error into {}", name.dotted()),
            });
        }
        if let ModelKind::Streaming { input: StreamInput::Source(name) } = kind
            && let Some(DeclaredKind::Source(s)) = self.names.all.get(name).map(|d| d.kind)
        {
            source::fingerprint_parts(s, &mut parts);
        }
        parts
    }

    fn sides(
        &mut self,
        d: &Declared<'a>,
        name: &TableName,
        kind: &ModelKind,
        decode: &DecodeErrorPolicy,
        brings: &Brings,
        parts: &[String],
    ) -> Vec<Model> {
        let path = self.path(d);
        let sql = self.text(d.statement);
        let mut out = Vec::new();
        if let (DecodeErrorPolicy::Into(to), ModelKind::Streaming { input: StreamInput::Source(source) }) =
            (decode, kind)
        {
            let owner = side::Owner { name, shown: &d.dotted(), file: path, sql: &sql };
            let kind = ModelKind::DecodeErrors { of: owner.name.clone() };
            let mut own = parts.to_vec();
            own.push("decode errors".into());
            if let Ok(plan) = side::decode_errors(source) {
                let schema = ingot_source::error_schema();
                let rows = side::Rows { plan, strategy: Strategy::linear(), inputs: Vec::new() };
                out.push(side::model(to.clone(), kind, Arc::clone(&schema), rows, hash(&own), &owner));
                let key =
                    self.names.all.iter().find(|(_, x)| {
                        matches!(x.kind, DeclaredKind::DecodeErrors) && self.rules.stored(&x.name) == *to
                    });
                if let Some((key, _)) = key {
                    self.nodes.insert(key.clone(), Node::Stored(schema));
                }
            }
        }
        for (to, QuarantinePlan { plan, schema, sql }) in &brings.quarantines {
            let owner = side::Owner { name, shown: &d.dotted(), file: path, sql };
            let plan = match ingot_delta::complete_order(plan) {
                Ok(plan) => plan,
                Err(error) => {
                    self.found.push(Diagnostic::error(error.code(), error.to_string()).at(path, d.span));
                    continue;
                }
            };
            let strategy = self.feasible(&plan, ingot_delta::classify(&plan));
            let mut own = parts.to_vec();
            own.push(format!("quarantine {to}"));
            let kind = ModelKind::Quarantine { of: name.clone() };
            let rows = side::Rows { inputs: inputs(&plan), plan, strategy };
            out.push(side::model(to.clone(), kind, Arc::clone(schema), rows, hash(&own), &owner));
        }
        out
    }
}

fn policy(t: &TableDef) -> Policy {
    t.clauses.policy.as_ref().map_or(Policy::Auto, |p| p.node)
}

fn hash(parts: &[String]) -> String {
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    fingerprint(&parts)
}

fn first_word(query: &Query) -> Span {
    use datafusion::sql::sqlparser::tokenizer::Token;
    query.tokens.iter().find(|t| !matches!(t.token, Token::Whitespace(_))).map_or(query.span, |t| t.span)
}
