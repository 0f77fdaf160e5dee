//! What is stored is there, whatever happens to the files.

use super::*;

const LIMIT: u64 = 1 << 20;

fn chunk(text: &str, records: usize, is_leaf: bool) -> Chunk {
    Chunk { message: text.as_bytes().to_vec().into(), records, overtakes: u32::MAX, is_leaf }
}

fn open(directory: &Path) -> Spool {
    Spool::open(directory, LIMIT).unwrap()
}

/// Everything that waits, in order; it stays.
fn waiting(spool: &mut Spool) -> Vec<String> {
    let mut taken = Vec::new();
    while let Some((number, chunk)) = spool.next() {
        taken.push((number, String::from_utf8(chunk.message.to_vec()).unwrap()));
    }
    for (number, _) in &taken {
        spool.give_up(*number, Outcome::default());
    }
    taken.into_iter().map(|(_, text)| text).collect()
}

/// Takes the oldest chunk, and says that it was delivered.
fn deliver(spool: &mut Spool) -> Option<String> {
    let (number, chunk) = spool.next()?;
    spool.settle(number, Outcome { delivered: chunk.records, ..Outcome::default() });
    Some(String::from_utf8(chunk.message.to_vec()).unwrap())
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect();
    paths.sort();
    paths
}

#[test]
fn what_is_stored_is_there_at_the_next_start_and_what_is_settled_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path());
    spool.append(&[chunk("one", 1, false), chunk("two", 2, true), chunk("three", 3, true)]).unwrap();
    spool.append(&[chunk("four", 4, false)]).unwrap();
    assert_eq!(deliver(&mut spool).unwrap(), "one");
    drop(spool);
    let mut spool = open(directory.path());
    assert_eq!(spool.account(), Account { delivered: 1, queued: 9, ..Account::default() });
    assert_eq!(waiting(&mut spool), ["two", "three", "four"]);
    let (number, _) = spool.next().unwrap();
    spool.settle(number, Outcome { delivered: 1, rejected: 1, lost: 0 });
    let (number, _) = spool.next().unwrap();
    spool.settle(number, Outcome { delivered: 0, rejected: 0, lost: 3 });
    assert_eq!(deliver(&mut spool).unwrap(), "four");
    assert_eq!(spool.account(), Account { delivered: 6, rejected: 1, dropped: 3, queued: 0 });
    assert!(segments(directory.path()).is_empty());
    drop(spool);
    let mut spool = open(directory.path());
    spool.append(&[chunk("five", 5, false)]).unwrap();
    assert_eq!(waiting(&mut spool), ["five"]);
    assert_eq!(spool.account(), Account { delivered: 6, rejected: 1, dropped: 3, queued: 5 });
}

#[test]
fn what_is_settled_out_of_order_is_sent_again_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path());
    spool.append(&[chunk("one", 1, false), chunk("two", 1, false)]).unwrap();
    let (_, (second, _)) = (spool.next().unwrap(), spool.next().unwrap());
    spool.settle(second, Outcome { delivered: 1, ..Outcome::default() });
    assert_eq!(spool.account(), Account { queued: 2, ..Account::default() });
    drop(spool);
    assert_eq!(waiting(&mut open(directory.path())), ["one", "two"]);
}

#[test]
fn a_chunk_waits_until_those_with_its_parents_are_settled() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path());
    let child = |text, overtakes| Chunk { overtakes, ..chunk(text, 1, true) };
    spool.append(&[chunk("whole", 1, false), child("part", 0), child("another", 1)]).unwrap();
    // Other trees depend on nothing.
    spool.append(&[chunk("other", 1, false)]).unwrap();
    let (whole, _) = spool.next().unwrap();
    assert_eq!(spool.next(), None);
    spool.settle(whole, Outcome { delivered: 1, ..Outcome::default() });
    assert_eq!(waiting(&mut spool), ["part", "another", "other"]);
    drop(spool);
    // It is known after a crash too.
    let mut spool = open(directory.path());
    assert_eq!(waiting(&mut spool), ["part", "another", "other"]);
}

