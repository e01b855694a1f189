//! U: parsed and understood, but not built yet. Nothing is ever ignored in silence.

use super::info::{CodeInfo, code};

pub(super) const CODES: &[CodeInfo] = &[
    code(
        "U0101",
        "AUTO CDC is not supported yet",
        "`CREATE FLOW ... AS AUTO CDC INTO` is parsed but not run. For the latest row of each key, write a materialized view with `QUALIFY row_number() OVER (PARTITION BY key ORDER BY seq DESC) = 1`.",
    ),
    code(
        "U0102",
        "flows are not supported yet",
        "`CREATE FLOW` is parsed but not run. Give the streaming table its own query, one for each source, and UNION ALL the tables in a view.",
    ),
    code(
        "U0103",
        "Avro is not supported yet",
        "`ENCODE AVRO` is parsed but not decoded. Until then `ENCODE BYTES` keeps the messages as they are, or produce JSON.",
    ),
    code(
        "U0104",
        "Protobuf is not supported yet",
        "`ENCODE PROTOBUF` is parsed but not decoded. Until then `ENCODE BYTES` keeps the messages as they are, or produce JSON.",
    ),
    code(
        "U0105",
        "CSV is not supported yet",
        "`ENCODE CSV` is parsed but not decoded. Until then `ENCODE BYTES` keeps the messages as they are, and split_part() takes them apart in a view.",
    ),
    code(
        "U0106",
        "seeds are not supported yet",
        "`CREATE TABLE ... FROM 'seeds/x.csv'` is parsed but not loaded. Small constant tables can be written as a view: `CREATE MATERIALIZED VIEW silver.kinds AS SELECT * FROM (VALUES ('car'), ('bike')) AS t(kind)`.",
    ),
    code(
        "U0108",
        "tests in SQL files are not supported yet",
        "`CREATE TEST` is parsed but not run. `ingot verify` compares every table with its query over the real data.",
    ),
    code(
        "U0109",
        "WATERMARK is not supported yet",
        "`WATERMARK FOR c AS e` is parsed, but lateness is not judged yet. Remove it; filter late rows in a materialized view if they matter.",
    ),
    code(
        "U0110",
        "ON LATE is not supported yet",
        "ON LATE other than ACCEPT needs WATERMARK, which is not supported yet. Remove the clause: late rows are accepted.",
    ),
    code(
        "U0111",
        "FROZEN WHERE is not supported yet",
        "FROZEN WHERE is parsed, but rows are not kept from changing yet. Remove the clause: the view equals its query in all its rows.",
    ),
    code(
        "U0112",
        "BACKFILL is not supported yet",
        "BACKFILL FROM is parsed, but a table's history cannot be taken from another one yet. Remove the clause, and UNION ALL both in a view.",
    ),
    code(
        "U0113",
        "FRESHNESS of a table is not supported yet",
        "FRESHNESS is parsed, but all tables follow `run.freshness`. Remove the clause, or set `run.freshness` in ingot.toml.",
    ),
    code(
        "U0114",
        "FORMAT UPSERT and DEBEZIUM are not supported yet",
        "Only FORMAT PLAIN is read: every message is a row. Keep the messages so, and take the latest row of each key in a materialized view.",
    ),
    code(
        "U0115",
        "KEY ENCODE is not supported yet",
        "The key is not decoded. `INCLUDE KEY AS k` gives its bytes, and `CAST(k AS VARCHAR)` or decode functions read them.",
    ),
    code(
        "U0116",
        "ON SCHEMA CHANGE is not supported yet",
        "Only ON SCHEMA CHANGE IGNORE, the default, is built: fields that are not declared are ignored. For JSON, `ENCODE JSON (unknown_fields = 'error')` refuses them.",
    ),
    code(
        "U0117",
        "FOR ... AS OF in a model is not supported yet",
        "A model reads the current state of its inputs. Time travel works in queries of `ingot sql` and of clients. Remove the clause from the model.",
    ),
    code(
        "U0118",
        "commands in files are not supported",
        "REFRESH, EXPLAIN REFRESH, SHOW and ALTER TABLE ... EXECUTE act at once and do not belong to a project's files. Use the command line: `ingot refresh gold.stats`.",
    ),
    code(
        "U0119",
        "streaming table without a query",
        "A streaming table without AS is fed by flows, which are not supported yet. Give it a query: `AS SELECT * FROM STREAM source`.",
    ),
    code(
        "U0120",
        "key of a source is not supported yet",
        "PRIMARY KEY of a source serves FORMAT UPSERT and DEBEZIUM, which are not supported yet. Remove it; a view's list may declare `PRIMARY KEY (id) NOT ENFORCED`.",
    ),
    code(
        "U0121",
        "precision over microseconds is not supported yet",
        "Precision over 6 is not written, in tables of Iceberg's format version 3 neither. Use TIMESTAMP or TIMESTAMPTZ with microseconds.",
    ),
    code(
        "U0123",
        "connector is not supported yet",
        "Only `connector = 'kafka'` is built. Bring the data into a Kafka topic first.",
    ),
    code(
        "U0124",
        "query feature is not supported",
        "The parser reads this part of SQL, but the planner refuses it, for example PIVOT, MATCH_RECOGNIZE or a lateral join with LIMIT. Rewrite the query without it.",
    ),
    code(
        "U0125",
        "QUARANTINE of a streaming table is not supported yet",
        "Rows of a streaming table that break an expectation cannot go to a quarantine table yet. Keep them in the streaming table, and put the expectation with QUARANTINE INTO on a materialized view over it. WARN, DROP ROW and FAIL UPDATE work on both.",
    ),
    code(
        "U0126",
        "the query engine cannot run the query",
        "`ingot check` makes the plan of every query and runs it over a few generated rows: none, plain ones, NULLs, duplicates, the least and greatest values of each type. The query engine could not, or broke down, whatever the values, so that the table could never be built or refreshed. The help names another way to write it. A division by zero, an overflow or a cast that does not fit is not refused: it depends on the rows.",
    ),
    code(
        "U0501",
        "the result depends on chance",
        "random(), uuid() and their like give another result at every evaluation, so a table could never equal its query. Derive the value from columns: `sha256(id)`, or an offset.",
    ),
    code(
        "U0502",
        "LIMIT without ORDER BY",
        "LIMIT alone takes any rows, so a table could never equal its query. Add ORDER BY; ties are broken by the other columns.",
    ),
    code(
        "U0503",
        "TABLESAMPLE is not supported",
        "The query engine accepts TABLESAMPLE and then ignores it, which would give wrong results. Filter by a hash of the key instead.",
    ),
    code(
        "U0506",
        "approximate aggregates are not supported",
        "approx_median and the approximate percentiles depend on the order in which rows come, so a table could never equal its query. median(x) and percentile_cont are exact.",
    ),
    code(
        "U0507",
        "the result depends on the order of peers",
        "first_value, last_value, nth_value, array_agg and string_agg over a RANGE or GROUPS frame pick among rows of equal order by chance. Write `ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW`: its ties are broken by all columns.",
    ),
    code(
        "U0508",
        "the type has no order",
        "DISTINCT, DISTINCT ON and windows need a total order of their rows, and a column below has a type without one, such as MAP: two maps with the same entries in another order would be two values. Nor can a MAP be a key of GROUP BY, ORDER BY or a join, or be compared, collected or chosen by an aggregate. Clients' statements cannot group, join, sort or compare by one either. Leave the column out below, or take a value out of it: `m['a']`, `map_keys(m)`.",
    ),
    code(
        "U0509",
        "the key of the join is not known",
        "In `a FULL JOIN b USING (k)` and `a RIGHT JOIN b USING (k)` a bare `k` is the key of the side that has the row. Which side has a column must be plain from the text: NATURAL does not say, nor does USING after a join of several tables whose key it does not share, nor a changed `*`. Name the keys, or write `ON a.k = b.k` and `coalesce(a.k, b.k) AS k`.",
    ),
    code(
        "U0510",
        "a subquery in the ON of an outer join looks at both of its sides",
        "In the ON of an outer join a subquery (IN, EXISTS, ANY, ALL, a value) becomes a column of one side of the join, so it may look at columns of that side alone. Compute it in a subquery below, as a column of one side, or move the condition to WHERE.",
    ),
    code(
        "U0511",
        "the pattern is not a constant text",
        "SIMILAR TO, and LIKE with an ESCAPE character other than the backslash, have a pattern language that the query engine does not have. A pattern that is a constant text is translated when the query is planned; one that comes from a column cannot be. ESCAPE takes one character, or none. Write the pattern as a text, or use regexp_like(value, pattern).",
    ),
    code(
        "U0512",
        "UNNEST of an outer column is not supported here",
        "`FROM t CROSS JOIN UNNEST(t.list) AS x(v)` and `LEFT JOIN UNNEST(t.list) AS x(v) ON TRUE` give a row its own items. A LEFT JOIN with a condition on the items, and subqueries over UNNEST of a column of the query around them (a value, EXISTS, IN), are not built. For EXISTS and IN write `array_has(t.list, value)`, or SELECT DISTINCT over CROSS JOIN UNNEST with WHERE; for a value `array_sum`, `array_avg`, `array_min`, `array_max`, `array_length`, or CROSS JOIN UNNEST with GROUP BY the table's key; for a LEFT JOIN with a condition keep the items in a view or subquery and LEFT JOIN that by the table's key.",
    ),
    code(
        "U0513",
        "LIMIT in a correlated subquery is not supported",
        "A subquery that looks at the query around it becomes a join, and a join has no first row. Number the rows in a view or subquery, `row_number() OVER (PARTITION BY key ORDER BY ...) AS n`, and LEFT JOIN those with `n = 1`; or LEFT JOIN the min or max by key.",
    ),
    code(
        "U0514",
        "ORDER BY of a SELECT DISTINCT computes with a column that the output hides",
        "Within an expression of ORDER BY a name is the input's column, also where an output column has the same name: `SELECT DISTINCT -b AS b FROM t ORDER BY abs(b)` asks for the b of t, and the distinct rows have none. A name that stands alone is the output's. Give the output column another name, or select the expression and order by its name.",
    ),
    code(
        "U0515",
        "this correlated subquery is not supported",
        "A subquery that looks at the query around it is answered by joins: any condition will do, below aggregates, windows, DISTINCT, joins and set operations, and several queries up. Not answered are ROLLUP, CUBE and GROUPING SETS, OFFSET, LATERAL and WITH RECURSIVE within it, values without an aggregate whose type has no order, and ORDER BY of a subquery that looks at a column which SELECT DISTINCT left out. Where no single join will do, the rows around are read twice, so they must be the same each time: rows below a LIMIT or DISTINCT ON, of `random()` or of float sums are not; keep them in a view below. Or write a join: `LEFT JOIN (SELECT id, count(*) AS n FROM o GROUP BY id) AS s ON s.id = t.id`, with `coalesce(s.n, 0)`.",
    ),
    code(
        "U0516",
        "this construct is not supported",
        "The grammar knows it, and the query engine does not: PIVOT, MATCH_RECOGNIZE, ASOF JOIN, CONNECT BY, PREWHERE, CONVERT, COLLATE other than \"C\", INTERVAL from one unit to another, FETCH .. WITH TIES, FOR UPDATE, hints to a table, and DISTINCT, ORDER BY or FILTER of a function that is no aggregate. Some of them it would drop in silence. The hint says what to write instead.",
    ),
];
