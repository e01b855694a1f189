//! Configuration: precedence, origins, secrets, the reference page.

use std::collections::BTreeMap;
use std::path::Path;

use ingot_project::config::{Config, LogFormat, Origin, config_reference, parse_set, settings};

fn load(text: &str, environment: Option<&str>, sets: &[(&str, &str)], variables: &[(&str, &str)]) -> Config {
    let sets: Vec<(String, String)> = sets.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    let variables: BTreeMap<String, String> = variables.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
    Config::from_parts(
        Some(text),
        Path::new("/project"),
        Path::new("/here"),
        environment,
        &sets,
        &variables,
        ingot_source::check_property,
    )
    .unwrap()
}

const TEXT: &str = r#"
[run]
commit_interval_ms = 100
batch_bytes_max = 1_000

[kafka]
bootstrap.servers = "file:9092"
client.id = "file"

[env.dev]
namespace_prefix = "dev_"
run.commit_interval_ms = 200
"#;

#[test]
fn later_origins_win() {
    let interval = |c: &Config| c.run.commit_interval_ms;
    assert_eq!(interval(&load("", None, &[], &[])), 400);
    assert_eq!(interval(&load(TEXT, None, &[], &[])), 100);
    assert_eq!(interval(&load(TEXT, Some("dev"), &[], &[])), 200);
    assert_eq!(interval(&load(TEXT, None, &[], &[("INGOT_ENV", "dev")])), 200);
    let variables = [("INGOT_RUN__COMMIT_INTERVAL_MS", "300")];
    assert_eq!(interval(&load(TEXT, Some("dev"), &[], &variables)), 300);
    assert_eq!(interval(&load(TEXT, Some("dev"), &[("run.commit_interval_ms", "400")], &variables)), 400);
    assert_eq!(load(TEXT, None, &[], &[]).run.batch_bytes_max, 1_000);
}

#[test]
fn with_stands_between_the_file_and_the_environment() {
    let with = BTreeMap::from([
        ("bootstrap.servers".to_owned(), "with:1".to_owned()),
        ("client.id".to_owned(), "with".to_owned()),
    ]);
    let merged = load(TEXT, None, &[], &[]).kafka.merged(&with);
    assert_eq!(merged["bootstrap.servers"], "with:1");
    let merged = load(TEXT, None, &[("kafka.client.id", "a=b")], &[("INGOT_KAFKA__BOOTSTRAP__SERVERS", "env:1")])
        .kafka
        .merged(&with);
    assert_eq!((merged["bootstrap.servers"].as_str(), merged["client.id"].as_str()), ("env:1", "a=b"));
    assert_eq!(parse_set("kafka.client.id=a=b").unwrap(), ("kafka.client.id".to_owned(), "a=b".to_owned()));
    assert_eq!(parse_set("kafka").unwrap_err().code, "C0102");
}

#[test]
fn paths_become_urls() {
    let location = |text: &str| load(&format!("warehouse.location = \"{text}\""), None, &[], &[]).warehouse.location;
    assert_eq!(load("", None, &[], &[]).warehouse.location, "file:///here/warehouse");
    assert_eq!(location("../lake/./x/"), "file:///lake/x");
    assert_eq!(location("/abs"), "file:///abs");
    assert_eq!(location("file:///abs/"), "file:///abs");
    let s3 = load("warehouse.location = \"s3://b/p/\"\ncatalog.uri = \"sqlite:///c.db\"", None, &[], &[]);
    assert_eq!(
        (s3.lake_config().warehouse.as_str(), s3.lake_config().catalog_uri.as_deref()),
        ("s3://b/p", Some("sqlite:///c.db"))
    );
    assert_eq!(load("log.format = \"json\"", None, &[], &[]).log.format, LogFormat::Json);
    assert_eq!(load("serve.listen = \"localhost:0\"", None, &[], &[]).serve.listen.to_string(), "127.0.0.1:0");
    assert_eq!(load("", None, &[], &[]).http.listen, None);
    let open = load("http.listen = \"0.0.0.0:32080\"", None, &[], &[]).http.listen;
    assert_eq!(open.map(|address| address.to_string()).as_deref(), Some("0.0.0.0:32080"));
}

