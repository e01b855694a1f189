//! Tickets that the server did not give out, or not so: nothing of them is run.

use arrow_flight::Ticket;
use arrow_flight::sql::{CommandPreparedStatementQuery, ProstMessageExt, TicketStatementQuery};
use bytes::Bytes;
use futures::TryStreamExt;
use ingot_flight::Client;
use ingot_query::{Caller, Seal};
use prost::Message;

use crate::{Sql, fetch, in_memory, message, rows, start, start_with};

/// The key of the tests' servers.
pub(crate) fn seal() -> Seal {
    Seal::shared(&[7; 32])
}

/// A handle as the server would seal it around a text.
pub(crate) fn sealed(text: &[u8]) -> Vec<u8> {
    sealed_as("statement", text)
}

fn sealed_as(purpose: &str, text: &[u8]) -> Vec<u8> {
    seal().seal(purpose, &Caller::ANONYMOUS, text).unwrap()
}

/// The ticket of a statement's handle.
pub(crate) fn ticket(handle: &[u8]) -> Ticket {
    let query = TicketStatementQuery { statement_handle: Bytes::copy_from_slice(handle) };
    Ticket::new(query.as_any().encode_to_vec())
}

fn handle_of(ticket: &Ticket) -> Bytes {
    let any = arrow_flight::sql::Any::decode(ticket.ticket.clone()).unwrap();
    let query: TicketStatementQuery = any.unpack().unwrap().unwrap();
    query.statement_handle
}

async fn refused(sql: &mut Sql, ticket: Ticket) -> String {
    message(sql.do_get(ticket).await.expect_err("refused")).1
}

const INNER: &[u8] =
    br#"{"v":1,"id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","sql":"SELECT 1 AS a","pins":[],"schema":1}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_that_are_none_are_refused() {
    let server = start(in_memory()).await;
    let mut sql = server.sql().await;
    for (text, code) in [
        (b"SELECT 1".as_slice(), "Q0105"),
        (br#"{"v":99}"#, "Q0106"),
        (br#"{"v":1,"id":"no","sql":"SELECT 1","pins":[],"schema":1}"#, "Q0105"),
        (INNER, "Q0113"),
    ] {
        assert!(refused(&mut sql, ticket(&sealed(text))).await.starts_with(code), "{code}");
        // Not sealed, it is not even read.
        let open = refused(&mut sql, ticket(text)).await;
        assert!(open.starts_with("Q0106: the ticket is not one of this server"), "{open}");
    }
    assert!(sql.do_get(Ticket::new("garbage")).await.is_err());
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_or_foreign_ticket_is_refused() {
    let server = start(in_memory()).await;
    let mut sql = server.sql().await;
    let info = sql.execute("SELECT id FROM silver.vehicle_events".into(), None).await.unwrap();
    let handle = handle_of(info.endpoint[0].ticket.as_ref().unwrap());
    assert!(!handle.windows(6).any(|w| w == b"silver"), "the statement can be read");
    let mut wrong = vec![Vec::new(), handle[..handle.len() - 1].to_vec(), [&handle[..], b"x"].concat()];
    for at in [0, 11, 12, handle.len() / 2, handle.len() - 17, handle.len() - 1] {
        let mut changed = handle.to_vec();
        changed[at] ^= 1;
        wrong.push(changed);
        wrong.push(handle[..at].to_vec());
    }
    wrong.push(Seal::of_process().seal("statement", &Caller::ANONYMOUS, INNER).unwrap());
    wrong.push(sealed_as("prepared", INNER));
    for wrong in wrong {
        let words = refused(&mut sql, ticket(&wrong)).await;
        assert!(words.starts_with("Q0106") && words.contains("run the statement again"), "{words}");
    }
    // As it was given out it is good, and no prepared statement.
    let words = refused(&mut sql, prepared(&handle)).await;
    assert!(words.starts_with("Q0106") && words.contains("prepare it again"), "{words}");
    assert_eq!(rows(&fetch(&mut sql, info).await), 3);
    // Nor is a prepared statement's handle a ticket.
    let made = made(&mut sql).await;
    assert!(refused(&mut sql, ticket(&made)).await.starts_with("Q0106"));
    let read: Vec<_> = sql.do_get(prepared(&made)).await.unwrap().try_collect().await.unwrap();
    assert_eq!(rows(&read), 1);
    server.end().await;
}

fn prepared(handle: &[u8]) -> Ticket {
    let query = CommandPreparedStatementQuery { prepared_statement_handle: Bytes::copy_from_slice(handle) };
    Ticket::new(query.as_any().encode_to_vec())
}

/// The handle of a prepared statement.
async fn made(sql: &mut Sql) -> Bytes {
    use arrow_flight::Action;
    use arrow_flight::sql::{ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any};
    let create = ActionCreatePreparedStatementRequest { query: "SELECT 1 AS one".into(), transaction_id: None };
    let action = Action::new("CreatePreparedStatement", create.as_any().encode_to_vec());
    let mut answers = sql.do_action(action).await.unwrap();
    let any = Any::decode(answers.message().await.unwrap().unwrap().body).unwrap();
    let made: ActionCreatePreparedStatementResult = any.unpack().unwrap().unwrap();
    made.prepared_statement_handle
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_open_the_tickets_of_those_that_share_their_key() {
    let server = start(in_memory()).await;
    let (same, other) = (start(in_memory()).await, start_with(in_memory(), Seal::of_process()).await);
    let mut sql = server.sql().await;
    let info = sql.execute("SELECT id FROM silver.vehicle_events".into(), None).await.unwrap();
    let foreign = refused(&mut other.sql().await, info.endpoint[0].ticket.clone().unwrap()).await;
    assert!(foreign.contains("serve.ticket-key-file"), "{foreign}");
    assert_eq!(rows(&fetch(&mut same.sql().await, info).await), 3);
    for server in [server, same, other] {
        server.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_statement_has_a_ticket_that_comes_back() {
    let server = start(in_memory()).await;
    let mut client = Client::connect(&server.address).await.unwrap();
    let padded = |with: &str| format!("SELECT 1 AS a /*{}*/", with.repeat((4 << 20) - 20));
    let (_, batches) = client.query(&padded("x")).await.unwrap();
    assert_eq!(rows(&batches.try_collect::<Vec<_>>().await.unwrap()), 1);
    // Six bytes each in a ticket: it would be larger than a request may be.
    let error = client.query(&padded("\u{1}")).await.err().unwrap();
    assert_eq!(error.code(), Some("Q0115"), "{error}");
    assert!(error.to_string().contains("bytes in a ticket"), "{error}");
    server.end().await;
}
