//! The dashboard as a server.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::get;
use axum::{Router, middleware};

use crate::access::{Token, guard};
use crate::connection::{Limits, accept};
use crate::index::{Index, IndexError};
use crate::state::App;
use crate::{api, pages};

/// Why the dashboard cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Other machines could ask without a secret.
    #[error("{0} can be reached from other machines, which needs a token")]
    Open(SocketAddr),
    /// The address is taken.
    #[error("port {} is in use: choose another with --port, or 0 for any that is free", .0.port())]
    InUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There is no index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The system refuses threads.
    #[error("cannot start the server: {0}")]
    Start(io::Error),
}

/// The dashboard of a folder of runs: pages and a JSON API over HTTP, which read and never write.
///
/// ```
/// use creamery_serve::Dashboard;
/// use std::sync::atomic::AtomicBool;
///
/// let runs = tempfile::tempdir()?;
/// let dashboard = Dashboard::bind(runs.path(), "127.0.0.1:0".parse()?, None)?;
/// println!("http://{}", dashboard.address());
/// let stop = AtomicBool::new(false);
/// # stop.store(true, std::sync::atomic::Ordering::Relaxed);
/// dashboard.run(&stop)?; // until somebody sets it
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Dashboard {
    listener: TcpListener,
    address: SocketAddr,
    app: Arc<App>,
    limits: Limits,
}

impl Dashboard {
    /// Takes an address; port 0 is any that is free. Where other machines can reach it there must be a token.
    ///
    /// # Errors
    /// If the address is taken or cannot be had, the folder cannot be read, or the token is missing.
    pub fn bind(
        runs: &Path,
        address: SocketAddr,
        token: Option<Token>,
    ) -> Result<Self, ServeError> {
        let loopback = address.ip().is_loopback();
        if !loopback && token.is_none() {
            return Err(ServeError::Open(address));
        }
        let index = Index::open(runs)?;
        let listen = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::InUse(address),
            _ => ServeError::Listen { address, source },
        };
        let listener = TcpListener::bind(address).map_err(listen)?;
        listener.set_nonblocking(true).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self {
            listener,
            address,
            app: App::new(index, token, loopback),
            limits: Limits::default(),
        })
    }

    /// Waits as long for slow clients as this, rather than 10 and 20 seconds: for the head of a request, and for a byte of an answer to be taken.
    #[must_use]
    pub fn patience(mut self, head: Duration, write: Duration) -> Self {
        self.limits.head = head;
        self.limits.write = write;
        self
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is set.
    ///
    /// # Errors
    /// If the system refuses threads.
    pub fn run(self, stop: &AtomicBool) -> Result<(), ServeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            // What reads and draws; more would only take turns.
            .max_blocking_threads(16)
            .enable_all()
            .build()
            .map_err(ServeError::Start)?;
        let ended = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            let server = tokio::spawn(accept(listener, router(self.app), self.limits));
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            server.abort();
            Ok(())
        });
        // Those who still watch are not waited for.
        runtime.shutdown_timeout(Duration::from_millis(200));
        ended.map_err(ServeError::Start)
    }
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(pages::runs))
        .route("/list", get(pages::list))
        .route("/run/{id}", get(pages::run))
        .route("/run/{id}/report.html", get(pages::report))
        .route("/compare", get(pages::compare))
        .route("/assets/{name}", get(pages::asset))
        .route("/favicon.ico", get(pages::icon))
        .route("/api/runs", get(api::runs))
        .route("/api/runs/live", get(api::runs_live))
        .route("/api/run/{id}", get(api::run))
        .route("/api/run/{id}/curves", get(api::curves))
        .route("/api/run/{id}/board", get(api::board))
        .route("/api/run/{id}/evaluations", get(api::evaluations))
        .route("/api/run/{id}/live", get(api::run_live))
        .route("/api/run/{id}/file/{name}", get(api::file))
        .route("/api/run/{id}/model.onnx", get(api::onnx))
        .fallback(|| async { pages::refusal(StatusCode::NOT_FOUND, "There is no such page.") })
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}
