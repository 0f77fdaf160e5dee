//! Recorded output of Flink, for a test that needs no Java.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use flate2::Crc;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::flink::{END, Flink};
use super::{Kind, refusal};

/// The seed of all recorded cases.
const SEED: u64 = 20_251_125;

fn path(root: &Path, kind: &Kind) -> PathBuf {
    root.join(format!("testing/parity/golden/{}.gz", kind.name))
}

/// Returns a fingerprint, which shows if a recording belongs to the cases of today's generator.
fn fingerprint(kind: &Kind) -> String {
    let mut sum = Crc::new();
    for number in 0..kind.recorded {
        for line in (kind.generate)(SEED, number) {
            sum.update(line.as_bytes());
            sum.update(b"\n");
        }
    }
    format!("{} {}, questions {:08x}\n", kind.recorded, kind.name, sum.sum())
}

/// Records the output of Flink.
pub(super) fn record(root: &Path, flink: &mut Flink, kind: &Kind) -> Result<()> {
    let mut text = fingerprint(kind);
    for number in 0..kind.recorded {
        let answer = flink.answer(&(kind.generate)(SEED, number))?;
        ensure!(refusal(&answer).is_none(), "number {number}: {answer}");
        text += &format!("{answer}{END}\n");
    }
    let path = path(root, kind);
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(text.as_bytes())?;
    let bytes = encoder.finish()?;
    println!("{}: {} bytes", path.display(), bytes.len());
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    check(root, kind)
}

/// Returns the recorded output of each case, in order.
fn read(root: &Path, kind: &Kind) -> Result<Vec<String>> {
    let path = path(root, kind);
    let file = fs::File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text)?;
    let fingerprint = fingerprint(kind);
    let answers = text.strip_prefix(&fingerprint).with_context(|| {
        format!("{} is of other questions than {fingerprint}`cargo parity --record` records it again", path.display())
    })?;
    let mut cases = vec![String::new()];
    for line in answers.lines() {
        match (line, cases.last_mut()) {
            (END, _) | (_, None) => cases.push(String::new()),
            (line, Some(case)) => *case += &format!("{line}\n"),
        }
    }
    // Nothing follows the last end.
    cases.pop();
    Ok(cases)
}

/// Compares our output with the recording.
fn check(root: &Path, kind: &Kind) -> Result<()> {
    let answers = read(root, kind)?;
    ensure!(answers.len() as u64 == kind.recorded, "{} answers", answers.len());
    for (number, flinks) in (0..).zip(&answers) {
        let case = (kind.generate)(SEED, number);
        let ours = (kind.answer)(&case)?;
        ensure!(
            ours == *flinks,
            "{}, number {number}:\n{}\n{}",
            kind.name,
            case.join("\n"),
            super::difference(flinks, &ours)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_match_recorded_flink() {
        check(&harness::workspace_root().unwrap(), &crate::SEQUENCES).unwrap();
    }

    #[test]
    fn configurations_match_recorded_flink() {
        check(&harness::workspace_root().unwrap(), &crate::CONFIGURATIONS).unwrap();
    }

    #[test]
    fn difference_from_recording_is_found() {
        let wrong = Kind { answer: |_| Ok("no answer\n".to_owned()), ..crate::SEQUENCES };
        let error = check(&harness::workspace_root().unwrap(), &wrong).unwrap_err();
        assert!(error.to_string().contains("ours:  no answer"), "{error}");
    }
}
