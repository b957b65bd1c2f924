-- Records that the load of a dump has finished.
DELETE FROM health WHERE id = 2
