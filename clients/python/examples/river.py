"""A reader of a river's cameras: creates items and two users over REST, follows a live feed, and acts on it.

    python river.py http://127.0.0.1:8080

EDDYLINE_TOKEN holds a service token where the server has a secret.
"""

import os
import sys
import time

from eddyline import Eddyline, EddylineError, FileStorage

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
run = f"{int(time.time() * 1000):x}"
ada, grace = f"ada-{run}", f"grace-{run}"

with Eddyline(url, token=os.environ.get("EDDYLINE_TOKEN")) as client:
    # REST: users, items, and interactions in bulk.
    client.put_user(ada, name="Ada")
    client.put_user(grace, name="Grace")
    client.follow(ada, grace)
    cameras = [f"{name}-{run}" for name in ("weir", "mill", "ford", "lock")]
    client.create_items(
        [{"item": key, "text": f"The {key} tonight", "topics": ["rivers"], "author": grace} for key in cameras]
    )
    results = client.interact_all([{"user": grace, "item": key, "kind": "click"} for key in cameras])
    print(len(results), "interactions of Grace sent")
    items = client.feed(ada, limit=3, explain=True)["items"]
    print(f"REST: Ada's feed begins with {items[0]['text']!r} ({len(items[0].get('why', []))} reasons)")

    # A live session. The file keeps events that the server has not accepted, also through a restart of this program.
    session = client.session(ada, limit=10, storage=FileStorage(f"river-{run}.json"))
    session.on("state", lambda event: print("connection:", event["state"]))
    session.on("feed", lambda event: print("feed", event["feed"].version, event["cause"], len(event["feed"].items)))
    first = session.expect("feed")
    with session:
        feed = first.result(timeout=10)["feed"]
        liked, hidden = feed.items[0]["item"], feed.items[1]["item"]

        # Each act is learned at once, and pushes a new feed.
        answer = session.like(liked).done.result(timeout=10)
        print(f"like of {liked} is durable as event {answer['seq']}")
        session.hide(hidden).done.result(timeout=10)
        post = session.post("High water at the weir", topic="rivers").done.result(timeout=10)
        print("post is", post["item"])

        # A refusal is an error with a code.
        try:
            session.like("no such camera").done.result(timeout=10)
        except EddylineError as error:
            print("refused:", error.code)
    print(f"Ada accepts {liked} with probability {client.predict(ada, liked)['accepted']:.2f}")
