// Assembles the page: one session at a time, and the parts that show it.
//
// Reading order: server, session (the data, by the client library); feed, card, why, flip (the stream on screen);
// model, accuracy, live, chosen, composer, people, status, metrics, history, keyboard (the rest).

import { Accuracy } from "./accuracy.js";
import { Chosen } from "./chosen.js";
import { Composer } from "./composer.js";
import { hueOf, setText } from "./element.js";
import { Feed } from "./feed.js";
import { listen } from "./keyboard.js";
import { LiveNow } from "./live.js";
import { TopicHistory } from "./history.js";
import { Metrics } from "./metrics.js";
import { Topics } from "./model.js";
import { initials } from "./card.js";
import { People } from "./people.js";
import { availability, modelOf, server, token, userOf } from "./server.js";
import { Session } from "./session.js";
import { Status } from "./status.js";
import { recall, remember } from "./storage.js";

const TICK_MS = 1000;
const WORDS_OF = { like: "Liked", share: "Shared", skip: "Skipped", hide: "Hidden:", accept: "More like", reject: "Fewer like" };
const get = (id) => document.getElementById(id);

let session = null;
const texts = new Map(); // texts of former items, to name the cause of a change

const settings = recall("settings", "localStorage") ?? { ranking: "model", limit: 30 };

const people = new People(
  {
    dialog: get("people"),
    search: get("people-search"),
    list: get("people-list"),
    words: get("people-words"),
    form: get("people-new"),
    name: get("people-name"),
    close: get("people-close"),
    token: get("token-form"),
  },
  open,
);

const status = new Status(
  {
    line: get("line"),
    lineWords: get("line-words"),
    cause: get("cause"),
    took: get("took"),
    troubles: get("troubles"),
    toast: get("toast"),
    announcer: get("announcer"),
  },
  () => session?.again(),
);

const feed = new Feed(
  { list: get("feed"), scroller: get("scroller"), more: get("more"), empty: get("feed-empty"), fresh: get("fresh") },
  {
    onAction: react,
    onDrawn: (visible) => session?.drawn(visible),
    onSight: (visible) => session?.sees(visible),
    onMore: () => {
      get("more").disabled = true;
      if (!session.more()) (get("more").disabled = false), status.trouble("There is no line to the server now.");
    },
    nameOf: people.nameOf,
  },
);

const metrics = new Metrics({ list: get("feed"), scroller: get("scroller") }, (user, batch) => {
  // A site may have declared other types of page. The request outlives the page, and a lost batch stays lost.
  server().measure(batch, { user, unknown: "ignore", keepalive: true }).catch(() => {});
});

const topics = new Topics(
  {
    list: get("topics"),
    empty: get("topics-empty"),
    hint: get("topics-hint"),
    form: get("topic-new"),
    input: get("topic-name"),
    suggestions: get("topic-suggestions"),
  },
  (weights) => {
    if (session.weigh(weights)) topics.show(weights, { whole: false });
  },
);

const accuracy = new Accuracy({
  value: get("auc"),
  note: get("auc-note"),
  line: get("auc-line"),
  labelled: get("labelled"),
  events: get("events"),
  loss: get("loss"),
});

const past = new TopicHistory({
  details: get("past"),
  lines: get("past-lines"),
  friends: get("past-friends"),
  words: get("past-words"),
});

const live = new LiveNow({ list: get("live"), empty: get("live-empty"), count: get("live-count") }, show);

const chosen = new Chosen(
  { liked: get("liked"), hidden: get("hidden-items"), empty: get("chosen-empty") },
  { onUndo: (item) => session.undo(item), textOf: briefly },
);

const composer = new Composer(
  {
    form: get("composer"),
    text: get("composer-text"),
    topic: get("composer-topic"),
    live: get("composer-live"),
    minutes: get("composer-minutes"),
    send: get("composer-send"),
    own: get("own"),
  },
  { onPost: (post) => session.post(post), onOpen: show },
);

/** Starts the session of a user. */
function open(person) {
  if (session?.person.id === person.id && session.state !== "refused") return;
  session?.stop();
  remember("person", person);
  history.replaceState(null, "", `?user=${encodeURIComponent(person.id)}`);
  for (const [id, path] of [["to-posts", "/prediction/1"], ["to-score", "/score"]]) get(id).href = `${path}?user=${encodeURIComponent(person.id)}`;
  document.title = `${person.name} \u00b7 Eddyline`;
  setText(get("person-name"), person.name);
  setText(get("person-initials"), initials(person.name));
  get("person").style.setProperty("--hue", hueOf(person.id));
  for (const part of [feed, topics, live, chosen, composer, status]) part.clear();
  accuracy.open(person.id, settings.ranking);
  metrics.open(person.id);
  past.open(person.id);
  texts.clear();
  const mine = new Session(person, settings, listener(() => session === mine));
  session = mine;
  if (session.stream.version !== null) redraw();
  session.start();
  readAside(mine);
}

/** Loads data over REST that the socket has not sent yet. The page works without them. */
async function readAside(mine) {
  const [model, available] = await Promise.allSettled([modelOf(mine.person.id), availability()]);
  if (session !== mine) return;
  if (model.status === "fulfilled") showModel(model.value);
  for (const entry of available.value?.items ?? []) live.change({ ...entry, available: true }, mine.clock.now());
}

