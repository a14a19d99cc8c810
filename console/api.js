/** The console's door to the HTTP API: JSON in, JSON out, problems as errors; and the live stream. */

export class ProblemError extends Error {
  constructor(problem, status) {
    super(problem.detail ?? problem.title ?? `the server answered ${status}`);
    this.status = status;
    this.code = problem.code;
    this.hint = problem.hint;
    this.requestId = problem.requestId;
  }
}

async function send(method, path, { body, headers = {}, signal } = {}) {
  const answer = await fetch(path, {
    method,
    credentials: 'same-origin',
    signal,
    headers: { accept: 'application/json', ...(body ? { 'content-type': 'application/json' } : {}), ...headers },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  if (answer.status === 204) return undefined;
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ProblemError(content, answer.status);
  return content;
}

export const get = (path, signal) => send('GET', path, { signal });
export const post = (path, body, headers) => send('POST', path, { body, headers });
export const put = (path, body, headers) => send('PUT', path, { body, headers });
export const del = (path) => send('DELETE', path);

let models;
/** The device catalogue, by model id; read once. */
export function loadModels() {
  models ??= get('/api/v1/models').then(
    ({ items }) => new Map(items.map((model) => [model.id, model])),
    (error) => {
      models = undefined;
      throw error;
    },
  );
  return models;
}

/**
 * Live events until the answer is called. `onOpen` also after every reconnect: what was missed must be read again.
 * @param {string | undefined} device
 * @param {{ onOpen(): void, onLost(): void, on: Record<string, (event: object) => void> }} listeners
 */
export function listen(device, { onOpen, onLost, on }) {
  const source = new EventSource(`/api/v1/stream${device ? `?device=${encodeURIComponent(device)}` : ''}`);
  source.addEventListener('open', onOpen);
  source.addEventListener('error', onLost);
  for (const [kind, listener] of Object.entries(on)) {
    source.addEventListener(kind, (message) => listener(JSON.parse(message.data)));
  }
  return () => source.close();
}
