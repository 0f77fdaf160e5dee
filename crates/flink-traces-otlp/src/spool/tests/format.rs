//! The format on disk, with files that are kept in the repository.

use super::*;

/// The files of version 2, each as it is on disk.
fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Stores what the kept files hold: of two reports the first root is delivered.
fn write(directory: &Path) {
    let mut spool = open(directory, LIMIT);
    spool.append(&[chunk("first root", 2, Role::Root), chunk("first detail", 3, Role::Detail)]).unwrap();
    let more = chunk("second continuation", 1, Role::Continuation);
    spool.append(&[root("second root"), more, chunk("second detail", 4, Role::Detail)]).unwrap();
    assert_eq!(deliver(&mut spool).unwrap(), "first root");
}

/// `SPOOL_WRITE_FILES=1 cargo test -p flink-traces-otlp --lib files_of_this_version` writes them.
#[test]
fn files_of_this_version_are_written_as_they_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path());
    if std::env::var_os("SPOOL_WRITE_FILES").is_some() {
        copy(&directory.path().join("0"), &kept("spool-v2"));
        fs::remove_file(kept("spool-v2").join("lock")).unwrap();
    }
    let names = |path: &Path| {
        let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.filter(|name| name != "lock").collect();
        names.sort();
        names
    };
    let written = directory.path().join("0");
    assert_eq!(names(&written), names(&kept("spool-v2")));
    for name in names(&written) {
        assert_eq!(fs::read(written.join(&name)).unwrap(), fs::read(kept("spool-v2").join(&name)).unwrap(), "{name:?}");
    }
}

#[test]
fn kept_files_are_read() {
    let directory = tempfile::tempdir().unwrap();
    copy(&kept("spool-v2"), &directory.path().join("0"));
    let mut spool = open(directory.path(), LIMIT);
    assert_eq!((spool.counts(), spool.queued(), &spool.notices[..]), (counts(2, 0, 0), 9, &[][..]));
    assert_eq!(drain(&mut spool), ["second root", "second continuation", "first detail", "second detail"]);
}

/// Scenario: a newer program was downgraded. Its manifest says a version that this one does not
/// know, and has its sum elsewhere. Guarantees: not one byte of the slot changes, and the process
/// uses another one.
#[test]
fn slot_of_a_newer_version_is_left_untouched() {
    let directory = tempfile::tempdir().unwrap();
    copy(&kept("spool-v3"), &directory.path().join("0"));
    let mut spool = open(directory.path(), LIMIT);
    assert_eq!(spool.slot.index, 1);
    spool.append(&[root("one")]).unwrap();
    assert_eq!(drain(&mut spool), ["one"]);
    let mut count = 0;
    for path in fs::read_dir(kept("spool-v3")).unwrap().map(|entry| entry.unwrap().path()) {
        let copied = directory.path().join("0").join(path.file_name().unwrap());
        assert_eq!(fs::read(&path).unwrap(), fs::read(copied).unwrap());
        count += 1;
    }
    assert!(count > 2);
}
