//! What one caller planned is not another's.

use datafusion::common::ScalarValue;

use super::{ME, session};
use crate::Caller;

#[tokio::test]
async fn a_statement_is_run_for_the_caller_it_was_planned_for() {
    let (s, other) = (session(), Caller::named("other"));
    let planned = s.plan(ME, "SELECT id FROM silver.events WHERE battery > ?", None).await.unwrap();
    let value = vec![ScalarValue::Int32(Some(1))];
    assert_eq!(s.bind(&other, &planned, value.clone()).await.err().unwrap().code, "Q0106");
    let bound = s.bind(ME, &planned, value).await.unwrap();
    assert_eq!(s.execute(&other, &bound, None).await.err().unwrap().code, "Q0106");
    assert!(s.execute(ME, &bound, None).await.is_ok());
}
