//! Credentials: headers, basic authentication, a bearer token or a file that holds one.

use std::cell::RefCell;
use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flink_traces_api::REDACTED;
use http::HeaderValue;

use crate::config::Authorization;

/// The option that names the token file, for errors.
const FILE_KEY: &str = "exporter.bearer-token-file";

/// The `Authorization` header, and all secrets that must not be shown.
pub(crate) struct Credentials {
    authorization: Authorization,
    /// The last token of the file, and the header value with it.
    token: RefCell<Option<(String, HeaderValue)>>,
    /// The values that no log and no error may show.
    secrets: Vec<String>,
}

impl Credentials {
    /// Prepares the header. `secrets` are further values that must not be shown.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is not a valid header. The message does not show the value.
    pub(crate) fn new(authorization: Authorization, secrets: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut secrets: Vec<_> = secrets.collect();
        let fixed = match &authorization {
            Authorization::None | Authorization::BearerFile(_) => None,
            Authorization::Basic(user, password) => {
                secrets.push(password.clone());
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            Authorization::Bearer(token) => Some(format!("Bearer {token}")),
        };
        let token = match &fixed {
            Some(text) => Some((String::new(), sensitive(text).ok_or("credentials: expected printable ASCII")?)),
            None => None,
        };
        secrets.extend(fixed);
        let credentials = Self { authorization, token: RefCell::new(token), secrets };
        if let Authorization::BearerFile(_) = &credentials.authorization {
            credentials.read()?;
        }
        Ok(credentials)
    }

    /// Returns the value of `Authorization`, with the current token of the file.
    ///
    /// If the file holds no token, the last one stays in use.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        if let Authorization::BearerFile(_) = &self.authorization {
            let _ = self.read();
        }
        self.token.borrow().as_ref().map(|(_, value)| value.clone())
    }

    /// Returns `true` if the file holds another token than the one that was used last.
    pub(crate) fn have_changed(&self) -> bool {
        let found = self.token_of_file().and_then(Result::ok);
        found.is_some_and(|found| self.token.borrow().as_ref().is_none_or(|(known, _)| *known != found))
    }

    /// Returns the text with all secrets replaced.
    pub(crate) fn redact(&self, text: &str) -> String {
        const SHORTEST: usize = 4;
        let token = self.token.borrow();
        let token = token.as_ref().map(|(token, _)| token);
        let words = self
            .secrets
            .iter()
            .chain(token)
            .flat_map(|value| std::iter::once(value.as_str()).chain(value.split_whitespace()));
        let mut words: Vec<_> = words.filter(|word| word.len() >= SHORTEST).collect();
        // Longer secrets come first, since one may contain another.
        words.sort_by_key(|word| std::cmp::Reverse(word.len()));
        words.iter().fold(text.to_owned(), |text, word| text.replace(word, REDACTED))
    }

    fn token_of_file(&self) -> Option<Result<String, String>> {
        let Authorization::BearerFile(path) = &self.authorization else { return None };
        let text = fs::read_to_string(path).map_err(|error| format!("{FILE_KEY}: {error}"));
        Some(text.and_then(|text| match text.trim() {
            "" => Err(format!("{FILE_KEY}: the file is empty")),
            token => Ok(token.to_owned()),
        }))
    }

    fn read(&self) -> Result<(), String> {
        let Some(token) = self.token_of_file() else { return Ok(()) };
        let token = token?;
        let value = sensitive(&format!("Bearer {token}"))
            .ok_or_else(|| format!("{FILE_KEY}: expected a token of printable ASCII"))?;
        self.token.replace(Some((token, value)));
        Ok(())
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok().filter(|value| value.to_str().is_ok())?;
    value.set_sensitive(true);
    Some(value)
}
