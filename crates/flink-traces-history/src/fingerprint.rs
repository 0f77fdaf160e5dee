//! The fingerprint of a failure, by which equal causes are grouped.

/// The beginnings of the frames of libraries, which a job's own code is below.
const LIBRARIES: &[&str] =
    &["java.", "javax.", "jdk.", "sun.", "scala.", "org.apache.flink.", "akka.", "org.apache.pekko.", "io.netty."];
/// The maximum length of a fingerprint, in characters.
const MAX_LENGTH: usize = 300;

/// Returns the class of the innermost cause and the first frame of the job's own code.
///
/// Without such a frame, the first line of the message takes its place, without digits.
pub(crate) fn fingerprint(exception: Option<&str>, message: Option<&str>, stacktrace: Option<&str>) -> String {
    let lines = || stacktrace.unwrap_or_default().lines().map(str::trim);
    let cause = lines().filter_map(|line| line.strip_prefix("Caused by: ")).next_back();
    let class = match cause.or(exception) {
        Some(text) => text.split([':', ' ']).next().unwrap_or_default(),
        None => "unknown",
    };
    let frames = lines().filter_map(|line| line.strip_prefix("at "));
    let is_own = |frame: &&str| {
        // A frame may begin with a class loader or a module, as `app//com.example.Map.map`.
        let name = frame.rsplit_once('/').map_or(*frame, |(_, name)| name);
        !LIBRARIES.iter().any(|library| name.starts_with(library))
    };
    let place = match frames.clone().find(is_own) {
        // Line numbers change with every version of a job.
        Some(frame) => frame.split('(').next().unwrap_or_default().to_owned(),
        None => {
            let detail = cause.and_then(|cause| Some(cause.split_once(": ")?.1)).or(message).unwrap_or_default();
            without_numbers(detail.lines().next().unwrap_or_default())
        }
    };
    let text = if place.is_empty() { class.to_owned() } else { format!("{class} at {place}") };
    text.chars().take(MAX_LENGTH).collect()
}

/// Replaces each run of digits and each word of hexadecimal digits by `#`.
fn without_numbers(text: &str) -> String {
    let word = |word: &str| {
        let is_id = word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            return "#".to_owned();
        }
        let mut out = String::new();
        for c in word.chars() {
            match c {
                '0'..='9' if out.ends_with('#') => {}
                '0'..='9' => out.push('#'),
                c => out.push(c),
            }
        }
        out
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_causes_have_one_fingerprint() {
        let trace = |line: u32, id: &str| {
            format!(
                "org.apache.flink.runtime.JobException: Recovery is suppressed\n\
                 \tat org.apache.flink.runtime.X.f(X.java:{line})\n\
                 Caused by: com.example.Broken: order {id}\n\
                 \tat java.base/java.util.HashMap.get(HashMap.java:5)\n\
                 \tat app//com.example.Orders.map(Orders.java:{line})\n"
            )
        };
        for (line, id) in [(1, "4711"), (99, "0b1d198cd84d5881")] {
            let found = fingerprint(Some("org.apache.flink.runtime.JobException"), None, Some(&trace(line, id)));
            assert_eq!(found, "com.example.Broken at app//com.example.Orders.map");
        }
        for message in ["lost tm-17 of 0b1d198cd84d58810f0faf9761017b2f", "lost tm-2 of ffffffffffffffff"] {
            assert_eq!(fingerprint(Some("a.Lost"), Some(message), None), "a.Lost at lost tm-# of #");
        }
        assert_eq!(fingerprint(None, None, None), "unknown");
        assert_eq!(fingerprint(Some("a.B"), Some(&"x".repeat(900)), Some("")).chars().count(), 300);
    }
}
