//! Adoption of slots, and the lock of the spools.

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;

use super::super::tests::disk::{Op, with_fault};
use super::super::tests::power::scratch;
use super::*;
use crate::chunk::Role;

fn slots(directory: &Path) -> Slots {
    Slots::open(directory, Destination { endpoint: "a".to_owned(), protocol: "grpc" }, "test").unwrap()
}

/// Returns the spool of a process that starts, and its slots.
fn start(directory: &Path, limit: u64) -> (Arc<Shared>, Slots) {
    let mut slots = slots(directory);
    let spool = Spool::open(slots.take().unwrap(), limit).unwrap();
    (Arc::new(Shared::new(spool, &ReporterMeter::new(), "test")), slots)
}

fn adopter(shared: &Shared, slots: Slots) -> Adopter<'_> {
    Adopter { shared, slots, stuck: Vec::new(), next: Instant::now() }
}

fn root(text: &str) -> Chunk {
    Chunk { message: text.to_owned().into(), records: 1, role: Role::Root }
}

/// Delivers everything, and returns how much that was.
fn drain(adopter: &mut Adopter<'_>) -> usize {
    let mut sent = 0;
    while let Some((ticket, _)) = adopter.next() {
        adopter.finalize(ticket, RecordCounts { delivered: 1, ..RecordCounts::default() });
        sent += 1;
    }
    sent
}

/// Scenario: of two free slots one cannot be removed, because it holds a foreign file, and one
/// cannot be opened. Guarantees: the look for free slots ends, and a later one tries again.
#[test]
fn stuck_slots_are_adopted_once_a_look() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (shared, own) = start(path, 1 << 20);
    let mut other = slots(path);
    let left = [1, 2].map(|_| other.take().unwrap());
    drop(left);
    fs::write(path.join("1/notes.txt"), "mine").unwrap();
    fs::create_dir(path.join("2/cursor")).unwrap();
    let mut adopter = adopter(&shared, own);
    for _ in 0..2 {
        adopter.next = Instant::now();
        adopter.adopt_if_due();
        assert!(adopter.next > Instant::now());
        assert_eq!((shared.lock().spools.len(), adopter.slots.held.len()), (1, 1));
    }
    fs::remove_file(path.join("1/notes.txt")).unwrap();
    fs::remove_dir(path.join("2/cursor")).unwrap();
    adopter.next = Instant::now();
    adopter.adopt_if_due();
    assert!(!path.join("1").exists() && !path.join("2").exists());
}

/// Scenario: 100 restarts of seven processes each, the new ones before the old ones end.
/// Guarantees: each record is sent once, and no slot is left behind.
#[test]
fn restarts_leave_no_slots_behind() {
    let directory = scratch();
    let (mut running, mut sent) = (Vec::new(), 0);
    for _ in 0..100 {
        let mut started: Vec<_> = (0..7).map(|_| start(directory.path(), 1 << 20)).collect();
        for (shared, _) in &started {
            shared.lock().spools[0].append(&[root("x")]).unwrap();
        }
        // The old processes end.
        running.clear();
        let (shared, slots) = started.pop().unwrap();
        sent += drain(&mut adopter(&shared, slots));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 7);
        running.extend(started.into_iter().map(|(shared, _)| shared));
        running.push(shared);
    }
    // The last six processes have not sent theirs.
    assert_eq!(sent, 700 - 6);
}

#[test]
fn slots_are_adopted_one_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let left: Vec<_> = (0..3).map(|_| start(directory.path(), 1 << 20)).collect();
    left.iter().for_each(|(shared, _)| shared.lock().spools[0].append(&[root("left")]).unwrap());
    let (shared, slots) = start(directory.path(), 1 << 20);
    drop(left);
    let mut adopter = adopter(&shared, slots);
    adopter.next().unwrap();
    adopter.next();
    assert_eq!(shared.lock().spools.len(), 2);
}