/// A span of a tree of a whole with 60 parts, as chunks with few spans each.
fn tree() -> Vec<Chunk> {
    use std::sync::Arc;

    use flink_traces_api::{ReportContext, ReportedSpan, Span, SystemClock};

    use crate::encode::{Chunks, span_records};

    let part = |place| Span::builder("s", "part").attribute("place", place).child(Span::builder("s", "in it"));
    let whole = Span::builder("s", "whole").children((0..60_i64).map(part)).build(&SystemClock);
    let context = Arc::new(ReportContext::default());
    let tree = [ReportedSpan::new(Arc::new(whole), context)];
    let chunks: Vec<_> = Chunks::new(span_records(&tree), tree[0].span_count(), Bytes::new(), 1_000).collect();
    assert!(chunks.len() > 5);
    chunks
}

/// Takes all chunks that may go as the sender does; answers how many records may be sent and how many must not. Those that may are
/// settled as delivered.
fn send_all(spool: &mut Spool) -> (usize, usize) {
    let (mut sent, mut orphans) = (0, 0);
    while let Some((number, chunk)) = spool.next() {
        let first = spool.first_of(number);
        let parts = spool.with_withheld(|withheld| chunk.without_orphans(withheld, first, number));
        let kept = parts.map_or(0, |[_, orphans]| orphans.records);
        let outcome = Outcome { delivered: chunk.records - kept, rejected: kept, lost: 0 };
        sent += outcome.delivered;
        orphans += kept;
        spool.settle(number, outcome);
    }
    (sent, orphans)
}

/// Scenario: a span is refused, and the process is killed before what it contains was. Guarantees: the next process does not send that
/// either, but what else there is; and the same span may come again.
#[test]
fn what_is_part_of_a_refused_span_is_not_sent_by_the_next_process() {
    let directory = tempfile::tempdir().unwrap();
    let chunks = tree();
    let records: usize = chunks.iter().map(|chunk| chunk.records).sum();
    let mut spool = open(directory.path());
    spool.append(&chunks).unwrap();
    let (number, chunk) = spool.next().unwrap();
    spool.with_withheld(|withheld| chunk.withhold(withheld, number));
    spool.settle(number, Outcome { rejected: chunk.records, ..Outcome::default() });
    assert!(directory.path().join("withheld").exists());
    drop(spool);

    // Torn, as a crash may leave it.
    let mut file = open_to_append(&directory.path().join("withheld")).unwrap();
    file.write_all(&[7; WITHHELD - 1]).unwrap();
    let mut spool = open(directory.path());
    spool.append(&[Chunk { overtakes: 0, ..chunks[0].clone() }]).unwrap();
    let (sent, orphans) = send_all(&mut spool);
    assert_eq!((sent, orphans), (chunks[0].records, records - chunks[0].records));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "the lock and the cursor");

    // The same tree again, which is taken this time.
    spool.append(&chunks).unwrap();
    assert_eq!(send_all(&mut spool), (records, 0));
}

/// Scenario: a chunk was refused, but that it is settled was not written down. Guarantees: it is sent again, and if it is taken now, so is
/// what its spans contain.
#[test]
fn what_is_sent_again_is_not_withheld() {
    let directory = tempfile::tempdir().unwrap();
    let chunks = tree();
    let mut spool = open(directory.path());
    spool.append(&chunks).unwrap();
    let (number, chunk) = spool.next().unwrap();
    spool.with_withheld(|withheld| chunk.withhold(withheld, number));
    spool.write_withheld().unwrap();
    drop(spool);
    let records = chunks.iter().map(|chunk| chunk.records).sum();
    assert_eq!(send_all(&mut open(directory.path())), (records, 0));
}

