-- Locks models and publications against other writers until this transaction ends.
LOCK TABLE models, model_publications IN SHARE ROW EXCLUSIVE MODE