/** The listener of one session, while it is the current one. */
function listener(current) {
  const heard = {
    onState(state, detail) {
      status.line(state, detail, session?.waiting);
      if (state === "refused") people.open(null, detail.message, detail.code);
    },
    onStream(change) {
      redraw(change);
    },
    onPage() {
      get("more").disabled = false;
      redraw();
    },
    onReaction(item, isHere = true) {
      feed.react(item, session.reactions.get(item), isHere);
      status.tick(session.waiting);
    },
    onStanding: (lists) => chosen.show(lists),
    onAccepted(message, item) {
      if (message.type === "post") {
        composer.accepted(message.id, item);
        composer.place(session.stream.items);
        status.announce("Posted.");
      } else if (feed.has(message.item) && !session.stream.items.some(({ item: key }) => key === message.item)) {
        redraw(); // hidden items of the tail get no patch
      }
    },
    onRefused(message, words) {
      if (message?.type === "post") composer.refused(message.id, words);
      else if (session.state !== "refused") status.trouble(words); // otherwise the dialog shows it
    },
    onModel: showModel,
    onDecay: (decay) => topics.fade(decay),
    onLive(message) {
      live.change({ ...message, text: texts.get(message.item) }, session.clock.now());
      redraw();
    },
    onTrouble: (words) => status.trouble(words),
  };
  return new Proxy(heard, { get: (target, name) => (...values) => current() && target[name](...values) });
}

function redraw(change = null) {
  const mine = session;
  const { items } = mine.stream;
  const found = new Set();
  for (const { item, text, topic } of items) {
    texts.set(item, text);
    if (topic) found.add(topic);
  }
  topics.suggest([...found]);
  live.learn(items, mine.clock.now());
  composer.place(items);
  feed.show(mine, changeOf(change), (shifts) => {
    if (change && session === mine) status.cause(change, performance.now(), shifts, briefly);
  });
}

/** How a change of the stream may move cards: see `Feed.show`. */
function changeOf(change) {
  const kind = change?.cause?.kind;
  const type = change?.act?.message.type;
  if (type === "interact" || type === "undo") return "act";
  return kind === "opened" || kind === "configured" || type ? "settle" : "news";
}

/** Records a reaction, or takes it back, and offers to undo it. */
function react(item, kind) {
  const mine = session;
  if (!mine.react(item, kind)) return;
  const reaction = mine.reactions.get(item);
  if (!reaction) return status.offer(null);
  status.offer(`${WORDS_OF[reaction.kind]} \u201c${briefly(item)}\u201d`, () => session === mine && mine.undo(item));
}

function showModel(model) {
  if (model.decay) topics.fade(model.decay);
  if (model.topics) topics.show(model.topics);
  if (model.events !== undefined && model.labelled !== undefined) accuracy.show(model);
}

function briefly(item) {
  const text = texts.get(item) ?? "";
  return text.length > 28 ? `${text.slice(0, 26).trimEnd()}\u2026` : text;
}

/** Scrolls to an item of the stream. */
function show(item) {
  setView("stream");
  if (feed.has(item)) feed.focus(item);
  else status.trouble("It is not in your stream now.");
}

function setView(view) {
  document.body.dataset.view = view;
  for (const button of document.querySelectorAll("[data-view-button]")) {
    button.setAttribute("aria-pressed", String(button.dataset.viewButton === view));
  }
}

function wireSettings() {
  const limit = get("limit");
  limit.value = String(settings.limit);
  if (!limit.value) limit.value = "30";
  limit.addEventListener("change", () => change({ limit: Number(limit.value) }));
  for (const radio of document.querySelectorAll("input[name=ranking]")) {
    radio.checked = radio.value === settings.ranking;
    radio.addEventListener("change", () => change({ ranking: radio.value }));
  }
  function change(some) {
    Object.assign(settings, some);
    remember("settings", settings, "localStorage");
    session?.configure(some);
    if (some.ranking && session) accuracy.open(session.person.id, some.ranking);
  }
}

function wirePage() {
  wireSettings();
  get("person").addEventListener("click", () => people.open(session?.person ?? null));
  for (const button of document.querySelectorAll("[data-view-button]")) {
    button.addEventListener("click", () => setView(button.dataset.viewButton));
  }
  listen(
    { help: get("help"), toggle: get("help-keys"), open: get("help-open"), close: get("help-close") },
    {
      step: (by) => feed.step(by),
      act: (kind) => feed.current && react(feed.current.item.item, kind),
      undo: () => status.undo(),
      why: () => feed.current?.toggleWhy(),
      write: () => composer.focus(),
      people: () => people.open(session?.person ?? null),
    },
  );
  setInterval(() => {
    if (document.hidden || !session) return;
    const now = session.clock.now();
    feed.tick(now);
    live.tick(now);
    status.tick(session.waiting);
  }, TICK_MS);
  // Weights lose about a millionth per second; ten updates per second make the decay visible.
  setInterval(() => !document.hidden && topics.tick(), TICK_MS / 5);
  addEventListener("online", () => session?.hurry());
  addEventListener("pagehide", () => session?.save());
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) session?.save();
    else session?.hurry();
  });
}

async function begin() {
  wirePage();
  const holder = userOf(token() ?? "");
  const wanted = new URLSearchParams(location.search).get("user") ?? holder;
  const last = recall("person");
  await people.meet();
  if (wanted) open({ id: wanted, name: people.nameOf(wanted) === wanted && last?.id === wanted ? last.name : people.nameOf(wanted) });
  else if (last) open(last);
  else people.open(null);
}

begin();
