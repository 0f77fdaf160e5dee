//! The texts of `--help`. `UPDATE_EXPECT=1` rewrites them.

use crate::support::process::Place;
use expect_test::expect_file;

#[test]
fn help_texts_match_golden_files() {
    let place = Place::new();
    for command in ["", "demo", "play", "record", "once", "run", "send", "report", "serve", "check"] {
        let arguments: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let help = place.run(&arguments).expect_code(0);
        assert_eq!(help.stderr, "", "{command}");
        let longest = help.stdout.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= 100, "{longest}");
        let name = if command.is_empty() { "flink-traces" } else { command };
        expect_file![format!("cli_help/{name}.txt")].assert_eq(&help.stdout);
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    let place = Place::new();
    for (arguments, said) in [
        (&[][..], "Usage: flink-traces"),
        (&["watch"], "unrecognized subcommand 'watch'"),
        (&["run", "--fling", "http://localhost:8081"], "unexpected argument '--fling'"),
        (&["play"], "<FILE>"),
        (&["send"], "<FILE>..."),
        (&["play", "x", "--speed", "0"], "not a positive number"),
        (&["record", "--flink", "http://localhost:8081"], "--output <FILE>"),
        (&["once", "--flink", "http://localhost:8081", "--otlp", "http://h"], "this command reports nothing"),
        (&["record", "--flink", "http://h", "--output", "x", "--for", "10 parsec"], "not a duration such as `10 min`"),
        (
            &["record", "--flink", "http://h", "--output", "x", "--for", "20"],
            "the unit is missing, as in `20 s` or `20 min`",
        ),
        (&["once", "--flink", "http://h", "--all", "--running"], "cannot be used with"),
        (&["once", "--flink", "http://h", "--format", "xml"], "[possible values: table, json, csv]"),
        (&["run", "--log-format", "yaml"], "[possible values: text, json]"),
        (&["run", "--log-level", "loud"], "not `off`, `error`, `warn`, `info`"),
        (&["run", "--log-level", "info,flink_traces=loud"], "not `off`, `error`, `warn`, `info`"),
    ] {
        let refused = place.run(arguments).expect_code(2);
        assert!(refused.stderr.contains(said), "{arguments:?}: {}", refused.stderr);
        assert_eq!(refused.stdout, "", "{arguments:?}");
    }
    assert_eq!(place.names(), [""; 0]);
}
