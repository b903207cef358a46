-- Who a worker is, for people: since when it works, what its machine calls itself, and what it
-- says of itself, as JSON: its slots, its limits, whether it is paused.
ALTER TABLE worker ADD COLUMN since REAL NOT NULL DEFAULT 0;
ALTER TABLE worker ADD COLUMN node TEXT NOT NULL DEFAULT '';
ALTER TABLE worker ADD COLUMN about TEXT;
