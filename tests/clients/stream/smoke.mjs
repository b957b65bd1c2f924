// Smoke test of the getstream client (npm) against a running server: BASE is its address, GETSTREAM a folder with the package.
import { createRequire } from 'node:module';

const stream = createRequire(`${process.env.GETSTREAM}/`)('getstream');
const base = process.env.BASE ?? 'http://127.0.0.1:8000';
const urlOverride = { api: `${base}/api/`, personalization: `${base}/personalization/`, analytics: `${base}/analytics/` };
const client = stream.connect('key', 'secret0123456789secret0123456789', process.env.APP ?? 'demo', { urlOverride, browser: false, fayeUrl: `${base}/faye` });
const ok = (what, cond) => { console.log(cond ? 'ok' : 'NOT OK', what); if (!cond) process.exitCode = 1; };
const uid = 'u' + Date.now();
const user = client.feed('user', uid);
const made = await user.addActivity({ actor: uid, verb: 'post', object: 'o:1', foreign_id: 'f:1', time: new Date().toISOString(), text: 'hello from node' });
ok('add', made.id && made.foreign_id === 'f:1');
const timeline = client.feed('timeline', uid + 'x');
await timeline.follow('user', uid);
const got = await timeline.get({ limit: 5 });
ok('timeline', got.results.length === 1 && got.results[0].origin === `user:${uid}`);
ok('following', (await timeline.following()).results.length === 1);
ok('followers', (await user.followers()).results.length === 1);
const token = client.createUserToken(uid);
const own = stream.connect('key', token, process.env.APP ?? 'demo', { urlOverride, fayeUrl: `${base}/faye`, browser: false });
await own.user(uid).getOrCreate({ name: 'Node' });
await own.feed('user', uid).addActivity({ verb: 'post', object: 'o:2', text: 'as user' });
const enriched = await own.feed('user', uid).get({ limit: 2, withOwnReactions: true, withReactionCounts: true });
ok('enriched actor', enriched.results[0].actor.data && enriched.results[0].actor.data.name === 'Node');
const r = await own.reactions.add('like', made.id);
ok('reaction', r.kind === 'like' && r.user_id === uid);
const filtered = await own.reactions.filter({ activity_id: made.id, kind: 'like' });
ok('filter', filtered.results.length === 1);
await client.collections.upsert('items', [{ id: 'i1', name: 'x' }]);
const sel = await client.collections.select('items', ['i1']);
ok('collections', sel.response.data.length === 1);
const many = await client.getActivities({ ids: [made.id] });
ok('getActivities', many.results.length === 1);
await client.activityPartialUpdate({ id: made.id, set: { popularity: 3 } });
ok('partial', (await user.get({ limit: 5 })).results.find(a => a.id === made.id).popularity === 3);
await user.updateActivityToTargets('f:1', made.time, null, ['topic:n1'], []);
ok('targets', (await client.feed('topic', 'n1').get({limit: 1})).results[0].id === made.id);
let refused = null;
try { await own.feed('timeline', 'other').get(); } catch (e) { refused = e.error; }
ok('403', refused && refused.code === 17);
await timeline.unfollow('user', uid);
ok('unfollow', (await timeline.get()).results.length === 0);
await user.removeActivity({ foreign_id: 'f:1' });
ok('remove', (await user.get()).results.length === 1);
const stats = await client.feed('user', uid).followStats().catch(e => ({ error: String(e) }));
ok('followStats', stats.results && stats.results.followers.count === 0);
if (process.env.FAYE) {
  const came = new Promise((resolve, reject) => { setTimeout(() => reject(new Error('late')), 20000); own.feed('user', uid).subscribe(resolve).then(async () => { await user.addActivity({ actor: uid, verb: 'post', object: 'o:3' }); }, reject); });
  const data = await came.catch(e => ({ error: String(e) }));
  ok('faye', data.new && data.new.length === 1); if (data.error) console.log(data);
  process.exit(process.exitCode);
}
