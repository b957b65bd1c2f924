"""An independent forward pass of the two-tower model, from the formulas of docs/two-tower.md alone.

    python3 tests/offline/two_tower/reference.py > tests/offline/two_tower/reference.json

writes tables, a model's schema and the log-odds that the model gives, in double precision and without any library. The weights
come from a generator that the test repeats, so no file of weights is needed. tests/offline/reference.rs imports the tables,
publishes the model, and compares the served scores and those of `replay --tower` with these.
"""

import datetime
import json
import math

DIM = 64
HISTORY, HEADS, HIDDEN = 3, 4, 8
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
START = 1_767_600_000_000  # 2026-01-05 08:00:00 UTC
NEGATIVE, POSITIVE = 0, 2

SCHEMA = {
    "person": {
        "categories": [
            {"name": "country", "values": ["Kenya", "Norway", "Perú"], "dim": 4},
            {"name": "gender", "values": ["0", "1"], "dim": 2},
        ],
        "numbers": [{"name": "age", "mean": 31.5, "scale": 12.0}],
    },
    "item": {
        "topics": ["business", "sport"],
        "topic_dim": 4,
        "embedding": {"from": 8, "to": 4},
        "text": [
            {"name": "text_characters", "mean": 3.5, "scale": 0.5},
            {"name": "text_words", "mean": 2.0, "scale": 0.5},
            {"name": "text_sentences", "mean": 1.0, "scale": 0.25},
            {"name": "text_word_length", "mean": 5.0, "scale": 1.5},
            {"name": "text_distinct_words", "mean": 0.75, "scale": 0.25},
            {"name": "text_upper_case", "mean": 0.0625, "scale": 0.0625},
            {"name": "text_digits", "mean": 0.03125, "scale": 0.0625},
            {"name": "text_marks", "mean": 0.0625, "scale": 0.03125},
        ],
        "numbers": [{"name": "length", "mean": 120.0, "scale": 64.0}, {"name": "price", "mean": 2.5, "scale": 1.25}],
    },
}

PEOPLE = [
    {"user_id": "ann", "country": "Norway", "gender": 0, "age": 20, "shoe": "42"},
    {"user_id": "bo", "country": "Kenya", "gender": 1, "age": 44, "shoe": ""},
    {"user_id": "cy", "country": "Atlantis", "gender": 1, "age": "", "shoe": "x"},  # An unknown value, a missing number.
    {"user_id": "di", "country": "Perú", "gender": "", "age": 300, "shoe": ""},  # A number that is clamped.
    {"user_id": "ed", "country": "", "gender": 0, "age": 31, "shoe": ""},  # Without any view.
]

TEXTS = [
    ("business", "Markets rise. Banks lend, and 3 of 4 firms hire!", 48, 0.5),
    ("sport", "The match ended 2:1; the crowd sang.\nThe team danced", 310, 2.25),
    ("sport", "run run run", 11, ""),  # Without a price.
    ("tea", "A quiet cup", 120, 2.5),  # A topic that the model does not know.
    ("", "No topic here? None at all!", 99, 4.75),
    ("business", "ÉTÉ 2026: l'économie, enfin… À suivre", "", 1.0),  # Without a length.
    ("sport", "Goal", 4, 3.5),
    ("business", "Rates, rates and rates again: what the bank said", 5_000, 7.5),  # A length that is clamped.
]


