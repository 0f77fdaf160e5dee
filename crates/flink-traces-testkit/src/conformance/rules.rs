//! The rules, with one function for each.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use flink_traces_api::{ConfigError, Deadline, ReportError, ReporterConfig, is_sensitive};

use super::case::Case;
use super::sample::{self, Sample};
use super::subject::Subject;
use super::{Behavior, Destination};

/// The result of a rule, which is an error at the first breach.
type Found = Result<(), String>;
type Rule<S, D> = fn(&mut Case<'_, S, D>) -> Found;

macro_rules! rules {
    ($($rule:ident: $name:literal,)+) => {
        /// The names of all rules, in order.
        pub(super) const NAMES: &[&str] = &[$($name),+];

        /// Returns all rules for one kind of reporter and destination.
        pub(super) fn all<S: Subject, D: Destination>() -> Vec<(&'static str, Rule<S, D>)> {
            vec![$(($name, $rule::<S, D>)),+]
        }
    };
}

rules! {
    options_are_declared: "each option is declared once, with a default that the factory takes",
    other_options: "options of others do not matter",
    missing_options: "an option that is missing is named",
    wrong_options: "a value that is wrong is refused, with its key, and not shown if it may be a secret",
    unlikely_options: "no value of an option does worse than an error",
    nothing: "nothing reported is nothing delivered",
    delivery: "what is reported has arrived when report returns, once and in order",
    trees: "children arrive, once each, under their parents",
    attributes: "attributes of every type arrive, variables too",
    hostile_text: "text is text, whatever it says",
    odd_times: "no timestamp is too odd",
    severities: "events of every severity arrive",
    extensions: "failures, links and what Flink would not tell do not get in the way",
    large_batch: "a batch of thousands arrives whole",
    compatibility: "nothing is lost under compatibility: flink",
    restart: "the next reporter adds to what is there",
    dropped: "a reporter that is dropped without close has delivered all",
    deadline_over: "when the deadline is over, what is not delivered is counted",
    away: "a destination that is away costs what is counted, and no more once it is back",
    refusal: "what a destination refuses is counted as rejected",
    made_while_away: "a destination that is away is no reason not to be made, unless nothing can be set up there",
    close_after_failure: "close after a failure delivers nothing in secret",
}

/// The time limit of reports that cannot succeed.
const SOON: Duration = Duration::from_millis(200);

fn soon() -> Deadline {
    let deadline = Deadline::unlimited();
    deadline.set(Instant::now() + SOON);
    deadline
}

fn options_are_declared<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let docs = case.option_docs();
    let mut keys = BTreeSet::new();
    for doc in docs {
        if !keys.insert(doc.key) || doc.key.is_empty() || doc.description.is_empty() || doc.expected.is_empty() {
            return Err(format!(
                "option '{}' is declared twice, or lacks a key, a description or an expected form",
                doc.key
            ));
        }
    }
    let options = case.destination.options();
    for (key, _) in &options {
        let declares = |doc: &&str| key == doc || key.starts_with(&format!("{doc}."));
        if !keys.iter().any(declares) && key != flink_traces_api::COMPATIBILITY.key() {
            return Err(format!("option '{key}' is not declared"));
        }
    }
    let defaults = docs.iter().filter(|doc| !is_set(&options, doc.key));
    let defaults: Vec<(&str, &str)> = defaults.filter_map(|doc| Some((doc.key, doc.default?))).collect();
    let mut reporter = case.open(&defaults)?;
    case.deliver(&mut reporter, sample::plain(1))?;
    case.close(reporter)
}

/// Returns `true` if `options` have the key or one below it.
fn is_set(options: &[(String, String)], key: &str) -> bool {
    options.iter().any(|(set, _)| set == key || set.starts_with(&format!("{key}.")))
}

fn other_options<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let others = [
        ("factory.class", "org.example.Factory"),
        ("filter.includes", "*:*"),
        ("queue.size", "7"),
        ("scope.variables.additional.region", "eu"),
        ("no.such.option", "\u{0}"),
    ];
    let mut reporter = case.open(&others)?;
    case.deliver(&mut reporter, sample::plain(2))?;
    case.close(reporter)
}

