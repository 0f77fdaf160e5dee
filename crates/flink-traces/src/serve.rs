//! The command `serve`, and the page of other commands.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context;
use axum::Router;
use flink_traces_runtime::Problem;

use crate::cli::{Exit, LogFormat, ServeArgs};
use crate::listener;
use crate::load::{InvalidConfiguration, Settings};
use crate::options::HTTP_LISTEN;
use crate::otlp_in;
use crate::page::{Now, Page, history_directory};
use crate::signals::Signals;

/// The address of the page, unless it is configured.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9260);

/// Serves the page of a history until a signal arrives. `format` is that of the account at the end.
pub(crate) async fn serve(arguments: &ServeArgs, format: LogFormat) -> anyhow::Result<Exit> {
    let listen = arguments.listen.iter().map(|address| ("--listen", HTTP_LISTEN.key().to_owned(), address.clone()));
    let settings = Settings::load(&arguments.configuration, &listen.collect::<Vec<_>>())?;
    let Some(directory) = history_directory(&settings.reporters) else {
        let message = "no history: give --history DIR, or configure a reporter with the class flink-traces-history";
        return Err(InvalidConfiguration(vec![Problem::error(message.to_owned())]).into());
    };
    let mut signals = Signals::listen()?;
    let address = settings.http.listen.unwrap_or(DEFAULT_ADDRESS);
    let page = Page { directory, now: Now::ClockIfRecent, trace_url: settings.http.trace_url.clone() };
    let otlp = otlp_in::open(&settings)?;
    let mut router = page.router();
    if let Some(otlp) = &otlp {
        router = router.merge(otlp.clone().router());
    }
    open(&settings, address, router)?;
    signals.next().await;
    if let Some(otlp) = otlp {
        otlp.print_account(format);
    }
    Ok(Exit::Done)
}

/// Serves the page of a recorded session until a signal arrives.
pub(crate) async fn serve_recording(settings: &Settings, directory: PathBuf) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let page = Page { directory, now: Now::EndOfHistory, trace_url: settings.http.trace_url.clone() };
    open(settings, settings.http.listen.unwrap_or(DEFAULT_ADDRESS), page.router())?;
    signals.next().await;
    Ok(())
}

/// Serves `router` at `address`, and logs where.
pub(crate) fn open(settings: &Settings, address: SocketAddr, router: Router) -> anyhow::Result<()> {
    let (credentials, certificate) = (settings.http.credentials.clone(), settings.certificate.clone());
    let bound = listener::serve(address, router, credentials, certificate);
    let url = bound.with_context(|| HTTP_LISTEN.key())?;
    tracing::info!("serving the page at {url}/");
    Ok(())
}
