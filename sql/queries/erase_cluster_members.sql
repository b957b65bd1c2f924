-- Forgets everybody's place in fits: somebody was erased, and places stand together.
UPDATE cluster_fits SET members = NULL WHERE members IS NOT NULL
