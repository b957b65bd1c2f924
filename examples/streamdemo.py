"""A small network over the published client of hosted feeds.

People follow each other and topics, post for a week, and react. The script then prints a flat timeline, a topic, the timeline in the
person's own order, and the feed of the server's recommender.

    pip install stream-python
    EDDYLINE_APPS__DEMO__KEY=demo EDDYLINE_APPS__DEMO__SECRET=$SECRET eddyline serve
    python examples/streamdemo.py --key demo --secret $SECRET
"""

import argparse
import datetime
import json
import random
import urllib.error
import urllib.request

import stream

TOPICS = {
    "boats": ["a boat on the river", "sails in the wind", "a harbour at night", "paddles and rapids"],
    "tea": ["green tea from the hills", "a pot of black tea", "how to steep oolong", "tea with friends"],
    "music": ["a song of the coast", "a drum in the rain", "old records", "a choir in the hall"],
}
PEOPLE = ["ada", "bob", "cleo", "dan", "eve"]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://localhost:8080", help="address of the server; its host must be localhost")
    parser.add_argument("--key", default="demo", help="key of the app")
    parser.add_argument("--secret", required=True, help="secret of the app")
    parser.add_argument("--person", default="ada", choices=PEOPLE, help="whose feeds are printed")
    return parser.parse_args()


def make_network(client, draw):
    """Users, and follows of people and topics in one batch each."""
    for name in PEOPLE:
        client.users.add(name, {"name": name.title()}, get_or_create=True)
    follows = []
    for name in PEOPLE:
        others = draw.sample([other for other in PEOPLE if other != name], 3)
        follows += [{"source": f"timeline:{name}", "target": f"user:{other}"} for other in others]
        follows.append({"source": f"timeline:{name}", "target": f"topic:{draw.choice(list(TOPICS))}"})
    client.follow_many(follows)


def post_a_week(client, draw):
    """Three posts a day, each also a part of its topic; returns them by topic."""
    posts = {topic: [] for topic in TOPICS}
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=7)
    for number in range(21):
        name, topic = draw.choice(PEOPLE), draw.choice(list(TOPICS))
        at = start + datetime.timedelta(hours=8 * number, minutes=draw.randrange(300))
        made = client.feed("user", name).add_activity({
            "actor": client.users.create_reference(name),
            "verb": "post",
            "object": f"post:{number}",
            "foreign_id": f"post:{number}",
            "time": at,
            "text": draw.choice(TOPICS[topic]),
            "topics": [topic],
            "to": [f"topic:{topic}"],
        })
        posts[topic].append(made["id"])
    return posts


def react(client, person, posts):
    """The person likes tea, comments on one post about boats, and sees all music."""
    for activity in posts["tea"]:
        client.reactions.add("like", activity, person)
    for activity in posts["boats"][:1]:
        client.reactions.add("comment", activity, person, data={"text": "which river?"})
    client.track_impressions([{"content_list": posts["music"], "user_data": person}])


def show(title, page):
    print(f"\n{title}")
    for activity in page:
        counts = activity.get("reaction_counts", {})
        who = activity["actor"]["data"]["name"] if isinstance(activity["actor"], dict) else activity["actor"]
        print(f"  {activity['time']:%a %H:%M}  {who:5} {activity['text']:26} {', '.join(activity['topics'])}  {counts or ''}")


def main():
    given = arguments()
    draw = random.Random(7)
    client = stream.connect(given.key, given.secret, base_url=given.url)
    make_network(client, draw)
    react(client, given.person, post_a_week(client, draw))
    counts = {"counts": True}
    timeline = client.feed("timeline", given.person)
    show(f"timeline:{given.person}, by time", timeline.get(limit=8, reactions=counts)["results"])
    show("topic:tea, by time", client.feed("topic", "tea").get(limit=8, reactions=counts)["results"])
    ranked = timeline.get(limit=8, ranking="personal", user_id=given.person, reactions=counts)
    show(f"timeline:{given.person}, in the order of {given.person}", ranked["results"])
    print(f"\nthe server's feed of {given.person}")
    try:
        with urllib.request.urlopen(f"{given.url}/v1/users/{given.person}/feed?limit=8") as answer:
            items = json.load(answer)
    except urllib.error.HTTPError as error:
        print(f"  not readable without a token: {error.code}")
        return
    for item in items["items"]:
        print(f"  {item['score']:6.2f}     {item['author'].title():5} {item['text']:26} {item.get('topic', '')}")


if __name__ == "__main__":
    main()
