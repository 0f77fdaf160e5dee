//! Files of the spool.
//!
//! With arbitrary bytes as a segment, the spool opens, and the next start finds the same chunks.
//! After damage to a segment, the spool returns chunks that were stored and no others.
#![no_main]

use std::fs;
use std::path::{Path, PathBuf};

use flink_traces_otlp::fuzzing::{recover, store};
use libfuzzer_sys::fuzz_target;

/// Creates a directory for one run, in memory if possible.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    made.unwrap()
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory.join("0")).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect();
    paths.sort();
    paths
}

fuzz_target!(|input: (u8, u16, [u8; 4], Vec<Vec<u8>>, &[u8])| {
    let (mode, index, burst, chunks, bytes) = input;
    let directory = directory();
    let directory = directory.path();
    if mode % 2 == 0 {
        // Another version, this version, or arbitrary bytes.
        let header: &[u8] = if mode % 4 == 0 { b"ftspool\n\x02\x00\x00\x00\x00\x00\x00\x00" } else { b"" };
        fs::create_dir(directory.join("0")).unwrap();
        fs::write(directory.join("0/summary-00000000000000000000.seg"), [header, bytes].concat()).unwrap();
        if mode % 8 == 6 {
            fs::write(directory.join("0/cursor"), bytes).unwrap();
        }
        let found = recover(directory);
        assert_eq!(recover(directory), found);
        return;
    }
    let chunks: Vec<_> = chunks.into_iter().filter(|chunk| !chunk.is_empty()).take(8).collect();
    store(directory, &chunks);
    assert_eq!(recover(directory), chunks);
    let Some(path) = segments(directory).into_iter().next() else { return };
    let mut damaged = fs::read(&path).unwrap();
    let index = usize::from(index) % damaged.len();
    // A 32-bit checksum detects every burst of four bytes.
    for (byte, change) in damaged[index..].iter_mut().zip(burst) {
        *byte ^= change;
    }
    if mode % 4 == 1 {
        damaged.truncate(index + 4);
    } else {
        damaged.extend_from_slice(bytes);
    }
    fs::write(&path, &damaged).unwrap();
    let found = recover(directory);
    // The added bytes may form valid records, but the written chunks never change.
    let is_added = mode % 4 != 1 && !bytes.is_empty();
    let mut rest = chunks.iter();
    let is_part = found.iter().all(|chunk| rest.any(|known| known == chunk));
    assert!(is_added || is_part, "{found:?} of {chunks:?}");
    assert_eq!(recover(directory), found);
});
