//! The reference page of the configuration.

use std::fmt::Write as _;

use super::sections::settings;

/// The environment variable that sets a key.
fn variable_of(key: &str) -> String {
    format!("INGOT_{}", key.replace('.', "__").replace('-', "_").to_uppercase())
}

/// The reference page of the configuration, in Markdown.
pub fn config_reference() -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         Settings live in `ingot.toml` in the project's folder. Later ones win: the file, its `[env.NAME]` overlay \
         (chosen by `--env NAME` or `INGOT_ENV`), `WITH (...)` of a source (for `kafka.*`), the environment, and \
         `--set key=value`. A key that is not listed here is refused.\n\n\
         | key | value | default | environment |\n|---|---|---|---|\n",
    );
    for s in settings() {
        let default = match s.default {
            Some("") => "empty".to_owned(),
            Some(d) => format!("`{d}`"),
            None => "none".to_owned(),
        };
        let _ = writeln!(out, "| `{}` | {} | {default} | `{}` |", s.key, s.shape.describe(), variable_of(s.key));
    }
    out.push('\n');
    for s in settings() {
        let doc: Vec<&str> = s.doc.iter().map(|line| line.trim()).collect();
        let _ = writeln!(out, "## {}\n\n{}", s.key, doc.join(" "));
        if s.file_variant {
            let _ = writeln!(out, "\n`{}-file` names a file that holds the value.", s.key);
        }
        if s.secret {
            out.push_str("\nThe value is a secret: it is never printed, logged or stored.\n");
        }
        out.push('\n');
    }
    out.push_str(
        "## kafka.*\n\n\
         librdkafka's own properties, such as `kafka.bootstrap.servers`, `kafka.security.protocol` or \
         `kafka.sasl.password`; the names are checked against librdkafka. In the environment dots are written as two \
         underscores: `INGOT_KAFKA__BOOTSTRAP__SERVERS`. `<name>-file` names a file that holds the value. A source's \
         `WITH (...)` overrides the file, the environment and `--set` override both.\n\n\
         ## Overlays\n\n\
         ```toml\n\
         [kafka]\n\
         bootstrap.servers = \"kafka.internal:9092\"\n\n\
         [env.dev]\n\
         namespace_prefix = \"dev_\"\n\
         kafka.bootstrap.servers = \"127.0.0.1:9092\"\n\
         ```\n",
    );
    out
}
