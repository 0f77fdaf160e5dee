//! The page in a real browser: every view, both themes, two sizes, the keyboard alone, hostile
//! names, 10,000 checkpoints, accessibility, and the figures of the recording.

mod browser;
mod figures;
mod made;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use harness::{Prerequisites, ProcessGuard, say};
use serde_json::Value;

use crate::browser::Browser;

/// The sizes of the page, in pixels.
const SIZES: [(&str, u32, u32); 2] = [("wide", 1600, 1000), ("narrow", 390, 844)];
/// The text by which the program says where the page is.
const SERVING: &str = "serving the page at ";
/// The checker of accessibility.
const AXE: &str = "axe-core@4.14.1";

/// A view: its name, its state in the URL, and a part of its heading.
type View = (&'static str, String, String);

fn main() -> Result<()> {
    Prerequisites::new("testing/page/README.md")
        .program("chromium", "the package chromium")
        .program("npm", "the package npm")
        .check()?;
    let root = harness::workspace_root()?;
    let folder = root.join("target/page");
    fs::create_dir_all(&folder)?;
    let axe = fetch_axe(&folder)?;
    let program = harness::build("flink-traces")?;

    let (_demo, demo) = start(&program, &folder, &["demo", "--quiet", "--serve", "-D", "flink-traces.http.listen=0"])?;
    let mut browser = Browser::start(&folder.join("profile"), &demo)?;
    let views = views_of(&demo, "orders-recover", 16)?;
    show(&mut browser, &demo, &views, &axe, Some(&folder))?;
    fs::copy(folder.join("checkpoint-light-wide.png"), root.join("docs/page.png"))?;
    say("demo: every view in both themes and sizes, without a violation");
    use_keyboard(&mut browser, &demo)?;
    say("demo: every view by the keyboard alone");
    figures::compare(&mut browser, &demo, &root.join(harness::RECORDING))?;
    say("demo: the figures of the recording");
    lose_server(&mut browser, &demo, &views)?;
    say("demo: the page stays while its server is away");
    drop(browser);

    let history = folder.join("history");
    harness::recreate(&history)?;
    made::write(&history)?;
    let serve = ["serve", "--history", "history", "--listen", "0"];
    let (_server, made) = start(&program, &folder, &serve)?;
    let mut browser = Browser::start(&folder.join("profile"), &made)?;
    let views = views_of(&made, made::HOSTILE, 1)?;
    show(&mut browser, &made, &views, &axe, None)?;
    say("hostile names are text in every view");
    measure(&mut browser, &made, &views)?;
    say(&format!("pictures in {}", folder.display()));
    Ok(())
}

/// Fetches the checker of accessibility once, and returns its script.
fn fetch_axe(folder: &Path) -> Result<String> {
    let script = folder.join("package/axe.min.js");
    if !script.exists() {
        let packed = folder.join("axe.tgz");
        let mut pack = Command::new("npm");
        pack.args(["pack", "--silent", AXE]).current_dir(folder).stdout(Stdio::null());
        harness::run(&mut pack)?;
        fs::rename(folder.join(format!("{}.tgz", AXE.replace('@', "-"))), &packed)?;
        harness::run(Command::new("tar").args(["-xzf", "axe.tgz"]).current_dir(folder))?;
    }
    fs::read_to_string(&script).with_context(|| script.display().to_string())
}

/// Starts the program in `folder`, and returns the address of its page.
fn start(program: &Path, folder: &Path, arguments: &[&str]) -> Result<(ProcessGuard, String)> {
    let mut process: ProcessGuard = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?
        .into();
    let stderr = process.stderr.take().context("no standard error")?;
    let mut lines = BufReader::new(stderr).lines();
    for line in lines.by_ref() {
        if let Some((_, url)) = line?.split_once(SERVING) {
            std::thread::spawn(move || lines.for_each(drop));
            return Ok((process, url.trim_end_matches('/').to_owned()));
        }
    }
    bail!("the program ended before it served its page")
}

/// Gets an answer of the page.
fn get(url: &str, path: &str) -> Result<Value> {
    let mut connection = TcpStream::connect(url.trim_start_matches("http://"))?;
    write!(connection, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
    serde_json::from_str(body).with_context(|| format!("{path}: {body}"))
}

/// Returns the job with that name, and its newest checkpoint whose id is `id`.
fn job_with_checkpoint(url: &str, name: &str, id: i64) -> Result<(Value, Value)> {
    let status = get(url, "/api/status")?;
    let (from, to) = (&status["extent"]["first_ms"], status["now_ms"].as_i64().context("no time")? + 1);
    let fleet = get(url, &format!("/api/fleet?from={from}&to={to}"))?;
    let jobs = fleet["jobs"].as_array().context("no jobs")?;
    let job = jobs.iter().find(|job| job["name"] == name).with_context(|| format!("no job {name}"))?["job"].clone();
    let view = get(url, &format!("/api/job?job={job}&from={from}&to={to}"))?;
    let rows = view["checkpoints"].as_array().context("no checkpoints")?;
    let row = rows.iter().find(|row| row["id"] == id).with_context(|| format!("no checkpoint {id}"))?;
    Ok((job, row["trigger_ms"].clone()))
}

/// Returns the views of one job and one checkpoint, and those of all jobs.
fn views_of(url: &str, name: &str, id: i64) -> Result<Vec<View>> {
    let (job, trigger) = job_with_checkpoint(url, name, id)?;
    let all = |view: &str| format!("view={view}");
    Ok(vec![
        ("now", all("now"), "Now".to_owned()),
        ("fleet", all("fleet"), "Fleet".to_owned()),
        ("job", format!("view=job&job={job}"), name.to_owned()),
        (
            "checkpoint",
            format!("view=checkpoint&job={job}&trigger={trigger}&id={id}"),
            format!("Checkpoint {id} of {name}"),
        ),
        ("stragglers", format!("view=stragglers&job={job}"), format!("Stragglers of {name}")),
        ("recoveries", all("recoveries"), "Recoveries".to_owned()),
        ("failures", all("failures"), "Failures by cause".to_owned()),
    ])
}

/// Shows each view in both themes and sizes, and checks it.
fn show(browser: &mut Browser, url: &str, views: &[View], axe: &str, pictures: Option<&Path>) -> Result<()> {
    for theme in ["light", "dark"] {
        for (size, width, height) in SIZES {
            browser.resize(width, height)?;
            for (name, state, heading) in views {
                let what = format!("{name}, {theme}, {size}");
                browser.open(&format!("{url}/#theme={theme}&{state}"), heading).with_context(|| what.clone())?;
                check(browser, axe).with_context(|| what.clone())?;
                if let Some(pictures) = pictures {
                    browser.take_picture(&pictures.join(format!("{name}-{theme}-{size}.png")))?;
                }
            }
        }
    }
    Ok(())
}

/// Fails if the page has a fault, lacks data, runs foreign content, or shuts people out.
fn check(browser: &mut Browser, axe: &str) -> Result<()> {
    browser.check_events()?;
    let text = browser.evaluate("document.body.innerText")?;
    let text = text.as_str().context("no text")?;
    ensure!(!text.contains("cannot be read") && !text.contains("No data."), "the page has no data: {text}");
    ensure!(!text.contains("NaN") && !text.contains("undefined"), "the page shows no value: {text}");
    let foreign = browser.evaluate("window.hostile ?? document.querySelectorAll('img, iframe, main script').length")?;
    ensure!(foreign == 0, "a name is more than text");
    let width = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    browser.wait(width, |found| *found == 0).context("the page is wider than its window")?;

    browser.evaluate(&format!("{axe}; 0"))?;
    let violations = browser.evaluate(
        "axe.run(document, { resultTypes: ['violations'] }).then(found => found.violations
            .filter(one => ['serious', 'critical'].includes(one.impact))
            .map(one => `${one.id}: ${one.help}: ${one.nodes.map(node => node.html).join(' ').slice(0, 500)}`))",
    )?;
    ensure!(violations.as_array().is_some_and(Vec::is_empty), "violations of accessibility: {violations:#}");
    Ok(())
}

/// Reaches every view with keys only.
fn use_keyboard(browser: &mut Browser, url: &str) -> Result<()> {
    browser.resize(1600, 1000)?;
    browser.open(&format!("{url}/"), "Now")?;
    browser.press("f")?;
    browser.wait_for_heading("Fleet")?;
    open_from(browser, "heat", &["ArrowDown"], "orders-recover")?;
    open_from(browser, "lanes", &["End", "ArrowLeft"], "point ")?;
    // This chart unfolds a task, and leads nowhere.
    open_from(browser, "gantt", &["ArrowDown"], "point ")?;
    browser.tab_to("nav stragglers")?;
    browser.press("Enter")?;
    browser.wait_for_heading("Stragglers")?;
    open_from(browser, "matrix", &["ArrowDown"], "point ")?;
    for (key, heading) in [("r", "Recoveries"), ("x", "Failures"), ("n", "Now")] {
        browser.press(key)?;
        browser.wait_for_heading(heading)?;
    }
    let theme = browser.evaluate("document.documentElement.dataset.theme")?;
    browser.press("t")?;
    browser.wait("document.documentElement.dataset.theme", |found| *found != theme)?;
    browser.press("f")?;
    browser.wait_for_heading("Fleet")?;
    browser.press("/")?;
    for key in ["t", "m", "-", "Enter"] {
        browser.press(key)?;
    }
    browser.wait("document.querySelectorAll('main table tbody tr').length", |found| *found == 1)?;
    browser.evaluate("document.activeElement.blur()")?;
    browser.press("m")?;
    const COPIED: &str = "document.getElementById('notice').textContent === 'Copied as Markdown.' || \
                          document.querySelector('textarea')?.value.includes('tm-lost') === true";
    browser.wait(COPIED, |found| *found == true)?;
    browser.check_events()
}

/// Moves the cursor of a chart, which must say what it is on, and opens that.
fn open_from(browser: &mut Browser, chart: &str, keys: &[&str], heading: &str) -> Result<()> {
    const SAID: &str = "document.activeElement.closest('.chart').parentElement.querySelector('[aria-live]').innerText";
    browser.tab_to(chart)?;
    for key in keys {
        browser.press(key)?;
    }
    let said = browser.evaluate(SAID)?;
    ensure!(said.as_str().is_some_and(|said| said.trim().len() > 5), "{chart} says {said}");
    browser.press("Enter")?;
    browser.wait_for_heading(heading)
}

/// Cuts the page off, which keeps what it shows, and connects it again.
fn lose_server(browser: &mut Browser, url: &str, views: &[View]) -> Result<()> {
    let (_, state, heading) = &views[1];
    browser.open(&format!("{url}/#{state}"), heading)?;
    browser.check_events()?;
    browser.set_offline(true)?;
    browser.press("r")?;
    browser.wait("document.getElementById('notice').textContent", |found| {
        found.as_str().is_some_and(|text| text.contains("cannot be read"))
    })?;
    browser.set_offline(false)?;
    browser.press("f")?;
    browser.wait_for_heading("Fleet")?;
    // The failed request is logged by the browser itself.
    browser.forget_events();
    Ok(())
}

/// Measures the job with 10,000 checkpoints.
fn measure(browser: &mut Browser, url: &str, views: &[View]) -> Result<()> {
    let (job, _) = job_with_checkpoint(url, made::LONG, 1)?;
    browser.resize(1600, 1000)?;
    let window = 7 * 86_400_000_i64;
    let mut drawn = Vec::new();
    for _ in 0..5 {
        browser.open(&format!("{url}/#{}", views[0].1), "Now")?;
        let took = browser.evaluate(&format!(
            "new Promise(done => {{
                const start = performance.now();
                new MutationObserver((_, watch) => {{
                    if (!document.querySelector('main canvas')) return;
                    watch.disconnect();
                    requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
                }}).observe(document.getElementById('main'), {{ childList: true }});
                location.hash = 'view=job&job={job}&window={window}';
            }})"
        ))?;
        drawn.push(took.as_f64().context("no time")?);
    }
    browser.wait_for_heading(made::LONG)?;
    let facts = browser.evaluate("document.querySelector('main').innerText")?;
    let expected = format!("{} checkpoints, 0 failed, 0 missed", made::CHECKPOINTS);
    ensure!(facts.as_str().is_some_and(|facts| facts.contains(&expected)), "expected {expected}, found {facts}");
    drawn.sort_by(f64::total_cmp);

    const FRAMES: u32 = 200;
    let before = browser.script_ms()?;
    browser.evaluate(&format!(
        "new Promise(done => {{
            const box = [...document.querySelectorAll('.scroll')].sort((a, b) => b.scrollHeight - a.scrollHeight)[0];
            let frame = 0;
            const step = () => {{
                box.scrollTop = box.scrollHeight * frame / {FRAMES};
                frame += 1;
                if (frame > {FRAMES}) done(); else requestAnimationFrame(step);
            }};
            step();
        }})"
    ))?;
    let script = (browser.script_ms()? - before) / f64::from(FRAMES);
    browser.check_events()?;
    let (median, slowest) = (drawn[drawn.len() / 2], drawn[drawn.len() - 1]);
    say(&format!("10,000 checkpoints: asked and drawn in {median:.0} ms (slowest {slowest:.0} ms)"));
    say(&format!("10,000 rows: {script:.2} ms of scripts a frame while they scroll"));
    Ok(())
}
