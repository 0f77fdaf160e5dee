//! Both file formats, `-D` arguments, options and problems.
//!
//! The expected values are those of Flink 2.3.0, and of Flink 1.20.5 for the legacy format.
//! Comments name the differences.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail with their test")]

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use flink_traces_api::{ConfigOption, RawValue};
use flink_traces_runtime::config::{SCOPE_DELIMITER, SPAN_DETAIL_LEVEL, Severity};
use flink_traces_runtime::{Configuration, Problem};
use proptest::prelude::*;

const YAML: &str = "config.yaml";
const LEGACY: &str = "flink-conf.yaml";

/// Loads a file with that name and content. The origins have no directory.
fn load(name: &str, content: impl AsRef<[u8]>) -> (Configuration, Vec<Problem>) {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(name), content).unwrap();
    load_in(directory.path(), name, &[])
}

fn load_in(directory: &Path, name: &str, dynamic: &[&str]) -> (Configuration, Vec<Problem>) {
    let dynamic: Vec<_> = dynamic.iter().map(|&property| ("-D", property.to_owned())).collect();
    let (configuration, mut problems) = Configuration::load(Some(&directory.join(name)), &dynamic);
    for origin in problems.iter_mut().filter_map(|problem| problem.origin.as_mut()) {
        let source = origin.source.strip_prefix(directory.to_str().unwrap()).map(|path| path.trim_start_matches('/'));
        origin.source = source.unwrap_or(&origin.source).into();
    }
    (configuration, problems)
}

fn render((configuration, problems): &(Configuration, Vec<Problem>)) -> String {
    let mut text = String::new();
    for (key, value) in configuration.iter() {
        let kind = if matches!(value.raw, RawValue::List(_)) { "list " } else { "" };
        let (line, column) = (value.origin.line, value.origin.column);
        writeln!(text, "  {}: {kind}{:?} at {line}:{column}", key.escape_debug(), value.raw.to_string()).unwrap();
    }
    for problem in problems {
        writeln!(text, "  {:?} {problem}", problem.severity).unwrap();
    }
    text
}

/// Loads each document and compares all results.
fn check(name: &str, documents: &[&str], expected: Expect) {
    let mut text = String::new();
    for document in documents {
        writeln!(text, "{}", document.escape_debug()).unwrap();
        text += &render(&load(name, document));
    }
    expected.assert_eq(&text);
}

