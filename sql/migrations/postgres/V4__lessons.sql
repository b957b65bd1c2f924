-- What an interaction teaches the learners that all people share: postcard bytes, null where nothing follows from it.
ALTER TABLE journal ADD COLUMN lesson bytea;
