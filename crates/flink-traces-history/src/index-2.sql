ALTER TABLE checkpoint ADD COLUMN other_trace BLOB;
ALTER TABLE recovery ADD COLUMN other_trace BLOB;
CREATE INDEX failure_run ON failure (job, run, at_ms);
