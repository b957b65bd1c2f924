-- Is a dump being loaded, or was its load interrupted?
-- id: of the row that says so.
SELECT id FROM health WHERE id = 2