/// Scenario: chunks were dropped to make room, and the process is killed. Guarantees: the next one has the same account, sends nothing
/// whose parent was dropped, and goes on.
#[test]
fn after_dropping_the_next_process_goes_on_with_the_same_account() {
    for is_leaf in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let mut spool = open(directory.path());
        let large = "x".repeat(100_000);
        // What is large is dropped: parts, or what has them.
        let [head_text, part_text] = if is_leaf { ["", large.as_str()] } else { [large.as_str(), ""] };
        let mut number = 0;
        let mut report = |spool: &mut Spool| {
            let head = chunk(&format!("head {number} {head_text}"), 1, false);
            let part = Chunk { overtakes: 0, ..chunk(&format!("part {number} {part_text}"), 10, true) };
            spool.append(&[head, part]).unwrap();
            number += 1;
        };
        (0..20).for_each(|_| report(&mut spool));
        let before = spool.account();
        assert_eq!(spool.notices, [Notice::Drops]);
        assert!(before.dropped > 0);
        drop(spool);

        let mut spool = open(directory.path());
        assert_eq!((spool.account(), &spool.notices[..]), (before, &[][..]));
        (0..5).for_each(|_| report(&mut spool));
        assert_eq!(spool.notices, [Notice::Drops]);
        let mut heads = BTreeSet::new();
        let mut parts = BTreeSet::new();
        while let Some(text) = deliver(&mut spool) {
            let [kind, number] = text.split(' ').take(2).collect::<Vec<_>>()[..] else { panic!("{text}") };
            if kind == "head" { &mut heads } else { &mut parts }.insert(number.parse::<u32>().unwrap());
        }
        assert!(parts.is_subset(&heads), "{parts:?} of {heads:?}");
        // The oldest parts are gone, and all that has them is there, if these take the room.
        assert_eq!((heads.len() == 25, heads.last()), (is_leaf, Some(&24)));
        let oldest = parts.first().unwrap();
        assert!(*oldest > 0 && parts.iter().copied().eq(*oldest..25), "{parts:?}");
        let account = spool.account();
        assert_eq!((account.delivered, account.queued), ((heads.len() + 10 * parts.len()) as u64, 0));
        assert_eq!(account.delivered + account.dropped, 25 * 11);
        drop(spool);
        assert_eq!(open(directory.path()).account(), account);
    }
}

/// A spool of three chunks in one segment; the segment's bytes.
fn three(directory: &Path) -> Vec<u8> {
    let mut spool = open(directory);
    spool.append(&[chunk("one", 1, false), chunk("two", 1, false), chunk("three", 1, false)]).unwrap();
    drop(spool);
    let [segment] = &segments(directory)[..] else { panic!("one segment") };
    fs::read(segment).unwrap()
}

/// Opens a spool of which one segment has those bytes; answers what is in it, after checking that the rest is in quarantine and that the
/// next start finds the same, without damage.
fn recovered(directory: &Path, bytes: &[u8]) -> Vec<String> {
    let path = directory.join(format!("{:020}.seg", 1));
    let _ = fs::remove_dir_all(directory.join("quarantine"));
    fs::write(&path, bytes).unwrap();
    let mut spool = open(directory);
    let found = waiting(&mut spool);
    let put_aside: u64 = spool
        .notices
        .iter()
        .map(|notice| match notice {
            Notice::Quarantined(_, bytes) => *bytes,
            other => panic!("{other:?}"),
        })
        .sum();
    let kept = fs::read_dir(directory.join("quarantine"))
        .map_or(0, |files| files.map(|file| file.unwrap().metadata().unwrap().len()).sum());
    let left = fs::metadata(&path).map_or(0, |metadata| metadata.len());
    assert_eq!(put_aside, kept);
    assert!(left + kept == bytes.len() as u64 || found.is_empty());
    spool.append(&[chunk("new", 1, false)]).unwrap();
    drop(spool);
    let mut spool = open(directory);
    assert_eq!(waiting(&mut spool), [&found[..], &["new".to_owned()]].concat());
    assert_eq!(spool.notices, []);
    while deliver(&mut spool).is_some() {}
    fs::remove_file(directory.join("cursor.json")).unwrap();
    found
}

#[test]
fn a_segment_cut_anywhere_keeps_what_is_before_the_cut() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = three(directory.path());
    let ends = [3, 3, 5].iter().scan(HEADER as usize, |end, length| {
        *end += HEAD + length;
        Some(*end)
    });
    let ends: Vec<_> = ends.collect();
    assert_eq!(bytes.len(), ends[2]);
    for length in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= length).count();
        let found = recovered(directory.path(), &bytes[..length]);
        assert_eq!(found, ["one", "two", "three"][..whole], "{length}");
    }
}