#[test]
fn legacy_lines() {
    check(
        LEGACY,
        &[
            "a: 1\n# comment\n  indented: v\nkey2 : v2\na b: c\nd:  spaced  \n",
            "a: x # comment\nb: \"x # y\"\nc: http://host/#fragment\n#d: 1\ne: f #\ng#h: i",
            "a: b: c\nb:  : d\nc: *\nd: [a, b]\ne: 'q'\nf: {x: 1}",
            "a: 1\na: 2",
            "nospace:v\nx:\ny: \n : v\nz:\tv\n",
            "a: 1\r\nb: \tx\t\r\n\r\nc: 3\rd: 4",
            "\u{feff}a: 1\nb: 2",
            "a: x\0y",
            "traces:\n  reporters: a",
        ],
        expect![[r#"
        a: 1\n# comment\n  indented: v\nkey2 : v2\na b: c\nd:  spaced  \n
          a: "1" at 1:1
          a b: "c" at 5:1
          d: "spaced" at 6:1
          indented: "v" at 3:3
          key2: "v2" at 4:1
        a: x # comment\nb: \"x # y\"\nc: http://host/#fragment\n#d: 1\ne: f #\ng#h: i
          a: "x" at 1:1
          b: "\"x" at 2:1
          c: "http://host/" at 3:1
          e: "f" at 5:1
          Warning flink-conf.yaml:3:1: c: value cut at `#`, as in Flink; only config.yaml can hold a value with `#`
          Warning flink-conf.yaml:6:1: line skipped: expected `key: value`, with a blank after the colon
        a: b: c\nb:  : d\nc: *\nd: [a, b]\ne: \'q\'\nf: {x: 1}
          a: "b: c" at 1:1
          b: ": d" at 2:1
          c: "*" at 3:1
          d: "[a, b]" at 4:1
          e: "'q'" at 5:1
          f: "{x: 1}" at 6:1
        a: 1\na: 2
          a: "2" at 2:1
        nospace:v\nx:\ny: \n : v\nz:\tv\n
          Warning flink-conf.yaml:1:1: line skipped: expected `key: value`, with a blank after the colon
          Warning flink-conf.yaml:2:1: line skipped: expected `key: value`, with a blank after the colon
          Warning flink-conf.yaml:3:1: line skipped: expected `key: value`, with a blank after the colon
          Warning flink-conf.yaml:4:2: line skipped: empty key or value
          Warning flink-conf.yaml:5:1: line skipped: expected `key: value`, with a blank after the colon
        a: 1\r\nb: \tx\t\r\n\r\nc: 3\rd: 4
          a: "1" at 1:1
          b: "x" at 2:1
          c: "3" at 4:1
          d: "4" at 5:1
        \u{feff}a: 1\nb: 2
          a: "1" at 1:1
          b: "2" at 2:1
          Warning flink-conf.yaml:1:1: in Flink, the byte order mark becomes part of the first key
        a: x\0y
          a: "x\0y" at 1:1
        traces:\n  reporters: a
          reporters: "a" at 2:3
          Warning flink-conf.yaml:1:1: line skipped: expected `key: value`, with a blank after the colon
    "#]],
    );
}

#[test]
fn yaml_scalars() {
    check(
        YAML,
        &[
            "a: 0x1F\nb: 0o17\nc: 1e3\nd: 1.10\ne: +5\nf: -0\ng: 0777\nh: -00012\ni: 12345678901234567890123\nj: 0xFFFFFFFFFFFFFFFFFF",
            "a: 1e7\nb: 9999999.5\nc: 12345678.9\nd: 1e-4\ne: 0.001\nf: .5\ng: 3.\nh: -1.50\ni: -0.0\nj: 1e400\nk: 1E+3\nl: 2e23",
            "a: True\nb: FALSE\nc: .inf\nd: -.INF\ne: .nan",
            "a: yes\nb: No\nc: on\nd: 2024-01-01\ne: 1:30\nf: 1_000\ng: 0b11\nh: -0x1F\ni: 0X1F\nj: 0x\nk: 0o8\nl: tRue\nm: .\nn: e3\no: 1e\np: 1,000\nq: NULLx",
            "a: '0x1F'\nb: \"1e3\"\nc: 'null'\nd: ''\ne: 'it''s'\nf: \"\\e[31m\\n\"\ng: !!str 12\nh: ! 12",
            "a: |\n  one\n  two\nb: >\n  fold\n  ed\nc: |-\n  5\nd: several\n  lines",
            "a: http://u@h/#fragment\nb: x #c\nc: x#d",
        ],
        expect![[r#"
        a: 0x1F\nb: 0o17\nc: 1e3\nd: 1.10\ne: +5\nf: -0\ng: 0777\nh: -00012\ni: 12345678901234567890123\nj: 0xFFFFFFFFFFFFFFFFFF
          a: "31" at 1:1
          b: "15" at 2:1
          c: "1000.0" at 3:1
          d: "1.1" at 4:1
          e: "5" at 5:1
          f: "0" at 6:1
          g: "777" at 7:1
          h: "-12" at 8:1
          i: "12345678901234567890123" at 9:1
          j: "4722366482869645213695" at 10:1
        a: 1e7\nb: 9999999.5\nc: 12345678.9\nd: 1e-4\ne: 0.001\nf: .5\ng: 3.\nh: -1.50\ni: -0.0\nj: 1e400\nk: 1E+3\nl: 2e23
          a: "1.0E7" at 1:1
          b: "9999999.5" at 2:1
          c: "1.23456789E7" at 3:1
          d: "1.0E-4" at 4:1
          e: "0.001" at 5:1
          f: "0.5" at 6:1
          g: "3.0" at 7:1
          h: "-1.5" at 8:1
          i: "-0.0" at 9:1
          j: ".inf" at 10:1
          k: "1000.0" at 11:1
          l: "2.0E23" at 12:1
        a: True\nb: FALSE\nc: .inf\nd: -.INF\ne: .nan
          a: "true" at 1:1
          b: "false" at 2:1
          c: ".inf" at 3:1
          d: "-.inf" at 4:1
          e: ".nan" at 5:1
        a: yes\nb: No\nc: on\nd: 2024-01-01\ne: 1:30\nf: 1_000\ng: 0b11\nh: -0x1F\ni: 0X1F\nj: 0x\nk: 0o8\nl: tRue\nm: .\nn: e3\no: 1e\np: 1,000\nq: NULLx
          a: "yes" at 1:1
          b: "No" at 2:1
          c: "on" at 3:1
          d: "2024-01-01" at 4:1
          e: "1:30" at 5:1
          f: "1_000" at 6:1
          g: "0b11" at 7:1
          h: "-0x1F" at 8:1
          i: "0X1F" at 9:1
          j: "0x" at 10:1
          k: "0o8" at 11:1
          l: "tRue" at 12:1
          m: "." at 13:1
          n: "e3" at 14:1
          o: "1e" at 15:1
          p: "1,000" at 16:1
          q: "NULLx" at 17:1
        a: \'0x1F\'\nb: \"1e3\"\nc: \'null\'\nd: \'\'\ne: \'it\'\'s\'\nf: \"\\e[31m\\n\"\ng: !!str 12\nh: ! 12
          a: "0x1F" at 1:1
          b: "1e3" at 2:1
          c: "null" at 3:1
          d: "" at 4:1
          e: "it's" at 5:1
          f: "\u{1b}[31m\n" at 6:1
          g: "12" at 7:1
          h: "12" at 8:1
        a: |\n  one\n  two\nb: >\n  fold\n  ed\nc: |-\n  5\nd: several\n  lines
          a: "one\ntwo\n" at 1:1
          b: "fold ed\n" at 4:1
          c: "5" at 7:1
          d: "several lines" at 9:1
        a: http://u@h/#fragment\nb: x #c\nc: x#d
          a: "http://u@h/#fragment" at 1:1
          b: "x" at 2:1
          c: "x#d" at 3:1
    "#]],
    );
}

#[test]
fn yaml_maps_and_lists() {
    check(
        YAML,
        &[
            "a:\n  b:\n    c: 1\n  d.e: 2\nf.g: {h: 3, i: {j: k}}\n{l: 1}: 2",
            "a.b: 1\na:\n  b: 2",
            "a:\n  b: 2\na.b: 1",
            "a: {}\nb:\n  c: {}\n  d: 1\ne: []",
            "a: [1, two, 0x3, 'x, y', [n, m, {o: p}], {k: v, l: ['']}, true, '', 'a: b']\nb:\n- x\n- 'y'",
            "base: &base {x: 1, y: [2]}\nc: *base\nd: &text hi\ne: *text\n*text : f\n<<: *base",
            "'1': a\n\"\": b\nc:\n  \"\": d\n? e\n: f\nkey with space: g\na.: h",
            "{a: 1, b: {c: d}}",
            "# nothing",
            "",
            "---\na: 1\n...\n",
            "\u{feff}a: 1\r\nb:\r\n  c: 2\r\n",
        ],
        expect![[r#"
        a:\n  b:\n    c: 1\n  d.e: 2\nf.g: {h: 3, i: {j: k}}\n{l: 1}: 2
          a.b.c: "1" at 3:5
          a.d.e: "2" at 4:3
          f.g.h: "3" at 5:7
          f.g.i.j: "k" at 5:17
          Error config.yaml:6:1: expected text as key; quote other values
        a.b: 1\na:\n  b: 2
          a.b: "2" at 3:3
          Warning config.yaml:3:3: a.b: set twice, in different maps, of which the last counts
        a:\n  b: 2\na.b: 1
          a.b: "1" at 3:1
          Warning config.yaml:3:1: a.b: set twice, in different maps, of which the last counts
        a: {}\nb:\n  c: {}\n  d: 1\ne: []
          b.d: "1" at 4:3
          e: list "[]" at 5:1
        a: [1, two, 0x3, \'x, y\', [n, m, {o: p}], {k: v, l: [\'\']}, true, \'\', \'a: b\']\nb:\n- x\n- \'y\'
          a: list "[1, two, 3, 'x, y', [n, m, {o: p}], {k: v, l: ['']}, true, '', 'a: b']" at 1:1
          b: list "[x, y]" at 2:1
        base: &base {x: 1, y: [2]}\nc: *base\nd: &text hi\ne: *text\n*text : f\n<<: *base
          <<.x: "1" at 1:14
          <<.y: list "[2]" at 1:20
          base.x: "1" at 1:14
          base.y: list "[2]" at 1:20
          c.x: "1" at 1:14
          c.y: list "[2]" at 1:20
          d: "hi" at 3:1
          e: "hi" at 4:1
          hi: "f" at 3:4
        \'1\': a\n\"\": b\nc:\n  \"\": d\n? e\n: f\nkey with space: g\na.: h
          : "b" at 2:1
          1: "a" at 1:1
          a.: "h" at 8:1
          c.: "d" at 4:3
          e: "f" at 5:3
          key with space: "g" at 7:1
        {a: 1, b: {c: d}}
          a: "1" at 1:2
          b.c: "d" at 1:12
        # nothing

        ---\na: 1\n...\n
          a: "1" at 2:1
        \u{feff}a: 1\r\nb:\r\n  c: 2\r\n
          a: "1" at 1:1
          b.c: "2" at 3:3
    "#]],
    );
}

/// Flink stops at the first mistake. Here, all of them are reported, and valid keys are kept unless
/// the file is not YAML.
#[test]
fn yaml_mistakes() {
    check(
        YAML,
        &[
            "a: 1\na: 2\nb:\n  x: 1\n  x: 2\nc: 3",
            "a: 1\na:\n  b: 2",
            "a.b: 1\na:\n  b: 2\n  c.d: 3\na.c:\n  d: 4",
            "a:\nb: ~\nc: {d: null, e}\nf: [1, ~]",
            "1: a\nb:\n  true: c\n~: d\n? [e]\n: f\n? g: h\n: i",
            "a: 1\n---\nb: 2",
            "- a",
            "text",
            "a: !!int '12'",
            "a: !custom {b: c}",
            "a: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
            "a:\n\tb: 1",
            "a: b: c",
            "a: [b\n",
            "a: 'b\nc: d",
            "a: @b",
            "a: *:*:*",
            "a: &x [*x]",
            "a: &x {b: *x}",
            "a: 1\nb: \"x\0y\"",
            "a: *x\u{1b}[31m",
        ],
        expect![[r#"
        a: 1\na: 2\nb:\n  x: 1\n  x: 2\nc: 3
          a: "1" at 1:1
          b.x: "1" at 4:3
          c: "3" at 6:1
          Error config.yaml:2:1: a: set twice in one map
          Error config.yaml:5:3: b.x: set twice in one map
        a: 1\na:\n  b: 2
          a: "1" at 1:1
          Error config.yaml:2:1: a: set twice in one map
        a.b: 1\na:\n  b: 2\n  c.d: 3\na.c:\n  d: 4
          a.b: "2" at 3:3
          a.c.d: "4" at 6:3
          Warning config.yaml:3:3: a.b: set twice, in different maps, of which the last counts
          Warning config.yaml:6:3: a.c.d: set twice, in different maps, of which the last counts
        a:\nb: ~\nc: {d: null, e}\nf: [1, ~]
          f: list "[1, '']" at 4:1
          Error config.yaml:1:1: a: has no value
          Error config.yaml:2:1: b: has no value
          Error config.yaml:3:5: c.d: has no value
          Error config.yaml:3:14: c.e: has no value
          Error config.yaml:4:8: f: has no value
        1: a\nb:\n  true: c\n~: d\n? [e]\n: f\n? g: h\n: i
          Error config.yaml:1:1: expected text as key; quote other values
          Error config.yaml:3:3: b: expected text as key; quote other values
          Error config.yaml:4:1: expected text as key; quote other values
          Error config.yaml:5:3: expected text as key; quote other values
          Error config.yaml:7:3: expected text as key; quote other values
        a: 1\n---\nb: 2
          Error config.yaml:2:1: unexpected second document
        - a
          Error config.yaml:1:1: not a map of keys and values
        text
          Error config.yaml:1:1: not a map of keys and values
        a: !!int \'12\'
          Error config.yaml:1:4: only the tag !!str is supported
        a: !custom {b: c}
          Error config.yaml:1:4: only the tag !!str is supported
        a: 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF
          Error config.yaml:1:1: a: number too large; quote it
        a:\n\tb: 1
          Error config.yaml:2:2: tabs disallowed within this context (block indentation)
        a: b: c
          Error config.yaml:1:5: mapping values are not allowed in this context
        a: [b\n
          Error config.yaml:2:1: while parsing a flow sequence, expected ',' or ']'
        a: \'b\nc: d
          Error config.yaml:1:4: invalid indentation in quoted scalar
        a: @b
          Error config.yaml:1:4: unexpected character: `@'
        a: *:*:*
          Error config.yaml:1:4: while parsing node, found unknown anchor; a value that begins with * must be in quotes
        a: &x [*x]
          Error config.yaml:1:8: alias within its own anchor
        a: &x {b: *x}
          Error config.yaml:1:11: alias within its own anchor
        a: 1\nb: \"x\0y\"
          Error config.yaml:2:6: unexpected NUL character
        a: *x\u{1b}[31m
          Error config.yaml:1:4: while parsing node, found unknown anchor; a value that begins with * must be in quotes
    "#]],
    );
}

#[test]
fn tab_before_the_first_key_is_refused() {
    for (text, place) in [
        ("\ttab: x", "1:1"),
        ("\ttab: x\nb: 1", "1:1"),
        ("# comment\n\n  \ttab: x\n", "3:3"),
        ("---\n\t\ttab: x", "2:1"),
        ("\t{tab: x}", "1:1"),
    ] {
        let expected = format!("  Error config.yaml:{place}: unexpected tab before the first key\n");
        assert_eq!(render(&load(YAML, text)), expected, "{text:?}");
    }
}

#[test]
fn binary_files_are_refused() {
    let mut text = String::new();
    for (name, content) in [(YAML, &b"a: 1\nb: \xe4\n"[..]), (LEGACY, b"a: 1\nb: \xe4\n"), (YAML, b"\xff\xfea\0:\0 \0")]
    {
        writeln!(text, "{name} {}", content.escape_ascii()).unwrap();
        text += &render(&load(name, content));
    }
    expect![[r#"
        config.yaml a: 1\nb: \xe4\n
          Error config.yaml:2:1: not UTF-8
        flink-conf.yaml a: 1\nb: \xe4\n
          a: "1" at 1:1
          b: "�" at 2:1
          Warning flink-conf.yaml:2:1: not UTF-8
        config.yaml \xff\xfea\x00:\x00 \x00
          Error config.yaml:1:1: not UTF-8
    "#]]
    .assert_eq(&text);
}

#[test]
fn directory_selects_flinks_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut text = String::new();
    let mut step = |what: &str, name: &str| {
        writeln!(text, "{what}").unwrap();
        text += &render(&load_in(directory.path(), name, &[]));
    };
    step("an empty directory", "");
    step("no such file", "nowhere/flink.yaml");
    fs::write(directory.path().join(YAML), "from: {config: yaml}").unwrap();
    step("config.yaml", "");
    fs::write(directory.path().join(LEGACY), "from: flink-conf.yaml").unwrap();
    step("both", "");
    step("that very file", YAML);
    fs::remove_file(directory.path().join(YAML)).unwrap();
    step("flink-conf.yaml", "");
    fs::write(directory.path().join("other.yaml"), "from: {any: name}").unwrap();
    step("any other name is YAML", "other.yaml");
    fs::write(directory.path().join(LEGACY), vec![b'#'; (3 << 20) + 1]).unwrap();
    step("larger than 3 MiB", "");
    expect![[r#"
        an empty directory
          Error config.yaml: cannot be read: No such file or directory (os error 2)
        no such file
          Error nowhere/flink.yaml: cannot be read: No such file or directory (os error 2)
        config.yaml
          from.config: "yaml" at 1:8
        both
          from: "flink-conf.yaml" at 1:1
          Warning config.yaml: ignored, because flink-conf.yaml exists; Flink 2.0 and later ignores flink-conf.yaml instead
        that very file
          from.config: "yaml" at 1:8
        flink-conf.yaml
          from: "flink-conf.yaml" at 1:1
        any other name is YAML
          from.any: "name" at 1:8
        larger than 3 MiB
          Error flink-conf.yaml: larger than 3 MiB
    "#]]
    .assert_eq(&text);
}

#[test]
fn arguments_override_file() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(YAML), "a: 1\nb: {c: 2}").unwrap();
    let loaded =
        load_in(directory.path(), YAML, &["b.c=3", " d =e=f", "g=", "a=0x1F", "a=[x, y]", "s3cret", "=s3cret", ""]);
    expect![[r#"
        -D
          a: "[x, y]" at 0:0
          b.c: "3" at 0:0
          d: "e=f" at 0:0
          g: "" at 0:0
          Error -D: argument 6 is not key=value
          Error -D: argument 7 is not key=value
          Error -D: argument 8 is not key=value
    "#]]
    .assert_eq(&("-D\n".to_owned() + &render(&loaded)));
    assert_eq!(loaded.0.value("a").unwrap().origin.to_string(), "-D");
}

#[test]
fn options_are_read_from_loaded_values() {
    const VARIABLES: ConfigOption<Vec<(String, String)>> = ConfigOption::map("variables", "");
    const TIMEOUT: ConfigOption<Duration> = ConfigOption::duration("timeout", "").or("10 s");
    let (configuration, _) = load(YAML, "variables: {a: 1, b: {c: 0x10}}\ntimeout: 90\nmetrics.scope.delimiter: '--'");
    assert_eq!(
        configuration.get(&VARIABLES).unwrap().unwrap(),
        [("a", "1"), ("b.c", "16")].map(|(k, v)| (k.into(), v.into()))
    );
    assert_eq!(configuration.get(&TIMEOUT).unwrap(), Some(Duration::from_millis(90)));
    assert_eq!(Configuration::default().get(&TIMEOUT).unwrap(), Some(Duration::from_secs(10)));
    assert_eq!(Configuration::default().get(&VARIABLES).unwrap(), None);
    let problem = Problem::from(&configuration.get(&SCOPE_DELIMITER).unwrap_err());
    assert!(
        problem.to_string().ends_with("config.yaml:3:1: metrics.scope.delimiter: '--' is not one character"),
        "{problem}"
    );
}

#[test]
fn detail_levels_have_flinks_names() {
    for (text, expected) in [
        ("SPAN_PER_CHECKPOINT", "Some(SpanPerCheckpoint)"),
        ("Span_Per_Checkpoint_With_Tasks", "Some(SpanPerCheckpointWithTasks)"),
        ("children_spans_per_task", "Some(ChildrenSpansPerTask)"),
        ("CHILDREN_SPANS_PER_SUBTASK", "Some(ChildrenSpansPerSubtask)"),
    ] {
        let configuration = Configuration::from_pairs([(SPAN_DETAIL_LEVEL.key(), text)]);
        assert_eq!(format!("{:?}", configuration.get(&SPAN_DETAIL_LEVEL).unwrap()), expected);
    }
    let error = Configuration::from_pairs([(SPAN_DETAIL_LEVEL.key(), "foo")]).get(&SPAN_DETAIL_LEVEL).unwrap_err();
    expect!["code: traces.checkpoint.span-detail-level: 'foo' is not `SPAN_PER_CHECKPOINT`, `SPAN_PER_CHECKPOINT_WITH_TASKS`, `CHILDREN_SPANS_PER_TASK` or `CHILDREN_SPANS_PER_SUBTASK`"].assert_eq(&error.to_string());
}

/// Guarantees: no output of a configuration or its problems contains a secret.
#[test]
fn secrets_are_never_shown() {
    const PATHS: [&str; 5] = ["rest.api.token", "s3.Access-Key", "my.pin", "my.code", "url"];
    let file = "rest.api.token: s3cret\ns3.Access-Key: s3cret\nmy.pin: s3cret\nmy.code: s3cret\nurl: http://u:s3cret@h/?k=s3cret\n\
        plain: formatted\nsecurity.redaction.additional-keys: ";
    for fragments in ["PIN, code", "[pin, code]", "pin;code"] {
        let (configuration, problems) = load(YAML, format!("{file}{fragments}"));
        assert_eq!(problems, []);
        for key in PATHS {
            let formatted = configuration.value(key).unwrap().redacted();
            assert!(formatted.contains("******") && !formatted.contains("s3cret"), "{key}: {formatted}");
        }
        assert_eq!(configuration.value("plain").unwrap().redacted(), "formatted");
        assert!(!format!("{configuration:?}").contains("s3cret"));
        for key in ["rest.api.token", "my.pin", "url"] {
            let option = ConfigOption::<u64>::number(key, "");
            let error = configuration.get(&option).unwrap_err();
            assert!(!format!("{error} {error:?} {}", Problem::from(&error)).contains("s3cret"), "{error}");
        }
    }
    for (name, content) in [
        (LEGACY, "s3cret\npassword:s3cret\n: s3cret"),
        (YAML, "password: 's3cret"),
        (YAML, "password: s3cret: s3cret"),
        (YAML, "password: [s3cret, ~]\npassword: s3cret\ntoken: *s3cret"),
    ] {
        let (_, problems) = load(name, content);
        assert!(
            !problems.is_empty() && problems.iter().all(|problem| !problem.to_string().contains("s3cret")),
            "{problems:?}"
        );
    }
}

#[test]
fn problem_is_one_line() {
    let (configuration, _) = load(YAML, format!("timeout: \"\\e[31m\\n{}\"\n\"k\\ney\": 5 min", "x".repeat(100_000)));
    let error = configuration.get(&ConfigOption::<Duration>::duration("timeout", "")).unwrap_err();
    let formatted = Problem::from(&error).to_string();
    assert!(
        formatted.contains(r"timeout: '\u{1b}[31m\nxxx") && formatted.contains("xxx…' is not a duration"),
        "{formatted}"
    );
    let error = configuration.get(&ConfigOption::<u64>::bytes("k\ney", "")).unwrap_err();
    let formatted = Problem::from(&error).to_string();
    assert!(formatted.contains(r"k\ney: '5 min' is not a size"), "{formatted}");
}

/// Scenario: a hostile or broken generator writes the file. Guarantees: it is refused quickly, with
/// a position.
#[test]
fn hostile_files_are_refused_quickly() {
    let bomb = |width: usize, depth: usize| {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..=depth {
            let items = vec![format!("*a{}", level - 1); width].join(", ");
            writeln!(text, "a{level}: &a{level} [{items}]").unwrap();
        }
        text
    };
    let chain: String = (1..10_000).map(|n| format!("a{n}: &a{n} {{b: *a{}}}\n", n - 1)).collect();
    let mut text = String::new();
    for (what, content) in [
        ("an alias bomb", bomb(9, 9)),
        ("an alias bomb of maps", bomb(9, 9).replace('[', "{k: [").replace(']', "]}")),
        (
            "a long text many times",
            format!("a: &a {}\n", "x".repeat(1 << 20)) + &(0..100).map(|n| format!("b{n}: *a\n")).collect::<String>(),
        ),
        (
            "long keys of long keys",
            format!("{}: {{{}}}", "k".repeat(1 << 16), (0..1000).map(|n| format!("a{n}: 1,")).collect::<String>()),
        ),
        ("20,000 lists in lists", "a: ".to_owned() + &"[".repeat(20_000)),
        ("3 MB of lists in lists", "a: ".to_owned() + &"[".repeat(3_000_000)),
        ("20,000 maps in maps", "a: ".to_owned() + &"{a: ".repeat(20_000)),
        ("2,000 indented maps", (0..2_000).map(|depth| " ".repeat(depth) + "a:\n").collect()),
        ("3 MB of dashes", "- ".repeat(1_500_000)),
        ("10,000 maps by alias", format!("a0: &a0 {{}}\n{chain}")),
        ("20 MB of text", "a: ".to_owned() + &"x".repeat(20_000_000)),
        ("3 MB without an end", "a: '".to_owned() + &"x".repeat(3_000_000)),
        ("3 MB of keys", "? ".repeat(1_500_000)),
        ("a million items", format!("a: [{}]", "x,".repeat(1_000_000))),
    ] {
        let start = Instant::now();
        let (configuration, problems) = load(YAML, content);
        assert!(start.elapsed() < Duration::from_secs(10), "{what} took {:?}", start.elapsed());
        assert!(configuration.iter().next().is_none(), "{what}");
        for problem in problems {
            writeln!(text, "{what}: {problem}").unwrap();
        }
    }
    expect![[r#"
        an alias bomb: config.yaml:1:10: larger than 16 MiB with aliases replaced
        an alias bomb of maps: config.yaml:2:13: larger than 16 MiB with aliases replaced
        a long text many times: config.yaml:1:4: larger than 16 MiB with aliases replaced
        long keys of long keys: config.yaml:1:65537: mapping values are not allowed in this context
        20,000 lists in lists: config.yaml:1:259: recursion limit exceeded
        3 MB of lists in lists: config.yaml:1:259: recursion limit exceeded
        20,000 maps in maps: config.yaml:1:257: maps and lists nest deeper than 64
        2,000 indented maps: config.yaml:65:65: maps and lists nest deeper than 64
        3 MB of dashes: config.yaml:1:131: maps and lists nest deeper than 64
        10,000 maps by alias: config.yaml:64:15: maps and lists nest deeper than 64
        20 MB of text: config.yaml: larger than 3 MiB
        3 MB without an end: config.yaml:1:4: while scanning a quoted scalar, found unexpected end of stream
        3 MB of keys: config.yaml:1:131: maps and lists nest deeper than 64
        a million items: config.yaml:1:524287: more than 262144 keys and values
    "#]]
    .assert_eq(&text);
}

/// Guarantees: a valid file of 3 MB is accepted.
#[test]
fn large_file_is_read() {
    let text: String = (0..50_000).map(|n| format!("key-{n:06}: {{a: 1}}\n")).collect();
    let (configuration, problems) = load(YAML, text);
    assert_eq!((configuration.iter().count(), problems), (50_000, vec![]));
    let (configuration, problems) = load(YAML, format!("a: {}", "x".repeat(3_000_000)));
    assert_eq!((configuration.value("a").unwrap().raw.to_string().len(), problems), (3_000_000, vec![]));
}

fn key_part() -> impl Strategy<Value = String> {
    "[a-z]{1,3}"
}

/// A tree of maps, as nested YAML and as leaves with full keys.
#[derive(Debug, Clone)]
enum Tree {
    Leaf(String),
    Map(Vec<(String, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = "[ -~äß→]{0,12}".prop_map(Tree::Leaf);
    leaf.prop_recursive(4, 30, 4, |inner| {
        proptest::collection::btree_map(key_part(), inner, 1..4).prop_map(|map| Tree::Map(map.into_iter().collect()))
    })
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn nested(tree: &Tree, depth: usize, text: &mut String) {
    match tree {
        Tree::Leaf(leaf) => writeln!(text, " {}", quoted(leaf)).unwrap(),
        Tree::Map(entries) => {
            text.push('\n');
            for (key, value) in entries {
                write!(text, "{}{key}:", "  ".repeat(depth)).unwrap();
                nested(value, depth + 1, text);
            }
        }
    }
}

fn flat(tree: &Tree, key: &str, text: &mut String) {
    match tree {
        Tree::Leaf(leaf) => writeln!(text, "{key}: {}", quoted(leaf)).unwrap(),
        Tree::Map(entries) => entries.iter().for_each(|(part, value)| flat(value, &format!("{key}.{part}"), text)),
    }
}

fn pairs(loaded: &(Configuration, Vec<Problem>)) -> Vec<(String, String)> {
    assert_eq!(loaded.1, []);
    loaded.0.iter().map(|(key, value)| (key.to_owned(), value.raw.to_string())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nested_and_flat_keys_are_the_same(tree in tree()) {
        let (mut nested_text, mut flat_text) = ("root:".to_owned(), String::new());
        nested(&tree, 1, &mut nested_text);
        flat(&tree, "root", &mut flat_text);
        prop_assert_eq!(pairs(&load(YAML, nested_text)), pairs(&load(YAML, flat_text)));
    }

    #[test]
    fn any_text_in_quotes_comes_back(text in "[^\\x00-\\x1f\\x7f-\\x9f\\u{feff}\\u{2028}\\u{2029}]{0,40}") {
        prop_assert_eq!(pairs(&load(YAML, format!("a: {}", quoted(&text)))), vec![("a".to_owned(), text)]);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for name in [YAML, LEGACY] {
            load(name, &bytes);
        }
    }

    #[test]
    fn any_text_is_a_value_or_refused(text in "\\PC{0,20}|[PTDHMS0-9.,+-]{0,12}|[0-9]{1,25} ?[a-zµ]{0,5}|[a-c:;,'\"\\[\\]{} ]{0,20}") {
        let configuration = Configuration::from_pairs([("k", text.as_str())]);
        let _ = configuration.get(&ConfigOption::<Duration>::duration("k", ""));
        let _ = configuration.get(&ConfigOption::<u64>::bytes("k", ""));
        let _ = configuration.get(&ConfigOption::<Vec<(String, String)>>::map("k", ""));
        if let Ok(Some(items)) = configuration.get(&ConfigOption::<Vec<String>>::list("k", "")) {
            let text = RawValue::List(items.clone()).to_string();
            let again = Configuration::from_pairs([("k", text.as_str())]).get(&ConfigOption::<Vec<String>>::list("k", ""));
            prop_assert_eq!(again.ok().flatten(), Some(items), "{}", text);
        }
    }

    #[test]
    fn anything_like_yaml_is_read_or_refused(text in "([a-c:{}\\[\\],*&!|>'\"%@#?~. \t\r\n-]|: |\n  |\n- ){0,60}") {
        for name in [YAML, LEGACY] {
            let (_, problems) = load(name, &text);
            for problem in problems.iter().filter(|problem| problem.severity == Severity::Error) {
                prop_assert!(problem.origin.as_ref().is_some_and(|origin| origin.line > 0 && origin.column > 0), "{}", problem);
            }
        }
    }
}
