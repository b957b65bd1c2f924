-- Nobody else numbers or publishes models until this transaction ends.
LOCK TABLE models, model_publications IN SHARE ROW EXCLUSIVE MODE
