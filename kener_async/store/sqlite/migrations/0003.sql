-- When the large tables last passed the integrity check.
ALTER TABLE service ADD COLUMN integrity_passed_at INTEGER;
