//! R: how tables are kept up to date, and why a view sometimes is computed in full.

use super::info::{CodeInfo, code, passing};

pub(super) const CODES: &[CodeInfo] = &[
    code(
        "R0101",
        "not incremental",
        "The view says REFRESH POLICY INCREMENTAL STRICT, but its query can only be computed in full. The note gives the reason and its code. Rewrite the query, or write REFRESH POLICY AUTO.",
    ),
    code(
        "R0107",
        "not incremental: window without PARTITION BY",
        "The view says REFRESH POLICY INCREMENTAL STRICT, but `row_number() OVER (ORDER BY ts)` numbers the whole table, so that one new row may renumber all. Add PARTITION BY, or write REFRESH POLICY AUTO.",
    ),
    code(
        "R0301",
        "execution failed",
        "The query engine could not evaluate a query over the rows there are: a cast that does not fit, a division by zero, an overflow, a result that needs more memory than `run.memory_bytes_max`. The message is the engine's own, and the hint follows its cause. The table keeps its old state. What fails for any rows is refused by `ingot check`.",
    ),
    code(
        "R0302",
        "interrupted",
        "The command was stopped by a signal or by --timeout. What was committed stays; what was not is done again by the next run.",
    ),
    passing(
        "R0303",
        "an input does not exist yet",
        "A table that this one reads has not been built, because its own refresh failed or was left out by --select. Refresh the input first; `run` does so by itself.",
    ),
    passing(
        "R0304",
        "an input has not followed its definition yet",
        "The stored columns of a table that this one reads are not those of its SQL file yet, because its own refresh failed. That failure is reported beside this one: mend it, and this one goes on.",
    ),
    passing(
        "R0305",
        "inputs do not agree yet",
        "Two inputs of a table were computed from different snapshots of the same table below. Reading them together would mix two moments, so the refresh waits until both stand on the same one.",
    ),
    code(
        "R0306",
        "record of a refresh cannot be written",
        "What a refresh records about itself could not be written as JSON. Nothing was committed. Please report it with the message.",
    ),
    code(
        "R0309",
        "a stream's rows changed",
        "A streaming table reads STREAM of another table, and rows of that table were removed or replaced, by another engine or by its own full refresh. A streaming table only appends, so it cannot follow. `ingot refresh TABLE --full` reads the other table again. The same where so many bytes of its files were rewritten that they cannot be compared in memory; `run.memory_bytes_max` allows more. The same where a column of the other table was made anew or changed its type; when it was another engine that dropped a column, a run of the other table puts it back, and this table goes on.",
    ),
    code(
        "R0310",
        "a streaming table's column cannot take this type",
        "A streaming table keeps the rows it has, and a column whose type changes to one that does not hold all the old values is a new column to every reader: the old values would read NULL. Nothing was changed. Cast the expression to the stored type, which the message has, if its values are to stay of that type. Or add a column of another name, or `ingot refresh TABLE --full`, which reads the topic again from where the table began. Where nothing but Ingot's own rules changed since the table was written, an upgrade does not stop: the column keeps its stored type, and `ingot plan` names the cast to write. That needs a definition that was not edited before the first run of the new version.",
    ),
    code(
        "R0311",
        "internal error",
        "A part of the engine failed in a way it never should. The table keeps its state, the others go on. Please report it with the statement and the message.",
    ),
    code(
        "R0312",
        "another process changed the definition",
        "Two processes work on the same streaming table, and the other one was started with other SQL files: its definition now applies. This one stops writing to the table rather than going on by the old definition. Stop whichever of the two is out of date.",
    ),
    passing(
        "R0313",
        "what an input stands on is not known",
        "A table that reads several others must read them at one moment, so each must tell which snapshots of the streaming tables it was computed from. This one does not tell: another writer changed its rows since its last refresh, or its history was cut. Its own next refresh records it again, and then this table goes on; `ingot refresh TABLE --full` of the input does so at once.",
    ),
    passing(
        "R0321",
        "a table that it needs cannot be worked with",
        "A table that this one reads or writes beside its own rows cannot be read, or belongs to another project; the message has that table and its own code. This table waits, the others go on. Mend the other table, and this one goes on by itself.",
    ),
    code(
        "R0500",
        "full recompute: the change cannot be planned",
        "The change of the query could not be worked out by the engine, so every refresh computes the view in full. The reason has the engine's message. The rows are right; they only cost more.",
    ),
    code(
        "R0501",
        "full recompute: join",
        "A join is computed in full, and so are EXCEPT and INTERSECT, which are joins inside. Filters, projections, UNION ALL, GROUP BY and `row_number() ... = 1` are kept incrementally. A view below the join can still be incremental by itself.",
    ),
    code(
        "R0502",
        "full recompute: LIMIT",
        "One new row may push another one out of a LIMIT, or bring one in that is not stored. Number the rows within groups with row_number(), or limit in the query that reads the table.",
    ),
    code(
        "R0503",
        "full recompute: DISTINCT",
        "DISTINCT, DISTINCT ON and UNION without ALL are computed in full. GROUP BY over the same columns, `QUALIFY row_number() OVER (PARTITION BY ... ORDER BY ...) = 1` and UNION ALL are incremental.",
    ),
    code(
        "R0504",
        "full recompute: window function",
        "A window function other than `row_number() ... = 1` over filters and projections is computed in full, for example lag() or a running sum.",
    ),
    code(
        "R0505",
        "full recompute: window without PARTITION BY",
        "A window without PARTITION BY spans the whole table, so one row may change the value of every other. Add PARTITION BY.",
    ),
    code(
        "R0506",
        "full recompute: subquery",
        "A subquery in an expression (IN, EXISTS, or one value) is computed in full, because one changed row of it may change every row.",
    ),
    code(
        "R0507",
        "full recompute: the current time",
        "now(), current_date and their like differ at every refresh, so rows change without any change of the sources. The time is frozen within a refresh. Leave it out of the model, and filter by time in the query that reads the table.",
    ),
    code(
        "R0508",
        "full recompute: volatile function",
        "A function that gives another value each time has no change that could be merged. Such functions are refused in tables (U0501); compute the value from columns.",
    ),
    code(
        "R0509",
        "full recompute: constant rows",
        "VALUES, or SELECT without FROM, is part of no change of a source, so a view with such rows is computed in full. For a small table of constants that costs nothing.",
    ),
    code(
        "R0510",
        "full recompute: the aggregate cannot be merged",
        "count, sum, avg, min and max are kept as states that merge with a change. Others, such as median, string_agg or an aggregate with ORDER BY inside, need all values of a group again; so do sum and avg of types that have no exact state.",
    ),
    code(
        "R0511",
        "full recompute: DISTINCT in an aggregate",
        "count(DISTINCT x) needs all values of a group. Make a view below with GROUP BY over the group and x, and count its rows.",
    ),
    code(
        "R0512",
        "full recompute: grouping sets",
        "GROUPING SETS, ROLLUP and CUBE are not merged. Write one view for each grouping; each of them is incremental.",
    ),
    code(
        "R0513",
        "full recompute: HAVING, or WHERE above a query with GROUP BY",
        "HAVING, or a filter above GROUP BY, leaves no trace of the groups that it drops, and a later row may bring one back. Keep all groups here, and filter in a view above.",
    ),
    code(
        "R0514",
        "full recompute: aggregate below another operator",
        "An aggregate that is not the last step of the query is computed in full. Make it a view of its own, which is incremental, and read that view.",
    ),
    code(
        "R0515",
        "full recompute: filter above the first row of each key",
        "A condition stands beside or above `row_number() ... = 1`. A winner that it drops leaves no trace, so that its duplicate would get in later. Move the condition below, into a temporary view that the query reads.",
    ),
    code(
        "R0516",
        "full recompute: recursive query",
        "WITH RECURSIVE is computed in full: a new row may extend any chain of rows.",
    ),
    code(
        "R0518",
        "full recompute: the type cannot be compared row by row",
        "A column of the result, or a key of GROUP BY, has a type whose values cannot be compared as bytes, for example a MAP. Leave the column out, or store its parts.",
    ),
    code(
        "R0519",
        "full recompute: an operator without a rule",
        "The query has an operator for which no incremental rule exists; the reason names it. The rows are right, but cost a full computation whenever a source changes.",
    ),
    code(
        "R0520",
        "full recompute: REFRESH POLICY FULL",
        "The view says REFRESH POLICY FULL, so every refresh computes all rows. Remove the clause to let changes be merged.",
    ),
    code(
        "R0531",
        "full recompute: the table was written by others",
        "A snapshot that Ingot did not write changed this table, or none of its snapshots was written by Ingot, so what is stored cannot be trusted as a base. It is computed anew, once. Let other engines write to other tables.",
    ),
    code(
        "R0532",
        "rebuild: the definition changed",
        "The query, its expectations, its columns or a view below it changed, so all rows are computed anew. Comments, whitespace, COMMENT, TAGS and POLICY never cause this. `run --no-rebuild` refuses instead.",
    ),
    code(
        "R0533",
        "full recompute: a source was recreated",
        "A source table has another id than the one recorded: it was dropped and made again, so the change between both cannot be told.",
    ),
    code(
        "R0534",
        "a source's snapshot is gone",
        "The snapshot of a source that this table was computed from is no longer there, or none of this table's own snapshots is left that names it, so the change since then cannot be told. A view is computed in full, once. A streaming table stops instead, since it only appends: `ingot refresh TABLE --full` reads the source again. Keep snapshots longer, or refresh more often.",
    ),
    code(
        "R0536",
        "full recompute: hidden state is missing",
        "Files of the table lack the hidden columns that merging needs, because another engine rewrote them. The view is computed in full, once, which restores them.",
    ),
    code(
        "R0537",
        "full recompute: asked for by the policy",
        "The view says REFRESH POLICY FULL, so this refresh computes all rows although its change could be merged.",
    ),
    code(
        "R0538",
        "full recompute: the change is too large",
        "More rows were removed or replaced at once than fit in memory, for example by a rebuild of a source. Computing the view in full is cheaper. Allow more with `run.memory_bytes_max`.",
    ),
    code(
        "R0545",
        "full recompute: a source's column was redefined",
        "A column that the view's source had when it was last read was dropped and made again, or changed to a type that does not hold all its old values. Files from before hold its values under another id, so the change cannot be told from them.",
    ),
    code(
        "R0546",
        "rebuild refused",
        "The definition of a table changed, so that all its rows would be computed anew, and `--no-rebuild` forbids it. `ingot plan` shows which tables. Run without the option, or take the change back.",
    ),
    code(
        "R0547",
        "full recompute: the change of a source is not read",
        "A snapshot of a source that the view stands on holds files that are not read, such as data files in ORC, so that what changed since cannot be told. The view is computed from all rows. Delete files of other engines are followed incrementally.",
    ),
    code(
        "R0548",
        "full recompute: time has moved",
        "The view compares with now() or the current date, so its rows change by themselves: a row leaves `ts > now() - INTERVAL '1 day'` when it is a day old, whether or not new ones come. It is computed again when `run.freshness` has passed since it last was, less often where computing takes long, and is committed only if a row is another one.",
    ),
    code(
        "R0549",
        "rebuild: the stored state does not fit",
        "A view that is merged keeps hidden columns in its data files. Those of this table are not the ones that its way of refreshing reads, because REFRESH POLICY was FULL before, or because this version of Ingot maintains what an earlier one recomputed. The view is built anew, once; its rows stay the same.",
    ),
    code(
        "R0550",
        "rebuild: the rules of SQL's meaning changed",
        "Another version of Ingot computed this view by other rules: types of arithmetic, rounding, NULLs, overflow or the like. So all rows are computed anew, once, and the snapshot records the version of the rules as `ingot.semantics-version`. `run --no-rebuild` refuses instead. A streaming table keeps its rows and its types, and goes on by the new rules from its position on.",
    ),
    code(
        "R0551",
        "rows are erased where they come from",
        "`ingot erase` takes rows out of streaming tables. The rows of a view follow from those of the tables that it reads: erased there, they go from the view as well.",
    ),
    code(
        "R0552",
        "erased rows would be kept",
        "Something holds files that have the rows, so that they would not be gone: a branch or a tag on an earlier snapshot, a view's file that another engine wrote and that has deletes, a column that the definition has left out, `gc.enabled = false`, or a folder that is shared with another table. The message says which. Mend that, then erase again.",
    ),
    code(
        "R0553",
        "a stream keeps what it has taken",
        "A streaming table reads the table and keeps the rows that it has taken, so erasing them below does not erase them there. Erase them there first, by a condition on its own columns, then leave it out here: `ingot erase t WHERE ... --exclude that.table`.",
    ),
    code(
        "R0554",
        "messages that did not decode may hold it",
        "The table's error table keeps the bytes of messages that have no columns, so that a condition cannot be evaluated there. `ingot erase` looks for the texts that the condition compares a column with, and this one compares with none. `--raw-matching TEXT` says what to look for in keys, payloads and reasons (several times for several texts), `--raw-kept` leaves them as they are.",
    ),
    code(
        "R0555",
        "reading again would bring erased rows back",
        "Rows were erased from the table, and its topic or table may still hold them. `ingot refresh --full` would read them again. With `--accept-loss` it does; erase them again then.",
    ),
    code(
        "R0556",
        "the condition of an erasure cannot be asked",
        "`ingot erase TABLE WHERE ...` takes a condition over the columns of that table: rows for which it is TRUE go. It names no other table, holds no subquery, and no function that gives another value the next time (`now()`, `random()`): it is asked again where the erasure is done again, and must mean the same rows.",
    ),
    code("R0539", "full recompute: asked for", "The refresh was asked for in full, by `ingot refresh TABLE --full`."),
    code(
        "R0540",
        "the change could not be evaluated",
        "Planning or evaluating the change of a view failed; the message is the engine's own. The table keeps its old state. `ingot refresh TABLE --full` computes it without the change.",
    ),
    code(
        "R0541",
        "the stored table contradicts its source",
        "Rows that must be replaced are not in the table, so somebody else changed it, or it is damaged. Nothing was committed. `ingot verify TABLE` shows the difference, `ingot refresh TABLE --full` rebuilds it.",
    ),
    code(
        "R0542",
        "stored rows have unexpected columns",
        "The rows read from the table do not have the columns that its definition and its hidden state promise. `ingot refresh TABLE --full` rebuilds it.",
    ),
    code(
        "R0543",
        "ties cannot be broken",
        "A window or LIMIT needs a total order of its rows to have one result, and a column below it has a type without order, such as MAP. Leave that column out below the window, or sort by other columns.",
    ),
    code(
        "R0544",
        "a source has other columns",
        "A table that the query reads no longer has the columns that it was checked against. Its own definition changed meanwhile: run `ingot check`, and refresh that table first.",
    ),
];
