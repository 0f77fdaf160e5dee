//! Appending, the limit in bytes, and the end.

use std::sync::Arc;
use std::thread;

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// Appends a piece of zeros.
fn append(intake: &Intake, length: usize, piece: Piece) -> Option<Refusal> {
    write(intake, &vec![0; length], piece)
}

fn write(intake: &Intake, bytes: &[u8], piece: Piece) -> Option<Refusal> {
    let fill = |to: &mut [u8]| {
        to.copy_from_slice(bytes);
        Ok::<_, ()>(())
    };
    intake.append(bytes.len(), 0, piece, fill).unwrap()
}

/// Takes everything and counts it. Returns the lengths of the records and their spans.
fn drained(intake: &Intake) -> Vec<(usize, u32)> {
    let mut all = Vec::new();
    for block in intake.take(0).unwrap() {
        let records: Vec<_> = block.records().map(|(bytes, size)| (bytes.len(), size.spans)).collect();
        let bytes = block.records().map(|(_, size)| size.bytes).sum();
        let spans = records.iter().map(|(_, spans)| u64::from(*spans)).sum();
        intake.finish(Progress { bytes, spans, unreadable: 0 });
        intake.recycle(block);
        all.extend(records);
    }
    all
}

#[test]
fn records_arrive_in_order_and_whole() {
    let intake = Intake::new(1_000);
    append(&intake, 3, Piece::Last(1));
    append(&intake, 4, Piece::Middle);
    append(&intake, 5, Piece::Last(9));
    append(&intake, 0, Piece::Last(1));
    assert_eq!(drained(&intake), [(3, 1), (9, 9), (0, 1)]);
    assert_eq!(intake.counts(), (0, Counts::default()));
}

#[test]
fn incomplete_record_is_not_taken() {
    let intake = Intake::new(4 * BLOCK);
    append(&intake, BLOCK, Piece::Last(1));
    append(&intake, 4, Piece::Middle);
    assert_eq!(drained(&intake), [(BLOCK, 1)]);
    append(&intake, 4, Piece::Last(2));
    assert_eq!(drained(&intake), [(8, 2)]);
}

#[test]
fn failed_record_is_taken_back_and_counted() {
    let intake = Intake::new(1_000);
    append(&intake, 4, Piece::Middle);
    append(&intake, 0, Piece::Failed(3));
    assert_eq!(intake.append(4, 0, Piece::Last(2), |_| Err("no")), Err("no"));
    append(&intake, 5, Piece::Last(1));
    assert_eq!(drained(&intake), [(5, 1)]);
    assert_eq!(intake.counts().1, Counts { unreadable: 5, ..Counts::default() });
}

#[test]
fn full_intake_refuses_and_counts() {
    let intake = Intake::new(100);
    append(&intake, 60, Piece::Last(1));
    assert_eq!(append(&intake, 60, Piece::Last(2)), Some(Refusal::Full { is_first: true }));
    assert_eq!(append(&intake, 30, Piece::Middle), None);
    assert_eq!(append(&intake, 30, Piece::Last(4)), Some(Refusal::Full { is_first: false }));
    append(&intake, 40, Piece::Last(1));
    assert_eq!(drained(&intake), [(60, 1), (40, 1)]);
    assert_eq!(intake.counts(), (0, Counts { full: 6, ..Counts::default() }));
    append(&intake, 10, Piece::Last(1));
    assert_eq!(append(&intake, 95, Piece::Last(1)), Some(Refusal::Full { is_first: true }));
}

#[test]
fn repeated_bytes_count_towards_the_limit() {
    let intake = Intake::new(100);
    let append = |repeated, piece| intake.append(1, repeated, piece, |_| Ok::<_, ()>(())).unwrap();
    append(40, Piece::Middle);
    append(40, Piece::Last(1));
    assert_eq!(append(20, Piece::Last(1)), Some(Refusal::Full { is_first: true }));
    assert_eq!(drained(&intake), [(2, 1)]);
    assert_eq!(append(100, Piece::Last(1)), Some(Refusal::TooLarge { name: String::new(), spans: 1 }));
    append(99, Piece::Last(1));
    assert_eq!(drained(&intake), [(1, 1)]);
}

#[test]
fn delivered_memory_counts_towards_the_limit() {
    let intake = Intake::new(100);
    append(&intake, 1, Piece::Last(1));
    intake.take(90).unwrap();
    assert_eq!(append(&intake, 20, Piece::Last(1)), Some(Refusal::Full { is_first: true }));
}

#[test]
fn record_above_the_limit_is_named_and_dropped_whole() {
    let intake = Intake::new(100);
    let start = wire::tests::Writer::span().node("scope", "Checkpoint", &[], 9).finish();
    assert_eq!(write(&intake, &start, Piece::Middle), None);
    assert_eq!(append(&intake, 100, Piece::Middle), None);
    assert_eq!(append(&intake, 1, Piece::Middle), None);
    let refusal = append(&intake, 1, Piece::Last(10));
    assert_eq!(refusal, Some(Refusal::TooLarge { name: "Checkpoint".to_owned(), spans: 10 }));
    append(&intake, 100, Piece::Last(1));
    assert_eq!(drained(&intake), [(100, 1)]);
    assert_eq!(intake.counts().1, Counts { full: 10, ..Counts::default() });
}

#[test]
fn record_after_the_end_counts_as_late() {
    let intake = Intake::new(100);
    append(&intake, 4, Piece::Middle);
    intake.end();
    intake.close(Instant::now());
    append(&intake, 4, Piece::Last(2));
    append(&intake, 4, Piece::Last(1));
    assert_eq!(intake.take(0).map(|blocks| blocks.len()), None);
    assert_eq!(intake.counts(), (0, Counts { late: 3, ..Counts::default() }));
}

#[test]
fn close_without_a_thread_counts_the_rest_as_late() {
    let intake = Intake::new(100);
    append(&intake, 4, Piece::Last(7));
    intake.close(Instant::now());
    assert_eq!(intake.counts(), (0, Counts { late: 7, ..Counts::default() }));
}

/// Scenario: records come after a silence in which the thread fell asleep. Guarantees: they arrive,
/// and a drain waits for all.
#[test]
fn sleeping_thread_is_woken() {
    let intake = Arc::new(Intake::new(1 << 20));
    let taking = intake.clone();
    let thread = thread::spawn(move || {
        let mut spans = 0;
        while let Some(blocks) = taking.take(0) {
            for block in blocks {
                let count: u64 = block.records().map(|(_, size)| u64::from(size.spans)).sum();
                let bytes = block.records().map(|(_, size)| size.bytes).sum();
                taking.finish(Progress { bytes, spans: count, unreadable: 0 });
                spans += count;
            }
        }
        taking.end();
        spans
    });
    let end = Instant::now() + LONG;
    while !intake.lock().is_asleep {
        assert!(Instant::now() < end);
        thread::yield_now();
    }
    for _ in 0..1_000 {
        append(&intake, 10, Piece::Last(1));
    }
    assert!(intake.drain(Instant::now() + LONG));
    intake.close(Instant::now() + LONG);
    assert_eq!(thread.join().unwrap(), 1_000);
}
