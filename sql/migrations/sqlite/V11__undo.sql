-- The seq of the entry that cancelled this one; null while it stands.
ALTER TABLE journal ADD COLUMN cancelled_by INTEGER;
CREATE INDEX journal_cancelled ON journal (user_id, cancelled_by) WHERE cancelled_by IS NOT NULL;
CREATE INDEX journal_standing ON journal (user_id, item_id, kind, seq)
    WHERE cancelled_by IS NULL AND kind IN ('like', 'hide', 'reject');
