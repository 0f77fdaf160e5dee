//! Flink's side: a Java process that runs cases through Flink's own classes.

use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};

use harness::flink::Distribution;
use harness::{ProcessGuard, recreate, run, workspace_root};

/// The last line of a case and of its output.
pub(super) const END: &str = "end";

/// A Java process with Flink's classes, which is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Flink {
    _process: ProcessGuard,
    questions: BufWriter<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Flink {
    /// Compiles the Java side against Flink's jars and starts it. Its classes and its standard
    /// error go to `folder`.
    pub(super) fn start(distribution: &Distribution, folder: &Path) -> Result<Self> {
        let classes = folder.join("classes");
        recreate(&classes)?;
        let mut sources: Vec<_> = Vec::new();
        for entry in workspace_root()?.join("testing/parity/java").read_dir()? {
            sources.push(entry?.path());
        }
        sources.retain(|source| source.extension().is_some_and(|extension| extension == "java"));
        let mut javac = Command::new("javac");
        javac
            .arg("-XDignore.symbol.file")
            .arg("-cp")
            .arg(distribution.class_path())
            .arg("-d")
            .arg(&classes)
            .args(sources);
        run(&mut javac)?;

        let mut class_path = classes.into_os_string();
        class_path.push(":");
        class_path.push(distribution.class_path());
        let log = fs::File::create(folder.join("java.log"))?;
        let mut java = Command::new("java");
        java.args(["-Xmx512m", "-XX:+UseSerialGC", "-Dlog4j2.level=OFF", "-Dfile.encoding=UTF-8", "-cp"])
            .arg(class_path)
            .arg("Parity");
        java.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut process = java.spawn().context("cannot start java")?;
        let (Some(questions), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            bail!("java has no pipes");
        };
        Ok(Self { _process: process.into(), questions: BufWriter::new(questions), answers: BufReader::new(answers) })
    }

    /// Returns the output of Flink's classes for a case.
    pub(super) fn answer(&mut self, question: &[String]) -> Result<String> {
        self.send(question).context("the Java process ended early; its standard error is in target/parity/java.log")
    }

    fn send(&mut self, question: &[String]) -> Result<String> {
        for line in question {
            writeln!(self.questions, "{line}")?;
        }
        writeln!(self.questions, "{END}")?;
        self.questions.flush()?;
        let mut answer = String::new();
        loop {
            let start = answer.len();
            if self.answers.read_line(&mut answer)? == 0 {
                bail!("no more output");
            }
            if answer[start..].trim_end() == END {
                answer.truncate(start);
                return Ok(answer);
            }
        }
    }
}