fn missing_options<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let options = case.destination.options();
    let has_default = |key: &str| case.option_docs().iter().any(|doc| doc.key == key && doc.default.is_some());
    for (left_out, _) in options.iter().filter(|(key, _)| !has_default(key)) {
        let rest = options.iter().filter(|(key, _)| key != left_out);
        let rest = rest.map(|(key, value)| (key.as_str(), value.as_str()));
        let config = ReporterConfig::from_pairs("conformance", rest);
        match case.create(&config) {
            Ok(_) | Err(ConfigError::Setup(_)) => {}
            Err(ConfigError::Missing { key }) if key == config.key(left_out) => {}
            Err(error) => return Err(format!("without '{left_out}': {error:?}")),
        }
    }
    Ok(())
}

fn wrong_options<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    for (key, value) in case.destination.wrong_options() {
        let config = case.config(&[(&key, &value)]);
        let full_key = config.key(&key);
        let is_named = |named: &str| full_key == named || full_key.starts_with(&format!("{named}."));
        let error = match case.create(&config) {
            Ok(_) => return Err(format!("'{key}: {value}' is accepted")),
            Err(error) => error,
        };
        match &error {
            ConfigError::Invalid { key: named, .. } if is_named(named) => {}
            error => return Err(format!("'{key}: {value}': expected an error with this key, found {error:?}")),
        }
        if is_sensitive(&full_key) && !value.is_empty() && error.to_string().contains(&value) {
            return Err(format!("the value of '{key}', which may be a secret, is shown"));
        }
    }
    Ok(())
}

fn unlikely_options<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let long = "x".repeat(70_000);
    // There are few values, because some reporters take long to create.
    let unlikely = ["", "-1", "0", "18446744073709551616", "\u{0}", "\u{1b}[31mä 🦀\n", "a:b:c,,;'\"[{", &long];
    let options = case.destination.options();
    // A reporter that is created may create files here.
    let names_a_place = |key: &str| ["directory", "dir", "path", "file"].iter().any(|end| key.ends_with(end));
    let docs = case.option_docs().iter().filter(|doc| !is_set(&options, doc.key) && !names_a_place(doc.key));
    for doc in docs {
        for value in unlikely {
            let config = case.config(&[(doc.key, value)]);
            match case.create(&config) {
                Ok(reporter) => drop(reporter),
                Err(ConfigError::Invalid { key, .. } | ConfigError::Missing { key }) if key != config.key(doc.key) => {
                    return Err(format!("an invalid '{}' is reported as '{key}'", doc.key));
                }
                Err(_) => {}
            }
        }
    }
    case.check()
}

fn nothing<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    case.deliver(&mut reporter, Vec::new())?;
    case.close(reporter)
}

fn delivery<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    for size in [1, 2, 100, 1] {
        case.deliver(&mut reporter, sample::plain(size))?;
    }
    case.close(reporter)
}

fn trees<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    case.deliver(&mut reporter, vec![sample::tree(2, 3), Sample::new("Single"), sample::tree(1, 0)])?;
    case.deliver(&mut reporter, vec![sample::tree(3, 200), sample::chain(100)])?;
    case.close(reporter)
}

fn attributes<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    let overridden = Sample::new("Overridden").attribute("<host>", "own").attribute("jobId", "own");
    let samples = [sample::all_types(), sample::many_attributes(), sample::hostile_keys(), overridden];
    samples.into_iter().try_for_each(|sample| case.deliver(&mut reporter, vec![sample]))?;
    case.close(reporter)
}

fn hostile_text<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    case.deliver(&mut reporter, sample::hostile())?;
    case.close(reporter)
}

fn odd_times<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    case.deliver(&mut reporter, sample::odd_times())?;
    case.close(reporter)
}

