//! Facts in, decisions out.

use ingot_source::TopicInfo;
use ingot_source::kafka::KafkaFacts;
use ingot_source::offsets::Watermarks;

use super::*;

fn table() -> TableName {
    TableName::new("bronze", "t")
}

/// Topic `t` with this id, and of each partition the log `[low, high)`.
fn source(id: &str, log: &[(i32, i64, i64)]) -> SourceFacts {
    let partitions = log.iter().map(|(p, ..)| *p).collect();
    SourceFacts::Kafka(KafkaFacts {
        topic: "t".into(),
        info: TopicInfo { cluster_id: "c".into(), topic_id: id.into(), partitions },
        log: log.iter().map(|(p, low, high)| (*p, Watermarks { low: *low, high: *high })).collect(),
    })
}

fn places(of: &[(i32, i64)]) -> Positions {
    of.iter().map(|(p, offset)| ((*p).into(), (*offset).into())).collect()
}

fn at(flow: &str, id: &str, of: &[(i32, i64)]) -> FlowPositions {
    let source = SourceIdentity { system: "c".into(), name: "t".into(), incarnation: id.into() };
    FlowPositions::starting(flow, source, &places(of))
}

/// A table whose history tells this position of its own.
fn stored(own: FlowPositions) -> Stored {
    Stored { own: Ok(Some(own.clone())), flows: Ok(vec![own]), renamed: Ok(None) }
}

/// A table whose history tells only of these flows.
fn strange(flows: Vec<FlowPositions>) -> Stored {
    Stored { own: Ok(None), flows: Ok(flows), renamed: Ok(None) }
}

fn unproven(code: &'static str, is_unreadable: bool) -> Unproven {
    Unproven { code, text: "it is gone".into(), is_unreadable }
}

fn code<T>(decided: Result<T, Refusal>) -> &'static str {
    decided.map(|_| "").unwrap_or_else(|refusal| refusal.code)
}

#[test]
fn a_table_reads_on_where_it_stands_and_new_partitions_from_their_beginning() {
    let recorded = stored(at("bronze.t", "i", &[(0, 5)]));
    let on = read_on(&table(), &recorded, &source("i", &[(0, 0, 9), (1, 2, 4)])).unwrap();
    assert_eq!((on.positions.ends(), on.renamed_from), (places(&[(0, 5), (1, 2)]), None));
    assert!(on.positions.full);
}

#[test]
fn losses_are_refused_with_the_command_that_goes_on() {
    let recorded = stored(at("bronze.t", "i", &[(0, 5)]));
    let refusal = read_on(&table(), &recorded, &source("i", &[(0, 6, 9)])).unwrap_err();
    assert_eq!(refusal.code, "S0101");
    assert!(refusal.hint.unwrap().contains("ingot refresh bronze.t --accept-loss"));
    assert_eq!(code(read_on(&table(), &recorded, &source("i", &[(0, 0, 4)]))), "S0104");
    assert_eq!(code(read_on(&table(), &recorded, &source("i", &[(1, 0, 4)]))), "S0103");
}

#[test]
fn what_a_table_records_of_others_is_not_its_own() {
    let flow = Flow::of(&table(), &source("i", &[]));
    // The same flow in a topic of this name that is another one.
    assert_eq!(code(recorded(&flow, &strange(vec![at("bronze.t", "j", &[(0, 5)])]))), "S0102");
    // The same topic, read under another name, by this table before it was renamed.
    let was = at("bronze.was", "i", &[(0, 5)]);
    let renamed = Stored { renamed: Ok(Some(was.clone())), ..strange(vec![was]) };
    let found = recorded(&flow, &renamed).unwrap();
    assert_eq!((found.positions.flow.as_str(), found.renamed_from.as_deref()), ("bronze.t", Some("bronze.was")));
    // The flow is known, and nothing that is left tells where it stands.
    assert_eq!(code(recorded(&flow, &strange(vec![at("bronze.t", "i", &[])]))), "L0131");
    // Two flows of the topic: whose the rows are cannot be told.
    let two = vec![at("bronze.a", "i", &[]), at("bronze.b", "i", &[])];
    assert_eq!(code(recorded(&flow, &strange(two))), "S0112");
    let nothing = recorded(&flow, &strange(vec![])).unwrap_err();
    assert!(nothing.code == "S0112" && nothing.message.contains("no position at all"), "{nothing:?}");
    let gone = Stored { own: Err(unproven("L0132", false)), ..strange(vec![]) };
    assert_eq!(code(recorded(&flow, &gone)), "L0132");
}

#[test]
fn a_source_that_is_gone_is_a_refusal_of_those_who_have_read_it() {
    let read = [at("bronze.t", "i", &[])];
    let words = source("i", &[]).words();
    assert!(gone(&table(), words, "t", &read).is_some_and(|refusal| refusal.code == "S0106" && refusal.retryable));
    assert_eq!(gone(&table(), words, "other", &read), None);
    assert_eq!(gone(&table(), words, "t", &[at("bronze.u", "i", &[])]), None);
}