#[test]
fn secrets_are_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key"), "hush-file\n").unwrap();
    let text = "[s3]\nsecret-access-key-file = \"key\"\n[kafka]\nsasl.password = \"hush-kafka\"\n";
    let variables = BTreeMap::from([
        ("INGOT_S3__ACCESS_KEY_ID".to_owned(), "an-id".to_owned()),
        ("OTHER".to_owned(), "hush-variable".to_owned()),
    ]);
    let cfg = Config::from_parts(
        Some(text),
        folder.path(),
        Path::new("/here"),
        None,
        &[],
        &variables,
        ingot_source::check_property,
    )
    .unwrap();
    assert_eq!(cfg.s3.secret_access_key.as_deref(), Some("hush-file"));
    assert_eq!(cfg.s3.access_key_id.as_deref(), Some("an-id"));
    assert_eq!(cfg.variable("OTHER").as_deref(), Some("hush-variable"));
    let shown = format!("{cfg:?} {:?} {:?}", cfg.listing(), cfg.lake_config());
    assert!(!shown.contains("hush"), "{shown}");
    let listed = cfg.listing().iter().find(|l| l.key == "kafka.sasl.password").unwrap();
    assert_eq!((listed.value.as_deref(), &listed.origin), (Some("***"), &Origin::File));
    let id = cfg.listing().iter().find(|l| l.key == "s3.access-key-id").unwrap();
    assert_eq!(id.origin, Origin::Variable("INGOT_S3__ACCESS_KEY_ID".into()));
}

#[test]
fn servers_share_a_key_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let load = |text: &str| {
        std::fs::write(folder.path().join("key"), text).unwrap();
        let settings = "serve.ticket-key-file = \"key\"";
        Config::from_parts(
            Some(settings),
            folder.path(),
            Path::new("/here"),
            None,
            &[],
            &BTreeMap::new(),
            ingot_source::check_property,
        )
    };
    let key: [u8; 32] = std::array::from_fn(|i| i as u8);
    let hexadecimal: String = key.iter().map(|b| format!("{b:02x}")).collect();
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    for good in [hexadecimal.to_uppercase() + "\n", base64.to_owned(), hexadecimal.clone()] {
        let config = load(&good).unwrap();
        assert_eq!(config.serve.ticket_key.unwrap().bytes(), &key, "{good}");
        assert!(!format!("{config:?} {:?}", config.listing()).contains(good.trim()), "{good}");
    }
    for bad in ["", "hush", &hexadecimal[2..], &format!("{hexadecimal}00"), &hexadecimal.replace("0a", "é")] {
        let errors = load(bad).unwrap_err();
        let (text, help) = (&errors[0].message, errors[0].helps.join(" "));
        assert_eq!((errors.len(), errors[0].code), (1, "C0102"), "{bad}");
        assert!(text.contains("serve.ticket-key") && !text.contains("hush"), "{text}");
        assert!(help.contains("32 bytes in hexadecimal or base64; openssl rand -hex 32"), "{help}");
    }
    // No line of the file that holds a secret is shown, misspelt or wrong.
    for line in ["serve.ticket-key = \"hush\"", "kafka.\"sasl.pasword\" = \"hush\"", "s3.secret-acess-key = \"hush\""] {
        let variables = BTreeMap::new();
        let check = ingot_source::check_property;
        let loaded = Config::from_parts(Some(line), folder.path(), Path::new("/here"), None, &[], &variables, check);
        for d in loaded.unwrap_err() {
            let shown = ingot_dialect::render(&d, Some(line), false);
            assert!(!shown.contains("hush") && shown.contains("line 1"), "{shown}");
        }
    }
    assert_eq!(
        Config::from_parts(
            None,
            folder.path(),
            Path::new("/here"),
            None,
            &[],
            &BTreeMap::new(),
            ingot_source::check_property
        )
        .unwrap()
        .serve
        .ticket_key,
        None
    );
}

#[test]
fn the_reference_names_every_key() {
    let page = config_reference();
    for s in settings() {
        assert!(page.contains(&format!("## {}\n", s.key)), "{}", s.key);
        assert!(!s.doc.is_empty());
    }
    assert!(page.contains("INGOT_RUN__COMMIT_INTERVAL_MS"));
}
