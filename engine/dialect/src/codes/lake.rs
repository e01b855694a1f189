//! L: catalog and storage, and Q: serving.

use super::info::{CodeInfo, code, passing};

pub(super) const CODES: &[CodeInfo] = &[
    code(
        "L0101",
        "lake settings cannot be used",
        "A setting of [catalog], [warehouse] or [s3] cannot be used as it is: a location that is neither a folder nor `s3://bucket/prefix`, a catalog that is not a local SQLite file. The message names it.",
    ),
    passing(
        "L0102",
        "catalog error",
        "The catalog did not answer, or answered with an error; the message is the database's own. Check `catalog.uri`, free space and permissions. The SQLite file must lie on a local file system.",
    ),
    passing(
        "L0103",
        "object store error",
        "An object could not be read from or written to the warehouse; the message is the store's own. Check `warehouse.location`, the s3 settings and the credentials.",
    ),
    passing(
        "L0104",
        "file system error",
        "A file of a local warehouse could not be read, written or made durable; the message is the system's own. Check free space and permissions.",
    ),
    code(
        "L0105",
        "file is missing",
        "A file that the table points at is not in the warehouse: somebody deleted it. Restore it, or roll the table back. A view can be computed again with `ingot refresh TABLE --full`.",
    ),
    passing(
        "L0106",
        "Iceberg metadata error",
        "A metadata or manifest file could not be read or built; the message is the Iceberg library's. If it comes again, the file is damaged: restore it from a backup, or register an older metadata file.",
    ),
    code(
        "L0107",
        "table already exists",
        "A table of this name is in the catalog, made by another process since the plan. Run again: the table is then found.",
    ),
    code(
        "L0108",
        "table does not exist",
        "The catalog has no table of this name. It may not have been built yet: `ingot run --once` builds it.",
    ),
    code(
        "L0109",
        "table uses a feature that is not supported",
        "The table holds something that this version cannot read rightly, such as data files in ORC, a format version above 3, an unknown partition transform or a column of the type `variant`. It is refused rather than read wrongly. Another engine can rewrite it; `docs/lake.md` has the list. A table with a column of a type that is not read is read without it and never written.",
    ),
    code(
        "L0110",
        "definition cannot be stored",
        "The columns, partitions or sort order are none that an Iceberg table can have, or none that this table can change to in place. Rename the column, or rebuild the table with `ingot refresh TABLE --full`.",
    ),
    code(
        "L0111",
        "NULL in a NOT NULL column",
        "Rows to be written hold NULL in a column that is declared NOT NULL, so nothing of the update was stored. Mend the rows, drop them with an expectation ON VIOLATION DROP ROW, or declare the column without NOT NULL.",
    ),
    code(
        "L0112",
        "value does not fit the column",
        "A computed value does not fit the stored type, for example an unsigned number above the largest BIGINT, or a decimal with too many digits. Nothing of the update was stored. Cast it to a wider type in the query.",
    ),
    code(
        "L0113",
        "Parquet error",
        "A data file could not be written or read as Parquet; the message is the library's. If it comes again on the same file, the file is damaged: restore it, or compute the table again with `ingot refresh TABLE --full`.",
    ),
    code(
        "L0114",
        "Arrow error",
        "Rows could not be brought into the table's columns; the message is the library's. Please report it with the table's definition.",
    ),
    code(
        "L0115",
        "scan failed",
        "The query engine could not plan or run the scan of a table; the message is its own. If it names memory, allow more with `run.memory_bytes_max`.",
    ),
    code(
        "L0116",
        "snapshot is gone",
        "A snapshot that was asked for is no longer among the table's snapshots, so its rows cannot be read any more. Read a later one, or keep snapshots longer.",
    ),
    code(
        "L0117",
        "metadata contradicts itself",
        "The table's metadata, its properties or its files contradict each other, for example a schema that names a missing column. Restore an older metadata file, or compute the table again with `ingot refresh TABLE --full`.",
    ),
    code(
        "L0118",
        "metadata file is damaged",
        "A table's metadata file, manifest list or manifest is stored whole and cannot be parsed: it was cut off, or something else wrote there. That table stops, and so do the views that read it; all others go on, and lists show it without columns. Restore the file from a backup, or register an older one of the table's metadata folder with another engine. `run` must be started again afterwards.",
    ),
    code(
        "L0119",
        "there is no lake",
        "The warehouse has no catalog, so there is nothing to read: `warehouse.location` or `catalog.uri` is mistyped, or nothing was built yet. Reading makes no folder and no catalog; `ingot run` does.",
    ),
    code(
        "L0120",
        "table belongs to another project",
        "The table's property `ingot.project` names another project than `project.name`. Two projects that write one table would undo each other's work, so the second one is refused. Rename the table, set `namespace_prefix`, or give both the same `project.name` if they are one. To take a table over, remove the property with another engine: the next commit sets this project's name.",
    ),
    passing(
        "L0121",
        "another commit came first",
        "Another writer committed to the table first, which makes this change moot: nothing of it is in the table. The next attempt is planned on the table as it is then; nothing is lost or doubled.",
    ),
    code(
        "L0122",
        "outcome of a commit is unknown",
        "The catalog did not answer whether a commit was made, and it could not be found out. Work on the table stops rather than risk rows twice; its files are kept. Run again when the catalog answers: the commit is then found by its id.",
    ),
    code(
        "L0131",
        "no position is recorded",
        "The table holds rows of a topic, but its snapshots do not record up to which offsets. Another engine wrote them, so going on could skip or double messages. `ingot refresh TABLE --full` reads the topic again.",
    ),
    code(
        "L0132",
        "the position's snapshots are gone",
        "The snapshots that recorded the offsets of a streaming table are gone, and the copy in the table's properties does not fit the table as it is. `ingot refresh TABLE --full` reads the topic again.",
    ),
    code(
        "L0133",
        "positions cannot be read",
        "The offsets that a snapshot or a property of the table records are not readable, because something else wrote there. `ingot refresh TABLE --full` reads the topic again.",
    ),
    code(
        "L0134",
        "what a snapshot records cannot be read",
        "A property in which a snapshot or a table records what it was computed from, where it began or how many rows it holds does not parse, because something else wrote there. Going on would mean to guess. Roll the table back to an older snapshot, or compute it again with `ingot refresh TABLE --full`.",
    ),
    passing(
        "L0135",
        "an external table does not exist",
        "A table that the project declares with CREATE EXTERNAL TABLE is not in the catalog. Ingot never creates it: another engine does. What reads it waits, the others go on. Check its name and `catalog.uri`; an `[env]` overlay's `namespace_prefix` does not apply to it.",
    ),
    code(
        "L0136",
        "an external table is not as declared",
        "The stored table lacks a column that CREATE EXTERNAL TABLE declares, or has it in another type. Types must be the same, since a view's results follow from them: after another engine has promoted `INT` to `BIGINT`, declare BIGINT. The stored table may have more columns, in any order; a column that is NOT NULL there may be declared without it, but not the other way round. `ingot infer layer.table` prints the statement that fits.",
    ),
    passing(
        "L0141",
        "lease is held",
        "Another process writes to this warehouse; two would only get in each other's way. Stop it, or wait: the lease goes with its process. Reading and `plan` need no lease.",
    ),
    code(
        "L0142",
        "lock file cannot be used",
        "The file beside the catalog that holds the lease cannot be opened or locked; the message is the system's own. Check permissions, and that it lies on a local file system.",
    ),
    code(
        "L0143",
        "no such upkeep",
        "`ALTER TABLE t EXECUTE` was given a parameter that the command has not, a value that it does not take, or a condition on something other than partition columns. `optimize` takes `file_size_threshold => '128MB'` and `WHERE` over columns that the table is partitioned by, `expire_snapshots` and `remove_orphan_files` take `retention_threshold => '7d'`, `rewrite_manifests` takes nothing.",
    ),
    code(
        "L0144",
        "retention too short",
        "`retention_threshold` is below what is safe: snapshots are kept for `upkeep.snapshots-min-age` at least, because queries that run read them, and a file that nothing names is left for three days, because a commit in flight may be about to name it.",
    ),
    code(
        "Q0101",
        "syntax error",
        "The statement is not SQL that the server's parser accepts. The message has the place where it stopped.",
    ),
    code(
        "Q0102",
        "unknown name",
        "The query names a table, column or function that does not exist. Tables are written `layer.table`; unquoted names fold to lower case. The message lists near ones.",
    ),
    code(
        "Q0103",
        "type error",
        "The query gives an operator or a function types that it does not take. Cast one side: `CAST(x AS DOUBLE)`.",
    ),
    code(
        "Q0104",
        "statement is refused",
        "The server only reads: CREATE, INSERT, UPDATE, DELETE, SET and COPY are refused. Tables are declared in the project's SQL files.",
    ),
    code(
        "Q0105",
        "bad parameter",
        "A prepared statement was given too few or too many parameters, or one of a wrong type. The message says which.",
    ),
    code(
        "Q0106",
        "not found",
        "A prepared statement or ticket is unknown: it was closed, expired, changed on its way, or made by another server or before a restart. Run or prepare the statement again. Servers behind one address share tickets with serve.ticket-key-file.",
    ),
    code("Q0107", "cancelled", "The query was cancelled by its client, or because the server is stopping."),
    passing(
        "Q0108",
        "out of resources",
        "The query needs more memory than it may have. Select fewer columns or rows, or aggregate earlier. The server itself is unharmed.",
    ),
    code(
        "Q0109",
        "internal error",
        "The server met a state it should never be in. Other queries are not affected. Please report the query and the message.",
    ),
    passing(
        "Q0110",
        "temporarily unavailable",
        "The server could not read the catalog or the warehouse, or could not listen or go on. Try again; the message has the cause.",
    ),
    code(
        "Q0111",
        "not supported",
        "The statement is understood, but this engine does not carry out a part of it. The message names the part. Rewrite the query without it.",
    ),
    code(
        "Q0112",
        "the rows do not allow it",
        "A row made the query fail: a division by zero, a cast of a value that does not fit, a number out of range. Use TRY_CAST or NULLIF, or filter such rows.",
    ),
    passing(
        "Q0113",
        "snapshot is gone",
        "The query was planned on a snapshot that has gone since, or its table was made anew or got other columns. Run the query again: it then reads the table as it is.",
    ),
    code(
        "Q0114",
        "address is not loopback",
        "`serve.listen` is an address that other machines can reach, and there is no authentication or TLS yet. Listen on 127.0.0.1, and let a proxy or a tunnel decide who may connect.",
    ),
    code(
        "Q0115",
        "statement is too large",
        "The statement nests too deeply, chains too many operators, is too long, or reads too many queries and tables (a CTE counts for each time that it is read). Such statements would hold the server's threads for others. Break it into several, write long OR chains as IN lists, and join long lists of values instead of writing them out.",
    ),
    code(
        "Q0116",
        "planning took too long",
        "The statement was within the bounds of its size and still could not be planned in time, so planning was given up. Other queries are not affected. Make it simpler: fewer joins, subqueries and repeated expressions.",
    ),
    code(
        "Q0117",
        "table cannot be read",
        "The metadata of a table that the query names is damaged or gone; the message has its file. Other tables are served as ever, and lists show this one without columns. Restore the file from a backup, or register an older one.",
    ),
    passing(
        "Q0118",
        "table is not built yet",
        "The project declares the table, and its first rows are not there yet. It is served from the moment it is built, with all of them at once, and never as an empty table before. `ingot run` builds it; `ingot status` says where it stands.",
    ),
];
