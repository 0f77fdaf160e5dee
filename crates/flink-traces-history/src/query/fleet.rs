//! The view of all jobs over time.

use std::collections::HashMap;

use rusqlite::params;
use serde::Serialize;

use super::states::down_ms;
use super::{Band, History, JobName, Window, job_name};
use crate::error::HistoryError;
use crate::files::{DAY_MS, HOUR_MS};
use crate::histogram::Histogram;

/// The longest window for which slices are made of rows, in milliseconds.
const MAX_ROWS_MS: i64 = 6 * HOUR_MS;
/// The longest window with hourly slices, in milliseconds.
const MAX_HOURLY_MS: i64 = 4 * DAY_MS;

/// The longest window, in milliseconds.
const MAX_LENGTH_MS: i64 = 4_000 * DAY_MS;
/// The largest time, in milliseconds since the epoch.
const MAX_MS: i64 = 1 << 53;

/// All jobs, with their figures over time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Fleet {
    /// The window, which begins and ends with a whole slice.
    pub window: Window,
    /// The length of a slice.
    pub slice_ms: i64,
    /// The jobs, by cluster and name.
    pub jobs: Vec<FleetJob>,
    /// The figures of all jobs together. Sizes are unknown.
    pub total: Totals,
    /// The periods in which each cluster was observed: the cluster, the start and the end.
    pub seen: Vec<(String, i64, i64)>,
}

/// A job of the fleet.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FleetJob {
    /// The job.
    #[serde(flatten)]
    pub name: JobName,
    /// The last status; `None` if it is not known.
    pub status: Option<String>,
    /// The timeout of checkpoints.
    pub timeout_ms: Option<i64>,
    /// The figures of the whole window.
    pub totals: Totals,
    /// The slices with checkpoints or downtime. A slice without either has no cell.
    pub cells: Vec<Cell>,
}

/// The figures of a job in a window.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Totals {
    /// The completed checkpoints and savepoints.
    pub completed: i64,
    /// The failed ones.
    pub failed: i64,
    /// The longest duration of a completed one.
    pub max_ms: Option<i64>,
    /// The duration that 50 % do not exceed, with an error of 10 %.
    pub p50_ms: Option<i64>,
    /// The duration that 95 % do not exceed, with an error of 10 %.
    pub p95_ms: Option<i64>,
    /// The duration that 99 % do not exceed, with an error of 10 %.
    pub p99_ms: Option<i64>,
    /// The largest full size of the first slice that has one.
    pub first_size: Option<i64>,
    /// The largest full size of the last slice that has one.
    pub last_size: Option<i64>,
    /// The time without the status `RUNNING`.
    pub down_ms: i64,
    /// The failures that the scheduler handled.
    pub failures: i64,
    /// The restores from a checkpoint.
    pub restores: i64,
    /// The checkpoints that came and went between two polls.
    pub missed: i64,
}

/// The figures of a job in a slice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Cell {
    /// The index of the slice within the window.
    pub slice: i64,
    /// The completed checkpoints and savepoints.
    pub completed: i64,
    /// The failed ones. 0 is absent in JSON.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: i64,
    /// The longest duration of a completed one, or 0 if there is none.
    pub max_ms: i64,
    /// The time without the status `RUNNING`. 0 is absent in JSON.
    #[serde(skip_serializing_if = "is_zero")]
    pub down_ms: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// The last status and the timeout of a job.
type State = (Option<String>, Option<i64>);

/// The figures of some checkpoints of one slice.
struct Figures {
    completed: i64,
    failed: i64,
    max_ms: i64,
    max_size: Option<i64>,
}

/// The largest size of a slice: the slice and the size.
type SizeOfSlice = Option<(i64, i64)>;

/// The durations and figures of a job while figures are added.
#[derive(Default)]
struct Sum {
    totals: Totals,
    cells: Vec<Cell>,
    durations: Histogram,
    first_size: SizeOfSlice,
    last_size: SizeOfSlice,
}

