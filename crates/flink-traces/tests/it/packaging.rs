//! The files of `packaging`, judged by the program and by the tools that are installed.
#![cfg(target_os = "linux")]

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::LONG;
use crate::support::flink::FakeFlink;
use crate::support::process::{Place, Running, command};
use crate::support::session;

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(file)
}

/// Returns `true` if the tool is installed.
fn has(tool: &str) -> bool {
    Command::new(tool).arg("--help").output().is_ok()
}

/// Runs a tool that must accept its input. Returns its output.
#[track_caller]
fn accepted(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn unit_is_accepted_and_confined() {
    if !has("systemd-analyze") {
        return;
    }
    let place = Place::new();
    let unit = std::fs::read_to_string(packaging("systemd/flink-traces.service")).unwrap();
    // The program, its user and its manual are not installed here.
    let unit = unit.replace("/usr/bin/flink-traces", env!("CARGO_BIN_EXE_flink-traces"));
    let unit = unit.replace("=flink-traces\nGroup=flink-traces", "=daemon\nGroup=daemon");
    let unit: String =
        unit.lines().filter(|line| !line.starts_with("Documentation=")).map(|line| line.to_owned() + "\n").collect();
    place.write("flink-traces.service", unit);
    let path = place.path("flink-traces.service");
    let said = accepted(Command::new("systemd-analyze").arg("verify").arg(&path));
    assert!(said.is_empty(), "{said}");
    accepted(Command::new("systemd-analyze").args(["security", "--offline=true", "--threshold=20"]).arg(&path));
}

#[test]
fn manifests_can_be_built() {
    if !has("kubectl") {
        return;
    }
    for (folder, kinds) in [("base", 6), ("podmonitor", 7), ("discovery", 8)] {
        let built = accepted(Command::new("kubectl").arg("kustomize").arg(packaging("kubernetes").join(folder)));
        assert_eq!(built.lines().filter(|line| line.starts_with("kind: ")).count(), kinds, "{built}");
        assert!(built.contains("name: flink-traces-"), "{built}");
    }
}

/// The configurations of the packages have no problem but that nothing responds.
#[test]
fn configurations_of_packages_are_valid() {
    let place = Place::new();
    let here = ["traces", "events"].map(|signal| {
        let option = |key: &str, value: &str| format!("-D{signal}.reporter.otel.{key}={value}");
        [option("spool.directory", "spool"), option("exporter.endpoint", "http://127.0.0.1:1")]
    });
    for file in ["kubernetes/base/config.yaml", "kubernetes/discovery/config.yaml", "systemd/config.yaml"] {
        let conf = packaging(file);
        let mut arguments = vec!["check", "--conf", conf.to_str().unwrap(), "--flink", "http://127.0.0.1:1"];
        // No API server responds here.
        arguments.push("-Dflink-traces.kubernetes.enabled=false");
        arguments.extend(here.iter().flatten().map(String::as_str));
        let checked = place.run(&arguments).expect_code(69);
        assert!(!checked.stderr.contains("error:") && !checked.stderr.contains("warning:"), "{checked:?}");
    }
}

/// Returns the lines of a file from the one with `first` on, without indentation and comments.
fn lines_from(file: &str, first: &str) -> Vec<String> {
    let text = std::fs::read_to_string(packaging(file)).unwrap();
    let lines = text.lines().map(str::trim).skip_while(|line| *line != first);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// `cargo e2e kubernetes` judges the chart by Helm and by a real API server.
#[test]
fn chart_agrees_with_the_manifests() {
    let role = lines_from("kubernetes/discovery/role.yaml", "rules:");
    assert_eq!(lines_from("helm/templates/_helpers.tpl", "rules:")[..role.len()], role);
    let reporters = lines_from("kubernetes/base/config.yaml", "traces:");
    assert_eq!(lines_from("kubernetes/discovery/config.yaml", "traces:"), reporters);
    assert_eq!(lines_from("helm/values.yaml", "traces:")[..reporters.len()], reporters);
    let chart = std::fs::read_to_string(packaging("helm/Chart.yaml")).unwrap();
    for key in ["version", "appVersion"] {
        let expected = format!("\n{key}: {}\n", env!("CARGO_PKG_VERSION"));
        assert!(chart.contains(&expected), "{key}: expected {}", env!("CARGO_PKG_VERSION"));
    }
    let schema = std::fs::read_to_string(packaging("helm/values.schema.json")).unwrap();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let values = std::fs::read_to_string(packaging("helm/values.yaml")).unwrap();
    let properties = schema["properties"].as_object().unwrap();
    for value in values.lines().filter_map(|line| line.split_once(':')).filter(|(key, _)| !key.contains([' ', '#'])) {
        assert!(properties.contains_key(value.0), "no schema of {}", value.0);
    }
}

#[test]
fn debian_package_names_files_that_exist() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let sources = manifest.lines().filter_map(|line| line.split('"').find(|part| part.starts_with("../../")));
    // `cargo xtask deb` writes the others.
    let sources: Vec<_> = sources.filter(|source| !source.starts_with("../../target/")).collect();
    assert!(sources.len() > 4, "{sources:?}");
    for source in sources {
        assert!(folder.join(source).exists(), "{source} does not exist");
    }
}

/// Scenario: systemd starts, watches, reloads and stops the program. Guarantees: the program sends
/// the messages that a unit with `Type=notify` and a watchdog waits for.
#[test]
fn run_notifies_its_supervisor() {
    let place = Place::new();
    let flink = FakeFlink::start(session::answers());
    let socket = UnixDatagram::bind(place.path("notify")).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let url = format!("prod={}", flink.url());
    place.write("config.yaml", "flink-traces.poll-interval: 1 s\n");
    let arguments = ["run", "--conf", "config.yaml", "--flink", &url, "--json", "out"];
    let mut command = command(&place.path(""), &arguments);
    command.env("NOTIFY_SOCKET", place.path("notify")).env("WATCHDOG_USEC", "200000");
    let running = Running::start(command);
    let wait_for = |expected: &str| {
        let mut buffer = [0; 256];
        loop {
            let length = socket.recv(&mut buffer).unwrap();
            let message = std::str::from_utf8(&buffer[..length]).unwrap();
            if message.lines().any(|line| line.starts_with(expected)) {
                return message.to_owned();
            }
        }
    };
    wait_for("READY=1");
    wait_for("WATCHDOG=1");
    wait_for("WATCHDOG=1");
    running.signal("HUP");
    let reloading = wait_for("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    wait_for("READY=1");
    running.signal("TERM");
    wait_for("STOPPING=1");
    running.finish().expect_code(0);
}

#[test]
fn bash_completes_commands_and_flags() {
    if !has("bash") {
        return;
    }
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let completions = place.run(&["completions", shell]).expect_code(0).stdout;
        assert!(completions.contains("flink-traces"), "{shell}");
        place.write(shell, completions);
    }
    let script = "source ./bash; COMP_WORDS=(flink-traces run --sh); COMP_CWORD=2; \
                  _flink__traces flink-traces --sh run; echo ${COMPREPLY[@]}";
    let found = accepted(Command::new("bash").args(["-c", script]).current_dir(place.path("")));
    assert_eq!(found.trim(), "--shards --shard");
}

#[test]
fn manual_pages_have_no_warnings() {
    let place = Place::new();
    place.run(&["man", "man1"]).expect_code(0);
    let mut pages: Vec<_> = std::fs::read_dir(place.path("man1")).unwrap().map(|page| page.unwrap().path()).collect();
    pages.sort();
    assert!(pages.len() > 9, "{pages:?}");
    if has("man") {
        for page in pages {
            let mut man = Command::new("man");
            man.args(["--warnings", "-l"]).arg(&page).env("MANPAGER", "true").env("LC_ALL", "C.UTF-8");
            let said = man.output().unwrap();
            let warnings = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(said.status.success() && warnings.is_empty(), "{page:?}: {warnings}");
        }
    }
}