#[test]
fn a_flipped_bit_anywhere_never_yields_something_else() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = three(directory.path());
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        let found = recovered(directory.path(), &damaged);
        let whole = [HEADER as usize, HEADER as usize + HEAD + 3, HEADER as usize + 2 * (HEAD + 3)];
        let whole = whole.iter().filter(|start| **start <= place).count().saturating_sub(1);
        // A segment whose first bytes say something else is none.
        assert_eq!(found, ["one", "two", "three"][..if place < HEADER as usize { 0 } else { whole }], "{place}");
    }
}

#[test]
fn what_is_no_segment_does_not_keep_it_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = three(directory.path());
    let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
    let mut newer = bytes.clone();
    newer[8] = 2;
    write(&format!("{:020}.seg", 2), &newer);
    write(&format!("{:020}.seg", 3), b"something else, of somebody else");
    write(&format!("{:020}.seg", 4), b"");
    write("notes.txt", b"mine");
    fs::create_dir(directory.path().join(format!("{:020}.seg", 5))).unwrap();
    let mut spool = open(directory.path());
    assert_eq!(waiting(&mut spool), ["one", "two", "three"]);
    assert_eq!(spool.notices.len(), 2);
    assert_eq!(fs::read_dir(directory.path().join("quarantine")).unwrap().count(), 2);
}

#[test]
fn what_depends_on_damage_is_dropped_and_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path());
    let child = |text| Chunk { overtakes: 0, ..chunk(text, 3, true) };
    spool.append(&[chunk("whole", 1, false), child("part")]).unwrap();
    spool.append(&[chunk("other", 1, false), child("its part")]).unwrap();
    drop(spool);
    let heads = &segments(directory.path())[0];
    let file = fs::OpenOptions::new().write(true).open(heads).unwrap();
    file.set_len(HEADER + (HEAD + "whole".len()) as u64 + 5).unwrap();
    let mut spool = open(directory.path());
    assert_eq!(spool.account(), Account { queued: 7, ..Account::default() });
    let found: Vec<_> = std::iter::from_fn(|| deliver(&mut spool)).collect();
    assert_eq!(found, ["whole", "part"]);
    assert_eq!(spool.account(), Account { delivered: 4, dropped: 3, ..Account::default() });
}

#[test]
fn without_a_cursor_everything_is_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    three(directory.path());
    let mut spool = open(directory.path());
    deliver(&mut spool).unwrap();
    drop(spool);
    fs::write(directory.path().join("cursor.json"), "{\"settled\":").unwrap();
    let mut spool = open(directory.path());
    assert_eq!(spool.notices, [Notice::Quarantined("cursor.json".to_owned(), 11)]);
    assert_eq!(waiting(&mut spool), ["one", "two", "three"]);
}

#[test]
fn a_full_spool_drops_the_oldest_leaves_first_and_never_leaves_an_orphan() {
    const REPORTS: usize = 60;
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path());
    let large = "x".repeat(20_000);
    for number in 0..REPORTS {
        let head = chunk(&format!("head {number} {}", &large[..4_000]), 1, false);
        let leaves =
            (0..3).map(|place| Chunk { overtakes: place, ..chunk(&format!("leaf {number} {large}"), 10, true) });
        spool.append(&[head].into_iter().chain(leaves).collect::<Vec<_>>()).unwrap();
        let size: u64 = segments(directory.path()).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(size <= LIMIT, "{size}");
    }
    assert_eq!(spool.notices, [Notice::Drops]);
    let mut heads = BTreeSet::new();
    let mut delivered = 0;
    while let Some(text) = deliver(&mut spool) {
        let [kind, number] = text.split(' ').take(2).collect::<Vec<_>>()[..] else { panic!("{text}") };
        match kind {
            "head" => assert!(heads.insert(number.to_owned())),
            _ => assert!(heads.contains(number), "an orphan of {number}"),
        }
        delivered += if kind == "head" { 1 } else { 10 };
    }
    // Roots are small: all of them are there, and the newest leaves.
    assert_eq!(heads.len(), REPORTS);
    let account = spool.account();
    assert_eq!((account.delivered, account.queued), (delivered, 0));
    assert_eq!(account.delivered + account.dropped, REPORTS as u64 * 31);
    assert!(account.dropped > 0);
    spool.append(&[chunk("new", 1, false)]).unwrap();
    assert_eq!(spool.notices, [Notice::Drops, Notice::HasRoom(account.dropped)]);
}