#[test]
fn a_definition_is_put_right_when_it_or_the_name_changed() {
    assert_eq!(redefinition(Some("f"), "f", false, false), None);
    assert_eq!(redefinition(Some("g"), "f", true, true), Some("the definition changed"));
    assert_eq!(redefinition(None, "f", false, false), Some("the definition changed"));
    assert_eq!(redefinition(Some("f"), "f", true, false), Some("another writer changed the definition"));
    assert_eq!(redefinition(Some("f"), "f", false, true), Some("the table was renamed"));
}

#[test]
fn an_error_table_stands_where_it_says_or_where_its_main_table_does() {
    let mut main = at("bronze.t", "i", &[(0, 5)]);
    main.partitions.get_mut(&0.into()).unwrap().errors = 2;
    let own = at("bronze.t", "i", &[(0, 5)]);
    let stands = error_table(&table(), &stored(own.clone()), &main).unwrap();
    assert_eq!(stands, ErrorTablePosition::Own { positions: own, lacks_errors: true });
    // Ahead of its main table it holds errors that are not counted yet.
    let ahead = at("bronze.t", "i", &[(0, 6)]);
    let stands = error_table(&table(), &stored(ahead.clone()), &main).unwrap();
    assert_eq!(stands, ErrorTablePosition::Own { positions: ahead, lacks_errors: false });
    let given_up = strange(vec![at("bronze.t", "j", &[(0, 9)])]);
    assert_eq!(error_table(&table(), &given_up, &main).unwrap(), ErrorTablePosition::GivenUp);
    assert_eq!(error_table(&table(), &strange(vec![]), &main).unwrap(), ErrorTablePosition::MainTables);
    let gone = Stored { own: Err(unproven("L0132", false)), ..strange(vec![]) };
    assert_eq!(error_table(&table(), &gone, &main).unwrap(), ErrorTablePosition::MainTables);
    let unreadable = Stored { own: Err(unproven("L0133", true)), ..strange(vec![]) };
    assert_eq!(code(error_table(&table(), &unreadable, &main)), "L0133");
}

#[test]
fn errors_ahead_of_the_main_table_are_judged_again_by_another_definition() {
    let main = at("bronze.t", "i", &[(0, 5), (1, 3)]);
    let errors = places(&[(0, 5), (1, 7)]);
    assert_eq!(rejudged(&main, &errors, true), Positions::new());
    assert_eq!(rejudged(&main, &errors, false), places(&[(1, 3)]));
}

fn begin_again(began: Option<&FlowPositions>, now: &SourceFacts, accept_loss: bool) -> Result<Positions, Refusal> {
    let stored = stored(at("bronze.t", "i", &[(0, 8)]));
    let facts = Again { began, stored: &stored, source: now, starts_at_the_beginning: true };
    again(&table(), facts, accept_loss).map(|positions| positions.ends())
}

#[test]
fn nothing_is_emptied_that_the_source_cannot_give_again() {
    let began = at("bronze.t", "i", &[(0, 2)]);
    assert_eq!(begin_again(Some(&began), &source("i", &[(0, 2, 9), (1, 0, 4)]), false), Ok(places(&[(0, 2), (1, 0)])));
    // The log begins later, ends earlier, or is another one.
    let later = source("i", &[(0, 3, 9)]);
    assert_eq!(code(begin_again(Some(&began), &later, false)), "S0101");
    assert_eq!(begin_again(Some(&began), &later, true), Ok(places(&[(0, 3)])));
    assert_eq!(code(begin_again(Some(&began), &source("i", &[(0, 0, 7)]), false)), "S0104");
    let another = source("j", &[(0, 1, 9)]);
    assert_eq!(code(begin_again(Some(&began), &another, false)), "S0102");
    assert_eq!(begin_again(Some(&began), &another, true), Ok(places(&[(0, 1)])));
    // Where it began is not known: a log that has all there ever was gives all of it.
    assert_eq!(begin_again(None, &source("i", &[(0, 0, 9)]), false), Ok(places(&[(0, 0)])));
    assert_eq!(code(begin_again(None, &later, false)), "S0101");
}

#[test]
fn what_was_lost_is_given_up_with_its_reason() {
    let stood = stored(at("bronze.t", "i", &[(0, 5)]));
    assert_eq!(skip(&table(), &stood, &source("i", &[(0, 5, 9)])), Ok(None));
    let skipped = skip(&table(), &stood, &source("i", &[(0, 7, 9)])).unwrap().unwrap();
    assert_eq!(skipped.reason, "given up, as asked: offsets 5 to 6 of partition 0");
    let range = &skipped.positions.partitions[&0.into()];
    assert_eq!((&range.from, &range.to), (&Position::from(5), &Position::from(7)));
    assert_eq!(code(skip(&table(), &stood, &source("i", &[(0, 0, 4)]))), "S0104");
}

#[test]
fn a_batch_goes_only_where_it_begins() {
    let found = Ok(Some(at("bronze.t", "i", &[(0, 5)])));
    assert_eq!(may_append(found.clone(), &places(&[(0, 5), (1, 0)])), Ok(()));
    assert!(may_append(found, &places(&[(0, 4)])).is_err());
    assert!(may_append(Ok(None), &places(&[])).is_err());
    assert!(may_append(Err(unproven("L0132", false)), &places(&[])).is_err());
}
