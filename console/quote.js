/** The customer's page for a quote: what it costs, line by line, and yes or no. Opened by a link, without an account. */
import { fill, h } from './dom.js';

const TEXTS = {
  en: {
    quote: 'Quote',
    from: (centre) => `From ${centre}`,
    validUntil: (day) => `Valid until ${day}`,
    takes: (hours) => `The repair takes about ${hours} hours once you agree.`,
    optional: 'optional',
    tax: 'Tax',
    total: 'To pay',
    name: 'Your name',
    note: 'Anything we should know (optional)',
    agree: 'I authorise this repair',
    decline: 'No, thank you',
    needName: 'Please write your name first.',
    states: {
      authorised: 'You have authorised this repair. Thank you; we begin now.',
      declined: 'You have declined. Nothing will be repaired or charged.',
      superseded: 'There is a newer quote. Please use the latest link that we sent.',
      expired: 'This quote has expired. Please ask us for a new one.',
    },
    gone: 'There is no quote behind this link. Please ask us for a new one.',
  },
  zh: {
    quote: '维修报价',
    from: (centre) => `服务中心：${centre}`,
    validUntil: (day) => `有效期至 ${day}`,
    takes: (hours) => `您同意后，维修约需 ${hours} 小时。`,
    optional: '可选',
    tax: '税额',
    total: '应付总额',
    name: '您的姓名',
    note: '备注（可选）',
    agree: '我同意维修',
    decline: '不同意',
    needName: '请先填写您的姓名。',
    states: {
      authorised: '您已同意维修，谢谢。我们现在开始。',
      declined: '您已拒绝。不会维修，也不会收费。',
      superseded: '已有新的报价，请使用我们最近发送的链接。',
      expired: '此报价已过期，请联系我们重新报价。',
    },
    gone: '此链接没有对应的报价，请联系我们重新发送。',
  },
};
const language = navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en';
const text = TEXTS[language];
const locale = language === 'zh' ? 'zh-CN' : 'en-GB';
const content = document.getElementById('content');
document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';

async function ask(body) {
  const answer = await fetch('/api/v1/public/quote', {
    method: body ? 'POST' : 'GET',
    credentials: 'omit',
    headers: {
      accept: 'application/json',
      'presage-link': location.hash.slice(1),
      ...(body ? { 'content-type': 'application/json' } : {}),
    },
    ...(body ? { body: JSON.stringify(body) } : {}),
  });
  const found = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(answer.status === 409 ? found.detail : text.gone);
  return found;
}

/** Minor units become money by the digits that the currency has: yen none, euro two. */
function moneyOf(currency) {
  const format = new Intl.NumberFormat(locale, { style: 'currency', currency });
  const digits = format.resolvedOptions().maximumFractionDigits;
  return (minor) => format.format(minor / 10 ** digits);
}

/** As the server counts it: tax rounded a line. */
function lineTotals({ quantity, unitPrice, taxBasisPoints }) {
  const net = Math.round(quantity * unitPrice);
  const tax = Math.round((net * taxBasisPoints) / 10_000);
  return { net, tax };
}

function show(quote) {
  document.title = `${text.quote} · ${quote.centre}`;
  const money = moneyOf(quote.currency);
  const day = new Intl.DateTimeFormat(locale, { dateStyle: 'long' }).format(quote.validUntil);
  const open = quote.state === 'sent';
  const wanted = new Set(quote.answer?.lines ?? quote.lines.map((line) => line.id));
  const totals = h('p', { class: 'total' });
  const count = () => {
    const sums = quote.lines.filter((line) => wanted.has(line.id)).map(lineTotals);
    const net = sums.reduce((sum, one) => sum + one.net, 0);
    const tax = sums.reduce((sum, one) => sum + one.tax, 0);
    fill(totals, `${text.tax} ${money(tax)} · `, h('strong', {}, `${text.total} ${money(net + tax)}`));
  };
  count();
  fill(
    content,
    h(
      'section',
      { class: 'card' },
      h('h1', {}, quote.title),
      h('p', { class: 'soft' }, text.from(quote.centre)),
      h(
        'table',
        { class: 'quote' },
        h(
          'tbody',
          {},
          quote.lines.map((line) => lineRow(line, { money, open, wanted, count })),
        ),
      ),
      totals,
      quote.note && h('p', {}, quote.note),
      open
        ? [
            h('p', { class: 'soft' }, text.takes(quote.durationHours), ' ', text.validUntil(day)),
            answerForm(quote, wanted),
          ]
        : h('p', { class: 'notice', role: 'status' }, text.states[quote.state]),
    ),
  );
}

function lineRow(line, { money, open, wanted, count }) {
  const box = h('input', {
    type: 'checkbox',
    checked: wanted.has(line.id),
    disabled: !open,
    'aria-label': line.text,
    onchange: () => {
      if (box.checked) wanted.add(line.id);
      else wanted.delete(line.id);
      count();
    },
  });
  return h(
    'tr',
    {},
    h('td', {}, line.optional && box),
    h(
      'td',
      {},
      line.text,
      line.optional && h('span', { class: 'soft' }, ` (${text.optional})`),
      h('div', { class: 'soft small' }, `${line.quantity} × ${money(line.unitPrice)}`),
    ),
    h('td', { class: 'number nowrap' }, money(lineTotals(line).net)),
  );
}

function answerForm(quote, wanted) {
  const name = h('input', {
    type: 'text',
    maxlength: 120,
    autocomplete: 'name',
    'aria-label': text.name,
    placeholder: text.name,
  });
  const note = h('input', { type: 'text', maxlength: 1000, 'aria-label': text.note, placeholder: text.note });
  const problem = h('p', { role: 'alert' });
  const send = async (decision) => {
    if (name.value.trim() === '') {
      problem.textContent = text.needName;
      name.focus();
      return;
    }
    const optionalLines = quote.lines.filter((line) => line.optional && wanted.has(line.id)).map((line) => line.id);
    try {
      show(
        await ask({
          decision,
          name: name.value.trim(),
          ...(decision === 'authorise' ? { optionalLines } : {}),
          ...(note.value.trim() ? { note: note.value.trim() } : {}),
        }),
      );
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  return h(
    'form',
    {
      class: 'form',
      onsubmit: (event) => {
        event.preventDefault();
        send('authorise');
      },
    },
    name,
    note,
    h(
      'div',
      { class: 'row' },
      h('button', { type: 'submit', class: 'main' }, text.agree),
      h('button', { type: 'button', onclick: () => send('decline') }, text.decline),
    ),
    problem,
  );
}

ask().then(show, (error) => fill(content, h('section', { class: 'card' }, h('p', { role: 'alert' }, error.message))));
