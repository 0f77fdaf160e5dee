//! Chromium without a window, driven by its DevTools protocol.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use harness::ProcessGuard;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// The time limit for an answer of the browser, and for a page to show something.
const PATIENCE: Duration = Duration::from_secs(60);
/// The text by which Chromium says where its protocol is.
const LISTENING: &str = "DevTools listening on ws://";

/// A browser with one page.
pub(crate) struct Browser {
    _process: ProcessGuard,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    last_id: u64,
    /// Messages that were not requested, and are not yet looked at.
    events: VecDeque<Value>,
    /// The only server that the page may ask.
    origin: String,
}

impl Browser {
    /// Starts a browser with a new profile, whose page may ask the server `origin` only.
    pub(crate) fn start(profile: &Path, origin: &str) -> Result<Self> {
        harness::recreate(profile)?;
        let mut process: ProcessGuard = Command::new("chromium")
            .args(harness::CHROMIUM_ALONE)
            .arg("--remote-debugging-port=0")
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start chromium")?
            .into();
        let stderr = process.stderr.take().context("no standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let address = loop {
            let line = lines.next().context("chromium ended")??;
            if let Some((_, address)) = line.split_once(LISTENING) {
                break address.to_owned();
            }
        };
        // The pipe must not fill.
        std::thread::spawn(move || lines.for_each(drop));
        let host = address.split('/').next().unwrap_or_default();
        let stream = TcpStream::connect(host)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (socket, _) = tungstenite::client(format!("ws://{address}"), stream)?;
        let origin = origin.to_owned();
        let mut browser =
            Self { _process: process, socket, session: None, last_id: 0, events: VecDeque::new(), origin };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attached =
            browser.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }))?;
        browser.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network", "Performance"] {
            browser.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(browser)
    }

    /// Calls a method of the protocol, and returns its result.
    fn call(&mut self, method: &str, parameters: Value) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        let mut request = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            request["sessionId"] = session.as_str().into();
        }
        self.socket.send(Message::text(request.to_string()))?;
        loop {
            let Message::Text(text) = self.socket.read().with_context(|| method.to_owned())? else { continue };
            let mut message: Value = serde_json::from_str(&text)?;
            if message["id"] == id {
                ensure!(message["error"].is_null(), "{method}: {}", message["error"]);
                return Ok(message["result"].take());
            }
            self.events.push_back(message);
        }
    }

    /// Sets the size of the page in pixels.
    pub(crate) fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", size).map(drop)
    }

    /// Opens an address as a new page, and waits for a heading with the given text.
    pub(crate) fn open(&mut self, url: &str, heading: &str) -> Result<()> {
        self.call("Page.navigate", json!({ "url": "about:blank" }))?;
        self.call("Page.navigate", json!({ "url": url }))?;
        self.wait_for_heading(heading)
    }

    /// Waits until the page has a heading with the given text.
    pub(crate) fn wait_for_heading(&mut self, heading: &str) -> Result<()> {
        const HEADING: &str = "document.querySelector('main h2')?.textContent ?? ''";
        self.wait(HEADING, |found| found.as_str().is_some_and(|found| found.contains(heading)))
            .with_context(|| format!("expected the heading {heading}"))?;
        // Charts are drawn with the next frame.
        self.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))").map(drop)
    }

    /// Waits until an expression has a value that is right.
    pub(crate) fn wait(&mut self, expression: &str, is_right: impl Fn(&Value) -> bool) -> Result<Value> {
        let start = Instant::now();
        loop {
            let found = self.evaluate(expression)?;
            if is_right(&found) {
                return Ok(found);
            }
            if start.elapsed() > PATIENCE {
                bail!("{expression} is {found}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Evaluates an expression or a promise in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Result<Value> {
        let how = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", how)?;
        ensure!(answer["exceptionDetails"].is_null(), "{}", answer["exceptionDetails"]);
        Ok(answer["result"]["value"].take())
    }

    /// Presses and releases a key.
    pub(crate) fn press(&mut self, key: &str) -> Result<()> {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "PageUp" => 33,
            "PageDown" => 34,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => key.bytes().next().map_or(0, |byte| u32::from(byte.to_ascii_uppercase())),
        };
        let mut event = json!({ "type": "keyDown", "key": key, "windowsVirtualKeyCode": code });
        if key == "Enter" {
            event["text"] = "\r".into();
        } else if key.len() == 1 {
            event["text"] = key.into();
        }
        self.call("Input.dispatchKeyEvent", event.clone())?;
        event["type"] = "keyUp".into();
        self.call("Input.dispatchKeyEvent", event).map(drop)
    }

    /// Presses Tab until the element with the key `name` has the focus.
    pub(crate) fn tab_to(&mut self, name: &str) -> Result<()> {
        for _ in 0..200 {
            self.press("Tab")?;
            if self.evaluate("document.activeElement?.dataset?.key ?? ''")? == name {
                return Ok(());
            }
        }
        bail!("Tab does not reach {name}")
    }

    /// Cuts the page off from its server, or connects it again.
    pub(crate) fn set_offline(&mut self, offline: bool) -> Result<()> {
        let how = json!({ "offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
        self.call("Network.emulateNetworkConditions", how).map(drop)
    }

    /// Returns the time that scripts took so far, in milliseconds.
    pub(crate) fn script_ms(&mut self) -> Result<f64> {
        let metrics = self.call("Performance.getMetrics", json!({}))?;
        let metrics = metrics["metrics"].as_array().context("no metrics")?;
        let found = metrics.iter().find(|metric| metric["name"] == "ScriptDuration").context("no script time")?;
        Ok(found["value"].as_f64().unwrap_or_default() * 1_000.0)
    }

    /// Writes a picture of the page.
    pub(crate) fn take_picture(&mut self, file: &Path) -> Result<()> {
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" }))?;
        let content = BASE64_STANDARD.decode(picture["data"].as_str().context("no picture")?)?;
        fs::write(file, content).with_context(|| file.display().to_string())
    }

    /// Fails if the page logged an error, opened a dialog or asked another server.
    pub(crate) fn check_events(&mut self) -> Result<()> {
        for event in std::mem::take(&mut self.events) {
            let content = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" | "Log.entryAdded" | "Page.javascriptDialogOpening" => {
                    bail!("the page has a fault: {content}");
                }
                "Runtime.consoleAPICalled" if content["type"] == "error" => bail!("the page logs: {content}"),
                "Network.requestWillBeSent" => {
                    let url = content["request"]["url"].as_str().unwrap_or_default();
                    let is_own = url.starts_with(&self.origin) || url.starts_with("data:");
                    ensure!(is_own, "the page asks another server: {url}");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Forgets what the page did so far.
    pub(crate) fn forget_events(&mut self) {
        self.events.clear();
    }
}
