-- Records that the load of a dump has begun: row 2 of the table of the health check.
INSERT INTO health (id, checks) VALUES (2, 1)
ON CONFLICT (id) DO NOTHING
