-- Takes an activity out of all feeds.
-- $1 activity text.
DELETE FROM activity_entries WHERE activity = $1
