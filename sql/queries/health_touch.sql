-- Health check: increments a counter, to show that the store can write.
INSERT INTO health (id, checks) VALUES (1, 1)
ON CONFLICT (id) DO UPDATE
SET checks = health.checks + 1