impl History {
    /// Returns all jobs in a window of about `slices` slices.
    ///
    /// A window of up to 6 h is divided as wished. Up to four days, a slice is an hour, and else a
    /// day. A window of more than 4,000 days is cut at its start.
    ///
    /// # Errors
    /// Fails if the history cannot be read.
    pub fn fleet(&self, window: Window, slices: i64) -> Result<Fleet, HistoryError> {
        let window = limited(window);
        let length_ms = window.length_ms();
        let slice_ms = if length_ms <= MAX_ROWS_MS {
            (length_ms / slices.clamp(1, 1_000)).max(1)
        } else if length_ms <= MAX_HOURLY_MS {
            HOUR_MS
        } else {
            DAY_MS
        };
        let window = if length_ms <= MAX_ROWS_MS { window } else { aligned(window, slice_ms) };
        let mut sums = if length_ms <= MAX_ROWS_MS {
            self.sums_of_rows(window, slice_ms)?
        } else {
            self.sums_of_rollups(window, slice_ms)?
        };
        let mut bands = self.bands(None, window)?;
        let counts = self.counts(window)?;
        let none = (None, None);
        let mut states = self.states(window)?;
        let names = self.list("SELECT job, cluster, name FROM job ORDER BY cluster, name", [], job_name)?;
        let mut all = Histogram::default();
        let jobs = names.into_iter().filter_map(|name| {
            let job = name.job;
            let bands = bands.remove(&job).unwrap_or_default();
            let mut sum = sums.remove(&job).unwrap_or_default();
            sum.add_bands(&bands, window, slice_ms);
            let [failures, restores, missed] = counts.get(&job).copied().unwrap_or_default();
            let (status, timeout_ms) = states.remove(&job).unwrap_or(none.clone());
            if sum.cells.is_empty() && bands.is_empty() && [failures, restores, missed] == [0; 3] {
                return None;
            }
            all.merge(&sum.durations);
            let totals = Totals {
                p50_ms: sum.durations.quantile(0.5),
                p95_ms: sum.durations.quantile(0.95),
                p99_ms: sum.durations.quantile(0.99),
                first_size: sum.first_size.map(|(_, size)| size),
                last_size: sum.last_size.map(|(_, size)| size),
                down_ms: down_ms(&bands, window),
                failures,
                restores,
                missed,
                ..sum.totals
            };
            Some(FleetJob { name, status, timeout_ms, totals, cells: sum.cells })
        });
        let jobs: Vec<FleetJob> = jobs.collect();
        let total = total(&jobs, &all);
        Ok(Fleet { window, slice_ms, jobs, total, seen: self.seen(window)? })
    }

    /// Returns the periods in which clusters were seen to respond.
    pub(super) fn seen(&self, window: Window) -> Result<Vec<(String, i64, i64)>, HistoryError> {
        self.list(
            "SELECT cluster, from_ms, to_ms FROM seen WHERE reachable = 1 AND from_ms < ? AND to_ms >= ? ORDER BY 1, 2",
            params![window.to_ms, window.from_ms],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
    }

    fn sums_of_rollups(&self, window: Window, slice_ms: i64) -> Result<HashMap<i64, Sum>, HistoryError> {
        let mut sums: HashMap<i64, Sum> = HashMap::new();
        self.each(
            "SELECT job, start_ms, completed, failed, max_ms, max_size, durations FROM rollup
             WHERE slice_ms = ? AND start_ms >= ? AND start_ms < ? ORDER BY start_ms",
            params![slice_ms, window.from_ms, window.to_ms],
            |row| {
                let sum = sums.entry(row.get(0)?).or_default();
                let slice = (row.get::<_, i64>(1)? - window.from_ms) / slice_ms;
                sum.durations.merge_encoded(row.get_ref(6)?.as_blob()?);
                sum.add(
                    slice,
                    &Figures {
                        completed: row.get(2)?,
                        failed: row.get(3)?,
                        max_ms: row.get(4)?,
                        max_size: row.get(5)?,
                    },
                );
                Ok(())
            },
        )?;
        Ok(sums)
    }

    fn sums_of_rows(&self, window: Window, slice_ms: i64) -> Result<HashMap<i64, Sum>, HistoryError> {
        let mut sums: HashMap<i64, Sum> = HashMap::new();
        self.each(
            "SELECT checkpoint.job, trigger_ms, failed, duration_ms, full_size FROM job CROSS JOIN checkpoint
             ON checkpoint.job = job.job AND trigger_ms >= ? AND trigger_ms < ?",
            params![window.from_ms, window.to_ms],
            |row| {
                let sum = sums.entry(row.get(0)?).or_default();
                let slice = (row.get::<_, i64>(1)? - window.from_ms) / slice_ms;
                if row.get(2)? {
                    sum.add(slice, &Figures { completed: 0, failed: 1, max_ms: 0, max_size: None });
                } else {
                    let duration_ms = row.get(3)?;
                    sum.durations.add(duration_ms);
                    let max_size = row.get(4)?;
                    sum.add(slice, &Figures { completed: 1, failed: 0, max_ms: duration_ms, max_size });
                }
                Ok(())
            },
        )?;
        Ok(sums)
    }

    /// Returns the failures, restores and missed checkpoints of each job.
    fn counts(&self, window: Window) -> Result<HashMap<i64, [i64; 3]>, HistoryError> {
        let mut counts: HashMap<i64, [i64; 3]> = HashMap::new();
        for (index, sql) in [
            "SELECT job, count(*) FROM failure WHERE at_ms >= ? AND at_ms < ? GROUP BY job",
            "SELECT job, count(*) FROM recovery WHERE start_ms >= ? AND start_ms < ? AND checkpoint_id IS NOT NULL GROUP BY job",
            "SELECT job, sum(count) FROM missed WHERE at_ms >= ? AND at_ms < ? GROUP BY job",
        ]
        .into_iter()
        .enumerate()
        {
            let rows: Vec<(i64, i64)> =
                self.list(sql, params![window.from_ms, window.to_ms], |row| Ok((row.get(0)?, row.get(1)?)))?;
            for (job, count) in rows {
                counts.entry(job).or_default()[index] = count;
            }
        }
        Ok(counts)
    }

    /// Returns the status and the timeout of the newest run of each job.
    fn states(&self, window: Window) -> Result<HashMap<i64, State>, HistoryError> {
        let sql = format!(
            "SELECT job, timeout_ms, max(last_ms), (
               SELECT status FROM state WHERE state.job = run.job AND state.run = run.run AND at_ms < ?
                 AND status NOT IN {} ORDER BY at_ms DESC LIMIT 1)
             FROM run GROUP BY job",
            super::states::NO_STATUS
        );
        let rows: Vec<(i64, State)> =
            self.list(&sql, [window.to_ms], |row| Ok((row.get(0)?, (row.get(3)?, row.get(1)?))))?;
        Ok(rows.into_iter().collect())
    }
}

