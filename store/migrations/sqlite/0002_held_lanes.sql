-- Held runs under the same keys stand in one lane: only the first of each can be the next to begin. 0: under one key.

ALTER TABLE held ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;
UPDATE held SET lane = run WHERE run IN (SELECT run FROM held GROUP BY run HAVING count(*) > 1);
CREATE INDEX held_lane ON held (policy, key, lane, rank, run) WHERE lane > 0;
