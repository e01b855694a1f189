//! S: Kafka, and D: rows that do not fit.

use super::info::{CodeInfo, code, passing};

pub(super) const CODES: &[CodeInfo] = &[
    code(
        "S0101",
        "offsets expired",
        "Messages between the table's position and the topic's first offset were deleted by retention before they were read: they are lost. The table stops so that nobody overlooks it. Restore the messages, or give them up with `ingot refresh TABLE --accept-loss`, which keeps the rows stored so far and goes on with the first message that is left. On an idle transactional topic these offsets may have been the markers of transactions alone: a position that moved past markers is recorded with the next rows, a few seconds after the topic falls silent, or at a clean stop, and a kill before that leaves it behind them. What is gone cannot be looked at, so it is named; then giving it up costs nothing.",
    ),
    code(
        "S0102",
        "topic was recreated",
        "The topic has another id than the one the table read: it was deleted and made again, so the recorded offsets mean other messages. Go on from the new topic's start with `ingot refresh TABLE --full --accept-loss`, which drops the rows of the old one.",
    ),
    code(
        "S0103",
        "partition is gone",
        "A partition that the table read no longer exists. Kafka cannot drop partitions, so the topic is probably another one. Check the topic's name and the brokers; `ingot refresh TABLE --full --accept-loss` drops the rows of the old one and reads it from its start.",
    ),
    code(
        "S0104",
        "offset moved back",
        "The topic ends before the table's position: messages that were read have vanished, for example after an unclean leader election. The table stops, with the rows it has. `ingot refresh TABLE --full --accept-loss` drops them and reads the topic as it is now from its start.",
    ),
    passing(
        "S0105",
        "broker unavailable",
        "No broker answers at `kafka.bootstrap.servers`. Check the address, the network and TLS settings. `run` waits and tries again; `--once` gives up after its timeout.",
    ),
    passing(
        "S0106",
        "topic does not exist",
        "The broker answers, but has no such topic, or hides it from this user. Create it or mend `topic` in WITH. `run` waits until it appears. If a table has read it before, it was deleted, or the brokers are others: a topic made again under that name is then named as such (S0102).",
    ),
    code(
        "S0107",
        "message does not decode",
        "A message does not fit the source's columns, and the table says ON DECODE ERROR FAIL, the default. The note shows topic, partition, offset and the reason. Mend the columns, or keep such messages: `ON DECODE ERROR INTO bronze.x_errors`.",
    ),
    passing(
        "S0108",
        "Kafka error",
        "librdkafka reported an error that is none of the named ones. The message is its own. If it names a permission, grant READ and DESCRIBE on the topic.",
    ),
    code(
        "S0109",
        "topic was deleted",
        "The topic that a table reads was deleted while it was read. The rows already read stay. Recreate the topic and accept the change with `ingot refresh TABLE --full --accept-loss`, or remove the table.",
    ),
    code(
        "S0110",
        "authentication failed",
        "The broker refused the credentials. Check `sasl.mechanism`, `sasl.username` and the password's file under [kafka].",
    ),
    passing(
        "S0111",
        "message could not be produced",
        "A message that `produce` sent was not acknowledged by the broker. The message says why. Nothing was lost silently: run it again.",
    ),
    code(
        "S0112",
        "table belongs to another topic",
        "The table exists and records positions in another topic or cluster than the one its source names now, so there is no place to go on from. Point the source back, or read the new topic from its start with `ingot refresh TABLE --full`.",
    ),
    code(
        "D0102",
        "expectation failed",
        "A row broke an expectation that says ON VIOLATION FAIL UPDATE, so nothing of the update was stored. The message shows one such row. Mend the rows, or choose WARN, DROP ROW or QUARANTINE INTO.",
    ),
    code(
        "D0104",
        "rows to replace are not there",
        "A refresh has to replace rows of a table, and the file that should hold them has gone or does not hold them. Somebody else changed the table, or it is damaged. Nothing was committed. `ingot verify TABLE` shows the difference, `ingot refresh TABLE --full` rebuilds it.",
    ),
    code(
        "D0201",
        "not JSON",
        "A message is not a JSON document. It is kept with its bytes where ON DECODE ERROR says.",
    ),
    code(
        "D0202",
        "more than one JSON document",
        "A message holds something behind its JSON document. One message is one row: it is refused as a whole, and kept with its bytes where ON DECODE ERROR says.",
    ),
    code(
        "D0203",
        "not UTF-8",
        "A message, or a string in it, is not UTF-8. It is kept with its bytes where ON DECODE ERROR says. `ENCODE BYTES` reads any bytes.",
    ),
    code(
        "D0204",
        "wrong JSON type",
        "A value has another JSON type than the column needs, for example \"12\" for a number. Mend the producer, declare the column as VARCHAR, or allow `ENCODE JSON (coerce = 'lossless')`.",
    ),
    code(
        "D0205",
        "number does not fit",
        "A number is too large for the column's type, or has a fraction where a whole number is declared. Declare a wider type: BIGINT, DOUBLE or DECIMAL.",
    ),
    code(
        "D0206",
        "required field is missing",
        "A field whose column is NOT NULL is absent or null in a message, and the column has no DEFAULT. Declare a DEFAULT, remove NOT NULL, or mend the producer.",
    ),
    code(
        "D0207",
        "tombstone",
        "A message has no value. FORMAT PLAIN has no meaning for it: it is kept as an error with a NULL payload.",
    ),
    code(
        "D0208",
        "unknown field",
        "A message has a field that the source does not declare, and `unknown_fields = 'error'` refuses it. Declare the field, or remove the option: unknown fields are then ignored.",
    ),
    code(
        "D0209",
        "not a time",
        "A value is not a time in the format that `timestamp_format` says: iso8601 by default, or epoch_s, epoch_ms, epoch_us. Set the option to what the producer writes.",
    ),
    code(
        "D0210",
        "nested too deeply",
        "A message nests deeper than the decoder follows. It is kept with its bytes where ON DECODE ERROR says.",
    ),
    code(
        "D0211",
        "not a JSON object",
        "A message is a JSON document but not an object, so it has no fields. Use `ENCODE BYTES` and JSON functions, or have the producer wrap it in an object.",
    ),
    code(
        "D0212",
        "not base64",
        "The value of a BINARY column is a JSON string that is not base64. Mend the producer, or declare the column as VARCHAR.",
    ),
    code(
        "D0213",
        "not a UUID",
        "The value of a UUID column is a JSON string that is not a UUID, such as `123e4567-e89b-12d3-a456-426614174000`. Mend the producer, or declare the column as VARCHAR.",
    ),
    code(
        "D0214",
        "statement fails for a row",
        "A message decodes, but an expression of its streaming table's statement has no value for it: a division by zero, a result that does not fit its type, a text that is no number. With ON DECODE ERROR INTO the message is kept in the error table with this code, and the table goes on; otherwise that table stops and names the offset. Exclude such rows with WHERE, or write `TRY(expression)` for NULL.",
    ),
];
