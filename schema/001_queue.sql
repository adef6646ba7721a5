-- The queue. Times are microseconds since 1970, hashes are hex, sizes are bytes. Ids are never used again.

CREATE TABLE job_groups (
    id INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    group_id INTEGER REFERENCES job_groups (id),
    uid INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'held', 'running', 'done', 'failed', 'cancelled')),
    reason TEXT,                 -- why it waits, failed or was cancelled
    token TEXT,                  -- the client's: the same one again is the same submission
    submitted INTEGER NOT NULL,
    started INTEGER,             -- the latest start
    ended INTEGER,
    priority INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,

    spec TEXT NOT NULL,          -- resolved, canonical JSON; the columns below repeat what is asked for
    model TEXT NOT NULL,
    preset TEXT NOT NULL,
    dataset TEXT NOT NULL,       -- the config's name, or a folder
    kind INTEGER NOT NULL,       -- 0 quantize, 1 float, 2 score a quantized file
    weights_bits INTEGER NOT NULL,
    activations_bits INTEGER NOT NULL,
    image_limit INTEGER NOT NULL,
    partial INTEGER NOT NULL,    -- the limit cuts the dataset

    -- frozen at submit
    fingerprint TEXT NOT NULL,
    checkpoint_sha256 TEXT NOT NULL,
    checkpoint_bytes INTEGER NOT NULL,
    arch TEXT NOT NULL,
    dataset_fingerprint TEXT NOT NULL,
    dataset_stamp TEXT NOT NULL,
    dataset_images INTEGER NOT NULL,
    calibration_sha256 TEXT,
    quantized_sha256 TEXT,

    -- the result; images is NULL until done
    images INTEGER,
    top1_right INTEGER,
    top5_right INTEGER,
    unreadable INTEGER,
    original_model_size INTEGER,
    new_model_size INTEGER,
    agreement_same INTEGER,
    agreement_images INTEGER,
    seconds REAL
) STRICT;

CREATE TABLE artifacts (
    job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (job, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX jobs_queue ON jobs (priority DESC, id) WHERE state = 'queued';
CREATE INDEX jobs_state ON jobs (state, id);
CREATE INDEX jobs_group ON jobs (group_id) WHERE group_id IS NOT NULL;
CREATE INDEX jobs_token ON jobs (uid, token) WHERE token IS NOT NULL;
CREATE INDEX jobs_done ON jobs (dataset_fingerprint, model) WHERE state = 'done';
CREATE INDEX jobs_ended ON jobs (ended) WHERE ended IS NOT NULL;

-- How many jobs are in each state, kept by the triggers, so that a submit does not count the queue.
CREATE TABLE counts (
    state TEXT PRIMARY KEY,
    jobs INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counts VALUES ('queued', 0), ('held', 0), ('running', 0), ('done', 0), ('failed', 0), ('cancelled', 0);

CREATE TRIGGER jobs_inserted AFTER INSERT ON jobs BEGIN
    UPDATE counts SET jobs = jobs + 1 WHERE state = new.state;
END;
CREATE TRIGGER jobs_deleted AFTER DELETE ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE state = old.state;
END;
CREATE TRIGGER jobs_changed AFTER UPDATE OF state ON jobs BEGIN
    UPDATE counts SET jobs = jobs - 1 WHERE state = old.state;
    UPDATE counts SET jobs = jobs + 1 WHERE state = new.state;
END;
