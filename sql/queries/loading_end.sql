-- Keeps that the store is whole.
DELETE FROM health WHERE id = 2