class Generator:
    """A linear congruential generator, whose numbers are multiples of 1/128 within -1 and 1."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state * 1_664_525 + 1_013_904_223) % 2**32
        return ((self.state >> 16) % 257 - 128) / 128

    def below(self, n):
        self.state = (self.state * 1_664_525 + 1_013_904_223) % 2**32
        return (self.state >> 16) % n


def posts():
    random = Generator(7)
    rows = []
    for number, (topic, text, length, price) in enumerate(TEXTS):
        embedding = [random.next() for _ in range(8)]
        rows.append({"post_id": f"p{number}", "topic": topic, "text": text, "length": length, "price": price, "embedding": embedding})
    return rows


def feed():
    """Views ten minutes apart, some liked, with their like rows; and one like without a view."""
    random = Generator(11)
    rows, last = [], {}
    for step in range(60):
        at = START + step * 10 * MINUTE
        user = PEOPLE[random.below(4)]["user_id"]
        post = f"p{step % 8}" if step < 8 else f"p{random.below(8)}"
        if last.get(user) == post:
            continue  # Two steps with one post in a row are one step when served.
        last[user] = post
        liked = random.below(3) == 0
        rows.append({"timestamp": at, "user_id": user, "post_id": post, "action": "view", "target": int(liked)})
        if liked:
            rows.append({"timestamp": at + 3 * MINUTE, "user_id": user, "post_id": post, "action": "like", "target": 0})
    post = "p6" if last["bo"] != "p6" else "p5"
    rows.append({"timestamp": START + 60 * 10 * MINUTE, "user_id": "bo", "post_id": post, "action": "like", "target": 0})
    return sorted(rows, key=lambda row: row["timestamp"])


def shapes():
    """Names and shapes in the order of the generator; a vector has one row."""
    person, item = SCHEMA["person"], SCHEMA["item"]
    fixed = sum(one["dim"] for one in person["categories"]) + 2 * len(person["numbers"]) + 6
    dense = item["embedding"]["to"] + 1 + len(item["text"]) + 1 + 2 * len(item["numbers"])
    out = [("item.embedding.mean", 1, 8), ("item.embedding.components", 4, 8)]
    out += [(f"person.category.{n}", len(one["values"]) + 1, one["dim"]) for n, one in enumerate(person["categories"])]
    out.append(("item.topic", len(item["topics"]) + 1, item["topic_dim"]))

    def linear(name, rows, columns):
        out.extend([(f"{name}.weight", rows, columns), (f"{name}.bias", 1, rows)])

    linear("item.hidden", HIDDEN, item["topic_dim"] + dense)
    linear("item.out", DIM, HIDDEN)
    linear("step", 3 * DIM, DIM)
    linear("now", DIM, fixed)
    out.extend([("attention.norm.weight", 1, DIM), ("attention.norm.bias", 1, DIM)])
    linear("attention.in", 3 * DIM, DIM)
    linear("attention.out", DIM, DIM)
    out.append(("attention.gap.weight", HEADS, 6))
    out.extend([("forward.norm.weight", 1, DIM), ("forward.norm.bias", 1, DIM)])
    linear("forward.hidden", HIDDEN, DIM)
    linear("forward.out", DIM, HIDDEN)
    linear("fuse.hidden", HIDDEN, DIM + 7 + fixed)
    linear("fuse.out", DIM, HIDDEN)
    out.append(("output", 1, 2))
    return out


def weights(similarity):
    """Every tensor as rows. A number is a multiple of 1/128, times a power of two: exact in single precision."""
    random, out = Generator(3), {}
    for name, rows, columns in shapes():
        if name == "output":
            out[name] = [[4.0, -0.5]] if similarity == "cosine" else [[0.125, -0.5]]
            continue
        bound = 2.0 ** (1 - round(math.log2(columns) / 2)) if rows > 1 else 0.125
        middle = 1.0 if name.endswith("norm.weight") else 0.0
        out[name] = [[middle + bound * random.next() for _ in range(columns)] for _ in range(rows)]
    return out


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def plus(a, b):
    return [x + y for x, y in zip(a, b, strict=True)]


class Model:
    def __init__(self, similarity):
        self.w, self.similarity = weights(similarity), similarity

    def linear(self, name, x):
        return [dot(row, x) + b for row, b in zip(self.w[f"{name}.weight"], self.w[f"{name}.bias"][0], strict=True)]

    def perceptron(self, name, x):
        return self.linear(f"{name}.out", [max(h, 0.0) for h in self.linear(f"{name}.hidden", x)])

    def norm(self, name, x):
        mean = math.fsum(x) / len(x)
        variance = math.fsum((v - mean) ** 2 for v in x) / len(x)
        scaled = [(v - mean) / math.sqrt(variance + 1e-5) for v in x]
        return [v * w + b for v, w, b in zip(scaled, self.w[f"{name}.norm.weight"][0], self.w[f"{name}.norm.bias"][0], strict=True)]

    def finish(self, x):
        if self.similarity == "dot":
            return x
        length = math.sqrt(dot(x, x) + 1e-12)
        return [v / length for v in x]

    def item(self, post):
        schema = SCHEMA["item"]
        topic = schema["topics"].index(post["topic"]) + 1 if post["topic"] in schema["topics"] else 0
        centred = [e - m for e, m in zip(post["embedding"], self.w["item.embedding.mean"][0], strict=True)]
        x = list(self.w["item.topic"][topic])
        x += [dot(row, centred) for row in self.w["item.embedding.components"]] + [0.0]
        for number, value in zip(schema["text"], statistics(post["text"]), strict=True):
            x.append(code(number, value)[0])
        x.append(0.0)
        for number in schema["numbers"]:
            x += code(number, post[number["name"]])
        return self.finish(self.perceptron("item", x))

    def person(self, person, steps, now):
        """`steps` are (item vector, sign, time) from old to new, all before `now`."""
        steps = steps[-HISTORY:]
        fixed = []
        for place, category in enumerate(SCHEMA["person"]["categories"]):
            value = str(person[category["name"]])
            row = category["values"].index(value) + 1 if value in category["values"] else 0
            fixed += self.w[f"person.category.{place}"][row]
        for number in SCHEMA["person"]["numbers"]:
            fixed += code(number, person[number["name"]])
        at = datetime.datetime.fromtimestamp(now / 1000, datetime.timezone.utc)
        for turn in (now % DAY / DAY, at.weekday() / 7, (at.month - 1) / 12):
            fixed += [math.sin(2 * math.pi * turn), math.cos(2 * math.pi * turn)]
        token = self.linear("now", fixed)
        tokens = [self.linear("step", item)[sign * DIM : (sign + 1) * DIM] for item, sign, _ in steps] + [token]
        projected = [self.linear("attention.in", self.norm("attention", x)) for x in tokens]
        seen, head = [], DIM // HEADS
        for h in range(HEADS):
            part = slice(h * head, (h + 1) * head)
            query = projected[-1][:DIM][part]
            scores = []
            for place, one in enumerate(projected):
                score = dot(query, one[DIM : 2 * DIM][part]) / math.sqrt(head)
                if place < len(steps):
                    gap, rank = now - steps[place][2], len(steps) - 1 - place
                    features = [math.exp(-gap / t) for t in (10 * MINUTE, 2 * HOUR, DAY, 7 * DAY)]
                    features += [math.log1p(gap / DAY), math.exp(-rank / 8)]
                    score += dot(self.w["attention.gap.weight"][h], features)
                scores.append(score)
            shares = [math.exp(score - max(scores)) for score in scores]
            total = math.fsum(shares)
            values = [one[2 * DIM :][part] for one in projected]
            seen += [math.fsum(s / total * v[i] for s, v in zip(shares, values)) for i in range(head)]
        h = plus(token, self.linear("attention.out", seen))
        h = plus(h, self.perceptron("forward", self.norm("forward", h)))
        negative, positive = (sum(1 for _, sign, _ in steps if sign == s) for s in (NEGATIVE, POSITIVE))
        neutral = len(steps) - negative - positive
        summary = [math.log1p(n) for n in (negative, neutral, positive)]
        summary.append((positive + 1) / (positive + negative + 2))
        summary += [math.exp(-(now - steps[-1][2]) / t) if steps else 0.0 for t in (HOUR, DAY)]
        summary.append(0.0 if steps else 1.0)
        return self.finish(self.perceptron("fuse", h + summary + fixed))

    def log_odds(self, person, item):
        scale, bias = self.w["output"][0]
        return scale * dot(person, item) + bias


def code(number, value):
    """Standardised value and missing flag."""
    if value == "":
        return [0.0, 1.0]
    return [max(-8.0, min(8.0, (value - number["mean"]) / number["scale"])), 0.0]


def statistics(text):
    words, n = text.split(), len(text)
    sentences, within = 0, False
    for c in text:
        if c in ".!?\n":
            sentences, within = sentences + within, False
        elif not c.isspace():
            within = True
    upper = sum(c.isupper() for c in text)
    digits = sum(c.isnumeric() for c in text)
    marks = sum(not (c.isalpha() or c.isnumeric() or c.isspace()) for c in text)
    lengths = [math.log1p(x) for x in (n, len(words), sentences + within)]
    return lengths + [sum(map(len, words)) / len(words), len(set(words)) / len(words), upper / n, digits / n, marks / n]


def steps_of(feed_rows):
    """Per user: (post, sign, time). A liked view is one positive step at the time of the view, as the import stores it."""
    steps, liked = {person["user_id"]: [] for person in PEOPLE}, set()
    for row in feed_rows:
        key = (row["user_id"], row["post_id"])
        if row["action"] == "view":
            steps[row["user_id"]].append((row["post_id"], POSITIVE if row["target"] else NEGATIVE, row["timestamp"]))
            if row["target"]:
                liked.add(key)
        elif key in liked:
            liked.remove(key)  # It repeats a liked view.
        else:
            steps[row["user_id"]].append((row["post_id"], POSITIVE, row["timestamp"]))
    return steps


def expected(similarity, post_rows, feed_rows, test_from, at):
    model = Model(similarity)
    items = {post["post_id"]: model.item(post) for post in post_rows}
    steps = steps_of(feed_rows)
    people = {person["user_id"]: person for person in PEOPLE}

    def vector(user, now):
        past = [(items[post], sign, then) for post, sign, then in steps[user] if then < now]
        return model.person(people[user], past, now)

    served, vectors = {}, {}
    for user in people:
        vectors[user] = vector(user, at)
        served[user] = {post: model.log_odds(vectors[user], items[post]) for post in items}
    odds, labels = [], []
    for row in feed_rows:
        if row["action"] == "view" and row["timestamp"] >= test_from:
            odds.append(model.log_odds(vector(row["user_id"], row["timestamp"]), items[row["post_id"]]))
            labels.append(row["target"])
    losses = [math.log1p(math.exp(-x if y else x)) for x, y in zip(odds, labels, strict=True)]
    pairs = [(a, b) for a, x in zip(odds, labels) if x for b, y in zip(odds, labels) if not y]
    auc = sum(1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs) / len(pairs)
    replayed = {"views": len(odds), "likes": sum(labels), "log_loss": sum(losses) / len(losses), "roc_auc": auc}
    return {"served": served, "replayed": replayed, "items": items, "people": vectors}


def main():
    post_rows, feed_rows = posts(), feed()
    last = max(row["timestamp"] for row in feed_rows)
    # Servers round the time since a user's last step; multiples of ten minutes beyond three hours stay as they are.
    test_from, at = START + 30 * 10 * MINUTE, last + 48 * HOUR
    out = {
        "schema": SCHEMA,
        "sizes": {"history": HISTORY, "heads": HEADS, "hidden": HIDDEN},
        "people": PEOPLE,
        "posts": post_rows,
        "feed": feed_rows,
        "test_from": test_from,
        "at": at,
    }
    for similarity in ("dot", "cosine"):
        found = expected(similarity, post_rows, feed_rows, test_from, at)
        vectors = {kind: {key: vector[:4] for key, vector in found.pop(kind).items()} for kind in ("items", "people")}
        out[similarity] = {**found, "vectors": vectors}
    print(json.dumps(out, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
