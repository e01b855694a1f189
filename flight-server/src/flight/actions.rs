//! Actions of Flight itself, beside Flight SQL's: cancelling, endpoints, session options.
//!
//! Invariants
//! * A session has no state: the catalog may be named, because there is only one, and closing does nothing.
//! * Options that have no meaning here are answered by name, not by ending the connection.
//!
//! Not here: prepared statements and transactions (`handlers`).

use std::collections::HashMap;

use arrow_flight::{
    Action, ActionType, CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    RenewFlightEndpointRequest,
};
use ingot_query::ErrorKind;
use prost::Message;
use tonic::Status;

use crate::error::{failed, malformed};
use crate::flight::served::{CALLER, Served};
use crate::flight::ticket::StatementTicket;

const CANCEL_FLIGHT_INFO: &str = "CancelFlightInfo";
const RENEW_FLIGHT_ENDPOINT: &str = "RenewFlightEndpoint";
const SET_SESSION_OPTIONS: &str = "SetSessionOptions";
const GET_SESSION_OPTIONS: &str = "GetSessionOptions";
const CLOSE_SESSION: &str = "CloseSession";

/// Flight's session messages (`Flight.proto`), which arrow-flight 58 does not generate.
pub(crate) mod session {
    use std::collections::HashMap;

    /// Flight's message of a list of texts.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct StringList {
        #[prost(string, repeated, tag = "1")]
        pub values: Vec<String>,
    }

    /// The value of a session option.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub enum Value {
        #[prost(string, tag = "1")]
        String(String),
        #[prost(bool, tag = "2")]
        Bool(bool),
        #[prost(sfixed64, tag = "3")]
        Int64(i64),
        #[prost(double, tag = "4")]
        Double(f64),
        #[prost(message, tag = "5")]
        StringList(StringList),
    }

    /// A session option, whatever its type.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SessionOptionValue {
        #[prost(oneof = "Value", tags = "1, 2, 3, 4, 5")]
        pub value: Option<Value>,
    }

    /// All session options, by name.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct SessionOptions {
        #[prost(map = "string, message", tag = "1")]
        pub options: HashMap<String, SessionOptionValue>,
    }

    /// Why an option was not set.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, prost::Enumeration)]
    #[repr(i32)]
    pub enum ErrorValue {
        Unspecified = 0,
        InvalidName = 1,
        InvalidValue = 2,
        Error = 3,
    }

    /// The error of one option.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct OptionError {
        #[prost(enumeration = "ErrorValue", tag = "1")]
        pub value: i32,
    }

    /// The errors of options that were not set, by name.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct SetSessionOptionsResult {
        #[prost(map = "string, message", tag = "1")]
        pub errors: HashMap<String, OptionError>,
    }

    /// `CloseSessionResult`; 1 is CLOSED.
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct CloseSessionResult {
        #[prost(int32, tag = "1")]
        pub status: i32,
    }
}

/// Stops the query that an info's ticket names.
pub(crate) fn cancel(served: &Served, info: &FlightInfo) -> CancelStatus {
    match StatementTicket::of_info(&served.seal, info) {
        Some(ticket) if served.registry.cancel(CALLER, ticket.id()) => CancelStatus::Cancelled,
        _ => CancelStatus::NotCancellable,
    }
}

/// The results of an action that is not Flight SQL's.
pub(crate) fn answer(served: &Served, action: &Action) -> Result<Vec<arrow_flight::Result>, Status> {
    let catalog = served.session.catalog_name();
    let body = match action.r#type.as_str() {
        CANCEL_FLIGHT_INFO => {
            let request = CancelFlightInfoRequest::decode(action.body.clone())
                .map_err(|e| malformed("the FlightInfo to cancel", e))?;
            let status = request.info.as_ref().map_or(CancelStatus::NotCancellable, |i| cancel(served, i));
            CancelFlightInfoResult { status: status as i32 }.encode_to_vec()
        }
        RENEW_FLIGHT_ENDPOINT => {
            // Endpoints do not expire.
            let request =
                RenewFlightEndpointRequest::decode(action.body.clone()).map_err(|e| malformed("the endpoint", e))?;
            request.endpoint.unwrap_or_default().encode_to_vec()
        }
        SET_SESSION_OPTIONS => {
            let request = session::SessionOptions::decode(action.body.clone())
                .map_err(|e| malformed("the session options", e))?;
            session::SetSessionOptionsResult { errors: refused_options(catalog, &request.options) }.encode_to_vec()
        }
        GET_SESSION_OPTIONS => {
            let value = session::SessionOptionValue { value: Some(session::Value::String(catalog.to_owned())) };
            session::SessionOptions { options: HashMap::from([("catalog".to_owned(), value)]) }.encode_to_vec()
        }
        CLOSE_SESSION => session::CloseSessionResult { status: 1 }.encode_to_vec(),
        other => return Err(failed(ErrorKind::Unsupported, format!("there is no action \"{other}\""))),
    };
    Ok(vec![arrow_flight::Result { body: body.into() }])
}

fn refused_options(
    catalog: &str,
    options: &HashMap<String, session::SessionOptionValue>,
) -> HashMap<String, session::OptionError> {
    let refused = |e: session::ErrorValue| session::OptionError { value: e as i32 };
    options
        .iter()
        .filter_map(|(name, value)| match (name.as_str(), value.value.as_ref()) {
            // Unsetting is always fine.
            (_, None) => None,
            ("catalog", Some(session::Value::String(c))) if c.eq_ignore_ascii_case(catalog) => None,
            ("catalog", Some(_)) => Some((name.clone(), refused(session::ErrorValue::InvalidValue))),
            _ => Some((name.clone(), refused(session::ErrorValue::InvalidName))),
        })
        .collect()
}

/// What `ListActions` adds.
pub(crate) fn types() -> Vec<ActionType> {
    [
        (CANCEL_FLIGHT_INFO, "Stops the query of a FlightInfo."),
        (RENEW_FLIGHT_ENDPOINT, "Answers with the same endpoint: endpoints do not expire."),
        (SET_SESSION_OPTIONS, "Accepts \"catalog\" with the name of the one catalog."),
        (GET_SESSION_OPTIONS, "The name of the one catalog."),
        (CLOSE_SESSION, "Does nothing: sessions have no state."),
    ]
    .into_iter()
    .map(|(name, text)| ActionType { r#type: name.to_owned(), description: text.to_owned() })
    .collect()
}
