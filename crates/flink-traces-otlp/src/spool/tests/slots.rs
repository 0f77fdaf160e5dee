//! Several processes with one directory.

use super::*;

fn destination(endpoint: &str) -> Destination {
    Destination { endpoint: endpoint.to_owned(), protocol: "grpc" }
}

fn slots(directory: &Path, endpoint: &str) -> Slots {
    Slots::open(directory, destination(endpoint), "test").unwrap()
}

fn store(slot: Slot, text: &str) {
    Spool::open(slot, LIMIT).unwrap().append(&[root(text)]).unwrap();
}

#[test]
fn each_process_takes_the_first_free_slot() {
    let directory = tempfile::tempdir().unwrap();
    let mut slots = slots(directory.path(), "a");
    let [first, second, third] = [(); 3].map(|()| slots.take().unwrap());
    assert_eq!([&first, &second, &third].map(|slot| slot.index), [0, 1, 2]);
    let pid = fs::read_to_string(directory.path().join("1/lock")).unwrap();
    assert_eq!(pid.trim(), std::process::id().to_string());
    drop(second);
    assert_eq!(slots.take().unwrap().index, 1);
}

#[test]
fn free_slots_of_an_endpoint_are_adopted_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut others = slots(directory.path(), "a");
    let taken: Vec<_> = (0..5).map(|_| others.take().unwrap()).collect();
    taken.into_iter().for_each(|slot| store(slot, "left"));
    let mut slots = slots(directory.path(), "a");
    let own = slots.take().unwrap();
    let mut found = 0;
    while let Some(slot) = slots.adopt().unwrap() {
        let index = slot.index;
        let mut spool = Spool::open(slot, u64::MAX).unwrap();
        assert!(index > 0 && drain(&mut spool) == ["left"]);
        spool.remove_if_empty();
        assert!(!directory.path().join(index.to_string()).exists());
        slots.held.remove(&index);
        found += 1;
    }
    assert_eq!((own.index, found), (0, 4));
}

#[test]
fn slots_with_records_for_another_endpoint_are_left() {
    let directory = tempfile::tempdir().unwrap();
    store(slots(directory.path(), "a").take().unwrap(), "for a");
    for endpoint in ["b", "a"] {
        let mut slots = slots(directory.path(), endpoint);
        let own = slots.take().unwrap();
        assert_eq!(own.index, u32::from(endpoint == "b"));
        assert!(slots.adopt().unwrap().is_none_or(|slot| endpoint == "a" && slot.index == 1));
    }
    // The protocol counts, too.
    let other = Destination { protocol: "http", ..destination("a") };
    assert_eq!(Slots::open(directory.path(), other, "test").unwrap().take().unwrap().index, 1);
    // Once it is empty, anyone may have it.
    let mut spool = Spool::open(slots(directory.path(), "a").take().unwrap(), LIMIT).unwrap();
    assert_eq!(drain(&mut spool), ["for a"]);
    drop(spool);
    assert_eq!(slots(directory.path(), "b").take().unwrap().index, 0);
}

#[test]
fn manifest_holds_no_more_than_endpoint_and_protocol() {
    let directory = tempfile::tempdir().unwrap();
    drop(slots(directory.path(), "http://h:4317/").take().unwrap());
    let text = fs::read_to_string(directory.path().join("0/slot.json")).unwrap();
    let (json, _) = text.split_once('\n').unwrap();
    assert_eq!(json, r#"{"endpoint":"http://h:4317/","protocol":"grpc","version":2}"#);
}

#[test]
fn damaged_manifest_costs_nothing() {
    let directory = tempfile::tempdir().unwrap();
    store(slots(directory.path(), "a").take().unwrap(), "kept");
    fs::write(directory.path().join("0/slot.json"), "{").unwrap();
    let mut spool = Spool::open(slots(directory.path(), "a").take().unwrap(), LIMIT).unwrap();
    assert_eq!(drain(&mut spool), ["kept"]);
}

/// Scenario: a process opens the lock of a slot that another one removes at that moment.
/// Guarantees: it does not hold a slot that no longer exists.
#[cfg(unix)]
#[test]
fn lock_of_a_removed_slot_is_none() {
    let directory = tempfile::tempdir().unwrap();
    let slot = slots(directory.path(), "a").take().unwrap();
    let path = directory.path().join("0/lock");
    let file = crate::files::open_to_append(&path).unwrap();
    assert!(crate::files::is_same_file(&file, &path));
    slot.remove();
    assert!(!crate::files::is_same_file(&file, &path) && !directory.path().join("0").exists());
    fs::create_dir(directory.path().join("0")).unwrap();
    fs::write(&path, "").unwrap();
    assert!(!crate::files::is_same_file(&file, &path));
}

#[test]
fn spool_of_the_old_layout_is_put_aside() {
    let directory = tempfile::tempdir().unwrap();
    let files = ["cursor.json", "lock", "withheld", "00000000000000000001.seg"];
    files.iter().for_each(|name| fs::write(directory.path().join(name), name).unwrap());
    fs::create_dir(directory.path().join("dead-letter")).unwrap();
    let mut spool = open(directory.path(), LIMIT);
    assert_eq!(pending(&mut spool), Vec::<String>::new());
    for name in files {
        assert_eq!(fs::read_to_string(directory.path().join("old").join(name)).unwrap(), name);
    }
    assert!(directory.path().join("dead-letter").exists() && !directory.path().join("lock").exists());
}