#[test]
fn abandoned_chunk_is_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let (shared, slots) = start(directory.path(), 1 << 20);
    shared.lock().spools[0].append(&[root("x")]).unwrap();
    let mut adopter = adopter(&shared, slots);
    let (ticket, _) = adopter.next().unwrap();
    assert!(adopter.next().is_none());
    adopter.abandon(ticket, RecordCounts::default());
    assert_eq!(drain(&mut adopter), 1);
}

/// Guarantees: the account covers the own spool and an adopted one, which has no limit of its own.
#[test]
fn account_is_the_sum_of_both_spools() {
    let directory = tempfile::tempdir().unwrap();
    let (left, _) = start(directory.path(), 1 << 20);
    left.lock().spools[0].append(&[root("left"), root("left")]).unwrap();
    let (shared, slots) = start(directory.path(), 10_000);
    shared.lock().spools[0].append(&[root("own")]).unwrap();
    drop(left);
    adopter(&shared, slots).adopt_if_due();
    let sizes: Vec<_> = shared.lock().spools.iter().map(Spool::size).collect();
    let account = shared.meter.read().buffer.unwrap();
    assert_eq!((account.queued, account.limit), (3, 10_000));
    assert_eq!((account.bytes, sizes.len()), (sizes.iter().sum(), 2));
}

/// Guarantees: a process that ends removes its slot if nothing is left in it, except for the first
/// slot, whose counts can be read.
#[test]
fn first_slot_stays_after_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let started: Vec<_> = (0..3).map(|_| start(directory.path(), 1 << 20).0).collect();
    started[2].lock().spools[0].append(&[root("left")]).unwrap();
    for shared in started {
        Forwarder { shared, thread: None, deadline: Deadline::unlimited() }.end(Duration::ZERO);
    }
    let left = ["0", "1", "2"].map(|slot| directory.path().join(slot).exists());
    assert_eq!(left, [true, false, true]);
}

/// Scenario: a spool stores, evicts, sends, finds damage, writes its cursor and adopts a slot.
/// Guarantees: each file operation leaves the lock free, so that a slow disk delays only the thread
/// that waits for it.
#[test]
fn no_file_operation_holds_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let (left, _) = start(directory.path(), 1 << 20);
    let (shared, slots) = start(directory.path(), 10_000);
    left.lock().spools[0].append(&[root("left")]).unwrap();
    drop(left);
    let forwarder = Forwarder { shared: shared.clone(), thread: None, deadline: Deadline::unlimited() };
    let [operations, reads, links] = [0; 3].map(|count| Rc::new(Cell::new(count)));
    let check = {
        let (shared, operations, reads, links) = (shared.clone(), operations.clone(), reads.clone(), links.clone());
        move |op: &Op| {
            assert!(shared.state.try_lock().is_ok(), "{op:?}");
            operations.set(operations.get() + 1);
            reads.set(reads.get() + usize::from(matches!(op, Op::Read(_))));
            links.set(links.get() + usize::from(matches!(op, Op::Link(..))));
            false
        }
    };
    let sent = with_fault(check, || {
        for _ in 0..4 {
            forwarder.store(&[root(&"x".repeat(3_000))]).unwrap();
        }
        assert!(forwarder.store(&[root(&"x".repeat(10_000))]).is_err());
        damage_last(&directory.path().join("1"));
        drain(&mut adopter(&shared, slots))
    });
    // Two of them, and the one that was left.
    assert_eq!(sent, 3);
    assert_eq!(shared.lock().spools[0].size(), 0);
    assert!(operations.get() > 30, "{operations:?}");
    // A head and a chunk each, and the damaged segment.
    assert_eq!((reads.get(), links.get()), (8, 1));
}

/// Changes a byte of the chunk in the last segment of a slot.
fn damage_last(slot: &Path) {
    let paths = fs::read_dir(slot).unwrap().map(|entry| entry.unwrap().path());
    let last = paths.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).max().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(last, bytes).unwrap();
}
