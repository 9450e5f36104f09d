"""What stands in the folder of a job, and in which form.

A job is a section of the config file (`config.py`) and a folder of its own:

    FOLDER/
      .lock                   flock'ed while a run works; never unlinked; holds who has it (JSON)
      current -> runs/RUN     what is published; moved by one rename
      runs/RUN/               RUN = AS_OF-ID, e.g. 20240131T230000-3fa9c1d2e0
        predictions.csv       and predictions.parquet, as the job asks (outputs.files)
        forecast.parquet      every quantile, for the ledger: series, step, point, q0.025 ...
        log.jsonl             the run's log up to its publication
        manifest.json         written last: a folder without it was never published
      models/MODEL/           model/ (serves), scored/ (the weights that the held-out steps judged),
                              about.json (what it was trained on, what its backtest promised)
      training/               an unfinished training: task, checkpoints; gone once published
      ledger.sqlite           every published forecast, actuals with revisions, live scores
      last.json               the latest attempt, whatever became of it
      rollbacks.json          which runs were withdrawn, when and why
      set-aside/              what was damaged, for a person to look at; read by nobody
      logs/STAMP-PID.jsonl    a log for every attempt, the newest 50

What is read back has its schema in `documents.py`, the ledger's rows in `ledger_checks.py`;
manifests and about.json have the sum of their content (document_sha256) from schema_version 2 on.

`manifest.json`: schema_version, job, run, sequence (publications counted from 1), leads (false for
an as-of before the then current one), as_of (text, as the data write times), as_of_position (grid
position, int), as_of_moment (ISO 8601, UTC, or null), grid (what positions count on), created (ISO
8601, UTC), replaces (run of the same as_of, or null), config_sha256, input {path, sha256,
seen_sha256 (of the values up to the as-of), rows, series, last, dropped, age_seconds}, model {id,
kind: "trained"|"pretrained"| "seasonal-naive", sha256, trained_until, created, promise}, trial (the
last: position, time, learnt, choice, metric that judged, figures by it and mase of the medians by
candidate), horizon, season, levels, point ("median",
"mean" or a quantile, "0.95"; none of versions that knew the median alone), series {forecast,
fallbacks, failed, lost, left_out: [{series, reason}], by_source}, warnings, decisions [{what,
choice, reason}], intervals {adjusted: {level: factor}, updates, method}, outputs {file: {sha256,
bytes}}, seconds, exit_code, versions.

`last.json` (the facts of the latest attempt): schema_version, job, state ("running", "finished"),
pid, started, finished (ISO 8601, UTC, or null), outcome ("published", "already done", "rolled
back", "stale", "failed", "interrupted", or null while running; a "running" whose lock nobody holds
was killed), exit_code, run, as_of, error {code, message, where, remedy} or null, decisions,
seconds, warnings [{code, text}], last_success {at, run, as_of} or null, failures_in_a_row, log.
`job_facts.job_facts(job)` gathers all that with the current manifest and the live scores; status
and the metrics file read that and nothing else.

Ledger (SQLite, WAL; positions are grid positions, 64-bit; foreign keys by integer):
  meta       key, value                              schema_version
  runs       id, run, sequence, cutoff, cutoff_time, created, model, horizon, season, levels (JSON)
             one row for each cutoff: the same as-of replaces
  points     run, point                               what a run's points are, where not medians
  series     id, unique_id, first, length, fingerprint    history as last seen (see history.py)
  forecasts  run, part, size, series, source, scale, point, quantiles   a part: up to 4 MB of
             series, packed (ledger_packing.py): series int64, source JSON, scale float64 (MASE's
             denominator at the cutoff), point float64 and quantiles float32 by series and step
  moments    id, at                                   ISO 8601, UTC
  actuals    position, series, value, revision, seen  as known now; revision counts restatements
  restated   position, series, revision, value, seen  what was known before; seen is a moment
  scores     run, step, count, absolute, scaled, scaled_count, inside (JSON: level -> count)
  deliveries run, target, at                         which publications reached the SQL table

The order of a run is `run.py`, read top to bottom; each decision is a pure function in
`decisions.py`. The state on disk is always a function of the run folders and `rollbacks.json`:
the newest run that was not withdrawn is current, and the ledger follows; `recovery.py` brings link
and ledger there at every start, whatever was interrupted.
"""
