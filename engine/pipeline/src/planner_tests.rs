//! Facts in, actions out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ingot_delta::ENGINE_SEMANTICS_VERSION;
use ingot_model::TableName;

use super::{Facts, RefreshRecord, StreamFacts, TableFacts, plan};
use crate::plan::{Action, Incremental, Plan, Reason, Upto};
use ingot_project::config::Config;
use ingot_project::project::{Project, SqlFile};

fn project(extra: &str) -> Project {
    let bronze = "CREATE SOURCE s (id VARCHAR, v BIGINT) INCLUDE OFFSET AS o WITH ('connector' = 'kafka', 'topic' = 't') \
                  FORMAT PLAIN ENCODE JSON;\nCREATE STREAMING TABLE bronze.t AS SELECT * FROM STREAM s;";
    let silver = "CREATE MATERIALIZED VIEW silver.t AS SELECT id, v FROM bronze.t \
                  QUALIFY row_number() OVER (PARTITION BY id ORDER BY o) = 1;";
    let gold = "CREATE MATERIALIZED VIEW gold.t AS SELECT id, sum(v) AS v FROM silver.t GROUP BY id;";
    let file = |path: &str, text: &str| SqlFile { path: path.into(), text: text.into() };
    let mut files = vec![file("b.sql", bronze), file("s.sql", silver), file("g.sql", gold)];
    if !extra.is_empty() {
        files.push(file("x.sql", extra));
    }
    let none = BTreeMap::new();
    let config =
        Config::from_parts(None, Path::new("."), Path::new("/"), None, &[], &none, ingot_source::check_property)
            .unwrap();
    let checked = ingot_project::check::check_files(Path::new("."), files, &config);
    checked.project.unwrap_or_else(|| panic!("{:#?}", checked.diagnostics))
}

fn name(text: &str) -> TableName {
    text.parse().unwrap()
}

/// Facts of a project that is up to date: each table at snapshot 1, all appended.
fn fresh(project: &Project) -> Facts {
    let mut facts = Facts::default();
    for (table, model) in &project.tables {
        let sources = model.inputs.iter().map(|i| (i.clone(), (format!("uuid {i}"), Some(1)))).collect();
        facts.tables.insert(
            table.clone(),
            TableFacts {
                uuid: format!("uuid {table}"),
                head: Some(1),
                snapshots: BTreeSet::from([1]),
                recorded: Some(RefreshRecord {
                    fingerprint: model.fingerprint.clone(),
                    semantics: ENGINE_SEMANTICS_VERSION,
                    sources,
                }),
                state_columns: model.definition.state_columns.clone(),
                ..TableFacts::default()
            },
        );
    }
    let at = BTreeMap::from([(0.into(), 10.into())]);
    facts.streams.insert(name("bronze.t"), Ok(StreamFacts { source: "t".into(), from: at.clone(), to: at }));
    facts
}

fn of<'a>(plan: &'a Plan, table: &str) -> &'a Action {
    &plan.steps.iter().find(|s| s.table == name(table)).unwrap().action
}

fn all(project: &Project, facts: &Facts) -> Plan {
    plan(project, facts, &|_| true)
}

fn table<'a>(facts: &'a mut Facts, table: &str) -> &'a mut TableFacts {
    facts.tables.get_mut(&name(table)).unwrap()
}

