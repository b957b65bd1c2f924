# Data for schemathesis that JSON Schema cannot describe.
#
# A key has 1 to 255 bytes, while `maxLength` counts characters; so keys are generated here, known ones often.

import json

import schemathesis
from hypothesis import strategies as st

KNOWN = ["ada", "bob", "grace", "river-cam", "weir-cam", "rivers", "time_spent", "default", "e1", "e2"]


def is_key(text):
    return 1 <= len(text.encode()) <= 255


letters = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
keys = st.one_of(st.sampled_from(KNOWN), st.text(letters, min_size=1, max_size=80).filter(is_key))
schemathesis.openapi.format("key", keys)


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode("utf-8", "replace")
