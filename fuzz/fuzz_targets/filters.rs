//! Filter rules. Every rule is accepted or rejected, and matches like a simple reference.
#![no_main]

use flink_traces_api::Compatibility;
use flink_traces_runtime::config::{Filter, Rule};
use libfuzzer_sys::fuzz_target;

/// Returns `true` if `text` matches `glob`, by trying all replacements of each `*`.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for byte in glob {
        if *byte == b'*' {
            let first = reached.iter().position(|reached| *reached).unwrap_or(reached.len());
            reached[first..].fill(true);
        } else {
            for index in (0..text.len()).rev() {
                reached[index + 1] = reached[index] && text[index] == *byte;
            }
            reached[0] = false;
        }
    }
    reached[text.len()]
}

fuzz_target!(|input: (&str, &str, &str)| {
    let (rule, scope, name) = input;
    if rule.len() + scope.len() + name.len() > 1_000 {
        return;
    }
    if let Ok(rule) = Rule::parse(rule, Compatibility::Flink) {
        Filter::new(vec![rule], Vec::new()).matches(scope, name);
    }
    let Ok(parsed) = Rule::parse(rule, Compatibility::Standard) else { return };
    let mut fields = rule.split(':').map(str::trim);
    let mut field_matches = |text: &str| {
        let mut globs = fields.next().unwrap_or("").split(',').map(str::trim).filter(|glob| !glob.is_empty()).peekable();
        globs.peek().is_none() || globs.any(|glob| matches(glob.as_bytes(), text.as_bytes()))
    };
    let expected = field_matches(scope) & field_matches(name);
    assert_eq!(Filter::new(vec![parsed.clone()], Vec::new()).matches(scope, name), expected);
    assert!(!Filter::new(vec![parsed.clone()], vec![parsed]).matches(scope, name));
});