/// Adds up the figures of all jobs, whose durations are in `durations`.
fn total(jobs: &[FleetJob], durations: &Histogram) -> Totals {
    let mut total = Totals {
        p50_ms: durations.quantile(0.5),
        p95_ms: durations.quantile(0.95),
        p99_ms: durations.quantile(0.99),
        ..Totals::default()
    };
    for FleetJob { totals, .. } in jobs {
        total.completed += totals.completed;
        total.failed += totals.failed;
        total.max_ms = total.max_ms.max(totals.max_ms);
        total.down_ms = total.down_ms.saturating_add(totals.down_ms);
        total.failures += totals.failures;
        total.restores += totals.restores;
        total.missed += totals.missed;
    }
    total
}

/// Limits a window to times that computations cannot overflow, and to a length that can be shown.
fn limited(window: Window) -> Window {
    let to_ms = window.to_ms.clamp(-MAX_MS, MAX_MS);
    Window { from_ms: window.from_ms.clamp(to_ms - MAX_LENGTH_MS, to_ms), to_ms }
}

/// Extends a window to whole slices.
fn aligned(window: Window, slice_ms: i64) -> Window {
    let from_ms = window.from_ms.div_euclid(slice_ms) * slice_ms;
    let to_ms = (window.to_ms + slice_ms - 1).div_euclid(slice_ms) * slice_ms;
    Window { from_ms, to_ms }
}

impl Sum {
    /// Adds figures of a slice. Slices come in order.
    fn add(&mut self, slice: i64, figures: &Figures) {
        let Figures { completed, failed, max_ms, max_size } = *figures;
        self.totals.completed += completed;
        self.totals.failed += failed;
        if completed > 0 {
            self.totals.max_ms = self.totals.max_ms.max(Some(max_ms));
        }
        if let Some(size) = max_size {
            let of_slice =
                |known: SizeOfSlice| known.filter(|(of, _)| *of == slice).map_or(size, |(_, max)| max.max(size));
            if self.first_size.is_none_or(|(first, _)| first == slice) {
                self.first_size = Some((slice, of_slice(self.first_size)));
            }
            self.last_size = Some((slice, of_slice(self.last_size)));
        }
        match self.cells.last_mut().filter(|cell| cell.slice == slice) {
            Some(cell) => {
                cell.completed += completed;
                cell.failed += failed;
                cell.max_ms = cell.max_ms.max(max_ms);
            }
            None => self.cells.push(Cell { slice, completed, failed, max_ms, down_ms: 0 }),
        }
    }

    /// Adds the downtime of each slice.
    fn add_bands(&mut self, bands: &[Band], window: Window, slice_ms: i64) {
        for band in bands.iter().filter(|band| band.is_down()) {
            let first = (band.from_ms.max(window.from_ms) - window.from_ms) / slice_ms;
            let last = (band.to_ms.min(window.to_ms) - 1 - window.from_ms) / slice_ms;
            for slice in first..=last {
                let from_ms = window.from_ms + slice * slice_ms;
                let of_slice = Window { from_ms, to_ms: from_ms + slice_ms };
                let down_ms = of_slice.overlap_ms(band.from_ms, band.to_ms);
                match self.cells.iter_mut().find(|cell| cell.slice == slice) {
                    Some(cell) => cell.down_ms += down_ms,
                    None if down_ms > 0 => self.cells.push(Cell { slice, down_ms, ..Cell::default() }),
                    None => {}
                }
            }
        }
        self.cells.sort_by_key(|cell| cell.slice);
    }
}
