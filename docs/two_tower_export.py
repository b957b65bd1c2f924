"""The two-tower model of Eddyline in PyTorch, and its export: what docs/two-tower.md describes, as code.

    pip install torch safetensors
    python docs/two_tower_export.py model.safetensors

writes a model with random weights that `eddyline model publish` takes; put your own training before `export`.
"""

import datetime
import json
import math
import sys

import torch
from safetensors.torch import load_file, safe_open, save_file
from torch import nn

DIM = 64
SUMMARY = 7
GAPS = 6
TIME = 6
MINUTE, HOUR, DAY = 60_000.0, 3_600_000.0, 86_400_000.0


def time_features(at_ms):
    """Sine and cosine of hour, weekday (Monday is 0) and month (January is 0), UTC."""
    at = datetime.datetime.fromtimestamp(at_ms / 1000, datetime.timezone.utc)
    turns = [at_ms % DAY / DAY, at.weekday() / 7, (at.month - 1) / 12]
    return [f(2 * math.pi * turn) for turn in turns for f in (math.sin, math.cos)]


def gap_features(gap_ms, rank):
    """How long ago a step was; the newest step has rank 0."""
    faded = [math.exp(-gap_ms / span) for span in (10 * MINUTE, 2 * HOUR, DAY, 7 * DAY)]
    return faded + [math.log1p(gap_ms / DAY), math.exp(-rank / 8)]


def summary_features(signs, last_ms, now_ms):
    """What a history adds up to; signs are 0 (negative), 1 (neutral), 2 (positive)."""
    negative, neutral, positive = (signs.count(sign) for sign in range(3))
    faded = [0.0 if last_ms is None else math.exp(-(now_ms - last_ms) / span) for span in (HOUR, DAY)]
    rate = (positive + 1) / (positive + negative + 2)
    return [math.log1p(negative), math.log1p(neutral), math.log1p(positive), rate, *faded, float(last_ms is None)]


class Attention(nn.Module):
    """Names follow the file: `in` is a word of Python, hence add_module."""

    def __init__(self, heads):
        super().__init__()
        self.norm = nn.LayerNorm(DIM)
        self.add_module("in", nn.Linear(DIM, 3 * DIM))
        self.out = nn.Linear(DIM, DIM)
        self.gap = nn.Linear(GAPS, heads, bias=False)


class Perceptron(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.hidden = nn.Linear(inputs, hidden)
        self.out = nn.Linear(hidden, DIM)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x)))


class Forward(Perceptron):
    def __init__(self, hidden):
        super().__init__(DIM, hidden)
        self.norm = nn.LayerNorm(DIM)


class Item(Perceptron):
    def __init__(self, schema, hidden):
        dense = 2 * len(schema["numbers"])
        if schema["embedding"]:
            dense += schema["embedding"]["to"] + 1
        if schema["text"]:
            dense += len(schema["text"]) + 1
        super().__init__(schema["topic_dim"] + dense, hidden)
        self.topic = nn.Parameter(0.1 * torch.randn(len(schema["topics"]) + 1, schema["topic_dim"]))
        if schema["embedding"]:
            reduction = schema["embedding"]
            self.embedding = nn.Module()
            self.embedding.register_buffer("mean", torch.zeros(reduction["from"]))
            self.embedding.register_buffer("components", torch.randn(reduction["to"], reduction["from"]) / 10)


class Person(nn.Module):
    def __init__(self, schema):
        super().__init__()
        self.category = nn.ParameterList(
            0.1 * torch.randn(len(one["values"]) + 1, one["dim"]) for one in schema["categories"]
        )


