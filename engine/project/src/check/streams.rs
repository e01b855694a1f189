//! Which relations a query reads as streams, which as wholes, and which it may.
//!
//! Invariants
//! * A streaming table reads exactly one relation, as a stream, and that relation is append-only.
//! * A view reads stored tables as wholes.
//! * Temporary views are looked through: what counts is what they read.
//!
//! Not here: names (`names`), whether the query works row by row (`table`).

use datafusion::sql::sqlparser::tokenizer::Span;
use ingot_dialect::diagnostic::Diagnostic;

/// What a leaf of a query is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeafKind {
    Source,
    /// A streaming table, or a side table of one: rows are only added.
    AppendOnly,
    /// A materialized view, or a side table of one.
    Changing,
    /// A served view.
    View,
}

/// A relation that is read in the end, with the place where it is mentioned.
#[derive(Debug, Clone)]
pub(crate) struct Leaf {
    pub key: String,
    pub dotted: String,
    pub kind: LeafKind,
    pub stream: bool,
    pub file: String,
    pub span: Span,
}

/// Checks the leaves of a streaming table; the one it reads, if all is well.
pub(crate) fn streaming<'a>(
    file: &str,
    name: &str,
    span: Span,
    leaves: &'a [Leaf],
    found: &mut Vec<Diagnostic>,
) -> Option<&'a Leaf> {
    let before = found.len();
    for leaf in leaves.iter().filter(|l| !l.stream) {
        let d = Diagnostic::error("N0201", format!("streaming table reads \"{}\" as a whole", leaf.dotted));
        let d = d.at(&leaf.file, leaf.span);
        found.push(match leaf.kind {
            LeafKind::Source | LeafKind::AppendOnly => {
                d.help(format!("STREAM {}", leaf.dotted)).suggest(leaf.span, format!("STREAM {}", leaf.dotted))
            }
            LeafKind::Changing | LeafKind::View => d
                .note("its rows also change, so it cannot be read as a stream")
                .help(format!("declare {name} a MATERIALIZED VIEW")),
        });
    }
    for leaf in leaves.iter().filter(|l| l.stream && matches!(l.kind, LeafKind::Changing | LeafKind::View)) {
        let what = if leaf.kind == LeafKind::View { "a view" } else { "a materialized view" };
        found.push(
            Diagnostic::error("N0204", format!("STREAM reads \"{}\", which is {what}: its rows change", leaf.dotted))
                .at(&leaf.file, leaf.span)
                .help(format!("declare {name} a MATERIALIZED VIEW that reads {}", leaf.dotted)),
        );
    }
    let streams: Vec<&Leaf> = leaves.iter().filter(|l| l.stream).collect();
    if let [first, second, ..] = streams.as_slice() {
        found.push(
            Diagnostic::error(
                "N0205",
                format!("streaming table reads two streams: \"{}\" and \"{}\"", first.dotted, second.dotted),
            )
            .at(&second.file, second.span)
            .help("declare one streaming table for each, and UNION ALL them in a materialized view"),
        );
    }
    if leaves.is_empty() {
        found.push(
            Diagnostic::error("N0201", "streaming table reads no stream")
                .at(file, span)
                .help("read a source, FROM STREAM x, or declare a MATERIALIZED VIEW"),
        );
    }
    if found.len() == before { streams.first().copied() } else { None }
}

/// Checks the leaves of a materialized or served view.
pub(crate) fn tables(name: &str, leaves: &[Leaf], found: &mut Vec<Diagnostic>) {
    for leaf in leaves {
        if leaf.kind == LeafKind::Source {
            found.push(
                Diagnostic::error("N0206", format!("\"{}\" is a source, and only a streaming table reads one", leaf.dotted))
                    .at(&leaf.file, leaf.span)
                    .help(format!(
                        "keep its rows in CREATE STREAMING TABLE bronze.{0} AS SELECT * FROM STREAM {0}, and read bronze.{0} here",
                        leaf.dotted
                    )),
            );
        } else if leaf.stream {
            found.push(
                Diagnostic::error(
                    "N0202",
                    format!("\"{name}\" reads STREAM {}, but only a streaming table reads streams", leaf.dotted),
                )
                .at(&leaf.file, leaf.span)
                .help(format!("leave STREAM out, or declare {name} a STREAMING TABLE")),
            );
        }
    }
}
