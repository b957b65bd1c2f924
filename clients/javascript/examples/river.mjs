// A reader of a river's cameras: creates items and two users over REST, follows a live feed, and acts on it.
//
//   node river.mjs http://127.0.0.1:8080
//
// EDDYLINE_TOKEN holds a service token where the server has a secret.

import { Eddyline, EddylineError, FileStorage } from "eddyline";

const url = process.argv[2] ?? "http://127.0.0.1:8080";
const client = new Eddyline(url, { token: process.env.EDDYLINE_TOKEN });
const run = Date.now().toString(36);
const [ada, grace] = [`ada-${run}`, `grace-${run}`];

// REST: users, items, and interactions in bulk.
await client.putUser(ada, { name: "Ada" });
await client.putUser(grace, { name: "Grace" });
await client.follow(ada, grace);
const cameras = ["weir", "mill", "ford", "lock"].map((name) => ({
  item: `${name}-${run}`,
  text: `The ${name} tonight`,
  topics: ["rivers"],
  author: grace,
}));
await client.createItems(cameras);
const results = await client.interactAll(cameras.map(({ item }) => ({ user: grace, item, kind: "click" })));
console.log(`${results.length} interactions of Grace sent`);
const { items } = await client.feed(ada, { limit: 3, explain: true });
console.log(`REST: Ada's feed begins with "${items[0].text}" (${items[0].why?.length ?? 0} reasons)`);

// A live session. The file keeps events that the server has not accepted, also through a restart of this program.
const session = client.session(ada, { limit: 10, storage: new FileStorage(`river-${run}.json`) });
session.on("state", ({ state }) => console.log(`connection: ${state}`));
session.on("feed", ({ feed, cause }) => console.log(`feed ${feed.version} (${cause?.kind}): ${feed.items.length} items`));
const first = session.next("feed");
session.start();
const { feed } = await first;

// Each act is learned at once, and pushes a new feed.
const liked = feed.items[0].item;
const { seq } = await session.like(liked).done;
console.log(`like of ${liked} is durable as event ${seq}`);
const hidden = feed.items[1].item;
await session.hide(hidden).done;
const { item } = await session.post("High water at the weir", { topic: "rivers" }).done;
console.log(`post is ${item}; ${hidden} is ${feed.items.some(({ item }) => item === hidden) ? "still there" : "gone"}`);

// A refusal is an error with a code.
try {
  await session.like("no such camera").done;
} catch (error) {
  if (!(error instanceof EddylineError)) throw error;
  console.log(`refused: ${error.code}`);
}
const { accepted } = await client.predict(ada, liked);
console.log(`Ada accepts ${liked} with probability ${accepted.toFixed(2)}`);
session.close();
