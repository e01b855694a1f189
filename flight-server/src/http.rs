//! HTTP: whether the process lives, whether it can work, and its metrics.
//!
//!   GET /healthz   200 while the process answers             GET /metrics   Prometheus' text format 0.0.4
//!   GET /readyz    200 while `ready` says so, else 503
//!
//! Invariants
//! * On a port of its own, so that a probe needs no Flight client and a proxy before Flight shows none of it.
//! * Nothing of a row, a statement or a setting is shown; of an error its code.
//!
//! Not here: what is counted (`ingot_telemetry`), what ready means (its caller).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use futures::future::BoxFuture;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::error::ServeError;

/// How long `ready` may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long open connections may take to end.
const GRACE: Duration = Duration::from_secs(1);
/// Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Whether what the process serves can be served now; else the reason, which is shown.
pub type Ready = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Serves until `shutdown`.
///
/// # Errors
/// A listener that fails.
pub async fn serve(listener: TcpListener, ready: Ready, shutdown: CancellationToken) -> Result<(), ServeError> {
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/healthz", get(|| async { text(StatusCode::OK, "ok\n".to_owned()) }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(ready);
    info!(%address, "serving health and metrics over http");
    let stop = shutdown.clone();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await });
    tokio::select! {
        ended = serving.into_future() => ended?,
        () = async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        } => {}
    }
    Ok(())
}

fn text(status: StatusCode, body: String) -> impl IntoResponse {
    (status, [(header::CONTENT_TYPE, TEXT)], body)
}

async fn readyz(State(ready): State<Ready>) -> impl IntoResponse {
    match tokio::time::timeout(ANSWER, ready()).await {
        Ok(Ok(())) => text(StatusCode::OK, "ready\n".to_owned()),
        Ok(Err(reason)) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
        Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, format!("no answer within {} s\n", ANSWER.as_secs())),
    }
}

async fn metrics() -> impl IntoResponse {
    match ingot_telemetry::text() {
        Ok(series) => (StatusCode::OK, [(header::CONTENT_TYPE, METRICS)], series),
        Err(reason) => (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, TEXT)], reason),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn get(at: std::net::SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn it_tells_life_readiness_and_metrics_and_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (is_ready, stop) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
        let asked = Arc::clone(&is_ready);
        let ready: Ready = Arc::new(move || {
            let told = if asked.load(Ordering::Relaxed) { Ok(()) } else { Err("L0101".to_owned()) };
            futures::future::ready(told).boxed()
        });
        let served = tokio::spawn(serve(listener, ready, stop.clone()));
        assert!(get(at, "/healthz").await.starts_with("HTTP/1.1 200 OK"));
        let answer = get(at, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503") && answer.ends_with("L0101\n"), "{answer}");
        is_ready.store(true, Ordering::Relaxed);
        assert!(get(at, "/readyz").await.starts_with("HTTP/1.1 200 OK"));
        ingot_telemetry::metrics().source_waits.add(["a \"topic\""], 2);
        let answer = get(at, "/metrics").await;
        assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
        assert!(answer.contains("ingot_source_waits_total{topic=\"a \\\"topic\\\"\"} 2\n"), "{answer}");
        assert!(get(at, "/").await.starts_with("HTTP/1.1 404"));
        stop.cancel();
        tokio::time::timeout(Duration::from_secs(10), served).await.unwrap().unwrap().unwrap();
    }
}