fn severities<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    case.deliver(&mut reporter, sample::severities())?;
    case.close(reporter)
}

fn extensions<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    let unset_end = sample::tree(1, 2).extended().times(Some(1_795_230_917_019), Some(-1));
    case.deliver(&mut reporter, vec![Sample::new("Extended").extended(), unset_end])?;
    case.close(reporter)
}

fn large_batch<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    case.deliver(&mut reporter, sample::plain(2_000))?;
    case.close(reporter)
}

fn compatibility<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    case.use_flink_compatibility();
    let mut reporter = case.open(&[(flink_traces_api::COMPATIBILITY.key(), "flink")])?;
    let flag = Sample::new("Flag").attribute("flag", true);
    let failed = Sample::new("Failed").extended().times(Some(1_795_230_917_019), Some(-1));
    case.deliver(&mut reporter, vec![sample::tree(2, 2), flag, failed])?;
    case.close(reporter)
}

fn restart<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    for _ in 0..3 {
        let mut reporter = case.open(&[])?;
        case.deliver(&mut reporter, sample::plain(3))?;
        case.close(reporter)?;
    }
    Ok(())
}

fn dropped<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    case.deliver(&mut reporter, sample::plain(3))?;
    drop(reporter);
    case.check()
}

fn deadline_over<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    let deadline = Deadline::unlimited();
    deadline.set(Instant::now());
    let _ = case.report(&mut reporter, sample::plain(3), &deadline)?;
    // Without time, releasing may fail, but it must not deliver anything.
    let _ = S::close(reporter, &deadline);
    case.check()
}

fn away<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    case.deliver(&mut reporter, sample::plain(2))?;
    if !case.destination.behave(Behavior::BeAway) {
        return Ok(());
    }
    for samples in [sample::plain(3), vec![sample::tree(2, 2)]] {
        failure(case.report(&mut reporter, samples, &soon())?)?;
    }
    return_to_work(case)?;
    for size in [1, 5] {
        case.deliver(&mut reporter, sample::plain(size))?;
    }
    case.close(reporter)
}

fn refusal<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    if !case.destination.behave(Behavior::Refuse) {
        return Ok(());
    }
    // A permanent rejection needs no retry, so there is no deadline.
    let error = failure(case.report(&mut reporter, sample::plain(3), &Deadline::unlimited())?)?;
    if error.rejected() == 0 {
        return Err(format!("expected rejected records, found: {error}"));
    }
    return_to_work(case)?;
    case.deliver(&mut reporter, sample::plain(2))?;
    case.close(reporter)
}

fn made_while_away<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    if !case.destination.behave(Behavior::BeAway) {
        return Ok(());
    }
    match case.create(&case.config(&[])) {
        Ok(mut reporter) => {
            failure(case.report(&mut reporter, sample::plain(2), &soon())?)?;
            return_to_work(case)?;
            case.deliver(&mut reporter, sample::plain(2))?;
            case.close(reporter)
        }
        Err(ConfigError::Setup(_)) => Ok(()),
        Err(error) => Err(format!("expected a reporter or a setup error, found {error:?}")),
    }
}

fn close_after_failure<S: Subject, D: Destination>(case: &mut Case<'_, S, D>) -> Found {
    let mut reporter = case.open(&[])?;
    if !case.destination.behave(Behavior::BeAway) {
        return Ok(());
    }
    failure(case.report(&mut reporter, sample::plain(3), &soon())?)?;
    return_to_work(case)?;
    let _ = S::close(reporter, &soon());
    case.check()
}

/// Returns the error of a report that cannot have succeeded.
fn failure(result: Result<(), ReportError>) -> Result<ReportError, String> {
    result.err().ok_or_else(|| "the report succeeded although nothing could be delivered".to_owned())
}

fn return_to_work<S: Subject, D: Destination>(case: &Case<'_, S, D>) -> Found {
    if case.destination.behave(Behavior::Take) {
        Ok(())
    } else {
        Err("the destination does not recover, which is not the reporter's fault".to_owned())
    }
}
