//! The page in a real browser: each view of the demo session, and the picture of the README.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};
use harness::Prerequisites;
use serde_json::Value;

/// The sizes of the window, in pixels. Chromium does not make narrower ones.
const SIZES: [(&str, &str); 2] = [("wide", "1600,1000"), ("narrow", "500,900")];
/// The text by which the program says where the page is.
const SERVING: &str = "serving the page at http://";

/// The program, which is stopped when it is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() -> anyhow::Result<()> {
    let chromium = "chromium";
    Prerequisites::new("testing/page/README.md").program(chromium, "the package chromium").check()?;
    let root = harness::workspace_root()?;
    let pictures = root.join("target/page");
    fs::create_dir_all(&pictures)?;
    let (_program, address) = start(&pictures)?;
    for (name, state, heading) in views(&address)? {
        for theme in ["light", "dark"] {
            let url = format!("http://{address}/#theme={theme}&{state}");
            check(chromium, &url, &heading).with_context(|| format!("{name}, {theme}"))?;
            for (size, pixels) in SIZES {
                let picture = pictures.join(format!("{name}-{theme}-{size}.png"));
                shoot(chromium, &url, pixels, &picture)?;
            }
        }
        harness::say(&format!("{name}: shown"));
    }
    fs::copy(pictures.join("checkpoint-light-wide.png"), root.join("docs/page.png"))?;
    harness::say(&format!("pictures in {}", pictures.display()));
    Ok(())
}

/// Builds and starts the demo, and returns the address of its page.
fn start(directory: &Path) -> anyhow::Result<(Program, String)> {
    let mut child = Command::new(harness::build("flink-traces")?)
        .args(["demo", "--quiet", "--serve", "-D", "flink-traces.http.listen=0"])
        .current_dir(directory)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = child.stderr.take().context("no standard error")?;
    let program = Program(child);
    for line in BufReader::new(stderr).lines() {
        if let Some((_, rest)) = line?.split_once(SERVING) {
            return Ok((program, rest.trim_end_matches('/').to_owned()));
        }
    }
    bail!("the demo ended before it served its page")
}

/// Gets an answer of the page.
fn get(address: &str, path: &str) -> anyhow::Result<Value> {
    let mut connection = TcpStream::connect(address)?;
    write!(connection, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
    Ok(serde_json::from_str(body)?)
}

/// Returns the name, the state and the heading of each view.
fn views(address: &str) -> anyhow::Result<Vec<(&'static str, String, String)>> {
    let status = get(address, "/api/status")?;
    let (from, to) = (&status["extent"]["first_ms"], status["now_ms"].as_i64().context("no time")? + 1);
    let fleet = get(address, &format!("/api/fleet?from={from}&to={to}"))?;
    let jobs = fleet["jobs"].as_array().context("no jobs")?;
    let orders = jobs.iter().find(|job| job["name"] == "orders-recover").context("no job orders-recover")?;
    let job = &orders["job"];
    let view = get(address, &format!("/api/job?job={job}&from={from}&to={to}"))?;
    let rows = view["checkpoints"].as_array().context("no checkpoints")?;
    let slow = rows.iter().find(|row| row["id"] == 16).context("no checkpoint 16")?;
    let checkpoint = format!("view=checkpoint&job={job}&trigger={}&id=16", slow["trigger_ms"]);
    let named = |name: &str| name.to_owned();
    Ok(vec![
        ("now", named("view=now"), named("Now")),
        ("fleet", named("view=fleet"), named("Fleet")),
        ("job", format!("view=job&job={job}"), named("orders-recover")),
        ("checkpoint", checkpoint, named("Checkpoint 16 of")),
        ("stragglers", format!("view=stragglers&job={job}"), named("Stragglers of")),
        ("recoveries", named("view=recoveries"), named("Recoveries")),
        ("failures", named("view=failures"), named("Failures by cause")),
    ])
}

fn browser(chromium: &str) -> Command {
    let mut command = Command::new(chromium);
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        "--virtual-time-budget=4000",
    ]);
    command
}

/// Fails if the browser logs an error or the page lacks its heading or its data.
fn check(chromium: &str, url: &str, heading: &str) -> anyhow::Result<()> {
    let shown = browser(chromium).args(["--dump-dom", url]).output()?;
    let log = String::from_utf8_lossy(&shown.stderr);
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    ensure!(errors.is_empty(), "the browser logs: {}", errors.join("\n"));
    let page = String::from_utf8_lossy(&shown.stdout);
    let title = page.split_once("<h2>").map(|(_, rest)| rest).context("no heading")?;
    let title = title.split_once("</h2>").map_or(title, |(title, _)| title);
    ensure!(title.contains(heading), "expected the heading {heading}, found {title}");
    ensure!(!page.contains("cannot be read") && !page.contains("No data."), "the page has no data");
    Ok(())
}

fn shoot(chromium: &str, url: &str, pixels: &str, picture: &Path) -> anyhow::Result<()> {
    let screenshot = format!("--screenshot={}", picture.display());
    let shot = browser(chromium).args([&screenshot, &format!("--window-size={pixels}"), url]).output()?;
    ensure!(shot.status.success() && picture.exists(), "no picture of {url}");
    Ok(())
}
