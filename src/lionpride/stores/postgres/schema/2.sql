-- A table in a publication needs a replica identity to be updated or deleted from. `ready` has no
-- primary key, and its unique indexes are partial, which an identity may not be. FULL needs no index
-- on the hot path: a deleted row is written to the log whole, and only with wal_level = logical.

ALTER TABLE {ready} REPLICA IDENTITY FULL;
