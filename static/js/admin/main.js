// Assembles the admin page.
//
// Reading order: ask, poll (the data); words, trend, geometry, moves, windows, clustering_words, values, clustering_specs, metric_specs (pure);
// fields, form_dialog (forms); canvas (drawings); figures,
// experts, clusterings (tabs, clusters, group_names, clustering_form), posteriors, metric_form, atypical, timeline, decays, graph (the boards).

import { setText } from "../element.js";
import { ask, hasToken, useToken } from "./ask.js";
import { Atypical } from "./atypical.js";
import { Clusterings } from "./clusterings.js";
import { Decays } from "./decays.js";
import { Experts } from "./experts.js";
import { Figures } from "./figures.js";
import { Graph } from "./graph.js";
import { Declarations } from "./metric_form.js";
import { Poller } from "./poll.js";
import { Posteriors } from "./posteriors.js";
import { Timeline } from "./timeline.js";
import { faultOfToken, refusalWords } from "./words.js";

// Settings change with a restart only, and the layout of the graph costs the server up to a second.
const SELDOM_MS = 60_000;
const get = (id) => document.getElementById(id);

const figures = new Figures(get("figures"));
const experts = new Experts({ words: get("experts-words"), list: get("experts"), regretWords: get("regret-words"), regret: get("regret") });
const clusterings = new Clusterings(
  {
    tabs: get("clusterings-tabs"),
    panel: get("clusters"),
    counter: get("clusterings-counter"),
    progress: get("clusterings-progress"),
    facts: get("clusterings-facts"),
    refused: get("clusterings-refused"),
    refit: get("clusterings-refit"),
    reason: get("clusterings-reason"),
    change: get("clusterings-change"),
    create: get("clusterings-create"),
    history: get("clusterings-history"),
    revisions: get("clusterings-revisions"),
    fits: get("clusterings-fits"),
    dialog: get("clustering-dialog"),
  },
  {
    picture: get("clusters-picture"),
    table: get("clusters-table"),
    words: get("clusters-words"),
    across: get("clusters-across"),
    up: get("clusters-up"),
  },
);
const posteriors = new Posteriors({ list: get("metrics"), words: get("metrics-words") });
const declarations = new Declarations({ table: get("declarations-table"), create: get("declarations-create"), dialog: get("metric-dialog") });
const atypical = new Atypical({
  metric: get("atypical-metric"),
  sigmas: get("atypical-sigmas"),
  said: get("atypical-said"),
  words: get("atypical-words"),
  table: get("atypical-table"),
});
const timeline = new Timeline({ picture: get("timeline"), span: get("timeline-span"), words: get("timeline-words") });

const decays = new Decays({ time: get("decay-time"), shape: get("decay-shape"), words: get("decay-words") });
const graph = new Graph({ picture: get("graph"), words: get("graph-words") });

const poller = new Poller((kind, words) => {
  get("line").dataset.state = { ok: "online", token: "refused", trouble: "offline" }[kind];
  setText(get("line-words"), { ok: "live", token: "needs a token" }[kind] ?? words);
  if (kind === "token") wantToken(words);
  else if (kind === "ok") get("token-form").hidden = true;
});

/** Replaces a board by a note that the server lacks its route; `words` null restores it. */
function absent(...names) {
  return (words) => {
    for (const name of names) {
      const note = get(`${name}-absent`);
      note.hidden = words === null;
      note.closest(".board").classList.toggle("is-absent", words !== null);
      if (words !== null) setText(note, "Not available on this server.");
    }
  };
}

poller.add({
  ask: () => ask("/v1/figures"),
  show: (answer) => {
    figures.show(answer);
    experts.show(answer);
  },
  absent: absent("figures", "experts"),
});
clusterings.whenChanged(poller.add({ ask: () => clusterings.ask(), show: (answer) => clusterings.show(answer), absent: absent("clusters") }));
declarations.whenChanged(
  poller.add({
    ask: () => ask("/v1/metrics"),
    show: (answer) => {
      posteriors.show(answer);
      declarations.show(answer);
      atypical.offer(answer);
    },
    absent: absent("metrics", "atypical"),
  }),
);
atypical.whenChanged(poller.add({ ask: () => atypical.ask(), show: (answer) => atypical.show(answer), absent: absent("atypical") }));
timeline.whenChanged(poller.add({ ask: () => timeline.ask(), show: (answer) => timeline.show(answer), absent: absent("timeline") }));

poller.add({ ask: () => ask("/v1/decay"), show: (answer) => decays.show(answer), absent: absent("decay"), every: SELDOM_MS });
poller.add({ ask: () => ask("/v1/graph"), show: (answer) => graph.show(answer), absent: absent("graph"), every: SELDOM_MS });

function wantToken(words) {
  const form = get("token-form");
  if (form.hidden) {
    form.hidden = false;
    get("token").focus();
  }
  setText(get("token-fault"), refusalWords(words, hasToken()));
}

get("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = get("token").value.trim();
  const fault = faultOfToken(given);
  setText(get("token-fault"), fault);
  if (fault) return;
  useToken(given);
  setText(get("line-words"), "asking");
  // A paused page would send no request, and give the token no answer.
  pause(false);
  poller.start();
});

function pause(isPaused) {
  poller.paused = isPaused;
  get("pause").setAttribute("aria-pressed", String(isPaused));
  setText(get("pause"), isPaused ? "Go on" : "Pause");
}

get("pause").addEventListener("click", () => {
  pause(!poller.paused);
  if (poller.paused) {
    get("line").dataset.state = "closed";
    setText(get("line-words"), "paused");
  } else {
    poller.start();
  }
});

poller.start();
