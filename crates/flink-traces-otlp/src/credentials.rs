//! Credentials: headers, basic authentication, a bearer token or a file that holds one.

use std::cell::RefCell;
use std::fmt::Display;
use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::config::Authorization;

/// The option that names the token file, for errors.
const FILE_KEY: &str = "exporter.bearer-token-file";

/// The `Authorization` header.
pub(crate) struct Credentials {
    authorization: Authorization,
    /// The last token of the file, and the header value with it.
    token: RefCell<Option<(String, HeaderValue)>>,
}

impl Credentials {
    /// Prepares the header.
    ///
    /// # Errors
    ///
    /// Returns an error if the value is not a valid header. The message does not show the value.
    pub(crate) fn new(authorization: Authorization) -> Result<Self, String> {
        let fixed = match &authorization {
            Authorization::None | Authorization::BearerFile(_) => None,
            Authorization::Basic(user, password) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            Authorization::Bearer(token) => Some(format!("Bearer {}", bare_token(token))),
        };
        let token = match &fixed {
            Some(text) => Some((String::new(), sensitive(text).ok_or("credentials: expected printable ASCII")?)),
            None => None,
        };
        let credentials = Self { authorization, token: RefCell::new(token) };
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

    /// Returns the last token of the file.
    pub(crate) fn token(&self) -> Option<String> {
        self.token.borrow().as_ref().map(|(token, _)| token.clone())
    }

    fn token_of_file(&self) -> Option<Result<String, String>> {
        let Authorization::BearerFile(path) = &self.authorization else { return None };
        let problem = |problem: &dyn Display| format!("{FILE_KEY}: {}: {problem}", path.display());
        let text = fs::read_to_string(path).map_err(|error| problem(&error));
        let token = text.map(|text| bare_token(&text).to_owned());
        Some(token.and_then(|token| match token.as_str() {
            "" => Err(problem(&"the file has no token")),
            text if sensitive(text).is_none() => Err(problem(&"expected a token of printable ASCII")),
            _ => Ok(token),
        }))
    }

    fn read(&self) -> Result<(), String> {
        let Some(token) = self.token_of_file() else { return Ok(()) };
        let token = token?;
        let value = sensitive(&format!("Bearer {token}"));
        self.token.replace(value.map(|value| (token, value)));
        Ok(())
    }
}

/// Returns the token in a text that may have a byte order mark, and the scheme in front of it.
fn bare_token(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}').trim();
    let scheme = text.get(..7).filter(|start| start.eq_ignore_ascii_case("bearer "));
    scheme.map_or(text, |scheme| text[scheme.len()..].trim_start())
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(text).ok().filter(|value| value.to_str().is_ok())?;
    value.set_sensitive(true);
    Some(value)
}
