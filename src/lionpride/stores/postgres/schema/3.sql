-- A lease says how many changes of its costs are recorded, so that none is made twice.
ALTER TABLE {lease} ADD COLUMN spends integer NOT NULL DEFAULT 0;
