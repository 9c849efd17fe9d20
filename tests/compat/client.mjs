// The stock Node SDK against a running Rootstock: embeddings in every form, files, a fine-tuning job followed to its end.
// Usage: BASE_URL=… API_KEY=… node client.mjs   (with the package `openai` beside it)
import assert from 'node:assert/strict';
import OpenAI, { toFile } from 'openai';

const client = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: process.env.API_KEY, maxRetries: 2 });
const near = (one, other) => one.every((value, place) => Math.abs(value - other[place]) < 1e-5);

const texts = ['a rose is a rose', 'tree'];
const packed = await client.embeddings.create({ model: 'tiny', input: texts }); // asks for base64 and decodes it
const plain = await client.embeddings.create({ model: 'tiny', input: texts, encoding_format: 'float' });
assert.equal(packed.model, 'tiny:1');
assert.equal(packed.data.length, 2);
for (const place of [0, 1]) assert.ok(near(Array.from(packed.data[place].embedding), plain.data[place].embedding));
const one = await client.embeddings.create({ model: 'tiny', input: texts[1], encoding_format: 'float' });
assert.ok(near(one.data[0].embedding, plain.data[1].embedding));
const ids = await client.embeddings.create({ model: 'tiny', input: [[1, 2, 3]], encoding_format: 'float' });
assert.equal(ids.usage.prompt_tokens, 3);
await assert.rejects(client.embeddings.create({ model: 'tiny', input: texts, dimensions: 3 }), OpenAI.UnprocessableEntityError);
await assert.rejects(client.embeddings.create({ model: 'nobody', input: texts }), (error) => {
  assert.ok(error instanceof OpenAI.NotFoundError);
  return error.code === 'model_not_found';
});

const names = [];
for await (const model of client.models.list()) names.push(model.id);
assert.ok(names.includes('tiny'));

const rows = Array.from({ length: 200 }, (_, row) => (row % 2 ? 'plant,tree rose' : 'mark,is !') + ' a'.repeat(row % 3));
const content = Buffer.from(['label,text', ...rows].join('\n'));
const file = await client.files.create({ file: await toFile(content, 'texts.csv'), purpose: 'fine-tune' });
let job = await client.fineTuning.jobs.create({ model: 'tiny', training_file: file.id, suffix: 'marks', hyperparameters: { n_epochs: 2 } });
const until = Date.now() + 300_000;
while (!['succeeded', 'failed', 'cancelled'].includes(job.status)) {
  assert.ok(Date.now() < until, job.status);
  await new Promise((resolve) => setTimeout(resolve, 500));
  job = await client.fineTuning.jobs.retrieve(job.id);
}
assert.equal(job.status, 'succeeded', JSON.stringify(job.error));
assert.equal(job.fine_tuned_model, 'marks:1');
const events = [];
for await (const event of client.fineTuning.jobs.listEvents(job.id)) events.push(event);
assert.ok(events.length > 0);
assert.equal((await client.embeddings.create({ model: job.fine_tuned_model, input: 'a tree' })).data.length, 1);
console.log(`ok: openai ${(await import('openai/version')).VERSION} on node ${process.version}`);
