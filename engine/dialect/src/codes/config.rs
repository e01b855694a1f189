//! C: ingot.toml, the environment, and the options of sources.

use super::info::{CodeInfo, code};

pub(super) const CODES: &[CodeInfo] = &[
    code(
        "C0101",
        "unknown configuration key",
        "ingot.toml, --set or an INGOT_ variable holds a key that does not exist. Unknown keys are refused, so that a misspelt one is not silently ignored. The nearest key is suggested.",
    ),
    code(
        "C0102",
        "bad configuration value",
        "A value has the wrong type or is out of its range, for example a string for `run.commit_interval_ms`. The message says what is expected.",
    ),
    code(
        "C0103",
        "required setting is missing",
        "Something that was asked for needs a setting which has no default, for example `kafka.bootstrap.servers` when a source reads Kafka. Add it to ingot.toml, or pass --set kafka.bootstrap.servers=host:9092.",
    ),
    code(
        "C0104",
        "environment variable is not set",
        "A value of WITH or ENCODE refers to `${NAME}`, and no such variable is set. Set it, or write a default: `${NAME:-default}`. A literal `${` is written `$${`.",
    ),
    code(
        "C0105",
        "unknown option of a source",
        "WITH takes connector, topic, start and librdkafka's own properties; ENCODE JSON takes timestamp_format, coerce and unknown_fields. Anything else is refused. The nearest name is suggested.",
    ),
    code(
        "C0106",
        "librdkafka refuses a property",
        "A property under [kafka] or in WITH is not one of librdkafka's, or its value is not allowed. Names are librdkafka's own, for example `security.protocol = 'SASL_SSL'`. The nearest name is suggested.",
    ),
    code("C0107", "bad TOML", "ingot.toml is not valid TOML. The message is the TOML parser's, with its place."),
    code(
        "C0108",
        "listen address is not loopback",
        "serve.listen names an address that other machines can reach, and neither authentication nor TLS protects it yet. Use 127.0.0.1, and put a proxy with authentication before it.",
    ),
    code(
        "C0109",
        "secret file cannot be read",
        "A key ending in `-file` names a file that holds a secret, and it cannot be read. Check the path and who may read it. The file's content is never shown.",
    ),
    code(
        "C0110",
        "S3 warehouse without a catalog",
        "With a warehouse on S3 the SQLite catalog cannot live in the warehouse. Set `catalog.uri` to a local path: `catalog.uri = \"sqlite:///var/lib/ingot/catalog.db\"`.",
    ),
    code(
        "C0111",
        "no project here",
        "There are no SQL files below the given folder. Run the command in the project's folder, give it with --project, or start one with `ingot init`.",
    ),
    code(
        "C0112",
        "unknown environment",
        "--env or INGOT_ENV names an [env.NAME] that ingot.toml does not have. The ones that exist are listed.",
    ),
    code(
        "C0113",
        "file cannot be read",
        "A file of the project cannot be read, or is not UTF-8. Check its permissions and save it as UTF-8.",
    ),
    code(
        "C0114",
        "nothing selected",
        "--select and --exclude leave no table. A selector is a name, `layer.*`, `tag:x`, or a name with + before it (what it reads) or after it (what reads it).",
    ),
    code(
        "C0115",
        "table property without an effect",
        "TBLPROPERTIES sets a property of Iceberg's that Ingot does not heed, or one that the others switch off. It is refused, so that nobody relies on it. The hint lists the properties that are heeded; names outside of Iceberg's own prefixes (`write.`, `read.`, `commit.`, `history.`, `gc.` and the like) are free and stored as they are.",
    ),
];
