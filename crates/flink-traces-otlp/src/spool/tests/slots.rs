//! Several processes with one directory.

use std::cell::Cell;
use std::rc::Rc;
use std::thread;

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
    assert_eq!(fs::read_to_string(directory.path().join("1/lock")).unwrap(), pid);
}

/// Scenario: another process looks for free slots at each file operation of one that starts.
/// Guarantees: it never adopts the slot that is being created.
#[cfg(unix)]
#[test]
fn slot_in_creation_is_not_adopted() {
    let directory = tempfile::tempdir().unwrap();
    let mut starting = slots(directory.path(), "a");
    let path = directory.path().to_owned();
    let looks = Rc::new(Cell::new(0));
    let look = {
        let looks = looks.clone();
        move |_: &Op| {
            let mut other = slots(&path, "a");
            let adopted = thread::spawn(move || other.adopt().unwrap().map(|slot| slot.index)).join().unwrap();
            assert_eq!(adopted, None);
            looks.set(looks.get() + 1);
            false
        }
    };
    let slot = with_fault(look, || starting.take().unwrap());
    assert_eq!((slot.index, fs::read_dir(directory.path()).unwrap().count()), (0, 1));
    assert!(looks.get() > 5, "{looks:?}");
}

/// Scenario: two processes create the same slot, and one is faster. Guarantees: the other takes the
/// next, and leaves nothing behind.
#[cfg(unix)]
#[test]
fn slot_of_a_faster_process_is_left_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = directory.path().join("0");
    let race = move |op: &Op| {
        if matches!(op, Op::Rename(_, to) if *to == first) {
            fs::create_dir(&first).unwrap();
            fs::write(first.join("lock"), "").unwrap();
        }
        false
    };
    let slot = with_fault(race, || slots(directory.path(), "a").take().unwrap());
    let mut names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!((slot.index, &names[..]), (1, &["0", "1"].map(Into::into)[..]));
}

/// Scenario: two processes create the same slot, and one has named it before the other can lock it.
/// Guarantees: the other takes the next.
#[cfg(unix)]
#[test]
fn slot_that_another_process_named_first_is_left_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let [unnamed, named] = ["0.new", "0"].map(|name| directory.path().join(name));
    let race = move |op: &Op| {
        if matches!(op, Op::SyncDirectory(_)) && unnamed.exists() {
            fs::rename(&unnamed, &named).unwrap();
        }
        false
    };
    let slot = with_fault(race, || slots(directory.path(), "a").take().unwrap());
    assert_eq!(slot.index, 1);
}

/// Guarantees: a slot whose lock cannot be opened is an error of the start, and keeps no process
/// from adopting others.
#[test]
fn slot_that_cannot_be_locked_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    store(slots(directory.path(), "a").take().unwrap(), "left");
    fs::rename(directory.path().join("0"), directory.path().join("1")).unwrap();
    fs::create_dir_all(directory.path().join("0/lock")).unwrap();
    let mut slots = slots(directory.path(), "a");
    assert!(slots.take().is_err());
    #[cfg(unix)]
    assert_eq!(slots.adopt().unwrap().map(|slot| slot.index), Some(1));
}

/// Scenario: a process crashed while it created a slot. Guarantees: the next one takes that slot.
#[cfg(unix)]
#[test]
fn half_created_slot_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    for crashes in 1.. {
        let mut count = 0;
        let crash = move |_: &Op| {
            count += 1;
            count == crashes
        };
        let is_created = with_fault(crash, || slots(directory.path(), "a").take().is_ok());
        assert_eq!(slots(directory.path(), "a").take().unwrap().index, 0);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        if is_created {
            return assert!(crashes > 5);
        }
        fs::remove_dir_all(directory.path().join("0")).unwrap();
    }
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
fn slot_with_records_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path(), LIMIT);
    spool.append(&[root("left")]).unwrap();
    spool.remove_if_empty();
    assert!(directory.path().join("0/cursor").exists() && directory.path().join("0/lock").exists());
    assert_eq!(drain(&mut open(directory.path(), LIMIT)), ["left"]);
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
