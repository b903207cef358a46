-- Who a worker is, for people: since when it works, and what its machine calls itself.
ALTER TABLE worker ADD COLUMN since REAL NOT NULL DEFAULT 0;
ALTER TABLE worker ADD COLUMN node TEXT NOT NULL DEFAULT '';
