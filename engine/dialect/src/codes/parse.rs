//! P: the text of a SQL file is not a statement of the dialect.

use super::info::{CodeInfo, code};

pub(super) const CODES: &[CodeInfo] = &[
    code(
        "P0101",
        "unexpected token",
        "The parser met something other than what the grammar asks for at this place. For example `CREATE SOURCE (id INT)` lacks the name. Write what the message says was expected.",
    ),
    code(
        "P0102",
        "unterminated string or quoted name",
        "A quote was opened and never closed; everything after it was swallowed. For example `COMMENT 'raw events`. The place shown is the opening quote: close it, and double quotes inside: 'it''s'.",
    ),
    code(
        "P0103",
        "unterminated comment",
        "A `/*` was opened and never closed with `*/`. Comments nest: each opening needs its own end. The place shown is the opening.",
    ),
    code(
        "P0104",
        "unterminated dollar quote",
        "A `$$` or `$tag$` was opened and never closed with the same mark. The place shown is the opening. Close it with the same tag.",
    ),
    code(
        "P0105",
        "unreadable character",
        "A character or sequence that no token begins with, such as an invalid escape in `E'...'` or `U&'...'`. Remove it, or put it into a string.",
    ),
    code(
        "P0106",
        "unknown statement",
        "A statement begins with words that the dialect does not know. Files of a project hold CREATE SOURCE, CREATE STREAMING TABLE, CREATE MATERIALIZED VIEW, CREATE [TEMPORARY] VIEW and the like; a bare SELECT belongs to `ingot sql`.",
    ),
    code(
        "P0107",
        "no templating",
        "`{{ ref('x') }}` and `{% ... %}` are dbt's templating; SQL files are plain SQL here and the order of models follows from the tables they read. Write the table's name: `{{ ref('x') }}` becomes `silver.x`.",
    ),
    code(
        "P0108",
        "clause given twice",
        "Each clause of a statement may come once, in any order. For example two PARTITIONED BY clauses. Merge them into one: `PARTITIONED BY (days(ts), bucket(16, id))`.",
    ),
    code(
        "P0109",
        "unknown clause",
        "A word stands where a clause was expected, but no clause begins with it. For example `PARTITION BY (days(ts))` in a head: the clause is PARTITIONED BY. The first AS after the clauses begins the query.",
    ),
    code(
        "P0110",
        "the query is missing",
        "A view, or a materialized view, is its query, so it needs one: `CREATE MATERIALIZED VIEW gold.stats AS SELECT ...`. Only a streaming table may stand without, and is then fed by flows.",
    ),
    code(
        "P0111",
        "the query does not parse",
        "The body after AS is not a query that DataFusion's parser accepts. The message is the parser's own, with the place where it stopped. Bodies are plain DataFusion SQL: SELECT, WITH, VALUES, UNION.",
    ),
    code(
        "P0112",
        "the expression does not parse",
        "An expression of a head, such as EXPECT (...), FROZEN WHERE (...) or DEFAULT, is not one that DataFusion's parser accepts. The place shown is where it stopped.",
    ),
    code(
        "P0113",
        "nested too deeply",
        "Parentheses, types, subqueries or chains of operators nest deeper than the parser allows, which protects it from exhausting its stack. Break the query into temporary views, or write long OR chains as IN lists.",
    ),
    code(
        "P0114",
        "unbalanced parenthesis",
        "A parenthesis was opened and not closed before the statement's end, or closed without being opened. The place shown is the one without a partner.",
    ),
    code(
        "P0115",
        "STREAM before something that is not a table",
        "STREAM marks a table that is read row by row as it grows: `FROM STREAM bronze.events`. It stands before the name of a table, not before a subquery, a function or a VALUES list. Quote it (\"stream\") if a table of that name is meant.",
    ),
    code(
        "P0116",
        "bad FOR ... AS OF",
        "Time travel is written `t FOR VERSION AS OF 123`, `t FOR VERSION AS OF 'tag or branch'` or `t FOR TIMESTAMP AS OF '2026-01-31 12:00:00'`, behind the table's name and before its alias. Only literals are allowed: the version is a constant of the query.",
    ),
    code(
        "P0117",
        "bad duration",
        "FRESHNESS takes `INTERVAL 'n' unit` with a positive whole number and one of SECOND, MINUTE, HOUR, DAY or WEEK, or the unit inside the string: `FRESHNESS INTERVAL '5' MINUTE`, or the word DOWNSTREAM. Months and years have no fixed length.",
    ),
    code(
        "P0118",
        "bad path",
        "The FROM of a source's column is a JSON path from the message's root: `'$.a'`, `'$.a.b'`, `'$.a[\"b c\"][0]'`. It begins with $ and has no wildcards or filters.",
    ),
    code(
        "P0119",
        "unknown word",
        "A word stands where one of a few words was expected, for example `FORMAT PLAN` instead of FORMAT PLAIN. The message lists the words that may stand there.",
    ),
    code(
        "P0120",
        "bad number",
        "A number of a head is missing, negative, not whole or too large, such as the buckets of `bucket(16, id)` or the digits of DECIMAL(p, s).",
    ),
    code(
        "P0121",
        "empty list",
        "A list in parentheses needs at least one entry: `PARTITIONED BY ()` says nothing. Write the entries, or leave the clause out.",
    ),
    code(
        "P0122",
        "the clause does not belong to this statement",
        "The clause exists, but not for statements of this kind: for example ON DECODE ERROR belongs to a streaming table, which decodes, not to a materialized view.",
    ),
    code(
        "P0123",
        "${...} is not expanded here",
        "Variables of the environment expand in the values of WITH and ENCODE only, so that a query never depends on the machine that runs it. Elsewhere `${NAME}` is plain text. If it is meant as text, nothing need be done: this is a warning.",
    ),
    code(
        "P0124",
        "text after the query",
        "The query was read to its end, and something that does not belong to it follows. Often a comma or an operator is missing just before, or a `;` between two statements.",
    ),
    code(
        "P0125",
        "a clause stands after the query",
        "Clauses such as PARTITIONED BY, COMMENT or TBLPROPERTIES come before AS; the query is the last part of a statement. Move the clause up.",
    ),
    code(
        "P0126",
        "a required part is missing",
        "A statement lacks a part it cannot do without, such as WITH, FORMAT or ENCODE of a source. The message names it and shows how it is written.",
    ),
    code(
        "P0127",
        "the statement cannot be printed faithfully",
        "`ingot fmt` checks that its result means the same and keeps every comment, and found that it would not. The file is left as it is. Please report the statement.",
    ),
    code(
        "P0128",
        "the parser failed",
        "The SQL parser stopped on its own fault rather than on yours. The statement is refused; please report it. Rewriting the query usually helps.",
    ),
    code(
        "P0129",
        "only a query may stand here",
        "One query is expected: SELECT, WITH, VALUES or a parenthesised query. Several statements separated by `;` are not accepted in this place.",
    ),
    code(
        "P0130",
        "the statement is too large",
        "A statement has more words and signs, or reads more queries and tables, than may be planned in a bounded time; a CTE counts for each time that it is read. Break it into several views, or put long lists of values into a table and join it.",
    ),
];
