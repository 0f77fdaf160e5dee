//! Chromium without a window, and pictures of pages for the documentation.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use harness::{CHROMIUM_ALONE, recreate, run as run_program};
use tokio::process::Command;
use tokio::time::timeout;

/// The virtual time that a page gets, in milliseconds.
const BUDGET: u32 = 8000;
const TRIES: usize = 6;
/// The time limit for a browser, several times its usual time.
const PATIENCE: Duration = Duration::from_secs(25);
/// The options by which a picture shows the whole page.
const WHOLE: &[&str] = &["--run-all-compositor-stages-before-draw", "--window-size=1280,900"];

/// Opens a page in a browser with a new profile below `folder`, and returns its output.
///
/// Browsers in virtual time hang now and then, so there are several tries.
pub(crate) async fn open(folder: &Path, url: &str, action: &str) -> Result<String> {
    for _ in 0..TRIES {
        let profile = folder.join("profile");
        recreate(&profile)?;
        let shown = Command::new("chromium")
            .args(CHROMIUM_ALONE)
            .args(WHOLE)
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(format!("--virtual-time-budget={BUDGET}"))
            .arg(action)
            .arg(url)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        if let Ok(output) = timeout(PATIENCE, shown).await {
            let output = output.context("cannot start chromium")?;
            let complaints = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "chromium: {}\n{complaints}", output.status);
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
    }
    bail!("chromium hangs")
}

/// Writes a picture of a page with few colors.
pub(crate) async fn take_picture(folder: &Path, url: &str, picture: &Path) -> Result<()> {
    let taken = folder.join("picture.png");
    open(folder, url, &format!("--screenshot={}", taken.display())).await?;
    let mut quantize = std::process::Command::new("pngquant");
    run_program(quantize.args(["--force", "--output"]).arg(picture).args(["64", "--"]).arg(taken))
}
