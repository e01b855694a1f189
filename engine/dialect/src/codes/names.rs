//! N: names that mean nothing, or more than one thing.

use super::info::{CodeInfo, code};

pub(super) const CODES: &[CodeInfo] = &[
    code(
        "N0101",
        "unknown table",
        "A query reads a table that no file of the project declares. For example `FROM silver.vehicle_event`. Published tables have two parts, `layer.table`; temporary views one, and are known in their own file only.",
    ),
    code(
        "N0102",
        "unknown source",
        "A streaming table reads `STREAM x`, and no CREATE SOURCE x exists in the project. Sources have one part and are known project-wide. Declare it, or mend the name.",
    ),
    code(
        "N0103",
        "unknown column",
        "A query names a column that its tables do not have. Unquoted names fold to lower case: on a column \"vehicleId\", `WHERE vehicleId = 1` looks for vehicleid. Write \"vehicleId\" with its quotes, or declare the column in lower case with FROM '$.vehicleId'.",
    ),
    code(
        "N0104",
        "unknown function",
        "A query calls a function that DataFusion does not have under this name. The message suggests the nearest. Some names differ from other engines': Trino's `listagg` is `string_agg` here, Spark's `collect_list` is `array_agg`.",
    ),
    code(
        "N0105",
        "ambiguous column",
        "A column's name exists in more than one table of the query. Qualify it with the table or its alias: `e.id` rather than `id`. Or two relations of one FROM are called the same (`FROM bronze.orders, orders`): give one of them an alias.",
    ),
    code(
        "N0106",
        "wrong kind of name",
        "Published tables and views have two parts, `layer.table`, or more where the namespace has levels, `sales.eu.orders`; sources and temporary views have one. The catalog's own name may stand first. Names beginning with `_ingot`, of columns too, and the layer `information_schema` are reserved.",
    ),
    code(
        "N0107",
        "duplicate name",
        "Two statements of the project declare the same name. The note shows the other place. Rename one, or delete it.",
    ),
    code(
        "N0108",
        "names differ only in case",
        "Two names that differ only in upper and lower case cannot be told apart by engines that fold names, such as Trino and Hive. Rename one.",
    ),
    code(
        "N0109",
        "cycle",
        "Tables read each other in a circle, so none can be computed first. The note lists the circle. Break it by reading an earlier layer.",
    ),
    code(
        "N0110",
        "more than one published table in a file",
        "A file declares one published table, with the sources, temporary views and tests it needs beside it. This keeps a table findable by its path. Move the second table into a file of its own.",
    ),
    code(
        "N0111",
        "side table has two owners",
        "Two tables write rejected rows INTO the same quarantine or error table. Each side table belongs to one table, whose recovery it follows. Give each its own, and UNION ALL them in a view.",
    ),
    code(
        "N0112",
        "name with capitals",
        "A quoted name holds capitals. It works here, but Trino and Hive fold names to lower case and then do not find it. Prefer lower case: this is a warning.",
    ),
    code(
        "N0113",
        "name of a column with capitals",
        "An output column's name holds capitals, which engines that fold names cannot address without care. Prefer `AS vehicle_id`: this is a warning.",
    ),
    code(
        "N0114",
        "unknown layer or catalog",
        "What stands before the layer must be the configured catalog's name, `ingot` unless `catalog.name` says otherwise. Leave it out, or mend it.",
    ),
    code(
        "N0201",
        "streaming table reads a table as a whole",
        "A streaming table takes new rows as they come, so its input is marked with STREAM. `FROM bronze.x` would mean the whole table again and again. Write `FROM STREAM bronze.x`, or declare a MATERIALIZED VIEW.",
    ),
    code(
        "N0202",
        "STREAM outside a streaming table",
        "A view always equals its query over whole tables; STREAM has no meaning there. Write `FROM bronze.x`, without STREAM, or declare a STREAMING TABLE.",
    ),
    code(
        "N0203",
        "query of a streaming table is not append-only",
        "A streaming table never changes rows that it wrote, so its query may filter and compute, row by row, over one STREAM. Aggregates, joins, DISTINCT, windows, ORDER BY and LIMIT need a MATERIALIZED VIEW.",
    ),
    code(
        "N0204",
        "STREAM over a table whose rows change",
        "STREAM reads rows as they are appended. A materialized view's rows are also replaced and deleted, so it cannot be read as a stream. Read it as a whole in another materialized view.",
    ),
    code(
        "N0205",
        "streaming table reads several streams",
        "A streaming table reads exactly one STREAM. Declare one streaming table for each source and UNION ALL them in a view.",
    ),
    code(
        "N0206",
        "a view reads a source",
        "A source is a stream of messages, not a table: only a streaming table reads one, and keeps its rows. Declare `CREATE STREAMING TABLE bronze.x AS SELECT * FROM STREAM x`, and read bronze.x in the view.",
    ),
    code(
        "N0310",
        "output column has no name",
        "Every output expression has a name, because the name becomes the column of a table others read. `count(*)` has none: write `count(*) AS total`.",
    ),
    code(
        "N0311",
        "duplicate output column",
        "Two output columns have the same name, for example `a.id, b.id` of a join. Give one another name: `b.id AS other_id`.",
    ),
    code(
        "N0312",
        "no output columns",
        "The query has no output columns, so the table would have none. Select at least one.",
    ),
    code(
        "N0313",
        "declared column is not in the output",
        "A column is described in the list after the table's name, but the query does not produce it. The list annotates columns by name; it never adds or casts. Mend the name, or add it to the query.",
    ),
    code(
        "N0314",
        "unknown column in a clause",
        "PARTITIONED BY, SORTED BY or a similar clause names a column that the query does not produce. Columns there are output columns: add it to the query, or mend the name.",
    ),
    code(
        "N0315",
        "unknown column in PRIMARY KEY",
        "PRIMARY KEY names a column that the query or the source does not have. Mend the name. The key is not enforced: it is a hint to planners and readers.",
    ),
    code(
        "N0316",
        "duplicate column in a list",
        "A list of columns names the same column twice, for example `PRIMARY KEY (id, id)`. Remove one.",
    ),
    code(
        "N0317",
        "duplicate expectation",
        "Two CONSTRAINT ... EXPECT of a statement have the same name. The name identifies the rule in reports: give each its own.",
    ),
    code(
        "N0318",
        "unknown table in an INTO clause",
        "ON DECODE ERROR INTO, QUARANTINE INTO and ON LATE INTO create the table they name: it must have two parts, and no other statement may declare it.",
    ),
];
