//! T: types that do not fit.

use super::info::{CodeInfo, code};

pub(super) const CODES: &[CodeInfo] = &[
    code(
        "T0101",
        "type mismatch",
        "An operator or a function was given types it does not take, for example `lat + type` with a string. Cast one side: `CAST(x AS DOUBLE)`.",
    ),
    code(
        "T0102",
        "unknown type",
        "A word stands where a type was expected. Types are TINYINT, SMALLINT, INT, BIGINT, REAL, DOUBLE, BOOLEAN, DECIMAL(p, s), STRING, BINARY, UUID, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, JSON, T[], ARRAY<T>, STRUCT<a T>, MAP<K, V>.",
    ),
    code(
        "T0103",
        "expectation is not boolean",
        "CONSTRAINT ... EXPECT (e) needs an expression that is TRUE, FALSE or NULL; only TRUE passes. For example `EXPECT (battery)` should be `EXPECT (battery IS NOT NULL)`.",
    ),
    code(
        "T0104",
        "durations cannot be stored",
        "Iceberg has no type for intervals and durations, and `ts2 - ts1` is one. Store a number: `extract(epoch FROM ts2 - ts1)` gives seconds.",
    ),
    code(
        "T0105",
        "NULL without a type",
        "An output column is a bare NULL, whose type nothing tells. Write `CAST(NULL AS VARCHAR) AS note` with the type that is meant.",
    ),
    code(
        "T0106",
        "type cannot be stored",
        "An output column has a type that Iceberg cannot hold. The message names it. Cast it to a type that can be stored, such as VARCHAR, BIGINT or TIMESTAMPTZ.",
    ),
    code(
        "T0107",
        "partition transform does not fit the type",
        "years, months and days need a DATE or a timestamp, hours a timestamp, truncate a number or a string, bucket anything but floats and booleans. For example `days(id)` over a string. Choose another column or transform.",
    ),
    code(
        "T0108",
        "declared type differs from the query's",
        "The list after a table's name annotates columns and never casts. If it names a type, the query must produce it: write `CAST(x AS ...)` in the query, or leave the type out.",
    ),
    code(
        "T0109",
        "length is not enforced",
        "`VARCHAR(20)` is accepted, but Iceberg strings have no length and none is checked. Leave it out, or add `CONSTRAINT short EXPECT (length(x) <= 20)`: this is a warning.",
    ),
    code(
        "T0110",
        "precision cannot be stored",
        "Times have microseconds: a precision over 6, as in TIMESTAMP(9), is not written. Likewise DECIMAL has at most 38 digits, and its scale at most as many as its precision.",
    ),
    code(
        "T0111",
        "default does not fit the column",
        "The DEFAULT of a source's column must be a literal of the column's type: `battery DOUBLE DEFAULT 0.0`. Write it in the column's type.",
    ),
    code(
        "T0113",
        "map keys must be simple",
        "The keys of a MAP must be of a type that can be compared: strings, numbers, dates. Structs, lists and maps cannot be keys.",
    ),
    code(
        "T0114",
        "the query cannot be planned",
        "The words are right, but they do not fit together: a column beside an aggregate that is not grouped, a function with the wrong number of arguments, branches of a UNION of different width. The message is the query engine's own.",
    ),
    code(
        "T0115",
        "ENCODE BYTES needs one BINARY column",
        "ENCODE BYTES gives the whole message to one column, so the source declares exactly one, of type BINARY and without FROM: `CREATE SOURCE raw (payload BINARY)`. INCLUDE columns may stand beside it.",
    ),
    code(
        "T0116",
        "the share of a quantile is none",
        "percentile_cont, quantile_cont and their like take a share of the rows: a constant from 0.0 to 1.0, neither NULL nor NaN, and the same for all groups. For example `percentile_cont(0.9) WITHIN GROUP (ORDER BY x)`. Per cents are divided by 100. The number of centroids behind it is a constant from 1 on.",
    ),
    code(
        "T0117",
        "a column of an external table has no type",
        "Another engine writes the table, and `check` asks no catalog, so that its columns are known from the statement alone: each has a type. `ingot infer layer.table` prints the statement for a table that is stored.",
    ),
];
