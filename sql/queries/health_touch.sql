-- Writes something.
INSERT INTO health (id, checks) VALUES (1, 1)
ON CONFLICT (id) DO UPDATE
SET checks = health.checks + 1