class TwoTower(nn.Module):
    def __init__(self, schema, sizes):
        super().__init__()
        self.schema, self.sizes = schema, sizes
        categories = sum(one["dim"] for one in schema["person"]["categories"])
        fixed = categories + 2 * len(schema["person"]["numbers"]) + TIME
        self.person = Person(schema["person"])
        self.item = Item(schema["item"], sizes["hidden"])
        self.step = nn.Linear(DIM, 3 * DIM)
        self.now = nn.Linear(fixed, DIM)
        self.attention = Attention(sizes["heads"])
        self.forward_ = Forward(sizes["hidden"])
        self.fuse = Perceptron(DIM + SUMMARY + fixed, sizes["hidden"])
        self.output = nn.Parameter(torch.tensor([8.0 if self.is_cosine() else 1 / 8, 0.0]))

    def is_cosine(self):
        return self.schema.get("similarity", "dot") == "cosine"

    def finish(self, vector):
        """The last operation of both towers: for the cosine, vectors of length 1."""
        return vector / (vector.square().sum(-1, keepdim=True) + 1e-12).sqrt() if self.is_cosine() else vector

    def item_vector(self, topic_row, embedding, dense):
        """Rows of topics (n,), embeddings (n, from) or None, the other numbers (n, ...) -> (n, 64)."""
        parts = [self.item.topic[topic_row]]
        if embedding is not None:
            kept = (embedding - self.item.embedding.mean) @ self.item.embedding.components.T
            parts += [kept, torch.zeros(len(kept), 1)]  # The last one is 1 where there is no embedding.
        return self.finish(self.item(torch.cat([*parts, dense], dim=1)))

    def person_vector(self, rows, numbers, steps, now_ms):
        """Rows of categories, (value, missing) of numbers, [(item vector, sign, at_ms)] from old to new -> (64,)."""
        steps = steps[len(steps) - min(len(steps), self.sizes["history"]) :]
        fixed = [table[row] for table, row in zip(self.person.category, rows)]
        fixed = torch.cat([*fixed, torch.tensor([*numbers, *time_features(now_ms)])])
        now = self.now(fixed)
        tokens = [self.step(item).view(3, DIM)[sign] for item, sign, _ in steps] + [now]
        tokens = self.attention.norm(torch.stack(tokens))
        heads, head = self.sizes["heads"], DIM // self.sizes["heads"]
        query, key, value = getattr(self.attention, "in")(tokens).split(DIM, dim=1)
        key, value = (x.view(-1, heads, head).transpose(0, 1) for x in (key, value))
        scores = torch.einsum("hd,htd->ht", query[-1].view(heads, head), key) / math.sqrt(head)
        if steps:
            gaps = [gap_features(now_ms - at, len(steps) - 1 - i) for i, (_, _, at) in enumerate(steps)]
            by_time = self.attention.gap(torch.tensor(gaps)).T
            scores = scores + torch.cat([by_time, torch.zeros(heads, 1)], dim=1)
        seen = torch.einsum("ht,htd->hd", scores.softmax(dim=1), value).reshape(DIM)
        now = now + self.attention.out(seen)
        now = now + self.forward_(self.forward_.norm(now))
        summary = summary_features([sign for _, sign, _ in steps], steps[-1][2] if steps else None, now_ms)
        return self.finish(self.fuse(torch.cat([now, torch.tensor(summary), fixed])))

    def log_odds(self, person, item):
        return self.output[0] * (person * item).sum(-1) + self.output[1]


def export(model, path, summary=None):
    """Writes one file: the tensors by their names, everything else as JSON under one key of the metadata."""
    tensors = {name.replace("forward_.", "forward."): tensor.contiguous() for name, tensor in model.state_dict().items()}
    about = {"format": 1, "schema": model.schema, "sizes": model.sizes, "summary": summary or {"program": "PyTorch"}}
    save_file(tensors, path, metadata={"eddyline": json.dumps(about)})


def load(path):
    """Reads a file, one of Eddyline's own too."""
    with safe_open(path, framework="pt") as file:
        about = json.loads(file.metadata()["eddyline"])
    model = TwoTower(about["schema"], about["sizes"])
    tensors = load_file(path)
    model.load_state_dict({name.replace("forward.", "forward_.", 1): tensor for name, tensor in tensors.items()})
    return model.eval()


if __name__ == "__main__":
    schema = {
        "person": {
            "categories": [{"name": "country", "values": ["Kenya", "Norway"], "dim": 4}],
            "numbers": [{"name": "age", "mean": 31.5, "scale": 12.0}],
        },
        "item": {
            "topics": ["business", "sport"],
            "topic_dim": 16,
            "embedding": {"from": 384, "to": 128},
            "text": [],
            "numbers": [],
        },
    }
    export(TwoTower(schema, {"history": 32, "heads": 4, "hidden": 128}), sys.argv[1])