#[test]
fn when_heads_are_dropped_their_parts_go_too() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path());
    let large = "x".repeat(100_000);
    for number in 0..20 {
        let head = chunk(&format!("head {number} {large}"), 1, false);
        let leaf = Chunk { overtakes: 0, ..chunk(&format!("leaf {number}"), 1, true) };
        spool.append(&[head, leaf]).unwrap();
    }
    let found: Vec<_> = std::iter::from_fn(|| deliver(&mut spool)).collect();
    let number = |text: &String| text.split(' ').nth(1).unwrap().to_owned();
    let heads: Vec<_> = found.iter().filter(|text| text.starts_with("head")).map(number).collect();
    assert!(!heads.is_empty() && heads.len() < 20);
    assert!(found.iter().filter(|text| text.starts_with("leaf")).all(|leaf| heads.contains(&number(leaf))));
    let account = spool.account();
    assert_eq!((account.delivered + account.dropped, account.queued), (40, 0));
    assert_eq!(account.delivered, found.len() as u64);
}

#[test]
fn what_does_not_fit_at_all_is_not_taken() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path());
    let error = spool.append(&[chunk(&"x".repeat(LIMIT as usize), 1, false)]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
    assert_eq!(spool.account(), Account::default());
}

#[test]
fn a_directory_has_one_user_who_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let spool = open(directory.path());
    match Spool::open(directory.path(), LIMIT) {
        Err(OpenError::InUse(holder)) => assert_eq!(holder, std::process::id().to_string()),
        other => panic!("{other:?}"),
    }
    drop(spool);
    open(directory.path());
}

/// Scenario: writing fails after some bytes, or synchronizing does. Guarantees: the report is not stored, what was stored before is, and
/// the next one goes into another file.
#[test]
fn a_file_that_cannot_be_written_is_not_trusted_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut spool = open(directory.path());
    spool.append(&[chunk("one", 1, false)]).unwrap();
    let [first] = &segments(directory.path())[..] else { panic!("one segment") };
    if let Some(tail) = &mut spool.tails[0] {
        tail.file = File::open(first).unwrap();
    }
    spool.append(&[chunk("two", 1, false)]).unwrap_err();
    spool.append(&[chunk("three", 1, false)]).unwrap();
    assert_eq!(segments(directory.path()).len(), 2);
    assert_eq!(waiting(&mut spool), ["one", "three"]);
    drop(spool);
    assert_eq!(waiting(&mut open(directory.path())), ["one", "three"]);
}

#[cfg(unix)]
/// The parent's segment goes with what could not be synchronized, before enough is settled for the cursor to be written.
#[test]
fn what_cannot_be_synchronized_takes_nothing_else_with_it() {
    let (directory, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut spool = open(directory.path());
    let child = Chunk { overtakes: 0, ..chunk("child", 1, true) };
    spool.append(&[chunk("parent", 1, false), child]).unwrap();
    let begun = spool.begin(&[chunk("begun", 1, false)]).unwrap();
    assert_eq!(deliver(&mut spool).unwrap(), "parent");
    assert!(spool.end(begun, Err(io::Error::other("no disk"))).is_err());
    for path in segments(directory.path()).into_iter().chain([directory.path().join("cursor.json")]) {
        let _ = fs::copy(&path, crashed.path().join(path.file_name().unwrap()));
    }
    assert_eq!(waiting(&mut spool), ["child"]);
    assert_eq!(waiting(&mut open(crashed.path())), ["child"]);
}

#[test]
fn files_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().unwrap();
    let spool = directory.path().join("a/spool");
    three(&spool);
    deliver(&mut open(&spool)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&spool), 0o700);
    for file in fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().path()) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}
