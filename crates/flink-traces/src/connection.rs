//! The connection to a cluster: the clients of its JobManagers, and its credentials.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use flink_rest::{Client, Endpoint, Error, Resource, Response};

use crate::cluster::{Authorization, Cluster};

/// The time for which a token that was read from a file is used.
const TOKEN_AGE: Duration = Duration::from_secs(1);

/// The connection to the JobManagers of one cluster.
///
/// Requests go to one of them. The first request for the job overview that it does not answer goes
/// to the others, too, and the first that answers is the one from then on.
pub(crate) struct Connection {
    cluster: Cluster,
    clients: Vec<Client>,
    current: AtomicUsize,
    token: Mutex<Token>,
}

/// The token of a file, as it was read last.
#[derive(Default)]
struct Token {
    text: String,
    read_at: Option<Instant>,
    is_missing: bool,
}

impl Connection {
    /// Creates the clients, without connecting them.
    ///
    /// # Errors
    /// Fails if an address or a certificate is invalid.
    pub(crate) fn open(cluster: Cluster) -> Result<Self, Error> {
        let access = &cluster.options.access;
        let clients: Vec<_> = cluster.urls.iter().map(|url| access.client(url)).collect::<Result<_, _>>()?;
        let connection = Self { clients, current: AtomicUsize::new(0), token: Mutex::default(), cluster };
        if let Authorization::BearerFile(file) = &connection.cluster.options.access.authorization {
            connection.set_token(file.read());
        }
        Ok(connection)
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Returns the name of the cluster.
    pub(crate) fn name(&self) -> &str {
        &self.cluster.name
    }

    /// Returns the address of the JobManager that requests go to.
    pub(crate) fn base_url(&self) -> &str {
        self.clients.get(self.current()).map(Client::base_url).unwrap_or_default()
    }

    /// Returns the first address, without scheme, user and password.
    pub(crate) fn address(&self) -> &str {
        let url = self.clients.first().map(Client::base_url).unwrap_or_default();
        url.split_once("://").map_or(url, |(_, address)| address)
    }

    /// Returns the host in the first address, which takes the place of the JobManager's host name.
    pub(crate) fn host(&self) -> &str {
        let authority = self.address().split('/').next().unwrap_or_default();
        match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => authority,
        }
    }

    /// Requests a resource and returns the response, of any status.
    pub(crate) async fn get(&self, resource: &Resource) -> Result<Response, Error> {
        #[cfg(test)]
        if let Some(network) = &self.cluster.options.access.network {
            return (network.0)(self.base_url(), resource).await;
        }
        let is_final = |result: &Result<Response, Error>| {
            !matches!(resource, Resource::JobsOverview(_))
                || result.as_ref().is_ok_and(|response| response.status < 500)
        };
        self.ask(is_final, |client| client.get(resource)).await
    }

    /// Sends a request to an endpoint and decodes the response.
    pub(crate) async fn call<E: Endpoint>(&self, endpoint: &E) -> Result<E::Response, Error> {
        #[cfg(test)]
        if self.cluster.options.access.network.is_some() {
            return Err(Error::Transport { url: endpoint.path(), problem: "there is no network".to_owned() });
        }
        let is_final = |result: &Result<E::Response, Error>| match result {
            Err(Error::Status { problem, .. }) => problem.status() < 500,
            result => result.is_ok(),
        };
        self.ask(is_final, |client| client.call(endpoint)).await
    }

    /// Asks the current JobManager, and the others if its result is not final. The first with a
    /// final result is the current one from then on.
    async fn ask<'a, T, F: Future<Output = T>>(
        &'a self,
        is_final: impl Fn(&T) -> bool,
        send: impl Fn(&'a Client) -> F,
    ) -> T {
        self.authorize().await;
        let current = self.current();
        let result = send(&self.clients[current]).await;
        if is_final(&result) {
            return result;
        }
        for index in self.others(current) {
            // In a box, because a request without it would be twice as large.
            let other = Box::pin(send(&self.clients[index])).await;
            if is_final(&other) {
                self.switch(index);
                return other;
            }
        }
        result
    }

    fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// Returns the other JobManagers, beginning with the one after the current one.
    fn others(&self, current: usize) -> impl Iterator<Item = usize> + use<> {
        let count = self.clients.len();
        (1..count).map(move |step| (current + step) % count)
    }

    fn switch(&self, index: usize) {
        self.current.store(index, Ordering::Relaxed);
        let (cluster, address) = (&self.cluster.name, self.clients[index].base_url());
        tracing::info!(cluster, address, "another JobManager responds, using it");
    }

    /// Reads the token again if it is old.
    async fn authorize(&self) {
        let Authorization::BearerFile(file) = &self.cluster.options.access.authorization else { return };
        {
            let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
            if token.read_at.is_some_and(|read_at| read_at.elapsed() < TOKEN_AGE) {
                return;
            }
            token.read_at = Some(Instant::now());
        }
        let file = file.clone();
        // A file on another machine may take its time, which must not delay other clusters.
        if let Ok(found) = tokio::task::spawn_blocking(move || file.read()).await {
            self.set_token(found);
        }
    }

    /// Takes a token over. While there is none, the last one stays in use.
    fn set_token(&self, found: Result<String, String>) {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        token.read_at = Some(Instant::now());
        let problem = match found {
            Ok(text) if text == token.text => None,
            Ok(text) => {
                let set = self.clients.iter().try_for_each(|client| client.set_bearer_auth(&text));
                token.text = text;
                set.err().map(|error| error.to_string())
            }
            Err(error) => Some(error),
        };
        let was_missing = std::mem::replace(&mut token.is_missing, problem.is_some());
        if let Some(error) = problem.filter(|_| !was_missing) {
            tracing::warn!(cluster = self.cluster.name, error, "no token in the file, using the last one");
        }
    }
}