fn recompute_code(action: &Action) -> &str {
    match action {
        Action::Recompute { reason, .. } | Action::Rebuild { reason, .. } => &reason.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_moved_is_nothing_to_do() {
    let p = project("");
    assert!(!all(&p, &fresh(&p)).has_work());
}

#[test]
fn a_rewrite_of_an_input_is_nothing_to_do() {
    let p = project("");
    let mut facts = fresh(&p);
    let rewritten = table(&mut facts, "silver.t");
    (rewritten.head, rewritten.snapshots) = (Some(3), BTreeSet::from([1, 2, 3]));
    rewritten.same_rows = BTreeSet::from([1, 2, 3]);
    assert!(!all(&p, &facts).has_work());
    // Rows came between.
    table(&mut facts, "silver.t").same_rows = BTreeSet::from([2, 3]);
    assert!(matches!(of(&all(&p, &facts), "gold.t"), Action::Refresh { .. }));
    // The rows are the same, but a column's values went.
    let facts = &mut facts;
    table(facts, "silver.t").same_rows = BTreeSet::from([1, 2, 3]);
    table(facts, "gold.t").redefined_inputs.insert(name("silver.t"), "k".into());
    assert!(all(&p, facts).has_work());
}

#[test]
fn nothing_exists_yet() {
    let p = project("");
    let mut facts = fresh(&p);
    facts.tables.clear();
    let plan = all(&p, &facts);
    assert!(matches!(of(&plan, "bronze.t"), Action::Ingest { create: true, .. }));
    assert!(matches!(of(&plan, "silver.t"), Action::Create { reads } if reads[0].to == Upto::Step));
    assert!(matches!(of(&plan, "gold.t"), Action::Create { .. }));
    // Without the streaming table, its readers wait.
    let views = super::plan(&p, &facts, &|n| n.namespace != "bronze");
    assert!(matches!(of(&views, "silver.t"), Action::Blocked { reason } if reason.code == "R0303"));
    assert!(!views.has_work());
}

#[test]
fn new_offsets_move_everything_above() {
    let p = project("");
    let mut facts = fresh(&p);
    if let Some(Ok(stream)) = facts.streams.get_mut(&name("bronze.t")) {
        stream.to = BTreeMap::from([(0.into(), 12.into())]);
    }
    let plan = all(&p, &facts);
    assert!(matches!(of(&plan, "bronze.t"), Action::Ingest { create: false, .. }));
    assert!(matches!(of(&plan, "silver.t"), Action::Refresh { how: Incremental::KeepFirst, .. }));
    assert!(
        matches!(of(&plan, "gold.t"), Action::Refresh { how: Incremental::Aggregate, reads } if reads[0].from == Some(1))
    );
}

#[test]
fn a_streaming_table_stops_where_its_source_was_dropped() {
    let p = project("CREATE STREAMING TABLE silver.s AS SELECT * FROM STREAM bronze.t;");
    let mut facts = fresh(&p);
    assert!(matches!(of(&all(&p, &facts), "silver.s"), Action::Nothing));
    facts.tables.remove(&name("bronze.t"));
    let plan = all(&p, &facts);
    assert!(matches!(of(&plan, "silver.s"), Action::Blocked { reason } if reason.code == "R0534"), "{plan}");
    // Reading from the start would append everything once more.
    let mut facts = fresh(&p);
    table(&mut facts, "silver.s").recorded = None;
    let plan = all(&p, &facts);
    assert!(matches!(of(&plan, "silver.s"), Action::Blocked { reason } if reason.code == "R0534"), "{plan}");
}

#[test]
fn a_new_partition_is_work() {
    let p = project("");
    let mut facts = fresh(&p);
    if let Some(Ok(stream)) = facts.streams.get_mut(&name("bronze.t")) {
        stream.to.insert(1.into(), 5.into());
    }
    assert!(matches!(of(&all(&p, &facts), "bronze.t"), Action::Ingest { .. }));
}

#[test]
fn every_recompute_has_its_reason() {
    let p = project("");
    let moved = |facts: &mut Facts| {
        let t = table(facts, "bronze.t");
        t.head = Some(2);
        t.snapshots.insert(2);
    };

    let mut facts = fresh(&p);
    table(&mut facts, "gold.t").recorded.as_mut().unwrap().fingerprint = "another".into();
    assert_eq!(recompute_code(of(&all(&p, &facts), "gold.t")), "R0532");
    assert!(all(&p, &facts).has_rebuild());

    let mut facts = fresh(&p);
    table(&mut facts, "gold.t").foreign = Some("overwrite".into());
    assert_eq!(recompute_code(of(&all(&p, &facts), "gold.t")), "R0531");

    let mut facts = fresh(&p);
    table(&mut facts, "bronze.t").uuid = "another".into();
    moved(&mut facts);
    assert_eq!(recompute_code(of(&all(&p, &facts), "silver.t")), "R0533");

    // Dropped, and made again by this plan's first step.
    let mut facts = fresh(&p);
    facts.tables.remove(&name("bronze.t"));
    let plan = all(&p, &facts);
    assert!(matches!(of(&plan, "bronze.t"), Action::Ingest { create: true, .. }));
    assert_eq!(recompute_code(of(&plan, "silver.t")), "R0533");

    let mut facts = fresh(&p);
    moved(&mut facts);
    table(&mut facts, "bronze.t").snapshots.remove(&1);
    assert_eq!(recompute_code(of(&all(&p, &facts), "silver.t")), "R0534");

    let mut facts = fresh(&p);
    moved(&mut facts);
    table(&mut facts, "silver.t").redefined_inputs.insert(name("bronze.t"), "v".into());
    assert_eq!(recompute_code(of(&all(&p, &facts), "silver.t")), "R0545");

    let mut facts = fresh(&p);
    moved(&mut facts);
    table(&mut facts, "silver.t").state_missing = true;
    assert_eq!(recompute_code(of(&all(&p, &facts), "silver.t")), "R0536");
}

/// As when REFRESH POLICY was FULL before, or an earlier version recomputed the view.
#[test]
fn state_that_does_not_fit_is_built_anew() {
    let p = project(
        "CREATE MATERIALIZED VIEW gold.x REFRESH POLICY FULL AS SELECT id, max(v) AS v FROM silver.t GROUP BY id;",
    );
    for lost in ["silver.t", "gold.t"] {
        let mut facts = fresh(&p);
        table(&mut facts, lost).state_columns.clear();
        let plan = all(&p, &facts);
        assert!(matches!(of(&plan, lost), Action::Rebuild { .. }), "{plan}");
        assert_eq!(recompute_code(of(&plan, lost)), "R0549");
    }
    let mut facts = fresh(&p);
    table(&mut facts, "gold.t").state_columns[1].1 = datafusion::arrow::datatypes::DataType::Binary;
    assert_eq!(recompute_code(of(&all(&p, &facts), "gold.t")), "R0549");
    // What is computed as a whole reads no state.
    let mut facts = fresh(&p);
    table(&mut facts, "gold.x").state_columns = table(&mut facts, "gold.t").state_columns.clone();
    assert!(!all(&p, &facts).has_work());
}

#[test]
fn a_strict_view_whose_history_is_gone_says_what_to_run() {
    let p = project("CREATE MATERIALIZED VIEW gold.x REFRESH POLICY INCREMENTAL STRICT AS SELECT id, v FROM silver.t;");
    let mut facts = fresh(&p);
    let t = table(&mut facts, "silver.t");
    t.head = Some(3);
    t.snapshots = BTreeSet::from([3]);
    let plan = all(&p, &facts);
    let Action::Blocked { reason } = of(&plan, "gold.x") else { panic!("{plan}") };
    assert_eq!(reason.code, "R0534");
    assert!(reason.hint.as_deref().is_some_and(|hint| hint.contains("ingot refresh gold.x --full")), "{reason:?}");
    // Others are computed anew by themselves.
    assert_eq!(recompute_code(of(&plan, "gold.t")), "R0534");
}

#[test]
fn keep_first_over_a_view_that_changes_rows_is_planned_as_it_runs() {
    let p = project(
        "CREATE MATERIALIZED VIEW gold.x REFRESH POLICY INCREMENTAL STRICT AS SELECT id, v FROM gold.t \
         QUALIFY row_number() OVER (PARTITION BY v ORDER BY id) = 1;",
    );
    let mut facts = fresh(&p);
    let t = table(&mut facts, "gold.t");
    t.head = Some(2);
    t.snapshots.insert(2);
    assert!(matches!(of(&all(&p, &facts), "gold.x"), Action::Refresh { how: Incremental::KeepFirst, .. }));
}

#[test]
fn a_query_without_an_incremental_rule_says_so() {
    let p = project("CREATE MATERIALIZED VIEW gold.x AS SELECT DISTINCT id FROM silver.t;");
    let mut facts = fresh(&p);
    let t = table(&mut facts, "silver.t");
    t.head = Some(2);
    t.snapshots.insert(2);
    let plan = all(&p, &facts);
    assert!(recompute_code(of(&plan, "gold.x")).starts_with("R05"), "{plan}");
}

#[test]
fn a_broker_that_does_not_answer_blocks_its_table_alone() {
    let p = project("");
    let mut facts = fresh(&p);
    facts.streams.insert(name("bronze.t"), Err(Reason::new("S0105", "no answer")));
    let t = table(&mut facts, "silver.t");
    t.head = Some(2);
    t.snapshots.insert(2);
    let plan = all(&p, &facts);
    assert!(matches!(of(&plan, "bronze.t"), Action::Blocked { .. }));
    assert!(matches!(of(&plan, "gold.t"), Action::Refresh { .. }));
}

#[test]
fn a_plan_survives_its_json() {
    let p = project("");
    let mut facts = fresh(&p);
    facts.tables.remove(&name("gold.t"));
    let plan = all(&p, &facts);
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<Plan>(&json).unwrap(), plan);
}

#[test]
fn a_clock_that_moved_is_a_reason_of_its_own() {
    let view = "CREATE MATERIALIZED VIEW gold.recent AS SELECT id FROM silver.t WHERE v > date_part('epoch', now());";
    let project = project(view);
    let mut facts = fresh(&project);
    assert_eq!(*of(&all(&project, &facts), "gold.recent"), Action::Nothing);
    facts.tables.get_mut(&name("gold.recent")).unwrap().aged = Some("it compares with now()".into());
    let plan = all(&project, &facts);
    let action = of(&plan, "gold.recent");
    assert_eq!(action.reason().map(|r| r.code.as_str()), Some("R0548"), "{action:?}");
    assert!(plan.to_string().contains("it compares with now()"), "{plan}");
}

#[test]
fn a_table_that_cannot_be_read_bars_itself_and_its_readers_alone() {
    let p = project("CREATE MATERIALIZED VIEW gold.other AS SELECT v FROM bronze.t;");
    let mut facts = fresh(&p);
    facts.tables.remove(&name("silver.t"));
    let why = Reason { hint: Some("mend it".into()), ..Reason::new("L0118", "table \"silver.t\" cannot be read") };
    facts.barred.insert(name("silver.t"), why.clone());
    let plan = all(&p, &facts);
    assert_eq!(of(&plan, "silver.t"), &Action::Blocked { reason: why });
    let Action::Blocked { reason } = of(&plan, "gold.t") else { panic!("{plan}") };
    assert_eq!((reason.code.as_str(), reason.hint.as_deref()), ("R0321", Some("mend it")));
    assert!(reason.text.contains("\"silver.t\"") && reason.text.contains("L0118"), "{}", reason.text);
    assert_eq!(of(&plan, "bronze.t"), &Action::Nothing);
    assert_eq!(of(&plan, "gold.other"), &Action::Nothing);
}

#[test]
fn a_quarantine_shares_the_read_of_its_table_where_both_stand_on_the_same_snapshots() {
    let expects = "CREATE TEMPORARY VIEW good (CONSTRAINT v EXPECT (v > 0) ON VIOLATION QUARANTINE INTO silver.bad) AS \
                   SELECT id, v, o FROM bronze.t;";
    let shared = format!(
        "{expects}\nCREATE MATERIALIZED VIEW silver.g AS SELECT id, v FROM good QUALIFY row_number() OVER (PARTITION BY id \
         ORDER BY o) = 1;"
    );
    let p = project(&shared);
    let with = |plan: &Plan| plan.steps.iter().find(|s| s.table == name("silver.bad")).unwrap().with.clone();
    let reads = |plan: &Plan| {
        let of = |steps: Vec<&super::Step>| steps.into_iter().map(|s| s.table.to_string()).collect::<Vec<_>>();
        plan.reads().into_iter().map(of).collect::<Vec<_>>()
    };
    let mut facts = fresh(&p);
    table(&mut facts, "bronze.t").head = Some(2);
    table(&mut facts, "bronze.t").snapshots.insert(2);
    let plan = all(&p, &facts);
    assert_eq!(with(&plan), Some(name("silver.g")), "{plan}");
    assert!(plan.to_string().contains("note: filled by the read of silver.g"), "{plan}");
    let together = ["silver.bad".to_owned(), "silver.g".to_owned()].to_vec();
    assert!(reads(&plan).contains(&together), "{plan}");
    // Where one of them is left out of the plan, the other reads for itself.
    let alone = super::plan(&p, &facts, &|n| *n == name("silver.bad"));
    assert_eq!((with(&alone), reads(&alone).len()), (None, 1));

    // A crash between the commits left the side table ahead: it has nothing to do, and the table goes alone.
    let mut crashed = facts.clone();
    let source = ("uuid bronze.t".to_owned(), Some(2));
    let recorded = table(&mut crashed, "silver.bad").recorded.as_mut().unwrap();
    recorded.sources.insert(name("bronze.t"), source);
    let plan = all(&p, &crashed);
    assert_eq!(of(&plan, "silver.bad"), &Action::Nothing);
    assert!(matches!(of(&plan, "silver.g"), Action::Refresh { .. }), "{plan}");
    assert_eq!(with(&plan), None);
    // More came since: both go to the same snapshot, each by a read of its own.
    table(&mut crashed, "bronze.t").head = Some(3);
    table(&mut crashed, "bronze.t").snapshots.insert(3);
    let plan = all(&p, &crashed);
    assert_eq!(with(&plan), None);
    assert!(plan.to_string().contains("they stand on different snapshots of \"bronze.t\""), "{plan}");
    // One is there, the other is made.
    facts.tables.remove(&name("silver.bad"));
    let plan = all(&p, &facts);
    assert_eq!(with(&plan), None);
    assert!(plan.to_string().contains("one of them is computed as a whole"), "{plan}");
    facts.tables.remove(&name("silver.g"));
    assert_eq!(with(&all(&p, &facts)), Some(name("silver.g")));

    // Both are there, and a join may stop before all rows were judged.
    let joined = format!(
        "{expects}\nCREATE MATERIALIZED VIEW silver.g AS SELECT g.id FROM good AS g JOIN silver.t AS t USING (id);"
    );
    let p = project(&joined);
    let mut facts = fresh(&p);
    facts.tables.remove(&name("silver.bad"));
    facts.tables.remove(&name("silver.g"));
    let plan = all(&p, &facts);
    assert_eq!(with(&plan), None);
    assert!(plan.to_string().contains("read apart from silver.g: a join above its expectations"), "{plan}");
}
