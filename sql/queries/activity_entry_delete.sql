-- Takes an activity out of a feed.
-- $1 feed text, $2 activity text.
DELETE FROM activity_entries WHERE feed = $1 AND activity = $2
