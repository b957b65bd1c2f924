-- Facts of an item that a two-tower model reads: a JSON object.
ALTER TABLE items ADD COLUMN attributes text;
